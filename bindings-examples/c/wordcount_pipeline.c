// SPDX-License-Identifier: MPL-2.0
// A pipeline: lines are pushed to a counter, which counts them on an executor and pushes the counts on to a sum.
#include "must.h"
#include <skua/exec.h>
#include <skua/pushpull.h>
enum { LINES = 200, PATIENCE_MS = 20000 };

/* Runs on the executor, several at a time; a line is done when this returns. */
static void
count(void *counts, skua_pull *pull, skua_msg *line) {
    (void)pull;
    const char *text = skua_msg_data(line, 0);
    unsigned char words = 1;
    skua_error err;
    for (size_t i = 0; i < skua_msg_size(line, 0); i++) {
        words = (unsigned char)(words + (text[i] == ' '));
    }
    must(skua_push_send_bytes(counts, &words, 1, PATIENCE_MS, &err), &err);
    skua_msg_free(line);
}

int
main(void) {
    int all = 0;
    skua_error err;
    skua_exec *exec;
    skua_runner on;
    skua_node *node;
    skua_push *lines, *counts;
    skua_pull *work, *sums; /* one program here; four, on four machines, would do the same */
    must(skua_exec_open(&exec, NULL, &err), &err);
    must(skua_node_open(&node, NULL, &err), &err);
    must(skua_push_open(&lines, node, "lines", NULL, &err), &err);
    must(skua_push_open(&counts, node, "counts", NULL, &err), &err);
    must(skua_pull_open(&sums, node, "counts", SKUA_PULL_OPTIONS(.prefetch_msgs = LINES), &err),
         &err);
    skua_exec_runner(exec, &on);
    must(skua_pull_open(&work, node, "lines",
                        SKUA_PULL_OPTIONS(.runner = &on, .handler = count, .handler_ctx = counts),
                        &err),
         &err);
    for (int i = 0; i < LINES; i++) {
        must(skua_push_send_bytes(lines, "the lazy dog", 12, PATIENCE_MS, &err), &err);
    }
    for (int i = 0; i < LINES; i++) {
        skua_msg *msg;
        must(skua_pull_recv(sums, &msg, PATIENCE_MS, &err), &err);
        all += *(const unsigned char *)skua_msg_data(msg, 0);
        skua_msg_free(msg);
    }
    printf("%d words in %d lines\n", all, LINES);
    skua_pull_close(work);
    skua_pull_close(sums);
    skua_push_close(lines);
    skua_push_close(counts);
    skua_node_close(node);
    skua_exec_close(exec);
    return all != 3 * LINES;
}
