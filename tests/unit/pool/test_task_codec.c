// SPDX-License-Identifier: MPL-2.0
// Task payloads: round trips, every truncation refused, and random bytes that do no harm.
#include "test.h"

#include <skua-int/lease_fsm.h>
#include <skua-int/rand.h>
#include <skua-int/task.h>

static size_t
write_requests(uint8_t *bytes, size_t size) {
    skua__writer writer = skua__writer_of(bytes, size);
    skua__task_write_head(&writer, &(skua__task_head){.frame = SKUA__TASK_REQUESTS, .entries = 1});
    assert_int_equal(writer.used, SKUA__TASK_BATCH_HEAD_BYTES);
    skua__task_request request = {.id = 0x1122334455667788,
                                  .epoch = 42,
                                  .left_us = SKUA__TASK_NO_DEADLINE,
                                  .attempt = 3,
                                  .version = 7,
                                  .priority = 2,
                                  .name = "count",
                                  .name_bytes = 5,
                                  .input_bytes = 4};
    skua__task_write_request(&writer, &request);
    assert_int_equal(writer.used, SKUA__TASK_BATCH_HEAD_BYTES + SKUA__TASK_REQUEST_HEAD_BYTES + 5);
    skua__write_bytes(&writer, "abcd", 4);
    assert_false(writer.failed);
    return writer.used;
}

static void
test_task_codec_request_round_trip(void **state) {
    (void)state;
    uint8_t bytes[128];
    size_t size = write_requests(bytes, sizeof bytes);
    skua__reader reader = skua__reader_of(bytes, size);
    skua__task_head head;
    skua__task_request request;
    assert_true(skua__task_read_head(&reader, &head));
    assert_int_equal(head.entries, 1);
    assert_true(skua__task_read_request(&reader, &request));
    assert_true(request.id == 0x1122334455667788 && request.epoch == 42);
    assert_true(request.left_us == SKUA__TASK_NO_DEADLINE);
    assert_int_equal(request.attempt, 3);
    assert_int_equal(request.version, 7);
    assert_int_equal(request.priority, 2);
    assert_memory_equal(request.name, "count", 5);
    assert_memory_equal(request.input, "abcd", 4);
    assert_int_equal(reader.left, 0);
    for (size_t cut = 0; cut < size; cut++) {
        reader = skua__reader_of(bytes, cut);
        assert_false(skua__task_read_head(&reader, &head) &&
                     skua__task_read_request(&reader, &request));
    }
}

static void
test_task_codec_result_round_trip(void **state) {
    (void)state;
    uint8_t bytes[128];
    skua__writer writer = skua__writer_of(bytes, sizeof bytes);
    skua__task_result sent = {.id = 5,
                              .epoch = 6,
                              .run_ns = 1234567890123,
                              .code = -9,
                              .status = SKUA__LEASE_EXIT,
                              .message = "why",
                              .message_bytes = 3,
                              .output_bytes = 2};
    skua__task_write_result(&writer, &sent);
    assert_int_equal(writer.used, SKUA__TASK_RESULT_HEAD_BYTES + 3);
    skua__write_bytes(&writer, "xy", 2);
    skua__task_result result;
    for (size_t cut = 0; cut < writer.used; cut++) {
        skua__reader reader = skua__reader_of(bytes, cut);
        assert_false(skua__task_read_result(&reader, &result));
    }
    skua__reader reader = skua__reader_of(bytes, writer.used);
    assert_true(skua__task_read_result(&reader, &result));
    assert_int_equal(result.code, -9);
    assert_true(result.run_ns == 1234567890123);
    assert_memory_equal(result.message, "why", 3);
    assert_memory_equal(result.output, "xy", 2);
    bytes[38] = 99; /* a status that is none */
    reader = skua__reader_of(bytes, writer.used);
    assert_false(skua__task_read_result(&reader, &result));
}

static void
test_task_codec_offer_and_lease_round_trip(void **state) {
    (void)state;
    uint8_t bytes[64];
    skua__writer writer = skua__writer_of(bytes, sizeof bytes);
    skua__task_write_offer(&writer, &(skua__task_offer){.version = 9, .name = "blur.fast"});
    skua__task_write_lease_ref(&writer, &(skua__task_lease_ref){.id = 1, .epoch = 2});
    skua__reader reader = skua__reader_of(bytes, writer.used);
    skua__task_offer offer;
    skua__task_lease_ref ref;
    assert_true(skua__task_read_offer(&reader, &offer));
    assert_string_equal(offer.name, "blur.fast");
    assert_int_equal(offer.version, 9);
    assert_true(skua__task_read_lease_ref(&reader, &ref));
    assert_true(ref.id == 1 && ref.epoch == 2 && reader.left == 0);
    bytes[5] = '/';
    reader = skua__reader_of(bytes, writer.used);
    assert_false(skua__task_read_offer(&reader, &offer));
}

static void
test_task_codec_names(void **state) {
    (void)state;
    char longest[SKUA_NAME_BYTES];
    memset(longest, 'a', sizeof longest);
    assert_true(skua__task_name_ok(longest, SKUA_NAME_BYTES - 1));
    assert_false(skua__task_name_ok(longest, SKUA_NAME_BYTES));
    assert_false(skua__task_name_ok("", 0));
    assert_false(skua__task_name_ok("-a", 2));
    assert_false(skua__task_name_ok("aB", 2));
    assert_false(skua__task_name_ok("a\0b", 3));
    assert_true(skua__task_name_ok("0a._-", 5));
}

/* I24: no bytes do harm; what is read lies inside what was given (ASan looks on). */
static void
test_task_codec_random_bytes(void **state) {
    (void)state;
    skua__rand rand = {.state = test_seed(7)};
    uint8_t clean[128];
    size_t size = write_requests(clean, sizeof clean);
    for (int round = 0; round < 50000; round++) {
        uint8_t *bytes = malloc(size); /* exactly so big that ASan sees one byte too many */
        assert_non_null(bytes);
        memcpy(bytes, clean, size);
        for (uint32_t flips = 1 + skua__rand_below(&rand, 8); flips; flips--) {
            bytes[skua__rand_below(&rand, (uint32_t)size)] = (uint8_t)skua__rand_next(&rand);
        }
        skua__reader reader = skua__reader_of(bytes, size);
        skua__task_head head;
        skua__task_request request;
        if (skua__task_read_head(&reader, &head) && skua__task_read_request(&reader, &request)) {
            assert_true(request.input >= bytes &&
                        request.input + request.input_bytes <= bytes + size);
        }
        reader = skua__reader_of(bytes, size);
        skua__task_result result;
        skua__task_read_result(&reader, &result);
        skua__task_offer offer;
        reader = skua__reader_of(bytes, size);
        skua__task_read_offer(&reader, &offer);
        free(bytes);
    }
}

/* A payload is good as a whole or not at all: cut short, with a byte behind it, or with one entry more than it has. */
static void
test_task_codec_payload_is_whole(void **state) {
    (void)state;
    uint8_t bytes[128] = {0};
    size_t size = write_requests(bytes, sizeof bytes);
    assert_true(skua__task_payload_ok(bytes, size));
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(skua__task_payload_ok(bytes, cut));
    }
    assert_false(skua__task_payload_ok(bytes, size + 1));
    for (uint8_t frame = SKUA__TASK_REQUESTS; frame <= SKUA__TASK_RENEW; frame++) {
        skua__writer writer = skua__writer_of(bytes, sizeof bytes);
        skua__task_write_head(&writer, &(skua__task_head){.frame = frame});
        assert_true(skua__task_payload_ok(bytes, writer.used));
        assert_false(skua__task_payload_ok(bytes, writer.used + 1));
        bytes[2] = 1; /* an entry that is not there */
        assert_false(skua__task_payload_ok(bytes, writer.used));
    }
    skua__writer writer = skua__writer_of(bytes, sizeof bytes);
    skua__task_write_head(&writer, &(skua__task_head){.frame = SKUA__TASK_CANCEL, .entries = 2});
    for (uint64_t i = 1; i <= 2; i++) {
        skua__task_write_lease_ref(&writer, &(skua__task_lease_ref){.id = i, .epoch = i});
    }
    assert_true(skua__task_payload_ok(bytes, writer.used));
    assert_false(skua__task_payload_ok(bytes, writer.used + 16));
    assert_false(skua__task_payload_ok(bytes, writer.used - 1));
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_codec_request_round_trip),
        cmocka_unit_test(test_task_codec_result_round_trip),
        cmocka_unit_test(test_task_codec_offer_and_lease_round_trip),
        cmocka_unit_test(test_task_codec_names),
        cmocka_unit_test(test_task_codec_payload_is_whole),
        cmocka_unit_test(test_task_codec_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
