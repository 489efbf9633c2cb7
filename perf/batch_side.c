// SPDX-License-Identifier: MPL-2.0
// skua's sides of skua-perf batch: its batcher, and a launch for each request.
#include "batch_load.h"

#include <semaphore.h>
#include <skua-int/thread.h>
#include <skua/batch.h>
#include <skua/buffer.h>
#include <skua/device.h>
#include <skua/exec.h>
#include <stdlib.h>
#include <string.h>

typedef struct sides {
    batch_load *load;
    skua_exec *exec;
    skua_devices *devices;
    skua_pool *pool;
    skua_batch *batch;
    struct request {
        struct sides *sides;
        skua_kernel_arg args[3];
        skua_pool_future *future;
    } * requests;
    uint32_t *taken; /* one by one: those that were submitted, in this order, */
    uint32_t taken_count;
    sem_t submitted; /* and how many of them have not been collected */
    int32_t on;
} sides;

static int
fail(const skua_error *err) {
    fprintf(stderr, "skua-perf: %s %s\n", err->code, err->message);
    return 1;
}

static int
set_up(sides *self, perf_run *run) {
    static const skua_param_kind params[] = {SKUA_PARAM_IN, SKUA_PARAM_IN, SKUA_PARAM_OUT};
    skua_error err;
    self->load = batch_load_new(run);
    if (!self->load) {
        return 1;
    }
    self->requests = calloc(self->load->count, sizeof *self->requests);
    self->taken = calloc(self->load->count, sizeof *self->taken);
    if (!self->requests || !self->taken) {
        return 1;
    }
    for (uint32_t i = 0; i < self->load->count; i++) {
        self->requests[i].sides = self;
    }
    bool opened =
        skua_devices_open(&self->devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1), &err) ==
            SKUA_OK &&
        skua_exec_open(&self->exec, NULL, &err) == SKUA_OK &&
        skua_pool_open(&self->pool, SKUA_POOL_OPTIONS(.exec = self->exec, .devices = self->devices),
                       &err) == SKUA_OK &&
        skua_kernel_register(self->pool, "network",
                             SKUA_KERNEL_SPEC(.source = load_source, .params = params,
                                              .param_count = 3, .guarded = 1, .fn = load_answer,
                                              .work = 2 * LOAD_HIDDEN * (LOAD_IN + LOAD_OUT)),
                             &err) == SKUA_OK;
    return opened ? 0 : fail(&err);
}

/* Batches of all sizes are built, and their times known, before the clock runs. */
static int
warm_up(const sides *self) {
    static float in[LOAD_BATCH * LOAD_IN], scores[LOAD_BATCH * LOAD_OUT];
    skua_error err;
    for (uint32_t n = 1; n <= LOAD_BATCH; n *= 2) {
        const skua_kernel_arg args[] = {
            {.data = in, .bytes = n * LOAD_IN * sizeof(float)},
            {.data = &self->load->network, .bytes = sizeof(load_network)},
            {.data = scores, .bytes = n * LOAD_OUT * sizeof(float)}};
        const skua_launch *launch = SKUA_LAUNCH(.kernel = "network", .global = {n}, .args = args,
                                                .arg_count = 3, .on = self->on);
        if (self->on == SKUA_ON_ANY && skua_kernel_calibrate(self->pool, launch, 0, &err)) {
            return fail(&err);
        }
        for (int k = 0; k < 3; k++) {
            skua_pool_future *future;
            if (skua_kernel_submit(self->pool, launch, &future, &err) ||
                skua_kernel_collect(self->pool, launch, future, SKUA_UNLIMITED, &err)) {
                return fail(&err);
            }
            skua_pool_future_free(future);
        }
    }
    return 0;
}

/* ---- The batcher ---- */

static void
on_done(void *arg, const skua_batch_result *result) {
    const struct request *request = arg;
    sides *self = request->sides;
    uint32_t i = (uint32_t)(request - self->requests);
    if (result->status) {
        fprintf(stderr, "skua-perf: batch: %s\n", result->message);
    } else {
        memcpy(batch_load_scores(self->load, i), result->answer, result->answer_bytes);
    }
    batch_load_done(self->load, i);
}

static bool
submit_to_batcher(void *arg, uint32_t i) {
    sides *self = arg;
    skua_error err;
    skua_status status =
        skua_batch_submit(self->batch, batch_load_input(self->load, i), LOAD_IN * sizeof(float),
                          on_done, &self->requests[i], 0, &err);
    if (status && status != SKUA_E_AGAIN) {
        exit(fail(&err));
    }
    return !status;
}

static int
run_batcher(perf_run *run, int32_t on, bool resident) {
    static sides self; /* and all that it opens ends with the process */
    skua_error err;
    self.on = on;
    if (set_up(&self, run) || warm_up(&self)) {
        return 1;
    }
    skua_kernel_arg args[] = {{.bytes = LOAD_IN * sizeof(float)},
                              {.data = &self.load->network, .bytes = sizeof(load_network)},
                              {.bytes = LOAD_OUT * sizeof(float)}};
    if (resident) {
        args[1].data = NULL;
        if (skua_buffer_new(self.devices, &args[1].buffer,
                            SKUA_BUFFER_OPTIONS(.bytes = sizeof(load_network)), &err) ||
            skua_buffer_write(args[1].buffer, 0, &self.load->network, sizeof(load_network), &err)) {
            return fail(&err);
        }
    }
    if (skua_batch_open_kernel(
            &self.batch, self.pool,
            SKUA_LAUNCH(.kernel = "network", .args = args, .arg_count = 3, .global = {1}, .on = on),
            SKUA_BATCH_OPTIONS(.requests_max = LOAD_BATCH, .wait_us = LOAD_WAIT_US,
                               .queue_max = LOAD_QUEUE),
            &err)) {
        return fail(&err);
    }
    return batch_load_go(self.load, submit_to_batcher, &self);
}

int
batch_side_skua(perf_run *run) {
    return run_batcher(run, SKUA_ON_DEVICE, false);
}

int
batch_side_resident(perf_run *run) {
    return run_batcher(run, SKUA_ON_DEVICE, true);
}

int
batch_side_anywhere(perf_run *run) {
    return run_batcher(run, SKUA_ON_ANY, false);
}

/* ---- One by one ---- */

static skua_launch
launch_of(const sides *self, const struct request *request) {
    return (skua_launch){.size = sizeof(skua_launch),
                         .kernel = "network",
                         .global = {1},
                         .args = request->args,
                         .arg_count = 3,
                         .on = self->on};
}

static void *
collect_all(void *arg) {
    sides *self = arg;
    skua_error err;
    for (uint32_t k = 0;; k++) {
        while (sem_wait(&self->submitted)) {
        }
        struct request *request = &self->requests[self->taken[k]];
        skua_launch launch = launch_of(self, request);
        if (skua_kernel_collect(self->pool, &launch, request->future, SKUA_UNLIMITED, &err)) {
            fail(&err);
        }
        skua_pool_future_free(request->future);
        batch_load_done(self->load, self->taken[k]);
    }
    return NULL;
}

static bool
submit_alone(void *arg, uint32_t i) {
    sides *self = arg;
    struct request *request = &self->requests[i];
    skua_error err;
    request->args[0] = (skua_kernel_arg){.data = (void *)(uintptr_t)batch_load_input(self->load, i),
                                         .bytes = LOAD_IN * sizeof(float)};
    request->args[1] =
        (skua_kernel_arg){.data = &self->load->network, .bytes = sizeof(load_network)};
    request->args[2] = (skua_kernel_arg){.data = batch_load_scores(self->load, i),
                                         .bytes = LOAD_OUT * sizeof(float)};
    skua_launch launch = launch_of(self, request);
    skua_status status = skua_kernel_submit(self->pool, &launch, &request->future, &err);
    if (status == SKUA_E_AGAIN) {
        return false;
    }
    if (status) {
        exit(fail(&err));
    }
    self->taken[self->taken_count++] = i;
    sem_post(&self->submitted);
    return true;
}

int
batch_side_one_by_one(perf_run *run) {
    static sides self;
    pthread_t thread; /* it ends with the process */
    self.on = SKUA_ON_DEVICE;
    if (set_up(&self, run) || warm_up(&self) || sem_init(&self.submitted, 0, 0) ||
        skua__thread_start(&thread, "collect", collect_all, &self, NULL)) {
        return 1;
    }
    return batch_load_go(self.load, submit_alone, &self);
}
