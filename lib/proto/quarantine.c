// SPDX-License-Identifier: MPL-2.0
// The quarantine of nodes: three different tasks that fail there within memory begin one, each longer than the last.
#include <skua-int/quarantine.h>

#include <string.h>

/*
 *            | a task failed                                    | time passes until_ns
 *  ----------+--------------------------------------------------+---------------------
 *  free      | noted; with the third different one: quarantined | -
 *  quarantined | nothing: what fails now was sent before         | free, nothing noted
 *
 * A quarantine begins anew with an empty memory, so that three more have to fail before the next, longer one.
 */

static int64_t
memory_ns(const skua__quarantine *quarantine) {
    int64_t ns = quarantine->length_ns * SKUA__QUARANTINE_MEMORY;
    return ns > SKUA__QUARANTINE_MEMORY_NS ? ns : SKUA__QUARANTINE_MEMORY_NS;
}

static void
begin(skua__quarantine *quarantine, int64_t now_ns) {
    uint32_t growths =
        quarantine->begun < SKUA__QUARANTINE_GROWTHS ? quarantine->begun : SKUA__QUARANTINE_GROWTHS;
    int64_t length_ns = quarantine->length_ns;
    while (growths-- > 0) {
        length_ns *= SKUA__QUARANTINE_FACTOR;
    }
    quarantine->until_ns = now_ns + length_ns;
    quarantine->begun++;
    memset(quarantine->tasks, 0, sizeof quarantine->tasks);
}

bool
skua__quarantine_failed(skua__quarantine *quarantine, uint64_t task, int64_t now_ns) {
    if (quarantine->length_ns == 0 || skua__quarantine_holds(quarantine, now_ns)) {
        return false;
    }
    int place = -1, noted = 0;
    for (int i = 0; i < SKUA__QUARANTINE_TASKS; i++) {
        if (quarantine->tasks[i] && now_ns - quarantine->at_ns[i] > memory_ns(quarantine)) {
            quarantine->tasks[i] = 0; /* forgotten */
        }
        if (quarantine->tasks[i] == task) {
            quarantine->at_ns[i] = now_ns;
            return false;
        }
        noted += quarantine->tasks[i] != 0;
        place = quarantine->tasks[i] ? place : i;
    }
    quarantine->tasks[place] = task; /* there is one: with all taken it had begun */
    quarantine->at_ns[place] = now_ns;
    if (noted + 1 < SKUA__QUARANTINE_TASKS) {
        return false;
    }
    begin(quarantine, now_ns);
    return true;
}

bool
skua__quarantine_holds(const skua__quarantine *quarantine, int64_t now_ns) {
    return now_ns < quarantine->until_ns;
}
