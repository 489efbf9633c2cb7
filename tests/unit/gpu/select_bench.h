// SPDX-License-Identifier: MPL-2.0
// A selector with three backends and one kernel, for the tests of what it chooses and of what it learns.
#ifndef SKUA_SELECT_BENCH_H
#define SKUA_SELECT_BENCH_H

#include "test.h"

#include <skua/select.h>

enum { SCALAR, SIMD, DEVICE, BACKENDS };

typedef struct bench {
    skua_selector *selector;
    uint32_t kernel;
    skua_select_place places[BACKENDS];
    skua_select_work work;
    skua_select_decision decision;
} bench;

static inline void
add(skua_selector *selector, const char *name, int32_t kind, int64_t launch_ns,
    uint64_t bytes_per_s, uint32_t expected) {
    uint32_t number = 99;
    assert_int_equal(skua_selector_add_backend(selector,
                                               SKUA_SELECT_BACKEND(.name = name, .kind = kind,
                                                                   .launch_ns = launch_ns,
                                                                   .bytes_per_s = bytes_per_s),
                                               &number, NULL),
                     0);
    assert_int_equal(number, expected);
}

static inline void
open_bench(bench *b, const skua_selector_options *options) {
    *b = (bench){0};
    assert_int_equal(skua_selector_open(&b->selector, options, NULL), 0);
    add(b->selector, "scalar", SKUA_SELECT_SCALAR, 0, 0, SCALAR);
    add(b->selector, "simd", SKUA_SELECT_SIMD, 1000, 0, SIMD);
    add(b->selector, "device", SKUA_SELECT_DEVICE, 20000, UINT64_C(10000000000), DEVICE);
    assert_int_equal(skua_selector_kernel(b->selector, "saxpy", &b->kernel, NULL), 0);
    for (uint32_t i = 0; i < BACKENDS; i++) {
        b->places[i].backend = i;
    }
    b->work = (skua_select_work){.size = sizeof b->work,
                                 .kernel = b->kernel,
                                 .units = 1000,
                                 .places = b->places,
                                 .place_count = BACKENDS};
    b->decision.size = sizeof b->decision;
}

static inline uint32_t
choose(bench *b) {
    assert_int_equal(skua_select(b->selector, &b->work, &b->decision, NULL), 0);
    assert_int_equal(b->decision.backend, b->places[b->decision.place].backend);
    return b->decision.backend;
}

static inline void
learn(bench *b, uint32_t backend, uint64_t units, int64_t run_ns) {
    assert_int_equal(
        skua_selector_learn(b->selector,
                            SKUA_SELECT_OUTCOME(.kernel = b->kernel, .backend = backend,
                                                .units = units, .run_ns = run_ns),
                            NULL),
        0);
}

static inline int64_t
predicted(bench *b, uint32_t backend) {
    choose(b);
    return b->decision.terms[backend].run_ns;
}

/* Linear times: scalar 1 ns per unit, SIMD a quarter of it, the device a hundredth. */
static inline void
learn_all(bench *b) {
    for (uint64_t units = 256; units <= (1 << 24); units *= 4) {
        learn(b, SCALAR, units, (int64_t)units);
        learn(b, SIMD, units, (int64_t)units / 4);
        learn(b, DEVICE, units, (int64_t)units / 100 + 1);
    }
}

#endif
