// SPDX-License-Identifier: MPL-2.0
// Timers: a call on a worker after some time, or again and again. They lie in the caller's memory; an executor without
// timers has no thread for them and makes no system call.
#ifndef SKUA_TIMER_H
#define SKUA_TIMER_H

#include <skua/exec.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_timer skua_timer;

/* What a timer calls, on a worker; timer is the first member of a struct of yours, or found from it. */
typedef void skua_timer_fn(skua_worker w, skua_timer *timer);

/* In the caller's memory; skua_timer_init() and skua_timer_fini() are its life. Only the functions touch it. */
struct skua_timer {
    skua_timer_fn *fn;
    uint64_t reserved[55];
};

/** Prepares a timer that is not set. Returns: nothing. Threads: owner. Blocks: never. Since 0.1. */
SKUA_API void skua_timer_init(skua_timer *timer, skua_timer_fn *fn);

/**
 * Cancels the timer, as skua_timer_cancel(), and ends it. It must be done before the executor is closed, and not in the
 * timer's own call. Takes NULL and a zeroed one.
 *
 * Returns: nothing; an assertion fails in the timer's own call.
 * Threads: owner. Blocks: as skua_timer_cancel(). Since 0.1.
 */
SKUA_API void skua_timer_fini(skua_timer *timer);

/**
 * Sets a timer: fn(w, timer) will be called once, delay_ms from now or later. One that is set already is moved. fn may set
 * its own timer anew.
 *
 * exec: borrowed until fini; always the same for one timer. delay_ms: 0 is as soon as possible.
 * Returns: 0; SKUA_E_BAD_ARGUMENT for a NULL, a negative delay, a timer of another executor; SKUA_E_CLOSED;
 * SKUA_E_FORKED; SKUA_E_UNSUPPORTED of a deterministic executor; SKUA_E_SYSTEM when the thread that waits for the first timer cannot be started.
 * Threads: any, workers too, one at a time for one timer. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_exec_after(skua_exec *exec, skua_timer *timer,
                                                     int64_t delay_ms, skua_error *err);

/**
 * Sets a timer that calls fn every period_ms, for the first time after one. The calls keep to the beat of the first one and
 * never overlap: one that is due while the last has not ended is left out, and counted.
 *
 * Returns: as skua_exec_after(); period_ms is at least 1.
 * Threads: any, workers too, one at a time for one timer. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_exec_every(skua_exec *exec, skua_timer *timer,
                                                     int64_t period_ms, skua_error *err);

/**
 * Cancels a timer: when it has returned, no call of fn is under way and none will come, until it is set anew. A call that
 * waits for a worker is taken back. One that runs sees skua_worker_cancelled(), and is the last, even if it sets the timer anew
 * meanwhile. In the timer's own call, and in a task that this call waits for, it returns at once, and the call is the last.
 *
 * Returns: true when this kept a call from coming.
 * Threads: any, workers too, one at a time for one timer. Blocks: until a call that runs has ended. Since 0.1.
 */
SKUA_API bool skua_timer_cancel(skua_timer *timer);

/**
 * How many calls were left out or late by more than a period since the timer was prepared, or had to be tried again because
 * the executor's queue was full.
 *
 * Returns: the number; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API uint64_t skua_timer_missed(const skua_timer *timer);

#ifdef __cplusplus
}
#endif
#endif
