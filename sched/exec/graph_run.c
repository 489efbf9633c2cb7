// SPDX-License-Identifier: MPL-2.0
// Runs of graphs: a strand is one worker that runs nodes of one run, until neither a successor nor its part of the
// worker's ring has a ready one. docs/design/exec.md, section "Graphs", states the guarantees.
//
// A run ends when its last credit is given back. The strand that begins it holds one; a node in a ring carries one, which
// is its strand's again when that takes it back, and begins the strand of the worker that steals it. A node that waits for
// others needs none: whoever ends the last of those is a strand. A graph within a graph has credits of its own; its
// node keeps one of the outer run's until the inner run has ended, on whichever worker.
#include "graph_priv.h"

#include <skua-int/fail.h>

enum {
    GRAPH_CREDITS = 256,       /* fetched at a time */
    GRAPH_REFILL = 512,        /* spilled nodes that go back to the ring at a time */
    GRAPH_MESSAGE_BYTES = 128, /* of a node's failure; a group keeps as much */
};

typedef struct strand {
    skua__worker *worker;
    skua__stack *stack;
    skua__graph *graph;
    const skua__a32 *cancelled; /* the scope's: not 0 after an error or a cancel */
    uint64_t credits;           /* at least 1: its own */
    uint64_t base;              /* of its part of the ring */
    skua__node *spill;          /* ready nodes that the ring had no room for */
    skua_worker w;
    bool is_plain; /* the graph has no conditions, so no node can be started twice */
} strand;

static strand
begin_strand(skua_worker w, skua__graph *graph) {
    skua__worker *worker = skua__stack_of(w.top)->worker;
    return (strand){.worker = worker,
                    .stack = worker->stack,
                    .graph = graph,
                    .cancelled = skua__group_status(graph->scope),
                    .credits = 1,
                    .base = skua__offers_base(&worker->stack->nodes),
                    .w = w,
                    .is_plain = !graph->has_conditions};
}

/* Gives the credits back. Returns true when they were the last: the run is over, and ours to finish. */
static bool
end_strand(const strand *s) {
    /* acq_rel A2: what the nodes did, before the end of the run; pairs with acq_rel A2 here */
    return skua__a64_sub(&s->graph->credits, s->credits, memory_order_acq_rel) == s->credits;
}

/* A credit to give away. */
static void
spend_credit(strand *s) {
    if (s->credits == 1) {
        /* relaxed: we hold one, so the count is not at its end. */
        skua__a64_add(&s->graph->credits, GRAPH_CREDITS, memory_order_relaxed);
        s->credits += GRAPH_CREDITS;
    }
    s->credits--;
}

static bool
is_cancelled(const strand *s) {
    /* acquire G3: pairs with release G3 in skua_group_cancel() */
    return skua__a32_load(s->cancelled, memory_order_acquire) != 0;
}

static __attribute__((noinline, cold)) void
fail_node(const strand *s, const skua__node *node, skua_status status, const char *why) {
    char message[GRAPH_MESSAGE_BYTES];
    if (node->name) {
        snprintf(message, sizeof message, "node \"%.60s\": %s", node->name, why);
    } else {
        snprintf(message, sizeof message, "node #%u: %s", (unsigned)node->index, why);
    }
    skua_group_cancel(s->graph->scope, status, message);
}

/* ---- Ready nodes ---- */

/* Puts a ready node where every worker sees it. */
static void
offer(strand *s, skua__node *node) {
    spend_credit(s); /* before a thief can see the node, end its strand and give the credit back */
    void *const items[] = {node};
    if (skua__offers_add(&s->stack->nodes, items, 1) == 0) {
        s->credits++;
        node->link = s->spill;
        s->spill = node;
    }
}

/* The newest ready node of this strand, or NULL. */
static skua__node *
take(strand *s) {
    skua__node *node = skua__offers_take(&s->stack->nodes, s->base);
    if (node) {
        s->credits++;
        return node;
    }
    node = s->spill;
    if (node) {
        s->spill = node->link;
        for (int i = 0; i < GRAPH_REFILL && s->spill; i++) {
            skua__node *more = s->spill;
            s->spill = more->link;
            offer(s, more);
        }
        skua__wake_for_work(s->worker->exec, NULL);
    }
    return node;
}

/* One of the edges to a node is done. Returns true for the last. */
static bool
arrive(skua__node *node) {
    /* acquire A1: what the other predecessors did; pairs with acq_rel A1 below */
    if (skua__a32_load(&node->arrivals, memory_order_acquire) != 1 &&
        /* acq_rel A1: what ours did, and the others; pairs with acquire A1 above */
        skua__a32_sub(&node->arrivals, 1, memory_order_acq_rel) != 1) {
        return false;
    }
    /* relaxed: for the next run, or the next time round; nobody arrives before the node has run. */
    skua__a32_store(&node->arrivals, node->waits_for, memory_order_relaxed);
    return true;
}

/* In a graph with conditions two ways may lead to one node; it cannot be ready twice. */
static bool
enter(const strand *s, skua__node *node) {
    if (s->is_plain) {
        return true;
    }
    uint32_t idle = 0;
    /* acq_rel A3: what it did the last time; pairs with release A3 in leave() */
    if (!skua__a32_cas(&node->busy, &idle, 1, memory_order_acq_rel)) {
        fail_node(s, node, SKUA_E_GRAPH_RACE, skua_status_text(SKUA_E_GRAPH_RACE));
        return false;
    }
    return true;
}

static void
leave(const strand *s, skua__node *node) {
    if (!s->is_plain) {
        /* release A3: what it did; pairs with acq_rel A3 in enter() */
        skua__a32_store(&node->busy, 0, memory_order_release);
    }
}

/* Tells the successors of a node that it has ended. Returns the first that is ready by that, and offers the others. */
static skua__node *
settle(strand *s, const skua__node *node) {
    skua__node *next = NULL;
    bool offered = false;
    for (uint32_t i = node->next_count; i-- > 0;) {
        skua__node *to = node->next[i];
        if ((to->waits_for > 1 && !arrive(to)) || !enter(s, to)) {
            continue;
        }
        if (next) {
            offer(s, next);
            offered = true;
        }
        next = to;
    }
    if (offered) {
        skua__wake_for_work(s->worker->exec, NULL);
    }
    return next;
}

/* ---- Strands ---- */

static inline int32_t
call(const strand *s, const skua__node *node) {
    skua__worker *worker = s->worker;
    /* relaxed: recording may begin and end an event sooner or later. */
    bool traced = skua__a32_load(&worker->exec->tracing, memory_order_relaxed) != EXEC_TRACE_OFF;
    if (__builtin_expect(traced, 0)) {
        skua__trace_record(worker, EXEC_TRACE_NODE, node->index);
    }
    int32_t result = node->fn(s->w, node->arg);
    if (__builtin_expect(traced, 0)) {
        skua__trace_record(worker, EXEC_TRACE_END, 0);
    }
    assert(!skua__left_a_fork(s->w) && "a graph's node returned before the sync of a forked call");
    return result;
}

/*
 * Nodes with one successor, which waits for nothing else: there is nothing to count and nothing to offer. Returns the first
 * node that is none, or NULL after an error or a cancel.
 */
static inline skua__node *
run_links(const strand *s, skua__node *node) {
    const skua__a32 *cancelled = s->cancelled;
    do {
        skua__node *next = node->only; /* before the call, so that its cache line comes meanwhile */
        __builtin_prefetch(next);
        int32_t result = call(s, node);
        if (result < 0) {
            fail_node(s, node, result, skua_status_text(result));
            return NULL;
        }
        node = next;
        /* acquire G3: pairs with release G3 in skua_group_cancel() */
        if (skua__a32_load(cancelled, memory_order_acquire) != 0) {
            return NULL;
        }
    } while (node->kind == GRAPH_LINK);
    return node;
}

static skua__node *run_inner(strand *s, skua__node *node);

static skua__node *
run_node(strand *s, skua__node *node) {
    if (node->kind == GRAPH_INNER) {
        return run_inner(s, node);
    }
    int32_t result = call(s, node);
    leave(s, node);
    if (result < 0) {
        fail_node(s, node, result, skua_status_text(result));
        return NULL;
    }
    if (node->kind == GRAPH_CONDITION) {
        skua__node *to = (uint32_t)result < node->next_count ? node->next[result] : NULL;
        return to && enter(s, to) ? to : NULL;
    }
    return settle(s, node);
}

/* Runs node and what is ready behind it, until nothing is left here. */
static void
run_ready(strand *s, skua__node *node) {
    while (node) {
        if (is_cancelled(s)) {
            while (take(s)) { /* never to be run */
            }
            return;
        }
        node = node->kind == GRAPH_LINK ? run_links(s, node) : run_node(s, node);
        if (!node) {
            node = take(s);
        }
    }
}

/* Returns the first source, and offers the others. */
static skua__node *
enter_sources(strand *s) {
    skua__node *next = NULL;
    for (uint32_t i = s->graph->source_count; i-- > 0;) {
        if (next) {
            offer(s, next);
        }
        next = enter(s, s->graph->sources[i]) ? s->graph->sources[i] : NULL;
    }
    if (s->graph->source_count > 1) {
        skua__wake_for_work(s->worker->exec, NULL);
    }
    return next;
}

/* ---- Runs ---- */

/* Claims a sealed graph for one run. Returns its state: GRAPH_SEALED when it is ours now. */
static uint32_t
begin_run(skua__graph *graph, uint32_t state, skua_exec *exec, skua_group *scope,
          skua__node *outer) {
    uint32_t was = GRAPH_SEALED;
    /* acquire GS1: the layout, and the last run; pairs with release GS1 in skua_graph_seal() */
    if (!skua__a32_cas(&graph->state, &was, state, memory_order_acquire)) {
        return was;
    }
    for (skua__node *node = graph->is_dirty ? graph->first : NULL; node; node = node->sibling) {
        /* relaxed: the run has not begun. */
        skua__a32_store(&node->arrivals, node->waits_for, memory_order_relaxed);
        skua__a32_store(&node->busy, 0, memory_order_relaxed); /* relaxed: same */
    }
    graph->exec = exec;
    graph->scope = scope;
    graph->outer = outer;
    skua__a64_store(&graph->credits, 1, memory_order_relaxed); /* relaxed: same */
    return GRAPH_SEALED;
}

/* The run is over. Returns the outer run's node that waited for it, or NULL: then the graph may be gone. */
static skua__node *
finish(skua__graph *graph) {
    skua__node *outer = graph->outer;
    graph->is_dirty = graph->has_conditions || skua_group_cancelled(graph->scope);
    /* release GS1: what the run wrote; pairs with acquire GS1 in begin_run() */
    skua__a32_store(&graph->state, outer ? GRAPH_SEALED : GRAPH_ENDED, memory_order_release);
    if (!outer) {
        skua__group_done(&graph->group);
    }
    return outer;
}

/* The graph that a node stands for has ended. */
static skua__node *
after_inner(strand *s, skua__node *node) {
    leave(s, node);
    return is_cancelled(s) ? NULL : settle(s, node);
}

/* Runs a graph within a graph, as far as it can be run here; the strand that ends it goes on behind the node. */
static skua__node *
run_inner(strand *s, skua__node *node) {
    skua__graph *inner = node->arg;
    uint32_t was = begin_run(inner, GRAPH_WITHIN, s->graph->exec, s->graph->scope, node);
    if (was != GRAPH_SEALED) {
        fail_node(s, node, was == GRAPH_BUILDING ? SKUA_E_BAD_ARGUMENT : SKUA_E_GRAPH_RACE,
                  was == GRAPH_BUILDING ? "its graph is not sealed any more"
                                        : "its graph runs elsewhere, or around it, already");
        return NULL;
    }
    spend_credit(s); /* the node's, from here on */
    strand within = begin_strand(s->w, inner);
    run_ready(&within, enter_sources(&within));
    if (!end_strand(&within)) {
        return NULL;
    }
    finish(inner);
    s->credits++;
    return after_inner(s, node);
}

/* One strand from node (NULL: from the sources) to its end, and behind the graphs that it ended. */
static void
run_strand(skua_worker w, skua__graph *graph, skua__node *node) {
    skua__worker *worker = skua__stack_of(w.top)->worker;
    const skua__frame *before = worker->frame;
    skua__frame here = {.parent = before,
                        .outer = before,
                        .group = graph->scope,
                        .base = (uint32_t)(w.top - worker->stack->slots)};
    worker->frame = &here;
    strand s = begin_strand(w, graph);
    run_ready(&s, node ? node : enter_sources(&s));
    while (end_strand(&s)) {
        skua__node *outer = finish(s.graph);
        if (!outer) {
            break;
        }
        s = begin_strand(w, outer->graph); /* with the credit that the node kept */
        run_ready(&s, after_inner(&s, outer));
    }
    worker->frame = before;
}

void
skua__graph_run_stolen(skua__worker *worker, void *stolen) {
    skua__node *node = stolen;
    run_strand(skua__cursor_at_rest(worker), node->graph, node);
}

static void
run_root_job(skua_worker w, skua_job *job) {
    skua__graph *graph = SKUA_CONTAINER_OF(job, skua__graph, job);
    run_strand(w, graph, NULL);
}

/* ---- Calls ---- */

/* Claims the graph for a run from outside, with a group that holds one until finish(). */
static skua_status
claim(skua__graph *graph, skua_exec *exec, skua_error *err) {
    if (!graph || !exec || !graph->hook) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s",
                         exec ? "the graph is NULL, or not prepared" : "exec is NULL");
    }
    skua_status status = skua__exec_check(exec);
    if (status != SKUA_OK) {
        return SKUA_FAIL(err, status, "the executor cannot run the graph \"%s\": %s", graph->name,
                         skua_status_text(status));
    }
    uint32_t was = begin_run(graph, GRAPH_STARTING, exec, &graph->group, NULL);
    if (was == GRAPH_BUILDING) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the graph \"%s\" is not sealed", graph->name);
    }
    if (was != GRAPH_SEALED) {
        return SKUA_FAIL(err, SKUA_E_AGAIN, "the graph \"%s\" %s", graph->name,
                         was == GRAPH_ENDED ? "ended; wait for it before it is started again"
                                            : "runs already");
    }
    skua__group_renew(&graph->group, exec);
    /* release GS1: the group, for who cancels it; pairs with acquire GS1 in skua__graph_state() */
    skua__a32_store(&graph->state, GRAPH_RUNNING, memory_order_release);
    return SKUA_OK;
}

skua_status
skua_graph_start(skua_graph *public, skua_exec *exec, skua_error *err) {
    skua__graph *graph = skua__graph_of(public);
    skua_status status = claim(graph, exec, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua_job_init(&graph->job, run_root_job);
    graph->job.flags = EXEC_JOB_ALWAYS;
    graph->job.priority = graph->priority;
    status = skua_group_submit(&graph->group, &graph->job);
    if (status == SKUA_E_CANCELLED) {
        finish(graph); /* before it began: so it has ended, and the wait tells with what */
        return SKUA_OK;
    }
    if (status != SKUA_OK) {
        skua__group_done(&graph->group);
        /* release GS1: as it was; pairs with acquire GS1 in begin_run() */
        skua__a32_store(&graph->state, GRAPH_SEALED, memory_order_release);
        return SKUA_FAIL(err, status, "the graph \"%s\" cannot be queued: %s", graph->name,
                         skua_status_text(status));
    }
    return SKUA_OK;
}

skua_status
skua_graph_wait(skua_graph *public, int64_t timeout_ms, skua_error *err) {
    skua__graph *graph = skua__graph_of(public);
    if (!graph || !graph->group.exec) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "graph is NULL, or was never started");
    }
    skua_status status = skua_group_wait(&graph->group, timeout_ms, err);
    uint32_t ended = GRAPH_ENDED;
    /* acq_rel GS1: what the run wrote, for who starts the next; pairs with acquire GS1 in begin_run() */
    skua__a32_cas(&graph->state, &ended, GRAPH_SEALED, memory_order_acq_rel);
    return status;
}

skua_status
skua_graph_run(skua_graph *public, skua_exec *exec, skua_error *err) {
    skua__graph *graph = skua__graph_of(public);
    skua__worker *here = exec ? skua__worker_here(exec) : NULL;
    skua_status status = here ? claim(graph, exec, err) : skua_graph_start(public, exec, err);
    if (status != SKUA_OK) {
        return status;
    }
    if (here) {
        skua__nest nest;
        run_strand(skua__nest_begin(here, &nest), graph, NULL);
        skua__nest_end(here);
    }
    return skua_graph_wait(public, SKUA_UNLIMITED, err);
}

bool
skua_graph_cancel(skua_graph *public, skua_status status, const char *message) {
    assert(public);
    skua__graph *graph = skua__graph_of(public);
    return skua__graph_state(graph) == GRAPH_RUNNING &&
           skua_group_cancel(&graph->group, status, message);
}
