// SPDX-License-Identifier: MPL-2.0
// A batcher as one would write it over bare OpenCL, with the same rules as skua's: a queue, and a thread that takes up to LOAD_BATCH
// requests as soon as the device is free, copies them together, runs the kernel and hands the scores out. With batches of one it is
// what one would write without a batcher.
#include "../batch_load.h"

#include "cl_load.h"

#include <skua-int/thread.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 16, SOURCE_BYTES = 4096 };

static const char prelude[] =
    "#define SKUA_SIZE ulong size_0, ulong size_1, ulong size_2\n"
    "#define SKUA_GUARD() do { if (get_global_id(0) >= size_0) return; } while (0)\n";

typedef struct batcher {
    batch_load *load;
    uint32_t most;
    skua__cl cl;
    cl_device_id device;
    cl_context context;
    cl_command_queue commands;
    cl_program program;
    cl_kernel kernel;
    cl_mem in, weights, scores;
    float gathered[LOAD_BATCH][LOAD_IN], answers[LOAD_BATCH][LOAD_OUT];

    skua__mutex lock; /* guards the next */
    skua__cond came;
    uint32_t queue[LOAD_QUEUE];
    uint32_t first, waiting;
    bool asleep;
} batcher;

/* The first GPU, else half of a CPU, as skua has it. */
static bool
find_device(batcher *self) {
    static const cl_device_type kinds[] = {CL_DEVICE_TYPE_GPU, CL_DEVICE_TYPE_ALL};
    cl_platform_id platforms[SKUA__CL_PLATFORMS_MAX];
    cl_uint platform_count = 0, count = 0, units = 0;
    if (!skua__cl_load(&self->cl) ||
        self->cl.get_platform_ids(SKUA__CL_PLATFORMS_MAX, platforms, &platform_count)) {
        return false;
    }
    for (size_t k = 0; k < 2 && !count; k++) {
        for (cl_uint i = 0; i < platform_count && i < SKUA__CL_PLATFORMS_MAX && !count; i++) {
            if (self->cl.get_device_ids(platforms[i], kinds[k], 1, &self->device, &count)) {
                count = 0;
            }
        }
    }
    cl_device_type kind = 0;
    if (!count ||
        self->cl.get_device_info(self->device, CL_DEVICE_TYPE, sizeof kind, &kind, NULL) ||
        self->cl.get_device_info(self->device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units,
                                 NULL)) {
        return false;
    }
    const cl_device_partition_property halves[] = {CL_DEVICE_PARTITION_BY_COUNTS,
                                                   (cl_device_partition_property)(units / 2),
                                                   CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id part = NULL;
    if ((kind & CL_DEVICE_TYPE_CPU) && units > 1 &&
        self->cl.create_sub_devices(self->device, halves, 1, &part, NULL) == CL_SUCCESS) {
        self->device = part;
    }
    return true;
}

static bool
make_kernel(batcher *self) {
    char text[SOURCE_BYTES];
    snprintf(text, sizeof text, "%s%s", prelude, load_source);
    const char *source = text;
    cl_int result = CL_SUCCESS;
    self->context = self->cl.create_context(NULL, 1, &self->device, NULL, NULL, &result);
    if (result == CL_SUCCESS) {
        self->commands = self->cl.create_queue(self->context, self->device, 0, &result);
    }
    if (result == CL_SUCCESS) {
        self->program = self->cl.program_with_source(self->context, 1, &source, NULL, &result);
    }
    if (result == CL_SUCCESS) {
        result = self->cl.build_program(self->program, 1, &self->device, "", NULL, NULL);
    }
    if (result == CL_SUCCESS) {
        self->kernel = self->cl.create_kernel(self->program, "network", &result);
    }
    return result == CL_SUCCESS;
}

static bool
make_memory(batcher *self) {
    static const cl_ulong one = 1;
    const struct {
        cl_mem *memory;
        size_t bytes;
    } all[] = {{&self->in, sizeof self->gathered},
               {&self->weights, sizeof(load_network)},
               {&self->scores, sizeof self->answers}};
    cl_int result = CL_SUCCESS;
    for (cl_uint i = 0; i < 3 && result == CL_SUCCESS; i++) {
        *all[i].memory =
            self->cl.create_buffer(self->context, CL_MEM_READ_WRITE, all[i].bytes, NULL, &result);
        if (result == CL_SUCCESS) {
            result = self->cl.set_kernel_arg(self->kernel, i, sizeof(cl_mem), all[i].memory);
        }
    }
    for (cl_uint i = 4; i < 6 && result == CL_SUCCESS; i++) {
        result = self->cl.set_kernel_arg(self->kernel, i, sizeof one, &one);
    }
    if (result == CL_SUCCESS) { /* the weights stay there */
        result = self->cl.write_buffer(self->commands, self->weights, CL_TRUE, 0,
                                       sizeof(load_network), &self->load->network, 0, NULL, NULL);
    }
    return result == CL_SUCCESS;
}

/* Runs what was gathered. */
static bool
launch(batcher *self, uint32_t count) {
    const cl_ulong size = count;
    const size_t local = GROUP, global = (count + GROUP - 1) / GROUP * GROUP;
    cl_int result = self->cl.set_kernel_arg(self->kernel, 3, sizeof size, &size);
    result |=
        self->cl.write_buffer(self->commands, self->in, CL_FALSE, 0,
                              count * sizeof self->gathered[0], self->gathered, 0, NULL, NULL);
    result |= self->cl.enqueue_kernel(self->commands, self->kernel, 1, NULL, &global, &local, 0,
                                      NULL, NULL);
    result |= self->cl.read_buffer(self->commands, self->scores, CL_TRUE, 0,
                                   count * sizeof self->answers[0], self->answers, 0, NULL, NULL);
    return result == CL_SUCCESS;
}

static uint32_t
take(batcher *self, uint32_t *ret_taken) {
    uint32_t count = 0;
    skua__mutex_lock(&self->lock);
    while (!self->waiting) {
        self->asleep = true;
        skua__cond_wait(&self->came, &self->lock);
        self->asleep = false;
    }
    while (self->waiting && count < self->most) {
        ret_taken[count++] = self->queue[self->first];
        self->first = (self->first + 1) % LOAD_QUEUE;
        self->waiting--;
    }
    skua__mutex_unlock(&self->lock);
    return count;
}

static void *
serve(void *arg) {
    batcher *self = arg;
    uint32_t taken[LOAD_BATCH];
    for (;;) {
        uint32_t count = take(self, taken);
        for (uint32_t k = 0; k < count; k++) {
            memcpy(self->gathered[k], batch_load_input(self->load, taken[k]),
                   sizeof self->gathered[k]);
        }
        if (!launch(self, count)) {
            fprintf(stderr, "skua-perf: batch: bare OpenCL failed a launch\n");
            exit(1);
        }
        for (uint32_t k = 0; k < count; k++) {
            memcpy(batch_load_scores(self->load, taken[k]), self->answers[k],
                   sizeof self->answers[k]);
            batch_load_done(self->load, taken[k]);
        }
    }
    return NULL;
}

static bool
submit(void *arg, uint32_t i) {
    batcher *self = arg;
    skua__mutex_lock(&self->lock);
    bool room = self->waiting < LOAD_QUEUE;
    if (room) {
        self->queue[(self->first + self->waiting++) % LOAD_QUEUE] = i;
        if (self->asleep) {
            skua__cond_signal(&self->came);
        }
    }
    skua__mutex_unlock(&self->lock);
    return room;
}

static int
run_side(perf_run *run, uint32_t most) {
    static batcher self; /* and all that it opens ends with the process */
    pthread_t thread;
    self.most = most;
    self.load = batch_load_new(run);
    if (!self.load || !find_device(&self) || !make_kernel(&self) || !make_memory(&self)) {
        fprintf(stderr, "skua-perf: bare OpenCL has no device\n");
        return 1;
    }
    for (uint32_t n = 1; n <= LOAD_BATCH; n *= 2) { /* warm, as skua's side is */
        if (!launch(&self, n)) {
            return 1;
        }
    }
    skua__mutex_init(&self.lock);
    skua__cond_init(&self.came);
    if (skua__thread_start(&thread, "batcher", serve, &self, NULL)) {
        return 1;
    }
    return batch_load_go(self.load, submit, &self);
}

int
batch_side_opencl(perf_run *run) {
    return run_side(run, LOAD_BATCH);
}

int
batch_side_opencl_one_by_one(perf_run *run) {
    return run_side(run, 1);
}
