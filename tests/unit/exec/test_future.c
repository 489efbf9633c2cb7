// SPDX-License-Identifier: MPL-2.0
// Futures: results, followers, promises, waiting inside and outside of workers, and every failure.
#include "opened.h"
#include "test.h"

#include "failing_allocator.h"
#include <pthread.h>
#include <skua/exec.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static skua_status
give_arg(skua_worker w, void *arg, void **ret_value) {
    (void)w;
    *ret_value = arg;
    return SKUA_OK;
}

static skua_status
fail_always(skua_worker w, void *arg, void **ret_value) {
    (void)w, (void)arg, (void)ret_value;
    return SKUA_E_TASK_FAILED;
}

/* value = what came before + 1, or the failure that came before */
static skua_status
add_one(skua_worker w, skua_future *done, void *arg, void **ret_value) {
    (void)w, (void)arg;
    void *before = NULL;
    skua_status status = skua_future_get(done, SKUA_NONE, &before, NULL);
    *ret_value = (char *)before + 1;
    return status;
}

static skua_future *
start(skua_exec *exec, skua_future_fn *fn, void *arg) {
    skua_future *future = NULL;
    assert_int_equal(skua_future_start(&future, exec, fn, arg, NULL, NULL), SKUA_OK);
    return future;
}

static skua_future *
follow(skua_future *future) {
    skua_future *next = NULL;
    assert_int_equal(skua_future_then(&next, future, add_one, NULL, NULL, NULL), SKUA_OK);
    return next;
}

static uintptr_t
value_of(skua_future *future) {
    void *value = NULL;
    assert_int_equal(skua_future_get(future, 20000, &value, NULL), SKUA_OK);
    return (uintptr_t)value;
}

static void
test_future_gives_its_value(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, 0);
    for (uintptr_t i = 0; i < 500; i++) {
        skua_future *future = start(exec, give_arg, (void *)i);
        assert_int_equal(value_of(future), i);
        assert_true(skua_future_done(future));
        assert_null(skua_future_unref(future));
    }
    skua_future *kept = start(exec, give_arg, &exec);
    skua_future_unref(start(exec, give_arg, NULL)); /* nobody asks: it runs all the same */
    skua_exec_close(exec);
    assert_true(value_of(kept) == (uintptr_t)&exec); /* the result outlives the executor */
    assert_null(skua_future_unref(kept));
    assert_null(skua_future_unref(NULL));
}

static void
test_future_failure_is_told(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, 0);
    skua_future *future = start(exec, fail_always, NULL);
    void *value = exec;
    skua_error err;
    assert_int_equal(skua_future_get(future, 0, &value, &err), SKUA_E_TASK_FAILED);
    assert_ptr_equal(value, exec); /* untouched */
    skua_future *next = follow(future);
    assert_int_equal(skua_future_get(next, 0, NULL, NULL), SKUA_E_TASK_FAILED);
    skua_future_unref(next);
    skua_future_unref(future);
    skua_exec_close(exec);
}

static void
test_future_chain_of_followers(void **state) {
    (void)state;
    enum { LINKS = 2000 };
    skua_exec *exec = open_workers(2, 0);
    skua_future *last = start(exec, give_arg, NULL);
    for (int i = 0; i < LINKS; i++) {
        skua_future *next = follow(last);
        skua_future_unref(last);
        last = next;
    }
    assert_int_equal(value_of(last), LINKS);
    skua_future_unref(last);
    skua_exec_close(exec);
}

/* ---- Promises ---- */

static void *
keep_promise(void *arg) {
    return skua_future_complete(arg, SKUA_OK, (void *)(uintptr_t)41) == SKUA_OK ? NULL : arg;
}

static void
test_future_promise_is_kept_by_another_thread(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, 0);
    skua_future *promise = NULL;
    assert_int_equal(skua_future_promise(&promise, exec, NULL), SKUA_OK);
    skua_future *next = follow(promise);
    assert_int_equal(skua_future_get(next, SKUA_NONE, NULL, NULL), SKUA_E_TIMEOUT);
    assert_int_equal(skua_future_get(next, 5, NULL, NULL), SKUA_E_TIMEOUT);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, keep_promise, promise), 0);
    assert_int_equal(value_of(next), 42);
    void *failed = NULL;
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_int_equal(skua_future_complete(promise, SKUA_OK, NULL), SKUA_E_EXISTS);
    assert_int_equal(skua_future_complete(next, SKUA_OK, NULL), SKUA_E_BAD_ARGUMENT);
    skua_future_unref(next);
    skua_future_unref(promise);
    skua_exec_close(exec);
}

static void
test_future_broken_promise_cancels_what_follows(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, 0);
    skua_future *promise = NULL;
    assert_int_equal(skua_future_promise(&promise, exec, NULL), SKUA_OK);
    skua_future *next = follow(promise), *other = follow(promise), *last = follow(next);
    skua_future_unref(promise);
    assert_int_equal(skua_future_get(last, 20000, NULL, NULL), SKUA_E_CANCELLED);
    assert_int_equal(skua_future_get(other, 20000, NULL, NULL), SKUA_E_CANCELLED);
    skua_future_unref(next);
    skua_future_unref(other);
    skua_future_unref(last);
    skua_exec_close(exec);
}

/* ---- Waiting on workers ---- */

typedef struct asker {
    skua_exec *exec;
    skua_future *other;
    int depth;
    skua_status status;
} asker;

/* Starts a future, waits for it, down to a depth: with one worker and no spares this hangs unless waiting helps. */
static skua_status
ask_below(skua_worker w, void *arg, void **ret_value) {
    asker *self = arg;
    asker below = {.depth = self->depth - 1};
    void *value = NULL;
    if (self->depth > 0) {
        skua_future *future = NULL;
        skua_status status =
            skua_future_start(&future, skua_worker_exec(w), ask_below, &below, NULL, NULL);
        status = status ? status : skua_future_get(future, 0, &value, NULL);
        skua_future_unref(future);
        if (status != SKUA_OK) {
            return status;
        }
    }
    *ret_value = (char *)value + 1;
    return SKUA_OK;
}

static void
test_future_get_on_the_only_worker_helps(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    asker top = {.depth = 50};
    skua_future *future = start(exec, ask_below, &top);
    assert_int_equal(value_of(future), 51);
    skua_future_unref(future);
    skua_exec_close(exec);
}

static skua_status
ask_follower(skua_worker w, void *arg, void **ret_value) {
    asker *self = arg;
    (void)w;
    skua_future *first = start(self->exec, give_arg, NULL);
    skua_future *last = follow(first);
    skua_future_unref(first);
    skua_status status = skua_future_get(last, 0, ret_value, NULL);
    skua_future_unref(last);
    return status;
}

static void
test_future_get_of_a_follower_on_the_only_worker(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    asker self = {.exec = exec};
    for (int i = 0; i < 50; i++) {
        skua_future *future = start(exec, ask_follower, &self);
        assert_int_equal(value_of(future), 1);
        skua_future_unref(future);
    }
    skua_exec_close(exec);
}

/* Waits for a promise that only another job of the same, single-worker executor keeps: a spare has to run it. */
static skua_status
ask_promise(skua_worker w, void *arg, void **ret_value) {
    (void)w;
    asker *self = arg;
    return skua_future_get(self->other, 0, ret_value, NULL);
}

static skua_status
keep_other(skua_worker w, void *arg, void **ret_value) {
    (void)w, (void)ret_value;
    asker *self = arg;
    return skua_future_complete(self->other, SKUA_OK, self);
}

static void
test_future_get_of_a_promise_gives_the_place_to_a_spare(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, 2);
    for (int i = 0; i < 20; i++) {
        asker self = {.exec = exec};
        assert_int_equal(skua_future_promise(&self.other, exec, NULL), SKUA_OK);
        skua_future *waits = start(exec, ask_promise, &self);
        skua_future *keeps = start(exec, keep_other, &self);
        assert_true(value_of(waits) == (uintptr_t)&self);
        assert_int_equal(skua_future_get(keeps, 0, NULL, NULL), SKUA_OK);
        skua_future_unref(waits);
        skua_future_unref(keeps);
        skua_future_unref(self.other);
    }
    skua_exec_close(exec);
}

static skua_status
ask_self(skua_worker w, void *arg, void **ret_value) {
    (void)w, (void)ret_value;
    asker *self = arg;
    void *own = NULL;
    skua_status status =
        skua_future_get(self->other, 0, &own, NULL); /* the promise of our own handle */
    self->status = status ? status : skua_future_get(own, 0, NULL, NULL);
    return SKUA_OK;
}

static void
test_future_waiting_for_oneself_is_a_deadlock(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, 1);
    asker self = {.exec = exec};
    assert_int_equal(skua_future_promise(&self.other, exec, NULL), SKUA_OK);
    skua_future *future = start(exec, ask_self, &self);
    assert_int_equal(skua_future_complete(self.other, SKUA_OK, future), SKUA_OK);
    assert_int_equal(skua_future_get(future, 0, NULL, NULL), SKUA_OK);
    assert_int_equal(self.status, SKUA_E_DEADLOCK);
    skua_future_unref(future);
    skua_future_unref(self.other);
    skua_exec_close(exec);
}

/* ---- Groups, priorities, failures ---- */

static void
test_future_of_a_cancelled_group_is_cancelled(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, 0);
    skua_group group;
    skua_group_init(&group, exec);
    skua_future *promise = NULL, *held = NULL, *next = NULL, *refused = NULL;
    assert_int_equal(skua_future_promise(&promise, exec, NULL), SKUA_OK);
    assert_int_equal(
        skua_future_start(&held, exec, give_arg, NULL, SKUA_FUTURE_OPTIONS(.group = &group), NULL),
        SKUA_OK);
    assert_int_equal(
        skua_future_then(&next, promise, add_one, NULL, SKUA_FUTURE_OPTIONS(.group = &group), NULL),
        SKUA_OK);
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
    skua_group_cancel(&group, SKUA_E_CANCELLED, NULL);
    assert_int_equal(skua_future_start(&refused, exec, give_arg, NULL,
                                       SKUA_FUTURE_OPTIONS(.group = &group), NULL),
                     SKUA_E_CANCELLED);
    assert_null(refused);
    assert_int_equal(skua_future_complete(promise, SKUA_OK, NULL), SKUA_OK);
    assert_int_equal(skua_future_get(held, 0, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_future_get(next, 0, NULL, NULL), SKUA_E_CANCELLED);
    assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_E_CANCELLED);
    skua_future_unref(held);
    skua_future_unref(next);
    skua_future_unref(promise);
    skua_group_fini(&group);
    skua_exec_close(exec);
}

/* One worker, so the second has not begun when the first ends. */
static void
test_future_with_an_error_cancels_its_group(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, 0);
    skua_group group;
    skua_error err;
    skua_group_init(&group, exec);
    skua_future *futures[2] = {NULL, NULL};
    assert_int_equal(skua_exec_pause(exec), SKUA_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(skua_future_start(&futures[i], exec, i == 0 ? fail_always : give_arg, NULL,
                                           SKUA_FUTURE_OPTIONS(.group = &group), NULL),
                         SKUA_OK);
    }
    assert_int_equal(skua_exec_resume(exec), SKUA_OK);
    assert_int_equal(skua_group_wait(&group, 0, &err), SKUA_E_TASK_FAILED);
    assert_non_null(strstr(err.message, "a future of the group ended with an error"));
    assert_int_equal(skua_future_get(futures[0], 0, NULL, NULL), SKUA_E_TASK_FAILED);
    assert_int_equal(skua_future_get(futures[1], 0, NULL, NULL), SKUA_E_CANCELLED);
    skua_future_unref(futures[0]);
    skua_future_unref(futures[1]);
    skua_group_fini(&group);
    skua_exec_close(exec);
}

static void
test_future_bad_arguments(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, 0);
    skua_future *future = NULL;
    skua_error err;
    assert_int_equal(skua_future_start(NULL, exec, give_arg, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_future_start(&future, NULL, give_arg, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_future_start(&future, exec, NULL, NULL, NULL, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(
        skua_future_start(&future, exec, give_arg, NULL, SKUA_FUTURE_OPTIONS(.priority = 9), &err),
        SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_future_then(&future, NULL, add_one, NULL, NULL, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_null(future);
    skua_exec_close(exec);
}

static void
test_future_allocator_failures_leave_nothing(void **state) {
    (void)state;
    failing_allocator hook;
    failing_allocator_init(&hook, 0);
    skua_exec *exec = NULL;
    assert_int_equal(
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1, .allocator = &hook.hook), NULL),
        SKUA_OK);
    skua_future *future = start(exec, give_arg, NULL), *next = NULL, *other = NULL;
    atomic_store(&hook.fail_at, 1);
    assert_int_equal(skua_future_start(&other, exec, give_arg, NULL, NULL, NULL), SKUA_E_NO_MEMORY);
    assert_int_equal(skua_future_promise(&other, exec, NULL), SKUA_E_NO_MEMORY);
    assert_int_equal(skua_future_then(&next, future, add_one, NULL, NULL, NULL), SKUA_E_NO_MEMORY);
    assert_int_equal(value_of(future), 0);
    skua_future_unref(future);
    skua_exec_close(exec);
    assert_int_equal(atomic_load(&hook.alive), 0);
}

/* ---- What follows what cannot start ---- */

enum { SPOILED_MAX = 64 };

/* Keeps and spoils what is released, so that who looks at it afterwards finds no future there. */
typedef struct spoiler {
    skua_allocator hook;
    void *kept[SPOILED_MAX];
    atomic_int count;
} spoiler;

static void *
spoiler_allocate(void *ctx, size_t size) {
    (void)ctx;
    size_t *block = malloc(sizeof(max_align_t) + size);
    assert_non_null(block);
    *block = size;
    return (char *)block + sizeof(max_align_t);
}

static void
spoiler_release(void *ctx, void *memory) {
    spoiler *self = ctx;
    char *block = (char *)memory - sizeof(max_align_t);
    memset(memory, 0xa5, *(size_t *)(void *)block);
    int place = atomic_fetch_add(&self->count, 1);
    assert_in_range(place, 0, SPOILED_MAX - 1);
    self->kept[place] = block;
}

/* What came before was cancelled, and is there still. */
static skua_status
see_cancelled(skua_worker w, skua_future *done, void *arg, void **ret_value) {
    (void)w, (void)arg, (void)ret_value;
    return skua_future_get(done, SKUA_NONE, NULL, NULL) == SKUA_E_CANCELLED ? SKUA_OK
                                                                            : SKUA_E_TASK_FAILED;
}

static void
test_future_that_cannot_start_is_seen_by_what_follows(void **state) {
    (void)state;
    spoiler memory = {.hook = {.allocate = spoiler_allocate, .release = spoiler_release}};
    memory.hook.ctx = &memory;
    skua_exec *exec = open_exec(
        SKUA_EXEC_OPTIONS(.workers = 1, .allocator = &memory.hook, .lease = SKUA_LEASE_NEVER));
    skua_group group;
    skua_group_init(&group, exec);
    skua_future *promise = NULL, *refused = NULL, *last = NULL;
    assert_int_equal(skua_future_promise(&promise, exec, NULL), SKUA_OK);
    assert_int_equal(skua_future_then(&refused, promise, see_cancelled, NULL,
                                      SKUA_FUTURE_OPTIONS(.group = &group), NULL),
                     SKUA_OK);
    assert_int_equal(skua_future_then(&last, refused, see_cancelled, NULL, NULL, NULL), SKUA_OK);
    skua_future_unref(refused); /* the executor's and the follower's alone now */
    assert_true(skua_group_cancel(&group, SKUA_E_CANCELLED, NULL));
    assert_int_equal(skua_future_complete(promise, SKUA_OK, NULL), SKUA_OK);
    assert_int_equal(skua_future_get(last, 0, NULL, NULL), SKUA_OK);
    skua_future_unref(last);
    skua_future_unref(promise);
    skua_group_fini(&group);
    skua_exec_close(exec);
    for (int i = 0; i < memory.count; i++) {
        free(memory.kept[i]);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_future_gives_its_value),
        cmocka_unit_test(test_future_failure_is_told),
        cmocka_unit_test(test_future_chain_of_followers),
        cmocka_unit_test(test_future_promise_is_kept_by_another_thread),
        cmocka_unit_test(test_future_broken_promise_cancels_what_follows),
        cmocka_unit_test(test_future_get_on_the_only_worker_helps),
        cmocka_unit_test(test_future_get_of_a_follower_on_the_only_worker),
        cmocka_unit_test(test_future_get_of_a_promise_gives_the_place_to_a_spare),
        cmocka_unit_test(test_future_waiting_for_oneself_is_a_deadlock),
        cmocka_unit_test(test_future_of_a_cancelled_group_is_cancelled),
        cmocka_unit_test(test_future_with_an_error_cancels_its_group),
        cmocka_unit_test(test_future_that_cannot_start_is_seen_by_what_follows),
        cmocka_unit_test(test_future_bad_arguments),
        cmocka_unit_test(test_future_allocator_failures_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
