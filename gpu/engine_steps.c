// SPDX-License-Identifier: MPL-2.0
// The commands of a launch: its copies and its kernel as the driver is given them, their times, and how their ends come
// back. The driver tells of an end on a thread of its own; a small launch is ended there, of others the engine hears.
#include "buffer_priv.h"

#include <string.h>

void
skua__steps_add_time(skua__engine *engine, skua__launch *launch, const skua__step *step) {
    skua__trace_step(engine, step);
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
    case SKUA__STEP_HOST_IN: /* as parts of a staged copy, which staging.c adds */
    case SKUA__STEP_HOST_OUT:
        break;
    }
}

void
skua__steps_add_times(skua__engine *engine, skua__launch *launch) {
    for (uint32_t i = 0; i < launch->step_count; i++) {
        skua__steps_add_time(engine, launch, &launch->steps[i]);
    }
}

void
skua__steps_count_end_locked(skua__engine *engine, const skua__launch *launch, skua_status status) {
    engine->counters.launches += launch->kernel != NULL;
    engine->counters.failures += status != SKUA_OK;
    engine->counters.in_bytes += launch->in_bytes;
    engine->counters.out_bytes += launch->out_bytes;
}

/* Its caller may free it, and the kernel, as soon as it is told. */
static void
end_promptly_locked(skua__engine *engine, skua__launch *launch) {
    skua__steps_add_times(engine, launch);
    skua__trace_ended(engine, launch);
    launch->ended = true;
    skua__a32_add(&launch->refs, 1, memory_order_relaxed); /* relaxed: ours holds it */
    skua__steps_count_end_locked(engine, launch, SKUA_OK);
    skua__a32_sub(&engine->under_way, 1, memory_order_relaxed); /* relaxed: a figure */
}

static void
step_done(skua__dev_command *command, skua_status status) {
    skua__step *step = SKUA_CONTAINER_OF(command, skua__step, command);
    skua__engine *engine = step->launch->engine;
    skua__launch *launch = step->launch;
    step->status = status;
    skua__mutex_lock(&engine->lock);
    skua__trace_step_told_locked(engine, step);
    launch->stumbled = launch->stumbled || status;
    launch->landed++;
    /* Until it is prompt, how many steps it has is the engine's to know. */
    bool whole = launch->prompt && launch->landed == launch->step_count;
    bool ends = whole && !launch->stumbled;
    engine->prompt_left -= whole;
    if (ends) {
        end_promptly_locked(engine, launch);
    }
    skua__list_push_back(&engine->landed, &step->link);
    /* Tidying up has time until something else is to be done, and that until the device has little left. */
    if (!ends || (engine->waiting && !skua__engine_is_busy_locked(engine)) || engine->closing) {
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

void
skua__steps_let_end_promptly(skua__engine *engine, skua__launch *launch) {
    if (may_end_promptly(engine, launch)) {
        skua__mutex_lock(&engine->lock);
        launch->prompt = launch->landed < launch->step_count; /* else it is for us to end */
        engine->prompt_left += launch->prompt;
        skua__mutex_unlock(&engine->lock);
    }
}

skua__dev_command *
skua__step_begin(skua__step *step, skua__launch *launch, skua__step_kind kind) {
    memset(step, 0, sizeof *step);
    step->launch = launch;
    step->kind = kind;
    step->command.done = step_done;
    skua__trace_step_called(step);
    return &step->command;
}

static skua__dev_command *
next_step(skua__launch *launch, skua__step_kind kind) {
    return skua__step_begin(&launch->steps[launch->step_count], launch, kind);
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

skua__dev_mem *
skua__arg_memory(const skua__launch_arg *arg) {
    if (arg->copy) {
        return arg->copy->shared ? arg->copy->shared : arg->copy->block->mem;
    }
    return arg->shared ? arg->shared : arg->block->mem;
}

/* Whether the argument has something to do before the kernel. */
static bool
has_input(const skua__launch *launch, const skua__launch_arg *arg) {
    if (!arg->copy) {
        return skua__arg_is_memory(arg) && skua__arg_is_read(arg) && arg->block;
    }
    bool is_fetch = !launch->kernel && arg->kind == SKUA_PARAM_OUT;
    return !is_fetch && (arg->copy->shared ? arg->copy->host_has_it : arg->copy_in);
}

bool
skua__steps_inputs(skua__engine *engine, skua__launch *launch, skua__dev_queue queue) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (!has_input(launch, arg)) {
            continue;
        }
        bool gives = arg->copy && arg->copy->shared;
        if (!gives && skua__stage_takes(engine, launch, arg, SKUA__STEP_IN)) {
            launch->in_bytes += arg->bytes;
            if (!skua__stage_begin(engine, launch, arg, SKUA__STEP_IN)) {
                return false;
            }
            continue;
        }
        skua__dev_command *command = next_step(launch, SKUA__STEP_IN);
        launch->steps[launch->step_count].bytes = gives ? 0 : arg->bytes;
        skua_status status = gives
                                 ? engine->driver->release(engine->dev, queue, arg->copy->shared,
                                                           command, &launch->error)
                                 : engine->driver->write(engine->dev, queue, skua__arg_memory(arg),
                                                         arg->before_bytes, arg->host, arg->bytes,
                                                         command, &launch->error);
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
    return skua__arg_is_memory(arg) && skua__arg_is_written(arg) && (!arg->copy || !launch->kernel);
}

bool
skua__steps_outputs(skua__engine *engine, skua__launch *launch, skua__dev_queue queue) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__launch_arg *arg = &launch->args[i];
        if (!has_output(launch, arg)) {
            continue;
        }
        skua__dev_mem *shared = arg->copy ? arg->copy->shared : arg->shared;
        if (arg->copy && arg->copy->host_has_it) {
            continue; /* it was brought meanwhile */
        }
        if (!shared && skua__stage_takes(engine, launch, arg, SKUA__STEP_OUT)) {
            launch->out_bytes += arg->bytes;
            if (!skua__stage_begin(engine, launch, arg, SKUA__STEP_OUT)) {
                return false;
            }
            continue;
        }
        skua__dev_command *command = next_step(launch, SKUA__STEP_OUT);
        launch->steps[launch->step_count].bytes = shared ? 0 : arg->bytes;
        skua_status status =
            shared
                ? engine->driver->acquire(engine->dev, queue, shared, command, &launch->error)
                : engine->driver->read(engine->dev, queue, skua__arg_memory(arg), arg->before_bytes,
                                       arg->host, arg->bytes, command, &launch->error);
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
        if (skua__arg_is_memory(arg)) {
            args[i].kind = SKUA__DEV_ARG_MEM;
            args[i].mem = skua__arg_memory(arg);
        } else {
            args[i].kind =
                arg->kind == SKUA_PARAM_VALUE ? SKUA__DEV_ARG_VALUE : SKUA__DEV_ARG_LOCAL;
        }
    }
    uint32_t count = launch->arg_count;
    /* The guard ends a part where its slices do; the last one says how large the whole is. */
    for (uint32_t i = 0; i < 3 && launch->kernel->guarded; i++) {
        args[count++] = (skua__dev_arg){.kind = SKUA__DEV_ARG_VALUE,
                                        .value = i ? &launch->global[i] : &launch->end,
                                        .bytes = sizeof launch->global[i]};
    }
    if (launch->kernel->guarded) {
        args[count++] = (skua__dev_arg){.kind = SKUA__DEV_ARG_VALUE,
                                        .value = &launch->global[0],
                                        .bytes = sizeof launch->global[0]};
    }
    return count;
}

bool
skua__steps_kernel(skua__engine *engine, skua__launch *launch) {
    skua__built *built = skua__built_get(engine, launch->kernel, &launch->error);
    if (!built) {
        launch->status = launch->error.status;
        return false;
    }
    skua__dev_arg args[SKUA_KERNEL_MAX_PARAMS + SKUA__KERNEL_SIZE_ARGS];
    uint32_t count = fill_args(launch, args);
    skua__dev_range range;
    const uint64_t items[3] = {launch->end - launch->first, launch->global[1], launch->global[2]};
    skua__range_fit(launch->dims, items, launch->kernel->local, built->max_group,
                    launch->kernel->guarded, &range);
    range.first = launch->first;
    skua_status status =
        engine->driver->launch(engine->dev, built->kernel, args, count, &range,
                               next_step(launch, SKUA__STEP_KERNEL), &launch->error);
    launch->computed = launch->computed || status == SKUA_OK;
    launch->built = built;
    return submitted(engine, launch, SKUA__DEV_COMPUTE, status);
}
