// SPDX-License-Identifier: MPL-2.0
// Worker threads: finding work, running it, sleeping, and spares that stand in for blocked workers.
//
// No lost wake-up. A worker that goes to sleep is counted in asleep first, and looks for work once more after that; who
// publishes work looks at asleep after it. Both sides are sequentially consistent (W1), so one of them sees the
// other. A worker that looks around is counted in searching, and counts as awake: it takes itself out of it before
// its last look. Whoever takes work while more is in sight wakes the next sleeper.
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <stdio.h>

enum {
    WORKER_LOOKS = 32, /* looks around between two readings of the clock */
};

/* The worker that this thread is: the one piece of state per thread. */
static _Thread_local skua__worker *worker_here;

skua__worker *
skua__worker_here(const skua_exec *exec) {
    return worker_here && worker_here->exec == exec ? worker_here : NULL;
}

skua__worker *
skua__worker_enter(skua__worker *worker) {
    skua__worker *before = worker_here;
    worker_here = worker;
    return before;
}

/* ---- Waking ---- */

static void
wake_leapers(skua__worker *worker) {
    skua__mutex_lock(&worker->leap_lock);
    SKUA_LIST_EACH(node, &worker->leapers) {
        skua__unpark(&SKUA_CONTAINER_OF(node, skua__worker, leaper)->parker);
    }
    skua__mutex_unlock(&worker->leap_lock);
}

static void
wake_one(skua_exec *exec) {
    skua__mutex_lock(&exec->sleep_lock);
    skua__list *node = skua__list_pop_front(&exec->sleepers);
    if (node) {
        skua__a32_sub(&exec->asleep, 1, memory_order_seq_cst); /* seq_cst W1: as in idle() */
        skua__lease_note_locked(exec);
    }
    skua__mutex_unlock(&exec->sleep_lock);
    if (!node) {
        return;
    }
    /* Woken without the lock, which is the first thing that it takes: else it would fall asleep again at once. */
    skua__worker *sleeper = SKUA_CONTAINER_OF(node, skua__worker, sleeper);
    skua__unpark(&sleeper->parker);
    skua__worker *here = skua__worker_here(exec);
    if (here) {
        skua__trace(here, EXEC_TRACE_WAKE, sleeper->index);
        skua__stat_add(here, EXEC_STAT_WAKES, 1);
    }
}

void
skua__wake_for_work(skua_exec *exec, skua__worker *by) {
    /* seq_cst W1: after the work was published, so too; pairs with seq_cst W1 in idle() */
    /* seq_cst W2: the same for leapers; pairs with seq_cst W2 in park_for() */
    if (by && skua__a32_load(&by->leaper_count, memory_order_seq_cst) > 0) {
        wake_leapers(by);
    }
    if (skua__a32_load(&exec->searching, memory_order_seq_cst) == 0 && /* seq_cst W1: as above */
        skua__a32_load(&exec->asleep, memory_order_seq_cst) > 0) {     /* seq_cst W1: as above */
        wake_one(exec);
    }
}

void
skua__wake_all_locked(skua_exec *exec) {
    SKUA_LIST_EACH(node, &exec->sleepers) {
        skua__unpark(&SKUA_CONTAINER_OF(node, skua__worker, sleeper)->parker);
    }
    SKUA_LIST_EACH(retired, &exec->retired) {
        skua__unpark(&SKUA_CONTAINER_OF(retired, skua__worker, sleeper)->parker);
    }
}

void
skua__wake_all(skua_exec *exec) {
    skua__mutex_lock(&exec->sleep_lock);
    skua__wake_all_locked(exec);
    skua__mutex_unlock(&exec->sleep_lock);
}

/* ---- Finding work ---- */

/* The workers whose stacks may hold something. */
static uint32_t
places_of(const skua_exec *exec) {
    /* acquire N1: the worker's fields; pairs with release N1 in skua__worker_start() */
    return skua__a32_load(&exec->places, memory_order_acquire);
}

static bool
work_in_sight(const skua_exec *exec) {
    if (skua__inject_any(exec)) {
        return true;
    }
    uint32_t places = places_of(exec);
    for (uint32_t i = 0; i < places; i++) {
        skua__stack *stack = exec->workers[i].stack;
        if (skua__has_public(stack) || skua__offers_any(&stack->own) ||
            skua__offers_any(&stack->handful) || skua__offers_any(&stack->nodes)) {
            return true;
        }
    }
    return false;
}

static void
ask_all(skua__worker *worker) {
    uint32_t places = places_of(worker->exec);
    for (uint32_t i = 0; i < places; i++) {
        if (i != worker->index) {
            skua__request(worker->exec->workers[i].stack, EXEC_REQUEST_HUNGRY);
        }
    }
}

/* After taking work: if there is more of it and somebody sleeps, wake the next. */
static void
pass_on(skua__worker *worker, skua__worker *victim) {
    skua_exec *exec = worker->exec;
    /* seq_cst W1: after we left searching; pairs with seq_cst W1 in skua__wake_for_work() */
    if (skua__a32_load(&exec->asleep, memory_order_seq_cst) == 0) {
        return;
    }
    if (work_in_sight(exec)) {
        skua__wake_for_work(exec, NULL);
    } else if (victim) {
        skua__request(victim->stack,
                      EXEC_REQUEST_HUNGRY); /* it will wake the next when it shares */
    }
}

/* The job whose turn it is: from the worker's handful, unless a more urgent one waits, else from the queue. */
static skua_job *
take_queued(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    skua__offers *handful = &worker->stack->handful;
    skua_job *job = skua__inject_urgent(exec) ? NULL : skua__offers_steal(handful);
    if (!job && (job = skua__inject_pop(exec, handful)) != NULL) {
        pass_on(worker, NULL);
    }
    return job ? job : skua__offers_steal(handful);
}

/*
 * The next job for this worker: the newest of its own, else a queued one. Every so often it looks at the queue first, or
 * at the oldest of its own, so that none waits for ever.
 */
skua_job *
skua__take_job(skua__worker *worker) {
    skua__offers *own = &worker->stack->own;
    uint32_t turn = worker->turns++;
    skua_job *job = NULL;
    if (turn % EXEC_OWN_TURNS == 0 && turn / EXEC_OWN_TURNS % 2 == 1) {
        job = skua__offers_steal(own);
    } else if (turn % EXEC_OWN_TURNS != 0 && !skua__inject_urgent(worker->exec)) {
        job = skua__offers_take(own, 0);
    }
    job = job ? job : take_queued(worker);
    return job ? job : skua__offers_take(own, 0);
}

/* Takes a call, a job or a graph's node from another worker, and runs it. */
static bool
run_stolen(skua__worker *worker, skua__worker *victim) {
    skua_slot *slot = skua__steal(victim->stack, 0, NULL);
    skua_job *job = slot ? NULL : skua__offers_steal(&victim->stack->handful);
    job = slot || job ? job : skua__offers_steal(&victim->stack->own);
    void *node = slot || job ? NULL : skua__offers_steal(&victim->stack->nodes);
    if (!slot && !job && !node) {
        return false;
    }
    skua__stat_add(worker, EXEC_STAT_STEALS, 1);
    pass_on(worker, victim);
    if (slot) {
        skua__worker_run_stolen(worker, slot, 0);
    } else if (node) {
        skua__trace(worker, EXEC_TRACE_STEAL, victim->index);
        skua__graph_run_stolen(worker, node);
        skua__trace(worker, EXEC_TRACE_END, 0);
    } else {
        skua__worker_run(worker, job);
    }
    return true;
}

/* Runs one job, or one stolen thing, if there is any. Only with an empty stack. */
static bool
run_something(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    skua_job *job = skua__take_job(worker);
    if (job) {
        skua__worker_run(worker, job);
        return true;
    }
    uint32_t places = places_of(exec);
    skua__tour tour = skua__tour_begin(&exec->plan, worker->index, places, &worker->rand);
    for (uint32_t i; (i = skua__tour_next(&tour)) != PLAN_TOUR_OVER;) {
        skua__worker *victim = &exec->workers[i];
        if (i < places && victim != worker && run_stolen(worker, victim)) {
            return true;
        }
    }
    skua__stat_add(worker, EXEC_STAT_MISSES, 1);
    return false;
}

/*
 * What ended is counted before what was submitted, and a job is counted as submitted before it can end: so when the two
 * are equal, no job was under way at the moment between the counts.
 */
uint64_t
skua__jobs_under_way(skua_exec *exec, uint64_t *ret_waiting) {
    uint64_t ended = 0, own = 0;
    uint32_t places = places_of(exec);
    for (uint32_t i = 0; i < places; i++) {
        /* acquire C2: what the job did; pairs with release C2 in end_job() */
        ended += skua__a64_load(&exec->workers[i].stats[EXEC_STAT_ENDED], memory_order_acquire);
    }
    uint64_t submitted = skua__inject_drain(exec, ret_waiting);
    for (uint32_t i = 0; i < places; i++) {
        skua__worker *worker = &exec->workers[i];
        /* relaxed: whoever ended such a job has seen it counted, and we have seen that (C2). */
        own += skua__a64_load(&worker->stats[EXEC_STAT_OWN], memory_order_relaxed);
        *ret_waiting += skua__offers_count(&worker->stack->own);
        *ret_waiting += skua__offers_count(&worker->stack->handful);
    }
    return submitted + own - ended;
}

/* Everything has ended, and nothing new may come: only jobs may submit while the executor closes. */
bool
skua__is_over(skua_exec *exec) {
    uint64_t waiting;
    /* seq_cst C1: closing before the counts; pairs with seq_cst C1 in skua_exec_close() */
    return skua__a32_load(&exec->closing, memory_order_seq_cst) &&
           skua__jobs_under_way(exec, &waiting) == 0;
}

void
skua__leave_list(skua_exec *exec, skua__worker *worker, bool sleeps) {
    skua__mutex_lock(&exec->sleep_lock);
    if (!skua__list_empty(&worker->sleeper)) {
        skua__list_remove(&worker->sleeper);
        if (sleeps) {
            skua__a32_sub(&exec->asleep, 1, memory_order_seq_cst); /* seq_cst W1: as in idle() */
            skua__lease_note_locked(exec);
        }
    }
    if (!sleeps) {
        skua__lease_unwatch_locked(worker);
    }
    skua__mutex_unlock(&exec->sleep_lock);
}

void
skua__sleep(skua__worker *worker, int64_t deadline_ns) {
    int64_t from_ns = skua__clock_ns();
    skua__stat_add(worker, EXEC_STAT_PARKS, 1);
    skua__trace(worker, EXEC_TRACE_PARK, 0);
    skua__park(&worker->parker, deadline_ns);
    skua__trace(worker, EXEC_TRACE_END, 0);
    skua__stat_add(worker, EXEC_STAT_IDLE_NS, (uint64_t)(skua__clock_ns() - from_ns));
}

/* Looks around for a while, then sleeps until somebody has work. */
static void
idle(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    /* seq_cst W1: counted before we look; pairs with seq_cst W1 in skua__wake_for_work() */
    skua__a32_add(&exec->searching, 1, memory_order_seq_cst);
    int64_t until_ns = exec->spin_ns > 0 ? skua__clock_ns() + exec->spin_ns : 0;
    bool found = false;
    for (uint32_t looks = 0; !found && !skua__is_over(exec); looks++) {
        ask_all(worker);
        found = work_in_sight(exec);
        if (found || until_ns == 0 ||
            (looks % WORKER_LOOKS == WORKER_LOOKS - 1 && skua__clock_ns() >= until_ns)) {
            break;
        }
        skua__atomic_pause();
    }
    if (!found) {
        skua__mutex_lock(&exec->sleep_lock);
        skua__list_push_front(&exec->sleepers, &worker->sleeper);
        /* seq_cst W1: counted before the last look; pairs with seq_cst W1 in skua__wake_for_work() */
        skua__a32_add(&exec->asleep, 1, memory_order_seq_cst);
        skua__lease_note_locked(exec);
        skua__mutex_unlock(&exec->sleep_lock);
    }
    /* seq_cst W1: out of searching before the last look; as above */
    skua__a32_sub(&exec->searching, 1, memory_order_seq_cst);
    if (found) {
        return;
    }
    ask_all(worker);
    /* That there are too many workers is looked for after we stand in the list, too: a pause wakes those in it. */
    if (!work_in_sight(exec) && !skua__is_over(exec) && !skua__is_surplus(worker)) {
        skua__follow(worker);
        skua__sleep(worker, SKUA_NEVER_NS);
        skua__follow(worker);
    }
    skua__leave_list(exec, worker, true);
}

/* ---- Running ---- */

static void
end_job(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    skua__a64 *ended = &worker->stats[EXEC_STAT_ENDED];
    uint64_t count = skua__a64_load(ended, memory_order_relaxed); /* relaxed: we alone write it */
    /* release C2: what the job did, its submits among it; pairs with acquire C2 in skua__jobs_under_way() */
    skua__a64_store(ended, count + 1, memory_order_release);
    /* seq_cst C1: pairs with seq_cst C1 in skua_exec_close(), which wakes all after it closed */
    if (skua__a32_load(&exec->closing, memory_order_seq_cst) && skua__is_over(exec)) {
        skua__wake_all(exec);
    }
}

/* SKUA_OK, or why the job is not to start any more. */
static skua_status
why_not(const skua_job *job) {
    if (job->group && skua_group_cancelled(job->group)) {
        return skua__group_why(job->group);
    }
    return job->deadline_ns && skua__clock_ns() > job->deadline_ns ? SKUA_E_TIMEOUT : SKUA_OK;
}

void
skua__worker_run(skua__worker *worker, skua_job *job) {
    skua_group *group = job->group;
    skua_slot *top = worker->stack->trap.top;
    const skua__frame *before = worker->frame;
    skua__frame here = {.parent = before,
                        .outer = before,
                        .group = group,
                        .job = job,
                        .base = (uint32_t)(top - worker->stack->slots)};
    skua_status why = SKUA_OK;
    if ((group || job->deadline_ns) && !(job->flags & EXEC_JOB_ALWAYS)) {
        why = why_not(job);
    }
    void *outer = skua__aptr_load(&worker->running, memory_order_relaxed); /* relaxed: a figure */
    worker->frame = &here;
    skua__stat_add(worker, why ? EXEC_STAT_DROPPED : EXEC_STAT_TASKS, 1);
    if (why == SKUA_OK) {
        skua__aptr_store(&worker->running, (void *)(uintptr_t)job->run,
                         memory_order_relaxed); /* relaxed: a figure */
        skua__trace(worker, EXEC_TRACE_JOB, 0);
        job->run((skua_worker){top}, job);
        skua__trace(worker, EXEC_TRACE_END, 0);
    } else if (job->dropped) {
        job->dropped((skua_worker){top}, job, why);
    }
    /* The job's memory may be gone. */
    assert(worker->stack->trap.top == top && "a job returned before the sync of a forked call");
    skua__aptr_store(&worker->running, outer, memory_order_relaxed); /* relaxed: a figure */
    worker->frame = before;
    if (group) {
        skua__group_done(group);
    }
    end_job(worker);
}

void
skua_worker_submit_batch(skua_worker w, skua_job *const *jobs, size_t count) {
    skua__stack *stack = skua__stack_of(w.top);
    skua__worker *worker = stack->worker;
    assert(worker == skua__worker_here(worker->exec) &&
           "skua_worker_submit: w is another worker's");
    for (size_t first = 0; first < count;) {
        size_t end = first;
        while (end < count && jobs[end]->priority == SKUA_PRIORITY_NORMAL) {
            end++;
        }
        /* Counted before anybody can end them; those that do not fit are counted by the queue. */
        skua__stat_add(worker, EXEC_STAT_OWN, end - first);
        size_t fitted =
            end > first ? skua__offers_add(&stack->own, (void *const *)(jobs + first), end - first)
                        : 0;
        first += fitted;
        if (first < end || first < count) {
            skua__stat_add(worker, EXEC_STAT_OWN, first - end);
            skua__inject_always(worker->exec, jobs[first++]);
        }
    }
    skua__wake_for_work(worker->exec, NULL);
}

void
skua_worker_submit(skua_worker w, skua_job *job) {
    skua__stack *stack = skua__stack_of(w.top);
    skua__worker *worker = stack->worker;
    assert(worker == skua__worker_here(worker->exec) &&
           "skua_worker_submit: w is another worker's");
    if (job->priority == SKUA_PRIORITY_NORMAL) {
        skua__stat_add(worker, EXEC_STAT_OWN, 1);
        void *const items[] = {job};
        if (skua__offers_add(&stack->own, items, 1) == 1) {
            skua__wake_for_work(worker->exec, NULL);
            return;
        }
        skua__stat_add(worker, EXEC_STAT_OWN, (uint64_t)-1);
    }
    skua__inject_always(worker->exec, job);
    skua__wake_for_work(worker->exec, NULL);
}

static void *
worker_main(void *arg) {
    skua__worker *worker = arg;
    skua_exec *exec = worker->exec;
    worker_here = worker;
    skua__c_stack_begin(worker);
    skua__bind_here(worker);
    while (!skua__is_over(exec)) {
        if (skua__lease_moved(&exec->lease)) {
            skua__lease_look(exec);
        }
        if (skua__is_surplus(worker)) {
            skua__rest(worker);
        }
        if (!run_something(worker)) {
            idle(worker);
        }
    }
    /* Whoever sees the end tells the others: of two that ended the last jobs at once, none may have seen it. */
    skua__wake_all(exec);
    worker_here = NULL;
    /* relaxed: who closes joins the threads; this only ends its wait with a time limit. */
    if (skua__a32_sub(&exec->threads, 1, memory_order_relaxed) == 1) {
        skua__unpark(&exec->closer);
    }
    return NULL;
}

/* ---- Spares ---- */

void
skua__block_begin(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    if (worker->block_depth++ > 0) {
        return;
    }
    skua__mutex_lock(&exec->sleep_lock);
    /* relaxed: under the lock. A worker that has not yet noticed that it could retire is as good as a new one. */
    skua__a32_sub(&exec->active, 1, memory_order_relaxed);
    skua__stand_in_locked(exec);
    skua__lease_note_locked(exec);
    skua__mutex_unlock(&exec->sleep_lock);
}

void
skua__block_end(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    if (--worker->block_depth == 0) {
        skua__mutex_lock(&exec->sleep_lock);
        skua__a32_add(&exec->active, 1, memory_order_relaxed); /* relaxed: under the lock */
        skua__lease_note_locked(exec);
        skua__mutex_unlock(&exec->sleep_lock);
    }
}

void
skua_worker_block_begin(skua_worker w) {
    skua__block_begin(skua__stack_of(w.top)->worker);
}

void
skua_worker_block_end(skua_worker w) {
    skua__block_end(skua__stack_of(w.top)->worker);
}

/* ---- Life ---- */

skua_status
skua__worker_open(skua_exec *exec, uint32_t index, skua_error *err) {
    skua__worker *worker = &exec->workers[index];
    if (worker->stack) {
        return SKUA_OK; /* a spare whose thread could not be started the last time */
    }
    /* Not zeroed: pages of the stack that are never used are never touched. */
    void *block = worker->stack_block /* of before a fork() */
                      ? worker->stack_block
                      : exec->hook->allocate(exec->hook->ctx, 2 * SKUA_STACK_BYTES);
    if (!block) {
        return SKUA_FAIL_MEMORY(err, "a worker's stack");
    }
    uintptr_t aligned = ((uintptr_t)block + SKUA_STACK_BYTES - 1) & ~(SKUA_STACK_BYTES - 1);
    worker->exec = exec;
    worker->index = index;
    worker->slots = exec->slots;
    worker->rand.state = index;
    worker->stack_block = block;
    worker->stack = (skua__stack *)aligned;
    skua__bind_stack(worker);
    skua__stack_init(worker, worker->stack);
    skua__list_init(&worker->sleeper);
    skua__list_init(&worker->leaper);
    skua__list_init(&worker->leapers);
    skua__mutex_init(&worker->leap_lock);
    return SKUA_OK;
}

skua_status
skua__worker_start(skua__worker *worker, skua_error *err) {
    char name[16];
    snprintf(name, sizeof name, "%s-%u", worker->exec->name, (unsigned)worker->index % 10000);
    skua__a32 *threads = &worker->exec->threads;
    skua__a32_add(threads, 1, memory_order_relaxed); /* relaxed: see worker_main() */
    skua_status status = skua__thread_start(&worker->thread, name, worker_main, worker, err);
    if (status != SKUA_OK) {
        skua__a32_sub(threads, 1, memory_order_relaxed); /* relaxed: see worker_main() */
    } else {
        worker->started = true;
        /* release N1: the worker's fields; pairs with acquire N1 in places_of() */
        skua__a32_store(&worker->exec->places, worker->index + 1, memory_order_release);
    }
    return status;
}

void
skua__worker_close(skua__worker *worker) {
    if (worker->stack) {
        skua__mutex_fini(&worker->leap_lock);
        worker->stack = NULL;
    }
    if (worker->stack_block) {
        worker->exec->hook->release(worker->exec->hook->ctx, worker->stack_block);
        worker->stack_block = NULL;
    }
}

skua_exec *
skua_worker_exec(skua_worker w) {
    return skua__stack_of(w.top)->worker->exec;
}

uint32_t
skua_worker_index(skua_worker w) {
    return skua__stack_of(w.top)->worker->index;
}

bool
skua_worker_cancelled(skua_worker w) {
    const skua__frame *frame = skua__stack_of(w.top)->worker->frame;
    return frame && frame->group && skua_group_cancelled(frame->group);
}
