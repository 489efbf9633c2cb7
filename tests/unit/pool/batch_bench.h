// SPDX-License-Identifier: MPL-2.0
// A pool with cores and a fake device, and kernels whose requests are batched, for unit tests of batchers of kernels.
#ifndef BATCH_BENCH_H
#define BATCH_BENCH_H

#include "test.h"

#include <skua-int/batch_int.h>
#include <skua-int/clock.h>
#include <skua-int/fake_device.h>
#include <skua-int/kernels.h>
#include <skua-int/thread.h>
#include <skua/exec.h>

enum { ROW = 4, LONG_US = SKUA_BATCH_MAX_WAIT_US };

/*
 * The kernels. "plain": each request is a row of ROW numbers, and so is its answer: 3 x + the index in the row; ROW work-items each.
 * "gated": the same in one work-item, on the cores only, behind a gate; a request that begins with BAD fails its batch. "score": one
 * work-item; the row {x[ROW]}, {k}, the shared weights w[ROW] and scale; answers {scale * x.w, sum of x}, {k + 1}.
 */
#define BAD 666666U

typedef struct batch_bench {
    skua__fake *fake;
    skua_devices *devices;
    skua_exec *exec;
    skua_pool *pool;
    skua_batch *batch;
    skua__mutex lock; /* of the gate */
    skua__cond moved;
    int waiting, open;
} batch_bench;

/* cores: an executor; device: the fake one. window 0: the default. */
void batch_bench_open(batch_bench *self, bool cores, bool device, uint32_t window);
void batch_bench_close(batch_bench *self); /* the batcher, if it is open, too */

void gate_let(batch_bench *self, int count);
void gate_await(batch_bench *self, int waiting);

/* Opens self->batch; fails the test when that fails. */
void open_plain(batch_bench *self, const char *kernel, const skua_batch_options *options);
/* As skua_batch_open_kernel() of "score"; weights NULL: of buffer. */
skua_status open_score(batch_bench *self, const uint32_t *weights, struct skua_buffer *buffer,
                       uint32_t scale, uint8_t split, const skua_batch_options *options,
                       skua_error *err);

/* Asks "plain" or "gated" with a row that begins with x. */
skua_status ask_row(batch_bench *self, uint32_t x, int64_t deadline_ms,
                    skua_batch_future **ret_future);
/* Waits, and checks the answer of a request that ended well; frees the future. */
skua_batch_result end_row(skua_batch_future *future, uint32_t x);
skua_batch_counters bench_stats(const batch_bench *self);

#endif
