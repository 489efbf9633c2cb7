// SPDX-License-Identifier: MPL-2.0
// Beacons: as they come, and with header and seal put right, so that the rest is reached. What decodes survives a round
// trip.
#include "fuzz.h"

static skua__beacon_result
decode(const fuzz_fleet *fleet, const uint8_t *bytes, size_t size, skua__beacon *ret) {
    return skua__beacon_decode(bytes, size, &fleet->tag, &fleet->key, 1, ret);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    fuzz_fleet fleet = fuzz_fleet_make();
    skua__beacon beacon, back;
    skua__beacon_result result = decode(&fleet, bytes, size, &beacon);
    FUZZ_CHECK(result < SKUA__BEACON_RESULTS);
    uint8_t sealed[SKUA__BEACON_MAX], again[SKUA__BEACON_MAX];
    if (size < 20 + SKUA__BEACON_MAC_BYTES || size > sizeof sealed) {
        return 0;
    }
    memcpy(sealed, bytes, size);
    memcpy(sealed, "SKUA\1", 5);
    sealed[6] = (uint8_t)size;
    sealed[7] = (uint8_t)(size >> 8);
    memcpy(sealed + 8, "\1\0\0\0", 4);
    memcpy(sealed + 12, fleet.tag.bytes, sizeof fleet.tag.bytes);
    if (size >= SKUA__BEACON_FIXED + 12) {
        memcpy(sealed + SKUA__BEACON_FIXED + 4, fleet.tag.bytes, sizeof fleet.tag.bytes);
    }
    fuzz_seal(&fleet, sealed, size);
    if (decode(&fleet, sealed, size, &beacon) != SKUA__BEACON_OK) {
        return 0;
    }
    size_t used = skua__beacon_encode(&beacon, &fleet.key, again, sizeof again);
    FUZZ_CHECK(used > 0 && used <= size);
    FUZZ_CHECK(decode(&fleet, again, used, &back) == SKUA__BEACON_OK);
    FUZZ_CHECK(skua__uuid_equal(&beacon.uuid, &back.uuid) && beacon.flags == back.flags);
    FUZZ_CHECK(beacon.incarnation == back.incarnation && beacon.sequence == back.sequence);
    FUZZ_CHECK(beacon.control_port == back.control_port);
    FUZZ_CHECK(beacon.introduction_port == back.introduction_port);
    FUZZ_CHECK(beacon.record_version == back.record_version);
    FUZZ_CHECK(skua__certificate_equal(&beacon.certificate, &back.certificate));
    return 0;
}
