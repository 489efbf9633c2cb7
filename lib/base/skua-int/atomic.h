// SPDX-License-Identifier: MPL-2.0
// Every atomic of the executor goes through here: thin wrappers over C11 atomics with an explicit order, so that
// another build can put a seeded scheduler or injected yields behind the same calls (skua__atomic_point). There is no
// fence: ThreadSanitizer cannot see one, and sequentially consistent accesses say more about what they order.
#ifndef SKUA_INT_ATOMIC_H
#define SKUA_INT_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Wrapped in structs, so that a plain access by name does not compile. */
typedef struct skua__a32 {
    _Atomic uint32_t value;
} skua__a32;

typedef struct skua__a64 {
    _Atomic uint64_t value;
} skua__a64;

typedef struct skua__aptr {
    void *_Atomic value;
} skua__aptr;

/* Called before each access; a build that explores schedules defines SKUA_ATOMIC_POINT and supplies it. */
#ifdef SKUA_ATOMIC_POINT
void skua__atomic_point(const volatile void *object);
#else
static inline void
skua__atomic_point(const volatile void *object) {
    (void)object;
}
#endif

static inline uint32_t
skua__a32_load(const skua__a32 *object, memory_order order) {
    skua__atomic_point(object);
    return atomic_load_explicit(&object->value, order);
}

static inline void
skua__a32_store(skua__a32 *object, uint32_t value, memory_order order) {
    skua__atomic_point(object);
    atomic_store_explicit(&object->value, value, order);
}

static inline uint32_t
skua__a32_exchange(skua__a32 *object, uint32_t value, memory_order order) {
    skua__atomic_point(object);
    return atomic_exchange_explicit(&object->value, value, order);
}

/* Additions and the like return what was there before. */
static inline uint32_t
skua__a32_add(skua__a32 *object, uint32_t value, memory_order order) {
    skua__atomic_point(object);
    return atomic_fetch_add_explicit(&object->value, value, order);
}

static inline uint32_t
skua__a32_or(skua__a32 *object, uint32_t bits, memory_order order) {
    skua__atomic_point(object);
    return atomic_fetch_or_explicit(&object->value, bits, order);
}

/* On failure *expected is what was there, read relaxed. */
static inline bool
skua__a32_cas(skua__a32 *object, uint32_t *expected, uint32_t value, memory_order order) {
    skua__atomic_point(object);
    return atomic_compare_exchange_strong_explicit(&object->value, expected, value, order,
                                                   memory_order_relaxed); /* relaxed: see above */
}

static inline uint32_t
skua__a32_sub(skua__a32 *object, uint32_t value, memory_order order) {
    skua__atomic_point(object);
    return atomic_fetch_sub_explicit(&object->value, value, order);
}

static inline uint64_t
skua__a64_load(const skua__a64 *object, memory_order order) {
    skua__atomic_point(object);
    return atomic_load_explicit(&object->value, order);
}

static inline void
skua__a64_store(skua__a64 *object, uint64_t value, memory_order order) {
    skua__atomic_point(object);
    atomic_store_explicit(&object->value, value, order);
}

static inline uint64_t
skua__a64_add(skua__a64 *object, uint64_t value, memory_order order) {
    skua__atomic_point(object);
    return atomic_fetch_add_explicit(&object->value, value, order);
}

static inline uint64_t
skua__a64_exchange(skua__a64 *object, uint64_t value, memory_order order) {
    skua__atomic_point(object);
    return atomic_exchange_explicit(&object->value, value, order);
}

static inline bool
skua__a64_cas(skua__a64 *object, uint64_t *expected, uint64_t value, memory_order order) {
    skua__atomic_point(object);
    return atomic_compare_exchange_strong_explicit(&object->value, expected, value, order,
                                                   memory_order_relaxed); /* relaxed: see above */
}

static inline uint64_t
skua__a64_sub(skua__a64 *object, uint64_t value, memory_order order) {
    skua__atomic_point(object);
    return atomic_fetch_sub_explicit(&object->value, value, order);
}

static inline void *
skua__aptr_load(const skua__aptr *object, memory_order order) {
    skua__atomic_point(object);
    return atomic_load_explicit(&object->value, order);
}

static inline void
skua__aptr_store(skua__aptr *object, void *value, memory_order order) {
    skua__atomic_point(object);
    atomic_store_explicit(&object->value, value, order);
}

static inline void *
skua__aptr_exchange(skua__aptr *object, void *value, memory_order order) {
    skua__atomic_point(object);
    return atomic_exchange_explicit(&object->value, value, order);
}

static inline bool
skua__aptr_cas(skua__aptr *object, void **expected, void *value, memory_order order) {
    skua__atomic_point(object);
    return atomic_compare_exchange_strong_explicit(&object->value, expected, value, order,
                                                   memory_order_relaxed); /* relaxed: see above */
}

/* Tells the core that this thread spins. */
static inline void
skua__atomic_pause(void) {
    skua__atomic_point(0);
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
