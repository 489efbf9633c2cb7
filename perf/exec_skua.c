// SPDX-License-Identifier: MPL-2.0
// The executor's works on skua, each written as a user would write it.
#include "exec_peer.h"

#include <skua/exec.h>
#include <skua/graph.h>
#include <skua/parallel.h>

#include <stdio.h>
#include <stdlib.h>

static void *
open_with(int workers, skua_lease_mode lease) {
    skua_exec *exec = NULL;
    skua_error err;
    if (skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = workers, .lease = (int32_t)lease),
                       &err)) {
        fprintf(stderr, "%s %s\n", err.code, err.message);
        exit(1);
    }
    return exec;
}

static void *
open_skua(int workers) {
    return open_with(workers, SKUA_LEASE_AUTO);
}

static void *
open_sharing(int workers) {
    return open_with(workers, SKUA_LEASE_ALWAYS);
}

static void
close_skua(void *peer) {
    skua_exec_close(peer);
}

static void
enter(void *peer, skua_fn *fn, void *frame) {
    skua_error err;
    if (skua_exec_run(peer, fn, frame, &err)) {
        fprintf(stderr, "%s %s\n", err.code, err.message);
        exit(1);
    }
}

/* ---- fib ---- */

typedef struct fib_call {
    int n;
    uint64_t result;
} fib_call;

static void fib_task(skua_worker w, void *arg);

static uint64_t
fib(skua_worker w, int n) {
    if (n < 2) {
        return (uint64_t)n;
    }
    fib_call left;
    left.n = n - 1;
    skua_spawn(&w, fib_task, &left);
    uint64_t right = fib(w, n - 2);
    return right + (skua_take_back(&w) ? fib(w, left.n) : left.result);
}

static void
fib_task(skua_worker w, void *arg) {
    fib_call *call = arg;
    call->result = fib(w, call->n);
}

static uint64_t
run_fib(void *peer, int n) {
    fib_call call = {.n = n};
    enter(peer, fib_task, &call);
    return call.result;
}

/* ---- nqueens ---- */

typedef struct queens_frame {
    int n;
    uint32_t columns, left, right;
    uint64_t solutions;
} queens_frame;

static void
queens(skua_worker w, void *arg) {
    queens_frame *frame = arg, tries[16];
    uint32_t all = (1u << frame->n) - 1;
    int count = 0;
    frame->solutions = frame->columns == all;
    for (uint32_t open = all & ~(frame->columns | frame->left | frame->right); open;
         open &= open - 1) {
        uint32_t bit = open & -open;
        tries[count] = (queens_frame){.n = frame->n,
                                      .columns = frame->columns | bit,
                                      .left = (frame->left | bit) << 1,
                                      .right = (frame->right | bit) >> 1};
        skua_spawn(&w, queens, &tries[count++]);
    }
    while (count-- > 0) {
        skua_sync(&w, queens, &tries[count]);
        frame->solutions += tries[count].solutions;
    }
}

static uint64_t
run_queens(void *peer, int n) {
    queens_frame frame = {.n = n};
    enter(peer, queens, &frame);
    return frame.solutions;
}

/* ---- UTS ---- */

typedef struct walk_frame {
    const exec_tree *tree;
    exec_node node;
    uint64_t nodes;
} walk_frame;

static void
walk(skua_worker w, void *arg) {
    walk_frame *frame = arg, below[100];
    int children = exec_tree_children(frame->tree, &frame->node);
    frame->nodes = 1;
    for (int i = 0; i < children; i++) {
        below[i].tree = frame->tree;
        exec_tree_child(frame->tree, &frame->node, i, &below[i].node);
        skua_spawn(&w, walk, &below[i]);
    }
    while (children-- > 0) {
        skua_sync(&w, walk, &below[children]);
        frame->nodes += below[children].nodes;
    }
}

static uint64_t
run_uts(void *peer, const exec_tree *tree) {
    walk_frame frame = {.tree = tree};
    exec_tree_root(tree, &frame.node);
    enter(peer, walk, &frame);
    return frame.nodes;
}

/* ---- Flat spawns ---- */

typedef struct flat_frame {
    int width, rounds;
} flat_frame;

static void
nothing(skua_worker w, void *arg) {
    (void)w;
    (void)arg;
}

static void
flat(skua_worker w, void *arg) {
    const flat_frame *frame = arg;
    for (int round = 0; round < frame->rounds; round++) {
        for (int i = 0; i < frame->width; i++) {
            skua_spawn(&w, nothing, NULL);
        }
        for (int i = 0; i < frame->width; i++) {
            skua_sync(&w, nothing, NULL);
        }
    }
}

static void
run_flat(void *peer, int width, int rounds) {
    flat_frame frame = {.width = width, .rounds = rounds};
    enter(peer, flat, &frame);
}

/* ---- Loops ---- */

static void
add_up(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w;
    const double *items = arg;
    double sum = *(double *)value;
    for (uint64_t i = first; i < end; i++) {
        sum += items[i];
    }
    *(double *)value = sum;
}

static void
add_pair(void *left, const void *right, void *arg) {
    (void)arg;
    *(double *)left += *(const double *)right;
}

static double
run_reduce(void *peer, const double *items, uint64_t count) {
    static const double zero = 0;
    skua_reduce reduce = {.size = sizeof reduce,
                          .value_bytes = sizeof(double),
                          .identity = &zero,
                          .fold = add_up,
                          .combine = add_pair,
                          .arg = (void *)(uintptr_t)items};
    double sum = 0;
    skua_error err;
    if (skua_parallel_reduce(peer, 0, count, 0, &reduce, &sum, &err)) {
        fprintf(stderr, "%s %s\n", err.code, err.message);
        exit(1);
    }
    return sum;
}

typedef struct product {
    const float *a, *b;
    float *c;
} product;

static void
multiply(skua_worker w, uint64_t first, uint64_t end, void *arg) {
    (void)w;
    const product *p = arg;
    exec_matmul_rows(p->a, p->b, p->c, (int)first, (int)end);
}

static void
run_matmul(void *peer, const float *a, const float *b, float *c) {
    product p = {.a = a, .b = b, .c = c};
    skua_error err;
    if (skua_parallel_for(peer, 0, EXEC_MATMUL_N, 0, multiply, &p, &err)) {
        fprintf(stderr, "%s %s\n", err.code, err.message);
        exit(1);
    }
}

static void
draw(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w;
    (void)arg;
    *(uint64_t *)value += exec_mandel_rows((int)first, (int)end);
}

static void
add_counts(void *left, const void *right, void *arg) {
    (void)arg;
    *(uint64_t *)left += *(const uint64_t *)right;
}

static uint64_t
run_mandel(void *peer) {
    static const uint64_t zero = 0;
    skua_reduce reduce = {.size = sizeof reduce,
                          .value_bytes = sizeof(uint64_t),
                          .identity = &zero,
                          .fold = draw,
                          .combine = add_counts};
    uint64_t sum = 0;
    skua_error err;
    if (skua_parallel_reduce(peer, 0, EXEC_MANDEL_SIDE, 4, &reduce, &sum, &err)) {
        fprintf(stderr, "%s %s\n", err.code, err.message);
        exit(1);
    }
    return sum;
}

/* ---- Merge sort ---- */

typedef struct sort_frame {
    int32_t *items, *scratch;
    uint64_t count;
} sort_frame;

static void
sort(skua_worker w, void *arg) {
    const sort_frame *frame = arg;
    if (frame->count <= EXEC_SORT_SERIAL_ITEMS) {
        exec_sort_serial(frame->items, frame->scratch, frame->count);
        return;
    }
    uint64_t middle = frame->count / 2;
    sort_frame left = {.items = frame->items, .scratch = frame->scratch, .count = middle};
    sort_frame right = {.items = frame->items + middle,
                        .scratch = frame->scratch + middle,
                        .count = frame->count - middle};
    skua_spawn(&w, sort, &left);
    sort(w, &right);
    skua_sync(&w, sort, &left);
    exec_merge(frame->items, frame->scratch, middle, frame->count);
}

static void
run_sort(void *peer, int32_t *items, int32_t *scratch, uint64_t count) {
    sort_frame frame = {.items = items, .scratch = scratch, .count = count};
    enter(peer, sort, &frame);
}

/* ---- From outside ---- */

typedef struct outside {
    skua_job job;
    void (*fn)(void *arg);
    void *arg;
} outside;
_Static_assert(sizeof(outside) <= sizeof(exec_memory), "a submission fits the caller's memory");

static void
run_outside(skua_worker w, skua_job *job) {
    (void)w;
    outside *submitted = (outside *)(void *)job;
    submitted->fn(submitted->arg);
}

static void
submit(void *peer, exec_memory *memory, void (*fn)(void *arg), void *arg) {
    outside *submitted = (outside *)(void *)memory;
    skua_job_init(&submitted->job, run_outside);
    submitted->fn = fn;
    submitted->arg = arg;
    if (skua_exec_submit(peer, &submitted->job)) {
        fprintf(stderr, "skua_exec_submit failed\n");
        exit(1);
    }
}

/* ---- Graphs ---- */

typedef struct graph {
    skua_graph graph;
    skua_graph_node *nodes;
} graph;

static int32_t
count_node(skua_worker w, void *arg) {
    (void)w;
    ++*(uint32_t *)arg;
    return 0;
}

static void
must(skua_status status, const skua_error *err) {
    if (status) {
        fprintf(stderr, "%s %s\n", err->code, err->message);
        exit(1);
    }
}

static void *
graph_new(void *peer, const exec_shape *shape, uint32_t *counts) {
    (void)peer;
    skua_error err;
    const uint64_t count = (uint64_t)shape->width * shape->layers;
    graph *self = calloc(1, sizeof *self);
    skua_graph_node *nodes = calloc(count, sizeof *nodes);
    if (!self || !nodes) {
        fprintf(stderr, "skua-perf: no memory for a graph\n");
        exit(1);
    }
    self->nodes = nodes;
    must(skua_graph_init(&self->graph, NULL, &err), &err);
    for (uint64_t i = 0; i < count; i++) {
        must(skua_graph_add(&self->graph, &nodes[i], count_node, &counts[i], NULL, &err), &err);
    }
    for (uint64_t i = shape->width; i < count; i++) {
        skua_graph_node *before = &nodes[(i / shape->width - 1) * shape->width];
        must(skua_graph_edge(&self->graph, &before[i % shape->width], &nodes[i], &err), &err);
        if (shape->width > 1) {
            must(skua_graph_edge(&self->graph, &before[(i + 1) % shape->width], &nodes[i], &err),
                 &err);
        }
    }
    must(skua_graph_seal(&self->graph, &err), &err);
    return self;
}

static void
graph_run(void *peer, void *arg) {
    graph *self = arg;
    skua_error err;
    must(skua_graph_run(&self->graph, peer, &err), &err);
}

static void
graph_free(void *arg) {
    graph *self = arg;
    skua_graph_fini(&self->graph);
    free(self->nodes);
    free(self);
}

const exec_peer exec_peer_skua = {.name = "skua",
                                  .open = open_skua,
                                  .close = close_skua,
                                  .fib = run_fib,
                                  .queens = run_queens,
                                  .uts = run_uts,
                                  .flat = run_flat,
                                  .reduce = run_reduce,
                                  .sort = run_sort,
                                  .matmul = run_matmul,
                                  .mandel = run_mandel,
                                  .submit = submit,
                                  .graph_new = graph_new,
                                  .graph_run = graph_run,
                                  .graph_free = graph_free};

const exec_peer exec_peer_skua_lease = {
    .name = "skua-lease", .open = open_sharing, .close = close_skua, .fib = run_fib};
