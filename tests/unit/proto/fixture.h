// SPDX-License-Identifier: MPL-2.0
// What the tests of lib/proto share: a fleet, a certificate and a peer that are the same in every run.
#ifndef SKUA_TEST_PROTO_FIXTURE_H
#define SKUA_TEST_PROTO_FIXTURE_H

#include "test.h"

#include <skua-int/beacon.h>

#include <sodium.h>

enum { NOW_S = 2000000, ISSUED_S = 1000000, EXPIRES_S = 3000000 };

typedef struct fixture {
    uint8_t fleet_public[SKUA_KEY_BYTES];
    uint8_t fleet_secret[SKUA__FLEET_SECRET_BYTES];
    skua__fleet_tag fleet;
    skua__beacon_key key;
    skua__certificate certificate;
} fixture;

/* The fleet of a seed: another number is another fleet. */
static inline fixture
fixture_make(uint8_t number) {
    fixture self = {0};
    uint8_t seed[crypto_sign_SEEDBYTES];
    assert_true(sodium_init() >= 0);
    memset(seed, number, sizeof seed);
    crypto_sign_seed_keypair(self.fleet_public, self.fleet_secret, seed);
    self.fleet = skua__fleet_tag_of(self.fleet_public);
    skua__beacon_key_derive(self.fleet_secret, 1, &self.key);
    self.certificate = (skua__certificate){.name = "node-1",
                                           .roles = SKUA__ROLE_PUBLISH | SKUA__ROLE_CALL,
                                           .serial = 7,
                                           .issued_s = ISSUED_S,
                                           .expires_s = EXPIRES_S};
    memset(self.certificate.curve_key, 0x5a, sizeof self.certificate.curve_key);
    assert_true(skua__certificate_sign(&self.certificate, self.fleet_secret));
    return self;
}

static inline skua__uuid
uuid_make(uint8_t number) {
    skua__uuid uuid = {{number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}};
    return uuid;
}

#endif
