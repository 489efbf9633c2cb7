// SPDX-License-Identifier: MPL-2.0
// The serial twins: the same works as plain calls, the floor under every executor.
#include "../exec_peer.h"

#include <stddef.h>
#include <stdlib.h>

static void *
serial_open(int workers) {
    (void)workers;
    return (void *)&exec_peer_serial;
}

static void
serial_close(void *peer) {
    (void)peer;
}

/* The compiler may inline it into itself, as it may skua's: the strongest twin. */
static inline uint64_t
fib(int n) {
    return n < 2 ? (uint64_t)n : fib(n - 1) + fib(n - 2);
}

static uint64_t
serial_fib(void *peer, int n) {
    (void)peer;
    return fib(n);
}

static inline uint64_t
queens(int n, uint32_t columns, uint32_t left, uint32_t right) {
    uint32_t all = (1u << n) - 1;
    if (columns == all) {
        return 1;
    }
    uint64_t solutions = 0;
    for (uint32_t open = all & ~(columns | left | right); open; open &= open - 1) {
        uint32_t bit = open & -open;
        solutions += queens(n, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return solutions;
}

static uint64_t
serial_queens(void *peer, int n) {
    (void)peer;
    return queens(n, 0, 0, 0);
}

static uint64_t walk_below(const exec_tree *tree, const exec_node *node, int children);

static inline uint64_t
walk(const exec_tree *tree, const exec_node *node) {
    int children = exec_tree_children(tree, node);
    return children > 0 ? walk_below(tree, node, children) : 1;
}

static uint64_t
walk_below(const exec_tree *tree, const exec_node *node, int children) {
    uint64_t nodes = 1;
    for (int i = 0; i < children; i++) {
        exec_node child;
        exec_tree_child(tree, node, i, &child);
        nodes += walk(tree, &child);
    }
    return nodes;
}

static uint64_t
serial_uts(void *peer, const exec_tree *tree) {
    (void)peer;
    exec_node root;
    exec_tree_root(tree, &root);
    return walk(tree, &root);
}

static double
serial_reduce(void *peer, const double *items, uint64_t count) {
    (void)peer;
    double sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        sum += items[i];
    }
    return sum;
}

static void
serial_sort(void *peer, int32_t *items, int32_t *scratch, uint64_t count) {
    (void)peer;
    exec_sort_serial(items, scratch, count);
}

static void
serial_matmul(void *peer, const float *a, const float *b, float *c) {
    (void)peer;
    exec_matmul_rows(a, b, c, 0, EXEC_MATMUL_N);
}

static uint64_t
serial_mandel(void *peer) {
    (void)peer;
    return exec_mandel_rows(0, EXEC_MANDEL_SIDE);
}

/* ---- Graphs: calls through a pointer, in the order of the layers ---- */

typedef struct serial_call {
    void (*fn)(uint32_t *count);
    uint32_t *count;
} serial_call;

typedef struct serial_graph {
    uint64_t count;
    serial_call calls[];
} serial_graph;

static void
count_node(uint32_t *count) {
    ++*count;
}

static void *
serial_graph_new(void *peer, const exec_shape *shape, uint32_t *counts) {
    (void)peer;
    uint64_t count = (uint64_t)shape->width * shape->layers;
    serial_graph *graph = malloc(sizeof *graph + count * sizeof *graph->calls);
    if (!graph) {
        abort();
    }
    graph->count = count;
    for (uint64_t i = 0; i < count; i++) {
        graph->calls[i] = (serial_call){.fn = count_node, .count = &counts[i]};
    }
    return graph;
}

static void
serial_graph_run(void *peer, void *arg) {
    (void)peer;
    serial_graph *graph = arg;
    for (uint64_t i = 0; i < graph->count; i++) {
        graph->calls[i].fn(graph->calls[i].count);
    }
}

const exec_peer exec_peer_serial = {.name = "serial",
                                    .open = serial_open,
                                    .close = serial_close,
                                    .fib = serial_fib,
                                    .queens = serial_queens,
                                    .uts = serial_uts,
                                    .reduce = serial_reduce,
                                    .sort = serial_sort,
                                    .matmul = serial_matmul,
                                    .mandel = serial_mandel,
                                    .graph_new = serial_graph_new,
                                    .graph_run = serial_graph_run,
                                    .graph_free = free,
                                    .alone = 1};
