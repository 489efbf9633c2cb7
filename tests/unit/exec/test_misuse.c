// SPDX-License-Identifier: MPL-2.0
// What goes wrong in programs: deadlines that pass, NULLs, jobs that never end at close, forks that are not synced.
#include "opened.h"
#include "test.h"

#include <pthread.h>
#include <skua-int/clock.h>
#include <skua/exec.h>
#include <skua/graph.h>
#include <skua/latch.h>
#include <skua/lease.h>
#include <skua/parallel.h>
#include <skua/timer.h>

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_resize(NULL, 1, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_pause(NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_resume(NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_stats_get(NULL, &stats), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_stats_get(exec, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_worker_stats(NULL, 0, &stats), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_worker_stats(exec, 0, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_trace_start(NULL, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_trace_write(NULL, "x", &err), SKUA_E_BAD_ARGUMENT);
    assert_null(skua_exec_close(NULL));
    skua_exec_close(exec);
}

static void
test_misuse_nulls_of_the_other_headers_are_refused(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    skua_error err;
    skua_latch latch = {0};
    skua_graph graph = {0};
    skua_graph_node node;
    skua_lease_pool pool = {.size = sizeof pool};
    uint32_t position = 0, numa = 0;
    char *text = NULL;
    void *memory = NULL;
    assert_int_equal(skua_latch_wait(NULL, 0, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_latch_wait(&latch, 0, &err), SKUA_E_BAD_ARGUMENT);
    skua_latch_fini(NULL);
    assert_int_equal(skua_graph_reset(NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_reset(&graph, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_add(&graph, &node, NULL, NULL, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_seal(&graph, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "skua_graph_init()")); /* it was not called */
    assert_int_equal(skua_graph_start(&graph, exec, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_run(NULL, exec, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_wait(&graph, 0, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_lease_next(0, NULL, &pool, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_lease_next(0, &position, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_after(exec, NULL, 1, &err), SKUA_E_BAD_ARGUMENT);
    skua_timer_fini(NULL);
    assert_int_equal(skua_topology_text(NULL, &text, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_topology_plan_text(NULL, 0, &text, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_numa_alloc(NULL, 0, 1, &memory, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_numa_of(NULL, &err, &numa, &err), SKUA_E_BAD_ARGUMENT);
    assert_null(skua_numa_free(NULL, 1));
    assert_int_equal(skua_parallel_for(exec, 2, 1, 0, NULL, NULL, &err), SKUA_E_BAD_ARGUMENT);
    skua_exec_close(exec);
}

static void
test_misuse_a_future_takes_only_a_group_of_its_executor(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    skua_exec *other = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    skua_error err;
    skua_future *future = NULL;
    skua_group group = {0};
    assert_int_equal(skua_future_start(&future, exec, give_arg, NULL,
                                       SKUA_FUTURE_OPTIONS(.group = &group), &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "not prepared"));
    skua_group_init(&group, other);
    assert_int_equal(skua_future_start(&future, exec, give_arg, NULL,
                                       SKUA_FUTURE_OPTIONS(.group = &group), &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "another executor"));
    assert_null(future);
    skua_group_fini(&group);
    skua_exec_close(other);
    skua_exec_close(exec);
}

/* h stands in g; then h is built anew, to hold g. */
static void
test_misuse_a_graph_in_itself_is_an_error(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2));
    skua_error err;
    skua_graph g, h;
    skua_graph_node in_g, in_h;
    assert_int_equal(skua_graph_init(&g, SKUA_GRAPH_OPTIONS(.name = "g"), &err), SKUA_OK);
    assert_int_equal(skua_graph_init(&h, SKUA_GRAPH_OPTIONS(.name = "h"), &err), SKUA_OK);
    assert_int_equal(skua_graph_add_graph(&g, &in_g, &g, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_seal(&h, &err), SKUA_OK);
    assert_int_equal(skua_graph_add_graph(&g, &in_g, &h, NULL, &err), SKUA_OK);
    assert_int_equal(skua_graph_seal(&g, &err), SKUA_OK);
    assert_int_equal(skua_graph_reset(&h, &err), SKUA_OK);
    assert_int_equal(skua_graph_add_graph(&h, &in_h, &g, NULL, &err), SKUA_OK);
    assert_int_equal(skua_graph_seal(&h, &err), SKUA_OK);
    assert_int_equal(skua_graph_run(&g, exec, &err), SKUA_E_GRAPH_RACE);
    assert_non_null(strstr(err.message, "around it"));
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    assert_int_equal(skua_graph_write_dot(&g, out, &err), SKUA_E_GRAPH_CYCLE);
    assert_non_null(strstr(err.message, "in itself"));
    fclose(out);
    skua_graph_fini(&g);
    skua_graph_fini(&h);
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

typedef struct patient {
    skua_log_sink sink;
    skua_exec *exec;
    gate job;
    int heard;
} patient;

static void
count_heard(void *ctx, const skua_log_record *record) {
    (void)record;
    ((patient *)ctx)->heard++;
}

/* Opens the gate some time after the close has begun. */
static void *
open_during_close(void *arg) {
    patient *self = arg;
    while (skua_exec_pause(self->exec) == SKUA_OK) {
        sched_yield();
    }
    for (int i = 0; i < 2000; i++) {
        sched_yield();
    }
    gate_open(&self->job);
    return NULL;
}

static void
test_misuse_close_says_nothing_where_it_is_not_to(void **state) {
    (void)state;
    static patient self;
    self.sink = (skua_log_sink){.version = SKUA_LOG_SINK_VERSION,
                                .level = SKUA_LOG_WARNING,
                                .ctx = &self,
                                .fn = count_heard};
    self.exec =
        open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .close_warn_ms = SKUA_NONE, .log = &self.sink));
    gate_hold(&self.job, self.exec);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, open_during_close, &self), 0);
    skua_exec_close(self.exec);
    pthread_join(thread, NULL);
    assert_int_equal(self.heard, 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_misuse_late_jobs_never_start),
        cmocka_unit_test(test_misuse_a_late_group_is_cancelled),
        cmocka_unit_test(test_misuse_a_late_future_ends_with_timeout),
        cmocka_unit_test(test_misuse_nulls_are_refused),
        cmocka_unit_test(test_misuse_nulls_of_the_other_headers_are_refused),
        cmocka_unit_test(test_misuse_a_future_takes_only_a_group_of_its_executor),
        cmocka_unit_test(test_misuse_a_graph_in_itself_is_an_error),
        cmocka_unit_test(test_misuse_close_names_what_keeps_it),
        cmocka_unit_test(test_misuse_close_says_nothing_where_it_is_not_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
