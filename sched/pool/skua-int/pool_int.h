// SPDX-License-Identifier: MPL-2.0
// The inside of a pool: tasks, kinds, lanes and sites, and what its files ask of each other. For sched/pool alone.
#ifndef SKUA_INT_POOL_INT_H
#define SKUA_INT_POOL_INT_H

#include <skua-int/atomic.h>
#include <skua-int/clock.h>
#include <skua-int/cost.h>
#include <skua-int/fail.h>
#include <skua-int/hash.h>
#include <skua-int/lease_fsm.h>
#include <skua-int/list.h>
#include <skua-int/mem.h>
#include <skua-int/metrics.h>
#include <skua-int/placement.h>
#include <skua-int/quarantine.h>
#include <skua-int/task.h>
#include <skua-int/thread.h>
#include <skua/exec.h>
#include <skua/node.h>
#include <skua/pool.h>
#include <stdatomic.h>

/*
 * How a pool works
 *
 * A *kind* is a task's name and version, with what was learned about it at each site. A *site* is a place where tasks
 * run: our executor, or a peer's pool. A *lane* is a first-come-first-served queue per priority of the tasks of one
 * kind that may go to the same sites. Dispatch takes the oldest task of the most urgent lane whose choice of site is not to
 * wait, and grants it: the executor is given the job at once; a peer's task goes to the site's outbox and is encoded when its
 * link has room.
 *
 * Locks. `lock` guards everything here but what is said to be constant or atomic. It is taken inside the task link's lock
 * (remote.c) and inside nothing else; user code, links, the node and the executor's waiting calls run without it.
 * What must be done without it (send outboxes, tell holders of cancels, call on_done, wake those who wait on the task link) is
 * noted while it is held and done by skua__pool_leave() after it was released.
 */

enum {
    SKUA__POOL_PRIORITIES = 3,
    SKUA__POOL_AGEING = 16, /* a lower priority is passed over so often before it is served once */
    SKUA__TASK_INLINE_BYTES = 128, /* an output up to this size lies in the task itself */
    SKUA__TASK_SMALL_BYTES = 4096, /* an input up to this size is copied at once */
    SKUA__POOL_VERDICT_SITES = 4,  /* candidates that a decision's record keeps */
    SKUA__POOL_RETRY_NS =
        5 * 1000 * 1000, /* until dispatch tries again when an executor refused a job */
    SKUA__POOL_DEFAULT_ATTEMPTS = 5,
};

typedef struct skua__kind skua__kind;
typedef struct skua__lane skua__lane;
typedef struct skua__site skua__site;
typedef struct skua__remote skua__remote; /* remote.c: links to peers' pools */
typedef struct skua__server skua__server; /* serve.c: the pool that peers see */

/* A function under a name; constant once it is in the pool's list. */
typedef struct skua__function {
    skua__list link;
    char name[SKUA_NAME_BYTES];
    uint32_t version;
    skua_task_fn fn;
    void *arg;
    struct skua__kernel_entry *kernel; /* of a kernel: peers' launches go by our own placement */
    skua__run_cost served; /* guarded by the server's lock: how long it takes for peers */
} skua__function;

/* One run of a function: skua_task_call as the function sees it. */
struct skua_task_call {
    const skua_allocator *hook;
    const void *input;
    size_t input_bytes;
    void *output; /* small, or a block of the hook's */
    size_t output_bytes;
    char *message; /* a block of the hook's; NULL: none */
    int64_t deadline_ns;
    uint32_t attempt;
    atomic_bool cancelled;
    _Alignas(16) uint8_t small[SKUA__TASK_INLINE_BYTES]; /* as aligned as allocated outputs */
};

/* The record of a decision. */
typedef struct skua__verdict {
    uint8_t count;     /* candidates kept */
    uint8_t chosen;    /* of these */
    uint8_t of;        /* candidates that there were, at most 255 */
    uint8_t reason;    /* skua_select_reason of a launch; 0: none */
    bool not_on_peers; /* some offer it, but were no candidates since its arguments are buffers */
    struct {
        uint32_t site;
        float wait_us, move_us, round_us, run_us;
        uint64_t missing_bytes; /* of a launch */
    } places[SKUA__POOL_VERDICT_SITES];
} skua__verdict;

struct skua_pool_future {
    /* constant after submission */
    const skua_allocator *hook;
    size_t block_bytes; /* of its block: what else lies there goes with it */
    skua_pool *pool;    /* dead once the task has ended: looked at only before */
    skua__lane *lane;
    uint64_t id; /* also the order of submission */
    uint8_t priority;
    bool keep_input;
    bool prefer;  /* lane->node is only preferred */
    bool by_link; /* the pool has peers: who waits for its end does the task link's I/O */
    void (*free_fn)(void *input, void *hint);
    void *free_hint;
    void (*on_done)(void *arg, skua_pool_future *future);
    void *on_done_arg;
    int64_t submit_ns;
    struct skua__launch_task *launch; /* of a kernel's launch, a block of the hook's; else NULL */
    bool claimed;                     /* which has buffers, and so turns at them */

    atomic_uint refs; /* the user's, the pool's, and a run's here */
    atomic_uint
        ended; /* await.c: whether all that skua_pool_result() reads is there, and who waits */

    /* guarded by the pool's lock until it has ended */
    skua__list link; /* in a lane's queue, a site's outbox or held list, or the callbacks */
    skua__lease lease;
    skua__site *site;      /* that holds the lease; NULL: none */
    uint32_t slot;         /* in the pool's table */
    uint32_t link_waiters; /* by_link: threads that wait for its end */
    uint32_t heap_at;      /* in the pool's heap of deadlines, counted from 1; 0: not there */
    int64_t grant_ns, predicted_ns;
    bool alone;      /* it was granted to a site with a free worker */
    bool sent;       /* remote: it has left the outbox */
    bool run_active; /* a run on our cores or a device uses input and call */
    bool end_waits;  /* the lease has ended, but such a run still borrows the input */
    const void *input;
    size_t input_bytes;
    skua__verdict verdict;

    /* the result */
    int32_t code;
    int64_t run_ns, end_ns;
    void *output; /* call.small, or a block of the hook's */
    size_t output_bytes;
    char *message;      /* a block of the hook's, or NULL */
    const char *reason; /* a constant: why it ended so, when there is no message */
    char node[SKUA_NAME_BYTES];

    /* a local run */
    skua__function *function;
    skua_job job;
    struct skua_task_call call;
};

/* What a site is to one kind. */
typedef struct skua__offer {
    bool offered;
    skua__run_cost cost;
} skua__offer;

struct skua__kind {
    skua__list link; /* in pool->kinds */
    skua_pool *pool;
    uint32_t version; /* 0: any */
    uint32_t key_bytes;
    char key[SKUA_NAME_BYTES +
             8]; /* the name, a 0, the version: what the table is keyed by; the name as text */
    skua__function *function; /* that runs it here; NULL: none */
    skua__list lanes;
    skua__offer *offers; /* by site index */
    uint32_t offers_size;
    uint32_t offered;    /* sites that offer it now */
    uint32_t last_site;  /* where the newest one went */
    skua__run_cost cost; /* over all sites: the guess for one where it never ran */
};

struct skua__lane {
    skua__list link; /* in kind->lanes */
    skua__kind *kind;
    char node[SKUA_NAME_BYTES]; /* "" or the node that its tasks name */
    bool only;                  /* they run there or nowhere */
    int32_t on;                 /* of launches: SKUA_ON_ANY, or where alone they run */
    uint32_t
        place; /* of parts of a split launch: the id of where they run if that can be; 0: anywhere */
    uint32_t tasks;      /* not ended: the lane stays */
    int64_t orphaned_ns; /* since when no site offers them; SKUA_NEVER_NS: some do */
    skua__list queue[SKUA__POOL_PRIORITIES];
    skua__list ready[SKUA__POOL_PRIORITIES]; /* in pool->ready while the queue is not empty */
    uint64_t blocked_round;                  /* the dispatch round in which it had to wait */
};

struct skua__site {
    skua_pool *pool;
    skua_backend_kind backend;
    uint32_t index; /* in pool->sites */
    bool alive;
    char name[SKUA_NAME_BYTES]; /* for people: the node's, or the device's */
    char node[SKUA_NAME_BYTES]; /* on which it stands */
    skua__uuid uuid;
    uint32_t place; /* where launches run: the index in kernels->places, from 1; 0: none as yet */
    uint32_t workers;
    uint32_t others; /* tasks that are there and not ours, as it said last */
    uint32_t task_names;
    uint32_t in_flight;
    int64_t predicted_ns; /* of these */
    int64_t refused_ns;   /* it had no room although we thought so: not before this moment */
    skua__quarantine
        quarantine; /* outlives its deaths: the site of a node that comes back goes on */
    skua__way_cost way;
    skua__list outbox; /* granted, not yet given to the link or the device's engine */
    uint64_t outbox_bytes;
    skua__list held;    /* sent, in this order */
    skua__list cancels; /* skua__cancel: holders still to be told */
    bool flushing;      /* device.c: a thread empties the outbox */
    skua__list refused; /* device.c: runs that the engine did not take, and whose end is due */
    void *link;         /* remote.c's, as the next */
    uint64_t heard;     /* closing: skua__link_heard() when it was asked */
    uint64_t tasks, retries, sent_bytes, received_bytes, busy_ns;
};

struct skua_pool {
    const skua_allocator *hook;
    skua_node *node; /* borrowed, as the next */
    skua_exec *exec;
    skua_pool_options options; /* with the defaults filled in */
    uint32_t fork_generation;
    bool serves;                   /* peers' tasks; constant */
    skua__remote *remote;          /* NULL: no peers */
    skua__server *server;          /* NULL: peers see nothing */
    struct skua__kernels *kernels; /* NULL: none is registered; set once, under the lock */
    skua__aptr newest_kernel;      /* skua__kernel_entry; kernels.c */

    skua__mutex lock;
    skua__cond changed; /* something that somebody waits for may hold now: broadcast under lock */
    uint32_t waiters;   /* on changed */
    bool room_wanted; /* somebody who waits asked for room in the window, and was not woken since */
    bool closing;

    skua__list functions;
    uint32_t function_count;
    skua__list kinds;
    skua__hash kind_table;
    skua__site **sites;
    uint32_t site_count, site_size;
    skua__site *local; /* NULL: no executor */

    skua_pool_future **slots;
    uint32_t slot_count, slot_size;
    uint32_t *free_slots;
    uint32_t free_count;
    uint64_t next_id, next_epoch;
    uint64_t window_bytes; /* of inputs, now */
    uint32_t window_tasks;
    uint64_t forwarded_bytes; /* of these, of peers' launches: the server bounds them */
    uint32_t forwarded_tasks;
    uint32_t
        part_tasks; /* of them, parts of split launches: a launch takes one place in the window */
    uint32_t local_runs;     /* run_active */
    uint32_t claims;         /* of launches with buffers (kernel_turn.c) */
    uint32_t turn_waiting;   /* of these, not had yet */
    skua__list others_turns; /* claims of other pools to be told */
    skua__list unheld;       /* split launches that the executor took no job of as yet */

    skua__list ready[SKUA__POOL_PRIORITIES]; /* lanes whose queue is not empty */
    uint32_t waiting;                        /* tasks in lanes */
    uint32_t passed[SKUA__POOL_PRIORITIES];
    uint64_t round;
    uint64_t scan;    /* where the next choice begins to look when there are many sites */
    int64_t retry_ns; /* when dispatch has to be tried again; SKUA_NEVER_NS */
    int64_t sweep_ns; /* when leases are looked through again; SKUA_NEVER_NS */

    skua_pool_future **heap; /* by deadline */
    uint32_t heap_count, heap_size;

    /* what skua__pool_leave() has to do */
    skua__list callbacks;
    uint32_t callbacks_running;
    uint32_t
        settlers; /* threads that do what was noted, without the lock: a close waits for them */
    bool dirty_outboxes, dirty_cancels, dirty_devices;
    bool wake_remote; /* somebody waits on the task link and may be done */
    uint32_t remote_waiters;

    pthread_t service;
    bool service_started, service_stop;
    skua__cond service_wake;
    int64_t service_until_ns; /* when it will wake by itself */

    skua_pool_counters count;
    skua_metrics metrics; /* the registry's sums of them; written under any lock or none */
};

/* A lease given up whose holder is to be told. */
typedef struct skua__cancel {
    skua__list link;
    skua__task_lease_ref ref;
} skua__cancel;

/* ---- pool.c ---- */
/* The first line of each public call: SKUA_OK with the pool locked, or SKUA_E_CLOSED, SKUA_E_FORKED. */
skua_status skua__pool_enter(skua_pool *pool, skua_error *err);
/* The same for who needs no lock: SKUA_OK or SKUA_E_FORKED. */
skua_status skua__pool_check_fork(const skua_pool *pool, skua_error *err);
/* The last line: unlocks, and does what was noted. */
void skua__pool_leave(skua_pool *pool);
/* The same on a thread of the pool's or the executor's own, where user code (on_done, free_fn) may be called too. */
void skua__pool_leave_calling(skua_pool *pool);
/* The same for who holds another lock: the service thread does what was noted. */
void skua__pool_leave_noting(skua_pool *pool);
/*
 * Waits until ready(pool, arg), which is asked under the lock, is true. Not locked by the caller. Returns false when
 * deadline_ns passed first. While it waits, the calling thread does the task link's I/O.
 */
bool skua__pool_await(skua_pool *pool, bool (*ready)(skua_pool *pool, void *arg), void *arg,
                      int64_t deadline_ns);
bool skua__pool_has_notes_locked(const skua_pool *pool);
/* What somebody awaits may be true now. */
void skua__pool_changed_locked(skua_pool *pool);
/* The same when a task, or a run of one, has left: of interest to who waits for room, or for the last one. */
void skua__pool_left_locked(skua_pool *pool);
const char *skua__pool_node_name(const skua_pool *pool);
/* A result of an attempt that no longer counts. */
void skua__pool_fenced_locked(skua_pool *pool);

/* ---- await.c ---- */
/* Whether the task has ended: then its result is there. */
bool skua__task_ended(const skua_pool_future *task);
/* Its result is complete: tells those who wait for it. The caller holds a reference. */
void skua__task_publish_end(skua_pool_future *task);
/* Waits for its end, by which alone the thread is woken. Returns false when deadline_ns passed first. */
bool skua__task_await(skua_pool_future *task, int64_t deadline_ns);

/* ---- kinds.c ---- */
/* The kind of name and version, or NULL. */
skua__kind *skua__kind_find_locked(skua_pool *pool, const char *name, uint32_t version);
/* The same, made when it is missing; NULL: no memory. */
skua__kind *skua__kind_get_locked(skua_pool *pool, const char *name, uint32_t version);
/* What a site is to the kind; NULL: no memory. */
skua__offer *skua__kind_offer_locked(skua_pool *pool, skua__kind *kind, const skua__site *site);
/* The site offers (or no longer offers) tasks of this name and version, and so those of any version. */
skua_status skua__kind_set_offered_locked(skua_pool *pool, const char *name, uint32_t version,
                                          const skua__site *site);
void skua__kinds_forget_site_locked(skua_pool *pool, const skua__site *site);
skua__lane *skua__lane_get_locked(skua_pool *pool, skua__kind *kind, const char *node, bool only,
                                  int32_t on, uint32_t place);
/* One task fewer: an empty lane that names a node or a place is freed. */
void skua__lane_put_locked(skua_pool *pool, skua__lane *lane);
/* Whether a site's tasks may go there by name. */
bool skua__lane_allows(const skua__lane *lane, const skua__site *site);
/* Looks whether some site still offers each lane's tasks. */
void skua__lanes_review_locked(skua_pool *pool, int64_t now_ns);
/* "2 peers; offered: hash, blur". Returns ret. */
char *skua__kinds_text_locked(skua_pool *pool, char *ret, size_t ret_size);
void skua__kinds_fini(skua_pool *pool);
/* Registers a function, and offers it here when there is an executor and cores is set. The caller fills in what is left. */
skua_status skua__function_add_locked(skua_pool *pool, const char *name, uint32_t version,
                                      bool cores, skua__function **ret_function, skua_error *err);
/* The function that runs such tasks here; version 0: the highest. */
skua__function *skua__function_find_locked(const skua_pool *pool, const char *name,
                                           size_t name_bytes, uint32_t version);

/* ---- sites.c ---- */
/* The living site of a name, a new one or a dead one that lives again; NULL: no memory, or too many. */
skua__site *skua__site_get_locked(skua_pool *pool, skua_backend_kind backend, const char *name,
                                  const char *node, const skua__uuid *uuid);
/* What has not been sent to the site goes back to its queue. */
void skua__site_take_back_locked(skua_pool *pool, skua__site *site);
/* The site is gone: what it held is given up, by the rules of its lease. died: and not in good order. */
void skua__site_down_locked(skua_pool *pool, skua__site *site, bool died);
/* A task failed there for no fault of its own. */
void skua__site_failed_locked(skua_pool *pool, skua__site *site, const skua_pool_future *task,
                              int64_t now_ns);
/* The figures of a candidate. */
void skua__site_place_locked(skua_pool *pool, skua__kind *kind, skua__site *site,
                             const skua_pool_future *task, int64_t now_ns, skua__place *ret_place);

/* ---- dispatch.c ---- */
void skua__queue_push_locked(skua_pool *pool, skua_pool_future *task, bool front);
void skua__queue_remove_locked(skua_pool *pool, skua_pool_future *task);
/* Grants as many waiting tasks as have a place to go to. */
void skua__dispatch_locked(skua_pool *pool, int64_t now_ns);
/*
 * The figures of the sites where a task may go now, in ret, which has room for SKUA__PLACE_CANDIDATES. With many sites a part
 * of them is looked at, in turn.
 */
size_t skua__places_locked(skua_pool *pool, const skua_pool_future *task, int64_t now_ns,
                           skua__place *ret);
/* Dispatch is tried again at the latest at at_ns. */
void skua__dispatch_again_locked(skua_pool *pool, int64_t at_ns);

/* ---- life.c: tasks from submission to end ---- */
/*
 * Takes one event of the lease through the machine and does what it says. Returns whether the task has ended by it: then it may be
 * gone, for who has no reference of its own.
 */
bool skua__task_event_locked(skua_pool *pool, skua_pool_future *task,
                             const skua__lease_event *event, int64_t now_ns);
void skua__task_unref(skua_pool_future *task);
/* What a run brought, before its RESULT event: takes output and message (blocks of the hook's, may be NULL). */
void skua__task_set_output_locked(skua_pool_future *task, void *output, size_t output_bytes,
                                  char *message, int32_t code, int64_t run_ns);
/* A local run no longer uses the task's input. */
void skua__task_run_over_locked(skua_pool *pool, skua_pool_future *task);
/* The input is read no more: it goes back to its owner. May call user code. */
void skua__task_drop_input(skua_pool_future *task);
/* Gives the id and the slot back as one word for the wire, and finds a task by it. */
uint64_t skua__task_word(const skua_pool_future *task);
skua_pool_future *skua__task_of_word_locked(skua_pool *pool, uint64_t word);

/* ---- timers.c ---- */
skua_status skua__timer_reserve_locked(skua_pool *pool); /* room for one more deadline */
void skua__timer_add_locked(skua_pool *pool, skua_pool_future *task);
void skua__timer_remove_locked(skua_pool *pool, skua_pool_future *task);
/* Ends what is late, expires what was not renewed, and returns when to come again. */
int64_t skua__timers_run_locked(skua_pool *pool, int64_t now_ns);
/* The service thread is to come at the latest at at_ns. */
void skua__timer_wake_locked(skua_pool *pool, int64_t at_ns);
void *skua__service_main(void *arg);

/* ---- local.c ---- */
skua_status skua__local_grant_locked(skua_pool *pool, skua_pool_future *task);
void skua__local_cancel_locked(skua_pool *pool, skua_pool_future *task);

/* ---- remote.c: none of these may be called with the pool's lock held ---- */
skua_status skua__remote_open(skua_pool *pool, skua_error *err);
/* Asks every peer to let itself be heard: the close that follows does not wait for who is silent. */
void skua__remote_ask(skua_pool *pool);
void skua__remote_close(skua_pool *pool);
void skua__remote_flush(skua_pool *pool);   /* sends what outboxes hold, as far as there is room */
void skua__remote_cancels(skua_pool *pool); /* tells holders of leases that are given up */
void skua__remote_wake(skua_pool *pool);    /* wakes those in skua__remote_await() */
/* As skua__pool_await(). *count, guarded by the pool's lock, tells that somebody waits: then wake_remote is to be set. */
bool skua__remote_await(skua_pool *pool, uint32_t *count, bool (*ready)(skua_pool *pool, void *arg),
                        void *arg, int64_t deadline_ns);

/* ---- serve.c: none of these may be called with the pool's lock held ---- */
skua_status skua__server_open(skua_pool *pool, skua_error *err);
/* Hands back what waits and lets what runs end, until deadline_ns. Returns whether none runs any more. */
bool skua__server_drain(skua_pool *pool, int64_t deadline_ns);
void skua__server_close(skua_pool *pool);
void skua__server_offers_changed(skua_pool *pool);
void skua__server_counters(skua_pool *pool, skua_pool_counters *ret);

/* ---- future.c ---- */
/* As skua_pool_submit(), for a launch: takes it on success. settle 0: the caller holds another lock. */
skua_status skua__pool_submit_launch(skua_pool *pool, const skua_task *task,
                                     struct skua__launch_task *launch, bool settle,
                                     skua_pool_future **ret_future, skua_error *err);

/*
 * Waits until the window has room for one more task with so large an input, or the pool closes. stop: NULL, or guarded by the
 * pool's lock, whose holder tells its change by skua__pool_changed_locked(). False: deadline_ns passed, or *stop.
 */
bool skua__pool_await_room(skua_pool *pool, size_t input_bytes, int64_t deadline_ns,
                           const bool *stop);

/* kernel_split_buffers.c: asks the executor once more. */
void skua__splits_retry_locked(skua_pool *pool);

/* As skua_pool_cancel(), for who holds another lock. */
void skua__pool_cancel_noting(skua_pool_future *future);

/* ---- kernel_place.c ---- */
/* The choice for a launch: an index into places, whose figures are filled in; -1: it waits. */
int skua__launch_choose_locked(skua_pool *pool, skua_pool_future *task, skua__place *places,
                               size_t count, int64_t now_ns);
/* What a run of a launch took at a site; on a device in its parts. Zeroed: only run_ns is known. */
typedef struct skua__launch_times {
    int64_t run_ns; /* of the kernel alone, or of the function */
    int64_t launch_ns, move_ns;
    uint64_t moved_bytes;
} skua__launch_times;
void skua__launch_learn_locked(skua_pool *pool, const skua_pool_future *task,
                               const skua__site *site, const skua__launch_times *times);
void skua__launch_failed_locked(skua_pool *pool, const skua_pool_future *task,
                                const skua__site *site);

/* ---- kernel_run.c ---- */
/* Runs a task whose launch has buffers on the cores; what it took is in its launch's part. As a task's function. */
int skua__kernel_run_claimed(skua_pool_future *task);
/* What a run on the cores took that ended well. */
skua__launch_times skua__kernel_times_here(const skua_pool_future *task, int64_t run_ns);

/* ---- kernel_turn.c ---- */
/* Takes the turns of a launch with buffers. Returns whether it has them; if not, it is queued when it does. */
bool skua__turn_enter_locked(skua_pool *pool, skua_pool_future *task);
/* The task has ended, and nothing of it runs: others may have their turns. They are dispatched by the caller. */
void skua__turn_leave_locked(skua_pool *pool, skua_pool_future *task);
/* Tells other pools of theirs. Not with a lock held. */
void skua__turns_tell(skua_pool *pool);

/* ---- device.c ---- */
/* Gives what device sites hold in their outboxes to the engines. Not with the pool's lock held. */
void skua__device_flush(skua_pool *pool);
/* Gives a launch that was granted to its device's engine at once, if it was made ready. Returns false: the outbox has to. */
bool skua__device_grant_locked(skua_pool *pool, skua_pool_future *task);
void skua__device_cancel_locked(skua_pool *pool, skua_pool_future *task);

/* ---- kernels.c ---- */
/* Nothing runs any more. */
void skua__kernels_close(skua_pool *pool);

/* ---- call.c ---- */
void skua__call_init(struct skua_task_call *call, const skua_allocator *hook, const void *input,
                     size_t input_bytes, int64_t deadline_ns, uint32_t attempt);
void skua__call_fini(struct skua_task_call *call); /* frees what was not taken */

#endif
