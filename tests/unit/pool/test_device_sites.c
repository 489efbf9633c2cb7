// SPDX-License-Identifier: MPL-2.0
// Devices as sites of a pool: no thread is held by a launch, cancels are immediate, a launch goes where it is faster, and what
// was learned is kept. When devices fail: test_device_faults.c.
#include "add_bench.h"
#include "failing_allocator.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int
nothing(skua_task_call *call, void *arg) {
    (void)call, (void)arg;
    return 0;
}

static void
test_device_sites_hold_no_worker_and_cancels_are_immediate(void **state) {
    (void)state;
    fake_machine b;
    open_pool(&b, NULL, NULL);
    register_as(&b, "add", "kernel void add() {}", add_one);
    assert_int_equal(skua_pool_register(b.pool, "nothing", 1, nothing, NULL, NULL), 0);
    skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.hang_at = 1});
    static shot shots[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        submit(&b, &shots[i], "add", i, SKUA_ON_DEVICE);
    }
    /* The device hangs with all of them. The one worker has nothing to do with that. */
    for (int i = 0; i < 10; i++) {
        skua_pool_future *future = NULL;
        assert_int_equal(skua_pool_submit(b.pool, SKUA_TASK(.name = "nothing"), &future, NULL), 0);
        assert_int_equal(skua_pool_wait(future, WAIT_MS, NULL), 0);
        skua_pool_future_free(future);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        skua_pool_cancel(shots[i].future);
        assert_int_equal(skua_pool_wait(shots[i].future, SKUA_NONE, NULL), 0); /* at once */
        assert_int_equal(collect(&b, &shots[i], NULL), SKUA_E_CANCELLED);
        skua_pool_future_free(shots[i].future);
    }
    /* Those that wait for the device leave its queue although it still hangs; what it has, it keeps. */
    skua__engine *engine = NULL;
    assert_int_equal(skua__devices_engine(b.devices, 0, &engine, NULL), 0);
    while (skua__engine_under_way(engine) > 64) {
        sched_yield();
    }
    skua__fake_unhang(b.fakes[0]);
    fake_machine_close(&b);
}

/*
 * A small launch is one block of the pool's allocator, from its submission until the user and the engine have let go of it; that
 * of a cancelled one, too.
 */
static void
test_device_sites_take_one_block_for_a_small_launch(void **state) {
    (void)state;
    fake_machine b;
    failing_allocator counted;
    static shot shots[MANY];
    failing_allocator_init(&counted, 0);
    open_pool(&b, NULL, SKUA_POOL_OPTIONS(.allocator = &counted.hook));
    register_as(&b, "add", "kernel void add() {}", add_one);
    skua__engine *engine = NULL;
    assert_int_equal(skua__devices_engine(b.devices, 0, &engine, NULL), 0);
    /* All are under way at once. In the first round the tables grow for them; in the last all are cancelled. */
    for (int round = 0; round < 3; round++) {
        long before = atomic_load(&counted.calls);
        skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.hang_at = 1});
        for (uint32_t i = 0; i < MANY; i++) {
            submit(&b, &shots[i], "add", i, SKUA_ON_DEVICE);
        }
        if (round) { /* and the lane of those that may run there alone, which goes with the last */
            assert_int_equal(atomic_load(&counted.calls) - before, MANY + 1);
        }
        for (uint32_t i = 0; i < MANY && round == 2; i++) {
            skua_pool_cancel(shots[i].future);
        }
        skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){0}); /* it may not hang as yet */
        skua__fake_unhang(b.fakes[0]);
        for (uint32_t i = 0; i < MANY; i++) {
            assert_int_equal(collect(&b, &shots[i], NULL), round == 2 ? SKUA_E_CANCELLED : 0);
            skua_pool_future_free(shots[i].future);
        }
    }
    fake_machine_close(&b);
    assert_int_equal(atomic_load(&counted.alive), 0);
}

static void
test_device_sites_are_told_by_explain_and_backends(void **state) {
    (void)state;
    fake_machine b;
    open_pool(&b, NULL, NULL);
    register_as(&b, "add", "kernel void add() {}", add_one);
    static shot s;
    char text[600];
    submit(&b, &s, "add", 1, SKUA_ON_DEVICE);
    assert_int_equal(collect(&b, &s, NULL), 0);
    skua_pool_explain(s.future, text, sizeof text);
    assert_non_null(strstr(text, "device 0 ("));
    assert_non_null(strstr(text, "launch"));
    skua_task_result result = {.size = sizeof result};
    assert_int_equal(skua_pool_result(s.future, &result, NULL), 0);
    assert_string_equal(result.node, "local");
    skua_pool_future_free(s.future);
    submit(&b, &s, "add", 1, SKUA_ON_ANY); /* now both are candidates */
    assert_int_equal(collect(&b, &s, NULL), 0);
    skua_pool_explain(s.future, text, sizeof text);
    assert_non_null(strstr(text, "device 0 ("));
    assert_non_null(strstr(text, "local: "));
    skua_pool_future_free(s.future);
    skua_pool_backend backends[4];
    size_t count = 0;
    assert_int_equal(skua_pool_backends(b.pool, backends, sizeof backends[0], 4, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(backends[1].kind, SKUA_BACKEND_DEVICE);
    assert_true(backends[1].tasks >= 1 && backends[1].in_flight == 0);
    fake_machine_close(&b);
}

/* A size with no good divisor runs in groups of full size where the kernel has a guard, else in tiny ones, which is told. */
static void
test_device_sites_say_when_groups_are_small(void **state) {
    (void)state;
    static const skua_param_kind kinds[] = {SKUA_PARAM_IN, SKUA_PARAM_OUT};
    fake_machine b;
    skua_error err = {0};
    open_pool(&b, NULL, NULL);
    register_as(&b, "add", "kernel void add() {}", NULL);
    assert_int_equal(
        skua_kernel_register(b.pool, "bare",
                             SKUA_KERNEL_SPEC(.source = "kernel void bare() {}", .params = kinds,
                                              .param_count = 2, .fn = add_one),
                             &err),
        0);
    static const struct {
        const char *kernel;
        uint64_t size;
        int32_t on;
        const char *group; /* NULL: nothing is said */
    } cases[] = {{"bare", 509, SKUA_ON_DEVICE, "groups of 1:"},
                 {"bare", 514, SKUA_ON_DEVICE, "groups of 2:"},
                 {"bare", 512, SKUA_ON_DEVICE, NULL},
                 {"bare", 61, SKUA_ON_DEVICE, NULL}, /* which is one group */
                 {"bare", 509, SKUA_ON_CORES, NULL},
                 {"add", 509, SKUA_ON_DEVICE, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static shot s;
        char text[600];
        prepare(&s, cases[i].kernel, 3, cases[i].on);
        s.launch.global[0] = cases[i].size;
        static uint32_t x[514], y[514];
        s.args[0] = (skua_kernel_arg){.data = x, .bytes = cases[i].size * sizeof x[0]};
        s.args[1] = (skua_kernel_arg){.data = y, .bytes = cases[i].size * sizeof y[0]};
        assert_int_equal(skua_kernel_submit(b.pool, &s.launch, &s.future, &err), 0);
        assert_int_equal(skua_kernel_collect(b.pool, &s.launch, s.future, WAIT_MS, &err), 0);
        skua_pool_explain(s.future, text, sizeof text);
        const char *said = strstr(text, "groups of ");
        assert_int_equal(said != NULL, cases[i].group != NULL);
        assert_true(!said || (strncmp(said, cases[i].group, strlen(cases[i].group)) == 0 &&
                              strstr(text, "SKUA_GUARD")));
        skua_pool_future_free(s.future);
    }
    fake_machine_close(&b);
}

static void
test_device_sites_get_what_they_are_faster_at(void **state) {
    (void)state;
    fake_machine b;
    open_pool(&b, NULL, NULL);
    register_as(&b, "add", "kernel void add() {}", add_one_slowly);
    static shot s;
    for (int i = 0; i < 60; i++) {
        submit(&b, &s, "add", 1, SKUA_ON_ANY);
        assert_int_equal(collect(&b, &s, NULL), 0);
        skua_pool_future_free(s.future);
    }
    /* The cores are tried a few times, and a little more in between; 60 is what both have together. */
    assert_true(share_at(&b, "add", 1).launches >= 40);
    assert_int_equal(share_at(&b, "add", 0).launches + share_at(&b, "add", 1).launches, 60);
    fake_machine_close(&b);
}

static void
calibrate(fake_machine *self, shot *s, uint8_t split, int64_t timeout_ms) {
    enum { BUDGET_MS = 60 * 1000 }; /* so that three runs are within it on any machine */
    skua_error err = {0};
    s->launch.split = split;
    s->launch.timeout_ms = timeout_ms;
    if (skua_kernel_calibrate(self->pool, &s->launch, BUDGET_MS, &err)) {
        fail_msg("%s", err.message);
    }
}

/* A device that rests for long, or is gone, does not hold a calibration up, and the cores have theirs. */
static void
test_device_sites_at_rest_are_not_calibrated(void **state) {
    (void)state;
    fake_machine b;
    static shot s;
    for (int gone = 0; gone < 2; gone++) {
        open_pool(&b, &(fake_machine_options){.rest_ms = gone ? 0 : 3600 * 1000}, NULL);
        register_as(&b, "add", "kernel void add() {}", add_one);
        skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.loss_at = 1, .absent = gone});
        submit(&b, &s, "add", 1, SKUA_ON_DEVICE);
        assert_int_equal(collect(&b, &s, NULL), SKUA_E_TASK_FAILED);
        skua_pool_future_free(s.future);
        calibrate(&b, &s, 0, 0);
        assert_int_equal(share_at(&b, "add", 0).launches, 3);
        assert_int_equal(share_at(&b, "add", 1).launches, 0);
        fake_machine_close(&b);
    }
}

/* A run that does not end is given up, and one that only takes longer than the budget is learned from. */
static void
test_device_sites_calibration_gives_a_run_up_in_the_end(void **state) {
    (void)state;
    fake_machine b;
    static shot s;
    open_pool(&b, &(fake_machine_options){.hang_ms = SKUA_UNLIMITED}, NULL);
    register_as(&b, "add", "kernel void add() {}", add_one_slowly); /* 6 ms on the cores */
    prepare(&s, "add", 1, SKUA_ON_ANY);
    skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.hang_at = 1});
    b.pool->kernels->patience_ms = 1000;
    int64_t start_ns = skua__clock_ns();
    assert_int_equal(skua_kernel_calibrate(b.pool, &s.launch, 1, NULL), SKUA_OK);
    assert_true(skua__clock_ns() - start_ns >= 1000 * SKUA_NS_PER_MS);
    assert_int_equal(share_at(&b, "add", 0).launches, 1);
    assert_int_equal(share_at(&b, "add", 1).launches, 0);
    skua__fake_unhang(b.fakes[0]);
    fake_machine_close(&b);
}

/* Where a launch goes, whether it is cut, and when it must be over is said of the program's launches, not of tries. */
static void
test_device_sites_are_calibrated_whatever_the_launch_says(void **state) {
    (void)state;
    fake_machine b;
    static shot s;
    for (int timed = 0; timed < 2; timed++) {
        open_pool(&b, NULL, NULL);
        register_as(&b, "add", "kernel void add() {}", add_one);
        submit(&b, &s, "add", 1, SKUA_ON_CORES);
        assert_int_equal(collect(&b, &s, NULL), 0);
        skua_pool_future_free(s.future);
        calibrate(&b, &s, timed ? 0 : 1, timed ? SKUA_NONE : 0);
        assert_int_equal(share_at(&b, "add", 0).launches, 1); /* that is known */
        assert_int_equal(share_at(&b, "add", 1).launches, 4); /* the first to build */
        fake_machine_close(&b);
    }
}

static void
test_device_sites_keep_what_they_learned(void **state) {
    (void)state;
    fake_machine b;
    static shot s;
    char dir[] = "/tmp/skua-test-XXXXXX", path[128];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/launches", dir);
    struct stat kept;
    for (int run = 0; run < 4; run++) {
        if (run == 2) { /* junk is as good as nothing */
            int file = open(path, O_WRONLY | O_TRUNC);
            assert_true(file >= 0 && write(file, "\x7fnonsense", 9) == 9 && close(file) == 0);
        }
        open_pool(&b, &(fake_machine_options){.cache_dir = dir}, NULL);
        register_as(&b, "add", "kernel void add() {}", add_one_slowly);
        for (int i = 0; i < 30; i++) {
            submit(&b, &s, "add", 1, SKUA_ON_ANY);
            assert_int_equal(collect(&b, &s, NULL), 0);
            char text[600];
            skua_pool_explain(s.future, text, sizeof text);
            if (i == 0) { /* a run that knows begins with what is fast, and need not try */
                assert_int_equal(run == 1 || run == 3,
                                 strstr(text, "device 0 (") == text && !strstr(text, "tried"));
            }
            skua_pool_future_free(s.future);
        }
        fake_machine_close(&b);
        assert_int_equal(stat(path, &kept), 0);
        assert_true(kept.st_size > 100);
    }
    unlink(path);
    rmdir(dir);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_sites_hold_no_worker_and_cancels_are_immediate),
        cmocka_unit_test(test_device_sites_take_one_block_for_a_small_launch),
        cmocka_unit_test(test_device_sites_are_told_by_explain_and_backends),
        cmocka_unit_test(test_device_sites_say_when_groups_are_small),
        cmocka_unit_test(test_device_sites_get_what_they_are_faster_at),
        cmocka_unit_test(test_device_sites_at_rest_are_not_calibrated),
        cmocka_unit_test(test_device_sites_calibration_gives_a_run_up_in_the_end),
        cmocka_unit_test(test_device_sites_are_calibrated_whatever_the_launch_says),
        cmocka_unit_test(test_device_sites_keep_what_they_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
