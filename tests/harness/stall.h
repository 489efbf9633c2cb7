// SPDX-License-Identifier: MPL-2.0
// How long this machine kept a ready thread waiting: what a promise in milliseconds must allow for on a busy machine.
#ifndef SKUA_TEST_STALL_H
#define SKUA_TEST_STALL_H

#include <stdint.h>

typedef struct stall_meter stall_meter;

/*
 * Begins to watch: a thread asks to be woken every two milliseconds and notes the worst delay. A test that fails
 * before it ends the meter leaves it running, which does no harm.
 */
stall_meter *stall_meter_begin(void);

/*
 * Ends the meter, prints the time since it began under the promise's name, and fails the test if it is over limit_ms
 * by more than the machine explains: a few wake-ups in a row (a promise takes several threads or processes), each
 * as late as the worst one seen.
 */
void stall_meter_must_keep(stall_meter *meter, const char *promise, int64_t limit_ms);

/* The same for a time that was taken elsewhere, say by another process, while the meter ran. */
void stall_meter_must_have_kept(stall_meter *meter, const char *promise, int64_t took_ns,
                                int64_t limit_ms);

#endif
