// SPDX-License-Identifier: MPL-2.0
// The part of the counters that REQ and REP share.
#ifndef SKUA_REQREP_STATS_H
#define SKUA_REQREP_STATS_H

#include <skua-int/handle.h>
#include <skua-int/plain.h>
#include <skua/reqrep.h>

/* Adds the ledger and the plain counts to *stats, which is 0 there; entered. */
void skua__reqrep_fill_stats(skua__handle *handle, skua_reqrep_stats *stats);
/* Copies as much as the caller's struct has room for. */
void skua__reqrep_give_stats(skua_reqrep_stats *stats, skua_reqrep_stats *ret_stats);

#endif
