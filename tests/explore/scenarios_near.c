// SPDX-License-Identifier: MPL-2.0
// Jobs that are best run near a NUMA node: on a machine of two, none is stranded behind one that never ends there, whoever
// looks around, falls asleep or leaves the job to somebody else at the time.
#include "scenarios.h"

#include <pthread.h>
#include <skua-int/list.h>
#include <skua/topology.h>

enum { JOBS = 3 };

typedef struct near_job {
    skua_job job;
    tally *done;
    tally *until; /* it does not end before this; NULL: at once */
    uint32_t runs;
} near_job;

static void
run_near(skua_worker w, skua_job *job) {
    (void)w;
    near_job *self = SKUA_CONTAINER_OF(job, near_job, job);
    explore_check(self->runs++ == 0, "a job runs once");
    if (self->until) {
        tally_wait(self->until, JOBS);
    }
    tally_add(self->done);
}

/* Read only, and so the same for every schedule: hwloc is no part of what is explored. */
static const skua_topology *
two_nodes(void) {
    static skua_topology *topology;
    if (!topology) {
        explore_check(skua_topology_new(&topology,
                                        SKUA_TOPOLOGY_OPTIONS(.synthetic = "numa:2 core:2 pu:1"),
                                        NULL) == SKUA_OK,
                      "a topology");
    }
    return topology;
}

static void *
submit_near(void *arg) {
    near_job **jobs = arg;
    for (int i = 0; i < JOBS; i++) {
        skua_exec *exec = (skua_exec *)(void *)jobs[i]->job.next;
        jobs[i]->job.next = NULL;
        explore_check(skua_exec_submit(exec, &jobs[i]->job) == SKUA_OK, "submit");
    }
    return NULL;
}

void
scenario_near(void) {
    skua_exec *exec = NULL;
    /* Workers 0 and 1 stand on the first node, 2 and 3 on the second. */
    explore_check(
        skua_exec_open(&exec,
                       SKUA_EXEC_OPTIONS(.allocator = explore_allocator(), .log = &scenario_silence,
                                         .topology = two_nodes(),
                                         .workers = 3 + (int32_t)explore_below(2),
                                         .spares = SKUA_NONE, .stack_slots = 16,
                                         .spin_us = explore_below(2) ? 1 : SKUA_NONE),
                       NULL) == SKUA_OK,
        "the executor opens");
    tally *done = tally_new(), *held = tally_new();
    near_job *blocker = explore_new(sizeof *blocker);
    skua_job_init(&blocker->job, run_near);
    *blocker = (near_job){.job = blocker->job, .done = held, .until = done};
    blocker->job.near = skua_near_node(1);
    near_job *jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = explore_new(sizeof *jobs[i]);
        skua_job_init(&jobs[i]->job, run_near);
        jobs[i]->done = done;
        jobs[i]->job.near = skua_near_node(explore_below(3));
        jobs[i]->job.priority =
            (uint8_t)(explore_below(4) ? SKUA_PRIORITY_NORMAL : explore_below(3));
        jobs[i]->job.next = (skua_job *)(void *)exec; /* for the submitter */
    }
    explore_check(skua_exec_submit(exec, &blocker->job) == SKUA_OK, "submit");
    pthread_t submitter;
    pthread_create(&submitter, NULL, submit_near, jobs);
    tally_wait(done, JOBS);
    tally_wait(held, 1);
    pthread_join(submitter, NULL);
    skua_exec_close(exec);
    for (int i = 0; i < JOBS; i++) {
        explore_check(jobs[i]->runs == 1, "every job once");
    }
    tally_free(done);
    tally_free(held);
}
