// SPDX-License-Identifier: MPL-2.0
// NUMA domains: their map, their life in an executor, and which one a submitted job waits in.
#include "engine.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <sched.h>
#include <string.h>

enum { DOMAIN_NONE = UINT32_MAX };

/* ---- The map ---- */

/* Lays the tables out in one block, of_place first. */
static bool
allocate(skua__domain_map *map) {
    size_t count =
        (size_t)map->places + map->nodes + map->cores + map->cpus + (size_t)map->count * map->count;
    map->of_place = skua__mem_new_array(map->hook, count, sizeof *map->of_place);
    if (!map->of_place) {
        return false;
    }
    map->of_node = map->of_place + map->places;
    map->of_core = map->of_node + map->nodes;
    map->of_cpu = map->of_core + map->cores;
    map->order = map->of_cpu + map->cpus;
    return true;
}

/* Counts what the tables need room for. */
static void
measure(skua__domain_map *map, const skua_topology *topology, const skua__plan *plan,
        uint32_t workers) {
    const skua_topology_pu *pu;
    for (uint32_t i = 0; (pu = skua_topology_pu_at(topology, i)) != NULL; i++) {
        map->cores = pu->core >= map->cores ? pu->core + 1 : map->cores;
        map->cpus = pu->os_index >= map->cpus ? pu->os_index + 1 : map->cpus;
    }
    map->nodes = skua_topology_numas(topology);
    map->count = 0;
    for (uint32_t i = 0; i < workers; i++) {
        uint32_t k = 0;
        uint32_t numa = skua_topology_pu_at(topology, plan->pu[i])->numa;
        while (k < i && skua_topology_pu_at(topology, plan->pu[k])->numa != numa) {
            k++;
        }
        map->count += k == i;
    }
}

/* The node with a domain that is nearest to this one; the first among equals. */
static uint32_t
nearest_domain(const skua__domain_map *map, const skua_topology *topology, const uint32_t *node_of,
               uint32_t node) {
    uint32_t best = 0;
    for (uint32_t d = 1; d < map->count; d++) {
        if (skua_topology_distance(topology, node, node_of[d]) <
            skua_topology_distance(topology, node, node_of[best])) {
            best = d;
        }
    }
    return best;
}

static void
order_domains(skua__domain_map *map, const skua_topology *topology, const uint32_t *node_of) {
    for (uint32_t d = 0; d < map->count; d++) {
        uint32_t *row = map->order + (size_t)d * map->count;
        /* In a row of growing distance each goes behind those that are no farther. */
        for (uint32_t other = 0, filled = 0; other < map->count; other++, filled++) {
            uint32_t far =
                other == d ? 0 : skua_topology_distance(topology, node_of[d], node_of[other]);
            uint32_t at = filled;
            while (at > 0 && row[at - 1] != d &&
                   skua_topology_distance(topology, node_of[d], node_of[row[at - 1]]) > far) {
                row[at] = row[at - 1];
                at--;
            }
            row[at] = other;
        }
    }
}

static void
fill(skua__domain_map *map, const skua_topology *topology, const skua__plan *plan, uint32_t workers,
     uint32_t *node_of) {
    for (uint32_t node = 0; node < map->nodes; node++) {
        map->of_node[node] = DOMAIN_NONE;
    }
    for (uint32_t i = 0, made = 0; i < workers; i++) {
        uint32_t numa = skua_topology_pu_at(topology, plan->pu[i])->numa;
        if (map->of_node[numa] == DOMAIN_NONE) {
            node_of[made] = numa;
            map->of_node[numa] = made++;
        }
    }
    for (uint32_t node = 0; node < map->nodes; node++) {
        if (map->of_node[node] == DOMAIN_NONE) {
            map->of_node[node] = nearest_domain(map, topology, node_of, node);
        }
    }
    for (uint32_t i = 0; i < map->places; i++) {
        map->of_place[i] = map->of_node[skua_topology_pu_at(topology, plan->pu[i])->numa];
    }
    const skua_topology_pu *pu;
    for (uint32_t i = 0; (pu = skua_topology_pu_at(topology, i)) != NULL; i++) {
        map->of_core[pu->core] = map->of_node[pu->numa];
        map->of_cpu[pu->os_index] = map->of_node[pu->numa];
    }
    order_domains(map, topology, node_of);
}

skua_status
skua__domain_map_init(skua__domain_map *ret_map, const skua_allocator *hook,
                      const skua_topology *topology, const skua__plan *plan, uint32_t workers,
                      uint32_t places, skua_error *err) {
    skua__domain_map map = {.hook = hook, .count = 1, .places = places};
    if (topology) {
        measure(&map, topology, plan, workers);
    }
    uint32_t *node_of = skua__mem_new_array(hook, map.count, sizeof *node_of);
    if (!node_of || !allocate(&map)) {
        skua__mem_free(hook, node_of);
        return SKUA_FAIL_MEMORY(err, "the map of the NUMA domains");
    }
    if (topology) {
        fill(&map, topology, plan, workers, node_of);
    }
    skua__mem_free(hook, node_of);
    *ret_map = map;
    return SKUA_OK;
}

void
skua__domain_map_fini(skua__domain_map *map) {
    skua__mem_free(map->hook, map->of_place);
    memset(map, 0, sizeof *map);
}

/* ---- In an executor ---- */

skua_status
skua__domains_open(skua_exec *exec, skua_error *err) {
    /* In deterministic mode one worker draws among all that waits. */
    const skua_topology *topology = exec->replay_seed ? NULL : exec->topology;
    uint32_t workers =
        exec->sizes.most < exec->worker_places ? exec->sizes.most : exec->worker_places;
    skua_status status = skua__domain_map_init(&exec->map, exec->hook, topology, &exec->plan,
                                               workers, exec->worker_places, err);
    if (status != SKUA_OK) {
        return status;
    }
    exec->domains_block =
        skua__mem_new(exec->hook, exec->map.count * sizeof *exec->domains + EXEC_CACHE_LINE);
    if (!exec->domains_block) {
        skua__domain_map_fini(&exec->map);
        return SKUA_FAIL_MEMORY(err, "the executor's queues");
    }
    exec->domains = skua__aligned(exec->domains_block);
    skua__domains_begin(exec);
    return SKUA_OK;
}

void
skua__domains_begin(skua_exec *exec) {
    memset(exec->domains, 0, exec->map.count * sizeof *exec->domains);
    for (uint32_t i = 0; i < exec->map.count; i++) {
        skua__domain *domain = &exec->domains[i];
        skua__mutex_init(&domain->lock);
        skua__list_init(&domain->sleepers);
        for (uint32_t k = 0; k < EXEC_PRIORITIES; k++) {
            domain->queues[k].end = &domain->queues[k].head;
        }
    }
}

void
skua__domains_close(skua_exec *exec) {
    for (uint32_t i = 0; exec->domains && i < exec->map.count; i++) {
        skua__mutex_fini(&exec->domains[i].lock);
    }
    exec->domains = NULL;
    exec->domains_block = skua__mem_free(exec->hook, exec->domains_block);
    skua__domain_map_fini(&exec->map);
}

const uint32_t *
skua__domain_order(const skua_exec *exec, const skua__domain *domain) {
    return exec->map.order + (size_t)(domain - exec->domains) * exec->map.count;
}

skua__domain *
skua__domain_choose(skua_exec *exec, const skua_job *job) {
    const skua__domain_map *map = &exec->map;
    if (job->priority == SKUA_PRIORITY_HIGH) {
        return exec->domains; /* those of high priority in one place, where every worker looks */
    }
    skua_near near = job->near;
    if (near.core > 0 && near.core <= map->cores) {
        return &exec->domains[map->of_core[near.core - 1]];
    }
    if (near.node > 0 && near.node <= map->nodes) {
        return &exec->domains[map->of_node[near.node - 1]];
    }
    const skua__worker *here = skua__worker_here(exec);
    if (here) {
        return here->domain;
    }
    uint32_t cpu = skua__first_cpu();
    return &exec->domains[cpu < map->cpus ? map->of_cpu[cpu] : 0];
}

skua_near
skua_near_memory(const skua_exec *exec, const void *memory) {
    uint32_t node = 0;
    skua_near near = {0, 0};
    if (exec && exec->map.count > 1 &&
        skua_numa_of(exec->topology, memory, &node, NULL) == SKUA_OK) {
        near = skua_near_node(node);
    }
    return near;
}
