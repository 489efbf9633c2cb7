// SPDX-License-Identifier: MPL-2.0
// The histogram of the lengths of words, as a kernel for OpenCL devices: each work-item counts the words that begin in its slice of a text.
#ifndef SKUA_DEMO_LENGTHS_H
#define SKUA_DEMO_LENGTHS_H

#include <skua/launch.h>

enum {
    DEMO_LENGTHS =
        32, /* words of this many letters and more are counted together, as this many less one */
    DEMO_LENGTHS_SLICE = 1024, /* bytes of a work-item */
};

/* One text under way. Zeroed memory is none. */
typedef struct demo_lengths {
    char *text;
    uint32_t size, items;
    uint32_t *out; /* a histogram for each item */
    skua_pool_future *future;
    skua_kernel_arg args[3];
    int32_t on;
} demo_lengths;

/* Makes the kernel known to a pool. Returns as skua_kernel_register(). */
skua_status demo_lengths_register(skua_pool *pool, skua_error *err);
/*
 * Begins to count the words of a text where `on` says (skua_launch.on); takes text, a block of skua__mem_new(), on success. Returns as
 * skua_kernel_submit(), or SKUA_E_NO_MEMORY.
 */
skua_status demo_lengths_submit(demo_lengths *self, skua_pool *pool, int32_t on, char *text,
                                uint32_t size, skua_error *err);
/* Waits for one and adds what it counted; it is none afterwards. Returns as skua_kernel_collect(). */
skua_status demo_lengths_collect(demo_lengths *self, skua_pool *pool,
                                 uint64_t histogram[DEMO_LENGTHS], skua_error *err);
/* Takes one that may be under way. */
void demo_lengths_fini(demo_lengths *self);

#endif
