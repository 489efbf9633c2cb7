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

/* Sums over choices. */
typedef struct sums {
    uint64_t count, within;
    double took_ns, best_ns, over; /* over: of each piece's time over its best, less 1 */
} sums;

static void
add_choice(sums *to, const stream_choice *choice) {
    to->count++;
    to->within += choice->took_ns <= near_best * choice->best_ns;
    to->took_ns += choice->took_ns;
    to->best_ns += choice->best_ns;
    to->over += choice->took_ns / choice->best_ns - 1;
}

static double
share_within(const sums *of) {
    return of->count ? (double)of->within / (double)of->count : 0;
}

static double
regret_of(const sums *of) {
    return of->count ? of->took_ns / of->best_ns - 1 : 0;
}

static void
fill_score(const sums *expected, stream_score *ret) {
    ret->judged = expected->count;
    ret->within = share_within(expected);
    ret->regret = regret_of(expected);
    ret->mean_regret = expected->count ? expected->over / (double)expected->count : 0;
}

void
stream_judge(const stream_choice *choices, size_t count, stream_score *ret) {
    sums all = {0};
    for (size_t i = 0; i < count; i++) {
        add_choice(&all, &choices[i]);
    }
    fill_score(&all, ret);
}

static double
total_ns(const stream_option *option, bool seen) {
    return seen ? option->wait_ns + option->launch_ns + option->move_ns + option->run_ns
                : option->expected_ns;
}

static stream_choice
choice_of(const stream *s, const stream_item *item, uint32_t chosen, bool seen) {
    stream_choice choice = {total_ns(&item->options[chosen], seen), INFINITY};
    for (uint32_t b = 0; b < s->backend_count; b++) {
        double ns = total_ns(&item->options[b], seen);
        choice.best_ns = item->options[b].offered && ns < choice.best_ns ? ns : choice.best_ns;
    }
    return choice;
}

static bool
learn(runner *r, const stream_item *item, uint32_t backend) {
    const stream_option *option = &item->options[backend];
    return skua_selector_learn(r->selector,
                               SKUA_SELECT_OUTCOME(.kernel = r->kernels[item->kernel],
                                                   .backend = r->backends[backend],
                                                   .units = item->units,
                                                   .run_ns = llround(option->run_ns),
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
                                             .budget_ns = s->calibration_ns,
                                             .measure = s->measure,
                                             .arg = s};
        s->measured_kernel = k;
        if (s->measure && skua_selector_calibrate(r->selector, &how, NULL)) {
            return false;
        }
    }
    return true;
}

/* Lets the policy choose for one piece, and learn from it. Returns the backend, or -1 when that failed. */
static int
step(runner *r, const stream *s, const stream_item *item, int32_t policy) {
    skua_select_place places[STREAM_BACKENDS];
    uint32_t of_place[STREAM_BACKENDS];
    uint32_t count = 0;
    for (uint32_t b = 0; b < s->backend_count; b++) {
        const stream_option *option = &item->options[b];
        if (option->offered) {
            of_place[count] = b;
            places[count++] = (skua_select_place){.backend = r->backends[b],
                                                  .wait_ns = llround(option->seen_wait_ns),
                                                  .missing_bytes = (uint64_t)option->missing_bytes};
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
        return -1;
    }
    uint32_t chosen = of_place[decision.place];
    return learn(r, item, chosen) ? (int)chosen : -1;
}

bool
stream_run(stream *s, int32_t policy, uint64_t seed, stream_choice *ret_choices,
           stream_score *ret) {
    runner r = {0};
    sums expected = {0}, seen = {0};
    bool good = prepare(&r, s, seed);
    for (size_t i = 0; i < s->count && good; i++) {
        const stream_item *item = &s->items[i];
        if (i < s->warmup) {
            for (uint32_t b = 0; b < s->backend_count && good; b++) {
                good = !item->options[b].offered || learn(&r, item, b);
            }
            continue;
        }
        int chosen = step(&r, s, item, policy);
        good = chosen >= 0;
        if (good) {
            stream_choice choice = choice_of(s, item, (uint32_t)chosen, false);
            stream_choice single = choice_of(s, item, (uint32_t)chosen, true);
            if (ret_choices) {
                ret_choices[expected.count] = choice;
            }
            add_choice(&expected, &choice);
            add_choice(&seen, &single);
        }
    }
    skua_selector_counters counters = {.size = sizeof counters};
    if (r.selector) {
        skua_selector_stats(r.selector, &counters);
    }
    skua_selector_close(r.selector);
    *ret = (stream_score){.seen_within = share_within(&seen),
                          .seen_regret = regret_of(&seen),
                          .explored = counters.explored};
    fill_score(&expected, ret);
    return good;
}

void
stream_oracle(const stream *s, stream_score *ret) {
    sums expected = {0}, seen = {0};
    for (size_t i = s->warmup; i < s->count; i++) {
        const stream_item *item = &s->items[i];
        uint32_t best = STREAM_BACKENDS;
        for (uint32_t b = 0; b < s->backend_count; b++) {
            bool better = best == STREAM_BACKENDS ||
                          item->options[b].expected_ns < item->options[best].expected_ns;
            best = item->options[b].offered && better ? b : best;
        }
        stream_choice choice = choice_of(s, item, best, false);
        stream_choice single = choice_of(s, item, best, true);
        add_choice(&expected, &choice);
        add_choice(&seen, &single);
    }
    *ret = (stream_score){.seen_within = share_within(&seen), .seen_regret = regret_of(&seen)};
    fill_score(&expected, ret);
}
