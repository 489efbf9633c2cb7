// SPDX-License-Identifier: MPL-2.0
// The inside of a batcher, for sched/pool/batch_*.c and their tests.
#ifndef SKUA_INT_BATCH_H
#define SKUA_INT_BATCH_H

#include <skua-int/histogram.h>
#include <skua-int/list.h>
#include <skua-int/metrics.h>
#include <skua-int/thread.h>
#include <skua/batch.h>
#include <skua/launch.h>

/*
 * batch_open.c     options, opening, closing
 * batch_collect.c  the queue, the rule by which a batch leaves it, the thread
 * batch_send.c     a batch becomes a task or a launch, and that one's end
 * batch_layout.c   requests and answers as a task's bytes
 * batch_kernel.c   requests as rows of a launch's arguments, and its results as answers
 * batch_end.c      how each request ends
 * batch_future.c   requests that somebody waits for
 * batch_numbers.c  what is counted, and told
 *
 * Every request that was taken is in exactly one place: the queue, a batch being sent (the sender's own list), or a flight. Whoever
 * unlinks it from there ends it, so that it ends once.
 */

/* ---- The layout of a task's batch (batch_layout.c): see skua_batch_work ---- */

/* The bytes of a batch of so many requests with data_bytes bytes together. */
size_t skua__batch_input_bytes(uint32_t requests, size_t data_bytes);

/* Writes the head of a batch into room; the caller then sets each end and copies each request's bytes. */
void skua__batch_put_head(void *room, uint32_t requests);
/* Puts request i at [begin, begin + bytes) of the requests' bytes. Returns the next one's begin. */
size_t skua__batch_put(void *room, uint32_t requests, uint32_t i, size_t begin, const void *data,
                       size_t bytes);

/* A task's output, checked as the answers to `requests` requests: cut with skua__batch_cut(). */
typedef struct skua__batch_answers {
    const unsigned char *table, *data;
    uint32_t requests;
} skua__batch_answers;

/* Returns false when the output is anything else; then *ret is untouched. */
bool skua__batch_check(const void *output, size_t output_bytes, uint32_t requests,
                       skua__batch_answers *ret);
/* Answer i of checked ones, i < requests. Returns its code. */
int32_t skua__batch_cut(const skua__batch_answers *answers, uint32_t i, const void **ret_bytes,
                        size_t *ret_size);

/* ---- Requests, batches, and the batcher ---- */

typedef struct skua__batch_request {
    skua__list link;
    skua_batch_done_fn done;
    void *done_arg;
    struct skua_batch_future *future; /* that it is the request of; NULL: of none */
    int64_t taken_ns, deadline_ns;
    size_t bytes;
    unsigned char data[];
} skua__batch_request;

/* Why a batch left. */
typedef enum skua__batch_reason {
    SKUA__BATCH_FULL,
    SKUA__BATCH_IDLE,
    SKUA__BATCH_WAITED,
    SKUA__BATCH_REASONS,
} skua__batch_reason;

/* A batch on its way: on_done's argument. */
typedef struct skua__batch_flight {
    skua_batch *batch;
    skua__list requests;
    uint32_t count;
    skua__batch_reason reason;
    size_t bytes;       /* of the requests together */
    int64_t left_ns;    /* when it left the queue */
    int64_t latest_ns;  /* the latest of its deadlines */
    int64_t give_up_ns; /* a deadline of somebody who waits in the queue behind it */
} skua__batch_flight;

typedef struct skua__batch_kernel skua__batch_kernel;

/* A launch's results, checked as the answers to a batch of requests. */
typedef struct skua__batch_rows {
    const skua__batch_kernel *kernel;
    const unsigned char *output;
    size_t at[SKUA_KERNEL_MAX_PARAMS]; /* where each parameter's rows begin */
} skua__batch_rows;

struct skua_batch {
    const skua_allocator *hook;
    skua_pool *pool;
    skua_batch_options options; /* as they hold: no zeros */
    int64_t wait_ns;
    char task_name[SKUA_TASK_NAME_BYTES];
    skua__batch_kernel *kernel; /* NULL: it batches tasks */
    uint32_t fork_generation;
    pthread_t thread;
    bool
        no_wait; /* guarded by the pool's lock: the batcher is being closed, and its thread waits for no room */

    skua__mutex lock; /* guards all below; taken with no other, and no user code runs under it */
    skua__cond wake;  /* the thread: there may be something to do before sleep_until_ns */
    skua__cond all_ended; /* pending became 0 */
    bool closing;
    bool awaits_room;       /* the thread does, for an older batch than any that waits */
    int64_t sleep_until_ns; /* of the thread; 0: it is awake and looks by itself */
    skua__list queue;
    int64_t earliest_ns; /* no request of the queue has an earlier deadline */
    uint32_t in_flight;
    uint64_t pending;          /* requests whose done has not returned: what close waits for */
    skua_pool_future *newest;  /* of the batch that ended last, for skua_batch_explain(); NULL */
    skua_batch_counters count; /* what histograms hold is worked out when asked */
    skua__histogram latency, wait, run, size;
    int64_t told_ns;      /* when the metrics had their percentiles last */
    skua_metrics metrics; /* written under lock */
};

/* How a list of requests ended. */
typedef struct skua__batch_ending {
    skua_status status;
    int32_t code;
    const char *message, *node;
    const skua__batch_flight *flight; /* NULL: they never left */
    skua_pool_future
        *future; /* the flight's, which becomes the newest one; NULL: it was not submitted */
    skua__batch_answers answers; /* of a task, with status 0 only */
    skua__batch_rows rows;       /* of a launch, likewise */
} skua__batch_ending;

/* ---- batch_open.c ---- */

skua_status skua__batch_enter(const skua_batch *batch, skua_error *err);

/* ---- batch_collect.c ---- */

/*
 * Ends what has expired at now_ns and sends one batch if one is to leave then. Returns whether it did either. The batcher's
 * thread calls it with the clock's time; a test may call it with any other.
 */
bool skua__batch_step(skua_batch *batch, int64_t now_ns);
void *skua__batch_main(void *batch);
/* As skua_batch_submit(); future is NULL or the request's. */
skua_status skua__batch_take(skua_batch *batch, const void *data, size_t data_bytes,
                             skua_batch_done_fn done, void *done_arg, int64_t deadline_ms,
                             struct skua_batch_future *future, skua_error *err);
/* Takes a request out of the queue. */
void skua__batch_unqueue_locked(skua_batch *batch, skua__batch_request *waiting, skua__list *to);
/*
 * Sends a batch if one is to leave now, on the thread that made it so: one that waits for a wake-up leaves the backend idle. Large
 * ones are left to the batcher's thread.
 */
void skua__batch_send_next(skua_batch *batch);
/* Puts a batch that could not leave back to the front of the queue. */
void skua__batch_put_back(skua_batch *batch, skua__batch_flight *flown);
/* Wakes the thread when it would sleep for too long. */
void skua__batch_wake_locked(skua_batch *batch);

/* ---- batch_send.c ---- */

/*
 * Sends a batch. Without `patient` it waits for no room, ends nothing and tells nobody: what cannot be sent now goes back to the
 * queue, for the thread.
 */
void skua__batch_send(skua_batch *batch, skua__batch_flight *taken, bool patient);

/* ---- batch_end.c ---- */

/*
 * Ends all requests of a list, which nobody else has, and frees them. The place of their flight is free before user code
 * runs, so that the next batch does not wait for it. The batcher may be gone on return.
 */
void skua__batch_end(skua_batch *batch, skua__list *requests, const skua__batch_ending *how);

/* ---- batch_future.c ---- */

/* Its request waits in the queue. NULL: no more. */
void skua__batch_future_waits_locked(struct skua_batch_future *future,
                                     skua__batch_request *request);

/* ---- batch_numbers.c ---- */

/* A request was taken, or refused with this status. */
void skua__batch_count_taken_locked(skua_batch *batch, skua_status status);
/* A batch left the queue; back: it has come back to it. */
void skua__batch_count_left_locked(skua_batch *batch, const skua__batch_flight *flown, bool back);
/* A batch's task or launch has ended. */
void skua__batch_count_run_locked(skua_batch *batch, const skua__batch_flight *flown,
                                  int64_t now_ns);
void skua__batch_count_end_locked(skua_batch *batch, const skua_batch_result *result);
/* What waits or is in flight has changed: the metrics are told, and their percentiles now and then. */
void skua__batch_tell_locked(skua_batch *batch, int64_t now_ns);

/* ---- batch_kernel.c ---- */

/*
 * Checks a request's launch, for batches as large as the options allow, and copies it; skua__mem_free() ends it. Returns as
 * skua_batch_open_kernel().
 */
skua_status skua__batch_kernel_new(skua_pool *pool, const skua_allocator *hook,
                                   const skua_launch *request, const skua_batch_options *options,
                                   skua__batch_kernel **ret_kernel, skua_error *err);
size_t skua__batch_kernel_in_bytes(const skua__batch_kernel *kernel);  /* of each request */
size_t skua__batch_kernel_out_bytes(const skua__batch_kernel *kernel); /* of each answer */
/* Whether an answer lies in one piece in the results, so that no room is needed to put it together. */
bool skua__batch_kernel_is_whole(const skua__batch_kernel *kernel);
/* The bytes that the rows of a batch need. */
size_t skua__batch_kernel_room(const skua__batch_kernel *kernel, uint32_t requests);
/* The room that its launch takes in the pool's window. */
size_t skua__batch_kernel_input_bytes(const skua__batch_kernel *kernel, uint32_t requests);
/* Gathers a batch's rows in room, and makes its launch, whose arguments stand in ret_args (SKUA_KERNEL_MAX_PARAMS). */
void skua__batch_kernel_gather(const skua__batch_kernel *kernel, const skua__batch_flight *flown,
                               uint8_t *room, skua_kernel_arg *ret_args, skua_launch *ret_launch);
/* Checks a launch's results as those of a batch: cut with skua__batch_kernel_cut(). Returns false when there are too few. */
bool skua__batch_kernel_check(const skua__batch_kernel *kernel, uint32_t requests,
                              const void *output, size_t output_bytes, skua__batch_rows *ret);
/* Answer i. room: for one answer, used where it does not lie in one piece. */
const void *skua__batch_kernel_cut(const skua__batch_rows *rows, uint32_t i, void *room);

#endif
