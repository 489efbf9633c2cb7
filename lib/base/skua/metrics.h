// SPDX-License-Identifier: MPL-2.0
// What skua counts: a registry of named metrics, and snapshots of an object's table of them.
#ifndef SKUA_METRICS_H
#define SKUA_METRICS_H

#include <skua/version.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which kind of object counts a metric. */
typedef enum skua_metric_scope {
    SKUA_METRIC_NODE = 1,   /* a node */
    SKUA_METRIC_HANDLE = 2, /* a pub, sub, push, pull, req or rep */
    SKUA_METRIC_EXEC = 3,   /* an executor */
    SKUA_METRIC_POOL = 4,   /* a pool */
    SKUA_METRIC_BATCH = 5,  /* a batcher */
} skua_metric_scope;

typedef enum skua_metric_kind {
    SKUA_METRIC_COUNTER = 1, /* only ever rises */
    SKUA_METRIC_GAUGE = 2,   /* the value now; may fall */
} skua_metric_kind;

/* Every metric by name; the registry is skua/metrics.def. Numbers are never reused or changed. */
enum skua_metric_id {
#define SKUA_METRIC_ENTRY(number, id, scope, kind, name, unit, help) SKUA_M_##id = (number),
#include <skua/metrics.def>
#undef SKUA_METRIC_ENTRY
};

/* One row of the registry. The strings live as long as the process. */
typedef struct skua_metric_info {
    uint32_t number;
    skua_metric_scope scope;
    skua_metric_kind kind;
    const char *name; /* "handle.sent_msgs" */
    const char *unit; /* "messages", "bytes", "ns", … */
    const char *help; /* one sentence */
} skua_metric_info;

typedef struct skua_metric_value {
    const skua_metric_info *info;
    int64_t value;
} skua_metric_value;

/* An object's counters. Handles give it out, borrowed: it lives as long as its object. */
typedef struct skua_metrics skua_metrics;

/**
 * The i-th row of the registry, for listing them all.
 *
 * Returns: the row, or NULL when i is past the end.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const skua_metric_info *skua_metric_at(size_t i);

/**
 * Copies the values of a table, at most capacity of them, into ret_values. Each value is exact; together they are not
 * one moment, because counting goes on.
 *
 * Returns: how many metrics the table has, which may be more than capacity; 0 for NULL.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API size_t skua_metrics_snapshot(const skua_metrics *metrics, skua_metric_value *ret_values,
                                      size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
