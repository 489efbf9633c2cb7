// SPDX-License-Identifier: MPL-2.0
// The registry of errors, and what a failing function leaves in the caller's skua_error.
#include "test.h"

#include <errno.h>
#include <skua-int/fail.h>
#include <string.h>

static void
test_error_registry_is_whole(void **state) {
    (void)state;
    for (size_t i = 0; skua_error_at(i); i++) {
        const skua_error_info *info = skua_error_at(i);
        char expected[16];
        snprintf(expected, sizeof expected, "SKUA-E%03d", -info->status);
        assert_string_equal(info->code, expected);
        assert_ptr_equal(skua_error_lookup(info->status), info);
        assert_true(strlen(info->title) > 0);
        assert_true(strlen(info->next) > 0);
        if (i > 0) {
            assert_true(info->status < skua_error_at(i - 1)->status);
        }
    }
    assert_null(skua_error_lookup(-9999));
    assert_null(skua_error_lookup(SKUA_OK));
    assert_string_equal(skua_status_text(-9999), "unknown error");
}

static void
test_error_message_names_cause(void **state) {
    (void)state;
    skua_error err;
    memset(&err, 0xff, sizeof err);
    skua_status status =
        SKUA_FAIL_ERRNO(&err, SKUA_E_ADDRESS_IN_USE, EADDRINUSE, "cannot bind %s", "tcp://x:1");
    assert_int_equal(status, -1);
    assert_int_equal(err.status, -1);
    assert_int_equal(err.os_errno, EADDRINUSE);
    assert_string_equal(err.code, "SKUA-E001");
    assert_string_equal(err.where, "test_error_message_names_cause");
    assert_string_equal(err.message, "cannot bind tcp://x:1 (Address already in use)");
}

static void
test_error_long_message_is_cut_not_overrun(void **state) {
    (void)state;
    char text[2 * SKUA_ERROR_MESSAGE_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    skua_error err;
    SKUA_FAIL_ERRNO(&err, SKUA_E_SYSTEM, EIO, "%s", text);
    assert_int_equal(strlen(err.message), SKUA_ERROR_MESSAGE_BYTES - 1);
    assert_int_equal(SKUA_FAIL(NULL, SKUA_E_TIMEOUT, "nobody looks"), SKUA_E_TIMEOUT);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_registry_is_whole),
        cmocka_unit_test(test_error_message_names_cause),
        cmocka_unit_test(test_error_long_message_is_cut_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
