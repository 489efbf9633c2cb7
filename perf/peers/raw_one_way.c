// SPDX-License-Identifier: MPL-2.0
// PUSH to PULL, and XPUB to SUB: a stream of numbered messages as fast as the other side takes them.
#include "raw.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static int
send_stream(void *socket, size_t size) {
    char *payload = calloc(1, size);
    if (!payload) {
        return 1;
    }
    for (uint64_t sequence = 0;; sequence++) {
        memcpy(payload, &sequence, sizeof sequence);
        if (zmq_send(socket, payload, size, 0) < 0) {
            free(payload);
            return 1;
        }
    }
}

static int
receive_stream(void *socket, perf_run *run) {
    perf_meter *meter = perf_meter_new(run);
    for (bool over = false; !over;) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, socket, 0) < 0) {
            return 1;
        }
        over = perf_meter_message(meter, zmq_msg_data(&message));
        zmq_msg_close(&message);
    }
    perf_meter_free(meter);
    return 0;
}

static int
serve_pull(perf_run *run) {
    raw_address address;
    void *socket = raw_bind(zmq_ctx_new(), ZMQ_PULL, run->what, &address);
    if (!socket) {
        return 1;
    }
    raw_tell(run, &address);
    return receive_stream(socket, run);
}

static int
drive_push(perf_run *run) {
    raw_address address = raw_told(run);
    void *socket = raw_connect(zmq_ctx_new(), ZMQ_PUSH, run->what, &address);
    return socket ? send_stream(socket, run->what->size_bytes) : 1;
}

static int
serve_pub(perf_run *run) {
    raw_address address;
    void *socket = raw_bind(zmq_ctx_new(), ZMQ_XPUB, run->what, &address);
    if (!socket) {
        return 1;
    }
    raw_set(socket, ZMQ_XPUB_NODROP, 1); /* else nearly everything is lost, in silence */
    raw_tell(run, &address);
    char subscription[64];
    if (zmq_recv(socket, subscription, sizeof subscription, 0) < 0) {
        return 1;
    }
    return send_stream(socket, run->what->size_bytes);
}

static int
drive_sub(perf_run *run) {
    raw_address address = raw_told(run);
    void *socket = raw_connect(zmq_ctx_new(), ZMQ_SUB, run->what, &address);
    return socket ? receive_stream(socket, run) : 1;
}

const perf_impl raw_push_pull = {
    .name = "libzmq", .serve = serve_pull, .drive = drive_push, .server_measures = true};
const perf_impl raw_pub_sub = {.name = "libzmq", .serve = serve_pub, .drive = drive_sub};
