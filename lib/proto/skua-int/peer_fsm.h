// SPDX-License-Identifier: MPL-2.0
// The life of one peer as one node sees it: step(state, event, now) -> actions. Pure: no clock, no socket, no memory.
// The node's thread drives it with sockets, the simulator with a virtual network, `skua replay` with a recording.
#ifndef SKUA_INT_PEER_FSM_H
#define SKUA_INT_PEER_FSM_H

#include <skua-int/detector.h>
#include <skua-int/dial.h>
#include <skua-int/ids.h>

enum {
    SKUA__PEER_ACTIONS_MAX = 12,   /* of one step */
    SKUA__PEER_TOMBSTONE_S = 10,   /* a peer that is surely gone is remembered so long */
    SKUA__PEER_FORGET_S = 600,     /* one that only fell silent is dialled so long */
    SKUA__PEER_PROBE_MS = 500,     /* a probe without an answer for so long is silent */
    SKUA__PEER_SETTLED_MS = 4000,  /* two dials that crossed are both up by then */
    SKUA__PEER_BYE_PROBES_MAX = 8, /* a port that is still open then means that it was no BYE */
    SKUA__PEER_LOST_PROBES_MAX =
        6,                        /* a dying process's port may outlive its connections a little */
    SKUA__PEER_LOST_PROBE_MS = 4, /* so it is probed again after this time, doubled each time */
};

/* What all peers of a node share; borrowed by each machine, and unchanged while it lives. */
typedef struct skua__peer_config {
    skua__uuid self;
    int64_t heartbeat_ns; /* T */
    uint64_t seed;        /* of the jitter; each peer's machine mixes its UUID in */
} skua__peer_config;

typedef enum skua__peer_state {
    SKUA__PEER_KNOWN,   /* heard of; not (or no longer) a member of our view */
    SKUA__PEER_UP,      /* joined, linked, heard lately */
    SKUA__PEER_SUSPECT, /* joined, linked, silent for 2 T */
    SKUA__PEER_LOST,    /* joined, its link broke: being probed and dialled */
    SKUA__PEER_LEAVING, /* joined, said BYE: being probed */
    SKUA__PEER_STATES,
} skua__peer_state;

/* Why a peer left. */
typedef enum skua__leave_reason {
    SKUA__LEAVE_NONE,
    SKUA__LEAVE_GONE,   /* its process is gone: the link broke and its port refuses */
    SKUA__LEAVE_SILENT, /* nothing heard for 3.25 T: partitioned, stopped, or its machine is down */
    SKUA__LEAVE_BYE,    /* it said so, and the probe confirmed it */
    SKUA__LEAVE_RESTARTED,   /* a new incarnation took its place; a JOIN follows */
    SKUA__LEAVE_UNREACHABLE, /* its beacons arrive, but no link could be made for 6 T */
    SKUA__LEAVE_CUT,         /* we put it out: its certificate expired or was revoked */
    SKUA__LEAVE_REASONS,
} skua__leave_reason;

typedef enum skua__peer_event_kind {
    /*
     * A beacon of the peer passed every check (certificate and replay rule too), or an introduction with it succeeded
     * just now: a sign of life of that incarnation.
     */
    SKUA__PEER_SEEN = 1,
    /* Somebody or some file told us of it (a PEERS frame, a static peer): a reason to dial, no sign of life. */
    SKUA__PEER_TOLD,
    /* A third peer says that it heard it lately: a sign of life. Reserved for indirect probes. */
    SKUA__PEER_VOUCHED,
    /*
     * Its HELLO was accepted on this link: certificate admitted, UUID bound to the link's User-Id, a common version found.
     * outgoing: we dialled it.
     */
    SKUA__PEER_LINK_UP,
    SKUA__PEER_LINK_DOWN, /* that link broke or was closed, by them or by us; unknown links are ignored */
    SKUA__PEER_HEARD,        /* any later frame on that link */
    SKUA__PEER_BYE_HEARD,    /* a BYE frame, or a beacon with the BYE flag, of that incarnation */
    SKUA__PEER_DIAL_STARTED, /* the limiter let the dial begin; link is its number */
    SKUA__PEER_DIAL_CONNECTED, /* its TCP connection stands (not needed, but without it a dial lasts 700 ms at most) */
    SKUA__PEER_DIAL_REFUSED, /* connection refused: nobody listens at that port */
    SKUA__PEER_DIAL_REJECTED, /* it (or we) refused the link for a lasting reason: version, certificate, role */
    SKUA__PEER_DIAL_FAILED, /* any other failure */
    SKUA__PEER_PROBE_OPEN, /* a bare TCP connect to its control port succeeded (close it at once) */
    SKUA__PEER_PROBE_REFUSED, /* it was refused: no process listens there */
    SKUA__PEER_PROBE_SILENT,  /* neither, for SKUA__PEER_PROBE_MS, or "unreachable" */
    SKUA__PEER_CUT,           /* its certificate expired or was revoked */
    SKUA__PEER_TICK,          /* now >= wake_ns; harmless at any other time */
    SKUA__PEER_EVENTS,
} skua__peer_event_kind;

typedef struct skua__peer_event {
    skua__peer_event_kind kind;
    bool outgoing; /* LINK_UP */
    /*
     * LINK_UP, LINK_DOWN, HEARD, DIAL_*: which link; numbers are never 0 and never used again. PROBE_*: the number
     * that the DO_PROBE had, so that a late answer is known to be one (0: not known, believed).
     */
    uint32_t link;
    uint64_t incarnation; /* SEEN, TOLD, LINK_UP, BYE_HEARD; 0 where it is not known (TOLD) */
} skua__peer_event;

typedef enum skua__peer_action_kind {
    /* Ask the dial limiter; when it says yes: begin a link to the peer's newest address and feed DIAL_STARTED. */
    SKUA__PEER_DO_DIAL = 1,
    /*
     * The dial is over, whether it was waiting, running, failed or became the link: give its slot back, and close
     * the link it made unless that came up. (link: its number, 0 when it had not started)
     */
    SKUA__PEER_DO_DIAL_END,
    SKUA__PEER_DO_CLOSE, /* close that link; no LINK_DOWN is needed for it */
    SKUA__PEER_DO_PING,  /* send a PING on that link */
    /* Begin a bare TCP connect to the newest control port that we know; feed one PROBE_* with this link's number. */
    SKUA__PEER_DO_PROBE,
    /* Send a beacon with the PROBE flag to it, if its address is known (rate-limited). */
    SKUA__PEER_DO_BEACON,
    /* Tell the user: it is a member now, by that link and incarnation. Send it our record and our peers. */
    SKUA__PEER_DO_JOIN,
    /*
     * Still a member, but by this link from now on. Send record and peers again: what went over the earlier link may
     * be lost.
     */
    SKUA__PEER_DO_LINK,
    SKUA__PEER_DO_SUSPECT,
    SKUA__PEER_DO_ALIVE,  /* it was a false suspicion */
    SKUA__PEER_DO_LEAVE,  /* tell the user: that incarnation is a member no more, with the reason */
    SKUA__PEER_DO_FORGET, /* free this machine; always the last action */
} skua__peer_action_kind;

typedef struct skua__peer_action {
    skua__peer_action_kind kind;
    skua__leave_reason reason; /* LEAVE */
    uint32_t link;             /* DIAL_END, CLOSE, PING, JOIN, LINK; PROBE: a number */
    uint64_t incarnation;      /* JOIN, LEAVE */
} skua__peer_action;

typedef struct skua__peer_actions {
    size_t count;
    skua__peer_action items[SKUA__PEER_ACTIONS_MAX];
} skua__peer_actions;

/* The machine. Read its members freely; only init and step write them. */
typedef struct skua__peer_fsm {
    const skua__peer_config *config;
    skua__uuid uuid;
    bool is_static; /* named by the user: never forgotten, dialled for ever */
    bool lower;     /* our UUID is the lower one: we dial first */
    skua__peer_state state;
    bool suspected; /* SUSPECT was told, ALIVE not yet */
    uint32_t link;  /* 0: none */
    bool link_outgoing;
    int64_t link_since_ns; /* when it came up */
    uint32_t era;          /* counts the links: what was asked in an earlier era says nothing now */
    uint32_t dial_era;     /* in which the running dial began */
    /* Of the member or, in KNOWN, of the last one. Only LINK_UP sets it, for only a link proves it. */
    uint64_t incarnation;
    uint64_t seen_incarnation; /* the newest that a beacon spoke of: a hint */
    skua__detector detector;
    skua__dialler dialler;
    int64_t ping_ns;      /* when the next PING is due */
    int64_t probe_ns;     /* LOST, LEAVING: when the next probe is due */
    uint32_t open_probes; /* LOST, LEAVING: how many were open */
    int64_t forget_ns;    /* KNOWN: when it is forgotten */
    int64_t wake_ns;      /* feed TICK then (lived time); SKUA_NEVER_NS: not needed */
} skua__peer_fsm;

/* Starts in KNOWN, with no wish to dial until SEEN or TOLD. uuid must not be config->self. */
void skua__peer_init(skua__peer_fsm *fsm, const skua__peer_config *config, const skua__uuid *uuid,
                     bool is_static, int64_t now_ns);

/*
 * Takes one event. Carry the actions out in their order, all of them, before the next step of this machine. now_ns is lived time
 * (skua-int/detector.h) and never falls.
 */
void skua__peer_step(skua__peer_fsm *fsm, const skua__peer_event *event, int64_t now_ns,
                     skua__peer_actions *ret_actions);

/* Is the peer a member of our view? */
bool skua__peer_joined(const skua__peer_fsm *fsm);

/* Names for people and for logs; they live as long as the process. */
const char *skua__peer_state_text(skua__peer_state state);
const char *skua__leave_reason_text(skua__leave_reason reason);
const char *skua__peer_event_text(skua__peer_event_kind kind);
const char *skua__peer_action_text(skua__peer_action_kind kind);

#endif
