// SPDX-License-Identifier: MPL-2.0
// One handle, many threads: callers at the same time, handlers on a runner, and closing while others wait.
#include "world.h"

#include <skua/runner.h>
#include <string.h>

enum { CALLERS = 6, CALLS = 200, RUNNER_THREADS = 3, RUNNER_JOBS = 256 };

/* A runner of a few threads, as an executor would be one. */
typedef struct pool_runner {
    skua_runner runner;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } jobs[RUNNER_JOBS];
    size_t head, count;
    bool ending;
    pthread_t threads[RUNNER_THREADS];
} pool_runner;

static skua_status
runner_post(void *ctx, void (*fn)(void *arg), void *arg) {
    pool_runner *self = ctx;
    skua_status status = SKUA_E_NO_MEMORY;
    pthread_mutex_lock(&self->mutex);
    if (self->ending) {
        status = SKUA_E_CLOSED;
    } else if (self->count < RUNNER_JOBS) {
        size_t at = (self->head + self->count++) % RUNNER_JOBS;
        self->jobs[at].fn = fn;
        self->jobs[at].arg = arg;
        status = SKUA_OK;
    }
    pthread_cond_signal(&self->changed);
    pthread_mutex_unlock(&self->mutex);
    return status;
}

static void *
runner_thread(void *arg) {
    pool_runner *self = arg;
    pthread_mutex_lock(&self->mutex);
    for (;;) {
        while (!self->count && !self->ending) {
            pthread_cond_wait(&self->changed, &self->mutex);
        }
        if (!self->count) {
            pthread_mutex_unlock(&self->mutex);
            return NULL;
        }
        size_t at = self->head;
        self->head = (self->head + 1) % RUNNER_JOBS;
        self->count--;
        pthread_mutex_unlock(&self->mutex);
        self->jobs[at].fn(self->jobs[at].arg);
        pthread_mutex_lock(&self->mutex);
    }
}

static void
runner_init(pool_runner *self) {
    memset(self, 0, sizeof *self);
    self->runner = (skua_runner){.version = SKUA_RUNNER_VERSION, .ctx = self, .post = runner_post};
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->changed, NULL);
    for (int i = 0; i < RUNNER_THREADS; i++) {
        assert_int_equal(pthread_create(&self->threads[i], NULL, runner_thread, self), 0);
    }
}

static void
runner_fini(pool_runner *self) {
    pthread_mutex_lock(&self->mutex);
    self->ending = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->mutex);
    for (int i = 0; i < RUNNER_THREADS; i++) {
        pthread_join(self->threads[i], NULL);
    }
    pthread_cond_destroy(&self->changed);
    pthread_mutex_destroy(&self->mutex);
}

typedef struct caller {
    skua_req *req;
    int number;
    atomic_int ended;
    skua_status last;
    pthread_t thread;
} caller;

static void *
call_many(void *arg) {
    caller *self = arg;
    char text[32];
    for (int i = 0; i < CALLS; i++) {
        snprintf(text, sizeof text, "%d/%d", self->number, i);
        skua_msg *msg = skua_msg_of_string(text), *reply = NULL;
        self->last = skua_req_call(self->req, &msg, &reply, 20000, NULL);
        if (self->last != SKUA_OK || !skua_msg_equals(reply, 0, text)) {
            skua_msg_free(msg);
            skua_msg_free(reply);
            return NULL;
        }
        skua_msg_free(reply);
        atomic_fetch_add(&self->ended, 1);
    }
    return NULL;
}

static void
callers_run(skua_req *req) {
    caller callers[CALLERS] = {{0}};
    for (int i = 0; i < CALLERS; i++) {
        callers[i].req = req;
        callers[i].number = i;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_many, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].last, SKUA_OK);
        assert_int_equal(callers[i].ended, CALLS);
    }
}

static void
test_threads_call_at_the_same_time(void **state) {
    pair p;
    pair_open(&p, *state, "echo", NULL, true);
    callers_run(p.req);
    pair_close(&p);
}

typedef struct handling {
    atomic_int running, most, handled;
} handling;

static void
handle(void *ctx, skua_rep *rep, skua_request *request) {
    handling *self = ctx;
    int running = atomic_fetch_add(&self->running, 1) + 1;
    int most = atomic_load(&self->most);
    while (running > most && !atomic_compare_exchange_weak(&self->most, &most, running)) {
    }
    skua_msg *msg = skua_request_take_msg(request);
    atomic_fetch_add(&self->handled, 1);
    atomic_fetch_sub(&self->running, 1);
    if (skua_rep_reply(rep, &request, &msg, NULL) != SKUA_OK) {
        skua_msg_free(msg);
        skua_request_free(request);
    }
}

static void
test_threads_handlers_run_on_a_runner(void **state) {
    world *w = *state;
    skua_error err = {0};
    skua_node *a = world_node(w, "a"), *b = world_node(w, "b");
    pool_runner runner;
    runner_init(&runner);
    handling seen = {0};
    skua_rep *rep = NULL;
    skua_req *req = NULL;
    must(skua_rep_open(&rep, b, "served", NULL, &err), &err);
    must(skua_rep_serve(rep, &runner.runner, 2, handle, &seen, &err), &err);
    assert_int_equal(skua_rep_serve(rep, &runner.runner, 2, handle, &seen, &err), SKUA_E_EXISTS);
    skua_request *request = NULL;
    assert_int_equal(skua_rep_recv(rep, &request, SKUA_NONE, &err), SKUA_E_BAD_ARGUMENT);
    must(skua_req_open(&req, a, "served", NULL, &err), &err);
    callers_run(req);
    assert_int_equal(seen.handled, CALLERS * CALLS);
    assert_in_range(seen.most, 1, 2);
    skua_reqrep_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_rep_stats(rep, &stats), SKUA_OK);
    assert_int_equal(stats.answered, CALLERS * CALLS);
    assert_int_equal(stats.open, 0);
    skua_req_close(req);
    skua_rep_close(rep);
    runner_fini(&runner);
    skua_node_close(a);
    skua_node_close(b);
}

static void *
call_for_ever(void *arg) {
    caller *self = arg;
    skua_msg *msg = skua_msg_of_string("never"), *reply = NULL;
    atomic_fetch_add(&self->ended, 1);
    self->last = skua_req_call(self->req, &msg, &reply, SKUA_UNLIMITED, NULL);
    skua_msg_free(msg);
    return NULL;
}

static void
test_threads_close_ends_calls_that_wait(void **state) {
    world *w = *state;
    skua_error err = {0};
    skua_node *a = world_node(w, "a"), *b = world_node(w, "b");
    skua_rep *rep = NULL;
    skua_req *req = NULL;
    must(skua_rep_open(&rep, b, "stuck", NULL, &err), &err);
    must(skua_req_open(&req, a, "stuck", NULL, &err), &err);
    caller callers[CALLERS] = {{0}};
    for (int i = 0; i < CALLERS; i++) {
        callers[i].req = req;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_for_ever, &callers[i]), 0);
    }
    skua_request *requests[CALLERS] = {0};
    for (int i = 0; i < CALLERS; i++) { /* all of them are inside */
        must(skua_rep_recv(rep, &requests[i], 10000, &err), &err);
        assert_int_equal(skua_request_left_ms(requests[i]), SKUA_UNLIMITED);
    }
    double before = seconds_now();
    skua_req_close(req);
    assert_true(seconds_now() - before < 2);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].last, SKUA_E_CLOSED);
        skua_request_free(requests[i]);
    }
    skua_reqrep_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_rep_stats(rep, &stats), SKUA_OK);
    assert_int_equal(stats.dropped, CALLERS);
    assert_int_equal(stats.open, 0);
    skua_rep_close(rep);
    skua_node_close(a);
    skua_node_close(b);
}

int
main(void) {
    world w;
    world_init(&w);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_threads_call_at_the_same_time, &w),
        cmocka_unit_test_prestate(test_threads_handlers_run_on_a_runner, &w),
        cmocka_unit_test_prestate(test_threads_close_ends_calls_that_wait, &w),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_fini(&w);
    return failed;
}
