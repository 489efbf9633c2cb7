// SPDX-License-Identifier: MPL-2.0
// Commands to an OpenCL device, and how their ends come back. No command waits for an event, ours least of all: a user
// event that fails wedges an in-order queue for good.
#include "cl_dev.h"

#include <sched.h>
#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>

/* The longest that closing a device waits for its driver's threads to let go of events. */
#define DROP_PATIENCE_NS INT64_C(1000000000)

skua_status
skua__cl_status(cl_int result) {
    switch (result) {
    case CL_SUCCESS:
        return SKUA_OK;
    case CL_OUT_OF_HOST_MEMORY:
        return SKUA_E_NO_MEMORY;
    /* Memory is often found only when a command needs it, and then OUT_OF_RESOURCES may be all that one hears. */
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
    case CL_OUT_OF_RESOURCES:
    case CL_INVALID_BUFFER_SIZE:
        return SKUA_E_DEVICE_MEMORY;
    case CL_INVALID_VALUE:
    case CL_INVALID_KERNEL_ARGS:
    case CL_INVALID_ARG_INDEX:
    case CL_INVALID_ARG_VALUE:
    case CL_INVALID_ARG_SIZE:
    case CL_INVALID_WORK_GROUP_SIZE:
    case CL_INVALID_WORK_ITEM_SIZE:
    case CL_INVALID_WORK_DIMENSION:
    case CL_INVALID_GLOBAL_WORK_SIZE:
    case CL_INVALID_HOST_PTR:
    case CL_INVALID_KERNEL_NAME:
    case CL_MISALIGNED_SUB_BUFFER_OFFSET:
        return SKUA_E_BAD_ARGUMENT;
    default:
        return SKUA_E_DEVICE_FAILED;
    }
}

skua_status
skua__cl_fail(skua_error *err, cl_int result, const char *what) {
    return SKUA_FAIL(err, skua__cl_status(result), "cannot %s (OpenCL error %d)", what,
                     (int)result);
}

/* ---- Flights ---- */

static skua__cl_flight *
take_flight(skua__dev *dev, skua__dev_command *command) {
    skua__mutex_lock(&dev->lock);
    skua__list *node = skua__list_pop_front(&dev->spare);
    skua__cl_flight *flight = node ? SKUA_CONTAINER_OF(node, skua__cl_flight, link)
                                   : skua__mem_new(dev->hook, sizeof *flight);
    cl_event old = NULL;
    if (flight) {
        old = flight->event;
        flight->event = NULL;
        flight->dev = dev;
        flight->command = command;
        skua__list_push_back(&dev->flights, &flight->link);
    }
    skua__mutex_unlock(&dev->lock);
    if (old) {
        dev->cl.release_event(old);
    }
    return flight;
}

static void
put_flight_locked(skua__cl_flight *flight) {
    skua__dev *dev = flight->dev;
    skua__list_remove(&flight->link);
    skua__list_push_back(&dev->spare, &flight->link);
    if (skua__list_empty(&dev->flights)) {
        skua__cond_broadcast(&dev->landed);
    }
}

static int64_t
time_of(const skua__cl *cl, cl_event event, cl_profiling_info question) {
    cl_ulong at_ns = 0;
    return cl->get_profiling(event, question, sizeof at_ns, &at_ns, NULL) == CL_SUCCESS
               ? (int64_t)at_ns
               : 0;
}

/* OpenCL says that a command has ended: in a thread of the driver's, or in the one that asked for the call. */
static void CL_CALLBACK
land(cl_event event, cl_int result, void *arg) {
    skua__cl_flight *flight = arg;
    skua__dev *dev = flight->dev;
    int64_t times[4] = {time_of(&dev->cl, event, CL_PROFILING_COMMAND_QUEUED),
                        time_of(&dev->cl, event, CL_PROFILING_COMMAND_SUBMIT),
                        time_of(&dev->cl, event, CL_PROFILING_COMMAND_START),
                        time_of(&dev->cl, event, CL_PROFILING_COMMAND_END)};
    skua__mutex_lock(&dev->lock);
    skua__dev_command *command = flight->command;
    flight->command = NULL;
    flight->event = event;
    skua__mutex_unlock(&dev->lock);
    if (command) {
        command->queued_ns = times[0];
        command->submit_ns = times[1];
        command->start_ns = times[2];
        command->end_ns = times[3];
        command->done(command, result < 0 ? skua__cl_status(result) : SKUA_OK);
    }
    /* Only now: close() frees the device when no flight is left. */
    skua__mutex_lock(&dev->lock);
    put_flight_locked(flight);
    skua__mutex_unlock(&dev->lock);
}

/* Sees to it that the end of the command behind event is told. result is what its call has returned. */
static skua_status
depart(skua__dev *dev, skua__cl_flight *flight, cl_event event, cl_int result, const char *what,
       skua_error *err) {
    if (result != CL_SUCCESS) {
        if (flight) {
            skua__mutex_lock(&dev->lock);
            put_flight_locked(flight);
            skua__mutex_unlock(&dev->lock);
        }
        return skua__cl_fail(err, result, what);
    }
    if (flight && dev->cl.set_event_callback(event, CL_COMPLETE, land, flight) != CL_SUCCESS) {
        /* It is under way and cannot be watched: then it is waited for, which no driver at hand ever needed. */
        dev->cl.finish(dev->queues[SKUA__DEV_COMPUTE]);
        dev->cl.finish(dev->queues[SKUA__DEV_IN]);
        dev->cl.finish(dev->queues[SKUA__DEV_OUT]);
        land(event, CL_COMPLETE, flight);
    }
    return SKUA_OK;
}

bool
skua__cl_land_all(skua__dev *dev, bool abandon) {
    if (!abandon) {
        for (int i = 0; i < SKUA__DEV_QUEUES; i++) {
            dev->cl.finish(dev->queues[i]);
        }
    }
    bool all = true;
    skua__mutex_lock(&dev->lock);
    while (!skua__list_empty(&dev->flights)) {
        if (!abandon) {
            skua__cond_wait(&dev->landed, &dev->lock);
            continue;
        }
        all = false;
        skua__list *node = skua__list_pop_front(&dev->flights);
        skua__cl_flight *flight = SKUA_CONTAINER_OF(node, skua__cl_flight, link);
        skua__dev_command *command = flight->command;
        flight->command = NULL;
        if (command) {
            skua__mutex_unlock(&dev->lock);
            command->done(command, SKUA_E_DEVICE_FAILED);
            skua__mutex_lock(&dev->lock);
        }
    }
    skua__mutex_unlock(&dev->lock);
    return all;
}

/* The references to an event; 0 when the driver does not say. */
static cl_uint
references(const skua__cl *cl, cl_event event) {
    cl_uint count = 0;
    return cl->get_event_info(event, CL_EVENT_REFERENCE_COUNT, sizeof count, &count, NULL) ==
                   CL_SUCCESS
               ? count
               : 0;
}

void
skua__cl_drop_events(skua__dev *dev) {
    /* PoCL's workers still touch an event, and through it the context, after they have told of its end. */
    int64_t deadline_ns = skua__clock_ns() + DROP_PATIENCE_NS;
    SKUA_LIST_EACH(node, &dev->spare) {
        skua__cl_flight *flight = SKUA_CONTAINER_OF(node, skua__cl_flight, link);
        if (!flight->event) {
            continue;
        }
        while (references(&dev->cl, flight->event) > 1 && skua__clock_ns() < deadline_ns) {
            sched_yield();
        }
        dev->cl.release_event(flight->event);
        flight->event = NULL;
    }
}

/* ---- Commands ---- */

/* Begins a command: its flight, if anybody wants to hear of its end. Returns false when there is no memory for it. */
static bool
board(skua__dev *dev, skua__dev_command *command, skua__cl_flight **ret_flight) {
    *ret_flight = command ? take_flight(dev, command) : NULL;
    return !command || *ret_flight;
}

skua_status
skua__cl_write(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem, uint64_t offset,
               const void *host, uint64_t bytes, skua__dev_command *command, skua_error *err) {
    skua__cl_flight *flight;
    if (!board(dev, command, &flight)) {
        return SKUA_FAIL_MEMORY(err, "a copy to the device");
    }
    cl_event event = NULL;
    cl_int result = dev->cl.write_buffer(dev->queues[queue], mem->mem, CL_FALSE, offset, bytes,
                                         host, 0, NULL, flight ? &event : NULL);
    return depart(dev, flight, event, result, "copy to the device", err);
}

skua_status
skua__cl_read(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem, uint64_t offset,
              void *host, uint64_t bytes, skua__dev_command *command, skua_error *err) {
    skua__cl_flight *flight;
    if (!board(dev, command, &flight)) {
        return SKUA_FAIL_MEMORY(err, "a copy from the device");
    }
    cl_event event = NULL;
    cl_int result = dev->cl.read_buffer(dev->queues[queue], mem->mem, CL_FALSE, offset, bytes, host,
                                        0, NULL, flight ? &event : NULL);
    return depart(dev, flight, event, result, "copy from the device", err);
}

skua_status
skua__cl_copy(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *from, uint64_t from_offset,
              skua__dev_mem *to, uint64_t to_offset, uint64_t bytes, skua__dev_command *command,
              skua_error *err) {
    skua__cl_flight *flight;
    if (!board(dev, command, &flight)) {
        return SKUA_FAIL_MEMORY(err, "a copy on the device");
    }
    cl_event event = NULL;
    cl_int result = dev->cl.copy_buffer(dev->queues[queue], from->mem, to->mem, from_offset,
                                        to_offset, bytes, 0, NULL, flight ? &event : NULL);
    return depart(dev, flight, event, result, "copy on the device", err);
}

skua_status
skua__cl_acquire(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem,
                 skua__dev_command *command, skua_error *err) {
    skua__cl_flight *flight;
    if (mem->mapped || mem->kind != SKUA__DEV_MEM_SHARED) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "only shared memory that the device has can be "
                         "acquired for the host");
    }
    if (!board(dev, command, &flight)) {
        return SKUA_FAIL_MEMORY(err, "a turn of shared memory");
    }
    cl_event event = NULL;
    cl_int result = CL_SUCCESS;
    dev->cl.map_buffer(dev->queues[queue], mem->mem, CL_FALSE, CL_MAP_READ | CL_MAP_WRITE, 0,
                       mem->bytes, 0, NULL, flight ? &event : NULL, &result);
    mem->mapped = result == CL_SUCCESS;
    return depart(dev, flight, event, result, "give shared memory to the host", err);
}

skua_status
skua__cl_release(skua__dev *dev, skua__dev_queue queue, skua__dev_mem *mem,
                 skua__dev_command *command, skua_error *err) {
    skua__cl_flight *flight;
    if (!mem->mapped || mem->kind != SKUA__DEV_MEM_SHARED) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "only shared memory that the host has can be "
                         "released to the device");
    }
    if (!board(dev, command, &flight)) {
        return SKUA_FAIL_MEMORY(err, "a turn of shared memory");
    }
    cl_event event = NULL;
    cl_int result =
        dev->cl.unmap(dev->queues[queue], mem->mem, mem->host, 0, NULL, flight ? &event : NULL);
    mem->mapped = result != CL_SUCCESS;
    return depart(dev, flight, event, result, "give shared memory to the device", err);
}

void
skua__cl_unmap(skua__dev *dev, skua__dev_mem *mem) {
    skua__cl_flight *flight = take_flight(dev, NULL);
    cl_event event = NULL;
    cl_int result = dev->cl.unmap(dev->queues[SKUA__DEV_IN], mem->mem, mem->host, 0, NULL,
                                  flight ? &event : NULL);
    mem->mapped = false;
    depart(dev, flight, event, result, "unmap memory", NULL);
}

static cl_int
set_args(skua__dev *dev, cl_kernel kernel, const skua__dev_arg *args, uint32_t count) {
    cl_int result = CL_SUCCESS;
    for (uint32_t i = 0; i < count && result == CL_SUCCESS; i++) {
        switch (args[i].kind) {
        case SKUA__DEV_ARG_MEM:
            result = dev->cl.set_kernel_arg(kernel, i, sizeof(cl_mem), &args[i].mem->mem);
            break;
        case SKUA__DEV_ARG_VALUE:
            result = dev->cl.set_kernel_arg(kernel, i, args[i].bytes, args[i].value);
            break;
        case SKUA__DEV_ARG_LOCAL:
            result = dev->cl.set_kernel_arg(kernel, i, args[i].bytes, NULL);
            break;
        }
    }
    return result;
}

skua_status
skua__cl_launch(skua__dev *dev, skua__dev_kernel *kernel, const skua__dev_arg *args,
                uint32_t arg_count, const skua__dev_range *range, skua__dev_command *command,
                skua_error *err) {
    cl_int result = set_args(dev, kernel->kernel, args, arg_count);
    if (result != CL_SUCCESS) {
        return skua__cl_fail(err, result, "set the arguments of the kernel");
    }
    skua__cl_flight *flight;
    if (!board(dev, command, &flight)) {
        return SKUA_FAIL_MEMORY(err, "a launch");
    }
    size_t global[3], local[3], first[3] = {range->first, 0, 0};
    for (int i = 0; i < 3; i++) {
        global[i] = range->global[i];
        local[i] = range->local[i];
    }
    cl_event event = NULL;
    /* Always with a local size: left to itself, PoCL runs a prime global size 25 times slower. */
    result = dev->cl.enqueue_kernel(dev->queues[SKUA__DEV_COMPUTE], kernel->kernel, range->dims,
                                    range->first ? first : NULL, global, local, 0, NULL,
                                    flight ? &event : NULL);
    return depart(dev, flight, event, result, "launch the kernel", err);
}

void
skua__cl_flush(skua__dev *dev, skua__dev_queue queue) {
    dev->cl.flush(dev->queues[queue]);
}
