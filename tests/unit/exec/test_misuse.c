// SPDX-License-Identifier: MPL-2.0
// What goes wrong in programs: deadlines that pass, NULLs, jobs that never end at close, forks that are not synced.
#include "test.h"

#include <pthread.h>
#include <skua-int/clock.h>
#include <skua/exec.h>

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static skua_exec *
open_exec(const skua_exec_options *options) {
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec, options, NULL), SKUA_OK);
    return exec;
}

/* A job that keeps the only worker until it is opened. */
typedef struct gate {
    skua_job job;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool entered, open;
} gate;

static void
run_gate(skua_worker w, skua_job *job) {
    (void)w;
    gate *self = (gate *)(void *)job;
    pthread_mutex_lock(&self->lock);
    self->entered = true;
    pthread_cond_broadcast(&self->changed);
    while (!self->open) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
}

static void
gate_hold(gate *self, skua_exec *exec) {
    *self = (gate){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    skua_job_init(&self->job, run_gate);
    assert_int_equal(skua_exec_submit(exec, &self->job), SKUA_OK);
    pthread_mutex_lock(&self->lock);
    while (!self->entered) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
}

static void
gate_open(gate *self) {
    pthread_mutex_lock(&self->lock);
    self->open = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

/* ---- Deadlines ---- */

typedef struct timed {
    skua_job job;
    int runs, drops;
    skua_status why;
} timed;

static void
run_timed(skua_worker w, skua_job *job) {
    (void)w;
    ((timed *)(void *)job)->runs++;
}

static void
drop_timed(skua_worker w, skua_job *job, skua_status why) {
    assert_non_null(skua_worker_exec(w));
    ((timed *)(void *)job)->drops++;
    ((timed *)(void *)job)->why = why;
}

static void
timed_init(timed *self) {
    *self = (timed){.runs = 0};
    skua_job_init(&self->job, run_timed);
    self->job.dropped = drop_timed;
}

static void
test_misuse_late_jobs_never_start(void **state) {
    (void)state;
    const int64_t timeouts_ms[] = {SKUA_NONE, 0, SKUA_UNLIMITED, 600000};
    timed jobs[4], untold;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    gate first;
    gate_hold(&first, exec);
    for (int i = 0; i < 4; i++) {
        timed_init(&jobs[i]);
        skua_job_set_deadline(&jobs[i].job, timeouts_ms[i]);
        assert_int_equal(skua_exec_submit(exec, &jobs[i].job), SKUA_OK);
    }
    timed_init(&untold);
    untold.job.dropped = NULL;
    skua_job_set_deadline(&untold.job, SKUA_NONE);
    assert_int_equal(skua_exec_submit(exec, &untold.job), SKUA_OK);
    gate_open(&first);
    skua_exec_stats stats = {.size = sizeof stats};
    skua_group group;
    skua_group_init(&group, exec);
    timed last;
    timed_init(&last);
    assert_int_equal(skua_group_submit(&group, &last.job), SKUA_OK);
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK); /* first in, first out */
    skua_group_fini(&group);
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    assert_int_equal(stats.tasks_dropped, 3);
    skua_exec_close(exec);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(jobs[i].runs, i >= 2);
        assert_int_equal(jobs[i].drops, i < 2);
        assert_int_equal(jobs[i].why, i < 2 ? SKUA_E_TIMEOUT : SKUA_OK);
    }
    assert_int_equal(untold.runs, 0);
    assert_int_equal(last.runs, 1);
}

static void
test_misuse_a_late_group_is_cancelled(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    gate first;
    gate_hold(&first, exec);
    skua_group group;
    skua_error err;
    timed job, late;
    timed_init(&job);
    timed_init(&late);
    skua_group_init(&group, exec);
    skua_group_set_deadline(&group, 600000);
    assert_int_equal(skua_group_submit(&group, &job.job), SKUA_OK);
    skua_group_set_deadline(&group, SKUA_NONE);
    gate_open(&first);
    assert_int_equal(skua_group_wait(&group, 0, &err), SKUA_E_TIMEOUT);
    assert_non_null(strstr(err.message, "deadline"));
    assert_int_equal(skua_group_submit(&group, &late.job), SKUA_E_CANCELLED);
    skua_group_fini(&group);
    skua_exec_close(exec);
    assert_int_equal(job.runs, 0);
    assert_int_equal(job.drops, 1);
    assert_int_equal(job.why, SKUA_E_TIMEOUT);
    assert_int_equal(late.drops, 0);
}

static skua_status
give_arg(skua_worker w, void *arg, void **ret_value) {
    (void)w;
    *ret_value = arg;
    return SKUA_OK;
}

static void
test_misuse_a_late_future_ends_with_timeout(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    gate first;
    gate_hold(&first, exec);
    skua_future *late = NULL, *early = NULL;
    skua_error err;
    assert_int_equal(
        skua_future_start(&late, exec, give_arg, exec, SKUA_FUTURE_OPTIONS(.deadline_ms = 1), &err),
        SKUA_OK);
    assert_int_equal(skua_future_start(&early, exec, give_arg, exec,
                                       SKUA_FUTURE_OPTIONS(.deadline_ms = 600000), &err),
                     SKUA_OK);
    int64_t until_ns = skua__clock_ns() + 2 * SKUA_NS_PER_MS;
    while (skua__clock_ns() < until_ns) {
        sched_yield();
    }
    gate_open(&first);
    void *value = NULL;
    assert_int_equal(skua_future_get(late, 0, &value, &err), SKUA_E_TIMEOUT);
    assert_null(value);
    assert_int_equal(skua_future_get(early, 0, &value, &err), SKUA_OK);
    assert_ptr_equal(value, exec);
    skua_future_unref(late);
    skua_future_unref(early);
    skua_exec_close(exec);
}

/* ---- NULLs ---- */

static void
test_misuse_nulls_are_refused(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    skua_error err;
    skua_group group = {0};
    skua_job job = {0}, *none[] = {NULL};
    assert_int_equal(skua_exec_submit(NULL, &job), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_submit(exec, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_submit(exec, &job), SKUA_E_BAD_ARGUMENT); /* it has no run */
    assert_int_equal(skua_exec_submit_batch(exec, NULL, 1), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_submit_batch(exec, none, 1), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_submit_batch(exec, NULL, 0), SKUA_OK);
    assert_int_equal(skua_group_submit(NULL, &job), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_group_submit(&group, &job), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_group_wait(NULL, 0, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_group_wait(&group, 0, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_future_get(NULL, 0, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_future_complete(NULL, SKUA_OK, NULL), SKUA_E_BAD_ARGUMENT);
    assert_null(skua_future_unref(NULL));
    skua_exec_close(exec);
}

/* ---- A job that does not end at close ---- */

typedef struct listener {
    skua_log_sink sink;
    gate job;
    int heard;
    char text[2048];
} listener;

static void
listen_and_open(void *ctx, const skua_log_record *record) {
    listener *self = ctx;
    strncat(self->text, record->message, sizeof self->text - strlen(self->text) - 1);
    self->heard++;
    if (strstr(record->message, "worker 0 runs")) {
        gate_open(&self->job);
    }
}

static void
test_misuse_close_names_what_keeps_it(void **state) {
    (void)state;
    static listener self;
    self.sink = (skua_log_sink){.version = SKUA_LOG_SINK_VERSION,
                                .level = SKUA_LOG_WARNING,
                                .ctx = &self,
                                .fn = listen_and_open};
    skua_exec *exec =
        open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .close_warn_ms = 1, .log = &self.sink));
    gate_hold(&self.job, exec);
    timed waiting;
    timed_init(&waiting);
    assert_int_equal(skua_exec_submit(exec, &waiting.job), SKUA_OK);
    skua_exec_close(exec); /* it ends only because it speaks */
    assert_int_equal(self.heard, 2);
    assert_non_null(strstr(self.text, "2 jobs, 1 of them not begun"));
    assert_int_equal(waiting.runs, 1);
    skua_error err;
    assert_int_equal(
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.close_warn_ms = SKUA_UNLIMITED), &err),
        SKUA_E_BAD_ARGUMENT);
}

/* ---- Broken invariants: an assertion names the call ---- */

#if !defined(NDEBUG) && !defined(__SANITIZE_THREAD__)
static void
do_nothing(skua_worker w, void *frame) {
    (void)w;
    (void)frame;
}

static void
leave_a_fork(skua_worker w, void *frame) {
    skua_spawn(&w, do_nothing, frame);
}

static void
sync_too_often(skua_worker w, void *frame) {
    skua_spawn(&w, do_nothing, frame);
    skua_sync(&w, do_nothing, frame);
    skua_sync(&w, do_nothing, frame);
}

static void
sync_another(skua_worker w, void *frame) {
    skua_spawn(&w, do_nothing, frame);
    skua_sync(&w, leave_a_fork, frame);
}

static void
sync_a_slot_frame(skua_worker w, void *frame) {
    (void)frame;
    int *number = SKUA_FRAME(w, int);
    skua_spawn(&w, do_nothing, number);
    skua_sync(&w, do_nothing, number);
}

static void *
sync_elsewhere(void *arg) {
    skua_worker w = *(skua_worker *)arg;
    skua_sync(&w, do_nothing, NULL);
    return NULL;
}

static void
hand_out_the_worker(skua_worker w, void *frame) {
    (void)frame;
    skua_spawn(&w, do_nothing, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, sync_elsewhere, &w) == 0) {
        pthread_join(thread, NULL);
    }
}

static void
close_ourselves(skua_worker w, void *frame) {
    (void)frame;
    skua_exec_close(skua_worker_exec(w));
}

/* Runs fn on an executor in a child process, which must abort and say so. */
static void
expect_abort(skua_fn *fn, const char *message) {
    int ends[2];
    char text[4096] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        signal(SIGABRT, SIG_DFL);
        skua_exec *exec = NULL;
        if (skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1), NULL) == SKUA_OK) {
            (void)!skua_exec_run(exec, fn, NULL, NULL);
            skua_exec_close(exec);
        }
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t got;
    while ((got = read(ends[0], text + used, sizeof text - 1 - used)) > 0) {
        used += (size_t)got;
    }
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(text, message)) {
        fail_msg("status %#x, not an abort with \"%s\": %s", (unsigned)status, message, text);
    }
}

static void
test_misuse_broken_invariants_abort(void **state) {
    (void)state;
    expect_abort(leave_a_fork, "returned before the sync of a forked call");
    expect_abort(sync_too_often, "skua_sync: more syncs than spawns");
    expect_abort(sync_a_slot_frame,
                 "skua_sync: a frame of SKUA_FRAME() goes with skua_take_back()");
    expect_abort(sync_another, "skua_sync: this is not the newest fork");
    expect_abort(hand_out_the_worker, "skua_sync: called outside w's worker");
    expect_abort(close_ourselves, "skua_exec_close: called by a worker");
}
#endif

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_misuse_late_jobs_never_start),
        cmocka_unit_test(test_misuse_a_late_group_is_cancelled),
        cmocka_unit_test(test_misuse_a_late_future_ends_with_timeout),
        cmocka_unit_test(test_misuse_nulls_are_refused),
        cmocka_unit_test(test_misuse_close_names_what_keeps_it),
#if !defined(NDEBUG) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(test_misuse_broken_invariants_abort),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
