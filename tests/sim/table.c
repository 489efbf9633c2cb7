// SPDX-License-Identifier: MPL-2.0
// The figures of failure detection: how soon a killed process and a silent partition are seen, and how often a living
// peer is buried, at 0, 10 and 30 % loss.
#include "sim.h"

#include <stdlib.h>

static const int64_t MS = SKUA_NS_PER_MS;
enum { TRIALS = 200, NODES = 10 };

/* What a trial waits for. */
typedef struct watch {
    uint32_t peer;
    int64_t at_ns; /* of the first LEAVE of peer, 0: none yet */
} watch;

static void
on_leave(sim_world *world, uint32_t node, uint32_t peer, skua__leave_reason reason) {
    (void)reason;
    watch *self = world->context;
    if (node == 0 && peer == self->peer && !self->at_ns) {
        self->at_ns = world->now_ns;
    }
}

static int
compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kills or cuts one of two nodes; returns the ms until the other knows, or -1 when they did not meet or it never does. */
static double
trial(uint64_t seed, uint32_t loss_permille, bool cut) {
    sim_world world;
    watch found = {.peer = 1};
    sim_world_init(&world, &(sim_options){.seed = seed}, 2);
    world.loss_permille = loss_permille;
    world.on_leave = on_leave;
    world.context = &found;
    sim_node_start(&world, 0);
    sim_node_start(&world, 1);
    sim_run_until(&world,
                  world.now_ns + 20 * SKUA_NS_PER_S + skua__rand_below(&world.rand, 1000) * MS);
    double took_ms = -1;
    if (world.nodes[0].peers[1].joined) {
        int64_t from_ns = world.now_ns;
        found.at_ns = 0;
        if (cut) {
            sim_cut(&world, 0, 1, true);
        } else {
            sim_node_kill(&world, 1, false);
        }
        sim_run_until(&world, from_ns + 10 * SKUA_NS_PER_S);
        took_ms = found.at_ns ? (double)(found.at_ns - from_ns) / 1e6 : -1;
    }
    sim_world_fini(&world);
    return took_ms;
}

/* Returns the worst. */
static double
print_detection(uint64_t seed, uint32_t loss_permille, bool cut) {
    double took[TRIALS];
    int count = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        double ms = trial(seed * 1000 + i, loss_permille, cut);
        if (ms >= 0) {
            took[count++] = ms;
        }
    }
    qsort(took, (size_t)count, sizeof took[0], compare);
    if (count == 0) {
        return -1; /* no trial came to an end: no promise was kept */
    }
    printf("%6.1f / %6.1f / %6.1f ms   ", took[count / 2], took[count * 99 / 100], took[count - 1]);
    return took[count - 1];
}

/* Leaves while all live and all wires stand; then each is a false one. Returns how many per pair and hour. */
static double
false_positives(uint64_t seed, uint32_t loss_permille, uint32_t hours) {
    sim_world world;
    sim_world_init(&world, &(sim_options){.seed = seed}, NODES);
    watch found = {.peer = NODES};
    world.on_leave = on_leave;
    world.context = &found;
    for (uint32_t n = 0; n < NODES; n++) {
        sim_node_start(&world, n);
    }
    sim_run_until(&world, world.now_ns + 10 * SKUA_NS_PER_S);
    world.loss_permille = loss_permille;
    uint64_t before = world.leaves;
    sim_run_until(&world, world.now_ns + (int64_t)hours * 3600 * SKUA_NS_PER_S);
    double pairs = NODES * (NODES - 1) / 2.0;
    double rate = (double)(world.leaves - before) / (pairs * hours);
    if (world.failed) {
        printf("failed %s ", world.failure);
    }
    sim_world_fini(&world);
    return rate;
}

int
sim_table(uint64_t seed, uint32_t hours) {
    static const uint32_t losses[] = {0, 100, 300};
    printf("T = 1 s, no indirect probes; two nodes, %d trials each; %d nodes for %u h\n", TRIALS,
           NODES, hours);
    printf("%-6s %-35s %-35s %s\n", "loss", "kill -9 seen (p50 / p99 / max)",
           "partition seen (p50 / p99 / max)", "false deaths per pair and hour");
    bool kept = true;
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++) {
        printf("%3u %%  ", losses[i] / 10);
        double killed_ms = print_detection(seed, losses[i], false);
        double cut_ms = print_detection(seed, losses[i], true);
        double rate = false_positives(seed, losses[i], hours);
        printf("%.3f\n", rate);
        /* I9; what a kill costs where packets are lost is only shown. */
        kept = kept && cut_ms > 0 && cut_ms <= 3600;
        kept = kept && (losses[i] > 0 || (killed_ms > 0 && killed_ms <= 200 && rate == 0));
        kept = kept && (losses[i] > 100 || rate <= 0.25);
    }
    printf("%s\n", kept ? "I9 holds" : "I9 IS BROKEN");
    return kept ? 0 : 1;
}
