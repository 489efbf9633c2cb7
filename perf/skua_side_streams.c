// SPDX-License-Identifier: MPL-2.0
// PUSH to PULL, and PUB to SUB: numbered messages as fast as the other side takes them, none of which may be lost.
#include "skua_side.h"

#include <skua/node.h>
#include <skua/pubsub.h>
#include <skua/pushpull.h>

#include <stdlib.h>
#include <string.h>

enum {
    WAIT_MS = 10000,
};

static int
serve_pull(perf_run *run) {
    skua_error err;
    skua_pull *pull;
    skua_node *node = skua_side_node("pull");
    if (!node) {
        return 1;
    }
    if (skua_pull_open(&pull, node, "stream", NULL, &err)) {
        return skua_side_failed("pull", &err);
    }
    perf_ready(run);
    perf_meter *meter = perf_meter_new(run);
    for (bool over = false; !over;) {
        skua_msg *msg;
        if (skua_pull_recv(pull, &msg, WAIT_MS, &err)) {
            return skua_side_failed("pull", &err);
        }
        over = perf_meter_message(meter, skua_msg_data(msg, 0));
        skua_msg_free(msg);
    }
    perf_meter_free(meter);
    return 0;
}

static int
drive_push(perf_run *run) {
    skua_error err;
    skua_push *push;
    char *payload = calloc(1, run->what->size_bytes);
    skua_node *node = skua_side_node("push");
    if (!node || !payload) {
        return 1;
    }
    if (skua_push_open(&push, node, "stream", NULL, &err) ||
        skua_push_await_workers(push, 1, WAIT_MS, &err)) {
        return skua_side_failed("push", &err);
    }
    for (uint64_t sequence = 0;; sequence++) {
        memcpy(payload, &sequence, sizeof sequence);
        if (skua_push_send_bytes(push, payload, run->what->size_bytes, WAIT_MS, &err)) {
            return skua_side_failed("push", &err);
        }
    }
}

static int
serve_pub(perf_run *run) {
    skua_error err;
    skua_pub *pub;
    char *payload = calloc(1, run->what->size_bytes);
    skua_node *node = skua_side_node("pub");
    if (!node || !payload) {
        return 1;
    }
    if (skua_pub_open(&pub, node, "stream", SKUA_PUB_OPTIONS(.policy = SKUA_SLOW_BLOCK), &err)) {
        return skua_side_failed("pub", &err);
    }
    perf_ready(run);
    if (skua_pub_await_subs(pub, "t", 1, WAIT_MS, &err)) {
        return skua_side_failed("pub", &err);
    }
    for (uint64_t sequence = 0;; sequence++) {
        memcpy(payload, &sequence, sizeof sequence);
        if (skua_pub_send_bytes(pub, "t", payload, run->what->size_bytes, WAIT_MS, &err)) {
            return skua_side_failed("pub", &err);
        }
    }
}

static int
drive_sub(perf_run *run) {
    skua_error err;
    skua_sub *sub;
    skua_node *node = skua_side_node("sub");
    if (!node) {
        return 1;
    }
    if (skua_sub_open(&sub, node, "stream", NULL, &err)) {
        return skua_side_failed("sub", &err);
    }
    perf_meter *meter = perf_meter_new(run);
    for (bool over = false; !over;) {
        skua_msg *msg;
        if (skua_sub_recv(sub, &msg, WAIT_MS, &err)) {
            return skua_side_failed("sub", &err);
        }
        over = perf_meter_message(meter, skua_msg_data(msg, 0));
        skua_msg_free(msg);
    }
    perf_meter_free(meter);
    return 0;
}

const perf_impl skua_push_pull = {
    .name = "skua", .serve = serve_pull, .drive = drive_push, .server_measures = true};
const perf_impl skua_pub_sub = {.name = "skua", .serve = serve_pub, .drive = drive_sub};
