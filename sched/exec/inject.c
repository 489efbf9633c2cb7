// SPDX-License-Identifier: MPL-2.0
// The queues of jobs that wait for a worker, one per NUMA domain: per priority an inbox that anybody pushes to without a
// lock, and a list, first in, first out, that workers fill from the inbox and take from under one lock.
//
// Ordering. A push publishes the job (J1); whoever takes the lock moves all of an inbox, oldest first, behind the list, so
// the jobs of one submitter and priority keep their order. A lower priority is passed over at most EXEC_AGEING_POPS
// times while it has jobs (I18). When very many wait, a worker takes a handful at once into a ring of its own, from where
// idle workers take them too, the oldest first. Progress: a push is lock-free; nothing but a push touches an inbox, except the exchange that
// empties it, so the swap of a push knows no ABA.
#include "engine.h"

enum {
    INJECT_HANDFUL = 32,     /* jobs that a worker takes at once at most */
    INJECT_HANDFUL_FROM = 8, /* as many as this part of its share of what waits */
};

static_assert((int)INJECT_HANDFUL <= (int)EXEC_RING_JOBS, "a handful fits its ring");

static const uint8_t queue_order[EXEC_PRIORITIES] = {SKUA_PRIORITY_HIGH, SKUA_PRIORITY_NORMAL,
                                                     SKUA_PRIORITY_LOW};

static uint32_t
priority_of(const skua_job *job) {
    return job->priority < EXEC_PRIORITIES ? job->priority : SKUA_PRIORITY_NORMAL;
}

/* Pushes a chain, whose newest job is first, in one step. Returns whether the inbox was empty. */
static bool
push(skua__domain *domain, uint32_t priority, skua_job *newest, skua_job *oldest) {
    skua__aptr *inbox = &domain->inbox[priority].newest;
    void *head = skua__aptr_load(inbox, memory_order_relaxed); /* relaxed: the swap checks it */
    do {
        oldest->next = head;
        /* release J1: the jobs; pairs with acquire J1 in drain_locked() */
        /* seq_cst W1: published before the look at sleepers; pairs with seq_cst W1 in skua__inject_any_in() */
    } while (!skua__aptr_cas(inbox, &head, newest, memory_order_seq_cst));
    return !head;
}

/* Counts jobs into a bounded queue, unless too many wait. */
static bool
count_in(skua_exec *exec, uint64_t count) {
    for (;;) {
        /* acquire C3: what others knew to be popped when they submitted; pairs with release C3 below */
        uint64_t submitted = skua__a64_load(&exec->submitted, memory_order_acquire);
        /* relaxed: an old count refuses while they wait of whom nobody has heard that they do not; one newer than submitted is
         * above it, perhaps, and then the swap fails. */
        uint64_t popped = skua__a64_load(&exec->popped, memory_order_relaxed);
        if ((int64_t)(submitted + count - popped) > exec->queue_max) {
            return false;
        }
        /* release C3: a count; the push publishes the jobs. Pairs with acquire C3 above */
        if (skua__a64_cas(&exec->submitted, &submitted, submitted + count, memory_order_release)) {
            return true;
        }
    }
}

/* Pushes a chain and sees to it that somebody takes it. */
static void
publish(skua_exec *exec, skua__domain *domain, uint32_t priority, skua_job *newest,
        skua_job *oldest) {
    uint32_t core =
        oldest->near.core; /* before the push: then it may run, and its memory be gone */
    /* Else whoever takes what lay there already takes ours too, and wakes the next. */
    if (push(domain, priority, newest, oldest)) {
        skua__wake_near(exec, domain, core);
    }
}

skua_status
skua__inject(skua_exec *exec, skua_job *job) {
    if (exec->queue_max >= 0 && !count_in(exec, 1)) {
        return SKUA_E_AGAIN;
    }
    skua__job_lend(job);
    publish(exec, skua__domain_for(exec, job), priority_of(job), job, job);
    return SKUA_OK;
}

skua_status
skua__inject_batch(skua_exec *exec, skua_job *const *jobs, size_t count) {
    if (exec->queue_max >= 0 && !count_in(exec, count)) {
        return SKUA_E_AGAIN;
    }
    for (size_t i = 0; i < count; i++) {
        skua__job_lend(jobs[i]);
    }
    for (size_t i = 0; i < count;) {
        uint32_t priority = priority_of(jobs[i]);
        skua__domain *domain = skua__domain_for(exec, jobs[i]);
        skua_job *oldest = jobs[i], *newest = jobs[i];
        for (i++; i < count && priority_of(jobs[i]) == priority &&
                  skua__domain_for(exec, jobs[i]) == domain;
             i++) {
            jobs[i]->next = newest;
            newest = jobs[i];
        }
        publish(exec, domain, priority, newest, oldest);
    }
    return SKUA_OK;
}

void
skua__inject_always(skua_exec *exec, skua_job *job) {
    if (exec->queue_max >= 0) {
        skua__a64_add(&exec->submitted, 1, memory_order_relaxed); /* relaxed: as in count_in() */
    }
    publish(exec, skua__domain_for(exec, job), priority_of(job), job, job);
}

/* Jobs go from inbox to list to handful, and come into sight there first: so the looks go the same way. */
bool
skua__inject_any_in(const skua__domain *domain) {
    bool any = false;
    for (uint32_t i = 0; i < EXEC_PRIORITIES && !any; i++) {
        /* seq_cst W1: a sleeper looks after it was counted; pairs with seq_cst W1 in push() */
        any = skua__aptr_load(&domain->inbox[i].newest, memory_order_seq_cst) != NULL;
    }
    /* seq_cst W1: after the inboxes; pairs with seq_cst W1 in drain_locked() */
    return any || skua__a64_load(&domain->listed, memory_order_seq_cst) > 0;
}

bool
skua__inject_any(const skua_exec *exec) {
    uint32_t i = 0;
    while (i < exec->map.count && !skua__inject_any_in(&exec->domains[i])) {
        i++;
    }
    return i < exec->map.count;
}

/* Whether the list of high priority has jobs, for who looks without the lock. */
static void
note_list_locked(skua__domain *domain, uint32_t priority) {
    if (priority == SKUA_PRIORITY_HIGH) {
        /* relaxed: under the lock; who looks without it looks again. */
        skua__a32_store(&domain->inbox[priority].has_listed, domain->queues[priority].head != NULL,
                        memory_order_relaxed);
    }
}

/*
 * Moves what lies in the inboxes behind the lists; without all, only to lists that are empty. Jobs are touched by it for the
 * first time here, in their submitter's cache: so the later the more at once, and the fewer of them go out of ours again
 * before their turn.
 */
static void
drain_locked(skua__domain *domain, bool all) {
    uint64_t moved = 0;
    /* relaxed: under the lock */
    uint64_t listed = skua__a64_load(&domain->listed, memory_order_relaxed);
    for (uint32_t i = 0; i < EXEC_PRIORITIES; i++) {
        if (!all && domain->queues[i].head) {
            continue;
        }
        /* relaxed: only saves the exchange */
        if (!skua__aptr_load(&domain->inbox[i].newest, memory_order_relaxed)) {
            continue;
        }
        /* seq_cst W1: one more than there are, so that what is moved is in sight throughout; as above */
        skua__a64_store(&domain->listed, listed + moved + 1, memory_order_seq_cst);
        /* acquire J1: the jobs; pairs with release J1 in push() */
        skua_job *newest =
            skua__aptr_exchange(&domain->inbox[i].newest, NULL, memory_order_acquire);
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
            *domain->queues[i].end = oldest;
            domain->queues[i].end = end;
            note_list_locked(domain, i);
        }
    }
    if (moved) {
        domain->drained += moved;
        /* release W1: after the lists have them; pairs with seq_cst W1 in skua__inject_any_in() */
        skua__a64_store(&domain->listed, listed + moved, memory_order_release);
    }
}

/* The queue whose turn it is, or NULL when all are empty. */
static skua__queue *
next_queue_locked(skua__domain *domain) {
    skua__queue *chosen = NULL;
    for (uint32_t i = 0; i < EXEC_PRIORITIES; i++) {
        skua__queue *queue = &domain->queues[queue_order[i]];
        if (!queue->head) {
            queue->passed_over = 0;
        } else if (!chosen || queue->passed_over >= EXEC_AGEING_POPS) {
            chosen = queue;
        }
    }
    for (uint32_t i = 0; i < EXEC_PRIORITIES; i++) {
        skua__queue *queue = &domain->queues[i];
        queue->passed_over = queue == chosen ? 0 : queue->passed_over + (queue->head ? 1 : 0);
    }
    return chosen;
}

/* Sets a list on the job behind those that were taken from its head. */
static void
set_head_locked(skua__domain *domain, skua__queue *queue, skua_job *head) {
    queue->head = head;
    if (!head) {
        queue->end = &queue->head;
        note_list_locked(domain, (uint32_t)(queue - domain->queues));
    }
}

/* Takes one job out of a list. The caller tells with count_out_locked(). */
static skua_job *
unlink_locked(skua__domain *domain, skua__queue *queue, skua_job **link) {
    skua_job *job = *link;
    *link = job->next;
    if (!job->next) {
        queue->end = link;
        note_list_locked(domain, (uint32_t)(queue - domain->queues));
    }
    job->next = NULL;
    return job;
}

static void
count_out_locked(skua_exec *exec, skua__domain *domain, uint64_t count) {
    if (exec->queue_max >= 0) {
        skua__a64_add(&exec->popped, count, memory_order_relaxed); /* relaxed: as in count_in() */
    }
    /* relaxed: under the lock; whoever reads too much looks again under the lock. */
    uint64_t listed = skua__a64_load(&domain->listed, memory_order_relaxed);
    /* release W1: after a handful was put into sight; pairs with seq_cst W1 in skua__inject_any_in() */
    skua__a64_store(&domain->listed, listed - count, memory_order_release);
}

/*
 * Moves jobs from the head of the only list that has any into an empty handful, where they are in sight of all. Those of
 * groups stay: who waits for a group looks for them here. Returns how many.
 */
static size_t
fill_handful_locked(skua_exec *exec, skua__domain *domain, skua__queue *queue,
                    skua__offers *handful) {
    void *list[INJECT_HANDFUL];
    uint64_t listed = skua__a64_load(&domain->listed, memory_order_relaxed); /* relaxed: locked */
    uint32_t workers = skua__target(exec);
    uint64_t most = listed / ((uint64_t)(workers ? workers : 1) * INJECT_HANDFUL_FROM);
    most = most < INJECT_HANDFUL ? most : INJECT_HANDFUL;
    for (uint32_t i = 0; i < EXEC_PRIORITIES; i++) {
        if (&domain->queues[i] != queue && domain->queues[i].head) {
            return 0;
        }
    }
    size_t count = 0;
    skua_job *next = queue->head;
    while (count < most && next && !next->group) {
        list[count++] = next;
        next = next->next;
    }
    if (count == 0) {
        return 0;
    }
    set_head_locked(domain, queue, next);
    return skua__offers_add(handful, list, count);
}

skua_job *
skua__inject_pop(skua_exec *exec, skua__domain *domain, skua__offers *handful) {
    /* relaxed: a hint, and first, because who looks at an inbox takes its line away from those who push. */
    if (skua__a64_load(&domain->listed, memory_order_relaxed) == 0 &&
        !skua__inject_any_in(domain)) {
        return NULL;
    }
    skua__mutex_lock(&domain->lock);
    drain_locked(domain, false);
    /*
     * A worker that looked for a pause before it began may be long in coming here. Whoever submits after a pause saw its
     * target, and we saw his job (J1): so what was submitted in a pause does not begin in it.
     */
    skua__queue *queue = skua__target(exec) > 0 ? next_queue_locked(domain) : NULL;
    skua_job *job = NULL;
    if (queue) {
        job = unlink_locked(domain, queue, &queue->head);
        bool fills =
            handful && queue == &domain->queues[SKUA_PRIORITY_NORMAL] && !skua__offers_any(handful);
        count_out_locked(exec, domain,
                         1 + (fills ? fill_handful_locked(exec, domain, queue, handful) : 0));
    }
    skua__mutex_unlock(&domain->lock);
    return job;
}

uint64_t
skua__inject_drain(skua_exec *exec, uint64_t *ret_listed) {
    uint64_t drained = 0;
    *ret_listed = 0;
    for (uint32_t i = 0; i < exec->map.count; i++) {
        skua__domain *domain = &exec->domains[i];
        skua__mutex_lock(&domain->lock);
        drain_locked(domain, true);
        drained += domain->drained;
        /* relaxed: under the lock */
        *ret_listed += skua__a64_load(&domain->listed, memory_order_relaxed);
        skua__mutex_unlock(&domain->lock);
    }
    return drained;
}

static skua_job *
pop_of_locked(skua_exec *exec, skua__domain *domain, const skua_group *group) {
    drain_locked(domain, true);
    for (uint32_t i = 0; i < EXEC_PRIORITIES; i++) {
        skua__queue *queue = &domain->queues[queue_order[i]];
        for (skua_job **link = &queue->head; *link; link = &(*link)->next) {
            if ((*link)->group == group) {
                skua_job *found = unlink_locked(domain, queue, link);
                count_out_locked(exec, domain, 1);
                return found;
            }
        }
    }
    return NULL;
}

static skua_job *
pop_of(skua_exec *exec, const skua_group *group, bool withdraws) {
    skua_job *found = NULL;
    for (uint32_t i = 0; i < exec->map.count && !found; i++) {
        skua__domain *domain = &exec->domains[i];
        /*
         * seq_cst G2, in here: after the waiter was counted; pairs with seq_cst G2 in skua_group_submit(). What is read
         * under the lock then is as new.
         */
        if (!skua__inject_any_in(domain)) {
            continue;
        }
        skua__mutex_lock(&domain->lock);
        found = pop_of_locked(exec, domain, group);
        domain->drained -= found && withdraws ? 1 : 0; /* no worker will count its end */
        skua__mutex_unlock(&domain->lock);
    }
    return found;
}

skua_job *
skua__inject_pop_of(skua_exec *exec, const skua_group *group) {
    return pop_of(exec, group, false);
}

skua_job *
skua__inject_withdraw(skua_exec *exec, const skua_group *group) {
    return pop_of(exec, group, true);
}
