// SPDX-License-Identifier: MPL-2.0
// What `skua node --serve` runs for peers: echo, and wordcount, which the demo submits.
#ifndef SKUA_SERVE_H
#define SKUA_SERVE_H

#include <skua/node.h>

enum {
    SERVE_VERSION = 1, /* of the tasks */
    SERVE_MAX_WORKERS = 1024,
    SERVE_DRAIN_MS = 2000,
    SERVE_MAX_PARTS = 16,           /* forks inside one chunk of text */
    SERVE_LEAST_PART_BYTES = 16384, /* smaller ones cost more to fork than to count */
};

typedef struct serve serve;

/*
 * Offers the tasks on an executor of its own with so many workers (0: all cores), and tells peers of the OpenCL devices, CPU devices
 * only when they are asked for. Returns 0 or what the library returns.
 */
skua_status serve_open(serve **ret_serve, skua_node *node, int32_t workers, bool cpu_devices,
                       skua_error *err);
/* Hands back what waits, and finishes what runs. Takes NULL, as the two below do. */
void serve_drain(serve *self);
/* How many tasks ran for peers, and for how long; untouched where nothing is known. */
void serve_figures(serve *self, uint64_t *ret_served, uint64_t *ret_busy_ns);
void serve_close(serve *self);

#endif
