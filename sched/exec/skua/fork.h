// SPDX-License-Identifier: MPL-2.0
// Fork and join: calls that any worker may run until they are synced, in a few instructions each. skua/exec.h includes this.
#ifndef SKUA_FORK_H
#define SKUA_FORK_H

#include <skua/common.h>
#include <skua/worker.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One forked call. Only the functions below touch it. Its layout and that of the trap are part of the ABI, because
 * spawn and sync are compiled into the program.
 */
#define SKUA_FRAME_BYTES 32

typedef struct skua_slot {
    skua_fn *fn;
    void *frame;
    uint64_t state;                      /* who took it, whether it is done: the executor's */
    void *origin;                        /* the executor's */
    uint64_t room[SKUA_FRAME_BYTES / 8]; /* see SKUA_FRAME() */
} skua_slot;

/*
 * A worker's slots lie in one block aligned to its size, and the block begins with the trap: two addresses that the fast
 * paths compare with, and that any thread moves when it wants the worker's attention.
 */
#define SKUA_STACK_BYTES ((size_t)1 << 20)

typedef struct skua_trap {
    skua_slot *spawn_below; /* a spawn at or above this slot takes the slow path */
    skua_slot *sync_from;   /* a sync under this slot takes the slow path */
} skua_trap;

/* What a sync found: where the top is now, and whether the caller is to run the call. */
typedef struct skua_taken {
    skua_slot *top;
    bool run;
} skua_taken;

static inline skua_trap *
skua_worker_trap(skua_worker w) {
    return (skua_trap *)(void *)((char *)w.top - ((uintptr_t)w.top & (SKUA_STACK_BYTES - 1)));
}

/** The slow path of skua_spawn(). Returns: the new top. Threads: worker. Blocks: never. Since 0.1. */
SKUA_API skua_slot *skua_spawn_slow(skua_slot *slot);
/** The slow path of skua_take_back(). Returns: what it found. Threads: worker. Blocks: as sync. Since 0.1. */
SKUA_API skua_taken skua_sync_slow(skua_slot *slot);
/** Ends a program that is built for debugging unless w is good here; call is named. Returns: nothing. Threads: worker. Blocks: never. Since 0.1. */
SKUA_API void skua_fork_check(skua_worker w, const char *call);
/** The same for skua_spawn(), and unless there is something to call. Returns: nothing. Threads: worker. Blocks: never. Since 0.1. */
SKUA_API void skua_spawn_check(skua_worker w, skua_fn *fn);
/** The same, and unless the newest fork is this call. Returns: nothing. Threads: worker. Blocks: never. Since 0.1. */
SKUA_API void skua_sync_check(skua_worker w, skua_fn *fn, const void *frame);

/*
 * SKUA_FRAME(w, type): room for a small frame, of SKUA_FRAME_BYTES at most, in the slot that the next fork takes: so no
 * local variable has its address taken, and a thief finds the arguments beside the function. It is for calls that are
 * ended by skua_take_back(), because the arguments are gone as soon as the caller spawns or calls anything. After a
 * skua_take_back() that answers false it leads to the frame of the call that ended, until the next spawn.
 */
#define SKUA_FRAME(w, type)                                                                        \
    ((type *)((void)sizeof(char[sizeof(type) <= SKUA_FRAME_BYTES ? 1 : -1]), (void *)(w).top->room))

/**
 * Forks the call fn(w, frame): any worker may run it from now on, until the matching skua_sync(). Forks nest: the last
 * one forked is the first to be synced, and all are before the function that forked them returns. When the
 * stack of slots is full, nobody else can take the call: its sync runs it.
 *
 * fn: not NULL: a program that is built for debugging ends with a line that names skua_spawn; one that is built for speed is not
 * told, and crashes where the call is run. frame: borrowed until the sync has returned; a local variable is fine, and so is SKUA_FRAME().
 * Returns: nothing; there are no errors.
 * Threads: worker (the one that w belongs to). Blocks: never. Since 0.1.
 */
static inline void
skua_spawn(skua_worker *w, skua_fn *fn, void *frame) {
#ifndef NDEBUG
    skua_spawn_check(*w, fn);
#endif
    skua_slot *slot = w->top;
    skua_trap *trap = skua_worker_trap(*w);
    slot->fn = fn;
    slot->frame = frame;
#ifndef NDEBUG
    slot->origin = (char *)slot + 1;
#endif
    w->top = slot + 1;
    /* relaxed: a trap that is seen one spawn later is early enough. */
    if (__builtin_expect(slot >= __atomic_load_n(&trap->spawn_below, __ATOMIC_RELAXED), 0)) {
        w->top = skua_spawn_slow(slot);
    }
}

/**
 * Takes the newest forked call back, if nobody has taken it: then the caller runs it, in whatever way suits it. Else it
 * waits until the call is done, running only calls that it forked itself, directly or not.
 *
 * Returns: true when the caller is to run the call; false when its frame holds the result.
 * Threads: worker (the one that w belongs to). Blocks: until the call is done. Since 0.1.
 */
static inline SKUA_MUST_CHECK bool
skua_take_back(skua_worker *w) {
#ifndef NDEBUG
    skua_fork_check(*w, "skua_take_back");
#endif
    skua_slot *slot = w->top - 1;
    skua_trap *trap = skua_worker_trap(*w);
    bool run = true;
    w->top = slot;
    /* relaxed: as in skua_spawn(); what lies at or above this address was never anybody else's. */
    if (__builtin_expect(slot < __atomic_load_n(&trap->sync_from, __ATOMIC_RELAXED), 0)) {
        skua_taken taken = skua_sync_slow(slot);
        w->top = taken.top;
        run = taken.run;
    }
#ifndef NDEBUG
    if (w->top == slot) {
        slot->origin = NULL;
    }
#endif
    return run;
}

/**
 * Ends the newest forked call, which must be fn(w, frame): runs it here if nobody has taken it, else waits until it is
 * done, running only calls that it forked itself, directly or not.
 *
 * frame: not one of SKUA_FRAME(): see there.
 * Returns: nothing; in debug builds an assertion fails when fn and frame are not those of the newest fork.
 * Threads: worker (the one that w belongs to). Blocks: until the call is done. Since 0.1.
 */
static inline void
skua_sync(skua_worker *w, skua_fn *fn, void *frame) {
#ifndef NDEBUG
    skua_sync_check(*w, fn, frame);
#endif
    if (skua_take_back(w)) {
        fn(*w, frame);
    }
}

/* Forks that nobody was shown, from which on another one is not wanted: see docs/design/exec.md, section 3. */
#ifndef SKUA_FORKS_KEPT
#define SKUA_FORKS_KEPT 4
#endif

/**
 * Whether forking is of use now: somebody has no work, or fewer than SKUA_FORKS_KEPT of this worker's forks wait for who will ask
 * next. Where calls are short, as in the nodes of a tree, ask once before each one's calls, fork them where the answer is true, and
 * else call the same functions directly, which ask anew: so nearly all run at the price of plain calls, and still no worker is
 * without work for longer than another one takes from question to question. It costs two loads of a line that nobody else writes
 * but to ask. Always true in deterministic mode. (Mohr, Kranz, Halstead: Lazy Task Creation, 1990; Duran and others: An Adaptive
 * Cut-off for Task Parallelism, 2008.)
 *
 * Returns: the answer; there are no errors. It is a hint: forks and direct calls are right with any answer.
 * Threads: worker (the one that w belongs to). Blocks: never. Since 0.1.
 */
static inline bool
skua_fork_wanted(skua_worker w) {
#ifndef NDEBUG
    skua_fork_check(w, "skua_fork_wanted");
#endif
    skua_trap *trap = skua_worker_trap(w);
    /*
     * relaxed, both: seen one question later is early enough. The slots from sync_from to the top are those that nobody was shown;
     * who asks for work moves spawn_below, so that the next spawn, and only a spawn, is sure to give him some.
     */
    uintptr_t shown = (uintptr_t)__atomic_load_n(&trap->sync_from, __ATOMIC_RELAXED);
    bool wanted = (uintptr_t)(w.top - SKUA_FORKS_KEPT) < shown ||
                  w.top >= __atomic_load_n(&trap->spawn_below, __ATOMIC_RELAXED);
    return __builtin_expect(wanted, 0); /* the plain calls are what is to be fast */
}

#ifdef __cplusplus
}
#endif
#endif
