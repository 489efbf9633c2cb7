// SPDX-License-Identifier: MPL-2.0
// Batches of requests: when one leaves, how each request ends, and that it does so once; time is a parameter of
// skua__batch_step(), and tasks wait at a door, so nothing here depends on how fast the machine is.
#include "failing_allocator.h"
#include "pool_bench.h"

#include <skua-int/batch_int.h>
#include <skua-int/list.h>
#include <skua-int/rand.h>
#include <string.h>

enum { MAX_ENDS = 2048, LONG_US = SKUA_BATCH_MAX_WAIT_US };

/* What the requests' ends told. */
struct ends {
    skua__mutex lock;
    skua__cond moved;
    int ended;
    int times[MAX_ENDS];
    int32_t status[MAX_ENDS], code[MAX_ENDS];
    uint32_t fill[MAX_ENDS];
    char answer[MAX_ENDS][8];
    char message[120];
    skua_batch *submit_to; /* each end submits one request there */
    skua_status submitted;
};

struct one {
    struct ends *ends;
    int i;
};

struct fixture {
    struct bench bench;
    struct ends ends;
    struct one ones[MAX_ENDS];
    skua_batch *batch;
    skua_batch_work seen;  /* by "rows" */
    unsigned char raw[64]; /* what "raw" answers */
    size_t raw_bytes;
};

static void
on_end(void *arg, const skua_batch_result *result) {
    struct one *one = arg;
    struct ends *ends = one->ends;
    skua__mutex_lock(&ends->lock);
    ends->ended++;
    ends->times[one->i]++;
    ends->status[one->i] = result->status;
    ends->code[one->i] = result->code;
    ends->fill[one->i] = result->batch_requests;
    snprintf(ends->message, sizeof ends->message, "%s", result->message);
    if (result->answer_bytes && result->answer_bytes < 8) {
        memcpy(ends->answer[one->i], result->answer, result->answer_bytes);
    }
    assert_true(result->latency_ns >= 0 && result->node);
    assert_true(!result->answer == (result->status != 0));
    skua_batch *next = ends->submit_to;
    ends->submit_to = NULL;
    skua__cond_broadcast(&ends->moved);
    skua__mutex_unlock(&ends->lock);
    if (next) {
        ends->submitted = skua_batch_submit(next, "n", 1, NULL, NULL, 0, NULL);
    }
}

static void
ends_await(struct ends *ends, int count) {
    skua__mutex_lock(&ends->lock);
    while (ends->ended < count) {
        assert_true(skua__cond_wait_until(&ends->moved, &ends->lock, skua__deadline_ns(20000)));
    }
    skua__mutex_unlock(&ends->lock);
}

/* Capitals for each request, after the door; a request of "!" fails alone, with code 7. */
static int
run_each(skua_task_call *call, void *arg) {
    struct door *door = arg;
    if (door) {
        run_door(call, door);
    }
    skua_batch_work work;
    char text[64][8];
    skua_batch_reply replies[64];
    if (skua_batch_read(call, &work) || work.requests > 64) {
        return skua_task_fail(call, 1, "no batch");
    }
    for (uint32_t i = 0; i < work.requests; i++) {
        size_t bytes;
        const char *data = skua_batch_request(&work, i, &bytes);
        bytes = bytes < 8 ? bytes : 8;
        for (size_t k = 0; k < bytes; k++) {
            text[i][k] = (char)(data[k] & ~0x20);
        }
        replies[i] = (skua_batch_reply){
            .bytes = text[i], .size_bytes = bytes, .code = bytes && data[0] == '!' ? 7 : 0};
    }
    assert_null(skua_batch_request(&work, work.requests, NULL));
    return skua_batch_answer(&work, replies) ? skua_task_fail(call, 2, "no room") : 0;
}

/* A matrix of floats in, each doubled out. */
static int
run_rows(skua_task_call *call, void *arg) {
    skua_batch_work *seen = arg, work;
    void *room;
    if (skua_batch_read(call, &work) || skua_batch_rows(&work, work.row_bytes, &room)) {
        return 1;
    }
    const float *in = work.rows;
    float *out = room;
    for (size_t i = 0; i < work.requests * (size_t)work.row_bytes / sizeof *in; i++) {
        out[i] = 2 * in[i];
    }
    *seen = work;
    return 0;
}

static int
run_raw(skua_task_call *call, void *arg) {
    struct fixture *fixture = arg;
    return skua_task_reply(call, fixture->raw, fixture->raw_bytes);
}

static void
fixture_open(struct fixture *self, const char *task, const skua_batch_options *options,
             uint32_t window) {
    memset(self, 0, sizeof *self);
    bench_open(&self->bench, window, 2);
    skua_pool *pool = self->bench.pool;
    assert_int_equal(skua_pool_register(pool, "each", 1, run_each, NULL, NULL), 0);
    assert_int_equal(skua_pool_register(pool, "gated", 1, run_each, &self->bench.door, NULL), 0);
    assert_int_equal(skua_pool_register(pool, "rows", 1, run_rows, &self->seen, NULL), 0);
    assert_int_equal(skua_pool_register(pool, "raw", 1, run_raw, self, NULL), 0);
    skua__mutex_init(&self->ends.lock);
    skua__cond_init(&self->ends.moved);
    skua_error err = {0};
    if (skua_batch_open(&self->batch, pool, task, options, &err)) {
        print_error("%s %s\n", err.code, err.message);
        fail();
    }
}

static void
fixture_close(struct fixture *self) {
    assert_null(skua_batch_close(self->batch));
    bench_close(&self->bench);
    skua__cond_fini(&self->ends.moved);
    skua__mutex_fini(&self->ends.lock);
}

static skua_status
ask(struct fixture *self, int i, const char *text, int64_t deadline_ms) {
    self->ones[i] = (struct one){.ends = &self->ends, .i = i};
    return skua_batch_submit(self->batch, text, strlen(text), on_end, &self->ones[i], deadline_ms,
                             NULL);
}

static skua_batch_counters
stats(struct fixture *self) {
    skua_batch_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_batch_stats(self->batch, &counters, NULL), 0);
    return counters;
}

static void
await_all(struct fixture *self) {
    assert_int_equal(skua_batch_await_all(self->batch, 20000, NULL), 0);
}

/* With one batch at the door and the wait long, only a full batch leaves; and it is cut right. */
static void
test_batch_leaves_when_it_is_full(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "gated",
                 SKUA_BATCH_OPTIONS(.requests_max = 3, .bytes_max = 10, .wait_us = LONG_US,
                                    .in_flight_max = 3),
                 0);
    assert_int_equal(ask(&f, 0, "a", 0), 0); /* nothing is in flight: at once */
    door_await(&f.bench.door, 1);
    assert_int_equal(ask(&f, 1, "b", 0), 0);
    assert_int_equal(ask(&f, 2, "c!", 0), 0);
    assert_false(skua__batch_step(f.batch, skua__clock_ns()));
    assert_int_equal(stats(&f).waiting, 2);
    assert_int_equal(stats(&f).batches, 1);
    assert_int_equal(ask(&f, 3, "!", 0), 0); /* full by number */
    door_await(&f.bench.door, 2);
    assert_int_equal(ask(&f, 4, "123456", 0), 0);
    assert_int_equal(stats(&f).waiting_bytes, 6);
    assert_int_equal(ask(&f, 5, "12345", 0), 0); /* full by bytes: 11 do not fit */
    door_let(&f.bench.door, 10);
    await_all(&f);
    const uint32_t fill[] = {1, 3, 3, 3, 1, 1};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(f.ends.times[i], 1);
        assert_int_equal(f.ends.status[i], i == 3 ? SKUA_E_TASK_FAILED : 0);
        assert_int_equal(f.ends.fill[i], fill[i]);
    }
    assert_int_equal(f.ends.code[3], 7);
    assert_string_equal(f.ends.answer[0], "A");
    assert_string_equal(f.ends.answer[1], "B");
    assert_memory_equal(f.ends.answer[2], "C\1", 2);
    skua_batch_counters counters = stats(&f);
    assert_int_equal(counters.requests, 6);
    assert_int_equal(counters.ended_ok, 5);
    assert_int_equal(counters.ended_failed, 1);
    assert_int_equal(counters.batches, 4);
    assert_int_equal(counters.batch_requests, 6);
    assert_true(counters.mean_fill > 0.49 && counters.mean_fill < 0.51);
    assert_true(counters.latency_p50_ns > 0);
    assert_true(counters.latency_p99_ns >= counters.latency_p50_ns);
    assert_true(counters.latency_max_ns >= counters.latency_p99_ns);
    fixture_close(&f);
}

static void
test_batch_leaves_when_its_time_is_up(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "gated", SKUA_BATCH_OPTIONS(.wait_us = LONG_US, .hold_when_idle = 1), 0);
    int64_t before_ns = skua__clock_ns();
    assert_int_equal(ask(&f, 0, "a", 0), 0);
    assert_int_equal(ask(&f, 1, "b", 0), 0);
    int64_t after_ns = skua__clock_ns();
    assert_false(skua__batch_step(f.batch, before_ns + LONG_US * SKUA_NS_PER_US - 1));
    assert_int_equal(stats(&f).batches, 0); /* held, though nothing is in flight */
    assert_true(skua__batch_step(f.batch, after_ns + LONG_US * SKUA_NS_PER_US));
    door_let(&f.bench.door, 1);
    ends_await(&f.ends, 2);
    assert_int_equal(f.ends.fill[0], 2);
    fixture_close(&f);
}

/* The thread's own clock: a request that nobody follows leaves by itself, with a batch in flight and without. */
static void
test_batch_thread_keeps_the_time(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "gated", SKUA_BATCH_OPTIONS(.wait_us = 1000, .hold_when_idle = 1), 0);
    assert_int_equal(ask(&f, 0, "a", 0), 0);
    door_await(&f.bench.door, 1);
    assert_int_equal(ask(&f, 1, "b", 0), 0);
    door_await(&f.bench.door, 2);
    door_let(&f.bench.door, 2);
    await_all(&f);
    assert_int_equal(stats(&f).batches, 2);
    fixture_close(&f);
}

/* All places are taken: what is full or overdue waits for one, and more gathers meanwhile. */
static void
test_batch_leaves_when_a_place_is_free(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "gated",
                 SKUA_BATCH_OPTIONS(.wait_us = SKUA_NONE, .in_flight_max = 1, .requests_max = 4),
                 0);
    assert_int_equal(ask(&f, 0, "a", 0), 0);
    door_await(&f.bench.door, 1);
    for (int i = 1; i < 6; i++) {
        assert_int_equal(ask(&f, i, "b", 0), 0);
    }
    assert_false(skua__batch_step(f.batch, skua__clock_ns()));
    assert_int_equal(stats(&f).waiting, 5);
    assert_int_equal(stats(&f).batches_in_flight, 1);
    door_let(&f.bench.door, 3);
    await_all(&f);
    assert_int_equal(f.ends.fill[1], 4);
    assert_int_equal(f.ends.fill[5], 1);
    fixture_close(&f);
}

static void
test_batch_deadline_keeps_a_request_from_starting(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "gated", SKUA_BATCH_OPTIONS(.wait_us = LONG_US, .in_flight_max = 1), 0);
    assert_int_equal(ask(&f, 0, "a", 0), 0);
    door_await(&f.bench.door, 1);
    assert_int_equal(ask(&f, 1, "b", 3600000), 0);
    assert_int_equal(ask(&f, 2, "c", 7200000), 0);
    assert_int_equal(ask(&f, 3, "d", SKUA_NONE), 0); /* ends by itself */
    ends_await(&f.ends, 1);
    assert_int_equal(f.ends.status[3], SKUA_E_TIMEOUT);
    assert_int_equal(f.ends.fill[3], 0);
    assert_true(skua__batch_step(f.batch, skua__clock_ns() + 3600000 * SKUA_NS_PER_MS));
    ends_await(&f.ends, 2);
    assert_int_equal(f.ends.status[1], SKUA_E_TIMEOUT);
    door_let(&f.bench.door, 10);
    await_all(&f);
    assert_int_equal(f.ends.status[2], 0);
    assert_int_equal(f.ends.fill[2], 1);
    assert_int_equal(f.bench.door.passed, 2);
    assert_int_equal(stats(&f).ended_timeout, 2);
    fixture_close(&f);
}

/* In flight a deadline is the batch's: its task is given up at the latest one. */
static void
test_batch_deadline_in_flight(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "gated",
                 SKUA_BATCH_OPTIONS(.requests_max = 2, .hold_when_idle = 1, .wait_us = LONG_US), 0);
    assert_int_equal(ask(&f, 0, "a", 30), 0);
    assert_int_equal(ask(&f, 1, "b", 30), 0);
    ends_await(&f.ends, 2); /* the door stays shut */
    assert_int_equal(f.ends.status[0], SKUA_E_TIMEOUT);
    assert_int_equal(f.ends.status[1], SKUA_E_TIMEOUT);
    door_let(&f.bench.door, 1);
    fixture_close(&f);
}

static void
test_batch_queue_is_a_bound(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "gated",
                 SKUA_BATCH_OPTIONS(.wait_us = LONG_US, .queue_max = 3, .bytes_max = 100,
                                    .queue_bytes_max = 8, .in_flight_max = 1),
                 0);
    assert_int_equal(ask(&f, 0, "a", 0), 0);
    door_await(&f.bench.door, 1);
    assert_int_equal(ask(&f, 1, "123456789", 0), 0); /* alone it is let in */
    assert_int_equal(ask(&f, 9, "b", 0), SKUA_E_AGAIN);
    door_let(&f.bench.door, 1);
    door_await(&f.bench.door, 2);
    for (int i = 2; i < 5; i++) {
        assert_int_equal(ask(&f, i, "b", 0), 0);
    }
    assert_int_equal(ask(&f, 9, "b", 0), SKUA_E_AGAIN);
    char big[101] = {0};
    memset(big, 'x', 100);
    assert_int_equal(skua_batch_submit(f.batch, big, 101, NULL, NULL, 0, NULL), SKUA_E_TOO_BIG);
    assert_int_equal(stats(&f).refused, 2);
    door_let(&f.bench.door, 10);
    await_all(&f);
    assert_int_equal(f.ends.times[9], 0);
    assert_int_equal(f.ends.ended, 5);
    fixture_close(&f);
}

/* The pool's own window is full: the batch waits for room, and its requests' deadlines still end them. */
static void
test_batch_waits_for_the_pools_window(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "each", NULL, 1);
    skua_pool_future *first = submit(&f.bench, SKUA_TASK(.name = "door"));
    door_await(&f.bench.door, 1);
    assert_int_equal(ask(&f, 0, "a", 20), 0);
    ends_await(&f.ends, 1);
    assert_int_equal(f.ends.status[0], SKUA_E_TIMEOUT);
    assert_int_equal(stats(&f).batches, 0);
    assert_int_equal(ask(&f, 1, "a", 0), 0);
    door_let(&f.bench.door, 1);
    await_all(&f);
    assert_int_equal(f.ends.status[1], 0);
    assert_int_equal(f.ends.fill[1], 1);
    skua_pool_future_free(first);
    fixture_close(&f);
}

static void
test_batch_failed_task_fails_each(void **state) {
    (void)state;
    static const struct {
        const char *task;
        skua_status status;
        int32_t code;
        const char *says;
    } cases[] = {{"fail", SKUA_E_TASK_FAILED, 3, "not to be"},
                 {"nobody", SKUA_E_REFUSED, 0, "nobody runs"}};
    for (size_t c = 0; c < 2; c++) {
        static struct fixture f;
        fixture_open(&f, cases[c].task,
                     SKUA_BATCH_OPTIONS(.requests_max = 2, .hold_when_idle = 1, .wait_us = LONG_US),
                     0);
        assert_int_equal(ask(&f, 0, "a", 0), 0);
        assert_int_equal(ask(&f, 1, "b", 0), 0);
        await_all(&f);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(f.ends.times[i], 1);
            assert_int_equal(f.ends.status[i], cases[c].status);
            assert_int_equal(f.ends.code[i], cases[c].code);
        }
        assert_non_null(strstr(f.ends.message, cases[c].says));
        assert_int_equal(stats(&f).ended_failed, 2);
        assert_int_equal(stats(&f).latency_max_ns, 0);
        fixture_close(&f);
    }
}

/* Returns NULL when every one of the 100 requests had ended before close returned. */
static void *
close_batch(void *arg) {
    struct fixture *f = arg;
    skua_batch_close(f->batch);
    skua__mutex_lock(&f->ends.lock);
    bool all = f->ends.ended == 100;
    skua__mutex_unlock(&f->ends.lock);
    return all ? NULL : f;
}

static void
test_batch_close_ends_each_once(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "gated", SKUA_BATCH_OPTIONS(.wait_us = LONG_US, .in_flight_max = 1), 0);
    assert_int_equal(ask(&f, 0, "a", 0), 0);
    door_await(&f.bench.door, 1);
    for (int i = 1; i < 100; i++) {
        assert_int_equal(ask(&f, i, "b", i % 2 ? 0 : 3600000), 0);
    }
    f.ends.submit_to = f.batch; /* the first that ends submits one more */
    pthread_t thread;
    assert_int_equal(skua__thread_start(&thread, "close", close_batch, &f, NULL), 0);
    ends_await(&f.ends, 99); /* those that waited, while one is in flight */
    door_let(&f.bench.door, 1);
    void *early = NULL;
    assert_int_equal(pthread_join(thread, &early), 0);
    assert_null(early);
    f.batch = NULL;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(f.ends.times[i], 1);
        assert_int_equal(f.ends.status[i], i ? SKUA_E_CANCELLED : 0);
    }
    assert_int_equal(f.ends.submitted, SKUA_E_CLOSED);
    fixture_close(&f);
}

/* A done may submit the next request: the batcher holds no lock then. */
static void
test_batch_done_may_submit(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "each", NULL, 0);
    f.ends.submit_to = f.batch;
    f.ends.submitted = SKUA_E_SYSTEM;
    assert_int_equal(ask(&f, 0, "a", 0), 0);
    await_all(&f);
    assert_int_equal(f.ends.submitted, 0);
    assert_int_equal(stats(&f).ended_ok, 2);
    fixture_close(&f);
}

static void
test_batch_rows_are_a_matrix(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "rows",
                 SKUA_BATCH_OPTIONS(.requests_max = 5, .hold_when_idle = 1, .wait_us = LONG_US), 0);
    for (int i = 0; i < 5; i++) {
        float x = (float)i + 0.5F;
        f.ones[i] = (struct one){&f.ends, i};
        assert_int_equal(skua_batch_submit(f.batch, &x, sizeof x, on_end, &f.ones[i], 0, NULL), 0);
    }
    await_all(&f);
    for (int i = 0; i < 5; i++) {
        float y;
        memcpy(&y, f.ends.answer[i], sizeof y);
        assert_true(y > 2.0F * (float)i + 0.99F && y < 2.0F * (float)i + 1.01F);
    }
    assert_int_equal(f.seen.row_bytes, sizeof(float));
    assert_int_equal(f.seen.requests, 5);
    fixture_close(&f);
}

/* Answers that are none: of another number, cut short, too long, with an end before the one before, with no head. */
static void
test_batch_malformed_answer_is_an_error(void **state) {
    (void)state;
    static const unsigned char good[] = {'s', 'k', 'A', '1', 2, 0, 0, 0, 0,   0,   0,  0,
                                         0,   0,   0,   0,   0, 0, 0, 0, 1,   0,   0,  0,
                                         0,   0,   0,   0,   3, 0, 0, 0, 'a', 'b', 'c'};
    static const struct {
        size_t bytes, at;
        unsigned char value;
    } cases[] = {{35, 0, 's'},  {35, 0, 'x'}, {35, 4, 1},   {35, 4, 3},  {34, 0, 's'},
                 {36, 0, 's'},  {0, 0, 's'},  {15, 0, 's'}, {35, 20, 4}, {35, 28, 0},
                 {35, 31, 255}, {35, 7, 255}, {35, 4, 0},   {33, 4, 1},  {17, 0, 's'}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        static struct fixture f;
        fixture_open(&f, "raw",
                     SKUA_BATCH_OPTIONS(.requests_max = 2, .hold_when_idle = 1, .wait_us = LONG_US),
                     0);
        memcpy(f.raw, good, sizeof good);
        f.raw[cases[c].at] = cases[c].value;
        f.raw_bytes = cases[c].bytes;
        assert_int_equal(ask(&f, 0, "a", 0), 0);
        assert_int_equal(ask(&f, 1, "b", 0), 0);
        await_all(&f);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(f.ends.times[i], 1);
            assert_int_equal(f.ends.status[i], c ? SKUA_E_MALFORMED : 0);
        }
        if (!c) {
            assert_string_equal(f.ends.answer[0], "a");
            assert_string_equal(f.ends.answer[1], "bc");
        }
        fixture_close(&f);
    }
}

/* Any bytes, in a block of exactly their size: the check says yes only to what may be cut. */
static void
test_batch_check_survives_any_bytes(void **state) {
    (void)state;
    skua__rand random = {.state = test_seed(20)};
    int good = 0;
    for (int round = 0; round < 20000; round++) {
        size_t size = 16 + skua__rand_below(&random, 48);
        unsigned char *bytes = calloc(1, size);
        assert_non_null(bytes);
        uint32_t requests = 1 + skua__rand_below(&random, 3);
        memcpy(bytes, "skA1", 4);
        bytes[4] = (unsigned char)requests;
        for (size_t i = 16; i < size; i += 4) {
            bytes[i] = (unsigned char)skua__rand_below(&random, 8);
        }
        bytes[skua__rand_below(&random, (uint32_t)size)] ^=
            (unsigned char)skua__rand_below(&random, 2);
        skua__batch_answers answers;
        if (skua__batch_check(bytes, size, requests, &answers)) {
            good++;
            for (uint32_t i = 0; i < requests; i++) {
                const void *at;
                size_t length;
                skua__batch_cut(&answers, i, &at, &length);
                assert_true((const unsigned char *)at + length <= bytes + size);
            }
        }
        free(bytes);
    }
    assert_true(good > 10);
}

/* A task's input that is no batch: the function says so. */
static void
test_batch_read_refuses_what_is_no_batch(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "each", NULL, 0);
    skua_pool_future *future =
        submit(&f.bench, SKUA_TASK(.name = "each", .input = "skB1\1", .input_bytes = 6));
    skua_task_result result = result_of(future);
    assert_int_equal(result.code, 1);
    skua_pool_future_free(future);
    skua_batch_work work;
    const skua_batch_work none = {0};
    void *room;
    assert_int_equal(skua_batch_read(NULL, &work), SKUA_E_BAD_ARGUMENT);
    assert_null(skua_batch_request(NULL, 0, NULL));
    assert_int_equal(skua_batch_rows(NULL, 1, &room), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_rows(&none, 1, &room), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_answer(NULL, NULL), SKUA_E_BAD_ARGUMENT);
    fixture_close(&f);
}

static void
test_batch_refuses_nonsense(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "each", NULL, 0);
    skua_batch *batch = NULL;
    skua_pool *pool = f.bench.pool;
    const skua_batch_options bad[] = {
        {.size = sizeof bad[0], .requests_max = SKUA_BATCH_MAX_REQUESTS + 1},
        {.size = sizeof bad[0], .bytes_max = SKUA_TASK_MAX_BYTES},
        {.size = sizeof bad[0], .wait_us = -7},
        {.size = sizeof bad[0], .in_flight_max = SKUA_BATCH_MAX_IN_FLIGHT + 1},
        {.size = sizeof bad[0], .queue_max = SKUA_BATCH_MAX_QUEUE + 1},
        {.size = sizeof bad[0], .priority = 3},
        {.size = 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(skua_batch_open(&batch, pool, "each", &bad[i], NULL), SKUA_E_BAD_ARGUMENT);
    }
    assert_int_equal(skua_batch_open(NULL, pool, "each", NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_open(&batch, NULL, "each", NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_open(&batch, pool, NULL, NULL, NULL), SKUA_E_BAD_NAME);
    assert_int_equal(skua_batch_open(&batch, pool, "Each!", NULL, NULL), SKUA_E_BAD_NAME);
    assert_null(batch);
    skua_batch_options options;
    skua_batch_options_init(&options, sizeof options);
    assert_int_equal(options.size, sizeof options);
    skua_batch_options_init(NULL, 0);
    skua_batch_counters counters = {0};
    assert_int_equal(skua_batch_stats(f.batch, &counters, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_stats(f.batch, NULL, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_stats(NULL, &counters, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_submit(NULL, "a", 1, NULL, NULL, 0, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_submit(f.batch, NULL, 1, NULL, NULL, 0, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_submit(f.batch, "a", 1, NULL, NULL, -3, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_await_all(NULL, 0, NULL), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_batch_await_all(f.batch, SKUA_NONE, NULL), 0);
    assert_int_equal(skua_batch_submit(f.batch, NULL, 0, NULL, NULL, 0, NULL), 0);
    await_all(&f);
    assert_int_equal(stats(&f).ended_ok, 1);
    assert_null(skua_batch_close(NULL));
    fixture_close(&f);
}

static void *
submit_many(void *arg) {
    struct one *first = arg;
    struct fixture *f = SKUA_CONTAINER_OF(first->ends, struct fixture, ends);
    for (int i = 0; i < 500; i++) {
        skua_status status;
        do {
            status = skua_batch_submit(f->batch, "ab", 2, on_end, &first[i], 0, NULL);
        } while (status == SKUA_E_AGAIN && !skua_batch_await_all(f->batch, 20000, NULL));
        assert_int_equal(status, 0);
    }
    return NULL;
}

static void
test_batch_is_shared_by_threads(void **state) {
    (void)state;
    static struct fixture f;
    fixture_open(&f, "each", SKUA_BATCH_OPTIONS(.wait_us = 50, .queue_max = 64), 0);
    pthread_t threads[4];
    for (int i = 0; i < 2000; i++) {
        f.ones[i] = (struct one){&f.ends, i};
    }
    for (int t = 0; t < 4; t++) {
        assert_int_equal(
            skua__thread_start(&threads[t], "submit", submit_many, &f.ones[t * 500], NULL), 0);
    }
    for (int t = 0; t < 4; t++) {
        skua__thread_join(threads[t]);
    }
    await_all(&f);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(f.ends.times[i], 1);
        assert_int_equal(f.ends.status[i], 0);
        assert_string_equal(f.ends.answer[i], "AB");
    }
    skua_batch_counters counters = stats(&f);
    assert_int_equal(counters.ended_ok, 2000);
    assert_int_equal(counters.waiting + counters.batches_in_flight, 0);
    fixture_close(&f);
}

/* Memory fails at each call in turn: what was taken still ends, once. */
static void
test_batch_survives_a_failing_allocator(void **state) {
    (void)state;
    bool whole = false;
    long n = 1;
    for (; !whole && n < 100; n++) {
        static struct fixture f;
        fixture_open(&f, "each", NULL, 0);
        failing_allocator allocator;
        failing_allocator_init(&allocator, n);
        skua_batch *batch = NULL;
        skua_status status =
            skua_batch_open(&batch, f.bench.pool, "each",
                            SKUA_BATCH_OPTIONS(.allocator = &allocator.hook, .requests_max = 2,
                                               .hold_when_idle = 1, .wait_us = LONG_US),
                            NULL);
        int taken = 0;
        for (int i = 0; i < 2 && !status; i++) {
            f.ones[i] = (struct one){&f.ends, i};
            skua_status one = skua_batch_submit(batch, "a", 1, on_end, &f.ones[i], 0, NULL);
            assert_true(one == 0 || one == SKUA_E_NO_MEMORY);
            taken += one == 0;
        }
        if (taken == 2) {
            assert_int_equal(skua_batch_await_all(batch, 20000, NULL), 0);
        }
        skua_batch_close(batch);
        assert_int_equal(f.ends.ended, taken);
        whole = taken == 2 && f.ends.status[0] == 0 && f.ends.status[1] == 0;
        assert_true(whole || taken < 2 || f.ends.status[0] == SKUA_E_NO_MEMORY);
        fixture_close(&f);
        assert_int_equal(atomic_load(&allocator.alive), 0);
    }
    assert_true(whole && n > 5);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_leaves_when_it_is_full),
        cmocka_unit_test(test_batch_leaves_when_its_time_is_up),
        cmocka_unit_test(test_batch_thread_keeps_the_time),
        cmocka_unit_test(test_batch_leaves_when_a_place_is_free),
        cmocka_unit_test(test_batch_deadline_keeps_a_request_from_starting),
        cmocka_unit_test(test_batch_deadline_in_flight),
        cmocka_unit_test(test_batch_queue_is_a_bound),
        cmocka_unit_test(test_batch_waits_for_the_pools_window),
        cmocka_unit_test(test_batch_failed_task_fails_each),
        cmocka_unit_test(test_batch_close_ends_each_once),
        cmocka_unit_test(test_batch_done_may_submit),
        cmocka_unit_test(test_batch_rows_are_a_matrix),
        cmocka_unit_test(test_batch_malformed_answer_is_an_error),
        cmocka_unit_test(test_batch_check_survives_any_bytes),
        cmocka_unit_test(test_batch_read_refuses_what_is_no_batch),
        cmocka_unit_test(test_batch_refuses_nonsense),
        cmocka_unit_test(test_batch_is_shared_by_threads),
        cmocka_unit_test(test_batch_survives_a_failing_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
