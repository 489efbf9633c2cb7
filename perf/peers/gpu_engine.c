// SPDX-License-Identifier: MPL-2.0
// skua's engine of one device, without a pool around it: what a launch costs below skua_kernel_submit(). It also drives the fake device,
// whose copies and kernels take as long as they are told to.
#include "../gpu_works.h"

#include <skua-int/clock.h>
#include <skua-int/fake_device.h>
#include <skua-int/launch.h>
#include <skua-int/thread.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 60000, FAKE_LAUNCHES = 40, FAKE_BYTES = 1 << 20 };

static const int64_t fake_step_ns = 2000000; /* of each copy and each kernel */

typedef struct engine_run {
    skua_devices *devices;
    skua__engine *engine;
    skua__kernel *kernel;
    gpu_job job;
    int times; /* launches under way at once */
    skua__mutex lock;
    skua__cond changed;
    int ended, failed; /* under lock */
} engine_run;

static void
done(skua__launch *launch, skua_status status) {
    engine_run *self = launch->done_arg;
    skua__launch_free(launch);
    skua__mutex_lock(&self->lock);
    self->ended++;
    self->failed += status != SKUA_OK;
    if (self->ended == self->times) {
        skua__cond_signal(&self->changed);
    }
    skua__mutex_unlock(&self->lock);
}

static bool
fail(const skua_error *err) {
    fprintf(stderr, "skua-perf: %s %s\n", err->code, err->message);
    return false;
}

/* Submits so many launches and waits for all. Returns nanoseconds, or -1. */
static double
launch_spec(engine_run *self, const skua_launch *spec) {
    int64_t start_ns = skua__clock_ns(), deadline_ns = skua__deadline_ns(WAIT_MS);
    self->ended = self->failed = 0;
    for (int i = 0; i < self->times; i++) {
        skua__launch *one = NULL;
        skua_error err;
        if (skua__launch_new(NULL, self->kernel, spec, &one, &err)) {
            fail(&err);
            return -1;
        }
        one->done = done;
        one->done_arg = self;
        if (skua__engine_submit(self->engine, one, &err)) {
            fail(&err);
            return -1;
        }
    }
    bool ended = true;
    skua__mutex_lock(&self->lock);
    while (ended && self->ended < self->times) {
        ended = skua__cond_wait_until(&self->changed, &self->lock, deadline_ns);
    }
    bool good = ended && self->failed == 0;
    skua__mutex_unlock(&self->lock);
    return good ? (double)(skua__clock_ns() - start_ns) : -1;
}

static double
launch(void *arg) {
    engine_run *self = arg;
    skua_launch spec = gpu_launch_of(&self->job);
    return launch_spec(self, &spec);
}

static bool
set_up(engine_run *self, const gpu_work *work, uint32_t items, int times) {
    skua_error err;
    skua_kernel_spec spec = gpu_spec_of(work);
    skua__mutex_init(&self->lock);
    skua__cond_init(&self->changed);
    self->times = times;
    if (!gpu_job_init(&self->job, work, items)) {
        return false;
    }
    return skua__kernel_new(NULL, work->name, &spec, &self->kernel, &err) == SKUA_OK || fail(&err);
}

static bool
open_engine(engine_run *self, const char *cache_dir) {
    skua_error err;
    if (skua_devices_open(&self->devices,
                          SKUA_DEVICES_OPTIONS(.cpu_devices = 1, .cache_dir = cache_dir), &err)) {
        return fail(&err);
    }
    return skua__devices_engine(self->devices, 0, &self->engine, &err) == SKUA_OK || fail(&err);
}

static double
each_us(void *arg) {
    engine_run *self = arg;
    double took_ns = launch(self);
    return took_ns < 0 ? -1 : took_ns / 1e3 / self->times;
}

int
gpu_side_engine(perf_run *run) {
    static engine_run self; /* and all that it opens ends with the process */
    bool batched = strcmp(run->what->what, "batched") == 0;
    if (!set_up(&self, gpu_work_named("nothing"), 1, batched ? GPU_BATCH : 1) ||
        !open_engine(&self, NULL) || launch(&self) < 0) {
        return 1;
    }
    return gpu_repeat(run, each_us, &self);
}

int
gpu_side_first_launch(perf_run *run) {
    static engine_run self;
    const gpu_work *work = gpu_work_named(run->what->work);
    if (!set_up(&self, work, run->what->items, 1) || !open_engine(&self, run->arg)) {
        return 1;
    }
    double took_ms = launch(&self) / 1e6;
    gpu_sample_of(&took_ms, 1, &run->shared->sample);
    bool right = took_ms > 0 && work->is_right(&self.job);
    skua_devices_close(self.devices); /* which leaves the program on disk */
    return !right;
}

/* ---- Copies ---- */

/* A kernel that leaves all the time to the copy of one of its arguments. */
static skua__kernel *
touch_kernel(skua_error *err) {
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_IN};
    skua__kernel *kernel = NULL;
    skua_status status = skua__kernel_new(
        NULL, "touch",
        SKUA_KERNEL_SPEC(.source = "kernel void touch(global int *y, global const int *x) {\n"
                                   "    y[0] = x[0];\n"
                                   "}\n",
                         .params = params, .param_count = 2),
        &kernel, err);
    return status ? NULL : kernel;
}

/* The device, made to stage its copies even where it shares memory. */
static skua__engine *
open_staged(skua_error *err) {
    skua_devices *devices;
    skua_device_info info = {.size = sizeof info};
    skua__engine *engine = NULL;
    if (skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1), err) ||
        skua_devices_at(devices, 0, &info, err)) {
        return NULL;
    }
    const skua__engine_options options = {
        .driver = skua__cl_driver(), .info = &info, .copies = SKUA__COPY_STAGED};
    return skua__engine_open(&engine, &options, err) ? NULL : engine;
}

typedef struct staged_copy {
    engine_run run;
    skua_kernel_arg args[2];
    double bytes;
} staged_copy;

static double
staged_rate(void *arg) {
    staged_copy *self = arg;
    const skua_launch *spec =
        SKUA_LAUNCH(.kernel = "touch", .global = {1}, .args = self->args, .arg_count = 2);
    double took_ns = launch_spec(&self->run, spec);
    return took_ns <= 0 ? -1 : self->bytes / took_ns;
}

int
gpu_side_staged(perf_run *run) {
    static staged_copy self;
    static int small;
    skua_error err;
    size_t bytes = (size_t)run->what->items << 20;
    int *large = malloc(bytes);
    if (!large) {
        perror("skua-perf");
        return 1;
    }
    memset(large, 1, bytes);
    bool in = strcmp(run->what->pattern, "in") == 0;
    self.args[in] = (skua_kernel_arg){.data = large, .bytes = bytes};
    self.args[!in] = (skua_kernel_arg){.data = &small, .bytes = sizeof small};
    self.bytes = (double)bytes;
    self.run.times = 1;
    skua__mutex_init(&self.run.lock);
    skua__cond_init(&self.run.changed);
    self.run.kernel = touch_kernel(&err);
    self.run.engine = self.run.kernel ? open_staged(&err) : NULL;
    if (!self.run.engine) {
        fail(&err);
        return 1;
    }
    return gpu_repeat(run, staged_rate, &self);
}

/* ---- The fake device ---- */

/* One input to copy, one kernel; the output takes the third queue, and as long again. */
static bool
set_up_fake(engine_run *self, int times) {
    const gpu_work *work = gpu_work_named("saxpy");
    const skua__fake_entry entry = {.name = "saxpy", .fn = work->fn, .guarded = true};
    const skua__fake_options options = {.clock = SKUA__FAKE_REAL,
                                        .entries = &entry,
                                        .entry_count = 1,
                                        .copy_ns = fake_step_ns,
                                        .launch_ns = fake_step_ns};
    skua__fake *fake = skua__fake_new(&options);
    skua_device_info info = skua__fake_info(UINT64_C(1) << 30);
    skua_error err;
    if (!fake || !set_up(self, work, FAKE_BYTES / sizeof(float), times)) {
        return false;
    }
    const skua__engine_options engine_options = {
        .driver = skua__fake_driver(), .driver_ctx = fake, .info = &info};
    return skua__engine_open(&self->engine, &engine_options, &err) == SKUA_OK || fail(&err);
}

static int
run_fake(perf_run *run, int times) {
    static engine_run self;
    if (!set_up_fake(&self, times) || launch(&self) < 0) {
        return 1;
    }
    double all_ns = 0;
    for (int i = 0; i < FAKE_LAUNCHES / times; i++) {
        double took_ns = launch(&self);
        if (took_ns < 0) {
            return 1;
        }
        all_ns += took_ns;
    }
    double each_ms = all_ns / 1e6 / FAKE_LAUNCHES;
    gpu_sample_of(&each_ms, 1, &run->shared->sample);
    return !self.job.work->is_right(&self.job);
}

int
gpu_side_fake_together(perf_run *run) {
    return run_fake(run, FAKE_LAUNCHES);
}

int
gpu_side_fake_apart(perf_run *run) {
    return run_fake(run, 1);
}
