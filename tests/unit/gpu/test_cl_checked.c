// SPDX-License-Identifier: MPL-2.0
// Kernels under oclgrind, an OpenCL device that watches every access: padded sizes stay inside their buffers, groups do not
// race, and a kernel that forgets its guard is caught. Without oclgrind the program ends with 77.
#include "cl_fixture.h"

#include <sys/stat.h>

static const char oclgrind[] = "/usr/lib/oclgrind/liboclgrind-rt-icd.so";
static char folder[64], log_path[128];
static skua_device_info device;

/* Above what lies in a block of a power of two, whose end would hide what is written past a buffer's. */
enum { LARGE = 140001 };

static long
complaints(void) {
    struct stat about;
    return stat(log_path, &about) == 0 ? (long)about.st_size : 0;
}

static void
test_cl_checked_padded_sizes_stay_inside(void **state) {
    (void)state;
    skua__kernel *kernel = saxpy_kernel();
    skua__engine *engine = cl_fixture_open(&device, NULL);
    saxpy_check(engine, NULL, kernel, 1, 0);
    saxpy_check(engine, NULL, kernel, 257, 0);
    saxpy_check(engine, NULL, kernel, LARGE, 1);
    skua__engine_close(engine);
    skua__kernel_free(kernel);
    assert_int_equal(complaints(), 0);
}

/* The same sizes without a guard: what pads the last group writes past the buffer. It shows that the test can fail. */
static void
test_cl_checked_a_missing_guard_is_caught(void **state) {
    (void)state;
    static const char source[] = "kernel void fill(global int *out, SKUA_SIZE) {\n"
                                 "    out[get_global_id(0)] = (int)skua_size_0;\n"
                                 "}\n";
    static const skua_param_kind params[] = {SKUA_PARAM_OUT};
    skua__kernel *kernel = NULL;
    assert_int_equal(skua__kernel_new(NULL, "fill",
                                      SKUA_KERNEL_SPEC(.source = source, .params = params,
                                                       .param_count = 1, .guarded = 1),
                                      &kernel, NULL),
                     SKUA_OK);
    skua__engine *engine = cl_fixture_open(&device, NULL);
    static int out[LARGE];
    skua_kernel_arg args[] = {{.data = out, .bytes = sizeof out}};
    assert_int_equal(cl_fixture_run(engine, NULL, kernel,
                                    SKUA_LAUNCH(.kernel = "fill", .global = {LARGE}, .args = args,
                                                .arg_count = 1),
                                    NULL),
                     SKUA_OK);
    skua__engine_close(engine);
    skua__kernel_free(kernel);
    assert_true(complaints() > 0);
}

int
main(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    fprintf(stderr, "skipped: oclgrind checks by itself, and is not built for sanitizers\n");
    return 77;
#endif
    if (access(oclgrind, R_OK) != 0) {
        fprintf(stderr, "skipped: oclgrind is not installed\n");
        return 77;
    }
    cl_fixture_folder(folder);
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    setenv("OCL_ICD_VENDORS", oclgrind, 1);
    setenv("OCLGRIND_LOG", log_path, 1);
    setenv("OCLGRIND_DATA_RACES", "1", 1);
    cl_fixture_device(&device);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cl_checked_padded_sizes_stay_inside),
        cmocka_unit_test(test_cl_checked_a_missing_guard_is_caught),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cl_fixture_remove_folder(folder);
    return failed;
}
