// SPDX-License-Identifier: MPL-2.0
// Raw ZeroMQ sockets: one place that sets every limit, so that no socket is ever made without.
#include "sockets.h"

#include <skua-int/endpoint.h>
#include <skua-int/fail.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zmq.h>

/*
 * The kernel gives the lowest free number. One that is far from the limit means that there is room, except in a process
 * that opened all and then closed a low one; near the limit it is counted.
 */
static bool
surely_left(int source) {
    enum { FAR = 256 };
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && source >= 0 &&
           (limit.rlim_cur == RLIM_INFINITY || (rlim_t)source + FAR < limit.rlim_cur);
}

bool
skua__descriptors_left(int wanted) {
    int held[SKUA__DESCRIPTORS_MAX];
    int count = 0;
    int source = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (source < 0) {
        return false;
    }
    if (surely_left(source)) {
        close(source);
        return true;
    }
    wanted = wanted < SKUA__DESCRIPTORS_MAX ? wanted : SKUA__DESCRIPTORS_MAX;
    while (count < wanted && (held[count] = fcntl(source, F_DUPFD_CLOEXEC, 0)) >= 0) {
        count++;
    }
    bool enough = count == wanted;
    while (count > 0) {
        close(held[--count]);
    }
    close(source);
    return enough;
}

static bool
set_int(void *socket, int option, int value) {
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static bool
set_limits(void *socket, int zmq_type, const skua__socket_config *config) {
    int silent_ms = config->heartbeat_ms * 7 / 2;
    bool done =
        set_int(socket, ZMQ_LINGER, SKUA__SOCKET_LINGER_MS) &&
        set_int(socket, ZMQ_HANDSHAKE_IVL, SKUA__SOCKET_HANDSHAKE_MS) &&
        set_int(socket, ZMQ_SNDHWM, SKUA__SOCKET_HWM_MSGS) &&
        set_int(socket, ZMQ_RCVHWM, SKUA__SOCKET_HWM_MSGS) &&
        set_int(socket, ZMQ_BACKLOG, SKUA__SOCKET_BACKLOG) &&
        set_int(socket, ZMQ_HEARTBEAT_IVL, config->heartbeat_ms) &&
        set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, silent_ms) &&
        set_int(socket, ZMQ_HEARTBEAT_TTL, silent_ms) &&
        set_int(socket, ZMQ_RECONNECT_IVL, config->no_reconnect ? -1 : SKUA__SOCKET_RECONNECT_MS) &&
        set_int(socket, ZMQ_RECONNECT_IVL_MAX,
                config->no_reconnect ? 0 : SKUA__SOCKET_RECONNECT_MAX_MS) &&
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &config->max_bytes, sizeof config->max_bytes) == 0;
    if (done && zmq_type == ZMQ_ROUTER) {
        /* EAGAIN and EHOSTUNREACH per peer instead of silent loss. HANDOVER stays off: a second peer could take
         * another's traffic with it. */
        done = set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
    }
    return done;
}

static bool
set_curve(void *socket, const skua__curve_keys *keys, const uint8_t *server_key) {
    if (!keys) {
        return true;
    }
    bool done = zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "skua", 4) == 0 &&
                zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys->public, SKUA_KEY_BYTES) == 0 &&
                zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->secret, SKUA_KEY_BYTES) == 0;
    if (done && server_key) {
        return zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key, SKUA_KEY_BYTES) == 0;
    }
    return done && set_int(socket, ZMQ_CURVE_SERVER, 1);
}

skua_status
skua__socket_new(void *ctx, int zmq_type, const skua__socket_config *config,
                 const skua__curve_keys *keys, const uint8_t *server_key, void **ret_socket,
                 skua_error *err) {
    /* Types above STREAM are drafts: Debian's libzmq makes such a socket and aborts later. */
    if (zmq_type < ZMQ_PAIR || zmq_type > ZMQ_STREAM) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%d is no stable ZeroMQ socket type", zmq_type);
    }
    if (!skua__descriptors_left(SKUA__SPARE_DESCRIPTORS)) {
        return SKUA_FAIL(err, SKUA_E_DESCRIPTORS,
                         "cannot make a socket: fewer than %d file descriptors are left; raise the "
                         "limit with `ulimit -n 4096`",
                         SKUA__SPARE_DESCRIPTORS);
    }
    void *socket = zmq_socket(ctx, zmq_type);
    if (!socket) {
        return SKUA_FAIL_ERRNO(err, errno == EMFILE ? SKUA_E_DESCRIPTORS : SKUA_E_SYSTEM, errno,
                               "cannot make a ZeroMQ socket");
    }
    if (!set_limits(socket, zmq_type, config) || !set_curve(socket, keys, server_key)) {
        int error = errno;
        zmq_close(socket);
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, error, "cannot set a ZeroMQ socket's limits");
    }
    *ret_socket = socket;
    return SKUA_OK;
}

void *
skua__socket_free(void *socket) {
    if (socket) {
        zmq_close(socket);
    }
    return NULL;
}

/* ---- Monitors ---- */

skua_status
skua__monitor_new(void *ctx, void *socket, int events, void **ret_monitor, skua_error *err) {
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "inproc://skua.monitor.%p", socket);
    if (zmq_socket_monitor(socket, endpoint, events)) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno, "cannot monitor a socket");
    }
    void *monitor = zmq_socket(ctx, ZMQ_PAIR);
    if (!monitor || !set_int(monitor, ZMQ_LINGER, 0) || zmq_connect(monitor, endpoint)) {
        int error = errno;
        zmq_socket_monitor(socket, NULL, 0);
        skua__socket_free(monitor);
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, error, "cannot monitor a socket");
    }
    *ret_monitor = monitor;
    return SKUA_OK;
}

bool
skua__monitor_read(void *monitor, skua__monitor_event *ret) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, monitor, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&frame);
        return false;
    }
    uint16_t event = 0;
    uint32_t value = 0;
    if (zmq_msg_size(&frame) >= sizeof event + sizeof value) {
        memcpy(&event, zmq_msg_data(&frame), sizeof event);
        memcpy(&value, (const char *)zmq_msg_data(&frame) + sizeof event, sizeof value);
    }
    *ret = (skua__monitor_event){.event = event, .value = value};
    while (zmq_msg_more(&frame) && zmq_msg_recv(&frame, monitor, ZMQ_DONTWAIT) >= 0) {
        /* The second frame is the endpoint, which nobody needs. */
    }
    zmq_msg_close(&frame);
    return true;
}

void *
skua__monitor_free(void *socket, void *monitor) {
    if (monitor) {
        zmq_socket_monitor(socket, NULL, 0);
        zmq_close(monitor);
    }
    return NULL;
}

/* ---- Binding ---- */

static uint16_t
last_port(void *socket) {
    char endpoint[SKUA__ENDPOINT_BYTES];
    size_t size = sizeof endpoint;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size)) {
        return 0;
    }
    const char *colon = strrchr(endpoint, ':');
    return colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

/* Binds to each address at port (0: the system picks for the first, the others follow). Leaves nothing bound on failure. */
static bool
bind_all(void *socket, const skua__bind_hosts *hosts, uint16_t port, uint16_t *ret_port) {
    char endpoint[SKUA__ENDPOINT_BYTES];
    size_t bound = 0;
    for (; bound < hosts->count; bound++) {
        if (port) {
            snprintf(endpoint, sizeof endpoint, "tcp://%s:%u", hosts->hosts[bound], port);
        } else {
            snprintf(endpoint, sizeof endpoint, "tcp://%s:*", hosts->hosts[bound]);
        }
        if (zmq_bind(socket, endpoint)) {
            break;
        }
        port = port ? port : last_port(socket);
    }
    if (bound == hosts->count) {
        *ret_port = port;
        return true;
    }
    int error = errno;
    while (bound > 0) {
        snprintf(endpoint, sizeof endpoint, "tcp://%s:%u", hosts->hosts[--bound], port);
        zmq_unbind(socket, endpoint);
    }
    errno = error;
    return false;
}

skua_status
skua__socket_bind(void *socket, const skua__bind_hosts *hosts, uint16_t *ret_port,
                  skua_error *err) {
    enum { TRIES = 16 }; /* a port that is free on one address may be taken on the next */
    if (!hosts->port_first) {
        for (int i = 0; i < TRIES; i++) {
            if (bind_all(socket, hosts, 0, ret_port)) {
                return SKUA_OK;
            }
        }
        return SKUA_FAIL_ERRNO(err, SKUA_E_ADDRESS_IN_USE, errno, "cannot bind tcp://%s:*",
                               hosts->hosts[0]);
    }
    for (uint32_t port = hosts->port_first; port <= hosts->port_last; port++) {
        if (bind_all(socket, hosts, (uint16_t)port, ret_port)) {
            return SKUA_OK;
        }
        if (errno != EADDRINUSE) {
            break;
        }
    }
    return SKUA_FAIL_ERRNO(err, errno == EADDRINUSE ? SKUA_E_ADDRESS_IN_USE : SKUA_E_SYSTEM, errno,
                           "no port from %u to %u could be bound on %s; widen the range",
                           hosts->port_first, hosts->port_last, hosts->hosts[0]);
}

skua_status
skua__socket_bind_endpoint(void *socket, const char *text, bool personal, uint16_t *ret_port,
                           skua_error *err) {
    skua__endpoint endpoint;
    skua_status status = skua__endpoint_parse(text, true, &endpoint, err);
    if (status) {
        return status;
    }
    if (personal && !endpoint.loopback) {
        return SKUA_FAIL(err, SKUA_E_LOOPBACK_ONLY,
                         "cannot bind %s: the personal fleet stays on this machine; make a fleet "
                         "with `skua fleet init DIR` and name it with --fleet",
                         text);
    }
    return skua__endpoint_bind(socket, &endpoint, ret_port, err);
}
