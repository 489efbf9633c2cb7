// SPDX-License-Identifier: MPL-2.0
// The inside of the explorer: fibres and the choice between them (fibres.c), a model of C11's memory (memory.c), what the
// compiler's instrumentation calls (hooks.c), and threads, locks, futexes and time (posix.c).
#ifndef SKUA_EXPLORE_RUNTIME_H
#define SKUA_EXPLORE_RUNTIME_H

#include "explore.h"

#include <skua-int/rand.h>

enum {
    FIBRES_MAX = 12,
    FIBRE_STACK_BYTES = 256 * 1024,
    ARENA_BYTES = 48 * 1024 * 1024,
    LOCATIONS_MAX = 1024, /* atomic objects in one schedule */
    STEPS_MAX = 60000,    /* accesses in one schedule: more is a livelock */
    ALONE_MAX = 600,      /* accesses in a row by one fibre, before the others have their turn */
};

/* What a thread knows: how far it has seen each other thread, and the oldest store that it may read of each atomic. */
typedef struct view {
    uint32_t count; /* entries of seen that are valid */
    uint32_t clock[FIBRES_MAX];
    uint16_t seen[LOCATIONS_MAX];
} view;

enum event_kind {
    EVENT_LOAD,
    EVENT_STORE,
    EVENT_RMW,
    EVENT_CAS,
    EVENT_CAS_FAILED,
    EVENT_LOCK,
    EVENT_UNLOCK,
    EVENT_FUTEX_WAIT,
    EVENT_FUTEX_WAKE,
    EVENT_WAIT,
    EVENT_NOTIFY,
    EVENT_CREATE,
    EVENT_JOIN,
    EVENT_END,
    EVENT_TIMEOUT,
};

/* ---- fibres.c ---- */

typedef struct explore_options {
    bool weak;  /* loads may see old values */
    bool trace; /* the whole of the schedule is kept, and printed at its end */
    /* Learned from the first schedules: how long one is. */
    uint32_t steps_expected;
    uint32_t steps_max;
} explore_options;

typedef struct explore_totals {
    uint64_t schedules, steps, switches;
} explore_totals;

void explore__setup(void);
/* Runs one schedule; does not return when something is wrong. */
void explore__run(const explore_scenario *scenario, uint64_t seed, const explore_options *options,
                  explore_totals *totals);

/* The running fibre's number, or -1 outside of a schedule. */
int explore__self(void);
view *explore__view(int fibre);
bool explore__is_weak(void);
/* A place where another thread may go first. */
void explore__point(void);
/* Around a write: another place to wait at, until others have written there. */
void explore__before_rmw(const volatile void *object);
void explore__after_write(const volatile void *object);
/* The thread says that it spins: the others go first. */
void explore__spins(void);
/* Sleeps until explore__wake() with the same address; false when deadline_ns passed. */
bool explore__block(const volatile void *on, const char *why, int64_t deadline_ns);
uint32_t explore__wake(const volatile void *on, uint32_t count);
int explore__fibre_new(void *(*fn)(void *), void *arg);
/* Waits for the end of a fibre. */
void *explore__fibre_join(int fibre);
int64_t explore__now_ns(void);
/* Lets time pass; who waits for less is woken. */
void explore__pass(int64_t ns);
/* One in n, from the schedule's seed. */
bool explore__chance(uint32_t n);
uint32_t explore__memory_below(uint32_t bound);
void explore__record(enum event_kind kind, const volatile void *address, uint64_t value,
                     uint64_t other, int order, const void *pc);
_Noreturn void explore__fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- memory.c ---- */

/* Makes the region of stacks and the arena; then forgets everything for a new schedule. */
void explore__memory_setup(void);
void explore__memory_reset(void);
void *explore__stack_of(int fibre);
/* Describes an address for a trace. */
void explore__describe(const volatile void *address, char *ret_text, size_t size);
/* Blocks of the arena that were not released. */
uint32_t explore__blocks_left(void);

void explore__join_view(view *into, const view *from);
/* Everything that the fibre does from now on is later than what it has published. */
void explore__tick(int fibre);

uint64_t explore__load(const volatile void *object, uint32_t size, int order, const void *pc);
void explore__store(volatile void *object, uint32_t size, uint64_t value, int order,
                    const void *pc);
enum rmw { RMW_EXCHANGE, RMW_ADD, RMW_SUB, RMW_AND, RMW_OR, RMW_XOR, RMW_NAND };
uint64_t explore__rmw(volatile void *object, uint32_t size, enum rmw what, uint64_t operand,
                      int order, const void *pc);
bool explore__cas(volatile void *object, uint32_t size, uint64_t *expected, uint64_t value,
                  int order, int failure_order, const void *pc);
void explore__fence(int order);
/* Fails when the memory was released. */
void explore__touch(const volatile void *address, const void *pc);
void explore__plain(const volatile void *address, size_t size, bool is_write, const void *pc);

/* ---- posix.c ---- */

void explore__posix_reset(void);

/* ---- host.c ---- */

void explore__host_reset(void);

/* ---- trace.c ---- */

void explore__trace_reset(void);
void explore__trace_print(uint32_t count);

#endif
