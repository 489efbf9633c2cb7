// SPDX-License-Identifier: MPL-2.0
// Groups: a count of jobs under way, a cancel with the first error, and waiting that helps.
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>

#include <stdio.h>
#include <string.h>

enum {
    GROUP_MESSAGE_BYTES = 128,
};

/* What lies in the public struct. */
typedef struct group_body {
    skua_exec *exec;
    uint32_t fork_generation; /* of the executor when the group was prepared */
    skua__a64 pending;        /* jobs under way, and submits in progress */
    skua__a32 status;         /* the first cancel's, or 0 */
    skua__a32 waiter_count;   /* the length of waiters */
    skua__a64 deadline_ns;    /* no job starts after it; 0: none */
    skua__a32 near;           /* of jobs that do not say where: node, and core in the upper half */
    skua__mutex lock;         /* guards waiters, message, and the step of pending from 1 to 0 */
    skua__list waiters;
    char message[GROUP_MESSAGE_BYTES];
} group_body;

static_assert(sizeof(group_body) <= sizeof(skua_group), "the body fits the public struct");
static_assert(_Alignof(group_body) <= _Alignof(skua_group), "and so does its alignment");

static group_body *
body_of(const skua_group *group) {
    return (group_body *)(void *)(uintptr_t)group;
}

void
skua_group_init(skua_group *group, skua_exec *exec) {
    assert(group && exec);
    memset(group, 0, sizeof *group);
    group_body *body = body_of(group);
    body->exec = exec;
    body->fork_generation = exec->fork_generation;
    skua__mutex_init(&body->lock);
    skua__list_init(&body->waiters);
}

/* In the child of a fork() the lock may be held by a thread that stayed in the parent: it is never taken there. */
static bool
is_forked(const group_body *body) {
    return body->fork_generation != skua__fork_generation();
}

void
skua_group_fini(skua_group *group) {
    if (!group || !group->exec) {
        return;
    }
    group_body *body = body_of(group);
    if (is_forked(body)) {
        memset(group, 0, sizeof *group);
        return;
    }
    /* acquire G1: pairs with release G1 in skua__group_done() */
    assert(skua__a64_load(&body->pending, memory_order_acquire) == 0 &&
           "skua_group_fini: a job of the group is under way");
    skua__mutex_fini(&body->lock);
    memset(group, 0, sizeof *group);
}

void
skua__group_renew(skua_group *group, skua_exec *exec) {
    if (!group->exec) {
        skua_group_init(group, exec);
    }
    group_body *body = body_of(group);
    skua__mutex_lock(&body->lock);
    if (body->exec != exec) {
        body->exec = exec; /* not written else: a cancel that comes late looks at it */
    }
    skua__a32_store(&body->status, 0, memory_order_relaxed); /* relaxed: under the lock */
    skua__a64_add(&body->pending, 1, memory_order_relaxed);  /* relaxed: same */
    skua__mutex_unlock(&body->lock);
}

const skua__a32 *
skua__group_status(const skua_group *group) {
    return &body_of(group)->status;
}

static void
wake_waiters_locked(group_body *body) {
    SKUA_LIST_EACH(node, &body->waiters) {
        skua__unpark(&SKUA_CONTAINER_OF(node, skua__waiter, link)->parker);
    }
}

void
skua__group_done(skua_group *group) {
    group_body *body = body_of(group);
    uint64_t pending = skua__a64_load(&body->pending, memory_order_relaxed); /* relaxed: CAS */
    while (pending > 1) {
        /* release G1: what the job did; pairs with acquire G1 in is_empty() */
        if (skua__a64_cas(&body->pending, &pending, pending - 1, memory_order_release)) {
            return;
        }
    }
    /* The last one: under the lock, so that who waits cannot free the group before we are out of it. */
    skua__mutex_lock(&body->lock);
    /* release G1: see above */
    if (skua__a64_sub(&body->pending, 1, memory_order_release) == 1) {
        wake_waiters_locked(body);
    }
    skua__mutex_unlock(&body->lock);
}

skua_status
skua_group_submit(skua_group *group, skua_job *job) {
    if (!group || !group->exec || !job || !job->run) {
        return SKUA_E_BAD_ARGUMENT;
    }
    group_body *body = body_of(group);
    skua_exec *exec = body->exec;
    skua_status status = is_forked(body) ? SKUA_E_FORKED : skua__exec_check(exec);
    if (status != SKUA_OK) {
        return status;
    }
    if (skua_group_cancelled(group)) {
        return SKUA_E_CANCELLED;
    }
    /* One for the job, one that keeps the group alive until we are done with it. */
    skua__a64_add(&body->pending, 2,
                  memory_order_relaxed); /* relaxed: the queue's lock publishes */
    job->group = group;
    /* relaxed: set before the submit of what it is meant for. */
    uint32_t near = skua__a32_load(&body->near, memory_order_relaxed);
    if (near && job->near.node == 0 && job->near.core == 0) {
        job->near = (skua_near){.node = (uint16_t)near, .core = (uint16_t)(near >> 16)};
        job->flags |= EXEC_JOB_NEAR;
    }
    status = skua__inject(exec, job);
    if (status != SKUA_OK) {
        skua__group_release(job);
        skua__group_done(group);
    } else if (skua__a32_load(&body->waiter_count, memory_order_seq_cst) > 0) {
        /* seq_cst G2: the job is queued before we look; pairs with seq_cst G2 in add_waiter() */
        skua__mutex_lock(&body->lock);
        wake_waiters_locked(body); /* a worker among them may help */
        skua__mutex_unlock(&body->lock);
    }
    skua__group_done(group);
    return status;
}

bool
skua_group_cancel(skua_group *group, skua_status status, const char *message) {
    assert(group && group->exec && "skua_group_init() prepares a group");
    group_body *body = body_of(group);
    if (is_forked(body)) {
        return false;
    }
    skua__mutex_lock(&body->lock);
    /* relaxed: under the lock */
    bool first = skua__a32_load(&body->status, memory_order_relaxed) == 0;
    if (first) {
        snprintf(body->message, sizeof body->message, "%s", message ? message : "");
        uint32_t value = (uint32_t)(status < 0 ? status : SKUA_E_CANCELLED);
        /* release G3: the message; pairs with acquire G3 in skua_group_cancelled() */
        skua__a32_store(&body->status, value, memory_order_release);
    }
    skua__mutex_unlock(&body->lock);
    return first;
}

bool
skua_group_cancelled(const skua_group *group) {
    assert(group && group->exec && "skua_group_init() prepares a group");
    group_body *body = body_of(group);
    /* acquire G3: pairs with release G3 in skua_group_cancel() */
    if (skua__a32_load(&body->status, memory_order_acquire) != 0) {
        return true;
    }
    /* relaxed: set before the submit of what it is meant for. */
    int64_t deadline_ns = (int64_t)skua__a64_load(&body->deadline_ns, memory_order_relaxed);
    if (deadline_ns == 0 || skua__clock_ns() <= deadline_ns) {
        return false;
    }
    skua_group_cancel((skua_group *)(uintptr_t)group, SKUA_E_TIMEOUT, "its deadline has passed");
    return true;
}

skua_status
skua__group_why(const skua_group *group) {
    /* acquire G3: pairs with release G3 in skua_group_cancel() */
    return (skua_status)(int32_t)skua__a32_load(&body_of(group)->status, memory_order_acquire);
}

void
skua_group_set_deadline(skua_group *group, int64_t timeout_ms) {
    assert(group && group->exec && "skua_group_init() prepares a group");
    int64_t deadline_ns = timeout_ms == SKUA_UNLIMITED ? 0
                          : timeout_ms < 0             ? 1
                                                       : skua__deadline_ns(timeout_ms);
    /* relaxed: the submit publishes it. */
    skua__a64_store(&body_of(group)->deadline_ns, (uint64_t)deadline_ns, memory_order_relaxed);
}

void
skua_group_set_near(skua_group *group, skua_near near) {
    assert(group && group->exec && "skua_group_init() prepares a group");
    /* relaxed: the submit publishes it. */
    skua__a32_store(&body_of(group)->near, near.node | (uint32_t)near.core << 16,
                    memory_order_relaxed); /* relaxed: same */
}

static skua_status
result_of(group_body *body, skua_error *err) {
    /* acquire G3: pairs with release G3 in skua_group_cancel() */
    skua_status status = (skua_status)(int32_t)skua__a32_load(&body->status, memory_order_acquire);
    if (status == SKUA_OK) {
        return SKUA_OK;
    }
    return SKUA_FAIL(err, status, "the group was cancelled: %s",
                     body->message[0] ? body->message : skua_status_text(status));
}

/* Counts the waiter in; false when the group is empty (or there is something to help with). */
static bool
add_waiter(group_body *body, skua__waiter *waiter) {
    skua__mutex_lock(&body->lock);
    /* acquire G1: what the jobs did; pairs with release G1 in skua__group_done() */
    bool waits = skua__a64_load(&body->pending, memory_order_acquire) > 0;
    if (waits) {
        skua__list_push_back(&body->waiters, &waiter->link);
        /* seq_cst G2: counted before we look for jobs; pairs with seq_cst G2 in skua_group_submit() */
        skua__a32_add(&body->waiter_count, 1, memory_order_seq_cst);
    }
    skua__mutex_unlock(&body->lock);
    return waits;
}

static void
remove_waiter(group_body *body, skua__waiter *waiter) {
    skua__mutex_lock(&body->lock);
    skua__list_remove(&waiter->link);
    skua__a32_sub(&body->waiter_count, 1, memory_order_relaxed); /* relaxed: under the lock */
    skua__mutex_unlock(&body->lock);
}

static bool
help(skua_group *group, skua__worker *worker) {
    skua_job *job = worker ? skua__inject_pop_of(worker->exec, group) : NULL;
    if (job) {
        skua__worker_run(worker, job);
    }
    return job != NULL;
}

static bool
is_waiting_for_itself(const skua__worker *worker, const skua_group *group) {
    const skua__frame *frame = worker ? worker->frame : NULL;
    while (frame && frame->group != group) {
        frame = frame->parent;
    }
    return frame != NULL;
}

static bool
is_empty(group_body *body) {
    skua__mutex_lock(&body->lock);
    /* acquire G1: as in add_waiter() */
    bool empty = skua__a64_load(&body->pending, memory_order_acquire) == 0;
    skua__mutex_unlock(&body->lock);
    return empty;
}

static skua_status
fail_wait(skua_status status, int64_t timeout_ms, skua_error *err) {
    if (status == SKUA_E_DEADLOCK) {
        return SKUA_FAIL(err, status,
                         "a job of the group waits, itself or through others, for the task that "
                         "would wait for the group here");
    }
    return SKUA_FAIL(err, status, "the group's jobs did not end in %lld ms",
                     (long long)(timeout_ms > 0 ? timeout_ms : 0));
}

skua_status
skua_group_wait(skua_group *group, int64_t timeout_ms, skua_error *err) {
    if (!group || !group->exec) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the group is NULL, or not prepared");
    }
    group_body *body = body_of(group);
    skua_exec *exec = body->exec;
    skua__worker *worker = skua__worker_here(exec);
    if (is_forked(body)) {
        return SKUA_FAIL(err, SKUA_E_FORKED, "the group was prepared before fork()");
    }
    if (is_waiting_for_itself(worker, group)) {
        return SKUA_FAIL(err, SKUA_E_DEADLOCK, "a job of the group waits for the group");
    }
    int64_t deadline_ns = skua__deadline_ns(timeout_ms ? timeout_ms : SKUA_UNLIMITED);
    bool helps = worker && !skua__is_deep(worker);
    for (;;) {
        while (helps && skua__time_left(exec, deadline_ns) && help(group, worker)) {
        }
        skua__waiter waiter = {0};
        if (!add_waiter(body, &waiter)) {
            return result_of(body, err);
        }
        skua_status status = SKUA_OK;
        if (!helps || !skua__time_left(exec, deadline_ns) || !help(group, worker)) {
            status = skua__wait(exec, &waiter.parker, deadline_ns, group, worker && !helps);
        }
        remove_waiter(body, &waiter);
        if (status == SKUA_E_AGAIN) {
            helps = true; /* deep as we are, nobody else would */
        } else if (status != SKUA_OK && !is_empty(body)) {
            return fail_wait(status, timeout_ms, err);
        }
    }
}

/* Takes a job out of the queue that will never run. */
static bool
withdraw(skua_group *group) {
    skua_job *job = skua__inject_withdraw(body_of(group)->exec, group);
    if (job) {
        skua__job_begin(job);
        skua__group_release(job);
        skua__group_done(group);
    }
    return job != NULL;
}

skua_status
skua__group_withdraw(skua_group *group) {
    group_body *body = body_of(group);
    if (is_waiting_for_itself(skua__worker_here(body->exec), group)) {
        return SKUA_E_DEADLOCK;
    }
    skua_status status = SKUA_OK;
    skua__waiter waiter = {0};
    while (status != SKUA_E_DEADLOCK && add_waiter(body, &waiter)) {
        status = withdraw(group)
                     ? SKUA_OK
                     : skua__wait(body->exec, &waiter.parker, SKUA_NEVER_NS, group, false);
        remove_waiter(body, &waiter);
    }
    return status;
}
