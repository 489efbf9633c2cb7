// SPDX-License-Identifier: MPL-2.0
// The floor of forking: what a spawn and a sync cost in any work-stealing executor whose forks may be stolen: the function
// and the arguments go into a slot, two words are looked at that another core could have changed, and the caller runs the
// call itself. There are no thieves and no slow paths behind it. The works are written as skua's are.
#include "exec_peer.h"

#include <stdlib.h>

enum {
    FLOOR_SLOTS = 4096,
    FLOOR_CHILDREN_MAX = 100,
    FLOOR_ROWS_MAX = 16,
};

typedef struct floor_slot {
    void (*fn)(void *frame);
    uint64_t words[7];
} floor_slot;

/* What others could write: a spawn at or above the first, or a sync under the second, would have to look further. */
typedef struct floor_pool {
    floor_slot *spawn_below, *sync_from;
    _Alignas(64) floor_slot slots[FLOOR_SLOTS];
} floor_pool;

typedef struct floor_worker {
    floor_slot *top;
    floor_pool *pool;
} floor_worker;

static inline void
spawn(floor_worker *w, void (*fn)(void *frame)) {
    floor_slot *slot = w->top++;
    slot->fn = fn;
    if (__builtin_expect(slot >= __atomic_load_n(&w->pool->spawn_below, __ATOMIC_RELAXED), 0)) {
        abort();
    }
}

static inline void
take_back(floor_worker *w) {
    floor_slot *slot = --w->top;
    if (__builtin_expect(slot < __atomic_load_n(&w->pool->sync_from, __ATOMIC_RELAXED), 0)) {
        abort();
    }
}

static void
never_stolen(void *frame) {
    (void)frame;
    abort();
}

static inline uint64_t
fib(floor_worker w, int n) {
    if (n < 2) {
        return (uint64_t)n;
    }
    w.top->words[0] = (uint64_t)n - 2;
    spawn(&w, never_stolen);
    uint64_t left = fib(w, n - 1);
    take_back(&w);
    return left + fib(w, n - 2);
}

static inline uint64_t
queens(floor_worker w, uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
    if (columns == all) {
        return 1;
    }
    uint32_t tried[FLOOR_ROWS_MAX];
    int count = 0;
    for (uint32_t open = all & ~(columns | left | right); open; open &= open - 1) {
        uint32_t bit = tried[count++] = open & -open;
        w.top->words[0] = (uint64_t)all << 32 | columns;
        w.top->words[1] = (uint64_t)left << 32 | right;
        w.top->words[2] = bit;
        spawn(&w, never_stolen);
    }
    uint64_t solutions = 0;
    while (count-- > 0) {
        uint32_t bit = tried[count];
        take_back(&w);
        solutions += queens(w, all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return solutions;
}

static uint64_t walk_below(floor_worker w, const exec_tree *tree, const exec_node *node,
                           int children);

static inline uint64_t
walk(floor_worker w, const exec_tree *tree, const exec_node *node) {
    int children = exec_tree_children(tree, node);
    return children > 0 ? walk_below(w, tree, node, children) : 1;
}

static uint64_t
walk_below(floor_worker w, const exec_tree *tree, const exec_node *node, int children) {
    exec_node below[FLOOR_CHILDREN_MAX];
    for (int i = 0; i < children; i++) {
        exec_tree_child(tree, node, i, &below[i]);
        w.top->words[0] = (uint64_t)(uintptr_t)tree;
        w.top->words[1] = (uint64_t)(uintptr_t)&below[i];
        spawn(&w, never_stolen);
    }
    uint64_t nodes = 1;
    while (children-- > 0) {
        take_back(&w);
        nodes += walk(w, tree, &below[children]);
    }
    return nodes;
}

static void *
floor_open(int workers) {
    (void)workers;
    floor_pool *pool = aligned_alloc(64, sizeof *pool);
    if (!pool) {
        abort();
    }
    pool->spawn_below = pool->slots + FLOOR_SLOTS;
    pool->sync_from = pool->slots;
    return pool;
}

static void
floor_close(void *peer) {
    free(peer);
}

static floor_worker
worker_of(void *peer) {
    floor_pool *pool = peer;
    return (floor_worker){.top = pool->slots, .pool = pool};
}

static uint64_t
floor_fib(void *peer, int n) {
    return fib(worker_of(peer), n);
}

static uint64_t
floor_queens(void *peer, int n) {
    return queens(worker_of(peer), (1u << n) - 1, 0, 0, 0);
}

static uint64_t
floor_uts(void *peer, const exec_tree *tree) {
    exec_node root;
    exec_tree_root(tree, &root);
    return walk(worker_of(peer), tree, &root);
}

const exec_peer exec_peer_floor_fork = {.name = "floor",
                                        .open = floor_open,
                                        .close = floor_close,
                                        .fib = floor_fib,
                                        .queens = floor_queens,
                                        .uts = floor_uts,
                                        .alone = 1};
