// SPDX-License-Identifier: MPL-2.0
// Threads take no signal and carry their name; conditions honour monotonic deadlines; a fork is noticed.
#include "test.h"

#include <signal.h>
#include <skua-int/clock.h>
#include <skua-int/thread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct seen {
    sigset_t blocked;
    char name[16];
};

static void *
look_around(void *arg) {
    struct seen *seen = arg;
    pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    return NULL;
}

static void
test_thread_takes_no_signal(void **state) {
    (void)state;
    struct seen seen;
    pthread_t thread;
    assert_int_equal(skua__thread_start(&thread, "skua-test", look_around, &seen, NULL), 0);
    skua__thread_join(thread);
    assert_true(sigismember(&seen.blocked, SIGINT));
    assert_true(sigismember(&seen.blocked, SIGTERM));
    sigset_t ours;
    pthread_sigmask(SIG_SETMASK, NULL, &ours);
    assert_false(sigismember(&ours, SIGINT));
}

struct gate {
    skua__mutex mutex; /* guards open */
    skua__cond opened;
    int open;
};

static void *
open_gate(void *arg) {
    struct gate *gate = arg;
    skua__mutex_lock(&gate->mutex);
    gate->open = 1;
    skua__cond_broadcast(&gate->opened);
    skua__mutex_unlock(&gate->mutex);
    return NULL;
}

static void
test_thread_condition_wakes_or_times_out(void **state) {
    (void)state;
    struct gate gate = {.open = 0};
    skua__mutex_init(&gate.mutex);
    skua__cond_init(&gate.opened);
    skua__mutex_lock(&gate.mutex);
    assert_false(skua__mutex_trylock(&gate.mutex));
    int64_t until_ns = skua__clock_ns() + 2 * SKUA_NS_PER_MS;
    while (skua__cond_wait_until(&gate.opened, &gate.mutex, until_ns)) {
    }
    assert_true(skua__clock_ns() >= until_ns);

    pthread_t thread;
    assert_int_equal(skua__thread_start(&thread, "opener", open_gate, &gate, NULL), 0);
    while (!gate.open) {
        assert_true(skua__cond_wait_until(&gate.opened, &gate.mutex, SKUA_NEVER_NS));
    }
    skua__mutex_unlock(&gate.mutex);
    skua__thread_join(thread);
    skua__cond_fini(&gate.opened);
    skua__mutex_fini(&gate.mutex);
}

static void
test_thread_fork_changes_the_generation(void **state) {
    (void)state;
    uint32_t before = skua__fork_generation();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(skua__fork_generation() == before + 1 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(skua__fork_generation(), before);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread_takes_no_signal),
        cmocka_unit_test(test_thread_condition_wakes_or_times_out),
        cmocka_unit_test(test_thread_fork_changes_the_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
