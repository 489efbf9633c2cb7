// SPDX-License-Identifier: MPL-2.0
// What a launch takes of a device: whether it fits beside those that run, what is let go for it, and its memory there.
#include "buffer_priv.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>

/* In place: not a slice that the kernel is to find far behind the memory's beginning. */
static bool
can_share(const skua__engine *engine, const skua__launch_arg *arg) {
    return !arg->before_bytes && skua__engine_shares(engine, arg->host);
}

/* Of the device's memory for it, when it is copied. */
static uint64_t
room_bytes(const skua__launch_arg *arg) {
    return arg->before_bytes + arg->bytes;
}

static uint64_t
copied_bytes(const skua__engine *engine, const skua__launch *launch) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        const skua__launch_arg *arg = &launch->args[i];
        if (arg->buffer) {
            bytes += skua__copy_missing(engine, arg);
        } else if (skua__arg_is_memory(arg) && !can_share(engine, arg)) {
            bytes += arg->kind == SKUA_PARAM_INOUT ? 2 * arg->bytes : arg->bytes;
        }
    }
    return bytes;
}

bool
skua__run_is_small(const skua__engine *engine, const skua__launch *launch) {
    return launch->kernel && copied_bytes(engine, launch) <= ENGINE_EXPRESS_BYTES;
}

/* Whether as many run already as may at once. */
static bool
is_crowded(const skua__engine *engine, const skua__launch *launch) {
    uint32_t running = engine->staged + engine->express;
    if (launch->evictions || !skua__watch_admits(&engine->watch, running)) {
        return running >
               0; /* it failed for want of memory: now it has all. Or the device is on probation. */
    }
    return skua__run_is_small(engine, launch) ? engine->express >= ENGINE_EXPRESS_MAX
                                              : engine->staged >= engine->depth;
}

static skua__need
memory_needed(const skua__engine *engine, const skua__launch *launch) {
    skua__need need = {0};
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        const skua__launch_arg *arg = &launch->args[i];
        if (arg->buffer ? skua__copy_wants_block(engine, arg)
                        : skua__arg_is_memory(arg) && !can_share(engine, arg)) {
            skua__blocks_want(&engine->blocks, room_bytes(arg), &need);
        }
    }
    return need;
}

/* What a launch takes goes beyond what is free and kept: whether pinned blocks and copies of idle buffers can make way, now or soon. */
static skua__admit
press(skua__engine *engine, skua__need *need) {
    uint64_t evict_bytes = 0;
    skua__admit admit = SKUA__ADMIT_WAIT;
    if (skua__stage_let_go(engine)) {
        admit = skua__blocks_ask(&engine->blocks, need, skua__clock_ns(), &evict_bytes);
    }
    while (admit == SKUA__ADMIT_WAIT && skua__copy_evict(engine, need->bytes) > 0) {
        admit = skua__blocks_ask(&engine->blocks, need, skua__clock_ns(), &evict_bytes);
    }
    if (admit == SKUA__ADMIT_EVICT) {
        skua__blocks_evict(&engine->blocks, evict_bytes);
    }
    return admit;
}

/* All that lies on the device only in case it is needed again. */
static void
let_all_go(skua__engine *engine) {
    skua__stage_let_go(engine);
    while (skua__copy_evict(engine, UINT64_MAX) > 0) {
    }
    skua__blocks_evict(&engine->blocks, UINT64_MAX);
}

/* Whether a work-group's scratch memory is there. A driver would find it out at the launch, and take it for memory that it has none of. */
static bool
has_scratch(const skua__engine *engine, skua__launch *launch) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        bytes += launch->args[i].kind == SKUA_PARAM_LOCAL ? launch->args[i].bytes : 0;
    }
    if (bytes <= engine->info.local_bytes || !bytes || !engine->info.local_bytes) {
        return true;
    }
    launch->error = (skua_error){0};
    (void)SKUA_FAIL(&launch->error, SKUA_E_DEVICE_MEMORY,
                    "the launch of \"%s\" needs %llu bytes of scratch memory in a work-group, and "
                    "device \"%s\" has %llu; ask for less, or run it elsewhere",
                    skua__launch_name(launch), (unsigned long long)bytes, engine->info.name,
                    (unsigned long long)engine->info.local_bytes);
    return false;
}

skua__room
skua__run_make_room(skua__engine *engine, skua__launch *launch) {
    if (!has_scratch(engine, launch)) {
        return SKUA__ROOM_NEVER;
    }
    if (is_crowded(engine, launch)) {
        return SKUA__ROOM_LATER;
    }
    if (launch->evictions) {
        /* Not before now: others that ran beside it have left theirs behind meanwhile. */
        let_all_go(engine);
        return SKUA__ROOM_YES;
    }
    skua__need need = memory_needed(engine, launch);
    uint64_t evict_bytes = 0;
    skua__admit admit = skua__blocks_ask(&engine->blocks, &need, skua__clock_ns(), &evict_bytes);
    if (admit == SKUA__ADMIT_EVICT) {
        skua__blocks_evict(&engine->blocks, evict_bytes);
    } else if (admit == SKUA__ADMIT_WAIT) {
        admit = press(engine, &need);
    }
    if (admit == SKUA__ADMIT_WAIT && (!skua__list_empty(&engine->running) ||
                                      (!engine->stuck && skua__copy_write_back(engine)))) {
        return SKUA__ROOM_LATER;
    }
    if (admit == SKUA__ADMIT_WAIT || admit == SKUA__ADMIT_ELSEWHERE) {
        launch->error = (skua_error){0};
        (void)SKUA_FAIL(&launch->error, SKUA_E_DEVICE_MEMORY,
                        "the launch of \"%s\" needs %llu bytes of device \"%s\", which has %llu "
                        "for launches; run it elsewhere or cut it into several",
                        skua__launch_name(launch), (unsigned long long)need.bytes,
                        engine->info.name, (unsigned long long)engine->blocks.account.limit_bytes);
        return SKUA__ROOM_NEVER;
    }
    return SKUA__ROOM_YES;
}

/* ---- Memory ---- */

void
skua__run_detach(skua__engine *engine, skua__launch *launch) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__launch_arg *arg = &launch->args[i];
        skua__blocks_give(&engine->blocks, arg->block);
        if (arg->shared && engine->dev) {
            engine->driver->mem_free(engine->dev, arg->shared);
        }
        arg->block = NULL;
        arg->shared = NULL;
        if (arg->copy) {
            arg->copy->busy--; /* it stays where it is */
        }
        arg->copy = NULL;
    }
}

skua_status
skua__run_attach(skua__engine *engine, skua__launch *launch) {
    skua_status status = SKUA_OK;
    uint64_t shared = 0;
    launch->wanted_bytes = launch->device_bytes = 0;
    for (uint32_t i = 0; i < launch->arg_count && status == SKUA_OK; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (!skua__arg_is_memory(arg)) {
            continue;
        }
        if (arg->buffer) {
            status = skua__copy_attach(engine, launch, arg);
            shared += status == SKUA_OK && arg->copy->shared;
        } else if (can_share(engine, arg)) {
            status = engine->driver->mem_new(engine->dev, SKUA__DEV_MEM_SHARED, arg->bytes,
                                             arg->host, &arg->shared, &launch->error);
            shared++;
        } else {
            launch->wanted_bytes += room_bytes(arg);
            status =
                skua__blocks_take(&engine->blocks, room_bytes(arg), &arg->block, &launch->error);
            /* A small block is a part of what others use too. */
            launch->device_bytes += status || arg->block->slab ? 0 : arg->block->bytes;
        }
    }
    skua__mutex_lock(&engine->lock);
    engine->counters.zero_copies += shared;
    skua__mutex_unlock(&engine->lock);
    return status;
}
