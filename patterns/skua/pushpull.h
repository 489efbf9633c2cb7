// SPDX-License-Identifier: MPL-2.0
// Work by service name: PUSH hands each message to the least busy worker and keeps it until the worker is done; when a
// worker dies its messages go to another. PULL is the worker.
#ifndef SKUA_PUSHPULL_H
#define SKUA_PUSHPULL_H

#include <skua/msg.h>
#include <skua/node.h>
#include <skua/pattern_stats.h>
#include <skua/runner.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_push skua_push;
typedef struct skua_pull skua_pull;

enum {
    SKUA_PUSH_DEFAULT_TIMEOUT_MS = 5000,
    SKUA_PUSH_DEFAULT_LINGER_MS = 1000,
    SKUA_PULL_DEFAULT_PARALLEL = 64, /* handlers that run at a time */
    SKUA_PULL_MAX_PREFETCH_MSGS = 65536,
};

/* ---- PUSH ---- */

/* Make one with SKUA_PUSH_OPTIONS(.linger_ms = 5000). The allocator is borrowed. */
typedef struct skua_push_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the node's */
    int64_t timeout_ms;              /* of sends that name none. 0: 5,000 */
    int64_t linger_ms; /* how long closing waits for workers to be done. 0: 1,000; SKUA_NONE */
    /* Also give work to the plain ZeroMQ PULL socket at this endpoint, when no worker of the fleet has room: it
     * acknowledges nothing, so what it has is gone with it. */
    const char *plain_connect;
    uint8_t plain_insecure; /* 1: it may lead off this machine, unencrypted and unauthenticated */
    uint8_t plain_only;     /* 1: it gets everything */
    uint8_t reserved_flags[6];
} skua_push_options;

#define SKUA_PUSH_OPTIONS(...)                                                                     \
    (&(const skua_push_options){.size = sizeof(skua_push_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_push_options_init(skua_push_options *options, size_t size);

/**
 * Opens a handle that gives work to whoever pulls the service of this name, now or later. Borrows node, copies the rest;
 * options may be NULL. The caller owns *ret_push: skua_push_close().
 *
 * Returns: 0, or SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT, SKUA_E_NOT_AUTHORISED (role push), SKUA_E_BAD_TRANSPORT,
 * SKUA_E_BAD_ENDPOINT, SKUA_E_LOOPBACK_ONLY (a plain endpoint off this machine), SKUA_E_DESCRIPTORS,
 * SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED, SKUA_E_SYSTEM.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_push_open(skua_push **ret_push, skua_node *node,
                                                    const char *service,
                                                    const skua_push_options *options,
                                                    skua_error *err);

/**
 * Closes the handle: waits up to linger_ms until the workers are done with everything, counts the rest as dropped; calls
 * in other threads return SKUA_E_CLOSED. Who must know that nothing was lost calls skua_push_drain() before. Takes NULL.
 *
 * Returns: NULL.
 * Threads: any, once; nobody may begin another call with this handle. Blocks: linger_ms and a moment. Since 0.1.
 */
SKUA_API skua_push *skua_push_close(skua_push *push);

/**
 * Gives one message to the least busy worker that has room. Takes *msg on success; untouched on failure. timeout_ms: how
 * long to wait for a worker and for room; 0: the handle's; SKUA_NONE: not at all; SKUA_UNLIMITED.
 *
 * Returns: 0 (the message will be done by some worker, or counted as dropped when the handle closes first), or
 * SKUA_E_AGAIN (SKUA_NONE, and nobody has room), SKUA_E_TIMEOUT (workers are there, none had room), SKUA_E_NO_PROVIDER
 * (there is none; the message lists what is offered), SKUA_E_TOO_BIG, SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY,
 * SKUA_E_CLOSED, SKUA_E_FORKED.
 * Where the providers that are there refuse the link: SKUA_E_PROTOCOL_VERSION, SKUA_E_NOT_AUTHORISED, SKUA_E_LIMIT,
 * SKUA_E_REFUSED at the deadline; the message says who and why.
 * Threads: any. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_push_send(skua_push *push, skua_msg **msg,
                                                    int64_t timeout_ms, skua_error *err);

/**
 * As skua_push_send() with a message of one frame that copies size_bytes from bytes.
 *
 * Returns: as skua_push_send().
 * Threads: any. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_push_send_bytes(skua_push *push, const void *bytes,
                                                          size_t size_bytes, int64_t timeout_ms,
                                                          skua_error *err);

/**
 * Waits until at least `count` workers are there. timeout_ms: 0: the handle's; SKUA_NONE; SKUA_UNLIMITED.
 *
 * Returns: 0, or SKUA_E_NO_PROVIDER (none at all), SKUA_E_TIMEOUT (some, but fewer), SKUA_E_CLOSED, SKUA_E_FORKED.
 * Where the providers that are there refuse the link: SKUA_E_PROTOCOL_VERSION, SKUA_E_NOT_AUTHORISED, SKUA_E_LIMIT,
 * SKUA_E_REFUSED at the deadline; the message says who and why.
 * Threads: any. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_push_await_workers(skua_push *push, size_t count,
                                                             int64_t timeout_ms, skua_error *err);

/**
 * Waits until the workers are done with everything that was sent. timeout_ms as above.
 *
 * Returns: 0, or SKUA_E_TIMEOUT (the message says how many are not done), SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_push_drain(skua_push *push, int64_t timeout_ms,
                                                     skua_error *err);

/**
 * A descriptor that is readable while some worker has room (level-triggered), or something else is to be done by the
 * next call. It is the handle's: do not read or close it.
 *
 * Returns: the descriptor, or -1 in the child of a fork().
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API int skua_push_fd(skua_push *push);

/**
 * Copies the counters out. Set ret_stats->size to sizeof *ret_stats before.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_push_stats(skua_push *push, skua_pattern_stats *ret_stats,
                                                     skua_error *err);

/**
 * Copies the ledger of each worker's link: ret_links is the caller's array of `capacity` structs of link_size bytes
 * each (sizeof(skua_link_stats) of the caller's header).
 *
 * Returns: 0 with the number of links in *ret_count (which may be above capacity: then the first `capacity` were
 * written), or SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_push_links(skua_push *push, skua_link_stats *ret_links,
                                                     size_t link_size, size_t capacity,
                                                     size_t *ret_count, skua_error *err);

/* ---- PULL ---- */

/*
 * Make one with SKUA_PULL_OPTIONS(.manual_done = 1). The allocator, the runner and handler_ctx are borrowed until
 * skua_pull_close().
 */
typedef struct skua_pull_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the node's */
    uint32_t version;                /* of the service, as offered */
    /* Messages that one pusher may have here, waiting or being worked on. 0: it adapts to how fast they are done, from 2
     * up; with manual_done or a handler twice the number of processors. At most SKUA_PULL_MAX_PREFETCH_MSGS. */
    uint32_t prefetch_msgs;
    /* 0: a message is done when this handle is asked for the next one. 1: when skua_pull_done() says so; until then the
     * pusher keeps it, and gives it to another worker if this node dies. */
    uint8_t manual_done;
    uint8_t reserved_flags[7];
    int64_t timeout_ms; /* of receives that name none. 0: SKUA_UNLIMITED */
    /* When given, messages go to handler, on runner's threads, instead of skua_pull_recv(): it gets the message, which
     * it owns, and the message is done when it returns; `parallel` run at a time (0: 64). */
    const skua_runner *runner;
    void (*handler)(void *handler_ctx, skua_pull *pull, skua_msg *msg);
    void *handler_ctx;
    uint32_t parallel;
    uint32_t reserved;
    /* Also take work from plain ZeroMQ PUSH sockets that connect here: "tcp://127.0.0.1:5999". */
    const char *plain_bind;
    uint8_t plain_insecure; /* 1: other machines may reach it, unencrypted and unauthenticated */
    uint8_t reserved_plain[7];
} skua_pull_options;

#define SKUA_PULL_OPTIONS(...)                                                                     \
    (&(const skua_pull_options){.size = sizeof(skua_pull_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_pull_options_init(skua_pull_options *options, size_t size);

/**
 * Opens a worker's handle: offers to take work of this name. Borrows node, copies the rest; options may be NULL. The
 * caller owns *ret_pull: skua_pull_close().
 *
 * Returns: 0, or SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT, SKUA_E_NOT_AUTHORISED (role pull), SKUA_E_ADDRESS_IN_USE (no free
 * port in the node's range), SKUA_E_LIMIT, SKUA_E_DESCRIPTORS, SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED,
 * SKUA_E_SYSTEM.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pull_open(skua_pull **ret_pull, skua_node *node,
                                                    const char *service,
                                                    const skua_pull_options *options,
                                                    skua_error *err);

/**
 * Closes the handle. What was received and is done is confirmed; all else goes back to the pushers, who give it to other
 * workers. Waits for handlers that run. Takes NULL.
 *
 * Returns: NULL.
 * Threads: any, once, but not a handler; nobody may begin another call with this handle. Blocks: for handlers, and for
 * 200 ms at most. Since 0.1.
 */
SKUA_API skua_pull *skua_pull_close(skua_pull *pull);

/**
 * Takes the oldest message. skua_msg_redelivered() tells whether another worker may have had it before. The caller owns
 * *ret_msg. timeout_ms: 0: the handle's; SKUA_NONE; SKUA_UNLIMITED. Without manual_done the message that was received
 * before counts as done now: with several threads on one handle use manual_done.
 *
 * Returns: 0, or SKUA_E_AGAIN (SKUA_NONE, and nothing is there), SKUA_E_TIMEOUT, SKUA_E_BAD_ARGUMENT (the handle has a
 * handler), SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pull_recv(skua_pull *pull, skua_msg **ret_msg,
                                                    int64_t timeout_ms, skua_error *err);

/**
 * A message is done with: its pusher forgets it, and may send another. Takes *msg.
 *
 * Returns: 0, or, with *msg taken all the same, SKUA_E_PEER_LOST (the pusher is gone, or has given the message to
 * another), SKUA_E_CLOSED, SKUA_E_FORKED. SKUA_E_BAD_ARGUMENT, with *msg untouched: the handle has not manual_done.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pull_done(skua_pull *pull, skua_msg **msg,
                                                    skua_error *err);

/**
 * A descriptor that is readable while a message waits (level-triggered). It is the handle's: do not read or close it.
 *
 * Returns: the descriptor, or -1 in the child of a fork().
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API int skua_pull_fd(skua_pull *pull);

/**
 * The TCP port of the plain endpoint, for when the system picked it (plain_bind = "tcp://127.0.0.1:*").
 *
 * Returns: the port; 0 when there is none.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API uint16_t skua_pull_plain_port(const skua_pull *pull);

/**
 * Copies the counters out. Set ret_stats->size to sizeof *ret_stats before.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pull_stats(skua_pull *pull, skua_pattern_stats *ret_stats,
                                                     skua_error *err);

/**
 * Copies the ledger of each pusher's link, as skua_push_links().
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_pull_links(skua_pull *pull, skua_link_stats *ret_links,
                                                     size_t link_size, size_t capacity,
                                                     size_t *ret_count, skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
