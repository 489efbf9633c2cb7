// SPDX-License-Identifier: MPL-2.0
// Batches at the edges of what is promised of them: no time at all, launches that could never run, split ones whose buffers
// count in the pool's window, readers beside each other, and the child of a fork.
#include "batch_bench.h"

#include <skua/buffer.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* ---- What is told at the opening ---- */

static void
test_batch_value_without_a_value_is_refused(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, false, 0);
    static uint32_t weights[ROW];
    const skua_kernel_arg args[] = {
        {.bytes = ROW * 4}, {.bytes = 4}, {.data = weights, .bytes = sizeof weights},
        {.bytes = 4},       {.bytes = 8}, {.bytes = 4}};
    skua_error err = {0};
    assert_int_equal(skua_batch_open_kernel(&b.batch, b.pool,
                                            SKUA_LAUNCH(.kernel = "score", .args = args,
                                                        .arg_count = 6, .global = {1}),
                                            NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "argument 3"));
    batch_bench_close(&b);
}

static skua_buffer *
new_weights(const batch_bench *b, size_t bytes) {
    static const uint32_t weights[ROW] = {2, 3, 5, 7};
    skua_buffer *buffer = NULL;
    assert_int_equal(
        skua_buffer_new(b->devices, &buffer, SKUA_BUFFER_OPTIONS(.bytes = bytes), NULL), 0);
    assert_int_equal(skua_buffer_write(buffer, 0, weights, sizeof weights, NULL), 0);
    return buffer;
}

static void
test_batch_split_with_a_buffer_needs_an_executor(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, false, true, 0);
    skua_buffer *buffer = new_weights(&b, ROW * 4);
    skua_error err = {0};
    assert_int_equal(open_score(&b, NULL, buffer, 5, 1, NULL, &err), SKUA_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "executor"));
    batch_bench_close(&b);
    skua_buffer_free(buffer);
}

/* What a split launch reads in a buffer counts in what it may carry. */
static void
test_batch_split_with_too_large_a_buffer_is_refused(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, true, 0);
    skua_buffer *buffer = new_weights(&b, SKUA_TASK_MAX_BYTES);
    uint32_t scale = 5;
    const skua_kernel_arg args[] = {{.bytes = ROW * 4},
                                    {.bytes = 4},
                                    {.buffer = buffer, .bytes = SKUA_TASK_MAX_BYTES},
                                    {.value = &scale, .bytes = 4},
                                    {.bytes = 8},
                                    {.bytes = 4}};
    assert_int_equal(skua_batch_open_kernel(&b.batch, b.pool,
                                            SKUA_LAUNCH(.kernel = "score", .args = args,
                                                        .arg_count = 6, .global = {1}, .split = 1),
                                            NULL, NULL),
                     SKUA_E_TOO_BIG);
    batch_bench_close(&b);
    skua_buffer_free(buffer);
}

/* ---- The pool's window ---- */

/* There is room for a split launch, but not for what its parts bring with them: a deadline is told all the same. */
static void
test_batch_split_waits_for_room_for_its_parts(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, true, 0);
    skua_buffer *buffer = new_weights(&b, ROW * 4);
    uint32_t row[ROW] = {0}, answer[ROW];
    const skua_kernel_arg held[] = {{.data = row, .bytes = sizeof row},
                                    {.data = answer, .bytes = sizeof answer}};
    skua_pool_future *holder = NULL;
    assert_int_equal(skua_kernel_submit(b.pool,
                                        SKUA_LAUNCH(.kernel = "gated", .args = held, .arg_count = 2,
                                                    .global = {1}),
                                        &holder, NULL),
                     0);
    gate_await(&b, 1);
    skua__mutex_lock(&b.pool->lock);
    b.pool->options.window_bytes = b.pool->window_bytes + 200; /* of about 150 and 165 */
    skua__mutex_unlock(&b.pool->lock);

    assert_int_equal(open_score(&b, NULL, buffer, 5, 1, NULL, NULL), 0);
    uint32_t request[ROW + 1] = {1, 2, 3, 4, 5};
    skua_batch_future *future = NULL;
    assert_int_equal(skua_batch_ask(b.batch, request, sizeof request, 20, &future, NULL), 0);
    skua_batch_result result = {.size = sizeof result};
    skua_status waited = skua_batch_wait(future, 20000, &result, NULL);
    gate_let(&b, 1);
    assert_int_equal(waited, 0);
    assert_int_equal(result.status, SKUA_E_TIMEOUT);
    skua_batch_future_free(future);

    assert_int_equal(skua_pool_wait(holder, 20000, NULL), 0);
    skua_pool_future_free(holder);
    assert_int_equal(skua_batch_ask(b.batch, request, sizeof request, 0, &future, NULL), 0);
    assert_int_equal(skua_batch_wait(future, 20000, &result, NULL), 0);
    assert_int_equal(result.status, 0); /* alone it is let in */
    skua_batch_future_free(future);
    batch_bench_close(&b);
    skua_buffer_free(buffer);
}

/* What waits for room goes first: else those that ends and submissions send would take its room again and again. */
static void
test_batch_nobody_overtakes_what_waits_for_room(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, false, 1);
    open_plain(&b, "gated", SKUA_BATCH_OPTIONS(.requests_max = 1));
    skua_batch_future *futures[4];
    assert_int_equal(ask_row(&b, 0, 0, &futures[0]), 0);
    gate_await(&b, 1); /* the window's only place */
    assert_int_equal(ask_row(&b, 1, 0, &futures[1]), 0);
    uint64_t tries = 0;
    for (bool waits = false; !waits;) { /* until the batcher's thread waits for room */
        skua__mutex_lock(&b.pool->lock);
        waits = b.pool->waiters > 0;
        tries = b.pool->count.submit_again;
        skua__mutex_unlock(&b.pool->lock);
    }
    assert_int_equal(ask_row(&b, 2, 0, &futures[2]), 0);
    assert_int_equal(ask_row(&b, 3, 0, &futures[3]), 0);
    skua__mutex_lock(&b.pool->lock);
    assert_int_equal(b.pool->count.submit_again, tries); /* they did not try */
    skua__mutex_unlock(&b.pool->lock);
    assert_int_equal(bench_stats(&b).waiting, 2);
    gate_let(&b, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(end_row(futures[i], i).status, 0);
    }
    batch_bench_close(&b);
}

/* The only deadline of the pool's tasks. */
static int64_t
deadline_in_pool(const batch_bench *b) {
    int64_t found_ns = SKUA_NEVER_NS;
    skua__mutex_lock(&b->pool->lock);
    for (uint32_t i = 0; i < b->pool->slot_count; i++) {
        const skua_pool_future *task = b->pool->slots[i];
        if (task && task->lease.deadline_ns != SKUA_NEVER_NS) {
            assert_int_equal(found_ns, SKUA_NEVER_NS);
            found_ns = task->lease.deadline_ns;
        }
    }
    skua__mutex_unlock(&b->pool->lock);
    return found_ns;
}

/* A batch is given up at the latest deadline of its requests, however long it waited for room. */
static void
test_batch_deadline_counts_the_wait_for_room(void **state) {
    (void)state;
    enum { HOUR_MS = 3600000, HELD_MS = 600 };
    batch_bench b;
    batch_bench_open(&b, true, false, 1);
    open_plain(&b, "gated", NULL);
    uint32_t row[ROW] = {0}, answer[ROW];
    const skua_kernel_arg held[] = {{.data = row, .bytes = sizeof row},
                                    {.data = answer, .bytes = sizeof answer}};
    skua_pool_future *holder = NULL;
    assert_int_equal(skua_kernel_submit(b.pool,
                                        SKUA_LAUNCH(.kernel = "gated", .args = held, .arg_count = 2,
                                                    .global = {1}),
                                        &holder, NULL),
                     0);
    gate_await(&b, 1);
    skua_batch_future *future = NULL;
    assert_int_equal(ask_row(&b, 1, HOUR_MS, &future), 0);
    const int64_t latest_ns = skua__deadline_ns(HOUR_MS);
    assert_int_equal(skua_batch_wait(future, HELD_MS, NULL, NULL), SKUA_E_TIMEOUT);
    gate_let(&b, 1);
    gate_await(&b, 2);
    assert_int_equal(skua_pool_wait(holder, 20000, NULL), 0);
    assert_true(deadline_in_pool(&b) < latest_ns + HELD_MS / 2 * SKUA_NS_PER_MS);
    gate_let(&b, 1);
    assert_int_equal(end_row(future, 1).status, 0);
    skua_pool_future_free(holder);
    batch_bench_close(&b);
}

static void *
close_batcher(void *arg) {
    return skua_batch_close(arg);
}

/* Whoever closes may be whom the pool's tasks wait for: what waits for room in the window does not keep him. */
static void
test_batch_closes_while_the_window_is_full(void **state) {
    (void)state;
    for (int as_task = 0; as_task < 2; as_task++) {
        batch_bench b;
        batch_bench_open(&b, true, false, 1);
        uint32_t row[ROW] = {0}, answer[ROW];
        const skua_kernel_arg held[] = {{.data = row, .bytes = sizeof row},
                                        {.data = answer, .bytes = sizeof answer}};
        skua_pool_future *holder = NULL;
        assert_int_equal(skua_kernel_submit(b.pool,
                                            SKUA_LAUNCH(.kernel = "gated", .args = held,
                                                        .arg_count = 2, .global = {1}),
                                            &holder, NULL),
                         0);
        gate_await(&b, 1);
        if (as_task) {
            assert_int_equal(skua_batch_open(&b.batch, b.pool, "anything", NULL, NULL), 0);
        } else {
            open_plain(&b, "plain", NULL);
        }
        skua_batch_future *future = NULL;
        assert_int_equal(ask_row(&b, 1, 0, &future), 0);
        while (bench_stats(&b).batches == 0) { /* until the batcher's thread has it */
        }
        pthread_t thread;
        assert_int_equal(skua__thread_start(&thread, "close", close_batcher, b.batch, NULL), 0);
        b.batch = NULL;
        skua_batch_result result = {.size = sizeof result};
        skua_status waited = skua_batch_wait(future, 20000, &result, NULL);
        gate_let(&b, 1);
        assert_int_equal(waited, 0);
        assert_int_equal(result.status, SKUA_E_CANCELLED);
        skua_batch_future_free(future);
        skua__thread_join(thread);
        skua_pool_future_free(holder);
        batch_bench_close(&b);
    }
}

/* ---- Readers ---- */

enum { EXPLAINS = 20000 };

/* Returns NULL when each explanation had words. */
static void *
explain_often(void *arg) {
    const batch_bench *self = arg;
    char why[200];
    for (int i = 0; i < EXPLAINS; i++) {
        if (!skua_batch_explain(self->batch, why, sizeof why)[0]) {
            return arg;
        }
    }
    return NULL;
}

/* Several ask at once why a batch went where it went, and each is told. */
static void
test_batch_explains_to_several(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, false, 0);
    open_plain(&b, "plain", NULL);
    skua_batch_future *future = NULL;
    assert_int_equal(ask_row(&b, 1, 0, &future), 0);
    assert_int_equal(end_row(future, 1).status, 0);
    assert_int_equal(skua_batch_await_all(b.batch, 20000, NULL), 0);
    pthread_t threads[2];
    for (int t = 0; t < 2; t++) {
        assert_int_equal(skua__thread_start(&threads[t], "explain", explain_often, &b, NULL), 0);
    }
    for (int t = 0; t < 2; t++) {
        void *silent = &b;
        assert_int_equal(pthread_join(threads[t], &silent), 0);
        assert_null(silent);
    }
    batch_bench_close(&b);
}

/* ---- The child of a fork ---- */

/* A thread of the parent's may have had the batcher's lock at the fork; nobody gives it back in the child. */
static void
test_batch_metrics_in_a_child_of_a_fork(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, false, true, 0);
    open_plain(&b, "plain", NULL);
    skua__mutex_lock(&b.batch->lock);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        char why[8];
        skua_batch_counters counters = {.size = sizeof counters};
        bool good = skua_batch_metrics(b.batch) == &b.batch->metrics &&
                    skua_batch_stats(b.batch, &counters, NULL) == SKUA_E_FORKED &&
                    !skua_batch_explain(b.batch, why, sizeof why)[0] && !skua_batch_close(b.batch);
        _exit(good ? 0 : 1);
    }
    skua__mutex_unlock(&b.batch->lock);
    int ended = 0;
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    batch_bench_close(&b);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_no_time_at_all_never_starts),
        cmocka_unit_test(test_batch_value_without_a_value_is_refused),
        cmocka_unit_test(test_batch_split_with_a_buffer_needs_an_executor),
        cmocka_unit_test(test_batch_split_with_too_large_a_buffer_is_refused),
        cmocka_unit_test(test_batch_split_waits_for_room_for_its_parts),
        cmocka_unit_test(test_batch_nobody_overtakes_what_waits_for_room),
        cmocka_unit_test(test_batch_deadline_counts_the_wait_for_room),
        cmocka_unit_test(test_batch_closes_while_the_window_is_full),
        cmocka_unit_test(test_batch_explains_to_several),
        cmocka_unit_test(test_batch_metrics_in_a_child_of_a_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
