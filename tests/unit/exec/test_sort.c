// SPDX-License-Identifier: MPL-2.0
// The sort: against qsort() and its own promise that equal items keep their order, for many sizes of items and ranges.
#include "opened.h"
#include "test.h"

#include "failing_allocator.h"
#include <skua-int/rand.h>
#include <skua/parallel.h>
#include <skua/sort.h>

#include <stdatomic.h>
#include <string.h>

/* The first four bytes of an item are its key, the next four the place where it stood. */
static int
by_key(const void *a, const void *b, void *arg) {
    assert_true(arg == NULL || *(int *)arg == 42);
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static void
fill(unsigned char *items, size_t count, size_t bytes, uint32_t keys, skua__rand *rand) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = skua__rand_below(rand, keys);
        memset(items + i * bytes, (int)(i & 0xff), bytes);
        memcpy(items + i * bytes, &key, sizeof key);
        memcpy(items + i * bytes + 4, &i, sizeof i);
    }
}

/* In order, equal ones as they stood, and each item whole. */
static void
expect_sorted(const unsigned char *items, size_t count, size_t bytes) {
    uint32_t key_before = 0, place_before = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t key, place;
        memcpy(&key, items + i * bytes, sizeof key);
        memcpy(&place, items + i * bytes + 4, sizeof place);
        assert_true(i == 0 || key > key_before || (key == key_before && place > place_before));
        for (size_t b = 8; b < bytes; b++) {
            assert_int_equal(items[i * bytes + b], place & 0xff);
        }
        key_before = key;
        place_before = place;
    }
}

static size_t
sort_8(const skua_sort_part *part) {
    return skua_sort_step(part, 8, by_key);
}

static size_t
sort_12(const skua_sort_part *part) {
    return skua_sort_step(part, 12, by_key);
}

static size_t
sort_16(const skua_sort_part *part) {
    return skua_sort_step(part, 16, by_key);
}

static size_t
sort_61(const skua_sort_part *part) {
    return skua_sort_step(part, 61, by_key);
}

static size_t
sort_300(const skua_sort_part *part) {
    return skua_sort_step(part, 300, by_key);
}

static skua_sort_fn *const typed[] = {sort_8, sort_12, sort_16, sort_61, sort_300};

static void
test_sort_is_stable_for_all_sizes(void **state) {
    (void)state;
    const size_t sizes[] = {8, 12, 16, 61, 300};
    const size_t counts[] = {0, 1, 2, 3, 15, 16, 17, 33, 100, 1000, 4097, 30000};
    const uint32_t keys[] = {1, 2, 50, UINT32_MAX};
    int arg = 42;
    skua__rand rand = {.state = test_seed(7)};
    unsigned char *items = malloc(300 * 30000), *scratch = malloc(300 * 30000);
    assert_true(items && scratch);
    for (int32_t workers = 1; workers <= 3; workers++) {
        skua_exec *exec = open_workers(workers, 0);
        for (size_t s = 0; s < 5; s++) {
            for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
                uint32_t range = keys[skua__rand_below(&rand, 4)];
                fill(items, counts[c], sizes[s], range, &rand);
                void *given = skua__rand_below(&rand, 2) ? scratch : NULL;
                assert_int_equal(
                    skua_parallel_sort(exec, items, counts[c], sizes[s], by_key, &arg, given, NULL),
                    SKUA_OK);
                expect_sorted(items, counts[c], sizes[s]);
                fill(items, counts[c], sizes[s], range, &rand);
                assert_int_equal(skua_parallel_sort_typed(exec, items, counts[c], sizes[s],
                                                          typed[s], &arg, given, NULL),
                                 SKUA_OK);
                expect_sorted(items, counts[c], sizes[s]);
            }
        }
        skua_exec_close(exec);
    }
    free(items);
    free(scratch);
}

/* Every number of items that is sorted in one piece, and some more: the levels of merges end on the right side. */
static void
test_sort_of_every_short_length(void **state) {
    (void)state;
    enum { MOST = 2200 };
    static unsigned char items[MOST * 8];
    skua__rand rand = {.state = test_seed(11)};
    skua_exec *exec = open_workers(2, 0);
    for (size_t count = 0; count < MOST; count += count < 600 ? 1 : 37) {
        fill(items, count, 8, 1 + skua__rand_below(&rand, 1000), &rand);
        assert_int_equal(skua_parallel_sort_typed(exec, items, count, 8, sort_8, NULL, NULL, NULL),
                         SKUA_OK);
        expect_sorted(items, count, 8);
    }
    skua_exec_close(exec);
}

static int
by_byte(const void *a, const void *b, void *arg) {
    (void)arg;
    return *(const unsigned char *)a - *(const unsigned char *)b;
}

static void
test_sort_of_bytes_and_of_runs_in_any_order(void **state) {
    (void)state;
    enum { COUNT = 50000 };
    static unsigned char items[COUNT];
    skua_exec *exec = open_workers(2, 0);
    for (int shape = 0; shape < 4; shape++) {
        for (int i = 0; i < COUNT; i++) {
            const int shapes[] = {i / 200, (COUNT - i) / 200, i % 251, 7};
            items[i] = (unsigned char)shapes[shape];
        }
        assert_int_equal(skua_parallel_sort(exec, items, COUNT, 1, by_byte, NULL, NULL, NULL),
                         SKUA_OK);
        for (int i = 1; i < COUNT; i++) {
            assert_true(items[i - 1] <= items[i]);
        }
    }
    skua_exec_close(exec);
}

/* ---- Cancelled ---- */

enum { MANY = 40000 };

typedef struct cancelled_sort {
    skua_job job;
    skua_exec *exec;
    skua_group *group;
    uint32_t items[MANY];
    atomic_uint compares;
    skua_status status;
} cancelled_sort;

static int
cancel_after_a_while(const void *a, const void *b, void *arg) {
    cancelled_sort *self = arg;
    if (atomic_fetch_add(&self->compares, 1) == 5000) {
        skua_group_cancel(self->group, SKUA_E_CANCELLED, "enough");
    }
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void
sort_in_group(skua_worker w, skua_job *job) {
    (void)w;
    cancelled_sort *self = (cancelled_sort *)(void *)job;
    self->status = skua_parallel_sort(self->exec, self->items, MANY, sizeof *self->items,
                                      cancel_after_a_while, self, NULL, NULL);
}

static void
test_sort_that_is_cancelled_keeps_every_item(void **state) {
    (void)state;
    static cancelled_sort self;
    for (int32_t workers = 1; workers <= 3; workers++) {
        skua_exec *exec = open_workers(workers, 0);
        skua_group group;
        skua_group_init(&group, exec);
        self.exec = exec;
        self.group = &group;
        atomic_store(&self.compares, 0);
        for (uint32_t i = 0; i < MANY; i++) {
            self.items[i] = i * 7919 % MANY; /* a permutation, since 7919 is prime */
        }
        skua_job_init(&self.job, sort_in_group);
        assert_int_equal(skua_group_submit(&group, &self.job), SKUA_OK);
        assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_E_CANCELLED);
        assert_int_equal(self.status, SKUA_E_CANCELLED);
        static unsigned char seen[MANY];
        memset(seen, 0, sizeof seen);
        for (uint32_t i = 0; i < MANY; i++) {
            seen[self.items[i]]++;
        }
        for (uint32_t i = 0; i < MANY; i++) {
            assert_int_equal(seen[i], 1);
        }
        /* It did not go on to the end: that takes some 500,000. */
        assert_true(atomic_load(&self.compares) < 400000);
        skua_group_fini(&group);
        skua_exec_close(exec);
    }
}

/* ---- Refused ---- */

static void
test_sort_refuses_bad_arguments_and_no_memory(void **state) {
    (void)state;
    uint32_t items[4] = {3, 1, 2, 0};
    skua_error err;
    skua_exec *exec = open_workers(1, 0);
    assert_int_equal(skua_parallel_sort(NULL, items, 4, 4, by_byte, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_sort(exec, NULL, 4, 4, by_byte, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_sort(exec, items, 4, 4, NULL, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_sort(exec, items, 4, 0, by_byte, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_sort(exec, items, SIZE_MAX / 2, 4, by_byte, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_sort(exec, NULL, 0, 4, by_byte, NULL, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_parallel_sort_typed(exec, items, 4, 8, NULL, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "sort is NULL"));
    assert_int_equal(skua_parallel_sort_typed(NULL, items, 4, 8, sort_8, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_sort_typed(exec, items, 4, 0, sort_8, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_sort_typed(exec, NULL, 4, 8, sort_8, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(
        skua_parallel_sort_typed(exec, items, SIZE_MAX / 2, 8, sort_8, NULL, NULL, &err),
        SKUA_E_BAD_ARGUMENT);
    skua_exec_close(exec);
    failing_allocator allocator;
    failing_allocator_init(&allocator, 0);
    assert_int_equal(
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.allocator = &allocator.hook, .workers = 1), NULL),
        SKUA_OK);
    atomic_store(&allocator.fail_at, atomic_load(&allocator.calls) + 1);
    assert_int_equal(skua_parallel_sort(exec, items, 4, 4, by_byte, NULL, NULL, &err),
                     SKUA_E_NO_MEMORY);
    assert_int_equal(items[0], 3);
    skua_exec_close(exec);
    assert_int_equal(atomic_load(&allocator.alive), 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sort_is_stable_for_all_sizes),
        cmocka_unit_test(test_sort_of_every_short_length),
        cmocka_unit_test(test_sort_of_bytes_and_of_runs_in_any_order),
        cmocka_unit_test(test_sort_that_is_cancelled_keeps_every_item),
        cmocka_unit_test(test_sort_refuses_bad_arguments_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
