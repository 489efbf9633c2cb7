// SPDX-License-Identifier: MPL-2.0
// Buffers in a pool's launches on a real driver: random chains over the cores and every device come to the serial model, and
// where the device shares the host's memory nothing is copied.
#include "cl_trial.h"
#include "test.h"

#include <skua-int/kernels.h>
#include <skua-int/rand.h>
#include <skua/buffer.h>
#include <string.h>

enum { WAIT_MS = 120 * 1000, N = 20000, BYTES = N * 4, BUFFERS = 4, STEPS = 240, BATCH = 40 };

static const char source[] =
    "kernel void advance(global uint *y, global const uint *x, uint a, SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    size_t i = get_global_id(0);\n"
    "    y[i] = 3 * y[i] + x[i] + a;\n"
    "}\n";

static int
step_fn(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint32_t *y = call->args[0];
    const uint32_t *x = call->args[1];
    uint32_t a;
    memcpy(&a, call->args[2], sizeof a);
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = 3 * y[i] + x[i] + a;
    }
    return 0;
}

typedef struct bench {
    skua_devices *devices;
    skua_exec *exec;
    skua_pool *pool;
    skua_buffer *buffers[BUFFERS];
    uint32_t values[BUFFERS]; /* of all items */
    int usable[SKUA_DEVICES_MAX];
    int usable_count;
} bench;

static void
open_bench(bench *self) {
    static const skua_param_kind params[] = {SKUA_PARAM_INOUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE};
    skua_error err = {0};
    memset(self, 0, sizeof *self);
    assert_int_equal(skua_devices_open(&self->devices,
                                       SKUA_DEVICES_OPTIONS(.cpu_devices = 1, .cache_dir = ""),
                                       &err),
                     0);
    for (size_t i = 0; i < skua_devices_count(self->devices); i++) {
        skua_device_info info = {.size = sizeof info};
        assert_int_equal(skua_devices_at(self->devices, i, &info, NULL), 0);
        if (info.usable) {
            self->usable[self->usable_count++] = (int)i;
        }
    }
    if (!self->usable_count) {
        fprintf(stderr, "skipped: %s\n", skua_devices_reason(self->devices));
        exit(77);
    }
    assert_int_equal(skua_exec_open(&self->exec, SKUA_EXEC_OPTIONS(.workers = 2), NULL), 0);
    assert_int_equal(skua_pool_open(&self->pool,
                                    SKUA_POOL_OPTIONS(.exec = self->exec, .devices = self->devices),
                                    NULL),
                     0);
    if (skua_kernel_register(self->pool, "advance",
                             SKUA_KERNEL_SPEC(.source = source, .params = params, .param_count = 3,
                                              .guarded = 1, .fn = step_fn),
                             &err)) {
        fail_msg("%s", err.message);
    }
    for (int i = 0; i < BUFFERS; i++) {
        assert_int_equal(skua_buffer_new(self->devices, &self->buffers[i],
                                         SKUA_BUFFER_OPTIONS(.bytes = BYTES), NULL),
                         0);
    }
}

static void
close_bench(bench *self) {
    for (int i = 0; i < BUFFERS; i++) {
        skua_buffer_free(self->buffers[i]);
    }
    skua_pool_close(self->pool);
    skua_devices_close(self->devices);
    skua_exec_close(self->exec);
}

static skua_pool_future *
submit(bench *self, uint32_t y, uint32_t x, uint32_t a, int32_t on) {
    skua_kernel_arg args[] = {{.buffer = self->buffers[y], .bytes = BYTES},
                              {.buffer = self->buffers[x], .bytes = BYTES},
                              {.value = &a, .bytes = sizeof a}};
    const skua_launch launch = {.size = sizeof launch,
                                .kernel = "advance",
                                .global = {N},
                                .args = args,
                                .arg_count = 3,
                                .on = on};
    skua_pool_future *future = NULL;
    skua_error err = {0};
    if (skua_kernel_submit(self->pool, &launch, &future, &err)) {
        fail_msg("%s", err.message);
    }
    self->values[y] = 3 * self->values[y] + self->values[x] + a;
    return future;
}

static void
must_end_ok(skua_pool_future *future) {
    skua_task_result result = {.size = sizeof result};
    assert_int_equal(skua_pool_wait(future, WAIT_MS, NULL), 0);
    assert_int_equal(skua_pool_result(future, &result, NULL), 0);
    if (result.outcome != SKUA_OUTCOME_OK) {
        fail_msg("%s", result.message);
    }
    skua_pool_future_free(future);
}

static void
check_all(bench *self) {
    for (int i = 0; i < BUFFERS; i++) {
        void *data = NULL;
        skua_error err = {0};
        if (skua_buffer_map(self->buffers[i], SKUA_MAP_READ, &data, &err)) {
            fail_msg("%s", err.message);
        }
        for (int k = 0; k < N; k++) {
            if (((uint32_t *)data)[k] != self->values[i]) {
                fail_msg("item %d of buffer %d is %u, not %u", k, i, ((uint32_t *)data)[k],
                         self->values[i]);
            }
        }
        assert_int_equal(skua_buffer_unmap(self->buffers[i], NULL), 0);
    }
}

static void
test_cl_buffers_random_launches_come_to_the_serial_model(void **state) {
    (void)state;
    bench b;
    skua__rand rand = {.state = test_seed(29)};
    open_bench(&b);
    static skua_pool_future *futures[BATCH];
    int count = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t y = skua__rand_below(&rand, BUFFERS);
        uint32_t x = (y + 1 + skua__rand_below(&rand, BUFFERS - 1)) % BUFFERS;
        uint32_t place = skua__rand_below(&rand, 2 + (uint32_t)b.usable_count);
        int32_t on = place == 0   ? SKUA_ON_ANY
                     : place == 1 ? SKUA_ON_CORES
                                  : SKUA_ON_DEVICE + b.usable[place - 2];
        futures[count++] = submit(&b, y, x, skua__rand_below(&rand, 1000), on);
        for (; count == BATCH || (step == STEPS - 1 && count); count--) {
            must_end_ok(futures[count - 1]);
        }
    }
    check_all(&b);
    close_bench(&b);
}

/* On a device that shares the host's memory: not one byte is copied, however often it is the host's turn. */
static void
test_cl_buffers_are_not_copied_where_memory_is_shared(void **state) {
    (void)state;
    bench b;
    open_bench(&b);
    int shared = 0;
    for (int d = 0; d < b.usable_count; d++) {
        skua_device_info info = {.size = sizeof info};
        skua__engine *engine = NULL;
        assert_int_equal(skua_devices_at(b.devices, (size_t)b.usable[d], &info, NULL), 0);
        if (!info.unified) {
            continue;
        }
        shared++;
        for (uint32_t i = 0; i < 20; i++) {
            must_end_ok(submit(&b, 0, 1, i, i % 2 ? SKUA_ON_CORES : SKUA_ON_DEVICE + b.usable[d]));
            must_end_ok(submit(&b, 2, 0, i, SKUA_ON_DEVICE + b.usable[d]));
        }
        check_all(&b);
        skua_buffer_info where = {.size = sizeof where};
        assert_int_equal(skua_buffer_where(b.buffers[2], &where, NULL), 0);
        assert_true(where.shared_on & UINT64_C(1) << b.usable[d]);
        skua__engine_counters counters;
        assert_int_equal(skua__devices_engine(b.devices, (size_t)b.usable[d], &engine, NULL), 0);
        skua__engine_counters_get(engine, &counters);
        assert_int_equal(counters.in_bytes + counters.out_bytes, 0);
        assert_true(counters.zero_copies >= 60);
    }
    print_message("%d of %d devices share the host's memory\n", shared, b.usable_count);
    close_bench(&b);
}

int
main(void) {
    cl_trial_or_skip();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cl_buffers_random_launches_come_to_the_serial_model),
        cmocka_unit_test(test_cl_buffers_are_not_copied_where_memory_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
