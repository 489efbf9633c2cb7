// SPDX-License-Identifier: MPL-2.0
// The box's own: the tracks of others in an executor's trace (skua-int/trace.h).
#ifndef SKUA_EXEC_TRACK_H
#define SKUA_EXEC_TRACK_H

#include <skua-int/atomic.h>
#include <skua-int/json.h>
#include <skua-int/thread.h>
#include <skua-int/trace.h>

enum { TRACKS_MAX = 64 };

typedef struct skua__tracks {
    skua__mutex lock; /* guards the rest; before a track's own */
    skua__track *of[TRACKS_MAX];
    uint32_t count;
    bool on;
} skua__tracks;

void skua__tracks_init(skua__tracks *tracks);
void skua__tracks_fini(skua__tracks *tracks);
/* Returns 0, or SKUA_E_NO_MEMORY: then none is on. */
skua_status skua__tracks_start(skua__tracks *tracks);
void skua__tracks_stop(skua__tracks *tracks);
skua_status skua__tracks_add(skua__tracks *tracks, skua__track *track, skua_error *err);
/* Writes their slices into an array of events. Returns how many had made way. */
uint64_t skua__tracks_write(skua__tracks *tracks, skua__json *json, int64_t from_ns);

#endif
