// SPDX-License-Identifier: MPL-2.0
// What an engine does when its device fails: watch.c decides, this closes the context, waits and makes a new one. Memory
// that is short is first let go; a device that fails once more, is lost or hangs gets a quarantine, in which its engine
// takes nothing, so that whoever has work gives it to another.
#include "buffer_priv.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <string.h>

skua_status
skua__health_open(skua__engine *engine, skua_error *err) {
    skua_status status = engine->driver->open(engine->driver_ctx, &engine->info, engine->ordinal,
                                              engine->hook, &engine->dev, err);
    if (status) {
        engine->dev = NULL;
        return status;
    }
    skua__stage_init(engine);
    skua__blocks_init(&engine->blocks, engine->hook, engine->driver, engine->dev, &engine->info);
    memset(engine->dirty, 0, sizeof engine->dirty);
    return SKUA_OK;
}

void
skua__health_close(skua__engine *engine, bool abandon) {
    if (!engine->dev) {
        return;
    }
    skua__list landed;
    skua__list_init(&landed);
    engine->driver->close(engine->dev, abandon);
    engine->dev = NULL;
    skua__built_free_all(engine);
    /* What was under way has ended within close(), and gives its blocks back. */
    skua__mutex_lock(&engine->lock);
    skua__engine_collect_locked(engine, &landed);
    skua__mutex_unlock(&engine->lock);
    skua__engine_land(engine, &landed);
    skua__stage_init(engine);
    skua__copy_drop_all(engine, abandon);
    skua__blocks_fini(&engine->blocks);
}

uint32_t
skua__health_event(skua__engine *engine, skua__watch_event event, skua__watch_launch launch) {
    uint32_t actions = skua__watch_step(&engine->watch, event, launch, skua__clock_ns());
    if (actions & SKUA__WATCH_CLOSE) {
        engine->failed = true;
        engine->abandon = (actions & SKUA__WATCH_ABANDON) != 0;
        skua__mutex_lock(&engine->lock);
        engine->resting = true;
        engine->rests_until_ns = skua__watch_next_ns(&engine->watch);
        engine->counters.quarantines++;
        skua__mutex_unlock(&engine->lock);
    }
    return actions;
}

/* The quarantine is over: a new context, or a longer quarantine. */
static void
rebuild(skua__engine *engine) {
    skua_error error;
    bool opened = skua__health_open(engine, &error) == SKUA_OK;
    skua__watch_step(&engine->watch, opened ? SKUA__WATCH_REBUILT : SKUA__WATCH_REBUILD_FAILED,
                     (skua__watch_launch){0}, skua__clock_ns());
    skua__mutex_lock(&engine->lock);
    engine->resting = !opened;
    engine->rests_until_ns = skua__watch_next_ns(&engine->watch);
    skua__mutex_unlock(&engine->lock);
}

void
skua__health_mend(skua__engine *engine) {
    if (engine->failed && (engine->abandon || skua__list_empty(&engine->running))) {
        /* A device that is merely full gives back what only it has. */
        if (!engine->abandon && !engine->stuck &&
            (!skua__list_empty(&engine->transfers) || skua__copy_write_back(engine))) {
            return;
        }
        skua__health_close(engine, engine->abandon);
        engine->failed = engine->abandon = engine->stuck = false;
    }
    if (!engine->dev) {
        skua__engine_end_waiting(engine, SKUA_E_DEVICE_FAILED, "the device failed");
    }
    const skua__watch_launch none = {0};
    if (skua__watch_step(&engine->watch, SKUA__WATCH_TICK, none, skua__clock_ns()) &
        SKUA__WATCH_REBUILD) {
        rebuild(engine);
    }
    /* Only now: who hears of it may submit again at once, and should find either a new context or a refusal. */
    while (!engine->failed && !skua__list_empty(&engine->doomed)) {
        skua__launch *launch =
            SKUA_CONTAINER_OF(skua__list_pop_front(&engine->doomed), skua__launch, link);
        skua__run_end(engine, launch, launch->status);
    }
}

/*
 * A device hangs when it ends nothing for as long as its slowest launch may take: what waits behind another in its queue
 * is not late for that.
 */
static int64_t
hang_deadline(const skua__engine *engine) {
    if (engine->hang_ns == SKUA_NEVER_NS || skua__list_empty(&engine->running)) {
        return SKUA_NEVER_NS;
    }
    int64_t limit_ns = 0;
    SKUA_LIST_EACH(node, &engine->running) {
        const skua__launch *launch = SKUA_CONTAINER_OF(node, skua__launch, link);
        int64_t ns = skua__watch_limit_ns(launch->predicted_ns, engine->hang_ns);
        limit_ns = ns > limit_ns ? ns : limit_ns;
    }
    return limit_ns > SKUA_NEVER_NS - engine->progress_ns ? SKUA_NEVER_NS
                                                          : engine->progress_ns + limit_ns;
}

int64_t
skua__health_deadline_ns(const skua__engine *engine) {
    int64_t tick_ns = skua__watch_next_ns(&engine->watch);
    /* A context that is to be closed is not mended before it is. */
    int64_t hang_ns = hang_deadline(engine);
    return engine->failed || hang_ns < tick_ns ? hang_ns : tick_ns;
}
