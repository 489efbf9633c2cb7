// SPDX-License-Identifier: MPL-2.0
// Split launches with buffers: each part reads its slice and what it writes comes together, wherever the contents were before
// and whatever happens to places and launches meanwhile.
#include "pool_buffers_bench.h"

#include "failing_allocator.h"
#include <sched.h>
#include <skua-int/rand.h>

/* y[i] = i */
static skua_buffer *
counting_buffer(fake_machine *b) {
    uint32_t items[N];
    skua_buffer *buffer = fake_machine_buffer(b, BYTES);
    for (uint32_t i = 0; i < N; i++) {
        items[i] = i;
    }
    assert_int_equal(skua_buffer_write(buffer, 0, items, sizeof items, NULL), 0);
    return buffer;
}

/* All of it is times * i + more. */
static void
assert_holds(skua_buffer *buffer, uint32_t times, uint32_t more) {
    uint32_t items[N];
    assert_int_equal(skua_buffer_read(buffer, 0, items, sizeof items, NULL), 0);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(items[i], times * i + more);
    }
}

/* Fails when both devices have done their parts. */
typedef struct late {
    skua_pool *pool;
    uint64_t ended;
} late;

static int
fail_late_fn(const skua_kernel_call *call, void *arg) {
    (void)call;
    const late *after = arg;
    skua_pool_counters counters = {.size = sizeof counters};
    do {
        sched_yield();
        assert_int_equal(skua_pool_stats(after->pool, &counters, NULL), 0);
    } while (counters.ended[SKUA_OUTCOME_OK] < after->ended);
    return 9;
}

/* A kernel that devices do, and the cores fail at. */
static void
register_mixed(fake_machine *b, late *after) {
    static const skua_param_kind params[] = {SKUA_PARAM_INOUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE};
    skua_error err = {0};
    if (skua_kernel_register(b->pool, "mixed",
                             SKUA_KERNEL_SPEC(.source = "fake", .entry = "step", .params = params,
                                              .param_count = 3, .guarded = 1, .fn = fail_late_fn,
                                              .fn_arg = after, .sliced = 3),
                             &err)) {
        fail_msg("%s", err.message);
    }
}

static void
test_split_buffers_come_together(void **state) {
    (void)state;
    static const bool unified[3][DEVICES] = {{false, false}, {true, false}, {true, true}};
    for (int round = 0; round < 3; round++) {
        fake_machine b;
        char text[400];
        open_with(&b, (skua__fake_options[DEVICES]){{0}, {0}}, unified[round]);
        skua_buffer *y = counting_buffer(&b), *x = counting_buffer(&b);
        must_end_ok(submit(&b, "step", x, NULL, 0, 0)); /* x is 3 i, and only on device 0 */
        skua_pool_future *first = submit(&b, "step", y, x, 7, SPLIT); /* 3 i + 3 i + 7 */
        assert_int_equal(skua_pool_wait(first, WAIT_MS, NULL), 0);
        skua_pool_explain(first, text, sizeof text);
        assert_non_null(strstr(text, "split in 3:"));
        must_end_ok(first);
        skua_buffer_info where = buffer_where(y);
        assert_true(where.on_host && !where.current_on && !where.users);
        where = buffer_where(x);
        assert_true(where.on_host && (where.current_on == 1 || unified[round][0]));
        must_end_ok(submit(&b, "step", y, NULL, 1, 1)); /* and from there to a device, and so on */
        must_end_ok(submit(&b, "step", y, x, 0, SPLIT));
        assert_holds(y, 3 * 3 * 6 + 3, 3 * (3 * 7 + 1));
        must_end_ok(submit(&b, "make", y, x, 5, SPLIT)); /* what it held is not asked for */
        assert_holds(y, 3, 5);
        assert_holds(x, 3, 0);
        skua_buffer_free(y);
        skua_buffer_free(x);
        fake_machine_close(&b);
    }
}

/* Results that are plain memory, beside a buffer that is only read. */
static void
test_split_buffers_beside_plain_memory(void **state) {
    (void)state;
    fake_machine b;
    open_plain(&b);
    skua_buffer *x = counting_buffer(&b);
    must_end_ok(submit(&b, "step", x, NULL, 0, 1));
    for (int plain = 0; plain < 2; plain++) {
        uint32_t y[N], a = 9, zeros[N] = {0};
        skua_kernel_arg args[] = {
            {.data = y, .bytes = BYTES}, {.buffer = x, .bytes = BYTES}, {.value = &a, .bytes = 4}};
        if (plain) {
            args[1] = (skua_kernel_arg){.data = zeros, .bytes = BYTES};
        }
        const skua_launch launch = {.size = sizeof launch,
                                    .kernel = "make",
                                    .global = {N},
                                    .args = args,
                                    .arg_count = 3,
                                    .split = 1};
        skua_pool_future *future = NULL;
        assert_int_equal(skua_kernel_submit(b.pool, &launch, &future, NULL), 0);
        a = 1; /* it was copied in the call */
        assert_int_equal(skua_kernel_collect(b.pool, &launch, future, WAIT_MS, NULL), 0);
        skua_pool_future_free(future);
        for (uint32_t i = 0; i < N; i++) {
            assert_int_equal(y[i], (plain ? 0 : 3 * i) + 9);
        }
    }
    skua_buffer_free(x);
    fake_machine_close(&b);
}

/* Parts read copies: whatever devices do, each is done once, elsewhere if it must be. */
static void
test_split_buffers_outlive_devices_that_fail(void **state) {
    (void)state;
    enum { ROUNDS = 30, LINKS = 6 };
    skua__rand rand = {.state = test_seed(31)};
    for (int round = 0; round < ROUNDS; round++) {
        fake_machine b;
        open_with(&b, (skua__fake_options[DEVICES]){{0}, {0}},
                  (bool[DEVICES]){round % 2 == 0, false});
        skua_buffer *y = counting_buffer(&b), *x = counting_buffer(&b);
        for (int i = 0; i < DEVICES; i++) {
            skua__fake_set_faults(
                b.fakes[i], &(skua__fake_faults){.loss_at = skua__rand_below(&rand, 2 * LINKS),
                                                 .memory_at = skua__rand_below(&rand, LINKS),
                                                 .memory_times = skua__rand_below(&rand, 3)});
        }
        uint32_t times = 1, more = 0;
        skua_pool_future *futures[LINKS];
        for (uint32_t i = 0; i < LINKS; i++) {
            futures[i] = submit(&b, "step", y, x, i, SPLIT);
            times = 3 * times + 1;
            more = 3 * more + i;
        }
        for (uint32_t i = 0; i < LINKS; i++) {
            must_end_ok(futures[i]);
        }
        assert_holds(y, times, more);
        skua_buffer_free(y);
        skua_buffer_free(x);
        fake_machine_close(&b);
    }
}

/* One of its places fails for good: nothing of the others' results is left where the contents are known that were there before. */
static void
test_split_buffers_of_a_part_that_fails_are_as_they_were(void **state) {
    (void)state;
    fake_machine b;
    char message[SKUA_TASK_MESSAGE_BYTES];
    open_plain(&b);
    late after = {.pool = b.pool, .ended = 1 + DEVICES};
    register_mixed(&b, &after);
    skua_buffer *y = counting_buffer(&b), *x = counting_buffer(&b);
    must_end_ok(submit(&b, "step", y, NULL, 0, 0));
    assert_int_equal(outcome(submit(&b, "mixed", y, x, 1, SPLIT), message), SKUA_OUTCOME_EXIT);
    assert_non_null(strstr(message, "returned 9"));
    must_end_ok(submit(&b, "step", y, NULL, 1, 1)); /* it kept no turn */
    assert_holds(y, 9, 1);
    skua_buffer_free(y);
    skua_buffer_free(x);
    fake_machine_close(&b);
}

static void
test_split_buffers_that_are_lost_are_told(void **state) {
    (void)state;
    fake_machine b;
    char message[SKUA_TASK_MESSAGE_BYTES];
    open_plain(&b);
    skua_buffer *y = counting_buffer(&b), *x = counting_buffer(&b);
    must_end_ok(submit(&b, "step", x, NULL, 1, 0));
    skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.loss_at = 1});
    assert_int_equal(outcome(submit(&b, "step", x, NULL, 1, 0), NULL), SKUA_OUTCOME_EXIT);
    assert_true(buffer_where(x).lost);
    assert_int_equal(outcome(submit(&b, "step", y, x, 1, SPLIT), message), SKUA_OUTCOME_EXIT);
    assert_non_null(strstr(message, "write all of it anew"));
    assert_holds(y, 1, 0);
    must_end_ok(submit(&b, "make", x, y, 1, SPLIT)); /* which is what this does */
    assert_holds(x, 1, 1);
    skua_buffer_free(y);
    skua_buffer_free(x);
    fake_machine_close(&b);
}

/* Cancelled while it waits for its turn it ends at once; while its parts run, too, and since they have copies the turn ends with it. */
static void
test_split_buffers_cancels(void **state) {
    (void)state;
    fake_machine b;
    char text[200];
    open_plain(&b);
    skua_buffer *y = counting_buffer(&b);
    void *data = NULL;
    assert_int_equal(skua_buffer_map(y, SKUA_MAP_READ_WRITE, &data, NULL), 0);
    skua_pool_future *waits = submit(&b, "step", y, NULL, 5, SPLIT);
    skua_pool_future *goes = submit(&b, "step", y, NULL, 1, SPLIT);
    skua_pool_explain(waits, text, sizeof text);
    assert_string_equal(text, "to be split when it has its turn at its buffers");
    skua_pool_cancel(waits);
    assert_int_equal(skua_pool_wait(waits, SKUA_NONE, NULL), 0); /* at once */
    assert_int_equal(outcome(waits, NULL), SKUA_OUTCOME_CANCELLED);
    assert_int_equal(skua_buffer_unmap(y, NULL), 0);
    must_end_ok(goes);
    assert_holds(y, 3, 1);
    skua__mutex_init(&gate.lock);
    skua__cond_init(&gate.changed);
    gate.begun = gate.open = false;
    skua_pool_future *runs = submit(&b, "gate", y, NULL, 0, SPLIT);
    skua_pool_future *after = submit(&b, "make", y, NULL, 4, CORES);
    skua__mutex_lock(&gate.lock);
    while (!gate.begun) {
        skua__cond_wait(&gate.changed, &gate.lock);
    }
    skua__mutex_unlock(&gate.lock);
    skua_pool_cancel(runs);
    assert_int_equal(skua_pool_wait(runs, SKUA_NONE, NULL), 0);
    assert_int_equal(outcome(runs, NULL), SKUA_OUTCOME_CANCELLED);
    must_end_ok(after); /* while devices have the parts still */
    skua__mutex_lock(&gate.lock);
    gate.open = true;
    skua__cond_broadcast(&gate.changed);
    skua__mutex_unlock(&gate.lock);
    assert_holds(y, 0, 4);
    skua_buffer_free(y);
    fake_machine_close(&b); /* the devices have left the gate */
    skua__cond_fini(&gate.changed);
    skua__mutex_fini(&gate.lock);
}

static void
wait_at_gate(skua_worker w, skua_job *job) {
    (void)w, (void)job;
    skua__mutex_lock(&gate.lock);
    gate.begun = true;
    skua__cond_broadcast(&gate.changed);
    while (!gate.open) {
        skua__cond_wait(&gate.changed, &gate.lock);
    }
    skua__mutex_unlock(&gate.lock);
}

/* An executor of a bounded queue, which is full: a launch waits for room there, and is no failure for that. Nor is its cancel. */
static void
test_split_buffers_wait_for_a_full_executor(void **state) {
    (void)state;
    fake_machine b;
    skua_exec *exec = NULL;
    skua_pool *pool = NULL, *first = NULL;
    skua_job jobs[2];
    open_plain(&b);
    skua_buffer *y = counting_buffer(&b);
    skua__mutex_init(&gate.lock);
    skua__cond_init(&gate.changed);
    gate.begun = gate.open = false;
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1, .queue_tasks = 1), NULL),
                     0);
    assert_int_equal(
        skua_pool_open(&pool, SKUA_POOL_OPTIONS(.exec = exec, .devices = b.devices), NULL), 0);
    register_all(pool);
    for (int i = 0; i < 2; i++) {
        skua_job_init(&jobs[i], wait_at_gate);
        assert_int_equal(skua_exec_submit(exec, &jobs[i]), 0);
        skua__mutex_lock(&gate.lock);
        while (!gate.begun) {
            skua__cond_wait(&gate.changed, &gate.lock);
        }
        skua__mutex_unlock(&gate.lock);
    }
    first = b.pool;
    b.pool = pool;
    skua_pool_future *cancelled = submit(&b, "step", y, NULL, 5, SPLIT);
    skua_pool_future *waits = submit(&b, "step", y, NULL, 1, SPLIT);
    assert_int_equal(skua_pool_wait(cancelled, SKUA_NONE, NULL), SKUA_E_TIMEOUT);
    skua_pool_cancel(cancelled);
    assert_int_equal(outcome(cancelled, NULL), SKUA_OUTCOME_CANCELLED);
    skua__mutex_lock(&gate.lock);
    gate.open = true;
    skua__cond_broadcast(&gate.changed);
    skua__mutex_unlock(&gate.lock);
    must_end_ok(waits);
    assert_holds(y, 3, 1);
    skua_pool_close(pool);
    skua_exec_close(exec);
    b.pool = first;
    skua_buffer_free(y);
    fake_machine_close(&b);
    skua__cond_fini(&gate.changed);
    skua__mutex_fini(&gate.lock);
}

/* A pool that is closed ends those that wait and those that run; the buffers are whoever's they were. */
static void
test_split_buffers_of_a_pool_that_closes(void **state) {
    (void)state;
    enum { LINKS = 20 };
    fake_machine b;
    open_plain(&b);
    skua_buffer *y = counting_buffer(&b);
    skua_pool_future *futures[LINKS];
    for (uint32_t i = 0; i < LINKS; i++) {
        futures[i] = submit(&b, "step", y, NULL, 0, SPLIT);
    }
    b.pool = skua_pool_close(b.pool);
    uint32_t done = 0;
    for (uint32_t i = 0; i < LINKS; i++) {
        bool ok = outcome(futures[i], NULL) == SKUA_OUTCOME_OK;
        assert_true(!ok || done == i); /* in their order */
        done += ok;
    }
    assert_int_equal(buffer_where(y).users, 0);
    assert_int_equal(buffer_item(y, 0), 0);
    skua_buffer_free(y);
    fake_machine_close(&b);
}

/* Whatever memory gives out, it is done or it is not, and nothing of it stays. */
static void
test_split_buffers_without_memory(void **state) {
    (void)state;
    enum { MOST_CALLS = 400 };
    fake_machine b;
    open_plain(&b);
    skua_buffer *y = counting_buffer(&b);
    uint32_t times = 1, done = 0, refused = 0;
    for (long n = 1; n < MOST_CALLS && done < 3; n++) {
        failing_allocator allocator;
        skua_pool *pool = NULL;
        failing_allocator_init(&allocator, 0);
        assert_int_equal(skua_pool_open(&pool,
                                        SKUA_POOL_OPTIONS(.exec = b.exec, .devices = b.devices,
                                                          .allocator = &allocator.hook),
                                        NULL),
                         0);
        register_all(pool);
        atomic_store(&allocator.fail_at, atomic_load(&allocator.calls) + n);
        static uint32_t zeros[N], zero;
        const skua_kernel_arg args[] = {{.buffer = y, .bytes = BYTES},
                                        {.data = zeros, .bytes = BYTES},
                                        {.value = &zero, .bytes = sizeof zero}};
        const skua_launch launch = {.size = sizeof launch,
                                    .kernel = "step",
                                    .global = {N},
                                    .args = args,
                                    .arg_count = 3,
                                    .split = 1};
        skua_pool_future *future = NULL;
        skua_status status = skua_kernel_submit(pool, &launch, &future, NULL);
        bool ok = !status && outcome(future, NULL) == SKUA_OUTCOME_OK;
        if (status) {
            assert_int_equal(status, SKUA_E_NO_MEMORY);
            refused++;
        }
        skua_pool_close(pool);
        assert_int_equal(atomic_load(&allocator.alive), 0);
        assert_int_equal(buffer_where(y).users, 0);
        times = ok ? 3 * times : times;
        done += ok;
        if (ok) {
            assert_holds(y, times, 0);
        } else { /* half written, maybe. All anew */
            skua_buffer_free(y);
            y = counting_buffer(&b);
            times = 1;
        }
    }
    assert_true(done == 3 && refused > 3);
    assert_holds(y, times, 0);
    skua_buffer_free(y);
    fake_machine_close(&b);
}

static void
test_split_buffers_that_cannot_be_split_say_why(void **state) {
    (void)state;
    enum { LARGE = SKUA_TASK_MAX_BYTES + 4096 };
    fake_machine b;
    skua_error err = {0};
    skua_pool_future *future = NULL;
    uint32_t a = 1, few[N];
    open_plain(&b);
    skua_buffer *large = fake_machine_buffer(&b, LARGE), *y = counting_buffer(&b);
    skua_kernel_arg args[] = {{.buffer = large, .bytes = LARGE},
                              {.buffer = y, .bytes = BYTES},
                              {.value = &a, .bytes = sizeof a}};
    skua_launch launch = {.size = sizeof launch,
                          .kernel = "step",
                          .global = {256},
                          .args = args,
                          .arg_count = 3,
                          .split = 1};
    assert_int_equal(skua_kernel_submit(b.pool, &launch, &future, &err), SKUA_E_TOO_BIG);
    assert_non_null(strstr(err.message, "with what its buffers hold"));
    args[0] = (skua_kernel_arg){.buffer = y, .bytes = BYTES};
    args[1] = (skua_kernel_arg){.data = few, .bytes = BYTES};
    launch.global[0] = 100; /* which 1,024 bytes are not as many for each of */
    assert_int_equal(skua_kernel_submit(b.pool, &launch, &future, &err), SKUA_E_BAD_ARGUMENT);
    launch.global[0] = N;
    skua_pool *alone = NULL; /* without cores nobody brings buffers here */
    assert_int_equal(skua_pool_open(&alone, SKUA_POOL_OPTIONS(.devices = b.devices), NULL), 0);
    register_all(alone);
    assert_int_equal(skua_kernel_submit(alone, &launch, &future, &err), SKUA_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "executor"));
    launch.split = 0;
    memset(few, 0, sizeof few);
    assert_int_equal(skua_kernel_submit(alone, &launch, &future, &err), 0);
    must_end_ok(future);
    skua_pool_close(alone);
    assert_holds(y, 3, 1);
    skua_buffer_free(large);
    skua_buffer_free(y);
    fake_machine_close(&b);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_buffers_come_together),
        cmocka_unit_test(test_split_buffers_beside_plain_memory),
        cmocka_unit_test(test_split_buffers_outlive_devices_that_fail),
        cmocka_unit_test(test_split_buffers_of_a_part_that_fails_are_as_they_were),
        cmocka_unit_test(test_split_buffers_that_are_lost_are_told),
        cmocka_unit_test(test_split_buffers_cancels),
        cmocka_unit_test(test_split_buffers_wait_for_a_full_executor),
        cmocka_unit_test(test_split_buffers_of_a_pool_that_closes),
        cmocka_unit_test(test_split_buffers_without_memory),
        cmocka_unit_test(test_split_buffers_that_cannot_be_split_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
