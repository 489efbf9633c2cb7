// SPDX-License-Identifier: MPL-2.0
// Kernels of a pool: registering them, submitting launches as tasks, and collecting results.
#include <skua-int/kernels.h>
#include <stdio.h>
#include <string.h>

/* ---- The registry ---- */

static skua_status
add_place(skua__kernels *kernels, skua__engine *engine, int32_t device, const char *name,
          bool unified, skua_error *err) {
    skua__kernel_place *place = &kernels->places[kernels->place_count];
    *place = (skua__kernel_place){.engine = engine, .device = device};
    skua_status status = skua_selector_add_backend(
        kernels->selector,
        SKUA_SELECT_BACKEND(.name = name, .kind = engine ? SKUA_SELECT_DEVICE : SKUA_SELECT_SIMD,
                            .launch_ns = engine ? 20 * 1000 : 2 * 1000,
                            .bytes_per_s = engine && !unified ? UINT64_C(10000000000) : 0),
        &place->selector_number, err);
    kernels->place_count += status == SKUA_OK;
    return status;
}

/* The devices that start; one that does not is as if it were not there. */
static void
add_devices(skua__kernels *kernels) {
    skua_devices *devices = kernels->pool->options.devices;
    for (size_t i = 0;
         i < skua_devices_count(devices) && kernels->place_count < SKUA__KERNEL_BACKENDS_MAX; i++) {
        skua_device_info info = {.size = sizeof info};
        skua__engine *engine = NULL;
        char name[SKUA_SELECT_NAME_BYTES];
        if (skua_devices_at(devices, i, &info, NULL) || !info.usable ||
            skua__devices_engine(devices, i, &engine, NULL)) {
            continue;
        }
        snprintf(name, sizeof name, "%u %.70s", (unsigned)i, info.name);
        (void)!add_place(kernels, engine, (int32_t)i, name, info.unified, NULL);
    }
}

static skua_status
kernels_open(skua_pool *pool, skua__kernels **ret_kernels, skua_error *err) {
    skua__kernels *kernels = skua__mem_new(pool->hook, sizeof *kernels);
    if (!kernels) {
        return SKUA_FAIL_MEMORY(err, "the pool's kernels");
    }
    kernels->pool = pool;
    skua__mutex_init(&kernels->lock);
    skua__list_init(&kernels->entries);
    skua_status status =
        skua_selector_open(&kernels->selector, SKUA_SELECTOR_OPTIONS(.allocator = pool->hook), err);
    if (!status) {
        status = add_place(kernels, NULL, -1, "cores", true, err);
    }
    if (status) {
        skua_selector_close(kernels->selector);
        skua__mutex_fini(&kernels->lock);
        skua__mem_free(pool->hook, kernels);
        return status;
    }
    add_devices(kernels);
    *ret_kernels = kernels;
    return SKUA_OK;
}

static void
kernels_free(skua__kernels *kernels) {
    const skua_allocator *hook = kernels->pool->hook;
    for (skua__list *node; (node = skua__list_pop_front(&kernels->entries)) != NULL;) {
        skua__kernel_entry *entry = SKUA_CONTAINER_OF(node, skua__kernel_entry, link);
        skua__kernel_free(entry->kernel);
        skua__mem_free(hook, entry);
    }
    skua_selector_close(kernels->selector);
    skua__mutex_fini(&kernels->lock);
    skua__mem_free(hook, kernels);
}

void
skua__kernels_close(skua_pool *pool) {
    if (pool->kernels) {
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
    skua__kernels *extra = pool->kernels ? made : NULL;
    pool->kernels = pool->kernels ? pool->kernels : made;
    *ret_kernels = pool->kernels;
    skua__pool_leave(pool);
    if (extra) {
        kernels_free(extra); /* another thread was first */
    }
    return SKUA_OK;
}

static skua__kernel_entry *
find_locked(skua__kernels *kernels, const char *name) {
    SKUA_LIST_EACH(node, &kernels->entries) {
        skua__kernel_entry *entry = SKUA_CONTAINER_OF(node, skua__kernel_entry, link);
        if (strcmp(entry->kernel->name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* The entry of a name, or NULL with *err. Entries live as long as the pool. */
static skua__kernel_entry *
find(skua_pool *pool, const char *name, skua_error *err) {
    skua__kernels *kernels = NULL;
    skua__kernel_entry *entry = NULL;
    if (get_kernels(pool, false, &kernels, err)) {
        return NULL;
    }
    if (kernels && name) {
        skua__mutex_lock(&kernels->lock);
        entry = find_locked(kernels, name);
        skua__mutex_unlock(&kernels->lock);
    }
    if (!entry) {
        (void)SKUA_FAIL(err, SKUA_E_NOT_FOUND, "kernel \"%.64s\" is not registered with this pool",
                        name ? name : "");
    }
    return entry;
}

static void
name_shares(const skua__kernels *kernels, skua__kernel_entry *entry) {
    for (uint32_t i = 0; i < kernels->place_count; i++) {
        skua_kernel_share *share = &entry->shares[i];
        share->size = sizeof *share;
        share->device = kernels->places[i].device;
        skua_device_info info = {.size = sizeof info, .name = "cores"};
        if (share->device >= 0) {
            (void)!skua_devices_at(kernels->pool->options.devices, (size_t)share->device, &info,
                                   NULL);
        }
        memcpy(share->name, info.name, sizeof share->name);
    }
}

/* Puts a kernel into the registry; the name is free. Takes the kernel on success. */
static skua_status
add_entry(skua__kernels *kernels, skua__kernel *kernel, skua__kernel_entry **ret_entry,
          skua_error *err) {
    skua__kernel_entry *entry = skua__mem_new(kernels->pool->hook, sizeof *entry);
    if (!entry) {
        return SKUA_FAIL_MEMORY(err, "a kernel");
    }
    entry->kernels = kernels;
    entry->kernel = kernel;
    memcpy(&entry->version, kernel->digest, sizeof entry->version);
    entry->version |= 1; /* a version is never 0 */
    name_shares(kernels, entry);
    skua__mutex_lock(&kernels->lock);
    skua_status status =
        find_locked(kernels, kernel->name)
            ? SKUA_FAIL(err, SKUA_E_EXISTS, "kernel \"%s\" is registered already", kernel->name)
            : skua_selector_kernel(kernels->selector, kernel->name, &entry->selector_number, err);
    if (status == SKUA_OK) {
        skua__list_push_back(&kernels->entries, &entry->link);
    }
    skua__mutex_unlock(&kernels->lock);
    if (status) {
        skua__mem_free(kernels->pool->hook, entry);
        return status;
    }
    *ret_entry = entry;
    return SKUA_OK;
}

skua_status
skua_kernel_register(skua_pool *pool, const char *name, const skua_kernel_spec *spec,
                     skua_error *err) {
    skua__kernels *kernels = NULL;
    skua__kernel *kernel = NULL;
    skua__kernel_entry *entry = NULL;
    if (!pool->exec) {
        return SKUA_FAIL(err, SKUA_E_UNSUPPORTED,
                         "kernels need a pool with an executor: set the option exec");
    }
    skua_status status = skua__kernel_new(pool->hook, name, spec, &kernel, err);
    if (!status) {
        status = get_kernels(pool, true, &kernels, err);
    }
    if (!status) {
        status = add_entry(kernels, kernel, &entry, err);
    }
    if (status) {
        skua__kernel_free(kernel);
        return status;
    }
    status = skua_pool_register(pool, name, entry->version, skua__kernel_task, entry, err);
    if (status) {
        skua__mutex_lock(&kernels->lock);
        skua__list_remove(&entry->link);
        skua__mutex_unlock(&kernels->lock);
        skua__mem_free(pool->hook, entry);
        skua__kernel_free(kernel);
    }
    return status;
}

/* ---- Launches ---- */

static void
free_input(void *input, void *hint) {
    skua__mem_free(hint, input);
}

skua_status
skua_kernel_submit(skua_pool *pool, const skua_launch *given, skua_pool_future **ret_future,
                   skua_error *err) {
    skua_launch launch;
    if (!given || !SKUA_READ_OPTIONS(&launch, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a launch needs its size set");
    }
    skua_error found = {0};
    skua__kernel_entry *entry = find(pool, launch.kernel, &found);
    if (!entry) {
        if (err) {
            *err = found;
        }
        return found.status;
    }
    skua__coded_launch coded;
    skua_status status = skua__launch_check(entry->kernel, &launch, err);
    if (!status) {
        status = skua__launch_lay_out(entry->kernel, &launch, &coded, err);
    }
    if (status) {
        return status;
    }
    uint8_t *input = pool->hook->allocate(pool->hook->ctx, coded.input_bytes);
    if (!input) {
        return SKUA_FAIL_MEMORY(err, "the arguments of a launch");
    }
    skua__launch_encode(entry->kernel, &launch, &coded, input);
    /* Its inputs are copies, so that running it twice does no harm. */
    status = skua_pool_submit(pool,
                              SKUA_TASK(.name = entry->kernel->name, .version = entry->version,
                                        .priority = launch.priority, .input = input,
                                        .input_bytes = coded.input_bytes, .free_fn = free_input,
                                        .free_hint = (void *)(uintptr_t)pool->hook, .idempotent = 1,
                                        .timeout_ms = launch.timeout_ms),
                              ret_future, err);
    if (status) {
        skua__mem_free(pool->hook, input);
    }
    return status;
}

static skua_status
outcome_status(const skua_task_result *result, skua_error *err) {
    switch (result->outcome) {
    case SKUA_OUTCOME_OK:
        return SKUA_OK;
    case SKUA_OUTCOME_CANCELLED:
        return SKUA_FAIL(err, SKUA_E_CANCELLED, "the launch was cancelled");
    default:
        return SKUA_FAIL(err, SKUA_E_TASK_FAILED, "the launch ended %s: %s",
                         skua_outcome_text(result->outcome), result->message);
    }
}

skua_status
skua_kernel_collect(skua_pool *pool, const skua_launch *given, skua_pool_future *future,
                    int64_t timeout_ms, skua_error *err) {
    skua_launch launch;
    if (!future || !given || !SKUA_READ_OPTIONS(&launch, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_kernel_collect needs a future and its launch");
    }
    skua_error found = {0};
    skua__kernel_entry *entry = find(pool, launch.kernel, &found);
    if (!entry) {
        if (err) {
            *err = found;
        }
        return found.status;
    }
    skua_status status = skua_pool_wait(future, timeout_ms, err);
    skua_task_result result = {.size = sizeof result};
    if (!status) {
        status = skua_pool_result(future, &result, err);
    }
    if (!status) {
        status = outcome_status(&result, err);
    }
    return status ? status
                  : skua__launch_unpack(entry->kernel, &launch, result.output, result.output_bytes,
                                        err);
}

skua_status
skua_kernel_share_at(skua_pool *pool, const char *name, size_t i, skua_kernel_share *ret_share,
                     skua_error *err) {
    if (!ret_share || ret_share->size < sizeof(size_t)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_kernel_share_at needs ret_share with its size set");
    }
    skua_error found = {0};
    skua__kernel_entry *entry = find(pool, name, &found);
    if (!entry) {
        if (err) {
            *err = found;
        }
        return found.status;
    }
    skua__kernels *kernels = entry->kernels;
    if (i >= kernels->place_count) {
        return SKUA_FAIL(err, SKUA_E_NOT_FOUND, "there are %u places where kernels run here",
                         kernels->place_count);
    }
    size_t size = ret_share->size < sizeof *ret_share ? ret_share->size : sizeof *ret_share;
    skua__mutex_lock(&kernels->lock);
    memcpy((char *)ret_share + sizeof(size_t), (const char *)&entry->shares[i] + sizeof(size_t),
           size - sizeof(size_t));
    skua__mutex_unlock(&kernels->lock);
    return SKUA_OK;
}
