// SPDX-License-Identifier: MPL-2.0
// What passed through a handle and over each of its links: the ledger, which balances at every moment.
#ifndef SKUA_PATTERN_STATS_H
#define SKUA_PATTERN_STATS_H

#include <skua/common.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The counters of a handle since it was opened, its links that are gone included. The library fills at most `size`
 * bytes: set it first. Always: sent = confirmed + dropped_slow + dropped_lost + dropped_closed + moved + unconfirmed.
 */
typedef struct skua_pattern_stats {
    size_t size;
    uint64_t accepted; /* messages taken from the caller (PUB: each counts once, whoever gets it) */
    uint64_t
        waiting; /* of those, taken back from a peer that died and not yet given to another (PUSH) */
    /* Messages times links. */
    uint64_t sent;      /* given to a link */
    uint64_t confirmed; /* the receiver is done with it */
    uint64_t
        dropped_slow; /* the peer's queue was full, and the policy drops; the peer was told of the gap */
    uint64_t dropped_lost;   /* the peer is gone */
    uint64_t dropped_closed; /* we closed before it was confirmed */
    uint64_t moved;          /* taken back from a link that went down, and sent on another */
    uint64_t unconfirmed;
    /* Receiving. */
    uint64_t received; /* arrived, in order, each once */
    uint64_t received_bytes;
    uint64_t done;        /* confirmed to their senders */
    uint64_t queued;      /* waiting to be received now */
    uint64_t duplicates;  /* arrived again after a reconnection, and were dropped */
    uint64_t redelivered; /* flagged: somebody may have had it before */
    uint64_t gaps;        /* messages that the senders say they dropped */
    /* Links. */
    uint64_t links; /* up now */
    uint64_t links_ever;
    uint64_t reconnections;
    uint64_t malformed; /* frames that were dropped */
    uint64_t
        unknown; /* frames of connections that had not said HELLO, or out of sequence: dropped */
    uint64_t refused; /* peers: another version, service or role */
    uint64_t frames_sent, frames_received, bytes_sent;
    /* Plain ZeroMQ peers, which are no links: nothing is known of a message once ZeroMQ has it. */
    uint64_t handed_to_zmq;
    uint64_t plain_received; /* they are in `received` too */
    uint64_t plain_dropped;  /* too many frames, a malformed topic, or no room */
} skua_pattern_stats;

/* The ledger of one link that is up. The library fills at most `size` bytes of each. */
typedef struct skua_link_stats {
    size_t size;
    char peer[64];  /* the node's name */
    uint8_t id[16]; /* its UUID */
    uint64_t link;  /* tells links of one peer apart */
    uint64_t sent, confirmed, dropped, unconfirmed;
    uint64_t queued; /* of the unconfirmed: not handed to the network yet */
    uint64_t received, duplicates, gaps;
} skua_link_stats;

#ifdef __cplusplus
}
#endif
#endif
