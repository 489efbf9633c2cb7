// SPDX-License-Identifier: MPL-2.0
// The table of requests: slots named by their ids, and a binary heap of deadlines (Williams, 1964).
#include "ask_table.h"

#include <skua-int/clock.h>

#include <assert.h>
#include <stdint.h>

enum { SLOT_MASK = (1u << SKUA__ASK_SLOT_BITS) - 1, FIRST_CAPACITY = 16 };

void
skua__ask_table_init(skua__ask_table *table, const skua_allocator *hook, uint32_t limit) {
    assert(limit && limit <= SLOT_MASK + 1u);
    *table = (skua__ask_table){.hook = hook, .limit = limit};
    skua__list_init(&table->spare);
}

void
skua__ask_table_fini(skua__ask_table *table) {
    assert(!table->count);
    skua__list *node;
    while ((node = skua__list_pop_front(&table->spare))) {
        skua__mem_free(table->hook, SKUA_CONTAINER_OF(node, skua__ask, node));
    }
    table->slots = skua__mem_free(table->hook, table->slots);
    table->free_slots = skua__mem_free(table->hook, table->free_slots);
    table->heap = skua__mem_free(table->hook, table->heap);
}

static bool
resize(const skua_allocator *hook, void *array, size_t count, size_t size) {
    void **at = array;
    void *block = skua__mem_resize(hook, *at, count * size);
    if (block) {
        *at = block;
    }
    return block;
}

static skua_status
grow(skua__ask_table *table) {
    uint32_t capacity = table->capacity ? table->capacity * 2 : FIRST_CAPACITY;
    capacity = capacity > table->limit ? table->limit : capacity;
    if (!resize(table->hook, &table->slots, capacity, sizeof *table->slots) ||
        !resize(table->hook, &table->free_slots, capacity, sizeof *table->free_slots) ||
        !resize(table->hook, &table->heap, capacity, sizeof *table->heap)) {
        return SKUA_E_NO_MEMORY;
    }
    for (uint32_t slot = capacity; slot > table->capacity; slot--) {
        table->slots[slot - 1] = NULL;
        table->free_slots[table->free_count++] = slot - 1;
    }
    table->capacity = capacity;
    return SKUA_OK;
}

skua_status
skua__ask_table_add(skua__ask_table *table, skua__ask **ret_ask) {
    if (table->count == table->limit) {
        return SKUA_E_AGAIN;
    }
    if (!table->free_count && grow(table) != SKUA_OK) {
        return SKUA_E_NO_MEMORY;
    }
    skua__list *spare = skua__list_pop_front(&table->spare);
    skua__ask *ask;
    if (spare) {
        ask = SKUA_CONTAINER_OF(spare, skua__ask, node);
        table->spare_count--;
    } else {
        ask = skua__mem_new(table->hook, sizeof *ask);
        if (!ask) {
            return SKUA_E_NO_MEMORY;
        }
    }
    uint32_t slot = table->free_slots[--table->free_count];
    *ask = (skua__ask){.due_ns = SKUA_NEVER_NS, .heap_at = SIZE_MAX};
    skua__list_init(&ask->node);
    ask->fsm.id = ++table->serial << SKUA__ASK_SLOT_BITS | slot;
    table->slots[slot] = ask;
    table->count++;
    *ret_ask = ask;
    return SKUA_OK;
}

skua__ask *
skua__ask_table_find(const skua__ask_table *table, uint64_t id) {
    uint32_t slot = (uint32_t)(id & SLOT_MASK);
    skua__ask *ask = slot < table->capacity ? table->slots[slot] : NULL;
    return ask && ask->fsm.id == id ? ask : NULL;
}

skua__ask *
skua__ask_table_next(const skua__ask_table *table, uint32_t *position) {
    while (*position < table->capacity) {
        skua__ask *ask = table->slots[(*position)++];
        if (ask) {
            return ask;
        }
    }
    return NULL;
}

void
skua__ask_table_remove(skua__ask_table *table, skua__ask *ask) {
    skua__ask_table_due(table, ask, SKUA_NEVER_NS);
    skua__list_remove(&ask->node);
    ask->msg = skua_msg_free(ask->msg);
    ask->reply = skua_msg_free(ask->reply);
    uint32_t slot = (uint32_t)(ask->fsm.id & SLOT_MASK);
    assert(table->slots[slot] == ask);
    table->slots[slot] = NULL;
    table->free_slots[table->free_count++] = slot;
    table->count--;
    if (table->spare_count < SKUA__ASK_SPARE_MAX) {
        skua__list_push_front(&table->spare, &ask->node);
        table->spare_count++;
    } else {
        skua__mem_free(table->hook, ask);
    }
}

/* ---- The heap ---- */

static void
place(skua__ask_table *table, skua__ask *ask, size_t at) {
    table->heap[at] = ask;
    ask->heap_at = at;
}

static size_t
sift_up(skua__ask_table *table, skua__ask *ask, size_t at) {
    while (at) {
        size_t parent = (at - 1) / 2;
        if (table->heap[parent]->due_ns <= ask->due_ns) {
            break;
        }
        place(table, table->heap[parent], at);
        at = parent;
    }
    return at;
}

static size_t
sift_down(skua__ask_table *table, skua__ask *ask, size_t at) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= table->heap_count) {
            return at;
        }
        if (child + 1 < table->heap_count &&
            table->heap[child + 1]->due_ns < table->heap[child]->due_ns) {
            child++;
        }
        if (ask->due_ns <= table->heap[child]->due_ns) {
            return at;
        }
        place(table, table->heap[child], at);
        at = child;
    }
}

static void
settle(skua__ask_table *table, skua__ask *ask, size_t at) {
    size_t up = sift_up(table, ask, at);
    place(table, ask, up == at ? sift_down(table, ask, at) : up);
}

void
skua__ask_table_due(skua__ask_table *table, skua__ask *ask, int64_t due_ns) {
    ask->due_ns = due_ns;
    if (due_ns != SKUA_NEVER_NS) {
        settle(table, ask, ask->heap_at == SIZE_MAX ? table->heap_count++ : ask->heap_at);
    } else if (ask->heap_at != SIZE_MAX) {
        size_t at = ask->heap_at;
        ask->heap_at = SIZE_MAX;
        skua__ask *last = table->heap[--table->heap_count];
        if (last != ask) {
            settle(table, last, at);
        }
    }
}

skua__ask *
skua__ask_table_first(const skua__ask_table *table) {
    return table->heap_count ? table->heap[0] : NULL;
}
