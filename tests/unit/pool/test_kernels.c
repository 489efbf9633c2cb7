// SPDX-License-Identifier: MPL-2.0
// Kernels through a pool, with the fake device: chosen place, results, shares, a device that fails, and bytes of launches
// that nobody should have sent.
#include "fake_machine.h"
#include "test.h"

#include <skua-int/kernels.h>
#include <skua-int/rand.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const skua_param_kind params[] = {SKUA_PARAM_INOUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE};

/* y = a x + y */
static int
saxpy(const skua_kernel_call *call, void *arg) {
    (void)arg;
    float *y = call->args[0];
    const float *x = call->args[1];
    float a;
    memcpy(&a, call->args[2], sizeof a);
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = a * x[i] + y[i];
    }
    return 0;
}

static int
check(const skua_launch *launch, void *arg) {
    (void)arg;
    return launch->args[0].bytes / sizeof(float) < launch->global[0] ||
           launch->args[1].bytes / sizeof(float) < launch->global[0];
}

static const skua_kernel_spec saxpy_spec = {.size = sizeof saxpy_spec,
                                            .source = "kernel void saxpy() {}",
                                            .params = params,
                                            .param_count = 3,
                                            .guarded = 1,
                                            .fn = saxpy,
                                            .check = check,
                                            .work = 2};

static int
set_up(void **state) {
    fake_machine *self = calloc(1, sizeof *self);
    static const skua__fake_entry entries[] = {{.name = "saxpy", .fn = saxpy, .guarded = true}};
    fake_machine_open(self, &(fake_machine_options){
                                .count = 1, .workers = 2, .entries = entries, .entry_count = 1});
    fake_machine_open_pool(self, NULL);
    assert_int_equal(skua_kernel_register(self->pool, "saxpy", &saxpy_spec, NULL), SKUA_OK);
    *state = self;
    return 0;
}

static int
tear_down(void **state) {
    fake_machine_close(*state);
    free(*state);
    return 0;
}

/* Runs one saxpy of n numbers and checks them. */
static skua_status
run(fake_machine *self, size_t n, int32_t on, skua_error *err) {
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y), a = 2;
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(i % 11);
        y[i] = (float)(i % 7);
    }
    skua_kernel_arg args[] = {{.data = y, .bytes = n * sizeof *y},
                              {.data = x, .bytes = n * sizeof *x},
                              {.value = &a, .bytes = sizeof a}};
    const skua_launch *launch =
        SKUA_LAUNCH(.kernel = "saxpy", .global = {n}, .args = args, .arg_count = 3, .on = on);
    skua_pool_future *future = NULL;
    skua_status status = skua_kernel_submit(self->pool, launch, &future, err);
    if (!status) {
        memset(x, 0, n * sizeof *x); /* it was copied */
        status = skua_kernel_collect(self->pool, launch, future, 60000, err);
    }
    for (size_t i = 0; i < n && !status; i++) {
        assert_true(y[i] == 2 * (float)(i % 11) + (float)(i % 7));
    }
    skua_pool_future_free(future);
    free(x);
    free(y);
    return status;
}

static skua_kernel_share
share_at(fake_machine *self, size_t i) {
    skua_kernel_share share = {.size = sizeof share};
    assert_int_equal(skua_kernel_share_at(self->pool, "saxpy", i, &share, NULL), SKUA_OK);
    return share;
}

static void
test_kernels_run_where_they_are_told(void **state) {
    fake_machine *self = *state;
    for (size_t n = 1; n < 300000; n = n * 5 + 2) {
        assert_int_equal(run(self, n, SKUA_ON_CORES, NULL), SKUA_OK);
        assert_int_equal(run(self, n, SKUA_ON_DEVICE, NULL), SKUA_OK);
        assert_int_equal(run(self, n, SKUA_ON_ANY, NULL), SKUA_OK);
    }
    skua_kernel_share cores = share_at(self, 0), device = share_at(self, 1);
    assert_string_equal(cores.name, "cores");
    assert_int_equal(cores.device, -1);
    assert_int_equal(device.device, 0);
    assert_true(cores.launches >= 8 && device.launches >= 8);
    assert_int_equal(cores.launches + device.launches, 24);
    assert_int_equal(skua__fake_counts(self->fakes[0]).launches, device.launches);
    assert_int_equal(skua_kernel_share_at(self->pool, "saxpy", 2, &cores, NULL), SKUA_E_NOT_FOUND);
    assert_int_equal(skua_kernel_share_at(self->pool, "sax", 0, &cores, NULL), SKUA_E_NOT_FOUND);
}

/* Many more at once than there are workers and spares: a launch that waited for another's worker would wait for ever. */
static void
test_kernels_on_the_cores_never_wait_for_each_other(void **state) {
    fake_machine *self = *state;
    enum { LAUNCHES = 300, N = 64 };
    static float y[LAUNCHES][N];
    float x[N], a = 2;
    skua_pool_future *futures[LAUNCHES];
    for (size_t i = 0; i < N; i++) {
        x[i] = (float)i;
    }
    for (size_t k = 0; k < 2 * LAUNCHES; k++) {
        size_t at = k % LAUNCHES;
        skua_kernel_arg args[] = {{.data = y[at], .bytes = sizeof y[at]},
                                  {.data = x, .bytes = sizeof x},
                                  {.value = &a, .bytes = sizeof a}};
        const skua_launch *launch = SKUA_LAUNCH(.kernel = "saxpy", .global = {N}, .args = args,
                                                .arg_count = 3, .on = SKUA_ON_CORES);
        if (k < LAUNCHES) {
            memset(y[at], 0, sizeof y[at]);
            assert_int_equal(skua_kernel_submit(self->pool, launch, &futures[at], NULL), SKUA_OK);
        } else {
            assert_int_equal(skua_kernel_collect(self->pool, launch, futures[at], 120000, NULL),
                             SKUA_OK);
            assert_true(y[at][N - 1] == 2 * (float)(N - 1));
            skua_pool_future_free(futures[at]);
        }
    }
    assert_int_equal(share_at(self, 0).launches, LAUNCHES);
}

static void
test_kernels_of_a_failing_device_run_on_the_cores(void **state) {
    fake_machine *self = *state;
    skua_error err = {0};
    skua__fake_set_faults(self->fakes[0], &(skua__fake_faults){.loss_at = 1});
    assert_int_equal(run(self, 100, SKUA_ON_DEVICE, &err), SKUA_E_TASK_FAILED);
    /* The device rests now; what may run anywhere ends well. */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(run(self, 100, SKUA_ON_ANY, &err), SKUA_OK);
    }
    assert_int_equal(share_at(self, 0).launches, 10);
    assert_true(share_at(self, 1).failures >= 1);
    /* There is no second device. */
    assert_int_equal(run(self, 100, SKUA_ON_DEVICE + 1, &err), SKUA_E_TASK_FAILED);
    assert_non_null(strstr(err.message, "no such device"));
}

static void
test_kernels_errors_say_what_is_wrong(void **state) {
    fake_machine *self = *state;
    skua_error err = {0};
    skua_pool_future *future = NULL;
    float y = 1, a = 1;
    skua_kernel_arg args[] = {{.data = &y, .bytes = sizeof y},
                              {.data = &y, .bytes = sizeof y},
                              {.value = &a, .bytes = sizeof a}};
    skua_launch launch = {
        .size = sizeof launch, .kernel = "nobody", .global = {1}, .args = args, .arg_count = 3};
    assert_int_equal(skua_kernel_submit(self->pool, &launch, &future, &err), SKUA_E_NOT_FOUND);
    launch.kernel = "saxpy";
    launch.global[0] = 2; /* more than the buffers hold */
    assert_int_equal(skua_kernel_submit(self->pool, &launch, &future, &err), SKUA_E_BAD_ARGUMENT);
    launch.global[0] = 0;
    assert_int_equal(skua_kernel_submit(self->pool, &launch, &future, &err), SKUA_E_BAD_ARGUMENT);
    launch.global[0] = 1;
    launch.arg_count = 2;
    assert_int_equal(skua_kernel_submit(self->pool, &launch, &future, &err), SKUA_E_BAD_ARGUMENT);
    launch.arg_count = 3;
    launch.dims = 4;
    assert_int_equal(skua_kernel_submit(self->pool, &launch, &future, &err), SKUA_E_BAD_ARGUMENT);
    launch.dims = 0;
    static const int32_t nowhere[] = {-1, SKUA_ON_CORES + 1, SKUA_ON_DEVICE - 1,
                                      SKUA_ON_DEVICE + SKUA_DEVICES_MAX};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        launch.on = nowhere[i];
        assert_int_equal(skua_kernel_submit(self->pool, &launch, &future, &err),
                         SKUA_E_BAD_ARGUMENT);
        assert_non_null(strstr(err.message, "is none of them"));
    }
    launch.on = SKUA_ON_ANY;
    args[1].bytes = (size_t)SKUA_TASK_MAX_BYTES + 4;
    assert_int_equal(skua_kernel_submit(self->pool, &launch, &future, &err), SKUA_E_TOO_BIG);
    assert_null(future);
    assert_int_equal(skua_kernel_register(self->pool, "saxpy", &saxpy_spec, &err), SKUA_E_EXISTS);
    assert_int_equal(skua_kernel_register(self->pool, "Saxpy", &saxpy_spec, &err), SKUA_E_BAD_NAME);
    assert_int_equal(
        skua_kernel_register(self->pool, "empty", SKUA_KERNEL_SPEC(.source = NULL), &err),
        SKUA_E_BAD_ARGUMENT);
}

static void
test_kernels_take_no_malformed_launch(void **state) {
    (void)state;
    skua__kernel *kernel = NULL;
    assert_int_equal(skua__kernel_new(NULL, "saxpy", &saxpy_spec, &kernel, NULL), SKUA_OK);
    float x[4] = {1}, y[4] = {2}, a = 3;
    skua_kernel_arg args[] = {{.data = y, .bytes = sizeof y},
                              {.data = x, .bytes = sizeof x},
                              {.value = &a, .bytes = sizeof a}};
    skua_launch launch = {.size = sizeof launch, .global = {4}, .args = args, .arg_count = 3};
    skua__coded_launch layout, back;
    assert_int_equal(skua__launch_lay_out(kernel, &launch, &layout, NULL), SKUA_OK);
    uint8_t bytes[512];
    assert_true(layout.input_bytes < sizeof bytes);
    skua__launch_encode(kernel, &launch, &layout, bytes);
    assert_true(skua__launch_decode(kernel, bytes, layout.input_bytes, &back));
    assert_memory_equal(&back, &layout, skua__coded_bytes(3));
    for (size_t cut = 0; cut < layout.input_bytes; cut++) {
        assert_false(skua__launch_decode(kernel, bytes, cut, &back));
    }
    assert_false(skua__launch_decode(kernel, bytes, layout.input_bytes + 1, &back));
    /* Whatever bits are turned: what is taken lies inside the bytes. */
    skua__rand rand = {.state = test_seed(7)};
    for (int round = 0; round < 20000; round++) {
        uint8_t bad[512];
        memcpy(bad, bytes, sizeof bad);
        for (uint32_t i = 0; i <= skua__rand_below(&rand, 3); i++) {
            bad[skua__rand_below(&rand, 80)] ^= (uint8_t)(1u << skua__rand_below(&rand, 8));
        }
        if (skua__launch_decode(kernel, bad, layout.input_bytes, &back)) {
            for (uint32_t i = 0; i < 3; i++) {
                assert_true(back.args[i].in_at + back.args[i].bytes <= layout.input_bytes);
            }
        }
    }
    skua__kernel_free(kernel);
}

/* ---- Finding a kernel takes no lock ---- */

enum { KERNELS = 150 };

typedef struct registering {
    fake_machine *machine;
    atomic_int registered; /* kernels k0, k1, ... that are there */
} registering;

static void *
register_many(void *arg) {
    registering *self = arg;
    for (int i = 0; i < KERNELS; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        assert_int_equal(skua_kernel_register(self->machine->pool, name, &saxpy_spec, NULL), 0);
        /* release R1: the kernel is there; pairs with acquire R1 in the test */
        atomic_store_explicit(&self->registered, i + 1, memory_order_release);
    }
    return NULL;
}

/* Whoever knows that a kernel was registered finds it, and all before it, while more are added. */
static void
test_kernels_are_found_while_others_are_registered(void **state) {
    registering self = {.machine = *state};
    pthread_t thread;
    skua_error err;
    assert_int_equal(pthread_create(&thread, NULL, register_many, &self), 0);
    int known = 0;
    for (uint32_t round = 0; known < KERNELS; round++) {
        /* acquire R1: what was registered before is there; pairs with release R1 in register_many() */
        known = atomic_load_explicit(&self.registered, memory_order_acquire);
        char name[16];
        snprintf(name, sizeof name, "k%u", known ? round % (uint32_t)known : 0);
        const skua__kernel_entry *entry = skua__kernel_find(self.machine->pool, name, &err);
        assert_true(entry || !known);
        if (entry) {
            assert_string_equal(entry->kernel->name, name);
        }
    }
    pthread_join(thread, NULL);
    assert_null(skua__kernel_find(self.machine->pool, "k150", &err));
    assert_int_equal(err.status, SKUA_E_NOT_FOUND);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kernels_run_where_they_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kernels_on_the_cores_never_wait_for_each_other, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_kernels_of_a_failing_device_run_on_the_cores, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_kernels_errors_say_what_is_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kernels_are_found_while_others_are_registered, set_up,
                                        tear_down),
        cmocka_unit_test(test_kernels_take_no_malformed_launch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
