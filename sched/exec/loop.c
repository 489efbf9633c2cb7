// SPDX-License-Identifier: MPL-2.0
// skua_parallel_for(): one worker goes through the range in small steps, and gives half of what is left away when another one
// is hungry, and only then. (Lazy binary splitting: Tzannes, Caragea, Barua and Vishkin, 2010; their sign of hunger is an empty
// deque, ours is the trap that a thief springs.) So a loop that nobody helps with is one worker's loop, and no grain is needed:
// the steps grow until each takes about LOOP_STEP_NS, which is how long a hungry worker waits.
#include "engine.h"

#include <skua-int/clock.h>
#include <skua-int/fail.h>
#include <skua/parallel.h>

enum {
    LOOP_STEP_NS = 4000,     /* within a factor of two */
    LOOP_HALVINGS_MAX = 64,  /* of a 64-bit range */
    LOOP_REPLAY_PIECES = 32, /* in deterministic mode, which knows no time */
};

typedef struct loop {
    uint64_t grain; /* the most indices in one call */
    bool fixed;     /* and the fewest: the steps do not follow the time that they take */
    skua_for_fn *fn;
    void *arg;
} loop;

typedef struct piece {
    const loop *loop;
    uint64_t first, end, step;
} piece;

/* Somebody waits for what this worker might give away. */
static bool
is_hungry(skua_worker w) {
    /* relaxed: seen one step later is early enough; the spawn that follows attends to it */
    return w.top >= __atomic_load_n(&skua_worker_trap(w)->spawn_below, __ATOMIC_RELAXED);
}

/* The step after one of step indices, which began at *began_ns. */
static uint64_t
next_step(uint64_t step, int64_t *began_ns) {
    int64_t now_ns = skua__clock_ns(), took_ns = now_ns - *began_ns;
    *began_ns = now_ns;
    if (took_ns < LOOP_STEP_NS / 2) {
        return step < UINT64_MAX / 2 ? 2 * step : step;
    }
    return took_ns > 2 * LOOP_STEP_NS && step > 1 ? step / 2 : step;
}

static void
run_piece(skua_worker w, void *frame) {
    const piece whole = *(const piece *)frame;
    const loop *all = whole.loop;
    uint64_t first = whole.first, end = whole.end, step = whole.step;
    piece halves[LOOP_HALVINGS_MAX]; /* each at least as large as all after it together */
    uint32_t forked = 0;
    int64_t began_ns = all->fixed ? 0 : skua__clock_ns();
    for (;;) {
        while (first < end) {
            if (end - first > step && is_hungry(w)) {
                uint64_t middle = first + (end - first) / 2;
                halves[forked] = (piece){.loop = all, .first = middle, .end = end, .step = step};
                skua_spawn(&w, run_piece, &halves[forked++]);
                end = middle;
            }
            uint64_t until = end - first > step ? first + step : end;
            all->fn(w, first, until, all->arg);
            first = until;
            if (!all->fixed && first < end) {
                step = next_step(step, &began_ns);
            }
        }
        /* The newest half that nobody took is ours again; a taken one is done when take_back returns. */
        do {
            if (forked == 0) {
                return;
            }
            first = halves[--forked].first;
            end = halves[forked].end;
        } while (!skua_take_back(&w));
        began_ns = all->fixed ? 0 : skua__clock_ns();
    }
}

skua_status
skua_parallel_for(skua_exec *exec, uint64_t first, uint64_t end, uint64_t grain, skua_for_fn *fn,
                  void *arg, skua_error *err) {
    if (!exec || !fn) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "%s is NULL", exec ? "fn" : "exec");
    }
    if (end < first) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "end is %llu, before first, which is %llu",
                         (unsigned long long)end, (unsigned long long)first);
    }
    if (first == end) {
        return SKUA_OK;
    }
    loop all = {.grain = grain, .fixed = grain > 0 || exec->replay_seed, .fn = fn, .arg = arg};
    if (grain == 0 && all.fixed) {
        all.grain = (end - first + LOOP_REPLAY_PIECES - 1) / LOOP_REPLAY_PIECES;
    }
    piece whole = {.loop = &all, .first = first, .end = end, .step = all.fixed ? all.grain : 1};
    return skua_exec_run(exec, run_piece, &whole, err);
}
