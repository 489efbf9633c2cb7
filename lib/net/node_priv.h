// SPDX-License-Identifier: MPL-2.0
// The inside of a node: its tables, and what its files call of each other. Inside lib/net only.
//
// Threads: the node's thread (host.h) owns the peer machines, the links, discovery and the watches, and touches them
// without a lock. What other threads read or change is guarded by node->lock and marked so. The order is: a handle's lock may
// be held when node->lock is taken; under node->lock only the leaves (host, ZAP) are locked, and nothing is called out.
#ifndef SKUA_NET_NODE_PRIV_H
#define SKUA_NET_NODE_PRIV_H

#include "fleet_files.h"
#include "host.h"
#include "security.h"
#include "sockets.h"

#include <netinet/in.h>
#include <skua-int/beacon.h>
#include <skua-int/clock.h>
#include <skua-int/control.h>
#include <skua-int/fail.h>
#include <skua-int/flight.h>
#include <skua-int/hash.h>
#include <skua-int/intro.h>
#include <skua-int/metrics.h>
#include <skua-int/node_int.h>
#include <skua-int/peer_fsm.h>
#include <skua-int/record.h>
#include <skua/node.h>

enum {
    SKUA__PEER_EVENTS_WAITING = 16,  /* of one machine, while actions are carried out */
    SKUA__EVENTS_MAX = 4096,         /* for the user, waiting */
    SKUA__POSTED_CONTROL_MAX = 4096, /* control messages on their way to the node's thread */
    SKUA__INTERFACES_MAX = 32,
    SKUA__STATIC_PEERS_MAX = 256,
    SKUA__INTRO_SERVED_MAX = 64, /* connections to the introduction port at a time */
    SKUA__INTRO_MS = 1000,       /* for one introduction */
    SKUA__INTRO_RATE = 200,      /* introductions served in a second; bursts of as many */
    SKUA__STATIC_RETRY_MS = 500,
    SKUA__BEACON_GAP_MS = 20, /* between beacons, whoever asks for them */
    SKUA__BEACONS_PER_WAKE = 256,
    SKUA__ROUTE_MAX = 255,
    SKUA__CONTROL_FRAMES_PER_WAKE = 1024,
    SKUA__PUBLIC_CAPABILITIES_MAX = 48,
    SKUA__HOLD_NEWCOMER_MS =
        40, /* how long the higher UUID leaves the dial to the lower, for each newcomer, */
    SKUA__HOLD_MAX_MS = 1000, /* and at most */
    SKUA__LINKS_MAX = 2 * SKUA_NODE_MAX_PEERS,
    SKUA__SWEEP_MS = 1000, /* between looks at the clock of certificates */
};

typedef struct skua__peer skua__peer;
typedef struct skua__clink skua__clink;
typedef struct skua__introduction skua__introduction;
typedef struct skua__knock skua__knock;

/* The counters of skua_node_counters by their place in it. */
#define SKUA__COUNTER(field) (offsetof(skua_node_counters, field) / sizeof(uint64_t) - 1)
enum { SKUA__COUNTERS = sizeof(skua_node_counters) / sizeof(uint64_t) - 1 };

/* One control link: one authenticated connection to a peer's control port, or from it to ours. Node's thread only. */
struct skua__clink {
    skua__list links; /* in node->links */
    skua_node *node;
    skua__peer *peer; /* NULL: incoming, before its HELLO */
    uint32_t number;  /* the machine's name for it */
    bool outgoing;
    bool up;          /* HELLOs were exchanged */
    bool retried;     /* outgoing: refused once, introduced ourselves, and dialled again */
    uint16_t version; /* of the protocol, once up */
    /* outgoing */
    void *dealer, *monitor;
    skua__node_source *dealer_source, *monitor_source;
    skua__introduction *introduction; /* before the dial */
    skua__knock *knock;               /* after a dial that failed: does anybody listen there? */
    bool connected;                   /* its TCP connection stands */
    /* incoming */
    uint8_t route[SKUA__ROUTE_MAX];
    size_t route_size;
    uint32_t fd; /* of its connection, as the monitor names it; 0: not known */
};

struct skua__peer {
    /* Guarded by node->lock for other threads; only the node's thread writes. */
    skua__uuid uuid;
    char name[SKUA_NAME_BYTES];
    char host[SKUA_HOST_BYTES]; /* where we reach it */
    uint16_t control_port, introduction_port;
    skua_peer_via via;
    skua__peer_state state;
    bool joined;
    uint64_t incarnation; /* of the member, or the newest heard of */
    int64_t heard_ns;     /* real clock */
    skua__rtt rtt;
    uint16_t protocol;
    bool has_record;
    skua__record record;
    skua__certificate certificate;
    skua__admission *admission;

    /* The node's thread only. */
    skua_node *node;
    skua__peer_fsm fsm;
    skua__node_source *timer; /* rings when the machine wants its TICK */
    skua__node_source *hold;  /* a dial that waits for the other's; made when first needed */
    skua__dial_slot dial_slot;
    skua__list ready; /* in node->ready while events wait */
    skua__peer_event events[SKUA__PEER_EVENTS_WAITING];
    uint32_t event_count;
    bool forgotten; /* FORGET was carried out: to be freed */
    bool introduce; /* it may not have our certificate: introduce ourselves before dialling */
    skua__beacon_window window;
    skua__clink *link; /* the one in use */
    skua__clink *dial; /* the one being made */
    skua__knock *probe;
    uint32_t probe_number; /* of the probe under way: the machine's */
    uint32_t record_version_sent;
};

/* A place that the user named: it is introduced to until the node behind it has joined. */
typedef struct skua__static_peer {
    skua_node *node;
    char host[SKUA_HOST_BYTES]; /* numeric, resolved when the node was opened */
    char text[SKUA_NODE_ENDPOINT_BYTES];
    uint16_t port;
    skua__uuid uuid; /* of who answered last */
    bool known, self;
    skua__introduction *introduction;
    skua__node_source *timer;
} skua__static_peer;

/* An interface on which we beacon. */
typedef struct skua__interface {
    char name[16];
    struct in_addr address, broadcast;
    unsigned index;
} skua__interface;

typedef struct skua__offer {
    uint32_t id;
    skua__service_kind kind;
    uint16_t port;
    char name[SKUA_NAME_BYTES];
} skua__offer;

typedef struct skua__control_receiver {
    void (*fn)(void *arg, const skua__identity *from, const void *bytes, size_t size);
    void *arg;
} skua__control_receiver;

struct skua_node {
    /* Set at opening, read by all. */
    const skua_allocator *hook;
    const struct skua_log_sink *log;
    uint32_t fork_generation;
    skua__credentials credentials;
    skua__fleet_tag fleet;
    skua__uuid uuid;
    char uuid_text[SKUA_UUID_TEXT];
    uint64_t incarnation;
    char endpoint[SKUA_NODE_ENDPOINT_BYTES];
    int64_t heartbeat_ns;
    uint16_t protocol_min, protocol_max;
    uint16_t control_port, introduction_port, beacon_port;
    bool no_beacon;
    char *recorder_file;
    skua__bind_hosts bind_hosts;
    skua__socket_config data_config, control_config;
    void *control_ctx, *data_ctx;
    skua__admission *self_admission;
    void (*on_event)(void *event_ctx, const skua_node_event *event);
    void *event_ctx;

    skua__host host;
    skua__zap zap;
    bool zap_running;
    skua__mutex
        proof_lock; /* guards data_proven; held while the proof runs, and nothing is locked under it */
    bool data_proven; /* an unknown key was refused in the data context */
    _Atomic uint64_t counters[SKUA__COUNTERS];
    skua_metrics metrics; /* the registry's sums of them */
    _Atomic bool closed;
    _Atomic uint32_t refs; /* the user's until skua_node_close(), and each handle's */

    /* The node's thread only. */
    skua__lived lived;
    skua__peer_config peer_config;
    skua__dial_limiter limiter;
    skua__list ready; /* of peers with events */
    bool stepping;
    bool stopping;
    skua__list links;
    skua__hash routes;  /* the ROUTER's name for a connection -> its link */
    skua__hash numbers; /* the machines' name for a link -> it */
    uint32_t link_count, next_link;
    void *router, *router_monitor;
    skua__node_source *router_source, *router_monitor_source;
    skua__node_source *tick, *beacon_timer, *beacon_source;
    skua__node_source *drain; /* a moment at which sockets are looked at once more after sends */
    int beacon_fd;
    int introduction_fds[SKUA__BIND_HOSTS_MAX];
    skua__node_source *introduction_sources[SKUA__BIND_HOSTS_MAX];
    size_t introduction_count;
    char wanted[SKUA__INTERFACES_MAX][16]; /* interfaces that the options named; none: all */
    size_t wanted_count;
    skua__interface interfaces[SKUA__INTERFACES_MAX]; /* changed under lock, by the node's thread */
    size_t interface_count;
    int netlink_fd; /* tells when interfaces come or go */
    skua__node_source *netlink_source;
    uint64_t beacon_sequence;
    int64_t beacon_last_ns;
    bool beacon_soon;     /* one is due as soon as the gap allows */
    uint8_t beacon_flags; /* of that one */
    skua__static_peer *statics;
    size_t static_count;
    skua__list introductions; /* of ours and of others at our port */
    size_t served;
    int64_t served_tokens_milli, served_at_ns;
    int64_t sweep_at_ns;
    skua__list watches;
    skua__list listeners;
    skua__record announced; /* what watches and peers were told of us */
    skua__control_receiver receivers[SKUA__CONTROL_CHANNELS];
    uint8_t *scratch;        /* SKUA__CONTROL_MAX bytes for a frame to send */
    uint8_t *record_scratch; /* SKUA__RECORD_MAX */

    /* Guarded by lock. */
    skua__mutex lock;
    skua__cond changed; /* a peer joined or left, an event waits, the node closes */
    skua__hash peers;   /* uuid -> skua__peer; the node's thread alone changes it */
    size_t joined_count;
    skua__record record; /* ours */
    skua__offer offers[SKUA_NODE_MAX_SERVICES];
    size_t offer_count;
    uint32_t next_offer;
    bool record_posted;      /* the node's thread will look at record */
    bool record_stale;       /* it could not: the tick does */
    bool watches_stale;      /* a watch missed a provider: the tick tells it again */
    skua_node_event *events; /* a ring of events_capacity */
    size_t event_first, event_count, event_capacity;
    int event_fd;
    char refusal[128]; /* the last peer that was refused, and why: for messages */
    uint8_t *flight;   /* the recorder's ring of entries */
    uint32_t flight_capacity;
    uint64_t flight_count; /* entries ever written */
    int64_t opened_wall_s;
    size_t posted_control;
};

/* ---- node.c ---- */
void skua__count(skua_node *node, size_t counter);
/* The last refusal stands in the message of whoever waits for peers in vain. */
void skua__note_refusal(skua_node *node, const char *who, skua_status status, const char *why);
void skua__logf(const skua_node *node, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- incarnation.c ---- */
/*
 * The number of the life that begins now: the clock's, or the one after the last that the folder (NULL: the personal
 * fleet's) holds for that UUID. It is kept there. Returns 0, SKUA_E_FILE.
 */
skua_status skua__incarnation_next(const char *fleet_dir, const skua__uuid *uuid, uint64_t clock,
                                   uint64_t *ret_incarnation, skua_error *err);

/* ---- peers.c: the peer table, and the machines' actions carried out ---- */
skua__peer *skua__peer_find(skua_node *node, const skua__uuid *uuid);
/* Finds or makes a peer whose certificate is verified, and takes over what is newer. NULL: no memory, or too many. */
skua__peer *skua__peer_meet(skua_node *node, const skua__uuid *uuid, uint64_t incarnation,
                            const skua__certificate *certificate, skua_peer_via via);
void skua__peer_at(skua__peer *peer, const char *host, uint16_t control_port,
                   uint16_t introduction_port);
/* Hands a machine an event, and carries out what follows. The peer may be gone afterwards. */
void skua__peer_feed(skua__peer *peer, skua__peer_event event);
/* Ends every peer, without telling anybody. */
void skua__peers_fini(skua_node *node);
/* Verifies a certificate, unless it is the one that the peer is known by. Counts nothing. */
skua__certificate_result skua__peer_verify(skua_node *node, const skua__uuid *uuid,
                                           const skua__certificate *certificate);
void skua__peers_sweep(skua_node *node); /* certificates that have run out */
const char *skua__peer_name(const skua__peer *peer);

/* ---- control_link.c ---- */
skua_status skua__control_open(skua_node *node, skua_error *err);
void skua__control_close(skua_node *node);
void skua__clink_dial(skua__peer *peer); /* the limiter let it begin: makes peer->dial */
void skua__clink_free(skua__clink *link);
skua__clink *skua__clink_find(skua_node *node, uint32_t number);
void skua__clink_hello(skua__clink *link);
/*
 * The link is over, for the machine as LINK_DOWN when it was up, else as that kind of event; it is freed. The link must
 * have a peer, which may be gone afterwards.
 */
void skua__clink_fails(skua__clink *link, skua__peer_event_kind kind);
/* Sends one frame; false when the link cannot take it. */
bool skua__clink_send(skua__clink *link, const skua__control *control);
void skua__clink_send_record(skua__clink *link);
void skua__clink_send_peers(skua__clink *link);
void skua__clink_ping(skua__clink *link);
void skua__clink_refuse(skua__clink *link, skua_status status, const char *text);
/* Knocks at the peer's control port; the answer is fed with that number. One that is still under way is given up. */
void skua__control_probe(skua__peer *peer, uint32_t number);
void skua__control_bye(skua_node *node); /* to every peer */

/* ---- control_frames.c ---- */
/* Takes one frame that came on the link, which may be gone afterwards. */
void skua__clink_frame(skua__clink *link, zmq_msg_t *frame);

/* ---- knock.c: is there a listener at that address? ---- */
typedef enum skua__knock_end {
    SKUA__KNOCK_OPEN,
    SKUA__KNOCK_REFUSED,
    SKUA__KNOCK_RESET,  /* somebody listened, and the connection was reset before we looked */
    SKUA__KNOCK_SILENT, /* no answer in time, or no way there */
} skua__knock_end;
/*
 * Begins a bare TCP connect. fn is called once, in the node's thread and never inside this call, with the connected
 * descriptor when OPEN (fn's to close), else -1. NULL: it could not begin.
 */
skua__knock *skua__knock_begin(skua_node *node, const char *host, uint16_t port, int64_t limit_ms,
                               void (*fn)(void *arg, skua__knock_end end, int fd), void *arg);
/* Ends it without calling fn. Takes NULL. Returns NULL. */
skua__knock *skua__knock_cancel(skua__knock *knock);

/* ---- discovery.c ---- */
skua_status skua__discovery_open(skua_node *node, const skua_node_options *options,
                                 skua_error *err);
void skua__discovery_start(skua_node *node); /* in the node's thread */
void skua__discovery_close(skua_node *node);
void skua__beacon_soon(skua_node *node, uint8_t flags);
void skua__beacon_send(skua_node *node, uint8_t flags);

/* ---- interfaces.c ---- */
/* Chooses the interfaces and, from them, the addresses that sockets are bound to. */
skua_status skua__interfaces_choose(skua_node *node, const skua_node_options *options,
                                    skua_error *err);
/* From skua__interfaces_start() on beacons follow what comes up and goes down. */
skua_status skua__interfaces_watch(skua_node *node, skua_error *err);
void skua__interfaces_start(skua_node *node); /* in the node's thread */
void skua__interfaces_close(skua_node *node);

/* ---- introduction.c ---- */
skua_status skua__introduction_open(skua_node *node, skua_error *err);
void skua__introduction_start(skua_node *node);
void skua__introduction_close(skua_node *node);
typedef enum skua__introduction_end {
    SKUA__INTRODUCTION_DONE,
    SKUA__INTRODUCTION_REFUSED_PORT, /* nobody listens there */
    SKUA__INTRODUCTION_REJECTED,     /* one of us does not accept the other */
    SKUA__INTRODUCTION_FAILED,
} skua__introduction_end;
/*
 * Introduces us to whoever listens there. fn is called once, in the node's thread; with DONE the peer is known, and
 * reply says who it is. NULL: it could not begin, and fn is not called.
 */
skua__introduction *
skua__introduce(skua_node *node, const char *host, uint16_t port, skua_peer_via via,
                void (*fn)(void *arg, skua__introduction_end end, const skua__intro *reply),
                void *arg);
skua__introduction *skua__introduction_cancel(skua__introduction *introduction);

/* ---- static_peers.c ---- */
skua_status skua__statics_open(skua_node *node, const char *const *peers, size_t count,
                               skua_error *err);
void skua__statics_start(skua_node *node);
void skua__statics_close(skua_node *node);

/* ---- services.c: our record, and who watches whose ---- */
skua_status skua__services_init(skua_node *node, skua_error *err);
void skua__services_fini(skua_node *node);
void skua__services_tick(skua_node *node);
/* Tells the watches what changed of a peer between two records (either may be NULL). Node's thread, no lock held. */
/* peer NULL: ourselves. */
void skua__services_changed(skua_node *node, const skua__peer *peer, uint64_t incarnation,
                            const skua__record *before, const skua__record *after);
/* ---- listeners.c; node's thread, no lock held ---- */
void skua__listeners_left(skua_node *node, const skua__uuid *peer, uint64_t incarnation);
void skua__listeners_closing(skua_node *node);

void skua__control_deliver(skua_node *node, skua__peer *peer, uint16_t channel, const void *bytes,
                           size_t size);

/* ---- events.c ---- */
skua_status skua__events_init(skua_node *node, skua_error *err);
void skua__events_fini(skua_node *node);
void skua__events_tell(skua_node *node, skua_node_event_kind kind, skua_leave_reason reason,
                       const skua__peer *peer);

/* ---- recorder.c ---- */
skua_status skua__recorder_init(skua_node *node, uint32_t entries, skua_error *err);
void skua__recorder_fini(skua_node *node);
void skua__recorder_add(skua_node *node, const skua__flight_entry *entry);

#endif
