// SPDX-License-Identifier: MPL-2.0
// A test's own personal fleet and the nodes in it.
#include "test_fleet.h"

#include "test.h"

#include <ftw.h>
#include <string.h>
#include <unistd.h>

/* The test's process has one fleet, as a user has one. */
static char fleet_folder[256];
static pid_t fleet_owner;

static int
remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

void
test_remove_tree(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
remove_fleet(void) {
    if (fleet_folder[0] && fleet_owner == getpid()) {
        test_remove_tree(fleet_folder);
    }
}

const char *
test_fleet_begin(void) {
    if (!fleet_folder[0]) {
        const char *temporary = getenv("TMPDIR");
        snprintf(fleet_folder, sizeof fleet_folder, "%s/skua-test.XXXXXX",
                 temporary ? temporary : "/tmp");
        assert_non_null(mkdtemp(fleet_folder));
        fleet_owner = getpid();
        atexit(remove_fleet);
        setenv("XDG_CONFIG_HOME", fleet_folder, 1);
        char port[16];
        snprintf(port, sizeof port, "%u", test_fleet_beacon_port());
        setenv("SKUA_TEST_BEACON_PORT", port, 1);
    }
    return fleet_folder;
}

uint16_t
test_fleet_beacon_port(void) {
    const char *given = getenv("SKUA_TEST_BEACON_PORT");
    return (uint16_t)(given ? atoi(given) : 20000 + getpid() % 12000);
}

skua_node *
test_node_open_with(const skua_node_options *options) {
    test_fleet_begin();
    skua_node_options own = *options;
    own.beacon_port = own.beacon_port ? own.beacon_port : test_fleet_beacon_port();
    skua_node *node = NULL;
    skua_error err = {.status = 0};
    if (skua_node_open(&node, &own, &err)) {
        fail_msg("%s %s", err.code, err.message);
    }
    return node;
}

skua_node *
test_node_open(const char *name) {
    return test_node_open_with(SKUA_NODE_OPTIONS(.name = name));
}

void
test_node_await(skua_node *node, size_t peers) {
    skua_error err = {.status = 0};
    if (skua_node_await_peers(node, peers, 10000, &err)) {
        fail_msg("%s %s", err.code, err.message);
    }
}
