// SPDX-License-Identifier: MPL-2.0
// Where a task runs: the worker that each task is given, and what may be asked of it. skua/exec.h includes this.
#ifndef SKUA_WORKER_H
#define SKUA_WORKER_H

#include <skua/common.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_exec skua_exec;
typedef struct skua_future skua_future;
typedef struct skua_group skua_group;
typedef struct skua_job skua_job;

/*
 * Bad use. What a function with a status is given wrongly, a NULL among it, is SKUA_E_BAD_ARGUMENT with a message that names
 * it. A NULL for one without a status, and a broken rule that no call could report (forked calls left behind, a worker used on
 * another thread), stops programs that are built for debugging with a line that names the call; others go on where they can,
 * and tell the option log of skua_exec_open().
 */

/*
 * Where a task runs: the worker, and the top of its stack of forked calls. It is handed to each task and passed on by
 * value to what the task calls; it is good only there, on that thread, until the task returns.
 */
typedef struct skua_worker {
    struct skua_slot *top; /* the executor's */
} skua_worker;

/* What runs on a worker; frame is the caller's own struct of arguments and results. */
typedef void skua_fn(skua_worker w, void *frame);

/**
 * The executor of a worker.
 *
 * Returns: the executor; there are no errors.
 * Threads: worker. Blocks: never. Since 0.1.
 */
SKUA_API skua_exec *skua_worker_exec(skua_worker w);

/**
 * The number of a worker: 0 to skua_exec_workers() - 1, and from there on for spares.
 *
 * Returns: the number; there are no errors.
 * Threads: worker. Blocks: never. Since 0.1.
 */
SKUA_API uint32_t skua_worker_index(skua_worker w);

/**
 * Whether the group of the task that runs here was cancelled. Long tasks ask now and then, and return early.
 *
 * Returns: the answer; there are no errors.
 * Threads: worker. Blocks: never. Since 0.1.
 */
SKUA_API bool skua_worker_cancelled(skua_worker w);

/**
 * Says that the task is about to block in the system (a read, a lock): until skua_worker_block_end() a spare worker
 * takes this one's place, so that other tasks go on. The pairs may nest.
 *
 * Returns: nothing; when no spare is left, the place stays empty.
 * Threads: worker. Blocks: never. Since 0.1.
 */
SKUA_API void skua_worker_block_begin(skua_worker w);
/** Ends skua_worker_block_begin(), in the same task. Returns: nothing. Threads: worker. Blocks: never. Since 0.1. */
SKUA_API void skua_worker_block_end(skua_worker w);

#ifdef __cplusplus
}
#endif
#endif
