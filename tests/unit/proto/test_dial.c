// SPDX-License-Identifier: MPL-2.0
// The dial limiter never passes its bound and forgets nobody; the dialler backs off, within its bounds.
#include "test.h"

#include <skua-int/clock.h>
#include <skua-int/dial.h>

enum { SLOTS = 100 };

static void
test_dial_limiter_keeps_its_bound_and_its_order(void **state) {
    (void)state;
    skua__dial_limiter limiter;
    skua__dial_slot slots[SLOTS];
    skua__dial_limiter_init(&limiter, SKUA__DIALS_MAX);
    for (int i = 0; i < SLOTS; i++) {
        skua__dial_slot_init(&slots[i]);
        assert_int_equal(skua__dial_limiter_ask(&limiter, &slots[i]), i < SKUA__DIALS_MAX);
    }
    /* One that waits gives up: nobody is promoted for it. */
    assert_null(skua__dial_limiter_done(&limiter, &slots[20]));
    int next = SKUA__DIALS_MAX;
    for (int i = 0; i < SLOTS; i++) {
        if (i == 20) {
            continue;
        }
        next += next == 20;
        skua__dial_slot *promoted = skua__dial_limiter_done(&limiter, &slots[i]);
        assert_ptr_equal(promoted, next < SLOTS ? &slots[next] : NULL);
        next++;
        assert_true(limiter.active <= SKUA__DIALS_MAX);
    }
    assert_int_equal(limiter.active, 0);
    assert_true(skua__list_empty(&limiter.waiting));
    assert_null(skua__dial_limiter_done(&limiter, &slots[0])); /* a free one is no harm */
    assert_int_equal(limiter.active, 0);
}

static void
test_dial_back_off_grows_to_its_bound(void **state) {
    (void)state;
    skua__dialler dialler;
    skua__dialler_init(&dialler, test_seed(3));
    int64_t now_ns = 0, link;
    const int64_t bounds_ms[] = {100, 200, 400, 600, 600, 600};
    skua__dialler_want(&dialler, 0);
    for (size_t i = 0; i < sizeof bounds_ms / sizeof bounds_ms[0]; i++) {
        assert_true(skua__dialler_due(&dialler, now_ns));
        assert_false(skua__dialler_due(&dialler, now_ns));
        assert_true(skua__dialler_wake_ns(&dialler) == SKUA_NEVER_NS);
        skua__dialler_started(&dialler, 7, now_ns);
        assert_false(skua__dialler_overdue(&dialler, now_ns));
        now_ns += SKUA__DIAL_CONNECT_MS * SKUA_NS_PER_MS;
        assert_true(skua__dialler_overdue(&dialler, now_ns));
        link = skua__dialler_failed(&dialler, SKUA__DIAL_OTHER_FAILURE, 2000, now_ns);
        assert_int_equal(link, 7);
        int64_t wait_us = (skua__dialler_wake_ns(&dialler) - now_ns) / SKUA_NS_PER_US;
        assert_in_range(wait_us, bounds_ms[i] * 750, bounds_ms[i] * 1250);
        assert_false(skua__dialler_due(&dialler, now_ns));
        now_ns = skua__dialler_wake_ns(&dialler);
    }
}

static void
test_dial_connected_gives_time_for_the_handshake(void **state) {
    (void)state;
    skua__dialler dialler;
    skua__dialler_init(&dialler, 3);
    skua__dialler_want(&dialler, 5);
    skua__dialler_want(&dialler, 9); /* never later */
    skua__dialler_started(&dialler, 1, 5);
    assert_int_equal(dialler.state, SKUA__DIALLER_WAITING); /* it was not asked for */
    assert_true(skua__dialler_due(&dialler, 5));
    skua__dialler_started(&dialler, 1, 5);
    skua__dialler_connected(&dialler, SKUA_NS_PER_S);
    assert_false(skua__dialler_overdue(&dialler, 3 * SKUA_NS_PER_S));
    assert_true(skua__dialler_overdue(&dialler, 4 * SKUA_NS_PER_S));
}

static void
test_dial_wish_does_not_shorten_a_rejection(void **state) {
    (void)state;
    skua__dialler dialler;
    skua__dialler_init(&dialler, 3);
    skua__dialler_want(&dialler, 0);
    assert_true(skua__dialler_due(&dialler, 0));
    skua__dialler_started(&dialler, 1, 0);
    skua__dialler_failed(&dialler, SKUA__DIAL_WAS_REJECTED, 600, 0);
    skua__dialler_want(&dialler, 1);
    assert_false(skua__dialler_due(&dialler, 7 * SKUA_NS_PER_S));
    skua__dialler_forgive(&dialler); /* a new incarnation may think differently */
    skua__dialler_want(&dialler, 1);
    assert_true(skua__dialler_due(&dialler, 1));
    uint32_t link = 99;
    assert_true(skua__dialler_off(&dialler, &link));
    assert_int_equal(link, 0);
    assert_false(skua__dialler_off(&dialler, &link));
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dial_limiter_keeps_its_bound_and_its_order),
        cmocka_unit_test(test_dial_back_off_grows_to_its_bound),
        cmocka_unit_test(test_dial_connected_gives_time_for_the_handshake),
        cmocka_unit_test(test_dial_wish_does_not_shorten_a_rejection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
