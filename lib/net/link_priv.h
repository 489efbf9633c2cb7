// SPDX-License-Identifier: MPL-2.0
// The inside of handles and links, shared by handle.c, batch.c, link.c, link_rx.c, link_zmq.c and group.c and by nobody else.
#ifndef SKUA_NET_LINK_PRIV_H
#define SKUA_NET_LINK_PRIV_H

#include <zmq.h>

#include <skua-int/clock.h>
#include <skua-int/handle.h>
#include <skua-int/mem.h>

enum {
    SKUA__ROUTE_MAX_BYTES = 16,   /* a routing id that ROUTER made has 5 */
    SKUA__PUMP_FRAMES_MAX = 1024, /* taken from one socket before the next has its turn */
    SKUA__PUMP_EVENTS_MAX = 64,
    SKUA__PUMP_ROUNDS_MAX = 16,
    SKUA__ACK_UNITS = 2,           /* so many units are acknowledged at once when they have come */
    SKUA__ID_SEQ_BITS = 40,        /* of a message's id; the link's number stands above */
    SKUA__SPARE_UNITS_MAX = 64,    /* kept for reuse per handle */
    SKUA__PLAIN_QUEUE_MSGS = 1000, /* of plain peers, in the handle's queue */
};

#define SKUA__TICK_NS (5 * SKUA_NS_PER_MS) /* how soon the node's thread takes over from callers */
/* Messages that travel alone are acknowledged for idleness no more often than this: an ACK for each of a stream costs
 * both sides more than all copies do (docs/results/2026-11-foundation.md). */
#define SKUA__ACK_PATIENCE_NS (2 * SKUA_NS_PER_MS)
#define SKUA__FAR_NS                                                                               \
    (20 * SKUA_NS_PER_MS) /* a moment so far away costs the leader no timer of its own */
#define SKUA__UPKEEP_NS (1000 * SKUA_NS_PER_MS) /* how often a provider looks after its consumers */
#define SKUA__FINACK_NS (200 * SKUA_NS_PER_MS)  /* how long a close waits for FINACK at most */
#define SKUA__RESUME_DEFAULT_MS 10000

typedef struct skua__route {
    uint8_t size;
    uint8_t bytes[SKUA__ROUTE_MAX_BYTES];
} skua__route;

typedef struct skua__port skua__port;

/* What a transport does; every call is made with the handle's lock held and never blocks. */
typedef struct skua__port_ops {
    /* Provider: binds; *ret_port is what to offer. */
    skua_status (*bind)(skua__port *port, const char *endpoint, uint16_t *ret_port,
                        skua_error *err);
    /* Consumer: dials one provider. */
    skua_status (*dial)(skua__port *port, const skua__provider *provider, skua_error *err);
    /*
     * Sends one frame to route (ignored by a consumer's port). Takes the message on success. Returns 0, EAGAIN,
     * EHOSTUNREACH (that connection is gone).
     */
    int (*send)(skua__port *port, const skua__route *route, zmq_msg_t *frame);
    /* Takes the next frame into *frame (initialised). Returns 0, EAGAIN, EPROTO (a frame was dropped: not of our kind). */
    int (*recv)(skua__port *port, skua__route *ret_route, zmq_msg_t *frame);
    /* Whether something waits that the descriptor may not show any more (after a send). */
    bool (*rearm)(skua__port *port);
    void (*close)(skua__port *port);
} skua__port_ops;

struct skua__port {
    const skua__port_ops *ops;
    skua__handle *handle;
    skua__list node; /* in inner->ports */
    void *socket;
    int fd;             /* edge-triggered: see rearm */
    bool dirty;         /* a send, or a pump that ended early, may have swallowed the edge */
    skua__link *link;   /* consumer: the one link */
    skua__plain *plain; /* a plain endpoint's port: no link, drained by handle_plain.c */
    skua__provider provider;
};

extern const skua__port_ops skua__port_zmq;

/* One open batch: records that wait to become a unit. */
typedef struct skua__batch {
    uint8_t *bytes; /* header, count, records; owned; NULL: empty */
    size_t used, capacity;
    uint32_t count;
} skua__batch;

struct skua__link {
    skua__list node; /* in inner->links while it lives */
    skua__handle *handle;
    skua__port *port; /* NULL when it is gone */
    uint32_t refs;    /* the list's, and one for each unit in the handle's queue */
    uint64_t id;
    skua__route route; /* provider: size 0 while the consumer is away */
    bool connected;    /* both said HELLO on this connection: we may send */
    bool up;           /* the pattern knows of it */
    bool gone;         /* taken down */
    bool greeted;      /* consumer: HELLO was sent on this connection, the answer is awaited */
    bool hello_stale;  /* our part of HELLO changed after it was said */
    bool fin_sent, fin_acked;
    bool
        lame; /* it missed a frame of its group for want of memory: it is taken down at the next pump */
    uint32_t epoch; /* the consumer's counter, echoed by the provider */
    uint32_t peer_session;
    skua__identity peer;
    skua__sender *sender;
    void *user;
    int64_t lost_at_ns;                /* provider: since when the consumer is away */
    uint64_t frames_sent, frames_seen; /* seen: at the last upkeep */
    uint64_t frames_heard;             /* of its peer */

    skua__tx tx;
    skua__batch batch;
    skua__group *group;
    skua__list group_node;

    skua__rx rx;
    skua__grant grant;
    skua__list ack_node;    /* in inner->acks while something is to be acknowledged */
    uint32_t units_new;     /* received since the last ACK, but for messages that travel alone */
    uint64_t bytes_new;     /* of all that was received since then */
    int64_t acked_ns;       /* when an ACK told last of messages that travel alone */
    int64_t idle_ack_ns;    /* no ACK for idleness before this moment; 0: at once */
    uint64_t done_msgs_new; /* confirmed since then */
    uint64_t done_bytes_new;
    uint64_t held_bytes;                /* received and not confirmed, about */
    uint64_t queued_bytes, queued_msgs; /* in the handle's queue */
};

/* A frame that was received and waits in the handle's queue. */
typedef struct skua__rx_unit {
    skua__list node;
    skua__link *link; /* a reference */
    zmq_msg_t zmq;    /* a DATA's frame; empty once block holds it */
    skua__zmq_block *block;
    skua__records records;
    uint64_t seq; /* of the next record */
    uint64_t gap;
    int64_t received_ns;
    uint32_t bytes;
} skua__rx_unit;

struct skua__group {
    skua__handle *handle;
    skua__list members;
    size_t size;
    uint64_t next_seq;
    skua__batch batch;
};

typedef enum skua__source_state {
    SKUA__SOURCE_OFF,   /* a leader polls, or nobody is interested; the source rings at alarm_ns */
    SKUA__SOURCE_TICKS, /* the timer runs: callers are active */
    SKUA__SOURCE_WATCH, /* the node's thread watches the sockets */
} skua__source_state;

struct skua__handle_inner {
    skua__mutex
        mutex; /* guards everything in the handle, its ports, links and groups, and the pattern's own state */
    skua__cond moved;
    uint32_t session;
    uint32_t fork_generation;
    uint32_t offer;
    bool offered;
    skua__watch *watch;
    skua__node_source *source;
    skua__source_state source_state;
    uint64_t activity, seen_activity;
    int epfd;     /* the sockets */
    int ready_fd; /* eventfd: a message waits */
    int kick_fd;  /* eventfd: the leader is to look again */
    int user_fd;  /* epoll of epfd and ready_fd */
    bool ready_set, kick_set;
    bool fd_given;    /* the user has user_fd, and may sleep on it */
    bool leader;      /* somebody polls without the lock */
    bool lame;        /* some link is */
    bool pumping;     /* inside pump: ops must not pump again */
    uint32_t waiters; /* followers */
    uint32_t callers; /* inside enter … leave */
    uint32_t holds;   /* work outside the lock that closing waits for */
    bool closing;     /* no new calls */
    bool node_closed; /* the node's thread does nothing for us any more */
    bool listens;
    uint8_t
        refusal; /* skua__reset_reason of the provider that refused us last, 0 once a link is up */
    char refused_by[SKUA_NAME_BYTES];
    skua__node_listener listener;
    bool ending;         /* waiters leave too */
    int64_t timer_at_ns; /* of ops->timer */
    int64_t upkeep_at_ns;
    int64_t alarm_ns; /* when the node's thread looks at the leader; SKUA_NEVER_NS: not asked for */
    int64_t
        leader_at_ns; /* when the leader that polls is to be kicked; SKUA_NEVER_NS: it has a timer, or none */
    skua__list ports;
    size_t port_count;
    skua__list links;
    size_t link_count, up_count;
    uint64_t next_link_id;
    uint32_t next_epoch;
    skua__hash by_route; /* provider: connected links */
    skua__hash by_id;
    skua__route reset_route; /* the connection that was last told to say HELLO */
    skua__list acks;
    skua__list dead;    /* links without references, freed when nothing looks at them any more */
    skua__list queue;   /* skua__rx_unit */
    skua__plain *plain; /* owned, or NULL */
    skua_msg *plain_first, *plain_last; /* a second queue: messages of plain peers */
    uint32_t plain_count;
    skua__list spare;
    size_t spare_count;
    skua__ledger_counts past; /* of links that are gone */
    skua__handle_counters counters;
};

/* link_zmq.c */
skua__port *skua__port_new(skua__handle *handle);             /* its struct only */
void skua__port_free(skua__handle *handle, skua__port *port); /* closes too; takes NULL */

/* link.c: life and sending */
skua__link *skua__link_new(skua__handle *handle, skua__port *port);
void skua__link_unref(skua__link *link);
void skua__link_bury(skua__handle *handle); /* frees the dead */
/* Takes the link out of the handle; the pattern hears of it if it was up. The port stays. */
void skua__link_down(skua__link *link, skua__down_reason reason);
void skua__link_disconnected(skua__link *link);
/* Sends what credit and coalescing allow. */
void skua__link_push(skua__link *link);
void skua__link_transmit(skua__link *link); /* queued units only, as far as credit goes */
/* Sends a frame of header and body at once, outside the sequence. Returns false when the socket did not take it. */
bool skua__link_control(skua__link *link, uint8_t type, uint8_t flags, uint64_t seq, uint64_t word,
                        const uint8_t *body, size_t body_size);
bool skua__port_control(skua__port *port, const skua__route *route, uint8_t type, uint64_t word);
void skua__link_say_hello(skua__link *link, bool update);
void skua__link_ack(skua__link *link);
typedef enum skua__ack_level {
    SKUA__ACK_PRESSING, /* what the sender may soon stand still for */
    SKUA__ACK_IDLE, /* also what would wait for company, unless it may ride on a message or be patient */
    SKUA__ACK_TICK, /* everything */
} skua__ack_level;
void skua__handle_flush_acks(skua__handle *handle, skua__ack_level level);
void skua__link_note_ack(skua__link *link);
/* Confirms a received message; an acknowledgement is due then. As skua__rx_done(). */
skua_status skua__link_done(skua__link *link, uint64_t seq);
bool skua__link_quick(const skua__link *link);

/* batch.c; shared with group.c */
bool skua__batch_fits(const skua__handle *handle, const skua__batch *batch, size_t size);
bool skua__batch_add(skua__handle *handle, skua__batch *batch, uint8_t flags, const void *tag,
                     size_t tag_size, skua_msg *msg, size_t body_size);
/* Makes the frame of a batch that is not empty, and empties it. Returns false without memory: it is as before. */
bool skua__batch_close(skua__handle *handle, skua__batch *batch, uint8_t flags, uint64_t seq,
                       uint64_t word, zmq_msg_t *ret_frame);
void skua__batch_free(skua__handle *handle, skua__batch *batch);
bool skua__link_close_batch(skua__link *link);
/* Appends a frame of count messages to the link's units; takes it. */
bool skua__link_append(skua__link *link, uint32_t count, zmq_msg_t *frame);
skua_status skua__frame_of_message(skua__handle *handle, uint64_t seq, uint64_t word, uint8_t flags,
                                   const void *tag, size_t tag_size, skua_msg *msg,
                                   zmq_msg_t *ret_frame);

/* handle_plain.c */
skua_status skua__plain_attach(skua__handle *handle,
                               skua_error *err); /* as the options say; locked */
void skua__plain_drain(skua__port *port, bool *ret_moved);
skua_msg *skua__plain_pop(skua__handle *handle); /* NULL: none waits */

/* group.c */
void skua__group_push(skua__group *group);
bool skua__group_close_batch(skua__group *group);

/* handle_wait.c */
skua_status skua__handle_wait_step(skua__handle *handle, int64_t deadline_ns);
void skua__handle_on_source(void *arg);
skua_status skua__handle_closed(skua__handle *handle,
                                skua_error *err); /* fails with SKUA_E_CLOSED */

/* link_rx.c */
void skua__port_drain(skua__port *port, bool *ret_moved);
void skua__rx_unit_free(skua__handle *handle, skua__rx_unit *unit);

#endif
