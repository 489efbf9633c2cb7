// SPDX-License-Identifier: MPL-2.0
// The box's own: an OpenCL device as skua__device_driver sees it, shared by the cl_*.c files.
#ifndef SKUA_GPU_CL_DEV_H
#define SKUA_GPU_CL_DEV_H

#include "cl_load.h"
#include "copiers.h"

#include <skua-int/device_driver.h>
#include <skua-int/list.h>
#include <skua-int/thread.h>

/* A command whose end OpenCL has promised to tell; it outlives the submitter's block when the device is abandoned. */
typedef struct skua__cl_flight {
    skua__list link; /* in flights or spare */
    skua__dev *dev;
    skua__dev_command *command; /* NULL: nobody is told */
    cl_event event; /* kept after the end, until the flight is used again or the device closes */
} skua__cl_flight;

struct skua__dev {
    const skua_allocator *hook;
    skua__cl cl;
    cl_device_id device;
    bool is_part; /* device is a sub-device of ours: to be released */
    cl_context context;
    cl_command_queue queues[SKUA__DEV_QUEUES];
    skua__list mems, kernels; /* the driver thread's */
    skua__copiers *copiers;   /* as well; NULL: none was needed yet, or could be had */
    skua__mutex lock;         /* guards flights and spare; called out of with it released */
    skua__cond landed;        /* flights is empty */
    skua__list flights, spare;
};

struct skua__dev_mem {
    skua__list link;
    skua__dev_mem_kind kind;
    cl_mem mem;
    uint64_t bytes;
    void *host; /* PINNED, SHARED: its address */
    bool mapped;
};

struct skua__dev_kernel {
    skua__list link;
    cl_program program;
    cl_kernel kernel;
};

/* ---- cl_queue.c ---- */

/* The status for what OpenCL returned. */
skua_status skua__cl_status(cl_int result);
/* Fails with that status and words: "cannot <what> (OpenCL error -5)". */
skua_status skua__cl_fail(skua_error *err, cl_int result, const char *what);
skua_status skua__cl_write(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem,
                           uint64_t offset, const void *host, uint64_t bytes,
                           skua__dev_command *command, skua_error *err);
skua_status skua__cl_read(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem,
                          uint64_t offset, void *host, uint64_t bytes, skua__dev_command *command,
                          skua_error *err);
skua_status skua__cl_copy(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *from,
                          uint64_t from_offset, skua__dev_mem *to, uint64_t to_offset,
                          uint64_t bytes, skua__dev_command *command, skua_error *err);
skua_status skua__cl_acquire(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem,
                             skua__dev_command *command, skua_error *err);
skua_status skua__cl_release(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem,
                             skua__dev_command *command, skua_error *err);
skua_status skua__cl_launch(skua__dev *dev, skua__dev_kernel *kernel, const skua__dev_arg *args,
                            uint32_t arg_count, const skua__dev_range *range,
                            skua__dev_command *command, skua_error *err);
void skua__cl_flush(skua__dev *dev, skua__dev_queue queue);
/* Forgets the events that are kept, once the driver's own threads have let go of them. */
void skua__cl_drop_events(skua__dev *dev);
/* Gives mapped memory back to the device. */
void skua__cl_unmap(skua__dev *dev, skua__dev_mem *mem);
/* Waits until every flight has landed, or makes those that have not end SKUA_E_DEVICE_FAILED. Returns whether all landed. */
bool skua__cl_land_all(skua__dev *dev, bool abandon);

/* ---- cl_buffer.c ---- */

skua_status skua__cl_mem_new(skua__dev *dev, skua__dev_mem_kind kind, uint64_t bytes, void *host,
                             skua__dev_mem **ret_mem, skua_error *err);
skua_status skua__cl_mem_part(skua__dev *dev, skua__dev_mem *whole, uint64_t offset, uint64_t bytes,
                              skua__dev_mem **ret_mem, skua_error *err);
void *skua__cl_mem_host(skua__dev *dev, skua__dev_mem *mem);
void skua__cl_mem_free(skua__dev *dev, skua__dev_mem *mem);

skua_status skua__cl_host_copy(skua__dev *dev, void *to, const void *from, uint64_t bytes,
                               skua__dev_command *command, skua_error *err);
uint32_t skua__cl_host_copiers(skua__dev *dev);

/* ---- cl_program.c ---- */

skua_status skua__cl_kernel_new(skua__dev *dev, const skua__dev_source *source,
                                skua__dev_kernel **ret_kernel, bool *ret_from_binary, char *log,
                                size_t log_bytes, skua_error *err);
skua_status skua__cl_kernel_binary(skua__dev *dev, skua__dev_kernel *kernel, void **ret_binary,
                                   size_t *ret_bytes, skua_error *err);
void skua__cl_kernel_limits(skua__dev *dev, skua__dev_kernel *kernel, uint64_t *ret_max_group,
                            uint64_t *ret_multiple);
void skua__cl_kernel_free(skua__dev *dev, skua__dev_kernel *kernel);

#endif
