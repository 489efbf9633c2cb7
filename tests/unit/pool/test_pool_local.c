// SPDX-License-Identifier: MPL-2.0
// A pool without a node: every outcome that the own executor can bring about, windows, order, ownership of inputs, and
// an allocator that fails at each call in turn.
#include "failing_allocator.h"
#include "pool_bench.h"
#include "stall.h"
#include "test.h"

#include <malloc.h>
#include <sched.h>
#include <skua-int/clock.h>
#include <skua-int/pool_int.h>
#include <skua-int/thread.h>
#include <skua/exec.h>
#include <skua/metrics.h>
#include <skua/pool.h>
#include <stdlib.h>
#include <string.h>

static void
test_pool_runs_a_task_here(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 2);
    skua_pool_future *future =
        submit(&bench, SKUA_TASK(.name = "upper", .input = "skua", .input_bytes = 4));
    skua_task_result result = result_of(future);
    assert_int_equal(result.outcome, SKUA_OUTCOME_OK);
    assert_int_equal(result.output_bytes, 4);
    assert_memory_equal(result.output, "SKUA", 4);
    assert_string_equal(result.node, "local");
    assert_int_equal(result.attempts, 1);
    assert_string_equal(result.message, "");
    char text[200];
    skua_pool_explain(future, text, sizeof text);
    assert_non_null(strstr(text, "local: wait"));
    skua_pool_future_free(future);

    char *large = malloc(100000);
    assert_non_null(large);
    memset(large, 'a', 100000);
    future = submit(
        &bench, SKUA_TASK(.name = "upper", .version = 1, .input = large, .input_bytes = 100000));
    memset(large, 'b', 100000); /* it was copied */
    result = result_of(future);
    assert_int_equal(result.output_bytes, 100000);
    assert_int_equal(((const char *)result.output)[99999], 'A');
    free(large);
    bench_close(&bench);
    assert_int_equal(((const char *)result.output)[0], 'A'); /* it outlives the pool */
    skua_pool_future_free(future);
}

static void
test_pool_task_that_fails_says_why(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 2);
    skua_pool_future *future = submit(&bench, SKUA_TASK(.name = "fail"));
    skua_task_result result = result_of(future);
    assert_int_equal(result.outcome, SKUA_OUTCOME_EXIT);
    assert_int_equal(result.code, 3);
    assert_string_equal(result.message, "it was not to be");
    skua_pool_future_free(future);
    skua_pool_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_pool_stats(bench.pool, &counters, NULL), 0);
    assert_int_equal(counters.application_failures, 1);
    assert_int_equal(counters.ended[SKUA_OUTCOME_EXIT], 1);
    bench_close(&bench);
}

/* I2: an unknown name is refused within 100 ms, says what there is, and the next task succeeds. */
static void
test_pool_unknown_name_is_refused(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 2);
    stall_meter *meter = stall_meter_begin();
    skua_pool_future *unknown = submit(&bench, SKUA_TASK(.name = "resize"));
    skua_pool_future *version = submit(&bench, SKUA_TASK(.name = "upper", .version = 7));
    skua_pool_future *node =
        submit(&bench, SKUA_TASK(.name = "upper", .node = "elsewhere", .node_only = 1));
    skua_pool_future *next = submit(&bench, SKUA_TASK(.name = "upper"));
    skua_task_result result = result_of(unknown);
    stall_meter_must_keep(meter, "I2: an unknown task refused", 100);
    assert_int_equal(result.outcome, SKUA_OUTCOME_REFUSED);
    assert_non_null(strstr(result.message, "\"resize\""));
    assert_non_null(strstr(result.message, "upper"));
    assert_int_equal(result.attempts, 0);
    assert_int_equal(result_of(version).outcome, SKUA_OUTCOME_REFUSED);
    assert_int_equal(result_of(node).outcome, SKUA_OUTCOME_REFUSED);
    assert_int_equal(result_of(next).outcome, SKUA_OUTCOME_OK);
    skua_pool_future_free(unknown);
    skua_pool_future_free(version);
    skua_pool_future_free(node);
    skua_pool_future_free(next);
    bench_close(&bench);
}

/* I19: a stopped worker, and a program that goes on submitting: EAGAIN, and memory that does not grow. */
static void
test_pool_window_is_a_bound(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 10, 1);
    skua_pool_future *futures[10];
    for (int i = 0; i < 10; i++) {
        futures[i] = submit(&bench, SKUA_TASK(.name = "door"));
    }
    door_await(&bench.door, 1);
    skua_error err = {0};
    skua_pool_future *one_more = NULL;
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(skua_pool_submit(bench.pool, SKUA_TASK(.name = "door"), &one_more, NULL),
                         SKUA_E_AGAIN);
    }
    assert_null(one_more);
    assert_int_equal(
        skua_pool_submit_wait(bench.pool, SKUA_TASK(.name = "door"), 20, &one_more, &err),
        SKUA_E_TIMEOUT);
    door_let(&bench.door, 1);
    assert_int_equal(
        skua_pool_submit_wait(bench.pool, SKUA_TASK(.name = "door"), 20000, &one_more, &err), 0);
    door_let(&bench.door, 100);
    assert_int_equal(skua_pool_await_all(bench.pool, 20000, &err), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(result_of(futures[i]).outcome, SKUA_OUTCOME_OK);
        skua_pool_future_free(futures[i]);
    }
    skua_pool_future_free(one_more);
    bench_close(&bench);
}

/* I8: an expired task never starts; one that runs ends TIMEOUT at its time. */
static void
test_pool_deadline_ends_a_task(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 1);
    skua_pool_future *runs = submit(&bench, SKUA_TASK(.name = "door", .timeout_ms = 50));
    skua_pool_future *waits =
        submit(&bench, SKUA_TASK(.name = "door", .timeout_ms = 20, .input = "w", .input_bytes = 1));
    skua_pool_future *never = submit(&bench, SKUA_TASK(.name = "door", .timeout_ms = SKUA_NONE));
    assert_int_equal(result_of(runs).outcome, SKUA_OUTCOME_TIMEOUT);
    assert_int_equal(result_of(waits).outcome, SKUA_OUTCOME_TIMEOUT);
    assert_int_equal(result_of(never).outcome, SKUA_OUTCOME_TIMEOUT);
    assert_int_equal(result_of(never).attempts, 0);
    skua_pool_future_free(runs);
    skua_pool_future_free(waits);
    skua_pool_future_free(never);
    bench_close(&bench);
    assert_int_equal(bench.door.ordered, 0); /* "w" never started */
}

/* What is freed looks like a task that is held. */
static void
release_spoilt(void *ctx, void *block) {
    (void)ctx;
    volatile unsigned char *bytes = block; /* or a compiler leaves it out */
    for (size_t i = 0; block && i < malloc_usable_size(block); i++) {
        bytes[i] = SKUA__LEASE_HELD;
    }
    free(block);
}

/* One that nobody has a future of is gone with its end, in the midst of being given to somebody. */
static void
test_pool_deadline_ends_what_nobody_waits_for(void **state) {
    (void)state;
    struct bench bench;
    failing_allocator allocator;
    failing_allocator_init(&allocator, 0);
    allocator.hook.release = release_spoilt;
    bench_open(&bench, 0, 1);
    skua_pool_close(bench.pool);
    assert_int_equal(
        skua_pool_open(&bench.pool,
                       SKUA_POOL_OPTIONS(.exec = bench.exec, .allocator = &allocator.hook), NULL),
        0);
    assert_int_equal(skua_pool_register(bench.pool, "upper", 1, run_upper, NULL, NULL), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(skua_pool_submit(bench.pool,
                                          SKUA_TASK(.name = "upper", .timeout_ms = SKUA_NONE), NULL,
                                          NULL),
                         0);
    }
    skua_pool_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_pool_await_all(bench.pool, 20000, NULL), 0);
    assert_int_equal(skua_pool_stats(bench.pool, &counters, NULL), 0);
    assert_int_equal(counters.ended[SKUA_OUTCOME_TIMEOUT], 10);
    assert_int_equal(counters.attempts, 0);
    bench_close(&bench);
}

static void
test_pool_cancel_ends_a_task(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 1);
    skua_pool_future *runs = submit(&bench, SKUA_TASK(.name = "door"));
    skua_pool_future *handed =
        submit(&bench, SKUA_TASK(.name = "door", .input = "h", .input_bytes = 1));
    skua_pool_future *waits[4];
    for (int i = 0; i < 4; i++) {
        waits[i] = submit(&bench, SKUA_TASK(.name = "door", .input = "w", .input_bytes = 1));
    }
    door_await(&bench.door, 1);
    skua_pool_cancel(waits[3]);
    skua_pool_cancel(waits[3]); /* a second time changes nothing */
    assert_int_equal(skua_pool_wait(waits[3], SKUA_NONE, NULL), 0);
    for (int i = 0; i < 3; i++) {
        skua_pool_cancel(waits[i]);
    }
    skua_pool_cancel(handed);
    skua_pool_cancel(runs);
    assert_int_equal(result_of(runs).outcome, SKUA_OUTCOME_CANCELLED);
    assert_int_equal(result_of(handed).outcome, SKUA_OUTCOME_CANCELLED);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(result_of(waits[i]).outcome, SKUA_OUTCOME_CANCELLED);
        skua_pool_future_free(waits[i]);
    }
    skua_pool_future_free(runs);
    skua_pool_future_free(handed);
    bench_close(&bench);
    assert_int_equal(bench.door.ordered, 0);
}

/* I18: first come, first served within a priority; the low one is served now and then all the same. */
static void
test_pool_order_is_fifo_and_ages(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 1);
    bench.door.work_ns = 12 * SKUA_NS_PER_MS; /* so long that only two are handed over at a time */
    skua_pool_future *first = submit(&bench, SKUA_TASK(.name = "door"));
    door_await(&bench.door, 1);
    skua_pool_future *futures[46];
    size_t count = 0;
    /* One is handed over ahead; the rest waits in the pool. */
    futures[count++] = submit(&bench, SKUA_TASK(.name = "door"));
    static const char low[] = "xyz", normal[] = "abcdefghijklmnopqrstuvw",
                      high[] = "ABCDEFGHIJKLMNOPQRS";
    for (size_t i = 0; low[i]; i++) {
        futures[count++] =
            submit(&bench, SKUA_TASK(.name = "door", .input = &low[i], .input_bytes = 1,
                                     .priority = SKUA_PRIORITY_LOW));
    }
    for (size_t i = 0; normal[i]; i++) {
        futures[count++] =
            submit(&bench, SKUA_TASK(.name = "door", .input = &normal[i], .input_bytes = 1));
    }
    for (size_t i = 0; high[i]; i++) {
        futures[count++] =
            submit(&bench, SKUA_TASK(.name = "door", .input = &high[i], .input_bytes = 1,
                                     .priority = SKUA_PRIORITY_HIGH));
    }
    door_let(&bench.door, 1000);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(result_of(futures[i]).outcome, SKUA_OUTCOME_OK);
        skua_pool_future_free(futures[i]);
    }
    skua_pool_future_free(first);
    bench_close(&bench);
    const char *order = bench.door.order;
    assert_int_equal(strlen(order), 45);
    const char *sets[] = {low, normal, high};
    for (size_t set = 0; set < 3; set++) {
        const char *before = order;
        for (const char *c = sets[set]; *c; c++) {
            const char *at = strchr(order, *c);
            assert_non_null(at);
            assert_true(at >= before);
            before = at;
        }
    }
    assert_true(strchr(order, 'x') <
                strchr(order, 'w')); /* low came before the normal ones were through */
    assert_true(strchr(order, 'A') < strchr(order, 'b'));
    assert_true(strchr(order, 'a') <
                strchr(order, 'S')); /* nor do the high ones shut out all else */
}

struct freed {
    skua__mutex lock;
    skua__cond moved;
    int inputs, ends;
    skua_pool_future *future;
    int outcome;
};

static void
freed_init(struct freed *freed) {
    memset(freed, 0, sizeof *freed);
    skua__mutex_init(&freed->lock);
    skua__cond_init(&freed->moved);
}

static void
freed_await(struct freed *freed, int inputs, int ends) {
    skua__mutex_lock(&freed->lock);
    while (freed->inputs < inputs || freed->ends < ends) {
        assert_true(skua__cond_wait_until(&freed->moved, &freed->lock, skua__deadline_ns(20000)));
    }
    skua__mutex_unlock(&freed->lock);
}

static void
count_input(void *input, void *hint) {
    (void)input;
    struct freed *freed = hint;
    skua__mutex_lock(&freed->lock);
    freed->inputs++;
    skua__cond_broadcast(&freed->moved);
    skua__mutex_unlock(&freed->lock);
}

static void
count_end(void *arg, skua_pool_future *future) {
    struct freed *freed = arg;
    skua_task_result result = {.size = sizeof result};
    assert_int_equal(skua_pool_result(future, &result, NULL), 0);
    skua__mutex_lock(&freed->lock);
    freed->ends++;
    freed->outcome = result.outcome;
    skua__cond_broadcast(&freed->moved);
    skua__mutex_unlock(&freed->lock);
}

/* A taken input is let go once, whatever becomes of the task; of a failed submission it stays the caller's. */
static void
test_pool_takes_an_input(void **state) {
    (void)state;
    struct bench bench;
    struct freed freed;
    char bytes[] = "abc";
    bench_open(&bench, 2, 1);
    freed_init(&freed);
    const skua_task taken = {.size = sizeof taken,
                             .name = "door",
                             .input = bytes,
                             .input_bytes = 3,
                             .free_fn = count_input,
                             .free_hint = &freed};
    skua_pool_future *runs = submit(&bench, &taken);
    skua_pool_future *waits = submit(&bench, &taken);
    skua_pool_future *failed = NULL;
    assert_int_equal(skua_pool_submit(bench.pool, &taken, &failed, NULL), SKUA_E_AGAIN);
    door_await(&bench.door, 1);
    assert_int_equal(freed.inputs, 0);
    skua_pool_cancel(waits);
    skua_pool_cancel(runs); /* its function still reads the input */
    freed_await(&freed, 2, 0);
    skua_pool_future_free(runs);
    skua_pool_future_free(waits);
    skua_task refused = taken;
    refused.name = "unknown";
    skua_pool_future_free(submit(&bench, &refused));
    freed_await(&freed, 3, 0);
    bench_close(&bench);
    assert_int_equal(freed.inputs, 3);
}

/* A borrowed input is the pool's until the future has ended, so a cancel waits for the function. */
static void
test_pool_borrows_an_input(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 1);
    char *bytes = malloc(8);
    assert_non_null(bytes);
    memset(bytes, 'k', 8);
    skua_pool_future *future = submit(
        &bench, SKUA_TASK(.name = "door", .input = bytes, .input_bytes = 8, .keep_input = 1));
    door_await(&bench.door, 1);
    skua_pool_cancel(future);
    assert_int_equal(result_of(future).outcome, SKUA_OUTCOME_CANCELLED);
    assert_int_equal(bench.door.passed, 1);
    free(bytes);
    skua_pool_future_free(future);
    bench_close(&bench);
}

static void
test_pool_calls_back_once(void **state) {
    (void)state;
    struct bench bench;
    struct freed freed;
    bench_open(&bench, 0, 2);
    freed_init(&freed);
    for (int i = 0; i < 50; i++) {
        const skua_task task = {.size = sizeof task,
                                .name = i % 2 ? "upper" : "unknown",
                                .on_done = count_end,
                                .on_done_arg = &freed};
        skua_pool_future *future = NULL;
        assert_int_equal(skua_pool_submit(bench.pool, &task, i % 3 ? &future : NULL, NULL), 0);
        skua_pool_future_free(future); /* nobody asks: it is called all the same */
    }
    assert_int_equal(skua_pool_await_all(bench.pool, 20000, NULL), 0);
    assert_int_equal(freed.ends, 50);
    bench_close(&bench);
    assert_int_equal(freed.ends, 50);
}

/* Closing ends what has not ended, and waits for what runs. */
static void
test_pool_close_cancels(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 1);
    skua_pool_future *futures[20];
    for (int i = 0; i < 20; i++) {
        futures[i] = submit(&bench, SKUA_TASK(.name = "door"));
    }
    door_await(&bench.door, 1);
    bench_close(&bench);
    for (int i = 0; i < 20; i++) {
        skua_task_result result = {.size = sizeof result};
        assert_int_equal(skua_pool_wait(futures[i], SKUA_NONE, NULL), 0);
        assert_int_equal(skua_pool_result(futures[i], &result, NULL), 0);
        assert_int_equal(result.outcome, SKUA_OUTCOME_CANCELLED);
        assert_string_equal(result.message, "its pool was closed");
        skua_pool_future_free(futures[i]);
    }
}

static void
test_pool_refuses_nonsense(void **state) {
    (void)state;
    struct bench bench;
    skua_error err = {0};
    skua_pool_future *future = NULL;
    bench_open(&bench, 0, 1);
    skua_pool *pool = bench.pool;
    assert_int_equal(skua_pool_register(pool, "door", 1, run_door, NULL, &err), SKUA_E_EXISTS);
    assert_int_equal(skua_pool_register(pool, "Door", 1, run_door, NULL, &err), SKUA_E_BAD_NAME);
    assert_int_equal(skua_pool_register(pool, "door", 0, run_door, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_pool_register(pool, "door", 2, NULL, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_pool_submit(pool, NULL, &future, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_pool_submit(pool, SKUA_TASK(.name = NULL), &future, &err),
                     SKUA_E_BAD_NAME);
    assert_int_equal(
        skua_pool_submit(pool, SKUA_TASK(.name = "door", .priority = 9), &future, &err),
        SKUA_E_BAD_ARGUMENT);
    assert_int_equal(
        skua_pool_submit(pool, SKUA_TASK(.name = "door", .input_bytes = 1), &future, &err),
        SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_pool_submit(pool,
                                      SKUA_TASK(.name = "door", .input = "",
                                                .input_bytes = SKUA_TASK_MAX_BYTES + 1),
                                      &future, &err),
                     SKUA_E_TOO_BIG);
    assert_int_equal(skua_pool_await_nodes(pool, "door", 1, 20000, &err), 0);
    assert_int_equal(skua_pool_await_nodes(pool, "door", 2, 10, &err), SKUA_E_NO_PROVIDER);
    assert_non_null(strstr(err.message, "1 of 2 nodes"));
    assert_null(future);
    bench_close(&bench);
    skua_pool *none = NULL;
    assert_int_equal(skua_pool_open(&none, SKUA_POOL_OPTIONS(.lease_ms = 1), &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_null(none);
}

/* A metric of the pool's table by its name; -1: it is not there. */
static int64_t
metric_of(skua_pool *pool, const char *name) {
    skua_metric_value values[32];
    size_t count = skua_metrics_snapshot(skua_pool_metrics(pool), values, 32);
    for (size_t i = 0; i < count && i < 32; i++) {
        if (strcmp(values[i].info->name, name) == 0) {
            return values[i].value;
        }
    }
    return -1;
}

static void
test_pool_figures(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 2);
    for (int i = 0; i < 7; i++) {
        skua_pool_future *future =
            submit(&bench, SKUA_TASK(.name = "upper", .input = "abc", .input_bytes = 3));
        result_of(future);
        skua_pool_future_free(future);
    }
    skua_pool_backend backend[2];
    size_t count = 0;
    assert_int_equal(skua_pool_backends(bench.pool, backend, sizeof backend[0], 2, &count, NULL),
                     0);
    assert_int_equal(count, 1);
    assert_int_equal(backend[0].kind, SKUA_BACKEND_LOCAL);
    assert_int_equal(backend[0].tasks, 7);
    assert_int_equal(backend[0].sent_bytes, 21);
    assert_int_equal(backend[0].received_bytes, 21);
    assert_int_equal(backend[0].workers, 2);
    assert_int_equal(backend[0].task_names, 3);
    assert_int_equal(backend[0].in_flight, 0);
    assert_int_equal(metric_of(bench.pool, "pool.submitted"), 7);
    assert_int_equal(metric_of(bench.pool, "pool.ok"), 7);
    assert_int_equal(metric_of(bench.pool, "pool.failed"), 0);
    assert_int_equal(metric_of(bench.pool, "pool.in_flight"), 0);
    skua_pool_future *fails = submit(&bench, SKUA_TASK(.name = "fail"));
    result_of(fails);
    skua_pool_future_free(fails);
    assert_int_equal(metric_of(bench.pool, "pool.failed"), 1);
    assert_null(skua_pool_metrics(NULL));
    assert_string_equal(skua_outcome_text(SKUA_OUTCOME_LOST), "lost");
    assert_string_equal(skua_outcome_text(99), "unknown");
    bench_close(&bench);
}

/* ---- Whoever waits for room is woken by it ---- */

static void *
submit_one_more(void *arg) {
    struct bench *bench = arg;
    skua_pool_future *future = NULL;
    skua_status status =
        skua_pool_submit_wait(bench->pool, SKUA_TASK(.name = "door"), 20000, &future, NULL);
    assert_true(status || skua_pool_wait(future, 20000, NULL) == 0);
    skua_pool_future_free(future);
    return (void *)(intptr_t)status;
}

/* Others go on running and waiting meanwhile, so that the room is all that comes. */
static void
test_pool_room_wakes_who_waits_for_it(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 10, 1);
    for (int i = 0; i < 10; i++) {
        skua_pool_future_free(submit(&bench, SKUA_TASK(.name = "door")));
    }
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, submit_one_more, &bench), 0);
    }
    for (uint32_t waiters = 0; waiters < 2;) {
        skua__mutex_lock(&bench.pool->lock);
        waiters = bench.pool->waiters;
        skua__mutex_unlock(&bench.pool->lock);
        sched_yield();
    }
    door_let(&bench.door, 2);
    for (uint64_t submitted = 0; submitted < 12;) {
        skua__mutex_lock(&bench.pool->lock);
        submitted = bench.pool->count.submitted;
        skua__mutex_unlock(&bench.pool->lock);
        sched_yield();
    }
    door_let(&bench.door, 100);
    for (int i = 0; i < 2; i++) {
        void *status = NULL;
        pthread_join(threads[i], &status);
        assert_null(status);
    }
    bench_close(&bench);
}

/* Submitters, cancels and waits from several threads at once; each task ends once. */
enum { THREADS = 4, EACH = 2000 };

static void *
submit_many(void *arg) {
    struct bench *bench = arg;
    intptr_t ended = 0;
    for (int i = 0; i < EACH; i++) {
        skua_pool_future *future = NULL;
        const skua_task task = {.size = sizeof task,
                                .name = "upper",
                                .input = "q",
                                .input_bytes = 1,
                                .timeout_ms = i % 5 ? 0 : 1000};
        if (skua_pool_submit_wait(bench->pool, &task, 0, &future, NULL)) {
            break;
        }
        if (i % 7 == 0) {
            skua_pool_cancel(future);
        }
        ended += skua_pool_wait(future, 20000, NULL) == 0;
        skua_pool_future_free(future);
    }
    return (void *)ended;
}

static void
test_pool_is_shared_by_threads(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 3, 2);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &bench), 0);
    }
    intptr_t ended = 0;
    for (int i = 0; i < THREADS; i++) {
        void *part;
        pthread_join(threads[i], &part);
        ended += (intptr_t)part;
    }
    assert_int_equal(ended, THREADS * EACH);
    skua_pool_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_pool_stats(bench.pool, &counters, NULL), 0);
    assert_int_equal(counters.submitted, THREADS * EACH);
    uint64_t sum = 0;
    for (int i = 0; i < 8; i++) {
        sum += counters.ended[i];
    }
    assert_int_equal(sum, THREADS * EACH);
    assert_int_equal(counters.waiting + counters.in_flight, 0);
    bench_close(&bench);
}

static int
run_noop(skua_task_call *call, void *arg) {
    (void)call, (void)arg;
    return 0;
}

/* One pool's life with an allocator that gives out: every step fails cleanly, or succeeds and its task ends. */
static bool
walk_once(const skua_allocator *hook, skua_exec *exec) {
    skua_pool *pool = NULL;
    skua_error err = {0};
    skua_status status =
        skua_pool_open(&pool, SKUA_POOL_OPTIONS(.exec = exec, .allocator = hook), &err);
    if (status) {
        assert_int_equal(status, SKUA_E_NO_MEMORY);
        return false;
    }
    bool whole = skua_pool_register(pool, "noop", 1, run_noop, NULL, &err) == 0 &&
                 skua_pool_register(pool, "upper", 1, run_upper, NULL, &err) == 0;
    char input[200] = {0};
    const skua_task tasks[] = {
        {.size = sizeof tasks[0], .name = "noop", .timeout_ms = 20000},
        {.size = sizeof tasks[0], .name = "upper", .input = input, .input_bytes = sizeof input},
        {.size = sizeof tasks[0], .name = "unknown"},
        {.size = sizeof tasks[0], .name = "noop", .node = "local", .node_only = 1},
    };
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        skua_pool_future *future = NULL;
        status = skua_pool_submit(pool, &tasks[i], &future, &err);
        whole = whole && !status;
        if (!status) {
            assert_int_equal(skua_pool_wait(future, 20000, &err), 0);
            skua_task_result result = {.size = sizeof result};
            assert_int_equal(skua_pool_result(future, &result, NULL), 0);
            whole = whole && result.outcome == (i == 2 ? SKUA_OUTCOME_REFUSED : SKUA_OUTCOME_OK);
        }
        skua_pool_future_free(future);
    }
    skua_pool_close(pool);
    return whole;
}

static void
test_pool_survives_a_failing_allocator(void **state) {
    (void)state;
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1), NULL), 0);
    bool whole = false;
    long n = 1;
    for (; !whole && n < 1000; n++) {
        failing_allocator allocator;
        failing_allocator_init(&allocator, n);
        whole = walk_once(&allocator.hook, exec);
        assert_int_equal(atomic_load(&allocator.alive), 0);
    }
    assert_true(whole && n > 10);
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_runs_a_task_here),
        cmocka_unit_test(test_pool_task_that_fails_says_why),
        cmocka_unit_test(test_pool_unknown_name_is_refused),
        cmocka_unit_test(test_pool_window_is_a_bound),
        cmocka_unit_test(test_pool_room_wakes_who_waits_for_it),
        cmocka_unit_test(test_pool_deadline_ends_a_task),
        cmocka_unit_test(test_pool_deadline_ends_what_nobody_waits_for),
        cmocka_unit_test(test_pool_cancel_ends_a_task),
        cmocka_unit_test(test_pool_order_is_fifo_and_ages),
        cmocka_unit_test(test_pool_takes_an_input),
        cmocka_unit_test(test_pool_borrows_an_input),
        cmocka_unit_test(test_pool_calls_back_once),
        cmocka_unit_test(test_pool_close_cancels),
        cmocka_unit_test(test_pool_refuses_nonsense),
        cmocka_unit_test(test_pool_figures),
        cmocka_unit_test(test_pool_is_shared_by_threads),
        cmocka_unit_test(test_pool_survives_a_failing_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
