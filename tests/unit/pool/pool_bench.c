// SPDX-License-Identifier: MPL-2.0
// The bench of the pool's unit tests.
#include "pool_bench.h"

#include <string.h>

static void
door_init(struct door *door, int open) {
    memset(door, 0, sizeof *door);
    skua__mutex_init(&door->lock);
    skua__cond_init(&door->moved);
    door->open = open;
}

static void
door_fini(struct door *door) {
    skua__cond_fini(&door->moved);
    skua__mutex_fini(&door->lock);
}

void
door_let(struct door *door, int count) {
    skua__mutex_lock(&door->lock);
    door->open += count;
    skua__cond_broadcast(&door->moved);
    skua__mutex_unlock(&door->lock);
}

void
door_await(struct door *door, int waiting) {
    skua__mutex_lock(&door->lock);
    while (door->waiting < waiting) {
        assert_true(skua__cond_wait_until(&door->moved, &door->lock, skua__deadline_ns(20000)));
    }
    skua__mutex_unlock(&door->lock);
}

int
run_door(skua_task_call *call, void *arg) {
    struct door *door = arg;
    size_t size;
    const char *input = skua_task_input(call, &size);
    skua__mutex_lock(&door->lock);
    if (size && door->ordered < sizeof door->order - 1) {
        door->order[door->ordered++] = input[0];
    }
    door->waiting++;
    skua__cond_broadcast(&door->moved);
    while (door->passed >= door->open && !skua_task_cancelled(call)) {
        skua__cond_wait_until(&door->moved, &door->lock, skua__deadline_ns(5));
    }
    door->passed++;
    skua__mutex_unlock(&door->lock);
    int64_t until_ns = skua__clock_ns() + door->work_ns;
    while (door->work_ns && skua__clock_ns() < until_ns) { /* work of a known length */
    }
    return 0;
}

int
run_upper(skua_task_call *call, void *arg) {
    (void)arg;
    size_t size;
    const char *input = skua_task_input(call, &size);
    void *room;
    if (skua_task_output(call, size, &room)) {
        return skua_task_fail(call, 9, "no room");
    }
    for (size_t i = 0; i < size; i++) {
        ((char *)room)[i] = (char)(input[i] & ~0x20);
    }
    return 0;
}

static int
run_fail(skua_task_call *call, void *arg) {
    return skua_task_fail(call, *(int *)arg, "it was not to be");
}

void
bench_open(struct bench *bench, uint32_t window, int workers) {
    skua_error err = {0};
    memset(bench, 0, sizeof *bench);
    door_init(&bench->door, 0);
    bench->code = 3;
    assert_int_equal(skua_exec_open(&bench->exec, SKUA_EXEC_OPTIONS(.workers = workers), &err), 0);
    assert_int_equal(skua_pool_open(&bench->pool,
                                    SKUA_POOL_OPTIONS(.exec = bench->exec, .window_tasks = window),
                                    &err),
                     0);
    assert_int_equal(skua_pool_register(bench->pool, "door", 1, run_door, &bench->door, &err), 0);
    assert_int_equal(skua_pool_register(bench->pool, "upper", 1, run_upper, NULL, &err), 0);
    assert_int_equal(skua_pool_register(bench->pool, "fail", 1, run_fail, &bench->code, &err), 0);
}

void
bench_close(struct bench *bench) {
    assert_null(skua_pool_close(bench->pool));
    skua_exec_close(bench->exec);
    door_fini(&bench->door);
}

skua_pool_future *
submit(struct bench *bench, const skua_task *task) {
    skua_error err = {0};
    skua_pool_future *future = NULL;
    if (skua_pool_submit(bench->pool, task, &future, &err)) {
        print_error("%s %s\n", err.code, err.message);
        fail();
    }
    return future;
}

skua_task_result
result_of(skua_pool_future *future) {
    skua_error err = {0};
    skua_task_result result = {.size = sizeof result};
    assert_int_equal(skua_pool_wait(future, 20000, &err), 0);
    assert_int_equal(skua_pool_result(future, &result, &err), 0);
    return result;
}
