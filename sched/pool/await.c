// SPDX-License-Identifier: MPL-2.0
// Waiting for the end of one task, on a word of the task itself: whoever waits sleeps on it without the pool's lock, is
// woken by that end alone, and then needs nothing of the pool, which may be gone.
//
// Ordering: everything before skua__task_publish_end() is seen after skua__task_ended() returned true (L2). No wake-up is lost: the
// word changes by exchanges alone, and the kernel compares it again before it lets a thread sleep.
#include <skua-int/pool_int.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 *   RUNS --somebody waits--> AWAITED
 *     \________ends_________/___ends--> ENDED
 */
enum {
    TASK_RUNS = 0,
    TASK_AWAITED = 1,
    TASK_ENDED = 2,
};

bool
skua__task_ended(const skua_pool_future *task) {
    /* acquire L2: the result is complete; pairs with release L2 in skua__task_publish_end() */
    return atomic_load_explicit(&task->ended, memory_order_acquire) == TASK_ENDED;
}

void
skua__task_publish_end(skua_pool_future *task) {
    /* release L2: publishes the result; pairs with acquire L2 in skua__task_ended() */
    if (atomic_exchange_explicit(&task->ended, TASK_ENDED, memory_order_release) == TASK_AWAITED) {
        syscall(SYS_futex, &task->ended, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }
}

static bool
has_ended(skua_pool *pool, void *arg) {
    (void)pool;
    return skua__task_ended(arg);
}

bool
skua__task_await(skua_pool_future *task, int64_t deadline_ns) {
    if (task->by_link) { /* whoever waits does the task link's I/O meanwhile */
        return skua__remote_await(task->pool, &task->link_waiters, has_ended, task, deadline_ns);
    }
    struct timespec at = skua__clock_timespec(deadline_ns);
    bool in_time = true;
    while (!skua__task_ended(task) && in_time) {
        unsigned expected = TASK_RUNS;
        /* relaxed: nothing is published; the kernel compares again. */
        atomic_compare_exchange_strong_explicit(&task->ended, &expected, TASK_AWAITED,
                                                memory_order_relaxed, memory_order_relaxed);
        long rc = syscall(SYS_futex, &task->ended, FUTEX_WAIT_BITSET_PRIVATE, TASK_AWAITED,
                          deadline_ns == SKUA_NEVER_NS ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
        in_time = rc == 0 || errno != ETIMEDOUT;
    }
    return skua__task_ended(task);
}
