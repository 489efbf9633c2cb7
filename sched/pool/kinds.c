// SPDX-License-Identifier: MPL-2.0
// Kinds and lanes: who offers tasks of which name, and the queues of those that wait for one.
#include <skua-int/kernels.h>

#include <stdio.h>
#include <string.h>

enum { OFFERS_FIRST = 8 };

/* The key of a kind: its name, a 0 and its version. Returns its size. */
static uint32_t
make_key(char ret[SKUA_NAME_BYTES + 8], const char *name, uint32_t version) {
    size_t size = strnlen(name, SKUA_NAME_BYTES - 1);
    memcpy(ret, name, size);
    ret[size] = 0;
    memcpy(ret + size + 1, &version, sizeof version);
    return (uint32_t)(size + 1 + sizeof version);
}

skua__kind *
skua__kind_find_locked(skua_pool *pool, const char *name, uint32_t version) {
    char key[SKUA_NAME_BYTES + 8];
    uint32_t key_bytes = make_key(key, name, version);
    return skua__hash_get(&pool->kind_table, key, key_bytes);
}

skua__kind *
skua__kind_get_locked(skua_pool *pool, const char *name, uint32_t version) {
    skua__kind *kind = skua__kind_find_locked(pool, name, version);
    if (kind) {
        return kind;
    }
    kind = skua__mem_new(pool->hook, sizeof *kind);
    if (!kind) {
        return NULL;
    }
    kind->pool = pool;
    kind->version = version;
    kind->key_bytes = make_key(kind->key, name, version);
    kind->last_site = UINT32_MAX;
    skua__list_init(&kind->lanes);
    if (skua__hash_put(&pool->kind_table, kind->key, kind->key_bytes, kind)) {
        return skua__mem_free(pool->hook, kind);
    }
    skua__list_push_back(&pool->kinds, &kind->link);
    return kind;
}

skua__offer *
skua__kind_offer_locked(skua_pool *pool, skua__kind *kind, const skua__site *site) {
    if (site->index >= kind->offers_size) {
        uint32_t size = kind->offers_size ? kind->offers_size : OFFERS_FIRST;
        while (size <= site->index) {
            size *= 2;
        }
        skua__offer *offers = skua__mem_resize(pool->hook, kind->offers, size * sizeof *offers);
        if (!offers) {
            return NULL;
        }
        memset(offers + kind->offers_size, 0, (size - kind->offers_size) * sizeof *offers);
        kind->offers = offers;
        kind->offers_size = size;
    }
    return &kind->offers[site->index];
}

static skua_status
set_offered_one(skua_pool *pool, const char *name, uint32_t version, const skua__site *site) {
    skua__kind *kind = skua__kind_get_locked(pool, name, version);
    skua__offer *offer = kind ? skua__kind_offer_locked(pool, kind, site) : NULL;
    if (!offer) {
        return SKUA_E_NO_MEMORY;
    }
    kind->offered += !offer->offered;
    offer->offered = true;
    return SKUA_OK;
}

skua_status
skua__kind_set_offered_locked(skua_pool *pool, const char *name, uint32_t version,
                              const skua__site *site) {
    skua_status status = set_offered_one(pool, name, version, site);
    return status ? status : set_offered_one(pool, name, 0, site);
}

void
skua__kinds_forget_site_locked(skua_pool *pool, const skua__site *site) {
    SKUA_LIST_EACH(node, &pool->kinds) {
        skua__kind *kind = SKUA_CONTAINER_OF(node, skua__kind, link);
        if (site->index < kind->offers_size && kind->offers[site->index].offered) {
            kind->offers[site->index].offered = false;
            kind->offered--;
        }
    }
}

/* Whether a launch that is to run `on` may run at a site. */
static bool
on_allows(int32_t on, const skua__site *site) {
    if (on == SKUA__ON_HERE) {
        return site->backend != SKUA_BACKEND_REMOTE;
    }
    if (on < SKUA_ON_DEVICE) {
        return on != SKUA_ON_CORES || site->backend == SKUA_BACKEND_LOCAL;
    }
    return site->backend == SKUA_BACKEND_DEVICE && skua__place_device(site) == on - SKUA_ON_DEVICE;
}

bool
skua__lane_allows(const skua__lane *lane, const skua__site *site) {
    return site->alive && (!lane->only || strcmp(lane->node, site->node) == 0) &&
           on_allows(lane->on, site);
}

static bool
lane_has_site(const skua_pool *pool, const skua__lane *lane) {
    const skua__kind *kind = lane->kind;
    if (!lane->only && !lane->on) {
        return kind->offered > 0;
    }
    for (uint32_t i = 0; i < pool->site_count && i < kind->offers_size; i++) {
        if (kind->offers[i].offered && skua__lane_allows(lane, pool->sites[i])) {
            return true;
        }
    }
    return false;
}

static void
review(const skua_pool *pool, skua__lane *lane, int64_t now_ns) {
    if (lane_has_site(pool, lane)) {
        lane->orphaned_ns = SKUA_NEVER_NS;
    } else if (lane->orphaned_ns == SKUA_NEVER_NS) {
        lane->orphaned_ns = now_ns;
    }
}

void
skua__lanes_review_locked(skua_pool *pool, int64_t now_ns) {
    SKUA_LIST_EACH(node, &pool->kinds) {
        skua__kind *kind = SKUA_CONTAINER_OF(node, skua__kind, link);
        SKUA_LIST_EACH(lane, &kind->lanes) {
            review(pool, SKUA_CONTAINER_OF(lane, skua__lane, link), now_ns);
        }
    }
}

skua__lane *
skua__lane_get_locked(skua_pool *pool, skua__kind *kind, const char *node, bool only, int32_t on,
                      uint32_t place) {
    SKUA_LIST_EACH(link, &kind->lanes) {
        skua__lane *lane = SKUA_CONTAINER_OF(link, skua__lane, link);
        if (lane->only == only && lane->on == on && lane->place == place &&
            strcmp(lane->node, node) == 0) {
            lane->tasks++;
            return lane;
        }
    }
    skua__lane *lane = skua__mem_new(pool->hook, sizeof *lane);
    if (!lane) {
        return NULL;
    }
    lane->kind = kind;
    lane->only = only;
    lane->on = on;
    lane->place = place;
    lane->tasks = 1;
    snprintf(lane->node, sizeof lane->node, "%s", node);
    for (int i = 0; i < SKUA__POOL_PRIORITIES; i++) {
        skua__list_init(&lane->queue[i]);
        skua__list_init(&lane->ready[i]);
    }
    /* A lane that is new and that nobody serves has been so for ever: its tasks are refused at once. */
    lane->orphaned_ns = SKUA_NEVER_NS;
    review(pool, lane, INT64_MIN / 2);
    skua__list_push_back(&kind->lanes, &lane->link);
    return lane;
}

void
skua__lane_put_locked(skua_pool *pool, skua__lane *lane) {
    assert(lane->tasks > 0);
    lane->tasks--;
    if (lane->tasks == 0 && (lane->node[0] || lane->on || lane->place)) {
        skua__list_remove(&lane->link);
        skua__mem_free(pool->hook, lane);
    }
}

void
skua__kinds_fini(skua_pool *pool) {
    SKUA_LIST_EACH(node, &pool->kinds) {
        skua__kind *kind = SKUA_CONTAINER_OF(node, skua__kind, link);
        SKUA_LIST_EACH(lane, &kind->lanes) {
            skua__mem_free(pool->hook, SKUA_CONTAINER_OF(lane, skua__lane, link));
        }
        skua__mem_free(pool->hook, kind->offers);
        skua__mem_free(pool->hook, kind);
    }
    skua__hash_fini(&pool->kind_table);
    SKUA_LIST_EACH(node, &pool->functions) {
        skua__mem_free(pool->hook, SKUA_CONTAINER_OF(node, skua__function, link));
    }
}

/* The kind is offered here from now on, by this function. Everything that could fail was done before. */
static void
offer_here(skua_pool *pool, skua__kind *kind, skua__function *function) {
    skua__offer *offer = &kind->offers[pool->local->index];
    kind->offered += !offer->offered;
    offer->offered = true;
    if (!kind->function || kind->function->version < function->version) {
        kind->function = function;
    }
}

skua_status
skua__function_add_locked(skua_pool *pool, const char *name, uint32_t version, bool cores,
                          skua__function **ret_function, skua_error *err) {
    if (skua__function_find_locked(pool, name, strlen(name), version)) {
        return SKUA_FAIL(err, SKUA_E_EXISTS, "task \"%s\" version %u is registered already", name,
                         version);
    }
    if (pool->function_count >= SKUA_POOL_MAX_TASK_NAMES) {
        return SKUA_FAIL(err, SKUA_E_LIMIT, "a pool takes %d task names, and \"%s\" is one more",
                         SKUA_POOL_MAX_TASK_NAMES, name);
    }
    skua__kind *kind = NULL, *any = NULL;
    bool ready = true, here = pool->local && cores;
    if (here) {
        kind = skua__kind_get_locked(pool, name, version);
        any = kind ? skua__kind_get_locked(pool, name, 0) : NULL;
        ready = any && skua__kind_offer_locked(pool, kind, pool->local) &&
                skua__kind_offer_locked(pool, any, pool->local);
    }
    skua__function *function = ready ? skua__mem_new(pool->hook, sizeof *function) : NULL;
    if (!function) {
        return SKUA_FAIL_MEMORY(err, "a registered task");
    }
    snprintf(function->name, sizeof function->name, "%s", name);
    function->version = version;
    skua__list_push_back(&pool->functions, &function->link);
    pool->function_count++;
    if (here) {
        offer_here(pool, kind, function);
        offer_here(pool, any, function);
        pool->local->task_names++;
    }
    *ret_function = function;
    return SKUA_OK;
}

skua__function *
skua__function_find_locked(const skua_pool *pool, const char *name, size_t name_bytes,
                           uint32_t version) {
    skua__function *best = NULL;
    SKUA_LIST_EACH(node, &pool->functions) {
        skua__function *function = SKUA_CONTAINER_OF(node, skua__function, link);
        if (strlen(function->name) != name_bytes || memcmp(function->name, name, name_bytes) != 0) {
            continue;
        }
        if (function->version == version) {
            return function;
        }
        if (version == 0 && (!best || function->version > best->version)) {
            best = function;
        }
    }
    return best;
}

char *
skua__kinds_text_locked(skua_pool *pool, char *ret, size_t ret_size) {
    uint32_t peers = 0;
    for (uint32_t i = 0; i < pool->site_count; i++) {
        peers += pool->sites[i]->alive && pool->sites[i]->backend == SKUA_BACKEND_REMOTE;
    }
    size_t used =
        (size_t)snprintf(ret, ret_size, "%u peer%s; offered:", peers, peers == 1 ? "" : "s");
    bool any = false;
    SKUA_LIST_EACH(node, &pool->kinds) {
        const skua__kind *kind = SKUA_CONTAINER_OF(node, skua__kind, link);
        if (kind->version == 0 && kind->offered && used < ret_size) {
            used +=
                (size_t)snprintf(ret + used, ret_size - used, "%s %s", any ? "," : "", kind->key);
            any = true;
        }
    }
    if (!any && used < ret_size) {
        snprintf(ret + used, ret_size - used, " nothing");
    }
    return ret;
}
