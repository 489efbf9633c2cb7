// SPDX-License-Identifier: MPL-2.0
// The only file that knows hwloc: it copies what the executor needs into plain tables and lets hwloc go.
#include "draw.h"
#include "plan.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <skua-int/quota.h>
#include <skua/topology.h>

#include <assert.h>
#include <errno.h>
#include <hwloc.h>
#include <inttypes.h>
#include <string.h>

enum {
    DISTANCE_LOCAL = 10,
    DISTANCE_REMOTE = 20,
};

struct skua_topology {
    const skua_allocator *hook;
    skua_topology_pu *pus;
    skua_topology_numa *numas;
    uint32_t *distances; /* numa_count rows of numa_count */
    uint32_t pu_count, core_count, package_count, numa_count;
    double quota_cpus;
    bool pretended; /* not the machine we run on */
};

void
skua_topology_options_init(skua_topology_options *options, size_t size) {
    assert(options && size >= sizeof options->size);
    memset(options, 0, size);
    options->size = size;
}

/* Loads what options describe, or returns a failure with *ret_hwloc untouched. */
static skua_status
load_hwloc(const skua_topology_options *options, hwloc_topology_t *ret_hwloc, skua_error *err) {
    hwloc_topology_t hwloc = NULL;
    if (hwloc_topology_init(&hwloc) != 0) {
        return SKUA_FAIL_MEMORY(err, "hwloc's topology");
    }
    skua_status status = SKUA_OK;
    if (options->synthetic && hwloc_topology_set_synthetic(hwloc, options->synthetic) != 0) {
        status = SKUA_FAIL(err, SKUA_E_BAD_TOPOLOGY,
                           "the synthetic topology \"%s\" cannot be understood; write it as "
                           "\"numa:2 core:4 pu:2\"",
                           options->synthetic);
    } else if (options->xml_path && hwloc_topology_set_xml(hwloc, options->xml_path) != 0) {
        int os_errno = errno;
        status = SKUA_FAIL_ERRNO(err, os_errno == ENOENT ? SKUA_E_FILE : SKUA_E_BAD_TOPOLOGY,
                                 os_errno, "the topology file \"%s\" cannot be read: %s",
                                 options->xml_path, strerror(os_errno));
    } else if (hwloc_topology_load(hwloc) != 0) {
        status = SKUA_FAIL_ERRNO(err, SKUA_E_BAD_TOPOLOGY, errno,
                                 "hwloc cannot load the topology: %s", strerror(errno));
    }
    if (status != SKUA_OK) {
        hwloc_topology_destroy(hwloc);
        return status;
    }
    *ret_hwloc = hwloc;
    return SKUA_OK;
}

/* The PUs that we may use: under taskset hwloc still reports every one, so the thread's mask is laid over it. */
static hwloc_bitmap_t
usable_set(hwloc_topology_t hwloc) {
    hwloc_bitmap_t set = hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(hwloc));
    hwloc_bitmap_t mask = hwloc_bitmap_alloc();
    if (set && mask && hwloc_topology_is_thissystem(hwloc) &&
        hwloc_get_cpubind(hwloc, mask, HWLOC_CPUBIND_THREAD) == 0) {
        hwloc_bitmap_and(set, set, mask);
    }
    hwloc_bitmap_free(mask);
    return set;
}

/* How many objects of a type have a usable PU; before (exclusive) the logical index end. */
static uint32_t
count_usable(hwloc_topology_t hwloc, hwloc_const_bitmap_t usable, hwloc_obj_type_t type,
             unsigned end) {
    uint32_t count = 0;
    hwloc_obj_t object = NULL;
    while ((object = hwloc_get_next_obj_by_type(hwloc, type, object)) != NULL &&
           object->logical_index < end) {
        if (hwloc_bitmap_intersects(object->cpuset, usable)) {
            count++;
        }
    }
    return count;
}

/* 0-based among the usable objects of that type; 0 where the machine has no such level. */
static uint32_t
index_above(hwloc_topology_t hwloc, hwloc_const_bitmap_t usable, hwloc_obj_t pu,
            hwloc_obj_type_t type) {
    hwloc_obj_t above = hwloc_get_ancestor_obj_by_type(hwloc, type, pu);
    return above ? count_usable(hwloc, usable, type, above->logical_index) : 0;
}

static uint32_t
numa_of(hwloc_topology_t hwloc, hwloc_obj_t pu) {
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, node)) != NULL) {
        if (hwloc_bitmap_isset(node->cpuset, pu->os_index)) {
            return node->logical_index;
        }
    }
    return 0;
}

/* The first row whose PU shares that cache, or where the machine tells of none the core, with the newest row's. */
static uint32_t
first_sharing(const skua_topology *topology, hwloc_topology_t hwloc, hwloc_obj_t pu,
              hwloc_obj_type_t type) {
    uint32_t newest = topology->pu_count - 1, i = 0;
    hwloc_obj_t cache = hwloc_get_ancestor_obj_by_type(hwloc, type, pu);
    for (; i < newest; i++) {
        const skua_topology_pu *other = &topology->pus[i];
        if (cache ? hwloc_bitmap_isset(cache->cpuset, other->os_index)
                  : other->core == topology->pus[newest].core) {
            break;
        }
    }
    return i;
}

static void
fill_pus(skua_topology *topology, hwloc_topology_t hwloc, hwloc_const_bitmap_t usable) {
    hwloc_obj_t pu = NULL;
    while ((pu = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_PU, pu)) != NULL) {
        if (!hwloc_bitmap_isset(usable, pu->os_index)) {
            continue;
        }
        uint32_t i = topology->pu_count++;
        skua_topology_pu *row = &topology->pus[i];
        *row = (skua_topology_pu){
            .os_index = pu->os_index,
            .core = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_CORE, pu)
                        ? index_above(hwloc, usable, pu, HWLOC_OBJ_CORE)
                        : i,
            .package = index_above(hwloc, usable, pu, HWLOC_OBJ_PACKAGE),
            .numa = numa_of(hwloc, pu),
        };
        row->l2 = first_sharing(topology, hwloc, pu, HWLOC_OBJ_L2CACHE);
        row->l3 = first_sharing(topology, hwloc, pu, HWLOC_OBJ_L3CACHE);
        bool same_core = i > 0 && row[-1].core == row->core;
        row->rank_in_core = same_core ? row[-1].rank_in_core + 1 : 0;
        topology->core_count += same_core ? 0 : 1;
        topology->numas[row->numa].pus++;
    }
    uint32_t packages = count_usable(hwloc, usable, HWLOC_OBJ_PACKAGE, UINT32_MAX);
    topology->package_count = packages ? packages : 1;
}

static void
fill_numas(skua_topology *topology, hwloc_topology_t hwloc) {
    hwloc_obj_t node = NULL;
    while ((node = hwloc_get_next_obj_by_type(hwloc, HWLOC_OBJ_NUMANODE, node)) != NULL) {
        skua_topology_numa *row = &topology->numas[node->logical_index];
        row->os_index = node->os_index;
        row->memory_bytes = node->attr ? node->attr->numanode.local_memory : 0;
    }
    uint32_t n = topology->numa_count;
    for (uint32_t i = 0; i < n * n; i++) {
        topology->distances[i] = i / n == i % n ? DISTANCE_LOCAL : DISTANCE_REMOTE;
    }
    struct hwloc_distances_s *matrix = NULL;
    unsigned found = 1;
    if (hwloc_distances_get_by_type(hwloc, HWLOC_OBJ_NUMANODE, &found, &matrix,
                                    HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) != 0 ||
        found == 0) {
        return;
    }
    for (unsigned i = 0; i < matrix->nbobjs * matrix->nbobjs; i++) {
        uint32_t a = matrix->objs[i / matrix->nbobjs]->logical_index;
        uint32_t b = matrix->objs[i % matrix->nbobjs]->logical_index;
        if (a < n && b < n) {
            topology->distances[a * n + b] = (uint32_t)matrix->values[i];
        }
    }
    hwloc_distances_release(hwloc, matrix);
}

/* Copies the tables out of hwloc. */
static skua_status
copy_tables(skua_topology *topology, hwloc_topology_t hwloc, skua_error *err) {
    int pus = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_PU);
    int numas = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_NUMANODE);
    topology->numa_count = numas > 0 ? (uint32_t)numas : 1;
    size_t n = topology->numa_count;
    topology->pus =
        skua__mem_new_array(topology->hook, pus > 0 ? (size_t)pus : 1, sizeof *topology->pus);
    topology->numas = skua__mem_new_array(topology->hook, n, sizeof *topology->numas);
    topology->distances = skua__mem_new_array(topology->hook, n * n, sizeof *topology->distances);
    hwloc_bitmap_t usable = usable_set(hwloc);
    skua_status status = SKUA_OK;
    if (!topology->pus || !topology->numas || !topology->distances || !usable) {
        status = SKUA_FAIL_MEMORY(err, "the topology's tables");
    } else {
        fill_numas(topology, hwloc);
        fill_pus(topology, hwloc, usable);
        if (topology->pu_count == 0) {
            status = SKUA_FAIL(err, SKUA_E_BAD_TOPOLOGY,
                               "no processing unit is both allowed and in this thread's affinity "
                               "mask; look at taskset and the cpuset");
        }
    }
    hwloc_bitmap_free(usable);
    return status;
}

skua_status
skua_topology_new(skua_topology **ret_topology, const skua_topology_options *given,
                  skua_error *err) {
    skua_topology_options options;
    if (!ret_topology || !SKUA_READ_OPTIONS(&options, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "ret_topology is NULL, or options have no size or a newer field");
    }
    if (options.synthetic && options.xml_path) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "options name a synthetic topology and an XML file; give one of them");
    }
    skua_topology *topology = skua__mem_new(options.allocator, sizeof *topology);
    if (!topology) {
        return SKUA_FAIL_MEMORY(err, "a topology");
    }
    topology->hook = options.allocator;
    hwloc_topology_t hwloc = NULL;
    skua_status status = load_hwloc(&options, &hwloc, err);
    if (status == SKUA_OK) {
        topology->pretended = !hwloc_topology_is_thissystem(hwloc);
        status = copy_tables(topology, hwloc, err);
        hwloc_topology_destroy(hwloc);
    }
    if (status != SKUA_OK) {
        skua_topology_free(topology);
        return status;
    }
    if (options.quota_cpus > 0) {
        topology->quota_cpus = options.quota_cpus;
    } else if (options.quota_cpus >= 0 && !topology->pretended) {
        topology->quota_cpus = skua__quota_cpus("");
    }
    *ret_topology = topology;
    return SKUA_OK;
}

skua_topology *
skua_topology_free(skua_topology *topology) {
    if (topology) {
        const skua_allocator *hook = topology->hook;
        skua__mem_free(hook, topology->pus);
        skua__mem_free(hook, topology->numas);
        skua__mem_free(hook, topology->distances);
        skua__mem_free(hook, topology);
    }
    return NULL;
}

uint32_t
skua_topology_workers(const skua_topology *topology) {
    assert(topology);
    uint32_t workers = topology->pu_count;
    double quota = topology->quota_cpus;
    if (quota > 0 && quota < (double)workers) {
        uint32_t whole = (uint32_t)quota;
        workers = quota > (double)whole ? whole + 1 : whole;
    }
    return workers ? workers : 1;
}

uint32_t
skua_topology_pus(const skua_topology *topology) {
    assert(topology);
    return topology->pu_count;
}

uint32_t
skua_topology_cores(const skua_topology *topology) {
    assert(topology);
    return topology->core_count;
}

uint32_t
skua_topology_packages(const skua_topology *topology) {
    assert(topology);
    return topology->package_count;
}

uint32_t
skua_topology_numas(const skua_topology *topology) {
    assert(topology);
    return topology->numa_count;
}

double
skua_topology_quota_cpus(const skua_topology *topology) {
    assert(topology);
    return topology->quota_cpus;
}

const skua_topology_pu *
skua_topology_pu_at(const skua_topology *topology, uint32_t i) {
    assert(topology);
    return i < topology->pu_count ? &topology->pus[i] : NULL;
}

const skua_topology_numa *
skua_topology_numa_at(const skua_topology *topology, uint32_t i) {
    assert(topology);
    return i < topology->numa_count ? &topology->numas[i] : NULL;
}

uint32_t
skua_topology_distance(const skua_topology *topology, uint32_t a, uint32_t b) {
    assert(topology);
    uint32_t n = topology->numa_count;
    return a < n && b < n ? topology->distances[a * n + b] : 0;
}

/* ---- The drawing ---- */

static const char *
plural(uint32_t count) {
    return count == 1 ? "" : "s";
}

static void
draw_numa(skua__drawing *to, const skua_topology *topology, uint32_t numa) {
    const skua_topology_numa *node = &topology->numas[numa];
    skua__draw(to, "numa %" PRIu32 ": %" PRIu32 " PU%s, ", numa, node->pus, plural(node->pus));
    if (node->memory_bytes) {
        skua__draw(to, "%.1f GiB\n", (double)node->memory_bytes / (1024.0 * 1024.0 * 1024.0));
    } else {
        skua__draw(to, "no memory\n");
    }
    bool open = false;
    for (uint32_t i = 0; i < topology->pu_count; i++) {
        const skua_topology_pu *pu = &topology->pus[i];
        if (pu->numa != numa) {
            continue;
        }
        if (pu->rank_in_core == 0 || !open) {
            skua__draw(to, "%s  package %" PRIu32 " core %" PRIu32 ": pu", open ? "\n" : "",
                       pu->package, pu->core);
            open = true;
        }
        skua__draw(to, " %" PRIu32, pu->os_index);
    }
    skua__draw(to, open ? "\n" : "");
}

skua_status
skua_topology_text(const skua_topology *topology, char **ret_text, skua_error *err) {
    if (!topology || !ret_text) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL",
                         topology ? "ret_text" : "topology");
    }
    skua__drawing to = {.hook = topology->hook};
    uint32_t n = topology->numa_count;
    uint32_t workers = skua_topology_workers(topology);
    skua__draw(&to,
               "%" PRIu32 " PU%s, %" PRIu32 " core%s, %" PRIu32 " package%s, %" PRIu32
               " NUMA node%s: %" PRIu32 " worker%s",
               topology->pu_count, plural(topology->pu_count), topology->core_count,
               plural(topology->core_count), topology->package_count,
               plural(topology->package_count), n, plural(n), workers, plural(workers));
    if (topology->quota_cpus > 0) {
        skua__draw(&to, " (quota %.2f CPUs)", topology->quota_cpus);
    }
    skua__draw(&to, "\n");
    for (uint32_t i = 0; i < n; i++) {
        draw_numa(&to, topology, i);
    }
    for (uint32_t a = 0; n > 1 && a < n; a++) {
        skua__draw(&to, "distance from numa %" PRIu32 ":", a);
        for (uint32_t b = 0; b < n; b++) {
            skua__draw(&to, " %" PRIu32, topology->distances[a * n + b]);
        }
        skua__draw(&to, "\n");
    }
    if (to.failed) {
        skua__mem_free(to.hook, to.text);
        return SKUA_FAIL_MEMORY(err, "the topology's drawing");
    }
    *ret_text = to.text;
    return SKUA_OK;
}

const skua_allocator *
skua__topology_hook(const skua_topology *topology) {
    return topology->hook;
}

bool
skua__topology_is_real(const skua_topology *topology) {
    return !topology->pretended;
}

skua_topology *
skua__topology_copy(const skua_topology *topology, const skua_allocator *hook) {
    size_t n = topology->numa_count, pus = topology->pu_count;
    skua_topology *copy = skua__mem_copy(hook, topology, sizeof *topology);
    if (!copy) {
        return NULL;
    }
    copy->hook = hook;
    copy->pus = skua__mem_copy(hook, topology->pus, pus * sizeof *copy->pus);
    copy->numas = skua__mem_copy(hook, topology->numas, n * sizeof *copy->numas);
    copy->distances = skua__mem_copy(hook, topology->distances, n * n * sizeof *copy->distances);
    return copy->pus && copy->numas && copy->distances ? copy : skua_topology_free(copy);
}

char *
skua_topology_text_free(const skua_topology *topology, char *text) {
    return text ? skua__mem_free(topology->hook, text) : NULL;
}
