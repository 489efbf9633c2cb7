// SPDX-License-Identifier: MPL-2.0
// What the examples with kernels share: the cores and the devices of this machine behind one pool, and who did how much.
#ifndef MACHINE_H
#define MACHINE_H

#include "must.h"
#include <skua/device.h>
#include <skua/exec.h>
#include <skua/launch.h>
#include <skua/node.h>
#include <string.h>

typedef struct machine {
    skua_node *node; /* NULL: no peers */
    skua_exec *exec;
    skua_devices *devices;
    skua_pool *pool;
    int32_t on;        /* where launches run: skua_launch.on */
    const char *trace; /* a file, see machine_trace(); NULL: none */
} machine;

/*
 * mode NULL: the cores and the real devices, whichever is predicted to be done first; "cpu": OpenCL's CPU devices count as
 * devices too; "device": all on the first device, a CPU or not; "cores": all on the cores. With peers the pool is a node's,
 * whose kernels others may run, and who may run ours.
 */
static inline void
machine_open(machine *self, const char *mode, int peers) {
    skua_error err;
    self->node = NULL;
    self->trace = NULL;
    bool device = mode && strcmp(mode, "device") == 0;
    bool cpu = device || (mode && strcmp(mode, "cpu") == 0);
    self->on = device ? SKUA_ON_DEVICE : SKUA_ON_ANY;
    if (mode && strcmp(mode, "cores") == 0) {
        self->on = SKUA_ON_CORES;
    }
    /* Devices first: a driver is asked in a forked child, and ThreadSanitizer lets no child of several threads start its own. */
    must(skua_devices_open(&self->devices, SKUA_DEVICES_OPTIONS(.cpu_devices = cpu), &err), &err);
    must(skua_exec_open(&self->exec, NULL, &err), &err);
    if (peers) {
        must(skua_node_open(&self->node, NULL, &err), &err);
    }
    must(skua_pool_open(
             &self->pool,
             SKUA_POOL_OPTIONS(.node = self->node, .exec = self->exec, .devices = self->devices),
             &err),
         &err);
}

/*
 * Records from now on what each worker and each device does when. machine_close() writes it to a file, whose name is borrowed,
 * for ui.perfetto.dev or chrome://tracing. NULL: nothing.
 */
static inline void
machine_trace(machine *self, const char *file) {
    skua_error err;
    self->trace = file;
    if (file) {
        must(skua_exec_trace_start(self->exec, NULL, &err), &err);
    }
}

/* Prints to file who ran a kernel. Returns how many work-items ran in all. */
static inline uint64_t
machine_tell_shares(const machine *self, const char *kernel, FILE *file) {
    skua_kernel_share share = {.size = sizeof share};
    uint64_t sum = 0;
    for (size_t i = 0; skua_kernel_share_at(self->pool, kernel, i, &share, NULL) == SKUA_OK; i++) {
        fprintf(file, "%-32s %12llu work-items in %llu launches\n", share.name,
                (unsigned long long)share.work_items, (unsigned long long)share.launches);
        sum += share.work_items;
    }
    return sum;
}

static inline void
machine_close(machine *self) {
    skua_error err;
    skua_pool_close(self->pool);
    skua_devices_close(self->devices);
    if (self->trace) {
        must(skua_exec_trace_write(self->exec, self->trace, &err), &err);
    }
    skua_exec_close(self->exec);
    skua_node_close(self->node);
}

#endif
