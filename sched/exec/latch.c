// SPDX-License-Identifier: MPL-2.0
// Latches: a count, a lock for its last step, and a list of parked waiters.
//
// Ordering (L1): what was done before a count_down() happens before the return of each wait. The last step, from something
// to nothing, is made under the lock, and a wait looks under the lock: so who has waited may end the latch at once.
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua/latch.h>

typedef struct latch_body {
    skua_exec *exec;
    skua__a64 left;
    skua__mutex lock; /* guards waiters, and the step of left to 0 */
    skua__list waiters;
} latch_body;

static_assert(sizeof(latch_body) <= sizeof(skua_latch), "the body fits the public struct");

static latch_body *
body_of(const skua_latch *latch) {
    return (latch_body *)(void *)(uintptr_t)latch;
}

void
skua_latch_init(skua_latch *latch, skua_exec *exec, uint64_t count) {
    assert(latch && exec);
    memset(latch, 0, sizeof *latch);
    latch_body *body = body_of(latch);
    body->exec = exec;
    skua__a64_store(&body->left, count, memory_order_relaxed); /* relaxed: still private */
    skua__mutex_init(&body->lock);
    skua__list_init(&body->waiters);
}

void
skua_latch_fini(skua_latch *latch) {
    if (!latch || !latch->exec) {
        return;
    }
    latch_body *body = body_of(latch);
    assert(skua__list_empty(&body->waiters) && "skua_latch_fini: somebody waits");
    skua__mutex_fini(&body->lock);
    memset(latch, 0, sizeof *latch);
}

bool
skua_latch_count_down(skua_latch *latch, uint64_t count) {
    assert(latch && latch->exec && "skua_latch_init() prepares a latch");
    latch_body *body = body_of(latch);
    uint64_t left = skua__a64_load(&body->left, memory_order_relaxed); /* relaxed: CAS */
    assert(count <= left && "skua_latch_count_down: more than was left");
    while (left > count) {
        /* release L1: what we did; pairs with acquire L1 in skua_latch_is_open() */
        if (skua__a64_cas(&body->left, &left, left - count, memory_order_release)) {
            return false;
        }
    }
    if (left == 0 || count == 0) {
        return false;
    }
    skua__mutex_lock(&body->lock);
    /* relaxed: a hint; another one may open it before us only by counting too much. */
    left = skua__a64_load(&body->left, memory_order_relaxed);
    bool opens = left > 0 && left <= count;
    /* release L1: what all did; pairs with acquire L1 in skua_latch_is_open() */
    skua__a64_sub(&body->left, opens ? left : count < left ? count : left, memory_order_release);
    if (opens) {
        SKUA_LIST_EACH(node, &body->waiters) {
            skua__unpark(&SKUA_CONTAINER_OF(node, skua__waiter, link)->parker);
        }
    }
    skua__mutex_unlock(&body->lock);
    return opens;
}

bool
skua_latch_is_open(const skua_latch *latch) {
    assert(latch && latch->exec && "skua_latch_init() prepares a latch");
    /* acquire L1: what all did; pairs with release L1 in skua_latch_count_down() */
    return skua__a64_load(&body_of(latch)->left, memory_order_acquire) == 0;
}

/* Looks under the lock, and enters the waiter where the latch is closed. */
static bool
add_waiter(skua_latch *latch, skua__waiter *waiter) {
    latch_body *body = body_of(latch);
    skua__mutex_lock(&body->lock);
    bool waits = !skua_latch_is_open(latch);
    if (waits) {
        skua__list_push_back(&body->waiters, &waiter->link);
    }
    skua__mutex_unlock(&body->lock);
    return waits;
}

static bool
remove_waiter(skua_latch *latch, skua__waiter *waiter) {
    latch_body *body = body_of(latch);
    skua__mutex_lock(&body->lock);
    skua__list_remove(&waiter->link);
    bool open = skua_latch_is_open(latch);
    skua__mutex_unlock(&body->lock);
    return open;
}

skua_status
skua_latch_wait(skua_latch *latch, int64_t timeout_ms, skua_error *err) {
    if (!latch || !latch->exec) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the latch is NULL, or not prepared");
    }
    skua_exec *exec = latch->exec;
    if (exec->fork_generation != skua__fork_generation()) {
        return SKUA_FAIL(err, SKUA_E_FORKED, "the latch was made before fork()");
    }
    int64_t deadline_ns = skua__deadline_ns(timeout_ms ? timeout_ms : SKUA_UNLIMITED);
    skua__waiter waiter = {0};
    if (!add_waiter(latch, &waiter)) {
        return SKUA_OK;
    }
    (void)skua__wait(exec, &waiter.parker, deadline_ns, NULL, false);
    if (!remove_waiter(latch, &waiter)) {
        return SKUA_FAIL(err, SKUA_E_TIMEOUT, "the latch did not open in %lld ms",
                         (long long)(timeout_ms > 0 ? timeout_ms : 0));
    }
    return SKUA_OK;
}
