// SPDX-License-Identifier: MPL-2.0
// Deterministic mode: the same seed gives the same order, another seed another one, and every order the right result.
#include "test.h"

#include <skua/exec.h>
#include <skua/timer.h>

#include <pthread.h>
#include <string.h>

enum { LOG_MAX = 4096, JOBS = 12 };

/* What happened, in its order: one thread writes it. */
typedef struct diary {
    int entry[LOG_MAX];
    int count;
    pthread_t thread;
} diary;

static void
note(diary *in, int what) {
    assert_true(pthread_equal(in->thread, pthread_self()));
    assert_true(in->count < LOG_MAX);
    in->entry[in->count++] = what;
}

typedef struct fib_frame {
    diary *log;
    int n;
    long value;
} fib_frame;

static void
fib(skua_worker w, void *arg) {
    fib_frame *self = arg;
    note(self->log, self->n);
    if (self->n < 2) {
        self->value = self->n;
        return;
    }
    fib_frame a = {.log = self->log, .n = self->n - 1}, b = {.log = self->log, .n = self->n - 2};
    skua_spawn(&w, fib, &a);
    fib(w, &b);
    skua_sync(&w, fib, &a);
    self->value = a.value + b.value;
}

typedef struct noting_job {
    skua_job job;
    diary *log;
    int number;
} noting_job;

static void
run_noting(skua_worker w, skua_job *job) {
    noting_job *self = (noting_job *)(void *)job;
    note(self->log, 100 + self->number);
    fib_frame frame = {.log = self->log, .n = 4};
    fib(w, &frame);
    assert_int_equal(frame.value, 3);
}

static skua_status
follow(skua_worker w, skua_future *done, void *arg, void **ret_value) {
    (void)w;
    (void)done;
    note(arg, 200);
    *ret_value = arg;
    return SKUA_OK;
}

static skua_status
begin(skua_worker w, void *arg, void **ret_value) {
    fib_frame frame = {.log = arg, .n = 5};
    fib(w, &frame);
    *ret_value = arg;
    return frame.value == 5 ? SKUA_OK : SKUA_E_INTERNAL;
}

/* A bit of everything; the order of it goes into *log. */
static void
play(uint64_t seed, diary *log) {
    skua_exec *exec = NULL;
    memset(log, 0, sizeof *log);
    log->thread = pthread_self();
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.deterministic_seed = seed), NULL),
                     SKUA_OK);
    assert_int_equal(skua_exec_workers(exec), 1);
    noting_job jobs[JOBS];
    skua_group group;
    skua_group_init(&group, exec);
    for (int i = 0; i < JOBS; i++) {
        skua_job_init(&jobs[i].job, run_noting);
        jobs[i].log = log;
        jobs[i].number = i;
        assert_int_equal(i % 2 ? skua_exec_submit(exec, &jobs[i].job)
                               : skua_group_submit(&group, &jobs[i].job),
                         SKUA_OK);
    }
    skua_future *first = NULL, *second = NULL;
    void *value = NULL;
    assert_int_equal(skua_future_start(&first, exec, begin, log, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_future_then(&second, first, follow, log, NULL, NULL), SKUA_OK);
    assert_int_equal(log->count, 0); /* nobody has waited: nothing ran */
    assert_int_equal(skua_future_get(second, 0, &value, NULL), SKUA_OK);
    assert_ptr_equal(value, log);
    fib_frame frame = {.log = log, .n = 9};
    assert_int_equal(skua_exec_run(exec, fib, &frame, NULL), SKUA_OK);
    assert_int_equal(frame.value, 34);
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
    skua_future_unref(first);
    skua_future_unref(second);
    skua_group_fini(&group);
    skua_exec_close(exec);
    /* Everything ran once, whatever the order. */
    int seen[201] = {0};
    for (int i = 0; i < log->count; i++) {
        seen[log->entry[i]]++;
    }
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(seen[100 + i], 1);
    }
    assert_int_equal(seen[200], 1);
    assert_int_equal(seen[9], 1);
}

static void
test_replay_the_same_seed_gives_the_same_order(void **state) {
    (void)state;
    enum { SEEDS = 200 };
    static diary one, two, before;
    uint64_t seed = test_seed(1);
    int different = 0;
    for (uint64_t i = 0; i < SEEDS; i++) {
        play(seed + i, &one);
        play(seed + i, &two);
        assert_int_equal(one.count, two.count);
        assert_memory_equal(one.entry, two.entry, sizeof one.entry);
        different += i > 0 && memcmp(one.entry, before.entry, sizeof one.entry) != 0;
        before = one;
    }
    assert_int_equal(different, SEEDS - 1);
}

/* Deep forks on a stack of few slots: those that do not fit run at once, here too. */
static void
test_replay_small_stacks_give_the_same_results(void **state) {
    (void)state;
    static diary log;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        for (int32_t slots = 1; slots <= 4; slots++) {
            skua_exec *exec = NULL;
            assert_int_equal(
                skua_exec_open(&exec,
                               SKUA_EXEC_OPTIONS(.deterministic_seed = seed, .stack_slots = slots),
                               NULL),
                SKUA_OK);
            log = (diary){.thread = pthread_self()};
            fib_frame frame = {.log = &log, .n = 10};
            assert_int_equal(skua_exec_run(exec, fib, &frame, NULL), SKUA_OK);
            assert_int_equal(frame.value, 55);
            skua_exec_close(exec);
        }
    }
}

/* A task that waits for what lies under it: said, and no hang. */
static void
wait_for_promise(skua_worker w, void *arg) {
    (void)w;
    assert_int_equal(skua_future_get(arg, 0, NULL, NULL), SKUA_E_TIMEOUT);
}

static void
never(skua_worker w, skua_timer *timer) {
    (void)w;
    (void)timer;
    fail_msg("a timer that was refused has called");
}

static void
test_replay_refuses_what_needs_threads(void **state) {
    (void)state;
    skua_exec *exec = NULL;
    skua_error err;
    assert_int_equal(
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.deterministic_seed = 1, .workers = 2), &err),
        SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "deterministic_seed"));
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.deterministic_seed = 1), &err),
                     SKUA_OK);
    assert_int_equal(skua_exec_pause(exec), SKUA_E_UNSUPPORTED);
    assert_int_equal(skua_exec_resize(exec, 2, &err), SKUA_E_UNSUPPORTED);
    skua_timer timer;
    skua_timer_init(&timer, never);
    assert_int_equal(skua_exec_after(exec, &timer, 1, &err), SKUA_E_UNSUPPORTED);
    skua_timer_fini(&timer);
    skua_future *promise = NULL;
    assert_int_equal(skua_future_promise(&promise, exec, NULL), SKUA_OK);
    assert_int_equal(skua_exec_run(exec, wait_for_promise, promise, NULL), SKUA_OK);
    assert_int_equal(skua_future_complete(promise, SKUA_OK, NULL), SKUA_OK);
    skua_future_unref(promise);
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay_the_same_seed_gives_the_same_order),
        cmocka_unit_test(test_replay_small_stacks_give_the_same_results),
        cmocka_unit_test(test_replay_refuses_what_needs_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
