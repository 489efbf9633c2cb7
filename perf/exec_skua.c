// SPDX-License-Identifier: MPL-2.0
// The executor's works on skua, each written as a user would write it.
#include "exec_skua.h"

#include <skua/graph.h>
#include <skua/parallel.h>
#include <skua/sort.h>

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

void *
exec_skua_open(int workers) {
    return open_with(workers, SKUA_LEASE_AUTO);
}

static void *
open_sharing(int workers) {
    return open_with(workers, SKUA_LEASE_ALWAYS);
}

void
exec_skua_close(void *peer) {
    skua_exec_close(peer);
}

void
exec_skua_enter(void *peer, skua_fn *fn, void *frame) {
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

static void fib_task(skua_worker w, void *frame);

static inline uint64_t
fib(skua_worker w, int n) {
    if (n < 2) {
        return (uint64_t)n;
    }
    fib_call *right = SKUA_FRAME(w, fib_call);
    right->n = n - 2;
    skua_spawn(&w, fib_task, right);
    uint64_t left = fib(w, n - 1);
    return left + (skua_take_back(&w) ? fib(w, n - 2) : right->result);
}

static void
fib_task(skua_worker w, void *frame) {
    fib_call *call = frame;
    call->result = fib(w, call->n);
}

static inline uint64_t
run_fib(void *peer, int n) {
    fib_call call = {.n = n};
    exec_skua_enter(peer, fib_task, &call);
    return call.result;
}

/* ---- nqueens ---- */

typedef struct queens_call {
    uint32_t all, columns, left, right; /* the bits of a row; those that are taken */
    uint32_t bit;                       /* the next queen's */
    uint64_t solutions;
} queens_call;

static void queens_task(skua_worker w, void *frame);

static inline uint64_t
queens(skua_worker w, uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
    if (columns == all) {
        return 1;
    }
    uint32_t tried[16];
    int count = 0;
    for (uint32_t open = all & ~(columns | left | right); open; open &= open - 1) {
        queens_call *next = SKUA_FRAME(w, queens_call);
        next->all = all, next->columns = columns, next->left = left, next->right = right;
        next->bit = tried[count++] = open & -open;
        skua_spawn(&w, queens_task, next);
    }
    uint64_t solutions = 0;
    while (count-- > 0) {
        uint32_t bit = tried[count];
        solutions += skua_take_back(&w)
                         ? queens(w, all, columns | bit, (left | bit) << 1, (right | bit) >> 1)
                         : SKUA_FRAME(w, queens_call)->solutions;
    }
    return solutions;
}

static void
queens_task(skua_worker w, void *frame) {
    queens_call *call = frame;
    uint32_t bit = call->bit;
    call->solutions = queens(w, call->all, call->columns | bit, (call->left | bit) << 1,
                             (call->right | bit) >> 1);
}

static uint64_t
run_queens(void *peer, int n) {
    queens_call empty = {.all = (1u << n) - 1};
    exec_skua_enter(peer, queens_task, &empty);
    return empty.solutions;
}

/* ---- UTS ---- */

typedef struct walk_call {
    const exec_tree *tree;
    const exec_node *node;
    uint64_t nodes;
} walk_call;

static uint64_t walk_below(skua_worker w, const exec_tree *tree, const exec_node *node,
                           int children);

/* Most nodes are leaves: they need no array of children, nor its stack. */
static inline uint64_t
walk(skua_worker w, const exec_tree *tree, const exec_node *node) {
    int children = exec_tree_children(tree, node);
    return children > 0 ? walk_below(w, tree, node, children) : 1;
}

static void
walk_task(skua_worker w, void *frame) {
    walk_call *call = frame;
    call->nodes = walk(w, call->tree, call->node);
}

static uint64_t
walk_below(skua_worker w, const exec_tree *tree, const exec_node *node, int children) {
    exec_node below[100];
    for (int i = 0; i < children; i++) {
        exec_tree_child(tree, node, i, &below[i]);
        walk_call *call = SKUA_FRAME(w, walk_call);
        *call = (walk_call){.tree = tree, .node = &below[i]};
        skua_spawn(&w, walk_task, call);
    }
    uint64_t nodes = 1;
    while (children-- > 0) {
        nodes +=
            skua_take_back(&w) ? walk(w, tree, &below[children]) : SKUA_FRAME(w, walk_call)->nodes;
    }
    return nodes;
}

static uint64_t
run_uts(void *peer, const exec_tree *tree) {
    exec_node root;
    exec_tree_root(tree, &root);
    walk_call call = {.tree = tree, .node = &root};
    exec_skua_enter(peer, walk_task, &call);
    return call.nodes;
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
    exec_skua_enter(peer, flat, &frame);
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

static inline uint64_t
run_mandel(void *peer) {
    static const uint64_t zero = 0;
    skua_reduce reduce = {.size = sizeof reduce,
                          .value_bytes = sizeof(uint64_t),
                          .identity = &zero,
                          .fold = draw,
                          .combine = add_counts};
    uint64_t sum = 0;
    skua_error err;
    if (skua_parallel_reduce(peer, 0, EXEC_MANDEL_SIDE, 0, &reduce, &sum, &err)) {
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
    exec_skua_enter(peer, sort, &frame);
}

static int
compare_numbers(const void *a, const void *b, void *arg) {
    (void)arg;
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

static void
run_sort_call(void *peer, int32_t *items, int32_t *scratch, uint64_t count) {
    skua_error err;
    if (skua_parallel_sort(peer, items, count, sizeof *items, compare_numbers, NULL, scratch,
                           &err)) {
        fprintf(stderr, "%s %s\n", err.code, err.message);
        exit(1);
    }
}

static size_t
sort_numbers(const skua_sort_part *part) {
    return skua_sort_step(part, sizeof(int32_t), compare_numbers);
}

static void
run_sort_typed(void *peer, int32_t *items, int32_t *scratch, uint64_t count) {
    skua_error err;
    if (skua_parallel_sort_typed(peer, items, count, sizeof *items, sort_numbers, NULL, scratch,
                                 &err)) {
        fprintf(stderr, "%s %s\n", err.code, err.message);
        exit(1);
    }
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
                                  .open = exec_skua_open,
                                  .close = exec_skua_close,
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
    .name = "skua-lease", .open = open_sharing, .close = exec_skua_close, .fib = run_fib};

const exec_peer exec_peer_skua_sort = {
    .name = "skua-sort", .open = exec_skua_open, .close = exec_skua_close, .sort = run_sort_call};

const exec_peer exec_peer_skua_sort_typed = {.name = "skua-sort-typed",
                                             .open = exec_skua_open,
                                             .close = exec_skua_close,
                                             .sort = run_sort_typed};
