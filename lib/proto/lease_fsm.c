// SPDX-License-Identifier: MPL-2.0
// The lease state machine: exactly one outcome per task, attempts that only rise, and results that count only
// while their epoch is the newest and held.
#include <skua-int/lease_fsm.h>

#include <assert.h>
#include <skua-int/clock.h>

/*
 * Fencing after "How to do distributed locking" (Kleppmann, 2016): the epoch rises with every grant, and whatever a
 * holder says carries the epoch that it was granted.
 *
 *            | GRANT         | RENEW   | RESULT     | HAND_BACK      | DEATH            | CANCEL    | ORPHAN      | TICK
 *  ----------+---------------+---------+------------+----------------+------------------+-----------+-------------+-----------------
 *  WAITING   | HELD / START  | drop    | drop       | drop           | nothing          | CANCELLED | LOST or     | TIMEOUT when
 *            | or TIMEOUT    |         |            |                |                  |           | REFUSED     | late
 *  HELD,     | never         | HELD    | ENDED with | WAITING /      | WAITING / REQUEUE| CANCELLED | nothing     | TIMEOUT when late;
 *  its epoch |               |         | outcome, or| REQUEUE or     | if idempotent,   | + tell    |             | expired: as DEATH
 *            |               |         | TIMEOUT    | REFUSED        | else LOST        | holder    |             | + tell holder
 *            |               |         | when late  |                |                  |           |             |
 *  HELD,     | -             | drop    | drop       | drop           | nothing          | -         | -           | -
 *  other     |               |         |            |                |                  |           |             |
 *  ENDED     | nothing       | nothing | drop       | drop           | nothing          | nothing   | nothing     | nothing
 */

static skua__lease_step_result
end_with(skua__lease *lease, skua__lease_outcome outcome, bool tell_holder) {
    assert(lease->state != SKUA__LEASE_ENDED);
    assert(outcome != SKUA__LEASE_NONE);
    lease->state = SKUA__LEASE_ENDED;
    lease->outcome = (uint8_t)outcome;
    return (skua__lease_step_result){.action = SKUA__LEASE_END, .tell_holder = tell_holder};
}

static skua__lease_step_result
grant(skua__lease *lease, const skua__lease_event *event, int64_t now_ns) {
    assert(lease->state == SKUA__LEASE_WAITING);
    assert(event->epoch > lease->epoch);
    if (now_ns >= lease->deadline_ns) {
        return end_with(lease, SKUA__LEASE_TIMEOUT, false);
    }
    lease->epoch = event->epoch;
    lease->expires_ns = event->expires_ns;
    lease->attempts++;
    lease->state = SKUA__LEASE_HELD;
    return (skua__lease_step_result){.action = SKUA__LEASE_START};
}

/* The holder is gone, or its lease ran out: what it did, if anything, is not known. */
static skua__lease_step_result
holder_lost(skua__lease *lease, bool tell_holder) {
    lease->deaths++;
    uint32_t started = lease->attempts - lease->hand_backs;
    if (lease->deaths >= lease->poison_deaths) {
        lease->poisoned = lease->poison_deaths > 1;
        return end_with(lease, SKUA__LEASE_LOST, tell_holder);
    }
    if (!lease->idempotent || started >= lease->max_attempts) {
        return end_with(lease, SKUA__LEASE_LOST, tell_holder);
    }
    lease->state = SKUA__LEASE_WAITING;
    return (skua__lease_step_result){.action = SKUA__LEASE_REQUEUE, .tell_holder = tell_holder};
}

static skua__lease_step_result
hand_back(skua__lease *lease) {
    lease->hand_backs++;
    if (lease->hand_backs >= SKUA__LEASE_MAX_HAND_BACKS) {
        return end_with(lease, SKUA__LEASE_REFUSED, false);
    }
    lease->state = SKUA__LEASE_WAITING;
    return (skua__lease_step_result){.action = SKUA__LEASE_REQUEUE};
}

static skua__lease_step_result
tick(skua__lease *lease, int64_t now_ns) {
    bool held = lease->state == SKUA__LEASE_HELD;
    if (now_ns >= lease->deadline_ns) {
        return end_with(lease, SKUA__LEASE_TIMEOUT, held);
    }
    if (held && now_ns >= lease->expires_ns) {
        return holder_lost(lease, true);
    }
    return (skua__lease_step_result){.action = SKUA__LEASE_NOTHING};
}

skua__lease_step_result
skua__lease_step(skua__lease *lease, const skua__lease_event *event, int64_t now_ns) {
    const skua__lease_step_result nothing = {.action = SKUA__LEASE_NOTHING};
    const skua__lease_step_result drop = {.action = SKUA__LEASE_DROP};
    bool ended = lease->state == SKUA__LEASE_ENDED;
    bool current = lease->state == SKUA__LEASE_HELD && event->epoch == lease->epoch;
    switch (event->kind) {
    case SKUA__LEASE_GRANT:
        return ended ? nothing : grant(lease, event, now_ns);
    case SKUA__LEASE_RENEW:
        if (current) {
            lease->expires_ns = event->expires_ns;
        }
        return ended || current ? nothing : drop;
    case SKUA__LEASE_RESULT:
        if (!current) {
            return drop;
        }
        /* The deadline decides, and not whether its timer or the late result is seen first. */
        return end_with(lease, now_ns >= lease->deadline_ns ? SKUA__LEASE_TIMEOUT : event->outcome,
                        false);
    case SKUA__LEASE_HAND_BACK:
        return current ? hand_back(lease) : drop;
    case SKUA__LEASE_DEATH:
        return current ? holder_lost(lease, false) : nothing;
    case SKUA__LEASE_CANCEL:
        return ended ? nothing
                     : end_with(lease, SKUA__LEASE_CANCELLED, lease->state == SKUA__LEASE_HELD);
    case SKUA__LEASE_ORPHAN:
        if (lease->state != SKUA__LEASE_WAITING) {
            return nothing;
        }
        return end_with(lease, lease->deaths ? SKUA__LEASE_LOST : SKUA__LEASE_REFUSED, false);
    case SKUA__LEASE_TICK:
        return ended ? nothing : tick(lease, now_ns);
    }
    return nothing;
}

int64_t
skua__lease_next_ns(const skua__lease *lease) {
    switch ((skua__lease_state)lease->state) {
    case SKUA__LEASE_WAITING:
        return lease->deadline_ns;
    case SKUA__LEASE_HELD:
        return lease->deadline_ns < lease->expires_ns ? lease->deadline_ns : lease->expires_ns;
    case SKUA__LEASE_ENDED:
        break;
    }
    return SKUA_NEVER_NS;
}
