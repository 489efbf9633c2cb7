// SPDX-License-Identifier: MPL-2.0
// Device memory, kept for the next launch: small blocks are parts of slabs in classes of powers of two, large ones are
// kept whole. Every byte that the device gave stands in the account: as used while a launch or a buffer has it, else as
// kept. What is kept is let go, the longest unused first, when a launch needs the room.
#include "engine_priv.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <string.h>

/* Memory that small blocks are cut from. It counts as used while any of its blocks is. */
typedef struct skua__slab {
    skua__list link; /* in blocks->slabs, the newest first */
    skua__dev_mem *mem;
    uint64_t cut_bytes;
    uint32_t in_use; /* blocks that are not free */
} skua__slab;

void
skua__blocks_init(skua__blocks *blocks, const skua_allocator *hook,
                  const skua__device_driver *driver, skua__dev *dev, const skua_device_info *info) {
    blocks->hook = hook;
    blocks->driver = driver;
    blocks->dev = dev;
    blocks->align = info->align_bytes ? info->align_bytes : 1;
    blocks->exact = strcmp(info->platform, "Oclgrind") == 0;
    blocks->account.used_bytes = blocks->account.kept_bytes = 0;
    blocks->slab_bytes = BLOCK_SLAB_BYTES;
    while (blocks->slab_bytes > blocks->account.limit_bytes / BLOCK_SLAB_SHARE &&
           blocks->slab_bytes > BLOCK_SLAB_MIN_BYTES) {
        blocks->slab_bytes /= 2;
    }
    skua__list_init(&blocks->slabs);
    skua__list_init(&blocks->large);
    for (int i = 0; i < BLOCK_CLASSES; i++) {
        skua__list_init(&blocks->small[i]);
    }
}

static skua__block *
block_of(skua__list *node) {
    return SKUA_CONTAINER_OF(node, skua__block, link);
}

static skua__slab *
slab_of(skua__list *node) {
    return SKUA_CONTAINER_OF(node, skua__slab, link);
}

void
skua__blocks_fini(skua__blocks *blocks) {
    for (skua__list *node; (node = skua__list_pop_front(&blocks->large)) != NULL;) {
        skua__mem_free(blocks->hook, block_of(node));
    }
    for (int i = 0; i < BLOCK_CLASSES; i++) {
        for (skua__list *node; (node = skua__list_pop_front(&blocks->small[i])) != NULL;) {
            skua__mem_free(blocks->hook, block_of(node));
        }
    }
    for (skua__list *node; (node = skua__list_pop_front(&blocks->slabs)) != NULL;) {
        skua__mem_free(blocks->hook, slab_of(node));
    }
    blocks->account.used_bytes = blocks->account.kept_bytes = 0;
}

/* ---- Letting go ---- */

static uint64_t
evict_large(skua__blocks *blocks) {
    skua__block *block = block_of(blocks->large.prev);
    uint64_t bytes = block->bytes;
    skua__list_remove(&block->link);
    blocks->driver->mem_free(blocks->dev, block->mem);
    skua__mem_free(blocks->hook, block);
    skua__admission_evicted(&blocks->account, bytes);
    return bytes;
}

static void
evict_slab(skua__blocks *blocks, skua__slab *slab) {
    for (int i = 0; i < BLOCK_CLASSES; i++) {
        SKUA_LIST_EACH(node, &blocks->small[i]) {
            skua__block *block = block_of(node);
            if (block->slab == slab) {
                skua__list_remove(node);
                blocks->driver->mem_free(blocks->dev, block->mem);
                skua__mem_free(blocks->hook, block);
            }
        }
    }
    skua__list_remove(&slab->link);
    blocks->driver->mem_free(blocks->dev, slab->mem);
    skua__mem_free(blocks->hook, slab);
    skua__admission_evicted(&blocks->account, blocks->slab_bytes);
}

uint64_t
skua__blocks_evict(skua__blocks *blocks, uint64_t bytes) {
    uint64_t gone = 0;
    while (gone < bytes && !skua__list_empty(&blocks->large)) {
        gone += evict_large(blocks);
    }
    SKUA_LIST_EACH(node, &blocks->slabs) {
        if (gone < bytes && slab_of(node)->in_use == 0) {
            evict_slab(blocks, slab_of(node));
            gone += blocks->slab_bytes;
        }
    }
    return gone;
}

/* ---- Taking ---- */

/* The class of small blocks for so many bytes; -1: they get memory of their own. */
static int32_t
class_of(const skua__blocks *blocks, uint64_t bytes) {
    if (blocks->exact) {
        return -1;
    }
    uint64_t room = UINT64_C(1) << BLOCK_SMALL_SHIFT_MIN;
    for (int32_t i = 0; i < BLOCK_CLASSES && room <= blocks->slab_bytes / BLOCK_SLAB_SHARE; i++) {
        if (bytes <= room) {
            return i;
        }
        room *= 2;
    }
    return -1;
}

static uint64_t
class_bytes(int32_t small_class) {
    return UINT64_C(1) << (BLOCK_SMALL_SHIFT_MIN + small_class);
}

static uint64_t
next_cut(const skua__blocks *blocks, const skua__slab *slab) {
    return (slab->cut_bytes + blocks->align - 1) / blocks->align * blocks->align;
}

void
skua__blocks_want(const skua__blocks *blocks, uint64_t bytes, skua__need *need) {
    int32_t small_class = class_of(blocks, bytes);
    if (small_class < 0) {
        need->bytes = bytes > UINT64_MAX - need->bytes ? UINT64_MAX : need->bytes + bytes;
        need->largest = bytes > need->largest ? bytes : need->largest;
        return;
    }
    if (skua__list_empty(&blocks->small[small_class])) {
        need->small_bytes += class_bytes(small_class) + blocks->align;
    }
}

/* Adds the slabs that small blocks would have to be cut from. */
static void
count_slabs(const skua__blocks *blocks, skua__need *need) {
    uint64_t left = 0;
    if (!skua__list_empty(&blocks->slabs)) {
        uint64_t cut = next_cut(blocks, slab_of(blocks->slabs.next));
        left = cut < blocks->slab_bytes ? blocks->slab_bytes - cut : 0;
    }
    if (need->small_bytes > left && need->bytes < UINT64_MAX / 2) {
        need->bytes += (need->small_bytes - left + blocks->slab_bytes - 1) / blocks->slab_bytes *
                       blocks->slab_bytes;
        need->largest = blocks->slab_bytes > need->largest ? blocks->slab_bytes : need->largest;
    }
}

skua__admit
skua__blocks_ask(const skua__blocks *blocks, skua__need *need, int64_t now_ns,
                 uint64_t *ret_evict_bytes) {
    count_slabs(blocks, need);
    need->small_bytes = 0;
    return skua__admission_ask(&blocks->account, need->bytes, need->largest, now_ns,
                               ret_evict_bytes);
}

static skua_status
allocate(skua__blocks *blocks, uint64_t bytes, skua__dev_mem **ret_mem, skua_error *err) {
    skua_status status =
        blocks->driver->mem_new(blocks->dev, SKUA__DEV_MEM_DEVICE, bytes, NULL, ret_mem, err);
    if (status == SKUA_OK) {
        skua__admission_take(&blocks->account, bytes);
    }
    return status;
}

static skua_status
add_slab(skua__blocks *blocks, skua_error *err) {
    skua__slab *slab = skua__mem_new(blocks->hook, sizeof *slab);
    if (!slab) {
        return SKUA_FAIL_MEMORY(err, "a slab of device memory");
    }
    skua_status status = allocate(blocks, blocks->slab_bytes, &slab->mem, err);
    if (status) {
        skua__mem_free(blocks->hook, slab);
        return status;
    }
    /* Kept until a block of it is used. */
    skua__admission_give(&blocks->account, blocks->slab_bytes, blocks->slab_bytes);
    skua__list_push_front(&blocks->slabs, &slab->link);
    return SKUA_OK;
}

/* The next part of the newest slab, or of a new one. */
static skua_status
cut(skua__blocks *blocks, skua__block *block, skua_error *err) {
    skua__slab *slab = skua__list_empty(&blocks->slabs) ? NULL : slab_of(blocks->slabs.next);
    if (!slab || next_cut(blocks, slab) + block->bytes > blocks->slab_bytes) {
        skua_status status = add_slab(blocks, err);
        if (status) {
            return status;
        }
        slab = slab_of(blocks->slabs.next);
    }
    uint64_t at = next_cut(blocks, slab);
    skua_status status =
        blocks->driver->mem_part(blocks->dev, slab->mem, at, block->bytes, &block->mem, err);
    if (status == SKUA_OK) {
        slab->cut_bytes = at + block->bytes;
        block->slab = slab;
    }
    return status;
}

/* The newest kept block that is large enough and wastes no more than a quarter. */
static skua__block *
find_large(skua__blocks *blocks, uint64_t bytes) {
    uint64_t waste = blocks->exact ? 0 : bytes / 4;
    SKUA_LIST_EACH(node, &blocks->large) {
        skua__block *block = block_of(node);
        if (block->bytes >= bytes && block->bytes - bytes <= waste) {
            skua__list_remove(node);
            skua__admission_reuse(&blocks->account, block->bytes);
            return block;
        }
    }
    return NULL;
}

static void
use(skua__blocks *blocks, skua__block *block) {
    if (block->slab && block->slab->in_use++ == 0) {
        skua__admission_reuse(&blocks->account, blocks->slab_bytes);
    }
}

static skua_status
make(skua__blocks *blocks, uint64_t bytes, int32_t small_class, skua__block **ret_block,
     skua_error *err) {
    skua__block *block = skua__mem_new(blocks->hook, sizeof *block);
    if (!block) {
        return SKUA_FAIL_MEMORY(err, "a block of device memory");
    }
    skua__list_init(&block->link);
    block->bytes = small_class >= 0 ? class_bytes(small_class) : bytes;
    block->small_class = small_class;
    skua_status status =
        small_class >= 0 ? cut(blocks, block, err) : allocate(blocks, bytes, &block->mem, err);
    if (status) {
        skua__mem_free(blocks->hook, block);
        return status;
    }
    *ret_block = block;
    return SKUA_OK;
}

skua_status
skua__blocks_take(skua__blocks *blocks, uint64_t bytes, skua__block **ret_block, skua_error *err) {
    int32_t small_class = class_of(blocks, bytes);
    skua__block *block = NULL;
    skua_status status = SKUA_OK;
    if (small_class >= 0) {
        skua__list *node = skua__list_pop_front(&blocks->small[small_class]);
        block = node ? block_of(node) : NULL;
    } else {
        block = find_large(blocks, bytes);
    }
    if (!block) {
        status = make(blocks, bytes, small_class, &block, err);
    }
    if (status == SKUA_OK) {
        use(blocks, block);
        *ret_block = block;
    }
    return status;
}

void
skua__blocks_give(skua__blocks *blocks, skua__block *block) {
    if (!block) {
        return;
    }
    if (block->slab) {
        skua__list_push_front(&blocks->small[block->small_class], &block->link);
        if (--block->slab->in_use == 0) {
            skua__admission_give(&blocks->account, blocks->slab_bytes, blocks->slab_bytes);
        }
    } else {
        skua__list_push_front(&blocks->large, &block->link);
        skua__admission_give(&blocks->account, block->bytes, block->bytes);
    }
}
