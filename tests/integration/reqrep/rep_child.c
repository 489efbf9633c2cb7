// SPDX-License-Identifier: MPL-2.0
// A provider in a process of its own, to be killed: rep_child BEACON_PORT NAME SERVICE echo|stuck. It prints "ready", and
// in stuck mode "got" for each request, which it never answers.
#include <skua/node.h>
#include <skua/reqrep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
say(const char *word) {
    printf("%s\n", word);
    return fflush(stdout);
}

int
main(int argc, char **argv) {
    skua_node *node = NULL;
    skua_rep *rep = NULL;
    skua_error err = {0};
    if (argc != 5) {
        return 2;
    }
    if (skua_node_open(
            &node,
            SKUA_NODE_OPTIONS(.name = argv[2], .beacon_port = (uint16_t)strtoul(argv[1], NULL, 10)),
            &err) != SKUA_OK ||
        skua_rep_open(&rep, node, argv[3], NULL, &err) != SKUA_OK) {
        fprintf(stderr, "%s: %s\n", err.code, err.message);
        return 1;
    }
    say("ready");
    for (;;) { /* until it is killed */
        skua_request *request = NULL;
        if (skua_rep_recv(rep, &request, SKUA_UNLIMITED, &err) != SKUA_OK) {
            return 1;
        }
        if (strcmp(argv[4], "stuck") == 0) {
            say("got");
            continue; /* and is never answered */
        }
        skua_msg *msg = skua_request_take_msg(request);
        if (skua_msg_redelivered(msg) &&
            skua_msg_set_property(msg, "redelivered", "yes") != SKUA_OK) {
            return 1;
        }
        if (skua_rep_reply(rep, &request, &msg, &err) != SKUA_OK) {
            return 1;
        }
    }
}
