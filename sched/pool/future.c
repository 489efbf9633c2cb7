// SPDX-License-Identifier: MPL-2.0
// Submission and futures: the calls by which a program hands a task in and hears how it ended.
#include <skua-int/kernels.h>

#include <stdio.h>
#include <string.h>

enum {
    SLOTS_FIRST = 64,
    SMALL_GROUP = 16, /* work-items: fewer leave most of a device's lanes idle */
};

const char *
skua_outcome_text(int outcome) {
    static const char *const words[] = {"running", "ok",        "exit", "signal",
                                        "timeout", "cancelled", "lost", "refused"};
    const int count = sizeof words / sizeof words[0];
    return outcome >= 0 && outcome < count ? words[outcome] : "unknown";
}

void
skua_task_init(skua_task *task, size_t size) {
    if (task && size >= sizeof size) {
        memset(task, 0, size);
        memcpy(task, &size, sizeof size);
    }
}

/* ---- Submission ---- */

static skua_status
check_task(const skua_task *task, skua_error *err) {
    if (!task->name || !skua__task_name_ok(task->name, strnlen(task->name, SKUA_NAME_BYTES))) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_NAME,
            "a task cannot be named \"%.80s\": names are 1 to 63 of a-z, 0-9, '.', '_' "
            "and '-'",
            task->name ? task->name : "");
    }
    if (task->node && strlen(task->node) >= SKUA_NAME_BYTES) {
        return SKUA_FAIL(err, SKUA_E_BAD_NAME, "no node is named \"%.80s\"", task->node);
    }
    if (task->input_bytes > SKUA_TASK_MAX_BYTES) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG,
                         "the input of task \"%s\" has %zu bytes, and %d are the most", task->name,
                         task->input_bytes, SKUA_TASK_MAX_BYTES);
    }
    if (task->input_bytes && !task->input) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "task \"%s\" has input_bytes but no input",
                         task->name);
    }
    if (task->priority < 0 || task->priority >= SKUA__POOL_PRIORITIES) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "priority %d of task \"%s\" is none of skua_priority", task->priority,
                         task->name);
    }
    if (task->max_attempts > SKUA_TASK_MAX_ATTEMPTS) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "max_attempts of task \"%s\" is above %d",
                         task->name, SKUA_TASK_MAX_ATTEMPTS);
    }
    return SKUA_OK;
}

/* Room for one more task in the table; then it stays so until the task is put in, under the same lock. */
static skua_status
reserve_slot(skua_pool *pool) {
    if (pool->free_count) {
        return SKUA_OK;
    }
    if (pool->slot_count < pool->slot_size) {
        pool->slots[pool->slot_count] = NULL;
        pool->free_slots[pool->free_count++] = pool->slot_count++;
        return SKUA_OK;
    }
    uint32_t size = pool->slot_size ? pool->slot_size * 2 : SLOTS_FIRST;
    void *slots = skua__mem_resize(pool->hook, pool->slots, size * sizeof *pool->slots);
    if (!slots) {
        return SKUA_E_NO_MEMORY;
    }
    pool->slots = slots;
    void *free_slots = skua__mem_resize(pool->hook, pool->free_slots, size * sizeof(uint32_t));
    if (!free_slots) {
        return SKUA_E_NO_MEMORY;
    }
    pool->free_slots = free_slots;
    pool->slot_size = size;
    return reserve_slot(pool);
}

/* Makes the task's memory, with its own copy of the input where the pool is to have one. */
static skua_pool_future *
new_future(skua_pool *pool, const skua_task *task, skua__launch_task *launch, bool keep_ref) {
    skua_pool_future *future =
        launch ? skua__launch_future(launch) : skua__mem_new(pool->hook, sizeof *future);
    if (!future) {
        return NULL;
    }
    future->hook = pool->hook;
    future->block_bytes = launch ? future->block_bytes : sizeof *future;
    future->pool = pool;
    future->launch = launch;
    future->priority = (uint8_t)task->priority;
    future->keep_input = task->keep_input != 0;
    future->free_fn = task->keep_input ? NULL : task->free_fn;
    future->free_hint = task->free_hint;
    future->on_done = task->on_done;
    future->on_done_arg = task->on_done_arg;
    future->input_bytes = task->input_bytes;
    future->input = task->input_bytes ? task->input : NULL;
    future->reason = "";
    atomic_init(&future->refs, keep_ref ? 2 : 1);
    atomic_init(&future->ended, 0);
    future->by_link = pool->remote != NULL; /* set before anybody could submit */
    skua__list_init(&future->link);
    if (task->input_bytes && !task->keep_input && !task->free_fn && !launch) {
        future->input = skua__mem_copy(pool->hook, task->input, task->input_bytes);
        if (!future->input) {
            return skua__mem_free(pool->hook, future);
        }
    }
    int64_t timeout_ms =
        task->timeout_ms <= 0 && task->timeout_ms != SKUA_NONE ? SKUA_UNLIMITED : task->timeout_ms;
    future->lease = (skua__lease){
        .deadline_ns = skua__deadline_ns(timeout_ms),
        .max_attempts = !task->idempotent    ? 1
                        : task->max_attempts ? task->max_attempts
                                             : SKUA__POOL_DEFAULT_ATTEMPTS,
        .poison_deaths = SKUA_TASK_POISON_WORKERS,
        .idempotent = task->idempotent != 0,
    };
    future->submit_ns =
        skua__clock_ns(); /* after the deadline was set: one of no time at all has passed now */
    return future;
}

/* Nobody offers such tasks: says what is offered instead, and ends it REFUSED. */
static void
refuse(skua_pool *pool, skua_pool_future *future, const skua_task *task, int64_t now_ns) {
    char offered[160];
    char text[SKUA_TASK_MESSAGE_BYTES];
    skua__kinds_text_locked(pool, offered, sizeof offered);
    int used = snprintf(text, sizeof text, "nobody runs \"%s\"", task->name);
    if (task->version) {
        used += snprintf(text + used, sizeof text - (size_t)used, " version %u", task->version);
    }
    if (task->node && task->node_only) {
        used += snprintf(text + used, sizeof text - (size_t)used, " on \"%s\"", task->node);
    }
    if (future->launch && future->launch->claim && !future->launch->split &&
        future->launch->coded.on == SKUA_ON_ANY) {
        used += snprintf(text + used, sizeof text - (size_t)used,
                         " here, where its buffers are: neither the cores nor a device can");
    } else if (future->launch && future->launch->coded.on != SKUA_ON_ANY) {
        used += snprintf(text + used, sizeof text - (size_t)used,
                         " there: there is no such device, or the kernel lacks %s",
                         future->launch->coded.on == SKUA_ON_CORES ? "a function" : "a source");
    }
    snprintf(text + used, sizeof text - (size_t)used, " (%s)", offered);
    future->message = skua__mem_strdup(pool->hook, text);
    skua__task_event_locked(pool, future, &(skua__lease_event){.kind = SKUA__LEASE_ORPHAN}, now_ns);
}

/* The lane of a new task: NULL with *ret_status 0 when nobody serves it. */
static skua__lane *
find_lane(skua_pool *pool, const skua_task *task, const skua__launch_task *launch, int64_t now_ns,
          skua_status *ret_status) {
    *ret_status = SKUA_OK;
    skua__kind *kind = skua__kind_find_locked(pool, task->name, task->version);
    if (!kind) {
        return NULL;
    }
    int32_t on = launch ? launch->coded.on : SKUA_ON_ANY;
    bool stays =
        launch && launch->claim && !launch->split; /* what buffers hold is sent with parts */
    on = stays && on == SKUA_ON_ANY ? SKUA__ON_HERE : on;
    skua__lane *lane =
        skua__lane_get_locked(pool, kind, task->node ? task->node : "",
                              task->node && task->node_only, on, launch ? launch->place : 0);
    if (!lane) {
        *ret_status = SKUA_E_NO_MEMORY;
        return NULL;
    }
    if (lane->orphaned_ns != SKUA_NEVER_NS &&
        now_ns - lane->orphaned_ns >= pool->options.orphan_ms * SKUA_NS_PER_MS) {
        skua__lane_put_locked(pool, lane);
        return NULL;
    }
    return lane;
}

static skua_status
insert(skua_pool *pool, skua_pool_future *future, const skua_task *task) {
    int64_t now_ns = future->submit_ns;
    bool limited = future->lease.deadline_ns != SKUA_NEVER_NS;
    skua_status status = reserve_slot(pool);
    if (!status && limited) {
        status = skua__timer_reserve_locked(pool);
    }
    future->claimed = future->launch && future->launch->claim;
    skua__lane *lane = status ? NULL : find_lane(pool, task, future->launch, now_ns, &status);
    if (status) {
        return status;
    }
    future->slot = pool->free_slots[--pool->free_count];
    future->id = ++pool->next_id;
    future->lane = lane;
    pool->slots[future->slot] = future;
    pool->window_tasks++;
    pool->window_bytes += future->input_bytes;
    if (future->launch && future->launch->forwarded) {
        pool->forwarded_tasks++;
        pool->forwarded_bytes += future->input_bytes;
    }
    pool->part_tasks += future->launch && future->launch->is_part;
    pool->count.submitted++;
    skua__metric_add(&pool->metrics, SKUA_M_POOL_SUBMITTED, 1);
    skua__metric_add(&pool->metrics, SKUA_M_POOL_IN_FLIGHT, 1);
    if (!lane) {
        refuse(pool, future, task, now_ns);
        return SKUA_OK;
    }
    if (limited) {
        skua__timer_add_locked(pool, future);
    }
    if (future->claimed && !skua__turn_enter_locked(pool, future)) {
        return SKUA_OK;
    }
    if (future->launch && future->launch->split) {
        skua__split_begin_locked(pool, future, now_ns); /* its parts are dispatched, and not it */
        return SKUA_OK;
    }
    skua__queue_push_locked(pool, future, false);
    skua__dispatch_locked(pool, now_ns);
    return SKUA_OK;
}

static bool
window_has_room(const skua_pool *pool, size_t input_bytes, const skua__launch_task *launch) {
    if (launch && (launch->forwarded || launch->is_part)) {
        return true; /* the server bounds what it takes; a split launch was let in as one */
    }
    if (launch && launch->split) {
        input_bytes += launch->split->plain.input_bytes; /* its parts have them */
    }
    uint32_t tasks = pool->window_tasks - pool->forwarded_tasks - pool->part_tasks;
    return tasks < pool->options.window_tasks &&
           (pool->window_bytes - pool->forwarded_bytes + input_bytes <=
                pool->options.window_bytes ||
            tasks == 0);
}

/*
 * The copy of a large input is made outside the lock, and a full window is seen before, so that a refusal is cheap. Of a small
 * one, and of a launch, which brings its own, the window is looked at once: the lock is what many submitters wait for.
 */
static skua_status
look_before_copying(skua_pool *pool, const skua_task *task, bool is_launch, skua_error *err) {
    if (is_launch || task->keep_input || task->free_fn ||
        task->input_bytes <= SKUA__TASK_SMALL_BYTES) {
        return skua__pool_check_fork(pool, err);
    }
    skua_status status = skua__pool_enter(pool, err);
    if (!status) {
        bool room = window_has_room(pool, task->input_bytes, NULL);
        pool->count.submit_again += !room;
        skua__mutex_unlock(&pool->lock);
        status = room ? SKUA_OK : SKUA_E_AGAIN;
    }
    return status;
}

/* Puts a task that was made into the pool. */
static skua_status
let_in(skua_pool *pool, skua_pool_future *future, const skua_task *task, bool settle) {
    skua_status status = SKUA_OK;
    skua__mutex_lock(&pool->lock);
    if (pool->closing) {
        status = SKUA_E_CLOSED;
    } else if (!window_has_room(pool, task->input_bytes, future->launch)) {
        pool->count.submit_again++;
        status = SKUA_E_AGAIN;
    } else {
        status = insert(pool, future, task);
    }
    if (settle) {
        skua__pool_leave(pool);
    } else {
        skua__pool_leave_noting(pool);
    }
    return status;
}

/* It is not in the pool: what it was made of is the caller's again. Of a launch that is all of it. */
static void
give_back(skua_pool_future *future, const skua_task *task) {
    if (future->launch) {
        return;
    }
    future->keep_input |= task->free_fn != NULL;
    future->free_fn = NULL;
    atomic_init(&future->refs, 1);
    skua__task_unref(future);
}

static skua_status
refusal(const skua_pool *pool, const skua_task *task, skua_status status, skua_error *err) {
    if (status != SKUA_E_AGAIN) {
        return SKUA_FAIL(err, status, "task \"%s\" cannot be submitted: %s", task->name,
                         skua_status_text(status));
    }
    return SKUA_FAIL(err, SKUA_E_AGAIN,
                     "%u tasks are submitted and not ended, and the window has no more room: wait, "
                     "use skua_pool_submit_wait(), or raise window_tasks or window_bytes",
                     pool->options.window_tasks);
}

skua_status
skua__pool_submit_launch(skua_pool *pool, const skua_task *given, skua__launch_task *launch,
                         bool settle, skua_pool_future **ret_future, skua_error *err) {
    skua_task task;
    if (!given || !SKUA_READ_OPTIONS(&task, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "the task is NULL, or its size is not set, or it asks for something that "
                         "this library does not know");
    }
    skua_status status = check_task(&task, err);
    if (status) {
        return status;
    }
    status = look_before_copying(pool, &task, launch != NULL, err);
    if (status) {
        return status == SKUA_E_AGAIN ? refusal(pool, &task, status, err) : status;
    }
    skua_pool_future *future = new_future(pool, &task, launch, ret_future != NULL);
    if (!future) {
        return SKUA_FAIL_MEMORY(err, "a task");
    }
    status = let_in(pool, future, &task, settle);
    if (status) {
        give_back(future, &task);
        return refusal(pool, &task, status, err);
    }
    if (ret_future) {
        *ret_future = future;
    }
    return SKUA_OK;
}

skua_status
skua_pool_submit(skua_pool *pool, const skua_task *task, skua_pool_future **ret_future,
                 skua_error *err) {
    return skua__pool_submit_launch(pool, task, NULL, true, ret_future, err);
}

struct room {
    size_t input_bytes;
    const bool *stop;
    bool stopped;
};

static bool
window_ready(skua_pool *pool, void *arg) {
    struct room *wanted = arg;
    wanted->stopped = wanted->stop && *wanted->stop;
    bool ready =
        pool->closing || wanted->stopped || window_has_room(pool, wanted->input_bytes, NULL);
    pool->room_wanted = pool->room_wanted || !ready;
    return ready;
}

bool
skua__pool_await_room(skua_pool *pool, size_t input_bytes, int64_t deadline_ns, const bool *stop) {
    struct room wanted = {.input_bytes = input_bytes, .stop = stop};
    return skua__pool_await(pool, window_ready, &wanted, deadline_ns) && !wanted.stopped;
}

skua_status
skua_pool_submit_wait(skua_pool *pool, const skua_task *task, int64_t timeout_ms,
                      skua_pool_future **ret_future, skua_error *err) {
    int64_t deadline_ns = skua__deadline_ns(timeout_ms ? timeout_ms : SKUA_UNLIMITED);
    for (;;) {
        skua_status status = skua_pool_submit(pool, task, ret_future, err);
        if (status != SKUA_E_AGAIN) {
            return status;
        }
        if (!skua__pool_await_room(pool, task->input_bytes, deadline_ns, NULL)) {
            return SKUA_FAIL(err, SKUA_E_TIMEOUT,
                             "no room in the window for task \"%s\" within %lld ms", task->name,
                             (long long)timeout_ms);
        }
    }
}

/* ---- Futures ---- */

skua_status
skua_pool_wait(skua_pool_future *future, int64_t timeout_ms, skua_error *err) {
    if (skua__task_ended(future)) {
        return SKUA_OK;
    }
    int64_t deadline_ns = skua__deadline_ns(timeout_ms ? timeout_ms : SKUA_UNLIMITED);
    if (skua__task_await(future, deadline_ns)) {
        return SKUA_OK;
    }
    return SKUA_FAIL(err, SKUA_E_TIMEOUT, "the task has not ended within %lld ms",
                     (long long)(timeout_ms == SKUA_NONE ? 0 : timeout_ms));
}

skua_status
skua_pool_result(skua_pool_future *future, skua_task_result *ret_result, skua_error *err) {
    if (!ret_result || ret_result->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "ret_result->size is not set");
    }
    if (!skua__task_ended(future)) {
        return SKUA_FAIL(err, SKUA_E_AGAIN,
                         "the task has not ended; skua_pool_wait() waits for it");
    }
    skua_task_result result = {
        .size = ret_result->size,
        .outcome = future->lease.outcome,
        .code = future->code,
        .attempts = future->lease.attempts,
        .output = future->output,
        .output_bytes = future->output_bytes,
        .run_ns = future->run_ns,
        .total_ns = future->end_ns - future->submit_ns,
    };
    memcpy(result.node, future->node, sizeof result.node);
    snprintf(result.message, sizeof result.message, "%s",
             future->message ? future->message : future->reason);
    size_t size = ret_result->size < sizeof result ? ret_result->size : sizeof result;
    memcpy(ret_result, &result, size);
    return SKUA_OK;
}

/* Returns the pool, locked; NULL: it has ended already. */
static skua_pool *
cancel(skua_pool_future *future) {
    if (skua__task_ended(future)) {
        return NULL;
    }
    skua_pool *pool = future->pool;
    skua__mutex_lock(&pool->lock);
    int64_t now_ns = skua__clock_ns();
    skua__task_event_locked(pool, future, &(skua__lease_event){.kind = SKUA__LEASE_CANCEL}, now_ns);
    skua__dispatch_locked(pool, now_ns);
    return pool;
}

void
skua_pool_cancel(skua_pool_future *future) {
    skua_pool *pool = cancel(future);
    if (pool) {
        skua__pool_leave(pool);
    }
}

void
skua__pool_cancel_noting(skua_pool_future *future) {
    skua_pool *pool = cancel(future);
    if (pool) {
        skua__pool_leave_noting(pool);
    }
}

/* " (4096 bytes)", or nothing. Returns ret. */
static char *
missing_text(uint64_t bytes, const char *what, char *ret, size_t ret_size) {
    ret[0] = 0;
    if (bytes) {
        snprintf(ret, ret_size, " (%llu bytes%s)", (unsigned long long)bytes, what);
    }
    return ret;
}

static size_t
explain_place(const skua_pool *pool, const skua_pool_future *future, size_t i, char *ret,
              size_t ret_size) {
    const skua__verdict *verdict = &future->verdict;
    const skua__site *site = pool->sites[verdict->places[i].site];
    float wait = verdict->places[i].wait_us, move = verdict->places[i].move_us;
    float round = verdict->places[i].round_us, run = verdict->places[i].run_us;
    double sum = ((double)wait + (double)move + (double)round + (double)run) / 1e3;
    uint64_t bytes = verdict->places[i].missing_bytes;
    char missing[48];
    int used;
    if (i == verdict->chosen) {
        used = snprintf(ret, ret_size,
                        "%s: wait %.3f ms + move %.3f ms%s + %s %.3f ms + run %.3f ms = %.3f ms%s",
                        site->name, (double)wait / 1e3, (double)move / 1e3,
                        missing_text(bytes, "", missing, sizeof missing),
                        site->backend == SKUA_BACKEND_DEVICE ? "launch" : "round trip",
                        (double)round / 1e3, (double)run / 1e3, sum,
                        verdict->reason == SKUA_SELECT_EXPLORED ? " (tried, to learn)" : "");
    } else {
        used = snprintf(ret, ret_size, "; %s: %.3f ms%s", site->name, sum,
                        missing_text(bytes, " missing", missing, sizeof missing));
    }
    return used < 0 ? 0 : (size_t)used;
}

/* That a launch runs in groups so small that a device idles, for want of a guard; or nothing. Returns ret. */
static char *
group_text(const skua_pool *pool, const skua_pool_future *future, char *ret, size_t ret_size) {
    const skua__verdict *verdict = &future->verdict;
    const skua__launch_task *launch = future->launch;
    ret[0] = 0;
    if (launch && verdict->count && launch->items >= SMALL_GROUP &&
        pool->sites[verdict->places[verdict->chosen].site]->backend == SKUA_BACKEND_DEVICE) {
        uint64_t group = skua__launch_group(launch);
        if (group < SMALL_GROUP) {
            snprintf(ret, ret_size,
                     "; slow, in groups of %llu: its size has no better divisor, and the kernel no "
                     "guard "
                     "(SKUA_GUARD)",
                     (unsigned long long)group);
        }
    }
    return ret;
}

char *
skua_pool_explain(skua_pool_future *future, char *ret, size_t ret_size) {
    if (!ret || !ret_size) {
        return ret;
    }
    skua_pool *pool = future->pool;
    skua__mutex_lock(&pool->lock);
    const skua__verdict *verdict = &future->verdict;
    size_t used = 0;
    ret[0] = 0;
    if (future->launch && future->launch->split) {
        skua__split_explain_locked(pool, future->launch->split, ret, ret_size);
    } else if (!verdict->count) {
        snprintf(ret, ret_size, "it was not handed to any node");
    } else {
        used = explain_place(pool, future, verdict->chosen, ret, ret_size);
    }
    for (size_t i = 0; i < verdict->count && used < ret_size; i++) {
        if (i != verdict->chosen) {
            used += explain_place(pool, future, i, ret + used, ret_size - used);
        }
    }
    if (verdict->of > verdict->count && used < ret_size) {
        used += (size_t)snprintf(ret + used, ret_size - used, "; and %u more",
                                 verdict->of - verdict->count);
    }
    used = strlen(ret);
    char group[128];
    snprintf(ret + used, ret_size - used, "%s", group_text(pool, future, group, sizeof group));
    used = strlen(ret);
    if (verdict->not_on_peers) {
        snprintf(ret + used, ret_size - used, "; not on peers, since its buffers are here");
    }
    skua__mutex_unlock(&pool->lock);
    return ret;
}

skua_pool_future *
skua_pool_future_free(skua_pool_future *future) {
    if (future) {
        skua__task_unref(future);
    }
    return NULL;
}
