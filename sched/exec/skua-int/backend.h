// SPDX-License-Identifier: MPL-2.0
// How the pool sees whatever can run a task: the local executor, an OpenCL device or a peer. Each is a const table
// of calls plus a context; the pool asks all of them for an estimate and submits to the cheapest.
#ifndef SKUA_INT_BACKEND_H
#define SKUA_INT_BACKEND_H

#include <skua/error.h>
#include <stddef.h>
#include <stdint.h>

#define SKUA__BACKEND_VERSION 1
#define SKUA__BACKEND_CANNOT INT64_MAX /* an estimate: this backend never runs such a task */

/* What a backend gets to know of a task to answer an estimate. All of it is borrowed for the call. */
typedef struct skua__backend_work {
    const char *task;     /* the registered name */
    uint32_t version;     /* of the task; 0: any */
    int32_t priority;     /* 0 is normal, above is sooner */
    uint64_t input_bytes; /* that would have to be there before it starts */
    int64_t run_ns;       /* the learned run time on the local cores; 0: not known */
    int64_t deadline_ns;  /* monotonic; SKUA_NEVER_NS: none */
} skua__backend_work;

/*
 * One task under way in a backend: it lies in the pool's own memory, from submit() until done() was called.
 * The pool fills the upper part, the backend owns the lower.
 */
typedef struct skua__backend_job {
    /* Runs it, on a local worker: the body for a backend that runs functions in this process. */
    void (*run)(struct skua__backend_job *job);
    /*
     * Called by the backend exactly once per accepted job, on any thread, holding no lock of the backend: status is 0,
     * or SKUA_E_CANCELLED, SKUA_E_LOST, SKUA_E_PEER_LOST, SKUA_E_TASK_FAILED... The job's memory is the pool's again.
     */
    void (*done)(struct skua__backend_job *job, skua_status status);
    void *arg;                      /* the pool's */
    const skua__backend_work *work; /* lives as long as the job */
    const void *input;              /* borrowed until done() */
    size_t input_bytes;
    void *backend[8]; /* the backend's own; zero at submit() */
} skua__backend_job;

typedef struct skua__backend {
    uint32_t version; /* SKUA__BACKEND_VERSION */
    int32_t priority; /* of two equal estimates the higher one wins: local 30, device 20, peer 10 */
    const char *kind; /* "cores", "device", "peer": for people and metrics */
    /*
     * How long work submitted now would wait before it starts, in ns, without its own run time and its transfer
     * (the pool adds those), or SKUA__BACKEND_CANNOT. A guess is fine, blocking is not. Threads: any.
     */
    int64_t (*estimate)(void *ctx, const skua__backend_work *work);
    /*
     * Takes the job: from a 0 on, done() will be called once. Otherwise nothing happened and the status says why:
     * SKUA_E_AGAIN (full, ask another), SKUA_E_CLOSED, SKUA_E_PEER_LOST, SKUA_E_NO_MEMORY. Never blocks, never calls
     * run() or done() inside the call. Threads: any.
     */
    skua_status (*submit)(void *ctx, skua__backend_job *job, skua_error *err);
    /*
     * Asks that an accepted job end early. It may have ended already; done() still comes exactly once, with
     * SKUA_E_CANCELLED if it had not started. Never blocks. Threads: any, but not after done() has returned.
     */
    void (*cancel)(void *ctx, skua__backend_job *job);
} skua__backend;

struct skua_exec;

/*
 * The backend "cores" of a local executor; pass the executor itself as ctx. The table lives as long as the process.
 * Its submit() puts the job's run() on the executor and calls done(0) on the same worker right after it.
 */
const skua__backend *skua__exec_backend(void);

#endif
