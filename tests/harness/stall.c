// SPDX-License-Identifier: MPL-2.0
// The stall meter: a thread that waits for short deadlines and sees how late it comes back.
#include "stall.h"

#include "test.h"

#include <skua-int/clock.h>
#include <skua-int/thread.h>
#include <stdbool.h>

enum { PERIOD_MS = 2, WAKE_UPS = 4 };

struct stall_meter {
    pthread_t thread;
    skua__mutex lock;
    skua__cond stop;
    int64_t begun_ns;
    int64_t worst_ns;
    bool ended;
};

static void *
watch(void *arg) {
    stall_meter *meter = arg;
    skua__mutex_lock(&meter->lock);
    while (!meter->ended) {
        int64_t due_ns = skua__deadline_ns(PERIOD_MS);
        if (!skua__cond_wait_until(&meter->stop, &meter->lock, due_ns)) {
            int64_t late_ns = skua__clock_ns() - due_ns;
            meter->worst_ns = late_ns > meter->worst_ns ? late_ns : meter->worst_ns;
        }
    }
    skua__mutex_unlock(&meter->lock);
    return NULL;
}

stall_meter *
stall_meter_begin(void) {
    skua_error err;
    stall_meter *meter = calloc(1, sizeof *meter);
    assert_non_null(meter);
    meter->begun_ns = skua__clock_ns();
    skua__mutex_init(&meter->lock);
    skua__cond_init(&meter->stop);
    assert_int_equal(skua__thread_start(&meter->thread, "stall-meter", watch, meter, &err), 0);
    return meter;
}

/* Returns the worst delay seen. */
static int64_t
end(stall_meter *meter) {
    skua__mutex_lock(&meter->lock);
    meter->ended = true;
    skua__cond_signal(&meter->stop);
    skua__mutex_unlock(&meter->lock);
    skua__thread_join(meter->thread);
    skua__cond_fini(&meter->stop);
    skua__mutex_fini(&meter->lock);
    int64_t worst_ns = meter->worst_ns;
    free(meter);
    return worst_ns;
}

void
stall_meter_must_have_kept(stall_meter *meter, const char *promise, int64_t took_ns,
                           int64_t limit_ms) {
    double stall_ms = (double)end(meter) / 1e6;
    double took_ms = (double)took_ns / 1e6;
    print_message("%s: %.1f ms (promised %lld; the machine kept a ready thread waiting for %.1f)\n",
                  promise, took_ms, (long long)limit_ms, stall_ms);
    if (took_ms > (double)limit_ms + WAKE_UPS * stall_ms) {
        fail_msg("%s took %.1f ms instead of %lld", promise, took_ms, (long long)limit_ms);
    }
}

void
stall_meter_must_keep(stall_meter *meter, const char *promise, int64_t limit_ms) {
    stall_meter_must_have_kept(meter, promise, skua__clock_ns() - meter->begun_ns, limit_ms);
}
