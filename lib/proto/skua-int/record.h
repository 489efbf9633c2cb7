// SPDX-License-Identifier: MPL-2.0
// A node's record: what it is and what it offers, as TLVs that old and new versions can both read. Bounded tables in
// memory of the caller's allocator. Layout in docs/design/wire.md.
#ifndef SKUA_INT_RECORD_H
#define SKUA_INT_RECORD_H

#include <skua-int/ids.h>
#include <skua/alloc.h>
#include <skua/error.h>

enum {
    SKUA__RECORD_MAX = 64 * 1024, /* encoded */
    SKUA__RECORD_SERVICES_MAX = 512,
    SKUA__RECORD_CAPABILITIES_MAX = 64,
    SKUA__RECORD_CAPABILITY_MAX = 16 * 1024, /* bytes of one capability */
    SKUA__RECORD_UNKNOWN_MAX = 64,           /* TLVs of newer versions that are kept */
    SKUA__TLV_CRITICAL = 0x8000, /* in a type: who does not know it refuses the record */
};

/* Types of the record's TLVs; 0 is never used, 0x4000 to 0x7fff are free for experiments. */
typedef enum skua__record_tlv {
    SKUA__TLV_NAME = 1,
    SKUA__TLV_CORES = 2,
    SKUA__TLV_NUMA = 3,
    SKUA__TLV_MEMORY = 4,
    SKUA__TLV_DEVICES = 5,
    SKUA__TLV_LOAD = 6,
    SKUA__TLV_SERVICE = 7,    /* once per service */
    SKUA__TLV_CAPABILITY = 8, /* once per capability */
    SKUA__TLV_PROTOCOL = 9,
} skua__record_tlv;

typedef struct skua__service {
    skua__service_kind kind;
    char name[SKUA_NAME_BYTES];
    uint32_t version;
    uint16_t port; /* of its socket, TCP */
} skua__service;

/* Bytes that an upper layer puts into the record under a key; lib does not look inside. */
typedef struct skua__capability {
    char key[SKUA_NAME_BYTES];
    uint8_t *bytes;
    size_t size;
} skua__capability;

/* A TLV that this version does not know: kept, and handed on when the record is encoded again. */
typedef struct skua__unknown_tlv {
    uint16_t type;
    uint8_t *bytes;
    size_t size;
} skua__unknown_tlv;

typedef struct skua__record {
    const skua_allocator *hook;
    uint32_t version; /* rises with each change; not below 1 once announced */
    char name[SKUA_NAME_BYTES];
    uint32_t cores;
    uint32_t numa; /* NUMA nodes */
    uint32_t devices;
    uint64_t memory_bytes;
    uint32_t queue;         /* tasks waiting */
    uint32_t load_permille; /* of the cores, busy */
    uint16_t protocol_min, protocol_max;
    skua__service *services; /* sorted by kind, name, port */
    size_t service_count;
    skua__capability *capabilities; /* sorted by key */
    size_t capability_count;
    skua__unknown_tlv *unknown; /* in the order of arrival */
    size_t unknown_count;
} skua__record;

typedef enum skua__record_result {
    SKUA__RECORD_OK,
    SKUA__RECORD_MALFORMED,
    SKUA__RECORD_TOO_BIG,  /* more bytes, services, capabilities or unknown TLVs than the bounds */
    SKUA__RECORD_CRITICAL, /* a critical TLV that we do not know */
    SKUA__RECORD_NO_MEMORY,
    SKUA__RECORD_RESULTS,
} skua__record_result;

const char *skua__record_result_text(skua__record_result result);

/* An empty record of zeros. hook is borrowed; NULL is the default. End it with fini, which takes a half-built one. */
void skua__record_init(skua__record *record, const skua_allocator *hook);
void skua__record_fini(skua__record *record);

/*
 * Adds a service, or changes the version of the one with the same kind, name and port. Returns 0,
 * SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT (kind or port 0), SKUA_E_LIMIT or SKUA_E_NO_MEMORY. Does not touch version.
 */
skua_status skua__record_add_service(skua__record *record, const skua__service *service);
/* Returns false when there was none. */
bool skua__record_remove_service(skua__record *record, skua__service_kind kind, const char *name,
                                 uint16_t port);
/* The first service of (kind, name), or NULL; the others of that name follow it in the array. */
const skua__service *skua__record_find_service(const skua__record *record, skua__service_kind kind,
                                               const char *name);

/*
 * Copies bytes under key; bytes NULL takes the key out. Returns 0, SKUA_E_BAD_NAME, SKUA_E_TOO_BIG, SKUA_E_LIMIT or
 * SKUA_E_NO_MEMORY: then nothing changed. Does not touch version.
 */
skua_status skua__record_set_capability(skua__record *record, const char *key, const void *bytes,
                                        size_t size);
/* NULL when there is none; valid until the next change. */
const skua__capability *skua__record_find_capability(const skua__record *record, const char *key);

/* The encoded size, and the encoding itself. Encode returns the size, or 0 when size (or SKUA__RECORD_MAX) is too small. */
size_t skua__record_size(const skua__record *record);
size_t skua__record_encode(const skua__record *record, void *bytes, size_t size);

/*
 * Decodes exactly size bytes into *ret, which the caller has not initialised; on failure *ret is untouched, on success
 * the caller ends it with skua__record_fini().
 */
skua__record_result skua__record_decode(const void *bytes, size_t size, const skua_allocator *hook,
                                        skua__record *ret);

/* Deep copy into *ret (not initialised). Returns 0, or SKUA_E_NO_MEMORY with *ret untouched. */
skua_status skua__record_copy(const skua__record *record, const skua_allocator *hook,
                              skua__record *ret);
bool skua__record_equal(const skua__record *a, const skua__record *b);

#endif
