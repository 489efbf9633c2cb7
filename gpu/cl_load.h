// SPDX-License-Identifier: MPL-2.0
// The box's own: OpenCL's functions, found at run time, so that skua runs where there is no OpenCL.
#ifndef SKUA_GPU_CL_LOAD_H
#define SKUA_GPU_CL_LOAD_H

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS /* a queue of a 1.2 device can be made in no other way */
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <skua/device.h>
#include <stdbool.h>

enum { SKUA__CL_PLATFORMS_MAX = 16 };

/* Each member is the function of that name; all of them are there when skua__cl_load() has returned true. */
typedef struct skua__cl {
    void *library;
    cl_int (*get_platform_ids)(cl_uint, cl_platform_id *, cl_uint *);
    cl_int (*get_platform_info)(cl_platform_id, cl_platform_info, size_t, void *, size_t *);
    cl_int (*get_device_ids)(cl_platform_id, cl_device_type, cl_uint, cl_device_id *, cl_uint *);
    cl_int (*get_device_info)(cl_device_id, cl_device_info, size_t, void *, size_t *);
    cl_int (*create_sub_devices)(cl_device_id, const cl_device_partition_property *, cl_uint,
                                 cl_device_id *, cl_uint *);
    cl_int (*release_device)(cl_device_id);
    cl_context (*create_context)(const cl_context_properties *, cl_uint, const cl_device_id *,
                                 void(CL_CALLBACK *)(const char *, const void *, size_t, void *),
                                 void *, cl_int *);
    cl_int (*release_context)(cl_context);
    cl_command_queue (*create_queue)(cl_context, cl_device_id, cl_command_queue_properties,
                                     cl_int *);
    cl_int (*release_queue)(cl_command_queue);
    cl_int (*flush)(cl_command_queue);
    cl_int (*finish)(cl_command_queue);
    cl_mem (*create_buffer)(cl_context, cl_mem_flags, size_t, void *, cl_int *);
    cl_mem (*create_sub_buffer)(cl_mem, cl_mem_flags, cl_buffer_create_type, const void *,
                                cl_int *);
    cl_int (*release_mem)(cl_mem);
    cl_int (*write_buffer)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint,
                           const cl_event *, cl_event *);
    cl_int (*read_buffer)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint,
                          const cl_event *, cl_event *);
    cl_int (*copy_buffer)(cl_command_queue, cl_mem, cl_mem, size_t, size_t, size_t, cl_uint,
                          const cl_event *, cl_event *);
    void *(*map_buffer)(cl_command_queue, cl_mem, cl_bool, cl_map_flags, size_t, size_t, cl_uint,
                        const cl_event *, cl_event *, cl_int *);
    cl_int (*unmap)(cl_command_queue, cl_mem, void *, cl_uint, const cl_event *, cl_event *);
    cl_program (*program_with_source)(cl_context, cl_uint, const char **, const size_t *, cl_int *);
    cl_program (*program_with_binary)(cl_context, cl_uint, const cl_device_id *, const size_t *,
                                      const unsigned char **, cl_int *, cl_int *);
    cl_int (*build_program)(cl_program, cl_uint, const cl_device_id *, const char *,
                            void(CL_CALLBACK *)(cl_program, void *), void *);
    cl_int (*get_build_info)(cl_program, cl_device_id, cl_program_build_info, size_t, void *,
                             size_t *);
    cl_int (*get_program_info)(cl_program, cl_program_info, size_t, void *, size_t *);
    cl_int (*release_program)(cl_program);
    cl_kernel (*create_kernel)(cl_program, const char *, cl_int *);
    cl_int (*release_kernel)(cl_kernel);
    cl_int (*set_kernel_arg)(cl_kernel, cl_uint, size_t, const void *);
    cl_int (*get_kernel_info)(cl_kernel, cl_kernel_info, size_t, void *, size_t *);
    cl_int (*get_group_info)(cl_kernel, cl_device_id, cl_kernel_work_group_info, size_t, void *,
                             size_t *);
    cl_int (*enqueue_kernel)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *,
                             const size_t *, cl_uint, const cl_event *, cl_event *);
    cl_int (*enqueue_marker)(cl_command_queue, cl_uint, const cl_event *, cl_event *);
    cl_int (*set_event_callback)(cl_event, cl_int, void(CL_CALLBACK *)(cl_event, cl_int, void *),
                                 void *);
    cl_int (*get_profiling)(cl_event, cl_profiling_info, size_t, void *, size_t *);
    cl_int (*get_event_info)(cl_event, cl_event_info, size_t, void *, size_t *);
    cl_int (*release_event)(cl_event);
} skua__cl;

/* Opens libOpenCL.so.1. Returns false when it is not there or lacks a function. */
bool skua__cl_load(skua__cl *ret_cl);
/* Nothing is unloaded: drivers leave threads and exit handlers behind. It only forgets the functions. */
void skua__cl_forget(skua__cl *cl);

/* cl_device.c: fills in everything that is known of a device; it does not fail. */
void skua__cl_describe_device(const skua__cl *cl, cl_platform_id platform, cl_device_id device,
                              skua_device_info *ret);

#endif
