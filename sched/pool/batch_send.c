// SPDX-License-Identifier: MPL-2.0
// A batch on its way: it becomes a task or a launch of the pool's, whose end is that of its requests.
#include <skua-int/batch_int.h>
#include <skua-int/clock.h>
#include <skua-int/kernels.h>

#include <string.h>

/* What is left until at_ns for a wait or a task: at least 1 ms, and 0 for never. */
static int64_t
left_ms(int64_t at_ns) {
    if (at_ns == SKUA_NEVER_NS) {
        return 0;
    }
    int64_t left_ns = at_ns - skua__clock_ns();
    return left_ns > 0 ? (left_ns - 1) / SKUA_NS_PER_MS + 1 : 1;
}

/* ---- The end ---- */

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

/* Looks whether an output answers the batch. */
static void
read_output(const skua_batch *batch, const skua_task_result *result, skua__batch_ending *how) {
    bool good = batch->kernel
                    ? skua__batch_kernel_check(batch->kernel, how->flight->count, result->output,
                                               result->output_bytes, &how->rows)
                    : skua__batch_check(result->output, result->output_bytes, how->flight->count,
                                        &how->answers);
    if (!good) {
        how->status = SKUA_E_MALFORMED;
        how->message = batch->kernel ? "the results are fewer than those of the batch's launch"
                                     : "the task's output is no answer to its batch: answer with "
                                       "skua_batch_rows() or skua_batch_answer()";
    }
}

/* The batch's task has ended, under no lock. */
static void
on_task_done(void *arg, skua_pool_future *future) {
    skua__batch_flight *flown = arg;
    skua_batch *batch = flown->batch;
    /* relaxed: whoever calls us holds a reference; ours is for skua_batch_explain() */
    atomic_fetch_add_explicit(&future->refs, 1, memory_order_relaxed);
    skua_task_result result = {.size = sizeof result};
    skua_status status = skua_pool_result(future, &result, NULL);
    skua__batch_ending how = {
        .status = status ? status : status_of(result.outcome),
        .code = result.code,
        .message = result.message,
        .node = result.node,
        .flight = flown,
        .future = future,
    };
    if (!how.status) {
        read_output(batch, &result, &how);
    }
    const skua_allocator *hook = batch->hook;
    skua__batch_end(batch, &flown->requests, &how);
    skua__mem_free(hook, flown);
}

/* ---- As a task ---- */

static void
free_input(void *input, void *hint) {
    skua__mem_free(hint, input);
}

static void
pack(void *input, const skua__batch_flight *flown) {
    size_t begin = 0;
    uint32_t i = 0;
    skua__batch_put_head(input, flown->count);
    SKUA_LIST_EACH(node, &flown->requests) {
        const skua__batch_request *packed = SKUA_CONTAINER_OF(node, skua__batch_request, link);
        begin = skua__batch_put(input, flown->count, i++, begin, packed->data, packed->bytes);
    }
}

/*
 * Waits until the pool may have room for such a batch. Returns false when a deadline of a request passes first, or the batcher is
 * closed: whoever closes it may be whom the pool's tasks wait for.
 */
static bool
await_room(skua_batch *batch, size_t bytes, int64_t give_up_ns) {
    skua__mutex_lock(&batch->lock);
    batch->awaits_room = true;
    skua__mutex_unlock(&batch->lock);
    return skua__pool_await_room(batch->pool, bytes, give_up_ns, &batch->no_wait);
}

static skua_status
send_task(skua_batch *batch, skua__batch_flight *flown, bool patient, skua_error *err) {
    size_t input_bytes = skua__batch_input_bytes(flown->count, flown->bytes);
    void *input = skua__mem_resize(batch->hook, NULL, input_bytes); /* not zeroed: it is filled */
    if (!input) {
        return SKUA_FAIL(err, SKUA_E_NO_MEMORY, "no memory for its batch");
    }
    pack(input, flown);
    skua_task task = {
        .size = sizeof task,
        .name = batch->task_name,
        .version = batch->options.version,
        .priority = batch->options.priority,
        .input = input,
        .input_bytes = input_bytes,
        .free_fn = free_input,
        .free_hint = (void *)(uintptr_t)batch->hook,
        .idempotent = batch->options.idempotent,
        .on_done = on_task_done,
        .on_done_arg = flown,
    };
    const int64_t give_up_ns = flown->give_up_ns, latest_ns = flown->latest_ns;
    skua_status status;
    do {
        task.timeout_ms = left_ms(latest_ns); /* of now, however long it waited for room */
        status = skua_pool_submit(batch->pool, &task, NULL, err);
        if (status == SKUA_E_AGAIN && patient && !await_room(batch, input_bytes, give_up_ns)) {
            status = SKUA_E_TIMEOUT;
        }
    } while (status == SKUA_E_AGAIN && patient);
    if (status) {
        skua__mem_free(batch->hook, input);
    }
    return status;
}

/* ---- As a launch ---- */

static skua_status
send_launch(skua_batch *batch, skua__batch_flight *flown, bool patient, skua_error *err) {
    size_t room_bytes = skua__batch_kernel_room(batch->kernel, flown->count);
    uint8_t *room = skua__mem_resize(batch->hook, NULL, room_bytes ? room_bytes : 1);
    if (!room) {
        return SKUA_FAIL(err, SKUA_E_NO_MEMORY, "no memory for its batch");
    }
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS];
    skua_launch launch;
    skua__batch_kernel_gather(batch->kernel, flown, room, args, &launch);
    const int64_t give_up_ns = flown->give_up_ns, latest_ns = flown->latest_ns;
    skua_status status;
    do {
        launch.timeout_ms = left_ms(latest_ns);
        status = skua__kernel_submit(batch->pool, &launch, on_task_done, flown, NULL, err);
        if (status == SKUA_E_AGAIN && patient &&
            !await_room(batch, skua__batch_kernel_input_bytes(batch->kernel, flown->count),
                        give_up_ns)) {
            status = SKUA_E_TIMEOUT;
        }
    } while (status == SKUA_E_AGAIN && patient);
    skua__mem_free(batch->hook, room);
    return status;
}

void
skua__batch_send(skua_batch *batch, skua__batch_flight *taken, bool patient) {
    skua_error err;
    skua_status status = SKUA_E_NO_MEMORY;
    skua__batch_flight *flown = skua__mem_new(batch->hook, sizeof *flown);
    if (flown) {
        *flown = *taken;
        skua__list_init(&flown->requests);
        for (skua__list *node; (node = skua__list_pop_front(&taken->requests));) {
            skua__list_push_back(&flown->requests, node);
        }
        status = batch->kernel ? send_launch(batch, flown, patient, &err)
                               : send_task(batch, flown, patient, &err);
    } else {
        (void)SKUA_FAIL(&err, status, "no memory for its batch");
        flown = taken;
    }
    if (!status) {
        return; /* on_task_done() has the flight, and may have ended it already */
    }
    if (!patient ||
        status == SKUA_E_TIMEOUT) { /* or the window was full until a deadline or the closing */
        skua__batch_put_back(batch, flown);
    } else {
        skua__batch_end(batch, &flown->requests,
                        &(skua__batch_ending){
                            .status = status, .message = err.message, .node = "", .flight = flown});
    }
    if (flown != taken) {
        skua__mem_free(batch->hook, flown);
    }
}
