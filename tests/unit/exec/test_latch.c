// SPDX-License-Identifier: MPL-2.0
// Latches: who opens them, who waits, and that the memory may go at once.
#include "opened.h"
#include "test.h"

#include <pthread.h>
#include <skua/latch.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void
test_latch_counts_down_and_stays_open(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_latch latch;
    skua_error err;
    skua_latch_init(&latch, exec, 5);
    assert_false(skua_latch_count_down(&latch, 0));
    assert_false(skua_latch_count_down(&latch, 2));
    assert_false(skua_latch_is_open(&latch));
    assert_int_equal(skua_latch_wait(&latch, SKUA_NONE, &err), SKUA_E_TIMEOUT);
    assert_int_equal(skua_latch_wait(&latch, 1, &err), SKUA_E_TIMEOUT);
    assert_non_null(strstr(err.message, "1 ms"));
    assert_false(skua_latch_count_down(&latch, 2));
    assert_true(skua_latch_count_down(&latch, 1));
    for (int i = 0; i < 2; i++) {
        assert_true(skua_latch_is_open(&latch));
        assert_int_equal(skua_latch_wait(&latch, SKUA_NONE, NULL), SKUA_OK);
        assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
    }
    skua_latch_fini(&latch);
    assert_int_equal(skua_latch_wait(&latch, 0, &err), SKUA_E_BAD_ARGUMENT); /* zeroed now */
    skua_latch_fini(&latch);
    skua_latch_fini(NULL);
    skua_latch_init(&latch, exec, 0);
    assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

typedef struct counting {
    skua_job job;
    skua_latch *latch;
    int *result;
} counting;

static void
run_counting(skua_worker w, skua_job *job) {
    (void)w;
    counting *self = (counting *)(void *)job;
    *self->result = 1;
    skua_latch_count_down(self->latch, 1);
}

static void
test_latch_on_the_stack_of_who_waits(void **state) {
    (void)state;
    enum { JOBS = 8, ROUNDS = 500 };
    skua_exec *exec = open_workers(3, SKUA_NONE);
    for (int round = 0; round < ROUNDS; round++) {
        counting jobs[JOBS];
        int results[JOBS] = {0}; /* plain: the latch orders them */
        skua_latch latch;
        skua_latch_init(&latch, exec, JOBS);
        for (int i = 0; i < JOBS; i++) {
            jobs[i] = (counting){.latch = &latch, .result = &results[i]};
            skua_job_init(&jobs[i].job, run_counting);
            assert_int_equal(skua_exec_submit(exec, &jobs[i].job), SKUA_OK);
        }
        assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
        for (int i = 0; i < JOBS; i++) {
            assert_int_equal(results[i], 1);
        }
        skua_latch_fini(&latch);
        memset(&latch, 0xff, sizeof latch);
    }
    skua_exec_close(exec);
}

typedef struct meeting {
    skua_job job;
    skua_latch *arrived, *gone;
    atomic_int *met;
} meeting;

static void
run_meeting(skua_worker w, skua_job *job) {
    (void)w;
    meeting *self = (meeting *)(void *)job;
    skua_latch *gone = self->gone;
    skua_latch_count_down(self->arrived, 1);
    assert_int_equal(skua_latch_wait(self->arrived, 0, NULL), SKUA_OK);
    atomic_fetch_add(self->met, 1);
    skua_latch_count_down(gone, 1);
}

static void
test_latch_wait_gives_the_place_to_a_spare(void **state) {
    (void)state;
    enum { MEETING = 5 };
    skua_exec *exec = open_workers(1, MEETING); /* without spares the first would wait for ever */
    for (int round = 0; round < 10; round++) {
        skua_latch arrived, gone;
        atomic_int met = 0;
        meeting all[MEETING];
        skua_latch_init(&arrived, exec, MEETING);
        skua_latch_init(&gone, exec, MEETING);
        for (int i = 0; i < MEETING; i++) {
            all[i] = (meeting){.arrived = &arrived, .gone = &gone, .met = &met};
            skua_job_init(&all[i].job, run_meeting);
            assert_int_equal(skua_exec_submit(exec, &all[i].job), SKUA_OK);
        }
        assert_int_equal(skua_latch_wait(&gone, 0, NULL), SKUA_OK);
        assert_int_equal(atomic_load(&met), MEETING);
        skua_latch_fini(&gone);
        skua_latch_fini(&arrived);
    }
    skua_exec_close(exec);
}

static void *
wait_in_thread(void *arg) {
    assert_int_equal(skua_latch_wait(arg, 0, NULL), SKUA_OK);
    return NULL;
}

static void
test_latch_wakes_all_who_wait(void **state) {
    (void)state;
    enum { THREADS = 4 };
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_latch latch;
    pthread_t threads[THREADS];
    skua_latch_init(&latch, exec, 1);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, wait_in_thread, &latch), 0);
    }
    assert_true(skua_latch_count_down(&latch, 1));
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

static void
test_latch_after_fork(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_latch latch;
    skua_latch_init(&latch, exec, 1);
    pid_t child = fork();
    if (child == 0) {
        _exit(skua_latch_wait(&latch, 0, NULL) == SKUA_E_FORKED ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latch_counts_down_and_stays_open),
        cmocka_unit_test(test_latch_on_the_stack_of_who_waits),
        cmocka_unit_test(test_latch_wait_gives_the_place_to_a_spare),
        cmocka_unit_test(test_latch_wakes_all_who_wait),
        cmocka_unit_test(test_latch_after_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
