// SPDX-License-Identifier: MPL-2.0
// Takes pieces of seven kernels through a pool on this machine's cores and devices, times each on every backend, and lets
// another pool choose for itself.
#include "select_real.h"
#include "gpu_works.h"

#include <math.h>
#include <skua-int/clock.h>
#include <skua-int/rand.h>
#include <skua/exec.h>
#include <skua/launch.h>
#include <stdlib.h>
#include <string.h>

enum {
    KERNELS = 7,
    REPEATS = 7,     /* of a piece on each backend, of which the median is what is expected */
    SCAN_SIZES = 13, /* at which each kernel is measured to find where the best backend changes */
    CROSSINGS_MAX = SCAN_SIZES - 1,
    CALIBRATED_SIZES = 4,
    WARMUP_PART = 5,
};

/* The sizes are such that no backend takes more than a few milliseconds here. */
typedef struct real_kernel {
    const char *name;
    uint32_t min_size, max_size;
    bool elementwise;
} real_kernel;

static const real_kernel kernels[KERNELS] = {
    {"saxpy", 256, 1 << 20, true},       {"reduction", 1024, 1 << 21, false},
    {"matmul", 8, 128, false},           {"stencil", 16, 700, false},
    {"histogram", 4096, 1 << 20, false}, {"mandelbrot", 8, 160, false},
    {"sha256", 1, 2048, false},
};

typedef struct real {
    skua_exec *exec;
    skua_devices *devices;
    skua_pool *measured;                /* launches are pinned here */
    skua_pool *choosing[REAL_CHOOSERS]; /* and placed by the pool here */
    uint32_t backend_count;             /* cores, devices */
    skua__rand rand;
    double crossings[KERNELS][CROSSINGS_MAX];
    uint32_t crossing_count[KERNELS];
} real;

/* How long one run took, and where it ran. */
typedef struct run_times {
    double total_ns, run_ns, move_ns;
    uint32_t place;
    bool tried; /* to learn from it */
} run_times;

static bool
fail(const skua_error *err) {
    fprintf(stderr, "skua-perf: select: %s %s\n", err->code, err->message);
    return false;
}

/* ---- The machine ---- */

static bool
open_pool(const real *self, skua_pool **ret_pool) {
    skua_error err;
    if (skua_pool_open(ret_pool, SKUA_POOL_OPTIONS(.exec = self->exec, .devices = self->devices),
                       &err)) {
        return fail(&err);
    }
    for (int k = 0; k < KERNELS; k++) {
        skua_kernel_spec spec = gpu_spec_of(gpu_work_named(kernels[k].name));
        if (skua_kernel_register(*ret_pool, kernels[k].name, &spec, &err)) {
            return fail(&err);
        }
    }
    return true;
}

/*
 * Cores for the executor: those that no device of ours takes, so that each place can be had while the others work. Our CPU
 * devices take half of them (gpu/cl_driver.c).
 */
static int
free_workers(const skua_device_info *info) {
    int cpus = perf_cpus();
    return info->kind == SKUA_DEVICE_CPU && cpus > 1 ? cpus - cpus / 2 : cpus;
}

/* Counts the devices that serve. Places are counted in their order, so the first that does not ends the list. */
static bool
find_devices(real *self, int *ret_workers) {
    skua_error err;
    size_t count = skua_devices_count(self->devices);
    self->backend_count = 1;
    *ret_workers = perf_cpus();
    for (size_t i = 0; i < count && self->backend_count < STREAM_BACKENDS; i++) {
        skua_device_info info = {.size = sizeof info};
        if (skua_devices_at(self->devices, i, &info, &err)) {
            return fail(&err);
        }
        if (!info.usable) {
            break;
        }
        int workers = free_workers(&info);
        *ret_workers = workers < *ret_workers ? workers : *ret_workers;
        self->backend_count++;
        fprintf(stderr, "skua-perf: select: on %s (driver %s) and %d cores\n", info.name,
                info.driver, *ret_workers);
    }
    return true;
}

/* Nothing is kept or found on disk: the pools begin with knowing nothing. Without a device no pool is opened. */
static bool
open_machine(real *self) {
    skua_error err;
    int workers = 0;
    if (skua_devices_open(&self->devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1, .cache_dir = ""),
                          &err)) {
        return fail(&err);
    }
    if (!find_devices(self, &workers) || self->backend_count == 1) {
        return self->backend_count == 1;
    }
    if (skua_exec_open(&self->exec, SKUA_EXEC_OPTIONS(.workers = workers), &err)) {
        return fail(&err);
    }
    bool good = open_pool(self, &self->measured);
    for (int i = 0; i < REAL_CHOOSERS && good; i++) {
        good = open_pool(self, &self->choosing[i]);
    }
    return good;
}

static void
close_machine(real *self) {
    for (int i = 0; i < REAL_CHOOSERS; i++) {
        skua_pool_close(self->choosing[i]);
    }
    skua_pool_close(self->measured);
    skua_devices_close(self->devices);
    skua_exec_close(self->exec);
}

/* ---- One run ---- */

static int32_t
on_backend(uint32_t backend) {
    return backend == 0 ? SKUA_ON_CORES : SKUA_ON_DEVICE + (int32_t)backend - 1;
}

static bool
look_at_shares(const real *self, skua_pool *pool, const char *kernel, skua_kernel_share *ret) {
    skua_error err;
    for (uint32_t i = 0; i < self->backend_count; i++) {
        ret[i] = (skua_kernel_share){.size = sizeof ret[i]};
        if (skua_kernel_share_at(pool, kernel, i, &ret[i], &err)) {
            return fail(&err);
        }
    }
    return true;
}

/* Runs a job once, and tells from the pool's own figures where, and how long each part of it took. */
static bool
run_once(const real *self, skua_pool *pool, const gpu_job *job, int32_t on, run_times *ret) {
    skua_kernel_share before[STREAM_BACKENDS], after[STREAM_BACKENDS];
    skua_launch launch = gpu_launch_of(job);
    skua_pool_future *future = NULL;
    skua_task_result result = {.size = sizeof result};
    char words[1024];
    skua_error err;
    launch.on = on;
    if (!look_at_shares(self, pool, launch.kernel, before)) {
        return false;
    }
    if (skua_kernel_submit(pool, &launch, &future, &err) ||
        skua_kernel_collect(pool, &launch, future, SKUA_UNLIMITED, &err) ||
        skua_pool_result(future, &result, &err)) {
        skua_pool_future_free(future);
        return fail(&err);
    }
    *ret = (run_times){.total_ns = (double)result.total_ns,
                       .tried = strstr(skua_pool_explain(future, words, sizeof words), "tried")};
    if (!look_at_shares(self, pool, launch.kernel, after)) {
        return false;
    }
    for (uint32_t i = 0; i < self->backend_count; i++) {
        if (after[i].launches > before[i].launches) {
            ret->place = i;
            ret->run_ns = (double)(after[i].run_ns - before[i].run_ns);
        }
    }
    ret->run_ns = ret->run_ns > 0 ? ret->run_ns : 1;
    /* A result's time is all that the place was busy with it: on a device its copies too. */
    double busy_ns = (double)result.run_ns;
    ret->move_ns = busy_ns > ret->run_ns && ret->place > 0 ? busy_ns - ret->run_ns : 0;
    skua_pool_future_free(future);
    return true;
}

static int
by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* A run whose result is looked at. */
static bool
run_and_check(const real *self, skua_pool *pool, gpu_job *job, int32_t on, run_times *ret) {
    for (uint32_t i = 0; i < job->work->param_count; i++) {
        if (job->work->params[i] == SKUA_PARAM_OUT) {
            memset(job->args[i].data, 0xff, job->args[i].bytes);
        }
    }
    if (!run_once(self, pool, job, on, ret)) {
        return false;
    }
    if (!job->work->is_right(job)) {
        fprintf(stderr, "skua-perf: select: %s of %u is wrong on place %u\n", job->work->name,
                job->size, ret->place);
        return false;
    }
    return true;
}

/*
 * Each backend in turn, REPEATS times. Fills the options: what was seen is the last run, what is expected is the median.
 */
static bool
measure(const real *self, const gpu_job *job, double bytes, stream_option *ret) {
    double totals_ns[STREAM_BACKENDS][REPEATS];
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        for (uint32_t b = 0; b < self->backend_count; b++) {
            run_times times;
            if (!run_once(self, self->measured, job, on_backend(b), &times)) {
                return false;
            }
            totals_ns[b][repeat] = times.total_ns;
            ret[b] = (stream_option){.offered = true,
                                     .run_ns = times.run_ns,
                                     .move_ns = times.move_ns,
                                     .launch_ns = times.total_ns - times.run_ns - times.move_ns,
                                     .missing_bytes = b > 0 ? bytes : 0};
            ret[b].launch_ns = ret[b].launch_ns > 0 ? ret[b].launch_ns : 1;
        }
    }
    for (uint32_t b = 0; b < self->backend_count; b++) {
        qsort(totals_ns[b], REPEATS, sizeof totals_ns[b][0], by_value);
        ret[b].expected_ns = totals_ns[b][REPEATS / 2];
    }
    return true;
}

/* ---- Pieces ---- */

static bool
job_of(gpu_job *job, uint32_t kernel, uint32_t size) {
    if (!gpu_job_init(job, gpu_work_named(kernels[kernel].name), size)) {
        perror("skua-perf: select");
        return false;
    }
    return true;
}

/* A piece as the selector sees it; the pool counts the same. */
static void
describe(const gpu_job *job, uint32_t kernel, stream_item *ret) {
    uint64_t units = job->global[0] * job->global[1] * job->global[2];
    double flops = strcmp(job->work->name, "matmul") == 0 ? job->amount
                                                          : job->work->operations * (double)units;
    *ret = (stream_item){.kernel = kernel,
                         .elementwise = kernels[kernel].elementwise,
                         .units = units,
                         .flops = (uint64_t)flops};
    for (uint32_t i = 0; i < job->work->param_count; i++) {
        ret->bytes += job->args[i].data ? job->args[i].bytes : 0;
    }
}

/*
 * One piece on every backend, and with ret_choices (REAL_CHOOSERS of them; else NULL) where the pools choose. All results are
 * looked at once; what is timed comes after.
 */
static bool
take_piece(const real *self, uint32_t kernel, uint32_t size, stream_item *ret_item,
           run_times *ret_choices) {
    gpu_job job;
    run_times unused;
    bool good = job_of(&job, kernel, size);
    if (good) {
        describe(&job, kernel, ret_item);
    }
    for (uint32_t b = 0; b < self->backend_count && good; b++) {
        good = run_and_check(self, self->measured, &job, on_backend(b), &unused);
    }
    for (int c = 0; c < REAL_CHOOSERS && good && ret_choices; c++) {
        good = run_and_check(self, self->choosing[c], &job, SKUA_ON_ANY, &ret_choices[c]);
    }
    good = good && measure(self, &job, (double)ret_item->bytes, ret_item->options);
    gpu_job_fini(&job);
    return good;
}

/* Judges what the pools chose by what was measured of the places that they have. */
static void
note_choices(const real *self, const stream_item *item, const run_times *choices,
             real_record *record) {
    double best_ns = INFINITY;
    for (uint32_t i = 0; i < self->backend_count; i++) {
        double ns = item->options[i].expected_ns;
        best_ns = ns < best_ns ? ns : best_ns;
    }
    for (int c = 0; c < REAL_CHOOSERS; c++) {
        record->online[c][record->stream->count] =
            (stream_choice){item->options[choices[c].place].expected_ns, best_ns};
        record->tried[c] += choices[c].tried;
    }
    record->stream->count++;
}

static double
size_at(uint32_t kernel, double part) {
    double ratio = (double)kernels[kernel].max_size / kernels[kernel].min_size;
    return kernels[kernel].min_size * pow(ratio, part);
}

/* Measures a kernel over its sizes, and notes between which of them the best backend changes. */
static bool
scan(real *self, uint32_t kernel) {
    uint32_t before = 0;
    for (int i = 0; i < SCAN_SIZES; i++) {
        stream_item item;
        double part = (double)i / (SCAN_SIZES - 1);
        if (!take_piece(self, kernel, (uint32_t)size_at(kernel, part), &item, NULL)) {
            return false;
        }
        uint32_t best = 0;
        for (uint32_t b = 1; b < self->backend_count; b++) {
            best = item.options[b].expected_ns < item.options[best].expected_ns ? b : best;
        }
        if (i > 0 && best != before) {
            self->crossings[kernel][self->crossing_count[kernel]++] =
                size_at(kernel, (i - 0.5) / (SCAN_SIZES - 1));
        }
        before = best;
    }
    return true;
}

static uint32_t
pick_size(real *self, uint32_t kernel) {
    const real_kernel *of = &kernels[kernel];
    double size = size_at(kernel, skua__rand_unit(&self->rand));
    if (self->crossing_count[kernel] && skua__rand_below(&self->rand, 3) == 0) {
        uint32_t crossing = skua__rand_below(&self->rand, self->crossing_count[kernel]);
        size = self->crossings[kernel][crossing] * pow(1.5, 2 * skua__rand_unit(&self->rand) - 1);
    }
    return size < of->min_size ? of->min_size : size > of->max_size ? of->max_size : (uint32_t)size;
}

/* Has one of the pools calibrate each kernel at a few sizes. */
static bool
calibrate(const real *self, real_record *record) {
    int64_t start_ns = skua__clock_ns();
    for (uint32_t kernel = 0; kernel < KERNELS; kernel++) {
        for (int i = 0; i < CALIBRATED_SIZES; i++) {
            gpu_job job;
            skua_error err;
            double part = (double)i / (CALIBRATED_SIZES - 1);
            bool good = job_of(&job, kernel, (uint32_t)size_at(kernel, part));
            skua_launch launch = gpu_launch_of(&job);
            if (good && skua_kernel_calibrate(self->choosing[REAL_CALIBRATED], &launch, 0, &err)) {
                good = fail(&err);
            }
            gpu_job_fini(&job);
            if (!good) {
                return false;
            }
        }
    }
    record->calibrating_ns = (double)(skua__clock_ns() - start_ns);
    return true;
}

/* ---- The record ---- */

static bool
make_stream(const real *self, size_t count, real_record *ret) {
    stream *s = calloc(1, sizeof *s);
    stream_item *items = calloc(count, sizeof *items);
    ret->stream = s;
    bool room = s && items;
    for (int c = 0; c < REAL_CHOOSERS; c++) {
        ret->online[c] = calloc(count, sizeof *ret->online[c]);
        room = room && ret->online[c];
    }
    if (!room) {
        free(items);
        perror("skua-perf: select");
        return false;
    }
    *s = (stream){.backend_count = self->backend_count,
                  .kernel_count = KERNELS,
                  .items = items,
                  .warmup = count / WARMUP_PART};
    for (uint32_t b = 0; b < s->backend_count; b++) {
        stream_backend *backend = &s->backends[b];
        backend->kind = b == 0 ? SKUA_SELECT_SIMD : SKUA_SELECT_DEVICE;
        snprintf(backend->name, sizeof backend->name, b == 0 ? "cores" : "device %u", b - 1);
    }
    for (int k = 0; k < KERNELS; k++) {
        snprintf(s->kernels[k], sizeof s->kernels[k], "%s", kernels[k].name);
    }
    return true;
}

static bool
take_all(real *self, size_t count, real_record *record) {
    for (uint32_t k = 0; k < KERNELS; k++) {
        if (!scan(self, k)) {
            return false;
        }
        record->crossings += self->crossing_count[k];
    }
    if (!make_stream(self, count, record) || !calibrate(self, record)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        run_times choices[REAL_CHOOSERS];
        stream_item *item = &record->stream->items[i];
        uint32_t kernel = skua__rand_below(&self->rand, KERNELS);
        if (!take_piece(self, kernel, pick_size(self, kernel), item, choices)) {
            return false;
        }
        note_choices(self, item, choices, record);
    }
    return true;
}

bool
real_take(uint32_t pieces, uint64_t seed, real_record *ret_record) {
    real *self = calloc(1, sizeof *self);
    *ret_record = (real_record){0};
    if (!self) {
        perror("skua-perf: select");
        return false;
    }
    self->rand.state = seed;
    bool good = open_machine(self);
    if (good && self->backend_count > 1) {
        good = take_all(self, (size_t)pieces * KERNELS, ret_record);
    }
    close_machine(self);
    free(self);
    return good;
}

void
real_free(real_record *record) {
    trace_free(record->stream);
    for (int c = 0; c < REAL_CHOOSERS; c++) {
        free(record->online[c]);
    }
}
