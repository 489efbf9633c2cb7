// SPDX-License-Identifier: MPL-2.0
// An OpenCL driver as no one wants it: it hangs or crashes when it is loaded, as the macro BAD_DRIVER_HANGS says.
#include <signal.h>
#include <unistd.h>

__attribute__((constructor)) static void
misbehave(void) {
#ifdef BAD_DRIVER_HANGS
    for (;;) {
        pause();
    }
#else
    raise(SIGSEGV);
#endif
}

void *clGetExtensionFunctionAddress(const char *name);

void *
clGetExtensionFunctionAddress(const char *name) {
    (void)name;
    return 0;
}
