// SPDX-License-Identifier: MPL-2.0
// The part of the counters that REQ and REP share: the ledger of their links, and plain peers.
#include "reqrep_stats.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>

#include <string.h>

void
skua__reqrep_fill_stats(skua__handle *handle, skua_reqrep_stats *stats) {
    skua__handle_counters counters;
    skua__handle_counters_locked(handle, &counters);
    const skua__ledger_counts *sent = &counters.sent;
    stats->sent = sent->sent;
    stats->confirmed = sent->confirmed;
    for (int cause = 0; cause < SKUA__DROP_CAUSES; cause++) {
        if (cause != SKUA__DROP_MOVED) {
            stats->sent_dropped += sent->dropped[cause];
        }
    }
    stats->moved = sent->dropped[SKUA__DROP_MOVED];
    stats->unconfirmed = sent->unconfirmed;
    const skua__plain *plain = skua__handle_plain(handle);
    if (plain) {
        const skua__plain_counts *counts = skua__plain_counts_of(plain);
        stats->handed_to_zmq = counts->handed_to_zmq;
        stats->plain_received = counts->received;
        stats->plain_dropped += counts->dropped_in + counts->dropped_out;
    }
}

void
skua__reqrep_give_stats(skua_reqrep_stats *stats, skua_reqrep_stats *ret_stats) {
    size_t size = ret_stats->size;
    stats->size = size;
    memcpy(ret_stats, stats, size < sizeof *stats ? size : sizeof *stats);
}
