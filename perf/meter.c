// SPDX-License-Identifier: MPL-2.0
// Counting while a run is under way, the same for every implementation: warm-up, end, sequence numbers.
#include "perf.h"

#include <skua-int/clock.h>
#include <skua-int/histogram.h>

#include <stdlib.h>
#include <string.h>

enum {
    CLOCK_EVERY = 64,   /* messages between two looks at the clock, when they are small */
    CLOCK_SMALL = 4096, /* bytes */
    WARM_UP_SHARE = 8,  /* the warm-up is an eighth of the run */
};

struct perf_meter {
    perf_run *run;
    int64_t begin_ns, end_ns; /* of what is measured; begin_ns 0: nothing was seen yet */
    int64_t started_ns;       /* of the first message that counts */
    uint64_t count, lost, next;
    uint32_t until_clock, clock_every;
    bool counting;
    skua__histogram histogram;
};

perf_meter *
perf_meter_new(perf_run *run) {
    perf_meter *meter = calloc(1, sizeof *meter);
    if (!meter) {
        perror("skua-perf");
        exit(1);
    }
    meter->run = run;
    meter->clock_every = run->what->size_bytes < CLOCK_SMALL ? CLOCK_EVERY : 1;
    return meter;
}

perf_meter *
perf_meter_free(perf_meter *meter) {
    free(meter);
    return NULL;
}

/* Starts the time at the first event; true when the end has come. */
static bool
at(perf_meter *meter, int64_t now_ns) {
    if (meter->begin_ns == 0) {
        int64_t length_ns = (int64_t)(meter->run->seconds * (double)SKUA_NS_PER_S);
        meter->begin_ns = now_ns + length_ns / WARM_UP_SHARE;
        meter->end_ns = meter->begin_ns + length_ns;
    }
    return now_ns >= meter->end_ns;
}

bool
perf_meter_round_trip(perf_meter *meter, int64_t began_ns, int64_t ended_ns) {
    bool over = at(meter, ended_ns);
    if (began_ns >= meter->begin_ns) {
        skua__histogram_add(&meter->histogram, (uint64_t)(ended_ns - began_ns));
    }
    over = over &&
           meter->histogram.count > 0; /* the machine may have stood still until after the end */
    if (over) {
        const skua__histogram *h = &meter->histogram;
        meter->run->shared->sample = (perf_sample){
            .p50 = (double)skua__histogram_at(h, 500) / 1e3,
            .p99 = (double)skua__histogram_at(h, 990) / 1e3,
            .min = (double)h->min / 1e3,
            .max = (double)h->max / 1e3,
        };
    }
    return over;
}

bool
perf_meter_done(perf_meter *meter, uint64_t count, uint64_t lost) {
    if (meter->counting) {
        meter->count += count;
        meter->lost += lost;
    }
    if (meter->until_clock > count) {
        meter->until_clock -= (uint32_t)count;
        return false;
    }
    meter->until_clock = meter->clock_every;
    int64_t now_ns = skua__clock_ns();
    bool over = at(meter, now_ns);
    if (!meter->counting && now_ns >= meter->begin_ns) {
        meter->counting = true;
        meter->started_ns = now_ns;
        /* The machine may have stood still until after the end: what was not counted yet cannot be over. */
        meter->end_ns = now_ns + meter->end_ns - meter->begin_ns;
        over = false;
    }
    if (over) {
        double rate =
            (double)meter->count * (double)SKUA_NS_PER_S / (double)(now_ns - meter->started_ns);
        meter->run->shared->sample =
            (perf_sample){.p50 = rate, .p99 = rate, .min = rate, .max = rate, .lost = meter->lost};
    }
    return over;
}

bool
perf_meter_message(perf_meter *meter, const void *payload) {
    uint64_t sequence;
    memcpy(&sequence, payload, sizeof sequence);
    uint64_t missing = sequence > meter->next ? sequence - meter->next : 0;
    meter->next = sequence + 1;
    return perf_meter_done(meter, 1, meter->counting ? missing : 0);
}
