// SPDX-License-Identifier: MPL-2.0
// The smoothing of run times, round trips and bandwidths.
#include <skua-int/cost.h>

#include <skua-int/clock.h>

enum {
    RUN_SHIFT = 3,        /* a new run counts for 1/8 */
    ROUND_RISE_SHIFT = 5, /* a longer round trip counts for 1/32, a shorter one for 1/2 */
    BANDWIDTH_SHIFT = 2,  /* a new transfer counts for 1/4 */
    FIRST_SAMPLES = 4,    /* until so many, the plain mean is taken */
};

int64_t
skua__cost_believed_ns(uint64_t said_ns, int64_t waited_ns) {
    int64_t most_ns = waited_ns > 0 ? waited_ns : 0;
    return said_ns < (uint64_t)most_ns ? (int64_t)said_ns : most_ns;
}

void
skua__cost_learn_run(skua__run_cost *cost, int64_t run_ns) {
    if (run_ns < 0) {
        return;
    }
    if (cost->samples < FIRST_SAMPLES) {
        cost->samples++;
        cost->run_ns += (run_ns - cost->run_ns) / (int64_t)cost->samples;
        return;
    }
    cost->run_ns += (run_ns - cost->run_ns) / (1 << RUN_SHIFT);
}

static void
learn_round(skua__way_cost *cost, int64_t round_ns) {
    if (cost->round_samples == 0) {
        cost->round_ns = round_ns;
    } else if (round_ns < cost->round_ns) {
        cost->round_ns -= (cost->round_ns - round_ns) / 2;
    } else {
        cost->round_ns += (round_ns - cost->round_ns) / (1 << ROUND_RISE_SHIFT);
    }
    cost->round_samples += cost->round_samples < UINT32_MAX;
    if (cost->round_ns < 1) {
        cost->round_ns = 1;
    }
}

void
skua__cost_learn_way(skua__way_cost *cost, int64_t total_ns, int64_t run_ns, uint64_t bytes,
                     bool alone) {
    int64_t way_ns = total_ns - run_ns;
    if (!alone || way_ns <= 0) {
        return;
    }
    if (bytes < SKUA__COST_SMALL_BYTES) {
        learn_round(cost, way_ns);
        return;
    }
    if (bytes < SKUA__COST_LARGE_BYTES) {
        return;
    }
    int64_t move_ns = way_ns > 2 * cost->round_ns ? way_ns - cost->round_ns : way_ns / 2;
    double rate = (double)bytes * (double)SKUA_NS_PER_S / (double)(move_ns ? move_ns : 1);
    int64_t bytes_per_s = rate < 1 ? 1 : rate > 1e15 ? (int64_t)1e15 : (int64_t)rate;
    if (cost->bytes_per_s == 0) {
        cost->bytes_per_s = bytes_per_s;
    } else {
        cost->bytes_per_s += (bytes_per_s - cost->bytes_per_s) / (1 << BANDWIDTH_SHIFT);
    }
}

int64_t
skua__cost_move_ns(const skua__way_cost *cost, uint64_t bytes) {
    if (cost->bytes_per_s == 0) {
        return 0;
    }
    return (int64_t)((double)bytes * (double)SKUA_NS_PER_S / (double)cost->bytes_per_s);
}
