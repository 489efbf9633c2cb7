// SPDX-License-Identifier: MPL-2.0
// Pools and nodes that are closed while tasks run and arrive, from either end, in any order and at once: every task has one
// outcome, and nobody is left behind. What happens in a round follows from its seed.
#include "crew.h"
#include "test_fleet.h"

#include <skua-int/clock.h>
#include <skua-int/rand.h>
#include <skua-int/thread.h>
#include <stdatomic.h>
#include <string.h>

enum { TASKS_MAX = 60, ROUNDS = 250, NODE_ROUNDS = 12, WORKERS = 2 };

static int
rounds_or(int fallback) {
    const char *given = getenv("SKUA_TEST_ROUNDS");
    return given ? atoi(given) : fallback;
}

/* ---- Tasks ---- */

static int
run_brief(skua_task_call *call, void *arg) {
    (void)arg;
    size_t size;
    const uint8_t *input = skua_task_input(call, &size);
    int64_t until_ns = skua__clock_ns() + input[0] * SKUA_NS_PER_US;
    while (skua__clock_ns() < until_ns) { /* work of a known length */
    }
    return 0;
}

/* Ends only when it is told to. */
static int
run_stay(skua_task_call *call, void *arg) {
    atomic_int *inside = arg;
    skua__mutex lock;
    skua__cond never;
    skua__mutex_init(&lock);
    skua__cond_init(&never);
    atomic_fetch_add(inside, 1);
    skua__mutex_lock(&lock);
    while (!skua_task_cancelled(call)) {
        skua__cond_wait_until(&never, &lock, skua__clock_ns() + SKUA_NS_PER_MS);
    }
    skua__mutex_unlock(&lock);
    atomic_fetch_sub(inside, 1);
    skua__cond_fini(&never);
    skua__mutex_fini(&lock);
    return 1;
}

/* ---- One round ---- */

struct round {
    skua__rand rand;
    skua_node *nodes[2];
    skua_exec *exec;
    skua_pool *worker, *submitter;
    skua_pool_future *futures[TASKS_MAX];
    uint8_t inputs[TASKS_MAX];
    int count;
    atomic_int done, again, inside;
};

/* A task that ends may bring another one: sometimes into a pool that is closing. */
static void
on_done(void *arg, skua_pool_future *future) {
    struct round *round = arg;
    (void)future;
    if (atomic_fetch_add(&round->done, 1) % 4 == 0) {
        static const uint8_t none = 0;
        skua_status status = skua_pool_submit(
            round->submitter, SKUA_TASK(.name = "brief", .input = &none, .input_bytes = 1), NULL,
            NULL);
        assert_true(!status || status == SKUA_E_CLOSED || status == SKUA_E_AGAIN);
        atomic_fetch_add(&round->again, !status);
    }
}

static void
open_pools(struct round *round) {
    skua_error err = {0};
    must(skua_pool_open(&round->worker,
                        SKUA_POOL_OPTIONS(.node = round->nodes[0], .exec = round->exec), &err),
         &err);
    must(skua_pool_register(round->worker, "brief", 1, run_brief, NULL, &err), &err);
    must(skua_pool_register(round->worker, "stay", 1, run_stay, &round->inside, &err), &err);
    must(skua_pool_open(&round->submitter,
                        SKUA_POOL_OPTIONS(.node = round->nodes[1], .orphan_ms = SKUA_NONE), &err),
         &err);
    if (skua__rand_below(&round->rand, 8)) {
        must(skua_pool_await_nodes(round->submitter, "stay", 1, CREW_WAIT_MS, &err), &err);
    }
}

static void
submit_some(struct round *round) {
    skua_error err = {0};
    int count = (int)skua__rand_below(&round->rand, TASKS_MAX);
    for (int i = 0; i < count; i++) {
        bool stays = skua__rand_below(&round->rand, 12) == 0;
        round->inputs[i] = (uint8_t)skua__rand_below(&round->rand, 200);
        const skua_task task = {.size = sizeof task,
                                .name = stays ? "stay" : "brief",
                                .priority = (int32_t)skua__rand_below(&round->rand, 3),
                                .input = &round->inputs[i],
                                .input_bytes = 1,
                                .keep_input = skua__rand_below(&round->rand, 2) == 0,
                                .idempotent = skua__rand_below(&round->rand, 2) == 0,
                                .timeout_ms = skua__rand_below(&round->rand, 6) ? 0 : 3,
                                .on_done = on_done,
                                .on_done_arg = round};
        must(skua_pool_submit(round->submitter, &task, &round->futures[i], &err), &err);
        round->count++;
        if (skua__rand_below(&round->rand, 10) == 0) {
            skua_pool_cancel(round->futures[skua__rand_below(&round->rand, (uint32_t)i + 1)]);
        }
    }
    for (uint32_t i = skua__rand_below(&round->rand, 3); i > 0 && count; i--) { /* some have run */
        uint32_t at = skua__rand_below(&round->rand, (uint32_t)count);
        skua_status status = skua_pool_wait(round->futures[at], 1, &err);
        assert_true(!status || status == SKUA_E_TIMEOUT);
    }
}

static void *
close_worker(void *arg) {
    struct round *round = arg;
    round->worker = skua_pool_close(round->worker);
    assert_int_equal(atomic_load(&round->inside), 0); /* every function has returned */
    return NULL;
}

static void *
close_submitter(void *arg) {
    struct round *round = arg;
    skua_pool_close(round->submitter);
    return NULL;
}

static void
close_both_at_once(struct round *round) {
    pthread_t thread;
    skua_error err = {0};
    must(skua__thread_start(&thread, "closer", close_worker, round, &err), &err);
    close_submitter(round);
    skua__thread_join(thread);
}

static void
check_outcomes(struct round *round) {
    for (int i = 0; i < round->count; i++) {
        skua_error err = {0};
        skua_task_result result = {.size = sizeof result};
        must(skua_pool_result(round->futures[i], &result, &err), &err);
        assert_in_range(result.outcome, SKUA_OUTCOME_OK, SKUA_OUTCOME_REFUSED);
        skua_pool_future_free(round->futures[i]);
    }
    assert_int_equal(atomic_load(&round->done), round->count);
}

/* What was submitted through the submitter has ended, once each. */
static void
check_sum(struct round *round) {
    skua_error err = {0};
    must(skua_pool_await_all(round->submitter, CREW_WAIT_MS, &err), &err);
    skua_pool_counters counters = {.size = sizeof counters};
    must(skua_pool_stats(round->submitter, &counters, &err), &err);
    uint64_t ended = 0;
    for (int i = 1; i < 8; i++) {
        ended += counters.ended[i];
    }
    assert_int_equal(ended, counters.submitted);
    assert_int_equal(ended, round->count + atomic_load(&round->again));
}

static void
begin_round(struct round *round, uint64_t seed) {
    round->rand.state = seed;
    round->count = 0;
    atomic_store(&round->done, 0);
    atomic_store(&round->again, 0);
    atomic_store(&round->inside, 0);
}

static void
run_pool_round(struct round *round, uint64_t seed) {
    skua_error err = {0};
    begin_round(round, seed);
    open_pools(round);
    submit_some(round);
    if (skua__rand_below(&round->rand, 3) == 0) {
        int64_t wait_ms = skua__rand_below(&round->rand, 2) ? SKUA_NONE : 2;
        skua_status status = skua_pool_drain(round->worker, wait_ms, &err);
        assert_true(!status || status == SKUA_E_TIMEOUT);
    }
    switch (skua__rand_below(&round->rand, 3)) {
    case 0:
        close_worker(round);
        check_sum(round); /* nobody is left who could run them: they end all the same */
        close_submitter(round);
        break;
    case 1:
        close_submitter(round);
        close_worker(round);
        break;
    default:
        close_both_at_once(round);
        break;
    }
    check_outcomes(round);
}

static void
test_closing_pools_in_any_order(void **state) {
    (void)state;
    static struct round round;
    skua_error err = {0};
    uint64_t seed = test_seed(1);
    round.nodes[0] = test_node_open("worker");
    round.nodes[1] = test_node_open("submitter");
    must(skua_exec_open(&round.exec, SKUA_EXEC_OPTIONS(.workers = WORKERS), &err), &err);
    for (int i = 0; i < rounds_or(ROUNDS); i++) {
        run_pool_round(&round, seed + (uint64_t)i);
    }
    skua_exec_close(round.exec);
    skua_node_close(round.nodes[1]);
    skua_node_close(round.nodes[0]);
}

/* The nodes go first, while functions run on one and are awaited on the other. */
static void
run_node_round(struct round *round, uint64_t seed) {
    skua_error err = {0};
    begin_round(round, seed);
    round->nodes[0] = test_node_open("worker");
    round->nodes[1] = test_node_open("submitter");
    must(skua_exec_open(&round->exec, SKUA_EXEC_OPTIONS(.workers = WORKERS), &err), &err);
    open_pools(round);
    submit_some(round);
    int first = (int)skua__rand_below(&round->rand, 2);
    bool both = skua__rand_below(&round->rand, 2) == 0;
    skua_node_close(round->nodes[first]);
    if (both) {
        skua_node_close(round->nodes[1 - first]);
    }
    skua_status status = skua_pool_submit(
        round->submitter, SKUA_TASK(.name = "brief", .input = "", .input_bytes = 1), NULL, &err);
    (void)status; /* whatever it says, it says it */
    if (skua__rand_below(&round->rand, 2)) {
        close_both_at_once(round);
    } else {
        close_worker(round);
        close_submitter(round);
    }
    check_outcomes(round);
    skua_exec_close(round->exec);
    if (!both) {
        skua_node_close(round->nodes[1 - first]);
    }
}

static void
test_closing_nodes_before_their_pools(void **state) {
    (void)state;
    static struct round round;
    uint64_t seed = test_seed(1000);
    for (int i = 0; i < rounds_or(NODE_ROUNDS); i++) {
        run_node_round(&round, seed + (uint64_t)i);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closing_pools_in_any_order),
        cmocka_unit_test(test_closing_nodes_before_their_pools),
    };
    cmocka_set_test_filter(getenv("SKUA_TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
