// SPDX-License-Identifier: MPL-2.0
// The pool as its peers see it.
#include <skua-int/pool_int.h>

skua_status
skua__server_open(skua_pool *pool, skua_error *err) {
    (void)pool;
    return SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "peers' tasks cannot be run yet");
}

bool
skua__server_drain(skua_pool *pool, int64_t deadline_ns) {
    (void)pool, (void)deadline_ns;
    return true;
}

void
skua__server_close(skua_pool *pool) {
    (void)pool;
}

void
skua__server_offers_changed(skua_pool *pool) {
    (void)pool;
}

void
skua__server_counters(skua_pool *pool, skua_pool_counters *ret) {
    (void)pool, (void)ret;
}
