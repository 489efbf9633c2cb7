// SPDX-License-Identifier: MPL-2.0
// Five hosts in network namespaces: discovery, deaths, a partition and its healing, named peers where UDP is blocked, mixed
// versions, and strangers (I9, I10, I22, I26). Exits 77 (skipped) where namespaces are not permitted.
#include "children.h"
#include "test_fleet.h"

#include <signal.h>
#include <skua-int/clock.h>
#include <skua/fleet.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HOSTS = 5, SKIPPED = 77, T_MS = 1000 };

static struct {
    const char *script;
    char prefix[24];
    char fleets[HOSTS][300]; /* "fleet=DIR": each host has a certificate of its own */
    child hosts[HOSTS];
} net;

static int
script(const char *verb, const char *one, const char *other) {
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", net.script, verb, net.prefix, one, other, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Starts host i (from 0); the extra argument may be NULL. */
static void
host_start(int i, const char *extra, const char *more) {
    char name[16], space[40];
    snprintf(name, sizeof name, "name=h%d", i + 1);
    snprintf(space, sizeof space, "%s-%d", net.prefix, i + 1);
    const char *const arguments[] = {name, net.fleets[i], extra, extra ? more : NULL, NULL};
    child_start(&net.hosts[i], space, arguments);
}

static void
all_start(void) {
    for (int i = 0; i < HOSTS; i++) {
        host_start(i, NULL, NULL);
    }
    for (int i = 0; i < HOSTS; i++) {
        child_ready(&net.hosts[i]);
    }
}

/* Waits until each host has so many peers. */
static void
all_await(int peers) {
    char line[64];
    snprintf(line, sizeof line, "await %d %d", peers, CHILD_WAIT_MS);
    for (int i = 0; i < HOSTS; i++) {
        child_tell(&net.hosts[i], line);
    }
    for (int i = 0; i < HOSTS; i++) {
        char said[256];
        if (!child_says(&net.hosts[i], "AWAITED", CHILD_WAIT_MS, said)) {
            fail_msg("h%d does not have %d peers after %d ms", i + 1, peers, CHILD_WAIT_MS);
        }
    }
}

static void
all_skip(void) {
    for (int i = 0; i < HOSTS; i++) {
        child_skip(&net.hosts[i]);
    }
}

static int
end_all(void **state) {
    script("heal", NULL, NULL);
    for (int i = 0; i < HOSTS; i++) {
        child_end(&net.hosts[i]);
    }
    return children_end_all(state);
}

/* Host i must see that host j left with that reason; returns how long after begun_ns, in ms. */
static double
must_leave(int i, int j, const char *reason, int64_t begun_ns) {
    char begin[64], line[256];
    long long at_us = 0;
    snprintf(begin, sizeof begin, "LEAVE h%d %s", j + 1, reason);
    child_must_say(&net.hosts[i], begin, CHILD_WAIT_MS, line);
    assert_int_equal(sscanf(line, "LEAVE %*s %*s %*s %lld", &at_us), 1);
    return (double)at_us / 1e3 - (double)begun_ns / 1e6;
}

static void
test_hosts_discover_each_other(void **state) {
    (void)state;
    int64_t begun_ns = skua__clock_ns();
    all_start();
    all_await(HOSTS - 1);
    print_message("five hosts have one view after %.0f ms, processes started and all\n",
                  (double)(skua__clock_ns() - begun_ns) / 1e6);
    char line[256];
    for (int i = 0; i < HOSTS; i++) {
        child_tell(&net.hosts[i], "watch weather");
    }
    child_tell(&net.hosts[2], "offer weather 7777");
    for (int i = 0; i < HOSTS; i++) {
        child_must_say(&net.hosts[i], i == 2 ? "UP h3 127.0.0.1:7777" : "UP h3 10.77.0.3:7777",
                       CHILD_WAIT_MS, line);
    }
}

/* A host without a network, as a laptop in the morning: it finds the others when its interface comes, and again later. */
static void
test_hosts_use_an_interface_that_comes_up_later(void **state) {
    (void)state;
    assert_int_equal(script("unplug", "1", NULL), 0);
    all_start();
    child_tell(&net.hosts[0], "peers");
    child_must_say(&net.hosts[0], "PEERS 0", CHILD_WAIT_MS, NULL);
    for (int round = 0; round < 2; round++) {
        int64_t begun_ns = skua__clock_ns();
        assert_int_equal(script("plug", "1", NULL), 0);
        all_await(HOSTS - 1);
        print_message("a new interface is used after %.0f ms\n",
                      (double)(skua__clock_ns() - begun_ns) / 1e6);
        if (round == 0) {
            all_skip();
            assert_int_equal(script("unplug", "1", NULL), 0); /* the next one has another index */
            must_leave(1, 0, "silent", begun_ns);
        }
    }
}

/* One that was named is bound to; it serves again when it is back with its address. */
static void
test_hosts_use_a_named_interface_again(void **state) {
    (void)state;
    char line[256];
    host_start(0, "interface=lo", NULL);
    child_ready(&net.hosts[0]);
    child_tell(&net.hosts[0], "await 1 1");
    child_must_say(&net.hosts[0], "ERROR SKUA-E010 no peers after", CHILD_WAIT_MS, line);
    assert_non_null(strstr(line, " on lo, UDP")); /* and on no other */
    child_end(&net.hosts[0]);
    host_start(0, "interface=eth0", NULL);
    for (int i = 1; i < HOSTS; i++) {
        host_start(i, NULL, NULL);
    }
    for (int i = 0; i < HOSTS; i++) {
        child_ready(&net.hosts[i]);
    }
    all_await(HOSTS - 1);
    all_skip();
    int64_t begun_ns = skua__clock_ns();
    assert_int_equal(script("unplug", "1", NULL), 0);
    must_leave(1, 0, "silent", begun_ns);
    assert_int_equal(script("plug", "1", NULL), 0);
    all_await(HOSTS - 1);
}

static void
test_hosts_see_sigkill_in_200_ms(void **state) {
    (void)state;
    double took_ms[CHILD_ROUNDS] = {0};
    all_start();
    all_await(HOSTS - 1);
    for (int round = 0; round < CHILD_ROUNDS; round++) {
        int victim = HOSTS - 1 - round % HOSTS; /* each has another place in the order of UUIDs */
        all_skip();
        int64_t begun_ns = skua__clock_ns();
        child_kill(&net.hosts[victim], SIGKILL);
        for (int i = 0; i < HOSTS; i++) {
            double seen_ms = i == victim ? 0 : must_leave(i, victim, "gone", begun_ns);
            took_ms[round] = seen_ms > took_ms[round] ? seen_ms : took_ms[round];
        }
        child_end(&net.hosts[victim]);
        host_start(victim, NULL, NULL);
        child_ready(&net.hosts[victim]);
        all_await(HOSTS - 1);
    }
    double median_ms = child_median(took_ms);
    print_message("I9: SIGKILL seen by all in %.1f ms (median), %.1f ms (worst of %d)\n", median_ms,
                  took_ms[CHILD_ROUNDS - 1], CHILD_ROUNDS);
    assert_true(median_ms <= 200);
}

static void
test_hosts_survive_sigstop_of_2_s(void **state) {
    (void)state;
    all_start();
    all_await(HOSTS - 1);
    child_kill(&net.hosts[1], SIGSTOP);
    child_must_not_say(&net.hosts[0], "LEAVE", 2000);
    child_kill(&net.hosts[1], SIGCONT);
    child_must_not_say(&net.hosts[0], "LEAVE", 1500);
    for (int i = 1; i < HOSTS; i++) {
        child_must_not_say(&net.hosts[i], "LEAVE", 1);
    }
}

/* Waits until the two sides have buried each other; returns whether the times of I9 were kept. */
static bool
sides_part(int64_t cut_ns, int64_t done_ns) {
    double first_ms = 1e9, last_ms = 0;
    for (int i = 0; i < HOSTS; i++) {
        /* Those of the other side fall silent in any order. */
        int others = i < 2 ? 3 : 2;
        for (int n = 0; n < others; n++) {
            char line[256];
            long long at_us = 0;
            child_must_say(&net.hosts[i], "LEAVE", CHILD_WAIT_MS, line);
            int who = line[7] - '1';
            if ((who < 2) == (i < 2) || !strstr(line, "silent")) {
                fail_msg("h%d said \"%s\"", i + 1, line);
            }
            assert_int_equal(sscanf(line, "LEAVE %*s %*s %*s %lld", &at_us), 1);
            double since_cut_ms = (double)at_us / 1e3 - (double)cut_ns / 1e6;
            double since_done_ms = (double)at_us / 1e3 - (double)done_ns / 1e6;
            first_ms = since_done_ms < first_ms ? since_done_ms : first_ms;
            last_ms = since_cut_ms > last_ms ? since_cut_ms : last_ms;
        }
    }
    print_message("I9: the partition was seen after %.0f to %.0f ms\n", first_ms, last_ms);
    /* A peer was last heard up to a heartbeat before the cut, so 3 T of silence may end 2 T after it. */
    return first_ms >= 2 * T_MS - 100 &&
           last_ms <= 3.5 * T_MS + 100 + (double)(done_ns - cut_ns) / 1e6;
}

static bool
partition_and_heal(void) {
    all_skip();
    int64_t cut_ns = skua__clock_ns();
    assert_int_equal(script("cut", "1 2", "3 4 5"), 0);
    bool kept = sides_part(cut_ns, skua__clock_ns());
    int64_t heal_ns = skua__clock_ns();
    assert_int_equal(script("heal", NULL, NULL), 0);
    all_await(HOSTS - 1);
    double took_ms = (double)(skua__clock_ns() - heal_ns) / 1e6;
    print_message("I10: one view again %.0f ms after the healing began\n", took_ms);
    return kept && took_ms <= 2000;
}

static void
test_hosts_partition_and_heal(void **state) {
    (void)state;
    all_start();
    all_await(HOSTS - 1);
    bool kept = false;
    for (int i = 0; i < CHILD_TRIES && !kept; i++) {
        kept = partition_and_heal();
    }
    assert_true(kept);
    /* And it stays one view. */
    child_must_not_say(&net.hosts[0], "LEAVE", 1500);
}

/* Tells a host to do something and waits for its answer. */
static void
ask(int host, const char *line, const char *answer) {
    child_tell(&net.hosts[host], line);
    child_must_say(&net.hosts[host], answer, CHILD_WAIT_MS, NULL);
}

/* I10: what is published before, in and after a partition reaches nobody twice, and goes on reaching everybody. */
static void
test_hosts_hear_nothing_twice_after_a_partition(void **state) {
    (void)state;
    all_start();
    all_await(HOSTS - 1);
    ask(0, "pub counts", "OPEN pub");
    ask(1, "sub counts", "OPEN sub"); /* on the publisher's side */
    ask(2, "sub counts", "OPEN sub"); /* beyond the cut */
    ask(0, "say 100 2", "SAID 100");
    ask(1, "hear 100", "HEARD 100 count=100 again=0");
    ask(2, "hear 100", "HEARD 100 count=100 again=0");
    assert_int_equal(script("cut", "1 2", "3 4 5"), 0);
    ask(0, "say 100 0", "SAID 200");
    ask(1, "hear 200", "HEARD 200 count=100 again=0");
    for (int i = 0; i < 3; i++) {
        child_must_say(&net.hosts[0], "LEAVE", CHILD_WAIT_MS, NULL);
    }
    assert_int_equal(script("heal", NULL, NULL), 0);
    all_await(HOSTS - 1);
    ask(0, "say 100 2", "SAID 300");
    ask(1, "hear 300", "HEARD 300 count=100 again=0");
    char line[256];
    unsigned long long count = 0, again = 0;
    child_tell(&net.hosts[2], "hear 300");
    child_must_say(&net.hosts[2], "HEARD 300", CHILD_WAIT_MS, line);
    assert_int_equal(sscanf(line, "HEARD 300 count=%llu again=%llu", &count, &again), 2);
    print_message("I10: of 200 messages since the cut %llu came, %llu of them again\n", count,
                  again);
    assert_int_equal(again, 0);
    assert_in_range(count, 100, 200);
}

/* I26: neither another fleet's node nor one without a certificate that holds gets in, by beacon or by name. */
static void
test_hosts_admit_no_strangers(void **state) {
    (void)state;
    char dir[260], fleet[300], out[280];
    skua_error err;
    snprintf(dir, sizeof dir, "%s/strangers", test_fleet_begin());
    assert_int_equal(skua_fleet_init(dir, &err), 0);
    assert_int_equal(
        skua_fleet_issue(dir, SKUA_FLEET_ISSUE_OPTIONS(.name = "h4"), out, sizeof out, &err), 0);
    for (int i = 0; i < 3; i++) {
        host_start(i, NULL, NULL);
    }
    snprintf(fleet, sizeof fleet, "fleet=%s", out);
    char spaces[2][40];
    snprintf(spaces[0], sizeof spaces[0], "%s-4", net.prefix);
    snprintf(spaces[1], sizeof spaces[1], "%s-5", net.prefix);
    child_start(&net.hosts[3], spaces[0],
                (const char *const[]){"name=h4", fleet, "peer=10.77.0.1", NULL});
    /* A certificate that has run out does not even open a node. */
    snprintf(dir, sizeof dir, "%s/hosts", test_fleet_begin());
    assert_int_equal(skua_fleet_issue(dir,
                                      SKUA_FLEET_ISSUE_OPTIONS(.name = "late", .expires_s = -1),
                                      out, sizeof out, &err),
                     0);
    snprintf(fleet, sizeof fleet, "fleet=%s", out);
    child_start(&net.hosts[4], spaces[1],
                (const char *const[]){"name=late", fleet, "peer=10.77.0.1", NULL});
    child_must_say(&net.hosts[4], "ERROR SKUA-E", CHILD_WAIT_MS, NULL);
    for (int i = 0; i < 4; i++) {
        child_ready(&net.hosts[i]);
    }
    for (int i = 0; i < 3; i++) {
        ask(i, "await 2 20000", "AWAITED");
    }
    /* The stranger asks h1 by name; it is refused and says so, and nobody lists it. */
    child_tell(&net.hosts[3], "await 1 1500");
    child_must_say(&net.hosts[3], "ERROR SKUA-E", CHILD_WAIT_MS, NULL);
    for (int i = 0; i < 3; i++) {
        ask(i, "peers", "PEERS 2");
    }
    ask(3, "peers", "PEERS 0");
}

static void
test_hosts_find_named_peers_without_udp(void **state) {
    (void)state;
    assert_int_equal(script("mute", NULL, NULL), 0);
    host_start(0, NULL, NULL);
    for (int i = 1; i < HOSTS; i++) {
        host_start(i, "peer=10.77.0.1", NULL); /* one known peer is enough */
    }
    for (int i = 0; i < HOSTS; i++) {
        child_ready(&net.hosts[i]);
    }
    all_await(HOSTS - 1);
}

static void
test_hosts_mix_protocol_versions(void **state) {
    (void)state;
    host_start(0, "min=1", "max=1");
    host_start(1, "min=1", "max=2");
    host_start(2, "min=1", "max=2");
    host_start(3, "min=2", "max=2");
    host_start(4, "min=1", "max=1");
    for (int i = 0; i < HOSTS; i++) {
        child_ready(&net.hosts[i]);
    }
    child_tell(&net.hosts[1], "await 4 20000");
    child_must_say(&net.hosts[1], "AWAITED", CHILD_WAIT_MS, NULL);
    child_tell(&net.hosts[0], "await 3 20000");
    child_must_say(&net.hosts[0], "AWAITED", CHILD_WAIT_MS, NULL);
    child_must_miss(&net.hosts[0], 4, "h4", "SKUA-E021");
}

static void
issue_certificates(void) {
    char dir[260], name[8], out[280];
    skua_error err;
    snprintf(dir, sizeof dir, "%s/hosts", test_fleet_begin());
    assert_int_equal(skua_fleet_init(dir, &err), 0);
    for (int i = 0; i < HOSTS; i++) {
        snprintf(name, sizeof name, "h%d", i + 1);
        assert_int_equal(
            skua_fleet_issue(dir, SKUA_FLEET_ISSUE_OPTIONS(.name = name), out, sizeof out, &err),
            0);
        snprintf(net.fleets[i], sizeof net.fleets[i], "fleet=%s", out);
    }
}

int
main(int argc, char **argv) {
    if (argc < 3) {
        return 2;
    }
    children_program(argv[1]);
    net.script = argv[2];
    snprintf(net.prefix, sizeof net.prefix, "skua%d", (int)getpid());
    int made = script("up", NULL, NULL);
    if (made) {
        fprintf(stderr, "skipped: network namespaces are not permitted here (%d)\n", made);
        return SKIPPED;
    }
    issue_certificates();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_hosts_discover_each_other, end_all),
        cmocka_unit_test_teardown(test_hosts_use_an_interface_that_comes_up_later, end_all),
        cmocka_unit_test_teardown(test_hosts_use_a_named_interface_again, end_all),
        cmocka_unit_test_teardown(test_hosts_see_sigkill_in_200_ms, end_all),
        cmocka_unit_test_teardown(test_hosts_survive_sigstop_of_2_s, end_all),
        cmocka_unit_test_teardown(test_hosts_partition_and_heal, end_all),
        cmocka_unit_test_teardown(test_hosts_hear_nothing_twice_after_a_partition, end_all),
        cmocka_unit_test_teardown(test_hosts_admit_no_strangers, end_all),
        cmocka_unit_test_teardown(test_hosts_find_named_peers_without_udp, end_all),
        cmocka_unit_test_teardown(test_hosts_mix_protocol_versions, end_all),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    script("down", NULL, NULL);
    return failed;
}
