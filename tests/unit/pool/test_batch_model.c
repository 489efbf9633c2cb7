// SPDX-License-Identifier: MPL-2.0
// Random requests, cancels, deadlines and steps in time against a model of the queue, which says of each request how it
// ends and with how many others it leaves. The device fails now and then, which changes nothing of that.
#include "batch_bench.h"

#include <sched.h>
#include <skua-int/rand.h>
#include <string.h>

enum { ROUNDS = 40, STEPS = 300, FULL = 7, QUEUE = 5000 };

#define STEP_MS 100000 /* far above what the test takes: only the model's clock ends deadlines */

typedef struct guess {
    skua_batch_future *future;
    uint32_t x;
    bool waits;
    int32_t status;      /* how it ends */
    uint32_t with;       /* in a batch of so many */
    int64_t deadline_ms; /* on the model's clock; 0: none */
} guess;

typedef struct model {
    batch_bench b;
    skua__rand random;
    guess guesses[STEPS];
    uint32_t count, waiting;
    uint64_t batches, left;
    int64_t now_ms, start_ns;
} model;

/* The oldest that wait leave together, at most FULL. */
static void
leave(model *self) {
    uint32_t with = self->waiting < FULL ? self->waiting : FULL;
    uint32_t going = with;
    for (uint32_t i = 0; i < self->count && going; i++) {
        guess *one = &self->guesses[i];
        if (one->waits) {
            one->waits = false;
            one->with = with;
            going--;
        }
    }
    self->waiting -= with;
    self->batches++;
    self->left += with;
}

static void
end_waiting(model *self, guess *one, int32_t status) {
    one->waits = false;
    one->status = status;
    self->waiting--;
}

/* The thread takes a full batch by itself, some time: what comes next must find the queue that the model has. */
static void
await_queue(model *self) {
    while (bench_stats(&self->b).waiting != self->waiting) {
        sched_yield();
    }
}

static void
ask_one(model *self) {
    guess *one = &self->guesses[self->count++];
    uint32_t kind = skua__rand_below(&self->random, 4);
    *one = (guess){.x = self->count * 17, .waits = true};
    if (kind == 0) {
        one->deadline_ms = self->now_ms + (1 + skua__rand_below(&self->random, 5)) * STEP_MS;
    }
    /* The batcher counts it from the true time, which is that of the model's start, all but nothing of a step. */
    assert_int_equal(ask_row(&self->b, one->x, one->deadline_ms, &one->future), 0);
    if (++self->waiting == FULL) {
        leave(self);
    }
    await_queue(self);
}

static void
cancel_one(model *self) {
    if (self->count) {
        guess *one = &self->guesses[skua__rand_below(&self->random, self->count)];
        assert_int_equal(skua_batch_cancel(one->future), one->waits);
        if (one->waits) {
            end_waiting(self, one, SKUA_E_CANCELLED);
        }
    }
}

/* Deadlines pass, and whoever has none has waited for long enough. */
static void
pass_time(model *self) {
    self->now_ms += STEP_MS;
    bool due = false;
    for (uint32_t i = 0; i < self->count; i++) {
        guess *one = &self->guesses[i];
        if (one->waits && one->deadline_ms && one->deadline_ms < self->now_ms + STEP_MS / 2) {
            end_waiting(self, one, SKUA_E_TIMEOUT);
            due = true;
        }
    }
    bool sends = self->waiting > 0; /* wait_us is below STEP_MS: all have waited for long enough */
    if (sends) {
        leave(self);
    }
    int64_t at_ns = self->start_ns + (self->now_ms + STEP_MS / 2) * SKUA_NS_PER_MS;
    assert_int_equal(skua__batch_step(self->b.batch, at_ns), due || sends);
    await_queue(self);
}

static void
break_device(model *self) {
    skua__fake_faults faults = {.loss_at = 1 + skua__rand_below(&self->random, 2)};
    if (skua__rand_below(&self->random, 2)) {
        faults = (skua__fake_faults){.memory_at = 1, .memory_times = 1};
    }
    skua__fake_set_faults(self->b.fake, &faults);
}

static void
check_ends(model *self) {
    uint64_t sums[3] = {0}; /* ok, timeout, cancelled */
    for (uint32_t i = 0; i < self->count; i++) {
        guess *one = &self->guesses[i];
        if (one->waits) { /* the close ends it */
            one->status = SKUA_E_CANCELLED;
        }
        if (skua__rand_below(&self->random, 10) == 0) {
            skua_batch_future_free(one->future);
        } else {
            skua_batch_result result = end_row(one->future, one->x);
            if (result.status != one->status || result.batch_requests != one->with) {
                fail_msg("request %u of %u ended %d in %u, and not %d in %u", i, self->count,
                         result.status, result.batch_requests, one->status, one->with);
            }
        }
        sums[0] += one->status == 0;
        sums[1] += one->status == SKUA_E_TIMEOUT;
        sums[2] += one->status == SKUA_E_CANCELLED;
    }
    assert_int_equal(sums[0] + sums[1] + sums[2], self->count);
    assert_int_equal(sums[0], self->left);
}

static void
run_round(uint64_t seed) {
    static model self;
    memset(&self, 0, sizeof self);
    self.random.state = seed;
    batch_bench_open(&self.b, true, true, 0);
    open_plain(&self.b, "plain",
               SKUA_BATCH_OPTIONS(.requests_max = FULL, .hold_when_idle = 1, .wait_us = LONG_US,
                                  .in_flight_max = SKUA_BATCH_MAX_IN_FLIGHT, .queue_max = QUEUE));
    self.start_ns = skua__clock_ns();
    for (int step = 0; step < STEPS; step++) {
        uint32_t what = skua__rand_below(&self.random, 20);
        if (what < 13) {
            ask_one(&self);
        } else if (what < 16) {
            cancel_one(&self);
        } else if (what < 18) {
            pass_time(&self);
        } else {
            break_device(&self);
        }
    }
    skua_batch_counters counters = bench_stats(&self.b);
    assert_int_equal(counters.batches, self.batches);
    assert_int_equal(counters.batch_requests, self.left);
    assert_int_equal(counters.requests, self.count);
    assert_int_equal(counters.waiting, self.waiting);
    self.b.batch = skua_batch_close(self.b.batch);
    check_ends(&self);
    batch_bench_close(&self.b);
}

static void
test_batch_model_agrees(void **state) {
    (void)state;
    uint64_t seed = test_seed(2026);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        run_round(seed + round);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_batch_model_agrees)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
