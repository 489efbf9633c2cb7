// SPDX-License-Identifier: MPL-2.0
// A pool over the cores and two fake devices, with kernels over buffers in which what comes first matters.
#ifndef SKUA_POOL_BUFFERS_BENCH_H
#define SKUA_POOL_BUFFERS_BENCH_H

#include "fake_machine.h"
#include "test.h"

#include <skua-int/kernels.h>
#include <skua-int/thread.h>
#include <string.h>

enum { WAIT_MS = 120 * 1000, DEVICES = 2, CORES = DEVICES, SPLIT = -2, N = 256, BYTES = N * 4 };

/* y = 3 y + x + a: what comes first matters. */
static inline int
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

/* y = x + a */
static inline int
make_fn(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint32_t *y = call->args[0];
    const uint32_t *x = call->args[1];
    uint32_t a;
    memcpy(&a, call->args[2], sizeof a);
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = x[i] + a;
    }
    return 0;
}

static inline int
fail_fn(const skua_kernel_call *call, void *arg) {
    (void)call, (void)arg;
    return 9;
}

/* A step that says that it has begun, and waits until it may go on. */
static struct {
    skua__mutex lock;
    skua__cond changed;
    bool begun, open;
} gate;

static inline int
gate_fn(const skua_kernel_call *call, void *arg) {
    skua__mutex_lock(&gate.lock);
    gate.begun = true;
    skua__cond_broadcast(&gate.changed);
    while (!gate.open) {
        skua__cond_wait(&gate.changed, &gate.lock);
    }
    skua__mutex_unlock(&gate.lock);
    return step_fn(call, arg);
}

static inline void
register_all(skua_pool *pool) {
    static const skua_param_kind step[] = {SKUA_PARAM_INOUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE};
    static const skua_param_kind make[] = {SKUA_PARAM_OUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE};
    const struct {
        const char *name, *source;
        const skua_param_kind *params;
        skua_kernel_fn fn;
    } all[] = {{"step", "fake", step, step_fn},      {"make", "fake", make, make_fn},
               {"step-devices", "fake", step, NULL}, {"make-devices", "fake", make, NULL},
               {"gate", "fake", step, NULL},         {"fail", NULL, step, fail_fn}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        skua_error err = {0};
        if (skua_kernel_register(pool, all[i].name,
                                 SKUA_KERNEL_SPEC(.source = all[i].source,
                                                  .entry = strcmp(all[i].name, "gate") == 0 ? "gate"
                                                           : all[i].params == step          ? "step"
                                                                                   : "make",
                                                  .params = all[i].params, .param_count = 3,
                                                  .guarded = all[i].source != NULL, .fn = all[i].fn,
                                                  .sliced = 3),
                                 &err)) {
            fail_msg("%s", err.message);
        }
    }
}

static inline void
open_with(fake_machine *self, const skua__fake_options given[DEVICES],
          const bool unified[DEVICES]) {
    static const skua__fake_entry entries[] = {{.name = "step", .fn = step_fn, .guarded = true},
                                               {.name = "make", .fn = make_fn, .guarded = true},
                                               {.name = "gate", .fn = gate_fn, .guarded = true}};
    fake_machine_options options = {
        .count = DEVICES, .workers = 2, .entries = entries, .entry_count = 3};
    for (int i = 0; i < DEVICES; i++) {
        options.fakes[i] = given[i];
        options.unified[i] = unified[i];
    }
    fake_machine_open(self, &options);
    register_all(fake_machine_open_pool(self, NULL));
}

static inline void
open_plain(fake_machine *self) {
    open_with(self, (skua__fake_options[DEVICES]){{0}, {0}}, (bool[DEVICES]){false, false});
}

/* place: a device, CORES, -1 for any, or SPLIT for all together. x NULL: zeros, as plain memory. */
static inline skua_pool_future *
submit_to(skua_pool *pool, const char *kernel, skua_buffer *y, skua_buffer *x, uint32_t a,
          int place) {
    static const uint32_t zeros[N];
    skua_kernel_arg args[] = {{.buffer = y, .bytes = skua_buffer_bytes(y)},
                              {.data = (void *)(uintptr_t)zeros, .bytes = BYTES},
                              {.value = &a, .bytes = sizeof a}};
    if (x) {
        args[1] = (skua_kernel_arg){.buffer = x, .bytes = skua_buffer_bytes(x)};
    }
    const skua_launch launch = {.size = sizeof launch,
                                .kernel = kernel,
                                .global = {N},
                                .args = args,
                                .arg_count = 3,
                                .split = place == SPLIT,
                                .on = place < 0        ? SKUA_ON_ANY
                                      : place == CORES ? SKUA_ON_CORES
                                                       : SKUA_ON_DEVICE + place};
    skua_pool_future *future = NULL;
    skua_error err = {0};
    if (skua_kernel_submit(pool, &launch, &future, &err)) {
        fail_msg("%s", err.message);
    }
    return future;
}

static inline skua_pool_future *
submit(fake_machine *self, const char *kernel, skua_buffer *y, skua_buffer *x, uint32_t a,
       int place) {
    return submit_to(self->pool, kernel, y, x, a, place);
}

/* Waits for its end, and frees it. Returns its outcome; its words are left in `message`. */
static inline int
outcome(skua_pool_future *future, char message[SKUA_TASK_MESSAGE_BYTES]) {
    assert_int_equal(skua_pool_wait(future, WAIT_MS, NULL), 0);
    skua_task_result result = {.size = sizeof result};
    assert_int_equal(skua_pool_result(future, &result, NULL), 0);
    if (message) {
        memcpy(message, result.message, sizeof result.message);
    }
    skua_pool_future_free(future);
    return (int)result.outcome;
}

static inline void
must_end_ok(skua_pool_future *future) {
    char message[SKUA_TASK_MESSAGE_BYTES];
    if (outcome(future, message) != SKUA_OUTCOME_OK) {
        fail_msg("%s", message);
    }
}

#endif
