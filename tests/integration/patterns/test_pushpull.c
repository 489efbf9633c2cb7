// SPDX-License-Identifier: MPL-2.0
// PUSH and PULL between nodes: either end first, least busy worker, nothing lost when one dies, the ledger balances.
#include "pattern_world.h"

#include <poll.h>
#include <skua-int/clock.h>
#include <skua-int/thread.h>
#include <stdatomic.h>
#include <string.h>

static uint64_t
pull_number(skua_pull *pull) {
    skua_msg *msg = NULL;
    MUST(skua_pull_recv(pull, &msg, 10000, err));
    uint64_t number = number_of_msg(msg);
    skua_msg_free(msg);
    return number;
}

static void
test_pushpull_either_end_first(void **state) {
    struct world *world = *state;
    for (int order = 0; order < 2; order++) {
        skua_push *push = NULL;
        skua_pull *pull = NULL;
        for (int turn = 0; turn < 2; turn++) {
            if (turn == order) {
                MUST(skua_push_open(&push, world->a, "work", NULL, err));
            } else {
                MUST(skua_pull_open(&pull, world->b, "work", NULL, err));
            }
        }
        for (uint64_t i = 0; i < 100; i++) {
            skua_msg *msg = msg_of_number(i);
            MUST(skua_push_send(push, &msg, 10000, err));
            assert_null(msg);
            assert_int_equal(pull_number(pull), i); /* one worker: in order */
        }
        skua_msg *none;
        assert_int_equal(skua_pull_recv(pull, &none, SKUA_NONE, NULL), SKUA_E_AGAIN);
        MUST(skua_push_drain(push, 10000, err));
        skua_pattern_stats stats = push_stats(push);
        assert_int_equal(stats.accepted, 100);
        assert_int_equal(stats.confirmed, 100);
        assert_int_equal(stats.unconfirmed, 0);
        assert_int_equal(pull_stats(pull).done, 100);
        skua_push_close(push);
        skua_pull_close(pull);
    }
}

static void
test_pushpull_nobody_there(void **state) {
    struct world *world = *state;
    skua_push *push = NULL;
    MUST(skua_push_open(&push, world->a, "nobody", NULL, err));
    skua_msg *msg = msg_of_number(1);
    skua_error err = {.status = 0};
    assert_int_equal(skua_push_send(push, &msg, SKUA_NONE, &err), SKUA_E_AGAIN);
    assert_int_equal(skua_push_send(push, &msg, 20, &err), SKUA_E_NO_PROVIDER);
    assert_non_null(strstr(err.message, "nobody offers \"nobody\""));
    assert_non_null(msg); /* untouched on failure */
    assert_int_equal(skua_push_await_workers(push, 1, 20, &err), SKUA_E_NO_PROVIDER);
    assert_int_equal(skua_push_send(push, &msg, -7, &err), SKUA_E_BAD_ARGUMENT);
    skua_msg_free(msg);
    skua_push_close(push);
    assert_int_equal(skua_push_open(&push, world->a, "Bad Name", NULL, &err), SKUA_E_BAD_NAME);
}

static void
test_pushpull_a_full_worker_makes_pushing_wait(void **state) {
    struct world *world = *state;
    skua_push *push = NULL;
    skua_pull *pull = NULL;
    MUST(skua_pull_open(&pull, world->b, "work",
                        SKUA_PULL_OPTIONS(.manual_done = 1, .prefetch_msgs = 4), err));
    MUST(skua_push_open(&push, world->a, "work", NULL, err));
    MUST(skua_push_await_workers(push, 1, 10000, err));
    for (uint64_t i = 0; i < 4; i++) {
        skua_msg *msg = msg_of_number(i);
        MUST(skua_push_send(push, &msg, 1000, err));
    }
    skua_msg *fifth = msg_of_number(4);
    assert_int_equal(skua_push_send(push, &fifth, SKUA_NONE, NULL), SKUA_E_AGAIN);
    assert_int_equal(skua_push_send(push, &fifth, 20, NULL), SKUA_E_TIMEOUT);
    skua_msg *got[4];
    for (uint64_t i = 0; i < 4; i++) {
        MUST(skua_pull_recv(pull, &got[i], 10000, err));
    }
    /* Received is not done. */
    assert_int_equal(skua_push_send(push, &fifth, 20, NULL), SKUA_E_TIMEOUT);
    /* Done, out of order: each makes room for one. */
    for (int i = 3; i >= 0; i--) {
        MUST(skua_pull_done(pull, &got[i], err));
        assert_null(got[i]);
    }
    MUST(skua_push_send(push, &fifth, 10000, err));
    skua_msg *last;
    MUST(skua_pull_recv(pull, &last, 10000, err));
    assert_int_equal(number_of_msg(last), 4);
    MUST(skua_pull_done(pull, &last, err));
    MUST(skua_push_drain(push, 10000, err));
    skua_push_close(push);
    skua_pull_close(pull);
}

/* Nobody is done with anything, so each message goes to the one of two that has less. */
static void
test_pushpull_the_less_busy_of_two_gets_it(void **state) {
    enum { EACH = 5 };
    struct world *world = *state;
    skua_push *push = NULL;
    skua_pull *pulls[2] = {NULL};
    for (int i = 0; i < 2; i++) {
        MUST(skua_pull_open(&pulls[i], world->b, "even",
                            SKUA_PULL_OPTIONS(.manual_done = 1, .prefetch_msgs = 3 * EACH), err));
    }
    MUST(skua_push_open(&push, world->a, "even", NULL, err));
    MUST(skua_push_await_workers(push, 2, 10000, err));
    for (uint64_t i = 0; i < 2 * EACH; i++) {
        skua_msg *msg = msg_of_number(i);
        MUST(skua_push_send(push, &msg, 10000, err));
    }
    for (int i = 0; i < 2 * EACH; i++) { /* as many from each: it would wait for ever with fewer */
        skua_msg *msg;
        MUST(skua_pull_recv(pulls[i % 2], &msg, 10000, err));
        MUST(skua_pull_done(pulls[i % 2], &msg, err));
    }
    MUST(skua_push_drain(push, 10000, err));
    skua_push_close(push);
    skua_pull_close(pulls[0]);
    skua_pull_close(pulls[1]);
}

static void
test_pushpull_what_a_closed_worker_leaves_goes_to_another(void **state) {
    struct world *world = *state;
    skua_push *push = NULL;
    skua_pull *first = NULL, *second = NULL;
    const skua_pull_options *options = SKUA_PULL_OPTIONS(.manual_done = 1, .prefetch_msgs = 10);
    MUST(skua_pull_open(&first, world->b, "work", options, err));
    MUST(skua_push_open(&push, world->a, "work", NULL, err));
    for (uint64_t i = 0; i < 10; i++) {
        skua_msg *msg = msg_of_number(i);
        MUST(skua_push_send(push, &msg, 10000, err));
    }
    skua_msg *done, *kept;
    MUST(skua_pull_recv(first, &done, 10000, err));
    MUST(skua_pull_recv(first, &kept, 10000, err));
    assert_false(skua_msg_redelivered(kept));
    MUST(skua_pull_done(first, &done, err));
    skua_pull_close(first); /* nine are not done */
    skua_msg_free(kept);
    MUST(skua_pull_open(&second, world->b, "work", options, err));
    bool seen[10] = {true};
    for (int i = 0; i < 9; i++) {
        skua_msg *msg;
        MUST(skua_pull_recv(second, &msg, 10000, err));
        assert_true(skua_msg_redelivered(msg));
        assert_false(seen[number_of_msg(msg)]);
        seen[number_of_msg(msg)] = true;
        MUST(skua_pull_done(second, &msg, err));
    }
    MUST(skua_push_drain(push, 10000, err));
    skua_pattern_stats stats = push_stats(push);
    assert_int_equal(stats.accepted, 10);
    assert_int_equal(stats.confirmed, 10);
    assert_int_equal(stats.moved, 9);
    assert_int_equal(stats.waiting, 0);
    skua_push_close(push);
    skua_pull_close(second);
}

static void
test_pushpull_a_killed_worker_loses_nothing(void **state) {
    struct world *world = *state;
    worker_process child;
    char line[256];
    worker_start(&child, (const char *const[]){"pull", "deadly", "3", NULL});
    worker_line(&child, line, sizeof line);
    assert_string_equal(line, "ready");
    skua_push *push = NULL;
    MUST(skua_push_open(&push, world->a, "deadly", NULL, err));
    MUST(skua_push_await_workers(push, 1, 10000, err));
    enum { COUNT = 200 };
    for (uint64_t i = 0; i < COUNT / 2; i++) {
        skua_msg *msg = msg_of_number(i);
        MUST(skua_push_send(push, &msg, 10000, err));
    }
    worker_line(&child, line, sizeof line);
    assert_string_equal(line, "holding");
    worker_kill(&child);
    skua_pull *pull = NULL;
    MUST(skua_pull_open(&pull, world->b, "deadly", NULL, err));
    for (uint64_t i = COUNT / 2; i < COUNT; i++) {
        skua_msg *msg = msg_of_number(i);
        while (skua_push_send(push, &msg, SKUA_NONE, NULL) != SKUA_OK) {
            skua_msg *got;
            if (skua_pull_recv(pull, &got, 100, NULL) == SKUA_OK) {
                skua_msg_free(got);
            }
        }
    }
    skua_status status;
    while ((status = skua_push_drain(push, 10, NULL)) == SKUA_E_TIMEOUT) {
        skua_msg *got;
        if (skua_pull_recv(pull, &got, 100, NULL) == SKUA_OK) {
            skua_msg_free(got);
        }
    }
    assert_int_equal(status, SKUA_OK);
    skua_pattern_stats stats = push_stats(push);
    assert_int_equal(stats.accepted, COUNT);
    assert_int_equal(stats.confirmed, COUNT);
    assert_true(stats.moved >= 3); /* those it held, at least */
    assert_int_equal(stats.dropped_lost, 0);
    assert_true(pull_stats(pull).redelivered >= 3);
    skua_push_close(push);
    skua_pull_close(pull);
}

/* ---- One slow worker, three fast ones ---- */

struct slow_or_fast {
    skua_pull *pull;
    int64_t work_ns;
    long done;
    pthread_t thread;
};

/* Works as long as a real job would: by the clock, waiting on a condition that nobody signals. */
static void
work_for(int64_t work_ns) {
    skua__mutex mutex;
    skua__cond never;
    skua__mutex_init(&mutex);
    skua__cond_init(&never);
    int64_t until_ns = skua__clock_ns() + work_ns;
    skua__mutex_lock(&mutex);
    while (skua__cond_wait_until(&never, &mutex, until_ns)) {
    }
    skua__mutex_unlock(&mutex);
    skua__cond_fini(&never);
    skua__mutex_fini(&mutex);
}

static void *
be_worker(void *arg) {
    struct slow_or_fast *self = arg;
    skua_msg *msg;
    while (skua_pull_recv(self->pull, &msg, SKUA_UNLIMITED, NULL) == SKUA_OK) {
        skua_msg_free(msg);
        work_for(self->work_ns);
        self->done++;
    }
    return NULL; /* closed */
}

static void
test_pushpull_work_goes_to_who_is_free(void **state) {
    struct world *world = *state;
    enum { WORKERS = 4, TASKS = 2000 };
    struct slow_or_fast workers[WORKERS];
    skua_push *push = NULL;
    MUST(skua_push_open(&push, world->a, "uneven", NULL, err));
    for (int i = 0; i < WORKERS; i++) {
        workers[i] =
            (struct slow_or_fast){.work_ns = i == 0 ? 10 * SKUA_NS_PER_MS : SKUA_NS_PER_MS / 10};
        MUST(skua_pull_open(&workers[i].pull, world->b, "uneven", NULL, err));
    }
    MUST(skua_push_await_workers(push, WORKERS, 10000, err));
    int64_t start_ns = skua__clock_ns();
    for (int i = 0; i < WORKERS; i++) {
        MUST(skua__thread_start(&workers[i].thread, "worker", be_worker, &workers[i], err));
    }
    for (uint64_t i = 1; i <= TASKS; i++) {
        skua_msg *msg = msg_of_number(i);
        MUST(skua_push_send(push, &msg, 20000, err));
    }
    MUST(skua_push_drain(push, 20000, err));
    int64_t took_ns = skua__clock_ns() - start_ns;
    assert_int_equal(push_stats(push).confirmed, TASKS);
    skua_push_close(push);
    long total = 0;
    for (int i = 0; i < WORKERS; i++) {
        /* All is done, so each of them is inside a receive, which ends now. */
        skua_pull_close(workers[i].pull);
        skua__thread_join(workers[i].thread);
        total += workers[i].done;
    }
    /* Round robin would give the slow one 500 tasks: 5 s. */
    fprintf(stderr, "2,000 tasks on 1 slow and 3 fast workers: %lld ms, the slow one did %ld\n",
            (long long)(took_ns / SKUA_NS_PER_MS), workers[0].done);
    assert_int_equal(total, TASKS);
    /* The count, not the time, says that work went to who was free: a busy machine delays all alike. */
    assert_true(workers[0].done < TASKS / 8);
}

static void
test_pushpull_descriptors_are_level_triggered(void **state) {
    struct world *world = *state;
    skua_push *push = NULL;
    skua_pull *pull = NULL;
    MUST(skua_pull_open(&pull, world->b, "work", NULL, err));
    MUST(skua_push_open(&push, world->a, "work", NULL, err));
    MUST(skua_push_await_workers(push, 1, 10000, err));
    struct pollfd room = {.fd = skua_push_fd(push), .events = POLLIN};
    assert_int_equal(poll(&room, 1, 10000), 1);
    struct pollfd readable = {.fd = skua_pull_fd(pull), .events = POLLIN};
    for (uint64_t i = 0; i < 2000; i++) {
        skua_msg *msg = msg_of_number(i);
        MUST(skua_push_send(push, &msg, 10000, err));
        skua_msg *got = NULL;
        int64_t until_ns = skua__clock_ns() + 10 * SKUA_NS_PER_S;
        do {
            assert_true(skua__clock_ns() < until_ns);
            assert_int_equal(poll(&readable, 1, 10000), 1);
        } while (skua_pull_recv(pull, &got, SKUA_NONE, NULL) != SKUA_OK);
        assert_int_equal(number_of_msg(got), i);
        skua_msg_free(got);
    }
    skua_push_close(push);
    skua_pull_close(pull);
}

/* ---- Many threads on one handle ---- */

enum { THREADS = 4, PER_THREAD = 3000 };
struct crowd {
    skua_push *push;
    skua_pull *pull;
    atomic_long received;
    atomic_int failures;
};

static void *
push_many(void *arg) {
    struct crowd *crowd = arg;
    for (uint64_t i = 0; i < PER_THREAD; i++) {
        if (skua_push_send_bytes(crowd->push, &i, sizeof i, 20000, NULL) != SKUA_OK) {
            atomic_fetch_add(&crowd->failures, 1);
        }
    }
    return NULL;
}

static void *
pull_many(void *arg) {
    struct crowd *crowd = arg;
    skua_msg *msg;
    while (skua_pull_recv(crowd->pull, &msg, SKUA_UNLIMITED, NULL) == SKUA_OK) {
        atomic_fetch_add(&crowd->received, 1);
        if (skua_pull_done(crowd->pull, &msg, NULL) != SKUA_OK) {
            atomic_fetch_add(&crowd->failures, 1);
        }
    }
    return NULL; /* closed */
}

static void
test_pushpull_handles_are_shared_by_threads(void **state) {
    struct world *world = *state;
    struct crowd crowd = {.push = NULL};
    MUST(skua_pull_open(&crowd.pull, world->b, "crowd",
                        SKUA_PULL_OPTIONS(.manual_done = 1, .prefetch_msgs = 500), err));
    MUST(skua_push_open(&crowd.push, world->a, "crowd", NULL, err));
    pthread_t pushers[THREADS], pullers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        must(skua__thread_start(&pullers[i], "puller", pull_many, &crowd, NULL), NULL);
        must(skua__thread_start(&pushers[i], "pusher", push_many, &crowd, NULL), NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        skua__thread_join(pushers[i]);
    }
    MUST(skua_push_drain(crowd.push, 20000, err));
    assert_int_equal(push_stats(crowd.push).confirmed, THREADS * PER_THREAD);
    skua_pull_close(crowd.pull); /* ends the receives */
    for (int i = 0; i < THREADS; i++) {
        skua__thread_join(pullers[i]);
    }
    assert_int_equal(atomic_load(&crowd.received), THREADS * PER_THREAD);
    assert_int_equal(atomic_load(&crowd.failures), 0);
    skua_push_close(crowd.push);
}

static void
test_pushpull_large_messages_and_many_frames(void **state) {
    struct world *world = *state;
    skua_push *push = NULL;
    skua_pull *pull = NULL;
    MUST(skua_pull_open(&pull, world->b, "big", NULL, err));
    MUST(skua_push_open(&push, world->a, "big", NULL, err));
    for (size_t size = 0; size <= 4 * 1024 * 1024; size = size ? size * 4 : 1) {
        skua_msg *msg = skua_msg_new(NULL);
        assert_non_null(msg);
        void *room;
        for (int frame = 0; frame < 3; frame++) {
            must(skua_msg_append_room(msg, size, &room), &(skua_error){.status = 0});
            memset(room, 'a' + frame, size);
        }
        must(skua_msg_set_property(msg, "key", "value"), &(skua_error){.status = 0});
        MUST(skua_push_send(push, &msg, 10000, err));
        skua_msg *got;
        MUST(skua_pull_recv(pull, &got, 10000, err));
        assert_int_equal(skua_msg_frames(got), 3);
        assert_string_equal(skua_msg_property(got, "key"), "value");
        assert_string_equal(skua_msg_sender_name(got), "a");
        for (size_t frame = 0; frame < 3; frame++) {
            assert_int_equal(skua_msg_size(got, frame), size);
            const char *bytes = skua_msg_data(got, frame);
            assert_true(size == 0 || bytes[size - 1] == 'a' + (char)frame);
        }
        skua_msg_free(got);
    }
    skua_push_close(push);
    skua_pull_close(pull);
}

int
main(int argc, char **argv) {
    if (argc < 2) {
        return 2;
    }
    worker_program(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pushpull_either_end_first),
        cmocka_unit_test(test_pushpull_nobody_there),
        cmocka_unit_test(test_pushpull_a_full_worker_makes_pushing_wait),
        cmocka_unit_test(test_pushpull_the_less_busy_of_two_gets_it),
        cmocka_unit_test(test_pushpull_what_a_closed_worker_leaves_goes_to_another),
        cmocka_unit_test(test_pushpull_a_killed_worker_loses_nothing),
        cmocka_unit_test(test_pushpull_work_goes_to_who_is_free),
        cmocka_unit_test(test_pushpull_descriptors_are_level_triggered),
        cmocka_unit_test(test_pushpull_handles_are_shared_by_threads),
        cmocka_unit_test(test_pushpull_large_messages_and_many_frames),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
