// SPDX-License-Identifier: MPL-2.0
// The simulator of lib/proto: nodes that are driven as lib/net drives them, on a virtual network with a virtual clock.
// One seed decides everything, so that a failing seed fails again in the same way.
#ifndef SKUA_SIM_H
#define SKUA_SIM_H

#include <skua-int/beacon.h>
#include <skua-int/clock.h>
#include <skua-int/control.h>
#include <skua-int/peer_fsm.h>
#include <skua-int/rand.h>

#include <stdio.h>

enum {
    SIM_NODES_MAX = 12,
    SIM_INBOX_MAX = 4096, /* items that wait for a stopped process; later ones are lost */
    SIM_PORTS = 3,        /* a restarted node may come back on another port */
};

typedef struct sim_world sim_world;

/* ---- The virtual clock ---- */

typedef void sim_fn(sim_world *world, uint32_t a, uint32_t b, void *payload);

typedef struct sim_event {
    int64_t at_ns;
    uint64_t order; /* of two events at one moment the earlier made comes first */
    sim_fn *fn;
    uint32_t a, b;
    void *payload; /* released with free() when the world ends first */
} sim_event;

/* ---- The virtual network ---- */

/* Bytes on their way. */
typedef struct sim_packet {
    struct sim_packet *next;
    bool is_end; /* the FIN of a stream */
    size_t size;
    uint8_t bytes[];
} sim_packet;

/*
 * A TCP connection. Each direction delivers in order; what is lost is sent again after 200 ms, 400 ms, …, and
 * everything behind it waits. (Worse than a real one, which has fast retransmit.)
 */
typedef struct sim_conn {
    uint32_t node[2]; /* 0: who dialled; 1: who listens */
    uint32_t life[2]; /* of the node's processes; a later process does not own the connection */
    uint16_t port;
    bool open[2];   /* that side has it, and has not closed it */
    bool connected; /* the dialler knows that it stands */
    bool hello_sent[2];
    bool counted; /* the dialler's LINK_UP was fed */
    struct {
        sim_packet *head, *tail;
        bool busy; /* an attempt to send the head is scheduled */
        int64_t rto_ns;
        int64_t last_arrival_ns;
    } way[2]; /* by sender */
} sim_conn;

typedef enum sim_item_kind {
    SIM_ITEM_DATAGRAM,
    SIM_ITEM_CONNECTED,
    SIM_ITEM_REFUSED,
    SIM_ITEM_DATA,
    SIM_ITEM_CLOSED,
    SIM_ITEM_PROBED,
} sim_item_kind;

/* What waits for a process to look at it. */
typedef struct sim_item {
    sim_item_kind kind;
    uint32_t conn;               /* CONNECTED, REFUSED, DATA, CLOSED */
    uint32_t from;               /* PROBED */
    skua__peer_event_kind probe; /* PROBED: PROBE_OPEN, … */
    uint32_t number;             /* PROBED: of the probe */
    sim_packet *packet;          /* DATAGRAM, DATA */
} sim_item;

/* ---- Nodes ---- */

/* What a node keeps of a peer, as lib/net does. */
typedef struct sim_peer {
    bool exists; /* its machine was made */
    skua__peer_fsm fsm;
    skua__dial_slot slot;
    uint32_t dial_conn; /* 0: none */
    uint16_t port;      /* of its newest incarnation that we know */
    bool has_certificate;
    skua__beacon_window window;
    skua__rtt rtt;
    /* What the checker knows. */
    bool joined;
    uint64_t incarnation; /* joined: of the member; else the last one */
    bool suspected;
    int64_t link_life_ns; /* lived time of the last frame on a link that the process looked at */
    int64_t life_real_ns, joined_real_ns;
    int64_t life_stopped_ns; /* the node's stopped_ns at that moment */
} sim_peer;

typedef struct sim_node {
    skua__uuid uuid;
    skua__certificate certificate;
    bool running; /* there is a process */
    bool paused;
    bool host_down;         /* packets to it vanish */
    bool stopping;          /* it has said BYE */
    int64_t port_closes_ns; /* real time: a killed process's port outlives its connections */
    uint32_t life;
    uint64_t incarnation;
    uint16_t port;
    uint16_t version_min, version_max;
    int64_t died_ns;      /* real time; of the last process */
    bool died_by_kill;    /* its host went on: its connections were closed */
    int64_t disturbed_ns; /* real time of its last pause or resume */
    int64_t stopped_ns;   /* real time: in all, for how long it was stopped and could not hear */
    skua__lived lived;
    skua__peer_config config;
    skua__dial_limiter limiter;
    uint64_t sequence;
    int64_t beacon_ns, last_beacon_ns; /* lived: the next, the last */
    int64_t wake_ns;                   /* real: the earliest wake-up that is scheduled */
    sim_peer peers[SIM_NODES_MAX];
    sim_item inbox[SIM_INBOX_MAX];
    uint32_t inbox_first, inbox_count;
    bool inside; /* node_run() is at work */
    /* The flight recording, where the run asks for one. */
    uint8_t *flight;
    size_t flight_used, flight_size;
} sim_node;

/* ---- The world ---- */

typedef struct sim_options {
    uint64_t seed;
    bool log;    /* tell everything on stdout */
    bool record; /* keep flight recordings and replay them at the end */
} sim_options;

struct sim_world {
    sim_options options;
    skua__rand rand;
    int64_t now_ns;
    uint64_t order;
    sim_event *events; /* a heap */
    size_t event_count, event_capacity;

    int64_t heartbeat_ns;
    uint32_t dials_max;
    bool has_udp; /* else everybody knows node 0, and peer lists do the rest */
    uint32_t node_count;
    sim_node *nodes;
    skua__beacon_key key;
    skua__fleet_tag fleet;

    uint32_t loss_permille;
    int64_t delay_min_ns, delay_max_ns;
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX];             /* packets from a to b vanish */
    int64_t cut_since_ns[SIM_NODES_MAX][SIM_NODES_MAX]; /* both ways; SKUA_NEVER_NS: not cut */
    int64_t disturbed_ns;                               /* last change of the network */
    sim_conn *conns;                                    /* from 1 on */
    uint32_t conn_count, conn_capacity;

    /* What came out. */
    uint64_t steps, packets, joins, leaves, dials;
    uint64_t leaves_by_reason[SKUA__LEAVE_REASONS];
    uint64_t trace; /* a hash over everything that was told: equal runs have equal ones */
    bool failed;
    char failure[256]; /* the first */
    void (*on_leave)(sim_world *world, uint32_t node, uint32_t peer, skua__leave_reason reason);
    void *context; /* the caller's */
};

/* world.c: the clock and the network */
void sim_world_init(sim_world *world, const sim_options *options, uint32_t node_count);
void sim_world_fini(sim_world *world);
void sim_at(sim_world *world, int64_t at_ns, sim_fn *fn, uint32_t a, uint32_t b, void *payload);
void sim_run_until(sim_world *world, int64_t until_ns);
/* Keeps the first failure: what promise was broken, and when. */
void sim_fail(sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_log(sim_world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(sim_world *world, uint64_t value);
void sim_cut(sim_world *world, uint32_t a, uint32_t b, bool cut); /* both ways */
void sim_datagram(sim_world *world, uint32_t from, uint32_t to, const void *bytes, size_t size);
uint32_t sim_dial(sim_world *world, uint32_t from, uint32_t to, uint16_t port);
void sim_send(sim_world *world, uint32_t conn, uint32_t from, const void *bytes, size_t size);
void sim_close(sim_world *world, uint32_t conn, uint32_t from);
void sim_reset(sim_world *world, uint32_t conn);
void sim_probe(sim_world *world, uint32_t from, uint32_t to, uint16_t port, uint32_t number);
void sim_process_ends(sim_world *world, uint32_t node, bool with_host); /* its connections end */
/* The number by which a node calls its end of a connection. */
uint32_t sim_link(const sim_world *world, uint32_t conn, uint32_t node);

/* node.c: a node, driven as lib/net drives it */
void sim_node_start(sim_world *world, uint32_t node);
void sim_node_kill(sim_world *world, uint32_t node, bool with_host);
void sim_node_stop(sim_world *world, uint32_t node); /* says BYE first */
void sim_node_say_bye(sim_world *world, uint32_t node);
void sim_node_pause(sim_world *world, uint32_t node, bool pause);
void sim_node_deliver(sim_world *world, uint32_t node, sim_item item);
void sim_node_introduce(sim_world *world, uint32_t node, uint32_t peer);

/* send.c: what a node sends; peers of one (about) or of all (about == node_count), beacons likewise */
void sim_send_control(sim_world *world, uint32_t n, uint32_t conn, const skua__control *control);
void sim_send_hello(sim_world *world, uint32_t n, uint32_t conn);
void sim_send_ping(sim_world *world, uint32_t n, uint32_t conn);
void sim_send_record(sim_world *world, uint32_t n, uint32_t conn);
void sim_send_peers(sim_world *world, uint32_t n, uint32_t conn, uint32_t about);
void sim_beacon_to(sim_world *world, uint32_t n, uint32_t to, uint8_t flags);

/* check.c: the promises */
void sim_check_join(sim_world *world, uint32_t node, uint32_t peer, uint64_t incarnation);
void sim_check_leave(sim_world *world, uint32_t node, uint32_t peer, skua__leave_reason reason,
                     uint64_t incarnation, int64_t lived_ns);
void sim_check_suspicion(sim_world *world, uint32_t node, uint32_t peer, bool suspected);
void sim_check_deaths(sim_world *world); /* nobody counts the dead among the living for long */
void sim_check_killed(sim_world *world, uint32_t node, int64_t at_ns); /* 200 ms later */
void sim_check_one_view(sim_world *world);
void sim_check_links(sim_world *world);
void sim_check_recordings(sim_world *world);
bool sim_compatible(const sim_world *world, uint32_t a, uint32_t b);

/* scenario.c: random scripts; table.c: figures */
bool sim_scenario(const sim_options *options, sim_world *ret_world);
int sim_table(uint64_t seed, uint32_t hours);

#endif
