// SPDX-License-Identifier: MPL-2.0
// The number of workers while the executor lives: resize, pause, and following the quota and the affinity mask.
#include "opened.h"
#include "test.h"

#include "engine.h"
#include <skua-int/clock.h>
#include <skua/latch.h>
#include <skua/parallel.h>

#include <dirent.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_S = 20 };

/* Jobs that stay inside until the door is opened, and count who is in. */
typedef struct door {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int inside;
    bool open;
} door;

typedef struct guest {
    skua_job job;
    door *door;
    uint32_t worker; /* who let him in; guarded by the door's lock */
} guest;

static void
run_guest(skua_worker w, skua_job *job) {
    guest *self = (guest *)(void *)job;
    door *at = self->door;
    pthread_mutex_lock(&at->lock);
    self->worker = skua_worker_index(w);
    at->inside++;
    pthread_cond_broadcast(&at->changed);
    while (!at->open) {
        pthread_cond_wait(&at->changed, &at->lock);
    }
    pthread_mutex_unlock(&at->lock);
}

static void
door_wait(door *at, int inside) {
    pthread_mutex_lock(&at->lock);
    while (at->inside < inside) {
        pthread_cond_wait(&at->changed, &at->lock);
    }
    pthread_mutex_unlock(&at->lock);
}

static void
door_open(door *at) {
    pthread_mutex_lock(&at->lock);
    at->open = true;
    pthread_cond_broadcast(&at->changed);
    pthread_mutex_unlock(&at->lock);
}

static void
send_in(skua_exec *exec, door *at, guest *guests, int count) {
    *at = (door){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < count; i++) {
        skua_job_init(&guests[i].job, run_guest);
        guests[i].door = at;
        assert_int_equal(skua_exec_submit(exec, &guests[i].job), SKUA_OK);
    }
}

/* Waits until so many workers neither rest nor block. */
static void
await_active(skua_exec *exec, uint32_t active) {
    int64_t until_ns = skua__clock_ns() + DEADLINE_S * SKUA_NS_PER_S;
    while (skua__a32_load(&exec->active, memory_order_relaxed) != active) { /* relaxed: a poll */
        assert_true(skua__clock_ns() < until_ns);
        sched_yield();
    }
}

static void
test_resize_up_runs_more_at_once_and_down_fewer(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .workers_max = 5));
    /* Each for one use: a guest touches his door once more after it was opened. */
    door doors[4];
    guest guests[4][5];
    assert_int_equal(skua_exec_workers(exec), 1);
    assert_int_equal(skua_exec_resize(exec, 5, NULL), SKUA_OK);
    assert_int_equal(skua_exec_workers(exec), 5);
    send_in(exec, &doors[0], guests[0], 5);
    door_wait(&doors[0], 5); /* it would wait for ever with fewer */
    /* While they are all inside: three of them are to rest when they come out. */
    assert_int_equal(skua_exec_resize(exec, 2, NULL), SKUA_OK);
    assert_int_equal(skua_exec_workers(exec), 2);
    door_open(&doors[0]);
    await_active(exec, 2);
    send_in(exec, &doors[1], guests[1], 2);
    door_wait(&doors[1], 2);
    door_open(&doors[1]);
    /* Those that rest come back; no thread is started anew. */
    uint32_t places = skua__a32_load(&exec->places, memory_order_relaxed); /* relaxed: a figure */
    assert_int_equal(skua_exec_resize(exec, 5, NULL), SKUA_OK);
    send_in(exec, &doors[2], guests[2], 5);
    door_wait(&doors[2], 5);
    door_open(&doors[2]);
    assert_int_equal(skua__a32_load(&exec->places, memory_order_relaxed),
                     places); /* relaxed: same */
    /* Workers are numbered from 0 without a gap: of three that rest the lowest comes back. */
    assert_int_equal(skua_exec_resize(exec, 2, NULL), SKUA_OK);
    await_active(exec, 2);
    assert_int_equal(skua_exec_resize(exec, 3, NULL), SKUA_OK);
    send_in(exec, &doors[3], guests[3], 3);
    door_wait(&doors[3], 3);
    for (int i = 0; i < 3; i++) {
        assert_in_range(guests[3][i].worker, 0, 2);
    }
    door_open(&doors[3]);
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    assert_int_equal(stats.spares, 0);
    skua_exec_close(exec);
}

static void
test_resize_refuses_what_does_not_fit(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2, .workers_max = 3));
    skua_error err;
    assert_int_equal(skua_exec_resize(exec, 4, &err), SKUA_E_LIMIT);
    assert_non_null(strstr(err.message, "workers_max"));
    assert_int_equal(skua_exec_workers(exec), 2);
    pid_t child = fork();
    if (child == 0) {
        bool good = skua_exec_resize(exec, 1, NULL) == SKUA_E_FORKED &&
                    skua_exec_pause(exec) == SKUA_E_FORKED &&
                    skua_exec_resume(exec) == SKUA_E_FORKED;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    skua_exec_close(exec);
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 4, .workers_max = 3), &err),
                     SKUA_E_BAD_ARGUMENT);
}

typedef struct counting {
    skua_job job;
    atomic_int *count;
} counting;

static void
run_counting(skua_worker w, skua_job *job) {
    (void)w;
    atomic_fetch_add(((counting *)(void *)job)->count, 1);
}

static void
submit_counting(skua_exec *exec, counting *jobs, int count, atomic_int *sum) {
    for (int i = 0; i < count; i++) {
        skua_job_init(&jobs[i].job, run_counting);
        jobs[i].count = sum;
        assert_int_equal(skua_exec_submit(exec, &jobs[i].job), SKUA_OK);
    }
}

static void
nothing(skua_worker w, void *frame) {
    (void)w, (void)frame;
}

static void
test_pause_holds_jobs_back_until_resume(void **state) {
    (void)state;
    enum { JOBS = 50 };
    static counting jobs[JOBS];
    atomic_int sum = 0;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2));
    door at;
    guest first[1];
    send_in(exec, &at, first, 1);
    door_wait(&at, 1);
    assert_int_equal(skua_exec_pause(exec), SKUA_OK);
    assert_int_equal(skua_exec_workers(exec), 0);
    await_active(exec, 1); /* the other one rests, this one is in the middle of a job */
    submit_counting(exec, jobs, JOBS, &sum);
    door_open(&at);
    await_active(exec, 0);
    assert_int_equal(atomic_load(&sum), 0);
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    assert_int_equal(stats.queued_tasks, JOBS);
    assert_int_equal(skua_exec_resume(exec), SKUA_OK);
    assert_int_equal(skua_exec_run(exec, nothing, NULL, NULL),
                     SKUA_OK); /* after them in the queue */
    skua_exec_close(exec);
    assert_int_equal(atomic_load(&sum), JOBS);
}

static void
test_pause_ends_with_the_executor(void **state) {
    (void)state;
    static counting jobs[20];
    for (int round = 0; round < 20; round++) {
        atomic_int sum = 0;
        skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2));
        assert_int_equal(skua_exec_pause(exec), SKUA_OK);
        submit_counting(exec, jobs, 20, &sum);
        skua_exec_close(exec);
        assert_int_equal(atomic_load(&sum), 20);
    }
}

/* ---- Under load ---- */

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

typedef struct resizer {
    skua_exec *exec;
    atomic_bool stop;
    uint64_t seed;
    atomic_long resizes;
} resizer;

static void *
resize_all_the_time(void *arg) {
    resizer *self = arg;
    skua__rand rand = {.state = self->seed};
    while (!atomic_load(&self->stop)) {
        if (skua__rand_below(&rand, 8) == 0) {
            assert_int_equal(skua_exec_pause(self->exec), SKUA_OK);
            assert_int_equal(skua_exec_resume(self->exec), SKUA_OK);
        }
        assert_int_equal(skua_exec_resize(self->exec, 1 + skua__rand_below(&rand, 4), NULL),
                         SKUA_OK);
        atomic_fetch_add(&self->resizes, 1);
        sched_yield();
    }
    return NULL;
}

/* A job that waits for a future: its worker blocks, and a spare stands in. */
static skua_status
give_seven(skua_worker w, void *arg, void **ret_value) {
    (void)w;
    *ret_value = arg;
    return SKUA_OK;
}

static void
wait_and_fib(skua_worker w, void *arg) {
    skua_future *future = NULL;
    void *value = NULL;
    assert_int_equal(skua_future_start(&future, skua_worker_exec(w), give_seven, arg, NULL, NULL),
                     SKUA_OK);
    fib(w, arg);
    assert_int_equal(skua_future_get(future, 0, &value, NULL), SKUA_OK);
    assert_ptr_equal(value, arg);
    skua_future_unref(future);
}

static void
test_resize_while_forks_run_changes_no_result(void **state) {
    (void)state;
    enum { RESIZES = 100 };
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 3, .workers_max = 4, .spares = 2));
    resizer self = {.exec = exec, .seed = test_seed(11)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, resize_all_the_time, &self), 0);
    while (atomic_load(&self.resizes) < RESIZES) {
        fib_frame frame = {.n = 15};
        assert_int_equal(skua_exec_run(exec, wait_and_fib, &frame, NULL), SKUA_OK);
        assert_int_equal(frame.value, 610);
    }
    atomic_store(&self.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(skua_exec_resize(exec, 2, NULL), SKUA_OK);
    await_active(exec, 2);
    skua_exec_close(exec);
}

/* ---- Following ---- */

static void
put_file(const char *root, const char *path, const char *text) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Lets workers fall asleep and wake until the executor has as many as that. */
static void
await_workers(skua_exec *exec, uint32_t workers) {
    int64_t until_ns = skua__clock_ns() + DEADLINE_S * SKUA_NS_PER_S;
    while (skua_exec_workers(exec) != workers) {
        assert_true(skua__clock_ns() < until_ns);
        assert_int_equal(skua_exec_run(exec, nothing, NULL, NULL), SKUA_OK);
    }
    await_active(exec, workers);
}

static void
test_resize_follows_the_quota(void **state) {
    (void)state;
    char root[] = "/tmp/skua-follow-XXXXXX";
    assert_non_null(mkdtemp(root));
    put_file(root, "/proc/self/cgroup", "0::/box\n");
    put_file(root, "/proc/self/mountinfo", "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    put_file(root, "/cg/box/cpu.max", "max 100000\n");
    skua_exec *exec = open_exec(
        SKUA_EXEC_OPTIONS(.workers_max = 64, .spin_us = SKUA_NONE, .lease = SKUA_LEASE_NEVER));
    uint32_t all = skua_exec_workers(exec);
    skua__mutex_lock(&exec->sleep_lock);
    exec->sizes.quota_root = root;
    skua__a64_store(&exec->sizes.follow_every_ns, 0, memory_order_relaxed); /* relaxed: a setting */
    skua__a64_store(&exec->sizes.follow_again_ns, 0, memory_order_relaxed); /* relaxed: a hint */
    skua__mutex_unlock(&exec->sleep_lock);
    put_file(root, "/cg/box/cpu.max", "50000 100000\n");
    await_workers(exec, 1);
    /* Of a quota of one and a half the half counts too. */
    put_file(root, "/cg/box/cpu.max", "150000 100000\n");
    await_workers(exec, all < 2 ? all : 2);
    put_file(root, "/cg/box/cpu.max", "max 100000\n");
    await_workers(exec, all);
    /* A number of one's own is not touched, until it is given up. */
    put_file(root, "/cg/box/cpu.max", "50000 100000\n");
    await_workers(exec, 1);
    assert_int_equal(skua_exec_resize(exec, 3, NULL), SKUA_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(skua_exec_run(exec, nothing, NULL, NULL), SKUA_OK);
    }
    assert_int_equal(skua_exec_workers(exec), 3);
    put_file(root, "/cg/box/cpu.max", "150000 100000\n"); /* looked at by the call itself */
    assert_int_equal(skua_exec_resize(exec, 0, NULL), SKUA_OK);
    assert_int_equal(skua_exec_workers(exec), all < 2 ? all : 2);
    skua_exec_close(exec);
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

/* A job that comes again and again until the executor has one worker, so that no worker ever sleeps. */
typedef struct busy {
    skua_job job;
    skua_exec *exec;
    atomic_ulong *runs;
    int64_t until_ns;
} busy;

static void
run_busy(skua_worker w, skua_job *job) {
    busy *self = (busy *)(void *)job;
    atomic_fetch_add(self->runs, 1);
    if (skua_exec_workers(self->exec) > 1 && skua__clock_ns() < self->until_ns) {
        skua_worker_submit(w, job);
    }
}

static void
test_resize_follows_the_quota_while_busy(void **state) {
    (void)state;
    char root[] = "/tmp/skua-busy-XXXXXX";
    assert_non_null(mkdtemp(root));
    put_file(root, "/proc/self/cgroup", "0::/box\n");
    put_file(root, "/proc/self/mountinfo", "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    put_file(root, "/cg/box/cpu.max", "50000 100000\n");
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.lease = SKUA_LEASE_NEVER));
    enum { JOBS = 60, RUNS = 20000 };
    atomic_ulong runs = 0;
    busy jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (busy){
            .exec = exec, .runs = &runs, .until_ns = skua__clock_ns() + DEADLINE_S * SKUA_NS_PER_S};
        skua_job_init(&jobs[i].job, run_busy);
        assert_int_equal(skua_exec_submit(exec, &jobs[i].job), SKUA_OK);
    }
    while (skua_exec_workers(exec) > 1 && atomic_load(&runs) < RUNS) {
        sched_yield(); /* until nobody sleeps any more */
    }
    skua__mutex_lock(&exec->sleep_lock);
    exec->sizes.quota_root = root;
    skua__a64_store(&exec->sizes.follow_every_ns, 0, memory_order_relaxed); /* relaxed: a setting */
    skua__a64_store(&exec->sizes.follow_again_ns, 0, memory_order_relaxed); /* relaxed: a hint */
    skua__mutex_unlock(&exec->sleep_lock);
    while (skua_exec_workers(exec) != 1) {
        assert_true(skua__clock_ns() < jobs[JOBS - 1].until_ns);
        sched_yield();
    }
    skua_exec_close(exec);
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

/* As `taskset -a -p` does it: every thread of the process. */
static void
set_mask_of_all(const cpu_set_t *mask) {
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
        if (thread > 0) {
            (void)sched_setaffinity(thread, sizeof *mask, mask);
        }
    }
    closedir(folder);
}

static void
test_resize_follows_the_affinity_mask(void **state) {
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    if (CPU_COUNT(&before) < 2) {
        skip();
    }
    skua_topology *topology = NULL;
    assert_int_equal(skua_topology_new(&topology, NULL, NULL), SKUA_OK);
    bool has_quota = skua_topology_quota_cpus(topology) > 0 || skua_topology_numas(topology) > 1;
    skua_topology_free(topology);
    if (has_quota) {
        skip();
    }
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.spin_us = SKUA_NONE, .lease = SKUA_LEASE_NEVER));
    uint32_t all = skua_exec_workers(exec);
    skua__mutex_lock(&exec->sleep_lock);
    skua__a64_store(&exec->sizes.follow_every_ns, 0, memory_order_relaxed); /* relaxed: a setting */
    skua__a64_store(&exec->sizes.follow_again_ns, 0, memory_order_relaxed); /* relaxed: a hint */
    skua__mutex_unlock(&exec->sleep_lock);
    CPU_ZERO(&one);
    for (size_t i = 0; CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &before)) {
            CPU_SET(i, &one);
        }
    }
    set_mask_of_all(&one);
    await_workers(exec, 1);
    set_mask_of_all(&before);
    await_workers(exec, all);
    skua_exec_close(exec);
}

/* ---- Workers that block ---- */

typedef struct blocker {
    skua_job job;
    skua_exec *exec;
    bool in_a_pause;
    skua_latch latch;
} blocker;

static void
run_blocker(skua_worker w, skua_job *job) {
    (void)w;
    blocker *self = (blocker *)(void *)job;
    while (self->in_a_pause && skua_exec_workers(self->exec) > 0) {
        sched_yield();
    }
    assert_int_equal(skua_latch_wait(&self->latch, 0, NULL), SKUA_OK);
}

static void
blocker_begin(blocker *self, skua_exec *exec, bool in_a_pause) {
    *self = (blocker){.exec = exec, .in_a_pause = in_a_pause};
    skua_latch_init(&self->latch, exec, 1);
    skua_job_init(&self->job, run_blocker);
    assert_int_equal(skua_exec_submit(exec, &self->job), SKUA_OK);
}

static uint32_t
count_blocked(skua_exec *exec) {
    uint32_t blocked = 0;
    skua__mutex_lock(&exec->sleep_lock);
    /* relaxed: a figure */
    for (uint32_t i = 0; i < skua__a32_load(&exec->places, memory_order_relaxed); i++) {
        blocked += exec->workers[i].block_depth > 0;
    }
    skua__mutex_unlock(&exec->sleep_lock);
    return blocked;
}

static void
await_blocked(skua_exec *exec) {
    while (count_blocked(exec) == 0) {
        sched_yield();
    }
}

static void
run_opener(skua_worker w, skua_job *job) {
    (void)w;
    skua_latch_count_down(&((blocker *)(void *)job)[-1].latch, 1);
}

static void
test_resume_replaces_who_blocked_in_the_pause(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, 1);
    blocker both[2]; /* the second's job opens the first's latch */
    blocker_begin(&both[0], exec, true);
    skua_exec_stats stats = {.size = sizeof stats};
    do {
        sched_yield();
        assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    } while (stats.queued_tasks > 0); /* it has begun */
    assert_int_equal(skua_exec_pause(exec), SKUA_OK);
    await_blocked(exec);
    assert_int_equal(skua_exec_resume(exec), SKUA_OK);
    skua_job_init(&both[1].job, run_opener);
    assert_int_equal(skua_exec_submit(exec, &both[1].job), SKUA_OK);
    skua_exec_close(exec); /* ends only because a spare runs the opener */
    skua_latch_fini(&both[0].latch);
}

static void
test_resize_counts_no_worker_that_blocks(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .spares = 1, .workers_max = 2));
    blocker blocks;
    blocker_begin(&blocks, exec, false);
    await_blocked(exec);
    assert_int_equal(skua_exec_resize(exec, 2, NULL), SKUA_OK);
    door at;
    guest guests[2];
    send_in(exec, &at, guests, 2);
    door_wait(&at, 2); /* both at once, besides the one that blocks */
    door_open(&at);
    skua_latch_count_down(&blocks.latch, 1);
    skua_exec_close(exec);
    skua_latch_fini(&blocks.latch);
}

/* ---- Workers that sleep in a sync ---- */

typedef struct sleeper {
    skua_job job, opens;
    skua_latch latch;
    atomic_bool taken;
} sleeper;

static void
wait_in_fork(skua_worker w, void *frame) {
    (void)w;
    sleeper *self = frame;
    atomic_store(&self->taken, true);
    assert_int_equal(skua_latch_wait(&self->latch, 0, NULL), SKUA_OK);
}

static void
do_nothing(skua_worker w, void *frame) {
    (void)w, (void)frame;
}

static void
run_sleeper(skua_worker w, skua_job *job) {
    sleeper *self = (sleeper *)(void *)job;
    skua_spawn(&w, wait_in_fork, self);
    while (!atomic_load(&self->taken)) { /* a spawn is where it is shown to who asks */
        skua_spawn(&w, do_nothing, NULL);
        skua_sync(&w, do_nothing, NULL);
    }
    skua_sync(&w, wait_in_fork, self);
}

static void
run_opens(skua_worker w, skua_job *job) {
    (void)w;
    skua_latch_count_down(&((sleeper *)(void *)((char *)job - offsetof(sleeper, opens)))->latch, 1);
}

static void
test_resize_leaves_one_besides_those_that_sleep_in_a_sync(void **state) {
    (void)state;
    enum { PAIRS = 2 };
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2 * PAIRS, .spares = PAIRS + 1));
    sleeper pairs[PAIRS] = {0};
    for (int i = 0; i < PAIRS; i++) {
        skua_latch_init(&pairs[i].latch, exec, 1);
        skua_job_init(&pairs[i].job, run_sleeper);
        skua_job_init(&pairs[i].opens, run_opens);
        assert_int_equal(skua_exec_submit(exec, &pairs[i].job), SKUA_OK);
    }
    while (skua__a32_load(&exec->syncing, memory_order_relaxed) < PAIRS) { /* relaxed: a figure */
        sched_yield();
    }
    assert_int_equal(skua_exec_resize(exec, PAIRS, NULL), SKUA_OK); /* as many as sleep so */
    for (int i = 0; i < PAIRS; i++) {
        assert_int_equal(skua_exec_submit(exec, &pairs[i].opens), SKUA_OK);
    }
    skua_exec_close(exec); /* ends only because one was left to run them */
    for (int i = 0; i < PAIRS; i++) {
        skua_latch_fini(&pairs[i].latch);
    }
}

/* ---- A pause that comes too late ---- */

typedef struct pauser {
    skua_job job;
    skua_exec *exec;
    skua_status paused;
    guest next;
} pauser;

static void
run_pauser(skua_worker w, skua_job *job) {
    (void)w;
    pauser *self = (pauser *)(void *)job;
    while (!skua__a32_load(&self->exec->closing, memory_order_relaxed)) { /* relaxed: a hint */
        sched_yield();
    }
    self->paused = skua_exec_pause(self->exec);
    assert_int_equal(skua_exec_submit(self->exec, &self->next.job), SKUA_OK);
}

static void
test_pause_is_refused_while_the_executor_closes(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    door at = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .open = true};
    pauser self = {.exec = exec, .next = {.door = &at}};
    skua_job_init(&self.job, run_pauser);
    skua_job_init(&self.next.job, run_guest);
    assert_int_equal(skua_exec_submit(exec, &self.job), SKUA_OK);
    skua_exec_close(exec);
    assert_int_equal(self.paused, SKUA_E_CLOSED);
    assert_int_equal(at.inside, 1);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize_up_runs_more_at_once_and_down_fewer),
        cmocka_unit_test(test_resize_refuses_what_does_not_fit),
        cmocka_unit_test(test_pause_holds_jobs_back_until_resume),
        cmocka_unit_test(test_pause_ends_with_the_executor),
        cmocka_unit_test(test_resize_while_forks_run_changes_no_result),
        cmocka_unit_test(test_resize_follows_the_quota),
        cmocka_unit_test(test_resize_follows_the_quota_while_busy),
        cmocka_unit_test(test_resize_follows_the_affinity_mask),
        cmocka_unit_test(test_resume_replaces_who_blocked_in_the_pause),
        cmocka_unit_test(test_resize_counts_no_worker_that_blocks),
        cmocka_unit_test(test_pause_is_refused_while_the_executor_closes),
        cmocka_unit_test(test_resize_leaves_one_besides_those_that_sleep_in_a_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
