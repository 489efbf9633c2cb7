// SPDX-License-Identifier: MPL-2.0
// Loops over index ranges on an executor, cut into pieces by themselves as workers ask for more: for, reduce, scan; and a sort.
#ifndef SKUA_PARALLEL_H
#define SKUA_PARALLEL_H

#include <skua/exec.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The body of a loop: handles the indices first to end - 1. */
typedef void skua_for_fn(skua_worker w, uint64_t first, uint64_t end, void *arg);

/**
 * Calls fn for pieces that together cover first to end - 1 once each, in no order, on any workers, and waits.
 *
 * grain: the most indices in one call; 0 fits all but rare cases: then a worker goes through the range in steps of a few
 * microseconds, and gives half of what it has left away when another worker has nothing to do. arg: borrowed for the call.
 * Returns: 0; SKUA_E_CLOSED, SKUA_E_FORKED, SKUA_E_BAD_ARGUMENT, and then fn was not called.
 * Threads: any, workers too. Blocks: until all is done. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_parallel_for(skua_exec *exec, uint64_t first,
                                                       uint64_t end, uint64_t grain,
                                                       skua_for_fn *fn, void *arg, skua_error *err);

#define SKUA_REDUCE_BYTES_MAX 256 /* the largest value that skua_parallel_reduce() carries */

/* A reduction: each piece is folded into a value of value_bytes bytes, and neighbours are combined in order. */
typedef struct skua_reduce {
    size_t size;          /* sizeof(skua_reduce) */
    size_t value_bytes;   /* 1 to SKUA_REDUCE_BYTES_MAX */
    const void *identity; /* the value of an empty range; borrowed */
    /* Folds the indices first to end - 1 into *value, which holds the identity or an earlier piece's value. */
    void (*fold)(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg);
    /* *left = *left and *right together; right stands after left. It must be associative. */
    void (*combine)(void *left, const void *right, void *arg);
    void *arg;
} skua_reduce;

/**
 * Reduces first to end - 1 to one value. The pieces are combined in the order of their indices, so combine need not be
 * commutative; where the cuts fall depends on grain and range only: a sum of floating-point numbers is the same in each run and
 * with any number of workers.
 *
 * grain: the most indices in one fold; 0: chosen from the range. reduce and ret_value: borrowed for the call.
 * Returns: 0 and *ret_value; SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED.
 * Threads: any, workers too. Blocks: until all is done. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_parallel_reduce(skua_exec *exec, uint64_t first,
                                                          uint64_t end, uint64_t grain,
                                                          const skua_reduce *reduce,
                                                          void *ret_value, skua_error *err);

/*
 * A scan: each index gets what all before it come to. Each piece but one is gone over twice, first by fold and then by
 * scan, so it pays where a second core is idle. Whether it is inclusive or exclusive is the body of scan:
 *
 *     for (uint64_t i = first; i < end; i++) {
 *         *sum += in[i];  out[i] = *sum;    inclusive; the other way round it is exclusive
 *     }
 */
typedef struct skua_scan {
    size_t size;          /* sizeof(skua_scan) */
    size_t value_bytes;   /* 1 to SKUA_REDUCE_BYTES_MAX */
    const void *identity; /* the value of an empty range; borrowed */
    /* Folds the indices first to end - 1 into *value, which holds the identity. */
    void (*fold)(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg);
    /* *left = *left and *right together; right stands after left. It must be associative. */
    void (*combine)(void *left, const void *right, void *arg);
    /* *value is what all before first come to: writes the results of first to end - 1, and makes it that of end. */
    void (*scan)(skua_worker w, uint64_t first, uint64_t end, void *value, void *arg);
    void *arg;
} skua_scan;

/**
 * Scans first to end - 1. scan is called for pieces that together cover the range once each, with the right value before
 * each; as in skua_parallel_reduce(), combine need not be commutative, and the cuts depend on nothing but range, grain and
 * the number of workers at its start. With one worker it is one call of scan.
 *
 * grain: the fewest indices in a piece; 0: 1. scan: borrowed for the call. ret_value: that of the whole; may be NULL.
 * Returns: 0 and *ret_value; SKUA_E_BAD_ARGUMENT, SKUA_E_NO_MEMORY, SKUA_E_CLOSED, SKUA_E_FORKED, and then scan was not
 * called.
 * Threads: any, workers too. Blocks: until all is done. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_parallel_scan(skua_exec *exec, uint64_t first,
                                                        uint64_t end, uint64_t grain,
                                                        const skua_scan *scan, void *ret_value,
                                                        skua_error *err);

/* Below 0, 0 or above 0, as *a stands before *b, is its equal, or stands behind it. */
typedef int skua_compare_fn(const void *a, const void *b, void *arg);

/**
 * Sorts count items of item_bytes bytes each. Equal items keep their order (it is stable), so the result is the same with any
 * number of workers. In the worst case it compares count * log2(count) times, about. (skua/sort.h has a faster one for a
 * type that is known.)
 *
 * items: sorted where they lie. compare is called on any workers, several at once; arg: handed to it, borrowed for the call.
 * scratch: room for as many items, borrowed for the call; NULL: it comes from the executor's allocator.
 * Returns: 0; SKUA_E_CANCELLED when the group of the task that calls this was cancelled meanwhile: then the items are all there, in
 * any order; SKUA_E_NO_MEMORY, SKUA_E_BAD_ARGUMENT, SKUA_E_CLOSED, SKUA_E_FORKED, and then they are as they were.
 * Threads: any, workers too. Blocks: until all is done. Since 0.1.
 */
SKUA_API SKUA_MUST_CHECK skua_status skua_parallel_sort(skua_exec *exec, void *items, size_t count,
                                                        size_t item_bytes, skua_compare_fn *compare,
                                                        void *arg, void *scratch, skua_error *err);

#ifdef __cplusplus
}
#endif
#endif
