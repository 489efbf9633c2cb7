// SPDX-License-Identifier: MPL-2.0
// Kernels on a real OpenCL driver (PoCL where there is no GPU): results, sizes, errors, kept binaries, and the traps
// that drivers have shown.
#include "cl_fixture.h"

#include "gpu/program_store.h"
#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

static skua_device_info device;

static void
test_cl_launch_saxpy_on_device_and_cores(void **state) {
    (void)state;
    skua__kernel *kernel = saxpy_kernel();
    skua__engine *engine = cl_fixture_open(&device, NULL);
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec, NULL, NULL), SKUA_OK);
    /* Prime sizes, and one above what is copied express, aligned for use in place and not. */
    static const size_t sizes[] = {1, 2, 255, 256, 257, 10007, 200003};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        saxpy_check(engine, NULL, kernel, sizes[i], 0);
        saxpy_check(engine, NULL, kernel, sizes[i], 1);
        saxpy_check(NULL, exec, kernel, sizes[i], 0);
    }
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    assert_int_equal(counters.launches, 14);
    assert_int_equal(counters.failures, 0);
    assert_int_equal(counters.builds, 1);
    if (device.unified) {
        assert_int_equal(counters.zero_copies, 14); /* two arguments of seven launches */
    }
    skua_exec_close(exec);
    skua__engine_close(engine);
    skua__kernel_free(kernel);
}

static void
test_cl_launch_says_what_the_compiler_said(void **state) {
    (void)state;
    skua__engine *engine = cl_fixture_open(&device, NULL);
    skua__kernel *kernel = NULL;
    skua_error err = {0};
    assert_int_equal(skua__kernel_new(NULL, "bad",
                                      SKUA_KERNEL_SPEC(.source = "kernel void bad() {\n"
                                                                 "    undeclared_thing = 1;\n}\n"),
                                      &kernel, NULL),
                     SKUA_OK);
    /* Twice: that it does not build is remembered. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            cl_fixture_run(engine, NULL, kernel, SKUA_LAUNCH(.kernel = "bad", .global = {1}), &err),
            SKUA_E_KERNEL_BUILD);
        assert_non_null(strstr(err.message, "undeclared_thing"));
        assert_false(isspace((unsigned char)err.message[strlen(err.message) - 1]));
    }
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    assert_int_equal(counters.builds, 1);
    skua__kernel_free(kernel);
    assert_int_equal(skua__kernel_new(NULL, "absent",
                                      SKUA_KERNEL_SPEC(.source = "kernel void other() {}\n"),
                                      &kernel, NULL),
                     SKUA_OK);
    assert_int_equal(
        cl_fixture_run(engine, NULL, kernel, SKUA_LAUNCH(.kernel = "absent", .global = {1}), &err),
        SKUA_E_KERNEL_BUILD);
    skua__kernel_free(kernel);
    /* The device is none the worse for it. */
    kernel = saxpy_kernel();
    saxpy_check(engine, NULL, kernel, 100, 0);
    skua__engine_close(engine);
    skua__kernel_free(kernel);
}

/* The one kept binary in a folder. */
static void
only_binary(const char *folder, char *ret, size_t size) {
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strncmp(entry->d_name, "kernel-", 7) == 0) {
            count++;
            snprintf(ret, size, "%s/%s", folder, entry->d_name);
        }
    }
    closedir(dir);
    assert_int_equal(count, 1);
}

/* Runs one saxpy in an engine of its own. Returns whether the kernel came from the kept binary. */
static bool
served_by_binary(const char *folder, const skua__kernel *kernel) {
    skua__engine *engine = cl_fixture_open(&device, folder);
    saxpy_check(engine, NULL, kernel, 1000, 0);
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    skua__engine_close(engine);
    assert_int_equal(counters.builds, 1);
    return counters.binaries_used == 1;
}

static void
test_cl_launch_keeps_the_binary_and_trusts_only_whole_ones(void **state) {
    (void)state;
    char folder[64], path[512];
    cl_fixture_folder(folder);
    skua__kernel *kernel = saxpy_kernel();
    assert_false(served_by_binary(folder, kernel));
    assert_true(served_by_binary(folder, kernel));
    only_binary(folder, path, sizeof path);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static unsigned char whole[1 << 20];
    size_t bytes = fread(whole, 1, sizeof whole, file);
    fclose(file);
    assert_in_range(bytes, 100, sizeof whole - 1);
    /* Cut short, with one bit turned, junk, and empty: each is built anew and replaced by a whole one. */
    for (int damage = 0; damage < 4; damage++) {
        size_t left = damage == 0 ? bytes / 2 : damage == 3 ? 0 : bytes;
        file = fopen(path, "wb");
        for (size_t i = 0; i < left; i++) {
            int byte = damage == 2 ? (int)(i * 7 & 0xff) : whole[i];
            byte ^= damage == 1 && i == bytes - 10 ? 4 : 0;
            fputc(byte, file);
        }
        fclose(file);
        assert_false(served_by_binary(folder, kernel));
    }
    assert_true(served_by_binary(folder, kernel));
    skua__kernel_free(kernel);
    cl_fixture_remove_folder(folder);
}

/* A file that is whole, and yet no binary of this driver: the driver refuses it, and the source serves. */
static void
test_cl_launch_falls_back_from_a_foreign_binary(void **state) {
    (void)state;
    char folder[64];
    cl_fixture_folder(folder);
    skua__kernel *kernel = saxpy_kernel();
    static const char foreign[] = "this is no program of any driver, however long one reads it";
    skua__program_save(folder, kernel->digest, &device, foreign, sizeof foreign);
    assert_false(served_by_binary(folder, kernel));
    skua__kernel_free(kernel);
    cl_fixture_remove_folder(folder);
}

static int handled;

static void
handle(int number) {
    handled = number;
}

static void
test_cl_launch_leaves_signal_handlers_alone(void **state) {
    (void)state;
    static const int numbers[] = {SIGINT, SIGTERM, SIGSEGV, SIGFPE, SIGUSR2, SIGABRT};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        signal(numbers[i], handle);
    }
    skua__engine *engine = cl_fixture_open(&device, NULL);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction now;
        sigaction(numbers[i], NULL, &now);
        assert_true(now.sa_handler == handle);
        signal(numbers[i], SIG_DFL);
    }
    skua__engine_close(engine);
}

static void
test_cl_launch_is_refused_after_fork(void **state) {
    (void)state;
    skua__kernel *kernel = saxpy_kernel();
    skua__engine *engine = cl_fixture_open(&device, NULL);
    saxpy_check(engine, NULL, kernel, 10, 0);
    pid_t child = fork();
    if (child == 0) {
        float x = 1, y = 1;
        bool refused = saxpy_run(engine, NULL, kernel, &y, &x, 1, 1, NULL) == SKUA_E_FORKED;
        skua__engine_close(engine); /* and this does nothing, rather than wait for ever */
        _exit(refused ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    saxpy_check(engine, NULL, kernel, 10, 0);
    skua__engine_close(engine);
    skua__kernel_free(kernel);
}

enum { THREADS = 4, LAUNCHES = 250 };

typedef struct sharer {
    skua__engine *engine;
    const skua__kernel *kernel;
    float factor;
    int wrong;
} sharer;

/* A thread's own factor and size, so that arguments that get mixed up show. */
static void *
share_kernel(void *arg) {
    sharer *self = arg;
    size_t n = 100 + (size_t)self->factor;
    float y[128], x[128];
    for (int round = 0; round < LAUNCHES; round++) {
        for (size_t i = 0; i < n; i++) {
            y[i] = (float)round;
            x[i] = (float)i;
        }
        if (saxpy_run(self->engine, NULL, self->kernel, y, x, self->factor, n, NULL)) {
            self->wrong++;
        }
        for (size_t i = 0; i < n; i++) {
            self->wrong += y[i] != self->factor * (float)i + (float)round;
        }
    }
    return NULL;
}

static void
test_cl_launch_one_kernel_from_many_threads(void **state) {
    (void)state;
    skua__kernel *kernel = saxpy_kernel();
    skua__engine *engine = cl_fixture_open(&device, NULL);
    pthread_t threads[THREADS];
    sharer sharers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        sharers[i] = (sharer){.engine = engine, .kernel = kernel, .factor = (float)(i + 1)};
        assert_int_equal(skua__thread_start(&threads[i], "sharer", share_kernel, &sharers[i], NULL),
                         SKUA_OK);
    }
    for (int i = 0; i < THREADS; i++) {
        skua__thread_join(threads[i]);
        assert_int_equal(sharers[i].wrong, 0);
    }
    skua__engine_close(engine);
    skua__kernel_free(kernel);
}

/* Indices are the whole launch's in each part, and no part sees more than its slices. */
static void
test_cl_launch_parts_on_device_and_cores(void **state) {
    (void)state;
    static const size_t ends[] = {1, 256, 1000, 1001, 40000, 100003};
    skua__kernel *kernel = saxpy_kernel();
    skua__engine *engine = cl_fixture_open(&device, NULL);
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 2), NULL), SKUA_OK);
    saxpy_check_parts(engine, NULL, kernel, 100003, ends, 6);
    saxpy_check_parts(NULL, exec, kernel, 100003, ends, 6);
    skua__kernel *place = place_kernel();
    place_check_parts(engine, NULL, place, true);
    place_check_parts(NULL, exec, place, false);
    skua_exec_close(exec);
    skua__engine_close(engine);
    skua__kernel_free(kernel);
    skua__kernel_free(place);
}

/*
 * Left without a size of groups, a driver may run a prime number of work-items one by one: groups are always given, and a
 * guarded kernel's are full.
 */
static void
test_cl_launch_a_prime_size_has_full_groups(void **state) {
    (void)state;
    static const char source[] = "kernel void group(global uint *out, SKUA_SIZE) {\n"
                                 "    SKUA_GUARD();\n"
                                 "    out[get_global_id(0)] = get_local_size(0);\n"
                                 "}\n";
    static const skua_param_kind params[] = {SKUA_PARAM_OUT};
    static const size_t primes[] = {2, 257, 10007, 65537};
    static uint32_t out[65537];
    skua__kernel *kernel = NULL;
    assert_int_equal(skua__kernel_new(NULL, "group",
                                      SKUA_KERNEL_SPEC(.source = source, .params = params,
                                                       .param_count = 1, .guarded = 1),
                                      &kernel, NULL),
                     SKUA_OK);
    skua__engine *engine = cl_fixture_open(&device, NULL);
    for (size_t i = 0; i < sizeof primes / sizeof primes[0]; i++) {
        const skua_kernel_arg args[] = {{.data = out, .bytes = primes[i] * sizeof out[0]}};
        assert_int_equal(cl_fixture_run(engine, NULL, kernel,
                                        SKUA_LAUNCH(.kernel = "group", .global = {primes[i]},
                                                    .args = args, .arg_count = 1),
                                        NULL),
                         SKUA_OK);
        for (size_t at = 0; at < primes[i]; at++) {
            assert_int_equal(out[at], 256);
        }
    }
    skua__engine_close(engine);
    skua__kernel_free(kernel);
}

/* A group's own memory, two dimensions, and a size that nothing pads. */
static void
test_cl_launch_unguarded_with_local_memory(void **state) {
    (void)state;
    static const char source[] =
        "kernel void turn(global int *out, global const int *in, local int *tile) {\n"
        "    size_t at = get_local_id(1) * get_local_size(0) + get_local_id(0);\n"
        "    tile[at] = in[get_global_id(1) * get_global_size(0) + get_global_id(0)];\n"
        "    barrier(CLK_LOCAL_MEM_FENCE);\n"
        "    out[get_global_id(0) * get_global_size(1) + get_global_id(1)] = tile[at];\n"
        "}\n";
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_IN, SKUA_PARAM_LOCAL};
    skua__kernel *kernel = NULL;
    assert_int_equal(
        skua__kernel_new(NULL, "turn",
                         SKUA_KERNEL_SPEC(.source = source, .params = params, .param_count = 3),
                         &kernel, NULL),
        SKUA_OK);
    skua__engine *engine = cl_fixture_open(&device, NULL);
    enum { WIDE = 30, HIGH = 17 };
    int in[HIGH * WIDE], out[WIDE * HIGH];
    for (int i = 0; i < HIGH * WIDE; i++) {
        in[i] = i;
    }
    skua_kernel_arg args[] = {{.data = out, .bytes = sizeof out},
                              {.data = in, .bytes = sizeof in},
                              {.bytes = 256 * sizeof(int)}};
    assert_int_equal(cl_fixture_run(engine, NULL, kernel,
                                    SKUA_LAUNCH(.kernel = "turn", .dims = 2, .args = args,
                                                .arg_count = 3, .global = {WIDE, HIGH}),
                                    NULL),
                     SKUA_OK);
    for (int y = 0; y < HIGH; y++) {
        for (int x = 0; x < WIDE; x++) {
            assert_int_equal(out[x * HIGH + y], y * WIDE + x);
        }
    }
    /* More than a group can have is no fault of the device's, which goes on as before. */
    skua_error err = {0};
    args[2].bytes = device.local_bytes + 1;
    assert_int_equal(cl_fixture_run(engine, NULL, kernel,
                                    SKUA_LAUNCH(.kernel = "turn", .dims = 2, .args = args,
                                                .arg_count = 3, .global = {WIDE, HIGH}),
                                    &err),
                     SKUA_E_DEVICE_MEMORY);
    assert_non_null(strstr(err.message, "scratch memory in a work-group"));
    skua__engine_counters counters;
    skua__engine_counters_get(engine, &counters);
    assert_int_equal(counters.evictions + counters.quarantines, 0);
    skua__engine_close(engine);
    skua__kernel_free(kernel);
}

int
main(void) {
    cl_fixture_device(&device);
    const struct CMUnitTest tests[] = {
        /* First: drivers replace handlers when the process starts them, which happens once. */
        cmocka_unit_test(test_cl_launch_leaves_signal_handlers_alone),
        cmocka_unit_test(test_cl_launch_saxpy_on_device_and_cores),
        cmocka_unit_test(test_cl_launch_says_what_the_compiler_said),
        cmocka_unit_test(test_cl_launch_keeps_the_binary_and_trusts_only_whole_ones),
        cmocka_unit_test(test_cl_launch_falls_back_from_a_foreign_binary),
        cmocka_unit_test(test_cl_launch_is_refused_after_fork),
        cmocka_unit_test(test_cl_launch_one_kernel_from_many_threads),
        cmocka_unit_test(test_cl_launch_parts_on_device_and_cores),
        cmocka_unit_test(test_cl_launch_a_prime_size_has_full_groups),
        cmocka_unit_test(test_cl_launch_unguarded_with_local_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
