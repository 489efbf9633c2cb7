// SPDX-License-Identifier: MPL-2.0
// What only numbers show: copies that overlap kernels, a million launches of one kernel by four threads
// (SKUA_TEST_LAUNCHES of each; few in CI), and a thousand engines opened and closed without leaving anything.
#include "engine_fixture.h"

#include <dirent.h>
#include <malloc.h>
#include <sched.h>
#include <skua/buffer.h>

/* ---- Overlap, on a clock that only the test moves ---- */

enum { OVERLAP_LAUNCHES = 24, OVERLAP_BYTES = 1 << 20 };

/* The virtual time that launches take whose copies out take as long as their kernels, at a depth. */
static int64_t
time_of_launches(uint32_t depth) {
    /* 1 MiB at 1 GiB/s takes as long as 262,144 items at 3,725 ps. */
    static const skua__fake_entry fill[] = {
        {.name = "saxpy", .fn = fill_fn, .guarded = true, .launch_ps = 3725}};
    skua__fake *fake = skua__fake_new(&(skua__fake_options){.entries = fill,
                                                            .entry_count = 1,
                                                            .clock = SKUA__FAKE_VIRTUAL,
                                                            .copy_bytes_per_s = 1 << 30});
    skua_device_info info = skua__fake_info(1u << 30);
    skua__engine_options options = {.driver = skua__fake_driver(),
                                    .driver_ctx = fake,
                                    .info = &info,
                                    .depth = depth,
                                    .hang_ms = SKUA_UNLIMITED};
    skua__engine *engine = NULL;
    assert_int_equal(skua__engine_open(&engine, &options, NULL), SKUA_OK);
    skua__kernel *kernel = fill_kernel();
    int *memory = calloc(OVERLAP_LAUNCHES, OVERLAP_BYTES);
    skua__launch *launches[OVERLAP_LAUNCHES];
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    int64_t start_ns = skua__fake_now_ns(fake);
    for (int i = 0; i < OVERLAP_LAUNCHES; i++) {
        int *y = memory + (size_t)i * OVERLAP_BYTES / sizeof *y;
        skua_kernel_arg args[] = {{.data = y, .bytes = OVERLAP_BYTES}};
        launches[i] =
            cl_waiter_launch(&waiter, kernel,
                             SKUA_LAUNCH(.kernel = "saxpy", .global = {OVERLAP_BYTES / sizeof *y},
                                         .args = args, .arg_count = 1));
        assert_int_equal(skua__engine_submit(engine, launches[i], NULL), SKUA_OK);
    }
    let_time_pass(engine, fake);
    assert_int_equal(cl_waiter_wait(&waiter, OVERLAP_LAUNCHES), SKUA_OK);
    int64_t took_ns = skua__fake_now_ns(fake) - start_ns;
    for (int i = 0; i < OVERLAP_LAUNCHES; i++) {
        skua__launch_free(launches[i]);
    }
    cl_waiter_fini(&waiter);
    free(memory);
    skua__kernel_free(kernel);
    close_both(engine, fake);
    return took_ns;
}

static void
test_engine_copies_overlap_kernels(void **state) {
    (void)state;
    int64_t apart_ns = time_of_launches(1), together_ns = time_of_launches(3);
    print_message("overlap: %.2f (%.1f ms against %.1f ms of virtual time)\n",
                  (double)apart_ns / (double)together_ns, (double)together_ns / 1e6,
                  (double)apart_ns / 1e6);
    assert_true(2 * apart_ns >= 3 * together_ns);
}

/* ---- A million launches ---- */

enum { SHARERS = 4, LAUNCHES_EACH = 5000 };

typedef struct sharer {
    skua__engine *engine;
    const skua__kernel *kernel;
    float factor;
    uint64_t launches, wrong;
} sharer;

static void *
share_kernel(void *arg) {
    sharer *self = arg;
    for (uint64_t round = 0; round < self->launches; round++) {
        float first = (float)(round % 1000);
        float y[3] = {first, 1, 2}, x[3] = {1, 2, 3};
        if (saxpy_run(self->engine, NULL, self->kernel, y, x, self->factor, 3, NULL)) {
            self->wrong++;
        }
        for (int i = 0; i < 3; i++) {
            self->wrong += y[i] != self->factor * x[i] + (i ? (float)i : first);
        }
    }
    return NULL;
}

static void
test_engine_one_kernel_from_many_threads(void **state) {
    (void)state;
    const char *given = getenv("SKUA_TEST_LAUNCHES");
    uint64_t each = given ? strtoull(given, NULL, 10) : LAUNCHES_EACH;
    skua__kernel *kernel = saxpy_kernel();
    skua__fake *fake = make_fake(SKUA__FAKE_INLINE, 0);
    skua__engine *engine = open_engine(fake, 1u << 30, SKUA_UNLIMITED);
    pthread_t threads[SHARERS];
    sharer sharers[SHARERS];
    for (int i = 0; i < SHARERS; i++) {
        sharers[i] = (sharer){
            .engine = engine, .kernel = kernel, .factor = (float)(i + 1), .launches = each};
        assert_int_equal(skua__thread_start(&threads[i], "sharer", share_kernel, &sharers[i], NULL),
                         SKUA_OK);
    }
    for (int i = 0; i < SHARERS; i++) {
        skua__thread_join(threads[i]);
        assert_int_equal(sharers[i].wrong, 0);
    }
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    assert_int_equal(counters.launches, SHARERS * each);
    assert_int_equal(skua__engine_under_way(engine), 0);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

/* ---- Launches that are gone as soon as they have ended ---- */

enum { GONE = 2000 };

static void
free_and_tell(skua__launch *launch, skua_status status) {
    skua__launch stays = {.done_arg = launch->done_arg};
    skua__launch_free(launch);
    cl_waiter_done(&stays, status);
}

/* On one CPU, where the engine's thread often ends a launch before the call that submitted it goes on. */
static void
test_engine_frees_launches_before_their_submit_returns(void **state) {
    (void)state;
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    skua__kernel *kernel = saxpy_kernel();
    skua__fake *fake = make_fake(SKUA__FAKE_INLINE, 0);
    skua__engine *engine = open_engine(fake, 1u << 30, SKUA_UNLIMITED);
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    float y = 0, x = 1, a = 1;
    skua_kernel_arg args[] = {{.data = &y, .bytes = sizeof y},
                              {.data = &x, .bytes = sizeof x},
                              {.value = &a, .bytes = sizeof a}};
    for (uint32_t i = 1; i <= GONE; i++) {
        skua__launch *launch = cl_waiter_launch(
            &waiter, kernel,
            SKUA_LAUNCH(.kernel = "saxpy", .global = {1}, .args = args, .arg_count = 3));
        launch->done = free_and_tell;
        assert_int_equal(skua__engine_submit(engine, launch, NULL), SKUA_OK);
        assert_int_equal(cl_waiter_wait(&waiter, i), SKUA_OK);
    }
    assert_true(y == (float)GONE);
    close_both(engine, fake);
    cl_waiter_fini(&waiter);
    skua__kernel_free(kernel);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

/* ---- A thousand engines ---- */

enum { WARM_UP = 20, OPENINGS = 1000 };

static int
entries_of(const char *path) {
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int count = 0;
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

static void
open_use_close(skua__kernel *kernel) {
    skua__fake *fake = make_fake(SKUA__FAKE_REAL, 0);
    skua_devices *devices = NULL;
    skua_device_info info = skua__fake_info(1u << 30);
    skua__engine *engine = NULL;
    skua_buffer *y = NULL;
    assert_int_equal(skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cache_dir = ""), NULL),
                     SKUA_OK);
    assert_int_equal(skua__devices_add(devices, skua__fake_driver(), fake, &info), SKUA_OK);
    assert_int_equal(skua__devices_engine(devices, 0, &engine, NULL), SKUA_OK);
    assert_int_equal(skua_buffer_new(devices, &y, SKUA_BUFFER_OPTIONS(.bytes = 400), NULL),
                     SKUA_OK);
    saxpy_check(engine, NULL, kernel, 100, 0);
    float x[100] = {2}, a = 3, first = 0;
    skua_kernel_arg args[] = {{.buffer = y, .bytes = 400},
                              {.data = x, .bytes = sizeof x},
                              {.value = &a, .bytes = sizeof a}};
    assert_int_equal(cl_fixture_run(engine, NULL, kernel,
                                    SKUA_LAUNCH(.kernel = "saxpy", .global = {100}, .args = args,
                                                .arg_count = 3),
                                    NULL),
                     SKUA_OK);
    assert_int_equal(skua_buffer_read(y, 0, &first, sizeof first, NULL), SKUA_OK);
    assert_true(first == 6);
    skua_buffer_free(y);
    skua_devices_close(devices);
    skua__fake_free(fake);
}

static void
test_engine_a_thousand_openings_leave_nothing(void **state) {
    (void)state;
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1);
    skua__kernel *kernel = saxpy_kernel();
    for (int i = 0; i < WARM_UP; i++) {
        open_use_close(kernel);
    }
    int descriptors = entries_of("/proc/self/fd"), threads = entries_of("/proc/self/task");
    size_t in_use = mallinfo2().uordblks;
    for (int i = 0; i < OPENINGS; i++) {
        open_use_close(kernel);
    }
    assert_int_equal(entries_of("/proc/self/fd"), descriptors);
    assert_int_equal(entries_of("/proc/self/task"), threads);
    /* Less than one block of 16 bytes for each opening. */
    size_t grown = mallinfo2().uordblks > in_use ? mallinfo2().uordblks - in_use : 0;
    print_message("%d openings: %zu bytes more in use\n", OPENINGS, grown);
    assert_true(grown < 16 * OPENINGS);
    skua__kernel_free(kernel);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_copies_overlap_kernels),
        cmocka_unit_test(test_engine_one_kernel_from_many_threads),
        cmocka_unit_test(test_engine_frees_launches_before_their_submit_returns),
        cmocka_unit_test(test_engine_a_thousand_openings_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
