// SPDX-License-Identifier: MPL-2.0
// Payloads of tasks: every entry that is read lies inside its payload, and is written again to the same value in the
// same number of bytes.
#include "fuzz.h"

#include <skua-int/task.h>

static bool
inside(const uint8_t *bytes, size_t size, const void *part, size_t part_size) {
    const uint8_t *at = part;
    return at >= bytes && at <= bytes + size && part_size <= (size_t)(bytes + size - at);
}

static bool
try_request(skua__reader *reader) {
    const uint8_t *start = reader->at;
    size_t left = reader->left;
    skua__task_request request, back;
    if (!skua__task_read_request(reader, &request)) {
        return false;
    }
    FUZZ_CHECK(inside(start, left, request.name, request.name_bytes));
    FUZZ_CHECK(inside(start, left, request.input, request.input_bytes));
    FUZZ_CHECK(skua__task_name_ok(request.name, request.name_bytes));
    size_t size = left - reader->left;
    uint8_t *again = malloc(size);
    FUZZ_CHECK(again != NULL);
    skua__writer writer = skua__writer_of(again, size);
    skua__task_write_request(&writer, &request);
    skua__write_bytes(&writer, request.input, request.input_bytes);
    FUZZ_CHECK(!writer.failed && writer.used == size);
    skua__reader second = skua__reader_of(again, size);
    FUZZ_CHECK(skua__task_read_request(&second, &back) && second.left == 0);
    FUZZ_CHECK(back.id == request.id && back.epoch == request.epoch);
    FUZZ_CHECK(back.left_us == request.left_us && back.attempt == request.attempt);
    FUZZ_CHECK(back.version == request.version && back.priority == request.priority);
    FUZZ_CHECK(back.flags == request.flags && back.name_bytes == request.name_bytes);
    FUZZ_CHECK(!memcmp(back.name, request.name, request.name_bytes));
    FUZZ_CHECK(back.input_bytes == request.input_bytes);
    FUZZ_CHECK(!memcmp(back.input, request.input, request.input_bytes));
    free(again);
    return true;
}

static bool
try_result(skua__reader *reader) {
    const uint8_t *start = reader->at;
    size_t left = reader->left;
    skua__task_result result, back;
    if (!skua__task_read_result(reader, &result)) {
        return false;
    }
    FUZZ_CHECK(inside(start, left, result.message, result.message_bytes));
    FUZZ_CHECK(inside(start, left, result.output, result.output_bytes));
    size_t size = left - reader->left;
    uint8_t *again = malloc(size);
    FUZZ_CHECK(again != NULL);
    skua__writer writer = skua__writer_of(again, size);
    skua__task_write_result(&writer, &result);
    skua__write_bytes(&writer, result.output, result.output_bytes);
    FUZZ_CHECK(!writer.failed && writer.used == size);
    skua__reader second = skua__reader_of(again, size);
    FUZZ_CHECK(skua__task_read_result(&second, &back) && second.left == 0);
    FUZZ_CHECK(back.id == result.id && back.epoch == result.epoch && back.run_ns == result.run_ns);
    FUZZ_CHECK(back.code == result.code && back.status == result.status);
    FUZZ_CHECK(back.flags == result.flags && back.message_bytes == result.message_bytes);
    FUZZ_CHECK(!memcmp(back.message, result.message, result.message_bytes));
    FUZZ_CHECK(back.output_bytes == result.output_bytes);
    FUZZ_CHECK(!memcmp(back.output, result.output, result.output_bytes));
    free(again);
    return true;
}

static bool
try_offer(skua__reader *reader) {
    const uint8_t *start = reader->at;
    size_t left = reader->left;
    skua__task_offer offer;
    uint8_t again[5 + SKUA_NAME_BYTES];
    if (!skua__task_read_offer(reader, &offer)) {
        return false;
    }
    FUZZ_CHECK(skua__task_name_ok(offer.name, strnlen(offer.name, sizeof offer.name)));
    skua__writer writer = skua__writer_of(again, sizeof again);
    skua__task_write_offer(&writer, &offer);
    FUZZ_CHECK(!writer.failed && writer.used == left - reader->left);
    FUZZ_CHECK(!memcmp(again, start, writer.used));
    return true;
}

static bool
try_lease_ref(skua__reader *reader) {
    const uint8_t *start = reader->at;
    skua__task_lease_ref ref;
    uint8_t again[sizeof ref];
    if (!skua__task_read_lease_ref(reader, &ref)) {
        return false;
    }
    skua__writer writer = skua__writer_of(again, sizeof again);
    skua__task_write_lease_ref(&writer, &ref);
    FUZZ_CHECK(!writer.failed && writer.used == sizeof again);
    FUZZ_CHECK(!memcmp(again, start, sizeof again));
    return true;
}

static bool
try_entry(uint8_t frame, skua__reader *reader) {
    switch (frame) {
    case SKUA__TASK_REQUESTS:
        return try_request(reader);
    case SKUA__TASK_RESULTS:
        return try_result(reader);
    case SKUA__TASK_OFFER:
        return try_offer(reader);
    default:
        return try_lease_ref(reader);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    skua__reader reader = skua__reader_of(bytes, size);
    skua__task_head head;
    uint8_t again[SKUA__TASK_BATCH_HEAD_BYTES];
    if (!skua__task_read_head(&reader, &head)) {
        return 0;
    }
    skua__writer writer = skua__writer_of(again, sizeof again);
    skua__task_write_head(&writer, &head);
    FUZZ_CHECK(!writer.failed && writer.used == sizeof again);
    FUZZ_CHECK(!memcmp(again, bytes, sizeof again));
    bool whole = true;
    for (uint32_t i = 0; i < head.entries; i++) {
        if (!try_entry(head.frame, &reader)) {
            FUZZ_CHECK(reader.failed);
            whole = false;
            break;
        }
    }
    FUZZ_CHECK(reader.left <= size);
    /* The check of the whole payload agrees with the reading of its parts. */
    bool bounded = head.frame != SKUA__TASK_OFFER || head.entries <= SKUA__TASK_MAX_OFFERS;
    FUZZ_CHECK(skua__task_payload_ok(bytes, size) == (whole && bounded && reader.left == 0));
    return 0;
}
