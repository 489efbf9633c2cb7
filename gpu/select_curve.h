// SPDX-License-Identifier: MPL-2.0
// A learned time over size: what it predicts, and how a sample changes it. It knows nothing of backends and kernels.
#ifndef SKUA_GPU_SELECT_CURVE_H
#define SKUA_GPU_SELECT_CURVE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SKUA__CURVE_NODES = 128, /* one for each half octave of a 64-bit size */
    SKUA__CURVE_PER_OCTAVE = 2,
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
    bool linear; /* of a transfer: for large sizes proportional to the size, and never steeper */
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
/* The highest node with samples; below 0: there is none. */
float skua__curve_top(const skua__curve *curve);
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

#endif
