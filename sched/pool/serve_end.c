// SPDX-License-Identifier: MPL-2.0
// The pool that peers see, from its opening to its end: what others hear of it, draining, and a close that loses nothing
// and leaves nobody behind.
#include <skua-int/serve_int.h>

#include <skua/device.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * The states, which only rise:
 *
 *             | a task that comes | what waits    | what runs        | offers | leads on
 *  -----------+-------------------+---------------+------------------+--------+------------------------------------
 *  TAKES      | runs or waits     | runs          | runs             | yes    | skua_pool_drain(), skua_pool_close()
 *  DRAINS     | goes back         | has gone back | runs             | none   | skua_pool_close()
 *  CLOSES     | goes back         | has gone back | was asked to end | none   | the steps below
 *
 * A close takes these steps, each only when the one before it is complete:
 *  1. The node's thread calls us no more: the receiver of control messages is taken away, and that waits for a call under way.
 *  2. CLOSES. From here on nothing enters a queue, no runner is started, and nothing is run inline.
 *  3. Quiet: nothing waits, no runner is active, no launch is in our own pool, nothing is being run inline. With 2 that lasts.
 *  4. Last words: each submitter has said that it sends no more, and confirmed what it was sent; or is silent.
 *  5. The handle closes: it waits until nobody holds it, then says FIN.
 *  6. The receiving thread is joined. Nobody is left, and memory goes.
 *
 * Why nobody is left. Five threads touch a server: the receiving one, an executor's in a runner, the pool's service thread when
 * a peer's launch has ended, the node's, and callers of skua_pool_*(). The first three hold the handle from before they begin
 * (the third: from the launch's submission) until their last touch, which step 5 waits for. The node's
 * comes by control messages (step 1) and through the handle, whose close ends that. Callers must have returned before
 * skua_pool_close() is called. So nobody ever has to ask whether the handle is open, and whether the node is: one that was
 * closed before the pool only means that nobody else pumps and that every submitter is silent.
 */

enum {
    OFFERS_TEXT_BYTES = 4096,
    MAX_NUMA_NODES = 1024,
};

#define LOOK_NS (10 * SKUA_NS_PER_MS) /* between two looks at who is silent */
#define SILENCE_NS                                                                                 \
    (200 * SKUA_NS_PER_MS) /* who is silent so long when we close is taken for dead */
#define QUEUE_TELL_NS (1 * SKUA_NS_PER_S) /* how often our record may tell of our queue */
#define LAST_WORDS_NS (5 * SKUA_NS_PER_S) /* that a close waits at most for those who are not */

/* ---- What others hear of us ---- */

/* Puts the names into the node's record, for people; submitters hear them over their links. */
static void
publish_names(skua_pool *pool, bool offers) {
    char text[OFFERS_TEXT_BYTES];
    size_t used = 0;
    skua__mutex_lock(&pool->lock);
    SKUA_LIST_EACH(node, &pool->functions) {
        const skua__function *function = SKUA_CONTAINER_OF(node, skua__function, link);
        size_t need = strlen(function->name) + 12;
        if (offers && used + need < sizeof text) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s/%u\n", function->name,
                                     function->version);
        }
    }
    skua__mutex_unlock(&pool->lock);
    /* It is for show: a record that is full, or no memory, changes nothing for tasks. */
    (void)!skua_node_set_capability(pool->node, "tasks", text, used, NULL);
}

/* The NUMA nodes of this machine, from the system's list of ranges ("0-1,4"); 1 where there is none. */
static uint32_t
count_numa_nodes(void) {
    FILE *file = fopen("/sys/devices/system/node/online", "re");
    unsigned first, last;
    uint32_t count = 0;
    while (file && count < MAX_NUMA_NODES && fscanf(file, "%u", &first) == 1) {
        int next = fgetc(file);
        last = first;
        if (next == '-' && fscanf(file, "%u", &last) == 1) {
            next = fgetc(file);
        }
        count += last >= first && last - first < MAX_NUMA_NODES ? last - first + 1 : 1;
        if (next != ',') {
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return count ? count : 1;
}

/* One line for each device that may be used: "discrete NVIDIA H200, 132 units, 141 GB". */
static void
publish_devices(skua_pool *pool) {
    char text[OFFERS_TEXT_BYTES];
    size_t used = 0;
    const skua_devices *devices = pool->options.devices;
    for (size_t i = 0; i < skua_devices_count(devices); i++) {
        skua_device_info info = {.size = sizeof info};
        if (skua_devices_at(devices, i, &info, NULL) || !info.usable ||
            used + SKUA_DEVICE_TEXT_BYTES + 64 > sizeof text) {
            continue;
        }
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %s, %u units, %.1f GB\n",
                                 skua_device_kind_text(info.kind), info.name, info.units,
                                 (double)info.memory_bytes / 1e9);
    }
    (void)!skua_node_set_capability(pool->node, "devices", text, used, NULL);
}

static void
publish_machine(skua_pool *pool) {
    publish_devices(pool);
    uint8_t bytes[8];
    skua__writer writer = skua__writer_of(bytes, sizeof bytes);
    skua__write_u32(&writer, skua_exec_workers(pool->exec));
    (void)!skua_node_set_capability(pool->node, "cores", bytes, writer.used, NULL);
    writer = skua__writer_of(bytes, sizeof bytes);
    skua__write_u32(&writer, count_numa_nodes());
    (void)!skua_node_set_capability(pool->node, "numa", bytes, writer.used, NULL);
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) {
        writer = skua__writer_of(bytes, sizeof bytes);
        skua__write_u64(&writer, (uint64_t)pages * (uint64_t)page);
        (void)!skua_node_set_capability(pool->node, "memory", bytes, writer.used, NULL);
    }
}

void
skua__server_offers_changed(skua_pool *pool) {
    skua__server *server = pool->server;
    skua__server_lock(server);
    bool offers = server->state == SKUA__SERVE_TAKES;
    if (offers) {
        skua__handle_hello_again_locked(&server->handle);
    }
    skua__handle_leave(&server->handle);
    publish_names(pool, offers);
}

void
skua__server_counters(skua_pool *pool, skua_pool_counters *ret) {
    skua__server *server = pool->server;
    skua__server_lock(server);
    ret->served = server->count_served;
    ret->served_inline = server->count_inline;
    ret->served_handed_back = server->count_handed_back;
    ret->served_busy_ns = server->busy_ns;
    ret->served_waiting = server->waiting;
    ret->served_running = server->running_count;
    ret->dropped_malformed += server->count_malformed;
    ret->served_too_large = server->count_too_large;
    skua__handle_leave(&server->handle);
}

/*
 * Peers read it for their users (`skua nodes`), not for placement, which hears of it with each result: once in a while is
 * enough, and while nothing waits, and that was told, nothing ticks.
 */
int64_t
skua__server_tell_queue_locked(skua__server *server, int64_t now_ns) {
    if (!server->waiting && !server->queue_told) {
        return SKUA_NEVER_NS;
    }
    int64_t next_ns = server->queue_told_ns + QUEUE_TELL_NS;
    if (now_ns < next_ns) {
        return next_ns;
    }
    if (server->waiting != server->queue_told) {
        uint8_t bytes[sizeof server->waiting];
        skua__writer writer = skua__writer_of(bytes, sizeof bytes);
        skua__write_u32(&writer, server->waiting);
        /* For show: a record that is full changes nothing for tasks. */
        (void)!skua_node_set_capability(server->pool->node, "queue", bytes, writer.used, NULL);
        server->queue_told = server->waiting;
    }
    server->queue_told_ns = now_ns;
    return now_ns + QUEUE_TELL_NS;
}

/* ---- Opening, draining, closing ---- */

/* The receiving thread holds the handle, as a runner does: see the head of this file. */
static skua_status
start_receiving(skua__server *server, skua_error *err) {
    skua__handle_lock(&server->handle);
    skua__handle_hold_locked(&server->handle);
    skua__handle_unlock(&server->handle);
    skua_status status =
        skua__thread_start(&server->thread, "skua-serve", skua__server_receive, server, err);
    server->thread_started = !status;
    if (status) {
        skua__handle_drop_hold(&server->handle);
    }
    return status;
}

skua_status
skua__server_open(skua_pool *pool, skua_error *err) {
    skua__server *server = skua__mem_new(pool->hook, sizeof *server);
    if (!server) {
        return SKUA_FAIL_MEMORY(err, "the pool's service");
    }
    server->pool = pool;
    server->renew_ns = SKUA_NEVER_NS;
    for (int i = 0; i < SKUA__POOL_PRIORITIES; i++) {
        skua__list_init(&server->queue[i]);
    }
    skua__list_init(&server->running);
    skua__list_init(&server->stages);
    pool->server = server;
    server->inlines =
        skua__mem_new_array(pool->hook, SKUA__SERVE_INLINE_AT_ONCE, sizeof *server->inlines);
    if (!server->inlines || skua__server_make_runners(server)) {
        return SKUA_FAIL_MEMORY(err, "the pool's service");
    }
    skua__handle_options options = {.allocator = pool->hook, .version = SKUA__TASK_PROTOCOL};
    skua_status status =
        skua__handle_open(&server->handle, pool->node, "pool", &skua__server_ops, &options, err);
    if (status) {
        return status;
    }
    server->open = true;
    status = skua__node_control_receive(pool->node, SKUA__CONTROL_POOL, skua__server_control,
                                        server, err);
    server->receiving = !status;
    if (!status) {
        status = start_receiving(server, err);
    }
    if (!status) {
        publish_machine(pool);
    }
    return status;
}

/* Gives back what waits. */
static void
hand_back_all(skua__server *server) {
    for (int i = 0; i < SKUA__POOL_PRIORITIES; i++) {
        for (skua__list *node; (node = skua__list_pop_front(&server->queue[i])) != NULL;) {
            skua__served *task = SKUA_CONTAINER_OF(node, skua__served, link);
            skua__stage *stage = skua__stage_of(server, task->link_id);
            server->waiting--;
            server->waiting_bytes -= task->call.input_bytes;
            if (stage) {
                skua__stage_back(server, stage, task->id, task->epoch, SKUA__TASK_HANDED_BACK);
            }
            skua__served_free(server, task);
        }
    }
    SKUA_LIST_EACH(node, &server->stages) {
        skua__stage_send(server, SKUA_CONTAINER_OF(node, skua__stage, node));
    }
}

void
skua__server_moved_locked(skua__server *server) {
    if (server->state != SKUA__SERVE_TAKES) {
        skua__handle_wake_locked(&server->handle);
    }
}

/* Nothing of a peer's is in a function here, or will be. Only while nothing is taken. */
static bool
is_quiet(const skua__server *server) {
    assert(server->state != SKUA__SERVE_TAKES);
    return server->waiting == 0 && server->runners_active == 0 && server->forwarded == 0 &&
           server->inline_count == 0;
}

/* To the next state; what waits goes back. */
static void
stop_taking(skua__server *server, skua__serve_state state) {
    if (server->state < state) {
        server->state = state;
    }
    skua__handle_hello_again_locked(&server->handle);
    hand_back_all(server);
}

bool
skua__server_drain(skua_pool *pool, int64_t deadline_ns) {
    skua__server *server = pool->server;
    if (!server) {
        return true;
    }
    skua__server_lock(server);
    stop_taking(server, SKUA__SERVE_DRAINS);
    bool quiet;
    while (!(quiet = is_quiet(server)) && skua__clock_ns() < deadline_ns) {
        (void)!skua__handle_wait_locked(&server->handle, deadline_ns);
    }
    skua__handle_leave(&server->handle);
    publish_names(pool, false);
    return quiet;
}

/* Asks the functions that run to give up. */
static void
cancel_running(skua__server *server) {
    SKUA_LIST_EACH(node, &server->running) {
        skua__served *task = SKUA_CONTAINER_OF(node, skua__served, link);
        task->closing_cancelled = true;
        skua__served_cancel(task);
    }
    for (uint32_t i = 0; i < server->inline_count; i++) {
        /* relaxed: as above */
        atomic_store_explicit(&server->inlines[i].call.cancelled, true, memory_order_relaxed);
    }
}

/* ---- The last words ---- */

/* Whether a submitter may still send tasks, or has not confirmed its results. */
static bool
has_more(const skua__stage *stage) {
    return !stage->nothing_follows || stage->entries || skua__link_load_msgs(stage->link) > 0;
}

static bool
any_has_more(const skua__server *server) {
    SKUA_LIST_EACH(node, &server->stages) {
        if (has_more(SKUA_CONTAINER_OF(node, skua__stage, node))) {
            return true;
        }
    }
    return false;
}

/*
 * Notes who was heard since the last look, and lets go of who was silent for too long. Each look adds at most LOOK_NS to a
 * silence: when the machine keeps us from running, it keeps our peers from answering too.
 */
static void
look_for_silence(skua__server *server, int64_t passed_ns) {
    SKUA_LIST_EACH(node, &server->stages) {
        skua__stage *stage = SKUA_CONTAINER_OF(node, skua__stage, node);
        uint64_t heard = skua__link_heard(stage->link);
        if (heard != stage->heard) {
            stage->heard = heard;
            stage->silent_ns = 0;
            continue;
        }
        stage->silent_ns += passed_ns < LOOK_NS ? passed_ns : LOOK_NS;
        if (stage->silent_ns >= SILENCE_NS) {
            skua__link_disconnect(stage->link); /* the stage is gone */
        } else {
            skua__link_ping(stage->link);
        }
    }
}

/*
 * Tasks may still be on their way here: they are handed back as they come, until each submitter has said its last and
 * confirmed ours. One that does not answer does not hold us up.
 */
static void
await_last_words(skua__server *server) {
    int64_t last_ns = skua__clock_ns(), until_ns = last_ns + LAST_WORDS_NS;
    skua__server_lock(server);
    while (any_has_more(server) && last_ns < until_ns) {
        int64_t next_ns = last_ns + LOOK_NS;
        while (skua__clock_ns() < next_ns && any_has_more(server)) {
            (void)!skua__handle_wait_locked(&server->handle, next_ns);
        }
        int64_t now_ns = skua__clock_ns();
        look_for_silence(server, now_ns - last_ns);
        last_ns = now_ns;
    }
    skua__handle_leave(&server->handle);
}

void
skua__server_close(skua_pool *pool) {
    skua__server *server = pool->server;
    if (!server) {
        return;
    }
    if (server->receiving) {
        (void)!skua__node_control_receive(pool->node, SKUA__CONTROL_POOL, NULL, NULL, NULL);
    }
    if (server->open) {
        skua__server_lock(server);
        stop_taking(server, SKUA__SERVE_CLOSES);
        cancel_running(server);
        skua__handle_leave(&server->handle);
        (void)skua__server_drain(pool, SKUA_NEVER_NS);
        await_last_words(server);
        skua__handle_close(&server->handle, 0);
        if (server->thread_started) {
            skua__thread_join(server->thread);
        }
        if (server->queue_told) { /* the node may live on */
            (void)!skua_node_set_capability(pool->node, "queue", NULL, 0, NULL);
        }
        skua__handle_fini(&server->handle);
    }
    skua__mem_free(pool->hook, server->inlines);
    skua__mem_free(pool->hook, server->runners);
    pool->server = skua__mem_free(pool->hook, server);
}
