// SPDX-License-Identifier: MPL-2.0
// A decision in words.
#include "select_priv.h"

#include <stdio.h>

static const char *
reason_text(int32_t reason) {
    switch (reason) {
    case SKUA_SELECT_BEST:
        return "it is predicted to be done first";
    case SKUA_SELECT_ONLY:
        return "there is no other";
    case SKUA_SELECT_KEPT:
        return "it was chosen last, and another one is not better by enough";
    case SKUA_SELECT_EXPLORED:
        return "to learn how it does at this size";
    case SKUA_SELECT_WAIT:
        return "it is done first although it is full: it is waited for";
    default:
        return "a fixed policy says so";
    }
}

size_t
skua_select_text(const skua_selector *selector, const skua_select_decision *decision, char *ret,
                 size_t ret_size) {
    size_t used = 0;
    for (uint32_t i = 0; i <= decision->count; i++) {
        char line[320];
        int length;
        if (i == 0) {
            length = snprintf(
                line, sizeof line, "%s, %llu units: %s, because %s",
                selector->kernels[decision->kernel]->name, (unsigned long long)decision->units,
                selector->backends[decision->backend].name, reason_text(decision->reason));
        } else {
            const skua_select_term *term = &decision->terms[i - 1];
            length = snprintf(
                line, sizeof line,
                "\n  %-16s %.1f us = wait %.1f + launch %.1f + move %.1f + run %.1f (%u runs near "
                "this size%s; %llu bytes to move)",
                selector->backends[term->backend].name, (double)term->total_ns / 1e3,
                (double)term->wait_ns / 1e3, (double)term->launch_ns / 1e3,
                (double)term->move_ns / 1e3, (double)term->run_ns / 1e3, term->samples,
                term->known ? "" : "; a guess", (unsigned long long)term->missing_bytes);
        }
        for (int c = 0; c < length; c++, used++) {
            if (used + 1 < ret_size) {
                ret[used] = line[c];
            }
        }
    }
    if (ret_size) {
        ret[used < ret_size ? used : ret_size - 1] = 0;
    }
    return used;
}
