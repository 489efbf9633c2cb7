// SPDX-License-Identifier: MPL-2.0
// Kernels of a pool: their registry, the places where launches run, and a launch as a task and as a task's bytes. For
// sched/pool alone.
#ifndef SKUA_INT_KERNELS_H
#define SKUA_INT_KERNELS_H

#include <skua-int/launch.h>
#include <skua-int/pool_int.h>
#include <skua/launch.h>
#include <skua/select.h>

/*
 * A launch is a task with a *launch part*: which kernel, how large, where it may run. Its sites are those of any task and,
 * besides, one for each device of ours. Where it goes is the selector's choice (kernel_place.c), which knows each site that
 * ran a launch of ours as one of its backends: a *place*. On the cores it is a job of the executor (kernel_run.c), on a
 * device a command of the engine's that holds no thread meanwhile (device.c), on a peer a task like any other, which the
 * peer submits to itself, so that its own placement decides there (serve_forward.c).
 */

enum {
    SKUA__KERNEL_PLACES_MAX = SKUA_SELECT_BACKENDS_MAX, /* cores, devices and peers together */
    SKUA__KERNEL_READY_BYTES = 64 * 1024, /* launches up to this size are made ready for a device */
    SKUA__KERNEL_BLOCK_BYTES = 4096,      /* and in one block with their task up to this size */
    SKUA__KERNEL_PATIENCE_MS = 30 * 1000, /* a driver builds, or a device hangs */
    SKUA__KERNEL_ALIGN = 16,              /* of what lies in an encoded launch and in its outputs */
};

/* Where the next part of a block begins. */
static inline size_t
skua__kernel_rounded(size_t bytes) {
    return (bytes + SKUA__KERNEL_ALIGN - 1) / SKUA__KERNEL_ALIGN * SKUA__KERNEL_ALIGN;
}

typedef struct skua__kernel_entry {
    skua__list link;
    struct skua__kernel_entry *older; /* of those that are found without the lock; constant */
    struct skua__kernels *kernels;
    skua__kernel *kernel;
    uint32_t version; /* as a task: of the source, so that peers with another one are no peers */
    uint32_t selector_number; /* the selector's */
    atomic_bool on_device;    /* relaxed: the newest launch went to a device */
    uint32_t warm;            /* places that began to run it, as bits */
    uint32_t splits;          /* split launches */
    skua_kernel_share shares[SKUA__KERNEL_PLACES_MAX];
} skua__kernel_entry;

/*
 * A place where launches of ours run. The first is the cores, whether there are any or not. Those of devices stay; that of a peer
 * is given to another one when that has none otherwise (kernel_place.c), so who means a peer's place after the lock was
 * released knows it by its id.
 */
typedef struct skua__kernel_place {
    skua__site *site;     /* NULL: no executor */
    skua__engine *engine; /* NULL: no device */
    int32_t device;       /* its number; or SKUA_SHARE_CORES, SKUA_SHARE_PEER */
    uint32_t selector_number;
    uint32_t id;   /* from 1; never given twice */
    uint64_t used; /* of a peer: kernels->choices when it was chosen last */
} skua__kernel_place;

/* Guarded by the pool's lock. */
typedef struct skua__kernels {
    skua_pool *pool;
    skua__list entries;
    skua__kernel_place places[SKUA__KERNEL_PLACES_MAX];
    uint32_t place_count;
    uint32_t last_id; /* of a place */
    uint64_t choices;
    int64_t patience_ms; /* with a run of a calibration, beyond its budget; tests make it short */
    skua_selector *selector;
} skua__kernels;

/* ---- kernel_code.c: a launch as bytes ---- */

/* Where an argument lies in the bytes of a launch. */
typedef struct skua__coded_arg {
    uint64_t bytes;             /* as the launch has it, whole */
    size_t part_at, part_bytes; /* what there is of it here: from where on, and how much */
    size_t in_at;               /* IN, INOUT, VALUE: in the input */
    size_t out_at;              /* OUT, INOUT: in the output */
    struct skua_buffer
        *buffer; /* that holds it: it lies in neither; NULL: none, as in all that peers send */
} skua__coded_arg;

typedef struct skua__coded_launch {
    uint32_t dims;
    uint64_t global[3];
    uint64_t first, end; /* of the first dimension: which part it is; 0 and global[0]: whole */
    int32_t on;
    int32_t priority;
    size_t input_bytes, output_bytes;
    skua__coded_arg args[SKUA_KERNEL_MAX_PARAMS]; /* last: only the kernel's own are filled */
} skua__coded_launch;

/* What counts of a coded launch of so many parameters, in bytes from its beginning. */
static inline size_t
skua__coded_bytes(uint32_t param_count) {
    return offsetof(skua__coded_launch, args) + param_count * sizeof(skua__coded_arg);
}

/* Lays a launch out. It was checked by skua__launch_check(). Returns 0 or SKUA_E_TOO_BIG. */
skua_status skua__launch_lay_out(const skua__kernel *kernel, const skua_launch *launch,
                                 skua__coded_launch *ret, skua_error *err);
/* The same as if what buffers hold were memory like any other. */
skua_status skua__launch_lay_out_plain(const skua__kernel *kernel, const skua_launch *launch,
                                       skua__coded_launch *ret, skua_error *err);
bool skua__launch_has_buffers(const skua_launch *launch);
/* The room that it takes in the pool's window: what skua__pool_await_room() is to be asked for. 0: it fits into no launch. */
size_t skua__launch_window_bytes(const skua__kernel *kernel, const skua_launch *launch);
/* Whether a launch that was laid out may be cut into parts. Returns 0, SKUA_E_BAD_ARGUMENT, SKUA_E_UNSUPPORTED. */
skua_status skua__launch_check_cut(const skua__kernel *kernel, const skua__coded_launch *launch,
                                   skua_error *err);
/* Lays out the part [first, end) of a launch that may be cut. */
void skua__launch_lay_out_part(const skua__kernel *kernel, const skua__coded_launch *whole,
                               uint64_t first, uint64_t end, skua__coded_launch *ret);
/* Writes the input_bytes of the launch to ret. */
void skua__launch_encode(const skua__kernel *kernel, const skua_launch *launch,
                         const skua__coded_launch *layout, uint8_t *ret);
/* Copies results to where the launch's arguments point. Returns 0, or SKUA_E_BAD_ARGUMENT with nothing written. */
skua_status skua__launch_unpack(const skua__kernel *kernel, const skua_launch *launch,
                                const void *output, size_t output_bytes, skua_error *err);
/* Reads what somebody sent. Returns false on anything but a whole launch of this kernel. */
bool skua__launch_decode(const skua__kernel *kernel, const void *bytes, size_t size,
                         skua__coded_launch *ret);
/*
 * Memory that a launch takes at a place beyond what it brings and brings back: on a device what lies before a part's slices,
 * on so many cores the scratch memory of each.
 */
uint64_t skua__launch_hidden_bytes(const skua__kernel *kernel, const skua__coded_launch *launch,
                                   bool on_device, uint32_t cores);
/*
 * Makes what the device or the cores run of it: arguments that lie in input and output, both aligned to
 * SKUA__KERNEL_ALIGN and borrowed until its end; INOUT begins in output as the input says. In room, which has
 * skua__launch_decoded_bytes(), or with NULL in a block of its own. Returns as skua__launch_new().
 */
skua_status skua__launch_decoded(const skua_allocator *hook, const skua__kernel *kernel,
                                 const skua__coded_launch *coded, const uint8_t *input,
                                 uint8_t *output, void *room, skua__launch **ret_launch,
                                 skua_error *err);
size_t skua__launch_decoded_bytes(const skua__kernel *kernel, const skua__coded_launch *coded);

/* ---- A launch as a task ---- */

typedef struct skua__device_run skua__device_run; /* device.c */

/* Guarded by the pool's lock, but what is constant after submission. */
typedef struct skua__launch_task {
    skua__kernel_entry *entry; /* constant, as the next */
    uint64_t items;
    bool forwarded; /* a peer's, from the server: it does not count in the window */
    bool is_part;   /* of a split launch, and runs like any other */
    uint32_t place; /* of a part: the id of the place that its share is meant for; 0: anywhere */
    struct skua__split *split; /* it is split, and only its parts run; NULL: it is not */
    uint8_t reason;            /* skua_select_reason of the newest decision */
    uint32_t avoid;            /* places that could not do it, as bits */
    skua__device_run *run;     /* it is on a device; NULL: it is not, or not yet in its queue */
    skua__device_run *ready;   /* a run that was made before it was placed; NULL: none */
    skua__claim *claim;        /* its turns at its buffers; NULL: it has none, or not any more */
    bool waits_turn;           /* it is in no lane's queue, since they are not its own yet */
    skua__launch_times here;   /* of a run on the cores with buffers */
    uint8_t *input_room;       /* in its block, for the coded input; NULL: the input is large */
    void *ready_room;          /* in its block, for a run that is made ready; NULL: none */
    /* Constant. Last, since the block has no room for more arguments than the kernel has: skua__coded_bytes(). */
    skua__coded_launch coded;
} skua__launch_task;

/* ---- device.c ---- */

/*
 * Makes a run of a launch ready before its place is chosen, in its ready_room if there is one. input stays where it is until
 * the run is over. NULL: no memory.
 */
skua__device_run *skua__device_ready(const skua_allocator *hook, const skua__launch_task *launch,
                                     const void *input);
/* What such a run needs, in one piece that is aligned as malloc()'s are. */
size_t skua__device_ready_bytes(const skua__kernel *kernel, const skua__coded_launch *coded);
/* Takes NULL. */
skua__device_run *skua__device_ready_free(const skua_allocator *hook, skua__device_run *run);

/*
 * A launch part for coded, in a block that begins with the task that it will be (skua__launch_future()). NULL: no memory. A
 * small one has room there for all that it needs on its way.
 */
skua__launch_task *skua__launch_task_new(skua__kernel_entry *entry,
                                         const skua__coded_launch *coded);
/* The whole block. Takes NULL. */
skua__launch_task *skua__launch_task_free(const skua_allocator *hook, skua__launch_task *launch);
/* The room for its task, which pool.submit fills. */
skua_pool_future *skua__launch_future(skua__launch_task *launch);

/* Encodes a launch that was laid out, and submits it as a task. Takes task on success. Returns as skua_pool_submit(). */
skua_status skua__launch_submit(skua_pool *pool, const skua_launch *launch,
                                const skua__coded_launch *coded, skua__launch_task *task,
                                void (*on_done)(void *arg, skua_pool_future *future), void *arg,
                                skua_pool_future **ret_future, skua_error *err);

/* A buffer lives where its devices do: those of this pool, and the cores beside them. */
skua_status skua__launch_check_buffers(const skua_pool *pool, const skua_launch *launch,
                                       skua_error *err);
/*
 * As skua_kernel_submit(). on_done (NULL: none; then ret_future is not) is called at the end, maybe before this returns, under no
 * lock, and does not free its future.
 */
skua_status skua__kernel_submit(skua_pool *pool, const skua_launch *launch,
                                void (*on_done)(void *arg, skua_pool_future *future), void *arg,
                                skua_pool_future **ret_future, skua_error *err);

/* ---- kernel_split.c: launches that are cut into parts ---- */

/* A part of a split launch. Constant but for future and site. */
typedef struct skua__part {
    struct skua__split *split;
    uint64_t first, end; /* of the first dimension */
    skua_pool_future
        *future;            /* the launch that it is; NULL: it was not submitted, or it has ended */
    uint32_t place;         /* the id of the one that its share is meant for; 0: anywhere */
    const skua__site *site; /* where it is meant for, or where it ran */
} skua__part;

/* What a split launch has besides. Guarded by the pool's lock, but the output until all parts have ended. */
typedef struct skua__split {
    const skua_allocator *hook;
    skua__coded_launch plain; /* the whole, as if what buffers hold were memory like any other */
    skua_pool_future *parent; /* a reference while anybody is left; NULL: it was refused at once */
    uint8_t *output;          /* where results are gathered; NULL: the parent has it */
    uint32_t left;            /* parts that have not ended, and one while they are submitted */
    uint32_t count;
    uint32_t gathered;  /* parts whose results are where they belong */
    skua__launch *held; /* with buffers: its turns at them on the host; NULL: it has none now */
    skua_job job;       /* that waits for these, and submits the parts */
    skua__list link;    /* in the pool's list of those whose job the executor has not taken yet */
    int64_t run_ns;     /* of the part that took longest */
    skua__part parts[SKUA__KERNEL_PLACES_MAX];
} skua__split;

/*
 * Whether the pool can split a launch that was laid out, which is then laid out as its parts have it: with what buffers hold.
 * Returns 0, SKUA_E_BAD_ARGUMENT, SKUA_E_UNSUPPORTED, SKUA_E_TOO_BIG.
 */
skua_status skua__split_lay_out(const skua_pool *pool, const skua__kernel *kernel,
                                const skua_launch *launch, const skua__coded_launch *coded,
                                skua__coded_launch *ret_plain, skua_error *err);
/*
 * As skua__kernel_submit(), for a launch that was laid out and is to be split. buffers: it has some. With on_done one whose parts
 * cannot be submitted was taken none the less, and ends CANCELLED.
 */
skua_status skua__split_submit(skua_pool *pool, skua__kernel_entry *entry,
                               const skua_launch *launch, const skua__coded_launch *coded,
                               bool buffers, void (*on_done)(void *arg, skua_pool_future *future),
                               void *arg, skua_pool_future **ret_future, skua_error *err);
/* The launch was let in, and has its turn at its buffers: it holds its lease itself, and its shares are decided, now or by a job. */
void skua__split_begin_locked(skua_pool *pool, skua_pool_future *parent, int64_t now_ns);
/* Its outcome stands: its parts are cancelled. */
void skua__split_cancel_locked(skua_pool *pool, skua__split *split);
/* Who has which part, in words. */
void skua__split_explain_locked(skua_pool *pool, const skua__split *split, char *ret, size_t size);
skua__split *skua__split_free(skua__split *split);

/* Ends a parent by the fault of no part, unless it has ended; its parts are cancelled. */
void skua__split_fail_locked(skua_pool *pool, skua__split *split, const char *words);
/* Submits all parts, which were decided, and lets go of the submitter's share. Returns the first failure. */
skua_status skua__split_submit_parts(skua_pool *pool, skua__split *split, const skua_launch *launch,
                                     skua_error *err);

/* ---- kernel_split_buffers.c: of launches with buffers ---- */

/* The launch has its turn: a job goes on, as soon as the executor takes it. */
void skua__split_hold_locked(skua_pool *pool, skua__split *split);
/* All parts are over: gives the turns back. Locked, and not meanwhile. */
void skua__split_let_buffers_go(skua_pool *pool, skua__split *split);

/* ---- kernel_share.c: fills split->parts, with at least one ---- */
void skua__split_share_locked(skua_pool *pool, skua_pool_future *parent, int64_t now_ns);

/* ---- kernels.c ---- */

/* The entry of a name, or NULL with *err. Entries live as long as the pool. */
skua__kernel_entry *skua__kernel_find(skua_pool *pool, const char *name, skua_error *err);
/* The number of the device that a site is; negative: it is none. */
int32_t skua__place_device(const skua__site *site);
/* The id of the place that a site is, which has one. */
uint32_t skua__place_id(const skua__site *site);
void skua__share_name_locked(skua__kernel_entry *entry, uint32_t place);

/* ---- kernel_run.c: a skua_task_fn, arg is the entry ---- */
int skua__kernel_task(skua_task_call *call, void *arg);

/* ---- kernel_turn.c: launches with buffers ---- */

enum {
    SKUA__ON_HERE = -1
}; /* a lane's `on`: the cores and our devices. What buffers hold stays on this machine */

/* The claim of a launch that was laid out and has a buffer. NULL: no memory. */
skua__claim *skua__turn_new(skua_pool *pool, const skua__kernel *kernel,
                            const skua__coded_launch *coded);

/* ---- kernel_place.c ---- */

/*
 * The candidates that count, as the selector wants them, in ret with room for SKUA__KERNEL_PLACES_MAX; ret_of are their indices in
 * places. avoid: places that are left out, as bits. Returns how many there are.
 */
size_t skua__launch_candidates_locked(skua_pool *pool, const skua__launch_task *launch,
                                      uint32_t avoid, const skua__place *places, size_t count,
                                      int64_t now_ns, skua_select_place *ret, size_t *ret_of);
/* Work-items of its groups on a device that takes as many as most do. */
uint64_t skua__launch_group(const skua__launch_task *launch);
/* Whether the device that a site with a place is takes nothing, because it failed. */
bool skua__place_rests(const skua_pool *pool, const skua__site *site);
/* Makes the selector, with what earlier runs on this machine learned. */
skua_status skua__selector_open(skua_pool *pool, skua_selector **ret_selector, skua_error *err);
/* The selector's name of a kernel, the same in each run. */
skua_status skua__selector_kernel_add(skua_selector *selector, skua__kernel_entry *entry,
                                      skua_error *err);
/* Tells the selector of a place; info is the device's, NULL for the cores. */
skua_status skua__selector_place_add(skua__kernels *kernels, skua__kernel_place *place,
                                     const skua_device_info *info, skua_error *err);

#endif
