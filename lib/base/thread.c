// SPDX-License-Identifier: MPL-2.0
// pthreads behind names of our own, and the counter by which handles notice a fork().
#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/thread.h>

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

void
skua__mutex_init(skua__mutex *mutex) {
    int rc = pthread_mutex_init(mutex, NULL);
    assert(rc == 0);
    (void)rc;
}

void
skua__mutex_fini(skua__mutex *mutex) {
    int rc = pthread_mutex_destroy(mutex);
    assert(rc == 0);
    (void)rc;
}

void
skua__mutex_lock(skua__mutex *mutex) {
    int rc = pthread_mutex_lock(mutex);
    assert(rc == 0);
    (void)rc;
}

bool
skua__mutex_trylock(skua__mutex *mutex) {
    return pthread_mutex_trylock(mutex) == 0;
}

void
skua__mutex_unlock(skua__mutex *mutex) {
    int rc = pthread_mutex_unlock(mutex);
    assert(rc == 0);
    (void)rc;
}

void
skua__cond_init(skua__cond *cond) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(&cond->cond, &attr);
    assert(rc == 0);
    (void)rc;
    pthread_condattr_destroy(&attr);
}

void
skua__cond_fini(skua__cond *cond) {
    pthread_cond_destroy(&cond->cond);
}

void
skua__cond_signal(skua__cond *cond) {
    pthread_cond_signal(&cond->cond);
}

void
skua__cond_broadcast(skua__cond *cond) {
    pthread_cond_broadcast(&cond->cond);
}

void
skua__cond_wait(skua__cond *cond, skua__mutex *mutex) {
    pthread_cond_wait(&cond->cond, mutex);
}

bool
skua__cond_wait_until(skua__cond *cond, skua__mutex *mutex, int64_t deadline_ns) {
    if (deadline_ns == SKUA_NEVER_NS) {
        skua__cond_wait(cond, mutex);
        return true;
    }
    struct timespec at = skua__clock_timespec(deadline_ns);
    return pthread_cond_timedwait(&cond->cond, mutex, &at) != ETIMEDOUT;
}

skua_status
skua__thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *), void *arg,
                   skua_error *err) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, rc, "cannot start the thread \"%s\"", name);
    }
    char kept[16];
    snprintf(kept, sizeof kept, "%s", name);
    pthread_setname_np(thread, kept);
    *ret_thread = thread;
    return SKUA_OK;
}

void
skua__thread_join(pthread_t thread) {
    pthread_join(thread, NULL);
}

size_t
skua__thread_stack_bytes(void) {
    pthread_attr_t attr;
    size_t bytes = 0;
    if (pthread_getattr_default_np(&attr) == 0) {
        pthread_attr_getstacksize(&attr, &bytes);
        pthread_attr_destroy(&attr);
    }
    return bytes;
}

/* The one piece of process-wide state: fork() itself is process-wide. 0 until somebody watches. */
static _Atomic uint32_t fork_count;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void
count_fork(void) {
    /* relaxed: the child of a fork() has one thread, which reads what it wrote. */
    atomic_fetch_add_explicit(&fork_count, 1, memory_order_relaxed);
}

static void
watch_forks(void) {
    pthread_atfork(NULL, NULL, count_fork);
    count_fork();
}

uint32_t
skua__fork_generation(void) {
    /* relaxed: whoever sees 0 waits in pthread_once() until it is watched. */
    uint32_t count = atomic_load_explicit(&fork_count, memory_order_relaxed);
    if (count == 0) {
        pthread_once(&fork_once, watch_forks);
        count =
            atomic_load_explicit(&fork_count, memory_order_relaxed); /* relaxed: see count_fork */
    }
    return count;
}
