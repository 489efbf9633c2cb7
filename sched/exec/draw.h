// SPDX-License-Identifier: MPL-2.0
// A text that grows, for the drawings of topologies and plans.
#ifndef SKUA_EXEC_DRAW_H
#define SKUA_EXEC_DRAW_H

#include <skua/alloc.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct skua__drawing {
    const skua_allocator *hook;
    char *text; /* NULL while nothing was drawn */
    size_t size, used;
    bool failed; /* no memory: it stays so, and the caller asks once at the end */
} skua__drawing;

/* Adds up to 159 bytes. */
void skua__draw(skua__drawing *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
