// SPDX-License-Identifier: MPL-2.0
// The fake device's queues: when each command starts and ends, what it does, and what goes wrong in it.
#include "fake_priv.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <string.h>

static int64_t
now_locked(const skua__fake *fake) {
    return fake->options.clock == SKUA__FAKE_VIRTUAL ? fake->now_ns : skua__clock_ns();
}

int64_t
skua__fake_now_ns(skua__fake *fake) {
    skua__mutex_lock(&fake->lock);
    int64_t now_ns = now_locked(fake);
    skua__mutex_unlock(&fake->lock);
    return now_ns;
}

/* ---- Submitting ---- */

static bool
inside(const skua__dev_mem *mem, uint64_t offset, uint64_t bytes) {
    return !mem || (offset <= mem->bytes && bytes <= mem->bytes - offset);
}

static bool
range_is_good(const skua__dev_range *range, uint64_t max_group) {
    uint64_t group = 1;
    for (uint32_t i = 0; i < 3; i++) {
        if (range->local[i] == 0 || range->global[i] == 0 ||
            range->global[i] % range->local[i] != 0 ||
            (i >= range->dims && range->global[i] != 1)) {
            return false;
        }
        group *= range->local[i];
    }
    return range->dims >= 1 && range->dims <= 3 && group <= (max_group ? max_group : 256);
}

/* Copies the arguments in, as the table asks. Returns false when one is wrong. */
static bool
copy_args(skua__fake_command *to) {
    for (uint32_t i = 0; i < to->arg_count; i++) {
        skua__dev_arg *arg = &to->args[i];
        *arg = to->given_args[i];
        if (arg->kind == SKUA__DEV_ARG_VALUE) {
            if (arg->bytes == 0 || arg->bytes > SKUA_KERNEL_MAX_VALUE_BYTES) {
                return false;
            }
            memcpy(to->values[i], arg->value, arg->bytes);
            arg->value = to->values[i];
        } else if (arg->kind == SKUA__DEV_ARG_MEM ? !arg->mem : arg->bytes == 0) {
            return false;
        }
    }
    to->given_args = NULL;
    return true;
}

/* Counts who uses what, up (+1) or down (-1), so that memory freed under a command is seen. */
static void
count_uses(skua__fake_command *command, int by) {
    uint32_t step = (uint32_t)by;
    if (command->from) {
        command->from->uses += step;
    }
    if (command->to) {
        command->to->uses += step;
    }
    if (command->pinned) {
        command->pinned->uses += step;
    }
    if (command->kernel) {
        command->kernel->uses += step;
    }
    for (uint32_t i = 0; i < command->arg_count; i++) {
        if (command->args[i].kind == SKUA__DEV_ARG_MEM) {
            command->args[i].mem->uses += step;
        }
    }
}

/* What the faults make of a launch that is submitted now. Returns the status of the submission itself. */
static skua_status
launch_faults_locked(skua__fake *fake, skua__fake_command *command) {
    const skua__fake_faults *faults = &fake->faults;
    uint64_t number = ++fake->launches_since;
    if (number == faults->submit_at) {
        return SKUA_E_DEVICE_FAILED;
    }
    if (faults->memory_at && number >= faults->memory_at &&
        number <= (uint64_t)faults->memory_at + faults->memory_times) {
        command->status = SKUA_E_DEVICE_MEMORY;
    }
    if (number == faults->loss_at) {
        command->status = SKUA_E_DEVICE_FAILED;
        command->loses = true;
    }
    if (number == faults->hang_at) {
        command->end_ns = SKUA_NEVER_NS;
    }
    return SKUA_OK;
}

static void
copy_faults_locked(skua__fake *fake, skua__fake_command *command) {
    uint64_t number = ++fake->copies_since;
    if (number == fake->faults.copy_loss_at) {
        command->status = SKUA_E_DEVICE_FAILED;
        command->loses = true;
    }
    if (number == fake->faults.copy_hang_at) {
        command->end_ns = SKUA_NEVER_NS;
    }
}

/* Memory that was promised lazily is missed now. */
static void
count_memory_locked(skua__fake *fake, skua__fake_command *command) {
    skua_status status = SKUA_OK;
    if (command->from) {
        status = skua__fake_count_mem_locked(fake, command->from);
    }
    if (command->to && !status) {
        status = skua__fake_count_mem_locked(fake, command->to);
    }
    for (uint32_t i = 0; i < command->arg_count && !status; i++) {
        if (command->args[i].kind == SKUA__DEV_ARG_MEM) {
            status = skua__fake_count_mem_locked(fake, command->args[i].mem);
        }
    }
    command->status = status ? status : command->status;
}

static int64_t
duration_ns(const skua__fake *fake, const skua__fake_command *command) {
    const skua__fake_options *options = &fake->options;
    if (command->kind == SKUA__FAKE_LAUNCH) {
        double items = (double)command->range.global[0] * (double)command->range.global[1] *
                       (double)command->range.global[2];
        return options->launch_ns +
               (int64_t)(items * (double)command->kernel->entry->launch_ps / 1e3);
    }
    if (command->kind == SKUA__FAKE_ACQUIRE || command->kind == SKUA__FAKE_RELEASE) {
        return 0;
    }
    bool on_host = command->kind == SKUA__FAKE_HOST_COPY;
    uint64_t rate = on_host ? options->host_bytes_per_s : options->copy_bytes_per_s;
    double move_ns = rate ? (double)command->bytes * 1e9 / (double)rate : 0;
    return (on_host ? 0 : options->copy_ns) + (int64_t)move_ns;
}

/* The pinned memory that an address of the host is in; NULL: it is the caller's. */
static skua__dev_mem *
pinned_of(const skua__dev *dev, const void *host) {
    SKUA_LIST_EACH(node, &dev->memories) {
        skua__dev_mem *mem = SKUA_CONTAINER_OF(node, skua__dev_mem, link);
        if (mem->kind == SKUA__DEV_MEM_PINNED && (const uint8_t *)host >= mem->at &&
            (const uint8_t *)host < mem->at + mem->bytes) {
            return mem;
        }
    }
    return NULL;
}

/* The one pinned memory that a command copies from or to; NULL: none, or there are two. */
static skua__dev_mem *
pinned_by(const skua__dev *dev, const skua__fake_command *command) {
    skua__dev_mem *from = pinned_of(dev, command->source), *to = pinned_of(dev, command->target);
    return from && to ? NULL : from ? from : to;
}

static bool
is_good(const skua__dev *dev, uint32_t queue, const skua__fake_command *command) {
    bool on_host = command->kind == SKUA__FAKE_HOST_COPY;
    if (queue >= SKUA__FAKE_QUEUES || on_host != (queue == SKUA__FAKE_HOST) ||
        !inside(command->from, command->from_offset, command->bytes) ||
        !inside(command->to, command->to_offset, command->bytes)) {
        return false;
    }
    switch (command->kind) {
    case SKUA__FAKE_WRITE:
        return command->to && command->source && command->bytes;
    case SKUA__FAKE_READ:
        return command->from && command->target && command->bytes;
    case SKUA__FAKE_COPY:
        return command->from && command->to && command->bytes;
    case SKUA__FAKE_HOST_COPY:
        return command->source && command->target && command->bytes && pinned_by(dev, command);
    case SKUA__FAKE_ACQUIRE:
    case SKUA__FAKE_RELEASE:
        return command->to && command->to->kind == SKUA__DEV_MEM_SHARED;
    default:
        return range_is_good(&command->range, dev->fake->options.max_group);
    }
}

skua_status
skua__fake_submit_locked(skua__dev *dev, uint32_t queue, const skua__fake_command *command,
                         skua_error *err) {
    skua__fake *fake = dev->fake;
    if (!is_good(dev, queue, command)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a command that the fake device cannot mean");
    }
    if (dev->lost && command->kind != SKUA__FAKE_HOST_COPY) {
        return SKUA_FAIL(err, SKUA_E_DEVICE_FAILED, "the fake device is lost");
    }
    skua__fake_command *copy = skua__mem_new(dev->hook, sizeof *copy);
    if (!copy) {
        return SKUA_FAIL_MEMORY(err, "a fake command");
    }
    *copy = *command;
    skua_status status = SKUA_OK;
    if (!copy_args(copy)) {
        status =
            SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "an argument that the fake device cannot take");
    } else if (copy->kind == SKUA__FAKE_LAUNCH && (status = launch_faults_locked(fake, copy))) {
        SKUA_FAIL(err, status, "the fake device fails as it was told to");
    }
    if (status) {
        skua__mem_free(dev->hook, copy);
        return status;
    }
    if (copy->kind <= SKUA__FAKE_COPY) {
        copy_faults_locked(fake, copy);
    }
    skua__fake_queue *to = &dev->queues[queue];
    copy->queued_ns = now_locked(fake);
    copy->start_ns = to->free_ns > copy->queued_ns ? to->free_ns : copy->queued_ns;
    if (copy->end_ns != SKUA_NEVER_NS) {
        copy->end_ns = copy->start_ns == SKUA_NEVER_NS ? SKUA_NEVER_NS
                                                       : copy->start_ns + duration_ns(fake, copy);
    }
    to->free_ns = copy->end_ns;
    count_memory_locked(fake, copy);
    copy->pinned = pinned_by(dev, copy);
    count_uses(copy, 1);
    skua__list_push_back(&to->commands, &copy->link);
    skua__cond_broadcast(&fake->changed);
    return SKUA_OK;
}

/* ---- Running ---- */

/* Runs a launch's function over the whole range. Called without the lock. Returns 0 or why it failed. */
static skua_status
run_launch(skua__dev *dev, skua__fake_command *command) {
    const skua__fake_entry *entry = command->kernel->entry;
    void *args[SKUA__FAKE_ARGS_MAX];
    uint32_t count = command->arg_count;
    uint64_t guard = 0;
    skua_kernel_call call = {.size = sizeof call, .dims = command->range.dims, .args = args};
    memcpy(call.global, command->range.global, sizeof call.global);
    if (entry->guarded) {
        if (count < SKUA__KERNEL_SIZE_ARGS) {
            return SKUA_E_BAD_ARGUMENT;
        }
        count -= SKUA__KERNEL_SIZE_ARGS;
        memcpy(&guard, command->values[count], sizeof guard);
        for (uint32_t i = 1; i < 3; i++) {
            memcpy(&call.global[i], command->values[count + i], sizeof call.global[i]);
        }
        memcpy(&call.global[0], command->values[count + 3], sizeof call.global[0]);
    }
    call.arg_count = count;
    call.begin = command->range.first;
    call.end = call.begin + command->range.global[0];
    if (entry->guarded && call.end > guard) {
        call.end = guard; /* the rest is padding */
    } else if (!entry->guarded) {
        call.global[0] = call.end;
    }
    skua_status status = SKUA_OK;
    for (uint32_t i = 0; i < count; i++) {
        const skua__dev_arg *arg = &command->args[i];
        args[i] = arg->kind == SKUA__DEV_ARG_MEM     ? arg->mem->at
                  : arg->kind == SKUA__DEV_ARG_VALUE ? command->values[i]
                                                     : skua__mem_new(dev->hook, arg->bytes);
        status = args[i] ? status : SKUA_E_NO_MEMORY;
    }
    if (!status && entry->fn(&call, entry->arg) != 0) {
        status = SKUA_E_DEVICE_FAILED;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (command->args[i].kind == SKUA__DEV_ARG_LOCAL) {
            skua__mem_free(dev->hook, args[i]);
        }
    }
    return status;
}

/* Does what the command is for. Called without the lock: host memory is the submitter's to keep still. */
static skua_status
take_effect(skua__dev *dev, skua__fake_command *command) {
    switch (command->kind) {
    case SKUA__FAKE_WRITE:
        memcpy(command->to->at + command->to_offset, command->source, command->bytes);
        return SKUA_OK;
    case SKUA__FAKE_READ:
        memcpy(command->target, command->from->at + command->from_offset, command->bytes);
        return SKUA_OK;
    case SKUA__FAKE_HOST_COPY:
        memcpy(command->target, command->source, command->bytes);
        return SKUA_OK;
    case SKUA__FAKE_COPY:
        memmove(command->to->at + command->to_offset, command->from->at + command->from_offset,
                command->bytes);
        return SKUA_OK;
    case SKUA__FAKE_LAUNCH:
        return run_launch(dev, command);
    default:
        return SKUA_OK;
    }
}

static void
check_sharing_locked(skua__fake *fake, skua__fake_command *command) {
    if (command->kind == SKUA__FAKE_ACQUIRE || command->kind == SKUA__FAKE_RELEASE) {
        bool acquires = command->kind == SKUA__FAKE_ACQUIRE;
        if (command->to->host_has_it == acquires) {
            skua__fake_misuse_locked(fake, acquires ? "acquire() of memory that the host has"
                                                    : "release() of memory that the device has");
        }
        command->to->host_has_it = acquires;
    }
    for (uint32_t i = 0; i < command->arg_count; i++) {
        if (command->args[i].kind == SKUA__DEV_ARG_MEM && command->args[i].mem->host_has_it) {
            skua__fake_misuse_locked(fake, "launch() on memory that the host has");
        }
    }
}

/* Ends a command that was taken out of its queue: effect, counts, done(). Locked before and after, not meanwhile. */
static void
finish_locked(skua__dev *dev, skua__fake_command *command) {
    skua__fake *fake = dev->fake;
    bool on_host = command->kind == SKUA__FAKE_HOST_COPY;
    skua_status status = dev->lost && !on_host ? SKUA_E_DEVICE_FAILED : command->status;
    if (!status) {
        check_sharing_locked(fake, command);
        skua__mutex_unlock(&fake->lock);
        status = take_effect(dev, command);
        skua__mutex_lock(&fake->lock);
    }
    dev->lost = dev->lost || command->loses;
    count_uses(command, -1);
    bool copies = command->kind <= SKUA__FAKE_COPY;
    fake->count.launches += command->kind == SKUA__FAKE_LAUNCH;
    fake->count.copies += copies;
    fake->count.copied_bytes += copies ? command->bytes : 0;
    fake->count.pinned_bytes += copies && command->pinned ? command->bytes : 0;
    fake->count.host_copies += on_host;
    fake->count.failed += status != SKUA_OK;
    skua__dev_command *told = command->command;
    if (told) {
        int64_t ahead_ns = on_host ? 0 : fake->options.clock_ahead_ns;
        told->queued_ns = told->submit_ns = command->queued_ns + ahead_ns;
        told->start_ns = command->start_ns + ahead_ns;
        told->end_ns =
            (command->end_ns == SKUA_NEVER_NS ? now_locked(fake) : command->end_ns) + ahead_ns;
        dev->in_done = true;
        dev->done_thread = pthread_self();
        skua__mutex_unlock(&fake->lock);
        told->done(told, status);
        skua__mutex_lock(&fake->lock);
        dev->in_done = false;
    }
    skua__mem_free(dev->hook, command);
}

/* The command of a device that ends first; NULL: none ends by itself. */
static skua__fake_command *
next_of(skua__dev *dev, skua__fake_command *best) {
    for (uint32_t i = 0; i < SKUA__FAKE_QUEUES; i++) {
        skua__list *commands = &dev->queues[i].commands;
        skua__fake_command *head =
            skua__list_empty(commands)
                ? NULL
                : SKUA_CONTAINER_OF(commands->next, skua__fake_command, link);
        if (head && head->end_ns != SKUA_NEVER_NS && (!best || head->end_ns < best->end_ns)) {
            best = head;
        }
    }
    return best;
}

void
skua__fake_drain(skua__dev *dev) {
    skua__fake *fake = dev->fake;
    skua__mutex_lock(&fake->lock);
    skua__fake_command *command;
    while ((command = next_of(dev, NULL))) {
        skua__list_remove(&command->link);
        finish_locked(dev, command);
    }
    /* What hangs ends only with the device. */
    for (uint32_t i = 0; i < SKUA__FAKE_QUEUES && dev->closing; i++) {
        skua__list *node;
        while ((node = skua__list_pop_front(&dev->queues[i].commands))) {
            dev->lost = true;
            finish_locked(dev, SKUA_CONTAINER_OF(node, skua__fake_command, link));
        }
    }
    skua__mutex_unlock(&fake->lock);
}

bool
skua__fake_step(skua__fake *fake) {
    assert(fake->options.clock == SKUA__FAKE_VIRTUAL);
    skua__mutex_lock(&fake->lock);
    skua__fake_command *first = NULL;
    skua__dev *of = NULL;
    SKUA_LIST_EACH(node, &fake->devices) {
        skua__dev *dev = SKUA_CONTAINER_OF(node, skua__dev, link);
        skua__fake_command *next = next_of(dev, first);
        of = next != first ? dev : of;
        first = next;
    }
    if (first) {
        fake->now_ns = first->end_ns > fake->now_ns ? first->end_ns : fake->now_ns;
        skua__list_remove(&first->link);
        of->in_step = true;
        finish_locked(of, first);
        of->in_step = false;
        skua__cond_broadcast(&fake->changed);
    }
    skua__mutex_unlock(&fake->lock);
    return first != NULL;
}

void
skua__fake_unhang(skua__fake *fake) {
    skua__mutex_lock(&fake->lock);
    int64_t now_ns = now_locked(fake);
    SKUA_LIST_EACH(dev_node, &fake->devices) {
        skua__dev *dev = SKUA_CONTAINER_OF(dev_node, skua__dev, link);
        for (uint32_t i = 0; i < SKUA__FAKE_QUEUES; i++) {
            SKUA_LIST_EACH(node, &dev->queues[i].commands) {
                skua__fake_command *command = SKUA_CONTAINER_OF(node, skua__fake_command, link);
                command->end_ns = command->end_ns == SKUA_NEVER_NS ? now_ns : command->end_ns;
            }
            if (dev->queues[i].free_ns == SKUA_NEVER_NS) {
                dev->queues[i].free_ns = now_ns;
            }
        }
    }
    skua__cond_broadcast(&fake->changed);
    skua__mutex_unlock(&fake->lock);
}

void *
skua__fake_main(void *arg) {
    skua__dev *dev = arg;
    skua__fake *fake = dev->fake;
    skua__mutex_lock(&fake->lock);
    while (!dev->closing) {
        skua__fake_command *command = next_of(dev, NULL);
        int64_t at_ns = command ? command->end_ns : SKUA_NEVER_NS;
        if (!dev->lost && at_ns > skua__clock_ns()) {
            (void)skua__cond_wait_until(&fake->changed, &fake->lock, at_ns);
        } else if (command) {
            skua__list_remove(&command->link);
            finish_locked(dev, command);
        } else {
            skua__cond_wait(&fake->changed, &fake->lock);
        }
    }
    skua__mutex_unlock(&fake->lock);
    return NULL;
}
