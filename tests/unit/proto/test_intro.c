// SPDX-License-Identifier: MPL-2.0
// Introductions: requests, replies and refusals, read in pieces, and a named cause for every one that is not accepted.
#include "fixture.h"

#include <skua-int/intro.h>

static skua__intro
intro_make(const fixture *fleet, skua__intro_kind kind) {
    skua__intro intro = {.kind = kind,
                         .uuid = uuid_make(4),
                         .incarnation = 21,
                         .control_port = 22,
                         .introduction_port = 23,
                         .certificate = fleet->certificate};
    memset(intro.nonce, 0x77, sizeof intro.nonce);
    return intro;
}

static skua__intro_result
decode(const fixture *fleet, const uint8_t *bytes, size_t size, skua__intro *ret) {
    return skua__intro_decode(bytes, size, &fleet->fleet, &fleet->key, 1, ret);
}

static void
test_intro_round_trip_in_pieces(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    for (int kind = SKUA__INTRO_REQUEST; kind <= SKUA__INTRO_REPLY; kind++) {
        skua__intro intro = intro_make(&fleet, (skua__intro_kind)kind), back;
        uint8_t bytes[SKUA__INTRO_MAX];
        size_t size = skua__intro_encode(&intro, &fleet.key, bytes, sizeof bytes);
        assert_in_range(size, 1, SKUA__INTRO_MAX);
        for (size_t have = 0; have < SKUA__INTRO_HEADER; have++) {
            assert_int_equal(skua__intro_size(bytes, have), 0);
        }
        assert_int_equal(skua__intro_size(bytes, SKUA__INTRO_HEADER), size);
        assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__INTRO_OK);
        assert_int_equal(back.kind, kind);
        assert_memory_equal(back.nonce, intro.nonce, sizeof intro.nonce);
        assert_true(skua__uuid_equal(&back.uuid, &intro.uuid));
        assert_int_equal(back.incarnation, 21);
        assert_int_equal(back.control_port, 22);
        assert_int_equal(back.introduction_port, 23);
        assert_true(skua__certificate_equal(&back.certificate, &fleet.certificate));
        for (size_t room = 0; room < size; room++) {
            assert_int_equal(skua__intro_encode(&intro, &fleet.key, bytes, room), 0);
        }
    }
}

static void
test_intro_refusal_round_trip(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    skua__intro refusal = {.kind = SKUA__INTRO_REFUSAL, .refusal = SKUA__INTRO_BUSY}, back;
    uint8_t bytes[SKUA__INTRO_MAX];
    size_t size = skua__intro_encode(&refusal, NULL, bytes, sizeof bytes);
    assert_int_equal(skua__intro_size(bytes, size), size);
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__INTRO_OK);
    assert_int_equal(back.kind, SKUA__INTRO_REFUSAL);
    assert_int_equal(back.refusal, SKUA__INTRO_BUSY);
    bytes[8] = 0;
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__INTRO_BAD_FIELD);
    assert_int_equal(skua__intro_encode(&refusal, NULL, bytes, size - 1), 0);
}

static void
test_intro_size_refuses_strangers_early(void **state) {
    (void)state;
    assert_int_equal(skua__intro_size("G", 1), SIZE_MAX);
    assert_int_equal(skua__intro_size("SKUX", 4), SIZE_MAX);
    assert_int_equal(skua__intro_size("SKUI\1\1\0\0", 8), SIZE_MAX);
    assert_int_equal(skua__intro_size("SKUI\1\1\1\4", 8), SIZE_MAX); /* 1,025 */
    assert_int_equal(skua__intro_size("SKUI\1\1\0\4", 8), SKUA__INTRO_MAX);
}

static void
test_intro_i24_any_flipped_bit_or_cut_is_refused(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    skua__intro intro = intro_make(&fleet, SKUA__INTRO_REQUEST), back = {.incarnation = 99};
    uint8_t bytes[SKUA__INTRO_MAX];
    size_t size = skua__intro_encode(&intro, &fleet.key, bytes, sizeof bytes);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(decode(&fleet, bytes, size, &back), SKUA__INTRO_OK);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_not_equal(decode(&fleet, bytes, cut, &back), SKUA__INTRO_OK);
    }
    assert_int_equal(back.incarnation, 99);
}

static void
reseal(const fixture *fleet, uint8_t *bytes, size_t size) {
    skua__beacon_mac(&fleet->key, bytes, size - SKUA__BEACON_MAC_BYTES,
                     bytes + size - SKUA__BEACON_MAC_BYTES);
}

static void
test_intro_each_cause_has_its_name(void **state) {
    (void)state;
    fixture fleet = fixture_make(1), other = fixture_make(2);
    skua__intro intro = intro_make(&fleet, SKUA__INTRO_REQUEST), back;
    uint8_t good[SKUA__INTRO_MAX + 1] = {0}, bytes[SKUA__INTRO_MAX];
    size_t size = skua__intro_encode(&intro, &fleet.key, good, SKUA__INTRO_MAX);
    assert_int_equal(decode(&fleet, good, sizeof good, &back), SKUA__INTRO_TOO_LONG);
    assert_int_equal(decode(&fleet, good, 4, &back), SKUA__INTRO_TOO_SHORT);
    assert_int_equal(decode(&fleet, good, size - 1, &back), SKUA__INTRO_BAD_SIZE);
    assert_int_equal(decode(&other, good, size, &back), SKUA__INTRO_OTHER_FLEET);
    const struct {
        size_t at;
        skua__intro_result result;
        bool sealed;
    } changes[] = {
        {0, SKUA__INTRO_NOT_SKUA, false},        {4, SKUA__INTRO_OTHER_VERSION, false},
        {5, SKUA__INTRO_BAD_MAC, false}, /* a request made a reply */
        {8, SKUA__INTRO_UNKNOWN_KEY, false},     {30, SKUA__INTRO_BAD_MAC, false},
        {66, SKUA__INTRO_BAD_CERTIFICATE, true}, /* the certificate's format */
        {70, SKUA__INTRO_BAD_CERTIFICATE, true}, /* its fleet */
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        memcpy(bytes, good, size);
        bytes[changes[i].at]++;
        if (changes[i].sealed) {
            reseal(&fleet, bytes, size);
        }
        assert_int_equal(decode(&fleet, bytes, size, &back), changes[i].result);
    }
    memcpy(bytes, good, size);
    memset(bytes + 60, 0, 2); /* the control port */
    reseal(&fleet, bytes, size);
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__INTRO_BAD_FIELD);
    memcpy(bytes, good, size);
    bytes[5] = 9;
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__INTRO_BAD_FIELD);
    for (int i = 0; i < SKUA__INTRO_RESULTS; i++) {
        assert_non_null(skua__intro_result_text((skua__intro_result)i));
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intro_round_trip_in_pieces),
        cmocka_unit_test(test_intro_refusal_round_trip),
        cmocka_unit_test(test_intro_size_refuses_strangers_early),
        cmocka_unit_test(test_intro_i24_any_flipped_bit_or_cut_is_refused),
        cmocka_unit_test(test_intro_each_cause_has_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
