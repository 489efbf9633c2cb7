// SPDX-License-Identifier: MPL-2.0
// Reductions: a range is halved until its pieces are small, the right halves are forked, the left ones are run at once. Where the
// cuts fall depends on range and grain alone, so that a sum of floating-point numbers is the same on every machine.
#include <skua/parallel.h>

#include <skua-int/fail.h>
#include <skua-int/mem.h>

#include <stdalign.h>
#include <string.h>

enum {
    REDUCE_PIECES = 1024,    /* of a large range, about: enough for uneven pieces to even out */
    REDUCE_FEW_PIECES = 256, /* of a range whose pieces would be smaller than that: */
    REDUCE_SMALL_INDICES = 64,
};

/* An automatic grain follows from the range alone. */
static uint64_t
grain_of(uint64_t count, uint64_t grain) {
    if (grain == 0) {
        uint64_t few = count / REDUCE_FEW_PIECES;
        few = few < REDUCE_SMALL_INDICES ? few : REDUCE_SMALL_INDICES;
        grain = count / REDUCE_PIECES > few ? count / REDUCE_PIECES : few;
    }
    return grain ? grain : 1;
}

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
    const char *missing = !exec ? "exec" : !given ? "reduce" : !ret_value ? "ret_value" : NULL;
    if (missing) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL", missing);
    }
    if (end < first || !SKUA_READ_OPTIONS(&reduce, given)) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s",
                         end < first ? "end is before first"
                                     : "reduce has no size or a newer field");
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
    folding all = {.grain = grain_of(end - first, grain), .reduce = &reduce};
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
