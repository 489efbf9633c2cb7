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

static bool
peak_is_high(const skua__grant *grant) {
    return grant->peak_bytes >= (uint64_t)grant->window_bytes - grant->window_bytes / 4;
}

/* Senders that share one frame among many peers cannot flag it: three quarters count as used up too. */
static bool
bytes_are_out(const skua__grant *grant) {
    return grant->credit_out || peak_is_high(grant);
}

static bool
messages_wait(const skua__grant *grant) {
    return grant->worst_delay_ns > SKUA__WINDOW_DELAY_US * SKUA_NS_PER_US;
}

bool
skua__grant_is_due(const skua__grant *grant) {
    return bytes_are_out(grant) || (grant->adapt_msgs && messages_wait(grant));
}

static bool
bytes_would_grow(const skua__grant *grant) {
    bool out = bytes_are_out(grant) || grant->out_kept || grant->peak_kept;
    return out && grant->window_bytes < SKUA__WINDOW_MAX_BYTES;
}

static bool
msgs_would_grow(const skua__grant *grant) {
    bool out = grant->credit_out || grant->out_kept;
    return grant->adapt_msgs && out && !messages_wait(grant) &&
           grant->window_msgs < SKUA__WINDOW_MAX_MSGS;
}

bool
skua__grant_would_grow(const skua__grant *grant) {
    return bytes_would_grow(grant) || msgs_would_grow(grant);
}

void
skua__grant_adapt(skua__grant *grant, bool starved) {
    bool more_bytes = starved && bytes_would_grow(grant);
    bool more_msgs = starved && msgs_would_grow(grant);
    grant->peak_kept = !starved && (grant->peak_kept || peak_is_high(grant));
    grant->out_kept = !starved && (grant->out_kept || grant->credit_out);
    if (grant->adapt_msgs && messages_wait(grant) && grant->window_msgs > SKUA__WINDOW_MIN_MSGS) {
        grant->window_msgs /= 2;
    }
    grant->window_bytes *= more_bytes ? 2 : 1;
    grant->window_msgs *= more_msgs ? 2 : 1;
    grant->peak_bytes = 0;
    grant->credit_out = false;
    grant->worst_delay_ns = 0;
}
