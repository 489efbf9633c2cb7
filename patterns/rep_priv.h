// SPDX-License-Identifier: MPL-2.0
// The inside of a skua_rep, shared by rep.c (what users call) and rep_flow.c (how requests come and handlers run).
#ifndef SKUA_REP_PRIV_H
#define SKUA_REP_PRIV_H

#include <skua-int/handle.h>
#include <skua-int/plain.h>
#include <skua/reqrep.h>
#include <stdatomic.h>

/*
 * What outlives the handle, shared by it and its requests: the count of those that are freed without an answer, and the
 * lists by which a request is found when the one who asked does not want it any more. Lock order: handle, then tally.
 */
typedef struct skua__rep_tally {
    atomic_uint refs;
    atomic_ullong freed;
    const skua_allocator *hook;
    skua__mutex lock; /* guards every asker's list, and membership in it */
} skua__rep_tally;

/* One link's requests, waiting or taken, oldest first; it lies in the link's user pointer. */
typedef struct skua__rep_asker {
    skua__list requests;
    bool again; /* one came again that may be here already: an id may stand twice */
} skua__rep_asker;

struct skua_request {
    skua__list node; /* in rep->queue until it is taken */
    skua__rep_tally *tally;
    const skua_allocator *hook;
    skua_msg *msg;
    skua_msg *envelope; /* of a plain peer; NULL: a link's */
    uint64_t in_id;     /* the message's, for its link and for confirming */
    uint64_t id;        /* of the one who asks */
    int64_t deadline_ns;
    skua__list
        of_asker; /* guarded by the tally's lock; empty for plain peers, and once the link is gone */
    bool queued;  /* guarded by the handle's lock */
    atomic_bool cancelled; /* nobody waits for an answer */
};

/* Everything is guarded by the handle's lock. */
struct skua_rep {
    skua__handle handle;
    skua__rep_tally *tally;
    uint32_t plain_waiting, plain_waiting_max; /* requests of plain peers in the queue */
    skua__list queue;                          /* skua_request: nobody took them yet */
    uint32_t queued;
    bool closing; /* what comes is refused */
    /* Handlers: `loops` of them run or are about to, each taking requests until there are none. */
    const skua_runner *runner;
    skua_rep_fn *fn;
    void *ctx;
    uint32_t parallel, loops;
    bool start_posted; /* start_loops() is on its way to the node's thread */
    skua_reqrep_stats stats;
};

extern const skua__pattern_ops skua__rep_ops;

/* The oldest request whose deadline has not passed, confirmed to its sender and out of the queue; NULL. Locked. */
skua_request *skua__rep_pop_locked(skua_rep *rep);
/* Sends an answer of this kind and ends the request; msg stays the caller's. Returns as skua__link_send(). Locked. */
skua_status skua__rep_answer_locked(skua_rep *rep, skua_request *request, int kind, skua_msg *msg);
/* Refuses what waits. Locked. */
void skua__rep_refuse_queue_locked(skua_rep *rep);
/* Ends the request's memory without counting it as given up. Returns NULL. */
skua_request *skua__request_end(skua_request *request);
void skua__rep_tally_unref(skua__rep_tally *tally);
/* Asks for handlers to be started, outside the lock. Locked. */
void skua__rep_want_loops_locked(skua_rep *rep);

#endif
