// SPDX-License-Identifier: MPL-2.0
// Kernels under oclgrind, an OpenCL device that watches every access: padded sizes stay inside their buffers, groups do not
// race, and a kernel that forgets its guard is caught. Without oclgrind the program ends with 77.
#include "cl_fixture.h"

#include <sys/stat.h>

static const char oclgrind[] = "/usr/lib/oclgrind/liboclgrind-rt-icd.so";
static char folder[64], log_path[128];
static skua_device_info device;

/* Not powers of two: the last group is padded, and the padding must write nothing. */
static const size_t sizes[] = {1, 65, 257, 140001};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

/* Whether oclgrind complained since the last call. It begins its log anew with each context, that is, engine. */
static bool
complained(void) {
    struct stat about;
    bool any = stat(log_path, &about) == 0 && about.st_size > 0;
    unlink(log_path);
    return any;
}

static void
test_cl_checked_padded_sizes_stay_inside(void **state) {
    (void)state;
    skua__kernel *kernel = saxpy_kernel();
    skua__engine *engine = cl_fixture_open(&device, NULL);
    for (size_t i = 0; i < SIZES; i++) {
        saxpy_check(engine, NULL, kernel, sizes[i], i % 2);
    }
    skua__engine_close(engine);
    skua__kernel_free(kernel);
    assert_false(complained());
}

/* Runs a kernel over an array of so many ints, and tells whether oclgrind complained of it. */
static bool
is_complained_of(const char *source, size_t items) {
    static const skua_param_kind params[] = {SKUA_PARAM_OUT};
    skua__kernel *kernel = NULL;
    assert_int_equal(skua__kernel_new(NULL, "fill",
                                      SKUA_KERNEL_SPEC(.source = source, .params = params,
                                                       .param_count = 1, .guarded = 1),
                                      &kernel, NULL),
                     SKUA_OK);
    skua__engine *engine = cl_fixture_open(&device, NULL);
    int *out = calloc(items, sizeof *out);
    skua_kernel_arg args[] = {{.data = out, .bytes = items * sizeof *out}};
    assert_int_equal(cl_fixture_run(engine, NULL, kernel,
                                    SKUA_LAUNCH(.kernel = "fill", .global = {items}, .args = args,
                                                .arg_count = 1),
                                    NULL),
                     SKUA_OK);
    skua__engine_close(engine);
    skua__kernel_free(kernel);
    free(out);
    return complained();
}

/* The same sizes without a guard: what pads the last group writes past the buffer, whose block has no padding of its own. */
static void
test_cl_checked_a_missing_guard_is_caught(void **state) {
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        assert_true(is_complained_of("kernel void fill(global int *out, SKUA_SIZE) {\n"
                                     "    out[get_global_id(0)] = (int)skua_size_0;\n"
                                     "}\n",
                                     sizes[i]));
    }
}

/* Each item reads what its neighbour writes: a barrier inside the group's memory would order them, and there is none. */
static void
test_cl_checked_a_race_is_caught(void **state) {
    (void)state;
    static const char racy[] = "kernel void fill(global int *out, SKUA_SIZE) {\n"
                               "    SKUA_GUARD();\n"
                               "    local int tile[256];\n"
                               "    size_t at = get_local_id(0);\n"
                               "    tile[at] = (int)get_global_id(0);\n"
                               "    %s\n"
                               "    out[get_global_id(0)] = tile[at ^ 1];\n"
                               "}\n";
    char source[sizeof racy + 64];
    snprintf(source, sizeof source, racy, "");
    assert_true(is_complained_of(source, 512));
    snprintf(source, sizeof source, racy, "barrier(CLK_LOCAL_MEM_FENCE);");
    assert_false(is_complained_of(source, 512));
}

int
main(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    fprintf(stderr, "skipped: oclgrind checks by itself, and is not built for sanitizers\n");
    return 77;
#endif
    if (access(oclgrind, R_OK) != 0) {
        fprintf(stderr, "skipped: oclgrind is not installed\n");
        return CL_TRIAL_SKIPPED;
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
        cmocka_unit_test(test_cl_checked_a_race_is_caught),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    cl_fixture_remove_folder(folder);
    return failed;
}
