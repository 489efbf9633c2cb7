// SPDX-License-Identifier: MPL-2.0
// Request and reply by service name: any number of requests in flight, each with a deadline, moved to another provider
// when one dies or refuses, and always ended by exactly one of a reply, an error or its deadline.
#ifndef SKUA_REQREP_H
#define SKUA_REQREP_H

#include <skua/alloc.h>
#include <skua/common.h>
#include <skua/error.h>
#include <skua/msg.h>
#include <skua/node.h>
#include <skua/runner.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_req skua_req;         /* asks */
typedef struct skua_rep skua_rep;         /* answers */
typedef struct skua_request skua_request; /* one question, at the side that answers */

enum {
    SKUA_REQ_DEFAULT_TIMEOUT_MS = 5000,
    SKUA_REQ_DEFAULT_ATTEMPTS = 3,
    SKUA_REQ_MAX_ATTEMPTS = 1000,
    SKUA_REQ_DEFAULT_IN_FLIGHT = 16384,
    SKUA_REQ_MAX_IN_FLIGHT = 1048576,
    SKUA_REP_DEFAULT_PARALLEL = 64, /* handlers that run at a time */
    SKUA_REP_ERROR_TEXT_MAX_BYTES = 255,
};

/* What has passed through a handle since it was opened. The library fills at most `size` bytes: set it first. */
typedef struct skua_reqrep_stats {
    size_t size;
    /* Requests of a skua_req: made = replied + failed + timed_out + cancelled + in_flight, at every moment. */
    uint64_t requests;
    uint64_t replied;
    uint64_t failed; /* ended by an error: the service's own, a refusal, or no provider left */
    uint64_t timed_out;
    uint64_t cancelled;
    uint64_t in_flight;
    uint64_t retries;      /* attempts after the first */
    uint64_t late_replies; /* to requests that had ended; dropped */
    /* Requests of a skua_rep: received = answered + refused + expired + cancelled (by those who asked) + dropped + open. */
    uint64_t received;
    uint64_t answered; /* replies and errors */
    uint64_t refused;
    uint64_t expired; /* their deadline had passed before anybody took them */
    uint64_t dropped; /* given up: skua_request_free(), or the one who asked is gone */
    uint64_t open;    /* waiting, or taken and not answered yet */
    /* The ledger of what this handle sent over its native links, in messages: sent = confirmed + dropped + moved +
     * unconfirmed. */
    uint64_t sent;
    uint64_t confirmed;
    uint64_t sent_dropped;
    uint64_t moved; /* taken back from a provider that died, and sent to another */
    uint64_t unconfirmed;
    /* Plain ZeroMQ peers: nothing is known of a message once ZeroMQ has it. */
    uint64_t handed_to_zmq;
    uint64_t plain_received;
    uint64_t
        plain_dropped; /* too many frames, no empty delimiter, no room, or nobody to send it to */
} skua_reqrep_stats;

/* ---- REQ: asking ---- */

/* Make one with SKUA_REQ_OPTIONS(.timeout_ms = 100). Strings are copied; the allocator is borrowed. */
typedef struct skua_req_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the node's */
    int64_t
        timeout_ms; /* of a request that names none. 0: 5,000; SKUA_UNLIMITED: it may wait for ever */
    int64_t
        attempt_ms; /* an unanswered request goes to another provider, if there is one, after this long. 0: never */
    uint32_t
        attempts; /* how many providers may get to see one request. 0: 3. 1: none gets it that another may have */
    uint32_t
        in_flight; /* requests at a time, those included whose end waits to be received. 0: 16,384 */
    int64_t backoff_ms; /* before the second retry; doubles, up to 100 times as long. 0: 10 ms */
    const char *
        plain_connect; /* also ask the plain ZeroMQ REP (or ROUTER) at this endpoint: "tcp://127.0.0.1:5999" */
    uint8_t
        plain_insecure; /* 1: plain_connect may lead off this machine, unencrypted and unauthenticated */
    uint8_t plain_only; /* 1: plain_connect is the only provider; nothing is looked for by name */
    uint8_t reserved_flags[6];
} skua_req_options;

#define SKUA_REQ_OPTIONS(...)                                                                      \
    (&(const skua_req_options){.size = sizeof(skua_req_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_req_options_init(skua_req_options *options, size_t size);

/**
 * Opens a handle that asks the service of this name, whoever offers it, now or later. Borrows node, copies the rest;
 * options may be NULL. The caller owns *ret_req: skua_req_close().
 *
 * Returns: 0, or SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT, SKUA_E_NOT_AUTHORISED (role call), SKUA_E_BAD_TRANSPORT,
 * SKUA_E_BAD_ENDPOINT, SKUA_E_LOOPBACK_ONLY (a plain endpoint off this machine), SKUA_E_LIMIT, SKUA_E_DESCRIPTORS,
 * SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED, SKUA_E_SYSTEM.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_req_open(skua_req **ret_req, skua_node *node,
                                                   const char *service,
                                                   const skua_req_options *options,
                                                   skua_error *err);

/**
 * Closes the handle: requests in flight end as cancelled, calls in other threads return SKUA_E_CLOSED. Takes NULL.
 * In the child of a fork() it does nothing.
 *
 * Returns: NULL.
 * Threads: any, once; nobody may begin another call with this handle. Blocks: for a moment; 300 ms at
 * most, where a provider does not answer any more (100 ms for what is on its way, 200 ms for the goodbye). Since 0.1.
 */
SKUA_API skua_req *skua_req_close(skua_req *req);

/**
 * Asks and waits for the end. Takes *msg (it is NULL afterwards), unless it fails before the request was made; the
 * caller owns *ret_reply. timeout_ms 0: the handle's. Other threads may call at the same time.
 *
 * Returns: 0 with the reply, or SKUA_E_TIMEOUT (providers are there, none answered in time), SKUA_E_NO_PROVIDER (there
 * is none; the message lists what is offered), SKUA_E_REQUEST_FAILED (the service answered with an error: the message is
 * its text), SKUA_E_REFUSED, SKUA_E_PEER_LOST (every attempt's provider died), SKUA_E_AGAIN (as many requests in flight as
 * the options allow; *msg is untouched), SKUA_E_TOO_BIG, SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY, SKUA_E_CLOSED,
 * SKUA_E_FORKED.
 * Where the providers that are there refuse the link: SKUA_E_PROTOCOL_VERSION, SKUA_E_NOT_AUTHORISED, SKUA_E_LIMIT,
 * SKUA_E_REFUSED at the deadline; the message says who and why.
 * Threads: any. Blocks: until the end of the request, timeout_ms at most. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_req_call(skua_req *req, skua_msg **msg,
                                                   skua_msg **ret_reply, int64_t timeout_ms,
                                                   skua_error *err);

/**
 * Asks without waiting: the end comes out of skua_req_recv() under *ret_id (never 0). Takes *msg. timeout_ms 0: the
 * handle's.
 *
 * Returns: 0, or, with *msg untouched, SKUA_E_AGAIN (as many requests in flight as the options allow: receive some),
 * SKUA_E_TOO_BIG, SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_req_send(skua_req *req, skua_msg **msg,
                                                   int64_t timeout_ms, uint64_t *ret_id,
                                                   skua_error *err);

/* How a request ended. The library fills at most `size` bytes: set it first. */
typedef struct skua_req_result {
    size_t size;
    uint64_t id;
    int32_t status;    /* 0 with a reply, else as skua_req_call() returns, or SKUA_E_CANCELLED */
    uint32_t attempts; /* providers that were asked */
    int64_t took_ns;   /* from sending to the end */
    skua_msg *reply;   /* the caller owns it; NULL unless status is 0 */
    skua_error error;  /* what status means; all 0 when it is 0 */
} skua_req_result;

/**
 * Waits for the end of any request that skua_req_send() made. timeout_ms 0 or SKUA_UNLIMITED: for ever; SKUA_NONE: does
 * not wait.
 *
 * Returns: 0 with the result (which may be a failure of the request), or SKUA_E_AGAIN (with SKUA_NONE),
 * SKUA_E_TIMEOUT, SKUA_E_BAD_ARGUMENT (also for ret_result->size), SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: until a request ends, timeout_ms at most. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_req_recv(skua_req *req, skua_req_result *ret_result,
                                                   int64_t timeout_ms, skua_error *err);

/**
 * Ends a request that skua_req_send() made as cancelled; its result comes out of skua_req_recv(). The provider is told:
 * where it still waits it is dropped; who has taken it may look at skua_request_cancelled().
 *
 * Returns: 0, or SKUA_E_NOT_FOUND when it has ended already, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API skua_status skua_req_cancel(skua_req *req, uint64_t id, skua_error *err);

/**
 * Waits until at least one provider is there.
 *
 * Returns: 0, or SKUA_E_NO_PROVIDER (with what is offered) after timeout_ms, SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Where the providers that are there refuse the link: SKUA_E_PROTOCOL_VERSION, SKUA_E_NOT_AUTHORISED, SKUA_E_LIMIT,
 * SKUA_E_REFUSED at the deadline; the message says who and why.
 * Threads: any. Blocks: timeout_ms at most (0: the handle's timeout_ms; SKUA_NONE: not). Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_req_await_provider(skua_req *req, int64_t timeout_ms,
                                                             skua_error *err);

/**
 * A descriptor that is readable (level-triggered) while skua_req_recv() would return a result. It belongs to the
 * handle: poll it, and do nothing else with it.
 *
 * Returns: the descriptor; -1 in the child of a fork().
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API int skua_req_fd(const skua_req *req);

/**
 * Reads the counters. ret_stats->size must be set.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API skua_status skua_req_stats(skua_req *req, skua_reqrep_stats *ret_stats);

/* ---- REP: answering ---- */

/* Make one with SKUA_REP_OPTIONS(.version = 2). Strings are copied; the allocator is borrowed. */
typedef struct skua_rep_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the node's */
    uint32_t version;                /* of the service, as others see it in `skua nodes` */
    int32_t
        window_bytes; /* requests that one peer may have waiting here. 0: adapted, from 256 KiB */
    const char *
        plain_bind; /* also answer plain ZeroMQ REQ (or DEALER) peers here: "tcp://127.0.0.1:5999" */
    uint8_t
        plain_insecure; /* 1: plain_bind may be reached from other machines, unencrypted and unauthenticated */
    uint8_t reserved_flags[7];
    uint32_t
        plain_waiting; /* requests of plain peers that may wait here; more are dropped and counted. 0: 1,000 */
    uint32_t reserved;
} skua_rep_options;

#define SKUA_REP_OPTIONS(...)                                                                      \
    (&(const skua_rep_options){.size = sizeof(skua_rep_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_rep_options_init(skua_rep_options *options, size_t size);

/**
 * Opens a handle that offers the service of this name to the fleet. Borrows node, copies the rest; options may be NULL.
 * The caller owns *ret_rep: skua_rep_close().
 *
 * Returns: 0, or SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT, SKUA_E_NOT_AUTHORISED (role serve), SKUA_E_ADDRESS_IN_USE,
 * SKUA_E_BAD_TRANSPORT, SKUA_E_BAD_ENDPOINT, SKUA_E_LOOPBACK_ONLY (a plain endpoint off this machine), SKUA_E_LIMIT,
 * SKUA_E_DESCRIPTORS, SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED, SKUA_E_SYSTEM.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_rep_open(skua_rep **ret_rep, skua_node *node,
                                                   const char *service,
                                                   const skua_rep_options *options,
                                                   skua_error *err);

/**
 * Closes the handle: withdraws the offer, refuses what waits (so that it goes to another provider), waits for handlers
 * that run and for answers that are on their way. Takes NULL. A request that was taken and not answered must be freed by
 * its owner; the one who asked is told at once. In the child of a fork() it does nothing.
 *
 * Returns: NULL.
 * Threads: any, once, not from a handler; nobody may begin another call with this handle. Blocks: until the handlers
 * that run have returned, and 300 ms more at most (100 ms for answers on their way, 200 ms for the goodbye). Since 0.1.
 */
SKUA_API skua_rep *skua_rep_close(skua_rep *rep);

/**
 * Waits for a request. The caller owns *ret_request, and ends it with skua_rep_reply(), _fail(), _refuse() or
 * skua_request_free(). A request whose deadline has passed is never handed out. timeout_ms 0 or SKUA_UNLIMITED: for
 * ever; SKUA_NONE: does not wait.
 *
 * Returns: 0, or SKUA_E_AGAIN (with SKUA_NONE), SKUA_E_TIMEOUT, SKUA_E_BAD_ARGUMENT (a handler serves this handle),
 * SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: until a request comes, timeout_ms at most. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_rep_recv(skua_rep *rep, skua_request **ret_request,
                                                   int64_t timeout_ms, skua_error *err);

/**
 * Answers. Takes *request and *msg (both are NULL afterwards). That the one who asked is gone is no error: the answer is
 * counted as dropped.
 *
 * Returns: 0, or, with both untouched, SKUA_E_TOO_BIG, SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY, SKUA_E_CLOSED,
 * SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_rep_reply(skua_rep *rep, skua_request **request,
                                                    skua_msg **msg, skua_error *err);

/**
 * Answers with an error: the one who asked gets SKUA_E_REQUEST_FAILED with text (cut to 255 bytes) and does not try
 * another provider. A plain peer gets the text as its reply. Takes *request.
 *
 * Returns: 0, or, with *request untouched, SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_rep_fail(skua_rep *rep, skua_request **request,
                                                   const char *text, skua_error *err);

/**
 * Declines: the request goes to another provider, or comes again later, for as long as its attempts and its deadline
 * allow; else the one who asked gets SKUA_E_REFUSED with text. Takes *request. A plain peer gets no reply.
 *
 * Returns: 0, or, with *request untouched, SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_rep_refuse(skua_rep *rep, skua_request **request,
                                                     const char *text, skua_error *err);

/*
 * Answers one request, and ends it: with skua_rep_reply(), _fail() or _refuse(), at once or later from another thread.
 * Runs where the runner runs things, with no lock of skua's held.
 */
typedef void skua_rep_fn(void *ctx, skua_rep *rep, skua_request *request);

/**
 * Answers requests by calling fn(ctx, rep, request) through a runner, at most parallel (0: 64) at a time. Borrows runner
 * and ctx until skua_rep_close(). May be called once, instead of skua_rep_recv().
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_EXISTS (a handler is set), SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_rep_serve(skua_rep *rep, const skua_runner *runner,
                                                    uint32_t parallel, skua_rep_fn *fn, void *ctx,
                                                    skua_error *err);

/**
 * The question itself. It lives as long as the request, and says who sent it and whether another provider may have
 * answered it before (skua_msg_redelivered()).
 *
 * Returns: the message, which stays the request's; NULL once skua_request_take_msg() took it.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API const skua_msg *skua_request_msg(const skua_request *request);

/**
 * Takes the question out of the request, to send it on or back without a copy; it can be taken once.
 *
 * Returns: the message, which the caller owns; NULL when it was taken before.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API skua_msg *skua_request_take_msg(skua_request *request);

/**
 * How long an answer is still of use, as far as it is known.
 *
 * Returns: milliseconds, 0 when it is too late; SKUA_UNLIMITED when there is no deadline (a plain peer's).
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API int64_t skua_request_left_ms(const skua_request *request);

/**
 * Whether nobody waits for the answer any more: the one who asked has cancelled it, has another provider's answer, has
 * closed its handle or is gone, or its deadline has passed. For those who work long: look now and then, and end the
 * request. An answer is dropped where it is made, and counted as cancelled. Of a plain peer nothing is known.
 *
 * Returns: 1 when nobody waits, else 0.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API int skua_request_cancelled(const skua_request *request);

/**
 * Gives a request up without an answer; the one who asked waits until its deadline. Takes NULL.
 *
 * Returns: NULL.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API skua_request *skua_request_free(skua_request *request);

/**
 * A descriptor that is readable (level-triggered) while skua_rep_recv() would return a request. It belongs to the
 * handle: poll it, and do nothing else with it.
 *
 * Returns: the descriptor; -1 in the child of a fork().
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API int skua_rep_fd(const skua_rep *rep);

/**
 * The TCP port of the plain endpoint, for when the system picked it (plain_bind = "tcp://127.0.0.1:*").
 *
 * Returns: the port; 0 when there is none.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API uint16_t skua_rep_plain_port(const skua_rep *rep);

/**
 * Reads the counters. ret_stats->size must be set.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API skua_status skua_rep_stats(skua_rep *rep, skua_reqrep_stats *ret_stats);

#ifdef __cplusplus
}
#endif
#endif
