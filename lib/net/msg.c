// SPDX-License-Identifier: MPL-2.0
// Messages: frames that share reference-counted blocks, small frames that lie in the message itself, properties and
// what is known of the origin.
//
// Ordering: a block's count is raised relaxed (whoever raises it holds a reference already) and lowered with
// acq_rel, so that all use of the bytes happens before their end, in whichever thread that falls.
#include "msg_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

typedef struct wrap_block {
    skua__block block;
    skua_msg_free_fn *free_fn;
    void *data;
    void *hint;
} wrap_block;

/* ---- Blocks ---- */

skua__block *
skua__block_new(const skua_allocator *hook, size_t size, uint8_t **ret_bytes) {
    const size_t headroom = size < SKUA__MSG_LARGE_BYTES ? (size_t)SKUA__MSG_HEADROOM_BYTES
                                                         : (size_t)SKUA__MSG_HEADROOM_LARGE_BYTES;
    const size_t before = sizeof(skua__block) + headroom;
    if (size > SIZE_MAX - before) {
        return NULL;
    }
    const skua_allocator *from = hook ? hook : skua_allocator_default();
    /* Not zeroed: the caller fills what may be many megabytes. */
    skua__block *block = from->allocate(from->ctx, before + size);
    if (!block) {
        return NULL;
    }
    *block = (skua__block){.hook = hook, .headroom = headroom};
    atomic_init(&block->refs, 1);
    *ret_bytes = (uint8_t *)block + before;
    return block;
}

skua__block *
skua__block_ref(skua__block *block) {
    /* relaxed: the caller's own reference keeps the block alive. */
    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}

skua__block *
skua__block_unref(skua__block *block) {
    /* acq_rel M1: every user's reads happen before the end; pairs with acq_rel M1, itself, in another thread */
    if (block && atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) == 1) {
        if (block->end) {
            block->end(block);
        }
        skua__mem_free(block->hook, block);
    }
    return NULL;
}

bool
skua__block_is_ours(const skua__block *block) {
    /* acquire M1: the other users' reads are over; pairs with acq_rel M1 in skua__block_unref() */
    return atomic_load_explicit(&block->refs, memory_order_acquire) == 1;
}

static void
wrap_block_end(skua__block *block) {
    wrap_block *wrap = (wrap_block *)(void *)block;
    if (wrap->free_fn) {
        wrap->free_fn(wrap->data, wrap->hint);
    }
}

static skua__block *
wrap_block_new(const skua_allocator *hook, void *data, skua_msg_free_fn *free_fn, void *hint) {
    wrap_block *wrap = skua__mem_new(hook, sizeof *wrap);
    if (!wrap) {
        return NULL;
    }
    *wrap = (wrap_block){.block = {.hook = hook, .end = wrap_block_end},
                         .free_fn = free_fn,
                         .data = data,
                         .hint = hint};
    atomic_init(&wrap->block.refs, 1);
    return &wrap->block;
}

/* ---- Senders ---- */

skua__sender *
skua__sender_new(const skua_allocator *hook, const skua__uuid *uuid, const char *name) {
    skua__sender *sender = skua__mem_new(hook, sizeof *sender);
    if (sender) {
        atomic_init(&sender->refs, 1);
        sender->hook = hook;
        sender->uuid = *uuid;
        snprintf(sender->name, sizeof sender->name, "%s", name);
    }
    return sender;
}

skua__sender *
skua__sender_ref(skua__sender *sender) {
    if (sender) {
        /* relaxed: the caller's own reference keeps the object alive. */
        atomic_fetch_add_explicit(&sender->refs, 1, memory_order_relaxed);
    }
    return sender;
}

skua__sender *
skua__sender_unref(skua__sender *sender) {
    /* acq_rel M2: every user's reads happen before the end; pairs with acq_rel M2, itself, in another thread */
    if (sender && atomic_fetch_sub_explicit(&sender->refs, 1, memory_order_acq_rel) == 1) {
        skua__mem_free(sender->hook, sender);
    }
    return NULL;
}

/* ---- Making and ending ---- */

skua_msg *
skua__msg_new_tail(const skua_allocator *hook, size_t tail_size) {
    assert(tail_size <= UINT32_MAX);
    const skua_allocator *from = hook ? hook : skua_allocator_default();
    /* Only the head is zeroed: the tail is about to be filled. */
    skua_msg *msg = from->allocate(from->ctx, sizeof *msg + tail_size);
    if (!msg) {
        return NULL;
    }
    memset(msg, 0, sizeof *msg);
    msg->hook = hook;
    msg->topic = "";
    msg->frames = msg->own_frames;
    msg->frame_capacity = SKUA__MSG_OWN_FRAMES;
    msg->tail_size = (uint32_t)tail_size;
    return msg;
}

skua_msg *
skua_msg_new(const skua_allocator *allocator) {
    return skua__msg_new_tail(allocator, 0);
}

skua_msg *
skua_msg_of_room(size_t size_bytes, void **ret_bytes) {
    if (size_bytes <= SKUA__MSG_INLINE_BYTES) {
        skua_msg *msg = skua__msg_new_tail(NULL, size_bytes);
        if (msg) {
            skua__msg_put(msg, NULL, msg->tail, size_bytes);
            *ret_bytes = msg->tail;
        }
        return msg;
    }
    skua_msg *msg = skua_msg_new(NULL);
    if (msg && skua_msg_append_room(msg, size_bytes, ret_bytes) != SKUA_OK) {
        msg = skua_msg_free(msg);
    }
    return msg;
}

skua_msg *
skua_msg_of_bytes(const void *bytes, size_t size_bytes) {
    void *room = NULL; /* it is set wherever there is a message; not every compiler sees that */
    skua_msg *msg = skua_msg_of_room(size_bytes, &room);
    if (msg && size_bytes) {
        memcpy(room, bytes, size_bytes);
    }
    return msg;
}

skua_msg *
skua_msg_of_string(const char *text) {
    return skua_msg_of_bytes(text, strlen(text));
}

skua_msg *
skua_msg_wrap(void *data, size_t size_bytes, skua_msg_free_fn *free_fn, void *hint) {
    skua_msg *msg = skua_msg_new(NULL);
    if (msg && skua_msg_append_wrap(msg, data, size_bytes, free_fn, hint) != SKUA_OK) {
        msg = skua_msg_free(msg);
    }
    return msg;
}

skua_msg *
skua_msg_free(skua_msg *msg) {
    if (!msg) {
        return NULL;
    }
    for (size_t i = 0; i < msg->frame_count; i++) {
        skua__block_unref(msg->frames[i].block);
    }
    if (msg->frames != msg->own_frames) {
        skua__mem_free(msg->hook, msg->frames);
    }
    skua__block_unref(msg->home);
    skua__sender_unref(msg->sender);
    skua__mem_free(msg->hook, msg->topic_copy);
    skua__mem_free(msg->hook, msg->properties);
    return skua__mem_free(msg->hook, msg);
}

/* A pointer into one message's tail, moved to the same place in another's. */
static const void *
rebase(const skua_msg *from, const void *pointer, const skua_msg *to) {
    return to->tail + ((const uint8_t *)pointer - from->tail);
}

static bool
copy_topic(const skua_msg *from, skua_msg *to) {
    to->topic_size = from->topic_size;
    if (from->topic_copy) {
        to->topic_copy = skua__mem_strdup(to->hook, from->topic_copy);
        to->topic = to->topic_copy;
        return to->topic_copy;
    }
    bool in_tail = from->topic_size && !from->home;
    to->topic = in_tail ? rebase(from, from->topic, to) : from->topic;
    to->home = from->home ? skua__block_ref(from->home) : NULL;
    return true;
}

skua_msg *
skua_msg_copy(const skua_msg *msg) {
    skua_msg *copy = skua__msg_new_tail(msg->hook, msg->tail_size);
    if (!copy) {
        return NULL;
    }
    memcpy(copy->tail, msg->tail, msg->tail_size);
    for (size_t i = 0; i < msg->frame_count; i++) {
        const skua__msg_frame *frame = &msg->frames[i];
        if (skua__msg_grow(copy) != SKUA_OK) {
            return skua_msg_free(copy);
        }
        if (frame->block) {
            skua__msg_put(copy, skua__block_ref(frame->block), frame->data, frame->size);
        } else {
            skua__msg_put(copy, NULL, rebase(msg, frame->data, copy), frame->size);
        }
    }
    copy->gap_msgs = msg->gap_msgs;
    copy->redelivered = msg->redelivered;
    copy->plain = msg->plain;
    copy->sender = skua__sender_ref(msg->sender);
    if (!copy_topic(msg, copy)) {
        return skua_msg_free(copy);
    }
    if (msg->property_count) {
        copy->properties = skua__mem_copy(msg->hook, msg->properties,
                                          msg->property_count * sizeof *msg->properties);
        if (!copy->properties) {
            return skua_msg_free(copy);
        }
        copy->property_count = msg->property_count;
    }
    return copy;
}

/* ---- Frames ---- */

skua_status
skua__msg_grow(skua_msg *msg) {
    if (msg->frame_count < msg->frame_capacity) {
        return SKUA_OK;
    }
    if (msg->frame_count == SKUA_MSG_FRAMES_MAX) {
        return SKUA_E_LIMIT;
    }
    size_t capacity = msg->frame_capacity < 8 ? 8 : SKUA_MSG_FRAMES_MAX;
    bool own = msg->frames == msg->own_frames;
    skua__msg_frame *frames =
        skua__mem_resize(msg->hook, own ? NULL : msg->frames, capacity * sizeof *frames);
    if (!frames) {
        return SKUA_E_NO_MEMORY;
    }
    if (own) {
        memcpy(frames, msg->own_frames, sizeof msg->own_frames);
    }
    msg->frames = frames;
    msg->frame_capacity = (uint16_t)capacity;
    return SKUA_OK;
}

void
skua__msg_put(skua_msg *msg, skua__block *block, const void *data, size_t size) {
    assert(msg->frame_count < msg->frame_capacity);
    msg->frames[msg->frame_count++] = (skua__msg_frame){.block = block, .data = data, .size = size};
}

skua_status
skua_msg_append_room(skua_msg *msg, size_t size_bytes, void **ret_bytes) {
    skua_status status = skua__msg_grow(msg);
    if (status != SKUA_OK) {
        return status;
    }
    uint8_t *bytes;
    skua__block *block = skua__block_new(msg->hook, size_bytes, &bytes);
    if (!block) {
        return SKUA_E_NO_MEMORY;
    }
    skua__msg_put(msg, block, bytes, size_bytes);
    *ret_bytes = bytes;
    return SKUA_OK;
}

skua_status
skua_msg_append(skua_msg *msg, const void *bytes, size_t size_bytes) {
    void *room;
    skua_status status = skua_msg_append_room(msg, size_bytes, &room);
    if (status == SKUA_OK && size_bytes) {
        memcpy(room, bytes, size_bytes);
    }
    return status;
}

skua_status
skua_msg_append_string(skua_msg *msg, const char *text) {
    return skua_msg_append(msg, text, strlen(text));
}

skua_status
skua_msg_append_wrap(skua_msg *msg, void *data, size_t size_bytes, skua_msg_free_fn *free_fn,
                     void *hint) {
    skua_status status = skua__msg_grow(msg);
    if (status != SKUA_OK) {
        return status;
    }
    skua__block *block = wrap_block_new(msg->hook, data, free_fn, hint);
    if (!block) {
        return SKUA_E_NO_MEMORY;
    }
    /* A frame's data is never NULL; an empty one may point anywhere. */
    skua__msg_put(msg, block, data ? data : msg->tail, size_bytes);
    return SKUA_OK;
}

skua_status
skua_msg_append_frame(skua_msg *msg, const skua_msg *from, size_t frame) {
    if (frame >= from->frame_count) {
        return SKUA_E_BAD_ARGUMENT;
    }
    const skua__msg_frame *source = &from->frames[frame];
    if (!source->block) {
        return skua_msg_append(msg, source->data, source->size);
    }
    skua_status status = skua__msg_grow(msg);
    if (status == SKUA_OK) {
        /* Looked up again: msg may be from itself, and growing moves the array. */
        source = &from->frames[frame];
        skua__msg_put(msg, skua__block_ref(source->block), source->data, source->size);
    }
    return status;
}

size_t
skua_msg_frames(const skua_msg *msg) {
    return msg->frame_count;
}

const void *
skua_msg_data(const skua_msg *msg, size_t frame) {
    return frame < msg->frame_count ? msg->frames[frame].data : NULL;
}

size_t
skua_msg_size(const skua_msg *msg, size_t frame) {
    return frame < msg->frame_count ? msg->frames[frame].size : 0;
}

size_t
skua_msg_total_size(const skua_msg *msg) {
    size_t total = 0;
    for (size_t i = 0; i < msg->frame_count; i++) {
        total += msg->frames[i].size;
    }
    return total;
}

bool
skua_msg_equals(const skua_msg *msg, size_t frame, const char *text) {
    size_t size = strlen(text);
    return frame < msg->frame_count && msg->frames[frame].size == size &&
           memcmp(msg->frames[frame].data, text, size) == 0;
}

/* ---- Properties ---- */

static skua__property *
find_property(const skua_msg *msg, const char *key) {
    for (size_t i = 0; i < msg->property_count; i++) {
        if (strcmp(msg->properties[i].key, key) == 0) {
            return &msg->properties[i];
        }
    }
    return NULL;
}

skua_status
skua_msg_set_property(skua_msg *msg, const char *key, const char *value) {
    if (!key || !*key) {
        return SKUA_E_BAD_ARGUMENT;
    }
    if (strlen(key) > SKUA_MSG_PROPERTY_KEY_MAX_BYTES ||
        (value && strlen(value) > SKUA_MSG_PROPERTY_VALUE_MAX_BYTES)) {
        return SKUA_E_TOO_BIG;
    }
    skua__property *property = find_property(msg, key);
    if (!value) {
        if (property) {
            size_t after = (size_t)(msg->properties + msg->property_count - property) - 1;
            memmove(property, property + 1, after * sizeof *property);
            msg->property_count--;
        }
        return SKUA_OK;
    }
    if (!property) {
        if (msg->property_count == SKUA_MSG_PROPERTIES_MAX) {
            return SKUA_E_LIMIT;
        }
        /* The value may be another property's, which growing moves. */
        char kept[SKUA_MSG_PROPERTY_VALUE_MAX_BYTES + 1];
        memcpy(kept, value, strlen(value) + 1);
        skua__property *grown = skua__mem_resize(msg->hook, msg->properties,
                                                 (msg->property_count + (size_t)1) * sizeof *grown);
        if (!grown) {
            return SKUA_E_NO_MEMORY;
        }
        msg->properties = grown;
        property = &grown[msg->property_count++];
        snprintf(property->key, sizeof property->key, "%s", key);
        memcpy(property->value, kept, strlen(kept) + 1);
        return SKUA_OK;
    }
    /* memmove: the value may be this very property's. */
    memmove(property->value, value, strlen(value) + 1);
    return SKUA_OK;
}

const char *
skua_msg_property(const skua_msg *msg, const char *key) {
    const skua__property *property = find_property(msg, key);
    return property ? property->value : NULL;
}

const char *
skua_msg_property_at(const skua_msg *msg, size_t i, const char **ret_value) {
    if (i >= msg->property_count) {
        return NULL;
    }
    *ret_value = msg->properties[i].value;
    return msg->properties[i].key;
}

/* ---- The origin ---- */

const char *
skua_msg_topic(const skua_msg *msg) {
    return msg->topic;
}

const char *
skua_msg_sender_name(const skua_msg *msg) {
    return msg->sender ? msg->sender->name : "";
}

const unsigned char *
skua_msg_sender_uuid(const skua_msg *msg) {
    static const skua__uuid nobody;
    return msg->sender ? msg->sender->uuid.bytes : nobody.bytes;
}

bool
skua_msg_redelivered(const skua_msg *msg) {
    return msg->redelivered;
}

uint64_t
skua_msg_gap(const skua_msg *msg) {
    return msg->gap_msgs;
}

bool
skua_msg_is_plain(const skua_msg *msg) {
    return msg->plain;
}

skua_status
skua__msg_set_topic(skua_msg *msg, const void *text, size_t size) {
    if (size > SKUA_MSG_TOPIC_MAX_BYTES) {
        return SKUA_E_TOO_BIG;
    }
    char *copy = NULL;
    if (size) {
        copy = skua__mem_new(msg->hook, size + 1);
        if (!copy) {
            return SKUA_E_NO_MEMORY;
        }
        memcpy(copy, text, size);
    }
    skua__mem_free(msg->hook, msg->topic_copy);
    msg->home = skua__block_unref(msg->home);
    msg->topic_copy = copy;
    msg->topic = copy ? copy : "";
    msg->topic_size = (uint8_t)size;
    return SKUA_OK;
}

void
skua__msg_set_sender(skua_msg *msg, skua__sender *sender) {
    skua__sender *old = msg->sender;
    msg->sender = skua__sender_ref(sender);
    skua__sender_unref(old);
}

void
skua__msg_set_gap(skua_msg *msg, uint64_t gap_msgs) {
    msg->gap_msgs = gap_msgs;
}

void
skua__msg_set_redelivered(skua_msg *msg, bool redelivered) {
    msg->redelivered = redelivered;
}

void
skua__msg_set_plain(skua_msg *msg, bool plain) {
    msg->plain = plain;
}

const skua_allocator *
skua__msg_hook(const skua_msg *msg) {
    return msg->hook;
}

skua_msg *
skua__msg_next(const skua_msg *msg) {
    return msg->next;
}

void
skua__msg_set_next(skua_msg *msg, skua_msg *next) {
    msg->next = next;
}

uint64_t
skua__msg_word(const skua_msg *msg) {
    return msg->word;
}

void
skua__msg_set_word(skua_msg *msg, uint64_t word) {
    msg->word = word;
}
