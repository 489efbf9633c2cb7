// SPDX-License-Identifier: MPL-2.0
// When each candidate would be done: wait, launch, move and run time, each learned or told.
#include "select_priv.h"

bool
skua__select_work_valid(const skua_selector *selector, const skua_select_work *work) {
    if (!selector || !work || work->size < sizeof *work || work->kernel >= selector->kernel_count ||
        !work->places || work->place_count == 0 || work->place_count > SKUA_SELECT_BACKENDS_MAX ||
        work->policy < SKUA_SELECT_LEARNED || work->policy > SKUA_SELECT_RANDOM) {
        return false;
    }
    for (size_t i = 0; i < work->place_count; i++) {
        const skua_select_place *place = &work->places[i];
        if (place->backend >= selector->backend_count ||
            !selector->backends[place->backend].active || place->wait_ns < 0) {
            return false;
        }
    }
    return true;
}

/* Bounded so that sums of a few cannot overflow. */
static int64_t
bounded_ns(double ns) {
    return ns < 0x1p59 ? (int64_t)ns : INT64_C(1) << 59;
}

static int64_t
move_ns(const skua__select_backend *backend, double bytes) {
    if (bytes < 1) {
        return 0;
    }
    uint32_t samples;
    int64_t ns;
    if (skua__curve_predict_ns(&backend->move, skua__curve_at((uint64_t)bytes), &ns, &samples)) {
        return ns;
    }
    return backend->bytes_per_s ? bounded_ns(bytes * 1e9 / (double)backend->bytes_per_s) : 0;
}

void
skua__select_sum(const skua_selector *selector, const skua_select_work *work, uint32_t place,
                 float at, double share, skua_select_term *ret_term) {
    const skua_select_place *where = &work->places[place];
    const skua__select_backend *backend = &selector->backends[where->backend];
    const skua__curve *curve = selector->kernels[work->kernel]->run[where->backend];
    double missing_bytes = (double)where->missing_bytes * share;
    ret_term->backend = where->backend;
    ret_term->samples = 0;
    ret_term->known = 1;
    ret_term->wait_ns = where->wait_ns;
    ret_term->launch_ns = backend->launch_ns;
    ret_term->missing_bytes = (uint64_t)missing_bytes;
    ret_term->move_ns = move_ns(backend, missing_bytes);
    if (curve && skua__curve_predict_ns(curve, at, &ret_term->run_ns, &ret_term->samples)) {
        ret_term->known = 1;
    } else if (work->flops && backend->flops) {
        ret_term->run_ns = bounded_ns((double)work->flops * share * 1e9 / (double)backend->flops);
    } else {
        ret_term->known = 0;
        ret_term->run_ns = 0;
    }
    ret_term->total_ns =
        ret_term->wait_ns + ret_term->launch_ns + ret_term->move_ns + ret_term->run_ns;
}

/* Gives what nothing is known of the run time of the slowest that is known. */
static void
guess_unknown(skua_select_decision *decision) {
    int64_t slowest_ns = 0;
    for (uint32_t i = 0; i < decision->count; i++) {
        const skua_select_term *term = &decision->terms[i];
        if (term->known && term->run_ns > slowest_ns) {
            slowest_ns = term->run_ns;
        }
    }
    for (uint32_t i = 0; i < decision->count; i++) {
        skua_select_term *term = &decision->terms[i];
        if (!term->known) {
            term->run_ns = slowest_ns;
            term->total_ns += slowest_ns;
        }
    }
}

void
skua__select_estimate(const skua_selector *selector, const skua_select_work *work, float at,
                      skua_select_decision *decision) {
    bool known = true;
    decision->count = (uint32_t)work->place_count;
    for (uint32_t i = 0; i < decision->count; i++) {
        skua__select_sum(selector, work, i, at, 1, &decision->terms[i]);
        known = known && decision->terms[i].known;
    }
    if (!known) {
        guess_unknown(decision);
    }
    uint32_t best = 0;
    for (uint32_t i = 1; i < decision->count; i++) {
        best = decision->terms[i].total_ns < decision->terms[best].total_ns ? i : best;
    }
    decision->best = best;
}
