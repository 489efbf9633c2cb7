// SPDX-License-Identifier: MPL-2.0
// Split launches on the cores and fake devices: each index is done exactly once whatever the sizes, shares follow what places
// turn out to do, and failures, cancels and deadlines of parts are those of the whole.
#include "failing_allocator.h"
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <skua-int/fake_device.h>
#include <skua-int/kernels.h>
#include <skua-int/rand.h>
#include <skua/buffer.h>
#include <stdatomic.h>
#include <string.h>

enum { WAIT_MS = 120 * 1000, FAKES = 2, TABLE = 7, MOST = 5000, GROUP = 512 };

/* A work-item on virtual clocks takes milliseconds, beside which nothing counts that a busy machine adds on the real one. */
#define MS_PS UINT64_C(1000000000)

static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_INOUT, SKUA_PARAM_IN,
                                         SKUA_PARAM_IN, SKUA_PARAM_VALUE};

static _Atomic uint32_t runs[MOST + 1]; /* of each work-item */
static _Atomic uint64_t
    stop_at; /* the function fails at this index, counted from 1; 0: it does not */

/* out = x + table + index + a; tally += 1. Rows are the first dimension. */
static int
work(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint32_t *out = call->args[0], *tally = call->args[1], a;
    const uint32_t *x = call->args[2], *table = call->args[3];
    memcpy(&a, call->args[4], sizeof a);
    uint64_t width = call->global[1];
    for (uint64_t i = call->begin * width; i < call->end * width; i++) {
        if (atomic_load(&stop_at) == i + 1) {
            return 7;
        }
        out[i] = x[i] + table[i % TABLE] + (uint32_t)i + a;
        tally[i] += 1;
        atomic_fetch_add(&runs[i], 1);
    }
    return 0;
}

/* The same for a kernel whose groups belong together: it is only ever given whole ones. */
static int
work_in_groups(const skua_kernel_call *call, void *arg) {
    return call->begin % GROUP || call->end % GROUP ? 1 : work(call, arg);
}

/* Sizes fit together: what a peer would be asked for. */
static int
check(const skua_launch *launch, void *arg) {
    (void)arg;
    uint64_t bytes = launch->global[0] * (launch->dims == 2 ? launch->global[1] : 1) * 4;
    return launch->args[0].bytes != bytes || launch->args[1].bytes != bytes ||
           launch->args[2].bytes != bytes || launch->args[3].bytes != sizeof(uint32_t) * TABLE;
}

/* ---- A pool with two fake devices ---- */

typedef struct bench {
    skua__fake *fakes[FAKES];
    skua_devices *devices;
    skua_exec *exec;
    skua_pool *pool;
} bench;

typedef struct bench_options {
    skua__fake_options fakes[FAKES];
    uint64_t ps[FAKES]; /* for each work-item */
    uint32_t window;
    bool no_exec, no_devices;
    const skua_allocator *hook;
} bench_options;

static void
add_fake(bench *self, int i, const bench_options *given) {
    const skua__fake_entry entries[] = {
        {.name = "work", .fn = work, .guarded = true, .launch_ps = given->ps[i]},
        {.name = "work_in_groups", .fn = work_in_groups}};
    skua__fake_options options = given->fakes[i];
    options.entries = entries;
    options.entry_count = 2;
    self->fakes[i] = skua__fake_new(&options);
    skua_device_info info = skua__fake_info(UINT64_C(1) << 30);
    snprintf(info.name, sizeof info.name, "fake %d", i);
    assert_int_equal(skua__devices_add(self->devices, skua__fake_driver(), self->fakes[i], &info),
                     0);
}

static void
open_bench(bench *self, const bench_options *given) {
    memset(self, 0, sizeof *self);
    atomic_store(&stop_at, 0);
    if (!given->no_devices) {
        assert_int_equal(
            skua_devices_open(&self->devices, SKUA_DEVICES_OPTIONS(.cache_dir = ""), NULL), 0);
        for (int i = 0; i < FAKES; i++) {
            add_fake(self, i, given);
        }
    }
    if (!given->no_exec) {
        assert_int_equal(skua_exec_open(&self->exec, SKUA_EXEC_OPTIONS(.workers = 2), NULL), 0);
    }
    assert_int_equal(
        skua_pool_open(&self->pool,
                       SKUA_POOL_OPTIONS(.exec = self->exec, .devices = self->devices,
                                         .window_tasks = given->window, .allocator = given->hook),
                       NULL),
        0);
    skua_error err = {0};
    if (skua_kernel_register(
            self->pool, "work",
            SKUA_KERNEL_SPEC(.source = given->no_devices ? NULL : "kernel void work() {}",
                             .params = params, .param_count = 5, .guarded = 1, .fn = work,
                             .check = check, .sliced = 7),
            &err)) {
        fail_msg("%s", err.message);
    }
}

static void
close_bench(bench *self) {
    skua_pool_close(self->pool);
    skua_devices_close(self->devices);
    skua_exec_close(self->exec);
    for (int i = 0; i < FAKES && self->fakes[i]; i++) {
        skua__fake_counters counts = skua__fake_counts(self->fakes[i]);
        if (counts.misuses) {
            fail_msg("%s", counts.misuse);
        }
        assert_int_equal(counts.memories, 0);
        skua__fake_free(self->fakes[i]);
    }
}

/* One launch under way. */
typedef struct shot {
    uint32_t out[MOST], tally[MOST], x[MOST], table[TABLE], a;
    uint64_t rows, width;
    skua_kernel_arg args[5];
    skua_launch launch;
    skua_pool_future *future;
} shot;

static void
aim(shot *s, uint64_t rows, uint64_t width) {
    size_t items = (size_t)(rows * width), bytes = items * sizeof s->x[0];
    assert_true(items <= MOST);
    s->a = 5;
    s->rows = rows;
    s->width = width;
    for (uint32_t i = 0; i < items; i++) {
        s->out[i] = 0xdead;
        s->tally[i] = 3;
        s->x[i] = 11 * i;
    }
    for (uint32_t i = 0; i < TABLE; i++) {
        s->table[i] = i * i;
    }
    s->args[0] = (skua_kernel_arg){.data = s->out, .bytes = bytes};
    s->args[1] = (skua_kernel_arg){.data = s->tally, .bytes = bytes};
    s->args[2] = (skua_kernel_arg){.data = s->x, .bytes = bytes};
    s->args[3] = (skua_kernel_arg){.data = s->table, .bytes = sizeof s->table};
    s->args[4] = (skua_kernel_arg){.value = &s->a, .bytes = sizeof s->a};
    s->launch = (skua_launch){.size = sizeof s->launch,
                              .kernel = "work",
                              .dims = width > 1 ? 2 : 1,
                              .global = {rows, width},
                              .args = s->args,
                              .arg_count = 5,
                              .split = 1};
    s->future = NULL;
}

static void
fire(bench *self, shot *s) {
    skua_error err = {0};
    if (skua_kernel_submit(self->pool, &s->launch, &s->future, &err)) {
        fail_msg("%s", err.message);
    }
}

static void
check_results(const shot *s) {
    for (uint32_t i = 0; i < s->rows * s->width; i++) {
        assert_int_equal(s->out[i], 12 * i + (i % TABLE) * (i % TABLE) + 5);
        assert_int_equal(s->tally[i], 4);
    }
}

/* Steps virtual clocks until the launch has ended. */
static void
step_until_ended(bench *self, const shot *s) {
    while (skua_pool_wait(s->future, SKUA_NONE, NULL)) {
        for (int i = 0; i < FAKES; i++) {
            skua__fake_step(self->fakes[i]);
        }
        sched_yield();
    }
}

static void
collect(bench *self, shot *s) {
    skua_error err = {0};
    if (skua_kernel_collect(self->pool, &s->launch, s->future, WAIT_MS, &err)) {
        fail_msg("%s", err.message);
    }
    check_results(s);
    skua_pool_future_free(s->future);
}

static skua_kernel_share
share_at(bench *self, size_t i) {
    skua_kernel_share share = {.size = sizeof share};
    assert_int_equal(skua_kernel_share_at(self->pool, "work", i, &share, NULL), 0);
    return share;
}

/* The next launch of each device hangs. */
static void
hang(bench *self) {
    for (int i = 0; i < FAKES; i++) {
        skua__fake_set_faults(self->fakes[i], &(skua__fake_faults){.hang_at = 1});
    }
}

/* Whether it has come there yet or not. */
static void
unhang(bench *self) {
    for (int i = 0; i < FAKES; i++) {
        skua__fake_set_faults(self->fakes[i], &(skua__fake_faults){0});
        skua__fake_unhang(self->fakes[i]);
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
        bench b;
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
        close_bench(&b);
    }
}

/* A group of the size that a kernel asks for stays whole, however large it is, since nothing checks that kernel's range. */
static void
test_split_never_cuts_a_group_that_is_asked_for(void **state) {
    (void)state;
    static shot s;
    skua_error err = {0};
    bench b;
    open_bench(&b, &(bench_options){.fakes = {{.max_group = GROUP}, {.max_group = GROUP}},
                                    .no_exec = true});
    if (skua_kernel_register(b.pool, "grouped",
                             SKUA_KERNEL_SPEC(.source = "kernel void work_in_groups() {}",
                                              .entry = "work_in_groups", .params = params,
                                              .param_count = 5, .local = {GROUP}, .sliced = 7),
                             &err)) {
        fail_msg("%s", err.message);
    }
    for (uint64_t groups = 1; groups <= MOST / GROUP; groups++) {
        aim(&s, groups * GROUP, 1); /* an odd number has no half that is whole */
        s.launch.kernel = "grouped";
        fire(&b, &s);
        collect(&b, &s);
    }
    close_bench(&b);
}

/* Two devices on clocks of their own: one does four work-items in the time that the other needs for one. */
static void
test_split_shares_follow_what_was_measured(void **state) {
    (void)state;
    static shot s;
    bench b;
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
    close_bench(&b);
}

/* What was learned of a device in a bad moment is corrected, although nothing is given to it for that. */
static void
test_split_looks_again_at_places_that_got_nothing(void **state) {
    (void)state;
    enum { LAUNCHES = 60 };
    static shot s;
    bench b;
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
    close_bench(&b);
}

static void
test_split_tells_who_has_what(void **state) {
    (void)state;
    static shot s;
    char text[400];
    bench b;
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
    close_bench(&b);
}

static void
test_split_places_of_a_node_are_one_node(void **state) {
    (void)state;
    bench b;
    open_bench(&b, &(bench_options){0});
    assert_int_equal(skua_pool_await_nodes(b.pool, "work", 1, SKUA_NONE, NULL), 0);
    assert_int_equal(skua_pool_await_nodes(b.pool, "work", 2, SKUA_NONE, NULL), SKUA_E_NO_PROVIDER);
    close_bench(&b);
}

/* Whatever there is of places: one has it all, or what may have it. */
static void
test_split_needs_no_second_place(void **state) {
    (void)state;
    static shot s;
    bench b;
    open_bench(&b, &(bench_options){.no_devices = true});
    aim(&s, 1000, 1);
    fire(&b, &s);
    collect(&b, &s);
    close_bench(&b);
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
    close_bench(&b);
}

static void
test_split_takes_one_place_in_the_window(void **state) {
    (void)state;
    static shot s[3];
    bench b;
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
    close_bench(&b);
}

/* ---- What goes wrong ---- */

static void
test_split_parts_of_a_device_that_fails_go_elsewhere(void **state) {
    (void)state;
    static const skua__fake_faults faults[] = {
        {.loss_at = 1}, {.submit_at = 1}, {.memory_at = 1, .memory_times = 3}, {.builds = 1}};
    static shot s;
    skua__rand rand = {.state = test_seed(5)};
    for (size_t i = 0; i < 2 * sizeof faults / sizeof faults[0]; i++) {
        bench b;
        open_bench(&b, &(bench_options){0});
        skua__fake_set_faults(b.fakes[i % FAKES], &faults[i / FAKES]);
        aim(&s, 100 + skua__rand_below(&rand, 4000), 1); /* nothing is known: all have a part */
        fire(&b, &s);
        collect(&b, &s);
        assert_true(share_at(&b, 1 + i % FAKES).failures > 0);
        for (int round = 0; round < 10; round++) {
            aim(&s, 1 + skua__rand_below(&rand, 4000), 1);
            fire(&b, &s);
            collect(&b, &s);
        }
        close_bench(&b);
    }
}

static void
expect_end(shot *s, skua_outcome outcome, skua_task_result *ret) {
    assert_int_equal(skua_pool_wait(s->future, WAIT_MS, NULL), 0);
    *ret = (skua_task_result){.size = sizeof *ret};
    assert_int_equal(skua_pool_result(s->future, ret, NULL), 0);
    assert_int_equal(ret->outcome, outcome);
    assert_int_equal(s->out[0], 0xdead);
}

static void
test_split_is_cancelled_with_all_of_its_parts(void **state) {
    (void)state;
    static shot s;
    skua_task_result result;
    bench b;
    open_bench(&b, &(bench_options){0});
    hang(&b);
    aim(&s, 4000, 1);
    fire(&b, &s);
    skua_pool_cancel(s.future);
    assert_int_equal(skua_pool_wait(s.future, SKUA_NONE, NULL), 0); /* at once */
    expect_end(&s, SKUA_OUTCOME_CANCELLED, &result);
    assert_int_equal(skua_kernel_collect(b.pool, &s.launch, s.future, 0, NULL), SKUA_E_CANCELLED);
    skua_pool_future_free(s.future);
    unhang(&b);
    skua_pool_counters counters = {.size = sizeof counters};
    do { /* the parts end when nothing uses their memory any more */
        assert_int_equal(skua_pool_stats(b.pool, &counters, NULL), 0);
    } while (counters.in_flight);
    assert_true(counters.ended[SKUA_OUTCOME_CANCELLED] >= 3); /* it, and the two that hang */
    assert_int_equal(counters.ended[SKUA_OUTCOME_CANCELLED] + counters.ended[SKUA_OUTCOME_OK], 4);
    aim(&s, 4000, 1);
    fire(&b, &s);
    collect(&b, &s);
    close_bench(&b);
}

static void
test_split_has_one_deadline(void **state) {
    (void)state;
    static shot s;
    skua_task_result result;
    bench b;
    open_bench(&b, &(bench_options){0});
    hang(&b);
    aim(&s, 4000, 1);
    s.launch.timeout_ms = 20;
    fire(&b, &s);
    expect_end(&s, SKUA_OUTCOME_TIMEOUT, &result);
    skua_pool_future_free(s.future);
    s.launch.timeout_ms = SKUA_NONE; /* it is over before it begins */
    fire(&b, &s);
    expect_end(&s, SKUA_OUTCOME_TIMEOUT, &result);
    skua_pool_future_free(s.future);
    unhang(&b);
    close_bench(&b);
}

static void
test_split_ends_with_the_error_of_a_part(void **state) {
    (void)state;
    static shot s;
    skua_task_result result;
    bench b;
    open_bench(&b, &(bench_options){0});
    for (int last = 0; last < 2; last++) {
        if (!last) {
            hang(&b); /* nobody waits for the others */
        }
        /* The first index is the cores'; the last one is a device's, which cannot do it, and nor can anybody else. */
        atomic_store(&stop_at, last ? 4000 : 1);
        aim(&s, 4000, 1);
        fire(&b, &s);
        expect_end(&s, SKUA_OUTCOME_EXIT, &result);
        printf("%s\n", result.message);
        assert_int_equal(result.code, 1);
        assert_non_null(strstr(result.message, "returned 7 (the part from index "));
        assert_non_null(strstr(result.message, last ? " to 3999, on local)" : "index 0 to "));
        assert_int_equal(skua_kernel_collect(b.pool, &s.launch, s.future, 0, NULL),
                         SKUA_E_TASK_FAILED);
        assert_int_equal(s.out[0], 0xdead);
        skua_pool_future_free(s.future);
        unhang(&b);
        skua_pool_counters counters = {.size = sizeof counters};
        do {
            assert_int_equal(skua_pool_stats(b.pool, &counters, NULL), 0);
        } while (counters.in_flight);
        /* The parts that hung were cancelled, or not even submitted. */
        assert_true(last || counters.ended[SKUA_OUTCOME_OK] == 0);
    }
    close_bench(&b);
}

static void
test_split_refuses_what_cannot_be_cut(void **state) {
    (void)state;
    static shot s;
    skua_error err = {0};
    skua_pool_future *future = NULL;
    bench b;
    open_bench(&b, &(bench_options){0});
    const skua_kernel_spec plain = {.size = sizeof plain,
                                    .params = params,
                                    .param_count = 5,
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
    skua_buffer *buffer = NULL;
    aim(&s, 1000, 1);
    assert_int_equal(
        skua_buffer_new(b.devices, &buffer, SKUA_BUFFER_OPTIONS(.bytes = s.args[0].bytes), &err),
        0);
    s.args[0] = (skua_kernel_arg){.buffer = buffer, .bytes = s.args[0].bytes};
    assert_int_equal(skua_kernel_submit(b.pool, &s.launch, &future, &err), SKUA_E_UNSUPPORTED);
    skua_buffer_free(buffer);
    skua_kernel_spec bad = plain;
    bad.sliced = 16; /* a value */
    assert_int_equal(skua_kernel_register(b.pool, "bad", &bad, &err), SKUA_E_BAD_ARGUMENT);
    bad.sliced = 32; /* the sixth of five */
    assert_int_equal(skua_kernel_register(b.pool, "bad", &bad, &err), SKUA_E_BAD_ARGUMENT);
    assert_null(future);
    close_bench(&b);
}

static void
test_split_survives_without_memory(void **state) {
    (void)state;
    static shot s;
    failing_allocator allocator;
    bool done = false;
    for (long n = 1; !done; n++) {
        bench b;
        failing_allocator_init(&allocator, 0);
        open_bench(&b, &(bench_options){.hook = &allocator.hook, .no_exec = true});
        aim(&s, 3000, 1);
        long first = atomic_load(&allocator.calls);
        atomic_store(&allocator.fail_at, first + n);
        skua_status status = skua_kernel_submit(b.pool, &s.launch, &s.future, NULL);
        atomic_store(&allocator.fail_at, 0);
        if (status) {
            assert_int_equal(status, SKUA_E_NO_MEMORY);
            assert_null(s.future);
        } else { /* what has no memory on a device's thread ends, what has none before waits */
            status = skua_kernel_collect(b.pool, &s.launch, s.future, WAIT_MS, NULL);
            assert_true(status == SKUA_OK || status == SKUA_E_TASK_FAILED);
            skua_pool_future_free(s.future);
            done = atomic_load(&allocator.calls) < first + n;
        }
        close_bench(&b);
        assert_int_equal(atomic_load(&allocator.alive), 0);
    }
}

/* ---- Many at once ---- */

enum { THREADS = 4, EACH = 40 };

typedef struct crowd {
    bench *b;
    uint64_t seed;
    shot s;
} crowd;

/* Launches of all sizes, a third of them cancelled at once. The last ones are left behind. */
static void *
launch_many(void *arg) {
    crowd *self = arg;
    skua__rand rand = {.state = self->seed};
    for (int i = 0; i < EACH; i++) {
        aim(&self->s, 1 + skua__rand_below(&rand, 3000), 1);
        fire(self->b, &self->s);
        if (skua__rand_below(&rand, 3) == 0) {
            skua_pool_cancel(self->s.future);
            skua_status status =
                skua_kernel_collect(self->b->pool, &self->s.launch, self->s.future, WAIT_MS, NULL);
            assert_true(status == SKUA_OK || status == SKUA_E_CANCELLED);
            skua_pool_future_free(self->s.future);
        } else if (i + 1 < EACH) {
            collect(self->b, &self->s);
        } else {
            skua_pool_future_free(self->s.future); /* nobody hears of it */
        }
    }
    return NULL;
}

static void
test_split_from_many_threads_and_closed_under_way(void **state) {
    (void)state;
    static crowd crowds[THREADS];
    skua__rand rand = {.state = test_seed(9)};
    pthread_t threads[THREADS];
    bench b;
    open_bench(&b, &(bench_options){.fakes = {{.launch_ns = 20000}, {.copy_ns = 5000}}});
    for (int i = 0; i < THREADS; i++) {
        crowds[i].b = &b;
        crowds[i].seed = skua__rand_below(&rand, UINT32_MAX);
        assert_int_equal(pthread_create(&threads[i], NULL, launch_many, &crowds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    close_bench(&b);
}

/* ---- The bytes of a part ---- */

static void
test_split_parts_are_read_with_care(void **state) {
    (void)state;
    static shot s;
    static uint8_t bytes[3 * MOST * 4];
    const skua_kernel_spec spec = {
        .size = sizeof spec, .params = params, .param_count = 5, .fn = work, .sliced = 7};
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

static int
set_up(void **state) {
    (void)state;
    return setenv("OCL_ICD_VENDORS", "/nonexistent", 1); /* the only devices are the fake ones */
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
        cmocka_unit_test(test_split_parts_of_a_device_that_fails_go_elsewhere),
        cmocka_unit_test(test_split_is_cancelled_with_all_of_its_parts),
        cmocka_unit_test(test_split_has_one_deadline),
        cmocka_unit_test(test_split_ends_with_the_error_of_a_part),
        cmocka_unit_test(test_split_refuses_what_cannot_be_cut),
        cmocka_unit_test(test_split_survives_without_memory),
        cmocka_unit_test(test_split_from_many_threads_and_closed_under_way),
        cmocka_unit_test(test_split_parts_are_read_with_care),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
