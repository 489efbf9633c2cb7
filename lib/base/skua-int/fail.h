// SPDX-License-Identifier: MPL-2.0
// How a function of skua fails: it fills the caller's skua_error and returns the status.
#ifndef SKUA_INT_FAIL_H
#define SKUA_INT_FAIL_H

#include <skua/error.h>

/*
 * Fills *err (which may be NULL) and returns status, so that a failing function ends in one line:
 *     return SKUA_FAIL(err, SKUA_E_BAD_NAME, "name \"%s\" is not allowed; …", name);
 * SKUA_FAIL_ERRNO also records an errno. The message says what was tried, on what, and the next step.
 */
skua_status skua__fail(skua_error *err, skua_status status, int os_errno, const char *where,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));

#define SKUA_FAIL(err, status, ...) skua__fail((err), (status), 0, __func__, __VA_ARGS__)
#define SKUA_FAIL_ERRNO(err, status, os_errno, ...)                                                \
    skua__fail((err), (status), (os_errno), __func__, __VA_ARGS__)
/* The commonest failure needs no words of its own. */
#define SKUA_FAIL_MEMORY(err, what)                                                                \
    skua__fail((err), SKUA_E_NO_MEMORY, 0, __func__, "no memory for %s", (what))

#endif
