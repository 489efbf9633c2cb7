// SPDX-License-Identifier: MPL-2.0
// How PoCL's variables change what a machine shows: each in a process of its own, since a driver reads them once.
// Usage: test_cl_machine unwritable | two | twins
#include "cl_dev.h"
#include "cl_fixture.h"
#include "engine_priv.h"

#include <sys/stat.h>

enum { N = 5000 };

static bool
is_pocl(const skua_device_info *info) {
    return strstr(info->platform, "Portable Computing Language") != NULL;
}

static skua_devices *
open_devices(void) {
    skua_devices *devices = NULL;
    assert_int_equal(
        skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1, .cache_dir = ""), NULL),
        SKUA_OK);
    return devices;
}

/* The folder is none, so that root cannot write to it either. */
static void
test_cl_machine_says_that_the_cache_is_unwritable(void **state) {
    (void)state;
    setenv("POCL_CACHE_DIR", "/dev/null/pocl", 1);
    skua_devices *devices = open_devices();
    assert_int_equal(skua_devices_count(devices), 0);
    assert_non_null(strstr(skua_devices_reason(devices), "POCL_CACHE_DIR=/dev/null/pocl"));
    skua_devices_close(devices);
}

typedef struct user {
    skua__engine *engine;
    const skua__kernel *kernel;
} user;

static void *
use(void *arg) {
    const user *self = arg;
    for (int i = 0; i < 10; i++) {
        saxpy_check(self->engine, NULL, self->kernel, N, 1);
    }
    return NULL;
}

/* The device that it computes on, of which it may have a part. */
static cl_device_id
hardware(const user *self) {
    const skua__dev *dev = self->engine->dev;
    cl_device_id whole = dev->device;
    if (dev->is_part) {
        assert_int_equal(dev->cl.get_device_info(dev->device, CL_DEVICE_PARENT_DEVICE, sizeof whole,
                                                 &whole, NULL),
                         CL_SUCCESS);
    }
    return whole;
}

/* Each has an engine of its own, and both compute at once. */
static void
check_two_devices(void) {
    skua_devices *devices = open_devices();
    assert_int_equal(skua_devices_count(devices), 2);
    skua__kernel *kernel = saxpy_kernel();
    user users[2];
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        skua_error err = {0};
        users[i] = (user){.kernel = kernel};
        if (skua__devices_engine(devices, i, &users[i].engine, &err)) {
            fail_msg("%s", err.message);
        }
    }
    assert_ptr_not_equal(users[0].engine, users[1].engine);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        skua__engine_counters counters;
        skua__engine_counters_get(users[i].engine, &counters);
        assert_int_equal(counters.launches, 10);
        assert_int_equal(counters.failures, 0);
    }
    assert_ptr_not_equal(hardware(&users[0]), hardware(&users[1]));
    skua_devices_close(devices);
    skua__kernel_free(kernel);
}

static void
test_cl_machine_two_devices_compute(void **state) {
    (void)state;
    setenv("POCL_DEVICES", "basic pthread", 1);
    check_two_devices();
}

/* Nothing tells them apart but their order. */
static void
test_cl_machine_two_equal_devices_compute(void **state) {
    (void)state;
    setenv("POCL_DEVICES", "pthread pthread", 1);
    check_two_devices();
}

int
main(int argc, char **argv) {
    skua_device_info info;
    cl_fixture_device(&info);
    if (!is_pocl(&info)) {
        fprintf(stderr, "skipped: the device is %s's\n", info.platform);
        return 77;
    }
    const char *which = argc > 1 ? argv[1] : "";
    const struct CMUnitTest unwritable[] = {
        cmocka_unit_test(test_cl_machine_says_that_the_cache_is_unwritable)};
    const struct CMUnitTest two[] = {cmocka_unit_test(test_cl_machine_two_devices_compute)};
    const struct CMUnitTest twins[] = {cmocka_unit_test(test_cl_machine_two_equal_devices_compute)};
    if (strcmp(which, "unwritable") == 0) {
        return cmocka_run_group_tests(unwritable, NULL, NULL);
    }
    return strcmp(which, "two") == 0 ? cmocka_run_group_tests(two, NULL, NULL)
                                     : cmocka_run_group_tests(twins, NULL, NULL);
}
