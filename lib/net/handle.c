// SPDX-License-Identifier: MPL-2.0
// Opening, receiving and closing handles, and following the providers of a service. handle_wait.c moves them.
#include "link_priv.h"

#include <errno.h>
#include <skua-int/fail.h>
#include <sodium.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- Opening ---- */

static bool
name_is_good(const char *name) {
    size_t size = name ? strnlen(name, SKUA_NAME_BYTES) : 0;
    if (size == 0 || size >= SKUA_NAME_BYTES || strchr("._-", name[0])) {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == size;
}

static uint32_t
random_session(void) {
    uint32_t session = randombytes_random();
    return session ? session : 1;
}

static skua_status
open_descriptors(struct skua__handle_inner *inner, skua_error *err) {
    inner->epfd = epoll_create1(EPOLL_CLOEXEC);
    inner->user_fd = epoll_create1(EPOLL_CLOEXEC);
    inner->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    inner->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (inner->epfd < 0 || inner->user_fd < 0 || inner->ready_fd < 0 || inner->kick_fd < 0) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_DESCRIPTORS, errno,
                               "cannot open the descriptors of a handle; raise the limit with "
                               "`ulimit -n 4096`");
    }
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(inner->user_fd, EPOLL_CTL_ADD, inner->epfd, &event) != 0 ||
        epoll_ctl(inner->user_fd, EPOLL_CTL_ADD, inner->ready_fd, &event) != 0) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno, "cannot watch a handle's descriptors");
    }
    return SKUA_OK;
}

static void
close_descriptors(struct skua__handle_inner *inner) {
    int fds[] = {inner->epfd, inner->user_fd, inner->ready_fd, inner->kick_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

static struct skua__handle_inner *
new_inner(const skua_allocator *hook) {
    struct skua__handle_inner *inner = skua__mem_new(hook, sizeof *inner);
    if (!inner) {
        return NULL;
    }
    skua__mutex_init(&inner->mutex);
    skua__cond_init(&inner->moved);
    inner->epfd = inner->user_fd = inner->ready_fd = inner->kick_fd = -1;
    inner->session = random_session();
    inner->timer_at_ns = inner->upkeep_at_ns = inner->alarm_ns = inner->leader_at_ns =
        SKUA_NEVER_NS;
    skua__list_init(&inner->ports);
    skua__list_init(&inner->links);
    skua__list_init(&inner->acks);
    skua__list_init(&inner->dead);
    skua__list_init(&inner->queue);
    skua__list_init(&inner->spare);
    skua__hash_init(&inner->by_route, hook);
    skua__hash_init(&inner->by_id, hook);
    return inner;
}

static skua__port *
add_port_locked(skua__handle *handle, skua__port *port) {
    skua__list_push_back(&handle->inner->ports, &port->node);
    handle->inner->port_count++;
    return port;
}

static void
drop_port(skua__handle *handle, skua__port *port) {
    handle->inner->port_count--;
    skua__port_free(handle, port);
}

/* Binds a provider's socket and offers it. */
static skua_status
open_provider(skua__handle *handle, const char *endpoint, skua_error *err) {
    struct skua__handle_inner *inner = handle->inner;
    skua__port *port = skua__port_new(handle);
    if (!port) {
        return SKUA_FAIL_MEMORY(err, "a port");
    }
    uint16_t number = 0;
    skua_status status = port->ops->bind(port, endpoint, &number, err);
    if (status != SKUA_OK) {
        skua__port_free(handle, port);
        return status;
    }
    /* The node's thread may pump already: the handle's source ticks. */
    skua__mutex_lock(&inner->mutex);
    add_port_locked(handle, port);
    skua__mutex_unlock(&inner->mutex);
    status =
        skua__node_offer(handle->node, handle->ops->kind, handle->name, handle->options.version,
                         number, handle->ops->own_role, &inner->offer, err);
    inner->offered = status == SKUA_OK;
    return status;
}

/* ---- Following providers; in the node's thread ---- */

static skua__port *
find_provider(const skua__handle *handle, const skua__provider *provider) {
    SKUA_LIST_EACH(node, &handle->inner->ports) {
        skua__port *port = SKUA_CONTAINER_OF(node, skua__port, node);
        if (port->provider.port == provider->port &&
            port->provider.incarnation == provider->incarnation &&
            skua__uuid_equal(&port->provider.node, &provider->node)) {
            return port;
        }
    }
    return NULL;
}

static void
provider_up(skua__handle *handle, const skua__provider *provider) {
    if (find_provider(handle, provider) || handle->inner->port_count >= SKUA__HANDLE_MAX_LINKS) {
        return;
    }
    skua__port *port = skua__port_new(handle);
    if (!port) {
        skua__node_watch_again(handle->node);
        return;
    }
    port->provider = *provider;
    if (port->ops->dial(port, provider, NULL) != SKUA_OK) {
        skua__port_free(handle, port);
        skua__node_watch_again(handle->node);
        return;
    }
    add_port_locked(handle, port);
    skua__link *link = skua__link_new(handle, port);
    skua__sender *sender = skua__sender_new(handle->hook, &provider->node, provider->name);
    if (!link || !sender) {
        skua__sender_unref(sender);
        if (link) {
            skua__link_down(link, SKUA__DOWN_RESTARTED);
        }
        drop_port(handle, port);
        skua__node_watch_again(handle->node);
        return;
    }
    link->peer = (skua__identity){.node = provider->node, .incarnation = provider->incarnation};
    memcpy(link->peer.name, provider->name, sizeof link->peer.name);
    link->sender = sender;
    link->epoch = ++handle->inner->next_epoch;
    port->link = link;
}

static void
provider_down(skua__handle *handle, const skua__provider *provider) {
    skua__port *port = find_provider(handle, provider);
    if (!port) {
        return;
    }
    /* What has come already counts: last messages, last acknowledgements. */
    bool moved;
    skua__port_drain(port, &moved);
    if (port->link) {
        skua__link_down(port->link, SKUA__DOWN_PEER_LOST);
    }
    drop_port(handle, port);
}

static void
on_provider(void *arg, skua__provider_event event, const skua__provider *provider) {
    skua__handle *handle = arg;
    struct skua__handle_inner *inner = handle->inner;
    skua__mutex_lock(&inner->mutex);
    if (!inner->ending) {
        if (event == SKUA__PROVIDER_UP && !inner->closing) {
            provider_up(handle, provider);
        } else if (event == SKUA__PROVIDER_DOWN) {
            provider_down(handle, provider);
        }
        skua__handle_pump_locked(handle);
        skua__handle_wake_locked(handle);
        /* As a caller would on its way out: descriptor, source, the dead. */
        inner->callers++;
        skua__handle_leave(handle);
        return;
    }
    skua__mutex_unlock(&inner->mutex);
}

/* A consumer that is dead would else be waited for, and hold up who waits for its room. */
static void
on_peer_left(void *arg, const skua__uuid *peer, uint64_t incarnation) {
    skua__handle *handle = arg;
    struct skua__handle_inner *inner = handle->inner;
    skua__mutex_lock(&inner->mutex);
    if (handle->ops->provider && !inner->ending) {
        SKUA_LIST_EACH(node, &inner->links) {
            skua__link *link = SKUA_CONTAINER_OF(node, skua__link, node);
            if (skua__uuid_equal(&link->peer.node, peer) && link->peer.incarnation <= incarnation) {
                skua__link_down(link, SKUA__DOWN_PEER_LOST);
            }
        }
        skua__handle_pump_locked(handle);
    }
    skua__handle_call_locked(handle);
    skua__handle_leave(handle);
}

static void
on_node_closing(void *arg) {
    skua__handle *handle = arg;
    skua__mutex_lock(&handle->inner->mutex);
    handle->inner->node_closed = true;
    skua__handle_wake_locked(handle);
    skua__handle_call_locked(handle);
    skua__handle_leave(handle);
}

static skua_status
listen_to_node(skua__handle *handle, skua_error *err) {
    struct skua__handle_inner *inner = handle->inner;
    inner->listener =
        (skua__node_listener){.left = on_peer_left, .closing = on_node_closing, .arg = handle};
    skua_status status = skua__node_listen(handle->node, &inner->listener, err);
    inner->listens = status == SKUA_OK;
    return status;
}

skua_status
skua__handle_open(skua__handle *handle, skua_node *node, const char *name,
                  const skua__pattern_ops *ops, const skua__handle_options *options,
                  skua_error *err) {
    skua_status status = skua__node_check(node, err);
    if (status != SKUA_OK) {
        return status;
    }
    if (!name_is_good(name)) {
        return SKUA_FAIL(err, SKUA_E_BAD_NAME,
                         "the service's name \"%.80s\" is not allowed; names are 1 to 63 of a-z, "
                         "0-9, '.', '_' and '-', and begin with a letter or digit",
                         name ? name : "");
    }
    handle->ops = ops;
    handle->node = node;
    handle->options = options ? *options : (skua__handle_options){0};
    if (!handle->options.resume_ms) {
        handle->options.resume_ms = SKUA__RESUME_DEFAULT_MS;
    }
    handle->hook = handle->options.allocator ? handle->options.allocator : skua__node_hook(node);
    memcpy(handle->name, name, strlen(name) + 1);
    handle->inner = new_inner(handle->hook);
    if (!handle->inner) {
        return SKUA_FAIL_MEMORY(err, "a handle");
    }
    struct skua__handle_inner *inner = handle->inner;
    skua__node_ref(node);
    if (ops->timer) {
        inner->timer_at_ns = 0; /* asks it at the first pump */
    }
    status = open_descriptors(inner, err);
    if (status == SKUA_OK) {
        status = skua__node_source_new(node, inner->epfd, skua__handle_on_source, handle,
                                       &inner->source, err);
    }
    status = status ? status : listen_to_node(handle, err);
    if (status == SKUA_OK && handle->options.plain.endpoint) {
        skua__mutex_lock(&inner->mutex);
        status = skua__plain_attach(handle, err);
        skua__mutex_unlock(&inner->mutex);
    }
    if (status == SKUA_OK && ops->provider) {
        status = open_provider(handle, handle->options.endpoint, err);
    } else if (status == SKUA_OK && !handle->options.local) {
        status = skua__node_watch(node, ops->kind, handle->name, ops->own_role, on_provider, handle,
                                  &inner->watch, err);
    }
    if (status != SKUA_OK) {
        (void)skua__handle_close(handle, 0);
        skua__handle_fini(handle);
        return status;
    }
    /* From now on somebody pumps, also when nobody calls. */
    skua__mutex_lock(&inner->mutex);
    inner->callers++;
    skua__handle_leave(handle);
    return SKUA_OK;
}

/* ---- Closing ---- */

skua_status
skua__handle_closed(skua__handle *handle, skua_error *err) {
    return SKUA_FAIL(err, SKUA_E_CLOSED, "the %s handle \"%s\" is closed", handle->ops->name,
                     handle->name);
}

/* What is neither confirmed nor dropped, on links and in the pattern. */
static bool
is_drained(skua__handle *handle) {
    return skua__handle_unconfirmed_locked(handle) == 0 &&
           (!handle->ops->busy || !handle->ops->busy(handle));
}

static bool
all_fins_acked(const skua__handle *handle) {
    SKUA_LIST_EACH(node, &handle->inner->links) {
        const skua__link *link = SKUA_CONTAINER_OF(node, skua__link, node);
        if (link->fin_sent && link->connected && !link->fin_acked) {
            return false;
        }
    }
    return true;
}

/* FIN on every link, and a bounded wait for the answers. */
static void
say_fin(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    SKUA_LIST_EACH(node, &inner->links) {
        skua__link *link = SKUA_CONTAINER_OF(node, skua__link, node);
        if (link->connected) {
            skua__link_ack(link);
            link->fin_sent =
                skua__link_control(link, SKUA__FRAME_FIN, 0, link->tx.next_seq, 0, NULL, 0);
        }
    }
    int64_t until_ns = skua__clock_ns() + SKUA__FINACK_NS;
    while (!all_fins_acked(handle) && skua__handle_wait_step(handle, until_ns) != SKUA_E_TIMEOUT) {
        if (skua__clock_ns() >= until_ns) {
            break;
        }
    }
}

/* Waits until nobody is inside, then until all is confirmed or deadline_ns. */
static void
drain_out(skua__handle *handle, int64_t deadline_ns) {
    struct skua__handle_inner *inner = handle->inner;
    while (inner->callers || inner->holds) { /* each was told, and leaves at once */
        skua__handle_wake_locked(handle);
        skua__cond_wait_until(&inner->moved, &inner->mutex, skua__clock_ns() + SKUA__TICK_NS);
    }
    skua__handle_pump_locked(handle);
    skua__handle_flush_all_locked(handle);
    while (!is_drained(handle) && skua__clock_ns() < deadline_ns) {
        (void)skua__handle_wait_step(handle, deadline_ns);
    }
}

uint64_t
skua__handle_close(skua__handle *handle, int64_t deadline_ns) {
    struct skua__handle_inner *inner = handle->inner;
    if (!inner || skua__node_check(handle->node, NULL) == SKUA_E_FORKED) {
        return 0; /* the child of a fork() owns none of it */
    }
    skua__mutex_lock(&inner->mutex);
    inner->closing = true;
    drain_out(handle, deadline_ns);
    say_fin(handle);
    inner->ending = true;
    SKUA_LIST_EACH(node, &inner->links) {
        skua__link_down(SKUA_CONTAINER_OF(node, skua__link, node), SKUA__DOWN_CLOSING);
    }
    skua__mutex_unlock(&inner->mutex);
    /* These wait for callbacks, which take the lock. */
    if (inner->offered) {
        skua__node_withdraw(handle->node, inner->offer);
    }
    if (inner->listens) {
        skua__node_unlisten(handle->node, &inner->listener);
    }
    inner->watch = skua__node_unwatch(handle->node, inner->watch);
    inner->source = skua__node_source_free(inner->source);
    return inner->past.dropped[SKUA__DROP_CLOSED];
}

void
skua__handle_fini(skua__handle *handle) {
    struct skua__handle_inner *inner = handle->inner;
    if (!inner || skua__node_check(handle->node, NULL) == SKUA_E_FORKED) {
        return;
    }
    skua__list *node;
    while ((node = inner->queue.next) != &inner->queue) {
        skua__rx_unit_free(handle, SKUA_CONTAINER_OF(node, skua__rx_unit, node));
    }
    skua_msg *msg;
    while ((msg = skua__plain_pop(handle)) != NULL) {
        skua_msg_free(msg);
    }
    while ((node = inner->ports.next) != &inner->ports) {
        skua__port_free(handle, SKUA_CONTAINER_OF(node, skua__port, node));
    }
    inner->plain = skua__plain_close(inner->plain);
    skua__link_bury(handle);
    while ((node = skua__list_pop_front(&inner->spare)) != NULL) {
        skua__mem_free(handle->hook, SKUA_CONTAINER_OF(node, skua__rx_unit, node));
    }
    skua__hash_fini(&inner->by_route);
    skua__hash_fini(&inner->by_id);
    close_descriptors(inner);
    skua__cond_fini(&inner->moved);
    skua__mutex_fini(&inner->mutex);
    handle->inner = skua__mem_free(handle->hook, inner);
    skua__node_unref(handle->node); /* the sockets are closed */
}

/* ---- Receiving ---- */

/* Makes the message of one record of the unit at the queue's head. */
static skua_status
make_message(skua__handle *handle, skua__rx_unit *unit, const skua__link_record *record,
             uint64_t seq, skua_msg **ret_msg) {
    bool simple = !(record->flags & SKUA__FLAG_HEAD);
    skua_status status = unit->block ? skua__msg_from_block(unit->block, record->body_offset,
                                                            record->body_size, simple, ret_msg)
                                     : skua__msg_from_zmq(handle->hook, &unit->zmq,
                                                          record->body_offset, simple, ret_msg);
    if (status == SKUA_OK) {
        bool redelivered = record->flags & SKUA__FLAG_REDELIVERED;
        handle->inner->counters.redelivered_msgs += redelivered;
        skua__msg_set_redelivered(*ret_msg, redelivered);
        skua__msg_set_sender(*ret_msg, unit->link->sender);
        skua__msg_set_gap(*ret_msg, unit->gap);
        skua__msg_set_word(*ret_msg, unit->link->id << SKUA__ID_SEQ_BITS | seq);
        unit->gap = 0;
    }
    return status;
}

/* The unit's last message is taken. */
static void
finish_unit(skua__handle *handle, skua__rx_unit *unit) {
    skua__link *link = unit->link;
    link->queued_bytes -= unit->bytes;
    if (!link->gone) {
        skua__grant_on_pop(&link->grant, skua__clock_ns() - unit->received_ns);
    }
    skua__rx_unit_free(handle, unit);
}

/* Takes the oldest message. Returns 0, SKUA_E_AGAIN when there is none, SKUA_E_NO_MEMORY. */
static skua_status
pop(skua__handle *handle, skua_msg **ret_msg, uint64_t *ret_id) {
    struct skua__handle_inner *inner = handle->inner;
    while (!skua__list_empty(&inner->queue)) { /* each turn takes one message off */
        skua__rx_unit *unit = SKUA_CONTAINER_OF(inner->queue.next, skua__rx_unit, node);
        skua__link *link = unit->link;
        skua__records before = unit->records;
        skua__link_record record;
        uint64_t seq = unit->seq;
        if (!skua__records_next(&unit->records, &record)) {
            finish_unit(handle, unit);
            continue;
        }
        skua_msg *msg = NULL;
        skua_status status = make_message(handle, unit, &record, seq, &msg);
        if (status == SKUA_E_NO_MEMORY) {
            unit->records = before;
            return status;
        }
        unit->seq++;
        link->queued_msgs--;
        inner->counters.queued_msgs--;
        bool malformed = status != SKUA_OK;
        inner->counters.malformed_frames += malformed;
        uint64_t id = link->id << SKUA__ID_SEQ_BITS | seq;
        if (!link->gone && (!handle->ops->confirm_by_done || malformed)) {
            (void)skua__link_done(link, seq);
        }
        if (unit->records.left == 0) {
            finish_unit(handle, unit);
        }
        if (malformed) {
            continue;
        }
        *ret_msg = msg;
        if (ret_id) {
            *ret_id = id;
        }
        return SKUA_OK;
    }
    skua_msg *plain = skua__plain_pop(handle);
    if (!plain) {
        return SKUA_E_AGAIN;
    }
    *ret_msg = plain;
    if (ret_id) {
        *ret_id = 0; /* nobody waits for its confirmation */
    }
    return SKUA_OK;
}

skua_status
skua__handle_recv_locked(skua__handle *handle, int64_t deadline_ns, skua_msg **ret_msg,
                         uint64_t *ret_id) {
    for (;;) { /* ends with a message, at the deadline, or when the handle closes */
        skua_status status = pop(handle, ret_msg, ret_id);
        /* Who waits anyway need not look before: what is there wakes it at once. */
        if (status == SKUA_E_AGAIN && skua__clock_ns() >= deadline_ns) {
            skua__handle_pump_locked(handle);
            status = pop(handle, ret_msg, ret_id);
        }
        if (status != SKUA_E_AGAIN) {
            skua__handle_flush_acks(handle, SKUA__ACK_PRESSING);
            return status;
        }
        if (deadline_ns == 0) {
            skua__handle_flush_acks(handle, SKUA__ACK_IDLE);
            return SKUA_E_AGAIN;
        }
        if (skua__clock_ns() >= deadline_ns) {
            return SKUA_E_TIMEOUT;
        }
        status = skua__handle_wait_locked(handle, deadline_ns);
        if (status == SKUA_E_CLOSED) {
            return status;
        }
    }
}

bool
skua__handle_done_locked(skua__handle *handle, uint64_t id) {
    skua__link *link = skua__handle_link_of_locked(handle, id);
    uint64_t seq = id & ((UINT64_C(1) << SKUA__ID_SEQ_BITS) - 1);
    return link && skua__link_done(link, seq) == SKUA_OK;
}

skua__link *
skua__handle_link_of_locked(skua__handle *handle, uint64_t id) {
    uint64_t key = id >> SKUA__ID_SEQ_BITS;
    return skua__hash_get(&handle->inner->by_id, &key, sizeof key);
}

/* ---- Odds and ends ---- */

void
skua__handle_hello_again_locked(skua__handle *handle) {
    SKUA_LIST_EACH(node, &handle->inner->links) {
        skua__link *link = SKUA_CONTAINER_OF(node, skua__link, node);
        if (link->connected) {
            skua__link_say_hello(link, true);
        } else {
            link->hello_stale = true; /* told as soon as the peer has answered */
        }
    }
}

void
skua__handle_counters_locked(skua__handle *handle, skua__handle_counters *ret) {
    *ret = handle->inner->counters;
    ret->sent = handle->inner->past;
    SKUA_LIST_EACH(node, &handle->inner->links) {
        skua__link *link = SKUA_CONTAINER_OF(node, skua__link, node);
        skua__ledger_counts counts;
        skua__link_ledger(link, &counts);
        skua__ledger_add(&ret->sent, &counts);
        ret->duplicate_msgs += link->rx.duplicate_msgs;
    }
}

uint64_t
skua__handle_queued_locked(const skua__handle *handle) {
    return handle->inner->counters.queued_msgs;
}

bool
skua__handle_is_closing_locked(const skua__handle *handle) {
    return handle->inner->closing;
}

uint64_t
skua__handle_unconfirmed_locked(const skua__handle *handle) {
    uint64_t sum = 0;
    SKUA_LIST_EACH(node, &handle->inner->links) {
        skua__ledger_counts counts;
        skua__link_ledger(SKUA_CONTAINER_OF(node, skua__link, node), &counts);
        sum += counts.unconfirmed;
    }
    return sum;
}

void
skua__handle_flush_all_locked(skua__handle *handle) {
    SKUA_LIST_EACH(node, &handle->inner->links) {
        skua__link_flush(SKUA_CONTAINER_OF(node, skua__link, node));
    }
}

skua_status
skua__handle_refusal_locked(const skua__handle *handle, skua_error *err) {
    const struct skua__handle_inner *inner = handle->inner;
    const char *by = inner->refused_by, *name = handle->name;
    if (!inner->refusal || inner->up_count) {
        return SKUA_OK;
    }
    switch ((skua__reset_reason)inner->refusal) {
    case SKUA__RESET_VERSION:
        return SKUA_FAIL(
            err, SKUA_E_PROTOCOL_VERSION,
            "\"%s\", which offers \"%s\", speaks no version of the links' protocol that we "
            "speak (%d to %d); upgrade the older of the two",
            by, name, SKUA__LINK_VERSION_MIN, SKUA__LINK_VERSION_MAX);
    case SKUA__RESET_ROLE:
        return SKUA_FAIL(
            err, SKUA_E_NOT_AUTHORISED,
            "\"%s\" does not let us use \"%s\" as %s: our certificate lacks the role, or "
            "it does not know the certificate",
            by, name, handle->ops->name);
    case SKUA__RESET_LIMIT:
        return SKUA_FAIL(err, SKUA_E_LIMIT,
                         "\"%s\" has as many links at \"%s\" as it may have (%d)", by, name,
                         SKUA__HANDLE_MAX_LINKS);
    default:
        return SKUA_FAIL(err, SKUA_E_REFUSED, "\"%s\" refused our link to \"%s\" (reason %d)", by,
                         name, inner->refusal);
    }
}

skua_status
skua__handle_no_provider_locked(skua__handle *handle, skua_error *err) {
    char offered[256];
    skua_status refused = skua__handle_refusal_locked(handle, err);
    if (refused) {
        return refused;
    }
    skua__node_offered_text(handle->node, handle->ops->kind, offered, sizeof offered);
    return SKUA_FAIL(err, SKUA_E_NO_PROVIDER,
                     "nobody offers \"%s\" for %s (%s); check the spelling, or start a node that "
                     "offers it",
                     handle->name, handle->ops->name, offered);
}

size_t
skua__handle_link_count_locked(const skua__handle *handle) {
    return handle->inner->up_count;
}

skua__link *
skua__handle_next_link_locked(const skua__handle *handle, const skua__link *link) {
    const skua__list *head = &handle->inner->links;
    for (const skua__list *node = link ? link->node.next : head->next; node != head;
         node = node->next) {
        skua__link *next = SKUA_CONTAINER_OF(node, skua__link, node);
        if (next->up) {
            return next;
        }
    }
    return NULL;
}
