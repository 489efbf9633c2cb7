// SPDX-License-Identifier: MPL-2.0
// Tracks: what others than workers do, in an executor's trace. A device has one, with a row for each of its queues. For gpu
// and sched/pool.
#ifndef SKUA_INT_TRACE_H
#define SKUA_INT_TRACE_H

#include <skua/exec.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct skua__track skua__track;

enum {
    SKUA__TRACK_ROWS_MAX = 4,
    SKUA__TRACK_NAME_BYTES = 64, /* cut to this, its 0 included */
    SKUA__TRACK_SPAN = -1,       /* a row for what overlaps: each slice is drawn by itself */
};

/* Something that took a while. Times are those of skua__clock_ns(). */
typedef struct skua__track_slice {
    int32_t row;                  /* whose slices do not overlap; or SKUA__TRACK_SPAN */
    const char *kind;             /* of a SPAN; a constant string */
    const char *name;             /* copied */
    uint64_t owner;               /* what it belongs to: slices of the same have the same number */
    int64_t start_ns, end_ns;     /* end is not before start */
    int64_t queued_ns, submit_ns; /* before start; 0: not known */
    uint64_t bytes;               /* that it moved; 0: none */
} skua__track_slice;

/*
 * A track with a row for each of the names, constant strings. NULL: no memory. It holds no slices before it is on. The caller
 * owns a reference: skua__track_unref().
 */
skua__track *skua__track_new(const skua_allocator *hook, const char *name, const char *const *rows,
                             uint32_t row_count);
/* Threads: any. Takes NULL. Returns NULL. */
skua__track *skua__track_unref(skua__track *track);
/* Whether an executor is being traced that has the track: only then need slices be told. Threads: any. Blocks: never. */
bool skua__track_is_on(const skua__track *track);
/* A number for a new owner of slices, never 0. Threads: any. */
uint64_t skua__track_owner(skua__track *track);
/* Keeps a slice; the oldest makes way. Threads: any. Blocks: never. */
void skua__track_add(skua__track *track, const skua__track_slice *slice);

/*
 * From now on the track is in the executor's trace, until the executor ends; again: nothing. Returns 0, SKUA_E_LIMIT (it has 64
 * that others use), SKUA_E_NO_MEMORY. Threads: any. Blocks: never.
 */
skua_status skua__exec_add_track(skua_exec *exec, skua__track *track, skua_error *err);

#endif
