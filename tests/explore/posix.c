// SPDX-License-Identifier: MPL-2.0
// Threads, locks, conditions, futexes and time for the explored program. A lock is a place to be preempted at; what its
// last owner knew, the next one knows. Waiting ends for no reason now and then, as the system's does.
#define EXPLORE_RUNTIME
#include "libc.h"
#include "runtime.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    LOCKS_MAX = 256,
    CLOCK_STEP_NS = 5000, /* each look at the clock */
    SPURIOUS_ONE_IN = 40,
    TIMEOUT_ONE_IN = 16,
};

typedef struct lock {
    const void *address;
    int owner; /* -1: free */
    view view;
} lock;

static lock locks[LOCKS_MAX];
static uint32_t lock_count;

void
explore__posix_reset(void) {
    lock_count = 0;
}

static lock *
lock_of(const void *address) {
    for (uint32_t i = 0; i < lock_count; i++) {
        if (locks[i].address == address) {
            return &locks[i];
        }
    }
    if (lock_count == LOCKS_MAX) {
        explore__fail("more than %d locks", LOCKS_MAX);
    }
    lock *found = &locks[lock_count++];
    found->address = address;
    found->owner = -1;
    found->view.count = 0;
    memset(found->view.clock, 0, sizeof found->view.clock);
    return found;
}

/* ---- Locks ---- */

int
explore_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr) {
    (void)attr;
    memset(mutex, 0, sizeof *mutex);
    explore__plain(mutex, sizeof(int), true, __builtin_return_address(0));
    lock *l = lock_of(mutex);
    l->owner = -1;
    l->view.count = 0;
    memset(l->view.clock, 0, sizeof l->view.clock);
    return 0;
}

int
explore_mutex_destroy(pthread_mutex_t *mutex) {
    lock *l = lock_of(mutex);
    explore__plain(mutex, sizeof(int), true, __builtin_return_address(0));
    explore_check(l->owner < 0, "a lock is destroyed while somebody holds it");
    return 0;
}

static void
take(lock *l, const void *pc) {
    int self = explore__self();
    l->owner = self;
    explore__join_view(explore__view(self), &l->view);
    explore__record(EVENT_LOCK, l->address, 0, 0, __ATOMIC_ACQUIRE, pc);
}

static void
lock_at(pthread_mutex_t *mutex, const void *pc) {
    lock *l = lock_of(mutex);
    explore__point();
    explore__plain(mutex, sizeof(int), false, pc);
    explore_check(l->owner != explore__self(), "a lock is taken twice by the same thread");
    while (l->owner >= 0) {
        explore__block(mutex, "a lock", INT64_MAX);
    }
    take(l, pc);
}

static void
unlock_at(pthread_mutex_t *mutex, const void *pc) {
    lock *l = lock_of(mutex);
    explore__point();
    explore__plain(mutex, sizeof(int), false, pc);
    explore_check(l->owner == explore__self(), "a lock is released by who does not hold it");
    explore__record(EVENT_UNLOCK, mutex, 0, 0, __ATOMIC_RELEASE, pc);
    l->owner = -1;
    explore__join_view(&l->view, explore__view(explore__self()));
    explore__tick(explore__self());
    explore__wake(mutex, UINT32_MAX);
}

int
explore_mutex_lock(pthread_mutex_t *mutex) {
    if (explore__self() >= 0) {
        lock_at(mutex, __builtin_return_address(0));
    }
    return 0;
}

int
explore_mutex_trylock(pthread_mutex_t *mutex) {
    lock *l = lock_of(mutex);
    explore__point();
    if (l->owner >= 0) {
        return EBUSY;
    }
    take(l, __builtin_return_address(0));
    return 0;
}

int
explore_mutex_unlock(pthread_mutex_t *mutex) {
    if (explore__self() >= 0) {
        unlock_at(mutex, __builtin_return_address(0));
    }
    return 0;
}

/* ---- Conditions ---- */

int
explore_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr) {
    (void)attr;
    memset(cond, 0, sizeof *cond);
    return 0;
}

int
explore_cond_destroy(pthread_cond_t *cond) {
    explore__plain(cond, sizeof(int), true, __builtin_return_address(0));
    return 0;
}

static int
wait_at(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ns, const void *pc) {
    explore__point();
    lock *l = lock_of(mutex);
    explore__record(EVENT_WAIT, cond, 0, 0, __ATOMIC_RELEASE, pc);
    explore_check(l->owner == explore__self(), "a wait without the lock");
    l->owner = -1;
    explore__join_view(&l->view, explore__view(explore__self()));
    explore__tick(explore__self());
    explore__wake(mutex, UINT32_MAX);
    bool woken =
        explore__chance(SPURIOUS_ONE_IN) || explore__block(cond, "a condition", deadline_ns);
    lock_at(mutex, pc);
    return woken ? 0 : ETIMEDOUT;
}

int
explore_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex) {
    return wait_at(cond, mutex, INT64_MAX, __builtin_return_address(0));
}

int
explore_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *at) {
    return wait_at(cond, mutex, (int64_t)at->tv_sec * 1000000000 + at->tv_nsec,
                   __builtin_return_address(0));
}

int
explore_cond_signal(pthread_cond_t *cond) {
    explore__point();
    explore__plain(cond, sizeof(int), false, __builtin_return_address(0));
    explore__record(EVENT_NOTIFY, cond, 1, 0, 0, __builtin_return_address(0));
    explore__wake(cond, 1);
    return 0;
}

int
explore_cond_broadcast(pthread_cond_t *cond) {
    explore__point();
    explore__plain(cond, sizeof(int), false, __builtin_return_address(0));
    explore__record(EVENT_NOTIFY, cond, UINT32_MAX, 0, 0, __builtin_return_address(0));
    explore__wake(cond, UINT32_MAX);
    return 0;
}

/* ---- Threads ---- */

int
explore_thread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *),
                      void *arg) {
    (void)attr;
    explore__point();
    int number = explore__fibre_new(fn, arg);
    if (number < 0) {
        return EAGAIN;
    }
    explore__record(EVENT_CREATE, NULL, (uint64_t)number, 0, 0, __builtin_return_address(0));
    *ret_thread = (pthread_t)number + 1;
    return 0;
}

int
explore_thread_join(pthread_t thread, void **ret_result) {
    void *result = explore__fibre_join((int)thread - 1);
    explore__record(EVENT_JOIN, NULL, (uint64_t)thread - 1, 0, 0, __builtin_return_address(0));
    if (ret_result) {
        *ret_result = result;
    }
    return 0;
}

pthread_t
explore_thread_self(void) {
    return (pthread_t)explore__self() + 1;
}

int
explore_thread_nothing(void) {
    return 0;
}

int
explore_yield(void) {
    explore__spins();
    return 0;
}

/* ---- Time ---- */

int
explore_clock_gettime(clockid_t clock, struct timespec *ret_now) {
    (void)clock;
    explore__pass(CLOCK_STEP_NS);
    int64_t now_ns = explore__now_ns();
    *ret_now = (struct timespec){.tv_sec = now_ns / 1000000000, .tv_nsec = now_ns % 1000000000};
    return 0;
}

/* ---- The futex ---- */

static long
futex_wait(uint32_t *word, uint32_t expected, const struct timespec *at, const void *pc) {
    explore__point();
    explore__touch(word, pc);
    explore__record(EVENT_FUTEX_WAIT, word, expected, *word, 0, pc);
    /* The kernel looks at memory itself, not at what this thread may have seen of it. */
    if (*word != expected) {
        errno = EAGAIN;
        return -1;
    }
    if (explore__chance(SPURIOUS_ONE_IN)) {
        errno = EINTR;
        return -1;
    }
    int64_t deadline_ns = at ? (int64_t)at->tv_sec * 1000000000 + at->tv_nsec : INT64_MAX;
    if (at && explore__chance(TIMEOUT_ONE_IN)) {
        explore__pass(deadline_ns - explore__now_ns());
    }
    if (deadline_ns <= explore__now_ns() || !explore__block(word, "a futex", deadline_ns)) {
        explore__record(EVENT_TIMEOUT, word, 0, 0, 0, pc);
        errno = ETIMEDOUT;
        return -1;
    }
    return 0;
}

long
explore_syscall(long number, ...) {
    va_list args;
    va_start(args, number);
    uint32_t *word = va_arg(args, uint32_t *);
    int operation = va_arg(args, int) & ~FUTEX_PRIVATE_FLAG;
    uint32_t value = va_arg(args, uint32_t);
    const struct timespec *at = NULL;
    if (operation != FUTEX_WAKE) {
        at = va_arg(args, const struct timespec *);
    }
    va_end(args);
    const void *pc = __builtin_return_address(0);
    if (number == SYS_futex && operation == FUTEX_WAKE) {
        explore__point(); /* the memory may be gone by now: only its address counts */
        explore__record(EVENT_FUTEX_WAKE, word, value, 0, 0, pc);
        return (long)explore__wake(word, value);
    }
    if (number == SYS_futex &&
        (operation == FUTEX_WAIT_BITSET || (operation == FUTEX_WAIT && !at))) {
        return futex_wait(word, value, at, pc);
    }
    explore__fail("the system call %ld, operation %d is not modelled", number, operation);
}
