// SPDX-License-Identifier: MPL-2.0
// The inside of a selector: curves of time over size, and what its files ask of each other. For gpu/select*.c alone.
#ifndef SKUA_GPU_SELECT_PRIV_H
#define SKUA_GPU_SELECT_PRIV_H

#include <skua-int/mem.h>
#include <skua-int/rand.h>
#include <skua/select.h>
#include <stdbool.h>

enum {
    SKUA__CURVE_NODES = 128, /* one for each half octave of a 64-bit size */
    SKUA__CURVE_PER_OCTAVE = 2,
    SKUA__SELECT_EXPLORE_TIMES =
        4, /* what is predicted to take longer than so many times the best is not explored */
    SKUA__SELECT_TRIES = 3, /* of a backend that nothing is known of, for one kernel */
    SKUA__SELECT_YOUNG = 8, /* runs of a kernel on a backend until what they say is believed */
};

/* One learned time, as its logarithm to base 2, because errors of times are factors. */
typedef struct skua__curve_node {
    float log_ns;
    float spread;     /* smoothed distance of the samples, in the same measure */
    uint16_t samples; /* 0: nothing is known */
    int16_t streak;   /* samples in a row that lay far above (+) or far below (-) */
} skua__curve_node;

/* Time over size: nodes at half octaves, straight between them on logarithmic scales. Zeroed memory knows nothing. */
typedef struct skua__curve {
    bool
        linear; /* of a transfer: for large sizes it is proportional to the size, and never steeper */
    bool masked; /* of a device or a peer: what it takes for small work says little of its rate */
    uint32_t learned; /* samples in all; of a curve from a file at least so many */
    uint64_t have[SKUA__CURVE_NODES / 64]; /* which nodes have samples */
    skua__curve_node nodes[SKUA__CURVE_NODES];
    /* From each node to the next, when both have samples: ns as a polynomial of the way between them, 0 to 1. */
    float between[SKUA__CURVE_NODES][3];
} skua__curve;

/* Where a size lies on a curve's axis, in nodes. 0 counts as 1. */
float skua__curve_at(uint64_t size);
/* The node nearest to a place on the axis. */
uint32_t skua__curve_nearest(float at);
/* The predicted time's logarithm, or false when nothing is known. *ret_samples: of the nearest node. */
bool skua__curve_predict(const skua__curve *curve, float at, float *ret_log_ns,
                         uint32_t *ret_samples);
/* The same in ns, and quick where the nodes on both sides have samples. */
bool skua__curve_predict_ns(const skua__curve *curve, float at, int64_t *ret_ns,
                            uint32_t *ret_samples);
/* What is derived from a node; for who has written it without skua__curve_learn(). */
void skua__curve_refresh(skua__curve *curve, uint32_t node);
/* Learns a time (above 0). Returns false when it was too far off to count fully. */
bool skua__curve_learn(skua__curve *curve, float at, int64_t ns);
/* The same for a single time that has no size. */
bool skua__curve_node_learn(skua__curve_node *node, int64_t ns);
/* Nanoseconds of a logarithm, bounded so that sums of a few cannot overflow. */
int64_t skua__curve_ns(float log_ns);

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
    uint8_t
        last[SKUA__CURVE_NODES]; /* the backend chosen last at this size, counted from 1; 0: none */
    uint8_t tries[SKUA_SELECT_BACKENDS_MAX]; /* decisions for a backend that nothing was known of */
    skua__curve *run[SKUA_SELECT_BACKENDS_MAX]; /* over units; NULL: nothing learned */
} skua__select_kernel;

struct skua_selector {
    const skua_allocator *hook;
    char *path; /* NULL: what is learned is not kept */
    skua_selector_options
        options; /* with the defaults filled in; path and allocator are not looked at */
    skua__rand rand;
    uint32_t turn; /* of SKUA_SELECT_ROUND_ROBIN */
    bool unsaved;
    double spent_ns,
        wasted_ns; /* predicted: of all decisions, and of exploring over the best choice */
    skua_selector_counters count;
    uint32_t backend_count, kernel_count;
    skua__select_backend backends[SKUA_SELECT_BACKENDS_MAX];
    skua__select_kernel *kernels[SKUA_SELECT_KERNELS_MAX];
};

/* ---- select.c ---- */
skua__select_kernel *skua__select_kernel_get(skua_selector *selector, const char *name);
skua__select_backend *skua__select_backend_find(skua_selector *selector, const char *name);
/* The curve of a kernel on a backend, made when it is missing; NULL: no memory. */
skua__curve *skua__select_curve(skua_selector *selector, skua__select_kernel *kernel,
                                uint32_t backend);
/* Whether the numbers in work are ours. */
bool skua__select_work_valid(const skua_selector *selector, const skua_select_work *work);
/* Fills one candidate's sum for work of `units` at `at`; the move is for a share (0..1] of its missing bytes. */
void skua__select_sum(const skua_selector *selector, const skua_select_work *work, uint32_t place,
                      float at, double share, skua_select_term *ret_term);

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
