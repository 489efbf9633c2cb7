// SPDX-License-Identifier: MPL-2.0
// Fleets on disk: what is made, with which modes, what is read back, and what is refused with which words.
#include "test.h"

#include "fleet_files.h"
#include "test_fleet.h"
#include <skua/fleet.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void
path_of(char *ret, size_t size, const char *name) {
    snprintf(ret, size, "%s/%s", test_fleet_begin(), name);
}

static unsigned
mode_of(const char *dir, const char *file) {
    char path[SKUA_FLEET_PATH_BYTES + 64];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 0777;
}

static void
test_fleet_init_makes_private_files_once(void **state) {
    (void)state;
    char dir[300];
    path_of(dir, sizeof dir, "a/b/fleet");
    skua_error err;
    assert_int_equal(skua_fleet_init(dir, &err), 0);
    assert_int_equal(mode_of(dir, ""), 0700);
    assert_int_equal(mode_of(dir, "fleet.cfg"), 0600);
    assert_int_equal(mode_of(dir, "fleet-secret.cfg"), 0600);
    skua_fleet_info first = {.size = sizeof first}, second = {.size = sizeof second};
    assert_int_equal(skua_fleet_show(dir, &first, &err), 0);
    assert_int_equal(skua_fleet_init(dir, &err), SKUA_E_EXISTS);
    assert_int_equal(skua_fleet_show(dir, &second, &err), 0);
    assert_string_equal(first.fleet_key, second.fleet_key);
    assert_int_equal(first.can_issue, 1);
    assert_int_equal(first.personal, 0);
    assert_int_equal(first.has_certificate, 0);
    assert_int_equal(skua_fleet_init("", &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_fleet_init("/proc/no/such", &err), SKUA_E_FILE);
}

static void
test_fleet_issue_keeps_the_secret_at_home(void **state) {
    (void)state;
    char dir[300], out[400] = "";
    path_of(dir, sizeof dir, "fleet");
    skua_error err;
    assert_int_equal(skua_fleet_init(dir, &err), 0);
    assert_int_equal(
        skua_fleet_issue(
            dir,
            SKUA_FLEET_ISSUE_OPTIONS(.name = "oslo", .roles = SKUA_ROLE_PUBLISH, .expires_s = 3600),
            out, sizeof out, &err),
        0);
    skua_fleet_info info = {.size = sizeof info};
    assert_int_equal(skua_fleet_show(out, &info, &err), 0);
    assert_string_equal(info.name, "oslo");
    assert_int_equal(info.roles, SKUA_ROLE_PUBLISH);
    assert_int_equal(info.can_issue, 0);
    assert_int_equal(info.has_certificate, 1);
    assert_int_equal(info.expired, 0);
    assert_int_equal(mode_of(out, ""), 0700);
    assert_int_equal(mode_of(out, "node-secret.cfg"), 0600);
    char path[500];
    snprintf(path, sizeof path, "%s/fleet-secret.cfg", out);
    assert_int_equal(access(path, F_OK), -1);

    skua__credentials node, fleet;
    assert_int_equal(skua__credentials_read(out, false, &node, &err), 0);
    assert_int_equal(skua__credentials_read(dir, false, &fleet, &err), 0);
    assert_memory_equal(node.beacon_keys[0].bytes, fleet.beacon_keys[0].bytes, 32);
    assert_int_equal(node.beacon_keys[0].id, fleet.beacon_keys[0].id);

    /* The same name again, a bad name, a folder that cannot issue. */
    assert_int_equal(skua_fleet_issue(dir, SKUA_FLEET_ISSUE_OPTIONS(.name = "oslo"), NULL, 0, &err),
                     SKUA_E_EXISTS);
    assert_int_equal(
        skua_fleet_issue(dir, SKUA_FLEET_ISSUE_OPTIONS(.name = "Oslo!"), NULL, 0, &err),
        SKUA_E_BAD_NAME);
    assert_int_equal(skua_fleet_issue(out, SKUA_FLEET_ISSUE_OPTIONS(.name = "x"), NULL, 0, &err),
                     SKUA_E_NO_FLEET);
    assert_int_equal(
        skua_fleet_issue("/nowhere", SKUA_FLEET_ISSUE_OPTIONS(.name = "x"), NULL, 0, &err),
        SKUA_E_NO_FLEET);
}

static void
test_fleet_expired_certificate_is_shown_and_not_used(void **state) {
    (void)state;
    char dir[300], out[400] = "";
    path_of(dir, sizeof dir, "fleet2");
    skua_error err;
    assert_int_equal(skua_fleet_init(dir, &err), 0);
    assert_int_equal(skua_fleet_issue(dir,
                                      SKUA_FLEET_ISSUE_OPTIONS(.name = "late", .expires_s = -10),
                                      out, sizeof out, &err),
                     0);
    skua_fleet_info info = {.size = sizeof info};
    assert_int_equal(skua_fleet_show(out, &info, &err), 0);
    assert_int_equal(info.expired, 1);
    skua_node *node = NULL;
    assert_int_equal(skua_node_open(&node, SKUA_NODE_OPTIONS(.fleet_dir = out), &err),
                     SKUA_E_EXPIRED);
    assert_non_null(strstr(err.message, "late"));
    assert_null(node);
}

static void
write_over(const char *dir, const char *file, const char *text) {
    char path[SKUA_FLEET_PATH_BYTES + 64];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void
test_fleet_damaged_files_are_named(void **state) {
    (void)state;
    char dir[300], out[400], path[500];
    path_of(dir, sizeof dir, "fleet3");
    skua_error err;
    skua__credentials read;
    assert_int_equal(skua_fleet_init(dir, &err), 0);
    assert_int_equal(
        skua_fleet_issue(dir, SKUA_FLEET_ISSUE_OPTIONS(.name = "n"), out, sizeof out, &err), 0);
    assert_int_equal(skua__credentials_read(out, false, &read, &err), 0);

    snprintf(path, sizeof path, "%s/node-secret.cfg", out);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(skua__credentials_read(out, false, &read, &err), SKUA_E_FILE);
    assert_non_null(strstr(err.message, "chmod 600"));
    assert_int_equal(chmod(path, 0600), 0);

    write_over(out, "node-secret.cfg", "node\n    secret-key = \"00\"\n");
    assert_int_equal(skua__credentials_read(out, false, &read, &err), SKUA_E_BAD_CERTIFICATE);
    write_over(out, "node.cfg", "node\n    certificate = \"0102\"\n");
    assert_int_equal(skua__credentials_read(out, false, &read, &err), SKUA_E_BAD_CERTIFICATE);
    write_over(out, "fleet.cfg", "fleet\n    version = \"9\"\n");
    assert_int_equal(skua__credentials_read(out, false, &read, &err), SKUA_E_MALFORMED);
    write_over(dir, "fleet-secret.cfg", "fleet\n    secret-key = \"zz\"\n");
    assert_int_equal(skua__credentials_read(dir, false, &read, &err), SKUA_E_MALFORMED);
    assert_int_equal(skua__credentials_read("/nowhere", true, &read, &err), SKUA_E_NO_FLEET);
}

static void
test_fleet_personal_is_made_once_by_many(void **state) {
    (void)state;
    enum { CHILDREN = 8 };
    test_fleet_begin();
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() == 0) {
            skua__credentials read;
            skua_error err;
            if (skua__credentials_read(NULL, true, &read, &err)) {
                fprintf(stderr, "%s\n", err.message);
                _exit(1);
            }
            _exit(write(pipes[1], read.fleet_public, 32) == 32 ? 0 : 2);
        }
    }
    uint8_t first[32], key[32];
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
        assert_int_equal(read(pipes[0], key, 32), 32);
        if (i == 0) {
            memcpy(first, key, 32);
        }
        assert_memory_equal(first, key, 32);
    }
    close(pipes[0]);
    close(pipes[1]);
    skua_fleet_info info = {.size = sizeof info};
    skua_error err;
    assert_int_equal(skua_fleet_show(NULL, &info, &err), 0);
    assert_int_equal(info.personal, 1);
    assert_int_equal(mode_of(info.dir, ""), 0700);
    assert_int_equal(
        skua_fleet_issue(info.dir, SKUA_FLEET_ISSUE_OPTIONS(.name = "x"), NULL, 0, &err),
        SKUA_E_LOOPBACK_ONLY);
}

static void
test_fleet_roles_and_spans_are_read(void **state) {
    (void)state;
    uint32_t roles = 0;
    int64_t span_s = 0;
    skua_error err;
    char text[SKUA_FLEET_ROLES_BYTES];
    assert_int_equal(skua_fleet_roles_parse("publish,subscribe", &roles, &err), 0);
    assert_int_equal(roles, SKUA_ROLE_PUBLISH | SKUA_ROLE_SUBSCRIBE);
    assert_string_equal(skua_fleet_roles_text(roles, text, sizeof text), "publish,subscribe");
    assert_int_equal(skua_fleet_roles_parse("all", &roles, &err), 0);
    assert_string_equal(skua_fleet_roles_text(roles, text, sizeof text), "all");
    assert_int_equal(skua_fleet_roles_parse("king", &roles, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "publish"));
    assert_int_equal(skua_fleet_roles_parse("", &roles, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_fleet_roles_parse(NULL, &roles, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_fleet_span_parse("90d", &span_s, &err), 0);
    assert_int_equal(span_s, 90 * 86400);
    assert_int_equal(skua_fleet_span_parse("45s", &span_s, &err), 0);
    assert_int_equal(span_s, 45);
    const char *const bad[] = {"", "d", "5", "5x", "-3d", "99999999999999999999d", NULL};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(skua_fleet_span_parse(bad[i], &span_s, &err), SKUA_E_BAD_ARGUMENT);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fleet_init_makes_private_files_once),
        cmocka_unit_test(test_fleet_issue_keeps_the_secret_at_home),
        cmocka_unit_test(test_fleet_expired_certificate_is_shown_and_not_used),
        cmocka_unit_test(test_fleet_damaged_files_are_named),
        cmocka_unit_test(test_fleet_personal_is_made_once_by_many),
        cmocka_unit_test(test_fleet_roles_and_spans_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
