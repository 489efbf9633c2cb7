// SPDX-License-Identifier: MPL-2.0
// Dispatch: which waiting task goes next, and to which site.
#include <skua-int/kernels.h>

#include <stdio.h>
#include <string.h>

void
skua__queue_push_locked(skua_pool *pool, skua_pool_future *task, bool front) {
    skua__lane *lane = task->lane;
    skua__list *queue = &lane->queue[task->priority];
    if (skua__list_empty(queue)) {
        skua__list_push_back(&pool->ready[task->priority], &lane->ready[task->priority]);
    }
    if (front) {
        /* Among those that wait again the older ones go first, in whatever order they came back. */
        skua__list *at = queue->next;
        while (at != queue && SKUA_CONTAINER_OF(at, skua_pool_future, link)->id < task->id) {
            at = at->next;
        }
        skua__list_insert_between(&task->link, at->prev, at);
    } else {
        skua__list_push_back(queue, &task->link);
    }
    pool->waiting++;
}

static void
queue_remove(skua_pool *pool, skua_pool_future *task) {
    skua__lane *lane = task->lane;
    skua__list_remove(&task->link);
    if (skua__list_empty(&lane->queue[task->priority])) {
        skua__list_remove(&lane->ready[task->priority]);
    }
    pool->waiting--;
}

void
skua__queue_remove_locked(skua_pool *pool, skua_pool_future *task) {
    queue_remove(pool, task);
}

/* Whether a peer would do, were the launch's arguments not buffers, which stay here. */
static bool
leaves_peers_out(const skua_pool *pool, const skua_pool_future *task) {
    const skua__kind *kind = task->lane->kind;
    bool any = false;
    for (uint32_t i = 0; task->claimed && i < pool->site_count && i < kind->offers_size; i++) {
        any = any || (kind->offers[i].offered && pool->sites[i]->backend == SKUA_BACKEND_REMOTE);
    }
    return any;
}

static void
record_verdict(skua_pool_future *task, const skua__place *places, size_t count, size_t chosen) {
    skua__verdict *verdict = &task->verdict;
    verdict->of = (uint8_t)(count > UINT8_MAX ? UINT8_MAX : count);
    verdict->count = 0;
    verdict->reason = task->launch ? task->launch->reason : 0;
    for (size_t i = 0; i < count && verdict->count < SKUA__POOL_VERDICT_SITES; i++) {
        if (i != chosen && verdict->count == SKUA__POOL_VERDICT_SITES - 1 && i < chosen) {
            continue; /* the last place is kept for the chosen one */
        }
        if (i == chosen) {
            verdict->chosen = verdict->count;
        }
        const float us = 1e-3F;
        verdict->places[verdict->count].site = places[i].site;
        verdict->places[verdict->count].wait_us = (float)places[i].wait_ns * us;
        verdict->places[verdict->count].move_us = (float)places[i].move_ns * us;
        verdict->places[verdict->count].round_us = (float)places[i].round_ns * us;
        verdict->places[verdict->count].run_us = (float)places[i].run_ns * us;
        verdict->places[verdict->count].missing_bytes = places[i].missing_bytes;
        verdict->count++;
    }
}

void
skua__dispatch_again_locked(skua_pool *pool, int64_t at_ns) {
    if (at_ns < pool->retry_ns) {
        pool->retry_ns = at_ns;
        skua__timer_wake_locked(pool, at_ns);
    }
}

size_t
skua__places_locked(skua_pool *pool, const skua_pool_future *task, int64_t now_ns,
                    skua__place *ret) {
    skua__kind *kind = task->lane->kind;
    size_t count = 0;
    uint32_t sites = pool->site_count < kind->offers_size ? pool->site_count : kind->offers_size;
    uint32_t from = sites > SKUA__PLACE_CANDIDATES ? (uint32_t)(pool->scan++ % sites) : 0;
    for (uint32_t i = 0; i < sites && count < SKUA__PLACE_CANDIDATES; i++) {
        uint32_t at = from + i < sites ? from + i : from + i - sites;
        skua__site *site = pool->sites[at];
        if (!kind->offers[at].offered || !skua__lane_allows(task->lane, site) ||
            (site->backend == SKUA_BACKEND_DEVICE && !task->launch)) {
            continue; /* a launch that somebody submitted as mere bytes runs on the cores */
        }
        if (skua__quarantine_holds(&site->quarantine, now_ns)) {
            skua__dispatch_again_locked(pool, site->quarantine.until_ns);
        } else {
            skua__site_place_locked(pool, kind, site, task, now_ns, &ret[count++]);
        }
    }
    return count;
}

/* The site for a task, or NULL when it has to wait. */
static skua__site *
choose_site(skua_pool *pool, skua_pool_future *task, int64_t now_ns, int64_t *ret_predicted_ns) {
    skua__place places[SKUA__PLACE_CANDIDATES];
    size_t count = skua__places_locked(pool, task, now_ns, places);
    int chosen = count == 0     ? -1
                 : task->launch ? skua__launch_choose_locked(pool, task, places, count, now_ns)
                                : skua__place_choose(places, count);
    if (chosen < 0) {
        return NULL;
    }
    record_verdict(task, places, count, (size_t)chosen);
    task->verdict.not_on_peers = leaves_peers_out(pool, task);
    skua__site *site = pool->sites[places[chosen].site];
    *ret_predicted_ns = places[chosen].run_ns;
    if (site->backend == SKUA_BACKEND_DEVICE) {
        *ret_predicted_ns += places[chosen].move_ns;
    } else if (task->launch) {
        *ret_predicted_ns *= site->workers; /* it has all of the cores */
    }
    return site;
}

/* The site did not take it after all: it waits, and for a moment the site gets nothing. */
static void
take_back(skua_pool *pool, skua_pool_future *task, skua__site *site, int64_t now_ns) {
    site->refused_ns = now_ns + SKUA__POOL_RETRY_NS;
    skua__dispatch_again_locked(pool, site->refused_ns);
    skua__lease_event event = {.kind = SKUA__LEASE_HAND_BACK, .epoch = task->lease.epoch};
    skua__task_event_locked(pool, task, &event, now_ns);
}

static void
grant(skua_pool *pool, skua_pool_future *task, skua__site *site, int64_t predicted_ns,
      int64_t now_ns) {
    skua__lease_event event = {.kind = SKUA__LEASE_GRANT,
                               .epoch = ++pool->next_epoch,
                               .expires_ns = SKUA_NEVER_NS}; /* it runs from when it is sent */
    if (skua__task_event_locked(pool, task, &event, now_ns)) {
        return; /* it was too late for it */
    }
    task->site = site;
    task->sent = false;
    /* A launch has all of the workers, so that any other task is company. */
    task->alone = site->in_flight + site->others < (task->launch ? 1 : site->workers);
    task->grant_ns = now_ns;
    task->predicted_ns = predicted_ns;
    site->in_flight++;
    site->predicted_ns += predicted_ns;
    pool->count.attempts++;
    pool->count.retries += task->lease.attempts > 1;
    skua__metric_add(&pool->metrics, SKUA_M_POOL_RETRIES, task->lease.attempts > 1);
    skua__metric_add(&pool->metrics, SKUA_M_POOL_REMOTE, site->backend == SKUA_BACKEND_REMOTE);
    memcpy(task->node, site->node, sizeof task->node);
    task->lane->kind->last_site = site->index;
    bool on_device = site->backend == SKUA_BACKEND_DEVICE;
    if (task->launch) {
        /* relaxed: a guess at where the next one will go */
        atomic_store_explicit(&task->launch->entry->on_device, on_device, memory_order_relaxed);
    }
    if (site->backend == SKUA_BACKEND_LOCAL) {
        skua__list_push_back(&site->held, &task->link);
        task->sent = true;
        if (skua__local_grant_locked(pool, task)) {
            take_back(pool, task, site, now_ns);
        }
        return;
    }
    if (on_device && skua__device_grant_locked(pool, task)) {
        return;
    }
    skua__list_push_back(&site->outbox, &task->link);
    site->outbox_bytes += task->input_bytes;
    if (on_device) {
        pool->dirty_devices = true;
    } else {
        pool->dirty_outboxes = true;
    }
}

/* The lane of a priority whose oldest task came first, of those that need not wait in this round. */
static skua__lane *
oldest_lane(const skua_pool *pool, int priority) {
    skua__lane *best = NULL;
    uint64_t best_id = UINT64_MAX;
    SKUA_LIST_EACH(node, &pool->ready[priority]) {
        skua__lane *lane = SKUA_CONTAINER_OF(node - priority, skua__lane, ready);
        if (lane->blocked_round == pool->round) {
            continue;
        }
        uint64_t id = SKUA_CONTAINER_OF(lane->queue[priority].next, skua_pool_future, link)->id;
        if (id < best_id) {
            best = lane;
            best_id = id;
        }
    }
    return best;
}

/* Grants one task of this priority. Returns false when all of them have to wait. */
static bool
grant_one(skua_pool *pool, int priority, int64_t now_ns) {
    for (skua__lane *lane; (lane = oldest_lane(pool, priority)) != NULL;) {
        skua_pool_future *task =
            SKUA_CONTAINER_OF(lane->queue[priority].next, skua_pool_future, link);
        int64_t predicted_ns = 0;
        skua__site *site = choose_site(pool, task, now_ns, &predicted_ns);
        if (site) {
            queue_remove(pool, task);
            grant(pool, task, site, predicted_ns, now_ns);
            return true;
        }
        lane->blocked_round = pool->round;
    }
    return false;
}

void
skua__dispatch_locked(skua_pool *pool, int64_t now_ns) {
    /* Most urgent first; the word for each is skua_priority's. */
    static const int order[SKUA__POOL_PRIORITIES] = {SKUA_PRIORITY_HIGH, SKUA_PRIORITY_NORMAL,
                                                     SKUA_PRIORITY_LOW};
    pool->round++;
    while (pool->waiting && !pool->closing) {
        int first = 0;
        for (int i = 1; i < SKUA__POOL_PRIORITIES; i++) {
            if (!skua__list_empty(&pool->ready[order[i]]) &&
                pool->passed[order[i]] >= SKUA__POOL_AGEING) {
                first = i; /* ageing: the lowest that waited long enough goes before all */
            }
        }
        int served = -1;
        for (int i = 0; i < SKUA__POOL_PRIORITIES && served < 0; i++) {
            int at = (first + i) % SKUA__POOL_PRIORITIES;
            served = grant_one(pool, order[at], now_ns) ? at : -1;
        }
        if (served < 0) {
            return;
        }
        pool->passed[order[served]] = 0;
        for (int i = served + 1; i < SKUA__POOL_PRIORITIES; i++) {
            pool->passed[order[i]] += !skua__list_empty(&pool->ready[order[i]]);
        }
    }
}
