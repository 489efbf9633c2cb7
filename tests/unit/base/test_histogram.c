// SPDX-License-Identifier: MPL-2.0
// The histogram against a sorted array: every quantile within its error, exact ends, merges.
#include "test.h"

#include <skua-int/histogram.h>
#include <skua-int/rand.h>

enum { VALUES = 20000 };

static int
compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void
test_histogram_agrees_with_sorted_values(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(3)};
    static uint64_t values[VALUES];
    static skua__histogram histogram, half[2];
    for (int i = 0; i < VALUES; i++) {
        values[i] = skua__rand_next(&rand) >> skua__rand_below(&rand, 64);
        skua__histogram_add(&histogram, values[i]);
        skua__histogram_add(&half[i % 2], values[i]);
    }
    skua__histogram_merge(&half[0], &half[1]);
    qsort(values, VALUES, sizeof values[0], compare);
    const uint32_t permilles[] = {0, 1, 10, 500, 900, 990, 999, 1000};
    for (size_t i = 0; i < sizeof permilles / sizeof permilles[0]; i++) {
        uint64_t rank = ((uint64_t)VALUES * permilles[i] + 999) / 1000;
        uint64_t exact = values[rank ? rank - 1 : 0];
        uint64_t got = skua__histogram_at(&histogram, permilles[i]);
        assert_true(got >= exact);
        assert_true(got - exact <= exact / 64);
        assert_true(skua__histogram_at(&half[0], permilles[i]) == got);
    }
    assert_true(histogram.min == values[0] && histogram.max == values[VALUES - 1]);
    assert_true(skua__histogram_at(&histogram, 1000) == histogram.max);
    assert_memory_equal(&histogram, &half[0], sizeof histogram);
}

static void
test_histogram_extremes(void **state) {
    (void)state;
    static skua__histogram histogram, empty;
    assert_true(skua__histogram_at(&histogram, 500) == 0);
    assert_true(skua__histogram_mean(&histogram) == 0.0);
    skua__histogram_add(&histogram, UINT64_MAX);
    assert_true(skua__histogram_at(&histogram, 500) == UINT64_MAX);
    skua__histogram_add(&histogram, 0);
    assert_true(skua__histogram_at(&histogram, 500) == 0);
    assert_true(histogram.min == 0 && histogram.max == UINT64_MAX && histogram.count == 2);
    skua__histogram_merge(&histogram, &empty);
    assert_true(histogram.min == 0 && histogram.count == 2);
    skua__histogram_merge(&empty, &histogram);
    assert_memory_equal(&histogram, &empty, sizeof histogram);
    skua__histogram_reset(&histogram);
    skua__histogram_add(&histogram, 10);
    skua__histogram_add(&histogram, 20);
    assert_true(skua__histogram_mean(&histogram) == 15.0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram_agrees_with_sorted_values),
        cmocka_unit_test(test_histogram_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
