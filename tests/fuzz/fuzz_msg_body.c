// SPDX-License-Identifier: MPL-2.0
// Bodies of messages: frames and topic lie inside the body, what is read is written again to the same message, and no
// input, nor memory that fails while it is read, leaves a block or a message behind.
#include "fuzz.h"

#include "../../lib/net/msg_priv.h"

/* An allocator that fails from its allowed-th allocation on, and counts what is out. */
typedef struct ration {
    int allowed;
    int out;
} ration;

static void *
ration_allocate(void *ctx, size_t size) {
    ration *left = ctx;
    if (left->allowed-- <= 0) {
        return NULL;
    }
    left->out++;
    return malloc(size);
}

static void *
ration_resize(void *ctx, void *block, size_t size) {
    ration *left = ctx;
    if (left->allowed-- <= 0) {
        return NULL;
    }
    left->out += !block;
    return realloc(block, size);
}

static void
ration_release(void *ctx, void *block) {
    ration *left = ctx;
    left->out -= block != NULL;
    free(block);
}

static void
check_inside(const skua_msg *msg, const uint8_t *body, size_t size) {
    size_t total = 0;
    for (size_t i = 0; i < skua_msg_frames(msg); i++) {
        const uint8_t *data = skua_msg_data(msg, i);
        FUZZ_CHECK(data >= body && data <= body + size);
        FUZZ_CHECK(skua_msg_size(msg, i) <= (size_t)(body + size - data));
        total += skua_msg_size(msg, i);
    }
    FUZZ_CHECK(total == skua_msg_total_size(msg) && total <= size);
    FUZZ_CHECK(strlen(skua_msg_topic(msg)) == msg->topic_size);
}

static void
check_same(const skua_msg *a, const skua_msg *b) {
    FUZZ_CHECK(skua_msg_frames(a) == skua_msg_frames(b));
    for (size_t i = 0; i < skua_msg_frames(a); i++) {
        FUZZ_CHECK(skua_msg_size(a, i) == skua_msg_size(b, i));
        FUZZ_CHECK(!memcmp(skua_msg_data(a, i), skua_msg_data(b, i), skua_msg_size(a, i)));
    }
    FUZZ_CHECK(!strcmp(skua_msg_topic(a), skua_msg_topic(b)));
    FUZZ_CHECK(a->property_count == b->property_count);
    for (size_t i = 0; i < a->property_count; i++) {
        const char *value_a, *value_b;
        const char *key = skua_msg_property_at(a, i, &value_a);
        FUZZ_CHECK(!strcmp(key, skua_msg_property_at(b, i, &value_b)));
        FUZZ_CHECK(!strcmp(value_a, value_b) && !strcmp(skua_msg_property(b, key), value_a));
    }
}

static void
write_again(const skua_msg *msg) {
    size_t size = skua__msg_body_size(msg);
    uint8_t *again = malloc(size + 1);
    FUZZ_CHECK(again != NULL);
    skua__msg_body_write(msg, again);
    if (skua__msg_is_simple(msg)) {
        FUZZ_CHECK(size == skua_msg_size(msg, 0));
        FUZZ_CHECK(!memcmp(again, skua_msg_data(msg, 0), size));
    } else {
        skua_msg *back = skua_msg_new(NULL);
        FUZZ_CHECK(back != NULL);
        FUZZ_CHECK(skua__msg_body_read(back, NULL, again, size) == SKUA_OK);
        check_same(msg, back);
        skua_msg_free(back);
    }
    free(again);
}

/* The same body, in a block that the message is to hold, with memory for a few allocations only. */
static void
read_rationed(const uint8_t *bytes, size_t size, int allowed) {
    ration left = {.allowed = allowed};
    const skua_allocator hook = {.version = SKUA_ALLOCATOR_VERSION,
                                 .ctx = &left,
                                 .allocate = ration_allocate,
                                 .resize = ration_resize,
                                 .release = ration_release};
    uint8_t *body;
    skua__block *block = skua__block_new(&hook, size, &body);
    skua_msg *msg = skua_msg_new(&hook);
    if (block && msg) {
        memcpy(body, bytes, size);
        skua_status status = skua__msg_body_read(msg, block, body, size);
        FUZZ_CHECK(status == SKUA_OK || status == SKUA_E_MALFORMED || status == SKUA_E_NO_MEMORY);
        skua__block_unref(block);
        if (status == SKUA_OK) {
            check_inside(msg, body, size); /* the message keeps the block alive, if it needs it */
        }
    } else {
        skua__block_unref(block);
    }
    skua_msg_free(msg);
    FUZZ_CHECK(left.out == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    skua_msg *msg = skua_msg_new(NULL);
    FUZZ_CHECK(msg != NULL);
    skua_status status = skua__msg_body_read(msg, NULL, bytes, size);
    FUZZ_CHECK(status == SKUA_OK || status == SKUA_E_MALFORMED);
    if (status == SKUA_OK) {
        check_inside(msg, bytes, size);
        write_again(msg);
    }
    skua_msg_free(msg);
    read_rationed(bytes, size, size ? 1 + bytes[size - 1] % 8 : 1);
    return 0;
}
