// SPDX-License-Identifier: MPL-2.0
// What a submission from outside costs: threads that are no workers submit batch after batch from the same memory, for long
// enough that it does not matter beside whom the kernel woke whom.
#include "exec_bench.h"

#include <skua-int/clock.h>

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUBMITS = 400000,         /* of one batch, all submitters together */
    SUBMIT_RUN_NS = 50000000, /* the batches that count take so long at least */
    SUBMITTERS_MAX = 10,
    SHARDS_MAX = 64, /* threads of an executor */
};

static_assert(sizeof(exec_memory) % 64 == 0, "no two submissions share a cache line");

/* How many jobs ran: each thread counts on a line of its own, so that no executor is measured by a shared counter. */
typedef struct shard {
    _Alignas(64) atomic_int count;
} shard;

typedef struct tally {
    shard shards[SHARDS_MAX];
    atomic_int used;
} tally;

static _Thread_local shard *my_shard;

static void
count_one(void *arg) {
    tally *all = arg;
    if (!my_shard) {
        my_shard = &all->shards[atomic_fetch_add(&all->used, 1) % SHARDS_MAX];
    }
    /* relaxed: one writer, and the sum is looked at until it is complete */
    int count = atomic_load_explicit(&my_shard->count, memory_order_relaxed);
    atomic_store_explicit(&my_shard->count, count + 1, memory_order_relaxed);
}

static int
counted(tally *all) {
    int sum = 0;
    for (int i = 0; i < SHARDS_MAX; i++) {
        sum += atomic_load_explicit(&all->shards[i].count, memory_order_relaxed);
    }
    return sum;
}

typedef struct submitting submitting;

typedef struct submitter {
    submitting *all;
    exec_memory *memory;
    int64_t began_ns, ended_ns; /* of its part of this batch */
} submitter;

/* The first submitter conducts: it begins each batch when all of the one before has run. */
struct submitting {
    const exec_peer *peer;
    void *pool;
    int threads, per_thread;
    tally ran;
    atomic_int batch;   /* that is under way; below 0: the end */
    atomic_int arrived; /* submitters that are through with it */
    int64_t took_ns, calls_ns, counts;
    submitter submitters[SUBMITTERS_MAX];
};

/* Waits without sleep, and without keeping a core from whoever works. */
static void
await_batch(submitting *all, int batch) {
    int now;
    while ((now = atomic_load(&all->batch)) < batch && now >= 0) {
        sched_yield();
    }
}

/* Of the first submitter: all of the batch has run. Counts it, but for the first, and begins the next or ends. */
static void
conduct(submitting *all, int batch) {
    while (atomic_load(&all->arrived) < all->threads * batch ||
           counted(&all->ran) < all->threads * all->per_thread * batch) {
        sched_yield();
    }
    int64_t ended_ns = skua__clock_ns(), began_ns = INT64_MAX;
    for (int i = 0; batch > 1 && i < all->threads; i++) {
        const submitter *one = &all->submitters[i];
        began_ns = one->began_ns < began_ns ? one->began_ns : began_ns;
        all->calls_ns += one->ended_ns - one->began_ns;
    }
    if (batch > 1) { /* the first is warm-up */
        all->took_ns += ended_ns - began_ns;
        all->counts++;
    }
    atomic_store(&all->batch, all->took_ns < SUBMIT_RUN_NS ? batch + 1 : -1);
}

static void *
submit_batches(void *arg) {
    submitter *self = arg;
    submitting *all = self->all;
    for (int batch = 1;; batch++) {
        await_batch(all, batch);
        if (atomic_load(&all->batch) < 0) {
            return NULL;
        }
        self->began_ns = skua__clock_ns();
        for (int i = 0; i < all->per_thread; i++) {
            all->peer->submit(all->pool, &self->memory[i], count_one, &all->ran);
        }
        self->ended_ns = skua__clock_ns();
        atomic_fetch_add(&all->arrived, 1);
        if (self == all->submitters) {
            conduct(all, batch);
        }
    }
}

/*
 * The time from the first submission of a batch to the end of its last job, for each of them; or what one call costs
 * the thread that makes it (with more threads than cores, their waiting included).
 */
static double
ns_of_one(perf_run *run, bool calls) {
    const exec_peer *peer = run->arg;
    static submitting all;
    pthread_t ids[SUBMITTERS_MAX];
    const size_t bytes = SUBMITS * sizeof(exec_memory);
    exec_memory *memory = aligned_alloc(64, bytes);
    memset(memory, 0, bytes);
    all.peer = peer;
    all.pool = peer->open((int)run->what->workers);
    all.threads = (int)run->what->submitters;
    all.per_thread = SUBMITS / all.threads;
    all.batch = 1;
    for (int i = 0; i < all.threads; i++) {
        all.submitters[i] = (submitter){.all = &all, .memory = memory + i * all.per_thread};
        pthread_create(&ids[i], NULL, submit_batches, &all.submitters[i]);
    }
    for (int i = 0; i < all.threads; i++) {
        pthread_join(ids[i], NULL);
    }
    peer->close(all.pool);
    free(memory);
    double each = (double)all.counts * all.per_thread * all.threads;
    return (double)(calls ? all.calls_ns : all.took_ns) / each;
}

int
perf_exec_submit(perf_run *run) {
    double ns = ns_of_one(run, false);
    run->shared->sample = (perf_sample){.p50 = ns, .p99 = ns, .min = ns, .max = ns};
    return 0;
}

int
perf_exec_submit_call(perf_run *run) {
    double ns = ns_of_one(run, true);
    run->shared->sample = (perf_sample){.p50 = ns, .p99 = ns, .min = ns, .max = ns};
    return 0;
}
