// SPDX-License-Identifier: MPL-2.0
// NUMA domains: the recorded maps of machines that we do not have, and jobs that are best run near something. To record the
// maps anew after a change that is meant, run this test with SKUA_TEST_RECORD=1 and look at the differences.
#include "test.h"

#include "engine.h"
#include "failing_allocator.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_BYTES = 1 << 14,
    SPIN_FOR_EVER_US =
        600000000, /* longer than the test may take: nobody takes what is near others */
};

typedef struct machine {
    const char *name; /* tests/fixtures/topology/NAME.domains, and NAME.xml without a description */
    const char *synthetic;
    double quota_cpus;
    uint32_t workers; /* 0: as many as fit */
    uint32_t spares;
} machine;

static const machine machines[] = {
    {"numa4-core8-pu2", "numa:4 core:8 pu:2", 0, 0, 3},
    {"numa2-l3-l2", "numa:2 l3:2 l2:2 core:2 pu:1", 0, 0, 0},
    {"smt-only", "core:4 pu:2", 0, 11, 0},
    {"quota", "numa:2 core:4 pu:2", 2.5, 0, 4}, /* three workers, and spares on both nodes */
    {"uneven", NULL, 0, 0, 2},
    {"memoryless", NULL, 0, 0, 2},
    {"cpuset", NULL, 0, 0, 2},
};

static skua_topology *
load(const char *name, const char *synthetic, double quota_cpus) {
    char xml[512];
    snprintf(xml, sizeof xml, "%s/topology/%s.xml", TEST_FIXTURES, name ? name : "none");
    skua_topology *topology = NULL;
    assert_int_equal(skua_topology_new(&topology,
                                       SKUA_TOPOLOGY_OPTIONS(.synthetic = synthetic,
                                                             .xml_path = synthetic ? NULL : xml,
                                                             .quota_cpus = quota_cpus),
                                       NULL),
                     SKUA_OK);
    return topology;
}

/* ---- The map ---- */

static size_t
draw_row(char *text, size_t at, const char *label, const uint32_t *row, uint32_t count) {
    at += (size_t)snprintf(text + at, TEXT_BYTES - at, "%s", label);
    for (uint32_t i = 0; i < count; i++) {
        at += (size_t)snprintf(text + at, TEXT_BYTES - at, " %u", (unsigned)row[i]);
    }
    at += (size_t)snprintf(text + at, TEXT_BYTES - at, "\n");
    assert_true(at < TEXT_BYTES);
    return at;
}

static void
draw_map(char *text, const skua__domain_map *map) {
    size_t at = draw_row(text, 0, "domain of each worker:", map->of_place, map->places);
    at = draw_row(text, at, "domain of each node:", map->of_node, map->nodes);
    at = draw_row(text, at, "domain of each core:", map->of_core, map->cores);
    at = draw_row(text, at, "domain of each CPU:", map->of_cpu, map->cpus);
    for (uint32_t d = 0; d < map->count; d++) {
        at = draw_row(text, at, "looks:", map->order + (size_t)d * map->count, map->count);
    }
}

static void
compare(const char *name, const char *text) {
    static char kept[TEXT_BYTES];
    char path[512];
    snprintf(path, sizeof path, "%s/topology/%s.domains", TEST_FIXTURES, name);
    bool record = getenv("SKUA_TEST_RECORD") != NULL;
    FILE *file = fopen(path, record ? "we" : "re");
    assert_non_null(file);
    if (record) {
        assert_true(fputs(text, file) >= 0);
    } else {
        kept[fread(kept, 1, sizeof kept - 1, file)] = 0;
        assert_string_equal(kept, text);
    }
    assert_int_equal(fclose(file), 0);
}

static void
test_domains_map_is_as_recorded(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        const machine *from = &machines[i];
        skua_topology *topology = load(from->name, from->synthetic, from->quota_cpus);
        uint32_t workers = from->workers ? from->workers : skua_topology_workers(topology);
        uint32_t places = workers + from->spares;
        skua__plan plan;
        skua__domain_map map;
        assert_int_equal(
            skua__plan_init(&plan, skua_allocator_default(), topology, places, 0, NULL), SKUA_OK);
        assert_int_equal(skua__domain_map_init(&map, skua_allocator_default(), topology, &plan,
                                               workers, places, NULL),
                         SKUA_OK);
        static char text[TEXT_BYTES];
        draw_map(text, &map);
        compare(from->name, text);
        skua__domain_map_fini(&map);
        skua__plan_fini(&plan);
        skua_topology_free(topology);
    }
}

static void
test_domains_without_a_topology_are_one(void **state) {
    (void)state;
    skua__domain_map map;
    assert_int_equal(skua__domain_map_init(&map, skua_allocator_default(), NULL, NULL, 3, 5, NULL),
                     SKUA_OK);
    assert_int_equal(map.count, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(map.of_place[i], 0);
    }
    assert_int_equal(map.order[0], 0);
    skua__domain_map_fini(&map);
}

static void
test_domains_map_says_when_memory_is_out(void **state) {
    (void)state;
    skua_topology *topology = load(NULL, "numa:2 core:2 pu:1", 0);
    skua__plan plan;
    assert_int_equal(skua__plan_init(&plan, skua_allocator_default(), topology, 4, 0, NULL),
                     SKUA_OK);
    for (int works = 0; works < 2; works++) {
        failing_allocator failing;
        failing_allocator_init(&failing, works + 1);
        skua__domain_map map;
        assert_int_equal(skua__domain_map_init(&map, &failing.hook, topology, &plan, 4, 4, NULL),
                         SKUA_E_NO_MEMORY);
        assert_int_equal(atomic_load(&failing.alive), 0);
    }
    skua__plan_fini(&plan);
    skua_topology_free(topology);
}

/* ---- Jobs ---- */

typedef struct marked {
    skua_job job;
    atomic_int *left;
    uint32_t worker;       /* that ran it */
    atomic_int *order;     /* a count of starts */
    int started;           /* its number among them */
    pthread_barrier_t *at; /* it waits there twice; NULL: nowhere */
} marked;

static void
run_marked(skua_worker w, skua_job *job) {
    marked *self = (marked *)(void *)job;
    self->worker = skua_worker_index(w);
    self->started = self->order ? atomic_fetch_add(self->order, 1) : 0;
    if (self->at) {
        pthread_barrier_wait(self->at);
        pthread_barrier_wait(self->at);
    }
    atomic_fetch_sub(self->left, 1);
}

static void
mark(marked *self, atomic_int *left, skua_near near) {
    memset(self, 0, sizeof *self);
    skua_job_init(&self->job, run_marked);
    self->job.near = near;
    self->left = left;
    atomic_fetch_add(left, 1);
}

static void
wait_for(atomic_int *left) {
    while (atomic_load(left) > 0) {
        sched_yield();
    }
}

/* Two nodes with two cores each: workers 0 and 1 stand on node 0, 2 and 3 on node 1. */
static skua_exec *
open_on_two_nodes(int32_t workers, int32_t spin_us) {
    skua_topology *topology = load(NULL, "numa:2 core:2 pu:1", 0);
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec,
                                    SKUA_EXEC_OPTIONS(.workers = workers, .topology = topology,
                                                      .spares = SKUA_NONE, .spin_us = spin_us),
                                    NULL),
                     SKUA_OK);
    skua_topology_free(topology);
    return exec;
}

static void
check_submit(skua_exec *exec, marked *one) {
    assert_int_equal(skua_exec_submit(exec, &one->job), SKUA_OK);
}

/* Nobody elsewhere may take them, as long as they look around. */
static void
test_domains_jobs_run_near_their_node_and_core(void **state) {
    (void)state;
    skua_exec *exec = open_on_two_nodes(4, SPIN_FOR_EVER_US);
    atomic_int left = 0;
    for (uint32_t i = 0; i < 200; i++) {
        marked by_node, by_core;
        mark(&by_node, &left, skua_near_node(i % 2));
        check_submit(exec, &by_node);
        wait_for(&left);
        mark(&by_core, &left, skua_near_core(i % 4));
        check_submit(exec, &by_core);
        wait_for(&left);
        assert_int_equal(skua_exec_worker_numa(exec, by_node.worker), i % 2);
        assert_int_equal(skua_exec_worker_numa(exec, by_core.worker), i % 4 / 2);
    }
    skua_exec_close(exec);
}

/* Those of high priority wait in the first domain, whose workers are busy: one of the other goes there. */
static void
test_domains_urgent_jobs_are_everybodys(void **state) {
    (void)state;
    skua_exec *exec = open_on_two_nodes(4, SPIN_FOR_EVER_US);
    atomic_int left = 0, held = 0;
    pthread_barrier_t at;
    pthread_barrier_init(&at, NULL, 3);
    marked busy[2], urgent;
    for (int i = 0; i < 2; i++) {
        mark(&busy[i], &held, skua_near_node(0));
        busy[i].at = &at;
        check_submit(exec, &busy[i]);
    }
    pthread_barrier_wait(&at);
    for (int i = 0; i < 20; i++) {
        mark(&urgent, &left, skua_near_node(0));
        urgent.job.priority = SKUA_PRIORITY_HIGH;
        check_submit(exec, &urgent);
        wait_for(&left);
        assert_int_equal(skua_exec_worker_numa(exec, urgent.worker), 1);
    }
    pthread_barrier_wait(&at);
    wait_for(&held);
    skua_exec_close(exec);
    pthread_barrier_destroy(&at);
}

/* The near workers are busy for as long as it takes somebody else to take the job. */
static void
test_domains_never_strand_a_job(void **state) {
    (void)state;
    const int32_t spins_us[] = {SKUA_NONE, 50};
    for (int round = 0; round < 2; round++) {
        skua_exec *exec = open_on_two_nodes(4, spins_us[round]);
        pthread_barrier_t at;
        pthread_barrier_init(&at, NULL, 3);
        atomic_int left = 0, held = 0;
        marked busy[2], job;
        /* Whoever runs these two, both workers of one node, or one of each, are busy. */
        for (int i = 0; i < 2; i++) {
            mark(&busy[i], &held, skua_near_node(1));
            busy[i].at = &at;
            check_submit(exec, &busy[i]);
        }
        pthread_barrier_wait(&at);
        for (uint32_t node = 0; node < 2; node++) {
            for (int i = 0; i < 20; i++) {
                mark(&job, &left, skua_near_node(node));
                check_submit(exec, &job);
                wait_for(&left);
                assert_true(job.worker != busy[0].worker && job.worker != busy[1].worker);
            }
        }
        pthread_barrier_wait(&at);
        wait_for(&held);
        skua_exec_close(exec);
        pthread_barrier_destroy(&at);
    }
}

/* A node without a worker, and indices that no node or core has: they wait somewhere all the same. */
static void
test_domains_take_any_hint(void **state) {
    (void)state;
    skua_exec *exec = open_on_two_nodes(1, 0);
    atomic_int left = 0;
    const skua_near hints[] = {skua_near_node(1),
                               skua_near_node(77),
                               skua_near_core(3),
                               skua_near_core(UINT32_MAX),
                               skua_near_memory(exec, &left),
                               skua_near_memory(NULL, NULL)};
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        marked job;
        mark(&job, &left, hints[i]);
        check_submit(exec, &job);
        wait_for(&left);
        assert_int_equal(job.worker, 0);
    }
    skua_exec_close(exec);
}

static skua_status
tell_worker(skua_worker w, void *arg, void **ret_value) {
    (void)ret_value;
    *(uint32_t *)arg = skua_worker_index(w);
    return SKUA_OK;
}

static void
test_domains_hints_of_groups_and_futures(void **state) {
    (void)state;
    skua_exec *exec = open_on_two_nodes(4, SPIN_FOR_EVER_US);
    atomic_int left = 0;
    skua_group group;
    skua_group_init(&group, exec);
    for (uint32_t i = 0; i < 50; i++) {
        uint32_t node = i % 2, ran = 99;
        skua_group_set_near(&group, skua_near_node(node));
        marked of_group, of_its_own;
        mark(&of_group, &left, (skua_near){0, 0});
        assert_int_equal(skua_group_submit(&group, &of_group.job), SKUA_OK);
        wait_for(&left);
        mark(&of_its_own, &left, skua_near_node(1 - node));
        assert_int_equal(skua_group_submit(&group, &of_its_own.job), SKUA_OK);
        assert_int_equal(skua_group_wait(&group, 0, NULL), SKUA_OK);
        assert_int_equal(skua_exec_worker_numa(exec, of_group.worker), node);
        assert_int_equal(skua_exec_worker_numa(exec, of_its_own.worker), 1 - node);
        skua_future *future = NULL;
        assert_int_equal(skua_future_start(&future, exec, tell_worker, &ran,
                                           SKUA_FUTURE_OPTIONS(.near = skua_near_node(node)), NULL),
                         SKUA_OK);
        assert_int_equal(skua_future_get(future, 0, NULL, NULL), SKUA_OK);
        assert_int_equal(skua_exec_worker_numa(exec, ran), node);
        skua_future_unref(future);
    }
    skua_group_fini(&group);
    skua_exec_close(exec);
}

/* One submitter, two nodes: its jobs go to one domain, whatever CPU it moves to, and keep their order (I18). */
typedef struct submitter {
    skua_exec *exec;
    uint32_t cpu;
    bool allowed; /* it may run there */
} submitter;

static const skua__domain *
choose(skua_exec *exec, skua_near near, uint8_t priority) {
    skua_job job;
    skua_job_init(&job, run_marked);
    job.near = near;
    job.priority = priority;
    return skua__domain_choose(exec, &job);
}

static bool
move_to(uint32_t cpu) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(cpu, &mask);
    return sched_setaffinity(0, sizeof mask, &mask) == 0;
}

static void *
submit_from(void *arg) {
    submitter *self = arg;
    self->allowed = move_to(self->cpu);
    if (self->allowed) {
        const skua__domain *first = choose(self->exec, (skua_near){0, 0}, SKUA_PRIORITY_NORMAL);
        assert_ptr_equal(first, &self->exec->domains[self->cpu]);
        (void)move_to(1 - self->cpu);
        for (int i = 0; i < 3; i++) {
            assert_ptr_equal(choose(self->exec, (skua_near){0, 0}, SKUA_PRIORITY_NORMAL), first);
        }
    }
    return NULL;
}

static void
test_domains_keep_to_where_a_submitter_began(void **state) {
    (void)state;
    skua_topology *topology = load(NULL, "numa:2 core:1 pu:1", 0);
    skua_exec *exec = NULL;
    assert_int_equal(
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 2, .topology = topology), NULL),
        SKUA_OK);
    assert_int_equal(exec->map.count, 2);
    for (uint32_t cpu = 0; cpu < 2; cpu++) {
        pthread_t thread;
        submitter self = {.exec = exec, .cpu = cpu};
        assert_int_equal(pthread_create(&thread, NULL, submit_from, &self), 0);
        pthread_join(thread, NULL);
    }
    skua_exec_close(exec);
    skua_topology_free(topology);
}

static void
test_domains_hints_lead_to_their_domain(void **state) {
    (void)state;
    skua_exec *exec = open_on_two_nodes(4, 0);
    const skua__domain *anywhere = choose(exec, (skua_near){0, 0}, SKUA_PRIORITY_NORMAL);
    for (uint32_t node = 0; node < 2; node++) {
        const skua__domain *there = &exec->domains[node];
        assert_ptr_equal(choose(exec, skua_near_node(node), SKUA_PRIORITY_NORMAL), there);
        assert_ptr_equal(choose(exec, skua_near_node(node), SKUA_PRIORITY_LOW), there);
        assert_ptr_equal(choose(exec, skua_near_core(2 * node + 1), SKUA_PRIORITY_NORMAL), there);
        assert_ptr_equal(choose(exec, skua_near_node(node), SKUA_PRIORITY_HIGH), exec->domains);
    }
    for (uint32_t none = 2; none < 12; none++) { /* what lies behind the tables is none of it */
        assert_ptr_equal(choose(exec, skua_near_node(none), SKUA_PRIORITY_NORMAL), anywhere);
        assert_ptr_equal(choose(exec, skua_near_core(none + 2), SKUA_PRIORITY_NORMAL), anywhere);
    }
    skua_exec_close(exec);
}

static void
test_domains_keep_a_submitters_order(void **state) {
    (void)state;
    enum { JOBS = 2000 };
    static marked jobs[JOBS];
    skua_exec *exec = open_on_two_nodes(1, 0);
    atomic_int left = 0, order = 0;
    assert_int_equal(skua_exec_pause(exec), SKUA_OK);
    for (int i = 0; i < JOBS; i++) {
        mark(&jobs[i], &left, (skua_near){0, 0});
        jobs[i].order = &order;
        check_submit(exec, &jobs[i]);
    }
    assert_int_equal(skua_exec_resume(exec), SKUA_OK);
    wait_for(&left);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].started, i);
    }
    skua_exec_close(exec);
}

/* Both nodes have work that never runs out on its own node; what is near the other one is looked at now and then. */
typedef struct relay {
    skua_job job;
    skua_exec *exec;
    atomic_int *stop, *left;
} relay;

static void
run_relay(skua_worker w, skua_job *job) {
    (void)w;
    relay *self = (relay *)(void *)job;
    if (atomic_load(self->stop)) {
        atomic_fetch_sub(self->left, 1);
    } else {
        assert_int_equal(skua_exec_submit(self->exec, job), SKUA_OK);
    }
}

static void
test_domains_urgent_and_far_jobs_are_looked_at_while_near_ones_last(void **state) {
    (void)state;
    skua_exec *exec = open_on_two_nodes(4, SPIN_FOR_EVER_US);
    assert_int_equal(skua_exec_resize(exec, 3, NULL), SKUA_OK); /* worker 2 alone on node 1 */
    atomic_int stop = 0, running = 3, left = 0, held = 0;
    pthread_barrier_t at;
    pthread_barrier_init(&at, NULL, 2);
    relay relays[3];
    marked busy, far, urgent;
    mark(&busy, &held, skua_near_node(1));
    busy.at = &at;
    check_submit(exec, &busy);
    pthread_barrier_wait(&at);
    for (int i = 0; i < 3; i++) {
        relays[i] = (relay){.exec = exec, .stop = &stop, .left = &running};
        skua_job_init(&relays[i].job, run_relay);
        relays[i].job.near = skua_near_node(0);
        assert_int_equal(skua_exec_submit(exec, &relays[i].job), SKUA_OK);
    }
    mark(&far, &left, skua_near_node(1));
    check_submit(exec, &far);
    mark(&urgent, &left, skua_near_node(1));
    urgent.job.priority = SKUA_PRIORITY_HIGH;
    check_submit(exec, &urgent);
    wait_for(&left);
    atomic_store(&stop, 1);
    pthread_barrier_wait(&at);
    wait_for(&held);
    wait_for(&running);
    skua_exec_close(exec);
    pthread_barrier_destroy(&at);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domains_map_is_as_recorded),
        cmocka_unit_test(test_domains_without_a_topology_are_one),
        cmocka_unit_test(test_domains_map_says_when_memory_is_out),
        cmocka_unit_test(test_domains_jobs_run_near_their_node_and_core),
        cmocka_unit_test(test_domains_urgent_jobs_are_everybodys),
        cmocka_unit_test(test_domains_never_strand_a_job),
        cmocka_unit_test(test_domains_take_any_hint),
        cmocka_unit_test(test_domains_hints_of_groups_and_futures),
        cmocka_unit_test(test_domains_keep_to_where_a_submitter_began),
        cmocka_unit_test(test_domains_hints_lead_to_their_domain),
        cmocka_unit_test(test_domains_keep_a_submitters_order),
        cmocka_unit_test(test_domains_urgent_and_far_jobs_are_looked_at_while_near_ones_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
