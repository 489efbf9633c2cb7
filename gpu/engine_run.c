// SPDX-License-Identifier: MPL-2.0
// The way of one launch on a device, from its start to its end. What goes before what is known here alone: a command is
// submitted when everything that it needs has ended, so that no queue ever waits for another.
#include "buffer_priv.h"

#include <assert.h>
#include <skua-int/clock.h>
#include <skua-int/fail.h>

/*
 * Stages. A small launch is express: its copies ride in the compute queue around the kernel, and only their ends are
 * awaited, all together. The copies of a large one have queues of their own, so that they overlap another's kernel.
 *
 *   QUEUED --express: copies, kernel, copies--> OUT
 *   QUEUED --copies--> IN --all landed: kernel--> COMPUTE --landed: copies--> OUT
 *   OUT --all landed--> ENDED
 *   any --a command failed, and those submitted have landed--> ENDED, or once more QUEUED when memory was short
 */

/* Starts what the stage that was entered asks for. Returns false when there is nothing to wait for. */
static bool
enter_stage(skua__engine *engine, skua__launch *launch, skua__launch_stage stage) {
    launch->stage = stage;
    switch (stage) {
    case SKUA__LAUNCH_IN:
        skua__steps_inputs(engine, launch, SKUA__DEV_IN);
        break;
    case SKUA__LAUNCH_COMPUTE:
        skua__buffers_arrived(launch);
        if (launch->kernel) {
            skua__steps_kernel(engine, launch);
        }
        break;
    case SKUA__LAUNCH_OUT:
        if (!launch->express) {
            skua__steps_outputs(engine, launch, SKUA__DEV_OUT);
        } else if (skua__steps_inputs(engine, launch, SKUA__DEV_COMPUTE) &&
                   skua__steps_kernel(engine, launch)) {
            skua__steps_outputs(engine, launch, SKUA__DEV_COMPUTE);
        }
        break;
    case SKUA__LAUNCH_QUEUED:
    case SKUA__LAUNCH_ENDED:
        break;
    }
    return launch->pending > 0;
}

/*
 * Running it twice does no harm: what it reads is as it was. Copies on the device are made anew, so only what was written
 * where the caller has it counts.
 */
static bool
is_repeatable(const skua__launch *launch) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        const skua__launch_arg *arg = &launch->args[i];
        bool in_place = arg->shared || arg->buffer;
        if (arg->kind == SKUA_PARAM_INOUT && (in_place ? launch->computed : arg->written)) {
            return false;
        }
    }
    return true;
}

static void
leave_running(skua__engine *engine, skua__launch *launch) {
    skua__run_detach(engine, launch);
    skua__list_remove(&launch->link);
    if (launch->express) {
        engine->express--;
    } else {
        engine->staged--;
    }
}

/* The device was not up to a launch, whose memory was given back. */
static void
fail(skua__engine *engine, skua__launch *launch, skua__watch_launch watched) {
    uint32_t actions = skua__health_event(
        engine, launch->status == SKUA_E_DEVICE_MEMORY ? SKUA__WATCH_NO_MEMORY : SKUA__WATCH_FAILED,
        watched);
    launch->half_done = (actions & SKUA__WATCH_GIVE_UP) != 0;
    launch->held = engine->abandon && !engine->dev;
    if (!(actions & SKUA__WATCH_RETRY_HERE)) {
        skua__list_push_back(&engine->doomed, &launch->link); /* told when the device is closed */
        return;
    }
    launch->evictions++;
    launch->status = SKUA_OK;
    launch->step_count = launch->landed = 0;
    launch->prompt = launch->stumbled = false;
    launch->stage = SKUA__LAUNCH_QUEUED;
    launch->in_bytes = launch->out_bytes = 0;
    launch->in_ns = launch->run_ns = launch->out_ns = 0;
    launch->computed = false;
    skua__mutex_lock(&engine->lock);
    engine->counters.evictions++;
    skua__mutex_unlock(&engine->lock);
    skua__engine_put_back(engine, launch);
}

/* Everything that was submitted has landed: what now? */
static void
advance(skua__engine *engine, skua__launch *launch) {
    if (!engine->dev && !launch->ended && launch->status == SKUA_OK &&
        launch->stage < SKUA__LAUNCH_OUT) {
        /* It was half way when the device was closed: there is nobody to submit the rest to. */
        launch->status = SKUA_FAIL(&launch->error, SKUA_E_DEVICE_FAILED,
                                   "device \"%s\" failed before the launch of \"%s\" had ended",
                                   engine->info.name, skua__launch_name(launch));
    }
    while (engine->dev && launch->status == SKUA_OK && launch->stage < SKUA__LAUNCH_OUT) {
        if (enter_stage(engine, launch, launch->stage + 1)) {
            skua__steps_let_end_promptly(engine, launch);
            return;
        }
    }
    if (launch->prompt && !launch->ended) {
        skua__steps_add_times(engine, launch);
    }
    skua_status status = launch->status;
    skua__watch_launch watched = {.evictions = launch->evictions,
                                  .repeatable = is_repeatable(launch)};
    if (status == SKUA_E_DEVICE_MEMORY) {
        skua__admission_refused(&engine->blocks.account, launch->device_bytes, launch->wanted_bytes,
                                skua__clock_ns());
    }
    leave_running(engine, launch);
    if (!launch->blameless && (status == SKUA_E_DEVICE_MEMORY || status == SKUA_E_DEVICE_FAILED)) {
        fail(engine, launch, watched);
        return;
    }
    if (status == SKUA_OK) {
        if (launch->kernel) {
            skua__built_save(engine, launch->built);
            skua__health_event(engine, SKUA__WATCH_ENDED, watched);
        } else if (launch->args[0].kind == SKUA_PARAM_OUT) {
            skua__buffer_fetched(launch);
        }
    }
    if (launch->ended) {
        skua__launch_free(launch);
    } else {
        skua__run_end(engine, launch, status);
    }
}

void
skua__run_start(skua__engine *engine, skua__launch *launch) {
    if (skua__a32_load(&launch->cancelled, memory_order_relaxed)) { /* relaxed: see its comment */
        skua__run_end(engine, launch,
                      SKUA_FAIL(&launch->error, SKUA_E_CANCELLED,
                                "the launch of \"%s\" was cancelled before it started",
                                skua__launch_name(launch)));
        return;
    }
    launch->express = skua__run_is_small(engine, launch);
    if (launch->express) {
        engine->express++;
    } else {
        engine->staged++;
    }
    if (skua__list_empty(&engine->running)) {
        engine->progress_ns = skua__clock_ns();
    }
    skua__list_push_back(&engine->running, &launch->link);
    /* Built first: a kernel that does not compile needs no memory, and building takes long. */
    if (!launch->status && launch->kernel &&
        !skua__built_get(engine, launch->kernel, &launch->error)) {
        launch->status = launch->error.status;
    } else if (!launch->status) {
        launch->status = skua__run_attach(engine, launch);
    }
    launch->stage = launch->express ? SKUA__LAUNCH_COMPUTE : SKUA__LAUNCH_QUEUED;
    advance(engine, launch);
}

void
skua__run_landed(skua__engine *engine, skua__step *step) {
    skua__launch *launch = step->launch;
    if (!launch->prompt && !step->piece) { /* else whoever ends it adds up */
        skua__steps_add_time(engine, launch, step);
    }
    if (step->status && launch->status == SKUA_OK) {
        launch->status = SKUA_FAIL(&launch->error, step->status,
                                   "a command of the launch of \"%s\" failed on device \"%s\"",
                                   skua__launch_name(launch), engine->info.name);
    }
    if (step->piece) {
        skua__stage_landed(engine, step);
    } else {
        skua__run_landed_one(engine, launch);
    }
}

void
skua__run_landed_one(skua__engine *engine, skua__launch *launch) {
    if (--launch->pending == 0) {
        advance(engine, launch);
    }
}

void
skua__run_end(skua__engine *engine, skua__launch *launch, skua_status status) {
    bool fetches = !launch->kernel && launch->args[0].kind == SKUA_PARAM_OUT;
    bool tried = launch->stage == SKUA__LAUNCH_OUT;
    assert(!launch->ended && "a launch ends once");
    launch->stage = SKUA__LAUNCH_ENDED;
    if (status && !launch->error.status) {
        (void)SKUA_FAIL(&launch->error, status, "the launch of \"%s\" ended on device \"%s\": %s",
                        skua__launch_name(launch), engine->info.name, skua_status_text(status));
    }
    engine->stuck = engine->stuck || (fetches && status != SKUA_OK && tried);
    skua__trace_ended(engine, launch);
    skua__buffers_leave(launch, status == SKUA_OK);
    skua__mutex_lock(&engine->lock);
    skua__steps_count_end_locked(engine, launch, status);
    skua__mutex_unlock(&engine->lock);
    if (!fetches) {
        skua__a32_sub(&engine->under_way, 1, memory_order_relaxed); /* relaxed: a figure */
    }
    launch->done(launch, status);
}
