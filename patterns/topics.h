// SPDX-License-Identifier: MPL-2.0
// Sets of topic prefixes: what a subscriber asks for, as it stands in HELLO and as the publisher matches it.
#ifndef SKUA_PATTERNS_TOPICS_H
#define SKUA_PATTERNS_TOPICS_H

#include <skua/alloc.h>
#include <skua/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SKUA__TOPICS_MAX = 128,
    SKUA__TOPIC_MAX_BYTES = 255,
    SKUA__TOPICS_BYTES_MAX = 16000, /* of a whole set, encoded: it fits into HELLO */
};

/*
 * On the wire and in memory alike: a u16 count, then for each prefix one byte with its size and its bytes, in rising
 * order and each once. So equal sets are equal bytes.
 */
typedef struct skua__topics {
    uint8_t *bytes; /* owned; NULL: the empty set */
    size_t size;
} skua__topics;

/* Returns 0, SKUA_E_TOO_BIG (the topic), SKUA_E_LIMIT (the set), SKUA_E_NO_MEMORY; *ret_new: it was not there. */
skua_status skua__topics_add(const skua_allocator *hook, skua__topics *set, const char *topic,
                             bool *ret_new);
/* Returns 0 or SKUA_E_NOT_FOUND. */
skua_status skua__topics_remove(skua__topics *set, const char *topic);
void skua__topics_fini(const skua_allocator *hook, skua__topics *set);

/* Whether bytes are a set. Nothing at all is the empty set. */
bool skua__topics_valid(const uint8_t *bytes, size_t size);
/* Whether some prefix of a valid set begins the topic. */
bool skua__topics_match(const uint8_t *bytes, size_t size, const char *topic, size_t topic_size);

#endif
