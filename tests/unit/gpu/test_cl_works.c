// SPDX-License-Identifier: MPL-2.0
// The kernels of skua-perf gpu on a device and on the cores, at sizes that fill no whole group: both compute what the check expects. It is run
// on the machine's own OpenCL and, by cl_under, under oclgrind, which watches what they access.
#include "cl_fixture.h"

#include "../../../perf/gpu_works.h"

enum { LONG_SIZE = 2 * 4096 + 333 };

static skua_device_info device;

static void
check_work(skua__engine *engine, skua_exec *exec, const gpu_work *work, uint32_t size) {
    skua_kernel_spec spec = gpu_spec_of(work);
    skua__kernel *kernel = NULL;
    gpu_job job;
    skua_error err;
    assert_int_equal(skua__kernel_new(NULL, work->name, &spec, &kernel, NULL), SKUA_OK);
    for (int on_cores = 0; on_cores < 2; on_cores++) {
        assert_true(gpu_job_init(&job, work, size));
        skua_launch launch = gpu_launch_of(&job);
        if (cl_fixture_run(on_cores ? NULL : engine, exec, kernel, &launch, &err)) {
            fail_msg("%s of %u: %s", work->name, size, err.message);
        }
        if (!work->is_right(&job)) {
            fail_msg("%s of %u is wrong on %s", work->name, size, on_cores ? "cores" : "device");
        }
        gpu_job_fini(&job);
    }
    skua__kernel_free(kernel);
}

static void
test_cl_works_are_right_at_odd_sizes(void **state) {
    (void)state;
    static const uint32_t sizes[] = {33, 17};
    skua__engine *engine = cl_fixture_open(&device, NULL);
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec, NULL, NULL), SKUA_OK);
    const gpu_work *work;
    for (size_t i = 0; (work = gpu_work_at(i)) != NULL; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            check_work(engine, exec, work, sizes[j]);
        }
        if (strcmp(work->name, "reduction") == 0 || strcmp(work->name, "histogram") == 0) {
            check_work(engine, exec, work, LONG_SIZE); /* several runs, and the last is not whole */
        }
    }
    skua_exec_close(exec);
    skua__engine_close(engine);
}

int
main(void) {
    cl_fixture_device(&device);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cl_works_are_right_at_odd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
