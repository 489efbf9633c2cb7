// SPDX-License-Identifier: MPL-2.0
// The encoding of a body: what was written is read again, and no damaged or random bytes do harm.
#include <zmq.h>

#include "failing_allocator.h"
#include "test.h"

#include <skua-int/msg_int.h>
#include <skua-int/rand.h>
#include <string.h>

static skua_msg *
random_message(skua__rand *rand) {
    static uint8_t bytes[2000];
    skua_msg *msg = skua_msg_new(NULL);
    uint32_t frames = skua__rand_below(rand, 5) ? skua__rand_below(rand, 4) : 64;
    for (uint32_t i = 0; i < frames; i++) {
        uint32_t size = skua__rand_below(rand, skua__rand_below(rand, 2) ? 20 : 2000);
        memset(bytes, (int)skua__rand_below(rand, 256), sizeof bytes);
        assert_int_equal(skua_msg_append(msg, bytes, size), SKUA_OK);
    }
    char key[16];
    for (uint32_t i = skua__rand_below(rand, 17); i > 0; i--) {
        snprintf(key, sizeof key, "key%u", i);
        assert_int_equal(skua_msg_set_property(msg, key, i % 3 ? "some value" : ""), SKUA_OK);
    }
    if (skua__rand_below(rand, 2)) {
        assert_int_equal(skua__msg_set_topic(msg, "oslo/weather", 12), SKUA_OK);
    }
    return msg;
}

static void
assert_same(const skua_msg *a, const skua_msg *b) {
    assert_int_equal(skua_msg_frames(a), skua_msg_frames(b));
    for (size_t i = 0; i < skua_msg_frames(a); i++) {
        assert_int_equal(skua_msg_size(a, i), skua_msg_size(b, i));
        assert_memory_equal(skua_msg_data(a, i), skua_msg_data(b, i), skua_msg_size(a, i));
    }
    assert_string_equal(skua_msg_topic(a), skua_msg_topic(b));
    for (size_t i = 0;; i++) {
        const char *value_a = NULL, *value_b = NULL;
        const char *key_a = skua_msg_property_at(a, i, &value_a);
        const char *key_b = skua_msg_property_at(b, i, &value_b);
        if (!key_a || !key_b) {
            assert_true(!key_a && !key_b);
            return;
        }
        assert_string_equal(key_a, key_b);
        assert_string_equal(value_a, value_b);
    }
}

static void
zmq_of(zmq_msg_t *ret_zmq, const void *bytes, size_t size) {
    assert_int_equal(zmq_msg_init_size(ret_zmq, size), 0);
    memcpy(zmq_msg_data(ret_zmq), bytes, size);
}

static void
test_body_round_trip_of_random_messages(void **state) {
    (void)state;
    skua__rand rand = {test_seed(42)};
    for (int round = 0; round < 500; round++) {
        skua_msg *msg = random_message(&rand);
        zmq_msg_t zmq;
        assert_int_equal(skua__msg_to_zmq(msg, "HEADER", 6, &zmq), SKUA_OK);
        assert_int_equal(zmq_msg_size(&zmq), 6 + skua__msg_body_size(msg));
        skua_msg *again = NULL;
        bool simple = skua__msg_is_simple(msg);
        assert_int_equal(skua__msg_from_zmq(NULL, &zmq, 6, simple, &again), SKUA_OK);
        zmq_msg_close(&zmq);
        assert_same(msg, again);
        skua_msg *copy = skua_msg_copy(again);
        skua_msg_free(again);
        assert_same(msg, copy);
        skua_msg_free(copy);
        skua_msg_free(msg);
    }
}

static skua_status
read_bytes(const uint8_t *bytes, size_t size) {
    zmq_msg_t zmq;
    zmq_of(&zmq, bytes, size);
    skua_msg *msg = NULL;
    skua_status status = skua__msg_from_zmq(NULL, &zmq, 0, false, &msg);
    assert_true((status == SKUA_OK) == (msg != NULL));
    skua_msg_free(msg);
    zmq_msg_close(&zmq);
    return status;
}

static void
test_body_damaged_is_malformed_and_harmless(void **state) {
    (void)state;
    skua__rand rand = {test_seed(43)};
    for (int round = 0; round < 300; round++) {
        skua_msg *msg = random_message(&rand);
        if (skua__msg_is_simple(msg)) {
            skua_msg_free(msg);
            continue;
        }
        size_t size = skua__msg_body_size(msg);
        uint8_t *body = malloc(size + 1);
        skua__msg_body_write(msg, body);
        body[size] = 0;
        assert_int_equal(read_bytes(body, size), SKUA_OK);
        assert_int_equal(read_bytes(body, size + 1), SKUA_E_MALFORMED);
        size_t cut = skua__rand_below(&rand, (uint32_t)size);
        assert_int_equal(read_bytes(body, cut), SKUA_E_MALFORMED);
        for (int flips = 0; flips < 20; flips++) {
            body[skua__rand_below(&rand, (uint32_t)(size < 60 ? size : 60))] ^=
                (uint8_t)(1u << skua__rand_below(&rand, 8));
            (void)!read_bytes(body, size); /* any answer but a crash */
        }
        free(body);
        skua_msg_free(msg);
    }
}

static void
test_body_rejects_each_lie(void **state) {
    (void)state;
    /* head size, frames, properties, topic size, topic, sizes, properties */
    static const uint8_t good[] = {13, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 'k', 0, 0, 0, 'x'};
    uint8_t body[sizeof good + 300];
    memcpy(body, good, sizeof good);
    body[0] = 15;
    assert_int_equal(read_bytes(body, sizeof good), SKUA_OK);
    body[11] = 0; /* an empty key inside its size */
    assert_int_equal(read_bytes(body, sizeof good), SKUA_E_MALFORMED);
    body[11] = 'k';
    body[3] = SKUA_MSG_PROPERTIES_MAX + 1;
    assert_int_equal(read_bytes(body, sizeof good), SKUA_E_MALFORMED);
    body[3] = 2; /* one more than there are */
    assert_int_equal(read_bytes(body, sizeof good), SKUA_E_MALFORMED);
    body[3] = 1;
    body[2] = SKUA_MSG_FRAMES_MAX + 1;
    assert_int_equal(read_bytes(body, sizeof body), SKUA_E_MALFORMED);
    body[2] = 1;
    body[5] = 'x'; /* a topic without its 0 */
    assert_int_equal(read_bytes(body, sizeof good), SKUA_E_MALFORMED);
    body[5] = 0;
    body[0] = 1; /* a head shorter than its own size */
    assert_int_equal(read_bytes(body, sizeof good), SKUA_E_MALFORMED);
    body[0] = 0xff; /* and longer than the body */
    body[1] = 0xff;
    assert_int_equal(read_bytes(body, sizeof body), SKUA_E_MALFORMED);
}

static void
test_body_skips_what_newer_versions_add(void **state) {
    (void)state;
    static const uint8_t body[] = {14, 0, 1, 0, 0, 0, 2, 0, 0, 0, 'n', 'e', 'w', '!', 'h', 'i'};
    zmq_msg_t zmq;
    zmq_of(&zmq, body, sizeof body);
    skua_msg *msg = NULL;
    assert_int_equal(skua__msg_from_zmq(NULL, &zmq, 0, false, &msg), SKUA_OK);
    assert_true(skua_msg_equals(msg, 0, "hi"));
    skua_msg_free(msg);
    zmq_msg_close(&zmq);
}

int
main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body_round_trip_of_random_messages),
        cmocka_unit_test(test_body_damaged_is_malformed_and_harmless),
        cmocka_unit_test(test_body_rejects_each_lie),
        cmocka_unit_test(test_body_skips_what_newer_versions_add),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
