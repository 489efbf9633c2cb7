// SPDX-License-Identifier: MPL-2.0
// A request that nobody waits for any more: the provider is told, drops it where it waits, and sees it where it was taken.
#include "world.h"

#include <sched.h>
#include <string.h>

enum { WAIT_S = 20 };

static skua_reqrep_stats
rep_stats(skua_rep *rep) {
    skua_reqrep_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_rep_stats(rep, &stats), SKUA_OK);
    assert_int_equal(stats.received, stats.answered + stats.refused + stats.expired +
                                         stats.cancelled + stats.dropped + stats.open);
    return stats;
}

static skua_reqrep_stats
req_stats(skua_req *req) {
    skua_reqrep_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_req_stats(req, &stats), SKUA_OK);
    return stats;
}

/* Without a call into any handle: the node's thread alone hears of it. */
static void
await_cancelled(const skua_request *request) {
    double until = seconds_now() + WAIT_S;
    while (!skua_request_cancelled(request)) {
        assert_true(seconds_now() < until);
        sched_yield();
    }
}

static uint64_t
ask(skua_req *req, const char *text, int64_t timeout_ms) {
    skua_error err = {0};
    skua_msg *msg = skua_msg_of_string(text);
    uint64_t id = 0;
    must(skua_req_send(req, &msg, timeout_ms, &id, &err), &err);
    return id;
}

static void
must_end_as(skua_req *req, skua_status status) {
    skua_error err = {0};
    skua_req_result result = {.size = sizeof result};
    must(skua_req_recv(req, &result, WAIT_S * 1000, &err), &err);
    assert_int_equal(result.status, status);
    skua_msg_free(result.reply);
}

static void
must_answer(skua_rep *rep, skua_request *request, const char *text) {
    skua_error err = {0};
    assert_true(skua_msg_equals(skua_request_msg(request), 0, text));
    assert_int_equal(skua_request_cancelled(request), 0);
    skua_msg *msg = skua_request_take_msg(request);
    must(skua_rep_reply(rep, &request, &msg, &err), &err);
}

static void
test_cancel_drops_what_waits(void **state) {
    pair p;
    skua_error err = {0};
    pair_open(&p, *state, "queue", NULL, false);
    must(skua_req_await_provider(p.req, WAIT_S * 1000, &err), &err);
    ask(p.req, "one", SKUA_UNLIMITED);
    uint64_t two = ask(p.req, "two", SKUA_UNLIMITED);
    ask(p.req, "three", SKUA_UNLIMITED);
    must(skua_req_cancel(p.req, two, &err), &err);
    must_end_as(p.req, SKUA_E_CANCELLED);
    double until = seconds_now() + WAIT_S;
    while (rep_stats(p.rep).cancelled == 0) { /* nobody takes any of them meanwhile */
        assert_true(seconds_now() < until);
        sched_yield();
    }
    must_answer(p.rep, take_one(p.rep), "one");
    must_answer(p.rep, take_one(p.rep), "three");
    must_end_as(p.req, SKUA_OK);
    must_end_as(p.req, SKUA_OK);
    skua_reqrep_stats stats = rep_stats(p.rep);
    assert_int_equal(stats.received, 3);
    assert_int_equal(stats.answered, 2);
    assert_int_equal(stats.cancelled, 1);
    assert_int_equal(stats.open, 0);
    until = seconds_now() + WAIT_S;
    while ((stats = req_stats(p.req)).unconfirmed) { /* the word that it is cancelled, too */
        assert_true(seconds_now() < until);
        sched_yield();
    }
    assert_int_equal(stats.sent, 4);
    assert_int_equal(stats.confirmed, 4);
    pair_close(&p);
}

static void
test_cancel_is_seen_by_who_took_it(void **state) {
    pair p;
    skua_error err = {0};
    pair_open(&p, *state, "work", NULL, false);
    uint64_t id = ask(p.req, "long", SKUA_UNLIMITED);
    ask(p.req, "other", SKUA_UNLIMITED);
    skua_request *request = take_one(p.rep), *other = take_one(p.rep);
    assert_int_equal(skua_request_cancelled(request), 0);
    must(skua_req_cancel(p.req, id, &err), &err);
    await_cancelled(request);
    /* Its answer is not sent; that of another is. */
    skua_msg *msg = skua_request_take_msg(request);
    must(skua_rep_reply(p.rep, &request, &msg, &err), &err);
    assert_null(request);
    assert_null(msg);
    must_answer(p.rep, other, "other");
    must_end_as(p.req, SKUA_E_CANCELLED);
    must_end_as(p.req, SKUA_OK);
    skua_reqrep_stats stats = rep_stats(p.rep);
    assert_int_equal(stats.answered, 1);
    assert_int_equal(stats.cancelled, 1);
    assert_int_equal(stats.open, 0);
    assert_int_equal(req_stats(p.req).late_replies, 0);
    pair_close(&p);
}

/* The answer of another provider is a reason too: the one that was passed over need not go on. */
static void
test_cancel_reaches_who_was_passed_over(void **state) {
    const world *w = *state;
    pair p;
    pair_open(&p, w, "work", SKUA_REQ_OPTIONS(.attempt_ms = 50), false);
    ask(p.req, "job", SKUA_UNLIMITED);
    skua_request *request = take_one(p.rep);
    skua_node *c = world_node(w, "c");
    echoer echo;
    echoer_start(&echo, c, "work", NULL);
    must_end_as(p.req, SKUA_OK);
    await_cancelled(request);
    assert_null(skua_request_free(request));
    assert_int_equal(rep_stats(p.rep).dropped, 1);
    echoer_stop(&echo);
    pair_close(&p);
    skua_node_close(c);
}

static void
test_cancel_is_what_the_end_of_the_asker_is(void **state) {
    for (int round = 0; round < 2; round++) {
        pair p;
        pair_open(&p, *state, "work", NULL, false);
        ask(p.req, "taken", SKUA_UNLIMITED);
        ask(p.req, "waits", SKUA_UNLIMITED);
        skua_request *request = take_one(p.rep);
        if (round) {
            p.asker = skua_node_close(p.asker); /* without a word of its handle */
        } else {
            p.req = skua_req_close(p.req);
        }
        await_cancelled(request);
        double until = seconds_now() + WAIT_S;
        while (rep_stats(p.rep).open > 1) {
            assert_true(seconds_now() < until);
            sched_yield();
        }
        /* What is freed after the handle knows of no list any more. */
        p.rep = skua_rep_close(p.rep);
        assert_null(skua_request_free(request));
        pair_close(&p);
    }
}

static void
test_cancel_is_what_a_deadline_is(void **state) {
    pair p;
    pair_open(&p, *state, "work", NULL, false);
    /* A second so that it is taken before its end also where the machine is busy. */
    ask(p.req, "brief", 1000);
    skua_request *request = take_one(p.rep);
    await_cancelled(request);
    must_end_as(p.req, SKUA_E_TIMEOUT);
    skua_request_free(request);
    assert_int_equal(req_stats(p.req).sent, 1); /* nothing was said */
    pair_close(&p);
}

int
main(void) {
    world w;
    world_init(&w);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_cancel_drops_what_waits, &w),
        cmocka_unit_test_prestate(test_cancel_is_seen_by_who_took_it, &w),
        cmocka_unit_test_prestate(test_cancel_reaches_who_was_passed_over, &w),
        cmocka_unit_test_prestate(test_cancel_is_what_the_end_of_the_asker_is, &w),
        cmocka_unit_test_prestate(test_cancel_is_what_a_deadline_is, &w),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_fini(&w);
    return failed;
}
