// SPDX-License-Identifier: MPL-2.0
// Control frames: what decodes encodes, and from then on the bytes stay the same; peer lists can be walked to their end.
#include "fuzz.h"

#include <skua-int/control.h>

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static uint8_t first[SKUA__CONTROL_MAX], second[SKUA__CONTROL_MAX];
    skua__control control, back;
    skua__control_result result = skua__control_decode(bytes, size, &control);
    FUZZ_CHECK(result < SKUA__CONTROL_RESULTS);
    bool readable = result == SKUA__CONTROL_OK || result == SKUA__CONTROL_UNKNOWN ||
                    result == SKUA__CONTROL_UNKNOWN_CRITICAL;
    if (!readable) {
        return 0;
    }
    size_t used = skua__control_encode(&control, first, sizeof first);
    FUZZ_CHECK(used > 0 && used <= size);
    FUZZ_CHECK(skua__control_decode(first, used, &back) == result);
    FUZZ_CHECK(skua__control_encode(&back, second, sizeof second) == used);
    FUZZ_CHECK(memcmp(first, second, used) == 0);
    if (result == SKUA__CONTROL_OK && control.type == SKUA__CONTROL_PEERS) {
        skua__span left = control.peers.entries;
        skua__peer_entry entry;
        unsigned count = 0;
        size_t appended = 0;
        while (skua__peers_next(&left, &entry)) {
            FUZZ_CHECK(skua__peers_append(second, sizeof second, &appended, &entry));
            count++;
        }
        FUZZ_CHECK(left.size == 0 && count == control.peers.count);
        FUZZ_CHECK(appended == control.peers.entries.size);
        FUZZ_CHECK(!appended || memcmp(second, control.peers.entries.bytes, appended) == 0);
    }
    if (result == SKUA__CONTROL_OK && control.type == SKUA__CONTROL_HELLO) {
        uint16_t version = 0;
        if (skua__version_negotiate(2, 3, &control.hello, "a", &version, NULL) == SKUA_OK) {
            FUZZ_CHECK(version >= 2 && version <= 3);
        }
    }
    return 0;
}
