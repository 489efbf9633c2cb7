// SPDX-License-Identifier: MPL-2.0
// What a device can do, without a word of OpenCL: a const table of calls that never wait. The engine drives a real
// device (cl_*.c) and the fake one of the tests through the same table.
#ifndef SKUA_INT_DEVICE_DRIVER_H
#define SKUA_INT_DEVICE_DRIVER_H

#include <skua/alloc.h>
#include <skua/device.h>
#include <skua/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKUA__DEVICE_DRIVER_VERSION 2

/* Each driver has structs of its own behind these names. */
typedef struct skua__dev skua__dev;               /* an open device: its context and its queues */
typedef struct skua__dev_mem skua__dev_mem;       /* memory that kernels reach */
typedef struct skua__dev_kernel skua__dev_kernel; /* one kernel of one built program */

/*
 * Commands of one queue run one after the other, in the order of the calls; those of different queues at once, where
 * the device can. A command waits for nothing in another queue: whoever submits it knows that it is ready.
 */
typedef enum skua__dev_queue {
    SKUA__DEV_IN = 0,      /* copies to the device */
    SKUA__DEV_COMPUTE = 1, /* launches */
    SKUA__DEV_OUT = 2,     /* copies to the host */
    SKUA__DEV_QUEUES = 3,
} skua__dev_queue;

/*
 * Told when a command has ended. It lies in the submitter's memory from the call that was given it until done() is
 * called, once, on any thread, maybe inside the call that submitted it or inside close(). done() may not call the driver.
 */
typedef struct skua__dev_command {
    void (*done)(struct skua__dev_command *command, skua_status status);
    /* Filled before done(), on the device's own clock; 0 where the device does not tell. Of host copies on the host's. */
    int64_t queued_ns, submit_ns, start_ns, end_ns;
    void *driver[2]; /* the driver's own while the command is under way */
} skua__dev_command;

typedef enum skua__dev_mem_kind {
    SKUA__DEV_MEM_DEVICE = 1, /* the device's own memory; the host has no address of it */
    SKUA__DEV_MEM_PINNED =
        2, /* the driver's host memory, which copies run from and to at full rate */
    SKUA__DEV_MEM_SHARED = 3, /* the caller's host memory, used by the device in place */
} skua__dev_mem_kind;

enum {
    SKUA__KERNEL_SIZE_ARGS =
        4, /* of SKUA_SIZE: where each dimension ends, and the whole first one */
};

typedef enum skua__dev_arg_kind {
    SKUA__DEV_ARG_MEM = 1,   /* mem */
    SKUA__DEV_ARG_VALUE = 2, /* bytes at value, copied in the call */
    SKUA__DEV_ARG_LOCAL = 3, /* bytes of the work-group's own memory */
} skua__dev_arg_kind;

typedef struct skua__dev_arg {
    skua__dev_arg_kind kind;
    skua__dev_mem *mem;
    const void *value;
    size_t bytes;
} skua__dev_arg;

/* How many work-items, in groups of how many. Each local size divides its global size and is never 0. */
typedef struct skua__dev_range {
    uint32_t dims;  /* 1 to 3; the rest is 1 */
    uint64_t first; /* index of the first dimension; the others begin at 0 */
    uint64_t global[3];
    uint64_t local[3];
} skua__dev_range;

/* What a kernel is built from: the binary where one is given and fits, else the source. All of it is borrowed. */
typedef struct skua__dev_source {
    const char *text;
    const char *options;
    const char *entry;
    const void *binary; /* NULL: none */
    size_t binary_bytes;
} skua__dev_source;

/*
 * Unless it says otherwise, a call belongs to the device's one driver thread and returns without waiting for the
 * device. Statuses: SKUA_E_DEVICE_MEMORY (there is no room; something else may be let go), SKUA_E_DEVICE_FAILED (the context
 * is of no use any more), SKUA_E_NO_MEMORY, SKUA_E_BAD_ARGUMENT (this one command is wrong). A command may end with them too.
 */
typedef struct skua__device_driver {
    uint32_t version; /* SKUA__DEVICE_DRIVER_VERSION */
    const char *kind; /* "opencl", "fake": for people */
    /*
     * Opens the device that info describes; ordinal tells apart those with equal descriptions. ctx is the engine's
     * option driver_ctx. The allocator is borrowed until close(). Blocks until the driver has answered. Also:
     * SKUA_E_NOT_FOUND, SKUA_E_UNSUPPORTED.
     */
    skua_status (*open)(void *ctx, const skua_device_info *info, uint32_t ordinal,
                        const skua_allocator *hook, skua__dev **ret_dev, skua_error *err);
    /*
     * Ends the device and all of its memory and kernels that are left. Commands under way are waited for; with abandon
     * they are not: they end SKUA_E_DEVICE_FAILED, and what cannot be freed without waiting is leaked. Takes NULL.
     */
    void (*close)(skua__dev *dev, bool abandon);

    /* host: the caller's memory for SHARED, until mem_free(); else NULL. */
    skua_status (*mem_new)(skua__dev *dev, skua__dev_mem_kind kind, uint64_t bytes, void *host,
                           skua__dev_mem **ret_mem, skua_error *err);
    /* A part of DEVICE memory, its origin a multiple of align_bytes; it ends before the whole does. */
    skua_status (*mem_part)(skua__dev *dev, skua__dev_mem *whole, uint64_t offset, uint64_t bytes,
                            skua__dev_mem **ret_mem, skua_error *err);
    /* The host's address of PINNED memory. */
    void *(*mem_host)(skua__dev *dev, skua__dev_mem *mem);
    /* No command that uses it is under way. Takes NULL. */
    void (*mem_free)(skua__dev *dev, skua__dev_mem *mem);

    /*
     * Builds. The compiler's log goes to log (cut to log_bytes, "" when it said nothing), also on success. *ret_from_binary
     * says whether the binary served. Blocks while the compiler works. Also: SKUA_E_KERNEL_BUILD.
     */
    skua_status (*kernel_new)(skua__dev *dev, const skua__dev_source *source,
                              skua__dev_kernel **ret_kernel, bool *ret_from_binary, char *log,
                              size_t log_bytes, skua_error *err);
    /* The built program, to be kept on disk; the caller owns the block of the hook's. Also: SKUA_E_UNSUPPORTED. */
    skua_status (*kernel_binary)(skua__dev *dev, skua__dev_kernel *kernel, void **ret_binary,
                                 size_t *ret_bytes, skua_error *err);
    /* The most work-items in a group of this kernel, and a number that group sizes had better be multiples of. */
    void (*kernel_limits)(skua__dev *dev, skua__dev_kernel *kernel, uint64_t *ret_max_group,
                          uint64_t *ret_multiple);
    /* No launch of it is under way. Takes NULL. */
    void (*kernel_free)(skua__dev *dev, skua__dev_kernel *kernel);

    /*
     * Commands. When one returns 0, command->done() is called once; otherwise never. command may be NULL for one whose
     * end is told by a later one of the same queue. Host memory is borrowed until the command has ended.
     */
    skua_status (*write)(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem, uint64_t offset,
                         const void *host, uint64_t bytes, skua__dev_command *command,
                         skua_error *err);
    skua_status (*read)(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem, uint64_t offset,
                        void *host, uint64_t bytes, skua__dev_command *command, skua_error *err);
    skua_status (*copy)(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *from,
                        uint64_t from_offset, skua__dev_mem *to, uint64_t to_offset, uint64_t bytes,
                        skua__dev_command *command, skua_error *err);
    /*
     * Copies between two places of host memory, of which one is PINNED, on threads of the driver's: in no order, neither
     * among themselves nor to the queues. Only after host_copiers() has told of some.
     */
    skua_status (*host_copy)(skua__dev *dev, void *to, const void *from, uint64_t bytes,
                             skua__dev_command *command, skua_error *err);
    /* How many host copies run at once. Starts the threads, the first time; 0: there can be none, and no host copies. */
    uint32_t (*host_copiers)(skua__dev *dev);
    /* The host reads and writes SHARED memory only between the end of acquire and the call of release. */
    skua_status (*acquire)(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem,
                           skua__dev_command *command, skua_error *err);
    skua_status (*release)(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem,
                           skua__dev_command *command, skua_error *err);
    /* On SKUA__DEV_COMPUTE. Arguments are copied in the call, in the order of the kernel's parameters. */
    skua_status (*launch)(skua__dev *dev, skua__dev_kernel *kernel, const skua__dev_arg *args,
                          uint32_t arg_count, const skua__dev_range *range,
                          skua__dev_command *command, skua_error *err);
    /* Commands may lie in the queue until then. */
    void (*flush)(skua__dev *dev, skua__dev_queue queue);
} skua__device_driver;

/* The real one (cl_driver.c); ctx is not used. It lives as long as the process. */
const skua__device_driver *skua__cl_driver(void);

#endif
