// SPDX-License-Identifier: MPL-2.0
// Tracks of others in an executor's trace: a ring of slices under a lock, since what is told here takes microseconds at
// least, and its JSON.
#include "track.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    TRACK_SLICES = 8192, /* kept, the newest */
};

typedef struct kept_slice {
    skua__track_slice slice;
    char name[SKUA__TRACK_NAME_BYTES];
} kept_slice;

struct skua__track {
    const skua_allocator *hook;
    skua__a32 refs;
    skua__a32 on; /* executors that are traced and have it; relaxed: a slice more or less */
    char name[SKUA__TRACK_NAME_BYTES];
    const char *rows[SKUA__TRACK_ROWS_MAX];
    uint32_t row_count;
    skua__mutex lock;   /* guards the rest */
    kept_slice *slices; /* NULL until it was on */
    uint64_t count;     /* ever added */
    uint64_t owners;
};

skua__track *
skua__track_new(const skua_allocator *hook, const char *name, const char *const *rows,
                uint32_t row_count) {
    assert(row_count <= SKUA__TRACK_ROWS_MAX);
    skua__track *track = skua__mem_new(hook, sizeof *track);
    if (track) {
        track->hook = hook;
        skua__a32_store(&track->refs, 1, memory_order_relaxed); /* relaxed: nobody else has it */
        snprintf(track->name, sizeof track->name, "%s", name);
        memcpy(track->rows, rows, row_count * sizeof *rows);
        track->row_count = row_count;
        skua__mutex_init(&track->lock);
    }
    return track;
}

static skua__track *
track_ref(skua__track *track) {
    skua__a32_add(&track->refs, 1, memory_order_relaxed); /* relaxed: the caller has one */
    return track;
}

skua__track *
skua__track_unref(skua__track *track) {
    /* acq_rel Q1: the last sees all that the others did; pairs with acq_rel Q1, itself, in another thread */
    if (track && skua__a32_sub(&track->refs, 1, memory_order_acq_rel) == 1) {
        skua__mutex_fini(&track->lock);
        skua__mem_free(track->hook, track->slices);
        skua__mem_free(track->hook, track);
    }
    return NULL;
}

bool
skua__track_is_on(const skua__track *track) {
    return track && skua__a32_load(&track->on, memory_order_relaxed) > 0; /* relaxed: as it says */
}

uint64_t
skua__track_owner(skua__track *track) {
    skua__mutex_lock(&track->lock);
    uint64_t owner = ++track->owners;
    skua__mutex_unlock(&track->lock);
    return owner;
}

void
skua__track_add(skua__track *track, const skua__track_slice *slice) {
    assert(slice->start_ns <= slice->end_ns);
    assert(slice->row == SKUA__TRACK_SPAN || (uint32_t)slice->row < track->row_count);
    skua__mutex_lock(&track->lock);
    if (track->slices) {
        kept_slice *kept = &track->slices[track->count++ % TRACK_SLICES];
        kept->slice = *slice;
        snprintf(kept->name, sizeof kept->name, "%s", slice->name);
    }
    skua__mutex_unlock(&track->lock);
}

/* ---- In an executor ---- */

static skua_status
turn_on(skua__track *track) {
    skua__mutex_lock(&track->lock);
    if (!track->slices) {
        track->slices = skua__mem_new(track->hook, TRACK_SLICES * sizeof *track->slices);
    }
    bool good = track->slices != NULL;
    skua__mutex_unlock(&track->lock);
    if (good) {
        skua__a32_add(&track->on, 1, memory_order_relaxed); /* relaxed: as it says */
    }
    return good ? SKUA_OK : SKUA_E_NO_MEMORY;
}

static void
turn_off(skua__track *track) {
    skua__a32_sub(&track->on, 1, memory_order_relaxed); /* relaxed: as it says */
}

void
skua__tracks_init(skua__tracks *tracks) {
    tracks->count = 0;
    tracks->on = false;
    skua__mutex_init(&tracks->lock);
}

void
skua__tracks_fini(skua__tracks *tracks) {
    /* Without the lock: nobody else is there, but it may have been held in the process that this one was forked from. */
    while (tracks->count > 0) {
        if (tracks->on) {
            turn_off(tracks->of[tracks->count - 1]);
        }
        skua__track_unref(tracks->of[--tracks->count]);
    }
    skua__mutex_fini(&tracks->lock);
}

skua_status
skua__tracks_start(skua__tracks *tracks) {
    skua_status status = SKUA_OK;
    skua__mutex_lock(&tracks->lock);
    for (uint32_t i = 0; i < tracks->count && !tracks->on; i++) {
        status = turn_on(tracks->of[i]);
        if (status) {
            while (i > 0) {
                turn_off(tracks->of[--i]);
            }
            break;
        }
    }
    tracks->on = status == SKUA_OK;
    skua__mutex_unlock(&tracks->lock);
    return status;
}

void
skua__tracks_stop(skua__tracks *tracks) {
    skua__mutex_lock(&tracks->lock);
    for (uint32_t i = 0; i < tracks->count && tracks->on; i++) {
        turn_off(tracks->of[i]);
    }
    tracks->on = false;
    skua__mutex_unlock(&tracks->lock);
}

/* Lets a track go that nobody adds to any more: the oldest, and while a trace is on only for want of room. */
static void
make_room_locked(skua__tracks *tracks) {
    for (uint32_t i = 0; i < tracks->count; i++) {
        /* acquire Q1: it is not added to meanwhile; pairs with acq_rel Q1 in skua__track_unref() */
        bool idle = skua__a32_load(&tracks->of[i]->refs, memory_order_acquire) == 1;
        if (idle && (!tracks->on || tracks->count == TRACKS_MAX)) {
            if (tracks->on) {
                turn_off(tracks->of[i]);
            }
            skua__track_unref(tracks->of[i]);
            tracks->count--;
            memmove(&tracks->of[i], &tracks->of[i + 1], (tracks->count - i) * sizeof tracks->of[0]);
            i--;
        }
    }
}

skua_status
skua__tracks_add(skua__tracks *tracks, skua__track *track, skua_error *err) {
    skua_status status = SKUA_OK;
    bool known = false;
    skua__mutex_lock(&tracks->lock);
    for (uint32_t i = 0; i < tracks->count; i++) {
        known = known || tracks->of[i] == track;
    }
    if (!known) {
        make_room_locked(tracks);
        status = tracks->count == TRACKS_MAX ? SKUA_E_LIMIT : tracks->on ? turn_on(track) : SKUA_OK;
        if (!status) {
            tracks->of[tracks->count++] = track_ref(track);
        }
    }
    skua__mutex_unlock(&tracks->lock);
    return status == SKUA_E_NO_MEMORY ? SKUA_FAIL_MEMORY(err, "a track of the trace")
           : status                   ? SKUA_FAIL(err, status,
                                                  "the executor's trace has %d tracks of devices already; close "
                                                                    "some, or open another executor",
                                                  TRACKS_MAX)
                                      : SKUA_OK;
}

/* ---- Writing ---- */

typedef struct track_writer {
    skua__json *json;
    uint64_t process; /* its number in the picture: 1 is the executor */
    int64_t from_ns;
} track_writer;

static double
us_since(const track_writer *to, int64_t at_ns) {
    return (double)(at_ns - to->from_ns) / 1000.0;
}

static void
begin_event(const track_writer *to, const char *phase, const char *name, uint64_t row) {
    skua__json_object(to->json);
    skua__json_put_text(to->json, "ph", phase);
    skua__json_put_text(to->json, "name", name);
    skua__json_put_u64(to->json, "pid", to->process);
    skua__json_put_u64(to->json, "tid", row);
}

static void
put_name(const track_writer *to, const char *what, uint64_t row, const char *name) {
    begin_event(to, "M", what, row);
    skua__json_put_double(to->json, "ts", 0);
    skua__json_key(to->json, "args");
    skua__json_object(to->json);
    skua__json_put_text(to->json, "name", name);
    skua__json_object_end(to->json);
    skua__json_object_end(to->json);
}

static void
put_args(const track_writer *to, const skua__track_slice *slice) {
    skua__json_key(to->json, "args");
    skua__json_object(to->json);
    skua__json_put_u64(to->json, "launch", slice->owner);
    if (slice->bytes) {
        skua__json_put_u64(to->json, "bytes", slice->bytes);
    }
    if (slice->queued_ns) {
        skua__json_put_double(to->json, "queued_us", us_since(to, slice->queued_ns));
    }
    if (slice->submit_ns) {
        skua__json_put_double(to->json, "submitted_us", us_since(to, slice->submit_ns));
    }
    skua__json_object_end(to->json);
}

/* A slice of a row is one event. A span is two, of a number of its own, so that it may overlap others. */
static void
put_slice(const track_writer *to, const kept_slice *kept, uint64_t number) {
    const skua__track_slice *slice = &kept->slice;
    bool span = slice->row == SKUA__TRACK_SPAN;
    for (int end = 0; end < (span ? 2 : 1); end++) {
        begin_event(to, span ? end ? "e" : "b" : "X", kept->name,
                    span ? 0 : (uint64_t)slice->row + 1);
        skua__json_put_double(to->json, "ts", us_since(to, end ? slice->end_ns : slice->start_ns));
        skua__json_put_text(to->json, "cat", span ? slice->kind : "command");
        if (span) {
            skua__json_put_u64(to->json, "id", to->process << 48 | number);
        } else {
            skua__json_put_double(to->json, "dur",
                                  (double)(slice->end_ns - slice->start_ns) / 1000.0);
        }
        if (!end) {
            put_args(to, slice);
        }
        skua__json_object_end(to->json);
    }
}

static uint64_t
write_track(const track_writer *to, skua__track *track) {
    uint64_t lost = 0;
    put_name(to, "process_name", 0, track->name);
    for (uint32_t row = 0; row < track->row_count; row++) {
        put_name(to, "thread_name", row + 1, track->rows[row]);
    }
    skua__mutex_lock(&track->lock);
    uint64_t at = track->count > TRACK_SLICES ? track->count - TRACK_SLICES : 0;
    lost = at;
    for (; at < track->count; at++) {
        const kept_slice *kept = &track->slices[at % TRACK_SLICES];
        if (kept->slice.start_ns >= to->from_ns) {
            put_slice(to, kept, at + 1);
        }
    }
    skua__mutex_unlock(&track->lock);
    return lost;
}

uint64_t
skua__tracks_write(skua__tracks *tracks, skua__json *json, int64_t from_ns) {
    skua__track *of[TRACKS_MAX];
    skua__mutex_lock(&tracks->lock);
    uint32_t count = tracks->count;
    for (uint32_t i = 0; i < count; i++) {
        of[i] = track_ref(tracks->of[i]);
    }
    skua__mutex_unlock(&tracks->lock);
    uint64_t lost = 0;
    for (uint32_t i = 0; i < count; i++) {
        const track_writer to = {.json = json, .process = 2 + (uint64_t)i, .from_ns = from_ns};
        lost += write_track(&to, of[i]);
        skua__track_unref(of[i]);
    }
    return lost;
}
