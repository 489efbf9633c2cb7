// SPDX-License-Identifier: MPL-2.0
// REQ and REP between nodes of one process: both start orders, many in flight, deadlines, errors, refusals, handlers.
#include "world.h"

#include <string.h>

static void
assert_balanced(const skua_reqrep_stats *stats) {
    assert_int_equal(stats->requests, stats->replied + stats->failed + stats->timed_out +
                                          stats->cancelled + stats->in_flight);
    assert_int_equal(stats->sent,
                     stats->confirmed + stats->sent_dropped + stats->moved + stats->unconfirmed);
    assert_int_equal(stats->received, stats->answered + stats->refused + stats->expired +
                                          stats->dropped + stats->open);
}

static void
call_echo(skua_req *req, const char *text) {
    skua_error err = {0};
    skua_msg *msg = skua_msg_of_string(text), *reply = NULL;
    must(skua_req_call(req, &msg, &reply, 5000, &err), &err);
    assert_null(msg);
    assert_true(skua_msg_equals(reply, 0, text));
    skua_msg_free(reply);
}

static void
test_reqrep_rep_first(void **state) {
    world *w = *state;
    skua_error err = {0};
    skua_node *a = world_node(w, "a"), *b = world_node(w, "b");
    echoer echo;
    echoer_start(&echo, b, "echo", NULL);
    skua_req *req = NULL;
    must(skua_req_open(&req, a, "echo", NULL, &err), &err);
    for (int i = 0; i < 100; i++) {
        call_echo(req, i % 2 ? "hello" : "");
    }
    skua_reqrep_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_req_stats(req, &stats), SKUA_OK);
    assert_int_equal(stats.replied, 100);
    assert_balanced(&stats);
    skua_req_close(req);
    echoer_stop(&echo);
    skua_node_close(a);
    skua_node_close(b);
}

int
main(void) {
    world w;
    world_init(&w);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_reqrep_rep_first, &w),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_fini(&w);
    return failed;
}
