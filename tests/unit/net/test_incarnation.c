// SPDX-License-Identifier: MPL-2.0
// The number of a node's life: the clock's, and never lower than the last one's.
#include "test.h"

#include "node_priv.h"
#include "test_fleet.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const skua__uuid uuid = {{1, 2, 3}};
static const char file_name[] = "incarnation-01020300-0000-0000-0000-000000000000";

static char *
make_dir(char *ret, size_t size, const char *name) {
    snprintf(ret, size, "%s/%s", test_fleet_begin(), name);
    assert_int_equal(mkdir(ret, 0700), 0);
    return ret;
}

static uint64_t
next(const char *dir, uint64_t clock) {
    uint64_t incarnation = 0;
    skua_error err;
    assert_int_equal(skua__incarnation_next(dir, &uuid, clock, &incarnation, &err), 0);
    return incarnation;
}

static void
test_incarnation_never_falls(void **state) {
    (void)state;
    char dir[300];
    make_dir(dir, sizeof dir, "lives");
    assert_int_equal(next(dir, 5000), 5000);
    assert_int_equal(next(dir, 6000), 6000);
    assert_int_equal(next(dir, 100), 6001); /* the clock was set back */
    assert_int_equal(next(dir, 6001), 6002);
    assert_int_equal(next(dir, 7000), 7000);
    /* Another node of the same folder has a life of its own. */
    uint64_t incarnation = 0;
    const skua__uuid other = {{9}};
    assert_int_equal(skua__incarnation_next(dir, &other, 50, &incarnation, NULL), 0);
    assert_int_equal(incarnation, 50);
}

static void
write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void
test_incarnation_of_a_damaged_file_is_the_clock(void **state) {
    (void)state;
    char dir[300], path[400];
    make_dir(dir, sizeof dir, "damaged");
    snprintf(path, sizeof path, "%s/%s", dir, file_name);
    static const char *const texts[] = {"", "12", "not a number at all!\n",
                                        "99999999999999999999\n", "0000000000000000123x\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_text(path, texts[i]);
        assert_int_equal(next(dir, 77), 77);
        assert_int_equal(next(dir, 77), 78);
    }
}

static void
test_incarnation_without_a_folder_is_an_error(void **state) {
    (void)state;
    char dir[300];
    uint64_t incarnation = 4;
    skua_error err;
    snprintf(dir, sizeof dir, "%s/not-there", test_fleet_begin());
    assert_int_equal(skua__incarnation_next(dir, &uuid, 1, &incarnation, &err), SKUA_E_FILE);
    assert_non_null(strstr(err.message, "leave the id out"));
    assert_int_equal(incarnation, 4);
    /* A file that cannot be written. */
    char path[400];
    make_dir(dir, sizeof dir, "full");
    snprintf(path, sizeof path, "%s/%s", dir, file_name);
    assert_int_equal(symlink("/dev/full", path), 0);
    assert_int_equal(skua__incarnation_next(dir, &uuid, 1, &incarnation, &err), SKUA_E_FILE);
    assert_int_equal(incarnation, 4);
}

static void
test_incarnation_of_a_node_rises_with_each_life(void **state) {
    (void)state;
    static const uint8_t id[16] = {7};
    uint64_t last = 0;
    for (int i = 0; i < 3; i++) {
        skua_node *node = test_node_open_with(SKUA_NODE_OPTIONS(.name = "again", .id = id));
        assert_true(skua__node_incarnation(node) > last);
        last = skua__node_incarnation(node) + UINT64_C(1000000000);
        skua_node_close(node);
        /* The clock of the next life is far behind. */
        skua__uuid own;
        memcpy(own.bytes, id, sizeof own.bytes);
        assert_int_equal(skua__incarnation_next(NULL, &own, last, &last, NULL), 0);
    }
}

int
main(void) {
    test_fleet_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_incarnation_never_falls),
        cmocka_unit_test(test_incarnation_of_a_damaged_file_is_the_clock),
        cmocka_unit_test(test_incarnation_without_a_folder_is_an_error),
        cmocka_unit_test(test_incarnation_of_a_node_rises_with_each_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
