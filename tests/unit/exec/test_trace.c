// SPDX-License-Identifier: MPL-2.0
// The ring trace as Perfetto reads it: valid JSON, slices that nest, thieves with their victims; and an executor that
// is rebuilt in the child of a fork().
#include "test.h"

#include "engine.h"
#include "failing_allocator.h"
#include <skua/exec.h>
#include <skua/graph.h>

#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRACKS_SEEN = 64 };

typedef struct fib_frame {
    int n;
    long value;
} fib_frame;

static void
fib(skua_worker w, void *arg) {
    fib_frame *self = arg;
    if (self->n < 2) {
        self->value = self->n;
        return;
    }
    fib_frame a = {.n = self->n - 1}, b = {.n = self->n - 2};
    skua_spawn(&w, fib, &a);
    fib(w, &b);
    skua_sync(&w, fib, &a);
    self->value = a.value + b.value;
}

/* A call that is only done when a thief has come for its sibling. */
typedef struct meeting {
    atomic_bool stolen;
    atomic_uint first; /* worker that came */
    uint32_t owner, thief;
} meeting;

static void
be_stolen(skua_worker w, void *arg) {
    meeting *self = arg;
    self->thief = skua_worker_index(w);
    atomic_store(&self->stolen, true);
}

static void
await_thief(skua_worker w, void *arg) {
    meeting *self = arg;
    self->owner = skua_worker_index(w);
    skua_spawn(&w, be_stolen, self);
    while (!atomic_load(&self->stolen)) {
        /* More forks, so that the owner sees that somebody asks. */
        fib_frame frame = {.n = 3};
        fib(w, &frame);
    }
    skua_sync(&w, be_stolen, self);
}

typedef struct totals {
    size_t nodes[8]; /* by index */
    size_t jobs, steals, parks, wakes, shares, spawns, names, starts, finishes;
    int open[TRACKS_SEEN], deepest;
    json_int_t least_depth; /* of spawns */
    uint32_t victim, thief;
} totals;

static void
count_event(totals *to, const json_t *event) {
    const char *phase = json_string_value(json_object_get(event, "ph"));
    const char *name = json_string_value(json_object_get(event, "name"));
    json_int_t track = json_integer_value(json_object_get(event, "tid"));
    assert_non_null(phase);
    assert_non_null(name);
    assert_true(track > 0 && track < TRACKS_SEEN);
    assert_true(json_number_value(json_object_get(event, "ts")) >= 0);
    to->open[track] += *phase == 'B' ? 1 : *phase == 'E' ? -1 : 0;
    assert_true(to->open[track] >= 0);
    to->deepest = to->open[track] > to->deepest ? to->open[track] : to->deepest;
    if (strcmp(name, "spawn") == 0) {
        json_int_t depth =
            json_integer_value(json_object_get(json_object_get(event, "args"), "depth"));
        to->least_depth = depth < to->least_depth ? depth : to->least_depth;
    }
    to->jobs += strcmp(name, "job") == 0;
    to->parks += strcmp(name, "parked") == 0;
    to->wakes += strcmp(name, "wake") == 0;
    to->shares += strcmp(name, "share") == 0;
    to->spawns += strcmp(name, "spawn") == 0;
    to->names += *phase == 'M';
    to->starts += *phase == 's';
    to->finishes += *phase == 'f';
    if (strcmp(name, "node") == 0) {
        json_int_t index =
            json_integer_value(json_object_get(json_object_get(event, "args"), "index"));
        assert_in_range(index, 0, 7);
        assert_string_equal(phase, "B");
        to->nodes[index]++;
    }
    if (strcmp(name, "stolen call") == 0) {
        to->steals++;
        to->thief = (uint32_t)track - 1;
        to->victim =
            (uint32_t)json_integer_value(json_object_get(json_object_get(event, "args"), "victim"));
    }
}

/* Writes the trace, and reads it with somebody else's parser. */
static totals
read_trace(skua_exec *exec, json_int_t *ret_lost) {
    char path[] = "/tmp/skua-trace-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    skua_error err;
    assert_int_equal(skua_exec_trace_write(exec, path, &err), SKUA_OK);
    json_error_t why;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    assert_non_null(root);
    totals all = {.least_depth = INT64_MAX};
    size_t i;
    json_t *event;
    json_array_foreach(json_object_get(root, "traceEvents"), i, event) {
        count_event(&all, event);
    }
    *ret_lost = json_integer_value(
        json_object_get(json_object_get(root, "otherData"), "overwritten_events"));
    for (size_t track = 0; track < TRACKS_SEEN; track++) {
        assert_int_equal(all.open[track], 0);
    }
    assert_int_equal(all.starts, all.steals);
    assert_int_equal(all.finishes, all.steals);
    json_decref(root);
    unlink(path);
    return all;
}

/* The first of two nodes that are ready at once is done when a thief has run the second. */
static int32_t
meet_node(skua_worker w, void *arg) {
    meeting *self = arg;
    uint32_t none = UINT32_MAX, here = skua_worker_index(w);
    if (!atomic_compare_exchange_strong(&self->first, &none, here)) {
        self->thief = here;
        atomic_store(&self->stolen, true);
    }
    while (!atomic_load(&self->stolen)) {
        sched_yield();
    }
    return 0;
}

static int32_t
one_node(skua_worker w, void *arg) {
    (void)w, (void)arg;
    return 0;
}

static void
test_trace_tells_nodes_and_who_stole_them(void **state) {
    (void)state;
    skua_exec *exec = NULL;
    skua_graph graph;
    static skua_graph_node nodes[5];
    meeting met = {.first = UINT32_MAX};
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 2), NULL), SKUA_OK);
    assert_int_equal(skua_graph_init(&graph, NULL, NULL), SKUA_OK);
    /* 0, then 1 and 2 at once, then a link (3), then 4. */
    for (int i = 0; i < 5; i++) {
        skua_graph_fn *fn = i == 1 || i == 2 ? meet_node : one_node;
        assert_int_equal(skua_graph_add(&graph, &nodes[i], fn, &met, NULL, NULL), SKUA_OK);
    }
    const int edges[][2] = {{0, 1}, {0, 2}, {1, 3}, {2, 3}, {3, 4}};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        assert_int_equal(skua_graph_edge(&graph, &nodes[edges[i][0]], &nodes[edges[i][1]], NULL),
                         SKUA_OK);
    }
    assert_int_equal(skua_graph_seal(&graph, NULL), SKUA_OK);
    assert_int_equal(skua_exec_trace_start(exec, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
    skua_exec_trace_stop(exec);
    skua_graph_fini(&graph);
    json_int_t lost = -1;
    totals all = read_trace(exec, &lost);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(all.nodes[i], 1);
    }
    assert_true(all.steals >= 1);
    assert_int_not_equal(all.thief, all.victim);
    skua_exec_close(exec);
}

/* Until all workers sleep. */
static void
await_rest(skua_exec *exec) {
    uint32_t asleep = 0;
    while (asleep < skua_exec_workers(exec)) {
        skua__mutex_lock(&exec->sleep_lock);
        asleep = skua__asleep_locked(exec);
        skua__mutex_unlock(&exec->sleep_lock);
        sched_yield();
    }
}

static void
start_in_the_midst(skua_worker w, void *frame) {
    for (int i = 0; i < 5; i++) { /* after these nobody asks for anything any more */
        skua_spawn(&w, be_stolen, frame);
        skua_sync(&w, be_stolen, frame);
    }
    const skua_trace_options options = {.size = sizeof options, .spawns = true};
    assert_int_equal(skua_exec_trace_start(skua_worker_exec(w), &options, NULL), SKUA_OK);
    skua_spawn(&w, be_stolen, frame);
    skua_sync(&w, be_stolen, frame);
}

/* Spawns of a task that runs already are told from the next one on. */
static void
test_trace_of_spawns_begins_at_once(void **state) {
    (void)state;
    skua_exec *exec = NULL;
    meeting met = {0};
    json_int_t lost = 0;
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1), NULL), SKUA_OK);
    assert_int_equal(skua_exec_run(exec, start_in_the_midst, &met, NULL), SKUA_OK);
    assert_int_equal(read_trace(exec, &lost).spawns, 1);
    skua_exec_close(exec);
}

static void
test_trace_tells_jobs_and_thieves(void **state) {
    (void)state;
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 2), NULL), SKUA_OK);
    fib_frame frame = {.n = 10};
    json_int_t lost = -1;
    /* What ran before the start is not told. */
    assert_int_equal(skua_exec_run(exec, fib, &frame, NULL), SKUA_OK);
    totals none = read_trace(exec, &lost);
    assert_int_equal(none.jobs + none.names, 0);
    assert_int_equal(skua_exec_trace_start(exec, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_exec_trace_start(exec, NULL, NULL), SKUA_E_EXISTS);
    meeting met = {0};
    await_rest(exec);
    assert_int_equal(skua_exec_run(exec, await_thief, &met, NULL), SKUA_OK);
    skua_exec_trace_stop(exec);
    totals all = read_trace(exec, &lost);
    assert_int_equal(lost, 0);
    assert_int_equal(all.jobs, 1);
    assert_true(all.steals >= 1 && all.shares >= 1);
    assert_true(all.wakes >= 1); /* who came for the call slept */
    assert_true(all.names >= 2);
    assert_int_equal(all.spawns, 0);
    assert_int_not_equal(met.owner, met.thief);
    assert_int_equal(all.victim, met.owner);
    assert_int_equal(all.thief, met.thief);
    /* A new start forgets what was; spawns are told on request. */
    assert_int_equal(skua_exec_trace_start(exec, SKUA_TRACE_OPTIONS(.spawns = true), NULL),
                     SKUA_OK);
    assert_int_equal(skua_exec_run(exec, fib, &frame, NULL), SKUA_OK);
    skua_exec_trace_stop(exec);
    all = read_trace(exec, &lost);
    assert_int_equal(all.jobs, 1);
    assert_int_equal(all.spawns, 88); /* fib(10) forks as often */
    assert_int_equal(all.least_depth, 1);
    /* And then no more. */
    assert_int_equal(skua_exec_run(exec, fib, &frame, NULL), SKUA_OK);
    assert_int_equal(read_trace(exec, &lost).spawns, 88);
    skua_exec_close(exec);
}

static void
test_trace_keeps_the_newest_events(void **state) {
    (void)state;
    enum { EVENTS = 32, RUNS = 200 };
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1), NULL), SKUA_OK);
    assert_int_equal(skua_exec_trace_start(exec, SKUA_TRACE_OPTIONS(.events = EVENTS), NULL),
                     SKUA_OK);
    fib_frame frame = {.n = 1};
    json_int_t lost = 0;
    for (int i = 0; i < RUNS; i++) {
        if (i > RUNS - 3) {
            await_rest(exec);
        }
        assert_int_equal(skua_exec_run(exec, fib, &frame, NULL), SKUA_OK);
        if (i % 20 == 0) {
            read_trace(exec, &lost); /* while the worker goes on writing */
        }
    }
    totals all = read_trace(exec, &lost);
    assert_true(lost >= 2 * RUNS - EVENTS - 1); /* the end of the last job may not be told yet */
    assert_true(all.jobs > 0 && all.jobs <= EVENTS);
    assert_true(all.parks >= 1);
    assert_int_equal(all.deepest, 1); /* each slice ends before the next begins */
    skua_exec_close(exec);
}

static void
test_trace_failures_are_told(void **state) {
    (void)state;
    skua_status status = SKUA_E_NO_MEMORY;
    for (long n = 1; status != SKUA_OK; n++) {
        failing_allocator hook;
        failing_allocator_init(&hook, 0);
        skua_exec *exec = NULL;
        assert_int_equal(skua_exec_open(&exec,
                                        SKUA_EXEC_OPTIONS(.allocator = &hook.hook, .workers = 1,
                                                          .workers_max = 2, .spares = 1),
                                        NULL),
                         SKUA_OK);
        atomic_store(&hook.fail_at, atomic_load(&hook.calls) + n);
        status = skua_exec_trace_start(exec, SKUA_TRACE_OPTIONS(.events = 4), NULL);
        assert_true(status == (n > 3 ? SKUA_OK : SKUA_E_NO_MEMORY));
        skua_error err;
        assert_int_equal(skua_exec_trace_write(exec, "/nonexistent/trace.json", &err), SKUA_E_FILE);
        assert_non_null(strstr(err.message, "/nonexistent/trace.json"));
        assert_int_equal(skua_exec_trace_write(exec, NULL, &err), SKUA_E_BAD_ARGUMENT);
        assert_int_equal(skua_exec_trace_write(exec, "/dev/full", &err), SKUA_E_FILE);
        assert_int_equal(skua_exec_trace_start(exec, SKUA_TRACE_OPTIONS(.events = -1), &err),
                         SKUA_E_BAD_ARGUMENT);
        atomic_store(&hook.fail_at, 0);
        skua_exec_close(exec);
        assert_int_equal(atomic_load(&hook.alive), 0);
    }
}

/* ---- After a fork() ---- */

static skua_status
answer(skua_worker w, void *arg, void **ret_value) {
    (void)w;
    *ret_value = arg;
    return SKUA_OK;
}

typedef struct held_job {
    skua_job job;
    pthread_mutex_t *gate;
    atomic_int *entered;
} held_job;

static void
hold(skua_worker w, skua_job *job) {
    (void)w;
    held_job *self = (held_job *)(void *)job;
    atomic_fetch_add(self->entered, 1);
    pthread_mutex_lock(self->gate);
    pthread_mutex_unlock(self->gate);
}

/* 0, or the number of what is wrong. */
static int
child(skua_exec *exec, skua_group *group, skua_future *future) {
    skua_job job;
    skua_error err;
    fib_frame frame = {.n = 12};
    /* Everything of before says so, and nothing waits for a lock. */
    if (skua_group_cancel(group, SKUA_E_CANCELLED, "from the child") ||
        skua_group_wait(group, 0, &err) != SKUA_E_FORKED) {
        return 1;
    }
    skua_future_unref(skua_future_ref(future));
    skua_future_unref(future);
    if (skua_exec_run(exec, fib, &frame, &err) != SKUA_E_FORKED ||
        skua_exec_trace_write(exec, "/dev/null", &err) != SKUA_E_FORKED) {
        return 2;
    }
#if defined(__SANITIZE_THREAD__)
    return 0; /* ThreadSanitizer lets no child of a fork() start threads */
#endif
    if (skua_exec_rebuild_after_fork(exec, &err) != SKUA_OK ||
        skua_exec_rebuild_after_fork(exec, &err) != SKUA_E_BAD_ARGUMENT) {
        return 3;
    }
    if (skua_exec_run(exec, fib, &frame, &err) != SKUA_OK || frame.value != 144) {
        return 4;
    }
    skua_job_init(&job, hold);
    if (skua_group_submit(group, &job) != SKUA_E_FORKED) {
        return 5;
    }
    skua_group_fini(group);
    skua_future *mine = NULL;
    void *value = NULL;
    if (skua_future_start(&mine, exec, answer, &value, NULL, &err) != SKUA_OK ||
        skua_future_get(mine, 0, &value, &err) != SKUA_OK || value != &value) {
        return 6;
    }
    skua_future_unref(mine);
    skua_exec_stats stats = {.size = sizeof stats};
    if (skua_exec_workers(exec) != 2 || skua_exec_stats_get(exec, &stats) != SKUA_OK ||
        stats.queued_tasks != 0 || stats.spares != 0) {
        return 7;
    }
    skua_exec_close(exec);
    return 0;
}

static void
test_fork_child_rebuilds_on_request(void **state) {
    (void)state;
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 2), NULL), SKUA_OK);
    assert_int_equal(skua_exec_rebuild_after_fork(exec, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_rebuild_after_fork(NULL, NULL), SKUA_E_BAD_ARGUMENT);
    /* Jobs of a group under way, and more of them that wait, while the process forks. */
    enum { JOBS = 5 };
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    atomic_int entered = 0;
    held_job jobs[JOBS];
    skua_group group;
    skua_group_init(&group, exec);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (held_job){.gate = &gate, .entered = &entered};
        skua_job_init(&jobs[i].job, hold);
        assert_int_equal(skua_group_submit(&group, &jobs[i].job), SKUA_OK);
    }
    skua_future *future = NULL;
    assert_int_equal(skua_future_promise(&future, exec, NULL), SKUA_OK);
    while (atomic_load(&entered) < 2) {
        sched_yield(); /* a thread that just starts may be in a sanitizer's allocator, with its lock */
    }
    pid_t pid = fork();
    if (pid == 0) {
        _exit(child(exec, &group, future));
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    /* The parent has noticed nothing. */
    pthread_mutex_unlock(&gate);
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
    skua_group_fini(&group);
    assert_int_equal(skua_future_complete(future, SKUA_OK, NULL), SKUA_OK);
    skua_future_unref(future);
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace_tells_jobs_and_thieves),
        cmocka_unit_test(test_trace_tells_nodes_and_who_stole_them),
        cmocka_unit_test(test_trace_of_spawns_begins_at_once),
        cmocka_unit_test(test_trace_keeps_the_newest_events),
        cmocka_unit_test(test_trace_failures_are_told),
        cmocka_unit_test(test_fork_child_rebuilds_on_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
