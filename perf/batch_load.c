// SPDX-License-Identifier: MPL-2.0
// The network, the arrivals and the clock of skua-perf batch.
#include "batch_load.h"
#include "gpu_works.h"

#include <math.h>
#include <sched.h>
#include <skua-int/clock.h>
#include <skua-int/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum { FLOOD_PER_S = 200000, SPIN_NS = 2000, START_NS = 2000000, WARM_UP_SHARE = 8 };

const char load_source[] =
    "kernel void network(global const float *in, global const float *weights, global float "
    "*scores,\n"
    "                    SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    size_t request = get_global_id(0);\n"
    "    float hidden[32];\n"
    "    for (int h = 0; h < 32; h++) {\n"
    "        float sum = 0;\n"
    "        for (int i = 0; i < 64; i++) sum += weights[h * 64 + i] * in[request * 64 + i];\n"
    "        hidden[h] = max(sum, 0.0f);\n"
    "    }\n"
    "    for (int o = 0; o < 10; o++) {\n"
    "        float sum = 0;\n"
    "        for (int h = 0; h < 32; h++) sum += weights[32 * 64 + o * 32 + h] * hidden[h];\n"
    "        scores[request * 10 + o] = sum;\n"
    "    }\n"
    "}\n";

static void
answer_one(const load_network *net, const float *in, float *ret_scores) {
    float hidden[LOAD_HIDDEN];
    for (int h = 0; h < LOAD_HIDDEN; h++) {
        float sum = 0;
        for (int i = 0; i < LOAD_IN; i++) {
            sum += net->hidden[h][i] * in[i];
        }
        hidden[h] = sum > 0 ? sum : 0;
    }
    for (int o = 0; o < LOAD_OUT; o++) {
        ret_scores[o] = 0;
        for (int h = 0; h < LOAD_HIDDEN; h++) {
            ret_scores[o] += net->out[o][h] * hidden[h];
        }
    }
}

int
load_answer(const skua_kernel_call *call, void *arg) {
    (void)arg;
    for (uint64_t i = call->begin; i < call->end; i++) {
        answer_one(call->args[1], (const float *)call->args[0] + i * LOAD_IN,
                   (float *)call->args[2] + i * LOAD_OUT);
    }
    return 0;
}

batch_load *
batch_load_new(perf_run *run) {
    batch_load *self = calloc(1, sizeof *self);
    if (!self) {
        return NULL;
    }
    self->run = run;
    self->flood = run->what->rate == 0;
    double rate = self->flood ? FLOOD_PER_S : run->what->rate;
    self->count = (uint32_t)(rate * run->seconds);
    self->scores = calloc(self->count, LOAD_OUT * sizeof(float));
    self->due_ns = calloc(self->count, sizeof *self->due_ns);
    self->end_ns = calloc(self->count, sizeof *self->end_ns);
    if (!self->count || !self->scores || !self->due_ns || !self->end_ns) {
        return NULL;
    }
    skua__rand rand = {.state = 7};
    for (size_t i = 0; i < sizeof self->network / sizeof(float); i++) {
        ((float *)&self->network)[i] = (float)(skua__rand_unit(&rand) - 0.5) / 4;
    }
    for (size_t i = 0; i < sizeof self->inputs / sizeof(float); i++) {
        ((float *)self->inputs)[i] = (float)(skua__rand_unit(&rand) * 2 - 1);
    }
    double at_ns = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        at_ns -= self->flood ? 0 : log(1 - skua__rand_unit(&rand)) / rate * 1e9;
        self->due_ns[i] = (int64_t)at_ns;
    }
    atomic_init(&self->left, self->count);
    return self;
}

const float *
batch_load_input(const batch_load *self, uint32_t i) {
    return self->inputs[i % LOAD_INPUTS];
}

float *
batch_load_scores(batch_load *self, uint32_t i) {
    return self->scores + (size_t)i * LOAD_OUT;
}

static void
end(batch_load *self, uint32_t i, int64_t end_ns) {
    self->end_ns[i] = end_ns;
    /* release B1: the answer and its time are there; pairs with acquire B1 in batch_load_go() */
    atomic_fetch_sub_explicit(&self->left, 1, memory_order_release);
}

void
batch_load_done(batch_load *self, uint32_t i) {
    end(self, i, skua__clock_ns());
}

/* Sleeps while it is long enough; what remains is shorter than a wake-up. */
static void
sleep_until(int64_t at_ns) {
    if (at_ns - skua__clock_ns() > SPIN_NS) {
        struct timespec at = skua__clock_timespec(at_ns);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    }
}

static bool
are_right(const batch_load *self) {
    float want[LOAD_INPUTS][LOAD_OUT];
    for (uint32_t i = 0; i < LOAD_INPUTS; i++) {
        answer_one(&self->network, self->inputs[i], want[i]);
    }
    for (uint32_t i = 0; i < self->count; i++) {
        const float *scores = self->scores + (size_t)i * LOAD_OUT;
        for (int o = 0; o < LOAD_OUT && self->end_ns[i] > 0; o++) {
            if (fabsf(scores[o] - want[i % LOAD_INPUTS][o]) > 1e-3F) {
                fprintf(stderr, "skua-perf: batch: request %u has a wrong answer\n", i);
                return false;
            }
        }
    }
    return true;
}

/* The first eighth is warm-up. */
static bool
fill_sample(batch_load *self) {
    uint32_t first = self->flood ? 0 : self->count / WARM_UP_SHARE;
    double *values = malloc(self->count * sizeof *values);
    int count = 0;
    int64_t last_ns = 0;
    uint64_t refused = 0;
    for (uint32_t i = first; values && i < self->count; i++) {
        last_ns = self->end_ns[i] > last_ns ? self->end_ns[i] : last_ns;
        if (self->end_ns[i] < 0) {
            refused++;
        } else {
            values[count++] = (double)(self->end_ns[i] - self->due_ns[i]) / 1e3;
        }
    }
    if (count && self->flood) {
        values[0] = count * 1e9 / (double)(last_ns - self->due_ns[0]);
        count = 1;
    }
    if (count) {
        gpu_sample_of(values, count, &self->run->shared->sample);
        self->run->shared->sample.lost = refused;
    }
    free(values);
    return count > 0;
}

int
batch_load_go(batch_load *self, bool (*submit)(void *arg, uint32_t i), void *arg) {
    prctl(PR_SET_TIMERSLACK, 1UL);
    const int64_t start_ns = skua__clock_ns() + START_NS;
    for (uint32_t i = 0; i < self->count; i++) {
        self->due_ns[i] += start_ns;
    }
    for (uint32_t i = 0; i < self->count; i++) {
        sleep_until(self->due_ns[i]);
        while (skua__clock_ns() < self->due_ns[i]) {
        }
        while (!submit(arg, i)) {
            if (!self->flood) {
                end(self, i, -1);
                break;
            }
            sched_yield();
        }
    }
    /* acquire B1: all answers and times are there; pairs with release B1 in end() */
    while (atomic_load_explicit(&self->left, memory_order_acquire)) {
        sleep_until(skua__clock_ns() + SKUA_NS_PER_MS);
    }
    return !are_right(self) || !fill_sample(self);
}
