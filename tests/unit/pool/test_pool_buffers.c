// SPDX-License-Identifier: MPL-2.0
// Buffers in a pool's launches: chains come to what they come to one after another wherever they run, and a launch goes
// where its data is.
#include "pool_buffers_bench.h"

#include <skua-int/rand.h>

/* ---- Order ---- */

static void
test_pool_buffers_chains_come_to_the_same_wherever_they_run(void **state) {
    (void)state;
    enum { LINKS = 300 };
    static const bool unified[3][DEVICES] = {{false, false}, {true, false}, {true, true}};
    skua__rand rand = {.state = test_seed(17)};
    for (int round = 0; round < 3; round++) {
        fake_machine b;
        open_with(&b, (skua__fake_options[DEVICES]){{0}, {0}}, unified[round]);
        skua_buffer *y = fake_machine_buffer(&b, BYTES);
        static skua_pool_future *futures[LINKS];
        uint32_t expected = 0;
        for (uint32_t i = 0; i < LINKS; i++) { /* all at once: the order is the buffer's to keep */
            futures[i] =
                submit(&b, "step", y, NULL, i, (int)skua__rand_below(&rand, DEVICES + 2) - 1);
            expected = 3 * expected + i;
        }
        for (uint32_t i = 0; i < LINKS; i++) {
            must_end_ok(futures[i]);
        }
        assert_int_equal(buffer_item(y, 0), expected);
        assert_int_equal(buffer_item(y, N - 1), expected);
        assert_int_equal(buffer_where(y).users, 0);
        skua_buffer_free(y);
        fake_machine_close(&b);
    }
}

/* Those that only read go at once, on all places; who writes waits for them all. */
static void
test_pool_buffers_readers_share_and_writers_wait(void **state) {
    (void)state;
    enum { READERS = 40 };
    fake_machine b;
    open_plain(&b);
    skua_buffer *x = fake_machine_buffer(&b, BYTES), *y[READERS];
    skua_pool_future *futures[2 * READERS + 2];
    uint32_t count = 0;
    futures[count++] = submit(&b, "make", x, NULL, 5, 0);
    for (uint32_t i = 0; i < READERS; i++) {
        y[i] = fake_machine_buffer(&b, BYTES);
        futures[count++] = submit(&b, "make", y[i], x, i, (int)(i % (DEVICES + 1)));
    }
    futures[count++] = submit(&b, "step", x, NULL, 1, 1); /* 16 */
    for (uint32_t i = 0; i < READERS; i++) {
        futures[count++] = submit(&b, "step", y[i], x, 0, (int)((i + 1) % (DEVICES + 1)));
    }
    for (uint32_t i = 0; i < count; i++) {
        must_end_ok(futures[i]);
    }
    for (uint32_t i = 0; i < READERS; i++) {
        assert_int_equal(buffer_item(y[i], 7), 3 * (5 + i) + 16);
        skua_buffer_free(y[i]);
    }
    assert_int_equal(buffer_item(x, 7), 16);
    skua_buffer_free(x);
    fake_machine_close(&b);
}

/* Two pools may have the same devices: each waits for the other's launches. */
static void
test_pool_buffers_two_pools_take_turns(void **state) {
    (void)state;
    enum { LINKS = 200 };
    fake_machine b;
    open_plain(&b);
    skua_pool *pools[2] = {b.pool};
    assert_int_equal(
        skua_pool_open(&pools[1], SKUA_POOL_OPTIONS(.exec = b.exec, .devices = b.devices), NULL),
        0);
    register_all(pools[1]);
    skua_buffer *y = fake_machine_buffer(&b, BYTES);
    static skua_pool_future *futures[LINKS];
    uint32_t expected = 0;
    for (uint32_t i = 0; i < LINKS; i++) {
        futures[i] = submit_to(pools[i % 2], "step", y, NULL, i, (int)(i / 2 % (DEVICES + 1)));
        expected = 3 * expected + i;
    }
    for (uint32_t i = 0; i < LINKS; i++) {
        must_end_ok(futures[i]);
    }
    assert_int_equal(buffer_item(y, 3), expected);
    skua_pool_close(pools[1]);
    skua_buffer_free(y);
    fake_machine_close(&b);
}

/* ---- A serial model ---- */

enum { BUFFERS = 5, STEPS = 1500, BATCH = 48 };

typedef struct model {
    skua_buffer *buffers[BUFFERS];
    uint32_t values[BUFFERS]; /* of all items: what is done is done to all alike */
} model;

static void
random_launch(fake_machine *b, model *m, skua__rand *rand, skua_pool_future **ret) {
    uint32_t y = skua__rand_below(rand, BUFFERS), x = skua__rand_below(rand, BUFFERS + 1);
    uint32_t a = skua__rand_below(rand, 1000);
    bool make = skua__rand_below(rand, 3) == 0;
    bool plain = x == y || x == BUFFERS;
    uint32_t x_value = plain ? 0 : m->values[x];
    *ret = submit(b, make ? "make" : "step", m->buffers[y], plain ? NULL : m->buffers[x], a,
                  (int)skua__rand_below(rand, 2 * DEVICES + 2) - DEVICES - 1);
    m->values[y] = (make ? 0 : 3 * m->values[y]) + x_value + a;
}

/* What a program does with a buffer meanwhile, each in its turn. */
static void
random_call(model *m, skua__rand *rand) {
    uint32_t i = skua__rand_below(rand, BUFFERS);
    uint32_t all[N];
    void *data = NULL;
    switch (skua__rand_below(rand, 4)) {
    case 0:
        assert_int_equal(buffer_item(m->buffers[i], skua__rand_below(rand, N)), m->values[i]);
        break;
    case 1:
        m->values[i] = skua__rand_below(rand, 1000);
        for (int k = 0; k < N; k++) {
            all[k] = m->values[i];
        }
        assert_int_equal(skua_buffer_write(m->buffers[i], 0, all, sizeof all, NULL), 0);
        break;
    case 2:
        (void)!skua_buffer_prefetch(m->buffers[i], skua__rand_below(rand, DEVICES), NULL);
        break;
    default:
        assert_int_equal(skua_buffer_map(m->buffers[i], SKUA_MAP_READ_WRITE, &data, NULL), 0);
        assert_int_equal(*(uint32_t *)data, m->values[i]);
        for (int k = 0; k < N; k++) {
            ((uint32_t *)data)[k] += 2;
        }
        m->values[i] += 2;
        assert_int_equal(skua_buffer_unmap(m->buffers[i], NULL), 0);
        break;
    }
}

static void
test_pool_buffers_random_launches_come_to_the_serial_model(void **state) {
    (void)state;
    static const bool unified[3][DEVICES] = {{false, false}, {true, false}, {true, true}};
    skua__rand rand = {.state = test_seed(23)};
    for (int round = 0; round < 3; round++) {
        fake_machine b;
        model m = {.values = {0}};
        open_with(&b, (skua__fake_options[DEVICES]){{0}, {0}}, unified[round]);
        for (int i = 0; i < BUFFERS; i++) {
            m.buffers[i] = fake_machine_buffer(&b, BYTES);
        }
        static skua_pool_future *futures[BATCH];
        uint32_t count = 0;
        for (int step = 0; step < STEPS; step++) {
            random_launch(&b, &m, &rand, &futures[count++]);
            if (skua__rand_below(&rand, 12) == 0) {
                random_call(&m, &rand);
            }
            for (; count == BATCH || (step == STEPS - 1 && count); count--) {
                must_end_ok(futures[count - 1]);
            }
        }
        for (int i = 0; i < BUFFERS; i++) {
            assert_int_equal(buffer_item(m.buffers[i], 0), m.values[i]);
            assert_int_equal(buffer_item(m.buffers[i], N - 1), m.values[i]);
            skua_buffer_free(m.buffers[i]);
        }
        fake_machine_close(&b);
    }
}

/* ---- Where a launch goes ---- */

/* A launch so slow in the copying that it had better go where its data is. */
static void
open_far(fake_machine *self, const int64_t launch_ns[DEVICES]) {
    skua__fake_options options[DEVICES];
    for (int i = 0; i < DEVICES; i++) {
        options[i] =
            (skua__fake_options){.copy_bytes_per_s = 1000 * 1000 * 1000, .launch_ns = launch_ns[i]};
    }
    open_with(self, options, (bool[DEVICES]){false, false});
}

/* Runs it at any place that has a device, and tells which one; -1: one that was tried to learn. */
static int
runs_on(fake_machine *self, skua_buffer *y, skua_buffer *x, char *ret_text, size_t ret_size) {
    skua_pool_future *future = submit(self, "step-devices", y, x, 1, -1);
    assert_int_equal(skua_pool_wait(future, WAIT_MS, NULL), 0);
    skua_pool_explain(future, ret_text, ret_size);
    must_end_ok(future);
    return strstr(ret_text, "tried, to learn") ? -1 : ret_text[strlen("device ")] - '0';
}

static void
test_pool_buffers_launches_go_where_their_data_is(void **state) {
    (void)state;
    enum { LARGE = 8 * 1024 * 1024, LAUNCHES = 30 };
    const int64_t ms = SKUA_NS_PER_MS;
    char text[600];
    for (int fast = 0; fast < 2; fast++) { /* to move y, there and here, takes 16 ms */
        fake_machine b;
        open_far(&b, (int64_t[DEVICES]){fast ? 60 * ms : 1 * ms, 1 * ms});
        skua_buffer *y[DEVICES] = {fake_machine_buffer(&b, LARGE), fake_machine_buffer(&b, LARGE)};
        skua_buffer *x = fake_machine_buffer(&b, BYTES);
        for (int i = 0; i < 12;
             i++) { /* both have run it a few times, with their data and without */
            must_end_ok(submit(&b, "step-devices", y[i / 2 % 2], x, 1, i % DEVICES));
        }
        must_end_ok(submit(&b, "step-devices", y[0], x, 1, 0));
        must_end_ok(submit(&b, "step-devices", y[1], x, 1, 1));
        if (fast) { /* one runs it so much sooner that the way is worth it */
            assert_int_equal(runs_on(&b, y[0], x, text, sizeof text), 1);
            assert_int_equal(buffer_where(y[0]).current_on, 2);
        }
        for (int i = 0; i < LAUNCHES && !fast;
             i++) { /* as fast as the other: each stays where it is */
            int on = runs_on(&b, y[i % 2], x, text, sizeof text);
            assert_true(on == i % 2 || on == -1);
            assert_true(on < 0 || strstr(text, "(16777216 bytes missing)")); /* at the other one */
            if (on < 0) { /* it took its data along: back with it */
                must_end_ok(submit(&b, "step-devices", y[i % 2], x, 1, i % 2));
            }
        }
        for (int i = 0; i < DEVICES; i++) {
            skua_buffer_free(y[i]);
        }
        skua_buffer_free(x);
        fake_machine_close(&b);
    }
}

/* What shares the host's memory misses nothing, and nothing is copied. */
static void
test_pool_buffers_are_not_copied_where_memory_is_shared(void **state) {
    (void)state;
    fake_machine b;
    open_with(&b, (skua__fake_options[DEVICES]){{0}, {0}}, (bool[DEVICES]){true, true});
    skua_buffer *y = fake_machine_buffer(&b, BYTES), *x = fake_machine_buffer(&b, BYTES);
    uint32_t expected = 0;
    for (uint32_t i = 0; i < 60; i++) {
        must_end_ok(submit(&b, "step", y, x, i, (int)(i % (DEVICES + 1))));
        expected = 3 * expected + i;
    }
    assert_int_equal(buffer_item(y, 11), expected);
    assert_int_equal(fake_machine_copies(&b), 0);
    skua_buffer_free(y);
    skua_buffer_free(x);
    fake_machine_close(&b);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_buffers_chains_come_to_the_same_wherever_they_run),
        cmocka_unit_test(test_pool_buffers_readers_share_and_writers_wait),
        cmocka_unit_test(test_pool_buffers_two_pools_take_turns),
        cmocka_unit_test(test_pool_buffers_random_launches_come_to_the_serial_model),
        cmocka_unit_test(test_pool_buffers_launches_go_where_their_data_is),
        cmocka_unit_test(test_pool_buffers_are_not_copied_where_memory_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
