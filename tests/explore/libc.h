// SPDX-License-Identifier: MPL-2.0
// Forced in front of every file that is explored: what these files call in libc to start threads, lock, sleep and
// ask for the time goes to the explorer, and their thread-local variables lie where it can swap them.
#ifndef SKUA_EXPLORE_LIBC_H
#define SKUA_EXPLORE_LIBC_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int explore_thread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int explore_thread_join(pthread_t thread, void **ret_result);
pthread_t explore_thread_self(void);
int explore_thread_nothing(void);

int explore_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int explore_mutex_destroy(pthread_mutex_t *mutex);
int explore_mutex_lock(pthread_mutex_t *mutex);
int explore_mutex_trylock(pthread_mutex_t *mutex);
int explore_mutex_unlock(pthread_mutex_t *mutex);

int explore_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int explore_cond_destroy(pthread_cond_t *cond);
int explore_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int explore_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *at);
int explore_cond_signal(pthread_cond_t *cond);
int explore_cond_broadcast(pthread_cond_t *cond);

int explore_clock_gettime(clockid_t clock, struct timespec *ret_now);
int explore_yield(void);
/* The futex alone: FUTEX_WAIT, FUTEX_WAIT_BITSET and FUTEX_WAKE. */
long explore_syscall(long number, ...);

/* The host: see host.c. */
pid_t explore_getpid(void);
int explore_kill(pid_t process, int signal);
int explore_shmget(key_t key, size_t bytes, int flags);
int explore_shmctl(int id, int command, struct shmid_ds *ret_about);
void *explore_shmat(int id, const void *address, int flags);
int explore_shmdt(const void *memory);
FILE *explore_fopen(const char *path, const char *mode);
/* Its text is written by code that is not instrumented. */
int explore_snprintf(char *ret_text, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int explore_affinity(size_t bytes, cpu_set_t *ret_mask);

#ifndef EXPLORE_RUNTIME
#define getpid explore_getpid
#define kill explore_kill
#define shmget explore_shmget
#define shmctl explore_shmctl
#define shmat explore_shmat
#define shmdt explore_shmdt
#define fopen explore_fopen
#define snprintf explore_snprintf
#define sched_getaffinity(pid, bytes, mask) ((void)(pid), explore_affinity(bytes, mask))
#endif

#define pthread_create explore_thread_create
#define pthread_join explore_thread_join
#define pthread_self explore_thread_self
#define pthread_setname_np(thread, name) ((void)(name), explore_thread_nothing())
#define pthread_setaffinity_np(thread, size, set) ((void)(set), explore_thread_nothing())
#define pthread_mutex_init explore_mutex_init
#define pthread_mutex_destroy explore_mutex_destroy
#define pthread_mutex_lock explore_mutex_lock
#define pthread_mutex_trylock explore_mutex_trylock
#define pthread_mutex_unlock explore_mutex_unlock
#define pthread_cond_init explore_cond_init
#define pthread_cond_destroy explore_cond_destroy
#define pthread_cond_wait explore_cond_wait
#define pthread_cond_timedwait explore_cond_timedwait
#define pthread_cond_signal explore_cond_signal
#define pthread_cond_broadcast explore_cond_broadcast
#define clock_gettime explore_clock_gettime
#define sched_yield explore_yield
#define syscall explore_syscall

/* The explorer keeps a copy of this section per thread. */
#define _Thread_local __attribute__((section("explore_tls")))

#endif
