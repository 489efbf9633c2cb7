// SPDX-License-Identifier: MPL-2.0
// The life of one request at the side that asks, as a pure state machine: who may be asked when, and how it ends.
// Any number of them may be alive; a driver (patterns/req.c) owns the sockets, the table and the timers.
#ifndef SKUA_INT_REQUEST_FSM_H
#define SKUA_INT_REQUEST_FSM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How it lives (docs/design/wire.md, "Requests", has the messages):
 *
 *              handed to a provider
 *   WAITING ---------------------------> SENT
 *      ^  refused, provider lost, or no     |
 *      |  answer in time: attempts left     |
 *      +------------------------------------+
 *      |                                    |
 *      |  deadline, cancelled,              |  reply, error, deadline, cancelled,
 *      |  a late reply or error             |  or refused or lost with no attempt left
 *      +----------------> ENDED <-----------+
 *
 * Every path leads to ENDED: each event either ends the request, or leaves it in a state that its deadline ends. The
 * action SKUA__REQUEST_END is returned exactly once, and nothing happens afterwards.
 */
typedef enum skua__request_state {
    SKUA__REQUEST_WAITING = 1, /* nobody has it */
    SKUA__REQUEST_SENT,        /* `provider` has it */
    SKUA__REQUEST_ENDED,
} skua__request_state;

typedef enum skua__request_event {
    SKUA__REQUEST_HANDED = 1, /* to provider, now; only after SKUA__REQUEST_FIND */
    SKUA__REQUEST_NONE_ELSE,  /* the only provider that could be asked is the one to avoid */
    SKUA__REQUEST_REPLY,      /* from any provider that was asked */
    SKUA__REQUEST_ERROR,      /* the service's own error; as a reply */
    SKUA__REQUEST_REFUSED,    /* by provider: it did not look at the request */
    SKUA__REQUEST_LOST,       /* provider is gone, and may have begun */
    SKUA__REQUEST_UNSENT,     /* provider is gone, and certainly never saw it */
    SKUA__REQUEST_TIME,       /* skua__request_next_ns() has come */
    SKUA__REQUEST_TIME_ALONE, /* the same, and nobody but `provider` could be asked: it goes on */
    SKUA__REQUEST_CANCEL,
} skua__request_event;

typedef enum skua__request_action {
    SKUA__REQUEST_NOTHING = 0,
    SKUA__REQUEST_FIND, /* look for a provider now, and again whenever one has room */
    SKUA__REQUEST_WAIT, /* until skua__request_next_ns() */
    SKUA__REQUEST_END,  /* `end` says how */
} skua__request_action;

typedef enum skua__request_end {
    SKUA__REQUEST_ENDED_NOT = 0,
    SKUA__REQUEST_ENDED_REPLY,
    SKUA__REQUEST_ENDED_ERROR,
    SKUA__REQUEST_ENDED_REFUSED, /* the last attempt was refused */
    SKUA__REQUEST_ENDED_LOST,    /* the last attempt's provider died */
    SKUA__REQUEST_ENDED_DEADLINE,
    SKUA__REQUEST_ENDED_CANCELLED,
} skua__request_end;

typedef struct skua__request_limits {
    uint32_t attempts; /* at least 1 */
    int64_t
        attempt_ns; /* an attempt that is not the last is given up after this long; SKUA_NEVER_NS */
    int64_t backoff_ns; /* the first; it doubles up to SKUA__REQUEST_BACKOFF_GROWTH times as long */
} skua__request_limits;

enum { SKUA__REQUEST_BACKOFF_GROWTH = 100 };

typedef struct skua__request_fsm {
    skua__request_state state;
    skua__request_end end;
    uint64_t id;       /* seeds the jitter */
    uint64_t provider; /* SENT: who has it */
    uint64_t avoid;    /* not to be asked before avoid_until_ns; 0: nobody */
    int64_t avoid_until_ns;
    int64_t deadline_ns;
    int64_t ready_ns;     /* WAITING: nobody is to be asked before */
    int64_t try_until_ns; /* SENT: the attempt is given up then */
    uint32_t attempts;    /* providers that got it, less those that certainly never saw it */
    uint32_t failures;    /* refusals and attempts given up, for the back-off */
    bool maybe_seen; /* an earlier attempt may have been carried out: the next is a redelivery */
} skua__request_fsm;

/* A new request, WAITING and ready: look for a provider. id and providers are never 0. */
void skua__request_init(skua__request_fsm *request, uint64_t id, int64_t deadline_ns,
                        int64_t now_ns);

skua__request_action skua__request_step(skua__request_fsm *request,
                                        const skua__request_limits *limits,
                                        skua__request_event event, uint64_t provider,
                                        int64_t now_ns);

/* Whether this provider may be asked now; only for a WAITING request. */
bool skua__request_may_ask(const skua__request_fsm *request, uint64_t provider, int64_t now_ns);

/* The next moment at which SKUA__REQUEST_TIME is due; SKUA_NEVER_NS when there is none. */
int64_t skua__request_next_ns(const skua__request_fsm *request, int64_t now_ns);

/* The back-off before retry number n (from 1): doubling, bounded, a quarter of it random by id and n. */
int64_t skua__request_backoff_ns(const skua__request_limits *limits, uint64_t id, uint32_t n);

#endif
