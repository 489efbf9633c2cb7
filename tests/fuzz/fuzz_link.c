// SPDX-License-Identifier: MPL-2.0
// Frames of data links: what is read is written again to the same value, records stay inside their frame, and no
// sequence of frames brings the ledger's receiving or sending side out of balance.
#include "fuzz.h"

#include <skua-int/frame.h>
#include <skua-int/ledger.h>

static void
release(void *arg, skua__tx_unit *unit) {
    (void)arg;
    (void)unit;
}

static void
walk_records(const skua__frame *header, const uint8_t *bytes, size_t size) {
    skua__records records;
    uint32_t count = skua__records_open(&records, header, bytes, size);
    uint32_t seen = 0;
    skua__link_record record;
    while (count && skua__records_next(&records, &record)) {
        FUZZ_CHECK(record.body_offset >= SKUA__FRAME_HEADER_BYTES && record.body_offset <= size);
        FUZZ_CHECK(record.body_size <= size - record.body_offset);
        FUZZ_CHECK(!record.tag ||
                   (record.tag > bytes && record.tag + record.tag_size <= bytes + size));
        seen++;
    }
    FUZZ_CHECK(seen == count);
}

static void
try_hello(const uint8_t *body, size_t size) {
    static uint8_t again[SKUA__HELLO_MAX_BYTES];
    skua__link_hello hello, back;
    if (!skua__hello_read(body, size, &hello)) {
        return;
    }
    size_t used = skua__hello_write(&hello, again, sizeof again);
    FUZZ_CHECK(used > 0 && skua__hello_read(again, used, &back));
    FUZZ_CHECK(back.kind == hello.kind && strcmp(back.name, hello.name) == 0);
    FUZZ_CHECK(back.pattern_size == hello.pattern_size);
    FUZZ_CHECK(!hello.pattern_size || !memcmp(back.pattern, hello.pattern, hello.pattern_size));
}

static void
try_ack(const skua__frame *header, const uint8_t *body, size_t size) {
    static skua__ack ack;
    static uint8_t again[SKUA__ACK_BODY_MAX_BYTES];
    if (!skua__ack_read(header, body, size, &ack)) {
        return;
    }
    FUZZ_CHECK(skua__ack_write(&ack, again) == size && memcmp(again, body, size) == 0);
    skua__tx tx;
    skua__tx_init(&tx, NULL, release, NULL, 1);
    for (uint32_t i = 0; i < 8; i++) {
        FUZZ_CHECK(skua__tx_append(&tx, 1 + i % 3, 10) != NULL);
        if (i < 5 && skua__tx_next(&tx)) {
            skua__tx_mark_sent(&tx);
        }
    }
    (void)skua__tx_on_ack(&tx, &ack, NULL);
    FUZZ_CHECK(skua__ledger_balances(&tx.counts));
    uint64_t next;
    (void)skua__tx_resume(&tx, header->seq, &next);
    skua__tx_fini(&tx, SKUA__DROP_CLOSED);
    FUZZ_CHECK(skua__ledger_balances(&tx.counts) && tx.counts.unconfirmed == 0);
}

static void
try_receiver(const skua__frame *header, const uint8_t *bytes, size_t size) {
    skua__rx rx;
    uint32_t skip = 0;
    skua__rx_init(&rx, NULL);
    (void)skua__rx_on_resume(&rx, size > 30 ? bytes[30] : 1);
    (void)skua__rx_on_gap(&rx, header->seq, header->word);
    (void)skua__rx_on_data(&rx, header->word, 1 + (uint32_t)(header->seq & 0xfff), &skip);
    (void)skua__rx_done(&rx, header->seq);
    (void)skua__rx_done(&rx, header->seq + skip);
    static skua__ack ack;
    (void)skua__rx_make_ack(&rx, &ack);
    FUZZ_CHECK(rx.confirmed <= rx.expected && rx.confirmed_msgs <= rx.received_msgs);
    skua__rx_fini(&rx);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    skua__frame header, back;
    uint8_t again[SKUA__FRAME_HEADER_BYTES];
    if (!skua__frame_read(bytes, size, &header)) {
        return 0;
    }
    skua__frame_write(&header, again);
    FUZZ_CHECK(memcmp(again, bytes, sizeof again) == 0);
    FUZZ_CHECK(skua__frame_read(again, sizeof again, &back));
    const uint8_t *body = bytes + SKUA__FRAME_HEADER_BYTES;
    size_t body_size = size - SKUA__FRAME_HEADER_BYTES;
    switch (header.type) {
    case SKUA__FRAME_DATA:
    case SKUA__FRAME_BATCH:
        walk_records(&header, bytes, size);
        break;
    case SKUA__FRAME_HELLO:
        try_hello(body, body_size);
        break;
    case SKUA__FRAME_ACK:
        try_ack(&header, body, body_size);
        break;
    default:
        try_receiver(&header, bytes, size);
        break;
    }
    return 0;
}
