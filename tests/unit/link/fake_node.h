// SPDX-License-Identifier: MPL-2.0
// node_int.h without a node: offers, watches and sources in one process, plain sockets on loopback, and a relay in front
// of every provider whose connections the test can cut. So links are tested with nothing else under them.
#ifndef SKUA_TEST_FAKE_NODE_H
#define SKUA_TEST_FAKE_NODE_H

#include <skua/alloc.h>
#include <skua/node.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The world: one thread that serves all fake nodes, and the relay. */
void fake_world_begin(void);
void fake_world_end(void);

skua_node *fake_node_open(const char *name, const skua_allocator *hook);
skua_node *fake_node_close(skua_node *node);

/* Breaks every connection that goes through the relay; what is inside it is lost. */
void fake_relay_cut(void);
/* While held nobody gets through the relay anew. */
void fake_relay_hold(bool hold);
/* Cuts by itself each time that so many more bytes have passed; 0: never. */
void fake_relay_cut_every(uint64_t bytes);
uint64_t fake_relay_cuts(void);
/* Makes every provider go DOWN (and, if told so, UP again as a new incarnation). */
void fake_providers_down(bool up_again);

/* Where the first provider really listens: "tcp://127.0.0.1:1234". */
void fake_provider_endpoint(char *ret, size_t size);

#endif
