// SPDX-License-Identifier: MPL-2.0
// The meter of the benchmarks: what it counts, and that a machine that stood still from its warm-up to its end has measured
// nothing yet.
#include "perf.h"
#include "test.h"

#include <skua-int/clock.h>

static const double short_s = 1e-6; /* 1000 ns, after 125 of warm-up */

static void
wait_until_over(void) {
    int64_t until_ns = skua__clock_ns() + 10000;
    while (skua__clock_ns() < until_ns) {
    }
}

static void
test_meter_round_trips_end_with_one_that_counts(void **state) {
    (void)state;
    struct perf_shared shared = {0};
    perf_run run = {.what = &(perf_case){0}, .seconds = short_s, .shared = &shared};
    perf_meter *meter = perf_meter_new(&run);
    assert_false(
        perf_meter_round_trip(meter, 900, 1000)); /* the first: it begins 1125, ends 2125 */
    assert_false(perf_meter_round_trip(meter, 1100, 1900)); /* began in the warm-up */
    assert_false(perf_meter_round_trip(meter, 1120, 5000)); /* the end is over, and none counted */
    assert_true(perf_meter_round_trip(meter, 5000, 5200));
    assert_true(shared.sample.min == 0.2 && shared.sample.max == 0.2);
    assert_true(shared.sample.p50 > 0.19 && shared.sample.p50 < 0.21);
    perf_meter_free(meter);
}

static void
test_meter_messages_are_counted_for_as_long_as_they_should(void **state) {
    (void)state;
    struct perf_shared shared = {0};
    perf_run run = {
        .what = &(perf_case){.size_bytes = 1 << 16}, .seconds = short_s, .shared = &shared};
    perf_meter *meter = perf_meter_new(&run); /* of large messages each looks at the clock */
    assert_false(perf_meter_done(meter, 1, 0));
    wait_until_over();
    assert_false(perf_meter_done(meter, 100,
                                 50)); /* the warm-up is over, and so is the end: counting begins */
    wait_until_over();
    assert_true(perf_meter_done(meter, 3, 2));
    assert_int_equal(shared.sample.lost, 2);
    assert_true(shared.sample.p50 > 0 &&
                shared.sample.p50 <= 3e9 / 10000); /* three, in 10 us at least */
    perf_meter_free(meter);
}

/* What began late is measured for as long as anything else. */
static void
test_meter_that_began_late_ends_late(void **state) {
    (void)state;
    enum { LENGTH_NS = 20 * 1000 * 1000 };
    struct perf_shared shared = {0};
    perf_run run = {
        .what = &(perf_case){.size_bytes = 1 << 16}, .seconds = LENGTH_NS / 1e9, .shared = &shared};
    perf_meter *meter = perf_meter_new(&run);
    assert_false(perf_meter_done(meter, 1, 0));
    int64_t over_ns = skua__clock_ns() + 2 * LENGTH_NS;
    while (skua__clock_ns() < over_ns) {
    }
    int64_t began_ns = skua__clock_ns();
    assert_false(perf_meter_done(meter, 1, 0));
    for (bool over = false; !over;) {
        over = perf_meter_done(meter, 1, 0);
        assert_true(!over || skua__clock_ns() - began_ns >= LENGTH_NS);
    }
    perf_meter_free(meter);
}

static void
test_meter_tells_what_is_missing(void **state) {
    (void)state;
    struct perf_shared shared = {0};
    perf_run run = {
        .what = &(perf_case){.size_bytes = 1 << 16}, .seconds = short_s, .shared = &shared};
    perf_meter *meter = perf_meter_new(&run);
    assert_false(perf_meter_message(meter, &(uint64_t){4})); /* before it counts, nothing is */
    wait_until_over();
    assert_false(perf_meter_message(meter, &(uint64_t){9}));
    wait_until_over();
    assert_true(perf_meter_message(meter, &(uint64_t){15})); /* 10 to 14 */
    assert_int_equal(shared.sample.lost, 5);
    perf_meter_free(meter);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meter_round_trips_end_with_one_that_counts),
        cmocka_unit_test(test_meter_messages_are_counted_for_as_long_as_they_should),
        cmocka_unit_test(test_meter_that_began_late_ends_late),
        cmocka_unit_test(test_meter_tells_what_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
