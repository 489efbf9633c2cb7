// SPDX-License-Identifier: MPL-2.0
// Messages: frames, sharing, properties, origin, and every branch where memory runs out.
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
test_msg_of_bytes_copies_small_and_large(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, SKUA__MSG_INLINE_BYTES, SKUA__MSG_INLINE_BYTES + 1, 70000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *bytes = malloc(sizes[i] + 1);
        memset(bytes, 0x5a, sizes[i] + 1);
        skua_msg *msg = skua_msg_of_bytes(bytes, sizes[i]);
        assert_non_null(msg);
        bytes[0] = 1; /* the message has a copy */
        assert_int_equal(skua_msg_frames(msg), 1);
        assert_int_equal(skua_msg_size(msg, 0), sizes[i]);
        assert_int_equal(skua_msg_total_size(msg), sizes[i]);
        assert_non_null(skua_msg_data(msg, 0));
        for (size_t at = 0; at < sizes[i]; at++) {
            assert_int_equal(((const uint8_t *)skua_msg_data(msg, 0))[at], 0x5a);
        }
        assert_null(skua_msg_free(msg));
        free(bytes);
    }
    skua_msg *empty = skua_msg_of_bytes(NULL, 0);
    assert_true(skua_msg_equals(empty, 0, ""));
    skua_msg_free(empty);
    assert_null(skua_msg_free(NULL));
}

static void
test_msg_frames_stop_at_64(void **state) {
    (void)state;
    skua_msg *msg = skua_msg_new(NULL);
    assert_int_equal(skua_msg_frames(msg), 0);
    assert_null(skua_msg_data(msg, 0));
    assert_int_equal(skua_msg_size(msg, 0), 0);
    char text[16];
    for (int i = 0; i < SKUA_MSG_FRAMES_MAX; i++) {
        snprintf(text, sizeof text, "frame %d", i);
        assert_int_equal(skua_msg_append_string(msg, text), SKUA_OK);
    }
    void *room = text;
    int freed = 0;
    assert_int_equal(skua_msg_append(msg, "x", 1), SKUA_E_LIMIT);
    assert_int_equal(skua_msg_append_room(msg, 1, &room), SKUA_E_LIMIT);
    assert_ptr_equal(room, text);
    assert_int_equal(skua_msg_append_wrap(msg, text, 1, count_free, &freed), SKUA_E_LIMIT);
    assert_int_equal(freed, 0);
    assert_int_equal(skua_msg_append_frame(msg, msg, 0), SKUA_E_LIMIT);
    assert_int_equal(skua_msg_append_frame(msg, msg, 64), SKUA_E_BAD_ARGUMENT);
    for (int i = 0; i < SKUA_MSG_FRAMES_MAX; i++) {
        snprintf(text, sizeof text, "frame %d", i);
        assert_true(skua_msg_equals(msg, (size_t)i, text));
    }
    assert_false(skua_msg_equals(msg, 64, ""));
    skua_msg_free(msg);
}

static void
test_msg_wrap_frees_once_after_the_last_copy(void **state) {
    (void)state;
    static char bytes[1000];
    int freed = 0;
    skua_msg *msg = skua_msg_wrap(bytes, sizeof bytes, count_free, &freed);
    skua_msg *copy = skua_msg_copy(msg);
    skua_msg *third = skua_msg_new(NULL);
    assert_int_equal(skua_msg_append_frame(third, copy, 0), SKUA_OK);
    assert_ptr_equal(skua_msg_data(third, 0), bytes);
    skua_msg_free(msg);
    skua_msg_free(copy);
    assert_int_equal(freed, 0);
    skua_msg_free(third);
    assert_int_equal(freed, 1);

    msg = skua_msg_wrap(bytes, sizeof bytes, NULL, NULL); /* static memory needs no end */
    skua_msg_free(msg);
    msg = skua_msg_wrap(NULL, 0, count_free, &freed);
    assert_non_null(skua_msg_data(msg, 0));
    skua_msg_free(msg);
    assert_int_equal(freed, 2);
}

static void
test_msg_copy_shares_large_frames_and_moves_small_ones(void **state) {
    (void)state;
    static const char large[5000];
    skua_msg *msg = skua_msg_of_string("small");
    assert_int_equal(skua_msg_append(msg, large, sizeof large), SKUA_OK);
    assert_int_equal(skua_msg_append_string(msg, "third"), SKUA_OK);
    assert_int_equal(skua_msg_set_property(msg, "k", "v"), SKUA_OK);
    assert_int_equal(skua__msg_set_topic(msg, "oslo", 4), SKUA_OK);
    skua_msg *copy = skua_msg_copy(msg);
    assert_ptr_equal(skua_msg_data(copy, 1), skua_msg_data(msg, 1));
    assert_ptr_not_equal(skua_msg_data(copy, 0), skua_msg_data(msg, 0));
    skua_msg_free(msg);
    assert_int_equal(skua_msg_frames(copy), 3);
    assert_true(skua_msg_equals(copy, 0, "small"));
    assert_true(skua_msg_equals(copy, 2, "third"));
    assert_string_equal(skua_msg_property(copy, "k"), "v");
    assert_string_equal(skua_msg_topic(copy), "oslo");
    skua_msg_free(copy);
}

static void
test_msg_properties_are_bounded_and_ordered(void **state) {
    (void)state;
    skua_msg *msg = skua_msg_new(NULL);
    char key[SKUA_MSG_PROPERTY_KEY_MAX_BYTES + 2];
    char value[SKUA_MSG_PROPERTY_VALUE_MAX_BYTES + 2];
    memset(key, 'k', sizeof key);
    memset(value, 'v', sizeof value);
    key[sizeof key - 1] = value[sizeof value - 1] = 0;
    assert_int_equal(skua_msg_set_property(msg, NULL, "v"), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_msg_set_property(msg, "", "v"), SKUA_E_BAD_ARGUMENT);
    assert_int_equal(skua_msg_set_property(msg, key, "v"), SKUA_E_TOO_BIG);
    assert_int_equal(skua_msg_set_property(msg, "k", value), SKUA_E_TOO_BIG);
    assert_int_equal(skua_msg_set_property(msg, key + 1, value + 1), SKUA_OK);
    assert_string_equal(skua_msg_property(msg, key + 1), value + 1);
    for (int i = 1; i < SKUA_MSG_PROPERTIES_MAX; i++) {
        snprintf(key, sizeof key, "key%d", i);
        assert_int_equal(skua_msg_set_property(msg, key, "old"), SKUA_OK);
    }
    assert_int_equal(skua_msg_set_property(msg, "one more", "v"), SKUA_E_LIMIT);
    assert_int_equal(skua_msg_set_property(msg, "key3", "new"), SKUA_OK);
    assert_string_equal(skua_msg_property(msg, "key3"), "new");
    assert_int_equal(skua_msg_set_property(msg, "key1", NULL), SKUA_OK);
    assert_int_equal(skua_msg_set_property(msg, "not there", NULL), SKUA_OK);
    assert_null(skua_msg_property(msg, "key1"));
    const char *at = NULL;
    assert_string_equal(skua_msg_property_at(msg, 1, &at), "key2");
    assert_string_equal(at, "old");
    assert_null(skua_msg_property_at(msg, SKUA_MSG_PROPERTIES_MAX - 1, &at));
    assert_string_equal(at, "old");
    skua_msg_free(msg);
}

static void
test_msg_property_set_from_another_property(void **state) {
    (void)state;
    skua_msg *msg = skua_msg_new(NULL);
    char key[8];
    assert_int_equal(skua_msg_set_property(msg, "key0", "handed on"), SKUA_OK);
    for (int i = 1; i < SKUA_MSG_PROPERTIES_MAX; i++) { /* each grows what the value stands in */
        snprintf(key, sizeof key, "key%d", i - 1);
        const char *value = skua_msg_property(msg, key);
        snprintf(key, sizeof key, "key%d", i);
        assert_int_equal(skua_msg_set_property(msg, key, value), SKUA_OK);
        assert_string_equal(skua_msg_property(msg, key), "handed on");
    }
    skua_msg_free(msg);
}

static void
test_msg_origin_travels_with_copies(void **state) {
    (void)state;
    skua_msg *msg = skua_msg_of_string("x");
    assert_string_equal(skua_msg_sender_name(msg), "");
    assert_int_equal(skua_msg_sender_uuid(msg)[0], 0);
    assert_string_equal(skua_msg_topic(msg), "");
    assert_false(skua_msg_redelivered(msg) || skua_msg_is_plain(msg) || skua_msg_gap(msg));
    skua__uuid uuid = {.bytes = {7, 8}};
    skua__sender *sender = skua__sender_new(NULL, &uuid, "node-a");
    skua__msg_set_sender(msg, sender);
    skua__msg_set_sender(msg, sender); /* the same again loses no reference */
    sender = skua__sender_unref(sender);
    skua__msg_set_gap(msg, 12);
    skua__msg_set_redelivered(msg, true);
    skua__msg_set_plain(msg, true);
    skua_msg *copy = skua_msg_copy(msg);
    skua_msg_free(msg);
    assert_string_equal(skua_msg_sender_name(copy), "node-a");
    assert_int_equal(skua_msg_sender_uuid(copy)[1], 8);
    assert_true(skua_msg_redelivered(copy) && skua_msg_is_plain(copy));
    assert_int_equal(skua_msg_gap(copy), 12);
    char long_topic[SKUA_MSG_TOPIC_MAX_BYTES + 1];
    memset(long_topic, 't', sizeof long_topic);
    assert_int_equal(skua__msg_set_topic(copy, long_topic, sizeof long_topic), SKUA_E_TOO_BIG);
    assert_int_equal(skua__msg_set_topic(copy, long_topic, sizeof long_topic - 1), SKUA_OK);
    assert_int_equal(skua__msg_set_topic(copy, "", 0), SKUA_OK);
    assert_string_equal(skua_msg_topic(copy), "");
    skua_msg_free(copy);
}

/* Builds a message that uses every kind of allocation; NULL when one of them failed. */
static skua_msg *
build_everything(const skua_allocator *hook, int *freed) {
    static char bytes[300];
    char key[16];
    void *room;
    int wrapped_before = *freed;
    skua_msg *copy = NULL;
    skua_msg *msg = skua_msg_new(hook);
    if (!msg) {
        return NULL;
    }
    for (int i = 0; i < 9; i++) {
        if (skua_msg_append(msg, bytes, sizeof bytes) != SKUA_OK) {
            goto fail;
        }
    }
    if (skua_msg_append_room(msg, 9, &room) != SKUA_OK) {
        goto fail;
    }
    memset(room, 0, 9);
    if (skua_msg_append_wrap(msg, bytes, sizeof bytes, count_free, freed) != SKUA_OK) {
        assert_int_equal(*freed, wrapped_before); /* still ours */
        goto fail;
    }
    for (int i = 0; i < 3; i++) {
        snprintf(key, sizeof key, "key%d", i);
        if (skua_msg_set_property(msg, key, "value") != SKUA_OK) {
            goto fail;
        }
    }
    if (skua__msg_set_topic(msg, "topic", 5) != SKUA_OK) {
        goto fail;
    }
    copy = skua_msg_copy(msg);
fail:
    skua_msg_free(msg);
    return copy;
}

static void
test_msg_survives_every_allocation_that_fails(void **state) {
    (void)state;
    failing_allocator memory;
    int freed = 0;
    long n = 1;
    for (;; n++) {
        failing_allocator_init(&memory, n);
        skua_msg *msg = build_everything(&memory.hook, &freed);
        if (msg) {
            assert_int_equal(skua_msg_frames(msg), 11);
            skua_msg_free(msg);
            assert_int_equal(memory.alive, 0);
            break;
        }
        assert_int_equal(memory.alive, 0);
    }
    assert_true(n > 15); /* the walk met them all */
    assert_true(freed >= 1);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_msg_of_bytes_copies_small_and_large),
        cmocka_unit_test(test_msg_frames_stop_at_64),
        cmocka_unit_test(test_msg_wrap_frees_once_after_the_last_copy),
        cmocka_unit_test(test_msg_copy_shares_large_frames_and_moves_small_ones),
        cmocka_unit_test(test_msg_properties_are_bounded_and_ordered),
        cmocka_unit_test(test_msg_property_set_from_another_property),
        cmocka_unit_test(test_msg_origin_travels_with_copies),
        cmocka_unit_test(test_msg_survives_every_allocation_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
