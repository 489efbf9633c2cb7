// SPDX-License-Identifier: MPL-2.0
// Deterministic mode: no threads. Who waits (or closes) plays the one worker on his own thread, and a seed draws what a real
// executor leaves to chance: which waiting job is next, and which forked call a thief would take, and when.
//
// A call that a thief would have taken runs on top of the stack, in the middle of a spawn, as if the owner's thread had been
// stopped there; what is drawn is so a schedule that a real executor could have had. The same program, used from one thread,
// with the same seed gives the same order. One thing such a schedule cannot do: go on with what lies under it. A wait for that,
// with nothing left to run, ends as if its time had run out.
#include "engine.h"

enum {
    REPLAY_THIEF_ODDS = 4, /* a thief comes at one spawn of so many */
};

static skua__a64 *
state_of(const skua_slot *slot) {
    return (skua__a64 *)(void *)(uintptr_t)&slot->state;
}

skua_status
skua__replay_open(skua_exec *exec, skua_error *err) {
    skua__worker *worker = &exec->workers[0];
    skua_status status = skua__worker_open(exec, 0, err);
    if (status != SKUA_OK) {
        return status;
    }
    /* The trap stays sprung: every spawn and sync comes here. So the mark can be the very top. */
    worker->mark = 0;
    worker->stack->trap.spawn_below = NULL;
    worker->stack->trap.sync_from = (skua_slot *)UINTPTR_MAX;
    worker->rand.state = exec->replay_seed;
    exec->replay_jobs = NULL;
    skua__a32_store(&exec->places, 1, memory_order_release); /* release N1: no thread yet */
    return SKUA_OK;
}

/* ---- Jobs ---- */

/* Takes one of the jobs that wait, as the seed draws. */
static skua_job *
draw_job(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    uint32_t count = 0;
    for (skua_job *job; (job = skua__take_job(worker)) != NULL;) {
        job->next = exec->replay_jobs;
        exec->replay_jobs = job;
    }
    for (const skua_job *job = exec->replay_jobs; job; job = job->next) {
        count++;
    }
    if (count == 0) {
        return NULL;
    }
    skua_job **link = &exec->replay_jobs;
    for (uint32_t n = skua__rand_below(&worker->rand, count); n > 0; n--) {
        link = &(*link)->next;
    }
    skua_job *job = *link;
    *link = job->next;
    job->next = NULL;
    return job;
}

bool
skua__replay_until(skua_exec *exec, const skua__parker *parker) {
    skua__worker *worker = &exec->workers[0];
    bool outside = !skua__worker_here(exec);
    skua__worker *before = NULL;
    if (outside) {
        skua__mutex_lock(&exec->replay_lock);
        before = skua__worker_enter(worker);
    }
    skua_job *job = NULL;
    while (!(parker && skua__park_ready(parker)) && (job = draw_job(worker)) != NULL) {
        skua__worker_run(worker, job);
    }
    if (outside) {
        skua__worker_enter(before);
        skua__mutex_unlock(&exec->replay_lock);
    }
    return outside || (parker && skua__park_ready(parker));
}

/* ---- Forks ---- */

/* Runs the call in a slot as a thief would, on top of what waits here. */
static void
run_as_thief(skua__worker *worker, skua_slot *slot, uint32_t base) {
    skua__stack *stack = worker->stack;
    const skua__frame *origin = skua__origin_of(slot);
    const skua__frame *before = worker->frame;
    skua__frame here = {
        .parent = origin, .outer = before, .group = origin ? origin->group : NULL, .base = base};
    /* relaxed: one thread */
    skua__a64_store(state_of(slot), EXEC_STATE_DONE, memory_order_relaxed);
    worker->frame = &here;
    worker->mark = base;
    skua__stat_add(worker, EXEC_STAT_STEALS, 1);
    skua__trace(worker, EXEC_TRACE_STEAL, worker->index);
    slot->fn((skua_worker){&stack->slots[base]}, slot->frame);
    skua__trace(worker, EXEC_TRACE_END, 0);
    assert(worker->mark == base && "a forked call returned before its sync");
    worker->frame = before;
}

skua_slot *
skua__replay_spawn(skua__worker *worker, skua_slot *slot) {
    skua__stack *stack = worker->stack;
    uint32_t top = (uint32_t)(slot - stack->slots) + 1;
    slot->origin = (void *)((uintptr_t)worker->frame | (uintptr_t)skua__mark_of_fork(slot));
    skua__a64_store(state_of(slot), 0, memory_order_relaxed); /* relaxed: one thread */
    while (skua__rand_below(&worker->rand, REPLAY_THIEF_ODDS) == 0) {
        skua_slot *taken = &stack->slots[skua__rand_below(&worker->rand, top)];
        if (skua__a64_load(state_of(taken), memory_order_relaxed) == 0) { /* relaxed: one thread */
            run_as_thief(worker, taken, top);
        }
    }
    worker->mark = top;
    return slot + 1;
}

skua_taken
skua__replay_sync(skua__worker *worker, skua_slot *slot) {
    worker->mark = (uint32_t)(slot - worker->stack->slots);
    bool done = skua__a64_load(state_of(slot), memory_order_relaxed) != 0; /* relaxed: one thread */
    return (skua_taken){.top = slot, .run = !done};
}
