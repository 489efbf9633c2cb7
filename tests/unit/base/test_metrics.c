// SPDX-License-Identifier: MPL-2.0
// The registry of metrics, snapshots of one scope, and counting from several threads.
#include "test.h"

#include <skua-int/metrics.h>
#include <skua-int/thread.h>
#include <string.h>

enum { THREADS = 4, ADDS = 20000 };

static void
test_metrics_registry_is_whole(void **state) {
    (void)state;
    static const char *const prefixes[] = {"", "node.", "handle.", "exec.", "pool.", "batch."};
    size_t count = 0;
    for (; skua_metric_at(count); count++) {
        const skua_metric_info *info = skua_metric_at(count);
        assert_int_equal(info->number, count);
        assert_memory_equal(info->name, prefixes[info->scope], strlen(prefixes[info->scope]));
        assert_true(strlen(info->unit) > 0 && strlen(info->help) > 0);
        for (size_t i = 0; i < count; i++) {
            assert_string_not_equal(skua_metric_at(i)->name, info->name);
        }
    }
    assert_int_equal(count, SKUA__METRICS);
}

static void
test_metrics_snapshot_holds_one_scope(void **state) {
    (void)state;
    skua_metrics metrics;
    skua__metrics_init(&metrics, SKUA_METRIC_POOL);
    skua__metric_add(&metrics, SKUA_M_POOL_SUBMITTED, 5);
    skua__metric_add(&metrics, SKUA_M_POOL_SUBMITTED, 2);
    skua__metric_set(&metrics, SKUA_M_POOL_IN_FLIGHT, -3);
    skua_metric_value values[SKUA__METRICS];
    size_t count = skua_metrics_snapshot(&metrics, values, SKUA__METRICS);
    assert_in_range(count, 2, SKUA__METRICS - 1);
    int seen = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(values[i].info->scope, SKUA_METRIC_POOL);
        if (values[i].info->number == SKUA_M_POOL_SUBMITTED) {
            assert_int_equal(values[i].value, 7);
            seen++;
        } else if (values[i].info->number == SKUA_M_POOL_IN_FLIGHT) {
            assert_true(values[i].value == -3);
            seen++;
        } else {
            assert_int_equal(values[i].value, 0);
        }
    }
    assert_int_equal(seen, 2);
    memset(values, 0, sizeof values);
    assert_int_equal(skua_metrics_snapshot(&metrics, values, 1), count);
    assert_non_null(values[0].info);
    assert_null(values[1].info);
    assert_int_equal(skua_metrics_snapshot(NULL, values, 1), 0);
}

static void *
add_many(void *arg) {
    skua_metrics *metrics = arg;
    for (int i = 0; i < ADDS; i++) {
        skua__metric_add(metrics, SKUA_M_EXEC_TASKS, 1);
    }
    return NULL;
}

static void
test_metrics_threads_lose_no_count(void **state) {
    (void)state;
    skua_metrics metrics;
    skua__metrics_init(&metrics, SKUA_METRIC_EXEC);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(skua__thread_start(&threads[i], "adder", add_many, &metrics, NULL), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        skua__thread_join(threads[i]);
    }
    assert_int_equal(skua__metric_get(&metrics, SKUA_M_EXEC_TASKS), THREADS * ADDS);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics_registry_is_whole),
        cmocka_unit_test(test_metrics_snapshot_holds_one_scope),
        cmocka_unit_test(test_metrics_threads_lose_no_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
