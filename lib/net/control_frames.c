// SPDX-License-Identifier: MPL-2.0
// What comes on control links: HELLO, by which a connection becomes a peer's link, and all that follows it. In the node's
// thread; a frame may end the very link that it came by, so links are looked up again after each step.
#include "node_priv.h"

#include <skua-int/log.h>

#include <stdio.h>
#include <zmq.h>

/* Returns false when the link is refused and gone. */
static bool
hello_negotiate(skua__clink *link, const skua__hello *hello, const char *name) {
    skua_node *node = link->node;
    skua_error err;
    skua_status status = skua__version_negotiate(node->protocol_min, node->protocol_max, hello,
                                                 name, &link->version, &err);
    if (!status) {
        return true;
    }
    skua__count(node, SKUA__COUNTER(control_dropped_version));
    skua__note_refusal(node, name, status, err.message);
    skua__clink_refuse(link, status, err.message);
    if (link->peer) {
        skua__clink_fails(link, SKUA__PEER_DIAL_REJECTED);
    } else {
        skua__clink_free(link);
    }
    return false;
}

static void
refuse_identity(skua__clink *link, const char *text) {
    skua__count(link->node, SKUA__COUNTER(control_dropped_identity));
    skua__clink_refuse(link, SKUA_E_BAD_CERTIFICATE, text);
    if (link->peer) {
        skua__clink_fails(link, SKUA__PEER_DIAL_FAILED);
    } else {
        skua__clink_free(link);
    }
}

static void
link_up(skua__clink *link, const skua__hello *hello) {
    link->up = true;
    skua__peer_feed(link->peer, (skua__peer_event){.kind = SKUA__PEER_LINK_UP,
                                                   .link = link->number,
                                                   .outgoing = link->outgoing,
                                                   .incarnation = hello->incarnation});
}

/* The first frame of somebody who dialled us: who it is decides its certificate, not its word. */
static void
hello_incoming(skua__clink *link, const skua__hello *hello, zmq_msg_t *frame) {
    skua_node *node = link->node;
    skua__certificate certificate;
    if (!skua__zap_lookup(&node->zap, zmq_msg_gets(frame, "User-Id"), &certificate) ||
        certificate.serial != hello->serial || skua__uuid_equal(&hello->uuid, &node->uuid)) {
        refuse_identity(link, "the certificate is not the one of this connection");
        return;
    }
    if (!hello_negotiate(link, hello, certificate.name)) {
        return;
    }
    skua__peer *peer =
        skua__peer_meet(node, &hello->uuid, hello->incarnation, &certificate, SKUA_VIA_INCOMING);
    if (!peer) {
        refuse_identity(link, "that node is known with another certificate, or too many are");
        return;
    }
    const char *address = zmq_msg_gets(frame, "Peer-Address");
    skua__peer_at(peer, address ? address : "", hello->control_port, hello->introduction_port);
    link->peer = peer;
    skua__clink_hello(link);
    link_up(link, hello);
}

static void
hello_outgoing(skua__clink *link, const skua__hello *hello) {
    if (!skua__uuid_equal(&hello->uuid, &link->peer->uuid) ||
        hello->serial != link->peer->certificate.serial) {
        refuse_identity(link, "you are not the node that was dialled");
        return;
    }
    if (hello_negotiate(link, hello, link->peer->name)) {
        link_up(link, hello);
    }
}

static void
pong_in(skua__clink *link, const skua__ping *pong) {
    int64_t sample_ns = skua__clock_ns() - pong->sent_ns - pong->held_ns;
    skua__mutex_lock(&link->node->lock);
    skua__rtt_sample(&link->peer->rtt, sample_ns);
    skua__mutex_unlock(&link->node->lock);
}

static void
record_in(skua__clink *link, const skua__span *bytes) {
    skua_node *node = link->node;
    skua__peer *peer = link->peer;
    skua__record record;
    skua__record_result result =
        skua__record_decode(bytes->bytes, bytes->size, node->hook, &record);
    if (result == SKUA__RECORD_CRITICAL) {
        skua__note_refusal(node, peer->name, SKUA_E_PROTOCOL_VERSION,
                           "its record holds something critical that we do not know");
        skua__clink_refuse(link, SKUA_E_PROTOCOL_VERSION, "a critical part of the record");
        skua__clink_fails(link, SKUA__PEER_DIAL_REJECTED);
        return;
    }
    if (result != SKUA__RECORD_OK) {
        skua__count(node, SKUA__COUNTER(control_dropped_malformed));
        return;
    }
    skua__record before = peer->record;
    bool had = peer->has_record;
    skua__mutex_lock(&node->lock);
    peer->record = record;
    peer->has_record = true;
    skua__cond_broadcast(&node->changed);
    skua__mutex_unlock(&node->lock);
    if (peer->joined) {
        skua__services_changed(node, peer, peer->incarnation, had ? &before : NULL, &peer->record);
    }
    if (had) {
        skua__record_fini(&before);
    }
}

/* One peer of a peer: a reason to dial it, no sign of its life. */
static void
entry_in(skua__clink *link, const skua__peer_entry *entry) {
    skua_node *node = link->node;
    if (skua__uuid_equal(&entry->uuid, &node->uuid)) {
        return;
    }
    const skua__peer *known = skua__peer_find(node, &entry->uuid);
    if (known && known->joined) {
        return;
    }
    if (skua__peer_verify(node, &entry->uuid, &entry->certificate) != SKUA__CERTIFICATE_OK) {
        skua__count(node, SKUA__COUNTER(control_dropped_malformed));
        return;
    }
    char host[SKUA_HOST_BYTES];
    skua__address_text(&entry->address, host);
    if (host[0] == 0 || (strncmp(host, "127.", 4) == 0 && strncmp(link->peer->host, "127.", 4))) {
        /* What is on its own machine for the peer is on the peer's machine for us. */
        snprintf(host, sizeof host, "%s", link->peer->host);
    }
    skua__peer *peer = skua__peer_meet(node, &entry->uuid, entry->incarnation, &entry->certificate,
                                       SKUA_VIA_PEER_LIST);
    if (!peer) {
        return;
    }
    if (!known) {
        skua__peer_at(peer, host, entry->control_port, entry->introduction_port);
        peer->introduce = true;
    }
    skua__peer_feed(peer,
                    (skua__peer_event){.kind = SKUA__PEER_TOLD, .incarnation = entry->incarnation});
}

static void
refuse_in(skua__clink *link, const skua__control *control) {
    char text[SKUA__CONTROL_TEXT_MAX + 1];
    snprintf(text, sizeof text, "%.*s", (int)control->refuse.text.size,
             (const char *)control->refuse.text.bytes);
    skua_status status = control->refuse.status;
    bool lasting = status == SKUA_E_PROTOCOL_VERSION || status == SKUA_E_NOT_AUTHORISED ||
                   status == SKUA_E_EXPIRED;
    if (lasting) {
        skua__count(link->node, SKUA__COUNTER(control_dropped_version));
        skua__note_refusal(link->node, link->peer->name, status, text);
    }
    skua__clink_fails(link, lasting ? SKUA__PEER_DIAL_REJECTED : SKUA__PEER_DIAL_FAILED);
}

/* A frame on a link that is up. The link may be gone afterwards. */
static void
control_in(skua__clink *link, const skua__control *control) {
    skua_node *node = link->node;
    skua__peer *peer = link->peer;
    uint32_t number = link->number;
    switch (control->type) {
    case SKUA__CONTROL_PING: {
        skua__control pong = {
            .type = SKUA__CONTROL_PONG, .version = (uint8_t)link->version, .ping = control->ping};
        skua__clink_send(link, &pong);
        break;
    }
    case SKUA__CONTROL_PONG:
        pong_in(link, &control->ping);
        break;
    case SKUA__CONTROL_RECORD:
        record_in(link, &control->record);
        break;
    case SKUA__CONTROL_PEERS: {
        skua__span entries = control->peers.entries;
        skua__peer_entry entry;
        while (skua__peers_next(&entries, &entry)) {
            entry_in(link, &entry);
            /* What follows from an entry may end this very link. */
            if (skua__clink_find(node, number) != link) {
                return;
            }
        }
        break;
    }
    case SKUA__CONTROL_BYE:
        skua__peer_feed(peer, (skua__peer_event){.kind = SKUA__PEER_BYE_HEARD,
                                                 .incarnation = control->bye.incarnation});
        return;
    case SKUA__CONTROL_APP:
        if (peer->joined) {
            skua__control_deliver(node, peer, control->app.channel, control->app.bytes.bytes,
                                  control->app.bytes.size);
        }
        break;
    case SKUA__CONTROL_REFUSE:
        refuse_in(link, control);
        return;
    case SKUA__CONTROL_HELLO:
    case SKUA__CONTROL_CRL:   /* reserved: revocation comes with its own issue */
    case SKUA__CONTROL_PROBE: /* reserved */
        break;
    }
    if (skua__clink_find(node, number) == link) {
        skua__peer_feed(peer, (skua__peer_event){.kind = SKUA__PEER_HEARD, .link = number});
    }
}

void
skua__clink_frame(skua__clink *link, zmq_msg_t *frame) {
    skua_node *node = link->node;
    skua__control control;
    skua__control_result result =
        skua__control_decode(zmq_msg_data(frame), zmq_msg_size(frame), &control);
    if (result == SKUA__CONTROL_UNKNOWN_CRITICAL && link->peer) {
        skua__clink_refuse(link, SKUA_E_PROTOCOL_VERSION, "a critical frame of an unknown type");
        skua__clink_fails(link, SKUA__PEER_DIAL_REJECTED);
        return;
    }
    if (result != SKUA__CONTROL_OK) {
        if (result != SKUA__CONTROL_UNKNOWN) {
            skua__count(node, SKUA__COUNTER(control_dropped_malformed));
        }
        if (!link->up && !link->outgoing) {
            skua__clink_free(link);
        }
        return;
    }
    skua__count(node, SKUA__COUNTER(control_received));
    if (link->up) {
        control_in(link, &control);
    } else if (control.type == SKUA__CONTROL_HELLO) {
        if (link->outgoing) {
            hello_outgoing(link, &control.hello);
        } else {
            hello_incoming(link, &control.hello, frame);
        }
    } else if (control.type == SKUA__CONTROL_REFUSE && link->outgoing) {
        refuse_in(link, &control);
    } else {
        skua__count(node, SKUA__COUNTER(control_dropped_unknown));
        if (!link->outgoing) {
            skua__clink_refuse(link, SKUA_E_PEER_LOST, "say hello first");
            skua__clink_free(link);
        }
    }
}
