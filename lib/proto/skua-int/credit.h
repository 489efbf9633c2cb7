// SPDX-License-Identifier: MPL-2.0
// Credit: how much a receiver lets its peer have on its way. The sender's side only compares; the receiver's side
// adapts the windows. Pure.
#ifndef SKUA_INT_CREDIT_H
#define SKUA_INT_CREDIT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SKUA__WINDOW_FIRST_BYTES = 256 * 1024,
    SKUA__WINDOW_MAX_BYTES = 8 * 1024 * 1024,
    SKUA__WINDOW_MIN_MSGS = 2,     /* always let through, whatever their size */
    SKUA__WINDOW_MAX_MSGS = 65536, /* unconfirmed on one link */
    SKUA__WINDOW_DELAY_US =
        4000, /* a message that waits longer than this in a queue means: grant less */
};

/* What the peer granted us. */
typedef struct skua__credit {
    uint32_t window_bytes, window_msgs;
} skua__credit;

/* Whether one more may be sent while out_bytes and out_msgs are not confirmed. The last one may go over by its size. */
static inline bool
skua__credit_allows(const skua__credit *credit, uint64_t out_bytes, uint64_t out_msgs) {
    if (out_msgs < SKUA__WINDOW_MIN_MSGS) {
        return true;
    }
    return out_bytes < credit->window_bytes && out_msgs < credit->window_msgs;
}

/* What we grant, and what we saw since we granted it. */
typedef struct skua__grant {
    uint32_t window_bytes, window_msgs;
    bool adapt_msgs;
    uint64_t peak_bytes; /* the most that was here at once since the last acknowledgement */
    bool credit_out;     /* the sender said that it had used up its credit, since then */
    bool peak_kept,
        out_kept;           /* a high peak, such a word: before it, since the reader starved last */
    int64_t worst_delay_ns; /* the longest that a message waited in our queue since then */
} skua__grant;

void skua__grant_init(skua__grant *grant, uint32_t window_bytes, uint32_t window_msgs,
                      bool adapt_msgs);
/* A unit came: so much is received and not confirmed now; credit_out: it carried SKUA__FLAG_CREDIT_OUT. */
void skua__grant_on_receive(skua__grant *grant, uint64_t out_bytes, bool credit_out);
/* A message left the queue after delay_ns. */
void skua__grant_on_pop(skua__grant *grant, int64_t delay_ns);
/* Whether something was seen that may change a window: only an acknowledgement of its own can tell the new one. */
bool skua__grant_is_due(const skua__grant *grant);
/* Whether an acknowledgement now, to a reader that starves, would raise a window: the sender stands still for it. */
bool skua__grant_would_grow(const skua__grant *grant);
/*
 * An acknowledgement is about to be sent; starved: a reader has nothing to receive now. Windows that were used up
 * since the reader starved last double when it starves again; the message window halves when messages wait too long.
 * (Acknowledgements in between forget nothing of that: else a stream whose messages are acknowledged as they come
 * would never leave its first window.)
 */
void skua__grant_adapt(skua__grant *grant, bool starved);

#endif
