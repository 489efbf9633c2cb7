// SPDX-License-Identifier: MPL-2.0
// A place for one thread to sleep in: a token that is put down by unpark and taken up by park. On a futex, because a
// waiter's memory may be gone as soon as it was told (a stray wake of a futex harms nobody; a condition's would).
#ifndef SKUA_EXEC_PARK_H
#define SKUA_EXEC_PARK_H

#include <skua-int/atomic.h>

/* Zeroed memory is a parker without a token. */
typedef struct skua__parker {
    skua__a32 word;
} skua__parker;

/*
 * Sleeps until a token lies there, takes it and returns true; false when deadline_ns (SKUA_NEVER_NS: none) passed.
 * What was written before the unpark is seen after it. Only one thread may park in a parker.
 */
bool skua__park(skua__parker *parker, int64_t deadline_ns);

/* Whether a token lies there: a hint for who wants to look around before sleeping. */
bool skua__park_ready(const skua__parker *parker);

/* Whether somebody sleeps there, and nobody has put a token down: a hint too. */
bool skua__park_sleeps(const skua__parker *parker);

/* Puts the token down. The parker may be gone at any time after that, even before this returns. Threads: any. */
void skua__unpark(skua__parker *parker);

#endif
