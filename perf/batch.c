// SPDX-License-Identifier: MPL-2.0
// skua-perf batch: requests of a small network that arrive at a rate, whether or not those before were answered: answered in
// batches and one by one, by skua and by what one would write over bare OpenCL, on the same device in the same run.
#include "batch_load.h"
#include "gpu_works.h"

#include <skua/device.h>

typedef struct side {
    const char *impl;
    int (*run)(perf_run *run);
} side;

enum { SIDES = 6 };
static const side sides[SIDES] = {{"skua", batch_side_skua},
                                  {"opencl", batch_side_opencl},
                                  {"resident", batch_side_resident},
                                  {"anywhere", batch_side_anywhere},
                                  {"one-by-one", batch_side_one_by_one},
                                  {"opencl-1", batch_side_opencl_one_by_one}};

/* Runs each side bench->runs times, interleaved. */
static void
measure(perf_bench *bench, const perf_case *what, const char *unit) {
    perf_row *rows[SIDES];
    if (!perf_wanted(bench, what)) {
        return;
    }
    for (int i = 0; i < SIDES; i++) {
        rows[i] = perf_row_new(bench, what, sides[i].impl, unit);
        if (!rows[i]) {
            return;
        }
    }
    for (int run = 0; run < bench->runs; run++) {
        for (int i = 0; i < SIDES; i++) {
            perf_sample sample;
            if (!perf_wanted_impl(bench, sides[i].impl)) {
                continue;
            }
            if (perf_solo(what, sides[i].run, NULL, bench->seconds, -1, &sample)) {
                perf_row_add(rows[i], &sample);
            } else {
                fprintf(stderr, "skua-perf: batch: a run of %s gave no result\n", sides[i].impl);
                bench->failed = true;
            }
        }
    }
}

/* Looks in a child process: this one must stay without OpenCL, because it forks. */
static bool
has_device(void) {
    skua_devices *devices = NULL;
    skua_error err;
    if (skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1), &err)) {
        fprintf(stderr, "skua-perf: %s %s\n", err.code, err.message);
        return false;
    }
    skua_device_info info = {.size = sizeof info};
    bool usable = skua_devices_at(devices, 0, &info, NULL) == SKUA_OK && info.usable;
    fprintf(stderr, "skua-perf: batch: %s\n", usable ? info.name : skua_devices_reason(devices));
    skua_devices_close(devices);
    return usable;
}

void
perf_batch(perf_bench *bench) {
    static const perf_case cases[] = {{.what = "latency", .work = "network", .rate = 2000},
                                      {.what = "latency", .work = "network", .rate = 20000},
                                      {.what = "latency", .work = "network", .rate = 100000}};
    static const perf_case flood = {.what = "throughput", .work = "network"};
    gpu_scratch_cache();
    if (!has_device()) {
        return;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        measure(bench, &cases[i], "us");
    }
    measure(bench, &flood, "requests/s");
}
