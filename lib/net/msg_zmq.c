// SPDX-License-Identifier: MPL-2.0
// Messages to and from ZeroMQ's, without copying large ones.
#include <zmq.h>

#include "msg_priv.h"

#include <string.h>

/* A whole ZeroMQ message as a block: frames point into it. */
struct skua__zmq_block {
    skua__block block;
    zmq_msg_t zmq;
};

static void
zmq_block_end(skua__block *block) {
    zmq_msg_close(&((skua__zmq_block *)(void *)block)->zmq);
}

skua__zmq_block *
skua__zmq_block_take(const skua_allocator *hook, zmq_msg_t *zmq) {
    skua__zmq_block *block = skua__mem_new(hook, sizeof *block);
    if (block) {
        block->block.hook = hook;
        block->block.end = zmq_block_end;
        atomic_init(&block->block.refs, 1);
        zmq_msg_init(&block->zmq);
        zmq_msg_move(&block->zmq, zmq);
    }
    return block;
}

skua__zmq_block *
skua__zmq_block_unref(skua__zmq_block *block) {
    if (block) {
        skua__block_unref(&block->block);
    }
    return NULL;
}

zmq_msg_t *
skua__zmq_block_msg(skua__zmq_block *block) {
    return &block->zmq;
}

/* A message whose whole body is small enough to be copied into it. */
static skua_status
from_small(const skua_allocator *hook, const uint8_t *body, size_t size, bool simple,
           skua_msg **ret_msg) {
    skua_msg *msg = skua__msg_new_tail(hook, size);
    if (!msg) {
        return SKUA_E_NO_MEMORY;
    }
    memcpy(msg->tail, body, size);
    if (simple) {
        skua__msg_put(msg, NULL, msg->tail, size);
    } else {
        skua_status status = skua__msg_body_read(msg, NULL, msg->tail, size);
        if (status != SKUA_OK) {
            skua_msg_free(msg);
            return status;
        }
    }
    *ret_msg = msg;
    return SKUA_OK;
}

skua_status
skua__msg_from_block(skua__zmq_block *block, size_t offset, size_t size, bool simple,
                     skua_msg **ret_msg) {
    size_t whole = zmq_msg_size(&block->zmq);
    if (offset > whole || size > whole - offset) {
        return SKUA_E_MALFORMED;
    }
    const uint8_t *body = (const uint8_t *)zmq_msg_data(&block->zmq) + offset;
    if (size <= SKUA__MSG_INLINE_BYTES) {
        return from_small(block->block.hook, body, size, simple, ret_msg);
    }
    skua_msg *msg = skua_msg_new(block->block.hook);
    if (!msg) {
        return SKUA_E_NO_MEMORY;
    }
    if (simple) {
        skua__msg_put(msg, skua__block_ref(&block->block), body, size);
    } else {
        skua_status status = skua__msg_body_read(msg, &block->block, body, size);
        if (status != SKUA_OK) {
            skua_msg_free(msg);
            return status;
        }
    }
    *ret_msg = msg;
    return SKUA_OK;
}

skua_status
skua__msg_from_zmq(const skua_allocator *hook, zmq_msg_t *zmq, size_t offset, bool simple,
                   skua_msg **ret_msg) {
    size_t whole = zmq_msg_size(zmq);
    if (offset > whole) {
        return SKUA_E_MALFORMED;
    }
    if (whole - offset <= SKUA__MSG_INLINE_BYTES) {
        const uint8_t *body = (const uint8_t *)zmq_msg_data(zmq) + offset;
        return from_small(hook, body, whole - offset, simple, ret_msg);
    }
    skua__zmq_block *block = skua__zmq_block_take(hook, zmq);
    if (!block) {
        return SKUA_E_NO_MEMORY;
    }
    skua_status status = skua__msg_from_block(block, offset, whole - offset, simple, ret_msg);
    skua__zmq_block_unref(block);
    return status;
}

/* What ZeroMQ calls, in any of its threads, when it is done with bytes that it shared with us. */
static void
release_block(void *data, void *hint) {
    (void)data;
    skua__block_unref(hint);
}

static skua_status
share_block(skua__block *block, const uint8_t *data, size_t size, zmq_msg_t *ret_zmq) {
    /* ZeroMQ never writes into a message that it was given. */
    void *bytes = (void *)(uintptr_t)data;
    skua__block_ref(block);
    if (zmq_msg_init_data(ret_zmq, bytes, size, release_block, block) != 0) {
        skua__block_unref(block);
        return SKUA_E_NO_MEMORY;
    }
    return SKUA_OK;
}

skua_status
skua__msg_to_zmq(skua_msg *msg, const void *header, size_t header_size, zmq_msg_t *ret_zmq) {
    const skua__msg_frame *first = msg->frames;
    size_t front_size = header_size + skua__msg_head_size(msg);
    if (msg->frame_count == 1 && first->block && first->size > SKUA__MSG_INLINE_BYTES &&
        first->block->headroom >= front_size && skua__block_is_ours(first->block)) {
        /* Only the frame that a block was made for has its headroom in front, and no other holds that block. */
        uint8_t *start = (uint8_t *)(uintptr_t)first->data - front_size;
        memcpy(start, header, header_size);
        skua__msg_head_write(msg, start + header_size);
        return share_block(first->block, start, front_size + first->size, ret_zmq);
    }
    size_t body_size = skua__msg_body_size(msg);
    if (zmq_msg_init_size(ret_zmq, header_size + body_size) != 0) {
        return SKUA_E_NO_MEMORY;
    }
    uint8_t *bytes = zmq_msg_data(ret_zmq);
    memcpy(bytes, header, header_size);
    skua__msg_body_write(msg, bytes + header_size);
    return SKUA_OK;
}

skua_status
skua__msg_frame_to_zmq(const skua_msg *msg, size_t frame, zmq_msg_t *ret_zmq) {
    if (frame >= msg->frame_count) {
        return SKUA_E_BAD_ARGUMENT;
    }
    const skua__msg_frame *source = &msg->frames[frame];
    if (source->block && source->size > SKUA__MSG_INLINE_BYTES) {
        return share_block(source->block, source->data, source->size, ret_zmq);
    }
    if (zmq_msg_init_size(ret_zmq, source->size) != 0) {
        return SKUA_E_NO_MEMORY;
    }
    memcpy(zmq_msg_data(ret_zmq), source->data, source->size);
    return SKUA_OK;
}

skua_status
skua__msg_append_zmq(skua_msg *msg, zmq_msg_t *zmq) {
    size_t size = zmq_msg_size(zmq);
    if (size <= SKUA__MSG_INLINE_BYTES) {
        return skua_msg_append(msg, zmq_msg_data(zmq), size);
    }
    skua_status status = skua__msg_grow(msg);
    if (status != SKUA_OK) {
        return status;
    }
    skua__zmq_block *block = skua__zmq_block_take(msg->hook, zmq);
    if (!block) {
        return SKUA_E_NO_MEMORY;
    }
    skua__msg_put(msg, &block->block, zmq_msg_data(&block->zmq), size);
    return SKUA_OK;
}
