// SPDX-License-Identifier: MPL-2.0
// Timers: a pairing heap of deadlines, the thread that sleeps until the first of them, and the job that calls back.
//
// A timer is in the heap while it is set, and busy from when it is due until its call has ended or was dropped. Its own
// group counts the call, so that a cancel drops it from the queue, or waits for it, as for any other group; the thread
// holds the group while it submits, so that the timer cannot end under its hands.
//
//   idle --(set)--> in the heap --(due)--> busy: queued --> runs --> idle
//                       ^                    | (a period: back into the heap at once; due while busy: left out)
//                       \--------------------/
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua/timer.h>

#include <stdio.h>

enum {
    TIMER_RETRY_MS = 1, /* until the next try when the queue is full */
};

typedef struct skua__timer {
    skua_timer_fn *fn;
    skua_exec *exec; /* NULL until it is set for the first time */
    skua_job job;
    skua_group group;
    int64_t deadline_ns;
    int64_t period_ns; /* 0: once */
    uint64_t order;
    uint32_t fork_generation; /* in which it was set: after a fork() nothing of it holds any more */
    struct skua__timer *child, *sibling, *previous; /* previous: the one before it, or its parent */
    bool is_set;                                    /* in the heap */
    bool is_busy;                                   /* queued or running */
    bool is_due;                                    /* set anew by its own call, and due already */
    uint32_t cancels; /* under way: what its own call sets anew meanwhile would be removed */
    skua__a64 missed;
} skua__timer;

static_assert(sizeof(skua__timer) <= sizeof(skua_timer), "the body fits the public struct");

static skua__timer *
body_of(const skua_timer *timer) {
    return (skua__timer *)(void *)(uintptr_t)timer;
}

/* ---- The heap: Fredman, Sedgewick, Sleator and Tarjan, "The pairing heap" (1986) ---- */

static bool
is_before(const skua__timer *a, const skua__timer *b) {
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->order < b->order;
}

/* Both are roots, or NULL. */
static skua__timer *
meld(skua__timer *a, skua__timer *b) {
    if (!a || !b) {
        return a ? a : b;
    }
    skua__timer *root = is_before(b, a) ? b : a;
    skua__timer *below = root == a ? b : a;
    below->previous = root;
    below->sibling = root->child;
    if (root->child) {
        root->child->previous = below;
    }
    root->child = below;
    return root;
}

/* Makes one heap of a list of siblings: pairs from the left, then all of them from the right. */
static skua__timer *
meld_all(skua__timer *list) {
    skua__timer *pairs = NULL, *root = NULL;
    while (list) {
        skua__timer *a = list, *b = a->sibling;
        list = b ? b->sibling : NULL;
        a->sibling = a->previous = NULL;
        if (b) {
            b->sibling = b->previous = NULL;
        }
        a = meld(a, b);
        a->sibling = pairs;
        pairs = a;
    }
    while (pairs) {
        skua__timer *next = pairs->sibling;
        pairs->sibling = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

static void
insert_locked(skua__timers *timers, skua__timer *timer) {
    timer->order = timers->set_count++;
    timer->child = timer->sibling = timer->previous = NULL;
    timer->is_set = true;
    timers->root = meld(timers->root, timer);
    if (timers->root == timer) {
        skua__cond_signal(&timers->wake);
    }
}

static void
remove_locked(skua__timers *timers, skua__timer *timer) {
    if (!timer->is_set) {
        return;
    }
    timer->is_set = false;
    if (timer == timers->root) {
        timers->root = meld_all(timer->child);
        return;
    }
    if (timer->previous->child == timer) {
        timer->previous->child = timer->sibling;
    } else {
        timer->previous->sibling = timer->sibling;
    }
    if (timer->sibling) {
        timer->sibling->previous = timer->previous;
    }
    timers->root = meld(timers->root, meld_all(timer->child));
}

/* ---- Calling ---- */

static void
count_missed(skua__timer *timer, uint64_t calls) {
    skua__a64_add(&timer->missed, calls, memory_order_relaxed); /* relaxed: a figure */
}

static void
run_timer_job(skua_worker w, skua_job *job) {
    skua__timer *timer = SKUA_CONTAINER_OF(job, skua__timer, job);
    skua__timers *timers = &timer->exec->timers;
    skua__note_running(skua__stack_of(w.top)->worker, (void *)(uintptr_t)timer->fn);
    timer->fn(w, (skua_timer *)(void *)timer);
    skua__mutex_lock(&timers->lock);
    timer->is_busy = false;
    if (timer->is_due) {
        timer->is_due = false;
        insert_locked(timers, timer);
    }
    skua__mutex_unlock(&timers->lock);
}

/* The next beat after now. */
static void
next_beat(skua__timer *timer, int64_t now_ns) {
    int64_t beats = (now_ns - timer->deadline_ns) / timer->period_ns;
    count_missed(timer, (uint64_t)beats);
    int64_t last_ns = timer->deadline_ns + beats * timer->period_ns;
    timer->deadline_ns =
        last_ns > SKUA_NEVER_NS - timer->period_ns ? SKUA_NEVER_NS : last_ns + timer->period_ns;
}

/* The first timer is due. Leaves the lock for the submission. */
static void
fire_locked(skua__timers *timers, skua__timer *timer, int64_t now_ns) {
    remove_locked(timers, timer);
    if (timer->period_ns > 0) {
        next_beat(timer, now_ns);
        insert_locked(timers, timer);
    }
    if (timer->is_busy) {
        timer->is_due = timer->period_ns == 0;
        count_missed(timer, timer->period_ns > 0 ? 1 : 0);
        return;
    }
    timer->is_busy = true;
    timers->fires = true;
    skua__group_renew(&timer->group, timer->exec);
    skua__mutex_unlock(&timers->lock);
    skua_status status = skua_group_submit(&timer->group, &timer->job);
    if (status != SKUA_OK) {
        skua__mutex_lock(&timers->lock);
        if (status == SKUA_E_AGAIN) { /* else a cancel came between, and waits for us */
            timer->is_busy = false;
            count_missed(timer, 1);
        }
        if (status == SKUA_E_AGAIN && !timer->is_set) {
            timer->deadline_ns = skua__deadline_ns(TIMER_RETRY_MS);
            insert_locked(timers, timer);
        }
        skua__mutex_unlock(&timers->lock);
    }
    skua__group_done(&timer->group); /* the timer may be gone afterwards */
    skua__mutex_lock(&timers->lock);
    timers->fires = false;
}

static void *
timer_main(void *arg) {
    skua__timers *timers = arg;
    skua__mutex_lock(&timers->lock);
    while (!timers->is_stopping) {
        int64_t now_ns = timers->root ? skua__clock_ns() : 0;
        if (timers->root && timers->root->deadline_ns <= now_ns) {
            fire_locked(timers, timers->root, now_ns);
        } else {
            skua__cond_wait_until(&timers->wake, &timers->lock,
                                  timers->root ? timers->root->deadline_ns : SKUA_NEVER_NS);
        }
    }
    skua__mutex_unlock(&timers->lock);
    return NULL;
}

/* ---- The executor's part ---- */

void
skua__timers_init(skua__timers *timers) {
    memset(timers, 0, sizeof *timers);
    skua__mutex_init(&timers->lock);
    skua__cond_init(&timers->wake);
}

bool
skua__timers_any(skua__timers *timers) {
    skua__mutex_lock(&timers->lock);
    bool any = timers->root || timers->fires;
    skua__mutex_unlock(&timers->lock);
    return any;
}

void
skua__timers_stop(skua__timers *timers) {
    skua__mutex_lock(&timers->lock);
    bool joins = timers->is_started && !timers->is_stopping;
    timers->is_stopping = true;
    skua__cond_signal(&timers->wake);
    skua__mutex_unlock(&timers->lock);
    if (joins) {
        skua__thread_join(timers->thread);
    }
}

void
skua__timers_fini(skua__timers *timers) {
    assert(timers->bound == 0 && "skua_exec_close: a timer was not ended by skua_timer_fini()");
    skua__cond_fini(&timers->wake);
    skua__mutex_fini(&timers->lock);
}

static skua_status
start_locked(skua_exec *exec, skua_error *err) {
    if (exec->timers.is_started) {
        return SKUA_OK;
    }
    char name[16];
    snprintf(name, sizeof name, "%s-time", exec->name);
    skua_status status =
        skua__thread_start(&exec->timers.thread, name, timer_main, &exec->timers, err);
    exec->timers.is_started = status == SKUA_OK;
    return status;
}

/* ---- Calls ---- */

void
skua_timer_init(skua_timer *public, skua_timer_fn *fn) {
    assert(public);
    memset(public, 0, sizeof *public);
    skua__timer *timer = body_of(public);
    timer->fn = fn;
    skua_job_init(&timer->job, run_timer_job);
}

/* Set before a fork(): the thread that would call stayed in the parent, and any lock may be held. */
static bool
is_of_parent(const skua__timer *timer) {
    return timer->exec && timer->fork_generation != skua__fork_generation();
}

static skua_status
set(skua_exec *exec, skua_timer *public, int64_t delay_ms, int64_t period_ns, skua_error *err) {
    skua__timer *timer = body_of(public);
    if (!exec || !timer || !timer->fn) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL",
                         !exec    ? "exec"
                         : !timer ? "timer"
                                  : "the timer's fn");
    }
    if (delay_ms < 0) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "delay_ms is %lld; it is at least 0",
                         (long long)delay_ms);
    }
    skua_status status = skua__exec_check(exec);
    if (status != SKUA_OK) {
        return SKUA_FAIL(err, status, "the executor takes no timer: %s", skua_status_text(status));
    }
    if (exec->replay_seed) {
        return SKUA_FAIL(err, SKUA_E_UNSUPPORTED,
                         "a deterministic executor takes no timer: no two runs take the same time");
    }
    if (is_of_parent(timer)) {
        skua_timer_init(public, timer->fn); /* the executor was rebuilt in the child */
    }
    skua__mutex_lock(&exec->timers.lock);
    if (exec->timers.is_stopping) {
        status = SKUA_FAIL(err, SKUA_E_CLOSED, "the executor is closing");
    } else if (timer->exec && timer->exec != exec) {
        status = SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the timer is another executor's");
    } else {
        status = start_locked(exec, err);
    }
    if (status == SKUA_OK) {
        /* Later it is read without the lock, by a cancel while the timer's own call sets it anew. */
        if (!timer->exec) {
            exec->timers.bound++;
            timer->exec = exec;
            timer->fork_generation = exec->fork_generation;
        }
        remove_locked(&exec->timers, timer);
        timer->is_due = false;
        timer->period_ns = period_ns;
        timer->deadline_ns = skua__deadline_ns(delay_ms);
        if (timer->cancels == 0) {
            insert_locked(&exec->timers, timer);
        }
    }
    skua__mutex_unlock(&exec->timers.lock);
    return status;
}

skua_status
skua_exec_after(skua_exec *exec, skua_timer *timer, int64_t delay_ms, skua_error *err) {
    return set(exec, timer, delay_ms, 0, err);
}

skua_status
skua_exec_every(skua_exec *exec, skua_timer *timer, int64_t period_ms, skua_error *err) {
    if (period_ms < 1 || period_ms > SKUA_NEVER_NS / SKUA_NS_PER_MS) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "period_ms is %lld; it is at least 1",
                         (long long)period_ms);
    }
    return set(exec, timer, period_ms, period_ms * SKUA_NS_PER_MS, err);
}

bool
skua_timer_cancel(skua_timer *public) {
    assert(public);
    skua__timer *timer = body_of(public);
    skua_exec *exec = timer->exec;
    if (!exec || is_of_parent(timer)) {
        return false;
    }
    skua__mutex_lock(&exec->timers.lock);
    bool prevented = timer->is_set || timer->is_due;
    remove_locked(&exec->timers, timer);
    timer->is_due = false;
    if (timer->is_busy) {
        skua_group_cancel(&timer->group, SKUA_E_CANCELLED, NULL);
    }
    bool waits = timer->group.exec != NULL;
    timer->cancels++;
    skua__mutex_unlock(&exec->timers.lock);
    bool own = waits && skua__group_withdraw(&timer->group) == SKUA_E_DEADLOCK;
    skua__mutex_lock(&exec->timers.lock);
    timer->cancels--;
    if (!own) {
        prevented |= timer->is_busy; /* the call was dropped, or taken out of the queue */
        timer->is_busy = false;
    }
    skua__mutex_unlock(&exec->timers.lock);
    return prevented;
}

void
skua_timer_fini(skua_timer *public) {
    skua__timer *timer = body_of(public);
    if (!timer || !timer->exec) {
        return;
    }
    skua_exec *exec = timer->exec;
    if (!is_of_parent(timer)) {
        skua_timer_cancel(public);
        assert(!timer->is_busy && "skua_timer_fini: called by the timer's own call");
        skua_group_fini(&timer->group);
        skua__mutex_lock(&exec->timers.lock);
        exec->timers.bound--;
        skua__mutex_unlock(&exec->timers.lock);
    }
    memset(public, 0, sizeof *public);
}

uint64_t
skua_timer_missed(const skua_timer *timer) {
    assert(timer);
    return skua__a64_load(&body_of(timer)->missed, memory_order_relaxed); /* relaxed: a figure */
}
