// SPDX-License-Identifier: MPL-2.0
// Where each worker stands on a machine, and in which order it looks at the others for work: a pure function of the
// topology's tables and a seed, so that machines which we do not have are tested by their descriptions.
#include "draw.h"
#include "plan.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <skua-int/rand.h>

#include <inttypes.h>
#include <string.h>

enum {
    PLAN_WORKERS_MAX = 1024,
    PLAN_NEARNESS_MAX = UINT16_MAX,
};

/* ---- Placement ---- */

/* A PU that comes before another one when workers are placed has the smaller rank. */
static uint32_t
rank_of(const skua_topology *topology, uint32_t row) {
    const skua_topology_pu *pu = skua_topology_pu_at(topology, row);
    const skua_topology_numa *numa = skua_topology_numa_at(topology, pu->numa);
    /* A worker on a node without memory works on another node's: cores that have some come first. */
    return 2 * pu->rank_in_core + (numa && numa->memory_bytes == 0 ? 1 : 0);
}

static void
place_workers(skua__plan *plan, const skua_topology *topology) {
    uint32_t pus = skua_topology_pus(topology);
    uint32_t placed = 0, rank = 0, highest = 0;
    for (uint32_t row = 0; row < pus; row++) {
        highest = rank_of(topology, row) > highest ? rank_of(topology, row) : highest;
    }
    for (; rank <= highest && placed < plan->workers; rank++) {
        for (uint32_t row = 0; row < pus && placed < plan->workers; row++) {
            if (rank_of(topology, row) == rank) {
                plan->pu[placed++] = row;
            }
        }
    }
    for (uint32_t first = 0; placed < plan->workers; first++) {
        plan->pu[placed++] = plan->pu[first];
    }
}

/* ---- Victims ---- */

static uint16_t
nearness_of(const skua_topology *topology, uint32_t row_a, uint32_t row_b) {
    const skua_topology_pu *a = skua_topology_pu_at(topology, row_a);
    const skua_topology_pu *b = skua_topology_pu_at(topology, row_b);
    if (row_a == row_b) {
        return PLAN_SAME_PU;
    }
    if (a->core == b->core) {
        return PLAN_SAME_CORE;
    }
    if (a->l2 == b->l2) {
        return PLAN_SAME_L2;
    }
    if (a->l3 == b->l3) {
        return PLAN_SAME_L3;
    }
    if (a->numa == b->numa) {
        return PLAN_SAME_NUMA;
    }
    /* The way to what the victim has in its memory, and on the same package first among equals. */
    uint32_t distance = skua_topology_distance(topology, a->numa, b->numa);
    uint32_t longest = (PLAN_NEARNESS_MAX - PLAN_REMOTE) / 2 - 1;
    distance = distance < longest ? distance : longest;
    return (uint16_t)(PLAN_REMOTE + 2 * distance + (a->package == b->package ? 0 : 1));
}

static skua__victim *
row_of(const skua__plan *plan, uint32_t worker) {
    return plan->victims + (size_t)worker * (plan->workers - 1);
}

/* Appends the victims of one nearness and shuffles them. Returns the next greater nearness, or that of none. */
static uint32_t
add_class(const skua__plan *plan, const skua_topology *topology, uint32_t worker, uint32_t nearness,
          uint32_t *count, skua__rand *rand) {
    skua__victim *row = row_of(plan, worker);
    uint32_t first = *count, next = PLAN_NEARNESS_MAX;
    for (uint32_t other = 0; other < plan->workers; other++) {
        uint32_t found = nearness_of(topology, plan->pu[worker], plan->pu[other]);
        if (other != worker && found == nearness) {
            row[(*count)++] = (skua__victim){(uint16_t)other, (uint16_t)nearness};
        } else if (other != worker && found > nearness && found < next) {
            next = found;
        }
    }
    for (uint32_t left = *count - first; left > 1; left--) {
        uint32_t chosen = first + skua__rand_below(rand, left);
        skua__victim kept = row[first + left - 1];
        row[first + left - 1] = row[chosen];
        row[chosen] = kept;
    }
    return next;
}

static void
choose_victims(skua__plan *plan, const skua_topology *topology, uint64_t seed) {
    for (uint32_t worker = 0; worker < plan->workers; worker++) {
        skua__rand rand = {.state = seed + worker};
        uint32_t count = 0, nearness = PLAN_SAME_PU;
        while (count + 1 < plan->workers) {
            nearness = add_class(plan, topology, worker, nearness, &count, &rand);
        }
    }
}

const skua__victim *
skua__plan_victims(const skua__plan *plan, uint32_t worker) {
    return row_of(plan, worker);
}

/* ---- Looking around ---- */

/* Sets the tour on the class that begins at first. */
static void
begin_class(skua__tour *tour, uint32_t first) {
    uint32_t end = tour->row ? first : tour->count;
    while (end < tour->count && tour->row[end].nearness == tour->row[first].nearness) {
        end++;
    }
    tour->first = first;
    tour->end = end;
    tour->at = end > first ? skua__rand_below(tour->rand, end - first) : 0;
    tour->left = end - first;
}

skua__tour
skua__tour_begin(const skua__plan *plan, uint32_t worker, uint32_t workers, skua__rand *rand) {
    skua__tour tour = {.rand = rand, .count = workers};
    if (plan->victims) {
        tour.row = skua__plan_victims(plan, worker);
        tour.count = plan->workers - 1;
    }
    begin_class(&tour, 0);
    return tour;
}

uint32_t
skua__tour_next(skua__tour *tour) {
    if (tour->left == 0) {
        if (tour->end >= tour->count) {
            return PLAN_TOUR_OVER;
        }
        begin_class(tour, tour->end);
    }
    tour->left--;
    uint32_t i = tour->first + tour->at;
    tour->at = i + 1 < tour->end ? tour->at + 1 : 0;
    return tour->row ? tour->row[i].worker : i;
}

/* ---- Life ---- */

skua_status
skua__plan_init(skua__plan *ret_plan, const skua_allocator *hook, const skua_topology *topology,
                uint32_t workers, uint64_t seed, skua_error *err) {
    if (workers < 1 || workers > PLAN_WORKERS_MAX) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%" PRIu32 " workers cannot be placed; 1 to %d",
                         workers, PLAN_WORKERS_MAX);
    }
    skua__plan plan = {.hook = hook, .workers = workers};
    /* One row more than there are, because an allocation of nothing may be NULL. */
    plan.pu = skua__mem_new_array(hook, workers, sizeof *plan.pu);
    plan.victims =
        skua__mem_new_array(hook, (size_t)workers * (workers - 1) + 1, sizeof *plan.victims);
    if (!plan.pu || !plan.victims) {
        skua__plan_fini(&plan);
        return SKUA_FAIL_MEMORY(err, "the plan of the workers");
    }
    place_workers(&plan, topology);
    choose_victims(&plan, topology, seed);
    *ret_plan = plan;
    return SKUA_OK;
}

void
skua__plan_fini(skua__plan *plan) {
    skua__mem_free(plan->hook, plan->pu);
    skua__mem_free(plan->hook, plan->victims);
    memset(plan, 0, sizeof *plan);
}

/* ---- For people ---- */

static void
draw_nearness(skua__drawing *to, uint16_t nearness) {
    static const char *const names[] = {"pu", "core", "l2", "l3", "numa"};
    if (nearness < PLAN_REMOTE) {
        skua__draw(to, " | same %s:", names[nearness]);
    } else {
        uint32_t rest = (uint32_t)nearness - PLAN_REMOTE;
        skua__draw(to, " | distance %" PRIu32 "%s:", rest / 2, rest % 2 ? "" : " on the package");
    }
}

static void
draw_worker(skua__drawing *to, const skua_topology *topology, const skua__plan *plan,
            uint32_t worker) {
    const skua_topology_pu *pu = skua_topology_pu_at(topology, plan->pu[worker]);
    skua__draw(to, "worker %" PRIu32 ": pu %" PRIu32 " core %" PRIu32 " numa %" PRIu32, worker,
               pu->os_index, pu->core, pu->numa);
    const skua__victim *row = skua__plan_victims(plan, worker);
    for (uint32_t i = 0; i + 1 < plan->workers; i++) {
        if (i == 0 || row[i].nearness != row[i - 1].nearness) {
            draw_nearness(to, row[i].nearness);
        }
        skua__draw(to, " %" PRIu32, (uint32_t)row[i].worker);
    }
    skua__draw(to, "\n");
}

skua_status
skua_topology_plan_text(const skua_topology *topology, uint32_t workers, char **ret_text,
                        skua_error *err) {
    if (!topology || !ret_text) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL",
                         topology ? "ret_text" : "topology");
    }
    skua__drawing to = {.hook = skua__topology_hook(topology)};
    skua__plan plan;
    workers = workers ? workers : skua_topology_workers(topology);
    skua_status status = skua__plan_init(&plan, to.hook, topology, workers, 0, err);
    if (status != SKUA_OK) {
        return status;
    }
    for (uint32_t i = 0; i < workers; i++) {
        draw_worker(&to, topology, &plan, i);
    }
    skua__plan_fini(&plan);
    if (to.failed) {
        skua__mem_free(to.hook, to.text);
        return SKUA_FAIL_MEMORY(err, "the plan's drawing");
    }
    *ret_text = to.text;
    return SKUA_OK;
}
