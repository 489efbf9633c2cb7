// SPDX-License-Identifier: MPL-2.0
// Futures: one task on the heap, with a result. skua/exec.h includes this.
#ifndef SKUA_FUTURE_H
#define SKUA_FUTURE_H

#include <skua/common.h>
#include <skua/group.h>
#include <skua/job.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a future runs: returns 0 and *ret_value, or a negative status. */
typedef skua_status skua_future_fn(skua_worker w, void *arg, void **ret_value);
/* What follows a future: done has its result. */
typedef skua_status skua_then_fn(skua_worker w, skua_future *done, void *arg, void **ret_value);

typedef struct skua_future_options {
    size_t size;
    /* It counts the future, so wait for it before its end; NULL: none. A future that ends with an error cancels it, as the group's first error. */
    skua_group *group;
    int32_t priority; /* skua_priority */
    int32_t
        deadline_ms; /* it does not start later than that from now, but ends with SKUA_E_TIMEOUT; 0: none */
    skua_near near; /* where it is best run. Since 0.1 */
} skua_future_options;

#define SKUA_FUTURE_OPTIONS(...)                                                                   \
    (&(skua_future_options){.size = sizeof(skua_future_options), __VA_ARGS__})

/**
 * Submits fn(w, arg, &value) with a future for its result.
 *
 * arg: borrowed until the future is done. options may be NULL.
 * Returns: 0 and *ret_future (the caller owns one reference: skua_future_unref()); SKUA_E_NO_MEMORY,
 * SKUA_E_BAD_ARGUMENT, or what skua_exec_submit() and skua_group_submit() return.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_future_start(skua_future **ret_future, skua_exec *exec,
                                                       skua_future_fn *fn, void *arg,
                                                       const skua_future_options *options,
                                                       skua_error *err);

/**
 * Makes a future that the program completes itself, with skua_future_complete(): a bridge from callbacks. It must be
 * complete, or gone, before the executor is closed: an assertion says so in debug builds. When its last reference goes first, what follows it sees SKUA_E_CANCELLED.
 *
 * Returns: 0 and *ret_future (the caller owns one reference); SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_future_promise(skua_future **ret_future, skua_exec *exec,
                                                         skua_error *err);

/**
 * Completes a future of skua_future_promise().
 *
 * Returns: 0, SKUA_E_EXISTS when it is complete already, SKUA_E_BAD_ARGUMENT when it is no promise, SKUA_E_FORKED in
 * the child of a fork().
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API skua_status skua_future_complete(skua_future *future, skua_status status, void *value);

/**
 * Starts fn(w, future, arg, &value) once future is done, well or not.
 *
 * Returns: as skua_future_start().
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_future_then(skua_future **ret_future, skua_future *future,
                                                      skua_then_fn *fn, void *arg,
                                                      const skua_future_options *options,
                                                      skua_error *err);

/**
 * Waits for a future. On a worker it runs the future's task itself if nobody has started it, or what that follows, as soon as
 * that can begin; else a spare worker takes this one's place meanwhile: waiting never stops the executor.
 *
 * timeout_ms: 0 or SKUA_UNLIMITED: no limit; SKUA_NONE: do not wait, and run nothing. No task is begun here after it, but one
 * that was goes on to its end. ret_value may be NULL.
 * Returns: 0 and *ret_value; the negative status that the task returned; SKUA_E_CANCELLED; SKUA_E_TIMEOUT (it goes on);
 * SKUA_E_DEADLOCK when the future's own task asks, or waits without a limit, through any number of groups and futures, for
 * the task that asks without a limit.
 * Threads: any, workers too. Blocks: until done, or timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_future_get(skua_future *future, int64_t timeout_ms,
                                                     void **ret_value, skua_error *err);

/** Whether a future is done. Returns: the answer. Threads: any. Blocks: never. Since 0.1. */
SKUA_API bool skua_future_done(const skua_future *future);

/** Takes one more reference. Returns: future. Threads: any. Blocks: never. Since 0.1. */
SKUA_API skua_future *skua_future_ref(skua_future *future);

/**
 * Gives a reference back; the task runs all the same. Takes NULL.
 *
 * Returns: NULL.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API skua_future *skua_future_unref(skua_future *future);

#ifdef __cplusplus
}
#endif
#endif
