// SPDX-License-Identifier: MPL-2.0
// Launches whose arguments are buffers: each takes its turn at them when it is submitted, waits for it outside of the lanes,
// and gives it back when it has ended and nothing of it runs any more.
#include <skua-int/kernels.h>

/*
 * Locks: the buffers' is taken inside the pool's, so whoever makes room for others while it holds the pool's (a launch of ours
 * that ends) takes them over here, and dispatches them with what waits anyway. Who makes room without it (a call of the host's,
 * an engine) calls told(). Two pools may share devices: the other pool's launches are told by a thread that holds no lock.
 *
 * A claim lives until it has left and told() will not be called any more; a close of the pool waits for the last one.
 */

skua__claim *
skua__turn_new(skua_pool *pool, const skua__kernel *kernel, const skua__coded_launch *coded) {
    struct skua_buffer *buffers[SKUA_KERNEL_MAX_PARAMS];
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        buffers[i] = coded->args[i].buffer;
    }
    return skua__claim_new(pool->hook, kernel->params, buffers, kernel->param_count);
}

static void
end_claim_locked(skua_pool *pool, skua__claim *claim) {
    skua_pool_future *task = claim->arg;
    pool->claims--;
    skua__claim_free(claim);
    skua__task_unref(task);
    skua__pool_changed_locked(pool);
}

/* The claim of a launch of this pool is ready, or was withdrawn meanwhile. */
static void
take_turn_locked(skua_pool *pool, skua__claim *claim) {
    claim->telling = false;
    if (claim->left) {
        end_claim_locked(pool, claim);
        return;
    }
    skua_pool_future *task = claim->arg;
    task->launch->waits_turn = false;
    pool->turn_waiting--;
    if (task->launch->split) {
        skua__split_begin_locked(pool, task, skua__clock_ns());
    } else {
        skua__queue_push_locked(pool, task, true);
    }
}

static void
told(skua__claim *claim) {
    skua_pool *pool = claim->owner;
    skua__mutex_lock(&pool->lock);
    take_turn_locked(pool, claim);
    skua__dispatch_locked(pool, skua__clock_ns());
    skua__pool_leave(pool);
}

bool
skua__turn_enter_locked(skua_pool *pool, skua_pool_future *task) {
    skua__claim *claim = task->launch->claim;
    claim->owner = pool;
    claim->arg = task;
    claim->told = told;
    pool->claims++;
    /* relaxed: the pool's own reference is held meanwhile. */
    atomic_fetch_add_explicit(&task->refs, 1, memory_order_relaxed);
    task->launch->waits_turn = !skua__claim_enter(claim);
    pool->turn_waiting += task->launch->waits_turn;
    return !task->launch->waits_turn;
}

void
skua__turn_leave_locked(skua_pool *pool, skua_pool_future *task) {
    skua__claim *claim = task->launch ? task->launch->claim : NULL;
    if (!claim) {
        return;
    }
    task->launch->claim = NULL;
    if (!claim->entered) {
        skua__claim_free(claim);
        return;
    }
    pool->turn_waiting -= task->launch->waits_turn;
    task->launch->waits_turn = false;
    skua__list ready;
    skua__list_init(&ready);
    if (skua__claim_leave(claim, &ready)) {
        end_claim_locked(pool, claim);
    }
    for (skua__list *node; (node = skua__list_pop_front(&ready)) != NULL;) {
        skua__claim *other = SKUA_CONTAINER_OF(node, skua__claim, link);
        if (other->owner == pool) {
            take_turn_locked(pool, other);
        } else {
            skua__list_push_back(&pool->others_turns, &other->link);
        }
    }
}

void
skua__turns_tell(skua_pool *pool) {
    skua__mutex_lock(&pool->lock);
    for (skua__list *node; (node = skua__list_pop_front(&pool->others_turns)) != NULL;) {
        skua__claim *claim = SKUA_CONTAINER_OF(node, skua__claim, link);
        skua__mutex_unlock(&pool->lock);
        claim->told(claim);
        skua__mutex_lock(&pool->lock);
    }
    skua__mutex_unlock(&pool->lock);
}
