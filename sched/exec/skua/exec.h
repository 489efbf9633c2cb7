// SPDX-License-Identifier: MPL-2.0
// The executor: a pool of worker threads that runs forked calls (skua/fork.h), submitted jobs (skua/job.h), groups of them
// (skua/group.h) and futures (skua/future.h), and that sleeps when there is nothing to do. It stands alone: no node and no
// ZeroMQ are needed.
#ifndef SKUA_EXEC_H
#define SKUA_EXEC_H

#include <skua/alloc.h>
#include <skua/common.h>
#include <skua/fork.h>
#include <skua/future.h>
#include <skua/group.h>
#include <skua/job.h>
#include <skua/log.h>
#include <skua/runner.h>
#include <skua/topology.h>
#include <skua/worker.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_EXEC_WORKERS_MAX 1024 /* workers of one executor, spares included */
#define SKUA_EXEC_SLOTS_MAX 16000  /* forked calls that wait in one worker's stack at a time */

/* Whether worker threads keep to a place. A floating thread is woken sooner; a bound one keeps to its memory and caches. */
typedef enum skua_bind {
    SKUA_BIND_AUTO =
        0, /* to the CPUs of its NUMA node, on a real machine with several; else not at all */
    SKUA_BIND_NEVER = 1, /* they float */
    SKUA_BIND_ALWAYS =
        2 /* each to one CPU, as skua_topology_plan_text() shows; needs the real machine */
} skua_bind;

/* Whether an executor shares this host's cores with its user's other executors, in whatever process: see docs/design/exec.md. */
typedef enum skua_lease_mode {
    SKUA_LEASE_AUTO =
        0, /* yes; but a number of workers that was asked for is kept, and only told to the others */
    SKUA_LEASE_NEVER = 1, /* no, and the others do not know of it */
    SKUA_LEASE_ALWAYS = 2 /* yes, down to one worker, whatever number was asked for */
} skua_lease_mode;

typedef struct skua_exec_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the default */
    const skua_topology *topology;   /* borrowed for the call; NULL: the machine we run on */
    int32_t workers;                 /* 0: as many as skua_topology_workers() says */
    int32_t spares; /* threads that may stand in for blocked workers; 0: 16; SKUA_NONE: none */
    int32_t
        stack_slots; /* 0: SKUA_EXEC_SLOTS_MAX, which is also the most; deeper forks run in their sync */
    int32_t
        queue_tasks; /* submitted tasks that may wait; 0: SKUA_UNLIMITED (they lie in your memory) */
    int32_t
        spin_us; /* an idle worker looks around for so long before it sleeps; 0: 20; SKUA_NONE */
    const char *name;    /* of the threads, 9 characters are kept; NULL: "skua" */
    int32_t bind;        /* skua_bind: whether threads keep to a place */
    int32_t workers_max; /* the most that skua_exec_resize() may ask for; 0: the machine's CPUs */
    /*
     * Who hears of what no call can return, each thing once: which jobs keep skua_exec_close() waiting, that all workers
     * wait while jobs cannot begin, that nothing runs any more while tasks wait without a limit, that a task left forked calls behind. NULL: stderr. Borrowed until closed. Since 0.1
     */
    const skua_log_sink *log;
    int32_t
        close_warn_ms; /* of the three waits, after so long (the third: a few times that); 0: 10000; SKUA_NONE: never. Since 0.1 */
    /*
     * Not 0: deterministic mode, to find and to replay an order. There are no threads: whoever waits, or closes, runs
     * everything that waits on his own thread, in an order that this seed draws, forked calls too. Used from one thread,
     * the same program gives the same order. A wait for what only this thread could do ends with SKUA_E_TIMEOUT; resize,
     * pause and timers are SKUA_E_UNSUPPORTED; jobs keep no order among themselves.
     */
    uint64_t deterministic_seed;
    int32_t lease; /* skua_lease_mode. Since 0.1 */
    uint32_t
        lease_key; /* executors share with those of the same key; 0: all of this user's. Since 0.1 */
} skua_exec_options;

#define SKUA_EXEC_OPTIONS(...)                                                                     \
    (&(skua_exec_options){.size = sizeof(skua_exec_options), __VA_ARGS__})

/**
 * Sets options of size bytes to all defaults, for languages without compound literals.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_exec_options_init(skua_exec_options *options, size_t size);

/**
 * Starts an executor with its worker threads, which sleep until there is work. They block every signal.
 *
 * allocator: borrowed, it must outlive the executor; options may be NULL.
 * Returns: 0 and *ret_exec (the caller owns it: skua_exec_close()); SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY,
 * SKUA_E_SYSTEM when a thread cannot be started, or what skua_topology_new() returns.
 * Threads: any. Blocks: until the threads are started. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_exec_open(skua_exec **ret_exec,
                                                    const skua_exec_options *options,
                                                    skua_error *err);

/**
 * Refuses new work, runs everything that was submitted to its end, stops the threads and frees the executor. Takes
 * NULL. Futures may be released later. In the child of a fork() it does nothing. When jobs keep it waiting for longer than
 * the option close_warn_ms, it says once which ones, to the option log.
 *
 * Returns: NULL. A worker of the executor itself would wait for its own end: that fails an assertion; without assertions it
 * is told to the option log, and the executor stays open.
 * Threads: one, not a worker, and no other call may be under way. Blocks: until all work is done. Since 0.1.
 */
SKUA_API skua_exec *skua_exec_close(skua_exec *exec);

/**
 * Makes an executor work again in the child of a fork(), with its options and as many workers as it was asked for; all other
 * calls answer SKUA_E_FORKED there. What was submitted before is the parent's and does not run here; groups and futures
 * of before stay SKUA_E_FORKED.
 *
 * Returns: 0; SKUA_E_BAD_ARGUMENT when the executor is this process's own; SKUA_E_UNSUPPORTED when a task forked;
 * SKUA_E_NO_MEMORY, SKUA_E_SYSTEM when a thread cannot be started: then it stays unusable, and may be closed.
 * Threads: the child's only one. Blocks: until the threads are started. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_exec_rebuild_after_fork(skua_exec *exec, skua_error *err);

/**
 * Runs fn(w, frame) on a worker and waits for it: the way in for fork-join work. On a worker of this executor it is a
 * plain call.
 *
 * frame: borrowed for the call.
 * Returns: 0 after fn has returned; SKUA_E_CLOSED, SKUA_E_FORKED, SKUA_E_BAD_ARGUMENT, and then fn did not run.
 * Threads: any. Blocks: until fn has returned. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_exec_run(skua_exec *exec, skua_fn *fn, void *frame,
                                                   skua_error *err);

/**
 * Changes the number of workers while the executor lives. A worker too many ends the job that it runs first, then rests; a
 * job that waits for another one never loses it. Threads that rest are kept, and cost nothing.
 *
 * workers: 1 to the workers_max option; 0: again as many as quota and affinity allow, followed live. (Left at 0 at
 * open, the number follows them too: looked at by workers between jobs and around their sleep, at most once a second.)
 * Returns: 0; SKUA_E_LIMIT, SKUA_E_CLOSED, SKUA_E_FORKED, SKUA_E_UNSUPPORTED; SKUA_E_NO_MEMORY or SKUA_E_SYSTEM when not all could be
 * started: then as many run as could.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_exec_resize(skua_exec *exec, uint32_t workers,
                                                      skua_error *err);

/**
 * Lets no worker begin anything new: what runs goes on to its end, with the calls that it forked and the jobs that it waits
 * for; submitted jobs wait. A job that was submitted before may still begin on a worker that had already turned to it; one
 * that is submitted after the call has returned does not begin. skua_exec_close() ends a pause, and from then on a worker's
 * call is SKUA_E_CLOSED, too.
 *
 * Returns: 0, SKUA_E_CLOSED, SKUA_E_FORKED, SKUA_E_UNSUPPORTED.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API skua_status skua_exec_pause(skua_exec *exec);
/**
 * Ends a pause.
 *
 * Returns: as skua_exec_pause(); SKUA_E_NO_MEMORY or SKUA_E_SYSTEM when not all workers that resize asked for meanwhile could be
 * started: then as many run as could.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API skua_status skua_exec_resume(skua_exec *exec);

/**
 * The NUMA node that a worker's place belongs to, by the topology that the executor was opened with.
 *
 * Returns: an index for skua_topology_numa_at(); 0 when the executor knows no topology or has no such worker.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API uint32_t skua_exec_worker_numa(const skua_exec *exec, uint32_t worker);

/**
 * The number of workers that may run now, without spares; 0 in a pause.
 *
 * Returns: the number; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API uint32_t skua_exec_workers(const skua_exec *exec);

/**
 * Fills a runner whose post() submits to this executor.
 *
 * exec: borrowed by the runner; it must outlive every user of it.
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_exec_runner(skua_exec *exec, skua_runner *ret_runner);

/* ---- The trace ---- */

typedef struct skua_trace_options {
    size_t size;
    int64_t events; /* kept per worker, the newest; 16 bytes each; 0: 16384; at most 4194304 */
    bool spawns;    /* also each skua_spawn(): that one then costs as much as a look at the clock */
} skua_trace_options;

#define SKUA_TRACE_OPTIONS(...)                                                                    \
    (&(skua_trace_options){.size = sizeof(skua_trace_options), __VA_ARGS__})

/**
 * Records from now on what each worker does: jobs, graph nodes by their index, stolen calls with their victim, sharing, parking, waking. Each worker
 * keeps its newest events. So does each device of a pool on this executor, as a process of its own in the picture: every launch, and within it
 * every copy and kernel by the device's own times. Where nothing is recorded this costs one look at a flag per steal, job and park.
 *
 * options: may be NULL. The memory comes from the executor's allocator at the first start, whose events counts, and is kept.
 * Returns: 0, SKUA_E_EXISTS when it is on already, SKUA_E_NO_MEMORY, SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_exec_trace_start(skua_exec *exec,
                                                           const skua_trace_options *options,
                                                           skua_error *err);
/** Ends recording; what was recorded stays. Returns: nothing. Threads: any. Blocks: never. Since 0.1. */
SKUA_API void skua_exec_trace_stop(skua_exec *exec);

/**
 * Writes what was recorded since the last start as JSON that ui.perfetto.dev and chrome://tracing open: a track per
 * worker, slices for jobs, stolen calls and sleep, an arrow from victim to thief. Recording may go on meanwhile.
 *
 * path: of the file, which is overwritten.
 * Returns: 0, SKUA_E_FILE, SKUA_E_BAD_ARGUMENT, SKUA_E_FORKED.
 * Threads: any. Blocks: for the file. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_exec_trace_write(skua_exec *exec, const char *path,
                                                           skua_error *err);

/* ---- Figures ---- */

/* Counters since the executor was opened. New fields come at the end; size says how much was filled. */
typedef struct skua_exec_stats {
    size_t size;            /* set it to sizeof(skua_exec_stats) before the call */
    uint64_t tasks;         /* submitted tasks that ran */
    uint64_t tasks_dropped; /* submitted tasks that a cancelled group kept from running */
    uint64_t steals;        /* forked calls and graph nodes taken from another worker */
    uint64_t steal_misses;  /* looks at other workers that found nothing */
    uint64_t leaps;         /* forked calls run while waiting in a sync */
    uint64_t shares;        /* times that forked calls were made public on request */
    uint64_t parks;         /* times that a worker went to sleep */
    uint64_t wakes;         /* times that this worker woke another one */
    uint64_t idle_ns;       /* time asleep */
    uint64_t queued_tasks;  /* submitted tasks that wait now (of the executor; 0 for one worker) */
    uint64_t spares;        /* spare threads started (of the executor) */
    uint64_t
        lease_pools; /* awake executors that it shares cores with, itself included, when it last looked; 0: none yet */
    uint64_t
        lease_refused; /* 1: it was to share cores, but the system gave no shared memory (`skua doctor` says why) */
} skua_exec_stats;

/**
 * The sum over all workers.
 *
 * Returns: 0, SKUA_E_FORKED, or SKUA_E_BAD_ARGUMENT when ret_stats->size is too small.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API skua_status skua_exec_stats_get(skua_exec *exec, skua_exec_stats *ret_stats);

/**
 * The figures of one worker.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT when there is no such worker.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API skua_status skua_exec_worker_stats(skua_exec *exec, uint32_t worker,
                                            skua_exec_stats *ret_stats);

#ifdef __cplusplus
}
#endif
#endif
