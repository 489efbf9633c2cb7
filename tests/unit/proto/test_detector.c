// SPDX-License-Identifier: MPL-2.0
// The silence rule at its edges (I9), the lived clock, and the smoothed round trip.
#include "test.h"

#include <skua-int/clock.h>
#include <skua-int/detector.h>

static const int64_t T = SKUA_NS_PER_S;

static skua__verdict
judge(const skua__detector *detector, int64_t now_ns) {
    int64_t next_ns;
    return skua__detector_judge(detector, now_ns, &next_ns);
}

static void
test_detector_i9_silence_rule(void **state) {
    (void)state;
    skua__detector detector;
    skua__detector_init(&detector, T, 0);
    assert_int_equal(judge(&detector, 2 * T - 1), SKUA__VERDICT_FRESH);
    assert_int_equal(judge(&detector, 2 * T), SKUA__VERDICT_SUSPECT);
    assert_int_equal(judge(&detector, 3 * T), SKUA__VERDICT_SUSPECT); /* never under 3 T */
    assert_int_equal(judge(&detector, 13 * T / 4 - 1), SKUA__VERDICT_SUSPECT);
    assert_int_equal(judge(&detector, 13 * T / 4), SKUA__VERDICT_DEAD);
    assert_true(13 * T / 4 <= 7 * T / 2 + 100 * SKUA_NS_PER_MS);
    skua__detector_heard(&detector, true, 2 * T);
    assert_int_equal(judge(&detector, 4 * T - 1), SKUA__VERDICT_FRESH);
    skua__detector_heard(&detector, true, T); /* late news change nothing */
    assert_int_equal(judge(&detector, 4 * T - 1), SKUA__VERDICT_FRESH);
}

static void
test_detector_beacons_alone_do_not_keep_a_link(void **state) {
    (void)state;
    skua__detector detector;
    skua__detector_init(&detector, T, 0);
    for (int64_t now_ns = 0; now_ns < 13 * T / 4; now_ns += T / 4) {
        skua__detector_heard(&detector, false, now_ns);
        assert_int_equal(judge(&detector, now_ns), SKUA__VERDICT_FRESH);
    }
    skua__detector_heard(&detector, false, 13 * T / 4);
    assert_int_equal(judge(&detector, 13 * T / 4), SKUA__VERDICT_LINK_STALE);
    skua__detector_heard(&detector, false, 6 * T);
    assert_int_equal(judge(&detector, 6 * T - 1), SKUA__VERDICT_LINK_STALE);
    assert_int_equal(judge(&detector, 6 * T), SKUA__VERDICT_UNREACHABLE);
    skua__detector_heard(&detector, true, 6 * T);
    assert_int_equal(judge(&detector, 6 * T), SKUA__VERDICT_FRESH);
}

static void
test_detector_says_when_the_verdict_changes(void **state) {
    (void)state;
    skua__detector detector;
    skua__detector_init(&detector, T, 0);
    skua__verdict seen[8];
    size_t count = 0;
    for (int64_t now_ns = 0, next_ns; now_ns != SKUA_NEVER_NS && count < 8; now_ns = next_ns) {
        seen[count++] = skua__detector_judge(&detector, now_ns, &next_ns);
        assert_true(next_ns > now_ns);
    }
    assert_in_range(count, 3, 5);
    assert_int_equal(seen[0], SKUA__VERDICT_FRESH);
    assert_int_equal(seen[1], SKUA__VERDICT_SUSPECT);
    assert_int_equal(seen[2], SKUA__VERDICT_DEAD);
}

static void
test_detector_lived_clock_leaves_stalls_out(void **state) {
    (void)state;
    skua__lived lived;
    int64_t clock_ns = 1000 * T;
    skua__lived_init(&lived, T, clock_ns);
    assert_int_equal(skua__lived_tick_ns(&lived), T / 4);
    int64_t before_ns = skua__lived_now(&lived, clock_ns);
    clock_ns += 3 * T / 4; /* late, but not by more than T/2: it counts */
    assert_int_equal(skua__lived_now(&lived, clock_ns), before_ns + 3 * T / 4);
    assert_int_equal(lived.stalls, 0);
    clock_ns += 2 * T; /* stopped for two heartbeats: one tick counts */
    int64_t after_ns = skua__lived_now(&lived, clock_ns);
    assert_int_equal(after_ns, before_ns + T);
    assert_int_equal(lived.stalls, 1);
    assert_int_equal(skua__lived_now(&lived, clock_ns - T), after_ns); /* it never falls */
    assert_int_equal(skua__lived_to_clock(&lived, after_ns), clock_ns);
    assert_true(skua__lived_to_clock(&lived, SKUA_NEVER_NS) == SKUA_NEVER_NS);
}

static void
test_detector_rtt_follows_samples(void **state) {
    (void)state;
    skua__rtt rtt = {0};
    skua__rtt_sample(&rtt, -5);
    assert_int_equal(rtt.smoothed_ns, 0);
    skua__rtt_sample(&rtt, 8000);
    assert_int_equal(rtt.smoothed_ns, 8000);
    for (int i = 0; i < 100; i++) {
        skua__rtt_sample(&rtt, 1000);
    }
    assert_in_range(rtt.smoothed_ns, 1000, 1010);
    assert_in_range(rtt.deviation_ns, 0, 10);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_detector_i9_silence_rule),
        cmocka_unit_test(test_detector_beacons_alone_do_not_keep_a_link),
        cmocka_unit_test(test_detector_says_when_the_verdict_changes),
        cmocka_unit_test(test_detector_lived_clock_leaves_stalls_out),
        cmocka_unit_test(test_detector_rtt_follows_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
