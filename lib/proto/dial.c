// SPDX-License-Identifier: MPL-2.0
// The dial limiter of a node, and the dialler of a peer.
#include <skua-int/clock.h>
#include <skua-int/dial.h>

#include <assert.h>

void
skua__dial_limiter_init(skua__dial_limiter *limiter, uint32_t max) {
    assert(max > 0);
    skua__list_init(&limiter->waiting);
    limiter->active = 0;
    limiter->max = max;
}

void
skua__dial_slot_init(skua__dial_slot *slot) {
    skua__list_init(&slot->waiting);
    slot->state = SKUA__DIAL_SLOT_FREE;
}

bool
skua__dial_limiter_ask(skua__dial_limiter *limiter, skua__dial_slot *slot) {
    assert(slot->state == SKUA__DIAL_SLOT_FREE);
    if (limiter->active < limiter->max) {
        limiter->active++;
        slot->state = SKUA__DIAL_SLOT_ACTIVE;
        return true;
    }
    skua__list_push_back(&limiter->waiting, &slot->waiting);
    slot->state = SKUA__DIAL_SLOT_WAITING;
    return false;
}

skua__dial_slot *
skua__dial_limiter_done(skua__dial_limiter *limiter, skua__dial_slot *slot) {
    bool was_active = slot->state == SKUA__DIAL_SLOT_ACTIVE;
    skua__list_remove(&slot->waiting);
    slot->state = SKUA__DIAL_SLOT_FREE;
    if (!was_active) {
        return NULL;
    }
    assert(limiter->active > 0);
    skua__list *first = skua__list_pop_front(&limiter->waiting);
    if (!first) {
        limiter->active--;
        return NULL;
    }
    skua__dial_slot *next = SKUA_CONTAINER_OF(first, skua__dial_slot, waiting);
    next->state = SKUA__DIAL_SLOT_ACTIVE;
    return next;
}

/*
 * The dialler.
 *
 *            want              due: at_ns has come          started             failed
 *   OFF ------------> WAITING ----------------------> ASKED --------> RUNNING --------> WAITING (back-off)
 *     ^---------------------------- off: from each of them ------------------------'
 *
 * A RUNNING one that lasts too long is overdue, and its owner answers with failed.
 */
void
skua__dialler_init(skua__dialler *dialler, uint64_t seed) {
    *dialler = (skua__dialler){.state = SKUA__DIALLER_OFF, .rand = {.state = seed}};
}

void
skua__dialler_want(skua__dialler *dialler, int64_t at_ns) {
    if (dialler->state == SKUA__DIALLER_OFF) {
        dialler->state = SKUA__DIALLER_WAITING;
        dialler->at_ns = at_ns;
    } else if (dialler->state == SKUA__DIALLER_WAITING && !dialler->rejected &&
               at_ns < dialler->at_ns) {
        dialler->at_ns = at_ns;
    }
}

bool
skua__dialler_due(skua__dialler *dialler, int64_t now_ns) {
    if (dialler->state != SKUA__DIALLER_WAITING || now_ns < dialler->at_ns) {
        return false;
    }
    dialler->state = SKUA__DIALLER_ASKED;
    dialler->rejected = false;
    return true;
}

bool
skua__dialler_overdue(const skua__dialler *dialler, int64_t now_ns) {
    return dialler->state == SKUA__DIALLER_RUNNING && now_ns >= dialler->at_ns;
}

void
skua__dialler_started(skua__dialler *dialler, uint32_t link, int64_t now_ns) {
    if (dialler->state == SKUA__DIALLER_ASKED) {
        dialler->state = SKUA__DIALLER_RUNNING;
        dialler->link = link;
        dialler->at_ns = now_ns + SKUA__DIAL_CONNECT_MS * SKUA_NS_PER_MS;
    }
}

void
skua__dialler_connected(skua__dialler *dialler, int64_t now_ns) {
    if (dialler->state == SKUA__DIALLER_RUNNING) {
        dialler->at_ns = now_ns + SKUA__DIAL_HANDSHAKE_MS * SKUA_NS_PER_MS;
    }
}

/* Spread by a quarter each way, so that nodes which lost the same peer do not come back in step. */
static int64_t
with_jitter(skua__dialler *dialler, int64_t wait_ms) {
    int64_t spread_us = wait_ms * 1000 * SKUA__DIAL_JITTER_PERCENT / 100;
    int64_t off_us = skua__rand_below(&dialler->rand, (uint32_t)(2 * spread_us + 1)) - spread_us;
    return (wait_ms * 1000 + off_us) * SKUA_NS_PER_US;
}

uint32_t
skua__dialler_failed(skua__dialler *dialler, skua__dial_failure failure, int64_t refused_max_ms,
                     int64_t now_ns) {
    uint32_t link = dialler->link;
    bool refused = failure == SKUA__DIAL_WAS_REFUSED;
    int64_t max_ms = refused ? refused_max_ms : SKUA__DIAL_BACKOFF_MAX_MS;
    int64_t wait_ms = SKUA__DIAL_BACKOFF_MS << (dialler->failures < 8 ? dialler->failures : 8);
    wait_ms = wait_ms < max_ms ? wait_ms : max_ms;
    if (failure == SKUA__DIAL_WAS_REJECTED) {
        wait_ms = SKUA__DIAL_REJECTED_MS;
    }
    dialler->failures++;
    dialler->refusals = refused ? dialler->refusals + 1 : 0;
    dialler->rejected = failure == SKUA__DIAL_WAS_REJECTED;
    dialler->state = SKUA__DIALLER_WAITING;
    dialler->link = 0;
    dialler->at_ns = now_ns + with_jitter(dialler, wait_ms);
    return link;
}

bool
skua__dialler_off(skua__dialler *dialler, uint32_t *ret_link) {
    bool busy = dialler->state == SKUA__DIALLER_ASKED || dialler->state == SKUA__DIALLER_RUNNING;
    *ret_link = dialler->link;
    dialler->state = SKUA__DIALLER_OFF;
    dialler->link = 0;
    skua__dialler_forgive(dialler);
    return busy;
}

void
skua__dialler_forgive(skua__dialler *dialler) {
    dialler->failures = 0;
    dialler->refusals = 0;
    dialler->rejected = false;
}

int64_t
skua__dialler_wake_ns(const skua__dialler *dialler) {
    bool timed = dialler->state == SKUA__DIALLER_WAITING || dialler->state == SKUA__DIALLER_RUNNING;
    return timed ? dialler->at_ns : SKUA_NEVER_NS;
}
