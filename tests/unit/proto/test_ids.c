// SPDX-License-Identifier: MPL-2.0
// UUIDs, names and addresses as text: round trips, and every other text refused.
#include "fixture.h"

static void
test_ids_uuid_text_round_trip(void **state) {
    (void)state;
    uint8_t random[16];
    memset(random, 0xff, sizeof random);
    skua__uuid uuid = skua__uuid_of_random(random), back;
    char text[SKUA_UUID_TEXT];
    assert_string_equal(skua__uuid_text(&uuid, text), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_true(skua__uuid_parse(text, &back));
    assert_true(skua__uuid_equal(&uuid, &back));
    assert_true(skua__uuid_parse("01234567-89AB-cdef-0123-456789abcdef", &back));
    assert_string_equal(skua__uuid_text(&back, text), "01234567-89ab-cdef-0123-456789abcdef");
}

static void
test_ids_uuid_refuses_other_texts(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "01234567-89ab-cdef-0123-456789abcde",
        "01234567-89ab-cdef-0123-456789abcdef0",
        "0123456789abc-def-0123-456789abcdef-",
        "01234567_89ab-cdef-0123-456789abcdef",
        "g1234567-89ab-cdef-0123-456789abcdef",
    };
    skua__uuid uuid = uuid_make(9), before = uuid;
    assert_false(skua__uuid_parse(NULL, &uuid));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(skua__uuid_parse(bad[i], &uuid));
    }
    assert_true(skua__uuid_equal(&uuid, &before));
}

static void
test_ids_name_rule(void **state) {
    (void)state;
    char longest[SKUA_NAME_BYTES + 1];
    memset(longest, 'a', sizeof longest);
    longest[63] = 0;
    assert_true(skua__name_valid(longest));
    longest[63] = 'a';
    longest[64] = 0;
    assert_false(skua__name_valid(longest));
    assert_true(skua__name_valid("0"));
    assert_true(skua__name_valid("rack-7.node_3"));
    static const char *const bad[] = {"", ".a", "-a", "_a", "A", "a b", "a/b", "a\n", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(skua__name_valid(bad[i]));
    }
    assert_false(skua__name_valid(NULL));
    assert_false(skua__name_bytes_valid("a\0b", 3));
}

static void
test_ids_address_text_round_trip(void **state) {
    (void)state;
    static const char *const good[] = {"127.0.0.1", "192.0.2.255", "::1", "2001:db8::1"};
    char text[SKUA_HOST_BYTES];
    skua__address address = {0};
    assert_string_equal(skua__address_text(&address, text), "");
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(skua__address_parse(good[i], &address));
        assert_string_equal(skua__address_text(&address, text), good[i]);
    }
    assert_int_equal(address.family, 6);
    assert_false(skua__address_parse("localhost", &address));
    assert_false(skua__address_parse("1.2.3", &address));
    assert_false(skua__address_parse(NULL, &address));
    assert_int_equal(address.family, 6);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_uuid_text_round_trip),
        cmocka_unit_test(test_ids_uuid_refuses_other_texts),
        cmocka_unit_test(test_ids_name_rule),
        cmocka_unit_test(test_ids_address_text_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
