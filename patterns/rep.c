// SPDX-License-Identifier: MPL-2.0
// REP, as its users call it: open, take requests or serve them, answer, close.
#include "common.h"
#include "rep_priv.h"
#include "reqrep_stats.h"
#include "reqrep_wire.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>

#include <string.h>

enum { CLOSE_MS = 100, DEFAULT_PLAIN_WAITING = 1000 };

void
skua_rep_options_init(skua_rep_options *options, size_t size) {
    if (options && size >= sizeof size) {
        memset(options, 0, size);
        memcpy(options, &size, sizeof size);
    }
}

static skua__rep_tally *
tally_new(const skua_allocator *hook) {
    skua__rep_tally *tally = skua__mem_new(hook, sizeof *tally);
    if (tally) {
        atomic_init(&tally->refs, 1);
        atomic_init(&tally->freed, 0);
        tally->hook = hook;
        skua__mutex_init(&tally->lock);
    }
    return tally;
}

skua_status
skua_rep_open(skua_rep **ret_rep, skua_node *node, const char *service,
              const skua_rep_options *given, skua_error *err) {
    if (!ret_rep || !node || !service) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "ret_rep, node and service must be given");
    }
    skua_rep_options options;
    if (!SKUA_READ_OPTIONS(&options, given) || options.window_bytes < 0) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_ARGUMENT,
            "the options are of a newer skua than this one, or window_bytes is negative");
    }
    const skua_allocator *hook = options.allocator ? options.allocator : skua__node_hook(node);
    skua_rep *rep = skua__mem_new(hook, sizeof *rep);
    if (!rep) {
        return SKUA_FAIL_MEMORY(err, "a REP handle");
    }
    rep->tally = tally_new(hook);
    if (!rep->tally) {
        skua__mem_free(hook, rep);
        return SKUA_FAIL_MEMORY(err, "a REP handle");
    }
    skua__list_init(&rep->queue);
    rep->plain_waiting_max = options.plain_waiting ? options.plain_waiting : DEFAULT_PLAIN_WAITING;
    skua__handle_options handle_options = {.allocator = hook,
                                           .version = options.version,
                                           .window_bytes = options.window_bytes,
                                           .plain = {.kind = SKUA__PLAIN_REP,
                                                     .endpoint = options.plain_bind,
                                                     .bind = true,
                                                     .insecure = options.plain_insecure != 0}};
    skua_status status =
        skua__handle_open(&rep->handle, node, service, &skua__rep_ops, &handle_options, err);
    if (status != SKUA_OK) {
        skua__rep_tally_unref(rep->tally);
        skua__mem_free(hook, rep);
        return status;
    }
    *ret_rep = rep;
    return SKUA_OK;
}

skua_rep *
skua_rep_close(skua_rep *rep) {
    if (!rep || skua__node_check(rep->handle.node, NULL) == SKUA_E_FORKED) {
        return NULL; /* the child of a fork() owns none of it */
    }
    const skua_allocator *hook = rep->handle.hook;
    skua__handle_lock(&rep->handle);
    skua__handle_call_locked(&rep->handle);
    rep->closing = true;
    skua__rep_refuse_queue_locked(rep);
    while (rep->loops || rep->start_posted) {
        (void)skua__handle_wait_own_locked(&rep->handle, SKUA_NEVER_NS);
    }
    skua__handle_leave(&rep->handle);
    skua__handle_close(&rep->handle, skua__deadline_ns(CLOSE_MS));
    /* Whoever dies with requests in the queue took them along; what a blocked reader left is gone by now. */
    skua__list *node;
    while ((node = skua__list_pop_front(&rep->queue))) {
        skua__request_end(SKUA_CONTAINER_OF(node, skua_request, node));
    }
    skua__handle_fini(&rep->handle);
    skua__rep_tally_unref(rep->tally);
    return skua__mem_free(hook, rep);
}

skua_status
skua_rep_recv(skua_rep *rep, skua_request **ret_request, int64_t timeout_ms, skua_error *err) {
    if (!rep || !ret_request) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "rep and ret_request must be given");
    }
    int64_t deadline_ns;
    skua_status status = skua__call_deadline(timeout_ms, SKUA_UNLIMITED, &deadline_ns, err);
    if (status == SKUA_OK) {
        status = skua__handle_enter(&rep->handle, err);
    }
    if (status != SKUA_OK) {
        return status;
    }
    const char *name = rep->handle.name;
    skua_request *request = NULL;
    if (rep->fn) {
        status =
            SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a handler answers the requests to \"%s\"", name);
    }
    while (status == SKUA_OK && !(request = skua__rep_pop_locked(rep))) {
        /* Who waits anyway need not look before: what is there wakes it at once. */
        bool over = skua__clock_ns() >= deadline_ns;
        if (over && skua__handle_pump_locked(&rep->handle)) {
            continue;
        }
        if (!deadline_ns) {
            status = SKUA_FAIL(err, SKUA_E_AGAIN, "no request to \"%s\" waits", name);
        } else if (over) {
            status = SKUA_FAIL(err, SKUA_E_TIMEOUT, "no request to \"%s\" came within %lld ms",
                               name, (long long)timeout_ms);
        } else {
            status = skua__handle_wait_locked(&rep->handle, deadline_ns);
            status = status == SKUA_E_TIMEOUT ? SKUA_OK : status; /* a last look at the queue */
            if (status != SKUA_OK) {
                status = SKUA_FAIL(err, status, "the handle for \"%s\" was closed", name);
            }
        }
    }
    skua__handle_leave(&rep->handle);
    if (status == SKUA_OK) {
        *ret_request = request;
    }
    return status;
}

/* Answers and takes the request; msg stays the caller's. */
static skua_status
answer(skua_rep *rep, skua_request **request, int kind, skua_msg *msg, skua_error *err) {
    skua_status status = skua__handle_enter(&rep->handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    status = skua__rep_answer_locked(rep, *request, kind, msg);
    skua__handle_leave(&rep->handle);
    if (status == SKUA_OK) {
        *request = NULL;
        return SKUA_OK;
    }
    return SKUA_FAIL(err, status, "an answer of \"%s\" could not be sent: %s", rep->handle.name,
                     skua_status_text(status));
}

skua_status
skua_rep_reply(skua_rep *rep, skua_request **request, skua_msg **msg, skua_error *err) {
    if (!rep || !request || !*request || !msg || !*msg) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "rep, *request and *msg must be given");
    }
    skua_status status = answer(rep, request, SKUA__REQREP_REPLY, *msg, err);
    if (status == SKUA_OK) {
        *msg = skua_msg_free(*msg);
    }
    return status;
}

static skua_status
answer_with_text(skua_rep *rep, skua_request **request, int kind, const char *text,
                 skua_error *err) {
    if (!rep || !request || !*request || !text) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "rep, *request and text must be given");
    }
    skua_msg *msg = skua_msg_of_bytes(text, strnlen(text, SKUA_REP_ERROR_TEXT_MAX_BYTES));
    if (!msg) {
        return SKUA_FAIL_MEMORY(err, "an answer");
    }
    skua_status status = answer(rep, request, kind, msg, err);
    skua_msg_free(msg);
    return status;
}

skua_status
skua_rep_fail(skua_rep *rep, skua_request **request, const char *text, skua_error *err) {
    return answer_with_text(rep, request, SKUA__REQREP_ERROR, text, err);
}

skua_status
skua_rep_refuse(skua_rep *rep, skua_request **request, const char *text, skua_error *err) {
    return answer_with_text(rep, request, SKUA__REQREP_REFUSED, text, err);
}

skua_status
skua_rep_serve(skua_rep *rep, const skua_runner *runner, uint32_t parallel, skua_rep_fn *fn,
               void *ctx, skua_error *err) {
    if (!rep || !runner || !fn || runner->version != SKUA_RUNNER_VERSION || !runner->post) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "rep, fn and a runner of version %d must be given", SKUA_RUNNER_VERSION);
    }
    skua_status status = skua__handle_enter(&rep->handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    if (rep->fn) {
        status = SKUA_FAIL(err, SKUA_E_EXISTS, "\"%s\" has a handler", rep->handle.name);
    } else {
        rep->runner = runner;
        rep->parallel = parallel ? parallel : SKUA_REP_DEFAULT_PARALLEL;
        rep->ctx = ctx;
        rep->fn = fn;
        skua__rep_want_loops_locked(rep);
    }
    skua__handle_leave(&rep->handle);
    return status;
}

const skua_msg *
skua_request_msg(const skua_request *request) {
    return request->msg;
}

skua_msg *
skua_request_take_msg(skua_request *request) {
    skua_msg *msg = request->msg;
    request->msg = NULL;
    return msg;
}

int
skua_request_cancelled(const skua_request *request) {
    /* relaxed: a hint that nothing else depends on */
    return atomic_load_explicit(&request->cancelled, memory_order_relaxed) ||
           skua_request_left_ms(request) == 0;
}

int64_t
skua_request_left_ms(const skua_request *request) {
    if (request->deadline_ns == SKUA_NEVER_NS) {
        return SKUA_UNLIMITED;
    }
    int64_t left_ns = request->deadline_ns - skua__clock_ns();
    return left_ns > 0 ? (left_ns + SKUA_NS_PER_MS - 1) / SKUA_NS_PER_MS : 0;
}

int
skua_rep_fd(const skua_rep *rep) {
    if (skua__node_check(rep->handle.node, NULL) == SKUA_E_FORKED) {
        return -1;
    }
    return skua__handle_fd((skua__handle *)(uintptr_t)&rep->handle);
}

uint16_t
skua_rep_plain_port(const skua_rep *rep) {
    const skua__plain *plain = skua__handle_plain(&rep->handle);
    return plain ? skua__plain_port(plain) : 0;
}

skua_status
skua_rep_stats(skua_rep *rep, skua_reqrep_stats *ret_stats) {
    if (!rep || !ret_stats || ret_stats->size < sizeof(size_t)) {
        return SKUA_E_BAD_ARGUMENT;
    }
    skua_status status = skua__handle_enter(&rep->handle, NULL);
    if (status != SKUA_OK) {
        return status;
    }
    skua_reqrep_stats stats = rep->stats;
    /* relaxed: a counter that is only read for statistics. */
    stats.dropped += atomic_load_explicit(&rep->tally->freed, memory_order_relaxed);
    stats.open = stats.received - stats.answered - stats.refused - stats.expired - stats.cancelled -
                 stats.dropped;
    skua__reqrep_fill_stats(&rep->handle, &stats);
    skua__handle_leave(&rep->handle);
    skua__reqrep_give_stats(&stats, ret_stats);
    return SKUA_OK;
}
