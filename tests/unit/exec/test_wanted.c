// SPDX-License-Identifier: MPL-2.0
// Forking only where it is wanted: how many forks that leaves, that whoever has no work is given some all the same, and that every
// mixture of forks and plain calls comes to the same sum.
#include "opened.h"
#include "test.h"

#include <assert.h>
#include <sched.h>
#include <skua/exec.h>
#include <stdatomic.h>

enum { FORKS_MAX = 100, QUEENS_N = 9, QUEENS_WAYS = 352, HELPERS_MAX = 3 };

static void
do_nothing(skua_worker w, void *frame) {
    (void)w, (void)frame;
}

/* ---- How many ---- */

typedef struct counts {
    int first, again, after_sync, deterministic;
} counts;

static int
fork_while_wanted(skua_worker *w, int most) {
    int count = 0;
    while (count < most && skua_fork_wanted(*w)) {
        skua_spawn(w, do_nothing, NULL);
        count++;
    }
    return count;
}

static void
sync_all(skua_worker *w, int count) {
    while (count-- > 0) {
        skua_sync(w, do_nothing, NULL);
    }
}

static void
run_counts(skua_worker w, void *frame) {
    counts *c = frame;
    c->first = fork_while_wanted(&w, FORKS_MAX);
    sync_all(&w, 1);
    c->after_sync = fork_while_wanted(&w, FORKS_MAX);
    sync_all(&w, c->first + c->after_sync - 1);
    c->again = fork_while_wanted(&w, FORKS_MAX);
    sync_all(&w, c->again);
}

static void
test_wanted_while_few_are_kept(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    counts c = {0};
    assert_int_equal(skua_exec_run(exec, run_counts, &c, NULL), SKUA_OK);
    /* A new stack is asked for work from its start, so the very first fork is shown. */
    assert_int_equal(c.first, SKUA_FORKS_KEPT + 1);
    assert_int_equal(c.after_sync, 1);
    assert_int_equal(c.again, SKUA_FORKS_KEPT);
    skua_exec_close(exec);
}

static void
run_always(skua_worker w, void *frame) {
    counts *c = frame;
    c->deterministic = fork_while_wanted(&w, FORKS_MAX);
    sync_all(&w, c->deterministic);
}

static void
test_wanted_always_in_deterministic_mode(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .deterministic_seed = 7));
    counts c = {0};
    assert_int_equal(skua_exec_run(exec, run_always, &c, NULL), SKUA_OK);
    assert_int_equal(c.deterministic, FORKS_MAX);
    skua_exec_close(exec);
}

/* ---- A tree ---- */

typedef struct board {
    uint32_t columns, left, right;
    long ways, forks, nodes;
} board;

static void
place(skua_worker w, void *frame) {
    board *self = frame, tries[QUEENS_N];
    const uint32_t all = (1u << QUEENS_N) - 1;
    int count = 0;
    self->ways = self->columns == all;
    self->nodes = 1;
    self->forks = 0;
    bool forks = skua_fork_wanted(w);
    for (uint32_t open = all & ~(self->columns | self->left | self->right); open;
         open &= open - 1) {
        uint32_t queen = open & -open;
        board *next = &tries[count++];
        *next = (board){.columns = self->columns | queen,
                        .left = (self->left | queen) << 1,
                        .right = (self->right | queen) >> 1};
        if (forks) {
            skua_spawn(&w, place, next);
        } else {
            place(w, next);
        }
    }
    while (count-- > 0) {
        if (forks) {
            skua_sync(&w, place, &tries[count]);
        }
        self->ways += tries[count].ways;
        self->nodes += tries[count].nodes;
        self->forks += tries[count].forks + forks;
    }
}

static void
test_wanted_of_a_tree_nearly_all_is_called(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    board empty = {0};
    assert_int_equal(skua_exec_run(exec, place, &empty, NULL), SKUA_OK);
    assert_int_equal(empty.ways, QUEENS_WAYS);
    assert_true(empty.forks > 0);
    assert_true(empty.forks < empty.nodes / 10);
    skua_exec_close(exec);
}

static void
test_wanted_any_workers_and_slots(void **state) {
    (void)state;
    for (int32_t workers = 1; workers <= 8; workers *= 2) {
        for (int32_t slots = 0; slots <= 4; slots++) {
            skua_exec *exec =
                open_exec(SKUA_EXEC_OPTIONS(.workers = workers, .stack_slots = slots));
            board empty = {0};
            assert_int_equal(skua_exec_run(exec, place, &empty, NULL), SKUA_OK);
            assert_int_equal(empty.ways, QUEENS_WAYS);
            skua_exec_close(exec);
        }
    }
}

/* ---- Whoever has no work gets some ---- */

/*
 * A walk that goes on until every other worker has one of its calls, all at the same time. Whoever takes the newest fork has
 * nothing older left to take, so a walk that waits in a sync has given at least what it keeps.
 */
static_assert(HELPERS_MAX <= SKUA_FORKS_KEPT, "a walk that waits has fed all others");

typedef struct walk {
    uint32_t others;
    _Atomic uint32_t fed;
    uint32_t walker; /* a worker's number */
} walk;

/* One level of it: so many runs that do not know the top are begun before it. */
typedef struct level {
    walk *walk;
    int nests;
} level;

static bool
is_over(walk *self) {
    return atomic_load(&self->fed) == self->others;
}

static void
be_fed(skua_worker w, void *frame) {
    walk *self = frame;
    if (skua_worker_index(w) != self->walker && !is_over(self)) {
        atomic_fetch_add(&self->fed, 1);
        while (!is_over(self)) {
            sched_yield();
        }
    }
}

/* Nothing but the question tells it that somebody asks: it forks and syncs nothing while the answer is no. */
static void
run_walk(skua_worker w, void *frame) {
    const level *here = frame;
    walk *self = here->walk;
    int kept = 0;
    for (; kept < FORKS_MAX && skua_fork_wanted(w); kept++) {
        skua_spawn(&w, be_fed, self);
    }
    if (here->nests > 0) {
        level within = {.walk = self, .nests = here->nests - 1};
        assert_int_equal(skua_exec_run(skua_worker_exec(w), run_walk, &within, NULL), SKUA_OK);
    }
    while (!is_over(self)) {
        if (skua_fork_wanted(w)) {
            skua_spawn(&w, be_fed, self);
            skua_sync(&w, be_fed, self);
        }
        sched_yield();
    }
    while (kept-- > 0) {
        skua_sync(&w, be_fed, self);
    }
}

static void
begin_walk(skua_worker w, void *frame) {
    level *first = frame;
    first->walk->walker = skua_worker_index(w);
    run_walk(w, first);
}

static void
test_wanted_feeds_every_worker(void **state) {
    (void)state;
    for (uint32_t others = 1; others <= HELPERS_MAX; others++) {
        skua_exec *exec = open_workers((int32_t)others + 1, SKUA_NONE);
        for (int i = 0; i < 60; i++) {
            walk self = {.others = others};
            level first = {.walk = &self, .nests = i % 3};
            assert_int_equal(skua_exec_run(exec, begin_walk, &first, NULL), SKUA_OK);
            assert_int_equal(atomic_load(&self.fed), others);
        }
        skua_exec_close(exec);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wanted_while_few_are_kept),
        cmocka_unit_test(test_wanted_always_in_deterministic_mode),
        cmocka_unit_test(test_wanted_of_a_tree_nearly_all_is_called),
        cmocka_unit_test(test_wanted_any_workers_and_slots),
        cmocka_unit_test(test_wanted_feeds_every_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
