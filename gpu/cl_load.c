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
    bool whole = find(cl.library, "clGetPlatformIDs", &cl.get_platform_ids) &&
                 find(cl.library, "clGetPlatformInfo", &cl.get_platform_info) &&
                 find(cl.library, "clGetDeviceIDs", &cl.get_device_ids) &&
                 find(cl.library, "clGetDeviceInfo", &cl.get_device_info);
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
