// SPDX-License-Identifier: MPL-2.0
// Buffers in a pool's launches when places fail, launches are cancelled, memory is short, and pools and buffers go.
#include "pool_buffers_bench.h"

#include "failing_allocator.h"
#include <skua-int/rand.h>

/* ---- What goes wrong ---- */

static void
test_pool_buffer_faults_a_launch_moves_on_when_its_device_fails(void **state) {
    (void)state;
    fake_machine b;
    open_plain(&b);
    skua_buffer *y = fake_machine_buffer(&b, BYTES), *x = fake_machine_buffer(&b, BYTES);
    char message[SKUA_TASK_MESSAGE_BYTES];
    /* The host has what it reads: another place does it, once. */
    for (int device = 0; device < DEVICES; device++) {
        skua__fake_set_faults(b.fakes[device], &(skua__fake_faults){.loss_at = 1});
    }
    must_end_ok(submit(&b, "step", y, x, 4, -1));
    skua_pool_future *more[3];
    for (int i = 0; i < 3; i++) {
        more[i] = submit(&b, "step", y, x, 4, -1);
    }
    for (int i = 0; i < 3; i++) {
        must_end_ok(more[i]);
    }
    assert_int_equal(buffer_item(y, 2), ((4 * 3 + 4) * 3 + 4) * 3 + 4);
    for (int device = 0; device < DEVICES; device++) {
        skua__fake_set_faults(b.fakes[device], &(skua__fake_faults){0});
    }
    /* Only the device that fails has it: that is told at once, and what comes after it too, until all of it is new. */
    must_end_ok(submit(&b, "step", y, x, 1, 0));
    skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){.loss_at = 1});
    skua_pool_future *lost = submit(&b, "step", y, x, 1, 0);
    skua_pool_future *after = submit(&b, "step", y, x, 1, -1);
    assert_int_equal(outcome(lost, message), SKUA_OUTCOME_EXIT);
    assert_non_null(strstr(message, "device"));
    assert_int_equal(outcome(after, message), SKUA_OUTCOME_EXIT);
    assert_non_null(strstr(message, "write all of it anew"));
    assert_true(buffer_where(y).lost);
    skua__fake_set_faults(b.fakes[0], &(skua__fake_faults){0});
    must_end_ok(submit(&b, "make", y, x, 8, -1));
    must_end_ok(submit(&b, "step", y, x, 1, 1));
    assert_int_equal(buffer_item(y, 2), 25);
    skua_buffer_free(y);
    skua_buffer_free(x);
    fake_machine_close(&b);
}

static void
test_pool_buffer_faults_random_failures_lose_or_do_every_launch_once(void **state) {
    (void)state;
    enum { ROUNDS = 40, LINKS = 12 };
    skua__rand rand = {.state = test_seed(5)};
    int lost_rounds = 0;
    for (int round = 0; round < ROUNDS;
         round++) { /* with new devices: none rests from the last one */
        fake_machine b;
        open_with(&b, (skua__fake_options[DEVICES]){{0}, {0}}, (bool[DEVICES]){false, true});
        skua_buffer *y = fake_machine_buffer(&b, BYTES), *x = fake_machine_buffer(&b, BYTES);
        skua__fake_set_faults(b.fakes[round % DEVICES],
                              &(skua__fake_faults){.loss_at = 1 + skua__rand_below(&rand, LINKS),
                                                   .memory_at = skua__rand_below(&rand, LINKS),
                                                   .memory_times = skua__rand_below(&rand, 3)});
        skua_pool_future *futures[LINKS];
        for (uint32_t i = 0; i < LINKS; i++) {
            futures[i] = submit(&b, i % 4 ? "step-devices" : "step", y, x, i, -1);
        }
        bool all = true;
        uint32_t expected = 0;
        for (uint32_t i = 0; i < LINKS; i++) {
            bool ok = outcome(futures[i], NULL) == SKUA_OUTCOME_OK;
            assert_true(all || !ok); /* nothing is built on what was lost */
            all = all && ok;
            expected = 3 * expected + i;
        }
        assert_int_equal(buffer_where(y).lost, !all);
        if (all) {
            assert_int_equal(buffer_item(y, 5), expected);
        }
        lost_rounds += !all;
        skua_buffer_free(y);
        skua_buffer_free(x);
        fake_machine_close(&b);
    }
    print_message("lost in %d of %d rounds\n", lost_rounds, ROUNDS);
    assert_true(lost_rounds > 0 && lost_rounds < ROUNDS);
}

static void
test_pool_buffer_faults_a_function_that_fails_keeps_no_turn(void **state) {
    (void)state;
    fake_machine b;
    open_plain(&b);
    skua_buffer *y = fake_machine_buffer(&b, BYTES), *x = fake_machine_buffer(&b, BYTES);
    must_end_ok(submit(&b, "make", y, x, 6, 0));
    skua_pool_future *first = submit(&b, "fail", y, x, 1, -1);
    skua_pool_future *second = submit(&b, "step", y, x, 1, 1);
    assert_int_equal(outcome(first, NULL), SKUA_OUTCOME_EXIT);
    must_end_ok(second);
    assert_int_equal(buffer_item(y, 0), 19); /* the device still had what it was before */
    skua_buffer_free(y);
    skua_buffer_free(x);
    fake_machine_close(&b);
}

/* ---- Cancels and ends ---- */

static void
test_pool_buffer_faults_cancel_while_it_waits_for_its_turn(void **state) {
    (void)state;
    fake_machine b;
    open_plain(&b);
    skua_buffer *y = fake_machine_buffer(&b, BYTES);
    void *data = NULL;
    assert_int_equal(skua_buffer_map(y, SKUA_MAP_READ_WRITE, &data, NULL), 0);
    skua_pool_future *futures[6];
    for (uint32_t i = 0; i < 6; i++) {
        futures[i] = submit(&b, "step", y, NULL, i, (int)(i % (DEVICES + 1)));
    }
    skua_pool_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_pool_stats(b.pool, &counters, NULL), 0);
    assert_int_equal(counters.waiting, 6);
    for (uint32_t i = 0; i < 6; i += 2) {
        skua_pool_cancel(futures[i]);
        assert_int_equal(skua_pool_wait(futures[i], SKUA_NONE, NULL), 0); /* at once */
    }
    assert_int_equal(buffer_where(y).users, 4); /* three, and the mapping */
    assert_int_equal(skua_buffer_unmap(y, NULL), 0);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(outcome(futures[i], NULL),
                         i % 2 ? SKUA_OUTCOME_OK : SKUA_OUTCOME_CANCELLED);
    }
    assert_int_equal(buffer_item(y, 0), (1 * 3 + 3) * 3 + 5);
    skua_buffer_free(y);
    fake_machine_close(&b);
}

/* A cancel ends the task, but not the launch that the device has: what comes after it waits for that. */
static void
test_pool_buffer_faults_cancel_of_a_launch_that_runs_keeps_its_turn(void **state) {
    (void)state;
    fake_machine b;
    open_plain(&b);
    skua_buffer *y = fake_machine_buffer(&b, BYTES);
    must_end_ok(submit(&b, "make", y, NULL, 2, 0));
    skua__mutex_init(&gate.lock);
    skua__cond_init(&gate.changed);
    skua_pool_future *first = submit(&b, "gate", y, NULL, 1, 0);
    skua_pool_future *second = submit(&b, "step", y, NULL, 10, CORES);
    skua__mutex_lock(&gate.lock);
    while (!gate.begun) {
        skua__cond_wait(&gate.changed, &gate.lock);
    }
    skua__mutex_unlock(&gate.lock);
    skua_pool_cancel(first);
    assert_int_equal(outcome(first, NULL), SKUA_OUTCOME_CANCELLED);
    assert_int_equal(skua_pool_wait(second, SKUA_NONE, NULL), SKUA_E_TIMEOUT);
    assert_int_equal(buffer_where(y).users, 2);
    skua__mutex_lock(&gate.lock);
    gate.open = true;
    skua__cond_broadcast(&gate.changed);
    skua__mutex_unlock(&gate.lock);
    must_end_ok(second);
    assert_int_equal(buffer_item(y, 0), (2 * 3 + 1) * 3 + 10);
    skua_buffer_free(y);
    fake_machine_close(&b);
}

static void
test_pool_buffer_faults_close_ends_what_waits_for_its_turn(void **state) {
    (void)state;
    fake_machine b;
    open_plain(&b);
    skua_buffer *y = fake_machine_buffer(&b, BYTES);
    void *data = NULL;
    assert_int_equal(skua_buffer_map(y, SKUA_MAP_OVERWRITE, &data, NULL), 0);
    skua_pool_future *futures[8];
    for (uint32_t i = 0; i < 8; i++) {
        futures[i] = submit(&b, "step", y, NULL, i, (int)(i % (DEVICES + 2)) - 1);
    }
    skua_pool_close(b.pool); /* though y is mapped still */
    b.pool = NULL;
    for (uint32_t i = 0; i < 8; i++) {
        skua_task_result result = {.size = sizeof result};
        assert_int_equal(skua_pool_result(futures[i], &result, NULL), 0);
        assert_int_equal(result.outcome, SKUA_OUTCOME_CANCELLED);
        skua_pool_future_free(futures[i]);
    }
    assert_int_equal(buffer_where(y).users, 1);
    assert_int_equal(skua_buffer_unmap(y, NULL), 0);
    skua_buffer_free(y);
    fake_machine_close(&b);
}

static void
test_pool_buffer_faults_free_waits_for_the_launches(void **state) {
    (void)state;
    fake_machine b;
    open_with(&b, (skua__fake_options[DEVICES]){{.launch_ns = 100000}, {.launch_ns = 100000}},
              (bool[DEVICES]){false, true});
    for (int round = 0; round < 20; round++) {
        skua_buffer *y = fake_machine_buffer(&b, BYTES), *x = fake_machine_buffer(&b, BYTES);
        skua_pool_future *futures[4];
        for (uint32_t i = 0; i < 4; i++) {
            futures[i] = submit(&b, "step", y, x, i, (int)((i + (uint32_t)round) % (DEVICES + 1)));
        }
        skua_buffer_free(y); /* neither has waited for anything */
        for (uint32_t i = 0; i < 4; i++) {
            must_end_ok(futures[i]);
        }
        skua_buffer_free(x);
    }
    fake_machine_close(&b);
}

static void
test_pool_buffer_faults_bad_use_is_an_error(void **state) {
    (void)state;
    fake_machine b;
    open_plain(&b);
    skua_devices *others = NULL;
    assert_int_equal(skua_devices_open(&others, SKUA_DEVICES_OPTIONS(.cache_dir = ""), NULL), 0);
    skua_buffer *foreign = NULL, *y = fake_machine_buffer(&b, BYTES);
    assert_int_equal(skua_buffer_new(others, &foreign, SKUA_BUFFER_OPTIONS(.bytes = BYTES), NULL),
                     0);
    uint32_t a = 1;
    skua_kernel_arg args[] = {{.buffer = foreign, .bytes = BYTES},
                              {.buffer = foreign, .bytes = BYTES},
                              {.value = &a, .bytes = sizeof a}};
    skua_launch launch = {
        .size = sizeof launch, .kernel = "make", .global = {N}, .args = args, .arg_count = 3};
    skua_error err = {0};
    skua_pool_future *future = NULL;
    assert_int_equal(skua_kernel_submit(b.pool, &launch, &future, &err), SKUA_E_BAD_ARGUMENT);
    args[1].buffer = y;
    assert_int_equal(skua_kernel_submit(b.pool, &launch, &future, &err), SKUA_E_BAD_ARGUMENT);
    args[0].buffer = y; /* it would be read and written */
    assert_int_equal(skua_kernel_submit(b.pool, &launch, &future, &err), SKUA_E_BAD_ARGUMENT);
    args[1].buffer = foreign;
    assert_int_equal(skua_kernel_submit(b.pool, &launch, &future, &err), SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "devices"));
    char message[SKUA_TASK_MESSAGE_BYTES];
    assert_int_equal(outcome(submit(&b, "fail", y, NULL, 1, 0), message), SKUA_OUTCOME_REFUSED);
    assert_int_equal(buffer_where(y).users, 0);
    skua_buffer_free(foreign);
    skua_buffer_free(y);
    skua_devices_close(others);
    fake_machine_close(&b);
}

/* A submission that finds no memory takes no turn. */
static void
test_pool_buffer_faults_submit_without_memory(void **state) {
    (void)state;
    fake_machine b;
    open_plain(&b);
    skua_buffer *y = fake_machine_buffer(&b, BYTES);
    failing_allocator allocator;
    uint32_t expected = 0;
    for (long n = 1;; n++) {
        failing_allocator_init(&allocator, 0);
        skua_pool *pool = NULL;
        assert_int_equal(skua_pool_open(&pool,
                                        SKUA_POOL_OPTIONS(.exec = b.exec, .devices = b.devices,
                                                          .allocator = &allocator.hook),
                                        NULL),
                         0);
        register_all(pool);
        atomic_store(&allocator.fail_at, atomic_load(&allocator.calls) + n);
        uint32_t a = 1;
        static const uint32_t zeros[N];
        skua_kernel_arg args[] = {{.buffer = y, .bytes = BYTES},
                                  {.data = (void *)(uintptr_t)zeros, .bytes = BYTES},
                                  {.value = &a, .bytes = sizeof a}};
        const skua_launch launch = {.size = sizeof launch,
                                    .kernel = "step",
                                    .global = {N},
                                    .args = args,
                                    .arg_count = 3,
                                    .on = SKUA_ON_CORES};
        skua_pool_future *future = NULL;
        skua_status status = skua_kernel_submit(pool, &launch, &future, NULL);
        bool ok = false;
        if (!status) {
            ok = outcome(future, NULL) == SKUA_OUTCOME_OK;
            expected = ok ? 3 * expected + 1 : expected;
        } else {
            assert_int_equal(status, SKUA_E_NO_MEMORY);
            assert_int_equal(buffer_where(y).users, 0);
        }
        skua_pool_close(pool);
        assert_int_equal(atomic_load(&allocator.alive), 0);
        if (ok) {
            assert_true(n > 4);
            break;
        }
    }
    assert_int_equal(buffer_item(y, 0), expected);
    skua_buffer_free(y);
    fake_machine_close(&b);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_buffer_faults_a_launch_moves_on_when_its_device_fails),
        cmocka_unit_test(test_pool_buffer_faults_random_failures_lose_or_do_every_launch_once),
        cmocka_unit_test(test_pool_buffer_faults_a_function_that_fails_keeps_no_turn),
        cmocka_unit_test(test_pool_buffer_faults_cancel_while_it_waits_for_its_turn),
        cmocka_unit_test(test_pool_buffer_faults_cancel_of_a_launch_that_runs_keeps_its_turn),
        cmocka_unit_test(test_pool_buffer_faults_close_ends_what_waits_for_its_turn),
        cmocka_unit_test(test_pool_buffer_faults_free_waits_for_the_launches),
        cmocka_unit_test(test_pool_buffer_faults_bad_use_is_an_error),
        cmocka_unit_test(test_pool_buffer_faults_submit_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
