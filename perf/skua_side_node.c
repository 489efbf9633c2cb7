// SPDX-License-Identifier: MPL-2.0
// Nodes for the benchmarks: two that find each other, one that idles, a mesh of many.
#include "scratch.h"
#include "skua_side.h"

#include <skua/node.h>

#include <stdlib.h>
#include <unistd.h>

enum { MESH_WAIT_MS = 30000 };

int
skua_side_failed(const char *what, const skua_error *err) {
    fprintf(stderr, "skua: %s: %s %s\n", what, err->code, err->message);
    return 1;
}

skua_node *
skua_side_node(const char *name) {
    skua_error err;
    skua_node *node;
    char unique[SKUA_NODE_NAME_BYTES];
    snprintf(unique, sizeof unique, "perf-%s-%d", name, (int)getpid());
    if (skua_node_open(&node,
                       SKUA_NODE_OPTIONS(.name = unique, .beacon_port = perf_scratch_beacon_port()),
                       &err)) {
        skua_side_failed("node", &err);
        return NULL;
    }
    return node;
}

bool
skua_side_prepare(void) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        skua_node *node = skua_side_node("first");
        skua_node_close(node);
        _exit(node ? 0 : 1);
    }
    return child > 0 && perf_reap(child, INT64_MAX) == 0;
}

int
skua_mesh_member(perf_mesh *mesh, uint32_t index) {
    skua_error err;
    char name[16];
    snprintf(name, sizeof name, "%u", (unsigned)index);
    perf_mesh_wait(mesh->go_fd);
    skua_node *node = skua_side_node(name);
    if (!node) {
        return 1;
    }
    if (skua_node_await_peers(node, mesh->what->nodes - 1, MESH_WAIT_MS, &err)) {
        return skua_side_failed("mesh", &err);
    }
    perf_mesh_done(mesh);
    return 0;
}

void *
skua_idle_open(void) {
    return skua_side_node("idle");
}

void
skua_idle_close(void *opened) {
    skua_node_close(opened);
}
