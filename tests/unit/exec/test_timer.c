// SPDX-License-Identifier: MPL-2.0
// Timers: each call once, in the order of the deadlines, cancelled or moved, and no thread where there is none. No test here
// judges how late a call was.
#include "opened.h"
#include "test.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <skua-int/clock.h>
#include <skua/latch.h>
#include <skua/timer.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HOUR_MS = 3600 * 1000 };

/* The clock of this program stands still while this is not 0. */
static _Atomic int64_t frozen_ns;

int64_t __real_skua__clock_ns(void);
int64_t __wrap_skua__clock_ns(void);

int64_t
__wrap_skua__clock_ns(void) {
    int64_t frozen = atomic_load(&frozen_ns);
    return frozen ? frozen : __real_skua__clock_ns();
}

int64_t __real_skua__deadline_ns(int64_t timeout_ms);
int64_t __wrap_skua__deadline_ns(int64_t timeout_ms);

int64_t
__wrap_skua__deadline_ns(int64_t timeout_ms) {
    int64_t frozen = atomic_load(&frozen_ns);
    return frozen ? frozen + timeout_ms * SKUA_NS_PER_MS : __real_skua__deadline_ns(timeout_ms);
}

static int
count_threads(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(folder);
    return count;
}

/* ---- Once ---- */

typedef struct alarm_clock {
    skua_timer timer; /* first: it is the alarm's address */
    skua_latch *rang;
    atomic_int calls;
    int again; /* so often it sets itself anew */
} alarm_clock;

static void
ring(skua_worker w, skua_timer *timer) {
    alarm_clock *self = (alarm_clock *)(void *)timer;
    atomic_fetch_add(&self->calls, 1);
    if (self->again > 0) {
        self->again--;
        assert_int_equal(skua_exec_after(skua_worker_exec(w), timer, 0, NULL), SKUA_OK);
    } else {
        skua_latch_count_down(self->rang, 1);
    }
}

static void
test_timer_calls_once_and_has_a_thread_only_when_set(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    int before = count_threads();
    skua_latch latch;
    alarm_clock alarm = {.rang = &latch};
    skua_timer_init(&alarm.timer, ring);
    assert_false(skua_timer_cancel(&alarm.timer)); /* never set */
    assert_int_equal(count_threads(), before);
    for (int round = 1; round <= 5; round++) {
        skua_latch_init(&latch, exec, 1);
        assert_int_equal(skua_exec_after(exec, &alarm.timer, round % 3, NULL), SKUA_OK);
        assert_int_equal(count_threads(), before + 1);
        assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
        assert_int_equal(atomic_load(&alarm.calls), round);
        skua_latch_fini(&latch);
    }
    assert_false(skua_timer_cancel(&alarm.timer)); /* it has rung */
    skua_timer_fini(&alarm.timer);
    skua_timer_fini(&alarm.timer); /* zeroed now */
    skua_timer_fini(NULL);
    skua_exec_close(exec);
}

static void
test_timer_sets_itself_anew(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, SKUA_NONE);
    skua_latch latch;
    alarm_clock alarm = {.rang = &latch, .again = 50};
    skua_timer_init(&alarm.timer, ring);
    skua_latch_init(&latch, exec, 1);
    assert_int_equal(skua_exec_after(exec, &alarm.timer, 0, NULL), SKUA_OK);
    assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
    assert_int_equal(atomic_load(&alarm.calls), 51);
    skua_timer_fini(&alarm.timer);
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

static void
test_timer_is_moved_and_cancelled(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_latch latch;
    alarm_clock alarm = {.rang = &latch}, never = {.rang = &latch};
    skua_latch_init(&latch, exec, 1);
    skua_timer_init(&alarm.timer, ring);
    skua_timer_init(&never.timer, ring);
    assert_int_equal(skua_exec_after(exec, &alarm.timer, HOUR_MS, NULL), SKUA_OK);
    assert_int_equal(skua_exec_after(exec, &never.timer, INT64_MAX, NULL), SKUA_OK);
    assert_int_equal(skua_exec_after(exec, &alarm.timer, 0, NULL), SKUA_OK);
    assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
    assert_int_equal(skua_exec_after(exec, &alarm.timer, HOUR_MS, NULL), SKUA_OK);
    assert_true(skua_timer_cancel(&alarm.timer));
    assert_false(skua_timer_cancel(&alarm.timer));
    assert_true(skua_timer_cancel(&never.timer));
    assert_int_equal(atomic_load(&alarm.calls), 1);
    skua_timer_fini(&alarm.timer);
    skua_timer_fini(&never.timer);
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

/* ---- Many: the order of those whose deadlines are certain to differ ---- */

enum { MANY = 400 };

typedef struct many_timer {
    skua_timer timer;
    skua_latch *all;
    atomic_int *position;
    int64_t earliest_ns, latest_ns; /* bounds of its deadline */
    int calls, at;
} many_timer;

static void
note_position(skua_worker w, skua_timer *timer) {
    (void)w;
    many_timer *self = (many_timer *)(void *)timer;
    self->calls++;
    self->at = atomic_fetch_add(self->position, 1);
    skua_latch_count_down(self->all, 1);
}

static void
test_timer_order_of_many(void **state) {
    (void)state;
    static many_timer timers[MANY], *in_order[MANY];
    unsigned seed = (unsigned)test_seed(99);
    skua_exec *exec =
        open_workers(1, SKUA_NONE); /* so they run in the order in which they are due */
    skua_latch all;
    atomic_int position = 0;
    skua_latch_init(&all, exec, MANY);
    for (int i = 0; i < MANY; i++) {
        timers[i] = (many_timer){.all = &all, .position = &position};
        skua_timer_init(&timers[i].timer, note_position);
        if (rand_r(&seed) % 2) { /* some are moved, from the front or the back */
            assert_int_equal(skua_exec_after(exec, &timers[i].timer, HOUR_MS + i, NULL), SKUA_OK);
        }
    }
    int expected = 0;
    for (int i = 0; i < MANY; i++) {
        int64_t delay_ms = rand_r(&seed) % 100;
        timers[i].earliest_ns = skua__clock_ns() + delay_ms * SKUA_NS_PER_MS;
        assert_int_equal(skua_exec_after(exec, &timers[i].timer, delay_ms, NULL), SKUA_OK);
        timers[i].latest_ns = skua__clock_ns() + delay_ms * SKUA_NS_PER_MS;
        if (i % 4 == 0 && skua_timer_cancel(&timers[i].timer)) {
            skua_latch_count_down(&all, 1);
        } else {
            expected++;
        }
    }
    assert_int_equal(skua_latch_wait(&all, 0, NULL), SKUA_OK);
    for (int i = 0; i < MANY; i++) {
        skua_timer_fini(&timers[i].timer);
    }
    assert_int_equal(atomic_load(&position), expected);
    int fired = 0;
    for (int i = 0; i < MANY; i++) {
        assert_in_range(timers[i].calls, 0, 1);
        if (timers[i].calls) {
            in_order[timers[i].at] = &timers[i];
            fired++;
        }
    }
    assert_int_equal(fired, expected);
    for (int i = 0; i + 1 < fired; i++) {
        assert_true(in_order[i]->earliest_ns <= in_order[i + 1]->latest_ns);
    }
    skua_latch_fini(&all);
    skua_exec_close(exec);
}

/* Those with one and the same deadline: in the order in which they were set, or set anew. */
static void
test_timer_order_of_equals(void **state) {
    (void)state;
    enum { EQUALS = 20 };
    static many_timer timers[EQUALS];
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_latch all;
    atomic_int position = 0;
    skua_latch_init(&all, exec, EQUALS);
    atomic_store(&frozen_ns, skua__clock_ns());
    for (int i = 0; i < 2 * EQUALS; i++) {
        int which = i % EQUALS * 7 % EQUALS;
        if (i < EQUALS) {
            timers[which] = (many_timer){.all = &all, .position = &position};
            skua_timer_init(&timers[which].timer, note_position);
        }
        if (i < EQUALS ? which % 2 == 0 : which % 2 == 1 || which % 3 == 0) {
            assert_int_equal(skua_exec_after(exec, &timers[which].timer, 1, NULL), SKUA_OK);
            timers[which].latest_ns = i; /* when it was set the last time */
        }
    }
    atomic_store(&frozen_ns, 0);
    assert_int_equal(skua_latch_wait(&all, 0, NULL), SKUA_OK);
    for (int i = 0; i < EQUALS; i++) {
        int before = 0;
        for (int k = 0; k < EQUALS; k++) {
            before += timers[k].latest_ns < timers[i].latest_ns;
        }
        skua_timer_fini(&timers[i].timer);
        assert_int_equal(timers[i].at, before);
    }
    skua_latch_fini(&all);
    skua_exec_close(exec);
}

/* ---- Again and again ---- */

typedef struct beat {
    skua_timer timer;
    skua_latch *latch;
    atomic_int calls, inside;
    int cancel_at; /* the call that cancels its own timer; 0: none */
    atomic_bool *let_go;
    bool saw_cancel;
} beat;

static void
run_beat(skua_worker w, skua_timer *timer) {
    beat *self = (beat *)(void *)timer;
    assert_int_equal(atomic_fetch_add(&self->inside, 1), 0);
    int call = atomic_fetch_add(&self->calls, 1) + 1;
    if (call == self->cancel_at) {
        assert_true(skua_timer_cancel(timer));
    }
    while (self->let_go && !atomic_load(self->let_go) && !self->saw_cancel) {
        self->saw_cancel = skua_worker_cancelled(w);
        sched_yield();
    }
    atomic_fetch_sub(&self->inside, 1);
    if (call <= 5) {
        skua_latch_count_down(self->latch, 1);
    }
}

static void
test_timer_every_goes_on_until_cancelled(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, SKUA_NONE);
    skua_latch latch;
    beat self = {.latch = &latch};
    skua_latch_init(&latch, exec, 5);
    skua_timer_init(&self.timer, run_beat);
    assert_int_equal(skua_exec_every(exec, &self.timer, 1, NULL), SKUA_OK);
    assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
    assert_true(skua_timer_cancel(&self.timer));
    int calls = atomic_load(&self.calls);
    assert_true(calls >= 5);
    assert_int_equal(atomic_load(&self.inside), 0); /* none is under way */
    /* Another timer's call comes later than the next beat would have. */
    skua_latch later;
    alarm_clock alarm = {.rang = &later};
    skua_latch_init(&later, exec, 1);
    skua_timer_init(&alarm.timer, ring);
    assert_int_equal(skua_exec_after(exec, &alarm.timer, 5, NULL), SKUA_OK);
    assert_int_equal(skua_latch_wait(&later, 0, NULL), SKUA_OK);
    assert_int_equal(atomic_load(&self.calls), calls);
    skua_timer_fini(&alarm.timer);
    skua_timer_fini(&self.timer);
    skua_latch_fini(&later);
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

typedef struct own_end {
    alarm_clock alarm; /* first */
    bool prevented;
} own_end;

static void
cancel_own(skua_worker w, skua_timer *timer) {
    ((own_end *)(void *)timer)->prevented = skua_timer_cancel(timer);
    ring(w, timer);
}

/* There is nothing left to prevent, and the call goes on to be the last. */
static void
test_timer_once_cancelled_by_its_own_call(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_latch latch;
    own_end self = {.alarm = {.rang = &latch}, .prevented = true};
    skua_latch_init(&latch, exec, 1);
    skua_timer_init(&self.alarm.timer, cancel_own);
    assert_int_equal(skua_exec_after(exec, &self.alarm.timer, 0, NULL), SKUA_OK);
    assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
    assert_false(skua_timer_cancel(&self.alarm.timer)); /* waits for the call's end */
    assert_false(self.prevented);
    skua_timer_fini(&self.alarm.timer);
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

/* Sets itself anew for as long as nobody has cancelled it, and once more then. */
static void
set_anew_when_cancelled(skua_worker w, skua_timer *timer) {
    alarm_clock *self = (alarm_clock *)(void *)timer;
    atomic_fetch_add(&self->calls, 1);
    while (!skua_worker_cancelled(w)) {
        sched_yield();
    }
    assert_int_equal(skua_exec_after(skua_worker_exec(w), timer, HOUR_MS, NULL), SKUA_OK);
}

static void
test_timer_cancel_meets_a_call_that_sets_it_anew(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    alarm_clock alarm = {.again = 0};
    skua_timer_init(&alarm.timer, set_anew_when_cancelled);
    assert_int_equal(skua_exec_after(exec, &alarm.timer, 0, NULL), SKUA_OK);
    while (atomic_load(&alarm.calls) == 0) {
        sched_yield();
    }
    assert_false(skua_timer_cancel(&alarm.timer)); /* the call had begun */
    assert_false(skua_timer_cancel(&alarm.timer)); /* and what it set is gone with it */
    skua_timer_fini(&alarm.timer);
    skua_exec_close(exec);
}

static void
test_timer_every_cancelled_by_its_own_call(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_latch latch;
    beat self = {.latch = &latch, .cancel_at = 3};
    skua_latch_init(&latch, exec, 3);
    skua_timer_init(&self.timer, run_beat);
    assert_int_equal(skua_exec_every(exec, &self.timer, 1, NULL), SKUA_OK);
    assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
    assert_false(skua_timer_cancel(&self.timer)); /* nothing is left to prevent */
    assert_int_equal(atomic_load(&self.calls), 3);
    skua_timer_fini(&self.timer);
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

static uint64_t
beats_so_far(beat *self) {
    return (uint64_t)atomic_load(&self->calls) + skua_timer_missed(&self->timer);
}

/* A moment must come at which all beats since after_ns are called or counted, and at no moment are they more than since before_ns. */
static void
check_abreast(beat *self, int64_t before_ns, int64_t after_ns) {
    enum { LAG = 2 };
    int64_t behind, until_ns = skua__clock_ns() + 10 * SKUA_NS_PER_S;
    do {
        int64_t due = (skua__clock_ns() - after_ns) / SKUA_NS_PER_MS;
        behind = due - (int64_t)beats_so_far(self);
        sched_yield();
    } while (behind > LAG && skua__clock_ns() < until_ns);
    assert_true(behind <= LAG);
    int64_t beats = (int64_t)beats_so_far(self);
    assert_true(beats <= (skua__clock_ns() - before_ns) / SKUA_NS_PER_MS);
}

static void
test_timer_every_never_overlaps(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, SKUA_NONE);
    skua_latch latch;
    atomic_bool let_go = false;
    beat self = {.latch = &latch, .let_go = &let_go};
    skua_latch_init(&latch, exec, 5);
    skua_timer_init(&self.timer, run_beat);
    int64_t before_ns = skua__clock_ns();
    assert_int_equal(skua_exec_every(exec, &self.timer, 1, NULL), SKUA_OK);
    int64_t after_ns = skua__clock_ns();
    while (atomic_load(&self.inside) == 0) {
        sched_yield();
    }
    uint64_t missed = skua_timer_missed(&self.timer); /* on a busy machine some are late before */
    while (skua_timer_missed(&self.timer) < missed + 30) {
        sched_yield();
    }
    assert_int_equal(atomic_load(&self.calls), 1);
    check_abreast(&self, before_ns, after_ns); /* each that was left out is counted, and once */
    atomic_store(&let_go, true);
    assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
    assert_true(skua_timer_cancel(&self.timer));
    /* A call that runs hears of the cancel. */
    atomic_store(&let_go, false);
    int calls = atomic_load(&self.calls);
    assert_int_equal(skua_exec_after(exec, &self.timer, 0, NULL), SKUA_OK);
    while (atomic_load(&self.calls) == calls) {
        sched_yield();
    }
    assert_false(skua_timer_cancel(&self.timer));
    assert_true(self.saw_cancel);
    skua_timer_fini(&self.timer);
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

/* Stops the process for so long, as a debugger or a suspended laptop does. */
static void
stop_for(int64_t ms) {
    pid_t self = getpid(), waker = fork();
    if (waker == 0) {
        int64_t until_ns = skua__clock_ns() + ms * SKUA_NS_PER_MS;
        while (skua__clock_ns() < until_ns) {
            sched_yield();
        }
        kill(self, SIGCONT);
        _exit(0);
    }
    raise(SIGSTOP);
    assert_int_equal(waitpid(waker, NULL, 0), waker);
}

/* Beats do not drift by what each comes late, and those that nobody could call are counted. */
static void
test_timer_every_keeps_to_its_beat(void **state) {
    (void)state;
    enum { BEATS = 100, STOPPED_MS = 30 };
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_latch latch;
    beat self = {.latch = &latch};
    skua_latch_init(&latch, exec, 5);
    skua_timer_init(&self.timer, run_beat);
    /* The first beat is due a period after some moment between these two, which a busy machine takes apart. */
    int64_t before_ns = skua__clock_ns();
    assert_int_equal(skua_exec_every(exec, &self.timer, 1, NULL), SKUA_OK);
    int64_t after_ns = skua__clock_ns();
    while (beats_so_far(&self) < BEATS) {
        sched_yield();
    }
    stop_for(STOPPED_MS);
    check_abreast(&self, before_ns, after_ns);
    skua_timer_cancel(&self.timer);
    skua_timer_fini(&self.timer);
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

/* ---- A busy executor ---- */

typedef struct let_go {
    skua_job job;
    alarm_clock *alarm;
    bool cancels, prevented;
    atomic_bool entered, open;
} let_go;

static void
run_blocker(skua_worker w, skua_job *job) {
    let_go *self = (let_go *)(void *)job;
    atomic_store(&self->entered, true);
    if (self->cancels) {
        skua_exec_stats stats = {.size = sizeof stats};
        assert_int_equal(skua_exec_after(skua_worker_exec(w), &self->alarm->timer, 0, NULL),
                         SKUA_OK);
        while (stats.queued_tasks == 0) { /* until it is in the queue, which we block */
            sched_yield();
            stats.size = sizeof stats;
            assert_int_equal(skua_exec_stats_get(skua_worker_exec(w), &stats), SKUA_OK);
        }
        self->prevented = skua_timer_cancel(&self->alarm->timer);
    }
    while (!atomic_load(&self->open)) {
        sched_yield();
    }
}

static void
do_nothing(skua_worker w, skua_job *job) {
    (void)w;
    (void)job;
}

static void
test_timer_cancel_drops_a_call_that_is_queued(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_latch latch;
    alarm_clock alarm = {.rang = &latch};
    skua_timer_init(&alarm.timer, ring);
    skua_latch_init(&latch, exec, 1);
    let_go self = {.alarm = &alarm, .cancels = true, .open = true};
    skua_job_init(&self.job, run_blocker);
    skua_group group;
    skua_group_init(&group, exec);
    assert_int_equal(skua_group_submit(&group, &self.job), SKUA_OK);
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
    assert_true(self.prevented);
    assert_int_equal(atomic_load(&alarm.calls), 0);
    /* And it works as ever after that. */
    assert_int_equal(skua_exec_after(exec, &alarm.timer, 0, NULL), SKUA_OK);
    assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
    skua_timer_fini(&alarm.timer);
    skua_latch_fini(&latch);
    skua_group_fini(&group);
    skua_exec_close(exec);
}

static void
test_timer_tries_again_when_the_queue_is_full(void **state) {
    (void)state;
    skua_exec *exec = NULL;
    assert_int_equal(
        skua_exec_open(
            &exec, SKUA_EXEC_OPTIONS(.workers = 1, .spares = SKUA_NONE, .queue_tasks = 1), NULL),
        SKUA_OK);
    skua_latch latch;
    alarm_clock alarm = {.rang = &latch};
    skua_timer_init(&alarm.timer, ring);
    skua_latch_init(&latch, exec, 1);
    let_go self = {.alarm = &alarm};
    skua_job_init(&self.job, run_blocker);
    assert_int_equal(skua_exec_submit(exec, &self.job), SKUA_OK);
    while (!atomic_load(&self.entered)) {
        sched_yield();
    }
    skua_job filler;
    skua_job_init(&filler, do_nothing);
    assert_int_equal(skua_exec_submit(exec, &filler), SKUA_OK);
    assert_int_equal(skua_exec_after(exec, &alarm.timer, 0, NULL), SKUA_OK);
    while (skua_timer_missed(&alarm.timer) < 2) {
        sched_yield();
    }
    atomic_store(&self.open, true);
    assert_int_equal(skua_latch_wait(&latch, 0, NULL), SKUA_OK);
    assert_int_equal(atomic_load(&alarm.calls), 1);
    skua_timer_fini(&alarm.timer);
    skua_latch_fini(&latch);
    skua_exec_close(exec);
}

/* ---- Bad use, the end, fork ---- */

static void
test_timer_errors(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE), *other = open_workers(1, SKUA_NONE);
    skua_timer timer, empty;
    skua_timer_init(&timer, ring);
    skua_timer_init(&empty, NULL);
    assert_int_equal(skua_exec_after(NULL, &timer, 1, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_after(exec, NULL, 1, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_after(exec, &empty, 1, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_after(exec, &timer, -1, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_every(exec, &timer, 0, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_every(exec, &timer, INT64_MAX, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_every(exec, &timer, HOUR_MS, NULL), SKUA_OK);
    assert_int_equal(skua_exec_after(other, &timer, 1, NULL), SKUA_E_BAD_ARGUMENT);
    pid_t child = fork();
    if (child == 0) {
        bool good =
            skua_exec_after(exec, &timer, 0, NULL) == SKUA_E_FORKED && !skua_timer_cancel(&timer);
#ifndef __SANITIZE_THREAD__ /* which lets the child of a process with threads start none */
        /* Rebuilt, the executor takes the same timer anew. */
        good &= skua_exec_rebuild_after_fork(exec, NULL) == SKUA_OK;
        good &= !skua_timer_cancel(&timer);
        good &= skua_exec_after(exec, &timer, HOUR_MS, NULL) == SKUA_OK;
        good &= skua_timer_cancel(&timer);
#endif
        skua_timer_fini(&timer);
        _exit(good ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    skua_timer_fini(&timer);
    skua_exec_close(other);
    skua_exec_close(exec);
}

typedef struct late {
    skua_job job;
    skua_timer timer;
    atomic_bool entered;
    skua_status status;
} late;

static void
set_until_closed(skua_worker w, skua_job *job) {
    late *self = (late *)(void *)job;
    atomic_store(&self->entered, true);
    do {
        sched_yield();
        self->status = skua_exec_after(skua_worker_exec(w), &self->timer, HOUR_MS, NULL);
    } while (self->status == SKUA_OK);
    skua_timer_fini(&self->timer);
}

static void
test_timer_on_an_executor_that_closes(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    late self = {.status = 1};
    skua_timer_init(&self.timer, ring);
    skua_job_init(&self.job, set_until_closed);
    assert_int_equal(skua_exec_submit(exec, &self.job), SKUA_OK);
    while (!atomic_load(&self.entered)) {
        sched_yield();
    }
    skua_exec_close(exec);
    assert_int_equal(self.status, SKUA_E_CLOSED);
}

/* ---- Cancels ---- */

static void
test_timer_cancel_needs_no_worker(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_latch latch;
    skua_latch_init(&latch, exec, 1);
    alarm_clock alarm = {.rang = &latch};
    skua_timer_init(&alarm.timer, ring);
    assert_int_equal(skua_exec_pause(exec), SKUA_OK);
    for (int round = 0; round < 20; round++) {
        skua_exec_stats stats = {.size = sizeof stats};
        assert_int_equal(skua_exec_after(exec, &alarm.timer, 0, NULL), SKUA_OK);
        while (round % 2 == 0 && stats.queued_tasks == 0) { /* else it may not be queued yet */
            sched_yield();
            assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
        }
        assert_true(skua_timer_cancel(&alarm.timer)); /* ends, though nobody takes jobs */
        assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
        assert_int_equal(stats.queued_tasks, 0);
    }
    skua_timer_fini(&alarm.timer);
    skua_exec_close(exec);
    assert_int_equal(atomic_load(&alarm.calls), 0);
    skua_latch_fini(&latch);
}

typedef struct restless {
    skua_timer timer;
    atomic_bool ends;
    bool was_last;
    int late;
} restless;

static void
go_on_for_ever(skua_worker w, skua_timer *timer) {
    restless *self = (restless *)(void *)timer;
    self->late += self->was_last;
    while (atomic_load(&self->ends) && !skua_worker_cancelled(w)) {
        sched_yield();
    }
    self->was_last = skua_worker_cancelled(w);
    assert_int_equal(skua_exec_after(skua_worker_exec(w), timer, 0, NULL), SKUA_OK);
}

static void
test_timer_cancel_makes_the_call_that_runs_the_last(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    for (int round = 0; round < 400; round++) {
        restless self = {.late = 0};
        skua_timer_init(&self.timer, go_on_for_ever);
        assert_int_equal(skua_exec_after(exec, &self.timer, 0, NULL), SKUA_OK);
        for (int i = 0; i < round % 8; i++) {
            sched_yield();
        }
        atomic_store(&self.ends, true);
        (void)skua_timer_cancel(&self.timer); /* the call waits until it knows */
        skua_timer_fini(&self.timer);
        assert_int_equal(self.late, 0);
    }
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timer_calls_once_and_has_a_thread_only_when_set),
        cmocka_unit_test(test_timer_sets_itself_anew),
        cmocka_unit_test(test_timer_is_moved_and_cancelled),
        cmocka_unit_test(test_timer_order_of_many),
        cmocka_unit_test(test_timer_order_of_equals),
        cmocka_unit_test(test_timer_every_goes_on_until_cancelled),
        cmocka_unit_test(test_timer_every_cancelled_by_its_own_call),
        cmocka_unit_test(test_timer_once_cancelled_by_its_own_call),
        cmocka_unit_test(test_timer_cancel_meets_a_call_that_sets_it_anew),
        cmocka_unit_test(test_timer_every_keeps_to_its_beat),
        cmocka_unit_test(test_timer_every_never_overlaps),
        cmocka_unit_test(test_timer_cancel_drops_a_call_that_is_queued),
        cmocka_unit_test(test_timer_tries_again_when_the_queue_is_full),
        cmocka_unit_test(test_timer_cancel_needs_no_worker),
        cmocka_unit_test(test_timer_cancel_makes_the_call_that_runs_the_last),
        cmocka_unit_test(test_timer_errors),
        cmocka_unit_test(test_timer_on_an_executor_that_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
