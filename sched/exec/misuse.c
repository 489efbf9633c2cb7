// SPDX-License-Identifier: MPL-2.0
// What a program did wrong where no call can return an error: it is said, with the name of the function that did it. The checks
// of spawn and sync are called by inline functions in programs that are built for debugging, and end them.
#include "engine.h"

#include <skua-int/log.h>

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MISUSE_MESSAGE_BYTES = 384,
    MISUSE_NAME_BYTES = 128,
};

/* ---- Saying ---- */

void
skua__say(const skua_exec *exec, const char *format, ...) {
    char message[MISUSE_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (exec->log) {
        skua__log(exec->log, SKUA_LOG_WARNING, "exec", "%s", message);
    } else {
        fprintf(stderr, "skua: %s\n", message);
    }
}

/* The name of a function, as far as the program tells it. */
static void
describe(void *fn, char *ret, size_t size) {
    Dl_info info;
    if (!fn || dladdr(fn, &info) == 0 || !info.dli_fname) {
        snprintf(ret, size, "%p", fn);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash ? slash + 1 : info.dli_fname;
    size_t offset = (size_t)((uintptr_t)fn - (uintptr_t)info.dli_fbase);
    snprintf(ret, size, "%s (%s+0x%zx)", info.dli_sname ? info.dli_sname : "a function", file,
             offset);
}

void
skua__say_who_runs(const skua_exec *exec, const char *call, uint32_t workers_max) {
    char name[MISUSE_NAME_BYTES];
    /* acquire N1: the worker's fields; pairs with release N1 in skua__worker_start() */
    uint32_t places = skua__a32_load(&exec->places, memory_order_acquire);
    for (uint32_t i = 0, named = 0; i < places && named < workers_max; i++) {
        /* relaxed: a function's address, for people. */
        void *running = skua__aptr_load(&exec->workers[i].running, memory_order_relaxed);
        if (running) {
            describe(running, name, sizeof name);
            skua__say(exec, "%s: worker %u runs %s", call, (unsigned)i, name);
            named++;
        }
    }
}

/* ---- A task that returned too early ---- */

/*
 * What it forked may lie in memory that is gone, so nothing of it is run any more; a call that was stolen is waited for,
 * since its thief writes into our slot.
 */
static void
drop_forks(skua_worker w) {
    skua__stack *stack = skua__stack_of(w.top);
    skua__worker *worker = stack->worker;
    uint32_t base = (uint32_t)(w.top - stack->slots);
    worker->overflow = skua__overflow_at(worker, base);
    while (worker->split > base) {
        (void)skua_sync_slow(&stack->slots[worker->split - 1]);
    }
    for (uint32_t i = base; i < worker->mark; i++) {
        stack->slots[i].origin = NULL; /* no fork any more */
    }
}

/* Once per executor: where it happens once it happens often. */
static void
tell_early(skua__worker *worker, const char *what) {
    char name[MISUSE_NAME_BYTES];
    /* relaxed: it only keeps the second one quiet */
    if (skua__a32_exchange(&worker->exec->told_early, 1, memory_order_relaxed) == 0) {
        /* relaxed: we wrote it */
        describe(skua__aptr_load(&worker->running, memory_order_relaxed), name, sizeof name);
        skua__say(worker->exec, "%s returned %s", name, what);
    }
}

void
skua__returned_early(skua_worker w, uint32_t block_depth) {
    skua__worker *worker = skua__stack_of(w.top)->worker;
    if (skua__left_a_fork(w)) {
        tell_early(worker, "before the sync of a forked call: each skua_spawn() needs its "
                           "skua_sync() in the same function");
        assert(false && "skua_spawn: a task returned before the sync of a forked call");
        drop_forks(w);
    }
    if (worker->block_depth != block_depth) {
        tell_early(worker, "between skua_worker_block_begin() and its end");
        assert(false && "skua_worker_block_begin: a task returned before skua_worker_block_end()");
        skua__mutex_lock(&worker->exec->sleep_lock);
        while (worker->block_depth > block_depth) {
            skua__block_end_locked(worker);
        }
        skua__mutex_unlock(&worker->exec->sleep_lock);
    }
}

/* ---- Spawn and sync ---- */

static void
require(bool holds, const char *call, const char *what) {
    if (!holds) {
        fprintf(stderr, "skua: %s: %s\n", call, what);
        abort();
    }
}

void
skua_fork_check(skua_worker w, const char *call) {
    require(w.top != NULL, call, "w is empty; a worker is handed to each task");
    const skua__stack *stack = skua__stack_of(w.top);
    const skua__worker *worker = stack->worker;
    require(worker == skua__worker_here(worker->exec), call,
            "called outside w's worker: w is good on the thread that was given it alone");
    require(!skua__is_forked(w.top), call, "w is stale, a copy from before a fork");
}

void
skua_spawn_check(skua_worker w, skua_fn *fn) {
    skua_fork_check(w, "skua_spawn");
    require(fn != NULL, "skua_spawn", "fn is NULL");
}

void
skua_sync_check(skua_worker w, skua_fn *fn, const void *frame) {
    skua_fork_check(w, "skua_sync");
    const skua__stack *stack = skua__stack_of(w.top);
    if (stack->worker->overflow) {
        return; /* nothing is kept of the newest fork */
    }
    require(w.top > stack->slots, "skua_sync", "more syncs than spawns");
    require(w.top[-1].fn == fn && w.top[-1].frame == frame, "skua_sync",
            "this is not the newest fork");
    require(skua__is_forked(w.top - 1), "skua_sync", "w is stale, a copy from before a sync");
    require(frame != (const void *)w.top->room && frame != (const void *)w.top[-1].room,
            "skua_sync", "a frame of SKUA_FRAME() goes with skua_take_back()");
}
