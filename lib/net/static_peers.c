// SPDX-License-Identifier: MPL-2.0
// Static peers: places that the user named. Each is introduced to, again and again, until the node behind it has joined.
#include "node_priv.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void introduce_now(void *arg);

static void
again(skua__static_peer *place) {
    int64_t after_ns = SKUA__STATIC_RETRY_MS * SKUA_NS_PER_MS;
    skua__node_source_arm(place->timer, false, skua__clock_ns() + after_ns);
}

static void
introduced(void *arg, skua__introduction_end end, const skua__intro *reply) {
    skua__static_peer *place = arg;
    place->introduction = NULL;
    if (end == SKUA__INTRODUCTION_DONE) {
        place->uuid = reply->uuid;
        skua__mutex_lock(&place->node->lock); /* who waits in vain for peers looks at it */
        place->known = true;
        skua__mutex_unlock(&place->node->lock);
        place->self = skua__uuid_equal(&reply->uuid, &place->node->uuid);
    }
    again(place);
}

static void
introduce_now(void *arg) {
    skua__static_peer *place = arg;
    skua_node *node = place->node;
    const skua__peer *peer = place->known ? skua__peer_find(node, &place->uuid) : NULL;
    /* A joined peer's link tells of it; a node that is ourselves needs no asking. */
    if (node->stopping || place->self || (peer && peer->joined && peer->link)) {
        again(place);
        return;
    }
    place->introduction =
        skua__introduce(node, place->host, place->port, SKUA_VIA_STATIC, introduced, place);
    if (!place->introduction) {
        again(place);
    }
}

/* Reads "HOST" or "HOST:PORT" and resolves the name once. */
static skua_status
read_place(skua_node *node, const char *text, skua__static_peer *place, skua_error *err) {
    char host[SKUA__ENDPOINT_BYTES];
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : SKUA_NODE_DEFAULT_PORT;
    if (length == 0 || length >= sizeof host || port == 0 || port > 65535 || (end && *end)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ENDPOINT,
                         "cannot understand the peer \"%.100s\"; write it as HOST or HOST:PORT",
                         text);
    }
    memcpy(host, text, length);
    host[length] = 0;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc || !found) {
        return SKUA_FAIL(err, SKUA_E_BAD_ENDPOINT, "cannot resolve the peer \"%.100s\": %s", text,
                         gai_strerror(rc));
    }
    struct in_addr address = ((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_addr;
    freeaddrinfo(found);
    if (node->credentials.personal && ntohl(address.s_addr) >> 24 != 127) {
        return SKUA_FAIL(err, SKUA_E_LOOPBACK_ONLY,
                         "the peer \"%.100s\" is another machine, and the personal fleet stays on "
                         "this one; make a fleet with `skua fleet init DIR` and name it with "
                         "--fleet",
                         text);
    }
    getnameinfo(
        (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET, .sin_addr = address},
        sizeof(struct sockaddr_in), place->host, sizeof place->host, NULL, 0, NI_NUMERICHOST);
    snprintf(place->text, sizeof place->text, "%s", text);
    place->node = node;
    place->port = (uint16_t)port;
    return SKUA_OK;
}

skua_status
skua__statics_open(skua_node *node, const char *const *peers, size_t count, skua_error *err) {
    if (count > SKUA__STATIC_PEERS_MAX) {
        return SKUA_FAIL(err, SKUA_E_LIMIT, "%zu peers are named; at most %d can be", count,
                         SKUA__STATIC_PEERS_MAX);
    }
    node->statics = skua__mem_new_array(node->hook, count, sizeof *node->statics);
    if (!node->statics) {
        return SKUA_FAIL_MEMORY(err, "the named peers");
    }
    for (size_t i = 0; i < count; i++) {
        skua__static_peer *place = &node->statics[i];
        skua_status status = read_place(node, peers[i] ? peers[i] : "", place, err);
        status = status ? status
                        : skua__host_source_new(&node->host, -1, introduce_now, place,
                                                &place->timer, err);
        if (status) {
            return status;
        }
        node->static_count++;
    }
    return SKUA_OK;
}

void
skua__statics_start(skua_node *node) {
    for (size_t i = 0; i < node->static_count; i++) {
        introduce_now(&node->statics[i]);
    }
}

void
skua__statics_close(skua_node *node) {
    for (size_t i = 0; i < node->static_count; i++) {
        node->statics[i].introduction = skua__introduction_cancel(node->statics[i].introduction);
        node->statics[i].timer = skua__node_source_free(node->statics[i].timer);
    }
    skua__static_peer *statics = node->statics;
    skua__mutex_lock(&node->lock);
    node->statics = NULL;
    node->static_count = 0;
    skua__mutex_unlock(&node->lock);
    skua__mem_free(node->hook, statics);
}
