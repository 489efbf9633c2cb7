// SPDX-License-Identifier: MPL-2.0
// Takes a policy through a stream of work, lets it learn from what it chose, and judges each choice by the best.
#include "select_stream.h"

#include <math.h>
#include <string.h>

static const double near_best = 1.1;

typedef struct runner {
    skua_selector *selector;
    uint32_t backends[STREAM_BACKENDS]; /* the selector's numbers */
    uint32_t kernels[STREAM_KERNELS];
} runner;

static double
total_ns(const stream_option *option) {
    return option->wait_ns + option->launch_ns + option->move_ns + option->run_ns;
}

static bool
learn(runner *r, const stream_item *item, uint32_t backend) {
    const stream_option *option = &item->options[backend];
    return skua_selector_learn(r->selector,
                               SKUA_SELECT_OUTCOME(.kernel = r->kernels[item->kernel],
                                                   .backend = r->backends[backend],
                                                   .units = item->units,
                                                   .run_ns = llround(option->seen_run_ns),
                                                   .launch_ns = llround(option->launch_ns),
                                                   .move_ns = llround(option->move_ns),
                                                   .moved_bytes = (uint64_t)option->missing_bytes),
                               NULL) == 0;
}

static bool
prepare(runner *r, stream *s, uint64_t seed) {
    if (skua_selector_open(&r->selector, SKUA_SELECTOR_OPTIONS(.seed = seed), NULL)) {
        return false;
    }
    for (uint32_t b = 0; b < s->backend_count; b++) {
        if (skua_selector_add_backend(
                r->selector,
                SKUA_SELECT_BACKEND(.name = s->backends[b].name, .kind = s->backends[b].kind),
                &r->backends[b], NULL)) {
            return false;
        }
    }
    for (uint32_t k = 0; k < s->kernel_count; k++) {
        if (skua_selector_kernel(r->selector, s->kernels[k], &r->kernels[k], NULL)) {
            return false;
        }
        const skua_select_calibration how = {.size = sizeof how,
                                             .kernel = r->kernels[k],
                                             .min_units = s->min_units[k],
                                             .max_units = s->max_units[k],
                                             .points = 8,
                                             .budget_ns = INT64_MAX,
                                             .measure = s->measure,
                                             .arg = s};
        s->measured_kernel = k;
        if (s->measure && skua_selector_calibrate(r->selector, &how, NULL)) {
            return false;
        }
    }
    return true;
}

/* Judges one choice, and lets the selector learn from it. Returns false when that failed. */
static bool
step(runner *r, const stream *s, const stream_item *item, int32_t policy, stream_score *score,
     double *sums) {
    skua_select_place places[STREAM_BACKENDS];
    uint32_t of_place[STREAM_BACKENDS];
    uint32_t count = 0;
    double best_ns = INFINITY;
    for (uint32_t b = 0; b < s->backend_count; b++) {
        const stream_option *option = &item->options[b];
        if (option->offered) {
            of_place[count] = b;
            places[count++] = (skua_select_place){.backend = r->backends[b],
                                                  .wait_ns = llround(option->seen_wait_ns),
                                                  .missing_bytes = (uint64_t)option->missing_bytes};
            best_ns = total_ns(option) < best_ns ? total_ns(option) : best_ns;
        }
    }
    const skua_select_work work = {.size = sizeof work,
                                   .kernel = r->kernels[item->kernel],
                                   .policy = policy,
                                   .units = item->units,
                                   .flops = item->flops,
                                   .bytes = item->bytes,
                                   .elementwise = item->elementwise,
                                   .places = places,
                                   .place_count = count};
    skua_select_decision decision = {.size = sizeof decision};
    if (skua_select(r->selector, &work, &decision, NULL)) {
        return false;
    }
    uint32_t chosen = of_place[decision.place];
    double took_ns = total_ns(&item->options[chosen]);
    score->judged++;
    score->within += took_ns <= near_best * best_ns;
    score->mean_regret += took_ns / best_ns - 1;
    sums[0] += took_ns;
    sums[1] += best_ns;
    return learn(r, item, chosen);
}

bool
stream_run(stream *s, int32_t policy, uint64_t seed, stream_score *ret) {
    runner r = {0};
    stream_score score = {0};
    double sums[2] = {0, 0};
    bool good = prepare(&r, s, seed);
    for (size_t i = 0; i < s->count && good; i++) {
        for (uint32_t b = 0; b < s->backend_count && i < s->warmup && good; b++) {
            good = !s->items[i].options[b].offered || learn(&r, &s->items[i], b);
        }
        good = good && (i < s->warmup || step(&r, s, &s->items[i], policy, &score, sums));
    }
    skua_selector_counters counters = {.size = sizeof counters};
    if (r.selector) {
        skua_selector_stats(r.selector, &counters);
    }
    skua_selector_close(r.selector);
    if (score.judged) {
        score.within /= (double)score.judged;
        score.mean_regret /= (double)score.judged;
        score.regret = sums[0] / sums[1] - 1;
    }
    score.explored = counters.explored;
    *ret = score;
    return good;
}
