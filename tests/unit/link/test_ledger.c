// SPDX-License-Identifier: MPL-2.0
// The ledger, both sides: it balances after every step of random schedules of loss, reconnection, dropping and
// out-of-order confirmation, and the receiver gets everything that was not dropped, in order, once (I25).
#include "test.h"

#include "failing_allocator.h"
#include <skua-int/ledger.h>
#include <skua-int/rand.h>
#include <string.h>

/* The wire between the two sides: frames that are on their way. A reset loses all of them. */
enum { WIRE_MAX = 64 };
struct wire_frame {
    bool gap, ack;
    uint64_t first;
    uint32_t count;
    skua__ack what; /* for ack */
};

struct model {
    skua__rand rand;
    skua__tx tx;
    skua__rx rx;
    struct wire_frame *there, *back;
    size_t there_count, back_count;
    long loads;     /* units whose load is held */
    uint8_t *state; /* of each number: 0 unseen, 1 received, 2 done, 3 gap */
    uint64_t numbers;
    uint64_t last_delivered;
    bool in_order; /* confirm in order only */
};

static void
release_load(void *arg, skua__tx_unit *unit) {
    struct model *model = arg;
    assert_int_equal(unit->load[0], 0x5a);
    unit->load[0] = 0;
    model->loads--;
}

static void
check(struct model *model) {
    assert_true(skua__ledger_balances(&model->tx.counts));
    uint64_t left = 0, held = 0, sent_msgs = 0, sent_bytes = 0;
    skua__tx_unit *unit;
    uint64_t expected = model->tx.length ? skua__tx_at(&model->tx, 0)->first : 0;
    for (size_t i = 0; (unit = skua__tx_at(&model->tx, i)) != NULL; i++) {
        assert_int_equal(unit->first, expected);
        expected += unit->count;
        left += unit->left;
        held += unit->left > 0;
        if (i < model->tx.sent && unit->left) {
            sent_msgs += unit->left;
            sent_bytes += unit->bytes;
        }
    }
    assert_int_equal(left, model->tx.counts.unconfirmed);
    assert_int_equal(sent_msgs, model->tx.sent_msgs);
    assert_int_equal(sent_bytes, model->tx.sent_bytes);
    assert_int_equal(model->loads, held);
    assert_true(model->rx.confirmed <= model->rx.expected);
}

static void
send_some(struct model *model) {
    uint32_t count = 1 + skua__rand_below(&model->rand, 5);
    if (model->tx.next_seq + count >= model->numbers) {
        return;
    }
    skua__tx_unit *unit = skua__tx_append(&model->tx, count, 10 * count);
    assert_non_null(unit);
    unit->load[0] = 0x5a;
    model->loads++;
}

static void
transmit(struct model *model, bool connected) {
    skua__tx_unit *unit;
    while (connected && model->there_count < WIRE_MAX && (unit = skua__tx_next(&model->tx))) {
        model->there[model->there_count++] =
            (struct wire_frame){.gap = unit->gap, .first = unit->first, .count = unit->count};
        skua__tx_mark_sent(&model->tx);
    }
}

/* The receiver takes the oldest frame. */
static void
take_frame(struct model *model) {
    if (model->there_count == 0) {
        return;
    }
    struct wire_frame frame = model->there[0];
    memmove(&model->there[0], &model->there[1], --model->there_count * sizeof frame);
    if (frame.gap) {
        skua__rx_verdict verdict = skua__rx_on_gap(&model->rx, frame.first, frame.count);
        assert_true(verdict == SKUA__RX_DELIVER || verdict == SKUA__RX_DUPLICATE);
        for (uint64_t seq = frame.first; seq < frame.first + frame.count; seq++) {
            assert_true(model->state[seq] == 0 || model->state[seq] == 3);
            model->state[seq] = 3;
        }
        return;
    }
    uint32_t skip = 0;
    skua__rx_verdict verdict = skua__rx_on_data(&model->rx, frame.first, frame.count, &skip);
    if (verdict == SKUA__RX_DUPLICATE) {
        return;
    }
    assert_int_equal(verdict, SKUA__RX_DELIVER);
    for (uint64_t seq = frame.first + skip; seq < frame.first + frame.count; seq++) {
        assert_int_equal(model->state[seq], 0);   /* never twice */
        assert_true(seq > model->last_delivered); /* in order */
        model->last_delivered = seq;
        model->state[seq] = 1;
    }
}

/* Some received message is done with: the oldest, or any. */
static void
finish_one(struct model *model) {
    uint64_t first = model->rx.confirmed;
    while (first < model->rx.expected && model->state[first] != 1) {
        first++;
    }
    if (first >= model->rx.expected) {
        return;
    }
    uint64_t seq = first;
    if (!model->in_order) {
        seq += skua__rand_below(&model->rand, (uint32_t)(model->rx.expected - first));
    }
    skua_status status = skua__rx_done(&model->rx, seq);
    if (model->state[seq] == 1) {
        assert_int_equal(status, SKUA_OK);
        model->state[seq] = 2;
    } else {
        assert_int_equal(status, SKUA_E_NOT_FOUND); /* done before, or a gap */
    }
}

static void
acknowledge(struct model *model) {
    bool more = true;
    while (more && model->back_count < WIRE_MAX) {
        struct wire_frame *frame = &model->back[model->back_count++];
        more = skua__rx_make_ack(&model->rx, &frame->what);
        frame->what.window_bytes = 400;
        frame->what.window_msgs = 60;
    }
}

static void
take_ack(struct model *model) {
    if (model->back_count == 0) {
        return;
    }
    skua__ack ack = model->back[0].what;
    memmove(&model->back[0], &model->back[1], --model->back_count * sizeof model->back[0]);
    assert_true(skua__tx_on_ack(&model->tx, &ack, NULL));
}

/* The connection breaks and comes back: HELLO both ways, RESUME. */
static void
reconnect(struct model *model) {
    model->there_count = model->back_count = 0;
    skua__rx_disconnect(&model->rx);
    uint32_t skip;
    assert_int_equal(skua__rx_on_data(&model->rx, model->rx.expected, 1, &skip), SKUA__RX_NOT_NOW);
    uint64_t next;
    uint64_t received = model->rx.known ? model->rx.expected : 1;
    assert_true(skua__tx_resume(&model->tx, received, &next));
    assert_int_equal(skua__rx_on_resume(&model->rx, next), 0);
}

static void
run_schedule(uint64_t seed, bool drops) {
    struct model model = {.rand = {seed}, .in_order = drops, .numbers = 2000};
    model.there = calloc(WIRE_MAX, sizeof *model.there);
    model.back = calloc(WIRE_MAX, sizeof *model.back);
    model.state = calloc(model.numbers + 1, 1);
    assert_true(model.there && model.back && model.state);
    skua__tx_init(&model.tx, NULL, release_load, &model, 1);
    skua__rx_init(&model.rx, NULL);
    model.last_delivered = 0;
    reconnect(&model);
    for (int step = 0; step < 1500; step++) {
        uint32_t dice = skua__rand_below(&model.rand, 100);
        if (dice < 25) {
            send_some(&model);
        } else if (dice < 45) {
            transmit(&model, true);
        } else if (dice < 65) {
            take_frame(&model);
        } else if (dice < 80) {
            finish_one(&model);
        } else if (dice < 88) {
            acknowledge(&model);
        } else if (dice < 96) {
            take_ack(&model);
        } else if (dice < 98) {
            reconnect(&model);
        } else if (drops) {
            skua__tx_drop_oldest(&model.tx, SKUA__DROP_SLOW);
        }
        check(&model);
    }
    /* The peer returns for good: everything is confirmed or was dropped. */
    for (int step = 0; step < 20000 && model.tx.counts.unconfirmed; step++) {
        transmit(&model, true);
        take_frame(&model);
        finish_one(&model);
        finish_one(&model);
        acknowledge(&model);
        take_ack(&model);
        check(&model);
    }
    assert_int_equal(model.tx.counts.unconfirmed, 0);
    for (uint64_t seq = 1; seq < model.rx.expected; seq++) {
        assert_true(model.state[seq] == 2 || model.state[seq] == 3);
    }
    assert_int_equal(model.rx.gap_msgs, skua__rx_take_gap(&model.rx));
    skua__tx_fini(&model.tx, SKUA__DROP_CLOSED);
    skua__rx_fini(&model.rx);
    assert_int_equal(model.loads, 0);
    free(model.there);
    free(model.back);
    free(model.state);
}

static void
test_ledger_random_schedules_with_drops(void **state) {
    (void)state;
    uint64_t seed = test_seed(1);
    for (uint64_t i = 0; i < 150; i++) {
        run_schedule(seed + i, true);
    }
}

static void
test_ledger_random_schedules_out_of_order(void **state) {
    (void)state;
    uint64_t seed = test_seed(1000);
    for (uint64_t i = 0; i < 150; i++) {
        run_schedule(seed + i, false);
    }
}

static long released;

static void
count_release(void *arg, skua__tx_unit *unit) {
    (void)arg;
    (void)unit;
    released++;
}

static void
test_ledger_lies_are_refused(void **state) {
    (void)state;
    skua__tx tx;
    uint64_t next;
    skua__tx_init(&tx, NULL, count_release, NULL, 1);
    assert_non_null(skua__tx_append(&tx, 5, 50));
    assert_false(skua__tx_on_confirmed(&tx, 2, NULL)); /* nothing was sent yet */
    assert_non_null(skua__tx_next(&tx));
    skua__tx_mark_sent(&tx);
    assert_non_null(skua__tx_append(&tx, 5, 50));
    assert_false(skua__tx_on_confirmed(&tx, 7, NULL));
    skua__ack ack = {.confirmed = 1, .received = 7};
    assert_false(skua__tx_on_ack(&tx, &ack, NULL));
    assert_false(skua__tx_resume(&tx, 12, &next));
    assert_false(skua__tx_resume(&tx, 11, &next)); /* it cannot have what was not sent */
    uint64_t confirmed = 0;
    assert_true(skua__tx_on_confirmed(&tx, 3, &confirmed));
    assert_int_equal(confirmed, 2);
    assert_true(skua__tx_on_confirmed(&tx, 2, &confirmed)); /* never goes back */
    assert_int_equal(confirmed, 0);
    assert_true(skua__ledger_balances(&tx.counts));
    skua__tx_fini(&tx, SKUA__DROP_PEER_LOST);
    assert_int_equal(tx.counts.dropped[SKUA__DROP_PEER_LOST], 8);
    assert_true(skua__ledger_balances(&tx.counts));
}

static void
test_ledger_numbers_do_not_wrap(void **state) {
    (void)state;
    skua__rx rx;
    uint32_t skip = 0;
    skua__rx_init(&rx, NULL);
    assert_int_equal(skua__rx_on_resume(&rx, 1), 0);
    /* Each of these gaps is one that a frame may tell of; together they would run past the last number. */
    uint64_t most = SKUA__SEQ_LIMIT - 1;
    assert_int_equal(skua__rx_on_gap(&rx, 1, most), SKUA__RX_DELIVER);
    assert_int_equal(skua__rx_on_gap(&rx, rx.expected, most), SKUA__RX_VIOLATION);
    assert_int_equal(skua__rx_on_data(&rx, rx.expected, 1, &skip), SKUA__RX_VIOLATION);
    assert_true(rx.expected == SKUA__SEQ_LIMIT);
    assert_true(rx.confirmed <= rx.expected);
    skua__rx_fini(&rx);
}

static void
test_ledger_receiver_verdicts(void **state) {
    (void)state;
    skua__rx rx;
    uint32_t skip = 0;
    skua__rx_init(&rx, NULL);
    assert_int_equal(skua__rx_on_data(&rx, 5, 1, &skip), SKUA__RX_NOT_NOW);
    assert_int_equal(skua__rx_on_resume(&rx, 5), 0);
    assert_int_equal(skua__rx_on_data(&rx, 6, 1, &skip), SKUA__RX_HOLE);
    assert_int_equal(skua__rx_on_data(&rx, 5, 3, &skip), SKUA__RX_DELIVER);
    assert_int_equal(skip, 0);
    assert_int_equal(skua__rx_on_data(&rx, 6, 4, &skip), SKUA__RX_DELIVER);
    assert_int_equal(skip, 2);
    assert_int_equal(skua__rx_on_data(&rx, 5, 2, &skip), SKUA__RX_DUPLICATE);
    assert_int_equal(rx.duplicate_msgs, 4);
    assert_int_equal(skua__rx_on_gap(&rx, 10, 1000), SKUA__RX_DELIVER);
    assert_int_equal(skua__rx_on_gap(&rx, 10, 1000), SKUA__RX_DUPLICATE);
    assert_int_equal(skua__rx_take_gap(&rx), 1000);
    assert_int_equal(skua__rx_take_gap(&rx), 0);
    assert_int_equal(skua__rx_done(&rx, 10), SKUA_E_NOT_FOUND); /* in the gap: not received */
    for (uint64_t seq = 5; seq < 10; seq++) {
        assert_int_equal(skua__rx_done(&rx, seq), SKUA_OK);
        assert_int_equal(skua__rx_done(&rx, seq), SKUA_E_NOT_FOUND);
    }
    assert_int_equal(rx.confirmed, 1010); /* over the gap */
    assert_int_equal(skua__rx_on_data(&rx, 1010, SKUA__WINDOW_MAX_MSGS + 1, &skip),
                     SKUA__RX_VIOLATION);
    assert_int_equal(skua__rx_on_resume(&rx, 1015), 5); /* the sender forgot five */
    skua__rx_fini(&rx);
}

static void
test_ledger_a_stalled_queue_stays_small(void **state) {
    (void)state;
    skua__tx tx;
    skua__tx_init(&tx, NULL, count_release, NULL, 1);
    tx.credit = (skua__credit){.window_bytes = 10, .window_msgs = 2};
    uint64_t dropped = 0;
    for (int i = 0; i < 100000; i++) {
        assert_non_null(skua__tx_append(&tx, 1, 10));
        while (skua__tx_next(&tx)) {
            skua__tx_mark_sent(&tx);
        }
        while (tx.queued_msgs > 10) {
            dropped += skua__tx_drop_oldest(&tx, SKUA__DROP_SLOW);
        }
    }
    assert_int_equal(dropped, 100000 - 10 - 2);
    assert_true(tx.capacity <= 32); /* one gap stands for all that was dropped */
    assert_true(skua__ledger_balances(&tx.counts));
    skua__tx_fini(&tx, SKUA__DROP_CLOSED);
}

static void
test_ledger_without_memory(void **state) {
    (void)state;
    failing_allocator hook;
    failing_allocator_init(&hook, 1);
    skua__tx tx;
    skua__tx_init(&tx, &hook.hook, count_release, NULL, 1);
    assert_null(skua__tx_append(&tx, 3, 30));
    assert_int_equal(tx.counts.sent, 0);
    assert_int_equal(tx.next_seq, 1);
    failing_allocator_init(&hook, 2); /* the ring, but no bits */
    assert_non_null(skua__tx_append(&tx, 3, 30));
    assert_non_null(skua__tx_next(&tx));
    skua__tx_mark_sent(&tx);
    skua__ack ack = {.confirmed = 1, .received = 4, .range_count = 1};
    ack.ranges[0] = (skua__range){.first = 2, .count = 2};
    uint64_t confirmed = 9;
    assert_true(skua__tx_on_ack(&tx, &ack, &confirmed));
    assert_int_equal(confirmed, 0); /* late, but never wrong */
    assert_true(skua__tx_on_confirmed(&tx, 4, &confirmed));
    assert_int_equal(confirmed, 3);
    skua__tx_fini(&tx, SKUA__DROP_CLOSED);
    assert_int_equal(atomic_load(&hook.alive), 0);

    skua__rx rx;
    uint32_t skip;
    failing_allocator_init(&hook, 1);
    skua__rx_init(&rx, &hook.hook);
    assert_int_equal(skua__rx_on_resume(&rx, 1), 0);
    assert_int_equal(skua__rx_on_data(&rx, 1, 4, &skip), SKUA__RX_DELIVER);
    assert_int_equal(skua__rx_done(&rx, 3), SKUA_E_NO_MEMORY);
    assert_int_equal(skua__rx_done(&rx, 1), SKUA_OK);
    skua__rx_fini(&rx);
}

/* An ACK that the socket did not take: the next one says all of it again. */
static void
test_ledger_a_lost_ack_is_told_again(void **state) {
    (void)state;
    skua__rx rx;
    skua__ack ack;
    uint32_t skip;
    skua__rx_init(&rx, NULL);
    skua__rx_on_resume(&rx, 1);
    assert_int_equal(skua__rx_on_data(&rx, 1, 8, &skip), SKUA__RX_DELIVER);
    assert_int_equal(skua__rx_done(&rx, 1), SKUA_OK);
    assert_int_equal(skua__rx_done(&rx, 4), SKUA_OK);
    assert_int_equal(skua__rx_done(&rx, 5), SKUA_OK);
    for (int i = 0; i < 2; i++) {
        assert_false(skua__rx_make_ack(&rx, &ack));
        assert_int_equal(ack.confirmed, 2);
        assert_int_equal(ack.received, 9);
        assert_int_equal(ack.range_count, 1);
        assert_int_equal(ack.ranges[0].first, 4);
        assert_int_equal(ack.ranges[0].count, 2);
        skua__rx_ack_lost(&rx);
    }
    assert_true(rx.resumed);
    assert_false(skua__rx_make_ack(&rx, &ack)); /* and that one left */
    assert_false(skua__rx_make_ack(&rx, &ack));
    assert_int_equal(ack.range_count, 0);
    skua__rx_fini(&rx);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ledger_random_schedules_with_drops),
        cmocka_unit_test(test_ledger_random_schedules_out_of_order),
        cmocka_unit_test(test_ledger_lies_are_refused),
        cmocka_unit_test(test_ledger_receiver_verdicts),
        cmocka_unit_test(test_ledger_numbers_do_not_wrap),
        cmocka_unit_test(test_ledger_a_stalled_queue_stays_small),
        cmocka_unit_test(test_ledger_a_lost_ack_is_told_again),
        cmocka_unit_test(test_ledger_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
