// SPDX-License-Identifier: MPL-2.0
// The choice among the candidates: the soonest, but for hysteresis, a full place, and what is tried to learn from it.
#include "select_priv.h"

#include <skua-int/fail.h>

enum {
    EXPLORE_TIMES = 4, /* what is predicted to take longer than so many of the best is left alone */
    TRIES = 3,         /* of a backend that nothing is known of, for one kernel */
    YOUNG = 8,         /* runs of a kernel on a backend until what they say is believed */
};

/*
 * A candidate that nothing is known of and that was not tried often enough, or -1: the one that would begin first. Its queue
 * and its way are known: they alone must not make it far worse already than the best that is known.
 */
static int
untried(const skua_selector *selector, const skua__select_kernel *kernel,
        const skua_select_work *work, const skua_select_decision *decision) {
    int soonest = -1;
    int64_t soonest_ns = INT64_MAX;
    for (uint32_t i = 0; i < decision->count && selector->options.explore_permille; i++) {
        const skua_select_term *term = &decision->terms[i];
        int64_t begin_ns = term->wait_ns + term->launch_ns + term->move_ns;
        if (!term->known && !work->places[i].full && begin_ns < soonest_ns &&
            kernel->tries[term->backend] < TRIES) {
            soonest = (int)i;
            soonest_ns = begin_ns;
        }
    }
    const skua_select_term *best = &decision->terms[decision->best];
    bool far = best->known && soonest_ns / EXPLORE_TIMES > best->total_ns;
    return far ? -1 : soonest;
}

/*
 * Whether a candidate may be explored at all: it is not far worse, or it only looks so by a few runs, of which one that was
 * disturbed would be enough to keep it from being asked for good.
 */
static bool
worth_exploring(const skua__select_kernel *kernel, const skua_select_term *term, int64_t best_ns) {
    const skua__curve *curve = kernel->run[term->backend];
    return term->total_ns / EXPLORE_TIMES <= best_ns || !curve || curve->learned < YOUNG;
}

/*
 * The candidate to explore now, or -1. Rarely (by the seeded dice) the one with the fewest samples near this size is
 * taken, if what that wastes stays within the share of all predicted time that exploring may cost.
 */
static int
explored(skua_selector *selector, const skua__select_kernel *kernel, const skua_select_work *work,
         const skua_select_decision *decision) {
    const skua_selector_options *options = &selector->options;
    if (decision->count < 2 ||
        skua__rand_below(&selector->rand, SKUA__SELECT_PERMILLE) >=
            (uint32_t)options->explore_permille ||
        (selector->count.explored + 1) * SKUA__SELECT_PERMILLE >
            (selector->count.decisions + 1) * (uint64_t)options->explore_permille) {
        return -1;
    }
    int least = -1;
    int64_t best_ns = decision->terms[decision->best].total_ns;
    uint32_t from = skua__rand_below(&selector->rand, decision->count); /* ties fall anywhere */
    for (uint32_t k = 0; k < decision->count; k++) {
        uint32_t i = (from + k) % decision->count;
        if (i != decision->best && !work->places[i].full &&
            worth_exploring(kernel, &decision->terms[i], best_ns) &&
            (least < 0 || decision->terms[i].samples < decision->terms[least].samples)) {
            least = (int)i;
        }
    }
    if (least < 0) {
        return -1;
    }
    double waste_ns = (double)(decision->terms[least].total_ns - best_ns);
    double allowed_ns =
        selector->spent_ns * (double)options->explore_cost_permille / SKUA__SELECT_PERMILLE;
    if (selector->wasted_ns + waste_ns > allowed_ns) {
        return -1;
    }
    selector->wasted_ns += waste_ns;
    return least;
}

/* The last choice at this size, when it is a candidate and the best is not better by enough; else the best. */
static uint32_t
kept(const skua_selector *selector, uint32_t last, const skua_select_decision *decision) {
    int64_t best_ns = decision->terms[decision->best].total_ns;
    for (uint32_t i = 0; i < decision->count && last; i++) {
        const skua_select_term *term = &decision->terms[i];
        if (term->backend + 1 == last) {
            double gain = (double)term->total_ns * selector->options.hysteresis_permille;
            bool enough = (double)(term->total_ns - best_ns) * SKUA__SELECT_PERMILLE > gain;
            return enough ? decision->best : i;
        }
    }
    return decision->best;
}

static void
choose_learned(skua_selector *selector, skua__select_kernel *kernel, uint32_t node,
               const skua_select_work *work, skua_select_decision *decision) {
    int pick = untried(selector, kernel, work, decision);
    decision->place = decision->best;
    decision->reason = decision->count == 1 ? SKUA_SELECT_ONLY : SKUA_SELECT_BEST;
    if (pick >= 0) {
        kernel->tries[decision->terms[pick].backend]++;
    } else {
        pick = explored(selector, kernel, work, decision);
    }
    if (pick >= 0 && decision->count > 1) {
        decision->place = (uint32_t)pick;
        decision->reason = SKUA_SELECT_EXPLORED;
        selector->count.explored++;
        return;
    }
    uint32_t stays = kept(selector, kernel->last[node], decision);
    if (work->places[stays].full) {
        decision->place = stays;
        decision->reason = SKUA_SELECT_WAIT;
        return;
    }
    if (stays != decision->best) {
        decision->place = stays;
        decision->reason = SKUA_SELECT_KEPT;
        selector->count.kept++;
    }
    kernel->last[node] = (uint8_t)(decision->terms[decision->place].backend + 1);
}

skua_status
skua_select(skua_selector *selector, const skua_select_work *work,
            skua_select_decision *ret_decision, skua_error *err) {
    if (!skua__select_work_valid(selector, work) || !ret_decision ||
        ret_decision->size < sizeof *ret_decision) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_select needs a kernel and places of this selector, at most %d of "
                         "them, and sizes that are set",
                         SKUA_SELECT_BACKENDS_MAX);
    }
    skua__select_kernel *kernel = selector->kernels[work->kernel];
    float at = skua__curve_at(work->units);
    skua_select_decision *decision = ret_decision;
    decision->kernel = work->kernel;
    decision->units = work->units;
    skua__select_estimate(selector, work, at, decision);
    if (work->policy == SKUA_SELECT_LEARNED) {
        choose_learned(selector, kernel, skua__curve_nearest(at), work, decision);
    } else {
        decision->place = skua__select_fixed(selector, work);
        decision->reason = SKUA_SELECT_RULE;
    }
    decision->backend = decision->terms[decision->place].backend;
    if (decision->reason != SKUA_SELECT_WAIT) {
        selector->spent_ns += (double)decision->terms[decision->place].total_ns;
        selector->count.decisions++;
    }
    return SKUA_OK;
}
