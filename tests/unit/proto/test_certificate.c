// SPDX-License-Identifier: MPL-2.0
// Certificates: what is signed verifies, and every way in which one can be wrong has its own answer (I14, I26).
#include "fixture.h"

static size_t
encoded(const skua__certificate *cert, uint8_t bytes[SKUA__CERTIFICATE_MAX]) {
    size_t size = skua__certificate_encode(cert, bytes, SKUA__CERTIFICATE_MAX);
    assert_true(size >= SKUA__CERTIFICATE_MIN);
    return size;
}

static void
test_certificate_round_trip_verifies(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    uint8_t bytes[SKUA__CERTIFICATE_MAX];
    size_t size = encoded(&fleet.certificate, bytes);
    assert_int_equal(size, SKUA__CERTIFICATE_FIXED + 6 + SKUA__SIGNATURE_BYTES);
    skua__certificate back;
    assert_int_equal(skua__certificate_decode(bytes, size, &back), SKUA__CERTIFICATE_OK);
    assert_true(skua__certificate_equal(&fleet.certificate, &back));
    assert_int_equal(skua__certificate_verify(&back, fleet.fleet_public, NOW_S),
                     SKUA__CERTIFICATE_OK);
    back.roles ^= 1;
    assert_false(skua__certificate_equal(&fleet.certificate, &back));
}

/* I14: one flipped bit, anywhere. */
static void
test_certificate_i14_any_flipped_bit_is_refused(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    uint8_t bytes[SKUA__CERTIFICATE_MAX];
    size_t size = encoded(&fleet.certificate, bytes);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        skua__certificate back;
        skua__certificate_result result = skua__certificate_decode(bytes, size, &back);
        if (result == SKUA__CERTIFICATE_OK) {
            result = skua__certificate_verify(&back, fleet.fleet_public, NOW_S);
        }
        assert_int_not_equal(result, SKUA__CERTIFICATE_OK);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void
test_certificate_results_are_distinct(void **state) {
    (void)state;
    fixture fleet = fixture_make(1), other = fixture_make(2);
    const skua__certificate *cert = &fleet.certificate;
    assert_int_equal(skua__certificate_verify(cert, other.fleet_public, NOW_S),
                     SKUA__CERTIFICATE_OTHER_FLEET);
    skua__certificate forged = other.certificate;
    forged.fleet = fleet.fleet;
    assert_int_equal(skua__certificate_verify(&forged, fleet.fleet_public, NOW_S),
                     SKUA__CERTIFICATE_BAD_SIGNATURE);
    assert_int_equal(skua__certificate_verify(cert, fleet.fleet_public, EXPIRES_S - 1),
                     SKUA__CERTIFICATE_OK);
    assert_int_equal(skua__certificate_verify(cert, fleet.fleet_public, EXPIRES_S),
                     SKUA__CERTIFICATE_EXPIRED);
    int64_t early_s = ISSUED_S - SKUA__CERTIFICATE_SKEW_S;
    assert_int_equal(skua__certificate_verify(cert, fleet.fleet_public, early_s),
                     SKUA__CERTIFICATE_OK);
    assert_int_equal(skua__certificate_verify(cert, fleet.fleet_public, early_s - 1),
                     SKUA__CERTIFICATE_NOT_YET);
    skua__certificate broken = *cert;
    broken.name[0] = '-';
    assert_int_equal(skua__certificate_verify(&broken, fleet.fleet_public, NOW_S),
                     SKUA__CERTIFICATE_MALFORMED);
    for (int i = 0; i < SKUA__CERTIFICATE_RESULTS; i++) {
        assert_non_null(skua__certificate_result_text((skua__certificate_result)i));
    }
    assert_int_equal(skua__certificate_result_status(SKUA__CERTIFICATE_OK), 0);
    assert_int_equal(skua__certificate_result_status(SKUA__CERTIFICATE_EXPIRED), SKUA_E_EXPIRED);
    assert_int_equal(skua__certificate_result_status(SKUA__CERTIFICATE_OTHER_FLEET),
                     SKUA_E_BAD_CERTIFICATE);
}

static void
test_certificate_sign_refuses_what_breaks_the_rules(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    skua__certificate cert = fleet.certificate;
    strcpy(cert.name, "Node");
    assert_false(skua__certificate_sign(&cert, fleet.fleet_secret));
    cert = fleet.certificate;
    cert.issued_s = cert.expires_s;
    assert_false(skua__certificate_sign(&cert, fleet.fleet_secret));
    cert = fleet.certificate;
    cert.issued_s = -1;
    assert_false(skua__certificate_sign(&cert, fleet.fleet_secret));
}

static void
test_certificate_decode_refuses_every_wrong_length(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    uint8_t bytes[SKUA__CERTIFICATE_MAX + 1] = {0};
    size_t size = encoded(&fleet.certificate, bytes);
    skua__certificate back = {.serial = 99};
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        if (cut != size) {
            assert_int_equal(skua__certificate_decode(bytes, cut, &back),
                             SKUA__CERTIFICATE_MALFORMED);
        }
    }
    assert_int_equal(back.serial, 99);
    for (size_t room = 0; room < size; room++) {
        assert_int_equal(skua__certificate_encode(&fleet.certificate, bytes, room), 0);
    }
}

static void
test_certificate_longest_name_fits(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    memset(fleet.certificate.name, 'a', SKUA_NAME_BYTES - 1);
    assert_true(skua__certificate_sign(&fleet.certificate, fleet.fleet_secret));
    uint8_t bytes[SKUA__CERTIFICATE_MAX];
    assert_int_equal(encoded(&fleet.certificate, bytes), SKUA__CERTIFICATE_MAX);
    skua__certificate back;
    assert_int_equal(skua__certificate_decode(bytes, sizeof bytes, &back), SKUA__CERTIFICATE_OK);
    assert_int_equal(skua__certificate_verify(&back, fleet.fleet_public, NOW_S),
                     SKUA__CERTIFICATE_OK);
}

static void
test_certificate_fleet_keys_are_new_each_time(void **state) {
    (void)state;
    uint8_t public_a[SKUA_KEY_BYTES], public_b[SKUA_KEY_BYTES];
    uint8_t secret[SKUA__FLEET_SECRET_BYTES];
    skua__fleet_keys_make(public_a, secret);
    skua__fleet_keys_make(public_b, secret);
    assert_memory_not_equal(public_a, public_b, sizeof public_a);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate_round_trip_verifies),
        cmocka_unit_test(test_certificate_i14_any_flipped_bit_is_refused),
        cmocka_unit_test(test_certificate_results_are_distinct),
        cmocka_unit_test(test_certificate_sign_refuses_what_breaks_the_rules),
        cmocka_unit_test(test_certificate_decode_refuses_every_wrong_length),
        cmocka_unit_test(test_certificate_longest_name_fits),
        cmocka_unit_test(test_certificate_fleet_keys_are_new_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
