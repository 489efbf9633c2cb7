// SPDX-License-Identifier: MPL-2.0
// Futures: one job on the heap with a result, waiters and followers. A reference count keeps it; the executor holds one
// reference while the job is queued or runs. A future holds one on each that follows it, until it is done; from then until
// it ran the follower holds one on the future, so that there never is a circle.
//
//   WAITING --(what it follows is done)--> QUEUED --(claimed by a worker or a waiter)--> RUNNING --> DONE
//   a promise is RUNNING from the start; what cannot be queued goes from WAITING to DONE
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>

enum future_state {
    FUTURE_WAITING,
    FUTURE_QUEUED,
    FUTURE_RUNNING,
    FUTURE_DONE,
};

struct skua_future {
    skua_job job; /* first: a frame's job is the future's address */
    skua_exec *exec;
    const skua_allocator *hook;
    uint32_t fork_generation;
    bool is_promise;
    bool is_completed; /* a promise's first complete has begun; guarded by lock */
    skua__a32 refs;
    skua__a32 state;
    skua_future_fn *fn;
    skua_then_fn *then_fn;
    skua_group *group;
    void *arg;
    void *value;        /* written before DONE */
    skua_status status; /* written before DONE */
    skua__mutex lock;   /* guards waiters, followers, previous, is_completed and the step to DONE */
    skua__list waiters;
    skua_future *followers;
    skua_future *next_follower;
    skua_future *previous; /* what we follow, until we ran; a reference from QUEUED on */
};

static uint32_t
load_state(const skua_future *future) {
    /* acquire F1: value and status; pairs with release F1 in finish() */
    return skua__a32_load(&future->state, memory_order_acquire);
}

static bool
claim(skua_future *future) {
    uint32_t expected = FUTURE_QUEUED;
    /* acquire F2: what the submitter wrote; pairs with release F2 in queue_up() */
    return skua__a32_cas(&future->state, &expected, FUTURE_RUNNING, memory_order_acquire);
}

static void run_future_job(skua_worker w, skua_job *job);

static skua_future *
new_future(skua_exec *exec, uint32_t state, skua_error *err) {
    skua_future *future = skua__mem_new(exec->hook, sizeof *future);
    if (!future) {
        SKUA_FAIL_MEMORY(err, "a future");
        return NULL;
    }
    skua_job_init(&future->job, run_future_job);
    future->job.flags = EXEC_JOB_ALWAYS;
    future->exec = exec;
    future->hook = exec->hook;
    future->fork_generation = exec->fork_generation;
    skua__a32_store(&future->refs, 1, memory_order_relaxed);      /* relaxed: still private */
    skua__a32_store(&future->state, state, memory_order_relaxed); /* relaxed: still private */
    skua__mutex_init(&future->lock);
    skua__list_init(&future->waiters);
    return future;
}

skua_future *
skua_future_ref(skua_future *future) {
    assert(future);
    /* relaxed: who takes a reference has one. */
    skua__a32_add(&future->refs, 1, memory_order_relaxed);
    return future;
}

/* Wakes the waiters of a future that is done now, and returns its followers, each with a reference on it. */
static skua_future *
finish(skua_future *future, skua_status status, void *value) {
    skua__mutex_lock(&future->lock);
    future->status = status;
    future->value = value;
    if (future->is_promise) {
        skua__a32_sub(&future->exec->promises, 1, memory_order_relaxed); /* relaxed: a figure */
    }
    skua_future *previous = future->previous;
    skua_future *followers = future->followers;
    future->previous = NULL;
    future->followers = NULL;
    /* Each follower looks at it until it ran, whoever gives up his own reference meanwhile. */
    for (skua_future *each = followers; each; each = each->next_follower) {
        skua_future_ref(future);
    }
    /* release F1: value and status; pairs with acquire F1 in load_state() */
    skua__a32_store(&future->state, FUTURE_DONE, memory_order_release);
    SKUA_LIST_EACH(node, &future->waiters) {
        skua__list_remove(node);
        skua__unpark(&SKUA_CONTAINER_OF(node, skua__waiter, link)->parker);
    }
    skua__mutex_unlock(&future->lock);
    skua_future_unref(previous);
    return followers;
}

static skua_status
submit_job(skua_future *future) {
    return future->group ? skua_group_submit(future->group, &future->job)
                         : skua_exec_submit(future->exec, &future->job);
}

/* Hands the job of a future that nobody else knows yet to the executor, with a reference that the caller gives. */
static skua_status
queue_up(skua_future *future) {
    /* release F2: the future's fields; pairs with acquire F2 in claim() */
    skua__a32_store(&future->state, FUTURE_QUEUED, memory_order_release);
    return submit_job(future);
}

/* The same for a follower, for which workers may wait: they are woken to run it, since nobody else may be left to. */
static skua_status
queue_follower(skua_future *future) {
    skua__mutex_lock(&future->lock);
    /* release F2: as in queue_up(); pairs with acquire F2 in claim() */
    skua__a32_store(&future->state, FUTURE_QUEUED, memory_order_release);
    SKUA_LIST_EACH(node, &future->waiters) {
        skua__waiter *waiter = SKUA_CONTAINER_OF(node, skua__waiter, link);
        if (waiter->helps) {
            skua__unpark(&waiter->parker);
        }
    }
    skua__mutex_unlock(&future->lock);
    return submit_job(future);
}

/* Ends a future and starts what follows it; what cannot be started ends too, and so on. */
static void
complete(skua_future *future, skua_status status, void *value) {
    skua_future *list = finish(future, status, value);
    while (list) {
        skua_future *follower = list;
        list = follower->next_follower;
        follower->next_follower = NULL;
        skua_status queued = queue_follower(follower);
        if (queued != SKUA_OK && !claim(follower)) {
            skua_future_unref(follower); /* somebody who waits for it runs it already */
        } else if (queued != SKUA_OK) {
            skua_future *more = finish(follower, queued, NULL);
            while (more) {
                skua_future *next = more->next_follower;
                more->next_follower = list;
                list = more;
                more = next;
            }
            skua_future_unref(follower);
        }
    }
}

skua_future *
skua_future_unref(skua_future *future) {
    if (future && future->fork_generation != skua__fork_generation()) {
        return NULL; /* the parent's: its locks may be held for ever, and so may the allocator's */
    }
    /* acq_rel F3: all uses before the last reference goes; pairs with acq_rel F3 here */
    if (!future || skua__a32_sub(&future->refs, 1, memory_order_acq_rel) != 1) {
        return NULL;
    }
    if (load_state(future) != FUTURE_DONE) {
        /* A promise that nobody can keep any more: it comes back for as long as its followers run. */
        skua__a32_store(&future->refs, 1, memory_order_relaxed); /* relaxed: nobody else has it */
        complete(future, SKUA_E_CANCELLED, NULL);
        return skua_future_unref(future);
    }
    skua__mutex_fini(&future->lock);
    return skua__mem_free(future->hook, future);
}

/* Runs a claimed future's function. */
static void
run_body(skua_worker w, skua_future *future) {
    void *value = NULL;
    skua_status status = SKUA_E_CANCELLED;
    if (future->job.deadline_ns && skua__clock_ns() > future->job.deadline_ns) {
        status = SKUA_E_TIMEOUT;
    } else if (!future->group || !skua_group_cancelled(future->group)) {
        skua__note_running(skua__stack_of(w.top)->worker, future->then_fn
                                                              ? (void *)(uintptr_t)future->then_fn
                                                              : (void *)(uintptr_t)future->fn);
        status = future->then_fn ? future->then_fn(w, future->previous, future->arg, &value)
                                 : future->fn(w, future->arg, &value);
    }
    if (status < 0 && future->group) {
        skua_group_cancel(future->group, status, "a future of the group ended with an error");
    }
    complete(future, status, value);
}

static void
run_future_job(skua_worker w, skua_job *job) {
    skua_future *future = SKUA_CONTAINER_OF(job, skua_future, job);
    if (claim(future)) {
        run_body(w, future);
    }
    skua_future_unref(future);
}

/* ---- Making ---- */

/* missing: what of the call's arguments is NULL, or NULL. */
static skua_status
check_call(skua_exec *exec, const char *missing, const skua_future_options *given,
           skua_future_options *ret_options, skua_error *err) {
    if (missing) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL", missing);
    }
    if (!SKUA_READ_OPTIONS(ret_options, given) || ret_options->priority < 0 ||
        ret_options->priority >= EXEC_PRIORITIES || ret_options->deadline_ms < 0) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "options have no size, a newer field, an unknown priority or a negative "
                         "deadline_ms");
    }
    if (ret_options->group && ret_options->group->exec != exec) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the option group is %s",
                         ret_options->group->exec ? "a group of another executor" : "not prepared");
    }
    skua_status status = skua__exec_check(exec);
    return status == SKUA_OK ? SKUA_OK
                             : SKUA_FAIL(err, status, "the executor takes no future: %s",
                                         skua_status_text(status));
}

skua_status
skua_future_start(skua_future **ret_future, skua_exec *exec, skua_future_fn *fn, void *arg,
                  const skua_future_options *given, skua_error *err) {
    skua_future_options options;
    const char *missing = !ret_future ? "ret_future" : !exec ? "exec" : !fn ? "fn" : NULL;
    skua_status status = check_call(exec, missing, given, &options, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua_future *future = new_future(exec, FUTURE_WAITING, err);
    if (!future) {
        return SKUA_E_NO_MEMORY;
    }
    future->fn = fn;
    future->arg = arg;
    future->group = options.group;
    future->job.priority = (uint8_t)options.priority;
    future->job.near = options.near;
    skua_job_set_deadline(&future->job, options.deadline_ms ? options.deadline_ms : SKUA_UNLIMITED);
    status = queue_up(skua_future_ref(future));
    if (status != SKUA_OK) {
        skua_future_unref(future);
        skua_future_unref(future);
        return SKUA_FAIL(err, status, "the future cannot be queued: %s", skua_status_text(status));
    }
    *ret_future = future;
    return SKUA_OK;
}

skua_status
skua_future_promise(skua_future **ret_future, skua_exec *exec, skua_error *err) {
    skua_future_options options;
    const char *missing = !ret_future ? "ret_future" : !exec ? "exec" : NULL;
    skua_status status = check_call(exec, missing, NULL, &options, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua_future *future = new_future(exec, FUTURE_RUNNING, err);
    if (!future) {
        return SKUA_E_NO_MEMORY;
    }
    future->is_promise = true;
    skua__a32_add(&exec->promises, 1, memory_order_relaxed); /* relaxed: a figure */
    *ret_future = future;
    return SKUA_OK;
}

skua_status
skua_future_complete(skua_future *future, skua_status status, void *value) {
    if (!future || !future->is_promise) {
        return SKUA_E_BAD_ARGUMENT;
    }
    if (future->fork_generation != skua__fork_generation()) {
        return SKUA_E_FORKED; /* the lock may be held by a thread that stayed in the parent */
    }
    skua__mutex_lock(&future->lock);
    bool first = !future->is_completed;
    future->is_completed = true;
    skua__mutex_unlock(&future->lock);
    if (!first) {
        return SKUA_E_EXISTS;
    }
    skua_future_ref(future);
    complete(future, status, value);
    skua_future_unref(future);
    return SKUA_OK;
}

skua_status
skua_future_then(skua_future **ret_future, skua_future *future, skua_then_fn *fn, void *arg,
                 const skua_future_options *given, skua_error *err) {
    skua_future_options options;
    skua_exec *exec = future ? future->exec : NULL;
    const char *missing = !ret_future ? "ret_future" : !future ? "future" : !fn ? "fn" : NULL;
    skua_status status = check_call(exec, missing, given, &options, err);
    if (status == SKUA_OK && future->fork_generation != skua__fork_generation()) {
        status = SKUA_FAIL(err, SKUA_E_FORKED, "the future was made before fork()");
    }
    if (status != SKUA_OK) {
        return status;
    }
    skua_future *follower = new_future(exec, FUTURE_WAITING, err);
    if (!follower) {
        return SKUA_E_NO_MEMORY;
    }
    follower->then_fn = fn;
    follower->arg = arg;
    follower->group = options.group;
    follower->job.priority = (uint8_t)options.priority;
    follower->job.near = options.near;
    skua_job_set_deadline(&follower->job,
                          options.deadline_ms ? options.deadline_ms : SKUA_UNLIMITED);
    follower->previous = future;
    skua_future_ref(follower);
    skua__mutex_lock(&future->lock);
    bool done = load_state(future) == FUTURE_DONE;
    if (!done) {
        follower->next_follower = future->followers;
        future->followers = follower;
    }
    skua__mutex_unlock(&future->lock);
    if (done) {
        skua_future_ref(future);
        status = queue_up(follower);
    }
    if (status != SKUA_OK) {
        skua_future_unref(follower);
        skua_future_unref(follower);
        return SKUA_FAIL(err, status, "the future cannot be queued: %s", skua_status_text(status));
    }
    *ret_future = follower;
    return SKUA_OK;
}

/* ---- Waiting ---- */

bool
skua_future_done(const skua_future *future) {
    assert(future);
    return load_state(future) == FUTURE_DONE;
}

static bool
runs_here(const skua__worker *worker, const skua_future *future) {
    const skua__frame *frame = worker->frame;
    while (frame && frame->job != &future->job) {
        frame = frame->parent;
    }
    return frame != NULL;
}

/* Takes a reference unless the last one is gone already. */
static bool
try_ref(skua_future *future) {
    uint32_t refs = skua__a32_load(&future->refs, memory_order_relaxed); /* relaxed: CAS below */
    while (refs != 0) {
        /* relaxed: the lock of what follows orders it. */
        if (skua__a32_cas(&future->refs, &refs, refs + 1, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* The future whose end would let this one go on, with a reference: itself, or the first in its line that is not done. */
static skua_future *
first_in_line(skua_future *future) {
    skua_future *first = skua_future_ref(future);
    while (load_state(first) == FUTURE_WAITING) {
        skua__mutex_lock(&first->lock);
        /* It clears the pointer under this lock before it gives up what it points to. */
        skua_future *previous =
            first->previous && try_ref(first->previous) ? first->previous : NULL;
        skua__mutex_unlock(&first->lock);
        if (!previous || load_state(previous) == FUTURE_DONE) {
            skua_future_unref(previous); /* whoever ended it is about to queue first */
            break;
        }
        skua_future_unref(first);
        first = previous;
    }
    return first;
}

/* Runs, on this worker, what the future waits for, if nobody has started it. */
static bool
help(skua__worker *worker, skua_future *future) {
    skua_future *first = first_in_line(future);
    bool claimed = claim(first);
    if (claimed) {
        const skua__frame *before = worker->frame;
        skua__nest nest;
        skua_worker w = skua__nest_begin(worker, &nest);
        uint32_t depth = worker->block_depth;
        skua__frame here = {.parent = before,
                            .outer = before,
                            .group = first->group,
                            .job = &first->job,
                            .base = nest.base};
        void *outer = skua__aptr_load(&worker->running, memory_order_relaxed); /* relaxed: ours */
        worker->frame = &here;
        skua__stat_add(worker, EXEC_STAT_TASKS, 1);
        run_body(w, first);
        skua__check_return(w, depth);
        skua__note_running(worker, outer);
        worker->frame = before;
        skua__nest_end(worker);
    }
    skua_future_unref(first);
    return claimed;
}

/* Waits until the future is done or, where the caller helps, to be helped with. */
static skua_status
wait_for(skua_future *future, int64_t deadline_ns, bool helps, bool is_deep) {
    skua__waiter waiter = {.helps = helps};
    skua__mutex_lock(&future->lock);
    uint32_t state = load_state(future);
    bool waits = state != FUTURE_DONE && (!helps || state != FUTURE_QUEUED);
    if (waits) {
        skua__list_push_back(&future->waiters, &waiter.link);
    }
    skua__mutex_unlock(&future->lock);
    if (!waits) {
        return SKUA_OK;
    }
    skua_status status =
        skua__wait(future->exec, &waiter.parker, deadline_ns, &future->job, is_deep);
    skua__mutex_lock(&future->lock);
    skua__list_remove(&waiter.link); /* unlinked already when it is done */
    status = load_state(future) == FUTURE_DONE ? SKUA_OK : status;
    skua__mutex_unlock(&future->lock);
    return status;
}

/*
 * Waits for a future that is not done; on a worker it helps, unless the thread's own stack is deep and somebody else can. There it
 * waits for the first in the line, and looks again when that is done or queued: what follows a future can be run by nobody
 * before, and no circle be seen through it.
 */
static skua_status
help_and_wait(skua_future *future, skua__worker *worker, int64_t deadline_ns, bool may_help) {
    bool deep = worker && skua__is_deep(worker);
    bool helps = worker && may_help && !deep;
    skua_status status;
    do {
        while (helps && !skua_future_done(future) && skua__time_left(future->exec, deadline_ns) &&
               help(worker, future)) {
        }
        skua_future *first = worker ? first_in_line(future) : skua_future_ref(future);
        status = wait_for(first, deadline_ns, helps, deep && may_help && !helps);
        skua_future_unref(first);
        helps |= status == SKUA_E_AGAIN; /* deep as we are, nobody else would */
    } while (status == SKUA_E_AGAIN || (status == SKUA_OK && !skua_future_done(future)));
    return status;
}

skua_status
skua_future_get(skua_future *future, int64_t timeout_ms, void **ret_value, skua_error *err) {
    if (!future) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the future is NULL");
    }
    int64_t deadline_ns = skua__deadline_ns(timeout_ms ? timeout_ms : SKUA_UNLIMITED);
    if (!skua_future_done(future)) {
        if (future->fork_generation != skua__fork_generation()) {
            return SKUA_FAIL(err, SKUA_E_FORKED, "the future was made before fork()");
        }
        skua__worker *worker = skua__worker_here(future->exec);
        if (worker && runs_here(worker, future)) {
            return SKUA_FAIL(err, SKUA_E_DEADLOCK, "a future's own task waits for it");
        }
        skua_status status = help_and_wait(future, worker, deadline_ns, timeout_ms != SKUA_NONE);
        if (status == SKUA_E_DEADLOCK) {
            return SKUA_FAIL(err, status,
                             "the future's task waits, itself or through others, for the task that "
                             "would wait for it here");
        }
        if (status != SKUA_OK) {
            return SKUA_FAIL(err, SKUA_E_TIMEOUT, "the future was not done in %lld ms",
                             (long long)(timeout_ms > 0 ? timeout_ms : 0));
        }
    }
    if (future->status != SKUA_OK) {
        return SKUA_FAIL(err, future->status, "the future's task ended with an error: %s",
                         skua_status_text(future->status));
    }
    if (ret_value) {
        *ret_value = future->value;
    }
    return SKUA_OK;
}
