// SPDX-License-Identifier: MPL-2.0
// Devices as sites: launches that were granted to one go from its outbox to its engine, and the engine tells of their end.
// No thread waits meanwhile: neither a worker nor whoever submitted.
#include <skua-int/kernels.h>

#include <string.h>

/*
 * A run is one attempt of a launch at a device. It holds the task (a reference) and its input (run_active) until the
 * engine has called done(), even when the task has ended meanwhile, because the device may still read and write.
 *
 *   outbox --flush: memory is made, unlocked--> engine --done()--> over
 *   a run that was made ready before the submission --granted--> engine
 *
 * The second way is that of small launches of a kernel whose last one went to a device: the thread that submits them
 * gives them to the engine under the one lock in which they are placed. It is taken only while the outbox is empty, so that
 * launches reach the engine in the order in which they were granted. When the engine refuses one there, its end waits for
 * the flush, because dispatch, which ended it, would come back to itself.
 *
 * How it ends, for a task that still waits for this attempt:
 *   OK                                        RESULT OK
 *   the device failed or hung                 DEATH: it begins again, elsewhere if anybody else may run it; a launch that is
 *                                             pinned to the device ends EXIT instead, with the device's words
 *   what it reads in a buffer was lost        EXIT with the words
 *   no room for it, or it does not build      HAND_BACK when another place may run it, else EXIT with the words
 *   the engine takes no more, or is closing   HAND_BACK, and the device gets nothing for a moment
 *   anything else                             EXIT with the words
 */

struct skua__device_run {
    skua__list link;    /* in the site's list of refused ones */
    skua_status status; /* why it was refused */
    skua_pool_future *task;
    skua__site *site;
    uint64_t epoch;     /* of the attempt */
    bool inside;        /* it, its output and its launch lie in the task's block */
    bool first;         /* of its kernel there: it is compiled, and its times say nothing */
    bool started;       /* the engine took it */
    bool alone;         /* nothing else was on the device */
    int64_t start_ns;   /* from when its time counts: its grant, or its buffers' turns */
    int64_t prepare_ns; /* that making its memory took */
    skua__launch *launch;
    uint8_t *output;
    uint8_t *
        aligned; /* a copy of an input that lies badly or is only lent; NULL: it does not, and is not */
};

static skua__kernel_place *
place_of(const skua__site *site) {
    return &site->pool->kernels->places[site->place - 1];
}

static bool
is_wanted(const skua__device_run *run) {
    const skua__lease *lease = &run->task->lease;
    return lease->state == SKUA__LEASE_HELD && lease->epoch == run->epoch;
}

/* ---- The end of a run ---- */

/* Whether another place that has not failed it yet may run this launch. */
static bool
others_may(const skua_pool *pool, const skua__device_run *run) {
    const skua_pool_future *task = run->task;
    const skua__kind *kind = task->lane->kind;
    for (uint32_t i = 0; i < pool->site_count && i < kind->offers_size; i++) {
        const skua__site *site = pool->sites[i];
        bool avoided = site->place && (task->launch->avoid & UINT32_C(1) << (site->place - 1));
        if (site != run->site && kind->offers[i].offered && !avoided &&
            skua__lane_allows(task->lane, site)) {
            return true;
        }
    }
    return false;
}

/* Returns how long the device was busy with it, copies included: at least 1 ns. */
static int64_t
learn_locked(skua_pool *pool, const skua__device_run *run, int64_t now_ns) {
    const skua__launch *launch = run->launch;
    skua__kind *kind = run->task->lane->kind;
    skua__site *site = run->site;
    const skua__coded_launch *coded = &run->task->launch->coded;
    /*
     * Bytes that are no buffer's are on their way from when memory is made for them, whether the device copies them then or
     * not: over as many the selector predicts it.
     */
    skua__launch_times times = {
        .move_ns = run->prepare_ns + launch->in_ns + launch->out_ns + launch->fetched_ns,
        .moved_bytes = launch->claim ? launch->in_bytes + launch->out_bytes + launch->fetched_bytes
                                     : coded->input_bytes + coded->output_bytes,
        .run_ns = launch->run_ns};
    int64_t total_ns = now_ns - run->start_ns;
    if (times.run_ns <= 0) { /* the device tells no times: ours have to do */
        times.run_ns = total_ns > times.move_ns ? total_ns - times.move_ns : 1;
    } else if (run->alone) {
        times.launch_ns = total_ns - times.run_ns - times.move_ns;
    }
    int64_t busy_ns = times.run_ns + times.move_ns;
    site->tasks++;
    site->busy_ns += (uint64_t)busy_ns;
    site->received_bytes += run->task->launch->coded.output_bytes;
    if (!run->first) {
        skua__cost_learn_run(&kind->offers[site->index].cost, busy_ns);
        skua__launch_learn_locked(pool, run->task, site, &times);
    } else {
        skua__launch_learn_locked(pool, run->task, site, &(skua__launch_times){0});
    }
    return busy_ns;
}

/* The device's memory was too small for it, or its compiler too old. Returns the event that follows. */
static skua__lease_event_kind
not_here_locked(const skua_pool *pool, const skua__device_run *run) {
    run->task->launch->avoid |= UINT32_C(1) << (run->site->place - 1);
    return others_may(pool, run) ? SKUA__LEASE_HAND_BACK : SKUA__LEASE_RESULT;
}

/*
 * The device died of it, or with it. While it rests it is given nothing (kernel_place.c): that is its quarantine, longer with each
 * failure, and it needs none of those that nodes have.
 */
static skua__lease_event_kind
failed_locked(skua_pool *pool, const skua__device_run *run) {
    const skua__site *site = run->site;
    bool pinned = run->task->launch->coded.on != SKUA_ON_ANY;
    if (!run->started) {
        return pinned ? SKUA__LEASE_RESULT : SKUA__LEASE_HAND_BACK;
    }
    pool->count.infrastructure_failures++;
    run->task->launch->avoid |= UINT32_C(1) << (site->place - 1);
    return pinned ? SKUA__LEASE_RESULT : SKUA__LEASE_DEATH;
}

/* What an end that is not good means for the task. */
static skua__lease_event_kind
event_of_locked(skua_pool *pool, const skua__device_run *run, skua_status status, int64_t now_ns) {
    if (run->launch && run->launch->blameless) {
        return SKUA__LEASE_RESULT; /* what it reads is lost, for whoever may run it */
    }
    switch (status) {
    case SKUA_E_DEVICE_FAILED:
        return failed_locked(pool, run);
    case SKUA_E_DEVICE_MEMORY:
    case SKUA_E_KERNEL_BUILD:
        return not_here_locked(pool, run);
    case SKUA_E_AGAIN:
    case SKUA_E_CLOSED:
    case SKUA_E_CANCELLED:
        run->site->refused_ns = now_ns + SKUA__POOL_RETRY_NS;
        skua__dispatch_again_locked(pool, run->site->refused_ns);
        return SKUA__LEASE_HAND_BACK;
    default:
        return SKUA__LEASE_RESULT;
    }
}

/* Its device hangs and may yet use what it was given, which so is lost for good. */
static void
lose_locked(const skua__device_run *run) {
    skua_pool_future *task = run->task;
    if (!run->inside) {
        skua__mem_lose(run->launch);
        skua__mem_lose(run->output);
    }
    if (run->inside || (!run->aligned && task->launch->input_room)) {
        /* Their block, with all that is in it, is never freed. relaxed: the run's own reference is held meanwhile. */
        atomic_fetch_add_explicit(&task->refs, 1, memory_order_relaxed);
        skua__mem_lose(task);
    } else {
        skua__mem_lose(run->aligned ? run->aligned : (void *)(uintptr_t)task->input);
    }
    if (!run->aligned) { /* the task's own, of which its next attempt at a device makes a copy */
        task->free_fn = NULL;
        task->keep_input = true;
    }
}

/* A run and what it has. held: its device may yet use that, so that it is lost. */
static void
free_run(const skua_allocator *hook, skua__device_run *run, bool held) {
    if (!held) {
        skua__mem_free(hook, run->aligned);
        skua__mem_free(hook, run->inside ? NULL : run->output);
        skua__launch_free(run->launch);
    }
    if (!run->inside) {
        skua__mem_free(hook, run);
    }
}

/* The run is over: the task hears of it, unless it has ended or begun anew, and everything but the task is freed. */
static void
end_locked(skua_pool *pool, skua__device_run *run, skua_status status, const char *words,
           int64_t now_ns) {
    skua_pool_future *task = run->task;
    skua__lease_event event = {
        .kind = SKUA__LEASE_RESULT, .epoch = run->epoch, .outcome = SKUA__LEASE_OK};
    bool wanted = is_wanted(run);
    task->launch->run = NULL;
    if (run->launch && run->launch->held) {
        lose_locked(run); /* before the task hears of it, whose end frees the input */
    }
    if (wanted && status == SKUA_OK) {
        int64_t busy_ns = learn_locked(pool, run, now_ns);
        skua__task_set_output_locked(task, run->output, task->launch->coded.output_bytes, NULL, 0,
                                     busy_ns);
        run->output = NULL;
    } else if (wanted) {
        skua__launch_failed_locked(pool, task, run->site);
        event.kind = event_of_locked(pool, run, status, now_ns);
        event.outcome = SKUA__LEASE_EXIT;
        run->site->retries += event.kind != SKUA__LEASE_RESULT;
        if (event.kind == SKUA__LEASE_RESULT) {
            pool->count.application_failures++;
            skua__task_set_output_locked(task, NULL, 0, skua__mem_strdup(task->hook, words), 1, 0);
        }
    }
    skua__task_run_over_locked(pool, task);
    if (wanted) {
        skua__task_event_locked(pool, task, &event, now_ns);
    }
    bool held = run->launch && run->launch->held;
    free_run(task->hook, run, held);
    skua__dispatch_locked(pool, now_ns);
    skua__task_unref(task);
}

/* On the engine's thread, which user code must not hold up: whom to call is left to the service thread. */
static void
launch_done(skua__launch *launch, skua_status status) {
    skua__device_run *run = launch->done_arg;
    skua_pool *pool = run->site->pool;
    skua__mutex_lock(&pool->lock);
    end_locked(pool, run, status, launch->error.message, skua__clock_ns());
    skua__pool_leave(pool);
}

/* ---- The way to the engine ---- */

/* Nobody has the launch any more, which lies in its task's block: before its run began, and after. */
static void
stay(skua__launch *launch) {
    (void)launch;
}

static void
let_go(skua__launch *launch) {
    skua__task_unref(launch->release_arg);
}

/* The site's attempt at a task that was granted to it begins. */
static void
begin_locked(skua_pool *pool, skua__site *site, skua_pool_future *task, skua__device_run *run) {
    site->sent_bytes += task->input_bytes;
    skua__list_push_back(&site->held, &task->link);
    task->sent = true;
    task->run_active = true;
    pool->local_runs++;
    /* relaxed: the pool's own reference is held meanwhile. */
    atomic_fetch_add_explicit(&task->refs, 1, memory_order_relaxed);
    run->task = task;
    if (run->inside) {
        /* relaxed: as above; it is the launch's, until its engine has tidied up. */
        atomic_fetch_add_explicit(&task->refs, 1, memory_order_relaxed);
        run->launch->release = let_go;
        run->launch->release_arg = task;
    }
    run->site = site;
    run->epoch = task->lease.epoch;
    uint32_t bit = UINT32_C(1) << (site->place - 1);
    run->first = !(task->launch->entry->warm & bit);
    task->launch->entry->warm |= bit;
}

/* Takes the outbox's first task over; NULL: it is empty, or there is no memory and the task waits again. */
static skua__device_run *
take_locked(skua_pool *pool, skua__site *site) {
    if (skua__list_empty(&site->outbox)) {
        return NULL;
    }
    skua_pool_future *task = SKUA_CONTAINER_OF(site->outbox.next, skua_pool_future, link);
    skua__device_run *run = skua__mem_new(pool->hook, sizeof *run);
    if (!run) {
        int64_t now_ns = skua__clock_ns();
        site->refused_ns = now_ns + SKUA__POOL_RETRY_NS;
        skua__dispatch_again_locked(pool, site->refused_ns);
        skua__site_take_back_locked(pool, site);
        return NULL;
    }
    skua__list_remove(&task->link);
    site->outbox_bytes -= task->input_bytes;
    begin_locked(pool, site, task, run);
    return run;
}

/* Makes the memory of a run and fills it, which takes as long as the copies take. */
static skua_status
prepare(const skua_allocator *hook, skua__device_run *run, const skua__launch_task *launch,
        const void *given, bool lent, skua_error *err) {
    const skua__coded_launch *coded = &launch->coded;
    const uint8_t *input = given;
    /* One that is only lent could not be kept from its owner while a device hangs with it. */
    if ((uintptr_t)input % SKUA__KERNEL_ALIGN || lent) {
        input = run->aligned = skua__mem_copy(hook, input, coded->input_bytes);
    }
    run->output = skua__mem_new(hook, coded->output_bytes ? coded->output_bytes : 1);
    if (!input || !run->output) {
        return SKUA_FAIL_MEMORY(err, "the arguments of a launch");
    }
    return skua__launch_decoded(hook, launch->entry->kernel, coded, input, run->output, NULL,
                                &run->launch, err);
}

size_t
skua__device_ready_bytes(const skua__kernel *kernel, const skua__coded_launch *coded) {
    return skua__kernel_rounded(sizeof(skua__device_run)) +
           skua__kernel_rounded(coded->output_bytes) + skua__launch_decoded_bytes(kernel, coded);
}

/* In the task's block, as skua__device_ready_bytes() counts. */
static skua__device_run *
ready_inside(const skua_allocator *hook, const skua__launch_task *launch, const void *input) {
    const skua__coded_launch *coded = &launch->coded;
    skua__device_run *run = launch->ready_room;
    memset(run, 0, sizeof *run);
    run->inside = true;
    run->output = (uint8_t *)launch->ready_room + skua__kernel_rounded(sizeof *run);
    memset(run->output, 0, coded->output_bytes);
    void *room = run->output + skua__kernel_rounded(coded->output_bytes);
    if (skua__launch_decoded(hook, launch->entry->kernel, coded, input, run->output, room,
                             &run->launch, NULL)) {
        return NULL;
    }
    run->launch->release = stay;
    return run;
}

skua__device_run *
skua__device_ready(const skua_allocator *hook, const skua__launch_task *launch, const void *input) {
    if (launch->ready_room) {
        return ready_inside(hook, launch, input);
    }
    skua__device_run *run = skua__mem_new(hook, sizeof *run);
    if (run && prepare(hook, run, launch, input, false, NULL)) {
        free_run(hook, run, false);
        run = NULL;
    }
    return run;
}

skua__device_run *
skua__device_ready_free(const skua_allocator *hook, skua__device_run *run) {
    if (run) {
        free_run(hook, run, false);
    }
    return NULL;
}

/* Gives a prepared run to the engine. On failure the task does not know of it. */
static skua_status
hand_over_locked(skua__device_run *run, skua_error *error) {
    skua__engine *engine = place_of(run->site)->engine;
    run->launch->done = launch_done;
    run->launch->done_arg = run;
    run->launch->claim = run->task->launch->claim; /* which stays until this run is over */
    run->start_ns = run->launch->claim ? skua__clock_ns() - run->prepare_ns : run->task->grant_ns;
    run->alone = run->task->alone && skua__engine_under_way(engine) == 0;
    run->started = true;
    skua_status status = skua__engine_submit(engine, run->launch, error);
    if (status) {
        run->started = false;
        return status;
    }
    run->task->launch->run = run;
    return SKUA_OK;
}

/* Gives a prepared run to the engine, if anybody still waits for it. */
static void
submit_locked(skua_pool *pool, skua__device_run *run, skua_status status, skua_error *error) {
    if (status || !is_wanted(run) || (status = hand_over_locked(run, error))) {
        end_locked(pool, run, status, error->message, skua__clock_ns());
    }
}

bool
skua__device_grant_locked(skua_pool *pool, skua_pool_future *task) {
    skua__site *site = task->site;
    skua__device_run *run = task->launch->ready;
    if (!run || site->flushing || !skua__list_empty(&site->outbox)) {
        return false;
    }
    task->launch->ready = NULL;
    begin_locked(pool, site, task, run);
    run->status = hand_over_locked(run, &run->launch->error);
    if (run->status) {
        skua__list_push_back(&site->refused, &run->link);
        pool->dirty_devices = true;
    }
    return true;
}

/* One thread at a time, so that launches reach the engine in the order in which they were granted. */
static void
flush_site_locked(skua_pool *pool, skua__site *site) {
    for (skua__list *node; (node = skua__list_pop_front(&site->refused)) != NULL;) {
        skua__device_run *run = SKUA_CONTAINER_OF(node, skua__device_run, link);
        end_locked(pool, run, run->status, run->launch->error.message, skua__clock_ns());
    }
    if (site->flushing) {
        return; /* who does it already looks once more before it ends */
    }
    site->flushing = true;
    for (skua__device_run *run; (run = take_locked(pool, site)) != NULL;) {
        skua_error error = {0};
        skua__mutex_unlock(&pool->lock);
        const skua_pool_future *task = run->task;
        int64_t start_ns = skua__clock_ns();
        skua_status status =
            prepare(task->hook, run, task->launch, task->input, task->keep_input, &error);
        run->prepare_ns = skua__clock_ns() - start_ns;
        skua__mutex_lock(&pool->lock);
        submit_locked(pool, run, status, &error);
    }
    site->flushing = false;
}

void
skua__device_flush(skua_pool *pool) {
    skua__mutex_lock(&pool->lock);
    skua__kernels *kernels = pool->kernels;
    for (uint32_t i = 0; kernels && i < kernels->place_count; i++) {
        if (kernels->places[i].engine) {
            flush_site_locked(pool, kernels->places[i].site);
        }
    }
    skua__mutex_unlock(&pool->lock);
}

void
skua__device_cancel_locked(skua_pool *pool, skua_pool_future *task) {
    (void)pool;
    skua__device_run *run = task->launch->run;
    if (run) {
        skua__engine_cancel(run->launch->engine, run->launch);
    }
}
