// SPDX-License-Identifier: MPL-2.0
// Raw ZeroMQ sockets with every limit set, their monitors, and binding within a range of ports. Inside lib/net only.
#ifndef SKUA_NET_SOCKETS_H
#define SKUA_NET_SOCKETS_H

#include <skua-int/endpoint.h>
#include <skua-int/ids.h>
#include <skua/error.h>

enum {
    SKUA__SOCKET_HWM_MSGS = 1000,
    SKUA__SOCKET_BACKLOG = 512,
    SKUA__SOCKET_LINGER_MS =
        100, /* for a last word to a peer; dead peers cost so much at a close */
    SKUA__SOCKET_HANDSHAKE_MS = 2000,
    SKUA__SOCKET_RECONNECT_MS = 50,
    SKUA__SOCKET_RECONNECT_MAX_MS = 1000,
    SKUA__DATA_MAX_BYTES = 1024 * 1024 * 1024, /* of one message on a data socket */
    SKUA__SPARE_DESCRIPTORS = 12, /* kept beyond each socket: libzmq aborts the process without */
    SKUA__NODE_DESCRIPTORS = 48,  /* that a node takes while it opens */
    SKUA__DESCRIPTORS_MAX = 64,
    SKUA__BIND_HOSTS_MAX = 32, /* addresses that a socket is bound to */
};

typedef struct skua__curve_keys {
    uint8_t public[SKUA_KEY_BYTES];
    uint8_t secret[SKUA_KEY_BYTES];
} skua__curve_keys;

typedef struct skua__socket_config {
    int heartbeat_ms;  /* T: ZMTP pings every T, given up after 3.5 T */
    int64_t max_bytes; /* of a frame */
    bool no_reconnect; /* a broken connection is its owner's to make again */
} skua__socket_config;

/*
 * Makes a socket with all limits. keys NULL: no CURVE (plain endpoints only); server_key NULL: a CURVE server, else a
 * client of that key. Returns 0, SKUA_E_DESCRIPTORS or SKUA_E_SYSTEM.
 */
skua_status skua__socket_new(void *ctx, int zmq_type, const skua__socket_config *config,
                             const skua__curve_keys *keys, const uint8_t *server_key,
                             void **ret_socket, skua_error *err);
/* Takes NULL. Returns NULL. */
void *skua__socket_free(void *socket);

typedef struct skua__monitor_event {
    int event;
    uint32_t value; /* a descriptor or an errno, by event */
} skua__monitor_event;

/*
 * Watches a socket's connections: a PAIR of the same context that hands the events out. (CZMQ's zmonitor would make its
 * PAIR in CZMQ's own context, from which inproc does not reach ours.)
 */
skua_status skua__monitor_new(void *ctx, void *socket, int events, void **ret_monitor,
                              skua_error *err);
/* Returns false when no event waits. */
bool skua__monitor_read(void *monitor, skua__monitor_event *ret);
void *skua__monitor_free(void *socket, void *monitor);

/* Where sockets are bound: these addresses, at one port of the range. */
typedef struct skua__bind_hosts {
    char hosts[SKUA__BIND_HOSTS_MAX][SKUA_HOST_BYTES];
    size_t count;
    uint16_t port_first, port_last; /* 0 and 0: the system picks */
} skua__bind_hosts;

/* Binds to all addresses at the same port. Returns 0 with the port, SKUA_E_ADDRESS_IN_USE or SKUA_E_BAD_ENDPOINT. */
skua_status skua__socket_bind(void *socket, const skua__bind_hosts *hosts, uint16_t *ret_port,
                              skua_error *err);
/* Binds to one endpoint that a user wrote. personal: loopback or nothing. */
skua_status skua__socket_bind_endpoint(void *socket, const char *endpoint, bool personal,
                                       uint16_t *ret_port, skua_error *err);

/* True when that many descriptors may be opened (at most SKUA__DESCRIPTORS_MAX are looked for). */
bool skua__descriptors_left(int wanted);

#endif
