// SPDX-License-Identifier: MPL-2.0
// Launches: a registered kernel with arguments, on its way through a device's engine or the cores. For gpu and sched/pool.
#ifndef SKUA_INT_LAUNCH_H
#define SKUA_INT_LAUNCH_H

#include <skua-int/atomic.h>
#include <skua-int/clocks.h>
#include <skua-int/device_driver.h>
#include <skua-int/list.h>
#include <skua-int/trace.h>
#include <skua/exec.h>
#include <skua/kernel.h>

/* ---- kernel.c ---- */

enum { SKUA__KERNEL_DIGEST_BYTES = 32 };

/* A kernel as it was registered: constant, and alive until no launch of it is under way. */
typedef struct skua__kernel {
    const skua_allocator *hook;
    uint8_t digest[SKUA__KERNEL_DIGEST_BYTES]; /* SHA-256 of entry, options and text */
    char name[SKUA_KERNEL_NAME_BYTES];
    char *entry;
    char *options; /* "" for none */
    char *text;    /* the macros, then the source; NULL: only cores run it */
    skua_param_kind params[SKUA_KERNEL_MAX_PARAMS];
    uint32_t param_count;
    uint32_t sliced; /* parameters, as bits */
    bool guarded;
    skua_kernel_fn fn; /* NULL: only devices run it */
    void *fn_arg;
    skua_kernel_check_fn check;
    uint64_t local[3];
    double work, bytes;
} skua__kernel;

/* Checks and copies a spec. Returns 0, SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT, SKUA_E_TOO_BIG, SKUA_E_NO_MEMORY. */
skua_status skua__kernel_new(const skua_allocator *hook, const char *name,
                             const skua_kernel_spec *spec, skua__kernel **ret_kernel,
                             skua_error *err);
skua__kernel *skua__kernel_free(skua__kernel *kernel);

/* ---- launch.c ---- */

typedef struct skua__engine skua__engine;
typedef struct skua__launch skua__launch;

typedef enum skua__step_kind {
    SKUA__STEP_IN = 1,
    SKUA__STEP_KERNEL = 2,
    SKUA__STEP_OUT = 3,
    SKUA__STEP_HOST_IN = 4,  /* of a staged copy: from the caller's memory to a pinned block, */
    SKUA__STEP_HOST_OUT = 5, /* and back */
} skua__step_kind;

/* One command of a launch, and where its end is noted. */
typedef struct skua__step {
    skua__dev_command command;
    skua__list link; /* in the engine's landed list */
    skua__launch *launch;
    struct skua__piece *piece; /* of a staged copy; NULL: all of a command */
    skua__step_kind kind;
    skua_status status;
    /* Only of a launch that is traced: when the driver was called, when it told the end, and how its clock related then. */
    int64_t called_ns, told_ns;
    skua__clocks clocks;
    uint64_t bytes;
} skua__step;

/* A copy that goes in pieces (staging.c); the engine's. */
typedef struct skua__staged {
    skua__list link; /* in its direction's copies, while pieces are left to begin */
    skua__launch *launch;
    uint64_t begun_bytes;
    uint32_t pieces; /* under way */
    int64_t bus_start_ns, bus_end_ns, host_ns;
} skua__staged;

/* The buffers of one list of devices (buffer.c). */
typedef struct skua__buffers skua__buffers;

typedef struct skua__claim skua__claim;

/* A turn at a buffer, asked for or had; the buffers' lock guards it. */
typedef struct skua__buffer_use {
    skua__list link;            /* in the buffer's uses */
    struct skua_buffer *buffer; /* NULL: none */
    skua__engine *engine;       /* where it is used; NULL: on the host */
    skua__launch *launch;       /* NULL: a call of the host's */
    skua__claim *claim;         /* that it belongs to; NULL: it stands for itself */
    bool unplaced;              /* it is the claim's own: where it will be used is not known */
    bool reads, writes;
    bool granted;       /* it has its turn */
    bool moves;         /* it brings the contents along, so that nobody reads meanwhile */
    bool fetching;      /* a transfer to the host is under way for it */
    skua_status status; /* why that failed */
} skua__buffer_use;

/* One argument under way. */
typedef struct skua__launch_arg {
    skua_param_kind kind;
    struct skua_buffer *buffer; /* NULL: plain memory */
    skua__buffer_use use;
    struct skua__copy *copy; /* of the buffer on the engine's device */
    bool copy_in;            /* which has to be filled from the host */
    void *host;              /* memory: the caller's */
    uint64_t bytes;          /* of memory (a part's slice of it), value or scratch */
    /* A slice lies so far behind the memory's beginning, as the kernel sees it; the memory ends with it. */
    uint64_t before_bytes;
    const void *value; /* VALUE: our copy */
    /* the engine's */
    bool written; /* copying it back to the caller has begun */
    skua__staged staged;
    struct skua__block *block; /* device memory that it lies in meanwhile */
    skua__dev_mem *shared;     /* or the host's memory as the device sees it */
} skua__launch_arg;

typedef enum skua__launch_stage {
    SKUA__LAUNCH_QUEUED = 0,
    SKUA__LAUNCH_IN = 1,      /* its inputs are being copied */
    SKUA__LAUNCH_COMPUTE = 2, /* the kernel is in the queue */
    SKUA__LAUNCH_OUT = 3,     /* its outputs are being copied */
    SKUA__LAUNCH_ENDED = 4,
} skua__launch_stage;

/* Made by skua__launch_new(); lent to whoever runs it until done() is called, which may free it. */
struct skua__launch {
    skua__list link; /* the engine's */
    const skua_allocator *hook;
    /* Its memory is the caller's own again, who gave it to skua__launch_init(); NULL: it is a block of the hook's. */
    void (*release)(skua__launch *launch);
    void *release_arg;
    const skua__kernel *kernel; /* NULL: a transfer, which moves its one buffer */
    skua__buffers *space;       /* its buffers' turns are to be waited for; NULL: it needs none */
    skua__claim *claim; /* the turns that it has already, borrowed; NULL: it asks for its own */
    uint32_t dims, arg_count;
    uint64_t global[3];  /* those above dims are 1 */
    uint64_t first, end; /* the part that it is, of the first dimension; else all of it */
    int32_t priority;    /* skua_priority */
    /*
     * Called once, on an engine's thread or a driver's, under no lock. status is also in error, with words, when it is
     * not 0: SKUA_E_CANCELLED, SKUA_E_DEVICE_FAILED, SKUA_E_DEVICE_MEMORY, SKUA_E_KERNEL_BUILD, SKUA_E_TASK_FAILED...
     */
    void (*done)(skua__launch *launch, skua_status status);
    void *done_arg;
    skua_error error;
    /* How long it took, filled before done(): of the copies and the kernel on the device's clock; on cores run_ns alone. */
    int64_t in_ns, run_ns, out_ns;
    uint64_t in_bytes, out_bytes; /* that were copied */
    /* What was brought to the host before it, from another device; on cores in_ns and in_bytes say that. */
    int64_t fetched_ns;
    uint64_t fetched_bytes;
    /*
     * Of a failed one, filled before done(). half_done: what it reads was written to, so that running it again gives other
     * results unless its memory is filled anew. held: its device hangs and may yet write to its memory, which nobody may
     * use or free any more.
     */
    bool half_done, held;
    int64_t predicted_ns; /* the submitter's: how long the kernel should take; 0: not known */
    /* the runner's */
    skua__engine *engine;
    skua__a32 cancelled; /* relaxed throughout: a cancel that comes too late changes nothing */
    skua__launch_stage stage;
    skua_status status; /* the first failure of a step */
    bool blameless;     /* its device did not fail it: what it reads was lost before */
    /*
     * prompt: small, all of it submitted, and nothing of the caller's is touched after its last command has landed. Then
     * the driver's thread that hears of that ends it (ended), and the engine tidies up later. All under the engine's lock.
     */
    bool prompt, ended, stumbled;
    uint32_t landed;                     /* steps */
    skua__a32 refs;                      /* the caller's, and one of the engine that tidies up */
    struct skua__built *built;           /* once the kernel was submitted */
    uint64_t traced;                     /* its number in the trace; 0: it is in none */
    int64_t called_ns;                   /* when it was submitted; only of one that is traced */
    bool queued;                         /* its engine has it */
    bool dispatched;                     /* it has its buffers' turns */
    uint32_t evictions;                  /* made because there was no memory for it */
    uint64_t wanted_bytes, device_bytes; /* of device memory; of these, taken for it alone */
    bool computed;                       /* its kernel was handed to the device */
    bool express;                        /* all of its commands are in one queue */
    uint32_t pending;                    /* steps that have not landed */
    uint32_t step_count;
    skua__step *steps;                    /* 2 per argument and 1 */
    bool (*is_unwanted)(const void *arg); /* on cores: asked before each piece */
    const void *unwanted_arg;
    skua__a32 code; /* what the first failing call of the C function returned */
    skua__launch_arg args[];
};

/* Whether a launch is one of this kernel. Returns 0, or SKUA_E_BAD_ARGUMENT with words. */
skua_status skua__launch_check(const skua__kernel *kernel, const skua_launch *spec,
                               skua_error *err);
/*
 * Checks a launch against its kernel and copies it. Returns 0, or SKUA_E_BAD_ARGUMENT with words, SKUA_E_NO_MEMORY. The
 * caller owns *ret_launch: skua__launch_free(), never while it is lent.
 */
skua_status skua__launch_new(const skua_allocator *hook, const skua__kernel *kernel,
                             const skua_launch *spec, skua__launch **ret_launch, skua_error *err);
/* How many bytes skua__launch_init() needs for a launch with these arguments. */
size_t skua__launch_bytes(const skua_launch *spec);
/*
 * As skua__launch_new(), in the caller's memory: so many bytes, aligned as malloc()'s are. It holds them until
 * skua__launch_free(), and if it was submitted until its engine has tidied up: then release(launch) is called, if it is set.
 */
skua_status skua__launch_init(void *room, const skua_allocator *hook, const skua__kernel *kernel,
                              const skua_launch *spec, skua__launch **ret_launch, skua_error *err);
/*
 * Makes of a launch the part [first, end) of its first dimension, before it is lent. Its sliced arguments, whose bytes
 * global[0] divides, are those of the whole, but what they point to is the part's slice alone.
 */
void skua__launch_cut(skua__launch *launch, uint64_t first, uint64_t end);
/* Also when its engine has not tidied up after it yet. */
skua__launch *skua__launch_free(skua__launch *launch);
/* A launch of nothing, with room for so many arguments and their steps. NULL: no memory. */
skua__launch *skua__launch_bare(const skua_allocator *hook, uint32_t arg_count);
/* For messages. */
const char *skua__launch_name(const skua__launch *launch);
/*
 * Bytes that would have to be moved for a launch, which was checked, to run on an engine's device, or with NULL on the
 * cores: a buffer's only where it is not current; none where the device uses the host's memory.
 */
uint64_t skua__launch_missing_bytes(const skua__kernel *kernel, const skua_launch *spec,
                                    const skua__engine *engine);

/*
 * Runs a launch's C function on an executor, cut along its first dimension, and returns when it has ended; done() is not
 * called. A worker that calls this does its part of the work itself: were it to wait for a job instead, then as many
 * launches as there are workers and spares would wait for each other. is_unwanted(arg) is asked now and then, by several
 * threads at once. Returns 0, or what is also in launch->error, with words: SKUA_E_UNSUPPORTED (there is no such
 * function), SKUA_E_CANCELLED, SKUA_E_NO_MEMORY, SKUA_E_TASK_FAILED, and what skua_parallel_for() does.
 */
skua_status skua__launch_run_on_cores(skua__launch *launch, skua_exec *exec,
                                      bool (*is_unwanted)(const void *arg), const void *arg);

/* ---- range.c ---- */

/*
 * Chooses groups for a range that begins at 0: the wanted local sizes where they are given, else a fixed choice per number of dimensions (each new
 * group size costs a compilation in some drivers), never above max_group in all. padded: global sizes are rounded up to
 * whole groups; otherwise local sizes are made to divide them.
 */
void skua__range_fit(uint32_t dims, const uint64_t global[3], const uint64_t wanted[3],
                     uint64_t max_group, bool padded, skua__dev_range *ret_range);

/* ---- buffer.c ---- */

skua_status skua__buffers_new(const skua_allocator *hook, skua_devices *devices,
                              skua__buffers **ret_space, skua_error *err);
/* The devices close; buffers that are left live on without them. Takes NULL. */
skua__buffers *skua__buffers_close(skua__buffers *space);
skua__buffers *skua__buffers_of(const struct skua_buffer *buffer);
/* As skua__launch_missing_bytes(), of one buffer that is read. */
uint64_t skua__buffer_missing_bytes(struct skua_buffer *buffer, const skua__engine *engine);
/* As skua_buffer_prefetch(). */
skua_status skua__buffer_prefetch_to(struct skua_buffer *buffer, skua__engine *engine,
                                     skua_error *err);
void *skua__buffer_host(const struct skua_buffer *buffer);
/* Waits for the turns of a launch that runs on the cores. Afterwards, if it returns 0: skua__buffers_leave(). */
skua_status skua__buffers_begin_on_cores(skua__launch *launch, skua_error *err);
/* A launch that still waits for its turns at a device goes to its engine at once, which ends it since it is cancelled. */
void skua__buffers_cancel(skua__launch *launch);
/* Gives a launch's turns back; with success, what it wrote is current where it ran alone. */
void skua__buffers_leave(skua__launch *launch, bool success);

/* ---- claim.c: the turns of a launch before it is known where it runs ---- */

/*
 * A claim stands in the lists of its buffers from the submission of a launch until its end, however often it is tried
 * and wherever. Once it is ready, nothing that was asked for before it conflicts, and the launch may be placed. The uses of
 * each try (launch->claim) then come and go under its cover.
 */
struct skua__claim {
    skua__list link; /* among those that became ready and whose owner is to be told */
    const skua_allocator *hook;
    skua__buffers *space;
    void *owner, *arg; /* the owner's */
    /* Tells the owner that it is ready; called once, under no lock, by whichever thread made room for it. */
    void (*told)(skua__claim *claim);
    bool entered, ready, left;
    bool telling; /* the owner: told() was not called yet, and will be */
    uint32_t count;
    skua__buffer_use uses[]; /* one for each argument that is a buffer, in their order */
};

/* A claim for the buffers among a launch's arguments, of which there is one. NULL: no memory. */
skua__claim *skua__claim_new(const skua_allocator *hook, const skua_param_kind *params,
                             struct skua_buffer *const *buffers, uint32_t count);
skua__claim *skua__claim_free(skua__claim *claim);
/* Takes its place in all lists at once. Returns whether it is ready; else told() will be called. */
bool skua__claim_enter(skua__claim *claim);
/*
 * Leaves the lists: no try of its launch is under way. Those that become ready by that are appended to ret_ready, with
 * `telling` set, for the caller to tell. Returns false when told() is still to be called for this one, so that it must not
 * be freed before.
 */
bool skua__claim_leave(skua__claim *claim, skua__list *ret_ready);

/* ---- engine.c: one device and its thread ---- */

/* How memory of the caller's reaches the device. */
typedef enum skua__copy_mode {
    SKUA__COPY_BEST = 0,   /* not at all where it is shared, else staged where that pays */
    SKUA__COPY_STAGED = 1, /* as if nothing were shared: for tests and measurements on a CPU */
    SKUA__COPY_PLAIN = 2,  /* not staged: left to the driver */
} skua__copy_mode;

typedef struct skua__engine_options {
    const skua_allocator *hook; /* borrowed, as everything here until skua__engine_close() */
    const skua__device_driver *driver;
    void *driver_ctx;
    const skua_device_info *info; /* copied */
    uint32_t ordinal;             /* among devices with equal descriptions */
    uint32_t device;              /* its number in the list of devices */
    uint32_t depth;               /* launches whose copies may be under way at a time; 0: 3 */
    const char *cache_dir;        /* for binaries; copied; NULL: none are kept */
    int64_t hang_ms; /* a kernel that runs so long hangs; 0: 10,000; SKUA_UNLIMITED: none does */
    int64_t quarantine_ms;  /* the first one's, each is twice as long; 0: 1,000; SKUA_NONE */
    uint64_t reserve_bytes; /* of the device's memory that stays free; 0: admission.h's share */
    skua__copy_mode copies;
    uint64_t stage_bytes; /* of a pinned block; 0: 2 MiB */
    skua__track *track; /* that launches are told to; with the rows skua__engine_rows; NULL: none */
} skua__engine_options;

/* The rows of a device's track, one for each queue. */
extern const char *const skua__engine_rows[SKUA__DEV_QUEUES];

typedef struct skua__engine_counters {
    uint64_t launches, failures, hangs;
    uint64_t evictions,
        quarantines; /* launches that were run again with all memory let go; see watch.h */
    uint64_t builds, binaries_used; /* kernels built; of these, from kept binaries */
    uint64_t build_ns;
    uint64_t in_bytes, out_bytes, zero_copies;
} skua__engine_counters;

/*
 * Opens the device on a thread of its own. Returns 0, or what the driver's open() did, SKUA_E_SYSTEM, SKUA_E_NO_MEMORY. The
 * caller owns *ret_engine: skua__engine_close(). Blocks until the driver has answered.
 */
skua_status skua__engine_open(skua__engine **ret_engine, const skua__engine_options *options,
                              skua_error *err);
/* Launches that wait end SKUA_E_CANCELLED, those under way are waited for. Takes NULL; does nothing after a fork(). */
skua__engine *skua__engine_close(skua__engine *engine);
/*
 * Lends a launch to the engine. Returns 0, and then done() is called once; else SKUA_E_CLOSED, SKUA_E_FORKED,
 * SKUA_E_AGAIN (too many wait), SKUA_E_DEVICE_FAILED (in quarantine). Threads: any. Blocks: never.
 */
skua_status skua__engine_submit(skua__engine *engine, skua__launch *launch, skua_error *err);
/*
 * Asks that a launch that has not started end SKUA_E_CANCELLED: the engine's thread is woken for it. Not after its done() has
 * returned. Threads: any. Blocks: never.
 */
void skua__engine_cancel(skua__engine *engine, skua__launch *launch);
/*
 * Waits until the engine has let go of every launch whose done() was called: small ones are kept until it wakes for something. For who
 * takes the launches' allocator away. Threads: any but the engine's, under no lock. Blocks: for a moment.
 */
void skua__engine_tidy(skua__engine *engine);
/* Whether its device uses host memory at this address in place. */
bool skua__engine_shares(const skua__engine *engine, const void *host);
/* Until when, at least, a device that failed takes nothing; 0: it takes what comes. Threads: any. Blocks: never. */
int64_t skua__engine_rests_until_ns(skua__engine *engine);
/* Launches that were submitted and have not ended. */
uint32_t skua__engine_under_way(const skua__engine *engine);
/* Whether its thread sleeps, with nothing to do until a command ends or somebody calls. For tests on a virtual clock. */
bool skua__engine_is_settled(skua__engine *engine);
void skua__engine_counters_get(skua__engine *engine, skua__engine_counters *ret);

/* ---- devices.c ---- */

/*
 * The engine of the i-th device, opened by the first call and closed by skua_devices_close(). Returns 0, SKUA_E_NOT_FOUND,
 * SKUA_E_UNSUPPORTED (not usable), or what skua__engine_open() does; a failure is tried again. Threads: any.
 */
skua_status skua__devices_engine(skua_devices *devices, size_t i, skua__engine **ret_engine,
                                 skua_error *err);
/* The i-th device's launches stand in the executor's trace from now on. Returns as skua__exec_add_track(). Its engine was opened. */
skua_status skua__devices_trace(skua_devices *devices, size_t i, skua_exec *exec, skua_error *err);
/* What the list's buffers share. */
skua__buffers *skua__devices_buffers(const skua_devices *devices);
/* The folder where the devices' descriptions are kept; NULL: nowhere. Lives as long as devices. */
const char *skua__devices_cache_dir(const skua_devices *devices);
/* One more device, with a driver of its own: the tests' fake one. Before anybody else uses devices. */
skua_status skua__devices_add(skua_devices *devices, const skua__device_driver *driver,
                              void *driver_ctx, const skua_device_info *info);
/* As the engines' options of these names, for those that are opened after it; for tests. */
void skua__devices_set_patience(skua_devices *devices, int64_t hang_ms, int64_t quarantine_ms);

#endif
