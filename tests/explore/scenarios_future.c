// SPDX-License-Identifier: MPL-2.0
// Futures: one outcome, seen by all, and memory that lives as long as the last reference and not longer.
#include "scenarios.h"

#include <pthread.h>

typedef struct work {
    skua_exec *exec;
    skua_future *future;
    uint32_t runs;
    uint32_t value;
} work;

static skua_status
run_work(skua_worker w, void *arg, void **ret_value) {
    (void)w;
    work *it = arg;
    explore_check(it->runs++ == 0, "a future runs once");
    it->value = 7;
    *ret_value = it;
    return SKUA_OK;
}

static skua_status
run_after(skua_worker w, skua_future *done, void *arg, void **ret_value) {
    (void)w;
    work *it = arg;
    void *before = NULL;
    explore_check(skua_future_done(done), "what it follows is done");
    it->runs++;
    it->value = 8;
    skua_status status = skua_future_get(done, 0, &before, NULL);
    if (status == SKUA_OK) {
        explore_check(((work *)before)->value == 7, "and its value is there");
    }
    *ret_value = it;
    return status;
}

static void
get_both(skua_worker w, void *frame) {
    (void)w;
    work *it = frame;
    work *after = explore_new(sizeof *after);
    skua_future *second = NULL;
    void *value = NULL;
    explore_check(skua_future_then(&second, it->future, run_after, after, NULL, NULL) == SKUA_OK,
                  "then");
    explore_check(skua_future_get(second, 0, &value, NULL) == SKUA_OK && value == after, "get");
    explore_check(after->runs == 1 && after->value == 8, "the follower ran");
    skua_future_unref(second);
    skua_future_unref(it->future);
}

static void *
get_outside(void *arg) {
    skua_future *future = arg;
    void *value = NULL;
    skua_status status = SKUA_E_TIMEOUT;
    while (status == SKUA_E_TIMEOUT) {
        status = skua_future_get(future, 1 + explore_below(3), &value, NULL);
    }
    explore_check(status == SKUA_OK && ((work *)value)->value == 7, "an outsider gets the value");
    skua_future_unref(future);
    return NULL;
}

/* Started outside; a worker and an outsider get it, each with a reference. */
void
scenario_future(void) {
    skua_exec *exec = scenario_open(1 + (int32_t)explore_below(2), 1);
    work *it = explore_new(sizeof *it);
    it->exec = exec;
    explore_check(skua_future_start(&it->future, exec, run_work, it, NULL, NULL) == SKUA_OK,
                  "start");
    pthread_t thread;
    pthread_create(&thread, NULL, get_outside, skua_future_ref(it->future));
    explore_check(skua_exec_run(exec, get_both, it, NULL) == SKUA_OK, "run");
    pthread_join(thread, NULL);
    skua_exec_close(exec);
    explore_check(it->runs == 1, "the future ran");
}

static void *
keep_promise(void *arg) {
    work *it = arg;
    it->value = 7;
    skua_status status = skua_future_complete(it->future, SKUA_OK, it);
    explore_check(status == SKUA_OK || status == SKUA_E_EXISTS, "complete");
    it->runs = status == SKUA_OK;
    skua_future_unref(it->future);
    return NULL;
}

static skua_status
run_follower(skua_worker w, skua_future *done, void *arg, void **ret_value) {
    (void)w;
    void *before = NULL;
    skua_status status = skua_future_get(done, SKUA_NONE, &before, NULL);
    explore_check(status == SKUA_OK ? ((work *)before)->value == 7 : status == SKUA_E_CANCELLED,
                  "a follower sees the promise's end");
    *(uint32_t *)arg += 1;
    *ret_value = arg;
    return status;
}

/* Two want to complete it, or nobody does; one follows it meanwhile. */
void
scenario_promise(void) {
    skua_exec *exec = scenario_open(1, 0);
    skua_future *promise = NULL, *follower = NULL;
    uint32_t *followed = explore_new(sizeof *followed);
    explore_check(skua_future_promise(&promise, exec, NULL) == SKUA_OK, "promise");
    uint32_t count = explore_below(3);
    work *works[2];
    pthread_t threads[2];
    for (uint32_t i = 0; i < count; i++) {
        works[i] = explore_new(sizeof *works[i]);
        works[i]->future = skua_future_ref(promise);
        pthread_create(&threads[i], NULL, keep_promise, works[i]);
    }
    explore_check(skua_future_then(&follower, promise, run_follower, followed, NULL, NULL) ==
                      SKUA_OK,
                  "then");
    skua_future_unref(promise);
    skua_status status = skua_future_get(follower, 0, NULL, NULL);
    explore_check(status == (count ? SKUA_OK : SKUA_E_CANCELLED), "the follower's end");
    explore_check(*followed == 1, "the follower ran once");
    skua_future_unref(follower);
    uint32_t first = 0;
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        first += works[i]->runs;
    }
    explore_check(first == (count ? 1 : 0), "one of them was the first");
    skua_exec_close(exec);
}

/* ---- A line ---- */

static skua_status
run_in_line(skua_worker w, skua_future *done, void *arg, void **ret_value) {
    (void)w, (void)ret_value;
    explore_check(skua_future_done(done), "what it follows is done");
    ++*(uint32_t *)arg;
    return SKUA_OK;
}

typedef struct last {
    skua_future *future;
    skua_status status;
} last;

static void
get_last(skua_worker w, void *frame) {
    (void)w;
    last *it = frame;
    it->status = skua_future_get(it->future, 0, NULL, NULL);
    skua_future_unref(it->future);
}

/* The only worker waits for the last of a line, whose first is a promise that a thread keeps: it has to run the others itself. */
void
scenario_line(void) {
    skua_exec *exec = scenario_open(1, 0);
    uint32_t *runs = explore_new(sizeof *runs);
    work *first = explore_new(sizeof *first);
    last *it = explore_new(sizeof *it);
    explore_check(skua_future_promise(&first->future, exec, NULL) == SKUA_OK, "promise");
    it->future = skua_future_ref(first->future);
    for (int i = 0; i < 2; i++) {
        skua_future *next = NULL;
        explore_check(skua_future_then(&next, it->future, run_in_line, runs, NULL, NULL) == SKUA_OK,
                      "then");
        skua_future_unref(it->future);
        it->future = next;
    }
    pthread_t thread;
    pthread_create(&thread, NULL, keep_promise, first);
    explore_check(skua_exec_run(exec, get_last, it, NULL) == SKUA_OK, "run");
    explore_check(it->status == SKUA_OK && *runs == 2, "each in the line ran once");
    pthread_join(thread, NULL);
    skua_exec_close(exec);
}
