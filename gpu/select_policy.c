// SPDX-License-Identifier: MPL-2.0
// The fixed policies that a selector is compared with, and their names.
#include "select_priv.h"

enum { PCIE_TIMES = 5 };

static const uint64_t scalar_up_to_units = 1000000;

const char *
skua_select_policy_text(int32_t policy) {
    switch (policy) {
    case SKUA_SELECT_LEARNED:
        return "learned";
    case SKUA_SELECT_FIVE_TIMES_PCIE:
        return "five-times-pcie";
    case SKUA_SELECT_ALWAYS_SCALAR:
        return "always-scalar";
    case SKUA_SELECT_ALWAYS_SIMD:
        return "always-simd";
    case SKUA_SELECT_ALWAYS_DEVICE:
        return "always-device";
    case SKUA_SELECT_ALWAYS_PEER:
        return "always-peer";
    case SKUA_SELECT_SHORTEST_WAIT:
        return "shortest-wait";
    case SKUA_SELECT_ROUND_ROBIN:
        return "round-robin";
    case SKUA_SELECT_RANDOM:
        return "random";
    default:
        return "unknown";
    }
}

/* The first place of a kind; the first of all when there is none. */
static uint32_t
first_of(const skua_selector *selector, const skua_select_work *work, int32_t kind) {
    for (uint32_t i = 0; i < work->place_count; i++) {
        if (selector->backends[work->places[i].backend].kind == kind) {
            return i;
        }
    }
    return 0;
}

/* The rule knows only the nominal speeds, and nothing of queues or of where the bytes are. */
static int32_t
rule_of_five(const skua_selector *selector, const skua_select_work *work) {
    if (work->elementwise) {
        return work->units > scalar_up_to_units ? SKUA_SELECT_SIMD : SKUA_SELECT_SCALAR;
    }
    double move_s = (double)work->bytes / (double)selector->options.pcie_bytes_per_s;
    double compute_s = (double)work->flops / (double)selector->options.device_flops;
    return compute_s > PCIE_TIMES * move_s ? SKUA_SELECT_DEVICE : SKUA_SELECT_SIMD;
}

static uint32_t
shortest_wait(const skua_select_work *work) {
    uint32_t shortest = 0;
    for (uint32_t i = 1; i < work->place_count; i++) {
        if (work->places[i].wait_ns < work->places[shortest].wait_ns) {
            shortest = i;
        }
    }
    return shortest;
}

uint32_t
skua__select_fixed(skua_selector *selector, const skua_select_work *work) {
    switch (work->policy) {
    case SKUA_SELECT_FIVE_TIMES_PCIE:
        return first_of(selector, work, rule_of_five(selector, work));
    case SKUA_SELECT_ALWAYS_SCALAR:
        return first_of(selector, work, SKUA_SELECT_SCALAR);
    case SKUA_SELECT_ALWAYS_SIMD:
        return first_of(selector, work, SKUA_SELECT_SIMD);
    case SKUA_SELECT_ALWAYS_DEVICE:
        return first_of(selector, work, SKUA_SELECT_DEVICE);
    case SKUA_SELECT_ALWAYS_PEER:
        return first_of(selector, work, SKUA_SELECT_PEER);
    case SKUA_SELECT_ROUND_ROBIN:
        return selector->turn++ % (uint32_t)work->place_count;
    case SKUA_SELECT_RANDOM:
        return skua__rand_below(&selector->rand, (uint32_t)work->place_count);
    default:
        return shortest_wait(work);
    }
}
