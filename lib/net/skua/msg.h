// SPDX-License-Identifier: MPL-2.0
// A message: up to 64 frames of bytes, a few small properties, and what the library knows of where it came from.
#ifndef SKUA_MSG_H
#define SKUA_MSG_H

#include <skua/alloc.h>
#include <skua/common.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The bounds of one message. What exceeds them is an error on sending, and is counted and dropped on arrival. */
enum {
    SKUA_MSG_FRAMES_MAX = 64,
    SKUA_MSG_PROPERTIES_MAX = 16,
    SKUA_MSG_PROPERTY_KEY_MAX_BYTES = 63,    /* without the final 0 */
    SKUA_MSG_PROPERTY_VALUE_MAX_BYTES = 255, /* without the final 0 */
    SKUA_MSG_TOPIC_MAX_BYTES = 255,          /* without the final 0 */
};

/* The property that carries a W3C trace context, and that `skua trace` follows. */
#define SKUA_MSG_TRACEPARENT "traceparent"

/*
 * A message belongs to one thread at a time. Its frames' bytes are shared between copies and with the sockets they
 * pass through, by reference counts: copying and forwarding never copies a large payload.
 */
typedef struct skua_msg skua_msg;

/* Ends memory that was handed to skua_msg_wrap(). It may run in any thread, and must not call into skua. */
typedef void skua_msg_free_fn(void *data, void *hint);

/**
 * Makes a message without frames. allocator (NULL: the default) is borrowed, and serves everything that this message
 * ever allocates: it must outlive the message, its copies, and the node that it is sent through.
 *
 * Returns: the message, which the caller owns, or NULL when there is no memory.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_msg *skua_msg_new(const skua_allocator *allocator);

/**
 * Makes a message of one frame that copies size_bytes from bytes (which may be NULL when size_bytes is 0).
 *
 * Returns: the message, which the caller owns, or NULL when there is no memory.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_msg *skua_msg_of_bytes(const void *bytes, size_t size_bytes);

/**
 * Makes a message of one frame that copies text, without its final 0.
 *
 * Returns: the message, which the caller owns, or NULL when there is no memory.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_msg *skua_msg_of_string(const char *text);

/**
 * Makes a message of one frame of size_bytes uninitialised bytes, to be filled at *ret_bytes before it is sent. This
 * is the cheapest way to make a large message: it is sent from where it stands.
 *
 * Returns: the message, which the caller owns, or NULL when there is no memory (*ret_bytes is then untouched).
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_msg *skua_msg_of_room(size_t size_bytes, void **ret_bytes);

/**
 * Makes a message of one frame that takes data without copying it: free_fn(data, hint) runs once, when the last copy
 * of the frame is gone. free_fn NULL: data lives for as long as the process. The bytes must not change any more.
 *
 * Returns: the message, which the caller owns, or NULL when there is no memory; data is then still the caller's, and
 * free_fn has not run.
 * Threads: any; free_fn may run in any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_msg *skua_msg_wrap(void *data, size_t size_bytes,
                                                 skua_msg_free_fn *free_fn, void *hint);

/**
 * Makes a second message with the same frames (shared, not copied; small ones are copied), properties and origin.
 *
 * Returns: the message, which the caller owns, or NULL when there is no memory.
 * Threads: synchronised with the owner of msg; the two may then part. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_msg *skua_msg_copy(const skua_msg *msg);

/**
 * Ends a message. Takes NULL.
 *
 * Returns: NULL, so that `msg = skua_msg_free(msg)` clears its owner.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API skua_msg *skua_msg_free(skua_msg *msg);

/* ---- Frames ---- */

/**
 * Adds a frame that copies size_bytes from bytes.
 *
 * Returns: 0, or SKUA_E_LIMIT at 64 frames, SKUA_E_NO_MEMORY; the message is then as before.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_msg_append(skua_msg *msg, const void *bytes,
                                                     size_t size_bytes);

/**
 * Adds a frame that copies text, without its final 0.
 *
 * Returns: 0, or SKUA_E_LIMIT at 64 frames, SKUA_E_NO_MEMORY; the message is then as before.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_msg_append_string(skua_msg *msg, const char *text);

/**
 * Adds a frame of size_bytes uninitialised bytes, to be filled at *ret_bytes.
 *
 * Returns: 0, or SKUA_E_LIMIT at 64 frames, SKUA_E_NO_MEMORY; the message and *ret_bytes are then as before.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_msg_append_room(skua_msg *msg, size_t size_bytes,
                                                          void **ret_bytes);

/**
 * Adds a frame that takes data as skua_msg_wrap() does.
 *
 * Returns: 0, or SKUA_E_LIMIT at 64 frames, SKUA_E_NO_MEMORY; data is then still the caller's.
 * Threads: owner; free_fn may run in any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_msg_append_wrap(skua_msg *msg, void *data,
                                                          size_t size_bytes,
                                                          skua_msg_free_fn *free_fn, void *hint);

/**
 * Adds frame number frame of from to msg, sharing its bytes.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT when from has no such frame, SKUA_E_LIMIT at 64 frames, SKUA_E_NO_MEMORY.
 * Threads: owner of both. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_msg_append_frame(skua_msg *msg, const skua_msg *from,
                                                           size_t frame);

/**
 * How many frames the message has.
 *
 * Returns: 0 to SKUA_MSG_FRAMES_MAX.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API size_t skua_msg_frames(const skua_msg *msg);

/**
 * The bytes of a frame, which live as long as the message. They are not followed by a 0, and not aligned.
 *
 * Returns: the bytes, never NULL for a frame that exists; NULL when there is no such frame.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API const void *skua_msg_data(const skua_msg *msg, size_t frame);

/**
 * The size of a frame.
 *
 * Returns: its size in bytes, 0 when there is no such frame.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API size_t skua_msg_size(const skua_msg *msg, size_t frame);

/**
 * The size of all frames together, in bytes.
 *
 * Returns: the sum.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API size_t skua_msg_total_size(const skua_msg *msg);

/**
 * Whether a frame holds exactly this text (which has a final 0; the frame has none).
 *
 * Returns: true when it does; false when it does not, or there is no such frame.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API bool skua_msg_equals(const skua_msg *msg, size_t frame, const char *text);

/* ---- Properties: small strings that travel with the message ---- */

/**
 * Sets a property, replacing its old value; both strings are copied. value NULL takes the property out.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT for an empty key, SKUA_E_TOO_BIG for a key over 63 or a value over 255 bytes,
 * SKUA_E_LIMIT for the 17th property, SKUA_E_NO_MEMORY; the message is then as before.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_msg_set_property(skua_msg *msg, const char *key,
                                                           const char *value);

/**
 * Looks a property up.
 *
 * Returns: its value, which lives until the property is set again or the message ends; NULL when there is none.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_msg_property(const skua_msg *msg, const char *key);

/**
 * The i-th property, in the order in which they were set; for listing them all.
 *
 * Returns: its key, with the value at *ret_value; NULL when i is past the end (*ret_value is then untouched).
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_msg_property_at(const skua_msg *msg, size_t i, const char **ret_value);

/* ---- What the library says of a message that was received ---- */

/**
 * The topic under which it was published.
 *
 * Returns: a string that lives as long as the message; "" where there is none.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_msg_topic(const skua_msg *msg);

/**
 * The name of the node that sent it, as its certificate says.
 *
 * Returns: a string that lives as long as the message; "" for a message of our own or of a plain ZeroMQ peer.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_msg_sender_name(const skua_msg *msg);

/**
 * The UUID of the node that sent it.
 *
 * Returns: 16 bytes that live as long as the message; all 0 for a message of our own or of a plain ZeroMQ peer.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API const unsigned char *skua_msg_sender_uuid(const skua_msg *msg);

/**
 * Whether the sender had sent it before, to us or to another, and cannot know whether it was received then.
 *
 * Returns: true when it may be a duplicate.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API bool skua_msg_redelivered(const skua_msg *msg);

/**
 * How many messages of this sender, just before this one, were dropped on their way to us (by the policy of a queue).
 *
 * Returns: the number; 0 when nothing is missing, and always 0 from plain ZeroMQ peers, where nobody can know.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API uint64_t skua_msg_gap(const skua_msg *msg);

/**
 * Whether it came from a plain ZeroMQ peer, through a plain endpoint: then nobody vouches for its sender.
 *
 * Returns: true when it did.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API bool skua_msg_is_plain(const skua_msg *msg);

#ifdef __cplusplus
}
#endif
#endif
