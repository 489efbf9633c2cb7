// SPDX-License-Identifier: MPL-2.0
// Groups: the end of all jobs, cancel and the first error, helping, and waiting for oneself.
#include "opened.h"
#include "test.h"

#include <skua-int/clock.h>
#include <skua/exec.h>
#include <skua/latch.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

enum { JOBS = 300 };

typedef struct member {
    skua_job job;
    skua_group *group;
    atomic_int *count;
    int fail_at; /* the run that fails; 0: none */
    bool saw_cancel;
} member;

static void
run_member(skua_worker w, skua_job *job) {
    member *self = (member *)(void *)job;
    int run = atomic_fetch_add(self->count, 1) + 1;
    if (self->fail_at && run == self->fail_at) {
        skua_group_cancel(self->group, SKUA_E_TASK_FAILED, "member had enough");
    }
    self->saw_cancel = skua_worker_cancelled(w);
}

static void
submit_members(skua_group *group, member *members, int count, atomic_int *runs, int fail_at) {
    for (int i = 0; i < count; i++) {
        members[i] = (member){.group = group, .count = runs, .fail_at = fail_at};
        skua_job_init(&members[i].job, run_member);
        skua_status status = skua_group_submit(group, &members[i].job);
        assert_true(status == SKUA_OK || (fail_at && status == SKUA_E_CANCELLED));
    }
}

static void
test_group_wait_from_outside(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, SKUA_NONE);
    skua_group group;
    skua_group_init(&group, exec);
    static member members[JOBS];
    for (int round = 1; round <= 10; round++) {
        atomic_int count = 0;
        submit_members(&group, members, JOBS, &count, 0);
        assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
        assert_int_equal(atomic_load(&count), JOBS);
    }
    assert_int_equal(skua_group_wait(&group, SKUA_NONE, NULL), SKUA_OK); /* empty: at once */
    skua_group_fini(&group);
    skua_group_fini(&group); /* zeroed now */
    skua_exec_close(exec);
}

static void
test_group_first_error_cancels_the_rest(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_group group;
    skua_group_init(&group, exec);
    static member members[JOBS];
    atomic_int count = 0;
    submit_members(&group, members, JOBS, &count, 7);
    skua_error err;
    assert_int_equal(skua_group_wait(&group, 0, &err), SKUA_E_TASK_FAILED);
    assert_non_null(strstr(err.message, "member had enough"));
    assert_int_equal(atomic_load(&count), 7); /* one worker: no other was running */
    assert_true(members[6].saw_cancel);
    assert_false(members[5].saw_cancel);
    assert_true(skua_group_cancelled(&group));
    assert_int_equal(skua_group_submit(&group, &members[0].job), SKUA_E_CANCELLED);
    assert_false(skua_group_cancel(&group, SKUA_E_TIMEOUT, "too late to be first"));
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_E_TASK_FAILED);
    skua_group_fini(&group);
    skua_exec_close(exec);
}

/* ---- Waiting on a worker ---- */

typedef struct boss {
    skua_job job;
    skua_group *of; /* the group that the boss belongs to; NULL: none */
    skua_exec *exec;
    member *members;
    int depth;
    atomic_int runs;
    skua_status status;
} boss;

static void
run_boss(skua_worker w, void *frame) {
    boss *self = frame;
    skua_group group;
    skua_group_init(&group, skua_worker_exec(w));
    submit_members(&group, self->members, JOBS, &self->runs, 0);
    self->status = skua_group_wait(&group, 0, NULL);
    skua_group_fini(&group);
}

static void
test_group_wait_on_the_only_worker_helps(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE); /* and no spares: who does not help hangs */
    static member members[JOBS];
    boss self = {.members = members, .status = 1};
    assert_int_equal(skua_exec_run(exec, run_boss, &self, NULL), SKUA_OK);
    assert_int_equal(self.status, SKUA_OK);
    assert_int_equal(atomic_load(&self.runs), JOBS);
    skua_exec_close(exec);
}

/* A job of a group that opens a group below itself, down to a depth. */
static void
run_nested(skua_worker w, skua_job *job) {
    boss *self = (boss *)(void *)job;
    atomic_fetch_add(&self->runs, 1);
    if (self->depth == 0) {
        return;
    }
    skua_group group;
    skua_group_init(&group, skua_worker_exec(w));
    boss below[2];
    for (int i = 0; i < 2; i++) {
        below[i] = (boss){.depth = self->depth - 1};
        skua_job_init(&below[i].job, run_nested);
        assert_int_equal(skua_group_submit(&group, &below[i].job), SKUA_OK);
    }
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
    for (int i = 0; i < 2; i++) {
        atomic_fetch_add(&self->runs, atomic_load(&below[i].runs));
    }
    skua_group_fini(&group);
}

static void
test_group_nested_waits(void **state) {
    (void)state;
    for (int32_t workers = 1; workers <= 3; workers++) {
        skua_exec *exec = open_workers(workers, SKUA_NONE);
        skua_group group;
        skua_group_init(&group, exec);
        boss top = {.depth = 7};
        skua_job_init(&top.job, run_nested);
        assert_int_equal(skua_group_submit(&group, &top.job), SKUA_OK);
        assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
        assert_int_equal(atomic_load(&top.runs), 255);
        skua_group_fini(&group);
        skua_exec_close(exec);
    }
}

static void
wait_in_fork(skua_worker w, void *frame) {
    boss *self = frame;
    (void)w;
    skua_error err;
    self->status = skua_group_wait(self->of, 0, &err);
}

static void
run_selfish(skua_worker w, skua_job *job) {
    boss *self = (boss *)(void *)job;
    skua_spawn(&w, wait_in_fork, self); /* a forked call is the group's too, wherever it runs */
    skua_sync(&w, wait_in_fork, self);
}

static void
test_group_waiting_for_oneself_is_a_deadlock(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, SKUA_NONE);
    skua_group group;
    skua_group_init(&group, exec);
    boss self = {.of = &group};
    skua_job_init(&self.job, run_selfish);
    assert_int_equal(skua_group_submit(&group, &self.job), SKUA_OK);
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
    assert_int_equal(self.status, SKUA_E_DEADLOCK);
    skua_group_fini(&group);
    skua_exec_close(exec);
}

/* A job that lasts until it is cancelled. */
static void
run_patient(skua_worker w, skua_job *job) {
    (void)job;
    while (!skua_worker_cancelled(w)) {
    }
}

static void
test_group_wait_has_a_deadline(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_group group;
    skua_group_init(&group, exec);
    skua_job job;
    skua_job_init(&job, run_patient);
    assert_int_equal(skua_group_submit(&group, &job), SKUA_OK);
    assert_int_equal(skua_group_wait(&group, SKUA_NONE, NULL), SKUA_E_TIMEOUT);
    assert_int_equal(skua_group_wait(&group, 5, NULL), SKUA_E_TIMEOUT);
    assert_true(skua_group_cancel(&group, SKUA_E_CANCELLED, NULL));
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_E_CANCELLED);
    skua_group_fini(&group);
    skua_exec_close(exec);
}

/* ---- A job that is nobody's again ---- */

typedef struct twice {
    skua_job job;
    skua_exec *exec;
    int runs;
    skua_job last; /* begins when the second run has ended, on the only worker that is free */
    skua_latch ended;
} twice;

static void
run_last(skua_worker w, skua_job *job) {
    (void)w;
    skua_latch_count_down(&((twice *)(void *)((char *)job - offsetof(twice, last)))->ended, 1);
}

static void
run_twice(skua_worker w, skua_job *job) {
    (void)w;
    twice *self = (twice *)(void *)job;
    if (++self->runs == 1) {
        assert_int_equal(job->near.node, 0); /* the group's, not the job's */
        assert_int_equal(skua_exec_submit(self->exec, job), SKUA_OK);
        assert_int_equal(skua_exec_submit(self->exec, &self->last), SKUA_OK);
    }
}

static void
test_group_does_not_count_a_job_that_is_submitted_anew_without_it(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, SKUA_NONE);
    skua_group group;
    skua_group_init(&group, exec);
    skua_group_set_near(&group, skua_near_node(0));
    gate held = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    skua_job_init(&held.job, run_gate);
    assert_int_equal(skua_group_submit(&group, &held.job), SKUA_OK);
    gate_await(&held);
    twice self = {.exec = exec};
    skua_job_init(&self.job, run_twice);
    skua_job_init(&self.last, run_last);
    skua_latch_init(&self.ended, exec, 1);
    assert_int_equal(skua_group_submit(&group, &self.job), SKUA_OK);
    assert_int_equal(skua_latch_wait(&self.ended, 0, NULL), SKUA_OK);
    assert_int_equal(self.runs, 2);
    assert_int_equal(skua_group_wait(&group, SKUA_NONE, NULL), SKUA_E_TIMEOUT); /* held is in it */
    gate_open(&held);
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
    skua_group_fini(&group);
    skua_exec_close(exec);
    skua_latch_fini(&self.ended);
}

/* ---- A limit ---- */

enum { LIMIT_MS = 5, SLOW_JOBS = 4 };

typedef struct slow {
    skua_job job;
    int *runs;
} slow;

static void
run_slow(skua_worker w, skua_job *job) {
    (void)w;
    ++*((slow *)(void *)job)->runs;
    int64_t until_ns = skua__deadline_ns(LIMIT_MS + 1); /* then the wait's limit has passed, too */
    while (skua__clock_ns() < until_ns) {
    }
}

static void
wait_with_limits(skua_worker w, void *frame) {
    (void)frame;
    skua_group group;
    skua_group_init(&group, skua_worker_exec(w));
    int runs = 0;
    slow jobs[SLOW_JOBS];
    for (int i = 0; i < SLOW_JOBS; i++) {
        jobs[i].runs = &runs;
        skua_job_init(&jobs[i].job, run_slow);
        assert_int_equal(skua_group_submit(&group, &jobs[i].job), SKUA_OK);
    }
    assert_int_equal(skua_group_wait(&group, SKUA_NONE, NULL), SKUA_E_TIMEOUT);
    assert_int_equal(runs, 0);
    assert_int_equal(skua_group_wait(&group, LIMIT_MS, NULL), SKUA_E_TIMEOUT);
    assert_in_range(runs, 0, 1); /* 0: held up for all that time before it could begin */
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
    assert_int_equal(runs, SLOW_JOBS);
    skua_group_fini(&group);
}

static void
test_group_wait_begins_no_job_after_its_limit(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    assert_int_equal(skua_exec_run(exec, wait_with_limits, NULL, NULL), SKUA_OK);
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group_wait_from_outside),
        cmocka_unit_test(test_group_first_error_cancels_the_rest),
        cmocka_unit_test(test_group_wait_on_the_only_worker_helps),
        cmocka_unit_test(test_group_nested_waits),
        cmocka_unit_test(test_group_waiting_for_oneself_is_a_deadlock),
        cmocka_unit_test(test_group_wait_has_a_deadline),
        cmocka_unit_test(test_group_does_not_count_a_job_that_is_submitted_anew_without_it),
        cmocka_unit_test(test_group_wait_begins_no_job_after_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
