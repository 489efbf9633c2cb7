// SPDX-License-Identifier: MPL-2.0
// A pool over one worker and fake devices that add one to numbers, and launches of that.
#ifndef SKUA_ADD_BENCH_H
#define SKUA_ADD_BENCH_H

#include "fake_machine.h"
#include "test.h"

#include <skua-int/kernels.h>

enum { WAIT_MS = 120 * 1000, MANY = 200, N = 64 };

/* y = x + 1 */
int add_one(const skua_kernel_call *call, void *arg);
/* The same, but so slowly that anything else is faster. */
int add_one_slowly(const skua_kernel_call *call, void *arg);

/*
 * Opens a pool as these say (both may be NULL), with one device where no count is given. There is one worker: were a launch
 * on a device to hold it, nothing else would run.
 */
void open_pool(fake_machine *self, const fake_machine_options *given,
               const skua_pool_options *pool);
/* source "#error" does not build; fn NULL: the cores have none. */
void register_as(fake_machine *self, const char *name, const char *source, skua_kernel_fn fn);

/* One launch under way. */
typedef struct shot {
    uint32_t x[N], y[N];
    skua_kernel_arg args[2];
    skua_launch launch;
    skua_pool_future *future;
} shot;

void prepare(shot *s, const char *kernel, uint32_t first, int32_t on);
void submit(fake_machine *self, shot *s, const char *kernel, uint32_t first, int32_t on);
/* Waits for it; its results are right if it ended well. */
skua_status collect(fake_machine *self, shot *s, skua_error *err);
skua_kernel_share share_at(fake_machine *self, const char *kernel, size_t i);

#endif
