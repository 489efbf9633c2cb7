// SPDX-License-Identifier: MPL-2.0
// The promises, checked from outside: the checker knows the truth about every process and every wire.
#include "sim.h"

#include <skua-int/flight.h>

static const int64_t MS = SKUA_NS_PER_MS;

bool
sim_compatible(const sim_world *world, uint32_t a, uint32_t b) {
    const sim_node *x = &world->nodes[a], *y = &world->nodes[b];
    return x->version_min <= y->version_max && y->version_min <= x->version_max;
}

void
sim_check_join(sim_world *world, uint32_t n, uint32_t p, uint64_t incarnation) {
    sim_peer *peer = &world->nodes[n].peers[p];
    world->joins++;
    sim_trace(world, incarnation);
    if (peer->joined) {
        sim_fail(world, "I10: node %u is told JOIN of %u twice", n, p);
    }
    if (incarnation > world->nodes[p].incarnation || incarnation < peer->incarnation) {
        sim_fail(world, "node %u is told JOIN of %u with a wrong incarnation", n, p);
    }
    if (!sim_compatible(world, n, p)) {
        sim_fail(world, "I22: nodes %u and %u joined without a common version", n, p);
    }
    peer->joined = true;
    peer->suspected = false;
    peer->incarnation = incarnation;
    peer->joined_real_ns = peer->life_real_ns = world->now_ns;
    peer->life_stopped_ns = world->nodes[n].stopped_ns;
    peer->link_life_ns = skua__lived_now(&world->nodes[n].lived, world->now_ns);
}

void
sim_check_suspicion(sim_world *world, uint32_t n, uint32_t p, bool suspected) {
    sim_peer *peer = &world->nodes[n].peers[p];
    sim_trace(world, suspected);
    if (!peer->joined || peer->suspected == suspected) {
        sim_fail(world, "node %u is told %s of %u out of order", n, suspected ? "SUSPECT" : "ALIVE",
                 p);
    }
    peer->suspected = suspected;
}

/* Is the reason true? */
static const char *
what_is_wrong(const sim_world *world, uint32_t n, uint32_t p, skua__leave_reason reason,
              int64_t lived_ns) {
    const sim_node *node = &world->nodes[p];
    const sim_peer *peer = &world->nodes[n].peers[p];
    int64_t heartbeat_ns = world->heartbeat_ns;
    /* By our own clocks, not by that of the node: how long could it have heard, and did not? */
    int64_t silent_ns =
        world->now_ns - peer->life_real_ns - (world->nodes[n].stopped_ns - peer->life_stopped_ns);
    bool alive = node->running && node->incarnation == peer->incarnation;
    switch (reason) {
    case SKUA__LEAVE_SILENT:
        return silent_ns < 3 * heartbeat_ns ? "it was silent for less than 3 T" : NULL;
    case SKUA__LEAVE_GONE:
        return alive ? "its process is alive" : NULL;
    case SKUA__LEAVE_BYE:
        return alive && !node->stopping && silent_ns < 3 * heartbeat_ns &&
                       lived_ns - peer->link_life_ns < 6 * heartbeat_ns
                   ? "its process is alive and was heard"
                   : NULL;
    case SKUA__LEAVE_RESTARTED:
        return node->incarnation <= peer->incarnation ? "it was not restarted" : NULL;
    case SKUA__LEAVE_UNREACHABLE:
        return lived_ns - peer->link_life_ns < 6 * heartbeat_ns - MS ? "its link worked" : NULL;
    default:
        return "there is no such reason here";
    }
}

void
sim_check_leave(sim_world *world, uint32_t n, uint32_t p, skua__leave_reason reason,
                uint64_t incarnation, int64_t lived_ns) {
    sim_peer *peer = &world->nodes[n].peers[p];
    world->leaves++;
    world->leaves_by_reason[reason]++;
    sim_trace(world, incarnation + (uint64_t)reason);
    if (!peer->joined || peer->incarnation != incarnation) {
        sim_fail(world, "I10: node %u is told LEAVE of %u, which had not joined", n, p);
    }
    const char *wrong = what_is_wrong(world, n, p, reason, lived_ns);
    if (wrong) {
        sim_fail(world, "I9: node %u is told LEAVE(%s) of %u, but %s", n,
                 skua__leave_reason_text(reason), p, wrong);
    }
    peer->joined = false;
    if (world->on_leave) {
        world->on_leave(world, n, p, reason);
    }
}

/* How long a false member may stay: 3.5 T + 100 ms, and the packets that were on their way. */
static int64_t
bound_ns(const sim_world *world) {
    return world->heartbeat_ns * 7 / 2 + 100 * MS + world->delay_max_ns;
}

void
sim_check_deaths(sim_world *world) {
    for (uint32_t a = 0; a < world->node_count; a++) {
        const sim_node *node = &world->nodes[a];
        for (uint32_t b = 0; node->running && !node->paused && b < world->node_count; b++) {
            const sim_peer *peer = &node->peers[b];
            if (!peer->joined) {
                continue;
            }
            const sim_node *other = &world->nodes[b];
            bool alive = other->running && other->incarnation == peer->incarnation;
            int64_t since_ns = alive ? world->cut_since_ns[a][b] : other->died_ns;
            if (other->running && !alive) {
                since_ns = (int64_t)other->incarnation; /* the moment of the newer one's start */
            }
            /* With loss, what a process sent before its death may come seconds later: its system sends it again. */
            if (!alive && world->loss_permille && peer->life_real_ns > since_ns) {
                since_ns = peer->life_real_ns;
            }
            /* The clock runs from the last of: the death or cut, the join, our own stop. */
            since_ns = since_ns > peer->joined_real_ns ? since_ns : peer->joined_real_ns;
            since_ns = since_ns > node->disturbed_ns ? since_ns : node->disturbed_ns;
            if (since_ns != SKUA_NEVER_NS && world->now_ns - since_ns > bound_ns(world)) {
                sim_fail(world, "I9: node %u still counts %u as alive %.3f s after its %s", a, b,
                         (double)(world->now_ns - since_ns) / 1e9, alive ? "partition" : "death");
            }
        }
    }
}

void
sim_check_killed(sim_world *world, uint32_t n, int64_t at_ns) {
    const sim_node *dead = &world->nodes[n];
    bool quiet = world->loss_permille == 0 && world->disturbed_ns < at_ns - 2 * SKUA_NS_PER_S;
    if (dead->running || !quiet) {
        return;
    }
    for (uint32_t a = 0; a < world->node_count; a++) {
        const sim_node *node = &world->nodes[a];
        const sim_peer *peer = &node->peers[n];
        bool steady = node->running && !node->paused && node->disturbed_ns < at_ns - SKUA_NS_PER_S;
        if (steady && peer->joined && peer->incarnation == dead->incarnation &&
            peer->joined_real_ns < at_ns - SKUA_NS_PER_S && !world->cut[a][n] &&
            !world->cut[n][a]) {
            sim_fail(world, "I9: node %u does not see the kill of %u within 200 ms", a, n);
        }
    }
}

void
sim_check_one_view(sim_world *world) {
    for (uint32_t a = 0; a < world->node_count; a++) {
        for (uint32_t b = 0; b < world->node_count; b++) {
            const sim_node *node = &world->nodes[a], *other = &world->nodes[b];
            if (a == b || !node->running || !other->running || !sim_compatible(world, a, b)) {
                continue;
            }
            const sim_peer *peer = &node->peers[b];
            if (!peer->joined || peer->incarnation != other->incarnation) {
                sim_fail(world, "I10: node %u does not count %u as alive after the healing (%s)", a,
                         b, peer->exists ? skua__peer_state_text(peer->fsm.state) : "unknown");
            }
        }
    }
}

/* At rest there is one connection per pair, and both ends use the same. */
void
sim_check_links(sim_world *world) {
    uint32_t pairs = 0, open = 0;
    for (uint32_t a = 0; a < world->node_count; a++) {
        for (uint32_t b = a + 1; b < world->node_count; b++) {
            const sim_node *x = &world->nodes[a], *y = &world->nodes[b];
            if (!x->running || !y->running || !sim_compatible(world, a, b)) {
                continue;
            }
            pairs++;
            if (x->peers[b].fsm.link / 2 != y->peers[a].fsm.link / 2) {
                sim_fail(world, "nodes %u and %u use different links", a, b);
            }
        }
        if (world->nodes[a].running && world->nodes[a].limiter.active) {
            bool all = true;
            for (uint32_t b = 0; b < world->node_count; b++) {
                all = all && world->nodes[b].running && sim_compatible(world, a, b);
            }
            if (all) {
                sim_fail(world, "node %u still holds %u dial slots", a,
                         world->nodes[a].limiter.active);
            }
        }
    }
    for (uint32_t id = 1; id < world->conn_count; id++) {
        const sim_conn *conn = &world->conns[id];
        bool both = true;
        for (int side = 0; side < 2; side++) {
            const sim_node *node = &world->nodes[conn->node[side]];
            both = both && conn->open[side] && node->running && node->life == conn->life[side];
        }
        open += both && sim_compatible(world, conn->node[0], conn->node[1]);
    }
    if (open != pairs) {
        sim_fail(world, "%u connections are open for %u pairs", open, pairs);
    }
}

void
sim_check_recordings(sim_world *world) {
    for (uint32_t a = 0; a < world->node_count; a++) {
        const sim_node *node = &world->nodes[a];
        if (!node->flight_used) {
            continue;
        }
        skua__flight_result result;
        int status =
            skua__flight_replay(node->flight, node->flight_used, NULL, NULL, NULL, &result);
        if (status || result.divergences || result.skipped) {
            sim_fail(world, "the recording of node %u replays otherwise (status %d, %llu of %llu)",
                     a, status, status ? 0 : (unsigned long long)result.divergences,
                     status ? 0 : (unsigned long long)result.steps);
        }
    }
}
