// SPDX-License-Identifier: MPL-2.0
// Which backend will be done first? A selector knows, for each kernel and backend, how long work of each size took,
// and how long bytes take to get there; it answers with the reasons. No threads, no clock: the caller tells it times.
#ifndef SKUA_SELECT_H
#define SKUA_SELECT_H

#include <skua/alloc.h>
#include <skua/common.h>
#include <skua/error.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A pool has one for its launches (skua/launch.h) and needs no help. By itself it serves whoever has several ways to do the same work:
 *
 *     skua_selector_open(&selector, SKUA_SELECTOR_OPTIONS(.path = "times"), &err);
 *     skua_selector_add_backend(selector, SKUA_SELECT_BACKEND(.name = "loop", .kind = SKUA_SELECT_SCALAR), &loop, &err);
 *     skua_selector_add_backend(selector, SKUA_SELECT_BACKEND(.name = "gpu", .kind = SKUA_SELECT_DEVICE), &gpu, &err);
 *     skua_selector_kernel(selector, "blur", &blur, &err);
 *
 *     skua_select_place places[] = {{.backend = loop}, {.backend = gpu, .missing_bytes = 2 * bytes}};
 *     skua_select_work work = {.size = sizeof work, .kernel = blur, .units = pixels, .places = places, .place_count = 2};
 *     skua_select_decision decision = {.size = sizeof decision};
 *     skua_select(selector, &work, &decision, &err);         // decision.backend is loop or gpu
 *     ...                                                    // do it there, and take the time
 *     skua_selector_learn(selector, SKUA_SELECT_OUTCOME(.kernel = blur, .backend = decision.backend, .units = pixels,
 *                                                       .run_ns = took_ns), &err);
 *
 * All times are in nanoseconds. A selector that begins with nothing tries each kernel everywhere first, at whatever sizes come;
 * where a wrong try is dear, calibrate: skua_selector_calibrate().
 */
typedef struct skua_selector skua_selector;

enum {
    SKUA_SELECT_BACKENDS_MAX = 16, /* of one selector */
    SKUA_SELECT_KERNELS_MAX = 256,
    SKUA_SELECT_NAME_BYTES = 96, /* with the final 0 */
};

/* What a backend is. The learning policy does not care; the fixed policies do. */
typedef enum skua_select_kind {
    SKUA_SELECT_SCALAR = 1, /* one core, plain code */
    SKUA_SELECT_SIMD = 2,   /* the cores at their best: vector code, all of them */
    SKUA_SELECT_DEVICE = 3, /* a device with memory of its own, or an integrated one */
    SKUA_SELECT_PEER = 4,   /* another machine */
} skua_select_kind;

/* How the choice is made. All but the first are there to be compared with it. */
typedef enum skua_select_policy {
    SKUA_SELECT_LEARNED = 0, /* the smallest predicted time */
    /*
     * A device if computing takes more than five times as long as moving the bytes (Gregg and Hazelwood, "Where is
     * the data?", ISPASS 2011), at the nominal speeds of the selector's options; element-wise work never, and scalar
     * up to a million elements; else SIMD.
     */
    SKUA_SELECT_FIVE_TIMES_PCIE = 1,
    SKUA_SELECT_ALWAYS_SCALAR = 2,
    SKUA_SELECT_ALWAYS_SIMD = 3,
    SKUA_SELECT_ALWAYS_DEVICE = 4,
    SKUA_SELECT_ALWAYS_PEER = 5,
    SKUA_SELECT_SHORTEST_WAIT = 6, /* where it would start first, whatever it costs there */
    SKUA_SELECT_ROUND_ROBIN = 7,
    SKUA_SELECT_RANDOM = 8,
} skua_select_policy;

/* The allocator is borrowed until skua_selector_close(), the path is copied. */
typedef struct skua_selector_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the default */
    /* The file in which what was learned is kept between runs. NULL or "": nowhere. */
    const char *path;
    uint64_t seed;            /* of the exploration; 0: 1 */
    int32_t explore_permille; /* decisions that may explore; 0: 20; at most 50; or SKUA_NONE */
    int32_t
        explore_cost_permille; /* of all predicted time that exploring may waste; 0: 5; or SKUA_NONE */
    int32_t
        hysteresis_permille; /* gain that leaving the last backend must bring; 0: 30; or SKUA_NONE */
    uint32_t reserved;
    uint64_t pcie_bytes_per_s; /* nominal, of SKUA_SELECT_FIVE_TIMES_PCIE; 0: 32e9 */
    uint64_t device_flops;     /* nominal, per second; 0: 20e12 */
} skua_selector_options;

#define SKUA_SELECTOR_OPTIONS(...)                                                                 \
    (&(const skua_selector_options){.size = sizeof(skua_selector_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_selector_options_init(skua_selector_options *options, size_t size);

/**
 * Makes a selector. What an earlier one of the same path has learned is read; a file that is not whole is as good as
 * none. Copies options, which may be NULL. The caller owns *ret_selector: skua_selector_close().
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY.
 * Threads: any. Blocks: while the file is read. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_selector_open(skua_selector **ret_selector,
                                                        const skua_selector_options *options,
                                                        skua_error *err);

/**
 * Ends a selector, after keeping what it has learned since it was last saved; a file that cannot be written is no
 * error here. Takes NULL.
 *
 * Returns: NULL.
 * Threads: synchronised with every other call on it. Blocks: while the file is written. Since 0.1.
 */
SKUA_API skua_selector *skua_selector_close(skua_selector *selector);

/**
 * Keeps what was learned now: the file is written aside and renamed, so that it is always whole.
 *
 * Returns: 0, or SKUA_E_SYSTEM, SKUA_E_NO_MEMORY, SKUA_E_BAD_ARGUMENT (it has no path).
 * Threads: synchronised with every other call on it. Blocks: while the file is written. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_selector_save(skua_selector *selector, skua_error *err);

/* One backend, with first guesses that hold until something was measured. The name is copied. */
typedef struct skua_select_backend {
    size_t size;
    const char *name; /* the same in each run: what was learned is kept under it. 1 to 95 bytes */
    int32_t kind;     /* skua_select_kind */
    uint32_t reserved;
    int64_t launch_ns;    /* from the call until the first instruction runs */
    uint64_t bytes_per_s; /* at which missing bytes get there; 0: they are there at once */
    uint64_t flops;       /* per second; 0: not known */
} skua_select_backend;

#define SKUA_SELECT_BACKEND(...)                                                                   \
    (&(const skua_select_backend){.size = sizeof(skua_select_backend), __VA_ARGS__})

/**
 * Tells the selector of a backend; one of a name that it knows goes on with what was learned. *ret_backend is its
 * number from now on.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_LIMIT (there are SKUA_SELECT_BACKENDS_MAX in use), SKUA_E_EXISTS (it was
 * told already).
 * Threads: synchronised with every other call on the selector. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_selector_add_backend(skua_selector *selector,
                                                               const skua_select_backend *backend,
                                                               uint32_t *ret_backend,
                                                               skua_error *err);

/**
 * A backend is no longer there: no work names its number any more, until a new backend is given it. What was learned of it is
 * kept under its name, for the case that it comes back, until another one needs the room.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT (no backend has this number now).
 * Threads: synchronised with every other call on the selector. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_selector_remove_backend(skua_selector *selector,
                                                                  uint32_t backend,
                                                                  skua_error *err);

/**
 * The number of a kernel of this name, new or known. The name (1 to 95 bytes) is copied.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY, SKUA_E_LIMIT (there are SKUA_SELECT_KERNELS_MAX).
 * Threads: synchronised with every other call on the selector. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_selector_kernel(skua_selector *selector, const char *name,
                                                          uint32_t *ret_kernel, skua_error *err);

/* A backend as it stands for one piece of work. */
typedef struct skua_select_place {
    uint32_t backend; /* its number */
    uint32_t
        full; /* 1: it takes nothing now. It is chosen only when it is worth waiting for (SKUA_SELECT_WAIT) */
    int64_t wait_ns;        /* until it would start there */
    uint64_t missing_bytes; /* that have to get there first, and the results back */
} skua_select_place;

/* One piece of work. */
typedef struct skua_select_work {
    size_t size;
    uint32_t kernel; /* its number */
    int32_t policy;  /* skua_select_policy */
    uint64_t
        units; /* how large it is, in the kernel's own measure: elements, rows, bytes. 0 counts as 1 */
    uint64_t flops; /* operations; 0: not known */
    uint64_t bytes; /* that it reads and writes; 0: not known */
    uint8_t
        elementwise; /* 1: each element by itself, as in an addition: for SKUA_SELECT_FIVE_TIMES_PCIE */
    uint8_t reserved[7];
    const skua_select_place *places; /* borrowed for the call: where it may run */
    size_t place_count;              /* 1 to SKUA_SELECT_BACKENDS_MAX */
} skua_select_work;

/* Why a backend was chosen. */
typedef enum skua_select_reason {
    SKUA_SELECT_BEST = 1,     /* it is predicted to be done first */
    SKUA_SELECT_ONLY = 2,     /* there is no other */
    SKUA_SELECT_KEPT = 3,     /* another one is better, but not by enough to leave the last one */
    SKUA_SELECT_EXPLORED = 4, /* to learn how it does at this size */
    SKUA_SELECT_RULE = 5,     /* a fixed policy says so */
    SKUA_SELECT_WAIT =
        6, /* it is full, and yet done first: ask again when it has room. Nothing is counted */
} skua_select_reason;

/* One candidate's sum: total = wait + launch + move + run. */
typedef struct skua_select_term {
    uint32_t backend;
    uint32_t
        samples; /* of run times near this size; 0 with known = 1: guessed from other sizes or speeds */
    int64_t wait_ns, launch_ns, move_ns, run_ns, total_ns;
    uint8_t
        known; /* 0: nothing tells how long it runs there; run_ns is then what the slowest known takes */
    uint8_t reserved[7];
    uint64_t missing_bytes; /* that move_ns is for */
} skua_select_term;

/* A decision. The library fills at most `size` bytes: fields are only ever added at the end. */
typedef struct skua_select_decision {
    size_t size;
    uint32_t place;   /* the index of the chosen one in work->places, and in terms */
    uint32_t best;    /* the index of the smallest sum */
    uint32_t backend; /* the chosen one's number */
    int32_t reason;   /* skua_select_reason */
    uint32_t kernel;
    uint32_t count; /* of terms */
    uint64_t units;
    skua_select_term terms[SKUA_SELECT_BACKENDS_MAX];
} skua_select_decision;

/**
 * Chooses among work->places. Set ret_decision->size to sizeof *ret_decision before; only `count` terms are written.
 * A decision takes well under a microsecond, allocates nothing and makes no system call.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT (a number that the selector never gave, no places, a policy that is none).
 * Threads: synchronised with every other call on the selector. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_select(skua_selector *selector,
                                                 const skua_select_work *work,
                                                 skua_select_decision *ret_decision,
                                                 skua_error *err);

/**
 * Writes a decision in words, one line per candidate, cut to ret_size bytes with the final 0.
 *
 * Returns: the length of the whole text, as snprintf() does.
 * Threads: synchronised with every other call on the selector. Blocks: never. Since 0.1.
 */
SKUA_API size_t skua_select_text(const skua_selector *selector,
                                 const skua_select_decision *decision, char *ret, size_t ret_size);

/* What a run took. A time of 0 or less was not measured. */
typedef struct skua_select_outcome {
    size_t size;
    uint32_t kernel;
    uint32_t backend;
    uint64_t units;
    int64_t run_ns;       /* of the kernel alone */
    int64_t launch_ns;    /* from the call until it ran, without wait and move */
    int64_t move_ns;      /* of the bytes that were missing, there and back */
    uint64_t moved_bytes; /* these */
} skua_select_outcome;

#define SKUA_SELECT_OUTCOME(...)                                                                   \
    (&(const skua_select_outcome){.size = sizeof(skua_select_outcome), __VA_ARGS__})

/**
 * Learns from a run. A single time that is far off counts for little; several in a row count as a change.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT (numbers that the selector never gave), SKUA_E_NO_MEMORY (the first run of a
 * kernel on a backend makes room for its times).
 * Threads: synchronised with every other call on the selector. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_selector_learn(skua_selector *selector,
                                                         const skua_select_outcome *outcome,
                                                         skua_error *err);

/* How a kernel is calibrated. */
typedef struct skua_select_calibration {
    size_t size;
    uint32_t kernel;
    uint32_t points;    /* sizes, evenly spread on a logarithmic scale; 0: 6; at most 64 */
    uint64_t min_units; /* the smallest; 0: 1 */
    uint64_t max_units; /* the largest; at least min_units */
    uint32_t repeats;   /* runs of each, of which the median counts; 0: 3; at most 15 */
    uint32_t reserved;
    int64_t budget_ns; /* for each backend: larger sizes are left out when it is spent; 0: 200 ms */
    /*
     * Runs the kernel once on a backend. Returns its run time in ns, or a negative number when it cannot be run there;
     * then no larger size is tried. Called in the calling thread, on every backend told to the selector.
     */
    int64_t (*measure)(void *arg, uint32_t backend, uint64_t units);
    void *arg;
} skua_select_calibration;

/**
 * Runs a kernel at a few sizes on every backend, the smallest first, so that the first decisions are no guesses. (For the
 * kernels of a pool: skua_kernel_calibrate().)
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY.
 * Threads: synchronised with every other call on the selector. Blocks: while measure() runs. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_selector_calibrate(
    skua_selector *selector, const skua_select_calibration *calibration, skua_error *err);

/**
 * Splits work->units over its places so that they are all predicted to be done at the same time: ret_units[i] belongs
 * to places[i], and their sum is work->units. Each share but one is a multiple of granule (0: 1), and a place that
 * would not gain anything gets 0. missing_bytes of a place are those of the whole work; a share moves its part.
 * *ret_total_ns (may be NULL) is when they are done; 0 when nothing is known of any place, and then one has all of it.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT.
 * Threads: synchronised with every other call on the selector. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_select_split(const skua_selector *selector,
                                                       const skua_select_work *work,
                                                       uint64_t granule, uint64_t *ret_units,
                                                       int64_t *ret_total_ns, skua_error *err);

/* What a selector has done so far. Set size to sizeof *ret before. */
typedef struct skua_selector_counters {
    size_t size;
    uint64_t decisions;
    uint64_t explored; /* of these */
    uint64_t kept;     /* of these, with the last backend although another was a little better */
    uint64_t learned;  /* run times */
    uint64_t outliers; /* of these, that were too far off to count fully */
} skua_selector_counters;

/**
 * Fills *ret_counters, as far as its size reaches.
 *
 * Returns: nothing; there are no errors.
 * Threads: synchronised with every other call on the selector. Blocks: never. Since 0.1.
 */
SKUA_API void skua_selector_stats(const skua_selector *selector,
                                  skua_selector_counters *ret_counters);

/**
 * The name of a policy: "learned", "five-times-pcie", "always-device", ...
 *
 * Returns: a string that lives as long as the process; "unknown" for any other number.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_select_policy_text(int32_t policy);

#ifdef __cplusplus
}
#endif
#endif
