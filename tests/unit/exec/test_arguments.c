// SPDX-License-Identifier: MPL-2.0
// Each argument is looked at by itself: one is wrong, all others would do. So no look hides that another one is missing.
#include "opened.h"
#include "test.h"

#include <skua/exec.h>
#include <skua/graph.h>
#include <skua/lease.h>
#include <skua/parallel.h>

#include <stdio.h>
#include <string.h>

static void
run_nothing(skua_worker w, void *frame) {
    (void)w, (void)frame;
}

static void
run_no_job(skua_worker w, skua_job *job) {
    (void)w, (void)job;
}

static skua_status
give_nothing(skua_worker w, void *arg, void **ret_value) {
    (void)w, (void)arg, (void)ret_value;
    return SKUA_OK;
}

static int32_t
do_no_node(skua_worker w, void *arg) {
    (void)w, (void)arg;
    return 0;
}

static void
loop_nothing(skua_worker w, uint64_t first, uint64_t end, void *arg) {
    (void)w, (void)first, (void)end, (void)arg;
}

static void
fold_nothing(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w, (void)first, (void)end, (void)value, (void)arg;
}

static void
combine_nothing(void *left, const void *right, void *arg) {
    (void)left, (void)right, (void)arg;
}

/* call is refused, and the message says text. */
#define assert_refused(call, text)                                                                 \
    do {                                                                                           \
        assert_int_equal(call, SKUA_E_BAD_ARGUMENT);                                               \
        assert_non_null(strstr(err.message, text));                                                \
    } while (0)

static void
test_arguments_of_options(void **state) {
    (void)state;
    skua_exec *exec = NULL;
    const struct {
        const skua_exec_options *options;
        const char *text;
    } bad[] = {
        {SKUA_EXEC_OPTIONS(.workers = -1), "-1 workers"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .spares = -7), "-7 spares"},
        {SKUA_EXEC_OPTIONS(.workers = SKUA_EXEC_WORKERS_MAX + 1, .spares = SKUA_NONE), "workers"},
        {SKUA_EXEC_OPTIONS(.workers = 2, .spares = SKUA_EXEC_WORKERS_MAX - 1), "spares"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .stack_slots = -1), "stack_slots is -1"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .bind = -1), "bind is -1"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .bind = SKUA_BIND_ALWAYS + 1), "bind is 3"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .workers_max = -1), "workers_max is -1"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .workers_max = SKUA_EXEC_WORKERS_MAX + 1), "workers_max"},
        {SKUA_EXEC_OPTIONS(.workers = 3, .workers_max = 2), "workers_max is 2"},
        {SKUA_EXEC_OPTIONS(.workers = 2, .deterministic_seed = 1), "deterministic_seed"},
        {SKUA_EXEC_OPTIONS(.bind = SKUA_BIND_ALWAYS, .deterministic_seed = 1),
         "deterministic_seed"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .lease = SKUA_LEASE_AUTO - 1), "lease is -1"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .lease = SKUA_LEASE_ALWAYS + 1), "lease is 3"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .queue_tasks = SKUA_UNLIMITED - 1), "queue_tasks"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .spin_us = SKUA_NONE - 1), "spin_us"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .spin_us = SKUA_UNLIMITED), "spin_us"},
        {SKUA_EXEC_OPTIONS(.workers = 1, .close_warn_ms = SKUA_NONE - 1), "close_warn_ms"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        skua_error err = {0};
        skua_status status = skua_exec_open(&exec, bad[i].options, &err);
        if (status != SKUA_E_BAD_ARGUMENT || !strstr(err.message, bad[i].text)) {
            fail_msg("options %d, \"%s\": status %d, %s", (int)i, bad[i].text, (int)status,
                     err.message);
        }
    }
    assert_null(exec);
}

static void
test_arguments_of_jobs(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    skua_error err;
    skua_group group, unprepared = {0};
    skua_job good, empty = {NULL};
    skua_job_init(&good, run_no_job);
    skua_group_init(&group, exec);
    skua_job *const one[] = {&good}, *const holed[] = {&good, NULL};
    skua_job *const hollow[] = {&good, &empty};
    assert_refused(skua_exec_run(exec, NULL, &good, &err), "fn is NULL");
    assert_refused(skua_exec_run(NULL, run_nothing, &good, &err), "exec is NULL");
    assert_int_equal(skua_exec_submit(NULL, &good), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_submit_batch(NULL, one, 1), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_submit_batch(exec, holed, 2), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_submit_batch(exec, hollow, 2), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_group_submit(NULL, &good), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_group_submit(&unprepared, &good), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_group_submit(&group, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_group_submit(&group, &empty), SKUA_E_BAD_ARGUMENT);
    assert_refused(skua_exec_rebuild_after_fork(NULL, &err), "exec is NULL");
    assert_refused(skua_exec_rebuild_after_fork(exec, &err), "this process's own");
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK); /* nothing was submitted */
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    assert_int_equal(stats.tasks, 0);
    skua_group_fini(&group);
    skua_exec_close(exec);
}

static void
test_arguments_of_futures(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    skua_error err;
    skua_future *future = NULL;
    const skua_future_options *bad[] = {
        SKUA_FUTURE_OPTIONS(.priority = -1), SKUA_FUTURE_OPTIONS(.priority = 3),
        SKUA_FUTURE_OPTIONS(.deadline_ms = -1), &(skua_future_options){.priority = 0}};
    for (int i = 0; i < 4; i++) {
        assert_refused(skua_future_start(&future, exec, give_nothing, NULL, bad[i], &err),
                       "options");
    }
    assert_refused(skua_future_start(NULL, exec, give_nothing, NULL, NULL, &err), "ret_future");
    assert_refused(skua_future_start(&future, NULL, give_nothing, NULL, NULL, &err), "exec");
    assert_refused(skua_future_start(&future, exec, NULL, NULL, NULL, &err), "fn");
    assert_null(future);
    skua_exec_close(exec);
}

static void
test_arguments_of_graphs(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    skua_error err;
    skua_graph graph, inner, unprepared = {0};
    skua_graph_node a, b, never;
    assert_refused(skua_graph_init(&graph, SKUA_GRAPH_OPTIONS(.priority = -1), &err), "priority");
    assert_refused(skua_graph_init(&graph, SKUA_GRAPH_OPTIONS(.priority = 3), &err), "priority");
    assert_refused(skua_graph_init(NULL, NULL, &err), "graph is NULL");
    assert_int_equal(skua_graph_init(&graph, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_init(&inner, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_seal(&inner, NULL), SKUA_OK);
    assert_refused(skua_graph_add(NULL, &a, do_no_node, NULL, NULL, &err), "graph");
    assert_refused(skua_graph_add(&graph, NULL, do_no_node, NULL, NULL, &err), "node");
    assert_refused(skua_graph_add(&graph, &a, NULL, NULL, NULL, &err), "fn");
    assert_refused(skua_graph_add_condition(NULL, &a, do_no_node, NULL, NULL, &err), "graph");
    assert_refused(skua_graph_add_condition(&graph, NULL, do_no_node, NULL, NULL, &err), "node");
    assert_refused(skua_graph_add_condition(&graph, &a, NULL, NULL, NULL, &err), "fn");
    assert_refused(skua_graph_add_graph(NULL, &a, &inner, NULL, &err), "graph");
    assert_refused(skua_graph_add_graph(&graph, NULL, &inner, NULL, &err), "node");
    assert_refused(skua_graph_add_graph(&graph, &a, NULL, NULL, &err), "inner");
    assert_int_equal(skua_graph_add(&graph, &a, do_no_node, NULL, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&graph, &b, do_no_node, NULL, NULL, NULL), SKUA_OK);
    assert_refused(skua_graph_edge(NULL, &a, &b, &err), "graph");
    assert_refused(skua_graph_edge(&graph, NULL, &b, &err), "from");
    assert_refused(skua_graph_edge(&graph, &a, NULL, &err), "to");
    assert_refused(skua_graph_start(&graph, exec, &err), "not sealed");
    assert_refused(skua_graph_wait(&graph, 0, &err), "never started");
    assert_refused(skua_graph_wait(NULL, 0, &err), "NULL");
    assert_refused(skua_graph_write_dot(&graph, stderr, &err), "not sealed");
    assert_int_equal(skua_graph_seal(&graph, NULL), SKUA_OK);
    assert_refused(skua_graph_write_dot(NULL, stderr, &err), "graph is NULL");
    assert_refused(skua_graph_write_dot(&graph, NULL, &err), "out is NULL");
    assert_refused(skua_graph_start(&graph, NULL, &err), "exec is NULL");
    assert_refused(skua_graph_start(NULL, exec, &err), "graph is NULL");
    assert_refused(skua_graph_start(&unprepared, exec, &err), "not prepared");
    assert_refused(skua_graph_add(&graph, &never, do_no_node, NULL, NULL, &err), "sealed");
    skua_graph_fini(&graph);
    skua_graph_fini(&inner);
    skua_exec_close(exec);
}

/* A node that is in two graphs, or twice in one, would make a list of one graph go on in the other, or for ever. */
static void
test_arguments_a_node_stands_once(void **state) {
    (void)state;
    skua_error err;
    skua_graph first, second;
    skua_graph_node a, b, c;
    assert_int_equal(skua_graph_init(&first, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_init(&second, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&first, &a, do_no_node, NULL, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&first, &b, do_no_node, NULL, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&second, &a, do_no_node, NULL, NULL, NULL), SKUA_OK);
    assert_refused(skua_graph_seal(&first, &err), "added twice");
    assert_int_equal(skua_graph_reset(&first, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&first, &b, do_no_node, NULL, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&first, &c, do_no_node, NULL, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&second, &c, do_no_node, NULL, NULL, NULL), SKUA_OK);
    assert_refused(skua_graph_seal(&first, &err), "added twice"); /* the last of both */
    assert_int_equal(skua_graph_reset(&first, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&first, &b, do_no_node, NULL, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&first, &b, do_no_node, NULL, NULL, NULL), SKUA_OK);
    assert_refused(skua_graph_seal(&first, &err), "added twice");
    skua_graph_fini(&first);
    skua_graph_fini(&second);
}

static void
test_arguments_of_loops(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    skua_error err;
    int identity = 0, value = 5;
    const skua_reduce good = {.size = sizeof good,
                              .value_bytes = sizeof value,
                              .identity = &identity,
                              .fold = fold_nothing,
                              .combine = combine_nothing};
    skua_reduce bad[6] = {good, good, good, good, good, good};
    bad[0].identity = NULL;
    bad[1].fold = NULL;
    bad[2].combine = NULL;
    bad[3].value_bytes = 0;
    bad[4].value_bytes = SKUA_REDUCE_BYTES_MAX + 1;
    bad[5].size = 1;
    for (int i = 0; i < 6; i++) {
        assert_refused(skua_parallel_reduce(exec, 0, 9, 1, &bad[i], &value, &err), "reduce");
    }
    assert_refused(skua_parallel_reduce(NULL, 0, 9, 1, &good, &value, &err), "exec is NULL");
    assert_refused(skua_parallel_reduce(exec, 0, 9, 1, NULL, &value, &err), "reduce is NULL");
    assert_refused(skua_parallel_reduce(exec, 0, 9, 1, &good, NULL, &err), "ret_value is NULL");
    assert_refused(skua_parallel_reduce(exec, 9, 0, 1, &good, &value, &err), "end is before");
    assert_int_equal(value, 5);
    assert_int_equal(skua_parallel_for(NULL, 0, 9, 1, loop_nothing, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_for(exec, 0, 9, 1, NULL, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_for(exec, 9, 0, 1, loop_nothing, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    skua_exec_close(exec);
}

static void
test_arguments_of_places(void **state) {
    (void)state;
    skua_error err;
    skua_topology *topology = NULL;
    uint32_t position = 0, numa = 0;
    void *memory = NULL;
    char *text = NULL;
    skua_lease_pool small = {.size = sizeof small - 1};
    assert_refused(skua_topology_new(NULL, NULL, &err), "ret_topology is NULL");
    assert_int_equal(skua_topology_new(&topology, NULL, NULL), SKUA_OK);
    assert_refused(skua_topology_text(NULL, &text, &err), "topology is NULL");
    assert_refused(skua_topology_text(topology, NULL, &err), "ret_text is NULL");
    assert_refused(skua_topology_plan_text(NULL, 1, &text, &err), "topology is NULL");
    assert_refused(skua_topology_plan_text(topology, 1, NULL, &err), "ret_text is NULL");
    assert_refused(skua_topology_plan_text(topology, 1025, &text, &err), "1025 workers");
    assert_refused(skua_numa_alloc(topology, 0, 1, NULL, &err), "ret_memory is NULL");
    assert_refused(skua_numa_alloc(topology, 0, 0, &memory, &err), "size_bytes is 0");
    assert_refused(skua_numa_alloc(topology, 999, 1, &memory, &err), "no node 999");
    assert_refused(skua_numa_of(topology, NULL, &numa, &err), "memory");
    assert_refused(skua_numa_of(topology, &numa, NULL, &err), "ret_numa");
    assert_refused(skua_lease_next(0, &position, &small, &err), "");
    skua_topology_free(topology);
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    assert_refused(skua_exec_trace_start(exec, SKUA_TRACE_OPTIONS(.events = (1 << 22) + 1), &err),
                   "events");
    assert_refused(skua_exec_trace_start(exec, SKUA_TRACE_OPTIONS(.events = -1), &err), "events");
    assert_refused(skua_exec_trace_write(exec, NULL, &err), "path is NULL");
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arguments_of_options),
        cmocka_unit_test(test_arguments_of_jobs),
        cmocka_unit_test(test_arguments_of_futures),
        cmocka_unit_test(test_arguments_of_graphs),
        cmocka_unit_test(test_arguments_a_node_stands_once),
        cmocka_unit_test(test_arguments_of_loops),
        cmocka_unit_test(test_arguments_of_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
