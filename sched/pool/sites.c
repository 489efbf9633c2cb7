// SPDX-License-Identifier: MPL-2.0
// Sites: the places where tasks run, their figures, and what happens to their tasks when they go.
#include <skua-int/pool_int.h>

#include <stdio.h>
#include <string.h>

enum { SITES_FIRST = 8 };

static skua__site *
site_add(skua_pool *pool) {
    if (pool->site_count == pool->site_size) {
        uint32_t size = pool->site_size ? pool->site_size * 2 : SITES_FIRST;
        skua__site **sites = skua__mem_resize(pool->hook, pool->sites, size * sizeof(void *));
        if (!sites) {
            return NULL;
        }
        pool->sites = sites;
        pool->site_size = size;
    }
    skua__site *site = skua__mem_new(pool->hook, sizeof *site);
    if (site) {
        site->index = pool->site_count;
        site->quarantine.length_ns = pool->options.quarantine_ms * SKUA_NS_PER_MS;
        pool->sites[pool->site_count++] = site;
        skua__list_init(&site->outbox);
        skua__list_init(&site->held);
        skua__list_init(&site->refused);
        skua__list_init(&site->cancels);
    }
    return site;
}

/* A dead site of the same node, so that a node that comes back goes on in its row of the figures. */
static skua__site *
site_find_dead(const skua_pool *pool, skua_backend_kind backend, const char *name) {
    for (uint32_t i = 0; i < pool->site_count; i++) {
        skua__site *site = pool->sites[i];
        if (!site->alive && site->backend == backend && strcmp(site->name, name) == 0) {
            return site;
        }
    }
    return NULL;
}

skua__site *
skua__site_get_locked(skua_pool *pool, skua_backend_kind backend, const char *name,
                      const char *node, const skua__uuid *uuid) {
    skua__site *site = site_find_dead(pool, backend, name);
    if (!site && pool->site_count <= SKUA_POOL_MAX_NODES) {
        site = site_add(pool);
    }
    if (!site) {
        return NULL;
    }
    site->pool = pool;
    site->backend = backend;
    site->alive = true;
    site->workers = 1;
    site->others = 0;
    site->way = (skua__way_cost){0};
    snprintf(site->name, sizeof site->name, "%s", name);
    snprintf(site->node, sizeof site->node, "%s", node);
    if (uuid) {
        site->uuid = *uuid;
    }
    return site;
}

/* Gives up every task of a list, newest first, so that those that wait again stand in their old order. */
static void
give_up_all(skua_pool *pool, skua__site *site, skua__list *tasks, bool started, int64_t now_ns) {
    while (!skua__list_empty(tasks)) {
        skua_pool_future *task = SKUA_CONTAINER_OF(tasks->prev, skua_pool_future, link);
        site->retries++;
        pool->count.infrastructure_failures += started;
        skua__lease_event event = {.kind = started ? SKUA__LEASE_DEATH : SKUA__LEASE_HAND_BACK,
                                   .epoch = task->lease.epoch};
        skua__task_event_locked(pool, task, &event, now_ns);
    }
}

void
skua__site_take_back_locked(skua_pool *pool, skua__site *site) {
    give_up_all(pool, site, &site->outbox, false, skua__clock_ns());
}

void
skua__site_failed_locked(skua_pool *pool, skua__site *site, const skua_pool_future *task,
                         int64_t now_ns) {
    if (skua__quarantine_failed(&site->quarantine, task->id, now_ns)) {
        pool->count.quarantines++;
    }
}

void
skua__site_down_locked(skua_pool *pool, skua__site *site, bool died) {
    int64_t now_ns = skua__clock_ns();
    if (died && !skua__list_empty(&site->held)) {
        /* One death is one failure, however much it held: it is laid to the oldest, which most likely ran. */
        skua__site_failed_locked(
            pool, site, SKUA_CONTAINER_OF(site->held.next, skua_pool_future, link), now_ns);
    }
    site->alive = false;
    site->link = NULL;
    site->task_names = 0;
    skua__kinds_forget_site_locked(pool, site);
    give_up_all(pool, site, &site->outbox, false, now_ns); /* these never left */
    give_up_all(pool, site, &site->held, true, now_ns);
    while (!skua__list_empty(&site->cancels)) {
        skua__list *node = skua__list_pop_front(&site->cancels);
        skua__mem_free(pool->hook, SKUA_CONTAINER_OF(node, skua__cancel, link));
    }
    assert(site->in_flight == 0);
    skua__lanes_review_locked(pool, now_ns);
    skua__dispatch_locked(pool, now_ns);
    skua__timer_wake_locked(pool, now_ns); /* lanes that nobody serves now have a time limit */
    skua__pool_changed_locked(pool);
}

void
skua__site_place_locked(skua_pool *pool, skua__kind *kind, skua__site *site,
                        const skua_pool_future *task, int64_t now_ns, skua__place *ret_place) {
    const skua__offer *offer = &kind->offers[site->index];
    int64_t run_ns = offer->cost.samples  ? offer->cost.run_ns
                     : kind->cost.samples ? kind->cost.run_ns
                                          : -1;
    int64_t guess_ns = run_ns >= 0 ? run_ns : SKUA__PLACE_UNKNOWN_RUN_NS;
    (void)pool;
    *ret_place = (skua__place){
        .site = site->index,
        .room = now_ns >= site->refused_ns &&
                skua__place_has_room(site->in_flight, site->predicted_ns, site->workers, run_ns),
        .preferred = task->lane->node[0] && strcmp(task->lane->node, site->node) == 0,
        .last = kind->last_site == site->index,
        .wait_ns = skua__place_wait_ns(site->in_flight, site->predicted_ns, site->others,
                                       site->workers, guess_ns),
        .move_ns = skua__cost_move_ns(&site->way, task->input_bytes),
        .round_ns = site->way.round_ns,
        .run_ns = guess_ns,
    };
}
