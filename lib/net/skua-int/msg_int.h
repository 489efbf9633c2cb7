// SPDX-License-Identifier: MPL-2.0
// The inside of a message, for lib/net and patterns: shared blocks of bytes, the origin, and (with zmq.h included
// before it, in lib/net) the ways into and out of ZeroMQ messages without a copy.
#ifndef SKUA_INT_MSG_INT_H
#define SKUA_INT_MSG_INT_H

#include <skua-int/ids.h>
#include <skua/msg.h>
#include <stdatomic.h>

enum {
    SKUA__MSG_INLINE_BYTES = 256, /* a frame up to this size lies in the message itself */
    /* Free space before the bytes of a block of ours, so that a message leaves without a copy: a frame's header fits
     * and, before bytes where a copy would cost much, the longest tag and the head of a topic too. */
    SKUA__MSG_HEADROOM_BYTES = 64,
    SKUA__MSG_HEADROOM_LARGE_BYTES = 384,
    SKUA__MSG_LARGE_BYTES = 4096,
    SKUA__MSG_EXTENSION_MAX_BYTES = 8192, /* of an encoded head: properties, topic, frame sizes */
};

/* ---- Who sent it: one object per link, shared by all messages that came over it ---- */

typedef struct skua__sender {
    atomic_uint refs;
    const skua_allocator *hook;
    skua__uuid uuid;
    char name[SKUA_NAME_BYTES];
} skua__sender;

/* Returns one reference, or NULL when there is no memory. */
skua__sender *skua__sender_new(const skua_allocator *hook, const skua__uuid *uuid,
                               const char *name);
skua__sender *skua__sender_ref(skua__sender *sender);   /* takes NULL */
skua__sender *skua__sender_unref(skua__sender *sender); /* takes NULL; returns NULL */

void skua__msg_set_sender(skua_msg *msg, skua__sender *sender); /* takes a reference of its own */
void skua__msg_set_gap(skua_msg *msg, uint64_t gap_msgs);
void skua__msg_set_redelivered(skua_msg *msg, bool redelivered);
void skua__msg_set_plain(skua_msg *msg, bool plain);
/* Copies at most SKUA_MSG_TOPIC_MAX_BYTES. Returns 0, SKUA_E_TOO_BIG or SKUA_E_NO_MEMORY. */
SKUA_MUST_CHECK skua_status skua__msg_set_topic(skua_msg *msg, const void *text, size_t size);
const skua_allocator *skua__msg_hook(const skua_msg *msg);

/* A link in the handle's queue, so that queueing a message allocates nothing; unused otherwise. */
skua_msg *skua__msg_next(const skua_msg *msg);
void skua__msg_set_next(skua_msg *msg, skua_msg *next);
/* A word for the layer that holds the message in a queue (a provider's index, a correlation id …). */
uint64_t skua__msg_word(const skua_msg *msg);
void skua__msg_set_word(skua_msg *msg, uint64_t word);

/* ---- The encoding of a message's body: what follows the frame header ---- */

/*
 * A message of one frame with no topic and no property is *simple*: its body is that frame's bytes. Any other body
 * begins with a head (see docs/design/wire.md, "Message body"), and the frame header must say which it is.
 */
bool skua__msg_is_simple(const skua_msg *msg);
/* The size of the body in bytes; head included when the message is not simple. */
size_t skua__msg_body_size(const skua_msg *msg);
/* Writes exactly skua__msg_body_size() bytes. */
void skua__msg_body_write(const skua_msg *msg, uint8_t *ret_body);
/* The size of the head alone: 0 for a simple message, else at most SKUA__MSG_EXTENSION_MAX_BYTES. */
size_t skua__msg_head_size(const skua_msg *msg);
/* Writes exactly skua__msg_head_size() bytes, and returns that size. */
size_t skua__msg_head_write(const skua_msg *msg, uint8_t *ret_head);

/* ---- Ways into and out of ZeroMQ; lib/net only ---- */
#ifdef ZMQ_VERSION

/* A ZeroMQ message that several skua messages share (a BATCH); reference counted. */
typedef struct skua__zmq_block skua__zmq_block;

/*
 * Moves zmq (left empty, as zmq_msg_init() does) into a block. Returns one reference, or NULL when there is no
 * memory; zmq is then untouched.
 */
skua__zmq_block *skua__zmq_block_take(const skua_allocator *hook, zmq_msg_t *zmq);
skua__zmq_block *skua__zmq_block_unref(skua__zmq_block *block); /* takes NULL; returns NULL */
zmq_msg_t *skua__zmq_block_msg(skua__zmq_block *block);

/*
 * Makes a message of the body that stands at offset in the block, size bytes long; simple says how to read it. Large
 * frames share the block, small ones are copied. Returns 0, SKUA_E_MALFORMED, SKUA_E_NO_MEMORY.
 */
SKUA_MUST_CHECK skua_status skua__msg_from_block(skua__zmq_block *block, size_t offset, size_t size,
                                                 bool simple, skua_msg **ret_msg);
/*
 * The same from a ZeroMQ message that holds this one body and nothing after it; zmq is left empty when the bytes
 * were taken, untouched when they were copied: close it either way.
 */
SKUA_MUST_CHECK skua_status skua__msg_from_zmq(const skua_allocator *hook, zmq_msg_t *zmq,
                                               size_t offset, bool simple, skua_msg **ret_msg);

/*
 * Makes a ZeroMQ message: header, then the body of msg. Without a copy when msg has one large frame of our own
 * making (skua_msg_of_room, _of_bytes) that no other message shares, else with one. msg stays the caller's, and a
 * second call gives the same bytes. ret_zmq is uninitialised. Returns 0 or SKUA_E_NO_MEMORY.
 */
SKUA_MUST_CHECK skua_status skua__msg_to_zmq(skua_msg *msg, const void *header, size_t header_size,
                                             zmq_msg_t *ret_zmq);

/* One frame as a ZeroMQ message, for plain peers: shared when it is large, else copied. As above. */
SKUA_MUST_CHECK skua_status skua__msg_frame_to_zmq(const skua_msg *msg, size_t frame,
                                                   zmq_msg_t *ret_zmq);
/* Adds a whole ZeroMQ message as one frame; as skua__msg_from_zmq(). Returns also SKUA_E_LIMIT. */
SKUA_MUST_CHECK skua_status skua__msg_append_zmq(skua_msg *msg, zmq_msg_t *zmq);

#endif
#endif
