// SPDX-License-Identifier: MPL-2.0
// A task graph: take a batch, add up both halves at once, decide whether to go round again. Built once, run twice.
#include "must.h"
#include <skua/graph.h>

enum { BATCHES = 3, ITEMS = 1000 };

static int left, even, odd;

static int32_t
begin(skua_worker w, void *arg) {
    (void)w, (void)arg;
    left = BATCHES;
    return 0; /* a negative status would stop the run, and skua_graph_run() would return it */
}

static int32_t
take(skua_worker w, void *arg) {
    (void)w, (void)arg;
    left--;
    return 0;
}

static int32_t
sum_up(skua_worker w, void *arg) {
    (void)w;
    int *sum = arg;
    for (int i = sum == &odd; i < ITEMS; i += 2) {
        *sum += i;
    }
    return 0;
}

static int32_t
decide(skua_worker w, void *arg) {
    (void)w, (void)arg;
    return left > 0 ? 0 : 1; /* edge 0 leads back to take; there is no edge 1: the run ends */
}

int
main(void) {
    skua_error err;
    skua_exec *exec = NULL;
    skua_graph graph;
    skua_graph_node nodes[5]; /* yours: on the stack, or in structs of your own */
    static const int edges[][2] = {{0, 1}, {1, 2}, {1, 3}, {2, 4}, {3, 4}, {4, 1}};
    must(skua_exec_open(&exec, NULL, &err), &err);
    must(skua_graph_init(&graph, NULL, &err), &err);
    must(skua_graph_add(&graph, &nodes[0], begin, NULL, "begin", &err), &err);
    must(skua_graph_add(&graph, &nodes[1], take, NULL, "take", &err), &err);
    must(skua_graph_add(&graph, &nodes[2], sum_up, &even, "even", &err), &err);
    must(skua_graph_add(&graph, &nodes[3], sum_up, &odd, "odd", &err), &err);
    must(skua_graph_add_condition(&graph, &nodes[4], decide, NULL, "decide", &err), &err);
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        must(skua_graph_edge(&graph, &nodes[edges[i][0]], &nodes[edges[i][1]], &err), &err);
    }
    must(skua_graph_seal(&graph, &err), &err);
    must(skua_graph_run(&graph, exec, &err), &err);
    must(skua_graph_run(&graph, exec, &err), &err);
    printf("%d and %d\n", even, odd);
    skua_graph_fini(&graph);
    skua_exec_close(exec);
    return even == 2 * BATCHES * 249500 && odd == 2 * BATCHES * 250000 ? 0 : 1;
}
