// SPDX-License-Identifier: MPL-2.0
// Forked calls: each runs once, what it wrote is there after its sync, and a sync runs nothing but what it waits for.
#include "engine.h"
#include "scenarios.h"

#include <skua/parallel.h>

enum {
    CHILDREN_MAX = 5,
    TREE_NODES = 10,
};

typedef struct node {
    skua_job job; /* first, where the node is one */
    const struct node *parent;
    struct node *children[CHILDREN_MAX];
    uint32_t child_count;
    uint32_t runs;
    uint32_t sum;
    bool asked; /* somebody asks for work just before each of its forks */
    struct node
        *within[2]; /* what it runs by skua_exec_run(), and by waiting for a group; or NULL */
    uint32_t within_at[2]; /* before which of its forks */
    tally *done;           /* NULL: nobody counts */
    struct node *later;    /* a job to submit at the end, or NULL */
} node;

/* The innermost call that this thread's syncs wait for. */
static _Thread_local const node *waited_for;

static void run_within(skua_worker w, node *n, uint32_t at);

static void
run_node(skua_worker w, void *frame) {
    node *n = frame;
    for (const node *at = n; waited_for && at != waited_for; at = at->parent) {
        explore_check(at->parent != NULL, "a sync ran a call that it does not wait for");
    }
    for (uint32_t i = 0; i < n->child_count; i++) {
        run_within(w, n, i);
        if (n->asked) {
            skua__request(skua__stack_of(w.top), EXEC_REQUEST_HUNGRY);
        }
        skua_spawn(&w, run_node, n->children[i]);
    }
    n->runs++;
    n->sum += 1;
    run_within(w, n, n->child_count);
    for (uint32_t i = n->child_count; i-- > 0;) {
        const node *before = waited_for;
        waited_for = n->children[i];
        skua_sync(&w, run_node, n->children[i]);
        waited_for = before;
        explore_check(n->children[i]->runs == 1, "a forked call ran once");
        n->sum += n->children[i]->sum;
    }
    if (n->later) {
        explore_check(skua_exec_submit(skua_worker_exec(w), &n->later->job) == SKUA_OK, "submit");
    }
}

static void
run_node_job(skua_worker w, skua_job *job) {
    node *n = (node *)(void *)job;
    run_node(w, n);
    if (n->done) {
        tally_add(n->done);
    }
}

/* Runs things that know nothing of w, and so not where its forks end. */
static void
run_within(skua_worker w, node *n, uint32_t at) {
    skua_exec *exec = skua_worker_exec(w);
    node *within = n->within[0];
    if (within && n->within_at[0] == at) {
        explore_check(skua_exec_run(exec, run_node, within, NULL) == SKUA_OK, "run");
        n->sum += within->sum;
    }
    within = n->within[1];
    if (within && n->within_at[1] == at) {
        skua_group group;
        skua_group_init(&group, exec);
        skua_job_init(&within->job, run_node_job);
        explore_check(skua_group_submit(&group, &within->job) == SKUA_OK, "submit");
        explore_check(skua_group_wait(&group, SKUA_UNLIMITED, NULL) == SKUA_OK, "wait");
        skua_group_fini(&group);
        n->sum += within->sum;
    }
}

static node *
new_node(node *parent) {
    node *n = explore_new(sizeof *n);
    n->parent = parent;
    n->asked = explore_below(2);
    if (parent) {
        parent->children[parent->child_count++] = n;
    }
    return n;
}

/* A random tree of TREE_NODES nodes at most. */
static node *
new_tree(uint32_t nodes) {
    node *all[TREE_NODES];
    all[0] = new_node(NULL);
    uint32_t count = 1;
    while (count < nodes) {
        node *parent = all[explore_below(count)];
        if (parent->child_count < CHILDREN_MAX) {
            all[count++] = new_node(parent);
        }
    }
    return all[0];
}

void
scenario_fork(void) {
    skua_exec *exec = scenario_open(2 + (int32_t)explore_below(2), 0);
    uint32_t nodes = 2 + explore_below(TREE_NODES - 1);
    node *root = new_tree(nodes);
    explore_check(skua_exec_run(exec, run_node, root, NULL) == SKUA_OK, "run");
    explore_check(root->runs == 1 && root->sum == nodes, "the tree's sum");
    skua_exec_close(exec);
}

/*
 * A thief ends a stolen call and goes on to something else, which forks too: who waits for the first must not take what
 * the second forked (E1).
 */
void
scenario_leap(void) {
    skua_exec *exec = scenario_open(2, 0);
    tally *done = tally_new();
    node *jobs[2];
    for (int i = 0; i < 2; i++) {
        jobs[i] = new_node(NULL);
        jobs[i]->done = done;
        skua_job_init(&jobs[i]->job, run_node_job);
    }
    node *stolen = new_node(jobs[0]);
    new_node(stolen);
    new_node(jobs[1]);
    jobs[0]->asked = stolen->asked = jobs[1]->asked = true;
    stolen->later = jobs[1];
    explore_check(skua_exec_submit(exec, &jobs[0]->job) == SKUA_OK, "submit");
    tally_wait(done, 2);
    skua_exec_close(exec);
    explore_check(jobs[0]->sum == 3 && jobs[1]->sum == 2, "the sums");
    tally_free(done);
}

/* A small tree that some node of another one runs in the midst of its own forks. */
static void
put_within(node *root, uint32_t kind, uint32_t nodes) {
    node *at = root;
    while (at->child_count && explore_below(2)) {
        at = at->children[explore_below(at->child_count)];
    }
    if (!at->within[kind]) {
        at->within[kind] = new_tree(nodes);
        at->within[kind]->parent = at;
        at->within_at[kind] = explore_below(at->child_count + 1);
    }
}

static uint32_t
count_of(const node *n) {
    uint32_t count = n ? 1 : 0;
    for (uint32_t i = 0; n && i < n->child_count; i++) {
        count += count_of(n->children[i]);
    }
    return n ? count + count_of(n->within[0]) + count_of(n->within[1]) : 0;
}

/* Runs within runs, above forks that nobody knows the end of: none of both is lost, run twice, or taken for the other. */
void
scenario_nest(void) {
    skua_exec *exec = scenario_open(2 + (int32_t)explore_below(2), 0);
    node *root = new_tree(2 + explore_below(6));
    for (uint32_t i = 1 + explore_below(3); i-- > 0;) {
        put_within(root, i % 2, 1 + explore_below(4));
    }
    if (root->within[0] && explore_below(2)) {
        put_within(root->within[0], explore_below(2), 1 + explore_below(3));
    }
    explore_check(skua_exec_run(exec, run_node, root, NULL) == SKUA_OK, "run");
    explore_check(root->runs == 1 && root->sum == count_of(root), "the tree's sum");
    skua_exec_close(exec);
}

/* ---- Asking ---- */

static void
set_flag(skua_worker w, void *frame) {
    (void)w;
    tally_add(frame);
}

static void
do_nothing(skua_worker w, void *frame) {
    (void)w, (void)frame;
}

/* Forks until somebody has taken the oldest fork: a request that is lost would never be made again (T1). */
static void
fork_until_taken(skua_worker w, void *frame) {
    tally *taken = frame;
    uint32_t count = 0;
    skua_spawn(&w, set_flag, taken);
    while (count == 0) {
        skua_spawn(&w, do_nothing, NULL);
        skua_sync(&w, do_nothing, NULL);
        skua__mutex_lock(&taken->lock);
        count = taken->count;
        skua__mutex_unlock(&taken->lock);
        skua__atomic_pause();
    }
    skua_sync(&w, set_flag, taken);
}

void
scenario_hungry(void) {
    skua_exec *exec = scenario_open(2 + (int32_t)explore_below(2), 0);
    tally *taken = tally_new();
    explore_check(skua_exec_run(exec, fork_until_taken, taken, NULL) == SKUA_OK, "run");
    skua_exec_close(exec);
    explore_check(taken->count == 1, "the oldest fork ran once");
    tally_free(taken);
}

/* ---- Limits ---- */

/* A stack of two slots: most calls run inside their spawn. */
void
scenario_full(void) {
    skua_exec *exec = NULL;
    skua_status status = skua_exec_open(
        &exec,
        SKUA_EXEC_OPTIONS(.allocator = explore_allocator(), .log = &scenario_silence, .workers = 2,
                          .lease = SKUA_LEASE_NEVER, .spares = SKUA_NONE,
                          .stack_slots = 1 + (int32_t)explore_below(2), .spin_us = 20),
        NULL);
    explore_check(status == SKUA_OK, "the executor opens");
    uint32_t nodes = 4 + explore_below(5);
    node *root = new_tree(nodes);
    explore_check(skua_exec_run(exec, run_node, root, NULL) == SKUA_OK, "run");
    explore_check(root->runs == 1 && root->sum == nodes, "the tree's sum");
    skua_exec_close(exec);
}

/* ---- Loops ---- */

typedef struct text {
    uint32_t length;
    uint8_t letters[12];
} text;

static void
fold_text(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg) {
    (void)w, (void)arg;
    text *t = value;
    for (uint64_t i = first; i < end; i++) {
        t->letters[t->length++] = (uint8_t)i;
    }
}

static void
combine_text(void *left, const void *right, void *arg) {
    (void)arg;
    text *l = left;
    const text *r = right;
    for (uint32_t i = 0; i < r->length; i++) {
        l->letters[l->length++] = r->letters[i];
    }
}

static void
mark_each(skua_worker w, uint64_t first, uint64_t end, void *arg) {
    (void)w;
    uint8_t *marks = arg;
    for (uint64_t i = first; i < end; i++) {
        marks[i]++;
    }
}

/* Each index once; and a reduction that is not commutative comes out in order. */
void
scenario_loop(void) {
    skua_exec *exec = scenario_open(2, 0);
    uint32_t count = 2 + explore_below(6);
    uint8_t *marks = explore_new(count);
    explore_check(skua_parallel_for(exec, 0, count, 1, mark_each, marks, NULL) == SKUA_OK, "for");
    text all = {0}, none = {0};
    skua_reduce reduce = {.size = sizeof reduce,
                          .value_bytes = sizeof(text),
                          .identity = &none,
                          .fold = fold_text,
                          .combine = combine_text};
    explore_check(skua_parallel_reduce(exec, 0, count, 1, &reduce, &all, NULL) == SKUA_OK,
                  "reduce");
    for (uint32_t i = 0; i < count; i++) {
        explore_check(marks[i] == 1, "each index once");
        explore_check(all.letters[i] == i, "the pieces in order");
    }
    explore_check(all.length == count, "all pieces");
    skua_exec_close(exec);
}
