// SPDX-License-Identifier: MPL-2.0
// Placement in a living executor: binding, the order in which workers look around, and memory on a node.
#include "test.h"

#include "engine.h"
#include "failing_allocator.h"

#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static skua_topology *
synthetic(const char *description) {
    skua_topology *topology = NULL;
    assert_int_equal(
        skua_topology_new(&topology, SKUA_TOPOLOGY_OPTIONS(.synthetic = description), NULL),
        SKUA_OK);
    return topology;
}

static void
read_mask(skua_worker w, void *frame) {
    (void)w;
    assert_int_equal(sched_getaffinity(0, sizeof(cpu_set_t), frame), 0);
}

static void
test_place_bound_workers_keep_to_their_cpu(void **state) {
    (void)state;
    cpu_set_t all, mask;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    skua_exec *exec = NULL;
    assert_int_equal(
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1, .bind = SKUA_BIND_ALWAYS), NULL),
        SKUA_OK);
    assert_int_equal(skua_exec_run(exec, read_mask, &mask, NULL), SKUA_OK);
    assert_int_equal(CPU_COUNT(&mask), 1);
    assert_true(CPU_ISSET(skua_topology_pu_at(exec->topology, exec->plan.pu[0])->os_index, &mask));
    assert_int_equal(skua_exec_worker_numa(exec, 0), 0);
    assert_int_equal(skua_exec_worker_numa(exec, 100000), 0);
    skua_exec_close(exec);
    assert_int_equal(
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1, .bind = SKUA_BIND_NEVER), NULL),
        SKUA_OK);
    assert_int_equal(skua_exec_run(exec, read_mask, &mask, NULL), SKUA_OK);
    assert_true(CPU_EQUAL(&all, &mask));
    skua_exec_close(exec);
}

static void
test_place_a_pretended_machine_is_planned_and_not_bound(void **state) {
    (void)state;
    skua_topology *topology = synthetic("numa:2 core:2 pu:1");
    skua_exec *exec = NULL;
    skua_error err;
    assert_int_equal(
        skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.topology = topology, .bind = SKUA_BIND_ALWAYS),
                       &err),
        SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.bind = 3), &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.topology = topology), NULL), SKUA_OK);
    skua_topology_free(topology); /* it was borrowed for the call */
    cpu_set_t all, mask;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_int_equal(skua_exec_run(exec, read_mask, &mask, NULL), SKUA_OK);
    assert_true(CPU_EQUAL(&all, &mask));
    assert_int_equal(skua_exec_workers(exec), 4);
    assert_int_equal(skua_exec_worker_numa(exec, 1), 0);
    assert_int_equal(skua_exec_worker_numa(exec, 2), 1);
    /* A spare stands where the first worker stands. */
    assert_int_equal(skua_exec_worker_numa(exec, 4), 0);
    skua_exec_close(exec);
}

/* Each tour visits everybody once, class by class, and does not always begin with the same one. */
static void
test_place_a_tour_goes_from_near_to_far(void **state) {
    (void)state;
    enum { WORKERS = 16, TOURS = 200 };
    skua_topology *topology = synthetic("numa:2 core:4 pu:2");
    skua__plan plan;
    assert_int_equal(skua__plan_init(&plan, NULL, topology, WORKERS, 0, NULL), SKUA_OK);
    skua__rand rand = {.state = test_seed(5)};
    uint32_t firsts = 0;
    for (int n = 0; n < TOURS; n++) {
        uint32_t seen = 0, count = 0, other;
        uint16_t nearness = 0;
        skua__tour tour = skua__tour_begin(&plan, 3, WORKERS, &rand);
        while ((other = skua__tour_next(&tour)) != PLAN_TOUR_OVER) {
            const skua__victim *row = skua__plan_victims(&plan, 3);
            while (row->worker != other) {
                row++;
            }
            assert_true(row->nearness >= nearness);
            nearness = row->nearness;
            assert_int_equal(seen >> other & 1, 0);
            seen |= 1u << other;
            firsts |= count == 1 ? 1u << other : 0; /* the first one of the node, after its core */
            count++;
        }
        assert_int_equal(seen, 0xffff & ~(1u << 3));
        assert_int_equal(count, WORKERS - 1);
    }
    assert_int_equal(__builtin_popcount(firsts), 6);
    skua__plan_fini(&plan);
    skua_topology_free(topology);
    /* Without a plan all are one class, oneself among them. */
    memset(&plan, 0, sizeof plan);
    skua__tour tour = skua__tour_begin(&plan, 1, 5, &rand);
    uint32_t seen = 0, other;
    while ((other = skua__tour_next(&tour)) != PLAN_TOUR_OVER) {
        seen |= 1u << other;
    }
    assert_int_equal(seen, 0x1f);
    tour = skua__tour_begin(&plan, 0, 0, &rand);
    assert_true(skua__tour_next(&tour) == PLAN_TOUR_OVER);
}

static void
test_place_memory_lies_on_the_node_that_was_asked_for(void **state) {
    (void)state;
    skua_topology *topology = NULL;
    assert_int_equal(skua_topology_new(&topology, NULL, NULL), SKUA_OK);
    skua_error err;
    for (uint32_t numa = 0; numa < skua_topology_numas(topology); numa++) {
        enum { BYTES = 1 << 20 };
        void *memory = NULL;
        assert_int_equal(skua_numa_alloc(topology, numa, BYTES, &memory, &err), SKUA_OK);
        uint32_t where = 99;
        skua_status status = skua_numa_of(topology, memory, &where, &err);
        assert_true(status == SKUA_E_NOT_FOUND || status == SKUA_E_UNSUPPORTED);
        assert_int_equal(where, 99);
        assert_int_equal(((char *)memory)[BYTES - 1], 0);
        memset(memory, 1, BYTES);
        status = skua_numa_of(topology, (char *)memory + 5000, &where, &err);
        assert_true(status == SKUA_E_UNSUPPORTED || (status == SKUA_OK && where == numa));
        assert_null(skua_numa_free(memory, BYTES));
        assert_int_equal(msync(memory, BYTES, MS_ASYNC), -1); /* nothing is mapped there any more */
    }
    void *none = &err;
    assert_int_equal(skua_numa_alloc(topology, 4096, 10, &none, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_numa_alloc(topology, 0, 0, &none, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_numa_alloc(topology, 0, SIZE_MAX / 2, &none, &err), SKUA_E_NO_MEMORY);
    assert_ptr_equal(none, &err);
    assert_null(skua_numa_free(NULL, 1));
    skua_topology_free(topology);
    /* A pretended machine has no memory of its own, but its users get some. */
    topology = synthetic("numa:2 core:1 pu:1");
    assert_int_equal(skua_numa_alloc(topology, 1, 10, &none, &err), SKUA_OK);
    uint32_t where = 99;
    assert_int_equal(skua_numa_of(topology, none, &where, &err), SKUA_E_UNSUPPORTED);
    skua_numa_free(none, 10);
    skua_topology_free(topology);
}

static void
test_place_allocator_failures_leave_nothing(void **state) {
    (void)state;
    skua_topology *topology = synthetic("numa:2 core:1 pu:1");
    skua_status status = SKUA_E_NO_MEMORY;
    for (long n = 1; status != SKUA_OK; n++) {
        failing_allocator hook;
        failing_allocator_init(&hook, n);
        skua_exec *exec = NULL;
        status = skua_exec_open(
            &exec, SKUA_EXEC_OPTIONS(.allocator = &hook.hook, .topology = topology), NULL);
        assert_true(status == SKUA_E_NO_MEMORY || n > 9);
        skua_exec_close(exec);
        assert_int_equal(atomic_load(&hook.alive), 0);
    }
    skua_topology_free(topology);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place_bound_workers_keep_to_their_cpu),
        cmocka_unit_test(test_place_a_pretended_machine_is_planned_and_not_bound),
        cmocka_unit_test(test_place_a_tour_goes_from_near_to_far),
        cmocka_unit_test(test_place_memory_lies_on_the_node_that_was_asked_for),
        cmocka_unit_test(test_place_allocator_failures_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
