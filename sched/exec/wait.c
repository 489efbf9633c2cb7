// SPDX-License-Identifier: MPL-2.0
// Waits of threads. A worker's place goes to a spare meanwhile (skua_worker_block_begin() is the same for waits of the program), so that waiting does not stop an executor; a wait that would
// close a circle of waits is refused; and when all workers wait and none is left to stand in, that is said once.
//
// A circle. A worker that waits without a limit notes for what. What it runs, a chain of frames, cannot end before that; nor
// can a call that was stolen from some frame let that one end. So target cannot end before our own wait does when some worker
// waits whose frames lead to target, and what that one waits for is, in the same way, held up by us. Everybody notes and
// looks under one lock, so the last to close a circle sees all of it. Frames of a worker that waits do not change, nor do those
// that they lead to (engine.h). A wait with a limit is no part of a circle, since it ends.
#include "engine.h"

#include <skua-int/clock.h>

enum {
    WAIT_DEEP_MS = 10, /* in a deep stack somebody else has so long to begin what we wait for */
    WAIT_FRAMES_MAX = 4096, /* looked at per worker; beyond that no circle is seen */
    WAIT_WORKERS_NAMED = 4, /* when all wait */
};

/* ---- A place given away ---- */

bool
skua__block_begin_locked(skua__worker *worker) {
    if (worker->block_depth++ > 0) {
        return false;
    }
    skua__a32 *active = &worker->exec->active;
    /* relaxed: under the lock. A worker that has not yet noticed that it could retire is as good as a new one. */
    uint32_t before = skua__a32_sub(active, 1, memory_order_relaxed);
    skua__stand_in_locked(worker->exec);
    skua__lease_note_locked(worker->exec);
    return skua__a32_load(active, memory_order_relaxed) == before; /* relaxed: same */
}

void
skua__block_end_locked(skua__worker *worker) {
    assert(worker->block_depth > 0 && "skua_worker_block_end: there was no block_begin");
    if (worker->block_depth > 0 && --worker->block_depth == 0) {
        skua__a32_add(&worker->exec->active, 1, memory_order_relaxed); /* relaxed: locked */
        skua__lease_note_locked(worker->exec);
    }
}

void
skua_worker_block_begin(skua_worker w) {
    assert(w.top && "w is empty: a worker is handed to each task");
    skua__worker *worker = skua__stack_of(w.top)->worker;
    skua__mutex_lock(&worker->exec->sleep_lock);
    (void)skua__block_begin_locked(worker);
    skua__mutex_unlock(&worker->exec->sleep_lock);
}

void
skua_worker_block_end(skua_worker w) {
    assert(w.top && "w is empty: a worker is handed to each task");
    skua__worker *worker = skua__stack_of(w.top)->worker;
    skua__mutex_lock(&worker->exec->sleep_lock);
    skua__block_end_locked(worker);
    skua__mutex_unlock(&worker->exec->sleep_lock);
}

/* ---- Circles ---- */

/* Whether a frame, or one that it must return to, is (a part of) target. */
static bool
is_part_of(const skua__frame *frame, const void *target, uint32_t *frames_left) {
    while (frame && *frames_left > 0) {
        --*frames_left;
        if (frame->job == target || frame->group == target ||
            (frame->outer != frame->parent && is_part_of(frame->outer, target, frames_left))) {
            return true;
        }
        frame = frame->parent;
    }
    return false;
}

static bool
holds_up(const skua__worker *worker, const void *target) {
    uint32_t frames_left = WAIT_FRAMES_MAX;
    return is_part_of(worker->frame, target, &frames_left);
}

/* Whether target cannot end before what this worker runs goes on. */
static bool
leads_back_locked(skua_exec *exec, const skua__worker *self, const void *target) {
    if (holds_up(self, target)) {
        return true;
    }
    uint32_t places = skua__a32_load(&exec->places, memory_order_relaxed); /* relaxed: locked */
    for (uint32_t i = 0; i < places; i++) {
        skua__worker *other = &exec->workers[i];
        if (!other->waits_for || other->wait_seen || !holds_up(other, target)) {
            continue;
        }
        other->wait_seen = true;
        if (leads_back_locked(exec, self, other->waits_for)) {
            return true;
        }
    }
    return false;
}

static bool
closes_circle_locked(skua_exec *exec, const skua__worker *self, const void *target) {
    uint32_t places = skua__a32_load(&exec->places, memory_order_relaxed); /* relaxed: locked */
    for (uint32_t i = 0; i < places; i++) {
        exec->workers[i].wait_seen = false;
    }
    return leads_back_locked(exec, self, target);
}

/* ---- Waiting ---- */

/* No worker is left that could begin a job. */
static bool
is_stuck_locked(const skua_exec *exec) {
    /* relaxed: under the lock */
    return skua__target(exec) > 0 && skua__a32_load(&exec->active, memory_order_relaxed) == 0;
}

static void
say_stuck(skua_exec *exec) {
    uint64_t waiting = 0;
    (void)skua__jobs_under_way(exec, &waiting);
    skua__mutex_lock(&exec->sleep_lock);
    bool says = waiting > 0 && is_stuck_locked(exec) && !exec->told_stuck;
    exec->told_stuck |= says;
    skua__mutex_unlock(&exec->sleep_lock);
    if (says) {
        skua__say(exec,
                  "for %d ms all workers have waited, %llu jobs cannot begin, and no spare is left "
                  "(the option spares): let those jobs be waited for in their group or future, or "
                  "from outside",
                  (int)exec->close_warn_ms, (unsigned long long)waiting);
        skua__say_who_runs(exec, "in a wait", WAIT_WORKERS_NAMED);
    }
}

skua_status
skua__wait(skua_exec *exec, skua__parker *parker, int64_t deadline_ns, const void *target,
           bool is_deep) {
    skua__worker *here = skua__worker_any();
    if (!here) {
        return skua__await(exec, parker, deadline_ns) ? SKUA_OK : SKUA_E_TIMEOUT;
    }
    skua_exec *own = here->exec; /* it may wait for another one's */
    skua__mutex_lock(&own->sleep_lock);
    bool notes = target && own == exec && deadline_ns == SKUA_NEVER_NS && !own->replay_seed;
    if (notes && closes_circle_locked(own, here, target)) {
        skua__mutex_unlock(&own->sleep_lock);
        return SKUA_E_DEADLOCK;
    }
    /* Workers that are active may be so in the wait for a call that waits for us: only a new one is sure to look at the queue. */
    bool waits = skua__block_begin_locked(here) || !is_deep;
    bool warns =
        waits && !is_deep && is_stuck_locked(own) && !own->told_stuck && own->close_warn_ms > 0;
    here->waits_for = waits && notes ? target : NULL;
    skua__mutex_unlock(&own->sleep_lock);
    int64_t first_ns = warns     ? skua__deadline_ns(own->close_warn_ms)
                       : is_deep ? skua__deadline_ns(WAIT_DEEP_MS)
                                 : SKUA_NEVER_NS;
    bool is_first = first_ns < deadline_ns; /* the first of two waits */
    bool in_time = waits && skua__await(exec, parker, is_first ? first_ns : deadline_ns);
    if (waits && !in_time && is_first && !is_deep) {
        say_stuck(own);
        in_time = skua__await(exec, parker, deadline_ns);
    }
    skua__mutex_lock(&own->sleep_lock);
    here->waits_for = NULL;
    skua__block_end_locked(here);
    skua__mutex_unlock(&own->sleep_lock);
    if (in_time) {
        return SKUA_OK;
    }
    return !waits || (is_deep && is_first) ? SKUA_E_AGAIN : SKUA_E_TIMEOUT;
}
