// SPDX-License-Identifier: MPL-2.0
// The names of things on the wire: nodes, incarnations, services and peers' keys.
#ifndef SKUA_INT_IDS_H
#define SKUA_INT_IDS_H

#include <stdbool.h>
#include <stddef.h>
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

/*
 * Makes a random UUID (version 4) of 16 random bytes, which the caller draws: lib/proto has no source of chance.
 */
skua__uuid skua__uuid_of_random(const uint8_t random[16]);

/* Writes "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" with its final 0. Returns ret. */
char *skua__uuid_text(const skua__uuid *uuid, char ret[SKUA_UUID_TEXT]);

/* Reads exactly that form (hex digits of either case). Returns false, *ret untouched, for any other text. */
bool skua__uuid_parse(const char *text, skua__uuid *ret);

/*
 * The rule for names of nodes, services and capabilities: [a-z0-9][a-z0-9._-]{0,62}. The first form takes a C
 * string (NULL is no name), the second length bytes with no final 0.
 */
bool skua__name_valid(const char *name);
bool skua__name_bytes_valid(const void *bytes, size_t length);

/* An address of IPv4 or IPv6, as it stands on the wire: 17 bytes. */
typedef struct skua__address {
    uint8_t family;    /* 4 or 6; 0 in a struct that holds none */
    uint8_t bytes[16]; /* network order; the last 12 are 0 for IPv4 */
} skua__address;

/* Writes "192.0.2.1" or "2001:db8::1" with its final 0; "" for no address. Returns ret. */
char *skua__address_text(const skua__address *address, char ret[SKUA_HOST_BYTES]);
/* Reads a numeric address (no names). Returns false, *ret untouched, for any other text. */
bool skua__address_parse(const char *text, skua__address *ret);

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
