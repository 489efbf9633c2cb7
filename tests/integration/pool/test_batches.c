// SPDX-License-Identifier: MPL-2.0
// Batches of a kernel that only peers run: one launch for all requests travels, each is answered, and when the peer is killed in
// the middle of a batch its requests are answered by another one, or told that they are lost.
#include "crew.h"

#include <fcntl.h>
#include <signal.h>
#include <skua-int/fake_device.h>
#include <skua-int/launch.h>
#include <skua/batch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROW = 8, REQUESTS = 200, FULL = 10 };

static const skua_param_kind params[] = {SKUA_PARAM_IN, SKUA_PARAM_IN, SKUA_PARAM_OUT};

/* For each request, the product of its row and the weights. */
static int
product(const skua_kernel_call *call, void *arg) {
    (void)arg;
    const uint32_t *x = call->args[0], *w = call->args[1];
    uint32_t *y = call->args[2];
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = 0;
        for (uint64_t k = 0; k < ROW; k++) {
            y[i] += x[i * ROW + k] * w[k];
        }
    }
    return 0;
}

/* The device's: it says in which process it is, and waits until somebody opens the gate (a FIFO) for writing. */
static int
gate(const skua_kernel_call *call, void *arg) {
    crew_leave_mark("at", "", 0);
    close(open(getenv("SKUA_TEST_GATE"), O_RDONLY | O_CLOEXEC));
    return product(call, arg);
}

static int
check(const skua_launch *launch, void *arg) {
    (void)arg;
    return launch->args[0].bytes != launch->global[0] * ROW * 4 ||
           launch->args[1].bytes != ROW * 4 || launch->args[2].bytes != launch->global[0] * 4;
}

/* Nobody's cores can do it: only the peers' devices. */
static void
offer(skua_pool *pool) {
    static const char *const names[] = {"product", "gate"};
    skua_error err = {0};
    for (size_t i = 0; i < 2; i++) {
        must(skua_kernel_register(pool, names[i],
                                  SKUA_KERNEL_SPEC(.source = "kernel", .params = params,
                                                   .param_count = 3, .guarded = 1, .check = check,
                                                   .sliced = 5),
                                  &err),
             &err);
    }
}

static skua_devices *
open_devices(void) {
    static const skua__fake_entry entries[] = {{.name = "product", .fn = product, .guarded = true},
                                               {.name = "gate", .fn = gate, .guarded = true}};
    skua_devices *devices = NULL;
    static skua__fake *fake; /* it ends with the process */
    fake = skua__fake_new(&(skua__fake_options){.entries = entries, .entry_count = 2});
    skua_device_info info = skua__fake_info(UINT64_C(1) << 30);
    if (skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cache_dir = ""), NULL) ||
        skua__devices_add(devices, skua__fake_driver(), fake, &info)) {
        abort();
    }
    return devices;
}

/* ---- The submitter's side ---- */

typedef struct team {
    crew_team crew;
    crew_bench bench;
    skua_batch *batch;
    skua_batch_future *futures[REQUESTS];
    char gate[64];
} team;

static void
team_open(team *self, int workers, const char *kernel, uint8_t split) {
    static const uint32_t weights[ROW] = {1, 2, 3, 4, 5, 6, 7, 8};
    const skua_kernel_arg args[] = {{.bytes = ROW * 4},
                                    {.data = (void *)(uintptr_t)weights, .bytes = sizeof weights},
                                    {.bytes = 4}};
    skua_error err = {0};
    memset(self, 0, sizeof *self);
    snprintf(self->gate, sizeof self->gate, "/tmp/skua-gate-%d", (int)getpid());
    unlink(self->gate);
    assert_int_equal(mkfifo(self->gate, 0600), 0);
    setenv("SKUA_TEST_GATE", self->gate, 1);
    marks_begin();
    crew_start(&self->crew, workers);
    bench_open_with(&self->bench, "submitter", SKUA_POOL_OPTIONS(.orphan_ms = 200), &err);
    offer(self->bench.pool);
    bench_await(&self->bench, (size_t)workers);
    must(skua_batch_open_kernel(&self->batch, self->bench.pool,
                                SKUA_LAUNCH(.kernel = kernel, .args = args, .arg_count = 3,
                                            .global = {1}, .split = split),
                                SKUA_BATCH_OPTIONS(.requests_max = FULL, .hold_when_idle = 1,
                                                   .wait_us = SKUA_BATCH_MAX_WAIT_US,
                                                   .in_flight_max = 2),
                                &err),
         &err);
}

static void
team_close(team *self) {
    skua_batch_close(self->batch);
    bench_close(&self->bench);
    crew_stop(&self->crew);
    unlink(self->gate);
}

static void
ask(team *self, uint32_t count) {
    skua_error err = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row[ROW];
        for (uint32_t k = 0; k < ROW; k++) {
            row[k] = i + k;
        }
        must(skua_batch_ask(self->batch, row, sizeof row, 0, &self->futures[i], &err), &err);
    }
}

/* Waits for a request. Returns its status, with the node that ran it. */
static int32_t
end(team *self, uint32_t i, char *ret_node, size_t node_bytes) {
    skua_batch_result result = {.size = sizeof result};
    skua_error err = {0};
    must(skua_batch_wait(self->futures[i], CREW_WAIT_MS, &result, &err), &err);
    if (!result.status) {
        uint32_t want = 0, got;
        for (uint32_t k = 0; k < ROW; k++) {
            want += (i + k) * (k + 1);
        }
        assert_int_equal(result.answer_bytes, sizeof got);
        memcpy(&got, result.answer, sizeof got);
        assert_int_equal(got, want);
    } else {
        assert_null(result.answer);
        assert_true(strlen(result.message) > 0);
    }
    assert_int_equal(result.batch_requests, FULL);
    snprintf(ret_node, node_bytes, "%s", result.node);
    self->futures[i] = skua_batch_future_free(self->futures[i]);
    return result.status;
}

static void
open_gate(const team *self, int *ret_fd) {
    *ret_fd = open(self->gate, O_WRONLY | O_CLOEXEC);
    assert_true(*ret_fd >= 0);
}

/* Kills the worker that is in the middle of a batch. Returns its number. */
static int
kill_who_runs(team *self) {
    char line[64];
    marks_await("at ", 1);
    FILE *marks = fopen(getenv("SKUA_TEST_MARKS"), "r");
    assert_non_null(marks);
    assert_non_null(fgets(line, sizeof line, marks));
    fclose(marks);
    for (int i = 0; i < self->crew.count; i++) {
        if (self->crew.pids[i] == atoi(line + 3)) {
            crew_kill(&self->crew, i, SIGKILL);
            return i;
        }
    }
    fail_msg("no worker has the number in \"%s\"", line);
    return -1;
}

/* A peer alone has a device for it: each batch is one launch there. */
static void
test_batches_run_on_a_peers_device(void **state) {
    (void)state;
    static team t;
    char node[64], why[300];
    team_open(&t, 1, "product", 0);
    ask(&t, REQUESTS);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(end(&t, i, node, sizeof node), 0);
        assert_string_equal(node, "w0");
    }
    skua_kernel_share cores = {.size = sizeof cores}, peer = {.size = sizeof peer};
    assert_int_equal(skua_kernel_share_at(t.bench.pool, "product", 0, &cores, NULL), 0);
    assert_int_equal(skua_kernel_share_at(t.bench.pool, "product", 1, &peer, NULL), 0);
    assert_int_equal(cores.launches, 0);
    assert_int_equal(peer.device, SKUA_SHARE_PEER);
    assert_int_equal(peer.launches, REQUESTS / FULL);
    assert_int_equal(peer.work_items, REQUESTS);
    assert_int_equal(skua_batch_await_all(t.batch, CREW_WAIT_MS, NULL), 0);
    assert_memory_equal(skua_batch_explain(t.batch, why, sizeof why), "w0: ", 4);
    team_close(&t);
}

/* Two batches, one after the other, are cut over two peers each. */
static void
test_batches_are_split_over_peers(void **state) {
    (void)state;
    static team t;
    char node[64];
    team_open(&t, 2, "product", 1);
    for (int round = 0; round < 10; round++) {
        ask(&t, 2 * FULL);
        for (uint32_t i = 0; i < 2 * FULL; i++) {
            assert_int_equal(end(&t, i, node, sizeof node), 0);
        }
    }
    uint64_t items = 0;
    for (size_t i = 1; i < 3; i++) {
        skua_kernel_share peer = {.size = sizeof peer};
        assert_int_equal(skua_kernel_share_at(t.bench.pool, "product", i, &peer, NULL), 0);
        items += peer.work_items;
    }
    assert_int_equal(items, 10 * 2 * FULL);
    team_close(&t);
}

static void
test_batches_of_a_peer_that_dies_are_answered_by_another(void **state) {
    (void)state;
    static team t;
    char node[64], other[8];
    int fd;
    team_open(&t, 2, "gate", 0);
    ask(&t, FULL);
    int killed = kill_who_runs(&t);
    marks_await("at ", 2); /* the other one has it */
    open_gate(&t, &fd);
    snprintf(other, sizeof other, "w%d", 1 - killed);
    for (uint32_t i = 0; i < FULL; i++) {
        assert_int_equal(end(&t, i, node, sizeof node), 0);
        assert_string_equal(node, other);
    }
    assert_int_equal(marks_count("at "), 2);
    close(fd);
    team_close(&t);
}

/* There is no other: those in flight are told, and those that come later too. Nobody waits for ever. */
static void
test_batches_of_the_only_peer_that_dies_are_lost(void **state) {
    (void)state;
    static team t;
    char node[64];
    team_open(&t, 1, "gate", 0);
    ask(&t, 2 * FULL);
    kill_who_runs(&t);
    for (uint32_t i = 0; i < 2 * FULL; i++) {
        assert_int_equal(end(&t, i, node, sizeof node), SKUA_E_LOST);
    }
    ask(&t, FULL);
    for (uint32_t i = 0; i < FULL; i++) {
        assert_int_equal(end(&t, i, node, sizeof node), SKUA_E_REFUSED);
        assert_string_equal(node, "");
    }
    skua_batch_counters counters = {.size = sizeof counters};
    assert_int_equal(skua_batch_stats(t.batch, &counters, NULL), 0);
    assert_int_equal(counters.ended_failed, 3 * FULL);
    assert_int_equal(counters.waiting + counters.batches_in_flight, 0);
    team_close(&t);
}

int
main(int argc, char **argv) {
    static const crew_extra extra = {.open_devices = open_devices, .offer = offer};
    int code = 0;
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1); /* the only device is the fake one */
    crew_set_extra(&extra);
    if (crew_main(argc, argv, &code)) {
        return code;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_run_on_a_peers_device),
        cmocka_unit_test(test_batches_are_split_over_peers),
        cmocka_unit_test(test_batches_of_a_peer_that_dies_are_answered_by_another),
        cmocka_unit_test(test_batches_of_the_only_peer_that_dies_are_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
