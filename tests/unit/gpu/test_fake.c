// SPDX-License-Identifier: MPL-2.0
// The fake device itself: it computes, takes its time on a virtual clock, overlaps what a device overlaps, fails as it
// is told, and notices a driver that is used wrongly.
#include "test.h"

#include "failing_allocator.h"
#include <pthread.h>
#include <skua-int/fake_device.h>
#include <skua-int/mem.h>
#include <string.h>

static const int64_t ms = 1000000;

/* y[i] += a * x[i] */
static int
saxpy(const skua_kernel_call *call, void *arg) {
    (void)arg;
    const float *x = call->args[0];
    float *y = call->args[1];
    float a;
    memcpy(&a, call->args[2], sizeof a);
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] += a * x[i];
    }
    return 0;
}

/* Counts its items in scratch memory, and fails when there are none. */
static int
tally(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint64_t *sum = call->args[0], *scratch = call->args[1];
    for (uint64_t i = call->begin; i < call->end; i++) {
        scratch[0]++;
    }
    *sum = scratch[0] * call->global[1] + 1000 * call->global[0];
    return scratch[0] == 0;
}

static const skua__fake_entry entries[] = {
    {.name = "saxpy", .fn = saxpy, .launch_ps = 1000000}, /* 1 us per item */
    {.name = "tally", .fn = tally, .guarded = true},
};

typedef struct ended {
    skua__dev_command command;
    int order; /* 0: not yet */
    skua_status status;
    int *next;
} ended;

static void
on_done(skua__dev_command *command, skua_status status) {
    ended *e = (ended *)command;
    assert_int_equal(e->order, 0);
    e->order = ++*e->next;
    e->status = status;
}

typedef struct bench {
    skua__fake *fake;
    const skua__device_driver *driver;
    skua__dev *dev;
    skua__dev_kernel *kernel;
    skua__dev_mem *x, *y;
    int ends;
    ended e[8];
} bench;

enum { ITEMS = 1024 };

static skua__dev_kernel *
build(bench *b, const char *entry, const char *text) {
    skua__dev_kernel *kernel = NULL;
    bool from_binary;
    char log[64];
    assert_int_equal(b->driver->kernel_new(b->dev,
                                           &(skua__dev_source){.text = text, .entry = entry},
                                           &kernel, &from_binary, log, sizeof log, NULL),
                     0);
    assert_false(from_binary);
    return kernel;
}

static void
open_device(bench *b, uint64_t memory_bytes) {
    skua_device_info info = skua__fake_info(memory_bytes);
    assert_int_equal(b->driver->open(b->fake, &info, 0, NULL, &b->dev, NULL), 0);
    b->kernel = build(b, "saxpy", "kernel void saxpy() {}");
    assert_int_equal(b->driver->mem_new(b->dev, SKUA__DEV_MEM_DEVICE, ITEMS * 4, NULL, &b->x, NULL),
                     0);
    assert_int_equal(b->driver->mem_new(b->dev, SKUA__DEV_MEM_DEVICE, ITEMS * 4, NULL, &b->y, NULL),
                     0);
}

static void
open_bench(bench *b, skua__fake_options options) {
    *b = (bench){.driver = skua__fake_driver()};
    options.entries = entries;
    options.entry_count = 2;
    b->fake = skua__fake_new(&options);
    assert_non_null(b->fake);
    open_device(b, 1 << 20);
    for (int i = 0; i < 8; i++) {
        b->e[i] = (ended){.command.done = on_done, .next = &b->ends};
    }
}

static void
close_bench(bench *b, uint64_t misuses) {
    b->driver->close(b->dev, false);
    skua__fake_counters counters = skua__fake_counts(b->fake);
    assert_int_equal(counters.misuses, misuses);
    assert_int_equal(counters.devices + counters.memories + counters.kernels, 0);
    assert_int_equal(counters.memory_bytes, 0);
    skua__fake_free(b->fake);
}

static skua_status
launch(bench *b, float a, ended *e) {
    const skua__dev_arg args[] = {
        {.kind = SKUA__DEV_ARG_MEM, .mem = b->x},
        {.kind = SKUA__DEV_ARG_MEM, .mem = b->y},
        {.kind = SKUA__DEV_ARG_VALUE, .value = &a, .bytes = sizeof a},
    };
    const skua__dev_range range = {.dims = 1, .global = {ITEMS, 1, 1}, .local = {64, 1, 1}};
    return b->driver->launch(b->dev, b->kernel, args, 3, &range, &e->command, NULL);
}

static void
test_fake_computes_in_order_and_takes_effect_at_the_end(void **state) {
    (void)state;
    bench b;
    open_bench(&b, (skua__fake_options){.clock = SKUA__FAKE_VIRTUAL,
                                        .copy_ns = ms,
                                        .copy_bytes_per_s = 4096 * 1000,
                                        .launch_ns = 10000});
    float x[ITEMS], y[ITEMS], out[ITEMS] = {0};
    for (int i = 0; i < ITEMS; i++) {
        x[i] = (float)i;
        y[i] = 1;
    }
    int64_t begin_ns = skua__fake_now_ns(b.fake);
    assert_int_equal(b.driver->write(b.dev, SKUA__DEV_COMPUTE, b.x, 0, x, sizeof x, NULL, NULL), 0);
    assert_int_equal(
        b.driver->write(b.dev, SKUA__DEV_COMPUTE, b.y, 0, y, sizeof y, &b.e[0].command, NULL), 0);
    assert_int_equal(launch(&b, 2, &b.e[1]), 0);
    assert_int_equal(
        b.driver->read(b.dev, SKUA__DEV_COMPUTE, b.y, 0, out, sizeof out, &b.e[2].command, NULL),
        0);
    b.driver->flush(b.dev, SKUA__DEV_COMPUTE);
    assert_int_equal(b.ends, 0);
    assert_true(skua__fake_step(b.fake) && skua__fake_step(b.fake) && skua__fake_step(b.fake));
    assert_true(out[3] == 0);
    assert_true(skua__fake_step(b.fake));
    assert_false(skua__fake_step(b.fake));
    for (int i = 0; i < ITEMS; i++) {
        assert_true(out[i] == 1 + 2 * (float)i);
    }
    assert_int_equal(b.e[2].order, 3);
    /* 2 writes and a read of 1 + 1 ms each, a launch of 10 us + 1024 us. */
    assert_int_equal(skua__fake_now_ns(b.fake) - begin_ns, 6 * ms + 1034000);
    assert_int_equal(b.e[1].command.end_ns - b.e[1].command.start_ns, 1034000);
    assert_int_equal(b.e[2].command.start_ns, b.e[1].command.end_ns);
    close_bench(&b, 0);
}

/* Two copies in, two launches, two copies out: with three queues the middle pairs run at the same time. */
static void
test_fake_queues_overlap(void **state) {
    (void)state;
    bench b;
    open_bench(&b, (skua__fake_options){
                       .clock = SKUA__FAKE_VIRTUAL, .copy_ns = 1034000, .launch_ns = 10000});
    float x[ITEMS] = {0};
    int64_t begin_ns = skua__fake_now_ns(b.fake);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(b.driver->write(b.dev, SKUA__DEV_IN, b.x, 0, x, sizeof x, NULL, NULL), 0);
        assert_int_equal(launch(&b, 1, &b.e[i]), 0);
    }
    while (skua__fake_step(b.fake)) {
    }
    assert_int_equal(skua__fake_now_ns(b.fake) - begin_ns, 4 * 1034000);
    close_bench(&b, 0);
}

static void
test_fake_passes_scratch_values_and_true_sizes(void **state) {
    (void)state;
    bench b;
    open_bench(&b, (skua__fake_options){.clock = SKUA__FAKE_INLINE});
    skua__dev_kernel *kernel = build(&b, "tally", "kernel void tally() {}");
    uint64_t sizes[] = {100, 3, 1}, whole = 200, sum = 0;
    const skua__dev_arg args[] = {
        {.kind = SKUA__DEV_ARG_MEM, .mem = b.x},
        {.kind = SKUA__DEV_ARG_LOCAL, .bytes = 8},
        {.kind = SKUA__DEV_ARG_VALUE, .value = &sizes[0], .bytes = 8},
        {.kind = SKUA__DEV_ARG_VALUE, .value = &sizes[1], .bytes = 8},
        {.kind = SKUA__DEV_ARG_VALUE, .value = &sizes[2], .bytes = 8},
        {.kind = SKUA__DEV_ARG_VALUE, .value = &whole, .bytes = 8},
    };
    const skua__dev_range range = {.dims = 2, .global = {128, 4, 1}, .local = {64, 1, 1}};
    assert_int_equal(b.driver->launch(b.dev, kernel, args, 6, &range, &b.e[0].command, NULL), 0);
    assert_int_equal(b.driver->read(b.dev, SKUA__DEV_OUT, b.x, 0, &sum, 8, &b.e[1].command, NULL),
                     0);
    assert_int_equal(b.e[1].status, 0);
    assert_int_equal(sum, 300 + 1000 * whole); /* of the part, and of the whole */
    sizes[0] = 0;                              /* the function fails, and so does the launch */
    assert_int_equal(b.driver->launch(b.dev, kernel, args, 6, &range, &b.e[2].command, NULL), 0);
    assert_int_equal(b.e[2].status, SKUA_E_DEVICE_FAILED);
    b.driver->kernel_free(b.dev, kernel);
    close_bench(&b, 0);
}

static void
test_fake_builds_fail_and_binaries_fit_only_their_source(void **state) {
    (void)state;
    bench b;
    open_bench(&b, (skua__fake_options){.clock = SKUA__FAKE_INLINE});
    skua__dev_kernel *kernel;
    bool from_binary;
    char log[64];
    skua__dev_source source = {.text = "#error no", .entry = "saxpy"};
    assert_int_equal(
        b.driver->kernel_new(b.dev, &source, &kernel, &from_binary, log, sizeof log, NULL),
        SKUA_E_KERNEL_BUILD);
    assert_non_null(strstr(log, "error"));
    source.text = "kernel void saxpy() {}";
    source.entry = "other";
    assert_int_equal(
        b.driver->kernel_new(b.dev, &source, &kernel, &from_binary, log, sizeof log, NULL),
        SKUA_E_KERNEL_BUILD);
    skua__fake_set_faults(b.fake, &(skua__fake_faults){.builds = 1});
    source.entry = "saxpy";
    assert_int_equal(
        b.driver->kernel_new(b.dev, &source, &kernel, &from_binary, log, sizeof log, NULL),
        SKUA_E_KERNEL_BUILD);
    void *binary = NULL;
    size_t bytes = 0;
    assert_int_equal(b.driver->kernel_binary(b.dev, b.kernel, &binary, &bytes, NULL), 0);
    source.binary = binary;
    source.binary_bytes = bytes;
    assert_int_equal(
        b.driver->kernel_new(b.dev, &source, &kernel, &from_binary, log, sizeof log, NULL), 0);
    assert_true(from_binary);
    b.driver->kernel_free(b.dev, kernel);
    source.text = "kernel void saxpy() { }"; /* another source: the binary is foreign */
    assert_int_equal(
        b.driver->kernel_new(b.dev, &source, &kernel, &from_binary, log, sizeof log, NULL), 0);
    assert_false(from_binary);
    b.driver->kernel_free(b.dev, kernel);
    skua__mem_free(NULL, binary);
    skua__fake_set_faults(b.fake, &(skua__fake_faults){.no_binaries = true});
    assert_int_equal(b.driver->kernel_binary(b.dev, b.kernel, &binary, &bytes, NULL),
                     SKUA_E_UNSUPPORTED);
    close_bench(&b, 0);
}

/* It says 1 MiB and has 10,000 bytes: at once, or only when a command needs them. */
static void
test_fake_memory_lies_early_or_late(void **state) {
    (void)state;
    for (int lazy = 0; lazy < 2; lazy++) {
        bench b;
        open_bench(&b, (skua__fake_options){
                           .clock = SKUA__FAKE_INLINE, .memory_bytes = 10000, .lazy_memory = lazy});
        skua__dev_mem *more = NULL;
        float x[ITEMS] = {0};
        assert_int_equal(b.driver->write(b.dev, SKUA__DEV_IN, b.x, 0, x, 8, NULL, NULL), 0);
        assert_int_equal(b.driver->write(b.dev, SKUA__DEV_IN, b.y, 0, x, 8, NULL, NULL), 0);
        skua_status status =
            b.driver->mem_new(b.dev, SKUA__DEV_MEM_DEVICE, 4096, NULL, &more, NULL);
        assert_int_equal(status, lazy ? 0 : SKUA_E_DEVICE_MEMORY);
        if (lazy) {
            assert_int_equal(
                b.driver->write(b.dev, SKUA__DEV_IN, more, 0, x, 8, &b.e[0].command, NULL), 0);
            assert_int_equal(b.e[0].status, SKUA_E_DEVICE_MEMORY);
            b.driver->mem_free(b.dev, b.x);
            assert_int_equal(
                b.driver->write(b.dev, SKUA__DEV_IN, more, 0, x, 8, &b.e[1].command, NULL), 0);
            assert_int_equal(b.e[1].status, 0);
        }
        assert_in_range(skua__fake_counts(b.fake).memory_peak_bytes, 8192, 10000);
        close_bench(&b, 0);
    }
}

static void
test_fake_fails_as_it_is_told(void **state) {
    (void)state;
    bench b;
    open_bench(&b, (skua__fake_options){.clock = SKUA__FAKE_VIRTUAL});
    skua__fake_set_faults(
        b.fake,
        &(skua__fake_faults){.submit_at = 1, .memory_at = 2, .memory_times = 1, .hang_at = 4});
    assert_int_equal(launch(&b, 1, &b.e[0]), SKUA_E_DEVICE_FAILED);
    for (int i = 1; i <= 4; i++) {
        assert_int_equal(launch(&b, 1, &b.e[i]), 0);
    }
    while (skua__fake_step(b.fake)) {
    }
    assert_int_equal(b.e[0].order, 0);
    assert_int_equal(b.e[1].status, SKUA_E_DEVICE_MEMORY);
    assert_int_equal(b.e[2].status, SKUA_E_DEVICE_MEMORY);
    assert_int_equal(b.ends, 2); /* the third hangs, and the fourth behind it */
    skua__fake_unhang(b.fake);
    while (skua__fake_step(b.fake)) {
    }
    assert_int_equal(b.ends, 4);
    assert_int_equal(b.e[4].status, 0);
    skua__fake_set_faults(b.fake, &(skua__fake_faults){.loss_at = 1});
    assert_int_equal(launch(&b, 1, &b.e[5]), 0);
    assert_int_equal(launch(&b, 1, &b.e[6]), 0);
    while (skua__fake_step(b.fake)) {
    }
    assert_int_equal(b.e[5].status, SKUA_E_DEVICE_FAILED);
    assert_int_equal(b.e[6].status, SKUA_E_DEVICE_FAILED);
    assert_int_equal(launch(&b, 1, &b.e[7]), SKUA_E_DEVICE_FAILED);
    b.driver->close(b.dev, true);
    skua__fake_set_faults(b.fake, &(skua__fake_faults){.absent = true});
    skua_device_info info = skua__fake_info(1000);
    assert_int_equal(b.driver->open(b.fake, &info, 0, NULL, &b.dev, NULL), SKUA_E_NOT_FOUND);
    skua__fake_set_faults(b.fake, &(skua__fake_faults){0});
    open_device(&b, 1000); /* opened again, it is as new */
    assert_int_equal(launch(&b, 1, &b.e[7]), 0);
    assert_true(skua__fake_step(b.fake));
    assert_int_equal(b.e[7].status, 0);
    close_bench(&b, 0);
}

static void
test_fake_abandoned_commands_end_failed(void **state) {
    (void)state;
    for (int clock = SKUA__FAKE_REAL; clock <= SKUA__FAKE_VIRTUAL; clock++) {
        bench b;
        open_bench(&b, (skua__fake_options){.clock = (skua__fake_clock)clock});
        skua__fake_set_faults(b.fake, &(skua__fake_faults){.hang_at = 1});
        assert_int_equal(launch(&b, 1, &b.e[0]), 0);
        assert_int_equal(launch(&b, 1, &b.e[1]), 0);
        b.driver->close(b.dev, true);
        assert_int_equal(b.e[0].status, SKUA_E_DEVICE_FAILED);
        assert_int_equal(b.e[1].status, SKUA_E_DEVICE_FAILED);
        assert_int_equal(skua__fake_counts(b.fake).memories, 0);
        skua__fake_free(b.fake);
    }
}

static void *
free_elsewhere(void *arg) {
    bench *b = arg;
    b->driver->mem_free(b->dev, b->x);
    return NULL;
}

static void
done_that_calls(skua__dev_command *command, skua_status status) {
    (void)status;
    bench *b = command->driver[0];
    b->driver->flush(b->dev, SKUA__DEV_IN);
}

static void
test_fake_notices_misuse(void **state) {
    (void)state;
    bench b;
    open_bench(&b, (skua__fake_options){.clock = SKUA__FAKE_VIRTUAL});
    assert_int_equal(launch(&b, 1, &b.e[0]), 0);
    b.driver->mem_free(b.dev, b.y); /* in use */
    b.driver->kernel_free(b.dev, b.kernel);
    skua__dev_mem *part;
    assert_int_equal(b.driver->mem_part(b.dev, b.x, 128, 256, &part, NULL), 0);
    assert_int_equal(b.driver->mem_part(b.dev, b.x, 100, 256, &part, NULL), SKUA_E_BAD_ARGUMENT);
    assert_true(skua__fake_step(b.fake));
    b.driver->mem_free(b.dev, b.x); /* before its part */
    b.driver->mem_free(b.dev, part);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_elsewhere, &b), 0);
    pthread_join(thread, NULL); /* on another thread: noticed, and done */
    skua__dev_command command = {.done = done_that_calls, .driver = {&b}};
    float x[4] = {0};
    assert_int_equal(b.driver->write(b.dev, SKUA__DEV_IN, b.y, 0, x, 16, &command, NULL), 0);
    assert_true(skua__fake_step(b.fake));
    const skua__dev_range odd = {.dims = 1, .global = {100, 1, 1}, .local = {64, 1, 1}};
    assert_int_equal(b.driver->launch(b.dev, b.kernel, NULL, 0, &odd, NULL, NULL),
                     SKUA_E_BAD_ARGUMENT);
    assert_int_equal(b.driver->write(b.dev, SKUA__DEV_IN, b.y, ITEMS * 4 - 8, x, 16, NULL, NULL),
                     SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(skua__fake_counts(b.fake).misuse, "memory in use"));
    close_bench(&b, 5);
}

static void
test_fake_shared_memory_belongs_to_one_side(void **state) {
    (void)state;
    bench b;
    open_bench(&b, (skua__fake_options){.clock = SKUA__FAKE_INLINE});
    float host[ITEMS] = {0};
    skua__dev_mem *x = b.x;
    assert_int_equal(b.driver->mem_new(b.dev, SKUA__DEV_MEM_SHARED, sizeof host, host, &b.x, NULL),
                     0);
    assert_null(b.driver->mem_host(b.dev, b.x));
    assert_int_equal(launch(&b, 1, &b.e[0]), 0);
    assert_int_equal(b.driver->acquire(b.dev, SKUA__DEV_OUT, b.x, &b.e[1].command, NULL), 0);
    assert_int_equal(launch(&b, 1, &b.e[2]), 0); /* the host has it */
    assert_int_equal(b.driver->release(b.dev, SKUA__DEV_IN, b.x, &b.e[3].command, NULL), 0);
    assert_int_equal(b.driver->release(b.dev, SKUA__DEV_IN, b.x, &b.e[4].command, NULL), 0);
    assert_int_equal(b.ends, 5);
    assert_int_equal(b.driver->acquire(b.dev, SKUA__DEV_OUT, x, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    close_bench(&b, 2);
}

static void
test_fake_real_clock_ends_commands_on_its_thread(void **state) {
    (void)state;
    bench b;
    open_bench(&b, (skua__fake_options){.clock = SKUA__FAKE_REAL, .launch_ns = 1000});
    float y[ITEMS];
    enum { ROUNDS = 2000 };
    ended *e = calloc(ROUNDS, sizeof *e);
    for (int i = 0; i < ROUNDS; i++) {
        e[i] = (ended){.command.done = on_done, .next = &b.ends};
        assert_int_equal(launch(&b, 1, &e[i]), 0);
    }
    assert_int_equal(
        b.driver->read(b.dev, SKUA__DEV_COMPUTE, b.y, 0, y, sizeof y, &b.e[0].command, NULL), 0);
    b.driver->close(b.dev, false); /* waits for all of them */
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(e[i].order, i + 1);
        assert_int_equal(e[i].status, 0);
    }
    assert_int_equal(b.e[0].order, ROUNDS + 1);
    free(e);
    assert_int_equal(skua__fake_counts(b.fake).launches, ROUNDS);
    skua__fake_free(b.fake);
}

static skua_status
short_life(bench *b, const skua_allocator *hook) {
    skua_device_info info = skua__fake_info(1 << 20);
    skua_status status = b->driver->open(b->fake, &info, 0, hook, &b->dev, NULL);
    if (status) {
        return status;
    }
    bool from_binary;
    float x[4] = {0};
    status = b->driver->mem_new(b->dev, SKUA__DEV_MEM_DEVICE, 4096, NULL, &b->x, NULL);
    status =
        status ? status : b->driver->mem_new(b->dev, SKUA__DEV_MEM_PINNED, 4096, NULL, &b->y, NULL);
    status = status
                 ? status
                 : b->driver->kernel_new(b->dev, &(skua__dev_source){.text = "", .entry = "saxpy"},
                                         &b->kernel, &from_binary, NULL, 0, NULL);
    status =
        status ? status : b->driver->write(b->dev, SKUA__DEV_IN, b->x, 0, x, sizeof x, NULL, NULL);
    status = status ? status : launch(b, 1, &b->e[0]);
    b->driver->close(b->dev, false);
    return status;
}

static void
test_fake_survives_without_memory(void **state) {
    (void)state;
    for (long n = 1;; n++) {
        failing_allocator a;
        failing_allocator_init(&a, n);
        bench b = {.driver = skua__fake_driver()};
        b.e[0] = (ended){.command.done = on_done, .next = &b.ends};
        b.fake = skua__fake_new(&(skua__fake_options){
            .clock = SKUA__FAKE_INLINE, .entries = entries, .entry_count = 2});
        skua_status status = short_life(&b, &a.hook);
        assert_int_equal(a.alive, 0);
        assert_int_equal(skua__fake_counts(b.fake).misuses, 0);
        skua__fake_free(b.fake);
        if (status == 0) {
            assert_true(n > 7);
            break;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fake_computes_in_order_and_takes_effect_at_the_end),
        cmocka_unit_test(test_fake_queues_overlap),
        cmocka_unit_test(test_fake_passes_scratch_values_and_true_sizes),
        cmocka_unit_test(test_fake_builds_fail_and_binaries_fit_only_their_source),
        cmocka_unit_test(test_fake_memory_lies_early_or_late),
        cmocka_unit_test(test_fake_fails_as_it_is_told),
        cmocka_unit_test(test_fake_abandoned_commands_end_failed),
        cmocka_unit_test(test_fake_notices_misuse),
        cmocka_unit_test(test_fake_shared_memory_belongs_to_one_side),
        cmocka_unit_test(test_fake_real_clock_ends_commands_on_its_thread),
        cmocka_unit_test(test_fake_survives_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
