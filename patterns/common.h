// SPDX-License-Identifier: MPL-2.0
// What push, pull, pub and sub share: deadlines, counters, and the feeding of handlers on a runner.
#ifndef SKUA_PATTERNS_COMMON_H
#define SKUA_PATTERNS_COMMON_H

#include <skua-int/handle.h>
#include <skua/pattern_stats.h>
#include <skua/runner.h>

/* The bodies of the *_options_init() functions. */
void skua__options_init(void *options, size_t size);

/*
 * The deadline of a call: timeout_ms 0 is fallback_ms. 0 for SKUA_NONE ("do not wait"), SKUA_NEVER_NS for
 * SKUA_UNLIMITED. Returns 0, or SKUA_E_BAD_ARGUMENT for any other negative number.
 */
skua_status skua__call_deadline(int64_t timeout_ms, int64_t fallback_ms, int64_t *ret_deadline_ns,
                                skua_error *err);
/* The same, and enters the handle: the first line of a call that may wait. */
skua_status skua__call_begin(skua__handle *handle, int64_t timeout_ms, int64_t fallback_ms,
                             int64_t *ret_deadline_ns, skua_error *err);
/* The same for a linger: the moment until which closing waits. */
int64_t skua__linger_deadline(int64_t linger_ms, int64_t fallback_ms);

/* Turns what waiting gave into the caller's error: SKUA_E_AGAIN, _TIMEOUT, _CLOSED, _NO_MEMORY. `what`: "a message". */
skua_status skua__wait_failed(skua__handle *handle, skua_status status, const char *what,
                              skua_error *err);

/*
 * Waits until has_room(arg), `what` being what for. Entered by the caller. Returns 0, SKUA_E_AGAIN (deadline_ns 0),
 * SKUA_E_TIMEOUT, SKUA_E_CLOSED.
 */
skua_status skua__await_room(skua__handle *handle, bool (*has_room)(void *arg), void *arg,
                             int64_t deadline_ns, const char *what, skua_error *err);
/* The words for what handing msg over gave. */
skua_status skua__sent(skua_status status, const skua_msg *msg, skua_error *err);
/* Ends a send with its status: on success *msg is taken and counted. Leaves. Returns status. */
skua_status skua__send_end(skua__handle *handle, skua_status status, skua_msg **msg,
                           uint64_t *accepted);

/* The bodies of the *_stats() and *_links() functions; they enter and leave. waiting and accepted: see the struct. */
skua_status skua__pattern_stats(skua__handle *handle, const uint64_t *accepted,
                                const uint64_t *waiting, skua_pattern_stats *ret_stats,
                                skua_error *err);
skua_status skua__pattern_links(skua__handle *handle, skua_link_stats *ret_links, size_t link_size,
                                size_t capacity, size_t *ret_count, skua_error *err);
/* Waits until nothing is unconfirmed and *waiting (may be NULL) is 0. Enters and leaves. */
skua_status skua__pattern_drain(skua__handle *handle, const uint64_t *waiting, int64_t deadline_ns,
                                skua_error *err);
/* Waits until count links are up; SKUA_E_NO_PROVIDER when there is none at all. Enters and leaves. */
skua_status skua__pattern_await(skua__handle *handle, size_t count, int64_t deadline_ns,
                                skua_error *err);
/* The port of the plain endpoint; 0: there is none. */
uint16_t skua__pattern_plain_port(const skua__handle *handle);
int skua__pattern_fd(skua__handle *handle); /* -1 in the child of a fork() */

/* ---- Handlers: messages of the handle's queue go to a function on a runner's threads ---- */

typedef struct skua__feeder {
    skua__handle *handle;
    const skua_runner *runner;                                   /* NULL: there is none */
    void (*handle_message)(skua__handle *handle, skua_msg *msg); /* takes msg; no lock is held */
    bool confirm;     /* a message is done when handle_message returns */
    uint32_t limit;   /* jobs at a time */
    uint32_t running; /* guarded by the handle's lock, as the rest */
    uint32_t to_post;
} skua__feeder;

/* For ops->due and ops->outside. */
bool skua__feeder_due(skua__feeder *feeder);
void skua__feeder_post(skua__feeder *feeder);

#endif
