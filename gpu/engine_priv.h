// SPDX-License-Identifier: MPL-2.0
// The box's own: the inside of an engine, shared by engine.c (its thread) and engine_run.c (one launch on the device).
#ifndef SKUA_GPU_ENGINE_PRIV_H
#define SKUA_GPU_ENGINE_PRIV_H

#include <skua-int/hash.h>
#include <skua-int/launch.h>
#include <skua-int/thread.h>

enum {
    ENGINE_PRIORITIES = 3,
    ENGINE_AGEING = 16,                /* a lower priority is passed over so often at most */
    ENGINE_DEPTH_DEFAULT = 3,          /* launches whose copies overlap another's kernel */
    ENGINE_EXPRESS_MAX = 64,           /* small launches in the queue at a time */
    ENGINE_EXPRESS_BYTES = 256 * 1024, /* with copies up to this a launch is small */
    ENGINE_QUEUE_MAX = 65536,          /* launches that wait; more are refused */
    ENGINE_HANG_MS_DEFAULT = 10000,
    ENGINE_QUARANTINE_MS_DEFAULT = 10000,
    ENGINE_LOG_BYTES = 4096,
    ENGINE_RESERVE_SHIFT = 3,           /* an eighth of the device's memory is left alone */
    BLOCK_SLAB_BYTES = 4 * 1024 * 1024, /* small blocks are cut from slabs of this size */
    BLOCK_SMALL_BYTES = 512 * 1024,     /* and are at most this large */
    BLOCK_SMALL_SHIFT_MIN = 8,          /* the smallest class: 256 bytes */
    BLOCK_CLASSES = 12,                 /* 256 bytes to 512 KiB */
};

/* ---- block.c: device memory, kept for the next launch ---- */

/* A piece of device memory. */
typedef struct skua__block {
    skua__list link; /* in a list of free ones */
    skua__dev_mem *mem;
    uint64_t bytes;
    int32_t small_class; /* -1: memory of its own */
} skua__block;

typedef struct skua__blocks {
    const skua_allocator *hook;
    const skua__device_driver *driver;
    skua__dev *dev;
    uint64_t align;  /* of a part's origin */
    uint64_t budget; /* bytes in use and kept, together */
    uint64_t taken;  /* bytes that the device gave */
    skua__dev_mem *slab;
    uint64_t slab_used;
    skua__list small[BLOCK_CLASSES]; /* free */
    skua__list large;                /* free, the newest first */
} skua__blocks;

void skua__blocks_init(skua__blocks *blocks, const skua_allocator *hook,
                       const skua__device_driver *driver, skua__dev *dev,
                       const skua_device_info *info);
/* Every block was given back. The device's memory ends with the device. */
void skua__blocks_fini(skua__blocks *blocks);
/* At least bytes of device memory. Returns 0, SKUA_E_DEVICE_MEMORY, SKUA_E_NO_MEMORY, SKUA_E_DEVICE_FAILED. */
skua_status skua__blocks_take(skua__blocks *blocks, uint64_t bytes, skua__block **ret_block,
                              skua_error *err);
void skua__blocks_give(skua__blocks *blocks, skua__block *block);
/* Lets everything go that is only kept. Returns whether anything was. */
bool skua__blocks_trim(skua__blocks *blocks);

/* ---- The engine ---- */

/* A kernel as this device has it. */
typedef struct skua__built {
    uint8_t digest[SKUA__KERNEL_DIGEST_BYTES];
    skua__dev_kernel *kernel; /* NULL: it does not build */
    uint64_t max_group, multiple;
    bool from_binary, saved; /* saved: its binary is on disk, or need not be */
    skua_error error;        /* why it does not build */
} skua__built;

struct skua__engine {
    const skua_allocator *hook;
    const skua__device_driver *driver;
    void *driver_ctx;
    skua_device_info info;
    uint32_t ordinal;
    uint32_t depth;
    int64_t hang_ns; /* SKUA_NEVER_NS: none */
    int64_t quarantine_for_ns;
    char *cache_dir; /* NULL: none */
    uint32_t fork_generation;
    pthread_t thread;
    bool started;

    skua__mutex lock; /* guards from here to under_way; nothing is called with it held */
    skua__cond wake;  /* the thread has something to do */
    skua__cond opened;
    skua__list inbox[ENGINE_PRIORITIES];
    skua__list landed; /* steps */
    uint32_t waiting;  /* launches in inbox and queue */
    bool closing, open_over;
    skua_status open_status;
    skua_error open_error;
    int64_t quarantine_ns; /* nothing is taken before; 0: all is well */
    skua__engine_counters counters;
    skua__a32 under_way; /* relaxed: a figure */

    /* the thread's own */
    skua__dev *dev; /* NULL while in quarantine */
    skua__blocks blocks;
    skua__hash built;
    skua__list queue[ENGINE_PRIORITIES];
    uint32_t passed[ENGINE_PRIORITIES];
    skua__list running; /* launches that the device has */
    skua__list doomed;  /* launches that end DEVICE_FAILED as soon as the device is closed */
    uint32_t staged;    /* of these, not express */
    uint32_t express;
    bool dirty[SKUA__DEV_QUEUES]; /* commands lie in the queue, not flushed */
    bool failed;                  /* the device is of no use any more */
};

/* ---- engine_run.c: all on the engine's thread ---- */

/* Whether the launch fits beside those that run. */
bool skua__run_has_room(const skua__engine *engine, const skua__launch *launch);
/* Begins a launch. When it cannot, or has nothing to do, it ends at once. */
void skua__run_start(skua__engine *engine, skua__launch *launch);
/* A command of a launch has ended. */
void skua__run_landed(skua__engine *engine, skua__step *step);
/* Ends a launch: its memory is given back, and done() is called. */
void skua__run_end(skua__engine *engine, skua__launch *launch, skua_status status);
/* The kernel as this device has it, built now if need be; NULL with *err: it cannot be had. */
skua__built *skua__built_get(skua__engine *engine, const skua__kernel *kernel, skua_error *err);
void skua__built_free_all(skua__engine *engine);

#endif
