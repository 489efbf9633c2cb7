// SPDX-License-Identifier: MPL-2.0
// What lies in the public structs of a graph and its nodes; shared by graph.c, which builds, and graph_run.c, which runs.
#ifndef SKUA_EXEC_GRAPH_PRIV_H
#define SKUA_EXEC_GRAPH_PRIV_H

#include "engine.h"

#include <skua/graph.h>

enum {
    GRAPH_TASK,
    GRAPH_CONDITION,
    GRAPH_INNER, /* arg is another graph */
    GRAPH_LINK,  /* set by the seal: a task with one successor, which waits for nothing else */
};

/*
 *            seal              start                        the last node ends          wait
 *   BUILDING ----> SEALED ----------------> RUNNING ------------------------> ENDED ----------> SEALED
 *      ^             | \--(a node of another graph)--> WITHIN --(the last node ends)--> SEALED
 *      \----reset----/
 */
enum graph_state {
    GRAPH_BUILDING,
    GRAPH_SEALED,
    GRAPH_RUNNING,
    GRAPH_ENDED,
    GRAPH_WITHIN,
    GRAPH_STARTING, /* claimed by a start, which prepares its group: no cancel finds it yet */
};

struct skua__graph;

typedef struct skua__node {
    skua_graph_fn *fn;
    void *arg;
    struct skua__node **next; /* next_count of them, in the graph's block */
    struct skua__node *only;  /* of a link: its successor */
    uint32_t next_count;
    uint32_t waits_for; /* edges to it from what is no condition */
    skua__a32 arrivals; /* how many of them are missing yet; unused where there is one */
    uint8_t kind;
    uint8_t color;           /* of the seal's search */
    struct skua__node *link; /* in a strand's spill; the way back in the seal's search */
    const char *name;
    struct skua__graph *graph;
    struct skua__node *sibling; /* the one added after it */
    uint32_t index;
    uint32_t entries; /* edges to it from conditions */
    skua__a32 busy;   /* with conditions: it waits to run or runs */
} skua__node;

static_assert(sizeof(skua__node) <= sizeof(skua_graph_node), "a node fits the public struct");

typedef struct skua__edge {
    skua__node *from, *to;
} skua__edge;

typedef struct skua__graph {
    const skua_allocator *hook;
    const char *name;
    skua__node *first, *last;
    skua__edge *edges;
    skua__node **block; /* the successors of all nodes, then the sources */
    skua__node **sources;
    uint32_t node_count, edge_count, source_count;
    uint32_t edge_room, block_room;
    uint32_t depth; /* graphs within it: 1 for none */
    uint8_t priority;
    bool has_conditions;
    bool is_dirty;   /* the last run left counters behind */
    skua__a32 state; /* enum graph_state */
    /* Of a run. */
    skua__a64 credits;
    skua_exec *exec;
    skua_group *scope; /* whose cancel and error count: our own group, or the outermost graph's */
    skua__node *outer; /* the node that this run is for, or NULL */
    skua_job job;
    skua_group group;
} skua__graph;

static_assert(sizeof(skua__graph) <= sizeof(skua_graph), "a graph fits the public struct");

static inline skua__graph *
skua__graph_of(const skua_graph *graph) {
    return (skua__graph *)(void *)(uintptr_t)graph;
}

static inline skua__node *
skua__node_of(const skua_graph_node *node) {
    return (skua__node *)(void *)(uintptr_t)node;
}

/* The state, for who may not change it meanwhile. */
static inline uint32_t
skua__graph_state(const skua__graph *graph) {
    /* acquire GS1: what the run wrote; pairs with release GS1 in graph_run.c's finish() */
    return skua__a32_load(&graph->state, memory_order_acquire);
}

#endif
