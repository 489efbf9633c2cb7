// SPDX-License-Identifier: MPL-2.0
// A random life of a small fleet: starts, kills, stops, restarts, pauses, partitions and broken links at random moments,
// and in the end a healing, after which there must be one view.
#include "sim.h"

static const int64_t MS = SKUA_NS_PER_MS;
enum { AUDIT_MS = 50, HEAL_MS = 2000 };

static uint32_t
below(sim_world *world, uint32_t bound) {
    return skua__rand_below(&world->rand, bound);
}

static int64_t
random_ms(sim_world *world, uint32_t from_ms, uint32_t to_ms) {
    return (from_ms + below(world, to_ms - from_ms)) * MS;
}

/* ---- What may happen ---- */

static void
do_start(sim_world *world, uint32_t n, uint32_t b, void *payload) {
    (void)b;
    (void)payload;
    sim_node_start(world, n);
}

static void
do_kill(sim_world *world, uint32_t n, uint32_t with_host, void *payload) {
    (void)payload;
    sim_node_kill(world, n, with_host);
    if (below(world, 3)) {
        sim_at(world, world->now_ns + random_ms(world, 1, 8000), do_start, n, 0, NULL);
    }
}

static void
do_stop(sim_world *world, uint32_t n, uint32_t b, void *payload) {
    (void)b;
    (void)payload;
    sim_node_stop(world, n);
    if (below(world, 2)) {
        sim_at(world, world->now_ns + random_ms(world, 200, 8000), do_start, n, 0, NULL);
    }
}

/* Says BYE and goes on: a stop that failed, or somebody's forgery. Nobody may believe it. */
static void
do_false_bye(sim_world *world, uint32_t n, uint32_t b, void *payload) {
    (void)b;
    (void)payload;
    if (world->nodes[n].running && !world->nodes[n].paused) {
        sim_log(world, "%u says BYE and stays", n);
        sim_node_say_bye(world, n);
    }
}

static void
do_continue(sim_world *world, uint32_t n, uint32_t b, void *payload) {
    (void)b;
    (void)payload;
    sim_node_pause(world, n, false);
}

static void
do_pause(sim_world *world, uint32_t n, uint32_t b, void *payload) {
    (void)b;
    (void)payload;
    sim_node_pause(world, n, true);
    uint32_t most_ms = below(world, 4) ? 2000 : 8000;
    sim_at(world, world->now_ns + random_ms(world, 50, most_ms), do_continue, n, 0, NULL);
}

static void
heal(sim_world *world, uint32_t a, uint32_t b, void *payload) {
    (void)a;
    (void)b;
    (void)payload;
    sim_log(world, "the network is whole");
    for (uint32_t x = 0; x < world->node_count; x++) {
        for (uint32_t y = 0; y < world->node_count; y++) {
            if (x != y) {
                sim_cut(world, x, y, false);
            }
        }
    }
}

static void
do_partition(sim_world *world, uint32_t sides, uint32_t b, void *payload) {
    (void)b;
    (void)payload;
    sim_log(world, "partition %x", sides);
    for (uint32_t x = 0; x < world->node_count; x++) {
        for (uint32_t y = x + 1; y < world->node_count; y++) {
            if ((sides >> x & 1) != (sides >> y & 1)) {
                sim_cut(world, x, y, true);
            }
        }
    }
    sim_at(world, world->now_ns + random_ms(world, 100, 12000), heal, 0, 0, NULL);
}

/* One direction only: what a broken switch or a wrong firewall does. */
static void
do_half_cut(sim_world *world, uint32_t from, uint32_t to, void *payload) {
    (void)payload;
    sim_log(world, "nothing gets from %u to %u", from, to);
    world->cut[from][to] = true;
    world->disturbed_ns = world->now_ns;
    sim_at(world, world->now_ns + random_ms(world, 100, 12000), heal, 0, 0, NULL);
}

static void
do_reset(sim_world *world, uint32_t n, uint32_t b, void *payload) {
    (void)b;
    (void)payload;
    uint32_t id = 1 + below(world, world->conn_count);
    if (id < world->conn_count) {
        sim_log(world, "conn %u is reset", id);
        sim_reset(world, id);
        world->disturbed_ns = world->now_ns;
    }
    (void)n;
}

static void
do_loss(sim_world *world, uint32_t permille, uint32_t b, void *payload) {
    (void)b;
    (void)payload;
    sim_log(world, "%u of 1000 packets are lost from now on", permille);
    world->loss_permille = permille;
    world->disturbed_ns = world->now_ns;
}

static void
audit(sim_world *world, uint32_t a, uint32_t b, void *payload) {
    (void)a;
    (void)b;
    (void)payload;
    sim_check_deaths(world);
    sim_at(world, world->now_ns + AUDIT_MS * MS, audit, 0, 0, NULL);
}

/* ---- The script ---- */

static void
choose_world(sim_world *world) {
    static const int64_t heartbeats_ms[] = {1000, 1000, 1000, 500, 2000};
    static const int64_t delays_ms[] = {1, 1, 5, 20};
    world->heartbeat_ns = heartbeats_ms[below(world, 5)] * MS;
    world->delay_max_ns = delays_ms[below(world, 4)] * MS;
    world->has_udp = below(world, 4) != 0;
    world->dials_max = below(world, 4) ? SKUA__DIALS_MAX : 2;
    bool mixed = world->has_udp && below(world, 4) == 0;
    for (uint32_t n = 0; mixed && n < world->node_count; n++) {
        uint32_t which = below(world, 3);
        world->nodes[n].version_min = which == 2 ? 2 : 1;
        world->nodes[n].version_max = which == 0 ? 1 : 2;
    }
}

static void
plan_one(sim_world *world, int64_t at_ns) {
    static const uint32_t losses[] = {0, 0, 10, 50, 100, 300};
    uint32_t count = world->node_count;
    uint32_t n = below(world, count), other = (n + 1 + below(world, count - 1)) % count;
    switch (below(world, 13)) {
    case 0:
    case 1:
    case 2:
        sim_at(world, at_ns, do_kill, n, 0, NULL);
        break;
    case 3:
        sim_at(world, at_ns, do_kill, n, 1, NULL);
        break;
    case 4:
        sim_at(world, at_ns, do_stop, n, 0, NULL);
        break;
    case 5:
    case 6:
        sim_at(world, at_ns, do_pause, n, 0, NULL);
        break;
    case 7:
    case 8:
        sim_at(world, at_ns, do_partition, below(world, 1u << count), 0, NULL);
        break;
    case 9:
        sim_at(world, at_ns, do_half_cut, n, other, NULL);
        break;
    case 10:
        sim_at(world, at_ns, do_reset, 0, 0, NULL);
        break;
    case 11:
        sim_at(world, at_ns, do_false_bye, n, 0, NULL);
        break;
    default:
        sim_at(world, at_ns, do_loss, losses[below(world, 6)], 0, NULL);
        break;
    }
}

/* Everything is mended; who is dead stays dead. Nothing of the script is left to happen. */
static void
mend_all(sim_world *world) {
    heal(world, 0, 0, NULL);
    do_loss(world, 0, 0, NULL);
    for (uint32_t n = 0; n < world->node_count; n++) {
        sim_node_pause(world, n, false);
    }
}

bool
sim_scenario(const sim_options *options, sim_world *ret_world) {
    skua__rand size = {.state = options->seed * 2 + 1};
    sim_world *world = ret_world;
    sim_world_init(world, options, 2 + skua__rand_below(&size, 7));
    choose_world(world);
    sim_log(world, "%u nodes, T = %lld ms, delay up to %lld ms, %s", world->node_count,
            (long long)(world->heartbeat_ns / MS), (long long)(world->delay_max_ns / MS),
            world->has_udp ? "beacons" : "peer lists only");
    int64_t begin_ns = world->now_ns, length_ns = random_ms(world, 15000, 30000);
    for (uint32_t n = 0; n < world->node_count; n++) {
        sim_at(world, begin_ns + random_ms(world, 0, 2000), do_start, n, 0, NULL);
    }
    sim_at(world, begin_ns, audit, 0, 0, NULL);
    for (uint32_t i = 3 + below(world, 12); i > 0; i--) {
        int64_t at_ns = begin_ns + 2000 * MS + below(world, (uint32_t)(length_ns / MS)) * MS;
        plan_one(world, at_ns);
    }
    /* The longest thing that the script starts lasts 12 s; nothing of it may fall into the end. */
    sim_run_until(world, begin_ns + 2000 * MS + length_ns + 12100 * MS);
    if (!world->has_udp) {
        sim_node_start(world, 0); /* the one that everybody knows must be there to be met */
        sim_run_until(world, world->now_ns + 6000 * MS);
    }
    /* A last partition, of any length, ends at the healing itself. */
    uint32_t sides = below(world, 1u << world->node_count);
    if (below(world, 4)) {
        do_partition(world, sides, 0, NULL);
        sim_run_until(world, world->now_ns + random_ms(world, 100, 10000));
    }
    mend_all(world);
    sim_run_until(world, world->now_ns + HEAL_MS * MS);
    sim_check_one_view(world);
    sim_run_until(world, world->now_ns + 7 * world->heartbeat_ns);
    uint64_t seen = world->leaves;
    sim_run_until(world, world->now_ns + 5 * world->heartbeat_ns);
    if (world->leaves != seen) {
        sim_fail(world, "I9: somebody left although nothing happened");
    }
    sim_check_one_view(world);
    sim_check_links(world);
    if (options->record) {
        sim_check_recordings(world);
    }
    return !world->failed;
}
