// SPDX-License-Identifier: MPL-2.0
// Whether a launch's memory fits on a device, in bytes, before the device is asked: what it says it has, less a
// reserve, and less again for a while after it had less than it said. Pure; the engine's thread owns it.
#ifndef SKUA_INT_ADMISSION_H
#define SKUA_INT_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SKUA__ADMISSION_RESERVE = 16, /* 1/16 of the memory is left to the driver and to others, */
    SKUA__ADMISSION_RESERVE_MIN_BYTES = 32 << 20, /* at least so much, */
    SKUA__ADMISSION_RESERVE_MAX = 4,              /* but never more than 1/4 */
};

#define SKUA__ADMISSION_TRUST_NS                                                                   \
    INT64_C(10000000000) /* until a device that lied is believed again */

typedef struct skua__admission {
    uint64_t limit_bytes;      /* memory less the reserve */
    uint64_t max_buffer_bytes; /* of one allocation */
    uint64_t used_bytes;       /* by launches under way: they cannot be let go */
    uint64_t kept_bytes;       /* by what lies there only in case it is needed again */
    uint64_t proven_bytes;     /* that did fit when the device refused */
    int64_t refused_ns;        /* when that was; 0: never */
} skua__admission;

typedef enum skua__admit {
    SKUA__ADMIT_NOW = 1,
    SKUA__ADMIT_EVICT = 2,     /* after letting go of kept bytes */
    SKUA__ADMIT_WAIT = 3,      /* when launches under way have ended */
    SKUA__ADMIT_ELSEWHERE = 4, /* it would not fit on the empty device */
} skua__admit;

/* reserve_bytes 0: the usual share. max_buffer_bytes 0: as much as there is. */
void skua__admission_init(skua__admission *admission, uint64_t memory_bytes,
                          uint64_t max_buffer_bytes, uint64_t reserve_bytes);

/* How much may be used now. It rises from what was proven to the limit within SKUA__ADMISSION_TRUST_NS of a refusal. */
uint64_t skua__admission_limit(const skua__admission *admission, int64_t now_ns);

/*
 * Whether a launch fits that needs `bytes` more, of which largest_bytes in one piece. For SKUA__ADMIT_EVICT,
 * *ret_evict_bytes is how much has to go first.
 */
skua__admit skua__admission_ask(const skua__admission *admission, uint64_t bytes,
                                uint64_t largest_bytes, int64_t now_ns, uint64_t *ret_evict_bytes);

/* A launch begins to use so much memory; it ends, and keep of it stays there as kept; kept memory is let go. */
void skua__admission_take(skua__admission *admission, uint64_t bytes);
void skua__admission_give(skua__admission *admission, uint64_t bytes, uint64_t keep_bytes);
void skua__admission_evicted(skua__admission *admission, uint64_t bytes);
/* Kept memory is used again by a launch: nothing new is needed. */
void skua__admission_reuse(skua__admission *admission, uint64_t bytes);
/*
 * The device had no room for a launch of wanted_bytes, of which held_bytes were taken (used or kept) when it said so:
 * drivers promise memory that they miss only when a command uses it.
 */
void skua__admission_refused(skua__admission *admission, uint64_t held_bytes, uint64_t wanted_bytes,
                             int64_t now_ns);

#endif
