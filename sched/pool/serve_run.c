// SPDX-License-Identifier: MPL-2.0
// Peers' tasks on our executor, and the way of results back to their submitters.
#include <skua-int/serve_int.h>

#include <string.h>

enum {
    BATCHES_QUICK = 4, /* a small batch is sent at once while fewer are unconfirmed */
    RUNNER_TASKS = 16, /* that a runner takes before other jobs of the executor have their turn */
};

#define RUNNER_NS (2 * SKUA_NS_PER_MS) /* a runner gives way after so long */

/* ---- Results ---- */

skua__task_head
skua__server_head(const skua__server *server, skua__task_frame frame, uint16_t entries) {
    return (skua__task_head){.frame = (uint8_t)frame,
                             .entries = entries,
                             .workers = server->runner_count,
                             .waiting = server->waiting,
                             .running = server->running_count};
}

void
skua__stage_reset(skua__stage *stage) {
    stage->used = SKUA__TASK_BATCH_HEAD_BYTES;
    stage->entries = 0;
}

/* Sends bytes as one message, queued behind what waits for credit. No memory: the leases will run out. */
void
skua__server_send(skua__server *server, skua__link *link, const uint8_t *head, size_t head_size,
                  const uint8_t *body, size_t body_size) {
    void *room = NULL;
    skua_msg *msg = skua_msg_new(server->pool->hook);
    if (msg && !skua_msg_append_room(msg, head_size + body_size, &room)) {
        memcpy(room, head, head_size);
        if (body_size) {
            memcpy((uint8_t *)room + head_size, body, body_size);
        }
        (void)!skua__link_send(link, NULL, 0, msg, false);
    }
    skua_msg_free(msg);
}

void
skua__stage_send(skua__server *server, skua__stage *stage) {
    if (stage->entries) {
        skua__writer writer = skua__writer_of(stage->bytes, SKUA__TASK_BATCH_HEAD_BYTES);
        skua__task_head head = skua__server_head(server, SKUA__TASK_RESULTS, stage->entries);
        skua__task_write_head(&writer, &head);
        skua__server_send(server, stage->link, stage->bytes, stage->used, NULL, 0);
        skua__stage_reset(stage);
    }
}

/* Sends what is staged, unless so much is on its way that it had better gather. */
void
skua__stage_flush(skua__server *server, skua__stage *stage) {
    if (stage->used >= SKUA__SERVE_STAGE_BYTES / 2 ||
        skua__link_load_msgs(stage->link) < BATCHES_QUICK) {
        skua__stage_send(server, stage);
    }
}

/* A result too large for the stage goes as a message of its own, behind what is staged. */
static void
send_large(skua__server *server, skua__stage *stage, const skua__task_result *result) {
    uint8_t
        bytes[SKUA__TASK_BATCH_HEAD_BYTES + SKUA__TASK_RESULT_HEAD_BYTES + SKUA_TASK_MESSAGE_BYTES];
    skua__stage_send(server, stage);
    skua__writer writer = skua__writer_of(bytes, sizeof bytes);
    skua__task_head head = skua__server_head(server, SKUA__TASK_RESULTS, 1);
    skua__task_write_head(&writer, &head);
    skua__task_write_result(&writer, result);
    assert(!writer.failed);
    skua__server_send(server, stage->link, bytes, writer.used, result->output,
                      result->output_bytes);
}

void
skua__stage_result(skua__server *server, skua__stage *stage, const skua__task_result *result) {
    size_t size = SKUA__TASK_RESULT_HEAD_BYTES + result->message_bytes + result->output_bytes;
    if (size > SKUA__SERVE_STAGE_BYTES / 2) {
        send_large(server, stage, result);
        return;
    }
    if (stage->used + size > sizeof stage->bytes) {
        skua__stage_send(server, stage);
    }
    skua__writer writer = skua__writer_of(stage->bytes, sizeof stage->bytes);
    writer.used = stage->used;
    skua__task_write_result(&writer, result);
    skua__write_bytes(&writer, result->output, result->output_bytes);
    assert(!writer.failed);
    stage->used = writer.used;
    stage->entries++;
}

void
skua__stage_call(skua__server *server, skua__stage *stage, uint64_t id, uint64_t epoch,
                 uint8_t outcome, int code, int64_t run_ns, const struct skua_task_call *call) {
    skua__task_result result = {.id = id,
                                .epoch = epoch,
                                .run_ns = (uint64_t)run_ns,
                                .code = code,
                                .status = outcome,
                                .message = call->message,
                                .output = call->output,
                                .output_bytes = (uint32_t)call->output_bytes};
    result.message_bytes = (uint16_t)(call->message ? strlen(call->message) : 0);
    skua__stage_result(server, stage, &result);
}

void
skua__stage_back(skua__server *server, skua__stage *stage, uint64_t id, uint64_t epoch,
                 uint8_t status) {
    skua__task_result result = {.id = id, .epoch = epoch, .status = status};
    server->count_handed_back++;
    skua__stage_result(server, stage, &result);
}

skua__stage *
skua__stage_of(skua__server *server, uint64_t link_id) {
    SKUA_LIST_EACH(node, &server->stages) {
        skua__stage *stage = SKUA_CONTAINER_OF(node, skua__stage, node);
        if (skua__link_id(stage->link) == link_id) {
            return stage;
        }
    }
    return NULL;
}

/* ---- Running ---- */

/* Calls the function. Returns its outcome, with its time in *ret_run_ns. */
uint8_t
skua__server_call(const skua__function *function, struct skua_task_call *call, int *ret_code,
                  int64_t *ret_run_ns) {
    int64_t start_ns = skua__clock_ns();
    *ret_code = 0;
    *ret_run_ns = 0;
    if (call->deadline_ns <= start_ns) {
        return SKUA__LEASE_TIMEOUT; /* an expired task never starts */
    }
    *ret_code = function->fn(call, function->arg);
    *ret_run_ns = skua__clock_ns() - start_ns;
    return *ret_code ? SKUA__LEASE_EXIT : SKUA__LEASE_OK;
}

void
skua__served_free(skua__server *server, skua__served *task) {
    const skua_allocator *hook = server->pool->hook;
    skua__call_fini(&task->call);
    if (--task->batch->refs == 0) {
        skua_msg_free(task->batch->msg);
        skua__mem_free(hook, task->batch);
    }
    skua__mem_free(hook, task);
}

/* The next task by priority; a lower one is passed over a bounded number of times. NULL: none. */
static skua__served *
take_next(skua__server *server) {
    static const int order[SKUA__POOL_PRIORITIES] = {SKUA_PRIORITY_HIGH, SKUA_PRIORITY_NORMAL,
                                                     SKUA_PRIORITY_LOW};
    int chosen = -1;
    for (int i = 0; i < SKUA__POOL_PRIORITIES; i++) {
        if (!skua__list_empty(&server->queue[order[i]]) &&
            (chosen < 0 || server->passed[order[i]] >= SKUA__POOL_AGEING)) {
            chosen = i;
        }
    }
    if (chosen < 0) {
        return NULL;
    }
    for (int i = chosen + 1; i < SKUA__POOL_PRIORITIES; i++) {
        server->passed[order[i]] += !skua__list_empty(&server->queue[order[i]]);
    }
    server->passed[order[chosen]] = 0;
    skua__served *task =
        SKUA_CONTAINER_OF(skua__list_pop_front(&server->queue[order[chosen]]), skua__served, link);
    server->waiting--;
    server->waiting_bytes -= task->call.input_bytes;
    return task;
}

void
skua__served_finish(skua__server *server, skua__served *task, uint8_t outcome, int code,
                    int64_t run_ns) {
    skua__stage *stage = skua__stage_of(server, task->link_id);
    skua__list_remove(&task->link);
    server->running_count--;
    server->count_served++;
    skua__metric_add(&server->pool->metrics, SKUA_M_POOL_SERVED, 1);
    server->busy_ns += (uint64_t)run_ns;
    if (outcome == SKUA__LEASE_OK || outcome == SKUA__LEASE_EXIT) {
        skua__cost_learn_run(&task->function->served, run_ns);
    }
    /* What gave up because we close is not a result: its submitter hears of our end, and goes by the rules of its lease. */
    bool given_up = task->closing_cancelled && outcome != SKUA__LEASE_OK;
    if (stage && !given_up) {
        skua__stage_call(server, stage, task->id, task->epoch, outcome, code, run_ns, &task->call);
        skua__stage_flush(server, stage);
    }
    skua__served_free(server, task);
}

static void run_queue(skua_worker w, skua_job *job);

void
skua__server_start_runners(skua__server *server) {
    /* Those that are active already may be busy for long: each task that waits may have one of its own. */
    uint32_t wanted = server->state == SKUA__SERVE_TAKES ? server->waiting : 0;
    for (uint32_t i = 0; i < server->runner_count && wanted; i++) {
        skua__runner *runner = &server->runners[i];
        if (runner->active) {
            continue;
        }
        skua_job_init(&runner->job, run_queue);
        if (!skua_exec_submit(server->pool->exec, &runner->job)) {
            runner->active = true;
            server->runners_active++;
            skua__handle_hold_locked(&server->handle);
            wanted--;
        }
    }
}

static void
run_queue(skua_worker w, skua_job *job) {
    (void)w;
    skua__runner *runner = SKUA_CONTAINER_OF(job, skua__runner, job);
    skua__server *server = runner->server;
    skua__handle *handle = &server->handle;
    int64_t until_ns = skua__clock_ns() + RUNNER_NS;
    skua__server_lock(server);
    for (int i = 0; i < RUNNER_TASKS; i++) {
        skua__served *task = skua__clock_ns() < until_ns || i == 0 ? take_next(server) : NULL;
        if (!task) {
            break;
        }
        skua__list_push_back(&server->running, &task->link);
        server->running_count++;
        skua__handle_leave(handle);
        int code;
        int64_t run_ns;
        uint8_t outcome = skua__server_call(task->function, &task->call, &code, &run_ns);
        skua__server_lock(server);
        skua__served_finish(server, task, outcome, code, run_ns);
    }
    runner->active = false;
    server->runners_active--;
    if (server->waiting) {
        skua__server_start_runners(server); /* behind the jobs that the executor has meanwhile */
    }
    skua__server_moved_locked(server);
    skua__handle_unhold_locked(handle);
    skua__handle_leave(
        handle); /* our last touch: the handle may be closed and freed from here on */
}

skua_status
skua__server_make_runners(skua__server *server) {
    server->runner_count = skua_exec_workers(server->pool->exec);
    server->runners =
        skua__mem_new_array(server->pool->hook, server->runner_count, sizeof(skua__runner));
    for (uint32_t i = 0; server->runners && i < server->runner_count; i++) {
        server->runners[i].server = server;
    }
    return server->runners ? SKUA_OK : SKUA_E_NO_MEMORY;
}

void
skua__server_lock(skua__server *server) {
    skua__handle_lock(&server->handle);
    skua__handle_call_locked(&server->handle);
}
