// SPDX-License-Identifier: MPL-2.0
// Kernels of a pool: their registry, and the sites and places that our cores and devices are for their launches.
#include <skua-int/kernels.h>
#include <skua-int/node_int.h>
#include <stdio.h>
#include <string.h>

enum {
    LOCAL_PLACES_MAX = SKUA__KERNEL_PLACES_MAX - 1, /* where there may be peers: one is left */
};

#define SLICED_FACTOR UINT32_C(2654435769) /* spreads the bits; wire.md has it */

/* ---- Places ---- */

int32_t
skua__place_device(const skua__site *site) {
    const skua__kernels *kernels = site->pool->kernels;
    return kernels && site->place ? kernels->places[site->place - 1].device : SKUA_SHARE_PEER;
}

uint32_t
skua__place_id(const skua__site *site) {
    return site->pool->kernels->places[site->place - 1].id;
}

static skua_status
add_place(skua__kernels *kernels, const skua__kernel_place *given, const skua_device_info *info,
          skua_error *err) {
    skua__kernel_place *place = &kernels->places[kernels->place_count];
    *place = *given;
    place->id = ++kernels->last_id;
    skua_status status = skua__selector_place_add(kernels, place, info, err);
    kernels->place_count += status == SKUA_OK;
    return status;
}

/* The devices that start; one that does not is as if it were not there. */
static void
add_devices(skua__kernels *kernels) {
    skua_devices *devices = kernels->pool->options.devices;
    uint32_t most = kernels->pool->node ? LOCAL_PLACES_MAX : SKUA__KERNEL_PLACES_MAX;
    for (size_t i = 0; i < skua_devices_count(devices) && kernels->place_count < most; i++) {
        skua_device_info info = {.size = sizeof info};
        skua__kernel_place place = {.device = (int32_t)i};
        if (skua_devices_at(devices, i, &info, NULL) || !info.usable ||
            skua__devices_engine(devices, i, &place.engine, NULL)) {
            continue;
        }
        if (kernels->pool
                ->exec) { /* one of too many devices runs all the same, and is not traced */
            (void)!skua__devices_trace(devices, i, kernels->pool->exec, NULL);
        }
        (void)!add_place(kernels, &place, &info, NULL);
    }
}

/* The sites of the places, now that the pool is to have them. Returns false when there is no memory. */
static bool
add_sites_locked(skua__kernels *kernels) {
    skua_pool *pool = kernels->pool;
    for (uint32_t i = 0; i < kernels->place_count; i++) {
        skua__kernel_place *place = &kernels->places[i];
        char name[SKUA_NAME_BYTES];
        skua_device_info info = {.size = sizeof info};
        if (place->engine) {
            (void)!skua_devices_at(pool->options.devices, (size_t)place->device, &info, NULL);
            snprintf(name, sizeof name, "device %d (%.40s)", place->device, info.name);
            place->site =
                skua__site_get_locked(pool, SKUA_BACKEND_DEVICE, name, skua__pool_node_name(pool),
                                      pool->node ? skua__node_uuid(pool->node) : NULL);
            if (!place->site) {
                return false;
            }
        } else {
            place->site = pool->local;
        }
        if (place->site) {
            place->site->place = i + 1;
        }
    }
    return true;
}

/* ---- The registry ---- */

static void
kernels_free(skua__kernels *kernels) {
    const skua_allocator *hook = kernels->pool->hook;
    for (skua__list *node; (node = skua__list_pop_front(&kernels->entries)) != NULL;) {
        skua__kernel_entry *entry = SKUA_CONTAINER_OF(node, skua__kernel_entry, link);
        skua__kernel_free(entry->kernel);
        skua__mem_free(hook, entry);
    }
    skua_selector_close(kernels->selector);
    skua__mem_free(hook, kernels);
}

static skua_status
kernels_open(skua_pool *pool, skua__kernels **ret_kernels, skua_error *err) {
    skua__kernels *kernels = skua__mem_new(pool->hook, sizeof *kernels);
    if (!kernels) {
        return SKUA_FAIL_MEMORY(err, "the pool's kernels");
    }
    kernels->pool = pool;
    kernels->patience_ms = SKUA__KERNEL_PATIENCE_MS;
    skua__list_init(&kernels->entries);
    skua_status status = skua__selector_open(pool, &kernels->selector, err);
    if (!status) {
        status = add_place(kernels, &(skua__kernel_place){.device = SKUA_SHARE_CORES}, NULL, err);
    }
    if (status) {
        kernels_free(kernels);
        return status;
    }
    add_devices(kernels);
    *ret_kernels = kernels;
    return SKUA_OK;
}

void
skua__kernels_close(skua_pool *pool) {
    if (pool->kernels) {
        for (uint32_t i = 0; i < pool->kernels->place_count; i++) {
            if (pool->kernels->places[i].engine) {
                /* Its launches are the pool's hook's, which the user may take away. */
                skua__engine_tidy(pool->kernels->places[i].engine);
            }
        }
        kernels_free(pool->kernels);
        pool->kernels = NULL;
    }
}

/* The pool's registry, made by the first call: without the pool's lock, since drivers start slowly. */
static skua_status
get_kernels(skua_pool *pool, bool make, skua__kernels **ret_kernels, skua_error *err) {
    skua_status status = skua__pool_enter(pool, err);
    if (status) {
        return status;
    }
    *ret_kernels = pool->kernels;
    skua__pool_leave(pool);
    if (*ret_kernels || !make) {
        return SKUA_OK;
    }
    skua__kernels *made = NULL;
    status = kernels_open(pool, &made, err);
    if (status) {
        return status;
    }
    status = skua__pool_enter(pool, err);
    if (status) {
        kernels_free(made);
        return status;
    }
    bool first = !pool->kernels, added = true;
    if (first) {
        pool->kernels = made;
        added = add_sites_locked(made);
    }
    *ret_kernels = pool->kernels;
    skua__pool_leave(pool);
    if (!first) {
        kernels_free(made); /* another thread was first */
    }
    return added ? SKUA_OK : SKUA_FAIL_MEMORY(err, "the sites of devices");
}

/* Without the pool's lock, which every launch would want once more: entries are only ever added, each before all others. */
static skua__kernel_entry *
find(const skua_pool *pool, const char *name) {
    /* acquire K1: the entry is complete; pairs with release K1 in add_entry_locked() */
    skua__kernel_entry *entry = skua__aptr_load(&pool->newest_kernel, memory_order_acquire);
    while (entry && strcmp(entry->kernel->name, name) != 0) {
        entry = entry->older;
    }
    return entry;
}

skua__kernel_entry *
skua__kernel_find(skua_pool *pool, const char *name, skua_error *err) {
    if (skua__pool_check_fork(pool, err)) {
        return NULL;
    }
    skua__kernel_entry *entry = name ? find(pool, name) : NULL;
    if (!entry) {
        (void)SKUA_FAIL(err, SKUA_E_NOT_FOUND, "kernel \"%.64s\" is not registered with this pool",
                        name ? name : "");
    }
    return entry;
}

void
skua__share_name_locked(skua__kernel_entry *entry, uint32_t i) {
    const skua__kernel_place *place = &entry->kernels->places[i];
    skua_kernel_share *share = &entry->shares[i];
    share->size = sizeof *share;
    share->device = place->device;
    skua_device_info info = {.size = sizeof info, .name = "cores"};
    if (place->engine) {
        (void)!skua_devices_at(entry->kernels->pool->options.devices, (size_t)place->device, &info,
                               NULL);
    } else if (place->device == SKUA_SHARE_PEER) {
        snprintf(info.name, sizeof info.name, "%s", place->site->node);
    }
    memcpy(share->name, info.name, sizeof share->name);
}

/* ---- Registering ---- */

static bool
runs_at(const skua__kernel *kernel, const skua__kernel_place *place) {
    return place->engine ? kernel->text != NULL
                         : place->device == SKUA_SHARE_CORES && place->site && kernel->fn;
}

/* Offers the kernel at each place here that can run it. *ret_any: there is one; else only peers may run it. */
static skua_status
offer_locked(skua_pool *pool, skua__kernel_entry *entry, bool *ret_any, skua_error *err) {
    const skua__kernel *kernel = entry->kernel;
    const skua__kernels *kernels = entry->kernels;
    skua__function *function = NULL;
    *ret_any = false;
    for (uint32_t i = 0; i < kernels->place_count; i++) {
        *ret_any = *ret_any || runs_at(kernel, &kernels->places[i]);
    }
    if (!*ret_any) {
        return SKUA_OK;
    }
    bool cores = runs_at(kernel, &kernels->places[0]);
    skua_status status =
        skua__function_add_locked(pool, kernel->name, entry->version, cores, &function, err);
    if (status) {
        return status;
    }
    function->fn = skua__kernel_task;
    function->arg = entry;
    function->kernel = entry;
    for (uint32_t i = 1; i < kernels->place_count; i++) {
        skua__site *site = kernels->places[i].site;
        /* No memory: this device is not used for it, which is as if it did not offer it. */
        if (runs_at(kernel, &kernels->places[i]) &&
            !skua__kind_set_offered_locked(pool, kernel->name, entry->version, site)) {
            site->task_names++;
        }
    }
    return SKUA_OK;
}

/* Puts a kernel into the registry and offers it. Takes the entry on success. */
static skua_status
add_entry_locked(skua__kernels *kernels, skua__kernel_entry *entry, bool *ret_offered,
                 skua_error *err) {
    const char *name = entry->kernel->name;
    if (find(kernels->pool, name)) {
        return SKUA_FAIL(err, SKUA_E_EXISTS, "kernel \"%s\" is registered already", name);
    }
    for (uint32_t i = 0; i < kernels->place_count; i++) {
        skua__share_name_locked(entry, i);
    }
    skua_status status = skua__selector_kernel_add(kernels->selector, entry, err);
    if (!status) {
        status = offer_locked(kernels->pool, entry, ret_offered, err);
    }
    if (!status) {
        skua__list_push_back(&kernels->entries, &entry->link);
        entry->older =
            skua__aptr_load(&kernels->pool->newest_kernel,
                            memory_order_relaxed); /* relaxed: it changes under the lock */
        /* release K1: publishes the entry; pairs with acquire K1 in find() */
        skua__aptr_store(&kernels->pool->newest_kernel, entry, memory_order_release);
        int64_t now_ns = skua__clock_ns();
        skua__lanes_review_locked(kernels->pool, now_ns);
        skua__dispatch_locked(kernels->pool, now_ns);
        skua__pool_changed_locked(kernels->pool);
    }
    return status;
}

static skua_status
add_kernel(skua__kernels *kernels, skua__kernel *kernel, skua_error *err) {
    skua_pool *pool = kernels->pool;
    skua__kernel_entry *entry = skua__mem_new(pool->hook, sizeof *entry);
    if (!entry) {
        return SKUA_FAIL_MEMORY(err, "a kernel");
    }
    entry->kernels = kernels;
    entry->kernel = kernel;
    memcpy(&entry->version, kernel->digest, sizeof entry->version);
    entry->version ^= kernel->sliced * SLICED_FACTOR; /* parts are cut alike at both ends */
    entry->version |= 1;                              /* a version is never 0 */
    bool offered = false;
    skua_status status = skua__pool_enter(pool, err);
    if (!status) {
        status = add_entry_locked(kernels, entry, &offered, err);
        skua__pool_leave(pool);
    }
    if (status) {
        skua__mem_free(pool->hook, entry);
    } else if (offered && pool->server) {
        skua__server_offers_changed(pool);
    }
    return status;
}

skua_status
skua_kernel_register(skua_pool *pool, const char *name, const skua_kernel_spec *spec,
                     skua_error *err) {
    skua__kernels *kernels = NULL;
    skua__kernel *kernel = NULL;
    skua_status status = skua__kernel_new(pool->hook, name, spec, &kernel, err);
    if (!status) {
        status = get_kernels(pool, true, &kernels, err);
    }
    if (!status) {
        status = add_kernel(kernels, kernel, err);
    }
    if (status) {
        skua__kernel_free(kernel);
    }
    return status;
}
