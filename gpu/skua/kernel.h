// SPDX-License-Identifier: MPL-2.0
// A kernel: one piece of work written twice, in OpenCL C for devices and in C for cores, and the memory that it
// works on. Which of the two runs is chosen launch by launch (skua/launch.h).
#ifndef SKUA_KERNEL_H
#define SKUA_KERNEL_H

#include <skua/alloc.h>
#include <skua/common.h>
#include <skua/device.h>
#include <skua/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_KERNEL_MAX_GLOBAL (UINT64_C(1) << 40) /* work-items of a launch */

enum {
    SKUA_KERNEL_NAME_BYTES = 64, /* a kernel's name with its final 0 */
    SKUA_KERNEL_MAX_PARAMS = 32,
    SKUA_KERNEL_MAX_VALUE_BYTES = 128, /* of one SKUA_PARAM_VALUE: a double16 */
    SKUA_KERNEL_MAX_SOURCE_BYTES = 4 * 1024 * 1024,
};

/* What a parameter of a kernel is. */
typedef enum skua_param_kind {
    SKUA_PARAM_IN = 1,    /* memory that is only read */
    SKUA_PARAM_OUT = 2,   /* memory that is wholly written; what was in it need not be moved */
    SKUA_PARAM_INOUT = 3, /* memory that is read and written, or only partly written */
    SKUA_PARAM_VALUE = 4, /* a number or a struct, passed by value */
    SKUA_PARAM_LOCAL = 5, /* scratch memory of a work-group; in C: of a call of the function */
} skua_param_kind;

/* One argument of a launch, by the kind of its parameter. Unused fields are zero. */
typedef struct skua_kernel_arg {
    /* IN, OUT, INOUT: the caller's own memory of `bytes` bytes. When it is read and written is the launching call's to say. */
    void *data;
    /* VALUE: copied by the launch. */
    const void *value;
    /* Of data, value or buffer (all of it); of the scratch memory for LOCAL. */
    size_t bytes;
    /*
     * IN, OUT, INOUT: a buffer (skua/buffer.h) in place of data, which stays where it was used last until somebody wants it
     * elsewhere. It may be freed once the launch was submitted: that waits for it. One that the launch writes to stands in
     * it only once.
     */
    struct skua_buffer *buffer;
} skua_kernel_arg;

/* What the C function is given: its part of the work, and the arguments as the kernel would have them. */
typedef struct skua_kernel_call {
    size_t size;
    uint32_t dims;
    uint32_t arg_count;
    uint64_t global[3]; /* the whole launch, of which this may be a part; sizes above dims are 1 */
    uint64_t begin;     /* the part to do: items begin to end-1 of the first dimension, */
    uint64_t end;       /* and all of the others */
    void *const *args;  /* memory: its address; VALUE: the address of the value; LOCAL: scratch */
} skua_kernel_call;

/*
 * Does the items [begin, end) of a launch on a core. Several calls of one launch may run at once, with different items.
 * Returns 0, or a number above 0, with which the launch fails. arg is the spec's.
 */
typedef int (*skua_kernel_fn)(const skua_kernel_call *call, void *arg);

struct skua_launch;

/*
 * Whether the sizes of a launch fit together: is every buffer as large as the work-items need it? Called before each
 * launch with its values and sizes; it must not read the memory. Returns 0 when they do.
 */
typedef int (*skua_kernel_check_fn)(const struct skua_launch *launch, void *arg);

/*
 * What a kernel is. Everything is copied by the registration, except what fn_arg points to, which is borrowed. The source is
 * built with macros in front of it: a kernel whose parameter list ends with SKUA_SIZE, and whose body begins with
 * SKUA_GUARD();, may be run with more work-items than asked for (spec.guarded), which lets any size use full groups:
 *   kernel void add(global float *sum, global const float *more, SKUA_SIZE) {
 *       SKUA_GUARD();
 *       sum[get_global_id(0)] += more[get_global_id(0)];
 *   }
 * Without a guard a group's size must divide the launch's, and is 1 for a large prime, which is slow: skua_pool_explain() says so.
 *
 * Such a kernel knows by SKUA_GLOBAL_SIZE(d) how many work-items the launch has in dimension d, as skua_kernel_call.global tells
 * it to the C function: get_global_size(d) counts those that pad it too, and in a part of a split launch (skua_launch.split) only the
 * part's. There get_global_id(0) is the index in the whole launch, and get_global_offset(0) the part's first one.
 */
typedef struct skua_kernel_spec {
    size_t size;
    const char *source;  /* OpenCL C; NULL: only fn runs it */
    const char *options; /* of the compiler, such as "-cl-fast-relaxed-math"; NULL: none */
    const char *entry;   /* the kernel's name in source; NULL: the registered name */
    const skua_param_kind *params; /* SKUA_SIZE is not counted */
    uint32_t param_count;
    uint8_t guarded; /* 1: SKUA_SIZE and SKUA_GUARD() are there */
    uint8_t reserved_flags[3];
    skua_kernel_fn fn; /* NULL: only devices run it */
    void *fn_arg;      /* of fn and check */
    /* A peer may send any sizes, and neither fn nor the source sees how large a buffer is. NULL: all sizes are trusted. */
    skua_kernel_check_fn check;
    uint64_t local[3]; /* of a work-group; 0: chosen */
    /* Operations of one work-item, for the prediction; 0: not known, it is learned. */
    double work;
    /* Bytes that one work-item moves, for the prediction; 0: the sizes of the buffers. */
    double bytes;
    /*
     * Bit i: parameter i, which is memory, is *sliced* along the first dimension. Work-items whose first index is j touch only
     * bytes j*b to (j+1)*b-1 of it, where b is the argument's bytes / global[0]. What a kernel writes to must be sliced for its
     * launches to be cut into parts (skua_launch.split); inputs that are not go to each part whole. Since 0.1.
     */
    uint32_t sliced;
    uint32_t reserved;
} skua_kernel_spec;

#define SKUA_KERNEL_SPEC(...)                                                                      \
    (&(const skua_kernel_spec){.size = sizeof(skua_kernel_spec), __VA_ARGS__})

/* One launch. The struct, its strings and the array of arguments are borrowed for the call. */
typedef struct skua_launch {
    size_t size;
    const char *kernel; /* as it was registered */
    uint32_t dims;      /* 1 to 3; 0: 1 */
    uint32_t arg_count;
    uint64_t global[3]; /* work-items; those above dims are ignored */
    const skua_kernel_arg *args;
    int32_t priority; /* skua_priority */
    /* Where it runs: SKUA_ON_ANY, SKUA_ON_CORES, or the number of a device + SKUA_ON_DEVICE. */
    int32_t on;
    int64_t
        timeout_ms; /* it must have ended so long after its submission. 0, SKUA_UNLIMITED: none */
    /*
     * 1: it is cut along its first dimension into one part for each place that shortens it (the cores, devices, peers), so
     * sized that all are predicted to end at once. Nothing else is different: indices are those of the whole launch, sliced
     * memory is addressed as if all of it were there, and there is one result. A device needs the memory for a part's
     * sliced arguments from their beginning to the part's end, but only the part is moved. In OpenCL get_global_size(0) is the
     * part's: use SKUA_GLOBAL_SIZE(0). 0: it runs whole, at one place. Since 0.1.
     */
    uint8_t split;
    uint8_t reserved[7];
} skua_launch;

enum {
    SKUA_ON_ANY = 0,
    SKUA_ON_CORES = 1,
    SKUA_ON_DEVICE = 16, /* the first device; the next ones follow */
};

#define SKUA_LAUNCH(...) (&(const skua_launch){.size = sizeof(skua_launch), __VA_ARGS__})

#ifdef __cplusplus
}
#endif
#endif
