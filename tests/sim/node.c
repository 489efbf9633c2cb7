// SPDX-License-Identifier: MPL-2.0
// A simulated node: it drives lib/proto's machines with the virtual network, in the way in which lib/net drives them with
// sockets, and tells the checker what a user would be told.
#include "sim.h"

#include <skua-int/flight.h>

#include <assert.h>
#include <stdlib.h>

static const int64_t MS = SKUA_NS_PER_MS;
enum { BEACON_GAP_MS = 50 };

static void run(sim_world *world, uint32_t n);
static void feed(sim_world *world, uint32_t n, uint32_t p, skua__peer_event event);

static void
wake(sim_world *world, uint32_t n, uint32_t life, void *payload) {
    (void)payload;
    sim_node *node = &world->nodes[n];
    if (node->life == life && node->wake_ns <= world->now_ns) {
        node->wake_ns = SKUA_NEVER_NS;
        run(world, n);
    }
}

static void
wake_at(sim_world *world, uint32_t n, int64_t at_ns) {
    sim_node *node = &world->nodes[n];
    if (at_ns < node->wake_ns) {
        node->wake_ns = at_ns;
        sim_at(world, at_ns, wake, n, node->life, NULL);
    }
}

static int64_t
lived(sim_world *world, uint32_t n) {
    return skua__lived_now(&world->nodes[n].lived, world->now_ns);
}

/* ---- Recording ---- */

static void
record_entry(sim_node *node, const skua__flight_entry *entry) {
    if (node->flight_used + SKUA__FLIGHT_ENTRY_BYTES <= node->flight_size) {
        skua__flight_entry_encode(entry, node->flight + node->flight_used);
        node->flight_used += SKUA__FLIGHT_ENTRY_BYTES;
    }
}

static void
begin_recording(sim_world *world, sim_node *node) {
    enum { ENTRIES = 200000 };
    if (!world->options.record) {
        return;
    }
    if (!node->flight) {
        node->flight_size = SKUA__FLIGHT_HEADER_BYTES + (size_t)ENTRIES * SKUA__FLIGHT_ENTRY_BYTES;
        node->flight = malloc(node->flight_size);
    }
    if (!node->flight) {
        sim_fail(world, "no memory");
        node->flight_size = 0;
        return;
    }
    skua__flight_header header = {.self = node->uuid,
                                  .incarnation = node->incarnation,
                                  .heartbeat_ns = world->heartbeat_ns,
                                  .seed = node->config.seed};
    skua__flight_header_encode(&header, node->flight);
    node->flight_used = SKUA__FLIGHT_HEADER_BYTES;
}

/* ---- Peers ---- */

static uint32_t
index_of(const sim_world *world, const skua__uuid *uuid) {
    uint32_t i = 0;
    while (i < world->node_count && !skua__uuid_equal(&world->nodes[i].uuid, uuid)) {
        i++;
    }
    return i;
}

static sim_peer *
peer_of(sim_world *world, uint32_t n, uint32_t p) {
    sim_node *node = &world->nodes[n];
    sim_peer *peer = &node->peers[p];
    if (!peer->exists) {
        bool is_static = !world->has_udp && (p == 0 || n == 0);
        int64_t now_ns = lived(world, n);
        skua__peer_init(&peer->fsm, &node->config, &world->nodes[p].uuid, is_static, now_ns);
        skua__dial_slot_init(&peer->slot);
        peer->exists = true;
        skua__flight_entry entry = {.kind = SKUA__FLIGHT_PEER,
                                    .now_ns = now_ns,
                                    .uuid = world->nodes[p].uuid,
                                    .is_static = is_static};
        record_entry(node, &entry);
    }
    return peer;
}

/* What the process has just looked at is a sign of life of that peer. */
static void
note_life(sim_world *world, uint32_t n, uint32_t p, bool on_link) {
    sim_peer *peer = &world->nodes[n].peers[p];
    peer->life_real_ns = world->now_ns;
    peer->life_stopped_ns = world->nodes[n].stopped_ns;
    if (on_link) {
        peer->link_life_ns = lived(world, n);
    }
}

/* ---- Sending ---- */

static void
beacon_to_all(sim_world *world, uint32_t n, uint8_t flags) {
    sim_node *node = &world->nodes[n];
    int64_t now_ns = lived(world, n);
    if (!world->has_udp) {
        return;
    }
    sim_beacon_to(world, n, world->node_count, flags);
    node->last_beacon_ns = now_ns;
    int64_t spread_us = world->heartbeat_ns / 1000 / 10;
    node->beacon_ns =
        now_ns + world->heartbeat_ns - skua__rand_below(&world->rand, (uint32_t)spread_us) * 1000;
}

/* At once, but never more than 20 a second. */
static void
beacon_soon(sim_world *world, uint32_t n) {
    sim_node *node = &world->nodes[n];
    int64_t at_ns = node->last_beacon_ns + BEACON_GAP_MS * MS;
    if (at_ns < node->beacon_ns) {
        node->beacon_ns = at_ns;
    }
}

/* ---- Actions ---- */

static void
start_dial(sim_world *world, uint32_t n, uint32_t p) {
    sim_peer *peer = &world->nodes[n].peers[p];
    peer->dial_conn = sim_dial(world, n, p, peer->port);
    sim_log(world, "%u dials %u: conn %u", n, p, peer->dial_conn);
    feed(world, n, p,
         (skua__peer_event){.kind = SKUA__PEER_DIAL_STARTED,
                            .link = sim_link(world, peer->dial_conn, n)});
}

static void
end_dial(sim_world *world, uint32_t n, uint32_t p) {
    sim_node *node = &world->nodes[n];
    sim_peer *peer = &node->peers[p];
    uint32_t conn = peer->dial_conn;
    peer->dial_conn = 0;
    if (conn && !world->conns[conn].counted) {
        sim_close(world, conn, n);
    }
    skua__dial_slot *next = skua__dial_limiter_done(&node->limiter, &peer->slot);
    if (next) {
        sim_peer *promoted = SKUA_CONTAINER_OF(next, sim_peer, slot);
        start_dial(world, n, (uint32_t)(promoted - node->peers));
    }
}

/* What a new link begins with. */
static void
tell_all(sim_world *world, uint32_t n, uint32_t conn) {
    sim_send_record(world, n, conn);
    sim_send_peers(world, n, conn, world->node_count);
}

static void
told_join(sim_world *world, uint32_t n, uint32_t p, const skua__peer_action *action) {
    sim_node *node = &world->nodes[n];
    sim_log(world, "%u: JOIN %u, incarnation %llu, link %u", n, p,
            (unsigned long long)action->incarnation, action->link);
    sim_check_join(world, n, p, action->incarnation);
    tell_all(world, n, action->link / 2);
    for (uint32_t other = 0; other < world->node_count; other++) {
        const sim_peer *member = &node->peers[other];
        if (other != p && member->exists && member->fsm.link) {
            sim_send_peers(world, n, member->fsm.link / 2, p);
        }
    }
}

static void
carry_out(sim_world *world, uint32_t n, uint32_t p, const skua__peer_action *action) {
    sim_node *node = &world->nodes[n];
    sim_peer *peer = &node->peers[p];
    switch (action->kind) {
    case SKUA__PEER_DO_DIAL:
        if (skua__dial_limiter_ask(&node->limiter, &peer->slot)) {
            start_dial(world, n, p);
        }
        if (node->limiter.active > world->dials_max) {
            sim_fail(world, "node %u has %u dials at a time", n, node->limiter.active);
        }
        break;
    case SKUA__PEER_DO_DIAL_END:
        end_dial(world, n, p);
        break;
    case SKUA__PEER_DO_CLOSE:
        sim_log(world, "%u closes link %u to %u", n, action->link, p);
        sim_close(world, action->link / 2, n);
        break;
    case SKUA__PEER_DO_PING:
        sim_send_ping(world, n, action->link / 2);
        break;
    case SKUA__PEER_DO_PROBE:
        sim_probe(world, n, p, peer->port, action->link);
        break;
    case SKUA__PEER_DO_BEACON:
        if (world->has_udp) {
            sim_beacon_to(world, n, p, SKUA__BEACON_PROBE);
        }
        break;
    case SKUA__PEER_DO_JOIN:
        told_join(world, n, p, action);
        break;
    case SKUA__PEER_DO_LINK:
        sim_log(world, "%u: link %u to %u now", n, action->link, p);
        tell_all(world, n, action->link / 2);
        break;
    case SKUA__PEER_DO_SUSPECT:
    case SKUA__PEER_DO_ALIVE:
        sim_log(world, "%u: %s %u", n, skua__peer_action_text(action->kind), p);
        sim_check_suspicion(world, n, p, action->kind == SKUA__PEER_DO_SUSPECT);
        break;
    case SKUA__PEER_DO_LEAVE:
        sim_log(world, "%u: LEAVE %u, %s", n, p, skua__leave_reason_text(action->reason));
        sim_check_leave(world, n, p, action->reason, action->incarnation, lived(world, n));
        break;
    case SKUA__PEER_DO_FORGET:
        sim_log(world, "%u forgets %u", n, p);
        peer->exists = false;
        break;
    }
}

/* One step of one machine, with all that follows from it. */
static void
feed(sim_world *world, uint32_t n, uint32_t p, skua__peer_event event) {
    sim_node *node = &world->nodes[n];
    sim_peer *peer = peer_of(world, n, p);
    int64_t now_ns = lived(world, n);
    skua__peer_actions actions;
    skua__peer_step(&peer->fsm, &event, now_ns, &actions);
    world->steps++;
    skua__flight_entry entry = {.kind = SKUA__FLIGHT_STEP,
                                .now_ns = now_ns,
                                .uuid = peer->fsm.uuid,
                                .event = event,
                                .after = peer->fsm.state,
                                .actions = skua__flight_digest(&actions)};
    record_entry(node, &entry);
    sim_trace(world, (uint64_t)world->now_ns ^ entry.actions);
    for (size_t i = 0; i < actions.count; i++) {
        carry_out(world, n, p, &actions.items[i]);
    }
}

/* ---- What arrives ---- */

static void
take_datagram(sim_world *world, uint32_t n, const sim_packet *packet) {
    sim_node *node = &world->nodes[n];
    skua__beacon beacon;
    if (skua__beacon_decode(packet->bytes, packet->size, &world->fleet, &world->key, 1, &beacon) !=
        SKUA__BEACON_OK) {
        sim_fail(world, "a beacon does not decode");
        return;
    }
    uint32_t p = index_of(world, &beacon.uuid);
    sim_peer *known = &node->peers[p];
    if (!skua__beacon_window_check(&known->window, beacon.incarnation, beacon.sequence)) {
        return;
    }
    bool newcomer = !known->exists;
    sim_peer *peer = peer_of(world, n, p);
    peer->has_certificate = true;
    peer->port = beacon.control_port;
    skua__peer_event_kind kind =
        beacon.flags & SKUA__BEACON_BYE ? SKUA__PEER_BYE_HEARD : SKUA__PEER_SEEN;
    if (kind == SKUA__PEER_SEEN && beacon.incarnation == peer->incarnation) {
        note_life(world, n, p, false);
    }
    feed(world, n, p, (skua__peer_event){.kind = kind, .incarnation = beacon.incarnation});
    if (newcomer || beacon.flags & SKUA__BEACON_PROBE) {
        beacon_soon(world, n);
    }
}

/* The first frame of a connection. Returns false when the link is refused. */
static bool
take_hello(sim_world *world, uint32_t n, uint32_t conn, const skua__hello *hello) {
    sim_node *node = &world->nodes[n];
    uint32_t p = index_of(world, &hello->uuid);
    bool outgoing = world->conns[conn].node[0] == n;
    uint16_t version;
    if (skua__version_negotiate(node->version_min, node->version_max, hello, NULL, &version,
                                NULL) != SKUA_OK) {
        skua__control refuse = {.type = SKUA__CONTROL_REFUSE,
                                .refuse = {.status = SKUA_E_PROTOCOL_VERSION}};
        sim_send_control(world, n, conn, &refuse);
        if (outgoing) {
            feed(world, n, p,
                 (skua__peer_event){.kind = SKUA__PEER_DIAL_REJECTED,
                                    .link = sim_link(world, conn, n)});
        }
        sim_close(world, conn, n);
        return false;
    }
    sim_peer *peer = peer_of(world, n, p);
    if (outgoing) {
        world->conns[conn].counted = true;
    } else {
        peer->port = hello->control_port;
    }
    sim_send_hello(world, n, conn);
    if (hello->incarnation == peer->incarnation || !peer->joined) {
        note_life(world, n, p, false);
    }
    feed(world, n, p,
         (skua__peer_event){.kind = SKUA__PEER_LINK_UP,
                            .link = sim_link(world, conn, n),
                            .outgoing = outgoing,
                            .incarnation = hello->incarnation});
    if (peer->fsm.link == sim_link(world, conn, n)) {
        note_life(world, n, p, true);
    }
    return true;
}

static void
take_peers(sim_world *world, uint32_t n, skua__span entries) {
    skua__peer_entry entry;
    while (skua__peers_next(&entries, &entry)) {
        uint32_t p = index_of(world, &entry.uuid);
        if (p == n) {
            continue;
        }
        sim_peer *peer = peer_of(world, n, p);
        peer->has_certificate = true;
        if (!skua__peer_joined(&peer->fsm)) {
            peer->port = entry.control_port;
        }
        feed(world, n, p,
             (skua__peer_event){.kind = SKUA__PEER_TOLD, .incarnation = entry.incarnation});
    }
}

static void
take_frame(sim_world *world, uint32_t n, uint32_t conn, const sim_packet *packet) {
    int side = world->conns[conn].node[1] == n;
    uint32_t p = world->conns[conn].node[1 - side];
    uint32_t link = sim_link(world, conn, n);
    skua__control control;
    if (skua__control_decode(packet->bytes, packet->size, &control) != SKUA__CONTROL_OK) {
        sim_fail(world, "a control frame does not decode");
        return;
    }
    if (control.type == SKUA__CONTROL_HELLO) {
        take_hello(world, n, conn, &control.hello);
        return;
    }
    if (!world->nodes[n].peers[p].exists) {
        return;
    }
    if (control.type == SKUA__CONTROL_REFUSE) {
        feed(world, n, p, (skua__peer_event){.kind = SKUA__PEER_DIAL_REJECTED, .link = link});
        return;
    }
    note_life(world, n, p, world->nodes[n].peers[p].fsm.link == link);
    feed(world, n, p, (skua__peer_event){.kind = SKUA__PEER_HEARD, .link = link});
    switch (control.type) {
    case SKUA__CONTROL_PING:
        control.type = SKUA__CONTROL_PONG;
        sim_send_control(world, n, conn, &control);
        break;
    case SKUA__CONTROL_PONG:
        skua__rtt_sample(&world->nodes[n].peers[p].rtt, world->now_ns - control.ping.sent_ns);
        break;
    case SKUA__CONTROL_PEERS:
        take_peers(world, n, control.peers.entries);
        break;
    case SKUA__CONTROL_BYE:
        feed(world, n, p,
             (skua__peer_event){.kind = SKUA__PEER_BYE_HEARD,
                                .incarnation = control.bye.incarnation});
        break;
    default:
        break;
    }
}

static void
take_item(sim_world *world, uint32_t n, const sim_item *item) {
    const sim_conn *conn = item->conn ? &world->conns[item->conn] : NULL;
    uint32_t p = conn ? conn->node[conn->node[0] == n] : item->from;
    uint32_t link = conn ? sim_link(world, item->conn, n) : 0;
    bool exists = item->kind == SIM_ITEM_DATAGRAM || world->nodes[n].peers[p].exists;
    if (!exists && item->kind != SIM_ITEM_DATA) {
        return; /* it was forgotten meanwhile */
    }
    switch (item->kind) {
    case SIM_ITEM_DATAGRAM:
        take_datagram(world, n, item->packet);
        break;
    case SIM_ITEM_CONNECTED:
        feed(world, n, p, (skua__peer_event){.kind = SKUA__PEER_DIAL_CONNECTED, .link = link});
        sim_send_hello(world, n, item->conn);
        break;
    case SIM_ITEM_REFUSED:
        feed(world, n, p, (skua__peer_event){.kind = SKUA__PEER_DIAL_REFUSED, .link = link});
        break;
    case SIM_ITEM_DATA:
        if (!world->nodes[n].peers[p].has_certificate) {
            sim_close(world, item->conn, n); /* ZAP does not know this key yet */
        } else if (conn->open[conn->node[1] == n]) {
            take_frame(world, n, item->conn, item->packet);
        }
        break;
    case SIM_ITEM_CLOSED:
        feed(world, n, p, (skua__peer_event){.kind = SKUA__PEER_LINK_DOWN, .link = link});
        break;
    case SIM_ITEM_PROBED:
        feed(world, n, p, (skua__peer_event){.kind = item->probe, .link = item->number});
        break;
    }
}

/* ---- The loop ---- */

static bool
at_work(const sim_node *node) {
    return node->running && !node->paused;
}

static void
tick_all(sim_world *world, uint32_t n) {
    sim_node *node = &world->nodes[n];
    for (uint32_t p = 0; p < world->node_count; p++) {
        for (int turns = 0; node->peers[p].exists; turns++) {
            if (node->peers[p].fsm.wake_ns > lived(world, n)) {
                break;
            }
            if (turns > 100) {
                sim_fail(world, "node %u does not come to rest about %u in state %s", n, p,
                         skua__peer_state_text(node->peers[p].fsm.state));
                return;
            }
            feed(world, n, p, (skua__peer_event){.kind = SKUA__PEER_TICK});
        }
    }
}

static void
run(sim_world *world, uint32_t n) {
    sim_node *node = &world->nodes[n];
    if (!at_work(node) || node->inside) {
        return;
    }
    node->inside = true;
    /* A loop may look at its timers before its sockets, and after a stop both are due: nobody may be buried by that. */
    if (skua__rand_below(&world->rand, 2)) {
        tick_all(world, n);
    }
    while (node->inbox_count && !world->failed) {
        sim_item item = node->inbox[node->inbox_first];
        node->inbox_first = (node->inbox_first + 1) % SIM_INBOX_MAX;
        node->inbox_count--;
        take_item(world, n, &item);
        free(item.packet);
    }
    tick_all(world, n);
    if (lived(world, n) >= node->beacon_ns) {
        beacon_to_all(world, n, 0);
    }
    node->inside = false;
    int64_t next_ns = node->beacon_ns;
    for (uint32_t p = 0; p < world->node_count; p++) {
        if (node->peers[p].exists && node->peers[p].fsm.wake_ns < next_ns) {
            next_ns = node->peers[p].fsm.wake_ns;
        }
    }
    int64_t at_ns = skua__lived_to_clock(&node->lived, next_ns);
    int64_t tick_ns = world->now_ns + skua__lived_tick_ns(&node->lived);
    wake_at(world, n, at_ns < tick_ns ? at_ns : tick_ns);
}

void
sim_node_deliver(sim_world *world, uint32_t n, sim_item item) {
    sim_node *node = &world->nodes[n];
    if (!node->running || node->inbox_count == SIM_INBOX_MAX) {
        free(item.packet);
        return;
    }
    node->inbox[(node->inbox_first + node->inbox_count++) % SIM_INBOX_MAX] = item;
    run(world, n);
}

/* ---- Life and death ---- */

void
sim_node_start(sim_world *world, uint32_t n) {
    sim_node *node = &world->nodes[n];
    if (node->running) {
        return;
    }
    node->running = true;
    node->paused = node->stopping = node->host_down = node->inside = false;
    node->life++;
    node->incarnation = (uint64_t)world->now_ns;
    node->disturbed_ns = world->now_ns;
    /* Without UDP a node's address is written down somewhere: it comes back there. */
    uint32_t ports = world->has_udp ? SIM_PORTS : 1;
    node->port = (uint16_t)(1000 + skua__rand_below(&world->rand, ports));
    node->sequence = 0;
    node->wake_ns = SKUA_NEVER_NS;
    memset(node->peers, 0, sizeof node->peers);
    skua__lived_init(&node->lived, world->heartbeat_ns, world->now_ns);
    node->config = (skua__peer_config){.self = node->uuid,
                                       .heartbeat_ns = world->heartbeat_ns,
                                       .seed = skua__rand_next(&world->rand)};
    skua__dial_limiter_init(&node->limiter, world->dials_max);
    node->last_beacon_ns = 0;
    node->beacon_ns = world->has_udp ? lived(world, n) : SKUA_NEVER_NS;
    begin_recording(world, node);
    sim_log(world, "%u starts, incarnation %llu, port %u", n, (unsigned long long)node->incarnation,
            node->port);
    if (!world->has_udp) {
        for (uint32_t p = 1; p < world->node_count; p++) {
            sim_node_introduce(world, n, n == 0 ? p : 0);
        }
    }
    run(world, n);
}

/* A static peer: the introduction, which gives each the other's certificate, is taken as done on both sides. */
void
sim_node_introduce(sim_world *world, uint32_t n, uint32_t p) {
    sim_peer *peer = peer_of(world, n, p);
    peer->has_certificate = true;
    peer->port = 1000;
    feed(world, n, p, (skua__peer_event){.kind = SKUA__PEER_TOLD});
}

static void
check_later(sim_world *world, uint32_t n, uint32_t b, void *payload) {
    (void)b;
    (void)payload;
    sim_check_killed(world, n, world->now_ns - 200 * MS);
}

void
sim_node_kill(sim_world *world, uint32_t n, bool with_host) {
    sim_node *node = &world->nodes[n];
    if (!node->running) {
        return;
    }
    sim_log(world, "%u is killed%s", n, with_host ? " with its machine" : "");
    node->host_down = with_host;
    sim_process_ends(world, n, with_host);
    node->running = node->paused = false;
    node->died_ns = world->now_ns;
    node->died_by_kill = !with_host;
    node->port_closes_ns =
        world->now_ns + (with_host ? 0 : skua__rand_below(&world->rand, 30)) * MS;
    while (node->inbox_count) {
        free(node->inbox[node->inbox_first].packet);
        node->inbox_first = (node->inbox_first + 1) % SIM_INBOX_MAX;
        node->inbox_count--;
    }
    if (!with_host) {
        sim_at(world, world->now_ns + 200 * MS, check_later, n, 0, NULL);
    }
}

/* What a node says when it stops. */
void
sim_node_say_bye(sim_world *world, uint32_t n) {
    sim_node *node = &world->nodes[n];
    skua__control bye = {
        .type = SKUA__CONTROL_BYE, .version = 1, .bye = {.incarnation = node->incarnation}};
    for (uint32_t p = 0; p < world->node_count; p++) {
        if (node->peers[p].exists && node->peers[p].fsm.link) {
            sim_send_control(world, n, node->peers[p].fsm.link / 2, &bye);
        }
    }
    if (world->has_udp) {
        sim_beacon_to(world, n, world->node_count, SKUA__BEACON_BYE);
    }
}

static void
finish_stop(sim_world *world, uint32_t n, uint32_t life, void *payload) {
    (void)payload;
    if (world->nodes[n].life == life) {
        sim_node_kill(world, n, false);
    }
}

void
sim_node_stop(sim_world *world, uint32_t n) {
    sim_node *node = &world->nodes[n];
    if (!at_work(node) || node->stopping) {
        return;
    }
    sim_log(world, "%u stops", n);
    node->stopping = true;
    sim_node_say_bye(world, n);
    sim_at(world, world->now_ns + skua__rand_below(&world->rand, 100) * MS, finish_stop, n,
           node->life, NULL);
}

void
sim_node_pause(sim_world *world, uint32_t n, bool pause) {
    sim_node *node = &world->nodes[n];
    if (!node->running || node->paused == pause) {
        return;
    }
    sim_log(world, "%u is %s", n, pause ? "stopped (SIGSTOP)" : "continued (SIGCONT)");
    node->paused = pause;
    int64_t stopped_ns = world->now_ns - node->disturbed_ns;
    if (!pause && stopped_ns > world->heartbeat_ns) {
        /* A shorter stop it need not notice, and of a longer one it may count the time between two ticks. */
        node->stopped_ns += stopped_ns - world->heartbeat_ns / 4;
    }
    node->disturbed_ns = world->now_ns;
    if (!pause) {
        run(world, n);
    }
}
