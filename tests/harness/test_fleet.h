// SPDX-License-Identifier: MPL-2.0
// A personal fleet of a test's own, in a folder that goes away with it, and a beacon port that no other test uses: so
// that tests that run at the same time, and the user's own nodes, do not meet.
#ifndef SKUA_TEST_FLEET_H
#define SKUA_TEST_FLEET_H

#include <skua/node.h>

/* Makes the folder and points XDG_CONFIG_HOME at it. It is removed when the process exits. Returns its path. */
const char *test_fleet_begin(void);
/* The beacon port of this process and of its children: of the environment, else made from the process id. */
uint16_t test_fleet_beacon_port(void);
/* Removes a folder and all that is in it. */
void test_remove_tree(const char *path);
/* Opens a node of the test's fleet that others find by beacon, or fails the test. */
skua_node *test_node_open(const char *name);
/* The same with a heartbeat and a callback; both may be left out (0, NULL). */
skua_node *test_node_open_with(const skua_node_options *options);
/* Waits until the node has so many peers, or fails the test. */
void test_node_await(skua_node *node, size_t peers);

#endif
