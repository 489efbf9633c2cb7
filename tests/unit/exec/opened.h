// SPDX-License-Identifier: MPL-2.0
// What tests of the executor begin with: one that is open, and a job that keeps a worker until it is let go.
#ifndef SKUA_TEST_OPENED_H
#define SKUA_TEST_OPENED_H

#include "test.h"

#include <pthread.h>
#include <skua/exec.h>

static inline skua_exec *
open_exec(const skua_exec_options *options) {
    skua_exec *exec = NULL;
    skua_error err = {0};
    skua_status status = skua_exec_open(&exec, options, &err);
    if (status != SKUA_OK) {
        fail_msg("%s", err.message);
    }
    return exec;
}

/* The compiler has to believe that somebody looks at this memory: so a frame that it is in is as big as it looks. */
static inline void
keep_memory(volatile void *memory) {
    __asm__ volatile("" : : "r"(memory) : "memory");
}

/* spares: as the option. */
static inline skua_exec *
open_workers(int32_t workers, int32_t spares) {
    return open_exec(SKUA_EXEC_OPTIONS(.workers = workers, .spares = spares));
}

/* A gate holds a worker until it is opened. */
typedef struct gate {
    skua_job job;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool entered, open;
} gate;

static inline void
run_gate(skua_worker w, skua_job *job) {
    (void)w;
    gate *self = (gate *)(void *)job;
    pthread_mutex_lock(&self->lock);
    self->entered = true;
    pthread_cond_broadcast(&self->changed);
    while (!self->open) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
}

/* Returns when a worker stands in it. */
static inline void
gate_await(gate *self) {
    pthread_mutex_lock(&self->lock);
    while (!self->entered) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
}

/* The same, of a gate that is prepared here. */
static inline void
gate_hold(gate *self, skua_exec *exec) {
    *self = (gate){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    skua_job_init(&self->job, run_gate);
    assert_int_equal(skua_exec_submit(exec, &self->job), SKUA_OK);
    gate_await(self);
}

static inline void
gate_open(gate *self) {
    pthread_mutex_lock(&self->lock);
    self->open = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

#endif
