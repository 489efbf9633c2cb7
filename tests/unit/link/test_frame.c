// SPDX-License-Identifier: MPL-2.0
// The codec of data links: what is written is read again, and nothing malformed is.
#include "test.h"

#include <skua-int/frame.h>
#include <skua-int/rand.h>
#include <string.h>

static const skua__frame sample = {
    .type = SKUA__FRAME_DATA, .flags = 1, .session = 0x01020304, .seq = 77, .word = 99};

static void
test_frame_header_round_trip(void **state) {
    (void)state;
    uint8_t bytes[SKUA__FRAME_HEADER_BYTES];
    skua__frame_write(&sample, bytes);
    static const uint8_t golden[SKUA__FRAME_HEADER_BYTES] = {
        0x53, 0x4b, 1, 1, 4, 3, 2, 1, 77, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0};
    assert_memory_equal(bytes, golden, sizeof golden);
    skua__frame got;
    assert_true(skua__frame_read(bytes, sizeof bytes, &got));
    assert_int_equal(got.type, sample.type);
    assert_int_equal(got.flags, sample.flags);
    assert_int_equal(got.session, sample.session);
    assert_int_equal(got.seq, sample.seq);
    assert_int_equal(got.word, sample.word);
}

static void
test_frame_header_malformed_is_refused(void **state) {
    (void)state;
    uint8_t bytes[SKUA__FRAME_HEADER_BYTES];
    skua__frame got;
    for (size_t size = 0; size < sizeof bytes; size++) {
        skua__frame_write(&sample, bytes);
        assert_false(skua__frame_read(bytes, size, &got));
    }
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {{0, 0}, {1, 0}, {2, 0}, {2, 11}, {15, 0x40}, {23, 0x80}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        skua__frame_write(&sample, bytes);
        bytes[wrong[i].at] = wrong[i].value;
        assert_false(skua__frame_read(bytes, sizeof bytes, &got));
    }
    skua__frame nobody = sample;
    nobody.session = 0;
    skua__frame_write(&nobody, bytes);
    assert_false(skua__frame_read(bytes, sizeof bytes, &got));
}

static skua__link_hello
sample_hello(void) {
    return (skua__link_hello){.version_min = 1,
                              .version_max = 2,
                              .features = 5,
                              .incarnation = 1234567890123,
                              .kind = SKUA__SERVICE_PUB,
                              .name = "weather",
                              .window_bytes = 65536,
                              .window_msgs = 7,
                              .peer_session = 42,
                              .peer_epoch = 3,
                              .pattern = (const uint8_t *)"oslo",
                              .pattern_size = 4};
}

static void
test_frame_hello_round_trip(void **state) {
    (void)state;
    skua__link_hello hello = sample_hello(), got;
    uint8_t bytes[SKUA__HELLO_MAX_BYTES];
    size_t size = skua__hello_write(&hello, bytes, sizeof bytes);
    assert_true(size > 0);
    assert_true(skua__hello_read(bytes, size, &got));
    assert_int_equal(got.version_min, 1);
    assert_int_equal(got.version_max, 2);
    assert_int_equal(got.features, 5);
    assert_int_equal(got.incarnation, 1234567890123);
    assert_int_equal(got.kind, SKUA__SERVICE_PUB);
    assert_string_equal(got.name, "weather");
    assert_int_equal(got.window_bytes, 65536);
    assert_int_equal(got.window_msgs, 7);
    assert_int_equal(got.peer_session, 42);
    assert_int_equal(got.peer_epoch, 3);
    assert_int_equal(got.pattern_size, 4);
    assert_memory_equal(got.pattern, "oslo", 4);
    assert_int_equal(skua__hello_write(&hello, bytes, size - 1), 0);
}

static void
test_frame_hello_unknown_parts(void **state) {
    (void)state;
    skua__link_hello hello = sample_hello(), got;
    uint8_t bytes[SKUA__HELLO_MAX_BYTES];
    size_t size = skua__hello_write(&hello, bytes, sizeof bytes);
    static const uint8_t unknown[] = {0x33, 0x00, 2, 0, 9, 9};
    static const uint8_t critical[] = {0x33, 0x80, 2, 0, 9, 9};
    memcpy(bytes + size, unknown, sizeof unknown);
    assert_true(skua__hello_read(bytes, size + sizeof unknown, &got));
    memcpy(bytes + size, critical, sizeof critical);
    assert_false(skua__hello_read(bytes, size + sizeof critical, &got));
    for (size_t cut = 1; cut < size; cut++) {
        /* Whatever is cut off: no reading past the end, and never a HELLO without its name. */
        if (skua__hello_read(bytes, size - cut, &got)) {
            assert_true(got.name[0] != 0);
        }
    }
}

static void
test_frame_ack_round_trip_and_bounds(void **state) {
    (void)state;
    static skua__ack ack, got;
    uint8_t body[SKUA__ACK_BODY_MAX_BYTES];
    ack = (skua__ack){.confirmed = 10,
                      .received = 40,
                      .session = 7,
                      .window_bytes = 1000,
                      .window_msgs = 20,
                      .range_count = 2};
    ack.ranges[0] = (skua__range){.first = 12, .count = 3};
    ack.ranges[1] = (skua__range){.first = 20, .count = 20};
    size_t size = skua__ack_write(&ack, body);
    skua__frame header = {.seq = 10, .word = 40};
    assert_true(skua__ack_read(&header, body, size, &got));
    assert_int_equal(got.confirmed, 10);
    assert_int_equal(got.received, 40);
    assert_int_equal(got.range_count, 2);
    assert_int_equal(got.ranges[1].first, 20);
    assert_int_equal(got.ranges[1].count, 20);
    assert_false(skua__ack_read(&header, body, size - 1, &got));
    header.word = 39; /* the last range ends beyond what was received */
    assert_false(skua__ack_read(&header, body, size, &got));
    header.word = 9; /* confirmed beyond received */
    assert_false(skua__ack_read(&header, body, size, &got));
    header.word = 40;
    ack.ranges[1].first = 14; /* they overlap */
    size = skua__ack_write(&ack, body);
    assert_false(skua__ack_read(&header, body, size, &got));
}

static size_t
make_batch(uint8_t *bytes, uint32_t count) {
    skua__frame header = sample;
    header.type = SKUA__FRAME_BATCH;
    skua__frame_write(&header, bytes);
    size_t used = SKUA__FRAME_HEADER_BYTES;
    memcpy(bytes + used, &(uint32_t){count}, 4);
    used += 4;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t flags = i % 2 ? SKUA__FLAG_REDELIVERED : 0;
        used += skua__record_write(flags, "tag", i % 3 ? 3 : 0, i, true, bytes + used);
        memset(bytes + used, (int)i, i);
        used += i;
    }
    return used;
}

static void
test_frame_batch_round_trip(void **state) {
    (void)state;
    uint8_t bytes[4096];
    size_t size = make_batch(bytes, 20);
    skua__frame header;
    skua__records records;
    assert_true(skua__frame_read(bytes, size, &header));
    assert_int_equal(skua__records_open(&records, &header, bytes, size), 20);
    skua__link_record record;
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(skua__records_next(&records, &record));
        assert_int_equal(record.body_size, i);
        assert_int_equal(record.flags & SKUA__FLAG_REDELIVERED, i % 2 ? 1 : 0);
        assert_int_equal(record.tag_size, i % 3 ? 3 : 0);
        assert_true(i == 0 || bytes[record.body_offset] == i);
    }
    assert_false(skua__records_next(&records, &record));
}

static void
test_frame_batch_malformed_is_refused(void **state) {
    (void)state;
    uint8_t bytes[4096];
    size_t size = make_batch(bytes, 20);
    skua__frame header;
    skua__records records;
    assert_true(skua__frame_read(bytes, size, &header));
    for (size_t cut = 1; cut <= size; cut++) {
        assert_int_equal(skua__records_open(&records, &header, bytes, size - cut), 0);
    }
    assert_int_equal(skua__records_open(&records, &header, bytes, size + 1), 0);
    bytes[SKUA__FRAME_HEADER_BYTES + 3] = 1; /* more records than any frame has */
    assert_int_equal(skua__records_open(&records, &header, bytes, size), 0);
    bytes[SKUA__FRAME_HEADER_BYTES] = bytes[SKUA__FRAME_HEADER_BYTES + 3] = 0; /* none */
    assert_int_equal(skua__records_open(&records, &header, bytes, size), 0);
}

/* Flips bits in good frames: the readers must stay inside, and what they accept must be within its bounds. */
static void
test_frame_survives_random_damage(void **state) {
    (void)state;
    skua__rand rand = {test_seed(11)};
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[1024];
        size_t size = make_batch(bytes, 1 + skua__rand_below(&rand, 12));
        for (uint32_t i = skua__rand_below(&rand, 6); i > 0; i--) {
            bytes[skua__rand_below(&rand, (uint32_t)size)] ^=
                (uint8_t)(1u << skua__rand_below(&rand, 8));
        }
        uint8_t *exact = malloc(size); /* so that ASan sees the smallest step outside */
        assert_non_null(exact);
        memcpy(exact, bytes, size);
        skua__frame header;
        skua__records records;
        if (skua__frame_read(exact, size, &header) &&
            skua__records_open(&records, &header, exact, size)) {
            skua__link_record record;
            while (skua__records_next(&records, &record)) {
                assert_true(record.body_offset + record.body_size <= size);
            }
        }
        free(exact);
    }
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_header_round_trip),
        cmocka_unit_test(test_frame_header_malformed_is_refused),
        cmocka_unit_test(test_frame_hello_round_trip),
        cmocka_unit_test(test_frame_hello_unknown_parts),
        cmocka_unit_test(test_frame_ack_round_trip_and_bounds),
        cmocka_unit_test(test_frame_batch_round_trip),
        cmocka_unit_test(test_frame_batch_malformed_is_refused),
        cmocka_unit_test(test_frame_survives_random_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
