// SPDX-License-Identifier: MPL-2.0
// The box's own: the inside of an engine, shared by engine.c (its thread and its queue), engine_run.c (the way of one launch),
// engine_room.c (what it takes of the device), engine_steps.c (its commands), staging.c (its large copies), engine_trace.c (what is told of it), engine_built.c (its kernels), engine_health.c
// (what is done when it fails) and block.c (its memory).
#ifndef SKUA_GPU_ENGINE_PRIV_H
#define SKUA_GPU_ENGINE_PRIV_H

#include <skua-int/admission.h>
#include <skua-int/hash.h>
#include <skua-int/launch.h>
#include <skua-int/thread.h>
#include <skua-int/watch.h>

enum {
    ENGINE_PRIORITIES = 3,
    ENGINE_AGEING = 16,                /* a lower priority is passed over so often at most */
    ENGINE_DEPTH_DEFAULT = 3,          /* launches whose copies overlap another's kernel */
    ENGINE_EXPRESS_MAX = 64,           /* small launches in the queue at a time */
    ENGINE_EXPRESS_LOW = 32,           /* while the device has more of them, more can wait */
    ENGINE_EXPRESS_BYTES = 256 * 1024, /* with copies up to this a launch is small */
    ENGINE_QUEUE_MAX = 65536,          /* launches that wait; more are refused */
    ENGINE_HANG_MS_DEFAULT = 10000,
    ENGINE_LOG_BYTES = 4096,
    BLOCK_SLAB_BYTES = 4 * 1024 * 1024, /* small blocks are cut from slabs of this size, */
    BLOCK_SLAB_MIN_BYTES = 64 * 1024,   /* or of a smaller one where memory is short, */
    BLOCK_SLAB_SHARE =
        8, /* so that a slab is at most an eighth of it, and a small block of a slab */
    BLOCK_SMALL_SHIFT_MIN = 8, /* the smallest class: 256 bytes */
    BLOCK_CLASSES = 12,        /* 256 bytes to 512 KiB */
    STAGE_DIRECTIONS = 2,
    STAGE_BLOCKS_MAX = 8,                   /* pinned blocks of a direction */
    STAGE_BYTES_DEFAULT = 2 * 1024 * 1024,  /* of each */
    STAGE_MIN_BYTES = ENGINE_EXPRESS_BYTES, /* copies up to this are left to the driver */
    STAGE_SHARE = 8, /* the blocks of a direction are at most this part of a device's memory */
};

/* ---- block.c: device memory, kept for the next launch ---- */

/* A piece of device memory. */
typedef struct skua__block {
    skua__list link; /* in a list of free ones */
    skua__dev_mem *mem;
    uint64_t bytes;
    int32_t small_class;     /* -1: memory of its own */
    struct skua__slab *slab; /* of a small one */
} skua__block;

typedef struct skua__blocks {
    const skua_allocator *hook;
    const skua__device_driver *driver;
    skua__dev *dev;
    skua__admission account; /* what it learned of the device outlives a context */
    uint64_t align;          /* of a part's origin */
    /* Every block has the size that was asked for: the device checks accesses, and padding would hide those past the end. */
    bool exact;
    uint64_t slab_bytes;
    skua__list slabs;                /* the newest first */
    skua__list small[BLOCK_CLASSES]; /* free */
    skua__list large;                /* free, the newest first */
} skua__blocks;

/* What a launch would take from the device. */
typedef struct skua__need {
    uint64_t bytes, largest; /* in all; in one piece */
    uint64_t small_bytes;    /* of small blocks, on top of that, until skua__blocks_ask() */
} skua__need;

/* Begins with an empty device; the account's limits stay as they are. */
void skua__blocks_init(skua__blocks *blocks, const skua_allocator *hook,
                       const skua__device_driver *driver, skua__dev *dev,
                       const skua_device_info *info);
/* Every block was given back. The device's memory ends with the device. */
void skua__blocks_fini(skua__blocks *blocks);
/* Adds what a block of so many bytes would take. */
void skua__blocks_want(const skua__blocks *blocks, uint64_t bytes, skua__need *need);
/* Whether that fits, once *ret_evict_bytes were let go. */
skua__admit skua__blocks_ask(const skua__blocks *blocks, skua__need *need, int64_t now_ns,
                             uint64_t *ret_evict_bytes);
/* At least bytes of device memory, which was asked for. Returns 0, SKUA_E_DEVICE_MEMORY, SKUA_E_NO_MEMORY, SKUA_E_DEVICE_FAILED. */
skua_status skua__blocks_take(skua__blocks *blocks, uint64_t bytes, skua__block **ret_block,
                              skua_error *err);
void skua__blocks_give(skua__blocks *blocks, skua__block *block);
/* Lets so much go, or all that is only kept when that is less. Returns how much it was. */
uint64_t skua__blocks_evict(skua__blocks *blocks, uint64_t bytes);

/* ---- The engine ---- */

/* A kernel as this device has it. */
typedef struct skua__built {
    uint8_t digest[SKUA__KERNEL_DIGEST_BYTES];
    skua__dev_kernel *kernel; /* NULL: it does not build */
    uint64_t max_group, multiple;
    bool from_binary, saved; /* saved: its binary is on disk, or need not be */
    skua_error error;        /* why it does not build */
} skua__built;

/* ---- staging.c: large copies through pinned memory ---- */

/* A pinned block, and the piece of a copy that is on its way through it. */
typedef struct skua__piece {
    skua__list link; /* in free */
    skua__step step;
    skua__launch_arg *arg;
    uint64_t offset, bytes;
    uint8_t *host;
} skua__piece;

/* One direction. */
typedef struct skua__stage {
    skua__dev_mem *pinned; /* NULL: nothing was copied yet */
    uint64_t bytes;        /* of it */
    uint32_t busy;         /* pieces under way */
    skua__list free;       /* pieces that are not */
    skua__list copies;     /* skua__staged, the oldest first */
    skua__piece pieces[STAGE_BLOCKS_MAX];
} skua__stage;

struct skua__engine {
    const skua_allocator *hook;
    const skua__device_driver *driver;
    void *driver_ctx;
    skua_device_info info;
    uint32_t ordinal;
    uint32_t device;
    uint32_t depth;
    bool shares;          /* its device uses the host's memory in place */
    uint64_t stage_bytes; /* of a pinned block; 0: nothing is staged */
    int64_t hang_ns;      /* SKUA_NEVER_NS: none */
    char *cache_dir;      /* NULL: none */
    skua__track *track;   /* borrowed; NULL: none */
    uint32_t fork_generation;
    pthread_t thread;
    bool started;

    skua__mutex lock;  /* guards from here to under_way; nothing is called with it held */
    skua__cond wake;   /* the thread has something to do */
    skua__cond opened; /* or it has tidied up */
    skua__list inbox[ENGINE_PRIORITIES];
    skua__list
        transfer_inbox; /* launches without a kernel: they go first, since others wait for them */
    skua__list landed;  /* steps */
    skua__list
        turns; /* launches that wait for their turns at buffers, changed under the buffers' lock too */
    uint32_t
        waiting; /* launches that have not started; some wait for their buffers' turns elsewhere */
    bool asleep; /* the thread waits, and has looked through all of this */
    bool nudged; /* buffers are ending, or somebody waits until it has tidied up: */
    uint64_t tidy_asked, tidy_taken, tidy_done; /* how often that was asked for, begun and done */
    bool closing, open_over;
    bool sweep; /* a launch that waits may have been cancelled */
    skua_status open_status;
    skua_error open_error;
    bool resting;           /* nothing is taken: the device is in quarantine, */
    int64_t rests_until_ns; /* at least until then */
    skua__engine_counters counters;
    uint32_t prompt_left; /* launches that the device has, and that end without the thread */
    skua__clocks clocks;  /* of a device that is traced */
    skua__a32 under_way;  /* relaxed: a figure */

    /* the thread's own */
    skua__dev *dev; /* NULL while in quarantine */
    skua__blocks blocks;
    skua__hash built;
    skua__list queue[ENGINE_PRIORITIES];
    uint32_t passed[ENGINE_PRIORITIES];
    skua__list transfers;
    skua__list copies;   /* skua__copy, the longest unused first; see buffer_priv.h */
    bool stuck;          /* a copy could not be brought to the host */
    skua__list running;  /* launches that the device has */
    skua__list doomed;   /* launches that have failed, and end as soon as the device is closed */
    int64_t progress_ns; /* when it last ended a command, or was given one after a rest */
    uint32_t staged;     /* of these, not express */
    uint32_t express;
    bool dirty[SKUA__DEV_QUEUES];         /* commands lie in the queue, not flushed */
    skua__stage stages[STAGE_DIRECTIONS]; /* in, out */
    bool unpinned;                        /* this context has no pinned memory, or nobody to copy */
    skua__watch watch;
    bool failed;  /* its context is to be closed: when nothing runs any more, */
    bool abandon; /* or at once */
};

/* ---- engine.c ---- */

/*
 * Whether the device has so many small launches that the thread need not be woken for another: it is when they have become
 * few, and then takes all that came meanwhile. Waking it for each costs more than the launch.
 */
bool skua__engine_is_busy_locked(const skua__engine *engine);
/* Takes what others have left in the inbox and landed. Returns false when there was nothing. */
bool skua__engine_collect_locked(skua__engine *engine, skua__list *landed);
void skua__engine_land(skua__engine *engine, skua__list *landed);
/* Ends every launch that waits. */
void skua__engine_end_waiting(skua__engine *engine, skua_status status, const char *why);
/* Hands over a launch that was submitted and has its buffers' turns. Threads: any. */
void skua__engine_post(skua__engine *engine, skua__launch *launch);
/* Hands over a transfer; it goes before launches and is counted nowhere. Threads: any, while a copy of it is there. */
void skua__engine_post_transfer(skua__engine *engine, skua__launch *transfer);
/* Makes it look for buffers that are ending. Threads: as above. */
void skua__engine_nudge(skua__engine *engine);
/* Puts a launch back to where it is the next to start. */
void skua__engine_put_back(skua__engine *engine, skua__launch *launch);

/* ---- engine_health.c: all on the engine's thread ---- */

/* The device as it was described, with empty queues. */
skua_status skua__health_open(skua__engine *engine, skua_error *err);
void skua__health_close(skua__engine *engine, bool abandon);
/* A launch has ended so, its memory given back. Returns the watch's actions that are about the launch itself. */
uint32_t skua__health_event(skua__engine *engine, skua__watch_event event,
                            skua__watch_launch launch);
/* Closes a failed device once it may be, and makes a new one when the quarantine is over. */
void skua__health_mend(skua__engine *engine);
/* When the engine has to look after its device by itself: it hangs then, or its quarantine ends. */
int64_t skua__health_deadline_ns(const skua__engine *engine);

/* ---- engine_built.c: all on the engine's thread ---- */

/* The kernel as this device has it, built now if need be; NULL with *err: it cannot be had. */
skua__built *skua__built_get(skua__engine *engine, const skua__kernel *kernel, skua_error *err);
void skua__built_free_all(skua__engine *engine);
/* Keeps the binary once the kernel has run: PoCL compiles a part of it at the first launch only. */
void skua__built_save(skua__engine *engine, skua__built *built);

/* ---- Arguments ---- */

static inline bool
skua__arg_is_memory(const skua__launch_arg *arg) {
    return arg->kind <= SKUA_PARAM_INOUT;
}

static inline bool
skua__arg_is_read(const skua__launch_arg *arg) {
    return arg->kind == SKUA_PARAM_IN || arg->kind == SKUA_PARAM_INOUT;
}

static inline bool
skua__arg_is_written(const skua__launch_arg *arg) {
    return arg->kind == SKUA_PARAM_OUT || arg->kind == SKUA_PARAM_INOUT;
}

/* ---- engine_room.c: all on the engine's thread ---- */

typedef enum skua__room {
    SKUA__ROOM_YES = 1,
    SKUA__ROOM_LATER = 2, /* when something that runs has ended */
    SKUA__ROOM_NEVER = 3, /* its memory does not fit on the device, and launch->error says so */
} skua__room;

/* Whether a launch is express; a transfer is a copy and nothing else, and is not. */
bool skua__run_is_small(const skua__engine *engine, const skua__launch *launch);
/* Whether the launch fits beside those that run; lets go of kept memory that it needs. */
skua__room skua__run_make_room(skua__engine *engine, skua__launch *launch);
/* Takes its memory on the device, or what of it is there when that fails: detach() gives it back. */
skua_status skua__run_attach(skua__engine *engine, skua__launch *launch);
void skua__run_detach(skua__engine *engine, skua__launch *launch);

/* ---- engine_steps.c: on the engine's thread, but for the ends of commands ---- */

/* Submit a launch's copies in, its kernel, its copies out. They return false, and note why, when one was refused. */
bool skua__steps_inputs(skua__engine *engine, skua__launch *launch, skua__dev_queue queue);
bool skua__steps_kernel(skua__engine *engine, skua__launch *launch);
bool skua__steps_outputs(skua__engine *engine, skua__launch *launch, skua__dev_queue queue);
/* The device's memory behind an argument. */
skua__dev_mem *skua__arg_memory(const skua__launch_arg *arg);
/* Makes a step ready to be submitted, with the command that tells of its end. */
skua__dev_command *skua__step_begin(skua__step *step, skua__launch *launch, skua__step_kind kind);
/* All of it was submitted: the driver's thread that hears of its last command ends it, where that may be. */
void skua__steps_let_end_promptly(skua__engine *engine, skua__launch *launch);
/* Adds how long a step, or all steps, took to the launch's times, and tells the trace of them. */
void skua__steps_add_time(skua__engine *engine, skua__launch *launch, const skua__step *step);
void skua__steps_add_times(skua__engine *engine, skua__launch *launch);
void skua__steps_count_end_locked(skua__engine *engine, const skua__launch *launch,
                                  skua_status status);

/* ---- engine_trace.c ---- */

/* A launch is submitted: whether it is traced is settled here. */
void skua__trace_called(skua__engine *engine, skua__launch *launch);
/* The driver is about to be called for a step, which has its launch; and has told its end. */
void skua__trace_step_called(skua__step *step);
void skua__trace_step_told_locked(skua__engine *engine, skua__step *step);
/* A step has ended, and its times are told; its launch has. Under the engine's lock or not, by one thread at a time. */
void skua__trace_step(skua__engine *engine, const skua__step *step);
void skua__trace_ended(skua__engine *engine, const skua__launch *launch);

/* ---- staging.c: all on the engine's thread ---- */

/* Begins without blocks: a context is new, or was closed and took them along. */
void skua__stage_init(skua__engine *engine);
/* Whether an argument's copy, IN or OUT, is to be staged: it is large, and there are blocks. */
bool skua__stage_takes(skua__engine *engine, const skua__launch *launch,
                       const skua__launch_arg *arg, skua__step_kind kind);
/* Begins such a copy, which is one of what the launch awaits. Returns false, and notes why, when it cannot. */
bool skua__stage_begin(skua__engine *engine, skua__launch *launch, skua__launch_arg *arg,
                       skua__step_kind kind);
/* A step of a piece has ended; its status is in the launch. */
void skua__stage_landed(skua__engine *engine, skua__step *step);
/* Gives blocks back that are not used now. Returns their bytes. */
uint64_t skua__stage_let_go(skua__engine *engine);

/* ---- engine_run.c: all on the engine's thread ---- */

/* Begins a launch. When it cannot, or has nothing to do, it ends at once. */
void skua__run_start(skua__engine *engine, skua__launch *launch);
/* A command of a launch has ended. */
void skua__run_landed(skua__engine *engine, skua__step *step);
/* One thing that a launch awaits has ended. */
void skua__run_landed_one(skua__engine *engine, skua__launch *launch);
/* Ends a launch: its memory is given back, and done() is called. */
void skua__run_end(skua__engine *engine, skua__launch *launch, skua_status status);

#endif
