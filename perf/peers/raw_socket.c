// SPDX-License-Identifier: MPL-2.0
// Sockets of raw libzmq with or without CURVE, and how a server tells its driver where it is.
#include "raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { RECONNECT_MS = 10 };

static bool
secure(const perf_case *what) {
    return what->security && strcmp(what->security, "curve") == 0;
}

void
raw_set(void *socket, int option, int value) {
    if (zmq_setsockopt(socket, option, &value, sizeof value) != 0) {
        fprintf(stderr, "raw: option %d: %s\n", option, zmq_strerror(zmq_errno()));
        exit(1);
    }
}

static void *
complain(const char *what) {
    fprintf(stderr, "raw: %s: %s\n", what, zmq_strerror(zmq_errno()));
    return NULL;
}

void *
raw_bind(void *context, int type, const perf_case *what, raw_address *ret_address) {
    void *socket = zmq_socket(context, type);
    char secret[RAW_KEY_TEXT];
    size_t size = sizeof ret_address->endpoint;
    *ret_address = (raw_address){0};
    if (!socket) {
        return complain("socket");
    }
    raw_set(socket, ZMQ_LINGER, 0);
    if (secure(what)) {
        zmq_curve_keypair(ret_address->key, secret);
        raw_set(socket, ZMQ_CURVE_SERVER, 1);
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, sizeof secret);
    }
    if (zmq_bind(socket, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, ret_address->endpoint, &size) != 0) {
        return complain("bind");
    }
    return socket;
}

void *
raw_connect(void *context, int type, const perf_case *what, const raw_address *address) {
    void *socket = zmq_socket(context, type);
    char key[RAW_KEY_TEXT], secret[RAW_KEY_TEXT];
    if (!socket) {
        return complain("socket");
    }
    raw_set(socket, ZMQ_LINGER, 0);
    /* In a mesh that starts at once some are dialled before they listen; libzmq's 100 ms would be all one sees. */
    raw_set(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    if (secure(what)) {
        zmq_curve_keypair(key, secret);
        zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, key, sizeof key);
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, sizeof secret);
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, address->key, sizeof address->key);
    }
    if (type == ZMQ_SUB) {
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    }
    return zmq_connect(socket, address->endpoint) == 0 ? socket : complain("connect");
}

void
raw_tell(perf_run *run, const raw_address *address) {
    snprintf(run->shared->told, sizeof run->shared->told, "%s %s", address->endpoint, address->key);
    perf_ready(run);
}

raw_address
raw_told(const perf_run *run) {
    raw_address address = {0};
    sscanf(run->shared->told, "%63s %40s", address.endpoint, address.key);
    return address;
}

void *
raw_idle_open(void) {
    raw_address address;
    return raw_bind(zmq_ctx_new(), ZMQ_ROUTER, &(perf_case){.security = "curve"}, &address);
}

void
raw_version(char *ret, size_t size) {
    int major, minor, patch;
    zmq_version(&major, &minor, &patch);
    snprintf(ret, size, "%d.%d.%d", major, minor, patch);
}
