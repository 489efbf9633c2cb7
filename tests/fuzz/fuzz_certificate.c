// SPDX-License-Identifier: MPL-2.0
// Certificates: what decodes encodes to the same bytes again, and nothing that was not signed verifies.
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const uint8_t stranger[crypto_sign_SEEDBYTES] = {2};
    uint8_t public_key[SKUA_KEY_BYTES], secret_key[SKUA__FLEET_SECRET_BYTES];
    FUZZ_CHECK(sodium_init() >= 0);
    crypto_sign_seed_keypair(public_key, secret_key, stranger);
    skua__certificate cert, back;
    if (skua__certificate_decode(bytes, size, &cert) != SKUA__CERTIFICATE_OK) {
        return 0;
    }
    uint8_t again[SKUA__CERTIFICATE_MAX];
    size_t used = skua__certificate_encode(&cert, again, sizeof again);
    FUZZ_CHECK(used == size);
    FUZZ_CHECK(memcmp(again, bytes, size) == 0);
    FUZZ_CHECK(skua__certificate_decode(again, used, &back) == SKUA__CERTIFICATE_OK);
    FUZZ_CHECK(skua__certificate_equal(&cert, &back));
    FUZZ_CHECK(skua__name_valid(cert.name));
    /* The kept inputs are signed, by another fleet's key than this. */
    cert.fleet = skua__fleet_tag_of(public_key);
    skua__certificate_result result = skua__certificate_verify(&cert, public_key, 1);
    FUZZ_CHECK(result == SKUA__CERTIFICATE_BAD_SIGNATURE);
    return 0;
}
