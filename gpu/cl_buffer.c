// SPDX-License-Identifier: MPL-2.0
// Memory of an OpenCL device: its own, pinned memory of the host, and memory of the host that it uses in place.
#include "cl_dev.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>

static skua__dev_mem *
adopt(skua__dev *dev, cl_mem object, skua__dev_mem_kind kind, uint64_t bytes, void *host) {
    skua__dev_mem *mem = skua__mem_new(dev->hook, sizeof *mem);
    if (!mem) {
        dev->cl.release_mem(object);
        return NULL;
    }
    *mem = (skua__dev_mem){.kind = kind, .mem = object, .bytes = bytes, .host = host};
    skua__list_push_back(&dev->mems, &mem->link);
    return mem;
}

/*
 * Maps pinned memory once and for all: its address is where copies start and end. In a queue of its own, since the call waits
 * for all that lies in its queue before it.
 */
static skua_status
pin(skua__dev *dev, skua__dev_mem *mem, skua_error *err) {
    cl_int result = CL_SUCCESS;
    cl_command_queue queue = dev->cl.create_queue(dev->context, dev->device, 0, &result);
    if (result == CL_SUCCESS) {
        mem->host = dev->cl.map_buffer(queue, mem->mem, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                                       mem->bytes, 0, NULL, NULL, &result);
        mem->mapped = result == CL_SUCCESS;
        dev->cl.release_queue(queue);
    }
    return result == CL_SUCCESS ? SKUA_OK : skua__cl_fail(err, result, "map pinned memory");
}

skua_status
skua__cl_mem_new(skua__dev *dev, skua__dev_mem_kind kind, uint64_t bytes, void *host,
                 skua__dev_mem **ret_mem, skua_error *err) {
    cl_mem_flags flags = CL_MEM_READ_WRITE;
    flags |= kind == SKUA__DEV_MEM_PINNED   ? CL_MEM_ALLOC_HOST_PTR
             : kind == SKUA__DEV_MEM_SHARED ? CL_MEM_USE_HOST_PTR
                                            : 0;
    cl_int result = CL_SUCCESS;
    cl_mem object = dev->cl.create_buffer(dev->context, flags, bytes,
                                          kind == SKUA__DEV_MEM_SHARED ? host : NULL, &result);
    if (result != CL_SUCCESS) {
        return skua__cl_fail(err, result, "allocate memory of the device");
    }
    skua__dev_mem *mem = adopt(dev, object, kind, bytes, host);
    if (!mem) {
        return SKUA_FAIL_MEMORY(err, "a buffer of the device");
    }
    if (kind == SKUA__DEV_MEM_PINNED) {
        skua_status status = pin(dev, mem, err);
        if (status) {
            skua__cl_mem_free(dev, mem);
            return status;
        }
    }
    *ret_mem = mem;
    return SKUA_OK;
}

skua_status
skua__cl_mem_part(skua__dev *dev, skua__dev_mem *whole, uint64_t offset, uint64_t bytes,
                  skua__dev_mem **ret_mem, skua_error *err) {
    cl_buffer_region region = {.origin = offset, .size = bytes};
    cl_int result = CL_SUCCESS;
    cl_mem object = dev->cl.create_sub_buffer(whole->mem, CL_MEM_READ_WRITE,
                                              CL_BUFFER_CREATE_TYPE_REGION, &region, &result);
    if (result != CL_SUCCESS) {
        return skua__cl_fail(err, result, "make a part of memory of the device");
    }
    *ret_mem = adopt(dev, object, SKUA__DEV_MEM_DEVICE, bytes, NULL);
    return *ret_mem ? SKUA_OK : SKUA_FAIL_MEMORY(err, "a buffer of the device");
}

void *
skua__cl_mem_host(skua__dev *dev, skua__dev_mem *mem) {
    (void)dev;
    return mem->kind == SKUA__DEV_MEM_PINNED ? mem->host : NULL;
}

void
skua__cl_mem_free(skua__dev *dev, skua__dev_mem *mem) {
    if (!mem) {
        return;
    }
    if (mem->mapped) {
        skua__cl_unmap(dev, mem);
    }
    dev->cl.release_mem(mem->mem);
    skua__list_remove(&mem->link);
    skua__mem_free(dev->hook, mem);
}

skua_status
skua__cl_host_copy(skua__dev *dev, void *to, const void *from, uint64_t bytes,
                   skua__dev_command *command, skua_error *err) {
    (void)err;
    skua__copiers_copy(dev->copiers, to, from, bytes, command);
    return SKUA_OK;
}

uint32_t
skua__cl_host_copiers(skua__dev *dev) {
    if (!dev->copiers && skua__copiers_new(dev->hook, &dev->copiers, NULL)) {
        return 0;
    }
    return skua__copiers_count();
}
