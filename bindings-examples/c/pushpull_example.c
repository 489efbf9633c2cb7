// SPDX-License-Identifier: MPL-2.0
// Work for two workers: each message goes to the less busy one, and on to the other when its worker goes away.
#include "must.h"
#include <skua/pushpull.h>

enum { JOBS = 100, WORKERS = 2 };

int
main(void) {
    skua_error err;
    skua_node *boss, *nodes[WORKERS];
    skua_push *push;
    skua_pull *pulls[WORKERS];
    skua_msg *msg;
    must(skua_node_open(&boss, SKUA_NODE_OPTIONS(.name = "boss"), &err), &err);
    must(skua_push_open(&push, boss, "jobs", NULL, &err), &err);
    for (int i = 0; i < WORKERS; i++) {
        must(skua_node_open(&nodes[i], NULL, &err), &err);
        /* A message is done when the worker says so; until then the boss keeps it. */
        must(skua_pull_open(&pulls[i], nodes[i], "jobs",
                            SKUA_PULL_OPTIONS(.manual_done = 1, .prefetch_msgs = JOBS), &err),
             &err);
    }
    must(skua_push_await_workers(push, WORKERS, 10000, &err), &err);
    for (unsigned char i = 0; i < JOBS; i++) {
        must(skua_push_send_bytes(push, &i, 1, 10000, &err), &err);
    }
    must(skua_pull_recv(pulls[0], &msg, 10000, &err), &err);
    skua_msg_free(msg); /* taken, and never done: all that this worker holds goes to the other */
    skua_pull_close(pulls[0]);
    int seen[JOBS] = {0}, all = 0;
    while (all < JOBS) {
        must(skua_pull_recv(pulls[1], &msg, 10000, &err), &err);
        all += seen[*(const unsigned char *)skua_msg_data(msg, 0)]++ == 0;
        must(skua_pull_done(pulls[1], &msg, &err), &err);
    }
    skua_pattern_stats ledger = {.size = sizeof ledger};
    must(skua_push_drain(push, 10000, &err), &err);
    must(skua_push_stats(push, &ledger, &err), &err);
    printf("%d jobs done, %d of them moved to the other worker\n", all, (int)ledger.moved);
    skua_push_close(push);
    skua_pull_close(pulls[1]);
    for (int i = 0; i < WORKERS; i++) {
        skua_node_close(nodes[i]);
    }
    skua_node_close(boss);
    return 0;
}
