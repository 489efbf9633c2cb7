// SPDX-License-Identifier: MPL-2.0
// What a program of a user does: kernels through a pool, on the first device or on the cores.
#include "gpu_side.h"

#include <skua-int/clock.h>
#include <stdlib.h>
#include <string.h>

typedef struct pool_run {
    gpu_side side;
    int32_t on;
    int times;     /* launches under way at once */
    bool together; /* which are waited for in one call, before any is collected */
    skua_pool_future *futures[GPU_BATCH];
} pool_run;

bool
gpu_side_fail(const skua_error *err) {
    fprintf(stderr, "skua-perf: %s %s\n", err->code, err->message);
    return false;
}

bool
gpu_side_open(gpu_side *side, const gpu_work *work, uint32_t items) {
    skua_error err;
    skua_kernel_spec spec = gpu_spec_of(work);
    if (!gpu_job_init(&side->job, work, items)) {
        return false;
    }
    bool opened =
        skua_exec_open(&side->exec, NULL, &err) == SKUA_OK &&
        skua_devices_open(&side->devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1), &err) ==
            SKUA_OK &&
        skua_pool_open(&side->pool, SKUA_POOL_OPTIONS(.exec = side->exec, .devices = side->devices),
                       &err) == SKUA_OK &&
        skua_kernel_register(side->pool, work->name, &spec, &err) == SKUA_OK;
    return opened || gpu_side_fail(&err);
}

/* Submits so many launches and collects all. Returns nanoseconds, or -1. */
static double
launch(void *arg) {
    pool_run *self = arg;
    skua_launch spec = gpu_launch_of(&self->side.job);
    skua_error err;
    spec.on = self->on;
    int64_t start_ns = skua__clock_ns();
    for (int i = 0; i < self->times; i++) {
        if (skua_kernel_submit(self->side.pool, &spec, &self->futures[i], &err)) {
            gpu_side_fail(&err);
            return -1;
        }
    }
    if (self->together && skua_pool_await_all(self->side.pool, SKUA_UNLIMITED, &err)) {
        gpu_side_fail(&err);
        return -1;
    }
    for (int i = 0; i < self->times; i++) {
        if (skua_kernel_collect(self->side.pool, &spec, self->futures[i], SKUA_UNLIMITED, &err)) {
            gpu_side_fail(&err);
            return -1;
        }
        skua_pool_future_free(self->futures[i]);
    }
    return (double)(skua__clock_ns() - start_ns);
}

static double
each_us(void *arg) {
    pool_run *self = arg;
    double took_ns = launch(self);
    return took_ns < 0 ? -1 : took_ns / 1e3 / self->times;
}

static double
work_ms(void *arg) {
    double took_ns = launch(arg);
    return took_ns < 0 ? -1 : took_ns / 1e6;
}

/* Billions of the job's amount per second of the kernel alone, on the device's own clock. */
static double
rate(void *arg) {
    pool_run *self = arg;
    skua_kernel_share before = {.size = sizeof before}, after = {.size = sizeof after};
    skua_error err;
    size_t place = self->on == SKUA_ON_CORES ? 0 : 1;
    if (skua_kernel_share_at(self->side.pool, self->side.job.work->name, place, &before, &err) ||
        launch(self) < 0 ||
        skua_kernel_share_at(self->side.pool, self->side.job.work->name, place, &after, &err)) {
        return -1;
    }
    int64_t run_ns = after.run_ns - before.run_ns;
    if (run_ns <= 0) {
        fprintf(stderr, "skua-perf: gpu: no time was told of a launch at place %zu\n", place);
        return -1;
    }
    return self->side.job.amount / (double)run_ns;
}

static int
run_side(perf_run *run, int32_t on) {
    static pool_run self; /* and all that it opens ends with the process */
    const char *what = run->what->what;
    bool empty = strcmp(what, "empty") == 0, batched = strcmp(what, "batched") == 0;
    const gpu_work *work = gpu_work_named(empty || batched ? "nothing" : run->what->work);
    self.on = on;
    self.times = batched ? GPU_BATCH : 1;
    self.together = batched && strcmp(run->what->pattern, "pool-all") == 0;
    if (!gpu_side_open(&self.side, work, empty || batched ? 1 : run->what->items) ||
        launch(&self) < 0) {
        return 1;
    }
    if (empty || batched) {
        return gpu_repeat(run, each_us, &self);
    }
    int failed = gpu_repeat(run, strcmp(what, "rate") == 0 ? rate : work_ms, &self);
    if (!failed && !work->is_right(&self.side.job)) {
        fprintf(stderr, "skua-perf: gpu: the results of %s are wrong\n", work->name);
        return 1;
    }
    return failed;
}

int
gpu_side_pool_device(perf_run *run) {
    return run_side(run, SKUA_ON_DEVICE);
}

int
gpu_side_pool_cores(perf_run *run) {
    return run_side(run, SKUA_ON_CORES);
}

int
gpu_side_devices_open(perf_run *run) {
    skua_devices *devices = NULL;
    skua_error err;
    int64_t start_ns = skua__clock_ns();
    if (skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1), &err)) {
        gpu_side_fail(&err);
        return 1;
    }
    double took_ms = (double)(skua__clock_ns() - start_ns) / 1e6;
    gpu_sample_of(&took_ms, 1, &run->shared->sample);
    bool found = skua_devices_count(devices) > 0;
    skua_devices_close(devices);
    if (!found) {
        fprintf(stderr,
                "skua-perf: gpu: no device was found: the driver took longer than skua waits, or "
                "crashed\n");
    }
    return !found;
}
