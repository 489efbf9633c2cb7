// SPDX-License-Identifier: MPL-2.0
// Waits that would never end are refused, whoever comes last; and waits in a thread whose own stack is deep end all the same.
#include "engine.h"
#include "scenarios.h"

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
