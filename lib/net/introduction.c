// SPDX-License-Identifier: MPL-2.0
// Introductions: on a short TCP connection two nodes swap certificates, one request and one reply. Both ends, without
// blocking, in the node's thread. Whatever comes is bounded: 1 KiB, a second, so many at a time and in a second.
#include "node_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct skua__introduction {
    skua__list all; /* in node->introductions */
    skua_node *node;
    int fd;
    skua__node_source *source;
    skua__knock *knock; /* ours, before it is connected */
    uint8_t bytes[SKUA__INTRO_MAX];
    size_t used;
    int64_t deadline_ns;
    char host[SKUA_HOST_BYTES];
    uint16_t port;
    /* ours only */
    bool ours;
    uint8_t nonce[SKUA__INTRO_NONCE_BYTES];
    skua_peer_via via;
    void (*fn)(void *arg, skua__introduction_end end, const skua__intro *reply);
    void *arg;
};

static void
introduction_free(skua__introduction *introduction) {
    skua_node *node = introduction->node;
    introduction->source = skua__node_source_free(introduction->source);
    introduction->knock = skua__knock_cancel(introduction->knock);
    if (introduction->fd >= 0) {
        close(introduction->fd);
    }
    if (!introduction->ours) {
        node->served--;
    }
    skua__list_remove(&introduction->all);
    skua__mem_free(node->hook, introduction);
}

static skua__introduction *
introduction_new(skua_node *node, bool ours) {
    skua__introduction *introduction = skua__mem_new(node->hook, sizeof *introduction);
    if (introduction) {
        introduction->node = node;
        introduction->fd = -1;
        introduction->ours = ours;
        introduction->deadline_ns = skua__deadline_ns(SKUA__INTRO_MS);
        skua__list_push_back(&node->introductions, &introduction->all);
        if (!ours) {
            node->served++;
        }
    }
    return introduction;
}

static size_t
encode_ours(skua_node *node, skua__intro_kind kind, const uint8_t *nonce, uint8_t *bytes) {
    skua__intro intro = {.kind = kind,
                         .uuid = node->uuid,
                         .incarnation = node->incarnation,
                         .control_port = node->control_port,
                         .introduction_port = node->introduction_port,
                         .certificate = node->credentials.certificate};
    memcpy(intro.nonce, nonce, sizeof intro.nonce);
    return skua__intro_encode(&intro, &node->credentials.beacon_keys[0], bytes, SKUA__INTRO_MAX);
}

typedef enum read_end { READ_WHOLE, READ_MORE, READ_BROKEN } read_end;

/* Reads what is there, until the introduction is whole by its own size. */
static read_end
read_some(skua__introduction *introduction) {
    ssize_t got = recv(introduction->fd, introduction->bytes + introduction->used,
                       sizeof introduction->bytes - introduction->used, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return READ_MORE;
    }
    if (got <= 0) {
        return READ_BROKEN;
    }
    introduction->used += (size_t)got;
    size_t size = skua__intro_size(introduction->bytes, introduction->used);
    if (size == 0) {
        return READ_MORE;
    }
    if (size > sizeof introduction->bytes || introduction->used > size) {
        return READ_BROKEN;
    }
    return introduction->used == size ? READ_WHOLE : READ_MORE;
}

static skua__intro_result
decode(skua__introduction *introduction, skua__intro *ret) {
    skua_node *node = introduction->node;
    return skua__intro_decode(introduction->bytes, introduction->used, &node->fleet,
                              node->credentials.beacon_keys, node->credentials.beacon_key_count,
                              ret);
}

/* ---- Others at our port ---- */

static bool
rate_allows(skua_node *node) {
    int64_t now_ns = skua__clock_ns();
    int64_t most = INT64_C(1000) * SKUA__INTRO_RATE;
    int64_t passed_ms = (now_ns - node->served_at_ns) / SKUA_NS_PER_MS;
    node->served_at_ns += passed_ms * SKUA_NS_PER_MS;
    /* Long pauses fill the bucket; the sum cannot overflow because the pause is cut to what fills it. */
    int64_t earned = passed_ms < 1000 ? passed_ms * SKUA__INTRO_RATE : most;
    node->served_tokens_milli += earned;
    if (node->served_tokens_milli > most) {
        node->served_tokens_milli = most;
    }
    if (node->served_tokens_milli < 1000) {
        return false;
    }
    node->served_tokens_milli -= 1000;
    return true;
}

static void
answer_bytes(skua__introduction *introduction, const uint8_t *bytes, size_t size) {
    /* It fits the socket's empty buffer; if it does not, the other side will ask again. */
    ssize_t sent = send(introduction->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent;
    shutdown(introduction->fd, SHUT_WR);
}

static void
refuse(skua__introduction *introduction, skua__intro_result cause) {
    skua__intro refusal = {.kind = SKUA__INTRO_REFUSAL, .refusal = cause};
    uint8_t bytes[SKUA__INTRO_MAX];
    size_t size = skua__intro_encode(&refusal, NULL, bytes, sizeof bytes);
    if (size) {
        answer_bytes(introduction, bytes, size);
    }
}

static void
serve_whole(skua__introduction *introduction) {
    skua_node *node = introduction->node;
    skua__intro request;
    skua__intro_result result = decode(introduction, &request);
    bool foreign = result == SKUA__INTRO_OTHER_FLEET || result == SKUA__INTRO_UNKNOWN_KEY ||
                   result == SKUA__INTRO_BAD_MAC;
    if (result == SKUA__INTRO_OK && request.kind != SKUA__INTRO_REQUEST) {
        result = SKUA__INTRO_BAD_FIELD;
    }
    if (result == SKUA__INTRO_OK &&
        skua__peer_verify(node, &request.uuid, &request.certificate) != SKUA__CERTIFICATE_OK) {
        result = SKUA__INTRO_BAD_CERTIFICATE;
        foreign = true;
    }
    if (result != SKUA__INTRO_OK) {
        skua__count(node, foreign ? SKUA__COUNTER(introductions_dropped_certificate)
                                  : SKUA__COUNTER(introductions_dropped_malformed));
        refuse(introduction, result);
        introduction_free(introduction);
        return;
    }
    skua__peer *peer = NULL;
    if (!skua__uuid_equal(&request.uuid, &node->uuid)) {
        peer = skua__peer_meet(node, &request.uuid, request.incarnation, &request.certificate,
                               SKUA_VIA_INCOMING);
        if (peer) {
            skua__peer_at(peer, introduction->host, request.control_port,
                          request.introduction_port);
        }
    }
    uint8_t bytes[SKUA__INTRO_MAX];
    size_t size = encode_ours(node, SKUA__INTRO_REPLY, request.nonce, bytes);
    skua__count(node, SKUA__COUNTER(introductions_served));
    answer_bytes(introduction, bytes, size);
    introduction_free(introduction);
    if (peer) {
        /* A request can be a replay, so it is a reason to dial and no sign of life. */
        skua__peer_feed(
            peer, (skua__peer_event){.kind = SKUA__PEER_TOLD, .incarnation = request.incarnation});
    }
}

static void
serve_ready(void *arg) {
    skua__introduction *introduction = arg;
    skua_node *node = introduction->node;
    if (skua__clock_ns() >= introduction->deadline_ns) {
        skua__count(node, SKUA__COUNTER(introductions_dropped_slow));
        introduction_free(introduction);
        return;
    }
    switch (read_some(introduction)) {
    case READ_MORE:
        break;
    case READ_WHOLE:
        serve_whole(introduction);
        break;
    case READ_BROKEN:
        if (introduction->used) { /* a bare connect is a probe, and no fault */
            skua__count(node, SKUA__COUNTER(introductions_dropped_malformed));
            refuse(introduction, SKUA__INTRO_BAD_SIZE);
        }
        introduction_free(introduction);
        break;
    }
}

static void
accept_one(skua_node *node, int fd, const struct sockaddr_storage *from) {
    if (node->served >= SKUA__INTRO_SERVED_MAX || !rate_allows(node)) {
        skua__count(node, SKUA__COUNTER(introductions_dropped_rate));
        close(fd);
        return;
    }
    skua__introduction *introduction = introduction_new(node, false);
    if (!introduction) {
        close(fd);
        return;
    }
    introduction->fd = fd;
    const void *address = from->ss_family == AF_INET6
                              ? (const void *)&((const struct sockaddr_in6 *)from)->sin6_addr
                              : (const void *)&((const struct sockaddr_in *)from)->sin_addr;
    inet_ntop(from->ss_family, address, introduction->host, sizeof introduction->host);
    if (skua__host_source_new(&node->host, fd, serve_ready, introduction, &introduction->source,
                              NULL)) {
        introduction_free(introduction);
        return;
    }
    skua__node_source_arm(introduction->source, true, introduction->deadline_ns);
}

static void
listener_ready(void *arg) {
    skua_node *node = arg;
    for (size_t i = 0; i < node->introduction_count; i++) {
        for (int taken = 0; taken < SKUA__INTRO_SERVED_MAX; taken++) {
            struct sockaddr_storage from;
            socklen_t size = sizeof from;
            int fd = accept4(node->introduction_fds[i], (struct sockaddr *)&from, &size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) {
                break;
            }
            accept_one(node, fd, &from);
        }
    }
}

/* ---- Ours ---- */

static void
ours_ends(skua__introduction *introduction, skua__introduction_end end, const skua__intro *reply) {
    void (*fn)(void *arg, skua__introduction_end end, const skua__intro *reply) = introduction->fn;
    void *arg = introduction->arg;
    introduction_free(introduction);
    fn(arg, end, reply);
}

static void
ours_rejected(skua__introduction *introduction, skua__intro_result cause, bool by_us) {
    char who[SKUA_NODE_ENDPOINT_BYTES], why[96];
    if (cause == SKUA__INTRO_BUSY) {
        ours_ends(introduction, SKUA__INTRODUCTION_FAILED, NULL);
        return;
    }
    snprintf(who, sizeof who, "%s:%u", introduction->host, introduction->port);
    snprintf(why, sizeof why, "%s (%s)", skua__intro_result_text(cause),
             by_us ? "we refused it" : "it refused us");
    skua__note_refusal(introduction->node, who, SKUA_E_BAD_CERTIFICATE, why);
    ours_ends(introduction, SKUA__INTRODUCTION_REJECTED, NULL);
}

static void
ours_whole(skua__introduction *introduction) {
    skua_node *node = introduction->node;
    skua__intro reply;
    skua__intro_result result = decode(introduction, &reply);
    if (result == SKUA__INTRO_OK && reply.kind == SKUA__INTRO_REFUSAL) {
        ours_rejected(introduction, reply.refusal, false);
        return;
    }
    if (result == SKUA__INTRO_OK && reply.kind != SKUA__INTRO_REPLY) {
        result = SKUA__INTRO_BAD_FIELD;
    }
    if (result == SKUA__INTRO_OK &&
        sodium_memcmp(reply.nonce, introduction->nonce, sizeof reply.nonce) != 0) {
        result = SKUA__INTRO_WRONG_NONCE;
    }
    if (result == SKUA__INTRO_OK &&
        skua__peer_verify(node, &reply.uuid, &reply.certificate) != SKUA__CERTIFICATE_OK) {
        result = SKUA__INTRO_BAD_CERTIFICATE;
    }
    if (result != SKUA__INTRO_OK) {
        skua__count(node, SKUA__COUNTER(introductions_dropped_malformed));
        ours_rejected(introduction, result, true);
        return;
    }
    skua__count(node, SKUA__COUNTER(introductions_made));
    if (!skua__uuid_equal(&reply.uuid, &node->uuid)) {
        skua__peer *peer = skua__peer_meet(node, &reply.uuid, reply.incarnation, &reply.certificate,
                                           introduction->via);
        if (peer) {
            skua__peer_at(peer, introduction->host, reply.control_port, reply.introduction_port);
            peer->introduce = false; /* it has our certificate now */
            ours_ends(introduction, SKUA__INTRODUCTION_DONE, &reply);
            /* Whoever answers our nonce is alive. (fn may have ended it, so it is looked up again.) */
            peer = skua__peer_find(node, &reply.uuid);
            if (peer) {
                skua__peer_feed(peer, (skua__peer_event){.kind = SKUA__PEER_SEEN,
                                                         .incarnation = reply.incarnation});
            }
            return;
        }
    }
    ours_ends(introduction, SKUA__INTRODUCTION_DONE, &reply);
}

static void
ours_ready(void *arg) {
    skua__introduction *introduction = arg;
    if (skua__clock_ns() >= introduction->deadline_ns) {
        ours_ends(introduction, SKUA__INTRODUCTION_FAILED, NULL);
        return;
    }
    switch (read_some(introduction)) {
    case READ_MORE:
        break;
    case READ_WHOLE:
        ours_whole(introduction);
        break;
    case READ_BROKEN:
        ours_ends(introduction, SKUA__INTRODUCTION_FAILED, NULL);
        break;
    }
}

static void
ours_connected(void *arg, skua__knock_end end, int fd) {
    skua__introduction *introduction = arg;
    skua_node *node = introduction->node;
    introduction->knock = NULL;
    introduction->fd = fd;
    if (end != SKUA__KNOCK_OPEN) {
        ours_ends(introduction,
                  end == SKUA__KNOCK_REFUSED ? SKUA__INTRODUCTION_REFUSED_PORT
                                             : SKUA__INTRODUCTION_FAILED,
                  NULL);
        return;
    }
    uint8_t bytes[SKUA__INTRO_MAX];
    size_t size = encode_ours(node, SKUA__INTRO_REQUEST, introduction->nonce, bytes);
    if (send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size ||
        skua__host_source_new(&node->host, fd, ours_ready, introduction, &introduction->source,
                              NULL)) {
        ours_ends(introduction, SKUA__INTRODUCTION_FAILED, NULL);
        return;
    }
    skua__node_source_arm(introduction->source, true, introduction->deadline_ns);
}

skua__introduction *
skua__introduce(skua_node *node, const char *host, uint16_t port, skua_peer_via via,
                void (*fn)(void *arg, skua__introduction_end end, const skua__intro *reply),
                void *arg) {
    skua__introduction *introduction = introduction_new(node, true);
    if (!introduction) {
        return NULL;
    }
    introduction->via = via;
    introduction->fn = fn;
    introduction->arg = arg;
    introduction->port = port;
    snprintf(introduction->host, sizeof introduction->host, "%s", host);
    randombytes_buf(introduction->nonce, sizeof introduction->nonce);
    introduction->knock =
        skua__knock_begin(node, host, port, SKUA__INTRO_MS, ours_connected, introduction);
    if (!introduction->knock) {
        introduction_free(introduction);
        return NULL;
    }
    return introduction;
}

skua__introduction *
skua__introduction_cancel(skua__introduction *introduction) {
    if (introduction) {
        introduction_free(introduction);
    }
    return NULL;
}

/* ---- The port ---- */

static int
listen_at(const char *host, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = -1, on = 1;
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, SKUA__SOCKET_BACKLOG)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static uint16_t
port_of(int fd) {
    struct sockaddr_in address = {.sin_port = 0};
    socklen_t size = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &size);
    return ntohs(address.sin_port);
}

static void
close_listeners(skua_node *node) {
    while (node->introduction_count > 0) {
        node->introduction_count--;
        close(node->introduction_fds[node->introduction_count]);
    }
}

/* Listens on every address at that port (0: the system picks). */
static bool
listen_all(skua_node *node, uint16_t port) {
    for (size_t i = 0; i < node->bind_hosts.count; i++) {
        int fd = listen_at(node->bind_hosts.hosts[i], port);
        if (fd < 0) {
            int error = errno;
            close_listeners(node);
            errno = error;
            return false;
        }
        node->introduction_fds[node->introduction_count++] = fd;
        port = port_of(fd);
    }
    node->introduction_port = port;
    return true;
}

skua_status
skua__introduction_open(skua_node *node, skua_error *err) {
    enum { NEIGHBOURS = 64 };
    uint32_t first = node->bind_hosts.port_first, last = node->bind_hosts.port_last;
    if (!first) {
        first = SKUA_NODE_DEFAULT_PORT;
        last = first + NEIGHBOURS - 1;
    }
    bool listening = false;
    for (uint32_t port = first; port <= last && !listening; port++) {
        listening = listen_all(node, (uint16_t)port);
        if (!listening && errno != EADDRINUSE) {
            break;
        }
    }
    if (!listening && !node->bind_hosts.port_first) {
        listening = listen_all(node, 0);
    }
    if (!listening) {
        return SKUA_FAIL_ERRNO(err, errno == EADDRINUSE ? SKUA_E_ADDRESS_IN_USE : SKUA_E_SYSTEM,
                               errno, "no port from %u to %u could be bound on %s; widen the range",
                               first, last, node->bind_hosts.hosts[0]);
    }
    node->served_at_ns = skua__clock_ns();
    node->served_tokens_milli = INT64_C(1000) * SKUA__INTRO_RATE;
    for (size_t i = 0; i < node->introduction_count; i++) {
        skua_status status =
            skua__host_source_new(&node->host, node->introduction_fds[i], listener_ready, node,
                                  &node->introduction_sources[i], err);
        if (status) {
            return status;
        }
    }
    return SKUA_OK;
}

void
skua__introduction_start(skua_node *node) {
    for (size_t i = 0; i < node->introduction_count; i++) {
        skua__node_source_arm(node->introduction_sources[i], true, SKUA_NEVER_NS);
    }
}

void
skua__introduction_close(skua_node *node) {
    while (!skua__list_empty(&node->introductions)) {
        introduction_free(SKUA_CONTAINER_OF(node->introductions.next, skua__introduction, all));
    }
    for (size_t i = 0; i < SKUA__BIND_HOSTS_MAX; i++) {
        node->introduction_sources[i] = skua__node_source_free(node->introduction_sources[i]);
    }
    close_listeners(node);
}
