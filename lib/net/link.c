// SPDX-License-Identifier: MPL-2.0
// One link's life and its sending side: units, batches, credit, HELLO and ACK. What comes in is link_rx.c's.
#include "link_priv.h"

#include <assert.h>
#include <errno.h>
#include <skua-int/fail.h>
#include <string.h>

_Static_assert(sizeof(zmq_msg_t) <= SKUA__UNIT_LOAD_BYTES, "a unit's load holds a ZeroMQ message");
_Static_assert((int)SKUA__TAG_MAX_BYTES == (int)SKUA__FRAME_TAG_MAX_BYTES, "one bound, two names");
_Static_assert((int)SKUA__HELLO_PATTERN_MAX_BYTES == (int)SKUA__HELLO_PATTERN_BYTES,
               "one bound, two names");

static zmq_msg_t *
unit_frame(skua__tx_unit *unit) {
    return (zmq_msg_t *)(void *)unit->load;
}

static void
release_unit(void *arg, skua__tx_unit *unit) {
    (void)arg;
    zmq_msg_close(unit_frame(unit));
}

/* ---- Life ---- */

skua__link *
skua__link_new(skua__handle *handle, skua__port *port) {
    struct skua__handle_inner *inner = handle->inner;
    skua__link *link = skua__mem_new(handle->hook, sizeof *link);
    if (!link) {
        return NULL;
    }
    link->handle = handle;
    link->port = port;
    link->refs = 1;
    link->id = ++inner->next_link_id;
    skua__list_init(&link->node);
    skua__list_init(&link->group_node);
    skua__list_init(&link->ack_node);
    skua__tx_init(&link->tx, handle->hook, release_unit, link, 1);
    skua__rx_init(&link->rx, handle->hook);
    const skua__handle_options *options = &handle->options;
    uint32_t window_msgs = options->window_msgs > 0 ? (uint32_t)options->window_msgs : 0;
    if (options->adapt_msgs && !window_msgs) {
        window_msgs = SKUA__WINDOW_MIN_MSGS;
    }
    skua__grant_init(&link->grant, options->window_bytes > 0 ? (uint32_t)options->window_bytes : 0,
                     window_msgs, options->adapt_msgs);
    if (skua__hash_put(&inner->by_id, &link->id, sizeof link->id, link) != 0) {
        skua__mem_free(handle->hook, link);
        return NULL;
    }
    skua__list_push_back(&inner->links, &link->node);
    inner->link_count++;
    return link;
}

void
skua__link_unref(skua__link *link) {
    if (link && --link->refs == 0) {
        /* A function further up may still look at it. */
        skua__list_push_back(&link->handle->inner->dead, &link->node);
    }
}

void
skua__link_bury(skua__handle *handle) {
    skua__list *node;
    while ((node = skua__list_pop_front(&handle->inner->dead)) != NULL) {
        skua__link *link = SKUA_CONTAINER_OF(node, skua__link, node);
        skua__sender_unref(link->sender);
        skua__rx_fini(&link->rx);
        skua__mem_free(handle->hook, link);
    }
}

static void
forget_route(skua__link *link) {
    if (link->route.size) {
        skua__hash_take(&link->handle->inner->by_route, link->route.bytes, link->route.size);
        link->route.size = 0;
    }
}

void
skua__link_disconnected(skua__link *link) {
    forget_route(link);
    link->connected = link->greeted = false;
    skua__list_remove(&link->ack_node);
    skua__rx_disconnect(&link->rx);
    link->lost_at_ns = skua__clock_ns();
}

static skua__drop_cause
cause_of(skua__down_reason reason) {
    return reason == SKUA__DOWN_CLOSING ? SKUA__DROP_CLOSED : SKUA__DROP_PEER_LOST;
}

/* What waits for the user is given out again by its sender, who takes back what is not confirmed: forget it here. */
static void
purge_queue(skua__link *link) {
    struct skua__handle_inner *inner = link->handle->inner;
    SKUA_LIST_EACH(node, &inner->queue) {
        skua__rx_unit *unit = SKUA_CONTAINER_OF(node, skua__rx_unit, node);
        if (unit->link == link) {
            inner->counters.queued_msgs -= unit->records.left;
            skua__rx_unit_free(link->handle, unit);
        }
    }
    link->queued_msgs = link->queued_bytes = 0;
}

void
skua__link_down(skua__link *link, skua__down_reason reason) {
    if (link->gone) {
        return;
    }
    skua__handle *handle = link->handle;
    struct skua__handle_inner *inner = handle->inner;
    link->gone = true;
    skua__link_close_batch(link);
    skua__link_disconnected(link);
    if (link->handle->ops->confirm_by_done &&
        (reason == SKUA__DOWN_RESTARTED || reason == SKUA__DOWN_PEER_LOST)) {
        purge_queue(link);
    }
    bool was_up = link->up;
    if (was_up) {
        link->up = false;
        inner->up_count--;
        inner->counters.links_down++;
        if (handle->ops->link_down) {
            handle->ops->link_down(handle, link, reason);
        }
    }
    skua__group_part(link);
    skua__batch_free(handle, &link->batch);
    skua__tx_fini(&link->tx, cause_of(reason));
    skua__ledger_add(&inner->past, &link->tx.counts);
    inner->counters.duplicate_msgs += link->rx.duplicate_msgs;
    skua__list_remove(&link->ack_node);
    skua__list_remove(&link->node);
    skua__hash_take(&inner->by_id, &link->id, sizeof link->id);
    inner->link_count--;
    if (link->port && link->port->link == link) {
        link->port->link = NULL;
    }
    link->port = NULL;
    skua__link_unref(link);
    skua__handle_wake_locked(handle);
}

/* ---- Frames outside the sequence ---- */

bool
skua__link_control(skua__link *link, uint8_t type, uint8_t flags, uint64_t seq, uint64_t word,
                   const uint8_t *body, size_t body_size) {
    if (!link->port) {
        return false;
    }
    zmq_msg_t frame;
    if (zmq_msg_init_size(&frame, SKUA__FRAME_HEADER_BYTES + body_size) != 0) {
        return false;
    }
    skua__frame header = {.type = type,
                          .flags = flags,
                          .session = link->handle->inner->session,
                          .seq = seq,
                          .word = word};
    uint8_t *bytes = zmq_msg_data(&frame);
    skua__frame_write(&header, bytes);
    if (body_size) {
        memcpy(bytes + SKUA__FRAME_HEADER_BYTES, body, body_size);
    }
    int rc = link->port->ops->send(link->port, &link->route, &frame);
    if (rc != 0) {
        zmq_msg_close(&frame);
        if (rc == EHOSTUNREACH && link->handle->ops->provider) {
            skua__link_disconnected(link);
        }
        return false;
    }
    link->frames_sent++;
    return true;
}

bool
skua__port_control(skua__port *port, const skua__route *route, uint8_t type, uint64_t word) {
    zmq_msg_t frame;
    if (zmq_msg_init_size(&frame, SKUA__FRAME_HEADER_BYTES) != 0) {
        return false;
    }
    skua__frame header = {.type = type, .session = port->handle->inner->session, .word = word};
    skua__frame_write(&header, zmq_msg_data(&frame));
    if (port->ops->send(port, route, &frame) != 0) {
        zmq_msg_close(&frame);
        return false;
    }
    return true;
}

void
skua__link_say_hello(skua__link *link, bool update) {
    skua__handle *handle = link->handle;
    uint8_t *room = skua__mem_new(handle->hook, 2 * SKUA__HELLO_MAX_BYTES);
    if (!room) {
        return; /* the next connection, or RESET, asks again */
    }
    uint8_t *pattern = room + SKUA__HELLO_MAX_BYTES;
    skua__link_hello hello = {.version_min = SKUA__LINK_VERSION_MIN,
                              .version_max = SKUA__LINK_VERSION_MAX,
                              .incarnation = skua__node_incarnation(handle->node),
                              .kind = (uint8_t)handle->ops->kind,
                              .window_bytes = link->grant.window_bytes,
                              .window_msgs = link->grant.window_msgs,
                              .peer_session = link->peer_session,
                              .peer_epoch = link->epoch,
                              .pattern = pattern};
    memcpy(hello.name, handle->name, sizeof hello.name);
    if (handle->ops->make_hello) {
        hello.pattern_size =
            handle->ops->make_hello(handle, pattern, SKUA__HELLO_PATTERN_MAX_BYTES);
    }
    size_t size = skua__hello_write(&hello, room, SKUA__HELLO_MAX_BYTES);
    if (size &&
        skua__link_control(link, SKUA__FRAME_HELLO, update ? SKUA__FLAG_UPDATE : 0,
                           link->rx.known ? link->rx.expected : 0, link->epoch, room, size)) {
        link->greeted = true;
    }
    skua__mem_free(handle->hook, room);
}

/* ---- Acknowledging ---- */

void
skua__link_note_ack(skua__link *link) {
    if (link->connected && skua__list_empty(&link->ack_node)) {
        skua__list_push_back(&link->handle->inner->acks, &link->ack_node);
    }
}

/* All that was received is told. */
static void
forget_news(skua__link *link) {
    if (link->idle_ack_ns) {
        link->acked_ns = skua__clock_ns();
    }
    link->units_new = 0;
    link->bytes_new = 0;
    link->idle_ack_ns = 0;
    skua__list_remove(&link->ack_node);
}

void
skua__link_ack(skua__link *link) {
    if (!link->connected || !link->rx.known) {
        skua__list_remove(&link->ack_node);
        return; /* HELLO will say it */
    }
    bool starved = skua__list_empty(&link->handle->inner->queue);
    skua__grant_adapt(&link->grant, starved);
    skua__ack *ack = skua__mem_new(link->handle->hook, sizeof *ack + SKUA__ACK_BODY_MAX_BYTES);
    if (!ack) {
        return; /* it stays in the list, for the next time */
    }
    uint8_t *body = (uint8_t *)(ack + 1);
    bool more = true, left = true;
    while (more && left) { /* each turn tells 512 ranges */
        ack->session = link->peer_session;
        ack->window_bytes = link->grant.window_bytes;
        ack->window_msgs = link->grant.window_msgs;
        more = skua__rx_make_ack(&link->rx, ack);
        size_t size = skua__ack_write(ack, body);
        left =
            skua__link_control(link, SKUA__FRAME_ACK, 0, ack->confirmed, ack->received, body, size);
    }
    skua__mem_free(link->handle->hook, ack);
    if (!left) {
        /* The peer does not read, and its pipe is full. It may stand still for this very ACK, so it stays in the list. */
        skua__rx_ack_lost(&link->rx);
        return;
    }
    forget_news(link);
    link->done_msgs_new = link->done_bytes_new = 0;
}

skua_status
skua__link_done(skua__link *link, uint64_t seq) {
    uint64_t held_msgs = link->rx.received_msgs - link->rx.confirmed_msgs;
    skua_status status = skua__rx_done(&link->rx, seq);
    if (status == SKUA_OK) {
        /* The unit that it came in is not known any more: take the average. */
        uint64_t bytes = held_msgs ? link->held_bytes / held_msgs : 0;
        link->held_bytes -= bytes;
        link->done_bytes_new += bytes;
        link->done_msgs_new++;
        link->handle->inner->counters.confirmed_msgs++;
        skua__link_note_ack(link);
    }
    return status;
}

/* Whether the sender may soon stand still for want of an acknowledgement. */
static bool
ack_presses(const skua__link *link) {
    /* A batch may go over the window by far; until less than a window is held the sender can send nothing. */
    uint64_t held_msgs = link->rx.received_msgs - link->rx.confirmed_msgs;
    return link->units_new >= SKUA__ACK_UNITS || link->bytes_new >= link->grant.window_bytes / 4 ||
           (link->done_msgs_new && held_msgs < link->grant.window_msgs &&
            link->done_msgs_new >= link->grant.window_msgs / 4) ||
           (link->done_bytes_new && link->done_bytes_new >= link->grant.window_bytes / 4);
}

/* Whether a link with nothing left to read acknowledges now. */
static bool
idle_ack_is_due(const skua__link *link) {
    return !link->handle->ops->lazy_ack &&
           (!link->idle_ack_ns || skua__grant_would_grow(&link->grant) ||
            skua__clock_ns() >= link->idle_ack_ns);
}

void
skua__handle_flush_acks(skua__handle *handle, skua__ack_level level) {
    SKUA_LIST_EACH(node, &handle->inner->acks) {
        skua__link *link = SKUA_CONTAINER_OF(node, skua__link, ack_node);
        if (level == SKUA__ACK_TICK || ack_presses(link) ||
            (level == SKUA__ACK_IDLE && idle_ack_is_due(link))) {
            skua__link_ack(link);
        }
    }
}

/* ---- Sending ---- */

bool
skua__link_append(skua__link *link, uint32_t count, zmq_msg_t *frame) {
    skua__tx_unit *unit = skua__tx_append(&link->tx, count, (uint32_t)zmq_msg_size(frame));
    if (!unit) {
        return false;
    }
    zmq_msg_init(unit_frame(unit));
    zmq_msg_move(unit_frame(unit), frame);
    return true;
}

/* What a frame that leaves now says of the other direction. */
static uint64_t
ack_word(skua__link *link) {
    /* Only on a frame that leaves at once: two peers that wait for each other's credit must not both hold back the
     * acknowledgement that would end the wait. */
    const skua__tx *tx = &link->tx;
    if (!link->connected || !link->rx.known || link->rx.done_count || tx->sent < tx->length ||
        !skua__credit_allows(&tx->credit, tx->sent_bytes, tx->sent_msgs)) {
        return 0;
    }
    return link->rx.confirmed;
}

/* A frame with that word is among our units now. It spares the ACK, unless one has more to say. */
static void
word_given(skua__link *link, uint64_t word) {
    if (!word) {
        return;
    }
    link->done_msgs_new = link->done_bytes_new = 0;
    skua__rx_piggybacked(&link->rx);
    if (word == link->rx.expected && !skua__grant_is_due(&link->grant)) {
        forget_news(link);
    }
}

/* Whether so much more uses up the credit: the receiver may then grant more, if it starves. */
static uint8_t
credit_flag(const skua__link *link, uint64_t more_bytes, uint64_t more_msgs) {
    const skua__tx *tx = &link->tx;
    uint64_t bytes = tx->sent_bytes + skua__link_queued_bytes(link) + more_bytes;
    uint64_t msgs = skua__link_load_msgs(link) + more_msgs;
    return skua__credit_allows(&tx->credit, bytes, msgs) ? 0 : SKUA__FLAG_CREDIT_OUT;
}

bool
skua__link_close_batch(skua__link *link) {
    if (link->batch.count == 0) {
        return true;
    }
    uint32_t count = link->batch.count;
    zmq_msg_t frame;
    uint8_t flags = credit_flag(link, 0, 0);
    uint64_t word = ack_word(link);
    if (!skua__batch_close(link->handle, &link->batch, flags, link->tx.next_seq, word, &frame)) {
        return false;
    }
    if (!skua__link_append(link, count, &frame)) {
        /* Without memory for one slot the numbers cannot go on: what the batch holds counts as sent and lost. */
        link->tx.counts.sent += count;
        link->tx.counts.dropped[SKUA__DROP_PEER_LOST] += count;
        zmq_msg_close(&frame);
        return false;
    }
    word_given(link, word);
    return true;
}

skua_status
skua__frame_of_message(skua__handle *handle, uint64_t seq, uint64_t word, uint8_t flags,
                       const void *tag, size_t tag_size, skua_msg *msg, zmq_msg_t *ret_frame) {
    uint8_t front[SKUA__FRAME_HEADER_BYTES + 1 + SKUA__TAG_MAX_BYTES];
    skua__frame header = {.type = SKUA__FRAME_DATA,
                          .flags = (uint8_t)(flags | (tag_size ? SKUA__FLAG_TAG : 0)),
                          .session = handle->inner->session,
                          .seq = seq,
                          .word = word};
    skua__frame_write(&header, front);
    size_t size = SKUA__FRAME_HEADER_BYTES;
    size += skua__record_write(flags, tag, tag_size, 0, false, front + size);
    return skua__msg_to_zmq(msg, front, size, ret_frame);
}

bool
skua__link_quick(const skua__link *link) {
    const skua__tx *tx = &link->tx;
    return link->connected && tx->sent == tx->length && tx->unacked < SKUA__BATCH_UNITS_QUICK &&
           skua__credit_allows(&tx->credit, tx->sent_bytes, tx->sent_msgs);
}

/* Hands one unit to the socket. */
static int
send_unit(skua__link *link, skua__tx_unit *unit) {
    zmq_msg_t frame;
    if (unit->gap) {
        if (zmq_msg_init_size(&frame, SKUA__FRAME_HEADER_BYTES) != 0) {
            return EAGAIN;
        }
        skua__frame header = {.type = SKUA__FRAME_GAP,
                              .session = link->handle->inner->session,
                              .seq = unit->first,
                              .word = unit->count};
        skua__frame_write(&header, zmq_msg_data(&frame));
    } else {
        zmq_msg_init(&frame);
        zmq_msg_copy(&frame, unit_frame(unit));
    }
    int rc = link->port->ops->send(link->port, &link->route, &frame);
    if (rc != 0) {
        zmq_msg_close(&frame);
    }
    return rc;
}

/* Sends queued units as far as credit goes. */
void
skua__link_transmit(skua__link *link) {
    skua__tx_unit *unit;
    while (link->connected && (unit = skua__tx_next(&link->tx)) != NULL) {
        int rc = send_unit(link, unit);
        if (rc == EHOSTUNREACH && link->handle->ops->provider) {
            skua__link_disconnected(link);
            return;
        }
        if (rc != 0) {
            return; /* tried again when the peer acknowledges, or at the next tick */
        }
        link->frames_sent++;
        skua__tx_mark_sent(&link->tx);
    }
}

void
skua__link_push(skua__link *link) {
    skua__link_transmit(link);
    if (link->batch.count && skua__link_quick(link)) {
        skua__link_close_batch(link);
        skua__link_transmit(link);
    }
    if (link->group && link->group->batch.count && skua__link_quick(link)) {
        skua__group_push(link->group);
    }
}

skua_status
skua__link_send(skua__link *link, const void *tag, size_t tag_size, skua_msg *msg,
                bool redelivered) {
    skua__handle *handle = link->handle;
    assert(!link->group && tag_size <= SKUA__TAG_MAX_BYTES);
    size_t body_size = skua__msg_body_size(msg);
    if (body_size > SKUA__MESSAGE_MAX_BYTES - SKUA__FRAME_HEADER_BYTES - tag_size - 1) {
        return SKUA_E_TOO_BIG;
    }
    uint8_t flags = (uint8_t)((redelivered ? SKUA__FLAG_REDELIVERED : 0) |
                              (skua__msg_is_simple(msg) ? 0 : SKUA__FLAG_HEAD));
    size_t record_size = skua__record_overhead(tag_size) + body_size;
    bool alone = body_size >= SKUA__BATCH_ALONE_BYTES;
    if ((alone || !skua__batch_fits(handle, &link->batch, record_size)) &&
        !skua__link_close_batch(link)) {
        return SKUA_E_NO_MEMORY;
    }
    if (alone || (link->batch.count == 0 && skua__link_quick(link))) {
        zmq_msg_t frame;
        flags |= credit_flag(link, body_size, 1);
        uint64_t word = ack_word(link);
        skua_status status = skua__frame_of_message(handle, link->tx.next_seq, word, flags, tag,
                                                    tag_size, msg, &frame);
        if (status != SKUA_OK) {
            return status;
        }
        if (!skua__link_append(link, 1, &frame)) {
            zmq_msg_close(&frame);
            return SKUA_E_NO_MEMORY;
        }
        word_given(link, word);
    } else if (!skua__batch_add(handle, &link->batch, flags, tag, tag_size, msg, body_size)) {
        return SKUA_E_NO_MEMORY;
    }
    skua__link_push(link);
    return SKUA_OK;
}

void
skua__link_flush(skua__link *link) {
    if (link->group) {
        skua__group_push(link->group);
    }
    skua__link_close_batch(link);
    skua__link_transmit(link);
}

/* ---- What patterns ask ---- */

bool
skua__link_room(const skua__link *link) {
    const skua__tx *tx = &link->tx;
    return link->connected &&
           skua__credit_allows(&tx->credit, tx->sent_bytes + skua__link_queued_bytes(link),
                               skua__link_load_msgs(link));
}

uint32_t
skua__link_busy_permille(const skua__link *link) {
    const skua__tx *tx = &link->tx;
    uint64_t bytes = tx->sent_bytes + skua__link_queued_bytes(link);
    uint64_t by_msgs =
        1000 * skua__link_load_msgs(link) / (tx->credit.window_msgs ? tx->credit.window_msgs : 1);
    uint64_t by_bytes = 1000 * bytes / (tx->credit.window_bytes ? tx->credit.window_bytes : 1);
    uint64_t busy = by_msgs > by_bytes ? by_msgs : by_bytes;
    return busy < UINT32_MAX ? (uint32_t)busy : UINT32_MAX;
}

uint64_t
skua__link_load_msgs(const skua__link *link) {
    return link->tx.sent_msgs + skua__link_queued_msgs(link);
}

uint64_t
skua__link_queued_msgs(const skua__link *link) {
    return link->tx.queued_msgs + link->batch.count + (link->group ? link->group->batch.count : 0);
}

uint64_t
skua__link_queued_bytes(const skua__link *link) {
    return link->tx.queued_bytes + link->batch.used + (link->group ? link->group->batch.used : 0);
}

uint64_t
skua__link_heard(const skua__link *link) {
    return link->frames_heard;
}

void
skua__link_ping(skua__link *link) {
    if (link->connected) {
        skua__link_control(link, SKUA__FRAME_PING, 0, 0, 0, NULL, 0);
    }
}

void
skua__link_ledger(const skua__link *link, skua__ledger_counts *ret_sent) {
    *ret_sent = link->tx.counts;
    /* What waits in an open batch has no number yet, but the link has taken it. */
    uint64_t open = link->batch.count + (link->group ? link->group->batch.count : 0);
    ret_sent->sent += open;
    ret_sent->unconfirmed += open;
}

void
skua__link_received(const skua__link *link, uint64_t *ret_msgs, uint64_t *ret_duplicates,
                    uint64_t *ret_gaps) {
    *ret_msgs = link->rx.received_msgs;
    *ret_duplicates = link->rx.duplicate_msgs;
    *ret_gaps = link->rx.gap_msgs;
}

uint64_t
skua__link_drop_oldest(skua__link *link) {
    return skua__tx_drop_oldest(&link->tx, SKUA__DROP_SLOW);
}

/* Hands the unconfirmed messages of one unit to fn. Returns how many it took. */
static uint32_t
take_back_unit(skua__link *link, skua__tx_unit *unit, skua__zmq_block *block,
               void (*fn)(void *arg, skua_msg **msg, const uint8_t *tag, size_t tag_size,
                          bool was_sent),
               void *arg) {
    zmq_msg_t *frame = skua__zmq_block_msg(block);
    skua__frame header;
    skua__records records;
    if (!skua__frame_read(zmq_msg_data(frame), zmq_msg_size(frame), &header) ||
        !skua__records_open(&records, &header, zmq_msg_data(frame), zmq_msg_size(frame))) {
        return 0;
    }
    uint32_t taken = 0;
    skua__link_record record;
    for (uint32_t i = 0; skua__records_next(&records, &record); i++) {
        skua_msg *msg = NULL;
        if (skua__tx_unit_is_done(unit, i) ||
            skua__msg_from_block(block, record.body_offset, record.body_size,
                                 !(record.flags & SKUA__FLAG_HEAD), &msg) != SKUA_OK) {
            continue;
        }
        skua__msg_set_redelivered(msg, record.flags & SKUA__FLAG_REDELIVERED);
        fn(arg, &msg, record.tag, record.tag_size, unit->sent_once);
        taken += msg == NULL;
        skua_msg_free(msg);
    }
    (void)link;
    return taken;
}

void
skua__link_take_back(skua__link *link,
                     void (*fn)(void *arg, skua_msg **msg, const uint8_t *tag, size_t tag_size,
                                bool was_sent),
                     void *arg) {
    skua__link_close_batch(link);
    skua__tx_unit *unit;
    for (size_t i = 0; (unit = skua__tx_at(&link->tx, i)) != NULL; i++) {
        if (unit->gap || unit->left == 0) {
            continue;
        }
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        zmq_msg_copy(&frame, unit_frame(unit));
        skua__zmq_block *block = skua__zmq_block_take(link->handle->hook, &frame);
        uint32_t taken = block ? take_back_unit(link, unit, block, fn, arg) : 0;
        zmq_msg_close(&frame);
        skua__zmq_block_unref(block);
        skua__tx_give_up(&link->tx, unit, taken, SKUA__DROP_PEER_LOST);
    }
}

void
skua__link_disconnect(skua__link *link) {
    if (link->connected) {
        skua__link_flush(link);
        skua__link_ack(link);
        skua__link_control(link, SKUA__FRAME_FIN, 0, link->tx.next_seq, 0, NULL, 0);
    }
    skua__link_down(link, SKUA__DOWN_CLOSING);
}

const skua__identity *
skua__link_peer(const skua__link *link) {
    return &link->peer;
}

uint64_t
skua__link_id(const skua__link *link) {
    return link->id;
}

void *
skua__link_user(const skua__link *link) {
    return link->user;
}

void
skua__link_set_user(skua__link *link, void *user) {
    link->user = user;
}
