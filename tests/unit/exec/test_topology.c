// SPDX-License-Identifier: MPL-2.0
// Machines, real and pretended, and the quotas of cgroups as fixtures in a scratch folder.
#include "test.h"

#include "failing_allocator.h"
#include <skua-int/quota.h>
#include <skua/topology.h>

#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static skua_topology *
synthetic(const char *description) {
    skua_topology *topology = NULL;
    skua_error err;
    skua_status status =
        skua_topology_new(&topology, SKUA_TOPOLOGY_OPTIONS(.synthetic = description), &err);
    assert_int_equal(status, SKUA_OK);
    return topology;
}

static void
test_topology_synthetic_tables(void **state) {
    (void)state;
    skua_topology *topology = synthetic("numa:2 core:4 pu:2");
    assert_int_equal(skua_topology_pus(topology), 16);
    assert_int_equal(skua_topology_cores(topology), 8);
    assert_int_equal(skua_topology_numas(topology), 2);
    assert_int_equal(skua_topology_workers(topology), 16);
    assert_true(skua_topology_quota_cpus(topology) <= 0); /* our own quota is not that machine's */
    const skua_topology_pu *pu = skua_topology_pu_at(topology, 11);
    assert_int_equal(pu->numa, 1);
    assert_int_equal(pu->core, 5);
    assert_int_equal(pu->rank_in_core, 1);
    assert_null(skua_topology_pu_at(topology, 16));
    assert_int_equal(skua_topology_numa_at(topology, 0)->pus, 8);
    assert_null(skua_topology_numa_at(topology, 2));
    /* hwloc tells no distances for a synthetic machine. */
    assert_int_equal(skua_topology_distance(topology, 0, 0), 10);
    assert_int_equal(skua_topology_distance(topology, 0, 1), 20);
    assert_int_equal(skua_topology_distance(topology, 0, 2), 0);
    assert_null(skua_topology_free(topology));
}

static void
test_topology_quota_bounds_the_workers(void **state) {
    (void)state;
    const struct {
        double quota;
        uint32_t workers;
    } rows[] = {{0.2, 1}, {1.0, 1}, {1.5, 2}, {3.01, 4}, {64, 8}, {SKUA_UNLIMITED, 8}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        skua_topology *topology = NULL;
        assert_int_equal(skua_topology_new(&topology,
                                           SKUA_TOPOLOGY_OPTIONS(.synthetic = "core:4 pu:2",
                                                                 .quota_cpus = rows[i].quota),
                                           NULL),
                         SKUA_OK);
        assert_int_equal(skua_topology_workers(topology), rows[i].workers);
        skua_topology_free(topology);
    }
}

static void
test_topology_real_keeps_to_the_affinity_mask(void **state) {
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    size_t first = 0;
    while (!CPU_ISSET(first, &before)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    skua_topology *topology = NULL;
    assert_int_equal(skua_topology_new(&topology, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_topology_pus(topology), 1);
    assert_int_equal(skua_topology_workers(topology), 1);
    assert_int_equal(skua_topology_pu_at(topology, 0)->os_index, first);
    assert_int_equal(skua_topology_pu_at(topology, 0)->core, 0);
    skua_topology_free(topology);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(skua_topology_new(&topology, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_topology_pus(topology), CPU_COUNT(&before));
    skua_topology_free(topology);
}

static void
test_topology_text_draws_each_pu(void **state) {
    (void)state;
    skua_topology *topology = synthetic("numa:2 core:1 pu:2");
    char *text = NULL;
    assert_int_equal(skua_topology_text(topology, &text, NULL), SKUA_OK);
    assert_non_null(strstr(text, "4 PUs, 2 cores"));
    assert_non_null(strstr(text, "2 NUMA nodes: 4 workers\n"));
    assert_non_null(strstr(text, "core 1: pu 2 3\n"));
    assert_non_null(strstr(text, "distance from numa 1: 20 10\n"));
    assert_null(skua_topology_text_free(topology, text));
    skua_topology_free(topology);
}

static void
test_topology_bad_descriptions_are_named(void **state) {
    (void)state;
    skua_topology *topology = NULL;
    skua_error err;
    assert_int_equal(
        skua_topology_new(&topology, SKUA_TOPOLOGY_OPTIONS(.synthetic = "numa:two"), &err),
        SKUA_E_BAD_TOPOLOGY);
    assert_non_null(strstr(err.message, "numa:two"));
    assert_int_equal(
        skua_topology_new(&topology, SKUA_TOPOLOGY_OPTIONS(.xml_path = "/nonexistent/m.xml"), &err),
        SKUA_E_FILE);
    assert_int_equal(
        skua_topology_new(&topology,
                          SKUA_TOPOLOGY_OPTIONS(.xml_path = "m.xml", .synthetic = "pu:2"), &err),
        SKUA_E_BAD_ARGUMENT);
    assert_null(topology);
}

static void
test_topology_allocator_failures_leave_nothing(void **state) {
    (void)state;
    for (long n = 1;; n++) {
        failing_allocator hook;
        failing_allocator_init(&hook, n);
        skua_topology *topology = NULL;
        char *text = NULL;
        skua_status status = skua_topology_new(
            &topology, SKUA_TOPOLOGY_OPTIONS(.allocator = &hook.hook, .synthetic = "numa:2 pu:2"),
            NULL);
        if (status == SKUA_OK) {
            status = skua_topology_text(topology, &text, NULL);
            skua_topology_text_free(topology, text);
        }
        skua_topology_free(topology);
        assert_int_equal(atomic_load(&hook.alive), 0);
        if (status == SKUA_OK) {
            assert_true(n > 4);
            return;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
    }
}

/* ---- Quotas: files as a kernel shows them ---- */

static void
put_file(const char *root, const char *path, const char *text) {
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static bool
about(double a, double b) {
    return a > b - 1e-9 && a < b + 1e-9;
}

static void
test_quota_version_2_takes_the_smallest_on_the_way_up(void **state) {
    const char *root = *state;
    put_file(root, "/proc/self/cgroup", "0::/user.slice/job\n");
    put_file(root, "/proc/self/mountinfo",
             "25 1 8:1 / / rw - ext4 /dev/sda rw\n"
             "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
    put_file(root, "/sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n");
    assert_true(about(skua__quota_cpus(root), 0));
    put_file(root, "/sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n");
    assert_true(about(skua__quota_cpus(root), 1.5));
    put_file(root, "/sys/fs/cgroup/user.slice/job/cpu.max", "250000 100000\n");
    assert_true(about(skua__quota_cpus(root), 1.5));
    put_file(root, "/sys/fs/cgroup/user.slice/job/cpu.max", "20000 100000\n");
    assert_true(about(skua__quota_cpus(root), 0.2));
}

static void
test_quota_version_1_in_a_container(void **state) {
    const char *root = *state;
    put_file(root, "/proc/self/cgroup", "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n");
    put_file(root, "/proc/self/mountinfo",
             "31 25 0:27 /docker/ab /cg/cpuset rw - cgroup cgroup rw,cpuset\n"
             "32 25 0:28 /docker/ab /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
    put_file(root, "/cg/cpu/cpu.cfs_quota_us", "-1\n");
    put_file(root, "/cg/cpu/cpu.cfs_period_us", "50000\n");
    assert_true(about(skua__quota_cpus(root), 0));
    put_file(root, "/cg/cpu/cpu.cfs_quota_us", "125000\n");
    assert_true(about(skua__quota_cpus(root), 2.5));
}

static void
test_quota_without_files_is_none(void **state) {
    const char *root = *state;
    put_file(root, "/proc/self/cgroup", "garbage\n\n:::\n");
    put_file(root, "/proc/self/mountinfo", "garbage - \n - \n");
    assert_true(about(skua__quota_cpus(root), 0));
    assert_true(about(skua__quota_cpus("/nonexistent"), 0));
}

static int
scratch_begin(void **state) {
    static char root[] = "/tmp/skua-quota-XXXXXX";
    strcpy(root + sizeof root - 7, "XXXXXX");
    *state = mkdtemp(root);
    return *state ? 0 : -1;
}

static int
scratch_end(void **state) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
    return system(command);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topology_synthetic_tables),
        cmocka_unit_test(test_topology_quota_bounds_the_workers),
        cmocka_unit_test(test_topology_real_keeps_to_the_affinity_mask),
        cmocka_unit_test(test_topology_text_draws_each_pu),
        cmocka_unit_test(test_topology_bad_descriptions_are_named),
        cmocka_unit_test(test_topology_allocator_failures_leave_nothing),
        cmocka_unit_test_setup_teardown(test_quota_version_2_takes_the_smallest_on_the_way_up,
                                        scratch_begin, scratch_end),
        cmocka_unit_test_setup_teardown(test_quota_version_1_in_a_container, scratch_begin,
                                        scratch_end),
        cmocka_unit_test_setup_teardown(test_quota_without_files_is_none, scratch_begin,
                                        scratch_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
