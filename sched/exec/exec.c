// SPDX-License-Identifier: MPL-2.0
// The executor as its users see it: open, close, run, submit, runner and figures.
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <stdio.h>
#include <string.h>

enum {
    EXEC_LOOKS = 64, /* looks at a token between two readings of the clock */
};

void
skua_exec_options_init(skua_exec_options *options, size_t size) {
    assert(options && size >= sizeof options->size);
    memset(options, 0, size);
    options->size = size;
}

/* ---- Open and close ---- */

static skua_status
read_options(skua_exec_options *ret_options, const skua_exec_options *given, skua_error *err) {
    if (!SKUA_READ_OPTIONS(ret_options, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "options have no size or a newer field");
    }
    const skua_exec_options *o = ret_options;
    int32_t spares = o->spares == SKUA_NONE ? 0 : o->spares;
    if (o->workers < 0 || spares < 0 || o->workers > SKUA_EXEC_WORKERS_MAX ||
        spares > SKUA_EXEC_WORKERS_MAX - o->workers) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "%d workers and %d spares asked for; together they may be 1 to %d",
                         (int)o->workers, (int)o->spares, SKUA_EXEC_WORKERS_MAX);
    }
    if (o->stack_slots < 0 || o->stack_slots > SKUA_EXEC_SLOTS_MAX) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "stack_slots is %d; it may be 1 to %d",
                         (int)o->stack_slots, SKUA_EXEC_SLOTS_MAX);
    }
    if (o->bind < SKUA_BIND_AUTO || o->bind > SKUA_BIND_ALWAYS || o->workers_max < 0 ||
        o->workers_max > SKUA_EXEC_WORKERS_MAX ||
        (o->workers_max > 0 && o->workers_max < o->workers)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "bind is %d and workers_max is %d; the most is 0, or from workers to %d",
                         (int)o->bind, (int)o->workers_max, SKUA_EXEC_WORKERS_MAX);
    }
    if (o->deterministic_seed && (o->workers > 1 || o->bind == SKUA_BIND_ALWAYS)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "deterministic_seed is for one worker without a thread; workers is %d",
                         (int)o->workers);
    }
    if (o->lease < SKUA_LEASE_AUTO || o->lease > SKUA_LEASE_ALWAYS) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "lease is %d; it may be a skua_lease_mode",
                         (int)o->lease);
    }
    if (ret_options->deterministic_seed) {
        ret_options->workers = 1;
        ret_options->workers_max = 1;
        ret_options->spares = SKUA_NONE;
    }
    if (o->queue_tasks < SKUA_UNLIMITED || o->spin_us < SKUA_NONE || o->spin_us == SKUA_UNLIMITED) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "queue_tasks is %d and spin_us is %d",
                         (int)o->queue_tasks, (int)o->spin_us);
    }
    if (o->close_warn_ms < SKUA_NONE || o->close_warn_ms == SKUA_UNLIMITED) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "close_warn_ms is %d", (int)o->close_warn_ms);
    }
    return SKUA_OK;
}

/* A copy of the given topology, or the machine's where it is needed; *ret_topology stays NULL where it is not. */
static skua_status
take_topology(const skua_exec_options *options, skua_topology **ret_topology, skua_error *err) {
    if (options->topology) {
        *ret_topology = skua__topology_copy(options->topology, options->allocator);
        return *ret_topology ? SKUA_OK : SKUA_FAIL_MEMORY(err, "a copy of the topology");
    }
    return skua__needs_topology(options)
               ? skua_topology_new(ret_topology,
                                   SKUA_TOPOLOGY_OPTIONS(.allocator = options->allocator), err)
               : SKUA_OK;
}

/* Empty queues and lists, and locks that nobody holds: for a new executor, and for one in the child of a fork(). */
static void
begin_life(skua_exec *exec, uint32_t workers) {
    exec->fork_generation = skua__fork_generation();
    skua__mutex_init(&exec->sleep_lock);
    skua__mutex_init(&exec->trace_lock);
    skua__tracks_init(&exec->tracks);
    skua__timers_init(&exec->timers);
    skua__mutex_init(&exec->replay_lock);
    skua__list_init(&exec->retired);
    skua__a64_store(&exec->submitted, 0, memory_order_relaxed); /* relaxed: no thread yet */
    skua__a64_store(&exec->popped, 0, memory_order_relaxed);    /* relaxed: no thread yet */
    skua__a32_store(&exec->promises, 0, memory_order_relaxed);  /* relaxed: no thread yet */
    skua__a32_store(&exec->closing, 0, memory_order_relaxed);   /* relaxed: no thread yet */
    skua__a32_store(&exec->tracing, EXEC_TRACE_OFF,
                    memory_order_relaxed);                         /* relaxed: no thread yet */
    skua__a32_store(&exec->places, 0, memory_order_relaxed);       /* relaxed: no thread yet */
    skua__a32_store(&exec->active, workers, memory_order_relaxed); /* relaxed: no thread yet */
    skua__a32_store(&exec->syncing, 0, memory_order_relaxed);      /* relaxed: no thread yet */
    skua__a32_store(&exec->threads, 0, memory_order_relaxed);      /* relaxed: no thread yet */
    exec->closer = (skua__parker){0};
}

static void
fill_exec(skua_exec *exec, const skua_exec_options *options, uint32_t workers) {
    int32_t spin_us = options->spin_us ? options->spin_us : EXEC_SPIN_US_DEFAULT;
    exec->hook = options->allocator ? options->allocator : skua_allocator_default();
    skua__sizes_init(exec, options, workers);
    uint32_t places = exec->sizes.most + exec->sizes.spares;
    exec->worker_places = places > SKUA_EXEC_WORKERS_MAX ? SKUA_EXEC_WORKERS_MAX : places;
    exec->slots = options->stack_slots ? (uint32_t)options->stack_slots : SKUA_EXEC_SLOTS_MAX;
    exec->spin_ns = spin_us == SKUA_NONE ? 0 : spin_us * SKUA_NS_PER_US;
    exec->queue_max = options->queue_tasks ? options->queue_tasks : SKUA_UNLIMITED;
    snprintf(exec->name, sizeof exec->name, "%s", options->name ? options->name : "skua");
    exec->log = options->log;
    exec->close_warn_ms =
        options->close_warn_ms ? options->close_warn_ms : EXEC_CLOSE_WARN_MS_DEFAULT;
    exec->replay_seed = options->deterministic_seed;
    begin_life(exec, workers);
}

static skua_status
start_workers(skua_exec *exec, uint32_t workers, skua_error *err) {
    if (exec->replay_seed) {
        return skua__replay_open(exec, err);
    }
    skua_status status = SKUA_OK;
    for (uint32_t i = 0; status == SKUA_OK && i < workers; i++) {
        status = skua__worker_open(exec, i, err);
    }
    for (uint32_t i = 0; status == SKUA_OK && i < workers; i++) {
        status = skua__worker_start(&exec->workers[i], err);
    }
    return status;
}

/* Ends what was begun; the threads have ended, or are another process's. */
static void
free_exec(skua_exec *exec) {
    const skua_allocator *hook = exec->hook;
    skua__lease_leave(exec);
    for (uint32_t i = 0; exec->workers && i < exec->worker_places; i++) {
        skua__worker_close(&exec->workers[i]);
    }
    skua__domains_close(exec);
    skua__mutex_fini(&exec->sleep_lock);
    skua__trace_fini(exec);
    skua__timers_fini(&exec->timers);
    skua__mutex_fini(&exec->replay_lock);
    skua__mem_free(hook, exec->workers);
    skua__plan_fini(&exec->plan);
    skua_topology_free(exec->topology);
    skua__mem_free(hook, exec->block);
}

skua_status
skua_exec_open(skua_exec **ret_exec, const skua_exec_options *given, skua_error *err) {
    skua_exec_options options;
    if (!ret_exec) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "ret_exec is NULL");
    }
    skua_topology *topology = NULL;
    skua_status status = read_options(&options, given, err);
    if (status == SKUA_OK) {
        status = take_topology(&options, &topology, err);
    }
    if (status != SKUA_OK) {
        return status;
    }
    uint32_t workers =
        options.workers ? (uint32_t)options.workers : skua_topology_workers(topology);
    workers = workers > SKUA_EXEC_WORKERS_MAX ? SKUA_EXEC_WORKERS_MAX : workers;
    void *block = skua__mem_new(options.allocator, sizeof(skua_exec) + EXEC_CACHE_LINE);
    if (!block) {
        skua_topology_free(topology);
        return SKUA_FAIL_MEMORY(err, "an executor");
    }
    skua_exec *exec = skua__aligned(block);
    exec->block = block;
    fill_exec(exec, &options, workers);
    status = skua__place_workers(exec, &options, topology, err);
    status = status == SKUA_OK ? skua__domains_open(exec, err) : status;
    if (status == SKUA_OK) {
        exec->workers = skua__mem_new_array(exec->hook, exec->worker_places, sizeof *exec->workers);
        status = exec->workers ? SKUA_OK : SKUA_FAIL_MEMORY(err, "the executor's workers");
    }
    if (status == SKUA_OK) {
        skua__lease_join(exec, &options);
        status = start_workers(exec, workers, err);
    }
    if (status != SKUA_OK) {
        skua_exec_close(exec);
        return status;
    }
    *ret_exec = exec;
    return SKUA_OK;
}

skua_exec *
skua_exec_close(skua_exec *exec) {
    if (!exec) {
        return NULL;
    }
    if (skua__worker_here(exec)) {
        skua__say(exec, "skua_exec_close: called by a worker of the executor, which would wait for "
                        "itself; it stays open");
        assert(false && "skua_exec_close: called by a worker of the executor");
        return NULL;
    }
    if (exec->fork_generation != skua__fork_generation()) {
        /* The threads stayed in the parent, and may have held any lock, the allocator's as well. */
        return NULL;
    }
    skua__timers_stop(&exec->timers); /* it is an outsider, who may not submit from here on */
    /* seq_cst C1: closing before the look at pending; pairs with seq_cst C1 in skua__is_over() */
    skua__a32_store(&exec->closing, 1, memory_order_seq_cst);
    skua__run_to_the_end(exec);
    if (exec->replay_seed &&
        skua__a32_load(&exec->places, memory_order_relaxed)) { /* relaxed: ours */
        skua__replay_until(exec, NULL);
    }
    skua__wake_all(exec);
    skua__await_threads(exec);
    /* relaxed: whoever completes one is to have returned */
    assert(skua__a32_load(&exec->promises, memory_order_relaxed) == 0 &&
           "skua_exec_close: a future of skua_future_promise() was never completed");
    for (uint32_t i = 0; exec->workers && i < exec->worker_places; i++) {
        if (exec->workers[i].started) {
            skua__thread_join(exec->workers[i].thread);
        }
    }
    free_exec(exec);
    return NULL;
}

skua_status
skua_exec_rebuild_after_fork(skua_exec *exec, skua_error *err) {
    if (!exec || exec->fork_generation == skua__fork_generation()) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s",
                         exec ? "the executor is this process's own already" : "exec is NULL");
    }
    if (skua__worker_here(exec)) {
        return SKUA_FAIL(
            err, SKUA_E_UNSUPPORTED,
            "a task forked: this thread is the copy of a worker; fork outside of tasks");
    }
    /* Nothing is given back: the parent's threads may have been anywhere. The stacks are used again. */
    for (uint32_t i = 0; i < exec->worker_places; i++) {
        void *block = exec->workers[i].stack_block;
        /* relaxed: no thread yet */
        void *ring = skua__aptr_load(&exec->workers[i].ring, memory_order_relaxed);
        memset(&exec->workers[i], 0, sizeof exec->workers[i]);
        exec->workers[i].exec = exec;
        exec->workers[i].stack_block = block;
        /* relaxed: no thread yet */
        skua__aptr_store(&exec->workers[i].ring, ring, memory_order_relaxed);
    }
    uint32_t workers = skua__sizes_again(exec);
    begin_life(exec, workers);
    skua__domains_begin(exec);
    skua__lease_join_again(exec);
    return start_workers(exec, workers, err);
}

skua_status
skua__exec_check(const skua_exec *exec) {
    if (exec->fork_generation != skua__fork_generation()) {
        return SKUA_E_FORKED;
    }
    /* relaxed: an outsider that calls during a close is wrong anyway; workers go on until the end. */
    if (skua__a32_load(&exec->closing, memory_order_relaxed) && !skua__worker_here(exec)) {
        return SKUA_E_CLOSED;
    }
    return SKUA_OK;
}

uint32_t
skua_exec_workers(const skua_exec *exec) {
    assert(exec);
    return skua__target(exec);
}

/* ---- Run and submit ---- */

bool
skua__await(skua_exec *exec, skua__parker *parker, int64_t deadline_ns) {
    if (exec->replay_seed && !skua__replay_until(exec, parker)) {
        return false;
    }
    if (exec->spin_ns > 0 && !skua__park_ready(parker)) {
        int64_t until_ns = skua__clock_ns() + exec->spin_ns;
        until_ns = until_ns < deadline_ns ? until_ns : deadline_ns;
        for (uint32_t looks = 1; !skua__park_ready(parker); looks++) {
            skua__atomic_pause();
            if (looks % EXEC_LOOKS == 0 && skua__clock_ns() >= until_ns) {
                break;
            }
        }
    }
    return skua__park(parker, deadline_ns);
}

/* A call from outside, on the caller's stack. */
typedef struct outside_call {
    skua_job job;
    skua_fn *fn;
    void *frame;
    skua__parker parker;
} outside_call;

static void
run_outside_call(skua_worker w, skua_job *job) {
    outside_call *call = SKUA_CONTAINER_OF(job, outside_call, job);
    skua__worker *worker = skua__stack_of(w.top)->worker;
    uint32_t depth = worker->block_depth;
    skua__note_running(worker, (void *)(uintptr_t)call->fn);
    call->fn(w, call->frame);
    skua__check_return(w, depth); /* before the caller goes on */
    skua__unpark(&call->parker);  /* the call's memory may be gone from here on */
}

skua_status
skua_exec_run(skua_exec *exec, skua_fn *fn, void *frame, skua_error *err) {
    if (!exec || !fn) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL", exec ? "fn" : "exec");
    }
    skua_status status = skua__exec_check(exec);
    if (status != SKUA_OK) {
        return SKUA_FAIL(err, status, "the executor runs nothing more: %s",
                         skua_status_text(status));
    }
    skua__worker *here = skua__worker_here(exec);
    if (here) {
        skua__nest nest;
        skua_worker w = skua__nest_begin(here, &nest);
        uint32_t depth = here->block_depth;
        fn(w, frame);
        skua__check_return(w, depth);
        skua__nest_end(here);
        return SKUA_OK;
    }
    outside_call call = {.fn = fn, .frame = frame};
    skua_job_init(&call.job, run_outside_call);
    status = skua__inject(exec, &call.job);
    if (status != SKUA_OK) {
        return SKUA_FAIL(err, status, "%lld jobs wait already: the queue_tasks option",
                         (long long)exec->queue_max);
    }
    (void)skua__wait(exec, &call.parker, SKUA_NEVER_NS, NULL, false);
    return SKUA_OK;
}

void
skua_job_set_deadline(skua_job *job, int64_t timeout_ms) {
    assert(job);
    int64_t deadline_ns = timeout_ms < 0 ? 1 : skua__deadline_ns(timeout_ms);
    job->deadline_ns = timeout_ms == SKUA_UNLIMITED ? 0 : deadline_ns;
}

skua_status
skua_exec_submit(skua_exec *exec, skua_job *job) {
    if (!exec || !job || !job->run) {
        return SKUA_E_BAD_ARGUMENT;
    }
    skua_status status = skua__exec_check(exec);
    return status == SKUA_OK ? skua__inject(exec, job) : status;
}

skua_status
skua_exec_submit_batch(skua_exec *exec, skua_job *const *jobs, size_t count) {
    if (!exec || (count && !jobs)) {
        return SKUA_E_BAD_ARGUMENT;
    }
    for (size_t i = 0; i < count; i++) {
        if (!jobs[i] || !jobs[i]->run) {
            return SKUA_E_BAD_ARGUMENT;
        }
    }
    skua_status status = skua__exec_check(exec);
    if (status != SKUA_OK || count == 0) {
        return status;
    }
    return skua__inject_batch(exec, jobs, count);
}

/* ---- The runner ---- */

typedef struct posted_call {
    skua_job job;
    const skua_allocator *hook;
    void (*fn)(void *arg);
    void *arg;
} posted_call;

static void
run_posted_call(skua_worker w, skua_job *job) {
    posted_call *call = SKUA_CONTAINER_OF(job, posted_call, job);
    skua__note_running(skua__stack_of(w.top)->worker, (void *)(uintptr_t)call->fn);
    void (*fn)(void *arg) = call->fn;
    void *arg = call->arg;
    skua__mem_free(call->hook, call);
    fn(arg);
}

static skua_status
post_to_exec(void *ctx, void (*fn)(void *arg), void *arg) {
    skua_exec *exec = ctx;
    posted_call *call = skua__mem_new(exec->hook, sizeof *call);
    if (!call) {
        return SKUA_E_NO_MEMORY;
    }
    *call = (posted_call){.hook = exec->hook, .fn = fn, .arg = arg};
    skua_job_init(&call->job, run_posted_call);
    skua_status status = skua_exec_submit(exec, &call->job);
    if (status != SKUA_OK) {
        skua__mem_free(exec->hook, call);
    }
    return status;
}

void
skua_exec_runner(skua_exec *exec, skua_runner *ret_runner) {
    assert(exec && ret_runner);
    *ret_runner = (skua_runner){.version = SKUA_RUNNER_VERSION, .ctx = exec, .post = post_to_exec};
}

/* ---- Figures ---- */

static void
add_stats(skua_exec_stats *stats, const skua__worker *worker) {
    struct {
        uint64_t *to;
        enum skua__stat from;
    } rows[] = {
        {&stats->tasks, EXEC_STAT_TASKS},     {&stats->tasks_dropped, EXEC_STAT_DROPPED},
        {&stats->steals, EXEC_STAT_STEALS},   {&stats->steal_misses, EXEC_STAT_MISSES},
        {&stats->leaps, EXEC_STAT_LEAPS},     {&stats->shares, EXEC_STAT_SHARES},
        {&stats->parks, EXEC_STAT_PARKS},     {&stats->wakes, EXEC_STAT_WAKES},
        {&stats->idle_ns, EXEC_STAT_IDLE_NS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        /* relaxed: figures, each right by itself. */
        *rows[i].to += skua__a64_load(&worker->stats[rows[i].from], memory_order_relaxed);
    }
}

/* Copies what the caller's (perhaps older) struct has room for. */
static skua_status
give_stats(skua_exec_stats *ret_stats, const skua_exec_stats *stats) {
    size_t size = ret_stats->size < sizeof *stats ? ret_stats->size : sizeof *stats;
    if (size < 2 * sizeof(uint64_t)) {
        return SKUA_E_BAD_ARGUMENT;
    }
    memcpy(ret_stats, stats, size);
    ret_stats->size = size;
    return SKUA_OK;
}

skua_status
skua_exec_stats_get(skua_exec *exec, skua_exec_stats *ret_stats) {
    if (!exec || !ret_stats) {
        return SKUA_E_BAD_ARGUMENT;
    }
    if (exec->fork_generation != skua__fork_generation()) {
        return SKUA_E_FORKED; /* any lock may be held for ever */
    }
    skua_exec_stats stats = {0};
    /* acquire N1: the spares' fields; pairs with release N1 in skua__worker_start() */
    uint32_t places = skua__a32_load(&exec->places, memory_order_acquire);
    for (uint32_t i = 0; i < places; i++) {
        add_stats(&stats, &exec->workers[i]);
    }
    skua__jobs_under_way(exec, &stats.queued_tasks);
    /* relaxed: a figure */
    uint32_t highest = skua__a32_load(&exec->sizes.highest, memory_order_relaxed);
    stats.spares = places > highest ? places - highest : 0;
    skua__mutex_lock(&exec->sleep_lock);
    stats.lease_pools = exec->lease.pools;
    stats.lease_refused = exec->lease.refused != NULL;
    skua__mutex_unlock(&exec->sleep_lock);
    return give_stats(ret_stats, &stats);
}

skua_status
skua_exec_worker_stats(skua_exec *exec, uint32_t worker, skua_exec_stats *ret_stats) {
    skua_exec_stats stats = {0};
    /* acquire N1: as in skua_exec_stats_get() */
    if (!exec || !ret_stats || worker >= skua__a32_load(&exec->places, memory_order_acquire)) {
        return SKUA_E_BAD_ARGUMENT;
    }
    add_stats(&stats, &exec->workers[worker]);
    return give_stats(ret_stats, &stats);
}
