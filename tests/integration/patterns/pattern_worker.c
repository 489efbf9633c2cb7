// SPDX-License-Identifier: MPL-2.0
// A process that pulls or publishes, for tests that kill one. Arguments: pull SERVICE HOLD: holds the first HOLD messages
// without being done with them, says "holding", and goes on with the rest; publish SERVICE: publishes numbers until its
// stdin ends; subscribe SERVICE: subscribes to everything and receives nothing.
#include <poll.h>
#include <skua/pubsub.h>
#include <skua/pushpull.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
failed(const char *what, const skua_error *err) {
    printf("%s: %s %s\n", what, err->code, err->message);
    fflush(stdout);
    return 1;
}

static bool
told_to_end(void) {
    struct pollfd in = {.fd = 0, .events = POLLIN};
    return poll(&in, 1, 0) != 0;
}

static int
run_pull(skua_node *node, const char *service, long hold) {
    skua_error err;
    skua_pull *pull;
    if (skua_pull_open(&pull, node, service,
                       SKUA_PULL_OPTIONS(.manual_done = 1, .prefetch_msgs = 8), &err)) {
        return failed("pull", &err);
    }
    printf("ready\n");
    fflush(stdout);
    skua_msg *held[64];
    long holding = 0;
    while (!told_to_end()) {
        skua_msg *msg;
        skua_status status = skua_pull_recv(pull, &msg, 20, &err);
        if (status == SKUA_E_TIMEOUT) {
            continue;
        }
        if (status) {
            return failed("recv", &err);
        }
        if (holding < hold) {
            held[holding++] = msg;
            if (holding == hold) {
                printf("holding\n");
                fflush(stdout);
            }
        } else if (skua_pull_done(pull, &msg, &err)) {
            return failed("done", &err);
        }
    }
    for (long i = 0; i < holding; i++) {
        skua_msg_free(held[i]);
    }
    skua_pull_close(pull);
    return 0;
}

static int
run_publish(skua_node *node, const char *service) {
    skua_error err;
    skua_pub *pub;
    if (skua_pub_open(&pub, node, service, SKUA_PUB_OPTIONS(.policy = SKUA_SLOW_BLOCK), &err) ||
        skua_pub_await_subs(pub, "n", 1, 10000, &err)) {
        return failed("pub", &err);
    }
    printf("ready\n");
    fflush(stdout);
    for (uint64_t number = 0; !told_to_end(); number++) {
        if (skua_pub_send_bytes(pub, "n", &number, sizeof number, 10000, &err)) {
            return failed("send", &err);
        }
    }
    skua_pub_close(pub);
    return 0;
}

static int
run_subscribe(skua_node *node, const char *service) {
    skua_error err;
    skua_sub *sub;
    if (skua_sub_open(&sub, node, service, SKUA_SUB_OPTIONS(.window_bytes = 4096), &err)) {
        return failed("sub", &err);
    }
    printf("ready\n");
    fflush(stdout);
    struct pollfd in = {.fd = 0, .events = POLLIN};
    poll(&in, 1, -1);
    skua_sub_close(sub);
    return 0;
}

int
main(int argc, char **argv) {
    const char *port = getenv("SKUA_TEST_BEACON_PORT");
    if (argc < 3 || !port) {
        return 2;
    }
    skua_error err;
    skua_node *node;
    char name[64];
    snprintf(name, sizeof name, "worker-%d", (int)getpid());
    if (skua_node_open(&node, SKUA_NODE_OPTIONS(.name = name, .beacon_port = (uint16_t)atoi(port)),
                       &err)) {
        return failed("node", &err);
    }
    int rc = strcmp(argv[1], "pull") == 0 ? run_pull(node, argv[2], argc > 3 ? atol(argv[3]) : 0)
             : strcmp(argv[1], "subscribe") == 0 ? run_subscribe(node, argv[2])
                                                 : run_publish(node, argv[2]);
    skua_node_close(node);
    return rc;
}
