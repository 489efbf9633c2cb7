// SPDX-License-Identifier: MPL-2.0
// Beacons: round trips, a named cause for every refusal (I24), keys in rotation, and the rule against replays.
#include "fixture.h"

static skua__beacon
beacon_make(const fixture *fleet) {
    return (skua__beacon){.flags = SKUA__BEACON_PROBE,
                          .uuid = uuid_make(3),
                          .incarnation = 11,
                          .sequence = 12,
                          .control_port = 1300,
                          .introduction_port = 1400,
                          .record_version = 15,
                          .certificate = fleet->certificate};
}

static skua__beacon_result
decode(const fixture *fleet, const uint8_t *bytes, size_t size, skua__beacon *ret) {
    return skua__beacon_decode(bytes, size, &fleet->fleet, &fleet->key, 1, ret);
}

static void
test_beacon_round_trip(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    skua__beacon beacon = beacon_make(&fleet), back;
    uint8_t bytes[SKUA__BEACON_MAX];
    size_t size = skua__beacon_encode(&beacon, &fleet.key, bytes, sizeof bytes);
    assert_in_range(size, 1, SKUA__BEACON_MAX);
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__BEACON_OK);
    assert_int_equal(back.flags, SKUA__BEACON_PROBE);
    assert_true(skua__uuid_equal(&back.uuid, &beacon.uuid));
    assert_int_equal(back.incarnation, 11);
    assert_int_equal(back.sequence, 12);
    assert_int_equal(back.control_port, 1300);
    assert_int_equal(back.introduction_port, 1400);
    assert_int_equal(back.record_version, 15);
    assert_true(skua__certificate_equal(&back.certificate, &fleet.certificate));
    for (size_t room = 0; room < size; room++) {
        assert_int_equal(skua__beacon_encode(&beacon, &fleet.key, bytes, room), 0);
    }
}

static void
test_beacon_i24_any_flipped_bit_or_cut_is_refused(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    skua__beacon beacon = beacon_make(&fleet), back = {.sequence = 99};
    uint8_t bytes[SKUA__BEACON_MAX];
    size_t size = skua__beacon_encode(&beacon, &fleet.key, bytes, sizeof bytes);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(decode(&fleet, bytes, size, &back), SKUA__BEACON_OK);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_not_equal(decode(&fleet, bytes, cut, &back), SKUA__BEACON_OK);
    }
    assert_int_equal(back.sequence, 99);
}

/* Seals again what a test has changed, so that the checks behind the MAC are reached. */
static void
reseal(const fixture *fleet, uint8_t *bytes, size_t size) {
    bytes[6] = (uint8_t)size;
    bytes[7] = (uint8_t)(size >> 8);
    skua__beacon_mac(&fleet->key, bytes, size - SKUA__BEACON_MAC_BYTES,
                     bytes + size - SKUA__BEACON_MAC_BYTES);
}

static void
test_beacon_each_cause_has_its_name(void **state) {
    (void)state;
    fixture fleet = fixture_make(1), other = fixture_make(2);
    skua__beacon beacon = beacon_make(&fleet), back;
    uint8_t good[SKUA__BEACON_MAX + 1] = {0}, bytes[SKUA__BEACON_MAX + 1];
    size_t size = skua__beacon_encode(&beacon, &fleet.key, good, SKUA__BEACON_MAX);

    assert_int_equal(decode(&fleet, good, 3, &back), SKUA__BEACON_TOO_SHORT);
    assert_int_equal(decode(&fleet, good, 35, &back), SKUA__BEACON_TOO_SHORT);
    assert_int_equal(decode(&fleet, good, sizeof good, &back), SKUA__BEACON_TOO_LONG);
    assert_int_equal(decode(&fleet, (const uint8_t *)"hello", 5, &back), SKUA__BEACON_NOT_SKUA);
    assert_int_equal(decode(&fleet, good, size - 1, &back), SKUA__BEACON_BAD_SIZE);
    assert_int_equal(decode(&other, good, size, &back), SKUA__BEACON_OTHER_FLEET);

    memcpy(bytes, good, size);
    bytes[4]++;
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__BEACON_OTHER_VERSION);
    memcpy(bytes, good, size);
    bytes[8]++;
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__BEACON_UNKNOWN_KEY);
    memcpy(bytes, good, size);
    bytes[30]++;
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__BEACON_BAD_MAC);
    memset(bytes + 44, 0, 8); /* the sequence */
    reseal(&fleet, bytes, size);
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__BEACON_BAD_FIELD);
    memcpy(bytes, good, size);
    bytes[SKUA__BEACON_FIXED]++; /* the certificate's format */
    reseal(&fleet, bytes, size);
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__BEACON_BAD_CERTIFICATE);
    memcpy(bytes, good, size);
    bytes[SKUA__BEACON_FIXED + 4]++; /* its fleet, which is not the header's then */
    reseal(&fleet, bytes, size);
    assert_int_equal(decode(&fleet, bytes, size, &back), SKUA__BEACON_BAD_CERTIFICATE);
    for (int i = 0; i < SKUA__BEACON_RESULTS; i++) {
        assert_non_null(skua__beacon_result_text((skua__beacon_result)i));
    }
}

static void
test_beacon_later_versions_may_append(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    skua__beacon beacon = beacon_make(&fleet), back;
    uint8_t bytes[SKUA__BEACON_MAX];
    size_t size = skua__beacon_encode(&beacon, &fleet.key, bytes, sizeof bytes);
    memmove(bytes + size - SKUA__BEACON_MAC_BYTES + 9, bytes + size - SKUA__BEACON_MAC_BYTES,
            SKUA__BEACON_MAC_BYTES);
    reseal(&fleet, bytes, size + 9);
    assert_int_equal(decode(&fleet, bytes, size + 9, &back), SKUA__BEACON_OK);
    assert_int_equal(back.sequence, 12);
}

static void
test_beacon_keys_rotate(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    skua__beacon_key keys[2] = {fleet.key}, again;
    skua__beacon_key_derive(fleet.fleet_secret, 2, &keys[1]);
    skua__beacon_key_derive(fleet.fleet_secret, 2, &again);
    assert_memory_equal(&keys[1], &again, sizeof again);
    assert_memory_not_equal(keys[0].bytes, keys[1].bytes, sizeof keys[0].bytes);
    skua__beacon beacon = beacon_make(&fleet), back;
    uint8_t bytes[SKUA__BEACON_MAX];
    for (int i = 0; i < 2; i++) {
        size_t size = skua__beacon_encode(&beacon, &keys[i], bytes, sizeof bytes);
        assert_int_equal(skua__beacon_decode(bytes, size, &fleet.fleet, keys, 2, &back),
                         SKUA__BEACON_OK);
        assert_int_equal(skua__beacon_decode(bytes, size, &fleet.fleet, &keys[1 - i], 1, &back),
                         SKUA__BEACON_UNKNOWN_KEY);
    }
}

static void
test_beacon_window_refuses_replays(void **state) {
    (void)state;
    skua__beacon_window window = {0};
    assert_true(skua__beacon_window_check(&window, 5, 10));
    assert_false(skua__beacon_window_check(&window, 5, 10));
    assert_false(skua__beacon_window_check(&window, 5, 9));
    assert_true(skua__beacon_window_check(&window, 5, 11));
    assert_false(skua__beacon_window_check(&window, 4, 1000));
    assert_true(skua__beacon_window_check(&window, 6, 1));
    assert_false(skua__beacon_window_check(&window, 5, 12));
    assert_int_equal(window.incarnation, 6);
    assert_int_equal(window.sequence, 1);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beacon_round_trip),
        cmocka_unit_test(test_beacon_i24_any_flipped_bit_or_cut_is_refused),
        cmocka_unit_test(test_beacon_each_cause_has_its_name),
        cmocka_unit_test(test_beacon_later_versions_may_append),
        cmocka_unit_test(test_beacon_keys_rotate),
        cmocka_unit_test(test_beacon_window_refuses_replays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
