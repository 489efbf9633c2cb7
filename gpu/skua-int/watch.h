// SPDX-License-Identifier: MPL-2.0
// The health of a device as a state machine: what is done when it runs out of memory, fails, hangs, comes back.
// Pure: events and times go in, a state and actions come out. The engine's thread owns it.
#ifndef SKUA_INT_WATCH_H
#define SKUA_INT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SKUA__WATCH_PROBATION = 3,        /* launches that must end well, one at a time */
    SKUA__WATCH_REBUILD_FAILURES = 8, /* in a row, then it is gone */
    SKUA__WATCH_SLOWER = 20,          /* a launch this many times as slow as predicted is late */
};

#define SKUA__WATCH_QUARANTINE_MIN_NS INT64_C(1000000000)
#define SKUA__WATCH_QUARANTINE_MAX_NS INT64_C(60000000000)

typedef enum skua__watch_state {
    SKUA__WATCH_GOOD = 0,
    SKUA__WATCH_QUARANTINE = 1, /* it is left alone; its context is closed */
    SKUA__WATCH_REBUILDING = 2, /* a new context is being made */
    SKUA__WATCH_PROVING = 3,    /* one launch at a time, until some have ended well */
    SKUA__WATCH_GONE = 4,       /* for good */
} skua__watch_state;

typedef enum skua__watch_event {
    SKUA__WATCH_ENDED = 1,          /* a launch ended well */
    SKUA__WATCH_NO_MEMORY = 2,      /* a launch or its memory found no room */
    SKUA__WATCH_FAILED = 3,         /* the context is of no use any more */
    SKUA__WATCH_HUNG = 4,           /* a launch is late */
    SKUA__WATCH_REBUILT = 5,        /* the new context is there */
    SKUA__WATCH_REBUILD_FAILED = 6, /* it is not */
    SKUA__WATCH_TICK = 7,           /* time has passed */
} skua__watch_event;

/* What to do, as bits. The first three are about the launch of the event. */
typedef enum skua__watch_action {
    SKUA__WATCH_RETRY_HERE = 1 << 0,
    SKUA__WATCH_RETRY_ELSEWHERE = 1 << 1,
    SKUA__WATCH_GIVE_UP = 1 << 2, /* it may have had half of its effect, and ends failed */
    SKUA__WATCH_EVICT = 1 << 3,   /* let go of all kept memory */
    SKUA__WATCH_CLOSE =
        1 << 4, /* close the context; its other launches are retried elsewhere or given up too */
    SKUA__WATCH_ABANDON = 1 << 5, /* with CLOSE: without waiting for what hangs */
    SKUA__WATCH_REBUILD = 1 << 6, /* make a new context now */
} skua__watch_action;

typedef struct skua__watch {
    skua__watch_state state;
    int64_t first_ns;      /* how long the first one takes */
    int64_t until_ns;      /* QUARANTINE: when it ends */
    int64_t quarantine_ns; /* how long the next one takes */
    uint32_t proven;       /* PROVING: launches that ended well */
    uint32_t rebuild_failures;
    uint64_t quarantines; /* so far */
} skua__watch;

/* The launch that an event is about; all zero where there is none. */
typedef struct skua__watch_launch {
    uint32_t evictions; /* made for it already */
    bool repeatable;    /* nothing that it reads has been written to by its first run */
} skua__watch_launch;

/* first_ns: how long the first quarantine takes; usually SKUA__WATCH_QUARANTINE_MIN_NS. */
void skua__watch_init(skua__watch *watch, int64_t first_ns);
/* Takes an event. Returns actions. */
uint32_t skua__watch_step(skua__watch *watch, skua__watch_event event, skua__watch_launch launch,
                          int64_t now_ns);
/* Whether one more launch may begin while so many are under way. */
bool skua__watch_admits(const skua__watch *watch, uint32_t under_way);
/* When a TICK is due; INT64_MAX: never. */
int64_t skua__watch_next_ns(const skua__watch *watch);
/* For how long a launch may run before it counts as hung. predicted_ns 0: not known. hang_ns: what the options say. */
int64_t skua__watch_limit_ns(int64_t predicted_ns, int64_t hang_ns);

#endif
