// SPDX-License-Identifier: MPL-2.0
// Learning from what a piece of work took, and from runs made on purpose.
#include "select_priv.h"

#include <math.h>
#include <skua-int/fail.h>

/* Of a calibration. */
enum { DEFAULT_POINTS = 6, MAX_POINTS = 64, DEFAULT_REPEATS = 3, MAX_REPEATS = 15 };

static const int64_t default_budget_ns = 200 * INT64_C(1000000);

skua_status
skua_selector_learn(skua_selector *selector, const skua_select_outcome *outcome, skua_error *err) {
    skua_select_outcome read;
    if (!selector || !outcome || !SKUA_READ_OPTIONS(&read, outcome) ||
        read.kernel >= selector->kernel_count || read.backend >= selector->backend_count ||
        !selector->backends[read.backend].active) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "an outcome needs its size, and a kernel and a backend of this selector");
    }
    skua__select_backend *backend = &selector->backends[read.backend];
    bool near = true;
    if (read.run_ns > 0) {
        skua__curve *curve =
            skua__select_curve(selector, selector->kernels[read.kernel], read.backend);
        if (!curve) {
            return SKUA_FAIL_MEMORY(err, "a kernel's times on a backend");
        }
        near = skua__curve_learn(curve, skua__curve_at(read.units), read.run_ns);
        selector->count.learned++;
    }
    if (read.launch_ns > 0) {
        near = skua__curve_node_learn(&backend->launch, read.launch_ns) && near;
        backend->launch_ns = skua__curve_ns(backend->launch.log_ns);
    }
    if (read.move_ns > 0 && read.moved_bytes) {
        near = skua__curve_learn(&backend->move, skua__curve_at(read.moved_bytes), read.move_ns) &&
               near;
    }
    selector->count.outliers += !near;
    selector->unsaved = true;
    return SKUA_OK;
}

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
