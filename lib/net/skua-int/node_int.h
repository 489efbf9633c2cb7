// SPDX-License-Identifier: MPL-2.0
// What the boxes above ask of a node: its sockets, its view of who offers what, its thread and its
// control links. Patterns and the pool stand on this header; nothing else of lib/net's inside shows.
#ifndef SKUA_INT_NODE_INT_H
#define SKUA_INT_NODE_INT_H

#include <skua-int/ids.h>
#include <skua-int/list.h>
#include <skua/alloc.h>
#include <skua/error.h>
#include <skua/node.h>

/* ---- Offers and watches: who provides which service ---- */

/* A service that some node offers now, as its record says. It is the same node's when you offer it yourself. */
typedef struct skua__provider {
    skua__uuid node;
    uint64_t incarnation;
    char name[SKUA_NAME_BYTES]; /* the node's */
    char host[SKUA_HOST_BYTES]; /* where this node reaches it: the address its control link uses */
    uint16_t port;              /* of the service's socket */
    uint8_t curve_key[SKUA_KEY_BYTES];
    uint32_t version; /* of the service, as offered */
} skua__provider;

/*
 * Puts a service into this node's record; peers hear of it over their control links at once. The service's socket
 * must be bound before. Returns 0 with an id for skua__node_withdraw(), SKUA_E_NOT_AUTHORISED when our certificate
 * lacks role, SKUA_E_LIMIT, SKUA_E_NO_MEMORY. Threads: any.
 */
skua_status skua__node_offer(skua_node *node, skua__service_kind kind, const char *name,
                             uint32_t version, uint16_t port, uint32_t role, uint32_t *ret_offer,
                             skua_error *err);
void skua__node_withdraw(skua_node *node, uint32_t offer);

typedef struct skua__watch skua__watch;

typedef enum skua__provider_event {
    SKUA__PROVIDER_UP,   /* dial it */
    SKUA__PROVIDER_DOWN, /* withdrawn, or its node is dead: hang up; what it holds goes to others */
} skua__provider_event;

/*
 * Calls fn in the node's thread, holding no lock, for each provider of (kind, name): first those that are known
 * now, then each change. An incarnation that changes is a DOWN and an UP. Returns 0, SKUA_E_NOT_AUTHORISED when our
 * certificate lacks role, SKUA_E_NO_MEMORY. Threads: any; fn may call anything but skua__node_unwatch() of
 * its own watch and skua_node_close().
 */
skua_status
skua__node_watch(skua_node *node, skua__service_kind kind, const char *name, uint32_t role,
                 void (*fn)(void *arg, skua__provider_event event, const skua__provider *provider),
                 void *arg, skua__watch **ret_watch, skua_error *err);
/* From a watch's fn that could not take a provider now, for want of memory or descriptors: within a second each watch of
 * the node is told once more of every provider that is up, whether it has it or not. Threads: the node's. */
void skua__node_watch_again(skua_node *node);
/* Returns when fn runs no more. Takes NULL. Returns NULL. Not from the node's thread. */
skua__watch *skua__node_unwatch(skua_node *node, skua__watch *watch);

/* "2 peers; offered: hash, blur": for the message of SKUA_E_NO_PROVIDER. Returns ret. */
char *skua__node_offered_text(skua_node *node, skua__service_kind kind, char *ret, size_t ret_size);

/* ---- What happens to the node as a whole ---- */

/*
 * Lies inside its owner. Both functions are called in the node's thread, holding no lock; they may call anything but
 * skua__node_unlisten() and skua_node_close().
 */
typedef struct skua__node_listener {
    skua__list all; /* the node's */
    /* That life of the peer is over: it left, for whatever reason. */
    void (*left)(void *arg, const skua__uuid *peer, uint64_t incarnation);
    /* The node closes: its thread ends soon. */
    void (*closing)(void *arg);
    void *arg;
} skua__node_listener;

/* Returns 0, or SKUA_E_CLOSED. Threads: any. */
skua_status skua__node_listen(skua_node *node, skua__node_listener *listener, skua_error *err);
/* Returns when neither function runs any more. Not from the node's thread. */
void skua__node_unlisten(skua_node *node, skua__node_listener *listener);

/* ---- Sockets in the node's data context, with every limit of DESIGN set and CURVE on ---- */

/*
 * Makes a raw ZeroMQ socket. server_key NULL: a CURVE server (bind it with skua__node_bind()); else a CURVE client
 * of that key. Linger, handshake interval, maximum message size, high-water marks and ZMTP heartbeats are set. The
 * caller owns it: zmq_close(). The first server proves before that an unknown key is refused in this context. Returns 0
 * or SKUA_E_DESCRIPTORS, SKUA_E_SYSTEM, SKUA_E_NOT_SECURE.
 */
skua_status skua__node_socket(skua_node *node, int zmq_type, const uint8_t *server_key,
                              void **ret_socket, skua_error *err);
/* The same without CURVE, for an explicit plain endpoint. */
skua_status skua__node_plain_socket(skua_node *node, int zmq_type, void **ret_socket,
                                    skua_error *err);

/*
 * Binds to endpoint, or, where it is NULL, to the node's data addresses at a port of its range. Returns 0 with the
 * port, or SKUA_E_ADDRESS_IN_USE, SKUA_E_BAD_TRANSPORT, SKUA_E_BAD_ENDPOINT, SKUA_E_LOOPBACK_ONLY.
 */
skua_status skua__node_bind(skua_node *node, void *socket, const char *endpoint, uint16_t *ret_port,
                            skua_error *err);

/* ---- Who is behind a message ---- */

typedef struct skua__identity {
    skua__uuid node;
    uint64_t incarnation; /* the newest that we know */
    char name[SKUA_NAME_BYTES];
    uint32_t roles;
} skua__identity;

/* Looks up the ZAP User-Id of a received zmq_msg_t. Returns false when that peer is not (or no longer) admitted. */
bool skua__node_who(skua_node *node, const char *user_id, skua__identity *ret_identity);
/*
 * Several nodes may hold one certificate (two programs of one machine's folder), and a User-Id names the certificate.
 * A HELLO that says which node it is from is checked by this: true when that node holds that certificate.
 */
bool skua__node_who_is(skua_node *node, const char *user_id, const skua__uuid *claimed,
                       skua__identity *ret_identity);

/* ---- The node's thread ---- */

/* Runs fn(arg) once in the node's thread, soon. Threads: any. Returns 0 or SKUA_E_CLOSED, SKUA_E_NO_MEMORY. */
skua_status skua__node_post(skua_node *node, void (*fn)(void *arg), void *arg);

typedef struct skua__node_source skua__node_source;
/*
 * Watches fd for reading (level-triggered) and calls fn(arg) in the node's thread; at_ns, if not SKUA_NEVER_NS, is
 * a moment at which fn is called too. Sources may be armed and disarmed from any thread, cheaply.
 */
skua_status skua__node_source_new(skua_node *node, int fd, void (*fn)(void *arg), void *arg,
                                  skua__node_source **ret_source, skua_error *err);
void skua__node_source_arm(skua__node_source *source, bool watch_fd, int64_t at_ns);
/* Returns when fn runs no more; from inside fn it returns at once. Takes NULL. Returns NULL. */
skua__node_source *skua__node_source_free(skua__node_source *source);

/* ---- Control messages between the upper layers of two nodes: small, urgent, never behind bulk ---- */

typedef enum skua__control_channel {
    SKUA__CONTROL_POOL = 1, /* cancel, drain, load: sched/pool */
    SKUA__CONTROL_CHANNELS = 8,
} skua__control_channel;

/* Sends at most 1,024 bytes over the control link. Returns 0, SKUA_E_PEER_LOST, SKUA_E_TOO_BIG, SKUA_E_AGAIN. */
skua_status skua__node_control_send(skua_node *node, const skua__uuid *peer,
                                    skua__control_channel channel, const void *bytes, size_t size);
/* One receiver per channel, called in the node's thread under no lock; fn NULL takes it out and waits for it. */
skua_status skua__node_control_receive(skua_node *node, skua__control_channel channel,
                                       void (*fn)(void *arg, const skua__identity *from,
                                                  const void *bytes, size_t size),
                                       void *arg, skua_error *err);

/* ---- Odds and ends ---- */
const skua_allocator *skua__node_hook(const skua_node *node);
const skua__uuid *skua__node_uuid(const skua_node *node);
uint64_t skua__node_incarnation(const skua_node *node);
/*
 * A node that is closed before its handles stays in memory, with its sockets' contexts, until the last of them lets it go; every
 * call on it answers SKUA_E_CLOSED meanwhile.
 */
void skua__node_ref(skua_node *node);
skua_node *skua__node_unref(skua_node *node); /* returns NULL */
/* SKUA_OK, or SKUA_E_CLOSED, or SKUA_E_FORKED in the child of a fork(). The first line of every public call. */
skua_status skua__node_check(const skua_node *node, skua_error *err);

#endif
