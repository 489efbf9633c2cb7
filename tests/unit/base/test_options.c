// SPDX-License-Identifier: MPL-2.0
// Options structs of older and newer programs, and memory through the hook.
#include "test.h"

#include "failing_allocator.h"
#include <skua-int/mem.h>

struct options_v1 {
    size_t size;
    int32_t depth;
    int32_t width;
};

struct options_v2 {
    struct options_v1 v1;
    int64_t colour;
};

static void
test_options_none_given_is_all_default(void **state) {
    (void)state;
    struct options_v1 got = {.depth = 7};
    assert_true(SKUA_READ_OPTIONS(&got, NULL));
    assert_int_equal(got.size, sizeof got);
    assert_int_equal(got.depth, 0);
}

static void
test_options_of_an_older_program_are_filled_up(void **state) {
    (void)state;
    struct options_v1 old = {.size = sizeof old, .depth = 3, .width = 4};
    struct options_v2 got;
    assert_true(SKUA_READ_OPTIONS(&got, &old));
    assert_int_equal(got.v1.size, sizeof got);
    assert_int_equal(got.v1.depth, 3);
    assert_int_equal(got.v1.width, 4);
    assert_int_equal(got.colour, 0);
}

static void
test_options_of_a_newer_program(void **state) {
    (void)state;
    struct options_v2 newer = {.v1 = {.size = sizeof newer, .depth = 3}};
    struct options_v1 got;
    assert_true(SKUA_READ_OPTIONS(&got, &newer));
    assert_int_equal(got.depth, 3);
    newer.colour = 1; /* asks for something that we do not know */
    assert_false(SKUA_READ_OPTIONS(&got, &newer));
}

static void
test_options_without_a_size_are_refused(void **state) {
    (void)state;
    struct options_v1 none = {.depth = 3};
    struct options_v1 got;
    assert_false(SKUA_READ_OPTIONS(&got, &none));
}

static void
test_mem_goes_through_the_hook(void **state) {
    (void)state;
    failing_allocator hook;
    failing_allocator_init(&hook, 3);
    char *block = skua__mem_new(&hook.hook, 8);
    assert_non_null(block);
    assert_int_equal(block[7], 0);
    char *text = skua__mem_strdup(&hook.hook, "skua");
    assert_string_equal(text, "skua");
    assert_null(skua__mem_new(&hook.hook, 1));
    assert_null(skua__mem_new_array(&hook.hook, SIZE_MAX, 2));
    assert_null(skua__mem_free(&hook.hook, block));
    assert_null(skua__mem_free(&hook.hook, text));
    assert_int_equal(atomic_load(&hook.alive), 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_none_given_is_all_default),
        cmocka_unit_test(test_options_of_an_older_program_are_filled_up),
        cmocka_unit_test(test_options_of_a_newer_program),
        cmocka_unit_test(test_options_without_a_size_are_refused),
        cmocka_unit_test(test_mem_goes_through_the_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
