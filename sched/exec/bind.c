// SPDX-License-Identifier: MPL-2.0
// Placement in a living executor: which machine it stands on, its plan, and binding threads and their memory. Threads float
// by default, because the system wakes a floating thread on whatever CPU is idle, several times sooner than a bound one.
#include "engine.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <sched.h>
#include <unistd.h>

/* A second NUMA node that is online: a look that costs a system call, where hwloc takes 20 ms. */
static bool
has_several_nodes(void) {
    return access("/sys/devices/system/node/node1", F_OK) == 0;
}

bool
skua__needs_topology(const skua_exec_options *options) {
    return options->workers == 0 || options->bind == SKUA_BIND_ALWAYS ||
           (options->bind == SKUA_BIND_AUTO && has_several_nodes());
}

skua_status
skua__place_workers(skua_exec *exec, const skua_exec_options *options, skua_topology *topology,
                    skua_error *err) {
    exec->topology = topology;
    exec->bind = options->bind;
    bool real = topology && skua__topology_is_real(topology);
    if (options->bind == SKUA_BIND_ALWAYS && !real) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "bind is SKUA_BIND_ALWAYS, but the topology is not this machine's");
    }
    if (options->bind == SKUA_BIND_AUTO && !(real && skua_topology_numas(topology) > 1)) {
        exec->bind = SKUA_BIND_NEVER;
    }
    return topology
               ? skua__plan_init(&exec->plan, exec->hook, topology, exec->worker_places, 0, err)
               : SKUA_OK;
}

static const skua_topology_pu *
pu_of(const skua__worker *worker) {
    const skua_exec *exec = worker->exec;
    return skua_topology_pu_at(exec->topology, exec->plan.pu[worker->index]);
}

void
skua__bind_here(const skua__worker *worker) {
    if (worker->exec->bind == SKUA_BIND_NEVER) {
        return;
    }
    const skua_topology *topology = worker->exec->topology;
    const skua_topology_pu *own = pu_of(worker);
    cpu_set_t mask;
    CPU_ZERO(&mask);
    const skua_topology_pu *pu;
    for (uint32_t i = 0; (pu = skua_topology_pu_at(topology, i)) != NULL; i++) {
        bool ours = worker->exec->bind == SKUA_BIND_ALWAYS ? pu == own : pu->numa == own->numa;
        if (ours && pu->os_index < CPU_SETSIZE) {
            CPU_SET(pu->os_index, &mask);
        }
    }
    /* A CPU that was taken from us since the look leaves the thread floating: slower, and still right. */
    (void)sched_setaffinity(0, sizeof mask, &mask);
}

void
skua__bind_stack(const skua__worker *worker) {
    if (worker->exec->bind != SKUA_BIND_NEVER) {
        (void)skua__numa_prefer(worker->exec->topology, pu_of(worker)->numa, worker->stack,
                                SKUA_STACK_BYTES);
    }
}

uint32_t
skua_exec_worker_numa(const skua_exec *exec, uint32_t worker) {
    assert(exec);
    if (!exec->topology || worker >= exec->worker_places) {
        return 0;
    }
    return skua_topology_pu_at(exec->topology, exec->plan.pu[worker])->numa;
}
