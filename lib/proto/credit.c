// SPDX-License-Identifier: MPL-2.0
// How the receiver's windows adapt: double what limits a starving reader, halve what makes messages wait.
#include <skua-int/credit.h>

#include <skua-int/clock.h>

void
skua__grant_init(skua__grant *grant, uint32_t window_bytes, uint32_t window_msgs, bool adapt_msgs) {
    *grant = (skua__grant){.window_bytes = window_bytes ? window_bytes : SKUA__WINDOW_FIRST_BYTES,
                           .window_msgs = window_msgs ? window_msgs : SKUA__WINDOW_MAX_MSGS,
                           .adapt_msgs = adapt_msgs};
    if (grant->window_msgs > SKUA__WINDOW_MAX_MSGS) {
        grant->window_msgs = SKUA__WINDOW_MAX_MSGS;
    }
}

void
skua__grant_on_receive(skua__grant *grant, uint64_t out_bytes, uint64_t out_msgs) {
    if (out_bytes > grant->peak_bytes) {
        grant->peak_bytes = out_bytes;
    }
    if (out_msgs > grant->peak_msgs) {
        grant->peak_msgs = out_msgs;
    }
}

void
skua__grant_on_pop(skua__grant *grant, int64_t delay_ns) {
    if (delay_ns > grant->worst_delay_ns) {
        grant->worst_delay_ns = delay_ns;
    }
}

/* Three quarters of a window count as used up: the sender may wait for a whole unit's room. */
static bool
used_up(uint64_t peak, uint32_t window) {
    return peak >= (uint64_t)window - window / 4;
}

void
skua__grant_adapt(skua__grant *grant, bool starved) {
    bool waits = grant->worst_delay_ns > SKUA__WINDOW_DELAY_US * SKUA_NS_PER_US;
    if (starved && used_up(grant->peak_bytes, grant->window_bytes) &&
        grant->window_bytes < SKUA__WINDOW_MAX_BYTES) {
        grant->window_bytes *= 2;
    }
    if (grant->adapt_msgs && waits && grant->window_msgs > SKUA__WINDOW_MIN_MSGS) {
        grant->window_msgs /= 2;
    } else if (grant->adapt_msgs && starved && !waits &&
               used_up(grant->peak_msgs, grant->window_msgs) &&
               grant->window_msgs < SKUA__WINDOW_MAX_MSGS) {
        grant->window_msgs *= 2;
    }
    grant->peak_bytes = grant->peak_msgs = 0;
    grant->worst_delay_ns = 0;
}
