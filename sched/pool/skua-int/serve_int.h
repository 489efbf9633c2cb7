// SPDX-License-Identifier: MPL-2.0
// The inside of the pool that peers see: its receiving thread (serve.c), its runners and results (serve_run.c), peers'
// launches of kernels (serve_forward.c), its opening and its end (serve_end.c).
#ifndef SKUA_INT_SERVE_INT_H
#define SKUA_INT_SERVE_INT_H

#include <skua-int/handle.h>
#include <skua-int/pool_int.h>
#include <skua/msg.h>

/*
 * One thread receives. It sorts each message's tasks under the handle's lock: those of functions that are known to be short
 * are run at once, without the lock; the others wait in a queue per priority. Runners are jobs of the executor that
 * take from the queues; there are at most as many as workers. Results gather in the link's stage and leave when few
 * messages are unconfirmed, or when the stage is full. The handle's lock guards everything here but what is said to be
 * the receiving thread's own.
 *
 * A launch of a kernel is no runner's: it is submitted to our own pool, which knows the cores and the devices, and no
 * thread is held by it. It counts as running from then on.
 *
 * A task is run inline only when nothing waits in the queues, so that tasks of one submitter and priority start in the
 * order in which they came.
 */

enum {
    SKUA__SERVE_INLINE_AT_ONCE = 256,     /* tasks that are run between two looks at the lock */
    SKUA__SERVE_STAGE_BYTES = 64 * 1024,  /* results that leave as one message */
    SKUA__SERVE_STAGE_SLACK_BYTES = 4096, /* so much more is left free: a small entry always fits */
    SKUA__SERVE_EARLY_CANCELS = 64,       /* of tasks that have not arrived yet */
};

/* A received message, shared by the tasks whose inputs lie in it. */
typedef struct skua__served_batch {
    uint32_t refs;
    skua_msg *msg;
} skua__served_batch;

/* One task of a peer's that waits or runs. */
typedef struct skua__served {
    skua__list link; /* in a queue, or in running */
    skua__served_batch *batch;
    uint64_t link_id; /* of its submitter */
    skua__uuid submitter;
    uint64_t id, epoch;
    uint8_t priority;
    bool closing_cancelled; /* it was cancelled because we close, not because its submitter asked */
    int64_t came_ns;
    skua__function *function;
    skua_pool_future *future; /* of a launch that our own placement runs; NULL: a worker runs it */
    uint64_t forwarded_bytes; /* of such a one */
    skua__server *server;
    struct skua_task_call call;
} skua__served;

/* What a submitter's link has of ours: set as the link's user. */
typedef struct skua__stage {
    skua__list node; /* in server->stages */
    skua__link *link;
    uint32_t lease_ms;
    bool nothing_follows; /* it heard that we go, and has sent its last */
    uint64_t heard;       /* closing: skua__link_heard() at the last look */
    int64_t silent_ns;    /* since then */
    uint16_t entries;
    size_t used; /* of bytes, head included */
    uint8_t bytes[SKUA__SERVE_STAGE_BYTES + SKUA__SERVE_STAGE_SLACK_BYTES];
} skua__stage;

typedef struct skua__runner {
    skua_job job;
    skua__server *server;
    bool active;
} skua__runner;

typedef struct skua__inline_run {
    uint64_t id, epoch;
    skua__function *function;
    uint8_t outcome;
    int code;
    int64_t run_ns;
    skua__task_request request; /* for when it has to wait for a worker after all */
    struct skua_task_call call;
} skua__inline_run;

typedef struct skua__early_cancel {
    skua__uuid submitter;
    uint64_t id, epoch;
} skua__early_cancel;

/* serve_end.c has the table. */
typedef enum skua__serve_state {
    SKUA__SERVE_TAKES = 0,
    SKUA__SERVE_DRAINS = 1,
    SKUA__SERVE_CLOSES = 2,
} skua__serve_state;

struct skua__server {
    skua__handle handle;
    skua_pool *pool;
    pthread_t thread;
    bool thread_started, open, receiving; /* the opening's and the close's own */
    skua__serve_state state;

    skua__list queue[SKUA__POOL_PRIORITIES];
    uint32_t passed[SKUA__POOL_PRIORITIES];
    uint32_t waiting;
    uint64_t waiting_bytes;
    skua__list running;
    uint32_t running_count;
    uint32_t forwarded;       /* of these, launches that our own placement runs */
    uint64_t forwarded_bytes; /* what they take: they do not count in the pool's window */
    skua__runner *runners;
    uint32_t runner_count, runners_active;
    skua__list stages;
    int64_t renew_ns;      /* when leases are renewed next; SKUA_NEVER_NS */
    uint32_t queue_told;   /* the "queue" that our record says */
    int64_t queue_told_ns; /* since when */
    skua__early_cancel cancels[SKUA__SERVE_EARLY_CANCELS];
    uint32_t cancel_count; /* ever: the newest stand in the ring */

    uint64_t count_served, count_inline, count_handed_back, count_malformed, busy_ns;
    uint64_t count_too_large; /* launches that asked for more memory than there is for peers */

    /* Tasks of one link that the receiving thread runs, or is about to; it alone changes them. */
    skua__inline_run *inlines;
    uint32_t inline_count;
    uint64_t inline_link;
    skua__uuid inline_submitter;
};

/* ---- serve.c ---- */
extern const skua__pattern_ops skua__server_ops;
void *skua__server_receive(void *arg); /* the receiving thread; it holds the handle */
void skua__server_control(void *arg, const skua__identity *from, const void *bytes, size_t size);

/* ---- serve_end.c ---- */
/* Tells in the node's record how many wait, when it is time; returns when to come again. */
int64_t skua__server_tell_queue_locked(skua__server *server, int64_t now_ns);
/* Something that a drain or a close waits for may hold now. */
void skua__server_moved_locked(skua__server *server);

/* ---- serve_run.c; all with the handle's lock held ---- */
skua__stage *skua__stage_of(skua__server *server,
                            uint64_t link_id); /* NULL: that submitter is gone */
void skua__stage_reset(skua__stage *stage);
void skua__stage_send(skua__server *server, skua__stage *stage);
/* Sends what is staged, unless so much is on its way that it had better gather. */
void skua__stage_flush(skua__server *server, skua__stage *stage);
void skua__stage_result(skua__server *server, skua__stage *stage, const skua__task_result *result);
void skua__stage_call(skua__server *server, skua__stage *stage, uint64_t id, uint64_t epoch,
                      uint8_t outcome, int code, int64_t run_ns, const struct skua_task_call *call);
/* A task that never started here goes back: SKUA__TASK_HANDED_BACK or _NOT_OFFERED. */
void skua__stage_back(skua__server *server, skua__stage *stage, uint64_t id, uint64_t epoch,
                      uint8_t status);
skua__task_head skua__server_head(const skua__server *server, skua__task_frame frame,
                                  uint16_t entries);
/* Sends two pieces as one message. */
void skua__server_send(skua__server *server, skua__link *link, const uint8_t *head,
                       size_t head_size, const uint8_t *body, size_t body_size);
uint8_t skua__server_call(const skua__function *function, struct skua_task_call *call,
                          int *ret_code, int64_t *ret_run_ns);
void skua__served_free(skua__server *server, skua__served *task);
void skua__server_start_runners(skua__server *server);
skua_status skua__server_make_runners(skua__server *server);
/* A task that ran has ended: its result is staged, and it is freed. */
void skua__served_finish(skua__server *server, skua__served *task, uint8_t outcome, int code,
                         int64_t run_ns);

/* ---- serve_forward.c ---- */
/* Submits a peer's launch, which lies in running, to our own pool. Returns false when that was not possible. */
bool skua__served_forward(skua__server *server, skua__served *task);
/* Asks that a task that runs give up. */
void skua__served_cancel(skua__served *task);

/* Takes the handle's lock, until skua__handle_leave(). For all who hold the handle or are waited for by its close. */
void skua__server_lock(skua__server *server);

#endif
