// SPDX-License-Identifier: MPL-2.0
// Peers' pools as sites.
#include <skua-int/pool_int.h>

skua_status
skua__remote_open(skua_pool *pool, skua_error *err) {
    (void)pool;
    return SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "tasks cannot be handed to peers yet");
}

void
skua__remote_close(skua_pool *pool) {
    (void)pool;
}

void
skua__remote_flush(skua_pool *pool) {
    (void)pool;
}

void
skua__remote_cancels(skua_pool *pool) {
    (void)pool;
}

void
skua__remote_wake(skua_pool *pool) {
    (void)pool;
}

bool
skua__remote_await(skua_pool *pool, bool (*ready)(skua_pool *pool, void *arg), void *arg,
                   int64_t deadline_ns) {
    (void)deadline_ns;
    return ready(pool, arg);
}
