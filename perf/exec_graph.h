// SPDX-License-Identifier: MPL-2.0
// The graphs of `skua-perf exec`, as exec.c sees them.
#ifndef SKUA_PERF_EXEC_GRAPH_H
#define SKUA_PERF_EXEC_GRAPH_H

#include "exec_bench.h"

/* Chains and layered graphs, per node. */
void perf_exec_graph(perf_bench *bench, const exec_peers *peers);

#endif
