// SPDX-License-Identifier: MPL-2.0
// Credit: two messages always, then the windows; and how the receiver's windows adapt.
#include "test.h"

#include <skua-int/clock.h>
#include <skua-int/credit.h>

static void
test_credit_allows_two_and_the_window(void **state) {
    (void)state;
    skua__credit credit = {.window_bytes = 100, .window_msgs = 10};
    assert_true(skua__credit_allows(&credit, 1 << 30, 0));
    assert_true(skua__credit_allows(&credit, 1 << 30, 1));
    assert_false(skua__credit_allows(&credit, 100, 2));
    assert_true(skua__credit_allows(&credit, 99, 9));
    assert_false(skua__credit_allows(&credit, 99, 10));
}

static void
test_credit_grows_while_the_reader_starves(void **state) {
    (void)state;
    skua__grant grant;
    skua__grant_init(&grant, 0, 2, true);
    assert_int_equal(grant.window_bytes, SKUA__WINDOW_FIRST_BYTES);
    skua__grant_on_receive(&grant, 10, true);
    skua__grant_adapt(&grant, false); /* not starved: no need */
    assert_int_equal(grant.window_msgs, 2);
    skua__grant_on_receive(&grant, 10, true);
    skua__grant_adapt(&grant, true);
    assert_int_equal(grant.window_msgs, 4);
    skua__grant_adapt(&grant, true); /* the sender did not say that it could use more */
    assert_int_equal(grant.window_msgs, 4);
    for (int i = 0; i < 64; i++) {
        skua__grant_on_receive(&grant, 10, true);
        skua__grant_adapt(&grant, true);
    }
    assert_int_equal(grant.window_msgs, SKUA__WINDOW_MAX_MSGS);
    assert_int_equal(grant.window_bytes, SKUA__WINDOW_MAX_BYTES);
}

/* A stream whose messages are acknowledged as they come must leave its first window too. */
static void
test_credit_remembers_until_the_reader_starves(void **state) {
    (void)state;
    skua__grant grant;
    skua__grant_init(&grant, 1000, 2, true);
    skua__grant_on_receive(&grant, 10, true);
    skua__grant_adapt(&grant, false);
    assert_false(skua__grant_is_due(&grant));
    assert_true(skua__grant_would_grow(&grant));
    skua__grant_adapt(&grant, false);
    skua__grant_adapt(&grant, true);
    assert_int_equal(grant.window_msgs, 4);
    assert_int_equal(grant.window_bytes, 2000);
    assert_false(skua__grant_would_grow(&grant));
    skua__grant_adapt(&grant, true); /* it has starved since */
    assert_int_equal(grant.window_msgs, 4);
    /* A high peak is no word of the sender: bytes alone. */
    skua__grant_on_receive(&grant, 1500, false);
    skua__grant_adapt(&grant, false);
    skua__grant_adapt(&grant, true);
    assert_int_equal(grant.window_bytes, 4000);
    assert_int_equal(grant.window_msgs, 4);
    /* Nothing grows for good. */
    skua__grant_init(&grant, SKUA__WINDOW_MAX_BYTES, SKUA__WINDOW_MAX_MSGS, true);
    skua__grant_on_receive(&grant, 10, true);
    assert_false(skua__grant_would_grow(&grant));
}

static void
test_credit_shrinks_when_messages_wait(void **state) {
    (void)state;
    skua__grant grant;
    skua__grant_init(&grant, 0, 64, true);
    for (int i = 0; i < 10; i++) {
        skua__grant_on_pop(&grant, 5 * SKUA_NS_PER_MS);
        skua__grant_on_receive(&grant, 10, true);
        skua__grant_adapt(&grant, true);
    }
    assert_int_equal(grant.window_msgs, SKUA__WINDOW_MIN_MSGS);
}

static void
test_credit_bytes_grow_without_the_senders_word(void **state) {
    (void)state;
    skua__grant grant;
    skua__grant_init(&grant, 1000, 0, false);
    skua__grant_on_receive(&grant, 749, false);
    skua__grant_adapt(&grant, true);
    assert_int_equal(grant.window_bytes, 1000);
    skua__grant_on_receive(&grant, 750, false);
    skua__grant_adapt(&grant, true);
    assert_int_equal(grant.window_bytes, 2000);
    assert_int_equal(grant.window_msgs, SKUA__WINDOW_MAX_MSGS);
}

static void
test_credit_says_when_a_window_may_change(void **state) {
    (void)state;
    skua__grant grant;
    skua__grant_init(&grant, 1000, 10, false);
    skua__grant_on_receive(&grant, 749, false);
    assert_false(skua__grant_is_due(&grant));
    skua__grant_on_pop(&grant, 2 * SKUA__WINDOW_DELAY_US * SKUA_NS_PER_US);
    assert_false(skua__grant_is_due(&grant)); /* its message window is fixed */
    skua__grant_on_receive(&grant, 1, true);
    assert_true(skua__grant_is_due(&grant));
    skua__grant_adapt(&grant, false);
    assert_false(skua__grant_is_due(&grant));
    skua__grant_on_receive(&grant, 750, false);
    assert_true(skua__grant_is_due(&grant));
    skua__grant_init(&grant, 1000, 10, true);
    skua__grant_on_pop(&grant, 2 * SKUA__WINDOW_DELAY_US * SKUA_NS_PER_US);
    assert_true(skua__grant_is_due(&grant));
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credit_allows_two_and_the_window),
        cmocka_unit_test(test_credit_grows_while_the_reader_starves),
        cmocka_unit_test(test_credit_remembers_until_the_reader_starves),
        cmocka_unit_test(test_credit_shrinks_when_messages_wait),
        cmocka_unit_test(test_credit_bytes_grow_without_the_senders_word),
        cmocka_unit_test(test_credit_says_when_a_window_may_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
