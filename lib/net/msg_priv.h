// SPDX-License-Identifier: MPL-2.0
// The layout of a message, shared by msg.c, msg_body.c and msg_zmq.c and by nobody else.
#ifndef SKUA_NET_MSG_PRIV_H
#define SKUA_NET_MSG_PRIV_H

#include <skua-int/mem.h>
#include <skua-int/msg_int.h>

/*
 * Bytes that several frames and sockets may share. The count is the only thing that more than one thread touches;
 * the bytes are not written any more once a second reference exists.
 */
typedef struct skua__block {
    atomic_uint refs;
    const skua_allocator *hook;
    void (*end)(
        struct skua__block *block); /* ends the bytes, not the block's own memory; may be NULL */
    size_t headroom;                /* writable bytes of ours before the frame's, else 0 */
} skua__block;

typedef struct skua__msg_frame {
    skua__block *block;  /* NULL: the bytes lie in the message's tail */
    const uint8_t *data; /* never NULL */
    size_t size;
} skua__msg_frame;

typedef struct skua__property {
    char key[SKUA_MSG_PROPERTY_KEY_MAX_BYTES + 1];
    char value[SKUA_MSG_PROPERTY_VALUE_MAX_BYTES + 1];
} skua__property;

enum { SKUA__MSG_OWN_FRAMES = 2 }; /* most messages have no more, and allocate no array */

struct skua_msg {
    const skua_allocator *hook;
    skua_msg *next;
    uint64_t word;
    uint64_t gap_msgs;
    skua__sender *sender;
    const char *topic;          /* "" or in the tail, in home's bytes, or in topic_copy */
    char *topic_copy;           /* owned, or NULL */
    skua__block *home;          /* kept for topic's sake, or NULL */
    skua__property *properties; /* owned array of property_count, or NULL */
    skua__msg_frame *frames;    /* own_frames or an owned array */
    uint16_t frame_count;
    uint16_t frame_capacity;
    uint8_t property_count;
    uint8_t topic_size;
    bool redelivered;
    bool plain;
    uint32_t tail_size;
    skua__msg_frame own_frames[SKUA__MSG_OWN_FRAMES];
    uint8_t tail[]; /* small frames, and the topic that came with them */
};

/* A message without frames whose tail has room for tail_size bytes, or NULL. */
skua_msg *skua__msg_new_tail(const skua_allocator *hook, size_t tail_size);
/* Makes room for one more frame. Returns 0, SKUA_E_LIMIT, SKUA_E_NO_MEMORY. */
skua_status skua__msg_grow(skua_msg *msg);
/* Adds a frame; there is room. Takes the reference to block (NULL: data lies in the tail). */
void skua__msg_put(skua_msg *msg, skua__block *block, const void *data, size_t size);

/* A block of ours with room for size bytes behind its headroom; *ret_bytes is where they begin. Or NULL. */
skua__block *skua__block_new(const skua_allocator *hook, size_t size, uint8_t **ret_bytes);
skua__block *skua__block_ref(skua__block *block);
skua__block *skua__block_unref(skua__block *block); /* takes NULL; returns NULL */
/* Whether nobody else holds it, so that its headroom may be written. */
bool skua__block_is_ours(const skua__block *block);

/*
 * Fills a fresh message (no frames yet) from a body of size bytes, which stand in its tail (block NULL) or in block.
 * Returns 0, SKUA_E_MALFORMED, SKUA_E_NO_MEMORY; the message may then hold a part, and is to be freed.
 */
skua_status skua__msg_body_read(skua_msg *msg, skua__block *block, const uint8_t *body,
                                size_t size);

#endif
