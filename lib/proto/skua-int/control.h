// SPDX-License-Identifier: MPL-2.0
// The frames of a control link: each is one ZeroMQ frame. A pure codec; decoded frames borrow from the bytes that they
// were decoded from. Layout in docs/design/wire.md.
#ifndef SKUA_INT_CONTROL_H
#define SKUA_INT_CONTROL_H

#include <skua-int/certificate.h>

enum {
    SKUA__PROTOCOL_MIN =
        1, /* the oldest protocol version that this library speaks (N - 1, once there is one) */
    SKUA__PROTOCOL_MAX = 1, /* the newest: N */

    SKUA__CONTROL_MAX = 128 * 1024, /* bytes of a frame: the ZMQ_MAXMSGSIZE of a control socket */
    SKUA__CONTROL_HEADER = 8,
    SKUA__CONTROL_APP_MAX = 1024,  /* bytes of an APP message */
    SKUA__CONTROL_TEXT_MAX = 200,  /* bytes of the text in a REFUSE */
    SKUA__CONTROL_PEERS_MAX = 256, /* entries of one PEERS frame; more peers take more frames */
    SKUA__PEER_ENTRY_MAX = 16 + 8 + 17 + 2 + 2 + 2 + SKUA__CERTIFICATE_MAX, /* encoded */
};

typedef enum skua__control_type {
    SKUA__CONTROL_HELLO = 1, /* the first frame in each direction; nothing else is read before it */
    SKUA__CONTROL_PING = 2,
    SKUA__CONTROL_PONG = 3,
    SKUA__CONTROL_RECORD = 4, /* the sender's record (skua-int/record.h) */
    SKUA__CONTROL_PEERS = 5,  /* peers of the sender that it holds to be alive */
    SKUA__CONTROL_BYE = 6,    /* the sender stops: probe it */
    SKUA__CONTROL_APP = 7,    /* an upper layer's message */
    SKUA__CONTROL_CRL = 8,    /* reserved: a fleet-signed list of revoked serials; kept as bytes */
    SKUA__CONTROL_REFUSE = 9, /* the sender refuses this link and says why; the last frame */
    SKUA__CONTROL_PROBE = 10, /* reserved: indirect probes; not sent by version 1 */
} skua__control_type;

/* Flags of the header. */
enum { SKUA__CONTROL_CRITICAL = 1u << 0 /* who does not know this type must refuse the link */ };

/* Features of a HELLO, one bit each; none in version 1. A link uses those that both sides named. */

typedef struct skua__hello {
    uint16_t version_min, version_max; /* protocol versions that the sender speaks */
    uint64_t features;
    skua__uuid uuid;
    uint64_t incarnation;
    uint64_t serial; /* of the certificate with which it came */
    uint16_t control_port, introduction_port;
    uint32_t record_version;
} skua__hello;

typedef struct skua__ping {
    uint64_t id;
    int64_t sent_ns; /* the sender's clock; only the sender understands it */
    int64_t held_ns; /* PONG: how long it lay with the answerer. PING: 0 */
} skua__ping;

/* One peer in a PEERS frame. */
typedef struct skua__peer_entry {
    skua__uuid uuid;
    uint64_t incarnation;
    skua__address address; /* at which the sender reaches it */
    uint16_t control_port, introduction_port;
    skua__certificate certificate; /* verify it before use */
} skua__peer_entry;

/* A run of bytes inside somebody else's memory. */
typedef struct skua__span {
    const uint8_t *bytes;
    size_t size;
} skua__span;

typedef struct skua__control {
    skua__control_type type; /* on decoding: also a number that we do not know, see below */
    uint8_t flags;
    uint8_t version; /* the negotiated protocol version; 0 in HELLO and REFUSE */
    union {
        skua__hello hello;
        skua__ping ping;   /* PING and PONG */
        skua__span record; /* RECORD: for skua__record_decode() */
        struct {
            uint16_t count;
            skua__span entries; /* for skua__peers_next(), or made by skua__peers_append() */
        } peers;
        struct {
            uint64_t incarnation;
        } bye;
        struct {
            uint16_t channel;
            skua__span bytes;
        } app;
        skua__span crl;
        struct {
            int32_t status;  /* a skua_status, negative */
            skua__span text; /* printable ASCII, no final 0 */
        } refuse;
        skua__span raw; /* a type that we do not know */
    };
} skua__control;

typedef enum skua__control_result {
    SKUA__CONTROL_OK,
    SKUA__CONTROL_TOO_SHORT,
    SKUA__CONTROL_TOO_LONG,
    SKUA__CONTROL_NOT_SKUA, /* the magic byte */
    SKUA__CONTROL_BAD_SIZE, /* the size it states is not the frame's */
    SKUA__CONTROL_BAD_FIELD,
    SKUA__CONTROL_UNKNOWN, /* a type we do not know, not critical: *ret holds it in raw; ignore and go on */
    SKUA__CONTROL_UNKNOWN_CRITICAL, /* refuse the link */
    SKUA__CONTROL_RESULTS,
} skua__control_result;

const char *skua__control_result_text(skua__control_result result);

/* Returns the size, or 0 when size is too small or a member breaks its bound. */
size_t skua__control_encode(const skua__control *control, void *bytes, size_t size);
/* The bytes that skua__control_encode() needs at most for this frame. */
size_t skua__control_size(const skua__control *control);
/* *ret is untouched on failure, except for UNKNOWN. The entries of PEERS have been walked: next() cannot fail. */
skua__control_result skua__control_decode(const void *bytes, size_t size, skua__control *ret);

/*
 * The entries of a PEERS frame. append writes one at bytes + *used and moves *used; it returns false when there is no
 * room. next reads the first entry of *entries and shortens the span; it returns false at the end or, for bytes that
 * did not come from skua__control_decode(), where they are malformed.
 */
bool skua__peers_append(void *bytes, size_t size, size_t *used, const skua__peer_entry *entry);
bool skua__peers_next(skua__span *entries, skua__peer_entry *ret);

/*
 * The version that both speak: the highest common one. Returns 0 and the version, or SKUA_E_PROTOCOL_VERSION with a
 * message that names both ranges and who has to be upgraded (peer_name is for the message).
 */
skua_status skua__version_negotiate(uint16_t our_min, uint16_t our_max, const skua__hello *theirs,
                                    const char *peer_name, uint16_t *ret_version, skua_error *err);

#endif
