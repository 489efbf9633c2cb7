// SPDX-License-Identifier: MPL-2.0
// Threads, mutexes and conditions: pthreads with a monotonic clock and names that a debugger shows.
#ifndef SKUA_INT_THREAD_H
#define SKUA_INT_THREAD_H

#include <pthread.h>
#include <skua/error.h>
#include <stdbool.h>
#include <stdint.h>

typedef pthread_mutex_t skua__mutex;
typedef struct skua__cond {
    pthread_cond_t cond; /* on CLOCK_MONOTONIC */
} skua__cond;

/* Initialisation of the default kinds cannot fail on Linux; failures are asserted. */
void skua__mutex_init(skua__mutex *mutex);
void skua__mutex_fini(skua__mutex *mutex);
void skua__mutex_lock(skua__mutex *mutex);
bool skua__mutex_trylock(skua__mutex *mutex); /* true: we hold it now */
void skua__mutex_unlock(skua__mutex *mutex);

void skua__cond_init(skua__cond *cond);
void skua__cond_fini(skua__cond *cond);
void skua__cond_signal(skua__cond *cond);
void skua__cond_broadcast(skua__cond *cond);
void skua__cond_wait(skua__cond *cond, skua__mutex *mutex);
/* Returns false when deadline_ns (monotonic; SKUA_NEVER_NS waits for ever) passed first. */
bool skua__cond_wait_until(skua__cond *cond, skua__mutex *mutex, int64_t deadline_ns);

/*
 * Starts a thread that runs fn(arg), named name (15 characters are kept) and with every signal blocked, so that
 * signals reach the program's own threads. End it with skua__thread_join().
 */
skua_status skua__thread_start(pthread_t *ret_thread, const char *name, void *(*fn)(void *),
                               void *arg, skua_error *err);
void skua__thread_join(pthread_t thread);
/* How many bytes of stack a thread of skua__thread_start() has. */
size_t skua__thread_stack_bytes(void);

/*
 * Counts the forks of this process: a handle keeps the value it was opened at, and one with another value was
 * opened before a fork() and answers SKUA_E_FORKED.
 */
uint32_t skua__fork_generation(void);

#endif
