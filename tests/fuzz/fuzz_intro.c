// SPDX-License-Identifier: MPL-2.0
// Introductions: as they come, and with header and seal put right. What decodes survives a round trip.
#include "fuzz.h"

#include <skua-int/intro.h>

static skua__intro_result
decode(const fuzz_fleet *fleet, const uint8_t *bytes, size_t size, skua__intro *ret) {
    return skua__intro_decode(bytes, size, &fleet->tag, &fleet->key, 1, ret);
}

static void
round_trip(const fuzz_fleet *fleet, const uint8_t *bytes, size_t size) {
    skua__intro intro, back;
    if (decode(fleet, bytes, size, &intro) != SKUA__INTRO_OK) {
        return;
    }
    FUZZ_CHECK(skua__intro_size(bytes, size) == size);
    uint8_t again[SKUA__INTRO_MAX];
    size_t used = skua__intro_encode(&intro, &fleet->key, again, sizeof again);
    FUZZ_CHECK(used > 0 && used <= size);
    FUZZ_CHECK(decode(fleet, again, used, &back) == SKUA__INTRO_OK);
    FUZZ_CHECK(intro.kind == back.kind && intro.refusal == back.refusal);
    FUZZ_CHECK(memcmp(intro.nonce, back.nonce, sizeof intro.nonce) == 0);
    FUZZ_CHECK(skua__uuid_equal(&intro.uuid, &back.uuid));
    FUZZ_CHECK(intro.incarnation == back.incarnation);
    FUZZ_CHECK(intro.control_port == back.control_port);
    FUZZ_CHECK(intro.introduction_port == back.introduction_port);
    FUZZ_CHECK(intro.kind == SKUA__INTRO_REFUSAL ||
               skua__certificate_equal(&intro.certificate, &back.certificate));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    enum { TAG_AT = 12, CERTIFICATE_AT = 66, LEAST = 66 + 12 + SKUA__BEACON_MAC_BYTES };
    fuzz_fleet fleet = fuzz_fleet_make();
    size_t whole = skua__intro_size(bytes, size);
    FUZZ_CHECK(whole == 0 || whole == SIZE_MAX || whole <= SKUA__INTRO_MAX);
    round_trip(&fleet, bytes, size);
    uint8_t sealed[SKUA__INTRO_MAX];
    if (size < LEAST || size > sizeof sealed) {
        return 0;
    }
    memcpy(sealed, bytes, size);
    memcpy(sealed, "SKUI\1", 5);
    sealed[6] = (uint8_t)size;
    sealed[7] = (uint8_t)(size >> 8);
    memcpy(sealed + SKUA__INTRO_HEADER, "\1\0\0\0", 4);
    memcpy(sealed + TAG_AT, fleet.tag.bytes, sizeof fleet.tag.bytes);
    memcpy(sealed + CERTIFICATE_AT + 4, fleet.tag.bytes, sizeof fleet.tag.bytes);
    fuzz_seal(&fleet, sealed, size);
    round_trip(&fleet, sealed, size);
    return 0;
}
