// SPDX-License-Identifier: MPL-2.0
// skua_parallel_sort(): a stable merge sort. Ranges are halved and their left halves forked; merges of long runs are forked
// too, cut at a key: the middle item of the longer run, and the place in the other one where it belongs. A level's runs go back
// and forth between the items and the scratch, so each item is moved once per level.
#include "engine.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <skua/parallel.h>

#include <string.h>

enum {
    SORT_RUN_ITEMS = 16,     /* sorted by insertion */
    SORT_FORK_BYTES = 16384, /* a range or a merge under that is not forked */
    SORT_FORK_ITEMS = 64,    /* nor one of fewer items, however long they are */
};

typedef struct sorting {
    size_t bytes; /* of an item */
    size_t fork_items;
    skua_compare_fn *compare;
    void *arg;
} sorting;

/* Sorts count items of `from`; the result lies in `to`, or in `from` where in_place. Both are overwritten. */
typedef struct sort_frame {
    const sorting *all;
    unsigned char *from, *to;
    size_t count;
    bool in_place;
} sort_frame;

/* Merges two sorted runs, of which left comes first, to `to`. */
typedef struct merge_frame {
    const sorting *all;
    const unsigned char *left, *right;
    size_t left_count, right_count;
    unsigned char *to;
} merge_frame;

static int
compare(const sorting *all, const void *a, const void *b) {
    return all->compare(a, b, all->arg);
}

/* The commonest sizes are copied as numbers are. */
static void
copy_item(const sorting *all, void *to, const void *from) {
    switch (all->bytes) {
    case 4:
        memcpy(to, from, 4);
        return;
    case 8:
        memcpy(to, from, 8);
        return;
    case 16:
        memcpy(to, from, 16);
        return;
    default:
        memcpy(to, from, all->bytes);
    }
}

/* ---- Merging ---- */

static void
merge_serial(const merge_frame *frame) {
    const sorting *all = frame->all;
    const size_t bytes = all->bytes;
    const unsigned char *left = frame->left, *left_end = left + frame->left_count * bytes;
    const unsigned char *right = frame->right, *right_end = right + frame->right_count * bytes;
    unsigned char *to = frame->to;
    while (left < left_end && right < right_end) {
        bool is_right = compare(all, right, left) < 0; /* of equal ones the left stays first */
        copy_item(all, to, is_right ? right : left);
        right += is_right ? bytes : 0;
        left += is_right ? 0 : bytes;
        to += bytes;
    }
    memcpy(to, left, (size_t)(left_end - left));
    memcpy(to + (left_end - left), right, (size_t)(right_end - right));
}

/* How many items of a sorted run stand before key: those under it, and those equal to it if equals is set. */
static size_t
count_before(const sorting *all, const unsigned char *run, size_t count, const void *key,
             bool equals) {
    size_t first = 0;
    while (count > 0) {
        size_t half = count / 2;
        int order = compare(all, run + (first + half) * all->bytes, key);
        if (order < 0 || (order == 0 && equals)) {
            first += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return first;
}

/* Cuts off the second half of a merge. */
static merge_frame
cut_merge(merge_frame *frame) {
    const sorting *all = frame->all;
    size_t left, right;
    if (frame->left_count >= frame->right_count) {
        left = frame->left_count / 2;
        right = count_before(all, frame->right, frame->right_count, frame->left + left * all->bytes,
                             false);
    } else {
        right = frame->right_count / 2;
        left = count_before(all, frame->left, frame->left_count, frame->right + right * all->bytes,
                            true);
    }
    merge_frame upper = {.all = all,
                         .left = frame->left + left * all->bytes,
                         .left_count = frame->left_count - left,
                         .right = frame->right + right * all->bytes,
                         .right_count = frame->right_count - right,
                         .to = frame->to + (left + right) * all->bytes};
    frame->left_count = left;
    frame->right_count = right;
    return upper;
}

static void
merge(skua_worker w, void *arg) {
    merge_frame frame = *(const merge_frame *)arg;
    if (frame.left_count + frame.right_count <= frame.all->fork_items) {
        merge_serial(&frame);
        return;
    }
    merge_frame upper = cut_merge(&frame);
    skua_spawn(&w, merge, &upper);
    merge(w, &frame);
    skua_sync(&w, merge, &upper);
}

/* ---- Sorting ---- */

/* Sorts a short run where it lies; spare has room for one item. */
static void
sort_short(const sorting *all, unsigned char *items, size_t count, unsigned char *spare) {
    const size_t bytes = all->bytes;
    for (size_t i = 1; i < count; i++) {
        size_t to = i;
        while (to > 0 && compare(all, items + i * bytes, items + (to - 1) * bytes) < 0) {
            to--;
        }
        if (to < i) {
            copy_item(all, spare, items + i * bytes);
            memmove(items + (to + 1) * bytes, items + to * bytes, (i - to) * bytes);
            copy_item(all, items + to * bytes, spare);
        }
    }
}

static void
sort(skua_worker w, void *arg) {
    const sort_frame *frame = arg;
    const sorting *all = frame->all;
    if (skua_worker_cancelled(w)) {
        /* Unsorted, but all there: a merge loses none, whatever order it meets. */
        if (!frame->in_place) {
            memcpy(frame->to, frame->from, frame->count * all->bytes);
        }
        return;
    }
    if (frame->count <= SORT_RUN_ITEMS) {
        sort_short(all, frame->from, frame->count, frame->to);
        if (!frame->in_place) {
            memcpy(frame->to, frame->from, frame->count * all->bytes);
        }
        return;
    }
    size_t middle = frame->count / 2, offset = middle * all->bytes;
    /* The halves go where the merge does not write. */
    sort_frame left = {.all = all,
                       .from = frame->from,
                       .to = frame->to,
                       .count = middle,
                       .in_place = !frame->in_place};
    sort_frame right = left;
    right.from += offset;
    right.to += offset;
    right.count = frame->count - middle;
    bool forks = frame->count > all->fork_items;
    if (forks) {
        skua_spawn(&w, sort, &left);
        sort(w, &right);
        skua_sync(&w, sort, &left);
    } else {
        sort(w, &left);
        sort(w, &right);
    }
    const unsigned char *runs = left.in_place ? frame->from : frame->to;
    merge_frame whole = {.all = all,
                         .left = runs,
                         .left_count = left.count,
                         .right = runs + offset,
                         .right_count = right.count,
                         .to = frame->in_place ? frame->from : frame->to};
    if (forks && !skua_worker_cancelled(w)) {
        merge(w, &whole);
    } else {
        merge_serial(&whole);
    }
}

/* ---- The call ---- */

typedef struct sort_call {
    sort_frame frame;
    bool cancelled;
} sort_call;

static void
run_call(skua_worker w, void *arg) {
    sort_call *call = arg;
    sort(w, &call->frame);
    call->cancelled = skua_worker_cancelled(w);
}

skua_status
skua_parallel_sort(skua_exec *exec, void *items, size_t count, size_t item_bytes,
                   skua_compare_fn *compare_items, void *arg, void *scratch, skua_error *err) {
    if (!exec || (!items && count) || !compare_items || item_bytes == 0) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s",
                         !exec             ? "exec is NULL"
                         : !compare_items  ? "compare is NULL"
                         : item_bytes == 0 ? "item_bytes is 0"
                                           : "items is NULL");
    }
    size_t bytes;
    if (__builtin_mul_overflow(count, item_bytes, &bytes)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "%zu items of %zu bytes are more than there is memory", count, item_bytes);
    }
    if (count < 2) {
        return SKUA_OK;
    }
    unsigned char *memory = scratch ? scratch : skua__mem_new(exec->hook, bytes);
    if (!memory) {
        return SKUA_FAIL_MEMORY(err, "the scratch of a sort");
    }
    size_t fork_items = SORT_FORK_BYTES / item_bytes;
    sorting all = {.bytes = item_bytes,
                   .fork_items = fork_items > SORT_FORK_ITEMS ? fork_items : SORT_FORK_ITEMS,
                   .compare = compare_items,
                   .arg = arg};
    sort_call call = {
        .frame = {.all = &all, .from = items, .to = memory, .count = count, .in_place = true}};
    skua_status status = skua_exec_run(exec, run_call, &call, err);
    if (!scratch) {
        skua__mem_free(exec->hook, memory);
    }
    if (status == SKUA_OK && call.cancelled) {
        return SKUA_FAIL(err, SKUA_E_CANCELLED, "the group of the task that sorts was cancelled");
    }
    return status;
}
