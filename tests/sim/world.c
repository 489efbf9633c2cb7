// SPDX-License-Identifier: MPL-2.0
// The virtual clock (a heap of events) and the virtual network: datagrams, streams, probes, loss, delay and cuts.
#include "sim.h"

#include <skua-int/mem.h>

#include <assert.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>

static const int64_t MS = SKUA_NS_PER_MS;

/* A simulation without memory is of no use: it ends. */
static void *
must(void *block) {
    if (!block) {
        fprintf(stderr, "sim: no memory\n");
        exit(2);
    }
    return block;
}

/* ---- The world ---- */

static void
make_fleet(sim_world *world) {
    uint8_t seed[crypto_sign_SEEDBYTES] = {7}, public_key[SKUA_KEY_BYTES];
    uint8_t secret_key[SKUA__FLEET_SECRET_BYTES];
    crypto_sign_seed_keypair(public_key, secret_key, seed);
    world->fleet = skua__fleet_tag_of(public_key);
    skua__beacon_key_derive(secret_key, 1, &world->key);
    for (uint32_t i = 0; i < world->node_count; i++) {
        skua__certificate *certificate = &world->nodes[i].certificate;
        *certificate = (skua__certificate){
            .roles = SKUA__ROLE_ALL, .serial = i + 1, .issued_s = 1, .expires_s = INT32_MAX};
        snprintf(certificate->name, sizeof certificate->name, "node-%u", i);
        certificate->curve_key[0] = (uint8_t)i;
        if (!skua__certificate_sign(certificate, secret_key)) {
            sim_fail(world, "cannot sign");
        }
    }
}

void
sim_world_init(sim_world *world, const sim_options *options, uint32_t node_count) {
    *world = (sim_world){.options = *options,
                         .rand = {.state = options->seed},
                         .now_ns = 1000 * SKUA_NS_PER_S,
                         .heartbeat_ns = SKUA_NS_PER_S,
                         .dials_max = SKUA__DIALS_MAX,
                         .has_udp = true,
                         .node_count = node_count,
                         .delay_min_ns = MS / 20,
                         .delay_max_ns = MS,
                         .conn_count = 1,
                         .conn_capacity = 64};
    assert(node_count <= SIM_NODES_MAX);
    world->nodes = must(calloc(node_count, sizeof *world->nodes));
    world->conns = must(calloc(world->conn_capacity, sizeof *world->conns));
    for (uint32_t i = 0; i < node_count; i++) {
        sim_node *node = &world->nodes[i];
        uint8_t random[16];
        for (size_t k = 0; k < sizeof random; k++) {
            random[k] = (uint8_t)skua__rand_next(&world->rand);
        }
        node->uuid = skua__uuid_of_random(random);
        node->version_min = node->version_max = 1;
        for (uint32_t k = 0; k < node_count; k++) {
            world->cut_since_ns[i][k] = SKUA_NEVER_NS;
        }
    }
    make_fleet(world);
}

void
sim_world_fini(sim_world *world) {
    for (size_t i = 0; i < world->event_count; i++) {
        free(world->events[i].payload);
    }
    free(world->events);
    for (uint32_t i = 1; i < world->conn_count; i++) {
        for (int side = 0; side < 2; side++) {
            for (sim_packet *packet = world->conns[i].way[side].head, *next; packet;
                 packet = next) {
                next = packet->next;
                free(packet);
            }
        }
    }
    free(world->conns);
    for (uint32_t i = 0; i < world->node_count; i++) {
        sim_node *node = &world->nodes[i];
        for (uint32_t k = 0; k < node->inbox_count; k++) {
            free(node->inbox[(node->inbox_first + k) % SIM_INBOX_MAX].packet);
        }
        free(node->flight);
    }
    free(world->nodes);
}

void
sim_trace(sim_world *world, uint64_t value) {
    skua__rand mix = {.state = world->trace ^ value};
    world->trace = skua__rand_next(&mix);
}

void
sim_fail(sim_world *world, const char *format, ...) {
    if (world->failed) {
        return;
    }
    world->failed = true;
    va_list args;
    va_start(args, format);
    int used = snprintf(world->failure, sizeof world->failure,
                        "at %.3f s: ", (double)world->now_ns / 1e9 - 1000);
    vsnprintf(world->failure + used, sizeof world->failure - (size_t)used, format, args);
    va_end(args);
    if (world->options.log) {
        printf("FAILED %s\n", world->failure);
    }
}

void
sim_log(sim_world *world, const char *format, ...) {
    if (!world->options.log) {
        return;
    }
    va_list args;
    va_start(args, format);
    printf("%10.3f ms  ", (double)world->now_ns / 1e6 - 1e6);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

/* ---- The clock ---- */

static bool
before(const sim_event *a, const sim_event *b) {
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void
sim_at(sim_world *world, int64_t at_ns, sim_fn *fn, uint32_t a, uint32_t b, void *payload) {
    if (world->event_count == world->event_capacity) {
        world->event_capacity = world->event_capacity ? world->event_capacity * 2 : 256;
        world->events = must(realloc(world->events, world->event_capacity * sizeof *world->events));
    }
    sim_event event = {.at_ns = at_ns > world->now_ns ? at_ns : world->now_ns,
                       .order = world->order++,
                       .fn = fn,
                       .a = a,
                       .b = b,
                       .payload = payload};
    size_t at = world->event_count++;
    while (at > 0 && before(&event, &world->events[(at - 1) / 2])) {
        world->events[at] = world->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->events[at] = event;
}

static sim_event
pop_event(sim_world *world) {
    sim_event first = world->events[0], last = world->events[--world->event_count];
    size_t at = 0, count = world->event_count;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) {
            break;
        }
        child += child + 1 < count && before(&world->events[child + 1], &world->events[child]);
        if (!before(&world->events[child], &last)) {
            break;
        }
        world->events[at] = world->events[child];
        at = child;
    }
    if (count) {
        world->events[at] = last;
    }
    return first;
}

void
sim_run_until(sim_world *world, int64_t until_ns) {
    while (!world->failed && world->event_count && world->events[0].at_ns <= until_ns) {
        sim_event event = pop_event(world);
        world->now_ns = event.at_ns;
        event.fn(world, event.a, event.b, event.payload);
    }
    if (!world->failed) {
        world->now_ns = until_ns;
    }
}

/* ---- The network ---- */

void
sim_cut(sim_world *world, uint32_t a, uint32_t b, bool cut) {
    world->cut[a][b] = world->cut[b][a] = cut;
    int64_t since_ns = cut ? world->now_ns : SKUA_NEVER_NS;
    if (!cut || world->cut_since_ns[a][b] == SKUA_NEVER_NS) {
        world->cut_since_ns[a][b] = world->cut_since_ns[b][a] = since_ns;
    }
    world->disturbed_ns = world->now_ns;
}

/* Does a packet sent now arrive? */
static bool
arrives(sim_world *world, uint32_t from, uint32_t to) {
    world->packets++;
    bool lost = skua__rand_below(&world->rand, 1000) < world->loss_permille;
    return !lost && !world->cut[from][to] && !world->nodes[to].host_down &&
           !world->nodes[from].host_down;
}

static int64_t
delay_ns(sim_world *world) {
    int64_t spread_us = (world->delay_max_ns - world->delay_min_ns) / 1000;
    return world->delay_min_ns + skua__rand_below(&world->rand, (uint32_t)spread_us + 1) * 1000;
}

static sim_packet *
packet_new(const void *bytes, size_t size) {
    sim_packet *packet = must(calloc(1, sizeof *packet + size));
    packet->size = size;
    if (size) {
        memcpy(packet->bytes, bytes, size);
    }
    return packet;
}

static void
datagram_arrives(sim_world *world, uint32_t to, uint32_t from, void *payload) {
    (void)from;
    sim_node_deliver(world, to, (sim_item){.kind = SIM_ITEM_DATAGRAM, .packet = payload});
}

void
sim_datagram(sim_world *world, uint32_t from, uint32_t to, const void *bytes, size_t size) {
    /* One in a hundred comes twice, as by two interfaces. */
    int copies = 1 + (skua__rand_below(&world->rand, 100) == 0);
    for (int i = 0; i < copies; i++) {
        if (arrives(world, from, to)) {
            sim_at(world, world->now_ns + delay_ns(world), datagram_arrives, to, from,
                   packet_new(bytes, size));
        }
    }
}

uint32_t
sim_link(const sim_world *world, uint32_t conn, uint32_t node) {
    return conn * 2 + (world->conns[conn].node[1] == node);
}

static bool
owns(const sim_world *world, const sim_conn *conn, int side) {
    const sim_node *node = &world->nodes[conn->node[side]];
    return conn->open[side] && node->running && node->life == conn->life[side];
}

static int
side_of(const sim_world *world, uint32_t conn, uint32_t node) {
    return world->conns[conn].node[1] == node;
}

static void
tell(sim_world *world, uint32_t id, int side, sim_item_kind kind, sim_packet *packet) {
    if (owns(world, &world->conns[id], side)) {
        sim_node_deliver(world, world->conns[id].node[side],
                         (sim_item){.kind = kind, .conn = id, .packet = packet});
    } else {
        free(packet);
    }
}

static void
answer_to_dial(sim_world *world, uint32_t id, uint32_t kind, void *payload) {
    (void)payload;
    sim_conn *conn = &world->conns[id];
    if (owns(world, conn, 0) && !conn->connected) {
        conn->connected = kind == SIM_ITEM_CONNECTED;
        conn->open[0] = kind == SIM_ITEM_CONNECTED;
        sim_node_deliver(world, conn->node[0], (sim_item){.kind = (sim_item_kind)kind, .conn = id});
    }
}

static bool
port_open(const sim_world *world, uint32_t n, uint16_t port) {
    const sim_node *node = &world->nodes[n];
    return node->port == port && (node->running || world->now_ns < node->port_closes_ns);
}

/* The listener's system answers, whatever its process does; a stopped process's port is open. */
static void
syn_arrives(sim_world *world, uint32_t id, uint32_t b, void *payload) {
    (void)b;
    (void)payload;
    sim_conn *conn = &world->conns[id];
    sim_node *node = &world->nodes[conn->node[1]];
    bool listens = port_open(world, conn->node[1], conn->port);
    if (!arrives(world, conn->node[1], conn->node[0])) {
        return; /* the SYN will come again */
    }
    if (listens && !conn->open[1]) {
        conn->open[1] = true;
        conn->life[1] = node->life;
    }
    sim_at(world, world->now_ns + delay_ns(world), answer_to_dial, id,
           listens ? SIM_ITEM_CONNECTED : SIM_ITEM_REFUSED, NULL);
}

static void
send_syn(sim_world *world, uint32_t id, uint32_t attempt, void *payload) {
    (void)payload;
    sim_conn *conn = &world->conns[id];
    if (!owns(world, conn, 0) || conn->connected || attempt > 5) {
        return;
    }
    if (arrives(world, conn->node[0], conn->node[1])) {
        sim_at(world, world->now_ns + delay_ns(world), syn_arrives, id, 0, NULL);
    }
    sim_at(world, world->now_ns + ((int64_t)1000 << attempt) * MS, send_syn, id, attempt + 1, NULL);
}

uint32_t
sim_dial(sim_world *world, uint32_t from, uint32_t to, uint16_t port) {
    if (world->conn_count == world->conn_capacity) {
        world->conn_capacity *= 2;
        world->conns = must(realloc(world->conns, world->conn_capacity * sizeof *world->conns));
    }
    uint32_t id = world->conn_count++;
    sim_conn *conn = &world->conns[id];
    *conn = (sim_conn){.node = {from, to}, .port = port, .open = {true, false}};
    conn->life[0] = world->nodes[from].life;
    conn->way[0].rto_ns = conn->way[1].rto_ns = 200 * MS;
    world->dials++;
    send_syn(world, id, 0, NULL);
    return id;
}

static void
reset_arrives(sim_world *world, uint32_t id, uint32_t side, void *payload) {
    (void)payload;
    tell(world, id, (int)side, SIM_ITEM_CLOSED, NULL);
    world->conns[id].open[side] = false;
}

static void
packet_arrives(sim_world *world, uint32_t id, uint32_t sender, void *payload) {
    sim_packet *packet = payload;
    int receiver = 1 - (int)sender;
    sim_conn *conn = &world->conns[id];
    if (!owns(world, conn, receiver)) {
        /* Nobody has it any more: the system says so, if it lives. */
        if (!packet->is_end && arrives(world, conn->node[receiver], conn->node[sender])) {
            sim_at(world, world->now_ns + delay_ns(world), reset_arrives, id, sender, NULL);
        }
        free(packet);
    } else if (packet->is_end) {
        free(packet);
        tell(world, id, receiver, SIM_ITEM_CLOSED, NULL);
        world->conns[id].open[receiver] = false;
    } else {
        tell(world, id, receiver, SIM_ITEM_DATA, packet);
    }
}

/* Sends as much of a direction's queue as gets through, and tries the rest again later. */
static void
send_queue(sim_world *world, uint32_t id, uint32_t sender, void *payload) {
    (void)payload;
    sim_conn *conn = &world->conns[id];
    conn->way[sender].busy = false;
    while (conn->way[sender].head) {
        sim_packet *packet = conn->way[sender].head;
        /* A reset connection sends no more; a closed one sends what it still had. */
        if (!arrives(world, conn->node[sender], conn->node[1 - sender])) {
            conn->way[sender].busy = true;
            sim_at(world, world->now_ns + conn->way[sender].rto_ns, send_queue, id, sender, NULL);
            if (conn->way[sender].rto_ns < 60 * SKUA_NS_PER_S) {
                conn->way[sender].rto_ns *= 2;
            }
            return;
        }
        conn->way[sender].head = packet->next;
        conn->way[sender].rto_ns = 200 * MS;
        int64_t at_ns = world->now_ns + delay_ns(world);
        if (at_ns <= conn->way[sender].last_arrival_ns) {
            at_ns = conn->way[sender].last_arrival_ns + 1;
        }
        conn->way[sender].last_arrival_ns = at_ns;
        sim_at(world, at_ns, packet_arrives, id, sender, packet);
    }
    conn->way[sender].tail = NULL;
}

static void
enqueue(sim_world *world, uint32_t id, int side, sim_packet *packet) {
    sim_conn *conn = &world->conns[id];
    if (conn->way[side].tail) {
        conn->way[side].tail->next = packet;
    } else {
        conn->way[side].head = packet;
    }
    conn->way[side].tail = packet;
    if (!conn->way[side].busy) {
        send_queue(world, id, (uint32_t)side, NULL);
    }
}

void
sim_send(sim_world *world, uint32_t conn, uint32_t from, const void *bytes, size_t size) {
    int side = side_of(world, conn, from);
    if (owns(world, &world->conns[conn], side)) {
        enqueue(world, conn, side, packet_new(bytes, size));
    }
}

void
sim_close(sim_world *world, uint32_t conn, uint32_t from) {
    int side = side_of(world, conn, from);
    if (!world->conns[conn].open[side]) {
        return;
    }
    world->conns[conn].open[side] = false;
    if (side == 1 || world->conns[conn].connected) {
        sim_packet *packet = packet_new(NULL, 0);
        packet->is_end = true;
        enqueue(world, conn, side, packet);
    }
}

/* What a direction had not sent yet is gone with its machine. */
static void
drop_queue(sim_conn *conn, int side) {
    for (sim_packet *packet = conn->way[side].head, *next; packet; packet = next) {
        next = packet->next;
        free(packet);
    }
    conn->way[side].head = conn->way[side].tail = NULL;
}

/* Both ends are told that the connection broke, though both processes live: a router's or a firewall's work. */
void
sim_reset(sim_world *world, uint32_t id) {
    for (uint32_t side = 0; side < 2; side++) {
        drop_queue(&world->conns[id], (int)side);
        sim_at(world, world->now_ns + delay_ns(world), reset_arrives, id, side, NULL);
    }
}

void
sim_process_ends(sim_world *world, uint32_t node, bool with_host) {
    for (uint32_t id = 1; id < world->conn_count; id++) {
        for (int side = 0; side < 2; side++) {
            sim_conn *conn = &world->conns[id];
            if (conn->node[side] != node || conn->life[side] != world->nodes[node].life) {
                continue;
            }
            if (with_host) {
                drop_queue(conn, side);
                conn->open[side] = false;
            } else {
                sim_close(world, id, node); /* the system closes what its process had open */
            }
        }
    }
}

/* A probe on its way back. */
typedef struct probe_answer {
    skua__peer_event_kind kind;
    uint32_t number;
} probe_answer;

static void
probe_answered(sim_world *world, uint32_t from, uint32_t to, void *payload) {
    probe_answer answer = *(probe_answer *)payload;
    free(payload);
    sim_node_deliver(
        world, from,
        (sim_item){
            .kind = SIM_ITEM_PROBED, .from = to, .probe = answer.kind, .number = answer.number});
}

void
sim_probe(sim_world *world, uint32_t from, uint32_t to, uint16_t port, uint32_t number) {
    probe_answer *answer = must(malloc(sizeof *answer));
    *answer = (probe_answer){.kind = SKUA__PEER_PROBE_SILENT, .number = number};
    int64_t at_ns = world->now_ns + SKUA__PEER_PROBE_MS * MS;
    if (arrives(world, from, to) && arrives(world, to, from)) {
        answer->kind =
            port_open(world, to, port) ? SKUA__PEER_PROBE_OPEN : SKUA__PEER_PROBE_REFUSED;
        at_ns = world->now_ns + delay_ns(world) + delay_ns(world);
    }
    sim_at(world, at_ns, probe_answered, from, to, answer);
}
