// SPDX-License-Identifier: MPL-2.0
// What is learned of runs and ways, and the choice between sites that comes of it.
#include "test.h"

#include <skua-int/clock.h>
#include <skua-int/cost.h>
#include <skua-int/placement.h>
#include <skua-int/rand.h>

static void
test_cost_believes_no_peer_beyond_the_clock(void **state) {
    (void)state;
    assert_int_equal(skua__cost_believed_ns(700, 1000), 700);
    assert_int_equal(skua__cost_believed_ns(UINT64_MAX, 1000), 1000);
    assert_int_equal(skua__cost_believed_ns((uint64_t)INT64_MAX + 5, 1000),
                     1000); /* below 0, if it were signed */
    assert_int_equal(skua__cost_believed_ns(700, -1), 0);
}

static void
test_cost_run_time_follows_the_runs(void **state) {
    (void)state;
    skua__run_cost cost = {0};
    skua__cost_learn_run(&cost, 1000);
    assert_int_equal(cost.run_ns, 1000); /* the first is taken as it is */
    skua__cost_learn_run(&cost, 3000);
    assert_int_equal(cost.run_ns, 2000);
    for (int i = 0; i < 60; i++) {
        skua__cost_learn_run(&cost, 8000);
    }
    assert_in_range(cost.run_ns, 7900, 8000);
    skua__cost_learn_run(&cost, -5); /* a clock that lies teaches nothing */
    assert_in_range(cost.run_ns, 7900, 8000);
}

static void
test_cost_round_trip_keeps_to_the_shortest(void **state) {
    (void)state;
    skua__way_cost way = {0};
    skua__cost_learn_way(&way, 300000, 100000, 64, true);
    assert_int_equal(way.round_ns, 200000);
    skua__cost_learn_way(&way, 9000000, 0, 64, false); /* it waited for a worker: says nothing */
    assert_int_equal(way.round_ns, 200000);
    skua__cost_learn_way(&way, 100000, 0, 64, true);
    assert_int_equal(way.round_ns, 150000);
    skua__cost_learn_way(&way, 10 * 150000, 0, 64, true);
    assert_in_range(way.round_ns, 150001, 200000);
}

static void
test_cost_bandwidth_is_learned_from_large_tasks(void **state) {
    (void)state;
    skua__way_cost way = {0};
    assert_int_equal(skua__cost_move_ns(&way, 1000000), 0);
    skua__cost_learn_way(&way, 1000000, 0, 64, true);
    skua__cost_learn_way(&way, 101000000, 0, 10000000, true); /* 10 MB in 100 ms */
    assert_in_range(way.bytes_per_s, 99000000, 101000000);
    assert_in_range(skua__cost_move_ns(&way, 1000000), 9900000, 10100000);
}

static skua__place
place_of(uint32_t site, int64_t total_ns, bool room) {
    return (skua__place){.site = site, .room = room, .run_ns = total_ns};
}

static void
test_placement_takes_the_soonest_with_room(void **state) {
    (void)state;
    skua__place places[] = {place_of(0, 500, true), place_of(1, 300, true), place_of(2, 400, true)};
    assert_int_equal(skua__place_choose(places, 3), 1);
    assert_int_equal(skua__place_choose(places, 0), -1);
    places[1].room = false;
    assert_int_equal(skua__place_choose(places, 3), 2); /* 400 is not twice 300: no waiting */
    places[0].room = places[2].room = false;
    assert_int_equal(skua__place_choose(places, 3), -1);
}

static void
test_placement_waits_for_a_much_better_site(void **state) {
    (void)state;
    skua__place places[] = {place_of(0, 1000, false), place_of(1, 2500, true)};
    assert_int_equal(skua__place_choose(places, 2), -1);
    places[1].round_ns = 200; /* what is gained is not worth so few round trips */
    assert_int_equal(skua__place_choose(places, 2), 1);
}

static void
test_placement_does_not_swap_for_nothing(void **state) {
    (void)state;
    skua__place places[] = {place_of(0, 1000, true), place_of(1, 950, true)};
    places[0].last = true;
    assert_int_equal(skua__place_choose(places, 2), 0);
    places[1].run_ns = 800;
    assert_int_equal(skua__place_choose(places, 2), 1);
    places[0].last = false;
    places[0].preferred = true;
    assert_int_equal(skua__place_choose(places, 2), 0);
}

static void
test_placement_room_is_time_ahead(void **state) {
    (void)state;
    assert_true(skua__place_has_room(3, 0, 2, -1));
    assert_false(skua__place_has_room(4, 0, 2, -1)); /* unknown: two for each worker */
    assert_true(skua__place_has_room(4, 4000, 2, 1000));
    assert_false(skua__place_has_room(4, 2 * SKUA__PLACE_HORIZON_NS, 2, 10000000));
    assert_false(skua__place_has_room(SKUA__PLACE_MAX_IN_FLIGHT, 0, 2, 0));
    assert_int_equal(skua__place_wait_ns(1, 1000, 0, 2, 1000), 0);
    assert_int_equal(skua__place_wait_ns(2, 2000, 2, 2, 1000), 2000);
}

/* Whatever the figures, the choice has room and no other with room looks better. */
static void
test_placement_choice_is_the_least(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(3)};
    for (int round = 0; round < 20000; round++) {
        skua__place places[8];
        size_t count = 1 + skua__rand_below(&rand, 8);
        for (size_t i = 0; i < count; i++) {
            places[i] =
                place_of((uint32_t)i, skua__rand_below(&rand, 100000), skua__rand_below(&rand, 2));
            places[i].wait_ns = skua__rand_below(&rand, 100000);
        }
        int chosen = skua__place_choose(places, count);
        for (size_t i = 0; i < count && chosen >= 0; i++) {
            assert_true(places[chosen].room);
            assert_true(!places[i].room ||
                        skua__place_total_ns(&places[chosen]) <= skua__place_total_ns(&places[i]));
        }
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cost_believes_no_peer_beyond_the_clock),
        cmocka_unit_test(test_cost_run_time_follows_the_runs),
        cmocka_unit_test(test_cost_round_trip_keeps_to_the_shortest),
        cmocka_unit_test(test_cost_bandwidth_is_learned_from_large_tasks),
        cmocka_unit_test(test_placement_takes_the_soonest_with_room),
        cmocka_unit_test(test_placement_waits_for_a_much_better_site),
        cmocka_unit_test(test_placement_does_not_swap_for_nothing),
        cmocka_unit_test(test_placement_room_is_time_ahead),
        cmocka_unit_test(test_placement_choice_is_the_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
