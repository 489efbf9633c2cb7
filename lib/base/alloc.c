// SPDX-License-Identifier: MPL-2.0
// The default allocator, the helpers that go through the hook, and the reader of options structs.
#include <skua-int/mem.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

static void *
default_allocate(void *ctx, size_t size_bytes) {
    (void)ctx;
    return malloc(size_bytes);
}

static void *
default_resize(void *ctx, void *block, size_t size_bytes) {
    (void)ctx;
    return realloc(block, size_bytes);
}

static void
default_release(void *ctx, void *block) {
    (void)ctx;
    free(block);
}

static const skua_allocator default_allocator = {
    .version = SKUA_ALLOCATOR_VERSION,
    .allocate = default_allocate,
    .resize = default_resize,
    .release = default_release,
};

const skua_allocator *
skua_allocator_default(void) {
    return &default_allocator;
}

static const skua_allocator *
hook_or_default(const skua_allocator *hook) {
    return hook ? hook : &default_allocator;
}

void *
skua__mem_room(const skua_allocator *hook, size_t size_bytes) {
    hook = hook_or_default(hook);
    /* One byte at least: a NULL must always mean "no memory". */
    return hook->allocate(hook->ctx, size_bytes ? size_bytes : 1);
}

void *
skua__mem_new(const skua_allocator *hook, size_t size_bytes) {
    void *block = skua__mem_room(hook, size_bytes);
    if (block) {
        memset(block, 0, size_bytes);
    }
    return block;
}

void
skua__mem_lose(const void *block) {
#ifdef __SANITIZE_ADDRESS__
    if (block) {
        __lsan_ignore_object(block);
    }
#else
    (void)block;
#endif
}

void *
skua__mem_new_array(const skua_allocator *hook, size_t count, size_t size_bytes) {
    if (size_bytes && count > SIZE_MAX / size_bytes) {
        return NULL;
    }
    return skua__mem_new(hook, count * size_bytes);
}

void *
skua__mem_resize(const skua_allocator *hook, void *block, size_t size_bytes) {
    hook = hook_or_default(hook);
    return hook->resize(hook->ctx, block, size_bytes ? size_bytes : 1);
}

void *
skua__mem_copy(const skua_allocator *hook, const void *bytes, size_t size_bytes) {
    hook = hook_or_default(hook);
    void *block = hook->allocate(hook->ctx, size_bytes ? size_bytes : 1);
    if (block && size_bytes) {
        memcpy(block, bytes, size_bytes);
    }
    return block;
}

char *
skua__mem_strdup(const skua_allocator *hook, const char *text) {
    return skua__mem_copy(hook, text, strlen(text) + 1);
}

void *
skua__mem_free(const skua_allocator *hook, void *block) {
    if (block) {
        hook = hook_or_default(hook);
        hook->release(hook->ctx, block);
    }
    return NULL;
}

bool
skua__options_read(void *ret, size_t ret_size, const void *given) {
    memset(ret, 0, ret_size);
    memcpy(ret, &ret_size, sizeof ret_size);
    if (!given) {
        return true;
    }
    size_t given_size;
    memcpy(&given_size, given, sizeof given_size);
    if (given_size < sizeof(size_t)) {
        return false;
    }
    const unsigned char *bytes = given;
    for (size_t i = ret_size; i < given_size; i++) {
        if (bytes[i]) {
            return false;
        }
    }
    size_t shared = given_size < ret_size ? given_size : ret_size;
    memcpy((char *)ret + sizeof(size_t), bytes + sizeof(size_t), shared - sizeof(size_t));
    return true;
}
