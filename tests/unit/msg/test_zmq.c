// SPDX-License-Identifier: MPL-2.0
// Messages to and from ZeroMQ's: what is shared, what is copied, who ends it, and where memory runs out.
#include <zmq.h>

#include "failing_allocator.h"
#include "test.h"

#include <skua-int/msg_int.h>
#include <string.h>

static void
count_free(void *data, void *hint) {
    (void)data;
    ++*(int *)hint;
}

static void
test_zmq_large_frame_is_sent_from_where_it_stands(void **state) {
    (void)state;
    void *room = NULL;
    skua_msg *msg = skua_msg_of_room(4096, &room);
    memset(room, 'p', 4096);
    zmq_msg_t first, second;
    assert_int_equal(skua__msg_to_zmq(msg, "HEAD1", 5, &first), SKUA_OK);
    assert_ptr_equal((uint8_t *)zmq_msg_data(&first) + 5, room);
    /* While ZeroMQ holds it the headroom is not ours any more: a second one, with its own header, is a copy. */
    assert_int_equal(skua__msg_to_zmq(msg, "HEAD2", 5, &second), SKUA_OK);
    assert_ptr_not_equal((uint8_t *)zmq_msg_data(&second) + 5, room);
    assert_memory_equal(zmq_msg_data(&first), "HEAD1ppp", 8);
    assert_memory_equal(zmq_msg_data(&second), "HEAD2ppp", 8);
    skua_msg_free(msg);
    zmq_msg_close(&second);
    assert_memory_equal((uint8_t *)zmq_msg_data(&first) + 4096, "ppppp", 5);
    zmq_msg_close(&first);
}

static void
test_zmq_large_frame_with_a_topic_is_not_copied(void **state) {
    (void)state;
    char topic[SKUA_MSG_TOPIC_MAX_BYTES + 1], header[24 + 1 + 64];
    memset(topic, 't', sizeof topic);
    memset(header, 'H', sizeof header);
    void *room = NULL;
    skua_msg *msg = skua_msg_of_room(SKUA__MSG_LARGE_BYTES, &room);
    memset(room, 'p', SKUA__MSG_LARGE_BYTES);
    assert_int_equal(skua__msg_set_topic(msg, topic, SKUA_MSG_TOPIC_MAX_BYTES), SKUA_OK);
    size_t front = sizeof header + skua__msg_head_size(msg);
    zmq_msg_t shared, copied;
    assert_int_equal(skua__msg_to_zmq(msg, header, sizeof header, &shared), SKUA_OK);
    assert_ptr_equal((uint8_t *)zmq_msg_data(&shared) + front, room);
    /* The second holder of the block gets a copy, and that says the same. */
    assert_int_equal(skua__msg_to_zmq(msg, header, sizeof header, &copied), SKUA_OK);
    assert_ptr_not_equal((uint8_t *)zmq_msg_data(&copied) + front, room);
    assert_int_equal(zmq_msg_size(&shared), front + SKUA__MSG_LARGE_BYTES);
    assert_int_equal(zmq_msg_size(&copied), zmq_msg_size(&shared));
    assert_memory_equal(zmq_msg_data(&copied), zmq_msg_data(&shared), zmq_msg_size(&shared));
    zmq_msg_close(&copied);
    zmq_msg_close(&shared);
    /* Properties that do not fit the room in front are no harm. */
    char value[SKUA_MSG_PROPERTY_VALUE_MAX_BYTES + 1] = {0};
    memset(value, 'v', sizeof value - 1);
    assert_int_equal(skua_msg_set_property(msg, "key", value), SKUA_OK);
    assert_int_equal(skua__msg_to_zmq(msg, header, sizeof header, &copied), SKUA_OK);
    skua_msg *back = NULL;
    assert_int_equal(skua__msg_from_zmq(NULL, &copied, sizeof header, false, &back), SKUA_OK);
    assert_string_equal(skua_msg_property(back, "key"), value);
    assert_int_equal(strlen(skua_msg_topic(back)), SKUA_MSG_TOPIC_MAX_BYTES);
    assert_int_equal(skua_msg_size(back, 0), SKUA__MSG_LARGE_BYTES);
    zmq_msg_close(&copied);
    skua_msg_free(back);
    skua_msg_free(msg);
}

static void
test_zmq_wrapped_frame_outlives_its_message(void **state) {
    (void)state;
    static char bytes[2048];
    int freed = 0;
    skua_msg *msg = skua_msg_wrap(bytes, sizeof bytes, count_free, &freed);
    zmq_msg_t frame, whole;
    assert_int_equal(skua__msg_frame_to_zmq(msg, 0, &frame), SKUA_OK);
    assert_ptr_equal(zmq_msg_data(&frame), bytes);
    assert_int_equal(skua__msg_to_zmq(msg, "H", 1, &whole), SKUA_OK); /* no headroom: a copy */
    assert_int_equal(skua__msg_frame_to_zmq(msg, 1, &whole), SKUA_E_BAD_ARGUMENT);
    zmq_msg_close(&whole);
    skua_msg_free(msg);
    assert_int_equal(freed, 0);
    zmq_msg_close(&frame);
    assert_int_equal(freed, 1);
}

static void
test_zmq_batch_shares_one_block(void **state) {
    (void)state;
    enum { LARGE = 1000, SMALL = 10 };
    zmq_msg_t zmq;
    zmq_msg_init_size(&zmq, LARGE + SMALL);
    memset(zmq_msg_data(&zmq), 'b', LARGE + SMALL);
    skua__zmq_block *block = skua__zmq_block_take(NULL, &zmq);
    assert_int_equal(zmq_msg_size(&zmq), 0);
    const uint8_t *bytes = zmq_msg_data(skua__zmq_block_msg(block));
    skua_msg *large = NULL, *small = NULL, *none = NULL;
    assert_int_equal(skua__msg_from_block(block, 0, LARGE, true, &large), SKUA_OK);
    assert_int_equal(skua__msg_from_block(block, LARGE, SMALL, true, &small), SKUA_OK);
    assert_int_equal(skua__msg_from_block(block, LARGE, SMALL + 1, true, &none), SKUA_E_MALFORMED);
    assert_int_equal(skua__msg_from_block(block, SIZE_MAX, 2, true, &none), SKUA_E_MALFORMED);
    assert_null(none);
    assert_ptr_equal(skua_msg_data(large, 0), bytes);
    block = skua__zmq_block_unref(block);
    assert_true(skua_msg_equals(small, 0, "bbbbbbbbbb")); /* and does not keep the block alive */
    skua_msg *copy = skua_msg_copy(large);
    skua_msg_free(large);
    assert_int_equal(((const char *)skua_msg_data(copy, 0))[LARGE - 1], 'b');
    skua_msg_free(copy);
    skua_msg_free(small);
}

static void
test_zmq_append_takes_large_and_copies_small(void **state) {
    (void)state;
    skua_msg *msg = skua_msg_new(NULL);
    zmq_msg_t zmq;
    for (int i = 0; i < SKUA_MSG_FRAMES_MAX; i++) {
        zmq_msg_init_size(&zmq, i % 2 ? 1000 : 10);
        memset(zmq_msg_data(&zmq), i, zmq_msg_size(&zmq));
        assert_int_equal(skua__msg_append_zmq(msg, &zmq), SKUA_OK);
        zmq_msg_close(&zmq);
    }
    zmq_msg_init_size(&zmq, 1000);
    assert_int_equal(skua__msg_append_zmq(msg, &zmq), SKUA_E_LIMIT);
    assert_int_equal(zmq_msg_size(&zmq), 1000);
    zmq_msg_close(&zmq);
    assert_int_equal(((const char *)skua_msg_data(msg, 63))[999], 63);
    assert_int_equal(skua_msg_size(msg, 62), 10);
    skua_msg_free(msg);
}

static void
test_zmq_reading_survives_every_allocation_that_fails(void **state) {
    (void)state;
    skua_msg *msg = skua_msg_of_string("one");
    for (int i = 0; i < 9; i++) {
        assert_int_equal(skua_msg_append(msg, "0123456789012345678901234567890123456789", 40),
                         SKUA_OK);
    }
    assert_int_equal(skua_msg_set_property(msg, "k", "v"), SKUA_OK);
    assert_int_equal(skua__msg_set_topic(msg, "t", 1), SKUA_OK);
    failing_allocator memory;
    for (long n = 1;; n++) {
        failing_allocator_init(&memory, n);
        zmq_msg_t zmq;
        assert_int_equal(skua__msg_to_zmq(msg, "", 0, &zmq), SKUA_OK);
        skua_msg *read = NULL;
        skua_status status = skua__msg_from_zmq(&memory.hook, &zmq, 0, false, &read);
        zmq_msg_close(&zmq);
        if (status == SKUA_OK) {
            assert_true(n > 4);
            assert_string_equal(skua_msg_topic(read), "t");
            skua_msg_free(read);
            assert_int_equal(memory.alive, 0);
            break;
        }
        assert_int_equal(status, SKUA_E_NO_MEMORY);
        assert_null(read);
        assert_int_equal(memory.alive, 0);
    }
    skua_msg_free(msg);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zmq_large_frame_is_sent_from_where_it_stands),
        cmocka_unit_test(test_zmq_large_frame_with_a_topic_is_not_copied),
        cmocka_unit_test(test_zmq_wrapped_frame_outlives_its_message),
        cmocka_unit_test(test_zmq_batch_shares_one_block),
        cmocka_unit_test(test_zmq_append_takes_large_and_copies_small),
        cmocka_unit_test(test_zmq_reading_survives_every_allocation_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
