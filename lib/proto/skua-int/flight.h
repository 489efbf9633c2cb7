// SPDX-License-Identifier: MPL-2.0
// The flight recorder's format: every (event, now) that a node's peer machines took, so that a replay runs the very same
// steps again. Pure: lib/net keeps the bytes in a ring and writes the file. Layout in docs/design/wire.md.
#ifndef SKUA_INT_FLIGHT_H
#define SKUA_INT_FLIGHT_H

#include <skua-int/peer_fsm.h>

enum {
    SKUA__FLIGHT_HEADER_BYTES = 64,
    SKUA__FLIGHT_ENTRY_BYTES =
        64, /* every entry has this size, so that a ring of them can lose its oldest */
    SKUA__FLIGHT_VERSION = 1,
};

/* The first 64 bytes of a recording. */
typedef struct skua__flight_header {
    skua__uuid self;
    uint64_t incarnation;
    int64_t heartbeat_ns;
    uint64_t seed;  /* of skua__peer_config */
    int64_t wall_s; /* when it began, for people */
    uint64_t lost;  /* entries that the ring dropped before the first that is here */
} skua__flight_header;

typedef enum skua__flight_kind {
    SKUA__FLIGHT_PEER = 1, /* a machine was made for uuid */
    SKUA__FLIGHT_STEP = 2, /* it took an event */
    SKUA__FLIGHT_NOTE = 3, /* up to 30 bytes of text, for people: no part of the replay */
} skua__flight_kind;

typedef struct skua__flight_entry {
    skua__flight_kind kind;
    int64_t now_ns; /* lived time */
    skua__uuid uuid;
    bool is_static;         /* PEER */
    skua__peer_event event; /* STEP */
    skua__peer_state after; /* STEP: the state it led to */
    uint32_t actions;       /* STEP: skua__flight_digest() of what it answered */
    char note[31];          /* NOTE, with a final 0 */
} skua__flight_entry;

void skua__flight_header_encode(const skua__flight_header *header,
                                uint8_t ret[SKUA__FLIGHT_HEADER_BYTES]);
/* Returns false, *ret untouched, for bytes that are no recording of this version. */
bool skua__flight_header_decode(const void *bytes, size_t size, skua__flight_header *ret);
void skua__flight_entry_encode(const skua__flight_entry *entry,
                               uint8_t ret[SKUA__FLIGHT_ENTRY_BYTES]);
bool skua__flight_entry_decode(const uint8_t bytes[SKUA__FLIGHT_ENTRY_BYTES],
                               skua__flight_entry *ret);

/* A number that differs (almost surely) when the actions differ. */
uint32_t skua__flight_digest(const skua__peer_actions *actions);

/* Where a replay did something else than the recording. */
typedef struct skua__flight_divergence {
    uint64_t entry; /* its index, from 0 */
    skua__peer_state recorded, replayed;
    uint32_t recorded_actions, replayed_actions;
} skua__flight_divergence;

typedef struct skua__flight_result {
    uint64_t entries, steps, peers;
    uint64_t skipped; /* steps of a peer whose beginning the ring had dropped */
    uint64_t divergences;
    skua__flight_divergence first;
} skua__flight_result;

/*
 * Runs a whole recording again. step (may be NULL) is called after each step with the entry and the machine. At most
 * SKUA__FLIGHT_PEERS_MAX peers. Returns 0, SKUA_E_MALFORMED (not a recording), SKUA_E_LIMIT or SKUA_E_NO_MEMORY; a
 * divergence is no failure: *ret_result counts them.
 */
enum { SKUA__FLIGHT_PEERS_MAX = 16384 };
struct skua_allocator;
int skua__flight_replay(const void *bytes, size_t size, const struct skua_allocator *hook,
                        void (*step)(void *arg, const skua__flight_entry *entry,
                                     const skua__peer_fsm *fsm, const skua__peer_actions *actions),
                        void *arg, skua__flight_result *ret_result);

#endif
