// SPDX-License-Identifier: MPL-2.0
// How a part of skua speaks to the sink of its handle.
#ifndef SKUA_INT_LOG_H
#define SKUA_INT_LOG_H

#include <skua/log.h>
#include <stdbool.h>

/* Whether anybody listens at this level: ask before gathering what is dear to gather. sink may be NULL. */
static inline bool
skua__log_wants(const skua_log_sink *sink, skua_log_level level) {
    return sink && sink->fn && level != SKUA_LOG_OFF && level <= sink->level;
}

/*
 * Tells the sink (which may be NULL) one event. A message that is too long is cut; control characters, which a
 * peer may have sent in a name, become '?'. Allocates nothing. Threads: any.
 */
void skua__log(const skua_log_sink *sink, skua_log_level level, const char *component,
               const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
