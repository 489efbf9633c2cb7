// SPDX-License-Identifier: MPL-2.0
// Broken rules that no call can report: a program built for debugging ends with a line that names the call.
#include "test.h"

#include <pthread.h>
#include <skua/exec.h>
#include <skua/graph.h>
#include <skua/latch.h>
#include <skua/timer.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if !defined(NDEBUG) && !defined(__SANITIZE_THREAD__)
static void
count_job(skua_worker w, skua_job *job) {
    (void)w, (void)job;
}

static void
do_nothing(skua_worker w, void *frame) {
    (void)w;
    (void)frame;
}

static void
leave_a_fork(skua_worker w, void *frame) {
    skua_spawn(&w, do_nothing, frame);
}

/* One that nobody was shown: the first spawn has answered whoever asked for work. */
static void
leave_a_private_fork(skua_worker w, void *frame) {
    for (int i = 0; i < 3; i++) {
        skua_spawn(&w, do_nothing, frame);
        skua_sync(&w, do_nothing, frame);
    }
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

static void *
spawn_elsewhere(void *arg) {
    skua_worker w = *(skua_worker *)arg;
    skua_spawn(&w, do_nothing, NULL);
    return NULL;
}

static void
hand_out_the_worker_to_spawn(skua_worker w, void *frame) {
    (void)frame;
    pthread_t thread;
    if (pthread_create(&thread, NULL, spawn_elsewhere, &w) == 0) {
        pthread_join(thread, NULL);
    }
}

static void
spawn_stale(skua_worker w, void *frame) {
    skua_worker before = w;
    skua_spawn(&w, do_nothing, frame);
    skua_spawn(&before, do_nothing, frame);
}

static void
close_ourselves(skua_worker w, void *frame) {
    (void)frame;
    skua_exec_close(skua_worker_exec(w));
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
}

static void
submit_twice(skua_worker w, void *frame) {
    (void)frame;
    static skua_job job;
    skua_job_init(&job, count_job);
    (void)!skua_exec_submit(skua_worker_exec(w), &job);
    (void)!skua_exec_submit(skua_worker_exec(w), &job);
}

static void
leave_a_promise(skua_worker w, void *frame) {
    (void)frame;
    static skua_future *promise;
    (void)!skua_future_promise(&promise, skua_worker_exec(w), NULL);
}

static void
fini_in_call(skua_worker w, skua_timer *timer) {
    (void)w;
    skua_timer_fini(timer);
}

static void
fini_a_timer_in_its_call(skua_worker w, void *frame) {
    (void)frame;
    static skua_timer timer;
    skua_timer_init(&timer, fini_in_call);
    (void)!skua_exec_after(skua_worker_exec(w), &timer, 0, NULL);
    skua_latch never; /* the executor's close would end the timer */
    skua_latch_init(&never, skua_worker_exec(w), 1);
    (void)!skua_latch_wait(&never, 0, NULL);
}

static void
spawn_nothing(skua_worker w, void *frame) {
    skua_spawn(&w, NULL, frame);
}

/* The executor's only worker is busy with us: what we submit, or start, waits. */
static void
end_a_group_under_way(skua_worker w, void *frame) {
    (void)frame;
    static skua_job job;
    static skua_group group;
    skua_job_init(&job, count_job);
    skua_group_init(&group, skua_worker_exec(w));
    (void)!skua_group_submit(&group, &job);
    skua_group_fini(&group);
}

static int32_t
leave_a_fork_in_a_node(skua_worker w, void *arg) {
    skua_spawn(&w, do_nothing, arg);
    return 0;
}

static void
run_a_graph(skua_worker w, bool ends_early) {
    static skua_graph graph;
    static skua_graph_node node;
    (void)!skua_graph_init(&graph, NULL, NULL);
    (void)!skua_graph_add(&graph, &node, leave_a_fork_in_a_node, NULL, NULL, NULL);
    (void)!skua_graph_seal(&graph, NULL);
    (void)!skua_graph_start(&graph, skua_worker_exec(w), NULL);
    if (ends_early) {
        skua_graph_fini(&graph);
    }
    (void)!skua_graph_wait(&graph, 0, NULL);
}

static void
leave_a_fork_in_a_graph(skua_worker w, void *frame) {
    (void)frame;
    run_a_graph(w, false);
}

static void
end_a_graph_that_runs(skua_worker w, void *frame) {
    (void)frame;
    run_a_graph(w, true);
}

static void
count_down_too_much(skua_worker w, void *frame) {
    (void)frame;
    skua_latch latch;
    skua_latch_init(&latch, skua_worker_exec(w), 2);
    (void)skua_latch_count_down(&latch, 3);
}

static void
end_the_latch(skua_worker w, skua_job *job) {
    (void)w;
    skua_latch_fini((skua_latch *)(void *)(job + 1));
}

/* Only what stands in for us gets to the job, and so when we wait. */
static void
end_a_latch_that_is_waited_for(skua_worker w, void *frame) {
    (void)frame;
    static struct {
        skua_job job;
        skua_latch latch;
    } both;
    skua_latch_init(&both.latch, skua_worker_exec(w), 1);
    skua_job_init(&both.job, end_the_latch);
    (void)!skua_exec_submit(skua_worker_exec(w), &both.job);
    (void)!skua_latch_wait(&both.latch, 0, NULL);
}

static void
call_nothing(skua_worker w, skua_timer *timer) {
    (void)w, (void)timer;
}

static void
leave_a_timer(skua_worker w, void *frame) {
    (void)frame;
    static skua_timer timer;
    skua_timer_init(&timer, call_nothing);
    (void)!skua_exec_after(skua_worker_exec(w), &timer, 600000, NULL);
}

static void *
submit_elsewhere(void *arg) {
    static skua_job job;
    skua_job_init(&job, count_job);
    skua_worker_submit(*(skua_worker *)arg, &job);
    return NULL;
}

static void *
submit_a_batch_elsewhere(void *arg) {
    static skua_job job;
    skua_job *const jobs[] = {&job};
    skua_job_init(&job, count_job);
    skua_worker_submit_batch(*(skua_worker *)arg, jobs, 1);
    return NULL;
}

/* frame: a thread's function. */
static void
hand_out_the_worker_to(skua_worker w, void *frame) {
    pthread_t thread;
    void *(*const *fn)(void *) = frame;
    if (pthread_create(&thread, NULL, *fn, &w) == 0) {
        pthread_join(thread, NULL);
    }
}

/* A NULL, or what was never prepared, for each function that returns no status. */
static const char *const without_status[] = {
    "skua_exec_options_init",
    "skua_exec_workers",
    "skua_exec_worker_numa",
    "skua_exec_runner",
    "skua_worker_exec",
    "skua_worker_index",
    "skua_worker_cancelled",
    "skua_worker_block_begin",
    "skua_job_set_deadline",
    "skua_worker_submit",
    "skua_worker_submit_batch",
    "skua_group_init",
    "skua_group_cancel",
    "skua_group_cancelled",
    "skua_group_set_deadline",
    "skua_group_set_near",
    "skua_future_done",
    "skua_future_ref",
    "skua_exec_trace_stop",
    "skua_latch_init",
    "skua_latch_count_down",
    "skua_latch_is_open",
    "skua_timer_init",
    "skua_timer_cancel",
    "skua_timer_missed",
    "skua_graph_cancel",
    "skua_topology_options_init",
    "skua_topology_workers",
    "skua_topology_pu_at",
    "skua_topology_numa_at",
    "skua_topology_distance",
    "skua_spawn",
    "skua_take_back",
    "skua_worker_submit",
    "skua_worker_submit",
    "skua_worker_submit_batch",
    "skua_worker_submit_batch",
    "skua_worker_submit_batch",
    "skua_worker_block_end",
    "skua_topology_pus",
    "skua_topology_cores",
    "skua_topology_packages",
    "skua_topology_numas",
    "skua_topology_quota_cpus",
};

static void
call_exec(skua_worker w, ptrdiff_t which) {
    skua_worker none = {NULL};
    skua_exec *exec = skua_worker_exec(w);
    switch (which) {
    case 0:
        skua_exec_options_init(NULL, sizeof(skua_exec_options));
        break;
    case 1:
        (void)skua_exec_workers(NULL);
        break;
    case 2:
        (void)skua_exec_worker_numa(NULL, 0);
        break;
    case 3:
        skua_exec_runner(exec, NULL);
        break;
    case 4:
        (void)skua_worker_exec(none);
        break;
    case 5:
        (void)skua_worker_index(none);
        break;
    case 6:
        (void)skua_worker_cancelled(none);
        break;
    case 7:
        skua_worker_block_begin(none);
        break;
    case 8:
        skua_job_set_deadline(NULL, 1);
        break;
    case 9:
        skua_worker_submit(w, NULL);
        break;
    case 10:
        skua_worker_submit_batch(w, NULL, 1);
        break;
    default:
        break;
    }
}

static void
call_groups(skua_worker w, ptrdiff_t which) {
    (void)w;
    skua_group group = {0};
    skua_latch latch = {0};
    switch (which) {
    case 11:
        skua_group_init(&group, NULL);
        break;
    case 12:
        (void)skua_group_cancel(&group, SKUA_E_CANCELLED, NULL);
        break;
    case 13:
        (void)skua_group_cancelled(NULL);
        break;
    case 14:
        skua_group_set_deadline(&group, 1);
        break;
    case 15:
        skua_group_set_near(NULL, skua_near_node(0));
        break;
    case 16:
        (void)skua_future_done(NULL);
        break;
    case 17:
        (void)skua_future_ref(NULL);
        break;
    case 18:
        skua_exec_trace_stop(NULL);
        break;
    case 19:
        skua_latch_init(&latch, NULL, 1);
        break;
    case 20:
        (void)skua_latch_count_down(&latch, 0);
        break;
    case 21:
        (void)skua_latch_is_open(NULL);
        break;
    case 22:
        skua_timer_init(NULL, fini_in_call);
        break;
    default:
        break;
    }
}

/* NULL, but the compiler does not know. */
static struct skua_slot *volatile nothing;

static void
call_others(skua_worker w, ptrdiff_t which) {
    (void)w;
    skua_worker none = {nothing};
    switch (which) {
    case 23:
        (void)skua_timer_cancel(NULL);
        break;
    case 24:
        (void)skua_timer_missed(NULL);
        break;
    case 25:
        (void)skua_graph_cancel(NULL, SKUA_E_CANCELLED, NULL);
        break;
    case 26:
        skua_topology_options_init(NULL, sizeof(skua_topology_options));
        break;
    case 27:
        (void)skua_topology_workers(NULL);
        break;
    case 28:
        (void)skua_topology_pu_at(NULL, 0);
        break;
    case 29:
        (void)skua_topology_numa_at(NULL, 0);
        break;
    case 30:
        (void)skua_topology_distance(NULL, 0, 0);
        break;
    case 31:
        skua_spawn(&none, do_nothing, NULL);
        break;
    case 32:
        (void)!skua_take_back(&none);
        break;
    default:
        break;
    }
}

static void
call_submits(skua_worker w, ptrdiff_t which) {
    skua_worker none = {nothing};
    skua_job good, empty = {NULL};
    skua_job_init(&good, count_job);
    skua_job *const one[] = {&good}, *const none_given[] = {NULL}, *const empty_given[] = {&empty};
    switch (which) {
    case 33:
        skua_worker_submit(none, &good);
        break;
    case 34:
        skua_worker_submit(w, &empty);
        break;
    case 35:
        skua_worker_submit_batch(none, one, 1);
        break;
    case 36:
        skua_worker_submit_batch(w, none_given, 1);
        break;
    case 37:
        skua_worker_submit_batch(w, empty_given, 1);
        break;
    case 38:
        skua_worker_block_end(none);
        break;
    default:
        break;
    }
}

static void
call_topology(ptrdiff_t which) {
    switch (which) {
    case 39:
        (void)skua_topology_pus(NULL);
        break;
    case 40:
        (void)skua_topology_cores(NULL);
        break;
    case 41:
        (void)skua_topology_packages(NULL);
        break;
    case 42:
        (void)skua_topology_numas(NULL);
        break;
    case 43:
        (void)skua_topology_quota_cpus(NULL);
        break;
    default:
        break;
    }
}

static void
call_without_status(skua_worker w, void *frame) {
    ptrdiff_t which = (const char *const *)frame - without_status;
    call_exec(w, which);
    call_groups(w, which);
    call_others(w, which);
    call_submits(w, which);
    call_topology(which);
}

/* Runs fn on an executor in a child process, which must abort and say so. */
static void
expect_abort_with(skua_fn *fn, void *frame, const char *message) {
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
            (void)!skua_exec_run(exec, fn, frame, NULL);
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
expect_abort(skua_fn *fn, const char *message) {
    expect_abort_with(fn, NULL, message);
}

static void
test_broken_calls_without_a_status_name_themselves(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof without_status / sizeof *without_status; i++) {
        char call[64];
        snprintf(call, sizeof call, "%s: ", without_status[i]);
        expect_abort_with(call_without_status, (void *)(uintptr_t)&without_status[i], call);
    }
}

static void
test_broken_rules_abort(void **state) {
    (void)state;
    expect_abort(leave_a_fork, "a task returned before the sync of a forked call");
    expect_abort(leave_a_fork, "each skua_spawn() needs its skua_sync()");
    expect_abort(leave_a_private_fork, "a task returned before the sync of a forked call");
    expect_abort(hand_out_the_worker_to_spawn, "skua_spawn: called outside w's worker");
    expect_abort(spawn_stale, "skua_spawn: w is stale");
    expect_abort(end_no_block, "skua_worker_block_end: there was no block_begin");
    expect_abort(leave_a_block, "a task returned before skua_worker_block_end()");
    expect_abort(submit_twice, "submit: the job is submitted already");
    expect_abort(leave_a_promise, "a future of skua_future_promise() was never completed");
    expect_abort(fini_a_timer_in_its_call, "skua_timer_fini: called by the timer's own call");
    expect_abort(sync_too_often, "skua_sync: more syncs than spawns");
    expect_abort(sync_a_slot_frame,
                 "skua_sync: a frame of SKUA_FRAME() goes with skua_take_back()");
    expect_abort(sync_another, "skua_sync: this is not the newest fork");
    expect_abort(hand_out_the_worker, "skua_sync: called outside w's worker");
    expect_abort(close_ourselves, "skua_exec_close: called by a worker");
    expect_abort(spawn_nothing, "skua_spawn: fn is NULL");
}

static void
test_broken_lives_abort(void **state) {
    (void)state;
    expect_abort(end_a_group_under_way, "skua_group_fini: a job of the group is under way");
    expect_abort(end_a_graph_that_runs, "skua_graph_fini: the graph runs");
    expect_abort(leave_a_fork_in_a_graph, "a graph's node returned before the sync");
    expect_abort(count_down_too_much, "skua_latch_count_down: more than was left");
    expect_abort(end_a_latch_that_is_waited_for, "skua_latch_fini: somebody waits");
    expect_abort(leave_a_timer, "skua_exec_close: a timer was not ended by skua_timer_fini()");
}

static void
test_broken_submits_from_elsewhere_abort(void **state) {
    (void)state;
    void *(*fns[])(void *) = {submit_elsewhere, submit_a_batch_elsewhere};
    const char *const calls[] = {"skua_worker_submit: Assertion",
                                 "skua_worker_submit_batch: Assertion"};
    for (int i = 0; i < 2; i++) {
        expect_abort_with(hand_out_the_worker_to, &fns[i], calls[i]);
        expect_abort_with(hand_out_the_worker_to, &fns[i], "w is another worker's");
    }
}
#endif

int
main(void) {
#if !defined(NDEBUG) && !defined(__SANITIZE_THREAD__)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_calls_without_a_status_name_themselves),
        cmocka_unit_test(test_broken_rules_abort),
        cmocka_unit_test(test_broken_lives_abort),
        cmocka_unit_test(test_broken_submits_from_elsewhere_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
#else
    return 77; /* there are no assertions, or a forked child may not go on */
#endif
}
