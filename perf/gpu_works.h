// SPDX-License-Identifier: MPL-2.0
// The kernels that skua-perf gpu and select measure, each in OpenCL C and in C, with arguments that can be checked afterwards; and the sides that
// run them: skua's pool, skua's engine of one device alone, and bare OpenCL.
#ifndef SKUA_PERF_GPU_WORKS_H
#define SKUA_PERF_GPU_WORKS_H

#include "perf.h"

#include <skua/kernel.h>

enum { GPU_PARAMS_MAX = 4, GPU_BATCH = 1000 };

/* One kernel with one set of arguments. Memory that is only written is filled with 0xff before. */
typedef struct gpu_job {
    const struct gpu_work *work;
    uint32_t size; /* elements, or the side of a square */
    uint32_t dims;
    uint64_t global[3];
    skua_kernel_arg args[GPU_PARAMS_MAX];
    uint32_t values[GPU_PARAMS_MAX]; /* what a VALUE points to */
    double
        amount; /* of what is counted: floating-point operations or bytes of device memory; 0: nothing is */
} gpu_job;

typedef struct gpu_work {
    const char *name;
    const char *source;
    skua_param_kind params[GPU_PARAMS_MAX];
    uint32_t param_count;
    bool guarded;
    skua_kernel_fn fn;
    double operations; /* of one work-item, for skua's prediction; 0: depends */
    /* Fills everything of the job but work and size. Returns false without memory. */
    bool (*prepare)(gpu_job *job);
    bool (*is_right)(const gpu_job *job);
} gpu_work;

/* ---- gpu_works_data.c: more of them ---- */
enum { GPU_WORKS_DATA = 4 };
extern const gpu_work gpu_works_data[GPU_WORKS_DATA];

/* For prepare(): memory for the i-th argument, filled with 0xff, or NULL; a VALUE; and the function's own look at one. */
void *gpu_memory_of(gpu_job *job, int i, size_t bytes);
void gpu_set_value(gpu_job *job, int i, uint32_t value);
uint32_t gpu_value_of(const skua_kernel_call *call, int i);

/* ---- gpu_works.c ---- */
/* NULL: there is none of that name. */
const gpu_work *gpu_work_named(const char *name);
const gpu_work *gpu_work_at(size_t i);
bool gpu_job_init(gpu_job *job, const gpu_work *work, uint32_t size);
void gpu_job_fini(gpu_job *job);
/* The spec and the launch that say the same; they borrow job and work. */
skua_kernel_spec gpu_spec_of(const gpu_work *work);
skua_launch gpu_launch_of(const gpu_job *job);

/*
 * What a side does, told through perf_case: what = "empty" | "batched" (microseconds for each of GPU_BATCH; pattern "pool-all": one call waits for all, as one clFinish() does, before any is collected) | "open" | "work" |
 * "resident" (the same, but nothing is copied between: launch and wait) | "rate"; work = a work's name. Sides are run by perf_solo() and return 0 when the sample is filled.
 */
int gpu_side_pool_device(perf_run *run);  /* through skua_kernel_submit(), on the first device */
int gpu_side_pool_cores(perf_run *run);   /* the same on the cores */
int gpu_side_pool_buffers(perf_run *run); /* on the first device, with buffers in place of memory */
int gpu_side_devices_open(perf_run *run); /* milliseconds of skua_devices_open() */

/* ---- peers/gpu_engine.c: skua's engine of one device, without a pool ---- */
int gpu_side_engine(perf_run *run);
/* Milliseconds from an open device until the first launch of a kernel ended; arg: the folder that programs are kept in. */
int gpu_side_first_launch(perf_run *run);
/* GB/s of a copy of so many MiB as the engine stages it, on any device; pattern = "in" | "out". */
int gpu_side_staged(perf_run *run);
/* Milliseconds for each launch on a fake device whose copies and kernels take equally long; all at once, or one after the other. */
int gpu_side_fake_together(perf_run *run);
int gpu_side_fake_apart(perf_run *run);

/* ---- peers/raw_opencl.c ---- */
int gpu_side_opencl(perf_run *run);
int gpu_side_opencl_first_launch(perf_run *run);
/* As gpu_side_staged(), from pinned memory, which is the most that a bus does, and from the process's own. */
int gpu_side_opencl_pinned(perf_run *run);
int gpu_side_opencl_pageable(perf_run *run);

/*
 * What is kept between runs, by skua and by OpenCL, is kept in the scratch folder from now on, and nothing of the user's helps.
 * Returns the folder.
 */
const char *gpu_scratch_cache(void);

/* Fills a sample from the times of repetitions, in order of time. */
void gpu_sample_of(const double *values, int count, perf_sample *ret_sample);

/* Calls once() until the run's seconds are over, after an eighth of them as warm-up, and fills the sample with its results, each
 * below 0 meaning that it failed. */
int gpu_repeat(perf_run *run, double (*once)(void *arg), void *arg);

#endif
