// SPDX-License-Identifier: MPL-2.0
// The clocks, and deadlines that cannot overflow.
#include <skua-int/clock.h>

#include <skua/common.h>

#include <limits.h>

int64_t
skua__clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SKUA_NS_PER_S + now.tv_nsec;
}

int64_t
skua__clock_wall_s(void) {
    return (int64_t)time(NULL);
}

int64_t
skua__deadline_ns(int64_t timeout_ms) {
    int64_t now_ns = skua__clock_ns();
    if (timeout_ms == SKUA_NONE) {
        return now_ns;
    }
    if (timeout_ms < 0) {
        return SKUA_NEVER_NS;
    }
    if (timeout_ms > (SKUA_NEVER_NS - now_ns) / SKUA_NS_PER_MS) {
        return SKUA_NEVER_NS;
    }
    return now_ns + timeout_ms * SKUA_NS_PER_MS;
}

int
skua__deadline_left_ms(int64_t deadline_ns) {
    if (deadline_ns == SKUA_NEVER_NS) {
        return -1;
    }
    int64_t left_ns = deadline_ns - skua__clock_ns();
    if (left_ns <= 0) {
        return 0;
    }
    int64_t left_ms = (left_ns + SKUA_NS_PER_MS - 1) / SKUA_NS_PER_MS;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

struct timespec
skua__clock_timespec(int64_t at_ns) {
    return (struct timespec){.tv_sec = at_ns / SKUA_NS_PER_S, .tv_nsec = at_ns % SKUA_NS_PER_S};
}
