// SPDX-License-Identifier: MPL-2.0
// The simulator's command: `sim --seeds 1000`, `sim --seed N --log`, `sim --table`.
#include "sim.h"

#include <sodium.h>
#include <stdlib.h>

enum { RECORD_EVERY = 20, REPEAT_EVERY = 25 };

typedef struct totals {
    uint64_t seeds, failed, steps, packets, joins, leaves, by_reason[SKUA__LEAVE_REASONS];
} totals;

static bool
run_seed(uint64_t seed, bool log, totals *sum) {
    sim_world world;
    sim_options options = {.seed = seed, .log = log, .record = seed % RECORD_EVERY == 0};
    bool passed = sim_scenario(&options, &world);
    uint64_t trace = world.trace;
    sum->seeds++;
    sum->steps += world.steps;
    sum->packets += world.packets;
    sum->joins += world.joins;
    sum->leaves += world.leaves;
    for (int i = 0; i < SKUA__LEAVE_REASONS; i++) {
        sum->by_reason[i] += world.leaves_by_reason[i];
    }
    if (!passed) {
        printf("seed %llu failed %s\n  replay it with: sim --seed %llu --log\n",
               (unsigned long long)seed, world.failure, (unsigned long long)seed);
    }
    sim_world_fini(&world);
    if (passed && seed % REPEAT_EVERY == 0) {
        options.log = false;
        sim_scenario(&options, &world);
        if (world.trace != trace) {
            printf("seed %llu failed: two runs differ\n", (unsigned long long)seed);
            passed = false;
        }
        sim_world_fini(&world);
    }
    sum->failed += !passed;
    return passed;
}

static int
run_seeds(uint64_t first, uint64_t count, bool log) {
    totals sum = {0};
    for (uint64_t seed = first; seed < first + count; seed++) {
        run_seed(seed, log, &sum);
        if (sum.failed >= 10) {
            printf("giving up after 10 failures\n");
            break;
        }
    }
    printf("%llu seeds, %llu failed; %llu steps, %llu packets, %llu joins, %llu leaves (",
           (unsigned long long)sum.seeds, (unsigned long long)sum.failed,
           (unsigned long long)sum.steps, (unsigned long long)sum.packets,
           (unsigned long long)sum.joins, (unsigned long long)sum.leaves);
    for (int i = 1; i < SKUA__LEAVE_REASONS; i++) {
        printf("%s%s %llu", i > 1 ? ", " : "", skua__leave_reason_text((skua__leave_reason)i),
               (unsigned long long)sum.by_reason[i]);
    }
    printf(")\n");
    return sum.failed ? 1 : 0;
}

static int
usage(void) {
    fprintf(stderr, "usage: sim [--seeds COUNT] [--seed N] [--log] | sim --table [--hours N]\n");
    return 2;
}

int
main(int argc, char **argv) {
    const char *env = getenv("SKUA_TEST_SEED");
    uint64_t first = env ? strtoull(env, NULL, 0) : 1, count = env ? 1 : 1000;
    uint32_t hours = 4;
    bool log = false, table = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "0";
        if (strcmp(argv[i], "--log") == 0) {
            log = true;
        } else if (strcmp(argv[i], "--table") == 0) {
            table = true;
        } else if (strcmp(argv[i], "--seed") == 0 && ++i < argc) {
            first = strtoull(value, NULL, 0);
            count = 1;
        } else if (strcmp(argv[i], "--seeds") == 0 && ++i < argc) {
            count = env ? 1 : strtoull(value, NULL, 0);
        } else if (strcmp(argv[i], "--hours") == 0 && ++i < argc) {
            hours = (uint32_t)strtoul(value, NULL, 0);
        } else {
            return usage();
        }
    }
    if (sodium_init() < 0) {
        return 2;
    }
    return table ? sim_table(first, hours) : run_seeds(first, count, log);
}
