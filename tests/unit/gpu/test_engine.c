// SPDX-License-Identifier: MPL-2.0
// The engine on a fake device: memory that runs out, devices that hang and are lost, launches
// that are cancelled or never start, and constructors without memory.
#include "engine_fixture.h"

#include "failing_allocator.h"

static void
test_engine_sizes_small_and_large(void **state) {
    (void)state;
    skua__kernel *kernel = saxpy_kernel();
    skua__fake *fake = make_fake(SKUA__FAKE_REAL, 0);
    skua__engine *engine = open_engine(fake, 1u << 30, SKUA_UNLIMITED);
    for (size_t n = 1; n < 3000000; n = n * 7 + 3) {
        saxpy_check(engine, NULL, kernel, n, 1);
    }
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    assert_int_equal(counters.builds, 1);
    assert_int_equal(counters.failures, 0);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

static void
test_engine_a_launch_without_memory_goes_once_more(void **state) {
    (void)state;
    skua__kernel *kernel = fill_kernel();
    skua__fake *fake = make_filling_fake(0);
    skua__engine *engine = open_engine(fake, 1u << 30, SKUA_UNLIMITED);
    static int y[1000];
    skua__fake_set_faults(fake, &(skua__fake_faults){.memory_at = 1, .memory_times = 0});
    assert_int_equal(fill_run(engine, kernel, y, 1000, NULL), SKUA_OK);
    assert_int_equal(y[999], 999);
    /* For good, it is told; and the next one is none the worse. */
    skua__fake_set_faults(fake, &(skua__fake_faults){.memory_at = 1, .memory_times = 5});
    skua_error err = {0};
    assert_int_equal(fill_run(engine, kernel, y, 1000, &err), SKUA_E_DEVICE_MEMORY);
    skua__fake_set_faults(fake, &(skua__fake_faults){0});
    assert_int_equal(fill_run(engine, kernel, y, 1000, &err), SKUA_OK);
    /* More than there is, ever. */
    static int large[1 << 20];
    skua__engine *small = open_engine(fake, 1u << 20, SKUA_UNLIMITED);
    assert_int_equal(fill_run(small, kernel, large, 1 << 20, &err), SKUA_E_DEVICE_MEMORY);
    skua__engine_close(small);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

static void
test_engine_a_lost_device_is_opened_again(void **state) {
    (void)state;
    skua__kernel *kernel = saxpy_kernel();
    skua__fake *fake = make_fake(SKUA__FAKE_REAL, 0);
    skua__engine *engine = open_engine(fake, 1u << 30, SKUA_UNLIMITED);
    saxpy_check(engine, NULL, kernel, 100, 0);
    float x = 1, y = 1;
    skua_error err = {0};
    skua__fake_set_faults(fake, &(skua__fake_faults){.loss_at = 1});
    assert_int_equal(saxpy_run(engine, NULL, kernel, &y, &x, 1, 1, &err), SKUA_E_DEVICE_FAILED);
    skua__fake_set_faults(fake, &(skua__fake_faults){0});
    saxpy_check(engine, NULL, kernel, 100, 0);
    skua__fake_set_faults(fake, &(skua__fake_faults){.submit_at = 1});
    assert_int_equal(saxpy_run(engine, NULL, kernel, &y, &x, 1, 1, &err), SKUA_E_DEVICE_FAILED);
    skua__fake_set_faults(fake, &(skua__fake_faults){0});
    saxpy_check(engine, NULL, kernel, 100, 0);
    assert_int_equal(skua__fake_counts(fake).opens, 3);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

/* Each adds 1 to a number of its own. */
static void
submit_small(skua__engine *engine, const skua__kernel *kernel, cl_waiter *waiter, float *y,
             skua__launch **ret_launches, int count) {
    static float one = 1;
    for (int i = 0; i < count; i++) {
        skua_kernel_arg args[] = {{.data = &y[i], .bytes = sizeof y[i]},
                                  {.data = &one, .bytes = sizeof one},
                                  {.value = &one, .bytes = sizeof one}};
        ret_launches[i] = cl_waiter_launch(
            waiter, kernel,
            SKUA_LAUNCH(.kernel = "saxpy", .global = {1}, .args = args, .arg_count = 3));
        assert_int_equal(skua__engine_submit(engine, ret_launches[i], NULL), SKUA_OK);
    }
}

static void
test_engine_a_launch_that_hangs_ends_and_so_do_those_behind_it(void **state) {
    (void)state;
    skua__kernel *kernel = saxpy_kernel();
    skua__fake *fake = make_fake(SKUA__FAKE_REAL, 0);
    /* So long that no busy machine makes another launch late. */
    skua__engine *engine = open_engine(fake, 1u << 30, 3000);
    skua__fake_set_faults(fake, &(skua__fake_faults){.hang_at = 1});
    enum { COUNT = 5 };
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    float y[COUNT] = {0};
    skua__launch *launches[COUNT];
    submit_small(engine, kernel, &waiter, y, launches, COUNT);
    assert_int_equal(cl_waiter_wait(&waiter, COUNT), SKUA_E_DEVICE_FAILED);
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    assert_int_equal(counters.hangs, 1);
    skua__fake_set_faults(fake, &(skua__fake_faults){0});
    saxpy_check(engine, NULL, kernel, 100, 0);
    for (int i = 0; i < COUNT; i++) {
        skua__launch_free(launches[i]);
    }
    cl_waiter_fini(&waiter);
    skua__fake_unhang(fake);
    skua__engine_close(engine);
    skua__fake_free(fake);
    skua__kernel_free(kernel);
}

static void
test_engine_close_and_cancel_end_what_waits(void **state) {
    (void)state;
    skua__kernel *kernel = saxpy_kernel();
    skua__fake *fake = make_fake(SKUA__FAKE_VIRTUAL, 0); /* nothing ends until the clock is moved */
    skua__engine *engine = open_engine(fake, 1u << 30, SKUA_UNLIMITED);
    enum { COUNT = 100 }; /* more than the device is given at a time */
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    float y[COUNT] = {0};
    skua__launch *launches[COUNT];
    submit_small(engine, kernel, &waiter, y, launches, COUNT);
    skua__engine_cancel(engine, launches[COUNT - 1]); /* it waits behind 99 others */
    int64_t deadline_ns = skua__deadline_ns(CL_FIXTURE_DEADLINE_MS);
    for (bool over = false; !over;) {
        skua__fake_step(fake);
        skua__mutex_lock(&waiter.lock);
        over = waiter.ended == COUNT;
        skua__mutex_unlock(&waiter.lock);
        assert_true(skua__clock_ns() < deadline_ns);
    }
    assert_int_equal(cl_waiter_wait(&waiter, COUNT), SKUA_E_CANCELLED);
    assert_true(y[COUNT - 1] == 0);
    for (int i = 0; i < COUNT; i++) {
        assert_true(i == COUNT - 1 || y[i] == 1);
        skua__launch_free(launches[i]);
    }
    cl_waiter_fini(&waiter);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

/* A device takes 64 small launches at a time: those behind them are the engine's, and leave it though the first one hangs. */
static void
test_engine_cancels_what_waits_behind_a_hang(void **state) {
    (void)state;
    enum { COUNT = 200, TAKEN = 64 };
    skua__kernel *kernel = saxpy_kernel();
    skua__fake *fake = make_fake(SKUA__FAKE_REAL, 0);
    skua__engine *engine = open_engine(fake, 1u << 30, SKUA_UNLIMITED);
    skua__fake_set_faults(fake, &(skua__fake_faults){.hang_at = 1});
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    float y[COUNT] = {0};
    skua__launch *launches[COUNT];
    int64_t deadline_ns = skua__deadline_ns(CL_FIXTURE_DEADLINE_MS);
    submit_small(engine, kernel, &waiter, y, launches, COUNT);
    while (!skua__engine_is_settled(engine)) {
        sched_yield();
        assert_true(skua__clock_ns() < deadline_ns);
    }
    for (int i = 0; i < COUNT; i++) {
        skua__engine_cancel(engine, launches[i]); /* of those that the device has, too late */
    }
    assert_int_equal(cl_waiter_wait(&waiter, COUNT - TAKEN), SKUA_E_CANCELLED);
    assert_int_equal(skua__fake_counts(fake).launches, 0);
    assert_int_equal(skua__engine_under_way(engine), TAKEN);
    skua__fake_unhang(fake);
    (void)cl_waiter_wait(&waiter, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_true(y[i] == (i < TAKEN ? 1 : 0));
        skua__launch_free(launches[i]);
    }
    cl_waiter_fini(&waiter);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

static void
test_engine_constructors_without_memory(void **state) {
    (void)state;
    failing_allocator allocator;
    skua_kernel_spec spec = {.size = sizeof spec,
                             .source = saxpy_source,
                             .params = saxpy_params,
                             .param_count = 3,
                             .guarded = 1,
                             .fn = saxpy_fn};
    skua_device_info info = skua__fake_info(1 << 30);
    for (long n = 1;; n++) {
        failing_allocator_init(&allocator, n);
        skua__fake *fake = make_fake(SKUA__FAKE_INLINE, 0);
        skua__engine_options options = {.hook = &allocator.hook,
                                        .driver = skua__fake_driver(),
                                        .driver_ctx = fake,
                                        .info = &info,
                                        .cache_dir = "/nonexistent/skua"};
        skua__kernel *kernel = NULL;
        skua__engine *engine = NULL;
        float x = 1, y = 1;
        skua_status status = skua__kernel_new(&allocator.hook, "saxpy", &spec, &kernel, NULL);
        status = status ? status : skua__engine_open(&engine, &options, NULL);
        status = status ? status : saxpy_run(engine, NULL, kernel, &y, &x, 1, 1, NULL);
        skua__engine_close(engine);
        skua__kernel_free(kernel);
        skua__fake_free(fake);
        assert_int_equal(atomic_load(&allocator.alive), 0);
        if (status == SKUA_OK) {
            assert_true(n > 5);
            return;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
    }
}

static void
test_engine_parts_of_a_launch(void **state) {
    (void)state;
    static const size_t ends[] = {1, 256, 1000, 1001, 200000};
    skua__fake *fake = make_fake(SKUA__FAKE_REAL, 0);
    skua__engine *engine = open_engine(fake, 1 << 30, 0);
    skua__kernel *kernel = saxpy_kernel();
    saxpy_check_parts(engine, NULL, kernel, 200000, ends, 5);
    /* Only the slices were moved: x and y in, y out. */
    assert_int_equal(skua__fake_counts(fake).copied_bytes, 3 * 200000 * sizeof(float));
    close_both(engine, fake);
    skua__kernel_free(kernel);
    /* And each part knows the whole. */
    static const skua__fake_entry entry = {.name = "place", .fn = place_fn, .guarded = true};
    fake = skua__fake_new(&(skua__fake_options){.entries = &entry, .entry_count = 1});
    engine = open_engine(fake, 1 << 30, 0);
    kernel = place_kernel();
    place_check_parts(engine, NULL, kernel, false);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

static void
test_engine_groups_fit(void **state) {
    (void)state;
    for (uint64_t max_group = 1; max_group <= 1024; max_group *= 4) {
        for (uint32_t dims = 1; dims <= 3; dims++) {
            for (uint64_t size = 1; size < 5000; size = size * 3 + 1) {
                const uint64_t global[3] = {size, dims > 1 ? size + 1 : 1, dims > 2 ? 7 : 1};
                const uint64_t wanted[3] = {size % 2 ? 64 : 0, 0, 0};
                for (int padded = 0; padded < 2; padded++) {
                    skua__dev_range range;
                    skua__range_fit(dims, global, wanted, max_group, padded, &range);
                    uint64_t group = 1;
                    for (uint32_t i = 0; i < 3; i++) {
                        group *= range.local[i];
                        assert_int_equal(range.global[i] % range.local[i], 0);
                        assert_true(range.global[i] >= global[i]);
                        assert_true(padded || range.global[i] == global[i]);
                        assert_true(range.global[i] - global[i] < range.local[i]);
                    }
                    assert_true(group <= max_group);
                }
            }
        }
    }
}

enum { NOTE_BYTES = 160 };

/* A driver that has no device, and notes which one was asked for. */
static skua_status
open_none(void *ctx, const skua_device_info *info, uint32_t ordinal, const skua_allocator *hook,
          skua__dev **ret_dev, skua_error *err) {
    (void)hook, (void)ret_dev, (void)err;
    snprintf(ctx, NOTE_BYTES, "%s %u", info->name, ordinal);
    return SKUA_E_NOT_FOUND;
}

static void
test_engine_equal_devices_are_told_apart_by_their_order(void **state) {
    (void)state;
    static const char *const names[] = {"twin", "other", "twin", "twin"};
    static const char *const asked[] = {"twin 0", "other 0", "twin 1", "twin 2"};
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1);
    skua__device_driver driver = *skua__fake_driver();
    driver.open = open_none;
    skua_devices *devices = NULL;
    char note[NOTE_BYTES] = "";
    assert_int_equal(skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cache_dir = ""), NULL),
                     SKUA_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        skua_device_info info = skua__fake_info(1u << 30);
        snprintf(info.name, sizeof info.name, "%s", names[i]);
        assert_int_equal(skua__devices_add(devices, &driver, note, &info), SKUA_OK);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        skua__engine *engine = NULL;
        assert_int_equal(skua__devices_engine(devices, i, &engine, NULL), SKUA_E_NOT_FOUND);
        assert_string_equal(note, asked[i]);
    }
    skua_devices_close(devices);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_sizes_small_and_large),
        cmocka_unit_test(test_engine_a_launch_without_memory_goes_once_more),
        cmocka_unit_test(test_engine_a_lost_device_is_opened_again),
        cmocka_unit_test(test_engine_a_launch_that_hangs_ends_and_so_do_those_behind_it),
        cmocka_unit_test(test_engine_close_and_cancel_end_what_waits),
        cmocka_unit_test(test_engine_cancels_what_waits_behind_a_hang),
        cmocka_unit_test(test_engine_constructors_without_memory),
        cmocka_unit_test(test_engine_parts_of_a_launch),
        cmocka_unit_test(test_engine_groups_fit),
        cmocka_unit_test(test_engine_equal_devices_are_told_apart_by_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
