// SPDX-License-Identifier: MPL-2.0
// Explores schedules of the executor: each seed is one schedule, and a failure prints the seed that replays it.
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCHEDULES_DEFAULT = 5000,
    CALIBRATIONS = 16, /* schedules that tell how long one is; they count like the others */
    STEPS_GUESS = 400,
};

static void
usage(void) {
    fputs("usage: explore [--scenario NAME] [--memory sc|weak] [--schedules N] [--first SEED]\n"
          "               [--seed SEED]   one schedule, with its trace\n"
          "               [--list]\n",
          stderr);
    exit(2);
}

typedef struct arguments {
    const char *scenario;
    const char *memory;
    uint64_t schedules;
    uint64_t first;
    bool one;
    uint64_t seed;
} arguments;

static void
list_scenarios(void) {
    for (const explore_scenario *s = explore_scenarios; s->name; s++) {
        puts(s->name);
    }
}

static arguments
read_arguments(int argc, char **argv) {
    arguments a = {.schedules = SCHEDULES_DEFAULT, .first = 1};
    for (int i = 1; i < argc; i += 2) { /* each with its value, but for the one that ends us */
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--list") == 0) {
            list_scenarios();
            exit(0);
        }
        if (!value) {
            usage();
        }
        if (strcmp(argv[i], "--scenario") == 0) {
            a.scenario = value;
        } else if (strcmp(argv[i], "--memory") == 0) {
            a.memory = value;
        } else if (strcmp(argv[i], "--schedules") == 0) {
            a.schedules = strtoull(value, NULL, 0);
        } else if (strcmp(argv[i], "--first") == 0) {
            a.first = strtoull(value, NULL, 0);
        } else if (strcmp(argv[i], "--seed") == 0) {
            a.one = true;
            a.seed = strtoull(value, NULL, 0);
        } else {
            usage();
        }
    }
    if (a.memory && strcmp(a.memory, "sc") != 0 && strcmp(a.memory, "weak") != 0) {
        usage();
    }
    return a;
}

/* The same for each run with these arguments, so that a seed means the same schedule every time. */
static uint32_t
expected_steps(const explore_scenario *scenario, bool weak) {
    explore_options options = {.weak = weak, .steps_expected = STEPS_GUESS};
    explore_totals totals = {0};
    for (uint64_t i = 0; i < CALIBRATIONS; i++) {
        explore__run(scenario, UINT64_MAX - i, &options, &totals);
    }
    return (uint32_t)(totals.steps / CALIBRATIONS) + 1;
}

static void
explore_one(const explore_scenario *scenario, bool weak, const arguments *a,
            explore_totals *ret_all) {
    explore_options options = {.weak = weak, .trace = a->one};
    explore_totals totals = {0};
    options.steps_expected = expected_steps(scenario, weak);
    if (a->one) {
        explore__run(scenario, a->seed, &options, &totals);
    } else {
        for (uint64_t i = 0; i < a->schedules; i++) {
            explore__run(scenario, a->first + i, &options, &totals);
        }
        totals.schedules += CALIBRATIONS;
    }
    printf("%-8s %-4s %7llu schedules, %5.1f accesses and %5.1f switches in each\n", scenario->name,
           weak ? "weak" : "sc", (unsigned long long)totals.schedules,
           (double)totals.steps / (double)totals.schedules,
           (double)totals.switches / (double)totals.schedules);
    ret_all->schedules += totals.schedules;
    ret_all->steps += totals.steps;
}

int
main(int argc, char **argv) {
    arguments a = read_arguments(argc, argv);
    explore_totals all = {0};
    bool found = false;
    explore__setup();
    for (const explore_scenario *s = explore_scenarios; s->name; s++) {
        if (a.scenario && strcmp(a.scenario, s->name) != 0) {
            continue;
        }
        found = true;
        for (int weak = 0; weak < 2; weak++) {
            if (!a.memory || strcmp(a.memory, weak ? "weak" : "sc") == 0) {
                explore_one(s, weak, &a, &all);
            }
        }
    }
    if (!found) {
        fprintf(stderr, "explore: there is no scenario \"%s\"\n", a.scenario);
        return 2;
    }
    printf("explored %llu schedules, %llu accesses: ok\n", (unsigned long long)all.schedules,
           (unsigned long long)all.steps);
    return 0;
}
