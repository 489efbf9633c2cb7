// SPDX-License-Identifier: MPL-2.0
// An executor's part in sharing this host's cores with the other executors of its user. docs/design/exec.md says how.
#ifndef SKUA_EXEC_LEASE_H
#define SKUA_EXEC_LEASE_H

#include "lease_rule.h"

#include <skua-int/atomic.h>
#include <skua/lease.h>
#include <stdalign.h>
#include <sys/types.h>

struct skua_exec;
struct skua__worker;
typedef struct skua__lease_segment skua__lease_segment;

/* Guarded by sleep_lock, but for the atomics and what is set before the first thread starts. */
typedef struct skua__lease {
    skua__lease_segment *segment; /* shared memory; NULL: no part in it */
    const char *refused; /* why there is none though it was wanted; NULL: it was not, or there is */
    uint64_t owner;      /* names this process */
    uint32_t slot;       /* ours in the segment */
    bool always;         /* the option lease is SKUA_LEASE_ALWAYS */
    bool fixed;          /* we tell what we use, and do not follow our share */
    uint32_t awake;      /* workers that do not sleep, as told */
    uint32_t told_most;  /* what we wish, as told */
    uint32_t pools;      /* awake, ourselves included, at the last look */
    struct skua__worker
        *watcher; /* the resting worker that looks now and then while we have less than we wish */
    bool watcher_sleeps;    /* until one of ours wakes */
    skua__a32 looks_around; /* our number may depend on the others */
    skua__a64 seen;         /* the segment's generation at the last look */
    skua__a64 again_ns;     /* no look before that */
    skua__a64 census_ns;    /* no search for dead processes that look alive before that */
    uint32_t looks;         /* for tests */
} skua__lease;

/* The beginning of the segment: what workers compare on their way to the next job. */
typedef struct skua__lease_head {
    skua__a64 magic;
    skua__a64 generation; /* changes when somebody comes, goes, falls asleep or wakes */
    skua__a32 highest;    /* slots that were ever used */
} skua__lease_head;

#define SKUA__LEASE_FIXED (UINT64_C(1) << 32) /* in most */

/* What one executor tells the others. */
typedef struct skua__lease_slot {
    alignas(64) skua__a64 owner; /* 0: free */
    skua__a64 awake, share;
    skua__a64 most; /* the workers wished, and SKUA__LEASE_FIXED */
    skua__a64 quota, quota_workers;
    skua__a64 cpus[LEASE_CPU_WORDS];
} skua__lease_slot;

struct skua__lease_segment {
    skua__lease_head head; /* first: see skua__lease_moved() */
    skua__lease_slot slots[LEASE_POOLS_MAX];
};

/* The key of the user's segment. */
key_t skua__lease_ipc_key(uint32_t key);

/* Whether somebody came, went, fell asleep or woke since our last look. */
static inline bool
skua__lease_moved(const skua__lease *lease) {
    /* relaxed: a hint, all of it; skua__lease_look() acquires */
    return lease->segment && skua__a32_load(&lease->looks_around, memory_order_relaxed) &&
           skua__a64_load(&((const skua__lease_head *)(const void *)lease->segment)->generation,
                          memory_order_relaxed) !=                 /* relaxed: as above */
               skua__a64_load(&lease->seen, memory_order_relaxed); /* relaxed: as above */
}

/* Takes part, where options want it and the system lets it. Never fails: then there is no lease, and `refused` says why. */
void skua__lease_join(struct skua_exec *exec, const skua_exec_options *options);
/* The same with a new slot, in the child of a fork(). */
void skua__lease_join_again(struct skua_exec *exec);
/* The threads have ended. */
void skua__lease_leave(struct skua_exec *exec);
/* Reads the others' wishes and changes our share; at most once in LEASE_GAP_NS. */
void skua__lease_look(struct skua_exec *exec);
/* Tells how many workers are awake, and wakes the watcher with the first. Called where active or asleep has changed. */
void skua__lease_note_locked(struct skua_exec *exec);
/* The same for the number of workers that we wish. */
void skua__lease_wish_locked(struct skua_exec *exec);
/* Tells again where we may run, after our mask or quota may have changed. By a worker that is not bound. */
void skua__lease_places(struct skua_exec *exec);
/* Before a worker rests: when it is to call skua__lease_look() again; SKUA_NEVER_NS: it is not the watcher. */
int64_t skua__lease_watch_locked(struct skua__worker *worker);
/* It rests no more: another one watches in its place. */
void skua__lease_unwatch_locked(struct skua__worker *worker);

#endif
