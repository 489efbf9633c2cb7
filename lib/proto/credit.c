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
skua__grant_on_receive(skua__grant *grant, uint64_t out_bytes, bool credit_out) {
    if (out_bytes > grant->peak_bytes) {
        grant->peak_bytes = out_bytes;
    }
    grant->credit_out |= credit_out;
}

void
skua__grant_on_pop(skua__grant *grant, int64_t delay_ns) {
    if (delay_ns > grant->worst_delay_ns) {
        grant->worst_delay_ns = delay_ns;
    }
}

/* Senders that share one frame among many peers cannot flag it: three quarters count as used up too. */
static bool
bytes_are_out(const skua__grant *grant) {
    return grant->credit_out ||
           grant->peak_bytes >= (uint64_t)grant->window_bytes - grant->window_bytes / 4;
}

static bool
messages_wait(const skua__grant *grant) {
    return grant->worst_delay_ns > SKUA__WINDOW_DELAY_US * SKUA_NS_PER_US;
}

bool
skua__grant_is_due(const skua__grant *grant) {
    return bytes_are_out(grant) || (grant->adapt_msgs && messages_wait(grant));
}

void
skua__grant_adapt(skua__grant *grant, bool starved) {
    bool waits = messages_wait(grant);
    bool bytes_out = bytes_are_out(grant);
    if (starved && bytes_out && grant->window_bytes < SKUA__WINDOW_MAX_BYTES) {
        grant->window_bytes *= 2;
    }
    if (grant->adapt_msgs && waits && grant->window_msgs > SKUA__WINDOW_MIN_MSGS) {
        grant->window_msgs /= 2;
    } else if (grant->adapt_msgs && starved && !waits && grant->credit_out &&
               grant->window_msgs < SKUA__WINDOW_MAX_MSGS) {
        grant->window_msgs *= 2;
    }
    grant->peak_bytes = 0;
    grant->credit_out = false;
    grant->worst_delay_ns = 0;
}
