// SPDX-License-Identifier: MPL-2.0
// A hash table from short byte keys to pointers: open addressing, keys borrowed from what they lead to.
#ifndef SKUA_INT_HASH_H
#define SKUA_INT_HASH_H

#include <skua-int/mem.h>
#include <stddef.h>
#include <stdint.h>

typedef struct skua__hash_slot {
    const void *key; /* borrowed: it lies inside value, or lives as long */
    uint32_t key_size;
    uint32_t hash;
    void *value; /* NULL: the slot is free */
} skua__hash_slot;

typedef struct skua__hash {
    const skua_allocator *hook;
    skua__hash_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
} skua__hash;

void skua__hash_init(skua__hash *table, const skua_allocator *hook);
void skua__hash_fini(skua__hash *table); /* the values are the owner's */

void *skua__hash_get(const skua__hash *table, const void *key, size_t key_size);
/* Puts value (not NULL) under a key that is not there yet. Returns 0 or SKUA_E_NO_MEMORY. */
int skua__hash_put(skua__hash *table, const void *key, size_t key_size, void *value);
/* Takes the value out, or returns NULL. */
void *skua__hash_take(skua__hash *table, const void *key, size_t key_size);

/* Walks: start with *position 0; NULL at the end. Nothing may be put or taken during a walk. */
void *skua__hash_next(const skua__hash *table, size_t *position);

/* FNV-1a with a final mix (Fowler, Noll and Vo); not for keys that an enemy chooses without a bound. */
uint32_t skua__hash_bytes(const void *bytes, size_t size);

#endif
