// SPDX-License-Identifier: MPL-2.0
// skua-perf exec: the same works on skua, serial code, oneTBB and both OpenMP runtimes, each run in a process of
// its own and all in turn. What is measured from outside the executor stands in exec_outside.c.
#include "exec_bench.h"
#include "exec_graph.h"

#include <skua-int/clock.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { EXEC_RUN_NS = 40000000 }; /* the least that counts of each run */

/* The data that works share; made once in the parent, so that every child finds it in its memory. */
typedef struct exec_data {
    double *numbers;
    int32_t *shuffled, *items, *scratch;
    float *a, *b, *c;
} exec_data;

/* One work: runs it whole and returns whether the result is right. */
typedef struct exec_work {
    const char *name;
    const char *unit;
    double per; /* the time of a run is divided by this: spawns, or 1 */
    bool (*offers)(const exec_peer *peer);
    void (*prepare)(exec_data *data); /* before each run, not timed; may be NULL */
    bool (*run)(const exec_peer *peer, void *pool, exec_data *data);
} exec_work;

#define OFFERS(work)                                                                               \
    static bool offers_##work(const exec_peer *peer) {                                             \
        return peer->work != NULL;                                                                 \
    }
OFFERS(fib)
OFFERS(queens)
OFFERS(uts)
OFFERS(flat)
OFFERS(reduce)
OFFERS(sort)
OFFERS(matmul)
OFFERS(mandel)
#undef OFFERS

static bool
run_fib(const exec_peer *peer, void *pool, exec_data *data) {
    (void)data;
    return peer->fib(pool, EXEC_FIB_N) == 2178309;
}

static bool
run_queens(const exec_peer *peer, void *pool, exec_data *data) {
    (void)data;
    return peer->queens(pool, EXEC_QUEENS_N) == EXEC_QUEENS_SOLUTIONS;
}

static bool
run_uts_cheap(const exec_peer *peer, void *pool, exec_data *data) {
    (void)data;
    return peer->uts(pool, &exec_tree_cheap) == exec_tree_cheap.nodes;
}

static bool
run_uts_sha1(const exec_peer *peer, void *pool, exec_data *data) {
    (void)data;
    return peer->uts(pool, &exec_tree_sha1) == exec_tree_sha1.nodes;
}

static bool
run_flat(const exec_peer *peer, void *pool, exec_data *data) {
    (void)data;
    peer->flat(pool, EXEC_FLAT_WIDTH, EXEC_FLAT_ROUNDS);
    return true;
}

static bool
run_reduce(const exec_peer *peer, void *pool, exec_data *data) {
    /* Small integers: every order of adding gives the same sum. */
    double expected = (double)(EXEC_FOR_ITEMS / 16) * 120;
    double sum = peer->reduce(pool, data->numbers, EXEC_FOR_ITEMS);
    return sum <= expected && sum >= expected;
}

static void
prepare_sort(exec_data *data) {
    memcpy(data->items, data->shuffled, EXEC_SORT_ITEMS * sizeof *data->items);
}

static bool
run_sort(const exec_peer *peer, void *pool, exec_data *data) {
    peer->sort(pool, data->items, data->scratch, EXEC_SORT_ITEMS);
    /* It is a permutation of 0 to n - 1. */
    return data->items[0] == 0 && data->items[EXEC_SORT_ITEMS / 3] == EXEC_SORT_ITEMS / 3 &&
           data->items[EXEC_SORT_ITEMS - 1] == EXEC_SORT_ITEMS - 1;
}

static bool
run_matmul(const exec_peer *peer, void *pool, exec_data *data) {
    peer->matmul(pool, data->a, data->b, data->c);
    return data->c[0] > 0;
}

static bool
run_mandel(const exec_peer *peer, void *pool, exec_data *data) {
    (void)data;
    return peer->mandel(pool) > 0;
}

static const exec_work works[] = {
    {"fib", "ns", 0, offers_fib, NULL, run_fib},
    {"nqueens", "ms", 1e6, offers_queens, NULL, run_queens},
    {"uts", "ms", 1e6, offers_uts, NULL, run_uts_cheap},
    {"uts-sha1", "ms", 1e6, offers_uts, NULL, run_uts_sha1},
    {"flat", "ns", (double)EXEC_FLAT_WIDTH *EXEC_FLAT_ROUNDS, offers_flat, NULL, run_flat},
    {"reduce", "ms", 1e6, offers_reduce, NULL, run_reduce},
    {"sort", "ms", 1e6, offers_sort, prepare_sort, run_sort},
    {"matmul", "ms", 1e6, offers_matmul, NULL, run_matmul},
    {"mandelbrot", "ms", 1e6, offers_mandel, NULL, run_mandel},
};
enum { WORKS = sizeof works / sizeof *works };

/* The bounds of issue and design for skua's own rows: at most so much, or so many times as fast as serial code. */
static const struct {
    const char *work;
    uint32_t workers;
    double bound, speedup;
} bounds[] = {{"fib", 1, 1.6, 0},      {"fib", 2, 0.95, 0},    {"flat", 1, 3.5, 0},
              {"flat", 2, 4.5, 0},     {"nqueens", 2, 0, 1.6}, {"uts", 2, 0, 1.95},
              {"uts-sha1", 2, 0, 1.95}};

typedef struct exec_run {
    const exec_peer *peer;
    const exec_work *work;
    exec_data *data;
} exec_run;

/*
 * In the child: one warm run, and then as many as make up EXEC_RUN_NS, whose mean counts: the kernel puts a woken thread beside its
 * waker and moves it at its next tick, some ms later, which is not what is compared here.
 */
static int
measure(perf_run *run) {
    const exec_run *what = run->arg;
    const exec_work *work = what->work;
    void *pool = what->peer->open((int)run->what->workers);
    int64_t took_ns = 0;
    int count = -1;
    bool right = true;
    while (right && took_ns < EXEC_RUN_NS) {
        if (work->prepare) {
            work->prepare(what->data);
        }
        int64_t began_ns = skua__clock_ns();
        right = work->run(what->peer, pool, what->data);
        took_ns += ++count > 0 ? skua__clock_ns() - began_ns : 0;
    }
    what->peer->close(pool);
    double per = work->per > 0 ? work->per : (double)exec_fib_calls(EXEC_FIB_N);
    double value = count > 0 ? (double)took_ns / count / per : 0;
    run->shared->sample = (perf_sample){.p50 = value, .p99 = value, .min = value, .max = value};
    if (!right) {
        fprintf(stderr, "skua-perf: %s on %s gave a wrong result\n", work->name, what->peer->name);
    }
    return right ? 0 : 1;
}

/* The row of serial code for the same work, at one worker; NULL if it was not asked for. */
static const perf_row *
serial_row(const perf_bench *bench, const char *work) {
    for (int i = 0; i < bench->row_count; i++) {
        const perf_row *row = &bench->rows[i];
        if (strcmp(row->impl, exec_peer_serial.name) == 0 && strcmp(row->what->work, work) == 0) {
            return row;
        }
    }
    return NULL;
}

static void
set_targets(const perf_bench *bench, const perf_case *what, perf_row **rows,
            const exec_peers *peers) {
    for (size_t p = 0; p < peers->count; p++) {
        bool is_ours = peers->list[p] == &exec_peer_skua || peers->list[p] == &exec_peer_skua_lazy;
        for (size_t i = 0; rows[p] && is_ours && i < sizeof bounds / sizeof *bounds; i++) {
            if (strcmp(bounds[i].work, what->work) == 0 && bounds[i].workers == what->workers) {
                rows[p]->target = (perf_target){.bound = bounds[i].bound,
                                                .speedup = bounds[i].speedup,
                                                .against = serial_row(bench, what->work)};
            }
        }
    }
}

/* One work with so many workers: a row for each that offers it. */
static void
bench_work(perf_bench *bench, const perf_case *what, const exec_work *work, const exec_peers *peers,
           exec_data *data) {
    perf_row *rows[EXEC_PEERS_MAX] = {NULL};
    for (size_t i = 0; i < peers->count; i++) {
        if (work->offers(peers->list[i]) && !(peers->list[i]->alone && what->workers > 1) &&
            perf_wanted_impl(bench, peers->list[i]->name)) {
            rows[i] = perf_row_new(bench, what, peers->list[i]->name, work->unit);
        }
    }
    set_targets(bench, what, rows, peers);
    for (int run = 0; run < bench->runs; run++) {
        for (size_t i = 0; i < peers->count; i++) {
            exec_run arg = {.peer = peers->list[i], .work = work, .data = data};
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

static bool
make_data(exec_data *data) {
    const size_t cells = (size_t)EXEC_MATMUL_N * EXEC_MATMUL_N;
    data->numbers = calloc(EXEC_FOR_ITEMS, sizeof *data->numbers);
    data->shuffled = calloc(EXEC_SORT_ITEMS, sizeof *data->shuffled);
    data->items = calloc(EXEC_SORT_ITEMS, sizeof *data->items);
    data->scratch = calloc(EXEC_SORT_ITEMS, sizeof *data->scratch);
    data->a = calloc(3 * cells, sizeof *data->a);
    if (!data->numbers || !data->shuffled || !data->items || !data->scratch || !data->a) {
        return false;
    }
    data->b = data->a + cells;
    data->c = data->b + cells;
    for (int i = 0; i < EXEC_FOR_ITEMS; i++) {
        data->numbers[i] = i % 16;
    }
    for (int64_t i = 0; i < EXEC_SORT_ITEMS; i++) {
        /* Multiplying by a number coprime to the count permutes it. */
        data->shuffled[i] = (int32_t)(i * 7368787 % EXEC_SORT_ITEMS);
    }
    for (size_t i = 0; i < cells; i++) {
        data->a[i] = (float)(i % 7);
        data->b[i] = (float)(i % 5);
    }
    return true;
}

static void
free_data(exec_data *data) {
    free(data->numbers);
    free(data->shuffled);
    free(data->items);
    free(data->scratch);
    free(data->a);
}

/* Loads the peers that were built beside us. Their libraries stay quiet until a child opens a pool. */
static void
find_peers(exec_peers *peers) {
    static const char *const modules[] = {EXEC_PEER_MODULES};
    peers->list[peers->count++] = &exec_peer_skua;
    peers->list[peers->count++] = &exec_peer_skua_lazy;
    peers->list[peers->count++] = &exec_peer_serial;
    peers->list[peers->count++] = &exec_peer_floor_fork;
    for (size_t i = 0; modules[i]; i++) {
        void *module = dlopen(modules[i], RTLD_NOW | RTLD_LOCAL);
        void *symbol = module ? dlsym(module, EXEC_PEER_GET) : NULL;
        if (!symbol) {
            fprintf(stderr, "skua-perf: left out: %s\n", dlerror());
            continue;
        }
        exec_peer_get_fn *get;
        memcpy(&get, &symbol, sizeof get);
        peers->list[peers->count++] = get();
    }
    peers->list[peers->count++] = &exec_peer_skua_sort_typed;
    peers->list[peers->count++] = &exec_peer_skua_sort;
}

void
perf_exec(perf_bench *bench) {
    static perf_case cases[WORKS][2];
    exec_peers peers = {.count = 0};
    exec_data data = {0};
    find_peers(&peers);
    if (!make_data(&data)) {
        fprintf(stderr, "skua-perf: no memory for the works\n");
        bench->failed = true;
    } else {
        for (size_t i = 0; i < WORKS; i++) {
            for (uint32_t workers = 1; workers <= 2; workers++) {
                perf_case *what = &cases[i][workers - 1];
                *what = (perf_case){.work = works[i].name, .workers = workers};
                if (perf_wanted(bench, what)) {
                    bench_work(bench, what, &works[i], &peers, &data);
                }
            }
        }
        perf_exec_graph(bench, &peers);
        perf_exec_outside(bench, &peers);
        perf_exec_crowd(bench, &peers);
    }
    free_data(&data);
}
