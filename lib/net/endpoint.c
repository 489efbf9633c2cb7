// SPDX-License-Identifier: MPL-2.0
// Reading endpoints, and binding and connecting with errors that say what to do next.
#include <skua-int/endpoint.h>

#include <skua-int/fail.h>
#include <skua-int/nearest.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <zmq.h>

static const char *const transports[] = {"tcp", "ipc", "inproc"};
enum { TRANSPORTS = sizeof transports / sizeof transports[0] };

static bool
is_loopback(const char *host) {
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcmp(host, "localhost") == 0;
}

/* "1" to "65535", or "*" (0) when binding. */
static bool
read_port(const char *text, bool for_bind, uint16_t *ret_port) {
    if (for_bind && strcmp(text, "*") == 0) {
        *ret_port = 0;
        return true;
    }
    uint32_t port = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 5; digits++) {
        port = port * 10 + (uint32_t)(text[digits] - '0');
    }
    *ret_port = (uint16_t)port;
    return digits && !text[digits] && port >= 1 && port <= UINT16_MAX;
}

static bool
host_is_sound(const char *host, bool bracketed, bool for_bind) {
    struct in6_addr v6;
    if (bracketed) {
        return inet_pton(AF_INET6, host, &v6) == 1;
    }
    if (strcmp(host, "*") == 0) {
        return for_bind;
    }
    size_t allowed =
        strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
    return *host && !host[allowed];
}

static skua_status
parse_tcp(const char *text, const char *rest, bool for_bind, skua__endpoint *endpoint,
          skua_error *err) {
    const char *any = for_bind ? ", or * to let the system pick" : "";
    const char *colon = strrchr(rest, ':');
    const char *closing = strrchr(rest, ']');
    if (!colon || (closing && colon < closing)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ENDPOINT, "%s has no port; write tcp://HOST:PORT%s", text,
                         any);
    }
    if (!read_port(colon + 1, for_bind, &endpoint->port)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ENDPOINT, "%s: \"%s\" is no port; use 1 to 65535%s", text,
                         colon + 1, any);
    }
    bool bracketed = rest[0] == '[' && closing == colon - 1;
    int host_bytes = (int)(colon - rest) - (bracketed ? 2 : 0);
    snprintf(endpoint->host, sizeof endpoint->host, "%.*s", host_bytes, rest + bracketed);
    if (!host_is_sound(endpoint->host, bracketed, for_bind)) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_ENDPOINT,
            "%s: \"%s\" is no host; write tcp://HOST:PORT, an IPv6 address in brackets", text,
            endpoint->host);
    }
    endpoint->loopback = is_loopback(endpoint->host);
    return SKUA_OK;
}

static skua_status
parse_path(const char *text, const char *rest, skua__endpoint *endpoint, skua_error *err) {
    const size_t room = sizeof((struct sockaddr_un *)0)->sun_path;
    if (!*rest || strlen(rest) >= room) {
        return SKUA_FAIL(err, SKUA_E_BAD_ENDPOINT, "%s: the path must have 1 to %zu bytes", text,
                         room - 1);
    }
    snprintf(endpoint->host, sizeof endpoint->host, "%s", rest);
    endpoint->loopback = true;
    return SKUA_OK;
}

skua_status
skua__endpoint_parse(const char *text, bool for_bind, skua__endpoint *ret_endpoint,
                     skua_error *err) {
    const char *separator = text ? strstr(text, "://") : NULL;
    if (!separator || separator == text) {
        return SKUA_FAIL(err, SKUA_E_BAD_ENDPOINT, "\"%s\" is no endpoint; write tcp://HOST:PORT",
                         text ? text : "");
    }
    skua__endpoint endpoint = {0};
    if (strlen(text) >= sizeof endpoint.text) {
        return SKUA_FAIL(err, SKUA_E_BAD_ENDPOINT, "\"%.40s…\" is longer than %d bytes", text,
                         SKUA__ENDPOINT_BYTES - 1);
    }
    memcpy(endpoint.text, text, strlen(text) + 1);
    char scheme[SKUA__ENDPOINT_BYTES];
    snprintf(scheme, sizeof scheme, "%.*s", (int)(separator - text), text);
    for (size_t i = 0; i < TRANSPORTS; i++) {
        if (strcmp(scheme, transports[i]) == 0) {
            endpoint.transport = (skua__transport)(i + SKUA__TRANSPORT_TCP);
        }
    }
    skua_status status;
    const char *near;
    switch (endpoint.transport) {
    case SKUA__TRANSPORT_TCP:
        status = parse_tcp(text, separator + 3, for_bind, &endpoint, err);
        break;
    case SKUA__TRANSPORT_IPC:
    case SKUA__TRANSPORT_INPROC:
        status = parse_path(text, separator + 3, &endpoint, err);
        break;
    default:
        near = skua__nearest(scheme, transports, TRANSPORTS);
        return near ? SKUA_FAIL(err, SKUA_E_BAD_TRANSPORT,
                                "unknown transport \"%s\"; did you mean %s?", scheme, near)
                    : SKUA_FAIL(err, SKUA_E_BAD_TRANSPORT,
                                "unknown transport \"%s\"; use tcp, ipc or inproc", scheme);
    }
    if (status == SKUA_OK) {
        *ret_endpoint = endpoint;
    }
    return status;
}

/* ZeroMQ has errno values of its own beside the system's. */
static skua_status
fail_of_zmq(const skua__endpoint *endpoint, const char *call, skua_error *err) {
    int error = zmq_errno();
    switch (error) {
    case EADDRINUSE:
        return SKUA_FAIL_ERRNO(err, SKUA_E_ADDRESS_IN_USE, 0,
                               endpoint->transport == SKUA__TRANSPORT_TCP
                                   ? "%s is in use; use another port, or * to let the system pick"
                                   : "%s is in use; use another path",
                               endpoint->text);
    case EADDRNOTAVAIL:
    case ENODEV:
    case EINVAL:
        return SKUA_FAIL(
            err, SKUA_E_BAD_ENDPOINT,
            "%s: there is no such host or address here; `ip addr` lists this machine's",
            endpoint->text);
    case EMFILE:
    case ENFILE:
        return SKUA_FAIL_ERRNO(err, SKUA_E_DESCRIPTORS, error, "%s %s: too few descriptors", call,
                               endpoint->text);
    default:
        return SKUA_FAIL(err, SKUA_E_SYSTEM, "%s %s failed: %s", call, endpoint->text,
                         zmq_strerror(error));
    }
}

skua_status
skua__endpoint_bind(void *socket, const skua__endpoint *endpoint, uint16_t *ret_port,
                    skua_error *err) {
    if (zmq_bind(socket, endpoint->text) != 0) {
        return fail_of_zmq(endpoint, "binding", err);
    }
    char last[SKUA__ENDPOINT_BYTES];
    size_t size = sizeof last;
    if (ret_port) {
        *ret_port = endpoint->port;
    }
    if (ret_port && endpoint->transport == SKUA__TRANSPORT_TCP && !endpoint->port) {
        if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, last, &size) != 0) {
            return fail_of_zmq(endpoint, "binding", err);
        }
        const char *colon = strrchr(last, ':');
        *ret_port = colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
    }
    return SKUA_OK;
}

skua_status
skua__endpoint_connect(void *socket, const skua__endpoint *endpoint, skua_error *err) {
    return zmq_connect(socket, endpoint->text) == 0 ? SKUA_OK
                                                    : fail_of_zmq(endpoint, "connecting to", err);
}
