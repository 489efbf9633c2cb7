// SPDX-License-Identifier: MPL-2.0
// The parallel sorts: a stable merge sort. Ranges are halved and their left halves forked; merges of long runs are forked
// too, cut at a key: the middle item of the longer run, and the place in the other one where it belongs. A level's runs go back
// and forth between the items and the scratch, so each item is moved once per level. What is done with single items is a
// function's (skua/sort.h): a program's own, or step_by_call() here.
#include "engine.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <skua/sort.h>

enum {
    SORT_FORK_BYTES = 16384, /* a range or a merge under that is not forked */
    SORT_FORK_ITEMS = 64,    /* nor one of fewer items, however long they are */
};

typedef struct sorting {
    size_t bytes; /* of an item */
    size_t fork_items;
    skua_sort_fn *step;
    skua_compare_fn *compare; /* of step_by_call() */
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
    unsigned char *left, *right;
    size_t left_count, right_count;
    unsigned char *to;
} merge_frame;

/* For skua_parallel_sort(). The commonest sizes are copied as numbers are. */
static size_t
step_by_call(const skua_sort_part *part) {
    switch (part->item_bytes) {
    case 4:
        return skua_sort_step(part, 4, part->compare);
    case 8:
        return skua_sort_step(part, 8, part->compare);
    case 16:
        return skua_sort_step(part, 16, part->compare);
    default:
        return skua_sort_step(part, part->item_bytes, part->compare);
    }
}

static size_t
take_step(const sorting *all, skua_sort_part part) {
    part.arg = all->arg;
    part.item_bytes = all->bytes;
    part.compare = all->compare;
    return all->step(&part);
}

/* ---- Merging ---- */

static void
merge_serial(const merge_frame *frame) {
    take_step(frame->all, (skua_sort_part){.what = SKUA_SORT_MERGE,
                                           .from = frame->left,
                                           .count = frame->left_count,
                                           .right = frame->right,
                                           .right_count = frame->right_count,
                                           .to = frame->to});
}

/* How many items of a sorted run stand before key: those under it, and those equal to it if equals is set. */
static size_t
count_before(const sorting *all, unsigned char *run, size_t count, const unsigned char *key,
             bool equals) {
    return take_step(
        all,
        (skua_sort_part){
            .what = SKUA_SORT_FIND, .from = run, .count = count, .right = key, .equals = equals});
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
    if (frame->count <= all->fork_items) {
        take_step(all, (skua_sort_part){.what = SKUA_SORT_RUN,
                                        .from = frame->from,
                                        .to = frame->to,
                                        .count = frame->count,
                                        .in_place = frame->in_place});
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
    skua_spawn(&w, sort, &left);
    sort(w, &right);
    skua_sync(&w, sort, &left);
    unsigned char *runs = left.in_place ? frame->from : frame->to;
    merge_frame whole = {.all = all,
                         .left = runs,
                         .left_count = left.count,
                         .right = runs + offset,
                         .right_count = right.count,
                         .to = frame->in_place ? frame->from : frame->to};
    if (!skua_worker_cancelled(w)) {
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

static skua_status
sort_all(skua_exec *exec, void *items, size_t count, sorting *all, void *scratch, skua_error *err) {
    size_t bytes;
    if (__builtin_mul_overflow(count, all->bytes, &bytes)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "%zu items of %zu bytes are more than there is memory", count, all->bytes);
    }
    if (count < 2) {
        return SKUA_OK;
    }
    unsigned char *memory = scratch ? scratch : skua__mem_new(exec->hook, bytes);
    if (!memory) {
        return SKUA_FAIL_MEMORY(err, "the scratch of a sort");
    }
    size_t fork_items = SORT_FORK_BYTES / all->bytes;
    all->fork_items = fork_items > SORT_FORK_ITEMS ? fork_items : SORT_FORK_ITEMS;
    sort_call call = {
        .frame = {.all = all, .from = items, .to = memory, .count = count, .in_place = true}};
    skua_status status = skua_exec_run(exec, run_call, &call, err);
    if (!scratch) {
        skua__mem_free(exec->hook, memory);
    }
    if (status == SKUA_OK && call.cancelled) {
        return SKUA_FAIL(err, SKUA_E_CANCELLED, "the group of the task that sorts was cancelled");
    }
    return status;
}

/* What is wrong with the arguments, or NULL. fn_is_null: to say where the function is NULL, which comes second. */
static const char *
what_is_wrong(const skua_exec *exec, const void *items, size_t count, size_t item_bytes,
              const char *fn_is_null) {
    return !exec             ? "exec is NULL"
           : fn_is_null      ? fn_is_null
           : item_bytes == 0 ? "item_bytes is 0"
           : !items && count ? "items is NULL"
                             : NULL;
}

skua_status
skua_parallel_sort(skua_exec *exec, void *items, size_t count, size_t item_bytes,
                   skua_compare_fn *compare, void *arg, void *scratch, skua_error *err) {
    const char *wrong =
        what_is_wrong(exec, items, count, item_bytes, compare ? NULL : "compare is NULL");
    if (wrong) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s", wrong);
    }
    sorting all = {.bytes = item_bytes, .step = step_by_call, .compare = compare, .arg = arg};
    return sort_all(exec, items, count, &all, scratch, err);
}

skua_status
skua_parallel_sort_typed(skua_exec *exec, void *items, size_t count, size_t item_bytes,
                         skua_sort_fn *sort_part, void *arg, void *scratch, skua_error *err) {
    const char *wrong =
        what_is_wrong(exec, items, count, item_bytes, sort_part ? NULL : "sort is NULL");
    if (wrong) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s", wrong);
    }
    sorting all = {.bytes = item_bytes, .step = sort_part, .arg = arg};
    return sort_all(exec, items, count, &all, scratch, err);
}
