// SPDX-License-Identifier: MPL-2.0
// The choice of where a task runs: the site that is predicted to be done first, with hysteresis. A pure function of
// the candidates' figures, so that each decision can be explained and replayed.
#ifndef SKUA_INT_PLACEMENT_H
#define SKUA_INT_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SKUA__PLACE_CANDIDATES = 32, /* sites that are looked at for one task */
    SKUA__PLACE_HYSTERESIS = 8,  /* leaving the last site must gain 1/8 of its time */
    SKUA__PLACE_PREFER = 2,      /* a preferred site may take so many times as long */
    SKUA__PLACE_HOLD = 2, /* a full site is waited for when others take so many times as long */
    SKUA__PLACE_HOLD_ROUNDS = 4, /* and at least so many round trips longer */
    SKUA__PLACE_HORIZON_NS =
        20 * 1000 * 1000,  /* tasks of so much time per worker are handed over ahead */
    SKUA__PLACE_AHEAD = 2, /* and always so many tasks per worker, so that none idles between two */
    SKUA__PLACE_MAX_IN_FLIGHT = 4096, /* of one submitter at one site */
};

#define SKUA__PLACE_UNKNOWN_RUN_NS INT64_C(100000) /* of a task that never ran anywhere: a guess */

/* One site where a task may run, in figures. */
typedef struct skua__place {
    uint32_t site;          /* the pool's index */
    bool room;              /* it takes one more task now */
    bool preferred;         /* the task names this node */
    bool last;              /* the kind's previous task went there */
    int64_t wait_ns;        /* until a worker is free there */
    int64_t move_ns;        /* for the bytes to get there */
    int64_t round_ns;       /* for the messages */
    int64_t run_ns;         /* of the function */
    uint64_t missing_bytes; /* of a launch: that move_ns is for */
} skua__place;

/* The sum of its times. */
int64_t skua__place_total_ns(const skua__place *place);

/*
 * The index of the best candidate that has room; -1 when none has, or when a full one is so much better that the task
 * had better wait for it.
 */
int skua__place_choose(const skua__place *places, size_t count);

/*
 * Whether a site takes one more task: in_flight tasks of ours, predicted to take predicted_ns of its workers' time
 * together, are there. run_ns is the task's own, -1 while unknown: then only few are handed over.
 */
bool skua__place_has_room(uint32_t in_flight, int64_t predicted_ns, uint32_t workers,
                          int64_t run_ns);

/* How long a task would wait there for a worker, behind tasks of ours and of others. */
int64_t skua__place_wait_ns(uint32_t in_flight, int64_t predicted_ns, uint32_t others,
                            uint32_t workers, int64_t run_ns);

#endif
