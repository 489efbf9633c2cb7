// SPDX-License-Identifier: MPL-2.0
// Graphs on several workers: each node once and in order, nodes that run at once, cancelling, waiting, graphs in graphs.
#include "opened.h"
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <skua/graph.h>
#include <stdatomic.h>
#include <string.h>

/* ---- Random graphs ---- */

enum { NODES_MAX = 3000, EDGES_BEFORE = 6 };

typedef struct part {
    skua_graph_node node;
    struct part *before[EDGES_BEFORE];
    int before_count;
    atomic_int ran; /* in which run, counted from 1 */
    const atomic_int *run;
} part;

static int32_t
run_part(skua_worker w, void *arg) {
    (void)w;
    part *self = arg;
    int run = atomic_load(self->run);
    for (int i = 0; i < self->before_count; i++) {
        assert_int_equal(atomic_load(&self->before[i]->ran), run);
    }
    assert_int_equal(atomic_exchange(&self->ran, run), run - 1);
    return 0;
}

static uint64_t
next_random(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

/* Each node has up to EDGES_BEFORE edges from older ones, near or far. */
static void
build_random(skua_graph *graph, part *parts, int count, atomic_int *run, uint64_t *seed) {
    for (int i = 0; i < count; i++) {
        parts[i] = (part){.run = run};
        assert_int_equal(skua_graph_add(graph, &parts[i].node, run_part, &parts[i], NULL, NULL),
                         SKUA_OK);
        uint64_t reach = next_random(seed) % 4 ? 10 : (uint64_t)i;
        parts[i].before_count = i ? (int)(next_random(seed) % (EDGES_BEFORE + 1)) : 0;
        for (int e = 0; e < parts[i].before_count; e++) {
            uint64_t back = 1 + next_random(seed) % (reach ? reach : 1);
            parts[i].before[e] = &parts[back > (uint64_t)i ? 0 : i - (int)back];
            assert_int_equal(
                skua_graph_edge(graph, &parts[i].before[e]->node, &parts[i].node, NULL), SKUA_OK);
        }
    }
    assert_int_equal(skua_graph_seal(graph, NULL), SKUA_OK);
}

static void
test_graph_run_keeps_the_order_of_random_graphs(void **state) {
    (void)state;
    static part parts[NODES_MAX];
    uint64_t seed = test_seed(4711);
    for (int32_t workers = 1; workers <= 4; workers++) {
        skua_exec *exec = open_workers(workers, 0);
        for (int round = 0; round < 5; round++) {
            skua_graph graph;
            atomic_int run = 0;
            int count = 1 + (int)(next_random(&seed) % NODES_MAX);
            assert_int_equal(skua_graph_init(&graph, NULL, NULL), SKUA_OK);
            build_random(&graph, parts, count, &run, &seed);
            for (int again = 1; again <= 4; again++) {
                atomic_store(&run, again);
                assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
                for (int i = 0; i < count; i++) {
                    assert_int_equal(atomic_load(&parts[i].ran), again);
                }
            }
            skua_graph_fini(&graph);
        }
        skua_exec_close(exec);
    }
}

/* ---- Wide and long ones ---- */

static int32_t
count_up(skua_worker w, void *arg) {
    (void)w;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static int32_t
fail_at_hundred(skua_worker w, void *arg) {
    (void)w;
    return atomic_fetch_add((atomic_int *)arg, 1) == 99 ? SKUA_E_TASK_FAILED : 0;
}

static void
test_graph_run_offers_more_than_a_deque_holds(void **state) {
    (void)state;
    enum { WIDTH = 5000 };
    static skua_graph_node nodes[WIDTH], ends[2];
    for (int32_t workers = 1; workers <= 3; workers++) {
        skua_exec *exec = open_workers(workers, 0);
        for (int failing = 0; failing < 2; failing++) {
            skua_graph graph;
            atomic_int count = 0;
            assert_int_equal(skua_graph_init(&graph, NULL, NULL), SKUA_OK);
            for (int i = 0; i < 2; i++) {
                assert_int_equal(skua_graph_add(&graph, &ends[i],
                                                failing ? fail_at_hundred : count_up, &count, NULL,
                                                NULL),
                                 SKUA_OK);
            }
            for (int i = 0; i < WIDTH; i++) {
                assert_int_equal(skua_graph_add(&graph, &nodes[i],
                                                failing ? fail_at_hundred : count_up, &count, NULL,
                                                NULL),
                                 SKUA_OK);
                assert_int_equal(skua_graph_edge(&graph, &ends[0], &nodes[i], NULL), SKUA_OK);
                assert_int_equal(skua_graph_edge(&graph, &nodes[i], &ends[1], NULL), SKUA_OK);
            }
            assert_int_equal(skua_graph_seal(&graph, NULL), SKUA_OK);
            for (int run = 0; run < 3; run++) {
                atomic_store(&count, 0);
                skua_status status = skua_graph_run(&graph, exec, NULL);
                int ran = atomic_load(&count);
                assert_int_equal(status, failing ? SKUA_E_TASK_FAILED : SKUA_OK);
                assert_true(failing ? ran >= 100 && ran < WIDTH + 2 : ran == WIDTH + 2);
            }
            skua_graph_fini(&graph);
        }
        skua_exec_close(exec);
    }
}

static void
test_graph_run_of_a_long_chain_needs_no_stack(void **state) {
    (void)state;
    enum { LENGTH = 200000 };
    skua_exec *exec = open_workers(2, 0);
    skua_graph_node *nodes = calloc(LENGTH, sizeof *nodes);
    assert_non_null(nodes);
    skua_graph graph;
    atomic_int count = 0;
    assert_int_equal(skua_graph_init(&graph, NULL, NULL), SKUA_OK);
    for (int i = 0; i < LENGTH; i++) {
        assert_int_equal(skua_graph_add(&graph, &nodes[i], count_up, &count, NULL, NULL), SKUA_OK);
        if (i > 0) {
            assert_int_equal(skua_graph_edge(&graph, &nodes[i - 1], &nodes[i], NULL), SKUA_OK);
        }
    }
    assert_int_equal(skua_graph_seal(&graph, NULL), SKUA_OK);
    assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
    assert_int_equal(atomic_load(&count), LENGTH);
    skua_graph_fini(&graph);
    free(nodes);
    skua_exec_close(exec);
}

/* ---- Nodes that meet: they must run at once, or the test hangs ---- */

enum { MEETING = 4 };

typedef struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int expected, here;
    bool blocks; /* says so to the executor */
} meeting;

static int32_t
meet(skua_worker w, void *arg) {
    meeting *self = arg;
    if (self->blocks) {
        skua_worker_block_begin(w);
    }
    pthread_mutex_lock(&self->lock);
    self->here++;
    pthread_cond_broadcast(&self->changed);
    while (self->here < self->expected) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
    if (self->blocks) {
        skua_worker_block_end(w);
    }
    return 0;
}

static int32_t
do_nothing(skua_worker w, void *arg) {
    (void)w;
    (void)arg;
    return 0;
}

static void
run_meeting(skua_exec *exec, bool blocks) {
    meeting room = {.lock = PTHREAD_MUTEX_INITIALIZER,
                    .changed = PTHREAD_COND_INITIALIZER,
                    .expected = MEETING,
                    .blocks = blocks};
    skua_graph graph;
    skua_graph_node first, nodes[MEETING];
    assert_int_equal(skua_graph_init(&graph, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&graph, &first, do_nothing, NULL, NULL, NULL), SKUA_OK);
    for (int i = 0; i < MEETING; i++) {
        assert_int_equal(skua_graph_add(&graph, &nodes[i], meet, &room, NULL, NULL), SKUA_OK);
        assert_int_equal(skua_graph_edge(&graph, &first, &nodes[i], NULL), SKUA_OK);
    }
    assert_int_equal(skua_graph_seal(&graph, NULL), SKUA_OK);
    for (int round = 0; round < 20; round++) {
        room.here = 0;
        assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
        assert_int_equal(room.here, MEETING);
    }
    skua_graph_fini(&graph);
}

static void
test_graph_run_keeps_no_ready_node_to_itself(void **state) {
    (void)state;
    skua_exec *exec = open_workers(MEETING, SKUA_NONE);
    run_meeting(exec, false);
    skua_exec_close(exec);
}

static void
test_graph_run_has_spares_for_nodes_that_block(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, MEETING);
    run_meeting(exec, true);
    skua_exec_close(exec);
}

/* ---- Starting, waiting, cancelling ---- */

typedef struct door {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool entered, open, saw_cancel;
} door;

static int32_t
pass_gate(skua_worker w, void *arg) {
    door *self = arg;
    pthread_mutex_lock(&self->lock);
    self->entered = true;
    pthread_cond_broadcast(&self->changed);
    while (!self->open) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    self->saw_cancel = skua_worker_cancelled(w);
    pthread_mutex_unlock(&self->lock);
    return 0;
}

static void
await_entered(door *self) {
    pthread_mutex_lock(&self->lock);
    while (!self->entered) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
}

static void
open_gate(door *self) {
    pthread_mutex_lock(&self->lock);
    self->open = true;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

/* An entry, and behind it a node that counts. */
static void
build_gated(skua_graph *graph, skua_graph_node nodes[2], door *entry, atomic_int *count) {
    *entry = (door){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    assert_int_equal(skua_graph_init(graph, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(graph, &nodes[0], pass_gate, entry, "gate", NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(graph, &nodes[1], count_up, count, "behind", NULL), SKUA_OK);
    assert_int_equal(skua_graph_edge(graph, &nodes[0], &nodes[1], NULL), SKUA_OK);
    assert_int_equal(skua_graph_seal(graph, NULL), SKUA_OK);
}

static void *
wait_in_thread(void *arg) {
    assert_int_equal(skua_graph_wait(arg, 0, NULL), SKUA_OK);
    return NULL;
}

static void
test_graph_start_and_wait(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_graph graph;
    skua_graph_node nodes[2];
    door entry;
    atomic_int count = 0;
    skua_error err;
    build_gated(&graph, nodes, &entry, &count);
    assert_int_equal(skua_graph_start(&graph, exec, NULL), SKUA_OK);
    await_entered(&entry);
    assert_int_equal(skua_graph_start(&graph, exec, &err), SKUA_E_AGAIN);
    assert_non_null(strstr(err.message, "runs already"));
    assert_int_equal(skua_graph_reset(&graph, NULL), SKUA_E_AGAIN);
    assert_int_equal(skua_graph_wait(&graph, SKUA_NONE, NULL), SKUA_E_TIMEOUT);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_in_thread, &graph), 0);
    open_gate(&entry);
    assert_int_equal(skua_graph_wait(&graph, 0, NULL), SKUA_OK);
    pthread_join(thread, NULL);
    assert_false(entry.saw_cancel);
    assert_int_equal(atomic_load(&count), 1);
    assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
    assert_int_equal(atomic_load(&count), 2);
    skua_graph_fini(&graph);
    skua_exec_close(exec);
}

static void
test_graph_cancel_keeps_the_rest_from_starting(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, SKUA_NONE);
    skua_graph graph;
    skua_graph_node nodes[2];
    door entry;
    atomic_int count = 0;
    skua_error err;
    build_gated(&graph, nodes, &entry, &count);
    assert_int_equal(skua_graph_start(&graph, exec, NULL), SKUA_OK);
    await_entered(&entry);
    assert_true(skua_graph_cancel(&graph, SKUA_E_REFUSED, "not today"));
    assert_false(skua_graph_cancel(&graph, SKUA_E_TIMEOUT, "too late"));
    open_gate(&entry);
    assert_int_equal(skua_graph_wait(&graph, 0, &err), SKUA_E_REFUSED);
    assert_non_null(strstr(err.message, "not today"));
    assert_true(entry.saw_cancel);
    assert_int_equal(atomic_load(&count), 0);
    assert_false(skua_graph_cancel(&graph, SKUA_E_REFUSED, "it has ended"));
    assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
    assert_false(entry.saw_cancel);
    assert_int_equal(atomic_load(&count), 1);
    skua_graph_fini(&graph);
    skua_exec_close(exec);
}

typedef struct selfish {
    skua_graph *graph;
    skua_status waited, ran;
} selfish;

static int32_t
wait_for_oneself(skua_worker w, void *arg) {
    selfish *self = arg;
    self->waited = skua_graph_wait(self->graph, 0, NULL);
    self->ran = skua_graph_run(self->graph, skua_worker_exec(w), NULL);
    return 0;
}

static void
test_graph_wait_of_its_own_node_is_a_deadlock(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_graph graph, outer;
    skua_graph_node node, place;
    selfish self = {.graph = &graph};
    assert_int_equal(skua_graph_init(&graph, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&graph, &node, wait_for_oneself, &self, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_seal(&graph, NULL), SKUA_OK);
    assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
    assert_int_equal(self.waited, SKUA_E_DEADLOCK);
    assert_int_equal(self.ran, SKUA_E_AGAIN);
    /* From a graph within a graph as well. */
    self = (selfish){.graph = &outer};
    assert_int_equal(skua_graph_init(&outer, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add_graph(&outer, &place, &graph, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_seal(&outer, NULL), SKUA_OK);
    assert_int_equal(skua_graph_run(&outer, exec, NULL), SKUA_OK);
    assert_int_equal(self.waited, SKUA_E_DEADLOCK);
    assert_int_equal(self.ran, SKUA_E_AGAIN);
    skua_graph_fini(&outer);
    skua_graph_fini(&graph);
    skua_exec_close(exec);
}

/* ---- Runs on workers ---- */

typedef struct nested {
    skua_graph graph;
    skua_graph_node nodes[8];
    atomic_int count;
    bool starts; /* and waits, instead of running */
} nested;

static int32_t
run_nested(skua_worker w, void *arg) {
    nested *self = arg;
    if (!self->starts) {
        return skua_graph_run(&self->graph, skua_worker_exec(w), NULL);
    }
    skua_status status = skua_graph_start(&self->graph, skua_worker_exec(w), NULL);
    return status ? status : skua_graph_wait(&self->graph, 0, NULL);
}

static void
test_graph_run_from_nodes_of_another_graph(void **state) {
    (void)state;
    enum { MANY = 50 };
    static nested inner[MANY];
    static skua_graph_node nodes[MANY];
    for (int32_t workers = 1; workers <= 3; workers++) {
        skua_exec *exec = open_workers(workers, SKUA_NONE); /* who does not help hangs */
        skua_graph outer;
        assert_int_equal(skua_graph_init(&outer, NULL, NULL), SKUA_OK);
        for (int i = 0; i < MANY; i++) {
            inner[i] = (nested){.starts = i % 2};
            assert_int_equal(skua_graph_init(&inner[i].graph, NULL, NULL), SKUA_OK);
            for (int n = 0; n < 8; n++) {
                assert_int_equal(skua_graph_add(&inner[i].graph, &inner[i].nodes[n], count_up,
                                                &inner[i].count, NULL, NULL),
                                 SKUA_OK);
            }
            assert_int_equal(skua_graph_seal(&inner[i].graph, NULL), SKUA_OK);
            assert_int_equal(skua_graph_add(&outer, &nodes[i], run_nested, &inner[i], NULL, NULL),
                             SKUA_OK);
        }
        assert_int_equal(skua_graph_seal(&outer, NULL), SKUA_OK);
        for (int round = 1; round <= 5; round++) {
            assert_int_equal(skua_graph_run(&outer, exec, NULL), SKUA_OK);
            for (int i = 0; i < MANY; i++) {
                assert_int_equal(atomic_load(&inner[i].count), 8 * round);
            }
        }
        skua_graph_fini(&outer);
        for (int i = 0; i < MANY; i++) {
            skua_graph_fini(&inner[i].graph);
        }
        skua_exec_close(exec);
    }
}

/* A tree of graphs: each level's graph holds its own node and the next level's graph, at two places one after another. */
static void
test_graph_within_graphs_on_several_workers(void **state) {
    (void)state;
    enum { LEVELS = 5, WIDTH = 12 };
    static skua_graph graphs[LEVELS];
    static skua_graph_node nodes[LEVELS][WIDTH], places[LEVELS][2];
    for (int32_t workers = 1; workers <= 4; workers++) {
        skua_exec *exec = open_workers(workers, SKUA_NONE);
        atomic_int count = 0;
        int expected = 0;
        for (int level = 0; level < LEVELS; level++) {
            assert_int_equal(skua_graph_init(&graphs[level], NULL, NULL), SKUA_OK);
            for (int i = 0; i < WIDTH; i++) {
                assert_int_equal(
                    skua_graph_add(&graphs[level], &nodes[level][i], count_up, &count, NULL, NULL),
                    SKUA_OK);
            }
            for (int i = 0; i < 2 && level > 0; i++) {
                assert_int_equal(skua_graph_add_graph(&graphs[level], &places[level][i],
                                                      &graphs[level - 1], NULL, NULL),
                                 SKUA_OK);
            }
            for (int i = 0; i < WIDTH && level > 0; i++) {
                /* a third before both, a third between them, a third behind them */
                skua_graph_node *node = &nodes[level][i];
                skua_graph_node *from = i % 3 == 0 ? node : &places[level][i % 3 - 1];
                skua_graph_node *to = i % 3 == 0 ? &places[level][0] : node;
                assert_int_equal(skua_graph_edge(&graphs[level], from, to, NULL), SKUA_OK);
                if (i % 3 == 1) {
                    assert_int_equal(skua_graph_edge(&graphs[level], node, &places[level][1], NULL),
                                     SKUA_OK);
                }
            }
            assert_int_equal(skua_graph_seal(&graphs[level], NULL), SKUA_OK);
            expected = 2 * expected + WIDTH;
        }
        for (int round = 1; round <= 20; round++) {
            assert_int_equal(skua_graph_run(&graphs[LEVELS - 1], exec, NULL), SKUA_OK);
            assert_int_equal(atomic_load(&count), expected * round);
        }
        for (int level = LEVELS; level-- > 0;) {
            skua_graph_fini(&graphs[level]);
        }
        skua_exec_close(exec);
    }
}

static int32_t
run_until_cancelled(skua_worker w, void *arg) {
    atomic_store((atomic_bool *)arg, true);
    while (!skua_worker_cancelled(w)) {
        sched_yield();
    }
    return 0;
}

static void
test_graph_within_at_two_places_at_once_is_an_error(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, SKUA_NONE);
    skua_graph inner, outer;
    skua_graph_node node, places[2];
    atomic_bool ran = false;
    skua_error err;
    assert_int_equal(skua_graph_init(&inner, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add(&inner, &node, run_until_cancelled, &ran, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_seal(&inner, NULL), SKUA_OK);
    assert_int_equal(skua_graph_init(&outer, NULL, NULL), SKUA_OK);
    assert_int_equal(skua_graph_add_graph(&outer, &places[0], &inner, "one", NULL), SKUA_OK);
    assert_int_equal(skua_graph_add_graph(&outer, &places[1], &inner, "two", NULL), SKUA_OK);
    assert_int_equal(skua_graph_seal(&outer, NULL), SKUA_OK);
    assert_int_equal(skua_graph_run(&outer, exec, &err), SKUA_E_GRAPH_RACE);
    assert_non_null(strstr(err.message, "runs elsewhere"));
    assert_true(atomic_load(&ran));
    skua_graph_fini(&outer);
    skua_graph_fini(&inner);
    skua_exec_close(exec);
}

/* A loop whose body forks out over the workers and joins again. */
typedef struct looping {
    atomic_int bodies;
    int rounds_left;
} looping;

static int32_t
go_round(skua_worker w, void *arg) {
    (void)w;
    looping *self = arg;
    return --self->rounds_left > 0 ? 0 : 1;
}

static void
test_graph_loops_over_parallel_nodes(void **state) {
    (void)state;
    enum { BODIES = 16, ROUNDS = 200 };
    for (int32_t workers = 1; workers <= 4; workers++) {
        skua_exec *exec = open_workers(workers, SKUA_NONE);
        skua_graph graph;
        skua_graph_node enter, head, bodies[BODIES], join, again, end;
        looping loop = {.bodies = 0};
        assert_int_equal(skua_graph_init(&graph, NULL, NULL), SKUA_OK);
        skua_graph_node *plain[] = {&enter, &head, &join, &end};
        for (int i = 0; i < 4; i++) {
            assert_int_equal(skua_graph_add(&graph, plain[i], do_nothing, NULL, NULL, NULL),
                             SKUA_OK);
        }
        assert_int_equal(skua_graph_add_condition(&graph, &again, go_round, &loop, NULL, NULL),
                         SKUA_OK);
        assert_int_equal(skua_graph_edge(&graph, &enter, &head, NULL), SKUA_OK);
        for (int i = 0; i < BODIES; i++) {
            assert_int_equal(skua_graph_add(&graph, &bodies[i], count_up, &loop.bodies, NULL, NULL),
                             SKUA_OK);
            assert_int_equal(skua_graph_edge(&graph, &head, &bodies[i], NULL), SKUA_OK);
            assert_int_equal(skua_graph_edge(&graph, &bodies[i], &join, NULL), SKUA_OK);
        }
        assert_int_equal(skua_graph_edge(&graph, &join, &again, NULL), SKUA_OK);
        assert_int_equal(skua_graph_edge(&graph, &again, &head, NULL), SKUA_OK);
        assert_int_equal(skua_graph_edge(&graph, &again, &end, NULL), SKUA_OK);
        assert_int_equal(skua_graph_seal(&graph, NULL), SKUA_OK);
        for (int run = 1; run <= 2; run++) {
            loop.rounds_left = ROUNDS;
            assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
            assert_int_equal(atomic_load(&loop.bodies), run * ROUNDS * BODIES);
        }
        skua_graph_fini(&graph);
        skua_exec_close(exec);
    }
}

/* Nodes fork calls, and those that are stolen see the run's cancel. */
static void
leaf(skua_worker w, void *frame) {
    (void)w;
    ++*(int *)frame;
}

static int32_t
fork_calls(skua_worker w, void *arg) {
    int sums[8] = {0};
    for (int i = 0; i < 8; i++) {
        skua_spawn(&w, leaf, &sums[i]);
    }
    int sum = 0;
    for (int i = 8; i-- > 0;) {
        skua_sync(&w, leaf, &sums[i]);
        sum += sums[i];
    }
    atomic_fetch_add((atomic_int *)arg, sum);
    return 0;
}

static void
test_graph_nodes_fork_and_join(void **state) {
    (void)state;
    enum { NODES = 64 };
    static skua_graph_node nodes[NODES];
    skua_exec *exec = open_workers(3, SKUA_NONE);
    skua_graph graph;
    atomic_int sum = 0;
    assert_int_equal(skua_graph_init(&graph, NULL, NULL), SKUA_OK);
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(skua_graph_add(&graph, &nodes[i], fork_calls, &sum, NULL, NULL), SKUA_OK);
        if (i >= 8) {
            assert_int_equal(skua_graph_edge(&graph, &nodes[i - 8], &nodes[i], NULL), SKUA_OK);
        }
    }
    assert_int_equal(skua_graph_seal(&graph, NULL), SKUA_OK);
    for (int round = 1; round <= 50; round++) {
        assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
        assert_int_equal(atomic_load(&sum), round * NODES * 8);
    }
    skua_graph_fini(&graph);
    skua_exec_close(exec);
}

/* ---- A cancel at any moment ---- */

typedef struct canceller {
    skua_graph graph;
    atomic_bool ends;
    atomic_int cancels;
} canceller;

static void *
cancel_always(void *arg) {
    canceller *self = arg;
    while (!atomic_load(&self->ends)) {
        atomic_fetch_add(&self->cancels, skua_graph_cancel(&self->graph, SKUA_E_LOST, NULL));
    }
    return NULL;
}

static void
test_graph_is_cancelled_at_any_moment(void **state) {
    (void)state;
    skua_exec *exec = open_workers(2, SKUA_NONE);
    for (int round = 0; round < 200; round++) {
        canceller self = {.cancels = 0};
        skua_graph_node node;
        atomic_int sum = 0;
        assert_int_equal(skua_graph_init(&self.graph, NULL, NULL), SKUA_OK);
        assert_int_equal(skua_graph_add(&self.graph, &node, fork_calls, &sum, NULL, NULL), SKUA_OK);
        assert_int_equal(skua_graph_seal(&self.graph, NULL), SKUA_OK);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, cancel_always, &self), 0);
        int lost = 0;
        for (int i = 0; i < 3; i++) {
            skua_status status = skua_graph_run(&self.graph, exec, NULL);
            assert_true(status == SKUA_OK || status == SKUA_E_LOST);
            lost += status == SKUA_E_LOST;
        }
        atomic_store(&self.ends, true);
        pthread_join(thread, NULL);
        assert_true(lost <= atomic_load(&self.cancels)); /* a cancel may come as a run ends */
        skua_graph_fini(&self.graph);
    }
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graph_run_keeps_the_order_of_random_graphs),
        cmocka_unit_test(test_graph_run_offers_more_than_a_deque_holds),
        cmocka_unit_test(test_graph_run_of_a_long_chain_needs_no_stack),
        cmocka_unit_test(test_graph_run_keeps_no_ready_node_to_itself),
        cmocka_unit_test(test_graph_run_has_spares_for_nodes_that_block),
        cmocka_unit_test(test_graph_start_and_wait),
        cmocka_unit_test(test_graph_cancel_keeps_the_rest_from_starting),
        cmocka_unit_test(test_graph_wait_of_its_own_node_is_a_deadlock),
        cmocka_unit_test(test_graph_run_from_nodes_of_another_graph),
        cmocka_unit_test(test_graph_within_graphs_on_several_workers),
        cmocka_unit_test(test_graph_within_at_two_places_at_once_is_an_error),
        cmocka_unit_test(test_graph_loops_over_parallel_nodes),
        cmocka_unit_test(test_graph_nodes_fork_and_join),
        cmocka_unit_test(test_graph_is_cancelled_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
