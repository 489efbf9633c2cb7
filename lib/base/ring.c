// SPDX-License-Identifier: MPL-2.0
// The ring: positions wrap by a mask; growing lays the items out from slot 0 again.
#include <skua-int/ring.h>

#include <skua/error.h>

enum { FIRST_CAPACITY = 8 };

void
skua__ring_init(skua__ring *ring, const skua_allocator *hook, size_t limit) {
    *ring = (skua__ring){.hook = hook, .limit = limit};
}

void
skua__ring_fini(skua__ring *ring) {
    ring->slots = skua__mem_free(ring->hook, ring->slots);
    ring->capacity = ring->count = ring->head = 0;
}

/* Makes sure that one more item fits. */
static int
make_room(skua__ring *ring) {
    if (ring->count >= ring->limit) {
        return SKUA_E_AGAIN;
    }
    if (ring->count < ring->capacity) {
        return SKUA_OK;
    }
    size_t capacity = ring->capacity ? ring->capacity * 2 : FIRST_CAPACITY;
    void **slots = skua__mem_new_array(ring->hook, capacity, sizeof *slots);
    if (!slots) {
        return SKUA_E_NO_MEMORY;
    }
    for (size_t i = 0; i < ring->count; i++) {
        slots[i] = skua__ring_at(ring, i);
    }
    skua__mem_free(ring->hook, ring->slots);
    ring->slots = slots;
    ring->capacity = capacity;
    ring->head = 0;
    return SKUA_OK;
}

int
skua__ring_push(skua__ring *ring, void *item) {
    int status = make_room(ring);
    if (status == SKUA_OK) {
        ring->slots[(ring->head + ring->count) & (ring->capacity - 1)] = item;
        ring->count++;
    }
    return status;
}

int
skua__ring_push_front(skua__ring *ring, void *item) {
    int status = make_room(ring);
    if (status == SKUA_OK) {
        ring->head = (ring->head - 1) & (ring->capacity - 1);
        ring->slots[ring->head] = item;
        ring->count++;
    }
    return status;
}

void *
skua__ring_pop(skua__ring *ring) {
    if (ring->count == 0) {
        return NULL;
    }
    void *item = ring->slots[ring->head];
    ring->head = (ring->head + 1) & (ring->capacity - 1);
    ring->count--;
    return item;
}

void *
skua__ring_at(const skua__ring *ring, size_t i) {
    return i < ring->count ? ring->slots[(ring->head + i) & (ring->capacity - 1)] : NULL;
}
