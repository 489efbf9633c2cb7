// SPDX-License-Identifier: MPL-2.0
// The allocator hook: every handle takes one in its options, and uses nothing else.
#ifndef SKUA_ALLOC_H
#define SKUA_ALLOC_H

#include <skua/version.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_ALLOCATOR_VERSION 1

/*
 * A table of callbacks. The table and ctx are borrowed: they must outlive every handle that was
 * opened with them. Each callback may be called from any thread at once.
 */
typedef struct skua_allocator {
    uint32_t version;                                /* SKUA_ALLOCATOR_VERSION */
    void *ctx;                                       /* handed to each callback */
    void *(*allocate)(void *ctx, size_t size_bytes); /* NULL when there is none; 16-byte aligned */
    void *(*resize)(void *ctx, void *block, size_t size_bytes); /* like realloc */
    void (*release)(void *ctx, void *block);                    /* takes NULL */
} skua_allocator;

/**
 * The allocator that is used where an option is NULL: the C library's.
 *
 * Returns: a table that lives as long as the process.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const skua_allocator *skua_allocator_default(void);

#ifdef __cplusplus
}
#endif
#endif
