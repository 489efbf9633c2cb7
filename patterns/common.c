// SPDX-License-Identifier: MPL-2.0
// What push, pull, pub and sub share.
#include "common.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <string.h>

enum { FEEDER_BURST = 32 }; /* messages that one job handles before it makes room for other work */

void
skua__options_init(void *options, size_t size) {
    memset(options, 0, size);
    memcpy(options, &size, sizeof size);
}

skua_status
skua__call_deadline(int64_t timeout_ms, int64_t fallback_ms, int64_t *ret_deadline_ns,
                    skua_error *err) {
    timeout_ms = timeout_ms ? timeout_ms : fallback_ms;
    if (timeout_ms < 0 && timeout_ms != SKUA_NONE && timeout_ms != SKUA_UNLIMITED) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "timeout_ms is %lld; it is a number of ms, 0 for the default, SKUA_NONE "
                         "or SKUA_UNLIMITED",
                         (long long)timeout_ms);
    }
    *ret_deadline_ns = timeout_ms == SKUA_NONE ? 0 : skua__deadline_ns(timeout_ms);
    return SKUA_OK;
}

int64_t
skua__linger_deadline(int64_t linger_ms, int64_t fallback_ms) {
    int64_t deadline_ns = 0;
    skua_status status = skua__call_deadline(linger_ms, fallback_ms, &deadline_ns, NULL);
    (void)status; /* a linger that makes no sense is none */
    return deadline_ns;
}

skua_status
skua__call_begin(skua__handle *handle, int64_t timeout_ms, int64_t fallback_ms,
                 int64_t *ret_deadline_ns, skua_error *err) {
    skua_status status = skua__call_deadline(timeout_ms, fallback_ms, ret_deadline_ns, err);
    return status == SKUA_OK ? skua__handle_enter(handle, err) : status;
}

skua_status
skua__wait_failed(skua__handle *handle, skua_status status, const char *what, skua_error *err) {
    const char *pattern = handle->ops->name;
    switch (status) {
    case SKUA_E_AGAIN:
        return SKUA_FAIL(err, status,
                         "%s \"%s\" has not %s now; wait on its descriptor, or call "
                         "with a deadline",
                         pattern, handle->name, what);
    case SKUA_E_TIMEOUT:
        return SKUA_FAIL(err, status, "%s \"%s\" had not %s before the deadline", pattern,
                         handle->name, what);
    case SKUA_E_NO_MEMORY:
        return SKUA_FAIL_MEMORY(err, "a message");
    default:
        return SKUA_FAIL(err, status, "the %s handle \"%s\" is closed", pattern, handle->name);
    }
}

/* ---- Sending ---- */

skua_status
skua__await_room(skua__handle *handle, bool (*has_room)(void *arg), void *arg, int64_t deadline_ns,
                 const char *what, skua_error *err) {
    while (!has_room(arg)) {
        (void)skua__handle_pump_locked(handle);
        if (has_room(arg)) {
            break;
        }
        if (deadline_ns == 0) {
            return skua__wait_failed(handle, SKUA_E_AGAIN, what, err);
        }
        if (skua__clock_ns() >= deadline_ns) {
            return skua__wait_failed(handle, SKUA_E_TIMEOUT, what, err);
        }
        skua_status status = skua__handle_wait_locked(handle, deadline_ns);
        if (status == SKUA_E_CLOSED) {
            return skua__wait_failed(handle, status, "", err);
        }
    }
    return SKUA_OK;
}

skua_status
skua__sent(skua_status status, const skua_msg *msg, skua_error *err) {
    if (status == SKUA_OK) {
        return SKUA_OK;
    }
    return status == SKUA_E_TOO_BIG
               ? SKUA_FAIL(err, status, "a message of %zu bytes is more than one frame holds",
                           skua_msg_total_size(msg))
               : SKUA_FAIL_MEMORY(err, "a message");
}

skua_status
skua__send_end(skua__handle *handle, skua_status status, skua_msg **msg, uint64_t *accepted) {
    if (status == SKUA_OK) {
        ++*accepted;
        *msg = skua_msg_free(*msg);
    }
    skua__handle_leave(handle);
    return status;
}

/* ---- Counters ---- */

/* Copies at most the caller's size of a struct whose first member is that size. */
static void
copy_sized(void *to, size_t to_size, const void *from, size_t from_size) {
    size_t shared = to_size < from_size ? to_size : from_size;
    memcpy((char *)to + sizeof(size_t), (const char *)from + sizeof(size_t),
           shared - sizeof(size_t));
}

skua_status
skua__pattern_stats(skua__handle *handle, const uint64_t *accepted, const uint64_t *waiting,
                    skua_pattern_stats *ret_stats, skua_error *err) {
    if (!ret_stats || ret_stats->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "ret_stats->size is to be set to sizeof *ret_stats");
    }
    skua_status status = skua__handle_enter(handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    (void)skua__handle_pump_locked(handle);
    skua__handle_counters counters;
    skua__handle_counters_locked(handle, &counters);
    const skua__ledger_counts *sent = &counters.sent;
    skua_pattern_stats stats = {
        .accepted = accepted ? *accepted : 0,
        .waiting = waiting ? *waiting : 0,
        .sent = sent->sent,
        .confirmed = sent->confirmed,
        .dropped_slow = sent->dropped[SKUA__DROP_SLOW],
        .dropped_lost = sent->dropped[SKUA__DROP_PEER_LOST],
        .dropped_closed = sent->dropped[SKUA__DROP_CLOSED],
        .moved = sent->dropped[SKUA__DROP_MOVED],
        .unconfirmed = sent->unconfirmed,
        .received = counters.received_msgs,
        .received_bytes = counters.received_bytes,
        .done = counters.confirmed_msgs,
        .queued = counters.queued_msgs,
        .duplicates = counters.duplicate_msgs,
        .redelivered = counters.redelivered_msgs,
        .gaps = counters.gap_msgs,
        .links = skua__handle_link_count_locked(handle),
        .links_ever = counters.links_up,
        .reconnections = counters.reconnections,
        .malformed = counters.malformed_frames,
        .unknown = counters.unknown_frames,
        .refused = counters.refused_peers,
        .frames_sent = counters.frames_sent,
        .frames_received = counters.frames_received,
        .bytes_sent = counters.bytes_sent,
    };
    const skua__plain *plain = skua__handle_plain(handle);
    if (plain) {
        const skua__plain_counts *counts = skua__plain_counts_of(plain);
        stats.handed_to_zmq = counts->handed_to_zmq;
        stats.plain_received = counts->received;
        stats.plain_dropped = counts->dropped_in + counts->dropped_out;
    }
    copy_sized(ret_stats, ret_stats->size, &stats, sizeof stats);
    skua__handle_leave(handle);
    return SKUA_OK;
}

static void
fill_link(const skua__link *link, skua_link_stats *ret) {
    const skua__identity *peer = skua__link_peer(link);
    skua__ledger_counts counts;
    skua__link_ledger(link, &counts);
    *ret = (skua_link_stats){.link = skua__link_id(link),
                             .sent = counts.sent,
                             .confirmed = counts.confirmed,
                             .unconfirmed = counts.unconfirmed,
                             .queued = skua__link_queued_msgs(link)};
    for (int cause = 0; cause < SKUA__DROP_CAUSES; cause++) {
        ret->dropped += counts.dropped[cause];
    }
    skua__link_received(link, &ret->received, &ret->duplicates, &ret->gaps);
    memcpy(ret->peer, peer->name, sizeof ret->peer);
    memcpy(ret->id, peer->node.bytes, sizeof ret->id);
}

skua_status
skua__pattern_links(skua__handle *handle, skua_link_stats *ret_links, size_t link_size,
                    size_t capacity, size_t *ret_count, skua_error *err) {
    if (!ret_count || (capacity && (!ret_links || link_size < sizeof(size_t)))) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "ret_count and an array of structs of link_size bytes are to be given");
    }
    skua_status status = skua__handle_enter(handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    (void)skua__handle_pump_locked(handle);
    size_t count = 0;
    skua__link *link = NULL;
    while ((link = skua__handle_next_link_locked(handle, link)) != NULL) {
        if (count < capacity) {
            skua_link_stats stats;
            fill_link(link, &stats);
            char *at = (char *)ret_links + count * link_size;
            memcpy(at, &link_size, sizeof link_size);
            copy_sized(at, link_size, &stats, sizeof stats);
        }
        count++;
    }
    *ret_count = count;
    skua__handle_leave(handle);
    return SKUA_OK;
}

skua_status
skua__pattern_drain(skua__handle *handle, const uint64_t *waiting, int64_t deadline_ns,
                    skua_error *err) {
    skua_status status = skua__handle_enter(handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua__handle_flush_all_locked(handle);
    for (;;) { /* ends when all is confirmed, at the deadline, or when the handle closes */
        (void)skua__handle_pump_locked(handle);
        uint64_t left = skua__handle_unconfirmed_locked(handle) + (waiting ? *waiting : 0);
        if (left == 0) {
            break;
        }
        status = skua__clock_ns() >= deadline_ns ? SKUA_E_TIMEOUT
                                                 : skua__handle_wait_locked(handle, deadline_ns);
        if (status == SKUA_E_TIMEOUT && skua__clock_ns() >= deadline_ns) {
            status = SKUA_FAIL(err, SKUA_E_TIMEOUT,
                               "%llu messages of %s \"%s\" are not confirmed at the deadline",
                               (unsigned long long)left, handle->ops->name, handle->name);
            break;
        }
        if (status == SKUA_E_CLOSED) {
            status = skua__wait_failed(handle, status, "", err);
            break;
        }
        status = SKUA_OK;
    }
    skua__handle_leave(handle);
    return status;
}

skua_status
skua__pattern_await(skua__handle *handle, size_t count, int64_t deadline_ns, skua_error *err) {
    skua_status status = skua__handle_enter(handle, err);
    if (status != SKUA_OK) {
        return status;
    }
    status = skua__handle_await_links_locked(handle, count, deadline_ns);
    if (status == SKUA_E_TIMEOUT) {
        size_t there = skua__handle_link_count_locked(handle);
        status = there ? SKUA_FAIL(err, status,
                                   "%zu of %zu peers of %s \"%s\" are there at the deadline", there,
                                   count, handle->ops->name, handle->name)
                       : skua__handle_no_provider_locked(handle, err);
    } else if (status != SKUA_OK) {
        status = skua__wait_failed(handle, status, "", err);
    }
    skua__handle_leave(handle);
    return status;
}

uint16_t
skua__pattern_plain_port(const skua__handle *handle) {
    const skua__plain *plain = skua__handle_plain(handle);
    return plain ? skua__plain_port(plain) : 0;
}

int
skua__pattern_fd(skua__handle *handle) {
    return skua__node_check(handle->node, NULL) == SKUA_E_FORKED ? -1 : skua__handle_fd(handle);
}

/* ---- Handlers ---- */

static void
feed(void *arg) {
    skua__feeder *feeder = arg;
    skua__handle *handle = feeder->handle;
    skua__handle_lock(handle);
    for (int i = 0; i < FEEDER_BURST && !skua__handle_is_closing_locked(handle); i++) {
        skua_msg *msg;
        uint64_t id;
        if (skua__handle_recv_locked(handle, 0, &msg, &id) != SKUA_OK) {
            break;
        }
        skua__handle_unlock(handle);
        feeder->handle_message(handle, msg);
        skua__handle_lock(handle);
        if (feeder->confirm) {
            (void)skua__handle_done_locked(handle, id);
        }
    }
    feeder->running--;
    skua__handle_unlock(handle);
    skua__handle_drop_hold(handle); /* and posts the next, if more is there */
}

bool
skua__feeder_due(skua__feeder *feeder) {
    if (!feeder->runner || skua__handle_is_closing_locked(feeder->handle)) {
        return false;
    }
    uint64_t queued = skua__handle_queued_locked(feeder->handle);
    uint64_t room = feeder->limit - feeder->running;
    uint32_t more = (uint32_t)(queued < room ? queued : room);
    for (uint32_t i = 0; i < more; i++) {
        skua__handle_hold_locked(feeder->handle);
    }
    feeder->running += more;
    feeder->to_post += more;
    return feeder->to_post > 0;
}

/* The runner took one less than it was offered. The messages stay queued, and the next that moves tries again; the holds
 * of those that were to follow go too, since a close waits for every one of them. */
static void
give_up_posts(skua__feeder *feeder) {
    skua__handle_lock(feeder->handle);
    for (uint32_t left = feeder->to_post + 1; left > 0; left--) {
        feeder->running--;
        skua__handle_unhold_locked(feeder->handle);
    }
    feeder->to_post = 0;
    skua__handle_unlock(feeder->handle);
}

void
skua__feeder_post(skua__feeder *feeder) {
    for (;;) { /* ends when all that is due is posted */
        skua__handle_lock(feeder->handle);
        bool any = feeder->to_post > 0;
        feeder->to_post -= any;
        skua__handle_unlock(feeder->handle);
        if (!any) {
            return;
        }
        if (feeder->runner->post(feeder->runner->ctx, feed, feeder) != SKUA_OK) {
            give_up_posts(feeder);
            return;
        }
    }
}
