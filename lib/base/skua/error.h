// SPDX-License-Identifier: MPL-2.0
// How skua says that something failed: a status to branch on, and a message to show to a person.
#ifndef SKUA_ERROR_H
#define SKUA_ERROR_H

#include <skua/version.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 0, or the negative of an error's number: SKUA-E014 is -14. */
typedef int skua_status;

/* Every status by name; the registry is skua/errors.def. */
enum skua_status_code {
    SKUA_OK = 0,
#define SKUA_ERROR_ENTRY(number, name, title, next) SKUA_E_##name = -(number),
#include <skua/errors.def>
#undef SKUA_ERROR_ENTRY
};

#define SKUA_ERROR_MESSAGE_BYTES 384

/*
 * What went wrong, in full. The size of this struct never changes (512 bytes). Set it to
 * {0} or leave it uninitialised: a failing call fills all of it, a succeeding call leaves it alone.
 */
typedef struct skua_error {
    int32_t status;                         /* the skua_status that the call returned */
    int32_t os_errno;                       /* the system's errno, or 0 where none was involved */
    char code[16];                          /* "SKUA-E014" */
    char where[64];                         /* the function that failed */
    char message[SKUA_ERROR_MESSAGE_BYTES]; /* what was tried, on what, and what to do next */
    unsigned char reserved[40];
} skua_error;

/* One row of the registry. The strings live as long as the process. */
typedef struct skua_error_info {
    skua_status status;
    const char *code;  /* "SKUA-E014" */
    const char *name;  /* "NO_PROVIDER" */
    const char *title; /* one line: what the code means */
    const char *next;  /* a sentence or two: what a person can do about it */
} skua_error_info;

/**
 * Looks a status up in the registry.
 *
 * Returns: the row, or NULL when no error has that number.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const skua_error_info *skua_error_lookup(skua_status status);

/**
 * The i-th row of the registry, in the order of the numbers, for listing them all.
 *
 * Returns: the row, or NULL when i is past the end.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const skua_error_info *skua_error_at(size_t i);

/**
 * The title of a status: "nobody offers this service".
 *
 * Returns: a string that lives as long as the process; "unknown error" for an unknown number.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_status_text(skua_status status);

#ifdef __cplusplus
}
#endif
#endif
