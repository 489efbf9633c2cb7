// SPDX-License-Identifier: MPL-2.0
// How split launches end: failures, cancels and deadlines of parts are those of the whole, with no memory and from many threads.
#include "failing_allocator.h"
#include "split_bench.h"

#include <pthread.h>
#include <skua-int/rand.h>
#include <string.h>

static void
test_split_parts_of_a_device_that_fails_go_elsewhere(void **state) {
    (void)state;
    static const skua__fake_faults faults[] = {
        {.loss_at = 1}, {.submit_at = 1}, {.memory_at = 1, .memory_times = 3}, {.builds = 1}};
    static shot s;
    skua__rand rand = {.state = test_seed(5)};
    for (size_t i = 0; i < 2 * sizeof faults / sizeof faults[0]; i++) {
        fake_machine b;
        open_bench(&b, &(bench_options){0});
        skua__fake_set_faults(b.fakes[i % FAKES], &faults[i / FAKES]);
        aim(&s, 100 + skua__rand_below(&rand, 4000), 1); /* nothing is known: all have a part */
        fire(&b, &s);
        collect(&b, &s);
        assert_true(share_at(&b, 1 + i % FAKES).failures > 0);
        for (int round = 0; round < 10; round++) {
            aim(&s, 1 + skua__rand_below(&rand, 4000), 1);
            fire(&b, &s);
            collect(&b, &s);
        }
        fake_machine_close(&b);
    }
}

static void
expect_end(shot *s, skua_outcome outcome, skua_task_result *ret) {
    assert_int_equal(skua_pool_wait(s->future, WAIT_MS, NULL), 0);
    *ret = (skua_task_result){.size = sizeof *ret};
    assert_int_equal(skua_pool_result(s->future, ret, NULL), 0);
    assert_int_equal(ret->outcome, outcome);
    assert_int_equal(s->out[0], 0xdead);
}

static void
test_split_is_cancelled_with_all_of_its_parts(void **state) {
    (void)state;
    static shot s;
    skua_task_result result;
    fake_machine b;
    open_bench(&b, &(bench_options){0});
    hang(&b);
    aim(&s, 4000, 1);
    fire(&b, &s);
    skua_pool_cancel(s.future);
    assert_int_equal(skua_pool_wait(s.future, SKUA_NONE, NULL), 0); /* at once */
    expect_end(&s, SKUA_OUTCOME_CANCELLED, &result);
    assert_int_equal(skua_kernel_collect(b.pool, &s.launch, s.future, 0, NULL), SKUA_E_CANCELLED);
    skua_pool_future_free(s.future);
    unhang(&b);
    skua_pool_counters counters = {.size = sizeof counters};
    do { /* the parts end when nothing uses their memory any more */
        assert_int_equal(skua_pool_stats(b.pool, &counters, NULL), 0);
    } while (counters.in_flight);
    assert_true(counters.ended[SKUA_OUTCOME_CANCELLED] >= 3); /* it, and the two that hang */
    assert_int_equal(counters.ended[SKUA_OUTCOME_CANCELLED] + counters.ended[SKUA_OUTCOME_OK], 4);
    aim(&s, 4000, 1);
    fire(&b, &s);
    collect(&b, &s);
    fake_machine_close(&b);
}

static void
test_split_has_one_deadline(void **state) {
    (void)state;
    static shot s;
    skua_task_result result;
    fake_machine b;
    open_bench(&b, &(bench_options){0});
    hang(&b);
    aim(&s, 4000, 1);
    s.launch.timeout_ms = 20;
    fire(&b, &s);
    expect_end(&s, SKUA_OUTCOME_TIMEOUT, &result);
    skua_pool_future_free(s.future);
    s.launch.timeout_ms = SKUA_NONE; /* it is over before it begins */
    fire(&b, &s);
    expect_end(&s, SKUA_OUTCOME_TIMEOUT, &result);
    skua_pool_future_free(s.future);
    unhang(&b);
    fake_machine_close(&b);
}

static void
test_split_ends_with_the_error_of_a_part(void **state) {
    (void)state;
    static shot s;
    skua_task_result result;
    fake_machine b;
    open_bench(&b, &(bench_options){0});
    for (int last = 0; last < 2; last++) {
        if (!last) {
            hang(&b); /* nobody waits for the others */
        }
        /* The first index is the cores'; the last one is a device's, which cannot do it, and nor can anybody else. */
        atomic_store(&stop_at, last ? 4000 : 1);
        aim(&s, 4000, 1);
        fire(&b, &s);
        expect_end(&s, SKUA_OUTCOME_EXIT, &result);
        printf("%s\n", result.message);
        assert_int_equal(result.code, 1);
        assert_non_null(strstr(result.message, "returned 7 (the part from index "));
        assert_non_null(strstr(result.message, last ? " to 3999, on local)" : "index 0 to "));
        assert_int_equal(skua_kernel_collect(b.pool, &s.launch, s.future, 0, NULL),
                         SKUA_E_TASK_FAILED);
        assert_int_equal(s.out[0], 0xdead);
        skua_pool_future_free(s.future);
        unhang(&b);
        skua_pool_counters counters = {.size = sizeof counters};
        do {
            assert_int_equal(skua_pool_stats(b.pool, &counters, NULL), 0);
        } while (counters.in_flight);
        /* The parts that hung were cancelled, or not even submitted. */
        assert_true(last || counters.ended[SKUA_OUTCOME_OK] == 0);
    }
    fake_machine_close(&b);
}

static void
test_split_survives_without_memory(void **state) {
    (void)state;
    static shot s;
    failing_allocator allocator;
    bool done = false;
    for (long n = 1; !done; n++) {
        fake_machine b;
        failing_allocator_init(&allocator, 0);
        open_bench(&b, &(bench_options){.hook = &allocator.hook, .no_exec = true});
        aim(&s, 3000, 1);
        long first = atomic_load(&allocator.calls);
        atomic_store(&allocator.fail_at, first + n);
        skua_status status = skua_kernel_submit(b.pool, &s.launch, &s.future, NULL);
        atomic_store(&allocator.fail_at, 0);
        if (status) {
            assert_int_equal(status, SKUA_E_NO_MEMORY);
            assert_null(s.future);
        } else { /* what has no memory on a device's thread ends, what has none before waits */
            status = skua_kernel_collect(b.pool, &s.launch, s.future, WAIT_MS, NULL);
            assert_true(status == SKUA_OK || status == SKUA_E_TASK_FAILED);
            skua_pool_future_free(s.future);
            done = atomic_load(&allocator.calls) < first + n;
        }
        fake_machine_close(&b);
        assert_int_equal(atomic_load(&allocator.alive), 0);
    }
}

/* ---- Many at once ---- */

enum { THREADS = 4, EACH = 40 };

typedef struct crowd {
    fake_machine *b;
    uint64_t seed;
    shot s;
} crowd;

/* Launches of all sizes, a third of them cancelled at once. The last ones are left behind. */
static void *
launch_many(void *arg) {
    crowd *self = arg;
    skua__rand rand = {.state = self->seed};
    for (int i = 0; i < EACH; i++) {
        aim(&self->s, 1 + skua__rand_below(&rand, 3000), 1);
        fire(self->b, &self->s);
        if (skua__rand_below(&rand, 3) == 0) {
            skua_pool_cancel(self->s.future);
            skua_status status =
                skua_kernel_collect(self->b->pool, &self->s.launch, self->s.future, WAIT_MS, NULL);
            assert_true(status == SKUA_OK || status == SKUA_E_CANCELLED);
            skua_pool_future_free(self->s.future);
        } else if (i + 1 < EACH) {
            collect(self->b, &self->s);
        } else {
            skua_pool_future_free(self->s.future); /* nobody hears of it */
        }
    }
    return NULL;
}

static void
test_split_from_many_threads_and_closed_under_way(void **state) {
    (void)state;
    static crowd crowds[THREADS];
    skua__rand rand = {.state = test_seed(9)};
    pthread_t threads[THREADS];
    fake_machine b;
    open_bench(&b, &(bench_options){.fakes = {{.launch_ns = 20000}, {.copy_ns = 5000}}});
    for (int i = 0; i < THREADS; i++) {
        crowds[i].b = &b;
        crowds[i].seed = skua__rand_below(&rand, UINT32_MAX);
        assert_int_equal(pthread_create(&threads[i], NULL, launch_many, &crowds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    fake_machine_close(&b);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_parts_of_a_device_that_fails_go_elsewhere),
        cmocka_unit_test(test_split_is_cancelled_with_all_of_its_parts),
        cmocka_unit_test(test_split_has_one_deadline),
        cmocka_unit_test(test_split_ends_with_the_error_of_a_part),
        cmocka_unit_test(test_split_survives_without_memory),
        cmocka_unit_test(test_split_from_many_threads_and_closed_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
