// SPDX-License-Identifier: MPL-2.0
// Where requests of a batcher gather: its queue, the rule by which a batch leaves it, and the thread that keeps the time.
#include <skua-int/batch_int.h>
#include <skua-int/clock.h>
#include <skua-int/pool_int.h>

#include <string.h>

enum { DIRECT_BYTES = 256 * 1024 }; /* more are not copied by whoever submits or tells an end */

static skua__batch_request *
request_of(skua__list *node) {
    return SKUA_CONTAINER_OF(node, skua__batch_request, link);
}

/* ---- When a batch leaves ---- */

static bool
is_full_locked(const skua_batch *batch) {
    return batch->count.waiting >= batch->options.requests_max ||
           batch->count.waiting_bytes >= batch->options.bytes_max;
}

static bool
is_idle_locked(const skua_batch *batch) {
    return !batch->in_flight && !batch->options.hold_when_idle;
}

/* The moment at which a batch is to leave; 0: now. SKUA_NEVER_NS: not before a request comes or a batch ends. */
static int64_t
leaves_at_locked(const skua_batch *batch) {
    if (!batch->count.waiting || batch->in_flight >= batch->options.in_flight_max) {
        return SKUA_NEVER_NS;
    }
    if (is_full_locked(batch) || is_idle_locked(batch)) {
        return 0;
    }
    return request_of(batch->queue.next)->taken_ns + batch->wait_ns;
}

static int64_t
next_step_ns_locked(const skua_batch *batch) {
    int64_t leaves_ns = batch->closing && batch->count.waiting ? 0 : leaves_at_locked(batch);
    return leaves_ns < batch->earliest_ns ? leaves_ns : batch->earliest_ns;
}

void
skua__batch_wake_locked(skua_batch *batch) {
    if (next_step_ns_locked(batch) < batch->sleep_until_ns) {
        batch->sleep_until_ns = 0;
        skua__cond_signal(&batch->wake);
    }
}

static const char closed_text[] = "its batcher was closed before it started";

static void
end_unsent(skua_batch *batch, skua__list *requests, skua_status status, const char *message) {
    if (!skua__list_empty(requests)) {
        skua__batch_end(batch, requests,
                        &(skua__batch_ending){.status = status, .message = message, .node = ""});
    }
}

/* ---- The queue ---- */

/* What waits, and so what has a deadline and may be cancelled. */
static void
enqueue_locked(skua_batch *batch, skua__batch_request *taken) {
    batch->count.waiting++;
    batch->count.waiting_bytes += taken->bytes;
    if (taken->deadline_ns < batch->earliest_ns) {
        batch->earliest_ns = taken->deadline_ns;
    }
    if (taken->future) {
        skua__batch_future_waits_locked(taken->future, taken);
    }
}

void
skua__batch_unqueue_locked(skua_batch *batch, skua__batch_request *waiting, skua__list *to) {
    skua__list_remove(&waiting->link);
    skua__list_push_back(to, &waiting->link);
    batch->count.waiting--;
    batch->count.waiting_bytes -= waiting->bytes;
    if (waiting->future) {
        skua__batch_future_waits_locked(waiting->future, NULL);
    }
}

void
skua__batch_put_back(skua_batch *batch, skua__batch_flight *flown) {
    skua__mutex_lock(&batch->lock);
    batch->in_flight--;
    skua__batch_count_left_locked(batch, flown, true);
    bool closing = batch->closing; /* the thread may be gone, and nobody would come for them */
    for (skua__list *node; !closing && (node = flown->requests.prev) != &flown->requests;) {
        skua__list_remove(node);
        skua__list_push_front(&batch->queue, node);
        enqueue_locked(batch, request_of(node));
    }
    skua__batch_tell_locked(batch, flown->left_ns);
    skua__batch_wake_locked(batch);
    skua__mutex_unlock(&batch->lock);
    end_unsent(batch, &flown->requests, SKUA_E_CANCELLED, closed_text);
}

/* What has expired goes to *ret_ended. Each look at the whole queue follows on a deadline that passed. */
static void
take_expired_locked(skua_batch *batch, int64_t now_ns, skua__list *ret_ended) {
    if (now_ns < batch->earliest_ns) {
        return;
    }
    batch->earliest_ns = SKUA_NEVER_NS;
    SKUA_LIST_EACH(node, &batch->queue) {
        skua__batch_request *waiting = request_of(node);
        if (waiting->deadline_ns <= now_ns) {
            skua__batch_unqueue_locked(batch, waiting, ret_ended);
        } else if (waiting->deadline_ns < batch->earliest_ns) {
            batch->earliest_ns = waiting->deadline_ns;
        }
    }
}

/* The oldest requests that fit into one batch go to *flown, which counts as in flight. */
static void
take_batch_locked(skua_batch *batch, skua__batch_flight *flown) {
    flown->reason = is_full_locked(batch)   ? SKUA__BATCH_FULL
                    : is_idle_locked(batch) ? SKUA__BATCH_IDLE
                                            : SKUA__BATCH_WAITED;
    flown->batch = batch;
    flown->left_ns = skua__clock_ns(); /* true, whatever time a test says that it is */
    SKUA_LIST_EACH(node, &batch->queue) {
        skua__batch_request *waiting = request_of(node);
        if (flown->count == batch->options.requests_max ||
            flown->bytes + waiting->bytes > batch->options.bytes_max) {
            break;
        }
        flown->bytes += waiting->bytes;
        flown->count++;
        flown->latest_ns =
            waiting->deadline_ns > flown->latest_ns ? waiting->deadline_ns : flown->latest_ns;
        skua__batch_unqueue_locked(batch, waiting, &flown->requests);
    }
    flown->give_up_ns = batch->earliest_ns; /* what was taken had its part in it */
    batch->in_flight++;
    skua__batch_count_left_locked(batch, flown, false);
}

/* ---- Time ---- */

bool
skua__batch_step(skua_batch *batch, int64_t now_ns) {
    skua__list expired, cancelled;
    skua__batch_flight taken = {.batch = batch};
    skua__list_init(&expired);
    skua__list_init(&cancelled);
    skua__list_init(&taken.requests);
    skua__mutex_lock(&batch->lock);
    batch->awaits_room = false; /* the last one has it; what came meanwhile is looked at now */
    take_expired_locked(batch, now_ns, &expired);
    if (batch->closing) {
        SKUA_LIST_EACH(node, &batch->queue) {
            skua__batch_unqueue_locked(batch, request_of(node), &cancelled);
        }
    } else if (leaves_at_locked(batch) <= now_ns) {
        take_batch_locked(batch, &taken);
    }
    bool did = taken.count || !skua__list_empty(&expired) || !skua__list_empty(&cancelled);
    if (did) {
        skua__batch_tell_locked(batch, now_ns);
    }
    skua__mutex_unlock(&batch->lock);

    end_unsent(batch, &expired, SKUA_E_TIMEOUT, "its deadline passed before it started");
    end_unsent(batch, &cancelled, SKUA_E_CANCELLED, closed_text);
    if (taken.count) {
        skua__batch_send(batch, &taken, true);
    }
    return did;
}

/*
 * Whether a batch may leave on a thread that is not the batcher's. What may be late is for that one: it ends, and does not start.
 * Nor does any overtake the one for which the batcher's thread waits for room, as each batch leaves it when it ends: under load
 * it would wait for ever.
 */
static bool
leaves_directly_locked(const skua_batch *batch) {
    return !batch->closing && !batch->awaits_room && batch->count.waiting_bytes <= DIRECT_BYTES &&
           leaves_at_locked(batch) == 0 && skua__clock_ns() < batch->earliest_ns;
}

/* Under the lock, which it gives up. */
static void
send_now(skua_batch *batch) {
    skua__batch_flight taken = {.batch = batch};
    skua__list_init(&taken.requests);
    if (leaves_directly_locked(batch)) {
        take_batch_locked(batch, &taken);
        skua__batch_tell_locked(batch, taken.left_ns);
    } else {
        skua__batch_wake_locked(batch);
    }
    skua__mutex_unlock(&batch->lock);
    if (taken.count) {
        skua__batch_send(batch, &taken, false);
    }
}

void
skua__batch_send_next(skua_batch *batch) {
    skua__mutex_lock(&batch->lock);
    send_now(batch);
}

void *
skua__batch_main(void *arg) {
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

/* ---- Submission ---- */

static bool
queue_has_room_locked(const skua_batch *batch, size_t bytes) {
    return batch->count.waiting < batch->options.queue_max &&
           (!batch->count.waiting ||
            batch->count.waiting_bytes + bytes <= batch->options.queue_bytes_max);
}

/* Puts a request into the queue, if it may. */
static skua_status
take_request(skua_batch *batch, skua__batch_request *taken) {
    skua__mutex_lock(&batch->lock);
    skua_status status = batch->closing                               ? SKUA_E_CLOSED
                         : queue_has_room_locked(batch, taken->bytes) ? SKUA_OK
                                                                      : SKUA_E_AGAIN;
    if (!status) {
        skua__list_push_back(&batch->queue, &taken->link);
        batch->pending++;
        enqueue_locked(batch, taken);
    }
    skua__batch_count_taken_locked(batch, status);
    send_now(batch);
    return status;
}

/* Whether a request is one that the batcher could send. */
static skua_status
check_request(const skua_batch *batch, const void *data, size_t data_bytes, int64_t deadline_ms,
              skua_error *err) {
    if ((data_bytes && !data) || deadline_ms < SKUA_NONE) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "a request has bytes but no data, or its deadline is below SKUA_NONE");
    }
    if (batch->kernel && data_bytes != skua__batch_kernel_in_bytes(batch->kernel)) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_ARGUMENT,
            "a request has %zu bytes, and one of kernel \"%s\" has the %zu of its rows "
            "in the order of the parameters",
            data_bytes, batch->task_name, skua__batch_kernel_in_bytes(batch->kernel));
    }
    if (data_bytes > batch->options.bytes_max) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG,
                         "a request has %zu bytes, and bytes_max of a batch is %u", data_bytes,
                         batch->options.bytes_max);
    }
    return SKUA_OK;
}

skua_status
skua__batch_take(skua_batch *batch, const void *data, size_t data_bytes, skua_batch_done_fn done,
                 void *done_arg, int64_t deadline_ms, struct skua_batch_future *future,
                 skua_error *err) {
    skua_status status = check_request(batch, data, data_bytes, deadline_ms, err);
    if (status) {
        return status;
    }
    skua__batch_request *taken =
        skua__mem_resize(batch->hook, NULL, sizeof *taken + data_bytes); /* not zeroed */
    if (!taken) {
        return SKUA_FAIL_MEMORY(err, "a request");
    }
    *taken = (skua__batch_request){
        .done = done,
        .done_arg = done_arg,
        .future = future,
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
                     "queue_max (%u) or queue_bytes_max (%llu)",
                     batch->options.queue_max, (unsigned long long)batch->options.queue_bytes_max);
}

skua_status
skua_batch_submit(skua_batch *batch, const void *data, size_t data_bytes, skua_batch_done_fn done,
                  void *done_arg, int64_t deadline_ms, skua_error *err) {
    skua_status status = skua__batch_enter(batch, err);
    return status
               ? status
               : skua__batch_take(batch, data, data_bytes, done, done_arg, deadline_ms, NULL, err);
}
