// SPDX-License-Identifier: MPL-2.0
// The tasks that `skua node --serve` runs: echo, and wordcount, which the demo submits.
#ifndef SKUA_TASKS_H
#define SKUA_TASKS_H

#include <skua/exec.h>
#include <skua/node.h>
#include <skua/pool.h>

enum {
    TASKS_VERSION = 1,
    TASKS_MAX_PARTS = 16,           /* forks inside one chunk */
    TASKS_LEAST_PART_BYTES = 16384, /* smaller ones cost more to fork than to count */
};

typedef struct tasks {
    skua_node *node; /* borrowed, as the executor is */
    skua_exec *exec;
} tasks;

/* Registers the tasks with pool. Returns 0 or what the library returns. */
skua_status tasks_open(tasks *self, skua_node *node, skua_exec *exec, skua_pool *pool,
                       skua_error *err);
/* After the pool is closed. Takes a zeroed one. */
void tasks_close(tasks *self);

#endif
