// SPDX-License-Identifier: MPL-2.0
// The executor's works as OpenMP tasks. Built twice: by GCC for libgomp, and by Clang for LLVM's runtime.
#include "../exec_peer.h"

#include <omp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifndef EXEC_OMP_NAME
#define EXEC_OMP_NAME "gomp"
#endif

static void *
open_omp(int workers) {
    omp_set_dynamic(0);
    omp_set_num_threads(workers);
    return (void *)(uintptr_t)workers;
}

static void
close_omp(void *peer) {
    (void)peer;
}

static uint64_t
fib(int n) {
    if (n < 2) {
        return (uint64_t)n;
    }
    uint64_t left, right;
#pragma omp task shared(left) firstprivate(n)
    left = fib(n - 1);
    right = fib(n - 2);
#pragma omp taskwait
    return left + right;
}

static uint64_t
run_fib(void *peer, int n) {
    (void)peer;
    uint64_t result = 0;
#pragma omp parallel
#pragma omp single
    result = fib(n);
    return result;
}

static uint64_t
queens(int n, uint32_t columns, uint32_t left, uint32_t right) {
    uint32_t all = (1u << n) - 1;
    if (columns == all) {
        return 1;
    }
    uint64_t found[16], solutions = 0;
    int count = 0;
    for (uint32_t open = all & ~(columns | left | right); open; open &= open - 1) {
        uint32_t bit = open & -open;
        uint64_t *to = &found[count++];
#pragma omp task firstprivate(to, n, bit, columns, left, right)
        *to = queens(n, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
#pragma omp taskwait
    while (count-- > 0) {
        solutions += found[count];
    }
    return solutions;
}

static uint64_t
run_queens(void *peer, int n) {
    (void)peer;
    uint64_t result = 0;
#pragma omp parallel
#pragma omp single
    result = queens(n, 0, 0, 0);
    return result;
}

static uint64_t
walk(const exec_tree *tree, const exec_node *node) {
    exec_node below[100];
    uint64_t found[100], nodes = 1;
    int children = exec_tree_children(tree, node);
    for (int i = 0; i < children; i++) {
        exec_tree_child(tree, node, i, &below[i]);
        const exec_node *child = &below[i];
        uint64_t *to = &found[i];
#pragma omp task firstprivate(tree, child, to)
        *to = walk(tree, child);
    }
#pragma omp taskwait
    while (children-- > 0) {
        nodes += found[children];
    }
    return nodes;
}

static uint64_t
run_uts(void *peer, const exec_tree *tree) {
    (void)peer;
    uint64_t nodes = 0;
    exec_node root;
    exec_tree_root(tree, &root);
#pragma omp parallel
#pragma omp single
    nodes = walk(tree, &root);
    return nodes;
}

static void
run_flat(void *peer, int width, int rounds) {
    (void)peer;
#pragma omp parallel
#pragma omp single
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < width; i++) {
#pragma omp task
            __asm__ volatile("");
        }
#pragma omp taskwait
    }
}

static double
run_reduce(void *peer, const double *items, uint64_t count) {
    (void)peer;
    double sum = 0;
#pragma omp parallel for reduction(+ : sum)
    for (uint64_t i = 0; i < count; i++) {
        sum += items[i];
    }
    return sum;
}

static void
sort(int32_t *items, int32_t *scratch, uint64_t count) {
    if (count <= EXEC_SORT_SERIAL_ITEMS) {
        exec_sort_serial(items, scratch, count);
        return;
    }
    uint64_t middle = count / 2;
#pragma omp task firstprivate(items, scratch, middle)
    sort(items, scratch, middle);
    sort(items + middle, scratch + middle, count - middle);
#pragma omp taskwait
    exec_merge(items, scratch, middle, count);
}

static void
run_sort(void *peer, int32_t *items, int32_t *scratch, uint64_t count) {
    (void)peer;
#pragma omp parallel
#pragma omp single
    sort(items, scratch, count);
}

static void
run_matmul(void *peer, const float *a, const float *b, float *c) {
    (void)peer;
#pragma omp parallel for schedule(dynamic, 4)
    for (int row = 0; row < EXEC_MATMUL_N; row++) {
        exec_matmul_rows(a, b, c, row, row + 1);
    }
}

static uint64_t
run_mandel(void *peer) {
    (void)peer;
    uint64_t sum = 0;
#pragma omp parallel for schedule(dynamic, 4) reduction(+ : sum)
    for (int row = 0; row < EXEC_MANDEL_SIDE; row++) {
        sum += exec_mandel_rows(row, row + 1);
    }
    return sum;
}

/* ---- Graphs: made anew in each run, since OpenMP keeps none ---- */

typedef struct omp_graph {
    exec_shape shape;
    uint32_t *counts; /* a node's count stands for the node in its dependences */
} omp_graph;

static void *
graph_new(void *peer, const exec_shape *shape, uint32_t *counts) {
    (void)peer;
    omp_graph *graph = malloc(sizeof *graph);
    if (!graph) {
        abort();
    }
    *graph = (omp_graph){.shape = *shape, .counts = counts};
    return graph;
}

static void
graph_run(void *peer, void *arg) {
    (void)peer;
    const omp_graph *graph = arg;
    const uint64_t width = graph->shape.width;
    const uint64_t count = width * graph->shape.layers;
    uint32_t *counts = graph->counts;
#pragma omp parallel
#pragma omp single
    for (uint64_t i = 0; i < count; i++) {
        uint32_t *self = &counts[i];
        if (i < width) {
#pragma omp task firstprivate(self) depend(out : self[0])
            ++*self;
        } else {
#pragma omp task firstprivate(self) depend(in                                                      \
                                           : counts[i - width])                                    \
    depend(in                                                                                      \
           : counts[(i / width - 1) * width + (i + 1) % width]) depend(out                         \
                                                                       : self[0])
            ++*self;
        }
    }
}

static const exec_peer omp_peer = {.name = EXEC_OMP_NAME,
                                   .open = open_omp,
                                   .close = close_omp,
                                   .fib = run_fib,
                                   .queens = run_queens,
                                   .uts = run_uts,
                                   .flat = run_flat,
                                   .reduce = run_reduce,
                                   .sort = run_sort,
                                   .matmul = run_matmul,
                                   .mandel = run_mandel,
                                   .graph_new = graph_new,
                                   .graph_run = graph_run,
                                   .graph_free = free};

const exec_peer *exec_peer_get(void);

const exec_peer *
exec_peer_get(void) {
    return &omp_peer;
}
