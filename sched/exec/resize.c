// SPDX-License-Identifier: MPL-2.0
// How many workers there are to be: resize, pause, and following the quota and the affinity mask while the executor lives.
//
//   target = paused ? 0 : min(what was asked for, what quota and affinity allow where nothing was asked for, the lease's share)
//
// A worker rests when more than target are active and its number is not under target; it does so between two jobs only, with an
// empty stack. Recalled are the lowest numbers first, so that those under target are the ones that run when nobody blocks.
//
// There is no timer. Quota and mask are read by a worker that goes to sleep or wakes up, and between two jobs by one that is
// busy, at most once a second; one worker at a time.
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/quota.h>

#include <sched.h>
#include <unistd.h>

/* ---- The target ---- */

void
skua__sizes_init(skua_exec *exec, const skua_exec_options *options, uint32_t workers) {
    skua__sizes *sizes = &exec->sizes;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t most = options->workers_max > 0 ? (uint32_t)options->workers_max
                    : online > 0             ? (uint32_t)online
                                             : 1;
    sizes->most = most > workers ? most : workers;
    sizes->most = sizes->most < SKUA_EXEC_WORKERS_MAX ? sizes->most : SKUA_EXEC_WORKERS_MAX;
    sizes->follows = options->workers == 0 && !options->topology;
    sizes->asked = sizes->follows ? sizes->most : workers;
    sizes->allowed = workers;
    sizes->share = UINT32_MAX;
    sizes->spares = options->spares == SKUA_NONE ? 0
                    : options->spares            ? (uint32_t)options->spares
                                                 : EXEC_SPARES_DEFAULT;
    sizes->quota_root = "";
    skua__a64_store(&sizes->follow_every_ns, SKUA_NS_PER_S,
                    memory_order_relaxed); /* relaxed: private */
    uint64_t again_ns = sizes->follows ? (uint64_t)(skua__clock_ns() + SKUA_NS_PER_S) : UINT64_MAX;
    skua__a64_store(&sizes->follow_again_ns, again_ns, memory_order_relaxed); /* relaxed: private */
    skua__a32_store(&sizes->highest, workers, memory_order_relaxed); /* relaxed: no thread yet */
    skua__a32_store(&sizes->target, workers, memory_order_relaxed);  /* relaxed: no thread yet */
}

uint32_t
skua__sizes_wish(const skua_exec *exec) {
    const skua__sizes *sizes = &exec->sizes;
    return sizes->follows && sizes->allowed < sizes->asked ? sizes->allowed : sizes->asked;
}

uint32_t
skua__sizes_again(skua_exec *exec) {
    skua__sizes *sizes = &exec->sizes;
    sizes->paused = false;
    sizes->share = UINT32_MAX;
    uint32_t workers = skua__sizes_wish(exec);
    skua__a32_store(&sizes->highest, workers, memory_order_relaxed); /* relaxed: no thread yet */
    skua__a32_store(&sizes->target, workers, memory_order_relaxed);  /* relaxed: no thread yet */
    return workers;
}

/* The resting worker with the lowest number, out of the list; or NULL. */
static skua__worker *
take_resting_locked(skua_exec *exec) {
    skua__worker *lowest = NULL;
    SKUA_LIST_EACH(node, &exec->retired) {
        skua__worker *worker = SKUA_CONTAINER_OF(node, skua__worker, sleeper);
        lowest = !lowest || worker->index < lowest->index ? worker : lowest;
    }
    if (lowest) {
        skua__list_remove(&lowest->sleeper);
    }
    return lowest;
}

/* Takes a worker back that rests, or starts one more if there may be so many. */
static skua_status
recall_locked(skua_exec *exec, uint32_t places_max, skua_error *err) {
    skua__worker *worker = take_resting_locked(exec);
    skua_status status = SKUA_OK;
    if (worker) {
        skua__unpark(&worker->parker);
    } else {
        uint32_t places = skua__a32_load(&exec->places, memory_order_relaxed); /* relaxed: locked */
        if (places >= places_max || places >= exec->worker_places) {
            return SKUA_E_LIMIT;
        }
        status = skua__worker_open(exec, places, err);
        status = status == SKUA_OK ? skua__worker_start(&exec->workers[places], err) : status;
    }
    if (status == SKUA_OK) {
        skua__a32_add(&exec->active, 1, memory_order_relaxed); /* relaxed: under the lock */
    }
    return status;
}

/* Whether all that are active sleep in a sync, and nobody has woken them. */
static bool
all_sync_locked(const skua_exec *exec) {
    /* relaxed: under the lock, all of them */
    uint32_t awake = skua__a32_load(&exec->active, memory_order_relaxed);
    if (skua__a32_load(&exec->syncing, memory_order_relaxed) < awake) { /* relaxed: same */
        return false;
    }
    uint32_t places = skua__a32_load(&exec->places, memory_order_relaxed); /* relaxed: same */
    for (uint32_t i = 0; i < places; i++) {
        const skua__worker *worker = &exec->workers[i];
        awake -= worker->is_syncing && !skua__park_ready(&worker->parker);
    }
    return awake == 0;
}

void
skua__stand_in_locked(skua_exec *exec) {
    /* relaxed: under the lock, both */
    uint32_t highest = skua__a32_load(&exec->sizes.highest, memory_order_relaxed);
    uint32_t active = skua__a32_load(&exec->active, memory_order_relaxed); /* relaxed: same */
    uint32_t target = skua__target(exec);
    if (active < target || (target > 0 && all_sync_locked(exec))) {
        (void)recall_locked(exec, highest + exec->sizes.spares, NULL);
    }
}

/* Works out the target, brings workers back or starts them, or wakes those that are to rest. */
static skua_status
retarget_locked(skua_exec *exec, skua_error *err) {
    skua__sizes *sizes = &exec->sizes;
    uint32_t target = skua__sizes_wish(exec);
    target = sizes->share < target ? sizes->share : target;
    target = sizes->paused ? 0 : target;
    skua__a32_store(&sizes->target, target, memory_order_relaxed); /* relaxed: under the lock */
    /* relaxed: under the lock, all of them; others want a figure */
    if (target > skua__a32_load(&sizes->highest, memory_order_relaxed)) {
        skua__a32_store(&sizes->highest, target, memory_order_relaxed); /* relaxed: same */
    }
    if (skua__a32_load(&exec->active, memory_order_relaxed) > target) { /* relaxed: same */
        skua__wake_all_locked(exec);
    }
    skua_status status = SKUA_OK;
    /* Those that block have their place here, too, and a spare is to stand in for each. */
    uint32_t places_max =
        skua__a32_load(&sizes->highest, memory_order_relaxed) + sizes->spares; /* relaxed: same */
    while (status == SKUA_OK &&
           skua__a32_load(&exec->active, memory_order_relaxed) < target) { /* relaxed: same */
        status = recall_locked(exec, places_max, err);
    }
    skua__stand_in_locked(exec);
    skua__lease_wish_locked(exec);
    skua__lease_note_locked(exec);
    /* At the limit are workers that block, and no spare is left. */
    return status == SKUA_E_LIMIT ? SKUA_OK : status;
}

void
skua__wake_resting_locked(skua_exec *exec) {
    skua__list *first = exec->retired.next;
    if (first != &exec->retired) {
        skua__unpark(&SKUA_CONTAINER_OF(first, skua__worker, sleeper)->parker);
    }
}

void
skua__set_share_locked(skua_exec *exec, uint32_t share) {
    skua__sizes *sizes = &exec->sizes;
    if (share != sizes->share) {
        sizes->share = share;
        (void)retarget_locked(exec, NULL);
    }
    if (share >= skua__sizes_wish(exec) || sizes->paused || exec->lease.watcher) {
        return;
    }
    /* relaxed: under the lock */
    uint32_t active = skua__a32_load(&exec->active, memory_order_relaxed);
    if (!skua__list_empty(&exec->retired)) {
        skua__wake_resting_locked(exec);
    } else if (active <= skua__target(exec)) {
        (void)recall_locked(exec, skua__sizes_wish(exec), NULL); /* it is one too many, and rests */
    }
}

skua_status
skua_exec_resize(skua_exec *exec, uint32_t workers, skua_error *err) {
    if (!exec) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "exec is NULL");
    }
    skua_status status = skua__exec_check(exec);
    if (status != SKUA_OK) {
        return SKUA_FAIL(err, status, "the executor cannot be resized: %s",
                         skua_status_text(status));
    }
    if (exec->replay_seed) {
        return SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "a deterministic executor has one worker");
    }
    if (workers > exec->sizes.most) {
        return SKUA_FAIL(err, SKUA_E_LIMIT,
                         "%u workers asked for, at most %u fit: the workers_max option",
                         (unsigned)workers, (unsigned)exec->sizes.most);
    }
    skua__mutex_lock(&exec->sleep_lock);
    exec->sizes.follows = workers == 0;
    exec->sizes.asked = workers ? workers : exec->sizes.most;
    if (workers && !exec->lease.always) {
        exec->sizes.share = UINT32_MAX; /* a number that was asked for is kept, from now on */
    }
    /* relaxed: a worker that still reads the old one follows once too often, or a sleep later. */
    skua__a64_store(&exec->sizes.follow_again_ns, workers ? UINT64_MAX : 0, memory_order_relaxed);
    status = retarget_locked(exec, err);
    skua__mutex_unlock(&exec->sleep_lock);
    if (workers == 0) {
        skua__follow_now(exec);
    }
    return status;
}

static skua_status
set_paused(skua_exec *exec, bool paused) {
    skua_status status = exec ? skua__exec_check(exec) : SKUA_E_BAD_ARGUMENT;
    if (status == SKUA_OK && exec->replay_seed) {
        return SKUA_E_UNSUPPORTED;
    }
    if (status != SKUA_OK) {
        return status;
    }
    skua__mutex_lock(&exec->sleep_lock);
    /* relaxed: who closes takes this lock afterwards, to end a pause that was before. */
    if (paused && skua__a32_load(&exec->closing, memory_order_relaxed)) {
        status = SKUA_E_CLOSED; /* a worker's call: in a pause nothing would ever end */
    } else {
        exec->sizes.paused = paused;
        status = retarget_locked(exec, NULL);
    }
    skua__mutex_unlock(&exec->sleep_lock);
    return status;
}

skua_status
skua_exec_pause(skua_exec *exec) {
    return set_paused(exec, true);
}

skua_status
skua_exec_resume(skua_exec *exec) {
    return set_paused(exec, false);
}

void
skua__run_to_the_end(skua_exec *exec) {
    skua__mutex_lock(&exec->sleep_lock);
    exec->sizes.paused = false;
    (void)retarget_locked(exec, NULL);
    skua__mutex_unlock(&exec->sleep_lock);
}

/* ---- Resting ---- */

void
skua__rest(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    skua__mutex_lock(&exec->sleep_lock);
    bool surplus = skua__is_surplus(worker);
    if (surplus) {
        skua__a32_sub(&exec->active, 1, memory_order_relaxed); /* relaxed: under the lock */
        skua__list_push_front(&exec->retired, &worker->sleeper);
        skua__lease_note_locked(exec);
    }
    skua__mutex_unlock(&exec->sleep_lock);
    if (!surplus) {
        return;
    }
    skua__wake_for_work(exec, NULL); /* what we would have taken is somebody else's now */
    bool linked = true;
    while (linked && !skua__is_over(exec)) {
        skua__mutex_lock(&exec->sleep_lock);
        int64_t look_ns = skua__lease_watch_locked(worker);
        skua__mutex_unlock(&exec->sleep_lock);
        skua__sleep(worker, look_ns);
        if (look_ns != SKUA_NEVER_NS) {
            skua__lease_look(exec);
        }
        skua__mutex_lock(&exec->sleep_lock);
        linked = !skua__list_empty(&worker->sleeper);
        skua__mutex_unlock(&exec->sleep_lock);
    }
    skua__leave_list(exec, worker, false);
}

/* ---- Following quota and affinity ---- */

/* How many CPUs the calling thread may use at once. */
static uint32_t
allowed_here(skua_exec *exec) {
    skua__mutex_lock(&exec->sleep_lock);
    const char *quota_root = exec->sizes.quota_root;
    skua__mutex_unlock(&exec->sleep_lock);
    uint32_t allowed = exec->sizes.most;
    cpu_set_t mask;
    /* A bound worker's mask is its own binding, and says nothing. */
    if (exec->bind == SKUA_BIND_NEVER && sched_getaffinity(0, sizeof mask, &mask) == 0) {
        uint32_t count = (uint32_t)CPU_COUNT(&mask);
        allowed = count < allowed ? count : allowed;
    }
    double quota = skua__quota_cpus(quota_root);
    if (quota > 0 && quota < (double)allowed) {
        uint32_t whole = (uint32_t)quota;
        allowed = quota > (double)whole ? whole + 1 : whole;
    }
    return allowed ? allowed : 1;
}

void
skua__follow_now(skua_exec *exec) {
    uint32_t allowed = allowed_here(exec);
    skua__mutex_lock(&exec->sleep_lock);
    exec->sizes.allowed = allowed;
    skua__lease_places(exec);
    (void)retarget_locked(exec, NULL);
    skua__mutex_unlock(&exec->sleep_lock);
}

void
skua__follow(skua__worker *worker) {
    skua_exec *exec = worker->exec;
    skua__sizes *sizes = &exec->sizes;
    /* relaxed: only who moves it on looks; the lock orders what he finds */
    uint64_t again_ns = skua__a64_load(&sizes->follow_again_ns, memory_order_relaxed);
    if (again_ns == UINT64_MAX) {
        return; /* not followed */
    }
    uint64_t now_ns = (uint64_t)skua__clock_ns();
    uint64_t every_ns =
        skua__a64_load(&sizes->follow_every_ns, memory_order_relaxed); /* relaxed: a setting */
    if (now_ns >= again_ns &&
        skua__a64_cas(&sizes->follow_again_ns, &again_ns, now_ns + every_ns, /* relaxed: as above */
                      memory_order_relaxed)) {
        skua__follow_now(exec);
    }
}
