// SPDX-License-Identifier: MPL-2.0
// The nearest word: each kind of slip, and words too far away.
#include "test.h"

#include <skua-int/nearest.h>
#include <string.h>

static void
test_nearest_finds_each_kind_of_slip(void **state) {
    (void)state;
    static const char *const words[] = {"tcp", "inproc", "ipc", "submit"};
    static const struct {
        const char *typed, *nearest;
    } rows[] = {
        {"tcp", "tcp"},        {"tpc", "tcp"},       {"tcpp", "tcp"}, {"tc", "tcp"},
        {"inporc", "inproc"},  {"inprok", "inproc"}, {"ipcc", "ipc"}, {"sumbit", "submit"},
        {"submitt", "submit"}, {"http", NULL},       {"quic", NULL},  {"", NULL},
        {"submission", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *found = skua__nearest(rows[i].typed, words, 4);
        if (rows[i].nearest) {
            assert_non_null(found);
            assert_string_equal(found, rows[i].nearest);
        } else {
            assert_null(found);
        }
    }
    assert_null(skua__nearest("tcp", words, 0));
}

static void
test_nearest_bounds_the_length(void **state) {
    (void)state;
    char longest[SKUA_NEAREST_MAX_BYTES + 2];
    memset(longest, 'a', sizeof longest);
    longest[SKUA_NEAREST_MAX_BYTES + 1] = 0;
    const char *words[] = {longest, longest + 1};
    assert_null(skua__nearest(longest, words, 2));
    assert_ptr_equal(skua__nearest(longest + 1, words, 2), longest + 1);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest_finds_each_kind_of_slip),
        cmocka_unit_test(test_nearest_bounds_the_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
