// SPDX-License-Identifier: MPL-2.0
// Task graphs: nodes with edges between them, built once, sealed, and run as often as you like without an allocation.
// Conditions choose a way and make loops; a sealed graph may be a node of another one.
#ifndef SKUA_GRAPH_H
#define SKUA_GRAPH_H

#include <skua/exec.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_GRAPH_NODES_MAX (1 << 24) /* nodes of one graph */
#define SKUA_GRAPH_EDGES_MAX (1 << 26) /* edges of one graph */
#define SKUA_GRAPH_DEPTH_MAX 32        /* graphs within graphs */

/*
 * What a node runs. A task returns 0, or a negative status: then the graph's other nodes are not started any more, and
 * skua_graph_wait() returns that status. A condition returns which of its edges to take, 0 for the first one made; a
 * number past the last ends the way there.
 */
typedef int32_t skua_graph_fn(skua_worker w, void *arg);

/*
 * One node, in the caller's memory, so that it can be part of a struct of yours and a run needs no heap. It is the graph's
 * from skua_graph_add() to skua_graph_fini() or skua_graph_reset(). Only the functions touch it.
 */
typedef struct skua_graph_node {
    skua_graph_fn *fn;
    void *arg;
    uint64_t reserved[10];
} skua_graph_node;

/* In the caller's memory; skua_graph_init() and skua_graph_fini() are its life. Only the functions touch it. */
typedef struct skua_graph {
    uint64_t reserved[72];
} skua_graph;

typedef struct skua_graph_options {
    size_t size;
    const skua_allocator *allocator; /* borrowed until fini; NULL: the default */
    const char *name;                /* borrowed until fini; NULL: "graph" */
    int32_t priority;                /* skua_priority: of the run's start among submitted jobs */
} skua_graph_options;

#define SKUA_GRAPH_OPTIONS(...)                                                                    \
    (&(skua_graph_options){.size = sizeof(skua_graph_options), __VA_ARGS__})

/* ---- Building ---- */

/**
 * Prepares an empty graph. options may be NULL.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT for options that are not understood.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_init(skua_graph *graph,
                                                     const skua_graph_options *options,
                                                     skua_error *err);

/**
 * Ends a graph that does not run (wait for it first); the nodes are yours again. Takes NULL and a zeroed one.
 *
 * Returns: nothing; an assertion fails when the graph runs.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API void skua_graph_fini(skua_graph *graph);

/**
 * Takes all nodes and edges out, so that the graph can be built anew in the memory that it has.
 *
 * Returns: 0, or SKUA_E_AGAIN when it runs.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_reset(skua_graph *graph, skua_error *err);

/**
 * Adds a task: node will run fn(w, arg) once in each run, after all that has an edge to it.
 *
 * node: lent to the graph, its memory need not be prepared. arg, name: borrowed as long; name may be NULL, and shows up
 * in errors and drawings.
 * Returns: 0; SKUA_E_BAD_ARGUMENT for a NULL or a sealed graph; SKUA_E_LIMIT past SKUA_GRAPH_NODES_MAX.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_add(skua_graph *graph, skua_graph_node *node,
                                                    skua_graph_fn *fn, void *arg, const char *name,
                                                    skua_error *err);

/**
 * Adds a condition: of its edges it takes the one that fn returns the number of, and starts that node at once, whatever
 * else that one waits for. So an edge from a condition may lead back. The loop ends when a condition leads out of it.
 *
 * Returns: as skua_graph_add().
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_add_condition(skua_graph *graph,
                                                              skua_graph_node *node,
                                                              skua_graph_fn *fn, void *arg,
                                                              const char *name, skua_error *err);

/**
 * Adds a sealed graph as a node: it is run whole where the node stands. No worker waits for it. It may stand at several
 * places, if no two of them run at once.
 *
 * inner: borrowed until fini or reset; NULL name: that of inner.
 * Returns: as skua_graph_add(); SKUA_E_BAD_ARGUMENT when inner is not sealed; SKUA_E_LIMIT past SKUA_GRAPH_DEPTH_MAX.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_add_graph(skua_graph *graph, skua_graph_node *node,
                                                          skua_graph *inner, const char *name,
                                                          skua_error *err);

/**
 * Adds an edge: to waits for from, or, when from is a condition, is its next choice.
 *
 * Returns: 0; SKUA_E_BAD_ARGUMENT for a NULL, a node of another graph or a sealed graph; SKUA_E_NO_MEMORY; SKUA_E_LIMIT
 * past SKUA_GRAPH_EDGES_MAX.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_edge(skua_graph *graph, skua_graph_node *from,
                                                     skua_graph_node *to, skua_error *err);

/**
 * Ends the building: checks the graph and lays the edges out. Runs allocate nothing from here on.
 *
 * Returns: 0; SKUA_E_GRAPH_CYCLE with the names along a cycle that no condition breaks; SKUA_E_BAD_ARGUMENT when no node
 * can be the first, a node was added twice, or the graph is sealed; SKUA_E_NO_MEMORY.
 * Threads: owner. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_seal(skua_graph *graph, skua_error *err);

/* ---- Running ---- */

/**
 * Starts a run of a sealed graph; skua_graph_wait() ends it. Where several nodes are ready, one worker takes them depth
 * first in the order of their edges, and others help themselves.
 *
 * exec: borrowed until the wait has returned.
 * Returns: 0; SKUA_E_BAD_ARGUMENT for a NULL or a graph that is not sealed; SKUA_E_AGAIN when it runs, or ended and was not
 * waited for; what skua_exec_submit() returns.
 * Threads: any, workers too. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_start(skua_graph *graph, skua_exec *exec,
                                                      skua_error *err);

/**
 * Waits until the run that was started last has ended. A worker starts it itself if nobody has; else a spare takes its
 * place meanwhile. May be called again, and then returns the same.
 *
 * timeout_ms: 0 or SKUA_UNLIMITED: no limit; SKUA_NONE: do not wait.
 * Returns: 0; the first negative status of a node, with its name; the first cancel's status; SKUA_E_TIMEOUT (it goes on);
 * SKUA_E_DEADLOCK when one of its own nodes waits; SKUA_E_GRAPH_RACE when a node was started while it ran;
 * SKUA_E_BAD_ARGUMENT when it was never started.
 * Threads: any. Blocks: until done, or timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_wait(skua_graph *graph, int64_t timeout_ms,
                                                     skua_error *err);

/**
 * Runs a sealed graph and waits for its end. A worker begins with it at once, in this call.
 *
 * Returns: as skua_graph_start() and skua_graph_wait().
 * Threads: any, workers too. Blocks: until the run has ended. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_run(skua_graph *graph, skua_exec *exec,
                                                    skua_error *err);

/**
 * Cancels the run that is under way: nodes that have not started never will in it, and skua_worker_cancelled() tells those that
 * run. The next run knows nothing of it.
 *
 * status: a negative status; SKUA_E_CANCELLED where nothing else fits. message: copied, may be NULL.
 * Returns: true when this was the run's first cancel or error; false also when none is under way.
 * Threads: any, workers too, also while a run starts or ends. Blocks: never. Since 0.1.
 */
SKUA_API bool skua_graph_cancel(skua_graph *graph, skua_status status, const char *message);

/**
 * Writes a sealed graph in the DOT language, for Graphviz: conditions are diamonds with dashed, numbered edges, graphs
 * within it stand in boxes of their own.
 *
 * Returns: 0; SKUA_E_BAD_ARGUMENT when it is not sealed; SKUA_E_FILE when out reports an error.
 * Threads: any, also while it runs. Blocks: as writing to out does. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_graph_write_dot(const skua_graph *graph, FILE *out,
                                                          skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
