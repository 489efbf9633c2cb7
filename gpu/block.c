// SPDX-License-Identifier: MPL-2.0
// Device memory, kept for the next launch: small blocks are parts of slabs in classes of powers of two, large ones are
// kept whole. What is kept is let go as soon as the device has no room for what is wanted.
#include "engine_priv.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <string.h>

void
skua__blocks_init(skua__blocks *blocks, const skua_allocator *hook,
                  const skua__device_driver *driver, skua__dev *dev, const skua_device_info *info) {
    memset(blocks, 0, sizeof *blocks);
    blocks->hook = hook;
    blocks->driver = driver;
    blocks->dev = dev;
    blocks->align = info->align_bytes ? info->align_bytes : 1;
    blocks->budget = info->memory_bytes - (info->memory_bytes >> ENGINE_RESERVE_SHIFT);
    skua__list_init(&blocks->large);
    for (int i = 0; i < BLOCK_CLASSES; i++) {
        skua__list_init(&blocks->small[i]);
    }
}

static void
forget(skua__blocks *blocks, skua__list *list, bool with_memory) {
    for (skua__list *node; (node = skua__list_pop_front(list)) != NULL;) {
        skua__block *block = SKUA_CONTAINER_OF(node, skua__block, link);
        if (with_memory) {
            blocks->driver->mem_free(blocks->dev, block->mem);
            blocks->taken -= block->bytes;
        }
        skua__mem_free(blocks->hook, block);
    }
}

void
skua__blocks_fini(skua__blocks *blocks) {
    for (int i = 0; i < BLOCK_CLASSES; i++) {
        forget(blocks, &blocks->small[i], false);
    }
    forget(blocks, &blocks->large, false);
}

bool
skua__blocks_trim(skua__blocks *blocks) {
    bool any = !skua__list_empty(&blocks->large);
    forget(blocks, &blocks->large, true);
    return any;
}

/* Memory from the device. What is kept goes first when the budget or the device has no room. */
static skua_status
allocate(skua__blocks *blocks, uint64_t bytes, skua__dev_mem **ret_mem, skua_error *err) {
    if (bytes > blocks->budget) {
        return SKUA_FAIL(err, SKUA_E_DEVICE_MEMORY,
                         "%llu bytes are more than the device's %llu that may be used",
                         (unsigned long long)bytes, (unsigned long long)blocks->budget);
    }
    if (blocks->taken + bytes > blocks->budget) {
        skua__blocks_trim(blocks);
    }
    if (blocks->taken + bytes > blocks->budget) {
        return SKUA_FAIL(err, SKUA_E_DEVICE_MEMORY,
                         "%llu bytes do not fit beside the %llu in use on the device",
                         (unsigned long long)bytes, (unsigned long long)blocks->taken);
    }
    skua_status status =
        blocks->driver->mem_new(blocks->dev, SKUA__DEV_MEM_DEVICE, bytes, NULL, ret_mem, err);
    if (status == SKUA_E_DEVICE_MEMORY && skua__blocks_trim(blocks)) {
        status =
            blocks->driver->mem_new(blocks->dev, SKUA__DEV_MEM_DEVICE, bytes, NULL, ret_mem, err);
    }
    if (status == SKUA_OK) {
        blocks->taken += bytes;
    }
    return status;
}

/* The next part of the slab, or of a new one. */
static skua_status
cut(skua__blocks *blocks, uint64_t bytes, skua__dev_mem **ret_mem, skua_error *err) {
    uint64_t at = (blocks->slab_used + blocks->align - 1) / blocks->align * blocks->align;
    if (!blocks->slab || at + bytes > BLOCK_SLAB_BYTES) {
        skua_status status = allocate(blocks, BLOCK_SLAB_BYTES, &blocks->slab, err);
        if (status) {
            return status;
        }
        at = 0;
    }
    skua_status status =
        blocks->driver->mem_part(blocks->dev, blocks->slab, at, bytes, ret_mem, err);
    if (status == SKUA_OK) {
        blocks->slab_used = at + bytes;
    }
    return status;
}

/* The newest kept block that is large enough and wastes no more than a quarter. */
static skua__block *
find_large(skua__blocks *blocks, uint64_t bytes) {
    SKUA_LIST_EACH(node, &blocks->large) {
        skua__block *block = SKUA_CONTAINER_OF(node, skua__block, link);
        if (block->bytes >= bytes && block->bytes - bytes <= bytes / 4) {
            skua__list_remove(node);
            return block;
        }
    }
    return NULL;
}

static int32_t
class_of(uint64_t bytes) {
    for (int32_t i = 0; i < BLOCK_CLASSES; i++) {
        if (bytes <= UINT64_C(1) << (BLOCK_SMALL_SHIFT_MIN + i)) {
            return i;
        }
    }
    return -1;
}

skua_status
skua__blocks_take(skua__blocks *blocks, uint64_t bytes, skua__block **ret_block, skua_error *err) {
    int32_t small_class = class_of(bytes);
    skua__block *block = NULL;
    if (small_class >= 0) {
        skua__list *node = skua__list_pop_front(&blocks->small[small_class]);
        block = node ? SKUA_CONTAINER_OF(node, skua__block, link) : NULL;
        bytes = UINT64_C(1) << (BLOCK_SMALL_SHIFT_MIN + small_class);
    } else {
        block = find_large(blocks, bytes);
    }
    if (block) {
        *ret_block = block;
        return SKUA_OK;
    }
    block = skua__mem_new(blocks->hook, sizeof *block);
    if (!block) {
        return SKUA_FAIL_MEMORY(err, "a block of device memory");
    }
    skua_status status = small_class >= 0 ? cut(blocks, bytes, &block->mem, err)
                                          : allocate(blocks, bytes, &block->mem, err);
    if (status) {
        skua__mem_free(blocks->hook, block);
        return status;
    }
    skua__list_init(&block->link);
    block->bytes = bytes;
    block->small_class = small_class;
    *ret_block = block;
    return SKUA_OK;
}

void
skua__blocks_give(skua__blocks *blocks, skua__block *block) {
    if (block) {
        skua__list_push_front(block->small_class >= 0 ? &blocks->small[block->small_class]
                                                      : &blocks->large,
                              &block->link);
    }
}
