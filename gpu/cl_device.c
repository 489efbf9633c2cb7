// SPDX-License-Identifier: MPL-2.0
// Describes every device that OpenCL shows. It runs in a child process (device_probe.c), where a driver may crash.
#include "cl_load.h"
#include "describe.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEVICES_OF_PLATFORM_MAX = SKUA_DEVICES_MAX };

/* A value of fixed size; it stays as it is when the driver does not know the question. */
static bool
ask(const skua__cl *cl, cl_device_id device, cl_device_info question, void *ret, size_t size) {
    return cl->get_device_info(device, question, size, ret, NULL) == CL_SUCCESS;
}

/* Copies text without the spaces at its ends, which drivers love, and without control characters. */
static void
tidy(char *ret, size_t capacity, const char *text) {
    while (isspace((unsigned char)*text)) {
        text++;
    }
    size_t used = 0;
    for (; *text && used + 1 < capacity; text++) {
        ret[used++] = iscntrl((unsigned char)*text) ? ' ' : *text;
    }
    while (used && isspace((unsigned char)ret[used - 1])) {
        used--;
    }
    ret[used] = 0;
}

static void
ask_text(const skua__cl *cl, cl_device_id device, cl_device_info question, char *ret,
         size_t capacity) {
    char raw[1024];
    size_t size = 0;
    ret[0] = 0;
    if (cl->get_device_info(device, question, sizeof raw, raw, &size) == CL_SUCCESS && size) {
        raw[(size < sizeof raw ? size : sizeof raw) - 1] = 0;
        tidy(ret, capacity, raw);
    }
}

static int32_t
kind_of(cl_device_type type, bool unified) {
    if (type & CL_DEVICE_TYPE_CPU) {
        return SKUA_DEVICE_CPU;
    }
    if (type & CL_DEVICE_TYPE_GPU) {
        return unified ? SKUA_DEVICE_INTEGRATED : SKUA_DEVICE_DISCRETE;
    }
    return SKUA_DEVICE_ACCELERATOR;
}

/* The NUMA node that the system gives the device's PCI address, or -1. */
static int32_t
numa_of(const skua__cl *cl, cl_device_id device) {
    cl_device_pci_bus_info_khr pci;
    if (!ask(cl, device, CL_DEVICE_PCI_BUS_INFO_KHR, &pci, sizeof pci)) {
        return -1;
    }
    char path[96];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%04x:%02x:%02x.%x/numa_node", pci.pci_domain,
             pci.pci_bus, pci.pci_device, pci.pci_function);
    FILE *file = fopen(path, "re");
    if (!file) {
        return -1;
    }
    int numa = -1;
    if (fscanf(file, "%d", &numa) != 1) {
        numa = -1;
    }
    fclose(file);
    return numa;
}

static void
ask_platform(const skua__cl *cl, cl_platform_id platform, char *ret, size_t capacity) {
    char raw[1024] = "";
    cl->get_platform_info(platform, CL_PLATFORM_NAME, sizeof raw - 1, raw, NULL);
    tidy(ret, capacity, raw);
}

void
skua__cl_describe_device(const skua__cl *cl, cl_platform_id platform, cl_device_id device,
                         skua_device_info *ret) {
    cl_device_type type = 0;
    cl_bool unified = CL_FALSE, has_compiler = CL_FALSE;
    cl_uint units = 0, clock_mhz = 0, align_bits = 0;
    cl_ulong memory = 0, max_buffer = 0, local = 0;
    cl_device_fp_config fp64 = 0;
    size_t max_group = 0;
    ask(cl, device, CL_DEVICE_TYPE, &type, sizeof type);
    ask(cl, device, CL_DEVICE_HOST_UNIFIED_MEMORY, &unified, sizeof unified);
    ask(cl, device, CL_DEVICE_COMPILER_AVAILABLE, &has_compiler, sizeof has_compiler);
    ask(cl, device, CL_DEVICE_MAX_COMPUTE_UNITS, &units, sizeof units);
    ask(cl, device, CL_DEVICE_MAX_CLOCK_FREQUENCY, &clock_mhz, sizeof clock_mhz);
    ask(cl, device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, &align_bits, sizeof align_bits);
    ask(cl, device, CL_DEVICE_GLOBAL_MEM_SIZE, &memory, sizeof memory);
    ask(cl, device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, &max_buffer, sizeof max_buffer);
    ask(cl, device, CL_DEVICE_LOCAL_MEM_SIZE, &local, sizeof local);
    ask(cl, device, CL_DEVICE_DOUBLE_FP_CONFIG, &fp64, sizeof fp64);
    ask(cl, device, CL_DEVICE_MAX_WORK_GROUP_SIZE, &max_group, sizeof max_group);

    *ret = (skua_device_info){.size = sizeof *ret,
                              .kind = kind_of(type, unified),
                              .usable = has_compiler ? 1 : 0,
                              .unified = unified ? 1 : 0,
                              .has_fp64 = fp64 ? 1 : 0,
                              .units = units,
                              .clock_mhz = clock_mhz,
                              .numa = numa_of(cl, device),
                              .align_bytes = align_bits / 8, /* the driver says it in bits */
                              .memory_bytes = memory,
                              .max_buffer_bytes = max_buffer,
                              .local_bytes = local,
                              .max_group = max_group};
    ret->has_uuid = ask(cl, device, CL_DEVICE_UUID_KHR, &ret->uuid, sizeof ret->uuid) ? 1 : 0;
    ask_platform(cl, platform, ret->platform, sizeof ret->platform);
    ask_text(cl, device, CL_DEVICE_NAME, ret->name, sizeof ret->name);
    ask_text(cl, device, CL_DEVICE_VENDOR, ret->vendor, sizeof ret->vendor);
    ask_text(cl, device, CL_DRIVER_VERSION, ret->driver, sizeof ret->driver);
    ask_text(cl, device, CL_DEVICE_VERSION, ret->version, sizeof ret->version);
}

static void
describe_platform(const skua__cl *cl, cl_platform_id platform, skua__device_list *list) {
    cl_device_id ids[DEVICES_OF_PLATFORM_MAX];
    cl_uint found = 0;
    if (cl->get_device_ids(platform, CL_DEVICE_TYPE_ALL, DEVICES_OF_PLATFORM_MAX, ids, &found) !=
        CL_SUCCESS) {
        return;
    }
    for (cl_uint i = 0; i < found; i++) {
        if (i >= DEVICES_OF_PLATFORM_MAX || list->count == SKUA_DEVICES_MAX) {
            list->left_out++;
            continue;
        }
        skua__cl_describe_device(cl, platform, ids[i], &list->devices[list->count++]);
    }
}

/* Discrete first, CPUs last; among equals as OpenCL lists them, which the index of the copy keeps. */
static int
compare_devices(const void *a, const void *b) {
    const skua_device_info *left = a, *right = b;
    if (left->kind != right->kind) {
        return left->kind < right->kind ? -1 : 1;
    }
    uint64_t left_power = (uint64_t)left->units * left->clock_mhz;
    uint64_t right_power = (uint64_t)right->units * right->clock_mhz;
    if (left_power != right_power) {
        return left_power > right_power ? -1 : 1;
    }
    return strcmp(left->name, right->name);
}

/* PoCL shows no device, and says nothing, where it cannot write to its cache. Returns whether that may be why. */
static bool
tell_unwritable(skua__device_list *list) {
    static const char *const variables[] = {"POCL_CACHE_DIR", "XDG_CACHE_HOME"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *folder = getenv(variables[i]);
        /* One that is not there may be made. */
        if (folder && *folder && access(folder, W_OK) != 0 && errno != ENOENT) {
            snprintf(list->reason, sizeof list->reason,
                     "OpenCL shows no device: PoCL cannot write to %s=%.60s", variables[i], folder);
            return true;
        }
    }
    return false;
}

void
skua__cl_describe(skua__device_list *ret_list) {
    memset(ret_list, 0, sizeof *ret_list);
    skua__cl cl;
    if (!skua__cl_load(&cl)) {
        snprintf(ret_list->reason, sizeof ret_list->reason, "libOpenCL.so.1 is not installed");
        return;
    }
    cl_platform_id platforms[SKUA__CL_PLATFORMS_MAX];
    cl_uint found = 0;
    cl_int status = cl.get_platform_ids(SKUA__CL_PLATFORMS_MAX, platforms, &found);
    for (cl_uint i = 0; status == CL_SUCCESS && i < found && i < SKUA__CL_PLATFORMS_MAX; i++) {
        describe_platform(&cl, platforms[i], ret_list);
    }
    qsort(ret_list->devices, ret_list->count, sizeof ret_list->devices[0], compare_devices);
    if (ret_list->count) {
        snprintf(ret_list->reason, sizeof ret_list->reason, "%u device%s", ret_list->count,
                 ret_list->count == 1 ? "" : "s");
    } else if (!tell_unwritable(ret_list)) {
        snprintf(ret_list->reason, sizeof ret_list->reason,
                 "OpenCL is installed, but shows no device (status %d)", (int)status);
    }
    skua__cl_forget(&cl);
}
