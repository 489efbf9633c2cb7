// SPDX-License-Identifier: MPL-2.0
// The OpenCL devices of this machine: which there are, what they are like, and why one is missing. The driver is
// looked at in a child process, so that one that hangs or crashes costs a moment and not the program.
#ifndef SKUA_DEVICE_H
#define SKUA_DEVICE_H

#include <skua/alloc.h>
#include <skua/common.h>
#include <skua/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_devices skua_devices;

enum {
    SKUA_DEVICES_MAX = 64,       /* of one machine; further ones are left out */
    SKUA_DEVICE_TEXT_BYTES = 96, /* a name, vendor or version with its final 0, cut to this */
    SKUA_DEVICE_UUID_BYTES = 16,
};

typedef enum skua_device_kind {
    SKUA_DEVICE_DISCRETE = 1,    /* a GPU with memory of its own */
    SKUA_DEVICE_INTEGRATED = 2,  /* a GPU that shares the host's memory */
    SKUA_DEVICE_ACCELERATOR = 3, /* what OpenCL calls so, and custom devices */
    SKUA_DEVICE_CPU = 4,         /* the cores again, behind OpenCL */
} skua_device_kind;

/*
 * How the devices are opened. The allocator is borrowed until skua_devices_close(), the strings for the call.
 */
typedef struct skua_devices_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the default */
    /* Where descriptions are kept between runs. NULL: $XDG_CACHE_HOME/skua or ~/.cache/skua; "": nowhere. */
    const char *cache_dir;
    int64_t probe_timeout_ms; /* for a driver to describe its devices; 0: 10,000 */
    uint8_t
        cpu_devices; /* 1: CPU devices may be used too; they compete with the executor for the cores */
    uint8_t reserved[7];
} skua_devices_options;

#define SKUA_DEVICES_OPTIONS(...)                                                                  \
    (&(const skua_devices_options){.size = sizeof(skua_devices_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_devices_options_init(skua_devices_options *options, size_t size);

/**
 * Finds the machine's OpenCL devices. A machine with no OpenCL at all is fine: it has none, and
 * skua_devices_reason() says so. What was found is kept on disk under a fingerprint of the installed drivers, so that
 * only the first run after a change waits for them. Copies options, which may be NULL. The caller owns *ret_devices:
 * skua_devices_close().
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY, SKUA_E_SYSTEM (no pipe or no process for the look). A driver
 * that fails is no error.
 * Threads: any. Blocks: under 2 ms when the description is kept; else until the drivers have answered, at most
 * probe_timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_devices_open(skua_devices **ret_devices,
                                                       const skua_devices_options *options,
                                                       skua_error *err);

/**
 * Ends the devices. Takes NULL. Launches and prefetches that have not started are cancelled, those too that wait for a buffer
 * that is mapped; buffers live on, on the host.
 *
 * Returns: NULL.
 * Threads: one; no other call on them may run. Blocks: until what runs on them has ended. Since 0.1.
 */
SKUA_API skua_devices *skua_devices_close(skua_devices *devices);

/* One device. The library fills at most `size` bytes: fields are only ever added at the end. */
typedef struct skua_device_info {
    size_t size;
    int32_t kind; /* skua_device_kind */
    uint8_t
        usable; /* 0: only listed (a CPU device without the option cpu_devices, or one without a compiler) */
    uint8_t unified;  /* 1: it shares the host's memory, so nothing need be copied */
    uint8_t has_uuid; /* 1: uuid is the device's own */
    uint8_t has_fp64; /* 1: it computes in double precision */
    uint32_t units;   /* compute units */
    uint32_t clock_mhz;
    int32_t numa;         /* the system's number of the NUMA node that it hangs on; -1: not known */
    uint32_t align_bytes; /* of a sub-buffer's origin */
    uint64_t memory_bytes;
    uint64_t max_buffer_bytes;
    uint64_t local_bytes; /* of a work-group */
    uint64_t max_group;   /* work-items of a work-group */
    char name[SKUA_DEVICE_TEXT_BYTES];
    char vendor[SKUA_DEVICE_TEXT_BYTES];
    char platform[SKUA_DEVICE_TEXT_BYTES];
    char driver[SKUA_DEVICE_TEXT_BYTES];  /* the driver's version */
    char version[SKUA_DEVICE_TEXT_BYTES]; /* the OpenCL version that it offers */
    uint8_t uuid[SKUA_DEVICE_UUID_BYTES];
} skua_device_info;

/**
 * How many devices were found, usable or not.
 *
 * Returns: the number; 0 for NULL.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API size_t skua_devices_count(const skua_devices *devices);

/**
 * Describes the i-th device: discrete ones come first, then integrated ones, accelerators and CPUs. Set
 * ret_info->size to sizeof *ret_info before.
 *
 * Returns: 0, or SKUA_E_NOT_FOUND (i is past the end), SKUA_E_BAD_ARGUMENT.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_devices_at(const skua_devices *devices, size_t i,
                                                     skua_device_info *ret_info, skua_error *err);

/**
 * How the look went, in one line for people: "2 devices", "no OpenCL driver is installed", "the OpenCL driver did
 * not answer within 10 s".
 *
 * Returns: a string that lives as long as devices.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_devices_reason(const skua_devices *devices);

/**
 * The name of a kind: "discrete", "integrated", "accelerator", "cpu".
 *
 * Returns: a string that lives as long as the process; "unknown" for any other number.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_device_kind_text(int32_t kind);

#ifdef __cplusplus
}
#endif
#endif
