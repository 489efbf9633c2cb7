// SPDX-License-Identifier: MPL-2.0
// A pool over cores and two fake devices with a kernel that can be cut, and launches of it whose every index is counted.
#ifndef SKUA_SPLIT_BENCH_H
#define SKUA_SPLIT_BENCH_H

#include "fake_machine.h"
#include "test.h"

#include <skua-int/kernels.h>
#include <stdatomic.h>

enum { WAIT_MS = 120 * 1000, FAKES = 2, TABLE = 7, MOST = 5000, GROUP = 512, PARAMS = 5 };

/* A work-item on virtual clocks takes milliseconds, beside which nothing counts that a busy machine adds on the real one. */
#define MS_PS UINT64_C(1000000000)

extern const skua_param_kind split_params[PARAMS];

extern _Atomic uint32_t runs[MOST + 1]; /* of each work-item */
extern _Atomic uint64_t
    stop_at; /* the function fails at this index, counted from 1; 0: it does not */

/* out = x + table + index + a; tally += 1. Rows are the first dimension. */
int work(const skua_kernel_call *call, void *arg);

typedef struct bench_options {
    skua__fake_options fakes[FAKES];
    uint64_t ps[FAKES]; /* for each work-item */
    uint32_t window;
    bool no_exec, no_devices;
    const skua_allocator *hook;
} bench_options;

/* The kernel "work" is registered; the devices know "work_in_groups" too, which fails unless it is given whole groups. */
void open_bench(fake_machine *self, const bench_options *given);

/* One launch under way. */
typedef struct shot {
    uint32_t out[MOST], tally[MOST], x[MOST], table[TABLE], a;
    uint64_t rows, width;
    skua_kernel_arg args[PARAMS];
    skua_launch launch;
    skua_pool_future *future;
} shot;

void aim(shot *s, uint64_t rows, uint64_t width);
void fire(fake_machine *self, shot *s);
/* Waits for its results and checks them. */
void collect(fake_machine *self, shot *s);
skua_kernel_share share_at(fake_machine *self, size_t i);
/* The next launch of each device hangs. */
void hang(fake_machine *self);
/* Whether it has come there yet or not. */
void unhang(fake_machine *self);

#endif
