// SPDX-License-Identifier: MPL-2.0
// Peers' pools as sites: one link per peer that offers tasks. Requests leave in batches as credit allows, results come
// in batches, and a link that goes down gives up what its peer held.
#include <skua-int/handle.h>
#include <skua-int/pool_int.h>
#include <skua/msg.h>

#include <string.h>

/*
 * Locks: the handle's is taken first, the pool's inside it. Ops run with the handle's lock held; what they cannot do
 * there (calls of user code, cancels over the control link) they leave to the service thread.
 */

enum {
    BATCH_BYTES = 64 * 1024, /* a batch of requests is closed when it is this big */
    BATCHES_QUICK = 4,       /* a small batch is sent at once while fewer are unconfirmed */
    CANCELS_AT_ONCE = (SKUA__TASK_CONTROL_BYTES - SKUA__TASK_BATCH_HEAD_BYTES) / 16,
    HELLOS_KEPT = 64, /* of links that are not up yet */
};

/* What a peer offers, heard before its link was up. */
typedef struct early_hello {
    skua__list link;
    uint64_t link_id;
    size_t size;
    uint8_t bytes[];
} early_hello;

#define SILENCE_NS                                                                                 \
    (150 * SKUA_NS_PER_MS) /* who does not answer so long when we close is taken for dead */

struct skua__remote {
    skua__handle handle;
    skua_pool *pool;
    skua__list hellos; /* guarded by the handle's lock, as the next three */
    uint32_t hello_count;
    int64_t asked_ns; /* when skua__remote_ask() asked who lives; 0: it did not */
};

static skua__remote *
remote_of(skua__handle *handle) {
    return SKUA_CONTAINER_OF(handle, skua__remote, handle);
}

/* ---- What peers offer ---- */

/* Reads a list of offers; with a site it is put in place of what the site offered before. */
static bool
read_offers(skua_pool *pool, skua__site *site, const uint8_t *bytes, size_t size) {
    skua__reader reader = skua__reader_of(bytes, size);
    skua__task_head head;
    if (!skua__task_payload_ok(bytes, size) || !skua__task_read_head(&reader, &head) ||
        head.frame != SKUA__TASK_OFFER) {
        return false;
    }
    if (site) {
        skua__kinds_forget_site_locked(pool, site);
        site->workers = head.workers ? head.workers : 1;
        site->task_names = head.entries;
    }
    for (uint16_t i = 0; i < head.entries; i++) {
        skua__task_offer offer;
        if (!skua__task_read_offer(&reader, &offer)) {
            return false;
        }
        if (site) {
            /* No memory: this one is not used here, which is as if the peer did not offer it. */
            (void)skua__kind_set_offered_locked(pool, offer.name, offer.version, site);
        }
    }
    return reader.left == 0;
}

static void
offers_changed_locked(skua_pool *pool) {
    int64_t now_ns = skua__clock_ns();
    skua__lanes_review_locked(pool, now_ns);
    skua__dispatch_locked(pool, now_ns);
    skua__timer_wake_locked(pool, now_ns);
    skua__pool_changed_locked(pool);
}

static void
drop_hello(skua__remote *remote, early_hello *hello) {
    skua__list_remove(&hello->link);
    remote->hello_count--;
    skua__mem_free(remote->pool->hook, hello);
}

static early_hello *
find_hello(skua__remote *remote, uint64_t link_id) {
    SKUA_LIST_EACH(node, &remote->hellos) {
        early_hello *hello = SKUA_CONTAINER_OF(node, early_hello, link);
        if (hello->link_id == link_id) {
            return hello;
        }
    }
    return NULL;
}

static bool
keep_hello(skua__remote *remote, uint64_t link_id, const uint8_t *bytes, size_t size) {
    early_hello *hello = find_hello(remote, link_id);
    if (hello) {
        drop_hello(remote, hello);
    } else if (remote->hello_count == HELLOS_KEPT) {
        drop_hello(remote, SKUA_CONTAINER_OF(remote->hellos.next, early_hello, link));
    }
    hello = skua__mem_new(remote->pool->hook, sizeof *hello + size);
    if (!hello) {
        return false;
    }
    hello->link_id = link_id;
    hello->size = size;
    memcpy(hello->bytes, bytes, size);
    skua__list_push_back(&remote->hellos, &hello->link);
    remote->hello_count++;
    return true;
}

/* The peer offers nothing any more: tells it that nothing follows what was sent before, so that it may go. */
static void
send_barrier(skua_pool *pool, skua__link *link) {
    uint8_t bytes[SKUA__TASK_BATCH_HEAD_BYTES];
    void *room = NULL;
    skua__writer writer = skua__writer_of(bytes, sizeof bytes);
    skua__task_write_head(&writer, &(skua__task_head){.frame = SKUA__TASK_REQUESTS});
    skua_msg *msg = skua_msg_new(pool->hook);
    if (msg && !skua_msg_append_room(msg, sizeof bytes, &room)) {
        memcpy(room, bytes, sizeof bytes);
        (void)!skua__link_send(link, NULL, 0, msg,
                               false); /* no memory: the peer waits a moment in vain */
        skua__link_flush(link);
    }
    skua_msg_free(msg);
}

static bool
on_peer_hello(skua__handle *handle, skua__link *link, const uint8_t *bytes, size_t size) {
    skua__remote *remote = remote_of(handle);
    skua_pool *pool = remote->pool;
    if (!read_offers(pool, NULL, bytes, size)) {
        return false;
    }
    skua__site *site = skua__link_user(link);
    bool leaves = size == SKUA__TASK_BATCH_HEAD_BYTES; /* a list of nothing */
    if (leaves) {
        send_barrier(pool, link);
    }
    if (!site) {
        return keep_hello(remote, skua__link_id(link), bytes, size);
    }
    skua__mutex_lock(&pool->lock);
    read_offers(pool, site, bytes, size);
    if (leaves) {
        skua__site_take_back_locked(pool, site);
    }
    offers_changed_locked(pool);
    skua__mutex_unlock(&pool->lock);
    return true;
}

static void
on_link_up(skua__handle *handle, skua__link *link) {
    skua__remote *remote = remote_of(handle);
    skua_pool *pool = remote->pool;
    const skua__identity *peer = skua__link_peer(link);
    early_hello *hello = find_hello(remote, skua__link_id(link));
    bool ourselves = pool->serves && skua__uuid_equal(&peer->node, skua__node_uuid(pool->node));
    skua__mutex_lock(&pool->lock);
    /* What our own node offers is our own executor's: it is not reached by a link. */
    skua__site *site =
        ourselves || !hello
            ? NULL
            : skua__site_get_locked(pool, SKUA_BACKEND_REMOTE, peer->name, peer->name, &peer->node);
    if (site) {
        site->link = link;
        skua__link_set_user(link, site);
        read_offers(pool, site, hello->bytes, hello->size);
        offers_changed_locked(pool);
    }
    skua__mutex_unlock(&pool->lock);
    if (hello) {
        drop_hello(remote, hello);
    }
}

static void
on_link_down(skua__handle *handle, skua__link *link, skua__down_reason reason) {
    skua__site *site = skua__link_user(link);
    if (site) {
        skua_pool *pool = remote_of(handle)->pool;
        skua__link_set_user(link, NULL);
        skua__mutex_lock(&pool->lock);
        skua__site_down_locked(pool, site,
                               reason == SKUA__DOWN_PEER_LOST || reason == SKUA__DOWN_RESTARTED);
        skua__cond_signal(&pool->service_wake); /* it settles what this brought about */
        skua__mutex_unlock(&pool->lock);
    }
}

/* ---- Requests ---- */

static size_t
entry_bytes(const skua_pool_future *task) {
    return SKUA__TASK_REQUEST_HEAD_BYTES + strlen(task->lane->kind->key) + task->input_bytes;
}

/* How many tasks of the outbox go into one message: at least one, and its size. */
static uint16_t
measure_batch(const skua__site *site, size_t *ret_bytes) {
    size_t bytes = SKUA__TASK_BATCH_HEAD_BYTES;
    uint16_t count = 0;
    SKUA_LIST_EACH(node, &site->outbox) {
        size_t entry = entry_bytes(SKUA_CONTAINER_OF(node, skua_pool_future, link));
        if (count && (bytes + entry > BATCH_BYTES || count == SKUA__TASK_MAX_BATCH)) {
            break;
        }
        bytes += entry;
        count++;
    }
    *ret_bytes = bytes;
    return count;
}

static void
write_entry(skua__writer *writer, const skua_pool_future *task, int64_t now_ns) {
    const skua__kind *kind = task->lane->kind;
    int64_t left_ns = task->lease.deadline_ns - now_ns;
    skua__task_request request = {
        .id = skua__task_word(task),
        .epoch = task->lease.epoch,
        .left_us = task->lease.deadline_ns == SKUA_NEVER_NS ? SKUA__TASK_NO_DEADLINE
                   : left_ns <= 0                           ? 0
                                  : (uint64_t)((left_ns + SKUA_NS_PER_US - 1) / SKUA_NS_PER_US),
        .attempt = task->lease.attempts,
        .version = kind->version,
        .priority = task->priority,
        .name = kind->key,
        .name_bytes = (uint8_t)strlen(kind->key),
        .input_bytes = (uint32_t)task->input_bytes,
    };
    skua__task_write_request(writer, &request);
    skua__write_bytes(writer, task->input, task->input_bytes);
}

/* The message left: its tasks are held by the peer, and their leases run. */
static void
move_to_held(skua_pool *pool, skua__site *site, uint16_t count, int64_t now_ns) {
    int64_t expires_ns = now_ns + pool->options.lease_ms * SKUA_NS_PER_MS;
    while (count--) {
        skua_pool_future *task =
            SKUA_CONTAINER_OF(skua__list_pop_front(&site->outbox), skua_pool_future, link);
        site->outbox_bytes -= task->input_bytes;
        site->sent_bytes += task->input_bytes;
        task->sent = true;
        skua__task_event_locked(pool, task,
                                &(skua__lease_event){.kind = SKUA__LEASE_RENEW,
                                                     .epoch = task->lease.epoch,
                                                     .expires_ns = expires_ns},
                                now_ns);
        skua__list_push_back(&site->held, &task->link);
    }
    if (pool->sweep_ns == SKUA_NEVER_NS) {
        pool->sweep_ns = expires_ns;
        skua__timer_wake_locked(pool, expires_ns);
    }
}

/* Sends one batch. Returns false when there is no memory for it. */
static bool
send_batch(skua_pool *pool, skua__site *site, int64_t now_ns) {
    size_t bytes;
    uint16_t count = measure_batch(site, &bytes);
    void *room = NULL;
    skua_msg *msg = skua_msg_new(pool->hook);
    if (!msg || skua_msg_append_room(msg, bytes, &room)) {
        skua_msg_free(msg);
        return false;
    }
    skua__writer writer = skua__writer_of(room, bytes);
    skua__task_head head = {.frame = SKUA__TASK_REQUESTS,
                            .entries = count,
                            .workers = (uint32_t)pool->options.lease_ms};
    skua__task_write_head(&writer, &head);
    uint16_t left = count;
    SKUA_LIST_EACH(node, &site->outbox) {
        if (left-- == 0) {
            break;
        }
        write_entry(&writer, SKUA_CONTAINER_OF(node, skua_pool_future, link), now_ns);
    }
    assert(!writer.failed && writer.used == bytes);
    skua_status status = skua__link_send(site->link, NULL, 0, msg, false);
    skua_msg_free(msg);
    if (status) {
        return false;
    }
    move_to_held(pool, site, count, now_ns);
    return true;
}

/* Sends what the outbox holds while the peer has room; small batches wait for company while others are on their way. */
static void
flush_site(skua_pool *pool, skua__site *site, int64_t now_ns) {
    while (!skua__list_empty(&site->outbox) && skua__link_room(site->link)) {
        if (skua__link_load_msgs(site->link) >= BATCHES_QUICK) {
            size_t bytes;
            measure_batch(site, &bytes);
            if (bytes < BATCH_BYTES / 2) {
                return; /* an acknowledgement will bring us back here */
            }
        }
        if (!send_batch(pool, site, now_ns)) {
            skua__dispatch_again_locked(pool, now_ns + SKUA__POOL_RETRY_NS);
            return;
        }
    }
}

static void
flush_all(skua_pool *pool) {
    skua__mutex_lock(&pool->lock);
    pool->dirty_outboxes = false;
    int64_t now_ns = skua__clock_ns();
    for (uint32_t i = 0; i < pool->site_count; i++) {
        skua__site *site = pool->sites[i];
        if (site->link && !skua__list_empty(&site->outbox)) {
            flush_site(pool, site, now_ns);
        }
    }
    skua__mutex_unlock(&pool->lock);
}

void
skua__remote_flush(skua_pool *pool) {
    if (pool->remote && !skua__handle_enter(&pool->remote->handle, NULL)) {
        flush_all(pool);
        skua__handle_leave(&pool->remote->handle);
    }
}

/* At the end of each pump: what became possible is sent, and what cannot be done here is handed on. */
static void
on_progress(skua__handle *handle) {
    skua_pool *pool = remote_of(handle)->pool;
    flush_all(pool);
    skua__mutex_lock(&pool->lock);
    bool wake = pool->wake_remote;
    pool->wake_remote = false;
    if (skua__pool_has_notes_locked(pool)) {
        skua__cond_signal(&pool->service_wake);
    }
    skua__mutex_unlock(&pool->lock);
    if (wake) {
        skua__handle_wake_locked(handle);
    }
}

/* ---- Results ---- */

/* Copies output and message into the task. Returns false when there is no memory. */
static bool
take_output(skua_pool_future *task, const skua__task_result *result, int64_t run_ns) {
    void *output = task->call.small;
    char *message = NULL;
    if (result->output_bytes > sizeof task->call.small) {
        output = skua__mem_copy(task->hook, result->output, result->output_bytes);
    } else {
        memcpy(output, result->output, result->output_bytes);
    }
    if (output && result->message_bytes) {
        message = skua__mem_new(task->hook, (size_t)result->message_bytes + 1);
        if (!message && output != task->call.small) {
            skua__mem_free(task->hook, output);
        }
        if (!message) {
            return false;
        }
        memcpy(message, result->message, result->message_bytes);
    }
    if (!output) {
        return false;
    }
    skua__task_set_output_locked(task, output, result->output_bytes, message, result->code, run_ns);
    return true;
}

static void
learn(skua_pool *pool, skua__site *site, const skua_pool_future *task,
      const skua__task_result *result, int64_t run_ns, int64_t now_ns) {
    skua__kind *kind = task->lane->kind;
    site->tasks++;
    site->received_bytes += result->output_bytes;
    if (result->status != SKUA__LEASE_OK && result->status != SKUA__LEASE_EXIT) {
        return;
    }
    site->busy_ns += (uint64_t)run_ns;
    pool->count.application_failures += result->status == SKUA__LEASE_EXIT;
    skua__cost_learn_run(&kind->offers[site->index].cost, run_ns);
    skua__cost_learn_run(&kind->cost, run_ns);
    if (task->launch && result->status == SKUA__LEASE_OK) {
        skua__launch_learn_locked(pool, task, site, &(skua__launch_times){.run_ns = run_ns});
    }
    skua__cost_learn_way(&site->way, now_ns - task->grant_ns, run_ns,
                         task->input_bytes + result->output_bytes, task->alone);
}

static void
on_handed_back(skua_pool *pool, skua__site *site, skua_pool_future *task,
               const skua__task_result *result, int64_t now_ns) {
    site->retries++;
    pool->count.handed_back++;
    if (result->status == SKUA__TASK_NOT_OFFERED) {
        skua__kind *kind = task->lane->kind;
        skua__offer *offer = &kind->offers[site->index];
        kind->offered -= offer->offered;
        offer->offered = false;
        skua__lanes_review_locked(pool, now_ns);
    } else {
        site->refused_ns = now_ns + SKUA__POOL_RETRY_NS;
        skua__dispatch_again_locked(pool, site->refused_ns);
    }
    skua__lease_event event = {.kind = SKUA__LEASE_HAND_BACK, .epoch = result->epoch};
    skua__task_event_locked(pool, task, &event, now_ns);
}

static void
on_result(skua_pool *pool, skua__site *site, const skua__task_result *result, int64_t now_ns) {
    skua_pool_future *task = skua__task_of_word_locked(pool, result->id);
    if (!task || task->lease.state != SKUA__LEASE_HELD || task->lease.epoch != result->epoch ||
        task->site != site) {
        skua__pool_fenced_locked(pool);
        return;
    }
    if (result->status >= SKUA__TASK_HANDED_BACK) {
        on_handed_back(pool, site, task, result, now_ns);
        return;
    }
    skua__lease_event event = {
        .kind = SKUA__LEASE_RESULT, .epoch = result->epoch, .outcome = result->status};
    int64_t run_ns = skua__cost_believed_ns(result->run_ns, now_ns - task->grant_ns);
    if (!take_output(task, result, run_ns)) {
        event.outcome = SKUA__LEASE_LOST; /* it ran, but there is no memory for what it brought */
    }
    learn(pool, site, task, result, run_ns, now_ns);
    skua__task_event_locked(pool, task, &event, now_ns);
}

static void
on_renewed(skua_pool *pool, const skua__task_lease_ref *ref, int64_t now_ns) {
    skua_pool_future *task = skua__task_of_word_locked(pool, ref->id);
    if (task) {
        int64_t expires_ns = now_ns + pool->options.lease_ms * SKUA_NS_PER_MS;
        skua__lease_event event = {
            .kind = SKUA__LEASE_RENEW, .epoch = ref->epoch, .expires_ns = expires_ns};
        skua__task_event_locked(pool, task, &event, now_ns);
    }
}

static bool
read_frame(skua_pool *pool, skua__site *site, const void *bytes, size_t size, int64_t now_ns) {
    skua__reader reader = skua__reader_of(bytes, size);
    skua__task_head head;
    if (!skua__task_payload_ok(bytes, size) || !skua__task_read_head(&reader, &head)) {
        return false;
    }
    for (uint16_t i = 0; i < head.entries; i++) {
        skua__task_result result;
        skua__task_lease_ref ref;
        if (head.frame == SKUA__TASK_RESULTS && skua__task_read_result(&reader, &result)) {
            on_result(pool, site, &result, now_ns);
        } else if (head.frame == SKUA__TASK_RENEW && skua__task_read_lease_ref(&reader, &ref)) {
            on_renewed(pool, &ref, now_ns);
        } else {
            return false;
        }
    }
    uint32_t load = head.waiting + head.running;
    site->others = load > site->in_flight ? load - site->in_flight : 0;
    return reader.left == 0;
}

static void
on_deliver(skua__handle *handle, skua__link *link, skua__incoming *in) {
    skua_pool *pool = remote_of(handle)->pool;
    skua__site *site = skua__link_user(link);
    if (!site) {
        return;
    }
    int64_t now_ns = skua__clock_ns();
    skua__mutex_lock(&pool->lock);
    if (skua_msg_frames(in->msg) != 1 ||
        !read_frame(pool, site, skua_msg_data(in->msg, 0), skua_msg_size(in->msg, 0), now_ns)) {
        pool->count.dropped_malformed++;
    }
    skua__dispatch_locked(pool, now_ns);
    skua__mutex_unlock(&pool->lock);
}

static size_t
make_hello(skua__handle *handle, uint8_t *ret, size_t size) {
    (void)handle, (void)ret, (void)size;
    return 0; /* a submitter offers nothing on this link */
}

/* No user sees the handle's descriptor. */
static bool
is_readable(skua__handle *handle) {
    (void)handle;
    return false;
}

static const skua__pattern_ops remote_ops = {
    .name = "pool",
    .kind = SKUA__SERVICE_TASK,
    .provider = false,
    .own_role = SKUA__ROLE_SUBMIT,
    .lazy_ack = true,
    .outlives_node = true,
    .make_hello = make_hello,
    .peer_hello = on_peer_hello,
    .link_up = on_link_up,
    .link_down = on_link_down,
    .deliver = on_deliver,
    .progress = on_progress,
    .readable = is_readable,
};

/* ---- Cancels: over the control link, so that they never wait behind bulk ---- */

/* Takes as many of a site's cancels as go into one message. Returns its size; 0 when there are none. */
static size_t
write_cancels(skua_pool *pool, skua__site *site, uint8_t *ret, size_t size) {
    skua__writer writer = skua__writer_of(ret, size);
    skua__task_head head = {.frame = SKUA__TASK_CANCEL};
    skua__task_write_head(&writer, &head);
    for (skua__list *node;
         head.entries < CANCELS_AT_ONCE && (node = skua__list_pop_front(&site->cancels)) != NULL;) {
        skua__cancel *cancel = SKUA_CONTAINER_OF(node, skua__cancel, link);
        skua__task_write_lease_ref(&writer, &cancel->ref);
        skua__mem_free(pool->hook, cancel);
        head.entries++;
    }
    assert(!writer.failed);
    skua__writer again = skua__writer_of(ret, size);
    skua__task_write_head(&again, &head);
    return head.entries ? writer.used : 0;
}

void
skua__remote_cancels(skua_pool *pool) {
    uint32_t count = 1;
    for (uint32_t i = 0; i < count;) {
        uint8_t bytes[SKUA__TASK_CONTROL_BYTES];
        skua__uuid peer;
        skua__mutex_lock(&pool->lock);
        count = pool->site_count;
        size_t size = 0;
        if (i < count) {
            peer = pool->sites[i]->uuid;
            size = write_cancels(pool, pool->sites[i], bytes, sizeof bytes);
        }
        skua__mutex_unlock(&pool->lock);
        if (size) {
            /* A peer that cannot be told runs them in vain; their results are fenced. */
            (void)skua__node_control_send(pool->node, &peer, SKUA__CONTROL_POOL, bytes, size);
        } else {
            i++;
        }
    }
}

/* ---- Waiting ---- */

void
skua__remote_wake(skua_pool *pool) {
    /* Also on a node that was closed first: somebody may wait for what runs here. */
    if (pool->remote) {
        skua__handle_lock(&pool->remote->handle);
        skua__handle_wake_locked(&pool->remote->handle);
        skua__handle_unlock(&pool->remote->handle);
    }
}

bool
skua__remote_await(skua_pool *pool, uint32_t *count, bool (*ready)(skua_pool *pool, void *arg),
                   void *arg, int64_t deadline_ns) {
    skua__handle *handle = &pool->remote->handle;
    skua__handle_lock(handle);
    skua__handle_call_locked(handle);
    skua__mutex_lock(&pool->lock);
    ++*count;
    bool is_ready;
    while (!(is_ready = ready(pool, arg)) && !skua__handle_is_closing_locked(handle) &&
           skua__clock_ns() < deadline_ns) {
        /* Who makes it ready sees *count and wakes us; the handle's lock is held until we wait. */
        skua__mutex_unlock(&pool->lock);
        (void)!skua__handle_wait_locked(handle, deadline_ns);
        skua__mutex_lock(&pool->lock);
    }
    --*count;
    skua__mutex_unlock(&pool->lock);
    skua__handle_leave(handle);
    return is_ready;
}

/* ---- Opening and closing ---- */

skua_status
skua__remote_open(skua_pool *pool, skua_error *err) {
    skua__remote *remote = skua__mem_new(pool->hook, sizeof *remote);
    if (!remote) {
        return SKUA_FAIL_MEMORY(err, "the links to peers' pools");
    }
    remote->pool = pool;
    skua__list_init(&remote->hellos);
    skua__handle_options options = {.allocator = pool->hook};
    skua_status status =
        skua__handle_open(&remote->handle, pool->node, "pool", &remote_ops, &options, err);
    if (status) {
        skua__mem_free(pool->hook, remote);
        return status;
    }
    skua__mutex_lock(&pool->lock);
    pool->remote = remote;
    skua__mutex_unlock(&pool->lock);
    return SKUA_OK;
}

void
skua__remote_ask(skua_pool *pool) {
    skua__remote *remote = pool->remote;
    if (!remote) {
        return;
    }
    skua__handle *handle = &remote->handle;
    skua__handle_lock(handle);
    skua__handle_call_locked(handle);
    (void)skua__handle_pump_locked(handle); /* what came before does not count */
    remote->asked_ns = skua__clock_ns();
    for (skua__link *link = NULL; (link = skua__handle_next_link_locked(handle, link)) != NULL;) {
        skua__site *site = skua__link_user(link);
        if (site) {
            site->heard = skua__link_heard(link);
            skua__link_ping(link);
        }
    }
    skua__handle_leave(handle);
}

/* Peers that have let us wait long enough for an answer are not waited for once more. */
static void
leave_the_silent(skua__remote *remote) {
    skua__handle *handle = &remote->handle;
    skua__handle_lock(handle);
    skua__handle_call_locked(handle);
    (void)skua__handle_pump_locked(handle); /* answers may lie here */
    bool long_ago = remote->asked_ns && skua__clock_ns() - remote->asked_ns >= SILENCE_NS;
    for (skua__link *link = skua__handle_next_link_locked(handle, NULL); link && long_ago;) {
        skua__link *next = skua__handle_next_link_locked(handle, link);
        const skua__site *site = skua__link_user(link);
        if (site && site->heard == skua__link_heard(link)) {
            skua__link_disconnect(link);
        }
        link = next;
    }
    skua__handle_leave(handle);
}

void
skua__remote_close(skua_pool *pool) {
    skua__remote *remote = pool->remote;
    if (!remote) {
        return;
    }
    leave_the_silent(remote);
    skua__handle_close(&remote->handle,
                       0); /* every task has ended: nothing that is on its way matters */
    skua__handle_fini(&remote->handle);
    SKUA_LIST_EACH(node, &remote->hellos) {
        drop_hello(remote, SKUA_CONTAINER_OF(node, early_hello, link));
    }
    pool->remote = skua__mem_free(pool->hook, remote);
}
