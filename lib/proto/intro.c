// SPDX-License-Identifier: MPL-2.0
// The introduction's codec: like a beacon on a stream, sealed with the same key, with a nonce that ties a reply to its
// request.
#include <skua-int/buf.h>
#include <skua-int/intro.h>

#include <sodium.h>

static const char magic[4] = "SKUI";

enum {
    FIXED_BYTES = SKUA__INTRO_HEADER + 4 + SKUA__FLEET_TAG_BYTES + SKUA__INTRO_NONCE_BYTES + 16 +
                  8 + 2 + 2 + 2,
    REFUSAL_BYTES = SKUA__INTRO_HEADER + 2,
};

_Static_assert(FIXED_BYTES + SKUA__CERTIFICATE_MAX + SKUA__BEACON_MAC_BYTES <= SKUA__INTRO_MAX,
               "an introduction with the longest certificate fits");

static const char *const result_texts[SKUA__INTRO_RESULTS] = {
    [SKUA__INTRO_OK] = "ok",
    [SKUA__INTRO_TOO_SHORT] = "too_short",
    [SKUA__INTRO_TOO_LONG] = "too_long",
    [SKUA__INTRO_NOT_SKUA] = "not_skua",
    [SKUA__INTRO_OTHER_VERSION] = "other_version",
    [SKUA__INTRO_BAD_SIZE] = "bad_size",
    [SKUA__INTRO_OTHER_FLEET] = "other_fleet",
    [SKUA__INTRO_UNKNOWN_KEY] = "unknown_key",
    [SKUA__INTRO_BAD_MAC] = "bad_mac",
    [SKUA__INTRO_BAD_FIELD] = "bad_field",
    [SKUA__INTRO_BAD_CERTIFICATE] = "bad_certificate",
    [SKUA__INTRO_BUSY] = "busy",
    [SKUA__INTRO_WRONG_NONCE] = "wrong_nonce",
};

const char *
skua__intro_result_text(skua__intro_result result) {
    return (unsigned)result < SKUA__INTRO_RESULTS ? result_texts[result] : "unknown";
}

static void
write_header(skua__writer *writer, skua__intro_kind kind, size_t whole) {
    skua__write_bytes(writer, magic, sizeof magic);
    skua__write_u8(writer, SKUA__INTRO_VERSION);
    skua__write_u8(writer, (uint8_t)kind);
    skua__write_u16(writer, (uint16_t)whole);
}

size_t
skua__intro_encode(const skua__intro *intro, const skua__beacon_key *key, void *bytes,
                   size_t size) {
    skua__writer writer = skua__writer_of(bytes, size);
    if (intro->kind == SKUA__INTRO_REFUSAL) {
        write_header(&writer, intro->kind, REFUSAL_BYTES);
        skua__write_u16(&writer, (uint16_t)intro->refusal);
        return writer.failed ? 0 : writer.used;
    }
    uint8_t certificate[SKUA__CERTIFICATE_MAX];
    size_t certificate_size =
        skua__certificate_encode(&intro->certificate, certificate, sizeof certificate);
    write_header(&writer, intro->kind, FIXED_BYTES + certificate_size + SKUA__BEACON_MAC_BYTES);
    skua__write_u32(&writer, key->id);
    skua__write_bytes(&writer, intro->certificate.fleet.bytes, SKUA__FLEET_TAG_BYTES);
    skua__write_bytes(&writer, intro->nonce, sizeof intro->nonce);
    skua__write_bytes(&writer, intro->uuid.bytes, sizeof intro->uuid.bytes);
    skua__write_u64(&writer, intro->incarnation);
    skua__write_u16(&writer, intro->control_port);
    skua__write_u16(&writer, intro->introduction_port);
    skua__write_u16(&writer, (uint16_t)certificate_size);
    skua__write_bytes(&writer, certificate, certificate_size);
    if (writer.failed) {
        return 0;
    }
    uint8_t mac[SKUA__BEACON_MAC_BYTES];
    skua__beacon_mac(key, bytes, writer.used, mac);
    skua__write_bytes(&writer, mac, sizeof mac);
    return writer.failed ? 0 : writer.used;
}

size_t
skua__intro_size(const void *bytes, size_t have) {
    const uint8_t *at = bytes;
    size_t looked_at = have < sizeof magic ? have : sizeof magic;
    if (looked_at && memcmp(at, magic, looked_at) != 0) {
        return SIZE_MAX;
    }
    if (have < SKUA__INTRO_HEADER) {
        return 0;
    }
    size_t whole = (size_t)at[6] | (size_t)at[7] << 8;
    return whole < REFUSAL_BYTES || whole > SKUA__INTRO_MAX ? SIZE_MAX : whole;
}

/* Everything before the sealed part of a request or a reply. */
static skua__intro_result
check_seal(const uint8_t *bytes, size_t size, const skua__fleet_tag *fleet,
           const skua__beacon_key *keys, size_t key_count) {
    if (size < FIXED_BYTES + SKUA__CERTIFICATE_MIN + SKUA__BEACON_MAC_BYTES) {
        return SKUA__INTRO_TOO_SHORT;
    }
    skua__reader reader = skua__reader_of(bytes + SKUA__INTRO_HEADER, size - SKUA__INTRO_HEADER);
    uint32_t key_id = skua__read_u32(&reader);
    if (memcmp(skua__read_bytes(&reader, SKUA__FLEET_TAG_BYTES), fleet->bytes,
               sizeof fleet->bytes) != 0) {
        return SKUA__INTRO_OTHER_FLEET;
    }
    const skua__beacon_key *key = NULL;
    for (size_t i = 0; i < key_count && !key; i++) {
        key = keys[i].id == key_id ? &keys[i] : NULL;
    }
    if (!key) {
        return SKUA__INTRO_UNKNOWN_KEY;
    }
    uint8_t mac[SKUA__BEACON_MAC_BYTES];
    size_t covered = size - sizeof mac;
    skua__beacon_mac(key, bytes, covered, mac);
    return sodium_memcmp(mac, bytes + covered, sizeof mac) == 0 ? SKUA__INTRO_OK
                                                                : SKUA__INTRO_BAD_MAC;
}

static skua__intro_result
decode_refusal(const uint8_t *bytes, size_t size, skua__intro *ret) {
    if (size != REFUSAL_BYTES) {
        return SKUA__INTRO_BAD_SIZE;
    }
    unsigned cause = (unsigned)bytes[8] | (unsigned)bytes[9] << 8;
    if (cause == SKUA__INTRO_OK) {
        return SKUA__INTRO_BAD_FIELD;
    }
    *ret = (skua__intro){.kind = SKUA__INTRO_REFUSAL, .refusal = (skua__intro_result)cause};
    return SKUA__INTRO_OK;
}

skua__intro_result
skua__intro_decode(const void *bytes, size_t size, const skua__fleet_tag *fleet,
                   const skua__beacon_key *keys, size_t key_count, skua__intro *ret) {
    const uint8_t *at = bytes;
    if (size > SKUA__INTRO_MAX) {
        return SKUA__INTRO_TOO_LONG;
    }
    if (size < REFUSAL_BYTES) {
        return SKUA__INTRO_TOO_SHORT;
    }
    if (memcmp(at, magic, sizeof magic) != 0) {
        return SKUA__INTRO_NOT_SKUA;
    }
    if (at[4] != SKUA__INTRO_VERSION) {
        return SKUA__INTRO_OTHER_VERSION;
    }
    if (((size_t)at[6] | (size_t)at[7] << 8) != size) {
        return SKUA__INTRO_BAD_SIZE;
    }
    if (at[5] == SKUA__INTRO_REFUSAL) {
        return decode_refusal(at, size, ret);
    }
    if (at[5] != SKUA__INTRO_REQUEST && at[5] != SKUA__INTRO_REPLY) {
        return SKUA__INTRO_BAD_FIELD;
    }
    skua__intro_result result = check_seal(at, size, fleet, keys, key_count);
    if (result != SKUA__INTRO_OK) {
        return result;
    }
    skua__intro intro = {.kind = (skua__intro_kind)at[5]};
    size_t before = SKUA__INTRO_HEADER + 4 + SKUA__FLEET_TAG_BYTES;
    skua__reader reader = skua__reader_of(at + before, size - before - SKUA__BEACON_MAC_BYTES);
    skua__read_copy(&reader, intro.nonce, sizeof intro.nonce);
    skua__read_copy(&reader, intro.uuid.bytes, sizeof intro.uuid.bytes);
    intro.incarnation = skua__read_u64(&reader);
    intro.control_port = skua__read_u16(&reader);
    intro.introduction_port = skua__read_u16(&reader);
    if (intro.incarnation == 0 || intro.control_port == 0 || intro.introduction_port == 0) {
        return SKUA__INTRO_BAD_FIELD;
    }
    size_t certificate_size = skua__read_u16(&reader);
    const uint8_t *certificate = skua__read_bytes(&reader, certificate_size);
    if (!certificate ||
        skua__certificate_decode(certificate, certificate_size, &intro.certificate) !=
            SKUA__CERTIFICATE_OK ||
        memcmp(&intro.certificate.fleet, fleet, sizeof *fleet) != 0) {
        return SKUA__INTRO_BAD_CERTIFICATE;
    }
    *ret = intro;
    return SKUA__INTRO_OK;
}
