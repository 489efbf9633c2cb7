// SPDX-License-Identifier: MPL-2.0
// What a simulated node sends: control frames and beacons, made by the real codecs.
#include "sim.h"

#include <skua-int/record.h>

enum { FRAME_MAX = 4096 };

void
sim_send_control(sim_world *world, uint32_t n, uint32_t conn, const skua__control *control) {
    uint8_t bytes[FRAME_MAX];
    size_t size = skua__control_encode(control, bytes, sizeof bytes);
    if (!size) {
        sim_fail(world, "a control frame of type %d does not encode", control->type);
        return;
    }
    sim_send(world, conn, n, bytes, size);
}

void
sim_send_hello(sim_world *world, uint32_t n, uint32_t conn) {
    const sim_node *node = &world->nodes[n];
    int side = world->conns[conn].node[1] == n;
    if (world->conns[conn].hello_sent[side]) {
        return;
    }
    world->conns[conn].hello_sent[side] = true;
    skua__control hello = {.type = SKUA__CONTROL_HELLO,
                           .hello = {.version_min = node->version_min,
                                     .version_max = node->version_max,
                                     .uuid = node->uuid,
                                     .incarnation = node->incarnation,
                                     .serial = node->certificate.serial,
                                     .control_port = node->port,
                                     .introduction_port = 1,
                                     .record_version = 1}};
    sim_send_control(world, n, conn, &hello);
}

void
sim_send_ping(sim_world *world, uint32_t n, uint32_t conn) {
    skua__control ping = {.type = SKUA__CONTROL_PING,
                          .version = 1,
                          .ping = {.id = world->steps, .sent_ns = world->now_ns}};
    sim_send_control(world, n, conn, &ping);
}

void
sim_send_record(sim_world *world, uint32_t n, uint32_t conn) {
    skua__record record;
    skua__record_init(&record, NULL);
    record.version = 1;
    snprintf(record.name, sizeof record.name, "%s", world->nodes[n].certificate.name);
    skua__service service = {.kind = SKUA__SERVICE_PUB, .name = "weather", .port = 5000};
    uint8_t bytes[512];
    size_t size = 0;
    if (skua__record_add_service(&record, &service) == SKUA_OK) {
        size = skua__record_encode(&record, bytes, sizeof bytes);
    }
    skua__record_fini(&record);
    skua__control control = {.type = SKUA__CONTROL_RECORD, .version = 1, .record = {bytes, size}};
    sim_send_control(world, n, conn, &control);
}

/* Tells the peer at that link of one member, or of all (about == node_count). */
void
sim_send_peers(sim_world *world, uint32_t n, uint32_t conn, uint32_t about) {
    sim_node *node = &world->nodes[n];
    uint8_t entries[FRAME_MAX];
    size_t used = 0;
    uint16_t count = 0;
    for (uint32_t p = 0; p < world->node_count; p++) {
        bool wanted = about == world->node_count || about == p;
        if (!wanted || !node->peers[p].exists || !skua__peer_joined(&node->peers[p].fsm)) {
            continue;
        }
        skua__peer_entry entry = {.uuid = world->nodes[p].uuid,
                                  .incarnation = node->peers[p].fsm.incarnation,
                                  .address = {.family = 4, .bytes = {10, 0, 0, (uint8_t)p}},
                                  .control_port = node->peers[p].port,
                                  .introduction_port = 1,
                                  .certificate = world->nodes[p].certificate};
        count += skua__peers_append(entries, sizeof entries, &used, &entry);
    }
    skua__control control = {.type = SKUA__CONTROL_PEERS,
                             .version = 1,
                             .peers = {.count = count, .entries = {entries, used}}};
    sim_send_control(world, n, conn, &control);
}

void
sim_beacon_to(sim_world *world, uint32_t n, uint32_t to, uint8_t flags) {
    sim_node *node = &world->nodes[n];
    skua__beacon beacon = {.flags = flags,
                           .uuid = node->uuid,
                           .incarnation = node->incarnation,
                           .sequence = ++node->sequence,
                           .control_port = node->port,
                           .introduction_port = 1,
                           .record_version = 1,
                           .certificate = node->certificate};
    uint8_t bytes[SKUA__BEACON_MAX];
    size_t size = skua__beacon_encode(&beacon, &world->key, bytes, sizeof bytes);
    for (uint32_t p = 0; p < world->node_count; p++) {
        if (p != n && (to == p || to == world->node_count)) {
            sim_datagram(world, n, p, bytes, size);
        }
    }
}
