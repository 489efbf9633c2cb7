// SPDX-License-Identifier: MPL-2.0
// The part of the counters that REQ and REP share.
#ifndef SKUA_REQREP_STATS_H
#define SKUA_REQREP_STATS_H

#include <skua-int/handle.h>
#include <skua-int/plain.h>
#include <skua/reqrep.h>

/* Adds the ledger and the plain counts to *stats, which is 0 there; entered. */
void skua__reqrep_fill_stats(skua__handle *handle, skua_reqrep_stats *stats);
/*
 * The deadline of a call that waits: timeout_ms 0 is fallback_ms; 0 for SKUA_NONE ("do not wait"), SKUA_NEVER_NS for
 * SKUA_UNLIMITED. Returns 0, or SKUA_E_BAD_ARGUMENT for any other negative number.
 */
skua_status skua__reqrep_deadline(int64_t timeout_ms, int64_t fallback_ms, int64_t *ret_deadline_ns,
                                  skua_error *err);
/* Copies as much as the caller's struct has room for. */
void skua__reqrep_give_stats(skua_reqrep_stats *stats, skua_reqrep_stats *ret_stats);

#endif
