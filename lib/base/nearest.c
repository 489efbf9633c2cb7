// SPDX-License-Identifier: MPL-2.0
// The distance between two words, row by row.
#include <skua-int/nearest.h>

#include <stdint.h>
#include <string.h>

static unsigned
least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

static unsigned
distance(const char *a, size_t a_size, const char *b, size_t b_size) {
    /* The row at hand and the two above it: a swap looks two rows up. */
    unsigned rows[3][SKUA_NEAREST_MAX_BYTES + 1];
    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *top = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned cost = a[i - 1] == b[j - 1] ? 0 : 1;
            unsigned best = least(above[j] + 1, row[j - 1] + 1);
            best = least(best, above[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = least(best, top[j - 2] + 1);
            }
            row[j] = best;
        }
    }
    return rows[a_size % 3][b_size];
}

const char *
skua__nearest(const char *typed, const char *const *words, size_t count) {
    size_t typed_size = strlen(typed);
    const char *nearest = NULL;
    unsigned nearest_distance = UINT32_MAX;
    if (typed_size > SKUA_NEAREST_MAX_BYTES) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(words[i]);
        if (size > SKUA_NEAREST_MAX_BYTES) {
            continue;
        }
        unsigned allowed = size < 3 ? 1 : (unsigned)(size / 3);
        if (size >= 4 && allowed < 2) {
            allowed = 2;
        }
        unsigned this_distance = distance(typed, typed_size, words[i], size);
        if (this_distance <= allowed && this_distance < nearest_distance) {
            nearest = words[i];
            nearest_distance = this_distance;
        }
    }
    return nearest;
}
