// SPDX-License-Identifier: MPL-2.0
// Opening and closing, jobs from outside, the runner, forks of the process, and an idle pool that costs nothing.
#include "opened.h"
#include "test.h"

#include "failing_allocator.h"
#include <pthread.h>
#include <skua-int/clock.h>
#include <skua/exec.h>

#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A job that counts. */
typedef struct counting_job {
    skua_job job;
    atomic_int *count;
    int order; /* the count before it */
} counting_job;

static void
run_counting(skua_worker w, skua_job *job) {
    (void)w;
    counting_job *self = (counting_job *)(void *)job;
    self->order = atomic_fetch_add(self->count, 1);
}

/* The same, but it touches nothing after it has counted. */
static void
run_telling(skua_worker w, skua_job *job) {
    (void)w;
    atomic_fetch_add(((counting_job *)(void *)job)->count, 1);
}

static void
test_exec_close_runs_all_that_was_submitted(void **state) {
    (void)state;
    enum { JOBS = 1000 };
    static counting_job jobs[JOBS];
    atomic_int count = 0;
    skua_exec *exec = open_exec(NULL);
    assert_true(skua_exec_workers(exec) >= 1);
    skua_job *batch[JOBS];
    for (int i = 0; i < JOBS; i++) {
        skua_job_init(&jobs[i].job, run_counting);
        jobs[i].count = &count;
        batch[i] = &jobs[i].job;
    }
    assert_int_equal(skua_exec_submit(exec, batch[0]), SKUA_OK);
    assert_int_equal(skua_exec_submit_batch(exec, batch + 1, JOBS - 1), SKUA_OK);
    assert_null(skua_exec_close(exec));
    assert_int_equal(atomic_load(&count), JOBS);
    assert_null(skua_exec_close(NULL));
}

/* A job that submits itself again until its count is over, also while the executor closes. */
typedef struct relay {
    skua_job job;
    int left;
} relay;

static void
run_relay(skua_worker w, skua_job *job) {
    relay *self = (relay *)(void *)job;
    if (--self->left > 0) {
        assert_int_equal(skua_exec_submit(skua_worker_exec(w), job), SKUA_OK);
    }
}

static void
test_exec_close_runs_what_running_jobs_submit(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2));
        relay self = {.left = 500};
        skua_job_init(&self.job, run_relay);
        assert_int_equal(skua_exec_submit(exec, &self.job), SKUA_OK);
        skua_exec_close(exec);
        assert_int_equal(self.left, 0);
    }
}

static void
test_exec_jobs_start_in_order_of_priority_then_submission(void **state) {
    (void)state;
    enum { JOBS = 9 };
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    gate first;
    gate_hold(&first, exec);
    atomic_int count = 0;
    counting_job jobs[JOBS];
    const uint8_t priorities[] = {SKUA_PRIORITY_LOW, SKUA_PRIORITY_NORMAL, SKUA_PRIORITY_HIGH};
    for (int i = 0; i < JOBS; i++) {
        skua_job_init(&jobs[i].job, run_counting);
        jobs[i].count = &count;
        jobs[i].job.priority = priorities[i % 3];
        assert_int_equal(skua_exec_submit(exec, &jobs[i].job), SKUA_OK);
    }
    gate_open(&first);
    skua_exec_close(exec);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].order, (2 - i % 3) * 3 + i / 3);
    }
}

static void
test_exec_low_priority_does_not_starve(void **state) {
    (void)state;
    enum { JOBS = 200 };
    static counting_job jobs[JOBS];
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    gate first;
    gate_hold(&first, exec);
    atomic_int count = 0;
    for (int i = 0; i < JOBS; i++) {
        skua_job_init(&jobs[i].job, run_counting);
        jobs[i].count = &count;
        jobs[i].job.priority = i == 0 ? SKUA_PRIORITY_LOW : SKUA_PRIORITY_HIGH;
        assert_int_equal(skua_exec_submit(exec, &jobs[i].job), SKUA_OK);
    }
    gate_open(&first);
    skua_exec_close(exec);
    assert_in_range(jobs[0].order, 1, 64);
}

static void
test_exec_full_queue_says_again(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .queue_tasks = 2));
    gate first;
    gate_hold(&first, exec);
    atomic_int count = 0;
    counting_job jobs[3];
    skua_job *batch[3];
    for (int i = 0; i < 3; i++) {
        skua_job_init(&jobs[i].job, run_counting);
        jobs[i].count = &count;
        batch[i] = &jobs[i].job;
    }
    assert_int_equal(skua_exec_submit_batch(exec, batch, 3), SKUA_E_AGAIN); /* all or none */
    assert_int_equal(skua_exec_submit_batch(exec, batch, 2), SKUA_OK);
    assert_int_equal(skua_exec_submit(exec, batch[2]), SKUA_E_AGAIN);
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    assert_int_equal(stats.queued_tasks, 2);
    gate_open(&first);
    skua_exec_close(exec);
    assert_int_equal(atomic_load(&count), 2);
}

/* ---- Many outsiders ---- */

static void
add_one(skua_worker w, void *frame) {
    (void)w;
    atomic_fetch_add((atomic_int *)frame, 1);
}

typedef struct outsider {
    skua_exec *exec;
    atomic_int *count;
} outsider;

static void *
run_outsider(void *arg) {
    outsider *self = arg;
    for (int i = 0; i < 500; i++) {
        int before = atomic_load(self->count);
        if (skua_exec_run(self->exec, add_one, self->count, NULL) != SKUA_OK ||
            atomic_load(self->count) <= before) {
            return self;
        }
    }
    return NULL;
}

static void
test_exec_run_from_many_threads(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2));
    atomic_int count = 0;
    outsider self = {.exec = exec, .count = &count};
    pthread_t threads[6];
    for (int i = 0; i < 6; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_outsider, &self), 0);
    }
    for (int i = 0; i < 6; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    skua_exec_close(exec);
    assert_int_equal(atomic_load(&count), 6 * 500);
}

static void
run_nested(skua_worker w, void *frame) {
    /* On a worker it is a plain call, also with forks under way. */
    atomic_int other = 0;
    skua_spawn(&w, add_one, &other);
    assert_int_equal(skua_exec_run(skua_worker_exec(w), add_one, frame, NULL), SKUA_OK);
    skua_sync(&w, add_one, &other);
    assert_int_equal(atomic_load(&other), 1);
}

static void
test_exec_run_on_a_worker_is_a_call(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .spares = SKUA_NONE));
    atomic_int count = 0;
    assert_int_equal(skua_exec_run(exec, run_nested, &count, NULL), SKUA_OK);
    assert_int_equal(atomic_load(&count), 1);
    skua_exec_close(exec);
}

/* ---- The runner ---- */

static void
post_one(void *arg) {
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void
test_exec_runner_posts(void **state) {
    (void)state;
    failing_allocator hook;
    failing_allocator_init(&hook, 0);
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .allocator = &hook.hook));
    skua_runner runner;
    skua_exec_runner(exec, &runner);
    assert_int_equal(runner.version, SKUA_RUNNER_VERSION);
    atomic_int count = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(runner.post(runner.ctx, post_one, &count), SKUA_OK);
    }
    atomic_store(&hook.fail_at, 1);
    assert_int_equal(runner.post(runner.ctx, post_one, &count), SKUA_E_NO_MEMORY);
    skua_exec_close(exec);
    assert_int_equal(atomic_load(&count), 100);
    assert_int_equal(atomic_load(&hook.alive), 0);
}

/* ---- Blocking ---- */

static void
run_blocker(skua_worker w, void *frame) {
    /* The only worker blocks until a job has run that only its spare can run. */
    counting_job other = {.count = frame};
    skua_job_init(&other.job, run_telling);
    skua_worker_block_begin(w);
    skua_worker_block_begin(w);
    assert_int_equal(skua_exec_submit(skua_worker_exec(w), &other.job), SKUA_OK);
    int64_t until_ns = skua__clock_ns() + 20 * SKUA_NS_PER_S;
    while (atomic_load(other.count) == 0 && skua__clock_ns() < until_ns) {
        sched_yield();
    }
    skua_worker_block_end(w);
    skua_worker_block_end(w);
    assert_int_equal(atomic_load(other.count), 1);
}

static void
test_exec_spare_stands_in_for_a_blocked_worker(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    for (int i = 0; i < 10; i++) {
        atomic_int count = 0;
        assert_int_equal(skua_exec_run(exec, run_blocker, &count, NULL), SKUA_OK);
    }
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    assert_int_equal(stats.spares, 1); /* one is used again and again */
    skua_exec_close(exec);
}

/* ---- Idle ---- */

static int64_t
process_cpu_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (int64_t)at.tv_sec * SKUA_NS_PER_S + at.tv_nsec;
}

static uint64_t
parks_of(skua_exec *exec) {
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    return stats.parks;
}

static void
test_exec_idle_costs_no_cpu(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 4));
    atomic_int count = 0;
    assert_int_equal(skua_exec_run(exec, add_one, &count, NULL), SKUA_OK);
    /* A condition that nobody signals: half a second in which only the workers could use the CPU. */
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&lock);
    int64_t cpu_ns = 0;
    uint64_t parks = 0;
    for (int i = 0; i < 2; i++) { /* the first round lets them fall asleep */
        cpu_ns = process_cpu_ns();
        parks = parks_of(exec);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 500000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&never, &lock, &until);
    }
    pthread_mutex_unlock(&lock);
    assert_int_equal(parks_of(exec), parks); /* nobody woke up to look around */
    assert_true(process_cpu_ns() - cpu_ns < 5 * SKUA_NS_PER_MS);
    skua_exec_close(exec);
}

/* ---- Failures ---- */

static void
test_exec_bad_options_are_refused(void **state) {
    (void)state;
    skua_exec *exec = NULL;
    skua_error err;
    const skua_exec_options *bad[] = {
        SKUA_EXEC_OPTIONS(.workers = -3),
        SKUA_EXEC_OPTIONS(.workers = SKUA_EXEC_WORKERS_MAX + 1),
        SKUA_EXEC_OPTIONS(.workers = 1, .spares = SKUA_EXEC_WORKERS_MAX),
        SKUA_EXEC_OPTIONS(.stack_slots = SKUA_EXEC_SLOTS_MAX + 1),
        SKUA_EXEC_OPTIONS(.queue_tasks = -5),
        SKUA_EXEC_OPTIONS(.spin_us = SKUA_UNLIMITED),
        &(skua_exec_options){.workers = 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(skua_exec_open(&exec, bad[i], &err), SKUA_E_BAD_ARGUMENT);
    }
    assert_int_equal(skua_exec_open(NULL, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_null(exec);
    skua_exec_options options;
    skua_exec_options_init(&options, sizeof options);
    assert_int_equal(options.size, sizeof options);
    assert_int_equal(skua_exec_run(NULL, add_one, NULL, &err), SKUA_E_BAD_ARGUMENT);
}

static void
test_exec_workers_follow_the_topology(void **state) {
    (void)state;
    skua_topology *topology = NULL;
    assert_int_equal(skua_topology_new(
                         &topology, SKUA_TOPOLOGY_OPTIONS(.synthetic = "numa:2 core:3 pu:1"), NULL),
                     SKUA_OK);
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.topology = topology));
    skua_topology_free(topology);
    assert_int_equal(skua_exec_workers(exec), 6);
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_worker_stats(exec, 5, &stats), SKUA_OK);
    assert_int_equal(skua_exec_worker_stats(exec, 6, &stats), SKUA_E_BAD_ARGUMENT);
    stats.size = 1;
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_E_BAD_ARGUMENT);
    skua_exec_close(exec);
}

static void
test_exec_allocator_failures_leave_nothing(void **state) {
    (void)state;
    for (long n = 1;; n++) {
        failing_allocator hook;
        failing_allocator_init(&hook, n);
        skua_exec *exec = NULL;
        skua_status status =
            skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.allocator = &hook.hook), NULL);
        skua_exec_close(exec);
        assert_int_equal(atomic_load(&hook.alive), 0);
        if (status == SKUA_OK) {
            assert_true(n > 3);
            return;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
    }
}

static int
child_of_fork(skua_exec *exec, skua_future *promise, const failing_allocator *hook) {
    skua_error err;
    atomic_int count = 0;
    counting_job job = {.count = &count};
    skua_job_init(&job.job, run_counting);
    if (skua_exec_run(exec, add_one, &count, &err) != SKUA_E_FORKED ||
        strcmp(err.code, "SKUA-E026") != 0 || skua_exec_submit(exec, &job.job) != SKUA_E_FORKED ||
        skua_future_complete(promise, SKUA_OK, NULL) != SKUA_E_FORKED) {
        return 1;
    }
    long alive = atomic_load(&hook->alive);
    skua_exec_close(exec); /* a thread of the parent may have been in the allocator */
    if (atomic_load(&hook->alive) != alive) {
        return 4;
    }
#ifdef __SANITIZE_THREAD__
    return 0; /* ThreadSanitizer lets no child of a fork() start threads */
#endif
    skua_exec *own = NULL;
    if (skua_exec_open(&own, SKUA_EXEC_OPTIONS(.workers = 2), &err) != SKUA_OK ||
        skua_exec_run(own, add_one, &count, &err) != SKUA_OK) {
        return 2;
    }
    skua_exec_close(own);
    return atomic_load(&count) == 1 ? 0 : 3;
}

/*
 * Both workers stand in a job while the process forks. A thread that just starts is often inside AddressSanitizer's
 * allocator, whose locks, unlike the C library's, a child can inherit locked; then the child's own executor hangs.
 */
static void
test_exec_child_of_a_fork_is_told(void **state) {
    (void)state;
    failing_allocator hook;
    failing_allocator_init(&hook, 0);
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2, .allocator = &hook.hook));
    skua_future *promise = NULL;
    assert_int_equal(skua_future_promise(&promise, exec, NULL), SKUA_OK);
    gate gates[2];
    gate_hold(&gates[0], exec);
    gate_hold(&gates[1], exec);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(child_of_fork(exec, promise, &hook));
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    gate_open(&gates[0]);
    gate_open(&gates[1]);
    assert_int_equal(skua_future_complete(promise, SKUA_OK, NULL), SKUA_OK);
    skua_future_unref(promise);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    atomic_int count = 0;
    assert_int_equal(skua_exec_run(exec, add_one, &count, NULL), SKUA_OK); /* the parent goes on */
    skua_exec_close(exec);
}

static void
test_exec_opens_and_closes_many_times(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2));
        skua_exec_close(exec);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec_close_runs_all_that_was_submitted),
        cmocka_unit_test(test_exec_close_runs_what_running_jobs_submit),
        cmocka_unit_test(test_exec_jobs_start_in_order_of_priority_then_submission),
        cmocka_unit_test(test_exec_low_priority_does_not_starve),
        cmocka_unit_test(test_exec_full_queue_says_again),
        cmocka_unit_test(test_exec_run_from_many_threads),
        cmocka_unit_test(test_exec_run_on_a_worker_is_a_call),
        cmocka_unit_test(test_exec_runner_posts),
        cmocka_unit_test(test_exec_spare_stands_in_for_a_blocked_worker),
        cmocka_unit_test(test_exec_idle_costs_no_cpu),
        cmocka_unit_test(test_exec_bad_options_are_refused),
        cmocka_unit_test(test_exec_workers_follow_the_topology),
        cmocka_unit_test(test_exec_allocator_failures_leave_nothing),
        cmocka_unit_test(test_exec_child_of_a_fork_is_told),
        cmocka_unit_test(test_exec_opens_and_closes_many_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
