// SPDX-License-Identifier: MPL-2.0
// The table of words: linear probing, the letters of all words in one block of text.
#include "demo_words.h"

#include <skua-int/mem.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 1024, FIRST_TEXT = 8192 };

/* FNV-1a (Fowler, Noll and Vo), so that the scan hashes while it looks for the end of a word. */
#define HASH_START 2166136261u
#define HASH_STEP(hash, byte) (((hash) ^ (byte)) * 16777619u)

bool
demo_is_letter(unsigned char byte) {
    return (unsigned char)((byte | 0x20) - 'a') < 26;
}

void
demo_words_init(demo_words *words, const skua_allocator *hook) {
    *words = (demo_words){.hook = hook};
}

void
demo_words_fini(demo_words *words) {
    words->slots = skua__mem_free(words->hook, words->slots);
    words->text = skua__mem_free(words->hook, words->text);
    words->capacity = words->count = words->text_used = words->text_capacity = 0;
}

/* The slot of the word, or the free slot where it would go. The table has a free slot. */
static demo_word *
find(const demo_words *words, const char *letters, size_t size, uint32_t hash) {
    size_t mask = words->capacity - 1;
    size_t at = (hash ^ (hash >> 15)) & mask;
    for (;; at = (at + 1) & mask) {
        demo_word *slot = &words->slots[at];
        if (slot->count == 0 || (slot->hash == hash && slot->size == size &&
                                 memcmp(words->text + slot->at, letters, size) == 0)) {
            return slot;
        }
    }
}

static skua_status
grow_slots(demo_words *words) {
    size_t capacity = words->capacity ? words->capacity * 2 : FIRST_CAPACITY;
    demo_word *slots = skua__mem_new_array(words->hook, capacity, sizeof *slots);
    if (!slots) {
        return SKUA_E_NO_MEMORY;
    }
    for (size_t i = 0; i < words->capacity; i++) {
        const demo_word *old = &words->slots[i];
        if (old->count == 0) {
            continue;
        }
        size_t at = (old->hash ^ (old->hash >> 15)) & (capacity - 1);
        while (slots[at].count) {
            at = (at + 1) & (capacity - 1);
        }
        slots[at] = *old;
    }
    skua__mem_free(words->hook, words->slots);
    words->slots = slots;
    words->capacity = capacity;
    return SKUA_OK;
}

static skua_status
grow_text(demo_words *words, size_t size) {
    size_t capacity = words->text_capacity ? words->text_capacity : FIRST_TEXT;
    while (capacity - words->text_used < size) {
        capacity *= 2;
    }
    if (capacity == words->text_capacity) {
        return SKUA_OK;
    }
    char *text = skua__mem_resize(words->hook, words->text, capacity);
    if (!text) {
        return SKUA_E_NO_MEMORY;
    }
    words->text = text;
    words->text_capacity = capacity;
    return SKUA_OK;
}

static skua_status
add_hashed(demo_words *words, const char *letters, size_t size, uint32_t hash, uint64_t count) {
    if (count == 0) {
        return SKUA_OK;
    }
    if (size > DEMO_WORD_MAX_BYTES) {
        return SKUA_E_TOO_BIG;
    }
    if ((words->count + 1) * 4 > words->capacity * 3) {
        skua_status status = grow_slots(words);
        if (status) {
            return status;
        }
    }
    demo_word *slot = find(words, letters, size, hash);
    if (slot->count == 0) {
        skua_status status = grow_text(words, size);
        if (status) {
            return status;
        }
        memcpy(words->text + words->text_used, letters, size);
        *slot = (demo_word){.at = words->text_used, .size = (uint32_t)size, .hash = hash};
        words->text_used += size;
        words->count++;
    }
    slot->count += count;
    words->total += count;
    return SKUA_OK;
}

skua_status
demo_words_add(demo_words *words, const char *letters, size_t size, uint64_t count) {
    uint32_t hash = HASH_START;
    for (size_t i = 0; i < size; i++) {
        hash = HASH_STEP(hash, (unsigned char)letters[i]);
    }
    return add_hashed(words, letters, size, hash, count);
}

skua_status
demo_words_scan(demo_words *words, const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        if (!demo_is_letter((unsigned char)text[at])) {
            at++;
            continue;
        }
        size_t start = at;
        uint32_t hash = HASH_START;
        for (; at < size && demo_is_letter((unsigned char)text[at]); at++) {
            hash = HASH_STEP(hash, (unsigned char)text[at]);
        }
        skua_status status = add_hashed(words, text + start, at - start, hash, 1);
        if (status) {
            return status;
        }
    }
    return SKUA_OK;
}

skua_status
demo_words_merge(demo_words *into, const demo_words *from) {
    for (size_t i = 0; i < from->capacity; i++) {
        const demo_word *word = &from->slots[i];
        skua_status status =
            add_hashed(into, from->text + word->at, word->size, word->hash, word->count);
        if (status) {
            return status;
        }
    }
    return SKUA_OK;
}

uint64_t
demo_words_get(const demo_words *words, const char *letters, size_t size) {
    if (words->count == 0) {
        return 0;
    }
    uint32_t hash = HASH_START;
    for (size_t i = 0; i < size; i++) {
        hash = HASH_STEP(hash, (unsigned char)letters[i]);
    }
    return find(words, letters, size, hash)->count;
}

/* ---- As bytes: for each word its count and its size as LEB128 numbers, then its letters ---- */

static unsigned char *
put_varint(unsigned char *to, uint64_t value) {
    while (value >= 0x80) {
        *to++ = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    *to++ = (unsigned char)value;
    return to;
}

static bool
take_varint(const unsigned char **from, const unsigned char *end, uint64_t *ret_value) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && *from < end; shift += 7) {
        unsigned char byte = *(*from)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static size_t
varint_size(uint64_t value) {
    size_t size = 1;
    for (; value >= 0x80; value >>= 7) {
        size++;
    }
    return size;
}

size_t
demo_words_encoded_size(const demo_words *words) {
    size_t size = words->text_used;
    for (size_t i = 0; i < words->capacity; i++) {
        const demo_word *word = &words->slots[i];
        if (word->count) {
            size += varint_size(word->count) + varint_size(word->size);
        }
    }
    return size;
}

void
demo_words_encode(const demo_words *words, void *ret) {
    unsigned char *to = ret;
    for (size_t i = 0; i < words->capacity; i++) {
        const demo_word *word = &words->slots[i];
        if (word->count) {
            to = put_varint(to, word->count);
            to = put_varint(to, word->size);
            memcpy(to, words->text + word->at, word->size);
            to += word->size;
        }
    }
}

skua_status
demo_words_decode(demo_words *words, const void *bytes, size_t size) {
    const unsigned char *from = bytes;
    const unsigned char *end = from + size;
    while (from < end) {
        uint64_t count, letters;
        if (!take_varint(&from, end, &count) || !take_varint(&from, end, &letters) || count == 0 ||
            letters == 0 || letters > (uint64_t)(end - from)) {
            return SKUA_E_MALFORMED;
        }
        skua_status status = demo_words_add(words, (const char *)from, (size_t)letters, count);
        if (status) {
            return status;
        }
        from += letters;
    }
    return SKUA_OK;
}

/* ---- Sorted, for people ---- */

struct order {
    const char *text;
    bool by_count;
};

static int
compare(const void *a, const void *b, void *arg) {
    const struct order *order = arg;
    const demo_word *x = *(const demo_word *const *)a, *y = *(const demo_word *const *)b;
    if (order->by_count && x->count != y->count) {
        return x->count > y->count ? -1 : 1;
    }
    size_t shared = x->size < y->size ? x->size : y->size;
    int by_bytes = memcmp(order->text + x->at, order->text + y->at, shared);
    return by_bytes ? by_bytes : (x->size > y->size) - (x->size < y->size);
}

const demo_word **
demo_words_sorted(const demo_words *words, bool by_count) {
    const demo_word **sorted = skua__mem_new_array(words->hook, words->count, sizeof *sorted);
    if (!sorted) {
        return NULL;
    }
    size_t count = 0;
    for (size_t i = 0; i < words->capacity; i++) {
        if (words->slots[i].count) {
            sorted[count++] = &words->slots[i];
        }
    }
    struct order order = {.text = words->text, .by_count = by_count};
    qsort_r(sorted, count, sizeof *sorted, compare, &order);
    return sorted;
}

skua_status
demo_words_print(const demo_words *words, bool leading, FILE *file) {
    const demo_word **sorted = demo_words_sorted(words, false);
    if (!sorted) {
        return SKUA_E_NO_MEMORY;
    }
    if (leading) {
        fprintf(file, "%7d \n", 1);
    }
    for (size_t i = 0; i < words->count; i++) {
        fprintf(file, "%7" PRIu64 " ", sorted[i]->count);
        fwrite(words->text + sorted[i]->at, 1, sorted[i]->size, file);
        putc('\n', file);
    }
    skua__mem_free(words->hook, (void *)sorted);
    return fflush(file) || ferror(file) ? SKUA_E_FILE : SKUA_OK;
}
