// SPDX-License-Identifier: MPL-2.0
// Seeded random numbers for back-off, sampling, victims and simulations; never for keys.
#ifndef SKUA_INT_RAND_H
#define SKUA_INT_RAND_H

#include <stdint.h>

/* splitmix64 (Steele, Lea and Flood, 2014): the whole state is one word, and every seed is a good one. */
typedef struct skua__rand {
    uint64_t state;
} skua__rand;

static inline uint64_t
skua__rand_next(skua__rand *rand) {
    uint64_t z = (rand->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A number under bound (which is above 0), by multiplication: the bias is under bound / 2^32. */
static inline uint32_t
skua__rand_below(skua__rand *rand, uint32_t bound) {
    return (uint32_t)(((skua__rand_next(rand) >> 32) * bound) >> 32);
}

/* A number in [0, 1). */
static inline double
skua__rand_unit(skua__rand *rand) {
    return (double)(skua__rand_next(rand) >> 11) * 0x1.0p-53;
}

#endif
