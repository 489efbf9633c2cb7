// SPDX-License-Identifier: MPL-2.0
// A node that is closed before its handles: whoever waits in a call is told, every later call too, and the handles
// can still be closed.
#include "pattern_world.h"

#include <poll.h>
#include <skua-int/thread.h>
#include <skua/reqrep.h>
#include <skua/runner.h>
#include <string.h>

/* One thread that waits in one call without a limit, and what the call said in the end. */
struct waiter {
    pthread_t thread;
    skua_status (*call)(void *handle);
    void *handle;
    skua_status status;
};

static void *
wait_in_call(void *arg) {
    struct waiter *waiter = arg;
    waiter->status = waiter->call(waiter->handle);
    return NULL;
}

static skua_status
call_pull(void *handle) {
    skua_msg *msg = NULL;
    return skua_pull_recv(handle, &msg, SKUA_UNLIMITED, NULL);
}

static skua_status
call_sub(void *handle) {
    skua_msg *msg = NULL;
    return skua_sub_recv(handle, &msg, SKUA_UNLIMITED, NULL);
}

static skua_status
call_push(void *handle) {
    skua_msg *msg = msg_of_number(1);
    skua_status status = skua_push_send(handle, &msg, SKUA_UNLIMITED, NULL);
    skua_msg_free(msg);
    return status;
}

static skua_status
call_pub_await(void *handle) {
    return skua_pub_await_subs(handle, "", 7, SKUA_UNLIMITED, NULL);
}

static skua_status
call_rep(void *handle) {
    skua_request *request = NULL;
    return skua_rep_recv(handle, &request, SKUA_UNLIMITED, NULL);
}

static skua_status
call_req(void *handle) {
    skua_msg *msg = msg_of_number(1), *reply = NULL;
    skua_status status = skua_req_call(handle, &msg, &reply, SKUA_UNLIMITED, NULL);
    skua_msg_free(msg); /* it is still ours when no request was made */
    return status;
}

static skua_status
call_req_recv(void *handle) {
    skua_req_result result = {.size = sizeof result};
    return skua_req_recv(handle, &result, SKUA_UNLIMITED, NULL);
}

static void
test_node_first_ends_every_call_that_waits(void **state) {
    (void)state;
    skua_node *node = test_node_open("first"), *other = test_node_open("other");
    test_node_await(node, 1);
    test_node_await(other, 1);
    skua_pull *pull = NULL;
    skua_push *push = NULL;
    skua_pub *pub = NULL;
    skua_sub *sub = NULL;
    skua_rep *rep = NULL, *stuck = NULL;
    skua_req *req = NULL, *idle = NULL;
    MUST(skua_pull_open(&pull, node, "quiet", NULL, err));
    MUST(skua_push_open(&push, node, "nobody", NULL, err));
    MUST(skua_pub_open(&pub, node, "news", NULL, err));
    MUST(skua_sub_open(&sub, node, "silent", SKUA_SUB_OPTIONS(0), err));
    MUST(skua_rep_open(&rep, node, "unasked", NULL, err));
    MUST(skua_rep_open(&stuck, other, "stuck", NULL, err));
    MUST(skua_req_open(&req, node, "stuck", NULL, err));
    MUST(skua_req_open(&idle, node, "stuck", NULL, err));
    MUST(skua_req_await_provider(req, 20000, err));
    struct waiter waiters[] = {
        {.call = call_pull, .handle = pull},     {.call = call_push, .handle = push},
        {.call = call_pub_await, .handle = pub}, {.call = call_sub, .handle = sub},
        {.call = call_rep, .handle = rep},       {.call = call_req, .handle = req},
        {.call = call_req_recv, .handle = idle},
    };
    enum { WAITERS = sizeof waiters / sizeof waiters[0] };
    for (int i = 0; i < WAITERS; i++) {
        MUST(skua__thread_start(&waiters[i].thread, "waiter", wait_in_call, &waiters[i], err));
    }
    /* That the request has come shows that at least its caller waits; the others do, or are about to. */
    skua_request *request = NULL;
    MUST(skua_rep_recv(stuck, &request, 20000, err));
    skua_node_close(node);
    for (int i = 0; i < WAITERS; i++) {
        skua__thread_join(waiters[i].thread);
        assert_int_equal(waiters[i].status, SKUA_E_CLOSED);
    }
    struct pollfd fds[] = {{.fd = skua_pull_fd(pull), .events = POLLIN},
                           {.fd = skua_sub_fd(sub), .events = POLLIN},
                           {.fd = skua_rep_fd(rep), .events = POLLIN}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(poll(&fds[i], 1, 20000), 1);
    }
    for (int i = 0; i < WAITERS; i++) {
        assert_int_equal(waiters[i].call(waiters[i].handle), SKUA_E_CLOSED);
    }
    skua_request_free(request);
    skua_req_close(idle);
    skua_req_close(req);
    skua_rep_close(stuck);
    skua_rep_close(rep);
    skua_sub_close(sub);
    skua_pub_close(pub);
    skua_push_close(push);
    skua_pull_close(pull);
    skua_node_close(other);
}

/* ---- A handler that runs while the node closes ---- */

struct handled {
    skua__mutex mutex;
    skua__cond changed;
    pthread_t threads[8];
    size_t thread_count;
    bool running, may_end, ended;
};

struct posted {
    void (*fn)(void *arg);
    void *arg;
};

static void *
run_posted(void *arg) {
    struct posted posted = *(struct posted *)arg;
    free(arg);
    posted.fn(posted.arg);
    return NULL;
}

static skua_status
post(void *ctx, void (*fn)(void *arg), void *arg) {
    struct handled *handled = ctx;
    struct posted *posted = malloc(sizeof *posted);
    *posted = (struct posted){.fn = fn, .arg = arg};
    skua__mutex_lock(&handled->mutex);
    pthread_t *thread = &handled->threads[handled->thread_count++];
    skua_status status = skua__thread_start(thread, "runner", run_posted, posted, NULL);
    skua__mutex_unlock(&handled->mutex);
    return status;
}

static void
answer_late(void *ctx, skua_rep *rep, skua_request *request) {
    struct handled *handled = ctx;
    skua__mutex_lock(&handled->mutex);
    handled->running = true;
    skua__cond_broadcast(&handled->changed);
    while (!handled->may_end) {
        skua__cond_wait(&handled->changed, &handled->mutex);
    }
    handled->ended = true;
    skua__mutex_unlock(&handled->mutex);
    skua_msg *msg = skua_request_take_msg(request);
    assert_int_equal(skua_rep_reply(rep, &request, &msg, NULL), SKUA_E_CLOSED);
    skua_msg_free(msg);
    skua_request_free(request);
}

static void *
let_it_end(void *arg) {
    struct handled *handled = arg;
    skua__mutex_lock(&handled->mutex);
    handled->may_end = true;
    skua__cond_broadcast(&handled->changed);
    skua__mutex_unlock(&handled->mutex);
    return NULL;
}

static void
test_node_first_waits_for_a_handler_that_runs(void **state) {
    (void)state;
    skua_node *node = test_node_open("first"), *other = test_node_open("other");
    struct handled handled = {0};
    skua__mutex_init(&handled.mutex);
    skua__cond_init(&handled.changed);
    skua_runner runner = {.version = SKUA_RUNNER_VERSION, .ctx = &handled, .post = post};
    skua_rep *rep = NULL;
    skua_req *req = NULL;
    MUST(skua_rep_open(&rep, node, "late", NULL, err));
    MUST(skua_rep_serve(rep, &runner, 1, answer_late, &handled, err));
    MUST(skua_req_open(&req, other, "late", NULL, err));
    skua_msg *msg = msg_of_number(1);
    MUST(skua_req_send(req, &msg, 20000, NULL, err));
    skua__mutex_lock(&handled.mutex);
    while (!handled.running) {
        skua__cond_wait(&handled.changed, &handled.mutex);
    }
    skua__mutex_unlock(&handled.mutex);
    skua_node_close(node);
    pthread_t thread;
    MUST(skua__thread_start(&thread, "ender", let_it_end, &handled, err));
    skua_rep_close(rep); /* returns when the handler has */
    assert_true(handled.ended);
    skua__thread_join(thread);
    for (size_t i = 0; i < handled.thread_count; i++) {
        skua__thread_join(handled.threads[i]);
    }
    skua_req_close(req);
    skua_node_close(other);
    skua__cond_fini(&handled.changed);
    skua__mutex_fini(&handled.mutex);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_first_ends_every_call_that_waits),
        cmocka_unit_test(test_node_first_waits_for_a_handler_that_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
