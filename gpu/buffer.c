// SPDX-License-Identifier: MPL-2.0
// Buffers as users have them: made and ended, written, read and mapped on the host, which waits for its turn here.
#include "buffer_priv.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <string.h>

/* ---- The host's turns ---- */

/* Waits for something to change, or returns at once because there was somebody to tell meanwhile. */
static void
wait_locked(skua__buffers *space) {
    if (skua__list_empty(&space->ready)) {
        skua__cond_wait(&space->changed, &space->lock);
    } else {
        skua__buffers_unlock(space);
        skua__mutex_lock(&space->lock);
    }
}

/* Waits for the turn of a use of the host's, and for the contents when it reads. Fails with words, and has no turn then. */
static skua_status
await_turn_locked(skua__buffer_use *use, skua_error *err) {
    skua_buffer *buffer = use->buffer;
    skua__buffers *space = buffer->space;
    while (!skua__buffer_may_go_locked(use)) {
        wait_locked(space);
    }
    skua__buffer_grant_locked(use);
    skua_status status = SKUA_OK;
    skua__copy *copy;
    while (!status && (copy = skua__buffer_to_fetch_locked(use)) != NULL) {
        if (skua__buffer_fetch_locked(copy, use)) {
            status = SKUA_FAIL_MEMORY(err, "moving a buffer to the host");
        }
        while (use->fetching) {
            wait_locked(space);
        }
        if (use->status) {
            status = SKUA_FAIL(err, use->status, "the buffer cannot be brought to the host");
        }
    }
    if (!status && !skua__buffer_can_be_read_locked(use)) {
        status = SKUA_FAIL(err, SKUA_E_DEVICE_FAILED,
                           "the contents of the buffer were only on a device that failed; write "
                           "all of it anew");
    }
    use->moves = false;
    if (status) {
        skua__buffer_leave_locked(use, false);
    }
    skua__buffer_regrant_locked(buffer);
    return status;
}

static skua_status
begin_on_host(skua__buffer_use *use, skua_buffer *buffer, bool reads, bool writes,
              skua_error *err) {
    skua__mutex_lock(&buffer->space->lock);
    skua_status status = SKUA_OK;
    if (buffer->mapped) {
        status = SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the buffer is mapped: unmap it first");
    } else {
        skua__buffer_push_use_locked(use, buffer, NULL, reads, writes, NULL);
        status = await_turn_locked(use, err);
    }
    skua__buffers_unlock(buffer->space);
    return status;
}

static void
end_on_host(skua__buffer_use *use) {
    skua_buffer *buffer = use->buffer;
    skua__mutex_lock(&buffer->space->lock);
    skua__buffer_leave_locked(use, true);
    skua__buffer_regrant_locked(buffer);
    skua__buffers_unlock(buffer->space);
}

skua_status
skua__buffers_begin_on_cores(skua__launch *launch, skua_error *err) {
    if (!launch->space) {
        return SKUA_OK;
    }
    int64_t start_ns = skua__clock_ns();
    skua__mutex_lock(&launch->space->lock);
    skua__buffer_push_uses_locked(launch, NULL);
    launch->dispatched = true; /* it waits here, and nobody sends it anywhere */
    skua_status status = SKUA_OK;
    for (uint32_t i = 0; i < launch->arg_count; i++) {
        skua__buffer_use *use = &launch->args[i].use;
        if (!use->buffer) {
            continue;
        }
        if (status) {
            skua__buffer_leave_locked(use, false);
            skua__buffer_regrant_locked(use->buffer);
        } else {
            status = await_turn_locked(use, err);
        }
        use->buffer = status ? NULL : use->buffer;
    }
    skua__buffers_unlock(launch->space);
    if (status) {
        skua__buffers_leave(launch, false);
    }
    launch->in_bytes = launch->fetched_bytes;
    launch->in_ns = launch->in_bytes ? skua__clock_ns() - start_ns : 0;
    return status;
}

/* ---- The space ---- */

skua_status
skua__buffers_new(const skua_allocator *hook, skua_devices *devices, skua__buffers **ret_space,
                  skua_error *err) {
    skua__buffers *space = skua__mem_new(hook, sizeof *space);
    if (!space) {
        return SKUA_FAIL_MEMORY(err, "the buffers of a list of devices");
    }
    space->hook = hook;
    space->devices = devices;
    space->references = 1;
    skua__mutex_init(&space->lock);
    skua__cond_init(&space->changed);
    skua__list_init(&space->ready);
    *ret_space = space;
    return SKUA_OK;
}

static void
unref(skua__buffers *space) {
    skua__mutex_lock(&space->lock);
    bool last = --space->references == 0;
    skua__mutex_unlock(&space->lock);
    if (last) {
        skua__cond_fini(&space->changed);
        skua__mutex_fini(&space->lock);
        skua__mem_free(space->hook, space);
    }
}

skua__buffers *
skua__buffers_close(skua__buffers *space) {
    if (space) {
        skua__mutex_lock(&space->lock);
        space->devices = NULL;
        skua__mutex_unlock(&space->lock);
        unref(space);
    }
    return NULL;
}

/* ---- The calls ---- */

void
skua_buffer_options_init(skua_buffer_options *options, size_t size) {
    memset(options, 0, size);
    memcpy(options, &size, sizeof size);
}

skua_status
skua_buffer_new(skua_devices *devices, skua_buffer **ret_buffer, const skua_buffer_options *given,
                skua_error *err) {
    skua_buffer_options options;
    if (!devices || !ret_buffer || !given || !SKUA_READ_OPTIONS(&options, given) ||
        options.bytes == 0 || options.bytes > SKUA_BUFFER_MAX_BYTES) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_buffer_new needs devices, ret_buffer, and options with their size "
                         "set and 1 to 2^48 bytes");
    }
    skua__buffers *space = skua__devices_buffers(devices);
    skua_buffer *buffer = skua__mem_new(space->hook, sizeof *buffer);
    if (!buffer) {
        return SKUA_FAIL_MEMORY(err, "a buffer");
    }
    buffer->space = space;
    buffer->bytes = options.bytes;
    buffer->host = options.host;
    if (!options.host) {
        buffer->own = skua__mem_new(space->hook, options.bytes + BUFFER_ALIGN);
        if (!buffer->own) {
            skua__mem_free(space->hook, buffer);
            return SKUA_FAIL_MEMORY(err, "a buffer's memory");
        }
        buffer->host = (char *)buffer->own + BUFFER_ALIGN - (uintptr_t)buffer->own % BUFFER_ALIGN;
    }
    buffer->on_host = true;
    skua__list_init(&buffer->uses);
    skua__list_init(&buffer->copies);
    skua__mutex_lock(&space->lock);
    space->references++;
    skua__mutex_unlock(&space->lock);
    *ret_buffer = buffer;
    return SKUA_OK;
}

skua_buffer *
skua_buffer_free(skua_buffer *buffer) {
    if (!buffer) {
        return NULL;
    }
    skua__buffers *space = buffer->space;
    skua__mutex_lock(&space->lock);
    if (buffer->mapped) {
        buffer->mapped = false;
        skua__buffer_leave_locked(&buffer->map_use, true);
        skua__buffer_regrant_locked(buffer);
        skua__buffers_unlock(space);
        skua__mutex_lock(&space->lock);
    }
    while (!skua__list_empty(&buffer->uses)) {
        skua__cond_wait(&space->changed, &space->lock);
    }
    buffer->ending = true;
    SKUA_LIST_EACH(node, &buffer->copies) {
        skua__engine_nudge(SKUA_CONTAINER_OF(node, skua__copy, of_buffer)->engine);
    }
    while (!skua__list_empty(&buffer->copies)) {
        skua__cond_wait(&space->changed, &space->lock);
    }
    skua__mutex_unlock(&space->lock);
    if (buffer->held) {
        skua__mem_lose(buffer->own);
    } else {
        skua__mem_free(space->hook, buffer->own);
    }
    skua__mem_free(space->hook, buffer);
    unref(space);
    return NULL;
}

skua__buffers *
skua__buffers_of(const skua_buffer *buffer) {
    return buffer->space;
}

void *
skua__buffer_host(const skua_buffer *buffer) {
    return buffer->host;
}

size_t
skua_buffer_bytes(const skua_buffer *buffer) {
    return buffer ? (size_t)buffer->bytes : 0;
}

static skua_status
check_range(const skua_buffer *buffer, size_t offset, const void *data, size_t bytes,
            skua_error *err) {
    bool good =
        buffer && (data || !bytes) && offset <= buffer->bytes && bytes <= buffer->bytes - offset;
    return good ? SKUA_OK
                : SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                            "%zu bytes from %zu on are not within the buffer's %zu", bytes, offset,
                            skua_buffer_bytes(buffer));
}

skua_status
skua_buffer_write(skua_buffer *buffer, size_t offset, const void *data, size_t bytes,
                  skua_error *err) {
    skua_status status = check_range(buffer, offset, data, bytes, err);
    if (status || bytes == 0) {
        return status;
    }
    skua__buffer_use use;
    bool partly = offset > 0 || bytes < buffer->bytes;
    status = begin_on_host(&use, buffer, partly, true, err);
    if (!status) {
        memcpy((char *)buffer->host + offset, data, bytes);
        end_on_host(&use);
    }
    return status;
}

skua_status
skua_buffer_read(skua_buffer *buffer, size_t offset, void *ret_data, size_t bytes,
                 skua_error *err) {
    skua_status status = check_range(buffer, offset, ret_data, bytes, err);
    if (status || bytes == 0) {
        return status;
    }
    skua__buffer_use use;
    status = begin_on_host(&use, buffer, true, false, err);
    if (!status) {
        memcpy(ret_data, (const char *)buffer->host + offset, bytes);
        end_on_host(&use);
    }
    return status;
}

skua_status
skua_buffer_map(skua_buffer *buffer, skua_map_access access, void **ret_data, skua_error *err) {
    if (!buffer || !ret_data || access < SKUA_MAP_READ || access > SKUA_MAP_READ_WRITE) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_buffer_map needs a buffer, an access and ret_data");
    }
    skua__buffers *space = buffer->space;
    skua__mutex_lock(&space->lock);
    skua_status status = SKUA_OK;
    if (buffer->mapped) {
        status = SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the buffer is mapped already");
    } else {
        buffer->mapped = true;
        skua__buffer_push_use_locked(&buffer->map_use, buffer, NULL, access != SKUA_MAP_OVERWRITE,
                                     access != SKUA_MAP_READ, NULL);
        status = await_turn_locked(&buffer->map_use, err);
        buffer->mapped = status == SKUA_OK;
    }
    skua__buffers_unlock(space);
    if (!status) {
        *ret_data = buffer->host;
    }
    return status;
}

skua_status
skua_buffer_unmap(skua_buffer *buffer, skua_error *err) {
    skua_status status = SKUA_E_BAD_ARGUMENT;
    if (buffer) {
        skua__mutex_lock(&buffer->space->lock);
        if (buffer->mapped && buffer->map_use.granted) {
            buffer->mapped = false;
            skua__buffer_leave_locked(&buffer->map_use, true);
            skua__buffer_regrant_locked(buffer);
            status = SKUA_OK;
        }
        skua__buffers_unlock(buffer->space);
    }
    return status ? SKUA_FAIL(err, status, "the buffer is not mapped") : SKUA_OK;
}

skua_status
skua__buffer_prefetch_to(skua_buffer *buffer, skua__engine *engine, skua_error *err) {
    skua__launch *transfer = skua__buffer_transfer_new(buffer, SKUA_PARAM_IN);
    if (!transfer) {
        return SKUA_FAIL_MEMORY(err, "moving a buffer to a device");
    }
    transfer->space = buffer->space;
    skua_status status = skua__engine_submit(engine, transfer, err);
    if (status) {
        skua__launch_free(transfer);
    }
    return status;
}

skua_status
skua_buffer_prefetch(skua_buffer *buffer, size_t device, skua_error *err) {
    if (!buffer) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "skua_buffer_prefetch needs a buffer");
    }
    skua__mutex_lock(&buffer->space->lock);
    skua_devices *devices = buffer->space->devices;
    skua__mutex_unlock(&buffer->space->lock);
    if (!devices) {
        return SKUA_FAIL(err, SKUA_E_CLOSED, "the buffer's devices are closed");
    }
    skua__engine *engine = NULL;
    skua_status status = skua__devices_engine(devices, device, &engine, err);
    return status ? status : skua__buffer_prefetch_to(buffer, engine, err);
}

skua_status
skua_buffer_where(skua_buffer *buffer, skua_buffer_info *ret_info, skua_error *err) {
    if (!buffer || !ret_info || ret_info->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_buffer_where needs a buffer, and ret_info with its size set");
    }
    skua_buffer_info info = {.bytes = buffer->bytes};
    skua__mutex_lock(&buffer->space->lock);
    SKUA_LIST_EACH(node, &buffer->copies) {
        const skua__copy *copy = SKUA_CONTAINER_OF(node, skua__copy, of_buffer);
        uint64_t bit = UINT64_C(1) << copy->engine->device;
        info.memory_on |= bit;
        info.current_on |= copy->valid && !copy->host_has_it ? bit : 0;
        info.shared_on |= copy->shared ? bit : 0;
    }
    SKUA_LIST_EACH(node, &buffer->uses) {
        const skua__buffer_use *use = SKUA_CONTAINER_OF(node, skua__buffer_use, link);
        info.users += use->unplaced || !use->claim; /* a pool's launch has two while it runs */
    }
    info.on_host = buffer->on_host;
    info.lost = skua__buffer_is_lost_locked(buffer);
    info.mapped = buffer->mapped;
    skua__mutex_unlock(&buffer->space->lock);
    size_t size = ret_info->size < sizeof info ? ret_info->size : sizeof info;
    memcpy((char *)ret_info + sizeof(size_t), (const char *)&info + sizeof(size_t),
           size - sizeof(size_t));
    return SKUA_OK;
}
