// SPDX-License-Identifier: MPL-2.0
// The box's own: OpenCL's functions, found at run time, so that skua runs where there is no OpenCL.
#ifndef SKUA_GPU_CL_LOAD_H
#define SKUA_GPU_CL_LOAD_H

#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <stdbool.h>

/* Each member is the function of that name; all of them are there when skua__cl_load() has returned true. */
typedef struct skua__cl {
    void *library;
    cl_int (*get_platform_ids)(cl_uint, cl_platform_id *, cl_uint *);
    cl_int (*get_platform_info)(cl_platform_id, cl_platform_info, size_t, void *, size_t *);
    cl_int (*get_device_ids)(cl_platform_id, cl_device_type, cl_uint, cl_device_id *, cl_uint *);
    cl_int (*get_device_info)(cl_device_id, cl_device_info, size_t, void *, size_t *);
} skua__cl;

/* Opens libOpenCL.so.1. Returns false when it is not there or lacks a function. */
bool skua__cl_load(skua__cl *ret_cl);
/* Nothing is unloaded: drivers leave threads and exit handlers behind. It only forgets the functions. */
void skua__cl_forget(skua__cl *cl);

#endif
