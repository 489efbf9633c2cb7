// SPDX-License-Identifier: MPL-2.0
// Two pools in one process, each on a node of its own: opening with memory that gives out, leases that are renewed, queues
// that are full, names that come late, and pools that drain.
#include "crew.h"
#include "failing_allocator.h"
#include "test_fleet.h"

#include <sched.h>
#include <skua-int/clock.h>
#include <skua-int/thread.h>
#include <skua/buffer.h>
#include <skua/device.h>
#include <skua/launch.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Tasks wait here until the test lets them go. */
struct gate {
    skua__mutex lock;
    skua__cond moved;
    int inside;
    bool open;
};

static void
gate_init(struct gate *gate) {
    memset(gate, 0, sizeof *gate);
    skua__mutex_init(&gate->lock);
    skua__cond_init(&gate->moved);
}

static void
gate_fini(struct gate *gate) {
    skua__cond_fini(&gate->moved);
    skua__mutex_fini(&gate->lock);
}

static void
gate_open(struct gate *gate) {
    skua__mutex_lock(&gate->lock);
    gate->open = true;
    skua__cond_broadcast(&gate->moved);
    skua__mutex_unlock(&gate->lock);
}

static void
gate_await(struct gate *gate, int inside) {
    skua__mutex_lock(&gate->lock);
    while (gate->inside < inside) {
        assert_true(
            skua__cond_wait_until(&gate->moved, &gate->lock, skua__deadline_ns(CREW_WAIT_MS)));
    }
    skua__mutex_unlock(&gate->lock);
}

/* How many tasks have come. Their results may be here before the gate's lock was seen to be free. */
static int
gate_inside(struct gate *gate) {
    skua__mutex_lock(&gate->lock);
    int inside = gate->inside;
    skua__mutex_unlock(&gate->lock);
    return inside;
}

static int
run_gate(skua_task_call *call, void *arg) {
    struct gate *gate = arg;
    skua__mutex_lock(&gate->lock);
    gate->inside++;
    skua__cond_broadcast(&gate->moved);
    while (!gate->open && !skua_task_cancelled(call)) {
        skua__cond_wait_until(&gate->moved, &gate->lock, skua__clock_ns() + 5 * SKUA_NS_PER_MS);
    }
    skua__mutex_unlock(&gate->lock);
    return 0;
}

struct pair {
    skua_node *nodes[2];
    skua_exec *exec;
    skua_pool *worker, *submitter;
    struct gate gate;
};

static void
pair_open(struct pair *pair, const skua_pool_options *work, const skua_pool_options *submit) {
    skua_error err = {0};
    skua_pool_options options = *work;
    gate_init(&pair->gate);
    pair->nodes[0] = test_node_open("worker");
    pair->nodes[1] = test_node_open("submitter");
    must(skua_exec_open(&pair->exec, SKUA_EXEC_OPTIONS(.workers = 1), &err), &err);
    options.node = pair->nodes[0];
    options.exec = pair->exec;
    must(skua_pool_open(&pair->worker, &options, &err), &err);
    must(skua_pool_register(pair->worker, "gate", 1, run_gate, &pair->gate, &err), &err);
    options = *submit;
    options.node = pair->nodes[1];
    must(skua_pool_open(&pair->submitter, &options, &err), &err);
    must(skua_pool_await_nodes(pair->submitter, "gate", 1, CREW_WAIT_MS, &err), &err);
}

static void
pair_close(struct pair *pair) {
    skua_pool_close(pair->submitter);
    skua_pool_close(pair->worker);
    skua_exec_close(pair->exec);
    skua_node_close(pair->nodes[1]);
    skua_node_close(pair->nodes[0]);
    gate_fini(&pair->gate);
}

static skua_pool_future *
submit(struct pair *pair, const skua_task *task) {
    skua_error err = {0};
    skua_pool_future *future = NULL;
    must(skua_pool_submit(pair->submitter, task, &future, &err), &err);
    return future;
}

static skua_pool_counters
counters_of(skua_pool *pool) {
    skua_error err = {0};
    skua_pool_counters counters = {.size = sizeof counters};
    must(skua_pool_stats(pool, &counters, &err), &err);
    return counters;
}

/* A task that takes several leases is not taken for lost: its node renews them, even if this machine stops it for a second. */
static void
test_pools_renew_leases(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair, SKUA_POOL_OPTIONS(.lease_ms = 0), SKUA_POOL_OPTIONS(.lease_ms = 2000));
    skua_pool_future *runs = submit(&pair, SKUA_TASK(.name = "gate", .timeout_ms = 6500));
    skua_pool_future *waits = submit(&pair, SKUA_TASK(.name = "gate", .timeout_ms = 6500));
    assert_int_equal(bench_result(runs).outcome, SKUA_OUTCOME_TIMEOUT);
    assert_int_equal(bench_result(waits).outcome, SKUA_OUTCOME_TIMEOUT);
    assert_int_equal(counters_of(pair.submitter).infrastructure_failures, 0);
    skua_pool_future_free(runs);
    skua_pool_future_free(waits);
    pair_close(&pair);
}

/* A full queue hands tasks back; they come again, and nothing is lost or counted as an attempt too many. */
static void
test_pools_hand_back_what_does_not_fit(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair, SKUA_POOL_OPTIONS(.serve_queue_tasks = 1), SKUA_POOL_OPTIONS(.lease_ms = 0));
    skua_pool_future *first = submit(&pair, SKUA_TASK(.name = "gate"));
    gate_await(&pair.gate, 1);
    gate_open(&pair.gate);
    assert_int_equal(bench_result(first).outcome, SKUA_OUTCOME_OK);
    skua_pool_future_free(first);
    skua_pool_future *futures[400];
    for (size_t i = 0; i < 400; i++) {
        futures[i] = submit(&pair, SKUA_TASK(.name = "gate"));
    }
    for (size_t i = 0; i < 400; i++) {
        assert_int_equal(bench_result(futures[i]).outcome, SKUA_OUTCOME_OK);
        skua_pool_future_free(futures[i]);
    }
    assert_int_equal(gate_inside(&pair.gate), 401);
    pair_close(&pair);
}

/* A name that is registered late is heard of; one that nobody offers any more is waited for as long as orphan_ms says. */
static void
test_pools_follow_names(void **state) {
    (void)state;
    struct pair pair;
    skua_error err = {0};
    pair_open(&pair, SKUA_POOL_OPTIONS(.lease_ms = 0), SKUA_POOL_OPTIONS(.orphan_ms = 300));
    skua_pool_future *early = submit(&pair, SKUA_TASK(.name = "late"));
    assert_int_equal(bench_result(early).outcome, SKUA_OUTCOME_REFUSED);
    skua_pool_future_free(early);
    must(skua_pool_register(pair.worker, "late", 3, crew_noop, NULL, &err), &err);
    must(skua_pool_await_nodes(pair.submitter, "late", 1, CREW_WAIT_MS, &err), &err);
    skua_pool_future *any = submit(&pair, SKUA_TASK(.name = "late"));
    skua_pool_future *exact = submit(&pair, SKUA_TASK(.name = "late", .version = 3));
    skua_pool_future *other = submit(&pair, SKUA_TASK(.name = "late", .version = 2));
    assert_int_equal(bench_result(any).outcome, SKUA_OUTCOME_OK);
    assert_int_equal(bench_result(exact).outcome, SKUA_OUTCOME_OK);
    assert_int_equal(bench_result(other).outcome, SKUA_OUTCOME_REFUSED);
    skua_pool_future_free(any);
    skua_pool_future_free(exact);
    skua_pool_future_free(other);

    skua_pool_future *held[6];
    for (size_t i = 0; i < 6; i++) {
        held[i] = submit(&pair, SKUA_TASK(.name = "gate"));
    }
    gate_await(&pair.gate, 1);
    /* Drained: the one that runs goes on, the others come back and find nobody. */
    assert_int_equal(skua_pool_drain(pair.worker, 50, &err), SKUA_E_TIMEOUT);
    size_t refused = 0;
    for (size_t i = 1; i < 6; i++) {
        skua_task_result result = bench_result(held[i]);
        refused += result.outcome == SKUA_OUTCOME_REFUSED;
        skua_pool_future_free(held[i]);
    }
    assert_int_equal(refused, 5);
    gate_open(&pair.gate);
    assert_int_equal(bench_result(held[0]).outcome, SKUA_OUTCOME_OK);
    skua_pool_future_free(held[0]);
    assert_int_equal(skua_pool_drain(pair.worker, CREW_WAIT_MS, &err), 0);
    pair_close(&pair);
}

/* Closing the submitter in the middle ends its tasks, and tells the worker, whose function sees it. */
static void
test_pools_close_in_the_middle(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair, SKUA_POOL_OPTIONS(.lease_ms = 0), SKUA_POOL_OPTIONS(.lease_ms = 0));
    skua_pool_future *futures[20];
    for (size_t i = 0; i < 20; i++) {
        futures[i] = submit(&pair, SKUA_TASK(.name = "gate"));
    }
    gate_await(&pair.gate, 1);
    pair.submitter = skua_pool_close(pair.submitter);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(bench_result(futures[i]).outcome, SKUA_OUTCOME_CANCELLED);
        skua_pool_future_free(futures[i]);
    }
    pair_close(&pair);
    assert_true(pair.gate.inside < 20); /* every thread has ended */
}

static void
test_pools_are_not_the_childs(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair, SKUA_POOL_OPTIONS(.lease_ms = 0), SKUA_POOL_OPTIONS(.lease_ms = 0));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        skua_error err = {0};
        skua_status status =
            skua_pool_submit(pair.submitter, SKUA_TASK(.name = "gate"), NULL, &err);
        skua_pool_close(pair.submitter);
        _exit(status == SKUA_E_FORKED ? 0 : 1);
    }
    int code;
    assert_int_equal(waitpid(pid, &code, 0), pid);
    assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    pair_close(&pair);
}

/* Each allocation of an opening fails once: nothing is left behind, and the status says why. */
static void
test_pools_open_with_failing_memory(void **state) {
    (void)state;
    skua_node *node = test_node_open("walk");
    skua_exec *exec = NULL;
    skua_error err = {0};
    must(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1), &err), &err);
    bool opened = false;
    long n = 1;
    for (; !opened && n < 500; n++) {
        failing_allocator allocator;
        failing_allocator_init(&allocator, n);
        skua_pool *pool = NULL;
        skua_status status = skua_pool_open(
            &pool, SKUA_POOL_OPTIONS(.node = node, .exec = exec, .allocator = &allocator.hook),
            &err);
        opened = !status;
        assert_true(opened || status == SKUA_E_NO_MEMORY);
        assert_true(opened == (pool != NULL));
        atomic_store(&allocator.fail_at, 0);
        skua_pool_close(pool);
        assert_int_equal(atomic_load(&allocator.alive), 0);
    }
    assert_true(opened && n > 5);
    skua_exec_close(exec);
    skua_node_close(node);
}

/* On one CPU the threads of a pool have hardly begun when it is closed again. */
static void
test_pools_close_as_soon_as_they_are_open(void **state) {
    (void)state;
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    skua_node *node = test_node_open("brief");
    skua_exec *exec = NULL;
    skua_error err = {0};
    must(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1), &err), &err);
    for (int i = 0; i < 100; i++) {
        skua_pool *pool = NULL;
        must(skua_pool_open(&pool, SKUA_POOL_OPTIONS(.node = node, .exec = exec), &err), &err);
        skua_pool_close(pool);
    }
    skua_exec_close(exec);
    skua_node_close(node);
    assert_int_equal(sched_setaffinity(0, sizeof allowed, &allowed), 0);
}

/* Takes so long that whoever closes its pool waits for it already. */
static int
run_slowly(const skua_kernel_call *call, void *arg) {
    (void)call, (void)arg;
    for (int i = 0; i < 2000; i++) {
        sched_yield();
    }
    return 0;
}

static skua_pool_future *
submit_turn(skua_pool *pool, skua_buffer *buffer) {
    skua_error err = {0};
    skua_pool_future *future = NULL;
    const skua_kernel_arg arg = {.buffer = buffer, .bytes = skua_buffer_bytes(buffer)};
    must(skua_kernel_submit(
             pool, SKUA_LAUNCH(.kernel = "slow", .global = {1}, .args = &arg, .arg_count = 1),
             &future, &err),
         &err);
    return future;
}

/* The last thing that a pool does is to tell another pool's launch that it has its turn: its close must hear of that, too. */
static void
test_pools_close_once_others_have_their_turns(void **state) {
    (void)state;
    static const skua_param_kind params[] = {SKUA_PARAM_INOUT};
    const skua_kernel_spec spec = {
        .size = sizeof spec, .params = params, .param_count = 1, .fn = run_slowly};
    skua_node *node = test_node_open("turns");
    skua_exec *exec = NULL;
    skua_devices *devices = NULL;
    skua_buffer *buffer = NULL;
    skua_error err = {0};
    must(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 2), &err), &err);
    must(skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cache_dir = ""), &err), &err);
    must(skua_buffer_new(devices, &buffer, SKUA_BUFFER_OPTIONS(.bytes = 64), &err), &err);
    for (int i = 0; i < 30; i++) {
        skua_pool *first = NULL, *second = NULL;
        must(skua_pool_open(&first,
                            SKUA_POOL_OPTIONS(.node = node, .exec = exec, .devices = devices,
                                              .submit_only = 1),
                            &err),
             &err);
        must(skua_pool_open(&second, SKUA_POOL_OPTIONS(.exec = exec, .devices = devices), &err),
             &err);
        must(skua_kernel_register(first, "slow", &spec, &err), &err);
        must(skua_kernel_register(second, "slow", &spec, &err), &err);
        skua_pool_future *ends = submit_turn(first, buffer), *waits = submit_turn(second, buffer);
        skua_pool_close(first);
        must(skua_pool_wait(waits, CREW_WAIT_MS, &err), &err);
        skua_pool_future_free(ends);
        skua_pool_future_free(waits);
        skua_pool_close(second);
    }
    skua_buffer_free(buffer);
    skua_devices_close(devices);
    skua_exec_close(exec);
    skua_node_close(node);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools_renew_leases),
        cmocka_unit_test(test_pools_hand_back_what_does_not_fit),
        cmocka_unit_test(test_pools_follow_names),
        cmocka_unit_test(test_pools_close_in_the_middle),
        cmocka_unit_test(test_pools_are_not_the_childs),
        cmocka_unit_test(test_pools_open_with_failing_memory),
        cmocka_unit_test(test_pools_close_as_soon_as_they_are_open),
        cmocka_unit_test(test_pools_close_once_others_have_their_turns),
    };
    cmocka_set_test_filter(getenv("SKUA_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
