// SPDX-License-Identifier: MPL-2.0
// One device's health.
//
//   GOOD        -- NO_MEMORY, first for its launch ------------> GOOD         evict, retry here
//   GOOD        -- NO_MEMORY again, FAILED, HUNG --------------> QUARANTINE   close, retry elsewhere
//   QUARANTINE  -- TICK at its end ----------------------------> REBUILDING   rebuild
//   REBUILDING  -- REBUILT ------------------------------------> PROVING
//   REBUILDING  -- REBUILD_FAILED -----------------------------> QUARANTINE, the eighth in a row: GONE
//   PROVING     -- ENDED, three times -------------------------> GOOD         quarantines are short again
//   PROVING     -- NO_MEMORY, FAILED, HUNG --------------------> QUARANTINE   close, retry elsewhere
//   GONE        -- anything -----------------------------------> GONE         retry elsewhere
//
// Each quarantine is twice as long as the one before it, up to a minute. A launch that is not repeatable is given up
// where others are retried.
#include <skua-int/watch.h>

void
skua__watch_init(skua__watch *watch, int64_t first_ns) {
    *watch = (skua__watch){.first_ns = first_ns, .quarantine_ns = first_ns};
}

static uint32_t
quarantine(skua__watch *watch, int64_t now_ns) {
    watch->state = SKUA__WATCH_QUARANTINE;
    watch->until_ns = now_ns + watch->quarantine_ns;
    if (watch->quarantine_ns < SKUA__WATCH_QUARANTINE_MAX_NS) {
        watch->quarantine_ns *= 2;
        if (watch->quarantine_ns > SKUA__WATCH_QUARANTINE_MAX_NS) {
            watch->quarantine_ns = SKUA__WATCH_QUARANTINE_MAX_NS;
        }
    }
    watch->quarantines++;
    return SKUA__WATCH_CLOSE;
}

static uint32_t
rebuild_failed(skua__watch *watch, int64_t now_ns) {
    if (++watch->rebuild_failures >= SKUA__WATCH_REBUILD_FAILURES) {
        watch->state = SKUA__WATCH_GONE;
        return 0;
    }
    (void)quarantine(watch, now_ns); /* there is no context to close */
    return 0;
}

/* Another place for the launch of an event, if it can be run a second time. */
static uint32_t
elsewhere(skua__watch_launch launch) {
    return launch.repeatable ? SKUA__WATCH_RETRY_ELSEWHERE : SKUA__WATCH_GIVE_UP;
}

/* A device that works, or that has to show that it does, has failed a launch. */
static uint32_t
failed(skua__watch *watch, skua__watch_event event, skua__watch_launch launch, int64_t now_ns) {
    /* Only a device that is merely full can be relied on to end what it has. */
    uint32_t abandon = event == SKUA__WATCH_NO_MEMORY ? 0 : SKUA__WATCH_ABANDON;
    return quarantine(watch, now_ns) | abandon | elsewhere(launch);
}

uint32_t
skua__watch_step(skua__watch *watch, skua__watch_event event, skua__watch_launch launch,
                 int64_t now_ns) {
    bool failure = event >= SKUA__WATCH_NO_MEMORY && event <= SKUA__WATCH_HUNG;
    switch (watch->state) {
    case SKUA__WATCH_GOOD:
        if (event == SKUA__WATCH_NO_MEMORY && launch.evictions == 0 && launch.repeatable) {
            return SKUA__WATCH_EVICT | SKUA__WATCH_RETRY_HERE;
        }
        return failure ? failed(watch, event, launch, now_ns) : 0;
    case SKUA__WATCH_QUARANTINE:
        if (event == SKUA__WATCH_TICK && now_ns >= watch->until_ns) {
            watch->state = SKUA__WATCH_REBUILDING;
            return SKUA__WATCH_REBUILD;
        }
        return failure ? elsewhere(launch) : 0;
    case SKUA__WATCH_REBUILDING:
        if (event == SKUA__WATCH_REBUILT) {
            watch->state = SKUA__WATCH_PROVING;
            watch->proven = 0;
            watch->rebuild_failures = 0;
            return 0;
        }
        if (event == SKUA__WATCH_REBUILD_FAILED) {
            return rebuild_failed(watch, now_ns);
        }
        return failure ? elsewhere(launch) : 0;
    case SKUA__WATCH_PROVING:
        if (failure) {
            return failed(watch, event, launch, now_ns);
        }
        if (event == SKUA__WATCH_ENDED && ++watch->proven >= SKUA__WATCH_PROBATION) {
            watch->state = SKUA__WATCH_GOOD;
            watch->quarantine_ns = watch->first_ns;
        }
        return 0;
    default:
        return failure ? elsewhere(launch) : 0;
    }
}

bool
skua__watch_admits(const skua__watch *watch, uint32_t under_way) {
    return watch->state == SKUA__WATCH_GOOD ||
           (watch->state == SKUA__WATCH_PROVING && under_way == 0);
}

int64_t
skua__watch_next_ns(const skua__watch *watch) {
    return watch->state == SKUA__WATCH_QUARANTINE ? watch->until_ns : INT64_MAX;
}

int64_t
skua__watch_limit_ns(int64_t predicted_ns, int64_t hang_ns) {
    /* Being slow is no crime: only what is both long and far above its prediction hangs. */
    if (predicted_ns > INT64_MAX / SKUA__WATCH_SLOWER) {
        return INT64_MAX;
    }
    int64_t slow_ns = predicted_ns * SKUA__WATCH_SLOWER;
    return slow_ns > hang_ns ? slow_ns : hang_ns;
}
