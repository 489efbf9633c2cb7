// SPDX-License-Identifier: MPL-2.0
// What `skua-perf exec` asks of an executor: the same works for skua and for its peers. Each peer is a module of its
// own, loaded in the child process that measures it, because two OpenMP runtimes do not share a process.
#ifndef SKUA_PERF_EXEC_PEER_H
#define SKUA_PERF_EXEC_PEER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The sizes are the same for all, so that a figure stands beside its peers' without a conversion. */
enum {
    EXEC_FIB_N = 32,
    EXEC_QUEENS_N = 12,
    EXEC_QUEENS_SOLUTIONS = 14200,
    EXEC_FLAT_WIDTH = 1000,
    EXEC_FLAT_ROUNDS = 2000,
    EXEC_FOR_ITEMS = 4000000,
    EXEC_SORT_ITEMS = 10000000,
    EXEC_SORT_SERIAL_ITEMS = 2048, /* shorter runs are sorted and merged in one task */
    EXEC_MATMUL_N = 384,
    EXEC_MANDEL_SIDE = 512,
    EXEC_MANDEL_DEPTH = 512,
};

/* A tree of UTS, the Unbalanced Tree Search benchmark (Olivier et al., 2006): geometric, of fixed depth. */
typedef struct exec_tree {
    double branching;
    int depth;
    int sha1; /* 1: nodes are named by SHA-1, as UTS has it; 0: by a cheap hash, so that the executor shows */
    uint64_t nodes; /* that it has: the check of every run */
} exec_tree;

typedef struct exec_node {
    uint8_t name[20];
    int depth;
} exec_node;

/* ---- exec_works.c: the serial parts that all share ---- */
extern const exec_tree exec_tree_sha1, exec_tree_cheap;
void exec_tree_root(const exec_tree *tree, exec_node *ret_root);
int exec_tree_children(const exec_tree *tree, const exec_node *node);
void exec_tree_child(const exec_tree *tree, const exec_node *node, int i, exec_node *ret_child);
uint64_t exec_fib_calls(int n); /* how many spawns fib(n) makes */
/* Sorts items[0 .. count) through a serial merge sort, with scratch of the same size. */
void exec_sort_serial(int32_t *items, int32_t *scratch, uint64_t count);
/* Merges the sorted halves of items[0 .. count), which meet at `middle`, into items, through scratch. */
void exec_merge(int32_t *items, int32_t *scratch, uint64_t middle, uint64_t count);
void exec_matmul_rows(const float *a, const float *b, float *c, int first, int end);
uint64_t exec_mandel_rows(int first, int end); /* the sum of the depths of these rows */

/* What an executor may use for one submission, so that those that need not allocate do not. */
typedef struct exec_memory {
    void *words[16];
} exec_memory;

/* A graph of width * layers nodes: node i of a layer is behind nodes i and i + 1 (modulo width) of the one before. */
typedef struct exec_shape {
    const char *name;
    uint32_t width, layers;
} exec_shape;

/*
 * One executor. open() starts it with so many workers; each work runs the whole problem once and returns a value that
 * the caller checks. A NULL work is one that this executor does not offer.
 */
typedef struct exec_peer {
    const char *name;
    void *(*open)(int workers);
    void (*close)(void *peer);
    uint64_t (*fib)(void *peer, int n);
    uint64_t (*queens)(void *peer, int n);
    uint64_t (*uts)(void *peer, const exec_tree *tree);
    void (*flat)(void *peer, int width,
                 int rounds); /* rounds of width spawns, then as many syncs */
    double (*reduce)(void *peer, const double *items, uint64_t count);
    void (*sort)(void *peer, int32_t *items, int32_t *scratch, uint64_t count);
    void (*matmul)(void *peer, const float *a, const float *b, float *c);
    uint64_t (*mandel)(void *peer);
    /* From outside: submits fn(arg) and returns at once. memory is the caller's until fn has begun. */
    void (*submit)(void *peer, exec_memory *memory, void (*fn)(void *arg), void *arg);
    /* Builds a graph whose nodes add 1 to their count, layer by layer; runs it whole; frees it. */
    void *(*graph_new)(void *peer, const exec_shape *shape, uint32_t *counts);
    void (*graph_run)(void *peer, void *graph);
    void (*graph_free)(void *graph);
    int alone; /* 1: one thread and no workers, a serial twin or a floor: it stands at one worker only */
} exec_peer;

/* What a module exports under this name. */
typedef const exec_peer *exec_peer_get_fn(void);
#define EXEC_PEER_GET "exec_peer_get"

extern const exec_peer exec_peer_skua, exec_peer_serial;
/* exec_skua_lazy.c: trees whose nodes fork only where that is wanted */
extern const exec_peer exec_peer_skua_lazy;
/* exec_floor_fork.c: forks alone, without thieves: what each spawn and sync of anybody's costs at least */
extern const exec_peer exec_peer_floor_fork;
/* exec_floor.c: submits alone, as bare as it can be written by hand */
extern const exec_peer exec_peer_floor;
/* The same, but it shares its cores with other processes: fib alone. */
extern const exec_peer exec_peer_skua_lease;
/* The same, but it sorts by skua_parallel_sort(), with a comparison per call: sort alone. */
extern const exec_peer exec_peer_skua_sort;
/* The same by skua_parallel_sort_typed(), which has the comparison compiled in. */
extern const exec_peer exec_peer_skua_sort_typed;

#ifdef __cplusplus
}
#endif
#endif
