// SPDX-License-Identifier: MPL-2.0
// A ring of jobs that one worker fills and all may empty: the worker adds at the bottom, and takes the newest there; anybody
// takes the oldest at the top. This is the deque of Chase and Lev (SPAA 2005) in a ring of fixed size, with sequentially
// consistent ends. Each worker has two: the jobs that it submitted itself, and its handful from the queue, of which
// it takes the oldest like everybody else.
//
// Ordering. A job is published by the store of bottom (J2) and read after the load of it, or taken by its own writer.
// Every job is taken once: bottom's store comes before the look at top in skua__jobs_pop(), and top's load before that of
// bottom in skua__jobs_steal() (J3), so of the two that reach for the last job at least one goes through the swap of top.
// Progress: adding is wait-free, taking is lock-free.
#ifndef SKUA_EXEC_JOBS_H
#define SKUA_EXEC_JOBS_H

#include <skua-int/atomic.h>
#include <skua/exec.h>
#include <stdalign.h>

enum {
    EXEC_RING_JOBS = 128, /* a power of two */
};

typedef struct skua__jobs {
    alignas(64) skua__a64 top;    /* the oldest; everybody moves it up */
    alignas(64) skua__a64 bottom; /* behind the newest; only the worker moves it */
    skua__aptr ring[EXEC_RING_JOBS];
} skua__jobs;

static inline void
skua__jobs_init(skua__jobs *jobs) {
    skua__a64_store(&jobs->top, 0, memory_order_relaxed);    /* relaxed: no thread yet */
    skua__a64_store(&jobs->bottom, 0, memory_order_relaxed); /* relaxed: no thread yet */
}

static inline skua__aptr *
skua__jobs_at(skua__jobs *jobs, uint64_t index) {
    return &jobs->ring[index % EXEC_RING_JOBS];
}

/* Adds as many of the jobs as fit, in their order. Returns how many. Threads: the worker. */
static inline size_t
skua__jobs_push(skua__jobs *jobs, skua_job *const *list, size_t count) {
    uint64_t bottom = skua__a64_load(&jobs->bottom, memory_order_relaxed); /* relaxed: ours */
    /* acquire J3: who took the slot has read it; pairs with seq_cst J3 in skua__jobs_steal() */
    uint64_t top = skua__a64_load(&jobs->top, memory_order_acquire);
    uint64_t room = EXEC_RING_JOBS - (bottom - top);
    count = count < room ? count : room;
    for (size_t i = 0; i < count; i++) {
        /* relaxed: published by J2 */
        skua__aptr_store(skua__jobs_at(jobs, bottom + i), list[i], memory_order_relaxed);
    }
    /* release J2: the jobs; pairs with acquire J2 in skua__jobs_steal() */
    /* seq_cst W1: published before the look at sleepers; pairs with seq_cst W1 in skua__jobs_any() */
    skua__a64_store(&jobs->bottom, bottom + count, memory_order_seq_cst);
    return count;
}

/* Takes the newest job. Threads: the worker. */
static inline skua_job *
skua__jobs_pop(skua__jobs *jobs) {
    uint64_t bottom = skua__a64_load(&jobs->bottom, memory_order_relaxed); /* relaxed: ours */
    /* relaxed: top only grows, so what looks empty is. */
    if (skua__a64_load(&jobs->top, memory_order_relaxed) == bottom) {
        return NULL;
    }
    bottom--;
    /* seq_cst J3: before the look at top; pairs with seq_cst J3 in skua__jobs_steal() */
    skua__a64_store(&jobs->bottom, bottom, memory_order_seq_cst);
    uint64_t top = skua__a64_load(&jobs->top, memory_order_seq_cst); /* seq_cst J3: see above */
    if (top < bottom) {
        /* relaxed: we wrote it */
        return skua__aptr_load(skua__jobs_at(jobs, bottom), memory_order_relaxed);
    }
    skua_job *job = NULL;
    if (top == bottom) {
        job =
            skua__aptr_load(skua__jobs_at(jobs, bottom), memory_order_relaxed); /* relaxed: ours */
        /* seq_cst J3: against a thief that saw the old bottom; pairs with seq_cst J3 in skua__jobs_steal() */
        if (!skua__a64_cas(&jobs->top, &top, top + 1, memory_order_seq_cst)) {
            job = NULL;
        }
    }
    /* release J2: the ring is empty again; pairs with acquire J2 in skua__jobs_steal() */
    skua__a64_store(&jobs->bottom, bottom + 1, memory_order_release);
    return job;
}

/* Takes the oldest job. Threads: any. */
static inline skua_job *
skua__jobs_steal(skua__jobs *jobs) {
    uint64_t top = skua__a64_load(&jobs->top, memory_order_seq_cst); /* seq_cst J3: see the head */
    for (;;) {
        /* acquire J2: the job; pairs with release J2 in skua__jobs_push() and skua__jobs_pop() */
        /* seq_cst J3: after the load of top; pairs with seq_cst J3 in skua__jobs_pop() */
        uint64_t bottom = skua__a64_load(&jobs->bottom, memory_order_seq_cst);
        if ((int64_t)(bottom - top) <= 0) {
            return NULL;
        }
        /* relaxed: published by J2; when the swap fails it is not looked at. */
        skua_job *job = skua__aptr_load(skua__jobs_at(jobs, top), memory_order_relaxed);
        /* seq_cst J3: read before it is given up; pairs with acquire J3 in skua__jobs_push() */
        if (skua__a64_cas(&jobs->top, &top, top + 1, memory_order_seq_cst)) {
            return job;
        }
        top = skua__a64_load(&jobs->top, memory_order_seq_cst); /* seq_cst J3: see the head */
    }
}

/* How many jobs lie there, about. */
static inline uint64_t
skua__jobs_count(const skua__jobs *jobs) {
    uint64_t top = skua__a64_load(&jobs->top, memory_order_seq_cst); /* seq_cst W1: see below */
    /* seq_cst W1: a sleeper looks after it was counted; pairs with seq_cst W1 in skua__jobs_push() */
    uint64_t bottom = skua__a64_load(&jobs->bottom, memory_order_seq_cst);
    return (int64_t)(bottom - top) > 0 ? bottom - top : 0;
}

static inline bool
skua__jobs_any(const skua__jobs *jobs) {
    return skua__jobs_count(jobs) > 0;
}

#endif
