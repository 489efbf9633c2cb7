// SPDX-License-Identifier: MPL-2.0
// Endpoints as people write them: the one place where they are read, and where binding one explains what went wrong.
#ifndef SKUA_INT_ENDPOINT_H
#define SKUA_INT_ENDPOINT_H

#include <skua/error.h>
#include <stdbool.h>

enum { SKUA__ENDPOINT_BYTES = 256 }; /* a whole endpoint with its final 0 */

typedef enum skua__transport {
    SKUA__TRANSPORT_TCP = 1,
    SKUA__TRANSPORT_IPC,
    SKUA__TRANSPORT_INPROC,
} skua__transport;

typedef struct skua__endpoint {
    skua__transport transport;
    char text[SKUA__ENDPOINT_BYTES]; /* as ZeroMQ wants it: the whole endpoint */
    char host
        [SKUA__ENDPOINT_BYTES]; /* tcp: a name or address without brackets, "*" for any; else the path or name */
    uint16_t port;              /* tcp; 0: the system picks (binding only) */
    bool loopback;              /* nothing outside this machine can reach it */
} skua__endpoint;

/*
 * Reads "tcp://HOST:PORT" (IPv6 in brackets; when for_bind, "*" for the host or the port), "ipc://PATH" or
 * "inproc://NAME". Returns 0, SKUA_E_BAD_TRANSPORT (with the nearest one that exists) or SKUA_E_BAD_ENDPOINT.
 */
skua_status skua__endpoint_parse(const char *text, bool for_bind, skua__endpoint *ret_endpoint,
                                 skua_error *err);

/*
 * Binds a ZeroMQ socket; *ret_port (may be NULL) is the port it got, 0 where there is none. Returns 0 or
 * SKUA_E_ADDRESS_IN_USE, SKUA_E_BAD_ENDPOINT (no such address here), SKUA_E_SYSTEM.
 */
skua_status skua__endpoint_bind(void *socket, const skua__endpoint *endpoint, uint16_t *ret_port,
                                skua_error *err);

/* Connects a ZeroMQ socket; whether anyone listens there shows later. Returns 0, SKUA_E_BAD_ENDPOINT, SKUA_E_SYSTEM. */
skua_status skua__endpoint_connect(void *socket, const skua__endpoint *endpoint, skua_error *err);

#endif
