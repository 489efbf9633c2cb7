// SPDX-License-Identifier: MPL-2.0
// Loops: a range is halved until its pieces are small, the right halves are forked, the left ones are run at once.
#include <skua/parallel.h>

#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <stdalign.h>
#include <string.h>

enum {
    PIECES_PER_WORKER =
        32,            /* how fine an automatic grain cuts: enough for uneven pieces to even out */
    HALVINGS_MAX = 64, /* of a 64-bit range */
};

static uint64_t
grain_of(skua_exec *exec, uint64_t count, uint64_t grain) {
    if (grain == 0) {
        grain = count / ((uint64_t)skua_exec_workers(exec) * PIECES_PER_WORKER);
    }
    return grain ? grain : 1;
}

/* ---- for ---- */

typedef struct loop {
    uint64_t grain;
    skua_for_fn *fn;
    void *arg;
} loop;

typedef struct piece {
    const loop *loop;
    uint64_t first, end;
} piece;

static void
run_piece(skua_worker w, void *frame) {
    const piece *whole = frame;
    uint64_t first = whole->first, end = whole->end;
    piece halves[HALVINGS_MAX];
    uint32_t forked = 0;
    while (end - first > whole->loop->grain) {
        uint64_t middle = first + (end - first) / 2;
        halves[forked] = (piece){.loop = whole->loop, .first = middle, .end = end};
        skua_spawn(&w, run_piece, &halves[forked++]);
        end = middle;
    }
    whole->loop->fn(w, first, end, whole->loop->arg);
    while (forked > 0) {
        skua_sync(&w, run_piece, &halves[--forked]);
    }
}

skua_status
skua_parallel_for(skua_exec *exec, uint64_t first, uint64_t end, uint64_t grain, skua_for_fn *fn,
                  void *arg, skua_error *err) {
    if (!exec || !fn || end < first) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "exec or fn is NULL, or end is before first");
    }
    if (first == end) {
        return SKUA_OK;
    }
    loop all = {.grain = grain_of(exec, end - first, grain), .fn = fn, .arg = arg};
    piece whole = {.loop = &all, .first = first, .end = end};
    return skua_exec_run(exec, run_piece, &whole, err);
}

/* ---- reduce ---- */

typedef struct folding {
    uint64_t grain;
    const skua_reduce *reduce;
} folding;

typedef struct part {
    const folding *all;
    uint64_t first, end;
    alignas(max_align_t) unsigned char value[SKUA_REDUCE_BYTES_MAX];
} part;

static void
run_part(skua_worker w, void *frame) {
    part *whole = frame;
    const skua_reduce *reduce = whole->all->reduce;
    uint64_t count = whole->end - whole->first;
    if (count <= whole->all->grain) {
        memcpy(whole->value, reduce->identity, reduce->value_bytes);
        reduce->fold(w, whole->first, whole->end, whole->value, reduce->arg);
        return;
    }
    part right;
    right.all = whole->all;
    right.first = whole->first + count / 2;
    right.end = whole->end;
    skua_spawn(&w, run_part, &right);
    whole->end = right.first;
    run_part(w, whole);
    skua_sync(&w, run_part, &right);
    reduce->combine(whole->value, right.value, reduce->arg);
}

skua_status
skua_parallel_reduce(skua_exec *exec, uint64_t first, uint64_t end, uint64_t grain,
                     const skua_reduce *given, void *ret_value, skua_error *err) {
    skua_reduce reduce;
    if (!exec || !given || !ret_value || end < first || !SKUA_READ_OPTIONS(&reduce, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "exec, reduce or ret_value is NULL, reduce has no size or a newer field, "
                         "or end is before first");
    }
    if (!reduce.identity || !reduce.fold || !reduce.combine || reduce.value_bytes == 0 ||
        reduce.value_bytes > SKUA_REDUCE_BYTES_MAX) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "reduce lacks an identity, fold or combine, or value_bytes is not 1 to %d",
                         SKUA_REDUCE_BYTES_MAX);
    }
    if (first == end) {
        memcpy(ret_value, reduce.identity, reduce.value_bytes);
        return SKUA_OK;
    }
    folding all = {.grain = grain_of(exec, end - first, grain), .reduce = &reduce};
    part whole;
    whole.all = &all;
    whole.first = first;
    whole.end = end;
    skua_status status = skua_exec_run(exec, run_part, &whole, err);
    if (status == SKUA_OK) {
        memcpy(ret_value, whole.value, reduce.value_bytes);
    }
    return status;
}
