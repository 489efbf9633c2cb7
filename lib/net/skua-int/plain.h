// SPDX-License-Identifier: MPL-2.0
// One socket to plain ZeroMQ peers: an explicit endpoint, no encryption, no ledger. A handle may have one beside its
// links; its pattern drains it from ops->plain.
#ifndef SKUA_INT_PLAIN_H
#define SKUA_INT_PLAIN_H

#include <skua-int/node_int.h>
#include <skua/msg.h>

typedef struct skua__plain skua__plain;

typedef enum skua__plain_kind {
    SKUA__PLAIN_PUB = 1, /* the peers are SUB */
    SKUA__PLAIN_SUB,     /* PUB */
    SKUA__PLAIN_PUSH,    /* PULL */
    SKUA__PLAIN_PULL,    /* PUSH */
    SKUA__PLAIN_REQ,     /* REP or ROUTER */
    SKUA__PLAIN_REP,     /* REQ or DEALER */
} skua__plain_kind;

enum {
    SKUA__PLAIN_ENVELOPE_MAX_FRAMES = 8, /* before the empty delimiter of a request */
    SKUA__PLAIN_HWM_MSGS = 1000,         /* in ZeroMQ's own queue, each way and per peer */
    SKUA__PLAIN_ID_BYTES = 8, /* the envelope of our own requests: the id, little-endian */
};

typedef struct skua__plain_counts {
    uint64_t handed_to_zmq; /* nothing is known of a message afterwards */
    uint64_t received;
    uint64_t dropped_in;  /* too many frames, or no delimiter where one belongs */
    uint64_t dropped_out; /* ZeroMQ had no room, or the peer is gone */
} skua__plain_counts;

typedef struct skua__plain_options {
    skua__plain_kind kind;
    const char *endpoint;
    bool bind;     /* else connect */
    bool insecure; /* the endpoint may lie off this machine */
} skua__plain_options;

/*
 * Returns 0, SKUA_E_BAD_TRANSPORT, SKUA_E_BAD_ENDPOINT, SKUA_E_LOOPBACK_ONLY (an endpoint off this machine without
 * insecure), SKUA_E_ADDRESS_IN_USE, SKUA_E_DESCRIPTORS, SKUA_E_NO_MEMORY, SKUA_E_SYSTEM.
 */
skua_status skua__plain_open(skua__plain **ret_plain, skua_node *node, const skua_allocator *hook,
                             const skua__plain_options *options, skua_error *err);
skua__plain *skua__plain_close(skua__plain *plain); /* takes NULL; returns NULL */

int
skua__plain_fd(const skua__plain *plain); /* ZeroMQ's: edge-triggered, drain until SKUA_E_AGAIN */
uint16_t skua__plain_port(const skua__plain *plain);
const skua__plain_counts *skua__plain_counts_of(const skua__plain *plain);

/* All calls on one socket under the same lock; none blocks. */

/*
 * Sends msg, which stays the caller's. PUB: the topic goes in front as a frame of its own. REQ and REP: envelope (up to
 * SKUA__PLAIN_ENVELOPE_MAX_FRAMES frames) and an empty delimiter go in front. Returns 0, SKUA_E_AGAIN (no room, or no
 * peer: PUSH and REQ), SKUA_E_PEER_LOST (REP), SKUA_E_NO_MEMORY; all but 0 are counted as dropped_out except where a
 * caller keeps the message (SKUA_E_AGAIN of PUSH and REQ).
 */
SKUA_MUST_CHECK skua_status skua__plain_send(skua__plain *plain, const skua_msg *envelope,
                                             const skua_msg *msg);
/*
 * Takes the next message, whose frames are what the peer sent, less topic or envelope. *ret_envelope (REQ and REP; may be
 * NULL otherwise) is made as skua__plain_send() wants it. What is malformed is counted and skipped. Returns 0,
 * SKUA_E_AGAIN, SKUA_E_NO_MEMORY (that message is lost and counted).
 */
SKUA_MUST_CHECK skua_status skua__plain_recv(skua__plain *plain, skua_msg **ret_envelope,
                                             skua_msg **ret_msg);
/* Whether skua__plain_send() would find room now. */
bool skua__plain_room(skua__plain *plain);
/* SUB: begins or ends to receive what begins with topic. */
SKUA_MUST_CHECK skua_status skua__plain_subscribe(skua__plain *plain, const char *topic, bool on);

/* The envelope of a request of ours, and the id in one that came back (0: none). */
skua_msg *skua__plain_id_envelope(const skua_allocator *hook, uint64_t id);
uint64_t skua__plain_envelope_id(const skua_msg *envelope);

#endif
