// SPDX-License-Identifier: MPL-2.0
// skua-perf select: how much worse than the best choice each policy chooses, on simulated machines or a recorded
// trace or on this machine, and how long a decision takes. A row of regret has its 95 % interval as min and max: over the
// machines on paper, or over resampled pieces of real work.
#include "gpu_works.h"
#include "select_real.h"

#include <math.h>
#include <skua-int/clock.h>
#include <skua-int/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MACHINES = 30,
    PIECES = 20000,
    POLICIES = SKUA_SELECT_RANDOM + 1,
    DECISIONS = 1000000,
    DECISION_BACKENDS = 3,
    REAL_PIECES = 70, /* of each kernel, on the mean */
    RESAMPLES = 1000,
};

static const double noise = 0.1;      /* of run times */
static const double wait_noise = 0.1; /* of predicted waits */
static const double within_least = 0.95, regret_most = 0.03, decision_most_ns = 100;
static const double two_sided_95 = 1.96;
static const int64_t calibration_ns = 1000000000; /* of each kernel on each backend, on paper */

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
add_rows(perf_bench *bench, const char *who, const stream_score *scores, int count, bool judged) {
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
        perf_row *row = perf_row_new(bench, &cases[c], who, "share");
        if (row) {
            perf_sample sample = interval(values, count);
            perf_row_add(row, &sample);
            if (judged && c < 2) {
                row->target = (perf_target){.bound = c == 0 ? within_least : regret_most,
                                            .higher_better = c == 0};
            }
        }
    }
}

static void
record(perf_bench *bench, const stream *s) {
    FILE *file = fopen(bench->record, "w");
    if (!file || !trace_write(s, file)) {
        perror(bench->record);
        bench->failed = true;
    }
    if (file) {
        fclose(file);
    }
}

/* One policy over one machine on paper. */
static void
simulate_one(perf_bench *bench, int machine, int32_t policy, int64_t budget_ns,
             stream_score *ret_score) {
    uint64_t seed = (uint64_t)machine + 1;
    stream *s = sim_new(&(sim_options){.seed = seed,
                                       .items = PIECES,
                                       .noise = noise,
                                       .wait_noise = wait_noise,
                                       .calibration_ns = budget_ns});
    bench->failed |= !s || !stream_run(s, policy, seed, NULL, ret_score);
    if (machine == 0 && policy == SKUA_SELECT_LEARNED && s && bench->record &&
        budget_ns != SKUA_NONE) {
        record(bench, s);
    }
    sim_free(s);
}

static void
simulate(perf_bench *bench) {
    stream_score scores[MACHINES];
    for (int32_t policy = 0; policy < POLICIES; policy++) {
        for (int i = 0; i < MACHINES; i++) {
            simulate_one(bench, i, policy, calibration_ns, &scores[i]);
        }
        add_rows(bench, skua_select_policy_text(policy), scores, MACHINES,
                 policy == SKUA_SELECT_LEARNED);
    }
    for (int i = 0; i < MACHINES; i++) {
        simulate_one(bench, i, SKUA_SELECT_LEARNED, SKUA_NONE, &scores[i]);
    }
    add_rows(bench, "learned-new", scores, MACHINES, false);
}

/* ---- Real work ---- */

static int
by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* A figure and where it lies, at 95 %, when as many pieces are drawn again from these (Efron's bootstrap, seeded). */
static perf_sample
resampled(const stream_choice *choices, size_t count, int figure) {
    static double values[RESAMPLES];
    skua__rand rand = {.state = 1};
    stream_choice *drawn = malloc((count ? count : 1) * sizeof *drawn);
    stream_score score = {0};
    for (int i = 0; i < RESAMPLES && drawn; i++) {
        for (size_t k = 0; k < count; k++) {
            drawn[k] = choices[skua__rand_below(&rand, (uint32_t)count)];
        }
        stream_judge(drawn, count, &score);
        values[i] = figure == 0 ? score.within : score.regret;
    }
    free(drawn);
    qsort(values, RESAMPLES, sizeof values[0], by_value);
    stream_judge(choices, count, &score);
    double low = values[RESAMPLES / 40], high = values[RESAMPLES - 1 - RESAMPLES / 40];
    return (perf_sample){
        .p50 = figure == 0 ? score.within : score.regret, .p99 = high, .min = low, .max = high};
}

/* Two rows about choices. With judged, they are held against the bounds. */
static void
add_choices(perf_bench *bench, const char *who, const stream_choice *choices, size_t count,
            bool judged) {
    static const perf_case cases[] = {{.what = "within 10 % of the best"},
                                      {.what = "total regret"}};
    for (int c = 0; c < 2; c++) {
        perf_row *row = perf_row_new(bench, &cases[c], who, "share");
        if (row) {
            perf_sample sample = resampled(choices, count, c);
            perf_row_add(row, &sample);
            if (judged) {
                row->target = (perf_target){.bound = c == 0 ? within_least : regret_most,
                                            .higher_better = c == 0};
            }
        }
    }
}

/* What noise does to the same choices: judged by the single runs that were seen. */
static void
add_seen(perf_bench *bench, const char *who, const stream_score *score) {
    static const perf_case cases[] = {{.what = "within 10 % of the best single run"},
                                      {.what = "regret over the best single runs"}};
    for (int c = 0; c < 2; c++) {
        perf_row *row = perf_row_new(bench, &cases[c], who, "share");
        if (row) {
            perf_row_add_value(row, c == 0 ? score->seen_within : score->seen_regret);
        }
    }
}

static bool
has_kind(const stream *s, int32_t kind) {
    for (uint32_t b = 0; b < s->backend_count; b++) {
        if (s->backends[b].kind == kind) {
            return true;
        }
    }
    return false;
}

/* A policy that asks for what is not there says nothing. */
static bool
makes_sense(const stream *s, int32_t policy) {
    return (policy != SKUA_SELECT_ALWAYS_SCALAR || has_kind(s, SKUA_SELECT_SCALAR)) &&
           (policy != SKUA_SELECT_ALWAYS_SIMD || has_kind(s, SKUA_SELECT_SIMD)) &&
           (policy != SKUA_SELECT_ALWAYS_DEVICE || has_kind(s, SKUA_SELECT_DEVICE)) &&
           (policy != SKUA_SELECT_ALWAYS_PEER || has_kind(s, SKUA_SELECT_PEER));
}

static void
replay_stream(perf_bench *bench, stream *s) {
    stream_choice *choices = malloc((s->count ? s->count : 1) * sizeof *choices);
    stream_score score;
    for (int32_t policy = 0; policy < POLICIES; policy++) {
        if (!makes_sense(s, policy)) {
            continue;
        }
        if (!choices || !stream_run(s, policy, 1, choices, &score)) {
            bench->failed = true;
            break;
        }
        const char *who = skua_select_policy_text(policy);
        add_choices(bench, who, choices, score.judged, policy == SKUA_SELECT_LEARNED);
        if (policy == SKUA_SELECT_LEARNED) {
            add_seen(bench, who, &score);
            stream_oracle(s, &score);
            add_seen(bench, "oracle", &score);
        }
    }
    free(choices);
}

static void
replay(perf_bench *bench) {
    FILE *file = fopen(bench->trace, "r");
    stream *s = file ? trace_read(file) : NULL;
    if (!file) {
        perror(bench->trace);
    }
    if (s) {
        replay_stream(bench, s);
    }
    bench->failed |= !s;
    trace_free(s);
    if (file) {
        fclose(file);
    }
}

static void
add_online(perf_bench *bench, const real_record *taken) {
    static const char *const who[] = {"online-new", "online-calibrated"};
    static const char *const later[] = {"online-new-later", "online-calibrated-later"};
    size_t count = taken->stream->count, first = taken->stream->warmup;
    for (int c = 0; c < REAL_CHOOSERS; c++) {
        add_choices(bench, who[c], taken->online[c], count, true);
        add_choices(bench, later[c], taken->online[c] + first, count - first, true);
    }
}

static void
take_real(perf_bench *bench) {
    real_record taken;
    gpu_scratch_cache();
    if (!real_take(REAL_PIECES, 1, &taken)) {
        bench->failed = true;
    } else if (!taken.stream) {
        fprintf(stderr, "skua-perf: select: no usable device, so there is nothing to choose\n");
    } else {
        fprintf(stderr,
                "skua-perf: select: %zu pieces, %llu crossings, %llu sent somewhere to learn, %llu "
                "after a calibration of %.1f ms\n",
                taken.stream->count, (unsigned long long)taken.crossings,
                (unsigned long long)taken.tried[REAL_NEW],
                (unsigned long long)taken.tried[REAL_CALIBRATED], taken.calibrating_ns / 1e6);
        add_online(bench, &taken);
        if (bench->record) {
            record(bench, taken.stream);
        }
        replay_stream(bench, taken.stream);
    }
    real_free(&taken);
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
    } else if (bench->real) {
        take_real(bench);
    } else {
        simulate(bench);
    }
}
