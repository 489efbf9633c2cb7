// SPDX-License-Identifier: MPL-2.0
// C11's memory, run step by step. Each atomic keeps its last stores; a load may return any of them that the thread has
// not been told is over (in weak mode), and an order passes on what a thread was told. Plain accesses must be ordered by
// what was passed on, else they race. Stores are ordered as they were made, so what needs a store to be late (not a
// load to be old) is not explored: load buffering, and two stores that two threads see in opposite order.
//
// Sequentially consistent loads see at least what the last sequentially consistent access of that atomic saw. A plain
// store ends a release sequence, also one of the same thread, as in C++20: the stricter rule.
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HISTORY = 4,        /* stores of an atomic that can still be read */
    TABLE_SIZE = 4096,  /* of places for LOCATIONS_MAX locations */
    CELL_ACCESSES = 4,  /* remembered for each eight bytes */
    GRANULE_BYTES = 64, /* of what is released together */
    BLOCK_HEAD_BYTES = 64,
    OLD_ONE_IN = 3, /* loads that are given the choice of an old value */
};

typedef struct store {
    uint64_t value;
    bool has_message;
    view message; /* what who acquires it is told */
} store;

typedef struct location {
    uintptr_t address;
    uint32_t size;
    uint16_t newest;  /* index of the last store; those under newest - HISTORY are forgotten */
    uint16_t sc_seen; /* the last one that a seq_cst access made or saw */
    store history[HISTORY];
} location;

/* One access to some of the eight bytes of a cell. */
typedef struct access {
    uint32_t schedule; /* 0: none */
    uint32_t clock;
    uint8_t bytes; /* a bit for each */
    uint8_t fibre;
    bool is_write;
    bool is_atomic;
    const void *pc;
} access;

typedef struct cell {
    access accesses[CELL_ACCESSES];
} cell;

static struct {
    char *region; /* the stacks, then the arena */
    cell *cells;  /* one for eight bytes of it */
    uint8_t *released;
    size_t used, used_before;
    uint32_t blocks;
    uint32_t schedule;
    location *locations;
    uint32_t location_count;
    uint16_t table[TABLE_SIZE]; /* 1 + the location */
    view sc_fence;
} memory;

enum { STACKS_BYTES = FIBRES_MAX * FIBRE_STACK_BYTES, REGION_BYTES = STACKS_BYTES + ARENA_BYTES };

static void *
map(size_t bytes) {
    void *found = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (found == MAP_FAILED) {
        perror("explore: mmap");
        exit(2);
    }
    return found;
}

void
explore__memory_setup(void) {
    memory.region = map(REGION_BYTES);
    memory.cells = map(REGION_BYTES / 8 * sizeof(cell));
    memory.released = map(ARENA_BYTES / GRANULE_BYTES);
    memory.locations = map(LOCATIONS_MAX * sizeof(location));
}

void
explore__memory_reset(void) {
    memory.schedule++;
    memset(memory.released, 0, memory.used / GRANULE_BYTES + 1);
    memset(memory.table, 0, sizeof memory.table);
    memory.used = 0;
    memory.blocks = 0;
    memory.location_count = 0;
    memory.sc_fence.count = 0;
    memset(memory.sc_fence.clock, 0, sizeof memory.sc_fence.clock);
}

void *
explore__stack_of(int fibre) {
    return memory.region + (size_t)fibre * FIBRE_STACK_BYTES;
}

uint32_t
explore__blocks_left(void) {
    return memory.blocks;
}

void
explore__describe(const volatile void *address, char *ret_text, size_t size) {
    uintptr_t offset = (uintptr_t)address - (uintptr_t)memory.region;
    if (offset < STACKS_BYTES) {
        snprintf(ret_text, size, "stack of %u + 0x%x", (unsigned)(offset / FIBRE_STACK_BYTES),
                 (unsigned)(offset % FIBRE_STACK_BYTES));
    } else if (offset < REGION_BYTES) {
        snprintf(ret_text, size, "heap + 0x%x", (unsigned)(offset - STACKS_BYTES));
    } else {
        snprintf(ret_text, size, "%p", (void *)(uintptr_t)address);
    }
}

/* ---- The arena ---- */

static void *
take_block(size_t bytes) {
    size_t rounded = (bytes + BLOCK_HEAD_BYTES + GRANULE_BYTES - 1) / GRANULE_BYTES * GRANULE_BYTES;
    if (rounded > ARENA_BYTES - memory.used) {
        explore__fail("the arena of %d bytes is full", ARENA_BYTES);
    }
    char *head = memory.region + STACKS_BYTES + memory.used;
    memory.used += rounded;
    memcpy(head, &bytes, sizeof bytes);
    return head + BLOCK_HEAD_BYTES;
}

void *
explore_new(size_t size_bytes) {
    return memset(take_block(size_bytes), 0, size_bytes);
}

static void *
allocate(void *ctx, size_t size_bytes) {
    (void)ctx;
    memory.blocks++;
    return take_block(size_bytes);
}

static void
release(void *ctx, void *block) {
    (void)ctx;
    if (!block) {
        return;
    }
    size_t bytes;
    char *head = (char *)block - BLOCK_HEAD_BYTES;
    memcpy(&bytes, head, sizeof bytes);
    size_t at = (size_t)(head - memory.region - STACKS_BYTES) / GRANULE_BYTES;
    explore_check(!memory.released[at], "memory is released twice");
    /* Whoever used it last must be known to be done with it. */
    explore__plain(block, bytes < GRANULE_BYTES ? bytes : GRANULE_BYTES, true,
                   __builtin_return_address(0));
    memset(memory.released + at, 1, (bytes + BLOCK_HEAD_BYTES + GRANULE_BYTES - 1) / GRANULE_BYTES);
    memory.blocks--;
}

static void *
resize(void *ctx, void *block, size_t size_bytes) {
    void *moved = allocate(ctx, size_bytes);
    if (block) {
        size_t bytes;
        memcpy(&bytes, (char *)block - BLOCK_HEAD_BYTES, sizeof bytes);
        memcpy(moved, block, bytes < size_bytes ? bytes : size_bytes);
        release(ctx, block);
    }
    return moved;
}

const skua_allocator *
explore_allocator(void) {
    static const skua_allocator arena = {
        .version = SKUA_ALLOCATOR_VERSION,
        .allocate = allocate,
        .resize = resize,
        .release = release,
    };
    return &arena;
}

/* ---- What threads know ---- */

void
explore__join_view(view *into, const view *from) {
    for (int i = 0; i < FIBRES_MAX; i++) {
        into->clock[i] = into->clock[i] > from->clock[i] ? into->clock[i] : from->clock[i];
    }
    if (into->count < from->count) {
        memset(into->seen + into->count, 0, (from->count - into->count) * sizeof *into->seen);
        into->count = from->count;
    }
    for (uint32_t i = 0; i < from->count; i++) {
        into->seen[i] = into->seen[i] > from->seen[i] ? into->seen[i] : from->seen[i];
    }
}

static void
copy_view(view *into, const view *from) {
    memcpy(into, from, offsetof(view, seen) + from->count * sizeof *from->seen);
}

void
explore__tick(int fibre) {
    explore__view(fibre)->clock[fibre]++;
}

static uint16_t
seen_of(const view *v, uint32_t id) {
    return id < v->count ? v->seen[id] : 0;
}

static void
see(view *v, uint32_t id, uint16_t index) {
    if (id >= v->count) {
        memset(v->seen + v->count, 0, (id + 1 - v->count) * sizeof *v->seen);
        v->count = id + 1;
    }
    v->seen[id] = v->seen[id] > index ? v->seen[id] : index;
}

/* ---- Races ---- */

void
explore__touch(const volatile void *address, const void *pc) {
    uintptr_t offset = (uintptr_t)address - (uintptr_t)memory.region - STACKS_BYTES;
    if (offset < ARENA_BYTES && memory.released[offset / GRANULE_BYTES]) {
        explore__record(EVENT_STORE, address, 0, 0, 0, pc);
        explore__fail("memory is used after it was released");
    }
}

static bool
conflicts(const access *old, const access *new) {
    return old->schedule == new->schedule && old->fibre != new->fibre &&
           (old->bytes & new->bytes) && (old->is_write || new->is_write) &&
           !(old->is_atomic && new->is_atomic) &&
           old->clock > explore__view(new->fibre)->clock[old->fibre];
}

/* Checks an access against those before it, and keeps it. Returns whether an atomic lay here. */
static bool
check_cell(cell *c, const access *new) {
    bool had_atomic = false;
    access *place = NULL;
    for (uint32_t i = 0; i < CELL_ACCESSES; i++) {
        access *old = &c->accesses[i];
        if (conflicts(old, new)) {
            explore__record(old->is_write ? EVENT_STORE : EVENT_LOAD, NULL, 0, 0, -1, old->pc);
            explore__record(new->is_write ? EVENT_STORE : EVENT_LOAD, NULL, 0, 0, -1, new->pc);
            explore__fail("data race: thread %d %s what thread %d %s (the two last events)",
                          new->fibre, new->is_write ? "writes" : "reads", old->fibre,
                          old->is_write ? "wrote" : "read");
        }
        bool fresh = old->schedule == new->schedule;
        had_atomic = had_atomic || (fresh && old->is_atomic);
        if (!fresh || (old->fibre == new->fibre && old->is_atomic == new->is_atomic &&
                       old->is_write <= new->is_write && !(old->bytes & ~new->bytes))) {
            place = place && place->schedule == new->schedule ? place : old;
        }
    }
    if (!place) {
        place = &c->accesses[explore__memory_below(CELL_ACCESSES)];
    }
    *place = *new;
    return had_atomic;
}

static bool
check_range(const volatile void *address, size_t size, access *new) {
    uintptr_t at = (uintptr_t)address - (uintptr_t)memory.region;
    bool had_atomic = false;
    if (at >= REGION_BYTES) {
        return false;
    }
    for (uintptr_t end = at + size; at < end;) {
        uintptr_t in_cell = at % 8, bytes = 8 - in_cell < end - at ? 8 - in_cell : end - at;
        new->bytes = (uint8_t)(((1u << bytes) - 1) << in_cell);
        had_atomic = check_cell(&memory.cells[at / 8], new) || had_atomic;
        at += bytes;
    }
    return had_atomic;
}

static access
access_of(bool is_write, bool is_atomic, const void *pc) {
    int self = explore__self();
    return (access){.schedule = memory.schedule,
                    .clock = explore__view(self)->clock[self],
                    .fibre = (uint8_t)self,
                    .is_write = is_write,
                    .is_atomic = is_atomic,
                    .pc = pc};
}

/* ---- Locations ---- */

static uint64_t
read_memory(const volatile void *object, uint32_t size) {
    switch (size) {
    case 1:
        return *(const volatile uint8_t *)object;
    case 2:
        return *(const volatile uint16_t *)object;
    case 4:
        return *(const volatile uint32_t *)object;
    default:
        return *(const volatile uint64_t *)object;
    }
}

static void
write_memory(volatile void *object, uint32_t size, uint64_t value) {
    switch (size) {
    case 1:
        *(volatile uint8_t *)object = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)object = (uint16_t)value;
        break;
    case 4:
        *(volatile uint32_t *)object = (uint32_t)value;
        break;
    default:
        *(volatile uint64_t *)object = value;
        break;
    }
}

static uint64_t
narrowed(uint64_t value, uint32_t size) {
    return size == 8 ? value : value & ((UINT64_C(1) << (8 * size)) - 1);
}

static uint32_t
place_of(uintptr_t address) {
    uint32_t at = (uint32_t)((address >> 2) * UINT32_C(2654435761) >> 20) % TABLE_SIZE;
    while (memory.table[at] && memory.locations[memory.table[at] - 1].address != address) {
        at = (at + 1) % TABLE_SIZE;
    }
    return at;
}

/* The atomic's history; a new one begins where something else wrote to it. */
static location *
location_of(const volatile void *object, uint32_t size) {
    uintptr_t address = (uintptr_t)object;
    uint32_t at = place_of(address);
    location *found = memory.table[at] ? &memory.locations[memory.table[at] - 1] : NULL;
    uint64_t value = read_memory(object, size);
    if (found && found->size == size && found->history[found->newest % HISTORY].value == value) {
        return found;
    }
    if (memory.location_count == LOCATIONS_MAX) {
        explore__fail("more than %d atomics", LOCATIONS_MAX);
    }
    found = &memory.locations[memory.location_count++];
    memory.table[at] = (uint16_t)memory.location_count;
    found->address = address;
    found->size = size;
    found->newest = 0;
    found->sc_seen = 0;
    found->history[0].value = value;
    found->history[0].has_message = false;
    return found;
}

/* A plain write to what was an atomic ends its history. */
static void
forget(uintptr_t address, size_t size) {
    for (uintptr_t at = address & ~(uintptr_t)3; at < address + size; at += 4) {
        uint32_t place = place_of(at);
        if (memory.table[place]) {
            location *old = &memory.locations[memory.table[place] - 1];
            old->size = 0; /* the next access begins a new one */
        }
    }
}

void
explore__plain(const volatile void *address, size_t size, bool is_write, const void *pc) {
    if (explore__self() < 0) {
        return;
    }
    explore__touch(address, pc);
    access new = access_of(is_write, false, pc);
    if (check_range(address, size, &new) && is_write) {
        forget((uintptr_t)address, size);
    }
}

/* ---- Atomic accesses ---- */

static bool
acquires(int order) {
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_CONSUME || order == __ATOMIC_ACQ_REL ||
           order == __ATOMIC_SEQ_CST;
}

static bool
releases(int order) {
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static void
note_read(location *l, uint16_t index, int order) {
    view *mine = explore__view(explore__self());
    const store *from = &l->history[index % HISTORY];
    see(mine, (uint32_t)(l - memory.locations), index);
    if (acquires(order) && from->has_message) {
        explore__join_view(mine, &from->message);
    }
    if (order == __ATOMIC_SEQ_CST) {
        l->sc_seen = l->sc_seen > index ? l->sc_seen : index;
    }
}

/* Appends a store; sequence: what it read, if it goes on with that one's release sequence. */
static void
append(location *l, uint64_t value, int order, const store *sequence) {
    int self = explore__self();
    view *mine = explore__view(self);
    store kept = {.has_message = false};
    bool goes_on = sequence && sequence->has_message;
    if (goes_on) {
        kept.has_message = true;
        copy_view(&kept.message, &sequence->message);
    }
    l->newest++;
    see(mine, (uint32_t)(l - memory.locations), l->newest);
    store *to = &l->history[l->newest % HISTORY];
    to->value = value;
    to->has_message = releases(order) || goes_on;
    if (releases(order)) {
        copy_view(&to->message, mine);
        explore__tick(self);
        if (goes_on) {
            explore__join_view(&to->message, &kept.message);
        }
    } else if (goes_on) {
        copy_view(&to->message, &kept.message);
    }
    if (order == __ATOMIC_SEQ_CST) {
        l->sc_seen = l->newest;
    }
    write_memory((volatile void *)l->address, l->size, value);
    explore__after_write((volatile void *)l->address);
}

static uint16_t
choose_store(const location *l, int order) {
    if (!explore__is_weak() || explore__memory_below(OLD_ONE_IN) != 0) {
        return l->newest;
    }
    const view *mine = explore__view(explore__self());
    uint16_t oldest = seen_of(mine, (uint32_t)(l - memory.locations));
    if (order == __ATOMIC_SEQ_CST && oldest < l->sc_seen) {
        oldest = l->sc_seen;
    }
    if (l->newest >= HISTORY && oldest < l->newest - HISTORY + 1) {
        oldest = (uint16_t)(l->newest - HISTORY + 1);
    }
    return (uint16_t)(oldest + explore__memory_below((uint32_t)(l->newest - oldest) + 1));
}

static location *
enter(const volatile void *object, uint32_t size, bool is_write, const void *pc) {
    explore__point();
    explore__touch(object, pc);
    access new = access_of(is_write, true, pc);
    check_range(object, size, &new);
    return location_of(object, size);
}

uint64_t
explore__load(const volatile void *object, uint32_t size, int order, const void *pc) {
    if (explore__self() < 0) {
        return read_memory(object, size);
    }
    location *l = enter(object, size, false, pc);
    uint16_t index = choose_store(l, order);
    uint64_t value = l->history[index % HISTORY].value;
    note_read(l, index, order);
    explore__record(EVENT_LOAD, object, value, (uint64_t)(l->newest - index), order, pc);
    return value;
}

void
explore__store(volatile void *object, uint32_t size, uint64_t value, int order, const void *pc) {
    if (explore__self() < 0) {
        write_memory(object, size, value);
        return;
    }
    location *l = enter(object, size, true, pc);
    append(l, value, order, NULL);
    explore__record(EVENT_STORE, object, value, 0, order, pc);
}

static uint64_t
result_of(enum rmw what, uint64_t old, uint64_t operand) {
    switch (what) {
    case RMW_EXCHANGE:
        return operand;
    case RMW_ADD:
        return old + operand;
    case RMW_SUB:
        return old - operand;
    case RMW_AND:
        return old & operand;
    case RMW_OR:
        return old | operand;
    case RMW_XOR:
        return old ^ operand;
    case RMW_NAND:
        return ~(old & operand);
    }
    return operand;
}

uint64_t
explore__rmw(volatile void *object, uint32_t size, enum rmw what, uint64_t operand, int order,
             const void *pc) {
    if (explore__self() < 0) {
        uint64_t old = read_memory(object, size);
        write_memory(object, size, result_of(what, old, operand));
        return old;
    }
    explore__before_rmw(object);
    location *l = enter(object, size, true, pc);
    uint16_t index = l->newest;
    uint64_t old = l->history[index % HISTORY].value;
    uint64_t value = narrowed(result_of(what, old, operand), size);
    note_read(l, index, order);
    append(l, value, order, &l->history[index % HISTORY]);
    explore__record(EVENT_RMW, object, value, old, order, pc);
    return old;
}

bool
explore__cas(volatile void *object, uint32_t size, uint64_t *expected, uint64_t value, int order,
             int failure_order, const void *pc) {
    if (explore__self() < 0) {
        uint64_t old = read_memory(object, size);
        bool same = old == *expected;
        if (same) {
            write_memory(object, size, value);
        }
        *expected = old;
        return same;
    }
    explore__before_rmw(object);
    location *l = enter(object, size, true, pc);
    uint16_t index = choose_store(l, failure_order);
    if (l->history[index % HISTORY].value == *expected) {
        index = l->newest; /* what succeeds is the next in line */
    }
    uint64_t old = l->history[index % HISTORY].value;
    bool same = old == *expected;
    note_read(l, index, same ? order : failure_order);
    if (same) {
        append(l, value, order, &l->history[index % HISTORY]);
    }
    explore__record(same ? EVENT_CAS : EVENT_CAS_FAILED, object, same ? value : old, *expected,
                    order, pc);
    *expected = old;
    return same;
}

void
explore__fence(int order) {
    if (explore__self() < 0) {
        return;
    }
    /* Stronger than the language asks for, unless it is seq_cst: the executor has none. */
    explore__point();
    view *mine = explore__view(explore__self());
    explore__join_view(mine, &memory.sc_fence);
    explore__join_view(&memory.sc_fence, mine);
    explore__tick(explore__self());
    (void)order;
}
