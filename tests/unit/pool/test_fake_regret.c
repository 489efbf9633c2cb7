// SPDX-License-Identifier: MPL-2.0
// How well a pool chooses among devices whose latency, bandwidth and rate are known, because they are fake: on the fakes' own
// clocks, through the real path (submission, placement, engines, learning), with failures in between. Seeded.
#include "fake_machine.h"
#include "test.h"

#include <math.h>
#include <sched.h>
#include <skua-int/atomic.h>
#include <skua-int/clock.h>
#include <skua-int/kernels.h>
#include <skua-int/rand.h>
#include <skua-int/thread.h>
#include <string.h>
#include <unistd.h>

enum {
    DEVICES = 3,
    ITEMS_MIN = 256, /* and each size is a multiple of it, so that no group is padded */
    LARGE = ITEMS_MIN * 64,
    ITEMS_MAX = 1 << 22,
    ITEMS_PER_BYTE = 64, /* so that copies of the largest are left to the driver in one piece */
    FIRST = 200,         /* pieces until the selector is judged */
    JUDGED = 600,
    SIZES = 10, /* that are calibrated */
    LONG_MS =
        3600 * 1000, /* the longest budget; the longest piece is cut off by it on the slowest */
};

/*
 * Fast work is far away: each device is the best one in a part of the sizes. Times are so long that what the pool itself
 * takes, on the real clock, does not matter beside them.
 */
typedef struct figures {
    int64_t launch_ns, copy_ns;
    uint64_t bytes_per_s, item_ps;
} figures;
static const figures machines[DEVICES] = {
    {1 * SKUA_NS_PER_S, 0, 65536, 16000000000},
    {10 * SKUA_NS_PER_S, 2 * SKUA_NS_PER_S, 32768, 2000000000},
    {900 * SKUA_NS_PER_S, 50 * SKUA_NS_PER_S, 16384, 80000000},
};
static const skua_param_kind params[] = {SKUA_PARAM_IN, SKUA_PARAM_OUT};

typedef struct bench {
    fake_machine machine;
    skua__rand rand;
    uint8_t *in, *out;
    skua__a32 stop;
    uint64_t judged, within;
    double took_ns, best_ns;
} bench;

/* Each byte is the work of several items, of which the first writes it. */
static int
invert(const skua_kernel_call *call, void *arg) {
    (void)arg;
    const uint8_t *in = call->args[0];
    uint8_t *out = call->args[1];
    for (uint64_t i = call->begin; i < call->end; i += ITEMS_PER_BYTE) {
        out[i / ITEMS_PER_BYTE] = (uint8_t)~in[i / ITEMS_PER_BYTE];
    }
    return 0;
}

/* dir: where what is learned is kept; "": nowhere. */
static bench *
open_bench(const char *dir) {
    bench *self = calloc(1, sizeof *self);
    skua__fake_entry entries[DEVICES];
    fake_machine_options options = {.count = DEVICES, .cache_dir = dir};
    for (int i = 0; i < DEVICES; i++) {
        entries[i] = (skua__fake_entry){
            .name = "invert", .fn = invert, .guarded = true, .launch_ps = machines[i].item_ps};
        options.fakes[i] = (skua__fake_options){.clock = SKUA__FAKE_VIRTUAL,
                                                .entries = &entries[i],
                                                .entry_count = 1,
                                                .launch_ns = machines[i].launch_ns,
                                                .copy_ns = machines[i].copy_ns,
                                                .copy_bytes_per_s = machines[i].bytes_per_s};
    }
    fake_machine_open(&self->machine, &options);
    fake_machine_open_pool(&self->machine, SKUA_POOL_OPTIONS(.quarantine_ms = 1));
    assert_int_equal(
        skua_kernel_register(self->machine.pool, "invert",
                             SKUA_KERNEL_SPEC(.source = "kernel void invert() {}", .params = params,
                                              .param_count = 2, .guarded = 1),
                             NULL),
        0);
    self->in = malloc(ITEMS_MAX / ITEMS_PER_BYTE);
    self->out = malloc(ITEMS_MAX / ITEMS_PER_BYTE);
    for (uint32_t i = 0; i < ITEMS_MAX / ITEMS_PER_BYTE; i++) {
        self->in[i] = (uint8_t)(i * 31);
    }
    return self;
}

static void
close_bench(bench *self) {
    fake_machine_close(&self->machine);
    free(self->in);
    free(self->out);
    free(self);
}

static int
set_up(void **state) {
    *state = open_bench("");
    return 0;
}

static int
tear_down(void **state) {
    close_bench(*state);
    return 0;
}

static uint64_t
bytes_of(uint64_t items) {
    return items / ITEMS_PER_BYTE;
}

/* What a device takes for so many items, bytes there and back included. */
static double
expected_ns(int device, uint64_t items) {
    const figures *m = &machines[device];
    double bytes = 2 * (double)bytes_of(items);
    return (double)m->launch_ns + (double)items * (double)m->item_ps / 1e3 +
           2 * (double)m->copy_ns + bytes * 1e9 / (double)m->bytes_per_s;
}

static uint64_t
whole_groups(double items) {
    uint64_t whole = (uint64_t)items / ITEMS_MIN * ITEMS_MIN;
    return whole < ITEMS_MIN ? ITEMS_MIN : whole > ITEMS_MAX ? ITEMS_MAX : whole;
}

/* A third of the sizes lie near one where the best device changes. */
static uint64_t
pick_items(bench *self) {
    double ratio = (double)ITEMS_MAX / ITEMS_MIN;
    double items = ITEMS_MIN * pow(ratio, skua__rand_unit(&self->rand));
    if (skua__rand_below(&self->rand, 3) == 0) {
        int from = (int)skua__rand_below(&self->rand, DEVICES - 1);
        double low = ITEMS_MIN, high = ITEMS_MAX;
        for (int step = 0; step < 40; step++) { /* the one ends, the next begins */
            double middle = sqrt(low * high);
            bool near =
                expected_ns(from, (uint64_t)middle) < expected_ns(from + 1, (uint64_t)middle);
            low = near ? middle : low;
            high = near ? high : middle;
        }
        items = low * pow(1.5, 2 * skua__rand_unit(&self->rand) - 1);
    }
    return whole_groups(items);
}

static void
step_all(bench *self) {
    bool moved = false;
    for (int i = 0; i < DEVICES; i++) {
        moved = skua__fake_step(self->machine.fakes[i]) || moved;
    }
    if (!moved) {
        sched_yield();
    }
}

static uint64_t
launches_at(bench *self, int device) {
    skua_kernel_share share = {.size = sizeof share};
    assert_int_equal(
        skua_kernel_share_at(self->machine.pool, "invert", (size_t)device + 1, &share, NULL), 0);
    return share.launches;
}

/* Runs one launch wherever the pool likes. Returns the device. */
static int
run_one(bench *self, uint64_t items) {
    uint64_t before[DEVICES];
    skua_kernel_arg args[2] = {{.data = self->in, .bytes = bytes_of(items)},
                               {.data = self->out, .bytes = bytes_of(items)}};
    const skua_launch *launch =
        SKUA_LAUNCH(.kernel = "invert", .global = {items}, .args = args, .arg_count = 2);
    skua_pool_future *future = NULL;
    skua_error err = {0};
    for (int i = 0; i < DEVICES; i++) {
        before[i] = launches_at(self, i);
    }
    memset(self->out, 0, bytes_of(items));
    if (skua_kernel_submit(self->machine.pool, launch, &future, &err)) {
        fail_msg("%s", err.message);
    }
    while (skua_pool_wait(future, SKUA_NONE, NULL) == SKUA_E_TIMEOUT) {
        step_all(self);
    }
    if (skua_kernel_collect(self->machine.pool, launch, future, SKUA_UNLIMITED, &err)) {
        fail_msg("%s", err.message);
    }
    skua_pool_future_free(future);
    assert_int_equal(self->out[0], (uint8_t)~self->in[0]);
    assert_int_equal(self->out[bytes_of(items) - 1], (uint8_t)~self->in[bytes_of(items) - 1]);
    int ran = -1;
    for (int i = 0; i < DEVICES; i++) {
        ran = launches_at(self, i) > before[i] ? i : ran;
    }
    assert_true(ran >= 0);
    return ran;
}

static void
run_and_judge(bench *self, int pieces) {
    self->judged = self->within = 0;
    self->took_ns = self->best_ns = 0;
    for (int k = 0; k < pieces; k++) {
        uint64_t items = pick_items(self);
        double took_ns = expected_ns(run_one(self, items), items), best_ns = INFINITY;
        for (int i = 0; i < DEVICES; i++) {
            best_ns = fmin(best_ns, expected_ns(i, items));
        }
        self->judged++;
        self->within += took_ns <= 1.1 * best_ns;
        self->took_ns += took_ns;
        self->best_ns += best_ns;
    }
    printf("%d pieces: %.1f %% within a tenth of the best, %.2f %% lost\n", pieces,
           100.0 * (double)self->within / (double)self->judged,
           100 * (self->took_ns / self->best_ns - 1));
}

static void
assert_bounds(const bench *self) {
    assert_true((double)self->within >= 0.95 * (double)self->judged);
    assert_true(self->took_ns <= 1.03 * self->best_ns);
}

static void
test_fake_regret_keeps_its_bounds_after_learning(void **state) {
    bench *self = *state;
    self->rand.state = test_seed(11);
    run_and_judge(self, FIRST);
    run_and_judge(self, JUDGED);
    assert_bounds(self);
    for (int i = 0; i < DEVICES; i++) { /* it is no contest otherwise */
        assert_true(launches_at(self, i) > (FIRST + JUDGED) / 20);
    }
}

/* A device that is lost again and again is done without meanwhile, and chosen as before once it is back. */
static void
test_fake_regret_recovers_from_failures(void **state) {
    bench *self = *state;
    self->rand.state = test_seed(12);
    run_and_judge(self, FIRST);
    uint64_t failed = 0;
    for (int round = 0; round < 3; round++) {
        int victim = (int)skua__rand_below(&self->rand, DEVICES);
        skua__fake_set_faults(
            self->machine.fakes[victim],
            &(skua__fake_faults){.loss_at = 1 + skua__rand_below(&self->rand, 5),
                                 .memory_at = 1 + skua__rand_below(&self->rand, 5)});
        run_and_judge(self, 30); /* results are looked at; what is best is not known meanwhile */
        skua__fake_set_faults(self->machine.fakes[victim], &(skua__fake_faults){0});
        failed += skua__fake_counts(self->machine.fakes[victim]).failed;
    }
    assert_true(failed > 0);
    for (int i = 0; i < DEVICES; i++) {
        skua__engine *engine = NULL;
        assert_int_equal(skua__devices_engine(self->machine.devices, (size_t)i, &engine, NULL), 0);
        while (skua__engine_rests_until_ns(engine) != 0) {
            step_all(self);
        }
    }
    run_and_judge(self, 60); /* those that are back are on probation */
    run_and_judge(self, JUDGED);
    assert_bounds(self);
}

/* ---- Calibration ---- */

/* Time passes on the fakes' clocks while a call blocks. */
static void *
step_until_stopped(void *arg) {
    bench *self = arg;
    while (!skua__a32_load(&self->stop, memory_order_relaxed)) { /* relaxed: joined afterwards */
        step_all(self);
    }
    return NULL;
}

static void
calibrate(bench *self, uint64_t items, int64_t budget_ms) {
    pthread_t stepper;
    skua_error err = {0};
    skua_kernel_arg args[2] = {{.data = self->in, .bytes = bytes_of(items)},
                               {.data = self->out, .bytes = bytes_of(items)}};
    skua__a32_store(&self->stop, 0, memory_order_relaxed); /* relaxed: nobody steps yet */
    assert_int_equal(skua__thread_start(&stepper, "stepper", step_until_stopped, self, NULL), 0);
    memset(self->out, 0xaa, bytes_of(items));
    if (skua_kernel_calibrate(
            self->machine.pool,
            SKUA_LAUNCH(.kernel = "invert", .global = {items}, .args = args, .arg_count = 2),
            budget_ms, &err)) {
        fail_msg("%s", err.message);
    }
    skua__a32_store(&self->stop, 1, memory_order_relaxed); /* relaxed: a word to the stepper */
    skua__thread_join(stepper);
    assert_int_equal(self->out[bytes_of(items) / 2], 0xaa); /* results are thrown away */
}

static uint64_t
all_launches(bench *self) {
    uint64_t launches = 0;
    for (int i = 0; i < DEVICES; i++) {
        launches += skua__fake_counts(self->machine.fakes[i]).launches;
    }
    return launches;
}

/* What the pool's selector expects of a device, by numbers that nobody was asked for yet. */
static skua_select_term
foreseen(bench *self, int device, uint64_t items) {
    skua_select_decision decision = {.size = sizeof decision};
    skua__kernels *kernels = self->machine.pool->kernels;
    const skua_select_place place = {.backend = kernels->places[device + 1].selector_number,
                                     .missing_bytes = 2 * bytes_of(items)};
    const skua_select_work work = {.size = sizeof work,
                                   .policy = SKUA_SELECT_SHORTEST_WAIT,
                                   .units = items,
                                   .places = &place,
                                   .place_count = 1};
    skua__mutex_lock(&self->machine.pool->lock);
    assert_int_equal(skua_select(kernels->selector, &work, &decision, NULL), 0);
    skua__mutex_unlock(&self->machine.pool->lock);
    return decision.terms[0];
}

static void
calibrate_sizes(bench *self) {
    for (int i = 0; i < SIZES; i++) {
        double ratio = (double)ITEMS_MAX / ITEMS_MIN;
        calibrate(self, whole_groups(ITEMS_MIN * pow(ratio, (double)i / (SIZES - 1))), LONG_MS);
    }
}

static void
assert_about(double value, double wanted, double share) {
    if (fabs(value - wanted) > share * wanted) {
        fail_msg("%g instead of about %g", value, wanted);
    }
}

/* Latency, bandwidth and rate are what was injected, at sizes between those that were run. */
static void
test_fake_regret_is_small_from_the_first_when_calibrated(void **state) {
    bench *self = *state;
    self->rand.state = test_seed(13);
    calibrate_sizes(self);
    for (int i = 0; i < DEVICES; i++) {
        const figures *m = &machines[i];
        for (uint64_t items = 768; items < ITEMS_MAX; items *= 5) {
            skua_select_term term = foreseen(self, i, items);
            double run_ns = (double)m->launch_ns + (double)items * (double)m->item_ps / 1e3;
            assert_about((double)term.run_ns, run_ns, 0.25); /* straight lines between powers */
        }
        double latency_ns = (double)m->launch_ns + ITEMS_MIN * (double)m->item_ps / 1e3;
        assert_about((double)foreseen(self, i, ITEMS_MIN).run_ns, latency_ns, 0.05);
    }
    /* The largest piece took the others longer than their budget. */
    const figures *far = &machines[DEVICES - 1];
    double move_ns =
        2 * (double)far->copy_ns + 2e9 * (double)bytes_of(ITEMS_MAX) / (double)far->bytes_per_s;
    double run_ns = (double)far->launch_ns + ITEMS_MAX * (double)far->item_ps / 1e3;
    assert_about((double)foreseen(self, DEVICES - 1, ITEMS_MAX).move_ns, move_ns, 0.05);
    assert_about((double)foreseen(self, DEVICES - 1, ITEMS_MAX).run_ns, run_ns, 0.05);
    run_and_judge(self, JUDGED);
    assert_bounds(self);
}

/* It is not begun where it would take too long, nor again where it is known, and what is known is kept. */
static void
test_fake_regret_calibration_is_bounded_and_kept(void **state) {
    (void)state;
    char dir[] = "/tmp/skua-test-XXXXXX", command[64];
    assert_non_null(mkdtemp(dir));
    bench *self = open_bench(dir);
    calibrate(self, ITEMS_MIN, 1000);
    assert_int_equal(all_launches(self), DEVICES * 4); /* one to build, three that count */
    calibrate(self, ITEMS_MIN, 1000);
    assert_int_equal(all_launches(self), DEVICES * 4);
    calibrate(self, LARGE, 1000); /* a second is not enough anywhere: nothing is begun */
    assert_int_equal(all_launches(self), DEVICES * 4);
    calibrate(self, LARGE, LONG_MS);
    assert_true(all_launches(self) > DEVICES * 4);
    close_bench(self);
    self = open_bench(dir);
    calibrate(self, ITEMS_MIN, 1000);
    calibrate(self, LARGE, LONG_MS);
    assert_int_equal(all_launches(self), 0);
    close_bench(self);
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    assert_int_equal(system(command), 0);
}

static void
test_fake_regret_calibration_refuses_what_makes_no_sense(void **state) {
    bench *self = *state;
    skua_kernel_arg args[2] = {{.data = self->in, .bytes = 8}, {.data = self->out, .bytes = 8}};
    skua_launch launch =
        *SKUA_LAUNCH(.kernel = "invert", .global = {8}, .args = args, .arg_count = 2);
    skua_error err = {0};
    assert_int_equal(skua_kernel_calibrate(self->machine.pool, NULL, 0, &err), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_kernel_calibrate(self->machine.pool, &launch, -1, &err),
                     SKUA_E_BAD_ARGUMENT);
    launch.arg_count = 1;
    assert_int_equal(skua_kernel_calibrate(self->machine.pool, &launch, 0, &err),
                     SKUA_E_BAD_ARGUMENT);
    launch.arg_count = 2;
    launch.kernel = "no-such";
    assert_int_equal(skua_kernel_calibrate(self->machine.pool, &launch, 0, &err), SKUA_E_NOT_FOUND);
    struct skua_buffer *buffer = NULL;
    assert_int_equal(
        skua_buffer_new(self->machine.devices, &buffer, SKUA_BUFFER_OPTIONS(.bytes = 8), NULL), 0);
    launch.kernel = "invert";
    args[1] = (skua_kernel_arg){.buffer = buffer};
    assert_int_equal(skua_kernel_calibrate(self->machine.pool, &launch, 0, &err),
                     SKUA_E_BAD_ARGUMENT);
    assert_non_null(strstr(err.message, "buffer"));
    skua_buffer_free(buffer);
    assert_int_equal(all_launches(self), 0);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fake_regret_keeps_its_bounds_after_learning, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_fake_regret_recovers_from_failures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fake_regret_is_small_from_the_first_when_calibrated,
                                        set_up, tear_down),
        cmocka_unit_test(test_fake_regret_calibration_is_bounded_and_kept),
        cmocka_unit_test_setup_teardown(test_fake_regret_calibration_refuses_what_makes_no_sense,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
