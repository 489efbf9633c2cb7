// SPDX-License-Identifier: MPL-2.0
// Fork and join: what its users write, and what happens when the stack of slots is short or workers are few.
#include "opened.h"
#include "test.h"

#include <skua-int/thread.h>
#include <skua/exec.h>

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

/* ---- fib ---- */

typedef struct fib_call {
    int n;
    long result;
} fib_call;

static long fib(skua_worker w, int n);

static void
run_fib(skua_worker w, void *frame) {
    fib_call *call = frame;
    call->result = fib(w, call->n);
}

static long
fib(skua_worker w, int n) {
    if (n < 2) {
        return n;
    }
    fib_call right = {.n = n - 2};
    skua_spawn(&w, run_fib, &right);
    long left = fib(w, n - 1);
    skua_sync(&w, run_fib, &right);
    return left + right.result;
}

/* ---- nqueens ---- */

typedef struct board {
    uint32_t rows, columns, up, down; /* rows to fill; what is taken */
    long solutions;
} board;

static void
run_queens(skua_worker w, void *frame) {
    board *b = frame;
    if (b->rows == 0) {
        b->solutions = 1;
        return;
    }
    board next[16];
    int forked = 0;
    for (uint32_t free = ~(b->columns | b->up | b->down) & 0xff; free; free &= free - 1) {
        uint32_t bit = free & -free;
        next[forked] =
            (board){b->rows - 1, b->columns | bit, (b->up | bit) << 1, (b->down | bit) >> 1, 0};
        skua_spawn(&w, run_queens, &next[forked++]);
    }
    while (forked-- > 0) {
        skua_sync(&w, run_queens, &next[forked]);
        b->solutions += next[forked].solutions;
    }
}

static long
fib_on(skua_exec *exec, int n) {
    fib_call call = {.n = n};
    assert_int_equal(skua_exec_run(exec, run_fib, &call, NULL), SKUA_OK);
    return call.result;
}

static void
test_fork_fib_with_1_to_8_workers(void **state) {
    (void)state;
    for (int32_t workers = 1; workers <= 8; workers *= 2) {
        skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = workers));
        assert_int_equal(skua_exec_workers(exec), workers);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(fib_on(exec, 22), 17711);
        }
        assert_null(skua_exec_close(exec));
    }
}

static void
test_fork_nqueens(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 3));
    board start = {.rows = 8};
    assert_int_equal(skua_exec_run(exec, run_queens, &start, NULL), SKUA_OK);
    assert_int_equal(start.solutions, 92);
    skua_exec_close(exec);
}

static void
test_fork_full_stack(void **state) {
    (void)state;
    for (int32_t slots = 1; slots <= 4; slots++) {
        skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2, .stack_slots = slots));
        assert_int_equal(fib_on(exec, 18), 2584);
        board start = {.rows = 8};
        assert_int_equal(skua_exec_run(exec, run_queens, &start, NULL), SKUA_OK);
        assert_int_equal(start.solutions, 92);
        skua_exec_close(exec);
    }
}

/* ---- take_back: the caller runs the call in its own way ---- */

static long
fib_direct(skua_worker w, int n) {
    if (n < 2) {
        return n;
    }
    fib_call right = {.n = n - 2};
    skua_spawn(&w, run_fib, &right);
    long left = fib_direct(w, n - 1);
    return left + (skua_take_back(&w) ? fib_direct(w, n - 2) : right.result);
}

static void
run_fib_direct(skua_worker w, void *frame) {
    fib_call *call = frame;
    call->result = fib_direct(w, call->n);
}

static void
test_fork_take_back_gives_each_call_to_one(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2));
    for (int i = 0; i < 10; i++) {
        fib_call call = {.n = 20};
        assert_int_equal(skua_exec_run(exec, run_fib_direct, &call, NULL), SKUA_OK);
        assert_int_equal(call.result, 6765);
    }
    skua_exec_close(exec);
}

/* ---- Frames in the slots ---- */

static void run_fib_slot(skua_worker w, void *frame);

static long
fib_slot(skua_worker w, int n) {
    if (n < 2) {
        return n;
    }
    fib_call *right = SKUA_FRAME(w, fib_call);
    right->n = n - 2;
    skua_spawn(&w, run_fib_slot, right);
    long left = fib_slot(w, n - 1);
    return left + (skua_take_back(&w) ? fib_slot(w, n - 2) : right->result);
}

static void
run_fib_slot(skua_worker w, void *frame) {
    fib_call *call = frame;
    call->result = fib_slot(w, call->n);
}

static void
test_fork_frames_in_slots(void **state) {
    (void)state;
    for (int32_t slots = 0; slots <= 4; slots++) {
        skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 3, .stack_slots = slots));
        for (int i = 0; i < 10; i++) {
            fib_call call = {.n = 20};
            assert_int_equal(skua_exec_run(exec, run_fib_slot, &call, NULL), SKUA_OK);
            assert_int_equal(call.result, 6765);
        }
        skua_exec_close(exec);
    }
}

/* ---- Runs that do not know where the forks end ---- */

enum {
    NEST_FORKS = 70,
    NEST_DEPTH = 6,
};

typedef struct nest_call {
    int depth;
    long sum;
} nest_call;

static void
count_one(skua_worker w, void *frame) {
    (void)w;
    ++*(int *)frame;
}

static void
run_nest(skua_worker w, void *frame) {
    nest_call *call = frame;
    int counts[NEST_FORKS] = {0};
    nest_call within = {.depth = call->depth - 1};
    for (int i = 0; i < NEST_FORKS; i++) {
        skua_spawn(&w, count_one, &counts[i]);
        if (call->depth > 0 && i % 30 == 20) {
            assert_int_equal(skua_exec_run(skua_worker_exec(w), run_nest, &within, NULL), SKUA_OK);
            call->sum += within.sum;
            within.sum = 0;
        }
    }
    for (int i = NEST_FORKS; i-- > 0;) {
        skua_sync(&w, count_one, &counts[i]);
        assert_int_equal(counts[i], 1);
    }
    call->sum += NEST_FORKS;
}

static void
test_fork_within_a_run_that_does_not_know_the_top(void **state) {
    (void)state;
    for (int workers = 1; workers <= 3; workers++) {
        for (int slots = 100; slots <= SKUA_EXEC_SLOTS_MAX; slots += SKUA_EXEC_SLOTS_MAX - 100) {
            skua_exec *exec = NULL;
            assert_int_equal(
                skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = workers, .stack_slots = slots),
                               NULL),
                SKUA_OK);
            for (int i = 0; i < 5; i++) {
                nest_call call = {.depth = NEST_DEPTH};
                assert_int_equal(skua_exec_run(exec, run_nest, &call, NULL), SKUA_OK);
                assert_int_equal(call.sum, NEST_FORKS * ((1 << (NEST_DEPTH + 1)) - 1));
            }
            skua_exec_close(exec);
        }
    }
}

/* ---- A full stack: the sync runs what found no place, newest first ---- */

enum { FULL_FORKS = 5, FULL_SLOTS = 2 };

typedef struct full_stack {
    int order[FULL_FORKS], runs;
} full_stack;

typedef struct full_call {
    full_stack *all;
    int number;
} full_call;

static void
run_full_call(skua_worker w, void *frame) {
    (void)w;
    full_call *call = frame;
    call->all->order[call->all->runs++] = call->number;
}

static void
run_full_stack(skua_worker w, void *frame) {
    full_call calls[FULL_FORKS];
    for (int i = 0; i < FULL_FORKS; i++) {
        calls[i] = (full_call){.all = frame, .number = i};
        skua_spawn(&w, run_full_call, &calls[i]);
        assert_int_equal(calls[i].all->runs, 0);
    }
    for (int i = FULL_FORKS; i-- > 0;) {
        skua_sync(&w, run_full_call, &calls[i]);
        assert_int_equal(calls[i].all->order[FULL_FORKS - 1 - i], i);
    }
}

static void
test_fork_full_stack_runs_in_sync(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 1, .stack_slots = FULL_SLOTS));
    full_stack all = {.runs = 0};
    assert_int_equal(skua_exec_run(exec, run_full_stack, &all, NULL), SKUA_OK);
    assert_int_equal(all.runs, FULL_FORKS);
    skua_exec_close(exec);
}

/* ---- A second worker takes part: the forker waits until its call was taken ---- */

typedef struct meeting {
    _Atomic bool taken;
    uint32_t index;
} meeting;

static void
run_taken(skua_worker w, void *frame) {
    meeting *m = frame;
    m->index = skua_worker_index(w);
    atomic_store(&m->taken, true);
}

static void
run_ignored(skua_worker w, void *frame) {
    (void)w, (void)frame;
}

static void
run_forker(skua_worker w, void *frame) {
    meeting *m = frame;
    m->index = UINT32_MAX;
    skua_spawn(&w, run_taken, m);
    while (!atomic_load(&m->taken)) {
        /* Each spawn is a moment at which a thief may ask for the older fork. */
        skua_spawn(&w, run_ignored, NULL);
        skua_sync(&w, run_ignored, NULL);
    }
    skua_sync(&w, run_taken, m);
    assert_int_not_equal(m->index, skua_worker_index(w));
}

static void
test_fork_idle_worker_wakes_and_steals(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2));
    for (int i = 0; i < 100; i++) {
        meeting m = {0};
        assert_int_equal(skua_exec_run(exec, run_forker, &m, NULL), SKUA_OK);
    }
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    assert_true(stats.steals >= 100);
    assert_true(stats.shares >= 100);
    assert_int_equal(stats.tasks, 100);
    skua_exec_close(exec);
}

/* ---- A thread deep in its own stack takes nothing while it waits ---- */

enum { DEEP_TRIES = 3000, DEEP_STEP_BYTES = 16384 };

typedef struct deep {
    meeting stolen, inner;
    bool is_deep;
    uint32_t stolen_by, inner_by;
} deep;

static void
run_inner(skua_worker w, void *frame) {
    deep *d = frame;
    d->inner_by = skua_worker_index(w);
    atomic_store(&d->inner.taken, true);
}

/* Runs on the thief: offers a call for long, to the forker, who waits in its sync. */
static void
run_stolen(skua_worker w, void *frame) {
    deep *d = frame;
    d->stolen_by = skua_worker_index(w);
    atomic_store(&d->stolen.taken, true);
    skua_spawn(&w, run_inner, d);
    for (int i = 0; d->is_deep ? i < DEEP_TRIES : !atomic_load(&d->inner.taken); i++) {
        skua_spawn(&w, run_ignored, NULL);
        skua_sync(&w, run_ignored, NULL);
        sched_yield(); /* the forker is to have its chances on a busy machine, too */
    }
    skua_sync(&w, run_inner, d);
}

static void
wait_for_stolen(skua_worker w, deep *d) {
    skua_spawn(&w, run_stolen, d);
    while (!atomic_load(&d->stolen.taken)) {
        skua_spawn(&w, run_ignored, NULL);
        skua_sync(&w, run_ignored, NULL);
    }
    skua_sync(&w, run_stolen, d);
}

static void
go_deep(skua_worker w, deep *d, size_t bytes) {
    char used[DEEP_STEP_BYTES];
    keep_memory(used);
    if (bytes < sizeof used) {
        wait_for_stolen(w, d);
    } else {
        go_deep(w, d, bytes - sizeof used);
    }
    keep_memory(used); /* after the call, so that it is no loop */
}

static void
run_deep(skua_worker w, void *frame) {
    deep *d = frame;
    go_deep(w, d, d->is_deep ? skua__thread_stack_bytes() * 5 / 8 : 0);
}

static void
test_fork_a_deep_thread_takes_nothing_while_it_waits(void **state) {
    (void)state;
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2));
    deep shallow = {.is_deep = false}, d = {.is_deep = true};
    skua_exec_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    assert_int_equal(skua_exec_run(exec, run_deep, &shallow, NULL), SKUA_OK);
    assert_int_not_equal(shallow.inner_by, shallow.stolen_by); /* the forker took it */
    assert_int_equal(skua_exec_stats_get(exec, &before), SKUA_OK);
    assert_int_equal(skua_exec_run(exec, run_deep, &d, NULL), SKUA_OK);
    assert_int_equal(skua_exec_stats_get(exec, &after), SKUA_OK);
    assert_int_equal(d.inner_by, d.stolen_by);
    assert_int_equal(after.leaps, before.leaps);
    skua_exec_close(exec);
}

/* ---- sync never runs what it did not fork ---- */

typedef struct stranger {
    skua_job job;
    _Atomic int ran_inside; /* while a sync waited on the same worker */
    _Atomic int ran;
    _Atomic uint32_t busy; /* bit i: worker i is inside a sync */
} stranger;

typedef struct stranger_job {
    skua_job job;
    stranger *all;
} stranger_job;

static void
run_stranger(skua_worker w, skua_job *job) {
    stranger *all = ((stranger_job *)(void *)job)->all;
    if (atomic_load(&all->busy) & 1u << skua_worker_index(w)) {
        atomic_fetch_add(&all->ran_inside, 1);
    }
    atomic_fetch_add(&all->ran, 1);
}

static void
run_waiting_root(skua_worker w, void *frame) {
    stranger *all = frame;
    uint32_t bit = 1u << skua_worker_index(w);
    for (int i = 0; i < 200; i++) {
        fib_call call = {.n = 12};
        skua_spawn(&w, run_fib, &call);
        atomic_fetch_or(&all->busy, bit);
        skua_sync(&w, run_fib, &call);
        atomic_fetch_and(&all->busy, ~bit);
    }
}

static void
test_fork_sync_runs_only_what_was_forked(void **state) {
    (void)state;
    enum { JOBS = 500 };
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 3));
    stranger all = {0};
    static stranger_job jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        skua_job_init(&jobs[i].job, run_stranger);
        jobs[i].all = &all;
        assert_int_equal(skua_exec_submit(exec, &jobs[i].job), SKUA_OK);
        if (i % 100 == 50) {
            assert_int_equal(skua_exec_run(exec, run_waiting_root, &all, NULL), SKUA_OK);
        }
    }
    skua_exec_close(exec);
    assert_int_equal(atomic_load(&all.ran), JOBS);
    assert_int_equal(atomic_load(&all.ran_inside), 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_fib_with_1_to_8_workers),
        cmocka_unit_test(test_fork_nqueens),
        cmocka_unit_test(test_fork_full_stack),
        cmocka_unit_test(test_fork_frames_in_slots),
        cmocka_unit_test(test_fork_within_a_run_that_does_not_know_the_top),
        cmocka_unit_test(test_fork_full_stack_runs_in_sync),
        cmocka_unit_test(test_fork_take_back_gives_each_call_to_one),
        cmocka_unit_test(test_fork_idle_worker_wakes_and_steals),
        cmocka_unit_test(test_fork_a_deep_thread_takes_nothing_while_it_waits),
        cmocka_unit_test(test_fork_sync_runs_only_what_was_forked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
