// SPDX-License-Identifier: MPL-2.0
// Links over connections that break: everything arrives once, in order, and the ledger balances at every look (I25). Also
// handles without memory, and strangers' frames. Over a stand-in for the node: see fake_node.h.
#include "test.h"

#include "failing_allocator.h"
#include "fake_node.h"
#include <zmq.h>

#include <skua-int/clock.h>
#include <skua-int/frame.h>
#include <skua-int/handle.h>
#include <skua-int/rand.h>
#include <skua-int/thread.h>
#include <skua/pubsub.h>
#include <skua/pushpull.h>
#include <stdatomic.h>
#include <string.h>

static int
set_up(void **state) {
    (void)state;
    fake_world_begin();
    return 0;
}

static int
tear_down(void **state) {
    (void)state;
    fake_world_end();
    return 0;
}

static void
must_balance(const skua_pattern_stats *stats) {
    assert_int_equal(stats->sent, stats->confirmed + stats->dropped_slow + stats->dropped_lost +
                                      stats->dropped_closed + stats->moved + stats->unconfirmed);
}

static skua_pattern_stats
push_stats(skua_push *push) {
    skua_pattern_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_push_stats(push, &stats, NULL), 0);
    must_balance(&stats);
    return stats;
}

struct feeder {
    skua_push *push;
    skua_pub *pub;
    uint64_t count;
    atomic_int failures;
    pthread_t thread;
};

static void *
push_numbers(void *arg) {
    struct feeder *self = arg;
    for (uint64_t i = 1; i <= self->count; i++) {
        skua_status status = self->push
                                 ? skua_push_send_bytes(self->push, &i, sizeof i, 30000, NULL)
                                 : skua_pub_send_bytes(self->pub, "t", &i, sizeof i, 30000, NULL);
        if (status != SKUA_OK) {
            atomic_fetch_add(&self->failures, 1);
        }
    }
    return NULL;
}

static uint64_t
number_of(skua_msg *msg) {
    uint64_t number;
    assert_int_equal(skua_msg_size(msg, 0), sizeof number);
    memcpy(&number, skua_msg_data(msg, 0), sizeof number);
    return number;
}

static void
test_reconnect_push_loses_and_repeats_nothing(void **state) {
    (void)state;
    enum { COUNT = 60000 };
    skua_node *a = fake_node_open("a", NULL), *b = fake_node_open("b", NULL);
    skua_pull *pull = NULL;
    struct feeder feeder = {.count = COUNT};
    assert_int_equal(skua_pull_open(&pull, b, "work", NULL, NULL), 0);
    assert_int_equal(skua_push_open(&feeder.push, a, "work", NULL, NULL), 0);
    assert_int_equal(skua_push_await_workers(feeder.push, 1, 10000, NULL), 0);
    fake_relay_cut_every(100 * 1000);
    skua__thread_start(&feeder.thread, "feeder", push_numbers, &feeder, NULL);
    for (uint64_t i = 1; i <= COUNT; i++) {
        skua_msg *msg = NULL;
        skua_error err = {.status = 0};
        if (skua_pull_recv(pull, &msg, 30000, &err) != SKUA_OK) {
            fail_msg("message %llu: %s", (unsigned long long)i, err.message);
        }
        assert_int_equal(number_of(msg), i);
        assert_false(skua_msg_redelivered(msg));
        skua_msg_free(msg);
        if (i % 997 == 0) {
            push_stats(feeder.push);
        }
    }
    skua__thread_join(feeder.thread);
    assert_int_equal(atomic_load(&feeder.failures), 0);
    skua_msg *none;
    assert_int_equal(skua_pull_recv(pull, &none, SKUA_NONE, NULL), SKUA_E_AGAIN);
    assert_int_equal(skua_push_drain(feeder.push, 20000, NULL), 0);
    skua_pattern_stats stats = push_stats(feeder.push);
    assert_int_equal(stats.sent, COUNT);
    assert_int_equal(stats.confirmed, COUNT);
    assert_true(fake_relay_cuts() >= 5);
    assert_true(stats.reconnections >= 5);
    fprintf(stderr, "%llu cuts, %llu reconnections\n", (unsigned long long)fake_relay_cuts(),
            (unsigned long long)stats.reconnections);
    skua_push_close(feeder.push);
    skua_pull_close(pull);
    fake_node_close(a);
    fake_node_close(b);
}

static void
test_reconnect_subscribers_get_all_or_a_gap(void **state) {
    (void)state;
    enum { COUNT = 20000, SUBS = 3 };
    for (int policy = SKUA_SLOW_DROP_OLDEST; policy <= SKUA_SLOW_BLOCK; policy++) {
        skua_node *a = fake_node_open("a", NULL), *b = fake_node_open("b", NULL);
        skua_sub *subs[SUBS];
        struct feeder feeder = {.count = COUNT};
        assert_int_equal(skua_pub_open(&feeder.pub, a, "news",
                                       SKUA_PUB_OPTIONS(.policy = policy, .queue_msgs = 500), NULL),
                         0);
        for (int i = 0; i < SUBS; i++) {
            assert_int_equal(
                skua_sub_open(&subs[i], b, "news", SKUA_SUB_OPTIONS(.window_bytes = 20000), NULL),
                0);
        }
        assert_int_equal(skua_pub_await_subs(feeder.pub, "t", SUBS, 10000, NULL), 0);
        fake_relay_cut_every(policy == SKUA_SLOW_BLOCK ? 100 * 1000 : 10 * 1000);
        skua__thread_start(&feeder.thread, "feeder", push_numbers, &feeder, NULL);
        uint64_t last[SUBS] = {0}, gaps[SUBS] = {0};
        bool more = true;
        int64_t until_ns = skua__clock_ns() + 60 * SKUA_NS_PER_S;
        while (more) {
            more = false;
            for (int i = 0; i < SUBS; i++) {
                skua_msg *msg = NULL;
                if (last[i] == COUNT || skua_sub_recv(subs[i], &msg, 5, NULL) != SKUA_OK) {
                    more |= last[i] != COUNT;
                    continue;
                }
                more = true;
                assert_int_equal(number_of(msg), last[i] + 1 + skua_msg_gap(msg));
                last[i] = number_of(msg);
                gaps[i] += skua_msg_gap(msg);
                skua_msg_free(msg);
            }
            assert_true(skua__clock_ns() < until_ns);
        }
        skua__thread_join(feeder.thread);
        assert_int_equal(atomic_load(&feeder.failures), 0);
        assert_int_equal(skua_pub_drain(feeder.pub, 20000, NULL), 0);
        skua_pattern_stats stats = {.size = sizeof stats};
        assert_int_equal(skua_pub_stats(feeder.pub, &stats, NULL), 0);
        must_balance(&stats);
        assert_int_equal(stats.links_ever, SUBS); /* each went on where it was */
        assert_int_equal(stats.sent, COUNT * SUBS);
        assert_int_equal(stats.dropped_slow, gaps[0] + gaps[1] + gaps[2]);
        assert_int_equal(stats.confirmed, stats.sent - stats.dropped_slow);
        assert_true(policy == SKUA_SLOW_DROP_OLDEST || stats.dropped_slow == 0);
        fprintf(stderr, "policy %d: %llu cuts, %llu reconnections, %llu dropped\n", policy,
                (unsigned long long)fake_relay_cuts(), (unsigned long long)stats.reconnections,
                (unsigned long long)stats.dropped_slow);
        fake_relay_cut_every(0);
        skua_pub_close(feeder.pub);
        for (int i = 0; i < SUBS; i++) {
            skua_sub_close(subs[i]);
        }
        fake_node_close(a);
        fake_node_close(b);
    }
}

static void
test_reconnect_a_provider_that_goes_and_comes(void **state) {
    (void)state;
    skua_node *a = fake_node_open("a", NULL), *b = fake_node_open("b", NULL);
    skua_pull *pull = NULL;
    skua_push *push = NULL;
    assert_int_equal(skua_pull_open(&pull, b, "work",
                                    SKUA_PULL_OPTIONS(.manual_done = 1, .prefetch_msgs = 8), NULL),
                     0);
    assert_int_equal(skua_push_open(&push, a, "work", NULL, NULL), 0);
    for (uint64_t i = 1; i <= 8; i++) {
        assert_int_equal(skua_push_send_bytes(push, &i, sizeof i, 10000, NULL), 0);
    }
    skua_msg *held = NULL;
    assert_int_equal(skua_pull_recv(pull, &held, 10000, NULL), 0);
    fake_providers_down(true); /* as if its node had died and come back: all is given out again */
    skua_pattern_stats at_pull = {.size = sizeof at_pull};
    int64_t until_ns = skua__clock_ns() + 10 * SKUA_NS_PER_S;
    while (at_pull.links_ever < 2) {
        assert_int_equal(skua_pull_stats(pull, &at_pull, NULL), 0);
        assert_true(skua__clock_ns() < until_ns);
    }
    bool seen[9] = {false};
    for (int i = 0; i < 8; i++) {
        skua_msg *msg = NULL;
        assert_int_equal(skua_pull_recv(pull, &msg, 10000, NULL), 0);
        /* What waited here from before is forgotten, so each comes once; those that had left the pusher are flagged. */
        uint64_t number = number_of(msg);
        assert_true(skua_msg_redelivered(msg) || number > SKUA__BATCH_UNITS_QUICK);
        assert_int_equal(skua_pull_done(pull, &msg, NULL), SKUA_OK);
        assert_false(seen[number]);
        seen[number] = true;
    }
    assert_int_equal(skua_pull_done(pull, &held, NULL), SKUA_E_PEER_LOST);
    assert_null(held);
    assert_int_equal(skua_push_drain(push, 10000, NULL), 0);
    skua_pattern_stats stats = push_stats(push);
    assert_int_equal(stats.confirmed, 8);
    assert_int_equal(stats.moved, 8);
    skua_push_close(push);
    skua_pull_close(pull);
    fake_node_close(a);
    fake_node_close(b);
}

static void
test_reconnect_handles_without_memory(void **state) {
    (void)state;
    failing_allocator hook;
    long calls = 0;
    for (int kind = 0; kind < 4; kind++) {
        for (long n = 1;; n++) {
            failing_allocator_init(&hook, n);
            skua_node *node = fake_node_open("a", &hook.hook);
            skua_push *push = NULL;
            skua_pull *pull = NULL;
            skua_pub *pub = NULL;
            skua_sub *sub = NULL;
            skua_status status = kind == 0   ? skua_push_open(&push, node, "s", NULL, NULL)
                                 : kind == 1 ? skua_pull_open(&pull, node, "s", NULL, NULL)
                                 : kind == 2 ? skua_pub_open(&pub, node, "s", NULL, NULL)
                                             : skua_sub_open(&sub, node, "s", NULL, NULL);
            skua_push_close(push);
            skua_pull_close(pull);
            skua_pub_close(pub);
            skua_sub_close(sub);
            fake_node_close(node);
            assert_int_equal(atomic_load(&hook.alive), 0);
            calls++;
            if (status == SKUA_OK) {
                break;
            }
            assert_int_equal(status, SKUA_E_NO_MEMORY);
        }
    }
    assert_true(calls > 8);
}

/* Traffic while every allocation from the n-th on fails, then memory is back: nothing is lost, and nothing leaks. */
static void
test_reconnect_traffic_without_memory(void **state) {
    (void)state;
    for (long n = 1; n < 120; n += 3) {
        failing_allocator hook;
        failing_allocator_init(&hook, 0);
        skua_node *a = fake_node_open("a", &hook.hook), *b = fake_node_open("b", &hook.hook);
        skua_pull *pull = NULL;
        skua_push *push = NULL;
        assert_int_equal(skua_pull_open(&pull, b, "work", NULL, NULL), 0);
        assert_int_equal(skua_push_open(&push, a, "work", NULL, NULL), 0);
        assert_int_equal(skua_push_await_workers(push, 1, 10000, NULL), 0);
        atomic_store(&hook.fail_at, atomic_load(&hook.calls) + n);
        uint64_t taken = 0, got = 0;
        for (int i = 0; i < 40; i++) {
            uint64_t number = taken + 1;
            taken += skua_push_send_bytes(push, &number, sizeof number, SKUA_NONE, NULL) == 0;
            skua_msg *msg = NULL;
            if (skua_pull_recv(pull, &msg, SKUA_NONE, NULL) == SKUA_OK) {
                assert_int_equal(number_of(msg), ++got);
                skua_msg_free(msg);
            }
        }
        atomic_store(&hook.fail_at, 0);
        while (got < taken) {
            skua_msg *msg = NULL;
            skua_error err = {.status = 0};
            if (skua_pull_recv(pull, &msg, 10000, &err) != SKUA_OK) {
                fail_msg("n = %ld: %llu of %llu: %s", n, (unsigned long long)got,
                         (unsigned long long)taken, err.message);
            }
            assert_int_equal(number_of(msg), ++got);
            skua_msg_free(msg);
        }
        skua_msg *none;
        assert_int_equal(skua_pull_recv(pull, &none, SKUA_NONE, NULL), SKUA_E_AGAIN);
        push_stats(push);
        skua_push_close(push);
        skua_pull_close(pull);
        fake_node_close(a);
        fake_node_close(b);
        assert_int_equal(atomic_load(&hook.alive), 0);
    }
}

enum { STRANGE_BYTES = 200 };

/* Random bytes, often behind a sound header, and now and then a HELLO. Returns the size. */
static size_t
strange_frame(skua__rand *rand, int i, uint8_t *bytes) {
    size_t size = skua__rand_below(rand, STRANGE_BYTES);
    for (size_t at = 0; at < size; at++) {
        bytes[at] = (uint8_t)skua__rand_next(rand);
    }
    if (size >= SKUA__FRAME_HEADER_BYTES && i % 4) {
        skua__frame header = {.type = (uint8_t)(1 + skua__rand_below(rand, 10)),
                              .session = 7,
                              .seq = skua__rand_below(rand, 10),
                              .word = skua__rand_below(rand, 10)};
        skua__frame_write(&header, bytes);
    }
    if (i % 5 == 0) {
        skua__link_hello hello = {.version_min = 1,
                                  .version_max = 1,
                                  .kind = SKUA__SERVICE_PULL,
                                  .name = "work",
                                  .window_msgs = 10,
                                  .peer_session = skua__rand_below(rand, 2)};
        skua__frame header = {.type = SKUA__FRAME_HELLO, .session = 7, .word = 1};
        skua__frame_write(&header, bytes);
        size =
            SKUA__FRAME_HEADER_BYTES + skua__hello_write(&hello, bytes + SKUA__FRAME_HEADER_BYTES,
                                                         STRANGE_BYTES - SKUA__FRAME_HEADER_BYTES);
    }
    return size;
}

/* A stranger at a provider's port: random frames, half-true ones among them. */
static void
test_reconnect_strangers_do_no_harm(void **state) {
    (void)state;
    skua__rand rand = {test_seed(5)};
    skua_node *a = fake_node_open("a", NULL), *b = fake_node_open("b", NULL);
    skua_pull *pull = NULL;
    skua_push *push = NULL;
    assert_int_equal(skua_pull_open(&pull, b, "work", NULL, NULL), 0);
    assert_int_equal(skua_push_open(&push, a, "work", NULL, NULL), 0);
    assert_int_equal(skua_push_await_workers(push, 1, 10000, NULL), 0);
    void *ctx = zmq_ctx_new();
    void *stranger = zmq_socket(ctx, ZMQ_DEALER);
    int zero = 0;
    zmq_setsockopt(stranger, ZMQ_LINGER, &zero, sizeof zero);
    char endpoint[64];
    fake_provider_endpoint(endpoint, sizeof endpoint);
    assert_int_equal(zmq_connect(stranger, endpoint), 0);
    for (int i = 0; i < 3000; i++) {
        uint8_t bytes[STRANGE_BYTES];
        size_t size = strange_frame(&rand, i, bytes);
        assert_true(zmq_send(stranger, bytes, size, i % 7 ? 0 : ZMQ_SNDMORE) >= 0);
    }
    zmq_send(stranger, "", 0, 0);
    skua_pattern_stats stats = {.size = sizeof stats};
    int64_t until_ns = skua__clock_ns() + 20 * SKUA_NS_PER_S;
    do {
        skua_msg *msg = NULL;
        skua_status status = skua_pull_recv(pull, &msg, 20, NULL); /* whatever it made of it */
        if (status == SKUA_OK) {
            skua_msg_free(msg);
        }
        assert_int_equal(skua_pull_stats(pull, &stats, NULL), 0);
        assert_true(skua__clock_ns() < until_ns);
    } while (stats.malformed < 500);
    /* The good one goes on. */
    for (uint64_t i = 1; i <= 100; i++) {
        assert_int_equal(skua_push_send_bytes(push, &i, sizeof i, 10000, NULL), 0);
        for (bool found = false; !found;) {
            skua_msg *msg = NULL;
            assert_int_equal(skua_pull_recv(pull, &msg, 10000, NULL), 0);
            found = skua_msg_size(msg, 0) == sizeof i && number_of(msg) == i;
            skua_msg_free(msg);
        }
    }
    zmq_close(stranger);
    zmq_ctx_term(ctx);
    skua_push_close(push);
    skua_pull_close(pull);
    fake_node_close(a);
    fake_node_close(b);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reconnect_push_loses_and_repeats_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_reconnect_subscribers_get_all_or_a_gap, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_reconnect_a_provider_that_goes_and_comes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_reconnect_handles_without_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reconnect_traffic_without_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reconnect_strangers_do_no_harm, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
