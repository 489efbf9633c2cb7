// SPDX-License-Identifier: MPL-2.0
// Random trees of forks, groups, futures and jobs from several threads at once, on executors of every shape; each tree's
// sum is known in advance, and a sync must run nothing but what it waits for. A seed replays what is asked (not how the threads interleave).
#include "test.h"

#include <pthread.h>
#include <skua-int/clock.h>
#include <skua-int/rand.h>
#include <skua/exec.h>
#include <skua/parallel.h>
#include <stdatomic.h>

enum {
    OUTSIDERS = 3,
    CHILDREN_MAX = 6,
    DEPTH_MAX = 7,
    TREES_PER_EXEC = 12,
    DEFAULT_S = 3,
};

/* A node of a random tree: its hash decides how many children it has and how they are run. */
typedef struct node {
    skua_job job; /* first, where the node is one */
    uint64_t hash;
    int depth;
    uint64_t sum; /* of the hashes under it */
    const struct node *parent;
} node;

/* The innermost call that this thread's syncs wait for. */
static _Thread_local const node *waited_for;

/* A thread that waits in a sync may run only what the call forked, directly or not. */
static void
check_descent(const node *n) {
    while (waited_for && n != waited_for) {
        n = n->parent;
        if (!n) {
            fprintf(stderr, "a sync ran a call that it does not wait for\n");
            abort();
        }
    }
}

static uint64_t
child_hash(const node *parent, int i) {
    skua__rand rand = {.state = parent->hash + (uint64_t)i};
    return skua__rand_next(&rand);
}

static int
children_of(const node *n) {
    return n->depth == 0 ? 0 : (int)(n->hash % (CHILDREN_MAX + 1));
}

/* What the tree's sum must be. */
static uint64_t
serial_sum(const node *n) {
    uint64_t sum = n->hash;
    for (int i = 0; i < children_of(n); i++) {
        node child = {.hash = child_hash(n, i), .depth = n->depth - 1};
        sum += serial_sum(&child);
    }
    return sum;
}

static void run_node(skua_worker w, void *frame);

static void
run_node_job(skua_worker w, skua_job *job) {
    run_node(w, (node *)(void *)job);
}

static skua_status
run_node_future(skua_worker w, void *arg, void **ret_value) {
    run_node(w, arg);
    *ret_value = arg;
    return SKUA_OK;
}

static void
sync_child(skua_worker *w, node *child) {
    const node *before = waited_for;
    waited_for = child;
    skua_sync(w, run_node, child);
    waited_for = before;
}

static void
fork_children(skua_worker w, node *children, int count) {
    for (int i = 0; i < count; i++) {
        skua_spawn(&w, run_node, &children[i]);
    }
    while (count-- > 0) {
        sync_child(&w, &children[count]);
    }
}

static void
group_children(skua_worker w, node *children, int count) {
    skua_group group;
    skua_group_init(&group, skua_worker_exec(w));
    /* With a fork under way, so that helping happens above it. */
    if (count > 0) {
        skua_spawn(&w, run_node, &children[0]);
    }
    for (int i = 1; i < count; i++) {
        skua_job_init(&children[i].job, run_node_job);
        children[i].job.priority = (uint8_t)(children[i].hash % 3);
        if (skua_group_submit(&group, &children[i].job) != SKUA_OK) {
            run_node(w, &children[i]); /* the queue is bounded */
        }
    }
    skua_status status = skua_group_wait(&group, 0, NULL);
    if (status != SKUA_OK) {
        abort();
    }
    skua_group_fini(&group);
    if (count > 0) {
        sync_child(&w, &children[0]);
    }
}

static void
future_children(skua_worker w, node *children, int count) {
    skua_future *futures[CHILDREN_MAX] = {0};
    for (int i = 0; i < count; i++) {
        if (skua_future_start(&futures[i], skua_worker_exec(w), run_node_future, &children[i], NULL,
                              NULL) != SKUA_OK) {
            run_node(w, &children[i]);
        }
    }
    for (int i = 0; i < count; i++) {
        if (futures[i] && skua_future_get(futures[i], 0, NULL, NULL) != SKUA_OK) {
            abort();
        }
        skua_future_unref(futures[i]);
    }
}

static void
run_node(skua_worker w, void *frame) {
    node *n = frame;
    check_descent(n);
    int count = children_of(n);
    node children[CHILDREN_MAX];
    for (int i = 0; i < count; i++) {
        children[i] = (node){.hash = child_hash(n, i), .depth = n->depth - 1, .parent = n};
    }
    switch (n->hash >> 32 & 7) {
    case 0:
        group_children(w, children, count);
        break;
    case 1:
        future_children(w, children, count);
        break;
    default:
        fork_children(w, children, count);
        break;
    }
    uint64_t sum = n->hash;
    for (int i = 0; i < count; i++) {
        sum += children[i].sum;
    }
    n->sum = sum;
}

typedef struct outsider {
    skua_exec *exec;
    skua__rand rand;
    pthread_t thread;
} outsider;

static void *
run_outsider(void *arg) {
    outsider *self = arg;
    for (int i = 0; i < TREES_PER_EXEC; i++) {
        uint64_t hash = skua__rand_next(&self->rand);
        node root = {.hash = hash - hash % (CHILDREN_MAX + 1) + CHILDREN_MAX,
                     .depth = 1 + (int)skua__rand_below(&self->rand, DEPTH_MAX)};
        skua_status status = SKUA_E_AGAIN;
        while (status == SKUA_E_AGAIN) {
            status = skua_exec_run(self->exec, run_node, &root, NULL);
        }
        if (status != SKUA_OK || root.sum != serial_sum(&root)) {
            fprintf(stderr, "tree %016llx of depth %d: status %d, sum %llx\n",
                    (unsigned long long)root.hash, root.depth, status,
                    (unsigned long long)root.sum);
            abort();
        }
    }
    return NULL;
}

static void
stress_one_exec(skua__rand *rand, skua_exec_stats *total) {
    static const int32_t spins[] = {SKUA_NONE, 1, 20, 200};
    skua_exec_options options = {
        .size = sizeof options,
        .workers = 1 + (int32_t)skua__rand_below(rand, 6),
        .stack_slots = skua__rand_below(rand, 2) ? 1 + (int32_t)skua__rand_below(rand, 20) : 0,
        .spin_us = spins[skua__rand_below(rand, 4)],
        .queue_tasks = skua__rand_below(rand, 3) ? 0 : 4,
        .spares = 16,
    };
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec, &options, NULL), SKUA_OK);
    outsider outsiders[OUTSIDERS];
    for (int i = 0; i < OUTSIDERS; i++) {
        outsiders[i] = (outsider){.exec = exec, .rand.state = skua__rand_next(rand)};
        assert_int_equal(pthread_create(&outsiders[i].thread, NULL, run_outsider, &outsiders[i]),
                         0);
    }
    for (int i = 0; i < OUTSIDERS; i++) {
        pthread_join(outsiders[i].thread, NULL);
    }
    skua_exec_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_exec_stats_get(exec, &stats), SKUA_OK);
    total->tasks += stats.tasks;
    total->steals += stats.steals;
    total->leaps += stats.leaps;
    total->shares += stats.shares;
    total->parks += stats.parks;
    total->spares += stats.spares;
    skua_exec_close(exec);
}

static void
test_stress_mix(void **state) {
    (void)state;
    const char *given = getenv("SKUA_STRESS_S");
    int64_t until_ns = skua__clock_ns() + (given ? atoi(given) : DEFAULT_S) * SKUA_NS_PER_S;
    skua__rand rand = {.state = test_seed((uint64_t)skua__clock_ns())};
    skua_exec_stats total = {0};
    int rounds = 0;
    do {
        uint64_t seed = rand.state;
        fprintf(stderr, "\rround %d, SKUA_TEST_SEED=%llu", rounds++, (unsigned long long)seed);
        stress_one_exec(&rand, &total);
        /* On a slow machine the time may pass before any executor with two workers had its turn. */
    } while (skua__clock_ns() < until_ns || total.steals == 0 || total.shares == 0);
    fprintf(stderr,
            "\n%d executors: %llu tasks, %llu steals, %llu leaps, %llu shares, %llu parks, "
            "%llu spares\n",
            rounds, (unsigned long long)total.tasks, (unsigned long long)total.steals,
            (unsigned long long)total.leaps, (unsigned long long)total.shares,
            (unsigned long long)total.parks, (unsigned long long)total.spares);
    assert_true(total.steals > 0 && total.shares > 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stress_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
