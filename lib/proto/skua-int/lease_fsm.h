// SPDX-License-Identifier: MPL-2.0
// The life of one submitted task as its submitter sees it: leases, attempts and fencing epochs, as a pure state machine. The
// product drives it with real backends, the simulator with virtual ones.
#ifndef SKUA_INT_LEASE_FSM_H
#define SKUA_INT_LEASE_FSM_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SKUA__LEASE_MAX_HAND_BACKS =
        64, /* a task that came back unstarted so often is not sent again */
};

typedef enum skua__lease_state {
    SKUA__LEASE_WAITING = 0, /* in its submitter's queue; nobody holds it */
    SKUA__LEASE_HELD = 1,    /* a backend holds it under the current epoch */
    SKUA__LEASE_ENDED = 2,   /* its one outcome stands */
} skua__lease_state;

/* The numbers are those of skua_outcome (skua/task.h), which stands above this box. */
typedef enum skua__lease_outcome {
    SKUA__LEASE_NONE = 0,
    SKUA__LEASE_OK = 1,
    SKUA__LEASE_EXIT = 2,
    SKUA__LEASE_SIGNAL = 3,
    SKUA__LEASE_TIMEOUT = 4,
    SKUA__LEASE_CANCELLED = 5,
    SKUA__LEASE_LOST = 6,
    SKUA__LEASE_REFUSED = 7,
} skua__lease_outcome;

/* Zeroed memory with max_attempts and deadline_ns set is a task that waits. */
typedef struct skua__lease {
    uint64_t epoch;        /* of the newest attempt; rises with each attempt; 0 before the first */
    int64_t deadline_ns;   /* SKUA_NEVER_NS: none */
    int64_t expires_ns;    /* while HELD: when the lease ends unless it is renewed */
    uint32_t attempts;     /* grants so far */
    uint32_t max_attempts; /* that may start: hand-backs do not count against it */
    uint16_t hand_backs;
    uint16_t deaths;        /* holders that died, or let the lease run out */
    uint16_t poison_deaths; /* so many deaths end it */
    uint8_t idempotent;
    uint8_t state;    /* skua__lease_state */
    uint8_t outcome;  /* skua__lease_outcome: not NONE exactly when ENDED */
    uint8_t poisoned; /* it ended LOST because too many holders died of it */
} skua__lease;

typedef enum skua__lease_event_kind {
    SKUA__LEASE_GRANT, /* a backend is about to take it: epoch and expires_ns are the new lease's */
    SKUA__LEASE_RENEW, /* the holder of epoch still works on it: expires_ns is the new end */
    SKUA__LEASE_RESULT,    /* the holder of epoch says how it ended: outcome */
    SKUA__LEASE_HAND_BACK, /* the holder of epoch returns it unstarted */
    SKUA__LEASE_DEATH,     /* the holder of epoch is dead */
    SKUA__LEASE_CANCEL,    /* the submitter asks for its end */
    SKUA__LEASE_ORPHAN,    /* nobody offers such tasks any more */
    SKUA__LEASE_TICK,      /* time passed */
} skua__lease_event_kind;

typedef struct skua__lease_event {
    skua__lease_event_kind kind;
    uint8_t outcome;    /* RESULT */
    uint64_t epoch;     /* GRANT, RENEW, RESULT, HAND_BACK, DEATH */
    int64_t expires_ns; /* GRANT, RENEW */
} skua__lease_event;

typedef enum skua__lease_action {
    SKUA__LEASE_NOTHING = 0,
    SKUA__LEASE_START,   /* hand it over under the event's epoch */
    SKUA__LEASE_REQUEUE, /* it waits again, before those that never started */
    SKUA__LEASE_END,     /* deliver the outcome; this comes once in a task's life */
    SKUA__LEASE_DROP, /* what came belongs to an attempt that no longer counts: count it, drop it */
} skua__lease_action;

typedef struct skua__lease_step_result {
    skua__lease_action action;
    bool
        tell_holder; /* the attempt of epoch `lease->epoch` is given up while its holder may live: cancel it there */
} skua__lease_step_result;

/*
 * Takes one event at the moment now_ns. A task whose deadline has passed is never granted: a GRANT then ends it TIMEOUT.
 * Returns what to do; the lease is already changed.
 */
skua__lease_step_result skua__lease_step(skua__lease *lease, const skua__lease_event *event,
                                         int64_t now_ns);

/* The next moment at which a TICK changes something: SKUA_NEVER_NS when none does. */
int64_t skua__lease_next_ns(const skua__lease *lease);

#endif
