// SPDX-License-Identifier: MPL-2.0
// Events for the user: handed to a callback in the node's thread, or kept in a ring behind a descriptor.
#include "node_priv.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FIRST_EVENTS = 16 };

/* Room for one more event: the ring grows by doubling; at its bound the oldest event goes. */
static bool
make_room_locked(skua_node *node) {
    if (node->event_count < node->event_capacity) {
        return true;
    }
    size_t capacity = node->event_capacity ? node->event_capacity * 2 : FIRST_EVENTS;
    skua_node_event *events = capacity > SKUA__EVENTS_MAX
                                  ? NULL
                                  : skua__mem_new_array(node->hook, capacity, sizeof *events);
    if (!events) {
        if (!node->event_capacity) {
            return false;
        }
        node->event_first = (node->event_first + 1) % node->event_capacity;
        node->event_count--;
        skua__count(node, SKUA__COUNTER(events_dropped));
        return true;
    }
    for (size_t i = 0; i < node->event_count; i++) {
        events[i] = node->events[(node->event_first + i) % node->event_capacity];
    }
    skua__mem_free(node->hook, node->events);
    node->events = events;
    node->event_first = 0;
    node->event_capacity = capacity;
    return true;
}

static void
keep_event(skua_node *node, const skua_node_event *event) {
    skua__mutex_lock(&node->lock);
    if (make_room_locked(node)) {
        size_t at = (node->event_first + node->event_count++) % node->event_capacity;
        node->events[at] = *event;
        uint64_t one = 1;
        ssize_t written = write(node->event_fd, &one, sizeof one);
        (void)written; /* EAGAIN means that it is readable already */
        skua__cond_broadcast(&node->changed);
    } else {
        skua__count(node, SKUA__COUNTER(events_dropped));
    }
    skua__mutex_unlock(&node->lock);
}

void
skua__events_tell(skua_node *node, skua_node_event_kind kind, skua_leave_reason reason,
                  const skua__peer *peer) {
    skua_node_event event = {.size = sizeof event,
                             .kind = (int32_t)kind,
                             .reason = (int32_t)reason,
                             .at_ns = skua__clock_ns()};
    memcpy(event.name, peer->name, sizeof event.name);
    skua__uuid_text(&peer->uuid, event.id);
    snprintf(event.endpoint, sizeof event.endpoint, "%s:%u", peer->host, peer->introduction_port);
    if (node->on_event) {
        node->on_event(node->event_ctx, &event);
    } else {
        keep_event(node, &event);
    }
}

int
skua_node_event_fd(skua_node *node) {
    return node ? node->event_fd : -1;
}

/* Takes one event out if there is one; the descriptor falls silent with the last. */
static bool
take_event_locked(skua_node *node, skua_node_event *ret) {
    if (!node->event_count) {
        return false;
    }
    size_t size = ret->size < sizeof *ret ? ret->size : sizeof *ret;
    size_t told = ret->size;
    memcpy(ret, &node->events[node->event_first], size);
    ret->size = told;
    node->event_first = (node->event_first + 1) % node->event_capacity;
    if (--node->event_count == 0) {
        uint64_t count;
        ssize_t got = read(node->event_fd, &count, sizeof count);
        (void)got; /* EAGAIN: it was silent */
    }
    return true;
}

skua_status
skua_node_next_event(skua_node *node, skua_node_event *ret_event, int64_t timeout_ms,
                     skua_error *err) {
    skua_status status = skua__node_check(node, err);
    if (status) {
        return status;
    }
    if (!ret_event || ret_event->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "ret_event is missing, or its size is not set");
    }
    bool wait = timeout_ms > 0 || timeout_ms == SKUA_UNLIMITED;
    int64_t deadline_ns = skua__deadline_ns(wait ? timeout_ms : SKUA_NONE);
    skua__mutex_lock(&node->lock);
    bool taken = take_event_locked(node, ret_event);
    bool in_time = true;
    while (!taken && wait && in_time && !skua__node_check(node, NULL)) {
        in_time = skua__cond_wait_until(&node->changed, &node->lock, deadline_ns);
        taken = take_event_locked(node, ret_event);
    }
    skua__mutex_unlock(&node->lock);
    if (taken) {
        return SKUA_OK;
    }
    status = skua__node_check(node, err);
    return status ? status : SKUA_FAIL(err, wait ? SKUA_E_TIMEOUT : SKUA_E_AGAIN, "no event waits");
}

skua_status
skua__events_init(skua_node *node, skua_error *err) {
    node->event_fd = -1;
    if (node->on_event) {
        return SKUA_OK;
    }
    node->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return node->event_fd >= 0 ? SKUA_OK
                               : SKUA_FAIL_ERRNO(err, SKUA_E_DESCRIPTORS, errno,
                                                 "cannot make the descriptor of events");
}

void
skua__events_fini(skua_node *node) {
    if (node->event_fd >= 0) {
        close(node->event_fd);
    }
    skua__mem_free(node->hook, node->events);
}
