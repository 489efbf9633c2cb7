// SPDX-License-Identifier: MPL-2.0
// The build with injected yields: before some of its atomics a thread gives its core away, or spins for a moment, so that
// real threads meet in places where they hardly ever do. Which ones is decided by SKUA_TEST_SEED and the thread's number.
#include <skua-int/atomic.h>
#include <skua-int/rand.h>

#include <sched.h>
#include <stdlib.h>

enum {
    YIELD_ONE_IN = 64,
    SPIN_ONE_IN = 16,
    SPINS_MAX = 200,
};

static _Atomic uint64_t thread_count;
static _Thread_local skua__rand yields;

void
skua__atomic_point(const volatile void *object) {
    if (yields.state == 0) {
        const char *seed = getenv("SKUA_TEST_SEED");
        yields.state = (seed ? strtoull(seed, NULL, 0) : 1) << 16 |
                       (atomic_fetch_add_explicit(&thread_count, 1, memory_order_relaxed) + 1);
    }
    if (!object) {
        return; /* it spins anyway */
    }
    if (skua__rand_below(&yields, YIELD_ONE_IN) == 0) {
        sched_yield();
    } else if (skua__rand_below(&yields, SPIN_ONE_IN) == 0) {
        for (volatile uint32_t i = skua__rand_below(&yields, SPINS_MAX); i > 0; i--) {
        }
    }
}
