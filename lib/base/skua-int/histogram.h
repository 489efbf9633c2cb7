// SPDX-License-Identifier: MPL-2.0
// A histogram of latencies: log-linear buckets (as in HdrHistogram, Tene), fixed size, no allocation, within 1.6 %.
#ifndef SKUA_INT_HISTOGRAM_H
#define SKUA_INT_HISTOGRAM_H

#include <stdint.h>

enum {
    SKUA__HISTOGRAM_SUB_BITS = 6, /* each power of two is split into 64 buckets: an error of 1/64 */
    SKUA__HISTOGRAM_BUCKETS = (64 - SKUA__HISTOGRAM_SUB_BITS + 1) << SKUA__HISTOGRAM_SUB_BITS,
};

/* 30 KB. Zeroed memory is an empty histogram. One owner; threads keep one each and merge. */
typedef struct skua__histogram {
    uint64_t count;
    uint64_t sum;      /* of the values; wraps only past 2^64 */
    uint64_t min, max; /* exact; meaningless while count is 0 */
    uint64_t buckets[SKUA__HISTOGRAM_BUCKETS];
} skua__histogram;

void skua__histogram_reset(skua__histogram *histogram);
void skua__histogram_add(skua__histogram *histogram, uint64_t value);
void skua__histogram_merge(skua__histogram *into, const skua__histogram *from);

/*
 * The smallest value that at least permille/1000 of all values do not exceed, rounded up to the end of its bucket and
 * never above max: 500 is the median, 990 the p99, 999 the p99.9. 0 when empty.
 */
uint64_t skua__histogram_at(const skua__histogram *histogram, uint32_t permille);
double skua__histogram_mean(const skua__histogram *histogram); /* 0 when empty */

#endif
