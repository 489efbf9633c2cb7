// SPDX-License-Identifier: MPL-2.0
// The selector: backends and kernels by name, the sum of times for each candidate, the choice, and learning from runs.
#include "select_priv.h"

#include <skua-int/fail.h>
#include <string.h>

enum {
    DEFAULT_EXPLORE_PERMILLE = 20,
    MAX_EXPLORE_PERMILLE = 50,
    DEFAULT_EXPLORE_COST_PERMILLE = 5,
    DEFAULT_HYSTERESIS_PERMILLE = 30,
    MAX_PERMILLE = 1000,
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
           options->explore_cost_permille >= 0 && options->explore_cost_permille <= MAX_PERMILLE &&
           options->hysteresis_permille >= 0 && options->hysteresis_permille < MAX_PERMILLE;
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

/* ---- Backends and kernels ---- */

static bool
name_fits(const char *name) {
    return name && *name && strlen(name) < SKUA_SELECT_NAME_BYTES;
}

skua__select_backend *
skua__select_backend_find(skua_selector *selector, const char *name) {
    for (uint32_t i = 0; i < selector->backend_count; i++) {
        if (strcmp(selector->backends[i].name, name) == 0) {
            return &selector->backends[i];
        }
    }
    return NULL;
}

static bool
is_masked(int32_t kind) {
    return kind == SKUA_SELECT_DEVICE || kind == SKUA_SELECT_PEER;
}

/* A slot for a new backend: a fresh one, or that of one which only the file knows; NULL: none. */
static skua__select_backend *
backend_slot(skua_selector *selector) {
    if (selector->backend_count < SKUA_SELECT_BACKENDS_MAX) {
        return &selector->backends[selector->backend_count++];
    }
    for (uint32_t i = 0; i < SKUA_SELECT_BACKENDS_MAX; i++) {
        if (!selector->backends[i].active) {
            for (uint32_t k = 0; k < selector->kernel_count; k++) {
                skua__select_kernel *kernel = selector->kernels[k];
                kernel->run[i] = skua__mem_free(selector->hook, kernel->run[i]);
                kernel->tries[i] = 0;
            }
            selector->backends[i] = (skua__select_backend){0};
            return &selector->backends[i];
        }
    }
    return NULL;
}

skua_status
skua_selector_add_backend(skua_selector *selector, const skua_select_backend *backend,
                          uint32_t *ret_backend, skua_error *err) {
    skua_select_backend read;
    if (!selector || !ret_backend || !backend || !SKUA_READ_OPTIONS(&read, backend) ||
        !name_fits(read.name) || read.kind < SKUA_SELECT_SCALAR || read.kind > SKUA_SELECT_PEER ||
        read.launch_ns < 0) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "a backend needs a name of 1 to %d bytes, one of the kinds, and a launch "
                         "time that is not negative",
                         SKUA_SELECT_NAME_BYTES - 1);
    }
    skua__select_backend *found = skua__select_backend_find(selector, read.name);
    if (found && found->active) {
        return SKUA_FAIL(err, SKUA_E_EXISTS, "the backend \"%s\" was told already", read.name);
    }
    if (!found) {
        found = backend_slot(selector);
        if (!found) {
            return SKUA_FAIL(err, SKUA_E_LIMIT, "a selector takes at most %d backends",
                             SKUA_SELECT_BACKENDS_MAX);
        }
        memcpy(found->name, read.name, strlen(read.name) + 1);
    }
    for (uint32_t k = 0; k < selector->kernel_count; k++) {
        skua__curve *curve = selector->kernels[k]->run[found - selector->backends];
        if (curve) { /* from the file, which does not say what it is of */
            curve->masked = is_masked(read.kind);
        }
    }
    found->active = true;
    found->move.linear = true;
    found->kind = read.kind;
    found->launch_ns =
        found->launch.samples ? skua__curve_ns(found->launch.log_ns) : read.launch_ns;
    found->bytes_per_s = read.bytes_per_s;
    found->flops = read.flops;
    *ret_backend = (uint32_t)(found - selector->backends);
    return SKUA_OK;
}

/* The kernel's number, or the count when there is none of this name. */
static uint32_t
kernel_index(const skua_selector *selector, const char *name) {
    uint32_t i = 0;
    while (i < selector->kernel_count && strcmp(selector->kernels[i]->name, name) != 0) {
        i++;
    }
    return i;
}

skua__select_kernel *
skua__select_kernel_get(skua_selector *selector, const char *name) {
    uint32_t i = kernel_index(selector, name);
    if (i < selector->kernel_count) {
        return selector->kernels[i];
    }
    skua__select_kernel *kernel =
        i < SKUA_SELECT_KERNELS_MAX ? skua__mem_new(selector->hook, sizeof *kernel) : NULL;
    if (kernel) {
        memcpy(kernel->name, name, strlen(name) + 1);
        selector->kernels[selector->kernel_count++] = kernel;
    }
    return kernel;
}

skua_status
skua_selector_kernel(skua_selector *selector, const char *name, uint32_t *ret_kernel,
                     skua_error *err) {
    if (!selector || !ret_kernel || !name_fits(name)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a kernel needs a name of 1 to %d bytes",
                         SKUA_SELECT_NAME_BYTES - 1);
    }
    uint32_t i = kernel_index(selector, name);
    if (i == SKUA_SELECT_KERNELS_MAX) {
        return SKUA_FAIL(err, SKUA_E_LIMIT, "a selector takes at most %d kernels",
                         SKUA_SELECT_KERNELS_MAX);
    }
    if (!skua__select_kernel_get(selector, name)) {
        return SKUA_FAIL_MEMORY(err, "a kernel's times");
    }
    *ret_kernel = i;
    return SKUA_OK;
}

skua__curve *
skua__select_curve(skua_selector *selector, skua__select_kernel *kernel, uint32_t backend) {
    if (!kernel->run[backend]) {
        kernel->run[backend] = skua__mem_new(selector->hook, sizeof(skua__curve));
        if (kernel->run[backend]) {
            kernel->run[backend]->masked = is_masked(selector->backends[backend].kind);
        }
    }
    return kernel->run[backend];
}

/* ---- The choice ---- */

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
    ret_term->backend = where->backend;
    ret_term->samples = 0;
    ret_term->known = 1;
    ret_term->wait_ns = where->wait_ns;
    ret_term->launch_ns = backend->launch_ns;
    ret_term->missing_bytes = (uint64_t)((double)where->missing_bytes * share);
    ret_term->move_ns = move_ns(backend, (double)where->missing_bytes * share);
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
    int64_t slowest_ns = -1;
    bool all = true;
    for (uint32_t i = 0; i < decision->count; i++) {
        const skua_select_term *term = &decision->terms[i];
        all = all && term->known;
        if (term->known && term->run_ns > slowest_ns) {
            slowest_ns = term->run_ns;
        }
    }
    for (uint32_t i = 0; i < decision->count && !all && slowest_ns >= 0; i++) {
        skua_select_term *term = &decision->terms[i];
        if (!term->known) {
            term->run_ns = slowest_ns;
            term->total_ns += slowest_ns;
        }
    }
}

/*
 * A candidate that nothing is known of and that was not tried often enough, or -1: the one that would begin first. Its queue
 * and its way are known: they alone must not make it far worse already than the best that is known.
 */
static int
untried(const skua_selector *selector, const skua__select_kernel *kernel,
        const skua_select_work *work, const skua_select_decision *decision) {
    int soonest = -1;
    int64_t soonest_ns = INT64_MAX;
    for (uint32_t i = 0; i < decision->count && selector->options.explore_permille; i++) {
        const skua_select_term *term = &decision->terms[i];
        int64_t begin_ns = term->wait_ns + term->launch_ns + term->move_ns;
        if (!term->known && !work->places[i].full && begin_ns < soonest_ns &&
            kernel->tries[term->backend] < SKUA__SELECT_TRIES) {
            soonest = (int)i;
            soonest_ns = begin_ns;
        }
    }
    const skua_select_term *best = &decision->terms[decision->best];
    bool far = best->known && soonest_ns / SKUA__SELECT_EXPLORE_TIMES > best->total_ns;
    return far ? -1 : soonest;
}

/*
 * Whether a candidate may be explored at all: it is not far worse, or it only looks so by a few runs, of which one that was
 * disturbed would be enough to keep it from being asked for good.
 */
static bool
worth_exploring(const skua__select_kernel *kernel, const skua_select_term *term, int64_t best_ns) {
    const skua__curve *curve = kernel->run[term->backend];
    return term->total_ns / SKUA__SELECT_EXPLORE_TIMES <= best_ns || !curve ||
           curve->learned < SKUA__SELECT_YOUNG;
}

/*
 * The candidate to explore now, or -1. Rarely (by the seeded dice) the one with the fewest samples near this size is
 * taken, if what that wastes stays within the share of all predicted time that exploring may cost.
 */
static int
explored(skua_selector *selector, const skua__select_kernel *kernel, const skua_select_work *work,
         const skua_select_decision *decision) {
    const skua_selector_options *options = &selector->options;
    if (decision->count < 2 ||
        skua__rand_below(&selector->rand, MAX_PERMILLE) >= (uint32_t)options->explore_permille ||
        (selector->count.explored + 1) * MAX_PERMILLE >
            (selector->count.decisions + 1) * (uint64_t)options->explore_permille) {
        return -1;
    }
    int least = -1;
    int64_t best_ns = decision->terms[decision->best].total_ns;
    uint32_t from = skua__rand_below(&selector->rand, decision->count); /* ties fall anywhere */
    for (uint32_t k = 0; k < decision->count; k++) {
        uint32_t i = (from + k) % decision->count;
        if (i != decision->best && !work->places[i].full &&
            worth_exploring(kernel, &decision->terms[i], best_ns) &&
            (least < 0 || decision->terms[i].samples < decision->terms[least].samples)) {
            least = (int)i;
        }
    }
    if (least < 0) {
        return -1;
    }
    double waste_ns = (double)(decision->terms[least].total_ns - best_ns);
    double allowed_ns = selector->spent_ns * (double)options->explore_cost_permille / MAX_PERMILLE;
    if (selector->wasted_ns + waste_ns > allowed_ns) {
        return -1;
    }
    selector->wasted_ns += waste_ns;
    return least;
}

/* The last choice at this size, when it is a candidate and the best is not better by enough; else the best. */
static uint32_t
kept(const skua_selector *selector, uint32_t last, const skua_select_decision *decision) {
    int64_t best_ns = decision->terms[decision->best].total_ns;
    for (uint32_t i = 0; i < decision->count && last; i++) {
        const skua_select_term *term = &decision->terms[i];
        if (term->backend + 1 == last) {
            double gain = (double)term->total_ns * selector->options.hysteresis_permille;
            bool enough = (double)(term->total_ns - best_ns) * MAX_PERMILLE > gain;
            return enough ? decision->best : i;
        }
    }
    return decision->best;
}

static void
choose_learned(skua_selector *selector, skua__select_kernel *kernel, uint32_t node,
               const skua_select_work *work, skua_select_decision *decision) {
    int pick = untried(selector, kernel, work, decision);
    decision->place = decision->best;
    decision->reason = decision->count == 1 ? SKUA_SELECT_ONLY : SKUA_SELECT_BEST;
    if (pick >= 0) {
        kernel->tries[decision->terms[pick].backend]++;
    } else {
        pick = explored(selector, kernel, work, decision);
    }
    if (pick >= 0 && decision->count > 1) {
        decision->place = (uint32_t)pick;
        decision->reason = SKUA_SELECT_EXPLORED;
        selector->count.explored++;
        return;
    }
    uint32_t stays = kept(selector, kernel->last[node], decision);
    if (work->places[stays].full) {
        decision->place = stays;
        decision->reason = SKUA_SELECT_WAIT;
        return;
    }
    if (stays != decision->best) {
        decision->place = stays;
        decision->reason = SKUA_SELECT_KEPT;
        selector->count.kept++;
    }
    kernel->last[node] = (uint8_t)(decision->terms[decision->place].backend + 1);
}

skua_status
skua_select(skua_selector *selector, const skua_select_work *work,
            skua_select_decision *ret_decision, skua_error *err) {
    if (!skua__select_work_valid(selector, work) || !ret_decision ||
        ret_decision->size < sizeof *ret_decision) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_select needs a kernel and places of this selector, at most %d of "
                         "them, and sizes that are set",
                         SKUA_SELECT_BACKENDS_MAX);
    }
    skua__select_kernel *kernel = selector->kernels[work->kernel];
    float at = skua__curve_at(work->units);
    skua_select_decision *decision = ret_decision;
    decision->kernel = work->kernel;
    decision->units = work->units;
    decision->count = (uint32_t)work->place_count;
    for (uint32_t i = 0; i < decision->count; i++) {
        skua__select_sum(selector, work, i, at, 1, &decision->terms[i]);
    }
    guess_unknown(decision);
    decision->best = 0;
    for (uint32_t i = 1; i < decision->count; i++) {
        if (decision->terms[i].total_ns < decision->terms[decision->best].total_ns) {
            decision->best = i;
        }
    }
    if (work->policy == SKUA_SELECT_LEARNED) {
        choose_learned(selector, kernel, skua__curve_nearest(at), work, decision);
    } else {
        decision->place = skua__select_fixed(selector, work);
        decision->reason = SKUA_SELECT_RULE;
    }
    decision->backend = decision->terms[decision->place].backend;
    if (decision->reason != SKUA_SELECT_WAIT) {
        selector->spent_ns += (double)decision->terms[decision->place].total_ns;
        selector->count.decisions++;
    }
    return SKUA_OK;
}

/* ---- Learning ---- */

skua_status
skua_selector_learn(skua_selector *selector, const skua_select_outcome *outcome, skua_error *err) {
    skua_select_outcome read;
    if (!selector || !outcome || !SKUA_READ_OPTIONS(&read, outcome) ||
        read.kernel >= selector->kernel_count || read.backend >= selector->backend_count) {
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

void
skua_selector_stats(const skua_selector *selector, skua_selector_counters *ret_counters) {
    size_t size =
        ret_counters->size < sizeof selector->count ? ret_counters->size : sizeof selector->count;
    if (size > sizeof(size_t)) {
        memcpy((char *)ret_counters + sizeof(size_t),
               (const char *)&selector->count + sizeof(size_t), size - sizeof(size_t));
    }
}
