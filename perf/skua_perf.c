// SPDX-License-Identifier: MPL-2.0
// skua-perf BENCH: measures skua against raw libzmq, other executors and bare OpenCL doing the same work in the same run. Targets are printed beside
// the figures; only a run that gives no figure makes the program fail.
#include "perf.h"
#include "scratch.h"
#include "skua_side.h"

#include <stdlib.h>
#include <string.h>

typedef struct bench_entry {
    const char *name;
    void (*run)(perf_bench *bench);
    double seconds; /* of one run */
    const char *help;
} bench_entry;

static const bench_entry benches[] = {
    {"lat", perf_lat, 0.5, "round trips of requests"},
    {"thr", perf_thr, 0.8, "messages per second, one way"},
    {"mesh", perf_mesh_bench, 0, "24 processes until each knows each"},
    {"task", perf_task, 0.8, "remote no-op tasks"},
    {"node", perf_node, 5, "a node's start, memory and idle CPU"},
    {"exec", perf_exec, 0.3,
     "the executor's works, against serial code, oneTBB, OpenMP and StarPU"},
    {"select", perf_select, 0, "regret of the device selector and of fixed policies"},
    {"gpu", perf_gpu, 0.2, "launches, starts and works on an OpenCL device, against bare OpenCL"},
    {"batch", perf_batch, 0.5,
     "requests in batches at a rate, on an OpenCL device, against bare OpenCL"},
};
enum { BENCH_COUNT = sizeof benches / sizeof *benches };

static int
usage(FILE *file) {
    fprintf(
        file,
        "usage: skua-perf BENCH [CASE...] [--json] [--runs N] [--seconds S] [--only WORDS]\n"
        "                 [--impl NAME] [--svg FILE] [--trace FILE] [--record FILE] [--real]\n\n");
    for (size_t i = 0; i < BENCH_COUNT; i++) {
        fprintf(file, "  %-6s %s\n", benches[i].name, benches[i].help);
    }
    fprintf(
        file,
        "\n  CASE         a word of the cases to run, such as fib or cross-core; without: all\n"
        "  --svg FILE   the medians as bars, beside the table or the JSON\n"
        "  --json       one object of schema skua.perf/1 on stdout\n"
        "  --runs N     of each implementation, interleaved (%d)\n"
        "  --seconds S  of each run\n"
        "  --only WORDS  cases that have each of these, size included: pubsub,cross-core,65536\n"
        "  --impl NAME  only this implementation, for profiling\n"
        "  --trace FILE  select: replay this recorded trace instead of simulated machines\n"
        "  --record FILE  select: write the first machine's work as such a trace\n"
        "  --real       select: real work on this machine's cores and devices instead\n",
        PERF_RUNS);
    return 2;
}

/* Reads the cases and options after BENCH. Returns false when they make no sense. */
static bool
read_options(perf_bench *bench, bool *ret_json, int argc, char **argv) {
    bench->works = (const char *const *)(argv + 2);
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] != '-') {
            argv[2 + bench->work_count++] = argv[i]; /* a place that was read */
        } else if (strcmp(argv[i], "--json") == 0) {
            *ret_json = true;
        } else if (strcmp(argv[i], "--real") == 0) {
            bench->real = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (strcmp(argv[i], "--runs") == 0) {
            bench->runs = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--seconds") == 0) {
            bench->seconds = atof(argv[++i]);
        } else if (strcmp(argv[i], "--only") == 0) {
            bench->only = argv[++i];
        } else if (strcmp(argv[i], "--impl") == 0) {
            bench->impl = argv[++i];
        } else if (strcmp(argv[i], "--svg") == 0) {
            bench->svg = argv[++i];
        } else if (strcmp(argv[i], "--trace") == 0) {
            bench->trace = argv[++i];
        } else if (strcmp(argv[i], "--record") == 0) {
            bench->record = argv[++i];
        } else {
            return false;
        }
    }
    return bench->runs > 0 && bench->runs <= PERF_RUNS_MAX && bench->seconds >= 0 &&
           bench->seconds < 3600;
}

static bool
write_picture(const perf_bench *bench) {
    FILE *file = fopen(bench->svg, "w");
    bool written = file && perf_write_svg(bench, file);
    if (!file || fclose(file) != 0 || !written) {
        perror(bench->svg);
        return false;
    }
    return true;
}

int
main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "@node") == 0) {
        return perf_node_child(argc, argv);
    }
    const bench_entry *entry = NULL;
    for (size_t i = 0; i < BENCH_COUNT && argc > 1; i++) {
        entry = strcmp(argv[1], benches[i].name) == 0 ? &benches[i] : entry;
    }
    bool json = false;
    perf_bench bench = {.program = "/proc/self/exe", .runs = PERF_RUNS};
    if (entry) {
        bench.name = entry->name;
        bench.seconds = entry->seconds;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return 0;
    }
    if (!entry || !read_options(&bench, &json, argc, argv)) {
        return usage(stderr);
    }
    bench.rows = calloc(PERF_ROWS_MAX, sizeof *bench.rows);
    if (!bench.rows || !perf_scratch_open()) {
        perror("skua-perf");
        return 1;
    }
    if (skua_side_prepare()) {
        entry->run(&bench);
    } else {
        bench.failed = true;
    }
    perf_scratch_close();
    if (bench.work_count > 0 && bench.row_count == 0 && !bench.failed) {
        fprintf(stderr, "skua-perf: %s has no such case here; `skua-perf %s` runs all it has\n",
                entry->name, entry->name);
        bench.failed = true;
    }
    if (json) {
        bench.failed |= !perf_write_json(&bench, stdout);
    } else {
        perf_print(&bench, stdout);
    }
    bench.failed |= bench.svg && !write_picture(&bench);
    free(bench.rows);
    return bench.failed ? 1 : 0;
}
