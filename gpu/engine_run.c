// SPDX-License-Identifier: MPL-2.0
// One launch on a device: its memory, its commands in their order, and its end. What goes before what is known here
// alone: a command is submitted when everything that it needs has ended, so that no queue ever waits for another.
#include "buffer_priv.h"

#include <assert.h>
#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <string.h>

/*
 * Stages. A small launch is express: its copies ride in the compute queue around the kernel, and only their ends are
 * awaited, all together. The copies of a large one have queues of their own, so that they overlap another's kernel.
 *
 *   QUEUED --express: copies, kernel, copies--> OUT
 *   QUEUED --copies--> IN --all landed: kernel--> COMPUTE --landed: copies--> OUT
 *   OUT --all landed--> ENDED
 *   any --a command failed, and those submitted have landed--> ENDED, or once more QUEUED when memory was short
 */

static bool
is_memory(const skua__launch_arg *arg) {
    return arg->kind <= SKUA_PARAM_INOUT;
}

static bool
is_read(const skua__launch_arg *arg) {
    return arg->kind == SKUA_PARAM_IN || arg->kind == SKUA_PARAM_INOUT;
}

static bool
is_written(const skua__launch_arg *arg) {
    return arg->kind == SKUA_PARAM_OUT || arg->kind == SKUA_PARAM_INOUT;
}

static bool
can_share(const skua__engine *engine, const skua__launch_arg *arg) {
    return skua__engine_shares(engine, arg->host);
}

static uint64_t
copied_bytes(const skua__engine *engine, const skua__launch *launch) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        const skua__launch_arg *arg = &launch->args[i];
        if (arg->buffer) {
            bytes += skua__copy_missing(engine, arg);
        } else if (is_memory(arg) && !can_share(engine, arg)) {
            bytes += arg->kind == SKUA_PARAM_INOUT ? 2 * arg->bytes : arg->bytes;
        }
    }
    return bytes;
}

/* Whether it is express; a transfer is a copy and nothing else. */
static bool
is_small(const skua__engine *engine, const skua__launch *launch) {
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
    return is_small(engine, launch) ? engine->express >= ENGINE_EXPRESS_MAX
                                    : engine->staged >= engine->depth;
}

static skua__need
memory_needed(const skua__engine *engine, const skua__launch *launch) {
    skua__need need = {0};
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        const skua__launch_arg *arg = &launch->args[i];
        if (arg->buffer ? skua__copy_wants_block(engine, arg)
                        : is_memory(arg) && !can_share(engine, arg)) {
            skua__blocks_want(&engine->blocks, arg->bytes, &need);
        }
    }
    return need;
}

/* What a launch takes goes beyond what is free and kept: whether copies of idle buffers can make way, now or soon. */
static skua__admit
press(skua__engine *engine, skua__need *need) {
    uint64_t evict_bytes = 0;
    skua__admit admit = SKUA__ADMIT_WAIT;
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
    while (skua__copy_evict(engine, UINT64_MAX) > 0) {
    }
    skua__blocks_evict(&engine->blocks, UINT64_MAX);
}

skua__room
skua__run_make_room(skua__engine *engine, skua__launch *launch) {
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

static void
detach_memory(skua__engine *engine, skua__launch *launch) {
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

static skua_status
attach_memory(skua__engine *engine, skua__launch *launch) {
    skua_status status = SKUA_OK;
    uint64_t shared = 0;
    launch->wanted_bytes = launch->device_bytes = 0;
    for (uint32_t i = 0; i < launch->arg_count && status == SKUA_OK; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (!is_memory(arg)) {
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
            launch->wanted_bytes += arg->bytes;
            status = skua__blocks_take(&engine->blocks, arg->bytes, &arg->block, &launch->error);
            /* A small block is a part of what others use too. */
            launch->device_bytes += status || arg->block->slab ? 0 : arg->block->bytes;
        }
    }
    skua__mutex_lock(&engine->lock);
    engine->counters.zero_copies += shared;
    skua__mutex_unlock(&engine->lock);
    return status;
}

/* ---- Commands ---- */

static void
add_time(skua__launch *launch, const skua__step *step) {
    int64_t took_ns = step->command.end_ns - step->command.start_ns;
    switch (step->kind) {
    case SKUA__STEP_IN:
        launch->in_ns += took_ns;
        break;
    case SKUA__STEP_KERNEL:
        launch->run_ns += took_ns;
        break;
    case SKUA__STEP_OUT:
        launch->out_ns += took_ns;
        break;
    }
}

static void
add_times(skua__launch *launch) {
    for (uint32_t i = 0; i < launch->step_count; i++) {
        add_time(launch, &launch->steps[i]);
    }
}

static void
count_end_locked(skua__engine *engine, const skua__launch *launch, skua_status status) {
    engine->counters.launches += launch->kernel != NULL;
    engine->counters.failures += status != SKUA_OK;
    engine->counters.in_bytes += launch->in_bytes;
    engine->counters.out_bytes += launch->out_bytes;
}

/* Its caller may free it, and the kernel, as soon as it is told. */
static void
end_promptly_locked(skua__engine *engine, skua__launch *launch) {
    add_times(launch);
    launch->ended = true;
    skua__a32_add(&launch->refs, 1, memory_order_relaxed); /* relaxed: ours holds it */
    count_end_locked(engine, launch, SKUA_OK);
    skua__a32_sub(&engine->under_way, 1, memory_order_relaxed); /* relaxed: a figure */
}

static void
step_done(skua__dev_command *command, skua_status status) {
    skua__step *step = SKUA_CONTAINER_OF(command, skua__step, command);
    skua__engine *engine = step->launch->engine;
    skua__launch *launch = step->launch;
    step->status = status;
    skua__mutex_lock(&engine->lock);
    launch->stumbled = launch->stumbled || status;
    launch->landed++;
    /* Until it is prompt, how many steps it has is the engine's to know. */
    bool ends = launch->prompt && !launch->stumbled && launch->landed == launch->step_count;
    if (ends) {
        end_promptly_locked(engine, launch);
    }
    skua__list_push_back(&engine->landed, &step->link);
    /* Tidying up has time until something else is to be done. */
    if (!ends || engine->waiting || engine->closing) {
        skua__cond_signal(&engine->wake);
    }
    skua__mutex_unlock(&engine->lock);
    if (ends) {
        launch->done(launch, SKUA_OK);
    }
}

/* Whether nothing of the caller's is touched once the last command has landed, and the engine need not look at it. */
static bool
may_end_promptly(const skua__engine *engine, const skua__launch *launch) {
    /* A submit that failed half way leaves commands in flight, whose end is not the launch's. */
    bool prompt = launch->status == SKUA_OK && launch->express && !launch->space && launch->built &&
                  launch->built->saved && skua__watch_admits(&engine->watch, 1);
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        prompt = prompt && !launch->args[i].shared;
    }
    return prompt;
}

static void
let_end_promptly(skua__engine *engine, skua__launch *launch) {
    if (may_end_promptly(engine, launch)) {
        skua__mutex_lock(&engine->lock);
        launch->prompt = true;
        skua__mutex_unlock(&engine->lock);
    }
}

static skua__dev_command *
next_step(skua__launch *launch, skua__step_kind kind) {
    skua__step *step = &launch->steps[launch->step_count];
    memset(step, 0, sizeof *step);
    step->launch = launch;
    step->kind = kind;
    step->command.done = step_done;
    return &step->command;
}

/* Counts the step that was just submitted, or notes why it was not. Returns whether to go on. */
static bool
submitted(skua__engine *engine, skua__launch *launch, skua__dev_queue queue, skua_status status) {
    if (status) {
        launch->status = status;
        return false;
    }
    launch->step_count++;
    launch->pending++;
    engine->dirty[queue] = true;
    return true;
}

/* The device's memory behind an argument. */
static skua__dev_mem *
memory_of(const skua__launch_arg *arg) {
    if (arg->copy) {
        return arg->copy->shared ? arg->copy->shared : arg->copy->block->mem;
    }
    return arg->shared ? arg->shared : arg->block->mem;
}

/* Whether the argument has something to do before the kernel. */
static bool
has_input(const skua__launch *launch, const skua__launch_arg *arg) {
    if (!arg->copy) {
        return is_memory(arg) && is_read(arg) && arg->block;
    }
    bool is_fetch = !launch->kernel && arg->kind == SKUA_PARAM_OUT;
    return !is_fetch && (arg->copy->shared ? arg->copy->host_has_it : arg->copy_in);
}

static bool
submit_inputs(skua__engine *engine, skua__launch *launch, skua__dev_queue queue) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (!has_input(launch, arg)) {
            continue;
        }
        bool gives = arg->copy && arg->copy->shared;
        skua__dev_command *command = next_step(launch, SKUA__STEP_IN);
        skua_status status =
            gives ? engine->driver->release(engine->dev, queue, arg->copy->shared, command,
                                            &launch->error)
                  : engine->driver->write(engine->dev, queue, memory_of(arg), 0, arg->host,
                                          arg->bytes, command, &launch->error);
        if (!submitted(engine, launch, queue, status)) {
            return false;
        }
        if (gives) {
            skua__copy_given(arg->copy);
        } else {
            launch->in_bytes += arg->bytes;
        }
    }
    return true;
}

/* Whether the argument has something to do after the kernel: what a buffer has stays where it is. */
static bool
has_output(const skua__launch *launch, const skua__launch_arg *arg) {
    return is_memory(arg) && is_written(arg) && (!arg->copy || !launch->kernel);
}

static bool
submit_outputs(skua__engine *engine, skua__launch *launch, skua__dev_queue queue) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (!has_output(launch, arg)) {
            continue;
        }
        skua__dev_mem *shared = arg->copy ? arg->copy->shared : arg->shared;
        if (arg->copy && arg->copy->host_has_it) {
            continue; /* it was brought meanwhile */
        }
        skua__dev_command *command = next_step(launch, SKUA__STEP_OUT);
        skua_status status =
            shared ? engine->driver->acquire(engine->dev, queue, shared, command, &launch->error)
                   : engine->driver->read(engine->dev, queue, memory_of(arg), 0, arg->host,
                                          arg->bytes, command, &launch->error);
        if (!submitted(engine, launch, queue, status)) {
            return false;
        }
        launch->out_bytes += shared ? 0 : arg->bytes;
        arg->written = true;
    }
    return true;
}

static uint32_t
fill_args(const skua__launch *launch, skua__dev_arg *args) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        const skua__launch_arg *arg = &launch->args[i];
        args[i] = (skua__dev_arg){.value = arg->value, .bytes = (size_t)arg->bytes};
        if (is_memory(arg)) {
            args[i].kind = SKUA__DEV_ARG_MEM;
            args[i].mem = memory_of(arg);
        } else {
            args[i].kind =
                arg->kind == SKUA_PARAM_VALUE ? SKUA__DEV_ARG_VALUE : SKUA__DEV_ARG_LOCAL;
        }
    }
    uint32_t count = launch->arg_count;
    for (uint32_t i = 0; i < 3 && launch->kernel->guarded; i++) {
        args[count++] = (skua__dev_arg){.kind = SKUA__DEV_ARG_VALUE,
                                        .value = &launch->global[i],
                                        .bytes = sizeof launch->global[i]};
    }
    return count;
}

static bool
submit_kernel(skua__engine *engine, skua__launch *launch) {
    skua__built *built = skua__built_get(engine, launch->kernel, &launch->error);
    if (!built) {
        launch->status = launch->error.status;
        return false;
    }
    skua__dev_arg args[SKUA_KERNEL_MAX_PARAMS + 3];
    uint32_t count = fill_args(launch, args);
    skua__dev_range range;
    skua__range_fit(launch->dims, launch->global, launch->kernel->local, built->max_group,
                    launch->kernel->guarded, &range);
    skua_status status =
        engine->driver->launch(engine->dev, built->kernel, args, count, &range,
                               next_step(launch, SKUA__STEP_KERNEL), &launch->error);
    launch->computed = launch->computed || status == SKUA_OK;
    launch->built = built;
    return submitted(engine, launch, SKUA__DEV_COMPUTE, status);
}

/* ---- The way of a launch ---- */

/* Starts what the stage that was entered asks for. Returns false when there is nothing to wait for. */
static bool
enter_stage(skua__engine *engine, skua__launch *launch, skua__launch_stage stage) {
    launch->stage = stage;
    switch (stage) {
    case SKUA__LAUNCH_IN:
        submit_inputs(engine, launch, SKUA__DEV_IN);
        break;
    case SKUA__LAUNCH_COMPUTE:
        skua__buffers_arrived(launch);
        if (launch->kernel) {
            submit_kernel(engine, launch);
        }
        break;
    case SKUA__LAUNCH_OUT:
        if (!launch->express) {
            submit_outputs(engine, launch, SKUA__DEV_OUT);
        } else if (submit_inputs(engine, launch, SKUA__DEV_COMPUTE) &&
                   submit_kernel(engine, launch)) {
            submit_outputs(engine, launch, SKUA__DEV_COMPUTE);
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
    detach_memory(engine, launch);
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
            let_end_promptly(engine, launch);
            return;
        }
    }
    if (launch->prompt && !launch->ended) {
        add_times(launch);
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
    launch->express = is_small(engine, launch);
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
        launch->status = attach_memory(engine, launch);
    }
    launch->stage = launch->express ? SKUA__LAUNCH_COMPUTE : SKUA__LAUNCH_QUEUED;
    advance(engine, launch);
}

void
skua__run_landed(skua__engine *engine, skua__step *step) {
    skua__launch *launch = step->launch;
    if (!launch->prompt) { /* else whoever ends it adds up */
        add_time(launch, step);
    }
    if (step->status && launch->status == SKUA_OK) {
        launch->status = SKUA_FAIL(&launch->error, step->status,
                                   "a command of the launch of \"%s\" failed on device \"%s\"",
                                   skua__launch_name(launch), engine->info.name);
    }
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
    engine->stuck = engine->stuck || (fetches && status != SKUA_OK && tried);
    skua__buffers_leave(launch, status == SKUA_OK);
    skua__mutex_lock(&engine->lock);
    count_end_locked(engine, launch, status);
    skua__mutex_unlock(&engine->lock);
    if (!fetches) {
        skua__a32_sub(&engine->under_way, 1, memory_order_relaxed); /* relaxed: a figure */
    }
    launch->done(launch, status);
}
