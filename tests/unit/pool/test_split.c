// SPDX-License-Identifier: MPL-2.0
// Split launches on the cores and fake devices: each index is done exactly once whatever the sizes, shares follow what places
// turn out to do, and what cannot be cut is refused. When parts fail: test_split_ends.c.
#include "split_bench.h"

#include <sched.h>
#include <string.h>

/* Steps virtual clocks until the launch has ended. */
static void
step_until_ended(fake_machine *self, const shot *s) {
    while (skua_pool_wait(s->future, SKUA_NONE, NULL)) {
        for (int i = 0; i < FAKES; i++) {
            skua__fake_step(self->fakes[i]);
        }
        sched_yield();
    }
}

/* ---- What is done, and by whom ---- */

static void
test_split_does_each_index_once(void **state) {
    (void)state;
    static const uint64_t sizes[][2] = {{1, 1},   {2, 1},    {3, 1},   {5, 1},    {64, 1}, {100, 1},
                                        {769, 1}, {4999, 1}, {1, 300}, {17, 100}, {613, 8}};
    enum { ROUNDS = 4 };
    static shot s;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fake_machine b;
        open_bench(&b,
                   &(bench_options){0}); /* that knows nothing, and so gives all places a part */
        uint64_t items = sizes[i][0] * sizes[i][1], sum = 0;
        for (int round = 0; round < ROUNDS; round++) {
            memset((void *)runs, 0, sizeof runs);
            aim(&s, sizes[i][0], sizes[i][1]);
            fire(&b, &s);
            collect(&b, &s);
            for (uint64_t j = 0; j < items; j++) {
                assert_int_equal(runs[j], 1);
            }
            assert_int_equal(runs[items], 0);
        }
        for (size_t j = 0; j < 3; j++) {
            assert_true(share_at(&b, j).launches > 0 || sizes[i][0] < 3);
            sum += share_at(&b, j).work_items;
        }
        assert_int_equal(sum, ROUNDS * items);
        skua_pool_counters counters = {.size = sizeof counters};
        assert_int_equal(skua_pool_stats(b.pool, &counters, NULL), 0);
        assert_int_equal(counters.submitted, counters.ended[SKUA_OUTCOME_OK]);
        fake_machine_close(&b);
    }
}

/* A group of the size that a kernel asks for stays whole, however large it is, since nothing checks that kernel's range. */
static void
test_split_never_cuts_a_group_that_is_asked_for(void **state) {
    (void)state;
    static shot s;
    skua_error err = {0};
    fake_machine b;
    open_bench(&b, &(bench_options){.fakes = {{.max_group = GROUP}, {.max_group = GROUP}},
                                    .no_exec = true});
    if (skua_kernel_register(b.pool, "grouped",
                             SKUA_KERNEL_SPEC(.source = "kernel void work_in_groups() {}",
                                              .entry = "work_in_groups", .params = split_params,
                                              .param_count = PARAMS, .local = {GROUP}, .sliced = 7),
                             &err)) {
        fail_msg("%s", err.message);
    }
    for (uint64_t groups = 1; groups <= MOST / GROUP; groups++) {
        aim(&s, groups * GROUP, 1); /* an odd number has no half that is whole */
        s.launch.kernel = "grouped";
        fire(&b, &s);
        collect(&b, &s);
    }
    fake_machine_close(&b);
}

/* Two devices on clocks of their own: one does four work-items in the time that the other needs for one. */
static void
test_split_shares_follow_what_was_measured(void **state) {
    (void)state;
    static shot s;
    fake_machine b;
    open_bench(&b, &(bench_options){
                       .fakes = {{.clock = SKUA__FAKE_VIRTUAL}, {.clock = SKUA__FAKE_VIRTUAL}},
                       .ps = {10 * MS_PS, 40 * MS_PS},
                       .no_exec = true});
    uint64_t slow[8], before = 0;
    for (int i = 0; i < 8; i++) {
        aim(&s, 4096, 1);
        fire(&b, &s);
        step_until_ended(&b, &s);
        collect(&b, &s);
        slow[i] = share_at(&b, 2).work_items - before;
        before += slow[i];
        printf("launch %d: the slower device does %llu of 4096\n", i, (unsigned long long)slow[i]);
    }
    assert_int_equal(slow[0], 2048); /* nothing is known */
    assert_in_range(slow[7], 4096 / 5 - 256, 4096 / 5 + 256);
    fake_machine_close(&b);
}

/* What was learned of a device in a bad moment is corrected, although nothing is given to it for that. */
static void
test_split_looks_again_at_places_that_got_nothing(void **state) {
    (void)state;
    enum { LAUNCHES = 60 };
    static shot s;
    fake_machine b;
    open_bench(&b, &(bench_options){
                       .fakes = {{.clock = SKUA__FAKE_VIRTUAL}, {.clock = SKUA__FAKE_VIRTUAL}},
                       .ps = {10 * MS_PS, 10 * MS_PS},
                       .no_exec = true});
    skua__kernel_entry *entry = skua__kernel_find(b.pool, "work", NULL);
    assert_int_equal(skua_selector_learn(
                         b.pool->kernels->selector,
                         SKUA_SELECT_OUTCOME(.kernel = entry->selector_number, .units = 2048,
                                             .backend = b.pool->kernels->places[2].selector_number,
                                             .run_ns = 1000 * SKUA_NS_PER_S),
                         NULL),
                     0);
    uint64_t before = 0, first = 0, last = 0;
    for (int i = 0; i < LAUNCHES; i++) {
        aim(&s, 4096, 1);
        fire(&b, &s);
        step_until_ended(&b, &s);
        collect(&b, &s);
        last = share_at(&b, 2).work_items - before;
        before += last;
        first = i == 2 ? last : first;
    }
    assert_int_equal(first, 0);
    assert_in_range(last, 4096 / 4, 4096 / 2 + 256); /* it nears a half, more slowly the nearer */
    fake_machine_close(&b);
}

static void
test_split_tells_who_has_what(void **state) {
    (void)state;
    static shot s;
    char text[400];
    fake_machine b;
    open_bench(&b, &(bench_options){0});
    aim(&s, 3000, 1);
    fire(&b, &s);
    assert_int_equal(skua_pool_wait(s.future, WAIT_MS, NULL), 0);
    skua_pool_explain(s.future, text, sizeof text);
    printf("%s\n", text);
    assert_non_null(strstr(text, "split in 3: local: 0 to "));
    assert_non_null(strstr(text, "device 0 ("));
    assert_non_null(strstr(text, " to 2999"));
    char cut[9];
    skua_pool_explain(s.future, cut, sizeof cut);
    assert_string_equal(cut, "split in");
    collect(&b, &s);
    fake_machine_close(&b);
}

static void
test_split_places_of_a_node_are_one_node(void **state) {
    (void)state;
    fake_machine b;
    open_bench(&b, &(bench_options){0});
    assert_int_equal(skua_pool_await_nodes(b.pool, "work", 1, SKUA_NONE, NULL), 0);
    assert_int_equal(skua_pool_await_nodes(b.pool, "work", 2, SKUA_NONE, NULL), SKUA_E_NO_PROVIDER);
    fake_machine_close(&b);
}

/* Whatever there is of places: one has it all, or what may have it. */
static void
test_split_needs_no_second_place(void **state) {
    (void)state;
    static shot s;
    fake_machine b;
    open_bench(&b, &(bench_options){.no_devices = true});
    aim(&s, 1000, 1);
    fire(&b, &s);
    collect(&b, &s);
    fake_machine_close(&b);
    open_bench(&b, &(bench_options){0});
    static const int32_t on[] = {SKUA_ON_CORES, SKUA_ON_DEVICE, SKUA_ON_DEVICE + 1};
    for (size_t i = 0; i < 3; i++) {
        aim(&s, 1000, 1);
        s.launch.on = on[i];
        fire(&b, &s);
        collect(&b, &s);
        assert_int_equal(share_at(&b, i).work_items, 1000);
    }
    aim(&s, 1000, 1);
    s.launch.on = SKUA_ON_DEVICE + 2; /* there is none */
    fire(&b, &s);
    assert_int_equal(skua_pool_wait(s.future, WAIT_MS, NULL), 0);
    skua_task_result result = {.size = sizeof result};
    assert_int_equal(skua_pool_result(s.future, &result, NULL), 0);
    assert_int_equal(result.outcome, SKUA_OUTCOME_REFUSED);
    skua_pool_future_free(s.future);
    fake_machine_close(&b);
}

static void
test_split_takes_one_place_in_the_window(void **state) {
    (void)state;
    static shot s[3];
    fake_machine b;
    open_bench(&b, &(bench_options){.window = 2});
    hang(&b);
    for (int i = 0; i < 3; i++) {
        aim(&s[i], 3000, 1);
    }
    fire(&b, &s[0]);
    fire(&b, &s[1]);
    assert_int_equal(skua_kernel_submit(b.pool, &s[2].launch, &s[2].future, NULL), SKUA_E_AGAIN);
    unhang(&b);
    collect(&b, &s[0]);
    collect(&b, &s[1]);
    fire(&b, &s[2]);
    collect(&b, &s[2]);
    fake_machine_close(&b);
}

/* ---- What is refused ---- */

static void
test_split_refuses_what_cannot_be_cut(void **state) {
    (void)state;
    static shot s;
    skua_error err = {0};
    skua_pool_future *future = NULL;
    fake_machine b;
    open_bench(&b, &(bench_options){0});
    const skua_kernel_spec plain = {.size = sizeof plain,
                                    .params = split_params,
                                    .param_count = PARAMS,
                                    .fn = work,
                                    .check = NULL,
                                    .sliced = 1};
    assert_int_equal(skua_kernel_register(b.pool, "plain", &plain, &err), 0);
    aim(&s, 1000, 1);
    s.launch.kernel = "plain"; /* the tally is written, and not sliced */
    assert_int_equal(skua_kernel_submit(b.pool, &s.launch, &future, &err), SKUA_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "parameter 1"));
    s.args[0].bytes = 3999; /* not as many for each index */
    assert_int_equal(skua_kernel_submit(b.pool, &s.launch, &future, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "3999"));
    skua_kernel_spec bad = plain;
    bad.sliced = 16; /* a value */
    assert_int_equal(skua_kernel_register(b.pool, "bad", &bad, &err), SKUA_E_BAD_ARGUMENT);
    bad.sliced = 32; /* the sixth of five */
    assert_int_equal(skua_kernel_register(b.pool, "bad", &bad, &err), SKUA_E_BAD_ARGUMENT);
    assert_null(future);
    fake_machine_close(&b);
}

/* ---- The bytes of a part ---- */

static void
test_split_parts_are_read_with_care(void **state) {
    (void)state;
    static shot s;
    static uint8_t bytes[3 * MOST * 4];
    const skua_kernel_spec spec = {.size = sizeof spec,
                                   .params = split_params,
                                   .param_count = PARAMS,
                                   .fn = work,
                                   .sliced = 7};
    skua__kernel *kernel = NULL;
    skua__coded_launch whole, part, read;
    assert_int_equal(skua__kernel_new(NULL, "work", &spec, &kernel, NULL), 0);
    aim(&s, 100, 1);
    assert_int_equal(skua__launch_lay_out(kernel, &s.launch, &whole, NULL), 0);
    skua__launch_lay_out_part(kernel, &whole, 40, 60, &part);
    assert_true(part.input_bytes < whole.input_bytes && part.output_bytes < whole.output_bytes);
    skua__launch_encode(kernel, &s.launch, &part, bytes);
    assert_true(skua__launch_decode(kernel, bytes, part.input_bytes, &read));
    assert_true(read.first == 40 && read.end == 60 && read.global[0] == 100);
    assert_memory_equal(bytes + read.args[2].in_at, &s.x[40], 20 * 4);
    enum { ON = 32, FIRST = 40, END = 48, OUT_BYTES = 56 + 4 };
    static const struct {
        size_t at;
        uint8_t value;
    } lies[] = {{FIRST, 60},  {FIRST, 61},    {FIRST, 39}, {END, 40}, {END, 101},
                {END + 7, 1}, {OUT_BYTES, 1}, {ON, 2},     {ON, 80},  {ON + 3, 255}};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        uint8_t was = bytes[lies[i].at];
        bytes[lies[i].at] = lies[i].value;
        assert_false(skua__launch_decode(kernel, bytes, part.input_bytes, &read));
        bytes[lies[i].at] = was;
    }
    assert_false(skua__launch_decode(kernel, bytes, part.input_bytes - 1, &read));
    bytes[FIRST] = 81; /* as many indices as before, but the last one is none of the launch's */
    bytes[END] = 101;
    assert_false(skua__launch_decode(kernel, bytes, part.input_bytes, &read));
    bytes[FIRST] = 80;
    bytes[END] = 100;
    assert_true(skua__launch_decode(kernel, bytes, part.input_bytes, &read));
    kernel->sliced = 5; /* a kernel that cannot be cut takes no parts */
    assert_false(skua__launch_decode(kernel, bytes, part.input_bytes, &read));
    skua__kernel_free(kernel);
}

/* A part of a few bytes asks for the device's memory before its slices: no more than the whole launch could have. */
static void
test_split_parts_hide_no_more_memory_than_a_launch_has(void **state) {
    (void)state;
    enum { INDICES = 1 << 20, SCRATCH = 5000 };
    static const skua_param_kind kinds[] = {SKUA_PARAM_OUT, SKUA_PARAM_OUT, SKUA_PARAM_IN,
                                            SKUA_PARAM_LOCAL};
    static const uint8_t whole_input[64];
    const skua_kernel_spec spec = {
        .size = sizeof spec, .params = kinds, .param_count = 4, .fn = work, .sliced = 3};
    const skua_launch launch = {
        .size = sizeof launch,
        .args = (const skua_kernel_arg[]){{.bytes = 1},
                                          {.bytes = 1},
                                          {.data = (void *)(uintptr_t)whole_input, .bytes = 64},
                                          {.bytes = SCRATCH}},
        .arg_count = 4};
    skua__kernel *kernel = NULL;
    assert_int_equal(skua__kernel_new(NULL, "work", &spec, &kernel, NULL), 0);
    for (uint64_t each = 1; each <= 40; each++) {
        skua__coded_launch part, read,
            whole = {.dims = 1, .global = {INDICES, 1, 1}, .end = INDICES};
        whole.args[0].bytes = each * INDICES;
        whole.args[1].bytes = 30 * (uint64_t)INDICES;
        whole.args[2].bytes = 64;
        whole.args[3].bytes = SCRATCH;
        skua__launch_lay_out_part(kernel, &whole, INDICES - 1, INDICES, &part);
        uint8_t bytes[1024];
        assert_true(part.input_bytes < sizeof bytes && part.output_bytes < 128);
        skua__launch_encode(kernel, &launch, &part, bytes);
        bool fits = (each + 30) * INDICES <= SKUA_TASK_MAX_BYTES;
        assert_int_equal(skua__launch_decode(kernel, bytes, part.input_bytes, &read), fits);
        if (fits) {
            assert_int_equal(skua__launch_hidden_bytes(kernel, &read, true, 3),
                             (each + 30) * (INDICES - 1));
            assert_int_equal(skua__launch_hidden_bytes(kernel, &read, false, 3), 3 * SCRATCH);
        }
    }
    skua__kernel_free(kernel);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_does_each_index_once),
        cmocka_unit_test(test_split_never_cuts_a_group_that_is_asked_for),
        cmocka_unit_test(test_split_shares_follow_what_was_measured),
        cmocka_unit_test(test_split_looks_again_at_places_that_got_nothing),
        cmocka_unit_test(test_split_tells_who_has_what),
        cmocka_unit_test(test_split_places_of_a_node_are_one_node),
        cmocka_unit_test(test_split_needs_no_second_place),
        cmocka_unit_test(test_split_takes_one_place_in_the_window),
        cmocka_unit_test(test_split_refuses_what_cannot_be_cut),
        cmocka_unit_test(test_split_parts_are_read_with_care),
        cmocka_unit_test(test_split_parts_hide_no_more_memory_than_a_launch_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
