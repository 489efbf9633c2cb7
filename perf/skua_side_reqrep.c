// SPDX-License-Identifier: MPL-2.0
// A service that answers with what it was asked, and one who asks it again and again.
#include "skua_side.h"

#include <skua-int/clock.h>
#include <skua/node.h>
#include <skua/reqrep.h>

#include <stdlib.h>

enum { PROVIDER_WAIT_MS = 10000 };

static int
serve(perf_run *run) {
    skua_error err;
    skua_rep *rep;
    skua_node *node = skua_side_node("rep");
    if (!node) {
        return 1;
    }
    if (skua_rep_open(&rep, node, "echo", NULL, &err)) {
        return skua_side_failed("rep", &err);
    }
    perf_ready(run);
    for (;;) {
        skua_request *request;
        if (skua_rep_recv(rep, &request, SKUA_UNLIMITED, &err)) {
            return skua_side_failed("rep", &err);
        }
        skua_msg *msg = skua_request_take_msg(request);
        if (skua_rep_reply(rep, &request, &msg, &err)) {
            return skua_side_failed("rep", &err);
        }
    }
}

static int
drive(perf_run *run) {
    skua_error err;
    skua_req *req;
    char *payload = calloc(1, run->what->size_bytes + 1);
    skua_node *node = skua_side_node("req");
    if (!node || !payload) {
        return 1;
    }
    if (skua_req_open(&req, node, "echo", NULL, &err) ||
        skua_req_await_provider(req, PROVIDER_WAIT_MS, &err)) {
        return skua_side_failed("req", &err);
    }
    perf_meter *meter = perf_meter_new(run);
    for (bool over = false; !over;) {
        skua_msg *reply;
        int64_t began_ns = skua__clock_ns();
        skua_msg *msg = skua_msg_of_bytes(payload, run->what->size_bytes);
        if (!msg || skua_req_call(req, &msg, &reply, 0, &err)) {
            return skua_side_failed("req", &err);
        }
        over = perf_meter_round_trip(meter, began_ns, skua__clock_ns());
        skua_msg_free(reply);
    }
    perf_meter_free(meter);
    free(payload);
    return 0;
}

const perf_impl skua_round_trips = {.name = "skua", .serve = serve, .drive = drive};
