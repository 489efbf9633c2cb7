// SPDX-License-Identifier: MPL-2.0
// News by service name and topic: each subscriber has its own queue at the publisher, and hears of every gap in it.
#ifndef SKUA_PUBSUB_H
#define SKUA_PUBSUB_H

#include <skua/msg.h>
#include <skua/node.h>
#include <skua/pattern_stats.h>
#include <skua/runner.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_pub skua_pub;
typedef struct skua_sub skua_sub;

enum {
    SKUA_PUB_DEFAULT_TIMEOUT_MS = 5000,
    SKUA_PUB_DEFAULT_LINGER_MS = 1000,
    SKUA_PUB_DEFAULT_QUEUE_MSGS = 65536,
    SKUA_PUB_DEFAULT_QUEUE_BYTES = 16 * 1024 * 1024,
    SKUA_SUB_MAX_TOPICS = 128,
    SKUA_SUB_DEFAULT_PARALLEL = 1, /* handlers that run at a time: in order */
};

/* What happens when a subscriber's queue at the publisher is full. */
typedef enum skua_slow_policy {
    SKUA_SLOW_DROP_OLDEST = 1, /* the subscriber hears of the gap; nobody waits */
    SKUA_SLOW_BLOCK = 2,       /* publishing waits: one slow subscriber delays all */
} skua_slow_policy;

/* ---- PUB ---- */

/* Make one with SKUA_PUB_OPTIONS(.policy = SKUA_SLOW_BLOCK). The allocator is borrowed. */
typedef struct skua_pub_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the node's */
    uint32_t version;                /* of the service, as offered */
    int32_t policy;                  /* skua_slow_policy. 0: SKUA_SLOW_DROP_OLDEST */
    /* How much may wait for one subscriber, besides what is on its way to it (its window). 0: 65,536 messages and
     * 16 MiB. What is dropped at once may be up to 256 messages: the frame that they share. */
    int64_t queue_msgs;
    int64_t queue_bytes;
    int64_t timeout_ms; /* of calls that name none. 0: 5,000 */
    int64_t linger_ms;  /* how long closing waits for subscribers. 0: 1,000; SKUA_NONE */
    /* Also publish to plain ZeroMQ SUB sockets that connect here: "tcp://127.0.0.1:5999". They get the topic as a frame of
     * its own, in front; a slow one loses messages, and nobody can tell how many. */
    const char *plain_bind;
    uint8_t plain_insecure; /* 1: other machines may reach it, unencrypted and unauthenticated */
    uint8_t reserved_flags[7];
} skua_pub_options;

#define SKUA_PUB_OPTIONS(...)                                                                      \
    (&(const skua_pub_options){.size = sizeof(skua_pub_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_pub_options_init(skua_pub_options *options, size_t size);

/**
 * Opens a publisher of the service of this name. Borrows node, copies the rest; options may be NULL. The caller owns
 * *ret_pub: skua_pub_close().
 *
 * Returns: 0, or SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT, SKUA_E_NOT_AUTHORISED (role publish), SKUA_E_ADDRESS_IN_USE,
 * SKUA_E_BAD_TRANSPORT, SKUA_E_BAD_ENDPOINT, SKUA_E_LOOPBACK_ONLY (a plain endpoint off this machine), SKUA_E_LIMIT, SKUA_E_DESCRIPTORS, SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED, SKUA_E_SYSTEM.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pub_open(skua_pub **ret_pub, skua_node *node,
                                                   const char *service,
                                                   const skua_pub_options *options,
                                                   skua_error *err);

/**
 * Closes the handle: waits up to linger_ms until every subscriber has received what waits for it, counts the rest as
 * dropped. Takes NULL.
 *
 * Returns: NULL.
 * Threads: any, once; nobody may begin another call with this handle. Blocks: linger_ms and a moment. Since 0.1.
 */
SKUA_API skua_pub *skua_pub_close(skua_pub *pub);

/**
 * Publishes one message under a topic (at most 255 bytes, "" is allowed): each subscriber with a matching prefix gets
 * it. Takes *msg on success; untouched on failure. timeout_ms matters with SKUA_SLOW_BLOCK alone: 0: the handle's;
 * SKUA_NONE; SKUA_UNLIMITED.
 *
 * Returns: 0, also when nobody is subscribed; SKUA_E_AGAIN, SKUA_E_TIMEOUT (a subscriber's queue stayed full: nobody
 * got the message), SKUA_E_TOO_BIG, SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY (some may have got it), SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: with SKUA_SLOW_BLOCK up to timeout_ms, else never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pub_send(skua_pub *pub, const char *topic, skua_msg **msg,
                                                   int64_t timeout_ms, skua_error *err);

/**
 * As skua_pub_send() with a message of one frame that copies size_bytes from bytes.
 *
 * Returns: as skua_pub_send().
 * Threads: any. Blocks: as skua_pub_send(). Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pub_send_bytes(skua_pub *pub, const char *topic,
                                                         const void *bytes, size_t size_bytes,
                                                         int64_t timeout_ms, skua_error *err);

/**
 * Makes a message of one frame of size_bytes uninitialised bytes at *ret_bytes, in the memory from which this handle
 * publishes with the fewest copies: fill it and give it to skua_pub_send(), or free it. The caller owns *ret_msg.
 *
 * Returns: 0, or SKUA_E_NO_MEMORY, SKUA_E_BAD_ARGUMENT, SKUA_E_TOO_BIG; then the outputs are untouched.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pub_loan(skua_pub *pub, size_t size_bytes,
                                                   skua_msg **ret_msg, void **ret_bytes,
                                                   skua_error *err);

/**
 * Waits until at least `count` subscribers would get a message of this topic, so that the first one is not lost on late
 * joiners. timeout_ms: 0: the handle's; SKUA_NONE; SKUA_UNLIMITED.
 *
 * Returns: 0, or SKUA_E_TIMEOUT (the message says how many there are), SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pub_await_subs(skua_pub *pub, const char *topic,
                                                         size_t count, int64_t timeout_ms,
                                                         skua_error *err);

/**
 * Waits until every subscriber has received everything that was published for it (or it was dropped for it).
 *
 * Returns: 0, or SKUA_E_TIMEOUT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: up to timeout_ms, as above. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pub_drain(skua_pub *pub, int64_t timeout_ms,
                                                    skua_error *err);

/**
 * A descriptor that is readable while publishing would not wait (level-triggered), or something else is to be done by
 * the next call. It is the handle's: do not read or close it.
 *
 * Returns: the descriptor, or -1 in the child of a fork().
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API int skua_pub_fd(skua_pub *pub);

/**
 * The TCP port of the plain endpoint, for when the system picked it (plain_bind = "tcp://127.0.0.1:*").
 *
 * Returns: the port; 0 when there is none.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API uint16_t skua_pub_plain_port(const skua_pub *pub);

/**
 * Copies the counters out. Set ret_stats->size to sizeof *ret_stats before.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pub_stats(skua_pub *pub, skua_pattern_stats *ret_stats,
                                                    skua_error *err);

/**
 * Copies the ledger of each subscriber's link: ret_links is the caller's array of `capacity` structs of link_size bytes
 * each (sizeof(skua_link_stats) of the caller's header).
 *
 * Returns: 0 with the number of links in *ret_count (which may be above capacity: then the first `capacity` were
 * written), or SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pub_links(skua_pub *pub, skua_link_stats *ret_links,
                                                    size_t link_size, size_t capacity,
                                                    size_t *ret_count, skua_error *err);

/* ---- SUB ---- */

/*
 * Make one with SKUA_SUB_OPTIONS(.topic = "oslo"). Strings are copied; the allocator, the runner and handler_ctx are
 * borrowed until skua_sub_close().
 */
typedef struct skua_sub_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the node's */
    /* Prefixes of the topics to get. topic alone, or topic_count topics, or both; neither: all topics. */
    const char *topic;
    const char *const *topics;
    size_t topic_count; /* at most SKUA_SUB_MAX_TOPICS with topic */
    int64_t timeout_ms; /* of receives that name none. 0: SKUA_UNLIMITED */
    int32_t
        window_bytes; /* what each publisher may have on its way at first. 0: 256 KiB; it adapts up to 8 MiB */
    uint32_t parallel; /* handlers that run at a time. 0: 1, so that they see messages in order */
    /* When given, messages go to handler, on runner's threads, instead of skua_sub_recv(); it owns the message. */
    const skua_runner *runner;
    void (*handler)(void *handler_ctx, skua_sub *sub, skua_msg *msg);
    void *handler_ctx;
    /* Also follow the plain ZeroMQ PUB socket at this endpoint: the first of several frames is taken as the topic. */
    const char *plain_connect;
    uint8_t plain_insecure; /* 1: it may lead off this machine, unencrypted and unauthenticated */
    uint8_t plain_only;     /* 1: nothing else is followed */
    uint8_t reserved_flags[6];
} skua_sub_options;

#define SKUA_SUB_OPTIONS(...)                                                                      \
    (&(const skua_sub_options){.size = sizeof(skua_sub_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_sub_options_init(skua_sub_options *options, size_t size);

/**
 * Subscribes to all publishers of the service of this name, now and later. Borrows node, copies the rest; options may be
 * NULL. The caller owns *ret_sub: skua_sub_close().
 *
 * Returns: 0, or SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT, SKUA_E_TOO_BIG (a topic), SKUA_E_LIMIT (topics),
 * SKUA_E_NOT_AUTHORISED (role subscribe), SKUA_E_BAD_TRANSPORT, SKUA_E_BAD_ENDPOINT, SKUA_E_LOOPBACK_ONLY (a plain
 * endpoint off this machine), SKUA_E_DESCRIPTORS, SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED,
 * SKUA_E_SYSTEM.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_sub_open(skua_sub **ret_sub, skua_node *node,
                                                   const char *service,
                                                   const skua_sub_options *options,
                                                   skua_error *err);

/**
 * Closes the handle, waiting for handlers that run. Takes NULL.
 *
 * Returns: NULL.
 * Threads: any, once, but not a handler; nobody may begin another call with this handle. Blocks: for handlers, and for
 * 200 ms at most. Since 0.1.
 */
SKUA_API skua_sub *skua_sub_close(skua_sub *sub);

/**
 * Adds a topic prefix. Publishers hear of it within a round trip; messages on their way are not affected.
 *
 * Returns: 0 (also when it is there already), or SKUA_E_TOO_BIG, SKUA_E_LIMIT, SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY,
 * SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_sub_subscribe(skua_sub *sub, const char *topic,
                                                        skua_error *err);

/**
 * Takes a topic prefix out, one that was given in these very words. Messages that are queued stay.
 *
 * Returns: 0, or SKUA_E_NOT_FOUND, SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_sub_unsubscribe(skua_sub *sub, const char *topic,
                                                          skua_error *err);

/**
 * Takes the oldest message. skua_msg_topic() is its topic; skua_msg_gap() tells how many before it were dropped. The
 * caller owns *ret_msg. timeout_ms: 0: the handle's; SKUA_NONE; SKUA_UNLIMITED.
 *
 * Returns: 0, or SKUA_E_AGAIN (SKUA_NONE, and nothing is there), SKUA_E_TIMEOUT, SKUA_E_BAD_ARGUMENT (the handle has a
 * handler), SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Where the publishers that are there refuse the link: SKUA_E_PROTOCOL_VERSION, SKUA_E_NOT_AUTHORISED, SKUA_E_LIMIT,
 * SKUA_E_REFUSED at the deadline; the message says who and why.
 * Threads: any. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_sub_recv(skua_sub *sub, skua_msg **ret_msg,
                                                   int64_t timeout_ms, skua_error *err);

/**
 * Waits until at least `count` publishers know of this subscription. timeout_ms 0: 5,000; SKUA_NONE; SKUA_UNLIMITED.
 *
 * Returns: 0, or SKUA_E_NO_PROVIDER (none at all; the message lists what is offered), SKUA_E_TIMEOUT, SKUA_E_CLOSED,
 * SKUA_E_FORKED.
 * Where the providers that are there refuse the link: SKUA_E_PROTOCOL_VERSION, SKUA_E_NOT_AUTHORISED, SKUA_E_LIMIT,
 * SKUA_E_REFUSED at the deadline; the message says who and why.
 * Threads: any. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_sub_await_pubs(skua_sub *sub, size_t count,
                                                         int64_t timeout_ms, skua_error *err);

/**
 * A descriptor that is readable while a message waits (level-triggered). It is the handle's: do not read or close it.
 *
 * Returns: the descriptor, or -1 in the child of a fork().
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API int skua_sub_fd(skua_sub *sub);

/**
 * Copies the counters out. Set ret_stats->size to sizeof *ret_stats before.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_sub_stats(skua_sub *sub, skua_pattern_stats *ret_stats,
                                                    skua_error *err);

/**
 * Copies the ledger of each publisher's link, as skua_pub_links().
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_sub_links(skua_sub *sub, skua_link_stats *ret_links,
                                                    size_t link_size, size_t capacity,
                                                    size_t *ret_count, skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
