// SPDX-License-Identifier: MPL-2.0
// Who gets how many cores when several executors of one user share a host: the rule alone, without memory or clock.
#ifndef SKUA_EXEC_LEASE_RULE_H
#define SKUA_EXEC_LEASE_RULE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LEASE_POOLS_MAX = 128, /* executors that share */
    LEASE_CPUS_MAX = 1024,
    LEASE_CPU_WORDS = LEASE_CPUS_MAX / 64,
};

/* What one executor wants now. */
typedef struct skua__lease_wish {
    uint32_t workers;               /* that it could keep busy */
    bool fixed;                     /* it runs them whatever the others do */
    uint64_t quota;                 /* names the CPU quota that it runs under; 0: none */
    uint32_t quota_workers;         /* that all under this quota may run together */
    uint64_t cpus[LEASE_CPU_WORDS]; /* where it may run */
} skua__lease_wish;

/*
 * The share of wishes[self]. CPUs are dealt like cards: first each fixed wish is laid out, then everybody takes one CPU of
 * those left in its own mask, in turn, until nobody wants or finds any. CPUs that few may use go first, so that who may run
 * anywhere leaves the narrow places to others. Nobody gets less than one worker: a pool that waits for another one's answer
 * must not wait for its cores too. Who is alone gets what it wishes.
 */
uint32_t skua__lease_share(const skua__lease_wish *wishes, uint32_t count, uint32_t self);

/* What an executor that is told to run `share` and wishes `most` wants, when `awake` of its workers do not sleep. */
static inline uint32_t
skua__lease_want(uint32_t awake, uint32_t share, uint32_t most) {
    return awake >= share ? most : awake;
}

#endif
