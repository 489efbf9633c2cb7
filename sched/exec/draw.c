// SPDX-License-Identifier: MPL-2.0
// A text that grows, for the drawings of topologies and plans.
#include "draw.h"

#include <skua-int/mem.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
skua__draw(skua__drawing *to, const char *format, ...) {
    char line[160];
    va_list list;
    va_start(list, format);
    int wrote = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    size_t size = wrote < 0 ? 0 : (size_t)wrote < sizeof line ? (size_t)wrote : sizeof line - 1;
    if (!to->failed && to->used + size + 1 > to->size) {
        size_t bigger = 2 * to->size + size + 256;
        char *text = skua__mem_resize(to->hook, to->text, bigger);
        to->failed = text == NULL;
        to->text = text ? text : to->text;
        to->size = text ? bigger : to->size;
    }
    if (!to->failed) {
        memcpy(to->text + to->used, line, size + 1);
        to->used += size;
    }
}
