// SPDX-License-Identifier: MPL-2.0
// Time in a pool: a heap of deadlines, the sweep over leases, the limit of lanes that nobody serves, and the
// service thread that sleeps until the next of them and calls what no other thread may.
#include <skua-int/pool_int.h>

enum { HEAP_FIRST = 64, SWEEPS_PER_LEASE = 4 };

skua_status
skua__timer_reserve_locked(skua_pool *pool) {
    if (pool->heap_count + 1 < pool->heap_size) {
        return SKUA_OK;
    }
    uint32_t size = pool->heap_size ? pool->heap_size * 2 : HEAP_FIRST;
    skua_pool_future **heap = skua__mem_resize(pool->hook, pool->heap, size * sizeof(void *));
    if (!heap) {
        return SKUA_E_NO_MEMORY;
    }
    pool->heap = heap;
    pool->heap_size = size;
    return SKUA_OK;
}

/* The heap is counted from 1, so that heap_at 0 means "not there". */
static void
heap_set(skua_pool *pool, uint32_t at, skua_pool_future *task) {
    pool->heap[at] = task;
    task->heap_at = at;
}

static bool
earlier(const skua_pool_future *a, const skua_pool_future *b) {
    return a->lease.deadline_ns < b->lease.deadline_ns;
}

static void
sift_up(skua_pool *pool, skua_pool_future *task, uint32_t at) {
    while (at > 1 && earlier(task, pool->heap[at / 2])) {
        heap_set(pool, at, pool->heap[at / 2]);
        at /= 2;
    }
    heap_set(pool, at, task);
}

static void
sift_down(skua_pool *pool, skua_pool_future *task, uint32_t at) {
    for (uint32_t child; (child = at * 2) <= pool->heap_count; at = child) {
        if (child < pool->heap_count && earlier(pool->heap[child + 1], pool->heap[child])) {
            child++;
        }
        if (!earlier(pool->heap[child], task)) {
            break;
        }
        heap_set(pool, at, pool->heap[child]);
    }
    heap_set(pool, at, task);
}

void
skua__timer_add_locked(skua_pool *pool, skua_pool_future *task) {
    assert(pool->heap_count + 1 < pool->heap_size);
    sift_up(pool, task, ++pool->heap_count);
    skua__timer_wake_locked(pool, task->lease.deadline_ns);
}

void
skua__timer_remove_locked(skua_pool *pool, skua_pool_future *task) {
    uint32_t at = task->heap_at;
    skua_pool_future *last = pool->heap[pool->heap_count--];
    task->heap_at = 0;
    if (last != task) {
        sift_up(pool, last, at);
        sift_down(pool, last, last->heap_at);
    }
}

void
skua__timer_wake_locked(skua_pool *pool, int64_t at_ns) {
    if (at_ns < pool->service_until_ns) {
        pool->service_until_ns = at_ns;
        skua__cond_signal(&pool->service_wake);
    }
}

/* Ends the tasks of a lane that nobody has served for too long. Returns when to look again. */
static int64_t
lane_orphans(skua_pool *pool, skua__lane *lane, int priority, int64_t now_ns) {
    if (lane->orphaned_ns == SKUA_NEVER_NS) {
        return SKUA_NEVER_NS;
    }
    int64_t at_ns = lane->orphaned_ns + pool->options.orphan_ms * SKUA_NS_PER_MS;
    if (now_ns < at_ns) {
        return at_ns;
    }
    uint32_t guard = lane->tasks; /* the last one's end may free the lane */
    while (guard--) {
        skua__list *queue = &lane->queue[priority];
        bool last = queue->next->next == queue;
        skua_pool_future *task = SKUA_CONTAINER_OF(queue->next, skua_pool_future, link);
        skua__task_event_locked(pool, task, &(skua__lease_event){.kind = SKUA__LEASE_ORPHAN},
                                now_ns);
        if (last) {
            break;
        }
    }
    return SKUA_NEVER_NS;
}

static int64_t
orphans_run(skua_pool *pool, int64_t now_ns) {
    int64_t next_ns = SKUA_NEVER_NS;
    for (int priority = 0; priority < SKUA__POOL_PRIORITIES; priority++) {
        SKUA_LIST_EACH(node, &pool->ready[priority]) {
            skua__lane *lane = SKUA_CONTAINER_OF(node - priority, skua__lane, ready);
            int64_t at_ns = lane_orphans(pool, lane, priority, now_ns);
            next_ns = at_ns < next_ns ? at_ns : next_ns;
        }
    }
    return next_ns;
}

/* Expires the leases of peers that were not renewed. */
static void
sweep(skua_pool *pool, int64_t now_ns) {
    bool remote = false;
    for (uint32_t i = 0; i < pool->site_count; i++) {
        skua__site *site = pool->sites[i];
        if (site->backend != SKUA_BACKEND_REMOTE || !site->in_flight) {
            continue;
        }
        remote = true;
        SKUA_LIST_EACH(node, &site->held) {
            skua_pool_future *task = SKUA_CONTAINER_OF(node, skua_pool_future, link);
            if (now_ns >= task->lease.expires_ns) {
                site->retries++;
                pool->count.infrastructure_failures++;
                skua__site_failed_locked(pool, site, task, now_ns);
                skua__task_event_locked(pool, task, &(skua__lease_event){.kind = SKUA__LEASE_TICK},
                                        now_ns);
            }
        }
    }
    int64_t step_ns = pool->options.lease_ms * SKUA_NS_PER_MS / SWEEPS_PER_LEASE;
    pool->sweep_ns = remote ? now_ns + step_ns : SKUA_NEVER_NS;
}

int64_t
skua__timers_run_locked(skua_pool *pool, int64_t now_ns) {
    while (pool->heap_count && pool->heap[1]->lease.deadline_ns <= now_ns) {
        skua__task_event_locked(pool, pool->heap[1], &(skua__lease_event){.kind = SKUA__LEASE_TICK},
                                now_ns);
    }
    if (now_ns >= pool->sweep_ns) {
        sweep(pool, now_ns);
    }
    if (now_ns >= pool->retry_ns) {
        pool->retry_ns = SKUA_NEVER_NS;
        skua__splits_retry_locked(pool);
    }
    skua__dispatch_locked(pool, now_ns);
    int64_t next_ns = orphans_run(pool, now_ns);
    if (pool->heap_count && pool->heap[1]->lease.deadline_ns < next_ns) {
        next_ns = pool->heap[1]->lease.deadline_ns;
    }
    next_ns = pool->sweep_ns < next_ns ? pool->sweep_ns : next_ns;
    return pool->retry_ns < next_ns ? pool->retry_ns : next_ns;
}

void *
skua__service_main(void *arg) {
    skua_pool *pool = arg;
    skua__mutex_lock(&pool->lock);
    while (!pool->service_stop) {
        int64_t next_ns = skua__timers_run_locked(pool, skua__clock_ns());
        pool->service_until_ns = next_ns;
        if (skua__pool_has_notes_locked(pool)) {
            skua__pool_leave_calling(pool);
            skua__mutex_lock(&pool->lock);
            continue; /* what it called may have moved something */
        }
        skua__cond_wait_until(&pool->service_wake, &pool->lock, pool->service_until_ns);
    }
    skua__mutex_unlock(&pool->lock);
    return NULL;
}
