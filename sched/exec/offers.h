// SPDX-License-Identifier: MPL-2.0
// What one worker offers to all: a ring that it adds to at the bottom, and takes the newest from there; anybody takes the
// oldest at the top. This is the deque of Chase and Lev ("Dynamic Circular Work-Stealing Deque", SPAA 2005), of a fixed
// size, so that adding never allocates. Each worker has three: the jobs that it submitted itself, its handful from the
// queue, of which it takes the oldest like everybody else, and the ready nodes of graphs.
//
// Ordering. An item is published by the store of bottom and read after the load of it (O1). Each is taken once: a take lowers
// bottom before it looks at top, a steal looks at top before bottom, all sequentially consistent (O2), so of two that
// reach for the last item at least one sees the other, and the swap of top decides. Both ends only grow but for that
// one step (64 bits), so the swap knows no ABA; a thief that read a cell which was filled anew meanwhile fails its
// swap, because a cell is filled anew only after its owner has seen top pass it (O2).
// Progress: adding is wait-free, and so is taking the newest; taking the oldest is lock-free.
#ifndef SKUA_EXEC_OFFERS_H
#define SKUA_EXEC_OFFERS_H

#include <skua-int/atomic.h>
#include <stdalign.h>
#include <stddef.h>

typedef struct skua__offers {
    alignas(64) skua__a64 top;    /* the oldest; everybody moves it up */
    alignas(64) skua__a64 bottom; /* behind the newest; only the owner moves it */
    uint64_t top_seen;            /* the owner's: top is there or beyond it */
    uint64_t mask;                /* the number of cells, a power of two, less 1 */
    skua__aptr *cells;
} skua__offers;

/* cells: borrowed, count of them, a power of two. */
static inline void
skua__offers_init(skua__offers *offers, skua__aptr *cells, uint64_t count) {
    skua__a64_store(&offers->top, 0, memory_order_relaxed);    /* relaxed: no thread yet */
    skua__a64_store(&offers->bottom, 0, memory_order_relaxed); /* relaxed: no thread yet */
    offers->top_seen = 0;
    offers->mask = count - 1;
    offers->cells = cells;
}

/* Where the owner's next item goes: what is to be left alone by a take that begins now. */
static inline uint64_t
skua__offers_base(const skua__offers *offers) {
    return skua__a64_load(&offers->bottom, memory_order_relaxed); /* relaxed: our own */
}

/* Adds as many of the items as fit, in their order. Returns how many. Threads: owner. */
static inline size_t
skua__offers_add(skua__offers *offers, void *const *items, size_t count) {
    uint64_t bottom = skua__a64_load(&offers->bottom, memory_order_relaxed); /* relaxed: ours */
    if (bottom + count - offers->top_seen > offers->mask + 1) {
        /* acquire O2: who took an item has read its cell; pairs with seq_cst O2 in skua__offers_steal() */
        offers->top_seen = skua__a64_load(&offers->top, memory_order_acquire);
        uint64_t room = offers->mask + 1 - (bottom - offers->top_seen);
        count = count < room ? count : room;
    }
    for (size_t i = 0; i < count; i++) {
        /* relaxed: published by O1 */
        skua__aptr_store(&offers->cells[(bottom + i) & offers->mask], items[i],
                         memory_order_relaxed);
    }
    /* release O1: the items; pairs with acquire O1 in skua__offers_steal() */
    /* seq_cst W1: published before the look at sleepers; pairs with seq_cst W1 in skua__offers_count() */
    skua__a64_store(&offers->bottom, bottom + count, memory_order_seq_cst);
    return count;
}

/* The newest item that was added at or above base, taken out, or NULL. Threads: owner. */
static inline void *
skua__offers_take(skua__offers *offers, uint64_t base) {
    uint64_t bottom = skua__a64_load(&offers->bottom, memory_order_relaxed); /* relaxed: ours */
    /* relaxed: top only grows, so what looks empty is. */
    if (bottom == base || skua__a64_load(&offers->top, memory_order_relaxed) == bottom) {
        return NULL;
    }
    uint64_t last = bottom - 1;
    /* seq_cst O2: lowered before the look at top; pairs with seq_cst O2 in skua__offers_steal() */
    skua__a64_store(&offers->bottom, last, memory_order_seq_cst);
    uint64_t top = skua__a64_load(&offers->top, memory_order_seq_cst); /* seq_cst O2: see above */
    offers->top_seen = top;
    /* relaxed: we wrote it */
    void *item = skua__aptr_load(&offers->cells[last & offers->mask], memory_order_relaxed);
    if (top < last) {
        return item;
    }
    bool ours = top == last && /* the last one: whoever moves top has it */
                skua__a64_cas(&offers->top, &top, top + 1,
                              memory_order_seq_cst); /* seq_cst O2: as in skua__offers_steal() */
    /* relaxed: the ring is empty, with bottom as with last; the next item is published by its own O1. */
    skua__a64_store(&offers->bottom, bottom, memory_order_relaxed);
    return ours ? item : NULL;
}

/* The oldest item, taken out, or NULL. Threads: any. */
static inline void *
skua__offers_steal(skua__offers *offers) {
    for (;;) {
        /* seq_cst O2: top before bottom; pairs with seq_cst O2 in skua__offers_take() */
        uint64_t top = skua__a64_load(&offers->top, memory_order_seq_cst);
        /* acquire O1: the items; pairs with release O1 in skua__offers_add() */
        /* seq_cst O2: after the load of top; as above */
        uint64_t bottom = skua__a64_load(&offers->bottom, memory_order_seq_cst);
        if ((int64_t)(bottom - top) <= 0) {
            return NULL;
        }
        /* relaxed: published by O1; when the swap fails it is not looked at. */
        void *item = skua__aptr_load(&offers->cells[top & offers->mask], memory_order_relaxed);
        /* seq_cst O2: read before it is given up; pairs with acquire O2 in skua__offers_add() */
        if (skua__a64_cas(&offers->top, &top, top + 1, memory_order_seq_cst)) {
            return item;
        }
    }
}

/* How many items lie there, about. */
static inline uint64_t
skua__offers_count(const skua__offers *offers) {
    uint64_t top = skua__a64_load(&offers->top, memory_order_seq_cst); /* seq_cst W1: see below */
    /* seq_cst W1: a sleeper looks after it was counted; pairs with seq_cst W1 in skua__offers_add() */
    uint64_t bottom = skua__a64_load(&offers->bottom, memory_order_seq_cst);
    return (int64_t)(bottom - top) > 0 ? bottom - top : 0;
}

static inline bool
skua__offers_any(const skua__offers *offers) {
    return skua__offers_count(offers) > 0;
}

#endif
