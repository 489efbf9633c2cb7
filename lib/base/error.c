// SPDX-License-Identifier: MPL-2.0
// The registry of errors and the one function that fills a skua_error.
#include <skua-int/fail.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(skua_error) == 512, "skua_error is part of the ABI");

#define CODE_TEXT_(n) ((n) < 10 ? "SKUA-E00" #n : (n) < 100 ? "SKUA-E0" #n : "SKUA-E" #n)

static const skua_error_info registry[] = {
#define SKUA_ERROR_ENTRY(number, name_, title_, next_)                                             \
    {.status = -(number),                                                                          \
     .code = CODE_TEXT_(number),                                                                   \
     .name = #name_,                                                                               \
     .title = title_,                                                                              \
     .next = next_},
#include <skua/errors.def>
#undef SKUA_ERROR_ENTRY
};

enum { REGISTRY_ROWS = sizeof registry / sizeof registry[0] };

const skua_error_info *
skua_error_lookup(skua_status status) {
    for (size_t i = 0; i < REGISTRY_ROWS; i++) {
        if (registry[i].status == status) {
            return &registry[i];
        }
    }
    return NULL;
}

const skua_error_info *
skua_error_at(size_t i) {
    return i < REGISTRY_ROWS ? &registry[i] : NULL;
}

const char *
skua_status_text(skua_status status) {
    if (status == SKUA_OK) {
        return "ok";
    }
    const skua_error_info *info = skua_error_lookup(status);
    return info ? info->title : "unknown error";
}

skua_status
skua__fail(skua_error *err, skua_status status, int os_errno, const char *where, const char *format,
           ...) {
    if (!err) {
        return status;
    }
    *err = (skua_error){.status = status, .os_errno = os_errno};
    const skua_error_info *info = skua_error_lookup(status);
    snprintf(err->code, sizeof err->code, "%s", info ? info->code : "SKUA-E???");
    snprintf(err->where, sizeof err->where, "%s", where ? where : "");

    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (os_errno && used > 0 && (size_t)used < sizeof err->message) {
        char reason[96];
        /* The GNU strerror_r may return a string of its own instead of filling ours. */
        const char *text = strerror_r(os_errno, reason, sizeof reason);
        snprintf(err->message + used, sizeof err->message - (size_t)used, " (%s)", text);
    }
    return status;
}
