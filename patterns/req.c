// SPDX-License-Identifier: MPL-2.0
// REQ, as its users call it: open, ask, wait for the end, close. What happens to a request is in req_flow.c.
#include "common.h"
#include "req_priv.h"
#include "reqrep_stats.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>

#include <assert.h>
#include <string.h>

/* What is left of a frame for the body, with room to spare for headers. */
enum { MESSAGE_MAX_BYTES = SKUA__MESSAGE_MAX_BYTES - 1024 };

enum { CLOSE_MS = 100, DEFAULT_BACKOFF_MS = 10, PLAIN_PROVIDER_ID = 1 };

void
skua_req_options_init(skua_req_options *options, size_t size) {
    if (options && size >= sizeof size) {
        memset(options, 0, size);
        memcpy(options, &size, sizeof size);
    }
}

/* Fills in what zero stands for. */
static skua_status
read_options(skua_req *req, const skua_req_options *given, skua_error *err) {
    skua_req_options *options = &req->options;
    if (!SKUA_READ_OPTIONS(options, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the options are of a newer skua than this one");
    }
    options->timeout_ms = options->timeout_ms ? options->timeout_ms : SKUA_REQ_DEFAULT_TIMEOUT_MS;
    options->attempts = options->attempts ? options->attempts : SKUA_REQ_DEFAULT_ATTEMPTS;
    options->in_flight = options->in_flight ? options->in_flight : SKUA_REQ_DEFAULT_IN_FLIGHT;
    options->backoff_ms = options->backoff_ms ? options->backoff_ms : DEFAULT_BACKOFF_MS;
    if (options->attempts > SKUA_REQ_MAX_ATTEMPTS || options->in_flight > SKUA_REQ_MAX_IN_FLIGHT) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "attempts is 1 to %d, in_flight 1 to %d",
                         SKUA_REQ_MAX_ATTEMPTS, SKUA_REQ_MAX_IN_FLIGHT);
    }
    if (options->timeout_ms < SKUA_UNLIMITED || options->attempt_ms < 0 ||
        options->backoff_ms < 0) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "timeout_ms, attempt_ms and backoff_ms are not negative");
    }
    if (options->plain_only && !options->plain_connect) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "plain_only wants a plain_connect endpoint");
    }
    int64_t attempt_ms = options->attempt_ms ? options->attempt_ms : SKUA_UNLIMITED;
    int64_t most_ms = SKUA_NEVER_NS / SKUA_NS_PER_MS;
    req->limits.attempts = options->attempts;
    req->limits.attempt_ns = attempt_ms == SKUA_UNLIMITED || attempt_ms > most_ms
                                 ? SKUA_NEVER_NS
                                 : attempt_ms * SKUA_NS_PER_MS;
    req->limits.backoff_ns =
        options->backoff_ms > most_ms ? SKUA_NEVER_NS : options->backoff_ms * SKUA_NS_PER_MS;
    return SKUA_OK;
}

/* From here on the plain endpoint is one more provider. */
static void
add_plain_provider(skua_req *req) {
    if (skua__handle_enter(&req->handle, NULL) == SKUA_OK) {
        skua__list_push_back(&req->providers, &req->plain_provider.node);
        skua__req_dispatch(req);
        skua__handle_leave(&req->handle);
    }
}

skua_status
skua_req_open(skua_req **ret_req, skua_node *node, const char *service,
              const skua_req_options *options, skua_error *err) {
    if (!ret_req || !node || !service) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "ret_req, node and service must be given");
    }
    const skua_allocator *hook = skua__node_hook(node);
    skua_req_options brief;
    if (SKUA_READ_OPTIONS(&brief, options) && brief.allocator) {
        hook = brief.allocator;
    }
    skua_req *req = skua__mem_new(hook, sizeof *req);
    if (!req) {
        return SKUA_FAIL_MEMORY(err, "a REQ handle");
    }
    skua_status status = read_options(req, options, err);
    if (status != SKUA_OK) {
        goto fail;
    }
    skua__ask_table_init(&req->asks, hook, req->options.in_flight);
    skua__list_init(&req->waiting);
    skua__list_init(&req->results);
    skua__list_init(&req->providers);
    skua__list_init(&req->plain_provider.node);
    skua__list_init(&req->plain_provider.asked);
    req->plain_provider.id = PLAIN_PROVIDER_ID;
    skua__handle_options handle_options = {
        .allocator = hook,
        .local = req->options.plain_only != 0,
        .plain = {.kind = SKUA__PLAIN_REQ,
                  .endpoint = req->options.plain_connect,
                  .insecure = req->options.plain_insecure != 0},
    };
    status = skua__handle_open(&req->handle, node, service, &skua__req_ops, &handle_options, err);
    if (status != SKUA_OK) {
        goto fail;
    }
    if (skua__handle_plain(&req->handle)) {
        add_plain_provider(req);
    }
    req->options.plain_connect = NULL; /* the caller's string may be gone soon */
    *ret_req = req;
    return SKUA_OK;
fail:
    skua__mem_free(hook, req);
    return status;
}

skua_req *
skua_req_close(skua_req *req) {
    if (!req || skua__node_check(req->handle.node, NULL) == SKUA_E_FORKED) {
        return NULL; /* the child of a fork() owns none of it */
    }
    const skua_allocator *hook = req->handle.hook;
    uint32_t position = 0;
    skua__ask *ask;
    skua__handle_lock(&req->handle);
    skua__handle_call_locked(&req->handle);
    while ((ask = skua__ask_table_next(&req->asks, &position))) {
        skua__req_cancel_ask(req, ask);
    }
    skua__handle_leave(&req->handle);
    skua__handle_close(&req->handle, skua__deadline_ns(CLOSE_MS));
    skua__handle_fini(&req->handle);
    position = 0;
    while ((ask = skua__ask_table_next(&req->asks, &position))) {
        skua__ask_table_remove(&req->asks, ask);
    }
    skua__ask_table_fini(&req->asks);
    return skua__mem_free(hook, req);
}

/* Makes a request of *msg and starts it; entered. */
static skua_status
ask_locked(skua_req *req, skua_msg **msg, int64_t timeout_ms, bool called, skua__ask **ret_ask,
           skua_error *err) {
    skua__ask *ask;
    skua_status status = skua__ask_table_add(&req->asks, &ask);
    if (status == SKUA_E_AGAIN) {
        return SKUA_FAIL(
            err, SKUA_E_AGAIN,
            "%u requests to \"%s\" are in flight; receive some of their results, or raise "
            "the in_flight option",
            req->options.in_flight, req->handle.name);
    }
    if (status != SKUA_OK) {
        return SKUA_FAIL_MEMORY(err, "a request");
    }
    ask->called = called;
    ask->msg = *msg;
    *msg = NULL;
    skua__req_start(req, ask, timeout_ms ? timeout_ms : req->options.timeout_ms);
    *ret_ask = ask;
    return SKUA_OK;
}

static skua_status
check_ask(skua_req *req, skua_msg **msg, int64_t timeout_ms, skua_error *err) {
    if (!req || !msg || !*msg) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "req and *msg must be given");
    }
    if (timeout_ms < SKUA_UNLIMITED) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_ARGUMENT,
            "a request's timeout_ms is above 0, 0 for the handle's, or SKUA_UNLIMITED");
    }
    size_t size = skua__msg_body_size(*msg);
    if (size > MESSAGE_MAX_BYTES) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG, "a request has at most %d bytes, this one %zu",
                         MESSAGE_MAX_BYTES, size);
    }
    return SKUA_OK;
}

skua_status
skua_req_call(skua_req *req, skua_msg **msg, skua_msg **ret_reply, int64_t timeout_ms,
              skua_error *err) {
    skua_status status = check_ask(req, msg, timeout_ms, err);
    if (status != SKUA_OK) {
        return status;
    }
    if (!ret_reply) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "ret_reply must be given");
    }
    status = skua__handle_enter(&req->handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua__ask *ask;
    status = ask_locked(req, msg, timeout_ms, true, &ask, err);
    if (status != SKUA_OK) {
        skua__handle_leave(&req->handle);
        return status;
    }
    while (ask->fsm.state != SKUA__REQUEST_ENDED) {
        status = skua__handle_wait_locked(&req->handle, ask->due_ns);
        if (status == SKUA_E_TIMEOUT) {
            skua__req_run_timers(req, skua__clock_ns());
        } else if (status != SKUA_OK) {
            skua__req_cancel_ask(req, ask);
        }
    }
    bool closed = ask->fsm.end == SKUA__REQUEST_ENDED_CANCELLED && !ask->failure;
    if (closed) {
        status = SKUA_FAIL(err, SKUA_E_CLOSED, "the handle was closed during a request to \"%s\"",
                           req->handle.name);
    } else {
        status = skua__req_outcome(req, ask, err);
    }
    if (status == SKUA_OK) {
        *ret_reply = ask->reply;
        ask->reply = NULL;
    }
    skua__ask_table_remove(&req->asks, ask);
    skua__handle_leave(&req->handle);
    return status;
}

skua_status
skua_req_send(skua_req *req, skua_msg **msg, int64_t timeout_ms, uint64_t *ret_id,
              skua_error *err) {
    skua_status status = check_ask(req, msg, timeout_ms, err);
    if (status != SKUA_OK) {
        return status;
    }
    status = skua__handle_enter(&req->handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua__ask *ask;
    status = ask_locked(req, msg, timeout_ms, false, &ask, err);
    if (status == SKUA_OK && ret_id) {
        *ret_id = ask->fsm.id;
    }
    skua__handle_leave(&req->handle);
    return status;
}

/* Waits until a result is there; entered. */
static skua_status
await_result(skua_req *req, int64_t deadline_ns, int64_t timeout_ms, skua_error *err) {
    while (skua__list_empty(&req->results)) {
        /* Who waits anyway need not look before: what is there wakes it at once. */
        if (skua__clock_ns() >= deadline_ns && skua__handle_pump_locked(&req->handle)) {
            continue;
        }
        if (!deadline_ns) {
            return SKUA_FAIL(err, SKUA_E_AGAIN, "no request to \"%s\" has ended yet",
                             req->handle.name);
        }
        skua_status status = skua__handle_wait_locked(&req->handle, deadline_ns);
        if (!skua__list_empty(&req->results)) {
            break;
        }
        if (status == SKUA_E_TIMEOUT) {
            return SKUA_FAIL(err, status, "no request to \"%s\" ended within %lld ms",
                             req->handle.name, (long long)timeout_ms);
        }
        if (status != SKUA_OK) {
            return SKUA_FAIL(err, status, "the handle for \"%s\" was closed", req->handle.name);
        }
    }
    return SKUA_OK;
}

skua_status
skua_req_recv(skua_req *req, skua_req_result *ret_result, int64_t timeout_ms, skua_error *err) {
    if (!req || !ret_result || ret_result->size < sizeof *ret_result) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "req must be given, and ret_result->size set to the size of the struct");
    }
    int64_t deadline_ns;
    skua_status status = skua__call_deadline(timeout_ms, SKUA_UNLIMITED, &deadline_ns, err);
    if (status == SKUA_OK) {
        status = skua__handle_enter(&req->handle, err);
    }
    if (status != SKUA_OK) {
        return status;
    }
    status = await_result(req, deadline_ns, timeout_ms, err);
    if (status == SKUA_OK) {
        skua__list *node = skua__list_pop_front(&req->results);
        skua__ask *ask = SKUA_CONTAINER_OF(node, skua__ask, node);
        skua_req_result result = {.size = ret_result->size,
                                  .id = ask->fsm.id,
                                  .attempts = ask->fsm.attempts,
                                  .took_ns = ask->ended_ns - ask->started_ns};
        result.status = skua__req_outcome(req, ask, &result.error);
        if (result.status == SKUA_OK) {
            result.reply = ask->reply;
            ask->reply = NULL;
        }
        memcpy(ret_result, &result, sizeof result);
        skua__ask_table_remove(&req->asks, ask);
    }
    skua__handle_leave(&req->handle);
    return status;
}

skua_status
skua_req_cancel(skua_req *req, uint64_t id, skua_error *err) {
    if (!req) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "req must be given");
    }
    skua_status status = skua__handle_enter(&req->handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua__ask *ask = skua__ask_table_find(&req->asks, id);
    if (!ask || ask->called || ask->fsm.state == SKUA__REQUEST_ENDED) {
        status = SKUA_FAIL(err, SKUA_E_NOT_FOUND, "no request %llu to \"%s\" is in flight",
                           (unsigned long long)id, req->handle.name);
    } else {
        skua__req_cancel_ask(req, ask);
    }
    skua__handle_leave(&req->handle);
    return status;
}

skua_status
skua_req_await_provider(skua_req *req, int64_t timeout_ms, skua_error *err) {
    if (!req) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "req must be given");
    }
    int64_t deadline_ns;
    skua_status status =
        skua__call_deadline(timeout_ms, req->options.timeout_ms, &deadline_ns, err);
    if (status == SKUA_OK) {
        status = skua__handle_enter(&req->handle, err);
    }
    if (status != SKUA_OK) {
        return status;
    }
    if (skua__list_empty(&req->providers)) {
        status = skua__handle_await_links_locked(&req->handle, 1, deadline_ns);
        if (status == SKUA_E_TIMEOUT) {
            status = skua__req_no_provider(req, err);
        } else if (status != SKUA_OK) {
            status = SKUA_FAIL(err, status, "the handle for \"%s\" was closed", req->handle.name);
        }
    }
    skua__handle_leave(&req->handle);
    return status;
}

int
skua_req_fd(const skua_req *req) {
    if (skua__node_check(req->handle.node, NULL) == SKUA_E_FORKED) {
        return -1;
    }
    return skua__handle_fd((skua__handle *)(uintptr_t)&req->handle);
}

skua_status
skua_req_stats(skua_req *req, skua_reqrep_stats *ret_stats) {
    if (!req || !ret_stats || ret_stats->size < sizeof(size_t)) {
        return SKUA_E_BAD_ARGUMENT;
    }
    skua_status status = skua__handle_enter(&req->handle, NULL);
    if (status != SKUA_OK) {
        return status;
    }
    skua_reqrep_stats stats = req->stats;
    skua__reqrep_fill_stats(&req->handle, &stats);
    skua__handle_leave(&req->handle);
    skua__reqrep_give_stats(&stats, ret_stats);
    return SKUA_OK;
}
