// SPDX-License-Identifier: MPL-2.0
// The engine of a device: one thread that owns its queues, kernels and memory, takes launches from anybody, and hears
// from the driver when their commands have ended. Nothing else touches the device: a kernel's arguments are state of its
// object, and two threads that share one compute nonsense.
#include "buffer_priv.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <stdio.h>
#include <string.h>

static const int64_t ms_ns = 1000 * 1000;

/* ---- The queue ---- */

/* The oldest launch of the most urgent priority that waits, with ageing; NULL: none. It stays in its queue. */
static skua__launch *
next_launch(skua__engine *engine) {
    static const int order[ENGINE_PRIORITIES] = {SKUA_PRIORITY_HIGH, SKUA_PRIORITY_NORMAL,
                                                 SKUA_PRIORITY_LOW};
    int chosen = -1;
    for (int i = 0; i < ENGINE_PRIORITIES; i++) {
        if (!skua__list_empty(&engine->queue[order[i]]) &&
            (chosen < 0 || engine->passed[order[i]] >= ENGINE_AGEING)) {
            chosen = order[i];
        }
    }
    return chosen < 0 ? NULL : SKUA_CONTAINER_OF(engine->queue[chosen].next, skua__launch, link);
}

static void
note_passed(skua__engine *engine, int32_t served) {
    for (int i = 0; i < ENGINE_PRIORITIES; i++) {
        engine->passed[i] =
            i == served || skua__list_empty(&engine->queue[i]) ? 0 : engine->passed[i] + 1;
    }
}

static void
take_from_queue(skua__engine *engine, skua__launch *launch) {
    skua__list_remove(&launch->link);
    skua__mutex_lock(&engine->lock);
    engine->waiting--;
    skua__mutex_unlock(&engine->lock);
}

void
skua__engine_put_back(skua__engine *engine, skua__launch *launch) {
    skua__list_push_front(&engine->queue[launch->priority], &launch->link);
    skua__mutex_lock(&engine->lock);
    engine->waiting++;
    skua__mutex_unlock(&engine->lock);
}

/*
 * Another launch that has room while the first has none: one that is queued behind it may hold the memory, in a buffer
 * that stays on the device for it. NULL: none.
 */
static skua__launch *
next_that_fits(skua__engine *engine, const skua__launch *first) {
    for (int i = 0; i < ENGINE_PRIORITIES && !skua__list_empty(&engine->copies); i++) {
        SKUA_LIST_EACH(node, &engine->queue[i]) {
            skua__launch *launch = SKUA_CONTAINER_OF(node, skua__launch, link);
            if (launch != first && launch->space &&
                skua__run_make_room(engine, launch) == SKUA__ROOM_YES) {
                return launch;
            }
        }
    }
    return NULL;
}

static void
start_launches(skua__engine *engine) {
    /* Also on a device that is to be closed as soon as it has given back what only it has. */
    for (skua__list *node; engine->dev && !engine->abandon &&
                           (node = skua__list_pop_front(&engine->transfers)) != NULL;) {
        skua__run_start(engine, SKUA_CONTAINER_OF(node, skua__launch, link));
    }
    for (skua__launch *launch;
         engine->dev && !engine->failed && (launch = next_launch(engine)) != NULL;) {
        skua__room room = skua__run_make_room(engine, launch);
        if (room == SKUA__ROOM_LATER) {
            return;
        }
        skua__launch *other = room == SKUA__ROOM_NEVER ? next_that_fits(engine, launch) : NULL;
        if (room == SKUA__ROOM_NEVER && !other && launch->space && skua__copy_will_move(engine)) {
            return;
        }
        take_from_queue(engine, other ? other : launch);
        note_passed(engine, other ? other->priority : launch->priority);
        if (other || room == SKUA__ROOM_YES) {
            skua__run_start(engine, other ? other : launch);
        } else {
            skua__run_end(engine, launch, SKUA_E_DEVICE_MEMORY);
        }
    }
}

static void
end_launches(skua__engine *engine, skua_status status, const char *why) {
    for (int i = 0; i < ENGINE_PRIORITIES; i++) {
        while (!skua__list_empty(&engine->queue[i])) {
            skua__launch *launch = SKUA_CONTAINER_OF(engine->queue[i].next, skua__launch, link);
            take_from_queue(engine, launch);
            skua__run_end(engine, launch,
                          SKUA_FAIL(&launch->error, status,
                                    "the launch of \"%s\" did not start: %s",
                                    skua__launch_name(launch), why));
        }
    }
}

void
skua__engine_end_waiting(skua__engine *engine, skua_status status, const char *why) {
    end_launches(engine, status, why);
    for (skua__list *node; (node = skua__list_pop_front(&engine->transfers)) != NULL;) {
        skua__launch *transfer = SKUA_CONTAINER_OF(node, skua__launch, link);
        skua__run_end(engine, transfer,
                      SKUA_FAIL(&transfer->error, SKUA_E_DEVICE_FAILED,
                                "a buffer cannot be brought back: %s", why));
    }
}

static void
flush_dirty(skua__engine *engine) {
    for (int i = 0; i < SKUA__DEV_QUEUES && engine->dev; i++) {
        if (engine->dirty[i]) {
            engine->dirty[i] = false;
            engine->driver->flush(engine->dev, (skua__dev_queue)i);
        }
    }
}

/* Ends those that wait and that nobody wants any more. */
static void
end_cancelled(skua__engine *engine) {
    for (int i = 0; i < ENGINE_PRIORITIES; i++) {
        SKUA_LIST_EACH(node, &engine->queue[i]) {
            skua__launch *launch = SKUA_CONTAINER_OF(node, skua__launch, link);
            if (skua__a32_load(&launch->cancelled,
                               memory_order_relaxed)) { /* relaxed: its comment */
                take_from_queue(engine, launch);
                skua__run_end(engine, launch,
                              SKUA_FAIL(&launch->error, SKUA_E_CANCELLED,
                                        "the launch of \"%s\" was cancelled before it started",
                                        skua__launch_name(launch)));
            }
        }
    }
}

bool
skua__engine_is_busy_locked(const skua__engine *engine) {
    return engine->prompt_left > ENGINE_EXPRESS_LOW;
}

bool
skua__engine_collect_locked(skua__engine *engine, skua__list *landed) {
    bool any = !skua__list_empty(&engine->landed) || engine->nudged || engine->sweep;
    for (skua__list *node; (node = skua__list_pop_front(&engine->landed)) != NULL;) {
        skua__list_push_back(landed, node);
    }
    for (int i = 0; i < ENGINE_PRIORITIES; i++) {
        for (skua__list *node; (node = skua__list_pop_front(&engine->inbox[i])) != NULL;) {
            skua__list_push_back(&engine->queue[i], node);
            SKUA_CONTAINER_OF(node, skua__launch, link)->queued = true;
            any = true;
        }
    }
    for (skua__list *node; (node = skua__list_pop_front(&engine->transfer_inbox)) != NULL;) {
        skua__list_push_back(&engine->transfers, node);
        any = true;
    }
    return any;
}

void
skua__engine_land(skua__engine *engine, skua__list *landed) {
    for (skua__list *node; (node = skua__list_pop_front(landed)) != NULL;) {
        engine->progress_ns = skua__clock_ns();
        skua__run_landed(engine, SKUA_CONTAINER_OF(node, skua__step, link));
    }
}

/* ---- The thread ---- */

/* Whether nothing more will come of a closing engine, but for what only its device has. */
static bool
is_over_locked(const skua__engine *engine) {
    return engine->closing && engine->waiting == 0 && skua__list_empty(&engine->running) &&
           skua__list_empty(&engine->transfers);
}

/* Whether launches that wait for their turns at buffers are to be told that there will be none. */
static bool
gives_up_locked(const skua__engine *engine) {
    return engine->closing && !skua__list_empty(&engine->turns);
}

/* Waits for something to do, and takes it. Returns false when the engine is to end. */
static bool
wait_for_work(skua__engine *engine, skua__list *landed) {
    int64_t deadline_ns = skua__health_deadline_ns(engine);
    bool idle = skua__list_empty(&engine->running);
    bool late = false;
    skua__mutex_lock(&engine->lock);
    if (engine->tidy_done != engine->tidy_taken) {
        engine->tidy_done = engine->tidy_taken;
        skua__cond_broadcast(&engine->opened);
    }
    bool any = skua__engine_collect_locked(engine, landed);
    while (!any && !late && !is_over_locked(engine) && !gives_up_locked(engine)) {
        engine->asleep = true;
        late = !skua__cond_wait_until(&engine->wake, &engine->lock, deadline_ns);
        engine->asleep = false;
        any = skua__engine_collect_locked(engine, landed);
    }
    bool closing = engine->closing, sweep = engine->sweep;
    bool over = !any && is_over_locked(engine);
    bool nudged = engine->nudged;
    engine->nudged = false;
    engine->tidy_taken = engine->tidy_asked;
    bool hangs = late && !any && !idle;
    engine->sweep = false;
    engine->counters.hangs += hangs;
    skua__mutex_unlock(&engine->lock);
    if (nudged) {
        skua__copy_drop_ending(engine);
    }
    if (hangs) {
        skua__health_event(engine, SKUA__WATCH_HUNG, (skua__watch_launch){0});
        engine->failed = engine->abandon = true; /* also one that was failing already */
    }
    if (sweep) {
        end_cancelled(engine);
    }
    if (closing) {
        skua__buffers_give_up(engine);
        end_launches(engine, SKUA_E_CANCELLED, "its device is being closed");
    }
    return !over || (engine->dev && !engine->stuck && skua__copy_write_back(engine));
}

static void *
engine_main(void *arg) {
    skua__engine *engine = arg;
    skua_error error = {0};
    skua_status status = skua__health_open(engine, &error);
    skua__mutex_lock(&engine->lock);
    engine->open_status = status;
    engine->open_error = error;
    engine->open_over = true;
    skua__cond_broadcast(&engine->opened);
    skua__mutex_unlock(&engine->lock);
    skua__list landed;
    skua__list_init(&landed);
    while (status == SKUA_OK && wait_for_work(engine, &landed)) {
        skua__engine_land(engine, &landed);
        skua__health_mend(engine);
        start_launches(engine);
        skua__health_mend(engine); /* a launch may fail as it starts */
        flush_dirty(engine);
    }
    skua__health_close(engine, false);
    /* Transfers that were asked for before the copies went; nobody can ask for one now. */
    skua__mutex_lock(&engine->lock);
    skua__engine_collect_locked(engine, &landed);
    skua__mutex_unlock(&engine->lock);
    skua__engine_end_waiting(engine, SKUA_E_CANCELLED, "its device is being closed");
    return NULL;
}

/* ---- The calls ---- */

static void
engine_free(skua__engine *engine) {
    skua__hash_fini(&engine->built);
    skua__cond_fini(&engine->opened);
    skua__cond_fini(&engine->wake);
    skua__mutex_fini(&engine->lock);
    skua__mem_free(engine->hook, engine->cache_dir);
    skua__mem_free(engine->hook, engine);
}

static skua__engine *
engine_new(const skua__engine_options *options) {
    skua__engine *engine = skua__mem_new(options->hook, sizeof *engine);
    if (!engine) {
        return NULL;
    }
    engine->hook = options->hook;
    engine->driver = options->driver;
    engine->driver_ctx = options->driver_ctx;
    engine->info = *options->info;
    engine->ordinal = options->ordinal;
    engine->device = options->device;
    engine->shares = engine->info.unified && options->copies != SKUA__COPY_STAGED;
    uint64_t stage_bytes = options->stage_bytes ? options->stage_bytes : STAGE_BYTES_DEFAULT;
    engine->stage_bytes = engine->shares || options->copies == SKUA__COPY_PLAIN ? 0 : stage_bytes;
    engine->depth = options->depth ? options->depth : ENGINE_DEPTH_DEFAULT;
    int64_t hang_ms = options->hang_ms ? options->hang_ms : ENGINE_HANG_MS_DEFAULT;
    engine->hang_ns = hang_ms < 0 ? SKUA_NEVER_NS : hang_ms * ms_ns;
    int64_t quarantine_ns = options->quarantine_ms < 0 ? 0 : options->quarantine_ms * ms_ns;
    skua__watch_init(&engine->watch,
                     options->quarantine_ms ? quarantine_ns : SKUA__WATCH_QUARANTINE_MIN_NS);
    skua__admission_init(&engine->blocks.account, options->info->memory_bytes,
                         options->info->max_buffer_bytes, options->reserve_bytes);
    engine->fork_generation = skua__fork_generation();
    engine->track = options->track;
    skua__mutex_init(&engine->lock);
    skua__cond_init(&engine->wake);
    skua__cond_init(&engine->opened);
    skua__hash_init(&engine->built, options->hook);
    skua__list_init(&engine->landed);
    skua__list_init(&engine->running);
    skua__list_init(&engine->doomed);
    skua__list_init(&engine->transfer_inbox);
    skua__list_init(&engine->transfers);
    skua__list_init(&engine->copies);
    skua__list_init(&engine->turns);
    for (int i = 0; i < ENGINE_PRIORITIES; i++) {
        skua__list_init(&engine->inbox[i]);
        skua__list_init(&engine->queue[i]);
    }
    if (options->cache_dir && *options->cache_dir) {
        engine->cache_dir = skua__mem_strdup(options->hook, options->cache_dir);
        if (!engine->cache_dir) {
            engine_free(engine);
            return NULL;
        }
    }
    return engine;
}

skua_status
skua__engine_open(skua__engine **ret_engine, const skua__engine_options *options, skua_error *err) {
    skua__engine *engine = engine_new(options);
    if (!engine) {
        return SKUA_FAIL_MEMORY(err, "the engine of a device");
    }
    skua_status status =
        skua__thread_start(&engine->thread, "skua-device", engine_main, engine, err);
    if (status) {
        engine_free(engine);
        return status;
    }
    skua__mutex_lock(&engine->lock);
    while (!engine->open_over) {
        skua__cond_wait(&engine->opened, &engine->lock);
    }
    skua__mutex_unlock(&engine->lock);
    if (engine->open_status) {
        skua__thread_join(engine->thread);
        status = engine->open_status;
        if (err) {
            *err = engine->open_error;
        }
        engine_free(engine);
        return status;
    }
    *ret_engine = engine;
    return SKUA_OK;
}

skua__engine *
skua__engine_close(skua__engine *engine) {
    if (!engine || engine->fork_generation != skua__fork_generation()) {
        return NULL;
    }
    skua__mutex_lock(&engine->lock);
    engine->closing = true;
    skua__cond_signal(&engine->wake);
    skua__mutex_unlock(&engine->lock);
    skua__thread_join(engine->thread);
    engine_free(engine);
    return NULL;
}

skua_status
skua__engine_submit(skua__engine *engine, skua__launch *launch, skua_error *err) {
    if (engine->fork_generation != skua__fork_generation()) {
        return SKUA_FAIL(err, SKUA_E_FORKED,
                         "device \"%s\" was opened before a fork(); open it in the child",
                         engine->info.name);
    }
    launch->engine = engine;
    skua__trace_called(engine, launch);
    skua_status status = SKUA_OK;
    /* A launch that goes to the inbox may have ended, and be gone, as soon as the lock is given up. */
    const bool takes_turns = launch->space != NULL;
    bool wakes = false;
    skua__mutex_lock(&engine->lock);
    if (engine->resting) {
        status = SKUA_E_DEVICE_FAILED;
    } else if (engine->closing) {
        status = SKUA_E_CLOSED;
    } else if (engine->waiting >= ENGINE_QUEUE_MAX) {
        status = SKUA_E_AGAIN;
    } else {
        engine->waiting++;
        skua__a32_add(&engine->under_way, 1, memory_order_relaxed); /* relaxed: a figure */
        if (!takes_turns) {
            skua__list_push_back(&engine->inbox[launch->priority], &launch->link);
            wakes = !skua__engine_is_busy_locked(engine);
        }
    }
    skua__mutex_unlock(&engine->lock);
    if (wakes) { /* not before: the thread wants this lock first */
        skua__cond_signal(&engine->wake);
    }
    if (!status && takes_turns) {
        skua__buffers_enter(launch);
    }
    return status ? SKUA_FAIL(err, status, "device \"%s\" does not take a launch of \"%s\"",
                              engine->info.name, skua__launch_name(launch))
                  : SKUA_OK;
}

void
skua__engine_post(skua__engine *engine, skua__launch *launch) {
    skua__mutex_lock(&engine->lock);
    skua__list_push_back(&engine->inbox[launch->priority], &launch->link);
    skua__cond_signal(&engine->wake);
    skua__mutex_unlock(&engine->lock);
}

void
skua__engine_post_transfer(skua__engine *engine, skua__launch *transfer) {
    transfer->engine = engine;
    skua__trace_called(engine, transfer);
    skua__mutex_lock(&engine->lock);
    skua__list_push_back(&engine->transfer_inbox, &transfer->link);
    skua__cond_signal(&engine->wake);
    skua__mutex_unlock(&engine->lock);
}

void
skua__engine_nudge(skua__engine *engine) {
    skua__mutex_lock(&engine->lock);
    engine->nudged = true;
    skua__cond_signal(&engine->wake);
    skua__mutex_unlock(&engine->lock);
}

void
skua__engine_tidy(skua__engine *engine) {
    skua__mutex_lock(&engine->lock);
    uint64_t number = ++engine->tidy_asked;
    engine->nudged = true;
    skua__cond_signal(&engine->wake);
    while (engine->tidy_done < number) {
        skua__cond_wait(&engine->opened, &engine->lock);
    }
    skua__mutex_unlock(&engine->lock);
}

bool
skua__engine_shares(const skua__engine *engine, const void *host) {
    /* Vector loads want it aligned as the device's own. */
    uint64_t align = engine->info.align_bytes ? engine->info.align_bytes : 1;
    return engine->shares && (uintptr_t)host % align == 0;
}

void
skua__engine_cancel(skua__engine *engine, skua__launch *launch) {
    skua__a32_store(&launch->cancelled, 1, memory_order_relaxed); /* relaxed: see its comment */
    if (launch->space) {
        skua__buffers_cancel(launch);
    }
    skua__mutex_lock(&engine->lock);
    engine->sweep = true;
    skua__cond_signal(&engine->wake);
    skua__mutex_unlock(&engine->lock);
}

int64_t
skua__engine_rests_until_ns(skua__engine *engine) {
    skua__mutex_lock(&engine->lock);
    int64_t until_ns = engine->resting ? engine->rests_until_ns : 0;
    skua__mutex_unlock(&engine->lock);
    return until_ns;
}

uint32_t
skua__engine_under_way(const skua__engine *engine) {
    return skua__a32_load(&engine->under_way, memory_order_relaxed); /* relaxed: a figure */
}

bool
skua__engine_is_settled(skua__engine *engine) {
    skua__mutex_lock(&engine->lock);
    bool settled = engine->asleep && skua__list_empty(&engine->landed) &&
                   skua__list_empty(&engine->transfer_inbox) && !engine->nudged;
    for (int i = 0; i < ENGINE_PRIORITIES; i++) {
        settled = settled && skua__list_empty(&engine->inbox[i]);
    }
    if (!settled) {
        skua__cond_signal(&engine->wake); /* tidying up may still be to be done */
    }
    skua__mutex_unlock(&engine->lock);
    return settled;
}

void
skua__engine_counters_get(skua__engine *engine, skua__engine_counters *ret) {
    skua__mutex_lock(&engine->lock);
    *ret = engine->counters;
    skua__mutex_unlock(&engine->lock);
}
