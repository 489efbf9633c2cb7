// SPDX-License-Identifier: MPL-2.0
// skua-perf gpu: what skua costs above bare OpenCL doing the same on the same device in the same run, how much faster what it keeps makes a
// start, what overlapping copies brings, and devices beside cores. Without OpenCL only the fake device is measured.
#include "gpu_works.h"

#include <skua-int/clock.h>
#include <skua/device.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { REPEATS_MAX = 100000, REPEATS_MIN = 3, WARM_UP_SHARE = 8, PATH_BYTES = 512, COPY_MIB = 64 };

static const double empty_ratio = 1.2, batched_excess_us = 1.3, open_ms = 2, build_ratio = 0.01,
                    overlap_ratio = 1 / 1.5, staged_ratio = 0.9;

/* ---- Samples ---- */

static int
by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

void
gpu_sample_of(const double *values, int count, perf_sample *ret_sample) {
    double *sorted = malloc((size_t)count * sizeof *sorted);
    if (!sorted) {
        perror("skua-perf");
        exit(1);
    }
    memcpy(sorted, values, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_value);
    *ret_sample = (perf_sample){.p50 = sorted[count / 2],
                                .p99 = sorted[count * 99 / 100],
                                .min = sorted[0],
                                .max = sorted[count - 1]};
    free(sorted);
}

int
gpu_repeat(perf_run *run, double (*once)(void *arg), void *arg) {
    double *values = malloc(REPEATS_MAX * sizeof *values);
    if (!values) {
        perror("skua-perf");
        return 1;
    }
    int64_t length_ns = (int64_t)(run->seconds * (double)SKUA_NS_PER_S);
    int64_t begin_ns = skua__clock_ns() + length_ns / WARM_UP_SHARE;
    int count = 0;
    bool good = true;
    for (bool over = false; !over && good;) {
        int64_t now_ns = skua__clock_ns();
        double value = once(arg);
        good = value >= 0;
        if (now_ns >= begin_ns) {
            values[count++] = value;
        }
        over = count == REPEATS_MAX || (count >= REPEATS_MIN && now_ns >= begin_ns + length_ns);
    }
    if (good) {
        gpu_sample_of(values, count, &run->shared->sample);
    }
    free(values);
    return !good;
}

/* ---- Rows ---- */

typedef struct side {
    const char *impl;
    int (*run)(perf_run *run);
    const char *folder; /* handed on */
    bool fresh;         /* OpenCL's own cache, and the folder, are empty at each run */
} side;

typedef struct folders {
    char base[PATH_BYTES];
    char kept[PATH_BYTES + 16];
    char fresh[PATH_BYTES + 32];
    int made;
} folders;

/* New folders below the scratch one: drivers keep programs of their own, and must not help a build that is measured. */
static const char *
start_fresh(folders *self) {
    snprintf(self->fresh, sizeof self->fresh, "%s/fresh-%d", self->base, self->made++);
    mkdir(self->fresh, 0700);
    setenv("POCL_CACHE_DIR", self->fresh, 1);
    return self->fresh;
}

static void
end_fresh(const folders *self) {
    char path[PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/pocl", self->base);
    setenv("POCL_CACHE_DIR", path, 1);
}

static bool
run_side(const perf_bench *bench, const perf_case *what, const side *one, folders *where,
         perf_sample *ret_sample) {
    const char *fresh = one->fresh ? start_fresh(where) : NULL;
    const char *folder = one->folder ? one->folder : fresh;
    bool good = perf_solo(what, one->run, folder, bench->seconds, -1, ret_sample);
    end_fresh(where);
    return good;
}

/* Runs each side bench->runs times, interleaved. */
static void
measure(perf_bench *bench, folders *where, const perf_case *what, const char *unit,
        const side *sides, int side_count, perf_target target) {
    if (!perf_wanted(bench, what)) {
        return;
    }
    perf_row *first = NULL;
    for (int i = 0; i < side_count; i++) {
        perf_row *row = perf_row_new(bench, what, sides[i].impl, unit);
        if (!row) {
            return;
        }
        first = first ? first : row;
    }
    first->target = target;
    for (int run = 0; run < bench->runs; run++) {
        for (int i = 0; i < side_count; i++) {
            perf_sample sample;
            if (!perf_wanted_impl(bench, sides[i].impl)) {
                continue;
            }
            if (run_side(bench, what, &sides[i], where, &sample)) {
                perf_row_add(&first[i], &sample);
            } else {
                fprintf(stderr, "skua-perf: gpu: a run of %s gave no result\n", sides[i].impl);
                bench->failed = true;
            }
        }
    }
}

/* ---- The cases ---- */

static void
measure_launches(perf_bench *bench, folders *where) {
    static const perf_case cases[] = {{.what = "empty", .pattern = "pool", .items = 1},
                                      {.what = "empty", .pattern = "engine", .items = 1},
                                      {.what = "batched", .pattern = "pool", .items = 1},
                                      {.what = "batched", .pattern = "pool-all", .items = 1},
                                      {.what = "batched", .pattern = "engine", .items = 1}};
    static const side pool[] = {{"skua", gpu_side_pool_device, NULL, false},
                                {"opencl", gpu_side_opencl, NULL, false}};
    static const side engine[] = {{"skua", gpu_side_engine, NULL, false},
                                  {"opencl", gpu_side_opencl, NULL, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool empty = strcmp(cases[i].what, "empty") == 0;
        bool bare = strcmp(cases[i].pattern, "engine") == 0;
        measure(bench, where, &cases[i], "us", bare ? engine : pool, 2,
                empty ? (perf_target){.ratio = empty_ratio}
                      : (perf_target){.excess = batched_excess_us});
    }
}

static void
measure_starts(perf_bench *bench, folders *where) {
    static const perf_case open = {.what = "open"};
    static const side opens[] = {{"skua", gpu_side_devices_open, NULL, false},
                                 {"opencl", gpu_side_opencl, NULL, false}};
    measure(bench, where, &open, "ms", opens, 2, (perf_target){.bound = open_ms});
    static const perf_case build = {.what = "first-launch", .work = "matmul", .items = 33};
    const side builds[] = {{"kept", gpu_side_first_launch, where->kept, true},
                           {"source", gpu_side_first_launch, NULL, true},
                           {"opencl", gpu_side_opencl_first_launch, NULL, true}};
    perf_sample unused;
    if (perf_wanted(bench, &build) && !run_side(bench, &build, &builds[0], where, &unused)) {
        bench->failed = true; /* this one builds what is kept then */
    }
    measure(bench, where, &build, "ms", builds, 3, (perf_target){.ratio = build_ratio});
}

static void
measure_works(perf_bench *bench, folders *where) {
    static const perf_case works[] = {{.what = "work", .work = "saxpy", .items = 1 << 22},
                                      {.what = "work", .work = "matmul", .items = 320},
                                      {.what = "work", .work = "mandelbrot", .items = 512}};
    static const side sides[] = {{"device", gpu_side_pool_device, NULL, false},
                                 {"opencl", gpu_side_opencl, NULL, false},
                                 {"cores", gpu_side_pool_cores, NULL, false},
                                 {"buffers", gpu_side_pool_buffers, NULL, false}};
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        measure(bench, where, &works[i], "ms", sides, 4, (perf_target){0});
    }
    static const perf_case resident = {.what = "resident", .work = "saxpy", .items = 1 << 22};
    static const side there[] = {{"buffers", gpu_side_pool_buffers, NULL, false},
                                 {"opencl", gpu_side_opencl, NULL, false}};
    measure(bench, where, &resident, "ms", there, 2, (perf_target){0});
    static const perf_case rates[] = {{.what = "rate", .work = "saxpy", .items = 1 << 22},
                                      {.what = "rate", .work = "mad", .items = 1 << 16}};
    static const char *const units[] = {"GB/s", "GFLOP/s"};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        measure(bench, where, &rates[i], units[i], sides, 3, (perf_target){0});
    }
}

/* On a CPU there is no bus that pinned memory would be good for: its rows are only told. */
static void
measure_copies(perf_bench *bench, folders *where, bool has_bus) {
    static const perf_case copies[] = {{.what = "copy", .pattern = "in", .items = COPY_MIB},
                                       {.what = "copy", .pattern = "out", .items = COPY_MIB}};
    static const side sides[] = {{"staged", gpu_side_staged, NULL, false},
                                 {"pinned", gpu_side_opencl_pinned, NULL, false},
                                 {"pageable", gpu_side_opencl_pageable, NULL, false}};
    perf_target target = {.ratio = has_bus ? staged_ratio : 0, .higher_better = true};
    for (int i = 0; i < 2; i++) {
        measure(bench, where, &copies[i], "GB/s", sides, 3, target);
    }
}

static void
measure_overlap(perf_bench *bench, folders *where) {
    static const perf_case overlap = {.what = "overlap", .work = "saxpy"};
    static const side sides[] = {{"together", gpu_side_fake_together, NULL, false},
                                 {"apart", gpu_side_fake_apart, NULL, false}};
    measure(bench, where, &overlap, "ms", sides, 2, (perf_target){.ratio = overlap_ratio});
}

/* Looks in a child process: this one must stay without OpenCL, because it forks. */
static bool
has_device(bool *ret_has_bus) {
    skua_devices *devices = NULL;
    skua_error err;
    if (skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1), &err)) {
        fprintf(stderr, "skua-perf: %s %s\n", err.code, err.message);
        return false;
    }
    skua_device_info info = {.size = sizeof info};
    bool usable = skua_devices_at(devices, 0, &info, NULL) == SKUA_OK && info.usable;
    if (usable) {
        fprintf(stderr, "skua-perf: gpu: on %s (%s, driver %s)\n", info.name, info.platform,
                info.driver);
    } else {
        fprintf(stderr, "skua-perf: gpu: %s; only the fake device is measured\n",
                skua_devices_reason(devices));
    }
    *ret_has_bus = !info.unified;
    skua_devices_close(devices);
    return usable;
}

const char *
gpu_scratch_cache(void) {
    const char *base = getenv("XDG_CONFIG_HOME");
    folders where = {0};
    snprintf(where.base, sizeof where.base, "%s", base);
    setenv("XDG_CACHE_HOME", base, 1);
    end_fresh(&where);
    return base;
}

void
perf_gpu(perf_bench *bench) {
    folders where = {0};
    snprintf(where.base, sizeof where.base, "%s", gpu_scratch_cache());
    snprintf(where.kept, sizeof where.kept, "%s/kept", where.base);
    mkdir(where.kept, 0700);
    bool has_bus = false;
    if (has_device(&has_bus)) {
        measure_launches(bench, &where);
        measure_starts(bench, &where);
        measure_works(bench, &where);
        measure_copies(bench, &where, has_bus);
    }
    measure_overlap(bench, &where);
}
