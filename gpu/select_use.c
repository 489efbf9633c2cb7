// SPDX-License-Identifier: MPL-2.0
// What is built on a selector's predictions: calibration, splitting work by measured shares, a decision in words.
#include "select_priv.h"

#include <math.h>
#include <skua-int/fail.h>
#include <stdio.h>

enum {
    DEFAULT_POINTS = 6,
    MAX_POINTS = 64,
    DEFAULT_REPEATS = 3,
    MAX_REPEATS = 15,
    SPLIT_FINE = 8192, /* shares are found to one in so many units */
    SPLIT_STEPS = 44,  /* halvings: finer than a share's rounding matters */
};

static const int64_t default_budget_ns = 200 * INT64_C(1000000);

/* ---- Calibration ---- */

/* The median of the repeats in ns, or -1. *budget_ns shrinks by what they took. */
static int64_t
measure_point(const skua_select_calibration *how, uint32_t backend, uint64_t units,
              int64_t *budget_ns) {
    int64_t sorted[MAX_REPEATS];
    uint32_t count = 0;
    while (count < how->repeats && (count == 0 || *budget_ns > 0)) {
        int64_t ns = how->measure(how->arg, backend, units);
        if (ns < 0) {
            return -1;
        }
        *budget_ns -= ns;
        uint32_t at = count++;
        for (; at > 0 && sorted[at - 1] > ns; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = ns;
    }
    int64_t median_ns = sorted[count / 2];
    return median_ns > 0 ? median_ns : 1;
}

static skua_status
calibrate_backend(skua_selector *selector, const skua_select_calibration *how, uint32_t backend,
                  skua_error *err) {
    int64_t budget_ns = how->budget_ns;
    double ratio = (double)how->max_units / (double)how->min_units;
    uint64_t before = 0;
    for (uint32_t i = 0; i < how->points && budget_ns > 0; i++) {
        double part = how->points > 1 ? (double)i / (how->points - 1) : 1;
        uint64_t units = (uint64_t)llround((double)how->min_units * pow(ratio, part));
        units = i + 1 == how->points ? how->max_units : units;
        if (units == before) {
            continue;
        }
        before = units;
        int64_t ns = measure_point(how, backend, units, &budget_ns);
        if (ns < 0) {
            return SKUA_OK;
        }
        skua_status status =
            skua_selector_learn(selector,
                                SKUA_SELECT_OUTCOME(.kernel = how->kernel, .backend = backend,
                                                    .units = units, .run_ns = ns),
                                err);
        if (status) {
            return status;
        }
    }
    return SKUA_OK;
}

skua_status
skua_selector_calibrate(skua_selector *selector, const skua_select_calibration *calibration,
                        skua_error *err) {
    skua_select_calibration how;
    bool read = selector && calibration && SKUA_READ_OPTIONS(&how, calibration);
    if (read) {
        how.points = how.points ? how.points : DEFAULT_POINTS;
        how.repeats = how.repeats ? how.repeats : DEFAULT_REPEATS;
        how.min_units = how.min_units ? how.min_units : 1;
        how.budget_ns = how.budget_ns ? how.budget_ns : default_budget_ns;
    }
    if (!read || how.kernel >= selector->kernel_count || how.points > MAX_POINTS ||
        how.repeats > MAX_REPEATS || how.max_units < how.min_units || how.budget_ns < 0 ||
        !how.measure) {
        return SKUA_FAIL(
            err, SKUA_E_BAD_ARGUMENT,
            "a calibration needs a kernel of this selector, measure(), max_units of at "
            "least min_units, at most %d points and %d repeats",
            MAX_POINTS, MAX_REPEATS);
    }
    for (uint32_t b = 0; b < selector->backend_count; b++) {
        skua_status status =
            selector->backends[b].active ? calibrate_backend(selector, &how, b, err) : SKUA_OK;
        if (status) {
            return status;
        }
    }
    return SKUA_OK;
}

/* ---- Splitting ---- */

/* When a place would be done with so many of the units; nothing known counts as never. */
static double
done_ns(const skua_selector *selector, const skua_select_work *work, uint32_t place, double units) {
    skua_select_term term;
    uint64_t whole = work->units ? work->units : 1;
    skua__select_sum(selector, work, place, skua__curve_at((uint64_t)units), units / (double)whole,
                     &term);
    return term.known ? (double)term.total_ns : INFINITY;
}

/* How many units a place gets done by a moment. */
static double
units_by(const skua_selector *selector, const skua_select_work *work, uint32_t place, double ns) {
    double low = 0, high = (double)work->units;
    if (done_ns(selector, work, place, high) <= ns) {
        return high;
    }
    double fine = high / SPLIT_FINE < 0.5 ? 0.5 : high / SPLIT_FINE;
    for (int step = 0; step < SPLIT_STEPS && high - low > fine; step++) {
        double middle = (low + high) / 2;
        if (done_ns(selector, work, place, middle) <= ns) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static double
all_units_by(const skua_selector *selector, const skua_select_work *work, double ns) {
    double sum = 0;
    for (uint32_t i = 0; i < work->place_count; i++) {
        sum += units_by(selector, work, i, ns);
    }
    return sum;
}

/* Rounds the shares at a moment down to granules; what is left over is the largest one's. */
static void
round_shares(const skua_selector *selector, const skua_select_work *work, double ns,
             uint64_t granule, uint32_t best, uint64_t *ret_units) {
    uint64_t left = work->units;
    uint32_t largest = best;
    for (uint32_t i = 0; i < work->place_count; i++) {
        uint64_t units = (uint64_t)units_by(selector, work, i, ns);
        units -= units % granule;
        ret_units[i] = units < left ? units : left - left % granule;
        left -= ret_units[i];
        largest = ret_units[i] > ret_units[largest] ? i : largest;
    }
    ret_units[largest] += left;
}

skua_status
skua_select_split(const skua_selector *selector, const skua_select_work *work, uint64_t granule,
                  uint64_t *ret_units, int64_t *ret_total_ns, skua_error *err) {
    if (!skua__select_work_valid(selector, work) || !ret_units) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_select_split needs a kernel and places of this selector, and "
                         "ret_units with room for each place");
    }
    granule = granule ? granule : 1;
    uint32_t best = 0;
    double high = INFINITY, low = 0;
    for (uint32_t i = 0; i < work->place_count; i++) {
        double alone = done_ns(selector, work, i, (double)work->units);
        if (alone < high) {
            high = alone;
            best = i;
        }
    }
    const double fine = 1e-4; /* of the time: the shares are as good as that */
    for (int step = 0; step < SPLIT_STEPS && !isinf(high) && high - low > fine * high; step++) {
        double middle = (low + high) / 2;
        if (all_units_by(selector, work, middle) >= (double)work->units) {
            high = middle;
        } else {
            low = middle;
        }
    }
    if (isinf(high)) {
        for (uint32_t i = 0; i < work->place_count; i++) {
            ret_units[i] = i == best ? work->units : 0;
        }
    } else {
        round_shares(selector, work, high, granule, best, ret_units);
    }
    if (ret_total_ns) {
        *ret_total_ns = 0;
        for (uint32_t i = 0; i < work->place_count && !isinf(high); i++) {
            double ns = ret_units[i] ? done_ns(selector, work, i, (double)ret_units[i]) : 0;
            *ret_total_ns = ns > (double)*ret_total_ns ? (int64_t)ns : *ret_total_ns;
        }
    }
    return SKUA_OK;
}

/* ---- In words ---- */

static const char *
reason_text(int32_t reason) {
    switch (reason) {
    case SKUA_SELECT_BEST:
        return "it is predicted to be done first";
    case SKUA_SELECT_ONLY:
        return "there is no other";
    case SKUA_SELECT_KEPT:
        return "it was chosen last, and another one is not better by enough";
    case SKUA_SELECT_EXPLORED:
        return "to learn how it does at this size";
    case SKUA_SELECT_WAIT:
        return "it is done first although it is full: it is waited for";
    default:
        return "a fixed policy says so";
    }
}

size_t
skua_select_text(const skua_selector *selector, const skua_select_decision *decision, char *ret,
                 size_t ret_size) {
    size_t used = 0;
    for (uint32_t i = 0; i <= decision->count; i++) {
        char line[320];
        int length;
        if (i == 0) {
            length = snprintf(
                line, sizeof line, "%s, %llu units: %s, because %s",
                selector->kernels[decision->kernel]->name, (unsigned long long)decision->units,
                selector->backends[decision->backend].name, reason_text(decision->reason));
        } else {
            const skua_select_term *term = &decision->terms[i - 1];
            length = snprintf(
                line, sizeof line,
                "\n  %-16s %.1f us = wait %.1f + launch %.1f + move %.1f + run %.1f (%u runs near "
                "this size%s; %llu bytes to move)",
                selector->backends[term->backend].name, (double)term->total_ns / 1e3,
                (double)term->wait_ns / 1e3, (double)term->launch_ns / 1e3,
                (double)term->move_ns / 1e3, (double)term->run_ns / 1e3, term->samples,
                term->known ? "" : "; a guess", (unsigned long long)term->missing_bytes);
        }
        for (int c = 0; c < length; c++, used++) {
            if (used + 1 < ret_size) {
                ret[used] = line[c];
            }
        }
    }
    if (ret_size) {
        ret[used < ret_size ? used : ret_size - 1] = 0;
    }
    return used;
}
