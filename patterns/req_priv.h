// SPDX-License-Identifier: MPL-2.0
// The inside of a skua_req, shared by req.c (what users call) and req_flow.c (what happens to requests).
#ifndef SKUA_REQ_PRIV_H
#define SKUA_REQ_PRIV_H

#include "ask_table.h"

#include <skua-int/handle.h>
#include <skua-int/plain.h>
#include <skua/reqrep.h>

/* One who can be asked: a link, or the plain endpoint. */
typedef struct skua__req_provider {
    skua__list node;
    skua__link *link; /* NULL: the plain endpoint */
    uint64_t id;      /* never 0, never reused */
    skua__list asked; /* skua__ask */
    uint32_t load;    /* of the list */
    uint32_t silent;  /* attempts in a row that it left unanswered */
} skua__req_provider;

/* Everything is guarded by the handle's lock. */
struct skua_req {
    skua__handle handle;
    skua_req_options options; /* defaults filled in; its strings are not ours */
    skua__request_limits limits;
    skua__ask_table asks;
    skua__list waiting; /* ready for a provider, oldest first */
    skua__list results; /* ended, for skua_req_recv() */
    skua__list providers;
    skua__req_provider plain_provider;
    skua_reqrep_stats stats; /* the counters of requests only */
};

extern const skua__pattern_ops skua__req_ops;

/* All with the handle's lock held. */

/* A request that was just added to the table, its msg set, starts. */
void skua__req_start(skua_req *req, skua__ask *ask, int64_t timeout_ms);
/* Gives waiting requests to providers that have room. */
void skua__req_dispatch(skua_req *req);
/* Does what is due. Returns the next moment. */
int64_t skua__req_run_timers(skua_req *req, int64_t now_ns);
/* Ends a request by SKUA__REQUEST_CANCEL. */
void skua__req_cancel_ask(skua_req *req, skua__ask *ask);
/* SKUA_E_NO_PROVIDER, with what is offered instead. */
skua_status skua__req_no_provider(skua_req *req, skua_error *err);
/* Fills err with how it ended and returns the status; 0 with a reply. */
skua_status skua__req_outcome(skua_req *req, const skua__ask *ask, skua_error *err);

#endif
