// SPDX-License-Identifier: MPL-2.0
// Bare OpenCL doing what skua's devices do: the peer of skua-perf gpu. As simple as one would write it, and no simpler: memory is made
// once, a launch is its copies, its kernel and one clFinish().
#include "../gpu_works.h"

#include "cl_load.h"

#include <skua-int/clock.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 256, GROUP_SIDE = 16, SOURCE_BYTES = 4096 };

/* As in skua's own prelude: the same kernels are built by both. */
static const char prelude[] =
    "#define SKUA_SIZE ulong size_0, ulong size_1, ulong size_2\n"
    "#define SKUA_GUARD() do { if (get_global_id(0) >= size_0 || get_global_id(1) >= size_1 || \\\n"
    "    get_global_id(2) >= size_2) return; } while (0)\n";

typedef struct bare {
    skua__cl cl;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_kernel kernel;
    cl_mem memory[GPU_PARAMS_MAX];
    gpu_job job;
    size_t global[3], local[3];
    bool copies; /* with each launch */
    int times;   /* launches before a clFinish() */
} bare;

static bool
find_device(bare *self) {
    cl_platform_id platforms[SKUA__CL_PLATFORMS_MAX];
    cl_uint platform_count = 0;
    if (!skua__cl_load(&self->cl) ||
        self->cl.get_platform_ids(SKUA__CL_PLATFORMS_MAX, platforms, &platform_count)) {
        return false;
    }
    /* GPUs first, as skua has them. */
    static const cl_device_type kinds[] = {CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ALL};
    for (size_t kind = 0; kind < 2; kind++) {
        for (cl_uint i = 0; i < platform_count && i < SKUA__CL_PLATFORMS_MAX; i++) {
            cl_uint count = 0;
            if (self->cl.get_device_ids(platforms[i], kinds[kind], 1, &self->device, &count) ==
                    CL_SUCCESS &&
                count > 0) {
                return true;
            }
        }
    }
    return false;
}

/* skua leaves a CPU device half of the cores: so does its peer, or two devices would be compared. */
static void
confine(bare *self) {
    cl_device_type kind = 0;
    cl_uint units = 0;
    self->cl.get_device_info(self->device, CL_DEVICE_TYPE, sizeof kind, &kind, NULL);
    self->cl.get_device_info(self->device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    const cl_device_partition_property properties[] = {CL_DEVICE_PARTITION_BY_COUNTS,
                                                       (cl_device_partition_property)(units / 2),
                                                       CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id part = NULL;
    if ((kind & CL_DEVICE_TYPE_CPU) && units > 1 &&
        self->cl.create_sub_devices(self->device, properties, 1, &part, NULL) == CL_SUCCESS) {
        self->device = part;
    }
}

static bool
open_device(bare *self) {
    cl_int result = CL_SUCCESS;
    if (!find_device(self)) {
        fprintf(stderr, "skua-perf: bare OpenCL has no device\n");
        return false;
    }
    confine(self);
    self->context = self->cl.create_context(NULL, 1, &self->device, NULL, NULL, &result);
    if (result == CL_SUCCESS) {
        self->queue = self->cl.create_queue(self->context, self->device, 0, &result);
    }
    return result == CL_SUCCESS;
}

static bool
make_kernel(bare *self, const char *entry) {
    char text[SOURCE_BYTES];
    snprintf(text, sizeof text, "%s%s", prelude, self->job.work->source);
    const char *source = text;
    cl_int result = CL_SUCCESS;
    self->program = self->cl.program_with_source(self->context, 1, &source, NULL, &result);
    if (result == CL_SUCCESS) {
        result = self->cl.build_program(self->program, 1, &self->device, "", NULL, NULL);
    }
    if (result == CL_SUCCESS) {
        self->kernel = self->cl.create_kernel(self->program, entry, &result);
    }
    return result == CL_SUCCESS;
}

static bool
set_arguments(bare *self) {
    const gpu_job *job = &self->job;
    cl_int result = CL_SUCCESS;
    cl_uint at = 0;
    for (; at < job->work->param_count && result == CL_SUCCESS; at++) {
        const skua_kernel_arg *arg = &job->args[at];
        if (job->work->params[at] == SKUA_PARAM_VALUE) {
            result = self->cl.set_kernel_arg(self->kernel, at, arg->bytes, arg->value);
            continue;
        }
        self->memory[at] =
            self->cl.create_buffer(self->context, CL_MEM_READ_WRITE, arg->bytes, NULL, &result);
        if (result == CL_SUCCESS) {
            result = self->cl.set_kernel_arg(self->kernel, at, sizeof(cl_mem), &self->memory[at]);
        }
    }
    for (int i = 0; i < 3; i++) {
        size_t wanted = self->job.dims == 2 ? (i < 2 ? GROUP_SIDE : 1) : i == 0 ? GROUP : 1;
        cl_ulong size = job->global[i];
        self->local[i] = job->work->guarded ? wanted : 1;
        self->global[i] = (job->global[i] + self->local[i] - 1) / self->local[i] * self->local[i];
        if (job->work->guarded && result == CL_SUCCESS) {
            result = self->cl.set_kernel_arg(self->kernel, at++, sizeof size, &size);
        }
    }
    return result == CL_SUCCESS;
}

/* The inputs, the launches, the outputs, and the end of all of them. */
static double
launch(void *arg) {
    bare *self = arg;
    const gpu_job *job = &self->job;
    int64_t start_ns = skua__clock_ns();
    cl_int result = CL_SUCCESS;
    for (uint32_t i = 0; self->copies && i < job->work->param_count; i++) {
        if (job->work->params[i] == SKUA_PARAM_IN) {
            result |= self->cl.write_buffer(self->queue, self->memory[i], CL_FALSE, 0,
                                            job->args[i].bytes, job->args[i].data, 0, NULL, NULL);
        }
    }
    for (int i = 0; i < self->times; i++) {
        result |= self->cl.enqueue_kernel(self->queue, self->kernel, job->dims, NULL, self->global,
                                          self->local, 0, NULL, NULL);
    }
    for (uint32_t i = 0; self->copies && i < job->work->param_count; i++) {
        if (job->work->params[i] == SKUA_PARAM_OUT) {
            result |= self->cl.read_buffer(self->queue, self->memory[i], CL_FALSE, 0,
                                           job->args[i].bytes, job->args[i].data, 0, NULL, NULL);
        }
    }
    result |= self->cl.finish(self->queue);
    return result == CL_SUCCESS ? (double)(skua__clock_ns() - start_ns) : -1;
}

static double
empty_us(void *arg) {
    bare *self = arg;
    double took_ns = launch(self);
    return took_ns < 0 ? -1 : took_ns / 1e3 / self->times;
}

static double
work_ms(void *arg) {
    double took_ns = launch(arg);
    return took_ns < 0 ? -1 : took_ns / 1e6;
}

/* Billions of the job's amount per second. */
static double
rate(void *arg) {
    bare *self = arg;
    double took_ns = launch(self);
    return took_ns <= 0 ? -1 : self->job.amount / took_ns;
}

static const char *
entry_of(const gpu_work *work) {
    return gpu_spec_of(work).entry;
}

int
gpu_side_opencl(perf_run *run) {
    static bare self; /* ends with the process, as all that OpenCL has */
    const char *what = run->what->what;
    if (strcmp(what, "open") == 0) {
        int64_t start_ns = skua__clock_ns();
        bool found = find_device(&self);
        double took_ms = (double)(skua__clock_ns() - start_ns) / 1e6;
        gpu_sample_of(&took_ms, 1, &run->shared->sample);
        return !found;
    }
    bool empty = strcmp(what, "empty") == 0, batched = strcmp(what, "batched") == 0;
    const gpu_work *work = gpu_work_named(empty || batched ? "nothing" : run->what->work);
    self.copies = strcmp(what, "work") == 0;
    self.times = batched ? GPU_BATCH : 1;
    if (!open_device(&self) || !gpu_job_init(&self.job, work, run->what->items) ||
        !make_kernel(&self, entry_of(work)) || !set_arguments(&self)) {
        return 1;
    }
    if (empty || batched) {
        return gpu_repeat(run, empty_us, &self);
    }
    if (!self.copies) { /* once with copies, so that it computes on its data */
        self.copies = true;
        launch(&self);
        self.copies = false;
    }
    if (strcmp(what, "rate") == 0) {
        return gpu_repeat(run, rate, &self);
    }
    int failed = gpu_repeat(run, work_ms, &self);
    return failed || !work->is_right(&self.job);
}

int
gpu_side_opencl_first_launch(perf_run *run) {
    static bare self;
    self.copies = true;
    self.times = 1;
    const gpu_work *work = gpu_work_named(run->what->work);
    if (!open_device(&self) || !gpu_job_init(&self.job, work, run->what->items)) {
        return 1;
    }
    int64_t start_ns = skua__clock_ns();
    if (!make_kernel(&self, entry_of(work)) || !set_arguments(&self) || launch(&self) < 0) {
        return 1;
    }
    double took_ms = (double)(skua__clock_ns() - start_ns) / 1e6;
    gpu_sample_of(&took_ms, 1, &run->shared->sample);
    return !work->is_right(&self.job);
}

/* ---- Copies ---- */

typedef struct bare_copy {
    bare on;
    cl_mem memory;
    void *host;
    size_t bytes;
    bool in;
} bare_copy;

static double
copy_rate(void *arg) {
    const bare_copy *self = arg;
    const bare *on = &self->on;
    int64_t start_ns = skua__clock_ns();
    cl_int result = self->in ? on->cl.write_buffer(on->queue, self->memory, CL_FALSE, 0,
                                                   self->bytes, self->host, 0, NULL, NULL)
                             : on->cl.read_buffer(on->queue, self->memory, CL_FALSE, 0, self->bytes,
                                                  self->host, 0, NULL, NULL);
    result |= on->cl.finish(on->queue);
    return result == CL_SUCCESS ? (double)self->bytes / (double)(skua__clock_ns() - start_ns) : -1;
}

static int
run_copies(perf_run *run, bool pinned) {
    static bare_copy self;
    cl_int result = CL_SUCCESS;
    self.bytes = (size_t)run->what->items << 20;
    self.in = strcmp(run->what->pattern, "in") == 0;
    if (!open_device(&self.on)) {
        return 1;
    }
    bare *on = &self.on;
    self.memory = on->cl.create_buffer(on->context, CL_MEM_READ_WRITE, self.bytes, NULL, &result);
    if (pinned && result == CL_SUCCESS) {
        cl_mem block = on->cl.create_buffer(on->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR,
                                            self.bytes, NULL, &result);
        self.host = result == CL_SUCCESS
                        ? on->cl.map_buffer(on->queue, block, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE,
                                            0, self.bytes, 0, NULL, NULL, &result)
                        : NULL;
    } else {
        self.host = malloc(self.bytes);
    }
    if (result != CL_SUCCESS || !self.host) {
        fprintf(stderr, "skua-perf: bare OpenCL has no memory for copies\n");
        return 1;
    }
    memset(self.host, 1, self.bytes);
    return gpu_repeat(run, copy_rate, &self);
}

int
gpu_side_opencl_pinned(perf_run *run) {
    return run_copies(run, true);
}

int
gpu_side_opencl_pageable(perf_run *run) {
    return run_copies(run, false);
}
