// SPDX-License-Identifier: MPL-2.0
// A selector: how it is opened and closed, and its counters.
#include "select_priv.h"

#include <skua-int/fail.h>
#include <string.h>

enum {
    DEFAULT_EXPLORE_PERMILLE = 20,
    MAX_EXPLORE_PERMILLE = 50,
    DEFAULT_EXPLORE_COST_PERMILLE = 5,
    DEFAULT_HYSTERESIS_PERMILLE = 30,
};

static const uint64_t default_pcie_bytes_per_s = UINT64_C(32000000000);
static const uint64_t default_device_flops = UINT64_C(20000000000000);

void
skua_selector_options_init(skua_selector_options *options, size_t size) {
    memset(options, 0, size);
    memcpy(options, &size, sizeof size);
}

static int32_t
permille(int32_t given, int32_t fallback) {
    return given == SKUA_NONE ? 0 : given == 0 ? fallback : given;
}

/* Fills in the defaults. Returns false when a value is out of its bounds. */
static bool
fill_options(skua_selector_options *options) {
    options->explore_permille = permille(options->explore_permille, DEFAULT_EXPLORE_PERMILLE);
    options->explore_cost_permille =
        permille(options->explore_cost_permille, DEFAULT_EXPLORE_COST_PERMILLE);
    options->hysteresis_permille =
        permille(options->hysteresis_permille, DEFAULT_HYSTERESIS_PERMILLE);
    options->seed = options->seed ? options->seed : 1;
    if (!options->pcie_bytes_per_s) {
        options->pcie_bytes_per_s = default_pcie_bytes_per_s;
    }
    if (!options->device_flops) {
        options->device_flops = default_device_flops;
    }
    return options->explore_permille >= 0 && options->explore_permille <= MAX_EXPLORE_PERMILLE &&
           options->explore_cost_permille >= 0 &&
           options->explore_cost_permille <= SKUA__SELECT_PERMILLE &&
           options->hysteresis_permille >= 0 &&
           options->hysteresis_permille < SKUA__SELECT_PERMILLE;
}

static skua_selector *
selector_free(skua_selector *selector) {
    for (uint32_t i = 0; i < selector->kernel_count; i++) {
        for (uint32_t b = 0; b < SKUA_SELECT_BACKENDS_MAX; b++) {
            skua__mem_free(selector->hook, selector->kernels[i]->run[b]);
        }
        skua__mem_free(selector->hook, selector->kernels[i]);
    }
    skua__mem_free(selector->hook, selector->path);
    return skua__mem_free(selector->hook, selector);
}

skua_status
skua_selector_open(skua_selector **ret_selector, const skua_selector_options *options,
                   skua_error *err) {
    skua_selector_options read;
    if (!ret_selector || !SKUA_READ_OPTIONS(&read, options) || !fill_options(&read)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_selector_open needs ret_selector, options with their size set, at "
                         "most 50 permille of exploration and less than 1000 of hysteresis");
    }
    skua_selector *selector = skua__mem_new(read.allocator, sizeof *selector);
    if (!selector) {
        return SKUA_FAIL_MEMORY(err, "a selector");
    }
    selector->hook = read.allocator;
    selector->options = read;
    selector->rand.state = read.seed;
    if (read.path && *read.path) {
        selector->path = skua__mem_strdup(selector->hook, read.path);
        if (!selector->path || skua__select_load(selector)) {
            selector_free(selector);
            return SKUA_FAIL_MEMORY(err, "what a selector has learned");
        }
    }
    *ret_selector = selector;
    return SKUA_OK;
}

skua_selector *
skua_selector_close(skua_selector *selector) {
    if (!selector) {
        return NULL;
    }
    if (selector->path && selector->unsaved) {
        skua_status unkept = skua_selector_save(selector, NULL);
        (void)unkept; /* the next run learns it again */
    }
    return selector_free(selector);
}

void
skua_selector_stats(const skua_selector *selector, skua_selector_counters *ret_counters) {
    size_t size =
        ret_counters->size < sizeof selector->count ? ret_counters->size : sizeof selector->count;
    if (size > sizeof(size_t)) {
        memcpy((char *)ret_counters + sizeof(size_t),
               (const char *)&selector->count + sizeof(size_t), size - sizeof(size_t));
    }
}
