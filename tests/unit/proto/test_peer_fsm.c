// SPDX-License-Identifier: MPL-2.0
// The peer's machine, transition by transition: each row of the table in peer_fsm.c, with what is told and done.
#include "fixture.h"

#include <skua-int/clock.h>
#include <skua-int/peer_fsm.h>

static const int64_t T = SKUA_NS_PER_S;
static const int64_t MS = SKUA_NS_PER_MS;

/* A machine, its clock, and what its last step answered. */
typedef struct world {
    skua__peer_config config;
    skua__peer_fsm fsm;
    int64_t now_ns;
    skua__peer_actions actions;
} world;

static void
start(world *w, bool lower, bool is_static) {
    *w = (world){.config = {.self = uuid_make(lower ? 1 : 3), .heartbeat_ns = T, .seed = 5}};
    w->now_ns = 1000 * T;
    skua__uuid peer = uuid_make(2);
    skua__peer_init(&w->fsm, &w->config, &peer, is_static, w->now_ns);
}

static void
feed(world *w, skua__peer_event event) {
    skua__peer_step(&w->fsm, &event, w->now_ns, &w->actions);
}

static void
feed_kind(world *w, skua__peer_event_kind kind) {
    feed(w, (skua__peer_event){.kind = kind});
}

static void
seen(world *w, uint64_t incarnation) {
    feed(w, (skua__peer_event){.kind = SKUA__PEER_SEEN, .incarnation = incarnation});
}

static void
link_up(world *w, uint32_t link, bool outgoing, uint64_t incarnation) {
    feed(w, (skua__peer_event){.kind = SKUA__PEER_LINK_UP,
                               .link = link,
                               .outgoing = outgoing,
                               .incarnation = incarnation});
}

static void
on_link(world *w, skua__peer_event_kind kind, uint32_t link) {
    feed(w, (skua__peer_event){.kind = kind, .link = link});
}

/* The action of that kind in the last answer, or NULL. */
static const skua__peer_action *
find(const world *w, skua__peer_action_kind kind) {
    for (size_t i = 0; i < w->actions.count; i++) {
        if (w->actions.items[i].kind == kind) {
            return &w->actions.items[i];
        }
    }
    return NULL;
}

static void
assert_left(const world *w, skua__leave_reason reason, uint64_t incarnation) {
    const skua__peer_action *action = find(w, SKUA__PEER_DO_LEAVE);
    assert_non_null(action);
    assert_string_equal(skua__leave_reason_text(action->reason), skua__leave_reason_text(reason));
    assert_int_equal(action->incarnation, incarnation);
}

/* Ticks at every wake-up, but not past until_ns; stops where an action of that kind is given. */
static bool
run_until(world *w, int64_t until_ns, skua__peer_action_kind kind) {
    for (int steps = 0; w->fsm.wake_ns <= until_ns; steps++) {
        assert_true(steps < 10000);
        assert_true(w->fsm.wake_ns >= w->now_ns || steps == 0);
        w->now_ns = w->fsm.wake_ns > w->now_ns ? w->fsm.wake_ns : w->now_ns;
        feed_kind(w, SKUA__PEER_TICK);
        if (find(w, kind)) {
            return true;
        }
    }
    w->now_ns = until_ns;
    return false;
}

/* A member with link 1 and incarnation 10. */
static void
join(world *w, bool lower, bool outgoing) {
    start(w, lower, false);
    link_up(w, 1, outgoing, 10);
    assert_non_null(find(w, SKUA__PEER_DO_JOIN));
    assert_int_equal(w->fsm.state, SKUA__PEER_UP);
}

static void
test_peer_lower_uuid_dials_at_once(void **state) {
    (void)state;
    world w;
    start(&w, true, false);
    assert_null(find(&w, SKUA__PEER_DO_DIAL));
    seen(&w, 10);
    assert_non_null(find(&w, SKUA__PEER_DO_DIAL));
    seen(&w, 10);
    assert_null(find(&w, SKUA__PEER_DO_DIAL)); /* once is enough */
    on_link(&w, SKUA__PEER_DIAL_STARTED, 1);
    on_link(&w, SKUA__PEER_DIAL_CONNECTED, 1);
    link_up(&w, 1, true, 10);
    const skua__peer_action *joined = find(&w, SKUA__PEER_DO_JOIN);
    assert_non_null(joined);
    assert_int_equal(joined->incarnation, 10);
    assert_int_equal(joined->link, 1);
    assert_int_equal(find(&w, SKUA__PEER_DO_DIAL_END)->link, 1);
    assert_true(skua__peer_joined(&w.fsm));
}

static void
test_peer_higher_uuid_waits_200_ms(void **state) {
    (void)state;
    world w;
    start(&w, false, false);
    feed_kind(&w, SKUA__PEER_TOLD);
    int64_t told_ns = w.now_ns;
    assert_null(find(&w, SKUA__PEER_DO_DIAL));
    assert_true(run_until(&w, told_ns + T, SKUA__PEER_DO_DIAL));
    assert_true(w.now_ns - told_ns == 200 * MS);
    /* The other's dial comes first while ours waits in the limiter: the slot is given back. */
    link_up(&w, 9, false, 10);
    assert_int_equal(find(&w, SKUA__PEER_DO_DIAL_END)->link, 0);
    assert_int_equal(w.fsm.dialler.state, SKUA__DIALLER_OFF);
}

static void
test_peer_i9_dead_process_is_gone_at_once(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    on_link(&w, SKUA__PEER_LINK_DOWN, 1);
    assert_int_equal(w.fsm.state, SKUA__PEER_LOST);
    assert_non_null(find(&w, SKUA__PEER_DO_PROBE));
    assert_non_null(find(&w, SKUA__PEER_DO_DIAL));
    assert_null(find(&w, SKUA__PEER_DO_LEAVE));
    feed_kind(&w, SKUA__PEER_PROBE_REFUSED);
    assert_left(&w, SKUA__LEAVE_GONE, 10);
    assert_non_null(find(&w, SKUA__PEER_DO_DIAL_END));
    assert_true(run_until(&w, w.now_ns + 11 * T, SKUA__PEER_DO_FORGET));
}

static void
test_peer_refused_dial_of_a_lost_peer_is_gone_too(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    on_link(&w, SKUA__PEER_LINK_DOWN, 1);
    on_link(&w, SKUA__PEER_DIAL_STARTED, 2);
    on_link(&w, SKUA__PEER_DIAL_REFUSED, 2);
    assert_left(&w, SKUA__LEAVE_GONE, 10);
}

static void
test_peer_broken_link_of_a_live_process_is_mended(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    on_link(&w, SKUA__PEER_LINK_DOWN, 1);
    feed_kind(&w, SKUA__PEER_PROBE_OPEN);
    assert_int_equal(w.fsm.state, SKUA__PEER_LOST);
    on_link(&w, SKUA__PEER_DIAL_STARTED, 2);
    on_link(&w, SKUA__PEER_DIAL_FAILED, 2);
    assert_non_null(find(&w, SKUA__PEER_DO_PROBE)); /* is anybody there? */
    assert_true(run_until(&w, w.now_ns + T, SKUA__PEER_DO_DIAL));
    on_link(&w, SKUA__PEER_DIAL_STARTED, 3);
    link_up(&w, 3, true, 10);
    assert_int_equal(find(&w, SKUA__PEER_DO_LINK)->link, 3);
    assert_null(find(&w, SKUA__PEER_DO_JOIN));
    assert_int_equal(w.fsm.state, SKUA__PEER_UP);
}

static void
test_peer_i9_silence_is_suspect_then_dead(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    int64_t joined_ns = w.now_ns;
    assert_true(run_until(&w, joined_ns + 10 * T, SKUA__PEER_DO_SUSPECT));
    assert_true(w.now_ns - joined_ns == 2 * T);
    assert_non_null(find(&w, SKUA__PEER_DO_PROBE));
    assert_non_null(find(&w, SKUA__PEER_DO_PING));
    assert_non_null(find(&w, SKUA__PEER_DO_BEACON));
    feed_kind(&w, SKUA__PEER_PROBE_SILENT);
    feed_kind(&w, SKUA__PEER_PROBE_OPEN); /* its kernel lives: no proof that it does */
    assert_int_equal(w.fsm.state, SKUA__PEER_SUSPECT);
    assert_true(run_until(&w, joined_ns + 10 * T, SKUA__PEER_DO_LEAVE));
    assert_left(&w, SKUA__LEAVE_SILENT, 10);
    assert_true(w.now_ns - joined_ns == 13 * T / 4);
    assert_int_equal(find(&w, SKUA__PEER_DO_CLOSE)->link, 1);
    assert_non_null(find(&w, SKUA__PEER_DO_DIAL)); /* it may come back */
}

static void
test_peer_sign_of_life_ends_a_suspicion(void **state) {
    (void)state;
    for (int by = 0; by < 3; by++) {
        world w;
        join(&w, true, true);
        assert_true(run_until(&w, w.now_ns + 10 * T, SKUA__PEER_DO_SUSPECT));
        if (by == 0) {
            on_link(&w, SKUA__PEER_HEARD, 1);
        } else if (by == 1) {
            seen(&w, 9); /* an old incarnation's beacon is none */
            assert_null(find(&w, SKUA__PEER_DO_ALIVE));
            seen(&w, 10);
        } else {
            feed_kind(&w, SKUA__PEER_VOUCHED);
        }
        assert_non_null(find(&w, SKUA__PEER_DO_ALIVE));
        assert_int_equal(w.fsm.state, SKUA__PEER_UP);
        assert_false(run_until(&w, w.now_ns + 2 * T - 1, SKUA__PEER_DO_SUSPECT));
    }
}

static void
test_peer_suspected_and_refused_is_gone(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    feed_kind(&w, SKUA__PEER_PROBE_REFUSED); /* late answer to an old question */
    assert_int_equal(w.fsm.state, SKUA__PEER_UP);
    assert_true(run_until(&w, w.now_ns + 10 * T, SKUA__PEER_DO_SUSPECT));
    feed_kind(&w, SKUA__PEER_PROBE_REFUSED);
    assert_left(&w, SKUA__LEAVE_GONE, 10);
}

static void
test_peer_pings_every_heartbeat(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    int64_t end_ns = w.now_ns + 10 * T;
    int pings = 0;
    while (run_until(&w, end_ns, SKUA__PEER_DO_PING)) {
        pings++;
        on_link(&w, SKUA__PEER_HEARD, 1);
    }
    assert_in_range(pings, 10, 11);
}

static void
test_peer_beacons_without_a_link_are_unreachable(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    int64_t joined_ns = w.now_ns;
    bool closed = false;
    uint32_t link = 10;
    while (skua__peer_joined(&w.fsm)) {
        assert_true(w.now_ns < joined_ns + 7 * T);
        if (run_until(&w, w.now_ns + T / 4, SKUA__PEER_DO_LEAVE)) {
            break;
        }
        closed = closed || w.fsm.state == SKUA__PEER_LOST;
        if (w.fsm.dialler.state == SKUA__DIALLER_ASKED) {
            on_link(&w, SKUA__PEER_DIAL_STARTED, ++link);
        }
        seen(&w, 10);
    }
    assert_true(closed);
    assert_left(&w, SKUA__LEAVE_UNREACHABLE, 10);
    assert_true(w.now_ns - joined_ns == 6 * T);
    seen(&w, 10);
    assert_int_equal(w.fsm.state, SKUA__PEER_KNOWN); /* only a link makes it a member */
}

static void
test_peer_bye_is_confirmed_by_a_probe(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    feed(&w, (skua__peer_event){.kind = SKUA__PEER_BYE_HEARD, .incarnation = 9});
    assert_int_equal(w.fsm.state, SKUA__PEER_UP);
    feed(&w, (skua__peer_event){.kind = SKUA__PEER_BYE_HEARD, .incarnation = 10});
    assert_int_equal(w.fsm.state, SKUA__PEER_LEAVING);
    assert_non_null(find(&w, SKUA__PEER_DO_PROBE));
    assert_null(find(&w, SKUA__PEER_DO_LEAVE)); /* BYE only means "probe now" */
    feed_kind(&w, SKUA__PEER_PROBE_OPEN);       /* it has not closed its port yet */
    assert_true(run_until(&w, w.now_ns + 50 * MS, SKUA__PEER_DO_PROBE));
    on_link(&w, SKUA__PEER_LINK_DOWN, 1);
    assert_non_null(find(&w, SKUA__PEER_DO_PROBE));
    feed_kind(&w, SKUA__PEER_PROBE_REFUSED);
    assert_left(&w, SKUA__LEAVE_BYE, 10);
}

static void
test_peer_bye_and_silence_is_a_bye_after_the_silence_rule(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    int64_t joined_ns = w.now_ns;
    feed(&w, (skua__peer_event){.kind = SKUA__PEER_BYE_HEARD, .incarnation = 10});
    on_link(&w, SKUA__PEER_LINK_DOWN, 1);
    feed_kind(&w, SKUA__PEER_PROBE_SILENT); /* a lost packet is no death, BYE or not */
    assert_int_equal(w.fsm.state, SKUA__PEER_LEAVING);
    assert_true(run_until(&w, joined_ns + 10 * T, SKUA__PEER_DO_LEAVE));
    assert_left(&w, SKUA__LEAVE_BYE, 10);
    assert_true(w.now_ns - joined_ns == 13 * T / 4);
}

static void
test_peer_lost_with_an_open_port_is_probed_again(void **state) {
    (void)state;
    world w;
    join(&w, false, false);
    on_link(&w, SKUA__PEER_LINK_DOWN, 1);
    int64_t lost_ns = w.now_ns;
    for (int i = 0; i < SKUA__PEER_LOST_PROBES_MAX; i++) {
        feed_kind(&w, SKUA__PEER_PROBE_OPEN); /* its process is being taken apart */
        assert_true(run_until(&w, w.now_ns + 150 * MS, SKUA__PEER_DO_PROBE));
    }
    assert_true(w.now_ns - lost_ns < 300 * MS);
    feed_kind(&w, SKUA__PEER_PROBE_OPEN);
    assert_false(run_until(&w, w.now_ns + 100 * MS, SKUA__PEER_DO_PROBE));
    feed_kind(&w, SKUA__PEER_PROBE_REFUSED);
    assert_left(&w, SKUA__LEAVE_GONE, 10);
}

static void
test_peer_forged_bye_does_no_harm(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    feed(&w, (skua__peer_event){.kind = SKUA__PEER_BYE_HEARD, .incarnation = 10});
    int probes = 0;
    while (w.fsm.state == SKUA__PEER_LEAVING) {
        feed_kind(&w, SKUA__PEER_PROBE_OPEN);
        on_link(&w, SKUA__PEER_HEARD, 1);
        assert_null(find(&w, SKUA__PEER_DO_LEAVE));
        assert_true(++probes <= SKUA__PEER_BYE_PROBES_MAX);
        run_until(&w, w.now_ns + T, SKUA__PEER_DO_PROBE);
    }
    assert_int_equal(probes, SKUA__PEER_BYE_PROBES_MAX);
    assert_int_equal(w.fsm.state, SKUA__PEER_UP);
}

static void
test_peer_restart_is_leave_and_join(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    seen(&w, 11); /* a beacon says so: no proof, but a reason to dial */
    assert_null(find(&w, SKUA__PEER_DO_LEAVE));
    assert_non_null(find(&w, SKUA__PEER_DO_DIAL));
    on_link(&w, SKUA__PEER_DIAL_STARTED, 2);
    link_up(&w, 2, true, 11);
    assert_left(&w, SKUA__LEAVE_RESTARTED, 10);
    assert_int_equal(find(&w, SKUA__PEER_DO_CLOSE)->link, 1);
    assert_int_equal(find(&w, SKUA__PEER_DO_JOIN)->incarnation, 11);
    assert_true(find(&w, SKUA__PEER_DO_LEAVE) < find(&w, SKUA__PEER_DO_JOIN));
    link_up(&w, 3, false, 10); /* the ghost */
    assert_int_equal(find(&w, SKUA__PEER_DO_CLOSE)->link, 3);
    assert_int_equal(w.fsm.incarnation, 11);
}

static void
test_peer_forged_incarnation_does_not_lock_it_out(void **state) {
    (void)state;
    world w;
    start(&w, true, false);
    seen(&w, UINT64_MAX);
    link_up(&w, 1, false, 10);
    assert_non_null(find(&w, SKUA__PEER_DO_JOIN));
    assert_int_equal(w.fsm.incarnation, 10);
}

/* Both ends see links 1 (dialled by the lower) and 2 (by the higher) come up, in either order: both keep 1. */
static void
test_peer_of_two_links_the_lowers_dial_stays(void **state) {
    (void)state;
    for (int lower = 0; lower < 2; lower++) {
        for (int order = 0; order < 2; order++) {
            world w;
            start(&w, lower, false);
            uint32_t first = order ? 2 : 1, second = order ? 1 : 2;
            link_up(&w, first, (first == 1) == lower, 10);
            link_up(&w, second, (second == 1) == lower, 10);
            assert_int_equal(find(&w, SKUA__PEER_DO_CLOSE)->link, 2);
            assert_int_equal(w.fsm.link, 1);
            link_up(&w, 5, lower, 10); /* a newer one of the same kind replaces it */
            assert_int_equal(w.fsm.link, 5);
        }
    }
}

static void
test_peer_lowers_running_dial_survives_the_others_link(void **state) {
    (void)state;
    world w;
    start(&w, true, false);
    seen(&w, 10);
    on_link(&w, SKUA__PEER_DIAL_STARTED, 1);
    link_up(&w, 2, false, 10);
    assert_non_null(find(&w, SKUA__PEER_DO_JOIN));
    assert_null(find(&w, SKUA__PEER_DO_DIAL_END));
    on_link(&w, SKUA__PEER_DIAL_FAILED, 1);
    assert_non_null(find(&w, SKUA__PEER_DO_DIAL_END));
    assert_int_equal(w.fsm.dialler.state,
                     SKUA__DIALLER_OFF); /* there is a link: no other is needed */
    assert_int_equal(w.fsm.link, 2);
}

static void
test_peer_refusing_port_is_left_alone(void **state) {
    (void)state;
    for (int is_static = 0; is_static < 2; is_static++) {
        world w;
        start(&w, true, is_static);
        seen(&w, 10);
        uint32_t dials = 0;
        int64_t end_ns = w.now_ns + (is_static ? 60 : SKUA__PEER_TOMBSTONE_S - 1) * T;
        do {
            on_link(&w, SKUA__PEER_DIAL_STARTED, ++dials);
            on_link(&w, SKUA__PEER_DIAL_REFUSED, dials);
        } while (run_until(&w, end_ns, SKUA__PEER_DO_DIAL) && dials < 20);
        assert_int_equal(dials, is_static ? 20 : SKUA__DIAL_REFUSALS_MAX);
        if (!is_static) {
            seen(&w, 10); /* it is there after all */
            assert_non_null(find(&w, SKUA__PEER_DO_DIAL));
        }
    }
}

static void
test_peer_rejected_dial_waits_long(void **state) {
    (void)state;
    world w;
    start(&w, true, false);
    seen(&w, 10);
    on_link(&w, SKUA__PEER_DIAL_STARTED, 1);
    on_link(&w, SKUA__PEER_DIAL_REJECTED, 1);
    for (int i = 0; i < 7; i++) {
        assert_false(run_until(&w, w.now_ns + T, SKUA__PEER_DO_DIAL));
        seen(&w, 10);
        assert_null(find(&w, SKUA__PEER_DO_DIAL));
    }
    seen(&w, 11); /* restarted: it may think differently now */
    assert_non_null(find(&w, SKUA__PEER_DO_DIAL));
}

static void
test_peer_cut_leaves_and_is_forgotten(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    feed_kind(&w, SKUA__PEER_CUT);
    assert_left(&w, SKUA__LEAVE_CUT, 10);
    assert_int_equal(find(&w, SKUA__PEER_DO_CLOSE)->link, 1);
    assert_int_equal(w.actions.items[w.actions.count - 1].kind, SKUA__PEER_DO_FORGET);
    start(&w, true, false);
    seen(&w, 10);
    feed_kind(&w, SKUA__PEER_CUT);
    assert_null(find(&w, SKUA__PEER_DO_LEAVE));
    assert_non_null(find(&w, SKUA__PEER_DO_DIAL_END));
    assert_non_null(find(&w, SKUA__PEER_DO_FORGET));
}

static void
test_peer_unknown_links_are_ignored(void **state) {
    (void)state;
    world w;
    join(&w, true, true);
    on_link(&w, SKUA__PEER_LINK_DOWN, 77);
    assert_int_equal(w.actions.count, 0);
    on_link(&w, SKUA__PEER_LINK_DOWN, 0);
    assert_int_equal(w.actions.count, 0);
    assert_int_equal(w.fsm.state, SKUA__PEER_UP);
}

static void
test_peer_static_is_never_forgotten(void **state) {
    (void)state;
    world w;
    start(&w, true, true);
    feed_kind(&w, SKUA__PEER_TOLD);
    for (int64_t link = 1; w.now_ns < 3000 * T; link++) {
        on_link(&w, SKUA__PEER_DIAL_STARTED, (uint32_t)link);
        assert_true(run_until(&w, w.now_ns + 10 * T, SKUA__PEER_DO_DIAL));
        assert_null(find(&w, SKUA__PEER_DO_FORGET));
    }
}

static void
test_peer_texts_are_complete(void **state) {
    (void)state;
    for (int i = 0; i < SKUA__PEER_STATES; i++) {
        assert_string_not_equal(skua__peer_state_text((skua__peer_state)i), "?");
    }
    for (int i = 0; i < SKUA__LEAVE_REASONS; i++) {
        assert_string_not_equal(skua__leave_reason_text((skua__leave_reason)i), "?");
    }
    for (int i = SKUA__PEER_SEEN; i < SKUA__PEER_EVENTS; i++) {
        assert_non_null(skua__peer_event_text((skua__peer_event_kind)i));
        assert_string_not_equal(skua__peer_event_text((skua__peer_event_kind)i), "?");
    }
    for (int i = SKUA__PEER_DO_DIAL; i <= SKUA__PEER_DO_FORGET; i++) {
        assert_string_not_equal(skua__peer_action_text((skua__peer_action_kind)i), "?");
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peer_lower_uuid_dials_at_once),
        cmocka_unit_test(test_peer_higher_uuid_waits_200_ms),
        cmocka_unit_test(test_peer_i9_dead_process_is_gone_at_once),
        cmocka_unit_test(test_peer_refused_dial_of_a_lost_peer_is_gone_too),
        cmocka_unit_test(test_peer_broken_link_of_a_live_process_is_mended),
        cmocka_unit_test(test_peer_i9_silence_is_suspect_then_dead),
        cmocka_unit_test(test_peer_sign_of_life_ends_a_suspicion),
        cmocka_unit_test(test_peer_suspected_and_refused_is_gone),
        cmocka_unit_test(test_peer_pings_every_heartbeat),
        cmocka_unit_test(test_peer_beacons_without_a_link_are_unreachable),
        cmocka_unit_test(test_peer_bye_is_confirmed_by_a_probe),
        cmocka_unit_test(test_peer_bye_and_silence_is_a_bye_after_the_silence_rule),
        cmocka_unit_test(test_peer_lost_with_an_open_port_is_probed_again),
        cmocka_unit_test(test_peer_forged_bye_does_no_harm),
        cmocka_unit_test(test_peer_restart_is_leave_and_join),
        cmocka_unit_test(test_peer_forged_incarnation_does_not_lock_it_out),
        cmocka_unit_test(test_peer_of_two_links_the_lowers_dial_stays),
        cmocka_unit_test(test_peer_lowers_running_dial_survives_the_others_link),
        cmocka_unit_test(test_peer_refusing_port_is_left_alone),
        cmocka_unit_test(test_peer_rejected_dial_waits_long),
        cmocka_unit_test(test_peer_cut_leaves_and_is_forgotten),
        cmocka_unit_test(test_peer_unknown_links_are_ignored),
        cmocka_unit_test(test_peer_static_is_never_forgotten),
        cmocka_unit_test(test_peer_texts_are_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
