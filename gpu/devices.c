// SPDX-License-Identifier: MPL-2.0
// The list of devices that a program holds: from the kept description, or from a fresh look at the drivers.
#include "describe.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_PROBE_TIMEOUT_MS = 10000 };

struct skua_devices {
    const skua_allocator *hook;
    skua__device_list list;
};

void
skua_devices_options_init(skua_devices_options *options, size_t size) {
    memset(options, 0, size);
    memcpy(options, &size, sizeof size);
}

/* Fills list from the disk or from the drivers. Only an answer is kept: a driver that hung may do better next time. */
static skua_status
look(skua__device_list *list, const skua_devices_options *options, skua_error *err) {
    skua__device_sources sources = skua__device_sources_of_machine();
    if (!skua__device_driver_installed(&sources)) {
        snprintf(list->reason, sizeof list->reason, "no OpenCL driver is installed");
        return SKUA_OK;
    }
    uint64_t fingerprint = skua__device_fingerprint(&sources);
    char dir[4096];
    bool keeps = skua__device_cache_dir(options->cache_dir, dir, sizeof dir);
    if (keeps && skua__device_cache_load(dir, fingerprint, list)) {
        return SKUA_OK;
    }
    bool answered;
    int64_t timeout_ms =
        options->probe_timeout_ms > 0 ? options->probe_timeout_ms : DEFAULT_PROBE_TIMEOUT_MS;
    skua_status status = skua__device_probe(list, skua__cl_describe, timeout_ms, &answered, err);
    if (status == SKUA_OK && answered && keeps) {
        skua__device_cache_save(dir, fingerprint, list);
    }
    return status;
}

skua_status
skua_devices_open(skua_devices **ret_devices, const skua_devices_options *options,
                  skua_error *err) {
    skua_devices_options read;
    if (!ret_devices || !SKUA_READ_OPTIONS(&read, options)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_devices_open needs ret_devices, and options with their size set");
    }
    skua_devices *devices = skua__mem_new(read.allocator, sizeof *devices);
    if (!devices) {
        return SKUA_FAIL_MEMORY(err, "the list of devices");
    }
    devices->hook = read.allocator;
    skua_status status = look(&devices->list, &read, err);
    if (status) {
        skua_devices_close(devices);
        return status;
    }
    for (uint32_t i = 0; i < devices->list.count; i++) {
        skua_device_info *device = &devices->list.devices[i];
        if (device->kind == SKUA_DEVICE_CPU && !read.cpu_devices) {
            device->usable = 0;
        }
    }
    *ret_devices = devices;
    return SKUA_OK;
}

skua_devices *
skua_devices_close(skua_devices *devices) {
    if (devices) {
        skua__mem_free(devices->hook, devices);
    }
    return NULL;
}

size_t
skua_devices_count(const skua_devices *devices) {
    return devices ? devices->list.count : 0;
}

skua_status
skua_devices_at(const skua_devices *devices, size_t i, skua_device_info *ret_info,
                skua_error *err) {
    if (!devices || !ret_info || ret_info->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_devices_at needs devices, and ret_info with its size set");
    }
    if (i >= devices->list.count) {
        return SKUA_FAIL(err, SKUA_E_NOT_FOUND, "there is no device %zu; %u were found", i,
                         devices->list.count);
    }
    size_t size = ret_info->size < sizeof *ret_info ? ret_info->size : sizeof *ret_info;
    memcpy((char *)ret_info + sizeof(size_t),
           (const char *)&devices->list.devices[i] + sizeof(size_t), size - sizeof(size_t));
    return SKUA_OK;
}

const char *
skua_devices_reason(const skua_devices *devices) {
    return devices->list.reason;
}

const char *
skua_device_kind_text(int32_t kind) {
    switch (kind) {
    case SKUA_DEVICE_DISCRETE:
        return "discrete";
    case SKUA_DEVICE_INTEGRATED:
        return "integrated";
    case SKUA_DEVICE_ACCELERATOR:
        return "accelerator";
    case SKUA_DEVICE_CPU:
        return "cpu";
    default:
        return "unknown";
    }
}
