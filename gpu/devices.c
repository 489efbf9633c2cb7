// SPDX-License-Identifier: MPL-2.0
// The list of devices that a program holds: from the kept description, or from a fresh look at the drivers.
#include "describe.h"

#include <skua-int/fail.h>
#include <skua-int/launch.h>
#include <skua-int/mem.h>
#include <skua-int/thread.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_PROBE_TIMEOUT_MS = 10000 };

struct skua_devices {
    const skua_allocator *hook;
    skua__device_list list;
    char *cache_dir;                /* NULL: nothing is kept */
    int64_t hang_ms, quarantine_ms; /* of engines to be opened; 0: their defaults */
    skua__mutex
        lock; /* guards engines; an engine is opened with it held, so that it is opened once */
    skua__engine *engines[SKUA_DEVICES_MAX];
    skua__track *tracks[SKUA_DEVICES_MAX]; /* of an engine that was opened */
    /* Of a device that was added; NULL: OpenCL's. */
    const skua__device_driver *drivers[SKUA_DEVICES_MAX];
    void *driver_ctxs[SKUA_DEVICES_MAX];
    skua__buffers *buffers;
};

void
skua_devices_options_init(skua_devices_options *options, size_t size) {
    memset(options, 0, size);
    memcpy(options, &size, sizeof size);
}

/* Fills list from the disk or from the drivers. Only devices are kept: a driver that hung or had none may do better next time. */
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
    if (status == SKUA_OK && answered && keeps && list->count) {
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
    skua__mutex_init(&devices->lock);
    char dir[4096];
    skua_status status = SKUA_OK;
    if (skua__device_cache_dir(read.cache_dir, dir, sizeof dir)) {
        devices->cache_dir = skua__mem_strdup(devices->hook, dir);
        status = devices->cache_dir ? SKUA_OK : SKUA_FAIL_MEMORY(err, "the name of a folder");
    }
    if (status == SKUA_OK) {
        status = skua__buffers_new(devices->hook, devices, &devices->buffers, err);
    }
    if (status == SKUA_OK) {
        status = look(&devices->list, &read, err);
    }
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
        for (size_t i = 0; i < SKUA_DEVICES_MAX; i++) {
            skua__engine_close(devices->engines[i]);
            skua__track_unref(devices->tracks[i]);
        }
        skua__buffers_close(devices->buffers);
        skua__mutex_fini(&devices->lock);
        skua__mem_free(devices->hook, devices->cache_dir);
        skua__mem_free(devices->hook, devices);
    }
    return NULL;
}

skua__buffers *
skua__devices_buffers(const skua_devices *devices) {
    return devices->buffers;
}

skua_status
skua__devices_add(skua_devices *devices, const skua__device_driver *driver, void *driver_ctx,
                  const skua_device_info *info) {
    uint32_t i = devices->list.count;
    if (i == SKUA_DEVICES_MAX) {
        return SKUA_E_LIMIT;
    }
    devices->list.devices[i] = *info;
    devices->drivers[i] = driver;
    devices->driver_ctxs[i] = driver_ctx;
    devices->list.count++;
    return SKUA_OK;
}

void
skua__devices_set_patience(skua_devices *devices, int64_t hang_ms, int64_t quarantine_ms) {
    devices->hang_ms = hang_ms;
    devices->quarantine_ms = quarantine_ms;
}

const char *
skua__devices_cache_dir(const skua_devices *devices) {
    return devices ? devices->cache_dir : NULL;
}

/* Which of the devices that nothing tells apart this one is. */
static uint32_t
ordinal_of(const skua_devices *devices, size_t i) {
    uint32_t ordinal = 0;
    for (size_t before = 0; before < i; before++) {
        ordinal += skua__device_same(&devices->list.devices[before], &devices->list.devices[i]);
    }
    return ordinal;
}

static skua__track *
new_track(const skua_allocator *hook, size_t i, const skua_device_info *info) {
    char name[SKUA__TRACK_NAME_BYTES];
    snprintf(name, sizeof name, "device %zu: %.40s", i, info->name);
    return skua__track_new(hook, name, skua__engine_rows, SKUA__DEV_QUEUES);
}

skua_status
skua__devices_trace(skua_devices *devices, size_t i, skua_exec *exec, skua_error *err) {
    skua__mutex_lock(&devices->lock);
    skua__track *track = devices->tracks[i];
    skua__mutex_unlock(&devices->lock);
    return skua__exec_add_track(exec, track, err);
}

skua_status
skua__devices_engine(skua_devices *devices, size_t i, skua__engine **ret_engine, skua_error *err) {
    if (i >= devices->list.count) {
        return SKUA_FAIL(err, SKUA_E_NOT_FOUND, "there is no device %zu; %u were found", i,
                         devices->list.count);
    }
    const skua_device_info *info = &devices->list.devices[i];
    if (!info->usable) {
        return SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "device \"%s\" is listed only: %s", info->name,
                         info->kind == SKUA_DEVICE_CPU ? "the option cpu_devices is not set"
                                                       : "it has no compiler");
    }
    skua__engine_options options = {
        .hook = devices->hook,
        .driver = devices->drivers[i] ? devices->drivers[i] : skua__cl_driver(),
        .driver_ctx = devices->driver_ctxs[i],
        .info = info,
        .ordinal = ordinal_of(devices, i),
        .device = (uint32_t)i,
        .cache_dir = devices->cache_dir,
        .hang_ms = devices->hang_ms,
        .quarantine_ms = devices->quarantine_ms,
    };
    skua_status status = SKUA_OK;
    skua__mutex_lock(&devices->lock);
    if (!devices->tracks[i]) {
        devices->tracks[i] = new_track(devices->hook, i, info);
        status = devices->tracks[i] ? SKUA_OK : SKUA_FAIL_MEMORY(err, "a device's trace");
    }
    options.track = devices->tracks[i];
    if (!status && !devices->engines[i]) {
        status = skua__engine_open(&devices->engines[i], &options, err);
    }
    if (status == SKUA_OK) {
        *ret_engine = devices->engines[i];
    }
    skua__mutex_unlock(&devices->lock);
    return status;
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
