// SPDX-License-Identifier: MPL-2.0
// skua's own part in each benchmark: two nodes of the benchmarks' personal fleet that find each other.
#ifndef SKUA_PERF_SKUA_SIDE_H
#define SKUA_PERF_SKUA_SIDE_H

#include "mesh.h"
#include "perf.h"

#include <skua/error.h>

/* skua_side_reqrep.c, skua_side_streams.c, skua_side_task.c */
extern const perf_impl skua_round_trips;
extern const perf_impl skua_push_pull;
extern const perf_impl skua_pub_sub;
extern const perf_impl skua_tasks;

/* skua_side_node.c */
int skua_mesh_member(perf_mesh *mesh, uint32_t index);
struct skua_node;
/* A node with the benchmarks' settings; what failed is written to stderr, and NULL returned. */
struct skua_node *skua_side_node(const char *name);
/* Makes the benchmarks' fleet, in a process of its own, so that no two nodes make it at once. */
bool skua_side_prepare(void);
/* Writes what failed to stderr. Returns 1, for the end of a side. */
int skua_side_failed(const char *what, const skua_error *err);
void *skua_idle_open(void);
void skua_idle_close(void *opened);

#endif
