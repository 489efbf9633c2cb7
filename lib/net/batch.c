// SPDX-License-Identifier: MPL-2.0
// An open batch: small messages, of one link or of a group, that gather until they become one frame.
#include "link_priv.h"

#include <assert.h>

enum {
    BATCH_HEAD_BYTES = SKUA__FRAME_HEADER_BYTES + 4,
    BATCH_FIRST_BYTES = 4096,
};

bool
skua__batch_fits(const skua__handle *handle, const skua__batch *batch, size_t size) {
    uint32_t most =
        handle->options.batch_msgs ? handle->options.batch_msgs : (uint32_t)SKUA__BATCH_RECORDS_MAX;
    return batch->count == 0 || (batch->used + size <= SKUA__BATCH_BYTES && batch->count < most);
}

static bool
batch_reserve(skua__handle *handle, skua__batch *batch, size_t size) {
    size_t needed = (batch->used ? batch->used : BATCH_HEAD_BYTES) + size;
    if (needed <= batch->capacity) {
        return true;
    }
    size_t capacity = batch->capacity ? batch->capacity : BATCH_FIRST_BYTES;
    while (capacity < needed) {
        capacity *= 4;
    }
    uint8_t *bytes = skua__mem_resize(handle->hook, batch->bytes, capacity);
    if (!bytes) {
        return false;
    }
    batch->bytes = bytes;
    batch->capacity = capacity;
    return true;
}

bool
skua__batch_add(skua__handle *handle, skua__batch *batch, uint8_t flags, const void *tag,
                size_t tag_size, skua_msg *msg, size_t body_size) {
    if (!batch_reserve(handle, batch, skua__record_overhead(tag_size) + body_size)) {
        return false;
    }
    if (!batch->used) {
        batch->used = BATCH_HEAD_BYTES;
    }
    batch->used +=
        skua__record_write(flags, tag, tag_size, body_size, true, batch->bytes + batch->used);
    skua__msg_body_write(msg, batch->bytes + batch->used);
    batch->used += body_size;
    batch->count++;
    return true;
}

/* What ZeroMQ calls, in any of its threads, when a batch has been sent and confirmed. */
static void
free_batch_bytes(void *data, void *hint) {
    skua__mem_free(hint, data);
}

bool
skua__batch_close(skua__handle *handle, skua__batch *batch, uint8_t flags, uint64_t seq,
                  uint64_t word, zmq_msg_t *ret_frame) {
    assert(batch->count);
    skua__frame header = {.type = SKUA__FRAME_BATCH,
                          .flags = flags,
                          .session = handle->inner->session,
                          .seq = seq,
                          .word = word};
    skua__frame_write(&header, batch->bytes);
    for (int i = 0; i < 4; i++) {
        batch->bytes[SKUA__FRAME_HEADER_BYTES + i] = (uint8_t)(batch->count >> (8 * i));
    }
    void *hook = (void *)(uintptr_t)handle->hook;
    if (zmq_msg_init_data(ret_frame, batch->bytes, batch->used, free_batch_bytes, hook) != 0) {
        return false;
    }
    *batch = (skua__batch){0};
    return true;
}

void
skua__batch_free(skua__handle *handle, skua__batch *batch) {
    skua__mem_free(handle->hook, batch->bytes);
    *batch = (skua__batch){0};
}
