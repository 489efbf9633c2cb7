// SPDX-License-Identifier: MPL-2.0
// Who is admitted: the table of verified certificates and the ZAP thread that answers from it. Inside lib/net only.
#ifndef SKUA_NET_SECURITY_H
#define SKUA_NET_SECURITY_H

#include <skua-int/certificate.h>
#include <skua-int/hash.h>
#include <skua-int/thread.h>
#include <stdatomic.h>

enum {
    SKUA__USER_ID_BYTES = 65, /* a curve key in hexadecimal with its final 0 */
    SKUA__ZAP_CONTEXTS = 2,   /* control and data */
    SKUA__ZAP_SELF_TEST_MS = 2000,
};

/* One admitted certificate. It is in the table while somebody holds a reference. */
typedef struct skua__admission {
    skua__certificate certificate;
    uint32_t references;
} skua__admission;

typedef struct skua__zap_counters {
    _Atomic uint64_t admitted, refused_unknown, refused_expired, refused_malformed;
} skua__zap_counters;

typedef struct skua__zap {
    const skua_allocator *hook;
    void *sockets[SKUA__ZAP_CONTEXTS]; /* REP, bound to inproc://zeromq.zap.01 in each context */
    int stop_fd;
    pthread_t thread;
    bool started;
    skua__zap_counters counters;
    skua__mutex lock; /* guards the table. A leaf. */
    skua__hash table; /* curve key -> skua__admission */
} skua__zap;

/* Starts the handler in both contexts, with an empty table: nobody is admitted. */
skua_status skua__zap_start(skua__zap *zap, const skua_allocator *hook, void *control_ctx,
                            void *data_ctx, skua_error *err);
/* Every CURVE server of the contexts must be closed before: one without a handler lets everybody in. */
void skua__zap_stop(skua__zap *zap);

/*
 * Admits the owner of a certificate that the caller has verified, or takes one more reference to it. A later certificate
 * for the same key replaces the earlier one. Returns 0 or SKUA_E_NO_MEMORY.
 */
skua_status skua__zap_admit(skua__zap *zap, const skua__certificate *certificate,
                            skua__admission **ret_admission);
/* Gives a reference back; with the last one the key is no longer admitted. Takes NULL. Returns NULL. */
skua__admission *skua__zap_release(skua__zap *zap, skua__admission *admission);

/* The certificate behind a User-Id, if it is admitted now. */
bool skua__zap_lookup(skua__zap *zap, const char *user_id, skua__certificate *ret);

/*
 * Connects to a CURVE server of the context with a key that nobody knows and looks whether it is refused. Returns 0 or
 * SKUA_E_NOT_SECURE, SKUA_E_SYSTEM.
 */
skua_status skua__zap_self_test(void *ctx, const uint8_t server_secret[SKUA_KEY_BYTES],
                                skua_error *err);

void skua__key_text(const uint8_t key[SKUA_KEY_BYTES], char ret[SKUA__USER_ID_BYTES]);
bool skua__key_parse(const char *text, uint8_t ret[SKUA_KEY_BYTES]);

#endif
