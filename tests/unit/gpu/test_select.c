// SPDX-License-Identifier: MPL-2.0
// What a selector chooses: sums, the fixed policies, hysteresis, exploring within its bounds, splitting, and what it refuses. No
// clock: every time is made up. How it learns: test_select_learn.c.
#include "failing_allocator.h"
#include "select_bench.h"

#include <skua-int/rand.h>
#include <string.h>
#include <unistd.h>

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

/* What exploring wastes stays within its share of all time, however often the dice say so. */
static void
test_select_explores_no_more_than_it_may_waste(void **state) {
    (void)state;
    bench b;
    open_bench(&b, SKUA_SELECTOR_OPTIONS(.seed = test_seed(13), .explore_permille = 50));
    b.work.place_count = 2;
    for (int i = 0; i < 20; i++) {
        learn(&b, SCALAR, 1000, 3000000);
        learn(&b, SIMD, 1000, 1000000);
    }
    uint32_t explored = 0;
    for (int i = 0; i < 10000; i++) {
        explored += choose(&b) == SCALAR;
    }
    /* 10 s, of which 5 permille are 25 times 2 ms. */
    assert_in_range(explored, 10, 26);
    skua_selector_close(b.selector);
}

/* The best one is waited for although it is full, and nothing is counted then; to learn, nobody waits. */
static void
test_select_waits_for_a_full_place_only_when_it_is_the_best(void **state) {
    (void)state;
    bench b;
    open_bench(&b, SKUA_SELECTOR_OPTIONS(.seed = test_seed(17), .explore_permille = 50,
                                         .explore_cost_permille = 1000));
    b.work.place_count = 2;
    b.places[SIMD].full = 1;
    learn(&b, SCALAR, 1000, 1000000);
    for (int i = 0; i < 200; i++) { /* nothing is known of the full one: it is not tried */
        assert_int_equal(choose(&b), SCALAR);
    }
    for (int i = 0; i < 20; i++) {
        learn(&b, SIMD, 1000, 1100000);
    }
    for (int i = 0; i < 2000; i++) { /* nor is it explored */
        assert_int_equal(choose(&b), SCALAR);
    }
    skua_selector_counters before = {.size = sizeof before}, after = {.size = sizeof after};
    skua_selector_stats(b.selector, &before);
    b.places[SCALAR].wait_ns = 100000000;
    b.places[SCALAR].full = 1; /* so that nothing is explored */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(choose(&b), SIMD);
        assert_int_equal(b.decision.reason, SKUA_SELECT_WAIT);
    }
    skua_selector_stats(b.selector, &after);
    assert_int_equal(after.decisions, before.decisions);
    b.places[SIMD].full = 0;
    assert_int_equal(choose(&b), SIMD);
    assert_int_equal(b.decision.reason, SKUA_SELECT_BEST);
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
    /* A share moves its share of the bytes, and begins after the wait: 1000 + 20000 + x / 4 = 20000 + 0.81 (units - x). */
    b.work.units = 1 << 20;
    b.places[SCALAR].wait_ns = INT64_C(1000000000000);
    b.places[SIMD].wait_ns = 20000;
    b.places[DEVICE].missing_bytes = 8 << 20;
    assert_int_equal(skua_select_split(b.selector, &b.work, 1, shares, &total_ns, NULL), 0);
    assert_in_range(shares[SIMD], 785000, 815000);
    assert_in_range(shares[DEVICE], 233000, 264000);
    assert_int_equal(shares[SCALAR], 0);
    assert_in_range(total_ns, 215000, 226000);
    b.work.units = 1 << 22;
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
    b.places[1].wait_ns = -1;
    assert_int_equal(skua_select(b.selector, &b.work, &b.decision, NULL), SKUA_E_BAD_ARGUMENT);
    b.places[1].wait_ns = 0;
    b.decision.size = 8;
    assert_int_equal(skua_select(b.selector, &b.work, &b.decision, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(
        skua_selector_learn(b.selector, SKUA_SELECT_OUTCOME(.backend = 3, .run_ns = 1), NULL),
        SKUA_E_BAD_ARGUMENT);
    struct {
        skua_selector_counters counters; /* of somebody who knows the first of them only */
        uint64_t behind;
    } old = {.counters = {.size = sizeof(size_t) + sizeof(uint64_t), .kept = 77}, .behind = 88};
    skua_selector_stats(b.selector, &old.counters);
    assert_int_equal(old.counters.size, sizeof(size_t) + sizeof(uint64_t));
    assert_int_equal(old.counters.kept, 77);
    assert_int_equal(old.behind, 88);
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
        cmocka_unit_test(test_select_hysteresis_keeps_the_last_of_near_equals),
        cmocka_unit_test(test_select_tries_the_unknown_three_times),
        cmocka_unit_test(test_select_does_not_try_the_unknown_behind_a_long_queue),
        cmocka_unit_test(test_select_explores_no_more_than_it_may_waste),
        cmocka_unit_test(test_select_waits_for_a_full_place_only_when_it_is_the_best),
        cmocka_unit_test(test_select_a_bad_name_from_few_runs_is_looked_at_again),
        cmocka_unit_test(test_select_explores_within_its_bounds_and_finds_the_faster),
        cmocka_unit_test(test_select_split_ends_everywhere_at_once),
        cmocka_unit_test(test_select_refuses_what_makes_no_sense),
        cmocka_unit_test(test_select_survives_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
