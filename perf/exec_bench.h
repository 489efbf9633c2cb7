// SPDX-License-Identifier: MPL-2.0
// What the two halves of `skua-perf exec` share: the list of executors.
#ifndef SKUA_PERF_EXEC_BENCH_H
#define SKUA_PERF_EXEC_BENCH_H

#include "exec_peer.h"
#include "perf.h"

enum { EXEC_PEERS_MAX = 12 };

typedef struct exec_peers {
    const exec_peer *list[EXEC_PEERS_MAX]; /* skua first */
    size_t count;
} exec_peers;

/* Submissions from outside, round trips, wake-ups, idle CPU, more workers than cores. */
void perf_exec_outside(perf_bench *bench, const exec_peers *peers);

/* exec_submit.c: one run, in the child; perf_run.arg is the exec_peer. What a job costs in all, and what the call costs. */
int perf_exec_submit(perf_run *run);
int perf_exec_submit_call(perf_run *run);

/* Several processes on two CPUs. */
void perf_exec_crowd(perf_bench *bench, const exec_peers *peers);

#endif
