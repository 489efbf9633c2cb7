// SPDX-License-Identifier: MPL-2.0
// The account of a device's memory.
#include <assert.h>
#include <skua-int/admission.h>

void
skua__admission_init(skua__admission *admission, uint64_t memory_bytes, uint64_t max_buffer_bytes,
                     uint64_t reserve_bytes) {
    if (!reserve_bytes) {
        reserve_bytes = memory_bytes / SKUA__ADMISSION_RESERVE;
        if (reserve_bytes < SKUA__ADMISSION_RESERVE_MIN_BYTES) {
            reserve_bytes = SKUA__ADMISSION_RESERVE_MIN_BYTES;
        }
        if (reserve_bytes > memory_bytes / SKUA__ADMISSION_RESERVE_MAX) {
            reserve_bytes = memory_bytes / SKUA__ADMISSION_RESERVE_MAX;
        }
    }
    *admission = (skua__admission){
        .limit_bytes = reserve_bytes < memory_bytes ? memory_bytes - reserve_bytes : 0,
        .max_buffer_bytes = max_buffer_bytes ? max_buffer_bytes : memory_bytes,
    };
}

uint64_t
skua__admission_limit(const skua__admission *admission, int64_t now_ns) {
    int64_t since_ns = now_ns - admission->refused_ns;
    if (!admission->refused_ns || since_ns >= SKUA__ADMISSION_TRUST_NS ||
        admission->proven_bytes >= admission->limit_bytes) {
        return admission->limit_bytes;
    }
    double part = since_ns > 0 ? (double)since_ns / (double)SKUA__ADMISSION_TRUST_NS : 0;
    uint64_t gap = admission->limit_bytes - admission->proven_bytes;
    return admission->proven_bytes + (uint64_t)((double)gap * part);
}

skua__admit
skua__admission_ask(const skua__admission *admission, uint64_t bytes, uint64_t largest_bytes,
                    int64_t now_ns, uint64_t *ret_evict_bytes) {
    uint64_t limit = skua__admission_limit(admission, now_ns);
    *ret_evict_bytes = 0;
    if (bytes > limit || largest_bytes > admission->max_buffer_bytes) {
        return SKUA__ADMIT_ELSEWHERE;
    }
    uint64_t free_bytes = limit > admission->used_bytes ? limit - admission->used_bytes : 0;
    if (bytes > free_bytes) {
        return SKUA__ADMIT_WAIT;
    }
    uint64_t need = bytes + admission->kept_bytes;
    if (need <= free_bytes) {
        return SKUA__ADMIT_NOW;
    }
    *ret_evict_bytes = need - free_bytes;
    return SKUA__ADMIT_EVICT;
}

void
skua__admission_take(skua__admission *admission, uint64_t bytes) {
    admission->used_bytes += bytes;
}

void
skua__admission_give(skua__admission *admission, uint64_t bytes, uint64_t keep_bytes) {
    assert(bytes <= admission->used_bytes);
    assert(keep_bytes <= bytes);
    admission->used_bytes -= bytes;
    admission->kept_bytes += keep_bytes;
}

void
skua__admission_evicted(skua__admission *admission, uint64_t bytes) {
    assert(bytes <= admission->kept_bytes);
    admission->kept_bytes -= bytes;
}

void
skua__admission_reuse(skua__admission *admission, uint64_t bytes) {
    skua__admission_evicted(admission, bytes);
    skua__admission_take(admission, bytes);
}

void
skua__admission_refused(skua__admission *admission, uint64_t held_bytes, uint64_t wanted_bytes,
                        int64_t now_ns) {
    uint64_t all = admission->used_bytes + admission->kept_bytes;
    assert(held_bytes <= all);
    /* Where nothing else lies there, half of what was wanted is as good a guess as any: the next refusal halves it. */
    admission->proven_bytes = all - held_bytes;
    if (admission->proven_bytes < wanted_bytes / 2) {
        admission->proven_bytes = wanted_bytes / 2;
    }
    admission->refused_ns = now_ns;
}
