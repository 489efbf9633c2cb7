// SPDX-License-Identifier: MPL-2.0
// A handle's plain endpoint: one more port under its pump, and the queue for those patterns that only receive.
#include "plain_priv.h"

#include <skua-int/fail.h>
#include <skua-int/msg_int.h>

#include <errno.h>
#include <sys/epoll.h>

static bool
plain_port_rearm(skua__port *port) {
    (void)port;
    return true; /* draining asks the socket itself, and costs nothing when there is nothing */
}

static void
plain_port_close(skua__port *port) {
    if (port->fd >= 0) {
        epoll_ctl(port->handle->inner->epfd, EPOLL_CTL_DEL, port->fd, NULL);
        port->fd = -1;
    }
    if (port->plain) {
        port->plain->port = NULL;
        port->plain = NULL;
    }
}

/* Nobody binds, dials or sends through this table: it only serves the pump. */
static const skua__port_ops plain_port_ops = {
    .rearm = plain_port_rearm,
    .close = plain_port_close,
};

skua_status
skua__plain_attach(skua__handle *handle, skua_error *err) {
    struct skua__handle_inner *inner = handle->inner;
    skua_status status =
        skua__plain_open(&inner->plain, handle->node, handle->hook, &handle->options.plain, err);
    handle->options.plain.endpoint = NULL; /* the caller's string may be gone soon */
    if (status != SKUA_OK) {
        return status;
    }
    skua__port *port = skua__port_new(handle);
    if (!port) {
        return SKUA_FAIL_MEMORY(err, "a port");
    }
    port->ops = &plain_port_ops;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = port};
    if (epoll_ctl(inner->epfd, EPOLL_CTL_ADD, inner->plain->fd, &event) != 0) {
        int error = errno;
        skua__port_free(handle, port);
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, error, "cannot watch a socket's descriptor");
    }
    port->fd = inner->plain->fd;
    port->plain = inner->plain;
    port->dirty = true; /* something may wait since before it was watched */
    inner->plain->port = port;
    skua__list_push_back(&inner->ports, &port->node);
    inner->port_count++;
    return SKUA_OK;
}

skua__plain *
skua__handle_plain(const skua__handle *handle) {
    return handle->inner->plain;
}

/* For patterns that only receive: what ZeroMQ holds back while this queue is full is its own, bounded, affair. */
static void
fill_queue(skua__handle *handle, skua__plain *plain) {
    struct skua__handle_inner *inner = handle->inner;
    while (inner->plain_count < SKUA__PLAIN_QUEUE_MSGS) {
        skua_msg *msg;
        if (skua__plain_recv(plain, NULL, &msg) != SKUA_OK) {
            return;
        }
        skua__msg_set_next(msg, NULL);
        if (inner->plain_last) {
            skua__msg_set_next(inner->plain_last, msg);
        } else {
            inner->plain_first = msg;
        }
        inner->plain_last = msg;
        inner->plain_count++;
        inner->counters.received_msgs++;
        inner->counters.received_bytes += skua_msg_total_size(msg);
        inner->counters.queued_msgs++;
    }
}

void
skua__plain_drain(skua__port *port, bool *ret_moved) {
    skua__handle *handle = port->handle;
    skua__plain *plain = port->plain;
    uint64_t before = plain->counts.received + plain->counts.dropped_in;
    plain->budget = SKUA__PUMP_FRAMES_MAX;
    if (handle->ops->plain) {
        handle->ops->plain(handle);
    } else {
        fill_queue(handle, plain);
    }
    if (plain->counts.received + plain->counts.dropped_in != before) {
        *ret_moved = true;
    }
}

skua_msg *
skua__plain_pop(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    skua_msg *msg = inner->plain_first;
    if (!msg) {
        return NULL;
    }
    inner->plain_first = skua__msg_next(msg);
    skua__msg_set_next(msg, NULL);
    if (!inner->plain_first) {
        inner->plain_last = NULL;
    }
    inner->counters.queued_msgs--;
    if (inner->plain_count-- == SKUA__PLAIN_QUEUE_MSGS) {
        /* There is room again: what ZeroMQ holds shows no new edge. */
        SKUA_LIST_EACH(node, &inner->ports) {
            skua__port *port = SKUA_CONTAINER_OF(node, skua__port, node);
            port->dirty |= port->plain != NULL;
        }
    }
    return msg;
}
