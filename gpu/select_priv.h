// SPDX-License-Identifier: MPL-2.0
// The inside of a selector, and what its files ask of each other. For gpu/select*.c alone.
#ifndef SKUA_GPU_SELECT_PRIV_H
#define SKUA_GPU_SELECT_PRIV_H

#include "select_curve.h"

#include <skua-int/mem.h>
#include <skua-int/rand.h>
#include <skua/select.h>

enum { SKUA__SELECT_PERMILLE = 1000 };

typedef struct skua__select_backend {
    char name[SKUA_SELECT_NAME_BYTES]; /* "": the slot is free */
    bool active;                       /* told in this run; else only read from the file */
    int32_t kind;
    uint64_t bytes_per_s, flops;
    skua__curve_node launch;
    int64_t launch_ns; /* what it says, or the guess */
    skua__curve move;  /* over bytes */
} skua__select_backend;

typedef struct skua__select_kernel {
    char name[SKUA_SELECT_NAME_BYTES];
    uint8_t last[SKUA__CURVE_NODES]; /* the choice at this size, counted from 1; 0: none yet */
    uint8_t tries[SKUA_SELECT_BACKENDS_MAX]; /* decisions for a backend that nothing was known of */
    skua__curve *run[SKUA_SELECT_BACKENDS_MAX]; /* over units; NULL: nothing learned */
} skua__select_kernel;

struct skua_selector {
    const skua_allocator *hook;
    char *path;                    /* NULL: what is learned is not kept */
    skua_selector_options options; /* with the defaults; path and allocator are not looked at */
    skua__rand rand;
    uint32_t turn; /* of SKUA_SELECT_ROUND_ROBIN */
    bool unsaved;
    double spent_ns;  /* predicted, of all decisions */
    double wasted_ns; /* predicted, of exploring over the best choice */
    skua_selector_counters count;
    uint32_t backend_count, kernel_count;
    skua__select_backend backends[SKUA_SELECT_BACKENDS_MAX];
    skua__select_kernel *kernels[SKUA_SELECT_KERNELS_MAX];
};

/* ---- select_names.c ---- */
/* The backend of this name, told in this run or not; NULL: there is none. */
skua__select_backend *skua__select_backend_find(skua_selector *selector, const char *name);
/* The kernel of this name, made when it is missing; NULL: there are too many, or no memory. */
skua__select_kernel *skua__select_kernel_get(skua_selector *selector, const char *name);
/* The curve of a kernel on a backend, made when it is missing; NULL: no memory. */
skua__curve *skua__select_curve(skua_selector *selector, skua__select_kernel *kernel,
                                uint32_t backend);

/* ---- select_estimate.c ---- */
/* Whether the numbers in work are ours. */
bool skua__select_work_valid(const skua_selector *selector, const skua_select_work *work);
/* Fills one candidate's sum for work of `units` at `at`; the move is for a share (0..1] of its missing bytes. */
void skua__select_sum(const skua_selector *selector, const skua_select_work *work, uint32_t place,
                      float at, double share, skua_select_term *ret_term);
/* Fills the sums of all candidates for the whole work, and which is the smallest. */
void skua__select_estimate(const skua_selector *selector, const skua_select_work *work, float at,
                           skua_select_decision *decision);

/* ---- select_policy.c ---- */
/* What a fixed policy chooses, as an index into work->places. */
uint32_t skua__select_fixed(skua_selector *selector, const skua_select_work *work);

/* ---- select_store.c ---- */
/* Reads the file, as far as there is a whole one. Returns 0 or SKUA_E_NO_MEMORY. */
skua_status skua__select_load(skua_selector *selector);
/* The file's bytes in a block of the hook's; NULL: no memory. */
uint8_t *skua__select_encode(const skua_selector *selector, size_t *ret_size);
/* Takes the bytes of a file in. Returns 0 (with junk ignored) or SKUA_E_NO_MEMORY. */
skua_status skua__select_decode(skua_selector *selector, const uint8_t *bytes, size_t size);

#endif
