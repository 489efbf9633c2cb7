// SPDX-License-Identifier: MPL-2.0
// I7: the quarantine of nodes, with a clock of the test's own.
#include "test.h"

#include <skua-int/quarantine.h>
#include <skua-int/rand.h>

enum { LENGTH = 1000 };

static skua__quarantine
fresh(void) {
    return (skua__quarantine){.length_ns = LENGTH};
}

/* I7: three different tasks, not three failures of one. */
static void
test_quarantine_takes_three_different_tasks(void **state) {
    (void)state;
    skua__quarantine node = fresh();
    for (int i = 0; i < 10; i++) {
        assert_false(skua__quarantine_failed(&node, 7, i));
    }
    assert_false(skua__quarantine_failed(&node, 8, 10));
    assert_false(skua__quarantine_failed(&node, 8, 11));
    assert_false(skua__quarantine_holds(&node, 11));
    assert_true(skua__quarantine_failed(&node, 9, 12));
    assert_true(skua__quarantine_holds(&node, 12));
}

/* I7: it expires; what was sent before and fails meanwhile does not prolong it, and it begins anew only after three more. */
static void
test_quarantine_expires(void **state) {
    (void)state;
    skua__quarantine node = fresh();
    for (uint64_t task = 1; task <= 3; task++) {
        skua__quarantine_failed(&node, task, 0);
    }
    assert_false(skua__quarantine_failed(&node, 50, LENGTH - 1));
    assert_true(skua__quarantine_holds(&node, LENGTH - 1));
    assert_false(skua__quarantine_holds(&node, LENGTH));
    assert_false(skua__quarantine_failed(&node, 4, LENGTH));
    assert_false(skua__quarantine_failed(&node, 5, LENGTH));
    assert_true(skua__quarantine_failed(&node, 6, LENGTH));
    assert_true(skua__quarantine_holds(&node, 3 * LENGTH - 1)); /* twice as long */
    assert_false(skua__quarantine_holds(&node, 3 * LENGTH));
    assert_int_equal(node.begun, 2);
}

/* Failures far apart are bad luck; the growth has an end; a length of 0 turns it off. */
static void
test_quarantine_forgets_and_is_bounded(void **state) {
    (void)state;
    skua__quarantine node = fresh();
    int64_t now_ns = 0;
    for (uint64_t task = 1; task < 100; task++) {
        assert_false(skua__quarantine_failed(&node, task, now_ns));
        now_ns += SKUA__QUARANTINE_MEMORY_NS + 1;
    }
    for (uint64_t task = 1; task < 100; task++) {
        now_ns = node.until_ns > now_ns ? node.until_ns : now_ns;
        bool begins = skua__quarantine_failed(&node, task, now_ns);
        assert_true(!begins || node.until_ns - now_ns <= INT64_C(64) * LENGTH);
    }
    assert_true(node.begun > 10);
    skua__quarantine off = {.length_ns = 0};
    for (uint64_t task = 1; task < 100; task++) {
        assert_false(skua__quarantine_failed(&off, task, 0));
    }
    assert_false(skua__quarantine_holds(&off, 0));
}

/* Random failures: never before three different tasks failed since the last one ended. */
static void
test_quarantine_random(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(3)};
    skua__quarantine node = fresh();
    uint64_t seen[3] = {0};
    int count = 0;
    int64_t now_ns = 0;
    for (int i = 0; i < 100000; i++) {
        now_ns += skua__rand_below(&rand, 300);
        uint64_t task = 1 + skua__rand_below(&rand, 6);
        bool held = skua__quarantine_holds(&node, now_ns);
        bool known = false;
        for (int k = 0; k < count; k++) {
            known |= seen[k] == task;
        }
        bool begins = skua__quarantine_failed(&node, task, now_ns);
        if (!held && !known) {
            seen[count++] = task;
        }
        assert_int_equal(begins, !held && count == 3);
        count = begins ? 0 : count;
    }
    assert_true(node.begun > 100);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quarantine_takes_three_different_tasks),
        cmocka_unit_test(test_quarantine_expires),
        cmocka_unit_test(test_quarantine_forgets_and_is_bounded),
        cmocka_unit_test(test_quarantine_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
