// SPDX-License-Identifier: MPL-2.0
// The version that was compiled in, for programs that load the library at run time.
#include <skua/version.h>

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

int
skua_version_number(void) {
    return SKUA_VERSION_NUMBER;
}

const char *
skua_version_string(void) {
    return TEXT(SKUA_VERSION_MAJOR) "." TEXT(SKUA_VERSION_MINOR) "." TEXT(SKUA_VERSION_PATCH);
}
