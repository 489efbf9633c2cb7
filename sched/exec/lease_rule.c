// SPDX-License-Identifier: MPL-2.0
// The rule by which executors share cores: a pure function of their wishes.
#include "lease_rule.h"

#include <assert.h>
#include <stddef.h>

/* The deal under way. */
typedef struct deal {
    const skua__lease_wish *wishes;
    uint32_t count;
    uint16_t
        order[LEASE_CPUS_MAX]; /* the CPUs that anybody may use, those that few may use first */
    uint32_t cpus;             /* how many these are */
    uint64_t taken[LEASE_CPU_WORDS];
    uint32_t got[LEASE_POOLS_MAX];
    uint32_t next
        [LEASE_POOLS_MAX]; /* where in order each goes on looking: a CPU that is taken stays so */
    uint32_t under[LEASE_POOLS_MAX]; /* the first wish with the same quota */
    uint32_t spent[LEASE_POOLS_MAX]; /* of the quota, kept at that first one */
} deal;

static bool
has_cpu(const uint64_t *cpus, uint32_t cpu) {
    return cpus[cpu / 64] >> (cpu % 64) & 1;
}

/* A counting sort by the number of wishes that may use a CPU; stable, so that all processes deal in the same order. */
static void
order_cpus(deal *self) {
    uint32_t users[LEASE_CPUS_MAX] = {0}, begins[LEASE_POOLS_MAX + 2] = {0};
    for (uint32_t cpu = 0; cpu < LEASE_CPUS_MAX; cpu++) {
        for (uint32_t i = 0; i < self->count; i++) {
            users[cpu] += has_cpu(self->wishes[i].cpus, cpu);
        }
        begins[users[cpu] + 1]++;
    }
    uint32_t unused = begins[1];
    begins[1] = 0; /* those that nobody may use are left out */
    for (uint32_t i = 1; i <= self->count; i++) {
        begins[i + 1] += begins[i];
    }
    for (uint32_t cpu = 0; cpu < LEASE_CPUS_MAX; cpu++) {
        if (users[cpu]) {
            self->order[begins[users[cpu]]++] = (uint16_t)cpu;
        }
    }
    self->cpus = LEASE_CPUS_MAX - unused;
}

static void
find_quotas(deal *self) {
    for (uint32_t i = 0; i < self->count; i++) {
        self->under[i] = i;
        for (uint32_t j = 0; j < i && self->wishes[i].quota; j++) {
            if (self->wishes[j].quota == self->wishes[i].quota) {
                self->under[i] = j;
                break;
            }
        }
    }
}

/* Gives wish i one more CPU, if it wants one and there is one for it. */
static bool
take_one(deal *self, uint32_t i) {
    const skua__lease_wish *wish = &self->wishes[i];
    uint32_t *spent = &self->spent[self->under[i]];
    if (self->got[i] >= wish->workers || (wish->quota && *spent >= wish->quota_workers)) {
        return false;
    }
    while (self->next[i] < self->cpus) {
        uint32_t cpu = self->order[self->next[i]++];
        if (has_cpu(wish->cpus, cpu) && !has_cpu(self->taken, cpu)) {
            self->taken[cpu / 64] |= UINT64_C(1) << (cpu % 64);
            self->got[i]++;
            ++*spent;
            return true;
        }
    }
    return false;
}

uint32_t
skua__lease_share(const skua__lease_wish *wishes, uint32_t count, uint32_t self) {
    assert(count > 0 && count <= LEASE_POOLS_MAX);
    assert(self < count);
    if (count == 1 || wishes[self].fixed) {
        return wishes[self].workers ? wishes[self].workers : 1;
    }
    deal all = {.wishes = wishes, .count = count};
    order_cpus(&all);
    find_quotas(&all);
    for (uint32_t i = 0; i < count; i++) {
        while (wishes[i].fixed && take_one(&all, i)) {
        }
    }
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < count; i++) {
            more |= take_one(&all, i);
        }
    }
    return all.got[self] ? all.got[self] : 1;
}
