// SPDX-License-Identifier: MPL-2.0
// How a thief keeps off after calls that were not worth their steal. The engine's sources are compiled into this program with
// a hook at each atomic and pause, which counts, and with a clock that says how long a stolen call took.
#include "opened.h"
#include "test.h"

#include "engine.h"

#include <sched.h>
#include <stdatomic.h>

/* One stolen call, and what its thief did after it. */
typedef struct theft {
    int64_t took_ns;   /* by the thief's clock */
    const void *state; /* of the slot: the thief's last word about the call goes there */
    uint32_t pauses;   /* counted once it is over */
    atomic_bool over;
} theft;

/* The thief's thread: the call that it just ran, whether its end was told, and what its clock says next. */
static _Thread_local theft *watched;
static _Thread_local bool told;
static _Thread_local int64_t last_ns, step_ns;

int64_t __real_skua__clock_ns(void);
int64_t __wrap_skua__clock_ns(void);

int64_t
__wrap_skua__clock_ns(void) {
    last_ns = step_ns ? last_ns + step_ns : __real_skua__clock_ns();
    step_ns = 0;
    return last_ns;
}

/* Before each access of an atomic, and for each pause (NULL). */
void skua__atomic_point(const volatile void *object);

void
skua__atomic_point(const volatile void *object) {
    if (!watched) {
        return;
    }
    if (object == watched->state) {
        told = true;
    } else if (told && !object) {
        watched->pauses++;
    } else if (told) {
        theft *self = watched;
        watched = NULL;
        told = false;
        atomic_store(&self->over, true);
    }
}

/* Runs on the thief, whose clock was read last before this call, and is read next after it. */
static void
run_stolen(skua_worker w, void *frame) {
    (void)w;
    theft *self = frame;
    watched = self;
    step_ns = self->took_ns;
}

typedef struct thefts {
    theft *all;
    size_t count;
} thefts;

/* Has them stolen one by one; the thief is always the other worker. */
static void
offer_thefts(skua_worker w, void *frame) {
    const thefts *these = frame;
    for (size_t i = 0; i < these->count; i++) {
        theft *self = &these->all[i];
        self->state = &w.top->state;
        skua__request(skua__stack_of(w.top), EXEC_REQUEST_HUNGRY); /* so that it is shown at once */
        skua_spawn(&w, run_stolen, self);
        while (!atomic_load(&self->over)) {
            sched_yield(); /* not in the sync, where it might have to be woken */
        }
        skua_sync(&w, run_stolen, self);
    }
}

/* Checks that the pauses after calls that took so long are those expected. */
static void
check(theft *all, const uint32_t *pauses, size_t count) {
    skua_exec *exec = open_exec(SKUA_EXEC_OPTIONS(.workers = 2, .spares = SKUA_NONE));
    thefts these = {all, count};
    assert_int_equal(skua_exec_run(exec, offer_thefts, &these, NULL), SKUA_OK);
    for (size_t i = 0; i < count; i++) {
        if (all[i].pauses != pauses[i]) {
            fail_msg("after call %d, of %d ns: %u pauses, not %u", (int)i, (int)all[i].took_ns,
                     (unsigned)all[i].pauses, (unsigned)pauses[i]);
        }
    }
    skua_exec_close(exec);
}

static void
test_thief_keeps_off_twice_as_long_after_each_tiny_call(void **state) {
    (void)state;
    const uint32_t pauses[] = {1, 3, 7, 15, 31, 63, 63, 63};
    theft all[8] = {{0}};
    for (int i = 0; i < 8; i++) {
        all[i].took_ns = i % 2 ? 1 : 149;
    }
    check(all, pauses, 8);
}

static void
test_thief_comes_back_at_once_after_a_call_that_was_worth_it(void **state) {
    (void)state;
    const int64_t took_ns[] = {150, 149, 149, 150, 149, 1000000, 1000000, 20, 20, 20};
    const uint32_t pauses[] = {0, 1, 3, 0, 1, 0, 0, 1, 3, 7};
    theft all[10] = {{0}};
    for (int i = 0; i < 10; i++) {
        all[i].took_ns = took_ns[i];
    }
    check(all, pauses, 10);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thief_keeps_off_twice_as_long_after_each_tiny_call),
        cmocka_unit_test(test_thief_comes_back_at_once_after_a_call_that_was_worth_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
