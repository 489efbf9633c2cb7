// SPDX-License-Identifier: MPL-2.0
// The inside of the fake device: its hardware, devices and commands. For gpu/fake_*.c alone.
#ifndef SKUA_GPU_FAKE_PRIV_H
#define SKUA_GPU_FAKE_PRIV_H

#include <skua-int/fake_device.h>
#include <skua-int/hash.h>
#include <skua-int/list.h>
#include <skua-int/mem.h>
#include <skua-int/thread.h>

enum {
    SKUA__FAKE_ARGS_MAX = SKUA_KERNEL_MAX_PARAMS + SKUA__KERNEL_SIZE_ARGS,
    SKUA__FAKE_HOST = SKUA__DEV_QUEUES, /* the queue of host copies */
    SKUA__FAKE_QUEUES = SKUA__DEV_QUEUES + 1,
};

typedef enum skua__fake_kind {
    SKUA__FAKE_WRITE,
    SKUA__FAKE_READ,
    SKUA__FAKE_COPY,
    SKUA__FAKE_HOST_COPY,
    SKUA__FAKE_ACQUIRE,
    SKUA__FAKE_RELEASE,
    SKUA__FAKE_LAUNCH,
} skua__fake_kind;

struct skua__dev_mem {
    skua__list link; /* in dev->memories */
    skua__dev_mem_kind kind;
    skua__dev_mem *whole; /* of a part */
    uint32_t parts, uses; /* parts alive; commands under way */
    bool counted;         /* against the device's memory */
    bool host_has_it;     /* SHARED: between acquire and release */
    uint64_t bytes;
    uint8_t *at;
};

struct skua__dev_kernel {
    skua__list link; /* in dev->kernels */
    const skua__fake_entry *entry;
    uint32_t sum; /* of the source's text: what its binary fits */
    uint32_t uses;
};

/* One command; copied onto the heap when it is submitted. */
typedef struct skua__fake_command {
    skua__list link; /* in its queue */
    skua__fake_kind kind;
    skua__dev_command *command;          /* NULL: nobody is told */
    int64_t queued_ns, start_ns, end_ns; /* SKUA_NEVER_NS: it hangs */
    skua_status status;                  /* with which it will end */
    bool loses;                          /* the device is lost when it ends */
    skua__dev_mem *from, *to;
    skua__dev_mem *pinned; /* that source or target is in */
    uint64_t from_offset, to_offset, bytes;
    const void *source;
    void *target;
    skua__dev_kernel *kernel;
    skua__dev_range range;
    const skua__dev_arg *given_args; /* borrowed by the submitting call */
    uint32_t arg_count;
    skua__dev_arg args[SKUA__FAKE_ARGS_MAX];
    uint8_t values[SKUA__FAKE_ARGS_MAX][SKUA_KERNEL_MAX_VALUE_BYTES];
} skua__fake_command;

typedef struct skua__fake_queue {
    skua__list commands;
    int64_t free_ns; /* when its last command ends */
} skua__fake_queue;

struct skua__dev {
    skua__list link; /* in fake->devices */
    skua__fake *fake;
    const skua_allocator *hook;
    pthread_t owner;  /* the driver thread that opened it */
    pthread_t thread; /* REAL: ends its commands */
    bool has_thread;
    uint32_t align_bytes;
    /* guarded by the fake's lock */
    bool closing, lost;
    bool in_step; /* skua__fake_step() ends a command of it, and looks at it afterwards */
    bool in_done; /* a done() of it runs, on done_thread */
    pthread_t done_thread;
    skua__list memories, kernels;
    skua__fake_queue queues[SKUA__FAKE_QUEUES];
};

struct skua__fake {
    skua__fake_options options;
    skua__fake_entry entries[SKUA__FAKE_ENTRIES_MAX];
    skua__mutex lock; /* guards everything below, and the devices */
    skua__cond changed;
    skua__list devices;
    skua__fake_faults faults;
    uint64_t launches_since, copies_since; /* the faults were set */
    skua__fake_counters count;
    int64_t now_ns; /* VIRTUAL */
};

/* ---- fake_device.c ---- */
void skua__fake_misuse_locked(skua__fake *fake, const char *what);
/* Counts memory that was not counted yet. Returns 0 or SKUA_E_DEVICE_MEMORY. */
skua_status skua__fake_count_mem_locked(skua__fake *fake, skua__dev_mem *mem);

/* ---- fake_queue.c ---- */
skua_status skua__fake_submit_locked(skua__dev *dev, uint32_t queue,
                                     const skua__fake_command *command, skua_error *err);
/* Ends everything that is under way at once: as it was meant, or lost when the device is. */
void skua__fake_drain(skua__dev *dev);
/* The thread of a REAL device. */
void *skua__fake_main(void *dev);

#endif
