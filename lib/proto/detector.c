// SPDX-License-Identifier: MPL-2.0
// The silence rule, the lived clock, and the smoothed round trip.
#include <skua-int/clock.h>
#include <skua-int/detector.h>

/*
 * The rule, on the lived clock, T the heartbeat. Both sides send at least every T, on the link and by beacon.
 *
 *   silent for        link silent for    verdict
 *   < 2 T             < 3.25 T           FRESH
 *   < 2 T             < 6 T              LINK_STALE    beacons arrive, the link does not work: dial anew
 *   2 T to 3.25 T     < 6 T              SUSPECT       probe it
 *   < 3.25 T          >= 6 T             UNREACHABLE
 *   >= 3.25 T         any                DEAD
 *
 * The last sign of life before a partition is at most as old as the partition, so DEAD falls at the latest 3.25 T after
 * its beginning, plus the loop's lateness (under T/4 + T/2, or it is a stall): the promise leaves room to 3.5 T + 100 ms.
 */
static int64_t
quarters(int64_t heartbeat_ns, int64_t count) {
    return heartbeat_ns * count / 4;
}

void
skua__lived_init(skua__lived *lived, int64_t heartbeat_ns, int64_t clock_ns) {
    *lived = (skua__lived){.heartbeat_ns = heartbeat_ns, .last_ns = clock_ns};
}

int64_t
skua__lived_tick_ns(const skua__lived *lived) {
    return quarters(lived->heartbeat_ns, SKUA__TICK_QUARTERS);
}

int64_t
skua__lived_now(skua__lived *lived, int64_t clock_ns) {
    int64_t elapsed_ns = clock_ns - lived->last_ns;
    if (elapsed_ns > 0) {
        int64_t tick_ns = skua__lived_tick_ns(lived);
        if (elapsed_ns > tick_ns + quarters(lived->heartbeat_ns, SKUA__STALL_QUARTERS)) {
            lived->stalled_ns += elapsed_ns - tick_ns;
            lived->stalls++;
        }
        lived->last_ns = clock_ns;
    }
    return lived->last_ns - lived->stalled_ns;
}

int64_t
skua__lived_to_clock(const skua__lived *lived, int64_t lived_ns) {
    return lived_ns == SKUA_NEVER_NS ? SKUA_NEVER_NS : lived_ns + lived->stalled_ns;
}

void
skua__detector_init(skua__detector *detector, int64_t heartbeat_ns, int64_t now_ns) {
    *detector =
        (skua__detector){.heartbeat_ns = heartbeat_ns, .heard_ns = now_ns, .link_heard_ns = now_ns};
}

void
skua__detector_heard(skua__detector *detector, bool on_link, int64_t now_ns) {
    if (now_ns > detector->heard_ns) {
        detector->heard_ns = now_ns;
    }
    if (on_link && now_ns > detector->link_heard_ns) {
        detector->link_heard_ns = now_ns;
    }
}

/* Has the limit passed since? If not, *next_ns is brought forward to when it will have. */
static bool
passed(int64_t since_ns, int64_t limit_ns, int64_t now_ns, int64_t *next_ns) {
    int64_t at_ns = since_ns + limit_ns;
    if (now_ns >= at_ns) {
        return true;
    }
    if (at_ns < *next_ns) {
        *next_ns = at_ns;
    }
    return false;
}

skua__verdict
skua__detector_judge(const skua__detector *detector, int64_t now_ns, int64_t *ret_next_ns) {
    int64_t heartbeat_ns = detector->heartbeat_ns;
    int64_t suspect_ns = quarters(heartbeat_ns, SKUA__SUSPECT_QUARTERS);
    int64_t dead_ns = quarters(heartbeat_ns, SKUA__DEAD_QUARTERS);
    int64_t unreachable_ns = quarters(heartbeat_ns, SKUA__UNREACHABLE_QUARTERS);
    int64_t next_ns = SKUA_NEVER_NS;
    skua__verdict verdict = SKUA__VERDICT_FRESH;
    if (passed(detector->link_heard_ns, dead_ns, now_ns, &next_ns)) {
        verdict = SKUA__VERDICT_LINK_STALE;
    }
    if (passed(detector->heard_ns, suspect_ns, now_ns, &next_ns)) {
        verdict = SKUA__VERDICT_SUSPECT;
    }
    if (passed(detector->link_heard_ns, unreachable_ns, now_ns, &next_ns)) {
        verdict = SKUA__VERDICT_UNREACHABLE;
    }
    if (passed(detector->heard_ns, dead_ns, now_ns, &next_ns)) {
        verdict = SKUA__VERDICT_DEAD;
    }
    *ret_next_ns = next_ns;
    return verdict;
}

void
skua__rtt_sample(skua__rtt *rtt, int64_t sample_ns) {
    if (sample_ns < 0) {
        return;
    }
    if (rtt->smoothed_ns == 0) {
        *rtt = (skua__rtt){.smoothed_ns = sample_ns ? sample_ns : 1, .deviation_ns = sample_ns / 2};
        return;
    }
    int64_t error_ns = sample_ns - rtt->smoothed_ns;
    int64_t size_ns = error_ns < 0 ? -error_ns : error_ns;
    rtt->smoothed_ns += error_ns / 8;
    rtt->deviation_ns += (size_ns - rtt->deviation_ns) / 4;
}
