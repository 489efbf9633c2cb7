// SPDX-License-Identifier: MPL-2.0
// A node that runs tasks which do nothing, and one without an executor that submits them.
#include "skua_side.h"

#include <skua-int/clock.h>
#include <skua/exec.h>
#include <skua/node.h>
#include <skua/pool.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    NODES_WAIT_MS = 10000,
    TASK_WAIT_MS = 10000,
};

static int
noop(skua_task_call *call, void *arg) {
    (void)call;
    (void)arg;
    return 0;
}

static int
serve(perf_run *run) {
    skua_error err;
    skua_exec *exec;
    skua_pool *pool;
    skua_node *node = skua_side_node("work");
    if (!node) {
        return 1;
    }
    if (skua_exec_open(&exec, NULL, &err) ||
        skua_pool_open(&pool, SKUA_POOL_OPTIONS(.node = node, .exec = exec), &err) ||
        skua_pool_register(pool, "noop", 1, noop, NULL, &err)) {
        return skua_side_failed("worker", &err);
    }
    perf_ready(run);
    for (;;) {
        pause();
    }
}

/* One task at a time, from its submission until its result is there. */
static int
one_by_one(perf_run *run, skua_pool *pool, const skua_task *task) {
    skua_error err;
    perf_meter *meter = perf_meter_new(run);
    for (bool over = false; !over;) {
        skua_pool_future *future;
        skua_task_result result = {.size = sizeof result};
        int64_t began_ns = skua__clock_ns();
        if (skua_pool_submit(pool, task, &future, &err) ||
            skua_pool_wait(future, TASK_WAIT_MS, &err) || skua_pool_result(future, &result, &err)) {
            return skua_side_failed("task", &err);
        }
        over = perf_meter_round_trip(meter, began_ns, skua__clock_ns());
        skua_pool_future_free(future);
        if (result.outcome != SKUA_OUTCOME_OK) {
            fprintf(stderr, "skua: task: %s\n", result.message);
            return 1;
        }
    }
    perf_meter_free(meter);
    return 0;
}

static void
count_failure(void *arg, skua_pool_future *future) {
    _Atomic uint64_t *failed = arg;
    skua_task_result result = {.size = sizeof result};
    skua_error err;
    if (skua_pool_result(future, &result, &err) || result.outcome != SKUA_OUTCOME_OK) {
        /* relaxed: a count that is read when all is over. */
        atomic_fetch_add_explicit(failed, 1, memory_order_relaxed);
    }
}

/* As many as the window lets in; in the steady state one is let in for each that ends. */
static int
windowed(perf_run *run, skua_pool *pool, skua_task task) {
    skua_error err;
    _Atomic uint64_t failed = 0;
    perf_meter *meter = perf_meter_new(run);
    task.on_done = count_failure;
    task.on_done_arg = &failed;
    for (bool over = false; !over;) {
        if (skua_pool_submit_wait(pool, &task, TASK_WAIT_MS, NULL, &err)) {
            return skua_side_failed("task", &err);
        }
        over = perf_meter_done(meter, 1, 0);
    }
    perf_meter_free(meter);
    if (skua_pool_await_all(pool, TASK_WAIT_MS, &err)) {
        return skua_side_failed("tasks", &err);
    }
    /* relaxed: every task has ended. */
    run->shared->sample.lost = atomic_load_explicit(&failed, memory_order_relaxed);
    return 0;
}

static int
drive(perf_run *run) {
    skua_error err;
    skua_pool *pool;
    char *payload = calloc(1, run->what->size_bytes + 1);
    skua_node *node = skua_side_node("submit");
    if (!node || !payload) {
        return 1;
    }
    if (skua_pool_open(&pool, SKUA_POOL_OPTIONS(.node = node, .window_tasks = run->what->window),
                       &err) ||
        skua_pool_await_nodes(pool, "noop", 1, NODES_WAIT_MS, &err)) {
        return skua_side_failed("pool", &err);
    }
    skua_task task =
        *SKUA_TASK(.name = "noop", .input = payload, .input_bytes = run->what->size_bytes);
    int rc = run->what->window <= 1 ? one_by_one(run, pool, &task) : windowed(run, pool, task);
    free(payload);
    return rc;
}

const perf_impl skua_tasks = {.name = "skua", .serve = serve, .drive = drive};
