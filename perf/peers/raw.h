// SPDX-License-Identifier: MPL-2.0
// The same work in raw libzmq: what skua is measured against. No acknowledgements, no discovery, no names; the
// same transport, security and placement.
#ifndef SKUA_PERF_RAW_H
#define SKUA_PERF_RAW_H

#include "../perf.h"

enum {
    RAW_KEY_TEXT = 41, /* a CURVE key as Z85 with its final 0 */
    RAW_ENDPOINT_BYTES = 64,
};

/* A bound server's address and public key, as text: "tcp://127.0.0.1:4711 KEY". */
typedef struct raw_address {
    char endpoint[RAW_ENDPOINT_BYTES];
    char key[RAW_KEY_TEXT]; /* "" without CURVE */
} raw_address;

/*
 * A socket with no linger, ended by the process. Servers bind to a port that the system picks; clients connect. Both
 * return NULL after they wrote to stderr what failed.
 */
void *raw_bind(void *context, int type, const perf_case *what, raw_address *ret_address);
void *raw_connect(void *context, int type, const perf_case *what, const raw_address *address);
/* Sets one integer option of a socket; failures end the process. */
void raw_set(void *socket, int option, int value);

void raw_tell(perf_run *run, const raw_address *address);
raw_address raw_told(const perf_run *run);

/* DEALER and ROUTER: window requests in flight; at window 1 (or 0) round trips in µs, else completions per second. */
extern const perf_impl raw_round_trips;
/* PUSH to a bound PULL; a bound XPUB that does not drop to one SUB. Messages per second. */
extern const perf_impl raw_push_pull;
extern const perf_impl raw_pub_sub;

/* One process of a mesh: binds, tells its address, waits for all others' and talks to each. See mesh.c. */
struct perf_mesh;
int raw_mesh_member(struct perf_mesh *mesh, uint32_t index);
/* Makes the one CURVE key of a mesh, before its start. */
void raw_make_mesh_key(struct perf_mesh *mesh);

/* One process that does nothing but hold a CURVE ROUTER, for memory and start. Returns NULL on failure. */
void *raw_idle_open(void);

/* "4.3.4" */
void raw_version(char *ret, size_t size);

#endif
