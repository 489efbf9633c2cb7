// SPDX-License-Identifier: MPL-2.0
// Counts words as `tr -cs A-Za-z '\n' | sort | uniq -c` does: a word is a run of ASCII letters, as it is written. The demo's
// nodes fill such tables, send them as bytes, and its submitter merges them.
#ifndef SKUA_DEMO_WORDS_H
#define SKUA_DEMO_WORDS_H

#include <skua/alloc.h>
#include <skua/error.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct demo_word {
    size_t at; /* where its letters begin in the table's text */
    uint32_t size;
    uint32_t hash;
    uint64_t count; /* 0: the slot is free */
} demo_word;

typedef struct demo_words {
    const skua_allocator *hook;
    demo_word *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;    /* distinct words */
    uint64_t total;  /* words */
    char *text;      /* the letters of all words, one after the other */
    size_t text_used, text_capacity;
} demo_words;

enum { DEMO_WORD_MAX_BYTES = 1 << 30 }; /* of one word */

/* Whether a byte belongs to a word. */
bool demo_is_letter(unsigned char byte);

void demo_words_init(demo_words *words, const skua_allocator *hook);
void demo_words_fini(demo_words *words);

/* Counts the words of size bytes of text. Returns 0 or SKUA_E_NO_MEMORY, SKUA_E_TOO_BIG. */
skua_status demo_words_scan(demo_words *words, const char *text, size_t size);
/* Adds count occurrences of one word. */
skua_status demo_words_add(demo_words *words, const char *letters, size_t size, uint64_t count);
/* Adds all of from. */
skua_status demo_words_merge(demo_words *into, const demo_words *from);
/* How often a word occurred. */
uint64_t demo_words_get(const demo_words *words, const char *letters, size_t size);

/* How many bytes demo_words_encode() writes. */
size_t demo_words_encoded_size(const demo_words *words);
/* Writes the table as bytes, demo_words_encoded_size() of them. */
void demo_words_encode(const demo_words *words, void *ret);
/* Adds what another table encoded. Returns 0, SKUA_E_MALFORMED (something may be added then), SKUA_E_NO_MEMORY. */
skua_status demo_words_decode(demo_words *words, const void *bytes, size_t size);

/*
 * The words sorted: by count, the most frequent first, then by bytes; or by bytes alone. The caller owns the array of
 * words->count pointers into the table: skua__mem_free(). NULL when there is no memory.
 */
const demo_word **demo_words_sorted(const demo_words *words, bool by_count);

/*
 * Writes all counts as `uniq -c` does after `sort`. tr makes one empty line of what stands before the first word, and
 * uniq counts it: leading says that the input did not begin with a letter. Returns 0, SKUA_E_NO_MEMORY, SKUA_E_FILE.
 */
skua_status demo_words_print(const demo_words *words, bool leading, FILE *file);

#endif
