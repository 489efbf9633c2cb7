// SPDX-License-Identifier: MPL-2.0
// PUB and SUB between nodes: topics, cohorts, slow subscribers and their policies, gaps that add up, publishers that die.
#include "failing_allocator.h"
#include "pattern_world.h"
#include "stall.h"

#include <poll.h>
#include <skua-int/clock.h>
#include <skua-int/thread.h>
#include <stdatomic.h>
#include <string.h>

static void
publish(skua_pub *pub, const char *topic, uint64_t number) {
    skua_msg *msg = msg_of_number(number);
    MUST(skua_pub_send(pub, topic, &msg, 10000, err));
    assert_null(msg);
}

static skua_msg *
receive(skua_sub *sub) {
    skua_msg *msg = NULL;
    MUST(skua_sub_recv(sub, &msg, 10000, err));
    return msg;
}

static void
must_receive(skua_sub *sub, const char *topic, uint64_t number) {
    skua_msg *msg = receive(sub);
    assert_string_equal(skua_msg_topic(msg), topic);
    assert_int_equal(number_of_msg(msg), number);
    assert_int_equal(skua_msg_gap(msg), 0);
    assert_string_equal(skua_msg_sender_name(msg), "a");
    skua_msg_free(msg);
}

static void
test_pubsub_topics(void **state) {
    struct world *world = *state;
    skua_pub *pub = NULL;
    skua_sub *oslo = NULL, *all = NULL, *two = NULL;
    MUST(skua_sub_open(&oslo, world->b, "weather", SKUA_SUB_OPTIONS(.topic = "oslo"), err));
    MUST(skua_pub_open(&pub, world->a, "weather", NULL, err));
    MUST(skua_sub_open(&all, world->b, "weather", NULL, err));
    const char *const topics[] = {"rome", "oslo/west"};
    MUST(skua_sub_open(&two, world->b, "weather",
                       SKUA_SUB_OPTIONS(.topics = topics, .topic_count = 2), err));
    MUST(skua_pub_await_subs(pub, "oslo", 2, 10000, err));
    MUST(skua_pub_await_subs(pub, "oslo/west/1", 3, 10000, err));
    MUST(skua_pub_await_subs(pub, "rome", 2, 10000, err));
    skua_error short_of = {.status = 0};
    assert_int_equal(skua_pub_await_subs(pub, "rome", 3, 20, &short_of), SKUA_E_TIMEOUT);
    assert_non_null(strstr(short_of.message, "2 of 3"));
    publish(pub, "oslo/west", 1);
    publish(pub, "rome", 2);
    publish(pub, "osl", 3);
    publish(pub, "oslo", 4);
    publish(pub, "", 5);
    must_receive(oslo, "oslo/west", 1);
    must_receive(oslo, "oslo", 4);
    must_receive(two, "oslo/west", 1);
    must_receive(two, "rome", 2);
    for (uint64_t i = 1; i <= 5; i++) {
        skua_msg *msg = receive(all);
        assert_int_equal(number_of_msg(msg), i);
        skua_msg_free(msg);
    }
    MUST(skua_pub_drain(pub, 10000, err));
    skua_pattern_stats stats = pub_stats(pub);
    assert_int_equal(stats.accepted, 5);
    assert_int_equal(stats.sent, 9);
    assert_int_equal(stats.confirmed, 9);
    skua_msg *none;
    assert_int_equal(skua_sub_recv(oslo, &none, SKUA_NONE, NULL), SKUA_E_AGAIN);
    skua_pub_close(pub);
    skua_sub_close(oslo);
    skua_sub_close(all);
    skua_sub_close(two);
}

static void
test_pubsub_a_loan_is_published_from_where_it_stands(void **state) {
    struct world *world = *state;
    enum { SIZE = 100000 };
    skua_pub *pub = NULL;
    skua_sub *sub = NULL;
    MUST(skua_pub_open(&pub, world->a, "frames", NULL, err));
    MUST(skua_sub_open(&sub, world->b, "frames", NULL, err));
    MUST(skua_pub_await_subs(pub, "", 1, 10000, err));
    skua_msg *msg = NULL;
    void *room = NULL;
    MUST(skua_pub_loan(pub, SIZE, &msg, &room, err));
    memset(room, 'x', SIZE);
    MUST(skua_pub_send(pub, "camera", &msg, 10000, err));
    assert_null(msg);
    msg = receive(sub);
    assert_int_equal(skua_msg_size(msg, 0), SIZE);
    assert_int_equal(((const char *)skua_msg_data(msg, 0))[SIZE - 1], 'x');
    skua_msg_free(msg);

    skua_msg *untouched = (skua_msg *)world;
    assert_int_equal(skua_pub_loan(pub, SIZE_MAX, &untouched, &room, NULL), SKUA_E_TOO_BIG);
    assert_int_equal(skua_pub_loan(NULL, 1, &untouched, &room, NULL), SKUA_E_BAD_ARGUMENT);
    assert_ptr_equal(untouched, world);
    skua_sub_close(sub);
    skua_pub_close(pub);
}

static void
test_pubsub_subscriptions_change(void **state) {
    struct world *world = *state;
    skua_pub *pub = NULL;
    skua_sub *sub = NULL, *other = NULL;
    MUST(skua_pub_open(&pub, world->a, "weather", NULL, err));
    MUST(skua_sub_open(&sub, world->b, "weather", SKUA_SUB_OPTIONS(.topic = "oslo"), err));
    MUST(skua_sub_open(&other, world->b, "weather", SKUA_SUB_OPTIONS(.topic = "oslo"), err));
    MUST(skua_pub_await_subs(pub, "oslo", 2, 10000, err));
    publish(pub, "oslo", 1);
    MUST(skua_sub_subscribe(sub, "rome", err));
    MUST(skua_pub_await_subs(pub, "rome", 1, 10000, err));
    publish(pub, "rome", 2);
    publish(pub, "oslo", 3);
    MUST(skua_sub_unsubscribe(sub, "oslo", err));
    assert_int_equal(skua_sub_unsubscribe(sub, "oslo", NULL), SKUA_E_NOT_FOUND);
    while (skua_pub_await_subs(pub, "oslo", 2, 10, NULL) == SKUA_OK) {
    }
    publish(pub, "oslo", 4);
    publish(pub, "rome", 5);
    must_receive(sub, "oslo", 1);
    must_receive(sub, "rome", 2);
    must_receive(sub, "oslo", 3);
    must_receive(sub, "rome", 5);
    must_receive(other, "oslo", 1);
    must_receive(other, "oslo", 3);
    must_receive(other, "oslo", 4);
    MUST(skua_pub_drain(pub, 10000, err));
    assert_int_equal(pub_stats(pub).confirmed, 7);
    skua_pub_close(pub);
    skua_sub_close(sub);
    skua_sub_close(other);
}

static void
test_pubsub_bad_arguments(void **state) {
    struct world *world = *state;
    skua_pub *pub = NULL;
    skua_sub *sub = NULL;
    char topic[300];
    memset(topic, 'x', sizeof topic - 1);
    topic[sizeof topic - 1] = 0;
    assert_int_equal(skua_sub_open(&sub, world->b, "w", SKUA_SUB_OPTIONS(.topic = topic), NULL),
                     SKUA_E_TOO_BIG);
    assert_int_equal(skua_sub_open(&sub, world->b, "W", NULL, NULL), SKUA_E_BAD_NAME);
    assert_int_equal(skua_pub_open(&pub, world->a, "w", SKUA_PUB_OPTIONS(.policy = 9), NULL),
                     SKUA_E_BAD_ARGUMENT);
    MUST(skua_pub_open(&pub, world->a, "w", NULL, err));
    skua_msg *msg = msg_of_number(1);
    assert_int_equal(skua_pub_send(pub, topic, &msg, 0, NULL), SKUA_E_TOO_BIG);
    assert_int_equal(skua_pub_send(pub, NULL, &msg, 0, NULL), SKUA_E_BAD_ARGUMENT);
    assert_non_null(msg);
    MUST(skua_pub_send(pub, "nobody listens", &msg, 0, err));
    MUST(skua_sub_open(&sub, world->b, "w", SKUA_SUB_OPTIONS(.topic = "t"), err));
    char name[16];
    skua_status status = SKUA_OK;
    int topics = 1;
    while (status == SKUA_OK && topics < 1000) {
        snprintf(name, sizeof name, "t%d", topics++);
        status = skua_sub_subscribe(sub, name, NULL);
    }
    assert_int_equal(status, SKUA_E_LIMIT);
    assert_int_equal(topics - 1, SKUA_SUB_MAX_TOPICS);
    skua_pub_close(pub);
    skua_sub_close(sub);
}

/* A reader in a thread of its own, until it gets the number 0. */
struct reader {
    skua_sub *sub;
    uint64_t got, gaps, last;
    int disorder;
    pthread_t thread;
};

static void *
read_all(void *arg) {
    struct reader *self = arg;
    for (;;) { /* ends with the number 0, or when nothing comes */
        skua_msg *msg;
        if (skua_sub_recv(self->sub, &msg, 20000, NULL) != SKUA_OK) {
            self->disorder = -1;
            return NULL;
        }
        uint64_t number = number_of_msg(msg);
        self->gaps += skua_msg_gap(msg);
        skua_msg_free(msg);
        if (number == 0) {
            return NULL;
        }
        self->disorder += number <= self->last;
        self->last = number;
        self->got++;
    }
}

static void
test_pubsub_a_stalled_subscriber_delays_no_other(void **state) {
    struct world *world = *state;
    enum { COUNT = 100000, FAST = 3 };
    skua_pub *pub = NULL;
    struct reader readers[FAST + 1] = {0};
    MUST(skua_pub_open(&pub, world->a, "news",
                       SKUA_PUB_OPTIONS(.queue_msgs = 20000, .linger_ms = 20000), err));
    for (int i = 0; i <= FAST; i++) {
        MUST(skua_sub_open(&readers[i].sub, world->b, "news", NULL, err));
    }
    MUST(skua_pub_await_subs(pub, "", FAST + 1, 10000, err));
    for (int i = 1; i <= FAST; i++) {
        MUST(skua__thread_start(&readers[i].thread, "reader", read_all, &readers[i], err));
    }
    for (uint64_t i = 1; i <= COUNT; i++) {
        publish(pub, "", i);
        if (i % 1000 == 0) {
            pub_stats(pub); /* balances at every moment */
        }
    }
    publish(pub, "", 0);
    for (int i = 1; i <= FAST; i++) {
        skua__thread_join(readers[i].thread); /* while reader 0 has read nothing */
        assert_int_equal(readers[i].disorder, 0);
        assert_int_equal(readers[i].got + readers[i].gaps, COUNT);
    }
    skua_pattern_stats stats = pub_stats(pub);
    assert_true(stats.dropped_slow > 0);
    assert_true(stats.unconfirmed > 0);
    /* The stalled one wakes: all that it missed is told. */
    read_all(&readers[0]);
    assert_int_equal(readers[0].disorder, 0);
    assert_true(readers[0].gaps > 0);
    assert_int_equal(readers[0].got + readers[0].gaps, COUNT);
    MUST(skua_pub_drain(pub, 10000, err));
    stats = pub_stats(pub);
    assert_int_equal(stats.sent, (COUNT + 1) * (FAST + 1));
    uint64_t got = 0;
    for (int i = 0; i <= FAST; i++) {
        got += readers[i].got + 1;
        assert_int_equal(sub_stats(readers[i].sub).gaps, readers[i].gaps);
    }
    assert_int_equal(stats.confirmed, got);
    skua_pub_close(pub);
    for (int i = 0; i <= FAST; i++) {
        skua_sub_close(readers[i].sub);
    }
}

static void
test_pubsub_block_loses_nothing(void **state) {
    struct world *world = *state;
    enum { COUNT = 50000 };
    skua_pub *pub = NULL;
    struct reader reader = {0};
    MUST(skua_pub_open(&pub, world->a, "news",
                       SKUA_PUB_OPTIONS(.policy = SKUA_SLOW_BLOCK, .queue_msgs = 100), err));
    MUST(skua_sub_open(&reader.sub, world->b, "news", SKUA_SUB_OPTIONS(.window_bytes = 4096), err));
    MUST(skua_pub_await_subs(pub, "", 1, 10000, err));
    uint64_t sent = 0;
    skua_status status = SKUA_OK;
    while (status == SKUA_OK) { /* nobody reads: bounded */
        skua_msg *msg = msg_of_number(++sent);
        status = skua_pub_send(pub, "", &msg, SKUA_NONE, NULL);
        skua_msg_free(msg);
        assert_true(sent < 20000);
    }
    assert_int_equal(status, SKUA_E_AGAIN);
    skua_msg *refused = msg_of_number(sent);
    assert_int_equal(skua_pub_send(pub, "", &refused, 20, NULL), SKUA_E_TIMEOUT);
    skua_msg_free(refused);
    MUST(skua__thread_start(&reader.thread, "reader", read_all, &reader, err));
    for (; sent <= COUNT; sent++) {
        publish(pub, "", sent);
    }
    publish(pub, "", 0);
    skua__thread_join(reader.thread);
    assert_int_equal(reader.got, COUNT);
    assert_int_equal(reader.gaps, 0);
    assert_int_equal(reader.disorder, 0);
    MUST(skua_pub_drain(pub, 10000, err));
    skua_pattern_stats stats = pub_stats(pub);
    assert_int_equal(stats.confirmed, COUNT + 1);
    assert_int_equal(stats.dropped_slow + stats.dropped_lost, 0);
    skua_pub_close(pub);
    skua_sub_close(reader.sub);
}

/* The node knows at once that a killed process is gone, and so does who waits for its room. */
static void
test_pubsub_a_dead_subscriber_blocks_nobody(void **state) {
    struct world *world = *state;
    skua_pub *pub = NULL;
    MUST(skua_pub_open(&pub, world->a, "dead",
                       SKUA_PUB_OPTIONS(.policy = SKUA_SLOW_BLOCK, .queue_msgs = 100), err));
    worker_process worker = {0};
    const char *const arguments[] = {"subscribe", "dead", NULL};
    worker_start(&worker, arguments);
    char line[64];
    worker_line(&worker, line, sizeof line);
    assert_string_equal(line, "ready");
    MUST(skua_pub_await_subs(pub, "", 1, 20000, err));
    uint64_t sent = 0;
    skua_status status = SKUA_OK;
    while (status == SKUA_OK) {
        skua_msg *msg = msg_of_number(++sent);
        status = skua_pub_send(pub, "", &msg, SKUA_NONE, NULL);
        skua_msg_free(msg);
        assert_true(sent < 20000);
    }
    assert_int_equal(status, SKUA_E_AGAIN);
    stall_meter *meter = stall_meter_begin();
    worker_kill(&worker);
    skua_msg *msg = msg_of_number(sent);
    MUST(skua_pub_send(pub, "", &msg, 60000, err));
    /* A link outlives a broken connection by 10 s: that is what is not waited for. */
    stall_meter_must_keep(meter, "a dead subscriber is let go", 5000);
    skua_pattern_stats stats = pub_stats(pub);
    assert_int_equal(stats.links, 0);
    assert_int_equal(stats.unconfirmed, 0);
    must_balance(&stats);
    skua_pub_close(pub);
}

static void
test_pubsub_48_subscribers_of_three_topics(void **state) {
    struct world *world = *state;
    enum { SUBS = 48, ROUNDS = 200 };
    static const char *const topics[3] = {"events", "alerts", "metrics"};
    skua_pub *pub = NULL;
    skua_sub *subs[SUBS];
    MUST(skua_pub_open(&pub, world->a, "board", NULL, err));
    for (int i = 0; i < SUBS; i++) {
        MUST(skua_sub_open(&subs[i], world->b, "board", SKUA_SUB_OPTIONS(.topic = topics[i % 3]),
                           err));
    }
    for (int i = 0; i < 3; i++) {
        MUST(skua_pub_await_subs(pub, topics[i], SUBS / 3, 20000, err));
    }
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint64_t i = 0; i < 3; i++) {
            publish(pub, topics[i], 3 * round + i);
        }
    }
    for (int i = 0; i < SUBS; i++) {
        for (uint64_t round = 0; round < ROUNDS; round++) {
            must_receive(subs[i], topics[i % 3], 3 * round + (uint64_t)(i % 3));
        }
    }
    MUST(skua_pub_drain(pub, 10000, err));
    skua_pattern_stats stats = pub_stats(pub);
    assert_int_equal(stats.accepted, 3 * ROUNDS);
    assert_int_equal(stats.confirmed, SUBS * ROUNDS);
    skua_link_stats links[SUBS];
    size_t count = 0;
    MUST(skua_pub_links(pub, links, sizeof links[0], SUBS, &count, err));
    assert_int_equal(count, SUBS);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(links[i].sent, ROUNDS);
        assert_int_equal(links[i].confirmed, ROUNDS);
        assert_string_equal(links[i].peer, "b");
    }
    skua_pub_close(pub);
    for (int i = 0; i < SUBS; i++) {
        skua_sub_close(subs[i]);
    }
}

static void
test_pubsub_a_killed_publisher_is_followed_by_another(void **state) {
    struct world *world = *state;
    skua_sub *sub = NULL;
    MUST(skua_sub_open(&sub, world->b, "deadly", NULL, err));
    for (int life = 0; life < 3; life++) {
        worker_process child;
        char line[256];
        worker_start(&child, (const char *const[]){"publish", "deadly", NULL});
        worker_line(&child, line, sizeof line);
        assert_string_equal(line, "ready");
        uint64_t next = 0;
        while (next < 5000) {
            skua_msg *msg = receive(sub);
            uint64_t number = number_of_msg(msg);
            assert_int_equal(number, next);
            assert_int_equal(skua_msg_gap(msg), 0);
            skua_msg_free(msg);
            next++;
        }
        worker_kill(&child);
        /* What had come before it died may still be read; then nothing more comes. */
        skua_msg *msg;
        while (skua_sub_recv(sub, &msg, 300, NULL) == SKUA_OK) {
            assert_int_equal(number_of_msg(msg), next);
            next++;
            skua_msg_free(msg);
        }
    }
    skua_pattern_stats stats = sub_stats(sub);
    assert_int_equal(stats.links_ever, 3);
    assert_int_equal(stats.gaps + stats.duplicates, 0);
    skua_sub_close(sub);
}

/* ---- Handlers on a runner: here a thread for each call ---- */

struct handled {
    atomic_long count;
    atomic_int running; /* threads that were started and have not ended */
    skua__mutex mutex;  /* guards total */
    skua__cond more;
    long total;
};

struct posted {
    void (*fn)(void *arg);
    void *arg;
    struct handled *handled;
};

static void *
run_posted(void *arg) {
    struct posted *posted = arg;
    posted->fn(posted->arg);
    atomic_fetch_sub(&posted->handled->running, 1);
    free(posted);
    return NULL;
}

static skua_status
post(void *ctx, void (*fn)(void *arg), void *arg) {
    struct posted *posted = malloc(sizeof *posted);
    if (!posted) {
        return SKUA_E_NO_MEMORY;
    }
    *posted = (struct posted){.fn = fn, .arg = arg, .handled = ctx};
    atomic_fetch_add(&posted->handled->running, 1);
    pthread_t thread;
    if (skua__thread_start(&thread, "runner", run_posted, posted, NULL) != SKUA_OK) {
        free(posted);
        return SKUA_E_NO_MEMORY;
    }
    pthread_detach(thread);
    return SKUA_OK;
}

static void
on_news(void *ctx, skua_sub *sub, skua_msg *msg) {
    struct handled *handled = ctx;
    (void)sub;
    skua_msg_free(msg);
    skua__mutex_lock(&handled->mutex);
    handled->total++;
    skua__cond_broadcast(&handled->more);
    skua__mutex_unlock(&handled->mutex);
}

static void
on_work(void *ctx, skua_pull *pull, skua_msg *msg) {
    (void)pull;
    on_news(ctx, NULL, msg);
}

static void
await_total(struct handled *handled, long total) {
    int64_t until_ns = skua__clock_ns() + 20 * SKUA_NS_PER_S;
    skua__mutex_lock(&handled->mutex);
    while (handled->total < total) {
        assert_true(skua__cond_wait_until(&handled->more, &handled->mutex, until_ns));
    }
    skua__mutex_unlock(&handled->mutex);
}

static void
test_pubsub_handlers_run_on_a_runner(void **state) {
    struct world *world = *state;
    struct handled handled = {.total = 0};
    skua__mutex_init(&handled.mutex);
    skua__cond_init(&handled.more);
    skua_runner runner = {.version = SKUA_RUNNER_VERSION, .ctx = &handled, .post = post};
    skua_pub *pub = NULL;
    skua_sub *sub = NULL;
    skua_push *push = NULL;
    skua_pull *pull = NULL;
    MUST(skua_pub_open(&pub, world->a, "news", NULL, err));
    MUST(skua_sub_open(
        &sub, world->b, "news",
        SKUA_SUB_OPTIONS(.runner = &runner, .handler = on_news, .handler_ctx = &handled), err));
    assert_int_equal(
        skua_sub_open(&sub, world->b, "news", SKUA_SUB_OPTIONS(.runner = &runner), NULL),
        SKUA_E_BAD_ARGUMENT);
    MUST(skua_pub_await_subs(pub, "", 1, 10000, err));
    for (uint64_t i = 0; i < 500; i++) {
        publish(pub, "", i);
    }
    await_total(&handled, 500);
    MUST(skua_pull_open(
        &pull, world->b, "jobs",
        SKUA_PULL_OPTIONS(.runner = &runner, .handler = on_work, .handler_ctx = &handled), err));
    MUST(skua_push_open(&push, world->a, "jobs", NULL, err));
    for (uint64_t i = 0; i < 500; i++) {
        skua_msg *msg = msg_of_number(i);
        MUST(skua_push_send(push, &msg, 10000, err));
    }
    MUST(skua_push_drain(push, 10000, err));
    await_total(&handled, 1000);
    assert_int_equal(pull_stats(pull).done, 500);
    skua_msg *none;
    assert_int_equal(skua_pull_recv(pull, &none, SKUA_NONE, NULL), SKUA_E_BAD_ARGUMENT);
    skua_push_close(push);
    skua_pull_close(pull);
    skua_pub_close(pub);
    skua_sub_close(sub);
    while (atomic_load(&handled.running)) {
        sched_yield(); /* the threads are past all that is ours, and about to end */
    }
    skua__cond_fini(&handled.more);
    skua__mutex_fini(&handled.mutex);
}

static skua_status
post_refused(void *ctx, void (*fn)(void *arg), void *arg) {
    (void)fn;
    (void)arg;
    atomic_fetch_add((atomic_int *)ctx, 1);
    return SKUA_E_NO_MEMORY;
}

static void
never_called(void *ctx, skua_sub *sub, skua_msg *msg) {
    (void)ctx;
    (void)sub;
    skua_msg_free(msg);
    fail_msg("a handler runs that its runner refused");
}

static void
test_pubsub_a_runner_that_refuses_does_not_keep_a_close(void **state) {
    struct world *world = *state;
    atomic_int posts = 0;
    skua_runner runner = {.version = SKUA_RUNNER_VERSION, .ctx = &posts, .post = post_refused};
    skua_pub *pub = NULL;
    skua_sub *sub = NULL;
    MUST(skua_pub_open(&pub, world->a, "refused", NULL, err));
    MUST(skua_sub_open(&sub, world->b, "refused",
                       SKUA_SUB_OPTIONS(.runner = &runner, .handler = never_called, .parallel = 4),
                       err));
    MUST(skua_pub_await_subs(pub, "", 1, 10000, err));
    for (uint64_t i = 0; i < 10; i++) {
        publish(pub, "", i);
    }
    int64_t until_ns = skua__clock_ns() + 20 * SKUA_NS_PER_S;
    while (sub_stats(sub).queued < 10 || !atomic_load(&posts)) {
        assert_true(skua__clock_ns() < until_ns);
        sched_yield();
    }
    skua_sub_close(sub); /* for ever, if more than one handler was due when the first was refused */
    skua_pub_close(pub);
}

/* A subscriber without memory at the moment at which its publisher comes meets it when there is some. */
static void
test_pubsub_a_publisher_met_without_memory_is_met_later(void **state) {
    struct world *world = *state;
    static failing_allocator poor; /* what the node still has to send may outlive the handle */
    failing_allocator_init(&poor, 0);
    skua_pub *pub = NULL;
    skua_sub *sub = NULL;
    MUST(skua_sub_open(&sub, world->b, "scarce", SKUA_SUB_OPTIONS(.allocator = &poor.hook), err));
    atomic_store(&poor.calls, 0);
    atomic_store(&poor.fail_at, 1);
    MUST(skua_pub_open(&pub, world->a, "scarce", NULL, err));
    int64_t until_ns = skua__clock_ns() + 20 * SKUA_NS_PER_S;
    while (!atomic_load(&poor.calls)) {
        assert_true(skua__clock_ns() < until_ns);
        sched_yield();
    }
    atomic_store(&poor.fail_at, 0);
    MUST(skua_pub_await_subs(pub, "", 1, 20000, err));
    skua_sub_close(sub);
    skua_pub_close(pub);
}

int
main(int argc, char **argv) {
    if (argc < 2) {
        return 2;
    }
    worker_program(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pubsub_topics),
        cmocka_unit_test(test_pubsub_a_loan_is_published_from_where_it_stands),
        cmocka_unit_test(test_pubsub_subscriptions_change),
        cmocka_unit_test(test_pubsub_bad_arguments),
        cmocka_unit_test(test_pubsub_a_stalled_subscriber_delays_no_other),
        cmocka_unit_test(test_pubsub_block_loses_nothing),
        cmocka_unit_test(test_pubsub_a_dead_subscriber_blocks_nobody),
        cmocka_unit_test(test_pubsub_48_subscribers_of_three_topics),
        cmocka_unit_test(test_pubsub_a_killed_publisher_is_followed_by_another),
        cmocka_unit_test(test_pubsub_handlers_run_on_a_runner),
        cmocka_unit_test(test_pubsub_a_runner_that_refuses_does_not_keep_a_close),
        cmocka_unit_test(test_pubsub_a_publisher_met_without_memory_is_met_later),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
