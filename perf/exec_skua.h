// SPDX-License-Identifier: MPL-2.0
// What the files of the skua side of `skua-perf exec` share.
#ifndef SKUA_PERF_EXEC_SKUA_H
#define SKUA_PERF_EXEC_SKUA_H

#include "exec_peer.h"

#include <skua/exec.h>

/* An executor, or the end of the process with the error. */
void *exec_skua_open(int workers);
void exec_skua_close(void *peer);
/* Runs fn(w, frame) on a worker of it, or ends the process with the error. */
void exec_skua_enter(void *peer, skua_fn *fn, void *frame);

#endif
