// SPDX-License-Identifier: MPL-2.0
// `skua doctor`: looks for what would keep nodes apart on this machine, and says what to do about it.
#include "cli.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <skua-int/clock.h>
#include <skua/device.h>
#include <skua/fleet.h>
#include <skua/lease.h>
#include <skua/topology.h>
#include <skua/version.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MEET_MS = 5000, FEW_DESCRIPTORS = 1024, TOO_FEW_DESCRIPTORS = 64 };

typedef enum verdict { GOOD, WARNING, BAD } verdict;

static const char *const verdict_words[] = {"ok", "warning", "failed"};

struct doctor {
    cli *cli;
    skua__json *json; /* NULL: for people */
    size_t warnings, failures;
};

/* Tells one finding; advice may be NULL. */
static void tell(struct doctor *self, verdict found, const char *check, const char *advice,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

static void
tell(struct doctor *self, verdict found, const char *check, const char *advice, const char *format,
     ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    self->warnings += found == WARNING;
    self->failures += found == BAD;
    if (self->json) {
        skua__json_object(self->json);
        skua__json_put_text(self->json, "check", check);
        skua__json_put_text(self->json, "verdict", verdict_words[found]);
        skua__json_put_text(self->json, "found", text);
        skua__json_put_text(self->json, "next", advice);
        skua__json_object_end(self->json);
        return;
    }
    static const char *const colours[] = {"\033[32m", "\033[33m", "\033[31m"};
    bool colour = self->cli->colour_out;
    cli_say(self->cli, "%s%-8s%s %-12s %s\n", colour ? colours[found] : "", verdict_words[found],
            colour ? "\033[0m" : "", check, text);
    if (advice) {
        cli_say(self->cli, "%21s %s\n", "next:", advice);
    }
}

static void
look_at_fleet(struct doctor *self) {
    skua_fleet_info info = {.size = sizeof info};
    skua_error err;
    skua_status status = skua_fleet_show(self->cli->fleet, &info, &err);
    if (status == SKUA_E_NO_FLEET && !self->cli->fleet) {
        tell(self, GOOD, "fleet", NULL, "none yet: a personal one will be made on first use");
        return;
    }
    if (status) {
        const skua_error_info *row = skua_error_lookup(status);
        tell(self, BAD, "fleet", row ? row->next : NULL, "%s %s", err.code, err.message);
        return;
    }
    if (info.has_certificate && info.expired) {
        tell(self, BAD, "fleet", "Issue a new certificate with `skua fleet issue`.",
             "the certificate of %s has expired", info.name);
        return;
    }
    tell(self, GOOD, "fleet", NULL, "%s, in %s",
         info.personal ? "personal: this machine only" : "shared", info.dir);
    int64_t left_s = info.expires_s - skua__clock_wall_s();
    if (info.has_certificate && left_s < 7 * 24 * 3600) {
        tell(self, WARNING, "certificate", "Issue a new one with `skua fleet issue`.",
             "%s's runs out in %" PRId64 " hours", info.name, left_s / 3600);
    }
}

static void
look_at_interfaces(struct doctor *self) {
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        tell(self, WARNING, "interfaces", NULL, "cannot be listed");
        return;
    }
    char names[256] = "";
    bool loopback = false;
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || !(at->ifa_flags & IFF_UP)) {
            continue;
        }
        loopback |= (at->ifa_flags & IFF_LOOPBACK) != 0;
        char address[INET_ADDRSTRLEN];
        struct sockaddr_in in;
        memcpy(&in, at->ifa_addr, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, address, sizeof address);
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s %s", used ? ", " : "", at->ifa_name,
                 address);
    }
    freeifaddrs(all);
    if (loopback) {
        tell(self, GOOD, "interfaces", NULL, "%s", names);
    } else {
        tell(self, BAD, "interfaces", "Bring it up: `ip link set lo up`.",
             "there is no loopback interface (found: %s)", *names ? names : "none");
    }
}

static void
look_at_limits(struct doctor *self) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    uint64_t most = limit.rlim_cur;
    verdict found = most < TOO_FEW_DESCRIPTORS ? BAD : most < FEW_DESCRIPTORS ? WARNING : GOOD;
    tell(self, found, "descriptors", found == GOOD ? NULL : "Raise the limit: `ulimit -n 4096`.",
         "at most %" PRIu64 " files and sockets", most);
}

static void
look_at_cores(struct doctor *self) {
    skua_topology *topology = NULL;
    skua_error err;
    if (skua_topology_new(&topology, NULL, &err)) {
        tell(self, BAD, "cores", NULL, "%s %s", err.code, err.message);
        return;
    }
    double quota = skua_topology_quota_cpus(topology);
    uint32_t workers = skua_topology_workers(topology), pus = skua_topology_pus(topology);
    uint32_t numas = skua_topology_numas(topology);
    if (quota > 0 && workers < pus) {
        tell(self, WARNING, "cores", "The cgroup's CPU quota limits it.",
             "%u PUs, but a quota of %.2f CPUs: %u workers", pus, quota, workers);
    } else {
        tell(self, GOOD, "cores", NULL, "%u PUs, %u NUMA node%s: %u workers", pus, numas,
             numas == 1 ? "" : "s", workers);
    }
    skua_topology_free(topology);
}

static void
look_at_lease(struct doctor *self) {
    uint32_t position = 0, pools = 0;
    skua_lease_pool pool = {.size = sizeof pool};
    skua_error err;
    skua_status status;
    while (!(status = skua_lease_next(0, &position, &pool, &err))) {
        pools++;
    }
    if (status == SKUA_E_NOT_FOUND) {
        tell(self, GOOD, "lease", NULL, "cores are shared with %u other executors now", pools);
    } else {
        tell(self, WARNING, "lease",
             "See `ipcs -m` and `ipcrm`, or the limits kernel.shmmax and kernel.shmmni; programs "
             "run "
             "all the same, each with as many workers as it likes.",
             "%s", err.message);
    }
}

/* Whether PoCL could keep what it compiles; where it cannot, it has no device and says nothing. */
static bool
pocl_cache_is_bad(char *ret_path, size_t size) {
    const char *given = getenv("POCL_CACHE_DIR"), *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    snprintf(ret_path, size, "%s%s",
             given   ? given
             : cache ? cache
             : home  ? home
                     : "/tmp",
             given ? "/" : "");
    /* The folder itself is made by PoCL: the nearest one that is there must be writable. */
    for (char *slash; access(ret_path, F_OK) != 0 && (slash = strrchr(ret_path, '/')) != NULL;) {
        if (errno == ENOTDIR) {
            return true;
        }
        *slash = 0;
    }
    return access(*ret_path ? ret_path : "/", W_OK) != 0;
}

/* A driver's library that is here, though the loader may not know of it. NULL: none of those that we know. */
static const char *
driver_here(void) {
    static const char *const drivers[] = {"libnvidia-opencl.so.1", "libamdocl64.so", "libigdrcl.so",
                                          "libpocl.so.2"};
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        void *library = dlopen(drivers[i], RTLD_LAZY | RTLD_LOCAL);
        if (library) {
            dlclose(library);
            return drivers[i];
        }
    }
    return NULL;
}

/* No device at all is no fault of the machine, but a driver that has none wants a word. */
static void
look_at_devices(struct doctor *self) {
    skua_devices *devices = NULL;
    skua_error err;
    if (skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1), &err)) {
        tell(self, WARNING, "devices", NULL, "%s %s", err.code, err.message);
        return;
    }
    const char *reason = skua_devices_reason(devices);
    skua_device_info first = {.size = sizeof first};
    char folder[4096], advice[256] = "Install the driver's ICD file below /etc/OpenCL/vendors.";
    const char *driver = skua_devices_count(devices) ? NULL : driver_here();
    if (driver) {
        snprintf(advice, sizeof advice,
                 "%s is here: set OCL_ICD_VENDORS=%s, or install its ICD file below "
                 "/etc/OpenCL/vendors.",
                 driver, driver);
    }
    if (skua_devices_at(devices, 0, &first, NULL) == SKUA_OK) {
        tell(self, GOOD, "devices", NULL, "%s; the first is %s (%s, %s)", reason, first.name,
             skua_device_kind_text(first.kind), first.platform);
    } else if (!driver && (strstr(reason, "not installed") || strstr(reason, "no OpenCL driver"))) {
        tell(self, GOOD, "devices", NULL, "%s: kernels run on the cores", reason);
    } else if (pocl_cache_is_bad(folder, sizeof folder)) {
        tell(self, WARNING, "devices",
             "Set POCL_CACHE_DIR to a folder that can be written, if the driver is PoCL.",
             "%s; \"%s\" cannot be written", reason, folder);
    } else {
        tell(self, WARNING, "devices", advice, "%s", reason);
    }
    skua_devices_close(devices);
}

static skua_status
await_meeting(cli *tool, skua_node *node, int64_t deadline_ns) {
    for (;;) {
        skua_status stopped = cli_check_signals(tool);
        if (stopped) {
            return stopped;
        }
        skua_status status = skua_node_await_peers(node, 1, cli_slice_ms(deadline_ns), &tool->err);
        if (status != SKUA_E_NO_PEERS || skua__deadline_left_ms(deadline_ns) == 0) {
            return status;
        }
    }
}

/* Two nodes of this fleet in this process: beacons, certificates, the self-test of ZAP and the control link all work. */
static skua_status
let_two_meet(struct doctor *self) {
    cli *tool = self->cli;
    skua_node *nodes[2] = {NULL, NULL};
    skua_status status = cli_open_node(tool, &nodes[0]);
    int64_t start_ns = skua__clock_ns();
    if (!status) {
        status = skua_node_open(&nodes[1],
                                SKUA_NODE_OPTIONS(.fleet_dir = tool->fleet, .name = tool->name,
                                                  .interfaces = tool->interfaces,
                                                  .interface_count = tool->interface_count),
                                &tool->err);
    }
    if (!status) {
        status = await_meeting(tool, nodes[0], cli_deadline_ns(tool, MEET_MS));
    }
    double took_ms = (double)(skua__clock_ns() - start_ns) / 1e6;
    if (status == SKUA_E_INTERRUPTED) {
        /* nothing was found out */
    } else if (status) {
        const skua_error_info *row = skua_error_lookup(status);
        tell(self, BAD, "two nodes", row ? row->next : NULL, "%s %s", tool->err.code,
             tool->err.message);
    } else {
        tell(self, GOOD, "two nodes", NULL, "met here within %.0f ms", took_ms);
    }
    skua_node_close(nodes[1]);
    skua_node_close(nodes[0]);
    return status == SKUA_E_INTERRUPTED ? status : SKUA_OK;
}

static skua_status
run_doctor(cli *self) {
    struct doctor doctor = {.cli = self};
    if (self->json) {
        doctor.json = cli_answer(self);
        skua__json_put_text(doctor.json, "version", skua_version_string());
        skua__json_key(doctor.json, "checks");
        skua__json_array(doctor.json);
    }
    look_at_cores(&doctor);
    look_at_devices(&doctor);
    look_at_lease(&doctor);
    look_at_limits(&doctor);
    look_at_interfaces(&doctor);
    look_at_fleet(&doctor);
    skua_status status = let_two_meet(&doctor);
    if (!status && doctor.failures) {
        status = cli_fail(self, SKUA_E_UNSUPPORTED, "%zu of the checks failed", doctor.failures);
    }
    if (!self->json) {
        return status;
    }
    skua__json_array_end(doctor.json);
    skua__json_put_u64(doctor.json, "warnings", doctor.warnings);
    skua__json_put_u64(doctor.json, "failures", doctor.failures);
    if (status) {
        cli_put_error(doctor.json, &self->err);
    }
    skua_status written = cli_answer_end(self);
    return status ? status : written;
}

const cli_command cli_cmd_doctor = {
    .name = "doctor",
    .form = "",
    .summary = "Look for what would keep nodes apart, and say what to do",
    .details = "It looks at cores and quotas, OpenCL devices, limits, interfaces and the fleet, "
               "and lets two\n"
               "nodes meet in this process.",
    .examples = "skua doctor\nskua doctor --fleet ./fleet/nodes/worker-1 --interface eth0 --json",
    .run = run_doctor,
};
