// SPDX-License-Identifier: MPL-2.0
// The names of things on the wire: nodes, incarnations, services and peers' keys.
#ifndef SKUA_INT_IDS_H
#define SKUA_INT_IDS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    SKUA_NAME_BYTES = 64, /* a node's or service's name with its final 0 */
    SKUA_KEY_BYTES = 32,  /* a CURVE or ed25519 public key */
    SKUA_UUID_TEXT = 37,  /* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" with its final 0 */
    SKUA_HOST_BYTES = 46, /* an IPv4 or IPv6 address as text */
};

typedef struct skua__uuid {
    uint8_t bytes[16];
} skua__uuid;

static inline int
skua__uuid_compare(const skua__uuid *a, const skua__uuid *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static inline bool
skua__uuid_equal(const skua__uuid *a, const skua__uuid *b) {
    return skua__uuid_compare(a, b) == 0;
}

/* What a service is. Names of different kinds never clash. The numbers stand on the wire. */
typedef enum skua__service_kind {
    SKUA__SERVICE_PUB = 1,  /* bound by PUB, dialled by SUB */
    SKUA__SERVICE_PULL = 2, /* bound by PULL, dialled by PUSH */
    SKUA__SERVICE_REP = 3,  /* bound by REP, dialled by REQ */
    SKUA__SERVICE_TASK =
        4, /* a pool that runs tasks, dialled by other pools; one per node, named "pool" */
} skua__service_kind;

/* What a certificate lets its owner do; a set of bits. The numbers stand in certificates. */
typedef enum skua__role {
    SKUA__ROLE_PUBLISH = 1u << 0, /* bind PUB */
    SKUA__ROLE_SUBSCRIBE = 1u << 1,
    SKUA__ROLE_PUSH = 1u << 2,
    SKUA__ROLE_PULL = 1u << 3,
    SKUA__ROLE_CALL = 1u << 4,   /* REQ */
    SKUA__ROLE_SERVE = 1u << 5,  /* REP */
    SKUA__ROLE_SUBMIT = 1u << 6, /* hand tasks to peers */
    SKUA__ROLE_WORK = 1u << 7,   /* run peers' tasks */
    SKUA__ROLE_ALL = 0xff,
} skua__role;

#endif
