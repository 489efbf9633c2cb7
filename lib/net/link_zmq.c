// SPDX-License-Identifier: MPL-2.0
// The ZeroMQ transport of links: a provider's ROUTER and a consumer's DEALER. A new connection announces itself to the
// consumer with an empty frame (ZMQ_PROBE_ROUTER on the provider's side), and that is the moment to say HELLO.
#include "link_priv.h"

#include <errno.h>
#include <skua-int/fail.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

static bool
set_int(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

/* Puts the socket's descriptor under the handle's epoll. */
static skua_status
watch_socket(skua__port *port, skua_error *err) {
    size_t size = sizeof port->fd;
    if (zmq_getsockopt(port->socket, ZMQ_FD, &port->fd, &size) != 0) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno, "cannot read a socket's descriptor");
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = port};
    if (epoll_ctl(port->handle->inner->epfd, EPOLL_CTL_ADD, port->fd, &event) != 0) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno, "cannot watch a socket's descriptor");
    }
    port->dirty = true;
    return SKUA_OK;
}

static void
close_socket(skua__port *port) {
    if (!port->socket) {
        return;
    }
    if (port->fd >= 0) {
        epoll_ctl(port->handle->inner->epfd, EPOLL_CTL_DEL, port->fd, NULL);
        port->fd = -1;
    }
    zmq_close(port->socket);
    port->socket = NULL;
}

static skua_status
zmq_port_bind(skua__port *port, const char *endpoint, uint16_t *ret_port, skua_error *err) {
    skua_node *node = port->handle->node;
    skua_status status = skua__node_socket(node, ZMQ_ROUTER, NULL, &port->socket, err);
    if (status != SKUA_OK) {
        return status;
    }
    if (!set_int(port->socket, ZMQ_ROUTER_MANDATORY, 1) ||
        !set_int(port->socket, ZMQ_PROBE_ROUTER, 1)) {
        status = SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno, "cannot set up a ROUTER socket");
    } else {
        status = skua__node_bind(node, port->socket, endpoint, ret_port, err);
    }
    if (status == SKUA_OK) {
        status = watch_socket(port, err);
    }
    if (status != SKUA_OK) {
        close_socket(port);
    }
    return status;
}

static skua_status
zmq_port_dial(skua__port *port, const skua__provider *provider, skua_error *err) {
    skua_node *node = port->handle->node;
    skua_status status =
        skua__node_socket(node, ZMQ_DEALER, provider->curve_key, &port->socket, err);
    if (status != SKUA_OK) {
        return status;
    }
    char endpoint[SKUA_HOST_BYTES + 32];
    const char *form = strchr(provider->host, ':') ? "tcp://[%s]:%u" : "tcp://%s:%u";
    snprintf(endpoint, sizeof endpoint, form, provider->host, (unsigned)provider->port);
    /* IMMEDIATE: a broken connection takes what was not sent with it. We send it again ourselves, after HELLO. */
    if (!set_int(port->socket, ZMQ_IMMEDIATE, 1) ||
        (strchr(provider->host, ':') && !set_int(port->socket, ZMQ_IPV6, 1)) ||
        zmq_connect(port->socket, endpoint) != 0) {
        status = SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno, "cannot dial %s", endpoint);
    } else {
        status = watch_socket(port, err);
    }
    if (status != SKUA_OK) {
        close_socket(port);
    }
    return status;
}

static int
zmq_port_send(skua__port *port, const skua__route *route, zmq_msg_t *frame) {
    port->dirty = true;
    if (port->handle->ops->provider) {
        /* The id decides: when ROUTER takes it, it takes the frame too. */
        if (zmq_send(port->socket, route->bytes, route->size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
            return errno == EAGAIN ? EAGAIN : EHOSTUNREACH;
        }
    }
    size_t size = zmq_msg_size(frame);
    if (zmq_msg_send(frame, port->socket, ZMQ_DONTWAIT) < 0) {
        return errno == EAGAIN ? EAGAIN : EHOSTUNREACH;
    }
    port->handle->inner->counters.frames_sent++;
    port->handle->inner->counters.bytes_sent += size;
    return 0;
}

/* Takes what is left of a message that has more parts than ours ever have; false: nothing was left. */
static bool
drop_parts(skua__port *port, zmq_msg_t *frame) {
    bool dropped = false;
    /* The whole message has arrived already, so this ends; and its parts are within the socket's own limits. */
    while (zmq_msg_more(frame)) {
        dropped = true;
        if (zmq_msg_recv(frame, port->socket, ZMQ_DONTWAIT) < 0) {
            break;
        }
    }
    return dropped;
}

static int
zmq_port_recv(skua__port *port, skua__route *ret_route, zmq_msg_t *frame) {
    ret_route->size = 0;
    if (zmq_msg_recv(frame, port->socket, ZMQ_DONTWAIT) < 0) {
        return EAGAIN;
    }
    if (port->handle->ops->provider) {
        size_t size = zmq_msg_size(frame);
        bool fits = size <= SKUA__ROUTE_MAX_BYTES && size > 0;
        if (!zmq_msg_more(frame) || !fits) {
            drop_parts(port, frame);
            return EPROTO;
        }
        ret_route->size = (uint8_t)size;
        memcpy(ret_route->bytes, zmq_msg_data(frame), size);
        if (zmq_msg_recv(frame, port->socket, ZMQ_DONTWAIT) < 0) {
            return EPROTO;
        }
    }
    return drop_parts(port, frame) ? EPROTO : 0;
}

static bool
zmq_port_rearm(skua__port *port) {
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(port->socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

const skua__port_ops skua__port_zmq = {
    .bind = zmq_port_bind,
    .dial = zmq_port_dial,
    .send = zmq_port_send,
    .recv = zmq_port_recv,
    .rearm = zmq_port_rearm,
    .close = close_socket,
};

skua__port *
skua__port_new(skua__handle *handle) {
    skua__port *port = skua__mem_new(handle->hook, sizeof *port);
    if (port) {
        port->ops = &skua__port_zmq;
        port->handle = handle;
        port->fd = -1;
        skua__list_init(&port->node);
    }
    return port;
}

void
skua__port_free(skua__handle *handle, skua__port *port) {
    if (port) {
        port->ops->close(port);
        skua__list_remove(&port->node);
        skua__mem_free(handle->hook, port);
    }
}
