// SPDX-License-Identifier: MPL-2.0
// The encoding of a message's body, which follows the frame header: docs/design/wire.md, "Message body".
//
//   simple:  the bytes of the one frame
//   else:    u16 head_size | u8 frames | u8 properties | u8 topic_size, topic, 0
//            u32 size, for each frame
//            u8 key_size, key, 0, u8 value_size, value, 0, for each property
//            (up to head_size: what newer versions add; skipped)
//            the frames' bytes, one after the other
#include "msg_priv.h"

#include <skua-int/buf.h>

#include <assert.h>
#include <string.h>

/* A head of ours always fits its bound: 5 + 256 + 64 * 4 + 16 * (64 + 256 + 2). */
_Static_assert(5 + SKUA_MSG_TOPIC_MAX_BYTES + 1 + 4 * SKUA_MSG_FRAMES_MAX +
                       SKUA_MSG_PROPERTIES_MAX * (2 + SKUA_MSG_PROPERTY_KEY_MAX_BYTES + 1 +
                                                  SKUA_MSG_PROPERTY_VALUE_MAX_BYTES + 1) <=
                   SKUA__MSG_EXTENSION_MAX_BYTES,
               "the head of a message fits its bound");

bool
skua__msg_is_simple(const skua_msg *msg) {
    return msg->frame_count == 1 && !msg->topic_size && !msg->property_count;
}

size_t
skua__msg_head_size(const skua_msg *msg) {
    if (skua__msg_is_simple(msg)) {
        return 0;
    }
    size_t size = 2 + 1 + 1 + 1 + msg->topic_size + (size_t)1 + (size_t)4 * msg->frame_count;
    for (size_t i = 0; i < msg->property_count; i++) {
        size += 4 + strlen(msg->properties[i].key) + strlen(msg->properties[i].value);
    }
    return size;
}

size_t
skua__msg_body_size(const skua_msg *msg) {
    return skua__msg_head_size(msg) + skua_msg_total_size(msg);
}

static void
write_text(skua__writer *writer, const char *text) {
    size_t size = strlen(text);
    skua__write_u8(writer, (uint8_t)size);
    skua__write_bytes(writer, text, size + 1);
}

size_t
skua__msg_head_write(const skua_msg *msg, uint8_t *ret_head) {
    size_t size = skua__msg_head_size(msg);
    if (!size) {
        return 0;
    }
    skua__writer writer = skua__writer_of(ret_head, size);
    skua__write_u16(&writer, (uint16_t)size);
    skua__write_u8(&writer, (uint8_t)msg->frame_count);
    skua__write_u8(&writer, msg->property_count);
    skua__write_u8(&writer, msg->topic_size);
    skua__write_bytes(&writer, msg->topic, msg->topic_size + (size_t)1);
    for (size_t i = 0; i < msg->frame_count; i++) {
        skua__write_u32(&writer, (uint32_t)msg->frames[i].size);
    }
    for (size_t i = 0; i < msg->property_count; i++) {
        write_text(&writer, msg->properties[i].key);
        write_text(&writer, msg->properties[i].value);
    }
    assert(!writer.failed && writer.used == size);
    return size;
}

void
skua__msg_body_write(const skua_msg *msg, uint8_t *ret_body) {
    ret_body += skua__msg_head_write(msg, ret_body);
    for (size_t i = 0; i < msg->frame_count; i++) {
        const skua__msg_frame *frame = &msg->frames[i];
        memcpy(ret_body, frame->data, frame->size);
        ret_body += frame->size;
    }
}

/* A text with its size before and a 0 behind it, and no 0 inside. NULL (and failed) when it is none. */
static const char *
read_text(skua__reader *reader, size_t max_size, size_t *ret_size) {
    size_t size = skua__read_u8(reader);
    const char *text = (const char *)skua__read_bytes(reader, size + 1);
    if (!text || size > max_size || memchr(text, 0, size + 1) != text + size) {
        reader->failed = true;
        return NULL;
    }
    *ret_size = size;
    return text;
}

static skua_status
read_properties(skua_msg *msg, skua__reader *head, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t size;
        const char *key = read_text(head, SKUA_MSG_PROPERTY_KEY_MAX_BYTES, &size);
        const char *value = read_text(head, SKUA_MSG_PROPERTY_VALUE_MAX_BYTES, &size);
        if (!key || !value || !*key || skua_msg_property(msg, key)) {
            return SKUA_E_MALFORMED;
        }
        skua_status status = skua_msg_set_property(msg, key, value);
        if (status != SKUA_OK) {
            return status;
        }
    }
    return SKUA_OK;
}

static void
put_shared(skua_msg *msg, skua__block *block, const uint8_t *data, size_t size) {
    skua__msg_put(msg, block ? skua__block_ref(block) : NULL, data, size);
}

/* The frames, whose sizes stand at sizes and whose bytes fill all that is left of the body. */
static skua_status
read_frames(skua_msg *msg, skua__block *block, skua__reader *sizes, size_t count,
            skua__reader *body) {
    for (size_t i = 0; i < count; i++) {
        skua_status status = skua__msg_grow(msg);
        if (status != SKUA_OK) {
            return status;
        }
        size_t size = skua__read_u32(sizes);
        const uint8_t *data = skua__read_bytes(body, size);
        if (!data) {
            return SKUA_E_MALFORMED;
        }
        put_shared(msg, block, data, size);
    }
    return body->left ? SKUA_E_MALFORMED : SKUA_OK;
}

skua_status
skua__msg_body_read(skua_msg *msg, skua__block *block, const uint8_t *body, size_t size) {
    skua__reader rest = skua__reader_of(body, size);
    size_t head_bytes = skua__read_u16(&rest);
    if (rest.failed || head_bytes < 2 || head_bytes > SKUA__MSG_EXTENSION_MAX_BYTES) {
        return SKUA_E_MALFORMED;
    }
    const uint8_t *head_at = skua__read_bytes(&rest, head_bytes - 2);
    if (!head_at) {
        return SKUA_E_MALFORMED;
    }
    skua__reader head = skua__reader_of(head_at, head_bytes - 2);
    size_t frames = skua__read_u8(&head);
    size_t properties = skua__read_u8(&head);
    size_t topic_size = 0;
    const char *topic = read_text(&head, SKUA_MSG_TOPIC_MAX_BYTES, &topic_size);
    const uint8_t *sizes_at = skua__read_bytes(&head, 4 * frames);
    if (!topic || !sizes_at || frames > SKUA_MSG_FRAMES_MAX ||
        properties > SKUA_MSG_PROPERTIES_MAX) {
        return SKUA_E_MALFORMED;
    }
    if (topic_size) {
        msg->topic = topic;
        msg->topic_size = (uint8_t)topic_size;
        msg->home = block ? skua__block_ref(block) : NULL;
    }
    skua_status status = read_properties(msg, &head, properties);
    if (status != SKUA_OK) {
        return status;
    }
    skua__reader sizes = skua__reader_of(sizes_at, 4 * frames);
    return read_frames(msg, block, &sizes, frames, &rest);
}
