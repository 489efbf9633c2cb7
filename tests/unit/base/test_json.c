// SPDX-License-Identifier: MPL-2.0
// The JSON writer: escapes, exact integers, bad UTF-8, misuse, and no memory. The integration tests parse its output too.
#include "test.h"

#include "failing_allocator.h"
#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <skua-int/json.h>
#include <string.h>

static void
test_json_document(void **state) {
    (void)state;
    skua__json json;
    skua__json_to_memory(&json, NULL);
    skua__json_object(&json);
    skua__json_put_text(&json, "schema", "skua.test/1");
    skua__json_put_i64(&json, "least", INT64_MIN);
    skua__json_put_u64(&json, "most", UINT64_MAX);
    skua__json_put_bool(&json, "yes", true);
    skua__json_put_text(&json, "none", NULL);
    skua__json_key(&json, "list");
    skua__json_array(&json);
    skua__json_double(&json, 0.1);
    skua__json_double(&json, 1.0 / 3);
    skua__json_double(&json, NAN);
    skua__json_double(&json, -INFINITY);
    skua__json_object(&json);
    skua__json_object_end(&json);
    skua__json_array(&json);
    skua__json_array_end(&json);
    skua__json_array_end(&json);
    skua__json_put_double(&json, "last", -2.5e300);
    skua__json_object_end(&json);
    assert_true(skua__json_end(&json));
    assert_string_equal(json.text,
                        "{\"schema\":\"skua.test/1\",\"least\":-9223372036854775808,"
                        "\"most\":18446744073709551615,\"yes\":true,\"none\":null,"
                        "\"list\":[0.1,0.33333333333333331,null,null,{},[]],\"last\":-2.5e+300}");
    skua__json_fini(&json);
}

static void
check_text(const char *bytes, size_t size, const char *expected) {
    skua__json json;
    skua__json_to_memory(&json, NULL);
    skua__json_text_n(&json, bytes, size);
    assert_true(skua__json_end(&json));
    assert_string_equal(json.text, expected);
    skua__json_fini(&json);
}

static void
test_json_text_is_always_valid(void **state) {
    (void)state;
    check_text("", 0, "\"\"");
    check_text("a\"b\\c\n\t\r\b\f\x01\x1f\x7f/", 14,
               "\"a\\\"b\\\\c\\n\\t\\r\\b\\f\\u0001\\u001f\\u007f/\"");
    check_text("a\0b", 3, "\"a\\u0000b\"");
    check_text("\xc3\xa5 \xe2\x82\xac \xf0\x9f\x90\xa6", 11,
               "\"\xc3\xa5 \xe2\x82\xac \xf0\x9f\x90\xa6\"");
    check_text("\xff", 1, "\"\\ufffd\"");
    check_text("x\xc3", 2, "\"x\\ufffd\"");                                /* cut */
    check_text("\xc0\x80", 2, "\"\\ufffd\\ufffd\"");                       /* overlong */
    check_text("\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"");            /* a surrogate */
    check_text("\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\""); /* above U+10FFFF */
}

static void
test_json_double_ignores_the_locale(void **state) {
    (void)state;
    /* Where the machine has a locale with another decimal point, it must not show. */
    const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "C"};
    for (size_t i = 0; i < 3; i++) {
        if (!setlocale(LC_NUMERIC, names[i])) {
            continue;
        }
        skua__json json;
        skua__json_to_memory(&json, NULL);
        skua__json_double(&json, 0.5);
        assert_true(skua__json_end(&json));
        assert_string_equal(json.text, "0.5");
        skua__json_fini(&json);
    }
}

static void
test_json_misuse_fails_and_stays_failed(void **state) {
    (void)state;
    skua__json json;
    skua__json_to_memory(&json, NULL);
    assert_false(skua__json_end(&json)); /* nothing was written */
    skua__json_to_memory(&json, NULL);
    skua__json_object(&json);
    skua__json_i64(&json, 1); /* no key */
    skua__json_object_end(&json);
    assert_false(skua__json_end(&json));
    skua__json_fini(&json);
    skua__json_to_memory(&json, NULL);
    skua__json_array(&json);
    skua__json_object_end(&json); /* the wrong bracket */
    assert_true(json.failed);
    skua__json_fini(&json);
    skua__json_to_memory(&json, NULL);
    skua__json_i64(&json, 1);
    skua__json_i64(&json, 2); /* a second outermost value */
    assert_false(skua__json_end(&json));
    skua__json_fini(&json);
    skua__json_to_memory(&json, NULL);
    skua__json_object(&json);
    skua__json_key(&json, "k");
    skua__json_object_end(&json); /* a key without a value */
    assert_true(json.failed);
    skua__json_fini(&json);
}

static void
test_json_nesting_is_bounded(void **state) {
    (void)state;
    skua__json json;
    skua__json_to_memory(&json, NULL);
    for (int i = 0; i < SKUA__JSON_DEPTH; i++) {
        skua__json_array(&json);
    }
    assert_false(json.failed);
    skua__json_array(&json);
    assert_true(json.failed);
    skua__json_fini(&json);
}

static void
test_json_file_takes_one_document_a_line(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    skua__json json;
    skua__json_to_file(&json, file);
    skua__json_i64(&json, 1);
    assert_true(skua__json_end(&json));
    skua__json_text(&json, "two");
    assert_true(skua__json_end(&json));
    fclose(file);
    assert_string_equal(text, "1\n\"two\"\n");
    free(text);
    file = fopen("/dev/full", "w");
    if (file) {
        skua__json_to_file(&json, file);
        skua__json_i64(&json, 1);
        assert_false(skua__json_end(&json));
        fclose(file);
    }
}

static void
test_json_without_memory_fails_at_the_end(void **state) {
    (void)state;
    for (long fail_at = 1;; fail_at++) {
        failing_allocator hook;
        failing_allocator_init(&hook, fail_at);
        skua__json json;
        skua__json_to_memory(&json, &hook.hook);
        skua__json_array(&json);
        for (int i = 0; i < 200; i++) {
            skua__json_i64(&json, i);
        }
        skua__json_array_end(&json);
        bool whole = skua__json_end(&json);
        skua__json_fini(&json);
        assert_int_equal(atomic_load(&hook.alive), 0);
        if (whole) {
            assert_in_range(fail_at, 2, 20);
            break;
        }
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_document),
        cmocka_unit_test(test_json_text_is_always_valid),
        cmocka_unit_test(test_json_double_ignores_the_locale),
        cmocka_unit_test(test_json_misuse_fails_and_stays_failed),
        cmocka_unit_test(test_json_nesting_is_bounded),
        cmocka_unit_test(test_json_file_takes_one_document_a_line),
        cmocka_unit_test(test_json_without_memory_fails_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
