// SPDX-License-Identifier: MPL-2.0
// Parking on a futex.
//
// Progress: unpark is wait-free apart from the system call; it makes one only if somebody sleeps. Ordering: everything
// before skua__unpark() happens before the return of the skua__park() that takes its token (P1). There is no lost wake-up,
// because the kernel compares the word again before it lets the thread sleep.
#include "park.h"

#include <skua-int/clock.h>

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PARK_EMPTY = 0,
    PARK_TOKEN = 1,
    PARK_SLEEPS = 2,
};

static bool
take_token(skua__parker *parker) {
    uint32_t expected = PARK_TOKEN;
    /* acquire P1: pairs with release P1 in skua__unpark() */
    return skua__a32_cas(&parker->word, &expected, PARK_EMPTY, memory_order_acquire);
}

bool
skua__park(skua__parker *parker, int64_t deadline_ns) {
    while (!take_token(parker)) {
        uint32_t expected = PARK_EMPTY;
        /* relaxed: nothing is published; the kernel compares again. */
        if (!skua__a32_cas(&parker->word, &expected, PARK_SLEEPS, memory_order_relaxed) &&
            expected == PARK_TOKEN) {
            continue;
        }
        struct timespec at = skua__clock_timespec(deadline_ns);
        long rc = syscall(SYS_futex, &parker->word, FUTEX_WAIT_BITSET_PRIVATE, PARK_SLEEPS,
                          deadline_ns == SKUA_NEVER_NS ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
        if (rc != 0 && errno == ETIMEDOUT) {
            expected = PARK_SLEEPS;
            /* relaxed: on failure a token lies there, and take_token() acquires it. */
            if (skua__a32_cas(&parker->word, &expected, PARK_EMPTY, memory_order_relaxed)) {
                return false;
            }
        }
    }
    return true;
}

bool
skua__park_ready(const skua__parker *parker) {
    return skua__a32_load(&parker->word, memory_order_relaxed) == PARK_TOKEN; /* relaxed: a hint */
}

bool
skua__park_sleeps(const skua__parker *parker) {
    return skua__a32_load(&parker->word, memory_order_relaxed) == PARK_SLEEPS; /* relaxed: a hint */
}

void
skua__unpark(skua__parker *parker) {
    /* release P1: what we did before is seen by who parked; pairs with acquire P1 in take_token() */
    if (skua__a32_exchange(&parker->word, PARK_TOKEN, memory_order_release) == PARK_SLEEPS) {
        syscall(SYS_futex, &parker->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}
