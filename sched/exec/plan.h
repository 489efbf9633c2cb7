// SPDX-License-Identifier: MPL-2.0
// Where each worker stands on a machine, and in which order it looks at the others for work.
#ifndef SKUA_EXEC_PLAN_H
#define SKUA_EXEC_PLAN_H

#include <skua/topology.h>

/* How near two workers are: the smaller, the sooner one steals from the other. */
enum {
    PLAN_SAME_PU = 0,   /* more workers than processing units, or a spare */
    PLAN_SAME_CORE = 1, /* the other hardware threads of the core */
    PLAN_SAME_L2 = 2,
    PLAN_SAME_L3 = 3,
    PLAN_SAME_NUMA = 4,
    PLAN_REMOTE =
        5, /* and up: another node, the nearer first; on the same package first among equals */
};

typedef struct skua__victim {
    uint16_t worker;
    uint16_t nearness; /* PLAN_ */
} skua__victim;

typedef struct skua__plan {
    const skua_allocator *hook;
    uint32_t workers;
    uint32_t *pu;          /* each worker's row in the topology's table of PUs */
    skua__victim *victims; /* workers rows of workers - 1, the nearest first */
} skua__plan;

/*
 * Plans workers (1 to 1024) on a topology: the first hardware thread of each core before the second ones, nodes with
 * memory before those without, else in the machine's order; further workers start again from the front. Victims of
 * one nearness are shuffled by seed, differently for each worker. The same topology, workers and seed give the same plan.
 * Returns 0 (end it with skua__plan_fini()) or SKUA_E_NO_MEMORY.
 */
skua_status skua__plan_init(skua__plan *ret_plan, const skua_allocator *hook,
                            const skua_topology *topology, uint32_t workers, uint64_t seed,
                            skua_error *err);
/* Takes a zeroed one. */
void skua__plan_fini(skua__plan *plan);

/* The victims of one worker: plan->workers - 1 of them. */
const skua__victim *skua__plan_victims(const skua__plan *plan, uint32_t worker);

/* Of skua_topology: the allocator it was made with, and whether it is the machine we run on. */
const skua_allocator *skua__topology_hook(const skua_topology *topology);
bool skua__topology_is_real(const skua_topology *topology);

#endif
