// SPDX-License-Identifier: MPL-2.0
// PULL: a worker. It offers the service; what it has received stays its pusher's until it is done.
#include "common.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua/pushpull.h>
#include <unistd.h>

struct skua_pull {
    skua__handle handle;
    int64_t timeout_ms;
    bool manual;
    bool last_open; /* without manual: last_id was received and is not done yet */
    uint64_t last_id;
    skua__feeder feeder;
    void (*handler)(void *handler_ctx, skua_pull *pull, skua_msg *msg);
    void *handler_ctx;
};

static skua_pull *
pull_of(skua__handle *handle) {
    return SKUA_CONTAINER_OF(handle, skua_pull, handle);
}

static bool
pull_due(skua__handle *handle) {
    return skua__feeder_due(&pull_of(handle)->feeder);
}

static void
pull_outside(skua__handle *handle) {
    skua__feeder_post(&pull_of(handle)->feeder);
}

static const skua__pattern_ops pull_ops = {
    .name = "pull",
    .kind = SKUA__SERVICE_PULL,
    .provider = true,
    .own_role = SKUA__ROLE_PULL,
    .peer_role = SKUA__ROLE_PUSH,
    .confirm_by_done = true,
    .due = pull_due,
    .outside = pull_outside,
};

static void
run_handler(skua__handle *handle, skua_msg *msg) {
    skua_pull *pull = pull_of(handle);
    pull->handler(pull->handler_ctx, pull, msg);
}

void
skua_pull_options_init(skua_pull_options *options, size_t size) {
    skua__options_init(options, size);
}

/* How many messages one pusher may have here: the caller's choice, a fixed number for many at once, or adaptive. */
static skua_status
window_of(const skua_pull_options *options, skua__handle_options *ret, skua_error *err) {
    if (options->prefetch_msgs > SKUA_PULL_MAX_PREFETCH_MSGS) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "prefetch_msgs is %u; at most %d",
                         options->prefetch_msgs, SKUA_PULL_MAX_PREFETCH_MSGS);
    }
    if (options->prefetch_msgs) {
        ret->window_msgs = (int32_t)options->prefetch_msgs;
    } else if (options->manual_done || options->handler) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        ret->window_msgs = processors > 1 && processors < 4096 ? (int32_t)(2 * processors) : 4;
    } else {
        ret->adapt_msgs = true;
    }
    return SKUA_OK;
}

skua_status
skua_pull_open(skua_pull **ret_pull, skua_node *node, const char *service,
               const skua_pull_options *given, skua_error *err) {
    skua_pull_options options;
    if (!ret_pull || !SKUA_READ_OPTIONS(&options, given)) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_ARGUMENT,
            "ret_pull is NULL, or the options ask for what this library does not know");
    }
    if (!options.handler != !options.runner) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "a handler needs a runner, and a runner a handler");
    }
    skua_status status = skua__node_check(node, err);
    if (status != SKUA_OK) {
        return status;
    }
    const skua_allocator *hook = options.allocator ? options.allocator : skua__node_hook(node);
    skua__handle_options link_options = {.allocator = hook,
                                         .version = options.version,
                                         .plain = {.kind = SKUA__PLAIN_PULL,
                                                   .endpoint = options.plain_bind,
                                                   .bind = true,
                                                   .insecure = options.plain_insecure != 0}};
    status = window_of(&options, &link_options, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua_pull *pull = skua__mem_new(hook, sizeof *pull);
    if (!pull) {
        return SKUA_FAIL_MEMORY(err, "a pull handle");
    }
    pull->timeout_ms = options.timeout_ms ? options.timeout_ms : SKUA_UNLIMITED;
    pull->manual = options.manual_done != 0;
    pull->handler = options.handler;
    pull->handler_ctx = options.handler_ctx;
    pull->feeder = (skua__feeder){
        .handle = &pull->handle,
        .runner = options.runner,
        .handle_message = run_handler,
        .confirm = true,
        .limit = options.parallel ? options.parallel : SKUA_PULL_DEFAULT_PARALLEL,
    };
    status = skua__handle_open(&pull->handle, node, service, &pull_ops, &link_options, err);
    if (status != SKUA_OK) {
        skua__mem_free(hook, pull);
        return status;
    }
    *ret_pull = pull;
    return SKUA_OK;
}

/* Without manual_done: the message that was received last counts as done now. */
static void
finish_last(skua_pull *pull) {
    if (pull->last_open) {
        pull->last_open = false;
        /* False: its pusher is gone, or gave it to another. That one is flagged. */
        (void)skua__handle_done_locked(&pull->handle, pull->last_id);
    }
}

skua_pull *
skua_pull_close(skua_pull *pull) {
    if (!pull || skua__node_check(pull->handle.node, NULL) == SKUA_E_FORKED) {
        return NULL;
    }
    skua__handle_lock(&pull->handle);
    finish_last(pull);
    skua__handle_unlock(&pull->handle);
    (void)skua__handle_close(&pull->handle, 0);
    const skua_allocator *hook = pull->handle.hook;
    skua__handle_fini(&pull->handle);
    skua__mem_free(hook, pull);
    return NULL;
}

skua_status
skua_pull_recv(skua_pull *pull, skua_msg **ret_msg, int64_t timeout_ms, skua_error *err) {
    if (!pull || !ret_msg || pull->handler) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "pull or ret_msg is NULL, or the handle has a handler that receives");
    }
    int64_t deadline_ns;
    skua_status status =
        skua__call_begin(&pull->handle, timeout_ms, pull->timeout_ms, &deadline_ns, err);
    if (status != SKUA_OK) {
        return status;
    }
    finish_last(pull);
    uint64_t id;
    status = skua__handle_recv_locked(&pull->handle, deadline_ns, ret_msg, &id);
    if (status == SKUA_OK && !pull->manual) {
        pull->last_open = true;
        pull->last_id = id;
    }
    if (status != SKUA_OK) {
        status = skua__wait_failed(&pull->handle, status, "a message", err);
    }
    skua__handle_leave(&pull->handle);
    return status;
}

skua_status
skua_pull_done(skua_pull *pull, skua_msg **msg, skua_error *err) {
    if (!pull || !msg || !*msg || !pull->manual) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "pull or the message is NULL, or the handle was opened without "
                         "manual_done");
    }
    uint64_t id = skua__msg_word(*msg);
    bool plain = skua_msg_is_plain(*msg);
    *msg = skua_msg_free(*msg);
    skua_status status = skua__handle_enter(&pull->handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    /* A plain pusher waits for no confirmation. */
    if (!plain && !skua__handle_done_locked(&pull->handle, id)) {
        status = SKUA_FAIL(err, SKUA_E_PEER_LOST,
                           "the pusher is gone, or has given the message to another worker");
    }
    skua__handle_leave(&pull->handle);
    return status;
}

uint16_t
skua_pull_plain_port(const skua_pull *pull) {
    return skua__pattern_plain_port(&pull->handle);
}

int
skua_pull_fd(skua_pull *pull) {
    return skua__pattern_fd(&pull->handle);
}

skua_status
skua_pull_stats(skua_pull *pull, skua_pattern_stats *ret_stats, skua_error *err) {
    return skua__pattern_stats(&pull->handle, NULL, NULL, ret_stats, err);
}

skua_status
skua_pull_links(skua_pull *pull, skua_link_stats *ret_links, size_t link_size, size_t capacity,
                size_t *ret_count, skua_error *err) {
    return skua__pattern_links(&pull->handle, ret_links, link_size, capacity, ret_count, err);
}
