// SPDX-License-Identifier: MPL-2.0
// A device's launches in the trace of an executor: read with somebody else's parser, nested, in order, and on the host's clock
// however the device's may differ. And how the two clocks are related.
#include "engine_fixture.h"
#include "fake_machine.h"

#include <jansson.h>
#include <skua-int/clocks.h>
#include <skua-int/rand.h>
#include <skua/launch.h>

enum { LAUNCHES_MAX = 64, LARGE = 1 << 20, SMALL = 1000, ROWS = 3, WAIT_MS = 60000 };

static const int64_t ahead_ns = -5 * SKUA_NS_PER_S; /* of the fake's clock */

static int
next_fn(const skua_kernel_call *call, void *arg) {
    (void)arg;
    const uint32_t *x = call->args[0];
    uint32_t *y = call->args[1];
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = x[i] + 1;
    }
    return 0;
}

static void
open_pool(fake_machine *self) {
    static const skua__fake_entry entries[] = {{.name = "next", .fn = next_fn, .guarded = true}};
    fake_machine_open(
        self, &(fake_machine_options){
                  .count = 1,
                  .workers = 1,
                  .entries = entries,
                  .entry_count = 1,
                  .fakes = {{.copy_ns = 20000, .launch_ns = 50000, .clock_ahead_ns = ahead_ns}}});
    fake_machine_open_pool(self, NULL);
    static const skua_param_kind params[] = {SKUA_PARAM_IN, SKUA_PARAM_OUT};
    assert_int_equal(skua_kernel_register(self->pool, "next",
                                          SKUA_KERNEL_SPEC(.source = "next", .params = params,
                                                           .param_count = 2, .guarded = 1),
                                          NULL),
                     SKUA_OK);
}

/* Several at once, so that they overlap. Each is small and goes in one queue, or is large and staged. */
static void
run_launches(fake_machine *self, size_t bytes, int count) {
    uint32_t *x = calloc(1, bytes), *y = calloc((size_t)count, bytes);
    skua_pool_future *futures[LAUNCHES_MAX];
    for (int collect = 0; collect < 2; collect++) {
        for (int i = 0; i < count; i++) {
            const skua_kernel_arg args[] = {
                {.data = x, .bytes = bytes},
                {.data = y + (size_t)i * bytes / sizeof *y, .bytes = bytes}};
            const skua_launch *launch =
                SKUA_LAUNCH(.kernel = "next", .global = {bytes / sizeof *y}, .args = args,
                            .arg_count = 2, .on = SKUA_ON_DEVICE);
            if (!collect) {
                assert_int_equal(skua_kernel_submit(self->pool, launch, &futures[i], NULL), 0);
            } else {
                assert_int_equal(skua_kernel_collect(self->pool, launch, futures[i], WAIT_MS, NULL),
                                 0);
                skua_pool_future_free(futures[i]);
            }
        }
    }
    free(x);
    free(y);
}

/* All but the executor, which has what was recorded. */
static void
close_pool(fake_machine *self) {
    self->pool = skua_pool_close(self->pool);
    self->devices = skua_devices_close(self->devices);
}

/* ---- Reading ---- */

/* What one launch did, in microseconds. */
typedef struct told {
    double begin, end;
    double first[ROWS], last[ROWS]; /* by row: copies in, kernels, copies out */
    uint32_t commands[ROWS];
    uint32_t host_copies;
    bool begun, ended;
} told;

typedef struct picture {
    told launches[LAUNCHES_MAX];
    double row_end[ROWS]; /* of its last slice */
    size_t launches_begun, slices, names, jobs;
    json_int_t open_spans[4 * LAUNCHES_MAX];
    size_t open_launch[4 * LAUNCHES_MAX];
    size_t open_count;
} picture;

static double
number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    assert_non_null(value);
    return json_number_value(value);
}

static size_t
launch_of(const json_t *event) {
    size_t launch = (size_t)number(json_object_get(event, "args"), "launch");
    assert_in_range(launch, 1, LAUNCHES_MAX);
    return launch - 1;
}

/* A command: queued, submitted, begun and ended in this order, after the one before it in its row. */
static void
read_slice(picture *to, const json_t *event) {
    size_t row = (size_t)number(event, "tid") - 1;
    assert_in_range(row, 0, ROWS - 1);
    told *launch = &to->launches[launch_of(event)];
    double start = number(event, "ts"), end = start + number(event, "dur");
    const json_t *args = json_object_get(event, "args");
    assert_true(number(args, "queued_us") <= number(args, "submitted_us"));
    assert_true(number(args, "submitted_us") <= start + 0.002);
    const char *name = json_string_value(json_object_get(event, "name"));
    size_t what = strcmp(name, "copy in") == 0 ? 0 : strcmp(name, "copy out") == 0 ? 2 : 1;
    assert_true(what != 1 || strcmp(name, "next") == 0);
    assert_true(what == 1 || number(args, "bytes") > 0);
    launch->first[what] = launch->commands[what]++ ? launch->first[what] : start;
    launch->last[what] = end;
    to->slices++;
}

static void
read_span(picture *to, const json_t *event, bool begins) {
    json_int_t id = json_integer_value(json_object_get(event, "id"));
    bool whole = strcmp(json_string_value(json_object_get(event, "cat")), "launch") == 0;
    if (begins) {
        size_t launch = launch_of(event);
        to->open_spans[to->open_count] = id;
        to->open_launch[to->open_count++] = launch;
        if (whole) {
            assert_false(to->launches[launch].begun);
            to->launches[launch].begun = true;
            to->launches[launch].begin = number(event, "ts");
            to->launches_begun++;
        } else {
            to->launches[launch].host_copies++;
        }
        return;
    }
    for (size_t i = 0; i < to->open_count; i++) {
        if (to->open_spans[i] == id) {
            if (whole) {
                to->launches[to->open_launch[i]].ended = true;
                to->launches[to->open_launch[i]].end = number(event, "ts");
            }
            to->open_spans[i] = -1;
            return;
        }
    }
    fail_msg("a span ends that did not begin");
}

static picture
read_picture(skua_exec *exec) {
    char path[] = "/tmp/skua-device-trace-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(skua_exec_trace_write(exec, path, NULL), SKUA_OK);
    json_error_t why;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (!root) {
        fail_msg("line %d: %s", why.line, why.text);
    }
    picture all = {0};
    size_t i;
    json_t *event;
    json_array_foreach(json_object_get(root, "traceEvents"), i, event) {
        const char *phase = json_string_value(json_object_get(event, "ph"));
        if (number(event, "pid") == 1) {
            all.jobs++;
            continue;
        }
        assert_true(number(event, "ts") >= 0);
        if (*phase == 'M') {
            const char *name =
                json_string_value(json_object_get(json_object_get(event, "args"), "name"));
            all.names += strcmp(name, "device 0: fake 0") == 0 || strcmp(name, "copies in") == 0 ||
                         strcmp(name, "kernels") == 0 || strcmp(name, "copies out") == 0;
        } else if (*phase == 'X') {
            read_slice(&all, event);
        } else {
            read_span(&all, event, *phase == 'b');
        }
    }
    json_decref(root);
    unlink(path);
    return all;
}

/* Slices of one row, in the order of their beginning, do not overlap. */
static int
by_start(const void *a, const void *b) {
    const double *left = a, *right = b;
    return (left[0] > right[0]) - (left[0] < right[0]);
}

static void
check_rows(skua_exec *exec) {
    char path[] = "/tmp/skua-device-trace-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(skua_exec_trace_write(exec, path, NULL), SKUA_OK);
    json_t *root = json_load_file(path, 0, NULL);
    for (int row = 1; row <= ROWS; row++) {
        static double slices[4096][2];
        size_t count = 0, i;
        json_t *event;
        json_array_foreach(json_object_get(root, "traceEvents"), i, event) {
            if (number(event, "pid") != 1 && number(event, "tid") == row &&
                strcmp(json_string_value(json_object_get(event, "ph")), "X") == 0) {
                slices[count][0] = number(event, "ts");
                slices[count][1] = slices[count][0] + number(event, "dur");
                count++;
            }
        }
        qsort(slices, count, sizeof slices[0], by_start);
        for (size_t at = 1; at < count; at++) {
            assert_true(slices[at][0] >= slices[at - 1][1] - 0.002);
        }
    }
    json_decref(root);
    unlink(path);
}

static void
check_launch(const told *launch, bool large) {
    assert_true(launch->begun && launch->ended);
    assert_int_equal(launch->commands[1], 1);
    assert_int_equal(launch->commands[0], large ? 4 : 1);
    assert_int_equal(launch->commands[2], large ? 4 : 1);
    assert_int_equal(launch->host_copies, large ? 8 : 0);
    assert_true(launch->begin <= launch->first[0]);
    assert_true(launch->last[0] <= launch->first[1] + 0.002);
    assert_true(launch->last[1] <= launch->first[2] + 0.002);
    assert_true(launch->last[2] <= launch->end + 0.002);
    /* The device's own length of its kernel, whatever its clock shows. */
    double took_us = launch->last[1] - launch->first[1];
    assert_true(took_us > 49.9 && took_us < 50.1);
}

/* ---- Tests ---- */

static void
test_trace_launches_nest_and_are_in_order(void **state) {
    (void)state;
    fake_machine self;
    open_pool(&self);
    run_launches(&self, SMALL, 3); /* before it is on: not told */
    assert_int_equal(skua_exec_trace_start(self.exec, NULL, NULL), SKUA_OK);
    run_launches(&self, SMALL, 10);
    run_launches(&self, LARGE, 10);
    skua_exec_trace_stop(self.exec);
    run_launches(&self, SMALL, 3); /* nor these */
    picture all = read_picture(self.exec);
    assert_int_equal(all.names, 1 + ROWS);
    assert_int_equal(all.launches_begun, 20);
    for (size_t i = 0; i < 20; i++) {
        check_launch(&all.launches[i], i >= 10);
    }
    check_rows(self.exec);
    /* What was recorded outlives the device; a second list of devices begins a track of its own. */
    close_pool(&self);
    assert_int_equal(read_picture(self.exec).launches_begun, 20);
    fake_machine_close(&self);
}

static void
test_trace_is_on_before_the_devices_are(void **state) {
    (void)state;
    fake_machine self;
    open_pool(&self);
    skua_exec *exec = self.exec;
    close_pool(&self);
    self.exec = NULL;
    fake_machine_close(&self);
    assert_int_equal(skua_exec_trace_start(exec, NULL, NULL), SKUA_OK);
    fake_machine other;
    open_pool(&other);
    /* The pool of the traced executor, on the new devices. */
    skua_pool_close(other.pool);
    skua_exec_close(other.exec);
    other.exec = exec;
    fake_machine_open_pool(&other, NULL);
    static const skua_param_kind params[] = {SKUA_PARAM_IN, SKUA_PARAM_OUT};
    assert_int_equal(skua_kernel_register(other.pool, "next",
                                          SKUA_KERNEL_SPEC(.source = "next", .params = params,
                                                           .param_count = 2, .guarded = 1),
                                          NULL),
                     SKUA_OK);
    run_launches(&other, SMALL, 5);
    assert_int_equal(read_picture(exec).launches_begun, 5);
    fake_machine_close(&other);
}

/* Pools come and go: no more tracks are kept than are used. */
static void
test_trace_keeps_no_track_of_devices_that_are_gone(void **state) {
    (void)state;
    skua_exec *exec = NULL;
    assert_int_equal(skua_exec_open(&exec, SKUA_EXEC_OPTIONS(.workers = 1), NULL), SKUA_OK);
    static const char *const rows[] = {"row"};
    for (int traced = 0; traced < 2; traced++) {
        for (int i = 0; i < 200; i++) {
            skua__track *track = skua__track_new(NULL, "track", rows, 1);
            assert_int_equal(skua__exec_add_track(exec, track, NULL), SKUA_OK);
            assert_int_equal(skua__exec_add_track(exec, track, NULL), SKUA_OK);
            assert_int_equal(skua__track_is_on(track), traced);
            skua__track_unref(track);
        }
        if (!traced) {
            assert_int_equal(skua_exec_trace_start(exec, NULL, NULL), SKUA_OK);
        }
    }
    /* As many as there may be, all of them used. */
    skua__track *tracks[65];
    for (int i = 0; i < 65; i++) {
        tracks[i] = skua__track_new(NULL, "track", rows, 1);
        skua_error err = {0};
        assert_int_equal(skua__exec_add_track(exec, tracks[i], &err), i < 64 ? 0 : SKUA_E_LIMIT);
    }
    skua_exec_trace_stop(exec);
    assert_false(skua__track_is_on(tracks[0]));
    skua_exec_close(exec);
    for (int i = 0; i < 65; i++) {
        skua__track_unref(tracks[i]);
    }
}

/* Commands queued at random: what is told is within the shortest call, and follows a clock that drifts or is set. */
static void
test_trace_clocks_are_related(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(31)};
    for (int round = 0; round < 200; round++) {
        skua__clocks clocks = {0};
        assert_int_equal(skua__clocks_host_ns(&clocks, 77), 77);
        int64_t ahead = (int64_t)(skua__rand_next(&rand) >> 20) - (INT64_C(1) << 43);
        double drift = (skua__rand_unit(&rand) - 0.5) * 1e-4;
        int64_t host_ns = SKUA_NS_PER_S;
        for (int i = 0; i < 200; i++) {
            if (i == 100) {
                ahead += 50000 * (1 + (int64_t)skua__rand_below(&rand, 1000)); /* it is set */
            }
            int64_t before_ns = host_ns, in_ns = skua__rand_below(&rand, 20000);
            int64_t after_ns = before_ns + in_ns + skua__rand_below(&rand, 20000);
            int64_t device_ns = before_ns + in_ns + ahead +
                                (int64_t)(drift * (double)(before_ns + in_ns - SKUA_NS_PER_S));
            skua__clocks_note(&clocks, before_ns, device_ns, device_ns, after_ns);
            int64_t error_ns = skua__clocks_host_ns(&clocks, device_ns) - (before_ns + in_ns);
            assert_in_range(error_ns + 40001, 0, 80002);
            host_ns = after_ns + skua__rand_below(&rand, 1000000);
        }
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace_launches_nest_and_are_in_order),
        cmocka_unit_test(test_trace_is_on_before_the_devices_are),
        cmocka_unit_test(test_trace_keeps_no_track_of_devices_that_are_gone),
        cmocka_unit_test(test_trace_clocks_are_related),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
