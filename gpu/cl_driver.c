// SPDX-License-Identifier: MPL-2.0
// Opens an OpenCL device in this process: finds the one that was described, keeps the program's signal handlers, and
// makes its context and queues.
#include "cl_dev.h"
#include "describe.h"
#include "signals.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <string.h>

/* The device that was described so, the ordinal-th of its equals; NULL: none any more. */
static cl_device_id
find_device(const skua__cl *cl, const skua_device_info *info, uint32_t ordinal) {
    cl_platform_id platforms[SKUA__CL_PLATFORMS_MAX];
    cl_uint platform_count = 0;
    if (cl->get_platform_ids(SKUA__CL_PLATFORMS_MAX, platforms, &platform_count) != CL_SUCCESS) {
        return NULL;
    }
    for (cl_uint p = 0; p < platform_count && p < SKUA__CL_PLATFORMS_MAX; p++) {
        cl_device_id ids[SKUA_DEVICES_MAX];
        cl_uint count = 0;
        if (cl->get_device_ids(platforms[p], CL_DEVICE_TYPE_ALL, SKUA_DEVICES_MAX, ids, &count) !=
            CL_SUCCESS) {
            continue;
        }
        for (cl_uint i = 0; i < count && i < SKUA_DEVICES_MAX; i++) {
            skua_device_info found;
            skua__cl_describe_device(cl, platforms[p], ids[i], &found);
            if (skua__device_same(&found, info) && ordinal-- == 0) {
                return ids[i];
            }
        }
    }
    return NULL;
}

/*
 * A CPU device competes with the executor for the cores: it is given only half of them, at least one. A driver that
 * cannot divide its device gives the whole.
 */
static void
confine(skua__dev *dev, const skua_device_info *info) {
    cl_uint units = info->units / 2;
    if (info->kind != SKUA_DEVICE_CPU || units == 0) {
        return;
    }
    const cl_device_partition_property properties[] = {CL_DEVICE_PARTITION_BY_COUNTS,
                                                       (cl_device_partition_property)units,
                                                       CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id part = NULL;
    if (dev->cl.create_sub_devices(dev->device, properties, 1, &part, NULL) == CL_SUCCESS) {
        dev->device = part;
        dev->is_part = true;
    }
}

static skua_status
make_context(skua__dev *dev, skua_error *err) {
    cl_int result = CL_SUCCESS;
    dev->context = dev->cl.create_context(NULL, 1, &dev->device, NULL, NULL, &result);
    if (result != CL_SUCCESS) {
        dev->context = NULL;
        return skua__cl_fail(err, result, "make a context on the device");
    }
    for (int i = 0; i < SKUA__DEV_QUEUES; i++) {
        dev->queues[i] =
            dev->cl.create_queue(dev->context, dev->device, CL_QUEUE_PROFILING_ENABLE, &result);
        if (result != CL_SUCCESS) {
            dev->queues[i] = NULL;
            return skua__cl_fail(err, result, "make a queue on the device");
        }
    }
    return SKUA_OK;
}

static void
free_lists(skua__dev *dev) {
    while (!skua__list_empty(&dev->kernels)) {
        skua__cl_kernel_free(dev, SKUA_CONTAINER_OF(dev->kernels.next, skua__dev_kernel, link));
    }
    /* Newest first: parts end before the whole. */
    while (!skua__list_empty(&dev->mems)) {
        skua__cl_mem_free(dev, SKUA_CONTAINER_OF(dev->mems.prev, skua__dev_mem, link));
    }
}

static void
cl_close(skua__dev *dev, bool abandon) {
    if (!dev) {
        return;
    }
    dev->copiers = skua__copiers_free(dev->copiers, abandon); /* they use pinned memory */
    bool whole = dev->queues[SKUA__DEV_QUEUES - 1] != NULL;
    if (whole && !skua__cl_land_all(dev, abandon)) {
        return; /* what hangs still uses all of it: it is left to the end of the process */
    }
    free_lists(dev);
    if (whole) {
        skua__cl_land_all(dev, false); /* freeing mapped memory is a command too */
        skua__cl_drop_events(dev);
    }
    for (skua__list *node; (node = skua__list_pop_front(&dev->spare)) != NULL;) {
        skua__mem_free(dev->hook, SKUA_CONTAINER_OF(node, skua__cl_flight, link));
    }
    for (int i = 0; i < SKUA__DEV_QUEUES; i++) {
        if (dev->queues[i]) {
            dev->cl.release_queue(dev->queues[i]);
        }
    }
    if (dev->context) {
        dev->cl.release_context(dev->context);
    }
    if (dev->is_part) {
        dev->cl.release_device(dev->device);
    }
    skua__cl_forget(&dev->cl);
    skua__cond_fini(&dev->landed);
    skua__mutex_fini(&dev->lock);
    skua__mem_free(dev->hook, dev);
}

static skua_status
start(skua__dev *dev, const skua_device_info *info, uint32_t ordinal, skua_error *err) {
    if (!skua__cl_load(&dev->cl)) {
        return SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "libOpenCL.so.1 cannot be loaded");
    }
    dev->device = find_device(&dev->cl, info, ordinal);
    if (!dev->device) {
        return SKUA_FAIL(err, SKUA_E_NOT_FOUND, "the device \"%s\" of %s is not there any more",
                         info->name, info->platform);
    }
    confine(dev, info);
    return make_context(dev, err);
}

static skua_status
cl_open(void *ctx, const skua_device_info *info, uint32_t ordinal, const skua_allocator *hook,
        skua__dev **ret_dev, skua_error *err) {
    (void)ctx;
    skua__dev *dev = skua__mem_new(hook, sizeof *dev);
    if (!dev) {
        return SKUA_FAIL_MEMORY(err, "a device");
    }
    dev->hook = hook;
    skua__mutex_init(&dev->lock);
    skua__cond_init(&dev->landed);
    skua__list_init(&dev->mems);
    skua__list_init(&dev->kernels);
    skua__list_init(&dev->flights);
    skua__list_init(&dev->spare);
    /* PoCL replaces 15 signal handlers when it is asked for its devices: the program's come back afterwards. */
    skua__signals signals;
    skua__signals_save(&signals);
    skua_status status = start(dev, info, ordinal, err);
    skua__signals_restore(&signals);
    if (status) {
        cl_close(dev, false);
        return status;
    }
    *ret_dev = dev;
    return SKUA_OK;
}

const skua__device_driver *
skua__cl_driver(void) {
    static const skua__device_driver driver = {
        .version = SKUA__DEVICE_DRIVER_VERSION,
        .kind = "opencl",
        .open = cl_open,
        .close = cl_close,
        .mem_new = skua__cl_mem_new,
        .mem_part = skua__cl_mem_part,
        .mem_host = skua__cl_mem_host,
        .mem_free = skua__cl_mem_free,
        .kernel_new = skua__cl_kernel_new,
        .kernel_binary = skua__cl_kernel_binary,
        .kernel_limits = skua__cl_kernel_limits,
        .kernel_free = skua__cl_kernel_free,
        .write = skua__cl_write,
        .read = skua__cl_read,
        .copy = skua__cl_copy,
        .host_copy = skua__cl_host_copy,
        .host_copiers = skua__cl_host_copiers,
        .acquire = skua__cl_acquire,
        .release = skua__cl_release,
        .launch = skua__cl_launch,
        .flush = skua__cl_flush,
    };
    return &driver;
}
