// SPDX-License-Identifier: MPL-2.0
// Which NUMA domain each worker, node, core and CPU belongs to: a pure function of the topology's tables and the plan, so
// that machines which we do not have are tested by their descriptions.
#ifndef SKUA_EXEC_DOMAINS_H
#define SKUA_EXEC_DOMAINS_H

#include "plan.h"

/* A domain is a NUMA node on which a worker stands. Without a topology there is one. */
typedef struct skua__domain_map {
    const skua_allocator *hook;
    uint32_t count; /* of domains, at least 1 */
    uint32_t places, nodes, cores, cpus;
    uint32_t *of_place; /* worker's place -> domain */
    uint32_t *of_node;  /* node -> its domain, or the nearest one that has workers */
    uint32_t *of_core;
    uint32_t *of_cpu; /* by the system's number; a CPU that we may not use is in domain 0 */
    uint32_t
        *order; /* count rows of count: the domain itself, then the others, the nearest first */
} skua__domain_map;

/*
 * workers: those places of the plan that make domains, the first ones; spares go where their node's workers are.
 * topology may be NULL: one domain. Returns 0 (end it with skua__domain_map_fini()) or SKUA_E_NO_MEMORY.
 */
skua_status skua__domain_map_init(skua__domain_map *ret_map, const skua_allocator *hook,
                                  const skua_topology *topology, const skua__plan *plan,
                                  uint32_t workers, uint32_t places, skua_error *err);
/* Takes a zeroed one. */
void skua__domain_map_fini(skua__domain_map *map);

#endif
