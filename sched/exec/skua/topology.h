// SPDX-License-Identifier: MPL-2.0
// What the machine looks like to an executor: NUMA nodes, cores, processing units, and which of them we may use.
#ifndef SKUA_TOPOLOGY_H
#define SKUA_TOPOLOGY_H

#include <skua/alloc.h>
#include <skua/common.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_topology skua_topology;

typedef struct skua_topology_options {
    size_t size;
    const skua_allocator *allocator; /* NULL: the default */
    /* A machine to pretend to be, such as "numa:2 core:4 pu:2"; NULL: not that. */
    const char *synthetic;
    /* A machine as saved by `lstopo machine.xml`; NULL: not that. With neither, the machine we run on. */
    const char *xml_path;
    /* CPUs that the quota allows; 0: ask the cgroup (a pretended machine: no quota); SKUA_UNLIMITED: none. */
    double quota_cpus;
} skua_topology_options;

#define SKUA_TOPOLOGY_OPTIONS(...)                                                                 \
    (&(skua_topology_options){.size = sizeof(skua_topology_options), __VA_ARGS__})

/* One processing unit (a hardware thread) that we may use. */
typedef struct skua_topology_pu {
    uint32_t os_index;     /* the number that the system gives it */
    uint32_t core;         /* 0-based, counted over the machine's cores with an allowed PU */
    uint32_t package;      /* 0-based */
    uint32_t numa;         /* an index for skua_topology_numa() */
    uint32_t rank_in_core; /* 0 for the first hardware thread of its core */
    uint32_t l2; /* the first row that shares its L2 cache; where none is known, its core's first */
    uint32_t l3; /* the same for the L3 cache; where none is known, its core's first */
} skua_topology_pu;

/* One NUMA node of the machine that has memory, or an allowed PU. */
typedef struct skua_topology_numa {
    uint32_t os_index;
    uint32_t pus;          /* that we may use */
    uint64_t memory_bytes; /* 0: a node without memory */
} skua_topology_numa;

/**
 * Looks at the machine (or at the description of one) and keeps what it saw.
 *
 * allocator: borrowed, it must outlive the topology. The strings of options are borrowed for the call.
 * Returns: 0 and *ret_topology (the caller owns it: skua_topology_free()); SKUA_E_BAD_TOPOLOGY when the description
 * cannot be understood, SKUA_E_FILE, SKUA_E_NO_MEMORY, SKUA_E_BAD_ARGUMENT, SKUA_E_SYSTEM.
 * Threads: any. Blocks: for the 10 to 30 ms that the look takes. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_topology_new(skua_topology **ret_topology,
                                                       const skua_topology_options *options,
                                                       skua_error *err);

/**
 * Sets options of size bytes to all defaults, for languages without compound literals.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_topology_options_init(skua_topology_options *options, size_t size);

/**
 * Frees a topology. Takes NULL.
 *
 * Returns: NULL.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API skua_topology *skua_topology_free(skua_topology *topology);

/**
 * How many workers fit: the smaller of the PUs that we may use (hwloc's allowed ones that are also in the thread's
 * affinity mask) and the cgroup's CPU quota rounded up; at least 1.
 *
 * Returns: the number; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API uint32_t skua_topology_workers(const skua_topology *topology);

/**
 * The number of PUs that we may use; the number of cores, packages and NUMA nodes that they stand in.
 *
 * Returns: the number; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API uint32_t skua_topology_pus(const skua_topology *topology);
/** The cores with a PU that we may use. Returns: the number. Threads: any. Blocks: never. Since 0.1. */
SKUA_API uint32_t skua_topology_cores(const skua_topology *topology);
/** The packages with a PU that we may use. Returns: the number. Threads: any. Blocks: never. Since 0.1. */
SKUA_API uint32_t skua_topology_packages(const skua_topology *topology);
/** The NUMA nodes, at least 1. Returns: the number. Threads: any. Blocks: never. Since 0.1. */
SKUA_API uint32_t skua_topology_numas(const skua_topology *topology);

/**
 * The CPU quota that was found, in CPUs.
 *
 * Returns: the quota, or 0 when there is none.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API double skua_topology_quota_cpus(const skua_topology *topology);

/**
 * The i-th PU that we may use, in the machine's own order.
 *
 * Returns: the row, alive as long as the topology; NULL when i is past the end.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const skua_topology_pu *skua_topology_pu_at(const skua_topology *topology, uint32_t i);

/**
 * The i-th NUMA node.
 *
 * Returns: the row, alive as long as the topology; NULL when i is past the end.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const skua_topology_numa *skua_topology_numa_at(const skua_topology *topology, uint32_t i);

/**
 * How far NUMA node b's memory is from node a, in the firmware's units: 10 is local, 20 about twice as slow. Where the
 * machine tells nothing (or for a synthetic one) it is 10 for a node itself and 20 for any other.
 *
 * Returns: the distance; 0 when a or b is past the end.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API uint32_t skua_topology_distance(const skua_topology *topology, uint32_t a, uint32_t b);

/**
 * The topology as a drawing for people, one line per NUMA node, package and core, ending in a newline.
 *
 * Returns: 0 and *ret_text (the caller owns it: skua_topology_text_free()), or SKUA_E_NO_MEMORY.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_topology_text(const skua_topology *topology,
                                                        char **ret_text, skua_error *err);
/**
 * Where an executor's workers stand on this machine and from whom each steals, nearest first, one line per worker: the
 * other hardware threads of the core, then by shared cache, then by node and distance.
 *
 * workers: how many, up to 1024; 0: as many as skua_topology_workers() says.
 * Returns: 0 and *ret_text (the caller owns it: skua_topology_text_free()), SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_topology_plan_text(const skua_topology *topology,
                                                             uint32_t workers, char **ret_text,
                                                             skua_error *err);
/** Frees a text of the two above. Takes NULL. Returns: NULL. Threads: any. Blocks: never. Since 0.1. */
SKUA_API char *skua_topology_text_free(const skua_topology *topology, char *text);

/* ---- Memory on a node ---- */

/**
 * Zeroed pages whose memory is taken from a NUMA node as long as it has some, whoever touches them first. Where the kernel
 * has no such policy, or the topology is a pretended one, they are ordinary pages.
 *
 * numa: an index for skua_topology_numa_at(). size_bytes: is rounded up to whole pages.
 * Returns: 0 and *ret_memory (the caller owns it: skua_numa_free()); SKUA_E_NO_MEMORY, SKUA_E_BAD_ARGUMENT.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_numa_alloc(const skua_topology *topology, uint32_t numa,
                                                     size_t size_bytes, void **ret_memory,
                                                     skua_error *err);
/**
 * Frees memory of skua_numa_alloc(); size_bytes is what was asked for. Takes NULL.
 *
 * Returns: NULL.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void *skua_numa_free(void *memory, size_t size_bytes);

/**
 * The NUMA node on which the page of an address lies.
 *
 * memory: any mapped address; it is not read.
 * Returns: 0 and *ret_numa, an index for skua_topology_numa_at(); SKUA_E_NOT_FOUND when nothing was written there yet;
 * SKUA_E_UNSUPPORTED when the topology is a pretended one, or the kernel does not tell; SKUA_E_BAD_ARGUMENT.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_numa_of(const skua_topology *topology, const void *memory,
                                                  uint32_t *ret_numa, skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
