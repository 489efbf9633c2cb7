// SPDX-License-Identifier: MPL-2.0
// One launch on a device: its memory, its commands in their order, and its end. What goes before what is known here
// alone: a command is submitted when everything that it needs has ended, so that no queue ever waits for another.
#include "engine_priv.h"
#include "program_store.h"

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

/* Whether the device can use the caller's memory in place: vector loads want it aligned as the device's own. */
static bool
can_share(const skua__engine *engine, const skua__launch_arg *arg) {
    uint64_t align = engine->info.align_bytes ? engine->info.align_bytes : 1;
    return engine->info.unified && (uintptr_t)arg->host % align == 0;
}

static uint64_t
copied_bytes(const skua__engine *engine, const skua__launch *launch) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        const skua__launch_arg *arg = &launch->args[i];
        if (is_memory(arg) && !can_share(engine, arg)) {
            bytes += arg->kind == SKUA_PARAM_INOUT ? 2 * arg->bytes : arg->bytes;
        }
    }
    return bytes;
}

bool
skua__run_has_room(const skua__engine *engine, const skua__launch *launch) {
    if (launch->retried) {
        return skua__list_empty(
            &engine->running); /* it failed for want of memory: now it has all */
    }
    return copied_bytes(engine, launch) <= ENGINE_EXPRESS_BYTES
               ? engine->express < ENGINE_EXPRESS_MAX
               : engine->staged < engine->depth;
}

/* ---- Built kernels ---- */

static skua_status
build(skua__engine *engine, const skua__kernel *kernel, skua__built *built) {
    skua__dev_source source = {
        .text = kernel->text, .options = kernel->options, .entry = kernel->entry};
    void *binary = NULL;
    if (engine->cache_dir) {
        binary = skua__program_load(engine->hook, engine->cache_dir, kernel->digest, &engine->info,
                                    &source.binary_bytes);
        source.binary = binary;
    }
    char *log = skua__mem_new(engine->hook, ENGINE_LOG_BYTES);
    int64_t start_ns = skua__clock_ns();
    skua_status status =
        log ? engine->driver->kernel_new(engine->dev, &source, &built->kernel, &built->from_binary,
                                         log, ENGINE_LOG_BYTES, &built->error)
            : SKUA_FAIL_MEMORY(&built->error, "the compiler's log");
    skua__mem_free(engine->hook, log);
    skua__mem_free(engine->hook, binary);
    if (status == SKUA_OK) {
        engine->driver->kernel_limits(engine->dev, built->kernel, &built->max_group,
                                      &built->multiple);
    }
    skua__mutex_lock(&engine->lock);
    engine->counters.builds++;
    engine->counters.binaries_used += status == SKUA_OK && built->from_binary;
    engine->counters.build_ns += (uint64_t)(skua__clock_ns() - start_ns);
    skua__mutex_unlock(&engine->lock);
    built->saved = built->from_binary || !engine->cache_dir;
    return status;
}

skua__built *
skua__built_get(skua__engine *engine, const skua__kernel *kernel, skua_error *err) {
    if (!kernel->text) {
        SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "kernel \"%s\" has no source for devices", kernel->name);
        return NULL;
    }
    skua__built *built = skua__hash_get(&engine->built, kernel->digest, sizeof kernel->digest);
    if (!built) {
        built = skua__mem_new(engine->hook, sizeof *built);
        if (!built) {
            SKUA_FAIL_MEMORY(err, "a built kernel");
            return NULL;
        }
        memcpy(built->digest, kernel->digest, sizeof built->digest);
        if (skua__hash_put(&engine->built, built->digest, sizeof built->digest, built)) {
            skua__mem_free(engine->hook, built);
            SKUA_FAIL_MEMORY(err, "a built kernel");
            return NULL;
        }
        skua_status status = build(engine, kernel, built);
        if (status && status != SKUA_E_KERNEL_BUILD) {
            /* Not the kernel's fault: the next launch tries again. */
            *err = built->error;
            skua__hash_take(&engine->built, built->digest, sizeof built->digest);
            skua__mem_free(engine->hook, built);
            return NULL;
        }
    }
    if (!built->kernel) {
        *err = built->error;
        return NULL;
    }
    return built;
}

void
skua__built_free_all(skua__engine *engine) {
    size_t position = 0;
    for (skua__built *built; (built = skua__hash_next(&engine->built, &position)) != NULL;) {
        skua__mem_free(engine->hook, built);
    }
    skua__hash_fini(&engine->built);
    skua__hash_init(&engine->built, engine->hook);
}

/* Keeps the binary once the kernel has run: PoCL compiles a part of it at the first launch only. */
static void
save_binary(skua__engine *engine, const skua__launch *launch) {
    skua__built *built =
        skua__hash_get(&engine->built, launch->kernel->digest, sizeof launch->kernel->digest);
    if (!built || built->saved || !engine->dev) {
        return;
    }
    built->saved = true;
    void *binary = NULL;
    size_t bytes = 0;
    if (engine->driver->kernel_binary(engine->dev, built->kernel, &binary, &bytes, NULL) ==
        SKUA_OK) {
        skua__program_save(engine->cache_dir, launch->kernel->digest, &engine->info, binary, bytes);
        skua__mem_free(engine->hook, binary);
    }
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
    }
}

static skua_status
attach_memory(skua__engine *engine, skua__launch *launch) {
    skua_status status = SKUA_OK;
    uint64_t shared = 0;
    for (uint32_t i = 0; i < launch->arg_count && status == SKUA_OK; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (!is_memory(arg)) {
            continue;
        }
        if (can_share(engine, arg)) {
            status = engine->driver->mem_new(engine->dev, SKUA__DEV_MEM_SHARED, arg->bytes,
                                             arg->host, &arg->shared, &launch->error);
            shared++;
        } else {
            status = skua__blocks_take(&engine->blocks, arg->bytes, &arg->block, &launch->error);
        }
    }
    skua__mutex_lock(&engine->lock);
    engine->counters.zero_copies += shared;
    skua__mutex_unlock(&engine->lock);
    return status;
}

/* ---- Commands ---- */

static void
step_done(skua__dev_command *command, skua_status status) {
    skua__step *step = SKUA_CONTAINER_OF(command, skua__step, command);
    skua__engine *engine = step->launch->engine;
    step->status = status;
    skua__mutex_lock(&engine->lock);
    skua__list_push_back(&engine->landed, &step->link);
    skua__cond_signal(&engine->wake);
    skua__mutex_unlock(&engine->lock);
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

static bool
submit_inputs(skua__engine *engine, skua__launch *launch, skua__dev_queue queue) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (!is_memory(arg) || !is_read(arg) || !arg->block) {
            continue;
        }
        skua_status status =
            engine->driver->write(engine->dev, queue, arg->block->mem, 0, arg->host, arg->bytes,
                                  next_step(launch, SKUA__STEP_IN), &launch->error);
        if (!submitted(engine, launch, queue, status)) {
            return false;
        }
        launch->in_bytes += arg->bytes;
    }
    return true;
}

static bool
submit_outputs(skua__engine *engine, skua__launch *launch, skua__dev_queue queue) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (!is_memory(arg) || !is_written(arg)) {
            continue;
        }
        skua__dev_command *command = next_step(launch, SKUA__STEP_OUT);
        skua_status status =
            arg->shared
                ? engine->driver->acquire(engine->dev, queue, arg->shared, command, &launch->error)
                : engine->driver->read(engine->dev, queue, arg->block->mem, 0, arg->host,
                                       arg->bytes, command, &launch->error);
        if (!submitted(engine, launch, queue, status)) {
            return false;
        }
        launch->out_bytes += arg->shared ? 0 : arg->bytes;
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
            args[i].mem = arg->shared ? arg->shared : arg->block->mem;
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
    return submitted(engine, launch, SKUA__DEV_COMPUTE, status);
}

/* ---- The way of a launch ---- */

/* Starts what the stage that was entered asks for. Returns false when there is nothing to wait for. */
static bool
enter_stage(skua__engine *engine, skua__launch *launch, skua__launch_stage stage) {
    launch->stage = stage;
    launch->stage_ns = skua__clock_ns();
    switch (stage) {
    case SKUA__LAUNCH_IN:
        submit_inputs(engine, launch, SKUA__DEV_IN);
        break;
    case SKUA__LAUNCH_COMPUTE:
        submit_kernel(engine, launch);
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

/* Running it twice does no harm: what it reads is as it was. */
static bool
may_run_again(const skua__launch *launch) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        if (launch->args[i].kind == SKUA_PARAM_INOUT) {
            return false;
        }
    }
    return !launch->retried;
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

/* Everything that was submitted has landed: what now? */
static void
advance(skua__engine *engine, skua__launch *launch) {
    if (!engine->dev && launch->status == SKUA_OK && launch->stage < SKUA__LAUNCH_OUT) {
        /* It was half way when the device was closed: there is nobody to submit the rest to. */
        launch->status = SKUA_FAIL(&launch->error, SKUA_E_DEVICE_FAILED,
                                   "device \"%s\" failed before the launch of \"%s\" had ended",
                                   engine->info.name, launch->kernel->name);
    }
    while (launch->status == SKUA_OK && launch->stage < SKUA__LAUNCH_OUT) {
        if (enter_stage(engine, launch, launch->stage + 1)) {
            return;
        }
    }
    skua_status status = launch->status;
    leave_running(engine, launch);
    if (status == SKUA_E_DEVICE_FAILED) {
        engine->failed = true;
        skua__list_push_back(&engine->doomed, &launch->link); /* told when the device is closed */
        return;
    }
    if (status == SKUA_E_DEVICE_MEMORY && may_run_again(launch)) {
        /* Others hold the memory, or what is kept does: it goes again when it is alone. */
        skua__blocks_trim(&engine->blocks);
        launch->retried = true;
        launch->status = SKUA_OK;
        launch->step_count = 0;
        launch->stage = SKUA__LAUNCH_QUEUED;
        launch->in_bytes = launch->out_bytes = 0;
        skua__list_push_front(&engine->queue[launch->priority], &launch->link);
        skua__mutex_lock(&engine->lock);
        engine->waiting++;
        skua__mutex_unlock(&engine->lock);
        return;
    }
    if (status == SKUA_OK) {
        save_binary(engine, launch);
    }
    skua__run_end(engine, launch, status);
}

void
skua__run_start(skua__engine *engine, skua__launch *launch) {
    if (skua__a32_load(&launch->cancelled, memory_order_relaxed)) { /* relaxed: see its comment */
        skua__run_end(engine, launch,
                      SKUA_FAIL(&launch->error, SKUA_E_CANCELLED,
                                "the launch of \"%s\" was cancelled before it started",
                                launch->kernel->name));
        return;
    }
    launch->express = copied_bytes(engine, launch) <= ENGINE_EXPRESS_BYTES;
    if (launch->express) {
        engine->express++;
    } else {
        engine->staged++;
    }
    skua__list_push_back(&engine->running, &launch->link);
    /* Built first: a kernel that does not compile needs no memory, and building takes long. */
    if (!skua__built_get(engine, launch->kernel, &launch->error)) {
        launch->status = launch->error.status;
    } else {
        launch->status = attach_memory(engine, launch);
    }
    launch->stage = launch->express ? SKUA__LAUNCH_COMPUTE : SKUA__LAUNCH_QUEUED;
    advance(engine, launch);
}

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

void
skua__run_landed(skua__engine *engine, skua__step *step) {
    skua__launch *launch = step->launch;
    add_time(launch, step);
    if (step->status && launch->status == SKUA_OK) {
        launch->status = SKUA_FAIL(&launch->error, step->status,
                                   "a command of the launch of \"%s\" failed on device \"%s\"",
                                   launch->kernel->name, engine->info.name);
    }
    if (--launch->pending == 0) {
        advance(engine, launch);
    }
}

void
skua__run_end(skua__engine *engine, skua__launch *launch, skua_status status) {
    launch->stage = SKUA__LAUNCH_ENDED;
    skua__mutex_lock(&engine->lock);
    engine->counters.launches++;
    engine->counters.failures += status != SKUA_OK;
    engine->counters.in_bytes += launch->in_bytes;
    engine->counters.out_bytes += launch->out_bytes;
    skua__mutex_unlock(&engine->lock);
    skua__a32_sub(&engine->under_way, 1, memory_order_relaxed); /* relaxed: a figure */
    launch->done(launch, status);
}
