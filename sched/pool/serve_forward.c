// SPDX-License-Identifier: MPL-2.0
// Peers' launches of kernels: each is submitted to our own pool, for our sites alone, and its end is the peer's result.
#include <skua-int/kernels.h>
#include <skua-int/serve_int.h>

#include <stdio.h>
#include <string.h>

/* What our outcome is to the submitter: what never ran here, or died here, may do better elsewhere. */
static uint8_t
status_of(const skua_task_result *result) {
    return result->outcome == SKUA_OUTCOME_REFUSED ? SKUA__TASK_HANDED_BACK
                                                   : (uint8_t)result->outcome;
}

/* What the launch brought becomes the peer's: nobody else will ask the future for it. */
static void
take_results(skua__served *task, skua_pool_future *future, const skua_task_result *result) {
    struct skua_task_call *call = &task->call;
    assert(future->output != future->call.small); /* results of launches are blocks */
    call->output = future->output;
    call->output_bytes = future->output_bytes;
    call->message = future->message;
    future->output = NULL;
    future->message = NULL;
    if (!call->message && result->message[0]) {
        call->message = skua__mem_strdup(call->hook, result->message);
    }
}

/* On the pool's service thread, under no lock. The future is ours: it lives until here. */
static void
on_done(void *arg, skua_pool_future *future) {
    skua__served *task = arg;
    skua__server *server = task->server;
    skua__handle *handle = &server->handle;
    skua_task_result result = {.size = sizeof result};
    (void)!skua_pool_result(future, &result, NULL); /* it has ended */
    skua__server_lock(server);
    uint64_t bytes = task->forwarded_bytes;
    take_results(task, future, &result);
    if (status_of(&result) == SKUA__TASK_HANDED_BACK) {
        server->count_handed_back++;
    }
    skua__served_finish(server, task, status_of(&result), result.code, result.run_ns);
    server->forwarded--;
    server->forwarded_bytes -= bytes;
    skua__server_moved_locked(server);
    skua__handle_unhold_locked(handle);
    skua__handle_leave(handle); /* our last touch, as a runner's */
    skua_pool_future_free(future);
}

/* A few bytes may ask for much memory, so that counts too. One that asks for more than there ever is goes to the cores, if it does not there. */
static uint64_t
hidden_bytes(const skua_pool *pool, const skua__kernel *kernel, skua__coded_launch *coded) {
    uint64_t most = pool->options.serve_queue_bytes;
    uint64_t there = skua__launch_hidden_bytes(kernel, coded, true, 0);
    uint64_t here =
        kernel->fn ? skua__launch_hidden_bytes(kernel, coded, false, skua_exec_workers(pool->exec))
                   : 0;
    if (coded->on == SKUA_ON_ANY && kernel->fn && there > most && here <= most) {
        coded->on = SKUA_ON_CORES;
    }
    if (coded->on != SKUA_ON_ANY) {
        return coded->on == SKUA_ON_CORES ? here : there;
    }
    return here > there ? here : there;
}

/* It asks for more than a peer is ever given: its submitter is told so, in words. */
static void
refuse(skua__server *server, skua__served *task, uint64_t hidden) {
    char words[SKUA_TASK_MESSAGE_BYTES];
    snprintf(words, sizeof words,
             "it asks for %llu bytes of memory besides what was sent, and %.60s gives a peer %llu: "
             "ask for less, or raise serve_queue_bytes there",
             (unsigned long long)hidden, skua__pool_node_name(server->pool),
             (unsigned long long)server->pool->options.serve_queue_bytes);
    task->call.message = skua__mem_strdup(task->call.hook, words);
    server->count_too_large++;
    skua__served_finish(server, task, SKUA__LEASE_EXIT, 1, 0);
}

bool
skua__served_forward(skua__server *server, skua__served *task) {
    skua_pool *pool = server->pool;
    skua__kernel_entry *entry = task->function->kernel;
    skua__coded_launch coded;
    const struct skua_task_call *call = &task->call;
    if (!skua__launch_decode(entry->kernel, call->input, call->input_bytes, &coded)) {
        server->count_malformed++;
        return false;
    }
    uint64_t hidden = hidden_bytes(pool, entry->kernel, &coded);
    if (hidden > pool->options.serve_queue_bytes) {
        refuse(server, task, hidden);
        return true;
    }
    uint64_t bytes = call->input_bytes + coded.output_bytes + hidden;
    if (server->forwarded &&
        server->forwarded_bytes + server->waiting_bytes + bytes > pool->options.serve_queue_bytes) {
        return false;
    }
    /* The input stays where it is in the message, which the task keeps: whoever needs it aligned copies it, under no lock. */
    skua__launch_task *launch = skua__launch_task_new(entry, &coded);
    int64_t left_ms = (call->deadline_ns - skua__clock_ns()) / SKUA_NS_PER_MS + 1;
    skua_status status = SKUA_E_NO_MEMORY;
    if (launch) {
        launch->forwarded = true;
        status = skua__pool_submit_launch(
            pool,
            SKUA_TASK(.name = entry->kernel->name, .version = entry->version,
                      .node = skua__pool_node_name(pool), .node_only = 1,
                      .priority = task->priority, .input = call->input,
                      .input_bytes = call->input_bytes, .keep_input = 1, .idempotent = 1,
                      .timeout_ms = call->deadline_ns == SKUA_NEVER_NS ? SKUA_UNLIMITED
                                    : left_ms > 0                      ? left_ms
                                                                       : SKUA_NONE,
                      .on_done = on_done, .on_done_arg = task),
            launch, false, &task->future, NULL);
    }
    if (status) {
        skua__launch_task_free(pool->hook, launch);
        return false;
    }
    task->forwarded_bytes = bytes;
    server->forwarded_bytes += bytes;
    server->forwarded++;
    skua__handle_hold_locked(&server->handle);
    return true;
}

void
skua__served_cancel(skua__served *task) {
    /* relaxed: the function looks when it likes */
    atomic_store_explicit(&task->call.cancelled, true, memory_order_relaxed);
    if (task->future) {
        skua__pool_cancel_noting(task->future);
    }
}
