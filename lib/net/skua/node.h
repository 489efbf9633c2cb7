// SPDX-License-Identifier: MPL-2.0
// A node: one participant with an identity, a certificate, peers that it found, and the services they offer.
// Everything that talks to other processes (patterns, pools) stands on one.
#ifndef SKUA_NODE_H
#define SKUA_NODE_H

#include <skua/alloc.h>
#include <skua/common.h>
#include <skua/error.h>
#include <skua/metrics.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct skua_node skua_node;

struct skua_log_sink; /* skua/log.h */

enum {
    SKUA_NODE_NAME_BYTES = 64,     /* a node's name with its final 0 */
    SKUA_NODE_ID_BYTES = 37,       /* a node's UUID as text with its final 0 */
    SKUA_NODE_ENDPOINT_BYTES = 64, /* "192.0.2.7:7582" with its final 0 */
    SKUA_NODE_TEXT_BYTES = 256,    /* a list of services or devices, cut to this with its final 0 */
    SKUA_NODE_DEFAULT_PORT = 7582, /* UDP: beacons; TCP: introductions, where it is free */
    SKUA_NODE_MAX_PEERS = 4096,    /* peers that a node knows at a time */
    SKUA_NODE_MAX_SERVICES = 256,  /* services that a node offers at a time */
    SKUA_NODE_MAX_CAPABILITY_BYTES = 16384,
};

/* What happened to a peer. SUSPECT is followed by ALIVE or LEAVE; nothing is taken from a peer that is only suspect. */
typedef enum skua_node_event_kind {
    SKUA_NODE_JOIN = 1,
    SKUA_NODE_SUSPECT = 2,
    SKUA_NODE_ALIVE = 3,
    SKUA_NODE_LEAVE = 4,
} skua_node_event_kind;

/* Why a peer left. */
typedef enum skua_leave_reason {
    SKUA_LEAVE_NONE = 0,        /* it did not leave */
    SKUA_LEAVE_BYE = 1,         /* it was closed in good order */
    SKUA_LEAVE_GONE = 2,        /* its process is gone: its host answers, the process does not */
    SKUA_LEAVE_SILENT = 3,      /* nothing was heard for 3 heartbeats and a bit */
    SKUA_LEAVE_RESTARTED = 4,   /* it came back as a new incarnation; a JOIN follows */
    SKUA_LEAVE_EXPIRED = 5,     /* its certificate ran out; 6 is reserved */
    SKUA_LEAVE_UNREACHABLE = 7, /* its beacons arrive, but no connection to it can be made */
} skua_leave_reason;

/* Where a peer was first heard of. */
typedef enum skua_peer_via {
    SKUA_VIA_BEACON = 1,
    SKUA_VIA_STATIC = 2,    /* named in the options' peers */
    SKUA_VIA_PEER_LIST = 3, /* another peer told us */
    SKUA_VIA_INCOMING = 4,  /* it dialled us */
} skua_peer_via;

typedef enum skua_peer_state {
    SKUA_PEER_JOINING = 1, /* heard of; its control link is not up yet */
    SKUA_PEER_ALIVE = 2,
    SKUA_PEER_SUSPECT = 3, /* silent, or its link broke; being probed */
    SKUA_PEER_DEAD = 4,    /* remembered for a short while only */
} skua_peer_state;

/* One event. The library fills at most `size` bytes of it: fields are only ever added at the end. */
typedef struct skua_node_event {
    size_t size;
    int32_t kind;   /* skua_node_event_kind */
    int32_t reason; /* skua_leave_reason */
    int64_t at_ns;  /* monotonic */
    char name[SKUA_NODE_NAME_BYTES];
    char id[SKUA_NODE_ID_BYTES];
    char endpoint[SKUA_NODE_ENDPOINT_BYTES]; /* of its introduction port, as seen from here */
} skua_node_event;

/*
 * How a node is opened. Make one with SKUA_NODE_OPTIONS(.name = "a") in C, with skua_node_options_init() elsewhere. Every
 * string and array is copied; the allocator, the log sink and event_ctx are borrowed until skua_node_close().
 */
typedef struct skua_node_options {
    size_t size;
    /* 1 to 63 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit. NULL: the certificate's name, or, in a fleet
     * folder that can issue one, the host's name and four random digits. */
    const char *name;
    /* A folder made by skua_fleet_init() (the node issues itself a certificate) or skua_fleet_issue(). NULL: the personal
     * fleet, which is made on first use and stays on this machine. */
    const char *fleet_dir;
    /* Nodes to introduce ourselves to where beacons do not reach: "HOST" or "HOST:PORT", the port being the other node's
     * introduction port (SKUA_NODE_DEFAULT_PORT where it is left out). They are tried until they answer. */
    const char *const *peers;
    size_t peer_count;
    /* Interfaces by name ("eth0") to send beacons on and to listen on, besides loopback. None: every interface that is up,
     * also one that comes up later; with the personal fleet loopback alone, and naming another is SKUA_E_LOOPBACK_ONLY. A named
     * one must be up (SKUA_E_NOT_FOUND); when it was gone and is back with the address that it had, it is used again. */
    const char *const *interfaces;
    size_t interface_count;
    /* The TCP ports that the node and its services bind, both ends included. 0 and 0: SKUA_NODE_DEFAULT_PORT and
     * following for introductions, and for all else what the system picks. */
    uint16_t port_first, port_last;
    uint16_t beacon_port; /* UDP, the same in the whole fleet. 0: SKUA_NODE_DEFAULT_PORT */
    uint8_t
        no_beacon; /* 1: neither send nor hear beacons; peers come from `peers` and from other peers */
    uint8_t reserved_flags[5];
    /* The heartbeat T: a peer that is silent for 3.5 T + 100 ms is dead. 0: 1,000 ms. 100 to 60,000. */
    int32_t heartbeat_ms;
    /* The oldest and newest protocol version to speak; 0: this library's. For tests of mixed fleets. */
    uint16_t protocol_min, protocol_max;
    /* Called in the node's own thread with no lock held, once for each event; it may call anything but
     * skua_node_close(). NULL: events wait for skua_node_next_event(). */
    void (*on_event)(void *event_ctx, const skua_node_event *event);
    void *event_ctx;
    const skua_allocator *allocator; /* NULL: skua_allocator_default() */
    const struct skua_log_sink *log; /* NULL: nothing is logged */
    const char
        *recorder_file; /* written when the node closes, and by skua_node_record(). NULL: never */
    uint32_t recorder_events; /* the last so many are kept. 0: 4,096 */
    uint32_t io_threads;      /* of ZeroMQ, for data. 0: 1. At most 16 */
    /* 16 bytes: the UUID to come back under after a restart. NULL: a new one. The number of its last life is kept in the
     * fleet's folder, so that a clock that was set back does no harm. */
    const uint8_t *id;
} skua_node_options;

#define SKUA_NODE_OPTIONS(...)                                                                     \
    (&(const skua_node_options){.size = sizeof(skua_node_options), __VA_ARGS__})

/**
 * Sets *options to the defaults, for languages that have no designated initialisers. `size` is sizeof *options there.
 *
 * Returns: nothing; there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API void skua_node_options_init(skua_node_options *options, size_t size);

/**
 * Opens a node: reads its certificate (or makes the personal fleet), binds its ports, tests that unknown keys are
 * refused, and begins to look for peers. It does not wait for any. Copies options, which may be NULL. The caller owns
 * *ret_node: skua_node_close().
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_BAD_NAME, SKUA_E_NO_FLEET, SKUA_E_BAD_CERTIFICATE, SKUA_E_EXPIRED,
 * SKUA_E_LOOPBACK_ONLY, SKUA_E_ADDRESS_IN_USE, SKUA_E_BAD_ENDPOINT, SKUA_E_NOT_FOUND (an interface), SKUA_E_NOT_SECURE,
 * SKUA_E_DESCRIPTORS, SKUA_E_NO_MEMORY, SKUA_E_FILE, SKUA_E_SYSTEM.
 * Threads: any. Blocks: for tens of milliseconds. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_node_open(skua_node **ret_node,
                                                    const skua_node_options *options,
                                                    skua_error *err);

/**
 * Says goodbye and ends the node. Handles and pools that were opened on it are best closed before. One that is not answers
 * SKUA_E_CLOSED from here on, but to its own close(), and what it needs of the node goes with the last of them. Takes
 * NULL. In the child of a fork() it does nothing.
 *
 * Returns: NULL.
 * Threads: one; no other call on the node may run. Not from on_event. Blocks: at most 500 ms, also when peers are dead.
 * Since 0.1.
 */
SKUA_API skua_node *skua_node_close(skua_node *node);

/**
 * The node's own name.
 *
 * Returns: a string that lives until skua_node_close(); there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_node_name(const skua_node *node);

/**
 * The node's own UUID as text.
 *
 * Returns: a string that lives until skua_node_close(); there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_node_id(const skua_node *node);

/**
 * Where others reach this node, for their options' `peers`: "127.0.0.1:7582".
 *
 * Returns: a string that lives until skua_node_close(); there are no errors.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_node_endpoint(const skua_node *node);

/* What is known of a peer. The library fills at most `size` bytes: fields are only ever added at the end. */
typedef struct skua_peer {
    size_t size;
    char name[SKUA_NODE_NAME_BYTES];
    char id[SKUA_NODE_ID_BYTES];
    char endpoint[SKUA_NODE_ENDPOINT_BYTES]; /* its introduction port, as seen from here */
    int32_t via;                             /* skua_peer_via */
    int32_t state;                           /* skua_peer_state */
    uint64_t incarnation;
    uint32_t cores;        /* 0: it did not say (so also below) */
    uint32_t numa;         /* NUMA nodes */
    uint32_t device_count; /* OpenCL devices */
    uint32_t queue;        /* tasks that wait there, when it last said so */
    uint64_t memory_bytes;
    int64_t rtt_us;  /* smoothed round trip of the control link; -1: not measured yet */
    int64_t seen_ms; /* since it was last heard */
    uint32_t service_count;
    uint32_t protocol;                   /* the version spoken with it */
    char services[SKUA_NODE_TEXT_BYTES]; /* "pub:weather rep:echo", cut to whole words */
    char devices[SKUA_NODE_TEXT_BYTES];
} skua_peer;

/**
 * Lists the peers whose state is JOINING, ALIVE or SUSPECT. ret_peers is the caller's array of `capacity` structs of
 * `peer_size` bytes each (sizeof(skua_peer) of the caller's header); it may be NULL when capacity is 0.
 *
 * Returns: 0 with the number of peers in *ret_count, which may be above capacity: then the first `capacity` were
 * written. SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never for long. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_node_peers(skua_node *node, skua_peer *ret_peers,
                                                     size_t peer_size, size_t capacity,
                                                     size_t *ret_count, skua_error *err);

/**
 * Waits until at least `count` peers are alive (the node itself is not one). timeout_ms: 0 is 5,000; SKUA_UNLIMITED,
 * SKUA_NONE.
 *
 * Returns: 0, or SKUA_E_NO_PEERS with a message that says where was looked, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any, but not the node's own. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_node_await_peers(skua_node *node, size_t count,
                                                           int64_t timeout_ms, skua_error *err);

/**
 * A descriptor that is readable while an event waits (level-triggered). It is the node's: do not read or close it. It
 * is there only when on_event is NULL.
 *
 * Returns: the descriptor, or -1.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API int skua_node_event_fd(skua_node *node);

/**
 * Takes the oldest waiting event. Set ret_event->size to sizeof *ret_event before. At most 4,096 events wait: older ones
 * are then dropped, and counted in skua_node_counters.events_dropped. timeout_ms: 0 does not wait (as SKUA_NONE);
 * SKUA_UNLIMITED.
 *
 * Returns: 0, or SKUA_E_AGAIN (no event waits), SKUA_E_TIMEOUT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: up to timeout_ms. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_node_next_event(skua_node *node,
                                                          skua_node_event *ret_event,
                                                          int64_t timeout_ms, skua_error *err);

/**
 * Sets one capability in the node's record under a name (copies bytes); peers hear of it over their control links within
 * a heartbeat. size_bytes 0 takes it out. Some names are known, and show in skua_peer: "cores", "numa", "queue" (uint32,
 * little-endian), "memory" (uint64, bytes), "devices" (text, one device a line). All others belong to whoever sets
 * them; at most 48, each of at most 16 KiB, and the whole record of at most 64 KiB.
 *
 * Returns: 0, or SKUA_E_BAD_NAME, SKUA_E_BAD_ARGUMENT, SKUA_E_TOO_BIG, SKUA_E_LIMIT, SKUA_E_NO_MEMORY, SKUA_E_CLOSED,
 * SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_node_set_capability(skua_node *node, const char *key,
                                                              const void *bytes, size_t size_bytes,
                                                              skua_error *err);

/**
 * Reads one capability of the peer with the UUID `id` (text; the node's own too). At most capacity_bytes are written to
 * ret_bytes.
 *
 * Returns: 0 with the capability's full size in *ret_size, or SKUA_E_NOT_FOUND (no such peer, or it has none),
 * SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_node_peer_capability(skua_node *node, const char *id,
                                                               const char *key, void *ret_bytes,
                                                               size_t capacity_bytes,
                                                               size_t *ret_size, skua_error *err);

/* What the node counted since it was opened: each thing that is dropped or refused has its cause. Fields are only ever
 * added at the end. */
typedef struct skua_node_counters {
    size_t size;
    uint64_t beacons_sent;
    uint64_t beacons_received; /* accepted: of our fleet, whole, fresh */
    uint64_t beacons_dropped_malformed;
    uint64_t beacons_dropped_fleet;   /* another fleet's */
    uint64_t beacons_dropped_mac;     /* forged, or made with another beacon key */
    uint64_t beacons_dropped_version; /* no protocol version in common */
    uint64_t beacons_dropped_replay;  /* an old sequence number */
    uint64_t beacons_dropped_certificate;
    uint64_t beacons_dropped_expired;
    uint64_t beacon_send_errors;
    uint64_t introductions_served;
    uint64_t introductions_made;
    uint64_t introductions_dropped_malformed;
    uint64_t introductions_dropped_certificate; /* of another fleet, or expired */
    uint64_t introductions_dropped_rate;
    uint64_t introductions_dropped_slow; /* nothing whole came within a second */
    uint64_t probes_sent;
    uint64_t dials;
    uint64_t dials_failed;
    uint64_t zap_admitted;
    uint64_t zap_refused_unknown; /* no certificate for that key, or none at all */
    uint64_t zap_refused_expired;
    uint64_t zap_refused_malformed;
    uint64_t control_sent;
    uint64_t control_received;
    uint64_t control_dropped_malformed;
    uint64_t control_dropped_identity; /* claims to be another node than its certificate says */
    uint64_t control_dropped_version;
    uint64_t control_dropped_unknown; /* of a peer whose link is not up */
    uint64_t control_dropped_full;    /* the peer's control queue was full */
    uint64_t peers_joined;
    uint64_t peers_left;
    uint64_t peers_suspected;
    uint64_t peers_refused_limit; /* SKUA_NODE_MAX_PEERS were known */
    uint64_t events_dropped;
} skua_node_counters;

/**
 * Copies the counters out. Set ret_counters->size to sizeof *ret_counters before.
 *
 * Returns: 0, or SKUA_E_BAD_ARGUMENT, SKUA_E_FORKED.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_node_stats(skua_node *node,
                                                     skua_node_counters *ret_counters,
                                                     skua_error *err);

/**
 * The node's table of metrics, for skua_metrics_snapshot(): the sums that are worth watching, by registered names
 * ("node.joins"); skua_node_stats() has each cause by itself.
 *
 * Returns: a table that lives until skua_node_close(), or NULL when node is NULL.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const skua_metrics *skua_node_metrics(skua_node *node);

/**
 * Writes what the flight recorder holds (the last recorder_events inputs of the state machines, with their times) to
 * `path`, or to the options' recorder_file when path is NULL. The file is replaced as a whole.
 *
 * Returns: 0, or SKUA_E_FILE, SKUA_E_BAD_ARGUMENT (no path at all), SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any. Blocks: on the file system. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_node_record(skua_node *node, const char *path,
                                                      skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
