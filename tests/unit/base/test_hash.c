// SPDX-License-Identifier: MPL-2.0
// The hash table against a plain array under random puts and takes, and its failure for want of memory.
#include "test.h"

#include "failing_allocator.h"
#include <skua-int/hash.h>
#include <skua-int/rand.h>
#include <skua/error.h>

enum { KEYS = 512, STEPS = 200000 };

static void
test_hash_agrees_with_an_array(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(1)};
    skua__hash table;
    skua__hash_init(&table, NULL);
    uint32_t keys[KEYS];
    void *expected[KEYS] = {0};
    size_t count = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        keys[i] = i * 2654435761u;
    }
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = skua__rand_below(&rand, KEYS);
        assert_ptr_equal(skua__hash_get(&table, &keys[i], sizeof keys[i]), expected[i]);
        if (expected[i]) {
            assert_ptr_equal(skua__hash_take(&table, &keys[i], sizeof keys[i]), expected[i]);
            expected[i] = NULL;
            count--;
        } else {
            assert_int_equal(skua__hash_put(&table, &keys[i], sizeof keys[i], &keys[i]), 0);
            expected[i] = &keys[i];
            count++;
        }
        assert_int_equal(table.count, count);
    }
    size_t walked = 0, position = 0;
    for (void *value; (value = skua__hash_next(&table, &position)) != NULL; walked++) {
        assert_ptr_equal(expected[(uint32_t *)value - keys], value);
    }
    assert_int_equal(walked, count);
    skua__hash_fini(&table);
}

static void
test_hash_without_memory_stays_whole(void **state) {
    (void)state;
    failing_allocator hook;
    failing_allocator_init(&hook, 2);
    skua__hash table;
    skua__hash_init(&table, &hook.hook);
    int keys[65] = {0}, put = 0;
    while (put < 64 && skua__hash_put(&table, &keys[put], sizeof(int), &keys[put]) == 0) {
        keys[put + 1] = put + 1;
        put++;
    }
    assert_in_range(put, 1, 63);
    assert_int_equal(table.count, put);
    assert_ptr_equal(skua__hash_get(&table, &keys[0], sizeof(int)), &keys[0]);
    assert_null(skua__hash_take(&table, "never there", 5));
    skua__hash_fini(&table);
    assert_int_equal(atomic_load(&hook.alive), 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_agrees_with_an_array),
        cmocka_unit_test(test_hash_without_memory_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
