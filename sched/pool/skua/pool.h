// SPDX-License-Identifier: MPL-2.0
// A pool: one submit() in front of this machine's executor, its devices and every peer that offers tasks. Whichever
// is predicted to be done first runs the task, and each submitter owns the tasks that it submitted.
#ifndef SKUA_POOL_H
#define SKUA_POOL_H

#include <skua/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_pool skua_pool;

/* Declared by the boxes that own them: skua/node.h, skua/exec.h, skua/device.h. */
struct skua_node;
struct skua_exec;
struct skua_devices;

enum {
    SKUA_POOL_MAX_TASK_NAMES = 192, /* registered with one pool at a time */
    SKUA_POOL_MAX_NODES = 4096,     /* peers whose tasks a pool follows */
    SKUA_POOL_DEFAULT_WINDOW_TASKS = 4096,
    SKUA_POOL_MAX_WINDOW_TASKS = 1 << 20,
};

/*
 * How a pool is opened. Make one with SKUA_POOL_OPTIONS(.node = node, .exec = exec) in C, with skua_pool_options_init()
 * elsewhere. node, exec, devices and allocator are borrowed until skua_pool_close(), which comes before theirs.
 */
typedef struct skua_pool_options {
    size_t size;
    struct skua_node *node;          /* NULL: no peers; tasks run here only */
    struct skua_exec *exec;          /* NULL: nothing runs here; tasks are only handed to peers */
    struct skua_devices *devices;    /* NULL: kernels (skua/launch.h) run on the cores only */
    const skua_allocator *allocator; /* NULL: the node's, else skua_allocator_default() */
    uint32_t
        window_tasks; /* tasks that may be submitted and not ended. 0: SKUA_POOL_DEFAULT_WINDOW_TASKS */
    uint8_t submit_only; /* 1: run no peer's tasks, whatever is registered */
    uint8_t serve_only;  /* 1: hand nothing to peers */
    uint8_t reserved_flags[2];
    uint64_t
        window_bytes; /* inputs of these, together. 0: 256 MiB. One task alone is always let in */
    /* Peers' tasks that wait here for a worker; more are handed back to their submitters. 0: 16,384 */
    uint32_t serve_queue_tasks;
    /* A lease that is not renewed for so long has ended, as if its node had died. 0: 15,000. 500 to 3,600,000 */
    int32_t lease_ms;
    /* Tasks that no node offers any more wait so long for one that does. 0: 5,000; SKUA_NONE */
    int64_t orphan_ms;
    /*
     * A node on which three different tasks failed for no fault of their own (it died with them, or let their leases run
     * out) is given none for so long; the next time twice as long, up to 64 times. 0: 10,000; SKUA_NONE: never
     */
    int64_t quarantine_ms;
    /*
     * Bytes of peers' tasks here: inputs of those that wait, and inputs and results of launches that wait or run, with the
     * memory that these take without sending it: scratch memory (SKUA_PARAM_LOCAL) of each worker, and on a device what lies before a part's
     * slices. What would go beyond is handed back, unless it is alone; a launch of which the unsent memory alone goes beyond ends
     * EXIT, with words. 0: 512 MiB. Since 0.1.
     */
    uint64_t serve_queue_bytes;
} skua_pool_options;

#define SKUA_POOL_OPTIONS(...)                                                                     \
    (&(const skua_pool_options){.size = sizeof(skua_pool_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_pool_options_init(skua_pool_options *options, size_t size);

/**
 * Opens a pool. With a node it follows the peers that offer tasks (role "submit"), and, with an executor too, offers
 * its own registered tasks to them (role "work"; submit_only leaves it out). Copies options, which may be NULL only if
 * nothing is to run at all. The caller owns *ret_pool: skua_pool_close().
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_NOT_AUTHORISED (the certificate lacks a role that the options ask
 * for), SKUA_E_ADDRESS_IN_USE, SKUA_E_DESCRIPTORS, SKUA_E_NO_MEMORY, SKUA_E_SYSTEM, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never for long. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_open(skua_pool **ret_pool,
                                                    const skua_pool_options *options,
                                                    skua_error *err);

/**
 * Ends a pool. Peers' tasks that wait here are handed back, so that others run them; tasks of ours that have not ended
 * end CANCELLED (their on_done is called); functions that run here see skua_task_cancelled() and are waited for. Futures
 * stay valid until they are freed. Takes NULL. In the child of a fork() it does nothing.
 *
 * Returns: NULL.
 * Threads: one; no other call on the pool may run, except skua_pool_future_*(). Not from on_done or a task. Blocks: until
 * functions that run here have returned. Since 0.1.
 */
SKUA_API skua_pool *skua_pool_close(skua_pool *pool);

/**
 * Offers to run tasks of a name: here, and for peers too when the pool has a node. Names are 1 to 63 of a-z, 0-9,
 * '.', '_' and '-', beginning with a letter or digit; several versions of one name may stand side by side. Without an
 * executor the function is kept but nothing runs here. Borrows arg until skua_pool_close().
 *
 * Returns: 0, or SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT (no function, or version 0), SKUA_E_EXISTS (that name and
 * version), SKUA_E_LIMIT, SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_register(skua_pool *pool, const char *name,
                                                        uint32_t version, skua_task_fn fn,
                                                        void *arg, skua_error *err);

/**
 * Waits until `count` nodes offer the task, our own counted when it runs it. timeout_ms: 0 is 5,000; SKUA_UNLIMITED,
 * SKUA_NONE.
 *
 * Returns: 0, or SKUA_E_NO_PROVIDER with a message that lists what is offered instead, SKUA_E_BAD_ARGUMENT,
 * SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any but the node's own and a task's. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_await_nodes(skua_pool *pool, const char *name,
                                                           size_t count, int64_t timeout_ms,
                                                           skua_error *err);

/**
 * Submits a task and returns at once with its future; everything that happens to the task from here on is told by the
 * future, an unknown name too (REFUSED). When the window is full it does not wait. The caller owns *ret_future:
 * skua_pool_future_free(). ret_future may be NULL when nobody will ask: on_done then gets a future that it must not free.
 *
 * Returns: 0, or SKUA_E_AGAIN (the window is full), SKUA_E_BAD_ARGUMENT, SKUA_E_BAD_NAME, SKUA_E_TOO_BIG,
 * SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED; then no task exists and the input is the caller's.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_submit(skua_pool *pool, const skua_task *task,
                                                      skua_pool_future **ret_future,
                                                      skua_error *err);

/**
 * As skua_pool_submit(), but waits while the window is full. timeout_ms: 0 and SKUA_UNLIMITED wait for ever; SKUA_NONE.
 *
 * Returns: as skua_pool_submit(), and SKUA_E_TIMEOUT.
 * Threads: any but a task's and on_done. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_submit_wait(skua_pool *pool, const skua_task *task,
                                                           int64_t timeout_ms,
                                                           skua_pool_future **ret_future,
                                                           skua_error *err);

/**
 * Waits until every task that was submitted has ended. timeout_ms: 0 and SKUA_UNLIMITED wait for ever; SKUA_NONE.
 *
 * Returns: 0, or SKUA_E_TIMEOUT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any but a task's and on_done. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_await_all(skua_pool *pool, int64_t timeout_ms,
                                                         skua_error *err);

/**
 * Stops running peers' tasks in good order: none is taken any more, those that wait are handed back to their
 * submitters (who run them elsewhere), those that run are finished. Own tasks go on.
 *
 * Returns: 0 when none runs any more, or SKUA_E_TIMEOUT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any but a task's. Blocks: up to timeout_ms (0: 5,000; SKUA_UNLIMITED, SKUA_NONE). Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_drain(skua_pool *pool, int64_t timeout_ms,
                                                     skua_error *err);

/* ---- Futures ---- */

/**
 * Waits until the task has ended, however it did. timeout_ms: 0 and SKUA_UNLIMITED wait for ever; SKUA_NONE looks only.
 *
 * Returns: 0, or SKUA_E_TIMEOUT (also with SKUA_NONE).
 * Threads: any but a task's and on_done, several at once. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_wait(skua_pool_future *future, int64_t timeout_ms,
                                                    skua_error *err);

/**
 * How the task ended. Set ret_result->size to sizeof *ret_result before.
 *
 * Returns: 0, or SKUA_E_AGAIN (it has not ended), SKUA_E_BAD_ARGUMENT.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_result(skua_pool_future *future,
                                                      skua_task_result *ret_result,
                                                      skua_error *err);

/**
 * Asks that the task end CANCELLED. One that waits, or runs on a peer, ends so at once; the peer is told over the control
 * link, drops it if it has not started and else shows it skua_task_cancelled(). One that runs here ends at once too, or, when its
 * input is borrowed (keep_input), when its function returns. One that has ended stays as it is.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_pool_cancel(skua_pool_future *future);

/**
 * Why the task went where it went: the last decision in words and numbers, such as "b: wait 0.2 ms + move 0.1 ms + round
 * trip 0.2 ms + run 3.9 ms = 4.4 ms; local: 8.1 ms". A device stands there as "device 0 (its name)", with the time that a
 * launch takes in place of the round trip, and a launch that was sent somewhere to learn from it says so.
 *
 * Returns: ret, filled and cut to ret_size.
 * Threads: any, before the pool is closed. Blocks: never. Since 0.1.
 */
SKUA_API char *skua_pool_explain(skua_pool_future *future, char *ret, size_t ret_size);

/**
 * Frees a future with its output. A task that has not ended goes on and nobody hears of it; its on_done is still
 * called. Takes NULL.
 *
 * Returns: NULL.
 * Threads: one; no other call on the future may run. Blocks: never. Since 0.1.
 */
SKUA_API skua_pool_future *skua_pool_future_free(skua_pool_future *future);

/* ---- What a pool counts ---- */

/* The library fills at most `size` bytes: fields are only ever added at the end. */
typedef struct skua_pool_counters {
    size_t size;
    uint64_t submitted;
    uint64_t
        ended[8];     /* by skua_outcome; together with waiting and in_flight they make submitted */
    uint64_t waiting; /* now: in our queue */
    uint64_t in_flight; /* now: handed to the executor or a peer */
    uint64_t attempts;  /* handed over so far */
    uint64_t retries;   /* of these, not a task's first */
    uint64_t
        infrastructure_failures;   /* attempts that ended with a node's death or an expired lease */
    uint64_t application_failures; /* attempts that ended with EXIT */
    uint64_t results_fenced;       /* results of attempts that no longer counted: dropped */
    uint64_t handed_back;          /* attempts that a node returned unstarted */
    uint64_t poisoned;             /* tasks given up after SKUA_TASK_POISON_WORKERS deaths */
    uint64_t submit_again;         /* submissions that found the window full */
    uint64_t served;               /* peers' tasks that ended here, however */
    uint64_t served_inline;        /* of these, run on the thread that received them */
    uint64_t served_handed_back;
    uint64_t served_busy_ns;    /* of peers' functions here, together */
    uint64_t served_waiting;    /* now */
    uint64_t served_running;    /* now */
    uint64_t dropped_malformed; /* frames that could not be understood */
    uint64_t quarantines;       /* of nodes: see quarantine_ms */
    uint64_t served_too_large;  /* of served: launches that asked for more than serve_queue_bytes */
} skua_pool_counters;

/**
 * Copies the counters out. Set ret_counters->size to sizeof *ret_counters before.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_stats(skua_pool *pool,
                                                     skua_pool_counters *ret_counters,
                                                     skua_error *err);

struct skua_metrics;

/**
 * The pool's table of metrics, for skua_metrics_snapshot(): the sums that are worth watching, by registered names
 * ("pool.submitted"); skua_pool_stats() has each cause by itself.
 *
 * Returns: a table that lives until skua_pool_close(), or NULL when pool is NULL.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const struct skua_metrics *skua_pool_metrics(skua_pool *pool);

typedef enum skua_backend_kind {
    SKUA_BACKEND_LOCAL = 1,  /* our executor */
    SKUA_BACKEND_REMOTE = 2, /* a peer's pool */
    SKUA_BACKEND_DEVICE = 3, /* a device of our own: launches of kernels only */
} skua_backend_kind;

/* One place where tasks of ours run, or ran. The library fills at most `size` bytes. */
typedef struct skua_pool_backend {
    size_t size;
    int32_t kind;  /* skua_backend_kind */
    uint8_t alive; /* 0: gone; the figures stay */
    uint8_t reserved[3];
    char name[64]; /* the node's, "local" for an executor without a node; the device's */
    char id[40];   /* the node's UUID as text; "" without a node */
    uint32_t workers;
    uint32_t in_flight;  /* now, of ours */
    uint32_t limit;      /* how many of ours it would be given now */
    uint32_t task_names; /* that it offers */
    uint64_t tasks;      /* of ours that ended there, with a result that counted */
    uint64_t retries;    /* attempts of ours that it cost: its deaths, expired leases, hand-backs */
    uint64_t sent_bytes; /* inputs */
    uint64_t received_bytes; /* outputs */
    uint64_t busy_ns;        /* of functions there, for us, together */
    int64_t
        round_trip_ns; /* smoothed, without the functions' time and without queueing; -1: unknown */
    int64_t bandwidth_bytes_s; /* smoothed; -1: unknown */
    int64_t quarantined_ms;    /* it is given nothing for so long from now on; 0: it is */
} skua_pool_backend;

/**
 * Lists where tasks of ours run or ran. ret_backends is the caller's array of `capacity` structs of `backend_size` bytes
 * each (sizeof(skua_pool_backend) of the caller's header); it may be NULL when capacity is 0.
 *
 * Returns: 0 with the number of backends in *ret_count, which may be above capacity: then the first `capacity` were
 * written. SKUA_E_BAD_ARGUMENT, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pool_backends(skua_pool *pool,
                                                        skua_pool_backend *ret_backends,
                                                        size_t backend_size, size_t capacity,
                                                        size_t *ret_count, skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
