// SPDX-License-Identifier: MPL-2.0
// What changes an executor while it works: its size, a pause; and a latch whose memory goes as soon as it is open.
#include "scenarios.h"

#include <pthread.h>
#include <skua-int/atomic.h>
#include <skua-int/list.h>
#include <skua/latch.h>

enum {
    WORKERS_MAX = 3,
    CHANGES = 3,
    JOBS = 4,
    PAUSE_LOOKS = 40,
};

typedef struct piece {
    skua_job job;
    tally *done;
    skua__a32 runs;
    struct shared *shared;
} piece;

typedef struct shared {
    skua_exec *exec;
    skua_latch *latch;
    tally *done;
} shared;

static void
run_piece(skua_worker w, skua_job *job) {
    piece *p = SKUA_CONTAINER_OF(job, piece, job);
    explore_check(skua_worker_index(w) < WORKERS_MAX + 1, "a worker that there is");
    /* relaxed: it is only counted */
    explore_check(skua__a32_add(&p->runs, 1, memory_order_relaxed) == 0, "a job runs once");
    tally_add(p->done);
}

static void *
change_size(void *arg) {
    shared *s = arg;
    for (int i = 0; i < CHANGES; i++) {
        skua_status status;
        if (explore_below(4) == 0) {
            status = skua_exec_pause(s->exec);
            explore_check(status == SKUA_OK, "pause");
            status = skua_exec_resume(s->exec);
        } else {
            status = skua_exec_resize(s->exec, 1 + explore_below(WORKERS_MAX), NULL);
        }
        explore_check(status == SKUA_OK, "a change");
    }
    return NULL;
}

/* Jobs come while the size changes and the executor pauses: none is lost. */
void
scenario_resize(void) {
    shared *s = explore_new(sizeof *s);
    skua_status status = skua_exec_open(
        &s->exec,
        SKUA_EXEC_OPTIONS(.allocator = explore_allocator(), .log = &scenario_silence,
                          .lease = SKUA_LEASE_NEVER, .workers = 1 + (int32_t)explore_below(2),
                          .workers_max = WORKERS_MAX, .spares = SKUA_NONE, .stack_slots = 64,
                          .spin_us = SKUA_NONE),
        NULL);
    explore_check(status == SKUA_OK, "the executor opens");
    s->done = tally_new();
    pthread_t thread;
    pthread_create(&thread, NULL, change_size, s);
    for (int i = 0; i < JOBS; i++) {
        piece *p = explore_new(sizeof *p);
        skua_job_init(&p->job, run_piece);
        p->done = s->done;
        explore_check(skua_exec_submit(s->exec, &p->job) == SKUA_OK, "submit");
    }
    pthread_join(thread, NULL);
    tally_wait(s->done, JOBS);
    skua_exec_close(s->exec);
    explore_check(s->done->count == JOBS, "every job once");
    tally_free(s->done);
}

/* A job that is submitted in a pause does not begin in it, however late a worker is that looked around before. */
void
scenario_pause(void) {
    shared s = {.exec = scenario_open(2, 0), .done = tally_new()};
    piece *first = explore_new(sizeof *first), *held = explore_new(sizeof *held);
    first->done = held->done = s.done;
    skua_job_init(&first->job, run_piece);
    skua_job_init(&held->job, run_piece);
    explore_check(skua_exec_submit(s.exec, &first->job) == SKUA_OK, "submit");
    explore_check(skua_exec_pause(s.exec) == SKUA_OK, "pause");
    explore_check(skua_exec_submit(s.exec, &held->job) == SKUA_OK, "submit in a pause");
    for (int i = 0; i < PAUSE_LOOKS; i++) {
        /* relaxed: others may go on here, and a run before this would be seen */
        uint32_t runs = skua__a32_load(&held->runs, memory_order_relaxed);
        explore_check(runs == 0, "what was submitted in a pause does not begin");
    }
    explore_check(skua_exec_resume(s.exec) == SKUA_OK, "resume");
    tally_wait(s.done, 2);
    skua_exec_close(s.exec);
    tally_free(s.done);
}

/* ---- A latch ---- */

static void *
count_down(void *arg) {
    skua_latch_count_down(((shared *)arg)->latch, 1);
    return NULL;
}

static void
wait_and_end(skua_worker w, void *frame) {
    (void)w;
    shared *s = frame;
    const skua_allocator *hook = explore_allocator();
    skua_status status = SKUA_E_TIMEOUT;
    while (status == SKUA_E_TIMEOUT) {
        status = skua_latch_wait(s->latch, (int64_t)explore_below(3), NULL);
    }
    explore_check(status == SKUA_OK && skua_latch_is_open(s->latch), "the latch is open");
    skua_latch_fini(s->latch);
    hook->release(hook->ctx, s->latch);
}

void
scenario_latch(void) {
    shared *s = explore_new(sizeof *s);
    const skua_allocator *hook = explore_allocator();
    s->exec = scenario_open(1, 1);
    s->latch = hook->allocate(hook->ctx, sizeof *s->latch);
    skua_latch_init(s->latch, s->exec, 2);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, count_down, s);
    }
    if (explore_below(2)) {
        explore_check(skua_exec_run(s->exec, wait_and_end, s, NULL) == SKUA_OK, "run");
    } else {
        wait_and_end((skua_worker){NULL}, s);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    skua_exec_close(s->exec);
}

/* ---- Workers that sleep in a sync ---- */

static void
wait_for_latch(skua_worker w, void *frame) {
    (void)w;
    explore_check(skua_latch_wait(frame, 0, NULL) == SKUA_OK, "wait");
}

static void
do_nothing(skua_worker w, void *frame) {
    (void)w, (void)frame;
}

static void
fork_a_wait(skua_worker w, skua_job *job) {
    shared *s = ((piece *)(void *)job)->shared;
    skua_spawn(&w, wait_for_latch, s->latch);
    for (int i = 0; i < 2; i++) { /* each may be where the other is taken */
        tally *nothing = NULL;
        skua_spawn(&w, do_nothing, &nothing);
        skua_sync(&w, do_nothing, &nothing);
    }
    skua_sync(&w, wait_for_latch, s->latch);
}

static void
open_latch(skua_worker w, skua_job *job) {
    (void)w;
    skua_latch_count_down(((piece *)(void *)job)->shared->latch, 1);
}

/*
 * A task forks a call, which waits for a job, while the size changes: whoever took the call, and however few workers there are to
 * be then, the job is begun, since a spare is left.
 */
void
scenario_slept(void) {
    shared *s = explore_new(sizeof *s);
    skua_status status =
        skua_exec_open(&s->exec,
                       SKUA_EXEC_OPTIONS(.allocator = explore_allocator(), .log = &scenario_silence,
                                         .lease = SKUA_LEASE_NEVER, .workers = 2, .spares = 1,
                                         .stack_slots = 64, .spin_us = SKUA_NONE),
                       NULL);
    explore_check(status == SKUA_OK, "the executor opens");
    s->latch = explore_new(sizeof *s->latch);
    skua_latch_init(s->latch, s->exec, 1);
    piece *waits = explore_new(sizeof *waits), *opens = explore_new(sizeof *opens);
    waits->shared = opens->shared = s;
    skua_job_init(&waits->job, fork_a_wait);
    skua_job_init(&opens->job, open_latch);
    explore_check(skua_exec_submit(s->exec, &waits->job) == SKUA_OK, "submit");
    if (explore_below(2)) {
        explore_check(skua_exec_resize(s->exec, 1, NULL) == SKUA_OK, "resize");
    } else {
        explore_check(skua_exec_pause(s->exec) == SKUA_OK, "pause");
        explore_check(skua_exec_resize(s->exec, 1, NULL) == SKUA_OK, "resize");
        explore_check(skua_exec_resume(s->exec) == SKUA_OK, "resume");
    }
    explore_check(skua_exec_submit(s->exec, &opens->job) == SKUA_OK, "submit");
    skua_exec_close(s->exec);
    skua_latch_fini(s->latch);
}
