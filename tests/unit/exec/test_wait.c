// SPDX-License-Identifier: MPL-2.0
// Waits that could never end are refused; waits across executors, deep in a thread's stack, and without a spare.
#include "opened.h"
#include "test.h"

#include "engine.h"
#include <pthread.h>
#include <sched.h>
#include <skua/exec.h>
#include <skua/latch.h>
#include <skua/timer.h>

#include <stdatomic.h>
#include <string.h>

enum { RING_MAX = 4, DEEP_TRIES = 1000 };

/* ---- Circles ---- */

/* Members that each wait for the next, when all of them run. */
typedef struct member {
    skua_job job;
    struct circle *all;
    int index;
    skua_status status;
    char message[SKUA_ERROR_MESSAGE_BYTES];
} member;

typedef struct circle {
    skua_exec *exec;
    pthread_barrier_t running;
    int count;
    int32_t timeout_ms[RING_MAX]; /* 0: no limit */
    bool is_group[RING_MAX];      /* the others are futures */
    bool forks;                   /* each waits in a forked call, which others may steal */
    member members[RING_MAX];
    skua_group groups[RING_MAX];
    skua_future *futures[RING_MAX];
} circle;

static void
wait_for_next(skua_worker w, void *frame) {
    (void)w;
    member *self = frame;
    circle *all = self->all;
    int next = (self->index + 1) % all->count;
    skua_error err = {0};
    int32_t timeout_ms = all->timeout_ms[self->index];
    self->status = all->is_group[next]
                       ? skua_group_wait(&all->groups[next], timeout_ms, &err)
                       : skua_future_get(all->futures[next], timeout_ms, NULL, &err);
    if (self->status != SKUA_OK) {
        strcpy(self->message, err.message);
    }
}

static void
run_member(skua_worker w, member *self) {
    pthread_barrier_wait(&self->all->running);
    if (!self->all->forks) {
        wait_for_next(w, self);
        return;
    }
    skua_spawn(&w, wait_for_next, self);
    skua_sync(&w, wait_for_next, self);
}

static void
run_job_member(skua_worker w, skua_job *job) {
    run_member(w, (member *)(void *)job);
}

static skua_status
run_future_member(skua_worker w, void *arg, void **ret_value) {
    (void)ret_value;
    run_member(w, arg);
    return SKUA_OK;
}

/* Runs the circle. Returns how many of the waits were refused as a circle. */
static int
run_circle(circle *all) {
    int refused = 0;
    all->exec = open_exec(SKUA_EXEC_OPTIONS(.workers = all->count));
    pthread_barrier_init(&all->running, NULL, (unsigned)all->count + 1);
    for (int i = 0; i < all->count; i++) {
        member *self = &all->members[i];
        *self = (member){.all = all, .index = i};
        skua_job_init(&self->job, run_job_member);
        skua_group_init(&all->groups[i], all->exec);
        skua_status status = all->is_group[i]
                                 ? skua_group_submit(&all->groups[i], &self->job)
                                 : skua_future_start(&all->futures[i], all->exec, run_future_member,
                                                     self, NULL, NULL);
        assert_int_equal(status, SKUA_OK);
    }
    pthread_barrier_wait(&all->running);
    for (int i = 0; i < all->count; i++) {
        assert_int_equal(all->is_group[i] ? skua_group_wait(&all->groups[i], 0, NULL)
                                          : skua_future_get(all->futures[i], 0, NULL, NULL),
                         SKUA_OK);
    }
    for (int i = 0; i < all->count; i++) {
        skua_group_fini(&all->groups[i]);
        skua_future_unref(all->futures[i]);
        refused += all->members[i].status == SKUA_E_DEADLOCK;
        if (all->members[i].status == SKUA_E_DEADLOCK) {
            assert_non_null(strstr(all->members[i].message, "through others"));
        }
    }
    pthread_barrier_destroy(&all->running);
    skua_exec_close(all->exec);
    return refused;
}

static void
test_wait_circles_are_refused_once(void **state) {
    (void)state;
    for (unsigned kinds = 0; kinds < 1u << RING_MAX; kinds++) {
        for (int count = 2; count <= RING_MAX; count++) {
            circle all = {.count = count};
            for (int i = 0; i < count; i++) {
                all.is_group[i] = kinds >> i & 1;
            }
            assert_int_equal(run_circle(&all), 1); /* who closes it; the others go on */
        }
    }
}

static void
test_wait_circles_through_forks_are_refused(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) {
        circle all = {.count = 3, .forks = true, .is_group = {true}};
        assert_int_equal(run_circle(&all), 1);
    }
}

static void
test_wait_with_a_limit_is_no_circle(void **state) {
    (void)state;
    circle all = {.count = 3, .timeout_ms = {0, 2, 0}};
    assert_int_equal(run_circle(&all), 0);
    assert_int_equal(all.members[1].status, SKUA_E_TIMEOUT);
    assert_int_equal(all.members[0].status, SKUA_OK);
    assert_int_equal(all.members[2].status, SKUA_OK);
}

typedef struct rival {
    skua_timer timer; /* first */
    struct rival *other;
    pthread_barrier_t *running;
} rival;

static void
cancel_the_other(skua_worker w, skua_timer *timer) {
    (void)w;
    rival *self = (rival *)(void *)timer;
    pthread_barrier_wait(self->running);
    assert_false(skua_timer_cancel(&self->other->timer)); /* its call has begun */
}

/* Each call waits for the end of the other. */
static void
test_wait_of_two_timers_that_cancel_each_other_ends(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, 0);
    pthread_barrier_t running;
    pthread_barrier_init(&running, NULL, 3);
    rival both[2];
    for (int i = 0; i < 2; i++) {
        both[i].other = &both[1 - i];
        both[i].running = &running;
        skua_timer_init(&both[i].timer, cancel_the_other);
        assert_int_equal(skua_exec_after(exec, &both[i].timer, 0, NULL), SKUA_OK);
    }
    pthread_barrier_wait(&running);
    for (int i = 0; i < 2; i++) {
        (void)skua_timer_cancel(
            &both[i].timer); /* its call has ended, and cancels nothing any more */
    }
    for (int i = 0; i < 2; i++) {
        skua_timer_fini(&both[i].timer);
    }
    skua_exec_close(exec);
    pthread_barrier_destroy(&running);
}

/* ---- Two executors ---- */

typedef struct two {
    skua_exec *a, *b;
    int depth;
    int reached;
} two;

static void
go_across(skua_worker w, void *frame) {
    two *self = frame;
    skua_exec *other = skua_worker_exec(w) == self->a ? self->b : self->a;
    if (++self->reached < self->depth) {
        assert_int_equal(skua_exec_run(other, go_across, self, NULL), SKUA_OK);
    }
}

/* Each has one worker, and it waits for the other executor: a spare stands in. */
static void
test_wait_for_another_executor_gives_the_place_away(void **state) {
    (void)state;
    two self = {.depth = 9};
    self.a = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    self.b = open_exec(SKUA_EXEC_OPTIONS(.workers = 1));
    assert_int_equal(skua_exec_run(self.a, go_across, &self, NULL), SKUA_OK);
    assert_int_equal(self.reached, 9);
    skua_exec_close(self.a);
    skua_exec_close(self.b);
}

/* ---- Deep in the thread's own stack ---- */

typedef struct deep {
    skua_job job; /* of the group */
    skua_exec *exec;
    bool by_future;
    uint32_t waiter, runner; /* workers */
} deep;

static void
note_job_runner(skua_worker w, skua_job *job) {
    ((deep *)(void *)job)->runner = skua_worker_index(w);
}

static skua_status
note_runner(skua_worker w, void *arg, void **ret_value) {
    (void)ret_value;
    ((deep *)arg)->runner = skua_worker_index(w);
    return SKUA_OK;
}

static void
wait_in_depth(skua_worker w, deep *self) {
    self->waiter = skua_worker_index(w);
    if (self->by_future) {
        skua_future *future = NULL;
        assert_int_equal(skua_future_start(&future, self->exec, note_runner, self, NULL, NULL),
                         SKUA_OK);
        assert_int_equal(skua_future_get(future, 0, NULL, NULL), SKUA_OK);
        skua_future_unref(future);
        return;
    }
    skua_group group;
    skua_group_init(&group, self->exec);
    skua_job_init(&self->job, note_job_runner);
    assert_int_equal(skua_group_submit(&group, &self->job), SKUA_OK);
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
    skua_group_fini(&group);
}

static void __attribute__((noinline)) go_deep(skua_worker w, deep *self, size_t bytes) {
    char room[4096];
    keep_memory(room);
    if (bytes > sizeof room) {
        go_deep(w, self, bytes - sizeof room);
    } else {
        wait_in_depth(w, self);
    }
    keep_memory(room); /* after the call, so that it is no loop */
}

static void
run_deep(skua_worker w, void *frame) {
    pthread_attr_t attr;
    size_t bytes = 0;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstacksize(&attr, &bytes);
    pthread_attr_destroy(&attr);
    go_deep(w, frame, bytes / 8 * 5);
}

static void
test_wait_in_a_deep_stack_leaves_the_task_to_others(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool spare = i / 2;
        skua_exec *exec =
            open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .spares = spare ? 1 : SKUA_NONE));
        deep self;
        int tries = 0;
        do { /* on a busy machine the spare may come too late for once, and the waiter helps all the same */
            self = (deep){.exec = exec, .by_future = i % 2};
            assert_int_equal(skua_exec_run(exec, run_deep, &self, NULL), SKUA_OK);
        } while (spare && self.waiter == self.runner && ++tries < DEEP_TRIES);
        /* Without a spare nobody else would ever run it. */
        assert_int_equal(self.waiter != self.runner, spare);
        skua_exec_close(exec);
    }
}

/* ---- No spare left ---- */

typedef struct stuck {
    skua_log_sink sink;
    skua_latch latch;
    skua_job waits, opens;
    atomic_int heard;
    char text[2048];
} stuck;

static void
hear(void *ctx, const skua_log_record *record) {
    stuck *self = ctx;
    strncat(self->text, record->message, sizeof self->text - strlen(self->text) - 1);
    if (strstr(record->message, "worker 0 runs")) {
        self->heard++;
        skua_latch_count_down(&self->latch, 1);
    }
}

static void
wait_for_latch(skua_worker w, skua_job *job) {
    (void)w;
    stuck *self = (stuck *)(void *)((char *)job - offsetof(stuck, waits));
    assert_int_equal(skua_latch_wait(&self->latch, 0, NULL), SKUA_OK);
}

static void
do_nothing(skua_worker w, skua_job *job) {
    (void)w, (void)job;
}

/* The only worker waits, and a job that might end that cannot begin: the program hears of it, and here it helps itself. */
static void
test_wait_of_all_workers_is_told(void **state) {
    (void)state;
    static stuck self;
    self.sink = (skua_log_sink){
        .version = SKUA_LOG_SINK_VERSION, .level = SKUA_LOG_WARNING, .ctx = &self, .fn = hear};
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .spares = SKUA_NONE,
                                                  .close_warn_ms = 1, .log = &self.sink));
    skua_latch_init(&self.latch, exec, 1);
    skua_job_init(&self.waits, wait_for_latch);
    skua_job_init(&self.opens, do_nothing);
    skua_job *const both[] = {&self.waits, &self.opens};
    assert_int_equal(skua_exec_submit_batch(exec, both, 2), SKUA_OK);
    assert_int_equal(skua_latch_wait(&self.latch, 0, NULL),
                     SKUA_OK); /* ends only because it speaks */
    skua_exec_close(exec);
    skua_latch_fini(&self.latch);
    assert_int_equal(self.heard, 1);
    assert_non_null(strstr(self.text, "1 jobs cannot begin"));
    assert_non_null(strstr(self.text, "the option spares"));
}

/* ---- Circles that no search sees ---- */

typedef struct unseen {
    skua_log_sink sink;
    skua_exec *a, *b;
    skua_latch first, second;
    skua_job jobs[2];
    atomic_int heard;
    char text[2048];
} unseen;

/* Opens the circle when it is spoken of: so the program ends only because it is. */
static void
hear_and_open(void *ctx, const skua_log_record *record) {
    unseen *self = ctx;
    strncat(self->text, record->message, sizeof self->text - strlen(self->text) - 1);
    self->heard += strstr(record->message, "nothing has run") != NULL;
    if (strstr(record->message,
               "in a wait: worker 0 runs")) { /* the last thing that it waits for */
        skua_latch_count_down(&self->first, 1);
    }
}

static void
wait_for_first(skua_worker w, void *frame) {
    (void)w;
    assert_int_equal(skua_latch_wait(&((unseen *)frame)->first, 0, NULL), SKUA_OK);
}

static void
open_second(skua_worker w, skua_job *job) {
    unseen *self = (unseen *)(void *)((char *)job - offsetof(unseen, jobs));
    skua_spawn(&w, wait_for_first, self);
    skua_sync(&w, wait_for_first, self);
    skua_latch_count_down(&self->second, 1);
}

static void
open_first(skua_worker w, skua_job *job) {
    (void)w;
    unseen *self = (unseen *)(void *)((char *)job - offsetof(unseen, jobs[1]));
    assert_int_equal(skua_latch_wait(&self->second, 0, NULL), SKUA_OK);
    /* Here it would open the first. */
}

static void
unseen_begin(unseen *self, int32_t spares) {
    *self = (unseen){.sink = {.version = SKUA_LOG_SINK_VERSION,
                              .level = SKUA_LOG_WARNING,
                              .ctx = self,
                              .fn = hear_and_open}};
    self->a = open_exec(
        SKUA_EXEC_OPTIONS(.workers = 1, .spares = spares, .close_warn_ms = 1, .log = &self->sink));
    skua_latch_init(&self->first, self->a, 1);
    skua_latch_init(&self->second, self->a, 1);
}

static void
unseen_end(unseen *self) {
    skua_latch_fini(&self->first);
    skua_latch_fini(&self->second);
    assert_int_equal(self->heard, 1);
    assert_non_null(strstr(self->text, "they wait for each other"));
}

static void
test_wait_circle_through_latches_is_told(void **state) {
    (void)state;
    unseen self;
    unseen_begin(&self, 4);
    skua_job_init(&self.jobs[0], open_second);
    skua_job_init(&self.jobs[1], open_first);
    skua_job *const jobs[] = {&self.jobs[0], &self.jobs[1]};
    assert_int_equal(skua_exec_submit_batch(self.a, jobs, 2), SKUA_OK);
    assert_int_equal(skua_latch_wait(&self.second, 0, NULL), SKUA_OK);
    skua_exec_close(self.a);
    assert_non_null(strstr(self.text, "2 tasks wait"));
    unseen_end(&self);
}

static void
run_across(skua_worker w, void *frame) {
    (void)w;
    unseen *self = frame;
    assert_int_equal(skua_exec_run(self->b, wait_for_first, self, NULL), SKUA_OK);
    /* Here it would open the first. */
}

/* A task of one executor waits for one of another, which waits for what the first would do afterwards. */
static void
test_wait_circle_through_two_executors_is_told(void **state) {
    (void)state;
    unseen self;
    unseen_begin(&self, SKUA_NONE);
    self.b = open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .close_warn_ms = SKUA_NONE));
    assert_int_equal(skua_exec_run(self.a, run_across, &self, NULL), SKUA_OK);
    skua_exec_close(self.a);
    skua_exec_close(self.b);
    assert_non_null(strstr(self.text, "1 tasks wait"));
    unseen_end(&self);
}

/* ---- Futures in a line ---- */

/* Returns when a worker waits without a limit: from then on what it waits for is known to all. */
static void
await_wait(skua_exec *exec) {
    for (bool waits = false; !waits; sched_yield()) {
        skua__mutex_lock(&exec->sleep_lock);
        for (uint32_t i = 0; i < exec->worker_places; i++) {
            waits |= exec->workers[i].waits_for != NULL;
        }
        skua__mutex_unlock(&exec->sleep_lock);
    }
}

typedef struct line {
    skua_future *first, *second, *waits;
    skua_status of_second, of_waits;
} line;

static skua_status
wait_for_second(skua_worker w, void *arg, void **ret_value) {
    (void)w, (void)ret_value;
    line *self = arg;
    self->of_waits = skua_future_get(self->second, 0, NULL, NULL);
    return SKUA_OK;
}

static skua_status
wait_for_who_waits(skua_worker w, skua_future *done, void *arg, void **ret_value) {
    (void)w, (void)done, (void)ret_value;
    line *self = arg;
    self->of_second = skua_future_get(self->waits, 0, NULL, NULL);
    return SKUA_OK;
}

static void
test_wait_circle_through_what_follows_is_refused(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2));
    line self = {0};
    assert_int_equal(skua_future_promise(&self.first, exec, NULL), SKUA_OK);
    assert_int_equal(
        skua_future_then(&self.second, self.first, wait_for_who_waits, &self, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_future_start(&self.waits, exec, wait_for_second, &self, NULL, NULL),
                     SKUA_OK);
    await_wait(exec); /* for second, which has not begun: so nothing is a circle yet */
    assert_int_equal(skua_future_complete(self.first, SKUA_OK, NULL), SKUA_OK);
    assert_int_equal(skua_future_get(self.second, 0, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_future_get(self.waits, 0, NULL, NULL), SKUA_OK);
    assert_true((self.of_second == SKUA_E_DEADLOCK) != (self.of_waits == SKUA_E_DEADLOCK));
    skua_future_unref(self.first);
    skua_future_unref(self.second);
    skua_future_unref(self.waits);
    skua_exec_close(exec);
}

static skua_status
pass(skua_worker w, skua_future *done, void *arg, void **ret_value) {
    (void)w, (void)done, (void)arg, (void)ret_value;
    return SKUA_OK;
}

static void
test_wait_of_the_last_worker_runs_what_can_begin_meanwhile(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .spares = SKUA_NONE));
        line self = {0};
        skua_future *middle = NULL;
        assert_int_equal(skua_future_promise(&self.first, exec, NULL), SKUA_OK);
        assert_int_equal(skua_future_then(&middle, self.first, pass, NULL, NULL, NULL), SKUA_OK);
        assert_int_equal(skua_future_then(&self.second, middle, pass, NULL, NULL, NULL), SKUA_OK);
        assert_int_equal(skua_future_start(&self.waits, exec, wait_for_second, &self, NULL, NULL),
                         SKUA_OK);
        await_wait(exec);
        assert_int_equal(skua_future_complete(self.first, SKUA_OK, NULL), SKUA_OK);
        assert_int_equal(skua_future_get(self.waits, 0, NULL, NULL), SKUA_OK);
        assert_int_equal(self.of_waits, SKUA_OK);
        skua_future_unref(self.first);
        skua_future_unref(middle);
        skua_future_unref(self.second);
        skua_future_unref(self.waits);
        skua_exec_close(exec);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_circles_are_refused_once),
        cmocka_unit_test(test_wait_circles_through_forks_are_refused),
        cmocka_unit_test(test_wait_with_a_limit_is_no_circle),
        cmocka_unit_test(test_wait_of_two_timers_that_cancel_each_other_ends),
        cmocka_unit_test(test_wait_for_another_executor_gives_the_place_away),
        cmocka_unit_test(test_wait_in_a_deep_stack_leaves_the_task_to_others),
        cmocka_unit_test(test_wait_of_all_workers_is_told),
        cmocka_unit_test(test_wait_circle_through_latches_is_told),
        cmocka_unit_test(test_wait_circle_through_two_executors_is_told),
        cmocka_unit_test(test_wait_circle_through_what_follows_is_refused),
        cmocka_unit_test(test_wait_of_the_last_worker_runs_what_can_begin_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
