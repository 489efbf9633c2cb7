// SPDX-License-Identifier: MPL-2.0
// Dialling: at most 16 dials of a node at a time, and when one peer is dialled again. Pure: time is a parameter.
#ifndef SKUA_INT_DIAL_H
#define SKUA_INT_DIAL_H

#include <skua-int/list.h>
#include <skua-int/rand.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    SKUA__DIALS_MAX = 16,             /* of one node at a time */
    SKUA__DIAL_YIELD_MS = 200,        /* the higher UUID waits so long for the lower's dial */
    SKUA__DIAL_CONNECT_MS = 700,      /* for the TCP connection */
    SKUA__DIAL_HANDSHAKE_MS = 3000,   /* from there to the other's HELLO */
    SKUA__DIAL_BACKOFF_MS = 100,      /* after the first failure; doubles */
    SKUA__DIAL_BACKOFF_MAX_MS = 600,  /* so that a healed partition is noticed in 2 s */
    SKUA__DIAL_REFUSED_MAX_MS = 2000, /* the same where a static peer refuses: nobody is there */
    SKUA__DIAL_REJECTED_MS = 10000,   /* after a refusal for a reason that will not go away */
    SKUA__DIAL_REFUSALS_MAX = 3,      /* then a port is left alone until its node is seen again */
    SKUA__DIAL_JITTER_PERCENT = 25,
};

/* ---- The limiter: one per node. Not thread-safe: the node's thread owns it. ---- */

/* A peer's place in it; lies inside the peer. */
typedef struct skua__dial_slot {
    skua__list waiting;
    enum { SKUA__DIAL_SLOT_FREE, SKUA__DIAL_SLOT_WAITING, SKUA__DIAL_SLOT_ACTIVE } state;
} skua__dial_slot;

typedef struct skua__dial_limiter {
    skua__list waiting; /* slots, first come first served */
    uint32_t active;
    uint32_t max;
} skua__dial_limiter;

void skua__dial_limiter_init(skua__dial_limiter *limiter, uint32_t max);
void skua__dial_slot_init(skua__dial_slot *slot);
/* Returns true when the slot is active now: dial, and feed DIAL_STARTED. Else it waits; done() of another returns it. */
bool skua__dial_limiter_ask(skua__dial_limiter *limiter, skua__dial_slot *slot);
/* Gives the slot up, waiting or active (or free). Returns the slot that is active now in its stead, or NULL. */
skua__dial_slot *skua__dial_limiter_done(skua__dial_limiter *limiter, skua__dial_slot *slot);

/* ---- The dialler: one inside each peer's machine, which drives it. ---- */

typedef enum skua__dialler_state {
    SKUA__DIALLER_OFF,     /* no wish to dial */
    SKUA__DIALLER_WAITING, /* until at_ns: for the other to dial first, or a back-off */
    SKUA__DIALLER_ASKED,   /* DIAL was given out; the limiter has not started it */
    SKUA__DIALLER_RUNNING, /* started; at_ns is when it is given up */
} skua__dialler_state;

typedef struct skua__dialler {
    skua__dialler_state state;
    uint32_t failures; /* in a row */
    uint32_t refusals; /* in a row: nobody listens at that port */
    bool rejected;     /* a wish must not shorten this back-off */
    uint32_t link;     /* of the running dial, else 0 */
    int64_t at_ns;
    skua__rand rand;
} skua__dialler;

typedef enum skua__dial_failure {
    SKUA__DIAL_OTHER_FAILURE,
    SKUA__DIAL_WAS_REFUSED,  /* connection refused */
    SKUA__DIAL_WAS_REJECTED, /* for a lasting reason */
} skua__dial_failure;

void skua__dialler_init(skua__dialler *dialler, uint64_t seed);
/* A wish to dial at at_ns; one that waits already is only ever moved forward, one under way stays. */
void skua__dialler_want(skua__dialler *dialler, int64_t at_ns);
/* True, once, when a waiting dial has come due: ask the limiter. Moves to ASKED. */
bool skua__dialler_due(skua__dialler *dialler, int64_t now_ns);
/* True when the running dial took too long: tell failed(). */
bool skua__dialler_overdue(const skua__dialler *dialler, int64_t now_ns);
void skua__dialler_started(skua__dialler *dialler, uint32_t link, int64_t now_ns);
void skua__dialler_connected(skua__dialler *dialler, int64_t now_ns);
/*
 * The dial failed; the next is after a back-off, which for a refused one grows to refused_max_ms. Returns the link of
 * the failed dial.
 */
uint32_t skua__dialler_failed(skua__dialler *dialler, skua__dial_failure failure,
                              int64_t refused_max_ms, int64_t now_ns);
/* No more wish to dial. Returns true when a dial was asked for or running; *ret_link is its link or 0. */
bool skua__dialler_off(skua__dialler *dialler, uint32_t *ret_link);
/* Forgets past failures: the peer showed that things have changed. */
void skua__dialler_forgive(skua__dialler *dialler);
/* When due() or overdue() will be true; SKUA_NEVER_NS: never. */
int64_t skua__dialler_wake_ns(const skua__dialler *dialler);

#endif
