// SPDX-License-Identifier: MPL-2.0
// What the examples share: an example gives up where a program would do something about it.
#ifndef MUST_H
#define MUST_H

#include <skua/error.h>
#include <stdio.h>
#include <stdlib.h>

static inline void
must(skua_status status, const skua_error *err) {
    if (status) {
        fprintf(stderr, "%s %s\n", err->code, err->message);
        exit(1);
    }
}

#endif
