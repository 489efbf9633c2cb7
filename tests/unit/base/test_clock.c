// SPDX-License-Identifier: MPL-2.0
// Deadlines: never, now, and sums that would overflow.
#include "test.h"

#include <skua-int/clock.h>
#include <skua/common.h>

static void
test_clock_deadlines_do_not_overflow(void **state) {
    (void)state;
    assert_int_equal(skua__deadline_ns(SKUA_UNLIMITED), SKUA_NEVER_NS);
    assert_int_equal(skua__deadline_ns(INT64_MAX), SKUA_NEVER_NS);
    assert_int_equal(skua__deadline_left_ms(SKUA_NEVER_NS), -1);
    assert_int_equal(skua__deadline_left_ms(skua__deadline_ns(SKUA_NONE)), 0);
    assert_int_equal(skua__deadline_left_ms(INT64_MAX - 1), INT32_MAX);
}

static void
test_clock_rounds_what_is_left_up(void **state) {
    (void)state;
    /* A wait of under 1 ms must not become a busy loop of waits of 0 ms. */
    int64_t soon_ns = skua__clock_ns() + 1000 * SKUA_NS_PER_S;
    int left_ms = skua__deadline_left_ms(soon_ns);
    assert_in_range(left_ms, 900 * 1000, 1000 * 1000);
    struct timespec at = skua__clock_timespec(3 * SKUA_NS_PER_S + 5);
    assert_int_equal(at.tv_sec, 3);
    assert_int_equal(at.tv_nsec, 5);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_deadlines_do_not_overflow),
        cmocka_unit_test(test_clock_rounds_what_is_left_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
