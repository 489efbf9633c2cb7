// SPDX-License-Identifier: MPL-2.0
// The demo's kernel on a device, against a plain loop: texts that end in a word, between words and in the middle of a slice. cl_under runs it on
// the machine's OpenCL and under oclgrind.
#include "test.h"

#include "demo_lengths.h"
#include "demo_words.h"
#include <skua-int/mem.h>
#include <skua/device.h>
#include <skua/exec.h>
#include <string.h>

static skua_pool *pool;

static void
count_plainly(const char *text, uint32_t size, uint64_t histogram[DEMO_LENGTHS]) {
    for (uint32_t at = 0, length = 0; at <= size; at++) {
        if (at < size && demo_is_letter((unsigned char)text[at])) {
            length++;
            continue;
        }
        histogram[length < DEMO_LENGTHS ? length : DEMO_LENGTHS - 1] += length > 0;
        length = 0;
    }
}

static void
test_demo_lengths_are_those_of_a_loop(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 1023, 1024, 1025, 5000, 20011};
    uint64_t seed = test_seed(11);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint32_t size = sizes[i];
        char *text = skua__mem_new(NULL, size);
        for (uint32_t at = 0; at < size; at++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            /* Now and then a stretch of letters alone, longer than a slice. */
            bool letters = at % 4096 > 2800;
            text[at] = (char)(letters || seed >> 61 ? 'a' + (int)(seed >> 40 & 15) : ' ');
        }
        uint64_t wanted[DEMO_LENGTHS] = {0}, counted[DEMO_LENGTHS] = {0};
        count_plainly(text, size, wanted);
        demo_lengths job = {0};
        skua_error err;
        if (demo_lengths_submit(&job, pool, SKUA_ON_DEVICE, text, size, &err) ||
            demo_lengths_collect(&job, pool, counted, &err)) {
            fail_msg("%s", err.message);
        }
        assert_memory_equal(counted, wanted, sizeof wanted);
    }
}

int
main(void) {
    skua_devices *devices = NULL;
    skua_exec *exec = NULL;
    skua_error err;
    if (skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cpu_devices = 1), &err) ||
        skua_exec_open(&exec, NULL, &err) ||
        skua_pool_open(&pool, SKUA_POOL_OPTIONS(.exec = exec, .devices = devices), &err) ||
        demo_lengths_register(pool, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_demo_lengths_are_those_of_a_loop),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    skua_pool_close(pool);
    skua_devices_close(devices);
    skua_exec_close(exec);
    return failed;
}
