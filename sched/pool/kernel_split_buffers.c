// SPDX-License-Identifier: MPL-2.0
// Split launches with buffers: what these hold is brought to the host's memory, from where each part takes its slice, and to
// where it brings its results.
#include <skua-int/kernels.h>

#include <assert.h>
#include <string.h>

/*
 * The parent has the turns, as any launch with buffers, and while its parts run it *holds* the buffers on the host as if its
 * function ran here: nobody else writes to what it reads, or touches what it writes. So parts need no turns. They are launches
 * of plain memory, whose bytes are copied when they are submitted, which is why they may run anywhere, on peers too, and begin
 * again elsewhere. When all have ended, what was written is current on the host alone, and whoever wants it on a device has
 * it brought there.
 *
 *   turn --job of the executor: what is read is brought to the host--> held --parts--> all over --> let go, and the parent ends
 *
 * Why not leave each part's slice on its device? A buffer is current somewhere as a whole, and its slices would have to be
 * brought together for whoever comes next, whose slices are others.
 */

/* What the parts are launches of. The parent's input lives until all are submitted; OUT needs no address. */
static void
fill_args(const skua_pool_future *parent, skua_kernel_arg *args) {
    const skua__launch_task *task = parent->launch;
    const skua__kernel *kernel = task->entry->kernel;
    uint8_t *input = (uint8_t *)(uintptr_t)parent->input;
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        const skua__coded_arg *arg = &task->coded.args[i];
        args[i] = (skua_kernel_arg){.bytes = (size_t)arg->bytes};
        if (arg->buffer) {
            args[i].data = skua__buffer_host(arg->buffer);
        } else if (kernel->params[i] == SKUA_PARAM_VALUE) {
            args[i].value = input + arg->in_at;
        } else if (kernel->params[i] == SKUA_PARAM_IN || kernel->params[i] == SKUA_PARAM_INOUT) {
            args[i].data = input + arg->in_at;
        }
    }
}

/* Has the turns on the host, and what is read. Waits for that. */
static skua_status
hold(skua__split *split, skua__claim *claim, skua_error *err) {
    skua_pool_future *parent = split->parent;
    const skua__launch_task *task = parent->launch;
    skua__launch *held = NULL;
    skua_status status = skua__launch_decoded(split->hook, task->entry->kernel, &task->coded,
                                              parent->input, split->output, NULL, &held, err);
    if (status) {
        return status;
    }
    held->claim = claim;
    status = skua__buffers_begin_on_cores(held, err);
    if (status) {
        skua__launch_free(held);
        return status;
    }
    split->held = held;
    return SKUA_OK;
}

/* Brings the buffers and submits the parts. The split may be gone on return. */
static void
go_on(skua_pool *pool, skua__split *split, skua__claim *claim) {
    skua_pool_future *parent = split->parent;
    skua_error error = {0};
    skua_status status = hold(split, claim, &error);
    skua__mutex_lock(&pool->lock);
    if (status) {
        skua__split_fail_locked(pool, split, error.message);
    } else if (parent->lease.state == SKUA__LEASE_HELD) {
        skua__split_share_locked(pool, parent, skua__clock_ns());
    }
    skua__mutex_unlock(&pool->lock);
    skua_kernel_arg args[SKUA_KERNEL_MAX_PARAMS];
    fill_args(parent, args);
    const skua_launch spec = {.size = sizeof spec,
                              .kernel = parent->launch->entry->kernel->name,
                              .args = args,
                              .arg_count = parent->launch->entry->kernel->param_count,
                              .priority = parent->launch->coded.priority};
    (void)!skua__split_submit_parts(pool, split, &spec, NULL); /* the parent ends with the words */
}

/* On a worker. The pool, and its allocator, stay until it has left. */
static void
begin(skua_worker w, skua_job *job) {
    (void)w;
    skua__split *split = SKUA_CONTAINER_OF(job, skua__split, job);
    skua_pool *pool = split->parent->pool;
    skua__mutex_lock(&pool->lock);
    pool->settlers++;
    skua__claim *claim = split->parent->launch->claim; /* it stays while parts run */
    skua__mutex_unlock(&pool->lock);
    go_on(pool, split, claim);
    skua__mutex_lock(&pool->lock);
    pool->settlers--;
    if (pool->closing && !pool->settlers) {
        skua__cond_broadcast(&pool->changed);
    }
    skua__mutex_unlock(&pool->lock);
}

/* An executor whose queue is bounded may be full: then the service thread tries again. */
static void
submit_job_locked(skua_pool *pool, skua__split *split) {
    if (skua_exec_submit(pool->exec, &split->job)) {
        skua__list_push_back(&pool->unheld, &split->link);
        skua__dispatch_again_locked(pool, skua__clock_ns() + SKUA__POOL_RETRY_NS);
    }
}

void
skua__split_hold_locked(skua_pool *pool, skua__split *split) {
    skua_job_init(&split->job, begin);
    split->job.priority = split->parent->priority;
    split->parent->run_active = true; /* its turns stay until all is over, whenever it ends */
    pool->local_runs++;
    submit_job_locked(pool, split);
}

void
skua__splits_retry_locked(skua_pool *pool) {
    skua__list tried;
    skua__list_init(&tried);
    for (skua__list *node; (node = skua__list_pop_front(&pool->unheld)) != NULL;) {
        skua__list_push_back(&tried, node);
    }
    for (skua__list *node; (node = skua__list_pop_front(&tried)) != NULL;) {
        submit_job_locked(pool, SKUA_CONTAINER_OF(node, skua__split, link));
    }
}

void
skua__split_let_buffers_go(skua_pool *pool, skua__split *split) {
    skua_pool_future *parent = split->parent;
    skua__launch *held = split->held;
    split->held = NULL;
    if (held) {
        bool all = split->count && split->gathered == split->count;
        held->computed = split->gathered > 0; /* and so a part of what is written may be new */
        skua__mutex_unlock(&pool->lock);      /* others are told that it is their turn */
        skua__buffers_leave(held, all);
        skua__launch_free(held);
        skua__mutex_lock(&pool->lock);
    }
    skua__task_run_over_locked(pool, parent);
}
