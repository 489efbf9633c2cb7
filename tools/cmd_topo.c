// SPDX-License-Identifier: MPL-2.0
// `skua topo`: what the executor sees of this machine, or of the description of one, and its OpenCL devices.
#include "cli.h"

#include <skua/device.h>
#include <skua/lease.h>
#include <skua/topology.h>
#include <string.h>

static void
put_device(skua__json *json, const skua_device_info *device) {
    skua__json_object(json);
    skua__json_put_text(json, "name", device->name);
    skua__json_put_text(json, "kind", skua_device_kind_text(device->kind));
    skua__json_put_text(json, "platform", device->platform);
    skua__json_put_text(json, "driver", device->driver);
    skua__json_put_u64(json, "units", device->units);
    skua__json_put_u64(json, "memory_bytes", device->memory_bytes);
    skua__json_key(json, "numa");
    if (device->numa < 0) {
        skua__json_null(json);
    } else {
        skua__json_i64(json, device->numa);
    }
    skua__json_put_bool(json, "usable", device->usable);
    skua__json_object_end(json);
}

static void
answer_devices(skua__json *json, const skua_devices *devices) {
    skua__json_key(json, "devices");
    skua__json_array(json);
    for (size_t i = 0; i < skua_devices_count(devices); i++) {
        skua_device_info device = {.size = sizeof device};
        if (skua_devices_at(devices, i, &device, NULL) == SKUA_OK) {
            put_device(json, &device);
        }
    }
    skua__json_array_end(json);
}

static void
print_devices(const skua_devices *devices) {
    if (skua_devices_count(devices) == 0) {
        printf("devices: none (%s)\n", skua_devices_reason(devices));
    }
    for (size_t i = 0; i < skua_devices_count(devices); i++) {
        skua_device_info device = {.size = sizeof device};
        if (skua_devices_at(devices, i, &device, NULL)) {
            continue;
        }
        char numa[24] = "";
        if (device.numa >= 0) {
            snprintf(numa, sizeof numa, ", numa %d", (int)device.numa);
        }
        printf("device %zu: %s %s, %u units, %.1f GB%s%s\n", i, skua_device_kind_text(device.kind),
               device.name, device.units, (double)device.memory_bytes / 1e9, numa,
               device.usable                    ? ""
               : device.kind == SKUA_DEVICE_CPU ? " (the cores again: off unless asked for)"
                                                : " (no compiler: not usable)");
    }
}

static void
answer(skua__json *json, const skua_topology *topology) {
    skua__json_put_u64(json, "workers", skua_topology_workers(topology));
    skua__json_put_u64(json, "packages", skua_topology_packages(topology));
    skua__json_put_u64(json, "cores", skua_topology_cores(topology));
    double quota_cpus = skua_topology_quota_cpus(topology);
    skua__json_key(json, "quota_cpus");
    if (quota_cpus > 0) {
        skua__json_double(json, quota_cpus);
    } else {
        skua__json_null(json);
    }
    skua__json_key(json, "numa");
    skua__json_array(json);
    const skua_topology_numa *numa;
    for (uint32_t i = 0; (numa = skua_topology_numa_at(topology, i)) != NULL; i++) {
        skua__json_object(json);
        skua__json_put_u64(json, "os_index", numa->os_index);
        skua__json_put_u64(json, "pus", numa->pus);
        skua__json_put_u64(json, "memory_bytes", numa->memory_bytes);
        skua__json_key(json, "distances");
        skua__json_array(json);
        for (uint32_t to = 0; to < skua_topology_numas(topology); to++) {
            skua__json_u64(json, skua_topology_distance(topology, i, to));
        }
        skua__json_array_end(json);
        skua__json_object_end(json);
    }
    skua__json_array_end(json);
    skua__json_key(json, "pus");
    skua__json_array(json);
    const skua_topology_pu *pu;
    for (uint32_t i = 0; (pu = skua_topology_pu_at(topology, i)) != NULL; i++) {
        skua__json_object(json);
        skua__json_put_u64(json, "os_index", pu->os_index);
        skua__json_put_u64(json, "core", pu->core);
        skua__json_put_u64(json, "package", pu->package);
        skua__json_put_u64(json, "numa", pu->numa);
        skua__json_put_u64(json, "l2", pu->l2);
        skua__json_put_u64(json, "l3", pu->l3);
        skua__json_object_end(json);
    }
    skua__json_array_end(json);
}

static void
answer_lease(skua__json *json) {
    skua__json_key(json, "lease");
    skua__json_array(json);
    uint32_t position = 0;
    skua_lease_pool pool = {.size = sizeof pool};
    while (!skua_lease_next(0, &position, &pool, NULL)) {
        skua__json_object(json);
        skua__json_key(json, "process");
        skua__json_i64(json, pool.process);
        skua__json_put_u64(json, "workers", pool.workers);
        skua__json_put_u64(json, "share", pool.share);
        skua__json_put_u64(json, "awake", pool.awake);
        skua__json_put_bool(json, "fixed", pool.fixed);
        skua__json_object_end(json);
    }
    skua__json_array_end(json);
}

static void
print_lease(void) {
    uint32_t position = 0;
    skua_lease_pool pool = {.size = sizeof pool};
    while (!skua_lease_next(0, &position, &pool, NULL)) {
        printf("executor of process %lld: %u of %u workers, %u awake%s\n", (long long)pool.process,
               pool.share, pool.workers, pool.awake, pool.fixed ? " (its own number)" : "");
    }
}

static skua_status
print_text(cli *self, const skua_topology *topology) {
    char *text = NULL;
    skua_status status = skua_topology_text(topology, &text, &self->err);
    if (!status) {
        fputs(text, stdout);
        text = skua_topology_text_free(topology, text);
    }
    if (!status && cli_flag_value(self, "--plan")) {
        status = skua_topology_plan_text(topology, 0, &text, &self->err);
    }
    if (!status && text) {
        fputs(text, stdout);
    }
    skua_topology_text_free(topology, text);
    return status;
}

static skua_status
run_topo(cli *self) {
    const char *synthetic = cli_flag_value(self, "--synthetic");
    const char *xml_path = cli_flag_value(self, "--xml");
    skua_topology *topology = NULL;
    skua_devices *devices = NULL;
    skua_status status = skua_topology_new(
        &topology, SKUA_TOPOLOGY_OPTIONS(.synthetic = synthetic, .xml_path = xml_path), &self->err);
    if (!status && !synthetic && !xml_path) {
        status = skua_devices_open(&devices, NULL, &self->err); /* a described machine has none */
    }
    if (!status && self->json) {
        skua__json *json = cli_answer(self);
        answer(json, topology);
        answer_devices(json, devices);
        answer_lease(json);
        status = cli_answer_end(self);
    } else if (!status) {
        status = print_text(self, topology);
        if (!status && devices) {
            print_devices(devices);
            print_lease();
        }
    }
    skua_devices_close(devices);
    skua_topology_free(topology);
    return status;
}

static const cli_flag topo_flags[] = {
    {"--synthetic", "TEXT", "a machine to pretend to be, such as \"numa:2 core:4 pu:2\""},
    {"--xml", "FILE", "a machine as saved by lstopo"},
    {"--plan", NULL, "also where each worker stands, and from whom it steals, nearest first"},
    {NULL, NULL, NULL},
};

const cli_command cli_cmd_topo = {
    .name = "topo",
    .form = "",
    .summary = "Show the cores, NUMA nodes, limits and OpenCL devices of this machine",
    .details =
        "What counts is what this process may use: its affinity mask and its cgroup's CPU quota.\n"
        "Executors of your other processes, with which it would share its cores, are listed too.",
    .examples = "skua topo --plan\nskua topo --synthetic \"numa:2 core:4 pu:2\" --json",
    .flags = topo_flags,
    .run = run_topo,
};
