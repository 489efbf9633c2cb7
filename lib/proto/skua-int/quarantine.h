// SPDX-License-Identifier: MPL-2.0
// Which node is left alone for a while because tasks fail there for no fault of their own: a pure machine, one per node
// that a submitter knows.
#ifndef SKUA_INT_QUARANTINE_H
#define SKUA_INT_QUARANTINE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SKUA__QUARANTINE_TASKS = 3,   /* different tasks that fail before it begins */
    SKUA__QUARANTINE_FACTOR = 2,  /* each further one lasts so many times as long as the last */
    SKUA__QUARANTINE_GROWTHS = 6, /* so often at most */
    SKUA__QUARANTINE_MEMORY = 30, /* a failure counts for so many times the first one's length, */
};

/* and at least for so long. */
#define SKUA__QUARANTINE_MEMORY_NS INT64_C(300000000000)

/* Zeroed memory with length_ns set is a node that never failed. */
typedef struct skua__quarantine {
    int64_t length_ns;                      /* of the first one; 0: there never is one */
    int64_t until_ns;                       /* of the newest one; 0: there was none */
    uint64_t tasks[SKUA__QUARANTINE_TASKS]; /* that failed; 0: free */
    int64_t at_ns[SKUA__QUARANTINE_TASKS];
    uint32_t begun; /* how often it was quarantined */
} skua__quarantine;

/*
 * A task (a number above 0) failed on the node at now_ns: its holder died, or let the lease run out. The same task counts once, however
 * often it fails. Returns true when a quarantine begins with it, until until_ns.
 */
bool skua__quarantine_failed(skua__quarantine *quarantine, uint64_t task, int64_t now_ns);

/* Whether the node is to be left alone now. */
bool skua__quarantine_holds(const skua__quarantine *quarantine, int64_t now_ns);

#endif
