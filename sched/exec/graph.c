// SPDX-License-Identifier: MPL-2.0
// Graphs: adding nodes and edges, the seal with its search for cycles, and drawings. What runs stands in graph_run.c.
#include "graph_priv.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <string.h>

enum {
    GRAPH_EDGES_FIRST = 64, /* room for edges at first; it doubles */
    GRAPH_NAMES_SHOWN = 8,  /* of a cycle, in the error */
    GRAPH_PATH_BYTES = 224, /* of text for them */
};

skua_status
skua_graph_init(skua_graph *public, const skua_graph_options *given, skua_error *err) {
    skua_graph_options options;
    if (!public || !SKUA_READ_OPTIONS(&options, given) || options.priority < 0 ||
        options.priority >= EXEC_PRIORITIES) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "graph is NULL, or options have no size, a newer field or an unknown "
                         "priority");
    }
    memset(public, 0, sizeof *public);
    skua__graph *graph = skua__graph_of(public);
    graph->hook = options.allocator ? options.allocator : skua_allocator_default();
    graph->name = options.name ? options.name : "graph";
    graph->priority = (uint8_t)options.priority;
    graph->depth = 1;
    return SKUA_OK;
}

static bool
is_under_way(const skua__graph *graph) {
    uint32_t state = skua__graph_state(graph);
    return state == GRAPH_RUNNING || state == GRAPH_WITHIN || state == GRAPH_STARTING;
}

void
skua_graph_fini(skua_graph *public) {
    skua__graph *graph = skua__graph_of(public);
    if (!graph || !graph->hook) {
        return;
    }
    assert(!is_under_way(graph) && "skua_graph_fini: the graph runs");
    skua_group_fini(&graph->group);
    skua__mem_free(graph->hook, graph->edges);
    skua__mem_free(graph->hook, graph->block);
    memset(public, 0, sizeof *public);
}

skua_status
skua_graph_reset(skua_graph *public, skua_error *err) {
    skua__graph *graph = skua__graph_of(public);
    if (!graph || !graph->hook) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the graph is NULL, or not prepared");
    }
    if (is_under_way(graph)) {
        return SKUA_FAIL(err, SKUA_E_AGAIN, "the graph \"%s\" runs", graph->name);
    }
    graph->first = graph->last = NULL;
    graph->node_count = graph->edge_count = graph->source_count = 0;
    graph->depth = 1;
    graph->has_conditions = graph->is_dirty = false;
    skua__a32_store(&graph->state, GRAPH_BUILDING, memory_order_relaxed); /* relaxed: the owner */
    return SKUA_OK;
}

/* ---- Nodes and edges ---- */

static skua_status
check_building(const skua__graph *graph, skua_error *err) {
    if (!graph->hook) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "skua_graph_init() did not prepare the graph");
    }
    if (skua__graph_state(graph) != GRAPH_BUILDING) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "the graph \"%s\" is sealed; reset it to build it anew", graph->name);
    }
    return SKUA_OK;
}

static skua_status
add_node(skua__graph *graph, skua_graph_node *public, const skua__node *what, skua_error *err) {
    skua_status status = check_building(graph, err);
    if (status != SKUA_OK) {
        return status;
    }
    if (graph->node_count >= SKUA_GRAPH_NODES_MAX) {
        return SKUA_FAIL(err, SKUA_E_LIMIT, "the graph \"%s\" has %d nodes already", graph->name,
                         SKUA_GRAPH_NODES_MAX);
    }
    skua__node *node = skua__node_of(public);
    memset(public, 0, sizeof *public);
    *node = *what;
    node->graph = graph;
    node->index = graph->node_count++;
    if (graph->last) {
        graph->last->sibling = node;
    } else {
        graph->first = node;
    }
    graph->last = node;
    graph->has_conditions |= node->kind == GRAPH_CONDITION;
    return SKUA_OK;
}

skua_status
skua_graph_add(skua_graph *graph, skua_graph_node *node, skua_graph_fn *fn, void *arg,
               const char *name, skua_error *err) {
    if (!graph || !node || !fn) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL",
                         !graph  ? "graph"
                         : !node ? "node"
                                 : "fn");
    }
    const skua__node what = {.fn = fn, .arg = arg, .name = name, .kind = GRAPH_TASK};
    return add_node(skua__graph_of(graph), node, &what, err);
}

skua_status
skua_graph_add_condition(skua_graph *graph, skua_graph_node *node, skua_graph_fn *fn, void *arg,
                         const char *name, skua_error *err) {
    if (!graph || !node || !fn) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL",
                         !graph  ? "graph"
                         : !node ? "node"
                                 : "fn");
    }
    const skua__node what = {.fn = fn, .arg = arg, .name = name, .kind = GRAPH_CONDITION};
    return add_node(skua__graph_of(graph), node, &what, err);
}

skua_status
skua_graph_add_graph(skua_graph *public, skua_graph_node *node, skua_graph *public_inner,
                     const char *name, skua_error *err) {
    if (!public || !node || !public_inner) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL",
                         !public ? "graph"
                         : !node ? "node"
                                 : "inner");
    }
    skua__graph *graph = skua__graph_of(public);
    skua__graph *inner = skua__graph_of(public_inner);
    if (skua__graph_state(inner) == GRAPH_BUILDING) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "the graph \"%s\" is not sealed, so it cannot be a node", inner->name);
    }
    if (inner->depth >= SKUA_GRAPH_DEPTH_MAX) {
        return SKUA_FAIL(err, SKUA_E_LIMIT, "the graph \"%s\" holds %d levels of graphs already",
                         inner->name, SKUA_GRAPH_DEPTH_MAX);
    }
    const skua__node what = {.arg = inner, .name = name ? name : inner->name, .kind = GRAPH_INNER};
    skua_status status = add_node(graph, node, &what, err);
    if (status == SKUA_OK && graph->depth <= inner->depth) {
        graph->depth = inner->depth + 1;
    }
    return status;
}

skua_status
skua_graph_edge(skua_graph *public, skua_graph_node *from, skua_graph_node *to, skua_error *err) {
    skua__graph *graph = skua__graph_of(public);
    if (!graph || !from || !to) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL",
                         !graph  ? "graph"
                         : !from ? "from"
                                 : "to");
    }
    skua_status status = check_building(graph, err);
    if (status != SKUA_OK) {
        return status;
    }
    skua__edge edge = {.from = skua__node_of(from), .to = skua__node_of(to)};
    if (edge.from->graph != graph || edge.to->graph != graph) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "one end of the edge is no node of the graph \"%s\"", graph->name);
    }
    if (graph->edge_count >= SKUA_GRAPH_EDGES_MAX) {
        return SKUA_FAIL(err, SKUA_E_LIMIT, "the graph \"%s\" has %d edges already", graph->name,
                         SKUA_GRAPH_EDGES_MAX);
    }
    if (graph->edge_count == graph->edge_room) {
        uint32_t room = graph->edge_room ? 2 * graph->edge_room : GRAPH_EDGES_FIRST;
        skua__edge *edges = skua__mem_resize(graph->hook, graph->edges, room * sizeof *edges);
        if (!edges) {
            return SKUA_FAIL_MEMORY(err, "the edges of a graph");
        }
        graph->edges = edges;
        graph->edge_room = room;
    }
    graph->edges[graph->edge_count++] = edge;
    edge.from->next_count++;
    if (edge.from->kind == GRAPH_CONDITION) {
        edge.to->entries++;
    } else {
        edge.to->waits_for++;
    }
    return SKUA_OK;
}

/* ---- The seal ---- */

/* A node that was added twice makes the chain of nodes run in circles: count along it. */
static skua_status
check_chain(const skua__graph *graph, skua_error *err) {
    const skua__node *node = graph->first;
    for (uint32_t i = 0; i < graph->node_count; i++, node = node->sibling) {
        if (!node || node->index != i || node->graph != graph) {
            return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                             "a node was added twice, to the graph \"%s\" or to another one",
                             graph->name);
        }
    }
    return SKUA_OK;
}

/* Lays the successors out, in the order in which the edges were made, and the sources behind them. */
static skua_status
lay_out(skua__graph *graph, skua_error *err) {
    uint32_t sources = 0;
    for (const skua__node *node = graph->first; node; node = node->sibling) {
        sources += node->waits_for + node->entries == 0;
    }
    uint32_t room = graph->edge_count + sources;
    if (room > graph->block_room) {
        skua__node **block = skua__mem_resize(graph->hook, graph->block, room * sizeof *block);
        if (!block) {
            return SKUA_FAIL_MEMORY(err, "the sealed edges of a graph");
        }
        graph->block = block;
        graph->block_room = room;
    }
    graph->sources = graph->block + graph->edge_count;
    graph->source_count = 0;
    skua__node **at = graph->block;
    for (skua__node *node = graph->first; node; node = node->sibling) {
        node->next = at;
        at += node->next_count;
        node->next_count = 0;
        if (node->waits_for + node->entries == 0) {
            graph->sources[graph->source_count++] = node;
        }
    }
    for (uint32_t i = 0; i < graph->edge_count; i++) {
        skua__node *from = graph->edges[i].from;
        from->next[from->next_count++] = graph->edges[i].to;
    }
    return SKUA_OK;
}

static const char *
name_of(const skua__node *node, char *room, size_t room_bytes) {
    if (node->name) {
        return node->name;
    }
    snprintf(room, room_bytes, "#%u", (unsigned)node->index);
    return room;
}

/* The cycle goes from first along links, which lead backwards, to last: turns them round and tells the names. */
static skua_status
fail_cycle(const skua__graph *graph, skua__node *first, skua__node *last, skua_error *err) {
    uint32_t length = 1;
    skua__node *after = NULL;
    for (skua__node *node = last; node != first; length++) {
        skua__node *before = node->link;
        node->link = after;
        after = node;
        node = before;
    }
    first->link = after;
    char path[GRAPH_PATH_BYTES] = "", room[16];
    size_t used = 0;
    uint32_t shown = 0;
    for (const skua__node *node = first; node && shown < GRAPH_NAMES_SHOWN; node = node->link) {
        int wrote =
            snprintf(path + used, sizeof path - used, "%s -> ", name_of(node, room, sizeof room));
        if (wrote < 0 || (size_t)wrote >= sizeof path - used) {
            path[used] = '\0'; /* a long name: it counts among those not shown */
            break;
        }
        used += (size_t)wrote;
        shown++;
    }
    if (shown < length) {
        return SKUA_FAIL(err, SKUA_E_GRAPH_CYCLE,
                         "the graph \"%s\" has a cycle: %s(%u more nodes) -> %.32s", graph->name,
                         path, (unsigned)(length - shown), name_of(first, room, sizeof room));
    }
    return SKUA_FAIL(err, SKUA_E_GRAPH_CYCLE, "the graph \"%s\" has a cycle: %s%.32s", graph->name,
                     path, name_of(first, room, sizeof room));
}

enum { WHITE, GREY, BLACK };

/* Searches depth first, along the edges that are no choices; the way back lies in the links, the next edge in arrivals. */
static skua_status
check_cycles(skua__graph *graph, skua_error *err) {
    for (skua__node *root = graph->first; root; root = root->sibling) {
        if (root->color != WHITE) {
            continue;
        }
        root->link = NULL;
        root->color = GREY;
        for (skua__node *node = root; node;) {
            /* relaxed: nothing runs yet. */
            uint32_t edge = skua__a32_add(&node->arrivals, 1, memory_order_relaxed);
            if (node->kind == GRAPH_CONDITION || edge >= node->next_count) {
                node->color = BLACK;
                node = node->link;
                continue;
            }
            skua__node *to = node->next[edge];
            if (to->color == GREY) {
                return fail_cycle(graph, to, node, err);
            }
            if (to->color == WHITE) {
                to->color = GREY;
                to->link = node;
                node = to;
            }
        }
    }
    return SKUA_OK;
}

skua_status
skua_graph_seal(skua_graph *public, skua_error *err) {
    skua__graph *graph = skua__graph_of(public);
    if (!graph) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "graph is NULL");
    }
    skua_status status = check_building(graph, err);
    if (status == SKUA_OK) {
        status = check_chain(graph, err);
    }
    if (status == SKUA_OK) {
        status = lay_out(graph, err);
    }
    if (status != SKUA_OK) {
        return status;
    }
    status = check_cycles(graph, err);
    for (skua__node *node = graph->first; node; node = node->sibling) {
        if (node->kind == GRAPH_TASK && !graph->has_conditions && node->next_count == 1 &&
            node->next[0]->waits_for == 1) {
            node->kind = GRAPH_LINK;
            node->only = node->next[0];
        }
        node->color = WHITE;
        /* relaxed: nothing runs yet. */
        skua__a32_store(&node->arrivals, node->waits_for, memory_order_relaxed);
    }
    if (status != SKUA_OK) {
        return status;
    }
    if (graph->node_count > 0 && graph->source_count == 0) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "no node of the graph \"%s\" can be the first: there is an edge to each",
                         graph->name);
    }
    /* release GS1: the layout; pairs with acquire GS1 in graph_run.c's begin_run() */
    skua__a32_store(&graph->state, GRAPH_SEALED, memory_order_release);
    return SKUA_OK;
}

/* ---- Drawing ---- */

static void
write_quoted(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
}

/* Nodes are named by their way from the outermost graph: n3_0 is node 0 of the graph that stands at node 3. */
typedef struct drawing {
    FILE *out;
    const skua__graph *around[SKUA_GRAPH_DEPTH_MAX]; /* the graphs that are being drawn */
    uint32_t depth;
    bool in_itself; /* it was built anew, to hold one that holds it */
    char prefix[SKUA_GRAPH_DEPTH_MAX * 9 + 1];
} drawing;

static void write_graph(drawing *d, const skua__graph *graph, size_t prefix_bytes);

static void
write_node(drawing *d, const skua__node *node, size_t prefix_bytes) {
    char room[16];
    fprintf(d->out, "  n%s%u [label=\"", d->prefix, (unsigned)node->index);
    write_quoted(d->out, name_of(node, room, sizeof room));
    fprintf(d->out, "\"%s];\n",
            node->kind == GRAPH_CONDITION ? ", shape=diamond"
            : node->kind == GRAPH_INNER   ? ", shape=component"
                                          : "");
    for (uint32_t i = 0; i < node->next_count; i++) {
        fprintf(d->out, "  n%s%u -> n%s%u", d->prefix, (unsigned)node->index, d->prefix,
                (unsigned)node->next[i]->index);
        if (node->kind == GRAPH_CONDITION) {
            fprintf(d->out, " [style=dashed, label=\"%u\"]", (unsigned)i);
        }
        fputs(";\n", d->out);
    }
    if (node->kind == GRAPH_INNER) {
        int wrote = snprintf(d->prefix + prefix_bytes, sizeof d->prefix - prefix_bytes, "%u_",
                             (unsigned)node->index);
        fprintf(d->out, "  subgraph cluster_%s {\n  label=\"", d->prefix);
        write_quoted(d->out, name_of(node, room, sizeof room));
        fputs("\";\n", d->out);
        write_graph(d, node->arg, prefix_bytes + (size_t)wrote);
        fputs("  }\n", d->out);
        d->prefix[prefix_bytes] = '\0';
    }
}

static void
write_graph(drawing *d, const skua__graph *graph, size_t prefix_bytes) {
    for (uint32_t i = 0; i < d->depth; i++) {
        d->in_itself |= d->around[i] == graph;
    }
    d->in_itself |= d->depth == SKUA_GRAPH_DEPTH_MAX;
    if (d->in_itself) {
        return;
    }
    d->around[d->depth++] = graph;
    for (const skua__node *node = graph->first; node; node = node->sibling) {
        write_node(d, node, prefix_bytes);
    }
    d->depth--;
}

skua_status
skua_graph_write_dot(const skua_graph *public, FILE *out, skua_error *err) {
    const skua__graph *graph = skua__graph_of(public);
    if (!graph || !out || skua__graph_state(graph) == GRAPH_BUILDING) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s",
                         !graph ? "graph is NULL"
                         : !out ? "out is NULL"
                                : "the graph is not sealed");
    }
    drawing d = {.out = out};
    fputs("digraph \"", out);
    write_quoted(out, graph->name);
    fputs("\" {\n", out);
    write_graph(&d, graph, 0);
    fputs("}\n", out);
    if (d.in_itself) {
        return SKUA_FAIL(err, SKUA_E_GRAPH_CYCLE,
                         "the graph \"%s\" stands, through others, in itself", graph->name);
    }
    if (fflush(out) != 0 || ferror(out)) {
        return SKUA_FAIL(err, SKUA_E_FILE, "the drawing of the graph \"%s\" was not written",
                         graph->name);
    }
    return SKUA_OK;
}
