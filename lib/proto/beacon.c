// SPDX-License-Identifier: MPL-2.0
// The beacon's codec. Its header says which fleet and key it is of; the MAC over everything is checked before any other
// field is looked at, so that strangers reach no more code than that.
#include <skua-int/beacon.h>
#include <skua-int/buf.h>

#include <assert.h>
#include <sodium.h>

_Static_assert(SKUA__BEACON_MAC_BYTES >= crypto_generichash_BYTES_MIN, "BLAKE2b's shortest MAC");
_Static_assert(SKUA__BEACON_FIXED + SKUA__CERTIFICATE_MAX + SKUA__BEACON_MAC_BYTES <=
                   SKUA__BEACON_MAX,
               "a beacon with the longest certificate fits");

static const char magic[4] = "SKUA";

enum {
    HEADER_BYTES = 20, /* magic, version, flags, size, key id, fleet tag */
    SHORTEST = SKUA__BEACON_FIXED + SKUA__CERTIFICATE_MIN + SKUA__BEACON_MAC_BYTES,
};

static const char *const result_texts[SKUA__BEACON_RESULTS] = {
    [SKUA__BEACON_OK] = "ok",
    [SKUA__BEACON_TOO_SHORT] = "too_short",
    [SKUA__BEACON_TOO_LONG] = "too_long",
    [SKUA__BEACON_NOT_SKUA] = "not_skua",
    [SKUA__BEACON_OTHER_VERSION] = "other_version",
    [SKUA__BEACON_BAD_SIZE] = "bad_size",
    [SKUA__BEACON_OTHER_FLEET] = "other_fleet",
    [SKUA__BEACON_UNKNOWN_KEY] = "unknown_key",
    [SKUA__BEACON_BAD_MAC] = "bad_mac",
    [SKUA__BEACON_BAD_FIELD] = "bad_field",
    [SKUA__BEACON_BAD_CERTIFICATE] = "bad_certificate",
    [SKUA__BEACON_REPLAYED] = "replayed",
};

const char *
skua__beacon_result_text(skua__beacon_result result) {
    return (unsigned)result < SKUA__BEACON_RESULTS ? result_texts[result] : "unknown";
}

void
skua__beacon_key_derive(const uint8_t fleet_secret[SKUA__FLEET_SECRET_BYTES], uint32_t id,
                        skua__beacon_key *ret) {
    uint8_t label[20] = "skua beacon key";
    skua__writer writer = skua__writer_of(label + 16, 4);
    skua__write_u32(&writer, id);
    ret->id = id;
    /* Keyed by the secret's first half, ed25519's seed: the second is only the public key again. */
    crypto_generichash(ret->bytes, sizeof ret->bytes, label, sizeof label, fleet_secret,
                       crypto_sign_SEEDBYTES);
}

void
skua__beacon_mac(const skua__beacon_key *key, const void *bytes, size_t size,
                 uint8_t ret_mac[SKUA__BEACON_MAC_BYTES]) {
    crypto_generichash(ret_mac, SKUA__BEACON_MAC_BYTES, bytes, size, key->bytes, sizeof key->bytes);
}

size_t
skua__beacon_encode(const skua__beacon *beacon, const skua__beacon_key *key, void *bytes,
                    size_t size) {
    uint8_t certificate[SKUA__CERTIFICATE_MAX];
    size_t certificate_size =
        skua__certificate_encode(&beacon->certificate, certificate, sizeof certificate);
    size_t whole = SKUA__BEACON_FIXED + certificate_size + SKUA__BEACON_MAC_BYTES;
    skua__writer writer = skua__writer_of(bytes, size);
    skua__write_bytes(&writer, magic, sizeof magic);
    skua__write_u8(&writer, SKUA__BEACON_VERSION);
    skua__write_u8(&writer, beacon->flags);
    skua__write_u16(&writer, (uint16_t)whole);
    skua__write_u32(&writer, key->id);
    skua__write_bytes(&writer, beacon->certificate.fleet.bytes, SKUA__FLEET_TAG_BYTES);
    skua__write_bytes(&writer, beacon->uuid.bytes, sizeof beacon->uuid.bytes);
    skua__write_u64(&writer, beacon->incarnation);
    skua__write_u64(&writer, beacon->sequence);
    skua__write_u16(&writer, beacon->control_port);
    skua__write_u16(&writer, beacon->introduction_port);
    skua__write_u32(&writer, beacon->record_version);
    skua__write_u16(&writer, (uint16_t)certificate_size);
    assert(writer.failed || writer.used == SKUA__BEACON_FIXED);
    skua__write_bytes(&writer, certificate, certificate_size);
    if (writer.failed || size < whole) {
        return 0;
    }
    uint8_t mac[SKUA__BEACON_MAC_BYTES];
    skua__beacon_mac(key, bytes, writer.used, mac);
    skua__write_bytes(&writer, mac, sizeof mac);
    return writer.used;
}

/* The header, and the MAC over the whole datagram. */
static skua__beacon_result
check_seal(const uint8_t *bytes, size_t size, const skua__fleet_tag *fleet,
           const skua__beacon_key *keys, size_t key_count) {
    if (size < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0) {
        return size < sizeof magic ? SKUA__BEACON_TOO_SHORT : SKUA__BEACON_NOT_SKUA;
    }
    if (size < HEADER_BYTES + SKUA__BEACON_MAC_BYTES) {
        return SKUA__BEACON_TOO_SHORT;
    }
    skua__reader reader = skua__reader_of(bytes + sizeof magic, size - sizeof magic);
    if (skua__read_u8(&reader) != SKUA__BEACON_VERSION) {
        return SKUA__BEACON_OTHER_VERSION;
    }
    skua__read_u8(&reader); /* flags */
    if (skua__read_u16(&reader) != size) {
        return SKUA__BEACON_BAD_SIZE;
    }
    uint32_t key_id = skua__read_u32(&reader);
    if (memcmp(skua__read_bytes(&reader, SKUA__FLEET_TAG_BYTES), fleet->bytes,
               sizeof fleet->bytes) != 0) {
        return SKUA__BEACON_OTHER_FLEET;
    }
    const skua__beacon_key *key = NULL;
    for (size_t i = 0; i < key_count && !key; i++) {
        key = keys[i].id == key_id ? &keys[i] : NULL;
    }
    if (!key) {
        return SKUA__BEACON_UNKNOWN_KEY;
    }
    uint8_t mac[SKUA__BEACON_MAC_BYTES];
    size_t covered = size - sizeof mac;
    skua__beacon_mac(key, bytes, covered, mac);
    return sodium_memcmp(mac, bytes + covered, sizeof mac) == 0 ? SKUA__BEACON_OK
                                                                : SKUA__BEACON_BAD_MAC;
}

skua__beacon_result
skua__beacon_decode(const void *bytes, size_t size, const skua__fleet_tag *fleet,
                    const skua__beacon_key *keys, size_t key_count, skua__beacon *ret) {
    if (size > SKUA__BEACON_MAX) {
        return SKUA__BEACON_TOO_LONG;
    }
    skua__beacon_result result = check_seal(bytes, size, fleet, keys, key_count);
    if (result != SKUA__BEACON_OK) {
        return result;
    }
    if (size < SHORTEST) {
        return SKUA__BEACON_TOO_SHORT;
    }
    skua__beacon beacon = {.flags = ((const uint8_t *)bytes)[5]};
    skua__reader reader = skua__reader_of((const uint8_t *)bytes + HEADER_BYTES,
                                          size - HEADER_BYTES - SKUA__BEACON_MAC_BYTES);
    skua__read_copy(&reader, beacon.uuid.bytes, sizeof beacon.uuid.bytes);
    beacon.incarnation = skua__read_u64(&reader);
    beacon.sequence = skua__read_u64(&reader);
    beacon.control_port = skua__read_u16(&reader);
    beacon.introduction_port = skua__read_u16(&reader);
    beacon.record_version = skua__read_u32(&reader);
    if (beacon.incarnation == 0 || beacon.sequence == 0 || beacon.control_port == 0 ||
        beacon.introduction_port == 0) {
        return SKUA__BEACON_BAD_FIELD;
    }
    size_t certificate_size = skua__read_u16(&reader);
    const uint8_t *certificate = skua__read_bytes(&reader, certificate_size);
    /* What a later version may put between certificate and MAC is covered by the MAC and skipped. */
    if (!certificate ||
        skua__certificate_decode(certificate, certificate_size, &beacon.certificate) !=
            SKUA__CERTIFICATE_OK ||
        memcmp(&beacon.certificate.fleet, fleet, sizeof *fleet) != 0) {
        return SKUA__BEACON_BAD_CERTIFICATE;
    }
    *ret = beacon;
    return SKUA__BEACON_OK;
}

bool
skua__beacon_window_check(skua__beacon_window *window, uint64_t incarnation, uint64_t sequence) {
    bool newer = incarnation > window->incarnation ||
                 (incarnation == window->incarnation && sequence > window->sequence);
    if (newer) {
        *window = (skua__beacon_window){.incarnation = incarnation, .sequence = sequence};
    }
    return newer;
}
