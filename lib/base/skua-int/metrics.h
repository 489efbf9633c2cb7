// SPDX-License-Identifier: MPL-2.0
// An object's table of counters, embedded in the object and written without a lock from any thread.
#ifndef SKUA_INT_METRICS_H
#define SKUA_INT_METRICS_H

#include <assert.h>
#include <skua/metrics.h>
#include <stdatomic.h>

/* How many metrics there are; one table holds a place for each, which is cheaper than looking places up. */
enum {
#define SKUA_METRIC_ENTRY(number, id, scope, kind, name, unit, help) SKUA__METRIC_ROW_##id,
#include <skua/metrics.def>
#undef SKUA_METRIC_ENTRY
    SKUA__METRICS
};

struct skua_metrics {
    skua_metric_scope scope;
    _Atomic int64_t values[SKUA__METRICS];
};

void skua__metrics_init(skua_metrics *metrics, skua_metric_scope scope);

/* Adds to a counter, or moves a gauge up or down. */
static inline void
skua__metric_add(skua_metrics *metrics, enum skua_metric_id id, int64_t amount) {
    assert((size_t)id < SKUA__METRICS);
    /* relaxed: a counter orders nothing; whoever reads it wants some recent value. */
    atomic_fetch_add_explicit(&metrics->values[id], amount, memory_order_relaxed);
}

/* Sets a gauge. */
static inline void
skua__metric_set(skua_metrics *metrics, enum skua_metric_id id, int64_t value) {
    assert((size_t)id < SKUA__METRICS);
    /* relaxed: as in skua__metric_add */
    atomic_store_explicit(&metrics->values[id], value, memory_order_relaxed);
}

static inline int64_t
skua__metric_get(const skua_metrics *metrics, enum skua_metric_id id) {
    assert((size_t)id < SKUA__METRICS);
    /* relaxed: as in skua__metric_add */
    return atomic_load_explicit(&metrics->values[id], memory_order_relaxed);
}

#endif
