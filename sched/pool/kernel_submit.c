// SPDX-License-Identifier: MPL-2.0
// Launches as their users see them: submitted as tasks, collected, and told by whom they were done.
#include <skua-int/kernels.h>

#include <string.h>

/*
 * A launch is one block: its task, its launch part, and of a small one its input and what a device runs (a run, its output
 * and the engine's launch), because six blocks that other threads free than made them cost more than the launch. It lives as
 * long as anybody has the task; the engine does until it has tidied up. What is made for a further attempt lies elsewhere.
 */
typedef struct launch_block {
    skua_pool_future future;
    skua__launch_task launch;
} launch_block;

skua_pool_future *
skua__launch_future(skua__launch_task *launch) {
    return &SKUA_CONTAINER_OF(launch, launch_block, launch)->future;
}

skua__launch_task *
skua__launch_task_new(skua__kernel_entry *entry, const skua__coded_launch *coded) {
    const skua__kernel *kernel = entry->kernel;
    size_t coded_bytes = skua__coded_bytes(kernel->param_count);
    size_t head = skua__kernel_rounded(offsetof(launch_block, launch.coded) + coded_bytes);
    bool small = coded->input_bytes + coded->output_bytes <= SKUA__KERNEL_BLOCK_BYTES;
    size_t input = small ? skua__kernel_rounded(coded->input_bytes) : 0;
    /* relaxed: a guess */
    bool readied = small && atomic_load_explicit(&entry->on_device, memory_order_relaxed);
    size_t bytes = head + input + (readied ? skua__device_ready_bytes(kernel, coded) : 0);
    launch_block *block = skua__mem_room(entry->kernels->pool->hook, bytes);
    if (!block) {
        return NULL;
    }
    memset(block, 0, offsetof(launch_block, launch.coded));
    memcpy(&block->launch.coded, coded, coded_bytes);
    block->future.block_bytes = bytes;
    block->launch.entry = entry;
    block->launch.items = (coded->end - coded->first) * coded->global[1] * coded->global[2];
    block->launch.input_room = small ? (uint8_t *)block + head : NULL;
    block->launch.ready_room = readied ? (uint8_t *)block + head + input : NULL;
    return &block->launch;
}

skua__launch_task *
skua__launch_task_free(const skua_allocator *hook, skua__launch_task *launch) {
    if (launch) {
        skua__split_free(launch->split);
        skua__claim_free(launch->claim);
        skua__device_ready_free(hook, launch->ready);
        skua__mem_free(hook, skua__launch_future(launch)); /* the block begins with it */
    }
    return NULL;
}

bool
skua__launch_has_buffers(const skua_launch *launch) {
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        if (launch->args[i].buffer) {
            return true;
        }
    }
    return false;
}

size_t
skua__launch_window_bytes(const skua__kernel *kernel, const skua_launch *launch) {
    skua__coded_launch coded, plain;
    if (skua__launch_lay_out(kernel, launch, &coded, NULL) != SKUA_OK) {
        return 0;
    }
    if (!launch->split || skua__launch_lay_out_plain(kernel, launch, &plain, NULL) != SKUA_OK) {
        return coded.input_bytes;
    }
    /* Its parts bring it all; with buffers, it keeps what is in no buffer until its turn comes. */
    return plain.input_bytes + (skua__launch_has_buffers(launch) ? coded.input_bytes : 0);
}

/* A small launch that will most likely go to a device is made ready for it: then one lock is enough for all the rest. */
static bool
is_for_device(const skua__launch_task *task) {
    const skua__coded_launch *coded = &task->coded;
    /* relaxed: a guess */
    return !task->split && !task->claim &&
           coded->input_bytes + coded->output_bytes <= SKUA__KERNEL_READY_BYTES &&
           atomic_load_explicit(&task->entry->on_device, memory_order_relaxed);
}

skua_status
skua__launch_check_buffers(const skua_pool *pool, const skua_launch *launch, skua_error *err) {
    const skua_devices *devices = pool->options.devices;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        const struct skua_buffer *buffer = launch->args[i].buffer;
        if (buffer && (!devices || skua__buffers_of(buffer) != skua__devices_buffers(devices))) {
            return SKUA_FAIL(
                err, SKUA_E_BAD_ARGUMENT,
                "argument %u of the launch of \"%s\" is a buffer of other devices than "
                "this pool's: make it with the skua_devices of skua_pool_options",
                i, launch->kernel);
        }
    }
    return SKUA_OK;
}

skua_status
skua__launch_submit(skua_pool *pool, const skua_launch *launch, const skua__coded_launch *coded,
                    skua__launch_task *task, void (*on_done)(void *arg, skua_pool_future *future),
                    void *arg, skua_pool_future **ret_future, skua_error *err) {
    const skua__kernel_entry *entry = task->entry;
    uint8_t *input =
        task->input_room ? task->input_room : skua__mem_room(pool->hook, coded->input_bytes);
    if (!input) {
        return SKUA_FAIL_MEMORY(err, "the arguments of a launch");
    }
    skua__launch_encode(entry->kernel, launch, coded, input);
    if (is_for_device(task)) {
        task->ready = skua__device_ready(pool->hook, task, input); /* NULL: it is made later */
    }
    /* Its inputs are copies, so that running it twice does no harm. */
    skua_status status = skua__pool_submit_launch(
        pool,
        SKUA_TASK(.name = entry->kernel->name, .version = entry->version,
                  .priority = launch->priority, .input = input, .input_bytes = coded->input_bytes,
                  .idempotent = 1, .timeout_ms = launch->timeout_ms, .on_done = on_done,
                  .on_done_arg = arg),
        task, true, ret_future, err);
    if (status) {
        task->ready = skua__device_ready_free(pool->hook, task->ready);
        skua__mem_free(pool->hook, task->input_room ? NULL : input);
    }
    return status;
}

static skua_status
submit(skua_pool *pool, skua__kernel_entry *entry, const skua_launch *launch,
       const skua__coded_launch *coded, void (*on_done)(void *arg, skua_pool_future *future),
       void *arg, skua_pool_future **ret_future, skua_error *err) {
    bool claims = skua__launch_has_buffers(launch);
    if (launch->split) {
        return skua__split_submit(pool, entry, launch, coded, claims, on_done, arg, ret_future,
                                  err);
    }
    skua__launch_task *task = skua__launch_task_new(entry, coded);
    if (task && claims) {
        task->claim = skua__turn_new(pool, entry->kernel, coded);
    }
    if (!task || (claims && !task->claim)) {
        skua__launch_task_free(pool->hook, task);
        return SKUA_FAIL_MEMORY(err, "a launch");
    }
    skua_status status =
        skua__launch_submit(pool, launch, coded, task, on_done, arg, ret_future, err);
    if (status) {
        skua__launch_task_free(pool->hook, task);
    }
    return status;
}

skua_status
skua__kernel_submit(skua_pool *pool, const skua_launch *given,
                    void (*on_done)(void *arg, skua_pool_future *future), void *arg,
                    skua_pool_future **ret_future, skua_error *err) {
    skua_launch launch;
    if (!given || !SKUA_READ_OPTIONS(&launch, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a launch needs its size set");
    }
    skua_error found; /* filled only when it is not */
    skua__kernel_entry *entry = skua__kernel_find(pool, launch.kernel, &found);
    if (!entry) {
        if (err) {
            *err = found;
        }
        return found.status;
    }
    skua__coded_launch coded;
    skua_status status = skua__launch_check(entry->kernel, &launch, err);
    if (!status) {
        status = skua__launch_check_buffers(pool, &launch, err);
    }
    if (!status) {
        status = skua__launch_lay_out(entry->kernel, &launch, &coded, err);
    }
    return status ? status : submit(pool, entry, &launch, &coded, on_done, arg, ret_future, err);
}

skua_status
skua_kernel_submit(skua_pool *pool, const skua_launch *launch, skua_pool_future **ret_future,
                   skua_error *err) {
    return skua__kernel_submit(pool, launch, NULL, NULL, ret_future, err);
}

static skua_status
outcome_status(const skua_task_result *result, skua_error *err) {
    switch (result->outcome) {
    case SKUA_OUTCOME_OK:
        return SKUA_OK;
    case SKUA_OUTCOME_CANCELLED:
        return SKUA_FAIL(err, SKUA_E_CANCELLED, "the launch was cancelled");
    default:
        return SKUA_FAIL(err, SKUA_E_TASK_FAILED, "the launch ended %s: %s",
                         skua_outcome_text(result->outcome), result->message);
    }
}

skua_status
skua_kernel_collect(skua_pool *pool, const skua_launch *given, skua_pool_future *future,
                    int64_t timeout_ms, skua_error *err) {
    skua_launch launch;
    if (!future || !given || !SKUA_READ_OPTIONS(&launch, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_kernel_collect needs a future and its launch");
    }
    skua_error found; /* filled only when it is not */
    skua__kernel_entry *entry = skua__kernel_find(pool, launch.kernel, &found);
    if (!entry) {
        if (err) {
            *err = found;
        }
        return found.status;
    }
    skua_status status = skua_pool_wait(future, timeout_ms, err);
    if (!status && future->lease.outcome != SKUA__LEASE_OK) {
        skua_task_result result = {.size = sizeof result};
        status = skua_pool_result(future, &result, err);
        status = status ? status : outcome_status(&result, err);
    }
    return status ? status
                  : skua__launch_unpack(entry->kernel, &launch, future->output,
                                        future->output_bytes, err);
}

skua_status
skua_kernel_share_at(skua_pool *pool, const char *name, size_t i, skua_kernel_share *ret_share,
                     skua_error *err) {
    if (!ret_share || ret_share->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_kernel_share_at needs ret_share with its size set");
    }
    skua_error found; /* filled only when it is not */
    skua__kernel_entry *entry = skua__kernel_find(pool, name, &found);
    if (!entry) {
        if (err) {
            *err = found;
        }
        return found.status;
    }
    size_t size = ret_share->size < sizeof *ret_share ? ret_share->size : sizeof *ret_share;
    skua_status status = skua__pool_enter(pool, err);
    if (status) {
        return status;
    }
    uint32_t count = entry->kernels->place_count;
    if (i < count) {
        memcpy((char *)ret_share + sizeof(size_t), (const char *)&entry->shares[i] + sizeof(size_t),
               size - sizeof(size_t));
    }
    skua__mutex_unlock(&pool->lock);
    return i < count
               ? SKUA_OK
               : SKUA_FAIL(err, SKUA_E_NOT_FOUND, "there are %u places where kernels run", count);
}
