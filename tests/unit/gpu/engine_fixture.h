// SPDX-License-Identifier: MPL-2.0
// An engine on a fake device, for the tests of both.
#ifndef SKUA_ENGINE_FIXTURE_H
#define SKUA_ENGINE_FIXTURE_H

#include "cl_fixture.h"

#include <sched.h>
#include <skua-int/fake_device.h>

static const skua__fake_entry saxpy_entries[] = {
    {.name = "saxpy", .fn = saxpy_fn, .guarded = true}};

static inline skua__fake *
make_fake(skua__fake_clock clock, uint64_t memory_bytes) {
    skua__fake *fake = skua__fake_new(&(skua__fake_options){
        .clock = clock, .entries = saxpy_entries, .entry_count = 1, .memory_bytes = memory_bytes});
    assert_non_null(fake);
    return fake;
}

static inline skua__engine *
open_engine(skua__fake *fake, uint64_t memory_bytes, int64_t hang_ms) {
    skua_device_info info = skua__fake_info(memory_bytes);
    skua__engine_options options = {.driver = skua__fake_driver(),
                                    .driver_ctx = fake,
                                    .info = &info,
                                    .hang_ms = hang_ms,
                                    .quarantine_ms = SKUA_NONE};
    skua__engine *engine = NULL;
    skua_error err = {0};
    if (skua__engine_open(&engine, &options, &err)) {
        fail_msg("%s", err.message);
    }
    return engine;
}

/* Closes both; the driver was used as its table says, and nothing is left on the device. */
static inline void
close_both(skua__engine *engine, skua__fake *fake) {
    skua__engine_close(engine);
    skua__fake_counters counts = skua__fake_counts(fake);
    if (counts.misuses) {
        fail_msg("%s", counts.misuse);
    }
    assert_int_equal(counts.devices, 0);
    assert_int_equal(counts.memories, 0);
    assert_int_equal(counts.kernels, 0);
    skua__fake_free(fake);
}

/* Lets a virtual clock run until nothing is due any more; time passes only while the engine has nothing to do. */
static inline void
let_time_pass(skua__engine *engine, skua__fake *fake) {
    int64_t deadline_ns = skua__deadline_ns(CL_FIXTURE_DEADLINE_MS);
    for (bool over = false; !over;) {
        while (!skua__engine_is_settled(engine)) {
            sched_yield();
            assert_true(skua__clock_ns() < deadline_ns);
        }
        over = !skua__fake_step(fake);
    }
}

/* A kernel that fills y: it may run twice, unlike saxpy, whose y is read too. */
static inline int
fill_fn(const skua_kernel_call *call, void *arg) {
    (void)arg;
    int *y = call->args[0];
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = (int)i;
    }
    return 0;
}

static inline skua__kernel *
fill_kernel(void) {
    static const skua_param_kind params[] = {SKUA_PARAM_OUT};
    skua__kernel *kernel = NULL;
    assert_int_equal(
        skua__kernel_new(NULL, "saxpy",
                         SKUA_KERNEL_SPEC(.source = "fill", .params = params, .param_count = 1,
                                          .guarded = 1, .fn = fill_fn),
                         &kernel, NULL),
        SKUA_OK);
    return kernel;
}

static inline skua__fake *
make_filling_fake(uint64_t memory_bytes) {
    static const skua__fake_entry fill[] = {{.name = "saxpy", .fn = fill_fn, .guarded = true}};
    return skua__fake_new(&(skua__fake_options){.entries = fill,
                                                .entry_count = 1,
                                                .clock = SKUA__FAKE_REAL,
                                                .memory_bytes = memory_bytes,
                                                .lazy_memory = true});
}

static inline skua_status
fill_run(skua__engine *engine, const skua__kernel *kernel, int *y, size_t n, skua_error *err) {
    skua_kernel_arg args[] = {{.data = y, .bytes = n * sizeof *y}};
    return cl_fixture_run(
        engine, NULL, kernel,
        SKUA_LAUNCH(.kernel = "saxpy", .global = {n}, .args = args, .arg_count = 1), err);
}

#endif
