// SPDX-License-Identifier: MPL-2.0
// Launches of kernels on peers: a fake device in another process runs what is fastest there, arguments and results
// travel, shares are told on both sides, and a peer that dies in the middle of a launch costs an attempt and nothing else.
#include "crew.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <skua-int/clock.h>
#include <skua-int/fake_device.h>
#include <skua-int/launch.h>
#include <skua/buffer.h>
#include <skua/launch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N = 64, LARGE = 1 << 18 };

static const skua_param_kind params[] = {SKUA_PARAM_IN, SKUA_PARAM_INOUT, SKUA_PARAM_VALUE};

/* y = y + a x */
static int
axpy(const skua_kernel_call *call, void *arg) {
    (void)arg;
    const uint32_t *x = call->args[0];
    uint32_t *y = call->args[1], a;
    memcpy(&a, call->args[2], sizeof a);
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] += a * x[i];
    }
    return 0;
}

static int
axpy_slowly(const skua_kernel_call *call, void *arg) {
    int64_t until_ns = skua__clock_ns() + 200 * SKUA_NS_PER_US;
    while (skua__clock_ns() < until_ns) {
    }
    return axpy(call, arg);
}

/* The device's "gate": it says in which process it is, and waits until somebody opens the gate (a FIFO) for writing. */
static int
gate(const skua_kernel_call *call, void *arg) {
    crew_leave_mark("at", "", 0);
    close(open(getenv("SKUA_TEST_GATE"), O_RDONLY | O_CLOEXEC));
    return axpy(call, arg);
}

static const skua_param_kind scratch_params[] = {SKUA_PARAM_OUT, SKUA_PARAM_LOCAL};

/* "scratch" waits at the gate too, with its scratch memory. */
static int
hold_scratch(const skua_kernel_call *call, void *arg) {
    (void)arg;
    crew_leave_mark("at", "", 0);
    close(open(getenv("SKUA_TEST_GATE"), O_RDONLY | O_CLOEXEC));
    memset(call->args[1], 1, 1000);
    *(uint32_t *)call->args[0] = 10;
    return 0;
}

static int
check(const skua_launch *launch, void *arg) {
    (void)arg;
    return launch->args[0].bytes / 4 < launch->global[0] ||
           launch->args[1].bytes / 4 < launch->global[0] || launch->args[2].bytes != 4;
}

/* cores: the C function, if the place has one. */
static void
offer_kernels(skua_pool *pool, skua_kernel_fn cores) {
    static const char *const names[] = {"axpy", "gate"};
    skua_error err = {0};
    for (size_t i = 0; i < 2; i++) {
        must(skua_kernel_register(pool, names[i],
                                  SKUA_KERNEL_SPEC(.source = "kernel", .params = params,
                                                   .param_count = 3, .guarded = 1,
                                                   .fn = i == 0 ? cores : NULL, .check = check,
                                                   .sliced = 3),
                                  &err),
             &err);
    }
    must(skua_kernel_register(
             pool, "scratch",
             SKUA_KERNEL_SPEC(.params = scratch_params, .param_count = 2, .fn = hold_scratch),
             &err),
         &err);
}

/* ---- The worker's side ---- */

static skua_devices *
open_devices(void) {
    static const skua__fake_entry entries[] = {{.name = "axpy", .fn = axpy, .guarded = true},
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

/* A task that tells how many launches of "axpy" the device here has done. */
static int
tell_share(skua_task_call *call, void *pool) {
    skua_kernel_share share = {.size = sizeof share};
    void *room = NULL;
    if (skua_kernel_share_at(pool, "axpy", 1, &share, NULL) || share.device != 0 ||
        skua_task_output(call, sizeof share.launches, &room)) {
        return 1;
    }
    memcpy(room, &share.launches, sizeof share.launches);
    return 0;
}

/* A task that tells how many launches were refused here for what they asked for. */
static int
tell_too_large(skua_task_call *call, void *pool) {
    skua_pool_counters counters = {.size = sizeof counters};
    return skua_pool_stats(pool, &counters, NULL) ||
                   skua_task_reply(call, &counters.served_too_large,
                                   sizeof counters.served_too_large)
               ? 1
               : 0;
}

static void
offer(skua_pool *pool) {
    offer_kernels(pool, axpy_slowly);
    must(skua_pool_register(pool, "share", 1, tell_share, pool, NULL), NULL);
    must(skua_pool_register(pool, "too-large", 1, tell_too_large, pool, NULL), NULL);
}

/* ---- The submitter's side ---- */

typedef struct shot {
    uint32_t x[LARGE], y[LARGE], a, n;
    skua_kernel_arg args[3];
    skua_launch launch;
    skua_pool_future *future;
} shot;

static void
submit_as(crew_bench *b, shot *s, const char *kernel, uint32_t n, bool split) {
    s->n = n;
    s->a = 3;
    for (uint32_t i = 0; i < n; i++) {
        s->x[i] = i;
        s->y[i] = 7 * i;
    }
    s->args[0] = (skua_kernel_arg){.data = s->x, .bytes = n * sizeof s->x[0]};
    s->args[1] = (skua_kernel_arg){.data = s->y, .bytes = n * sizeof s->y[0]};
    s->args[2] = (skua_kernel_arg){.value = &s->a, .bytes = sizeof s->a};
    s->launch = (skua_launch){.size = sizeof s->launch,
                              .kernel = kernel,
                              .global = {n},
                              .args = s->args,
                              .arg_count = 3,
                              .split = split};
    skua_error err = {0};
    must(skua_kernel_submit(b->pool, &s->launch, &s->future, &err), &err);
}

static void
submit(crew_bench *b, shot *s, const char *kernel, uint32_t n) {
    submit_as(b, s, kernel, n, false);
}

static void
collect(crew_bench *b, shot *s) {
    skua_error err = {0};
    must(skua_kernel_collect(b->pool, &s->launch, s->future, CREW_WAIT_MS, &err), &err);
    for (uint32_t i = 0; i < s->n; i++) {
        assert_int_equal(s->y[i], 10 * i);
    }
}

static void
open_submitter(crew_bench *b, int workers, int64_t orphan_ms) {
    skua_error err = {0};
    memset(b, 0, sizeof *b);
    if (workers) {
        must(skua_exec_open(&b->exec, SKUA_EXEC_OPTIONS(.workers = workers), &err), &err);
    }
    bench_open_with(b, "submitter", SKUA_POOL_OPTIONS(.orphan_ms = orphan_ms), &err);
    offer_kernels(b->pool, axpy_slowly);
}

static void
make_gate(char *ret_path, size_t size) {
    snprintf(ret_path, size, "/tmp/skua-gate-%d", (int)getpid());
    unlink(ret_path);
    assert_int_equal(mkfifo(ret_path, 0600), 0);
    setenv("SKUA_TEST_GATE", ret_path, 1);
}

static void
test_launches_run_on_a_peers_device_when_that_is_fastest(void **state) {
    (void)state;
    static shot s;
    crew_team team;
    crew_bench b;
    crew_start(&team, 1);
    open_submitter(&b, 1, 0);
    bench_await(&b, 1);
    skua_kernel_share cores = {.size = sizeof cores}, peer = {.size = sizeof peer};
    for (int i = 0; i < 40; i++) {
        submit(&b, &s, "axpy", N);
        collect(&b, &s);
        skua_pool_future_free(s.future);
    }
    submit(&b, &s, "axpy", LARGE); /* a megabyte there, a megabyte back */
    collect(&b, &s);
    skua_pool_future_free(s.future);
    assert_int_equal(skua_kernel_share_at(b.pool, "axpy", 0, &cores, NULL), 0);
    assert_int_equal(skua_kernel_share_at(b.pool, "axpy", 1, &peer, NULL), 0);
    assert_int_equal(peer.device, SKUA_SHARE_PEER);
    assert_string_equal(peer.name, "w0");
    assert_int_equal(cores.launches + peer.launches, 41);
    assert_true(peer.launches > 25); /* our cores take 13 ms for it */
    /* And there it was the device: the other side tells the same. */
    skua_pool_future *told = bench_submit(&b, SKUA_TASK(.name = "share"));
    skua_task_result result = bench_result(told);
    uint64_t launches = 0;
    assert_int_equal(result.output_bytes, sizeof launches);
    memcpy(&launches, result.output, sizeof launches);
    assert_true(launches > peer.launches / 2 && launches <= peer.launches);
    skua_pool_future_free(told);
    bench_close(&b);
    crew_stop(&team);
}

/* Kills the worker that is in the middle of a launch. */
static void
kill_who_runs(crew_team *team) {
    char line[64];
    marks_await("at ", 1);
    FILE *marks = fopen(getenv("SKUA_TEST_MARKS"), "r");
    assert_non_null(marks);
    assert_non_null(fgets(line, sizeof line, marks));
    fclose(marks);
    int killed = 0;
    for (int i = 0; i < team->count; i++) {
        if (team->pids[i] == atoi(line + 3)) {
            crew_kill(team, i, SIGKILL);
            killed++;
        }
    }
    assert_int_equal(killed, 1);
}

static void
test_launches_of_a_peer_that_dies_are_done_by_another(void **state) {
    (void)state;
    static shot s;
    char path[64];
    crew_team team;
    crew_bench b;
    make_gate(path, sizeof path);
    marks_begin();
    crew_start(&team, 2);
    open_submitter(&b, 0, 0);
    bench_await(&b, 2);
    submit(&b, &s, "gate", N);
    kill_who_runs(&team);
    marks_await("at ", 2); /* the other one has it */
    int gate_fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(gate_fd >= 0);
    close(gate_fd);
    collect(&b, &s);
    skua_task_result result = bench_result(s.future);
    assert_int_equal(result.attempts, 2);
    assert_int_equal(marks_count("at "), 2);
    skua_pool_future_free(s.future);
    bench_close(&b);
    crew_stop(&team);
    unlink(path);
}

static void
test_launches_that_nobody_can_repeat_are_lost(void **state) {
    (void)state;
    static shot s;
    char path[64];
    crew_team team;
    crew_bench b;
    make_gate(path, sizeof path);
    marks_begin();
    crew_start(&team, 1);
    open_submitter(&b, 0, 200);
    bench_await(&b, 1);
    submit(&b, &s, "gate", N);
    kill_who_runs(&team);
    skua_task_result result = bench_result(s.future);
    assert_int_equal(result.outcome, SKUA_OUTCOME_LOST);
    assert_int_equal(skua_kernel_collect(b.pool, &s.launch, s.future, 0, NULL), SKUA_E_TASK_FAILED);
    skua_pool_future_free(s.future);
    bench_close(&b);
    crew_stop(&team);
    unlink(path);
}

/* The device is busy behind the gate: what waits for it is cancelled at once, here and there. */
static void
test_launches_on_a_peer_are_cancelled_while_its_device_is_busy(void **state) {
    (void)state;
    enum { WAITING = 20 };
    static shot first, waiting[WAITING];
    char path[64];
    crew_team team;
    crew_bench b;
    make_gate(path, sizeof path);
    marks_begin();
    crew_start(&team, 1);
    open_submitter(&b, 0, 0);
    bench_await(&b, 1);
    submit(&b, &first, "gate", N);
    marks_await("at ", 1);
    for (int i = 0; i < WAITING; i++) {
        submit(&b, &waiting[i], "gate", N);
    }
    for (int i = 0; i < WAITING; i++) {
        skua_pool_cancel(waiting[i].future);
        skua_task_result result = {.size = sizeof result};
        assert_int_equal(skua_pool_result(waiting[i].future, &result, NULL), 0);
        assert_int_equal(result.outcome, SKUA_OUTCOME_CANCELLED);
        skua_pool_future_free(waiting[i].future);
    }
    /* The peer's worker threads are as free as ever. */
    skua_pool_future *other = bench_submit(&b, SKUA_TASK(.name = "noop"));
    assert_int_equal(bench_result(other).outcome, SKUA_OUTCOME_OK);
    skua_pool_future_free(other);
    int gate_fd = open(path, O_WRONLY | O_CLOEXEC);
    collect(&b, &first);
    skua_pool_future_free(first.future);
    bench_close(&b);
    crew_stop(&team); /* and what the device still had is over as well */
    close(gate_fd);
    unlink(path);
}

/* A peer takes only so many bytes of launches: what goes beyond comes back, and is done when there is room. */
static void
test_launches_at_a_peer_are_bounded_in_bytes(void **state) {
    (void)state;
    enum { COUNT = 8 };
    static shot shots[COUNT];
    char path[64];
    crew_team team;
    crew_bench b;
    make_gate(path, sizeof path);
    marks_begin();
    setenv("SKUA_TEST_SERVE_BYTES", "3000",
           1); /* each has 600 bytes of input, and 256 of results */
    crew_start(&team, 1);
    unsetenv("SKUA_TEST_SERVE_BYTES");
    open_submitter(&b, 0, 0);
    bench_await(&b, 1);
    for (int i = 0; i < COUNT; i++) {
        submit(&b, &shots[i], "gate", N);
    }
    while (!bench_counters(&b).handed_back) {
        marks_await("at ", 1);
    }
    int gate_fd = open(path, O_WRONLY | O_CLOEXEC);
    for (int i = 0; i < COUNT; i++) {
        collect(&b, &shots[i]);
        skua_pool_future_free(shots[i].future);
    }
    close(gate_fd);
    bench_close(&b);
    crew_stop(&team);
    unlink(path);
}

static void
submit_scratch(crew_bench *b, shot *s, size_t scratch_bytes) {
    s->n = 0;
    s->args[0] = (skua_kernel_arg){.data = s->y, .bytes = sizeof s->y[0]};
    s->args[1] = (skua_kernel_arg){.bytes = scratch_bytes};
    s->launch = (skua_launch){.size = sizeof s->launch,
                              .kernel = "scratch",
                              .global = {1},
                              .args = s->args,
                              .arg_count = 2};
    skua_error err = {0};
    must(skua_kernel_submit(b->pool, &s->launch, &s->future, &err), &err);
}

/* The memory that a few bytes ask for counts too: each of the peer's two workers may need the scratch memory. */
static void
test_launches_at_a_peer_are_bounded_in_memory(void **state) {
    (void)state;
    static shot first, second, third;
    char path[64];
    crew_team team;
    crew_bench b;
    make_gate(path, sizeof path);
    marks_begin();
    setenv("SKUA_TEST_SERVE_BYTES", "1000000", 1);
    crew_start(&team, 1);
    unsetenv("SKUA_TEST_SERVE_BYTES");
    open_submitter(&b, 0, 0);
    bench_await(&b, 1);
    submit_scratch(&b, &first, 300000);
    marks_await("at ", 1);
    submit_scratch(&b, &second, 300000); /* there is no room for both */
    while (!bench_counters(&b).handed_back) {
        assert_int_equal(marks_count("at "), 1);
        sched_yield();
    }
    submit_scratch(&b, &third, 600000); /* and for this one there never is */
    skua_error err = {0};
    assert_int_equal(skua_kernel_collect(b.pool, &third.launch, third.future, CREW_WAIT_MS, &err),
                     SKUA_E_TASK_FAILED);
    assert_non_null(strstr(err.message, "1200000 bytes"));
    assert_non_null(strstr(err.message, "serve_queue_bytes"));
    skua_pool_future_free(third.future);
    int gate_fd = open(path, O_WRONLY | O_CLOEXEC);
    collect(&b, &first);
    collect(&b, &second);
    assert_int_equal(first.y[0] + second.y[0], 20);
    skua_pool_future_free(first.future);
    skua_pool_future_free(second.future);
    close(gate_fd);
    skua_pool_future *told = bench_submit(&b, SKUA_TASK(.name = "too-large"));
    skua_task_result result = bench_result(told);
    uint64_t too_large = 0;
    assert_int_equal(result.output_bytes, sizeof too_large);
    memcpy(&too_large, result.output, sizeof too_large);
    assert_int_equal(too_large, 1);
    skua_pool_future_free(told);
    bench_close(&b);
    crew_stop(&team);
    unlink(path);
}

/* The last parts of a split launch would need more of a device's memory than is a peer's: its cores do them. */
static void
test_launches_parts_too_large_for_a_peers_devices_run_on_its_cores(void **state) {
    (void)state;
    enum { SPLIT = 1000 };
    static shot s;
    crew_team team;
    crew_bench b;
    setenv("SKUA_TEST_SERVE_BYTES", "2000", 1); /* each part has 4,000 before it, but the first */
    crew_start(&team, 2);
    unsetenv("SKUA_TEST_SERVE_BYTES");
    open_submitter(&b, 0, 0);
    bench_await(&b, 2);
    submit_as(&b, &s, "axpy", SPLIT, true);
    collect(&b, &s);
    skua_pool_future_free(s.future);
    bench_close(&b);
    crew_stop(&team);
}

static void
test_launches_are_split_over_cores_and_peers(void **state) {
    (void)state;
    enum { ROUNDS = 12, SPLIT = 2000 }; /* our cores take 200 us for each */
    static shot s;
    crew_team team;
    crew_bench b;
    char text[400];
    crew_start(&team, 2);
    open_submitter(&b, 1, 0);
    bench_await(&b, 2);
    for (int i = 0; i < ROUNDS; i++) {
        submit_as(&b, &s, "axpy", i % 2 ? SPLIT : SPLIT - 77, true);
        collect(&b, &s);
        skua_pool_explain(s.future, text, sizeof text);
        printf("%s\n", text);
        skua_pool_future_free(s.future);
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < 3; i++) {
        skua_kernel_share share = {.size = sizeof share};
        assert_int_equal(skua_kernel_share_at(b.pool, "axpy", i, &share, NULL), 0);
        assert_int_equal(share.device, i ? SKUA_SHARE_PEER : SKUA_SHARE_CORES);
        assert_true(share.launches > 0);
        sum += share.work_items;
    }
    assert_int_equal(sum, ROUNDS / 2 * (2 * SPLIT - 77));
    bench_close(&b);
    crew_stop(&team);
}

static skua_buffer *
make_buffer(skua_devices *devices, const uint32_t *items) {
    skua_buffer *buffer = NULL;
    skua_error err = {0};
    must(skua_buffer_new(devices, &buffer, SKUA_BUFFER_OPTIONS(.bytes = N * sizeof *items), &err),
         &err);
    must(skua_buffer_write(buffer, 0, items, N * sizeof *items, &err), &err);
    return buffer;
}

/* What buffers hold is sent with the parts of a split launch, and comes back into them; a whole launch with buffers stays, and says so. */
static void
test_launches_with_buffers_go_to_peers_when_they_are_split(void **state) {
    (void)state;
    static shot s;
    crew_team team;
    crew_bench b = {0};
    skua_devices *devices = NULL;
    skua_error err = {0};
    char text[400];
    crew_start(&team, 1);
    must(skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cache_dir = ""), &err), &err);
    must(skua_exec_open(&b.exec, SKUA_EXEC_OPTIONS(.workers = 1), &err), &err);
    bench_open_with(&b, "submitter", SKUA_POOL_OPTIONS(.devices = devices), &err);
    offer_kernels(b.pool, axpy_slowly);
    bench_await(&b, 1);
    for (uint32_t i = 0; i < N; i++) {
        s.x[i] = i;
        s.y[i] = 7 * i;
    }
    skua_buffer *x = make_buffer(devices, s.x), *y = make_buffer(devices, s.y);
    s.a = 3;
    const skua_kernel_arg args[] = {{.buffer = x, .bytes = N * sizeof s.x[0]},
                                    {.buffer = y, .bytes = N * sizeof s.y[0]},
                                    {.value = &s.a, .bytes = sizeof s.a}};
    for (uint8_t split = 0; split < 2; split++) {
        const skua_launch launch = {.size = sizeof launch,
                                    .kernel = "axpy",
                                    .global = {N},
                                    .args = args,
                                    .arg_count = 3,
                                    .split = split};
        skua_pool_future *future = NULL;
        must(skua_kernel_submit(b.pool, &launch, &future, &err), &err);
        must(skua_kernel_collect(b.pool, &launch, future, CREW_WAIT_MS, &err), &err);
        skua_pool_explain(future, text, sizeof text);
        assert_non_null(strstr(text, split ? "w0: " : "not on peers, since its buffers are here"));
        must(skua_buffer_read(y, 0, s.y, N * sizeof s.y[0], &err), &err);
        for (uint32_t i = 0; i < N; i++) {
            assert_int_equal(s.y[i], (split ? 13 : 10) * i);
        }
        skua_pool_future_free(future);
    }
    skua_buffer_free(x);
    skua_buffer_free(y);
    skua_pool_close(b.pool);
    skua_devices_close(devices);
    skua_exec_close(b.exec);
    skua_node_close(b.node);
    crew_stop(&team);
}

/* Two peers have a part each. One dies with its own, which the other does as well. */
static void
test_launches_parts_of_a_peer_that_dies_are_done_by_another(void **state) {
    (void)state;
    static shot s;
    char path[64];
    crew_team team;
    crew_bench b;
    make_gate(path, sizeof path);
    marks_begin();
    crew_start(&team, 2);
    open_submitter(&b, 0, 0);
    bench_await(&b, 2);
    submit_as(&b, &s, "gate", N, true);
    marks_await("at ", 2);
    kill_who_runs(&team);
    int gate_fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(gate_fd >= 0);
    collect(&b, &s);
    assert_int_equal(marks_count("at "), 3);
    skua_pool_future_free(s.future);
    close(gate_fd);
    bench_close(&b);
    crew_stop(&team);
    unlink(path);
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
        cmocka_unit_test(test_launches_run_on_a_peers_device_when_that_is_fastest),
        cmocka_unit_test(test_launches_of_a_peer_that_dies_are_done_by_another),
        cmocka_unit_test(test_launches_that_nobody_can_repeat_are_lost),
        cmocka_unit_test(test_launches_on_a_peer_are_cancelled_while_its_device_is_busy),
        cmocka_unit_test(test_launches_at_a_peer_are_bounded_in_bytes),
        cmocka_unit_test(test_launches_at_a_peer_are_bounded_in_memory),
        cmocka_unit_test(test_launches_parts_too_large_for_a_peers_devices_run_on_its_cores),
        cmocka_unit_test(test_launches_are_split_over_cores_and_peers),
        cmocka_unit_test(test_launches_with_buffers_go_to_peers_when_they_are_split),
        cmocka_unit_test(test_launches_parts_of_a_peer_that_dies_are_done_by_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
