// SPDX-License-Identifier: MPL-2.0
// Inference in batches: requests come one by one, a model (here one layer) answers many at once, and the p99 is told.
#include "machine.h"
#include <skua/batch.h>
#include <stdatomic.h>

enum { IN = 64, REQUESTS = 2000 };
/* y = the sum of k * x[k], for each row of the batch. */
static int
model(skua_task_call *call, void *arg) {
    skua_batch_work work;
    void *rows;
    if (arg || skua_batch_read(call, &work) || work.row_bytes != IN * sizeof(float) ||
        skua_batch_rows(&work, sizeof(float), &rows)) {
        return skua_task_fail(call, 1, "the model takes rows of 64 floats");
    }
    const float *x = work.rows;
    for (float *y = rows, *end = y + work.requests; y < end; y++) {
        *y = 0;
        for (int k = 0; k < IN; k++) {
            *y += (float)k * *x++;
        }
    }
    return 0;
}

static void
done(void *arg, const skua_batch_result *result) {
    if (result->status == 0 && *(const float *)result->answer == 3 + 5 * 2) {
        /* relaxed: it only counts; skua_batch_await_all() orders it before the look */
        atomic_fetch_add_explicit((atomic_int *)arg, 1, memory_order_relaxed);
    }
}

int
main(void) {
    skua_error err;
    machine here;
    skua_batch *batch;
    atomic_int right = 0;
    const float x[IN] = {[3] = 1, [5] = 2};
    machine_open(&here, "cores", 0);
    must(skua_pool_register(here.pool, "model", 1, model, NULL, &err), &err);
    must(skua_batch_open(&batch, here.pool, "model", SKUA_BATCH_OPTIONS(.wait_us = 500), &err),
         &err);
    for (int i = 0; i < REQUESTS; i++) {
        must(skua_batch_submit(batch, x, sizeof x, done, &right, 0, &err), &err);
    }
    must(skua_batch_await_all(batch, 0, &err), &err);
    int sum = atomic_load_explicit(&right, memory_order_relaxed); /* relaxed: all have ended */
    skua_batch_counters told = {.size = sizeof told};
    must(skua_batch_stats(batch, &told, &err), &err);
    printf("%d answers in %llu batches: p50 %lld us, p99 %lld us\n", sum,
           (unsigned long long)told.batches, (long long)told.latency_p50_ns / 1000,
           (long long)told.latency_p99_ns / 1000);
    skua_batch_close(batch);
    machine_close(&here);
    return sum == REQUESTS ? 0 : 1;
}
