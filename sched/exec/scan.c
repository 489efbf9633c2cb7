// SPDX-License-Identifier: MPL-2.0
// Scans in two passes. The range is cut into one large piece at each end, of a share of workers + 1, and small ones between.
// First the front is scanned at once, while the others fold those in the middle; then those are scanned, each from its own
// beginning, while the caller scans the back, which nobody needs folded. So w workers take 2 / (w + 1) of the serial time.
#include "engine.h"

#include <skua-int/fail.h>
#include <skua-int/mem.h>
#include <skua/parallel.h>

enum {
    SCAN_CUTS = 4, /* small pieces in the space of one large one */
};

typedef struct piece {
    const skua_scan *scan;
    uint64_t first, end;
    alignas(max_align_t) unsigned char value[SKUA_REDUCE_BYTES_MAX];
} piece;

/* pieces[0] is the front, pieces[count - 1] the back. */
typedef struct scanning {
    const skua_scan *scan;
    piece *pieces;
    uint64_t count;
} scanning;

static void
fold_piece(skua_worker w, void *frame) {
    piece *self = frame;
    memcpy(self->value, self->scan->identity, self->scan->value_bytes);
    self->scan->fold(w, self->first, self->end, self->value, self->scan->arg);
}

static void
scan_piece(skua_worker w, void *frame) {
    piece *self = frame;
    self->scan->scan(w, self->first, self->end, self->value, self->scan->arg);
}

/* Makes of each folded value in the middle that of all before it, and the same for the back. */
static void
chain_values(const scanning *all) {
    const skua_scan *scan = all->scan;
    unsigned char folded[SKUA_REDUCE_BYTES_MAX];
    alignas(max_align_t) unsigned char before[SKUA_REDUCE_BYTES_MAX];
    memcpy(before, all->pieces[0].value, scan->value_bytes);
    for (uint64_t i = 1; i + 1 < all->count; i++) {
        memcpy(folded, all->pieces[i].value, scan->value_bytes);
        memcpy(all->pieces[i].value, before, scan->value_bytes);
        memcpy(all->pieces[all->count - 1].value, folded, scan->value_bytes);
        scan->combine(before, all->pieces[all->count - 1].value, scan->arg);
    }
    memcpy(all->pieces[all->count - 1].value, before, scan->value_bytes);
}

/* Forks fn for the pieces in the middle, the first one on top, and runs one of the ends here. */
static void
run_pass(skua_worker w, const scanning *all, skua_fn *fn, piece *end) {
    for (uint64_t i = all->count - 1; i-- > 1;) {
        skua_spawn(&w, fn, &all->pieces[i]);
    }
    scan_piece(w, end);
    for (uint64_t i = 1; i + 1 < all->count; i++) {
        skua_sync(&w, fn, &all->pieces[i]);
    }
}

static void
run_scan(skua_worker w, void *frame) {
    const scanning *all = frame;
    memcpy(all->pieces[0].value, all->scan->identity, all->scan->value_bytes);
    if (all->count == 1) {
        scan_piece(w, &all->pieces[0]);
        return;
    }
    run_pass(w, all, fold_piece, &all->pieces[0]);
    chain_values(all);
    run_pass(w, all, scan_piece, &all->pieces[all->count - 1]);
}

/* Cuts the range into *ret_cuts equal parts, of which each end takes *ret_ends and a piece in the middle one. */
static void
plan_cuts(uint64_t count, uint64_t grain, uint64_t workers, uint64_t *ret_cuts,
          uint64_t *ret_ends) {
    uint64_t shares = workers + 1;
    shares = count / grain < shares ? count / grain : shares;
    if (workers < 2 || shares < 3) {
        *ret_cuts = *ret_ends = 1; /* two shares would be gone over twice for nothing */
        return;
    }
    uint64_t small = count / shares / grain;
    *ret_ends = small < SCAN_CUTS ? small : SCAN_CUTS;
    *ret_cuts = shares * *ret_ends;
}

static uint64_t
cut_at(uint64_t first, uint64_t count, uint64_t cuts, uint64_t i) {
    uint64_t rest = count % cuts;
    return first + count / cuts * i + (i < rest ? i : rest);
}

static skua_status
check_scan(const skua_exec *exec, const skua_scan *given, uint64_t first, uint64_t end,
           skua_scan *ret_scan, skua_error *err) {
    if (!exec || !given) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL", exec ? "scan" : "exec");
    }
    if (end < first || !SKUA_READ_OPTIONS(ret_scan, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s",
                         end < first ? "end is before first" : "scan has no size or a newer field");
    }
    if (!ret_scan->identity || !ret_scan->fold || !ret_scan->combine || !ret_scan->scan ||
        ret_scan->value_bytes == 0 || ret_scan->value_bytes > SKUA_REDUCE_BYTES_MAX) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "scan lacks an identity, fold, combine or scan, or value_bytes is not 1 "
                         "to %d",
                         SKUA_REDUCE_BYTES_MAX);
    }
    return SKUA_OK;
}

skua_status
skua_parallel_scan(skua_exec *exec, uint64_t first, uint64_t end, uint64_t grain,
                   const skua_scan *given, void *ret_value, skua_error *err) {
    skua_scan scan;
    skua_status status = check_scan(exec, given, first, end, &scan, err);
    if (status != SKUA_OK) {
        return status;
    }
    uint64_t count = end - first, cuts, ends;
    plan_cuts(count, grain ? grain : 1, skua_exec_workers(exec), &cuts, &ends);
    piece whole;
    scanning all = {.scan = &scan, .pieces = &whole, .count = 1};
    if (cuts > 1) {
        all.count = cuts - 2 * ends + 2;
        all.pieces = skua__mem_new_array(exec->hook, all.count, sizeof *all.pieces);
        if (!all.pieces) {
            return SKUA_FAIL_MEMORY(err, "the pieces of a scan");
        }
    }
    for (uint64_t i = 0, cut = 0; i < all.count; i++) {
        uint64_t wide = i == 0 || i + 1 == all.count ? ends : 1;
        piece *self = &all.pieces[i];
        self->scan = &scan;
        self->first = cut_at(first, count, cuts, cut);
        self->end = cut_at(first, count, cuts, cut + wide);
        cut += wide;
    }
    if (count > 0) {
        status = skua_exec_run(exec, run_scan, &all, err);
    } else {
        memcpy(whole.value, scan.identity, scan.value_bytes);
    }
    if (status == SKUA_OK && ret_value) {
        memcpy(ret_value, all.pieces[all.count - 1].value, scan.value_bytes);
    }
    if (all.pieces != &whole) {
        skua__mem_free(exec->hook, all.pieces);
    }
    return status;
}
