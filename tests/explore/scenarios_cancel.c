// SPDX-License-Identifier: MPL-2.0
// What happens beside the work: a cancel from outside, jobs that come while a worker waits for their group, two ways to one
// node of a graph, a trace that is written meanwhile.
#include "engine.h"
#include "scenarios.h"

#include <pthread.h>
#include <skua-int/atomic.h>
#include <skua-int/list.h>
#include <skua/graph.h>

enum {
    JOBS = 3,
    RUNS = 2,
    EVENTS = 8,
};

/* ---- A cancel from outside ---- */

typedef struct droppable {
    skua_job job;
    uint32_t ends;
} droppable;

static void
run_droppable(skua_worker w, skua_job *job) {
    (void)skua_worker_cancelled(w);
    SKUA_CONTAINER_OF(job, droppable, job)->ends++;
}

static void
drop_droppable(skua_worker w, skua_job *job, skua_status why) {
    explore_check(skua_worker_cancelled(w) && why == SKUA_E_LOST, "what is dropped was cancelled");
    SKUA_CONTAINER_OF(job, droppable, job)->ends++;
}

static void *
cancel_group(void *arg) {
    explore_check(skua_group_cancel(arg, SKUA_E_LOST, "as the test wants"), "the first cancel");
    return NULL;
}

/* Each job that was taken ends once, run or dropped; the wait's message is whole. */
void
scenario_cancel(void) {
    skua_exec *exec = scenario_open(1 + (int32_t)explore_below(2), 0);
    skua_group *group = explore_new(sizeof *group);
    skua_group_init(group, exec);
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_group, group);
    droppable *jobs[JOBS];
    bool taken[JOBS];
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = explore_new(sizeof *jobs[i]);
        skua_job_init(&jobs[i]->job, run_droppable);
        jobs[i]->job.dropped = drop_droppable;
        skua_status status = skua_group_submit(group, &jobs[i]->job);
        explore_check(status == SKUA_OK || status == SKUA_E_CANCELLED, "submit");
        taken[i] = status == SKUA_OK;
    }
    skua_error err;
    skua_status status = skua_group_wait(group, 0, &err);
    explore_check(status == SKUA_OK || status == SKUA_E_LOST, "wait");
    for (int i = 0; i < JOBS; i++) {
        explore_check(jobs[i]->ends == taken[i], "each job that was taken ends once");
    }
    pthread_join(thread, NULL);
    skua_group_fini(group);
    skua_exec_close(exec);
}

/* ---- Jobs that are taken back ---- */

static void *
submit_more(void *arg) {
    skua_group *group = arg;
    for (int i = 0; i < 2; i++) {
        droppable *more = explore_new(sizeof *more);
        skua_job_init(&more->job, run_droppable);
        skua_status status = skua_group_submit(group, &more->job);
        explore_check(status == SKUA_OK || status == SKUA_E_CANCELLED, "submit");
    }
    return NULL;
}

/* Jobs of a cancelled group, in a pause or not, some of them on their way yet: it ends, and so does the executor. */
void
scenario_withdraw(void) {
    skua_exec *exec = scenario_open(1, 0);
    skua_group *group = explore_new(sizeof *group);
    skua_group_init(group, exec);
    bool paused = explore_below(2);
    explore_check(!paused || skua_exec_pause(exec) == SKUA_OK, "pause");
    skua__group_renew(group, exec); /* as a timer's thread holds it while it submits */
    pthread_t thread;
    pthread_create(&thread, NULL, submit_more, group);
    droppable *job = explore_new(sizeof *job);
    skua_job_init(&job->job, run_droppable);
    explore_check(skua_group_submit(group, &job->job) == SKUA_OK, "submit");
    skua_group_cancel(group, SKUA_E_LOST, NULL);
    skua__group_done(group);
    explore_check(skua__group_withdraw(group) == SKUA_OK, "withdraw");
    pthread_join(thread, NULL);
    explore_check(skua__group_withdraw(group) == SKUA_OK, "those that came too late");
    skua_group_fini(group);
    skua_exec_close(exec);
}

/* ---- Jobs that come while a worker waits for their group ---- */

typedef struct helped {
    skua_job job;
    skua_group *group;
    tally *done;
    struct helped *later; /* to submit, and to wait for while no spare stands in */
} helped;

static void
run_helped(skua_worker w, skua_job *job) {
    (void)w;
    helped *h = SKUA_CONTAINER_OF(job, helped, job);
    if (h->later) {
        explore_check(skua_group_submit(h->group, &h->later->job) == SKUA_OK, "submit");
        tally_wait(h->done, 1);
    }
    tally_add(h->done);
}

static void
wait_for_helped(skua_worker w, void *frame) {
    (void)w;
    helped *h = frame;
    explore_check(skua_group_submit(h->group, &h->job) == SKUA_OK, "submit");
    explore_check(skua_group_wait(h->group, 0, NULL) == SKUA_OK, "wait");
}

/* Two workers: one waits for the group, the other one runs a job of it that cannot end before the waiter ran the next. */
void
scenario_assist(void) {
    skua_exec *exec = scenario_open(2, 0);
    skua_group *group = explore_new(sizeof *group);
    skua_group_init(group, exec);
    helped *both[2];
    for (int i = 0; i < 2; i++) {
        both[i] = explore_new(sizeof *both[i]);
        skua_job_init(&both[i]->job, run_helped);
        both[i]->group = group;
        both[i]->done = i ? both[0]->done : tally_new();
    }
    both[0]->later = both[1];
    explore_check(skua_exec_run(exec, wait_for_helped, both[0], NULL) == SKUA_OK, "run");
    explore_check(both[0]->done->count == 2, "both ran");
    skua_group_fini(group);
    skua_exec_close(exec);
    tally_free(both[0]->done);
}

/* ---- Two ways to one node, and two threads that run the graph in turn ---- */

typedef struct ways {
    skua_graph graph;
    skua_graph_node chooses[2], goal;
    skua_exec *exec;
    uint32_t runs; /* of the goal, over all runs: not atomic */
    uint32_t ended;
} ways;

static int32_t
choose_goal(skua_worker w, void *arg) {
    (void)w, (void)arg;
    return 0;
}

static int32_t
run_goal(skua_worker w, void *arg) {
    (void)w;
    ((ways *)arg)->runs++;
    return 0;
}

static void *
run_ways(void *arg) {
    ways *self = arg;
    for (int run = 0; run < RUNS; run++) {
        while (skua_graph_start(&self->graph, self->exec, NULL) == SKUA_E_AGAIN) {
            skua__atomic_pause();
        }
        skua_status status = skua_graph_wait(&self->graph, 0, NULL);
        explore_check(status == SKUA_OK || status == SKUA_E_GRAPH_RACE, "the run's end");
    }
    return NULL;
}

/* Both conditions start the goal: it runs once for each, or the second came while it ran, which is an error. */
void
scenario_ways(void) {
    ways *self = explore_new(sizeof *self);
    self->exec = scenario_open(2, 0);
    skua_status status =
        skua_graph_init(&self->graph, SKUA_GRAPH_OPTIONS(.allocator = explore_allocator()), NULL);
    for (int i = 0; i < 2 && status == SKUA_OK; i++) {
        status = skua_graph_add_condition(&self->graph, &self->chooses[i], choose_goal, NULL, NULL,
                                          NULL);
    }
    explore_check(status == SKUA_OK && skua_graph_add(&self->graph, &self->goal, run_goal, self,
                                                      NULL, NULL) == SKUA_OK,
                  "three nodes");
    for (int i = 0; i < 2; i++) {
        explore_check(skua_graph_edge(&self->graph, &self->chooses[i], &self->goal, NULL) ==
                          SKUA_OK,
                      "an edge");
    }
    explore_check(skua_graph_seal(&self->graph, NULL) == SKUA_OK, "a graph");
    pthread_t thread;
    pthread_create(&thread, NULL, run_ways, self);
    run_ways(self);
    pthread_join(thread, NULL);
    explore_check(self->runs >= 2 * RUNS && self->runs <= 4 * RUNS, "the goal once or twice a run");
    skua_exec_close(self->exec);
    skua_graph_fini(&self->graph);
}

/* ---- A trace that is written while it is recorded ---- */

static void *
record(void *arg) {
    skua_exec *exec = arg;
    explore_check(skua_exec_trace_start(
                      exec, SKUA_TRACE_OPTIONS(.events = EVENTS, .spawns = explore_below(2)),
                      NULL) == SKUA_OK,
                  "the trace starts");
    explore_check(skua_exec_trace_write(exec, "/dev/null", NULL) == SKUA_OK, "it is written");
    skua_exec_trace_stop(exec);
    return NULL;
}

static void
do_nothing(skua_worker w, void *frame) {
    (void)w, (void)frame;
}

static void
fork_some(skua_worker w, void *frame) {
    for (int i = 0; i < JOBS; i++) {
        skua_spawn(&w, do_nothing, frame);
    }
    for (int i = 0; i < JOBS; i++) {
        skua_sync(&w, do_nothing, frame);
    }
}

void
scenario_record(void) {
    skua_exec *exec = scenario_open(2, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, record, exec);
    for (int i = 0; i < RUNS; i++) {
        explore_check(skua_exec_run(exec, fork_some, NULL, NULL) == SKUA_OK, "run");
    }
    pthread_join(thread, NULL);
    skua_exec_close(exec);
}
