// SPDX-License-Identifier: MPL-2.0
// DEALER and ROUTER: an echo, with one request in flight or many.
#include "raw.h"

#include <skua-int/clock.h>

#include <stdlib.h>
#include <zmq.h>

static int
serve(perf_run *run) {
    raw_address address;
    void *socket = raw_bind(zmq_ctx_new(), ZMQ_ROUTER, run->what, &address);
    if (!socket) {
        return 1;
    }
    raw_tell(run, &address);
    for (;;) {
        zmq_msg_t from, request;
        zmq_msg_init(&from);
        zmq_msg_init(&request);
        if (zmq_msg_recv(&from, socket, 0) < 0 || zmq_msg_recv(&request, socket, 0) < 0 ||
            zmq_msg_send(&from, socket, ZMQ_SNDMORE) < 0 || zmq_msg_send(&request, socket, 0) < 0) {
            return 1;
        }
    }
}

static bool
send_one(void *socket, const void *payload, size_t size) {
    return zmq_send(socket, payload, size, 0) >= 0;
}

static bool
receive_one(void *socket) {
    zmq_msg_t reply;
    zmq_msg_init(&reply);
    bool ok = zmq_msg_recv(&reply, socket, 0) >= 0;
    zmq_msg_close(&reply);
    return ok;
}

static int
drive(perf_run *run) {
    raw_address address = raw_told(run);
    void *socket = raw_connect(zmq_ctx_new(), ZMQ_DEALER, run->what, &address);
    size_t size = run->what->size_bytes;
    char *payload = calloc(1, size + 1);
    if (!socket || !payload) {
        return 1;
    }
    perf_meter *meter = perf_meter_new(run);
    bool over = false;
    if (run->what->window <= 1) {
        while (!over) {
            int64_t began_ns = skua__clock_ns();
            if (!send_one(socket, payload, size) || !receive_one(socket)) {
                return 1;
            }
            over = perf_meter_round_trip(meter, began_ns, skua__clock_ns());
        }
    } else {
        for (uint32_t i = 0; i < run->what->window; i++) {
            send_one(socket, payload, size);
        }
        while (!over) {
            if (!receive_one(socket) || !send_one(socket, payload, size)) {
                return 1;
            }
            over = perf_meter_done(meter, 1, 0);
        }
    }
    perf_meter_free(meter);
    free(payload);
    return 0;
}

const perf_impl raw_round_trips = {.name = "libzmq", .serve = serve, .drive = drive};
