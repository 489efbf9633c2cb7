// SPDX-License-Identifier: MPL-2.0
// The local site: tasks that run as jobs of our own executor.
#include <skua-int/pool_int.h>

/* Calls the function. Returns its outcome, with the time that it took, and what went before it if it was alone. */
static skua__lease_outcome
call_function(skua_pool_future *task, int *ret_code, skua__launch_times *ret_times) {
    int64_t start_ns = skua__clock_ns();
    *ret_code = 0;
    *ret_times = (skua__launch_times){.launch_ns = task->alone ? start_ns - task->grant_ns : 0};
    if (task->call.deadline_ns <= start_ns) {
        return SKUA__LEASE_TIMEOUT; /* an expired task never starts */
    }
    *ret_code = task->claimed ? skua__kernel_run_claimed(task)
                              : task->function->fn(&task->call, task->function->arg);
    ret_times->run_ns = skua__clock_ns() - start_ns;
    return *ret_code ? SKUA__LEASE_EXIT : SKUA__LEASE_OK;
}

static void
learn(skua_pool *pool, skua_pool_future *task, int64_t run_ns) {
    skua__kind *kind = task->lane->kind;
    skua__cost_learn_run(&kind->offers[pool->local->index].cost, run_ns);
    skua__cost_learn_run(&kind->cost, run_ns);
    pool->local->busy_ns += (uint64_t)run_ns;
}

static void
run_job(skua_worker w, skua_job *job) {
    (void)w;
    skua_pool_future *task = SKUA_CONTAINER_OF(job, skua_pool_future, job);
    skua_pool *pool = task->pool;
    int code = 0;
    skua__launch_times times = {0};
    skua__lease_outcome outcome = SKUA__LEASE_CANCELLED;
    /* relaxed: a cancel that is seen too late is seen under the lock below. */
    if (!atomic_load_explicit(&task->call.cancelled, memory_order_relaxed)) {
        outcome = call_function(task, &code, &times);
    }
    skua__mutex_lock(&pool->lock);
    int64_t now_ns = skua__clock_ns();
    struct skua_task_call *call = &task->call;
    if (task->lease.state == SKUA__LEASE_HELD) {
        if (outcome == SKUA__LEASE_OK || outcome == SKUA__LEASE_EXIT) {
            learn(pool, task, times.run_ns);
        }
        if (task->launch && outcome == SKUA__LEASE_OK) {
            const skua__launch_times own =
                task->claimed ? skua__kernel_times_here(task, times.run_ns) : times;
            skua__launch_learn_locked(pool, task, pool->local, &own);
        } else if (task->launch) {
            skua__launch_failed_locked(pool, task, pool->local);
        }
        pool->count.application_failures += outcome == SKUA__LEASE_EXIT;
        pool->local->tasks++;
        pool->local->received_bytes += call->output_bytes;
        skua__task_set_output_locked(task, call->output, call->output_bytes, call->message, code,
                                     times.run_ns);
        skua__task_run_over_locked(pool, task);
        skua__lease_event event = {
            .kind = SKUA__LEASE_RESULT, .outcome = (uint8_t)outcome, .epoch = task->lease.epoch};
        skua__task_event_locked(pool, task, &event, now_ns);
    } else {
        skua__call_fini(
            call); /* it was cancelled or timed out meanwhile: nobody waits for the output */
        skua__task_run_over_locked(pool, task);
    }
    skua__dispatch_locked(pool, now_ns);
    skua__task_unref(task);
    skua__pool_leave_calling(pool);
}

skua_status
skua__local_grant_locked(skua_pool *pool, skua_pool_future *task) {
    task->function = task->lane->kind->function;
    assert(task->function);
    skua__call_init(&task->call, pool->hook, task->input, task->input_bytes,
                    task->lease.deadline_ns, task->lease.attempts);
    skua_job_init(&task->job, run_job);
    task->job.priority = task->priority;
    /* relaxed: the pool's own reference is held meanwhile. */
    atomic_fetch_add_explicit(&task->refs, 1, memory_order_relaxed);
    task->run_active = true;
    pool->local_runs++;
    skua_status status = skua_exec_submit(pool->exec, &task->job);
    if (status) {
        task->run_active = false;
        pool->local_runs--;
        skua__task_unref(task);
        return status;
    }
    pool->local->sent_bytes += task->input_bytes;
    return SKUA_OK;
}

void
skua__local_cancel_locked(skua_pool *pool, skua_pool_future *task) {
    (void)pool;
    /* relaxed: the function looks at it when it likes; the outcome stands already. */
    atomic_store_explicit(&task->call.cancelled, true, memory_order_relaxed);
}
