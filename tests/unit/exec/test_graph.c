// SPDX-License-Identifier: MPL-2.0
// Graphs as they are built: what the seal refuses, and what a run does when nothing goes on at once.
#include "failing_allocator.h"
#include "opened.h"
#include "test.h"

#include <skua/graph.h>
#include <string.h>

enum { STEPS_MAX = 64 };

/* What ran, in order; with one worker nothing else writes it. */
typedef struct record {
    char steps[STEPS_MAX + 1];
    int count;
} record;

typedef struct step {
    skua_graph_node node; /* first: it is the step's address */
    record *diary;
    char name[2];
    int32_t results[4]; /* of its first runs; then the last one again */
    int runs;
} step;

static int32_t
run_step(skua_worker w, void *arg) {
    (void)w;
    step *self = arg;
    assert_true(self->diary->count < STEPS_MAX);
    self->diary->steps[self->diary->count++] = self->name[0];
    return self->results[self->runs < 3 ? self->runs++ : 3];
}

static void
add(skua_graph *graph, step *self, record *diary, char name) {
    *self = (step){.diary = diary, .name = {name, '\0'}};
    assert_int_equal(skua_graph_add(graph, &self->node, run_step, self, self->name, NULL), SKUA_OK);
}

static void
add_condition(skua_graph *graph, step *self, record *diary, char name) {
    *self = (step){.diary = diary, .name = {name, '\0'}};
    assert_int_equal(skua_graph_add_condition(graph, &self->node, run_step, self, self->name, NULL),
                     SKUA_OK);
}

static void
edge(skua_graph *graph, step *from, step *to) {
    assert_int_equal(skua_graph_edge(graph, &from->node, &to->node, NULL), SKUA_OK);
}

static void
seal(skua_graph *graph) {
    skua_error err;
    if (skua_graph_seal(graph, &err)) {
        fail_msg("%s", err.message);
    }
}

static void
init(skua_graph *graph) {
    assert_int_equal(skua_graph_init(graph, SKUA_GRAPH_OPTIONS(.name = "plan"), NULL), SKUA_OK);
}

/* a leads to b, c and d; b and d to e; c and e to f. */
static void
build_kite(skua_graph *graph, step steps[6], record *diary) {
    for (int i = 0; i < 6; i++) {
        add(graph, &steps[i], diary, (char)('a' + i));
    }
    edge(graph, &steps[0], &steps[1]);
    edge(graph, &steps[0], &steps[2]);
    edge(graph, &steps[0], &steps[3]);
    edge(graph, &steps[1], &steps[4]);
    edge(graph, &steps[3], &steps[4]);
    edge(graph, &steps[2], &steps[5]);
    edge(graph, &steps[4], &steps[5]);
}

static void
test_graph_order_with_one_worker_is_depth_first(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_graph graph;
    record diary = {.count = 0};
    step steps[6];
    init(&graph);
    build_kite(&graph, steps, &diary);
    seal(&graph);
    for (int round = 0; round < 3; round++) {
        diary = (record){.count = 0};
        assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
        assert_string_equal(diary.steps, "abcdef");
    }
    skua_graph_fini(&graph);
    skua_graph_fini(&graph); /* zeroed now */
    skua_graph_fini(NULL);
    skua_exec_close(exec);
}

static void
test_graph_cycle_is_refused_with_its_names(void **state) {
    (void)state;
    skua_graph graph;
    record diary = {.count = 0};
    step steps[6];
    skua_error err;
    init(&graph);
    build_kite(&graph, steps, &diary);
    edge(&graph, &steps[5], &steps[3]); /* d -> e -> f -> d */
    assert_int_equal(skua_graph_seal(&graph, &err), SKUA_E_GRAPH_CYCLE);
    const char *names[] = {"d -> e -> f -> d", "e -> f -> d -> e", "f -> d -> e -> f"};
    assert_true(strstr(err.message, names[0]) || strstr(err.message, names[1]) ||
                strstr(err.message, names[2]));
    assert_non_null(strstr(err.message, "\"plan\""));
    skua_graph_fini(&graph);
}

static void
test_graph_cycles_of_one_and_of_many_nodes(void **state) {
    (void)state;
    enum { MANY = 1000 };
    static step steps[MANY];
    skua_graph graph;
    record diary = {.count = 0};
    skua_error err;
    init(&graph);
    add(&graph, &steps[0], &diary, 'a');
    edge(&graph, &steps[0], &steps[0]);
    assert_int_equal(skua_graph_seal(&graph, &err), SKUA_E_GRAPH_CYCLE);
    assert_non_null(strstr(err.message, "a -> a"));
    assert_int_equal(skua_graph_reset(&graph, NULL), SKUA_OK);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(skua_graph_add(&graph, &steps[i].node, run_step, &steps[i], NULL, NULL),
                         SKUA_OK);
    }
    for (int i = 0; i < MANY; i++) {
        edge(&graph, &steps[i], &steps[(i + 1) % MANY]);
    }
    assert_int_equal(skua_graph_seal(&graph, &err), SKUA_E_GRAPH_CYCLE);
    assert_non_null(strstr(err.message, "#0 -> #1 -> #2"));
    assert_non_null(strstr(err.message, "992 more nodes"));
    skua_graph_fini(&graph);
}

static void
test_graph_cycle_with_names_that_are_too_long(void **state) {
    (void)state;
    static char name[400];
    memset(name, 'x', sizeof name - 1);
    skua_graph graph;
    skua_graph_node nodes[2];
    skua_error err;
    init(&graph);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(skua_graph_add(&graph, &nodes[i], run_step, NULL, name, NULL), SKUA_OK);
    }
    assert_int_equal(skua_graph_edge(&graph, &nodes[0], &nodes[1], NULL), SKUA_OK);
    assert_int_equal(skua_graph_edge(&graph, &nodes[1], &nodes[0], NULL), SKUA_OK);
    assert_int_equal(skua_graph_seal(&graph, &err), SKUA_E_GRAPH_CYCLE);
    assert_non_null(strstr(err.message, "2 more nodes"));
    skua_graph_fini(&graph);
}

static void
test_graph_bad_use_is_refused(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_graph graph, other;
    record diary = {.count = 0};
    step a, b, foreign;
    skua_error err;
    skua_graph_options bad = {.size = 1};
    assert_int_equal(skua_graph_init(&graph, &bad, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_init(&graph, SKUA_GRAPH_OPTIONS(.priority = 7), NULL),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_init(NULL, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    init(&graph);
    init(&other);
    add(&graph, &a, &diary, 'a');
    add(&graph, &b, &diary, 'b');
    add(&other, &foreign, &diary, 'x');
    assert_int_equal(skua_graph_add(&graph, NULL, run_step, NULL, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_add(&graph, &b.node, NULL, NULL, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_add_condition(NULL, &b.node, run_step, NULL, NULL, NULL),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_add_graph(&graph, &b.node, NULL, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_add_graph(&graph, &b.node, &graph, NULL, &err),
                     SKUA_E_BAD_ARGUMENT); /* not sealed: so none can hold itself */
    assert_non_null(strstr(err.message, "not sealed"));
    assert_int_equal(skua_graph_edge(&graph, &a.node, &foreign.node, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_edge(&graph, &foreign.node, &a.node, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_edge(&graph, &a.node, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_start(&graph, exec, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "not sealed"));
    assert_int_equal(skua_graph_run(&graph, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_run(NULL, exec, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_write_dot(&graph, stderr, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_seal(NULL, NULL), SKUA_E_BAD_ARGUMENT);
    seal(&graph);
    assert_int_equal(skua_graph_seal(&graph, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_add(&graph, &foreign.node, run_step, NULL, NULL, NULL),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_edge(&graph, &a.node, &b.node, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_graph_wait(&graph, 0, NULL), SKUA_E_BAD_ARGUMENT); /* never started */
    assert_false(skua_graph_cancel(&graph, SKUA_E_CANCELLED, NULL));
    /* A node that is added twice would make a ring of the list. */
    add(&other, &foreign, &diary, 'x');
    assert_int_equal(skua_graph_seal(&other, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "twice"));
    skua_graph_fini(&other);
    skua_graph_fini(&graph);
    skua_exec_close(exec);
}

static void
test_graph_without_a_first_node_is_refused(void **state) {
    (void)state;
    skua_graph graph;
    record diary = {.count = 0};
    step a, b;
    skua_error err;
    init(&graph);
    add(&graph, &a, &diary, 'a');
    add_condition(&graph, &b, &diary, 'b');
    edge(&graph, &a, &b);
    edge(&graph, &b, &a); /* no cycle, as b is a choice, but where would it begin? */
    assert_int_equal(skua_graph_seal(&graph, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "can be the first"));
    skua_graph_fini(&graph);
}

static void
test_graph_empty_one_ends_at_once(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_graph graph, outer;
    skua_graph_node node;
    init(&graph);
    seal(&graph);
    assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
    init(&outer);
    assert_int_equal(skua_graph_add_graph(&outer, &node, &graph, NULL, NULL), SKUA_OK);
    seal(&outer);
    assert_int_equal(skua_graph_run(&outer, exec, NULL), SKUA_OK);
    skua_graph_fini(&outer);
    skua_graph_fini(&graph);
    skua_exec_close(exec);
}

static void
test_graph_first_error_stops_it_and_the_next_run_is_clean(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_graph graph;
    record diary = {.count = 0};
    step steps[6];
    skua_error err;
    init(&graph);
    build_kite(&graph, steps, &diary);
    seal(&graph);
    for (int failing = 0; failing < 6; failing++) {
        diary = (record){.count = 0};
        for (int i = 0; i < 6; i++) {
            memset(steps[i].results, 0, sizeof steps[i].results);
            steps[i].runs = 0;
        }
        steps[failing].results[0] = SKUA_E_TASK_FAILED;
        assert_int_equal(skua_graph_run(&graph, exec, &err), SKUA_E_TASK_FAILED);
        assert_int_equal(diary.count, failing + 1);
        char named[16];
        snprintf(named, sizeof named, "node \"%c\"", 'a' + failing);
        assert_non_null(strstr(err.message, named));
        assert_int_equal(skua_graph_wait(&graph, 0, NULL), SKUA_E_TASK_FAILED); /* once more */
        diary = (record){.count = 0};
        assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
        assert_string_equal(diary.steps, "abcdef");
    }
    skua_graph_fini(&graph);
    skua_exec_close(exec);
}

static void
test_graph_conditions_loop_and_choose(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_graph graph;
    record diary = {.count = 0};
    step a, body, again, left, right, both;
    init(&graph);
    add(&graph, &a, &diary, 'a');
    add(&graph, &body, &diary, 'b');
    add_condition(&graph, &again, &diary, '?');
    add(&graph, &left, &diary, 'l');
    add(&graph, &right, &diary, 'r');
    add(&graph, &both, &diary, 'x'); /* waits for left and right: never for one alone */
    edge(&graph, &a, &body);
    edge(&graph, &body, &again);
    edge(&graph, &again, &body);
    edge(&graph, &again, &left);
    edge(&graph, &again, &right);
    edge(&graph, &left, &both);
    edge(&graph, &right, &both);
    seal(&graph);
    for (int round = 0; round < 3; round++) {
        /* A counter that one side left behind must not count in the next run. */
        const int32_t way[] = {0, 0, round % 2 ? 2 : 1, 9};
        memcpy(again.results, way, sizeof way);
        diary = (record){.count = again.runs = 0};
        assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
        assert_string_equal(diary.steps, round % 2 ? "ab?b?b?r" : "ab?b?b?l");
    }
    /* A number past the last edge ends the way; a negative one is an error. */
    const int32_t ends[] = {3, 3, 3, 3}, fails[] = {SKUA_E_REFUSED, 0, 0, 0};
    memcpy(again.results, ends, sizeof ends);
    diary = (record){.count = again.runs = 0};
    assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
    assert_string_equal(diary.steps, "ab?");
    memcpy(again.results, fails, sizeof fails);
    again.runs = 0;
    assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_E_REFUSED);
    skua_graph_fini(&graph);
    skua_exec_close(exec);
}

static void
test_graph_node_started_twice_at_once_is_an_error(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_graph graph;
    record diary = {.count = 0};
    step a, choice, target;
    skua_error err;
    init(&graph);
    add(&graph, &a, &diary, 'a');
    add_condition(&graph, &choice, &diary, '?');
    add(&graph, &target, &diary, 't');
    edge(&graph, &a, &choice); /* runs first, while the target waits its turn */
    edge(&graph, &a, &target);
    edge(&graph, &choice, &target);
    seal(&graph);
    for (int round = 0; round < 2; round++) {
        diary = (record){.count = 0};
        assert_int_equal(skua_graph_run(&graph, exec, &err), SKUA_E_GRAPH_RACE);
        assert_non_null(strstr(err.message, "node \"t\""));
        assert_string_equal(diary.steps, "a?");
    }
    skua_graph_fini(&graph);
    skua_exec_close(exec);
}

static void
test_graph_stands_as_a_node_of_another(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    skua_graph inner, outer;
    record diary = {.count = 0};
    step steps[6], first, middle, last;
    skua_graph_node places[2];
    skua_error err;
    init(&inner);
    init(&outer);
    build_kite(&inner, steps, &diary);
    seal(&inner);
    add(&outer, &first, &diary, '(');
    assert_int_equal(skua_graph_add_graph(&outer, &places[0], &inner, NULL, NULL), SKUA_OK);
    add(&outer, &middle, &diary, '|');
    assert_int_equal(skua_graph_add_graph(&outer, &places[1], &inner, "again", NULL), SKUA_OK);
    add(&outer, &last, &diary, ')');
    skua_graph_node *chain[] = {&first.node, &places[0], &middle.node, &places[1], &last.node};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(skua_graph_edge(&outer, chain[i], chain[i + 1], NULL), SKUA_OK);
    }
    seal(&outer);
    for (int round = 0; round < 2; round++) {
        diary = (record){.count = 0};
        assert_int_equal(skua_graph_run(&outer, exec, NULL), SKUA_OK);
        assert_string_equal(diary.steps, "(abcdef|abcdef)");
    }
    /* An error inside is the outer run's, and leaves nothing behind. */
    diary = (record){.count = steps[3].runs = 0};
    const int32_t fails[] = {SKUA_E_TASK_FAILED, 0, 0, 0};
    memcpy(steps[3].results, fails, sizeof fails);
    assert_int_equal(skua_graph_run(&outer, exec, &err), SKUA_E_TASK_FAILED);
    assert_non_null(strstr(err.message, "node \"d\""));
    assert_string_equal(diary.steps, "(abcd");
    diary = (record){.count = 0};
    assert_int_equal(skua_graph_run(&outer, exec, NULL), SKUA_OK);
    assert_string_equal(diary.steps, "(abcdef|abcdef)");
    /* One that was taken apart meanwhile is an error, not a crash. */
    assert_int_equal(skua_graph_reset(&inner, NULL), SKUA_OK);
    assert_int_equal(skua_graph_run(&outer, exec, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "not sealed"));
    skua_graph_fini(&outer);
    skua_graph_fini(&inner);
    skua_exec_close(exec);
}

static void
test_graph_depth_is_bounded(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    static skua_graph graphs[SKUA_GRAPH_DEPTH_MAX + 1];
    static skua_graph_node nodes[SKUA_GRAPH_DEPTH_MAX + 1];
    record diary = {.count = 0};
    step innermost;
    init(&graphs[0]);
    add(&graphs[0], &innermost, &diary, 'i');
    seal(&graphs[0]);
    for (int i = 1; i < SKUA_GRAPH_DEPTH_MAX; i++) {
        init(&graphs[i]);
        assert_int_equal(skua_graph_add_graph(&graphs[i], &nodes[i], &graphs[i - 1], NULL, NULL),
                         SKUA_OK);
        seal(&graphs[i]);
    }
    assert_int_equal(skua_graph_run(&graphs[SKUA_GRAPH_DEPTH_MAX - 1], exec, NULL), SKUA_OK);
    assert_string_equal(diary.steps, "i");
    init(&graphs[SKUA_GRAPH_DEPTH_MAX]);
    assert_int_equal(skua_graph_add_graph(&graphs[SKUA_GRAPH_DEPTH_MAX],
                                          &nodes[SKUA_GRAPH_DEPTH_MAX],
                                          &graphs[SKUA_GRAPH_DEPTH_MAX - 1], NULL, NULL),
                     SKUA_E_LIMIT);
    FILE *out = tmpfile();
    assert_int_equal(skua_graph_write_dot(&graphs[SKUA_GRAPH_DEPTH_MAX - 1], out, NULL), SKUA_OK);
    fclose(out);
    for (int i = SKUA_GRAPH_DEPTH_MAX; i >= 0; i--) {
        skua_graph_fini(&graphs[i]);
    }
    skua_exec_close(exec);
}

static void
test_graph_dot(void **state) {
    (void)state;
    skua_graph inner, outer;
    record diary = {.count = 0};
    step a, choice, within;
    skua_graph_node place;
    init(&inner);
    add(&inner, &within, &diary, '"');
    seal(&inner);
    init(&outer);
    add(&outer, &a, &diary, 'a');
    add_condition(&outer, &choice, &diary, '?');
    assert_int_equal(skua_graph_add_graph(&outer, &place, &inner, "inner", NULL), SKUA_OK);
    edge(&outer, &a, &choice);
    assert_int_equal(skua_graph_edge(&outer, &choice.node, &place, NULL), SKUA_OK);
    seal(&outer);
    char text[1024] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_int_equal(skua_graph_write_dot(&outer, out, NULL), SKUA_OK);
    fclose(out);
    assert_string_equal(text, "digraph \"plan\" {\n"
                              "  n0 [label=\"a\"];\n"
                              "  n0 -> n1;\n"
                              "  n1 [label=\"?\", shape=diamond];\n"
                              "  n1 -> n2 [style=dashed, label=\"0\"];\n"
                              "  n2 [label=\"inner\", shape=component];\n"
                              "  subgraph cluster_2_ {\n"
                              "  label=\"inner\";\n"
                              "  n2_0 [label=\"\\\"\"];\n"
                              "  }\n"
                              "}\n");
    out = fopen("/dev/full", "w");
    if (out) {
        assert_int_equal(skua_graph_write_dot(&outer, out, NULL), SKUA_E_FILE);
        fclose(out);
    }
    skua_graph_fini(&outer);
    skua_graph_fini(&inner);
}

static skua_status
build_and_run(const skua_allocator *hook, skua_exec *exec, step steps[6], record *diary) {
    skua_graph graph;
    skua_status status = skua_graph_init(&graph, SKUA_GRAPH_OPTIONS(.allocator = hook), NULL);
    for (int i = 0; i < 6; i++) {
        add(&graph, &steps[i], diary, (char)('a' + i));
    }
    for (int i = 0; i < 80 && status == SKUA_OK; i++) {
        status = skua_graph_edge(&graph, &steps[i % 5].node, &steps[i % 5 + 1].node, NULL);
    }
    if (status == SKUA_OK) {
        status = skua_graph_seal(&graph, NULL);
    }
    if (status == SKUA_OK) {
        status = skua_graph_run(&graph, exec, NULL);
        assert_string_equal(diary->steps, "abcdef");
    }
    skua_graph_fini(&graph);
    return status;
}

static void
test_graph_without_memory(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    step steps[6];
    long failures = 0;
    for (long n = 1;; n++) {
        record diary = {.count = 0};
        failing_allocator allocator;
        failing_allocator_init(&allocator, n);
        skua_status status = build_and_run(&allocator.hook, exec, steps, &diary);
        assert_int_equal(atomic_load(&allocator.alive), 0);
        if (status == SKUA_OK) {
            break;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
        failures++;
    }
    assert_int_equal(failures, 3); /* the edges twice, the layout */
    skua_exec_close(exec);
}

static void
test_graph_runs_and_rebuilding_allocate_nothing(void **state) {
    (void)state;
    skua_exec *exec = open_workers(1, SKUA_NONE);
    failing_allocator allocator;
    failing_allocator_init(&allocator, 0);
    skua_graph graph;
    step steps[6];
    record diary = {.count = 0};
    assert_int_equal(
        skua_graph_init(&graph, SKUA_GRAPH_OPTIONS(.allocator = &allocator.hook), NULL), SKUA_OK);
    long calls = 0;
    for (int round = 0; round < 10; round++) {
        build_kite(&graph, steps, &diary);
        seal(&graph);
        for (int run = 0; run < 10; run++) {
            diary = (record){.count = 0};
            assert_int_equal(skua_graph_run(&graph, exec, NULL), SKUA_OK);
        }
        assert_true(round == 0 || atomic_load(&allocator.calls) == calls);
        calls = atomic_load(&allocator.calls);
        assert_int_equal(skua_graph_reset(&graph, NULL), SKUA_OK);
    }
    skua_graph_fini(&graph);
    assert_int_equal(atomic_load(&allocator.alive), 0);
    skua_exec_close(exec);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graph_order_with_one_worker_is_depth_first),
        cmocka_unit_test(test_graph_cycle_is_refused_with_its_names),
        cmocka_unit_test(test_graph_cycles_of_one_and_of_many_nodes),
        cmocka_unit_test(test_graph_cycle_with_names_that_are_too_long),
        cmocka_unit_test(test_graph_bad_use_is_refused),
        cmocka_unit_test(test_graph_without_a_first_node_is_refused),
        cmocka_unit_test(test_graph_empty_one_ends_at_once),
        cmocka_unit_test(test_graph_first_error_stops_it_and_the_next_run_is_clean),
        cmocka_unit_test(test_graph_conditions_loop_and_choose),
        cmocka_unit_test(test_graph_node_started_twice_at_once_is_an_error),
        cmocka_unit_test(test_graph_stands_as_a_node_of_another),
        cmocka_unit_test(test_graph_depth_is_bounded),
        cmocka_unit_test(test_graph_dot),
        cmocka_unit_test(test_graph_without_memory),
        cmocka_unit_test(test_graph_runs_and_rebuilding_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
