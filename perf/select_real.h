// SPDX-License-Identifier: MPL-2.0
// Real work for the selector's benchmark: seven kernels through a pool, on this machine's cores and devices.
#ifndef SKUA_SELECT_REAL_H
#define SKUA_SELECT_REAL_H

#include "select_stream.h"

/* Pools that choose for themselves, each with a selector of its own. */
enum {
    REAL_NEW,        /* begins with knowing nothing */
    REAL_CALIBRATED, /* begins with skua_kernel_calibrate(), at four sizes of each kernel */
    REAL_CHOOSERS,
};

/* What was recorded, and what pools themselves chose meanwhile. */
typedef struct real_record {
    stream *stream; /* cores and devices; the first fifth is for learning */
    stream_choice
        *online[REAL_CHOOSERS];    /* for each piece, judged by the medians of all backends */
    uint64_t tried[REAL_CHOOSERS]; /* pieces that were sent somewhere to learn from them */
    uint64_t crossings;            /* sizes at which the best backend changes, of all kernels */
    double calibrating_ns;
} real_record;

/*
 * Draws so many pieces of each kernel, a third of them near a size at which the best backend changes. Each is run by the
 * pools where they like, and then several times on every backend in turn. Results are checked. Without a usable device
 * the record stays empty. Returns false after it wrote to stderr why.
 */
bool real_take(uint32_t pieces, uint64_t seed, real_record *ret_record);
void real_free(real_record *record);

#endif
