// SPDX-License-Identifier: MPL-2.0
// An allocator that fails at the n-th call and counts what is alive: it walks a test through every error branch.
#ifndef SKUA_FAILING_ALLOCATOR_H
#define SKUA_FAILING_ALLOCATOR_H

#include <skua/alloc.h>
#include <stdatomic.h>

typedef struct failing_allocator {
    skua_allocator hook;
    atomic_long calls;   /* allocations asked for so far */
    atomic_long alive;   /* blocks not yet released */
    atomic_long fail_at; /* the call that fails, counted from 1; 0: none */
} failing_allocator;

/* Prepares self (the caller's memory) so that call number fail_at, and every one after it, returns NULL. */
void failing_allocator_init(failing_allocator *self, long fail_at);

/*
 * The usual use: for (long n = 1; ; n++) { failing_allocator_init(&a, n); status = open(&a.hook); if (status == 0) break;
 * assert(alive == 0); }
 */

#endif
