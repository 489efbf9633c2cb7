// SPDX-License-Identifier: MPL-2.0
// Jobs: none is lost and none runs twice, whoever submits, sleeps, blocks, cancels or closes at the time.
#include "scenarios.h"

#include <pthread.h>
#include <skua-int/list.h>

enum {
    SUBMITTERS = 2,
    JOBS_EACH = 3,
    HANDFUL_JOBS = 64,
    GROUP_JOBS = 3,
    CHAIN = 3,
};

typedef struct counted {
    skua_job job;
    skua_exec *exec;
    tally *done;
    struct counted *other; /* what to wait for, or to submit */
    skua_group *group;
    uint32_t left; /* jobs to submit from here on */
    uint32_t runs;
} counted;

static void
run_counted(skua_worker w, skua_job *job) {
    (void)w;
    counted *c = SKUA_CONTAINER_OF(job, counted, job);
    explore_check(c->runs++ == 0, "a job runs once");
    tally_add(c->done);
}

static counted *
new_counted(skua_exec *exec, skua_job_fn *run, tally *done) {
    counted *c = explore_new(sizeof *c);
    skua_job_init(&c->job, run);
    c->exec = exec;
    c->done = done;
    return c;
}

/* ---- Submitting from outside ---- */

typedef struct submitter {
    skua_exec *exec;
    pthread_t thread;
    tally *done;
    uint32_t count;
} submitter;

static void *
submit_some(void *arg) {
    submitter *s = arg;
    skua_job *batch[JOBS_EACH];
    for (uint32_t i = 0; i < s->count; i++) {
        counted *c = new_counted(s->exec, run_counted, s->done);
        c->job.priority = (uint8_t)explore_below(3);
        batch[i] = &c->job;
    }
    if (explore_below(2)) {
        explore_check(skua_exec_submit_batch(s->exec, batch, s->count) == SKUA_OK, "batch");
        return NULL;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        explore_check(skua_exec_submit(s->exec, batch[i]) == SKUA_OK, "submit");
    }
    return NULL;
}

/* Reading the figures moves jobs about: they stay in sight of who is about to sleep. */
static void *
read_figures(void *arg) {
    skua_exec_stats stats = {.size = sizeof stats};
    explore_check(skua_exec_stats_get(arg, &stats) == SKUA_OK, "figures");
    return NULL;
}

void
scenario_inject(void) {
    skua_exec *exec = scenario_open(1 + (int32_t)explore_below(3), 0);
    tally *done = tally_new();
    submitter submitters[SUBMITTERS];
    uint32_t count = 0;
    pthread_t reader;
    bool reads = explore_below(2);
    for (int i = 0; i < SUBMITTERS; i++) {
        uint32_t jobs = 1 + explore_below(JOBS_EACH);
        submitters[i] = (submitter){.exec = exec, .done = done, .count = jobs};
        count += jobs;
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        pthread_create(&submitters[i].thread, NULL, submit_some, &submitters[i]);
    }
    if (reads) {
        pthread_create(&reader, NULL, read_figures, exec);
    }
    tally_wait(done, count); /* before the close, which wakes everybody */
    for (int i = 0; i < SUBMITTERS; i++) {
        pthread_join(submitters[i].thread, NULL);
    }
    if (reads) {
        pthread_join(reader, NULL);
    }
    skua_exec_close(exec);
    explore_check(done->count == count, "every job once");
    tally_free(done);
}

/* ---- Sleeping and waking ---- */

static void
call_add(skua_worker w, void *frame) {
    (void)w;
    *(uint32_t *)frame += 1;
}

/* The frame is plain memory that two calls in a row write: each sees what the one before did. */
void
scenario_park(void) {
    skua_exec *exec = scenario_open(1 + (int32_t)explore_below(2), 0);
    uint32_t *value = explore_new(sizeof *value);
    for (uint32_t i = 0; i < 3; i++) {
        explore_check(skua_exec_run(exec, call_add, value, NULL) == SKUA_OK, "run");
        explore_check(*value == i + 1, "the call is done when run returns");
    }
    skua_exec_close(exec);
}

/* ---- What a worker submits ---- */

/* Submits jobs that stay with this worker at first; then it may block until others have taken and run them all. */
static void
submit_and_block(skua_worker w, void *frame) {
    submitter *s = frame;
    for (uint32_t i = 0; i < s->count; i++) {
        counted *c = new_counted(s->exec, run_counted, s->done);
        c->job.priority = (uint8_t)(explore_below(4) ? SKUA_PRIORITY_NORMAL : explore_below(3));
        skua_worker_submit(w, &c->job);
    }
    if (explore_below(2)) {
        tally_wait(s->done, s->count);
    }
}

void
scenario_shed(void) {
    skua_exec *exec = scenario_open(2 + (int32_t)explore_below(2), 0);
    submitter *s = explore_new(sizeof *s);
    *s = (submitter){.exec = exec, .done = tally_new(), .count = 1 + explore_below(4)};
    explore_check(skua_exec_run(exec, submit_and_block, s, NULL) == SKUA_OK, "run");
    tally_wait(s->done, s->count);
    skua_exec_close(exec);
    explore_check(s->done->count == s->count, "every job once");
    tally_free(s->done);
}

/* A queue so long that a worker takes a handful, from which the others help themselves. */
void
scenario_handful(void) {
    skua_exec *exec = scenario_open(2, 0);
    tally *done = tally_new();
    uint32_t count = HANDFUL_JOBS / 2 + explore_below(HANDFUL_JOBS / 2);
    skua_job *jobs[HANDFUL_JOBS];
    for (uint32_t i = 0; i < count; i++) {
        jobs[i] = &new_counted(exec, run_counted, done)->job;
    }
    explore_check(skua_exec_submit_batch(exec, jobs, count) == SKUA_OK, "batch");
    tally_wait(done, count);
    skua_exec_close(exec);
    explore_check(done->count == count, "every job once");
    tally_free(done);
}

/* ---- Groups ---- */

static void
run_in_group(skua_worker w, skua_job *job) {
    counted *c = SKUA_CONTAINER_OF(job, counted, job);
    explore_check(c->runs++ == 0, "a job runs once");
    if (c->other && skua_group_submit(c->group, &c->other->job) == SKUA_E_CANCELLED) {
        explore_check(skua_worker_cancelled(w), "who was refused can see why");
    }
    if (c->left) {
        skua_group_cancel(c->group, SKUA_E_LOST, "as the test wants");
    }
}

static void
use_group(skua_worker w, void *frame) {
    skua_exec *exec = frame;
    (void)w;
    const skua_allocator *hook = explore_allocator();
    /* Released as soon as the wait is over: nobody may touch it then. */
    skua_group *group = hook->allocate(hook->ctx, sizeof *group);
    skua_group_init(group, exec);
    counted *jobs[GROUP_JOBS];
    bool cancels = explore_below(2);
    uint32_t submitted = 0;
    for (int i = 0; i < GROUP_JOBS; i++) {
        jobs[i] = new_counted(exec, run_in_group, NULL);
        jobs[i]->group = group;
    }
    jobs[1]->other = jobs[2];
    jobs[1]->left = cancels;
    for (int i = 0; i < 2; i++) {
        skua_status status = skua_group_submit(group, &jobs[i]->job);
        explore_check(status == SKUA_OK || (cancels && status == SKUA_E_CANCELLED), "submit");
        submitted += status == SKUA_OK;
    }
    skua_status status = skua_group_wait(group, 0, NULL);
    explore_check(status == SKUA_OK || (cancels && status == SKUA_E_LOST), "wait");
    explore_check(cancels || (submitted == 2 && status == SKUA_OK), "nothing was cancelled");
    for (int i = 0; i < GROUP_JOBS && !cancels; i++) {
        explore_check(jobs[i]->runs == 1, "every job of the group ran");
    }
    skua_group_fini(group);
    hook->release(hook->ctx, group);
}

void
scenario_group(void) {
    skua_exec *exec = scenario_open(2, 1);
    if (explore_below(2)) {
        explore_check(skua_exec_run(exec, use_group, exec, NULL) == SKUA_OK, "run");
    } else {
        skua_worker nowhere = {NULL};
        use_group(nowhere, exec);
    }
    skua_exec_close(exec);
}

/* A worker that waits for its group takes jobs of it out of the queue: the others stay in sight of who sleeps. */
static void
wait_with_others(skua_worker w, void *frame) {
    (void)w;
    counted *first = frame;
    skua_group group;
    skua_group_init(&group, first->exec);
    counted *own = new_counted(first->exec, run_in_group, NULL);
    own->group = &group;
    explore_check(skua_exec_submit(first->exec, &first->job) == SKUA_OK, "submit");
    explore_check(skua_group_submit(&group, &own->job) == SKUA_OK, "submit");
    explore_check(skua_group_wait(&group, 0, NULL) == SKUA_OK, "wait");
    explore_check(own->runs == 1, "the group's job ran");
    skua_group_fini(&group);
    tally_wait(first->done, 1); /* blocks this worker: another one must run it */
}

void
scenario_help(void) {
    skua_exec *exec = scenario_open(2, 1);
    tally *done = tally_new();
    counted *first = new_counted(exec, run_counted, done);
    explore_check(skua_exec_run(exec, wait_with_others, first, NULL) == SKUA_OK, "run");
    skua_exec_close(exec);
    explore_check(first->runs == 1, "the other job ran");
    tally_free(done);
}

/* ---- Spares ---- */

static void
run_blocking(skua_worker w, skua_job *job) {
    counted *c = SKUA_CONTAINER_OF(job, counted, job);
    explore_check(skua_exec_submit(c->exec, &c->other->job) == SKUA_OK, "submit");
    skua_worker_block_begin(w);
    tally_wait(c->other->done, 1);
    skua_worker_block_end(w);
    c->runs++;
    tally_add(c->done);
}

/* One worker, and a spare for when it blocks. */
void
scenario_spare(void) {
    skua_exec *exec = scenario_open(1, 1);
    tally *done = tally_new(), *inner[2] = {tally_new(), tally_new()};
    for (int i = 0; i < 2; i++) {
        counted *outer = new_counted(exec, run_blocking, done);
        outer->other = new_counted(exec, run_counted, inner[i]);
        explore_check(skua_exec_submit(exec, &outer->job) == SKUA_OK, "submit");
        tally_wait(done, (uint32_t)i + 1);
    }
    skua_exec_close(exec);
    for (int i = 0; i < 2; i++) {
        tally_free(inner[i]);
    }
    tally_free(done);
}

/* ---- Closing ---- */

static void
run_chain(skua_worker w, skua_job *job) {
    counted *c = SKUA_CONTAINER_OF(job, counted, job);
    explore_check(c->runs++ == 0, "a job runs once");
    c->done
        ->count++; /* before the next: the jobs run one after the other, and close comes after them all */
    if (c->left > 0) {
        counted *next = new_counted(c->exec, run_chain, c->done);
        next->left = c->left - 1;
        if (explore_below(2)) {
            skua_worker_submit(w, &next->job);
        } else {
            explore_check(skua_exec_submit(c->exec, &next->job) == SKUA_OK, "a job may submit");
        }
    }
}

/* Jobs go on submitting while the executor closes: all of them run before it is gone. */
void
scenario_close(void) {
    skua_exec *exec = scenario_open(1 + (int32_t)explore_below(3), 0);
    tally *done[2] = {tally_new(), tally_new()};
    for (int i = 0; i < 2; i++) {
        counted *c = new_counted(exec, run_chain, done[i]);
        c->left = CHAIN - 1;
        explore_check(skua_exec_submit(exec, &c->job) == SKUA_OK, "submit");
    }
    skua_exec_close(exec);
    for (int i = 0; i < 2; i++) {
        explore_check(done[i]->count == CHAIN, "every job ran before close returned");
        tally_free(done[i]);
    }
}

/* ---- A bounded queue ---- */

static void
do_nothing(skua_worker w, void *frame) {
    (void)w, (void)frame;
}

static void *
run_some(void *arg) {
    for (int i = 0; i < 3; i++) {
        explore_check(skua_exec_run(arg, do_nothing, NULL, NULL) == SKUA_OK,
                      "one of two in a queue for two");
    }
    return NULL;
}

/* Two that never have more than one job each in a queue for two are never refused. */
void
scenario_bounded(void) {
    skua_exec *exec = NULL;
    skua_status status = skua_exec_open(
        &exec,
        SKUA_EXEC_OPTIONS(.allocator = explore_allocator(), .log = &scenario_silence,
                          .lease = SKUA_LEASE_NEVER, .workers = 1, .spares = SKUA_NONE,
                          .stack_slots = 64, .spin_us = SKUA_NONE, .queue_tasks = 2),
        NULL);
    explore_check(status == SKUA_OK, "the executor opens");
    pthread_t thread;
    pthread_create(&thread, NULL, run_some, exec);
    run_some(exec);
    pthread_join(thread, NULL);
    skua_exec_close(exec);
}
