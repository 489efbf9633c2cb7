// SPDX-License-Identifier: MPL-2.0
// Batches at the edges of what is promised of them: no time at all, launches that could never run, split ones whose buffers
// count in the pool's window, readers beside each other, and the child of a fork.
#include "batch_bench.h"

/* ---- Deadlines ---- */

/* Nothing is in flight, so that a request leaves in the call itself: one without any time must not. */
static void
test_batch_no_time_at_all_never_starts(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, false, 0);
    open_plain(&b, "gated", NULL);
    gate_let(&b, 100);
    skua_batch_future *future = NULL;
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(ask_row(&b, i, SKUA_NONE, &future), 0);
        skua_batch_result result = end_row(future, i);
        assert_int_equal(result.status, SKUA_E_TIMEOUT);
        assert_int_equal(result.batch_requests, 0);
    }
    assert_int_equal(ask_row(&b, 7, 20000, &future), 0); /* one with time does */
    assert_int_equal(end_row(future, 7).status, 0);
    assert_int_equal(b.waiting, 1);
    skua_batch_counters counters = bench_stats(&b);
    assert_int_equal(counters.batches, 1);
    assert_int_equal(counters.ended_timeout, 5);
    batch_bench_close(&b);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_no_time_at_all_never_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
