// SPDX-License-Identifier: MPL-2.0
// The life of one peer. One function, transition(), owns the state; the helpers decide and say which state is next.
#include <skua-int/clock.h>
#include <skua-int/peer_fsm.h>

#include <assert.h>

/*
 * What moves a peer from state to state. A sign of life is a frame on a link, a beacon of the member's incarnation, or
 * a third peer's word. The dialler (dial.c) runs beside these states and makes the links.
 *
 *   state    event                                  next      told, and done
 *   -------  -------------------------------------  --------  ------------------------------------------------
 *   KNOWN    SEEN, TOLD                             KNOWN     dial: at once if our UUID is lower, else in 200 ms
 *   KNOWN    LINK_UP                                UP        JOIN
 *   KNOWN    nothing for 600 s (gone, BYE: 10 s)    -         FORGET, unless static
 *   UP       silent for 2 T                         SUSPECT   SUSPECT; probe, ask for a beacon, ping
 *   UP       link silent for 3.25 T, beacons heard  LOST      close the link, probe, dial
 *   SUSPECT  a sign of life                         UP        ALIVE
 *   UP, SUSPECT           LINK_DOWN                 LOST      probe, dial
 *   SUSPECT, LOST         PROBE_REFUSED             KNOWN     LEAVE(gone)
 *   LOST                  DIAL_REFUSED              KNOWN     LEAVE(gone)
 *   LOST                  PROBE_OPEN, up to the 6th LOST      probe again, within 250 ms in all
 *   LOST                  LINK_UP                   UP        LINK (and ALIVE, if it was suspected)
 *   UP, SUSPECT, LOST     BYE_HEARD                 LEAVING   probe, again and again for 1.3 s
 *   LEAVING               PROBE_REFUSED             KNOWN     LEAVE(bye)
 *   LEAVING               no refusal, 8 times       UP, LOST  it was no BYE
 *   LEAVING               silent for 3.25 T         KNOWN     LEAVE(bye)
 *   UP, SUSPECT, LOST     silent for 3.25 T         KNOWN     LEAVE(silent); dial on
 *   UP, SUSPECT, LOST     no link works for 6 T     KNOWN     LEAVE(unreachable); dial on
 *   joined                LINK_UP, new incarnation  UP        LEAVE(restarted), JOIN
 *   joined                LINK_UP, same one         same, UP  of two links the one stays that the lower UUID dialled
 *   any                   CUT                       -         LEAVE(cut) if joined, FORGET
 *
 * A BYE proves nothing and a beacon's incarnation proves nothing (every member of the fleet can forge both): they
 * make us probe and dial. A refused connection is no silence: the peer's machine itself says that nobody is there.
 */

static const char *const state_texts[SKUA__PEER_STATES] = {
    [SKUA__PEER_KNOWN] = "known",     [SKUA__PEER_UP] = "up",
    [SKUA__PEER_SUSPECT] = "suspect", [SKUA__PEER_LOST] = "lost",
    [SKUA__PEER_LEAVING] = "leaving",
};

static const char *const reason_texts[SKUA__LEAVE_REASONS] = {
    [SKUA__LEAVE_NONE] = "none",
    [SKUA__LEAVE_GONE] = "gone",
    [SKUA__LEAVE_SILENT] = "silent",
    [SKUA__LEAVE_BYE] = "bye",
    [SKUA__LEAVE_RESTARTED] = "restarted",
    [SKUA__LEAVE_UNREACHABLE] = "unreachable",
    [SKUA__LEAVE_CUT] = "cut",
};

static const char *const event_texts[SKUA__PEER_EVENTS] = {
    [SKUA__PEER_SEEN] = "seen",
    [SKUA__PEER_TOLD] = "told",
    [SKUA__PEER_VOUCHED] = "vouched",
    [SKUA__PEER_LINK_UP] = "link_up",
    [SKUA__PEER_LINK_DOWN] = "link_down",
    [SKUA__PEER_HEARD] = "heard",
    [SKUA__PEER_BYE_HEARD] = "bye_heard",
    [SKUA__PEER_DIAL_STARTED] = "dial_started",
    [SKUA__PEER_DIAL_CONNECTED] = "dial_connected",
    [SKUA__PEER_DIAL_REFUSED] = "dial_refused",
    [SKUA__PEER_DIAL_REJECTED] = "dial_rejected",
    [SKUA__PEER_DIAL_FAILED] = "dial_failed",
    [SKUA__PEER_PROBE_OPEN] = "probe_open",
    [SKUA__PEER_PROBE_REFUSED] = "probe_refused",
    [SKUA__PEER_PROBE_SILENT] = "probe_silent",
    [SKUA__PEER_CUT] = "cut",
    [SKUA__PEER_TICK] = "tick",
};

static const char *const action_texts[] = {
    [SKUA__PEER_DO_DIAL] = "dial",       [SKUA__PEER_DO_DIAL_END] = "dial_end",
    [SKUA__PEER_DO_CLOSE] = "close",     [SKUA__PEER_DO_PING] = "ping",
    [SKUA__PEER_DO_PROBE] = "probe",     [SKUA__PEER_DO_BEACON] = "beacon",
    [SKUA__PEER_DO_JOIN] = "JOIN",       [SKUA__PEER_DO_LINK] = "link",
    [SKUA__PEER_DO_SUSPECT] = "SUSPECT", [SKUA__PEER_DO_ALIVE] = "ALIVE",
    [SKUA__PEER_DO_LEAVE] = "LEAVE",     [SKUA__PEER_DO_FORGET] = "forget",
};

const char *
skua__peer_state_text(skua__peer_state state) {
    return (unsigned)state < SKUA__PEER_STATES ? state_texts[state] : "?";
}

const char *
skua__leave_reason_text(skua__leave_reason reason) {
    return (unsigned)reason < SKUA__LEAVE_REASONS ? reason_texts[reason] : "?";
}

const char *
skua__peer_event_text(skua__peer_event_kind kind) {
    return kind >= SKUA__PEER_SEEN && kind < SKUA__PEER_EVENTS ? event_texts[kind] : "?";
}

const char *
skua__peer_action_text(skua__peer_action_kind kind) {
    return kind >= SKUA__PEER_DO_DIAL && kind <= SKUA__PEER_DO_FORGET ? action_texts[kind] : "?";
}

/* One step at hand: what the helpers share. */
typedef struct step {
    skua__peer_fsm *fsm;
    const skua__peer_event *event;
    int64_t now_ns;
    skua__peer_actions *out;
    bool refused; /* a dial that began since the last link broke found nobody listening */
} step;

static skua__peer_action *
act(step *s, skua__peer_action_kind kind, uint32_t link) {
    assert(s->out->count < SKUA__PEER_ACTIONS_MAX);
    skua__peer_action *action = &s->out->items[s->out->count++];
    *action = (skua__peer_action){.kind = kind, .link = link};
    return action;
}

bool
skua__peer_joined(const skua__peer_fsm *fsm) {
    return fsm->state != SKUA__PEER_KNOWN;
}

/* ---- Dialling ---- */

static void
want_dial(step *s) {
    int64_t wait_ns = s->fsm->lower ? 0 : SKUA__DIAL_YIELD_MS * SKUA_NS_PER_MS;
    skua__dialler_want(&s->fsm->dialler, s->now_ns + wait_ns);
}

static void
stop_dial(step *s) {
    uint32_t link;
    if (skua__dialler_off(&s->fsm->dialler, &link)) {
        act(s, SKUA__PEER_DO_DIAL_END, link);
    }
}

static void
dial_failed(step *s, skua__dial_failure failure) {
    skua__peer_fsm *fsm = s->fsm;
    if (fsm->dialler.state != SKUA__DIALLER_RUNNING) {
        return;
    }
    int64_t refused_max_ms = fsm->is_static ? SKUA__DIAL_REFUSED_MAX_MS : SKUA__DIAL_BACKOFF_MAX_MS;
    uint32_t link = skua__dialler_failed(&fsm->dialler, failure, refused_max_ms, s->now_ns);
    act(s, SKUA__PEER_DO_DIAL_END, link);
    if (fsm->link) { /* the other's dial came through meanwhile */
        skua__dialler_off(&fsm->dialler, &link);
    } else if (fsm->state == SKUA__PEER_LOST && failure != SKUA__DIAL_WAS_REFUSED) {
        act(s, SKUA__PEER_DO_PROBE,
            fsm->era); /* the failure did not say whether anybody is there */
    } else if (fsm->state == SKUA__PEER_KNOWN && !fsm->is_static &&
               fsm->dialler.refusals >= SKUA__DIAL_REFUSALS_MAX) {
        skua__dialler_off(&fsm->dialler, &link);
        int64_t soon_ns = s->now_ns + SKUA__PEER_TOMBSTONE_S * SKUA_NS_PER_S;
        fsm->forget_ns = soon_ns < fsm->forget_ns ? soon_ns : fsm->forget_ns;
    }
}

/* The events that concern the dialler alone, and its timer. */
static void
step_dialler(step *s) {
    skua__dialler *dialler = &s->fsm->dialler;
    uint32_t link = s->event->link;
    switch (s->event->kind) {
    case SKUA__PEER_DIAL_STARTED:
        skua__dialler_started(dialler, link, s->now_ns);
        s->fsm->dial_era = s->fsm->era;
        return;
    case SKUA__PEER_DIAL_CONNECTED:
        if (link == dialler->link) {
            skua__dialler_connected(dialler, s->now_ns);
        }
        return;
    case SKUA__PEER_DIAL_REFUSED:
    case SKUA__PEER_DIAL_REJECTED:
    case SKUA__PEER_DIAL_FAILED:
    case SKUA__PEER_LINK_DOWN:
        if (link && link == dialler->link) {
            dial_failed(s, s->event->kind == SKUA__PEER_DIAL_REFUSED    ? SKUA__DIAL_WAS_REFUSED
                           : s->event->kind == SKUA__PEER_DIAL_REJECTED ? SKUA__DIAL_WAS_REJECTED
                                                                        : SKUA__DIAL_OTHER_FAILURE);
        }
        return;
    case SKUA__PEER_TICK:
        if (skua__dialler_overdue(dialler, s->now_ns)) {
            dial_failed(s, SKUA__DIAL_OTHER_FAILURE);
        }
        return;
    default:
        return;
    }
}

/* ---- Joining and leaving ---- */

static skua__peer_state
leave(step *s, skua__leave_reason reason) {
    skua__peer_fsm *fsm = s->fsm;
    skua__peer_action *action = act(s, SKUA__PEER_DO_LEAVE, 0);
    action->reason = reason;
    action->incarnation = fsm->incarnation;
    if (fsm->link) {
        act(s, SKUA__PEER_DO_CLOSE, fsm->link);
        fsm->link = 0;
    }
    fsm->suspected = false;
    bool certain = reason == SKUA__LEAVE_GONE || reason == SKUA__LEAVE_BYE;
    int64_t keep_s = certain ? SKUA__PEER_TOMBSTONE_S : SKUA__PEER_FORGET_S;
    fsm->forget_ns = s->now_ns + keep_s * SKUA_NS_PER_S;
    if (certain) {
        stop_dial(s);
    }
    if (!certain || fsm->is_static) {
        want_dial(s);
    }
    return SKUA__PEER_KNOWN;
}

/* Takes the event's link as ours, and settles the dial with it. */
static void
adopt_link(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    if (fsm->link && fsm->link != s->event->link) {
        act(s, SKUA__PEER_DO_CLOSE, fsm->link);
    }
    fsm->link = s->event->link;
    fsm->link_outgoing = s->event->outgoing;
    fsm->link_since_ns = s->now_ns;
    fsm->era++;
    skua__detector_heard(&fsm->detector, true, s->now_ns);
    fsm->ping_ns = s->now_ns;
    bool is_the_dial = fsm->dialler.link == fsm->link;
    /*
     * When the other's dial came first but ours is the one that both sides prefer, ours goes on: to give it up
     * now could cross with the other's giving up of theirs, and leave none.
     */
    bool ours_still_better = fsm->lower && !fsm->link_outgoing && !is_the_dial &&
                             fsm->dialler.state == SKUA__DIALLER_RUNNING;
    if (!ours_still_better) {
        stop_dial(s);
    }
}

static skua__peer_state
join(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    fsm->incarnation = s->event->incarnation;
    if (fsm->incarnation > fsm->seen_incarnation) {
        fsm->seen_incarnation = fsm->incarnation;
    }
    fsm->suspected = false;
    skua__detector_init(&fsm->detector, fsm->config->heartbeat_ns, s->now_ns);
    adopt_link(s);
    skua__peer_action *action = act(s, SKUA__PEER_DO_JOIN, fsm->link);
    action->incarnation = fsm->incarnation;
    return SKUA__PEER_UP;
}

static void
clear_suspicion(step *s) {
    if (s->fsm->suspected) {
        s->fsm->suspected = false;
        act(s, SKUA__PEER_DO_ALIVE, 0);
    }
}

/* A second HELLO for a member, or the first since its link broke. */
static skua__peer_state
link_up_of_member(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    const skua__peer_event *event = s->event;
    if (event->incarnation < fsm->incarnation) {
        act(s, SKUA__PEER_DO_CLOSE, event->link); /* a ghost of an earlier life */
        return fsm->state;
    }
    if (event->incarnation > fsm->incarnation) {
        skua__peer_action *action = act(s, SKUA__PEER_DO_LEAVE, 0);
        action->reason = SKUA__LEAVE_RESTARTED;
        action->incarnation = fsm->incarnation;
        return join(s);
    }
    /*
     * Of two dials that crossed both sides must keep the same one: the lower's; of two of a kind, the newer. But a link
     * that settled long ago is given up for any new one: who dials again has lost it.
     */
    bool new_is_better = event->outgoing == fsm->lower;
    bool settled = s->now_ns - fsm->link_since_ns >= SKUA__PEER_SETTLED_MS * SKUA_NS_PER_MS;
    bool old_is_better = fsm->link && !settled && fsm->link_outgoing == fsm->lower;
    if (old_is_better && !new_is_better) {
        act(s, SKUA__PEER_DO_CLOSE, event->link);
        if (event->link == fsm->dialler.link) {
            stop_dial(s);
        }
        skua__detector_heard(&fsm->detector, false, s->now_ns);
        return fsm->state;
    }
    adopt_link(s);
    act(s, SKUA__PEER_DO_LINK, fsm->link);
    if (fsm->state == SKUA__PEER_LEAVING) {
        return SKUA__PEER_LEAVING;
    }
    clear_suspicion(s);
    return SKUA__PEER_UP;
}

/* ---- What each event means to a member ---- */

static skua__peer_state
lose_link(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    fsm->link = 0;
    act(s, SKUA__PEER_DO_PROBE, fsm->era);
    fsm->open_probes = 0;
    if (fsm->state == SKUA__PEER_LEAVING) {
        return SKUA__PEER_LEAVING;
    }
    fsm->probe_ns = SKUA_NEVER_NS;
    want_dial(s);
    return SKUA__PEER_LOST;
}

static skua__peer_state
sign_of_life(step *s, bool on_link) {
    skua__detector_heard(&s->fsm->detector, on_link, s->now_ns);
    clear_suspicion(s);
    return s->fsm->state == SKUA__PEER_SUSPECT ? SKUA__PEER_UP : s->fsm->state;
}

static skua__peer_state
seen_member(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    if (s->event->incarnation == fsm->incarnation) {
        return sign_of_life(s, false);
    }
    if (s->event->incarnation > fsm->incarnation) {
        want_dial(s); /* it says that it was restarted: only a link can prove it */
    }
    return fsm->state;
}

static skua__peer_state
begin_leaving(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    if (s->event->incarnation == fsm->incarnation && fsm->state != SKUA__PEER_LEAVING) {
        act(s, SKUA__PEER_DO_PROBE, fsm->era);
        fsm->open_probes = 0;
        fsm->probe_ns = s->now_ns + 2 * SKUA__PEER_PROBE_MS * SKUA_NS_PER_MS;
        return SKUA__PEER_LEAVING;
    }
    return fsm->state;
}

/* The answer to a probe of a member that said BYE. */
static skua__peer_state
probed_leaving(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    if (s->event->kind == SKUA__PEER_PROBE_REFUSED) {
        return leave(s, SKUA__LEAVE_BYE);
    }
    if (++fsm->open_probes < SKUA__PEER_BYE_PROBES_MAX) {
        /* Without a link its end is near; with one it may take its time to say farewell. */
        int64_t first_ms = fsm->link ? 20 : SKUA__PEER_LOST_PROBE_MS;
        unsigned shift = fsm->open_probes < 5 ? fsm->open_probes - 1 : 4;
        fsm->probe_ns = s->now_ns + (first_ms << shift) * SKUA_NS_PER_MS;
        return SKUA__PEER_LEAVING;
    }
    if (fsm->link) {
        return fsm->suspected ? SKUA__PEER_SUSPECT : SKUA__PEER_UP;
    }
    fsm->probe_ns = SKUA_NEVER_NS;
    want_dial(s);
    return SKUA__PEER_LOST;
}

static skua__peer_state
probed(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    skua__peer_state state = fsm->state;
    if (s->event->link && s->event->link != fsm->era) {
        return state;
    }
    if (state == SKUA__PEER_LEAVING) {
        return probed_leaving(s);
    }
    bool doubted = state == SKUA__PEER_SUSPECT || state == SKUA__PEER_LOST;
    if (doubted && s->event->kind == SKUA__PEER_PROBE_REFUSED) {
        return leave(s, SKUA__LEAVE_GONE);
    }
    /* The system takes a killed process apart piece by piece: its connection may be gone and its port still open. */
    if (state == SKUA__PEER_LOST && s->event->kind == SKUA__PEER_PROBE_OPEN &&
        fsm->open_probes < SKUA__PEER_LOST_PROBES_MAX) {
        fsm->probe_ns =
            s->now_ns + ((int64_t)SKUA__PEER_LOST_PROBE_MS << fsm->open_probes++) * SKUA_NS_PER_MS;
    }
    return state;
}

/* Pings at each heartbeat; twice as often, and by beacon too, while the peer is suspected. */
static void
ping_when_due(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    if (s->now_ns < fsm->ping_ns) {
        return;
    }
    if (fsm->link) {
        act(s, SKUA__PEER_DO_PING, fsm->link);
    }
    if (fsm->suspected) {
        act(s, SKUA__PEER_DO_BEACON, 0);
    }
    fsm->ping_ns = s->now_ns + fsm->config->heartbeat_ns / (fsm->suspected ? 2 : 1);
}

static void
probe_when_due(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    bool leaving = fsm->state == SKUA__PEER_LEAVING;
    if ((leaving || fsm->state == SKUA__PEER_LOST) && s->now_ns >= fsm->probe_ns) {
        act(s, SKUA__PEER_DO_PROBE, fsm->era);
        /* While a peer is leaving an answer that never comes must not end the probing. */
        int64_t again_ns = s->now_ns + 2 * SKUA__PEER_PROBE_MS * SKUA_NS_PER_MS;
        fsm->probe_ns = leaving ? again_ns : SKUA_NEVER_NS;
    }
}

static skua__peer_state
tick_member(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    int64_t next_ns;
    skua__verdict verdict = skua__detector_judge(&fsm->detector, s->now_ns, &next_ns);
    bool leaving = fsm->state == SKUA__PEER_LEAVING;
    skua__peer_state next = fsm->state;
    switch (verdict) {
    case SKUA__VERDICT_DEAD:
        return leave(s, leaving ? SKUA__LEAVE_BYE : SKUA__LEAVE_SILENT);
    case SKUA__VERDICT_UNREACHABLE:
        return leave(s, leaving ? SKUA__LEAVE_BYE : SKUA__LEAVE_UNREACHABLE);
    case SKUA__VERDICT_SUSPECT:
        if (!fsm->suspected && !leaving) {
            fsm->suspected = true;
            act(s, SKUA__PEER_DO_SUSPECT, 0);
            act(s, SKUA__PEER_DO_PROBE, fsm->era);
            fsm->ping_ns = s->now_ns;
            next = fsm->link ? SKUA__PEER_SUSPECT : SKUA__PEER_LOST;
        }
        break;
    case SKUA__VERDICT_LINK_STALE:
        if (fsm->link && !leaving) {
            act(s, SKUA__PEER_DO_CLOSE, fsm->link);
            return lose_link(s);
        }
        break;
    case SKUA__VERDICT_FRESH:
        break;
    }
    probe_when_due(s);
    ping_when_due(s);
    return next;
}

/* Everything that may happen to a member, in whichever of the joined states. */
static skua__peer_state
in_joined(step *s) {
    skua__peer_fsm *fsm = s->fsm;
    switch (s->event->kind) {
    case SKUA__PEER_SEEN:
        return seen_member(s);
    case SKUA__PEER_VOUCHED:
        return sign_of_life(s, false);
    case SKUA__PEER_HEARD:
        return sign_of_life(s, s->event->link == fsm->link);
    case SKUA__PEER_LINK_UP:
        return link_up_of_member(s);
    case SKUA__PEER_LINK_DOWN:
        return fsm->link && s->event->link == fsm->link ? lose_link(s) : fsm->state;
    case SKUA__PEER_BYE_HEARD:
        return begin_leaving(s);
    case SKUA__PEER_PROBE_OPEN:
    case SKUA__PEER_PROBE_REFUSED:
    case SKUA__PEER_PROBE_SILENT:
        return probed(s);
    case SKUA__PEER_DIAL_REFUSED:
        return fsm->state == SKUA__PEER_LOST && s->refused ? leave(s, SKUA__LEAVE_GONE)
                                                           : fsm->state;
    case SKUA__PEER_TICK:
        return tick_member(s);
    default:
        return fsm->state;
    }
}

/* What may happen to one that is no member. */
static skua__peer_state
in_known(step *s, bool newer) {
    skua__peer_fsm *fsm = s->fsm;
    switch (s->event->kind) {
    case SKUA__PEER_SEEN:
        if (s->event->incarnation < fsm->incarnation) {
            return SKUA__PEER_KNOWN;
        }
        if (newer) {
            skua__dialler_forgive(&fsm->dialler);
        }
        fsm->forget_ns = s->now_ns + SKUA__PEER_FORGET_S * SKUA_NS_PER_S;
        want_dial(s);
        return SKUA__PEER_KNOWN;
    case SKUA__PEER_TOLD:
        want_dial(s);
        return SKUA__PEER_KNOWN;
    case SKUA__PEER_LINK_UP:
        if (s->event->incarnation < fsm->incarnation) {
            act(s, SKUA__PEER_DO_CLOSE, s->event->link);
            return SKUA__PEER_KNOWN;
        }
        return join(s);
    case SKUA__PEER_BYE_HEARD:
        if (!fsm->is_static && s->event->incarnation >= fsm->seen_incarnation) {
            stop_dial(s);
            fsm->forget_ns = s->now_ns + SKUA__PEER_TOMBSTONE_S * SKUA_NS_PER_S;
        }
        return SKUA__PEER_KNOWN;
    case SKUA__PEER_TICK:
        if (!fsm->is_static && s->now_ns >= fsm->forget_ns) {
            stop_dial(s);
            act(s, SKUA__PEER_DO_FORGET, 0);
        }
        return SKUA__PEER_KNOWN;
    default:
        return SKUA__PEER_KNOWN;
    }
}

static skua__peer_state
cut(step *s) {
    if (skua__peer_joined(s->fsm)) {
        leave(s, SKUA__LEAVE_CUT);
    }
    stop_dial(s);
    act(s, SKUA__PEER_DO_FORGET, 0);
    return SKUA__PEER_KNOWN;
}

/* The one place where the state changes. */
static void
transition(step *s, bool newer) {
    skua__peer_fsm *fsm = s->fsm;
    if (s->event->kind == SKUA__PEER_CUT) {
        fsm->state = cut(s);
        return;
    }
    switch (fsm->state) {
    case SKUA__PEER_KNOWN:
        fsm->state = in_known(s, newer);
        break;
    case SKUA__PEER_UP:
    case SKUA__PEER_SUSPECT:
    case SKUA__PEER_LOST:
    case SKUA__PEER_LEAVING:
        fsm->state = in_joined(s);
        break;
    case SKUA__PEER_STATES:
        assert(false && "a state that is none");
        break;
    }
    assert((fsm->state != SKUA__PEER_UP && fsm->state != SKUA__PEER_SUSPECT) || fsm->link);
    assert((fsm->state != SKUA__PEER_LOST && fsm->state != SKUA__PEER_KNOWN) || !fsm->link);
}

static int64_t
earlier(int64_t a_ns, int64_t b_ns) {
    return a_ns < b_ns ? a_ns : b_ns;
}

static int64_t
next_wake_ns(const skua__peer_fsm *fsm, int64_t now_ns) {
    int64_t wake_ns = skua__dialler_wake_ns(&fsm->dialler);
    if (fsm->state == SKUA__PEER_KNOWN) {
        return fsm->is_static ? wake_ns : earlier(wake_ns, fsm->forget_ns);
    }
    int64_t verdict_ns;
    skua__detector_judge(&fsm->detector, now_ns, &verdict_ns);
    wake_ns = earlier(wake_ns, verdict_ns);
    if (fsm->link || fsm->suspected) {
        wake_ns = earlier(wake_ns, fsm->ping_ns);
    }
    bool probing = fsm->state == SKUA__PEER_LEAVING || fsm->state == SKUA__PEER_LOST;
    return probing ? earlier(wake_ns, fsm->probe_ns) : wake_ns;
}

void
skua__peer_init(skua__peer_fsm *fsm, const skua__peer_config *config, const skua__uuid *uuid,
                bool is_static, int64_t now_ns) {
    int order = skua__uuid_compare(&config->self, uuid);
    assert(order != 0);
    *fsm = (skua__peer_fsm){.config = config,
                            .uuid = *uuid,
                            .is_static = is_static,
                            .lower = order < 0,
                            .state = SKUA__PEER_KNOWN};
    uint64_t seed = config->seed;
    for (size_t i = 0; i < sizeof uuid->bytes; i++) {
        seed = seed * 31 + uuid->bytes[i];
    }
    skua__detector_init(&fsm->detector, config->heartbeat_ns, now_ns);
    skua__dialler_init(&fsm->dialler, seed);
    fsm->forget_ns = now_ns + SKUA__PEER_FORGET_S * SKUA_NS_PER_S;
    fsm->wake_ns = next_wake_ns(fsm, now_ns);
}

void
skua__peer_step(skua__peer_fsm *fsm, const skua__peer_event *event, int64_t now_ns,
                skua__peer_actions *ret_actions) {
    step s = {.fsm = fsm, .event = event, .now_ns = now_ns, .out = ret_actions};
    ret_actions->count = 0;
    bool newer = event->kind == SKUA__PEER_SEEN && event->incarnation > fsm->seen_incarnation;
    if (newer) {
        fsm->seen_incarnation = event->incarnation;
    }
    s.refused = event->kind == SKUA__PEER_DIAL_REFUSED && event->link &&
                event->link == fsm->dialler.link && fsm->dial_era == fsm->era;
    step_dialler(&s);
    transition(&s, newer);
    /* A wish to dial at once needs no TICK of its own. */
    if (skua__dialler_due(&fsm->dialler, now_ns)) {
        act(&s, SKUA__PEER_DO_DIAL, 0);
    }
    fsm->wake_ns = next_wake_ns(fsm, now_ns);
}
