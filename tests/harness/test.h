// SPDX-License-Identifier: MPL-2.0
// What every test includes: CMocka with the headers it wants, and a seed that is printed and can be given.
#ifndef SKUA_TEST_H
#define SKUA_TEST_H

/* cmocka.h uses what these four declare and does not include them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

/* The seed of this run: SKUA_TEST_SEED when set, else fallback. It is printed, so that a failure can be replayed. */
static inline uint64_t
test_seed(uint64_t fallback) {
    const char *given = getenv("SKUA_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : fallback;
    fprintf(stderr, "seed: SKUA_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

#endif
