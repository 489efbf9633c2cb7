// SPDX-License-Identifier: MPL-2.0
// The peer table: it feeds each peer's machine (lib/proto's peer_fsm) and carries its actions out.
#include "node_priv.h"

#include <skua/log.h>

#include <stdio.h>

const char *
skua__peer_name(const skua__peer *peer) {
    return peer->name[0] ? peer->name : "?";
}

skua__peer *
skua__peer_find(skua_node *node, const skua__uuid *uuid) {
    return skua__hash_get(&node->peers, uuid->bytes, sizeof uuid->bytes);
}

/* ---- Meeting ---- */

static void
peer_timer(void *arg) {
    skua__peer_feed(arg, (skua__peer_event){.kind = SKUA__PEER_TICK});
}

static void
peer_free(skua__peer *peer) {
    skua_node *node = peer->node;
    skua__mutex_lock(&node->lock);
    skua__hash_take(&node->peers, peer->uuid.bytes, sizeof peer->uuid.bytes);
    skua__mutex_unlock(&node->lock);
    peer->timer = skua__node_source_free(peer->timer);
    peer->hold = skua__node_source_free(peer->hold);
    peer->probe = skua__knock_cancel(peer->probe);
    skua__dial_limiter_done(&node->limiter, &peer->dial_slot);
    SKUA_LIST_EACH(at, &node->links) {
        skua__clink *link = SKUA_CONTAINER_OF(at, skua__clink, links);
        if (link->peer == peer) {
            skua__clink_free(link);
        }
    }
    skua__list_remove(&peer->ready);
    peer->admission = skua__zap_release(&node->zap, peer->admission);
    if (peer->has_record) {
        skua__record_fini(&peer->record);
    }
    skua__mem_free(node->hook, peer);
}

static skua__peer *
peer_new(skua_node *node, const skua__uuid *uuid, const skua__certificate *certificate,
         skua_peer_via via) {
    if (node->peers.count >= SKUA_NODE_MAX_PEERS) {
        skua__count(node, SKUA__COUNTER(peers_refused_limit));
        return NULL;
    }
    skua__peer *peer = skua__mem_new(node->hook, sizeof *peer);
    if (!peer) {
        return NULL;
    }
    *peer = (skua__peer){.uuid = *uuid, .via = via, .node = node, .certificate = *certificate};
    memcpy(peer->name, certificate->name, sizeof peer->name);
    skua__list_init(&peer->ready);
    skua__dial_slot_init(&peer->dial_slot);
    peer->heard_ns = skua__clock_ns();
    if (skua__zap_admit(&node->zap, certificate, &peer->admission) ||
        skua__host_source_new(&node->host, -1, peer_timer, peer, &peer->timer, NULL)) {
        goto fail;
    }
    skua__mutex_lock(&node->lock);
    skua_status status =
        skua__hash_put(&node->peers, peer->uuid.bytes, sizeof peer->uuid.bytes, peer);
    skua__mutex_unlock(&node->lock);
    if (status) {
        goto fail;
    }
    int64_t now_ns = skua__lived_now(&node->lived, skua__clock_ns());
    skua__peer_init(&peer->fsm, &node->peer_config, uuid, false, now_ns);
    skua__flight_entry entry = {.kind = SKUA__FLIGHT_PEER, .now_ns = now_ns, .uuid = *uuid};
    skua__recorder_add(node, &entry);
    return peer;
fail:
    skua__node_source_free(peer->timer);
    skua__zap_release(&node->zap, peer->admission);
    return skua__mem_free(node->hook, peer);
}

/* A node that came back may hold a new certificate: of the same name, which the fleet signed, and a later life. */
static bool
take_certificate(skua__peer *peer, uint64_t incarnation, const skua__certificate *certificate) {
    skua_node *node = peer->node;
    if (peer->admission && skua__certificate_equal(&peer->certificate, certificate)) {
        return true;
    }
    bool same_key =
        memcmp(peer->certificate.curve_key, certificate->curve_key, SKUA_KEY_BYTES) == 0;
    if (strcmp(peer->name, certificate->name) != 0 ||
        (!same_key && incarnation <= peer->incarnation) ||
        (same_key && certificate->issued_s < peer->certificate.issued_s)) {
        return false;
    }
    skua__admission *admission;
    if (skua__zap_admit(&node->zap, certificate, &admission)) {
        return false;
    }
    skua__zap_release(&node->zap, peer->admission);
    skua__mutex_lock(&node->lock);
    peer->admission = admission;
    peer->certificate = *certificate;
    skua__mutex_unlock(&node->lock);
    return true;
}

skua__peer *
skua__peer_meet(skua_node *node, const skua__uuid *uuid, uint64_t incarnation,
                const skua__certificate *certificate, skua_peer_via via) {
    skua__peer *peer = skua__peer_find(node, uuid);
    if (!peer) {
        peer = peer_new(node, uuid, certificate, via);
        if (peer) {
            skua__logf(node, SKUA_LOG_DEBUG, "heard of \"%s\"", skua__peer_name(peer));
        }
        return peer;
    }
    if (!take_certificate(peer, incarnation, certificate)) {
        skua__count(node, SKUA__COUNTER(control_dropped_identity));
        return NULL;
    }
    return peer;
}

void
skua__peer_at(skua__peer *peer, const char *host, uint16_t control_port,
              uint16_t introduction_port) {
    /* While a link stands, the address that it uses is the one that works. */
    if (peer->link || !host[0] || !control_port) {
        return;
    }
    skua__mutex_lock(&peer->node->lock);
    snprintf(peer->host, sizeof peer->host, "%s", host);
    peer->control_port = control_port;
    peer->introduction_port = introduction_port;
    skua__mutex_unlock(&peer->node->lock);
}

skua__certificate_result
skua__peer_verify(skua_node *node, const skua__uuid *uuid, const skua__certificate *certificate) {
    const skua__peer *peer = skua__peer_find(node, uuid);
    int64_t now_s = skua__clock_wall_s();
    if (peer && skua__certificate_equal(&peer->certificate, certificate)) {
        return skua__certificate_check_time(certificate, now_s);
    }
    return skua__certificate_verify(certificate, node->credentials.fleet_public, now_s);
}

/* ---- Actions ---- */

static skua_leave_reason
public_reason(skua__leave_reason reason) {
    switch (reason) {
    case SKUA__LEAVE_GONE:
        return SKUA_LEAVE_GONE;
    case SKUA__LEAVE_SILENT:
        return SKUA_LEAVE_SILENT;
    case SKUA__LEAVE_BYE:
        return SKUA_LEAVE_BYE;
    case SKUA__LEAVE_RESTARTED:
        return SKUA_LEAVE_RESTARTED;
    case SKUA__LEAVE_UNREACHABLE:
        return SKUA_LEAVE_UNREACHABLE;
    case SKUA__LEAVE_CUT:
        return SKUA_LEAVE_EXPIRED;
    case SKUA__LEAVE_NONE:
    case SKUA__LEAVE_REASONS:
        break;
    }
    return SKUA_LEAVE_NONE;
}

static void
use_link(skua__peer *peer, uint32_t number) {
    skua__clink *link = skua__clink_find(peer->node, number);
    peer->link = link;
    peer->introduce = false;
    if (peer->dial == link) {
        peer->dial = NULL; /* the dial is over: it became the link */
    }
    if (link) {
        skua__mutex_lock(&peer->node->lock);
        peer->protocol = link->version;
        skua__mutex_unlock(&peer->node->lock);
        /* After a change of links too: what went over the earlier one may be lost with it. */
        skua__clink_send_record(link);
        skua__clink_send_peers(link);
    }
}

static void
do_join(skua__peer *peer, const skua__peer_action *action) {
    skua_node *node = peer->node;
    skua__count(node, SKUA__COUNTER(peers_joined));
    skua__mutex_lock(&node->lock);
    peer->joined = true;
    peer->incarnation = action->incarnation;
    peer->state = peer->fsm.state;
    node->joined_count++;
    skua__metric_set(&node->metrics, SKUA_M_NODE_PEERS, (int64_t)node->joined_count);
    skua__cond_broadcast(&node->changed);
    skua__mutex_unlock(&node->lock);
    use_link(peer, action->link);
    skua__logf(node, SKUA_LOG_INFO, "\"%s\" joined from %s", skua__peer_name(peer), peer->host);
    skua__events_tell(node, SKUA_NODE_JOIN, SKUA_LEAVE_NONE, peer);
    if (peer->has_record) {
        skua__services_changed(node, peer, peer->incarnation, NULL, &peer->record);
    }
}

static void
do_leave(skua__peer *peer, const skua__peer_action *action) {
    skua_node *node = peer->node;
    skua__record record;
    bool had_record = peer->has_record;
    skua__mutex_lock(&node->lock);
    record = peer->record;
    peer->has_record = false;
    peer->joined = false;
    peer->state = peer->fsm.state;
    node->joined_count--;
    skua__metric_set(&node->metrics, SKUA_M_NODE_PEERS, (int64_t)node->joined_count);
    skua__cond_broadcast(&node->changed);
    skua__mutex_unlock(&node->lock);
    skua_leave_reason reason = public_reason(action->reason);
    skua__count(node, SKUA__COUNTER(peers_left));
    skua__logf(node, SKUA_LOG_INFO, "\"%s\" left: %s", skua__peer_name(peer),
               skua__leave_reason_text(action->reason));
    if (had_record) {
        skua__services_changed(node, peer, action->incarnation, &record, NULL);
        skua__record_fini(&record);
    }
    skua__listeners_left(node, &peer->uuid, action->incarnation);
    skua__events_tell(node, SKUA_NODE_LEAVE, reason, peer);
}

static void
dial_now(void *arg) {
    skua__peer *peer = arg;
    if (skua__dial_limiter_ask(&peer->node->limiter, &peer->dial_slot)) {
        skua__clink_dial(peer);
    }
}

/*
 * Of two nodes that hear each other the lower dials; the other steps in when that takes too long. While many join at once
 * everything takes long, and stepping in would double the work (of 24 nodes that start together: 490 dials for 276 links).
 * So the more newcomers there are, the longer the other is waited for.
 */
static int64_t
hold_ms(const skua__peer *peer) {
    const skua_node *node = peer->node;
    bool mutual = peer->via == SKUA_VIA_BEACON && peer->window.sequence > 0;
    if (peer->fsm.lower || peer->joined || peer->fsm.dialler.failures || !mutual) {
        return 0;
    }
    int64_t newcomers = (int64_t)(node->peers.count - node->joined_count);
    int64_t wanted_ms = newcomers * SKUA__HOLD_NEWCOMER_MS;
    return wanted_ms < SKUA__HOLD_MAX_MS ? wanted_ms : SKUA__HOLD_MAX_MS;
}

static void
do_dial(skua__peer *peer) {
    int64_t wait_ms = hold_ms(peer);
    if (wait_ms && (peer->hold || !skua__host_source_new(&peer->node->host, -1, dial_now, peer,
                                                         &peer->hold, NULL))) {
        skua__node_source_arm(peer->hold, false, skua__clock_ns() + wait_ms * SKUA_NS_PER_MS);
    } else {
        dial_now(peer);
    }
}

static void
do_dial_end(skua__peer *peer) {
    skua_node *node = peer->node;
    if (peer->hold) {
        skua__node_source_arm(peer->hold, false, SKUA_NEVER_NS);
    }
    if (peer->dial) {
        skua__clink_free(peer->dial);
        peer->dial = NULL;
    }
    skua__dial_slot *next = skua__dial_limiter_done(&node->limiter, &peer->dial_slot);
    if (next && !node->stopping) {
        skua__clink_dial(SKUA_CONTAINER_OF(next, skua__peer, dial_slot));
    }
}

static void
do_close(skua__peer *peer, uint32_t number) {
    skua__clink *link = skua__clink_find(peer->node, number);
    if (link) {
        if (!link->outgoing) {
            skua__clink_refuse(link, SKUA_E_CLOSED, "another link is in use");
        }
        skua__clink_free(link);
    }
}

static void
carry_out(skua__peer *peer, const skua__peer_action *action) {
    skua_node *node = peer->node;
    skua__clink *link;
    switch (action->kind) {
    case SKUA__PEER_DO_DIAL:
        do_dial(peer);
        break;
    case SKUA__PEER_DO_DIAL_END:
        if (peer->dial && peer->dial->up) {
            peer->dial = NULL;
        }
        do_dial_end(peer);
        break;
    case SKUA__PEER_DO_CLOSE:
        do_close(peer, action->link);
        break;
    case SKUA__PEER_DO_PING:
        link = skua__clink_find(node, action->link);
        if (link) {
            skua__clink_ping(link);
        }
        break;
    case SKUA__PEER_DO_PROBE:
        skua__control_probe(peer, action->link);
        break;
    case SKUA__PEER_DO_BEACON:
        skua__beacon_soon(node, SKUA__BEACON_PROBE);
        break;
    case SKUA__PEER_DO_JOIN:
        do_join(peer, action);
        break;
    case SKUA__PEER_DO_LINK:
        use_link(peer, action->link);
        break;
    case SKUA__PEER_DO_SUSPECT:
        skua__count(node, SKUA__COUNTER(peers_suspected));
        skua__events_tell(node, SKUA_NODE_SUSPECT, SKUA_LEAVE_NONE, peer);
        break;
    case SKUA__PEER_DO_ALIVE:
        skua__events_tell(node, SKUA_NODE_ALIVE, SKUA_LEAVE_NONE, peer);
        break;
    case SKUA__PEER_DO_LEAVE:
        do_leave(peer, action);
        break;
    case SKUA__PEER_DO_FORGET:
        peer->forgotten = true;
        break;
    }
}

/* ---- Feeding ---- */

static void
step(skua__peer *peer, const skua__peer_event *event) {
    skua_node *node = peer->node;
    int64_t now_ns = skua__lived_now(&node->lived, skua__clock_ns());
    skua__peer_actions actions;
    skua__peer_step(&peer->fsm, event, now_ns, &actions);
    skua__flight_entry entry = {.kind = SKUA__FLIGHT_STEP,
                                .now_ns = now_ns,
                                .uuid = peer->uuid,
                                .event = *event,
                                .after = peer->fsm.state,
                                .actions = skua__flight_digest(&actions)};
    skua__recorder_add(node, &entry);
    for (size_t i = 0; i < actions.count; i++) {
        carry_out(peer, &actions.items[i]);
    }
    skua__mutex_lock(&node->lock);
    peer->state = peer->fsm.state;
    if (!peer->joined) {
        peer->incarnation = peer->fsm.incarnation;
    }
    skua__mutex_unlock(&node->lock);
}

static void
settle(skua__peer *peer) {
    if (peer->forgotten) {
        peer_free(peer);
        return;
    }
    int64_t at_ns = skua__lived_to_clock(&peer->node->lived, peer->fsm.wake_ns);
    skua__node_source_arm(peer->timer, false, at_ns);
}

void
skua__peer_feed(skua__peer *peer, skua__peer_event event) {
    skua_node *node = peer->node;
    if (event.kind == SKUA__PEER_SEEN || event.kind == SKUA__PEER_HEARD ||
        event.kind == SKUA__PEER_LINK_UP) {
        skua__mutex_lock(&node->lock);
        peer->heard_ns = skua__clock_ns();
        skua__mutex_unlock(&node->lock);
    }
    if (peer->event_count == SKUA__PEER_EVENTS_WAITING || node->stopping) {
        return; /* the machine's own timers recover from any event that is missing */
    }
    peer->events[peer->event_count++] = event;
    if (skua__list_empty(&peer->ready)) {
        skua__list_push_back(&node->ready, &peer->ready);
    }
    if (node->stepping) {
        return;
    }
    node->stepping = true;
    for (skua__list *at; (at = skua__list_pop_front(&node->ready)) != NULL;) {
        skua__peer *ready = SKUA_CONTAINER_OF(at, skua__peer, ready);
        while (ready->event_count && !ready->forgotten) {
            skua__peer_event next = ready->events[0];
            ready->event_count--;
            memmove(&ready->events[0], &ready->events[1],
                    ready->event_count * sizeof ready->events[0]);
            step(ready, &next);
        }
        settle(ready);
    }
    node->stepping = false;
}

/* ---- All of them ---- */

/* Collects up to `max` peers for which pick() holds: nothing may be taken out of the table while it is walked. */
void
skua__peers_sweep(skua_node *node) {
    enum { BATCH = 32 };
    skua__peer *expired[BATCH];
    size_t count = 0, position = 0;
    int64_t now_s = skua__clock_wall_s();
    for (skua__peer *peer; (peer = skua__hash_next(&node->peers, &position)) != NULL;) {
        if (count < BATCH && peer->admission &&
            skua__certificate_check_time(&peer->certificate, now_s) != SKUA__CERTIFICATE_OK) {
            expired[count++] = peer;
        }
    }
    for (size_t i = 0; i < count; i++) {
        skua__mutex_lock(&node->lock);
        skua__admission *admission = expired[i]->admission;
        expired[i]->admission = NULL;
        skua__mutex_unlock(&node->lock);
        skua__zap_release(&node->zap, admission);
        skua__peer_feed(expired[i], (skua__peer_event){.kind = SKUA__PEER_CUT});
    }
}

void
skua__peers_fini(skua_node *node) {
    for (;;) {
        size_t position = 0;
        skua__peer *peer = skua__hash_next(&node->peers, &position);
        if (!peer) {
            break;
        }
        peer_free(peer);
    }
    skua__mutex_lock(&node->lock); /* handles that are still open may look */
    skua__hash_fini(&node->peers);
    skua__mutex_unlock(&node->lock);
}
