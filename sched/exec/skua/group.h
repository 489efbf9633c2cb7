// SPDX-License-Identifier: MPL-2.0
// Groups: a scope of jobs with an end, a cancel and a first error. skua/exec.h includes this.
#ifndef SKUA_GROUP_H
#define SKUA_GROUP_H

#include <skua/common.h>
#include <skua/job.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * In the caller's memory; skua_group_init() and skua_group_fini() are its life. Only the functions touch it.
 */
struct skua_group {
    skua_exec *exec;
    uint64_t reserved[31];
};

/** Prepares an empty group. exec: borrowed. Returns: nothing. Threads: owner. Blocks: never. Since 0.1. */
SKUA_API void skua_group_init(skua_group *group, skua_exec *exec);

/**
 * Ends a group, in which nothing is under way (wait for it first). Takes a zeroed one.
 *
 * Returns: nothing; an assertion fails when a task of the group is still under way.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API void skua_group_fini(skua_group *group);

/**
 * Keeps tasks of the group from starting later than timeout_ms from now: the first that would cancels the group with
 * SKUA_E_TIMEOUT, and so does skua_worker_cancelled() when a running one asks later than that.
 *
 * timeout_ms: SKUA_UNLIMITED: no deadline; SKUA_NONE or 0: it has passed.
 * Returns: nothing; there are no errors.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API void skua_group_set_deadline(skua_group *group, int64_t timeout_ms);

/**
 * Says where the group's jobs are best run that do not say so themselves; those submitted from now on.
 *
 * Returns: nothing; there are no errors.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API void skua_group_set_near(skua_group *group, skua_near near);

/**
 * Submits a job as one of the group's, this time: run may submit it anew, in whatever group or none. When the group is cancelled
 * before it starts, its dropped is called in place of run; the job is the caller's again then, or when skua_group_wait() has returned.
 *
 * Returns: as skua_exec_submit(), or SKUA_E_CANCELLED when the group is cancelled already.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_group_submit(skua_group *group, skua_job *job);

/**
 * Cancels the group: tasks that have not started never will, and skua_worker_cancelled() tells those that run. The
 * first cancel sets the status that skua_group_wait() returns; a task reports its failure in the same way.
 *
 * status: a negative status; SKUA_E_CANCELLED where nothing else fits. message: copied, may be NULL.
 * Returns: true when this call was the first.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API bool skua_group_cancel(skua_group *group, skua_status status, const char *message);

/** Whether the group was cancelled. Returns: the answer. Threads: any. Blocks: never. Since 0.1. */
SKUA_API bool skua_group_cancelled(const skua_group *group);

/**
 * Waits until every task of the group has ended. A worker runs queued tasks of this group meanwhile, and no others; it begins none
 * once timeout_ms has passed.
 *
 * timeout_ms: 0 or SKUA_UNLIMITED: no limit; SKUA_NONE: do not wait, and run nothing.
 * Returns: 0; the first cancel's status; SKUA_E_TIMEOUT; SKUA_E_DEADLOCK when a task of the group waits for it, or when one
 * waits without a limit, through any number of groups and futures, for the task that calls this without a limit.
 * Threads: any. Blocks: until done, or timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_group_wait(skua_group *group, int64_t timeout_ms,
                                                     skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
