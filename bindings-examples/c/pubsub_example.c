// SPDX-License-Identifier: MPL-2.0
// Three topics and 48 subscribers: each subscriber hears each message of its topic once, and the ledger proves it.
#include "must.h"
#include <skua/pubsub.h>

enum { TOPICS = 3, SUBSCRIBERS = 48, MESSAGES = 10 };

int
main(void) {
    static const char *const topics[TOPICS] = {"events", "alerts", "metrics"};
    skua_error err;
    skua_node *here, *there;
    skua_pub *pub;
    skua_sub *subs[SUBSCRIBERS];
    must(skua_node_open(&here, SKUA_NODE_OPTIONS(.name = "newsroom"), &err), &err);
    must(skua_node_open(&there, SKUA_NODE_OPTIONS(.name = "audience"), &err), &err);
    must(skua_pub_open(&pub, here, "news", SKUA_PUB_OPTIONS(.policy = SKUA_SLOW_BLOCK), &err),
         &err);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        must(skua_sub_open(&subs[i], there, "news", SKUA_SUB_OPTIONS(.topic = topics[i % TOPICS]),
                           &err),
             &err);
    }
    for (int i = 0; i < TOPICS; i++) {
        must(skua_pub_await_subs(pub, topics[i], SUBSCRIBERS / TOPICS, 20000, &err), &err);
    }
    for (unsigned char i = 0; i < TOPICS * MESSAGES; i++) {
        must(skua_pub_send_bytes(pub, topics[i % TOPICS], &i, 1, 0, &err), &err);
    }
    int right = 0;
    for (int i = 0; i < SUBSCRIBERS * MESSAGES; i++) {
        int subscriber = i / MESSAGES, nth = i % MESSAGES;
        skua_msg *msg;
        must(skua_sub_recv(subs[subscriber], &msg, 20000, &err), &err);
        right +=
            *(const unsigned char *)skua_msg_data(msg, 0) == nth * TOPICS + subscriber % TOPICS;
        skua_msg_free(msg);
    }
    skua_pattern_stats ledger = {.size = sizeof ledger};
    must(skua_pub_drain(pub, 20000, &err), &err);
    must(skua_pub_stats(pub, &ledger, &err), &err);
    printf("%d messages heard; sent %d, confirmed %d\n", right, (int)ledger.sent,
           (int)ledger.confirmed);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        skua_sub_close(subs[i]);
    }
    skua_pub_close(pub);
    skua_node_close(there);
    skua_node_close(here);
    return right == SUBSCRIBERS * MESSAGES && ledger.confirmed == ledger.sent ? 0 : 1;
}
