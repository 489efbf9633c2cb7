// SPDX-License-Identifier: MPL-2.0
// Waiting for one task: whoever waits sleeps, all are woken by its end, and a wait that is over in time says so.
#include "pool_bench.h"

#include <skua-int/pool_int.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WAITERS = 4 };

typedef struct waiter {
    skua_pool_future *future;
    _Atomic long tid; /* 0: it has not begun */
    skua_status status;
} waiter;

/* Nothing here sleeps but the wait. */
static void *
wait_for_it(void *arg) {
    waiter *self = arg;
    atomic_store(&self->tid, syscall(SYS_gettid));
    self->status = skua_pool_wait(self->future, SKUA_UNLIMITED, NULL);
    return NULL;
}

/* Whether a thread of ours sleeps, as the kernel says. */
static bool
sleeps(long tid) {
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", tid);
    FILE *file = tid ? fopen(path, "r") : NULL;
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        fclose(file);
    }
    const char *state = strrchr(text, ')'); /* behind the name, which may be anything */
    return state && strncmp(state, ") S", 3) == 0;
}

static void
test_await_all_sleep_and_one_end_wakes_all(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 1);
    skua_pool_future *future = submit(&bench, SKUA_TASK(.name = "door"));
    door_await(&bench.door, 1);
    static waiter waiters[WAITERS];
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (waiter){.future = future, .status = SKUA_E_TIMEOUT};
        assert_int_equal(skua__thread_start(&threads[i], "waiter", wait_for_it, &waiters[i], NULL),
                         0);
    }
    int64_t deadline_ns = skua__deadline_ns(20000);
    for (int i = 0; i < WAITERS; i++) {
        while (!sleeps(atomic_load(&waiters[i].tid))) {
            assert_true(skua__clock_ns() < deadline_ns);
            sched_yield();
        }
    }
    door_let(&bench.door, 1);
    for (int i = 0; i < WAITERS; i++) {
        skua__thread_join(threads[i]);
        assert_int_equal(waiters[i].status, 0);
    }
    assert_true(skua__task_ended(future));
    skua_pool_future_free(future);
    bench_close(&bench);
}

static void
test_await_is_over_in_time(void **state) {
    (void)state;
    struct bench bench;
    bench_open(&bench, 0, 1);
    skua_pool_future *future = submit(&bench, SKUA_TASK(.name = "door"));
    door_await(&bench.door, 1);
    static const int64_t times_ms[] = {SKUA_NONE, 1, 15};
    for (size_t i = 0; i < sizeof times_ms / sizeof *times_ms; i++) {
        skua_error err = {0};
        int64_t start_ns = skua__clock_ns();
        assert_int_equal(skua_pool_wait(future, times_ms[i], &err), SKUA_E_TIMEOUT);
        assert_non_null(strstr(err.message, "has not ended"));
        assert_true(skua__clock_ns() - start_ns >= times_ms[i] * SKUA_NS_PER_MS);
    }
    door_let(&bench.door, 1);
    assert_int_equal(skua_pool_wait(future, SKUA_UNLIMITED, NULL), 0);
    assert_int_equal(skua_pool_wait(future, SKUA_NONE, NULL), 0);
    skua_pool_future_free(future);
    bench_close(&bench);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_await_all_sleep_and_one_end_wakes_all),
        cmocka_unit_test(test_await_is_over_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
