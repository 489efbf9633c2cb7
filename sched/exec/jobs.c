// SPDX-License-Identifier: MPL-2.0
// What a worker does with jobs: running one, running its handful in a row, and taking those that a running one submits.
#include "engine.h"

#include <skua-int/clock.h>

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

/* A job that nothing but its turn keeps from being run. */
static inline void
call_job(skua__worker *worker, skua_job *job, skua_worker w) {
    skua__stat_add(worker, EXEC_STAT_TASKS, 1);
    skua__note_running(worker, (void *)(uintptr_t)job->run);
    /* relaxed: recording may begin and end an event sooner or later. */
    bool traced = skua__a32_load(&worker->exec->tracing, memory_order_relaxed) != EXEC_TRACE_OFF;
    if (__builtin_expect(traced, 0)) {
        skua__trace_record(worker, EXEC_TRACE_JOB, 0);
    }
    job->run(w, job); /* its memory may be gone then */
    if (__builtin_expect(traced, 0)) {
        skua__trace_record(worker, EXEC_TRACE_END, 0);
    }
}

/* Runs a job or drops it. */
static inline void
run_job(skua__worker *worker, skua_job *job) {
    skua_group *group = job->group;
    const skua__frame *before = worker->frame;
    skua__nest nest;
    skua_worker w = before ? skua__nest_begin(worker, &nest) : skua__cursor_at_rest(worker);
    uint32_t depth = worker->block_depth;
    skua__frame here = {.parent = before,
                        .outer = before,
                        .group = group,
                        .job = job,
                        .base = (uint32_t)(w.top - worker->stack->slots)};
    skua_status why = SKUA_OK;
    skua__job_begin(job);
    if (__builtin_expect(group || job->deadline_ns, 0)) {
        why = job->flags & EXEC_JOB_ALWAYS ? SKUA_OK : why_not(job);
        skua__group_release(job);
    }
    void *outer = skua__aptr_load(&worker->running, memory_order_relaxed); /* relaxed: a figure */
    worker->frame = &here;
    if (__builtin_expect(why == SKUA_OK, 1)) {
        call_job(worker, job, w);
    } else {
        skua__stat_add(worker, EXEC_STAT_DROPPED, 1);
        if (job->dropped) {
            job->dropped(w, job, why);
        }
    }
    skua__check_return(w, depth);
    skua__aptr_store(&worker->running, outer, memory_order_relaxed); /* relaxed: a figure */
    worker->frame = before;
    if (before) {
        skua__nest_end(worker);
    }
    if (group) {
        skua__group_done(group);
    }
    end_job(worker);
}

void
skua__worker_run(skua__worker *worker, skua_job *job) {
    run_job(worker, job);
}

/*
 * What else may be due: this turn's look at the queue or at others, jobs of high priority, jobs of our own, and whatever a
 * worker does between two jobs. Each is one or two loads of lines that hardly change.
 */
void
skua__run_handful(skua__worker *worker) {
    const skua_exec *exec = worker->exec;
    skua__stack *stack = worker->stack;
    while (worker->turns % EXEC_OWN_TURNS != 0 && !skua__inject_urgent(exec) &&
           !skua__offers_any(&stack->own) && !skua__lease_moved(&exec->lease) &&
           !skua__is_surplus(worker)) {
        skua_job *job = skua__offers_steal(&stack->handful);
        if (!job) {
            return;
        }
        worker->turns++;
        run_job(worker, job);
    }
}

/* ---- A worker's own ---- */

/* Whether a job goes among the worker's own. */
static bool
stays_here(const skua_job *job) {
    return job->priority == SKUA_PRIORITY_NORMAL && job->near.node == 0 && job->near.core == 0;
}

void
skua_worker_submit_batch(skua_worker w, skua_job *const *jobs, size_t count) {
    assert(w.top && "w is empty: a worker is handed to each task");
    skua__stack *stack = skua__stack_of(w.top);
    skua__worker *worker = stack->worker;
    assert((jobs || count == 0) && "skua_worker_submit_batch: jobs is NULL");
    assert(worker == skua__worker_here(worker->exec) &&
           "skua_worker_submit: w is another worker's");
    for (size_t i = 0; i < count; i++) {
        assert(jobs[i] && jobs[i]->run && "skua_worker_submit_batch: a job or its run is NULL");
        skua__job_lend(jobs[i]);
    }
    for (size_t first = 0; first < count;) {
        size_t end = first;
        while (end < count && stays_here(jobs[end])) {
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
    assert(w.top && "w is empty: a worker is handed to each task");
    skua__stack *stack = skua__stack_of(w.top);
    skua__worker *worker = stack->worker;
    assert(job && job->run && "skua_worker_submit: job or its run is NULL");
    assert(worker == skua__worker_here(worker->exec) &&
           "skua_worker_submit: w is another worker's");
    skua__job_lend(job);
    if (stays_here(job)) {
        skua__stat_add(worker, EXEC_STAT_OWN, 1);
        void *const items[] = {job};
        if (skua__offers_add(&stack->own, items, 1) == 1) {
            skua__wake_for_work(worker->exec, NULL);
            return;
        }
        skua__stat_add(worker, EXEC_STAT_OWN, (uint64_t)-1);
    }
    skua__inject_always(worker->exec, job);
}
