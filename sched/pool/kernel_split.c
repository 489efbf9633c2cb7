// SPDX-License-Identifier: MPL-2.0
// Split launches: one launch that is cut into parts, which run as launches of their own at different places, and whose results
// are gathered in one.
#include <skua-int/kernels.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

/*
 * The launch that the caller has is the *parent*. It is a task like any other to its future, its deadline and the window, but
 * no site ever holds it: it is granted to itself when it is submitted, and its parts hold it. Each part is a launch with
 * a place that its share is meant for. It may be done elsewhere when that fails, and begin again, as any launch.
 *
 *   parent: HELD --all parts OK--> OK           with what they brought, gathered
 *                --a part ended otherwise-->    the same, with the part's words; the others are cancelled
 *                --cancel, deadline, close-->   CANCELLED, TIMEOUT; all parts are cancelled
 *
 * One with buffers begins when it has its turn at them: kernel_split_buffers.c.
 *
 * A part's end is heard by its on_done, which runs with no lock held, and copies its results before it lets the split go. Who lets
 * go last (part or submitter) ends the parent, unless it has ended, and then frees what the parts had. So results are
 * never written to once the caller has them, and an ended parent's parts find the split still there.
 */

static skua__split *
split_new(const skua_allocator *hook, const skua__coded_launch *plain, size_t output_bytes) {
    skua__split *split = skua__mem_new(hook, sizeof *split);
    if (split) {
        split->hook = hook;
        split->plain = *plain;
        split->output = hook->allocate(hook->ctx, output_bytes ? output_bytes : 1);
        if (!split->output) {
            return skua__mem_free(hook, split);
        }
    }
    return split;
}

skua__split *
skua__split_free(skua__split *split) {
    if (split) {
        assert(!split->held);
        skua__mem_free(split->hook, split->output);
        skua__mem_free(split->hook, split);
    }
    return NULL;
}

/* ---- The end ---- */

/* Ends the parent, unless it has ended. Takes message. */
static void
end_parent_locked(skua_pool *pool, skua__split *split, skua__lease_outcome outcome, int32_t code,
                  char *message) {
    skua_pool_future *parent = split->parent;
    void *output = NULL;
    if (parent->lease.state != SKUA__LEASE_HELD) {
        skua__mem_free(pool->hook, message);
        return;
    }
    if (outcome == SKUA__LEASE_OK) {
        output = split->output;
        split->output = NULL;
    }
    skua__task_set_output_locked(parent, output, output ? parent->launch->coded.output_bytes : 0,
                                 message, code, split->run_ns);
    skua__task_event_locked(pool, parent,
                            &(skua__lease_event){.kind = SKUA__LEASE_RESULT,
                                                 .epoch = parent->lease.epoch,
                                                 .outcome = (uint8_t)outcome},
                            skua__clock_ns());
}

/* One fewer is left: a part, or the submitter. Locked, and not afterwards. The last one frees what the parts had. */
static void
let_go(skua_pool *pool, skua__split *split) {
    assert(split->left > 0);
    bool last = --split->left == 0;
    if (last && split->parent->claimed) {
        skua__split_let_buffers_go(pool, split); /* before anybody hears of the end */
    }
    if (last) {
        end_parent_locked(pool, split, SKUA__LEASE_OK, 0, NULL);
    }
    skua__dispatch_locked(pool, skua__clock_ns());
    skua__pool_leave(pool);
    if (last) {
        skua_pool_future *parent = split->parent;
        for (uint32_t i = 0; i < split->count; i++) {
            split->parts[i].future = skua_pool_future_free(split->parts[i].future);
        }
        split->output = skua__mem_free(split->hook, split->output);
        skua__task_unref(parent);
    }
}

/* Copies a part's results to where they stand in the whole. Returns false when there are too few of them. */
static bool
gather(const skua__part *part, const skua_task_result *result) {
    const skua__launch_task *launch = part->split->parent->launch;
    const skua__kernel *kernel = launch->entry->kernel;
    skua__coded_launch coded;
    skua__launch_lay_out_part(kernel, &part->split->plain, part->first, part->end, &coded);
    if (result->output_bytes < coded.output_bytes) {
        return false;
    }
    for (uint32_t i = 0; i < kernel->param_count; i++) {
        if (kernel->params[i] == SKUA_PARAM_OUT || kernel->params[i] == SKUA_PARAM_INOUT) {
            const skua__coded_arg *arg = &coded.args[i], *whole = &launch->coded.args[i];
            uint8_t *to = whole->buffer ? skua__buffer_host(whole->buffer)
                                        : part->split->output + whole->out_at;
            memcpy(to + arg->part_at, (const uint8_t *)result->output + arg->out_at,
                   arg->part_bytes);
        }
    }
    return true;
}

/* A part failed, and so does the whole, in its words. */
static void
fail_locked(skua_pool *pool, const skua__part *part, const skua_task_result *result) {
    skua__split *split = part->split;
    char words[SKUA_TASK_MESSAGE_BYTES];
    bool ok = result->outcome == SKUA_OUTCOME_OK;
    snprintf(words, sizeof words, "%.110s (the part from index %llu to %llu, on %.60s)",
             ok ? "it brought too few results" : result->message, (unsigned long long)part->first,
             (unsigned long long)part->end - 1, part->site ? part->site->name : "no place");
    end_parent_locked(pool, split, ok ? SKUA__LEASE_EXIT : (skua__lease_outcome)result->outcome,
                      ok ? 1 : result->code, skua__mem_strdup(pool->hook, words));
    skua__split_cancel_locked(pool, split);
}

/* A part has ended. Called under no lock. */
static void
part_done(void *arg, skua_pool_future *future) {
    skua__part *part = arg;
    skua__split *split = part->split;
    skua_pool *pool = split->parent->pool;
    skua_task_result result = {.size = sizeof result};
    (void)!skua_pool_result(future, &result, NULL); /* it has ended */
    bool good = result.outcome == SKUA_OUTCOME_OK && gather(part, &result);
    skua__mutex_lock(&pool->lock);
    split->run_ns = result.run_ns > split->run_ns ? result.run_ns : split->run_ns;
    if (future->verdict.count) {
        part->site = pool->sites[future->verdict.places[future->verdict.chosen].site];
    }
    split->gathered += good;
    if (!good) {
        fail_locked(pool, part, &result);
    }
    let_go(pool, split);
}

void
skua__split_fail_locked(skua_pool *pool, skua__split *split, const char *words) {
    end_parent_locked(pool, split, SKUA__LEASE_EXIT, 1, skua__mem_strdup(pool->hook, words));
    skua__split_cancel_locked(pool, split);
}

void
skua__split_cancel_locked(skua_pool *pool, skua__split *split) {
    int64_t now_ns = skua__clock_ns();
    for (uint32_t i = 0; i < split->count; i++) {
        if (split->parts[i].future) {
            skua__task_event_locked(pool, split->parts[i].future,
                                    &(skua__lease_event){.kind = SKUA__LEASE_CANCEL}, now_ns);
        }
    }
}

/* ---- The beginning ---- */

void
skua__split_begin_locked(skua_pool *pool, skua_pool_future *parent, int64_t now_ns) {
    skua__split *split = parent->launch->split;
    skua__lease_event event = {
        .kind = SKUA__LEASE_GRANT, .epoch = ++pool->next_epoch, .expires_ns = SKUA_NEVER_NS};
    if (skua__task_event_locked(pool, parent, &event, now_ns)) {
        return; /* its time was up before it began */
    }
    snprintf(parent->node, sizeof parent->node, "%s", skua__pool_node_name(pool));
    /* relaxed: the pool's own reference is held meanwhile. */
    atomic_fetch_add_explicit(&parent->refs, 1, memory_order_relaxed);
    split->parent = parent;
    split->left = 1;
    if (!parent->claimed) {
        skua__split_share_locked(pool, parent, now_ns);
    } else {
        skua__split_hold_locked(pool, split);
    }
}

/* Submits one part, unless the parent has ended meanwhile. */
static skua_status
submit_part(skua_pool *pool, skua__part *part, const skua_launch *launch, skua_error *err) {
    skua__split *split = part->split;
    const skua__launch_task *parent = split->parent->launch;
    skua__coded_launch coded;
    skua__launch_lay_out_part(parent->entry->kernel, &split->plain, part->first, part->end, &coded);
    skua__launch_task *task = skua__launch_task_new(parent->entry, &coded);
    if (!task) {
        return SKUA_FAIL_MEMORY(err, "a part of a launch");
    }
    task->is_part = true;
    task->place = part->place;
    skua__mutex_lock(&pool->lock);
    bool held = split->parent->lease.state == SKUA__LEASE_HELD;
    split->left += held; /* before anybody can hear of its end */
    skua__mutex_unlock(&pool->lock);
    skua_pool_future *future = NULL;
    skua_status status =
        held ? skua__launch_submit(pool, launch, &coded, task, part_done, part, &future, err)
             : SKUA_OK;
    if (!future) {
        skua__launch_task_free(pool->hook, task);
    }
    skua__mutex_lock(&pool->lock);
    part->future = future;
    split->left -= held && !future;
    if (future && split->parent->lease.state != SKUA__LEASE_HELD) {
        skua__split_cancel_locked(pool, split); /* it ended while this was on its way */
    }
    skua__pool_leave(pool);
    return status;
}

skua_status
skua__split_submit_parts(skua_pool *pool, skua__split *split, const skua_launch *launch,
                         skua_error *err) {
    skua_error own = {0};
    skua_status status = SKUA_OK;
    for (uint32_t i = 0; i < split->count && !status; i++) {
        status = submit_part(pool, &split->parts[i], launch, &own);
    }
    skua__mutex_lock(&pool->lock);
    if (status && split->parent->claimed) {
        skua__split_fail_locked(pool, split, own.message); /* whom else could be told? */
    } else if (status) {
        skua__task_event_locked(pool, split->parent,
                                &(skua__lease_event){.kind = SKUA__LEASE_CANCEL}, skua__clock_ns());
    }
    let_go(pool, split);
    if (status && err) {
        *err = own;
    }
    return status;
}

/* Submits the parent and its parts. The pool cannot close meanwhile. */
static skua_status
submit_all(skua_pool *pool, skua__launch_task *task, const skua_launch *launch,
           void (*on_done)(void *arg, skua_pool_future *future), void *arg,
           skua_pool_future **ret_future, skua_error *err) {
    skua_pool_future *parent = NULL;
    bool later = task->claim != NULL; /* its turn may come when this call has returned */
    skua_status status =
        later ? skua__launch_submit(pool, launch, &task->coded, task, on_done, arg, &parent, err)
              : skua__pool_submit_launch(
                    pool,
                    SKUA_TASK(.name = task->entry->kernel->name, .version = task->entry->version,
                              .priority = launch->priority, .timeout_ms = launch->timeout_ms,
                              .on_done = on_done, .on_done_arg = arg),
                    task, true, &parent, err);
    if (status) {
        skua__launch_task_free(pool->hook, task);
        return status;
    }
    if (!later && task->split->parent) {
        status = skua__split_submit_parts(pool, task->split, launch, err);
    }
    if (status || !ret_future) {
        skua_pool_future_free(parent);
    } else {
        *ret_future = parent;
    }
    return on_done ? SKUA_OK : status; /* the parent is cancelled, of which on_done is told */
}

skua_status
skua__split_lay_out(const skua_pool *pool, const skua__kernel *kernel, const skua_launch *launch,
                    const skua__coded_launch *coded, skua__coded_launch *ret_plain,
                    skua_error *err) {
    skua_status status = skua__launch_check_cut(kernel, coded, err);
    if (!status && !pool->exec && skua__launch_has_buffers(launch)) {
        status = SKUA_FAIL(err, SKUA_E_UNSUPPORTED,
                           "an argument of the launch of \"%s\" is a buffer, and to be split it "
                           "needs the workers of an executor, which this pool has not: give it "
                           "one, or do not split",
                           launch->kernel);
    }
    return status ? status : skua__launch_lay_out_plain(kernel, launch, ret_plain, err);
}

/* The parent's part of a launch, which may be cut. *ret_task NULL: it may not, or there is no memory. */
static skua_status
make_parent(skua_pool *pool, skua__kernel_entry *entry, const skua_launch *launch,
            const skua__coded_launch *coded, bool buffers, skua__launch_task **ret_task,
            skua_error *err) {
    skua__coded_launch plain;
    skua_status status = skua__split_lay_out(pool, entry->kernel, launch, coded, &plain, err);
    if (status) {
        return status;
    }
    skua__launch_task *task = skua__launch_task_new(entry, coded);
    if (task) {
        task->split = split_new(pool->hook, &plain, coded->output_bytes);
        task->claim = buffers ? skua__turn_new(pool, entry->kernel, coded) : NULL;
    }
    if (!task || !task->split || (buffers && !task->claim)) {
        skua__launch_task_free(pool->hook, task);
        return SKUA_FAIL_MEMORY(err, "a split launch");
    }
    *ret_task = task;
    return SKUA_OK;
}

skua_status
skua__split_submit(skua_pool *pool, skua__kernel_entry *entry, const skua_launch *launch,
                   const skua__coded_launch *coded, bool buffers,
                   void (*on_done)(void *arg, skua_pool_future *future), void *arg,
                   skua_pool_future **ret_future, skua_error *err) {
    skua__launch_task *task = NULL;
    skua_status status = make_parent(pool, entry, launch, coded, buffers, &task, err);
    if (status) {
        return status;
    }
    status = skua__pool_enter(pool, err);
    if (status) {
        skua__launch_task_free(pool->hook, task);
        return status;
    }
    pool->settlers++;
    skua__mutex_unlock(&pool->lock);
    status = submit_all(pool, task, launch, on_done, arg, ret_future, err);
    skua__mutex_lock(&pool->lock);
    pool->settlers--;
    if (pool->closing && !pool->settlers) {
        skua__cond_broadcast(&pool->changed);
    }
    skua__mutex_unlock(&pool->lock);
    return status;
}

/* ---- In words ---- */

void
skua__split_explain_locked(skua_pool *pool, const skua__split *split, char *ret, size_t size) {
    (void)pool;
    size_t used =
        split->count
            ? (size_t)snprintf(ret, size, "split in %u:", split->count)
            : (size_t)snprintf(ret, size, "to be split when it has its turn at its buffers");
    for (uint32_t i = 0; i < split->count && used < size; i++) {
        const skua__part *part = &split->parts[i];
        used +=
            (size_t)snprintf(ret + used, size - used, "%s %s: %llu to %llu", i ? ";" : "",
                             part->site ? part->site->name : "no place as yet",
                             (unsigned long long)part->first, (unsigned long long)part->end - 1);
    }
}
