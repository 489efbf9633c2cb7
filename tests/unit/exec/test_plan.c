// SPDX-License-Identifier: MPL-2.0
// Where workers stand and from whom they steal: machines that we do not have, each with its recorded plan. To record the
// plans anew after a change that is meant, run this test with SKUA_TEST_RECORD=1 and look at the differences.
#include "test.h"

#include "failing_allocator.h"
#include "plan.h"
#include <skua/topology.h>

#include <string.h>

enum { FIXTURE_BYTES_MAX = 1 << 16 };

typedef struct machine {
    const char
        *name; /* tests/fixtures/topology/NAME.plan, and NAME.xml where there is no description */
    const char *synthetic;
    double quota_cpus;
    uint32_t workers; /* 0: as many as fit */
} machine;

static const machine machines[] = {
    {"numa4-core8-pu2", "numa:4 core:8 pu:2", 0, 0},
    {"numa2-l3-l2", "numa:2 l3:2 l2:2 core:2 pu:1", 0, 0},
    {"smt-only", "core:4 pu:2", 0, 11}, /* more workers than processing units */
    {"quota", "numa:2 core:4 pu:2", 2.5, 0},
    {"uneven", NULL, 0, 0},
    {"memoryless", NULL, 0, 0},
    {"cpuset", NULL, 0, 0},
};

static skua_topology *
load(const machine *from) {
    char xml[512];
    snprintf(xml, sizeof xml, "%s/topology/%s.xml", TEST_FIXTURES, from->name);
    skua_topology *topology = NULL;
    skua_error err;
    skua_status status =
        skua_topology_new(&topology,
                          SKUA_TOPOLOGY_OPTIONS(.synthetic = from->synthetic,
                                                .xml_path = from->synthetic ? NULL : xml,
                                                .quota_cpus = from->quota_cpus),
                          &err);
    assert_int_equal(status, SKUA_OK);
    return topology;
}

static void
compare(const char *name, const char *text) {
    static char kept[FIXTURE_BYTES_MAX];
    char path[512];
    snprintf(path, sizeof path, "%s/topology/%s.plan", TEST_FIXTURES, name);
    bool record = getenv("SKUA_TEST_RECORD") != NULL;
    FILE *file = fopen(path, record ? "we" : "re");
    assert_non_null(file);
    if (record) {
        assert_int_equal(fputs(text, file) < 0, 0);
    } else {
        kept[fread(kept, 1, sizeof kept - 1, file)] = 0;
        assert_string_equal(kept, text);
    }
    assert_int_equal(fclose(file), 0);
}

static void
test_plan_is_as_recorded(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        skua_topology *topology = load(&machines[i]);
        char *drawing = NULL, *plan = NULL;
        assert_int_equal(skua_topology_text(topology, &drawing, NULL), SKUA_OK);
        assert_int_equal(skua_topology_plan_text(topology, machines[i].workers, &plan, NULL),
                         SKUA_OK);
        char *both = malloc(strlen(drawing) + strlen(plan) + 1);
        assert_non_null(both);
        strcat(strcpy(both, drawing), plan);
        compare(machines[i].name, both);
        free(both);
        skua_topology_text_free(topology, drawing);
        skua_topology_text_free(topology, plan);
        skua_topology_free(topology);
    }
}

/* What must hold on any machine, whatever was recorded. */
static void
check_plan(const skua_topology *topology, const skua__plan *plan) {
    uint32_t workers = plan->workers;
    bool *seen = calloc(workers, sizeof *seen);
    assert_non_null(seen);
    for (uint32_t w = 0; w < workers; w++) {
        memset(seen, 0, workers * sizeof *seen);
        seen[w] = true;
        const skua__victim *row = skua__plan_victims(plan, w);
        for (uint32_t i = 0; i + 1 < workers; i++) {
            assert_false(seen[row[i].worker]);
            seen[row[i].worker] = true;
            assert_true(i == 0 || row[i - 1].nearness <= row[i].nearness);
            const skua_topology_pu *mine = skua_topology_pu_at(topology, plan->pu[w]);
            const skua_topology_pu *other = skua_topology_pu_at(topology, plan->pu[row[i].worker]);
            assert_int_equal(mine->core == other->core, row[i].nearness <= PLAN_SAME_CORE);
            assert_int_equal(mine->numa != other->numa, row[i].nearness >= PLAN_REMOTE);
        }
        /* No core has a second worker before each has one; nor a processing unit. */
        for (uint32_t before = 0; before < w; before++) {
            if (w < skua_topology_cores(topology)) {
                assert_int_not_equal(skua_topology_pu_at(topology, plan->pu[before])->core,
                                     skua_topology_pu_at(topology, plan->pu[w])->core);
            }
            if (w < skua_topology_pus(topology)) {
                assert_int_not_equal(plan->pu[before], plan->pu[w]);
            }
        }
    }
    free(seen);
}

static void
test_plan_holds_its_rules_for_any_count(void **state) {
    (void)state;
    uint64_t seed = test_seed(7);
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        skua_topology *topology = load(&machines[i]);
        for (uint32_t workers = 1; workers <= 40; workers += 3) {
            skua__plan plan;
            assert_int_equal(skua__plan_init(&plan, NULL, topology, workers, seed + i, NULL),
                             SKUA_OK);
            check_plan(topology, &plan);
            skua__plan_fini(&plan);
        }
        skua_topology_free(topology);
    }
}

static void
test_plan_seed_shuffles_within_a_class_only(void **state) {
    (void)state;
    skua_topology *topology = load(&machines[0]);
    skua__plan one, same, other;
    assert_int_equal(skua__plan_init(&one, NULL, topology, 64, 1, NULL), SKUA_OK);
    assert_int_equal(skua__plan_init(&same, NULL, topology, 64, 1, NULL), SKUA_OK);
    assert_int_equal(skua__plan_init(&other, NULL, topology, 64, 1000, NULL), SKUA_OK);
    size_t bytes = (size_t)64 * 63 * sizeof(skua__victim);
    assert_memory_equal(one.victims, same.victims, bytes);
    assert_int_not_equal(memcmp(one.victims, other.victims, bytes), 0);
    assert_memory_equal(one.pu, other.pu, 64 * sizeof *one.pu);
    /* Two workers of one core do not look at the rest of their node in the same order. */
    const skua__victim *a = skua__plan_victims(&one, 0), *b = skua__plan_victims(&one, 32);
    assert_int_equal(a[0].worker, 32);
    assert_int_equal(b[0].worker, 0);
    assert_int_not_equal(memcmp(a + 1, b + 1, 62 * sizeof *a), 0);
    skua__plan_fini(&one);
    skua__plan_fini(&same);
    skua__plan_fini(&other);
    skua_topology_free(topology);
}

static void
test_plan_distances_of_a_file_are_kept(void **state) {
    (void)state;
    skua_topology *topology = load(&machines[4]);
    assert_int_equal(skua_topology_numas(topology), 3);
    assert_int_equal(skua_topology_distance(topology, 0, 1), 12);
    assert_int_equal(skua_topology_distance(topology, 2, 0), 30);
    assert_int_equal(skua_topology_pus(topology), 13);
    skua_topology_free(topology);
}

static void
test_plan_allocator_failures_leave_nothing(void **state) {
    (void)state;
    skua_topology *topology = load(&machines[3]);
    skua_status status = SKUA_E_NO_MEMORY;
    for (long n = 1; status != SKUA_OK; n++) {
        failing_allocator hook;
        failing_allocator_init(&hook, n);
        skua__plan plan = {0};
        status = skua__plan_init(&plan, &hook.hook, topology, 5, 0, NULL);
        skua__plan_fini(&plan);
        assert_int_equal(atomic_load(&hook.alive), 0);
        assert_true(status == SKUA_E_NO_MEMORY || n > 2);
    }
    skua_error err;
    skua__plan plan;
    assert_int_equal(skua__plan_init(&plan, NULL, topology, 1025, 0, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "1025"));
    skua_topology_free(topology);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_is_as_recorded),
        cmocka_unit_test(test_plan_holds_its_rules_for_any_count),
        cmocka_unit_test(test_plan_seed_shuffles_within_a_class_only),
        cmocka_unit_test(test_plan_distances_of_a_file_are_kept),
        cmocka_unit_test(test_plan_allocator_failures_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
