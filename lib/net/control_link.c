// SPDX-License-Identifier: MPL-2.0
// Control links: one ROUTER that peers dial, one DEALER for each peer that we dial, and what their monitors see. All of
// it runs in the node's thread. What the frames say is control_frames.c's.
#include "node_priv.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

/* ---- Links ---- */

static void dial_connect(skua__clink *link);

static skua__clink *
link_new(skua_node *node, bool outgoing) {
    if (node->link_count >= SKUA__LINKS_MAX) {
        return NULL;
    }
    skua__clink *link = skua__mem_new(node->hook, sizeof *link);
    if (!link) {
        return NULL;
    }
    link->node = node;
    link->outgoing = outgoing;
    link->number = ++node->next_link;
    if (skua__hash_put(&node->numbers, &link->number, sizeof link->number, link)) {
        return skua__mem_free(node->hook, link);
    }
    skua__list_push_back(&node->links, &link->links);
    node->link_count++;
    return link;
}

void
skua__clink_free(skua__clink *link) {
    skua_node *node = link->node;
    if (link->peer && link->peer->link == link) {
        link->peer->link = NULL;
    }
    if (link->peer && link->peer->dial == link) {
        link->peer->dial = NULL;
    }
    link->introduction = skua__introduction_cancel(link->introduction);
    link->knock = skua__knock_cancel(link->knock);
    link->dealer_source = skua__node_source_free(link->dealer_source);
    link->monitor_source = skua__node_source_free(link->monitor_source);
    link->monitor = skua__monitor_free(link->dealer, link->monitor);
    link->dealer = skua__socket_free(link->dealer);
    if (link->route_size) {
        skua__hash_take(&node->routes, link->route, link->route_size);
    }
    skua__hash_take(&node->numbers, &link->number, sizeof link->number);
    skua__list_remove(&link->links);
    node->link_count--;
    skua__mem_free(node->hook, link);
}

skua__clink *
skua__clink_find(skua_node *node, uint32_t number) {
    return skua__hash_get(&node->numbers, &number, sizeof number);
}

/* ---- Sending ---- */

static int
socket_fd(void *socket) {
    int fd = -1;
    size_t size = sizeof fd;
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) ? -1 : fd;
}

/*
 * A ZMQ_FD gives a signal only after somebody has looked and found nothing, so the first look is taken at once.
 */
static void
watch_socket(skua__node_source *source) {
    skua__node_source_arm(source, true, 1);
}

/*
 * A send may take the ZMQ_FD's only signal for a frame that came in meanwhile. So after each send the socket is asked,
 * and if something waits the drain is rung.
 */
static void
look_again(skua_node *node, void *socket) {
    int events = 0;
    size_t size = sizeof events;
    if (!zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) && (events & ZMQ_POLLIN)) {
        skua__node_source_arm(node->drain, false, 1);
    }
}

static bool
send_bytes(skua__clink *link, const void *bytes, size_t size) {
    skua_node *node = link->node;
    void *socket = link->outgoing ? link->dealer : node->router;
    if (!socket) {
        return false;
    }
    bool sent = (link->outgoing || zmq_send(socket, link->route, link->route_size,
                                            ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0) &&
                zmq_send(socket, bytes, size, ZMQ_DONTWAIT) >= 0;
    int error = errno;
    look_again(node, socket);
    skua__count(node, sent ? SKUA__COUNTER(control_sent) : SKUA__COUNTER(control_dropped_full));
    errno = error;
    return sent;
}

bool
skua__clink_send(skua__clink *link, const skua__control *control) {
    size_t size = skua__control_encode(control, link->node->scratch, SKUA__CONTROL_MAX);
    return size > 0 && send_bytes(link, link->node->scratch, size);
}

void
skua__clink_hello(skua__clink *link) {
    skua_node *node = link->node;
    skua__control hello = {.type = SKUA__CONTROL_HELLO,
                           .hello = {.version_min = node->protocol_min,
                                     .version_max = node->protocol_max,
                                     .uuid = node->uuid,
                                     .incarnation = node->incarnation,
                                     .serial = node->credentials.certificate.serial,
                                     .control_port = node->control_port,
                                     .introduction_port = node->introduction_port,
                                     .record_version = node->announced.version}};
    skua__clink_send(link, &hello);
}

void
skua__clink_ping(skua__clink *link) {
    skua__control ping = {.type = SKUA__CONTROL_PING,
                          .version = (uint8_t)link->version,
                          .ping = {.id = link->number, .sent_ns = skua__clock_ns()}};
    skua__clink_send(link, &ping);
}

void
skua__clink_refuse(skua__clink *link, skua_status status, const char *text) {
    size_t size = strlen(text);
    skua__control refuse = {
        .type = SKUA__CONTROL_REFUSE,
        .refuse = {
            .status = status,
            .text = {.bytes = (const uint8_t *)text,
                     .size = size < SKUA__CONTROL_TEXT_MAX ? size : SKUA__CONTROL_TEXT_MAX}}};
    skua__clink_send(link, &refuse);
}

void
skua__clink_send_record(skua__clink *link) {
    skua_node *node = link->node;
    size_t size = skua__record_encode(&node->announced, node->record_scratch, SKUA__RECORD_MAX);
    skua__control record = {.type = SKUA__CONTROL_RECORD,
                            .version = (uint8_t)link->version,
                            .record = {.bytes = node->record_scratch, .size = size}};
    if (size) {
        skua__clink_send(link, &record);
        link->peer->record_version_sent = node->announced.version;
    }
}

static void
send_entries(skua__clink *link, const uint8_t *bytes, size_t size, uint16_t count) {
    skua__control peers = {.type = SKUA__CONTROL_PEERS,
                           .version = (uint8_t)link->version,
                           .peers = {.count = count, .entries = {.bytes = bytes, .size = size}}};
    if (count) {
        skua__clink_send(link, &peers);
    }
}

void
skua__clink_send_peers(skua__clink *link) {
    skua_node *node = link->node;
    /* Half a frame of entries at a time; the record's scratch is free while peers are sent. */
    uint8_t *bytes = node->record_scratch;
    size_t used = 0, position = 0;
    uint16_t count = 0;
    for (skua__peer *peer; (peer = skua__hash_next(&node->peers, &position)) != NULL;) {
        skua__peer_entry entry = {.uuid = peer->uuid,
                                  .incarnation = peer->incarnation,
                                  .control_port = peer->control_port,
                                  .introduction_port = peer->introduction_port,
                                  .certificate = peer->certificate};
        if (!peer->joined || peer == link->peer ||
            !skua__address_parse(peer->host, &entry.address)) {
            continue;
        }
        if (count == SKUA__CONTROL_PEERS_MAX ||
            !skua__peers_append(bytes, SKUA__RECORD_MAX, &used, &entry)) {
            send_entries(link, bytes, used, count);
            used = count = 0;
            skua__peers_append(bytes, SKUA__RECORD_MAX, &used, &entry);
        }
        count++;
    }
    send_entries(link, bytes, used, count);
}

/* ---- Dialling ---- */

void
skua__clink_fails(skua__clink *link, skua__peer_event_kind kind) {
    skua_node *node = link->node;
    skua__peer *peer = link->peer;
    skua__peer_event event = {.kind = link->up ? SKUA__PEER_LINK_DOWN : kind, .link = link->number};
    if (!link->up) {
        skua__count(node, SKUA__COUNTER(dials_failed));
    }
    skua__clink_free(link);
    skua__peer_feed(peer, event);
}

static void
dial_introduced(void *arg, skua__introduction_end end, const skua__intro *reply) {
    skua__clink *link = arg;
    link->introduction = NULL;
    switch (end) {
    case SKUA__INTRODUCTION_DONE:
        if (skua__uuid_equal(&reply->uuid, &link->peer->uuid)) {
            link->peer->introduce = false;
            dial_connect(link);
        } else {
            skua__clink_fails(link, SKUA__PEER_DIAL_REFUSED); /* another node has that port now */
        }
        break;
    case SKUA__INTRODUCTION_REFUSED_PORT:
        skua__clink_fails(link, SKUA__PEER_DIAL_REFUSED);
        break;
    case SKUA__INTRODUCTION_REJECTED:
        skua__clink_fails(link, SKUA__PEER_DIAL_REJECTED);
        break;
    case SKUA__INTRODUCTION_FAILED:
        skua__clink_fails(link, SKUA__PEER_DIAL_FAILED);
        break;
    }
}

static bool
dial_introduce(skua__clink *link) {
    skua__peer *peer = link->peer;
    link->introduction = skua__introduce(link->node, peer->host, peer->introduction_port, peer->via,
                                         dial_introduced, link);
    return link->introduction != NULL;
}

static void
dial_knocked(void *arg, skua__knock_end end, int fd) {
    skua__clink *link = arg;
    (void)fd;
    link->knock = NULL;
    if (fd >= 0) {
        close(fd);
    }
    skua__clink_fails(link, end == SKUA__KNOCK_REFUSED ? SKUA__PEER_DIAL_REFUSED
                                                       : SKUA__PEER_DIAL_FAILED);
}

/* Its socket is of no more use; what it was used for may go on. */
static void
drop_dealer(skua__clink *link) {
    link->dealer_source = skua__node_source_free(link->dealer_source);
    link->monitor_source = skua__node_source_free(link->monitor_source);
    link->monitor = skua__monitor_free(link->dealer, link->monitor);
    link->dealer = skua__socket_free(link->dealer);
}

/* The peer does not know our key (yet), or does not accept it. */
static void
dial_refused_key(skua__clink *link) {
    drop_dealer(link);
    if (link->retried || !dial_introduce(link)) {
        skua__clink_fails(link, SKUA__PEER_DIAL_REJECTED);
        return;
    }
    link->retried = true;
}

static void
dial_broke(skua__clink *link) {
    if (link->up || link->connected) {
        skua__clink_fails(link, SKUA__PEER_DIAL_FAILED);
        return;
    }
    /* libzmq does not say why a connect failed, and a port that refuses is another matter than a host that is
     * silent. */
    drop_dealer(link);
    skua__peer *peer = link->peer;
    link->knock = skua__knock_begin(link->node, peer->host, peer->control_port, SKUA__PEER_PROBE_MS,
                                    dial_knocked, link);
    if (!link->knock) {
        skua__clink_fails(link, SKUA__PEER_DIAL_FAILED);
    }
}

static void
dealer_monitor_ready(void *arg) {
    skua__clink *link = arg;
    skua__monitor_event event;
    while (skua__monitor_read(link->monitor, &event)) {
        switch (event.event) {
        case ZMQ_EVENT_CONNECTED:
            link->connected = true;
            skua__peer_feed(link->peer, (skua__peer_event){.kind = SKUA__PEER_DIAL_CONNECTED,
                                                           .link = link->number});
            break;
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
            dial_refused_key(link);
            return;
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        case ZMQ_EVENT_CLOSED:
        case ZMQ_EVENT_DISCONNECTED:
            dial_broke(link);
            return;
        default:
            break;
        }
    }
}

/* Takes frames off a dealer until none is left. The link may be gone afterwards. */
static void
dealer_drain(skua__clink *link) {
    skua_node *node = link->node;
    uint32_t number = link->number;
    for (int i = 0; i < SKUA__CONTROL_FRAMES_PER_WAKE; i++) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (!link->dealer || zmq_msg_recv(&frame, link->dealer, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return;
        }
        if (zmq_msg_more(&frame)) {
            skua__count(node, SKUA__COUNTER(control_dropped_malformed));
        } else {
            skua__clink_frame(link, &frame);
        }
        zmq_msg_close(&frame);
        link = skua__clink_find(node, number);
        if (!link) {
            return;
        }
    }
    skua__node_source_arm(node->drain, false, 1);
}

static void
dealer_ready(void *arg) {
    dealer_drain(arg);
}

static void
dial_connect(skua__clink *link) {
    skua_node *node = link->node;
    skua__peer *peer = link->peer;
    char endpoint[SKUA__ENDPOINT_BYTES];
    bool v6 = strchr(peer->host, ':') != NULL;
    snprintf(endpoint, sizeof endpoint, v6 ? "tcp://[%s]:%u" : "tcp://%s:%u", peer->host,
             peer->control_port);
    int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    link->connected = false;
    skua_status status = skua__socket_new(node->control_ctx, ZMQ_DEALER, &node->control_config,
                                          &node->credentials.curve, peer->certificate.curve_key,
                                          &link->dealer, NULL);
    status = status
                 ? status
                 : skua__monitor_new(node->control_ctx, link->dealer, events, &link->monitor, NULL);
    status = status ? status
                    : skua__host_source_new(&node->host, socket_fd(link->dealer), dealer_ready,
                                            link, &link->dealer_source, NULL);
    status = status
                 ? status
                 : skua__host_source_new(&node->host, socket_fd(link->monitor),
                                         dealer_monitor_ready, link, &link->monitor_source, NULL);
    if (status || zmq_connect(link->dealer, endpoint)) {
        skua__clink_fails(link, SKUA__PEER_DIAL_FAILED);
        return;
    }
    watch_socket(link->dealer_source);
    watch_socket(link->monitor_source);
    skua__clink_hello(link);
}

void
skua__clink_dial(skua__peer *peer) {
    skua_node *node = peer->node;
    skua__clink *link = link_new(node, true);
    if (!link) {
        /* The machine counts it as a dial that failed, and tries again later. */
        uint32_t number = ++node->next_link;
        skua__peer_feed(peer, (skua__peer_event){.kind = SKUA__PEER_DIAL_STARTED, .link = number});
        skua__peer_feed(peer, (skua__peer_event){.kind = SKUA__PEER_DIAL_FAILED, .link = number});
        return;
    }
    skua__count(node, SKUA__COUNTER(dials));
    link->peer = peer;
    peer->dial = link;
    uint32_t number = link->number;
    skua__peer_feed(peer, (skua__peer_event){.kind = SKUA__PEER_DIAL_STARTED, .link = number});
    link = skua__clink_find(node, number);
    if (!link) {
        return;
    }
    if (peer->introduce && peer->introduction_port) {
        if (!dial_introduce(link)) {
            skua__clink_fails(link, SKUA__PEER_DIAL_FAILED);
        }
    } else {
        dial_connect(link);
    }
}

/* ---- The router ---- */

static skua__clink *
incoming(skua_node *node, const zmq_msg_t *route, zmq_msg_t *frame) {
    const void *bytes = zmq_msg_data((zmq_msg_t *)(uintptr_t)route);
    size_t size = zmq_msg_size(route);
    if (size == 0 || size > SKUA__ROUTE_MAX) {
        return NULL;
    }
    skua__clink *link = skua__hash_get(&node->routes, bytes, size);
    if (link) {
        return link;
    }
    link = link_new(node, false);
    if (!link) {
        return NULL;
    }
    memcpy(link->route, bytes, size);
    link->route_size = size;
    if (skua__hash_put(&node->routes, link->route, size, link)) {
        link->route_size = 0;
        skua__clink_free(link);
        return NULL;
    }
    int fd = zmq_msg_get(frame, ZMQ_SRCFD);
    link->fd = fd > 0 ? (uint32_t)fd : 0;
    return link;
}

/* Takes one message off the router. Returns false when there is none. */
static bool
router_receive(skua_node *node) {
    zmq_msg_t route, frame;
    zmq_msg_init(&route);
    zmq_msg_init(&frame);
    bool got = zmq_msg_recv(&route, node->router, ZMQ_DONTWAIT) >= 0;
    bool whole = got && zmq_msg_more(&route) &&
                 zmq_msg_recv(&frame, node->router, ZMQ_DONTWAIT) >= 0 && !zmq_msg_more(&frame);
    if (whole) {
        skua__clink *link = incoming(node, &route, &frame);
        if (link) {
            skua__clink_frame(link, &frame);
        }
    } else if (got) {
        skua__count(node, SKUA__COUNTER(control_dropped_malformed));
        while (zmq_msg_more(&frame) && zmq_msg_recv(&frame, node->router, ZMQ_DONTWAIT) >= 0) {
            /* the rest of a message that has too many frames */
        }
    }
    zmq_msg_close(&route);
    zmq_msg_close(&frame);
    return got;
}

static void
router_ready(void *arg) {
    skua_node *node = arg;
    for (int i = 0; i < SKUA__CONTROL_FRAMES_PER_WAKE; i++) {
        if (!router_receive(node)) {
            return;
        }
    }
    skua__node_source_arm(node->drain, false, 1);
}

static void
drain(void *arg) {
    skua_node *node = arg;
    router_ready(node);
    SKUA_LIST_EACH(at, &node->links) {
        skua__clink *link = SKUA_CONTAINER_OF(at, skua__clink, links);
        int events = 0;
        size_t size = sizeof events;
        if (link->dealer && !zmq_getsockopt(link->dealer, ZMQ_EVENTS, &events, &size) &&
            (events & ZMQ_POLLIN)) {
            dealer_drain(link);
            /* The list may have changed under the walk: the rest gets its turn in the next round. */
            skua__node_source_arm(node->drain, false, 1);
            return;
        }
    }
}

static void
router_monitor_ready(void *arg) {
    skua_node *node = arg;
    skua__monitor_event event;
    while (skua__monitor_read(node->router_monitor, &event)) {
        if (event.event != ZMQ_EVENT_DISCONNECTED || event.value == 0) {
            continue;
        }
        /* What the connection sent before it broke is still to be read. */
        router_ready(node);
        SKUA_LIST_EACH(at, &node->links) {
            skua__clink *link = SKUA_CONTAINER_OF(at, skua__clink, links);
            if (link->outgoing || link->fd != event.value) {
                continue;
            }
            if (link->peer) {
                skua__clink_fails(link, SKUA__PEER_DIAL_FAILED);
            } else {
                skua__clink_free(link);
            }
            break;
        }
    }
}

skua_status
skua__control_open(skua_node *node, skua_error *err) {
    skua_status status = skua__socket_new(node->control_ctx, ZMQ_ROUTER, &node->control_config,
                                          &node->credentials.curve, NULL, &node->router, err);
    status = status ? status
                    : skua__monitor_new(node->control_ctx, node->router, ZMQ_EVENT_DISCONNECTED,
                                        &node->router_monitor, err);
    status = status ? status
                    : skua__socket_bind(node->router, &node->bind_hosts, &node->control_port, err);
    status =
        status ? status : skua__host_source_new(&node->host, -1, drain, node, &node->drain, err);
    status = status ? status
                    : skua__host_source_new(&node->host, socket_fd(node->router), router_ready,
                                            node, &node->router_source, err);
    status = status ? status
                    : skua__host_source_new(&node->host, socket_fd(node->router_monitor),
                                            router_monitor_ready, node,
                                            &node->router_monitor_source, err);
    if (!status) {
        watch_socket(node->router_source);
        watch_socket(node->router_monitor_source);
    }
    return status;
}

void
skua__control_close(skua_node *node) {
    while (!skua__list_empty(&node->links)) {
        skua__clink_free(SKUA_CONTAINER_OF(node->links.next, skua__clink, links));
    }
    skua__hash_fini(&node->routes);
    skua__hash_fini(&node->numbers);
    node->router_source = skua__node_source_free(node->router_source);
    node->router_monitor_source = skua__node_source_free(node->router_monitor_source);
    node->drain = skua__node_source_free(node->drain);
    node->router_monitor = skua__monitor_free(node->router, node->router_monitor);
    node->router = skua__socket_free(node->router);
}

void
skua__control_bye(skua_node *node) {
    skua__control bye = {.type = SKUA__CONTROL_BYE, .bye = {.incarnation = node->incarnation}};
    SKUA_LIST_EACH(at, &node->links) {
        skua__clink *link = SKUA_CONTAINER_OF(at, skua__clink, links);
        if (link->up) {
            bye.version = (uint8_t)link->version;
            skua__clink_send(link, &bye);
        }
    }
}

/* ---- Probes ---- */

/*
 * A reset says what an open port says, for now. The kernel takes a killed process apart one descriptor after the other:
 * its connection may be gone while its port still takes ours, to reset it a moment later. The machine asks again.
 */
static void
probe_end(void *arg, skua__knock_end end, int fd) {
    skua__peer *peer = arg;
    peer->probe = NULL;
    if (fd >= 0) {
        close(fd);
    }
    bool open = end == SKUA__KNOCK_OPEN || end == SKUA__KNOCK_RESET;
    skua__peer_event_kind kind = open                         ? SKUA__PEER_PROBE_OPEN
                                 : end == SKUA__KNOCK_REFUSED ? SKUA__PEER_PROBE_REFUSED
                                                              : SKUA__PEER_PROBE_SILENT;
    skua__peer_feed(peer, (skua__peer_event){.kind = kind, .link = peer->probe_number});
}

void
skua__control_probe(skua__peer *peer, uint32_t number) {
    if (!peer->host[0]) {
        return;
    }
    skua__count(peer->node, SKUA__COUNTER(probes_sent));
    skua__knock_cancel(peer->probe);
    peer->probe_number = number;
    peer->probe = skua__knock_begin(peer->node, peer->host, peer->control_port, SKUA__PEER_PROBE_MS,
                                    probe_end, peer);
    if (!peer->probe) {
        skua__peer_feed(peer, (skua__peer_event){.kind = SKUA__PEER_PROBE_SILENT, .link = number});
    }
}
