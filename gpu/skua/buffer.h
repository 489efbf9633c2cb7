// SPDX-License-Identifier: MPL-2.0
// Buffers: memory that kernels use again and again, and that stays where it was used last. skua knows which copies of it
// are current, on the host and on each device, and moves it only when somebody reads it where none is.
#ifndef SKUA_BUFFER_H
#define SKUA_BUFFER_H

#include <skua/common.h>
#include <skua/device.h>
#include <skua/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_BUFFER_MAX_BYTES (UINT64_C(1) << 48)

/*
 * Everything that uses a buffer (launches of skua_kernel_submit(), prefetches, the calls below) takes its turn in the order in
 * which it was asked for: readers at once, a writer alone. So a launch sees what those submitted before it have written, on
 * whichever device or on the cores, and a program submits a chain of launches without waiting between them:
 *
 *     skua_buffer_new(devices, &y, SKUA_BUFFER_OPTIONS(.bytes = n * sizeof(float)), &err);
 *     skua_kernel_arg args[] = {{.buffer = y, .bytes = n * sizeof(float)}, {.value = &a, .bytes = sizeof a}};
 *     for (int i = 0; i < 100; i++) {
 *         skua_kernel_submit(pool, SKUA_LAUNCH(.kernel = "scale", .global = {n}, .args = args, .arg_count = 2), NULL, &err);
 *     }
 *     skua_buffer_map(y, SKUA_MAP_READ, &data, &err); // waits for them all, and brings the result here
 */
typedef struct skua_buffer skua_buffer;

typedef struct skua_buffer_options {
    size_t size;
    size_t bytes; /* of its contents; at least 1 */
    /*
     * The caller's memory of so many bytes, borrowed until skua_buffer_free(), which then begins as the contents; to be
     * touched only between skua_buffer_map() and skua_buffer_unmap(). NULL: memory of the library's, all zeros.
     */
    void *host;
} skua_buffer_options;

#define SKUA_BUFFER_OPTIONS(...)                                                                   \
    (&(const skua_buffer_options){.size = sizeof(skua_buffer_options), __VA_ARGS__})

/**
 * Sets options to their defaults, for languages without compound literals.
 *
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_buffer_options_init(skua_buffer_options *options, size_t size);

/**
 * Makes a buffer for the devices of a list and for the cores. It is on no device until a launch or a prefetch wants it
 * there.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY, SKUA_E_FORKED. The caller owns *ret_buffer: skua_buffer_free().
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_buffer_new(skua_devices *devices,
                                                     skua_buffer **ret_buffer,
                                                     const skua_buffer_options *options,
                                                     skua_error *err);

/**
 * Ends a buffer, mapped or not, after what was asked of it before. Takes NULL. With memory of the caller's, nothing is
 * brought back to it: read or map the buffer first. Its devices may be closed before or
 * after: their end cancels launches and prefetches that wait for a buffer that is mapped.
 *
 * Returns: NULL.
 * Threads: one; no other call on it may run. Blocks: until launches that use it have ended. Since 0.1.
 */
SKUA_API skua_buffer *skua_buffer_free(skua_buffer *buffer);

/**
 * How many bytes a buffer holds.
 *
 * Returns: the number; 0 for NULL.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API size_t skua_buffer_bytes(const skua_buffer *buffer);

/**
 * Copies bytes into the buffer, from its offset on. What is on devices is outdated by that, and copied anew when it is
 * used there.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT (past its end, or it is mapped: that wait might never end),
 * SKUA_E_DEVICE_FAILED (the only current copy was lost with its device; writing all of it makes it good again),
 * SKUA_E_NO_MEMORY.
 * Threads: any. Blocks: until everything that was asked of it before has ended. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_buffer_write(skua_buffer *buffer, size_t offset,
                                                       const void *data, size_t bytes,
                                                       skua_error *err);

/**
 * Copies bytes out of the buffer, from its offset on; from a device first, when only that has them.
 *
 * Returns: as skua_buffer_write().
 * Threads: any. Blocks: until everything that was asked of it before and writes to it has ended. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_buffer_read(skua_buffer *buffer, size_t offset,
                                                      void *ret_data, size_t bytes,
                                                      skua_error *err);

typedef enum skua_map_access {
    SKUA_MAP_READ = 1,       /* it is only read */
    SKUA_MAP_OVERWRITE = 2,  /* all of it is written; what it holds before is undefined */
    SKUA_MAP_READ_WRITE = 3, /* it is read and written */
} skua_map_access;

/**
 * Lends the buffer's memory on the host, without a copy where a device shares it. Whatever is asked of the buffer
 * meanwhile waits, or for SKUA_MAP_READ may read.
 *
 * Returns: 0 with *ret_data, good until skua_buffer_unmap(); else as skua_buffer_write().
 * Threads: any. Blocks: as skua_buffer_read() and skua_buffer_write(). Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_buffer_map(skua_buffer *buffer, skua_map_access access,
                                                     void **ret_data, skua_error *err);

/**
 * Gives the memory back.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT (it is not mapped).
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_buffer_unmap(skua_buffer *buffer, skua_error *err);

/**
 * Begins to bring the buffer to a device, so that a launch there finds it. A device that has no room or fails meanwhile
 * is no error: the launch that wanted it there will say so.
 *
 * device: as skua_devices_at() counts. Returns: 0, or SKUA_E_NOT_FOUND, SKUA_E_UNSUPPORTED (not usable), SKUA_E_CLOSED,
 * SKUA_E_DEVICE_FAILED (it rests), SKUA_E_AGAIN (too much waits for it), SKUA_E_NO_MEMORY, and what opening it returns.
 * Threads: any. Blocks: never, once the device is open. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_buffer_prefetch(skua_buffer *buffer, size_t device,
                                                          skua_error *err);

/* Where a buffer is current. The library fills at most `size` bytes: fields are only ever added at the end. */
typedef struct skua_buffer_info {
    size_t size;
    uint64_t bytes;
    uint64_t current_on; /* bit i: device i has its contents */
    uint64_t memory_on;  /* bit i: device i holds memory for it, current or not */
    uint64_t shared_on;  /* bit i: that memory is the host's own */
    uint8_t on_host;     /* 1: the host has its contents */
    uint8_t lost;        /* 1: nobody has; the device that had them failed */
    uint8_t mapped;
    uint8_t reserved[5];
    uint32_t users; /* launches and calls that use it or wait for it */
} skua_buffer_info;

/**
 * Tells where the buffer is current just now. Set ret_info->size to sizeof *ret_info before.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_buffer_where(skua_buffer *buffer,
                                                       skua_buffer_info *ret_info, skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
