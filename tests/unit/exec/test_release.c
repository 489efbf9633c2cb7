// SPDX-License-Identifier: MPL-2.0
// What a program built for speed sees where one built for debugging would have been stopped: a message, and an executor that
// goes on. The engine's sources are compiled into this program without assertions.
#include "test.h"

#include "engine.h"

#include <skua/exec.h>

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

typedef struct ear {
    skua_log_sink sink;
    char text[4096];
    int heard;
} ear;

static void
hear(void *ctx, const skua_log_record *record) {
    ear *self = ctx;
    strncat(self->text, record->message, sizeof self->text - strlen(self->text) - 1);
    self->heard++;
}

static skua_exec *
open_exec(ear *self, int32_t workers) {
    *self = (ear){
        .sink = {
            .version = SKUA_LOG_SINK_VERSION, .level = SKUA_LOG_WARNING, .ctx = self, .fn = hear}};
    skua_exec *exec = NULL;
    assert_int_equal(
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = workers, .log = &self->sink), NULL),
        SKUA_OK);
    return exec;
}

static atomic_int calls;

static void
count_call(skua_worker w, void *frame) {
    (void)w, (void)frame;
    calls++;
}

static void
fork_and_sync(skua_worker w, void *frame) {
    skua_spawn(&w, count_call, frame);
    skua_sync(&w, count_call, frame);
}

static void
leave_forks(skua_worker w, void *frame) {
    for (int i = 0; i < *(int *)frame; i++) {
        skua_spawn(&w, count_call, NULL);
    }
}

/*
 * More than fit the stack, private ones, and some that others took: none of them is left behind. Of those that nobody else was
 * shown a program built for speed notes nothing, so that they end without a word.
 */
static void
test_release_forks_without_sync_are_told_and_dropped(void **state) {
    (void)state;
    const int left[] = {1, 3, 200, SKUA_EXEC_SLOTS_MAX + 10};
    ear self;
    skua_exec *exec = open_exec(&self, 2);
    for (int i = 0; i < 4; i++) {
        int count = left[i];
        assert_int_equal(skua_exec_run(exec, leave_forks, &count, NULL), SKUA_OK);
        assert_int_equal(self.heard, 1); /* once is enough */
    }
    for (int i = 0; i < 300; i++) {
        int count = 200;
        assert_int_equal(skua_exec_run(exec, leave_forks, &count, NULL), SKUA_OK);
    }
    assert_non_null(strstr(self.text, "returned before the sync of a forked call"));
    calls = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(skua_exec_run(exec, fork_and_sync, NULL, NULL), SKUA_OK);
    }
    assert_int_equal(calls, 100);
    skua_exec_close(exec);
}

/* Without a thief the count of those that did not fit is all that is left of them; of fewer nothing is. */
static void
test_release_forks_that_do_not_fit_are_told(void **state) {
    (void)state;
    for (int fit = 0; fit < 2; fit++) {
        ear self;
        skua_exec *exec = open_exec(&self, 1);
        int count = fit ? 5 : SKUA_EXEC_SLOTS_MAX + 10;
        /* The first fork answers whoever asked for work. */
        assert_int_equal(skua_exec_run(exec, fork_and_sync, NULL, NULL), SKUA_OK);
        assert_int_equal(skua_exec_run(exec, leave_forks, &count, NULL), SKUA_OK);
        assert_int_equal(self.heard, !fit);
        assert_int_equal(exec->workers[0].overflow, 0);
        calls = 0;
        assert_int_equal(skua_exec_run(exec, fork_and_sync, NULL, NULL), SKUA_OK);
        assert_int_equal(calls, 1);
        skua_exec_close(exec);
    }
}

static void
close_ourselves(skua_worker w, void *frame) {
    (void)frame;
    assert_null(skua_exec_close(skua_worker_exec(w)));
}

static void
end_no_block(skua_worker w, void *frame) {
    (void)frame;
    skua_worker_block_end(w);
}

static void
leave_a_block(skua_worker w, void *frame) {
    (void)frame;
    skua_worker_block_begin(w);
    skua_worker_block_begin(w);
}

static void
test_release_the_executor_goes_on(void **state) {
    (void)state;
    ear self;
    skua_exec *exec = open_exec(&self, 1);
    assert_int_equal(skua_exec_run(exec, close_ourselves, NULL, NULL), SKUA_OK);
    assert_int_equal(self.heard, 1);
    assert_non_null(strstr(self.text, "skua_exec_close: called by a worker"));
    assert_int_equal(skua_exec_run(exec, end_no_block, NULL, NULL), SKUA_OK);
    assert_int_equal(self.heard, 1);
    assert_int_equal(skua_exec_run(exec, leave_a_block, NULL, NULL), SKUA_OK);
    assert_int_equal(self.heard, 2);
    assert_non_null(strstr(self.text, "returned between skua_worker_block_begin() and its end"));
    assert_int_equal(exec->workers[0].block_depth, 0); /* it has its place again */
    calls = 0;
    assert_int_equal(skua_exec_run(exec, fork_and_sync, NULL, NULL), SKUA_OK);
    assert_int_equal(calls, 1);
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release_forks_without_sync_are_told_and_dropped),
        cmocka_unit_test(test_release_forks_that_do_not_fit_are_told),
        cmocka_unit_test(test_release_the_executor_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
