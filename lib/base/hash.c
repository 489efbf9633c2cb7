// SPDX-License-Identifier: MPL-2.0
// The hash table: linear probing at a load of at most 3/4, deletion by shifting back, so that no
// tombstones gather however long a node lives.
#include <skua-int/hash.h>

#include <assert.h>
#include <skua/error.h>
#include <string.h>

enum { FIRST_CAPACITY = 16 };

uint32_t
skua__hash_bytes(const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ at[i]) * 16777619u;
    }
    hash ^= hash >> 16;
    hash *= 0x7feb352du;
    return hash ^ (hash >> 15);
}

void
skua__hash_init(skua__hash *table, const skua_allocator *hook) {
    *table = (skua__hash){.hook = hook};
}

void
skua__hash_fini(skua__hash *table) {
    table->slots = skua__mem_free(table->hook, table->slots);
    table->capacity = table->count = 0;
}

/* The slot that holds the key, or the free slot where it would go. The table has a free slot. */
static size_t
find_slot(const skua__hash *table, const void *key, size_t key_size, uint32_t hash) {
    size_t mask = table->capacity - 1;
    size_t at = hash & mask;
    while (table->slots[at].value) {
        const skua__hash_slot *slot = &table->slots[at];
        if (slot->hash == hash && slot->key_size == key_size &&
            memcmp(slot->key, key, key_size) == 0) {
            break;
        }
        at = (at + 1) & mask;
    }
    return at;
}

void *
skua__hash_get(const skua__hash *table, const void *key, size_t key_size) {
    if (table->count == 0) {
        return NULL;
    }
    return table->slots[find_slot(table, key, key_size, skua__hash_bytes(key, key_size))].value;
}

static int
grow(skua__hash *table) {
    skua__hash bigger = {.hook = table->hook,
                         .capacity = table->capacity ? table->capacity * 2 : FIRST_CAPACITY,
                         .count = table->count};
    bigger.slots = skua__mem_new_array(table->hook, bigger.capacity, sizeof *bigger.slots);
    if (!bigger.slots) {
        return SKUA_E_NO_MEMORY;
    }
    for (size_t i = 0; i < table->capacity; i++) {
        const skua__hash_slot *slot = &table->slots[i];
        if (slot->value) {
            bigger.slots[find_slot(&bigger, slot->key, slot->key_size, slot->hash)] = *slot;
        }
    }
    skua__mem_free(table->hook, table->slots);
    *table = bigger;
    return SKUA_OK;
}

int
skua__hash_put(skua__hash *table, const void *key, size_t key_size, void *value) {
    assert(value);
    assert(key_size <= UINT32_MAX);
    if ((table->count + 1) * 4 > table->capacity * 3) {
        int status = grow(table);
        if (status) {
            return status;
        }
    }
    uint32_t hash = skua__hash_bytes(key, key_size);
    size_t at = find_slot(table, key, key_size, hash);
    assert(!table->slots[at].value);
    table->slots[at] =
        (skua__hash_slot){.key = key, .key_size = (uint32_t)key_size, .hash = hash, .value = value};
    table->count++;
    return SKUA_OK;
}

void *
skua__hash_take(skua__hash *table, const void *key, size_t key_size) {
    if (table->count == 0) {
        return NULL;
    }
    size_t mask = table->capacity - 1;
    size_t hole = find_slot(table, key, key_size, skua__hash_bytes(key, key_size));
    void *value = table->slots[hole].value;
    if (!value) {
        return NULL;
    }
    /* Shift back every later slot of the run whose home lies at or before the hole. */
    for (size_t at = (hole + 1) & mask; table->slots[at].value; at = (at + 1) & mask) {
        size_t home = table->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole] = (skua__hash_slot){.value = NULL};
    table->count--;
    return value;
}

void *
skua__hash_next(const skua__hash *table, size_t *position) {
    while (*position < table->capacity) {
        void *value = table->slots[(*position)++].value;
        if (value) {
            return value;
        }
    }
    return NULL;
}
