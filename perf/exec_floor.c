// SPDX-License-Identifier: MPL-2.0
// The floor of a submission: what any executor pays that takes jobs in order of submission from another core. One
// thread that never sleeps takes all that was pushed with one exchange, turns it round and calls it; it has no priorities, no
// groups, no deadlines, no other worker to share with, and lets jobs gather between its looks.
#include "exec_peer.h"

#include <skua-int/atomic.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { FLOOR_GATHER_LOOKS = 50 };

typedef struct floor_job {
    struct floor_job *next;
    void (*fn)(void *arg);
    void *arg;
} floor_job;

_Static_assert(sizeof(floor_job) <= sizeof(exec_memory), "a job fits the caller's memory");

typedef struct floor_pool {
    _Alignas(64) floor_job *_Atomic newest;
    _Alignas(64) atomic_int stop;
    pthread_t thread;
} floor_pool;

static void *
run_all(void *arg) {
    floor_pool *pool = arg;
    while (!atomic_load_explicit(&pool->stop, memory_order_relaxed)) { /* relaxed: only ends us */
        if (!atomic_load_explicit(&pool->newest, memory_order_relaxed)) {
            for (int i = 0; i < FLOOR_GATHER_LOOKS; i++) {
                skua__atomic_pause();
            }
            continue;
        }
        floor_job *newest = atomic_exchange_explicit(&pool->newest, NULL, memory_order_acquire);
        floor_job *oldest = NULL;
        while (newest) {
            floor_job *next = newest->next;
            newest->next = oldest;
            oldest = newest;
            newest = next;
        }
        while (oldest) {
            floor_job *next = oldest->next;
            oldest->fn(oldest->arg);
            oldest = next;
        }
    }
    return NULL;
}

static void *
open_floor(int workers) {
    (void)workers;
    floor_pool *pool = aligned_alloc(64, sizeof *pool);
    atomic_init(&pool->newest, NULL);
    atomic_init(&pool->stop, 0);
    if (pthread_create(&pool->thread, NULL, run_all, pool)) {
        abort();
    }
    return pool;
}

static void
close_floor(void *peer) {
    floor_pool *pool = peer;
    atomic_store(&pool->stop, 1);
    pthread_join(pool->thread, NULL);
    free(pool);
}

static void
submit_floor(void *peer, exec_memory *memory, void (*fn)(void *arg), void *arg) {
    floor_pool *pool = peer;
    floor_job *job = (floor_job *)(void *)memory;
    job->fn = fn;
    job->arg = arg;
    floor_job *newest = atomic_load_explicit(&pool->newest, memory_order_relaxed);
    do {
        job->next = newest;
        /* a benchmark's own: releases the job */
    } while (!atomic_compare_exchange_weak_explicit(&pool->newest, &newest, job,
                                                    memory_order_release, memory_order_relaxed));
}

const exec_peer exec_peer_floor = {
    .name = "floor", .open = open_floor, .close = close_floor, .submit = submit_floor};
