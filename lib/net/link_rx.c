// SPDX-License-Identifier: MPL-2.0
// What comes in on a port: HELLO and who it is from, acknowledgements, and messages on their way to the handle's queue or
// the pattern. Nothing that a peer sends may do more than cost its own link.
#include "link_priv.h"

#include <errno.h>
#include <string.h>

/* One frame at hand. */
typedef struct arrival {
    skua__port *port;
    skua__route route;
    zmq_msg_t *zmq;
    skua__frame header;
    const uint8_t *body;
    size_t body_size;
} arrival;

static skua__handle_counters *
counters_of(skua__handle *handle) {
    return &handle->inner->counters;
}

/* ---- The queue ---- */

void
skua__rx_unit_free(skua__handle *handle, skua__rx_unit *unit) {
    struct skua__handle_inner *inner = handle->inner;
    skua__list_remove(&unit->node);
    skua__zmq_block_unref(unit->block);
    zmq_msg_close(&unit->zmq);
    skua__link_unref(unit->link);
    if (inner->spare_count < SKUA__SPARE_UNITS_MAX) {
        skua__list_push_back(&inner->spare, &unit->node);
        inner->spare_count++;
    } else {
        skua__mem_free(handle->hook, unit);
    }
}

static skua__rx_unit *
new_unit(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    skua__list *node = skua__list_pop_front(&inner->spare);
    skua__rx_unit *unit;
    if (node) {
        inner->spare_count--;
        unit = SKUA_CONTAINER_OF(node, skua__rx_unit, node);
    } else {
        unit = skua__mem_new(handle->hook, sizeof *unit);
    }
    if (unit) {
        *unit = (skua__rx_unit){0};
        skua__list_init(&unit->node);
        zmq_msg_init(&unit->zmq);
    }
    return unit;
}

/* Puts a frame of messages into the handle's queue; the unit holds the frame already. */
static void
queue_unit(skua__link *link, skua__rx_unit *unit, const arrival *in, uint32_t count,
           uint32_t skip) {
    struct skua__handle_inner *inner = link->handle->inner;
    unit->link = link;
    link->refs++;
    unit->seq = in->header.seq + skip;
    unit->gap = skua__rx_take_gap(&link->rx);
    unit->received_ns = skua__clock_ns();
    zmq_msg_t *zmq = unit->block ? skua__zmq_block_msg(unit->block) : &unit->zmq;
    skua__records_open(&unit->records, &in->header, zmq_msg_data(zmq), zmq_msg_size(zmq));
    skua__link_record record;
    for (uint32_t i = 0; i < skip; i++) {
        skua__records_next(&unit->records, &record);
    }
    skua__list_push_back(&inner->queue, &unit->node);
    link->queued_bytes += unit->bytes;
    link->queued_msgs += count - skip;
    inner->counters.queued_msgs += count - skip;
}

/* Moves the frame into a unit for the queue. Returns NULL without memory: the frame is as before. */
static skua__rx_unit *
unit_of_frame(skua__handle *handle, const arrival *in) {
    skua__rx_unit *unit = new_unit(handle);
    if (!unit) {
        return NULL;
    }
    unit->bytes = (uint32_t)zmq_msg_size(in->zmq);
    if (in->header.type == SKUA__FRAME_BATCH) {
        unit->block = skua__zmq_block_take(handle->hook, in->zmq);
        if (!unit->block) {
            skua__rx_unit_free(handle, unit);
            return NULL;
        }
    } else {
        zmq_msg_move(&unit->zmq, in->zmq);
    }
    return unit;
}

/* The peer will send again what of ours was refused for want of memory: ask for it. */
static void
ask_again(skua__link *link) {
    counters_of(link->handle)->unknown_frames++;
    if (link->handle->ops->provider) {
        skua__link_control(link, SKUA__FRAME_RESET, 0, 0, SKUA__RESET_SAY_HELLO, NULL, 0);
    } else if (link->rx.resumed) {
        skua__link_say_hello(link, false);
    }
    skua__rx_disconnect(&link->rx);
}

/* Hands the messages of a frame to the pattern. Those that cannot be made are counted as malformed and confirmed. */
static void
deliver_frame(skua__link *link, const arrival *in, uint32_t skip) {
    skua__handle *handle = link->handle;
    skua__handle_counters *counters = counters_of(handle);
    skua__records records;
    skua__zmq_block *block = NULL;
    if (in->header.type == SKUA__FRAME_BATCH) {
        block = skua__zmq_block_take(handle->hook, in->zmq);
        if (!block) {
            counters->malformed_frames++;
        }
    }
    zmq_msg_t *zmq = block ? skua__zmq_block_msg(block) : in->zmq;
    uint64_t seq = in->header.seq;
    uint32_t count =
        skua__records_open(&records, &in->header, zmq_msg_data(zmq), zmq_msg_size(zmq));
    skua__link_record record;
    for (uint32_t i = 0; i < count && skua__records_next(&records, &record); i++, seq++) {
        if (i < skip) {
            continue;
        }
        /* The tag lies in the frame, which skua__msg_from_zmq() may take: copy it before. */
        uint8_t tag[SKUA__TAG_MAX_BYTES];
        if (record.tag_size) {
            memcpy(tag, record.tag, record.tag_size);
        }
        bool simple = !(record.flags & SKUA__FLAG_HEAD);
        skua_msg *msg = NULL;
        skua_status status =
            block ? skua__msg_from_block(block, record.body_offset, record.body_size, simple, &msg)
                  : skua__msg_from_zmq(handle->hook, zmq, record.body_offset, simple, &msg);
        if (!handle->ops->confirm_by_done || status != SKUA_OK) {
            (void)skua__link_done(link, seq);
        }
        if (status != SKUA_OK) {
            counters->malformed_frames++;
            continue;
        }
        bool redelivered = record.flags & SKUA__FLAG_REDELIVERED;
        counters->redelivered_msgs += redelivered;
        skua__msg_set_sender(msg, link->sender);
        skua__msg_set_redelivered(msg, redelivered);
        skua__msg_set_gap(msg, skua__rx_take_gap(&link->rx));
        skua__incoming incoming = {.id = link->id << SKUA__ID_SEQ_BITS | seq,
                                   .tag = tag,
                                   .tag_size = record.tag_size,
                                   .msg = msg};
        handle->ops->deliver(handle, link, &incoming);
        skua_msg_free(incoming.msg);
        if (link->gone) {
            break;
        }
    }
    skua__zmq_block_unref(block);
}

/* The peer broke the protocol: its link ends, and its connection is told so. */
static void
violated(skua__link *link) {
    counters_of(link->handle)->malformed_frames++;
    skua__link_control(link, SKUA__FRAME_RESET, 0, 0, SKUA__RESET_MALFORMED, NULL, 0);
    skua__link_down(link, SKUA__DOWN_RESTARTED);
}

/* Data that does not count. */
static void
refused_data(skua__link *link, skua__rx_verdict verdict) {
    if (verdict == SKUA__RX_HOLE) {
        ask_again(link);
    } else if (verdict == SKUA__RX_VIOLATION) {
        violated(link);
    }
}

/* What came is to be acknowledged: at once for company, but for messages that travel alone. */
static void
note_arrival(skua__link *link, const arrival *in, uint32_t bytes) {
    link->bytes_new += bytes;
    if (in->header.type == SKUA__FRAME_BATCH || bytes < SKUA__BATCH_ALONE_BYTES) {
        link->units_new++;
        link->idle_ack_ns = 0;
    } else if (link->units_new == 0) {
        link->idle_ack_ns = link->acked_ns + SKUA__ACK_PATIENCE_NS;
    }
    skua__link_note_ack(link);
}

static void
on_messages(skua__link *link, const arrival *in) {
    skua__handle *handle = link->handle;
    skua__handle_counters *counters = counters_of(handle);
    skua__records records;
    uint32_t count =
        skua__records_open(&records, &in->header, zmq_msg_data(in->zmq), zmq_msg_size(in->zmq));
    if (count == 0) {
        counters->malformed_frames++;
        return;
    }
    if (in->header.word) {
        skua__tx_on_confirmed(&link->tx, in->header.word, NULL);
    }
    if (link->queued_msgs >= SKUA__WINDOW_MIN_MSGS &&
        link->queued_bytes > (uint64_t)link->grant.window_bytes + SKUA__WINDOW_MAX_BYTES) {
        violated(link);
        return;
    }
    uint32_t bytes = (uint32_t)zmq_msg_size(in->zmq);
    skua__rx_unit *unit = NULL;
    if (!handle->ops->deliver && (unit = unit_of_frame(handle, in)) == NULL) {
        ask_again(link);
        return;
    }
    uint32_t skip = 0;
    skua__rx_verdict verdict = skua__rx_on_data(&link->rx, in->header.seq, count, &skip);
    if (verdict != SKUA__RX_DELIVER) {
        if (unit) {
            skua__rx_unit_free(handle, unit);
        }
        refused_data(link, verdict);
        return;
    }
    note_arrival(link, in, bytes);
    link->held_bytes += bytes;
    counters->received_msgs += count - skip;
    counters->received_bytes += bytes;
    skua__grant_on_receive(&link->grant, link->held_bytes,
                           in->header.flags & SKUA__FLAG_CREDIT_OUT);
    if (unit) {
        queue_unit(link, unit, in, count, skip);
    } else {
        deliver_frame(link, in, skip);
    }
}

/* ---- HELLO ---- */

/* A provider and we do not fit: what waits for a link says so. */
static void
note_refusal(skua__link *link, skua__reset_reason reason) {
    struct skua__handle_inner *inner = link->handle->inner;
    counters_of(link->handle)->refused_peers++;
    inner->refusal = (uint8_t)reason;
    memcpy(inner->refused_by, link->peer.name, sizeof inner->refused_by);
    skua__handle_wake_locked(link->handle);
}

/* Both ends have said HELLO on this connection: say what comes next, and let messages flow. */
static void
connect_link(skua__link *link, const skua__link_hello *hello, uint64_t next) {
    skua__handle *handle = link->handle;
    link->tx.credit =
        (skua__credit){.window_bytes = hello->window_bytes, .window_msgs = hello->window_msgs};
    link->connected = true;
    skua__link_control(link, SKUA__FRAME_RESUME, 0, next, 0, NULL, 0);
    if (!link->up) {
        link->up = true;
        handle->inner->refusal = 0;
        handle->inner->up_count++;
        handle->inner->counters.links_up++;
        if (handle->ops->link_up) {
            handle->ops->link_up(handle, link);
        }
    } else {
        handle->inner->counters.reconnections++;
    }
    if (link->hello_stale && !link->gone) {
        link->hello_stale = false;
        skua__link_say_hello(link, true);
    }
    skua__handle_wake_locked(handle);
}

/* Whether the peer's HELLO fits us; else the reason to refuse it for, or 0. */
static skua__reset_reason
refusal_of(skua__handle *handle, const skua__link_hello *hello) {
    if (hello->version_min > SKUA__LINK_VERSION_MAX ||
        hello->version_max < SKUA__LINK_VERSION_MIN) {
        return SKUA__RESET_VERSION;
    }
    if (hello->kind != (uint8_t)handle->ops->kind || strcmp(hello->name, handle->name) != 0) {
        return SKUA__RESET_SERVICE;
    }
    return 0;
}

/* The numbers that the peer has of us, or, when it knows nothing of us, the oldest that we keep. */
static uint64_t
peer_received(skua__link *link, const skua__link_hello *hello, uint64_t seq) {
    /* 0: it knows of us, but we have not told it yet where we begin. */
    if (seq && hello->peer_session == link->handle->inner->session &&
        hello->peer_epoch == link->epoch) {
        return seq;
    }
    const skua__tx_unit *oldest = skua__tx_at(&link->tx, 0);
    return oldest ? oldest->first : link->tx.next_seq;
}

static skua__link *
find_peer(skua__handle *handle, const skua__uuid *uuid, uint32_t session) {
    SKUA_LIST_EACH(node, &handle->inner->links) {
        skua__link *link = SKUA_CONTAINER_OF(node, skua__link, node);
        if (link->peer_session == session && skua__uuid_equal(&link->peer.node, uuid)) {
            return link;
        }
    }
    return NULL;
}

static bool
take_route(skua__link *link, const skua__route *route) {
    struct skua__handle_inner *inner = link->handle->inner;
    if (link->route.size) {
        skua__hash_take(&inner->by_route, link->route.bytes, link->route.size);
    }
    link->route = *route;
    if (skua__hash_put(&inner->by_route, link->route.bytes, link->route.size, link) != 0) {
        link->route.size = 0;
        return false;
    }
    return true;
}

/* A consumer that we do not know, or no longer. */
static void
welcome(skua__port *port, const arrival *in, const skua__link_hello *hello,
        const skua__identity *identity) {
    skua__handle *handle = port->handle;
    if (hello->peer_session) {
        /* It resumes what is not there any more. */
        skua__port_control(port, &in->route, SKUA__FRAME_RESET, SKUA__RESET_EPOCH);
        return;
    }
    if (handle->inner->link_count >= SKUA__HANDLE_MAX_LINKS) {
        counters_of(handle)->refused_peers++;
        skua__port_control(port, &in->route, SKUA__FRAME_RESET, SKUA__RESET_LIMIT);
        return;
    }
    skua__link *link = skua__link_new(handle, port);
    if (!link) {
        return; /* it will dial, and ask, again */
    }
    link->peer = *identity;
    link->peer_session = in->header.session;
    link->epoch = (uint32_t)in->header.word;
    link->sender = skua__sender_new(handle->hook, &identity->node, identity->name);
    if (!link->sender || !take_route(link, &in->route)) {
        skua__link_down(link, SKUA__DOWN_RESTARTED);
        return;
    }
    if (handle->ops->peer_hello &&
        !handle->ops->peer_hello(handle, link, hello->pattern, hello->pattern_size)) {
        counters_of(handle)->malformed_frames++;
        skua__port_control(port, &in->route, SKUA__FRAME_RESET, SKUA__RESET_MALFORMED);
        skua__link_down(link, SKUA__DOWN_RESTARTED);
        return;
    }
    skua__link_say_hello(link, false);
    /* A group decides at which number the link begins: peer_hello may have joined one. */
    connect_link(link, hello, link->tx.next_seq);
}

static void
on_hello_to_provider(const arrival *in, const skua__link_hello *hello) {
    skua__port *port = in->port;
    skua__handle *handle = port->handle;
    const char *user_id = zmq_msg_gets(in->zmq, "User-Id");
    skua__identity identity;
    if (!skua__node_who(handle->node, user_id ? user_id : "", &identity) ||
        !(identity.roles & handle->ops->peer_role)) {
        counters_of(handle)->refused_peers++;
        skua__port_control(port, &in->route, SKUA__FRAME_RESET, SKUA__RESET_ROLE);
        return;
    }
    skua__link *link = find_peer(handle, &identity.node, in->header.session);
    if (link && link->epoch != (uint32_t)in->header.word) {
        skua__link_down(link, SKUA__DOWN_RESTARTED);
        link = NULL;
    }
    if (link && (in->header.flags & SKUA__FLAG_UPDATE)) {
        if (handle->ops->peer_hello &&
            !handle->ops->peer_hello(handle, link, hello->pattern, hello->pattern_size)) {
            violated(link);
        }
        return;
    }
    uint64_t next;
    if (link && skua__tx_resume(&link->tx, peer_received(link, hello, in->header.seq), &next)) {
        skua__rx_disconnect(&link->rx);
        link->peer = identity;
        if (!take_route(link, &in->route)) {
            return;
        }
        if (handle->ops->peer_hello &&
            !handle->ops->peer_hello(handle, link, hello->pattern, hello->pattern_size)) {
            violated(link);
            return;
        }
        skua__link_say_hello(link, false);
        connect_link(link, hello, next);
        skua__link_push(link);
        return;
    }
    if (link) {
        skua__link_down(link, SKUA__DOWN_RESTARTED);
    }
    welcome(port, in, hello, &identity);
}

/* A consumer's link begins anew: what it had goes back to the pattern. */
static void
restart_link(skua__port *port, skua__link *link) {
    skua__handle *handle = port->handle;
    skua__identity peer = link->peer;
    skua__sender *sender = skua__sender_ref(link->sender);
    skua__link_down(link, SKUA__DOWN_RESTARTED);
    skua__link *fresh = skua__link_new(handle, port);
    if (!fresh) {
        skua__sender_unref(sender);
        return; /* the port stays dumb until its provider goes down and up again */
    }
    fresh->peer = peer;
    fresh->sender = sender;
    fresh->epoch = ++handle->inner->next_epoch;
    port->link = fresh;
    skua__link_say_hello(fresh, false);
}

static void
on_hello_to_consumer(const arrival *in, const skua__link_hello *hello) {
    skua__link *link = in->port->link;
    if (!link || link->epoch != (uint32_t)in->header.word) {
        return; /* an answer to what we said before a restart */
    }
    skua__handle *handle = link->handle;
    /* An update comes from whom knows us, also when it has not heard yet where we begin. */
    bool update = in->header.flags & SKUA__FLAG_UPDATE;
    if (link->peer_session && link->peer_session != in->header.session) {
        restart_link(in->port, link);
        return;
    }
    if (handle->ops->peer_hello &&
        !handle->ops->peer_hello(handle, link, hello->pattern, hello->pattern_size)) {
        counters_of(handle)->malformed_frames++;
        return;
    }
    if (update) {
        return;
    }
    uint64_t next;
    if (!skua__tx_resume(&link->tx, peer_received(link, hello, in->header.seq), &next)) {
        restart_link(in->port, link);
        return;
    }
    link->peer_session = in->header.session;
    connect_link(link, hello, next);
    if (!link->gone) {
        skua__link_push(link);
    }
}

static void
on_hello(const arrival *in) {
    skua__handle *handle = in->port->handle;
    skua__link_hello hello;
    if (!skua__hello_read(in->body, in->body_size, &hello)) {
        counters_of(handle)->malformed_frames++;
        if (handle->ops->provider) {
            skua__port_control(in->port, &in->route, SKUA__FRAME_RESET, SKUA__RESET_MALFORMED);
        }
        return;
    }
    skua__reset_reason reason = refusal_of(handle, &hello);
    if (reason && !handle->ops->provider) {
        if (in->port->link) {
            note_refusal(in->port->link, reason);
        }
        return;
    }
    if (reason) {
        counters_of(handle)->refused_peers++;
        skua__port_control(in->port, &in->route, SKUA__FRAME_RESET, reason);
        return;
    }
    if (handle->ops->provider) {
        on_hello_to_provider(in, &hello);
    } else {
        on_hello_to_consumer(in, &hello);
    }
}

/* ---- Everything else ---- */

static void
on_ack(skua__link *link, const arrival *in) {
    skua__ack *ack = skua__mem_new(link->handle->hook, sizeof *ack);
    if (!ack) {
        return; /* the next one says it again */
    }
    if (!skua__ack_read(&in->header, in->body, in->body_size, ack) ||
        (ack->session == link->handle->inner->session && link->connected &&
         !skua__tx_on_ack(&link->tx, ack, NULL))) {
        counters_of(link->handle)->malformed_frames++;
    }
    skua__mem_free(link->handle->hook, ack);
    skua__link_push(link);
}

static void
on_gap(skua__link *link, const arrival *in) {
    uint64_t before = link->rx.gap_msgs;
    skua__rx_verdict verdict = skua__rx_on_gap(&link->rx, in->header.seq, in->header.word);
    counters_of(link->handle)->gap_msgs += link->rx.gap_msgs - before;
    if (verdict == SKUA__RX_DELIVER) {
        link->units_new++;
        skua__link_note_ack(link);
    } else {
        refused_data(link, verdict);
    }
}

static void
on_reset(skua__port *port, skua__link *link, uint64_t reason) {
    skua__handle *handle = port->handle;
    if (handle->ops->provider) {
        /* A consumer has thrown our link away. */
        if (link) {
            skua__link_down(link, SKUA__DOWN_RESTARTED);
        }
        return;
    }
    if (!link) {
        return;
    }
    switch (reason) {
    case SKUA__RESET_SAY_HELLO:
        if (link->connected || !link->greeted) {
            skua__link_disconnected(link);
            skua__link_say_hello(link, false);
        }
        break;
    case SKUA__RESET_EPOCH:
        restart_link(port, link);
        break;
    default:
        note_refusal(link, (skua__reset_reason)reason);
        skua__link_disconnected(link);
        break;
    }
}

static void
on_linked(skua__link *link, const arrival *in) {
    const skua__frame *header = &in->header;
    switch (header->type) {
    case SKUA__FRAME_DATA:
    case SKUA__FRAME_BATCH:
        on_messages(link, in);
        break;
    case SKUA__FRAME_ACK:
        on_ack(link, in);
        break;
    case SKUA__FRAME_RESUME:
        counters_of(link->handle)->gap_msgs += skua__rx_on_resume(&link->rx, header->seq);
        skua__link_note_ack(link); /* an ACK may have been lost with the connection before */
        break;
    case SKUA__FRAME_GAP:
        on_gap(link, in);
        break;
    case SKUA__FRAME_FIN:
        skua__link_control(link, SKUA__FRAME_FINACK, 0, header->seq, 0, NULL, 0);
        if (link->handle->inner->closing) {
            link->fin_acked =
                true; /* both close at once: the peer waits for nothing more of ours */
        } else {
            skua__link_down(link, SKUA__DOWN_FIN);
        }
        break;
    case SKUA__FRAME_FINACK:
        link->fin_acked = true;
        break;
    case SKUA__FRAME_PING:
        if (!(header->flags & SKUA__FLAG_PONG)) {
            skua__link_control(link, SKUA__FRAME_PING, SKUA__FLAG_PONG, 0, header->word, NULL, 0);
        }
        break;
    default:
        break;
    }
}

/* A frame of a connection that has not said HELLO. */
static void
on_stranger(const arrival *in) {
    struct skua__handle_inner *inner = in->port->handle->inner;
    inner->counters.unknown_frames++;
    bool told = inner->reset_route.size == in->route.size &&
                memcmp(inner->reset_route.bytes, in->route.bytes, in->route.size) == 0;
    if (in->header.type == SKUA__FRAME_FIN) {
        /* Its link ended here before: let it close in peace. */
        skua__port_control(in->port, &in->route, SKUA__FRAME_FINACK, 0);
    } else if (!told && in->header.type != SKUA__FRAME_RESET &&
               in->header.type != SKUA__FRAME_FINACK) {
        inner->reset_route = in->route;
        skua__port_control(in->port, &in->route, SKUA__FRAME_RESET, SKUA__RESET_SAY_HELLO);
    }
}

static void
on_frame(arrival *in) {
    skua__port *port = in->port;
    skua__handle *handle = port->handle;
    struct skua__handle_inner *inner = handle->inner;
    size_t size = zmq_msg_size(in->zmq);
    inner->counters.frames_received++;
    if (size == 0) {
        /* The probe of a new connection. */
        if (!handle->ops->provider && port->link) {
            skua__link_disconnected(port->link);
            skua__link_say_hello(port->link, false);
        }
        return;
    }
    if (!skua__frame_read(zmq_msg_data(in->zmq), size, &in->header)) {
        inner->counters.malformed_frames++;
        return;
    }
    in->body = (const uint8_t *)zmq_msg_data(in->zmq) + SKUA__FRAME_HEADER_BYTES;
    in->body_size = size - SKUA__FRAME_HEADER_BYTES;
    if (in->header.type == SKUA__FRAME_HELLO) {
        on_hello(in);
        return;
    }
    skua__link *link = handle->ops->provider
                           ? skua__hash_get(&inner->by_route, in->route.bytes, in->route.size)
                           : port->link;
    if (in->header.type == SKUA__FRAME_RESET) {
        on_reset(port, link, in->header.word);
    } else if (handle->ops->provider && !link) {
        on_stranger(in);
    } else if (link && link->peer_session == in->header.session) {
        link->frames_heard++;
        on_linked(link, in);
    } else {
        inner->counters.unknown_frames++;
    }
}

void
skua__port_drain(skua__port *port, bool *ret_moved) {
    port->dirty = false;
    if (port->plain) {
        skua__plain_drain(port, ret_moved);
        return;
    }
    for (int i = 0; i < SKUA__PUMP_FRAMES_MAX; i++) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        arrival in = {.port = port, .zmq = &frame};
        int rc = port->ops->recv(port, &in.route, &frame);
        if (rc == 0) {
            on_frame(&in);
        } else if (rc == EPROTO) {
            port->handle->inner->counters.malformed_frames++;
        }
        zmq_msg_close(&frame);
        if (rc == EAGAIN) {
            port->dirty = false; /* what we sent meanwhile has hidden nothing */
            return;
        }
        *ret_moved = true;
    }
    port->dirty = true; /* more waits: the others first */
}
