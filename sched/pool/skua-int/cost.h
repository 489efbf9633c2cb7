// SPDX-License-Identifier: MPL-2.0
// What a pool has learned: how long tasks of a name run at a site, how long a round trip to it takes and how fast bytes
// travel there. Plain numbers and pure functions; the pool's lock guards them.
#ifndef SKUA_INT_COST_H
#define SKUA_INT_COST_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SKUA__COST_SMALL_BYTES = 4096,  /* a task under it measures the round trip */
    SKUA__COST_LARGE_BYTES = 65536, /* a task from it on measures the bandwidth */
};

/* The run time of one kind of task at one site, smoothed. Zeroed memory has learned nothing. */
typedef struct skua__run_cost {
    int64_t run_ns; /* meaningless while samples is 0 */
    uint32_t samples;
} skua__run_cost;

/* The way to one site. Zeroed memory has learned nothing; the local site stays so and costs nothing. */
typedef struct skua__way_cost {
    int64_t round_ns;    /* 0: unknown */
    int64_t bytes_per_s; /* 0: unknown */
    uint32_t round_samples;
} skua__way_cost;

/* How much of what a peer says that a run took is believed: no run takes longer than we waited for it. Never below 0. */
int64_t skua__cost_believed_ns(uint64_t said_ns, int64_t waited_ns);

/* A run took run_ns. The smoothing halves the weight of what lies about five runs back. */
void skua__cost_learn_run(skua__run_cost *cost, int64_t run_ns);

/*
 * A task of `bytes` (input and output) came back total_ns after it was sent, of which it ran for run_ns. alone: it did not
 * have to wait for a worker there, so that what is left is the way. Round trips keep close to the shortest seen, since
 * only the short ones are free of other delays.
 */
void skua__cost_learn_way(skua__way_cost *cost, int64_t total_ns, int64_t run_ns, uint64_t bytes,
                          bool alone);

/* How long bytes take to get there; 0 while nothing is known. */
int64_t skua__cost_move_ns(const skua__way_cost *cost, uint64_t bytes);

#endif
