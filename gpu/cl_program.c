// SPDX-License-Identifier: MPL-2.0
// Kernels of an OpenCL device: built from a kept binary or from source, with the compiler's words on failure.
#include "cl_dev.h"
#include "signals.h"

#include <ctype.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <stdio.h>
#include <string.h>

enum { TOLD_BYTES = 301 }; /* of a log, in an error */

/* Takes the line breaks away that compilers end with. */
static void
trim(char *text) {
    size_t used = strlen(text);
    while (used > 0 && isspace((unsigned char)text[used - 1])) {
        text[--used] = 0;
    }
}

static void
read_log(skua__dev *dev, cl_program program, char *log, size_t log_bytes) {
    log[0] = 0;
    size_t size = 0;
    if (dev->cl.get_build_info(program, dev->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) !=
            CL_SUCCESS ||
        size < 2) {
        return;
    }
    char *whole = skua__mem_new(dev->hook, size + 1);
    if (whole && dev->cl.get_build_info(program, dev->device, CL_PROGRAM_BUILD_LOG, size, whole,
                                        NULL) == CL_SUCCESS) {
        size_t kept = strlen(whole) < log_bytes - 1 ? strlen(whole) : log_bytes - 1;
        memcpy(log, whole, kept);
        log[kept] = 0;
    }
    skua__mem_free(dev->hook, whole);
}

/* The program as the driver has it, not built yet; NULL with *ret_result. */
static cl_program
create(skua__dev *dev, const skua__dev_source *source, bool from_binary, cl_int *ret_result) {
    if (!from_binary) {
        const char *text = source->text;
        return dev->cl.program_with_source(dev->context, 1, &text, NULL, ret_result);
    }
    const unsigned char *binary = source->binary;
    size_t bytes = source->binary_bytes;
    cl_int loaded = CL_SUCCESS;
    cl_program program = dev->cl.program_with_binary(dev->context, 1, &dev->device, &bytes, &binary,
                                                     &loaded, ret_result);
    if (program && (*ret_result != CL_SUCCESS || loaded != CL_SUCCESS)) {
        dev->cl.release_program(program);
        program = NULL;
    }
    return program;
}

/* Builds the program and takes the kernel out of it. */
static skua_status
build(skua__dev *dev, const skua__dev_source *source, bool from_binary, skua__dev_kernel *ret,
      char *log, size_t log_bytes, skua_error *err) {
    cl_int result = CL_SUCCESS;
    ret->program = create(dev, source, from_binary, &result);
    if (!ret->program) {
        return skua__cl_fail(err, result, "hand the kernel's program to the driver");
    }
    result = dev->cl.build_program(ret->program, 1, &dev->device, source->options, NULL, NULL);
    read_log(dev, ret->program, log, log_bytes);
    if (result == CL_SUCCESS) {
        ret->kernel = dev->cl.create_kernel(ret->program, source->entry, &result);
        if (result == CL_SUCCESS) {
            return SKUA_OK;
        }
        ret->kernel = NULL;
    }
    dev->cl.release_program(ret->program);
    ret->program = NULL;
    if (result == CL_INVALID_KERNEL_NAME) {
        return SKUA_FAIL(err, SKUA_E_KERNEL_BUILD, "the source has no kernel named \"%s\"",
                         source->entry);
    }
    if (result == CL_BUILD_PROGRAM_FAILURE || result == CL_COMPILE_PROGRAM_FAILURE ||
        result == CL_LINK_PROGRAM_FAILURE || result == CL_INVALID_BUILD_OPTIONS) {
        char told[TOLD_BYTES];
        snprintf(told, sizeof told, "%s", *log ? log : "the driver gives no reason");
        trim(told);
        return SKUA_FAIL(err, SKUA_E_KERNEL_BUILD, "kernel \"%s\" does not compile: %s",
                         source->entry, told);
    }
    return skua__cl_fail(err, result, "build the kernel");
}

skua_status
skua__cl_kernel_new(skua__dev *dev, const skua__dev_source *source, skua__dev_kernel **ret_kernel,
                    bool *ret_from_binary, char *log, size_t log_bytes, skua_error *err) {
    skua__dev_kernel *kernel = skua__mem_new(dev->hook, sizeof *kernel);
    if (!kernel) {
        return SKUA_FAIL_MEMORY(err, "a kernel");
    }
    bool from_binary = source->binary != NULL;
    skua_status status = SKUA_E_KERNEL_BUILD;
    skua__signals signals;
    skua__signals_save(&signals);
    if (from_binary) {
        status = build(dev, source, true, kernel, log, log_bytes, NULL);
    }
    if (status) {
        from_binary = false;
        status = build(dev, source, false, kernel, log, log_bytes, err);
    }
    skua__signals_restore(&signals);
    if (status) {
        skua__mem_free(dev->hook, kernel);
        return status;
    }
    skua__list_push_back(&dev->kernels, &kernel->link);
    *ret_kernel = kernel;
    *ret_from_binary = from_binary;
    return SKUA_OK;
}

skua_status
skua__cl_kernel_binary(skua__dev *dev, skua__dev_kernel *kernel, void **ret_binary,
                       size_t *ret_bytes, skua_error *err) {
    size_t bytes = 0;
    cl_int result = dev->cl.get_program_info(kernel->program, CL_PROGRAM_BINARY_SIZES, sizeof bytes,
                                             &bytes, NULL);
    if (result != CL_SUCCESS || bytes == 0) {
        return SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "the driver gives no binary of the kernel");
    }
    unsigned char *binary = skua__mem_new(dev->hook, bytes);
    if (!binary) {
        return SKUA_FAIL_MEMORY(err, "a kernel's binary");
    }
    result = dev->cl.get_program_info(kernel->program, CL_PROGRAM_BINARIES, sizeof binary, &binary,
                                      NULL);
    if (result != CL_SUCCESS) {
        skua__mem_free(dev->hook, binary);
        return skua__cl_fail(err, result, "read the kernel's binary");
    }
    *ret_binary = binary;
    *ret_bytes = bytes;
    return SKUA_OK;
}

void
skua__cl_kernel_limits(skua__dev *dev, skua__dev_kernel *kernel, uint64_t *ret_max_group,
                       uint64_t *ret_multiple) {
    size_t max_group = 0, multiple = 0;
    dev->cl.get_group_info(kernel->kernel, dev->device, CL_KERNEL_WORK_GROUP_SIZE, sizeof max_group,
                           &max_group, NULL);
    dev->cl.get_group_info(kernel->kernel, dev->device,
                           CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, sizeof multiple, &multiple,
                           NULL);
    *ret_max_group = max_group ? max_group : 1;
    *ret_multiple = multiple ? multiple : 1;
}

void
skua__cl_kernel_free(skua__dev *dev, skua__dev_kernel *kernel) {
    if (kernel) {
        dev->cl.release_kernel(kernel->kernel);
        dev->cl.release_program(kernel->program);
        skua__list_remove(&kernel->link);
        skua__mem_free(dev->hook, kernel);
    }
}
