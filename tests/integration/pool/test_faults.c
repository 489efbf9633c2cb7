// SPDX-License-Identifier: MPL-2.0
// I7: tasks that nodes die of, nodes that tasks fail on, and how both are kept from doing more harm.
#include "crew.h"
#include "failing_allocator.h"

#include <signal.h>
#include <string.h>

/* I7: a task that kills three nodes is poisoned; a fourth survives it. */
static void
test_faults_poisoned_task_spares_the_last_node(void **state) {
    (void)state;
    crew_team crew;
    crew_bench bench;
    crew_start(&crew, 4);
    bench_open(&bench, "submitter", 0);
    bench_await(&bench, 4);
    skua_pool_future *future =
        bench_submit(&bench, SKUA_TASK(.name = "die", .idempotent = 1, .max_attempts = 50));
    skua_task_result result = bench_result(future);
    assert_int_equal(result.outcome, SKUA_OUTCOME_LOST);
    assert_int_equal(result.attempts, 3);
    assert_int_equal(bench_counters(&bench).poisoned, 1);
    skua_pool_future_free(future);
    future = bench_submit(&bench, SKUA_TASK(.name = "noop"));
    assert_int_equal(bench_result(future).outcome, SKUA_OUTCOME_OK);
    skua_pool_future_free(future);
    bench_close(&bench);
    crew_stop(&crew);
}

/* Three tasks are on w0 when it is stopped: their leases run out. */
static void
fail_three_on_w0(crew_team *crew, crew_bench *bench) {
    skua_pool_future *futures[3];
    for (int i = 0; i < 3; i++) {
        futures[i] = bench_submit(bench, SKUA_TASK(.name = "stall", .node = "w0",
                                                   .idempotent = i < 2, .max_attempts = 1));
    }
    marks_await("begin", 2); /* its two workers; the third waits there */
    crew_kill(crew, 0, SIGSTOP);
    for (int i = 0; i < 3; i++) {
        skua_task_result result = bench_result(futures[i]);
        assert_int_equal(result.outcome, SKUA_OUTCOME_LOST);
        assert_int_equal(result.attempts, 1);
        skua_pool_future_free(futures[i]);
    }
    crew_kill(crew, 0, SIGCONT);
}

static void
bench_open_quarantine(crew_bench *bench, int64_t quarantine_ms) {
    skua_error err = {0};
    memset(bench, 0, sizeof *bench);
    bench_open_with(bench, "submitter",
                    SKUA_POOL_OPTIONS(.lease_ms = 1500, .quarantine_ms = quarantine_ms), &err);
    bench_await(bench, 2);
}

/* I7: a node on which three different tasks failed is given no more for a while, however much it is preferred. */
static void
test_faults_node_is_quarantined(void **state) {
    (void)state;
    crew_team crew;
    crew_bench bench;
    marks_begin();
    crew_start(&crew, 2);
    bench_open_quarantine(&bench, 3600 * 1000);
    fail_three_on_w0(&crew, &bench);
    skua_pool_counters counters = bench_counters(&bench);
    assert_int_equal(counters.quarantines, 1);
    assert_int_equal(counters.infrastructure_failures, 3);
    assert_int_equal(counters.application_failures, 0);
    skua_error err = {0};
    skua_pool_backend backends[2];
    size_t count = 0;
    must(skua_pool_backends(bench.pool, backends, sizeof backends[0], 2, &count, &err), &err);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(backends[i].quarantined_ms > 0, strcmp(backends[i].name, "w0") == 0);
    }
    for (int i = 0; i < 20; i++) {
        skua_pool_future *future = bench_submit(&bench, SKUA_TASK(.name = "noop", .node = "w0"));
        skua_task_result result = bench_result(future);
        assert_int_equal(result.outcome, SKUA_OUTCOME_OK);
        assert_string_equal(result.node, "w1");
        skua_pool_future_free(future);
    }
    /* What fails by its own fault is counted apart, and is no node's. */
    for (int i = 0; i < 10; i++) {
        skua_pool_future *future = bench_submit(&bench, SKUA_TASK(.name = "fail"));
        assert_int_equal(bench_result(future).outcome, SKUA_OUTCOME_EXIT);
        skua_pool_future_free(future);
    }
    counters = bench_counters(&bench);
    assert_int_equal(counters.quarantines, 1);
    assert_int_equal(counters.application_failures, 10);
    bench_close(&bench);
    crew_stop(&crew);
}

/* I7: it ends: what may only run there waits, and runs. */
static void
test_faults_quarantine_expires(void **state) {
    (void)state;
    crew_team crew;
    crew_bench bench;
    marks_begin();
    crew_start(&crew, 2);
    bench_open_quarantine(&bench, 700);
    fail_three_on_w0(&crew, &bench);
    skua_pool_future *future =
        bench_submit(&bench, SKUA_TASK(.name = "noop", .node = "w0", .node_only = 1));
    skua_task_result result = bench_result(future);
    assert_int_equal(result.outcome, SKUA_OUTCOME_OK);
    assert_string_equal(result.node, "w0");
    assert_int_equal(bench_counters(&bench).quarantines, 1);
    skua_pool_future_free(future);
    bench_close(&bench);
    crew_stop(&crew);
}

/*
 * I19: the only worker is stopped and the program goes on submitting: all but the window's tasks get EAGAIN, and memory stays
 * where it was when the window was full. SKUA_TEST_SUBMITS says how many are tried; `./dev test` tries a million.
 */
static void
test_faults_stopped_worker_bounds_memory(void **state) {
    (void)state;
    enum { WINDOW = 1000, INPUT_BYTES = 100 };
    const char *given = getenv("SKUA_TEST_SUBMITS");
    long submits = given ? atol(given) : 1000000;
    static const char input[INPUT_BYTES];
    crew_team crew;
    crew_bench bench = {.heartbeat_ms = 60 * 1000}; /* it is stopped for long, and not dead */
    failing_allocator allocator;
    skua_error err = {0};
    failing_allocator_init(&allocator, 0);
    crew_start(&crew, 1);
    bench_open_with(&bench, "submitter",
                    SKUA_POOL_OPTIONS(.allocator = &allocator.hook, .window_tasks = WINDOW,
                                      .lease_ms = 3600 * 1000),
                    &err);
    bench_await(&bench, 1);
    crew_kill(&crew, 0, SIGSTOP);
    const skua_task task = {
        .size = sizeof task, .name = "noop", .input = input, .input_bytes = sizeof input};
    long taken = 0, again = 0, most = 0;
    for (long i = 0; i < submits; i++) {
        skua_status status = skua_pool_submit(bench.pool, &task, NULL, NULL);
        taken += status == SKUA_OK;
        again += status == SKUA_E_AGAIN;
        long alive = atomic_load(&allocator.alive);
        most = alive > most ? alive : most;
    }
    assert_int_equal(taken + again, submits);
    assert_int_equal(taken, WINDOW);
    skua_pool_counters counters = bench_counters(&bench);
    assert_int_equal(counters.waiting + counters.in_flight, WINDOW);
    assert_int_equal(counters.submit_again, again);
    print_message("I19: %ld submits, %ld taken, %ld times EAGAIN, at most %ld blocks of memory\n",
                  submits, taken, again, most);
    assert_true(most < 10 * WINDOW); /* a few for each task, and none for one that was not taken */
    crew_kill(&crew, 0, SIGCONT);
    must(skua_pool_await_all(bench.pool, CREW_WAIT_MS, &err), &err);
    bench_close(&bench);
    assert_int_equal(atomic_load(&allocator.alive), 0);
    crew_stop(&crew);
}

int
main(int argc, char **argv) {
    int code;
    if (crew_main(argc, argv, &code)) {
        return code;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_poisoned_task_spares_the_last_node),
        cmocka_unit_test(test_faults_node_is_quarantined),
        cmocka_unit_test(test_faults_quarantine_expires),
        cmocka_unit_test(test_faults_stopped_worker_bounds_memory),
    };
    cmocka_set_test_filter(getenv("SKUA_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
