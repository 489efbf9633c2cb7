// SPDX-License-Identifier: MPL-2.0
// I20: nodes that leave. One that is told to drains: it refuses what is new, hands back what waits, finishes what runs, and
// nothing is lost. One whose peers are dead leaves all the same.
#include "crew.h"
#include "stall.h"

#include <signal.h>
#include <skua-int/clock.h>
#include <string.h>

enum { MARKS = 4000, NAPS = 4 };

/* Tasks that may not run twice, so that whatever is lost shows: each ends OK, and has run once. */
static void
submit_marks(crew_bench *bench, skua_pool_future **futures, int first, int count) {
    for (int i = first; i < first + count; i++) {
        char text[8];
        int size = snprintf(text, sizeof text, "t%05d", i);
        futures[i] = bench_submit(
            bench, SKUA_TASK(.name = "mark", .input = text, .input_bytes = (size_t)size));
    }
}

static void
must_all_have_run_once(skua_pool_future **futures, int count) {
    for (int i = 0; i < count; i++) {
        skua_task_result result = bench_result(futures[i]);
        if (result.outcome != SKUA_OUTCOME_OK) {
            fail_msg("task %d ended %s on %s: %s", i, skua_outcome_text(result.outcome),
                     result.node, result.message);
        }
        skua_pool_future_free(futures[i]);
    }
    assert_int_equal(marks_count("t"), count);
    uint8_t runs[MARKS] = {0};
    FILE *file = fopen(getenv("SKUA_TEST_MARKS"), "re");
    assert_non_null(file);
    for (char line[128]; fgets(line, sizeof line, file);) {
        if (line[0] == 't') {
            runs[atoi(line + 1)]++;
        }
    }
    fclose(file);
    for (int i = 0; i < count; i++) {
        assert_int_equal(runs[i], 1);
    }
}

/* I20: SIGTERM in the middle, with tasks that run for long, tasks that wait, and tasks that are still submitted. */
static void
test_leaving_on_sigterm_loses_nothing(void **state) {
    (void)state;
    static skua_pool_future *futures[MARKS];
    skua_pool_future *naps[NAPS];
    crew_team crew;
    crew_bench bench;
    marks_begin();
    crew_start(&crew, 2);
    bench_open(&bench, "submitter", 0);
    bench_await(&bench, 2);
    for (int i = 0; i < NAPS; i++) {
        naps[i] = bench_submit(
            &bench, SKUA_TASK(.name = "nap", .node = i % 2 ? "w1" : "w0", .node_only = 1));
    }
    submit_marks(&bench, futures, 0, MARKS / 2);
    marks_await("nap", NAPS);
    crew_kill(&crew, 0, SIGTERM);
    submit_marks(&bench, futures, MARKS / 2, MARKS / 2);
    must_all_have_run_once(futures, MARKS);
    for (int i = 0; i < NAPS; i++) { /* what ran was finished, and not told to give up */
        assert_int_equal(bench_result(naps[i]).outcome, SKUA_OUTCOME_OK);
        skua_pool_future_free(naps[i]);
    }
    assert_int_equal(bench_counters(&bench).infrastructure_failures, 0);
    bench_close(&bench);
    crew_stop(&crew);
}

/* I20: the same without a drain: the pool is closed, and hands back what it has not started. */
static void
test_leaving_by_a_close_loses_nothing(void **state) {
    (void)state;
    static skua_pool_future *futures[MARKS];
    crew_team crew;
    crew_bench bench;
    marks_begin();
    crew_start(&crew, 2);
    bench_open(&bench, "submitter", 0);
    bench_await(&bench, 2);
    submit_marks(&bench, futures, 0, MARKS);
    crew_leave(&crew, 0);
    must_all_have_run_once(futures, MARKS);
    bench_close(&bench);
    crew_stop(&crew);
}

/* I20: both peers are stopped, with tasks of ours in their hands, ours the links to them: we end without them. */
static void
test_leaving_dead_peers_behind(void **state) {
    (void)state;
    enum { TASKS = 40 };
    crew_team crew;
    crew_bench bench;
    marks_begin();
    crew_start(&crew, 2);
    bench_open(&bench, "both", 1);
    skua_error err = {0};
    must(skua_pool_register(bench.pool, "upper", 1, crew_upper, NULL, &err), &err);
    bench_await(&bench, 2);
    skua_pool_future *futures[TASKS];
    for (int i = 0; i < TASKS; i++) {
        futures[i] = bench_submit(&bench, SKUA_TASK(.name = "stall"));
    }
    marks_await("begin", 4);
    crew_kill(&crew, 0, SIGSTOP);
    crew_kill(&crew, 1, SIGSTOP);
    stall_meter *meter = stall_meter_begin();
    int64_t start_ns = skua__clock_ns();
    skua_pool_close(bench.pool);
    int64_t pool_ns = skua__clock_ns() - start_ns;
    skua_exec_close(bench.exec);
    skua_node_close(bench.node);
    print_message("the pool's part: %.1f ms\n", (double)pool_ns / 1e6);
    stall_meter_must_keep(meter, "I20: a clean stop with dead peers", 500);
    for (int i = 0; i < TASKS; i++) {
        assert_int_equal(bench_result(futures[i]).outcome, SKUA_OUTCOME_CANCELLED);
        skua_pool_future_free(futures[i]);
    }
    crew_kill(&crew, 0, SIGCONT);
    crew_kill(&crew, 1, SIGCONT);
    crew_stop(&crew);
}

int
main(int argc, char **argv) {
    int code;
    if (crew_main(argc, argv, &code)) {
        return code;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaving_on_sigterm_loses_nothing),
        cmocka_unit_test(test_leaving_by_a_close_loses_nothing),
        cmocka_unit_test(test_leaving_dead_peers_behind),
    };
    cmocka_set_test_filter(getenv("SKUA_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
