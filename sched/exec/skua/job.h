// SPDX-License-Identifier: MPL-2.0
// Jobs: detached tasks in the caller's memory, submitted from anywhere. skua/exec.h includes this.
#ifndef SKUA_JOB_H
#define SKUA_JOB_H

#include <skua/common.h>
#include <skua/runner.h>
#include <skua/worker.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void skua_job_fn(skua_worker w, skua_job *job);
/* What is called in place of run, with the reason: SKUA_E_TIMEOUT, SKUA_E_CANCELLED. The job is yours as in run. */
typedef void skua_job_drop_fn(skua_worker w, skua_job *job, skua_status why);

/*
 * Where a task is best run; zero: anywhere. It is a hint that never keeps a task waiting for long: a worker elsewhere that
 * has nothing to do takes it once it has looked around for spin_us (and every worker looks elsewhere at one turn in 128).
 * Of a job of high priority it is not considered: that goes to whoever is free first. Without a topology of several NUMA
 * nodes it says only which worker is woken.
 */
typedef struct skua_near {
    uint16_t node; /* 1 + the index of a NUMA node; 0: any */
    uint16_t core; /* 1 + the index of a core, whose worker is woken for it if it sleeps; 0: any */
} skua_near;

/** Near a NUMA node: an index for skua_topology_numa_at(). Returns: the hint. Threads: any. Blocks: never. Since 0.1. */
static inline skua_near
skua_near_node(uint32_t node) {
    skua_near near = {(uint16_t)(node < UINT16_MAX ? node + 1 : 0), 0};
    return near;
}

/** Near a core: skua_topology_pu.core, and so near its node. Returns: the hint. Threads: any. Blocks: never. Since 0.1. */
static inline skua_near
skua_near_core(uint32_t core) {
    skua_near near = {0, (uint16_t)(core < UINT16_MAX ? core + 1 : 0)};
    return near;
}

/**
 * Near the NUMA node on which memory lies, as far as the kernel tells; one system call, where there are several nodes.
 *
 * Returns: the hint; zero where it makes no difference or nothing was written there yet.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API skua_near skua_near_memory(const skua_exec *exec, const void *memory);

/*
 * A job to submit: put it into a struct of your own. It is the executor's from submit until run is called;
 * from then on it is yours again, so run may free it or submit it anew. Prepare it with skua_job_init().
 */
struct skua_job {
    skua_job_fn *run;
    skua_job *next;    /* the executor's */
    skua_group *group; /* the executor's: set by skua_group_submit() */
    uint8_t priority;  /* skua_priority */
    uint8_t flags;     /* the executor's */
    skua_near near;    /* yours, after init: where it is best run */
    uint8_t reserved_bytes[2];
    skua_job_drop_fn *dropped; /* yours, after init; NULL: nobody is told */
    int64_t deadline_ns;       /* see skua_job_set_deadline(); 0: none */
};

/** Prepares a job. Returns: nothing. Threads: owner. Blocks: never. Since 0.1. */
static inline void
skua_job_init(skua_job *job, skua_job_fn *run) {
    memset(job, 0, sizeof *job);
    job->run = run;
}

/**
 * Keeps a job from starting later than timeout_ms from now: then its dropped is called in place of run, with
 * SKUA_E_TIMEOUT. A job that runs goes on. Call it before the submit.
 *
 * timeout_ms: SKUA_UNLIMITED: no deadline; SKUA_NONE or 0: it has passed.
 * Returns: nothing; there are no errors.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API void skua_job_set_deadline(skua_job *job, int64_t timeout_ms);

/**
 * Submits a job: run(w, job) will be called once, on some worker. Jobs of one submitter and priority are taken in the order
 * in which they were submitted; docs/design/exec.md says what several workers may make of it when very many wait.
 *
 * job: lent until run is called; an assertion fails in debug builds when it is submitted again meanwhile.
 * Returns: 0, or SKUA_E_CLOSED, SKUA_E_FORKED, SKUA_E_AGAIN (queue_tasks wait already), SKUA_E_BAD_ARGUMENT for a NULL
 * executor, job or run; then run is not called.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_exec_submit(skua_exec *exec, skua_job *job);

/**
 * Submits count jobs at once: all or none.
 *
 * jobs: the array is borrowed for the call, the jobs are lent until their run is called.
 * Returns: as skua_exec_submit().
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_exec_submit_batch(skua_exec *exec, skua_job *const *jobs,
                                                            size_t count);

/**
 * Submits a job from a running one, at a tenth of the price: it is put into the worker's own jobs. The worker takes the
 * newest of them first, idle workers take the oldest; there is no promise about their order. A job of high or
 * low priority, or one too many (128 wait in one worker), goes where skua_exec_submit() puts it, behind the others.
 *
 * job: lent until run is called. The queue_tasks option does not count it.
 * Returns: nothing; there are no errors.
 * Threads: worker (the one that w belongs to). Blocks: never. Since 0.1.
 */
SKUA_API void skua_worker_submit(skua_worker w, skua_job *job);

/**
 * The same for count jobs; the worker takes the last one first.
 *
 * jobs: the array is borrowed for the call, the jobs are lent until their run is called.
 * Returns: nothing; there are no errors.
 * Threads: worker (the one that w belongs to). Blocks: never. Since 0.1.
 */
SKUA_API void skua_worker_submit_batch(skua_worker w, skua_job *const *jobs, size_t count);

#ifdef __cplusplus
}
#endif
#endif
