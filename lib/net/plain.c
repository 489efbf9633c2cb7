// SPDX-License-Identifier: MPL-2.0
// Plain ZeroMQ peers at an explicit endpoint: the framing that any ZeroMQ program understands, and bounds on what such a
// peer may send. Nothing is acknowledged: a message that ZeroMQ took is "handed to ZeroMQ", and that is all we know.
#include <zmq.h>

#include "plain_priv.h"

#include <skua-int/endpoint.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <skua-int/msg_int.h>

#include <assert.h>
#include <errno.h>
#include <string.h>

/* What stands before the frames of a message, at most: an envelope and its delimiter. */
enum { PARTS_MAX = SKUA__PLAIN_ENVELOPE_MAX_FRAMES + 1 + SKUA_MSG_FRAMES_MAX };

static const int socket_types[] = {
    [SKUA__PLAIN_PUB] = ZMQ_PUB,   [SKUA__PLAIN_SUB] = ZMQ_SUB,    [SKUA__PLAIN_PUSH] = ZMQ_PUSH,
    [SKUA__PLAIN_PULL] = ZMQ_PULL, [SKUA__PLAIN_REQ] = ZMQ_DEALER, [SKUA__PLAIN_REP] = ZMQ_ROUTER,
};

static bool
has_envelope(const skua__plain *plain) {
    return plain->kind == SKUA__PLAIN_REQ || plain->kind == SKUA__PLAIN_REP;
}

/* ---- Opening ---- */

static skua_status
set_up(skua__plain *plain, skua_error *err) {
    int hwm = SKUA__PLAIN_HWM_MSGS, on = 1;
    bool done = zmq_setsockopt(plain->socket, ZMQ_SNDHWM, &hwm, sizeof hwm) == 0 &&
                zmq_setsockopt(plain->socket, ZMQ_RCVHWM, &hwm, sizeof hwm) == 0;
    if (plain->kind == SKUA__PLAIN_REP) {
        /* An answer to a peer that is gone must fail, not vanish. */
        done = done && zmq_setsockopt(plain->socket, ZMQ_ROUTER_MANDATORY, &on, sizeof on) == 0;
    }
    if (plain->kind == SKUA__PLAIN_REQ || plain->kind == SKUA__PLAIN_PUSH) {
        /* Nothing is queued for a peer that is not there: it would be counted as handed over. */
        done = done && zmq_setsockopt(plain->socket, ZMQ_IMMEDIATE, &on, sizeof on) == 0;
    }
    size_t size = sizeof plain->fd;
    done = done && zmq_getsockopt(plain->socket, ZMQ_FD, &plain->fd, &size) == 0;
    return done ? SKUA_OK
                : SKUA_FAIL(err, SKUA_E_SYSTEM, "cannot set up a plain socket: %s",
                            zmq_strerror(zmq_errno()));
}

static skua_status
check_reach(const skua__endpoint *endpoint, bool insecure, skua_error *err) {
    if (endpoint->transport == SKUA__TRANSPORT_INPROC) {
        return SKUA_FAIL(err, SKUA_E_BAD_ENDPOINT,
                         "%s: a plain endpoint is for other programs; use tcp or ipc",
                         endpoint->text);
    }
    if (!endpoint->loopback && !insecure) {
        return SKUA_FAIL(
            err, SKUA_E_LOOPBACK_ONLY,
            "%s reaches beyond this machine, and plain endpoints neither encrypt nor "
            "authenticate; use 127.0.0.1, or allow it with plain_insecure (--insecure)",
            endpoint->text);
    }
    return SKUA_OK;
}

skua_status
skua__plain_open(skua__plain **ret_plain, skua_node *node, const skua_allocator *hook,
                 const skua__plain_options *options, skua_error *err) {
    skua__endpoint endpoint;
    skua_status status = skua__endpoint_parse(options->endpoint, options->bind, &endpoint, err);
    if (status == SKUA_OK) {
        status = check_reach(&endpoint, options->insecure, err);
    }
    if (status != SKUA_OK) {
        return status;
    }
    skua__plain *plain = skua__mem_new(hook, sizeof *plain);
    if (!plain) {
        return SKUA_FAIL_MEMORY(err, "a plain endpoint");
    }
    plain->hook = hook;
    plain->kind = options->kind;
    status = skua__node_plain_socket(node, socket_types[options->kind], &plain->socket, err);
    if (status != SKUA_OK) {
        goto fail;
    }
    status = set_up(plain, err);
    if (status == SKUA_OK) {
        status = options->bind
                     ? skua__endpoint_bind(plain->socket, &endpoint, &plain->tcp_port, err)
                     : skua__endpoint_connect(plain->socket, &endpoint, err);
    }
    if (status != SKUA_OK) {
        goto fail;
    }
    *ret_plain = plain;
    return SKUA_OK;
fail:
    skua__plain_close(plain);
    return status;
}

skua__plain *
skua__plain_close(skua__plain *plain) {
    if (!plain) {
        return NULL;
    }
    assert(!plain->port); /* the handle lets go of it first */
    if (plain->socket) {
        zmq_close(plain->socket);
    }
    return skua__mem_free(plain->hook, plain);
}

int
skua__plain_fd(const skua__plain *plain) {
    return plain->fd;
}

uint16_t
skua__plain_port(const skua__plain *plain) {
    return plain->tcp_port;
}

const skua__plain_counts *
skua__plain_counts_of(const skua__plain *plain) {
    return &plain->counts;
}

/*
 * What the socket is ready for. Any call on a socket may swallow the edge that its descriptor would have shown, so
 * after each one this looks, and remembers when there is something to receive. (To remember it always would keep a
 * waiter from ever sleeping.)
 */
static int
look(skua__plain *plain) {
    int events = 0;
    size_t size = sizeof events;
    if (zmq_getsockopt(plain->socket, ZMQ_EVENTS, &events, &size) != 0) {
        return 0;
    }
    if (plain->port && (events & ZMQ_POLLIN)) {
        plain->port->dirty = true;
    }
    return events;
}

bool
skua__plain_room(skua__plain *plain) {
    return look(plain) & ZMQ_POLLOUT;
}

skua_status
skua__plain_subscribe(skua__plain *plain, const char *topic, bool on) {
    int option = on ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE;
    int rc = zmq_setsockopt(plain->socket, option, topic, strlen(topic));
    look(plain);
    return rc == 0 ? SKUA_OK : SKUA_E_NO_MEMORY;
}

/* ---- Sending ---- */

static skua_status
make_parts(const skua__plain *plain, const skua_msg *envelope, const skua_msg *msg,
           zmq_msg_t *parts, size_t *ret_count) {
    size_t count = 0;
    skua_status status = SKUA_OK;
    if (plain->kind == SKUA__PLAIN_PUB) {
        const char *topic = skua_msg_topic(msg);
        if (zmq_msg_init_size(&parts[count], strlen(topic)) != 0) {
            return SKUA_E_NO_MEMORY;
        }
        memcpy(zmq_msg_data(&parts[count++]), topic, strlen(topic));
    }
    if (has_envelope(plain)) {
        size_t frames = skua_msg_frames(envelope);
        assert(frames <= SKUA__PLAIN_ENVELOPE_MAX_FRAMES);
        for (size_t i = 0; i < frames && status == SKUA_OK; i++) {
            status = skua__msg_frame_to_zmq(envelope, i, &parts[count]);
            count += status == SKUA_OK;
        }
        if (status == SKUA_OK) {
            zmq_msg_init(&parts[count++]);
        }
    }
    for (size_t i = 0; i < skua_msg_frames(msg) && status == SKUA_OK; i++) {
        status = skua__msg_frame_to_zmq(msg, i, &parts[count]);
        count += status == SKUA_OK;
    }
    if (skua_msg_frames(msg) == 0 && plain->kind != SKUA__PLAIN_PUB) {
        zmq_msg_init(&parts[count++]); /* ZeroMQ knows no message without frames */
    }
    *ret_count = count;
    return status;
}

static skua_status
status_of_errno(int error) {
    switch (error) {
    case EAGAIN:
        return SKUA_E_AGAIN;
    case EHOSTUNREACH:
        return SKUA_E_PEER_LOST;
    default:
        return SKUA_E_NO_MEMORY;
    }
}

skua_status
skua__plain_send(skua__plain *plain, const skua_msg *envelope, const skua_msg *msg) {
    zmq_msg_t parts[PARTS_MAX];
    size_t count = 0;
    skua_status status = make_parts(plain, envelope, msg, parts, &count);
    size_t sent = 0;
    while (status == SKUA_OK && sent < count) {
        int more = sent + 1 < count ? ZMQ_SNDMORE : 0;
        if (zmq_msg_send(&parts[sent], plain->socket, ZMQ_DONTWAIT | more) < 0) {
            /* Only the first part can fail: a message is given a pipe, and room in it, as a whole. */
            status = status_of_errno(zmq_errno());
        } else {
            sent++;
        }
    }
    for (size_t i = sent; i < count; i++) {
        zmq_msg_close(&parts[i]);
    }
    look(plain);
    bool kept = status == SKUA_E_AGAIN &&
                (plain->kind == SKUA__PLAIN_PUSH || plain->kind == SKUA__PLAIN_REQ);
    plain->counts.handed_to_zmq += status == SKUA_OK;
    plain->counts.dropped_out += status != SKUA_OK && !kept;
    return status;
}

/* ---- Receiving ---- */

/* What has come of one message so far. */
typedef struct gathering {
    skua_msg *envelope; /* NULL: the kind has none */
    skua_msg *msg;
    bool in_envelope;
    bool refused; /* malformed, too much, or no memory: take the rest and forget it */
    size_t parts;
} gathering;

static void
gather(skua__plain *plain, gathering *all, zmq_msg_t *part) {
    size_t size = zmq_msg_size(part);
    bool first = all->parts++ == 0;
    if (all->refused) {
        return;
    }
    if (all->in_envelope) {
        if (!size && !(first && plain->kind == SKUA__PLAIN_REP)) {
            all->in_envelope = false; /* the delimiter */
            return;
        }
        all->refused = skua_msg_frames(all->envelope) == SKUA__PLAIN_ENVELOPE_MAX_FRAMES ||
                       skua__msg_append_zmq(all->envelope, part) != SKUA_OK;
    } else if (first && plain->kind == SKUA__PLAIN_SUB && zmq_msg_more(part)) {
        const char *topic = zmq_msg_data(part);
        all->refused = (size && memchr(topic, 0, size)) ||
                       skua__msg_set_topic(all->msg, topic, size) != SKUA_OK;
    } else {
        all->refused = skua__msg_append_zmq(all->msg, part) != SKUA_OK;
    }
}

/* Takes one whole message off the socket. Returns false when there is none. */
static bool
take_message(skua__plain *plain, gathering *all) {
    bool more = true;
    while (more) { /* ends: ZeroMQ shows a message only when all its parts have arrived */
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, plain->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            return false;
        }
        more = zmq_msg_more(&part);
        gather(plain, all, &part);
        zmq_msg_close(&part);
    }
    return true;
}

skua_status
skua__plain_recv(skua__plain *plain, skua_msg **ret_envelope, skua_msg **ret_msg) {
    for (;;) { /* ends: each round takes from the budget */
        if (plain->budget == 0) {
            look(plain); /* more may wait: the other sockets first */
            return SKUA_E_AGAIN;
        }
        if (!(look(plain) & ZMQ_POLLIN)) {
            return SKUA_E_AGAIN;
        }
        gathering all = {.in_envelope = has_envelope(plain)};
        all.msg = skua_msg_new(plain->hook);
        all.envelope = all.in_envelope ? skua_msg_new(plain->hook) : NULL;
        if (!all.msg || (all.in_envelope && !all.envelope)) {
            skua_msg_free(all.msg);
            skua_msg_free(all.envelope);
            return SKUA_E_NO_MEMORY; /* what waits is still there, and the next pump looks again */
        }
        bool taken = take_message(plain, &all);
        plain->budget -= taken;
        if (taken && !all.refused && !all.in_envelope) {
            plain->counts.received++;
            skua__msg_set_plain(all.msg, true);
            *ret_msg = all.msg;
            if (ret_envelope) {
                *ret_envelope = all.envelope;
            }
            return SKUA_OK;
        }
        skua_msg_free(all.msg);
        skua_msg_free(all.envelope);
        if (!taken) {
            return SKUA_E_AGAIN;
        }
        plain->counts.dropped_in++;
    }
}

/* ---- The envelope of our own requests ---- */

skua_msg *
skua__plain_id_envelope(const skua_allocator *hook, uint64_t id) {
    uint8_t bytes[SKUA__PLAIN_ID_BYTES];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(id >> (8 * i));
    }
    skua_msg *envelope = skua_msg_new(hook);
    if (envelope && skua_msg_append(envelope, bytes, sizeof bytes) != SKUA_OK) {
        envelope = skua_msg_free(envelope);
    }
    return envelope;
}

uint64_t
skua__plain_envelope_id(const skua_msg *envelope) {
    if (skua_msg_frames(envelope) != 1 || skua_msg_size(envelope, 0) != SKUA__PLAIN_ID_BYTES) {
        return 0;
    }
    const uint8_t *bytes = skua_msg_data(envelope, 0);
    uint64_t id = 0;
    for (size_t i = 0; i < SKUA__PLAIN_ID_BYTES; i++) {
        id |= (uint64_t)bytes[i] << (8 * i);
    }
    return id;
}
