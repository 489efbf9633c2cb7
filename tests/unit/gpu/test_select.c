// SPDX-License-Identifier: MPL-2.0
// The selector alone: sums and choices, the fixed policies, exploring within its bounds, learning that shrugs off
// outliers, the file that keeps it, calibration and splitting. No clock: every time is made up.
#include "test.h"

#include "failing_allocator.h"
#include <math.h>
#include <skua-int/rand.h>
#include <skua/select.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCALAR, SIMD, DEVICE, BACKENDS };

typedef struct bench {
    skua_selector *selector;
    uint32_t kernel;
    skua_select_place places[BACKENDS];
    skua_select_work work;
    skua_select_decision decision;
} bench;

static void
add(skua_selector *selector, const char *name, int32_t kind, int64_t launch_ns,
    uint64_t bytes_per_s, uint32_t expected) {
    uint32_t number = 99;
    assert_int_equal(skua_selector_add_backend(selector,
                                               SKUA_SELECT_BACKEND(.name = name, .kind = kind,
                                                                   .launch_ns = launch_ns,
                                                                   .bytes_per_s = bytes_per_s),
                                               &number, NULL),
                     0);
    assert_int_equal(number, expected);
}

static void
open_bench(bench *b, const skua_selector_options *options) {
    *b = (bench){0};
    assert_int_equal(skua_selector_open(&b->selector, options, NULL), 0);
    add(b->selector, "scalar", SKUA_SELECT_SCALAR, 0, 0, SCALAR);
    add(b->selector, "simd", SKUA_SELECT_SIMD, 1000, 0, SIMD);
    add(b->selector, "device", SKUA_SELECT_DEVICE, 20000, UINT64_C(10000000000), DEVICE);
    assert_int_equal(skua_selector_kernel(b->selector, "saxpy", &b->kernel, NULL), 0);
    for (uint32_t i = 0; i < BACKENDS; i++) {
        b->places[i].backend = i;
    }
    b->work = (skua_select_work){.size = sizeof b->work,
                                 .kernel = b->kernel,
                                 .units = 1000,
                                 .places = b->places,
                                 .place_count = BACKENDS};
    b->decision.size = sizeof b->decision;
}

static uint32_t
choose(bench *b) {
    assert_int_equal(skua_select(b->selector, &b->work, &b->decision, NULL), 0);
    assert_int_equal(b->decision.backend, b->places[b->decision.place].backend);
    return b->decision.backend;
}

static void
learn(bench *b, uint32_t backend, uint64_t units, int64_t run_ns) {
    assert_int_equal(
        skua_selector_learn(b->selector,
                            SKUA_SELECT_OUTCOME(.kernel = b->kernel, .backend = backend,
                                                .units = units, .run_ns = run_ns),
                            NULL),
        0);
}

static int64_t
predicted(bench *b, uint32_t backend) {
    choose(b);
    return b->decision.terms[backend].run_ns;
}

/* Linear times: scalar 1 ns per unit, SIMD a quarter of it, the device a hundredth. */
static void
learn_all(bench *b) {
    for (uint64_t units = 256; units <= (1 << 24); units *= 4) {
        learn(b, SCALAR, units, (int64_t)units);
        learn(b, SIMD, units, (int64_t)units / 4);
        learn(b, DEVICE, units, (int64_t)units / 100 + 1);
    }
}

static void
test_select_rule_of_five_comes_out_as_published(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    struct {
        uint64_t units, flops, bytes;
        uint8_t elementwise;
        uint32_t expected;
    } cases[] = {
        {64, UINT64_C(2) * 64 * 64 * 64, 3 * 64 * 64 * 4, 0, SIMD},
        {512, UINT64_C(2) * 512 * 512 * 512, 3 * 512 * 512 * 4, 0, SIMD},
        {2048, UINT64_C(2) * 2048 * 2048 * 2048, 3 * 2048 * 2048 * 4, 0, SIMD},
        {10000, 20000, 2 * 10000 * 4, 0, SIMD},
        {1000000, 1000000, 3 * 1000000 * 4, 1, SCALAR},
        {1000000, 1000000000, 1000000, 0, SIMD},
        /* And some that are not published, so that the rule's other sides are seen. */
        {1000001, 1000001, 3 * 1000001 * 4, 1, SIMD},
        {65536, UINT64_C(2) * 65536 * 65536 * 65536, UINT64_C(3) * 65536 * 65536 * 4, 0, DEVICE},
        {1000000, UINT64_C(3200000000), 1000000, 0, DEVICE},
        {1000000, UINT64_C(3000000000), 1000000, 0, SIMD}, /* 4.8 times */
    };
    b.work.policy = SKUA_SELECT_FIVE_TIMES_PCIE;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        b.work.units = cases[i].units;
        b.work.flops = cases[i].flops;
        b.work.bytes = cases[i].bytes;
        b.work.elementwise = cases[i].elementwise;
        assert_int_equal(choose(&b), cases[i].expected);
        assert_int_equal(b.decision.reason, SKUA_SELECT_RULE);
    }
    skua_selector_close(b.selector);
}

static void
test_select_fixed_policies_choose_by_kind(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    b.places[SCALAR].wait_ns = 30;
    b.places[SIMD].wait_ns = 20;
    b.places[DEVICE].wait_ns = 10;
    const uint32_t expected[] = {SCALAR, SIMD, DEVICE, SCALAR /* no peer: the first */, DEVICE};
    for (uint32_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        b.work.policy = SKUA_SELECT_ALWAYS_SCALAR + (int32_t)i;
        assert_int_equal(choose(&b), expected[i]);
        assert_string_not_equal(skua_select_policy_text(b.work.policy), "unknown");
    }
    b.work.policy = SKUA_SELECT_ROUND_ROBIN;
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(choose(&b), i % 3);
    }
    b.work.policy = SKUA_SELECT_RANDOM;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < 200; i++) {
        seen |= 1U << choose(&b);
    }
    assert_int_equal(seen, 7);
    assert_string_equal(skua_select_policy_text(77), "unknown");
    skua_selector_close(b.selector);
}

static void
test_select_takes_the_smallest_sum_and_says_why(void **state) {
    (void)state;
    bench b;
    open_bench(
        &b, SKUA_SELECTOR_OPTIONS(.explore_permille = SKUA_NONE, .hysteresis_permille = SKUA_NONE));
    learn_all(&b);
    b.work.units = 1024;
    assert_int_equal(choose(&b), SCALAR); /* 1024 against 1000 + 256 */
    b.work.units = 16384;
    assert_int_equal(choose(&b), SIMD); /* 5096 against 20164 and 16384 */
    b.work.units = 1 << 20;
    assert_int_equal(choose(&b), DEVICE);     /* 30 us against 262 us */
    b.places[DEVICE].missing_bytes = 8 << 20; /* 839 us at 10 GB/s */
    assert_int_equal(choose(&b), SIMD);
    const skua_select_term *term = &b.decision.terms[DEVICE];
    assert_int_equal(b.decision.count, 3);
    assert_in_range(term->move_ns, 838000, 840000);
    assert_int_equal(term->launch_ns, 20000);
    assert_in_range(term->run_ns, 10380, 10600);
    assert_int_equal(term->total_ns,
                     term->wait_ns + term->launch_ns + term->move_ns + term->run_ns);
    assert_int_equal(b.decision.reason, SKUA_SELECT_BEST);
    b.places[SIMD].wait_ns = 2000000;
    assert_int_equal(choose(&b), DEVICE);
    char text[1024];
    size_t length = skua_select_text(b.selector, &b.decision, text, sizeof text);
    assert_int_equal(length, strlen(text));
    assert_non_null(strstr(text, "saxpy, 1048576 units: device, because it is predicted"));
    assert_non_null(strstr(text, "wait 2000.0 + launch 1.0"));
    char cut[20];
    assert_int_equal(skua_select_text(b.selector, &b.decision, cut, sizeof cut), length);
    assert_memory_equal(cut, text, sizeof cut - 1);
    assert_int_equal(cut[19], 0);
    b.work.place_count = 1;
    assert_int_equal(choose(&b), SCALAR);
    assert_int_equal(b.decision.reason, SKUA_SELECT_ONLY);
    skua_selector_close(b.selector);
}

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

static void
test_select_hysteresis_keeps_the_last_of_near_equals(void **state) {
    (void)state;
    bench b;
    open_bench(&b, SKUA_SELECTOR_OPTIONS(.explore_permille = SKUA_NONE, .hysteresis_permille = 50));
    for (uint32_t i = 0; i < BACKENDS; i++) {
        learn(&b, i, 1000, 1000000);
    }
    b.places[SCALAR].wait_ns = 50000;
    assert_int_equal(choose(&b), SIMD);
    b.places[SIMD].wait_ns = 70000; /* 1.071 ms against 1.050: 2 % */
    assert_int_equal(choose(&b), SIMD);
    assert_int_equal(b.decision.reason, SKUA_SELECT_KEPT);
    assert_int_equal(b.decision.best, DEVICE);
    b.places[SIMD].wait_ns = 200000;
    assert_int_equal(choose(&b), DEVICE);
    assert_int_equal(b.decision.reason, SKUA_SELECT_BEST);
    skua_selector_counters counters = {.size = sizeof counters};
    skua_selector_stats(b.selector, &counters);
    assert_int_equal(counters.decisions, 3);
    assert_int_equal(counters.kept, 1);
    skua_selector_close(b.selector);
}

/* What nothing is known of is tried, a bounded number of times, and then guessed from the others. */
static void
test_select_tries_the_unknown_three_times(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    learn(&b, SCALAR, 1000, 500000);
    learn(&b, SIMD, 1000, 400000);
    uint32_t tries = 0;
    for (int i = 0; i < 20; i++) {
        tries += choose(&b) == DEVICE && b.decision.reason == SKUA_SELECT_EXPLORED;
    }
    assert_int_equal(tries, 3);
    assert_int_equal(b.decision.backend, SIMD); /* what is guessed counts */
    assert_int_equal(b.decision.terms[DEVICE].known, 0);
    assert_in_range(b.decision.terms[DEVICE].run_ns, 499900, 500100);
    learn(&b, DEVICE, 1000, 1000);
    assert_int_equal(choose(&b), DEVICE);
    assert_int_equal(b.decision.reason, SKUA_SELECT_BEST);
    skua_selector_close(b.selector);
}

/* A queue is known also where nothing else is: nobody waits a second to learn what could be had in a millisecond. */
static void
test_select_does_not_try_the_unknown_behind_a_long_queue(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    learn(&b, SCALAR, 1000, 1000000);
    learn(&b, SIMD, 1000, 1200000);
    b.places[DEVICE].wait_ns = 1000000000;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(choose(&b), SCALAR);
    }
    b.places[DEVICE].wait_ns = 1000000; /* now it may be worth a try */
    assert_int_equal(choose(&b), DEVICE);
    assert_int_equal(b.decision.reason, SKUA_SELECT_EXPLORED);
    skua_selector_close(b.selector);
    /* Of several unknown ones the one that would begin first is tried. */
    open_bench(&b, NULL);
    b.places[SCALAR].wait_ns = 500000000;
    b.places[DEVICE].wait_ns = 700000000;
    assert_int_equal(choose(&b), SIMD);
    skua_selector_close(b.selector);
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

/* One bad run does not keep a backend from being asked for good, though it looks hundreds of times worse. */
static void
test_select_a_bad_name_from_few_runs_is_looked_at_again(void **state) {
    (void)state;
    bench b;
    open_bench(&b, SKUA_SELECTOR_OPTIONS(.seed = test_seed(9), .explore_cost_permille = 1000));
    b.work.place_count = 2;
    learn(&b, SCALAR, 1000, 1000000);
    learn(&b, SIMD, 1000, 300000000);
    uint32_t simd = 0, rounds = 0;
    while (simd == 0 && rounds++ < 5000) {
        uint32_t chosen = choose(&b);
        simd += chosen == SIMD;
        learn(&b, chosen, 1000, chosen == SIMD ? 100000 : 1000000);
    }
    assert_int_equal(simd, 1);
    assert_int_equal(choose(&b), SIMD);
    /* What many runs say is believed. */
    for (int i = 0; i < 40; i++) {
        learn(&b, SIMD, 1000, 300000000);
    }
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(choose(&b), SCALAR);
        learn(&b, SCALAR, 1000, 1000000);
    }
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
    b.work.units = 65536;
    assert_in_range(predicted(&b, DEVICE), 49900, 50100);
    assert_in_range(predicted(&b, SIMD), 51000000, 51500000);
    learn(&b, DEVICE, 1024, 800000); /* now there is one */
    assert_true(predicted(&b, DEVICE) > 40000000);
    skua_selector_close(b.selector);
}

/* Of two near backends the idle one becomes twice as fast: exploring finds out, within its bounds. */
static void
test_select_explores_within_its_bounds_and_finds_the_faster(void **state) {
    (void)state;
    bench b;
    open_bench(&b, SKUA_SELECTOR_OPTIONS(.seed = test_seed(7), .explore_permille = 50));
    for (int i = 0; i < 20; i++) {
        learn(&b, SCALAR, 1000, 30000000);
        learn(&b, SIMD, 1000, 1000000);
        learn(&b, DEVICE, 1000, 1300000);
    }
    uint32_t device = 0, scalar = 0;
    for (uint32_t i = 1; i <= 20000; i++) {
        uint32_t chosen = choose(&b);
        learn(&b, chosen, 1000, chosen == SIMD ? 1000000 : chosen == DEVICE ? 500000 : 30000000);
        device += chosen == DEVICE;
        scalar += chosen == SCALAR;
        skua_selector_counters counters = {.size = sizeof counters};
        skua_selector_stats(b.selector, &counters);
        assert_true(counters.explored * 20 <= counters.decisions + 20);
    }
    assert_true(device > 18000); /* it was found early */
    assert_true(scalar * UINT64_C(30) <=
                20000 * 2 / 100); /* thirty times as slow: hardly ever tried */
    skua_selector_close(b.selector);
    open_bench(&b, SKUA_SELECTOR_OPTIONS(.explore_permille = SKUA_NONE));
    learn_all(&b);
    for (uint32_t i = 0; i < 2000; i++) {
        choose(&b);
        assert_int_not_equal(b.decision.reason, SKUA_SELECT_EXPLORED);
    }
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

/* ---- Calibration and splitting ---- */

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

static void
test_select_split_ends_everywhere_at_once(void **state) {
    (void)state;
    bench b;
    open_bench(&b, NULL);
    learn_all(&b);
    skua__rand rand = {.state = test_seed(11)};
    for (uint32_t round = 0; round < 300; round++) {
        uint64_t units = UINT64_C(1) << (4 + skua__rand_below(&rand, 20));
        units += skua__rand_below(&rand, (uint32_t)units);
        uint64_t granule = UINT64_C(1) << skua__rand_below(&rand, 8);
        b.work.units = units;
        b.places[DEVICE].missing_bytes = 8 * units;
        b.places[SIMD].wait_ns = skua__rand_below(&rand, 100000);
        uint64_t shares[BACKENDS];
        int64_t total_ns;
        assert_int_equal(skua_select_split(b.selector, &b.work, granule, shares, &total_ns, NULL),
                         0);
        uint64_t sum = 0;
        uint32_t odd = 0;
        for (uint32_t i = 0; i < BACKENDS; i++) {
            sum += shares[i];
            odd += shares[i] % granule != 0;
        }
        assert_int_equal(sum, units);
        assert_true(odd <= 1);
        b.work.policy = SKUA_SELECT_ALWAYS_SCALAR; /* only for its terms */
        choose(&b);
        b.work.policy = SKUA_SELECT_LEARNED;
        /* Never later than the best alone, but for what a granule more takes. */
        assert_true(total_ns <=
                    b.decision.terms[b.decision.best].total_ns * 21 / 20 + (int64_t)granule * 3);
    }
    b.work.units = 1 << 22;
    b.places[SIMD].wait_ns = 0;
    b.places[DEVICE].missing_bytes = 0;
    uint64_t shares[BACKENDS];
    int64_t total_ns;
    assert_int_equal(skua_select_split(b.selector, &b.work, 1, shares, &total_ns, NULL), 0);
    assert_true(shares[DEVICE] > shares[SIMD] && shares[SIMD] > 3 * shares[SCALAR]);
    assert_true(shares[SCALAR] > 0);
    /* Nothing known of any of them: one takes it all. */
    uint32_t fresh;
    assert_int_equal(skua_selector_kernel(b.selector, "fresh", &fresh, NULL), 0);
    b.work.kernel = fresh;
    assert_int_equal(skua_select_split(b.selector, &b.work, 1, shares, NULL, NULL), 0);
    assert_int_equal(shares[SCALAR] + shares[SIMD] + shares[DEVICE], 1 << 22);
    skua_selector_close(b.selector);
}

/* ---- What is refused ---- */

static void
test_select_refuses_what_makes_no_sense(void **state) {
    (void)state;
    bench b;
    uint32_t number;
    open_bench(&b, NULL);
    skua_selector *none = NULL;
    assert_int_equal(skua_selector_open(NULL, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_selector_open(&none, SKUA_SELECTOR_OPTIONS(.explore_permille = 51), NULL),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(
        skua_selector_open(&none, SKUA_SELECTOR_OPTIONS(.hysteresis_permille = 1000), NULL),
        SKUA_E_BAD_ARGUMENT);
    assert_null(none);
    assert_int_equal(skua_selector_save(b.selector, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_selector_add_backend(
                         b.selector, SKUA_SELECT_BACKEND(.name = "simd", .kind = SKUA_SELECT_SIMD),
                         &number, NULL),
                     SKUA_E_EXISTS);
    assert_int_equal(
        skua_selector_add_backend(b.selector, SKUA_SELECT_BACKEND(.name = "x"), &number, NULL),
        SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_selector_kernel(b.selector, "", &number, NULL), SKUA_E_BAD_ARGUMENT);
    char name[200];
    memset(name, 'n', sizeof name);
    name[SKUA_SELECT_NAME_BYTES] = 0;
    assert_int_equal(skua_selector_kernel(b.selector, name, &number, NULL), SKUA_E_BAD_ARGUMENT);
    for (uint32_t i = 1; i < SKUA_SELECT_KERNELS_MAX; i++) {
        snprintf(name, sizeof name, "k%u", i);
        assert_int_equal(skua_selector_kernel(b.selector, name, &number, NULL), 0);
        assert_int_equal(number, i);
    }
    assert_int_equal(skua_selector_kernel(b.selector, "one more", &number, NULL), SKUA_E_LIMIT);
    skua_select_work good = b.work;
    b.work.kernel = SKUA_SELECT_KERNELS_MAX;
    assert_int_equal(skua_select(b.selector, &b.work, &b.decision, NULL), SKUA_E_BAD_ARGUMENT);
    b.work = good;
    b.work.policy = 9;
    assert_int_equal(skua_select(b.selector, &b.work, &b.decision, NULL), SKUA_E_BAD_ARGUMENT);
    b.work = good;
    b.work.place_count = 0;
    assert_int_equal(skua_select(b.selector, &b.work, &b.decision, NULL), SKUA_E_BAD_ARGUMENT);
    b.work = good;
    b.places[1].backend = 7;
    assert_int_equal(skua_select(b.selector, &b.work, &b.decision, NULL), SKUA_E_BAD_ARGUMENT);
    b.places[1].backend = 1;
    b.decision.size = 8;
    assert_int_equal(skua_select(b.selector, &b.work, &b.decision, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(
        skua_selector_learn(b.selector, SKUA_SELECT_OUTCOME(.backend = 3, .run_ns = 1), NULL),
        SKUA_E_BAD_ARGUMENT);
    skua_selector_close(b.selector);
    assert_null(skua_selector_close(NULL));
}

static skua_status
whole_life(const skua_allocator *hook, const char *path) {
    skua_selector *selector;
    skua_status status =
        skua_selector_open(&selector, SKUA_SELECTOR_OPTIONS(.allocator = hook, .path = path), NULL);
    if (status) {
        return status;
    }
    uint32_t kernel, backend;
    status = skua_selector_add_backend(
        selector, SKUA_SELECT_BACKEND(.name = "b", .kind = SKUA_SELECT_SIMD), &backend, NULL);
    status = status ? status : skua_selector_kernel(selector, "k", &kernel, NULL);
    status = status ? status
                    : skua_selector_learn(selector,
                                          SKUA_SELECT_OUTCOME(.kernel = kernel, .backend = backend,
                                                              .units = 5, .run_ns = 70),
                                          NULL);
    status = status ? status : skua_selector_save(selector, NULL);
    skua_selector_close(selector);
    return status;
}

static void
test_select_survives_without_memory(void **state) {
    (void)state;
    char dir[] = "/tmp/skua-select-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/learned", dir);
    assert_int_equal(whole_life(NULL, path), 0); /* so that there is a file to read */
    for (long n = 1;; n++) {
        failing_allocator a;
        failing_allocator_init(&a, n);
        skua_status status = whole_life(&a.hook, path);
        assert_int_equal(a.alive, 0);
        if (status == 0) {
            assert_true(n > 6);
            break;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_select_rule_of_five_comes_out_as_published),
        cmocka_unit_test(test_select_fixed_policies_choose_by_kind),
        cmocka_unit_test(test_select_takes_the_smallest_sum_and_says_why),
        cmocka_unit_test(test_select_interpolates_power_laws),
        cmocka_unit_test(test_select_hysteresis_keeps_the_last_of_near_equals),
        cmocka_unit_test(test_select_tries_the_unknown_three_times),
        cmocka_unit_test(test_select_does_not_try_the_unknown_behind_a_long_queue),
        cmocka_unit_test(test_select_a_disturbed_first_run_is_put_right_by_the_next),
        cmocka_unit_test(test_select_one_small_run_of_a_device_is_no_rate),
        cmocka_unit_test(test_select_a_bad_name_from_few_runs_is_looked_at_again),
        cmocka_unit_test(test_select_explores_within_its_bounds_and_finds_the_faster),
        cmocka_unit_test(test_select_one_outlier_counts_little_and_four_are_a_change),
        cmocka_unit_test(test_select_an_outlier_at_a_fresh_size_is_damped),
        cmocka_unit_test(test_select_learns_launches_and_moves),
        cmocka_unit_test(test_select_guesses_from_nominal_speeds),
        cmocka_unit_test(test_select_file_survives_and_junk_is_ignored),
        cmocka_unit_test(test_select_forgotten_backends_make_room),
        cmocka_unit_test(test_select_removed_backends_come_back_or_make_room),
        cmocka_unit_test(test_select_calibration_takes_medians_within_its_budget),
        cmocka_unit_test(test_select_split_ends_everywhere_at_once),
        cmocka_unit_test(test_select_refuses_what_makes_no_sense),
        cmocka_unit_test(test_select_survives_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
