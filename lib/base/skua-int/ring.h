// SPDX-License-Identifier: MPL-2.0
// A queue of pointers in a ring that grows by doubling up to a limit: first in, first out, one owner at a time.
#ifndef SKUA_INT_RING_H
#define SKUA_INT_RING_H

#include <skua-int/mem.h>
#include <stddef.h>

typedef struct skua__ring {
    const skua_allocator *hook;
    void **slots;
    size_t capacity; /* 0 or a power of two */
    size_t head;     /* the slot of the oldest item */
    size_t count;
    size_t limit; /* the most items it may hold */
} skua__ring;

void skua__ring_init(skua__ring *ring, const skua_allocator *hook, size_t limit);
void skua__ring_fini(skua__ring *ring); /* the items are the owner's */

/* Returns 0; SKUA_E_AGAIN at the limit; SKUA_E_NO_MEMORY. On failure nothing has changed. */
int skua__ring_push(skua__ring *ring, void *item);
/* The same at the front: what was taken out and could not be handed on goes back first in line. */
int skua__ring_push_front(skua__ring *ring, void *item);
/* The oldest item, taken out, or NULL. */
void *skua__ring_pop(skua__ring *ring);
/* The i-th oldest item, left in, or NULL. */
void *skua__ring_at(const skua__ring *ring, size_t i);

#endif
