// SPDX-License-Identifier: MPL-2.0
// A place where functions run: the knot between the patterns' handlers and an executor, which know
// nothing of each other.
#ifndef SKUA_RUNNER_H
#define SKUA_RUNNER_H

#include <skua/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_RUNNER_VERSION 1

/*
 * A table of callbacks, borrowed by whoever it is handed to: it must outlive them. skua_exec_runner() fills one
 * for an executor; a program may fill its own.
 */
typedef struct skua_runner {
    uint32_t version; /* SKUA_RUNNER_VERSION */
    void *ctx;
    /*
     * Runs fn(arg) once, on some other thread, soon. Called from any thread; never blocks and never runs fn
     * inside the call. Returns 0, or SKUA_E_CLOSED or SKUA_E_NO_MEMORY: then fn will not run.
     */
    skua_status (*post)(void *ctx, void (*fn)(void *arg), void *arg);
} skua_runner;

#ifdef __cplusplus
}
#endif
#endif
