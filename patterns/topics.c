// SPDX-License-Identifier: MPL-2.0
// Sets of topic prefixes, kept as the bytes that HELLO carries.
#include "topics.h"

#include <skua-int/mem.h>
#include <string.h>

enum { COUNT_BYTES = 2 };

static size_t
count_of(const uint8_t *bytes, size_t size) {
    return size < COUNT_BYTES ? 0 : (size_t)bytes[0] | (size_t)bytes[1] << 8;
}

/* As memcmp, the shorter one first where one begins the other. */
static int
compare(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
    size_t shared = a_size < b_size ? a_size : b_size;
    int order = shared ? memcmp(a, b, shared) : 0;
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

bool
skua__topics_valid(const uint8_t *bytes, size_t size) {
    if (size == 0) {
        return true;
    }
    size_t count = count_of(bytes, size);
    if (size < COUNT_BYTES || size > SKUA__TOPICS_BYTES_MAX || count > SKUA__TOPICS_MAX) {
        return false;
    }
    size_t at = COUNT_BYTES;
    const uint8_t *before = NULL;
    for (size_t i = 0; i < count; i++) {
        if (at >= size || (size_t)bytes[at] + 1 > size - at) {
            return false;
        }
        if (before && compare(before + 1, before[0], bytes + at + 1, bytes[at]) >= 0) {
            return false;
        }
        before = bytes + at;
        at += (size_t)1 + bytes[at];
    }
    return at == size;
}

bool
skua__topics_match(const uint8_t *bytes, size_t size, const char *topic, size_t topic_size) {
    size_t count = count_of(bytes, size);
    size_t at = COUNT_BYTES;
    for (size_t i = 0; i < count; i++) {
        size_t prefix_size = bytes[at];
        if (prefix_size <= topic_size &&
            (prefix_size == 0 || memcmp(bytes + at + 1, topic, prefix_size) == 0)) {
            return true;
        }
        at += 1 + prefix_size;
    }
    return false;
}

/* Where the topic stands in the set, or where it would; *ret_there says which. */
static size_t
place_of(const skua__topics *set, const char *topic, size_t topic_size, bool *ret_there) {
    size_t count = count_of(set->bytes, set->size);
    size_t at = COUNT_BYTES;
    *ret_there = false;
    for (size_t i = 0; i < count; i++) {
        int order =
            compare(set->bytes + at + 1, set->bytes[at], (const uint8_t *)topic, topic_size);
        if (order >= 0) {
            *ret_there = order == 0;
            return at;
        }
        at += (size_t)1 + set->bytes[at];
    }
    return at;
}

static void
set_count(skua__topics *set, size_t count) {
    set->bytes[0] = (uint8_t)count;
    set->bytes[1] = (uint8_t)(count >> 8);
}

skua_status
skua__topics_add(const skua_allocator *hook, skua__topics *set, const char *topic, bool *ret_new) {
    size_t topic_size = strlen(topic);
    *ret_new = false;
    if (topic_size > SKUA__TOPIC_MAX_BYTES) {
        return SKUA_E_TOO_BIG;
    }
    bool there;
    size_t at = place_of(set, topic, topic_size, &there);
    if (there) {
        return SKUA_OK;
    }
    size_t count = count_of(set->bytes, set->size);
    size_t old_size = set->size ? set->size : COUNT_BYTES;
    size_t size = old_size + 1 + topic_size;
    if (count == SKUA__TOPICS_MAX || size > SKUA__TOPICS_BYTES_MAX) {
        return SKUA_E_LIMIT;
    }
    uint8_t *bytes = skua__mem_resize(hook, set->bytes, size);
    if (!bytes) {
        return SKUA_E_NO_MEMORY;
    }
    set->bytes = bytes;
    set->size = size;
    memmove(bytes + at + 1 + topic_size, bytes + at, old_size - at);
    bytes[at] = (uint8_t)topic_size;
    memcpy(bytes + at + 1, topic, topic_size);
    set_count(set, count + 1);
    *ret_new = true;
    return SKUA_OK;
}

skua_status
skua__topics_remove(skua__topics *set, const char *topic) {
    bool there;
    size_t topic_size = strlen(topic);
    size_t at = topic_size <= SKUA__TOPIC_MAX_BYTES ? place_of(set, topic, topic_size, &there) : 0;
    if (topic_size > SKUA__TOPIC_MAX_BYTES || !there) {
        return SKUA_E_NOT_FOUND;
    }
    size_t gone = 1 + topic_size;
    memmove(set->bytes + at, set->bytes + at + gone, set->size - at - gone);
    set->size -= gone;
    set_count(set, count_of(set->bytes, set->size) - 1);
    return SKUA_OK;
}

void
skua__topics_fini(const skua_allocator *hook, skua__topics *set) {
    skua__mem_free(hook, set->bytes);
    *set = (skua__topics){0};
}
