// SPDX-License-Identifier: MPL-2.0
// Many requests in flight to a service found by its name: eight are asked before the first is answered.
#include "must.h"
#include <skua/reqrep.h>

enum { REQUESTS = 8 };

int
main(void) {
    skua_error err;
    skua_node *here, *there;
    skua_rep *rep;
    skua_req *req;
    must(skua_node_open(&there, SKUA_NODE_OPTIONS(.name = "squarer"), &err), &err);
    must(skua_node_open(&here, SKUA_NODE_OPTIONS(.name = "asker"), &err), &err);
    must(skua_rep_open(&rep, there, "square", NULL, &err), &err);
    must(skua_req_open(&req, here, "square", SKUA_REQ_OPTIONS(.timeout_ms = 10000), &err), &err);
    for (unsigned char i = 0; i < REQUESTS; i++) {
        uint64_t id;
        skua_msg *msg = skua_msg_of_bytes(&i, 1);
        must(skua_req_send(req, &msg, 0, &id, &err), &err);
    }
    for (int i = 0; i < REQUESTS; i++) {
        skua_request *request;
        must(skua_rep_recv(rep, &request, 10000, &err), &err);
        int number = *(const unsigned char *)skua_msg_data(skua_request_msg(request), 0);
        char text[32];
        snprintf(text, sizeof text, "%d times %d is %d", number, number, number * number);
        skua_msg *msg = skua_msg_of_string(text);
        must(skua_rep_reply(rep, &request, &msg, &err), &err);
    }
    for (int i = 0; i < REQUESTS; i++) {
        skua_req_result result = {.size = sizeof result};
        must(skua_req_recv(req, &result, 10000, &err), &err);
        must(result.status, &result.error);
        printf("%.*s\n", (int)skua_msg_size(result.reply, 0),
               (const char *)skua_msg_data(result.reply, 0));
        skua_msg_free(result.reply);
    }
    skua_req_close(req);
    skua_rep_close(rep);
    skua_node_close(here);
    skua_node_close(there);
    return 0;
}
