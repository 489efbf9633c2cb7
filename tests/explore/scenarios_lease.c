// SPDX-License-Identifier: MPL-2.0
// Executors of several processes share the host's two cores: none stops, and who is alone again has both, whether the others
// fell asleep, left or died.
#include "engine.h"
#include "scenarios.h"

#include <pthread.h>

enum {
    WORKERS = 2,
    OTHER_JOBS = 3,
    OTHER = 2,  /* a process with an executor */
    ORPHAN = 3, /* one that dies, and leaves its slot as it was */
    ORPHAN_SLOT = 5,
};

static skua_exec *
open_sharing(int32_t process) {
    skua_exec *exec = NULL;
    explore_enter_process(process);
    explore_check(
        skua_exec_open(&exec,
                       SKUA_EXEC_OPTIONS(.allocator = explore_allocator(), .log = &scenario_silence,
                                         .lease = SKUA_LEASE_ALWAYS, .workers = WORKERS,
                                         .spares = SKUA_NONE, .stack_slots = 16,
                                         .spin_us = SKUA_NONE),
                       NULL) == SKUA_OK,
        "the executor opens");
    explore_check(exec->lease.segment != NULL, "it takes part");
    return exec;
}

/* ---- Jobs that need both cores at once ---- */

typedef struct meeting {
    skua_job job;
    tally *here;
} meeting;

static void
meet(skua_worker w, skua_job *job) {
    (void)w;
    meeting *self = SKUA_CONTAINER_OF(job, meeting, job);
    tally_add(self->here);
    tally_wait(self->here, WORKERS); /* blocks, and does not say so */
}

static void
meet_in(skua_exec *exec) {
    tally *here = tally_new();
    for (int i = 0; i < WORKERS; i++) {
        meeting *self = explore_new(sizeof *self);
        skua_job_init(&self->job, meet);
        self->here = here;
        explore_check(skua_exec_submit(exec, &self->job) == SKUA_OK, "submit");
    }
    tally_wait(here, WORKERS);
    explore_check(skua_exec_workers(exec) >= 1, "never less than one worker");
}

/* ---- Another process's executor ---- */

static void
add_one(skua_worker w, void *frame) {
    (void)w;
    *(uint32_t *)frame += 1;
}

static void *
work_elsewhere(void *arg) {
    uint32_t *sum = explore_new(sizeof *sum);
    skua_exec *exec = open_sharing(OTHER);
    (void)arg;
    for (uint32_t i = 0; i < OTHER_JOBS; i++) {
        explore_check(skua_exec_run(exec, add_one, sum, NULL) == SKUA_OK, "run");
        explore_check(*sum == i + 1, "the call is done when run returns");
    }
    skua_exec_close(exec);
    return NULL;
}

void
scenario_lease(void) {
    skua_exec *exec = open_sharing(1);
    pthread_t thread;
    pthread_create(&thread, NULL, work_elsewhere, NULL);
    meet_in(exec);
    pthread_join(thread, NULL);
    skua_exec_close(exec);
}

/* ---- A process that dies ---- */

static void *
die(void *arg) {
    (void)arg;
    explore_end_process(ORPHAN);
    return NULL;
}

static void
put(skua__a64 *word, uint64_t value) {
    skua__a64_store(word, value, memory_order_relaxed); /* relaxed: as the engine does */
}

/* It was awake on both cores, or half of what it told is junk; its end is told by nobody. */
void
scenario_orphan(void) {
    skua_exec *exec = open_sharing(1);
    skua__lease_segment *segment = exec->lease.segment;
    skua__lease_slot *slot = &segment->slots[ORPHAN_SLOT];
    bool junk = explore_below(2);
    put(&slot->most, junk ? UINT64_MAX : WORKERS);
    put(&slot->share, junk ? UINT64_MAX : WORKERS);
    put(&slot->awake, junk ? UINT64_MAX : WORKERS);
    put(&slot->quota_workers, junk ? 1 : 0);
    put(&slot->cpus[0], junk ? UINT64_MAX : 3);
    put(&slot->owner, ORPHAN);
    /* relaxed: as the engine does */
    skua__a32_store(&segment->head.highest, ORPHAN_SLOT + 1, memory_order_relaxed);
    skua__a64_add(&segment->head.generation, 1, memory_order_release); /* release K1: as tell() */
    pthread_t thread;
    pthread_create(&thread, NULL, die, NULL);
    meet_in(exec);
    pthread_join(thread, NULL);
    skua_exec_close(exec);
}
