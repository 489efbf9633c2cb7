// SPDX-License-Identifier: MPL-2.0
// Makes a record of an event and hands it to the sink.
#include <skua-int/log.h>

#include <skua-int/clock.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const level_names[] = {"off", "error", "warning", "info", "debug"};
enum { LEVELS = sizeof level_names / sizeof level_names[0] };

const char *
skua_log_level_name(skua_log_level level) {
    return (size_t)level < LEVELS ? level_names[level] : level_names[0];
}

skua_log_level
skua_log_level_of(const char *name) {
    for (int i = 0; name && i < LEVELS; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            return (skua_log_level)i;
        }
    }
    return SKUA_LOG_OFF;
}

void
skua__log(const skua_log_sink *sink, skua_log_level level, const char *component,
          const char *format, ...) {
    if (!skua__log_wants(sink, level)) {
        return;
    }
    char message[SKUA_LOG_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    if (vsnprintf(message, sizeof message, format, args) < 0) {
        message[0] = 0;
    }
    va_end(args);
    for (char *at = message; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            *at = '?';
        }
    }
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    const skua_log_record record = {.size = sizeof record,
                                    .level = level,
                                    .monotonic_ns = skua__clock_ns(),
                                    .wall_ns = (int64_t)wall.tv_sec * SKUA_NS_PER_S + wall.tv_nsec,
                                    .component = component,
                                    .message = message};
    sink->fn(sink->ctx, &record);
}
