// SPDX-License-Identifier: MPL-2.0
// Batches of a kernel: one launch for all requests, on the cores or a fake device, and each request with an end of its own.
#include "batch_bench.h"
#include "failing_allocator.h"

#include <skua/buffer.h>
#include <string.h>

/* Held until there are n of them, or until the test says that time is up. */
#define HELD(n) SKUA_BATCH_OPTIONS(.requests_max = (n), .wait_us = LONG_US, .hold_when_idle = 1)

static bool
time_is_up(batch_bench *b) {
    return skua__batch_step(b->batch, skua__clock_ns() + LONG_US * SKUA_NS_PER_US);
}

static skua_batch_future *
ask(batch_bench *b, uint32_t x) {
    skua_batch_future *future = NULL;
    assert_int_equal(ask_row(b, x, 0, &future), 0);
    return future;
}

static void
test_batch_kernel_is_one_launch_when_full(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, false, true, 0);
    open_plain(&b, "plain", HELD(8));
    skua_batch_future *futures[16];
    for (uint32_t i = 0; i < 16; i++) {
        futures[i] = ask(&b, i);
        assert_int_equal(bench_stats(&b).batches, (i + 1) / 8); /* in the call, without a wake-up */
    }
    for (uint32_t i = 0; i < 16; i++) {
        skua_batch_result result = end_row(futures[i], i);
        assert_int_equal(result.status, 0);
        assert_int_equal(result.batch_requests, 8);
    }
    assert_int_equal(skua_batch_await_all(b.batch, 20000, NULL), 0);
    assert_int_equal(skua__fake_counts(b.fake).launches, 2);
    skua_batch_counters counters = bench_stats(&b);
    assert_int_equal(counters.left_full, 2);
    assert_int_equal(counters.left_idle + counters.left_waited, 0);
    batch_bench_close(&b);
}

static void
test_batch_kernel_leaves_when_its_time_is_up(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, false, true, 0);
    open_plain(&b, "plain", HELD(8));
    skua_batch_future *futures[5];
    int64_t before_ns = skua__clock_ns();
    for (uint32_t i = 0; i < 5; i++) {
        futures[i] = ask(&b, i);
    }
    assert_false(skua__batch_step(b.batch, before_ns + LONG_US * SKUA_NS_PER_US - 1));
    assert_int_equal(skua_batch_wait(futures[0], SKUA_NONE, NULL, NULL), SKUA_E_TIMEOUT);
    assert_true(time_is_up(&b));
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(end_row(futures[i], i).batch_requests, 5);
    }
    assert_int_equal(bench_stats(&b).left_waited, 1);
    assert_int_equal(skua__fake_counts(b.fake).launches, 1);
    batch_bench_close(&b);
}

/* Nothing in flight: at once, and alone. What comes meanwhile gathers until that one ends. */
static void
test_batch_kernel_leaves_at_once_when_idle(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, false, 0);
    open_plain(&b, "gated", SKUA_BATCH_OPTIONS(.wait_us = LONG_US));
    skua_batch_future *first = ask(&b, 1);
    gate_await(&b, 1);
    skua_batch_future *second = ask(&b, 2), *third = ask(&b, 3);
    assert_int_equal(bench_stats(&b).waiting, 2);
    gate_let(&b, 2);
    assert_int_equal(end_row(first, 1).batch_requests, 1);
    assert_int_equal(end_row(second, 2).batch_requests, 2);
    assert_int_equal(end_row(third, 3).batch_requests, 2);
    assert_int_equal(bench_stats(&b).left_idle, 2);
    batch_bench_close(&b);
}

/* ---- Layout ---- */

struct scored {
    skua__mutex lock;
    uint32_t seen, wrong;
};

typedef struct score_request {
    uint32_t x[ROW], k; /* as skua_batch_open_kernel() says: one row behind the other */
} score_request;

static void
on_score(void *arg, const skua_batch_result *result) {
    struct scored *scored = arg;
    const uint32_t *answer = result->answer;
    skua__mutex_lock(&scored->lock);
    scored->seen++;
    uint32_t i = result->status || result->answer_bytes != 12 ? 0 : answer[2] - 1001;
    uint32_t dot = 1 * i + 2 * (i + 1) + 3 * (i + 2) + 4 * (i + 3);
    scored->wrong += result->status || answer[0] != 5 * dot || answer[1] != 4 * i + 6;
    skua__mutex_unlock(&scored->lock);
}

static void
score_some(batch_bench *b, uint32_t count) {
    struct scored scored = {.seen = 0};
    skua__mutex_init(&scored.lock);
    for (uint32_t i = 1; i <= count; i++) {
        const score_request request = {.x = {i, i + 1, i + 2, i + 3}, .k = 1000 + i};
        assert_int_equal(
            skua_batch_submit(b->batch, &request, sizeof request, on_score, &scored, 0, NULL), 0);
    }
    assert_int_equal(skua_batch_await_all(b->batch, 20000, NULL), 0);
    assert_int_equal(scored.seen, count);
    assert_int_equal(scored.wrong, 0);
    skua__mutex_fini(&scored.lock);
}

static const uint32_t weights[ROW] = {1, 2, 3, 4};

/* Two rows in and two out, with weights that all share; whole, and split over cores and device. */
static void
test_batch_kernel_gathers_and_scatters_rows(void **state) {
    (void)state;
    for (uint8_t split = 0; split < 2; split++) {
        for (int place = 0; place < 3; place++) {
            batch_bench b;
            batch_bench_open(&b, place != 0, place != 1, 0);
            assert_int_equal(open_score(&b, weights, NULL, 5, split, HELD(10), NULL), 0);
            score_some(&b, 50);
            assert_int_equal(bench_stats(&b).left_full, 5);
            batch_bench_close(&b);
        }
    }
}

/* The weights lie in a buffer: they are moved to the device once, and not with each batch. */
static void
test_batch_kernel_shares_a_buffer(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, false, true, 0);
    skua_buffer *buffer = NULL;
    assert_int_equal(
        skua_buffer_new(b.devices, &buffer, SKUA_BUFFER_OPTIONS(.bytes = sizeof weights), NULL), 0);
    assert_int_equal(skua_buffer_write(buffer, 0, weights, sizeof weights, NULL), 0);
    assert_int_equal(open_score(&b, NULL, buffer, 5, 0, HELD(10), NULL), 0);
    score_some(&b, 30);
    skua__fake_counters counts = skua__fake_counts(b.fake);
    assert_int_equal(counts.launches, 3);
    assert_int_equal(counts.copies, 3 * 4 + 1); /* two rows in and two out each, and the weights */
    assert_null(skua_batch_close(b.batch));
    b.batch = NULL;
    skua_buffer_free(buffer);
    batch_bench_close(&b);
}

/* ---- Ends ---- */

static void
test_batch_kernel_cancel_costs_others_nothing(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, false, true, 0);
    open_plain(&b, "plain", HELD(4));
    skua_batch_future *futures[5];
    for (uint32_t i = 0; i < 3; i++) {
        futures[i] = ask(&b, i);
    }
    assert_true(skua_batch_cancel(futures[1]));
    assert_false(skua_batch_cancel(futures[1]));
    skua_batch_result result = {.size = sizeof result};
    assert_int_equal(skua_batch_wait(futures[1], SKUA_NONE, &result, NULL), 0); /* already */
    assert_int_equal(result.status, SKUA_E_CANCELLED);
    assert_int_equal(result.batch_requests, 0);
    assert_null(result.answer);
    assert_non_null(strstr(result.message, "cancelled"));
    futures[3] = ask(&b, 3);
    assert_int_equal(bench_stats(&b).waiting, 3); /* it takes no place */
    futures[4] = ask(&b, 4);
    for (uint32_t i = 0; i < 5; i++) {
        if (i == 1) {
            skua_batch_future_free(futures[i]);
            continue;
        }
        assert_int_equal(end_row(futures[i], i).batch_requests, 4);
    }
    assert_int_equal(skua__fake_counts(b.fake).launches, 1);
    assert_int_equal(bench_stats(&b).ended_cancelled, 1);
    assert_false(skua_batch_cancel(NULL));
    batch_bench_close(&b);
}

static void
test_batch_kernel_cancel_of_what_has_left(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, false, 0);
    open_plain(&b, "gated", NULL);
    skua_batch_future *future = ask(&b, 4);
    gate_await(&b, 1);
    assert_false(skua_batch_cancel(future));
    gate_let(&b, 1);
    assert_int_equal(end_row(future, 4).status, 0);
    batch_bench_close(&b);
}

/* The function refuses a batch: each request is told, in its words, and the next batch is none the worse. */
static void
test_batch_kernel_failure_is_each_requests(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, false, 0);
    open_plain(&b, "gated", HELD(2));
    gate_let(&b, 2);
    skua_batch_future *bad = ask(&b, BAD), *good = ask(&b, 1);
    skua_batch_result result = {.size = sizeof result};
    assert_int_equal(skua_batch_wait(bad, 20000, &result, NULL), 0);
    assert_int_equal(result.status, SKUA_E_TASK_FAILED);
    assert_int_equal(result.batch_requests, 2);
    assert_non_null(strstr(result.message, "9"));
    skua_batch_future_free(bad);
    assert_int_equal(end_row(good, 1).status, SKUA_E_TASK_FAILED);
    good = ask(&b, 2);
    bad = ask(&b, 3);
    assert_int_equal(end_row(good, 2).status, 0);
    assert_int_equal(end_row(bad, 3).status, 0);
    assert_int_equal(bench_stats(&b).ended_failed, 2);
    batch_bench_close(&b);
}

/* The device is lost in the middle of a batch: the pool runs it again on the cores, and nobody notices. */
static void
test_batch_kernel_device_fails_and_the_cores_take_over(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, true, 0);
    const skua_kernel_arg args[] = {{.bytes = ROW * 4}, {.bytes = ROW * 4}};
    skua__fake_set_faults(b.fake, &(skua__fake_faults){.loss_at = 1});
    assert_int_equal(skua_batch_open_kernel(&b.batch, b.pool,
                                            SKUA_LAUNCH(.kernel = "plain", .args = args,
                                                        .arg_count = 2, .global = {ROW}),
                                            HELD(3), NULL),
                     0);
    skua_kernel_share device = {.size = sizeof device};
    uint32_t x = 0;
    for (; device.failures == 0 && x < 3000; x += 3) { /* until the selector tried the device */
        skua_batch_future *futures[3] = {ask(&b, x), ask(&b, x + 1), ask(&b, x + 2)};
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(end_row(futures[i], x + i).status, 0);
        }
        assert_int_equal(skua_kernel_share_at(b.pool, "plain", 1, &device, NULL), 0);
    }
    assert_int_equal(device.failures, 1);
    assert_int_equal(bench_stats(&b).ended_ok, x);
    batch_bench_close(&b);
}

/* With no other place that batch fails, in the device's words. */
static void
test_batch_kernel_only_device_fails(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, false, true, 0);
    const skua_kernel_arg args[] = {{.bytes = ROW * 4}, {.bytes = ROW * 4}};
    skua__fake_set_faults(b.fake, &(skua__fake_faults){.loss_at = 1});
    assert_int_equal(
        skua_batch_open_kernel(&b.batch, b.pool,
                               SKUA_LAUNCH(.kernel = "plain", .args = args, .arg_count = 2,
                                           .global = {ROW}, .on = SKUA_ON_DEVICE),
                               HELD(2), NULL),
        0);
    skua_batch_future *one = ask(&b, 1), *two = ask(&b, 2);
    skua_batch_result result = {.size = sizeof result};
    assert_int_equal(skua_batch_wait(one, 20000, &result, NULL), 0);
    assert_int_equal(result.status, SKUA_E_TASK_FAILED);
    assert_true(strlen(result.message) > 0);
    skua_batch_future_free(one);
    assert_int_equal(end_row(two, 2).status, SKUA_E_TASK_FAILED);
    batch_bench_close(&b);
}

static void *
close_batch(void *arg) {
    return skua_batch_close(arg);
}

/* Those that wait are told at once; who is in flight is waited for; and futures outlive the batcher. */
static void
test_batch_kernel_close_loses_nobody(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, false, 0);
    open_plain(&b, "gated", SKUA_BATCH_OPTIONS(.wait_us = LONG_US, .in_flight_max = 1));
    skua_batch_future *futures[20];
    futures[0] = ask(&b, 0);
    gate_await(&b, 1);
    for (uint32_t i = 1; i < 20; i++) {
        futures[i] = ask(&b, i);
    }
    futures[19] = skua_batch_future_free(futures[19]); /* nobody will hear of it */
    pthread_t thread;
    assert_int_equal(skua__thread_start(&thread, "close", close_batch, b.batch, NULL), 0);
    for (uint32_t i = 1; i < 19; i++) {
        assert_int_equal(end_row(futures[i], i).status, SKUA_E_CANCELLED);
    }
    assert_int_equal(skua_batch_wait(futures[0], SKUA_NONE, NULL, NULL), SKUA_E_TIMEOUT);
    gate_let(&b, 1);
    skua__thread_join(thread);
    b.batch = NULL;
    assert_int_equal(skua_batch_wait(futures[0], SKUA_NONE, NULL, NULL), 0);
    assert_false(skua_batch_cancel(futures[0]));
    assert_int_equal(end_row(futures[0], 0).status, 0);
    batch_bench_close(&b);
}

static void
test_batch_kernel_deadlines(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, false, true, 0);
    open_plain(&b, "plain", HELD(100));
    skua_batch_future *soon = NULL, *late = NULL;
    assert_int_equal(ask_row(&b, 1, 20000, &soon), 0);
    assert_int_equal(ask_row(&b, 2, 3600000, &late), 0);
    assert_true(skua__batch_step(b.batch, skua__clock_ns() + 20000 * SKUA_NS_PER_MS));
    assert_int_equal(end_row(soon, 1).status, SKUA_E_TIMEOUT);
    assert_int_equal(bench_stats(&b).waiting, 1);
    assert_true(time_is_up(&b));
    assert_int_equal(end_row(late, 2).status, 0);
    assert_int_equal(skua__fake_counts(b.fake).launches, 1);
    batch_bench_close(&b);
}

static void
test_batch_kernel_queue_is_a_bound(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, false, true, 0);
    open_plain(&b, "plain",
               SKUA_BATCH_OPTIONS(.wait_us = LONG_US, .hold_when_idle = 1, .queue_max = 2));
    skua_batch_future *one = ask(&b, 1), *two = ask(&b, 2), *three = NULL;
    skua_error err = {0};
    const uint32_t row[ROW] = {0};
    assert_int_equal(skua_batch_ask(b.batch, row, sizeof row, 0, &three, &err), SKUA_E_AGAIN);
    assert_null(three);
    assert_non_null(strstr(err.message, "queue_max"));
    assert_true(skua_batch_cancel(one)); /* makes room */
    three = ask(&b, 3);
    assert_int_equal(bench_stats(&b).refused, 1);
    assert_true(time_is_up(&b));
    assert_int_equal(end_row(one, 1).status, SKUA_E_CANCELLED);
    assert_int_equal(end_row(two, 2).status, 0);
    assert_int_equal(end_row(three, 3).status, 0);
    batch_bench_close(&b);
}

/* The pool's own window is full: the batch waits for room, and a deadline still ends a request. */
static void
test_batch_kernel_waits_for_the_pools_window(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, false, 1);
    open_plain(&b, "gated", SKUA_BATCH_OPTIONS(.in_flight_max = 4, .wait_us = SKUA_NONE));
    skua_batch_future *first = ask(&b, 1);
    gate_await(&b, 1); /* the window's only place */
    skua_batch_future *late = NULL;
    assert_int_equal(ask_row(&b, 2, 20, &late), 0);
    assert_int_equal(end_row(late, 2).status, SKUA_E_TIMEOUT);
    skua_batch_future *second = ask(&b, 3);
    gate_let(&b, 2);
    assert_int_equal(end_row(first, 1).status, 0);
    assert_int_equal(end_row(second, 3).status, 0);
    assert_int_equal(bench_stats(&b).batches, 2);
    batch_bench_close(&b);
}

/* ---- Numbers ---- */

static int64_t
metric_of(const batch_bench *b, const char *name) {
    skua_metric_value values[32];
    size_t count = skua_metrics_snapshot(skua_batch_metrics(b->batch), values, 32);
    assert_in_range(count, 13, 32);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(values[i].info->name, name) == 0) {
            return values[i].value;
        }
    }
    fail_msg("no metric is named %s", name);
    return 0;
}

static void
test_batch_kernel_numbers(void **state) {
    (void)state;
    batch_bench b;
    char why[400];
    batch_bench_open(&b, false, true, 0);
    open_plain(&b, "plain", HELD(4));
    assert_string_equal(skua_batch_explain(b.batch, why, sizeof why), "");
    skua_batch_future *futures[9];
    for (uint32_t i = 0; i < 9; i++) {
        futures[i] = ask(&b, i);
    }
    assert_int_equal(end_row(futures[0], 0).status, 0);
    assert_int_equal(end_row(futures[7], 7).status, 0);
    assert_int_equal(metric_of(&b, "batch.waiting"), 1);
    assert_true(time_is_up(&b));
    for (uint32_t i = 1; i < 9; i++) {
        assert_int_equal(i == 7 ? 0 : end_row(futures[i], i).status, 0);
    }
    assert_int_equal(skua_batch_await_all(b.batch, 20000, NULL), 0);
    skua_batch_counters counters = bench_stats(&b);
    assert_int_equal(counters.batches, 3);
    assert_int_equal(counters.left_full, 2);
    assert_int_equal(counters.left_waited, 1);
    assert_int_equal(counters.size_p50, 4);
    assert_int_equal(counters.size_max, 4);
    assert_true(counters.mean_fill > 0.74 && counters.mean_fill < 0.76);
    assert_true(counters.latency_p50_ns > 0 && counters.run_p50_ns > 0);
    assert_true(counters.latency_p99_ns >= counters.latency_p50_ns);
    assert_true(counters.latency_p999_ns >= counters.latency_p99_ns);
    assert_true(counters.latency_max_ns >= counters.latency_p999_ns);
    assert_true(counters.wait_p99_ns >= counters.wait_p50_ns);
    assert_true(counters.run_p99_ns >= counters.run_p50_ns);
    assert_true(counters.wait_p99_ns <= counters.latency_max_ns);
    assert_int_equal(metric_of(&b, "batch.requests"), 9);
    assert_int_equal(metric_of(&b, "batch.ok"), 9);
    assert_int_equal(metric_of(&b, "batch.batches"), 3);
    assert_int_equal(metric_of(&b, "batch.batch_requests"), 9);
    assert_int_equal(metric_of(&b, "batch.waiting"), 0);
    assert_int_equal(metric_of(&b, "batch.in_flight"), 0);
    assert_int_equal(metric_of(&b, "batch.latency_p99_ns"), counters.latency_p99_ns);
    assert_int_equal(metric_of(&b, "batch.latency_p999_ns"), counters.latency_p999_ns);
    assert_int_equal(metric_of(&b, "batch.run_p99_ns"), counters.run_p99_ns);
    assert_null(skua_batch_metrics(NULL));
    assert_non_null(strstr(skua_batch_explain(b.batch, why, sizeof why), "device 0"));
    assert_non_null(strstr(skua_batch_explain(b.batch, why, sizeof why), "run"));
    batch_bench_close(&b);
}

/* ---- What is refused ---- */

static void
test_batch_kernel_refuses_nonsense(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, true, 0);
    uint32_t row[ROW] = {0};
    const skua_kernel_arg rows[] = {{.bytes = 16}, {.bytes = 16}};
    const skua_kernel_arg shared_out[] = {{.bytes = 16}, {.data = row, .bytes = 16}};
    const skua_kernel_arg empty[] = {{.bytes = 0}, {.bytes = 16}};
    const skua_kernel_arg uneven[] = {{.bytes = 16}, {.bytes = 12}};
    const skua_kernel_arg large[] = {{.bytes = 1 << 20}, {.bytes = 1 << 20}};
    const struct {
        skua_status status;
        const char *kernel, *says;
        const skua_kernel_arg *args;
        uint32_t arg_count;
        uint64_t items;
        bool split;
    } cases[] = {
        {SKUA_E_NOT_FOUND, "none", "not registered", rows, 2, 4, false},
        {SKUA_E_BAD_ARGUMENT, "plain", "argument 1", shared_out, 2, 4, false},
        {SKUA_E_BAD_ARGUMENT, "plain", "argument 0", empty, 2, 4, false},
        {SKUA_E_BAD_ARGUMENT, "plain", "sizes", uneven, 2, 4, false},
        {SKUA_E_BAD_ARGUMENT, "plain", "2 parameters", rows, 1, 4, false},
        {SKUA_E_BAD_ARGUMENT, "plain", "work-items", rows, 2, 0, false},
        {SKUA_E_BAD_ARGUMENT, "plain", "work-items", rows, 2, UINT64_C(1) << 40, false},
        {SKUA_E_TOO_BIG, "plain", "64", large, 2, 4, false}, /* 100 of them */
        {SKUA_E_UNSUPPORTED, "plain", "split", rows, 2, 4, true},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        skua_error err = {0};
        skua_status status = skua_batch_open_kernel(
            &b.batch, b.pool,
            SKUA_LAUNCH(.kernel = cases[c].kernel, .args = cases[c].args,
                        .arg_count = cases[c].arg_count, .global = {cases[c].items},
                        .split = cases[c].split),
            SKUA_BATCH_OPTIONS(.requests_max = 100, .bytes_max = 50 << 20), &err);
        if (c == 7) {
            assert_int_equal(status, 0); /* 50 MiB hold only 50 of them: that fits */
            b.batch = skua_batch_close(b.batch);
            continue;
        }
        assert_int_equal(status, cases[c].status);
        assert_non_null(strstr(err.message, cases[c].says));
        assert_null(b.batch);
    }
    assert_int_equal(skua_batch_open_kernel(&b.batch, b.pool, NULL, NULL, NULL),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_open_kernel(NULL, b.pool, NULL, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    open_plain(&b, "plain", NULL);
    skua_error err = {0};
    assert_int_equal(skua_batch_submit(b.batch, row, 12, NULL, NULL, 0, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "16"));
    skua_batch_future *future = NULL;
    assert_int_equal(skua_batch_ask(b.batch, row, 20, 0, &future, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_ask(b.batch, row, 16, 0, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_ask(NULL, row, 16, 0, &future, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_wait(NULL, 0, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_null(future);
    assert_null(skua_batch_future_free(NULL));
    assert_int_equal(bench_stats(&b).requests, 0);
    batch_bench_close(&b);
}

/* A buffer of other devices than the pool's is told at the opening, and so is a batch too large for a launch. */
static void
test_batch_kernel_refuses_what_no_launch_could_carry(void **state) {
    (void)state;
    batch_bench b, other;
    batch_bench_open(&b, true, false, 0);
    batch_bench_open(&other, false, true, 0);
    skua_buffer *buffer = NULL;
    skua_error err = {0};
    assert_int_equal(
        skua_buffer_new(other.devices, &buffer, SKUA_BUFFER_OPTIONS(.bytes = ROW * 4), NULL), 0);
    assert_int_equal(open_score(&b, NULL, buffer, 5, 0, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "buffer"));
    skua_buffer_free(buffer);
    batch_bench_close(&other);
    const skua_kernel_arg args[] = {{.bytes = ROW * 4}, {.bytes = 1 << 20}};
    assert_int_equal(skua_batch_open_kernel(&b.batch, b.pool,
                                            SKUA_LAUNCH(.kernel = "gated", .args = args,
                                                        .arg_count = 2, .global = {1}),
                                            SKUA_BATCH_OPTIONS(.requests_max = 100), &err),
                     SKUA_E_TOO_BIG);
    batch_bench_close(&b);
}

/* Memory fails at each call in turn: what was taken still ends, once. */
static void
test_batch_kernel_survives_a_failing_allocator(void **state) {
    (void)state;
    bool whole = false;
    long n = 1;
    for (; !whole && n < 100; n++) {
        batch_bench b;
        batch_bench_open(&b, true, false, 0);
        failing_allocator allocator;
        failing_allocator_init(&allocator, n);
        skua_status status =
            open_score(&b, weights, NULL, 5, 0,
                       SKUA_BATCH_OPTIONS(.allocator = &allocator.hook, .requests_max = 2,
                                          .hold_when_idle = 1, .wait_us = LONG_US),
                       NULL);
        assert_true(status == 0 || status == SKUA_E_NO_MEMORY);
        skua_batch_future *futures[2] = {NULL, NULL};
        int taken = 0, good = 0;
        for (uint32_t i = 0; i < 2 && !status; i++) {
            const score_request request = {.k = i};
            skua_status one =
                skua_batch_ask(b.batch, &request, sizeof request, 0, &futures[i], NULL);
            assert_true(one == 0 || one == SKUA_E_NO_MEMORY);
            taken += one == 0;
        }
        if (taken < 2) {
            b.batch = skua_batch_close(b.batch);
        }
        for (int i = 0; i < 2; i++) {
            skua_batch_result result = {.size = sizeof result};
            if (futures[i]) {
                assert_int_equal(skua_batch_wait(futures[i], 20000, &result, NULL), 0);
                assert_true(result.status == 0 || result.status == SKUA_E_NO_MEMORY ||
                            (taken < 2 && result.status == SKUA_E_CANCELLED));
                good += result.status == 0;
                skua_batch_future_free(futures[i]);
            }
        }
        whole = good == 2;
        batch_bench_close(&b);
        assert_int_equal(atomic_load(&allocator.alive), 0);
    }
    assert_true(whole && n > 8);
}

/* ---- Threads ---- */

enum { ASKERS = 4, ASKS = 400 };

static void *
ask_many(void *arg) {
    batch_bench *b = arg;
    for (uint32_t i = 0; i < ASKS; i++) {
        skua_batch_future *future = NULL;
        skua_status status;
        while ((status = ask_row(b, i, 0, &future)) == SKUA_E_AGAIN) {
            assert_int_equal(skua_batch_await_all(b->batch, 20000, NULL), 0);
        }
        assert_int_equal(status, 0);
        if (i % 7 == 3) {
            (void)skua_batch_cancel(future);
        }
        if (i % 5 == 4) {
            skua_batch_future_free(future);
            continue;
        }
        int32_t ended = end_row(future, i).status;
        assert_true(ended == 0 || (i % 7 == 3 && ended == SKUA_E_CANCELLED));
    }
    return NULL;
}

static void
test_batch_kernel_is_shared_by_threads(void **state) {
    (void)state;
    batch_bench b;
    batch_bench_open(&b, true, true, 0);
    open_plain(&b, "plain", SKUA_BATCH_OPTIONS(.wait_us = 50, .queue_max = 3));
    pthread_t threads[ASKERS];
    for (int t = 0; t < ASKERS; t++) {
        assert_int_equal(skua__thread_start(&threads[t], "ask", ask_many, &b, NULL), 0);
    }
    char why[200];
    for (int i = 0; i < 200; i++) {
        skua_batch_explain(b.batch, why, sizeof why); /* while batches end */
    }
    for (int t = 0; t < ASKERS; t++) {
        skua__thread_join(threads[t]);
    }
    assert_int_equal(skua_batch_await_all(b.batch, 20000, NULL), 0);
    skua_batch_counters counters = bench_stats(&b);
    assert_int_equal(counters.requests, ASKERS * ASKS);
    assert_int_equal(counters.ended_ok + counters.ended_cancelled, ASKERS * ASKS);
    assert_int_equal(counters.waiting + counters.batches_in_flight, 0);
    batch_bench_close(&b);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_kernel_is_one_launch_when_full),
        cmocka_unit_test(test_batch_kernel_leaves_when_its_time_is_up),
        cmocka_unit_test(test_batch_kernel_leaves_at_once_when_idle),
        cmocka_unit_test(test_batch_kernel_gathers_and_scatters_rows),
        cmocka_unit_test(test_batch_kernel_shares_a_buffer),
        cmocka_unit_test(test_batch_kernel_cancel_costs_others_nothing),
        cmocka_unit_test(test_batch_kernel_cancel_of_what_has_left),
        cmocka_unit_test(test_batch_kernel_failure_is_each_requests),
        cmocka_unit_test(test_batch_kernel_device_fails_and_the_cores_take_over),
        cmocka_unit_test(test_batch_kernel_only_device_fails),
        cmocka_unit_test(test_batch_kernel_close_loses_nobody),
        cmocka_unit_test(test_batch_kernel_deadlines),
        cmocka_unit_test(test_batch_kernel_queue_is_a_bound),
        cmocka_unit_test(test_batch_kernel_waits_for_the_pools_window),
        cmocka_unit_test(test_batch_kernel_numbers),
        cmocka_unit_test(test_batch_kernel_refuses_nonsense),
        cmocka_unit_test(test_batch_kernel_refuses_what_no_launch_could_carry),
        cmocka_unit_test(test_batch_kernel_survives_a_failing_allocator),
        cmocka_unit_test(test_batch_kernel_is_shared_by_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
