// SPDX-License-Identifier: MPL-2.0
// Opening and closing a pool, waiting on it, and what it counts.
#include <skua-int/node_int.h>
#include <skua-int/pool_int.h>

#include <stdio.h>
#include <string.h>

enum {
    DEFAULT_WINDOW_BYTES = 256 * 1024 * 1024,
    DEFAULT_SERVE_QUEUE = 16384,
    DEFAULT_SERVE_QUEUE_BYTES = 512 * 1024 * 1024,
    DEFAULT_LEASE_MS = 15000,
    MIN_LEASE_MS = 500,
    MAX_LEASE_MS = 3600000,
    DEFAULT_ORPHAN_MS = 5000,
    DEFAULT_QUARANTINE_MS = 10000,
    DEFAULT_AWAIT_MS = 5000,
    DEFAULT_DRAIN_MS = 5000,
};

void
skua_pool_options_init(skua_pool_options *options, size_t size) {
    if (options && size >= sizeof size) {
        memset(options, 0, size);
        memcpy(options, &size, sizeof size);
    }
}

const char *
skua__pool_node_name(const skua_pool *pool) {
    return pool->node ? skua_node_name(pool->node) : "local";
}

/* ---- Entering, leaving and waiting ---- */

skua_status
skua__pool_check_fork(const skua_pool *pool, skua_error *err) {
    return pool->fork_generation == skua__fork_generation()
               ? SKUA_OK
               : SKUA_FAIL(err, SKUA_E_FORKED, "the pool was opened before a fork()");
}

skua_status
skua__pool_enter(skua_pool *pool, skua_error *err) {
    skua_status status = skua__pool_check_fork(pool, err);
    if (status) {
        return status;
    }
    skua__mutex_lock(&pool->lock);
    if (pool->closing) {
        skua__mutex_unlock(&pool->lock);
        return SKUA_FAIL(err, SKUA_E_CLOSED, "the pool is being closed");
    }
    return SKUA_OK;
}

bool
skua__pool_has_notes_locked(const skua_pool *pool) {
    return pool->dirty_outboxes || pool->dirty_cancels || pool->dirty_devices ||
           pool->wake_remote || !skua__list_empty(&pool->callbacks) ||
           !skua__list_empty(&pool->others_turns);
}

/* Calls what waits for a call: on_done, and the free_fn of an input that nothing reads any more. */
static void
call_back(skua_pool_future *task, void (*on_done)(void *arg, skua_pool_future *future),
          bool drop_input) {
    if (on_done) {
        on_done(task->on_done_arg, task);
    }
    if (drop_input && task->input) {
        skua__task_drop_input(task);
    }
    skua__task_unref(task);
}

/*
 * Unlocks, and does what was noted. may_call: also what is user code; else the service thread is woken for that.
 *
 * Doing it may note more: a launch that ends in the flush of its device (the engine takes no more, there is no memory for it,
 * nobody wants it any more) makes room, or gives a turn, to one whose device or link was looked at before, and may be waited
 * for or have an on_done. Nobody else would look for such notes, so it goes round until there are none. It comes to an end:
 * other threads take what they note along as they unlock, a task ends once, and a place that refused a launch gets
 * none for a moment (refused_ns), or not that one again (avoid).
 */
static void
settle(skua_pool *pool, bool may_call) {
    for (;;) {
        bool outboxes = pool->dirty_outboxes, cancels = pool->dirty_cancels;
        bool wake = pool->wake_remote, devices = pool->dirty_devices;
        pool->dirty_outboxes = pool->dirty_cancels = pool->wake_remote = false;
        pool->dirty_devices = false;
        skua__list *node = may_call ? skua__list_pop_front(&pool->callbacks) : NULL;
        skua_pool_future *task = node ? SKUA_CONTAINER_OF(node, skua_pool_future, link) : NULL;
        bool drop_input = task && !task->run_active;
        /* Taken while it is locked: from now on the end of a run may note the task once more, to drop its input only. */
        void (*on_done)(void *arg, skua_pool_future *future) = task ? task->on_done : NULL;
        pool->callbacks_running += task != NULL;
        bool turns = !skua__list_empty(&pool->others_turns);
        if (!may_call && (turns || !skua__list_empty(&pool->callbacks))) {
            skua__cond_signal(&pool->service_wake);
        }
        turns = turns && may_call;
        bool outside = outboxes || cancels || wake || devices || turns || task;
        pool->settlers += outside;
        skua__mutex_unlock(&pool->lock);
        if (!outside) {
            return;
        }
        if (outboxes) {
            skua__remote_flush(pool);
        }
        if (cancels) {
            skua__remote_cancels(pool);
        }
        if (devices) {
            skua__device_flush(pool);
        }
        if (wake) {
            skua__remote_wake(pool);
        }
        if (turns) {
            skua__turns_tell(pool);
        }
        if (task) {
            call_back(task, on_done, drop_input);
        }
        skua__mutex_lock(&pool->lock);
        pool->settlers--;
        if (pool->closing && !pool->settlers) {
            skua__cond_broadcast(&pool->changed);
        }
        pool->callbacks_running -= task != NULL;
        if (task || turns) { /* a close, or skua_pool_await_all(), waits for the last one */
            skua__pool_changed_locked(pool);
        }
    }
}

void
skua__pool_leave(skua_pool *pool) {
    settle(pool, false);
}

void
skua__pool_leave_calling(skua_pool *pool) {
    settle(pool, true);
}

void
skua__pool_leave_noting(skua_pool *pool) {
    if (skua__pool_has_notes_locked(pool)) {
        skua__cond_signal(&pool->service_wake);
    }
    skua__mutex_unlock(&pool->lock);
}

void
skua__pool_changed_locked(skua_pool *pool) {
    if (pool->waiters) {
        skua__cond_broadcast(&pool->changed);
    }
    if (pool->remote_waiters) {
        pool->wake_remote = true;
    }
}

void
skua__pool_left_locked(skua_pool *pool) {
    if (pool->room_wanted || pool->local_runs == 0 || pool->window_tasks == pool->forwarded_tasks) {
        pool->room_wanted = false;
        skua__pool_changed_locked(pool);
    }
}

bool
skua__pool_await(skua_pool *pool, bool (*ready)(skua_pool *pool, void *arg), void *arg,
                 int64_t deadline_ns) {
    if (pool->remote) {
        return skua__remote_await(pool, &pool->remote_waiters, ready, arg, deadline_ns);
    }
    skua__mutex_lock(&pool->lock);
    pool->waiters++;
    bool is_ready;
    while (!(is_ready = ready(pool, arg))) {
        if (!skua__cond_wait_until(&pool->changed, &pool->lock, deadline_ns)) {
            is_ready = ready(pool, arg);
            break;
        }
    }
    pool->waiters--;
    skua__cond_broadcast(&pool->changed); /* close waits for the last waiter */
    skua__mutex_unlock(&pool->lock);
    return is_ready;
}

/* ---- Opening ---- */

static skua_status
read_options(skua_pool_options *ret, const skua_pool_options *given, skua_error *err) {
    if (!SKUA_READ_OPTIONS(ret, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "the pool's options have no size, or ask for something that this library "
                         "does not know");
    }
    ret->window_tasks = ret->window_tasks ? ret->window_tasks : SKUA_POOL_DEFAULT_WINDOW_TASKS;
    ret->window_bytes = ret->window_bytes ? ret->window_bytes : DEFAULT_WINDOW_BYTES;
    ret->serve_queue_tasks = ret->serve_queue_tasks ? ret->serve_queue_tasks : DEFAULT_SERVE_QUEUE;
    ret->serve_queue_bytes =
        ret->serve_queue_bytes ? ret->serve_queue_bytes : DEFAULT_SERVE_QUEUE_BYTES;
    ret->lease_ms = ret->lease_ms ? ret->lease_ms : DEFAULT_LEASE_MS;
    ret->orphan_ms = ret->orphan_ms == SKUA_NONE ? 0
                     : ret->orphan_ms            ? ret->orphan_ms
                                                 : DEFAULT_ORPHAN_MS;
    ret->quarantine_ms = ret->quarantine_ms == SKUA_NONE ? 0
                         : ret->quarantine_ms            ? ret->quarantine_ms
                                                         : DEFAULT_QUARANTINE_MS;
    if (ret->window_tasks > SKUA_POOL_MAX_WINDOW_TASKS) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "window_tasks is above %d",
                         SKUA_POOL_MAX_WINDOW_TASKS);
    }
    if (ret->lease_ms < MIN_LEASE_MS || ret->lease_ms > MAX_LEASE_MS) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "lease_ms %d is not within %d to %d",
                         ret->lease_ms, MIN_LEASE_MS, MAX_LEASE_MS);
    }
    if (ret->orphan_ms < 0 || ret->orphan_ms > MAX_LEASE_MS || ret->quarantine_ms < 0 ||
        ret->quarantine_ms > MAX_LEASE_MS) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "orphan_ms or quarantine_ms is not within 0 to %d, or SKUA_NONE",
                         MAX_LEASE_MS);
    }
    return SKUA_OK;
}

static void
init_fields(skua_pool *pool, const skua_pool_options *options) {
    skua__metrics_init(&pool->metrics, SKUA_METRIC_POOL);
    pool->hook = options->allocator;
    pool->node = options->node;
    pool->exec = options->exec;
    pool->options = *options;
    pool->serves = options->node && options->exec && !options->submit_only;
    pool->fork_generation = skua__fork_generation();
    skua__mutex_init(&pool->lock);
    skua__cond_init(&pool->changed);
    skua__cond_init(&pool->service_wake);
    skua__list_init(&pool->functions);
    skua__list_init(&pool->kinds);
    skua__list_init(&pool->callbacks);
    skua__list_init(&pool->others_turns);
    skua__list_init(&pool->unheld);
    skua__hash_init(&pool->kind_table, pool->hook);
    for (int i = 0; i < SKUA__POOL_PRIORITIES; i++) {
        skua__list_init(&pool->ready[i]);
    }
    pool->retry_ns = pool->sweep_ns = SKUA_NEVER_NS;
    pool->service_until_ns = SKUA_NEVER_NS;
}

static void
free_fields(skua_pool *pool) {
    skua__kernels_close(pool);
    skua__kinds_fini(pool);
    for (uint32_t i = 0; i < pool->site_count; i++) {
        skua__mem_free(pool->hook, pool->sites[i]);
    }
    skua__mem_free(pool->hook, pool->sites);
    skua__mem_free(pool->hook, pool->slots);
    skua__mem_free(pool->hook, pool->free_slots);
    skua__mem_free(pool->hook, pool->heap);
    skua__cond_fini(&pool->service_wake);
    skua__cond_fini(&pool->changed);
    skua__mutex_fini(&pool->lock);
    skua__mem_free(pool->hook, pool);
}

static skua_status
open_sites(skua_pool *pool, skua_error *err) {
    if (pool->exec) {
        const char *name = skua__pool_node_name(pool);
        pool->local = skua__site_get_locked(pool, SKUA_BACKEND_LOCAL, name, name,
                                            pool->node ? skua__node_uuid(pool->node) : NULL);
        if (!pool->local) {
            return SKUA_FAIL_MEMORY(err, "the pool's own site");
        }
        pool->local->workers = skua_exec_workers(pool->exec);
    }
    skua_status status = SKUA_OK;
    if (pool->node && !pool->options.serve_only) {
        status = skua__remote_open(pool, err);
    }
    if (!status && pool->serves) {
        status = skua__server_open(pool, err);
    }
    return status;
}

static void
stop_service(skua_pool *pool) {
    if (pool->service_started) {
        skua__mutex_lock(&pool->lock);
        pool->service_stop = true;
        skua__cond_signal(&pool->service_wake);
        skua__mutex_unlock(&pool->lock);
        skua__thread_join(pool->service);
        pool->service_started = false;
    }
}

skua_status
skua_pool_open(skua_pool **ret_pool, const skua_pool_options *given, skua_error *err) {
    skua_pool_options options;
    skua_status status = read_options(&options, given, err);
    if (!status && options.node) {
        status = skua__node_check(options.node, err);
    }
    if (status) {
        return status;
    }
    if (!options.allocator) {
        options.allocator = options.node ? skua__node_hook(options.node) : skua_allocator_default();
    }
    skua_pool *pool = skua__mem_new(options.allocator, sizeof *pool);
    if (!pool) {
        return SKUA_FAIL_MEMORY(err, "a pool");
    }
    init_fields(pool, &options);
    status = open_sites(pool, err);
    if (!status) {
        status = skua__thread_start(&pool->service, "skua-pool", skua__service_main, pool, err);
    }
    if (status) {
        skua__server_close(pool);
        skua__remote_close(pool);
        free_fields(pool);
        return status;
    }
    pool->service_started = true;
    *ret_pool = pool;
    return SKUA_OK;
}

/* ---- Closing ---- */

static void
cancel_all_locked(skua_pool *pool) {
    int64_t now_ns = skua__clock_ns();
    for (uint32_t i = 0; i < pool->slot_count; i++) {
        if (pool->slots[i]) {
            skua__task_event_locked(pool, pool->slots[i],
                                    &(skua__lease_event){.kind = SKUA__LEASE_CANCEL}, now_ns);
        }
    }
}

static bool
is_quiet(skua_pool *pool, void *arg) {
    (void)arg;
    return pool->local_runs == 0 && pool->callbacks_running == 0 &&
           skua__list_empty(&pool->callbacks) && pool->window_tasks == 0 && pool->claims == 0 &&
           skua__list_empty(&pool->others_turns);
}

/* Threads that ended a task may still be waking whoever waits for it: they look at the pool once more. */
static void
await_settlers(skua_pool *pool) {
    skua__mutex_lock(&pool->lock);
    while (pool->settlers) {
        skua__cond_wait(&pool->changed, &pool->lock);
    }
    skua__mutex_unlock(&pool->lock);
}

/*
 * The end of a pool, each step only when the one before it is complete:
 *  1. The server, if there is one, hands back and lets end what is a peer's (serve_end.c).
 *  2. `closing`: dispatch grants nothing more, and each task of ours ends CANCELLED unless it has an outcome.
 *  3. Quiet: no function of ours runs, no task is without an outcome, and every on_done has returned. With 2 that lasts.
 *  4. The service thread is joined, and whoever still does what was noted under the lock has done it.
 *  5. The links to peers close: from here on neither the node's thread nor a link's event comes here.
 *  6. Those who waited for a future of ours have left. Nobody is left, and memory goes.
 */
skua_pool *
skua_pool_close(skua_pool *pool) {
    if (!pool || pool->fork_generation != skua__fork_generation()) {
        return NULL;
    }
    skua__remote_ask(pool);
    skua__server_close(pool);
    skua__mutex_lock(&pool->lock);
    pool->closing = true;
    cancel_all_locked(pool);
    skua__pool_changed_locked(pool);
    skua__pool_leave(pool);
    skua__pool_await(pool, is_quiet, NULL, SKUA_NEVER_NS);
    stop_service(pool);
    await_settlers(pool);
    skua__remote_close(pool);
    skua__mutex_lock(&pool->lock);
    while (pool->waiters) { /* those who waited for what has ended are on their way out */
        skua__cond_wait(&pool->changed, &pool->lock);
    }
    skua__mutex_unlock(&pool->lock);
    free_fields(pool);
    return NULL;
}

/* ---- Names, and waiting for them ---- */

skua_status
skua_pool_register(skua_pool *pool, const char *name, uint32_t version, skua_task_fn fn, void *arg,
                   skua_error *err) {
    if (!name || !skua__task_name_ok(name, strnlen(name, SKUA_NAME_BYTES))) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_NAME,
            "a task cannot be named \"%.80s\": names are 1 to 63 of a-z, 0-9, '.', '_' "
            "and '-'",
            name ? name : "");
    }
    if (!fn || version == 0) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "task \"%s\" needs a %s", name,
                         fn ? "version above 0" : "function");
    }
    skua_status status = skua__pool_enter(pool, err);
    if (status) {
        return status;
    }
    skua__function *function = NULL;
    status = skua__function_add_locked(pool, name, version, true, &function, err);
    if (!status) {
        function->fn = fn;
        function->arg = arg;
    }
    if (!status && pool->local) {
        skua__lanes_review_locked(pool, skua__clock_ns());
        skua__dispatch_locked(pool, skua__clock_ns());
        skua__pool_changed_locked(pool);
    }
    skua__pool_leave(pool);
    if (!status && pool->server) {
        skua__server_offers_changed(pool);
    }
    return status;
}

struct await_nodes {
    const char *name;
    size_t count;
};

static bool
nodes_ready(skua_pool *pool, void *arg) {
    const struct await_nodes *wanted = arg;
    const skua__kind *kind = skua__kind_find_locked(pool, wanted->name, 0);
    size_t nodes = 0;
    bool here = false; /* our cores and devices are one node */
    for (uint32_t i = 0; kind && i < kind->offers_size && i < pool->site_count; i++) {
        bool remote = pool->sites[i]->backend == SKUA_BACKEND_REMOTE;
        here = here || (kind->offers[i].offered && !remote);
        nodes += kind->offers[i].offered && remote;
    }
    return pool->closing || nodes + here >= wanted->count;
}

skua_status
skua_pool_await_nodes(skua_pool *pool, const char *name, size_t count, int64_t timeout_ms,
                      skua_error *err) {
    if (!name) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "skua_pool_await_nodes() needs a task's name");
    }
    skua_status status = skua__pool_enter(pool, err);
    if (status) {
        return status;
    }
    skua__mutex_unlock(&pool->lock);
    struct await_nodes wanted = {.name = name, .count = count};
    timeout_ms = timeout_ms ? timeout_ms : DEFAULT_AWAIT_MS;
    bool ready = skua__pool_await(pool, nodes_ready, &wanted, skua__deadline_ns(timeout_ms));
    status = skua__pool_enter(pool, err);
    if (status || ready) {
        if (!status) {
            skua__mutex_unlock(&pool->lock);
        }
        return status;
    }
    char offered[160];
    const skua__kind *kind = skua__kind_find_locked(pool, name, 0);
    uint32_t have = kind ? kind->offered : 0;
    skua__kinds_text_locked(pool, offered, sizeof offered);
    skua__mutex_unlock(&pool->lock);
    if (!have) {
        return SKUA_FAIL(err, SKUA_E_NO_PROVIDER, "nobody offers task \"%s\" (%s)", name, offered);
    }
    return SKUA_FAIL(
        err, SKUA_E_NO_PROVIDER,
        "%u of %zu nodes offer task \"%s\" (%s); start more, or look with `skua nodes`", have,
        count, name, offered);
}

static bool
all_ended(skua_pool *pool, void *arg) {
    (void)arg;
    return pool->window_tasks == pool->forwarded_tasks && skua__list_empty(&pool->callbacks) &&
           pool->callbacks_running == 0;
}

skua_status
skua_pool_await_all(skua_pool *pool, int64_t timeout_ms, skua_error *err) {
    skua_status status = skua__pool_enter(pool, err);
    if (status) {
        return status;
    }
    skua__mutex_unlock(&pool->lock);
    int64_t deadline_ns = skua__deadline_ns(timeout_ms ? timeout_ms : SKUA_UNLIMITED);
    if (skua__pool_await(pool, all_ended, NULL, deadline_ns)) {
        return SKUA_OK;
    }
    return SKUA_FAIL(err, SKUA_E_TIMEOUT, "tasks are still under way after %lld ms",
                     (long long)(timeout_ms == SKUA_NONE ? 0 : timeout_ms));
}

skua_status
skua_pool_drain(skua_pool *pool, int64_t timeout_ms, skua_error *err) {
    skua_status status = skua__pool_enter(pool, err);
    if (status) {
        return status;
    }
    skua__mutex_unlock(&pool->lock);
    int64_t deadline_ns = skua__deadline_ns(timeout_ms ? timeout_ms : DEFAULT_DRAIN_MS);
    if (skua__server_drain(pool, deadline_ns)) {
        return SKUA_OK;
    }
    return SKUA_FAIL(err, SKUA_E_TIMEOUT,
                     "tasks of peers still run; they end when they look at "
                     "skua_task_cancelled(), or when the pool is closed");
}

/* ---- Figures ---- */

void
skua__pool_fenced_locked(skua_pool *pool) {
    pool->count.results_fenced++;
    skua__metric_add(&pool->metrics, SKUA_M_POOL_FENCED, 1);
}

const struct skua_metrics *
skua_pool_metrics(skua_pool *pool) {
    return pool ? &pool->metrics : NULL;
}

skua_status
skua_pool_stats(skua_pool *pool, skua_pool_counters *ret_counters, skua_error *err) {
    if (!ret_counters || ret_counters->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "ret_counters->size is not set");
    }
    skua_status status = skua__pool_enter(pool, err);
    if (status) {
        return status;
    }
    skua_pool_counters counters = pool->count;
    counters.waiting = pool->waiting + pool->turn_waiting;
    counters.in_flight = pool->window_tasks - (uint32_t)counters.waiting;
    skua__mutex_unlock(&pool->lock);
    if (pool->server) {
        skua__server_counters(pool, &counters);
    }
    counters.size = ret_counters->size;
    memcpy(ret_counters, &counters,
           counters.size < sizeof counters ? counters.size : sizeof counters);
    return SKUA_OK;
}

static void
describe_site(const skua__site *site, skua_pool_backend *ret) {
    *ret = (skua_pool_backend){
        .kind = (int32_t)site->backend,
        .alive = site->alive,
        .workers = site->workers,
        .in_flight = site->in_flight,
        .task_names = site->task_names,
        .tasks = site->tasks,
        .retries = site->retries,
        .sent_bytes = site->sent_bytes,
        .received_bytes = site->received_bytes,
        .busy_ns = site->busy_ns,
        .round_trip_ns = site->way.round_samples ? site->way.round_ns : -1,
        .bandwidth_bytes_s = site->way.bytes_per_s ? site->way.bytes_per_s : -1,
    };
    int64_t left_ns = site->quarantine.until_ns - skua__clock_ns();
    ret->quarantined_ms = left_ns > 0 ? (left_ns + SKUA_NS_PER_MS - 1) / SKUA_NS_PER_MS : 0;
    ret->limit = site->alive ? SKUA__PLACE_AHEAD * site->workers : 0;
    if (site->in_flight > ret->limit) {
        ret->limit = site->in_flight;
    }
    memcpy(ret->name, site->name, sizeof ret->name);
    const skua__uuid none = {{0}};
    if (!skua__uuid_equal(&site->uuid, &none)) {
        skua__uuid_text(&site->uuid, ret->id);
    }
}

skua_status
skua_pool_backends(skua_pool *pool, skua_pool_backend *ret_backends, size_t backend_size,
                   size_t capacity, size_t *ret_count, skua_error *err) {
    if ((capacity && !ret_backends) || !ret_count || backend_size < sizeof(size_t)) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_ARGUMENT,
            "skua_pool_backends() needs an array, the size of its structs and ret_count");
    }
    skua_status status = skua__pool_enter(pool, err);
    if (status) {
        return status;
    }
    for (uint32_t i = 0; i < pool->site_count && i < capacity; i++) {
        skua_pool_backend backend;
        describe_site(pool->sites[i], &backend);
        backend.size = backend_size;
        memcpy((char *)ret_backends + i * backend_size, &backend,
               backend_size < sizeof backend ? backend_size : sizeof backend);
    }
    *ret_count = pool->site_count;
    skua__mutex_unlock(&pool->lock);
    return SKUA_OK;
}
