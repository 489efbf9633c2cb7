// SPDX-License-Identifier: MPL-2.0
// Task graphs: each node once in each run, after all that has an edge to it, with what those wrote; and a run that is
// cancelled ends all the same.
#include "scenarios.h"

#include <skua/graph.h>
#include <string.h>

enum {
    NODES_MAX = 6,
    RUNS = 2,
};

typedef struct step {
    skua_graph_node node;
    struct step *before[NODES_MAX];
    uint32_t before_count;
    uint32_t runs;
    skua_graph *cancels; /* the graph that it cancels, or NULL */
} step;

typedef struct plan {
    skua_graph graph;
    skua_exec *exec;
    step steps[NODES_MAX];
    uint32_t count;
    bool is_cancelled;
} plan;

static int32_t
run_step(skua_worker w, void *arg) {
    (void)w;
    step *s = arg;
    s->runs++;
    for (uint32_t i = 0; i < s->before_count; i++) {
        explore_check(s->before[i]->runs >= s->runs, "a node runs after what leads to it");
    }
    if (s->cancels) {
        skua_graph_cancel(s->cancels, SKUA_E_LOST, "as the test wants");
    }
    return 0;
}

static void
build(plan *p) {
    skua_status status =
        skua_graph_init(&p->graph, SKUA_GRAPH_OPTIONS(.allocator = explore_allocator()), NULL);
    p->count = 3 + explore_below(NODES_MAX - 2);
    for (uint32_t i = 0; status == SKUA_OK && i < p->count; i++) {
        status = skua_graph_add(&p->graph, &p->steps[i].node, run_step, &p->steps[i], NULL, NULL);
        for (uint32_t k = 0; status == SKUA_OK && k < i; k++) {
            if (explore_below(2)) {
                p->steps[i].before[p->steps[i].before_count++] = &p->steps[k];
                status = skua_graph_edge(&p->graph, &p->steps[k].node, &p->steps[i].node, NULL);
            }
        }
    }
    explore_check(status == SKUA_OK && skua_graph_seal(&p->graph, NULL) == SKUA_OK, "a graph");
    p->is_cancelled = explore_below(4) == 0;
    if (p->is_cancelled) {
        p->steps[explore_below(p->count)].cancels = &p->graph;
    }
}

static void
run_plan(skua_worker w, void *frame) {
    (void)w;
    plan *p = frame;
    for (uint32_t run = 1; run <= RUNS; run++) {
        skua_status status = skua_graph_run(&p->graph, p->exec, NULL);
        explore_check(status == (p->is_cancelled ? SKUA_E_LOST : SKUA_OK), "the run's end");
        for (uint32_t i = 0; i < p->count; i++) {
            explore_check(p->is_cancelled ? p->steps[i].runs <= run : p->steps[i].runs == run,
                          "each node once in each run");
            if (p->is_cancelled) {
                p->steps[i].runs = run;
            }
        }
    }
}

void
scenario_graph(void) {
    plan *p = explore_new(sizeof *p);
    p->exec = scenario_open(2, 1);
    build(p);
    if (explore_below(2)) {
        explore_check(skua_exec_run(p->exec, run_plan, p, NULL) == SKUA_OK, "run");
    } else {
        run_plan((skua_worker){NULL}, p);
    }
    skua_exec_close(p->exec);
    skua_graph_fini(&p->graph);
}

/* ---- A graph at a node of another one: whoever ends the inner run goes on behind the node ---- */

static void
add_step(skua_graph *graph, step *s, step *before) {
    explore_check(skua_graph_add(graph, &s->node, run_step, s, NULL, NULL) == SKUA_OK, "a node");
    if (before) {
        s->before[s->before_count++] = before;
        explore_check(skua_graph_edge(graph, &before->node, &s->node, NULL) == SKUA_OK, "an edge");
    }
}

static void
seal_graph(skua_graph *graph) {
    explore_check(skua_graph_seal(graph, NULL) == SKUA_OK, "a graph");
}

void
scenario_within(void) {
    plan *outer = explore_new(sizeof *outer), *inner = explore_new(sizeof *inner);
    skua_graph_node *place = explore_new(sizeof *place);
    const skua_graph_options *options = SKUA_GRAPH_OPTIONS(.allocator = explore_allocator());
    skua_exec *exec = scenario_open(2 + (int32_t)explore_below(2), 0);
    explore_check(skua_graph_init(&inner->graph, options, NULL) == SKUA_OK &&
                      skua_graph_init(&outer->graph, options, NULL) == SKUA_OK,
                  "two graphs");
    for (uint32_t i = 0; i < 3; i++) {
        add_step(&inner->graph, &inner->steps[i], i ? &inner->steps[0] : NULL);
    }
    seal_graph(&inner->graph);
    /* Beside the inner graph a node that the one behind both waits for as well. */
    add_step(&outer->graph, &outer->steps[0], NULL);
    add_step(&outer->graph, &outer->steps[1], &outer->steps[0]);
    explore_check(skua_graph_add_graph(&outer->graph, place, &inner->graph, NULL, NULL) ==
                          SKUA_OK &&
                      skua_graph_edge(&outer->graph, place, &outer->steps[1].node, NULL) == SKUA_OK,
                  "a place");
    outer->steps[1].before[outer->steps[1].before_count++] = &inner->steps[1];
    outer->steps[1].before[outer->steps[1].before_count++] = &inner->steps[2];
    seal_graph(&outer->graph);
    for (uint32_t run = 1; run <= RUNS; run++) {
        explore_check(skua_graph_run(&outer->graph, exec, NULL) == SKUA_OK, "the run's end");
        explore_check(outer->steps[1].runs == run && inner->steps[2].runs == run,
                      "each node once in each run");
    }
    skua_graph_fini(&outer->graph);
    skua_graph_fini(&inner->graph);
    skua_exec_close(exec);
}

/* ---- A cancel while a run starts ---- */

typedef struct cut_off {
    skua_graph graph;
    skua_graph_node nodes[2];
    uint32_t runs;
    bool first; /* the cancel was */
} cut_off;

static int32_t
count_run(skua_worker w, void *arg) {
    (void)w;
    ++*(uint32_t *)arg;
    return 0;
}

static void *
cancel_graph(void *arg) {
    cut_off *it = arg;
    it->first = skua_graph_cancel(&it->graph, SKUA_E_LOST, "as the test wants");
    return NULL;
}

/* A run is cancelled at any moment: then that is its status; and the next one knows nothing of it. */
void
scenario_abort(void) {
    skua_exec *exec = scenario_open(1, 0);
    cut_off *it = explore_new(sizeof *it);
    explore_check(skua_graph_init(&it->graph, SKUA_GRAPH_OPTIONS(.allocator = explore_allocator()),
                                  NULL) == SKUA_OK,
                  "init");
    for (int i = 0; i < 2; i++) {
        explore_check(skua_graph_add(&it->graph, &it->nodes[i], count_run, &it->runs, NULL, NULL) ==
                          SKUA_OK,
                      "add");
    }
    explore_check(skua_graph_edge(&it->graph, &it->nodes[0], &it->nodes[1], NULL) == SKUA_OK &&
                      skua_graph_seal(&it->graph, NULL) == SKUA_OK,
                  "seal");
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_graph, it);
    skua_status status = skua_graph_run(&it->graph, exec, NULL);
    pthread_join(thread, NULL);
    explore_check(status == SKUA_E_LOST ? it->first : status == SKUA_OK && it->runs == 2,
                  "what is cancelled tells so, what is not runs whole");
    it->runs = 0;
    status = skua_graph_run(&it->graph, exec, NULL);
    explore_check(status == SKUA_OK && it->runs == 2, "the next run is whole");
    skua_graph_fini(&it->graph);
    skua_exec_close(exec);
}
