// SPDX-License-Identifier: MPL-2.0
// Requests in batches: many small ones become one launch of a kernel, which the pool runs on the cores, a device or a peer,
// whichever it predicts to be done first; or one task of a function, on the cores or a peer. Meant for models that answer 32
// requests in little more than the time of one. Each request has an end of its own, and its latency is counted.
#ifndef SKUA_BATCH_H
#define SKUA_BATCH_H

#include <skua/launch.h>
#include <skua/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SKUA_BATCH_MAX_REQUESTS = 4096,            /* of one batch */
    SKUA_BATCH_MAX_QUEUE = 1 << 20,            /* the most that queue_max may ask for */
    SKUA_BATCH_MAX_IN_FLIGHT = 1024,           /* the most that in_flight_max may ask for */
    SKUA_BATCH_MAX_WAIT_US = 60 * 1000000,     /* the most that wait_us may ask for */
    SKUA_BATCH_DEFAULT_REQUESTS = 32,          /* requests_max */
    SKUA_BATCH_DEFAULT_BYTES = 4 << 20,        /* bytes_max */
    SKUA_BATCH_DEFAULT_WAIT_US = 500,          /* wait_us */
    SKUA_BATCH_DEFAULT_IN_FLIGHT = 4,          /* in_flight_max */
    SKUA_BATCH_DEFAULT_QUEUE = 4096,           /* queue_max */
    SKUA_BATCH_DEFAULT_QUEUE_BYTES = 64 << 20, /* queue_bytes_max */
};

typedef struct skua_batch skua_batch;

/* ---- The submitter's side ---- */

/*
 * How requests are batched. Make one with SKUA_BATCH_OPTIONS(.wait_us = 500) in C, with skua_batch_options_init() elsewhere.
 * allocator is borrowed until skua_pool_close().
 *
 * A batch leaves, in the order in which requests came, as soon as one of in_flight_max places is free and (a) it is full, by
 * requests_max or bytes_max, or (b) its oldest request has waited wait_us, or (c) no batch is in flight. (c) because nothing
 * is gained by waiting beside an idle backend, and under load the batch in flight gathers the next one by itself; set
 * hold_when_idle where a run costs more than the wait, as on a rented or a shared device.
 */
typedef struct skua_batch_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the pool's */
    uint32_t requests_max;           /* of one batch. 0: 32 */
    uint32_t bytes_max;              /* of the requests of one batch. 0: 4 MiB */
    int32_t wait_us;                 /* see (b). 0: 500; SKUA_NONE: no wait */
    uint32_t in_flight_max;          /* batches that are submitted and not ended. 0: 4 */
    uint32_t queue_max;              /* requests that wait; one more is SKUA_E_AGAIN. 0: 4096 */
    uint32_t queue_bytes_max;        /* of these, likewise; one alone is always let in. 0: 64 MiB */
    uint32_t version; /* of the task. 0: the highest that is offered. Not of a kernel */
    int32_t priority; /* of the task, or the launch: skua_priority */
    /* 1: a batch whose node dies runs again elsewhere. 0: it ends LOST. Of a kernel: always 1 */
    uint8_t idempotent;
    uint8_t hold_when_idle; /* 1: without (c) */
    uint8_t reserved_flags[6];
} skua_batch_options;

#define SKUA_BATCH_OPTIONS(...)                                                                    \
    (&(const skua_batch_options){.size = sizeof(skua_batch_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_batch_options_init(skua_batch_options *options, size_t size);

/* How one request ended. What it points to is borrowed until the skua_batch_done_fn returns. */
typedef struct skua_batch_result {
    size_t size;
    /*
     * 0; SKUA_E_TASK_FAILED (see code), SKUA_E_TIMEOUT (its deadline passed first), SKUA_E_CANCELLED (the batcher or its pool was
     * closed), SKUA_E_LOST, SKUA_E_REFUSED (nobody runs such tasks), SKUA_E_MALFORMED (the task's output was no
     * answer to this batch), SKUA_E_NO_MEMORY, SKUA_E_CLOSED (the pool is closing)
     */
    int32_t status;
    int32_t code;       /* SKUA_E_TASK_FAILED: the answer's own code, else the task's; else 0 */
    const void *answer; /* with status 0, else NULL */
    size_t answer_bytes;
    int64_t latency_ns;      /* from skua_batch_submit() to this call */
    uint32_t batch_requests; /* that were in its batch; 0: it never left */
    uint32_t reserved;
    const char *node;    /* that ran it last, as in skua_task_result; "" when none did */
    const char *message; /* why it did not end well; "" when it did */
    int64_t
        wait_ns; /* of latency_ns, until its batch left the queue; 0: it never left. Since 0.1 */
} skua_batch_result;

/*
 * Called once for each request that was taken, under no lock, on a thread of the pool's, the executor's or the batcher's own, in
 * the order of submission within a batch. It may call skua_batch_submit(); it must not block, and must not close the batcher.
 */
typedef void (*skua_batch_done_fn)(void *done_arg, const skua_batch_result *result);

/**
 * Opens a batcher in front of the tasks of a name: a registered function that reads and answers batches with the functions
 * below, here or on peers. It has one thread, which sleeps until a batch is to leave or a deadline passes. Copies
 * task_name and options (which may be NULL); borrows pool until skua_batch_close(), which comes before
 * skua_pool_close(). The caller owns *ret_batch.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT (names the option), SKUA_E_BAD_NAME, SKUA_E_NO_MEMORY, SKUA_E_SYSTEM (no thread),
 * SKUA_E_FORKED. Whether anybody runs such tasks is told by the requests' ends: skua_pool_await_nodes() waits for one.
 * Threads: any. Blocks: never for long. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_batch_open(skua_batch **ret_batch, skua_pool *pool,
                                                     const char *task_name,
                                                     const skua_batch_options *options,
                                                     skua_error *err);

/**
 * Opens a batcher in front of a registered kernel: the requests of a batch are one launch, which takes the pool's way of any launch:
 * where it is predicted to end first, by parts at several places when request->split is set, and again elsewhere when a
 * device or a peer fails. A batcher of a kernel has one thread, as one of tasks.
 *
 * `request` is the launch of one request. What stands in its args is of two kinds:
 *   - a *row*: memory with bytes, and with neither data nor buffer. Each request has its own. In a batch of n the argument
 *     is n times as large, request i's row at i * bytes, and the launch has n * global[0] work-items in its first dimension:
 *     those from i * global[0] on are request i's. Other dimensions are as they are.
 *   - all else is *shared*: values and scratch memory; data, which goes along with every batch (to a peer too); and a buffer, which
 *     stays where it is, on this machine, so that no peer runs the batches. Shared memory is read only.
 * A request's bytes are its rows of IN and INOUT parameters, one behind the other, in the order of the parameters, with nothing
 * between them; an answer's are those of OUT and INOUT, likewise. So with one row in and one out they are these rows. A kernel
 * finds the request that a work-item belongs to by dividing its index, and how many there are from the launch's size.
 *
 * Copies request, its args and values, and options (which may be NULL; its priority counts, and the launch's and its timeout_ms do
 * not). Borrows pool, shared data and buffers until skua_batch_close(), which comes before skua_pool_close(). The caller owns
 * *ret_batch.
 *
 * Returns: 0, or SKUA_E_NOT_FOUND (no such kernel is registered), SKUA_E_BAD_ARGUMENT (names the option, or what is wrong with the
 * launch of one request or of the largest batch), SKUA_E_TOO_BIG (such a batch does not fit into a launch: lower requests_max),
 * SKUA_E_UNSUPPORTED (it is to be split and cannot be), SKUA_E_NO_MEMORY, SKUA_E_SYSTEM (no thread), SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never for long. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_batch_open_kernel(skua_batch **ret_batch, skua_pool *pool,
                                                            const skua_launch *request,
                                                            const skua_batch_options *options,
                                                            skua_error *err);

/**
 * Takes one request; done tells its end (NULL: nobody will hear). Copies data, which may be NULL when data_bytes is 0.
 * deadline_ms, from now on (0 and SKUA_UNLIMITED: none; SKUA_NONE: now): a request that waits when it passes ends
 * SKUA_E_TIMEOUT then and never starts; one that is in flight ends with its batch, SKUA_E_TIMEOUT when that comes too late.
 * A batch all of whose requests have deadlines is given up at the latest of them. While the pool's own window is full,
 * deadlines of requests that came since are told late. The call that fills a batch, or finds nothing in flight, sends it, unless more than
 * 256 KiB wait, a deadline passes just then, or an older batch waits for room: that is left to the batcher's thread.
 *
 * Returns: 0, or SKUA_E_AGAIN (queue_max or queue_bytes_max wait), SKUA_E_TOO_BIG (over bytes_max), SKUA_E_BAD_ARGUMENT (of a
 * kernel also: these are not the bytes of its rows), SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED; then done is not called.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_batch_submit(skua_batch *batch, const void *data,
                                                       size_t data_bytes, skua_batch_done_fn done,
                                                       void *done_arg, int64_t deadline_ms,
                                                       skua_error *err);

/* One request of somebody who waits for its end, or may want to cancel it. */
typedef struct skua_batch_future skua_batch_future;

/**
 * As skua_batch_submit(), but the end is kept in a future. The caller owns *ret_future: skua_batch_future_free().
 *
 * Returns: as skua_batch_submit().
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_batch_ask(skua_batch *batch, const void *data,
                                                    size_t data_bytes, int64_t deadline_ms,
                                                    skua_batch_future **ret_future,
                                                    skua_error *err);

/**
 * Waits until the request has ended, however it did. timeout_ms: 0 and SKUA_UNLIMITED wait for ever; SKUA_NONE looks only.
 * ret_result may be NULL; else set its size before. The answer (NULL when it has no bytes), node and message that it leads to
 * are the future's.
 *
 * Returns: 0 with *ret_result filled, SKUA_E_TIMEOUT, SKUA_E_BAD_ARGUMENT. How the request ended is ret_result->status.
 * Threads: any but a task's and a done's, several at once. Also after skua_batch_close(). Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_batch_wait(skua_batch_future *future, int64_t timeout_ms,
                                                     skua_batch_result *ret_result,
                                                     skua_error *err);

/**
 * Takes a request that waits out of the queue: it ends SKUA_E_CANCELLED in this call, and costs the others nothing. One that has
 * left ends with its batch. Takes NULL.
 *
 * Returns: true when it was in time.
 * Threads: any; it counts as a call on the batcher until the request has ended. Blocks: never. Since 0.1.
 */
SKUA_API bool skua_batch_cancel(skua_batch_future *future);

/**
 * Frees a future with its answer. A request that has not ended goes on and nobody hears of it. Takes NULL.
 *
 * Returns: NULL.
 * Threads: one; no other call on the future may run. Blocks: never. Since 0.1.
 */
SKUA_API skua_batch_future *skua_batch_future_free(skua_batch_future *future);

/**
 * Waits until every request that was taken has ended and its done has returned. timeout_ms: 0 and SKUA_UNLIMITED wait for
 * ever; SKUA_NONE looks only.
 *
 * Returns: 0, or SKUA_E_TIMEOUT, SKUA_E_BAD_ARGUMENT, SKUA_E_FORKED.
 * Threads: any but a task's and a done's. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_batch_await_all(skua_batch *batch, int64_t timeout_ms,
                                                          skua_error *err);

/*
 * What a batcher counts. requests = ended_ok + ended_timeout + ended_cancelled + ended_failed + waiting + those in flight.
 * Latencies are of requests that ended well, from submission to answer, since the opening, within 1.6 % (the max exactly); 0 before
 * the first.
 * The library fills at most `size` bytes.
 */
typedef struct skua_batch_counters {
    size_t size;
    uint64_t requests; /* taken */
    uint64_t refused;  /* not taken: SKUA_E_AGAIN */
    uint64_t ended_ok;
    uint64_t ended_timeout;
    uint64_t ended_cancelled;
    uint64_t ended_failed;   /* any other way */
    uint64_t batches;        /* that left */
    uint64_t batch_requests; /* that left in them */
    double mean_fill; /* batch_requests / batches / requests_max: 1 is full; 0 before the first */
    uint64_t waiting; /* now */
    uint64_t waiting_bytes;     /* now */
    uint64_t batches_in_flight; /* now */
    int64_t latency_p50_ns;
    int64_t latency_p99_ns;
    int64_t latency_max_ns;
    int64_t latency_p999_ns; /* Since 0.1, as all below */
    int64_t wait_p50_ns;     /* of the latency of a request: until its batch left, */
    int64_t wait_p99_ns;
    int64_t
        run_p50_ns; /* and of a batch: from its leaving to its end, the pool's own queue included */
    int64_t run_p99_ns;
    uint64_t size_p50; /* requests of a batch that has ended, */
    uint64_t size_max;
    uint64_t left_full; /* batches that left because they were full, */
    uint64_t left_idle; /* because nothing was in flight, */
    uint64_t
        left_waited; /* or because the oldest request had waited wait_us: the three make batches */
} skua_batch_counters;

/**
 * Copies the counters out. Set ret_counters->size to sizeof *ret_counters before.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_batch_stats(skua_batch *batch,
                                                      skua_batch_counters *ret_counters,
                                                      skua_error *err);

struct skua_metrics;

/**
 * The batcher's table of metrics, for skua_metrics_snapshot(), by registered names ("batch.latency_p99_ns"). Percentiles are of
 * this call, and brought up to date by ends that come later, every 100 ms. In the child of a fork() they are the parent's, as they were.
 *
 * Returns: a table that lives until skua_batch_close(), or NULL when batch is NULL.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const struct skua_metrics *skua_batch_metrics(skua_batch *batch);

/**
 * Why the batch that ended last went where it went, as skua_pool_explain() has it. "" before the first.
 *
 * Returns: ret, filled and cut to ret_size.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API char *skua_batch_explain(skua_batch *batch, char *ret, size_t ret_size);

/**
 * Ends a batcher: requests that wait, for room in the pool's window too, end SKUA_E_CANCELLED, those in flight end with their batches, which are waited for.
 * (For the answers of all, skua_batch_await_all() first.) Takes NULL. In the child of a fork() it does nothing.
 *
 * Returns: NULL.
 * Threads: one; no other call on the batcher may run, except skua_batch_submit() from a done. Not from a done or a task.
 * Blocks: until what is in flight has ended. Since 0.1.
 */
SKUA_API skua_batch *skua_batch_close(skua_batch *batch);

/* ---- The task's side ---- */

/*
 * A batch as its task sees it. It lies in the function's own memory; skua_batch_read() fills it in and only the functions below
 * look at what is reserved. On the wire a batch is (all little-endian): "skB1", the number of requests as 4 bytes, 8 zero
 * bytes; for each request the 4-byte end of its bytes, counted from the first one's beginning; zero bytes up to a multiple of
 * 16; the requests' bytes, one behind the other. Answers are laid out likewise, with "skA1" and, for each, its code before
 * its end. So requests of one size are a matrix of one row each, and so are answers.
 */
typedef struct skua_batch_work {
    skua_task_call *call;
    uint32_t requests;  /* at least 1 */
    uint32_t row_bytes; /* the size of every request when they have one size, else 0 */
    const void *rows;   /* all requests' bytes, as aligned as the task's input, up to 16 */
    const void *reserved[2];
} skua_batch_work;

/**
 * Reads and checks the batch that is a task's input. *ret_work and what it leads to live as long as the call.
 *
 * Returns: 0, or SKUA_E_MALFORMED (the input is no batch), SKUA_E_BAD_ARGUMENT.
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_batch_read(skua_task_call *call,
                                                     skua_batch_work *ret_work);

/**
 * The bytes of request i, not aligned unless all before it were so long that they are. Borrowed as the task's input.
 *
 * Returns: the bytes, with their number in *ret_bytes (which may be NULL); NULL when i is not below work->requests.
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API const void *skua_batch_request(const skua_batch_work *work, uint32_t i, size_t *ret_bytes);

/**
 * Makes room for an answer of row_bytes bytes to each request, one row behind the other (not cleared), aligned for any number: a
 * model writes its output there. The function then returns 0. It replaces what was answered before.
 *
 * Returns: 0 with the room in *ret_rows, or SKUA_E_TOO_BIG, SKUA_E_NO_MEMORY, SKUA_E_BAD_ARGUMENT.
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_batch_rows(const skua_batch_work *work, size_t row_bytes,
                                                     void **ret_rows);

/* An answer of its own size, or (code is not 0) the failure of this request alone, whose bytes are not told. */
typedef struct skua_batch_reply {
    const void *bytes; /* may be NULL when size_bytes is 0 */
    size_t size_bytes;
    int32_t code;
    uint32_t reserved;
} skua_batch_reply;

/**
 * Answers the batch with copies of replies[0] to replies[work->requests - 1]. The function then returns 0.
 *
 * Returns: 0, or SKUA_E_TOO_BIG, SKUA_E_NO_MEMORY, SKUA_E_BAD_ARGUMENT.
 * Threads: the function's own. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_batch_answer(const skua_batch_work *work,
                                                       const skua_batch_reply *replies);

#ifdef __cplusplus
}
#endif
#endif
