// SPDX-License-Identifier: MPL-2.0
// Fleets: nodes that trust each other because one key signed their certificates. Used by `skua fleet`.
#ifndef SKUA_FLEET_H
#define SKUA_FLEET_H

#include <skua/common.h>
#include <skua/error.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a certificate lets its owner do: a set of bits. The words for people stand beside them. */
typedef enum skua_role {
    SKUA_ROLE_PUBLISH = 1u << 0,   /* "publish": offer PUB services */
    SKUA_ROLE_SUBSCRIBE = 1u << 1, /* "subscribe" */
    SKUA_ROLE_PUSH = 1u << 2,      /* "push" */
    SKUA_ROLE_PULL = 1u << 3,      /* "pull": offer PULL services */
    SKUA_ROLE_CALL = 1u << 4,      /* "call": send requests */
    SKUA_ROLE_SERVE = 1u << 5,     /* "serve": offer REP services */
    SKUA_ROLE_SUBMIT = 1u << 6,    /* "submit": hand tasks to peers */
    SKUA_ROLE_WORK = 1u << 7,      /* "work": run peers' tasks */
    SKUA_ROLE_ALL = 0xff,          /* "all" */
} skua_role;

enum {
    SKUA_FLEET_PATH_BYTES = 4096,
    SKUA_FLEET_KEY_TEXT = 65, /* 32 bytes in hexadecimal with the final 0 */
    SKUA_FLEET_ROLES_BYTES = 128,
    SKUA_FLEET_DEFAULT_EXPIRES_S = 90 * 24 * 3600,
};

/**
 * Makes a fleet: the folder `dir` (0700) with the fleet's key pair and beacon key (files 0600). The secret key never
 * leaves this folder; keep it off the machines that run nodes, and issue each of them a certificate.
 *
 * Returns: 0, or SKUA_E_EXISTS (there is a fleet in dir), SKUA_E_FILE, SKUA_E_BAD_ARGUMENT.
 * Threads: any. Blocks: on the file system. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_fleet_init(const char *dir, skua_error *err);

/* What a certificate shall say. Strings are borrowed for the call. */
typedef struct skua_fleet_issue_options {
    size_t size;
    const char *name; /* of the node */
    uint32_t roles;   /* 0: SKUA_ROLE_ALL */
    uint32_t reserved;
    int64_t
        expires_s; /* from now. 0: SKUA_FLEET_DEFAULT_EXPIRES_S. A negative one makes an expired certificate */
    const char *out; /* the node's new folder. NULL: dir/nodes/NAME */
} skua_fleet_issue_options;

#define SKUA_FLEET_ISSUE_OPTIONS(...)                                                              \
    (&(const skua_fleet_issue_options){.size = sizeof(skua_fleet_issue_options), __VA_ARGS__})

/**
 * Issues a certificate: a new folder (0700, files 0600) with the node's certificate and CURVE secret key, the fleet's
 * public key and the beacon key. Copy it to the machine and name it in skua_node_options.fleet_dir.
 *
 * Returns: 0 with the folder's path in ret_out (of out_size bytes; may be NULL), or SKUA_E_NO_FLEET, SKUA_E_BAD_NAME,
 * SKUA_E_BAD_ARGUMENT, SKUA_E_EXISTS, SKUA_E_LOOPBACK_ONLY (the personal fleet), SKUA_E_FILE.
 * Threads: any. Blocks: on the file system. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_fleet_issue(const char *dir,
                                                      const skua_fleet_issue_options *options,
                                                      char *ret_out, size_t out_size,
                                                      skua_error *err);

/* What lies in a folder. The library fills at most `size` bytes: fields are only ever added at the end. */
typedef struct skua_fleet_info {
    size_t size;
    char dir[SKUA_FLEET_PATH_BYTES];
    char fleet_key[SKUA_FLEET_KEY_TEXT]; /* the fleet's public key */
    uint8_t personal;                    /* 1: the personal fleet, loopback only */
    uint8_t can_issue;                   /* 1: the fleet's secret key is here */
    uint8_t has_certificate; /* 1: this is a node's folder, and what follows is filled */
    uint8_t expired;
    char name[64];
    char curve_key[SKUA_FLEET_KEY_TEXT];
    uint32_t roles;
    uint32_t reserved;
    uint64_t serial;
    int64_t expires_s; /* since 1970 */
} skua_fleet_info;

/**
 * Reads what lies in a fleet's or a node's folder. dir NULL: the personal fleet, which is not made by this. Set
 * ret_info->size to sizeof *ret_info before.
 *
 * Returns: 0, or SKUA_E_NO_FLEET, SKUA_E_BAD_CERTIFICATE, SKUA_E_MALFORMED, SKUA_E_FILE, SKUA_E_BAD_ARGUMENT.
 * Threads: any. Blocks: on the file system. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_fleet_show(const char *dir, skua_fleet_info *ret_info,
                                                     skua_error *err);

/**
 * The folder of the personal fleet: $XDG_CONFIG_HOME/skua, or ~/.config/skua.
 *
 * Returns: 0 with the path in ret_dir, or SKUA_E_NO_FLEET (neither variable is set), SKUA_E_TOO_BIG.
 * Threads: synchronised with changes of the environment. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_fleet_personal_dir(char *ret_dir, size_t dir_size,
                                                             skua_error *err);

/**
 * Reads roles as people write them: "publish,subscribe", "all".
 *
 * Returns: 0 with the bits in *ret_roles, or SKUA_E_BAD_ARGUMENT with a message that lists the roles.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_fleet_roles_parse(const char *text, uint32_t *ret_roles,
                                                            skua_error *err);

/**
 * Writes roles as people read them into ret (of ret_size bytes; SKUA_FLEET_ROLES_BYTES is enough).
 *
 * Returns: ret; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API char *skua_fleet_roles_text(uint32_t roles, char *ret, size_t ret_size);

/**
 * Reads a span of time as people write it: "90d", "12h", "30m", "45s".
 *
 * Returns: 0 with the seconds in *ret_s, or SKUA_E_BAD_ARGUMENT.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_fleet_span_parse(const char *text, int64_t *ret_s,
                                                           skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
