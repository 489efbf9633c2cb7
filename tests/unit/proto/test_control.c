// SPDX-License-Identifier: MPL-2.0
// Control frames: every type there and back, bounds, frames of newer versions, and the choice of a version (I22).
#include "fixture.h"

#include <skua-int/control.h>

static uint8_t bytes[SKUA__CONTROL_MAX + 1], copy[SKUA__CONTROL_MAX + 1];

/* Encodes, decodes, encodes again: the same bytes. Returns what was decoded; it borrows from bytes. */
static skua__control
there_and_back(const skua__control *control) {
    skua__control back;
    size_t size = skua__control_encode(control, bytes, sizeof bytes);
    assert_int_equal(size, skua__control_size(control));
    assert_int_equal(skua__control_decode(bytes, size, &back), SKUA__CONTROL_OK);
    assert_int_equal(skua__control_encode(&back, copy, sizeof copy), size);
    assert_memory_equal(bytes, copy, size);
    assert_int_equal(skua__control_encode(control, copy, size - 1), 0);
    skua__control cut;
    for (size_t i = 0; i < size; i++) {
        assert_int_not_equal(skua__control_decode(bytes, i, &cut), SKUA__CONTROL_OK);
    }
    return back;
}

static skua__control
hello_make(uint16_t min, uint16_t max) {
    return (skua__control){.type = SKUA__CONTROL_HELLO,
                           .hello = {.version_min = min,
                                     .version_max = max,
                                     .features = 5,
                                     .uuid = uuid_make(6),
                                     .incarnation = 7,
                                     .serial = 8,
                                     .control_port = 9,
                                     .introduction_port = 10,
                                     .record_version = 11}};
}

static void
test_control_every_type_round_trip(void **state) {
    (void)state;
    skua__control control = hello_make(1, 3);
    skua__control back = there_and_back(&control);
    assert_memory_equal(&back.hello, &control.hello, sizeof back.hello);
    control = (skua__control){
        .type = SKUA__CONTROL_PING, .version = 1, .ping = {.id = 1, .sent_ns = -2, .held_ns = 3}};
    back = there_and_back(&control);
    assert_int_equal(back.ping.sent_ns, -2);
    assert_int_equal(back.version, 1);
    control.type = SKUA__CONTROL_PONG;
    assert_int_equal(there_and_back(&control).ping.held_ns, 3);
    control = (skua__control){.type = SKUA__CONTROL_BYE, .bye = {.incarnation = 12}};
    assert_int_equal(there_and_back(&control).bye.incarnation, 12);
    skua__span text = {(const uint8_t *)"some text", 9};
    control = (skua__control){.type = SKUA__CONTROL_APP, .app = {.channel = 2, .bytes = text}};
    back = there_and_back(&control);
    assert_int_equal(back.app.channel, 2);
    assert_int_equal(back.app.bytes.size, 9);
    control = (skua__control){.type = SKUA__CONTROL_RECORD, .record = text};
    assert_int_equal(there_and_back(&control).record.size, 9);
    control = (skua__control){.type = SKUA__CONTROL_CRL, .crl = text};
    assert_int_equal(there_and_back(&control).crl.size, 9);
    control = (skua__control){.type = SKUA__CONTROL_REFUSE,
                              .refuse = {.status = SKUA_E_EXPIRED, .text = text}};
    back = there_and_back(&control);
    assert_int_equal(back.refuse.status, SKUA_E_EXPIRED);
    assert_memory_equal(back.refuse.text.bytes, "some text", 9);
}

static void
test_control_peers_round_trip(void **state) {
    (void)state;
    fixture fleet = fixture_make(1);
    skua__peer_entry entry = {.uuid = uuid_make(1),
                              .incarnation = 2,
                              .control_port = 3,
                              .introduction_port = 4,
                              .certificate = fleet.certificate};
    assert_true(skua__address_parse("192.0.2.7", &entry.address));
    static uint8_t entries[SKUA__CONTROL_PEERS_MAX * SKUA__PEER_ENTRY_MAX];
    size_t used = 0;
    for (int i = 0; i < SKUA__CONTROL_PEERS_MAX; i++) {
        entry.incarnation = (uint64_t)i + 1;
        assert_true(skua__peers_append(entries, sizeof entries, &used, &entry));
    }
    skua__control control = {
        .type = SKUA__CONTROL_PEERS,
        .peers = {.count = SKUA__CONTROL_PEERS_MAX, .entries = {entries, used}}};
    size_t size = skua__control_encode(&control, bytes, sizeof bytes);
    skua__control back;
    assert_int_equal(skua__control_decode(bytes, size, &back), SKUA__CONTROL_OK);
    skua__span left = back.peers.entries;
    for (int i = 0; i < SKUA__CONTROL_PEERS_MAX; i++) {
        skua__peer_entry got;
        assert_true(skua__peers_next(&left, &got));
        assert_int_equal(got.incarnation, i + 1);
        assert_memory_equal(&got.address, &entry.address, sizeof got.address);
        assert_true(skua__certificate_equal(&got.certificate, &entry.certificate));
    }
    skua__peer_entry none;
    assert_false(skua__peers_next(&left, &none));
    size_t full = 0;
    assert_false(
        skua__peers_append(entries, SKUA__PEER_ENTRY_MAX - SKUA__CERTIFICATE_MAX, &full, &entry));
    assert_int_equal(full, 0);
    bytes[SKUA__CONTROL_HEADER]--; /* one entry fewer than there are */
    assert_int_equal(skua__control_decode(bytes, size, &back), SKUA__CONTROL_BAD_FIELD);
    control.peers.count++;
    assert_int_equal(skua__control_encode(&control, bytes, sizeof bytes), 0);
}

static void
test_control_bounds_hold(void **state) {
    (void)state;
    skua__control control = {.type = SKUA__CONTROL_APP,
                             .app = {.bytes = {copy, SKUA__CONTROL_APP_MAX + 1}}};
    assert_int_equal(skua__control_encode(&control, bytes, sizeof bytes), 0);
    control = (skua__control){.type = SKUA__CONTROL_RECORD, .record = {copy, SKUA__CONTROL_MAX}};
    assert_int_equal(skua__control_encode(&control, bytes, sizeof bytes), 0);
    control = (skua__control){.type = SKUA__CONTROL_REFUSE, .refuse = {.status = 0}};
    assert_int_equal(skua__control_encode(&control, bytes, sizeof bytes), 0);
    control.refuse.status = -1;
    control.refuse.text = (skua__span){(const uint8_t *)"\033[2J", 4}; /* no escapes into logs */
    assert_int_equal(skua__control_encode(&control, bytes, sizeof bytes), 0);
    control = hello_make(2, 1);
    assert_int_equal(skua__control_encode(&control, bytes, sizeof bytes), 0);
    control = hello_make(0, 1);
    assert_int_equal(skua__control_encode(&control, bytes, sizeof bytes), 0);
    control = (skua__control){.type = SKUA__CONTROL_BYE};
    assert_int_equal(skua__control_encode(&control, bytes, sizeof bytes), 0);
    skua__control back;
    assert_int_equal(skua__control_decode(bytes, sizeof bytes, &back), SKUA__CONTROL_TOO_LONG);
    assert_int_equal(skua__control_decode(bytes, 7, &back), SKUA__CONTROL_TOO_SHORT);
    assert_int_equal(skua__control_decode("X\1\0\0\0\0\0\0", 8, &back), SKUA__CONTROL_NOT_SKUA);
    assert_int_equal(skua__control_decode("S\2\0\0\1\0\0\0", 8, &back), SKUA__CONTROL_BAD_SIZE);
    assert_int_equal(skua__control_decode("S\2\0\0\0\0\0\0", 8, &back), SKUA__CONTROL_BAD_FIELD);
    for (int i = 0; i < SKUA__CONTROL_RESULTS; i++) {
        assert_non_null(skua__control_result_text((skua__control_result)i));
    }
}

static void
test_control_frames_of_newer_versions(void **state) {
    (void)state;
    skua__control back;
    assert_int_equal(skua__control_decode("S\143\0\1\2\0\0\0ab", 10, &back), SKUA__CONTROL_UNKNOWN);
    assert_int_equal(back.type, 99);
    assert_int_equal(back.raw.size, 2);
    assert_int_equal(skua__control_decode("S\143\1\1\0\0\0\0", 8, &back),
                     SKUA__CONTROL_UNKNOWN_CRITICAL);
    skua__control hello = hello_make(1, 2);
    size_t size = skua__control_encode(&hello, bytes, sizeof bytes);
    memset(bytes + size, 0xee, 10); /* members that a newer HELLO has */
    bytes[4] = (uint8_t)(bytes[4] + 10);
    assert_int_equal(skua__control_decode(bytes, size + 10, &back), SKUA__CONTROL_OK);
    assert_int_equal(back.hello.record_version, 11);
}

static void
test_control_i22_versions_n_and_n_minus_1_work(void **state) {
    (void)state;
    skua__hello theirs = {.version_min = 3, .version_max = 4};
    uint16_t version = 0;
    assert_int_equal(skua__version_negotiate(4, 5, &theirs, "b", &version, NULL), 0);
    assert_int_equal(version, 4);
    assert_int_equal(skua__version_negotiate(1, 9, &theirs, "b", &version, NULL), 0);
    assert_int_equal(version, 4);
    assert_int_equal(skua__version_negotiate(2, 3, &theirs, "b", &version, NULL), 0);
    assert_int_equal(version, 3);
    skua_error err;
    assert_int_equal(skua__version_negotiate(5, 6, &theirs, "b", &version, &err),
                     SKUA_E_PROTOCOL_VERSION);
    assert_non_null(strstr(err.message, "\"b\" speaks 3 to 4; upgrade skua there"));
    assert_int_equal(skua__version_negotiate(1, 2, &theirs, NULL, &version, &err),
                     SKUA_E_PROTOCOL_VERSION);
    assert_non_null(strstr(err.message, "upgrade skua here"));
    assert_int_equal(version, 3);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_every_type_round_trip),
        cmocka_unit_test(test_control_peers_round_trip),
        cmocka_unit_test(test_control_bounds_hold),
        cmocka_unit_test(test_control_frames_of_newer_versions),
        cmocka_unit_test(test_control_i22_versions_n_and_n_minus_1_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
