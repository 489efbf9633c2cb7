// SPDX-License-Identifier: MPL-2.0
// The queue of jobs that wait for a worker: one list per priority under one lock, first in, first out.
//
// A lower priority is passed over at most EXEC_AGEING_POPS times while it has jobs (I18).
#include "engine.h"

static const uint8_t queue_order[EXEC_PRIORITIES] = {SKUA_PRIORITY_HIGH, SKUA_PRIORITY_NORMAL,
                                                     SKUA_PRIORITY_LOW};

static void
push_locked(skua_exec *exec, skua_job *job) {
    uint8_t priority = job->priority < EXEC_PRIORITIES ? job->priority : SKUA_PRIORITY_NORMAL;
    skua__queue *queue = &exec->queues[priority];
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
}

skua_status
skua__inject(skua_exec *exec, skua_job *const *jobs, size_t count) {
    skua__mutex_lock(&exec->queue_lock);
    uint64_t queued = skua__a64_load(&exec->queued, memory_order_relaxed); /* relaxed: locked */
    if (exec->queue_max >= 0 && queued + count > (uint64_t)exec->queue_max) {
        skua__mutex_unlock(&exec->queue_lock);
        return SKUA_E_AGAIN;
    }
    for (size_t i = 0; i < count; i++) {
        push_locked(exec, jobs[i]);
    }
    /* seq_cst W1: published before we look for sleepers; pairs with seq_cst W1 in skua__inject_any() */
    skua__a64_add(&exec->pending, count, memory_order_seq_cst);
    skua__a64_store(&exec->queued, queued + count, memory_order_seq_cst); /* seq_cst W1: same */
    skua__mutex_unlock(&exec->queue_lock);
    skua__wake_for_work(exec, NULL);
    return SKUA_OK;
}

bool
skua__inject_any(const skua_exec *exec) {
    /* seq_cst W1: a sleeper looks after it was counted; pairs with seq_cst W1 in skua__inject() */
    return skua__a64_load(&exec->queued, memory_order_seq_cst) > 0;
}

/* The queue whose turn it is, or NULL when all are empty. */
static skua__queue *
next_queue_locked(skua_exec *exec) {
    skua__queue *chosen = NULL;
    for (uint32_t i = 0; i < EXEC_PRIORITIES; i++) {
        skua__queue *queue = &exec->queues[queue_order[i]];
        if (!queue->head) {
            queue->passed_over = 0;
        } else if (!chosen || queue->passed_over >= EXEC_AGEING_POPS) {
            chosen = queue;
        }
    }
    for (uint32_t i = 0; i < EXEC_PRIORITIES; i++) {
        skua__queue *queue = &exec->queues[i];
        queue->passed_over = queue == chosen ? 0 : queue->passed_over + (queue->head ? 1 : 0);
    }
    return chosen;
}

static void
unlink_locked(skua_exec *exec, skua__queue *queue, skua_job **link) {
    skua_job *job = *link;
    *link = job->next;
    if (!job->next) {
        queue->end = link;
    }
    job->next = NULL;
    /* relaxed: under the lock; whoever reads too much looks again under the lock. */
    skua__a64_store(&exec->queued,
                    skua__a64_load(&exec->queued, memory_order_relaxed) - 1, /* relaxed: same */
                    memory_order_relaxed);                                   /* relaxed: same */
}

skua_job *
skua__inject_pop(skua_exec *exec) {
    if (!skua__inject_any(exec)) {
        return NULL;
    }
    skua__mutex_lock(&exec->queue_lock);
    skua__queue *queue = next_queue_locked(exec);
    skua_job *job = queue ? queue->head : NULL;
    if (job) {
        unlink_locked(exec, queue, &queue->head);
    }
    skua__mutex_unlock(&exec->queue_lock);
    return job;
}

skua_job *
skua__inject_pop_of(skua_exec *exec, const skua_group *group) {
    skua_job *found = NULL;
    skua__mutex_lock(&exec->queue_lock);
    for (uint32_t i = 0; i < EXEC_PRIORITIES && !found; i++) {
        skua__queue *queue = &exec->queues[queue_order[i]];
        for (skua_job **link = &queue->head; *link; link = &(*link)->next) {
            if ((*link)->group == group) {
                found = *link;
                unlink_locked(exec, queue, link);
                break;
            }
        }
    }
    skua__mutex_unlock(&exec->queue_lock);
    return found;
}
