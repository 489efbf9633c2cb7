// SPDX-License-Identifier: MPL-2.0
// Stands in for serve.c while the pool is not built.
#include "serve.h"

#include <skua-int/fail.h>

skua_status
serve_open(serve **ret_serve, skua_node *node, int32_t workers, skua_error *err) {
    (void)ret_serve;
    (void)node;
    (void)workers;
    return SKUA_FAIL(err, SKUA_E_UNSUPPORTED, "this build runs no tasks");
}

void
serve_drain(serve *self) {
    (void)self;
}

void
serve_figures(serve *self, uint64_t *ret_served, uint64_t *ret_busy_ns) {
    (void)self;
    (void)ret_served;
    (void)ret_busy_ns;
}

void
serve_close(serve *self) {
    (void)self;
}
