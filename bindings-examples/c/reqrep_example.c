// SPDX-License-Identifier: MPL-2.0
// Many requests in flight to a service found by its name: eight are asked before the first answer is looked at.
#include <skua/reqrep.h>
#include <stdio.h>
#include <stdlib.h>

enum { REQUESTS = 8 };

#define TRY(call)                                                                                  \
    if ((call) != 0)                                                                               \
    goto done

int
main(void) {
    skua_error err = {0};
    skua_node *here = NULL, *there = NULL;
    skua_rep *rep = NULL;
    skua_req *req = NULL;
    int right = 0;
    TRY(skua_node_open(&there, SKUA_NODE_OPTIONS(.name = "squarer"), &err));
    TRY(skua_node_open(&here, SKUA_NODE_OPTIONS(.name = "asker"), &err));
    TRY(skua_rep_open(&rep, there, "square", NULL, &err));
    TRY(skua_req_open(&req, here, "square", SKUA_REQ_OPTIONS(.timeout_ms = 10000), &err));
    for (int i = 0; i < REQUESTS; i++) {
        uint64_t id;
        skua_msg *msg = skua_msg_of_bytes(&i, sizeof i);
        TRY(skua_req_send(req, &msg, 0, &id, &err));
    }
    for (int i = 0; i < REQUESTS; i++) {
        skua_request *request;
        TRY(skua_rep_recv(rep, 10000, &request, &err));
        int number = *(const int *)skua_msg_data(skua_request_msg(request), 0);
        number *= number;
        skua_msg *msg = skua_msg_of_bytes(&number, sizeof number);
        TRY(skua_rep_reply(rep, &request, &msg, &err));
    }
    for (int i = 0; i < REQUESTS; i++) {
        skua_req_result result = {.size = sizeof result};
        TRY(skua_req_recv(req, 10000, &result, &err));
        TRY(result.status);
        printf("request %d: %d\n", (int)result.id, *(const int *)skua_msg_data(result.reply, 0));
        skua_msg_free(result.reply);
        right++;
    }
done:
    if (right < REQUESTS) {
        fprintf(stderr, "%s %s\n", err.code, err.message);
    }
    skua_req_close(req);
    skua_rep_close(rep);
    skua_node_close(here);
    skua_node_close(there);
    return right == REQUESTS ? 0 : 1;
}
