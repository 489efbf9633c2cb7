// SPDX-License-Identifier: MPL-2.0
// The table of scenarios, and what they share.
#include "scenarios.h"

const explore_scenario explore_scenarios[] = {
    /* clang-format off */
    {"fork", scenario_fork},
    {"leap", scenario_leap},
    {"hungry", scenario_hungry},
    {"full", scenario_full},
    {"loop", scenario_loop},
    {"inject", scenario_inject},
    {"park", scenario_park},
    {"shed", scenario_shed},
    {"handful", scenario_handful},
    {"group", scenario_group},
    {"help", scenario_help},
    {"spare", scenario_spare},
    {"close", scenario_close},
    {"future", scenario_future},
    {"promise", scenario_promise},
    {"graph", scenario_graph},
    {"within", scenario_within},
    {"resize", scenario_resize},
    {"pause", scenario_pause},
    {"latch", scenario_latch},
    {"offers", scenario_offers},
    {"near", scenario_near},
    {"cancel", scenario_cancel},
    {"assist", scenario_assist},
    {"ways", scenario_ways},
    {"record", scenario_record},
    {"circle", scenario_circle},
    {"deep", scenario_deep},
    {"lease", scenario_lease},
    {"orphan", scenario_orphan},
    {"nest", scenario_nest},
    {"wanted", scenario_wanted},
    {"sparse", scenario_sparse},
    {"still", scenario_still},
    {"line", scenario_line},
    {"slept", scenario_slept},
    {"abort", scenario_abort},
    {"bounded", scenario_bounded},
    {"withdraw", scenario_withdraw},
    {0},
    /* clang-format on */
};

static void
hear_nothing(void *ctx, const skua_log_record *record) {
    (void)ctx, (void)record;
}

const skua_log_sink scenario_silence = {.version = SKUA_LOG_SINK_VERSION, .fn = hear_nothing};

skua_exec *
scenario_open(int32_t workers, int32_t spares) {
    skua_exec *exec = NULL;
    skua_status status = skua_exec_open(
        &exec,
        SKUA_EXEC_OPTIONS(.allocator = explore_allocator(), .log = &scenario_silence,
                          .lease = SKUA_LEASE_NEVER, .workers = workers, .close_warn_ms = SKUA_NONE,
                          .spares = spares ? spares : SKUA_NONE, .stack_slots = 64,
                          .spin_us = SKUA_NONE),
        NULL);
    explore_check(status == SKUA_OK, "the executor opens");
    return exec;
}

tally *
tally_new(void) {
    tally *t = explore_new(sizeof *t);
    skua__mutex_init(&t->lock);
    skua__cond_init(&t->reached);
    return t;
}

void
tally_add(tally *t) {
    skua__mutex_lock(&t->lock);
    t->count++;
    skua__cond_broadcast(&t->reached);
    skua__mutex_unlock(&t->lock);
}

void
tally_wait(tally *t, uint32_t count) {
    skua__mutex_lock(&t->lock);
    while (t->count < count) {
        skua__cond_wait(&t->reached, &t->lock);
    }
    skua__mutex_unlock(&t->lock);
}

void
tally_free(tally *t) {
    skua__cond_fini(&t->reached);
    skua__mutex_fini(&t->lock);
}
