// SPDX-License-Identifier: MPL-2.0
// What the processes of one mesh share: a start signal, addresses where the peer needs them told, and who is done.
#ifndef SKUA_PERF_MESH_H
#define SKUA_PERF_MESH_H

#include "peers/raw.h"

#include <stdint.h>

enum { PERF_MESH_NODES_MAX = 64 };

typedef struct perf_mesh {
    const perf_case *what;
    int go_fd;   /* readable (at its end) when the start was given */
    int done_fd; /* one byte from each process that knows all others */
    int end_fd;  /* readable (at its end) when all are done: a process lives until then */
    /* Raw libzmq only, written before the start: where each process binds, and the key that all bind with. */
    raw_address addresses[PERF_MESH_NODES_MAX];
    char secret[RAW_KEY_TEXT];
} perf_mesh;

/* Waits until the other end of a pipe is closed. */
void perf_mesh_wait(int fd);
/* This process knows all others; returns when every process does. */
void perf_mesh_done(perf_mesh *mesh);

#endif
