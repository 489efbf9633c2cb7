// SPDX-License-Identifier: MPL-2.0
// The ledger of one directed link: the sender's side (what was sent, confirmed, dropped and is neither) and the
// receiver's side (what came, what is missing, what is done). Pure: no clock, no socket; the simulator drives it too.
#ifndef SKUA_INT_LEDGER_H
#define SKUA_INT_LEDGER_H

#include <skua-int/credit.h>
#include <skua-int/frame.h>
#include <skua/alloc.h>
#include <skua/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why a message was dropped, or given up on this link. */
typedef enum skua__drop_cause {
    SKUA__DROP_SLOW = 0,  /* the peer's queue was full and its policy says so */
    SKUA__DROP_PEER_LOST, /* the peer is gone */
    SKUA__DROP_CLOSED,    /* we closed before it was confirmed */
    SKUA__DROP_MOVED,     /* given to another link, in whose ledger it stands */
    SKUA__DROP_CAUSES,
} skua__drop_cause;

/* sent = confirmed + dropped[0] + … + unconfirmed, at every moment. */
typedef struct skua__ledger_counts {
    uint64_t sent; /* accepted by the link, given a number */
    uint64_t confirmed;
    uint64_t dropped[SKUA__DROP_CAUSES];
    uint64_t unconfirmed;
} skua__ledger_counts;

bool skua__ledger_balances(const skua__ledger_counts *counts);
/* Adds the counts of one to another. */
void skua__ledger_add(skua__ledger_counts *to, const skua__ledger_counts *counts);

/* ---- The sender's side ---- */

enum {
    SKUA__UNIT_LOAD_BYTES = 64,
    /* Gaps on their way and not yet confirmed: the sender holds the next one back, the receiver keeps no more. */
    SKUA__GAPS_MAX = 64,
};

/* One frame on the wire: a message, a batch, or a gap. */
typedef struct skua__tx_unit {
    uint64_t first;
    uint32_t count;
    uint32_t left;   /* messages not confirmed; 0: done, or a gap */
    uint32_t prefix; /* so many of the first are confirmed one after the other */
    uint32_t bytes;
    bool gap;       /* its messages were dropped: the frame is GAP{first, count} */
    bool sent_once; /* on this connection or an earlier one */
    uint64_t *done; /* bits of messages confirmed out of order; NULL: none */
    _Alignas(16) unsigned char load[SKUA__UNIT_LOAD_BYTES]; /* the driver's: the frame itself */
} skua__tx_unit;

/* Ends a unit's load: it is confirmed, dropped or taken. */
typedef void skua__tx_release_fn(void *arg, skua__tx_unit *unit);

typedef struct skua__tx {
    const skua_allocator *hook;
    skua__tx_release_fn *release;
    void *arg;
    skua__tx_unit *ring; /* capacity is 0 or a power of two */
    size_t capacity, head, length;
    size_t sent;           /* of the length, the first so many are sent on this connection */
    uint64_t next_seq;     /* of the next message */
    uint64_t received;     /* the peer has all below */
    size_t sent_gaps;      /* among the sent units */
    size_t unacked;        /* sent units that the peer does not have yet, as far as we know */
    uint64_t sent_msgs;    /* in sent units, not confirmed */
    uint64_t sent_bytes;   /* of sent units with a message that is not confirmed */
    uint64_t queued_bytes; /* of units not sent */
    uint64_t queued_msgs;
    skua__credit credit;
    skua__ledger_counts counts;
} skua__tx;

/* Starts at the number first_seq. */
void skua__tx_init(skua__tx *tx, const skua_allocator *hook, skua__tx_release_fn *release,
                   void *arg, uint64_t first_seq);
/* Drops what is left for `cause` (the balance stays right) and frees all memory. */
void skua__tx_fini(skua__tx *tx, skua__drop_cause cause);

/*
 * Adds a unit of count messages with the numbers from tx->next_seq; the caller then fills its load. The pointer is good
 * until the next call. Returns NULL when there is no memory: nothing has changed.
 */
skua__tx_unit *skua__tx_append(skua__tx *tx, uint32_t count, uint32_t bytes);
/*
 * The next unit to be sent, when credit allows; NULL: none. After it was handed to the socket call
 * skua__tx_mark_sent(); not calling it means that the socket was full.
 */
skua__tx_unit *skua__tx_next(skua__tx *tx);
void skua__tx_mark_sent(skua__tx *tx);

/*
 * What the peer tells of our numbers. Returns false when it claims what was never sent: nothing has changed then.
 * confirmed and received never go back. *ret_confirmed (may be NULL): newly confirmed messages.
 */
bool skua__tx_on_confirmed(skua__tx *tx, uint64_t confirmed, uint64_t *ret_confirmed);
bool skua__tx_on_ack(skua__tx *tx, const skua__ack *ack, uint64_t *ret_confirmed);

/*
 * The connection is new and the peer says that it has all below `received`: units from there on are to be sent again.
 * Returns false when that is impossible (it lost its memory): the link must begin anew. *ret_next: for RESUME.
 */
bool skua__tx_resume(skua__tx *tx, uint64_t received, uint64_t *ret_next);

/* Drops the oldest unit that was not sent; a gap stands in its place. Returns its messages, 0: there is none. */
uint64_t skua__tx_drop_oldest(skua__tx *tx, skua__drop_cause cause);

/* The i-th unit that is kept, oldest first; NULL at the end. */
skua__tx_unit *skua__tx_at(skua__tx *tx, size_t i);
/* Whether message number i of the unit is confirmed. */
bool skua__tx_unit_is_done(const skua__tx_unit *unit, uint32_t i);
/*
 * The link goes down: of what the unit has left, `moved` messages were given to another link, and the rest is dropped
 * for `cause`. Its load is released.
 */
void skua__tx_give_up(skua__tx *tx, skua__tx_unit *unit, uint32_t moved, skua__drop_cause cause);

/* ---- The receiver's side ---- */

typedef struct skua__rx {
    const skua_allocator *hook;
    bool known;         /* a RESUME said where we stand */
    bool resumed;       /* on this connection: data counts */
    uint64_t expected;  /* the number of the next message: all below have come */
    uint64_t confirmed; /* all below are done with */
    uint64_t acked;     /* what the last ACK said of confirmed */
    uint64_t told;      /* what the last ACK said of received */
    uint64_t
        *done; /* bits of done messages in [confirmed, expected), a ring of SKUA__WINDOW_MAX_MSGS */
    uint64_t done_count; /* bits set */
    uint64_t news_low,
        news_high; /* numbers done out of order since the last ACK lie in between; equal: none */
    struct skua__rx_gap {
        uint64_t first, count;
    } gaps[SKUA__GAPS_MAX]; /* within [confirmed, expected) */
    uint32_t gap_length;
    uint64_t gap_pending; /* dropped by the sender, and not yet told to the user */
    uint64_t received_msgs, duplicate_msgs, gap_msgs, confirmed_msgs;
} skua__rx;

typedef enum skua__rx_verdict {
    SKUA__RX_DELIVER,   /* new; the first *ret_skip messages are duplicates */
    SKUA__RX_DUPLICATE, /* all of it came before */
    SKUA__RX_NOT_NOW,   /* before RESUME: it will come again */
    SKUA__RX_HOLE,      /* numbers are missing: ask for them with HELLO */
    SKUA__RX_VIOLATION, /* more than any window allows */
} skua__rx_verdict;

void skua__rx_init(skua__rx *rx, const skua_allocator *hook);
void skua__rx_fini(skua__rx *rx);
/* The connection is new: nothing counts until RESUME. */
void skua__rx_disconnect(skua__rx *rx);
/*
 * RESUME{next}. Returns the number of messages that the sender no longer has and that did not come (they count as a
 * gap), 0 as a rule.
 */
uint64_t skua__rx_on_resume(skua__rx *rx, uint64_t next);
skua__rx_verdict skua__rx_on_data(skua__rx *rx, uint64_t first, uint32_t count, uint32_t *ret_skip);
skua__rx_verdict skua__rx_on_gap(skua__rx *rx, uint64_t first, uint64_t count);
/* The gap to tell with the next message; it is then 0. */
uint64_t skua__rx_take_gap(skua__rx *rx);
/* Message `seq` is done with. Returns 0, SKUA_E_NOT_FOUND (not received, or done before), SKUA_E_NO_MEMORY. */
skua_status skua__rx_done(skua__rx *rx, uint64_t seq);
/* What the last ACK said may not have left: the next one tells everything again. */
void skua__rx_ack_lost(skua__rx *rx);
/* Fills confirmed, received and the ranges; all of them after a reconnection. Returns true when more ranges wait. */
bool skua__rx_make_ack(skua__rx *rx, skua__ack *ret_ack);
/* A message of ours carried `confirmed` along. */
static inline void
skua__rx_piggybacked(skua__rx *rx) {
    rx->acked = rx->confirmed;
}

#endif
