// SPDX-License-Identifier: MPL-2.0
// Kernels of a pool: their registry, a launch as a task's bytes, and the function that runs one. For sched/pool alone.
#ifndef SKUA_INT_KERNELS_H
#define SKUA_INT_KERNELS_H

#include <skua-int/launch.h>
#include <skua-int/pool_int.h>
#include <skua/launch.h>
#include <skua/select.h>

enum {
    SKUA__KERNEL_BACKENDS_MAX = SKUA_SELECT_BACKENDS_MAX, /* the cores and up to 15 devices */
    SKUA__KERNEL_ALIGN = 16, /* of what lies in an encoded launch and in its outputs */
};

typedef struct skua__kernel_entry {
    skua__list link;
    struct skua__kernels *kernels;
    skua__kernel *kernel;
    uint32_t version; /* as a task: of the source, so that peers with another one are no peers */
    uint32_t selector_number; /* the selector's */
    skua_kernel_share shares[SKUA__KERNEL_BACKENDS_MAX];
} skua__kernel_entry;

/* A place where kernels run here. */
typedef struct skua__kernel_place {
    skua__engine *engine; /* NULL: the cores */
    int32_t device;
    uint32_t selector_number;
    int64_t last_ns; /* what the newest launch took there: a guess for those that wait */
} skua__kernel_place;

typedef struct skua__kernels {
    skua_pool *pool;
    skua__mutex lock; /* guards everything below; nothing is called with it held but the selector */
    skua__list entries;
    skua__kernel_place places[SKUA__KERNEL_BACKENDS_MAX]; /* constant in number and engine */
    uint32_t place_count;
    skua_selector *selector;
} skua__kernels;

/* ---- kernel_code.c: a launch as bytes ---- */

/* Where an argument lies in the bytes of a launch. */
typedef struct skua__coded_arg {
    uint64_t bytes;
    size_t in_at;  /* IN, INOUT, VALUE: in the input */
    size_t out_at; /* OUT, INOUT: in the output */
} skua__coded_arg;

typedef struct skua__coded_launch {
    uint32_t dims;
    uint64_t global[3];
    int32_t on;
    int32_t priority;
    skua__coded_arg args[SKUA_KERNEL_MAX_PARAMS];
    size_t input_bytes, output_bytes;
} skua__coded_launch;

/* Lays a launch out. It was checked by skua__launch_check(). Returns 0 or SKUA_E_TOO_BIG. */
skua_status skua__launch_lay_out(const skua__kernel *kernel, const skua_launch *launch,
                                 skua__coded_launch *ret, skua_error *err);
/* Writes the input_bytes of the launch to ret. */
void skua__launch_encode(const skua__kernel *kernel, const skua_launch *launch,
                         const skua__coded_launch *layout, uint8_t *ret);
/* Copies results to where the launch's arguments point. Returns 0, or SKUA_E_BAD_ARGUMENT with nothing written. */
skua_status skua__launch_unpack(const skua__kernel *kernel, const skua_launch *launch,
                                const void *output, size_t output_bytes, skua_error *err);
/* Reads what somebody sent. Returns false on anything but a whole launch of this kernel. */
bool skua__launch_decode(const skua__kernel *kernel, const void *bytes, size_t size,
                         skua__coded_launch *ret);

/* ---- kernel_run.c: a skua_task_fn, arg is the entry ---- */
int skua__kernel_task(skua_task_call *call, void *arg);

#endif
