// SPDX-License-Identifier: MPL-2.0
// A device that is none: behind the driver table of a real one it runs C functions, takes the time that it is told
// to take, and fails when it is told to. It also watches that its driver is used as the table says.
#ifndef SKUA_INT_FAKE_DEVICE_H
#define SKUA_INT_FAKE_DEVICE_H

#include <skua-int/device_driver.h>
#include <skua/kernel.h>

typedef struct skua__fake
    skua__fake; /* the hardware; it outlives the devices that are opened on it */

enum {
    SKUA__FAKE_ENTRIES_MAX = 32,
    SKUA__FAKE_MISUSE_BYTES = 160,
};

/* When commands end. */
typedef enum skua__fake_clock {
    SKUA__FAKE_REAL = 0,    /* on a thread of the device's own, after the time that they take */
    SKUA__FAKE_VIRTUAL = 1, /* in skua__fake_step(), on a clock that only it moves */
    SKUA__FAKE_INLINE = 2,  /* inside the call that submits them */
} skua__fake_clock;

/* What stands behind an entry point of a source. The source itself is only looked at for "#error". */
typedef struct skua__fake_entry {
    const char *name; /* borrowed, as all of it */
    skua_kernel_fn
        fn; /* runs the whole of a launch; a result that is not 0 ends the launch SKUA_E_DEVICE_FAILED */
    void *arg;
    bool
        guarded; /* its last arguments are SKUA_SIZE, which fn does not see; it has the whole size in its call */
    uint64_t launch_ps; /* picoseconds for each work-item, padding included */
} skua__fake_entry;

typedef struct skua__fake_options {
    const skua_allocator *hook; /* borrowed until skua__fake_free() */
    skua__fake_clock clock;
    const skua__fake_entry *entries; /* copied */
    uint32_t entry_count;
    uint64_t memory_bytes;     /* that it truly has, whatever its description says; 0: no end */
    bool lazy_memory;          /* memory is only missed by the first command that uses it */
    int64_t copy_ns;           /* of each copy */
    uint64_t copy_bytes_per_s; /* 0: at once */
    uint64_t host_bytes_per_s; /* of host copies, one at a time; 0: at once */
    int64_t launch_ns;         /* of each launch */
    uint64_t max_group;        /* work-items; 0: 256 */
    int64_t clock_ahead_ns;    /* its clock, by which it tells times, is so much ahead of ours */
} skua__fake_options;

/* What goes wrong. Counts are of calls, launches or copies from now on, the first is 1; 0: none. */
typedef struct skua__fake_faults {
    bool absent;           /* open() finds nothing */
    uint32_t builds;       /* so many builds fail */
    uint32_t memory_at;    /* this launch ends SKUA_E_DEVICE_MEMORY, */
    uint32_t memory_times; /* and so many after it */
    uint32_t hang_at;      /* this launch never ends by itself */
    uint32_t
        loss_at; /* the device is lost in the middle of this launch, until it is opened again */
    uint32_t submit_at;    /* submitting this launch fails at once, SKUA_E_DEVICE_FAILED */
    uint64_t others_bytes; /* memory that somebody else took */
    uint32_t copy_loss_at; /* the device is lost in the middle of this copy to or from it */
    uint32_t copy_hang_at; /* this copy never ends by itself */
    bool no_pinned;        /* there is no PINNED memory */
    bool no_copiers;       /* there are no threads for host copies */
    bool no_binaries;      /* kernel_binary() is not offered, and given ones are refused */
} skua__fake_faults;

typedef struct skua__fake_counters {
    uint32_t opens, devices;    /* in all; open now */
    uint32_t memories, kernels; /* alive */
    uint64_t memory_bytes;      /* of DEVICE memory alive */
    uint64_t memory_peak_bytes;
    uint64_t builds, binaries;                       /* from source; from a binary */
    uint64_t launches, copies, copied_bytes, failed; /* commands that have ended */
    uint64_t pinned_bytes; /* of copied_bytes: from and to pinned memory */
    uint64_t host_copies;
    uint64_t misuses;                     /* calls that the table does not allow */
    char misuse[SKUA__FAKE_MISUSE_BYTES]; /* the first of them */
} skua__fake_counters;

/* NULL: no memory. The caller owns it: skua__fake_free(), after the last device on it is closed. */
skua__fake *skua__fake_new(const skua__fake_options *options);
skua__fake *skua__fake_free(skua__fake *fake);

/* The table; a skua__fake is its ctx. */
const skua__device_driver *skua__fake_driver(void);
/* A description of such a device, with so much memory; a fake of less memory_bytes than it says lies. */
skua_device_info skua__fake_info(uint64_t memory_bytes);

/* Sets what goes wrong from now on. Threads: any. */
void skua__fake_set_faults(skua__fake *fake, const skua__fake_faults *faults);
/* Lets a launch that hangs go on after all. Threads: any. */
void skua__fake_unhang(skua__fake *fake);
skua__fake_counters skua__fake_counts(skua__fake *fake);

/*
 * SKUA__FAKE_VIRTUAL: ends the command that is due first, at its time, and calls its done(). Returns false when none is due
 * ever. Threads: one at a time.
 */
bool skua__fake_step(skua__fake *fake);
/* The virtual clock in ns; for SKUA__FAKE_REAL the monotonic one. */
int64_t skua__fake_now_ns(skua__fake *fake);

#endif
