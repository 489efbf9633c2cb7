// SPDX-License-Identifier: MPL-2.0
// A pool without a node, for unit tests, with tasks that wait at a door until the test lets them go.
#ifndef POOL_BENCH_H
#define POOL_BENCH_H

#include "test.h"

#include <skua-int/clock.h>
#include <skua-int/thread.h>
#include <skua/exec.h>
#include <skua/pool.h>

/* A door that tasks wait at, so that tests decide when they run. */
struct door {
    skua__mutex lock;
    skua__cond moved;
    int waiting, passed; /* tasks at the door, tasks let through */
    int open;            /* how many may pass */
    int64_t work_ns;     /* that each does behind the door */
    char order[64];      /* their first input bytes, as they came */
    size_t ordered;
};

struct bench {
    skua_exec *exec;
    skua_pool *pool;
    struct door door;
    int code;
};

void door_let(struct door *door, int count);     /* so many more may pass */
void door_await(struct door *door, int waiting); /* so many have come */
int run_door(skua_task_call *call, void *arg);
int run_upper(skua_task_call *call, void *arg); /* its input in capitals */
/* Registers "door", "upper" and "fail", which ends with bench->code. window 0: the default. */
void bench_open(struct bench *bench, uint32_t window, int workers);
void bench_close(struct bench *bench);
skua_pool_future *submit(struct bench *bench, const skua_task *task);
skua_task_result result_of(skua_pool_future *future); /* waits for it */

#endif
