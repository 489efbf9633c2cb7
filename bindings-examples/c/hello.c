// SPDX-License-Identifier: MPL-2.0
// Two nodes find each other and one says hello to the other, by the name of a service and without any address.
#include "must.h"
#include <skua/pubsub.h>

int
main(void) {
    skua_error err;
    skua_node *speaker, *listener;
    skua_pub *pub;
    skua_sub *sub;
    skua_msg *msg;
    must(skua_node_open(&speaker, SKUA_NODE_OPTIONS(.name = "speaker"), &err), &err);
    must(skua_node_open(&listener, SKUA_NODE_OPTIONS(.name = "listener"), &err), &err);
    must(skua_pub_open(&pub, speaker, "greetings", NULL, &err), &err);
    must(skua_sub_open(&sub, listener, "greetings", NULL, &err), &err);
    must(skua_pub_await_subs(pub, "hello", 1, 10000, &err), &err);
    must(skua_pub_send_bytes(pub, "hello", "hello, world", 12, 0, &err), &err);
    must(skua_sub_recv(sub, &msg, 10000, &err), &err);
    printf("%s: %.*s\n", skua_msg_sender_name(msg), (int)skua_msg_size(msg, 0),
           (const char *)skua_msg_data(msg, 0));
    skua_msg_free(msg);
    skua_sub_close(sub);
    skua_pub_close(pub);
    skua_node_close(listener);
    skua_node_close(speaker);
    return 0;
}
