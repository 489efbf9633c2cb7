// SPDX-License-Identifier: MPL-2.0
// Worker processes for the pool's tests: the test program itself, run again as "worker NAME", with a node, an executor
// and the tasks that the tests submit.
#ifndef CREW_H
#define CREW_H

#include "test.h"

#include <skua/exec.h>
#include <skua/node.h>
#include <skua/pool.h>
#include <sys/types.h>

enum {
    CREW_MAX = 8,
    CREW_WAIT_MS = 120 * 1000, /* a busy machine is slow: only what hangs fails by it */
};

#define CREW_LAST_TASK "nap" /* who offers it offers all */

typedef struct crew_team {
    pid_t pids[CREW_MAX];
    int stops[CREW_MAX]; /* closing one closes its worker; SIGTERM drains it before */
    int count;
} crew_team;

struct skua_devices;

/* What a test's workers have besides: devices for the pool, and more that it offers. Both are called in the worker. */
typedef struct crew_extra {
    struct skua_devices *(*open_devices)(void);
    void (*offer)(skua_pool *pool); /* before CREW_LAST_TASK, so that who offers that offers all */
} crew_extra;

/* Before crew_main(). Borrows extra. */
void crew_set_extra(const crew_extra *extra);

/* The program's main: runs a worker and returns true when argv asks for one. */
bool crew_main(int argc, char **argv, int *ret_exit);

/*
 * Starts count workers "w0", "w1", …; each has two threads. SKUA_TEST_SERVE_BYTES is their pools' serve_queue_bytes. Those of a
 * test that failed before are ended first, and all end with the test's process. One team at a time.
 */
void crew_start(crew_team *self, int count);
void crew_kill(crew_team *self, int worker, int signal);
void crew_leave(crew_team *self, int worker); /* in good order; crew_stop() waits for it */
void crew_stop(crew_team *self); /* in good order; fails the test when one does not exit with 0 */

/*
 * The tasks. noop: nothing. upper: its input in capitals. mark: one line with its input in the file named by SKUA_TEST_MARKS, then
 * a little work. stall: until it is cancelled, with one line in the same file before and after. fail: returns 7 and says why.
 * nap: 300 ms, or until it is cancelled, and then it returns 1. die: kills its process.
 */
int crew_noop(skua_task_call *call, void *arg);
int crew_upper(skua_task_call *call, void *arg);

void must(skua_status status, const skua_error *err);

/* A submitter's end: a node and a pool without an executor. */
typedef struct crew_bench {
    skua_node *node;
    skua_exec *exec;
    skua_pool *pool;
    int32_t heartbeat_ms; /* set before bench_open_with(); 0: the default */
} crew_bench;

void bench_open(crew_bench *self, const char *name, int workers); /* workers 0: no executor */
/* With other options; exec and heartbeat_ms are taken from *self, which is zeroed but for them. */
void bench_open_with(crew_bench *self, const char *name, const skua_pool_options *options,
                     skua_error *err);
void bench_await(crew_bench *self,
                 size_t workers); /* so many of the crew offer all of their tasks */
void bench_close(crew_bench *self);
skua_pool_future *bench_submit(crew_bench *self, const skua_task *task);
skua_task_result
bench_result(skua_pool_future *future); /* waits; fails the test after CREW_WAIT_MS */
skua_pool_counters bench_counters(crew_bench *self);

/* A task's: adds a line that begins with word and text, and ends with the process's number. */
void crew_leave_mark(const char *word, const char *text, size_t size);
/* The lines of the marks file: how many of them begin with text. */
int marks_count(const char *text);
void marks_begin(void);
/* Waits until that many lines begin with text; fails the test after CREW_WAIT_MS. */
void marks_await(const char *text, int count);

#endif
