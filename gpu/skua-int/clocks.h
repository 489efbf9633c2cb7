// SPDX-License-Identifier: MPL-2.0
// How a device's clock relates to the host's: a pure function of what was seen.
#ifndef SKUA_INT_CLOCKS_H
#define SKUA_INT_CLOCKS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A command was queued, at a time that the device tells, after the host had begun the call that did it, and it ended before
 * the host heard of that: so the host's clock is ahead of the device's by at least one difference and at most another. Believed
 * is the largest of the least ones: it only grows, so that what came later in a queue is drawn later, and nothing is drawn
 * before its call or after its end was told. Clocks that run at slightly different rates contradict themselves after a while,
 * and then the newest command is believed.
 */
typedef struct skua__clocks {
    bool known;
    int64_t ahead_ns; /* the host's time less the device's, at least */
} skua__clocks;

/* A command: the host called at called_ns and heard of its end at told_ns; queued_ns and end_ns are the device's. */
void skua__clocks_note(skua__clocks *clocks, int64_t called_ns, int64_t queued_ns, int64_t end_ns,
                       int64_t told_ns);
/* A time of the device's as the host has it; as it is while nothing was noted. */
int64_t skua__clocks_host_ns(const skua__clocks *clocks, int64_t device_ns);

#endif
