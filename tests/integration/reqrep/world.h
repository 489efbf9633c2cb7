// SPDX-License-Identifier: MPL-2.0
// What the tests of REQ and REP share: a fleet of their own in a temporary folder, nodes in it, and threads that answer.
#ifndef WORLD_H
#define WORLD_H

#include "test.h"

#include <pthread.h>
#include <skua/node.h>
#include <skua/reqrep.h>
#include <stdatomic.h>

typedef struct world {
    char dir[64];
    uint16_t beacon_port; /* nobody else's on this machine */
} world;

void world_init(world *self);
void world_fini(world *self);
/* A node of the world's personal fleet; fails the test when it cannot be opened. */
skua_node *world_node(const world *self, const char *name);

/* Fails the test with the error's words unless status is 0. */
void must(skua_status status, const skua_error *err);

/* A thread that answers everything with the request itself, until its handle is closed. */
typedef struct echoer {
    skua_rep *rep;
    pthread_t thread;
    atomic_ulong answered;
} echoer;
void echoer_start(echoer *self, skua_node *node, const char *service,
                  const skua_rep_options *options);
void echoer_stop(echoer *self); /* closes the handle, and joins */

/* Two nodes: one asks the service of the other, which a thread echoes, or the test itself answers. */
typedef struct pair {
    skua_node *asker, *answerer;
    skua_req *req;
    skua_rep *rep;
    echoer echo;
    bool echoes;
} pair;
void pair_open(pair *self, const world *w, const char *service, const skua_req_options *options,
               bool echoes);
void pair_close(pair *self); /* what the test closed itself, and set to NULL, is left out */
/* The oldest request that waits; fails the test when none comes. */
skua_request *take_one(skua_rep *rep);

/* Seconds from the monotonic clock. */
double seconds_now(void);

#endif
