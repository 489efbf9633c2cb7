// SPDX-License-Identifier: MPL-2.0
// Where a launch runs: the selector's choice among the cores, our devices and peers, what it learns from each run, and the
// file in which that is kept.
#include <skua-int/kernels.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    DEVICE_LAUNCH_NS = 20 * 1000, /* guesses, until something was measured */
    CORES_LAUNCH_NS = 2 * 1000,
    PEER_TRIES = 2,    /* launches of a kernel at a peer that are not learned from */
    USUAL_GROUP = 256, /* work-items */
    PATH_BYTES = 4096,
    MODEL_BYTES = 48,
};

#define REST_LOOK_NS (20 * SKUA_NS_PER_MS)

static const uint64_t device_bytes_per_s = UINT64_C(10000000000);

/* ---- Names that are the same in each run ---- */

/* The processor's name, as the system tells it; "" where it does not. */
static void
read_model(char ret[MODEL_BYTES]) {
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    ret[0] = 0;
    while (file && !ret[0] && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon && colon[1]) {
            snprintf(ret, MODEL_BYTES, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        }
    }
    if (file) {
        fclose(file);
    }
}

/* A device by its name, driver and UUID, and where it stands among those that are alike. */
static void
device_key(const skua_device_info *info, int32_t number, char *ret, size_t size) {
    int used = snprintf(ret, size, "%d %.32s %.20s ", number, info->name, info->driver);
    for (size_t i = 0; i < sizeof info->uuid / 2 && info->has_uuid; i++) {
        used += snprintf(ret + used, size - (size_t)used, "%02x", info->uuid[i]);
    }
}

/* A peer of a name that another one with a place has, by its UUID. */
static void
peer_key(const skua__site *site, char *ret, size_t size) {
    int used = snprintf(ret, size, "peer, uuid "); /* no node has such a name */
    for (size_t i = 0; i < sizeof site->uuid.bytes; i++) {
        used += snprintf(ret + used, size - (size_t)used, "%02x", site->uuid.bytes[i]);
    }
}

/* Whether another peer that has a place is of the same name. */
static bool
peer_is_named(const skua__kernels *kernels, const skua__site *site) {
    for (uint32_t i = 0; i < kernels->place_count; i++) {
        const skua__kernel_place *place = &kernels->places[i];
        if (place->device == SKUA_SHARE_PEER && place->site != site &&
            strcmp(place->site->node, site->node) == 0) {
            return true;
        }
    }
    return false;
}

skua_status
skua__selector_place_add(skua__kernels *kernels, skua__kernel_place *place,
                         const skua_device_info *info, skua_error *err) {
    char name[SKUA_SELECT_NAME_BYTES];
    skua_select_backend backend = {.size = sizeof backend, .name = name};
    if (place->engine) {
        device_key(info, place->device, name, sizeof name);
        backend.kind = SKUA_SELECT_DEVICE;
        backend.launch_ns = DEVICE_LAUNCH_NS;
        backend.bytes_per_s = device_bytes_per_s;
    } else if (place->device == SKUA_SHARE_PEER) {
        snprintf(name, sizeof name, "peer %s", place->site->node);
        backend.kind = SKUA_SELECT_PEER;
        if (peer_is_named(kernels, place->site)) {
            peer_key(place->site, name, sizeof name);
        }
    } else {
        char model[MODEL_BYTES];
        read_model(model);
        snprintf(name, sizeof name, "cores %u %s",
                 kernels->pool->exec ? skua_exec_workers(kernels->pool->exec) : 0, model);
        backend.kind = SKUA_SELECT_SIMD;
        backend.launch_ns = CORES_LAUNCH_NS;
        backend.bytes_per_s = device_bytes_per_s; /* of what buffers hold on a device alone */
    }
    return skua_selector_add_backend(kernels->selector, &backend, &place->selector_number, err);
}

skua_status
skua__selector_kernel_add(skua_selector *selector, skua__kernel_entry *entry, skua_error *err) {
    char name[SKUA_SELECT_NAME_BYTES];
    const uint8_t *digest = entry->kernel->digest;
    int used = snprintf(name, sizeof name, "%s ", entry->kernel->name);
    for (int i = 0; i < 8; i++) {
        used += snprintf(name + used, sizeof name - (size_t)used, "%02x", digest[i]);
    }
    return skua_selector_kernel(selector, name, &entry->selector_number, err);
}

skua_status
skua__selector_open(skua_pool *pool, skua_selector **ret_selector, skua_error *err) {
    char path[PATH_BYTES] = "";
    const char *dir = skua__devices_cache_dir(pool->options.devices);
    if (dir) {
        (void)!mkdir(dir, 0700); /* it may be there already; where it cannot be, nothing is kept */
        if ((size_t)snprintf(path, sizeof path, "%s/launches", dir) >= sizeof path) {
            path[0] = 0;
        }
    }
    return skua_selector_open(ret_selector,
                              SKUA_SELECTOR_OPTIONS(.allocator = pool->hook, .path = path), err);
}

/* ---- The choice ---- */

/*
 * Which place a peer would take: a new one; else that of the peer that was chosen longest ago among those that are gone, or, when
 * nobody else may do the launch, among all. NULL: there is none.
 */
static skua__kernel_place *
place_for_peer(skua__kernels *kernels, bool needed) {
    if (kernels->place_count < SKUA__KERNEL_PLACES_MAX) {
        return &kernels->places[kernels->place_count];
    }
    skua__kernel_place *oldest = NULL;
    for (uint32_t i = 0; i < kernels->place_count; i++) {
        skua__kernel_place *place = &kernels->places[i];
        if (place->device != SKUA_SHARE_PEER || (place->site->alive && !needed)) {
            continue;
        }
        bool goes_first = !oldest || place->site->alive < oldest->site->alive ||
                          (place->site->alive == oldest->site->alive && place->used < oldest->used);
        oldest = goes_first ? place : oldest;
    }
    return oldest;
}

/* What was told of the peer that had the place is forgotten, but for what the selector learned, which stands under its name. */
static void
give_back(skua__kernels *kernels, const skua__kernel_place *place) {
    size_t i = (size_t)(place - kernels->places);
    place->site->place = 0;
    (void)!skua_selector_remove_backend(kernels->selector, place->selector_number, NULL);
    SKUA_LIST_EACH(node, &kernels->entries) {
        SKUA_CONTAINER_OF(node, skua__kernel_entry, link)->shares[i] = (skua_kernel_share){0};
    }
}

/* Gives a peer a place. needed: nobody else may do the launch. Returns whether it has one. */
static bool
add_peer(skua__kernels *kernels, skua__site *site, bool needed) {
    skua__kernel_place *place =
        site->backend == SKUA_BACKEND_REMOTE ? place_for_peer(kernels, needed) : NULL;
    if (!place) {
        return false;
    }
    uint32_t i = (uint32_t)(place - kernels->places);
    if (i < kernels->place_count) {
        give_back(kernels, place);
    }
    *place = (skua__kernel_place){.site = site,
                                  .device = SKUA_SHARE_PEER,
                                  .id = ++kernels->last_id,
                                  .used = ++kernels->choices};
    skua_status status = skua__selector_place_add(kernels, place, NULL, NULL);
    assert(!status); /* a place that is free has a slot, and two peers of one name are told apart */
    (void)status;
    kernels->place_count += i == kernels->place_count;
    site->place = i + 1;
    SKUA_LIST_EACH(node, &kernels->entries) {
        skua__share_name_locked(SKUA_CONTAINER_OF(node, skua__kernel_entry, link), i);
    }
    return true;
}

/* Until a launch would begin: behind ours that are predicted, and behind a rest. A peer's round trip counts with it. */
static int64_t
wait_ns(const skua__site *site, const skua__place *place, int64_t now_ns) {
    int64_t ns = site->predicted_ns / (site->workers ? site->workers : 1);
    if (site->refused_ns > now_ns) {
        ns += site->refused_ns - now_ns;
    }
    if (site->backend == SKUA_BACKEND_REMOTE) {
        ns = place->wait_ns > ns ? place->wait_ns : ns;
        ns += place->move_ns + place->round_ns;
    }
    return ns;
}

/* Whether a device takes nothing because it failed; then *ret_ns rises by what is left of it, and dispatch comes again. */
static bool
rests(skua_pool *pool, const skua__kernel_place *place, int64_t now_ns, int64_t *ret_ns) {
    int64_t until_ns = place->engine ? skua__engine_rests_until_ns(place->engine) : 0;
    if (!until_ns) {
        return false;
    }
    /* A new context takes a moment, and nobody tells when it is there. */
    until_ns = until_ns > now_ns + REST_LOOK_NS ? until_ns : now_ns + REST_LOOK_NS;
    if (until_ns != SKUA_NEVER_NS) {
        skua__dispatch_again_locked(pool, until_ns);
    }
    const int64_t longest_ns = INT64_C(1) << 58;
    *ret_ns += until_ns - now_ns < longest_ns ? until_ns - now_ns : longest_ns;
    return true;
}

/* Puts the selector's figures in place of those that hold for tasks of no size. */
static void
take_term(skua__place *place, const skua__site *site, const skua_select_term *term) {
    if (site->backend == SKUA_BACKEND_REMOTE) {
        place->wait_ns = term->wait_ns - place->move_ns - place->round_ns;
    } else {
        place->wait_ns = term->wait_ns;
        place->move_ns = term->move_ns;
        place->round_ns = term->launch_ns;
    }
    place->run_ns = term->run_ns;
}

/* What would have to get there for a launch: its bytes, and what its buffers hold where it is not there yet. */
static uint64_t
missing_bytes(const skua__launch_task *launch, const skua__kernel_place *place) {
    const skua__coded_launch *coded = launch->split ? &launch->split->plain : &launch->coded;
    if (!launch->claim || launch->split) { /* what a split launch reads is here when it is cut */
        return place->engine ? coded->input_bytes + coded->output_bytes : 0;
    }
    const skua__kernel *kernel = launch->entry->kernel;
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS];
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        args[i] = (skua_kernel_arg){.bytes = (size_t)coded->args[i].bytes,
                                    .buffer = coded->args[i].buffer};
    }
    const skua_launch spec = {.size = sizeof spec, .args = args, .arg_count = kernel->param_count};
    return skua__launch_missing_bytes(kernel, &spec, place->engine);
}

/* A site with a place, as the selector wants it. */
static skua_select_place
candidate(skua_pool *pool, const skua__launch_task *launch, const skua__site *site,
          const skua__place *figures, int64_t now_ns) {
    const skua__kernel_place *place = &pool->kernels->places[site->place - 1];
    int64_t ns = wait_ns(site, figures, now_ns);
    bool full = rests(pool, place, now_ns, &ns) || !figures->room;
    return (skua_select_place){.backend = place->selector_number,
                               .wait_ns = ns,
                               .missing_bytes = missing_bytes(launch, place),
                               .full = full};
}

size_t
skua__launch_candidates_locked(skua_pool *pool, const skua__launch_task *launch, uint32_t avoid,
                               const skua__place *places, size_t count, int64_t now_ns,
                               skua_select_place *ret, size_t *ret_of) {
    size_t used = 0, without = count;
    for (size_t i = 0; i < count; i++) {
        skua__site *site = pool->sites[places[i].site];
        if (!site->place && !add_peer(pool->kernels, site, false)) {
            without = i;
        } else if (!(avoid & UINT32_C(1) << (site->place - 1))) {
            ret_of[used] = i;
            ret[used++] = candidate(pool, launch, site, &places[i], now_ns);
        }
    }
    if (!used && without < count) {
        skua__site *site = pool->sites[places[without].site];
        if (add_peer(pool->kernels, site, true)) {
            ret_of[used] = without;
            ret[used++] = candidate(pool, launch, site, &places[without], now_ns);
        }
    }
    return used;
}

uint64_t
skua__launch_group(const skua__launch_task *launch) {
    const skua__kernel *kernel = launch->entry->kernel;
    const skua__coded_launch *coded = &launch->coded;
    const uint64_t items[3] = {coded->end - coded->first, coded->global[1], coded->global[2]};
    skua__dev_range range;
    skua__range_fit(coded->dims, items, kernel->local, USUAL_GROUP, kernel->guarded, &range);
    return range.local[0] * range.local[1] * range.local[2];
}

bool
skua__place_rests(const skua_pool *pool, const skua__site *site) {
    const skua__engine *engine = pool->kernels->places[site->place - 1].engine;
    return engine && skua__engine_rests_until_ns((skua__engine *)(uintptr_t)engine) != 0;
}

/*
 * A part of a split launch goes where its share was meant for, and waits there: as large as it is, another place would take
 * longer. Once that has failed it is a launch like any other. Returns an index into of; used: it is none.
 */
static size_t
shared_out_to(const skua_pool *pool, const skua_pool_future *task, const skua__place *places,
              const size_t *of, size_t used) {
    size_t i = task->launch->place && !task->lease.attempts ? 0 : used;
    for (; i < used; i++) {
        const skua__site *site = pool->sites[places[of[i]].site];
        if (skua__place_id(site) == task->launch->place) {
            return skua__place_rests(pool, site) ? used : i;
        }
    }
    return used;
}

int
skua__launch_choose_locked(skua_pool *pool, skua_pool_future *task, skua__place *places,
                           size_t count, int64_t now_ns) {
    skua__launch_task *launch = task->launch;
    const skua__kernel *kernel = launch->entry->kernel;
    skua_select_place where[SKUA__KERNEL_PLACES_MAX];
    size_t of[SKUA__KERNEL_PLACES_MAX];
    size_t used = skua__launch_candidates_locked(pool, launch, launch->avoid, places, count, now_ns,
                                                 where, of);
    if (!used && launch->avoid) { /* all have failed it: whichever comes back may try again */
        used = skua__launch_candidates_locked(pool, launch, 0, places, count, now_ns, where, of);
    }
    size_t share = shared_out_to(pool, task, places, of, used);
    if (share < used) {
        where[0] = where[share];
        of[0] = of[share];
        used = 1;
    }
    bool room = false;
    for (size_t i = 0; i < used; i++) {
        room = room || !where[i].full;
    }
    skua_select_work work = {.size = sizeof work,
                             .kernel = launch->entry->selector_number,
                             .units = launch->items,
                             .flops = (uint64_t)(kernel->work * (double)launch->items),
                             .bytes = (uint64_t)(kernel->bytes * (double)launch->items),
                             .places = where,
                             .place_count = used};
    skua_select_decision decision = {.size = sizeof decision};
    if (!room || skua_select(pool->kernels->selector, &work, &decision, NULL) ||
        decision.reason == SKUA_SELECT_WAIT) {
        return -1;
    }
    for (size_t i = 0; i < used; i++) {
        take_term(&places[of[i]], pool->sites[places[of[i]].site], &decision.terms[i]);
        places[of[i]].missing_bytes = decision.terms[i].missing_bytes;
    }
    launch->reason = (uint8_t)decision.reason;
    const skua__site *site = pool->sites[places[of[decision.place]].site];
    pool->kernels->places[site->place - 1].used = ++pool->kernels->choices;
    return (int)of[decision.place];
}

/* ---- Learning ---- */

void
skua__launch_learn_locked(skua_pool *pool, const skua_pool_future *task, const skua__site *site,
                          const skua__launch_times *times) {
    skua__kernel_entry *entry = task->launch->entry;
    skua__kernels *kernels = pool->kernels;
    if (!site->place) {
        return;
    }
    skua_kernel_share *share = &entry->shares[site->place - 1];
    share->launches++;
    share->work_items += task->launch->items;
    share->run_ns += times->run_ns;
    /* A peer begins with trying its own places, as we do: what that takes says nothing of what it will take. */
    bool tries = share->device == SKUA_SHARE_PEER && share->launches <= PEER_TRIES;
    (void)!skua_selector_learn(
        kernels->selector,
        SKUA_SELECT_OUTCOME(.kernel = entry->selector_number,
                            .backend = kernels->places[site->place - 1].selector_number,
                            .units = task->launch->items, .run_ns = tries ? 0 : times->run_ns,
                            .launch_ns = times->launch_ns, .move_ns = times->move_ns,
                            .moved_bytes = times->moved_bytes),
        NULL); /* no memory: the next run teaches it */
}

void
skua__launch_failed_locked(skua_pool *pool, const skua_pool_future *task, const skua__site *site) {
    (void)pool;
    if (site->place) {
        task->launch->entry->shares[site->place - 1].failures++;
    }
}
