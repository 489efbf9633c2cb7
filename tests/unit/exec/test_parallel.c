// SPDX-License-Identifier: MPL-2.0
// Loops and reductions: each index once, results in order, whatever the grain and the workers.
#include "opened.h"
#include "test.h"

#include <sched.h>
#include <skua-int/clock.h>
#include <skua/parallel.h>
#include <stdatomic.h>
#include <string.h>

enum { COUNT = 10000, DEADLINE_S = 20 };

static void
touch(skua_worker w, uint64_t first, uint64_t end, void *arg) {
    (void)w;
    unsigned char *seen = arg;
    for (uint64_t i = first; i < end; i++) {
        seen[i]++; /* no other piece has this index */
    }
}

static void
test_parallel_for_touches_each_index_once(void **state) {
    (void)state;
    const uint64_t grains[] = {0, 1, 7, 1000, COUNT * 2};
    for (int32_t workers = 1; workers <= 4; workers++) {
        skua_exec *exec = open_workers(workers, 0);
        for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
            static unsigned char seen[COUNT];
            memset(seen, 0, sizeof seen);
            assert_int_equal(skua_parallel_for(exec, 10, COUNT - 10, grains[g], touch, seen, NULL),
                             SKUA_OK);
            for (int i = 0; i < COUNT; i++) {
                assert_int_equal(seen[i], i >= 10 && i < COUNT - 10);
            }
        }
        skua_exec_close(exec);
    }
}

static void
count_piece(skua_worker w, uint64_t first, uint64_t end, void *arg) {
    (void)w;
    assert_true(end - first <= 3);
    atomic_fetch_add((_Atomic uint64_t *)arg, end - first);
}

static void
test_parallel_for_keeps_to_the_grain_and_the_ends(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, 0);
    _Atomic uint64_t count = 0;
    assert_int_equal(
        skua_parallel_for(exec, UINT64_MAX - 100, UINT64_MAX, 3, count_piece, &count, NULL),
        SKUA_OK);
    assert_int_equal(atomic_load(&count), 100);
    assert_int_equal(skua_parallel_for(exec, 5, 5, 0, count_piece, NULL, NULL), SKUA_OK);
    skua_error err;
    assert_int_equal(skua_parallel_for(exec, 6, 5, 0, count_piece, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_for(exec, 1, 5, 0, NULL, NULL, &err), SKUA_E_BAD_ARGUMENT);
    skua_exec_close(exec);
}

/* ---- reduce: text is joined, which is associative and not commutative ---- */

typedef struct span {
    uint64_t first, end; /* of one unbroken run of indices; both 0: empty */
    bool broken;
} span;

static void
fold_span(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w, (void)arg;
    span *into = value;
    *into = (span){.first = first, .end = end, .broken = into->end != 0};
}

static void
combine_spans(void *left, const void *right, void *arg) {
    (void)arg;
    span *a = left;
    const span *b = right;
    a->broken |= b->broken || a->end != b->first;
    a->end = b->end;
}

static void
test_parallel_reduce_combines_neighbours_in_order(void **state) {
    (void)state;
    span none = {0};
    skua_reduce reduce = {.size = sizeof reduce,
                          .value_bytes = sizeof none,
                          .identity = &none,
                          .fold = fold_span,
                          .combine = combine_spans};
    for (int32_t workers = 1; workers <= 4; workers++) {
        skua_exec *exec = open_workers(workers, 0);
        for (uint64_t grain = 0; grain < 5; grain++) {
            span got = {0};
            assert_int_equal(skua_parallel_reduce(exec, 3, COUNT, grain, &reduce, &got, NULL),
                             SKUA_OK);
            assert_false(got.broken);
            assert_int_equal(got.first, 3);
            assert_int_equal(got.end, COUNT);
        }
        span got = {.first = 9};
        assert_int_equal(skua_parallel_reduce(exec, 3, 3, 0, &reduce, &got, NULL), SKUA_OK);
        assert_int_equal(got.first, 0); /* the identity */
        skua_exec_close(exec);
    }
}

/* ---- Cuts ---- */

static void
note_cut(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w;
    ((unsigned char *)arg)[end]++;
    *(uint64_t *)value += first;
}

static void
add_u64(void *left, const void *right, void *arg) {
    (void)arg;
    *(uint64_t *)left += *(const uint64_t *)right;
}

/* Where it is cut does not depend on the workers, so that a sum of floating-point numbers does not either. */
static void
test_parallel_reduce_is_cut_alike_by_any_number_of_workers(void **state) {
    (void)state;
    static unsigned char cuts[5][COUNT + 1];
    const uint64_t zero = 0;
    for (int32_t workers = 1; workers <= 4; workers++) {
        skua_exec *exec = open_workers(workers, 0);
        skua_reduce reduce = {.size = sizeof reduce,
                              .value_bytes = sizeof zero,
                              .identity = &zero,
                              .fold = note_cut,
                              .combine = add_u64,
                              .arg = cuts[workers]};
        uint64_t sum;
        assert_int_equal(skua_parallel_reduce(exec, 0, COUNT, 0, &reduce, &sum, NULL), SKUA_OK);
        assert_memory_equal(cuts[workers], cuts[1], COUNT + 1);
        skua_exec_close(exec);
    }
}

typedef struct helped {
    atomic_uint by[2]; /* steps, per worker */
    int64_t step_ns;   /* that each takes */
} helped;

static void
take_a_while(skua_worker w, uint64_t first, uint64_t end, void *arg) {
    (void)first, (void)end;
    helped *self = arg;
    int64_t until_ns = self->step_ns ? skua__clock_ns() + self->step_ns : 0;
    atomic_fetch_add(&self->by[skua_worker_index(w)], 1);
    while (until_ns && skua__clock_ns() < until_ns) {
        sched_yield();
    }
}

/* A worker that sleeps, or looks around, gets half of a loop that another one has begun, and without any grain. */
static void
test_parallel_for_gives_half_to_who_is_hungry(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, 0);
    int64_t until_ns = skua__clock_ns() + DEADLINE_S * SKUA_NS_PER_S;
    for (int shared = 0; shared < 20;) {
        helped self = {.step_ns = 20 * SKUA_NS_PER_US};
        assert_true(skua__clock_ns() < until_ns);
        assert_int_equal(skua_parallel_for(exec, 0, 64, 0, take_a_while, &self, NULL), SKUA_OK);
        shared += atomic_load(&self.by[0]) > 0 && atomic_load(&self.by[1]) > 0;
    }
    skua_exec_close(exec);
}

/* And where nobody is, the loop is not cut: its steps grow. */
static void
test_parallel_for_takes_long_steps_when_alone(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, 0);
    helped self = {.step_ns = 0};
    assert_int_equal(skua_parallel_for(exec, 0, 1u << 30, 0, take_a_while, &self, NULL), SKUA_OK);
    assert_in_range(atomic_load(&self.by[0]), 2, 1u << 16);
    skua_exec_close(exec);
}

/* ---- A sum, as a user writes it ---- */

static void
fold_sum(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w;
    const int *numbers = arg;
    int64_t *sum = value;
    for (uint64_t i = first; i < end; i++) {
        *sum += numbers[i];
    }
}

static void
combine_sums(void *left, const void *right, void *arg) {
    (void)arg;
    *(int64_t *)left += *(const int64_t *)right;
}

static void
test_parallel_reduce_sums(void **state) {
    (void)state;
    static int numbers[COUNT];
    for (int i = 0; i < COUNT; i++) {
        numbers[i] = i;
    }
    skua_exec *exec = open_workers(2, 0);
    int64_t zero = 0, sum = -1;
    skua_reduce reduce = {.size = sizeof reduce,
                          .value_bytes = sizeof sum,
                          .identity = &zero,
                          .fold = fold_sum,
                          .combine = combine_sums,
                          .arg = numbers};
    assert_int_equal(skua_parallel_reduce(exec, 0, COUNT, 0, &reduce, &sum, NULL), SKUA_OK);
    assert_int_equal(sum, (int64_t)COUNT * (COUNT - 1) / 2);
    reduce.value_bytes = SKUA_REDUCE_BYTES_MAX + 1;
    assert_int_equal(skua_parallel_reduce(exec, 0, COUNT, 0, &reduce, &sum, NULL),
                     SKUA_E_BAD_ARGUMENT);
    reduce = (skua_reduce){.size = sizeof reduce, .value_bytes = 8, .identity = &zero};
    assert_int_equal(skua_parallel_reduce(exec, 0, COUNT, 0, &reduce, &sum, NULL),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(sum, (int64_t)COUNT * (COUNT - 1) / 2);
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parallel_for_touches_each_index_once),
        cmocka_unit_test(test_parallel_for_keeps_to_the_grain_and_the_ends),
        cmocka_unit_test(test_parallel_reduce_combines_neighbours_in_order),
        cmocka_unit_test(test_parallel_reduce_is_cut_alike_by_any_number_of_workers),
        cmocka_unit_test(test_parallel_for_gives_half_to_who_is_hungry),
        cmocka_unit_test(test_parallel_for_takes_long_steps_when_alone),
        cmocka_unit_test(test_parallel_reduce_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
