// SPDX-License-Identifier: MPL-2.0
// The pool as its peers see it: the thread that receives their tasks and runs the short ones itself, renewals, cancels,
// and what becomes of a link. serve_end.c opens and closes it.
#include <skua-int/serve_int.h>

#include <string.h>

enum {
    LEARNED_SAMPLES = 4,    /* runs before a function may be called short */
    RENEWALS_PER_LEASE = 3, /* so many chances before a lease runs out */
};

#define INLINE_NS                                                                                  \
    (20 * SKUA_NS_PER_US) /* a function that takes less runs on the receiving thread */
#define INLINE_LONG_NS (200 * SKUA_NS_PER_US) /* after one so long the rest waits for workers */

static skua__server *
server_of(skua__handle *handle) {
    return SKUA_CONTAINER_OF(handle, skua__server, handle);
}

/* ---- Receiving ---- */

/* Whether this lease was cancelled before its task came: the control link is faster than bulk. */
static bool
cancelled_early(const skua__server *server, const skua__uuid *submitter,
                const skua__task_request *request) {
    uint32_t count = server->cancel_count < SKUA__SERVE_EARLY_CANCELS ? server->cancel_count
                                                                      : SKUA__SERVE_EARLY_CANCELS;
    for (uint32_t i = 0; i < count; i++) {
        const skua__early_cancel *cancel = &server->cancels[i];
        if (cancel->id == request->id && cancel->epoch == request->epoch &&
            skua__uuid_equal(&cancel->submitter, submitter)) {
            return true;
        }
    }
    return false;
}

static int64_t
deadline_of(const skua__task_request *request, int64_t now_ns) {
    const uint64_t longest_us = (uint64_t)(SKUA_NEVER_NS - now_ns) / (uint64_t)SKUA_NS_PER_US;
    if (request->left_us == SKUA__TASK_NO_DEADLINE || request->left_us > longest_us) {
        return SKUA_NEVER_NS;
    }
    return now_ns + (int64_t)request->left_us * SKUA_NS_PER_US;
}

/* A message that is being sorted. */
struct sorting {
    skua__server *server;
    skua__stage *stage;
    skua_msg *msg; /* NULL once batch holds it */
    skua__served_batch *batch;
    skua__uuid submitter;
    int64_t now_ns;
    skua__function *function; /* the last one that was looked up */
    uint32_t function_version;
};

static skua__function *
find_function(struct sorting *sorting, const skua__task_request *request) {
    skua__function *last = sorting->function;
    if (last && sorting->function_version == request->version &&
        strlen(last->name) == request->name_bytes &&
        memcmp(last->name, request->name, request->name_bytes) == 0) {
        return last;
    }
    skua_pool *pool = sorting->server->pool;
    skua__mutex_lock(&pool->lock);
    sorting->function =
        skua__function_find_locked(pool, request->name, request->name_bytes, request->version);
    skua__mutex_unlock(&pool->lock);
    sorting->function_version = request->version;
    return sorting->function;
}

/* A launch goes the way of our own: our placement knows the cores and the devices. */
static bool
forward(skua__server *server, skua__served *task) {
    server->waiting--;
    server->waiting_bytes -= task->call.input_bytes;
    skua__list_remove(&task->link);
    skua__list_push_back(&server->running, &task->link);
    server->running_count++;
    if (skua__served_forward(server, task)) {
        return true;
    }
    skua__list_remove(&task->link);
    server->running_count--;
    skua__served_free(server, task);
    return false;
}

/* Puts a task into its queue; the message lives on with it. Returns false when there is no memory. */
static bool
enqueue(struct sorting *sorting, skua__function *function, const skua__task_request *request) {
    skua__server *server = sorting->server;
    const skua_allocator *hook = server->pool->hook;
    if (!sorting->batch) {
        sorting->batch = skua__mem_new(hook, sizeof *sorting->batch);
        if (!sorting->batch) {
            return false;
        }
        sorting->batch->refs = 1; /* the sorting's own */
        sorting->batch->msg = sorting->msg;
        sorting->msg = NULL;
    }
    skua__served *task = skua__mem_new(hook, sizeof *task);
    if (!task) {
        return false;
    }
    task->batch = sorting->batch;
    task->batch->refs++;
    task->link_id = skua__link_id(sorting->stage->link);
    task->submitter = sorting->submitter;
    task->id = request->id;
    task->epoch = request->epoch;
    task->priority = request->priority < SKUA__POOL_PRIORITIES ? request->priority : 0;
    task->came_ns = sorting->now_ns;
    task->function = function;
    task->server = server;
    skua__call_init(&task->call, hook, request->input, request->input_bytes,
                    deadline_of(request, sorting->now_ns), request->attempt);
    skua__list_push_back(&server->queue[task->priority], &task->link);
    server->waiting++;
    server->waiting_bytes += request->input_bytes;
    return !function->kernel || forward(server, task);
}

static void
add_inline(struct sorting *sorting, skua__function *function, const skua__task_request *request) {
    skua__server *server = sorting->server;
    skua__inline_run *run = &server->inlines[server->inline_count++];
    server->inline_link = skua__link_id(sorting->stage->link);
    server->inline_submitter = sorting->submitter;
    run->id = request->id;
    run->epoch = request->epoch;
    run->function = function;
    run->request = *request;
    skua__call_init(&run->call, server->pool->hook, request->input, request->input_bytes,
                    deadline_of(request, sorting->now_ns), request->attempt);
}

static bool
is_short(const skua__function *function) {
    return !function->kernel && function->served.samples >= LEARNED_SAMPLES &&
           function->served.run_ns < INLINE_NS;
}

/* Decides about one task: run here at once, wait for a worker, or go back. */
static void
sort_request(struct sorting *sorting, const skua__task_request *request) {
    skua__server *server = sorting->server;
    skua__function *function = find_function(sorting, request);
    if (server->cancel_count && cancelled_early(server, &sorting->submitter, request)) {
        return; /* its lease has ended: nobody waits for an answer */
    }
    if (!function) {
        skua__stage_back(server, sorting->stage, request->id, request->epoch,
                         SKUA__TASK_NOT_OFFERED);
        return;
    }
    bool full = server->waiting + server->forwarded >= server->pool->options.serve_queue_tasks ||
                (server->waiting + server->forwarded > 0 &&
                 server->waiting_bytes + server->forwarded_bytes + request->input_bytes >
                     server->pool->options.serve_queue_bytes);
    if (server->state != SKUA__SERVE_TAKES || full) {
        skua__stage_back(server, sorting->stage, request->id, request->epoch,
                         SKUA__TASK_HANDED_BACK);
    } else if (server->waiting == 0 && is_short(function)) {
        add_inline(sorting, function, request);
    } else if (!enqueue(sorting, function, request)) {
        skua__stage_back(server, sorting->stage, request->id, request->epoch,
                         SKUA__TASK_HANDED_BACK);
    }
}

static bool
inline_cancelled(const skua__inline_run *run) {
    /* relaxed: it was written under the lock that we hold */
    return atomic_load_explicit(&run->call.cancelled, memory_order_relaxed);
}

/*
 * Runs the inline tasks without the lock, and stages their results under it again. When one takes far longer than its
 * function used to, the others are left to workers.
 */
static void
run_inlines(struct sorting *sorting, uint64_t link_id) {
    skua__server *server = sorting->server;
    uint32_t count = server->inline_count, ran = 0;
    skua__handle_unlock(&server->handle);
    for (bool slow = false; ran < count && !slow; ran++) {
        skua__inline_run *run = &server->inlines[ran];
        run->outcome = skua__server_call(run->function, &run->call, &run->code, &run->run_ns);
        slow = run->run_ns > INLINE_LONG_NS;
    }
    skua__handle_lock(&server->handle);
    sorting->stage = skua__stage_of(server, link_id); /* its submitter may have gone meanwhile */
    for (uint32_t i = 0; i < count; i++) {
        skua__inline_run *run = &server->inlines[i];
        if (i < ran) {
            server->count_served++;
            skua__metric_add(&server->pool->metrics, SKUA_M_POOL_SERVED, 1);
            server->count_inline++;
            server->busy_ns += (uint64_t)run->run_ns;
            if (run->outcome != SKUA__LEASE_TIMEOUT) {
                skua__cost_learn_run(&run->function->served, run->run_ns);
            }
            if (sorting->stage) {
                skua__stage_call(server, sorting->stage, run->id, run->epoch, run->outcome,
                                 run->code, run->run_ns, &run->call);
            }
        } else if (sorting->stage &&
                   !(server->state == SKUA__SERVE_TAKES && !inline_cancelled(run) &&
                     enqueue(sorting, run->function, &run->request))) {
            skua__stage_back(server, sorting->stage, run->id, run->epoch, SKUA__TASK_HANDED_BACK);
        }
        skua__call_fini(&run->call);
    }
    server->inline_count = 0;
    skua__server_moved_locked(server);
    if (sorting->stage) {
        skua__stage_flush(server, sorting->stage);
    }
}

/* Sorts one message's tasks. Takes the message. */
static void
take_message(skua__server *server, skua__stage *stage, skua_msg *msg) {
    uint64_t link_id = skua__link_id(stage->link);
    struct sorting sorting = {.server = server, .stage = stage, .msg = msg};
    sorting.submitter = skua__link_peer(stage->link)->node;
    sorting.now_ns = skua__clock_ns();
    skua__reader reader = skua__reader_of(skua_msg_data(msg, 0), skua_msg_size(msg, 0));
    skua__task_head head;
    bool good = skua_msg_frames(msg) == 1 && skua__task_payload_ok(reader.at, reader.left) &&
                skua__task_read_head(&reader, &head) && head.frame == SKUA__TASK_REQUESTS;
    if (good && head.workers) {
        stage->lease_ms = head.workers;
    }
    if (good && head.entries == 0 && server->state != SKUA__SERVE_TAKES) {
        stage->nothing_follows = true;
        skua__handle_wake_locked(&server->handle);
    }
    for (uint16_t i = 0; good && i < head.entries && sorting.stage; i++) {
        skua__task_request request;
        good = skua__task_read_request(&reader, &request);
        assert(good);
        sort_request(&sorting, &request);
        if (server->inline_count == SKUA__SERVE_INLINE_AT_ONCE) {
            run_inlines(&sorting, link_id);
        }
    }
    server->count_malformed += !good;
    skua__server_start_runners(server);
    if (server->inline_count) {
        run_inlines(&sorting, link_id);
        skua__server_start_runners(server);
    } else if (sorting.stage) {
        skua__stage_flush(server, sorting.stage);
    }
    skua_msg_free(sorting.msg);
    if (sorting.batch && --sorting.batch->refs == 0) {
        skua_msg_free(sorting.batch->msg);
        skua__mem_free(server->pool->hook, sorting.batch);
    }
}

/* ---- Renewals ---- */

/* Tells a submitter of its tasks that are here since longer ago than half a renewal. */
static void
renew_stage(skua__server *server, skua__stage *stage, int64_t now_ns, int64_t step_ns) {
    uint8_t bytes[SKUA__TASK_BATCH_HEAD_BYTES + 512 * sizeof(skua__task_lease_ref)];
    skua__writer writer = skua__writer_of(bytes, sizeof bytes);
    skua__task_head head = skua__server_head(server, SKUA__TASK_RENEW, 0);
    skua__task_write_head(&writer, &head);
    skua__list *lists[SKUA__POOL_PRIORITIES + 1] = {&server->running, &server->queue[0],
                                                    &server->queue[1], &server->queue[2]};
    uint64_t link_id = skua__link_id(stage->link);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        SKUA_LIST_EACH(node, lists[i]) {
            skua__served *task = SKUA_CONTAINER_OF(node, skua__served, link);
            if (task->link_id != link_id || now_ns - task->came_ns < step_ns / 2) {
                continue;
            }
            skua__task_write_lease_ref(
                &writer, &(skua__task_lease_ref){.id = task->id, .epoch = task->epoch});
            head.entries++;
            if (writer.size - writer.used < sizeof(skua__task_lease_ref)) {
                skua__writer again = skua__writer_of(bytes, sizeof bytes);
                skua__task_write_head(&again, &head);
                skua__server_send(server, stage->link, bytes, writer.used, NULL, 0);
                writer.used = again.used;
                head.entries = 0;
            }
        }
    }
    if (head.entries) {
        skua__writer again = skua__writer_of(bytes, sizeof bytes);
        skua__task_write_head(&again, &head);
        skua__server_send(server, stage->link, bytes, writer.used, NULL, 0);
    }
}

/* Renews what is due; returns when to come again. While nothing is here nobody needs to. */
static int64_t
renew(skua__server *server, int64_t now_ns) {
    if (server->waiting + server->running_count == 0) {
        server->renew_ns = SKUA_NEVER_NS;
        return SKUA_NEVER_NS;
    }
    int64_t step_ns = SKUA_NEVER_NS;
    SKUA_LIST_EACH(node, &server->stages) {
        const skua__stage *stage = SKUA_CONTAINER_OF(node, skua__stage, node);
        int64_t ns = (int64_t)stage->lease_ms * SKUA_NS_PER_MS / RENEWALS_PER_LEASE;
        step_ns = ns < step_ns ? ns : step_ns;
    }
    if (step_ns == SKUA_NEVER_NS) {
        return SKUA_NEVER_NS; /* no submitter is left */
    }
    if (server->renew_ns == SKUA_NEVER_NS) {
        server->renew_ns = now_ns + step_ns;
    }
    if (now_ns >= server->renew_ns) {
        SKUA_LIST_EACH(node, &server->stages) {
            renew_stage(server, SKUA_CONTAINER_OF(node, skua__stage, node), now_ns, step_ns);
        }
        server->renew_ns = now_ns + step_ns;
    }
    return server->renew_ns;
}

void *
skua__server_receive(void *arg) {
    skua__server *server = arg;
    skua__handle *handle = &server->handle;
    skua__server_lock(server);
    for (;;) { /* ends when the handle is closed */
        skua_msg *msg = NULL;
        uint64_t id = 0;
        int64_t now_ns = skua__clock_ns();
        int64_t next_ns = renew(server, now_ns);
        int64_t tell_ns = skua__server_tell_queue_locked(server, now_ns);
        next_ns = tell_ns < next_ns ? tell_ns : next_ns;
        if (server->waiting && !server->runners_active) {
            skua__server_start_runners(server); /* the executor refused them the last time */
            next_ns =
                now_ns + SKUA__POOL_RETRY_NS < next_ns ? now_ns + SKUA__POOL_RETRY_NS : next_ns;
        }
        skua_status status = skua__handle_recv_locked(handle, next_ns, &msg, &id);
        if (status == SKUA_E_CLOSED) {
            skua_msg_free(msg);
            break;
        }
        if (status) {
            continue;
        }
        skua__link *link = skua__handle_link_of_locked(handle, id);
        skua__stage *stage = link ? skua__link_user(link) : NULL;
        if (stage) {
            take_message(server, stage, msg);
        } else {
            skua_msg_free(msg); /* its submitter is gone */
        }
    }
    skua__handle_unhold_locked(handle);
    skua__handle_leave(handle);
    return NULL;
}

/* ---- Links ---- */

static size_t
make_hello(skua__handle *handle, uint8_t *ret, size_t size) {
    skua__server *server = server_of(handle);
    skua_pool *pool = server->pool;
    skua__writer writer = skua__writer_of(ret, size);
    skua__mutex_lock(&pool->lock);
    uint16_t count = server->state != SKUA__SERVE_TAKES ? 0 : (uint16_t)pool->function_count;
    skua__task_head head = skua__server_head(server, SKUA__TASK_OFFER, count);
    skua__task_write_head(&writer, &head);
    SKUA_LIST_EACH(node, &pool->functions) {
        const skua__function *function = SKUA_CONTAINER_OF(node, skua__function, link);
        skua__task_offer offer = {.version = function->version};
        memcpy(offer.name, function->name, sizeof offer.name);
        if (count) {
            skua__task_write_offer(&writer, &offer);
        }
    }
    skua__mutex_unlock(&pool->lock);
    assert(!writer.failed); /* SKUA_POOL_MAX_TASK_NAMES sees to it */
    return writer.used;
}

static void
on_link_up(skua__handle *handle, skua__link *link) {
    skua__server *server = server_of(handle);
    skua__stage *stage = skua__mem_new(server->pool->hook, sizeof *stage);
    if (!stage) {
        skua__link_disconnect(link); /* it will dial again */
        return;
    }
    stage->link = link;
    stage->lease_ms = (uint32_t)server->pool->options.lease_ms;
    skua__stage_reset(stage);
    skua__list_push_back(&server->stages, &stage->node);
    skua__link_set_user(link, stage);
}

/* The submitter is gone: what waits for it is dropped, what runs is told. */
static void
on_link_down(skua__handle *handle, skua__link *link, skua__down_reason reason) {
    (void)reason;
    skua__server *server = server_of(handle);
    skua__stage *stage = skua__link_user(link);
    if (!stage) {
        return;
    }
    uint64_t link_id = skua__link_id(link);
    for (int i = 0; i < SKUA__POOL_PRIORITIES; i++) {
        SKUA_LIST_EACH(node, &server->queue[i]) {
            skua__served *task = SKUA_CONTAINER_OF(node, skua__served, link);
            if (task->link_id == link_id) {
                skua__list_remove(node);
                server->waiting--;
                server->waiting_bytes -= task->call.input_bytes;
                skua__served_free(server, task);
            }
        }
    }
    SKUA_LIST_EACH(node, &server->running) {
        skua__served *task = SKUA_CONTAINER_OF(node, skua__served, link);
        if (task->link_id == link_id) {
            skua__served_cancel(task);
        }
    }
    for (uint32_t i = 0; i < server->inline_count && server->inline_link == link_id; i++) {
        /* relaxed: as above */
        atomic_store_explicit(&server->inlines[i].call.cancelled, true, memory_order_relaxed);
    }
    skua__list_remove(&stage->node);
    skua__server_moved_locked(server);
    skua__link_set_user(link, NULL);
    skua__mem_free(server->pool->hook, stage);
}

/* Acknowledgements have come: staged results may leave. */
static void
on_progress(skua__handle *handle) {
    skua__server *server = server_of(handle);
    SKUA_LIST_EACH(node, &server->stages) {
        skua__stage *stage = SKUA_CONTAINER_OF(node, skua__stage, node);
        if (stage->entries) {
            skua__stage_flush(server, stage);
        }
    }
}

/* No user sees the handle's descriptor. */
static bool
is_readable(skua__handle *handle) {
    (void)handle;
    return false;
}

const skua__pattern_ops skua__server_ops = {
    .name = "pool",
    .kind = SKUA__SERVICE_TASK,
    .provider = true,
    .own_role = SKUA__ROLE_WORK,
    .peer_role = SKUA__ROLE_SUBMIT,
    .lazy_ack = true,
    .outlives_node = true,
    .make_hello = make_hello,
    .link_up = on_link_up,
    .link_down = on_link_down,
    .progress = on_progress,
    .readable = is_readable,
};

/* ---- Cancels ---- */

static void
cancel_one(skua__server *server, const skua__uuid *submitter, const skua__task_lease_ref *ref) {
    skua__list *lists[SKUA__POOL_PRIORITIES + 1] = {&server->running, &server->queue[0],
                                                    &server->queue[1], &server->queue[2]};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        SKUA_LIST_EACH(node, lists[i]) {
            skua__served *task = SKUA_CONTAINER_OF(node, skua__served, link);
            if (task->id != ref->id || task->epoch != ref->epoch ||
                !skua__uuid_equal(&task->submitter, submitter)) {
                continue;
            }
            skua__served_cancel(task);
            if (i > 0) {
                skua__list_remove(node);
                server->waiting--;
                server->waiting_bytes -= task->call.input_bytes;
                skua__served_free(server, task);
            }
            return;
        }
    }
    for (uint32_t i = 0; i < server->inline_count; i++) {
        skua__inline_run *run = &server->inlines[i];
        if (run->id == ref->id && run->epoch == ref->epoch &&
            skua__uuid_equal(&server->inline_submitter, submitter)) {
            /* relaxed: as above */
            atomic_store_explicit(&run->call.cancelled, true, memory_order_relaxed);
            return;
        }
    }
    server->cancels[server->cancel_count++ % SKUA__SERVE_EARLY_CANCELS] =
        (skua__early_cancel){.submitter = *submitter, .id = ref->id, .epoch = ref->epoch};
}

/* In the node's thread, under no lock. */
void
skua__server_control(void *arg, const skua__identity *from, const void *bytes, size_t size) {
    skua__server *server = arg;
    skua__reader reader = skua__reader_of(bytes, size);
    skua__task_head head;
    skua__server_lock(server);
    bool good = skua__task_payload_ok(bytes, size) && skua__task_read_head(&reader, &head) &&
                head.frame == SKUA__TASK_CANCEL;
    for (uint16_t i = 0; good && i < head.entries; i++) {
        skua__task_lease_ref ref;
        good = skua__task_read_lease_ref(&reader, &ref);
        assert(good);
        cancel_one(server, &from->node, &ref);
    }
    server->count_malformed += !good;
    skua__handle_leave(&server->handle);
}
