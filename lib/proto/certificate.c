// SPDX-License-Identifier: MPL-2.0
// Certificates: signing, encoding, decoding and checking. The encoding is canonical, so that what a node hands on in a
// peer list is, byte for byte, what the fleet key signed.
#include <skua-int/buf.h>
#include <skua-int/certificate.h>

#include <assert.h>
#include <sodium.h>

_Static_assert(SKUA_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "an ed25519 public key");
_Static_assert(SKUA__FLEET_SECRET_BYTES == crypto_sign_SECRETKEYBYTES, "an ed25519 secret key");
_Static_assert(SKUA__SIGNATURE_BYTES == crypto_sign_BYTES, "an ed25519 signature");

/* In front of what is signed, so that a signature by the fleet key can serve for nothing else. */
static const char sign_context[16] = "skua certificate";

enum { SIGNED_MAX = sizeof sign_context + SKUA__CERTIFICATE_FIXED + SKUA_NAME_BYTES };

static const char *const result_texts[SKUA__CERTIFICATE_RESULTS] = {
    [SKUA__CERTIFICATE_OK] = "valid",
    [SKUA__CERTIFICATE_MALFORMED] = "malformed",
    [SKUA__CERTIFICATE_OTHER_FLEET] = "of another fleet",
    [SKUA__CERTIFICATE_BAD_SIGNATURE] = "not signed by this fleet's key",
    [SKUA__CERTIFICATE_NOT_YET] = "not yet valid",
    [SKUA__CERTIFICATE_EXPIRED] = "expired",
};

const char *
skua__certificate_result_text(skua__certificate_result result) {
    return (unsigned)result < SKUA__CERTIFICATE_RESULTS ? result_texts[result] : "unknown";
}

skua_status
skua__certificate_result_status(skua__certificate_result result) {
    switch (result) {
    case SKUA__CERTIFICATE_OK:
        return SKUA_OK;
    case SKUA__CERTIFICATE_EXPIRED:
        return SKUA_E_EXPIRED;
    default:
        return SKUA_E_BAD_CERTIFICATE;
    }
}

void
skua__fleet_keys_make(uint8_t ret_public[SKUA_KEY_BYTES],
                      uint8_t ret_secret[SKUA__FLEET_SECRET_BYTES]) {
    crypto_sign_keypair(ret_public, ret_secret);
}

skua__fleet_tag
skua__fleet_tag_of(const uint8_t fleet_public[SKUA_KEY_BYTES]) {
    uint8_t hash[crypto_generichash_BYTES];
    crypto_generichash(hash, sizeof hash, fleet_public, SKUA_KEY_BYTES, NULL, 0);
    skua__fleet_tag tag;
    memcpy(tag.bytes, hash, sizeof tag.bytes);
    return tag;
}

static bool
fields_valid(const skua__certificate *cert) {
    return skua__name_valid(cert->name) && cert->issued_s >= 0 && cert->issued_s < cert->expires_s;
}

/* Everything but the signature. */
static void
write_body(skua__writer *writer, const skua__certificate *cert) {
    size_t length = strnlen(cert->name, sizeof cert->name - 1);
    skua__write_u8(writer, SKUA__CERTIFICATE_FORMAT);
    skua__write_u8(writer, (uint8_t)length);
    skua__write_u16(writer, 0);
    skua__write_bytes(writer, cert->fleet.bytes, sizeof cert->fleet.bytes);
    skua__write_bytes(writer, cert->curve_key, sizeof cert->curve_key);
    skua__write_u64(writer, cert->serial);
    skua__write_u64(writer, (uint64_t)cert->issued_s);
    skua__write_u64(writer, (uint64_t)cert->expires_s);
    skua__write_u32(writer, cert->roles);
    skua__write_bytes(writer, cert->name, length);
}

static size_t
signed_bytes(const skua__certificate *cert, uint8_t bytes[SIGNED_MAX]) {
    skua__writer writer = skua__writer_of(bytes, SIGNED_MAX);
    skua__write_bytes(&writer, sign_context, sizeof sign_context);
    write_body(&writer, cert);
    assert(!writer.failed);
    return writer.used;
}

bool
skua__certificate_sign(skua__certificate *cert,
                       const uint8_t fleet_secret[SKUA__FLEET_SECRET_BYTES]) {
    if (!fields_valid(cert)) {
        return false;
    }
    uint8_t fleet_public[SKUA_KEY_BYTES];
    crypto_sign_ed25519_sk_to_pk(fleet_public, fleet_secret);
    cert->fleet = skua__fleet_tag_of(fleet_public);
    size_t length = strlen(cert->name);
    memset(cert->name + length, 0, sizeof cert->name - length);
    uint8_t bytes[SIGNED_MAX];
    size_t size = signed_bytes(cert, bytes);
    crypto_sign_detached(cert->signature, NULL, bytes, size, fleet_secret);
    return true;
}

size_t
skua__certificate_encode(const skua__certificate *cert, void *bytes, size_t size) {
    skua__writer writer = skua__writer_of(bytes, size);
    write_body(&writer, cert);
    skua__write_bytes(&writer, cert->signature, sizeof cert->signature);
    return writer.failed ? 0 : writer.used;
}

skua__certificate_result
skua__certificate_decode(const void *bytes, size_t size, skua__certificate *ret) {
    skua__reader reader = skua__reader_of(bytes, size);
    skua__certificate cert = {0};
    uint8_t format = skua__read_u8(&reader);
    size_t length = skua__read_u8(&reader);
    uint16_t reserved = skua__read_u16(&reader);
    if (reader.failed || format != SKUA__CERTIFICATE_FORMAT || reserved != 0 ||
        length >= sizeof cert.name) {
        return SKUA__CERTIFICATE_MALFORMED;
    }
    skua__read_copy(&reader, cert.fleet.bytes, sizeof cert.fleet.bytes);
    skua__read_copy(&reader, cert.curve_key, sizeof cert.curve_key);
    cert.serial = skua__read_u64(&reader);
    cert.issued_s = (int64_t)skua__read_u64(&reader);
    cert.expires_s = (int64_t)skua__read_u64(&reader);
    cert.roles = skua__read_u32(&reader);
    skua__read_copy(&reader, cert.name, length);
    skua__read_copy(&reader, cert.signature, sizeof cert.signature);
    /* A 0 inside the name would make a shorter one; the rule allows none, so look at all of it. */
    if (reader.failed || reader.left != 0 || !skua__name_bytes_valid(cert.name, length) ||
        !fields_valid(&cert)) {
        return SKUA__CERTIFICATE_MALFORMED;
    }
    *ret = cert;
    return SKUA__CERTIFICATE_OK;
}

skua__certificate_result
skua__certificate_check_time(const skua__certificate *cert, int64_t now_wall_s) {
    if (cert->issued_s > SKUA__CERTIFICATE_SKEW_S &&
        now_wall_s < cert->issued_s - SKUA__CERTIFICATE_SKEW_S) {
        return SKUA__CERTIFICATE_NOT_YET;
    }
    return now_wall_s >= cert->expires_s ? SKUA__CERTIFICATE_EXPIRED : SKUA__CERTIFICATE_OK;
}

skua__certificate_result
skua__certificate_verify(const skua__certificate *cert, const uint8_t fleet_public[SKUA_KEY_BYTES],
                         int64_t now_wall_s) {
    if (!fields_valid(cert)) {
        return SKUA__CERTIFICATE_MALFORMED;
    }
    skua__fleet_tag fleet = skua__fleet_tag_of(fleet_public);
    if (memcmp(&fleet, &cert->fleet, sizeof fleet) != 0) {
        return SKUA__CERTIFICATE_OTHER_FLEET;
    }
    uint8_t bytes[SIGNED_MAX];
    size_t size = signed_bytes(cert, bytes);
    if (crypto_sign_verify_detached(cert->signature, bytes, size, fleet_public) != 0) {
        return SKUA__CERTIFICATE_BAD_SIGNATURE;
    }
    return skua__certificate_check_time(cert, now_wall_s);
}

bool
skua__certificate_equal(const skua__certificate *a, const skua__certificate *b) {
    return memcmp(&a->fleet, &b->fleet, sizeof a->fleet) == 0 &&
           memcmp(a->curve_key, b->curve_key, sizeof a->curve_key) == 0 &&
           strncmp(a->name, b->name, sizeof a->name) == 0 && a->roles == b->roles &&
           a->serial == b->serial && a->issued_s == b->issued_s && a->expires_s == b->expires_s &&
           memcmp(a->signature, b->signature, sizeof a->signature) == 0;
}
