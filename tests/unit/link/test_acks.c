// SPDX-License-Identifier: MPL-2.0
// How often a receiver acknowledges: a stream of messages that travel alone must not cost an ACK for each. Over a
// stand-in for the node: see fake_node.h.
#include "test.h"

#include "fake_node.h"

#include <skua-int/clock.h>
#include <skua-int/thread.h>
#include <skua/pubsub.h>
#include <skua/pushpull.h>
#include <stdatomic.h>
#include <string.h>

enum {
    COUNT = 2000,
    SIZE_BYTES = 64 * 1024,
};

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

struct feeder {
    skua_push *push;
    skua_pub *pub;
    atomic_int failures;
    pthread_t thread;
};

static void *
feed(void *arg) {
    static const char bytes[SIZE_BYTES];
    struct feeder *self = arg;
    for (int i = 0; i < COUNT; i++) {
        skua_status status =
            self->push ? skua_push_send_bytes(self->push, bytes, sizeof bytes, 30000, NULL)
                       : skua_pub_send_bytes(self->pub, "t", bytes, sizeof bytes, 30000, NULL);
        if (status != SKUA_OK) {
            atomic_fetch_add(&self->failures, 1);
        }
    }
    return NULL;
}

/* What may have been sent in all: while the window grows, once each 2 ms, and for each eighth of a window at most. */
static void
must_be_few(uint64_t frames_sent, int64_t elapsed_ns) {
    uint64_t most = 100 + (uint64_t)(elapsed_ns / SKUA_NS_PER_MS) + COUNT / 8;
    fprintf(stderr, "%llu frames sent back for %d messages in %lld ms\n",
            (unsigned long long)frames_sent, COUNT, (long long)(elapsed_ns / SKUA_NS_PER_MS));
    assert_true(frames_sent <= most);
}

static void
test_acks_of_a_stream_to_a_pull_are_few(void **state) {
    (void)state;
    skua_node *a = fake_node_open("a", NULL), *b = fake_node_open("b", NULL);
    struct feeder feeder = {0};
    skua_pull *pull = NULL;
    assert_int_equal(skua_pull_open(&pull, b, "work", NULL, NULL), 0);
    assert_int_equal(skua_push_open(&feeder.push, a, "work", NULL, NULL), 0);
    assert_int_equal(skua_push_await_workers(feeder.push, 1, 10000, NULL), 0);
    int64_t began_ns = skua__clock_ns();
    skua__thread_start(&feeder.thread, "feeder", feed, &feeder, NULL);
    for (int i = 0; i < COUNT; i++) {
        skua_msg *msg = NULL;
        assert_int_equal(skua_pull_recv(pull, &msg, 30000, NULL), 0);
        assert_int_equal(skua_msg_size(msg, 0), SIZE_BYTES);
        skua_msg_free(msg);
    }
    int64_t elapsed_ns = skua__clock_ns() - began_ns;
    skua__thread_join(feeder.thread);
    assert_int_equal(atomic_load(&feeder.failures), 0);
    skua_pattern_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_pull_stats(pull, &stats, NULL), 0);
    must_be_few(stats.frames_sent, elapsed_ns);
    /* The last of them is acknowledged nevertheless, though nobody receives any more. */
    skua_msg *none = NULL;
    assert_int_equal(skua_pull_recv(pull, &none, SKUA_NONE, NULL), SKUA_E_AGAIN);
    assert_int_equal(skua_push_drain(feeder.push, 20000, NULL), 0);
    skua_push_close(feeder.push);
    skua_pull_close(pull);
    fake_node_close(a);
    fake_node_close(b);
}

static void
test_acks_of_a_stream_to_a_sub_are_few(void **state) {
    (void)state;
    skua_node *a = fake_node_open("a", NULL), *b = fake_node_open("b", NULL);
    struct feeder feeder = {0};
    skua_sub *sub = NULL;
    assert_int_equal(
        skua_pub_open(&feeder.pub, a, "news", SKUA_PUB_OPTIONS(.policy = SKUA_SLOW_BLOCK), NULL),
        0);
    assert_int_equal(skua_sub_open(&sub, b, "news", NULL, NULL), 0);
    assert_int_equal(skua_pub_await_subs(feeder.pub, "t", 1, 10000, NULL), 0);
    int64_t began_ns = skua__clock_ns();
    skua__thread_start(&feeder.thread, "feeder", feed, &feeder, NULL);
    for (int i = 0; i < COUNT; i++) {
        skua_msg *msg = NULL;
        assert_int_equal(skua_sub_recv(sub, &msg, 30000, NULL), 0);
        assert_int_equal(skua_msg_size(msg, 0), SIZE_BYTES);
        assert_string_equal(skua_msg_topic(msg), "t");
        skua_msg_free(msg);
    }
    int64_t elapsed_ns = skua__clock_ns() - began_ns;
    skua__thread_join(feeder.thread);
    assert_int_equal(atomic_load(&feeder.failures), 0);
    skua_pattern_stats stats = {.size = sizeof stats};
    assert_int_equal(skua_sub_stats(sub, &stats, NULL), 0);
    must_be_few(stats.frames_sent, elapsed_ns);
    skua_pub_close(feeder.pub);
    skua_sub_close(sub);
    fake_node_close(a);
    fake_node_close(b);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_acks_of_a_stream_to_a_pull_are_few, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_acks_of_a_stream_to_a_sub_are_few, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
