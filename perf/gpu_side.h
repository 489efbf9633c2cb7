// SPDX-License-Identifier: MPL-2.0
// What the sides that go through a pool have in common: the machine's cores and devices behind a pool, and one work's job on it.
#ifndef SKUA_PERF_GPU_SIDE_H
#define SKUA_PERF_GPU_SIDE_H

#include "gpu_works.h"

#include <skua/device.h>
#include <skua/exec.h>
#include <skua/launch.h>

/* All that it opens ends with the process. */
typedef struct gpu_side {
    skua_exec *exec;
    skua_devices *devices;
    skua_pool *pool;
    gpu_job job;
} gpu_side;

/* Says what went wrong. Returns false. */
bool gpu_side_fail(const skua_error *err);
/* Opens all of it and registers the work. Returns false when that failed, which is told. */
bool gpu_side_open(gpu_side *side, const gpu_work *work, uint32_t items);

#endif
