// SPDX-License-Identifier: MPL-2.0
// The executor seen from outside: how long a round trip to a busy and to a sleeping executor
// takes, what it burns while idle, and what it loses with more workers than cores.
#include "exec_bench.h"

#include <skua-int/clock.h>

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    ROUND_TRIPS = 20000, /* hot ones */
    WAKE_UPS = 200,
    WAKE_PAUSE_US = 2000, /* long enough for every worker to be asleep */
    IDLE_MS = 1000,
};

static int
by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static perf_sample
sample_of(double *values, size_t count) {
    qsort(values, count, sizeof *values, by_value);
    return (perf_sample){.p50 = values[count / 2],
                         .p99 = values[count * 99 / 100],
                         .min = values[0],
                         .max = values[count - 1]};
}

static perf_sample
sample_of_one(double value) {
    return (perf_sample){.p50 = value, .p99 = value, .min = value, .max = value};
}

static void
pause_us(int64_t us) {
    struct timespec length = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
}

/* ---- Round trips ---- */

static void
raise_flag(void *arg) {
    atomic_store_explicit((atomic_int *)arg, 1, memory_order_release); /* a benchmark's own flag */
}

static int
measure_round_trip(perf_run *run) {
    const exec_peer *peer = run->arg;
    void *pool = peer->open((int)run->what->workers);
    double *us = calloc(ROUND_TRIPS, sizeof *us);
    exec_memory memory;
    atomic_int flag;
    for (int i = 0; i < ROUND_TRIPS; i++) {
        atomic_store(&flag, 0);
        int64_t began_ns = skua__clock_ns();
        peer->submit(pool, &memory, raise_flag, &flag);
        while (!atomic_load_explicit(&flag, memory_order_acquire)) {
        }
        us[i] = (double)(skua__clock_ns() - began_ns) / 1e3;
    }
    run->shared->sample = sample_of(us, ROUND_TRIPS);
    peer->close(pool);
    free(us);
    return 0;
}

/* ---- Wake-ups ---- */

static void
note_time(void *arg) {
    atomic_store_explicit((atomic_llong *)arg, skua__clock_ns(), memory_order_release);
}

static int
measure_wake(perf_run *run) {
    const exec_peer *peer = run->arg;
    void *pool = peer->open((int)run->what->workers);
    double us[WAKE_UPS];
    exec_memory memory;
    for (int i = 0; i < WAKE_UPS; i++) {
        atomic_llong began_at = 0;
        pause_us(WAKE_PAUSE_US);
        int64_t began_ns = skua__clock_ns();
        peer->submit(pool, &memory, note_time, &began_at);
        long long at;
        while ((at = atomic_load_explicit(&began_at, memory_order_acquire)) == 0) {
        }
        us[i] = (double)(at - began_ns) / 1e3;
    }
    run->shared->sample = sample_of(us, WAKE_UPS);
    peer->close(pool);
    return 0;
}

/* The floor of a wake-up: one thread asleep on a bare futex. */
typedef struct sleeper {
    atomic_int word;
    atomic_llong woke_ns;
    atomic_int stop;
} sleeper;

static void *
sleep_on_futex(void *arg) {
    sleeper *self = arg;
    for (;;) {
        while (atomic_load(&self->word) == 0) {
            syscall(SYS_futex, &self->word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
        }
        atomic_store(&self->word, 0);
        if (atomic_load(&self->stop)) {
            return NULL;
        }
        atomic_store(&self->woke_ns, skua__clock_ns());
    }
}

static int
measure_futex(perf_run *run) {
    sleeper self = {.word = 0};
    pthread_t thread;
    double us[WAKE_UPS];
    pthread_create(&thread, NULL, sleep_on_futex, &self);
    for (int i = 0; i <= WAKE_UPS; i++) {
        atomic_store(&self.woke_ns, 0);
        pause_us(WAKE_PAUSE_US);
        atomic_store(&self.stop, i == WAKE_UPS);
        int64_t began_ns = skua__clock_ns();
        atomic_store(&self.word, 1);
        syscall(SYS_futex, &self.word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        long long at = 0;
        while (i < WAKE_UPS && (at = atomic_load(&self.woke_ns)) == 0) {
        }
        if (i < WAKE_UPS) {
            us[i] = (double)(at - began_ns) / 1e3;
        }
    }
    pthread_join(thread, NULL);
    run->shared->sample = sample_of(us, WAKE_UPS);
    return 0;
}

/* ---- Idling, and too many workers ---- */

static double
cpu_s(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int
measure_idle(perf_run *run) {
    const exec_peer *peer = run->arg;
    void *pool = peer->open((int)run->what->workers);
    peer->fib(pool, 24);
    pause_us(WAKE_PAUSE_US * 50);
    double before_s = cpu_s();
    pause_us((int64_t)IDLE_MS * 1000);
    run->shared->sample = sample_of_one((cpu_s() - before_s) * 1e5 / IDLE_MS);
    peer->close(pool);
    return 0;
}

/* A number of KiB in /proc/self/status. */
static double
status_kib(const char *key) {
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = atof(line + strlen(key));
        }
    }
    if (file) {
        fclose(file);
    }
    return kib;
}

/* What each worker adds to the memory in use, once all of them have worked. */
static int
measure_memory(perf_run *run) {
    const exec_peer *peer = run->arg;
    double before_kib = status_kib("VmRSS:");
    void *pool = peer->open((int)run->what->workers);
    peer->flat(pool, EXEC_FLAT_WIDTH, 20);
    double used_kib = status_kib("VmRSS:") - before_kib;
    run->shared->sample = sample_of_one(used_kib / run->what->workers);
    peer->close(pool);
    return 0;
}

static int
measure_crowded(perf_run *run) {
    const exec_peer *peer = run->arg;
    void *pool = peer->open((int)run->what->workers);
    peer->fib(pool, 20);
    int64_t began_ns = skua__clock_ns();
    peer->fib(pool, 27);
    double took_ns = (double)(skua__clock_ns() - began_ns);
    run->shared->sample = sample_of_one(took_ns / (double)exec_fib_calls(27));
    peer->close(pool);
    return 0;
}

/* ---- The list ---- */

enum { NEEDS_SUBMIT = 1, NEEDS_FIB = 2, NEEDS_FLAT = 4 };

typedef struct outside_case {
    perf_case what;
    const char *unit;
    int (*measure)(perf_run *run);
    int needs; /* of the peer: NEEDS_ bits */
    int cpu;   /* pinned there; -1: not */
    double bound;
} outside_case;

static bool
has_what_it_needs(const outside_case *one, const exec_peer *peer) {
    return (!(one->needs & NEEDS_SUBMIT) || peer->submit) &&
           (!(one->needs & NEEDS_FIB) || peer->fib) && (!(one->needs & NEEDS_FLAT) || peer->flat);
}

static void
bench_outside(perf_bench *bench, const outside_case *one, const exec_peers *peers) {
    static const exec_peer futex = {.name = "futex"};
    perf_row *rows[EXEC_PEERS_MAX + 1] = {NULL};
    const exec_peer *impls[EXEC_PEERS_MAX + 1] = {NULL};
    const exec_peer *lowest = one->measure == measure_wake ? &futex
                              : one->needs & NEEDS_SUBMIT && one->measure != measure_round_trip
                                  ? &exec_peer_floor
                                  : NULL;
    size_t count = 0;
    bool wakes = one->measure == measure_wake;
    for (size_t i = 0; i < peers->count; i++) {
        const exec_peer *peer = peers->list[i];
        if (!peer->alone && has_what_it_needs(one, peer) && perf_wanted_impl(bench, peer->name)) {
            impls[count++] = peer;
            if (lowest && count == 1) {
                impls[count++] = lowest; /* right behind skua: a ratio is against this row */
            }
        }
    }
    for (size_t i = 0; i < count; i++) {
        rows[i] = perf_row_new(bench, &one->what, impls[i]->name, one->unit);
    }
    if (rows[0]) {
        rows[0]->target = (perf_target){.bound = one->bound, .ratio = wakes ? 1.1 : 0};
    }
    for (int run = 0; run < bench->runs; run++) {
        for (size_t i = 0; i < count; i++) {
            perf_sample sample;
            int (*side)(perf_run *) = impls[i] == &futex ? measure_futex : one->measure;
            if (perf_solo(&one->what, side, impls[i], bench->seconds, one->cpu, &sample)) {
                perf_row_add(rows[i], &sample);
            } else {
                bench->failed = true;
            }
        }
    }
}

void
perf_exec_outside(perf_bench *bench, const exec_peers *peers) {
    static const outside_case cases[] = {
        /* clang-format off: a table */
        {{.work = "submit", .workers = 2, .submitters = 1},
         "ns",
         perf_exec_submit,
         NEEDS_SUBMIT,
         -1,
         12},
        {{.work = "submit", .workers = 2, .submitters = 2},
         "ns",
         perf_exec_submit,
         NEEDS_SUBMIT,
         -1,
         0},
        {{.work = "submit", .workers = 2, .submitters = 10},
         "ns",
         perf_exec_submit,
         NEEDS_SUBMIT,
         -1,
         100},
        {{.work = "submit-call", .workers = 2, .submitters = 1},
         "ns",
         perf_exec_submit_call,
         NEEDS_SUBMIT,
         -1,
         0},
        {{.work = "submit-call", .workers = 2, .submitters = 10},
         "ns",
         perf_exec_submit_call,
         NEEDS_SUBMIT,
         -1,
         0},
        {{.work = "round-trip", .workers = 1}, "us", measure_round_trip, NEEDS_SUBMIT, -1, 0.3},
        {{.work = "wake-up", .workers = 1}, "us", measure_wake, NEEDS_SUBMIT, -1, 0},
        {{.work = "wake-up", .workers = 2}, "us", measure_wake, NEEDS_SUBMIT, -1, 0},
        {{.work = "idle", .workers = 2}, "%cpu", measure_idle, NEEDS_FIB, -1, 0.01},
        {{.work = "crowded", .workers = 2}, "ns", measure_crowded, NEEDS_FIB, 0, 0},
        {{.work = "crowded", .workers = 4}, "ns", measure_crowded, NEEDS_FIB, 0, 0},
        {{.work = "memory", .workers = 8}, "KiB", measure_memory, NEEDS_FLAT, -1, 0},
        /* clang-format on */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (perf_wanted(bench, &cases[i].what)) {
            bench_outside(bench, &cases[i], peers);
        }
    }
}
