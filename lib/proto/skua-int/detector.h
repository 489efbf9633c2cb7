// SPDX-License-Identifier: MPL-2.0
// Failure detection: how long a peer may be silent, measured on a clock that stands still while we ourselves were
// stopped. Pure: time is a parameter.
#ifndef SKUA_INT_DETECTOR_H
#define SKUA_INT_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

/* All in quarters of the heartbeat T, so that one number, T, sets everything. */
enum {
    SKUA__HEARTBEAT_DEFAULT_MS = 1000, /* T */
    SKUA__HEARTBEAT_MIN_MS = 20,
    SKUA__HEARTBEAT_MAX_MS = 60000,
    SKUA__SUSPECT_QUARTERS = 8, /* silent for 2 T: suspect; probe it */
    /* Silent for 3.25 T: dead. The promise is: never under 3 T, always by 3.5 T + 100 ms. */
    SKUA__DEAD_QUARTERS = 13,
    /* Its beacons arrive but no link of ours has worked for 6 T: out of reach. */
    SKUA__UNREACHABLE_QUARTERS = 24,
    SKUA__TICK_QUARTERS = 1,  /* the loop looks at its timers at least every T/4 */
    SKUA__STALL_QUARTERS = 2, /* a loop that comes T/2 late was stopped: that does not count */
};

/*
 * The lived clock of a node's loop. A process that was stopped (SIGSTOP, a debugger, a suspended machine, an
 * overloaded one) hears nobody and must not bury anybody: the time in which it was not looking is taken out of the
 * clock by which every peer's silence is measured. Every `now` that a peer's machine or its dial limiter gets is
 * lived time; every time they return is too.
 */
typedef struct skua__lived {
    int64_t heartbeat_ns;
    int64_t last_ns;    /* of the real clock, at the last tick */
    int64_t stalled_ns; /* taken out so far */
    uint64_t stalls;    /* how often */
} skua__lived;

void skua__lived_init(skua__lived *lived, int64_t heartbeat_ns, int64_t clock_ns);
/*
 * To be called with the real monotonic clock each time the loop wakes, and at least every T/4 (skua__lived_tick_ns()),
 * before anything else is stepped. Returns the lived time.
 */
int64_t skua__lived_now(skua__lived *lived, int64_t clock_ns);
/* The moment of the real clock at which the lived clock will show lived_ns, if nothing stalls; SKUA_NEVER_NS stays. */
int64_t skua__lived_to_clock(const skua__lived *lived, int64_t lived_ns);
/* The longest pause between two calls of skua__lived_now(). */
int64_t skua__lived_tick_ns(const skua__lived *lived);

/* What we know of one peer's liveness. */
typedef struct skua__detector {
    int64_t heartbeat_ns;
    int64_t
        heard_ns; /* last sign of life by any authenticated path: link, beacon, a third peer's word */
    int64_t link_heard_ns; /* last frame on a control link (or the machine's beginning) */
} skua__detector;

typedef enum skua__verdict {
    SKUA__VERDICT_FRESH,
    SKUA__VERDICT_LINK_STALE, /* alive by its beacons, but the link is silent as if dead: dial anew */
    SKUA__VERDICT_SUSPECT,
    SKUA__VERDICT_DEAD,        /* silent for too long */
    SKUA__VERDICT_UNREACHABLE, /* the same for 6 T: no control link works */
} skua__verdict;

void skua__detector_init(skua__detector *detector, int64_t heartbeat_ns, int64_t now_ns);
/* A sign of life; on_link: it came on a control link of ours. Times never run backwards. */
void skua__detector_heard(skua__detector *detector, bool on_link, int64_t now_ns);
/* The verdict now; *ret_next_ns is the moment at which it will change if nothing is heard (SKUA_NEVER_NS: it will not). */
skua__verdict skua__detector_judge(const skua__detector *detector, int64_t now_ns,
                                   int64_t *ret_next_ns);

/* A smoothed round trip, as TCP does it (Jacobson, 1988; RFC 6298). Zero it to start. */
typedef struct skua__rtt {
    int64_t smoothed_ns; /* 0: no sample yet */
    int64_t deviation_ns;
} skua__rtt;

/* Takes one sample; a negative one (a clock that was stepped, a liar) is ignored. */
void skua__rtt_sample(skua__rtt *rtt, int64_t sample_ns);

#endif
