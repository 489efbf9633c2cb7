// SPDX-License-Identifier: MPL-2.0
// What the sides of skua-perf batch share: a small network as a kernel, requests that arrive whether or not the ones before were
// answered, and the time of each from the moment at which it was due.
#ifndef SKUA_PERF_BATCH_LOAD_H
#define SKUA_PERF_BATCH_LOAD_H

#include "perf.h"

#include <skua/kernel.h>
#include <stdatomic.h>

enum {
    LOAD_IN = 64,
    LOAD_HIDDEN = 32,
    LOAD_OUT = 10,
    LOAD_INPUTS = 256,  /* different ones, taken in turn */
    LOAD_BATCH = 64,    /* requests of a batch, and */
    LOAD_WAIT_US = 500, /* how long the oldest waits for it, in every batcher */
    LOAD_QUEUE = 4096,  /* requests that wait; one more is refused */
};

typedef struct load_network {
    float hidden[LOAD_HIDDEN][LOAD_IN];
    float out[LOAD_OUT][LOAD_HIDDEN];
} load_network;

/* "network" of (global const float *in, global const float *weights, global float *scores, SKUA_SIZE), guarded. */
extern const char load_source[];
/* A skua_kernel_fn. */
int load_answer(const skua_kernel_call *call, void *arg);

typedef struct batch_load {
    perf_run *run;
    bool flood; /* all are due at once, and what counts is how soon the last one is answered */
    uint32_t count;
    load_network network;
    float inputs[LOAD_INPUTS][LOAD_IN];
    float *scores;            /* LOAD_OUT for each request */
    int64_t *due_ns, *end_ns; /* of each request; end 0: not yet, -1: refused */
    atomic_uint left;
} batch_load;

/*
 * Prepares requests for the run: of run->what->rate per second, in random (exponential) distances that are the same for every side, for
 * run->seconds; rate 0 floods. Returns NULL without memory; it ends with the process.
 */
batch_load *batch_load_new(perf_run *run);
const float *batch_load_input(const batch_load *self, uint32_t i);
float *batch_load_scores(batch_load *self, uint32_t i);
/* Request i was answered; its scores are in place. Threads: any. */
void batch_load_done(batch_load *self, uint32_t i);

/*
 * Calls submit for each request when it is due; false: it is refused (flooding: it is tried again). Then waits for all, checks their scores and
 * fills the sample: microseconds, or requests per second. Returns the side's result.
 */
int batch_load_go(batch_load *self, bool (*submit)(void *arg, uint32_t i), void *arg);

/* ---- The sides ---- */
int batch_side_skua(perf_run *run);       /* the batcher, on the first device */
int batch_side_resident(perf_run *run);   /* the same, with the weights in a buffer */
int batch_side_anywhere(perf_run *run);   /* the batcher, on the cores and the device */
int batch_side_one_by_one(perf_run *run); /* a launch for each request, on the first device */
/* peers/raw_batcher.c */
int batch_side_opencl(perf_run *run);
int batch_side_opencl_one_by_one(perf_run *run);

#endif
