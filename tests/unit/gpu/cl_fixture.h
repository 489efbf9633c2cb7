// SPDX-License-Identifier: MPL-2.0
// An engine on this machine's first OpenCL device, whichever that is: PoCL on a machine without a GPU. A test program
// without one ends with 77, which Meson counts as skipped.
#ifndef SKUA_CL_FIXTURE_H
#define SKUA_CL_FIXTURE_H

#include "cl_trial.h"
#include "test.h"

#include <skua-int/clock.h>
#include <skua-int/launch.h>
#include <skua-int/thread.h>
#include <string.h>
#include <unistd.h>

enum { CL_FIXTURE_DEADLINE_MS = 60000 };

static inline void
cl_fixture_folder(char path[64]) {
    strcpy(path, "/tmp/skua-kernels-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static inline void
cl_fixture_remove_folder(const char *path) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

/* The first usable device. Ends the program with 77 when there is none, or none that works. */
static inline void
cl_fixture_device(skua_device_info *ret_info) {
    cl_trial_or_skip();
    skua_devices *devices = NULL;
    assert_int_equal(
        skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1, .cache_dir = ""), NULL),
        SKUA_OK);
    size_t count = skua_devices_count(devices);
    for (size_t i = 0; i < count; i++) {
        *ret_info = (skua_device_info){.size = sizeof *ret_info};
        assert_int_equal(skua_devices_at(devices, i, ret_info, NULL), SKUA_OK);
        if (ret_info->usable) {
            skua_devices_close(devices);
            return;
        }
    }
    fprintf(stderr, "skipped: %s\n", skua_devices_reason(devices));
    skua_devices_close(devices);
    exit(77);
}

static inline skua__engine *
cl_fixture_open(const skua_device_info *info, const char *cache_dir) {
    skua__engine *engine = NULL;
    skua_error err = {0};
    skua__engine_options options = {.driver = skua__cl_driver(),
                                    .info = info,
                                    .cache_dir = cache_dir,
                                    .hang_ms = SKUA_UNLIMITED};
    if (skua__engine_open(&engine, &options, &err)) {
        fail_msg("%s", err.message);
    }
    return engine;
}

/* Counts launches that have ended, and keeps the last one's words. */
typedef struct cl_waiter {
    skua__mutex lock;
    skua__cond changed;
    uint32_t ended;
    skua_status status;
    skua_error error;
} cl_waiter;

static inline void
cl_waiter_init(cl_waiter *waiter) {
    memset(waiter, 0, sizeof *waiter);
    skua__mutex_init(&waiter->lock);
    skua__cond_init(&waiter->changed);
}

static inline void
cl_waiter_fini(cl_waiter *waiter) {
    skua__cond_fini(&waiter->changed);
    skua__mutex_fini(&waiter->lock);
}

/* As done() of a launch whose done_arg is the waiter; the launch stays the test's. */
static inline void
cl_waiter_done(skua__launch *launch, skua_status status) {
    cl_waiter *waiter = launch->done_arg;
    skua__mutex_lock(&waiter->lock);
    waiter->ended++;
    if (status) {
        waiter->status = status;
        waiter->error = launch->error;
    }
    skua__cond_broadcast(&waiter->changed);
    skua__mutex_unlock(&waiter->lock);
}

/* A launch whose end the waiter hears of; the caller owns it. */
static inline skua__launch *
cl_waiter_launch(cl_waiter *waiter, const skua__kernel *kernel, const skua_launch *spec) {
    skua__launch *launch = NULL;
    skua_error err = {0};
    if (skua__launch_new(NULL, kernel, spec, &launch, &err)) {
        fail_msg("%s", err.message);
    }
    launch->done = cl_waiter_done;
    launch->done_arg = waiter;
    return launch;
}

static inline skua_status
cl_waiter_wait(cl_waiter *waiter, uint32_t ended) {
    int64_t deadline_ns = skua__deadline_ns(CL_FIXTURE_DEADLINE_MS);
    skua__mutex_lock(&waiter->lock);
    while (waiter->ended < ended) {
        assert_true(skua__cond_wait_until(&waiter->changed, &waiter->lock, deadline_ns));
    }
    skua_status status = waiter->status;
    skua__mutex_unlock(&waiter->lock);
    return status;
}

static inline bool
cl_fixture_never_unwanted(const void *arg) {
    (void)arg;
    return false;
}

/* Runs the part [first, end) of a launch, see skua__launch_cut(), on the engine, or with engine NULL on exec, and waits. */
static inline skua_status
cl_fixture_run_part(skua__engine *engine, skua_exec *exec, const skua__kernel *kernel,
                    const skua_launch *spec, uint64_t first, uint64_t end, skua_error *err) {
    skua__launch *launch = NULL;
    skua_status status = skua__launch_new(NULL, kernel, spec, &launch, err);
    if (status) {
        return status;
    }
    if (end - first < spec->global[0]) {
        skua__launch_cut(launch, first, end);
    }
    if (!engine) {
        status = skua__launch_run_on_cores(launch, exec, cl_fixture_never_unwanted, NULL);
        if (status && err) {
            *err = launch->error;
        }
        skua__launch_free(launch);
        return status;
    }
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    launch->done = cl_waiter_done;
    launch->done_arg = &waiter;
    status = skua__engine_submit(engine, launch, err);
    if (status == SKUA_OK) {
        status = cl_waiter_wait(&waiter, 1);
        if (status && err) {
            *err = waiter.error;
        }
    }
    skua__launch_free(launch);
    cl_waiter_fini(&waiter);
    return status;
}

/* The same for a whole launch. */
static inline skua_status
cl_fixture_run(skua__engine *engine, skua_exec *exec, const skua__kernel *kernel,
               const skua_launch *spec, skua_error *err) {
    return cl_fixture_run_part(engine, exec, kernel, spec, 0, spec->global[0], err);
}

/* ---- saxpy: y = a x + y ---- */

static const skua_param_kind saxpy_params[] = {SKUA_PARAM_INOUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE};

static const char saxpy_source[] =
    "kernel void saxpy(global float *y, global const float *x, float a, SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    size_t i = get_global_id(0);\n"
    "    y[i] = a * x[i] + y[i];\n"
    "}\n";

static inline int
saxpy_fn(const skua_kernel_call *call, void *arg) {
    (void)arg;
    float *y = call->args[0];
    const float *x = call->args[1];
    float a;
    memcpy(&a, call->args[2], sizeof a);
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = a * x[i] + y[i];
    }
    return 0;
}

static inline skua__kernel *
saxpy_kernel(void) {
    skua__kernel *kernel = NULL;
    assert_int_equal(skua__kernel_new(NULL, "saxpy",
                                      SKUA_KERNEL_SPEC(.source = saxpy_source,
                                                       .params = saxpy_params, .param_count = 3,
                                                       .guarded = 1, .fn = saxpy_fn, .sliced = 3),
                                      &kernel, NULL),
                     SKUA_OK);
    return kernel;
}

static inline skua_status
saxpy_run(skua__engine *engine, skua_exec *exec, const skua__kernel *kernel, float *y,
          const float *x, float a, size_t n, skua_error *err) {
    skua_kernel_arg args[] = {{.data = y, .bytes = n * sizeof *y},
                              {.data = (void *)(uintptr_t)x, .bytes = n * sizeof *x},
                              {.value = &a, .bytes = sizeof a}};
    return cl_fixture_run(
        engine, exec, kernel,
        SKUA_LAUNCH(.kernel = "saxpy", .global = {n}, .args = args, .arg_count = 3), err);
}

/* Runs a saxpy of n small numbers, shifted off its alignment, and checks each. */
static inline void
saxpy_check(skua__engine *engine, skua_exec *exec, const skua__kernel *kernel, size_t n,
            size_t shift) {
    float *y_block = aligned_alloc(128, ((n + shift) * sizeof *y_block + 127) / 128 * 128);
    float *x_block = aligned_alloc(128, ((n + shift) * sizeof *x_block + 127) / 128 * 128);
    float *y = y_block + shift, *x = x_block + shift;
    for (size_t i = 0; i < n; i++) {
        y[i] = (float)(i % 7);
        x[i] = (float)(i % 11);
    }
    skua_error err = {0};
    skua_status status = saxpy_run(engine, exec, kernel, y, x, 2, n, &err);
    if (status) {
        fail_msg("%s", err.message);
    }
    for (size_t i = 0; i < n; i++) {
        assert_true(y[i] == 2 * (float)(i % 11) + (float)(i % 7));
    }
    free(x_block);
    free(y_block);
}

/* Runs a saxpy of n numbers in parts that end at these indices, each with nothing but its slices, and checks each number. */
static inline void
saxpy_check_parts(skua__engine *engine, skua_exec *exec, const skua__kernel *kernel, size_t n,
                  const size_t *ends, size_t count) {
    float a = 2;
    for (size_t i = 0, first = 0; i < count; first = ends[i++]) {
        size_t items = ends[i] - first;
        float *y = malloc(items * sizeof *y), *x = malloc(items * sizeof *x);
        for (size_t j = 0; j < items; j++) {
            y[j] = (float)((first + j) % 7);
            x[j] = (float)((first + j) % 11);
        }
        skua_kernel_arg args[] = {{.data = y, .bytes = n * sizeof *y},
                                  {.data = x, .bytes = n * sizeof *x},
                                  {.value = &a, .bytes = sizeof a}};
        skua_error err = {0};
        if (cl_fixture_run_part(
                engine, exec, kernel,
                SKUA_LAUNCH(.kernel = "saxpy", .global = {n}, .args = args, .arg_count = 3), first,
                ends[i], &err)) {
            fail_msg("%s", err.message);
        }
        for (size_t j = 0; j < items; j++) {
            assert_true(y[j] == 2 * (float)((first + j) % 11) + (float)((first + j) % 7));
        }
        free(x);
        free(y);
    }
}

typedef struct place_told {
    uint64_t index, whole, second, opencl;
} place_told;

/* A kernel that tells of each index where it stands, how large the whole is, and what OpenCL says of that. */
static inline int
place_fn(const skua_kernel_call *call, void *arg) {
    (void)arg;
    place_told *out = call->args[0];
    for (uint64_t i = call->begin; i < call->end; i++) {
        out[i] = (place_told){i, call->global[0], call->global[1], 0};
    }
    return 0;
}

static inline skua__kernel *
place_kernel(void) {
    static const skua_param_kind params[] = {SKUA_PARAM_OUT};
    skua__kernel *kernel = NULL;
    assert_int_equal(
        skua__kernel_new(NULL, "place",
                         SKUA_KERNEL_SPEC(.source =
                                              "kernel void place(global ulong4 *out, SKUA_SIZE) {\n"
                                              "    SKUA_GUARD();\n"
                                              "    out[get_global_id(0)] = "
                                              "(ulong4)(get_global_id(0), SKUA_GLOBAL_SIZE(0),\n"
                                              "        SKUA_GLOBAL_SIZE(1), get_global_size(0));\n"
                                              "}\n",
                                          .params = params, .param_count = 1, .guarded = 1,
                                          .fn = place_fn, .sliced = 1),
                         &kernel, NULL),
        SKUA_OK);
    return kernel;
}

/* Runs it in parts, and checks what each index tells. opencl: what get_global_size() says is told, too. */
static inline void
place_check_parts(skua__engine *engine, skua_exec *exec, const skua__kernel *kernel, bool opencl) {
    enum { INDICES = 1000 };
    static const size_t ends[] = {1, 300, 301, 1000};
    place_told out[INDICES];
    for (size_t i = 0, first = 0; i < 4; first = ends[i++]) {
        const skua_kernel_arg args[] = {{.data = out + first, .bytes = sizeof out}};
        skua_error err = {0};
        if (cl_fixture_run_part(engine, exec, kernel,
                                SKUA_LAUNCH(.kernel = "place", .dims = 2, .global = {INDICES, 1},
                                            .args = args, .arg_count = 1),
                                first, ends[i], &err)) {
            fail_msg("%s", err.message);
        }
        for (size_t j = first; j < ends[i]; j++) {
            assert_true(out[j].index == j && out[j].whole == INDICES && out[j].second == 1);
            /* The part's, made up to whole groups of at most 256. */
            assert_true(!opencl || (out[j].opencl >= ends[i] - first &&
                                    out[j].opencl < ends[i] - first + 256));
        }
    }
}

#endif
