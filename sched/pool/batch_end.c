// SPDX-License-Identifier: MPL-2.0
// How requests of a batcher end: each with a result of its own, counted under the lock, and told under none.
#include <skua-int/batch_int.h>
#include <skua-int/clock.h>
#include <skua-int/pool_int.h>

static skua_batch_result
result_of(const skua__batch_ending *how, uint32_t i, const skua__batch_request *of,
          int64_t now_ns) {
    skua_batch_result result = {
        .size = sizeof result,
        .status = how->status,
        .code = how->code,
        .latency_ns = now_ns - of->taken_ns,
        .batch_requests = how->flight && how->future ? how->flight->count : 0,
        .node = how->node,
        .message = how->message,
    };
    if (result.batch_requests) {
        result.wait_ns = how->flight->left_ns - of->taken_ns;
    }
    if (how->status) {
        return result;
    }
    int32_t code = how->rows.kernel
                       ? 0
                       : skua__batch_cut(&how->answers, i, &result.answer, &result.answer_bytes);
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

/* Tells one request its end, and frees it. room: for its answer, where that has to be put together. */
static void
tell(const skua_batch *batch, skua__batch_request *ended, const skua__batch_ending *how,
     skua_batch_result *result, uint32_t i, void *room) {
    if (!result->status && how->rows.kernel) {
        result->answer = skua__batch_kernel_cut(&how->rows, i, room);
        result->answer_bytes = skua__batch_kernel_out_bytes(batch->kernel);
    }
    if (ended->done) {
        ended->done(ended->done_arg, result);
    }
    skua__mem_free(batch->hook, ended);
}

/* Room for an answer. NULL: none is needed, or there is no memory, and then *how says so. */
static void *
make_room(const skua_batch *batch, skua__batch_ending *how) {
    if (!how->rows.kernel || skua__batch_kernel_is_whole(batch->kernel)) {
        return NULL;
    }
    void *room = skua__mem_resize(batch->hook, NULL, skua__batch_kernel_out_bytes(batch->kernel));
    if (!room) {
        how->status = SKUA_E_NO_MEMORY;
        how->message = "no memory for its answer";
    }
    return room;
}

void
skua__batch_end(skua_batch *batch, skua__list *requests, const skua__batch_ending *given) {
    const int64_t now_ns = skua__clock_ns();
    const skua_allocator *hook = batch->hook;
    skua__batch_ending how = *given;
    void *room = make_room(batch, &how);
    uint32_t i = 0;
    skua__mutex_lock(&batch->lock);
    SKUA_LIST_EACH(node, requests) {
        skua_batch_result result =
            result_of(&how, i++, SKUA_CONTAINER_OF(node, skua__batch_request, link), now_ns);
        skua__batch_count_end_locked(batch, &result);
    }
    if (how.flight) {
        batch->in_flight--;
    }
    if (how.flight && how.future) {
        skua__batch_count_run_locked(batch, how.flight, now_ns);
    }
    skua__batch_tell_locked(batch, now_ns);
    skua__mutex_unlock(&batch->lock);
    skua__batch_send_next(batch); /* the backend's next work first, then the news */

    i = 0;
    for (skua__list *node; (node = skua__list_pop_front(requests)); i++) {
        skua__batch_request *ended = SKUA_CONTAINER_OF(node, skua__batch_request, link);
        skua_batch_result result = result_of(&how, i, ended, now_ns);
        tell(batch, ended, &how, &result, i, room);
    }
    skua__mem_free(hook, room);

    skua_pool_future *old = how.future;
    skua__mutex_lock(&batch->lock);
    if (how.future) {
        old = batch->newest;
        batch->newest = how.future;
    }
    batch->pending -= i;
    if (!batch->pending) {
        skua__cond_broadcast(&batch->all_ended);
    }
    skua__mutex_unlock(&batch->lock); /* our last touch */
    skua_pool_future_free(old);
}
