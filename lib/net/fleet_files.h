// SPDX-License-Identifier: MPL-2.0
// What lies in a fleet's or a node's folder, read into memory and written to disk. Inside lib/net only.
#ifndef SKUA_NET_FLEET_FILES_H
#define SKUA_NET_FLEET_FILES_H

#include "sockets.h"

#include <skua-int/beacon.h>

enum {
    SKUA__FLEET_FILE_MAX = 64 * 1024, /* bytes of one of its files */
    SKUA__SELF_ISSUED_S = 365 * 24 * 3600,
};

/* All that a node needs to be one of its fleet. Wipe it with skua__credentials_wipe(). */
typedef struct skua__credentials {
    uint8_t fleet_public[SKUA_KEY_BYTES];
    uint8_t fleet_secret[SKUA__FLEET_SECRET_BYTES]; /* when can_issue */
    skua__beacon_key beacon_keys[SKUA__BEACON_KEYS_MAX];
    size_t beacon_key_count; /* the first seals */
    bool personal;
    bool can_issue;
    bool has_certificate;
    skua__certificate certificate;
    skua__curve_keys curve;
} skua__credentials;

/* Reads a folder. NULL: the personal fleet; when make is true it is made if it is not there. */
skua_status skua__credentials_read(const char *dir, bool make, skua__credentials *ret,
                                   skua_error *err);
/* Issues the node a certificate of its own when the folder can and holds none. */
skua_status skua__credentials_self_issue(skua__credentials *credentials, const char *name,
                                         skua_error *err);
void skua__credentials_wipe(skua__credentials *credentials);

#endif
