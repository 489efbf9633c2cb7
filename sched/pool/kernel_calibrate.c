// SPDX-License-Identifier: MPL-2.0
// Calibration of a kernel: a launch that a user gives is run at each place of ours through the very path that later ones take,
// so that the selector begins with measured times in place of tries. Within a budget, and only where nothing is known.
#include <skua-int/kernels.h>

enum {
    REPEATS = 3,
    DEFAULT_BUDGET_MS = 20,
    MAX_BUDGET_MS = 3600 * 1000,
};

/* One place that is tried out. */
typedef struct trial {
    skua_pool *pool;
    skua__kernel_entry *entry;
    uint32_t place;
    int32_t on;      /* of a launch that is to run there */
    int64_t left_ns; /* of the budget */
} trial;

/* What the selector makes of a launch at the place: how long it takes, and how often that was measured near its size. */
static skua_select_term
foresee(const trial *self, const skua__coded_launch *coded) {
    skua_pool *pool = self->pool;
    skua_select_decision decision = {.size = sizeof decision};
    skua__mutex_lock(&pool->lock);
    skua__kernels *kernels = pool->kernels;
    const skua_select_place place = {
        .backend = kernels->places[self->place].selector_number,
        .missing_bytes = self->on == SKUA_ON_CORES ? 0 : coded->input_bytes + coded->output_bytes};
    /* By a fixed policy, so that no choice of the learning one is noted. */
    const skua_select_work work = {.size = sizeof work,
                                   .kernel = self->entry->selector_number,
                                   .policy = SKUA_SELECT_SHORTEST_WAIT,
                                   .units = coded->global[0] * coded->global[1] * coded->global[2],
                                   .places = &place,
                                   .place_count = 1};
    if (skua_select(kernels->selector, &work, &decision, NULL)) {
        decision.terms[0] = (skua_select_term){0};
    }
    skua__mutex_unlock(&pool->lock);
    return decision.terms[0];
}

/*
 * Runs a launch at the place. *ret_ns: how long it took; -1: the place cannot, or not in time. It ends by its own deadline then,
 * whatever the place does.
 */
static skua_status
run_there(const trial *self, const skua_launch *given, int64_t *ret_ns, skua_error *err) {
    skua_launch launch = *given;
    skua_pool_future *future = NULL;
    skua_task_result result = {.size = sizeof result};
    launch.on = self->on;
    launch.split = 0; /* its parts would teach sizes of their own */
    launch.timeout_ms = self->left_ns / SKUA_NS_PER_MS + self->pool->kernels->patience_ms;
    skua_status status = skua_kernel_submit(self->pool, &launch, &future, err);
    if (!status) {
        status = skua_pool_wait(future, SKUA_UNLIMITED, err);
    }
    if (!status) {
        status = skua_pool_result(future, &result, err);
    }
    skua_pool_future_free(future);
    *ret_ns = result.outcome == SKUA_OUTCOME_OK ? result.total_ns : -1;
    return status;
}

/* Whether the place takes nothing now: a launch that is meant for it would wait until it does. */
static bool
rests(const trial *self) {
    skua__mutex_lock(&self->pool->lock);
    bool rests = skua__place_rests(self->pool, self->pool->kernels->places[self->place].site);
    skua__mutex_unlock(&self->pool->lock);
    return rests;
}

/* Whether the place has begun to run the kernel: its first run on a device is spent on building, and not learned from. */
static bool
is_warm(const trial *self) {
    skua__mutex_lock(&self->pool->lock);
    bool warm = self->on == SKUA_ON_CORES || (self->entry->warm & UINT32_C(1) << self->place) != 0;
    skua__mutex_unlock(&self->pool->lock);
    return warm;
}

/* The launch at one place, unless something is known of it there, it would take too long, or the place rests. */
static skua_status
try_out(trial *self, const skua_launch *launch, const skua__coded_launch *coded, skua_error *err) {
    skua_select_term term = foresee(self, coded);
    if (rests(self) || (term.known && (term.samples > 0 || term.total_ns > self->left_ns))) {
        return SKUA_OK;
    }
    int64_t ns = 0;
    skua_status status = is_warm(self) ? SKUA_OK : run_there(self, launch, &ns, err);
    for (int i = 0; i < REPEATS && !status && ns >= 0 && self->left_ns > 0 && !rests(self); i++) {
        status = run_there(self, launch, &ns, err);
        self->left_ns -= ns;
    }
    return status;
}

/* The place's number for skua_launch.on, or -1: it is none of ours, or cannot run the kernel. */
static int32_t
on_place(const skua__kernel_entry *entry, uint32_t i) {
    const skua__kernel_place *place = &entry->kernels->places[i];
    if (place->engine) {
        return entry->kernel->text ? SKUA_ON_DEVICE + place->device : -1;
    }
    return place->device == SKUA_SHARE_CORES && place->site && entry->kernel->fn ? SKUA_ON_CORES
                                                                                 : -1;
}

skua_status
skua_kernel_calibrate(skua_pool *pool, const skua_launch *given, int64_t budget_ms,
                      skua_error *err) {
    skua_launch launch;
    if (!given || !SKUA_READ_OPTIONS(&launch, given) || budget_ms < 0 ||
        budget_ms > MAX_BUDGET_MS) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "a calibration needs a launch with its size set, and a budget of 0 (the "
                         "default) to %d ms",
                         MAX_BUDGET_MS);
    }
    skua_error found = {0};
    skua__kernel_entry *entry = skua__kernel_find(pool, launch.kernel, &found);
    if (!entry) {
        if (err) {
            *err = found;
        }
        return found.status;
    }
    skua__coded_launch coded;
    launch.on = SKUA_ON_ANY;
    skua_status status = skua__launch_check(entry->kernel, &launch, err);
    for (uint32_t i = 0; i < launch.arg_count && !status; i++) {
        if (launch.args[i].buffer) {
            status = SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                               "argument %u of the calibration of \"%s\" is a buffer, which it "
                               "would write to: give data of the same size",
                               i, launch.kernel);
        }
    }
    if (!status) {
        status = skua__launch_lay_out(entry->kernel, &launch, &coded, err);
    }
    skua__mutex_lock(&pool->lock);
    uint32_t count = entry->kernels->place_count; /* peers that come meanwhile do not matter */
    skua__mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < count && !status; i++) {
        trial self = {.pool = pool,
                      .entry = entry,
                      .place = i,
                      .on = on_place(entry, i),
                      .left_ns = (budget_ms ? budget_ms : DEFAULT_BUDGET_MS) * SKUA_NS_PER_MS};
        status = self.on < 0 ? SKUA_OK : try_out(&self, &launch, &coded, err);
    }
    return status;
}
