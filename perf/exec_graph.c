// SPDX-License-Identifier: MPL-2.0
// skua-perf exec, chain and dag: graphs of empty nodes that are built once and run again and again. A run's time is divided
// by its nodes. OpenMP has no graphs to keep: its tasks are made with their dependences in each run, and that counts.
#include "exec_graph.h"

#include <skua-int/clock.h>

#include <stdlib.h>
#include <string.h>

enum {
    RUNS_LEAST = 5, /* of a graph, in one process; the median counts */
    RUNS_MOST = 2000,
    RUNS_LEAST_NS =
        50000000, /* together: longer than the kernel leaves a woken worker beside its waker */
};

/* A chain is a row of nodes; a dag is layers of nodes, each behind two of the layer before. */
static const exec_shape shapes[] = {
    {.name = "chain", .width = 1, .layers = 20000},
    {.name = "dag", .width = 64, .layers = 256},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* The bounds of issue and design, for both numbers of workers. */
static const double bounds[SHAPES] = {4, 25};

typedef struct graph_run {
    const exec_peer *peer;
    const exec_shape *shape;
} graph_run;

static int
compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* In the child: the graph is built, run once to warm up, and then again and again. Each node counts itself. */
static int
measure(perf_run *run) {
    const graph_run *what = run->arg;
    const uint64_t nodes = (uint64_t)what->shape->width * what->shape->layers;
    uint32_t *counts = calloc(nodes, sizeof *counts);
    if (!counts) {
        return 1;
    }
    void *pool = what->peer->open((int)run->what->workers);
    void *graph = what->peer->graph_new(pool, what->shape, counts);
    static double values[RUNS_MOST];
    uint32_t runs = 0;
    int64_t all_ns = 0;
    what->peer->graph_run(pool, graph);
    while (runs < RUNS_LEAST || (runs < RUNS_MOST && all_ns < RUNS_LEAST_NS)) {
        int64_t began_ns = skua__clock_ns();
        what->peer->graph_run(pool, graph);
        int64_t took_ns = skua__clock_ns() - began_ns;
        all_ns += took_ns;
        values[runs++] = (double)took_ns / (double)nodes;
    }
    what->peer->graph_free(graph);
    what->peer->close(pool);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < nodes; i++) {
        wrong += counts[i] != runs + 1;
    }
    free(counts);
    if (wrong) {
        fprintf(stderr, "skua-perf: %s on %s: %llu nodes did not run once\n", what->shape->name,
                what->peer->name, (unsigned long long)wrong);
        return 1;
    }
    qsort(values, runs, sizeof *values, compare);
    run->shared->sample = (perf_sample){.p50 = values[runs / 2],
                                        .p99 = values[runs * 99 / 100],
                                        .min = values[0],
                                        .max = values[runs - 1]};
    return 0;
}

static void
bench_shape(perf_bench *bench, const perf_case *what, size_t shape, const exec_peers *peers) {
    perf_row *rows[EXEC_PEERS_MAX] = {NULL};
    for (size_t i = 0; i < peers->count; i++) {
        const exec_peer *peer = peers->list[i];
        bool again = peer->alone && what->workers > 1;
        if (peer->graph_run && !again && perf_wanted_impl(bench, peer->name)) {
            rows[i] = perf_row_new(bench, what, peer->name, "ns");
        }
    }
    if (rows[0]) {
        rows[0]->target.bound = bounds[shape];
    }
    for (int run = 0; run < bench->runs; run++) {
        for (size_t i = 0; i < peers->count; i++) {
            graph_run arg = {.peer = peers->list[i], .shape = &shapes[shape]};
            perf_sample sample;
            if (!rows[i]) {
                continue;
            }
            if (perf_solo(what, measure, &arg, bench->seconds, -1, &sample)) {
                perf_row_add(rows[i], &sample);
            } else {
                bench->failed = true;
            }
        }
    }
}

void
perf_exec_graph(perf_bench *bench, const exec_peers *peers) {
    static perf_case cases[SHAPES][2];
    for (size_t i = 0; i < SHAPES; i++) {
        for (uint32_t workers = 1; workers <= 2; workers++) {
            perf_case *what = &cases[i][workers - 1];
            *what = (perf_case){.work = shapes[i].name, .workers = workers};
            if (perf_wanted(bench, what)) {
                bench_shape(bench, what, i, peers);
            }
        }
    }
}
