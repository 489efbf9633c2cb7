// SPDX-License-Identifier: MPL-2.0
// Jobs that jobs submit: a worker takes its own newest first but lets none wait for ever, others take what it has not begun.
#include "opened.h"
#include "test.h"

#include "engine.h"

#include <pthread.h>
#include <skua/exec.h>

#include <stdatomic.h>
#include <stdlib.h>

/* Jobs that note in which order they ran. */
typedef struct member {
    skua_job job;
    atomic_int *count;
    int order;
} member;

static void
run_member(skua_worker w, skua_job *job) {
    (void)w;
    member *self = (member *)(void *)job;
    self->order = atomic_fetch_add(self->count, 1);
}

static void
member_init(member *self, atomic_int *count, skua_priority priority) {
    skua_job_init(&self->job, run_member);
    self->job.priority = (uint8_t)priority;
    self->count = count;
    self->order = -1;
}

/* A job that submits others, one by one or all at once. */
enum { FAMILY_MAX = 2000 };
typedef struct family {
    skua_job job;
    int size;
    bool as_batch;
    member members[FAMILY_MAX];
} family;

static void
run_family(skua_worker w, skua_job *job) {
    family *self = (family *)(void *)job;
    static skua_job *list[FAMILY_MAX];
    for (int i = 0; i < self->size; i++) {
        list[i] = &self->members[i].job;
        if (!self->as_batch) {
            skua_worker_submit(w, list[i]);
        }
    }
    if (self->as_batch) {
        skua_worker_submit_batch(w, list, (size_t)self->size);
    }
}

static void
run_one_family(family *self, int workers, int size, bool as_batch, bool all_priorities) {
    atomic_int count = 0;
    self->size = size;
    self->as_batch = as_batch;
    skua_job_init(&self->job, run_family);
    for (int i = 0; i < size; i++) {
        member_init(&self->members[i], &count,
                    all_priorities ? (skua_priority)(i % 3) : SKUA_PRIORITY_NORMAL);
    }
    skua_exec *exec = open_workers(workers, SKUA_NONE);
    assert_int_equal(skua_exec_submit(exec, &self->job), SKUA_OK);
    skua_exec_close(exec);
    assert_int_equal(atomic_load(&count), size);
}

static int
by_order(const void *a, const void *b) {
    return ((const member *)a)->order - ((const member *)b)->order;
}

static void
test_jobs_own_ones_run_newest_first(void **state) {
    (void)state;
    static family self;
    for (int round = 0; round < 2; round++) {
        run_one_family(&self, 1, 8, round == 1, false);
        /* Now and then the oldest is let before: once at most, among so few. */
        int out_of_order = 0;
        for (int i = 1; i < 8; i++) {
            out_of_order += self.members[i].order > self.members[i - 1].order;
        }
        assert_in_range(out_of_order, 0, 1);
        qsort(self.members, 8, sizeof self.members[0], by_order);
        for (int i = 0; i < 8; i++) {
            assert_int_equal(self.members[i].order, i);
        }
    }
}

static void
test_jobs_each_runs_once_however_many(void **state) {
    (void)state;
    static family self;
    for (int round = 0; round < 40; round++) {
        int size = round < 4 ? FAMILY_MAX : 1 + round * 7;
        run_one_family(&self, 1 + round % 3, size, round % 2, round % 4 >= 2);
    }
}

/* ---- Nobody waits behind a job that runs ---- */

typedef struct stubborn {
    skua_job job;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} stubborn;

typedef struct helper {
    skua_job job;
    stubborn *waits;
} helper;

static void
run_helper(skua_worker w, skua_job *job) {
    (void)w;
    stubborn *waits = ((helper *)(void *)job)->waits;
    pthread_mutex_lock(&waits->lock);
    waits->done = true;
    pthread_cond_broadcast(&waits->changed);
    pthread_mutex_unlock(&waits->lock);
}

/* Waits in the system, unannounced, for a job that lies among its worker's own. */
static void
run_stubborn(skua_worker w, skua_job *job) {
    stubborn *self = (stubborn *)(void *)job;
    helper other = {.waits = self};
    skua_job_init(&other.job, run_helper);
    skua_worker_submit(w, &other.job);
    pthread_mutex_lock(&self->lock);
    while (!self->done) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
}

static void
test_jobs_none_waits_behind_one_that_runs(void **state) {
    (void)state;
    enum { ROUNDS = 500 };
    static stubborn all[ROUNDS];
    skua_exec *exec = open_workers(2, SKUA_NONE);
    for (int i = 0; i < ROUNDS; i++) {
        stubborn *self = &all[i];
        *self = (stubborn){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
        skua_job_init(&self->job, run_stubborn);
        assert_int_equal(skua_exec_submit(exec, &self->job), SKUA_OK);
        pthread_mutex_lock(&self->lock);
        while (!self->done) {
            pthread_cond_wait(&self->changed, &self->lock);
        }
        pthread_mutex_unlock(&self->lock);
    }
    skua_exec_close(exec);
}

/* ---- Nobody waits for ever behind newer ones ---- */

typedef struct relay {
    skua_job job;
    member queued, own;
    atomic_int *count; /* of laps and members */
    int laps_left;
} relay;

/* Submits itself again and again: it is always the newest. */
static void
run_relay(skua_worker w, skua_job *job) {
    relay *self = (relay *)(void *)job;
    if (atomic_fetch_add(self->count, 1) == 0) {
        skua_worker_submit(w, &self->own.job);
        assert_int_equal(skua_exec_submit(skua_worker_exec(w), &self->queued.job), SKUA_OK);
    }
    if (self->laps_left-- > 0) {
        skua_worker_submit(w, job);
    }
}

static void
test_jobs_old_and_queued_ones_do_not_starve(void **state) {
    (void)state;
    atomic_int count = 0;
    relay self = {.count = &count, .laps_left = 1000};
    skua_job_init(&self.job, run_relay);
    member_init(&self.queued, &count, SKUA_PRIORITY_NORMAL);
    member_init(&self.own, &count, SKUA_PRIORITY_NORMAL);
    skua_exec *exec = open_workers(1, SKUA_NONE);
    assert_int_equal(skua_exec_submit(exec, &self.job), SKUA_OK);
    skua_exec_close(exec);
    assert_int_equal(self.laps_left, -1);
    assert_in_range(self.queued.order, 1, 2 * 32 + 1);
    assert_in_range(self.own.order, 1, 2 * 32 + 1);
}

static void
test_jobs_a_high_one_goes_before_own_ones(void **state) {
    (void)state;
    atomic_int count = 0;
    relay self = {.count = &count, .laps_left = 40};
    skua_job_init(&self.job, run_relay);
    member_init(&self.queued, &count, SKUA_PRIORITY_HIGH);
    member_init(&self.own, &count, SKUA_PRIORITY_HIGH);
    skua_exec *exec = open_workers(1, SKUA_NONE);
    assert_int_equal(skua_exec_submit(exec, &self.job), SKUA_OK);
    skua_exec_close(exec);
    /* The relay's own next lap waits for both, but for one turn in 32. */
    assert_in_range(self.own.order, 1, 2);
    assert_in_range(self.queued.order, 2, 3);
}

/* ---- What a handful must not keep waiting ---- */

enum { HANDFUL_JOBS = 400, HANDFUL_CALLER = 100 };

typedef struct caller {
    skua_job job;
    skua_group group;
    member *urgent, *grouped; /* submitted by this one; may be NULL */
    atomic_int *count;
    int order;
} caller;

static void
run_caller(skua_worker w, skua_job *job) {
    caller *self = (caller *)(void *)job;
    self->order = atomic_fetch_add(self->count, 1);
    if (self->urgent) {
        assert_int_equal(skua_exec_submit(skua_worker_exec(w), &self->urgent->job), SKUA_OK);
    }
    if (self->grouped) {
        assert_int_equal(skua_group_submit(&self->group, &self->grouped->job), SKUA_OK);
        assert_int_equal(skua_group_wait(&self->group, SKUA_UNLIMITED, NULL), SKUA_OK);
    }
}

/* Lets one worker meet a long queue, in whose midst stands a job that submits. */
static void
run_in_long_queue(skua_exec *exec, caller *self, atomic_int *count) {
    static member jobs[HANDFUL_JOBS];
    self->count = count;
    skua_job_init(&self->job, run_caller);
    assert_int_equal(skua_exec_pause(exec), SKUA_OK);
    for (int i = 0; i < HANDFUL_JOBS; i++) {
        member_init(&jobs[i], count, SKUA_PRIORITY_NORMAL);
        skua_job *job = i == HANDFUL_CALLER ? &self->job : &jobs[i].job;
        assert_int_equal(skua_exec_submit(exec, job), SKUA_OK);
    }
    assert_int_equal(skua_exec_resume(exec), SKUA_OK);
}

static void
test_jobs_a_high_one_goes_before_the_rest_of_a_handful(void **state) {
    (void)state;
    atomic_int count = 0;
    member urgent;
    member_init(&urgent, &count, SKUA_PRIORITY_HIGH);
    caller self = {.urgent = &urgent};
    skua_exec *exec = open_workers(1, SKUA_NONE);
    run_in_long_queue(exec, &self, &count);
    skua_exec_close(exec);
    assert_int_equal(self.order, HANDFUL_CALLER);
    assert_int_equal(urgent.order, HANDFUL_CALLER + 1);
}

/* The group's job lies in the inbox, behind a list that is not empty; a spare would run that list first. */
static void
test_jobs_of_a_group_are_found_behind_a_long_queue(void **state) {
    (void)state;
    atomic_int count = 0;
    member grouped;
    member_init(&grouped, &count, SKUA_PRIORITY_NORMAL);
    caller self = {.grouped = &grouped};
    skua_exec *exec = open_workers(1, 1);
    skua_group_init(&self.group, exec);
    run_in_long_queue(exec, &self, &count);
    skua_exec_close(exec);
    skua_group_fini(&self.group);
    assert_int_equal(self.order, HANDFUL_CALLER);
    assert_int_equal(grouped.order, HANDFUL_CALLER + 1);
}

/* ---- The ring itself ---- */

typedef struct ring_bench {
    skua__offers jobs;
    skua__aptr cells[EXEC_RING_JOBS];
    atomic_bool over;
    atomic_int stolen;
} ring_bench;

static void *
steal_on(void *arg) {
    ring_bench *self = arg;
    while (!atomic_load(&self->over)) {
        skua_job *job = skua__offers_steal(&self->jobs);
        if (job) {
            job->flags++; /* whoever takes it owns it */
            atomic_fetch_add(&self->stolen, 1);
        }
    }
    return NULL;
}

static void
test_jobs_ring_gives_each_job_once(void **state) {
    (void)state;
    enum { JOBS = 300000 };
    static ring_bench self;
    static skua_job jobs[JOBS];
    skua__offers_init(&self.jobs, self.cells, EXEC_RING_JOBS);
    pthread_t thief;
    assert_int_equal(pthread_create(&thief, NULL, steal_on, &self), 0);
    for (int i = 0; i < JOBS; i += 2) {
        void *pair[] = {&jobs[i], &jobs[i + 1]};
        assert_int_equal(skua__offers_add(&self.jobs, pair, 2), 2);
        for (skua_job *job; (job = skua__offers_take(&self.jobs, 0)) != NULL;) {
            job->flags++;
        }
    }
    atomic_store(&self.over, true);
    pthread_join(thief, NULL);
    assert_int_equal(skua__offers_count(&self.jobs), 0);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].flags, 1);
    }
}

static void
test_jobs_ring_holds_no_more_than_fit(void **state) {
    (void)state;
    static skua__offers ring;
    static skua__aptr cells[EXEC_RING_JOBS];
    static skua_job jobs[EXEC_RING_JOBS + 2];
    void *list[EXEC_RING_JOBS + 2];
    for (int i = 0; i < EXEC_RING_JOBS + 2; i++) {
        list[i] = &jobs[i];
    }
    skua__offers_init(&ring, cells, EXEC_RING_JOBS);
    assert_null(skua__offers_take(&ring, 0));
    assert_null(skua__offers_steal(&ring));
    for (int round = 0; round < 3; round++) {
        assert_int_equal(skua__offers_add(&ring, list, EXEC_RING_JOBS + 2), EXEC_RING_JOBS);
        assert_int_equal(skua__offers_add(&ring, list, 1), 0);
        assert_ptr_equal(skua__offers_steal(&ring), list[0]);
        assert_ptr_equal(skua__offers_take(&ring, 0), list[EXEC_RING_JOBS - 1]);
        assert_int_equal(skua__offers_count(&ring), EXEC_RING_JOBS - 2);
        for (int i = 1; i < EXEC_RING_JOBS - 1; i++) {
            assert_ptr_equal(skua__offers_steal(&ring), list[i]);
        }
        assert_false(skua__offers_any(&ring));
    }
}

/* ---- A long queue ---- */

static void
test_jobs_of_a_long_queue_run_in_order(void **state) {
    (void)state;
    enum { JOBS = 20000 };
    static member jobs[JOBS];
    static skua_job *list[JOBS];
    atomic_int count = 0;
    for (int i = 0; i < JOBS; i++) {
        member_init(&jobs[i], &count, SKUA_PRIORITY_NORMAL);
        list[i] = &jobs[i].job;
    }
    skua_exec *exec = open_workers(1, SKUA_NONE);
    for (int i = 0; i < JOBS; i += 200) {
        assert_int_equal(skua_exec_submit_batch(exec, &list[i], 100), SKUA_OK);
        for (int j = i + 100; j < i + 200; j++) {
            assert_int_equal(skua_exec_submit(exec, list[j]), SKUA_OK);
        }
    }
    skua_exec_close(exec);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].order, i);
    }
}

static void
test_jobs_of_a_long_queue_run_once_each(void **state) {
    (void)state;
    enum { JOBS = 20000 };
    static member jobs[JOBS];
    static int at[JOBS];
    atomic_int count = 0;
    skua_exec *exec = open_workers(3, SKUA_NONE);
    for (int i = 0; i < JOBS; i++) {
        member_init(&jobs[i], &count, SKUA_PRIORITY_NORMAL);
        assert_int_equal(skua_exec_submit(exec, &jobs[i].job), SKUA_OK);
    }
    skua_exec_close(exec);
    for (int i = 0; i < JOBS; i++) {
        assert_in_range(jobs[i].order, 0, JOBS - 1);
        at[jobs[i].order]++;
    }
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(at[i], 1);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_own_ones_run_newest_first),
        cmocka_unit_test(test_jobs_each_runs_once_however_many),
        cmocka_unit_test(test_jobs_none_waits_behind_one_that_runs),
        cmocka_unit_test(test_jobs_old_and_queued_ones_do_not_starve),
        cmocka_unit_test(test_jobs_a_high_one_goes_before_own_ones),
        cmocka_unit_test(test_jobs_a_high_one_goes_before_the_rest_of_a_handful),
        cmocka_unit_test(test_jobs_of_a_group_are_found_behind_a_long_queue),
        cmocka_unit_test(test_jobs_ring_gives_each_job_once),
        cmocka_unit_test(test_jobs_ring_holds_no_more_than_fit),
        cmocka_unit_test(test_jobs_of_a_long_queue_run_in_order),
        cmocka_unit_test(test_jobs_of_a_long_queue_run_once_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
