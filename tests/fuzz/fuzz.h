// SPDX-License-Identifier: MPL-2.0
// What the fuzz targets share. A target is one file, fuzz_NAME.c, with LLVMFuzzerTestOneInput() in it: libFuzzer calls it
// with inputs of its own making, replay.c with those that are kept in corpus/NAME/.
#ifndef SKUA_FUZZ_H
#define SKUA_FUZZ_H

#include <skua-int/beacon.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A property that every input must keep. It is no assertion: it holds in release builds too. */
static inline void
fuzz_check(bool holds, const char *what, int line) {
    if (!holds) {
        fprintf(stderr, "line %d: %s does not hold\n", line, what);
        abort();
    }
}
#define FUZZ_CHECK(condition) fuzz_check((condition), #condition, __LINE__)

/* The fleet of all targets; its key seals what the target changes, so that what lies behind the MAC is reached. */
typedef struct fuzz_fleet {
    uint8_t public_key[SKUA_KEY_BYTES], secret_key[SKUA__FLEET_SECRET_BYTES];
    skua__fleet_tag tag;
    skua__beacon_key key;
} fuzz_fleet;

static inline fuzz_fleet
fuzz_fleet_make(void) {
    static const uint8_t seed[crypto_sign_SEEDBYTES] = {1};
    fuzz_fleet fleet;
    FUZZ_CHECK(sodium_init() >= 0);
    crypto_sign_seed_keypair(fleet.public_key, fleet.secret_key, seed);
    fleet.tag = skua__fleet_tag_of(fleet.public_key);
    skua__beacon_key_derive(fleet.secret_key, 1, &fleet.key);
    return fleet;
}

/* Makes the last bytes a true MAC over the others. */
static inline void
fuzz_seal(const fuzz_fleet *fleet, uint8_t *bytes, size_t size) {
    size_t covered = size - SKUA__BEACON_MAC_BYTES;
    skua__beacon_mac(&fleet->key, bytes, covered, bytes + covered);
}

#endif
