// SPDX-License-Identifier: MPL-2.0
// The bench of batch_bench.h.
#include "batch_bench.h"

#include <string.h>

static int
plain(const skua_kernel_call *call, void *arg) {
    (void)arg;
    const uint32_t *x = call->args[0];
    uint32_t *y = call->args[1];
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = 3 * x[i] + (uint32_t)(i % ROW);
    }
    return 0;
}

/* A batch waits at the gate once, however many calls of the function it is. */
static int
gated(const skua_kernel_call *call, void *arg) {
    batch_bench *self = arg;
    const uint32_t *x = call->args[0];
    uint32_t *y = call->args[1];
    if (call->begin == 0) {
        skua__mutex_lock(&self->lock);
        self->waiting++;
        skua__cond_broadcast(&self->moved);
        while (self->open == 0) {
            skua__cond_wait(&self->moved, &self->lock);
        }
        self->open--;
        skua__mutex_unlock(&self->lock);
    }
    for (uint64_t i = call->begin; i < call->end; i++) {
        for (uint64_t k = i * ROW; k < (i + 1) * ROW; k++) {
            y[k] = 3 * x[k] + (uint32_t)(k % ROW);
        }
        if (x[i * ROW] == BAD) {
            return 9;
        }
    }
    return 0;
}

static int
score(const skua_kernel_call *call, void *arg) {
    (void)arg;
    const uint32_t *x = call->args[0], *k = call->args[1], *w = call->args[2];
    uint32_t scale, *y = call->args[4], *tag = call->args[5];
    memcpy(&scale, call->args[3], sizeof scale);
    for (uint64_t i = call->begin; i < call->end; i++) {
        uint32_t dot = 0, sum = 0;
        for (uint64_t j = 0; j < ROW; j++) {
            dot += x[i * ROW + j] * w[j];
            sum += x[i * ROW + j];
        }
        y[2 * i] = scale * dot;
        y[2 * i + 1] = sum;
        tag[i] = k[i] + 1;
    }
    return 0;
}

/* As many work-items as the rows are made for. */
static int
check_plain(const skua_launch *launch, void *arg) {
    (void)arg;
    return launch->args[0].bytes != launch->args[1].bytes;
}

static void
open_device(batch_bench *self) {
    static const skua__fake_entry entries[] = {{.name = "plain", .fn = plain, .guarded = true},
                                               {.name = "score", .fn = score, .guarded = true}};
    self->fake = skua__fake_new(&(skua__fake_options){.entries = entries, .entry_count = 2});
    skua_device_info info = skua__fake_info(1U << 30);
    /* No driver is looked for: the only device is the fake one. */
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1);
    assert_int_equal(skua_devices_open(&self->devices, SKUA_DEVICES_OPTIONS(.cache_dir = ""), NULL),
                     0);
    assert_int_equal(skua__devices_add(self->devices, skua__fake_driver(), self->fake, &info), 0);
}

static void
register_kernels(batch_bench *self) {
    static const skua_param_kind rows[] = {SKUA_PARAM_IN, SKUA_PARAM_OUT};
    static const skua_param_kind scores[] = {SKUA_PARAM_IN,    SKUA_PARAM_IN,  SKUA_PARAM_IN,
                                             SKUA_PARAM_VALUE, SKUA_PARAM_OUT, SKUA_PARAM_OUT};
    assert_int_equal(
        skua_kernel_register(self->pool, "plain",
                             SKUA_KERNEL_SPEC(.source = "kernel", .params = rows, .param_count = 2,
                                              .guarded = 1, .fn = plain, .check = check_plain),
                             NULL),
        0);
    assert_int_equal(skua_kernel_register(self->pool, "gated",
                                          SKUA_KERNEL_SPEC(.params = rows, .param_count = 2,
                                                           .fn = gated, .fn_arg = self),
                                          NULL),
                     0);
    assert_int_equal(skua_kernel_register(self->pool, "score",
                                          SKUA_KERNEL_SPEC(.source = "kernel", .params = scores,
                                                           .param_count = 6, .guarded = 1,
                                                           .fn = score, .sliced = 0x33),
                                          NULL),
                     0);
}

void
batch_bench_open(batch_bench *self, bool cores, bool device, uint32_t window) {
    memset(self, 0, sizeof *self);
    skua__mutex_init(&self->lock);
    skua__cond_init(&self->moved);
    if (device) {
        open_device(self);
    }
    if (cores) {
        assert_int_equal(skua_exec_open(&self->exec, SKUA_EXEC_OPTIONS(.workers = 2), NULL), 0);
    }
    assert_int_equal(skua_pool_open(&self->pool,
                                    SKUA_POOL_OPTIONS(.exec = self->exec, .devices = self->devices,
                                                      .window_tasks = window),
                                    NULL),
                     0);
    register_kernels(self);
}

void
batch_bench_close(batch_bench *self) {
    assert_null(skua_batch_close(self->batch));
    skua_pool_close(self->pool);
    skua_devices_close(self->devices);
    skua_exec_close(self->exec);
    if (self->fake) {
        skua__fake_counters counts = skua__fake_counts(self->fake);
        if (counts.misuses) {
            fail_msg("%s", counts.misuse);
        }
        assert_int_equal(counts.memories, 0);
        skua__fake_free(self->fake);
    }
    skua__cond_fini(&self->moved);
    skua__mutex_fini(&self->lock);
}

void
gate_let(batch_bench *self, int count) {
    skua__mutex_lock(&self->lock);
    self->open += count;
    skua__cond_broadcast(&self->moved);
    skua__mutex_unlock(&self->lock);
}

void
gate_await(batch_bench *self, int waiting) {
    skua__mutex_lock(&self->lock);
    while (self->waiting < waiting) {
        assert_true(skua__cond_wait_until(&self->moved, &self->lock, skua__deadline_ns(20000)));
    }
    skua__mutex_unlock(&self->lock);
}

void
open_plain(batch_bench *self, const char *kernel, const skua_batch_options *options) {
    const skua_kernel_arg args[] = {{.bytes = ROW * 4}, {.bytes = ROW * 4}};
    skua_error err = {0};
    if (skua_batch_open_kernel(&self->batch, self->pool,
                               SKUA_LAUNCH(.kernel = kernel, .args = args, .arg_count = 2,
                                           .global = {strcmp(kernel, "plain") ? 1 : ROW}),
                               options, &err)) {
        fail_msg("%s %s", err.code, err.message);
    }
}

skua_status
open_score(batch_bench *self, const uint32_t *weights, struct skua_buffer *buffer, uint32_t scale,
           uint8_t split, const skua_batch_options *options, skua_error *err) {
    const skua_kernel_arg args[] = {
        {.bytes = ROW * 4},
        {.bytes = 4},
        {.data = (void *)(uintptr_t)weights, .buffer = weights ? NULL : buffer, .bytes = ROW * 4},
        {.value = &scale, .bytes = 4},
        {.bytes = 8},
        {.bytes = 4}};
    return skua_batch_open_kernel(
        &self->batch, self->pool,
        SKUA_LAUNCH(.kernel = "score", .args = args, .arg_count = 6, .global = {1}, .split = split),
        options, err);
}

static void
fill_row(uint32_t x, uint32_t *ret_row) {
    for (uint32_t i = 0; i < ROW; i++) {
        ret_row[i] = i ? x * 31 + i : x;
    }
}

skua_status
ask_row(batch_bench *self, uint32_t x, int64_t deadline_ms, skua_batch_future **ret_future) {
    uint32_t row[ROW];
    fill_row(x, row);
    return skua_batch_ask(self->batch, row, sizeof row, deadline_ms, ret_future, NULL);
}

skua_batch_result
end_row(skua_batch_future *future, uint32_t x) {
    skua_batch_result result = {.size = sizeof result};
    assert_int_equal(skua_batch_wait(future, 20000, &result, NULL), 0);
    if (!result.status) {
        uint32_t row[ROW];
        fill_row(x, row);
        assert_int_equal(result.answer_bytes, sizeof row);
        for (uint32_t i = 0; i < ROW; i++) {
            assert_int_equal(((const uint32_t *)result.answer)[i], 3 * row[i] + i);
        }
        assert_true(result.latency_ns >= result.wait_ns && result.wait_ns >= 0);
    }
    skua_batch_future_free(future);
    result.answer = NULL; /* they were the future's */
    result.node = NULL;
    result.message = NULL;
    return result;
}

skua_batch_counters
bench_stats(const batch_bench *self) {
    skua_batch_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_batch_stats(self->batch, &counters, NULL), 0);
    return counters;
}
