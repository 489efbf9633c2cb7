// SPDX-License-Identifier: MPL-2.0
// Where skua tells what it does: a sink that the program passes in the options of a handle. There is no
// global sink, and without one nothing is logged; errors that a call returns are never logged as well.
#ifndef SKUA_LOG_H
#define SKUA_LOG_H

#include <skua/version.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How much it matters. A sink of one level hears that level and every smaller one. */
typedef enum skua_log_level {
    SKUA_LOG_OFF = 0,
    SKUA_LOG_ERROR = 1,   /* something is broken and stays so until a person acts */
    SKUA_LOG_WARNING = 2, /* refused, dropped, retried: skua goes on */
    SKUA_LOG_INFO = 3,    /* what happens a few times in a node's life */
    SKUA_LOG_DEBUG = 4,   /* each decision */
} skua_log_level;

/* One event. It and its strings live only during the call of the sink. */
typedef struct skua_log_record {
    size_t size; /* of this struct, as the library knows it; members are only added at the end */
    skua_log_level level;
    int64_t monotonic_ns;  /* when, on CLOCK_MONOTONIC */
    int64_t wall_ns;       /* when, since 1970 */
    const char *component; /* "node", "pool", …: which part of skua speaks */
    const char *message;   /* one line without a line break, at most SKUA_LOG_MESSAGE_BYTES */
} skua_log_record;

#define SKUA_LOG_MESSAGE_BYTES 512
#define SKUA_LOG_SINK_VERSION 1

/*
 * A table of callbacks. The table and ctx are borrowed: they outlive every handle that was opened with them. fn
 * may be called from any thread, also from several at once; it must not block and must not call skua.
 */
typedef struct skua_log_sink {
    uint32_t version;     /* SKUA_LOG_SINK_VERSION */
    skua_log_level level; /* what it wants to hear; SKUA_LOG_OFF: nothing */
    void *ctx;            /* handed to fn */
    void (*fn)(void *ctx, const skua_log_record *record);
} skua_log_sink;

/**
 * The name of a level: "error", "warning", "info", "debug" or "off".
 *
 * Returns: a string that lives as long as the process; "off" for any other number.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API const char *skua_log_level_name(skua_log_level level);

/**
 * The level of a name, for a program's own --log option.
 *
 * Returns: the level, or SKUA_LOG_OFF where the name is none of them (or NULL).
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_API skua_log_level skua_log_level_of(const char *name);

#ifdef __cplusplus
}
#endif
#endif
