// SPDX-License-Identifier: MPL-2.0
// Waits that would never end are refused, whoever comes last, or told; and waits in a thread whose own stack is deep end all the
// same.
#include "engine.h"
#include "scenarios.h"

#include <skua-int/clock.h>
#include <skua/latch.h>
#include <skua/timer.h>

enum {
    MEMBERS_MAX = 3,
    DEEP_LEVELS = 2,
};

/* ---- A circle ---- */

typedef struct member {
    skua_job job;
    struct circle *all;
    uint32_t next;
    skua_status status;
} member;

typedef struct circle {
    uint32_t count;
    bool is_group[MEMBERS_MAX]; /* the others are futures */
    skua_group groups[MEMBERS_MAX];
    skua_future *futures[MEMBERS_MAX];
    tally *begun; /* all futures are known */
    member members[MEMBERS_MAX];
} circle;

static void
wait_for_next(skua_worker w, void *frame) {
    (void)w;
    member *self = frame;
    circle *all = self->all;
    self->status = all->is_group[self->next]
                       ? skua_group_wait(&all->groups[self->next], 0, NULL)
                       : skua_future_get(all->futures[self->next], 0, NULL, NULL);
}

static void
run_member(skua_worker w, member *self) {
    tally_wait(self->all->begun, 1);
    if (explore_below(2)) {
        wait_for_next(w, self);
        return;
    }
    skua__request(skua__stack_of(w.top), EXEC_REQUEST_HUNGRY);
    skua_spawn(&w, wait_for_next, self);
    skua_sync(&w, wait_for_next, self);
}

static void
run_job_member(skua_worker w, skua_job *job) {
    run_member(w, SKUA_CONTAINER_OF(job, member, job));
}

static skua_status
run_future_member(skua_worker w, void *arg, void **ret_value) {
    (void)ret_value;
    run_member(w, arg);
    return SKUA_OK;
}

void
scenario_circle(void) {
    circle *all = explore_new(sizeof *all);
    all->count = 2 + explore_below(MEMBERS_MAX - 1);
    skua_exec *exec = scenario_open(1 + (int32_t)explore_below(all->count), 2);
    all->begun = tally_new();
    for (uint32_t i = 0; i < all->count; i++) {
        member *self = &all->members[i];
        all->is_group[i] = explore_below(2);
        self->all = all;
        self->next = (i + 1) % all->count;
        skua_job_init(&self->job, run_job_member);
        skua_group_init(&all->groups[i], exec);
        skua_status status =
            all->is_group[i]
                ? skua_group_submit(&all->groups[i], &self->job)
                : skua_future_start(&all->futures[i], exec, run_future_member, self, NULL, NULL);
        explore_check(status == SKUA_OK, "submit");
    }
    tally_add(all->begun);
    uint32_t refused = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        skua_status status = all->is_group[i] ? skua_group_wait(&all->groups[i], 0, NULL)
                                              : skua_future_get(all->futures[i], 0, NULL, NULL);
        explore_check(status == SKUA_OK, "every member ends");
    }
    for (uint32_t i = 0; i < all->count; i++) {
        refused += all->members[i].status == SKUA_E_DEADLOCK;
        skua_future_unref(all->futures[i]);
        skua_group_fini(&all->groups[i]);
    }
    explore_check(refused == 1, "one wait closes the circle");
    skua_exec_close(exec);
    tally_free(all->begun);
}

/* ---- Deep in the thread's own stack ---- */

typedef struct deep {
    skua_job job;
    skua_exec *exec;
    uint32_t level;
    uint32_t sum;
} deep;

static void run_deep(skua_worker w, void *frame);

static void
run_deep_job(skua_worker w, skua_job *job) {
    run_deep(w, SKUA_CONTAINER_OF(job, deep, job));
}

static skua_status
run_deep_future(skua_worker w, void *arg, void **ret_value) {
    (void)ret_value;
    run_deep(w, arg);
    return SKUA_OK;
}

static deep *
new_deep(const deep *above) {
    deep *self = explore_new(sizeof *self);
    self->exec = above->exec;
    self->level = above->level - 1;
    skua_job_init(&self->job, run_deep_job);
    return self;
}

/* Forks one part, submits another one, and waits for both; now and then its thread's stack counts as half full. */
static void
run_deep(skua_worker w, void *frame) {
    deep *self = frame;
    self->sum = 1;
    if (self->level == 0) {
        return;
    }
    skua__worker *worker = skua__worker_here(self->exec);
    size_t bytes = worker->c_stack_bytes;
    worker->c_stack_bytes = explore_below(2) ? 0 : bytes;
    deep *forked = new_deep(self), *submitted = new_deep(self);
    skua_group group;
    skua_future *future = NULL;
    skua__request(skua__stack_of(w.top), EXEC_REQUEST_HUNGRY);
    skua_spawn(&w, run_deep, forked);
    skua_group_init(&group, self->exec);
    bool by_future = explore_below(2);
    skua_status status =
        by_future ? skua_future_start(&future, self->exec, run_deep_future, submitted, NULL, NULL)
                  : skua_group_submit(&group, &submitted->job);
    explore_check(status == SKUA_OK, "submit");
    status = by_future ? skua_future_get(future, 0, NULL, NULL) : skua_group_wait(&group, 0, NULL);
    explore_check(status == SKUA_OK, "wait");
    skua_future_unref(future);
    skua_group_fini(&group);
    skua_sync(&w, run_deep, forked);
    worker->c_stack_bytes = bytes;
    self->sum += forked->sum + submitted->sum;
}

void
scenario_deep(void) {
    deep *root = explore_new(sizeof *root);
    skua_exec *exec = scenario_open(1 + (int32_t)explore_below(2), (int32_t)explore_below(2));
    root->exec = exec;
    root->level = DEEP_LEVELS;
    explore_check(skua_exec_run(exec, run_deep, root, NULL) == SKUA_OK, "run");
    explore_check(root->sum == (1u << (DEEP_LEVELS + 1)) - 1, "every part once");
    skua_exec_close(exec);
}

/* ---- A circle that nobody sees ---- */

enum { HOUR_MS = 3600000 };

/* What there is besides two tasks of which each waits for a latch that the other one opens when its own wait is over. */
enum { ALONE, TIMER, OUTSIDER, RUNNING, LIMITED, STILL_KINDS };

typedef struct still {
    skua_log_sink sink;
    skua_exec *exec;
    uint32_t kind;
    uint32_t told, told_stuck;
    bool forks; /* the first one waits in a call that others may steal */
    skua_latch latches[2], ended;
    skua_job waiting[2], running;
    skua_timer timer;
    tally *never;
} still;

static void
hear_still(void *ctx, const skua_log_record *record) {
    still *self = ctx;
    bool still_said = strstr(record->message, "nothing has run") != NULL;
    bool stuck_said = strstr(record->message, "cannot begin") != NULL;
    self->told += still_said;
    self->told_stuck += stuck_said;
    if (self->kind == ALONE && (still_said || stuck_said)) {
        skua_latch_count_down(&self->latches[0], 1);
    }
}

static void
wait_for_a_latch(skua_worker w, void *frame) {
    (void)w;
    still *self = frame;
    explore_check(skua_latch_wait(&self->latches[0], 0, NULL) == SKUA_OK, "it opens");
}

static void
run_first(skua_worker w, skua_job *job) {
    still *self = SKUA_CONTAINER_OF(job, still, waiting[0]);
    if (self->forks) {
        skua__request(skua__stack_of(w.top), EXEC_REQUEST_HUNGRY);
        skua_spawn(&w, wait_for_a_latch, self);
        skua_sync(&w, wait_for_a_latch, self);
    } else {
        wait_for_a_latch(w, self);
    }
    skua_latch_count_down(&self->latches[1], 1);
    skua_latch_count_down(&self->ended, 1);
}

static void
run_second(skua_worker w, skua_job *job) {
    (void)w;
    still *self = SKUA_CONTAINER_OF(job, still, waiting[1]);
    int64_t timeout_ms = self->kind == LIMITED ? HOUR_MS : 0;
    skua_status status = skua_latch_wait(&self->latches[1], timeout_ms, NULL);
    explore_check(status == (timeout_ms ? SKUA_E_TIMEOUT : SKUA_OK), "the second wait");
    if (status != SKUA_OK) {
        skua_latch_count_down(&self->latches[0], 1);
    }
    skua_latch_count_down(&self->ended, 1);
}

/* As long as a system call takes, of which the executor knows nothing. */
static void
run_for_an_hour(skua_worker w, skua_job *job) {
    (void)w;
    still *self = SKUA_CONTAINER_OF(job, still, running);
    int64_t until_ns = skua__deadline_ns(HOUR_MS);
    skua__mutex_lock(&self->never->lock);
    while (skua__clock_ns() < until_ns) {
        skua__cond_wait_until(&self->never->reached, &self->never->lock, until_ns);
    }
    skua__mutex_unlock(&self->never->lock);
    skua_latch_count_down(&self->latches[0], 1);
    skua_latch_count_down(&self->ended, 1);
}

static void
call_after_an_hour(skua_worker w, skua_timer *timer) {
    (void)w;
    still *self = SKUA_CONTAINER_OF(timer, still, timer);
    skua_latch_count_down(&self->latches[0], 1);
}

static void
submit_still(still *self) {
    skua_job_init(&self->waiting[0], run_first);
    skua_job_init(&self->waiting[1], run_second);
    skua_job_init(&self->running, run_for_an_hour);
    skua_job *const jobs[] = {&self->running, &self->waiting[0], &self->waiting[1]};
    size_t first = self->kind == RUNNING ? 0 : 1;
    skua_latch_init(&self->latches[0], self->exec, 1);
    skua_latch_init(&self->latches[1], self->exec, 1);
    skua_latch_init(&self->ended, self->exec, self->kind == RUNNING ? 3 : 2);
    skua_timer_init(&self->timer, call_after_an_hour);
    skua_status status = SKUA_OK;
    if (self->kind == TIMER) {
        status = skua_exec_after(self->exec, &self->timer, HOUR_MS, NULL);
    }
    explore_check(status == SKUA_OK, "after");
    status = skua_exec_submit_batch(self->exec, jobs + first, 3 - first);
    explore_check(status == SKUA_OK, "submit");
}

static const char *const told_wrongly[STILL_KINDS] = {
    [ALONE] = "a circle is told once",
    [TIMER] = "told, though a timer is set",
    [RUNNING] = "told, though a task runs",
    [LIMITED] = "told, though a wait has a limit",
};

/* An outsider opens the first latch: at once, or when he has slept for an hour. */
static void
open_from_outside(still *self) {
    int64_t until_ns = explore_below(2) ? skua__deadline_ns(HOUR_MS) : 0;
    skua__mutex_lock(&self->never->lock);
    while (skua__clock_ns() < until_ns) {
        skua__cond_wait_until(&self->never->reached, &self->never->lock, until_ns);
    }
    skua__mutex_unlock(&self->never->lock);
    skua_latch_count_down(&self->latches[0], 1);
}

/*
 * Where nothing but the two waits is left it is said, once; else never, however long it takes. That jobs cannot begin is said
 * where no spare is left and all workers wait; not of one in a sync, and so it is said there that nothing goes on.
 */
static void
check_still(const still *self, bool spares, uint32_t workers) {
    explore_check(self->told + self->told_stuck <= 1, "told once");
    bool one_begins = !spares && workers == 1; /* and the second never does, until it is over */
    if (self->kind == ALONE) {
        explore_check(self->told + self->told_stuck == 1, told_wrongly[ALONE]);
        explore_check(one_begins || self->forks || self->told, "no job waits");
        explore_check(!one_begins || self->told_stuck, "all workers wait, and a job");
    } else if (self->kind != OUTSIDER) {
        explore_check(self->told == 0, told_wrongly[self->kind]);
        explore_check(!spares || self->told_stuck == 0, "stuck, with spares");
        explore_check(self->kind != RUNNING || self->told_stuck == 0, "stuck, though a task runs");
    }
}

void
scenario_still(void) {
    still *self = explore_new(sizeof *self);
    self->sink = (skua_log_sink){
        .version = SKUA_LOG_SINK_VERSION, .level = SKUA_LOG_WARNING, .ctx = self, .fn = hear_still};
    self->kind = explore_below(STILL_KINDS);
    self->forks = explore_below(2);
    self->never = tally_new();
    uint32_t workers = 1 + explore_below(2);
    /* Else the wait with a limit, or the call of the timer, may never begin. */
    bool spares = self->kind == LIMITED || self->kind == TIMER || explore_below(2);
    skua_status status =
        skua_exec_open(&self->exec,
                       SKUA_EXEC_OPTIONS(.allocator = explore_allocator(), .log = &self->sink,
                                         .lease = SKUA_LEASE_NEVER, .workers = (int32_t)workers,
                                         .close_warn_ms = 1, .spares = spares ? 3 : SKUA_NONE,
                                         .stack_slots = 64, .spin_us = SKUA_NONE),
                       NULL);
    explore_check(status == SKUA_OK, "the executor opens");
    submit_still(self);
    if (self->kind == OUTSIDER) {
        open_from_outside(self);
    }
    explore_check(skua_latch_wait(&self->ended, 0, NULL) == SKUA_OK, "all ends");
    check_still(self, spares, workers);
    skua_timer_fini(&self->timer);
    skua_exec_close(self->exec);
    skua_latch_fini(&self->latches[0]);
    skua_latch_fini(&self->latches[1]);
    skua_latch_fini(&self->ended);
    tally_free(self->never);
}
