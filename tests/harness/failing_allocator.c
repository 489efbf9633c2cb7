// SPDX-License-Identifier: MPL-2.0
// The failing allocator.
#include "failing_allocator.h"

#include <stdbool.h>
#include <stdlib.h>

static bool
fails_now(failing_allocator *self) {
    long call = atomic_fetch_add(&self->calls, 1) + 1;
    long fail_at = atomic_load(&self->fail_at);
    return fail_at && call >= fail_at;
}

static void *
failing_allocate(void *ctx, size_t size_bytes) {
    failing_allocator *self = ctx;
    void *block = fails_now(self) ? NULL : malloc(size_bytes);
    if (block) {
        atomic_fetch_add(&self->alive, 1);
    }
    return block;
}

static void *
failing_resize(void *ctx, void *block, size_t size_bytes) {
    failing_allocator *self = ctx;
    void *resized = fails_now(self) ? NULL : realloc(block, size_bytes);
    if (resized && !block) {
        atomic_fetch_add(&self->alive, 1);
    }
    return resized;
}

static void
failing_release(void *ctx, void *block) {
    failing_allocator *self = ctx;
    if (block) {
        atomic_fetch_sub(&self->alive, 1);
        free(block);
    }
}

void
failing_allocator_init(failing_allocator *self, long fail_at) {
    *self = (failing_allocator){.hook = {.version = SKUA_ALLOCATOR_VERSION,
                                         .ctx = self,
                                         .allocate = failing_allocate,
                                         .resize = failing_resize,
                                         .release = failing_release}};
    atomic_init(&self->fail_at, fail_at);
}
