// SPDX-License-Identifier: MPL-2.0
// What an engine does with a device that has less memory than it says, fails, hangs, goes away and comes back. The device
// is the fake one; nothing here depends on how long anything takes.
#include "engine_fixture.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

/* Several fills at a time, each of its own memory, of three sizes in turn. */
typedef struct flood {
    cl_waiter waiter;
    skua__launch **launches;
    int **memory;
    uint32_t count;
    size_t *items;
    uint32_t ok, no_memory, failed, held;
    skua__mutex lock; /* guards the four counts */
} flood;

static void
flood_done(skua__launch *launch, skua_status status) {
    flood *self = launch->done_arg;
    skua__mutex_lock(&self->lock);
    self->ok += status == SKUA_OK;
    self->no_memory += status == SKUA_E_DEVICE_MEMORY;
    self->failed += status == SKUA_E_DEVICE_FAILED;
    self->held += launch->held;
    skua__mutex_unlock(&self->lock);
    launch->done_arg = &self->waiter;
    cl_waiter_done(launch, status);
}

static void
flood_start(flood *self, skua__engine *engine, const skua__kernel *kernel, uint32_t count,
            const size_t bytes[3]) {
    memset(self, 0, sizeof *self);
    cl_waiter_init(&self->waiter);
    skua__mutex_init(&self->lock);
    self->count = count;
    self->launches = calloc(count, sizeof *self->launches);
    self->memory = calloc(count, sizeof *self->memory);
    self->items = calloc(count, sizeof *self->items);
    for (uint32_t i = 0; i < count; i++) {
        self->items[i] = bytes[i % 3] / sizeof(int);
        self->memory[i] = calloc(1, bytes[i % 3]);
        skua_kernel_arg args[] = {{.data = self->memory[i], .bytes = bytes[i % 3]}};
        assert_int_equal(skua__launch_new(NULL, kernel,
                                          SKUA_LAUNCH(.kernel = "saxpy", .global = {self->items[i]},
                                                      .args = args, .arg_count = 1),
                                          &self->launches[i], NULL),
                         SKUA_OK);
        self->launches[i]->done = flood_done;
        self->launches[i]->done_arg = self;
        /* The device may have failed already. */
        skua_status status = skua__engine_submit(engine, self->launches[i], NULL);
        if (status) {
            flood_done(self->launches[i], status);
        }
    }
}

/* Waits for all; those that ended well hold what they should, to the last item. */
static void
flood_end(flood *self) {
    (void)cl_waiter_wait(&self->waiter, self->count);
    uint32_t filled = 0;
    for (uint32_t i = 0; i < self->count; i++) {
        filled += self->memory[i][self->items[i] - 1] == (int)(self->items[i] - 1);
        skua__launch_free(self->launches[i]);
        free(self->memory[i]);
    }
    assert_true(filled >= self->ok);
    assert_int_equal(self->ok + self->no_memory + self->failed, self->count);
    free(self->launches);
    free(self->memory);
    free(self->items);
    skua__mutex_fini(&self->lock);
    cl_waiter_fini(&self->waiter);
}

static skua__fake *
make_liar(uint64_t memory_bytes, bool lazy) {
    static const skua__fake_entry fill[] = {{.name = "saxpy", .fn = fill_fn, .guarded = true}};
    return skua__fake_new(&(skua__fake_options){.entries = fill,
                                                .entry_count = 1,
                                                .clock = SKUA__FAKE_REAL,
                                                .memory_bytes = memory_bytes,
                                                .lazy_memory = lazy});
}

/*
 * It says that it has 1 GiB and has 8.5 MiB: launches of 2 and 3 MiB fit at a time, but not one of 4 beside them, nor
 * beside what they have left behind.
 */
static void
test_health_a_device_that_lies_about_memory_does_all_that_fits(void **state) {
    (void)state;
    skua__kernel *kernel = fill_kernel();
    for (int lazy = 0; lazy < 2; lazy++) {
        skua__fake *fake = make_liar(8 * MIB + 512 * KIB, lazy);
        skua__engine *engine = open_engine(fake, 1u << 30, SKUA_UNLIMITED);
        flood many;
        flood_start(&many, engine, kernel, 40, (size_t[]){2 * MIB, 3 * MIB, 4 * MIB});
        flood_end(&many);
        assert_int_equal(many.ok, 40);
        skua__engine_counters counters;
        skua__engine_counters_get(engine, &counters);
        assert_true(counters.evictions > 0);
        assert_int_equal(counters.quarantines, 0);
        close_both(engine, fake);
    }
    skua__kernel_free(kernel);
}

/* Alone on the device it finds no room either: it ends for want of memory, the others do not, and a small one works. */
static void
test_health_a_launch_that_never_fits_is_refused_and_leaves_the_device_well(void **state) {
    (void)state;
    skua__kernel *kernel = fill_kernel();
    for (int lazy = 0; lazy < 2; lazy++) {
        skua__fake *fake = make_liar(6 * MIB, lazy);
        skua__engine *engine = open_engine(fake, 1u << 30, SKUA_UNLIMITED);
        flood large, small;
        flood_start(&large, engine, kernel, 1, (size_t[]){16 * MIB, 16 * MIB, 16 * MIB});
        flood_end(&large);
        assert_int_equal(large.no_memory, 1);
        skua__engine_counters counters;
        skua__engine_counters_get(engine, &counters);
        assert_int_equal(counters.evictions, 1);
        assert_int_equal(counters.quarantines, 1);
        /* Whether the device is asked again depends on how much time has passed; what comes of it does not. */
        flood_start(&large, engine, kernel, 1, (size_t[]){16 * MIB, 16 * MIB, 16 * MIB});
        flood_end(&large);
        assert_int_equal(large.no_memory, 1);
        flood_start(&small, engine, kernel, 20, (size_t[]){2 * MIB, 2 * MIB, 2 * MIB});
        flood_end(&small);
        assert_int_equal(small.ok, 20);
        close_both(engine, fake);
    }
    skua__kernel_free(kernel);
}

/* An honest device of 16 MiB is never asked for more than what the reserve leaves of it, and never has to refuse. */
static void
test_health_admission_keeps_to_the_reserve(void **state) {
    (void)state;
    skua__kernel *kernel = fill_kernel();
    skua__fake *fake = make_liar(0, false);
    skua_device_info info = skua__fake_info(16 * MIB);
    skua__engine_options options = {.driver = skua__fake_driver(),
                                    .driver_ctx = fake,
                                    .info = &info,
                                    .depth = 16,
                                    .hang_ms = SKUA_UNLIMITED,
                                    .reserve_bytes = 6 * MIB};
    skua__engine *engine = NULL;
    assert_int_equal(skua__engine_open(&engine, &options, NULL), SKUA_OK);
    flood many, more, small, never;
    flood_start(&many, engine, kernel, 30, (size_t[]){3 * MIB, 3 * MIB, 3 * MIB});
    flood_start(&more, engine, kernel, 30, (size_t[]){4 * MIB, 4 * MIB, 4 * MIB});
    flood_start(&small, engine, kernel, 100, (size_t[]){40 * KIB, 40 * KIB, 40 * KIB});
    flood_start(&never, engine, kernel, 2, (size_t[]){11 * MIB, 11 * MIB, 11 * MIB});
    flood_end(&many);
    flood_end(&more);
    flood_end(&small);
    flood_end(&never);
    assert_int_equal(many.ok + more.ok + small.ok, 160);
    assert_int_equal(never.no_memory, 2);
    assert_true(skua__fake_counts(fake).memory_peak_bytes <= 10 * MIB);
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    assert_int_equal(counters.evictions, 0);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

/* In quarantine the engine says so at once, so that the work goes elsewhere; every launch that it had is told. */
static void
test_health_a_device_that_hangs_rests(void **state) {
    (void)state;
    skua__kernel *kernel = fill_kernel();
    skua__fake *fake = make_liar(0, false);
    skua_device_info info = skua__fake_info(1u << 30);
    skua__engine_options options = {.driver = skua__fake_driver(),
                                    .driver_ctx = fake,
                                    .info = &info,
                                    .hang_ms = 2000,
                                    .quarantine_ms = 3600 * 1000};
    skua__engine *engine = NULL;
    assert_int_equal(skua__engine_open(&engine, &options, NULL), SKUA_OK);
    skua__fake_set_faults(fake, &(skua__fake_faults){.hang_at = 3});
    flood many;
    flood_start(&many, engine, kernel, 10, (size_t[]){1 * MIB, 1 * MIB, 1 * MIB});
    flood_end(&many);
    assert_int_equal(many.ok, 2);
    assert_int_equal(many.failed, 8);
    assert_true(many.held >= 1); /* the device may write to the memory of what hangs */
    int y[1];
    skua_error err = {0};
    assert_int_equal(fill_run(engine, kernel, y, 1, &err), SKUA_E_DEVICE_FAILED);
    assert_non_null(strstr(err.message, "does not take"));
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    assert_int_equal(counters.hangs, 1);
    assert_int_equal(counters.quarantines, 1);
    assert_int_equal(skua__fake_counts(fake).opens, 1);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

/* A kernel that is predicted to take long is not late for being so. */
static void
test_health_a_slow_launch_does_not_hang(void **state) {
    (void)state;
    static const skua__fake_entry slow[] = {
        {.name = "saxpy", .fn = fill_fn, .guarded = true, .launch_ps = 1000000000}};
    skua__fake *fake = skua__fake_new(
        &(skua__fake_options){.entries = slow, .entry_count = 1, .clock = SKUA__FAKE_REAL});
    skua__kernel *kernel = fill_kernel();
    skua__engine *engine = open_engine(fake, 1u << 30, 100); /* 256 items take 256 ms */
    int y[1];
    skua_kernel_arg args[] = {{.data = y, .bytes = sizeof y}};
    for (int predicted = 0; predicted < 2; predicted++) {
        skua__fake_set_faults(fake, &(skua__fake_faults){.hang_at = predicted ? 0 : 1});
        cl_waiter waiter;
        cl_waiter_init(&waiter);
        skua__launch *launch = cl_waiter_launch(
            &waiter, kernel,
            SKUA_LAUNCH(.kernel = "saxpy", .global = {1}, .args = args, .arg_count = 1));
        launch->predicted_ns = predicted ? INT64_C(60000000000) : 0;
        assert_int_equal(skua__engine_submit(engine, launch, NULL), SKUA_OK);
        assert_int_equal(cl_waiter_wait(&waiter, 1), predicted ? SKUA_OK : SKUA_E_DEVICE_FAILED);
        cl_waiter_fini(&waiter);
        skua__launch_free(launch);
    }
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

/* It goes away in the middle of a launch, is not found again for a while, and then is. */
static void
test_health_a_device_that_goes_away_comes_back_on_probation(void **state) {
    (void)state;
    skua__kernel *kernel = fill_kernel();
    skua__fake *fake = make_liar(0, false);
    skua_device_info info = skua__fake_info(1u << 30);
    skua__engine_options options = {.driver = skua__fake_driver(),
                                    .driver_ctx = fake,
                                    .info = &info,
                                    .hang_ms = SKUA_UNLIMITED,
                                    .quarantine_ms = 1};
    skua__engine *engine = NULL;
    skua__fake_set_faults(fake, &(skua__fake_faults){.absent = true});
    assert_int_equal(skua__engine_open(&engine, &options, NULL), SKUA_E_NOT_FOUND);
    skua__fake_set_faults(fake, &(skua__fake_faults){0});
    assert_int_equal(skua__engine_open(&engine, &options, NULL), SKUA_OK); /* it appears */
    skua__fake_set_faults(fake, &(skua__fake_faults){.loss_at = 2, .absent = true});
    flood many;
    flood_start(&many, engine, kernel, 6, (size_t[]){1 * MIB, 1 * MIB, 1 * MIB});
    flood_end(&many);
    assert_true(many.ok <= 1 && many.failed >= 5);
    skua__fake_set_faults(fake, &(skua__fake_faults){0});
    int y[1] = {1};
    int64_t deadline_ns = skua__deadline_ns(CL_FIXTURE_DEADLINE_MS);
    while (fill_run(engine, kernel, y, 1, NULL)) { /* refused until it is found */
        assert_true(skua__clock_ns() < deadline_ns);
        sched_yield();
    }
    flood_start(&many, engine, kernel, 20, (size_t[]){1 * MIB, 1 * MIB, 1 * MIB});
    flood_end(&many);
    assert_int_equal(many.ok, 20);
    assert_int_equal(skua__fake_counts(fake).opens, 2);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

/* Scratch memory that no work-group can have is refused before the device is asked, which would rest for that. */
static void
test_health_too_much_scratch_memory_is_no_fault_of_the_device(void **state) {
    (void)state;
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_LOCAL, SKUA_PARAM_LOCAL};
    skua__kernel *kernel = NULL;
    assert_int_equal(skua__kernel_new(NULL, "saxpy",
                                      SKUA_KERNEL_SPEC(.source = "fill", .params = params,
                                                       .param_count = 3, .guarded = 1),
                                      &kernel, NULL),
                     SKUA_OK);
    skua__fake *fake = make_filling_fake(1u << 30);
    skua__engine *engine = open_engine(fake, 1u << 30, SKUA_UNLIMITED);
    size_t most = (size_t)skua__fake_info(1u << 30).local_bytes;
    for (size_t over = 0; over < 2; over++) {
        int y[4];
        skua_error err = {0};
        skua_kernel_arg args[] = {
            {.data = y, .bytes = sizeof y}, {.bytes = most / 2}, {.bytes = most / 2 + over}};
        skua_status status = cl_fixture_run(
            engine, NULL, kernel,
            SKUA_LAUNCH(.kernel = "saxpy", .global = {4}, .args = args, .arg_count = 3), &err);
        assert_int_equal(status, over ? SKUA_E_DEVICE_MEMORY : SKUA_OK);
        assert_true(!over || strstr(err.message, "32769 bytes of scratch memory"));
    }
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    assert_int_equal(counters.evictions + counters.quarantines, 0);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_health_a_device_that_lies_about_memory_does_all_that_fits),
        cmocka_unit_test(
            test_health_a_launch_that_never_fits_is_refused_and_leaves_the_device_well),
        cmocka_unit_test(test_health_admission_keeps_to_the_reserve),
        cmocka_unit_test(test_health_a_device_that_hangs_rests),
        cmocka_unit_test(test_health_a_slow_launch_does_not_hang),
        cmocka_unit_test(test_health_a_device_that_goes_away_comes_back_on_probation),
        cmocka_unit_test(test_health_too_much_scratch_memory_is_no_fault_of_the_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
