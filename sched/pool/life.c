// SPDX-License-Identifier: MPL-2.0
// The life of a task between its submission and its one outcome: what each event of its lease means for queues, sites
// and whoever waits.
#include <skua-int/kernels.h>

#include <stdio.h>
#include <string.h>

_Static_assert((int)SKUA_OUTCOME_OK == (int)SKUA__LEASE_OK &&
                   (int)SKUA_OUTCOME_LOST == (int)SKUA__LEASE_LOST &&
                   (int)SKUA_OUTCOME_REFUSED == (int)SKUA__LEASE_REFUSED,
               "outcomes are the lease machine's, and stand on the wire");

/* On the wire a task is one word: the low half of its id over its slot. The lease's epoch tells reused slots apart. */
uint64_t
skua__task_word(const skua_pool_future *task) {
    return task->id << 32 | task->slot;
}

skua_pool_future *
skua__task_of_word_locked(skua_pool *pool, uint64_t word) {
    uint32_t slot = (uint32_t)word;
    skua_pool_future *task = slot < pool->slot_count ? pool->slots[slot] : NULL;
    return task && skua__task_word(task) == word ? task : NULL;
}

/* What lies in the task's own block goes with that. */
static void
free_part(const skua_pool_future *task, const void *part) {
    if ((uintptr_t)part - (uintptr_t)task >= task->block_bytes) {
        skua__mem_free(task->hook, (void *)(uintptr_t)part);
    }
}

void
skua__task_drop_input(skua_pool_future *task) {
    if (task->free_fn) {
        task->free_fn((void *)(uintptr_t)task->input, task->free_hint);
    } else if (!task->keep_input) {
        free_part(task, task->input);
    }
    task->free_fn = NULL;
    task->input = NULL;
}

void
skua__task_unref(skua_pool_future *task) {
    /* acq_rel L1: whoever comes last sees all that the others wrote; pairs with itself */
    if (atomic_fetch_sub_explicit(&task->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (task->input) {
        skua__task_drop_input(task);
    }
    free_part(task, task->output);
    skua__mem_free(task->hook, task->message);
    if (task->launch) {
        skua__launch_task_free(task->hook, task->launch);
    } else {
        skua__mem_free(task->hook, task);
    }
}

void
skua__task_set_output_locked(skua_pool_future *task, void *output, size_t output_bytes,
                             char *message, int32_t code, int64_t run_ns) {
    task->output = output;
    task->output_bytes = output_bytes;
    task->message = message;
    task->code = code;
    task->run_ns = run_ns;
}

/* Nothing touches the task any more: its outcome becomes visible, and its place in the pool free. */
static void
finish(skua_pool *pool, skua_pool_future *task) {
    task->end_waits = false;
    task->end_ns = skua__clock_ns();
    pool->slots[task->slot] = NULL;
    pool->free_slots[pool->free_count++] = task->slot;
    pool->window_tasks--;
    pool->window_bytes -= task->input_bytes;
    if (task->launch && task->launch->forwarded) {
        pool->forwarded_tasks--;
        pool->forwarded_bytes -= task->input_bytes;
    }
    pool->part_tasks -= task->launch && task->launch->is_part;
    if (task->lane) {
        skua__lane_put_locked(pool, task->lane);
    }
    bool call = task->on_done || (task->free_fn && !task->run_active);
    if (!call && !task->run_active) {
        skua__task_drop_input(task); /* a copy of ours, or the user's own: no user code runs */
    }
    if (call) {
        skua__list_push_back(&pool->callbacks, &task->link);
    }
    skua__task_publish_end(task);
    if (task->link_waiters) {
        pool->wake_remote = true;
    }
    skua__pool_left_locked(pool);
    if (!call) {
        skua__task_unref(task);
    }
}

void
skua__task_run_over_locked(skua_pool *pool, skua_pool_future *task) {
    assert(task->run_active);
    task->run_active = false;
    pool->local_runs--;
    if (task->lease.state == SKUA__LEASE_ENDED) {
        skua__turn_leave_locked(pool, task);
    }
    if (task->end_waits) {
        finish(pool, task);
    } else if (task->lease.state == SKUA__LEASE_ENDED && task->free_fn && task->input &&
               skua__list_empty(&task->link)) {
        /* It ended while it ran: the input is let go only now, by a thread that may call user code. */
        atomic_fetch_add_explicit(&task->refs, 1, memory_order_relaxed); /* relaxed: we hold one */
        task->on_done = NULL;
        skua__list_push_back(&pool->callbacks, &task->link);
    }
    skua__pool_left_locked(pool);
}

static const char *
reason_of(const skua_pool_future *task, skua__lease_event_kind kind) {
    switch ((skua__lease_outcome)task->lease.outcome) {
    case SKUA__LEASE_TIMEOUT:
        return task->lease.attempts ? "its time was up before it ended"
                                    : "its time was up before it started";
    case SKUA__LEASE_CANCELLED:
        return task->pool->closing ? "its pool was closed" : "it was cancelled";
    case SKUA__LEASE_LOST:
        if (task->lease.poisoned) {
            return "every node that ran it died: it is not tried again";
        }
        if (kind == SKUA__LEASE_ORPHAN) {
            return "its node died and no other offers such tasks";
        }
        return task->lease.idempotent
                   ? "its node died, and it had all its attempts"
                   : "its node died; it is not marked idempotent, so it was not run again";
    case SKUA__LEASE_REFUSED:
        return kind == SKUA__LEASE_ORPHAN ? "no node offers such tasks any more"
                                          : "every node handed it back unstarted";
    default:
        return task->launch && task->code && !task->message
                   ? "it failed, and there was no memory for the words"
                   : "";
    }
}

static void
end_task(skua_pool *pool, skua_pool_future *task, skua__lease_event_kind kind) {
    pool->count.ended[task->lease.outcome]++;
    skua__metric_add(&pool->metrics,
                     task->lease.outcome == SKUA__LEASE_OK ? SKUA_M_POOL_OK : SKUA_M_POOL_FAILED,
                     1);
    skua__metric_add(&pool->metrics, SKUA_M_POOL_IN_FLIGHT, -1);
    pool->count.poisoned += task->lease.poisoned;
    task->reason = reason_of(task, kind);
    if (task->heap_at) {
        skua__timer_remove_locked(pool, task);
    }
    if (!task->run_active) {
        skua__turn_leave_locked(pool, task); /* before whoever waits for its end asks for more */
    }
    if (task->run_active && task->keep_input) {
        task->end_waits = true;
        return;
    }
    finish(pool, task);
}

/* The task leaves the site that holds it. */
static void
leave_site(skua_pool_future *task) {
    skua__site *site = task->site;
    if (site) {
        skua__list_remove(&task->link);
        site->in_flight--;
        site->predicted_ns -= task->predicted_ns;
        if (!task->sent) {
            site->outbox_bytes -= task->input_bytes;
        }
        task->site = NULL;
    }
}

/* Its holder may still work on it: it is told that nobody waits for the result. */
static void
tell_holder(skua_pool *pool, skua_pool_future *task) {
    skua__site *site = task->site;
    if (!site) {
        skua__split_cancel_locked(pool, task->launch->split); /* its parts hold it */
        return;
    }
    if (site->backend == SKUA_BACKEND_LOCAL) {
        skua__local_cancel_locked(pool, task);
        return;
    }
    if (site->backend == SKUA_BACKEND_DEVICE) {
        skua__device_cancel_locked(pool, task);
        return;
    }
    /* No memory for the note: the peer runs it in vain, and its result is fenced. */
    skua__cancel *cancel = task->sent ? skua__mem_new(pool->hook, sizeof *cancel) : NULL;
    if (cancel) {
        cancel->ref =
            (skua__task_lease_ref){.id = skua__task_word(task), .epoch = task->lease.epoch};
        skua__list_push_back(&site->cancels, &cancel->link);
        pool->dirty_cancels = true;
    }
}

bool
skua__task_event_locked(skua_pool *pool, skua_pool_future *task, const skua__lease_event *event,
                        int64_t now_ns) {
    bool waited = task->lease.state == SKUA__LEASE_WAITING;
    skua__lease_step_result result = skua__lease_step(&task->lease, event, now_ns);
    if (result.tell_holder) {
        tell_holder(pool, task);
    }
    switch (result.action) {
    case SKUA__LEASE_REQUEUE:
        leave_site(task);
        skua__queue_push_locked(pool, task, true);
        break;
    case SKUA__LEASE_END:
        leave_site(task);
        if (waited && task->lane && !skua__list_empty(&task->link)) {
            skua__queue_remove_locked(pool, task);
        }
        end_task(pool, task, event->kind);
        break;
    case SKUA__LEASE_DROP:
        skua__pool_fenced_locked(pool);
        break;
    case SKUA__LEASE_START:
    case SKUA__LEASE_NOTHING:
        break;
    }
    return result.action == SKUA__LEASE_END;
}
