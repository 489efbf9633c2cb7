// SPDX-License-Identifier: MPL-2.0
// How requests come to a REP handle, wait, reach handlers or a reader, and how answers leave.
#include "rep_priv.h"
#include "reqrep_wire.h"

#include <skua-int/clock.h>

enum {
    LOOP_MAX_REQUESTS = 64
}; /* a handler loop goes back to its runner after so many, so that others run too */

static skua_rep *
rep_of(skua__handle *handle) {
    return SKUA_CONTAINER_OF(handle, skua_rep, handle);
}

/* ---- Requests ---- */

static skua_request *
request_new(skua_rep *rep, skua_msg **msg) {
    skua_request *request = skua__mem_new(rep->handle.hook, sizeof *request);
    if (!request) {
        return NULL;
    }
    /* relaxed: the handle's own reference keeps the tally alive. */
    atomic_fetch_add_explicit(&rep->tally->refs, 1, memory_order_relaxed);
    request->tally = rep->tally;
    request->hook = rep->handle.hook;
    request->deadline_ns = SKUA_NEVER_NS;
    request->msg = *msg;
    *msg = NULL;
    skua__list_init(&request->node);
    skua__list_init(&request->of_asker);
    atomic_init(&request->cancelled, false);
    return request;
}

void
skua__rep_tally_unref(skua__rep_tally *tally) {
    /* acq_rel R1: all counting happens before the end; pairs with acq_rel R1, itself, in another thread */
    if (atomic_fetch_sub_explicit(&tally->refs, 1, memory_order_acq_rel) == 1) {
        skua__mutex_fini(&tally->lock);
        skua__mem_free(tally->hook, tally);
    }
}

skua_request *
skua__request_end(skua_request *request) {
    skua_msg_free(request->msg);
    skua_msg_free(request->envelope);
    if (!request->envelope) {
        skua__mutex_lock(&request->tally->lock);
        skua__list_remove(&request->of_asker);
        skua__mutex_unlock(&request->tally->lock);
    }
    skua__rep_tally_unref(request->tally);
    return skua__mem_free(request->hook, request);
}

skua_request *
skua_request_free(skua_request *request) {
    if (!request) {
        return NULL;
    }
    /* relaxed: a counter that is only read for statistics. */
    atomic_fetch_add_explicit(&request->tally->freed, 1, memory_order_relaxed);
    return skua__request_end(request);
}

static void
unqueue(skua_rep *rep, skua_request *request) {
    skua__list_remove(&request->node);
    request->queued = false;
    rep->queued--;
    if (request->envelope) {
        rep->plain_waiting--;
    } else {
        /* Only now may its sender send more: what waits here is bounded by the window. */
        skua__handle_done_locked(&rep->handle, request->in_id);
    }
}

skua_request *
skua__rep_pop_locked(skua_rep *rep) {
    int64_t now_ns = skua__list_empty(&rep->queue) ? 0 : skua__clock_ns();
    while (!skua__list_empty(&rep->queue)) {
        skua_request *request = SKUA_CONTAINER_OF(rep->queue.next, skua_request, node);
        unqueue(rep, request);
        if (now_ns < request->deadline_ns) {
            return request;
        }
        rep->stats.expired++;
        skua__request_end(request);
    }
    return NULL;
}

/* ---- Requests that nobody waits for ---- */

/* So that it is found by the link and the id. Without memory for the list it is answered in vain. */
static void
track(skua_rep *rep, skua__link *link, skua_request *request) {
    skua__rep_asker *asker = skua__link_user(link);
    if (!asker) {
        asker = skua__mem_new(rep->handle.hook, sizeof *asker);
        if (!asker) {
            return;
        }
        skua__list_init(&asker->requests);
        skua__link_set_user(link, asker);
    }
    asker->again |= skua_msg_redelivered(request->msg) != 0;
    skua__mutex_lock(&rep->tally->lock);
    skua__list_push_back(&asker->requests, &request->of_asker);
    skua__mutex_unlock(&rep->tally->lock);
}

static bool
is_cancelled(const skua_request *request) {
    /* relaxed: read under the lock under which it is written, but for the owner's own look at it */
    return atomic_load_explicit(&request->cancelled, memory_order_relaxed);
}

/*
 * Marks those of the link's requests that have this id (0: all). What waits is the handle's, and is returned, one at a
 * time, for the caller to drop; what was taken is its owner's, who may look at skua_request_cancelled().
 */
static skua_request *
mark_cancelled(skua_rep *rep, skua__rep_asker *asker, uint64_t id) {
    skua_request *waits = NULL;
    skua__mutex_lock(&rep->tally->lock);
    SKUA_LIST_EACH(node, &asker->requests) {
        skua_request *request = SKUA_CONTAINER_OF(node, skua_request, of_asker);
        if (id && request->id != id) {
            continue;
        }
        /* relaxed: a hint; what an answer finds is read under the handle's lock, as it is written here */
        atomic_store_explicit(&request->cancelled, true, memory_order_relaxed);
        waits = request->queued ? request : NULL;
        if (waits || (id && !asker->again)) {
            break;
        }
    }
    skua__mutex_unlock(&rep->tally->lock);
    return waits;
}

static void
cancel(skua_rep *rep, skua__link *link, uint64_t id) {
    skua__rep_asker *asker = skua__link_user(link);
    skua_request *request;
    while (asker && (request = mark_cancelled(rep, asker, id))) {
        unqueue(rep, request);
        rep->stats.cancelled++;
        skua__request_end(request);
        if (!asker->again) {
            return;
        }
    }
}

/* ---- Answers ---- */

skua_status
skua__rep_answer_locked(skua_rep *rep, skua_request *request, int kind, skua_msg *msg) {
    skua_status status = SKUA_OK;
    bool gone = false;
    if (request->envelope) {
        /* A plain REQ understands nothing but a reply; a refusal tells it nothing that it could use. */
        if (kind != SKUA__REQREP_REFUSED) {
            status = skua__plain_send(skua__handle_plain(&rep->handle), request->envelope, msg);
            gone = status == SKUA_E_PEER_LOST || status == SKUA_E_AGAIN;
        }
    } else {
        skua__link *link = skua__handle_link_of_locked(&rep->handle, request->in_id);
        gone = !link;
        if (link && is_cancelled(request)) {
            rep->stats.cancelled++;
            skua__request_end(request);
            return SKUA_OK;
        }
        if (link) {
            skua__reqrep_tag tag = {.kind = (skua__reqrep_kind)kind, .id = request->id};
            uint8_t bytes[SKUA__REQREP_TAG_BYTES];
            skua__reqrep_tag_write(&tag, bytes);
            status = skua__link_send(link, bytes, sizeof bytes, msg, false);
        }
    }
    if (status != SKUA_OK && !gone) {
        return status;
    }
    if (gone) {
        rep->stats.dropped++;
    } else if (kind == SKUA__REQREP_REFUSED) {
        rep->stats.refused++;
    } else {
        rep->stats.answered++;
    }
    skua__request_end(request);
    return SKUA_OK;
}

static void
refuse(skua_rep *rep, skua_request *request, const char *reason) {
    skua_msg *msg = skua_msg_of_string(reason);
    if (!msg || skua__rep_answer_locked(rep, request, SKUA__REQREP_REFUSED, msg) != SKUA_OK) {
        rep->stats.dropped++;
        skua__request_end(request);
    }
    skua_msg_free(msg);
}

void
skua__rep_refuse_queue_locked(skua_rep *rep) {
    skua_request *request;
    while ((request = skua__rep_pop_locked(rep))) {
        refuse(rep, request, "it is closing");
    }
}

/* ---- Handlers ---- */

static void
leave_loop_locked(skua_rep *rep) {
    rep->loops--;
    skua__handle_wake_locked(&rep->handle); /* a close may wait for the last */
}

/* A close waits for the loops before it closes the handle, and they also end when the node is closed: no question is asked. */
static void
enter(skua_rep *rep) {
    skua__handle_lock(&rep->handle);
    skua__handle_call_locked(&rep->handle);
}

static void run_loop(void *arg);

/* Runs in the node's thread, under no lock: a runner is not ours, and may take locks of its own. */
static void
start_loops(void *arg) {
    skua_rep *rep = arg;
    uint32_t count = 0;
    enter(rep);
    rep->start_posted = false;
    if (!rep->closing) {
        uint32_t free_loops = rep->parallel - rep->loops;
        count = rep->queued < free_loops ? rep->queued : free_loops;
        rep->loops += count;
    }
    skua__handle_wake_locked(&rep->handle);
    skua__handle_leave(&rep->handle);
    for (uint32_t i = 0; i < count; i++) {
        if (rep->runner->post(rep->runner->ctx, run_loop, rep) != SKUA_OK) {
            /* The runner is closing, or has no memory: others are to answer. */
            enter(rep);
            if (rep->loops == count - i) {
                skua__rep_refuse_queue_locked(rep);
            }
            rep->loops -= count - i - 1;
            leave_loop_locked(rep);
            skua__handle_leave(&rep->handle);
            return;
        }
    }
}

void
skua__rep_want_loops_locked(skua_rep *rep) {
    if (!rep->fn || rep->start_posted || rep->loops == rep->parallel || !rep->queued ||
        rep->closing) {
        return;
    }
    /* Without memory for it the next request, or the end of a loop, tries again. */
    rep->start_posted = skua__node_post(rep->handle.node, start_loops, rep) == SKUA_OK;
}

/* One handler after the other, in a thread of the runner. */
static void
run_loop(void *arg) {
    skua_rep *rep = arg;
    for (int i = 0; i < LOOP_MAX_REQUESTS; i++) {
        enter(rep);
        skua_request *request = rep->closing ? NULL : skua__rep_pop_locked(rep);
        if (!request) {
            leave_loop_locked(rep);
            skua__handle_leave(&rep->handle);
            return;
        }
        skua__handle_leave(&rep->handle);
        rep->fn(rep->ctx, rep, request);
    }
    if (rep->runner->post(rep->runner->ctx, run_loop, rep) != SKUA_OK) {
        enter(rep);
        leave_loop_locked(rep);
        skua__rep_want_loops_locked(rep);
        skua__handle_leave(&rep->handle);
    }
}

/* ---- What the handle tells ---- */

static void
enqueue(skua_rep *rep, skua_request *request) {
    rep->stats.received++;
    skua__list_push_back(&rep->queue, &request->node);
    request->queued = true;
    rep->queued++;
    if (rep->closing) {
        unqueue(rep, request);
        refuse(rep, request, "it is closing");
        return;
    }
    skua__rep_want_loops_locked(rep);
}

static void
rep_deliver(skua__handle *handle, skua__link *link, skua__incoming *in) {
    skua_rep *rep = rep_of(handle);
    skua__reqrep_tag tag;
    bool known = skua__reqrep_tag_read(in->tag, in->tag_size, &tag);
    if (known && tag.kind == SKUA__REQREP_CANCEL) {
        cancel(rep, link, tag.id);
        skua__handle_done_locked(handle, in->id);
        return;
    }
    bool sound = known && tag.kind == SKUA__REQREP_REQUEST;
    skua_request *request = sound ? request_new(rep, &in->msg) : NULL;
    if (!request) {
        /* Not a request, or no memory: the one who asks has its deadline. */
        rep->stats.received++;
        rep->stats.dropped++;
        skua__handle_done_locked(handle, in->id);
        return;
    }
    request->in_id = in->id;
    request->id = tag.id;
    if (tag.left_ms != SKUA__REQREP_NO_DEADLINE) {
        request->deadline_ns = skua__clock_ns() + tag.left_ms * SKUA_NS_PER_MS;
    }
    track(rep, link, request);
    enqueue(rep, request);
}

static void
rep_plain(skua__handle *handle) {
    skua_rep *rep = rep_of(handle);
    skua_msg *envelope, *msg;
    while (skua__plain_recv(skua__handle_plain(&rep->handle), &envelope, &msg) == SKUA_OK) {
        skua_request *request = NULL;
        if (rep->plain_waiting < rep->plain_waiting_max) {
            request = request_new(rep, &msg);
        }
        if (!request) {
            rep->stats.received++;
            rep->stats.dropped++;
            skua_msg_free(envelope);
            skua_msg_free(msg);
            continue;
        }
        request->envelope = envelope;
        rep->plain_waiting++;
        enqueue(rep, request);
    }
}

/* What a peer that is gone asked nobody need answer: what waits is dropped, and who has taken one may see it. */
static void
rep_link_down(skua__handle *handle, skua__link *link, skua__down_reason reason) {
    (void)reason;
    skua_rep *rep = rep_of(handle);
    skua__rep_asker *asker = skua__link_user(link);
    if (!asker) {
        return;
    }
    skua_request *request;
    while ((request = mark_cancelled(rep, asker, 0))) {
        unqueue(rep, request);
        rep->stats.dropped++;
        skua__request_end(request);
    }
    skua__mutex_lock(&rep->tally->lock);
    while (skua__list_pop_front(&asker->requests)) {
        /* Their owners end them, later than the list ends. */
    }
    skua__mutex_unlock(&rep->tally->lock);
    skua__link_set_user(link, NULL);
    skua__mem_free(handle->hook, asker);
}

static bool
rep_readable(skua__handle *handle) {
    const skua_rep *rep = rep_of(handle);
    return !rep->fn && !skua__list_empty(&rep->queue);
}

const skua__pattern_ops skua__rep_ops = {
    .name = "rep",
    .kind = SKUA__SERVICE_REP,
    .provider = true,
    .own_role = SKUA__ROLE_SERVE,
    .peer_role = SKUA__ROLE_CALL,
    .confirm_by_done = true,
    .lazy_ack = true,
    .link_down = rep_link_down,
    .deliver = rep_deliver,
    .readable = rep_readable,
    .plain = rep_plain,
};
