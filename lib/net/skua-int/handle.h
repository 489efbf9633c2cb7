// SPDX-License-Identifier: MPL-2.0
// A handle: a set of two-way links to the peers of one service, each carrying sequenced, credited and acknowledged
// messages with a ledger. pub, sub, push, pull, req, rep and the pool's remote backend are small files on top.
#ifndef SKUA_INT_HANDLE_H
#define SKUA_INT_HANDLE_H

#include <skua-int/hash.h>
#include <skua-int/ids.h>
#include <skua-int/ledger.h>
#include <skua-int/list.h>
#include <skua-int/msg_int.h>
#include <skua-int/node_int.h>
#include <skua-int/plain.h>
#include <skua-int/thread.h>
#include <skua/msg.h>

/*
 * How it works
 *
 * A *provider* handle binds one socket and offers it in the node's record: its links come when consumers dial. A
 * *consumer* handle watches the service and dials each provider. Either way a link is *up* once both ends have said
 * HELLO; from then on messages may be sent both ways. A link outlives broken connections: what was sent and not
 * received is sent again, in order, once. It goes *down* for good when its peer is gone, restarted, or closes.
 *
 * Messages. skua__link_send() encodes a message into the link's queue of units (a unit is one frame on the wire, one
 * message or a batch) and sends it as soon as credit and coalescing allow. The receiver *confirms* a message when it
 * is popped from the handle's queue or taken by ops->deliver (the default), or when skua__handle_done_locked() says so
 * (ops->confirm_by_done). Only confirmation frees the sender's copy and its credit.
 *
 * Threads. One mutex per handle guards everything; the calling thread does the I/O. Functions that end in _locked need
 * it held, and so do all skua__link_* functions. Ops run with it held: they must not block, call user code, or lock
 * another handle. What they queue for user code is run by the pattern after unlocking. A caller that has to wait calls
 * skua__handle_wait_locked() in a loop around its own condition; whoever pumps wakes it. When no caller is active
 * the node's thread pumps, so acknowledgements and replies flow while the program computes.
 */

typedef struct skua__handle skua__handle;
typedef struct skua__link skua__link;
typedef struct skua__group skua__group;

enum {
    SKUA__TAG_MAX_BYTES = 64,              /* of a pattern's own header on a message */
    SKUA__HELLO_PATTERN_MAX_BYTES = 16384, /* of a pattern's own part of HELLO */
    SKUA__MESSAGE_MAX_BYTES =
        1 << 30, /* of one frame on a link, header included; the socket's own limit may be lower */
    SKUA__HANDLE_MAX_LINKS = 4096,       /* peers of one handle */
    SKUA__BATCH_BYTES = 64 * 1024,       /* a batch is sent at the latest when it is this big */
    SKUA__BATCH_ALONE_BYTES = 16 * 1024, /* a message from this size on is never put into a batch */
    SKUA__BATCH_UNITS_QUICK =
        4, /* a batch is sent at once while fewer units are not yet received */
};

/* Why a link went down. */
typedef enum skua__down_reason {
    SKUA__DOWN_PEER_LOST =
        1, /* the node says that the provider is gone, or a consumer did not come back */
    SKUA__DOWN_RESTARTED = 2, /* the peer came back without its memory of this link */
    SKUA__DOWN_FIN = 3,       /* the peer closed in good order */
    SKUA__DOWN_CLOSING = 4,   /* we close the handle */
} skua__down_reason;

/* A message that arrives, as ops->deliver sees it. */
typedef struct skua__incoming {
    uint64_t id; /* for skua__handle_done_locked() */
    const uint8_t
        *tag; /* the pattern's own header, as given to skua__link_send(); borrowed for the call */
    size_t tag_size;
    skua_msg *msg; /* sender, gap and redelivered are set */
} skua__incoming;

/*
 * What makes a pattern: a const table. Every op is called with the handle's lock held; all but the first four
 * members may be NULL or 0. `handle` lies inside the pattern's own struct: SKUA_CONTAINER_OF().
 */
typedef struct skua__pattern_ops {
    const char *name;        /* "push": for errors */
    skua__service_kind kind; /* of the service that is offered or watched */
    bool provider;           /* binds and offers; else watches and dials */
    uint32_t own_role;       /* what our certificate must allow */
    uint32_t peer_role;      /* what a consumer's certificate must allow (provider handles) */

    /* A message is confirmed by skua__handle_done_locked(), not by being popped or delivered. */
    bool confirm_by_done;
    /* Acknowledgements ride on messages that go the other way where there are any (req, rep): one that would be alone
     * waits for the next tick (SKUA__TICK_NS) or for a second unit. */
    bool lazy_ack;
    /* Calls that wait go on when the node is closed under the handle: the owner ends them itself. Else SKUA_E_CLOSED. */
    bool outlives_node;
    /* What is sent lives on when the link goes down: link_down takes it back with skua__link_take_back(). Else it is
     * counted as dropped. */
    bool takes_back;

    /* Our own part of HELLO, at most size bytes (SKUA__HELLO_PATTERN_MAX_BYTES). Returns its size. */
    size_t (*make_hello)(skua__handle *handle, uint8_t *ret, size_t size);
    /* The peer's part of HELLO: before link_up, again after each reconnection, and after a change of it. Returns false
     * when it is malformed: the peer is refused. */
    bool (*peer_hello)(skua__handle *handle, skua__link *link, const uint8_t *bytes, size_t size);
    /* The link may carry messages from now on (it may also go back to not-ready for a while: see skua__link_room()). */
    void (*link_up)(skua__handle *handle, skua__link *link);
    /* The last call with this link: forget it. Not called for links that never were up. */
    void (*link_down)(skua__handle *handle, skua__link *link, skua__down_reason reason);
    /* A message has come: take in->msg (set it to NULL) or it is freed. NULL: messages wait in the handle's queue for
     * skua__handle_recv_locked(). */
    void (*deliver)(skua__handle *handle, skua__link *link, skua__incoming *in);
    /* Something moved (acknowledgements, links): send what waits for room. Called at the end of each pump. */
    void (*progress)(skua__handle *handle);
    /* Called when the moment returned last has come (and once at first); returns the next one, SKUA_NEVER_NS for none.
     * skua__handle_timer_locked() brings it forward. For deadlines and retries. */
    int64_t (*timer)(skua__handle *handle, int64_t now_ns);
    /* True while the pattern itself holds messages that are still to be sent: closing waits for them too. */
    bool (*busy)(skua__handle *handle);
    /* Work for outside the lock: `due` says under it whether there is any and notes it, `outside` then does it without. At
     * the end of each call, and in the node's thread. The handle is held meanwhile (skua__handle_hold_locked()). */
    bool (*due)(skua__handle *handle);
    void (*outside)(skua__handle *handle);
    /* True while the user's descriptor shall be readable; NULL: while the queue is not empty. */
    bool (*readable)(skua__handle *handle);
    /* Messages of plain ZeroMQ peers may wait: take them with skua__plain_recv() until SKUA_E_AGAIN. NULL: they go to the
     * handle's queue, as messages without a link. */
    void (*plain)(skua__handle *handle);
} skua__pattern_ops;

typedef struct skua__handle_options {
    const skua_allocator *allocator; /* NULL: the node's */
    uint32_t version;                /* of the service (provider) */
    int32_t
        window_bytes; /* first byte window that each peer is granted; 0: SKUA__WINDOW_FIRST_BYTES */
    int32_t
        window_msgs; /* messages granted to each peer; 0: ops decide (adaptive for PULL, else bytes alone) */
    uint32_t batch_msgs;  /* in one frame at most; 0: SKUA__BATCH_RECORDS_MAX */
    bool adapt_msgs;      /* window_msgs adapts to how fast messages are done, from 2 upwards */
    const char *endpoint; /* provider: where to bind; NULL: the node's choice. Borrowed */
    skua__plain_options plain; /* also plain ZeroMQ peers; endpoint NULL: none. Borrowed */
    bool local;                /* consumer: no provider is looked for; a plain endpoint is all */
    int64_t resume_ms; /* provider: how long a consumer's link waits for its return; 0: 10,000 */
} skua__handle_options;

/* The counters of a handle: all its links together, those that are gone included. */
typedef struct skua__handle_counters {
    skua__ledger_counts sent; /* the ledger of what we sent: it always balances */
    uint64_t received_msgs;   /* delivered or queued */
    uint64_t received_bytes;
    uint64_t confirmed_msgs;   /* of the received */
    uint64_t duplicate_msgs;   /* received again after a reconnection, and dropped */
    uint64_t redelivered_msgs; /* delivered, and flagged as perhaps seen before */
    uint64_t gap_msgs;         /* the senders said that they dropped them */
    uint64_t malformed_frames; /* dropped */
    uint64_t unknown_frames;   /* of peers that had not said HELLO, or out of sequence: dropped */
    uint64_t refused_peers;    /* version, role or service did not fit */
    uint64_t reconnections;    /* of links that went on where they were */
    uint64_t links_up, links_down; /* ever */
    uint64_t queued_msgs;          /* waiting to be received now */
    uint64_t frames_sent, frames_received, bytes_sent;
} skua__handle_counters;

/*
 * Opens a handle inside the pattern's struct (all zero before): name is checked, the socket bound and offered, or the
 * service watched. Copies name and options.
 * Returns 0, or SKUA_E_BAD_NAME, SKUA_E_NOT_AUTHORISED, what binding gives, SKUA_E_LIMIT, SKUA_E_DESCRIPTORS,
 * SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED; the handle then needs no close. Ops may run before it returns, so the
 * pattern's own fields must be ready.
 */
SKUA_MUST_CHECK skua_status skua__handle_open(skua__handle *handle, skua_node *node,
                                              const char *name, const skua__pattern_ops *ops,
                                              const skua__handle_options *options, skua_error *err);
/*
 * Begins to close: no new calls (they get SKUA_E_CLOSED), waiters wake. Sends what is queued and waits for its confirmation
 * until deadline_ns, then says FIN on every link, waits for FINACK within what is left, and takes every link down. What
 * is unconfirmed then is counted as dropped (closed). Blocks until deadline_ns at most, plus a bounded moment.
 * The pattern's ops still run meanwhile. Returns the number of messages that were dropped so.
 */
uint64_t skua__handle_close(skua__handle *handle, int64_t deadline_ns);
/* Frees what the handle holds; after skua__handle_close(), when no caller is inside (see skua__handle_enter). */
void skua__handle_fini(skua__handle *handle);

/* The first line of each public call: checks fork and closing, locks. On success the handle is locked. */
SKUA_MUST_CHECK skua_status skua__handle_enter(skua__handle *handle, skua_error *err);
/* The last line: sets the descriptor, hands the pumping back, unlocks. */
void skua__handle_leave(skua__handle *handle);

/* Keeps closing from going on until skua__handle_drop_hold(): for work that runs elsewhere. */
void skua__handle_hold_locked(skua__handle *handle);
void skua__handle_drop_hold(skua__handle *handle); /* takes the lock itself */
void skua__handle_unhold_locked(skua__handle *handle);
bool skua__handle_is_closing_locked(const skua__handle *handle);
/*
 * The bare lock, for who holds the handle; also while it closes. skua__handle_call_locked() makes a call of it, which ends with
 * skua__handle_leave(): as skua__handle_enter(), but it asks neither the node nor whether the handle closes.
 */
void skua__handle_lock(skua__handle *handle);
void skua__handle_unlock(skua__handle *handle);
void skua__handle_call_locked(skua__handle *handle);

/* Drains the sockets, feeds the machines, sends acknowledgements and units. Returns whether anything moved. */
bool skua__handle_pump_locked(skua__handle *handle);
/*
 * Waits until something moved (the caller then looks at its own condition again) or deadline_ns has passed. Unlocks
 * while waiting. Returns 0, SKUA_E_TIMEOUT, SKUA_E_CLOSED when the handle is being closed or its node is.
 */
SKUA_MUST_CHECK skua_status skua__handle_wait_locked(skua__handle *handle, int64_t deadline_ns);
/* The same for an owner that ends the handle: it also waits when the node is closed. Returns 0, SKUA_E_TIMEOUT. */
skua_status skua__handle_wait_own_locked(skua__handle *handle, int64_t deadline_ns);
/* Wakes all who wait: their condition may hold now. */
void skua__handle_wake_locked(skua__handle *handle);
/* Brings ops->timer forward to at_ns, when that is earlier than what is set. */
void skua__handle_timer_locked(skua__handle *handle, int64_t at_ns);

/*
 * Takes the oldest message of the queue. deadline_ns 0: does not wait. *ret_id (may be NULL) is for
 * skua__handle_done_locked(). Returns 0, SKUA_E_AGAIN, SKUA_E_TIMEOUT, SKUA_E_CLOSED. Entered and left by the caller.
 */
SKUA_MUST_CHECK skua_status skua__handle_recv_locked(skua__handle *handle, int64_t deadline_ns,
                                                     skua_msg **ret_msg, uint64_t *ret_id);
/* A message is done with (confirm_by_done). Returns false when its link is gone: the sender gave it to another. */
bool skua__handle_done_locked(skua__handle *handle, uint64_t id);

/* Tells all peers our part of HELLO again (a subscription has changed). */
void skua__handle_hello_again_locked(skua__handle *handle);

/* The plain endpoint that the options asked for, or NULL. */
skua__plain *skua__handle_plain(const skua__handle *handle);

int skua__handle_fd(skua__handle *handle); /* the user's descriptor, level-triggered */
void skua__handle_counters_locked(skua__handle *handle, skua__handle_counters *ret);
uint64_t skua__handle_queued_locked(const skua__handle *handle);      /* waiting to be received */
uint64_t skua__handle_unconfirmed_locked(const skua__handle *handle); /* sent on all links */
void skua__handle_flush_all_locked(skua__handle *handle); /* skua__link_flush() on all */
/* Waits until n links are up. Returns 0, SKUA_E_TIMEOUT, SKUA_E_CLOSED. */
SKUA_MUST_CHECK skua_status skua__handle_await_links_locked(skua__handle *handle, size_t n,
                                                            int64_t deadline_ns);
/*
 * While no link is up: why the provider that answered last does not want ours. Returns 0 when none refused, or
 * SKUA_E_PROTOCOL_VERSION, SKUA_E_NOT_AUTHORISED, SKUA_E_LIMIT, SKUA_E_REFUSED.
 */
skua_status skua__handle_refusal_locked(const skua__handle *handle, skua_error *err);
/* Fails as that does, or with SKUA_E_NO_PROVIDER and the list of what is offered. Entered by the caller. */
skua_status skua__handle_no_provider_locked(skua__handle *handle, skua_error *err);
size_t skua__handle_link_count_locked(const skua__handle *handle);    /* that are up */
skua__link *skua__handle_next_link_locked(const skua__handle *handle, /* NULL: the first */
                                          const skua__link *link);

/* ---- Links (all with the handle's lock held) ---- */

/*
 * Whether the peer's credit has room for one more message now: connected, and what is queued and unconfirmed is within
 * both windows. Two messages are always let through, whatever their size.
 */
bool skua__link_room(const skua__link *link);
/* How much of the peer's credit is used, in thousandths of the window that is nearer to its end. */
uint32_t skua__link_busy_permille(const skua__link *link);
/*
 * Queues a message and sends it as soon as may be, also beyond the peer's credit: it then waits here (look at
 * skua__link_room() or skua__link_queued_bytes() before). tag: the pattern's own header, at most SKUA__TAG_MAX_BYTES. msg
 * stays the caller's. redelivered: it was sent before, on another link. Returns 0, SKUA_E_TOO_BIG, SKUA_E_NO_MEMORY.
 */
SKUA_MUST_CHECK skua_status skua__link_send(skua__link *link, const void *tag, size_t tag_size,
                                            skua_msg *msg, bool redelivered);
/* Sends what coalescing holds back, if credit allows: for the last of a burst. */
void skua__link_flush(skua__link *link);
uint64_t skua__link_load_msgs(const skua__link *link);   /* sent or queued, and not confirmed */
uint64_t skua__link_queued_msgs(const skua__link *link); /* not handed to the socket yet */
uint64_t skua__link_queued_bytes(const skua__link *link);
/* A number that changes whenever the peer lets itself be heard on the link: a message, an acknowledgement, an answer to PING. */
uint64_t skua__link_heard(const skua__link *link);
void skua__link_ping(skua__link *link); /* asks the peer to let itself be heard */
void skua__link_ledger(const skua__link *link, skua__ledger_counts *ret_sent);
/* What came over the link: messages, duplicates that were dropped, and what the peer says that it dropped. */
void skua__link_received(const skua__link *link, uint64_t *ret_msgs, uint64_t *ret_duplicates,
                         uint64_t *ret_gaps);
/*
 * Drops the oldest unit that was not sent yet and tells the peer of the gap. Returns how many messages it held, 0 when
 * there is none.
 */
uint64_t skua__link_drop_oldest(skua__link *link);
/*
 * Inside link_down: hands each message that is not confirmed to fn, in order of sending, which takes *msg or leaves it.
 * was_sent: the peer may have it. Counted as moved in the link's ledger when taken, else as dropped.
 */
void skua__link_take_back(skua__link *link,
                          void (*fn)(void *arg, skua_msg **msg, const uint8_t *tag, size_t tag_size,
                                     bool was_sent),
                          void *arg);
/* Ends the link from our side: FIN, and down. A provider's consumer may dial again. */
void skua__link_disconnect(skua__link *link);
const skua__identity *skua__link_peer(const skua__link *link);
uint64_t skua__link_id(const skua__link *link); /* unique in the handle, never reused */
void *skua__link_user(const skua__link *link);  /* a pointer for the pattern */
void skua__link_set_user(skua__link *link, void *user);
/* The link of a message id, or NULL when it is gone. */
skua__link *skua__handle_link_of_locked(skua__handle *handle, uint64_t id);

/*
 * ---- Groups: links that get the same messages (one encoded frame, shared by all; PUB) ----
 * A link joins in its first peer_hello, before anything is sent on it; it leaves by itself when it goes down. After
 * skua__group_part() the link goes on alone, with the sequence where it is.
 */
skua__group *skua__group_new(skua__handle *handle); /* NULL: no memory */
skua__group *skua__group_free(skua__group *group);  /* takes NULL; it must be empty. Returns NULL */
void skua__group_join(skua__group *group, skua__link *link);
void skua__group_part(skua__link *link);
size_t skua__group_size(const skua__group *group);
/* As skua__link_send(), to all members. Members without credit keep it in their queues. */
SKUA_MUST_CHECK skua_status skua__group_send(skua__group *group, const void *tag, size_t tag_size,
                                             skua_msg *msg);

/* ---- The struct itself; fields are lib/net's own ---- */
struct skua__handle {
    const skua__pattern_ops *ops;
    skua_node *node;
    const skua_allocator *hook;
    skua__handle_options options;
    char name[SKUA_NAME_BYTES];
    struct skua__handle_inner *inner;
};

#endif
