// SPDX-License-Identifier: MPL-2.0
// The beacon: one UDP datagram of at most 512 bytes by which a node says that it is there. Pure codec and the rule
// against replays; who sends and when is lib/net's. Layout in docs/design/wire.md.
#ifndef SKUA_INT_BEACON_H
#define SKUA_INT_BEACON_H

#include <skua-int/certificate.h>

enum {
    SKUA__BEACON_MAX = 512, /* a longer datagram is refused unread */
    SKUA__BEACON_VERSION = 1,
    SKUA__BEACON_KEY_BYTES = 32,
    SKUA__BEACON_MAC_BYTES = 16,
    SKUA__BEACON_FIXED = 62,   /* encoded: before the certificate */
    SKUA__BEACON_KEYS_MAX = 4, /* keys that a node holds at once, for the time of a rotation */
};

/* The key of a fleet's beacons and introductions. It lies on every node of the fleet; the fleet's secret key makes it. */
typedef struct skua__beacon_key {
    uint32_t id; /* which key this is: rises with each rotation, from 1 */
    uint8_t bytes[SKUA__BEACON_KEY_BYTES];
} skua__beacon_key;

/* Derives the key of that id: the same fleet secret and id always give the same key. */
void skua__beacon_key_derive(const uint8_t fleet_secret[SKUA__FLEET_SECRET_BYTES], uint32_t id,
                             skua__beacon_key *ret);

/* Flags; those that a receiver does not know it ignores. */
enum {
    SKUA__BEACON_BYE = 1u << 0,   /* I am stopping: probe me now (it is no proof of a death) */
    SKUA__BEACON_PROBE = 1u << 1, /* please beacon at once: I have not heard you for a while */
};

typedef struct skua__beacon {
    uint8_t flags;
    skua__uuid uuid;
    uint64_t incarnation;
    uint64_t sequence;          /* rises with every datagram of an incarnation; begins at 1 */
    uint16_t control_port;      /* TCP: control links */
    uint16_t introduction_port; /* TCP: certificates are swapped there */
    uint32_t record_version;    /* so that a peer sees that its copy of the record is old */
    skua__certificate certificate;
} skua__beacon;

/* Why a datagram is not accepted; each is a counter of its own (I24). */
typedef enum skua__beacon_result {
    SKUA__BEACON_OK,
    SKUA__BEACON_TOO_SHORT,
    SKUA__BEACON_TOO_LONG,
    SKUA__BEACON_NOT_SKUA, /* the magic is not there */
    SKUA__BEACON_OTHER_VERSION,
    SKUA__BEACON_BAD_SIZE, /* the size it states is not the datagram's */
    SKUA__BEACON_OTHER_FLEET,
    SKUA__BEACON_UNKNOWN_KEY, /* a key id that we do not hold */
    SKUA__BEACON_BAD_MAC,
    SKUA__BEACON_BAD_FIELD,       /* a port of 0, an incarnation or sequence of 0 */
    SKUA__BEACON_BAD_CERTIFICATE, /* the bytes are none; a false signature is the caller's to find */
    SKUA__BEACON_REPLAYED,        /* from skua__beacon_window_check(): older than what we heard */
    SKUA__BEACON_RESULTS,
} skua__beacon_result;

/* "bad_mac", "other_fleet", …: also the label of its counter. Lives as long as the process. */
const char *skua__beacon_result_text(skua__beacon_result result);

/* Encodes and seals with key. Returns the size (always <= SKUA__BEACON_MAX), or 0 when size is too small. */
size_t skua__beacon_encode(const skua__beacon *beacon, const skua__beacon_key *key, void *bytes,
                           size_t size);

/*
 * Decodes and checks everything but the certificate's signature and time and the replay rule: call
 * skua__certificate_verify() and skua__beacon_window_check() next. *ret is untouched on failure. The MAC is checked
 * before anything else in the datagram but its header is believed.
 */
skua__beacon_result skua__beacon_decode(const void *bytes, size_t size,
                                        const skua__fleet_tag *fleet, const skua__beacon_key *keys,
                                        size_t key_count, skua__beacon *ret);

/* What was last heard of a node (one per UUID). Zero it to start. */
typedef struct skua__beacon_window {
    uint64_t incarnation;
    uint64_t sequence;
} skua__beacon_window;

/*
 * The rule: an incarnation never falls, and within one the sequence rises. Returns true and moves the window, or false
 * for a replay (or for the second copy of a datagram that came by two interfaces).
 */
bool skua__beacon_window_check(skua__beacon_window *window, uint64_t incarnation,
                               uint64_t sequence);

/* The MAC of beacons and introductions: 16 bytes of BLAKE2b keyed with key. */
void skua__beacon_mac(const skua__beacon_key *key, const void *bytes, size_t size,
                      uint8_t ret_mac[SKUA__BEACON_MAC_BYTES]);

#endif
