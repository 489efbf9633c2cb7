// SPDX-License-Identifier: MPL-2.0
// A thousand nodes opened and closed one after the other leave descriptors, threads and memory flat.
#include "test.h"

#include "failing_allocator.h"
#include "test_fleet.h"
#include <skua-int/clock.h>

#include <dirent.h>
#include <malloc.h>
#include <string.h>

static int
entries_of(const char *path) {
    int count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

static long
resident_kb(void) {
    long kb = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        sscanf(line, "VmRSS: %ld", &kb);
    }
    fclose(file);
    return kb;
}

static void
cycles(int count, const skua_allocator *hook) {
    for (int i = 0; i < count; i++) {
        skua_node_close(test_node_open_with(SKUA_NODE_OPTIONS(.name = "cycle", .allocator = hook)));
    }
}

static void
test_cycles_leave_everything_flat(void **state) {
    (void)state;
    enum { WARM = 250, CYCLES = 1000, SLACK_BYTES_PER_CYCLE = 64, SLACK_KB = 4096 };
    failing_allocator hook;
    failing_allocator_init(&hook, 0);
    cycles(WARM, &hook.hook);
    int descriptors = entries_of("/proc/self/fd"), threads = entries_of("/proc/self/task");
    long before_kb = resident_kb();
    size_t before_bytes = mallinfo2().uordblks;
    int64_t begun_ns = skua__clock_ns();
    cycles(CYCLES, &hook.hook);
    int64_t took_ns = skua__clock_ns() - begun_ns;
    long after_kb = resident_kb();
    size_t after_bytes = mallinfo2().uordblks;
    print_message(
        "%d cycles: %.2f ms each, heap in use %zu -> %zu bytes, resident %ld -> %ld KiB\n", CYCLES,
        (double)took_ns / 1e6 / CYCLES, before_bytes, after_bytes, before_kb, after_kb);
    assert_int_equal(entries_of("/proc/self/fd"), descriptors);
    assert_int_equal(entries_of("/proc/self/task"), threads);
    assert_int_equal(atomic_load(&hook.alive), 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    /* A sanitizer keeps what was freed for a while, to catch who still uses it. */
    assert_true(after_bytes < before_bytes + (size_t)SLACK_BYTES_PER_CYCLE * CYCLES);
    /* What is resident also counts the holes that malloc keeps, which come and go by more than a megabyte: this
       bound is for what malloc does not see, such as a mapping left behind. */
    assert_true(after_kb < before_kb + SLACK_KB);
#endif
}

int
main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cycles_leave_everything_flat)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
