// SPDX-License-Identifier: MPL-2.0
// "Did you mean …?": the word of a list that is most like what somebody typed.
#ifndef SKUA_INT_NEAREST_H
#define SKUA_INT_NEAREST_H

#include <stddef.h>

enum { SKUA_NEAREST_MAX_BYTES = 64 }; /* longer words are like no other */

/*
 * Returns the word with the fewest insertions, deletions, replacements and swaps of neighbours from typed (Damerau
 * and Levenshtein, optimal string alignment), or NULL when even that one needs more than a third of its letters
 * (at least 1, and 2 from four letters on). Of two that are as near, the first.
 */
const char *skua__nearest(const char *typed, const char *const *words, size_t count);

#endif
