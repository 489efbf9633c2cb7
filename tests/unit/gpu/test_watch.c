// SPDX-License-Identifier: MPL-2.0
// The account of a device's memory, and the machine of its health: each transition, and random walks that must keep
// to the invariants.
#include "test.h"

#include <skua-int/admission.h>
#include <skua-int/rand.h>
#include <skua-int/watch.h>

static const uint64_t mib = 1 << 20;
static const int64_t second = 1000000000;

/* ---- Memory ---- */

static void
test_admission_leaves_a_reserve(void **state) {
    (void)state;
    skua__admission a;
    skua__admission_init(&a, 8192 * mib, 0, 0);
    assert_int_equal(a.limit_bytes, 7680 * mib); /* 1/16 */
    skua__admission_init(&a, 256 * mib, 0, 0);
    assert_int_equal(a.limit_bytes, 224 * mib); /* 32 MiB */
    skua__admission_init(&a, 64 * mib, 0, 0);
    assert_int_equal(a.limit_bytes, 48 * mib); /* 1/4 */
    skua__admission_init(&a, 64 * mib, 0, 10 * mib);
    assert_int_equal(a.limit_bytes, 54 * mib);
    skua__admission_init(&a, 64 * mib, 0, 100 * mib);
    assert_int_equal(a.limit_bytes, 0);
}

static void
test_admission_waits_evicts_or_sends_elsewhere(void **state) {
    (void)state;
    skua__admission a;
    uint64_t evict;
    skua__admission_init(&a, 110, 60, 10);
    assert_int_equal(skua__admission_ask(&a, 101, 50, 1, &evict), SKUA__ADMIT_ELSEWHERE);
    assert_int_equal(skua__admission_ask(&a, 70, 61, 1, &evict), SKUA__ADMIT_ELSEWHERE);
    assert_int_equal(skua__admission_ask(&a, 100, 60, 1, &evict), SKUA__ADMIT_NOW);
    skua__admission_take(&a, 60);
    assert_int_equal(skua__admission_ask(&a, 41, 41, 1, &evict), SKUA__ADMIT_WAIT);
    assert_int_equal(skua__admission_ask(&a, 40, 40, 1, &evict), SKUA__ADMIT_NOW);
    skua__admission_give(&a, 60, 50); /* 50 stay there */
    assert_int_equal(skua__admission_ask(&a, 50, 50, 1, &evict), SKUA__ADMIT_NOW);
    assert_int_equal(skua__admission_ask(&a, 60, 60, 1, &evict), SKUA__ADMIT_EVICT);
    assert_int_equal(evict, 10);
    skua__admission_reuse(&a, 30);
    assert_int_equal(a.used_bytes, 30);
    assert_int_equal(a.kept_bytes, 20);
    skua__admission_evicted(&a, 20);
    skua__admission_give(&a, 30, 0);
    assert_int_equal(a.used_bytes + a.kept_bytes, 0);
}

/* A device that refused at 40 of 100 is believed for 40, and for more as time passes. */
static void
test_admission_believes_a_liar_again_with_time(void **state) {
    (void)state;
    skua__admission a;
    uint64_t evict;
    skua__admission_init(&a, 110, 0, 10);
    skua__admission_take(&a, 40);
    skua__admission_refused(&a, 0, 70, 5 * second);
    skua__admission_give(&a, 40, 0);
    assert_int_equal(skua__admission_limit(&a, 5 * second), 40);
    assert_int_equal(skua__admission_limit(&a, 4 * second),
                     40); /* a clock that lags does no harm */
    assert_int_equal(skua__admission_ask(&a, 41, 41, 5 * second, &evict), SKUA__ADMIT_ELSEWHERE);
    assert_int_equal(skua__admission_limit(&a, 10 * second), 70);
    assert_int_equal(skua__admission_ask(&a, 69, 41, 10 * second, &evict), SKUA__ADMIT_NOW);
    assert_int_equal(skua__admission_limit(&a, 15 * second), 100);
    /* What the refused launch had taken proves nothing, and a launch alone that does not fit halves what it wanted. */
    skua__admission_take(&a, 80);
    skua__admission_refused(&a, 50, 50, 20 * second);
    assert_int_equal(skua__admission_limit(&a, 20 * second), 30);
    skua__admission_give(&a, 80, 0);
    skua__admission_take(&a, 64);
    skua__admission_refused(&a, 64, 64, 30 * second);
    assert_int_equal(skua__admission_limit(&a, 30 * second), 32);
}

/* ---- Health ---- */

static const skua__watch_launch fresh = {.repeatable = true};

static void
test_watch_evicts_once_then_closes(void **state) {
    (void)state;
    skua__watch w;
    skua__watch_init(&w, SKUA__WATCH_QUARANTINE_MIN_NS);
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_NO_MEMORY, fresh, 0),
                     SKUA__WATCH_EVICT | SKUA__WATCH_RETRY_HERE);
    assert_int_equal(w.state, SKUA__WATCH_GOOD);
    const skua__watch_launch again = {.evictions = 1, .repeatable = true};
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_NO_MEMORY, again, 7),
                     SKUA__WATCH_CLOSE | SKUA__WATCH_RETRY_ELSEWHERE);
    assert_int_equal(w.state, SKUA__WATCH_QUARANTINE);
    assert_int_equal(skua__watch_next_ns(&w), second + 7);
    assert_false(skua__watch_admits(&w, 0));
    /* What was under way beside it fails too, and changes nothing more. */
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_FAILED, fresh, 8),
                     SKUA__WATCH_RETRY_ELSEWHERE);
    assert_int_equal(w.quarantines, 1);
}

static void
test_watch_hang_abandons_and_unrepeatable_gives_up(void **state) {
    (void)state;
    skua__watch w;
    skua__watch_init(&w, SKUA__WATCH_QUARANTINE_MIN_NS);
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_HUNG, (skua__watch_launch){0}, 0),
                     SKUA__WATCH_CLOSE | SKUA__WATCH_ABANDON | SKUA__WATCH_GIVE_UP);
    skua__watch_init(&w, SKUA__WATCH_QUARANTINE_MIN_NS);
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_NO_MEMORY, (skua__watch_launch){0}, 0),
                     SKUA__WATCH_CLOSE | SKUA__WATCH_GIVE_UP);
}

static void
test_watch_comes_back_through_probation(void **state) {
    (void)state;
    skua__watch w;
    skua__watch_init(&w, SKUA__WATCH_QUARANTINE_MIN_NS);
    skua__watch_step(&w, SKUA__WATCH_FAILED, fresh, 0);
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_TICK, fresh, second - 1), 0);
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_TICK, fresh, second), SKUA__WATCH_REBUILD);
    assert_false(skua__watch_admits(&w, 0));
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_REBUILT, fresh, second), 0);
    assert_true(skua__watch_admits(&w, 0));
    assert_false(skua__watch_admits(&w, 1));
    skua__watch_step(&w, SKUA__WATCH_ENDED, fresh, second);
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_FAILED, fresh, second),
                     SKUA__WATCH_CLOSE | SKUA__WATCH_ABANDON | SKUA__WATCH_RETRY_ELSEWHERE);
    assert_int_equal(skua__watch_next_ns(&w), 3 * second); /* twice as long */
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_TICK, fresh, 3 * second),
                     SKUA__WATCH_REBUILD);
    skua__watch_step(&w, SKUA__WATCH_REBUILT, fresh, 3 * second);
    for (int i = 0; i < SKUA__WATCH_PROBATION; i++) {
        assert_int_equal(w.state, SKUA__WATCH_PROVING);
        skua__watch_step(&w, SKUA__WATCH_ENDED, fresh, 3 * second);
    }
    assert_int_equal(w.state, SKUA__WATCH_GOOD);
    assert_true(skua__watch_admits(&w, 100));
    assert_int_equal(w.quarantine_ns, second);
    assert_int_equal(skua__watch_next_ns(&w), INT64_MAX);
}

static void
test_watch_a_device_that_stays_away_is_gone(void **state) {
    (void)state;
    skua__watch w;
    skua__watch_init(&w, SKUA__WATCH_QUARANTINE_MIN_NS);
    skua__watch_step(&w, SKUA__WATCH_FAILED, fresh, 0);
    int64_t waited_ns = 0;
    for (int i = 0; i < SKUA__WATCH_REBUILD_FAILURES; i++) {
        assert_int_equal(w.state, SKUA__WATCH_QUARANTINE);
        int64_t now_ns = skua__watch_next_ns(&w);
        assert_true(now_ns - waited_ns <= SKUA__WATCH_QUARANTINE_MAX_NS);
        waited_ns = now_ns;
        assert_int_equal(skua__watch_step(&w, SKUA__WATCH_TICK, fresh, now_ns),
                         SKUA__WATCH_REBUILD);
        assert_int_equal(skua__watch_step(&w, SKUA__WATCH_REBUILD_FAILED, fresh, now_ns), 0);
    }
    assert_int_equal(w.state, SKUA__WATCH_GONE);
    assert_int_equal(waited_ns, (1 + 2 + 4 + 8 + 16 + 32 + 60 + 60) * second);
    assert_int_equal(skua__watch_step(&w, SKUA__WATCH_FAILED, fresh, waited_ns),
                     SKUA__WATCH_RETRY_ELSEWHERE);
    assert_false(skua__watch_admits(&w, 0));
}

static void
test_watch_only_long_and_unexpected_is_late(void **state) {
    (void)state;
    assert_int_equal(skua__watch_limit_ns(0, 10 * second), 10 * second);
    assert_int_equal(skua__watch_limit_ns(1000, 10 * second), 10 * second);
    assert_int_equal(skua__watch_limit_ns(3 * second, 10 * second), 60 * second);
    assert_int_equal(skua__watch_limit_ns(INT64_MAX / 2, 10 * second), INT64_MAX);
}

/* Whatever happens in whatever order: the promises of the header hold. */
static void
test_watch_random_walks_keep_the_promises(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(5)};
    for (int walk = 0; walk < 200; walk++) {
        skua__watch w;
        skua__watch_init(&w, SKUA__WATCH_QUARANTINE_MIN_NS);
        int64_t now_ns = 0;
        for (int i = 0; i < 500; i++) {
            now_ns += skua__rand_below(&rand, 1000) * (second / 500);
            skua__watch_state before = w.state;
            skua__watch_event event = SKUA__WATCH_ENDED + skua__rand_below(&rand, 7);
            skua__watch_launch launch = {.evictions = skua__rand_below(&rand, 2),
                                         .repeatable = skua__rand_below(&rand, 2) == 1};
            uint32_t actions = skua__watch_step(&w, event, launch, now_ns);
            bool failure = event >= SKUA__WATCH_NO_MEMORY && event <= SKUA__WATCH_HUNG;
            uint32_t fates = actions & (SKUA__WATCH_RETRY_HERE | SKUA__WATCH_RETRY_ELSEWHERE |
                                        SKUA__WATCH_GIVE_UP);
            /* Each failed launch has exactly one fate, and nothing else has any. */
            assert_true(failure ? fates && (fates & (fates - 1)) == 0 : fates == 0);
            assert_true(launch.repeatable || !failure || fates == SKUA__WATCH_GIVE_UP);
            assert_true(!(actions & SKUA__WATCH_REBUILD) || before == SKUA__WATCH_QUARANTINE);
            assert_true(!(actions & SKUA__WATCH_CLOSE) ||
                        (before != w.state && w.state == SKUA__WATCH_QUARANTINE));
            assert_true(before != SKUA__WATCH_GONE || w.state == SKUA__WATCH_GONE);
            assert_true(before != SKUA__WATCH_QUARANTINE || w.state != SKUA__WATCH_GOOD);
        }
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admission_leaves_a_reserve),
        cmocka_unit_test(test_admission_waits_evicts_or_sends_elsewhere),
        cmocka_unit_test(test_admission_believes_a_liar_again_with_time),
        cmocka_unit_test(test_watch_evicts_once_then_closes),
        cmocka_unit_test(test_watch_hang_abandons_and_unrepeatable_gives_up),
        cmocka_unit_test(test_watch_comes_back_through_probation),
        cmocka_unit_test(test_watch_a_device_that_stays_away_is_gone),
        cmocka_unit_test(test_watch_only_long_and_unexpected_is_late),
        cmocka_unit_test(test_watch_random_walks_keep_the_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
