// SPDX-License-Identifier: MPL-2.0
// The executor: a pool of worker threads that runs forked calls, submitted tasks, futures and groups, and that
// sleeps when there is nothing to do. It stands alone: no node and no ZeroMQ are needed.
#ifndef SKUA_EXEC_H
#define SKUA_EXEC_H

#include <skua/alloc.h>
#include <skua/common.h>
#include <skua/log.h>
#include <skua/runner.h>
#include <skua/topology.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* ---- The executor ---- */

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

/* ---- Fork and join ---- */

/*
 * One forked call. Only the functions below touch it. Its layout and that of the trap are part of the ABI, because
 * spawn and sync are compiled into the program.
 */
#define SKUA_FRAME_BYTES 32

typedef struct skua_slot {
    skua_fn *fn;
    void *frame;
    uint64_t state;                      /* who took it, whether it is done: the executor's */
    void *origin;                        /* the executor's */
    uint64_t room[SKUA_FRAME_BYTES / 8]; /* see SKUA_FRAME() */
} skua_slot;

/*
 * A worker's slots lie in one block aligned to its size, and the block begins with the trap: two addresses that the fast
 * paths compare with, and that any thread moves when it wants the worker's attention.
 */
#define SKUA_STACK_BYTES ((size_t)1 << 20)

typedef struct skua_trap {
    skua_slot *spawn_below; /* a spawn at or above this slot takes the slow path */
    skua_slot *sync_from;   /* a sync under this slot takes the slow path */
} skua_trap;

/* What a sync found: where the top is now, and whether the caller is to run the call. */
typedef struct skua_taken {
    skua_slot *top;
    bool run;
} skua_taken;

static inline skua_trap *
skua_worker_trap(skua_worker w) {
    return (skua_trap *)(void *)((char *)w.top - ((uintptr_t)w.top & (SKUA_STACK_BYTES - 1)));
}

/** The slow path of skua_spawn(). Returns: the new top. Threads: worker. Blocks: never. Since 0.1. */
SKUA_API skua_slot *skua_spawn_slow(skua_slot *slot);
/** The slow path of skua_take_back(). Returns: what it found. Threads: worker. Blocks: as sync. Since 0.1. */
SKUA_API skua_taken skua_sync_slow(skua_slot *slot);
/** Ends a program that is built for debugging unless w is good here; call is named. Returns: nothing. Threads: worker. Blocks: never. Since 0.1. */
SKUA_API void skua_fork_check(skua_worker w, const char *call);
/** The same for skua_spawn(), and unless there is something to call. Returns: nothing. Threads: worker. Blocks: never. Since 0.1. */
SKUA_API void skua_spawn_check(skua_worker w, skua_fn *fn);
/** The same, and unless the newest fork is this call. Returns: nothing. Threads: worker. Blocks: never. Since 0.1. */
SKUA_API void skua_sync_check(skua_worker w, skua_fn *fn, const void *frame);

/*
 * SKUA_FRAME(w, type): room for a small frame, of SKUA_FRAME_BYTES at most, in the slot that the next fork takes: so no
 * local variable has its address taken, and a thief finds the arguments beside the function. It is for calls that are
 * ended by skua_take_back(), because the arguments are gone as soon as the caller spawns or calls anything. After a
 * skua_take_back() that answers false it leads to the frame of the call that ended, until the next spawn.
 */
#define SKUA_FRAME(w, type)                                                                        \
    ((type *)((void)sizeof(char[sizeof(type) <= SKUA_FRAME_BYTES ? 1 : -1]), (void *)(w).top->room))

/**
 * Forks the call fn(w, frame): any worker may run it from now on, until the matching skua_sync(). Forks nest: the last
 * one forked is the first to be synced, and all are before the function that forked them returns. When the
 * stack of slots is full, nobody else can take the call: its sync runs it.
 *
 * fn: not NULL: a program that is built for debugging ends with a line that names skua_spawn; one that is built for speed is not
 * told, and crashes where the call is run. frame: borrowed until the sync has returned; a local variable is fine, and so is SKUA_FRAME().
 * Returns: nothing; there are no errors.
 * Threads: worker (the one that w belongs to). Blocks: never. Since 0.1.
 */
static inline void
skua_spawn(skua_worker *w, skua_fn *fn, void *frame) {
#ifndef NDEBUG
    skua_spawn_check(*w, fn);
#endif
    skua_slot *slot = w->top;
    skua_trap *trap = skua_worker_trap(*w);
    slot->fn = fn;
    slot->frame = frame;
#ifndef NDEBUG
    slot->origin = (char *)slot + 1;
#endif
    w->top = slot + 1;
    /* relaxed: a trap that is seen one spawn later is early enough. */
    if (__builtin_expect(slot >= __atomic_load_n(&trap->spawn_below, __ATOMIC_RELAXED), 0)) {
        w->top = skua_spawn_slow(slot);
    }
}

/**
 * Takes the newest forked call back, if nobody has taken it: then the caller runs it, in whatever way suits it. Else it
 * waits until the call is done, running only calls that it forked itself, directly or not.
 *
 * Returns: true when the caller is to run the call; false when its frame holds the result.
 * Threads: worker (the one that w belongs to). Blocks: until the call is done. Since 0.1.
 */
static inline SKUA_MUST_CHECK bool
skua_take_back(skua_worker *w) {
#ifndef NDEBUG
    skua_fork_check(*w, "skua_take_back");
#endif
    skua_slot *slot = w->top - 1;
    skua_trap *trap = skua_worker_trap(*w);
    bool run = true;
    w->top = slot;
    /* relaxed: as in skua_spawn(); what lies at or above this address was never anybody else's. */
    if (__builtin_expect(slot < __atomic_load_n(&trap->sync_from, __ATOMIC_RELAXED), 0)) {
        skua_taken taken = skua_sync_slow(slot);
        w->top = taken.top;
        run = taken.run;
    }
#ifndef NDEBUG
    if (w->top == slot) {
        slot->origin = NULL;
    }
#endif
    return run;
}

/**
 * Ends the newest forked call, which must be fn(w, frame): runs it here if nobody has taken it, else waits until it is
 * done, running only calls that it forked itself, directly or not.
 *
 * frame: not one of SKUA_FRAME(): see there.
 * Returns: nothing; in debug builds an assertion fails when fn and frame are not those of the newest fork.
 * Threads: worker (the one that w belongs to). Blocks: until the call is done. Since 0.1.
 */
static inline void
skua_sync(skua_worker *w, skua_fn *fn, void *frame) {
#ifndef NDEBUG
    skua_sync_check(*w, fn, frame);
#endif
    if (skua_take_back(w)) {
        fn(*w, frame);
    }
}

/* Forks that nobody was shown, from which on another one is not wanted: see docs/design/exec.md, section 3. */
#ifndef SKUA_FORKS_KEPT
#define SKUA_FORKS_KEPT 4
#endif

/**
 * Whether forking is of use now: somebody has no work, or fewer than SKUA_FORKS_KEPT of this worker's forks wait for who will ask
 * next. Where calls are short, as in the nodes of a tree, ask once before each one's calls, fork them where the answer is true, and
 * else call the same functions directly, which ask anew: so nearly all run at the price of plain calls, and still no worker is
 * without work for longer than another one takes from question to question. It costs two loads of a line that nobody else writes
 * but to ask. Always true in deterministic mode. (Mohr, Kranz, Halstead: Lazy Task Creation, 1990; Duran and others: An Adaptive
 * Cut-off for Task Parallelism, 2008.)
 *
 * Returns: the answer; there are no errors. It is a hint: forks and direct calls are right with any answer.
 * Threads: worker (the one that w belongs to). Blocks: never. Since 0.1.
 */
static inline bool
skua_fork_wanted(skua_worker w) {
#ifndef NDEBUG
    skua_fork_check(w, "skua_fork_wanted");
#endif
    skua_trap *trap = skua_worker_trap(w);
    /*
     * relaxed, both: seen one question later is early enough. The slots from sync_from to the top are those that nobody was shown;
     * who asks for work moves spawn_below, so that the next spawn, and only a spawn, is sure to give him some.
     */
    uintptr_t shown = (uintptr_t)__atomic_load_n(&trap->sync_from, __ATOMIC_RELAXED);
    bool wanted = (uintptr_t)(w.top - SKUA_FORKS_KEPT) < shown ||
                  w.top >= __atomic_load_n(&trap->spawn_below, __ATOMIC_RELAXED);
    return __builtin_expect(wanted, 0); /* the plain calls are what is to be fast */
}

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

/* ---- Jobs: detached tasks in the caller's memory ---- */

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

/* ---- Groups: a scope with an end, a cancel and a first error ---- */

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

/* ---- Futures: one task on the heap, with a result ---- */

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
