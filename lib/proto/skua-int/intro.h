// SPDX-License-Identifier: MPL-2.0
// The introduction: on a short TCP connection two nodes that no beacon reaches swap certificates, one request and one
// reply, before either dials the other's control port. Pure codec. Layout in docs/design/wire.md.
#ifndef SKUA_INT_INTRO_H
#define SKUA_INT_INTRO_H

#include <skua-int/beacon.h>

enum {
    SKUA__INTRO_MAX = 1024, /* bytes of a request or a reply, and of what a server reads at most */
    SKUA__INTRO_VERSION = 1,
    SKUA__INTRO_HEADER = 8, /* after these bytes the whole size is known */
    SKUA__INTRO_NONCE_BYTES = 16,
};

typedef enum skua__intro_kind {
    SKUA__INTRO_REQUEST = 1,
    SKUA__INTRO_REPLY = 2,
    SKUA__INTRO_REFUSAL =
        3, /* carries a cause only; it is not sealed, so it serves for a message and nothing else */
} skua__intro_kind;

/* Why an introduction is not accepted. The numbers stand on the wire, in a refusal. */
typedef enum skua__intro_result {
    SKUA__INTRO_OK = 0,
    SKUA__INTRO_TOO_SHORT = 1, /* ended early */
    SKUA__INTRO_TOO_LONG = 2,
    SKUA__INTRO_NOT_SKUA = 3,
    SKUA__INTRO_OTHER_VERSION = 4,
    SKUA__INTRO_BAD_SIZE = 5,
    SKUA__INTRO_OTHER_FLEET = 6,
    SKUA__INTRO_UNKNOWN_KEY = 7,
    SKUA__INTRO_BAD_MAC = 8,
    SKUA__INTRO_BAD_FIELD = 9,
    SKUA__INTRO_BAD_CERTIFICATE =
        10, /* malformed, or (said by the caller) expired, not yet valid, badly signed */
    SKUA__INTRO_BUSY = 11,        /* said by the caller: the rate limit */
    SKUA__INTRO_WRONG_NONCE = 12, /* said by the caller: a reply to another request */
    SKUA__INTRO_RESULTS,
} skua__intro_result;

const char *skua__intro_result_text(skua__intro_result result);

typedef struct skua__intro {
    skua__intro_kind kind;
    uint8_t nonce
        [SKUA__INTRO_NONCE_BYTES]; /* random in a request, repeated in its reply: no replay of old replies */
    skua__uuid uuid;
    uint64_t incarnation;
    uint16_t control_port;
    uint16_t introduction_port;
    skua__certificate certificate;
    skua__intro_result refusal; /* of a REFUSAL; its other members are zero */
} skua__intro;

/*
 * Encodes; key seals a request or a reply, and fleet is put in front (a REFUSAL uses neither, both may be NULL).
 * Returns the size (<= SKUA__INTRO_MAX), or 0 when size is too small.
 */
size_t skua__intro_encode(const skua__intro *intro, const skua__beacon_key *key, void *bytes,
                          size_t size);

/*
 * How many bytes the introduction that begins with these takes in all. Returns 0 when fewer than
 * SKUA__INTRO_HEADER bytes are there (read on), or SIZE_MAX when they are no introduction: close.
 */
size_t skua__intro_size(const void *bytes, size_t have);

/* Decodes exactly size bytes; the caller verifies the certificate. *ret is untouched on failure. */
skua__intro_result skua__intro_decode(const void *bytes, size_t size, const skua__fleet_tag *fleet,
                                      const skua__beacon_key *keys, size_t key_count,
                                      skua__intro *ret);

#endif
