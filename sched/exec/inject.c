// SPDX-License-Identifier: MPL-2.0
// The queue of jobs that wait for a worker: per priority an inbox that anybody pushes to without a lock, and a list, first
// in, first out, that workers fill from the inbox and take from under one lock.
//
// Ordering. A push publishes the job (J1); whoever takes the lock moves all of an inbox, oldest first, behind the list, so
// the jobs of one submitter and priority keep their order. A lower priority is passed over at most EXEC_AGEING_POPS
// times while it has jobs (I18). Progress: a push is lock-free; nothing but a push touches an inbox, except the exchange that
// empties it, so the swap of a push knows no ABA.
#include "engine.h"

static const uint8_t queue_order[EXEC_PRIORITIES] = {SKUA_PRIORITY_HIGH, SKUA_PRIORITY_NORMAL,
                                                     SKUA_PRIORITY_LOW};

static uint32_t
priority_of(const skua_job *job) {
    return job->priority < EXEC_PRIORITIES ? job->priority : SKUA_PRIORITY_NORMAL;
}

/* Pushes a chain, whose newest job is first, in one step. */
static void
push(skua_exec *exec, uint32_t priority, skua_job *newest, skua_job *oldest) {
    skua__aptr *inbox = &exec->inbox[priority];
    void *head = skua__aptr_load(inbox, memory_order_relaxed); /* relaxed: the swap checks it */
    do {
        oldest->next = head;
        /* release J1: the jobs; pairs with acquire J1 in drain_locked() */
        /* seq_cst W1: published before the look at sleepers; pairs with seq_cst W1 in skua__inject_any() */
    } while (!skua__aptr_cas(inbox, &head, newest, memory_order_seq_cst));
}

/* Counts jobs in, unless too many wait. */
static bool
count_in(skua_exec *exec, uint64_t count) {
    if (exec->queue_max < 0) {
        /* seq_cst C1: before the jobs can end; pairs with seq_cst C1 in skua__jobs_under_way() */
        skua__a64_add(&exec->submitted, count, memory_order_seq_cst);
        return true;
    }
    uint64_t submitted = skua__a64_load(&exec->submitted, memory_order_relaxed); /* relaxed: CAS */
    do {
        /* relaxed: an old count only refuses too early. */
        uint64_t popped = skua__a64_load(&exec->popped, memory_order_relaxed);
        if (submitted + count - popped > (uint64_t)exec->queue_max) {
            return false;
        }
    } while (!skua__a64_cas(&exec->submitted, &submitted, submitted + count,
                            memory_order_seq_cst)); /* seq_cst C1: as above */
    return true;
}

skua_status
skua__inject(skua_exec *exec, skua_job *const *jobs, size_t count) {
    if (!count_in(exec, count)) {
        return SKUA_E_AGAIN;
    }
    for (size_t i = 0; i < count;) {
        uint32_t priority = priority_of(jobs[i]);
        skua_job *oldest = jobs[i], *newest = jobs[i];
        for (i++; i < count && priority_of(jobs[i]) == priority; i++) {
            jobs[i]->next = newest;
            newest = jobs[i];
        }
        push(exec, priority, newest, oldest);
    }
    skua__wake_for_work(exec, NULL);
    return SKUA_OK;
}

bool
skua__inject_any(const skua_exec *exec) {
    /* seq_cst W1: a sleeper looks after it was counted; pairs with seq_cst W1 in push() */
    bool any = skua__a64_load(&exec->listed, memory_order_seq_cst) > 0;
    for (uint32_t i = 0; i < EXEC_PRIORITIES && !any; i++) {
        any = skua__aptr_load(&exec->inbox[i], memory_order_seq_cst) != NULL; /* seq_cst W1: same */
    }
    return any;
}

uint64_t
skua__inject_count(const skua_exec *exec) {
    /* relaxed: a figure; what is popped is read first, so that the difference is not negative. */
    uint64_t popped = skua__a64_load(&exec->popped, memory_order_relaxed);
    uint64_t submitted = skua__a64_load(&exec->submitted, memory_order_relaxed); /* relaxed: same */
    return submitted > popped ? submitted - popped : 0;
}

/* Moves what lies in the inboxes behind the lists. */
static void
drain_locked(skua_exec *exec) {
    uint64_t moved = 0;
    for (uint32_t i = 0; i < EXEC_PRIORITIES; i++) {
        /* relaxed: only saves the exchange */
        if (!skua__aptr_load(&exec->inbox[i], memory_order_relaxed)) {
            continue;
        }
        /* acquire J1: the jobs; pairs with release J1 in push() */
        skua_job *newest = skua__aptr_exchange(&exec->inbox[i], NULL, memory_order_acquire);
        skua_job *oldest = NULL, **end = NULL;
        while (newest) {
            skua_job *next = newest->next;
            newest->next = oldest;
            end = end ? end : &newest->next;
            oldest = newest;
            newest = next;
            moved++;
        }
        if (oldest) {
            *exec->queues[i].end = oldest;
            exec->queues[i].end = end;
        }
    }
    if (moved) {
        uint64_t listed = skua__a64_load(&exec->listed, memory_order_relaxed); /* relaxed: locked */
        /* seq_cst W1: still in sight for who looks now; pairs with seq_cst W1 in skua__inject_any() */
        skua__a64_store(&exec->listed, listed + moved, memory_order_seq_cst);
    }
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
    uint64_t listed = skua__a64_load(&exec->listed, memory_order_relaxed);
    skua__a64_store(&exec->listed, listed - 1, memory_order_relaxed);      /* relaxed: same */
    uint64_t popped = skua__a64_load(&exec->popped, memory_order_relaxed); /* relaxed: same */
    skua__a64_store(&exec->popped, popped + 1, memory_order_relaxed);      /* relaxed: same */
}

skua_job *
skua__inject_pop(skua_exec *exec) {
    if (!skua__inject_any(exec)) {
        return NULL;
    }
    skua__mutex_lock(&exec->queue_lock);
    drain_locked(exec);
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
    drain_locked(exec);
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
    /* Jobs that we only moved were out of everybody's sight for a moment. */
    if (skua__inject_any(exec)) {
        skua__wake_for_work(exec, NULL);
    }
    return found;
}
