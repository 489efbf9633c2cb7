// SPDX-License-Identifier: MPL-2.0
// Certificates: what the fleet key signs for a node, and the keys of a fleet. Pure: the wall time is a parameter.
// Layout in docs/design/wire.md. The caller has run sodium_init() once.
#ifndef SKUA_INT_CERTIFICATE_H
#define SKUA_INT_CERTIFICATE_H

#include <skua-int/ids.h>
#include <skua/error.h>

enum {
    SKUA__FLEET_SECRET_BYTES = 64,        /* an ed25519 secret key as libsodium keeps it */
    SKUA__FLEET_TAG_BYTES = 8,            /* a short hash of the fleet's public key */
    SKUA__SIGNATURE_BYTES = 64,           /* ed25519, detached */
    SKUA__CERTIFICATE_FIXED = 72,         /* encoded: before the name */
    SKUA__CERTIFICATE_MAX = 72 + 63 + 64, /* encoded: with the longest name */
    SKUA__CERTIFICATE_MIN = 72 + 1 + 64,
    SKUA__CERTIFICATE_FORMAT = 1,
    SKUA__CERTIFICATE_SKEW_S = 300, /* how far our clock may lag behind the issuer's */
};

typedef struct skua__fleet_tag {
    uint8_t bytes[SKUA__FLEET_TAG_BYTES];
} skua__fleet_tag;

/* A certificate in memory. Encoding is canonical: equal structs give equal bytes, and back. */
typedef struct skua__certificate {
    skua__fleet_tag fleet;
    uint8_t curve_key[SKUA_KEY_BYTES]; /* the node's CURVE public key, raw (not Z85) */
    char name[SKUA_NAME_BYTES];
    uint32_t roles;    /* a set of skua__role */
    uint64_t serial;   /* unique within a fleet; what a revocation names */
    int64_t issued_s;  /* seconds since 1970 */
    int64_t expires_s; /* the first second in which it is no longer valid */
    uint8_t signature[SKUA__SIGNATURE_BYTES];
} skua__certificate;

/* Why a certificate is not accepted, in the order in which it is looked at. */
typedef enum skua__certificate_result {
    SKUA__CERTIFICATE_OK,
    SKUA__CERTIFICATE_MALFORMED, /* not the format, or a name outside the rule, or issued >= expires */
    SKUA__CERTIFICATE_OTHER_FLEET,   /* its fleet tag is not ours */
    SKUA__CERTIFICATE_BAD_SIGNATURE, /* not signed by our fleet key, or changed since */
    SKUA__CERTIFICATE_NOT_YET,       /* issued more than SKUA__CERTIFICATE_SKEW_S after now */
    SKUA__CERTIFICATE_EXPIRED,
    SKUA__CERTIFICATE_RESULTS, /* how many there are */
} skua__certificate_result;

/* "expired", "of another fleet", …: a phrase for messages, lives as long as the process. */
const char *skua__certificate_result_text(skua__certificate_result result);
/* The status that says it to a user: 0, SKUA_E_BAD_CERTIFICATE or SKUA_E_EXPIRED. */
skua_status skua__certificate_result_status(skua__certificate_result result);

/* Makes a fleet's key pair out of chance. */
void skua__fleet_keys_make(uint8_t ret_public[SKUA_KEY_BYTES],
                           uint8_t ret_secret[SKUA__FLEET_SECRET_BYTES]);
/* The first 8 bytes of BLAKE2b over the fleet's public key. */
skua__fleet_tag skua__fleet_tag_of(const uint8_t fleet_public[SKUA_KEY_BYTES]);

/*
 * Signs: fills cert->fleet and cert->signature from the other members. Returns false, nothing changed, when the
 * name breaks the rule or issued_s >= expires_s or issued_s < 0. The unused bytes of name are zeroed.
 */
bool skua__certificate_sign(skua__certificate *cert,
                            const uint8_t fleet_secret[SKUA__FLEET_SECRET_BYTES]);

/* Encodes into at least SKUA__CERTIFICATE_MAX bytes, or fewer if they suffice. Returns the size, 0: too small. */
size_t skua__certificate_encode(const skua__certificate *cert, void *bytes, size_t size);

/*
 * Decodes exactly size bytes. The signature is not looked at. Returns OK or MALFORMED; *ret is untouched on failure.
 */
skua__certificate_result skua__certificate_decode(const void *bytes, size_t size,
                                                  skua__certificate *ret);

/*
 * Looks at fleet, signature and time. It costs a signature check (about 70 us): a caller that has verified the same
 * certificate before compares with skua__certificate_equal() and skua__certificate_check_time() instead.
 */
skua__certificate_result skua__certificate_verify(const skua__certificate *cert,
                                                  const uint8_t fleet_public[SKUA_KEY_BYTES],
                                                  int64_t now_wall_s);
/* OK, NOT_YET or EXPIRED. */
skua__certificate_result skua__certificate_check_time(const skua__certificate *cert,
                                                      int64_t now_wall_s);
bool skua__certificate_equal(const skua__certificate *a, const skua__certificate *b);

#endif
