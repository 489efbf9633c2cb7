// SPDX-License-Identifier: MPL-2.0
// Forks that are made only where skua_fork_wanted() says so: whoever has no work is given some all the same, and a tree of forks and
// plain calls comes to the right sum.
#include "engine.h"
#include "scenarios.h"

enum { CHILDREN_MAX = 3, NESTS_MAX = 2 };

/*
 * A walk that goes on until every other worker has one of its calls, all at the same time. Whoever takes its newest fork has nothing
 * older left to take; so a walk that waits in a sync has given what it keeps, and that one.
 */
typedef struct walk {
    tally *fed, *done;
    uint32_t others;
    uint32_t walker; /* a worker's number */
} walk;

/* One level of it, a job where it is the first: so many runs that do not know the top are begun before it. */
typedef struct level {
    skua_job job;
    walk *walk;
    uint32_t nests;
    bool is_first;
} level;

static bool
is_over(walk *self) {
    skua__mutex_lock(&self->fed->lock);
    bool over = self->fed->count >= self->others;
    skua__mutex_unlock(&self->fed->lock);
    return over;
}

static void
be_fed(skua_worker w, void *frame) {
    walk *self = frame;
    if (skua_worker_index(w) != self->walker && !is_over(self)) {
        tally_add(self->fed);
        tally_wait(self->fed, self->others);
    }
}

/* Nothing but the question tells it that somebody asks: it forks and syncs nothing while the answer is no. */
static void
run_walk(skua_worker w, void *frame) {
    const level *here = frame;
    walk *self = here->walk;
    uint32_t kept = 0;
    while (skua_fork_wanted(w) && kept < 2 * SKUA_FORKS_KEPT) {
        skua_spawn(&w, be_fed, self);
        kept++;
    }
    explore_check(kept >= SKUA_FORKS_KEPT || !here->is_first, "some forks are kept");
    if (here->nests > 0) {
        level within = {.walk = self, .nests = here->nests - 1};
        explore_check(skua_exec_run(skua_worker_exec(w), run_walk, &within, NULL) == SKUA_OK,
                      "run");
    }
    while (!is_over(self)) {
        if (skua_fork_wanted(w)) {
            skua_spawn(&w, be_fed, self);
            skua_sync(&w, be_fed, self);
        }
        skua__atomic_pause();
    }
    while (kept-- > 0) {
        skua_sync(&w, be_fed, self);
    }
}

static void
begin_walk(skua_worker w, skua_job *job) {
    level *first = (level *)(void *)job;
    first->walk->walker = skua_worker_index(w);
    run_walk(w, first);
    tally_add(first->walk->done);
}

/* A request that the question does not see would never be answered. The last worker may come late, and be the one that walks. */
void
scenario_wanted(void) {
    uint32_t others = 1 + explore_below(SKUA_FORKS_KEPT + 1);
    bool grows = explore_below(2);
    skua_exec *exec = NULL;
    skua_status status = skua_exec_open(
        &exec,
        SKUA_EXEC_OPTIONS(.allocator = explore_allocator(), .log = &scenario_silence,
                          .lease = SKUA_LEASE_NEVER, .workers = (int32_t)others + !grows,
                          .workers_max = (int32_t)others + 1, .spares = SKUA_NONE,
                          .stack_slots = 64, .spin_us = SKUA_NONE),
        NULL);
    explore_check(status == SKUA_OK, "the executor opens");
    walk *self = explore_new(sizeof *self);
    level *first = explore_new(sizeof *first);
    *self = (walk){.fed = tally_new(), .done = tally_new(), .others = others};
    first->walk = self;
    first->nests = explore_below(NESTS_MAX + 1);
    first->is_first = true;
    skua_job_init(&first->job, begin_walk);
    explore_check(skua_exec_submit(exec, &first->job) == SKUA_OK, "submit");
    if (grows) {
        explore_check(skua_exec_resize(exec, others + 1, NULL) == SKUA_OK, "resize");
    }
    tally_wait(self->done, 1);
    skua_exec_close(exec);
    explore_check(self->fed->count == others, "every worker had a call");
    tally_free(self->fed);
    tally_free(self->done);
}

/* ---- A tree ---- */

typedef struct node {
    uint32_t depth, children;
    uint32_t sum, runs;
} node;

static void
run_node(skua_worker w, void *frame) {
    node *n = frame;
    node below[CHILDREN_MAX];
    n->runs++;
    n->sum = 1;
    if (n->depth == 0) {
        return;
    }
    bool forks = skua_fork_wanted(w);
    for (uint32_t i = 0; i < n->children; i++) {
        below[i] = (node){.depth = n->depth - 1, .children = n->children};
        if (forks) {
            skua_spawn(&w, run_node, &below[i]);
        } else {
            run_node(w, &below[i]);
        }
    }
    for (uint32_t i = n->children; i-- > 0;) {
        if (forks) {
            skua_sync(&w, run_node, &below[i]);
        }
        explore_check(below[i].runs == 1, "each call ran once");
        n->sum += below[i].sum;
    }
}

void
scenario_sparse(void) {
    skua_exec *exec = scenario_open(2 + (int32_t)explore_below(2), 0);
    node root = {.depth = 1 + explore_below(3), .children = 1 + explore_below(CHILDREN_MAX - 1)};
    uint32_t expected = 1, layer = 1;
    for (uint32_t i = 0; i < root.depth; i++) {
        layer *= root.children;
        expected += layer;
    }
    explore_check(skua_exec_run(exec, run_node, &root, NULL) == SKUA_OK, "run");
    explore_check(root.sum == expected, "the tree's sum");
    skua_exec_close(exec);
}
