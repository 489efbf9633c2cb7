// SPDX-License-Identifier: MPL-2.0
// A batcher: a queue of requests, the rule by which a batch leaves it, and the batches in flight as tasks of a pool.
//
// Every request that was taken is in exactly one place: the queue, a batch being sent (sender's own list), or a flight. Whoever
// unlinks it from there ends it, so that it ends once. `pending` counts them until their done has returned: what close waits for.
#include <skua-int/batch_int.h>
#include <skua-int/histogram.h>
#include <skua-int/pool_int.h>

#include <string.h>

typedef struct request {
    skua__list link;
    skua_batch_done_fn done;
    void *done_arg;
    int64_t taken_ns, deadline_ns;
    size_t bytes;
    unsigned char data[];
} request;

/* A batch that is a task: on_done's argument. */
typedef struct flight {
    skua_batch *batch;
    skua__list requests;
    uint32_t count;
} flight;

struct skua_batch {
    const skua_allocator *hook;
    skua_pool *pool;
    skua_batch_options options; /* as they hold: no zeros */
    int64_t wait_ns;
    char task_name[SKUA_TASK_NAME_BYTES];
    uint32_t fork_generation;
    pthread_t thread;

    skua__mutex lock; /* guards all below; taken with no other, and no user code runs under it */
    skua__cond wake;  /* the thread: there may be something to do before sleep_until_ns */
    skua__cond all_ended; /* pending became 0 */
    bool closing;
    int64_t sleep_until_ns; /* of the thread; 0: it is awake and looks by itself */
    skua__list queue;
    int64_t earliest_ns; /* no request of the queue has an earlier deadline */
    uint32_t in_flight;
    uint64_t pending;
    skua_batch_counters count; /* latencies and mean_fill are worked out when asked */
    skua__histogram latency;
};

/* How a list of requests ended. answers: with status 0 only. */
typedef struct ending {
    skua_status status;
    int32_t code;
    const char *message, *node;
    uint32_t batch_requests; /* 0: they never left */
    skua__batch_answers answers;
} ending;

void
skua_batch_options_init(skua_batch_options *options, size_t size) {
    if (options && size >= sizeof size) {
        memset(options, 0, size);
        memcpy(options, &size, sizeof size);
    }
}

/* ---- When a batch leaves ---- */

/* The moment at which a batch is to leave; 0: now. SKUA_NEVER_NS: not before a request comes or a batch ends. */
static int64_t
leaves_at_locked(const skua_batch *batch) {
    const skua_batch_options *options = &batch->options;
    if (!batch->count.waiting || batch->in_flight >= options->in_flight_max) {
        return SKUA_NEVER_NS;
    }
    bool full = batch->count.waiting >= options->requests_max ||
                batch->count.waiting_bytes >= options->bytes_max;
    if (full || (!batch->in_flight && !options->hold_when_idle)) {
        return 0;
    }
    return SKUA_CONTAINER_OF(batch->queue.next, request, link)->taken_ns + batch->wait_ns;
}

static int64_t
next_step_ns_locked(const skua_batch *batch) {
    int64_t leaves_ns = batch->closing && batch->count.waiting ? 0 : leaves_at_locked(batch);
    return leaves_ns < batch->earliest_ns ? leaves_ns : batch->earliest_ns;
}

static void
wake_locked(skua_batch *batch) {
    if (next_step_ns_locked(batch) < batch->sleep_until_ns) {
        batch->sleep_until_ns = 0;
        skua__cond_signal(&batch->wake);
    }
}

/* ---- The ends of requests ---- */

static skua_batch_result
result_of(const ending *how, uint32_t i, const request *of, int64_t now_ns) {
    skua_batch_result result = {
        .size = sizeof result,
        .status = how->status,
        .code = how->code,
        .latency_ns = now_ns - of->taken_ns,
        .batch_requests = how->batch_requests,
        .node = how->node,
        .message = how->message,
    };
    if (how->status) {
        return result;
    }
    int32_t code = skua__batch_cut(&how->answers, i, &result.answer, &result.answer_bytes);
    if (code) {
        result.status = SKUA_E_TASK_FAILED;
        result.code = code;
        result.message = "the task failed this request of its batch";
    } else if (now_ns > of->deadline_ns) {
        result.status = SKUA_E_TIMEOUT;
        result.message = "its answer came after its deadline";
    }
    if (result.status) {
        result.answer = NULL;
        result.answer_bytes = 0;
    }
    return result;
}

static void
count_end_locked(skua_batch *batch, const skua_batch_result *result) {
    switch (result->status) {
    case SKUA_OK:
        batch->count.ended_ok++;
        skua__histogram_add(&batch->latency, (uint64_t)result->latency_ns);
        break;
    case SKUA_E_TIMEOUT:
        batch->count.ended_timeout++;
        break;
    case SKUA_E_CANCELLED:
        batch->count.ended_cancelled++;
        break;
    default:
        batch->count.ended_failed++;
    }
}

/*
 * Ends all requests of a list, which nobody else has, and frees them. place: their batch was in flight and no longer is; the
 * place is free before user code runs, so that the next batch does not wait for it. The batcher may be gone on return.
 */
static void
end_requests(skua_batch *batch, skua__list *requests, const ending *how, bool place) {
    const int64_t now_ns = skua__clock_ns();
    uint32_t i = 0;
    skua__mutex_lock(&batch->lock);
    SKUA_LIST_EACH(node, requests) {
        skua_batch_result result =
            result_of(how, i++, SKUA_CONTAINER_OF(node, request, link), now_ns);
        count_end_locked(batch, &result);
    }
    batch->in_flight -= place;
    wake_locked(batch);
    skua__mutex_unlock(&batch->lock);

    i = 0;
    for (skua__list *node; (node = skua__list_pop_front(requests));) {
        request *ended = SKUA_CONTAINER_OF(node, request, link);
        skua_batch_result result = result_of(how, i++, ended, now_ns);
        if (ended->done) {
            ended->done(ended->done_arg, &result);
        }
        skua__mem_free(batch->hook, ended);
    }

    skua__mutex_lock(&batch->lock);
    batch->pending -= i;
    if (!batch->pending) {
        skua__cond_broadcast(&batch->all_ended);
    }
    skua__mutex_unlock(&batch->lock);
}

static skua_status
status_of(int32_t outcome) {
    switch (outcome) {
    case SKUA_OUTCOME_OK:
        return SKUA_OK;
    case SKUA_OUTCOME_TIMEOUT:
        return SKUA_E_TIMEOUT;
    case SKUA_OUTCOME_CANCELLED:
        return SKUA_E_CANCELLED;
    case SKUA_OUTCOME_LOST:
        return SKUA_E_LOST;
    case SKUA_OUTCOME_REFUSED:
        return SKUA_E_REFUSED;
    default:
        return SKUA_E_TASK_FAILED;
    }
}

/* A batch's task has ended, under no lock. */
static void
on_task_done(void *arg, skua_pool_future *future) {
    flight *flown = arg;
    skua_batch *batch = flown->batch;
    skua_task_result result = {.size = sizeof result};
    skua_status status = skua_pool_result(future, &result, NULL);
    ending how = {
        .status = status ? status : status_of(result.outcome),
        .code = result.code,
        .message = result.message,
        .node = result.node,
        .batch_requests = flown->count,
    };
    if (!how.status &&
        !skua__batch_check(result.output, result.output_bytes, flown->count, &how.answers)) {
        how.status = SKUA_E_MALFORMED;
        how.message = "the task's output is no answer to its batch: answer with skua_batch_rows() "
                      "or skua_batch_answer()";
    }
    const skua_allocator *hook = batch->hook;
    end_requests(batch, &flown->requests, &how, true);
    skua__mem_free(hook, flown);
}

/* ---- Sending ---- */

static void
move_all(skua__list *to, skua__list *from) {
    for (skua__list *node; (node = skua__list_pop_front(from));) {
        skua__list_push_back(to, node);
    }
}

static void
unqueue_locked(skua_batch *batch, request *waiting, skua__list *to) {
    skua__list_remove(&waiting->link);
    skua__list_push_back(to, &waiting->link);
    batch->count.waiting--;
    batch->count.waiting_bytes -= waiting->bytes;
}

/* What has expired goes to *ret_ended. Each look at the whole queue follows on a deadline that passed. */
static void
take_expired_locked(skua_batch *batch, int64_t now_ns, skua__list *ret_ended) {
    if (now_ns < batch->earliest_ns) {
        return;
    }
    batch->earliest_ns = SKUA_NEVER_NS;
    SKUA_LIST_EACH(node, &batch->queue) {
        request *waiting = SKUA_CONTAINER_OF(node, request, link);
        if (waiting->deadline_ns <= now_ns) {
            unqueue_locked(batch, waiting, ret_ended);
        } else if (waiting->deadline_ns < batch->earliest_ns) {
            batch->earliest_ns = waiting->deadline_ns;
        }
    }
}

/* The oldest requests that fit into one batch go to *ret_taken; it counts as in flight. Returns how many they are. */
static uint32_t
take_batch_locked(skua_batch *batch, skua__list *ret_taken, size_t *ret_bytes) {
    uint32_t count = 0;
    *ret_bytes = 0;
    SKUA_LIST_EACH(node, &batch->queue) {
        request *waiting = SKUA_CONTAINER_OF(node, request, link);
        if (count == batch->options.requests_max ||
            *ret_bytes + waiting->bytes > batch->options.bytes_max) {
            break;
        }
        *ret_bytes += waiting->bytes;
        count++;
        unqueue_locked(batch, waiting, ret_taken);
    }
    batch->in_flight++;
    batch->count.batches++;
    batch->count.batch_requests += count;
    return count;
}

/* The pool's window stayed full until a deadline: the batch has not left. */
static void
put_back(skua_batch *batch, skua__list *taken) {
    skua__mutex_lock(&batch->lock);
    batch->in_flight--;
    batch->count.batches--;
    for (skua__list *node; (node = taken->prev) != taken;) {
        request *back = SKUA_CONTAINER_OF(node, request, link);
        skua__list_remove(node);
        skua__list_push_front(&batch->queue, node);
        batch->count.batch_requests--;
        batch->count.waiting++;
        batch->count.waiting_bytes += back->bytes;
        batch->earliest_ns =
            back->deadline_ns < batch->earliest_ns ? back->deadline_ns : batch->earliest_ns;
    }
    skua__mutex_unlock(&batch->lock);
}

static void
free_input(void *input, void *hint) {
    skua__mem_free(hint, input);
}

/* Fills a batch's input in. Returns the latest of its deadlines. */
static int64_t
pack(void *input, const flight *flown) {
    int64_t latest_ns = 0;
    size_t begin = 0;
    uint32_t i = 0;
    skua__batch_put_head(input, flown->count);
    SKUA_LIST_EACH(node, &flown->requests) {
        const request *packed = SKUA_CONTAINER_OF(node, request, link);
        begin = skua__batch_put(input, flown->count, i++, begin, packed->data, packed->bytes);
        latest_ns = packed->deadline_ns > latest_ns ? packed->deadline_ns : latest_ns;
    }
    return latest_ns;
}

/* What is left until at_ns for a wait or a task: at least 1 ms, and 0 for never. */
static int64_t
left_ms(int64_t at_ns) {
    if (at_ns == SKUA_NEVER_NS) {
        return 0;
    }
    int64_t left_ns = at_ns - skua__clock_ns();
    return left_ns > 0 ? (left_ns - 1) / SKUA_NS_PER_MS + 1 : 1;
}

/* Makes a task of taken requests. give_up_ns: when to stop waiting for room in the pool's window. */
static void
send_batch(skua_batch *batch, skua__list *taken, uint32_t count, size_t bytes, int64_t give_up_ns) {
    const size_t input_bytes = skua__batch_input_bytes(count, bytes);
    flight *flown = skua__mem_new(batch->hook, sizeof *flown);
    void *input = skua__mem_resize(batch->hook, NULL, input_bytes); /* not zeroed: it is filled */
    if (!flown || !input) {
        skua__mem_free(batch->hook, input);
        skua__mem_free(batch->hook, flown);
        end_requests(
            batch, taken,
            &(ending){.status = SKUA_E_NO_MEMORY, .message = "no memory for its batch", .node = ""},
            true);
        return;
    }
    *flown = (flight){.batch = batch, .count = count};
    skua__list_init(&flown->requests);
    move_all(&flown->requests, taken);
    int64_t latest_ns = pack(input, flown);
    const skua_task task = {
        .size = sizeof task,
        .name = batch->task_name,
        .version = batch->options.version,
        .priority = batch->options.priority,
        .input = input,
        .input_bytes = input_bytes,
        .free_fn = free_input,
        .free_hint = (void *)(uintptr_t)batch->hook,
        .idempotent = batch->options.idempotent,
        .timeout_ms = left_ms(latest_ns),
        .on_done = on_task_done,
        .on_done_arg = flown,
    };
    skua_error err;
    skua_status status = skua_pool_submit_wait(batch->pool, &task, left_ms(give_up_ns), NULL, &err);
    if (!status) {
        return; /* on_task_done() has the flight, and may have ended it already */
    }
    skua__mem_free(batch->hook, input);
    if (status == SKUA_E_TIMEOUT) {
        put_back(batch, &flown->requests);
    } else {
        end_requests(batch, &flown->requests,
                     &(ending){.status = status, .message = err.message, .node = ""}, true);
    }
    skua__mem_free(batch->hook, flown);
}

bool
skua__batch_step(skua_batch *batch, int64_t now_ns) {
    skua__list expired, cancelled, taken;
    skua__list_init(&expired);
    skua__list_init(&cancelled);
    skua__list_init(&taken);
    uint32_t count = 0;
    size_t bytes = 0;
    skua__mutex_lock(&batch->lock);
    take_expired_locked(batch, now_ns, &expired);
    if (batch->closing) {
        SKUA_LIST_EACH(node, &batch->queue) {
            unqueue_locked(batch, SKUA_CONTAINER_OF(node, request, link), &cancelled);
        }
    } else if (leaves_at_locked(batch) <= now_ns) {
        count = take_batch_locked(batch, &taken, &bytes);
    }
    int64_t give_up_ns = batch->earliest_ns; /* what was taken had its part in it */
    skua__mutex_unlock(&batch->lock);

    bool did = count || !skua__list_empty(&expired) || !skua__list_empty(&cancelled);
    if (!skua__list_empty(&expired)) {
        end_requests(batch, &expired,
                     &(ending){.status = SKUA_E_TIMEOUT,
                               .node = "",
                               .message = "its deadline passed before it started"},
                     false);
    }
    if (!skua__list_empty(&cancelled)) {
        end_requests(batch, &cancelled,
                     &(ending){.status = SKUA_E_CANCELLED,
                               .node = "",
                               .message = "its batcher was closed before it started"},
                     false);
    }
    if (count) {
        send_batch(batch, &taken, count, bytes, give_up_ns);
    }
    return did;
}

static void *
batch_main(void *arg) {
    skua_batch *batch = arg;
    for (;;) {
        while (skua__batch_step(batch, skua__clock_ns())) { /* until nothing is to be done now */
        }
        skua__mutex_lock(&batch->lock);
        bool over = batch->closing && !batch->count.waiting;
        int64_t until_ns = next_step_ns_locked(batch);
        if (!over && until_ns > skua__clock_ns()) {
            batch->sleep_until_ns = until_ns;
            skua__cond_wait_until(&batch->wake, &batch->lock, until_ns);
            batch->sleep_until_ns = 0;
        }
        skua__mutex_unlock(&batch->lock);
        if (over) {
            return NULL;
        }
    }
}

/* ---- The calls ---- */

static skua_status
check_options(const skua_batch_options *options, skua_error *err) {
    const struct {
        const char *name;
        uint64_t value, most;
    } limits[] = {
        {"requests_max", options->requests_max, SKUA_BATCH_MAX_REQUESTS},
        {"wait_us", (uint64_t)options->wait_us, SKUA_BATCH_MAX_WAIT_US},
        {"in_flight_max", options->in_flight_max, SKUA_BATCH_MAX_IN_FLIGHT},
        {"queue_max", options->queue_max, SKUA_BATCH_MAX_QUEUE},
        {"priority", (uint64_t)options->priority, SKUA__POOL_PRIORITIES - 1},
        {"bytes_max", options->bytes_max,
         SKUA_TASK_MAX_BYTES - skua__batch_input_bytes(options->requests_max, 0)},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (limits[i].value > limits[i].most) { /* a negative one too */
            return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the batcher's %s is not within 0 to %llu",
                             limits[i].name, (unsigned long long)limits[i].most);
        }
    }
    return SKUA_OK;
}

static skua_status
read_options(skua_batch_options *ret, const skua_batch_options *given, skua_error *err) {
    if (!SKUA_READ_OPTIONS(ret, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "the batcher's options have no size, or ask for something that this "
                         "library does not know");
    }
    ret->requests_max = ret->requests_max ? ret->requests_max : SKUA_BATCH_DEFAULT_REQUESTS;
    ret->bytes_max = ret->bytes_max ? ret->bytes_max : SKUA_BATCH_DEFAULT_BYTES;
    ret->wait_us = ret->wait_us == SKUA_NONE ? 0
                   : ret->wait_us            ? ret->wait_us
                                             : SKUA_BATCH_DEFAULT_WAIT_US;
    ret->in_flight_max = ret->in_flight_max ? ret->in_flight_max : SKUA_BATCH_DEFAULT_IN_FLIGHT;
    ret->queue_max = ret->queue_max ? ret->queue_max : SKUA_BATCH_DEFAULT_QUEUE;
    ret->queue_bytes_max =
        ret->queue_bytes_max ? ret->queue_bytes_max : SKUA_BATCH_DEFAULT_QUEUE_BYTES;
    return check_options(ret, err);
}

static skua_batch *
free_batch(skua_batch *batch) {
    skua__cond_fini(&batch->all_ended);
    skua__cond_fini(&batch->wake);
    skua__mutex_fini(&batch->lock);
    return skua__mem_free(batch->hook, batch);
}

skua_status
skua_batch_open(skua_batch **ret_batch, skua_pool *pool, const char *task_name,
                const skua_batch_options *given, skua_error *err) {
    if (!ret_batch || !pool) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a batcher needs a pool and a place to go to");
    }
    if (!task_name || !skua__task_name_ok(task_name, strnlen(task_name, SKUA_NAME_BYTES))) {
        return SKUA_FAIL(err, SKUA_E_BAD_NAME, "no task is named \"%.80s\"",
                         task_name ? task_name : "");
    }
    if (pool->fork_generation != skua__fork_generation()) {
        return SKUA_FAIL(err, SKUA_E_FORKED, "the pool was opened before a fork()");
    }
    skua_batch_options options;
    skua_status status = read_options(&options, given, err);
    if (status) {
        return status;
    }
    const skua_allocator *hook = options.allocator ? options.allocator : pool->hook;
    skua_batch *batch = skua__mem_new(hook, sizeof *batch);
    if (!batch) {
        return SKUA_FAIL_MEMORY(err, "a batcher");
    }
    batch->hook = hook;
    batch->pool = pool;
    batch->options = options;
    batch->wait_ns = options.wait_us * SKUA_NS_PER_US;
    batch->fork_generation = skua__fork_generation();
    batch->earliest_ns = SKUA_NEVER_NS;
    memcpy(batch->task_name, task_name, strlen(task_name) + 1);
    skua__mutex_init(&batch->lock);
    skua__cond_init(&batch->wake);
    skua__cond_init(&batch->all_ended);
    skua__list_init(&batch->queue);
    status = skua__thread_start(&batch->thread, "skua-batch", batch_main, batch, err);
    if (status) {
        free_batch(batch);
        return status;
    }
    *ret_batch = batch;
    return SKUA_OK;
}

static skua_status
check_batch(const skua_batch *batch, skua_error *err) {
    if (!batch) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the batcher is NULL");
    }
    if (batch->fork_generation != skua__fork_generation()) {
        return SKUA_FAIL(err, SKUA_E_FORKED, "the batcher was opened before a fork()");
    }
    return SKUA_OK;
}

static bool
queue_has_room_locked(const skua_batch *batch, size_t bytes) {
    return batch->count.waiting < batch->options.queue_max &&
           (!batch->count.waiting ||
            batch->count.waiting_bytes + bytes <= batch->options.queue_bytes_max);
}

/* Puts a request into the queue, if it may. */
static skua_status
take_request(skua_batch *batch, request *taken) {
    skua__mutex_lock(&batch->lock);
    skua_status status = batch->closing                               ? SKUA_E_CLOSED
                         : queue_has_room_locked(batch, taken->bytes) ? SKUA_OK
                                                                      : SKUA_E_AGAIN;
    batch->count.refused += status == SKUA_E_AGAIN;
    if (!status) {
        skua__list_push_back(&batch->queue, &taken->link);
        batch->count.requests++;
        batch->count.waiting++;
        batch->count.waiting_bytes += taken->bytes;
        batch->pending++;
        if (taken->deadline_ns < batch->earliest_ns) {
            batch->earliest_ns = taken->deadline_ns;
        }
        wake_locked(batch);
    }
    skua__mutex_unlock(&batch->lock);
    return status;
}

skua_status
skua_batch_submit(skua_batch *batch, const void *data, size_t data_bytes, skua_batch_done_fn done,
                  void *done_arg, int64_t deadline_ms, skua_error *err) {
    skua_status status = check_batch(batch, err);
    if (status) {
        return status;
    }
    if ((data_bytes && !data) || deadline_ms < SKUA_NONE) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "a request has bytes but no data, or its deadline is below SKUA_NONE");
    }
    if (data_bytes > batch->options.bytes_max) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG,
                         "a request has %zu bytes, and bytes_max of a batch is %u", data_bytes,
                         batch->options.bytes_max);
    }
    request *taken = skua__mem_resize(batch->hook, NULL, sizeof *taken + data_bytes);
    if (!taken) {
        return SKUA_FAIL_MEMORY(err, "a request");
    }
    *taken = (request){
        .done = done,
        .done_arg = done_arg,
        .deadline_ns = skua__deadline_ns(deadline_ms ? deadline_ms : SKUA_UNLIMITED),
        .taken_ns = skua__clock_ns(),
        .bytes = data_bytes,
    };
    skua__list_init(&taken->link);
    if (data_bytes) {
        memcpy(taken->data, data, data_bytes);
    }
    status = take_request(batch, taken);
    if (!status) {
        return SKUA_OK;
    }
    skua__mem_free(batch->hook, taken);
    if (status == SKUA_E_CLOSED) {
        return SKUA_FAIL(err, status, "the batcher is being closed");
    }
    return SKUA_FAIL(err, status,
                     "the batcher's queue is full: submit again when requests have ended, or raise "
                     "queue_max (%u) or queue_bytes_max (%u)",
                     batch->options.queue_max, batch->options.queue_bytes_max);
}

static bool
await_all(skua_batch *batch, int64_t deadline_ns) {
    skua__mutex_lock(&batch->lock);
    bool in_time = true;
    while (batch->pending && in_time) {
        in_time = skua__cond_wait_until(&batch->all_ended, &batch->lock, deadline_ns);
    }
    bool ended = !batch->pending;
    skua__mutex_unlock(&batch->lock);
    return ended;
}

skua_status
skua_batch_await_all(skua_batch *batch, int64_t timeout_ms, skua_error *err) {
    skua_status status = check_batch(batch, err);
    if (status) {
        return status;
    }
    if (!await_all(batch, skua__deadline_ns(timeout_ms ? timeout_ms : SKUA_UNLIMITED))) {
        return SKUA_FAIL(err, SKUA_E_TIMEOUT, "not all requests have ended within %lld ms",
                         (long long)(timeout_ms == SKUA_NONE ? 0 : timeout_ms));
    }
    return SKUA_OK;
}

skua_status
skua_batch_stats(skua_batch *batch, skua_batch_counters *ret_counters, skua_error *err) {
    skua_status status = check_batch(batch, err);
    if (status) {
        return status;
    }
    if (!ret_counters || ret_counters->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "ret_counters->size is not set");
    }
    skua__mutex_lock(&batch->lock);
    skua_batch_counters counters = batch->count;
    counters.batches_in_flight = batch->in_flight;
    counters.latency_p50_ns = (int64_t)skua__histogram_at(&batch->latency, 500);
    counters.latency_p99_ns = (int64_t)skua__histogram_at(&batch->latency, 990);
    counters.latency_max_ns = batch->latency.count ? (int64_t)batch->latency.max : 0;
    skua__mutex_unlock(&batch->lock);
    if (counters.batches) {
        counters.mean_fill = (double)counters.batch_requests / (double)counters.batches /
                             batch->options.requests_max;
    }
    counters.size = ret_counters->size;
    memcpy(ret_counters, &counters,
           counters.size < sizeof counters ? counters.size : sizeof counters);
    return SKUA_OK;
}

skua_batch *
skua_batch_close(skua_batch *batch) {
    if (!batch || batch->fork_generation != skua__fork_generation()) {
        return NULL;
    }
    skua__mutex_lock(&batch->lock);
    batch->closing = true;
    batch->sleep_until_ns = 0;
    skua__cond_signal(&batch->wake);
    skua__mutex_unlock(&batch->lock);
    skua__thread_join(batch->thread);
    await_all(batch, SKUA_NEVER_NS);
    return free_batch(batch);
}
