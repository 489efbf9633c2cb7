// SPDX-License-Identifier: MPL-2.0
// PUSH: each message goes to the worker whose credit is used least, and stays ours until that worker is done with it.
// What a worker leaves behind when it goes down is given to the others before anything new, flagged as redelivered.
#include "common.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua/pushpull.h>

struct skua_push {
    skua__handle handle;
    int64_t timeout_ms;
    int64_t linger_ms;
    skua_msg *redo_first, *redo_last; /* taken back, oldest first */
    uint64_t redo_count;
    uint64_t accepted;
};

static skua_push *
push_of(skua__handle *handle) {
    return SKUA_CONTAINER_OF(handle, skua_push, handle);
}

/* The link with room whose credit is used least, or NULL. */
static skua__link *
least_busy(skua__handle *handle) {
    skua__link *best = NULL;
    uint32_t best_busy = UINT32_MAX;
    skua__link *link = NULL;
    while ((link = skua__handle_next_link_locked(handle, link)) != NULL) {
        if (!skua__link_room(link)) {
            continue;
        }
        uint32_t busy = skua__link_busy_permille(link);
        if (!best || busy < best_busy) {
            best = link;
            best_busy = busy;
        }
    }
    return best;
}

/* Plain workers get what nobody else has room for: they confirm nothing. */
static bool
plain_has_room(const skua__handle *handle) {
    skua__plain *plain = skua__handle_plain(handle);
    return plain && skua__plain_room(plain);
}

/* ---- What the handle calls ---- */

static void
keep_for_others(void *arg, skua_msg **msg, const uint8_t *tag, size_t tag_size, bool was_sent) {
    skua_push *push = arg;
    (void)tag;
    (void)tag_size;
    if (was_sent) {
        skua__msg_set_redelivered(*msg, true);
    }
    skua__msg_set_next(*msg, NULL);
    if (push->redo_last) {
        skua__msg_set_next(push->redo_last, *msg);
    } else {
        push->redo_first = *msg;
    }
    push->redo_last = *msg;
    push->redo_count++;
    *msg = NULL;
}

static void
push_link_down(skua__handle *handle, skua__link *link, skua__down_reason reason) {
    if (reason != SKUA__DOWN_CLOSING) {
        skua__link_take_back(link, keep_for_others, push_of(handle));
    }
}

/* Sends over a link, or, where that is NULL, to a plain worker. */
static skua_status
give(skua__handle *handle, skua__link *link, skua_msg *msg, bool redelivered) {
    return link ? skua__link_send(link, NULL, 0, msg, redelivered)
                : skua__plain_send(skua__handle_plain(handle), NULL, msg);
}

static void
push_progress(skua__handle *handle) {
    skua_push *push = push_of(handle);
    skua__link *link;
    while (push->redo_first && ((link = least_busy(handle)) != NULL || plain_has_room(handle))) {
        skua_msg *msg = push->redo_first;
        if (give(handle, link, msg, skua_msg_redelivered(msg)) != SKUA_OK) {
            return; /* no memory: again at the next pump */
        }
        push->redo_first = skua__msg_next(msg);
        if (!push->redo_first) {
            push->redo_last = NULL;
        }
        push->redo_count--;
        skua_msg_free(msg);
    }
}

static bool
push_busy(skua__handle *handle) {
    return push_of(handle)->redo_count > 0;
}

static bool
push_readable(skua__handle *handle) {
    return least_busy(handle) != NULL || plain_has_room(handle);
}

static const skua__pattern_ops push_ops = {
    .name = "push",
    .kind = SKUA__SERVICE_PULL,
    .own_role = SKUA__ROLE_PUSH,
    .takes_back = true,
    .link_down = push_link_down,
    .progress = push_progress,
    .busy = push_busy,
    .readable = push_readable,
};

/* ---- What users call ---- */

void
skua_push_options_init(skua_push_options *options, size_t size) {
    skua__options_init(options, size);
}

skua_status
skua_push_open(skua_push **ret_push, skua_node *node, const char *service,
               const skua_push_options *given, skua_error *err) {
    skua_push_options options;
    if (!ret_push || !SKUA_READ_OPTIONS(&options, given)) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_ARGUMENT,
            "ret_push is NULL, or the options ask for what this library does not know");
    }
    skua_status status = skua__node_check(node, err);
    if (status != SKUA_OK) {
        return status;
    }
    const skua_allocator *hook = options.allocator ? options.allocator : skua__node_hook(node);
    skua_push *push = skua__mem_new(hook, sizeof *push);
    if (!push) {
        return SKUA_FAIL_MEMORY(err, "a push handle");
    }
    push->timeout_ms = options.timeout_ms ? options.timeout_ms : SKUA_PUSH_DEFAULT_TIMEOUT_MS;
    push->linger_ms = options.linger_ms;
    skua__handle_options link_options = {.allocator = hook,
                                         .local = options.plain_only != 0,
                                         .plain = {.kind = SKUA__PLAIN_PUSH,
                                                   .endpoint = options.plain_connect,
                                                   .insecure = options.plain_insecure != 0}};
    status = skua__handle_open(&push->handle, node, service, &push_ops, &link_options, err);
    if (status != SKUA_OK) {
        skua__mem_free(hook, push);
        return status;
    }
    *ret_push = push;
    return SKUA_OK;
}

skua_push *
skua_push_close(skua_push *push) {
    if (!push || skua__node_check(push->handle.node, NULL) == SKUA_E_FORKED) {
        return NULL;
    }
    (void)skua__handle_close(&push->handle,
                             skua__linger_deadline(push->linger_ms, SKUA_PUSH_DEFAULT_LINGER_MS));
    while (push->redo_first) {
        skua_msg *msg = push->redo_first;
        push->redo_first = skua__msg_next(msg);
        skua_msg_free(msg);
    }
    const skua_allocator *hook = push->handle.hook;
    skua__handle_fini(&push->handle);
    skua__mem_free(hook, push);
    return NULL;
}

typedef struct choice {
    skua_push *push;
    skua__link *link; /* NULL: the plain worker */
} choice;

/* A worker with room, while nobody's messages that were taken back wait for one. */
static bool
choose(void *arg) {
    choice *self = arg;
    skua__handle *handle = &self->push->handle;
    if (self->push->redo_first) {
        return false;
    }
    self->link = least_busy(handle);
    return self->link || plain_has_room(handle);
}

skua_status
skua_push_send(skua_push *push, skua_msg **msg, int64_t timeout_ms, skua_error *err) {
    if (!push || !msg || !*msg) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "push or the message is NULL");
    }
    int64_t deadline_ns;
    skua_status status =
        skua__call_begin(&push->handle, timeout_ms, push->timeout_ms, &deadline_ns, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua__handle *handle = &push->handle;
    choice to = {.push = push};
    status = skua__await_room(handle, choose, &to, deadline_ns, "room at any worker", err);
    if (status == SKUA_OK) {
        status = skua__sent(give(handle, to.link, *msg, false), *msg, err);
    } else if (status == SKUA_E_TIMEOUT && !skua__handle_link_count_locked(handle)) {
        status = skua__handle_no_provider_locked(handle, err);
    }
    return skua__send_end(handle, status, msg, &push->accepted);
}

skua_status
skua_push_send_bytes(skua_push *push, const void *bytes, size_t size_bytes, int64_t timeout_ms,
                     skua_error *err) {
    skua_msg *msg = skua_msg_of_bytes(bytes, size_bytes);
    if (!msg) {
        return SKUA_FAIL_MEMORY(err, "a message");
    }
    skua_status status = skua_push_send(push, &msg, timeout_ms, err);
    skua_msg_free(msg);
    return status;
}

skua_status
skua_push_await_workers(skua_push *push, size_t count, int64_t timeout_ms, skua_error *err) {
    int64_t deadline_ns;
    if (!push) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "push is NULL");
    }
    skua_status status = skua__call_deadline(timeout_ms, push->timeout_ms, &deadline_ns, err);
    return status == SKUA_OK ? skua__pattern_await(&push->handle, count, deadline_ns, err) : status;
}

skua_status
skua_push_drain(skua_push *push, int64_t timeout_ms, skua_error *err) {
    int64_t deadline_ns;
    if (!push) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "push is NULL");
    }
    skua_status status = skua__call_deadline(timeout_ms, push->timeout_ms, &deadline_ns, err);
    return status == SKUA_OK
               ? skua__pattern_drain(&push->handle, &push->redo_count, deadline_ns, err)
               : status;
}

int
skua_push_fd(skua_push *push) {
    return skua__pattern_fd(&push->handle);
}

skua_status
skua_push_stats(skua_push *push, skua_pattern_stats *ret_stats, skua_error *err) {
    return skua__pattern_stats(&push->handle, &push->accepted, &push->redo_count, ret_stats, err);
}

skua_status
skua_push_links(skua_push *push, skua_link_stats *ret_links, size_t link_size, size_t capacity,
                size_t *ret_count, skua_error *err) {
    return skua__pattern_links(&push->handle, ret_links, link_size, capacity, ret_count, err);
}
