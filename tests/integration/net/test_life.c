// SPDX-License-Identifier: MPL-2.0
// Processes on loopback: they meet, and each way of leaving is told with its reason and in its time (I9, I20).
#include "children.h"
#include "stall.h"
#include "test_fleet.h"

#include <signal.h>
#include <skua-int/clock.h>
#include <skua-int/flight.h>
#include <skua/fleet.h>
#include <string.h>

enum { DEAD_PEERS = 4 };

static char beacon[32];

static void
start_named(child *self, const char *name) {
    char argument[64];
    snprintf(argument, sizeof argument, "name=%s", name);
    const char *const arguments[] = {argument, beacon, NULL};
    child_start(self, NULL, arguments);
}

static void
start_both(child *a, child *b) {
    start_named(a, "a");
    start_named(b, "b");
    child_ready(a);
    child_ready(b);
    child_must_say(a, "JOIN b", CHILD_WAIT_MS, NULL);
    child_must_say(b, "JOIN a", CHILD_WAIT_MS, NULL);
}

static void
test_life_sigkill_is_seen_in_200_ms(void **state) {
    (void)state;
    child a, b;
    start_named(&a, "a");
    child_ready(&a);
    for (int i = 0; i < CHILD_ROUNDS; i++) {
        start_named(&b, "b");
        child_ready(&b);
        child_must_say(&a, "JOIN b", CHILD_WAIT_MS, NULL);
        stall_meter *meter = stall_meter_begin();
        child_kill(&b, SIGKILL);
        child_must_say(&a, "LEAVE b gone", CHILD_WAIT_MS, NULL);
        stall_meter_must_keep(meter, "I9: SIGKILL seen", 200);
        child_end(&b);
    }
    child_end(&a);
}

static void
test_life_sigstop_of_2_s_is_no_death(void **state) {
    (void)state;
    child a, b;
    start_both(&a, &b);
    child_kill(&b, SIGSTOP);
    child_must_not_say(&a, "LEAVE", 2000);
    child_kill(&b, SIGCONT);
    child_must_not_say(&a, "LEAVE", 1500);
    /* Nor did the one that stood still bury the other. */
    child_must_not_say(&b, "LEAVE", 1);
    child_tell(&a, "peers");
    child_must_say(&a, "PEERS 1", CHILD_WAIT_MS, NULL);
    child_tell(&b, "peers");
    child_must_say(&b, "PEERS 1", CHILD_WAIT_MS, NULL);
    child_end(&a);
    child_end(&b);
}

static void
test_life_silence_is_a_death_by_3_6_s(void **state) {
    (void)state;
    child a, b;
    char line[256];
    start_both(&a, &b);
    bool kept = false;
    for (int i = 0; i < CHILD_TRIES && !kept; i++) {
        int64_t stopped_ns = skua__clock_ns();
        child_kill(&b, SIGSTOP);
        child_must_say(&a, "LEAVE b", CHILD_WAIT_MS, line);
        int64_t took_ms = (skua__clock_ns() - stopped_ns) / SKUA_NS_PER_MS;
        print_message("I9: silence was a death after %lld ms (%s)\n", (long long)took_ms, line);
        /* Less the time since it was last heard, which is a heartbeat at most. */
        kept = took_ms >= 2000 && took_ms <= 3600;
        assert_non_null(strstr(line, "silent"));
        child_kill(&b, SIGCONT);
        child_must_say(&a, "JOIN b", CHILD_WAIT_MS, NULL);
    }
    assert_true(kept);
    child_end(&a);
    child_end(&b);
}

static void
test_life_close_says_bye(void **state) {
    (void)state;
    child a, b;
    start_both(&a, &b);
    int64_t begun_ns = skua__clock_ns();
    child_tell(&b, "close");
    child_must_say(&a, "LEAVE b bye", CHILD_WAIT_MS, NULL);
    print_message("bye seen in %.1f ms\n", (double)(skua__clock_ns() - begun_ns) / 1e6);
    child_must_say(&b, "CLOSED", CHILD_WAIT_MS, NULL);
    child_end(&a);
    child_end(&b);
}

/* Those that died are deaf, but not gone: nothing that is sent gets through. */
static void
test_life_close_with_dead_peers_takes_500_ms(void **state) {
    (void)state;
    child a, others[DEAD_PEERS];
    char line[256];
    start_named(&a, "a");
    child_ready(&a);
    for (int i = 0; i < DEAD_PEERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "o%d", i);
        start_named(&others[i], name);
        child_ready(&others[i]);
    }
    char all[32];
    snprintf(all, sizeof all, "await %d 20000", DEAD_PEERS);
    child_tell(&a, all);
    child_must_say(&a, "AWAITED", CHILD_WAIT_MS, NULL);
    for (int i = 0; i < DEAD_PEERS; i++) {
        child_kill(&others[i], SIGSTOP);
    }
    stall_meter *meter = stall_meter_begin();
    child_tell(&a, "close");
    child_must_say(&a, "CLOSED", CHILD_WAIT_MS, line);
    long took_us = 0;
    assert_int_equal(sscanf(line, "CLOSED %ld", &took_us), 1);
    stall_meter_must_have_kept(meter, "I20: a clean stop beside dead peers",
                               took_us * INT64_C(1000), 500);
    for (int i = 0; i < DEAD_PEERS; i++) {
        child_end(&others[i]);
    }
    child_end(&a);
}

static void
test_life_services_follow_their_node(void **state) {
    (void)state;
    child a, b;
    start_both(&a, &b);
    child_tell(&a, "watch weather");
    child_tell(&b, "offer weather 4321");
    child_must_say(&a, "UP b 127.0.0.1:4321", CHILD_WAIT_MS, NULL);
    child_kill(&b, SIGKILL);
    child_must_say(&a, "DOWN b 127.0.0.1:4321", CHILD_WAIT_MS, NULL);
    child_end(&b);
    child_end(&a);
}

/* I22: versions that overlap work together; others are told apart by name at the handshake. */
static void
test_life_mixed_protocol_versions(void **state) {
    (void)state;
    child one, both, two;
    const char *const a_one[] = {"name=one", beacon, "min=1", "max=1", NULL};
    const char *const a_both[] = {"name=both", beacon, "min=1", "max=2", NULL};
    const char *const a_two[] = {"name=two", beacon, "min=2", "max=2", NULL};
    child_start(&one, NULL, a_one);
    child_start(&both, NULL, a_both);
    child_start(&two, NULL, a_two);
    child_ready(&one);
    child_ready(&both);
    child_ready(&two);
    child_tell(&both, "await 2 20000");
    child_must_say(&both, "AWAITED", CHILD_WAIT_MS, NULL);
    child_must_miss(&one, 2, "two", "SKUA-E021");
    child_end(&one);
    child_end(&both);
    child_end(&two);
}

/* One that comes back under its UUID while the old life still stands still: the old one left, the new one joined. */
static void
test_life_restart_under_the_same_id(void **state) {
    (void)state;
    child a, old, new;
    start_named(&a, "a");
    child_ready(&a);
    const char *const arguments[] = {"name=b", beacon, "id=7", NULL};
    child_start(&old, NULL, arguments);
    child_ready(&old);
    child_must_say(&a, "JOIN b", CHILD_WAIT_MS, NULL);
    child_kill(&old, SIGSTOP);
    child_start(&new, NULL, arguments);
    child_ready(&new);
    child_must_say(&a, "LEAVE b restart", CHILD_WAIT_MS, NULL);
    child_must_say(&a, "JOIN b", CHILD_WAIT_MS, NULL);
    child_must_say(&new, "JOIN a", CHILD_WAIT_MS, NULL);
    /* The old life wakes and cannot take its place back. */
    child_kill(&old, SIGCONT);
    child_must_not_say(&a, "LEAVE", 1500);
    child_tell(&a, "peers");
    child_must_say(&a, "PEERS 1", CHILD_WAIT_MS, NULL);
    child_end(&old);
    child_must_not_say(&a, "LEAVE", 300);
    child_end(&new);
    child_end(&a);
}

/* Two programs of one machine's folder hold one certificate, and are two nodes all the same. */
static void
test_life_two_nodes_of_one_certificate(void **state) {
    (void)state;
    char fleet[300], out[400], with_fleet[320], with_out[420];
    skua_error err;
    snprintf(fleet, sizeof fleet, "%s/shared", test_fleet_begin());
    assert_int_equal(skua_fleet_init(fleet, &err), 0);
    assert_int_equal(
        skua_fleet_issue(fleet, SKUA_FLEET_ISSUE_OPTIONS(.name = "box"), out, sizeof out, &err), 0);
    snprintf(with_fleet, sizeof with_fleet, "fleet=%s", fleet);
    snprintf(with_out, sizeof with_out, "fleet=%s", out);
    child a, one, two;
    const char *const a_arguments[] = {"name=a", with_fleet, beacon, "interface=lo", NULL};
    const char *const box_arguments[] = {with_out, beacon, "interface=lo", NULL};
    child_start(&a, NULL, a_arguments);
    child_start(&one, NULL, box_arguments);
    child_start(&two, NULL, box_arguments);
    child_ready(&a);
    child_ready(&one);
    child_ready(&two);
    child *const all[] = {&a, &one, &two};
    for (int i = 0; i < 3; i++) {
        child_tell(all[i], "await 2 20000");
        child_must_say(all[i], "AWAITED", CHILD_WAIT_MS, NULL);
    }
    child_kill(&one, SIGKILL);
    child_must_say(&a, "LEAVE box gone", CHILD_WAIT_MS, NULL);
    child_must_say(&two, "LEAVE box gone", CHILD_WAIT_MS, NULL);
    child_tell(&a, "peers");
    child_must_say(&a, "PEERS 1", CHILD_WAIT_MS, NULL);
    child_end(&one);
    child_end(&two);
    child_end(&a);
}

/* What the flight recorder kept of a real run replays to the very same decisions. */
static void
test_life_recording_replays_exactly(void **state) {
    (void)state;
    char path[300], tape[320];
    snprintf(path, sizeof path, "%s/tape", test_fleet_begin());
    snprintf(tape, sizeof tape, "tape=%s", path);
    child a, b, c;
    const char *const arguments[] = {"name=a", beacon, tape, "hb=200", NULL};
    child_start(&a, NULL, arguments);
    child_ready(&a);
    start_named(&b, "b");
    start_named(&c, "c");
    child_ready(&b);
    child_ready(&c);
    child_tell(&a, "await 2 20000");
    child_must_say(&a, "AWAITED", CHILD_WAIT_MS, NULL);
    child_kill(&b, SIGKILL);
    child_must_say(&a, "LEAVE b gone", CHILD_WAIT_MS, NULL);
    child_tell(&c, "close");
    child_must_say(&a, "LEAVE c bye", CHILD_WAIT_MS, NULL);
    child_tell(&a, "close");
    child_must_say(&a, "CLOSED", CHILD_WAIT_MS, NULL);
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    skua__flight_result result;
    assert_int_equal(skua__flight_replay(bytes, size, NULL, NULL, NULL, &result), 0);
    print_message("replayed %llu steps of %llu peers\n", (unsigned long long)result.steps,
                  (unsigned long long)result.peers);
    assert_int_equal(result.peers, 2);
    assert_true(result.steps >= 10);
    assert_int_equal(result.skipped, 0);
    assert_int_equal(result.divergences, 0);
    child_end(&a);
    child_end(&b);
    child_end(&c);
}

static void
test_life_node_is_small_quick_and_idle(void **state) {
    (void)state;
    enum { IDLE_MS = 3000 };
    child a, b;
    char line[256];
    start_named(&a, "a");
    char ready[256];
    child_must_say(&a, "READY", CHILD_WAIT_MS, ready);
    long ready_us = 0;
    assert_int_equal(sscanf(ready, "READY %*s %*s %ld", &ready_us), 1);
    start_named(&b, "b");
    child_ready(&b);
    child_must_say(&a, "JOIN b", CHILD_WAIT_MS, NULL);
    long before_us, after_us, private_kb;
    child_tell(&a, "sample");
    child_must_say(&a, "SAMPLE", CHILD_WAIT_MS, line);
    assert_int_equal(sscanf(line, "SAMPLE %ld %ld", &before_us, &private_kb), 2);
    child_must_not_say(&a, "LEAVE", IDLE_MS);
    child_tell(&a, "sample");
    child_must_say(&a, "SAMPLE", CHILD_WAIT_MS, line);
    assert_int_equal(sscanf(line, "SAMPLE %ld %ld", &after_us, &private_kb), 2);
    double percent = (double)(after_us - before_us) / (IDLE_MS * 10.0);
    print_message("node ready in %.1f ms, %.2f MB private, %.2f %% CPU idle\n",
                  (double)ready_us / 1000, (double)private_kb / 1024, percent);
    /* The figures stand in the table of results; here only what no busy machine explains. */
    assert_true(percent < 2);
    child_end(&a);
    child_end(&b);
}

int
main(int argc, char **argv) {
    children_program(argc > 1 ? argv[1] : "");
    test_fleet_begin();
    snprintf(beacon, sizeof beacon, "beacon=%u", test_fleet_beacon_port());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_life_sigkill_is_seen_in_200_ms, children_end_all),
        cmocka_unit_test_teardown(test_life_sigstop_of_2_s_is_no_death, children_end_all),
        cmocka_unit_test_teardown(test_life_silence_is_a_death_by_3_6_s, children_end_all),
        cmocka_unit_test_teardown(test_life_close_says_bye, children_end_all),
        cmocka_unit_test_teardown(test_life_close_with_dead_peers_takes_500_ms, children_end_all),
        cmocka_unit_test_teardown(test_life_services_follow_their_node, children_end_all),
        cmocka_unit_test_teardown(test_life_mixed_protocol_versions, children_end_all),
        cmocka_unit_test_teardown(test_life_recording_replays_exactly, children_end_all),
        cmocka_unit_test_teardown(test_life_restart_under_the_same_id, children_end_all),
        cmocka_unit_test_teardown(test_life_two_nodes_of_one_certificate, children_end_all),
        cmocka_unit_test_teardown(test_life_node_is_small_quick_and_idle, children_end_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
