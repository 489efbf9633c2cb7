// SPDX-License-Identifier: MPL-2.0
// The frame of every benchmark: cases, samples, two pinned processes per run, rows that are printed or written as
// skua.perf/1. A benchmark is one file that lists its cases; its peers lie in peers/.
#ifndef SKUA_PERF_H
#define SKUA_PERF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum {
    PERF_RUNS = 7,        /* of each implementation, interleaved */
    PERF_RUNS_MAX = 99,   /* that --runs may ask for */
    PERF_ROWS_MAX = 256,  /* of one benchmark */
    PERF_TOLD_BYTES = 512 /* what a server tells its driver: an endpoint and a key */
};

/* What is measured. Members that are NULL or 0 do not matter to the benchmark and are left out of the report. */
typedef struct perf_case {
    const char *what;      /* "ready", where one benchmark measures several things */
    const char *pattern;   /* "reqrep", "pushpull", "pubsub", "task" */
    const char *transport; /* "tcp" */
    const char *security;  /* "curve", "plain" */
    const char *placement; /* "same-core", "cross-core"; NULL: wherever the kernel likes */
    uint32_t size_bytes;   /* of a message's payload */
    uint32_t window;       /* requests or tasks in flight */
    uint32_t nodes;
    const char *work;    /* of an executor: "fib" */
    uint32_t workers;    /* of an executor */
    uint32_t submitters; /* threads that submit from outside */
    uint32_t items;      /* of a kernel: elements, or the side of a square */
    uint32_t processes;  /* each with an executor */
    uint32_t rate;       /* requests that arrive in a second */
} perf_case;

/* The result of one run, in the row's unit. */
typedef struct perf_sample {
    double p50, p99, min, max;
    uint64_t lost;
} perf_sample;

/* How the skua row is judged against the peer's row (or against a plain number, where bound is set). */
typedef struct perf_target {
    double ratio;                   /* skua / peer; 0: none */
    double excess;                  /* skua - peer, in the row's unit; 0: none */
    double bound;                   /* of the skua row itself; 0: none */
    double speedup;                 /* against / skua, at least; 0: none */
    const struct perf_row *against; /* an earlier row of a time, serial code's */
    bool higher_better;             /* the ratio or bound is a floor, not a ceiling */
} perf_target;

/* One process of a run sees this. */
typedef struct perf_run {
    const perf_case *what;
    double seconds;  /* to measure for; an eighth of it before is warm-up */
    const void *arg; /* of perf_solo() */
    int ready_fd;
    struct perf_shared {
        perf_sample sample;
        char told[PERF_TOLD_BYTES];
    } * shared; /* memory that both processes and the parent share */
} perf_run;

/* The two sides of one implementation. Each returns 0, or 1 after it wrote to stderr what failed. */
typedef struct perf_impl {
    const char *name;
    int (*serve)(
        perf_run
            *run); /* binds, fills shared->told, calls perf_ready() and works until it is killed */
    int (*drive)(perf_run *run); /* starts when the server is ready */
    bool server_measures;        /* the server fills the sample and returns; else the driver does */
} perf_impl;

typedef struct perf_row {
    const perf_case *what;
    const char *impl;
    const char *unit;
    perf_sample samples[PERF_RUNS_MAX];
    int count;
    perf_target target; /* of skua's row: judged against the row after it */
} perf_row;

/* One benchmark under way. */
typedef struct perf_bench {
    const char *name;
    const char *program; /* our own executable, for benchmarks that start whole programs */
    int runs;
    double seconds;
    const char
        *only; /* words with commas between: a case must have each of them; NULL: all cases */
    const char *const *works; /* so many words: a case must have one of them; none: all cases */
    int work_count;
    const char *impl;           /* the one implementation that runs, for profiling; NULL: all */
    const char *svg;            /* a file for the picture; NULL: none */
    const char *trace, *record; /* files that select reads or writes; NULL: none */
    bool real;                  /* select: this machine's cores and devices */
    perf_row *rows;             /* PERF_ROWS_MAX of them */
    int row_count;
    bool failed; /* some run gave no sample */
} perf_bench;

/* ---- run.c ---- */

/* For a server: its driver may start now. */
void perf_ready(perf_run *run);

/* Runs each implementation bench->runs times, interleaved, and adds a row for each. */
void perf_pairs(perf_bench *bench, const perf_case *what, const char *unit,
                const perf_impl *const *impls, size_t impl_count, perf_target target);

/*
 * Runs side() once in a process of its own, on the n-th CPU alone (cpu < 0: on all). Returns false when it failed;
 * arg is handed on in perf_run.
 */
bool perf_solo(const perf_case *what, int (*side)(perf_run *run), const void *arg, double seconds,
               int cpu, perf_sample *ret_sample);

/* Adds an empty row; NULL when there is no room. */
perf_row *perf_row_new(perf_bench *bench, const perf_case *what, const char *impl,
                       const char *unit);
void perf_row_add(perf_row *row, const perf_sample *sample);
void perf_row_add_value(perf_row *row, double value);

/* Whether the user wants this case, and this implementation. */
bool perf_wanted(const perf_bench *bench, const perf_case *what);
bool perf_wanted_impl(const perf_bench *bench, const char *impl);

/* Waits for a child until deadline_ns, then kills it. Returns its exit code, or -1. */
int perf_reap(pid_t child, int64_t deadline_ns);
/* Restricts this process to the n-th CPU that it may use. Returns false when there are fewer. */
bool perf_pin(int n);
int perf_cpus(void);

/* ---- meter.c: what both sides of every implementation count with ---- */

typedef struct perf_meter perf_meter;
/* Round trips: begin, then one call for each; true when the run is over and the sample is filled (in µs). */
perf_meter *perf_meter_new(perf_run *run);
bool perf_meter_round_trip(perf_meter *meter, int64_t began_ns, int64_t ended_ns);
/*
 * One way: one call for each message, whose first 8 bytes are a rising sequence number; true when the run is over and
 * the sample is filled (in messages per second, and what is missing between the numbers as lost).
 */
bool perf_meter_message(perf_meter *meter, const void *payload);
/* Completed requests or tasks, without a sequence; lost is added as it is. */
bool perf_meter_done(perf_meter *meter, uint64_t count, uint64_t lost);
perf_meter *perf_meter_free(perf_meter *meter);

/* ---- report.c ---- */
void perf_print(const perf_bench *bench, FILE *file);
bool perf_write_json(const perf_bench *bench, FILE *file);
/* The median of a row's runs; 0 without any. */
double perf_row_median(const perf_row *row);
/* A case in words. */
void perf_describe(const perf_case *what, char *ret, size_t size);

/* ---- svg.c ---- */
bool perf_write_svg(const perf_bench *bench, FILE *file);

/* ---- The benchmarks ---- */
void perf_lat(perf_bench *bench);
void perf_thr(perf_bench *bench);
void perf_mesh_bench(perf_bench *bench);
void perf_task(perf_bench *bench);
void perf_node(perf_bench *bench);
void perf_exec(perf_bench *bench);
void perf_select(perf_bench *bench);
void perf_gpu(perf_bench *bench);
void perf_batch(perf_bench *bench);
/* What perf_node starts: `skua-perf @node IMPL …`. */
int perf_node_child(int argc, char **argv);

#endif
