// SPDX-License-Identifier: MPL-2.0
// What a scenario of the exploration sees: memory, random numbers and checks that belong to one schedule. Its threads are
// pthreads as everywhere else; libc.h, which the build forces into every file here, lets the explorer run them.
#ifndef SKUA_EXPLORE_H
#define SKUA_EXPLORE_H

#include <skua/alloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct explore_scenario {
    const char *name;
    void (*run)(void); /* one schedule: everything it opens it also closes */
} explore_scenario;

/* The scenarios, ended by one without a name. */
extern const explore_scenario explore_scenarios[];

/* Zeroed memory until the end of the schedule. Accesses to it are watched for data races. */
void *explore_new(size_t size_bytes);

/* The allocator to open executors with: what is released there must not be touched any more. */
const skua_allocator *explore_allocator(void);

/* A number under bound, from the schedule's seed. */
uint32_t explore_below(uint32_t bound);

/* Which process the executors that are opened from now on belong to; 1 at first. They share the host's memory and CPUs. */
void explore_enter_process(int32_t process);
/* The process has ended, as others can see. */
void explore_end_process(int32_t process);

/* Ends the run with the seed and a trace unless ok. */
void explore_check(bool ok, const char *what);

#endif
