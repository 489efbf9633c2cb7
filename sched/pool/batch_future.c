// SPDX-License-Identifier: MPL-2.0
// Requests that somebody waits for: their end is kept in a future of their own, which outlives the batcher.
#include <skua-int/batch_int.h>
#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <stdio.h>
#include <string.h>

struct skua_batch_future {
    const skua_allocator *hook;
    skua_batch *batch;            /* dead once it has ended: looked at only before */
    skua__batch_request *request; /* guarded by the batch's lock: it waits in the queue; NULL */

    skua__mutex lock; /* guards all below; taken after the batch's, if both are */
    skua__cond told;
    bool ended, dropped; /* whoever comes second frees it */
    skua_batch_result result;
    void *answer; /* a block of the hook's, or NULL */
    char node[64];
    char message[SKUA_TASK_MESSAGE_BYTES];
};

static skua_batch_future *
free_future(skua_batch_future *self) {
    skua__cond_fini(&self->told);
    skua__mutex_fini(&self->lock);
    skua__mem_free(self->hook, self->answer);
    return skua__mem_free(self->hook, self);
}

void
skua__batch_future_waits_locked(skua_batch_future *future, skua__batch_request *request) {
    future->request = request;
}

/* A skua_batch_done_fn. */
static void
on_end(void *arg, const skua_batch_result *result) {
    skua_batch_future *self = arg;
    void *answer = result->answer_bytes
                       ? skua__mem_copy(self->hook, result->answer, result->answer_bytes)
                       : NULL;
    skua__mutex_lock(&self->lock);
    self->result = *result;
    snprintf(self->node, sizeof self->node, "%s", result->node);
    snprintf(self->message, sizeof self->message, "%s", result->message);
    if (result->answer_bytes && !answer) {
        self->result.status = SKUA_E_NO_MEMORY;
        self->result.answer_bytes = 0;
        snprintf(self->message, sizeof self->message, "no memory for its answer");
    }
    self->answer = answer;
    self->result.answer = answer;
    self->result.node = self->node;
    self->result.message = self->message;
    self->ended = true;
    bool dropped = self->dropped;
    skua__cond_broadcast(&self->told);
    skua__mutex_unlock(&self->lock);
    if (dropped) {
        free_future(self);
    }
}

skua_status
skua_batch_ask(skua_batch *batch, const void *data, size_t data_bytes, int64_t deadline_ms,
               skua_batch_future **ret_future, skua_error *err) {
    skua_status status = skua__batch_enter(batch, err);
    if (status) {
        return status;
    }
    if (!ret_future) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_batch_ask needs a place for its future; skua_batch_submit does not");
    }
    skua_batch_future *self = skua__mem_new(batch->hook, sizeof *self);
    if (!self) {
        return SKUA_FAIL_MEMORY(err, "a request");
    }
    self->hook = batch->hook;
    self->batch = batch;
    skua__mutex_init(&self->lock);
    skua__cond_init(&self->told);
    status = skua__batch_take(batch, data, data_bytes, on_end, self, deadline_ms, self, err);
    if (status) {
        free_future(self);
        return status;
    }
    *ret_future = self;
    return SKUA_OK;
}

skua_status
skua_batch_wait(skua_batch_future *future, int64_t timeout_ms, skua_batch_result *ret_result,
                skua_error *err) {
    if (!future || timeout_ms < SKUA_NONE || (ret_result && ret_result->size < sizeof(size_t))) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_batch_wait needs a future, and ret_result->size set");
    }
    int64_t deadline_ns = skua__deadline_ns(timeout_ms ? timeout_ms : SKUA_UNLIMITED);
    skua__mutex_lock(&future->lock);
    bool in_time = true;
    while (!future->ended && in_time) {
        in_time = skua__cond_wait_until(&future->told, &future->lock, deadline_ns);
    }
    bool ended = future->ended;
    skua__mutex_unlock(&future->lock);
    if (!ended) {
        return SKUA_FAIL(err, SKUA_E_TIMEOUT, "the request has not ended within %lld ms",
                         (long long)(timeout_ms == SKUA_NONE ? 0 : timeout_ms));
    }
    if (ret_result) { /* it stays as it is now */
        size_t size = ret_result->size < sizeof *ret_result ? ret_result->size : sizeof *ret_result;
        memcpy((char *)ret_result + sizeof size, (const char *)&future->result + sizeof size,
               size - sizeof size);
    }
    return SKUA_OK;
}

/* Takes the request out of the queue, if it is there. */
static bool
withdraw(skua_batch *batch, skua_batch_future *future, skua__list *ret) {
    skua__mutex_lock(&batch->lock);
    skua__batch_request *request = future->request;
    if (request) {
        skua__batch_unqueue_locked(batch, request, ret);
    }
    skua__mutex_unlock(&batch->lock);
    return request != NULL;
}

bool
skua_batch_cancel(skua_batch_future *future) {
    if (!future) {
        return false;
    }
    skua__mutex_lock(&future->lock);
    bool ended = future->ended;
    skua__mutex_unlock(&future->lock);
    skua__list cancelled;
    skua__list_init(&cancelled);
    if (ended || future->batch->fork_generation != skua__fork_generation() ||
        !withdraw(future->batch, future, &cancelled)) {
        return false;
    }
    skua__batch_end(future->batch, &cancelled,
                    &(skua__batch_ending){.status = SKUA_E_CANCELLED,
                                          .node = "",
                                          .message = "it was cancelled before it started"});
    return true;
}

skua_batch_future *
skua_batch_future_free(skua_batch_future *future) {
    if (future) {
        skua__mutex_lock(&future->lock);
        future->dropped = true;
        bool ended = future->ended;
        skua__mutex_unlock(&future->lock);
        if (ended) {
            free_future(future);
        }
    }
    return NULL;
}
