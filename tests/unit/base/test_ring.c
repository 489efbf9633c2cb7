// SPDX-License-Identifier: MPL-2.0
// The ring against a plain array under random pushes and pops, its limit, and no memory.
#include "test.h"

#include "failing_allocator.h"
#include <skua-int/rand.h>
#include <skua-int/ring.h>
#include <skua/error.h>
#include <string.h>

enum { LIMIT = 100, STEPS = 100000 };

static void
test_ring_agrees_with_an_array(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(5)};
    skua__ring ring;
    skua__ring_init(&ring, NULL, LIMIT);
    static char items[STEPS];
    char *expected[LIMIT + 1];
    size_t count = 0;
    for (int step = 0; step < STEPS; step++) {
        /* Long runs of one kind, so that the ring is sometimes full and sometimes empty. */
        bool pushing = skua__rand_below(&rand, 100) < ((step / 300) % 2 ? 70u : 30u);
        if (!pushing) {
            char *item = skua__ring_pop(&ring);
            assert_ptr_equal(item, count ? expected[0] : NULL);
            if (count) {
                memmove(expected, expected + 1, --count * sizeof expected[0]);
            }
        } else if (skua__rand_below(&rand, 4) == 0) {
            int status = skua__ring_push_front(&ring, &items[step]);
            assert_int_equal(status, count < LIMIT ? 0 : SKUA_E_AGAIN);
            if (status == 0) {
                memmove(expected + 1, expected, count++ * sizeof expected[0]);
                expected[0] = &items[step];
            }
        } else {
            int status = skua__ring_push(&ring, &items[step]);
            assert_int_equal(status, count < LIMIT ? 0 : SKUA_E_AGAIN);
            if (status == 0) {
                expected[count++] = &items[step];
            }
        }
        assert_int_equal(ring.count, count);
        assert_ptr_equal(skua__ring_at(&ring, count), NULL);
        if (count) {
            size_t i = skua__rand_below(&rand, (uint32_t)count);
            assert_ptr_equal(skua__ring_at(&ring, i), expected[i]);
        }
    }
    skua__ring_fini(&ring);
}

static void
test_ring_without_memory_stays_whole(void **state) {
    (void)state;
    failing_allocator hook;
    failing_allocator_init(&hook, 2);
    skua__ring ring;
    skua__ring_init(&ring, &hook.hook, 1000);
    int items[9];
    for (int i = 0; i < 8; i++) {
        assert_int_equal(skua__ring_push(&ring, &items[i]), 0);
    }
    assert_int_equal(skua__ring_push(&ring, &items[8]), SKUA_E_NO_MEMORY);
    assert_int_equal(skua__ring_push_front(&ring, &items[8]), SKUA_E_NO_MEMORY);
    for (int i = 0; i < 8; i++) {
        assert_ptr_equal(skua__ring_pop(&ring), &items[i]);
    }
    assert_null(skua__ring_pop(&ring));
    skua__ring_fini(&ring);
    assert_int_equal(atomic_load(&hook.alive), 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_agrees_with_an_array),
        cmocka_unit_test(test_ring_without_memory_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
