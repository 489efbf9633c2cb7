// SPDX-License-Identifier: MPL-2.0
// The ring trace: what each worker did lately, written as the JSON that Perfetto and chrome://tracing read.
//
// Each worker writes its own ring (and devices theirs: track.c); nobody waits for anybody. Ordering: an event's cells are stored before the head that
// counts it, and after the head that counts the one before (R1, release and acquire on both); so a reader that finds the
// cell of a newer event also finds the newer head, and drops what may have been overwritten while it read.
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/json.h>
#include <skua-int/mem.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    TRACE_EVENTS_DEFAULT = 16384,
    TRACE_EVENTS_MAX = 1 << 22,
};

typedef struct trace_cell {
    skua__a64 at_ns;
    skua__a64 what; /* kind, and above it a number */
} trace_cell;

typedef struct trace_ring {
    skua__a64 head;  /* events ever written */
    uint64_t events; /* cells */
    trace_cell cells[];
} trace_ring;

/* ---- Recording ---- */

void
skua__trace_record(skua__worker *worker, enum skua__trace kind, uint32_t number) {
    /* acquire R2: the ring's size; pairs with release R2 in make_rings() */
    trace_ring *ring = skua__aptr_load(&worker->ring, memory_order_acquire);
    if (!ring) {
        return;
    }
    uint64_t head = skua__a64_load(&ring->head, memory_order_relaxed); /* relaxed: we alone write */
    trace_cell *cell = &ring->cells[head % ring->events];
    /* release R1: after the head before; pairs with acquire R1 in write_worker() */
    skua__a64_store(&cell->at_ns, (uint64_t)skua__clock_ns(), memory_order_release);
    /* release R1: same */
    skua__a64_store(&cell->what, (uint64_t)number << 8 | kind, memory_order_release);
    /* release R1: after the cell; pairs with acquire R1 in write_worker() */
    skua__a64_store(&ring->head, head + 1, memory_order_release);
}

/* ---- Start and stop ---- */

static skua_status
make_rings(skua_exec *exec, uint64_t events) {
    for (uint32_t i = 0; i < exec->worker_places; i++) {
        skua__aptr *place = &exec->workers[i].ring;
        /* relaxed: under trace_lock */
        if (skua__aptr_load(place, memory_order_relaxed)) {
            continue;
        }
        trace_ring *ring =
            skua__mem_new(exec->hook, sizeof *ring + (size_t)events * sizeof(trace_cell));
        if (!ring) {
            return SKUA_E_NO_MEMORY; /* those that were made are used by the next start */
        }
        ring->events = events;
        /* release R2: the ring's size; pairs with acquire R2 in skua__trace_record() */
        skua__aptr_store(place, ring, memory_order_release);
    }
    return SKUA_OK;
}

void
skua__trace_fini(skua_exec *exec) {
    for (uint32_t i = 0; exec->workers && i < exec->worker_places; i++) {
        /* relaxed: the threads have ended */
        skua__mem_free(exec->hook, skua__aptr_load(&exec->workers[i].ring, memory_order_relaxed));
    }
    skua__tracks_fini(&exec->tracks);
    skua__mutex_fini(&exec->trace_lock);
}

skua_status
skua_exec_trace_start(skua_exec *exec, const skua_trace_options *given, skua_error *err) {
    if (!exec) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "exec is NULL");
    }
    skua_trace_options options;
    if (!SKUA_READ_OPTIONS(&options, given) || options.events < 0 ||
        options.events > TRACE_EVENTS_MAX) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "options have no size, a newer field, or events outside 0 to %d",
                         TRACE_EVENTS_MAX);
    }
    skua_status status = skua__exec_check(exec);
    if (status != SKUA_OK) {
        return SKUA_FAIL(err, status, "the executor cannot be traced: %s",
                         skua_status_text(status));
    }
    skua__mutex_lock(&exec->trace_lock);
    /* relaxed: under the lock, both; a worker begins or ends recording an event sooner or later. */
    bool on = skua__a32_load(&exec->tracing, memory_order_relaxed) != 0;
    if (!on) {
        status = make_rings(exec, options.events ? (uint64_t)options.events : TRACE_EVENTS_DEFAULT);
        status = status ? status : skua__tracks_start(&exec->tracks);
    }
    if (!on && status == SKUA_OK) {
        exec->traced_from_ns = skua__clock_ns();
        skua__a32_store(&exec->tracing, options.spawns ? EXEC_TRACE_SPAWNS : EXEC_TRACE_ON,
                        memory_order_relaxed); /* relaxed: as above */
    }
    skua__mutex_unlock(&exec->trace_lock);
    if (on) {
        return SKUA_FAIL(err, SKUA_E_EXISTS, "the executor is traced already");
    }
    if (status != SKUA_OK) {
        return SKUA_FAIL_MEMORY(err, "the trace's rings");
    }
    /* acquire N1: the stacks; pairs with release N1 in skua__worker_start() */
    uint32_t places = skua__a32_load(&exec->places, memory_order_acquire);
    for (uint32_t i = 0; options.spawns && i < places; i++) {
        skua__request(exec->workers[i].stack, EXEC_REQUEST_TRACE);
    }
    return SKUA_OK;
}

void
skua_exec_trace_stop(skua_exec *exec) {
    assert(exec);
    if (exec->fork_generation == skua__fork_generation()) {
        /* relaxed: as in skua_exec_trace_start() */
        skua__a32_store(&exec->tracing, EXEC_TRACE_OFF, memory_order_relaxed);
        skua__tracks_stop(&exec->tracks);
    }
}

/* ---- Writing ---- */

typedef struct trace_writer {
    skua__json json;
    const skua_exec *exec;
    uint32_t worker;
    uint32_t depth; /* of slices that are open */
    uint64_t flows; /* arrows so far */
    int64_t last_ns;
} trace_writer;

static void
begin_event(trace_writer *to, const char *phase, const char *name, uint32_t worker, int64_t at_ns) {
    skua__json *json = &to->json;
    skua__json_object(json);
    skua__json_put_text(json, "ph", phase);
    skua__json_put_text(json, "name", name);
    skua__json_put_u64(json, "pid", 1);
    skua__json_put_u64(json, "tid", (uint64_t)worker + 1);
    skua__json_put_double(json, "ts", (double)(at_ns - to->exec->traced_from_ns) / 1000.0);
}

static void
put_number(trace_writer *to, const char *key, uint64_t number) {
    skua__json_key(&to->json, "args");
    skua__json_object(&to->json);
    skua__json_put_u64(&to->json, key, number);
    skua__json_object_end(&to->json);
}

/* An arrow from the victim's track to the thief's slice. */
static void
put_arrow(trace_writer *to, uint32_t victim, int64_t at_ns) {
    to->flows++;
    for (int end = 0; end < 2; end++) {
        begin_event(to, end ? "f" : "s", "steal", end ? to->worker : victim, at_ns);
        skua__json_put_text(&to->json, "cat", "steal");
        skua__json_put_u64(&to->json, "id", (uint64_t)to->worker << 32 | to->flows);
        if (end) {
            skua__json_put_text(&to->json, "bp", "e");
        }
        skua__json_object_end(&to->json);
    }
}

static void
put_event(trace_writer *to, enum skua__trace kind, uint32_t number, int64_t at_ns) {
    static const struct {
        const char *phase, *name, *number;
    } rows[] = {
        [EXEC_TRACE_JOB] = {"B", "job", NULL},
        [EXEC_TRACE_STEAL] = {"B", "stolen call", "victim"},
        [EXEC_TRACE_PARK] = {"B", "parked", NULL},
        [EXEC_TRACE_END] = {"E", "", NULL},
        [EXEC_TRACE_WAKE] = {"i", "wake", "worker"},
        [EXEC_TRACE_SHARE] = {"i", "share", "calls"},
        [EXEC_TRACE_SPAWN] = {"i", "spawn", "depth"},
        [EXEC_TRACE_NODE] = {"B", "node", "index"},
    };
    bool ends = kind == EXEC_TRACE_END;
    if (ends && to->depth == 0) {
        return; /* its beginning was overwritten */
    }
    begin_event(to, rows[kind].phase, rows[kind].name, to->worker, at_ns);
    if (rows[kind].phase[0] == 'i') {
        skua__json_put_text(&to->json, "s", "t");
    } else {
        to->depth += ends ? UINT32_MAX : 1;
    }
    if (rows[kind].number) {
        put_number(to, rows[kind].number, number);
    }
    skua__json_object_end(&to->json);
    if (kind == EXEC_TRACE_STEAL) {
        put_arrow(to, number, at_ns);
    }
    to->last_ns = at_ns;
}

static void
put_name(trace_writer *to) {
    char name[32];
    snprintf(name, sizeof name, "%s-%" PRIu32, to->exec->name, to->worker);
    begin_event(to, "M", "thread_name", to->worker, to->exec->traced_from_ns);
    skua__json_key(&to->json, "args");
    skua__json_object(&to->json);
    skua__json_put_text(&to->json, "name", name);
    skua__json_object_end(&to->json);
    skua__json_object_end(&to->json);
}

/* Writes what one worker's ring holds. Returns how many of its events were overwritten. */
static uint64_t
write_worker(trace_writer *to, const trace_ring *ring) {
    /* acquire R1: the cells; pairs with release R1 in skua__trace_record() */
    uint64_t end = skua__a64_load(&ring->head, memory_order_acquire);
    uint64_t at = end > ring->events ? end - ring->events : 0;
    uint64_t lost = at;
    to->depth = 0;
    to->last_ns = to->exec->traced_from_ns;
    for (; at < end; at++) {
        const trace_cell *cell = &ring->cells[at % ring->events];
        /* acquire R1: before the head below; pairs with release R1 in skua__trace_record() */
        int64_t at_ns = (int64_t)skua__a64_load(&cell->at_ns, memory_order_acquire);
        uint64_t what = skua__a64_load(&cell->what, memory_order_acquire); /* acquire R1: same */
        /* acquire R1: see the head of this file */
        uint64_t head = skua__a64_load(&ring->head, memory_order_acquire);
        if (at + ring->events <= head) {
            lost++;
        } else if (at_ns >= to->exec->traced_from_ns) {
            put_event(to, (enum skua__trace)(what & 0xff), (uint32_t)(what >> 8), at_ns);
        }
    }
    while (to->depth > 0) {
        put_event(to, EXEC_TRACE_END, 0, to->last_ns); /* what still runs */
    }
    return lost;
}

static bool
write_trace(skua_exec *exec, FILE *file) {
    trace_writer to = {.exec = exec};
    uint64_t lost = 0;
    skua__json_to_file(&to.json, file);
    skua__json_object(&to.json);
    skua__json_put_text(&to.json, "displayTimeUnit", "ns");
    skua__json_key(&to.json, "traceEvents");
    skua__json_array(&to.json);
    /* acquire N1: pairs with release N1 in skua__worker_start() */
    uint32_t places = skua__a32_load(&exec->places, memory_order_acquire);
    for (to.worker = 0; to.worker < places; to.worker++) {
        /* acquire R2: pairs with release R2 in make_rings() */
        const trace_ring *ring =
            skua__aptr_load(&exec->workers[to.worker].ring, memory_order_acquire);
        if (ring) {
            put_name(&to);
            lost += write_worker(&to, ring);
        }
    }
    lost += skua__tracks_write(&exec->tracks, &to.json, exec->traced_from_ns);
    skua__json_array_end(&to.json);
    skua__json_key(&to.json, "otherData");
    skua__json_object(&to.json);
    skua__json_put_u64(&to.json, "overwritten_events", lost);
    skua__json_object_end(&to.json);
    skua__json_object_end(&to.json);
    return skua__json_end(&to.json);
}

skua_status
skua_exec_trace_write(skua_exec *exec, const char *path, skua_error *err) {
    if (!exec || !path) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL", exec ? "path" : "exec");
    }
    if (exec->fork_generation != skua__fork_generation()) {
        return SKUA_FAIL(err, SKUA_E_FORKED, "the executor was opened before fork()");
    }
    FILE *file = fopen(path, "we");
    if (!file) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_FILE, errno, "the trace \"%s\" cannot be written: %s",
                               path, strerror(errno));
    }
    skua__mutex_lock(&exec->trace_lock);
    bool good = write_trace(exec, file);
    skua__mutex_unlock(&exec->trace_lock);
    if (fclose(file) != 0 || !good) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_FILE, errno, "the trace \"%s\" was not written whole",
                               path);
    }
    return SKUA_OK;
}

skua_status
skua__exec_add_track(skua_exec *exec, skua__track *track, skua_error *err) {
    return skua__tracks_add(&exec->tracks, track, err);
}
