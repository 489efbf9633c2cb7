// SPDX-License-Identifier: MPL-2.0
// Scans: inclusive and exclusive, in order, whatever the range, the grain and the workers.
#include "failing_allocator.h"
#include "opened.h"
#include "test.h"

#include <skua/parallel.h>
#include <string.h>

enum { COUNT_MAX = 5000 };

/* x -> a * x + b, modulo 2^64: composing two of them is associative, and their order matters. */
typedef struct affine {
    uint64_t a, b;
} affine;

static const affine affine_identity = {.a = 1, .b = 0};

static void
compose(void *left, const void *right, void *arg) {
    (void)arg;
    affine *l = left;
    const affine *r = right;
    *l = (affine){.a = r->a * l->a, .b = r->a * l->b + r->b};
}

static affine
item_at(uint64_t i) {
    return (affine){.a = 2 * i + 3, .b = i * i + 7};
}

typedef struct results {
    uint64_t first;
    bool exclusive;
    affine at[COUNT_MAX];
    unsigned char seen[COUNT_MAX];
    uint64_t shortest; /* of the pieces that were scanned */
} results;

static void
fold_affine(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w;
    for (uint64_t i = first; i < end; i++) {
        affine item = item_at(i);
        compose(value, &item, arg);
    }
}

static void
scan_affine(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w;
    results *to = arg;
    for (uint64_t i = first; i < end; i++) {
        affine item = item_at(i), before = *(affine *)value;
        compose(value, &item, NULL);
        to->at[i - to->first] = to->exclusive ? before : *(affine *)value;
        to->seen[i - to->first]++; /* no other piece has this index */
    }
}

static skua_scan
scan_of(void *arg) {
    return (skua_scan){.size = sizeof(skua_scan),
                       .value_bytes = sizeof(affine),
                       .identity = &affine_identity,
                       .fold = fold_affine,
                       .combine = compose,
                       .scan = scan_affine,
                       .arg = arg};
}

static void
check_scan(skua_exec *exec, uint64_t first, uint64_t count, uint64_t grain, bool exclusive) {
    static results to;
    memset(&to, 0, sizeof to);
    to.first = first;
    to.exclusive = exclusive;
    const skua_scan scan = scan_of(&to);
    affine total = {0, 0}, expected = affine_identity;
    assert_int_equal(skua_parallel_scan(exec, first, first + count, grain, &scan, &total, NULL),
                     SKUA_OK);
    for (uint64_t i = 0; i < count; i++) {
        affine before = expected, item = item_at(first + i);
        compose(&expected, &item, NULL);
        assert_int_equal(to.seen[i], 1);
        assert_memory_equal(&to.at[i], exclusive ? &before : &expected, sizeof expected);
    }
    assert_memory_equal(&total, &expected, sizeof expected);
}

static void
test_scan_gives_each_index_what_is_before_it(void **state) {
    (void)state;
    const uint64_t counts[] = {0, 1, 2, 3, 4, 5, 7, 12, 100, 1001, COUNT_MAX};
    const uint64_t grains[] = {0, 1, 3, 100, 3000, COUNT_MAX * 2};
    for (int32_t workers = 1; workers <= 5; workers++) {
        skua_exec *exec = open_workers(workers, 0);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
                check_scan(exec, 11, counts[c], grains[g], g % 2);
                check_scan(exec, UINT64_MAX - counts[c], counts[c], grains[g], g % 2 == 0);
            }
        }
        skua_exec_close(exec);
    }
}

/* Pieces keep to the grain, and with one worker there is one, without a fold. */
typedef struct pieces {
    _Atomic uint64_t scans, folds, shortest;
} pieces;

static void
count_fold(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w, (void)first, (void)end, (void)value;
    ((pieces *)arg)->folds++;
}

static void
count_scan(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w, (void)value;
    pieces *self = arg;
    self->scans++;
    if (end - first < self->shortest) {
        self->shortest = end - first;
    }
}

static void
test_scan_keeps_to_the_grain(void **state) {
    (void)state;
    skua_exec *one = open_workers(1, 0), *two = open_workers(2, 0);
    pieces seen = {.shortest = UINT64_MAX};
    skua_scan scan = scan_of(&seen);
    scan.fold = count_fold;
    scan.scan = count_scan;
    assert_int_equal(skua_parallel_scan(one, 0, 1000, 0, &scan, NULL, NULL), SKUA_OK);
    assert_int_equal(seen.scans, 1);
    assert_int_equal(seen.folds, 0);
    /* Two workers: two large pieces, and between them four small ones, which alone are folded. */
    seen.scans = 0;
    assert_int_equal(skua_parallel_scan(two, 0, 1200, 0, &scan, NULL, NULL), SKUA_OK);
    assert_int_equal(seen.scans, 6);
    assert_int_equal(seen.folds, 4);
    assert_int_equal(seen.shortest, 100);
    const struct {
        uint64_t grain, scans;
    } cases[] = {{100, 6}, {101, 5}, {200, 4}, {201, 3}, {400, 3}, {401, 1}, {5000, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        seen.scans = 0;
        seen.shortest = UINT64_MAX;
        assert_int_equal(skua_parallel_scan(two, 0, 1200, cases[i].grain, &scan, NULL, NULL),
                         SKUA_OK);
        assert_int_equal(seen.scans, cases[i].scans);
        assert_true(seen.shortest >= cases[i].grain || cases[i].scans == 1);
    }
    skua_exec_close(two);
    skua_exec_close(one);
}

typedef struct asking {
    affine total;
    skua_status status;
} asking;

static void
scan_on_worker(skua_worker w, void *frame) {
    static results to;
    asking *self = frame;
    const skua_scan scan = scan_of(&to);
    self->status =
        skua_parallel_scan(skua_worker_exec(w), 0, COUNT_MAX, 0, &scan, &self->total, NULL);
}

static void
test_scan_on_a_worker(void **state) {
    (void)state;
    skua_exec *exec = open_workers(3, 0);
    affine expected = affine_identity;
    asking self = {.status = 1};
    fold_affine((skua_worker){NULL}, 0, COUNT_MAX, &expected, NULL);
    assert_int_equal(skua_exec_run(exec, scan_on_worker, &self, NULL), SKUA_OK);
    assert_int_equal(self.status, SKUA_OK);
    assert_memory_equal(&self.total, &expected, sizeof expected);
    skua_exec_close(exec);
}

static void
test_scan_errors(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, 0);
    results *none = NULL;
    affine total = {5, 6};
    const skua_scan good = scan_of(none);
    skua_scan bad[6] = {good, good, good, good, good, good};
    bad[0].identity = NULL;
    bad[1].fold = NULL;
    bad[2].combine = NULL;
    bad[3].scan = NULL;
    bad[4].value_bytes = 0;
    bad[5].value_bytes = SKUA_REDUCE_BYTES_MAX + 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(skua_parallel_scan(exec, 0, 9, 0, &bad[i], &total, NULL),
                         SKUA_E_BAD_ARGUMENT);
    }
    assert_int_equal(skua_parallel_scan(NULL, 0, 9, 0, &good, &total, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_scan(exec, 0, 9, 0, NULL, &total, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_parallel_scan(exec, 9, 0, 0, &good, &total, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(total.a, 5);
    skua_exec_close(exec);
}

static void
test_scan_without_memory(void **state) {
    (void)state;
    failing_allocator allocator;
    failing_allocator_init(&allocator, 0);
    skua_exec *exec = NULL;
    assert_int_equal(
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 2, .allocator = &allocator.hook), NULL),
        SKUA_OK);
    pieces seen = {.shortest = 0};
    skua_scan scan = scan_of(&seen);
    scan.scan = count_scan;
    atomic_store(&allocator.fail_at, atomic_load(&allocator.calls) + 1);
    assert_int_equal(skua_parallel_scan(exec, 0, 100, 0, &scan, NULL, NULL), SKUA_E_NO_MEMORY);
    assert_int_equal(seen.scans, 0);
    atomic_store(&allocator.fail_at, 0);
    long alive = atomic_load(&allocator.alive);
    scan.fold = count_fold;
    assert_int_equal(skua_parallel_scan(exec, 0, 100, 0, &scan, NULL, NULL), SKUA_OK);
    assert_int_equal(atomic_load(&allocator.alive), alive); /* nothing is left of it */
    skua_exec_close(exec);
    assert_int_equal(atomic_load(&allocator.alive), 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan_gives_each_index_what_is_before_it),
        cmocka_unit_test(test_scan_keeps_to_the_grain),
        cmocka_unit_test(test_scan_on_a_worker),
        cmocka_unit_test(test_scan_errors),
        cmocka_unit_test(test_scan_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
