// SPDX-License-Identifier: MPL-2.0
// Where each worker stands on a machine, and in which order it looks at the others for work.
#ifndef SKUA_EXEC_PLAN_H
#define SKUA_EXEC_PLAN_H

#include <skua-int/rand.h>
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

/* One look at all other workers: class by class, in each from a random place on. Without a plan they are one class. */
typedef struct skua__tour {
    const skua__victim *row; /* NULL: no plan */
    uint32_t count;          /* of the row, or of the workers */
    uint32_t first, end;     /* the class */
    uint32_t at, left;       /* where in the class we are, and how many of it are to come */
    skua__rand *rand;
} skua__tour;

enum { PLAN_TOUR_OVER = UINT32_MAX };

skua__tour skua__tour_begin(const skua__plan *plan, uint32_t worker, uint32_t workers,
                            skua__rand *rand);
/* The next worker to look at (perhaps oneself, where there is no plan), or PLAN_TOUR_OVER. */
uint32_t skua__tour_next(skua__tour *tour);

/* The victims of one worker: plan->workers - 1 of them. */
const skua__victim *skua__plan_victims(const skua__plan *plan, uint32_t worker);

/* numa.c: lets whole pages lie on a node, those already written to as well. Returns 0 or SKUA_E_UNSUPPORTED. */
skua_status skua__numa_prefer(const skua_topology *topology, uint32_t numa, void *memory,
                              size_t size_bytes);

/* Of skua_topology: the allocator it was made with, and whether it is the machine we run on. */
const skua_allocator *skua__topology_hook(const skua_topology *topology);
bool skua__topology_is_real(const skua_topology *topology);
/* A copy with another allocator, or NULL when there is no memory. End it with skua_topology_free(). */
skua_topology *skua__topology_copy(const skua_topology *topology, const skua_allocator *hook);

#endif
