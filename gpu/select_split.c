// SPDX-License-Identifier: MPL-2.0
// Splitting work by measured shares: every place is to be done at the same moment.
#include "select_priv.h"

#include <math.h>
#include <skua-int/fail.h>

enum {
    SPLIT_FINE = 8192, /* shares are found to one in so many units */
    SPLIT_STEPS = 44,  /* halvings: finer than a share's rounding matters */
};

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
