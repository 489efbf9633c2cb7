// SPDX-License-Identifier: MPL-2.0
// The registry of metrics and the snapshot of a table.
#include <skua-int/metrics.h>

static const skua_metric_info registry[] = {
#define SKUA_METRIC_ENTRY(number_, id, scope_, kind_, name_, unit_, help_)                         \
    {.number = (number_),                                                                          \
     .scope = SKUA_METRIC_##scope_,                                                                \
     .kind = SKUA_METRIC_##kind_,                                                                  \
     .name = name_,                                                                                \
     .unit = unit_,                                                                                \
     .help = help_},
#include <skua/metrics.def>
#undef SKUA_METRIC_ENTRY
};

const skua_metric_info *
skua_metric_at(size_t i) {
    return i < SKUA__METRICS ? &registry[i] : NULL;
}

void
skua__metrics_init(skua_metrics *metrics, skua_metric_scope scope) {
    metrics->scope = scope;
    for (size_t i = 0; i < SKUA__METRICS; i++) {
        atomic_init(&metrics->values[i], 0);
    }
}

size_t
skua_metrics_snapshot(const skua_metrics *metrics, skua_metric_value *ret_values, size_t capacity) {
    size_t count = 0;
    for (size_t i = 0; metrics && i < SKUA__METRICS; i++) {
        if (registry[i].scope != metrics->scope) {
            continue;
        }
        if (count < capacity) {
            ret_values[count] = (skua_metric_value){
                .info = &registry[i], .value = skua__metric_get(metrics, (enum skua_metric_id)i)};
        }
        count++;
    }
    return count;
}
