// SPDX-License-Identifier: MPL-2.0
// Large copies through pinned blocks, on the fake device: right at every size, overlapped, failing in the middle, and
// taking no memory that launches need.
#include "engine_fixture.h"

#include "failing_allocator.h"

#include <malloc.h>
#include <skua-int/rand.h>

enum { KIB = 1024, MIB = 1024 * 1024, STAGED_ABOVE = 256 * KIB, BLOCK = 2 * MIB };

/* ---- Kernels: y = x + 1, and saxpy, whose y is read and written ---- */

static int
next_fn(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint32_t *y = call->args[0];
    const uint32_t *x = call->args[1];
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = x[i] + 1;
    }
    return 0;
}

static const skua__fake_entry entries[] = {
    {.name = "saxpy", .fn = saxpy_fn, .guarded = true},
    {.name = "next", .fn = next_fn, .guarded = true, .launch_ps = 3725}};

static skua__fake *
new_fake(skua__fake_options options) {
    options.entries = entries;
    options.entry_count = 2;
    skua__fake *fake = skua__fake_new(&options);
    assert_non_null(fake);
    return fake;
}

static skua__engine *
new_engine(skua__fake *fake, uint64_t memory_bytes, uint64_t stage_bytes, uint32_t depth,
           int64_t hang_ms) {
    skua_device_info info = skua__fake_info(memory_bytes);
    skua__engine_options options = {.driver = skua__fake_driver(),
                                    .driver_ctx = fake,
                                    .info = &info,
                                    .depth = depth,
                                    .hang_ms = hang_ms,
                                    .quarantine_ms = SKUA_NONE,
                                    .stage_bytes = stage_bytes};
    skua__engine *engine = NULL;
    assert_int_equal(skua__engine_open(&engine, &options, NULL), SKUA_OK);
    return engine;
}

static skua__kernel *
next_kernel(void) {
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_IN};
    skua__kernel *kernel = NULL;
    assert_int_equal(
        skua__kernel_new(NULL, "next",
                         SKUA_KERNEL_SPEC(.source = "next", .params = params, .param_count = 2,
                                          .guarded = 1, .fn = next_fn),
                         &kernel, NULL),
        SKUA_OK);
    return kernel;
}

/* A launch that reads in_bytes and writes out_bytes, and computes as many items as fit both. */
static skua__launch *
next_launch(const skua__kernel *kernel, uint32_t *y, size_t out_bytes, uint32_t *x, size_t in_bytes,
            cl_waiter *waiter) {
    skua_kernel_arg args[] = {{.data = y, .bytes = out_bytes}, {.data = x, .bytes = in_bytes}};
    uint64_t items = (out_bytes < in_bytes ? out_bytes : in_bytes) / sizeof *y;
    return cl_waiter_launch(
        waiter, kernel,
        SKUA_LAUNCH(.kernel = "next", .global = {items}, .args = args, .arg_count = 2));
}

static uint32_t *
numbers(size_t bytes) {
    uint32_t *x = malloc(bytes);
    for (size_t i = 0; i < bytes / sizeof *x; i++) {
        x[i] = (uint32_t)(i * 2654435761U);
    }
    return x;
}

/* ---- Sizes ---- */

/* Runs saxpy on so many bytes and checks each item, and that large copies, and no others, went through pinned memory. */
static void
check_bytes(skua__engine *engine, skua__fake *fake, const skua__kernel *kernel, size_t bytes) {
    uint64_t before = skua__fake_counts(fake).pinned_bytes;
    saxpy_check(engine, NULL, kernel, bytes / sizeof(float), 1);
    uint64_t expected = bytes > STAGED_ABOVE ? 3 * bytes : 0;
    assert_int_equal(skua__fake_counts(fake).pinned_bytes - before, expected);
}

static void
test_staging_every_size_comes_through(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(17)};
    skua__kernel *kernel = saxpy_kernel();
    static const uint64_t blocks[] = {STAGED_ABOVE, 300 * KIB, BLOCK};
    for (size_t b = 0; b < 3; b++) {
        for (int clock = 0; clock < 2; clock++) {
            skua__fake *fake = new_fake(
                (skua__fake_options){.clock = clock ? SKUA__FAKE_INLINE : SKUA__FAKE_REAL});
            skua__engine *engine = new_engine(fake, 1u << 30, blocks[b], 0, SKUA_UNLIMITED);
            for (uint64_t edge = 1; edge <= 4; edge++) {
                for (int off = -1; off <= 1; off++) {
                    size_t by = sizeof(float) * (size_t)(off + 1);
                    check_bytes(engine, fake, kernel, edge * STAGED_ABOVE - sizeof(float) + by);
                    check_bytes(engine, fake, kernel,
                                edge * blocks[b] / 4 * 4 - sizeof(float) + by);
                }
            }
            for (int i = 0; i < 8; i++) {
                check_bytes(engine, fake, kernel, 4 * (1 + skua__rand_below(&rand, 3 * MIB / 4)));
            }
            const size_t ends[] = {200000, 200001, 900003, MIB};
            saxpy_check_parts(engine, NULL, kernel, MIB, ends, 4);
            close_both(engine, fake);
        }
    }
    skua__kernel_free(kernel);
}

/* ---- Time, on a clock that only the test moves ---- */

/* The virtual time of count launches, which copy in and out so much at a rate that both the host and the bus have. */
static int64_t
time_of(uint32_t count, size_t in_bytes, size_t out_bytes, uint32_t depth, int64_t *ret_in_ns,
        int64_t *ret_out_ns) {
    skua__fake *fake = new_fake((skua__fake_options){
        .clock = SKUA__FAKE_VIRTUAL, .copy_bytes_per_s = 1 << 30, .host_bytes_per_s = 1 << 30});
    skua__engine *engine = new_engine(fake, 1u << 30, BLOCK, depth, SKUA_UNLIMITED);
    skua__kernel *kernel = next_kernel();
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    skua__launch **launches = calloc(count, sizeof *launches);
    uint32_t *x = numbers(in_bytes), *y = calloc(count, out_bytes);
    int64_t start_ns = skua__fake_now_ns(fake);
    for (uint32_t i = 0; i < count; i++) {
        launches[i] =
            next_launch(kernel, y + i * out_bytes / sizeof *y, out_bytes, x, in_bytes, &waiter);
        assert_int_equal(skua__engine_submit(engine, launches[i], NULL), SKUA_OK);
    }
    let_time_pass(engine, fake);
    assert_int_equal(cl_waiter_wait(&waiter, count), SKUA_OK);
    int64_t took_ns = skua__fake_now_ns(fake) - start_ns;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t *part = y + i * out_bytes / sizeof *y;
        assert_true(part[0] == x[0] + 1);
        *ret_in_ns = launches[i]->in_ns;
        *ret_out_ns = launches[i]->out_ns;
        skua__launch_free(launches[i]);
    }
    free(launches);
    free(x);
    free(y);
    cl_waiter_fini(&waiter);
    skua__kernel_free(kernel);
    close_both(engine, fake);
    return took_ns;
}

static bool
is_near(int64_t got_ns, int64_t wanted_ns) {
    return got_ns > wanted_ns * 99 / 100 && got_ns < wanted_ns * 101 / 100;
}

/* Both at the same rate: one after the other they would take twice as long as together, but for the first piece. */
static void
test_staging_the_host_copies_while_the_bus_does(void **state) {
    (void)state;
    enum { PIECES = 16 };
    const int64_t piece_ns = BLOCK * 1000 / 1024 * 1000 / 1024 * 1000 / 1024;
    int64_t in_ns = 0, out_ns = 0;
    int64_t took_ns = time_of(1, (size_t)PIECES * BLOCK, 4, 3, &in_ns, &out_ns);
    assert_true(is_near(took_ns, (PIECES + 1) * piece_ns));
    assert_true(is_near(in_ns, (PIECES + 1) * piece_ns));
    took_ns = time_of(1, 4, (size_t)PIECES * BLOCK, 3, &in_ns, &out_ns);
    assert_true(is_near(took_ns, (PIECES + 1) * piece_ns));
    assert_true(is_near(out_ns, (PIECES + 1) * piece_ns));
}

/* Copies in, kernels and copies out of 4 MiB take 4 ms each, and each launch is a step behind the one before. */
static void
test_staging_copies_overlap_kernels(void **state) {
    (void)state;
    enum { COUNT = 24 };
    int64_t unused;
    int64_t apart_ns = time_of(COUNT, 4 * MIB, 4 * MIB, 1, &unused, &unused);
    int64_t together_ns = time_of(COUNT, 4 * MIB, 4 * MIB, 3, &unused, &unused);
    print_message("overlap: %.2f (%.1f ms against %.1f ms of virtual time)\n",
                  (double)apart_ns / (double)together_ns, (double)together_ns / 1e6,
                  (double)apart_ns / 1e6);
    /* The host has one copier for both directions, so at best the copies of one launch take as long as its kernel twice. */
    assert_true(2 * apart_ns >= 3 * together_ns);
}

/* ---- Failures ---- */

/* The k-th copy on the bus is the device's last, for each k: the launch ends, and ends well on another device. */
static void
test_staging_a_device_lost_in_mid_copy_leaves_the_launch_whole(void **state) {
    (void)state;
    enum { BYTES = 4 * MIB + 4, COPIES = 2 * 4 };
    skua__kernel *kernel = next_kernel();
    skua__fake *fake = new_fake((skua__fake_options){.clock = SKUA__FAKE_REAL});
    skua__fake *other_fake = new_fake((skua__fake_options){.clock = SKUA__FAKE_REAL});
    skua__engine *engine = new_engine(fake, 1u << 30, 0, 0, SKUA_UNLIMITED);
    skua__engine *other = new_engine(other_fake, 1u << 30, 0, 0, SKUA_UNLIMITED);
    uint32_t *x = numbers(BYTES), *y = calloc(1, BYTES);
    for (uint32_t k = 1; k <= COPIES + 1; k++) {
        cl_waiter waiter;
        cl_waiter_init(&waiter);
        memset(y, 0, BYTES);
        skua__launch *launch = next_launch(kernel, y, BYTES, x, BYTES, &waiter);
        skua__fake_set_faults(fake, &(skua__fake_faults){.copy_loss_at = k});
        assert_int_equal(skua__engine_submit(engine, launch, NULL), SKUA_OK);
        skua_status status = cl_waiter_wait(&waiter, 1);
        assert_int_equal(status, k <= COPIES ? SKUA_E_DEVICE_FAILED : SKUA_OK);
        assert_false(launch->half_done);
        assert_false(launch->held);
        skua__launch_free(launch);
        if (status) {
            launch = next_launch(kernel, y, BYTES, x, BYTES, &waiter);
            assert_int_equal(skua__engine_submit(other, launch, NULL), SKUA_OK);
            waiter.status = SKUA_OK;
            assert_int_equal(cl_waiter_wait(&waiter, 2), SKUA_OK);
            skua__launch_free(launch);
        }
        for (size_t i = 0; i < BYTES / sizeof *y; i++) {
            assert_true(y[i] == x[i] + 1);
        }
        cl_waiter_fini(&waiter);
    }
    free(x);
    free(y);
    close_both(engine, fake);
    close_both(other, other_fake);
    skua__kernel_free(kernel);
}

/* What is read and written is spoiled by its first piece that is back, and not before. */
static void
test_staging_a_launch_is_half_done_once_a_piece_is_back(void **state) {
    (void)state;
    /* Copies: 4 of y in, 4 of x in, 4 of y out. */
    enum { N = 1 * MIB / sizeof(float), INS = 8 };
    skua__kernel *kernel = saxpy_kernel();
    skua__fake *fake = new_fake((skua__fake_options){.clock = SKUA__FAKE_VIRTUAL});
    skua__engine *engine = new_engine(fake, 1u << 30, 0, 0, SKUA_UNLIMITED);
    float *x = calloc(N, sizeof *x), *y = calloc(N, sizeof *y), a = 2;
    for (uint32_t k = 1; k <= INS + 4; k++) {
        cl_waiter waiter;
        cl_waiter_init(&waiter);
        skua_kernel_arg args[] = {{.data = y, .bytes = N * sizeof *y},
                                  {.data = x, .bytes = N * sizeof *x},
                                  {.value = &a, .bytes = sizeof a}};
        skua__launch *launch = cl_waiter_launch(
            &waiter, kernel,
            SKUA_LAUNCH(.kernel = "saxpy", .global = {N}, .args = args, .arg_count = 3));
        skua__fake_set_faults(fake, &(skua__fake_faults){.copy_loss_at = k});
        assert_int_equal(skua__engine_submit(engine, launch, NULL), SKUA_OK);
        let_time_pass(engine, fake);
        assert_int_equal(cl_waiter_wait(&waiter, 1), SKUA_E_DEVICE_FAILED);
        assert_int_equal(launch->half_done, k > INS + 1);
        skua__launch_free(launch);
        cl_waiter_fini(&waiter);
    }
    free(x);
    free(y);
    close_both(engine, fake);
    skua__kernel_free(kernel);
}

static void
test_staging_a_copy_that_hangs_ends_with_its_device(void **state) {
    (void)state;
    enum { BYTES = 4 * MIB };
    skua__kernel *kernel = next_kernel();
    skua__fake *fake = new_fake((skua__fake_options){.clock = SKUA__FAKE_REAL});
    uint32_t *x = numbers(BYTES), *y = calloc(1, BYTES);
    /* So long that no busy machine makes another launch late. */
    skua__engine *engine = new_engine(fake, 1u << 30, 0, 0, 3000);
    skua__fake_set_faults(fake, &(skua__fake_faults){.copy_hang_at = 3});
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    enum { COUNT = 4 };
    skua__launch *launches[COUNT];
    for (int i = 0; i < COUNT; i++) {
        launches[i] = next_launch(kernel, y, BYTES, x, BYTES, &waiter);
        assert_int_equal(skua__engine_submit(engine, launches[i], NULL), SKUA_OK);
    }
    assert_int_equal(cl_waiter_wait(&waiter, COUNT), SKUA_E_DEVICE_FAILED);
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    assert_int_equal(counters.hangs, 1);
    skua__fake_set_faults(fake, &(skua__fake_faults){0});
    waiter.status = SKUA_OK;
    skua__launch *again = next_launch(kernel, y, BYTES, x, BYTES, &waiter);
    assert_int_equal(skua__engine_submit(engine, again, NULL), SKUA_OK);
    assert_int_equal(cl_waiter_wait(&waiter, COUNT + 1), SKUA_OK);
    assert_true(y[BYTES / 4 - 1] == x[BYTES / 4 - 1] + 1);
    skua__launch_free(again);
    for (int i = 0; i < COUNT; i++) {
        skua__launch_free(launches[i]);
    }
    cl_waiter_fini(&waiter);
    close_both(engine, fake);
    skua__kernel_free(kernel);
    free(x);
    free(y);
}

/* ---- Memory ---- */

static skua_status
run_next(skua__engine *engine, const skua__kernel *kernel, uint32_t *y, uint32_t *x, size_t bytes) {
    cl_waiter waiter;
    cl_waiter_init(&waiter);
    skua__launch *launch = next_launch(kernel, y, bytes, x, bytes, &waiter);
    assert_int_equal(skua__engine_submit(engine, launch, NULL), SKUA_OK);
    skua_status status = cl_waiter_wait(&waiter, 1);
    skua__launch_free(launch);
    cl_waiter_fini(&waiter);
    return status;
}

static void
test_staging_is_left_out_where_it_cannot_be(void **state) {
    (void)state;
    enum { BYTES = 3 * MIB };
    skua__kernel *kernel = next_kernel();
    uint32_t *x = numbers(BYTES), *y = calloc(1, BYTES);
    /* No pinned memory; not enough memory for blocks; not wanted; nobody to copy. */
    for (int why = 0; why < 4; why++) {
        skua__fake *fake = new_fake((skua__fake_options){.clock = SKUA__FAKE_REAL});
        skua__fake_set_faults(fake,
                              &(skua__fake_faults){.no_pinned = why == 0, .no_copiers = why == 3});
        skua_device_info info = skua__fake_info(why == 1 ? 24 * MIB : 1 << 30);
        skua__engine_options options = {.driver = skua__fake_driver(),
                                        .driver_ctx = fake,
                                        .info = &info,
                                        .copies = why == 2 ? SKUA__COPY_PLAIN : SKUA__COPY_BEST};
        skua__engine *engine = NULL;
        assert_int_equal(skua__engine_open(&engine, &options, NULL), SKUA_OK);
        memset(y, 0, BYTES);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(run_next(engine, kernel, y, x, BYTES), SKUA_OK);
        }
        assert_true(y[BYTES / 4 - 1] == x[BYTES / 4 - 1] + 1);
        assert_int_equal(skua__fake_counts(fake).pinned_bytes, 0);
        assert_int_equal(skua__fake_counts(fake).host_copies, 0);
        skua__fake_set_faults(fake, &(skua__fake_faults){0}); /* this context is left as it is */
        assert_int_equal(run_next(engine, kernel, y, x, BYTES), SKUA_OK);
        assert_int_equal(skua__fake_counts(fake).pinned_bytes, 0);
        close_both(engine, fake);
    }
    free(x);
    free(y);
    skua__kernel_free(kernel);
}

/* Two blocks of 2 MiB in each direction stand in the account, and make way for a launch that needs all there is. */
static void
test_staging_makes_way_for_a_launch_that_needs_all(void **state) {
    (void)state;
    enum { LIMIT = 48 * MIB }; /* of 64: a quarter stays free */
    skua__kernel *kernel = next_kernel();
    skua__fake *fake = new_fake((skua__fake_options){.clock = SKUA__FAKE_REAL});
    skua__engine *engine = new_engine(fake, 64 * MIB, 0, 0, SKUA_UNLIMITED);
    uint32_t *x = numbers(LIMIT / 2), *y = calloc(1, LIMIT / 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run_next(engine, kernel, y, x, 3 * MIB), SKUA_OK);
        uint64_t staged = skua__fake_counts(fake).pinned_bytes;
        assert_int_equal(staged, 6 * MIB * (i + 1));
        assert_int_equal(run_next(engine, kernel, y, x, LIMIT / 2), SKUA_OK);
        assert_true(y[LIMIT / 8 - 1] == x[LIMIT / 8 - 1] + 1);
        /* It left no room for blocks, and so went without. */
        assert_int_equal(skua__fake_counts(fake).pinned_bytes, staged);
    }
    close_both(engine, fake);
    free(x);
    free(y);
    skua__kernel_free(kernel);
}

static void
test_staging_takes_no_more_memory_with_time(void **state) {
    (void)state;
    enum { BYTES = 5 * MIB, ROUNDS = 100 };
    skua__kernel *kernel = next_kernel();
    skua__fake *fake = new_fake((skua__fake_options){.clock = SKUA__FAKE_REAL});
    skua__engine *engine = new_engine(fake, 1u << 30, 0, 0, SKUA_UNLIMITED);
    uint32_t *x = numbers(BYTES), *y = calloc(1, BYTES);
    assert_int_equal(run_next(engine, kernel, y, x, BYTES), SKUA_OK);
    uint32_t memories = skua__fake_counts(fake).memories;
    size_t used = mallinfo2().uordblks;
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(run_next(engine, kernel, y, x, BYTES), SKUA_OK);
    }
    assert_int_equal(skua__fake_counts(fake).memories, memories);
    assert_true(mallinfo2().uordblks < used + 16 * KIB);
    close_both(engine, fake);
    free(x);
    free(y);
    skua__kernel_free(kernel);
}

static void
test_staging_without_memory(void **state) {
    (void)state;
    enum { N = 600 * KIB / 4 };
    skua__kernel *kernel = saxpy_kernel();
    skua_device_info info = skua__fake_info(1 << 30);
    float *x = calloc(N, sizeof *x), *y = calloc(N, sizeof *y);
    for (long n = 1;; n++) {
        failing_allocator allocator;
        failing_allocator_init(&allocator, n);
        skua__fake *fake = new_fake((skua__fake_options){.clock = SKUA__FAKE_INLINE});
        skua__engine_options options = {.hook = &allocator.hook,
                                        .driver = skua__fake_driver(),
                                        .driver_ctx = fake,
                                        .info = &info};
        skua__engine *engine = NULL;
        skua_status status = skua__engine_open(&engine, &options, NULL);
        status = status ? status : saxpy_run(engine, NULL, kernel, y, x, 1, N, NULL);
        skua__engine_close(engine);
        skua__fake_free(fake);
        assert_int_equal(atomic_load(&allocator.alive), 0);
        if (atomic_load(&allocator.calls) < n) {
            assert_int_equal(status, SKUA_OK);
            break;
        }
        /* Without pinned memory it does well too. */
        assert_true(status == SKUA_E_NO_MEMORY || status == SKUA_OK);
    }
    free(x);
    free(y);
    skua__kernel_free(kernel);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_staging_every_size_comes_through),
        cmocka_unit_test(test_staging_the_host_copies_while_the_bus_does),
        cmocka_unit_test(test_staging_copies_overlap_kernels),
        cmocka_unit_test(test_staging_a_device_lost_in_mid_copy_leaves_the_launch_whole),
        cmocka_unit_test(test_staging_a_launch_is_half_done_once_a_piece_is_back),
        cmocka_unit_test(test_staging_a_copy_that_hangs_ends_with_its_device),
        cmocka_unit_test(test_staging_is_left_out_where_it_cannot_be),
        cmocka_unit_test(test_staging_makes_way_for_a_launch_that_needs_all),
        cmocka_unit_test(test_staging_takes_no_more_memory_with_time),
        cmocka_unit_test(test_staging_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
