// SPDX-License-Identifier: MPL-2.0
// Time: monotonic nanoseconds for every decision, wall time only for certificates and for people.
#ifndef SKUA_INT_CLOCK_H
#define SKUA_INT_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SKUA_NS_PER_US INT64_C(1000)
#define SKUA_NS_PER_MS INT64_C(1000000)
#define SKUA_NS_PER_S INT64_C(1000000000)
#define SKUA_NEVER_NS INT64_MAX

int64_t skua__clock_ns(void);     /* CLOCK_MONOTONIC */
int64_t skua__clock_wall_s(void); /* seconds since 1970 */

/*
 * The moment at which a wait of timeout_ms from now ends. SKUA_UNLIMITED gives SKUA_NEVER_NS, SKUA_NONE
 * gives now; the sum never overflows. (A caller turns 0 into its own default first.)
 */
int64_t skua__deadline_ns(int64_t timeout_ms);

/* What is left of a deadline, rounded up to whole ms for poll(): -1 for never, 0 when it has passed. */
int skua__deadline_left_ms(int64_t deadline_ns);

/* The same moment for pthread_cond_clockwait() and its like on CLOCK_MONOTONIC. */
struct timespec skua__clock_timespec(int64_t at_ns);

#endif
