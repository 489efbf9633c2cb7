// SPDX-License-Identifier: MPL-2.0
// Waits of threads. A worker's place goes to a spare meanwhile (skua_worker_block_begin() is the same for waits of the program), so that waiting does not stop an executor; a wait that would
// close a circle of waits is refused; and when nothing goes on any more while somebody waits, that is said once.
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
    WAIT_LOOKS_APART = 64,  /* one of so many parts of the time, for each worker before this one */
    WAIT_LOOK_MAX_MS = 1 << 28, /* three days: after that nobody looks any more */
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

/* ---- What nobody can end ---- */

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

/* What workers began: tasks, and waits. */
static uint64_t
steps_locked(const skua_exec *exec) {
    uint64_t steps = exec->waits_begun;
    uint32_t places = skua__a32_load(&exec->places, memory_order_relaxed); /* relaxed: locked */
    for (uint32_t i = 0; i < places; i++) {
        const skua__a64 *tasks = &exec->workers[i].stats[EXEC_STAT_TASKS];
        steps += skua__a64_load(tasks, memory_order_relaxed); /* relaxed: a figure */
    }
    return steps;
}

/* Whether all workers but us sleep, for whatever reason, and nobody has woken them. */
static bool
all_sleep_locked(const skua_exec *exec, const skua__worker *self, uint32_t *ret_waiting) {
    uint32_t places = skua__a32_load(&exec->places, memory_order_relaxed); /* relaxed: locked */
    *ret_waiting = 0;
    for (uint32_t i = 0; i < places; i++) {
        const skua__worker *worker = &exec->workers[i];
        if (worker != self &&
            !skua__park_sleeps(worker->waits_in ? worker->waits_in : &worker->parker)) {
            return false;
        }
        *ret_waiting += worker->waits_in != NULL;
    }
    return true;
}

/*
 * No timer is set, no pause holds jobs back, and all sleep: so only somebody else can make this executor go on. It is said when
 * that is so and nothing was begun since the look before. Timers come first, then jobs: what one submits waits then, or somebody
 * is awake for it.
 */
static void
say_still(const skua__worker *self, uint64_t *before, int64_t waited_ms) {
    skua_exec *exec = self->exec;
    uint64_t jobs = 0;
    uint32_t waiting = 0;
    bool says = !skua__timers_any(&exec->timers);
    (void)skua__jobs_under_way(exec, &jobs);
    skua__mutex_lock(&exec->sleep_lock);
    bool is_held = jobs > 0 && skua__target(exec) == 0;
    bool is_said = exec->told_still || (jobs > 0 && exec->told_stuck && is_stuck_locked(exec));
    uint64_t steps = steps_locked(exec);
    says = says && !is_held && !is_said && self->waits_in && !skua__park_ready(self->waits_in) &&
           *before == steps && all_sleep_locked(exec, self, &waiting);
    *before = steps;
    exec->told_still |= says;
    skua__mutex_unlock(&exec->sleep_lock);
    if (says) {
        skua__say(
            exec,
            "for %lld ms nothing has run, and %u tasks wait without a limit (and %llu jobs to "
            "begin): unless another thread or executor ends one of these waits, they wait for "
            "each other",
            (long long)waited_ms, (unsigned)waiting, (unsigned long long)jobs);
        skua__say_who_runs(exec, "in a wait", WAIT_WORKERS_NAMED);
    }
}

/*
 * Waits, and looks up now and then, after twice as long each time: what it says is that jobs cannot begin, or that nothing goes
 * on. No two workers look at the same times, since each takes the other for awake then.
 */
static bool
wait_watchfully(skua__worker *self, skua_exec *exec, skua__parker *parker, int64_t deadline_ns) {
    uint64_t before = UINT64_MAX;
    int64_t look_ms = self->exec->close_warn_ms;
    look_ms += look_ms * self->index / WAIT_LOOKS_APART;
    for (;; look_ms *= 2) {
        int64_t look_ns = skua__deadline_ns(look_ms);
        bool is_last = look_ns >= deadline_ns || look_ms > WAIT_LOOK_MAX_MS;
        if (skua__await(exec, parker, is_last ? deadline_ns : look_ns)) {
            return true;
        }
        if (is_last) {
            return false;
        }
        say_stuck(self->exec);
        say_still(self, &before, look_ms);
    }
}

/* ---- Waiting ---- */

skua_status
skua__wait(skua_exec *exec, skua__parker *parker, int64_t deadline_ns, const void *target,
           bool is_deep) {
    skua__worker *here = skua__worker_any();
    if (!skua__time_left(exec, deadline_ns)) {
        return SKUA_E_TIMEOUT; /* nobody is to be woken, or started, in place of who only looks */
    }
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
    bool watches = waits && !is_deep && own->close_warn_ms > 0 && !exec->replay_seed;
    here->waits_for = waits && notes ? target : NULL;
    here->waits_in = waits && deadline_ns == SKUA_NEVER_NS ? parker : NULL;
    own->waits_begun++;
    skua__mutex_unlock(&own->sleep_lock);
    int64_t deep_ns = is_deep ? skua__deadline_ns(WAIT_DEEP_MS) : SKUA_NEVER_NS;
    bool is_first = deep_ns < deadline_ns; /* it is to help later on */
    bool in_time = watches ? wait_watchfully(here, exec, parker, deadline_ns)
                           : waits && skua__await(exec, parker, is_first ? deep_ns : deadline_ns);
    skua__mutex_lock(&own->sleep_lock);
    here->waits_for = NULL;
    here->waits_in = NULL;
    skua__block_end_locked(here);
    skua__mutex_unlock(&own->sleep_lock);
    if (in_time) {
        return SKUA_OK;
    }
    return !waits || is_first ? SKUA_E_AGAIN : SKUA_E_TIMEOUT;
}
