// SPDX-License-Identifier: MPL-2.0
// The trees of the executor's works once more on skua, with skua_fork_wanted(): each node asks whether its calls are to be forked,
// and makes them directly where nobody would take them.
#include "exec_skua.h"

enum { ROWS_MAX = 16 };

/* ---- nqueens ---- */

typedef struct queens_call {
    uint32_t all, columns, left, right; /* the bits of a row; those that are taken */
    uint32_t bit;                       /* the next queen's */
    uint64_t solutions;
} queens_call;

static uint64_t fork_queens(skua_worker w, uint32_t all, uint32_t columns, uint32_t left,
                            uint32_t right);

static inline uint64_t
queens(skua_worker w, uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
    if (columns == all) {
        return 1;
    }
    if (skua_fork_wanted(w)) {
        return fork_queens(w, all, columns, left, right);
    }
    uint64_t solutions = 0;
    for (uint32_t open = all & ~(columns | left | right); open; open &= open - 1) {
        uint32_t bit = open & -open;
        solutions += queens(w, all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
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
fork_queens(skua_worker w, uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
    uint32_t tried[ROWS_MAX];
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

static uint64_t
run_queens(void *peer, int n) {
    queens_call empty = {.all = (1u << n) - 1};
    exec_skua_enter(peer, queens_task, &empty);
    return empty.solutions;
}

/* ---- UTS ---- */

/* A child by its parent and number: nothing is written down of it before it is walked. */
typedef struct walk_call {
    const exec_tree *tree;
    const exec_node *parent;
    int child;
    uint64_t nodes;
} walk_call;

static uint64_t walk_below(skua_worker w, const exec_tree *tree, const exec_node *node,
                           int children);
static uint64_t fork_below(skua_worker w, const exec_tree *tree, const exec_node *node,
                           int children);

static inline uint64_t
walk(skua_worker w, const exec_tree *tree, const exec_node *node) {
    int children = exec_tree_children(tree, node);
    return children > 0 ? walk_below(w, tree, node, children) : 1;
}

static inline uint64_t
walk_child(skua_worker w, const exec_tree *tree, const exec_node *parent, int child) {
    exec_node node;
    exec_tree_child(tree, parent, child, &node);
    return walk(w, tree, &node);
}

static uint64_t
walk_below(skua_worker w, const exec_tree *tree, const exec_node *node, int children) {
    if (skua_fork_wanted(w)) {
        return fork_below(w, tree, node, children);
    }
    uint64_t nodes = 1;
    for (int i = 0; i < children; i++) {
        nodes += walk_child(w, tree, node, i);
    }
    return nodes;
}

static void
walk_task(skua_worker w, void *frame) {
    walk_call *call = frame;
    call->nodes = walk_child(w, call->tree, call->parent, call->child);
}

static uint64_t
fork_below(skua_worker w, const exec_tree *tree, const exec_node *node, int children) {
    for (int i = 0; i < children; i++) {
        walk_call *call = SKUA_FRAME(w, walk_call);
        *call = (walk_call){.tree = tree, .parent = node, .child = i};
        skua_spawn(&w, walk_task, call);
    }
    uint64_t nodes = 1;
    for (int i = children; i-- > 0;) {
        nodes +=
            skua_take_back(&w) ? walk_child(w, tree, node, i) : SKUA_FRAME(w, walk_call)->nodes;
    }
    return nodes;
}

typedef struct root_call {
    const exec_tree *tree;
    uint64_t nodes;
} root_call;

static void
root_task(skua_worker w, void *frame) {
    root_call *call = frame;
    exec_node root;
    exec_tree_root(call->tree, &root);
    call->nodes = walk(w, call->tree, &root);
}

static uint64_t
run_uts(void *peer, const exec_tree *tree) {
    root_call call = {.tree = tree};
    exec_skua_enter(peer, root_task, &call);
    return call.nodes;
}

const exec_peer exec_peer_skua_lazy = {.name = "skua-lazy",
                                       .open = exec_skua_open,
                                       .close = exec_skua_close,
                                       .queens = run_queens,
                                       .uts = run_uts};
