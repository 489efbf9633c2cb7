// SPDX-License-Identifier: MPL-2.0
// skua-perf select: how much worse than the best choice each policy chooses, on simulated machines or a recorded
// trace, and how long a decision takes. A row of regret is the mean over the machines with its 95 % interval as min, max.
#include "perf.h"
#include "select_stream.h"

#include <math.h>
#include <skua-int/clock.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MACHINES = 30,
    PIECES = 20000,
    POLICIES = SKUA_SELECT_RANDOM + 1,
    DECISIONS = 1000000,
    DECISION_BACKENDS = 3,
};

static const double noise = 0.1;      /* of run times */
static const double wait_noise = 0.1; /* of predicted waits */
static const double within_least = 0.95, regret_most = 0.03, decision_most_ns = 100;
static const double two_sided_95 = 1.96;

/* The mean over the machines, and its interval. */
static perf_sample
interval(const double *values, int count) {
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++) {
        sum += values[i];
    }
    double mean = sum / count;
    for (int i = 0; i < count; i++) {
        squares += (values[i] - mean) * (values[i] - mean);
    }
    double half = count > 1 ? two_sided_95 * sqrt(squares / (count - 1) / count) : 0;
    return (perf_sample){.p50 = mean, .p99 = mean + half, .min = mean - half, .max = mean + half};
}

static void
add_rows(perf_bench *bench, int32_t policy, const stream_score *scores, int count) {
    static const perf_case cases[] = {{.what = "within 10 % of the best"},
                                      {.what = "total regret"},
                                      {.what = "regret of a piece"}};
    for (int c = 0; c < 3; c++) {
        double values[MACHINES];
        for (int i = 0; i < count; i++) {
            values[i] = c == 0   ? scores[i].within
                        : c == 1 ? scores[i].regret
                                 : scores[i].mean_regret;
        }
        perf_row *row = perf_row_new(bench, &cases[c], skua_select_policy_text(policy), "share");
        if (row) {
            perf_sample sample = interval(values, count);
            perf_row_add(row, &sample);
            /* No bound for a trace: the best of single runs is known afterwards only. */
            if (policy == SKUA_SELECT_LEARNED && c < 2 && !bench->trace) {
                row->target = (perf_target){.bound = c == 0 ? within_least : regret_most,
                                            .higher_better = c == 0};
            }
        }
    }
}

static void
simulate(perf_bench *bench) {
    static stream_score scores[POLICIES][MACHINES];
    for (int i = 0; i < MACHINES; i++) {
        stream *s = sim_new(&(sim_options){
            .seed = (uint64_t)i + 1, .items = PIECES, .noise = noise, .wait_noise = wait_noise});
        for (int32_t policy = 0; policy < POLICIES; policy++) {
            bench->failed |= !s || !stream_run(s, policy, (uint64_t)i + 1, &scores[policy][i]);
        }
        if (i == 0 && s && bench->record) {
            FILE *file = fopen(bench->record, "w");
            bench->failed |= !file || !trace_write(s, file);
            if (file) {
                fclose(file);
            }
        }
        sim_free(s);
    }
    for (int32_t policy = 0; policy < POLICIES; policy++) {
        add_rows(bench, policy, scores[policy], MACHINES);
    }
}

static void
replay(perf_bench *bench) {
    FILE *file = fopen(bench->trace, "r");
    stream *s = file ? trace_read(file) : NULL;
    if (!file) {
        perror(bench->trace);
    }
    for (int32_t policy = 0; policy < POLICIES; policy++) {
        stream_score score;
        if (s && stream_run(s, policy, 1, &score)) {
            add_rows(bench, policy, &score, 1);
        } else {
            bench->failed = true;
        }
    }
    trace_free(s);
    if (file) {
        fclose(file);
    }
}

/* The processor time of this thread: what others do on the machine is no part of a decision. */
static int64_t
thread_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * SKUA_NS_PER_S + now.tv_nsec;
}

/* One run of DECISIONS decisions among three backends, each learned at every half octave, in ns per decision. */
static bool
time_decisions(double *ret_ns) {
    skua_selector *selector;
    uint32_t kernel = 0, backends[DECISION_BACKENDS];
    static const char *const names[] = {"scalar", "simd", "device"};
    if (skua_selector_open(&selector, NULL, NULL)) {
        return false;
    }
    bool good = skua_selector_kernel(selector, "kernel", &kernel, NULL) == 0;
    for (int b = 0; b < DECISION_BACKENDS && good; b++) {
        good = skua_selector_add_backend(
                   selector,
                   SKUA_SELECT_BACKEND(.name = names[b], .kind = 1 + b, .launch_ns = 100 * b * b),
                   &backends[b], NULL) == 0;
        for (uint64_t units = 64; units < (1 << 20) && good; units += units * 2 / 5) {
            good = skua_selector_learn(
                       selector,
                       SKUA_SELECT_OUTCOME(.kernel = kernel, .backend = backends[b], .units = units,
                                           .run_ns = (int64_t)units / (1 + b),
                                           .moved_bytes = units * 4, .move_ns = (int64_t)units),
                       NULL) == 0;
        }
    }
    skua_select_place places[DECISION_BACKENDS] = {
        {.backend = backends[0]}, {.backend = backends[1]}, {.backend = backends[2]}};
    skua_select_work work = {
        .size = sizeof work, .kernel = kernel, .places = places, .place_count = DECISION_BACKENDS};
    skua_select_decision decision = {.size = sizeof decision};
    int64_t begin_ns = thread_ns();
    for (uint64_t i = 0; i < DECISIONS && good; i++) {
        work.units = 64 + (i * 7919) % 500000;
        places[2].missing_bytes = work.units * 4;
        good = skua_select(selector, &work, &decision, NULL) == 0;
    }
    *ret_ns = (double)(thread_ns() - begin_ns) / DECISIONS;
    skua_selector_close(selector);
    return good;
}

void
perf_select(perf_bench *bench) {
    static const perf_case decision = {.what = "a decision among three"};
    perf_row *row = perf_row_new(bench, &decision, "skua", "ns");
    for (int i = 0; i < bench->runs && row; i++) {
        double ns;
        if (time_decisions(&ns)) {
            perf_row_add_value(row, ns);
        } else {
            bench->failed = true;
        }
    }
    if (row) {
        row->target = (perf_target){.bound = decision_most_ns};
    }
    if (bench->trace) {
        replay(bench);
    } else {
        simulate(bench);
    }
}
