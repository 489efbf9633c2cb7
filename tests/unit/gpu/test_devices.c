// SPDX-License-Identifier: MPL-2.0
// Devices are found in a child that may hang or crash, are kept on disk under a fingerprint, and are coded so that
// nothing but a whole list is taken for one.
#include "test.h"

#include "failing_allocator.h"
#include "gpu/describe.h"
#include <dlfcn.h>
#include <signal.h>
#include <skua-int/rand.h>
#include <string.h>
#include <unistd.h>

struct folder {
    char path[64];
};

static int
make_folder(void **state) {
    struct folder *folder = calloc(1, sizeof *folder);
    strcpy(folder->path, "/tmp/skua-devices-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    *state = folder;
    return 0;
}

static int
remove_folder(void **state) {
    struct folder *folder = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder->path);
    assert_int_equal(system(command), 0);
    free(folder);
    unsetenv("OCL_ICD_VENDORS");
    return 0;
}

static void
fill(skua__device_list *list, uint32_t count) {
    memset(list, 0, sizeof *list);
    list->count = count;
    snprintf(list->reason, sizeof list->reason, "%u devices", count);
    for (uint32_t i = 0; i < count; i++) {
        skua_device_info *device = &list->devices[i];
        *device = (skua_device_info){.size = sizeof *device,
                                     .kind = SKUA_DEVICE_DISCRETE + (int32_t)(i % 4),
                                     .usable = 1,
                                     .has_uuid = 1,
                                     .units = i,
                                     .numa = -1,
                                     .memory_bytes = UINT64_MAX - i};
        snprintf(device->name, sizeof device->name, "device %u", i);
        memset(device->uuid, (int)i, sizeof device->uuid);
    }
}

static void
test_devices_code_survives_a_round_trip(void **state) {
    (void)state;
    static skua__device_list list, back;
    static uint8_t bytes[SKUA__DEVICE_LIST_BYTES];
    for (uint32_t count = 0; count <= SKUA_DEVICES_MAX; count += 16) {
        fill(&list, count);
        size_t size = skua__device_list_encode(&list, 7, bytes);
        assert_true(skua__device_list_decode(&back, 7, bytes, size));
        assert_memory_equal(&back, &list, sizeof list);
        assert_false(skua__device_list_decode(&back, 8, bytes, size));
    }
}

static void
test_devices_code_refuses_what_is_not_whole(void **state) {
    (void)state;
    static skua__device_list list, back;
    static uint8_t bytes[SKUA__DEVICE_LIST_BYTES];
    skua__rand rand = {.state = test_seed(1)};
    fill(&list, 3);
    size_t size = skua__device_list_encode(&list, 7, bytes);
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(skua__device_list_decode(&back, 7, bytes, cut));
    }
    for (int i = 0; i < 20000; i++) {
        size_t at = skua__rand_below(&rand, (uint32_t)size);
        uint8_t flip = (uint8_t)(1u << skua__rand_below(&rand, 8));
        bytes[at] ^= flip;
        assert_false(skua__device_list_decode(&back, 7, bytes, size));
        bytes[at] ^= flip;
    }
}

static void
describe_two(skua__device_list *ret_list) {
    fill(ret_list, 2);
    puts("a driver that prints"); /* must not reach the program's output */
    signal(SIGTERM, SIG_IGN);     /* must not reach the program's handlers */
}

static void
describe_hangs(skua__device_list *ret_list) {
    (void)ret_list;
    for (;;) {
        pause();
    }
}

static void
describe_crashes(skua__device_list *ret_list) {
    (void)ret_list;
    raise(SIGKILL);
}

static void
test_devices_probe_keeps_the_driver_away(void **state) {
    (void)state;
    static skua__device_list list;
    bool answered = false;
    struct sigaction before, after;
    sigaction(SIGTERM, NULL, &before);
    assert_int_equal(skua__device_probe(&list, describe_two, 10000, &answered, NULL), 0);
    sigaction(SIGTERM, NULL, &after);
    assert_true(answered);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.devices[1].name, "device 1");
    assert_true(before.sa_handler == after.sa_handler);
}

static void
test_devices_probe_ends_a_driver_that_hangs(void **state) {
    (void)state;
    static skua__device_list list;
    bool answered = true;
    assert_int_equal(skua__device_probe(&list, describe_hangs, 50, &answered, NULL), 0);
    assert_false(answered);
    assert_int_equal(list.count, 0);
    assert_string_equal(list.reason, "the OpenCL driver did not answer within 50 ms");
}

static void
test_devices_probe_outlives_a_driver_that_crashes(void **state) {
    (void)state;
    static skua__device_list list;
    bool answered = true;
    assert_int_equal(skua__device_probe(&list, describe_crashes, 10000, &answered, NULL), 0);
    assert_false(answered);
    assert_string_equal(list.reason, "the OpenCL driver crashed while it was asked (signal 9)");
}

static void
write_file(const char *folder, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void
test_devices_fingerprint_follows_what_is_installed(void **state) {
    struct folder *folder = *state;
    skua__device_sources sources = {
        .vendors_dir = folder->path, .loader_cache = "/nonexistent", .dev_dir = folder->path};
    assert_false(skua__device_driver_installed(&sources));
    uint64_t none = skua__device_fingerprint(&sources);
    assert_true(skua__device_fingerprint(&sources) == none);
    write_file(folder->path, "notes.txt", "no driver");
    assert_true(skua__device_fingerprint(&sources) == none);
    write_file(folder->path, "a.icd", "liba.so");
    assert_true(skua__device_driver_installed(&sources));
    uint64_t one = skua__device_fingerprint(&sources);
    assert_true(one != none);
    write_file(folder->path, "nvidia0", "");
    assert_true(skua__device_fingerprint(&sources) != one);
}

static void
test_devices_cache_gives_back_what_was_kept(void **state) {
    struct folder *folder = *state;
    static skua__device_list list, back;
    char dir[128];
    snprintf(dir, sizeof dir, "%s/deep/er", folder->path);
    fill(&list, 5);
    assert_false(skua__device_cache_load(dir, 42, &back));
    skua__device_cache_save(dir, 42, &list);
    assert_true(skua__device_cache_load(dir, 42, &back));
    assert_memory_equal(&back, &list, sizeof list);
    assert_false(skua__device_cache_load(dir, 43, &back));

    char path[256];
    snprintf(path, sizeof path, "%s/devices-%016x", dir, 42);
    assert_int_equal(truncate(path, 100), 0);
    assert_false(skua__device_cache_load(dir, 42, &back));
    /* A folder that cannot be made is no harm. */
    skua__device_cache_save("/proc/nowhere", 42, &list);
}

static void
test_devices_of_a_machine_without_drivers(void **state) {
    struct folder *folder = *state;
    setenv("OCL_ICD_VENDORS", folder->path, 1);
    skua_devices *devices = NULL;
    skua_error err;
    assert_int_equal(skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cache_dir = ""), &err), 0);
    assert_int_equal(skua_devices_count(devices), 0);
    skua_device_info info = {.size = sizeof info};
    assert_int_equal(skua_devices_at(devices, 0, &info, &err), SKUA_E_NOT_FOUND);
    assert_null(skua_devices_close(devices));
    assert_null(skua_devices_close(NULL));
}

static void
open_with_driver(const struct folder *folder, const char *library, const char *reason_part) {
    write_file(folder->path, "bad.icd", library);
    setenv("OCL_ICD_VENDORS", folder->path, 1);
    skua_devices *devices = NULL;
    assert_int_equal(
        skua_devices_open(&devices,
                          SKUA_DEVICES_OPTIONS(.cache_dir = folder->path, .probe_timeout_ms = 300),
                          NULL),
        0);
    assert_int_equal(skua_devices_count(devices), 0);
    assert_non_null(strstr(skua_devices_reason(devices), reason_part));
    skua_devices_close(devices);
}

static void
skip_without_opencl(void) {
    void *library = dlopen("libOpenCL.so.1", RTLD_NOW);
    if (!library) {
        skip();
    }
    dlclose(library);
}

static void
test_devices_of_a_driver_that_hangs_when_loaded(void **state) {
    skip_without_opencl();
    open_with_driver(*state, getenv("BAD_DRIVER_HANGS"), "did not answer within 300 ms");
}

static void
test_devices_of_a_driver_that_crashes_when_loaded(void **state) {
    skip_without_opencl();
    open_with_driver(*state, getenv("BAD_DRIVER_CRASHES"),
                     "crashed while it was asked (signal 11)");
}

static void
test_devices_open_without_memory(void **state) {
    (void)state;
    failing_allocator hook;
    failing_allocator_init(&hook, 1);
    skua_devices *devices = NULL;
    assert_int_equal(
        skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.allocator = &hook.hook), NULL),
        SKUA_E_NO_MEMORY);
    assert_null(devices);
    assert_int_equal(skua_devices_open(NULL, NULL, NULL), SKUA_E_BAD_ARGUMENT);
}

static void
test_devices_of_this_machine_are_the_same_from_disk(void **state) {
    struct folder *folder = *state;
    skua_devices *fresh = NULL, *kept = NULL;
    const skua_devices_options *options =
        SKUA_DEVICES_OPTIONS(.cache_dir = folder->path, .cpu_devices = 1);
    assert_int_equal(skua_devices_open(&fresh, options, NULL), 0);
    assert_int_equal(skua_devices_open(&kept, options, NULL), 0);
    assert_int_equal(skua_devices_count(fresh), skua_devices_count(kept));
    for (size_t i = 0; i < skua_devices_count(fresh); i++) {
        skua_device_info a = {.size = sizeof a}, b = {.size = sizeof b};
        assert_int_equal(skua_devices_at(fresh, i, &a, NULL), 0);
        assert_int_equal(skua_devices_at(kept, i, &b, NULL), 0);
        assert_memory_equal(&a, &b, sizeof a);
        assert_true(a.units > 0);
    }
    print_message("%s\n", skua_devices_reason(kept));
    skua_devices_close(fresh);
    skua_devices_close(kept);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices_code_survives_a_round_trip),
        cmocka_unit_test(test_devices_code_refuses_what_is_not_whole),
        cmocka_unit_test(test_devices_probe_keeps_the_driver_away),
        cmocka_unit_test(test_devices_probe_ends_a_driver_that_hangs),
        cmocka_unit_test(test_devices_probe_outlives_a_driver_that_crashes),
        IN_A_FOLDER(test_devices_fingerprint_follows_what_is_installed),
        IN_A_FOLDER(test_devices_cache_gives_back_what_was_kept),
        IN_A_FOLDER(test_devices_of_a_machine_without_drivers),
        IN_A_FOLDER(test_devices_of_a_driver_that_hangs_when_loaded),
        IN_A_FOLDER(test_devices_of_a_driver_that_crashes_when_loaded),
        cmocka_unit_test(test_devices_open_without_memory),
        IN_A_FOLDER(test_devices_of_this_machine_are_the_same_from_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
