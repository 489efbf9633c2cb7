// SPDX-License-Identifier: MPL-2.0
// Tasks on other nodes, each a process of its own: results, batches, refusals, cancels, deadlines, and nodes that go in
// good order or are killed.
#include "crew.h"
#include "stall.h"

#include <signal.h>
#include <skua-int/clock.h>
#include <string.h>

/* A pool without an executor hands everything to its peers; one with, takes what is done first. */
static void
test_remote_runs_a_task_elsewhere(void **state) {
    (void)state;
    crew_team crew;
    crew_bench bench;
    crew_start(&crew, 1);
    bench_open(&bench, "submitter", 0);
    bench_await(&bench, 1);
    skua_pool_future *future =
        bench_submit(&bench, SKUA_TASK(.name = "upper", .input = "skua", .input_bytes = 4));
    skua_task_result result = bench_result(future);
    assert_int_equal(result.outcome, SKUA_OUTCOME_OK);
    assert_int_equal(result.output_bytes, 4);
    assert_memory_equal(result.output, "SKUA", 4);
    assert_string_equal(result.node, "w0");
    skua_pool_future_free(future);

    future = bench_submit(&bench, SKUA_TASK(.name = "fail"));
    result = bench_result(future);
    assert_int_equal(result.outcome, SKUA_OUTCOME_EXIT);
    assert_int_equal(result.code, 7);
    assert_string_equal(result.message, "it was not to be");
    skua_pool_future_free(future);

    enum { LARGE = 3 * 1000 * 1000 };
    char *large = malloc(LARGE);
    assert_non_null(large);
    memset(large, 'a', LARGE);
    future = bench_submit(&bench, SKUA_TASK(.name = "upper", .input = large, .input_bytes = LARGE));
    result = bench_result(future);
    assert_int_equal(result.outcome, SKUA_OUTCOME_OK);
    assert_int_equal(result.output_bytes, LARGE);
    for (size_t i = 0; i < LARGE; i += 9973) {
        assert_int_equal(((const char *)result.output)[i], 'A');
    }
    free(large);
    skua_pool_future_free(future);
    bench_close(&bench);
    crew_stop(&crew);
}

/* I2: refused at once, and the next task succeeds. */
static void
test_remote_unknown_task_is_refused(void **state) {
    (void)state;
    crew_team crew;
    crew_bench bench;
    crew_start(&crew, 2);
    bench_open(&bench, "submitter", 0);
    bench_await(&bench, 2);
    stall_meter *meter = stall_meter_begin();
    skua_pool_future *future = bench_submit(&bench, SKUA_TASK(.name = "resize"));
    skua_task_result result = bench_result(future);
    stall_meter_must_keep(meter, "I2: an unknown task refused", 100);
    assert_int_equal(result.outcome, SKUA_OUTCOME_REFUSED);
    assert_non_null(strstr(result.message, "2 peers"));
    assert_non_null(strstr(result.message, "upper"));
    skua_pool_future_free(future);
    future = bench_submit(&bench, SKUA_TASK(.name = "noop", .node = "w1", .node_only = 1));
    result = bench_result(future);
    assert_int_equal(result.outcome, SKUA_OUTCOME_OK);
    assert_string_equal(result.node, "w1");
    skua_pool_future_free(future);
    bench_close(&bench);
    crew_stop(&crew);
}

/* I8: a cancel reaches the node that runs the task, and the deadline travels as what is left of it. */
static void
test_remote_cancel_and_deadline_reach_the_worker(void **state) {
    (void)state;
    crew_team crew;
    crew_bench bench;
    marks_begin();
    crew_start(&crew, 1);
    bench_open(&bench, "submitter", 0);
    bench_await(&bench, 1);
    skua_pool_future *cancelled = bench_submit(&bench, SKUA_TASK(.name = "stall"));
    marks_await("begin", 1);
    skua_pool_cancel(cancelled);
    assert_int_equal(bench_result(cancelled).outcome, SKUA_OUTCOME_CANCELLED);
    marks_await("end", 1);
    skua_pool_future *late = bench_submit(&bench, SKUA_TASK(.name = "stall", .timeout_ms = 100));
    assert_int_equal(bench_result(late).outcome, SKUA_OUTCOME_TIMEOUT);
    marks_await("end", 2);
    skua_pool_future_free(cancelled);
    skua_pool_future_free(late);
    bench_close(&bench);
    crew_stop(&crew);
}

enum { MANY = 10000 };

struct job {
    skua_pool_future *future;
    char text[8];
};

static struct job *
submit_marks(crew_bench *bench, int count, bool idempotent) {
    struct job *jobs = calloc((size_t)count, sizeof *jobs);
    assert_non_null(jobs);
    for (int i = 0; i < count; i++) {
        int size = snprintf(jobs[i].text, sizeof jobs[i].text, "t%05d", i);
        const skua_task task = {.size = sizeof task,
                                .name = "mark",
                                .input = jobs[i].text,
                                .input_bytes = (size_t)size,
                                .idempotent = idempotent};
        jobs[i].future = bench_submit(bench, &task);
    }
    return jobs;
}

/* How often each task ran, from the marks. */
static uint8_t *
read_runs(int count) {
    uint8_t *runs = calloc((size_t)count, 1);
    assert_non_null(runs);
    FILE *file = fopen(getenv("SKUA_TEST_MARKS"), "re");
    assert_non_null(file);
    char line[128];
    while (fgets(line, sizeof line, file)) {
        int number = atoi(line + 1);
        assert_true(line[0] == 't' && number >= 0 && number < count);
        runs[number]++;
    }
    fclose(file);
    return runs;
}

/* I1, I6: 10,000 tasks over three nodes, one of which is killed in the middle: each ends once, with its own result. */
static void
test_remote_kill_loses_no_idempotent_task(void **state) {
    (void)state;
    crew_team crew;
    crew_bench bench;
    marks_begin();
    crew_start(&crew, 3);
    bench_open(&bench, "submitter", 0);
    bench_await(&bench, 3);
    struct job *jobs = submit_marks(&bench, MANY / 2, true);
    crew_kill(&crew, 1, SIGKILL);
    struct job *more = submit_marks(&bench, MANY / 2, true);
    for (int i = 0; i < MANY; i++) {
        struct job *job = i < MANY / 2 ? &jobs[i] : &more[i - MANY / 2];
        skua_task_result result = bench_result(job->future);
        assert_int_equal(result.outcome, SKUA_OUTCOME_OK);
        assert_int_equal(result.output_bytes, strlen(job->text));
        assert_memory_equal(result.output, job->text, result.output_bytes);
        skua_pool_future_free(job->future);
    }
    skua_pool_counters counters = bench_counters(&bench);
    assert_int_equal(counters.submitted, MANY);
    assert_int_equal(counters.ended[SKUA_OUTCOME_OK], MANY);
    assert_true(counters.retries > 0);
    print_message("retries %llu, fenced %llu, deaths %llu\n", (unsigned long long)counters.retries,
                  (unsigned long long)counters.results_fenced,
                  (unsigned long long)counters.infrastructure_failures);
    free(jobs);
    free(more);
    bench_close(&bench);
    crew_stop(&crew);
}

/* I6: what may not run twice ends LOST when its node dies, and never runs twice. */
static void
test_remote_kill_never_runs_a_task_twice(void **state) {
    (void)state;
    crew_team crew;
    crew_bench bench;
    marks_begin();
    crew_start(&crew, 3);
    bench_open(&bench, "submitter", 0);
    bench_await(&bench, 3);
    struct job *jobs = submit_marks(&bench, MANY / 2, false);
    crew_kill(&crew, 2, SIGKILL);
    int lost = 0, ok = 0;
    bool was_ok[MANY / 2];
    for (int i = 0; i < MANY / 2; i++) {
        skua_task_result result = bench_result(jobs[i].future);
        was_ok[i] = result.outcome == SKUA_OUTCOME_OK;
        ok += was_ok[i];
        lost += result.outcome == SKUA_OUTCOME_LOST;
        if (result.outcome == SKUA_OUTCOME_LOST) {
            assert_string_equal(result.node, "w2");
            assert_non_null(strstr(result.message, "not marked idempotent"));
        }
        skua_pool_future_free(jobs[i].future);
    }
    assert_int_equal(ok + lost, MANY / 2);
    assert_true(lost > 0);
    uint8_t *runs = read_runs(MANY / 2);
    for (int i = 0; i < MANY / 2; i++) {
        assert_true(runs[i] <= 1);
        assert_true(!was_ok[i] || runs[i] == 1);
    }
    free(runs);
    free(jobs);
    bench_close(&bench);
    crew_stop(&crew);
}

/* Short tasks run on the thread that receives them, once they are known to be short; both nodes get their part. */
static void
test_remote_short_tasks_run_where_they_arrive(void **state) {
    (void)state;
    crew_team crew;
    crew_bench bench;
    crew_start(&crew, 2);
    bench_open(&bench, "submitter", 0);
    bench_await(&bench, 2);
    enum { COUNT = 20000 };
    skua_error err = {0};
    for (int i = 0; i < COUNT; i++) {
        must(skua_pool_submit_wait(bench.pool, SKUA_TASK(.name = "noop"), CREW_WAIT_MS, NULL, &err),
             &err);
    }
    must(skua_pool_await_all(bench.pool, CREW_WAIT_MS, &err), &err);
    skua_pool_counters counters = bench_counters(&bench);
    for (int i = 1; i < 8; i++) {
        print_message("%s %llu\n", skua_outcome_text(i), (unsigned long long)counters.ended[i]);
    }
    assert_int_equal(counters.ended[SKUA_OUTCOME_OK], COUNT);
    skua_pool_backend backends[3];
    size_t count = 0;
    must(skua_pool_backends(bench.pool, backends, sizeof backends[0], 3, &count, &err), &err);
    assert_int_equal(count, 2);
    assert_int_equal(backends[0].tasks + backends[1].tasks, COUNT);
    bench_close(&bench);
    crew_stop(&crew);
}

/* A pool that both runs tasks and hands them on: what is named goes where it is named, the rest where it is done first. */
static void
test_remote_and_local_together(void **state) {
    (void)state;
    crew_team crew;
    crew_bench bench;
    crew_start(&crew, 1);
    bench_open(&bench, "both", 1);
    skua_error err = {0};
    must(skua_pool_register(bench.pool, "upper", 1, crew_upper, NULL, &err), &err);
    must(skua_pool_await_nodes(bench.pool, "upper", 2, CREW_WAIT_MS, &err), &err);
    skua_pool_future *here =
        bench_submit(&bench, SKUA_TASK(.name = "upper", .node = "both", .node_only = 1));
    skua_pool_future *there =
        bench_submit(&bench, SKUA_TASK(.name = "upper", .node = "w0", .node_only = 1));
    assert_string_equal(bench_result(here).node, "both");
    assert_string_equal(bench_result(there).node, "w0");
    char text[256];
    skua_pool_explain(there, text, sizeof text);
    assert_non_null(strstr(text, "w0: wait"));
    skua_pool_future_free(here);
    skua_pool_future_free(there);
    for (int i = 0; i < 500; i++) {
        skua_pool_future *future =
            bench_submit(&bench, SKUA_TASK(.name = "upper", .input = "x", .input_bytes = 1));
        assert_int_equal(bench_result(future).outcome, SKUA_OUTCOME_OK);
        skua_pool_future_free(future);
    }
    skua_pool_backend backends[2];
    size_t count = 0;
    must(skua_pool_backends(bench.pool, backends, sizeof backends[0], 2, &count, &err), &err);
    assert_int_equal(count, 2);
    /* A call next door takes less than a message: nearly all of them ran here. */
    assert_true(backends[0].tasks > backends[1].tasks);
    bench_close(&bench);
    crew_stop(&crew);
}

int
main(int argc, char **argv) {
    int code;
    if (crew_main(argc, argv, &code)) {
        return code;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remote_runs_a_task_elsewhere),
        cmocka_unit_test(test_remote_unknown_task_is_refused),
        cmocka_unit_test(test_remote_cancel_and_deadline_reach_the_worker),
        cmocka_unit_test(test_remote_kill_loses_no_idempotent_task),
        cmocka_unit_test(test_remote_kill_never_runs_a_task_twice),
        cmocka_unit_test(test_remote_short_tasks_run_where_they_arrive),
        cmocka_unit_test(test_remote_and_local_together),
    };
    cmocka_set_test_filter(getenv("SKUA_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
