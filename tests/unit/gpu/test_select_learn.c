// SPDX-License-Identifier: MPL-2.0
// What a selector learns: power laws between and beyond samples, outliers that are shrugged off, launches and moves, the file
// that keeps it, and calibration. No clock: every time is made up.
#include "select_bench.h"

#include <math.h>
#include <skua-int/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Between what was measured, and an octave beyond it, power laws are predicted closely. */
static void
test_select_interpolates_power_laws(void **state) {
    (void)state;
    for (int power = 1; power <= 3; power++) {
        bench b;
        open_bench(&b, NULL);
        for (uint64_t units = 16; units <= 4096; units *= 4) {
            learn(&b, SCALAR, units, (int64_t)(7 * pow((double)units, power)));
        }
        b.work.place_count = 1;
        for (uint64_t units = 8; units <= 8192; units += 1 + units / 10) {
            b.work.units = units;
            choose(&b);
            double truth = 7 * pow((double)units, power);
            assert_true(fabs((double)b.decision.terms[0].run_ns / truth - 1) < 0.02);
        }
        skua_selector_close(b.selector);
    }
}

/* What disturbs a run makes it longer: a second one that is far shorter puts the first right at once. */
static void
test_select_a_disturbed_first_run_is_put_right_by_the_next(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    learn(&b, SIMD, 1000, 50000000);
    learn(&b, SIMD, 1000, 100000);
    assert_in_range(predicted(&b, SIMD), 95000, 105000);
    learn(&b, DEVICE, 1000, 100000); /* the other way round it is an outlier */
    learn(&b, DEVICE, 1000, 50000000);
    assert_true(predicted(&b, DEVICE) < 200000);
    skua_selector_close(b.selector);
}

/* One small run says what the way to a device takes, and what a core's rate is. */
static void
test_select_one_small_run_of_a_device_is_no_rate(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    learn(&b, SIMD, 64, 50000);
    learn(&b, DEVICE, 64, 50000);
    b.work.units = 16384; /* more fill it */
    assert_in_range(predicted(&b, DEVICE), 49900, 50100);
    assert_in_range(predicted(&b, SIMD), 12750000, 12900000);
    learn(&b, DEVICE, 1024, 800000); /* now there is one */
    assert_true(predicted(&b, DEVICE) > 10000000);
    skua_selector_close(b.selector);
}

/* The file does not say which curves are a device's: who tells of the backend does. */
static void
test_select_one_small_run_in_the_file_is_no_rate(void **state) {
    (void)state;
    char dir[] = "/tmp/skua-select-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/learned", dir);
    bench b;
    open_bench(&b, SKUA_SELECTOR_OPTIONS(.path = path));
    learn(&b, DEVICE, 64, 50000);
    skua_selector_close(b.selector);
    open_bench(&b, SKUA_SELECTOR_OPTIONS(.path = path));
    b.work.units = 16384;
    assert_in_range(predicted(&b, DEVICE), 49900, 50100);
    skua_selector_close(b.selector);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* Between two neighbours with a cliff no time is below the lower end, and none above the upper. */
static void
test_select_a_cliff_is_a_straight_line(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    for (int i = 0; i < 40; i++) { /* half an octave apart */
        learn(&b, SCALAR, 1024, 1000);
        learn(&b, SCALAR, 1448, 100000000);
    }
    b.work.place_count = 1;
    int64_t before_ns = 0;
    for (uint64_t units = 1024; units <= 1448; units++) {
        b.work.units = units;
        int64_t ns = predicted(&b, SCALAR);
        assert_true(ns >= before_ns);
        before_ns = ns;
    }
    assert_in_range(before_ns, 99000000, 101000000);
    skua_selector_close(b.selector);
}

static void
test_select_one_outlier_counts_little_and_four_are_a_change(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    for (int i = 0; i < 20; i++) {
        learn(&b, SIMD, 1000, 100000 + i % 3 * 1000);
    }
    learn(&b, SIMD, 1000, 5000000);
    assert_in_range(predicted(&b, SIMD), 95000, 110000);
    for (int i = 0; i < 30; i++) {
        learn(&b, SIMD, 1000, 5000000);
    }
    assert_in_range(predicted(&b, SIMD), 4500000, 5500000);
    for (int i = 0; i < 30; i++) {
        learn(&b, SIMD, 1000, 100000);
    }
    assert_in_range(predicted(&b, SIMD), 90000, 110000);
    skua_selector_counters counters = {.size = sizeof counters};
    skua_selector_stats(b.selector, &counters);
    assert_int_equal(counters.learned, 81);
    assert_true(counters.outliers >= 5);
    skua_selector_close(b.selector);
}

/* A fresh size between known ones is not believed at once when it is far off its neighbours. */
static void
test_select_an_outlier_at_a_fresh_size_is_damped(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    learn(&b, SIMD, 1024, 100000);
    learn(&b, SIMD, 4096, 400000);
    learn(&b, SIMD, 2048, 20000000);
    b.work.units = 2048;
    assert_in_range(predicted(&b, SIMD), 190000, 260000);
    skua_selector_close(b.selector);
}

static void
test_select_learns_launches_and_moves(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    learn_all(&b);
    for (int i = 0; i < 10; i++) {
        for (uint64_t bytes = 4096; bytes <= (1 << 26); bytes *= 4) {
            assert_int_equal(
                skua_selector_learn(b.selector,
                                    SKUA_SELECT_OUTCOME(.kernel = b.kernel, .backend = DEVICE,
                                                        .launch_ns = 5000, .moved_bytes = bytes,
                                                        .move_ns = 10000 + (int64_t)bytes / 5),
                                    NULL),
                0);
        }
    }
    b.places[DEVICE].missing_bytes = 1 << 20;
    choose(&b);
    assert_in_range(b.decision.terms[DEVICE].launch_ns, 4990, 5010);
    assert_in_range(b.decision.terms[DEVICE].move_ns, 205000, 235000);
    b.places[DEVICE].missing_bytes = 0;
    choose(&b);
    assert_int_equal(b.decision.terms[DEVICE].move_ns, 0);
    skua_selector_close(b.selector);
}

/* Before anything was measured, the nominal speed tells. */
static void
test_select_guesses_from_nominal_speeds(void **state) {
    (void)state;
    skua_selector *selector;
    uint32_t backend, kernel;
    assert_int_equal(skua_selector_open(&selector, NULL, NULL), 0);
    assert_int_equal(
        skua_selector_add_backend(
            selector,
            SKUA_SELECT_BACKEND(.name = "d", .kind = SKUA_SELECT_DEVICE, .flops = 1000000000),
            &backend, NULL),
        0);
    assert_int_equal(skua_selector_kernel(selector, "k", &kernel, NULL), 0);
    skua_select_place place = {.backend = backend};
    skua_select_work work = {.size = sizeof work,
                             .kernel = kernel,
                             .units = 1,
                             .flops = 2000000,
                             .places = &place,
                             .place_count = 1};
    skua_select_decision decision = {.size = sizeof decision};
    assert_int_equal(skua_select(selector, &work, &decision, NULL), 0);
    assert_int_equal(decision.terms[0].run_ns, 2000000);
    assert_int_equal(decision.terms[0].known, 1);
    skua_selector_close(selector);
}

/* ---- The file ---- */

static void
test_select_file_survives_and_junk_is_ignored(void **state) {
    (void)state;
    char dir[] = "/tmp/skua-select-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/learned", dir);
    const skua_selector_options *options = SKUA_SELECTOR_OPTIONS(.path = path);
    bench b;
    open_bench(&b, options);
    learn_all(&b);
    b.work.units = 5000;
    int64_t before_ns = predicted(&b, SIMD);
    skua_selector_close(b.selector);
    open_bench(&b, options); /* the same names: they go on */
    b.work.units = 5000;
    int64_t after_ns = predicted(&b, SIMD);
    assert_in_range(after_ns, before_ns - before_ns / 1000 - 1, before_ns + before_ns / 1000 + 1);
    assert_int_equal(b.decision.terms[SIMD].known, 1);
    assert_int_equal(skua_selector_save(b.selector, NULL), 0);
    skua_selector_close(b.selector);
    static uint8_t bytes[1 << 16], junk[1 << 16];
    FILE *file = fopen(path, "rb");
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_in_range(size, 100, sizeof bytes - 1);
    skua__rand rand = {.state = test_seed(3)};
    for (uint32_t round = 0; round < 400; round++) {
        memcpy(junk, bytes, size);
        size_t length = round % 2 ? skua__rand_below(&rand, (uint32_t)size) : size;
        if (length == size) {
            junk[skua__rand_below(&rand, (uint32_t)size)] ^=
                (uint8_t)(1 + skua__rand_below(&rand, 255));
        }
        file = fopen(path, "wb");
        assert_int_equal(fwrite(junk, 1, length, file), length);
        fclose(file);
        open_bench(&b, options);
        choose(&b);
        assert_int_equal(b.decision.terms[SIMD].known, 0);
        skua_selector_close(b.selector);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* not even a file */
    open_bench(&b, options);
    learn_all(&b);
    skua_error err;
    assert_int_equal(skua_selector_save(b.selector, &err), SKUA_E_SYSTEM);
    skua_selector_close(b.selector);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(dir), 0); /* nothing was left aside */
}

/* Backends that only the file knows make room for those of this run. */
static void
test_select_forgotten_backends_make_room(void **state) {
    (void)state;
    char dir[] = "/tmp/skua-select-XXXXXX", path[64], name[16];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/learned", dir);
    for (int run = 0; run < 3; run++) {
        skua_selector *selector;
        uint32_t kernel, backend;
        assert_int_equal(skua_selector_open(&selector, SKUA_SELECTOR_OPTIONS(.path = path), NULL),
                         0);
        assert_int_equal(skua_selector_kernel(selector, "k", &kernel, NULL), 0);
        for (uint32_t i = 0; i <= SKUA_SELECT_BACKENDS_MAX; i++) {
            snprintf(name, sizeof name, "%d.%u", run, i);
            skua_status status = skua_selector_add_backend(
                selector, SKUA_SELECT_BACKEND(.name = name, .kind = SKUA_SELECT_SIMD), &backend,
                NULL);
            assert_int_equal(status, i < SKUA_SELECT_BACKENDS_MAX ? 0 : SKUA_E_LIMIT);
            if (status == 0) {
                assert_int_equal(
                    skua_selector_learn(selector,
                                        SKUA_SELECT_OUTCOME(.kernel = kernel, .backend = backend,
                                                            .units = 10, .run_ns = 1000),
                                        NULL),
                    0);
            }
        }
        skua_selector_close(selector);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* Far above what was seen a device is as slow for more as the cores are, but only once it is full. */
static void
test_select_a_device_is_not_flat_for_ever(void **state) {
    (void)state;
    bench b;
    open_bench(&b, SKUA_SELECTOR_OPTIONS(.explore_permille = SKUA_NONE));
    learn(&b, DEVICE, 1024, 50000); /* alone: nobody knows how it grows */
    b.work.units = 1 << 14;
    assert_in_range(predicted(&b, DEVICE), 49500, 50500);
    b.work.units = 1 << 20;
    assert_in_range(predicted(&b, DEVICE), 64 * 49500, 64 * 50500); /* with the size */
    for (uint64_t units = 1 << 10; units <= 1 << 20; units *= 4) {
        learn(&b, SIMD, units, units <= 1 << 16 ? 100000 : (int64_t)units * 100000 / (1 << 16));
    }
    b.work.units = 1 << 14;
    assert_in_range(predicted(&b, DEVICE), 49500, 50500);
    b.work.units = 1 << 16;
    assert_in_range(predicted(&b, DEVICE), 49500, 52000); /* the cores take as long as for less */
    b.work.units = 1 << 20;
    assert_in_range(predicted(&b, DEVICE), 16 * 49500, 16 * 52000);
    learn(&b, DEVICE, 1 << 20, 60000); /* what was seen counts, and what lies between */
    assert_in_range(predicted(&b, DEVICE), 59000, 61000);
    b.work.units = 1 << 18;
    assert_in_range(predicted(&b, DEVICE), 50000, 60000);
    skua_selector_close(b.selector);
}

/* A backend that leaves and comes back goes on; one that gets its number meanwhile begins with nothing. */
static void
test_select_removed_backends_come_back_or_make_room(void **state) {
    (void)state;
    bench b;
    char name[16];
    uint32_t number = 0;
    open_bench(&b, SKUA_SELECTOR_OPTIONS(.explore_permille = SKUA_NONE));
    learn_all(&b);
    b.work.units = 1 << 20;
    assert_int_equal(choose(&b), DEVICE);
    int64_t before_ns = b.decision.terms[DEVICE].run_ns;
    int64_t simd_ns = b.decision.terms[SIMD].total_ns;
    assert_int_equal(skua_selector_remove_backend(b.selector, DEVICE, NULL), 0);
    assert_int_equal(skua_selector_remove_backend(b.selector, DEVICE, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_selector_remove_backend(b.selector, 99, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_selector_remove_backend(NULL, 0, NULL), SKUA_E_BAD_ARGUMENT);
    /* Nobody may name it any more. */
    assert_int_equal(skua_select(b.selector, &b.work, &b.decision, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_selector_learn(b.selector,
                                         SKUA_SELECT_OUTCOME(.kernel = b.kernel, .backend = DEVICE,
                                                             .units = 10, .run_ns = 10),
                                         NULL),
                     SKUA_E_BAD_ARGUMENT);
    add(b.selector, "device", SKUA_SELECT_DEVICE, 20000, UINT64_C(10000000000), DEVICE);
    assert_int_equal(choose(&b), DEVICE);
    assert_int_equal(b.decision.terms[DEVICE].run_ns, before_ns);
    /* All slots are taken: the one of who left is the next one's, who knows nothing and was never chosen. */
    for (uint32_t i = BACKENDS; i < SKUA_SELECT_BACKENDS_MAX; i++) {
        snprintf(name, sizeof name, "other %u", i);
        add(b.selector, name, SKUA_SELECT_PEER, 0, 0, i);
    }
    assert_int_equal(skua_selector_remove_backend(b.selector, DEVICE, NULL), 0);
    add(b.selector, "newcomer", SKUA_SELECT_DEVICE, 0, 0, DEVICE);
    /* As good as another one within the hysteresis: it was not chosen last, whoever had its number was. */
    learn(&b, DEVICE, b.work.units, simd_ns + simd_ns / 100);
    assert_int_equal(choose(&b), SIMD);
    assert_int_equal(b.decision.terms[DEVICE].samples, 1);
    assert_int_equal(skua_selector_add_backend(b.selector,
                                               SKUA_SELECT_BACKEND(.name = "device", .kind = 3),
                                               &number, NULL),
                     SKUA_E_LIMIT);
    skua_selector_close(b.selector);
}

/* ---- Calibration ---- */

typedef struct model {
    uint32_t calls[BACKENDS];
    uint64_t largest[BACKENDS];
} model;

static int64_t
model_measure(void *arg, uint32_t backend, uint64_t units) {
    model *m = arg;
    uint32_t call = m->calls[backend]++;
    m->largest[backend] = units > m->largest[backend] ? units : m->largest[backend];
    if (backend == DEVICE && units > 100000) {
        return -1;
    }
    int64_t ns = backend == SCALAR ? (int64_t)units * 1000 : (int64_t)units + 1;
    return call % 3 == 1 ? ns * 10 : ns; /* each second of three is disturbed */
}

static void
test_select_calibration_takes_medians_within_its_budget(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    model m = {0};
    skua_select_calibration how = {.size = sizeof how,
                                   .kernel = b.kernel,
                                   .min_units = 100,
                                   .max_units = 1000000,
                                   .points = 5,
                                   .measure = model_measure,
                                   .arg = &m};
    assert_int_equal(skua_selector_calibrate(b.selector, &how, NULL), 0);
    assert_int_equal(m.calls[SIMD], 15);
    assert_int_equal(m.largest[SIMD], 1000000);
    assert_true(m.calls[SCALAR] <
                15); /* 10,000 units thrice are more than 200 ms with the disturbed one */
    assert_int_equal(m.calls[DEVICE], 13); /* four points, and the one that it cannot do */
    b.work.units = 10000;
    choose(&b);
    assert_int_equal(b.decision.backend, SIMD);
    assert_in_range(b.decision.terms[SIMD].run_ns, 9900, 10100);
    how.max_units = 50;
    assert_int_equal(skua_selector_calibrate(b.selector, &how, NULL), SKUA_E_BAD_ARGUMENT);
    how.max_units = 1000;
    how.measure = NULL;
    assert_int_equal(skua_selector_calibrate(b.selector, &how, NULL), SKUA_E_BAD_ARGUMENT);
    skua_selector_close(b.selector);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_select_interpolates_power_laws),
        cmocka_unit_test(test_select_a_disturbed_first_run_is_put_right_by_the_next),
        cmocka_unit_test(test_select_one_small_run_of_a_device_is_no_rate),
        cmocka_unit_test(test_select_one_small_run_in_the_file_is_no_rate),
        cmocka_unit_test(test_select_a_cliff_is_a_straight_line),
        cmocka_unit_test(test_select_one_outlier_counts_little_and_four_are_a_change),
        cmocka_unit_test(test_select_an_outlier_at_a_fresh_size_is_damped),
        cmocka_unit_test(test_select_learns_launches_and_moves),
        cmocka_unit_test(test_select_guesses_from_nominal_speeds),
        cmocka_unit_test(test_select_file_survives_and_junk_is_ignored),
        cmocka_unit_test(test_select_forgotten_backends_make_room),
        cmocka_unit_test(test_select_a_device_is_not_flat_for_ever),
        cmocka_unit_test(test_select_removed_backends_come_back_or_make_room),
        cmocka_unit_test(test_select_calibration_takes_medians_within_its_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
