// SPDX-License-Identifier: MPL-2.0
// Recordings: any bytes replay or are refused. As a recording is a list of events, this also walks the peer's machine
// through sequences that no network would make: its invariants hold, and its actions stay within their bound.
#include "fuzz.h"

#include <skua-int/flight.h>

static void
check_step(void *arg, const skua__flight_entry *entry, const skua__peer_fsm *fsm,
           const skua__peer_actions *actions) {
    (void)arg;
    FUZZ_CHECK(skua__uuid_equal(&entry->uuid, &fsm->uuid));
    FUZZ_CHECK(actions->count <= SKUA__PEER_ACTIONS_MAX);
    bool told = false;
    for (size_t i = 0; i < actions->count; i++) {
        told = told || actions->items[i].kind == SKUA__PEER_DO_JOIN;
        FUZZ_CHECK(actions->items[i].kind != SKUA__PEER_DO_FORGET || i + 1 == actions->count);
    }
    FUZZ_CHECK(!told || skua__peer_joined(fsm));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    enum { MOST = 64 * SKUA__FLIGHT_ENTRY_BYTES };
    static const skua__flight_header header = {.heartbeat_ns = 1000000000, .seed = 1};
    skua__flight_result result;
    skua__flight_replay(bytes, size, NULL, check_step, NULL, &result);
    /* The same behind a good header, cut to whole entries, each of a kind that there is. */
    uint8_t whole[SKUA__FLIGHT_HEADER_BYTES + MOST];
    size_t used = (size < MOST ? size : MOST) / SKUA__FLIGHT_ENTRY_BYTES * SKUA__FLIGHT_ENTRY_BYTES;
    skua__flight_header_encode(&header, whole);
    memcpy(whole + SKUA__FLIGHT_HEADER_BYTES, bytes, used);
    for (size_t at = SKUA__FLIGHT_HEADER_BYTES; at < SKUA__FLIGHT_HEADER_BYTES + used;
         at += SKUA__FLIGHT_ENTRY_BYTES) {
        whole[at + 4] &= 0x1f; /* within some minutes, and never below 0 */
        memset(whole + at + 5, 0, 3);
        whole[at + 8] = (uint8_t)(1 + whole[at + 8] % 3);
        whole[at + 9] &= 1;
        whole[at + 10] = (uint8_t)(1 + whole[at + 10] % (SKUA__PEER_EVENTS - 1));
        whole[at + 11] = (uint8_t)(whole[at + 11] % SKUA__PEER_STATES);
        memset(whole + at + 12, 0, 4);
        whole[at + 12] = (uint8_t)(1 + (at / 7 + bytes[at - SKUA__FLIGHT_HEADER_BYTES]) % 4);
        memset(whole + at + 16, 0, 16);
        whole[at + 16] = 1;
        whole[at + 33] &= 1;
        memset(whole + at + 34, 0, 6);
    }
    skua__flight_replay(whole, SKUA__FLIGHT_HEADER_BYTES + used, NULL, check_step, NULL, &result);
    return 0;
}
