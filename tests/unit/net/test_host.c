// SPDX-License-Identifier: MPL-2.0
// The node's thread: posts in order, moments in order, descriptors, ends from inside and outside, and no signals.
#include "test.h"

#include "failing_allocator.h"
#include "host.h"
#include <skua-int/clock.h>
#include <skua-int/node_int.h>

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static void
start(skua__host *host, const skua_allocator *hook) {
    skua_error err;
    assert_int_equal(skua__host_init(host, hook, &err), 0);
    assert_int_equal(skua__host_start(host, "test-host", &err), 0);
}

static void
nothing(void *arg) {
    (void)arg;
}

struct order {
    int seen[64];
    int count;
};

struct order_item {
    struct order *order;
    int number;
};

static void
note(void *arg) {
    struct order_item *item = arg;
    item->order->seen[item->order->count++] = item->number;
}

static void
test_host_runs_posts_in_order(void **state) {
    (void)state;
    skua__host host;
    start(&host, NULL);
    struct order order = {.count = 0};
    struct order_item items[64];
    for (int i = 0; i < 64; i++) {
        items[i] = (struct order_item){.order = &order, .number = i};
        assert_int_equal(skua__host_post(&host, note, &items[i]), 0);
    }
    skua__host_stop(&host); /* runs what waits */
    assert_int_equal(order.count, 64);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(order.seen[i], i);
    }
    assert_int_equal(skua__host_post(&host, nothing, NULL), SKUA_E_CLOSED);
    skua__host_fini(&host);
}

enum { MOMENTS = 40 };

struct alarm_clock {
    struct order order;
    struct order_item items[MOMENTS];
    skua__node_source *sources[MOMENTS];
    skua__node_source *last;
    sem_t rung; /* posted by the last moment */
};

static void
ring_last(void *arg) {
    struct alarm_clock *alarms = arg;
    sem_post(&alarms->rung);
}

/* Runs in the host's thread, so that no moment can ring before all of them are set, however slow the machine is. */
static void
set_alarms(void *arg) {
    struct alarm_clock *alarms = arg;
    int64_t begin_ns = skua__clock_ns() + 20 * SKUA_NS_PER_MS;
    for (int i = 0; i < MOMENTS; i++) {
        skua__node_source_arm(alarms->sources[i], false,
                              begin_ns + alarms->items[i].number * SKUA_NS_PER_MS);
    }
    skua__node_source_arm(alarms->sources[1], false, SKUA_NEVER_NS); /* one is taken back */
    skua__node_source_arm(alarms->last, false, begin_ns + MOMENTS * SKUA_NS_PER_MS);
}

static void
test_host_rings_moments_in_order(void **state) {
    (void)state;
    skua__host host;
    start(&host, NULL);
    struct alarm_clock alarms = {.order = {.count = 0}};
    assert_int_equal(sem_init(&alarms.rung, 0, 0), 0);
    for (int i = 0; i < MOMENTS; i++) {
        int place = (i * 7) % MOMENTS; /* not in order */
        alarms.items[i] = (struct order_item){.order = &alarms.order, .number = place};
        assert_int_equal(
            skua__host_source_new(&host, -1, note, &alarms.items[i], &alarms.sources[i], NULL), 0);
    }
    assert_int_equal(skua__host_source_new(&host, -1, ring_last, &alarms, &alarms.last, NULL), 0);
    assert_int_equal(skua__host_post(&host, set_alarms, &alarms), 0);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    assert_int_equal(sem_timedwait(&alarms.rung, &until), 0);
    skua__host_stop(&host);
    assert_int_equal(alarms.order.count, MOMENTS - 1);
    for (int i = 1; i < MOMENTS - 1; i++) {
        assert_true(alarms.order.seen[i - 1] < alarms.order.seen[i]);
    }
    for (int i = 0; i < MOMENTS; i++) {
        assert_null(skua__node_source_free(alarms.sources[i]));
    }
    assert_null(skua__node_source_free(alarms.last));
    sem_destroy(&alarms.rung);
    skua__host_fini(&host);
}

struct reader {
    int fd;
    _Atomic int calls;
    skua__node_source *source;
    bool frees_itself;
};

static void
read_fd(void *arg) {
    struct reader *reader = arg;
    uint64_t value;
    assert_int_equal(read(reader->fd, &value, sizeof value), sizeof value);
    if (reader->frees_itself) {
        reader->source = skua__node_source_free(reader->source);
    }
    atomic_fetch_add(&reader->calls, 1);
}

static void
await_calls(skua__host *host, struct reader *reader, int calls) {
    int64_t deadline_ns = skua__deadline_ns(20000);
    while (atomic_load(&reader->calls) < calls) {
        assert_true(skua__clock_ns() < deadline_ns);
        assert_int_equal(skua__host_call(host, nothing, NULL), 0);
    }
}

static void
test_host_watches_only_what_is_armed(void **state) {
    (void)state;
    skua__host host;
    start(&host, NULL);
    struct reader reader = {.fd = eventfd(0, EFD_CLOEXEC)};
    uint64_t one = 1;
    assert_int_equal(
        skua__host_source_new(&host, reader.fd, read_fd, &reader, &reader.source, NULL), 0);
    assert_int_equal(write(reader.fd, &one, sizeof one), sizeof one);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(skua__host_call(&host, nothing, NULL), 0);
    }
    assert_int_equal(atomic_load(&reader.calls), 0);
    skua__node_source_arm(reader.source, true, SKUA_NEVER_NS);
    await_calls(&host, &reader, 1);
    skua__node_source_arm(reader.source, false, SKUA_NEVER_NS);
    assert_int_equal(write(reader.fd, &one, sizeof one), sizeof one);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(skua__host_call(&host, nothing, NULL), 0);
    }
    assert_int_equal(atomic_load(&reader.calls), 1);
    skua__node_source_free(reader.source);
    skua__host_stop(&host);
    skua__host_fini(&host);
    close(reader.fd);
}

static void
test_host_source_may_free_itself(void **state) {
    (void)state;
    skua__host host;
    start(&host, NULL);
    struct reader reader = {.fd = eventfd(0, EFD_CLOEXEC), .frees_itself = true};
    uint64_t one = 1;
    assert_int_equal(
        skua__host_source_new(&host, reader.fd, read_fd, &reader, &reader.source, NULL), 0);
    skua__node_source_arm(reader.source, true, SKUA_NEVER_NS);
    assert_int_equal(write(reader.fd, &one, sizeof one), sizeof one);
    await_calls(&host, &reader, 1);
    assert_null(reader.source);
    skua__host_stop(&host);
    skua__host_fini(&host);
    close(reader.fd);
}

struct slow {
    int entered, leave; /* eventfds */
    _Atomic bool done;
};

static void
wait_inside(void *arg) {
    struct slow *slow = arg;
    uint64_t value = 1;
    assert_int_equal(write(slow->entered, &value, sizeof value), sizeof value);
    assert_int_equal(read(slow->leave, &value, sizeof value), sizeof value);
    atomic_store(&slow->done, true);
}

struct freer {
    skua__node_source *source;
    struct slow *slow;
    bool was_done;
};

static void *
free_source(void *arg) {
    struct freer *freer = arg;
    skua__node_source_free(freer->source);
    freer->was_done = atomic_load(&freer->slow->done);
    return NULL;
}

static void
test_host_free_waits_for_the_function(void **state) {
    (void)state;
    skua__host host;
    start(&host, NULL);
    struct slow slow = {.entered = eventfd(0, EFD_CLOEXEC), .leave = eventfd(0, EFD_CLOEXEC)};
    struct freer freer = {.slow = &slow};
    assert_int_equal(skua__host_source_new(&host, -1, wait_inside, &slow, &freer.source, NULL), 0);
    skua__node_source_arm(freer.source, false, 1);
    uint64_t value = 1;
    assert_int_equal(read(slow.entered, &value, sizeof value), sizeof value);
    pthread_t thread;
    assert_int_equal(skua__thread_start(&thread, "freer", free_source, &freer, NULL), 0);
    assert_int_equal(write(slow.leave, &value, sizeof value), sizeof value);
    skua__thread_join(thread);
    assert_true(freer.was_done);
    skua__host_stop(&host);
    skua__host_fini(&host);
    close(slow.entered);
    close(slow.leave);
}

static void
look_at_mask(void *arg) {
    pthread_sigmask(SIG_SETMASK, NULL, arg);
}

static void
test_host_takes_no_signal(void **state) {
    (void)state;
    struct sigaction before, after;
    sigaction(SIGINT, NULL, &before);
    skua__host host;
    start(&host, NULL);
    sigset_t mask;
    assert_int_equal(skua__host_call(&host, look_at_mask, &mask), 0);
    assert_true(sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1 &&
                sigismember(&mask, SIGUSR1) == 1);
    sigaction(SIGINT, NULL, &after);
    assert_ptr_equal(before.sa_handler, after.sa_handler);
    skua__host_stop(&host);
    skua__host_fini(&host);
}

static void
test_host_without_memory_fails_whole(void **state) {
    (void)state;
    failing_allocator hook;
    failing_allocator_init(&hook, 1);
    skua__host host;
    start(&host, &hook.hook);
    skua__node_source *source = NULL;
    skua_error err;
    assert_int_equal(skua__host_post(&host, nothing, NULL), SKUA_E_NO_MEMORY);
    /* A call needs none. */
    assert_int_equal(skua__host_call(&host, nothing, NULL), 0);
    for (long fail_at = 1; fail_at <= 3; fail_at++) {
        atomic_store(&hook.calls, 0);
        atomic_store(&hook.fail_at, fail_at);
        assert_int_equal(skua__host_source_new(&host, -1, nothing, NULL, &source, &err),
                         SKUA_E_NO_MEMORY);
    }
    atomic_store(&hook.fail_at, 0);
    assert_int_equal(skua__host_source_new(&host, -1, nothing, NULL, &source, &err), 0);
    skua__node_source_free(source);
    skua__host_stop(&host);
    skua__host_fini(&host);
    assert_int_equal(atomic_load(&hook.alive), 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_runs_posts_in_order),
        cmocka_unit_test(test_host_rings_moments_in_order),
        cmocka_unit_test(test_host_watches_only_what_is_armed),
        cmocka_unit_test(test_host_source_may_free_itself),
        cmocka_unit_test(test_host_free_waits_for_the_function),
        cmocka_unit_test(test_host_takes_no_signal),
        cmocka_unit_test(test_host_without_memory_fails_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
