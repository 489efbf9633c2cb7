// SPDX-License-Identifier: MPL-2.0
// When each candidate would be done: wait, launch, move and run time, each learned or told.
#include "select_priv.h"

enum { FULL_OCTAVES = 14 }; /* 2^14 units fill a device: from there on it takes longer for more */

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

/* By how much the logarithm of a kernel's time grows between two sizes: as it does where that is known, and at most with the size. */
static float
growth(const skua__select_kernel *kernel, float from, float to) {
    float least = (to - from) / SKUA__CURVE_PER_OCTAVE;
    for (uint32_t b = 0; b < SKUA_SELECT_BACKENDS_MAX; b++) {
        const skua__curve *curve = kernel->run[b];
        float low, high;
        uint32_t samples;
        if (curve && !curve->masked && skua__curve_predict(curve, from, &low, &samples) &&
            skua__curve_predict(curve, to, &high, &samples)) {
            least = high - low < least ? high - low : least;
        }
    }
    return least;
}

/*
 * A device's time far above all sizes that were seen. What few work-items take says little of its rate, so that its curve may be
 * all but flat there; but once it is full it is no longer for nothing. Returns the time if it is longer than that, else ns.
 */
static int64_t
above_seen_ns(const skua__select_kernel *kernel, const skua__curve *curve, float at, int64_t ns) {
    float top = skua__curve_top(curve), full = FULL_OCTAVES * SKUA__CURVE_PER_OCTAVE;
    float from = top > full ? top : full;
    float log_ns;
    uint32_t samples;
    if (!curve->masked || at <= from || !skua__curve_predict(curve, top, &log_ns, &samples)) {
        return ns;
    }
    int64_t least_ns = skua__curve_ns(log_ns + growth(kernel, from, at));
    return least_ns > ns ? least_ns : ns;
}

void
skua__select_sum(const skua_selector *selector, const skua_select_work *work, uint32_t place,
                 float at, double share, skua_select_term *ret_term) {
    const skua_select_place *where = &work->places[place];
    const skua__select_backend *backend = &selector->backends[where->backend];
    const skua__select_kernel *kernel = selector->kernels[work->kernel];
    const skua__curve *curve = kernel->run[where->backend];
    double missing_bytes = (double)where->missing_bytes * share;
    ret_term->backend = where->backend;
    ret_term->samples = 0;
    ret_term->known = 1;
    ret_term->wait_ns = where->wait_ns;
    ret_term->launch_ns = backend->launch_ns;
    ret_term->missing_bytes = (uint64_t)missing_bytes;
    ret_term->move_ns = move_ns(backend, missing_bytes);
    if (curve && skua__curve_predict_ns(curve, at, &ret_term->run_ns, &ret_term->samples)) {
        if (ret_term->samples == 0) {
            ret_term->run_ns = above_seen_ns(kernel, curve, at, ret_term->run_ns);
        }
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
