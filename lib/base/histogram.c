// SPDX-License-Identifier: MPL-2.0
// The log-linear histogram. Values under 64 have a bucket each; above, the top bit picks a row of 64
// buckets and the six bits below it one of them.
#include <skua-int/histogram.h>

#include <assert.h>
#include <string.h>

enum { SUBS = 1 << SKUA__HISTOGRAM_SUB_BITS };

static uint32_t
bucket_of(uint64_t value) {
    if (value < SUBS) {
        return (uint32_t)value;
    }
    uint32_t top = 63 - (uint32_t)__builtin_clzll(value);
    uint32_t shift = top - SKUA__HISTOGRAM_SUB_BITS;
    return (shift + 1) * SUBS + (uint32_t)((value >> shift) & (SUBS - 1));
}

/* The largest value that falls into a bucket. */
static uint64_t
bucket_end(uint32_t bucket) {
    if (bucket < SUBS) {
        return bucket;
    }
    uint32_t shift = bucket / SUBS - 1;
    uint64_t start = (uint64_t)(SUBS + bucket % SUBS) << shift;
    return start + ((UINT64_C(1) << shift) - 1);
}

void
skua__histogram_reset(skua__histogram *histogram) {
    memset(histogram, 0, sizeof *histogram);
}

void
skua__histogram_add(skua__histogram *histogram, uint64_t value) {
    uint32_t bucket = bucket_of(value);
    assert(bucket < SKUA__HISTOGRAM_BUCKETS);
    histogram->buckets[bucket]++;
    if (histogram->count == 0 || value < histogram->min) {
        histogram->min = value;
    }
    if (histogram->count == 0 || value > histogram->max) {
        histogram->max = value;
    }
    histogram->count++;
    histogram->sum += value;
}

void
skua__histogram_merge(skua__histogram *into, const skua__histogram *from) {
    if (from->count == 0) {
        return;
    }
    if (into->count == 0 || from->min < into->min) {
        into->min = from->min;
    }
    if (into->count == 0 || from->max > into->max) {
        into->max = from->max;
    }
    into->count += from->count;
    into->sum += from->sum;
    for (uint32_t i = 0; i < SKUA__HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
}

uint64_t
skua__histogram_at(const skua__histogram *histogram, uint32_t permille) {
    if (histogram->count == 0) {
        return 0;
    }
    /* The rank, rounded up, in two steps so that count * permille cannot overflow. */
    uint64_t whole = histogram->count / 1000, rest = histogram->count % 1000;
    uint64_t rank = whole * permille + (rest * permille + 999) / 1000;
    if (rank == 0) {
        return histogram->min;
    }
    uint64_t seen = 0;
    for (uint32_t i = 0; i < SKUA__HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            uint64_t end = bucket_end(i);
            return end < histogram->max ? end : histogram->max;
        }
    }
    return histogram->max;
}

double
skua__histogram_mean(const skua__histogram *histogram) {
    return histogram->count ? (double)histogram->sum / (double)histogram->count : 0.0;
}
