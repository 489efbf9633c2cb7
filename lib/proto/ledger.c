// SPDX-License-Identifier: MPL-2.0
// Both sides of the ledger. The sender keeps units in a ring: confirmed ones leave at the head, [0, sent) are on their
// way, [sent, length) wait. Numbers of neighbouring units always follow on each other.
#include <skua-int/ledger.h>

#include <assert.h>
#include <skua-int/mem.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 16,
    DONE_WORDS = SKUA__WINDOW_MAX_MSGS / 64,
};

bool
skua__ledger_balances(const skua__ledger_counts *counts) {
    uint64_t sum = counts->confirmed + counts->unconfirmed;
    for (int cause = 0; cause < SKUA__DROP_CAUSES; cause++) {
        sum += counts->dropped[cause];
    }
    return sum == counts->sent;
}

void
skua__ledger_add(skua__ledger_counts *to, const skua__ledger_counts *counts) {
    to->sent += counts->sent;
    to->confirmed += counts->confirmed;
    to->unconfirmed += counts->unconfirmed;
    for (int cause = 0; cause < SKUA__DROP_CAUSES; cause++) {
        to->dropped[cause] += counts->dropped[cause];
    }
}

/* ---- The sender's side ---- */

void
skua__tx_init(skua__tx *tx, const skua_allocator *hook, skua__tx_release_fn *release, void *arg,
              uint64_t first_seq) {
    *tx = (skua__tx){
        .hook = hook, .release = release, .arg = arg, .next_seq = first_seq, .received = first_seq};
    tx->credit = (skua__credit){.window_bytes = SKUA__WINDOW_FIRST_BYTES,
                                .window_msgs = SKUA__WINDOW_MIN_MSGS};
}

skua__tx_unit *
skua__tx_at(skua__tx *tx, size_t i) {
    return i < tx->length ? &tx->ring[(tx->head + i) & (tx->capacity - 1)] : NULL;
}

static void
end_unit(skua__tx *tx, skua__tx_unit *unit) {
    if (!unit->gap) {
        tx->release(tx->arg, unit);
    }
    unit->done = skua__mem_free(tx->hook, unit->done);
}

void
skua__tx_fini(skua__tx *tx, skua__drop_cause cause) {
    for (size_t i = 0; i < tx->length; i++) {
        skua__tx_unit *unit = skua__tx_at(tx, i);
        tx->counts.dropped[cause] += unit->left;
        tx->counts.unconfirmed -= unit->left;
        /* A unit that is done stays in the ring until its turn, but has given its load back. */
        if (unit->left) {
            end_unit(tx, unit);
        }
    }
    assert(tx->counts.unconfirmed == 0);
    tx->ring = skua__mem_free(tx->hook, tx->ring);
    tx->capacity = tx->length = tx->head = tx->sent = 0;
    tx->sent_bytes = tx->sent_msgs = tx->queued_bytes = tx->queued_msgs = 0;
}

static bool
make_room(skua__tx *tx) {
    if (tx->length < tx->capacity) {
        return true;
    }
    size_t capacity = tx->capacity ? 2 * tx->capacity : FIRST_CAPACITY;
    skua__tx_unit *ring = skua__mem_new_array(tx->hook, capacity, sizeof *ring);
    if (!ring) {
        return false;
    }
    for (size_t i = 0; i < tx->length; i++) {
        ring[i] = *skua__tx_at(tx, i);
    }
    skua__mem_free(tx->hook, tx->ring);
    tx->ring = ring;
    tx->capacity = capacity;
    tx->head = 0;
    return true;
}

skua__tx_unit *
skua__tx_append(skua__tx *tx, uint32_t count, uint32_t bytes) {
    assert(count > 0);
    if (!make_room(tx)) {
        return NULL;
    }
    skua__tx_unit *unit = &tx->ring[(tx->head + tx->length) & (tx->capacity - 1)];
    *unit = (skua__tx_unit){.first = tx->next_seq, .count = count, .left = count, .bytes = bytes};
    tx->length++;
    tx->next_seq += count;
    tx->queued_bytes += bytes;
    tx->queued_msgs += count;
    tx->counts.sent += count;
    tx->counts.unconfirmed += count;
    return unit;
}

skua__tx_unit *
skua__tx_next(skua__tx *tx) {
    /* What was confirmed on an earlier connection, out of order, is not sent again; its numbers are told as a gap
     * only if the peer has them not, which it said it has: so just step over. */
    while (tx->sent < tx->length) {
        skua__tx_unit *unit = skua__tx_at(tx, tx->sent);
        if (unit->gap) {
            /* Only when a message may follow: until then further drops become part of it. */
            bool follows = skua__credit_allows(&tx->credit, tx->sent_bytes, tx->sent_msgs);
            return follows && tx->sent_gaps < SKUA__GAPS_MAX ? unit : NULL;
        }
        if (unit->left == 0) {
            tx->sent++;
            continue;
        }
        if (!skua__credit_allows(&tx->credit, tx->sent_bytes, tx->sent_msgs) ||
            (tx->sent_msgs && tx->sent_msgs + unit->left > SKUA__WINDOW_MAX_MSGS)) {
            return NULL;
        }
        return unit;
    }
    return NULL;
}

/* Moves the first waiting unit over to those that are on their way. */
static void
move_to_sent(skua__tx *tx) {
    skua__tx_unit *unit = skua__tx_at(tx, tx->sent);
    tx->sent++;
    tx->unacked++;
    tx->sent_gaps += unit->gap;
    if (unit->left) {
        tx->queued_bytes -= unit->bytes;
        tx->queued_msgs -= unit->left;
        tx->sent_bytes += unit->bytes;
        tx->sent_msgs += unit->left;
    }
}

void
skua__tx_mark_sent(skua__tx *tx) {
    assert(tx->sent < tx->length);
    skua__tx_at(tx, tx->sent)->sent_once = true;
    move_to_sent(tx);
}

/* count messages of a sent unit are confirmed now. */
static void
confirm(skua__tx *tx, skua__tx_unit *unit, uint32_t count) {
    assert(count <= unit->left);
    unit->left -= count;
    tx->sent_msgs -= count;
    tx->counts.confirmed += count;
    tx->counts.unconfirmed -= count;
    if (unit->left == 0 && count) {
        tx->sent_bytes -= unit->bytes;
        end_unit(tx, unit);
    }
}

bool
skua__tx_unit_is_done(const skua__tx_unit *unit, uint32_t i) {
    return unit->left == 0 || i < unit->prefix ||
           (unit->done && (unit->done[i / 64] >> (i % 64) & 1));
}

/* All messages of the unit below number `upto` (in the unit) are confirmed. */
static void
confirm_prefix(skua__tx *tx, skua__tx_unit *unit, uint32_t upto) {
    if (unit->left == 0 || upto <= unit->prefix) {
        return;
    }
    uint32_t fresh = upto - unit->prefix;
    for (uint32_t i = unit->prefix; unit->done && i < upto; i++) {
        fresh -= (uint32_t)(unit->done[i / 64] >> (i % 64) & 1);
    }
    unit->prefix = upto;
    confirm(tx, unit, fresh);
}

static uint64_t
end_of(const skua__tx_unit *unit) {
    return unit->first + unit->count;
}

/* The number after the last message that was sent on this connection. */
static uint64_t
sent_end(skua__tx *tx) {
    return tx->sent < tx->length ? skua__tx_at(tx, tx->sent)->first : tx->next_seq;
}

/* Lets confirmed units, and gaps that the peer has seen, leave at the head. */
static void
pop_done(skua__tx *tx, uint64_t confirmed) {
    while (tx->sent) {
        skua__tx_unit *unit = skua__tx_at(tx, 0);
        if (unit->left || end_of(unit) > confirmed) {
            return;
        }
        tx->sent_gaps -= unit->gap;
        tx->head = (tx->head + 1) & (tx->capacity - 1);
        tx->length--;
        tx->sent--;
    }
}

/* The peer has all below `received`. */
static void
note_received(skua__tx *tx, uint64_t received) {
    if (received <= tx->received) {
        return;
    }
    tx->received = received;
    size_t unacked = 0;
    for (size_t i = tx->sent; i > 0 && end_of(skua__tx_at(tx, i - 1)) > received; i--) {
        unacked++;
    }
    tx->unacked = unacked;
}

bool
skua__tx_on_confirmed(skua__tx *tx, uint64_t confirmed, uint64_t *ret_confirmed) {
    if (confirmed > sent_end(tx)) {
        return false;
    }
    uint64_t before = tx->counts.confirmed;
    for (size_t i = 0; i < tx->sent; i++) {
        skua__tx_unit *unit = skua__tx_at(tx, i);
        if (unit->first >= confirmed) {
            break;
        }
        uint64_t upto = confirmed - unit->first;
        confirm_prefix(tx, unit, upto < unit->count ? (uint32_t)upto : unit->count);
    }
    note_received(tx, confirmed);
    pop_done(tx, confirmed);
    if (ret_confirmed) {
        *ret_confirmed = tx->counts.confirmed - before;
    }
    return true;
}

/* The index of the kept unit that holds seq; it is known to be kept. */
static size_t
find_unit(skua__tx *tx, uint64_t seq) {
    size_t low = 0, high = tx->length;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (skua__tx_at(tx, middle)->first <= seq) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* One message confirmed out of order. Without memory for the bits it stays unconfirmed until its turn: never wrong. */
static void
confirm_one(skua__tx *tx, skua__tx_unit *unit, uint32_t i) {
    if (skua__tx_unit_is_done(unit, i)) {
        return;
    }
    if (unit->count > 1) {
        if (!unit->done) {
            unit->done = skua__mem_new_array(tx->hook, (unit->count + 63) / 64, sizeof *unit->done);
        }
        if (!unit->done) {
            return;
        }
        unit->done[i / 64] |= UINT64_C(1) << (i % 64);
    }
    confirm(tx, unit, 1);
}

bool
skua__tx_on_ack(skua__tx *tx, const skua__ack *ack, uint64_t *ret_confirmed) {
    uint64_t end = sent_end(tx);
    if (ack->received > end || ack->confirmed > end) {
        return false;
    }
    tx->credit = (skua__credit){.window_bytes = ack->window_bytes, .window_msgs = ack->window_msgs};
    uint64_t before = tx->counts.confirmed;
    /* The ranges first: they lie within what was received, and the units below may leave the ring after. */
    for (uint32_t r = 0; r < ack->range_count; r++) {
        for (uint64_t seq = ack->ranges[r].first;
             seq < ack->ranges[r].first + ack->ranges[r].count && tx->length; seq++) {
            skua__tx_unit *unit = skua__tx_at(tx, find_unit(tx, seq));
            if (seq >= unit->first && seq < end_of(unit) && !unit->gap) {
                confirm_one(tx, unit, (uint32_t)(seq - unit->first));
            }
        }
    }
    note_received(tx, ack->received);
    skua__tx_on_confirmed(tx, ack->confirmed, NULL);
    if (ret_confirmed) {
        *ret_confirmed = tx->counts.confirmed - before;
    }
    return true;
}

bool
skua__tx_resume(skua__tx *tx, uint64_t received, uint64_t *ret_next) {
    uint64_t lowest = tx->length ? skua__tx_at(tx, 0)->first : tx->next_seq;
    if (received > tx->next_seq || received < lowest) {
        return false;
    }
    size_t keep = 0;
    while (keep < tx->length && end_of(skua__tx_at(tx, keep)) <= received) {
        /* It cannot have what was never sent. */
        if (!skua__tx_at(tx, keep)->sent_once) {
            return false;
        }
        keep++;
    }
    tx->sent = tx->sent_gaps = tx->unacked = 0;
    tx->sent_bytes = tx->sent_msgs = tx->queued_bytes = tx->queued_msgs = 0;
    for (size_t i = 0; i < tx->length; i++) {
        skua__tx_unit *unit = skua__tx_at(tx, i);
        tx->queued_bytes += unit->left ? unit->bytes : 0;
        tx->queued_msgs += unit->left;
    }
    while (tx->sent < keep) {
        move_to_sent(tx);
    }
    tx->unacked = 0;
    if (received > tx->received) {
        tx->received = received;
    }
    *ret_next = keep < tx->length ? skua__tx_at(tx, keep)->first : tx->next_seq;
    return true;
}

uint64_t
skua__tx_drop_oldest(skua__tx *tx, skua__drop_cause cause) {
    size_t at = tx->sent;
    /* Units that were sent on an earlier connection are on their way again, and not to be dropped: the peer may have
     * them. */
    while (at < tx->length && (skua__tx_at(tx, at)->gap || skua__tx_at(tx, at)->sent_once)) {
        at++;
    }
    if (at == tx->length) {
        return 0;
    }
    skua__tx_unit *unit = skua__tx_at(tx, at);
    uint32_t count = unit->left;
    tx->counts.dropped[cause] += count;
    tx->counts.unconfirmed -= count;
    tx->queued_bytes -= unit->bytes;
    tx->queued_msgs -= count;
    end_unit(tx, unit);
    unit->gap = true;
    unit->left = 0;
    skua__tx_unit *before = at > tx->sent ? skua__tx_at(tx, at - 1) : NULL;
    if (before && before->gap && before->count <= UINT32_MAX - unit->count) {
        /* Two gaps become one: those before it (a window's worth at most) move up into the free place. */
        unit->first = before->first;
        unit->count += before->count;
        for (size_t i = at - 1; i > 0; i--) {
            *skua__tx_at(tx, i) = *skua__tx_at(tx, i - 1);
        }
        tx->head = (tx->head + 1) & (tx->capacity - 1);
        tx->length--;
    }
    return count;
}

void
skua__tx_give_up(skua__tx *tx, skua__tx_unit *unit, uint32_t moved, skua__drop_cause cause) {
    assert(moved <= unit->left && !unit->gap);
    if (unit->left == 0) {
        return;
    }
    tx->counts.dropped[SKUA__DROP_MOVED] += moved;
    tx->counts.dropped[cause] += unit->left - moved;
    tx->counts.unconfirmed -= unit->left;
    unit->left = 0;
    end_unit(tx, unit);
}

/* ---- The receiver's side ---- */

void
skua__rx_init(skua__rx *rx, const skua_allocator *hook) {
    *rx = (skua__rx){.hook = hook};
}

void
skua__rx_fini(skua__rx *rx) {
    rx->done = skua__mem_free(rx->hook, rx->done);
}

void
skua__rx_ack_lost(skua__rx *rx) {
    rx->acked = rx->told = 0;
    if (rx->done_count) {
        rx->news_low = rx->confirmed;
        rx->news_high = rx->expected;
    }
}

void
skua__rx_disconnect(skua__rx *rx) {
    rx->resumed = false;
    skua__rx_ack_lost(rx); /* one may have been, with the connection */
}

static bool
bit_get(const skua__rx *rx, uint64_t seq) {
    uint64_t at = seq % SKUA__WINDOW_MAX_MSGS;
    return rx->done && (rx->done[at / 64] >> (at % 64) & 1);
}

static void
bit_flip(skua__rx *rx, uint64_t seq) {
    uint64_t at = seq % SKUA__WINDOW_MAX_MSGS;
    rx->done[at / 64] ^= UINT64_C(1) << (at % 64);
}

/* Moves `confirmed` over what is done or will never come. */
static void
settle(skua__rx *rx) {
    for (;;) { /* ends at `expected`, where there is neither a bit nor a gap */
        if (rx->gap_length && rx->gaps[0].first == rx->confirmed) {
            rx->confirmed += rx->gaps[0].count;
            rx->gap_length--;
            memmove(&rx->gaps[0], &rx->gaps[1], rx->gap_length * sizeof rx->gaps[0]);
        } else if (rx->done_count && bit_get(rx, rx->confirmed)) {
            bit_flip(rx, rx->confirmed);
            rx->done_count--;
            rx->confirmed++;
        } else {
            return;
        }
    }
}

/* count numbers from `expected` will never come: there is nothing to be done with them. */
static skua__rx_verdict
skip_numbers(skua__rx *rx, uint64_t count) {
    /* Each GAP is below the limit, but their sum need not be. */
    if (rx->gap_length == SKUA__GAPS_MAX || count > SKUA__SEQ_LIMIT - rx->expected) {
        return SKUA__RX_VIOLATION;
    }
    rx->gaps[rx->gap_length++] = (struct skua__rx_gap){.first = rx->expected, .count = count};
    rx->expected += count;
    rx->gap_pending += count;
    rx->gap_msgs += count;
    settle(rx);
    return SKUA__RX_DELIVER;
}

uint64_t
skua__rx_on_resume(skua__rx *rx, uint64_t next) {
    uint64_t lost = 0;
    if (!rx->known) {
        rx->known = true;
        rx->expected = rx->confirmed = rx->acked = rx->told = next;
    } else if (next > rx->expected) {
        lost = next - rx->expected;
        if (skip_numbers(rx, lost) != SKUA__RX_DELIVER) {
            lost = 0; /* stays a hole, and is asked for again */
        }
    }
    rx->resumed = true;
    return lost;
}

skua__rx_verdict
skua__rx_on_data(skua__rx *rx, uint64_t first, uint32_t count, uint32_t *ret_skip) {
    if (!rx->resumed) {
        return SKUA__RX_NOT_NOW;
    }
    if (first > rx->expected) {
        return SKUA__RX_HOLE;
    }
    uint64_t skip = rx->expected - first;
    if (skip >= count) {
        rx->duplicate_msgs += count;
        return SKUA__RX_DUPLICATE;
    }
    uint32_t fresh = count - (uint32_t)skip;
    if (rx->received_msgs - rx->confirmed_msgs + fresh > SKUA__WINDOW_MAX_MSGS ||
        fresh > SKUA__SEQ_LIMIT - rx->expected) {
        return SKUA__RX_VIOLATION;
    }
    rx->duplicate_msgs += skip;
    rx->received_msgs += fresh;
    rx->expected += fresh;
    *ret_skip = (uint32_t)skip;
    return SKUA__RX_DELIVER;
}

skua__rx_verdict
skua__rx_on_gap(skua__rx *rx, uint64_t first, uint64_t count) {
    if (!rx->resumed) {
        return SKUA__RX_NOT_NOW;
    }
    if (first > rx->expected) {
        return SKUA__RX_HOLE;
    }
    uint64_t known = rx->expected - first;
    if (known >= count) {
        return SKUA__RX_DUPLICATE;
    }
    return skip_numbers(rx, count - known);
}

uint64_t
skua__rx_take_gap(skua__rx *rx) {
    uint64_t gap = rx->gap_pending;
    rx->gap_pending = 0;
    return gap;
}

static bool
in_gap(const skua__rx *rx, uint64_t seq) {
    for (uint32_t i = 0; i < rx->gap_length; i++) {
        if (seq >= rx->gaps[i].first && seq - rx->gaps[i].first < rx->gaps[i].count) {
            return true;
        }
    }
    return false;
}

skua_status
skua__rx_done(skua__rx *rx, uint64_t seq) {
    if (in_gap(rx, seq) || seq < rx->confirmed || seq >= rx->expected ||
        (rx->done_count && bit_get(rx, seq))) {
        return SKUA_E_NOT_FOUND;
    }
    if (seq == rx->confirmed) {
        rx->confirmed++;
        rx->confirmed_msgs++;
        settle(rx);
        return SKUA_OK;
    }
    /* Out of order: only as far as the bits reach. (Who drops messages confirms them in order.) */
    if (seq - rx->confirmed >= SKUA__WINDOW_MAX_MSGS) {
        return SKUA_E_NOT_FOUND;
    }
    if (!rx->done) {
        rx->done = skua__mem_new_array(rx->hook, DONE_WORDS, sizeof *rx->done);
        if (!rx->done) {
            return SKUA_E_NO_MEMORY;
        }
    }
    bit_flip(rx, seq);
    rx->done_count++;
    rx->confirmed_msgs++;
    if (rx->news_low == rx->news_high) {
        rx->news_low = seq;
        rx->news_high = seq + 1;
    } else if (seq < rx->news_low) {
        rx->news_low = seq;
    } else if (seq >= rx->news_high) {
        rx->news_high = seq + 1;
    }
    return SKUA_OK;
}

bool
skua__rx_make_ack(skua__rx *rx, skua__ack *ret_ack) {
    ret_ack->confirmed = rx->acked = rx->confirmed;
    ret_ack->received = rx->told = rx->expected;
    ret_ack->range_count = 0;
    uint64_t seq = rx->news_low > rx->confirmed ? rx->news_low : rx->confirmed;
    while (rx->done_count && seq < rx->news_high) {
        if (!bit_get(rx, seq)) {
            seq++;
            continue;
        }
        if (ret_ack->range_count == SKUA__ACK_RANGES_MAX) {
            rx->news_low = seq;
            return true;
        }
        skua__range *range = &ret_ack->ranges[ret_ack->range_count++];
        *range = (skua__range){.first = seq};
        while (seq < rx->news_high && bit_get(rx, seq)) {
            range->count++;
            seq++;
        }
    }
    rx->news_low = rx->news_high = 0;
    return false;
}
