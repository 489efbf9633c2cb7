// SPDX-License-Identifier: MPL-2.0
// The bounded reader and writer: round trips, and failures that stay.
#include "test.h"

#include <skua-int/buf.h>

static void
test_buf_round_trip_is_little_endian(void **state) {
    (void)state;
    uint8_t bytes[15];
    skua__writer writer = skua__writer_of(bytes, sizeof bytes);
    skua__write_u8(&writer, 0xab);
    skua__write_u16(&writer, 0x1234);
    skua__write_u32(&writer, 0xdeadbeef);
    skua__write_u64(&writer, UINT64_C(0x0102030405060708));
    assert_false(writer.failed);
    assert_int_equal(writer.used, sizeof bytes);
    assert_int_equal(bytes[1], 0x34);
    skua__reader reader = skua__reader_of(bytes, sizeof bytes);
    assert_int_equal(skua__read_u8(&reader), 0xab);
    assert_int_equal(skua__read_u16(&reader), 0x1234);
    assert_int_equal(skua__read_u32(&reader), 0xdeadbeef);
    assert_true(skua__read_u64(&reader) == UINT64_C(0x0102030405060708));
    assert_false(reader.failed);
    assert_int_equal(reader.left, 0);
}

static void
test_buf_failure_stays(void **state) {
    (void)state;
    uint8_t bytes[3] = {1, 2, 3};
    skua__reader reader = skua__reader_of(bytes, sizeof bytes);
    assert_int_equal(skua__read_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(skua__read_u8(&reader), 0); /* it would have fitted */
    uint8_t copy[2] = {9, 9};
    skua__read_copy(&reader, copy, sizeof copy);
    assert_int_equal(copy[0], 0);

    skua__writer writer = skua__writer_of(bytes, sizeof bytes);
    skua__write_u32(&writer, 7);
    skua__write_u8(&writer, 7);
    assert_true(writer.failed);
    assert_int_equal(writer.used, 0);
    assert_int_equal(bytes[0], 1);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_round_trip_is_little_endian),
        cmocka_unit_test(test_buf_failure_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
