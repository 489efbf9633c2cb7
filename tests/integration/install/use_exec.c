// SPDX-License-Identifier: MPL-2.0
// A stranger's program against an installed libskua-exec, which knows no network.
#include <skua/alloc.h>
#include <skua/error.h>
#include <skua/version.h>
#include <stdio.h>
#include <string.h>

int
main(void) {
    const skua_error_info *first = skua_error_at(0);
    if (!first || strncmp(first->code, "SKUA-E", 6) != 0 || !skua_allocator_default()) {
        return 1;
    }
    printf("%s %s\n", skua_version_string(), first->code);
    return 0;
}
