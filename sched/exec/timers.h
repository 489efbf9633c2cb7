// SPDX-License-Identifier: MPL-2.0
// The executor's timers: a heap in the timers' own memory, and one thread, started with the first timer, that sleeps until
// the next is due.
#ifndef SKUA_EXEC_TIMERS_H
#define SKUA_EXEC_TIMERS_H

#include <skua-int/thread.h>

struct skua__timer;

typedef struct skua__timers {
    skua__mutex lock; /* guards all of this, and each timer's fields; taken before a group's lock */
    skua__cond wake;
    struct skua__timer *root; /* the earliest */
    uint64_t set_count;       /* timers ever set: the order of those that are due at once */
    uint64_t bound;           /* timers that know this executor and have not ended */
    pthread_t thread;
    bool is_started;
    bool is_stopping;
    bool fires; /* one that was due is being submitted */
} skua__timers;

struct skua_exec;

void skua__timers_init(skua__timers *timers);
/* Stops the thread; timers that wait are dropped, those in the queue go on. May be called twice. */
void skua__timers_stop(skua__timers *timers);
/* Whether one is set, or about to be submitted. */
bool skua__timers_any(skua__timers *timers);
void skua__timers_fini(skua__timers *timers);

#endif
