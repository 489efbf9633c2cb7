// SPDX-License-Identifier: MPL-2.0
// A latch: threads and tasks wait until something was counted down to nothing, once.
#ifndef SKUA_LATCH_H
#define SKUA_LATCH_H

#include <skua/exec.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * In the caller's memory. It opens once and stays open; for another time end it and prepare it anew. Only the functions
 * touch it.
 */
typedef struct skua_latch {
    skua_exec *exec;
    uint64_t reserved[15];
} skua_latch;

/**
 * Prepares a latch that opens after count; 0: it is open.
 *
 * exec: borrowed until fini; its workers give their places to spares while they wait.
 * Returns: nothing; there are no errors.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API void skua_latch_init(skua_latch *latch, skua_exec *exec, uint64_t count);

/**
 * Ends a latch, for which nobody waits. It may follow the wait at once, while the last count_down() returns. Takes NULL
 * and a zeroed one.
 *
 * Returns: nothing; an assertion fails when somebody waits.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API void skua_latch_fini(skua_latch *latch);

/**
 * Counts down. What the caller did before is seen by who waited. Where this opens the latch, its memory may be gone when
 * the call returns.
 *
 * Returns: true when this call opened it; in debug builds an assertion fails when fewer were left.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API bool skua_latch_count_down(skua_latch *latch, uint64_t count);

/** Whether it is open. Returns: the answer. Threads: any. Blocks: never. Since 0.1. */
SKUA_API bool skua_latch_is_open(const skua_latch *latch);

/**
 * Waits until the latch is open. A worker runs nothing meanwhile, since a latch knows of no tasks that could open it: a
 * spare worker takes its place. When no spare is left and all workers wait, only a thread that is none can open it.
 *
 * timeout_ms: 0 or SKUA_UNLIMITED: no limit; SKUA_NONE: do not wait.
 * Returns: 0; SKUA_E_TIMEOUT; SKUA_E_FORKED.
 * Threads: any, workers too. Blocks: until it is open, or timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_latch_wait(skua_latch *latch, int64_t timeout_ms,
                                                     skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
