// SPDX-License-Identifier: MPL-2.0
// The deque of a worker's ready graph nodes: the owner pushes and takes at the bottom, thieves take at the top, one at a
// time (Chase and Lev, "Dynamic Circular Work-Stealing Deque", SPAA 2005; here of fixed size).
//
// Ordering (Q1). All accesses to bottom and top are sequentially consistent: a take lowers bottom before it looks at top,
// a steal looks at top before bottom, so of two that want the last node both see the race, and the swap of top decides it.
// Both indices only grow (64 bits), so the swap knows no ABA; a thief that read a slot which was filled anew in between
// fails its swap, because a slot is filled anew only after top has passed it. Progress: push and take are wait-free, a
// steal is lock-free.
#ifndef SKUA_EXEC_NODES_H
#define SKUA_EXEC_NODES_H

#include "engine.h"

static inline void
skua__nodes_init(skua__stack *stack) {
    stack->nodes_top_seen = 0;
    skua__a64_store(&stack->nodes_top, 0, memory_order_relaxed);    /* relaxed: no thread yet */
    skua__a64_store(&stack->nodes_bottom, 0, memory_order_relaxed); /* relaxed: no thread yet */
}

/* Where the owner's next node goes: what a nested run must not take below. */
static inline uint64_t
skua__nodes_base(const skua__stack *stack) {
    return skua__a64_load(&stack->nodes_bottom, memory_order_relaxed); /* relaxed: our own */
}

/* Returns false when it is full. Threads: owner. */
static inline bool
skua__nodes_push(skua__stack *stack, void *node) {
    uint64_t bottom = skua__a64_load(&stack->nodes_bottom, memory_order_relaxed); /* relaxed: own */
    if (bottom - stack->nodes_top_seen >= EXEC_NODES_MAX) {
        /* seq_cst Q1: what thieves took is free; pairs with seq_cst Q1 in skua__nodes_steal() */
        stack->nodes_top_seen = skua__a64_load(&stack->nodes_top, memory_order_seq_cst);
        if (bottom - stack->nodes_top_seen >= EXEC_NODES_MAX) {
            return false;
        }
    }
    /* relaxed: published by the store below. */
    skua__aptr_store(&stack->nodes[bottom % EXEC_NODES_MAX], node, memory_order_relaxed);
    /* seq_cst Q1: publishes the node; pairs with seq_cst Q1 in skua__nodes_steal() */
    /* seq_cst W1: before the look at sleepers; pairs with seq_cst W1 in skua__nodes_any() */
    skua__a64_store(&stack->nodes_bottom, bottom + 1, memory_order_seq_cst);
    return true;
}

/* The newest node that was pushed at or above base, or NULL. Threads: owner. */
static inline void *
skua__nodes_take(skua__stack *stack, uint64_t base) {
    uint64_t bottom = skua__a64_load(&stack->nodes_bottom, memory_order_relaxed); /* relaxed: own */
    if (bottom == base) {
        return NULL;
    }
    uint64_t last = bottom - 1;
    /* seq_cst Q1: lowered before the look at top; pairs with seq_cst Q1 in skua__nodes_steal() */
    skua__a64_store(&stack->nodes_bottom, last, memory_order_seq_cst);
    /* seq_cst Q1: see above */
    uint64_t top = skua__a64_load(&stack->nodes_top, memory_order_seq_cst);
    stack->nodes_top_seen = top;
    /* relaxed: we wrote it. */
    void *node = skua__aptr_load(&stack->nodes[last % EXEC_NODES_MAX], memory_order_relaxed);
    if (top < last) {
        return node;
    }
    bool ours = top == last && /* the last one: whoever moves top has it */
                skua__a64_cas(&stack->nodes_top, &top, top + 1,
                              memory_order_seq_cst); /* seq_cst Q1: as in skua__nodes_steal() */
    stack->nodes_top_seen = bottom;
    /* relaxed: the deque is empty, with bottom as with last. */
    skua__a64_store(&stack->nodes_bottom, bottom, memory_order_relaxed);
    return ours ? node : NULL;
}

/* The oldest node, or NULL when there is none or another one was faster. Threads: any worker. */
static inline void *
skua__nodes_steal(skua__stack *stack) {
    /* seq_cst Q1: top before bottom; pairs with seq_cst Q1 in skua__nodes_take() */
    uint64_t top = skua__a64_load(&stack->nodes_top, memory_order_seq_cst);
    /* seq_cst Q1: and what was pushed; pairs with seq_cst Q1 in skua__nodes_push() */
    uint64_t bottom = skua__a64_load(&stack->nodes_bottom, memory_order_seq_cst);
    if ((int64_t)(bottom - top) <= 0) {
        return NULL;
    }
    /* relaxed: acquired with bottom; if the slot was filled anew, the swap fails. */
    void *node = skua__aptr_load(&stack->nodes[top % EXEC_NODES_MAX], memory_order_relaxed);
    /* seq_cst Q1: decides between thieves and the owner; pairs with seq_cst Q1 in skua__nodes_take() */
    return skua__a64_cas(&stack->nodes_top, &top, top + 1, memory_order_seq_cst) ? node : NULL;
}

static inline bool
skua__nodes_any(const skua__stack *stack) {
    /* seq_cst W1: a sleeper looks after it was counted; pairs with seq_cst W1 in skua__nodes_push() */
    uint64_t top = skua__a64_load(&stack->nodes_top, memory_order_seq_cst);
    /* seq_cst W1: see above */
    return (int64_t)(skua__a64_load(&stack->nodes_bottom, memory_order_seq_cst) - top) > 0;
}

#endif
