// SPDX-License-Identifier: MPL-2.0
// A parallel sort whose comparison is compiled into it: for numbers three times as fast as skua_parallel_sort(), which calls
// one for each pair. The library cuts and forks; what is done with single items stands in here as inline functions, so that the program's
// compiler makes a copy of it for each type. Three lines per type:
//
//     static size_t
//     sort_numbers(const skua_sort_part *part) {
//         return skua_sort_step(part, sizeof(int32_t), by_value);
//     }
//
//     skua_parallel_sort_typed(exec, numbers, count, sizeof *numbers, sort_numbers, NULL, NULL, &err);
#ifndef SKUA_SORT_H
#define SKUA_SORT_H

#include <skua/parallel.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_SORT_INLINE static inline __attribute__((always_inline))

enum { SKUA_SORT_RUN_ITEMS = 16 }; /* sorted by insertion; a power of two */

typedef enum skua_sort_what {
    SKUA_SORT_RUN =
        0, /* sort count items of `from`, to `to`, or back to `from` if in_place; both are overwritten */
    SKUA_SORT_MERGE = 1, /* merge two sorted runs, `from` before `right`, to `to` */
    SKUA_SORT_FIND =
        2, /* how many of `from` stand before the item at `right`; with equals also those equal to it */
} skua_sort_what;

/* A piece of work on items, of which only skua_sort_step() knows the type and order. The executor makes it. */
typedef struct skua_sort_part {
    int32_t what; /* skua_sort_what */
    bool in_place, equals;
    unsigned char *from, *to;
    size_t count;
    const unsigned char *right;
    size_t right_count;
    void *arg; /* of the comparison */
    /* Of skua_parallel_sort() alone, whose step reads them: */
    size_t item_bytes;
    skua_compare_fn *compare;
} skua_sort_part;

/* A type's step: calls skua_sort_step() with its size and comparison, and returns what that returns. */
typedef size_t skua_sort_fn(const skua_sort_part *part);

/** Merges. Returns: 0. Threads: any. Blocks: never. Since 0.1. */
SKUA_SORT_INLINE size_t
skua_sort_merge(const unsigned char *left, size_t left_count, const unsigned char *right,
                size_t right_count, unsigned char *to, size_t item_bytes, skua_compare_fn *compare,
                void *arg) {
    const unsigned char *left_end = left + left_count * item_bytes;
    const unsigned char *right_end = right + right_count * item_bytes;
    while (left < left_end && right < right_end) {
        bool is_right = compare(right, left, arg) < 0; /* of equal ones the left stays first */
        memcpy(to, is_right ? right : left, item_bytes);
        right += is_right ? item_bytes : 0;
        left += is_right ? 0 : item_bytes;
        to += item_bytes;
    }
    memcpy(to, left, (size_t)(left_end - left));
    memcpy(to + (left_end - left), right, (size_t)(right_end - right));
    return 0;
}

/** Sorts by insertion from one place to another. Returns: nothing. Threads: any. Blocks: never. Since 0.1. */
SKUA_SORT_INLINE void
skua_sort_insert(const unsigned char *from, size_t count, unsigned char *to, size_t item_bytes,
                 skua_compare_fn *compare, void *arg) {
    for (size_t i = 0; i < count; i++) {
        const unsigned char *item = from + i * item_bytes;
        size_t at = i;
        for (; at > 0 && compare(item, to + (at - 1) * item_bytes, arg) < 0; at--) {
            memcpy(to + at * item_bytes, to + (at - 1) * item_bytes, item_bytes);
        }
        memcpy(to + at * item_bytes, item, item_bytes);
    }
}

/** Sorts a run whole, as skua_sort_part says. Returns: 0. Threads: any. Blocks: never. Since 0.1. */
SKUA_SORT_INLINE size_t
skua_sort_run(const skua_sort_part *part, size_t item_bytes, skua_compare_fn *compare) {
    const size_t count = part->count;
    unsigned char *from = part->from, *to = part->to;
    /* Short runs go to `to`, and each level of merges to the other side: as many levels as end where the result is to lie. */
    size_t length = SKUA_SORT_RUN_ITEMS;
    bool ends_there = true;
    for (size_t reach = length; reach < count; reach *= 2) {
        ends_there = !ends_there;
    }
    if (ends_there == part->in_place && count > SKUA_SORT_RUN_ITEMS) {
        length /= 2;
    }
    for (size_t i = 0; i < count; i += length) {
        size_t items = count - i < length ? count - i : length;
        skua_sort_insert(from + i * item_bytes, items, to + i * item_bytes, item_bytes, compare,
                         part->arg);
    }
    for (; length < count; length *= 2) {
        for (size_t i = 0; i < count; i += 2 * length) {
            size_t left = count - i < length ? count - i : length;
            size_t right = count - i - left < length ? count - i - left : length;
            const unsigned char *run = to + i * item_bytes;
            skua_sort_merge(run, left, run + left * item_bytes, right, from + i * item_bytes,
                            item_bytes, compare, part->arg);
        }
        unsigned char *sorted = from;
        from = to;
        to = sorted;
    }
    unsigned char *wanted = part->in_place ? part->from : part->to;
    if (to != wanted) {
        memcpy(wanted, to, count * item_bytes); /* a single short run */
    }
    return 0;
}

/** Looks for the place of an item in a sorted run. Returns: it. Threads: any. Blocks: never. Since 0.1. */
SKUA_SORT_INLINE size_t
skua_sort_find(const skua_sort_part *part, size_t item_bytes, skua_compare_fn *compare) {
    size_t first = 0;
    for (size_t count = part->count; count > 0;) {
        size_t half = count / 2;
        int order = compare(part->from + (first + half) * item_bytes, part->right, part->arg);
        bool before = order < 0 || (order == 0 && part->equals);
        first += before ? half + 1 : 0;
        count = before ? count - half - 1 : half;
    }
    return first;
}

/**
 * Does a piece of a sort's work; for functions of type skua_sort_fn.
 *
 * item_bytes and compare: constants, the latter a function that the compiler sees, so that it is compiled in; as for
 * skua_parallel_sort().
 * Returns: what the executor asked for.
 * Threads: any. Blocks: never. Since 0.1.
 */
SKUA_SORT_INLINE size_t
skua_sort_step(const skua_sort_part *part, size_t item_bytes, skua_compare_fn *compare) {
    switch (part->what) {
    case SKUA_SORT_MERGE:
        return skua_sort_merge(part->from, part->count, part->right, part->right_count, part->to,
                               item_bytes, compare, part->arg);
    case SKUA_SORT_FIND:
        return skua_sort_find(part, item_bytes, compare);
    default:
        return skua_sort_run(part, item_bytes, compare);
    }
}

/**
 * Sorts as skua_parallel_sort() does, stably and with the same result, by a function that has the comparison compiled in.
 *
 * sort: see skua_sort_fn; called on any workers, several at once. The others: as in skua_parallel_sort(); arg goes to the comparison.
 * Returns: as skua_parallel_sort().
 * Threads: any, workers too. Blocks: until all is done. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_parallel_sort_typed(skua_exec *exec, void *items,
                                                              size_t count, size_t item_bytes,
                                                              skua_sort_fn *sort, void *arg,
                                                              void *scratch, skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
