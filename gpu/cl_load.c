// SPDX-License-Identifier: MPL-2.0
// Finds OpenCL's functions with dlopen().
#include "cl_load.h"

#include <dlfcn.h>
#include <string.h>

/* ISO C knows no conversion from an object's to a function's address; POSIX promises that the bytes agree. */
static bool
find(void *library, const char *name, void *ret_function) {
    void *symbol = dlsym(library, name);
    memcpy(ret_function, &symbol, sizeof symbol);
    return symbol != NULL;
}

bool
skua__cl_load(skua__cl *ret_cl) {
    skua__cl cl = {.library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL)};
    if (!cl.library) {
        return false;
    }
    const struct {
        const char *name;
        void *function;
    } wanted[] = {
        {"clGetPlatformIDs", &cl.get_platform_ids},
        {"clGetPlatformInfo", &cl.get_platform_info},
        {"clGetDeviceIDs", &cl.get_device_ids},
        {"clGetDeviceInfo", &cl.get_device_info},
        {"clCreateSubDevices", &cl.create_sub_devices},
        {"clReleaseDevice", &cl.release_device},
        {"clCreateContext", &cl.create_context},
        {"clReleaseContext", &cl.release_context},
        {"clCreateCommandQueue", &cl.create_queue},
        {"clReleaseCommandQueue", &cl.release_queue},
        {"clFlush", &cl.flush},
        {"clFinish", &cl.finish},
        {"clCreateBuffer", &cl.create_buffer},
        {"clCreateSubBuffer", &cl.create_sub_buffer},
        {"clReleaseMemObject", &cl.release_mem},
        {"clEnqueueWriteBuffer", &cl.write_buffer},
        {"clEnqueueReadBuffer", &cl.read_buffer},
        {"clEnqueueCopyBuffer", &cl.copy_buffer},
        {"clEnqueueMapBuffer", &cl.map_buffer},
        {"clEnqueueUnmapMemObject", &cl.unmap},
        {"clCreateProgramWithSource", &cl.program_with_source},
        {"clCreateProgramWithBinary", &cl.program_with_binary},
        {"clBuildProgram", &cl.build_program},
        {"clGetProgramBuildInfo", &cl.get_build_info},
        {"clGetProgramInfo", &cl.get_program_info},
        {"clReleaseProgram", &cl.release_program},
        {"clCreateKernel", &cl.create_kernel},
        {"clReleaseKernel", &cl.release_kernel},
        {"clSetKernelArg", &cl.set_kernel_arg},
        {"clGetKernelInfo", &cl.get_kernel_info},
        {"clGetKernelWorkGroupInfo", &cl.get_group_info},
        {"clEnqueueNDRangeKernel", &cl.enqueue_kernel},
        {"clEnqueueMarkerWithWaitList", &cl.enqueue_marker},
        {"clSetEventCallback", &cl.set_event_callback},
        {"clGetEventProfilingInfo", &cl.get_profiling},
        {"clGetEventInfo", &cl.get_event_info},
        {"clReleaseEvent", &cl.release_event},
    };
    bool whole = true;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        whole = find(cl.library, wanted[i].name, wanted[i].function) && whole;
    }
    if (!whole) {
        dlclose(cl.library);
        return false;
    }
    *ret_cl = cl;
    return true;
}

void
skua__cl_forget(skua__cl *cl) {
    memset(cl, 0, sizeof *cl);
}
