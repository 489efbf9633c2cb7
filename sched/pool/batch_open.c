// SPDX-License-Identifier: MPL-2.0
// A batcher's life: its options, its opening before tasks or before a kernel, and its end.
#include <skua-int/batch_int.h>
#include <skua-int/clock.h>
#include <skua-int/kernels.h>

#include <string.h>

void
skua_batch_options_init(skua_batch_options *options, size_t size) {
    if (options && size >= sizeof size) {
        memset(options, 0, size);
        memcpy(options, &size, sizeof size);
    }
}

/* ---- Options ---- */

static skua_status
check_options(const skua_batch_options *options, skua_error *err) {
    const struct {
        const char *name;
        uint64_t value, most;
    } limits[] = {
        {"requests_max", options->requests_max, SKUA_BATCH_MAX_REQUESTS},
        {"wait_us", (uint64_t)options->wait_us, SKUA_BATCH_MAX_WAIT_US},
        {"in_flight_max", options->in_flight_max, SKUA_BATCH_MAX_IN_FLIGHT},
        {"queue_max", options->queue_max, SKUA_BATCH_MAX_QUEUE},
        {"priority", (uint64_t)options->priority, SKUA__POOL_PRIORITIES - 1},
        {"bytes_max", options->bytes_max,
         SKUA_TASK_MAX_BYTES - skua__batch_input_bytes(options->requests_max, 0)},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        if (limits[i].value > limits[i].most) { /* a negative one too */
            return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the batcher's %s is not within 0 to %llu",
                             limits[i].name, (unsigned long long)limits[i].most);
        }
    }
    return SKUA_OK;
}

static skua_status
read_options(skua_batch_options *ret, const skua_batch_options *given, skua_error *err) {
    if (!SKUA_READ_OPTIONS(ret, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "the batcher's options have no size, or ask for something that this "
                         "library does not know");
    }
    ret->requests_max = ret->requests_max ? ret->requests_max : SKUA_BATCH_DEFAULT_REQUESTS;
    ret->bytes_max = ret->bytes_max ? ret->bytes_max : SKUA_BATCH_DEFAULT_BYTES;
    ret->wait_us = ret->wait_us == SKUA_NONE ? 0
                   : ret->wait_us            ? ret->wait_us
                                             : SKUA_BATCH_DEFAULT_WAIT_US;
    ret->in_flight_max = ret->in_flight_max ? ret->in_flight_max : SKUA_BATCH_DEFAULT_IN_FLIGHT;
    ret->queue_max = ret->queue_max ? ret->queue_max : SKUA_BATCH_DEFAULT_QUEUE;
    ret->queue_bytes_max =
        ret->queue_bytes_max ? ret->queue_bytes_max : SKUA_BATCH_DEFAULT_QUEUE_BYTES;
    return check_options(ret, err);
}

/* ---- Opening ---- */

static skua_batch *
free_batch(skua_batch *batch) {
    skua_pool_future_free(batch->newest);
    skua__cond_fini(&batch->all_ended);
    skua__cond_fini(&batch->wake);
    skua__mutex_fini(&batch->lock);
    skua__mem_free(batch->hook, batch->kernel);
    return skua__mem_free(batch->hook, batch);
}

/* All but its kernel and its thread. name is good. */
static skua_batch *
new_batch(skua_pool *pool, const char *name, const skua_batch_options *options) {
    const skua_allocator *hook = options->allocator ? options->allocator : pool->hook;
    skua_batch *batch = skua__mem_new(hook, sizeof *batch);
    if (!batch) {
        return NULL;
    }
    batch->hook = hook;
    batch->pool = pool;
    batch->options = *options;
    batch->wait_ns = options->wait_us * SKUA_NS_PER_US;
    batch->fork_generation = skua__fork_generation();
    batch->earliest_ns = SKUA_NEVER_NS;
    memcpy(batch->task_name, name, strlen(name) + 1);
    skua__mutex_init(&batch->lock);
    skua__cond_init(&batch->wake);
    skua__cond_init(&batch->all_ended);
    skua__list_init(&batch->queue);
    skua__metrics_init(&batch->metrics, SKUA_METRIC_BATCH);
    return batch;
}

/* What both kinds of batchers need. *ret_options has no zeros. */
static skua_status
check_opening(skua_batch **ret_batch, const skua_pool *pool, const skua_batch_options *given,
              skua_batch_options *ret_options, skua_error *err) {
    if (!ret_batch || !pool) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "a batcher needs a pool and a place to go to");
    }
    if (pool->fork_generation != skua__fork_generation()) {
        return SKUA_FAIL(err, SKUA_E_FORKED, "the pool was opened before a fork()");
    }
    return read_options(ret_options, given, err);
}

/* Starts the batcher's thread. Takes batch, which may be NULL, and kernel. */
static skua_status
start(skua_batch *batch, skua__batch_kernel *kernel, skua_batch **ret_batch, skua_error *err) {
    if (!batch) {
        return SKUA_FAIL_MEMORY(err, "a batcher");
    }
    batch->kernel = kernel;
    skua_status status =
        skua__thread_start(&batch->thread, "skua-batch", skua__batch_main, batch, err);
    if (status) {
        free_batch(batch);
        return status;
    }
    *ret_batch = batch;
    return SKUA_OK;
}

skua_status
skua_batch_open(skua_batch **ret_batch, skua_pool *pool, const char *task_name,
                const skua_batch_options *given, skua_error *err) {
    skua_batch_options options;
    skua_status status = check_opening(ret_batch, pool, given, &options, err);
    if (status) {
        return status;
    }
    if (!task_name || !skua__task_name_ok(task_name, strnlen(task_name, SKUA_NAME_BYTES))) {
        return SKUA_FAIL(err, SKUA_E_BAD_NAME, "no task is named \"%.80s\"",
                         task_name ? task_name : "");
    }
    return start(new_batch(pool, task_name, &options), NULL, ret_batch, err);
}

skua_status
skua_batch_open_kernel(skua_batch **ret_batch, skua_pool *pool, const skua_launch *request,
                       const skua_batch_options *given, skua_error *err) {
    skua_batch_options options;
    skua_status status = check_opening(ret_batch, pool, given, &options, err);
    if (status) {
        return status;
    }
    skua__batch_kernel *kernel = NULL;
    const skua_allocator *hook = options.allocator ? options.allocator : pool->hook;
    status = skua__batch_kernel_new(pool, hook, request, &options, &kernel, err);
    if (status) {
        return status;
    }
    skua_batch *batch = new_batch(pool, request->kernel, &options);
    if (!batch) {
        skua__mem_free(hook, kernel);
    }
    return start(batch, kernel, ret_batch, err);
}

skua_status
skua__batch_enter(const skua_batch *batch, skua_error *err) {
    if (!batch) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "the batcher is NULL");
    }
    if (batch->fork_generation != skua__fork_generation()) {
        return SKUA_FAIL(err, SKUA_E_FORKED, "the batcher was opened before a fork()");
    }
    return SKUA_OK;
}

/* ---- The end ---- */

static bool
await_all(skua_batch *batch, int64_t deadline_ns) {
    skua__mutex_lock(&batch->lock);
    bool in_time = true;
    while (batch->pending && in_time) {
        in_time = skua__cond_wait_until(&batch->all_ended, &batch->lock, deadline_ns);
    }
    bool ended = !batch->pending;
    skua__mutex_unlock(&batch->lock);
    return ended;
}

skua_status
skua_batch_await_all(skua_batch *batch, int64_t timeout_ms, skua_error *err) {
    skua_status status = skua__batch_enter(batch, err);
    if (status) {
        return status;
    }
    if (!await_all(batch, skua__deadline_ns(timeout_ms ? timeout_ms : SKUA_UNLIMITED))) {
        return SKUA_FAIL(err, SKUA_E_TIMEOUT, "not all requests have ended within %lld ms",
                         (long long)(timeout_ms == SKUA_NONE ? 0 : timeout_ms));
    }
    return SKUA_OK;
}

skua_batch *
skua_batch_close(skua_batch *batch) {
    if (!batch || batch->fork_generation != skua__fork_generation()) {
        return NULL;
    }
    skua__mutex_lock(&batch->lock);
    batch->closing = true;
    batch->sleep_until_ns = 0;
    skua__cond_signal(&batch->wake);
    skua__mutex_unlock(&batch->lock);
    skua__mutex_lock(&batch->pool->lock);
    batch->no_wait = true;
    skua__pool_changed_locked(batch->pool);
    skua__pool_leave(batch->pool);
    skua__thread_join(batch->thread);
    await_all(batch, SKUA_NEVER_NS);
    return free_batch(batch);
}
