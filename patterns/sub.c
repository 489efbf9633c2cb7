// SPDX-License-Identifier: MPL-2.0
// SUB: follows every publisher of a service, tells each which topics it wants, and receives in the order of arrival.
#include "common.h"
#include "topics.h"

#include <skua-int/buf.h>
#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua/pubsub.h>
#include <string.h>

enum { AWAIT_DEFAULT_MS = 5000 };

struct skua_sub {
    skua__handle handle;
    skua__topics topics;
    int64_t timeout_ms;
    skua__feeder feeder;
    void (*handler)(void *handler_ctx, skua_sub *sub, skua_msg *msg);
    void *handler_ctx;
};

static skua_sub *
sub_of(skua__handle *handle) {
    return SKUA_CONTAINER_OF(handle, skua_sub, handle);
}

static size_t
sub_make_hello(skua__handle *handle, uint8_t *ret, size_t size) {
    const skua__topics *topics = &sub_of(handle)->topics;
    if (topics->size == 0 || topics->size > size) {
        return 0;
    }
    memcpy(ret, topics->bytes, topics->size);
    return topics->size;
}

static bool
sub_due(skua__handle *handle) {
    return skua__feeder_due(&sub_of(handle)->feeder);
}

static void
sub_outside(skua__handle *handle) {
    skua__feeder_post(&sub_of(handle)->feeder);
}

static const skua__pattern_ops sub_ops = {
    .name = "sub",
    .kind = SKUA__SERVICE_PUB,
    .own_role = SKUA__ROLE_SUBSCRIBE,
    .make_hello = sub_make_hello,
    .due = sub_due,
    .outside = sub_outside,
};

static void
run_handler(skua__handle *handle, skua_msg *msg) {
    skua_sub *sub = sub_of(handle);
    sub->handler(sub->handler_ctx, sub, msg);
}

static skua_status
topic_failed(skua_status status, const char *topic, skua_error *err) {
    switch (status) {
    case SKUA_E_TOO_BIG:
        return SKUA_FAIL(err, status, "the topic \"%.40s…\" has %zu bytes; at most %d", topic,
                         strlen(topic), SKUA__TOPIC_MAX_BYTES);
    case SKUA_E_LIMIT:
        return SKUA_FAIL(err, status, "a subscriber has at most %d topics, of %d bytes together",
                         SKUA__TOPICS_MAX, SKUA__TOPICS_BYTES_MAX);
    default:
        return SKUA_FAIL_MEMORY(err, "a topic");
    }
}

/* The topics of the options; all where none is named. */
static skua_status
read_topics(skua_sub *sub, const skua_allocator *hook, const skua_sub_options *options,
            skua_error *err) {
    bool fresh;
    if (!options->topic && options->topic_count == 0) {
        skua_status status = skua__topics_add(hook, &sub->topics, "", &fresh);
        return status == SKUA_OK ? status : topic_failed(status, "", err);
    }
    for (size_t i = 0; i <= options->topic_count; i++) {
        const char *topic = i < options->topic_count ? options->topics[i] : options->topic;
        if (!topic) {
            continue;
        }
        skua_status status = skua__topics_add(hook, &sub->topics, topic, &fresh);
        if (status != SKUA_OK) {
            return topic_failed(status, topic, err);
        }
    }
    return SKUA_OK;
}

/* Asks a plain publisher for the same topics. */
static skua_status
follow_plain(skua_sub *sub, skua_error *err) {
    skua__plain *plain = skua__handle_plain(&sub->handle);
    if (!plain) {
        return SKUA_OK;
    }
    skua_status status = skua__handle_enter(&sub->handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua__reader reader = skua__reader_of(sub->topics.bytes, sub->topics.size);
    for (uint16_t left = skua__read_u16(&reader); left > 0 && status == SKUA_OK; left--) {
        char topic[SKUA__TOPIC_MAX_BYTES + 1] = {0};
        skua__read_copy(&reader, topic, skua__read_u8(&reader));
        status = skua__plain_subscribe(plain, topic, true);
    }
    skua__handle_leave(&sub->handle);
    return status == SKUA_OK ? status : topic_failed(status, "", err);
}

void
skua_sub_options_init(skua_sub_options *options, size_t size) {
    skua__options_init(options, size);
}

static bool
options_fit(const skua_sub_options *options) {
    return !options->handler == !options->runner && options->window_bytes >= 0 &&
           (options->topic_count == 0 || options->topics);
}

skua_status
skua_sub_open(skua_sub **ret_sub, skua_node *node, const char *service,
              const skua_sub_options *given, skua_error *err) {
    skua_sub_options options;
    if (!ret_sub || !SKUA_READ_OPTIONS(&options, given) || !options_fit(&options)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "ret_sub is NULL, topics are missing, window_bytes is negative, or only "
                         "one of handler and runner is given");
    }
    skua_status status = skua__node_check(node, err);
    if (status != SKUA_OK) {
        return status;
    }
    const skua_allocator *hook = options.allocator ? options.allocator : skua__node_hook(node);
    skua_sub *sub = skua__mem_new(hook, sizeof *sub);
    if (!sub) {
        return SKUA_FAIL_MEMORY(err, "a sub handle");
    }
    sub->timeout_ms = options.timeout_ms ? options.timeout_ms : SKUA_UNLIMITED;
    sub->handler = options.handler;
    sub->handler_ctx = options.handler_ctx;
    sub->feeder = (skua__feeder){
        .handle = &sub->handle,
        .runner = options.runner,
        .handle_message = run_handler,
        .limit = options.parallel ? options.parallel : SKUA_SUB_DEFAULT_PARALLEL,
    };
    skua__handle_options link_options = {.allocator = hook,
                                         .window_bytes = options.window_bytes,
                                         .local = options.plain_only != 0,
                                         .plain = {.kind = SKUA__PLAIN_SUB,
                                                   .endpoint = options.plain_connect,
                                                   .insecure = options.plain_insecure != 0}};
    status = read_topics(sub, hook, &options, err);
    if (status == SKUA_OK) {
        status = skua__handle_open(&sub->handle, node, service, &sub_ops, &link_options, err);
    }
    if (status != SKUA_OK) {
        skua__topics_fini(hook, &sub->topics);
        skua__mem_free(hook, sub);
        return status;
    }
    status = follow_plain(sub, err);
    if (status != SKUA_OK) {
        skua_sub_close(sub);
        return status;
    }
    *ret_sub = sub;
    return SKUA_OK;
}

skua_sub *
skua_sub_close(skua_sub *sub) {
    if (!sub || skua__node_check(sub->handle.node, NULL) == SKUA_E_FORKED) {
        return NULL;
    }
    (void)skua__handle_close(&sub->handle, 0);
    const skua_allocator *hook = sub->handle.hook;
    skua__topics_fini(hook, &sub->topics);
    skua__handle_fini(&sub->handle);
    skua__mem_free(hook, sub);
    return NULL;
}

/* Entered by the caller. */
static skua_status
tell_plain(skua_sub *sub, const char *topic, bool on, skua_error *err) {
    skua__plain *plain = skua__handle_plain(&sub->handle);
    skua_status status = plain ? skua__plain_subscribe(plain, topic, on) : SKUA_OK;
    return status == SKUA_OK ? status : topic_failed(status, topic, err);
}

skua_status
skua_sub_subscribe(skua_sub *sub, const char *topic, skua_error *err) {
    if (!sub || !topic) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "sub or topic is NULL");
    }
    skua_status status = skua__handle_enter(&sub->handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    bool fresh;
    status = skua__topics_add(sub->handle.hook, &sub->topics, topic, &fresh);
    if (status != SKUA_OK) {
        status = topic_failed(status, topic, err);
    } else if (fresh) {
        skua__handle_hello_again_locked(&sub->handle);
        status = tell_plain(sub, topic, true, err);
    }
    skua__handle_leave(&sub->handle);
    return status;
}

skua_status
skua_sub_unsubscribe(skua_sub *sub, const char *topic, skua_error *err) {
    if (!sub || !topic) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "sub or topic is NULL");
    }
    skua_status status = skua__handle_enter(&sub->handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    status = skua__topics_remove(&sub->topics, topic);
    if (status == SKUA_OK) {
        skua__handle_hello_again_locked(&sub->handle);
        status = tell_plain(sub, topic, false, err);
    } else {
        status = SKUA_FAIL(err, status, "\"%.80s\" is not subscribed to", topic);
    }
    skua__handle_leave(&sub->handle);
    return status;
}

skua_status
skua_sub_recv(skua_sub *sub, skua_msg **ret_msg, int64_t timeout_ms, skua_error *err) {
    if (!sub || !ret_msg || sub->handler) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "sub or ret_msg is NULL, or the handle has a handler that receives");
    }
    int64_t deadline_ns;
    skua_status status =
        skua__call_begin(&sub->handle, timeout_ms, sub->timeout_ms, &deadline_ns, err);
    if (status != SKUA_OK) {
        return status;
    }
    status = skua__handle_recv_locked(&sub->handle, deadline_ns, ret_msg, NULL);
    skua_status refused =
        status == SKUA_E_TIMEOUT ? skua__handle_refusal_locked(&sub->handle, err) : SKUA_OK;
    if (refused) {
        status = refused; /* there is a publisher, and this is why it says nothing */
    } else if (status != SKUA_OK) {
        status = skua__wait_failed(&sub->handle, status, "a message", err);
    }
    skua__handle_leave(&sub->handle);
    return status;
}

skua_status
skua_sub_await_pubs(skua_sub *sub, size_t count, int64_t timeout_ms, skua_error *err) {
    int64_t deadline_ns;
    if (!sub) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "sub is NULL");
    }
    skua_status status = skua__call_deadline(timeout_ms, AWAIT_DEFAULT_MS, &deadline_ns, err);
    return status == SKUA_OK ? skua__pattern_await(&sub->handle, count, deadline_ns, err) : status;
}

int
skua_sub_fd(skua_sub *sub) {
    return skua__pattern_fd(&sub->handle);
}

skua_status
skua_sub_stats(skua_sub *sub, skua_pattern_stats *ret_stats, skua_error *err) {
    return skua__pattern_stats(&sub->handle, NULL, NULL, ret_stats, err);
}

skua_status
skua_sub_links(skua_sub *sub, skua_link_stats *ret_links, size_t link_size, size_t capacity,
               size_t *ret_count, skua_error *err) {
    return skua__pattern_links(&sub->handle, ret_links, link_size, capacity, ret_count, err);
}
