// SPDX-License-Identifier: MPL-2.0
// The kernels that a device has built: from the binary that was kept on disk, else from source, each once.
#include "engine_priv.h"
#include "program_store.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <string.h>

static skua_status
build(skua__engine *engine, const skua__kernel *kernel, skua__built *built) {
    skua__dev_source source = {
        .text = kernel->text, .options = kernel->options, .entry = kernel->entry};
    void *binary = NULL;
    if (engine->cache_dir) {
        binary = skua__program_load(engine->hook, engine->cache_dir, kernel->digest, &engine->info,
                                    &source.binary_bytes);
        source.binary = binary;
    }
    char *log = skua__mem_new(engine->hook, ENGINE_LOG_BYTES);
    int64_t start_ns = skua__clock_ns();
    skua_status status =
        log ? engine->driver->kernel_new(engine->dev, &source, &built->kernel, &built->from_binary,
                                         log, ENGINE_LOG_BYTES, &built->error)
            : SKUA_FAIL_MEMORY(&built->error, "the compiler's log");
    skua__mem_free(engine->hook, log);
    skua__mem_free(engine->hook, binary);
    if (status == SKUA_OK) {
        engine->driver->kernel_limits(engine->dev, built->kernel, &built->max_group,
                                      &built->multiple);
    }
    skua__mutex_lock(&engine->lock);
    engine->counters.builds++;
    engine->counters.binaries_used += status == SKUA_OK && built->from_binary;
    engine->counters.build_ns += (uint64_t)(skua__clock_ns() - start_ns);
    skua__mutex_unlock(&engine->lock);
    built->saved = built->from_binary || !engine->cache_dir;
    return status;
}

skua__built *
skua__built_get(skua__engine *engine, const skua__kernel *kernel, skua_error *err) {
    if (!kernel->text) {
        SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "kernel \"%s\" has no source for devices", kernel->name);
        return NULL;
    }
    skua__built *built = skua__hash_get(&engine->built, kernel->digest, sizeof kernel->digest);
    if (!built) {
        built = skua__mem_new(engine->hook, sizeof *built);
        if (!built) {
            SKUA_FAIL_MEMORY(err, "a built kernel");
            return NULL;
        }
        memcpy(built->digest, kernel->digest, sizeof built->digest);
        if (skua__hash_put(&engine->built, built->digest, sizeof built->digest, built)) {
            skua__mem_free(engine->hook, built);
            SKUA_FAIL_MEMORY(err, "a built kernel");
            return NULL;
        }
        skua_status status = build(engine, kernel, built);
        if (status && status != SKUA_E_KERNEL_BUILD) {
            /* Not the kernel's fault: the next launch tries again. */
            *err = built->error;
            skua__hash_take(&engine->built, built->digest, sizeof built->digest);
            skua__mem_free(engine->hook, built);
            return NULL;
        }
    }
    if (!built->kernel) {
        *err = built->error;
        return NULL;
    }
    return built;
}

void
skua__built_free_all(skua__engine *engine) {
    size_t position = 0;
    for (skua__built *built; (built = skua__hash_next(&engine->built, &position)) != NULL;) {
        skua__mem_free(engine->hook, built);
    }
    skua__hash_fini(&engine->built);
    skua__hash_init(&engine->built, engine->hook);
}

void
skua__built_save(skua__engine *engine, skua__built *built) {
    if (!engine->dev || built->saved) {
        return;
    }
    built->saved = true;
    void *binary = NULL;
    size_t bytes = 0;
    if (engine->driver->kernel_binary(engine->dev, built->kernel, &binary, &bytes, NULL) ==
        SKUA_OK) {
        skua__program_save(engine->cache_dir, built->digest, &engine->info, binary, bytes);
        skua__mem_free(engine->hook, binary);
    }
}
