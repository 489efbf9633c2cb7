// SPDX-License-Identifier: MPL-2.0
// Learned time over size. Both axes are logarithmic, so a power law (n, n², n³, or flat) is a straight line, and a
// few samples tell much; the nodes let the line bend where a cache or a device fills up. The logarithms are
// polynomials of our own: several times as fast as libm's, and the same on every machine, so that runs replay.
#include "select_curve.h"

#include <math.h>
#include <string.h>

enum {
    WEIGHT_FLOOR = 16, /* a new sample counts for at least 1/16 */
    STREAK = 4,        /* so many far samples on one side are a change */
    DOUBTED =
        2, /* up to so many samples, a far shorter one begins anew: what disturbs makes longer */
    NEAR_NODES = 4, /* neighbours this close (two octaves) are trusted over one fresh sample */
};

static const float slope_max = 2.0F;    /* per node: the fourth power of the size */
static const float slope_linear = 0.5F; /* per node: proportional to the size */
static const float spread_first = 0.15F;
static const float far_least = 0.1F; /* about 7 %: closer samples are never far off */
static const float far_spreads = 3.0F;
static const float fresh_clip = 0.5F;
static const float log_ns_max = 59.0F; /* 18 years: four of them still fit into 64 bits */

enum { MANTISSA_BITS = 23, EXPONENT_BIAS = 127 };

/*
 * The logarithm to base 2 of a number of at least 1, to about 0.00003: a minimax polynomial over the mantissa. The sums
 * are nested by pairs, which take half as long as one after the other.
 */
static inline float
quick_log2(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    int32_t exponent = (int32_t)(bits >> MANTISSA_BITS) - EXPONENT_BIAS;
    bits =
        (bits & ((UINT32_C(1) << MANTISSA_BITS) - 1)) | ((uint32_t)EXPONENT_BIAS << MANTISSA_BITS);
    float m;
    memcpy(&m, &bits, sizeof m);
    float m2 = m * m;
    float low = 2.88827045F - 2.52074963F * m;
    float high = (1.48116648F - 0.465725644F * m) + 0.0596515483F * m2;
    return (float)exponent + (m - 1) * (low + m2 * high);
}

/* 2 to the power of a number from 0 to log_ns_max, to about 0.000003 of it. */
static inline float
quick_exp2(float value) {
    int32_t whole = (int32_t)value;
    float f = value - (float)whole;
    float f2 = f * f;
    float low = 1.0000026F + 0.69300383F * f;
    float high = (0.24144275F + 0.052011464F * f) + 0.013534167F * f2;
    uint32_t bits = (uint32_t)(whole + EXPONENT_BIAS) << MANTISSA_BITS;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return (low + f2 * high) * scale;
}

float
skua__curve_at(uint64_t size) {
    return size > 1 ? SKUA__CURVE_PER_OCTAVE * quick_log2((float)size) : 0;
}

uint32_t
skua__curve_nearest(float at) {
    uint32_t nearest = (uint32_t)(at + 0.5F);
    return nearest < SKUA__CURVE_NODES ? nearest : SKUA__CURVE_NODES - 1;
}

int64_t
skua__curve_ns(float log_ns) {
    return (int64_t)quick_exp2(log_ns > log_ns_max ? log_ns_max : log_ns < 0 ? 0 : log_ns);
}

/* The highest node with samples at or below from, or -1. */
static int
node_below(const skua__curve *curve, int from) {
    if (from < 0) {
        return -1;
    }
    for (int word = from / 64; word >= 0; word--) {
        uint64_t bits = curve->have[word];
        if (word == from / 64) {
            bits &= UINT64_MAX >> (63 - from % 64);
        }
        if (bits) {
            return word * 64 + 63 - __builtin_clzll(bits);
        }
    }
    return -1;
}

/* The lowest node with samples at or above from, or -1. */
static int
node_above(const skua__curve *curve, int from) {
    for (int word = from / 64; word < SKUA__CURVE_NODES / 64; word++) {
        uint64_t bits = curve->have[word];
        if (word == from / 64) {
            bits &= UINT64_MAX << (from % 64);
        }
        if (bits) {
            return word * 64 + __builtin_ctzll(bits);
        }
    }
    return -1;
}

static float
slope_between(const skua__curve *curve, int a, int b) {
    return (curve->nodes[b].log_ns - curve->nodes[a].log_ns) / (float)(b - a);
}

static float
bounded(float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
}

/*
 * The slope beyond the last node. It is taken over an octave where there is one, since two neighbours differ by
 * noise too. A slope that is too flat for large sizes is soon corrected, because what looks good is chosen; one that is too
 * steep would never be. So a transfer, whose first samples may be small ones, is flat until a second size is known.
 */
static float
slope_beyond(const skua__curve *curve, int edge, bool above) {
    float steepest = curve->linear ? slope_linear : slope_max;
    if (above) {
        int other = node_below(curve, edge - SKUA__CURVE_PER_OCTAVE);
        other = other < 0 ? node_below(curve, edge - 1) : other;
        return other >= 0 ? bounded(slope_between(curve, other, edge), 0, steepest)
               : curve->linear || curve->masked ? 0
                                                : slope_linear;
    }
    int far = edge + SKUA__CURVE_PER_OCTAVE;
    int other = far < SKUA__CURVE_NODES ? node_above(curve, far) : -1;
    other = other < 0 && edge + 1 < SKUA__CURVE_NODES ? node_above(curve, edge + 1) : other;
    return other < 0 ? slope_linear : bounded(slope_between(curve, edge, other), 0, steepest);
}

bool
skua__curve_predict(const skua__curve *curve, float at, float *ret_log_ns, uint32_t *ret_samples) {
    int floor_node = (int)at < SKUA__CURVE_NODES ? (int)at : SKUA__CURVE_NODES - 1;
    int next_node = floor_node + 1;
    *ret_samples = curve->nodes[skua__curve_nearest(at)].samples;
    int low = node_below(curve, floor_node);
    int high = next_node < SKUA__CURVE_NODES ? node_above(curve, next_node) : -1;
    if (low >= 0 && high >= 0) {
        *ret_log_ns =
            curve->nodes[low].log_ns + slope_between(curve, low, high) * (at - (float)low);
    } else if (low >= 0) {
        float beyond = at - (float)low;
        /* At the edge itself there is nothing to extrapolate. */
        *ret_log_ns =
            curve->nodes[low].log_ns + (beyond > 0 ? slope_beyond(curve, low, true) * beyond : 0);
    } else if (high >= 0) {
        *ret_log_ns =
            curve->nodes[high].log_ns - slope_beyond(curve, high, false) * ((float)high - at);
    } else {
        return false;
    }
    return true;
}

float
skua__curve_top(const skua__curve *curve) {
    return (float)node_below(curve, SKUA__CURVE_NODES - 1);
}

bool
skua__curve_predict_ns(const skua__curve *curve, float at, int64_t *ret_ns, uint32_t *ret_samples) {
    uint32_t floor_node = (uint32_t)at;
    if (floor_node + 1 < SKUA__CURVE_NODES && curve->nodes[floor_node].samples &&
        curve->nodes[floor_node + 1].samples) {
        float part = at - (float)floor_node;
        const float *between = curve->between[floor_node];
        *ret_ns = (int64_t)(between[0] + part * (between[1] + part * between[2]));
        *ret_samples = curve->nodes[floor_node + (part >= 0.5F)].samples;
        return true;
    }
    float log_ns;
    if (!skua__curve_predict(curve, at, &log_ns, ret_samples)) {
        return false;
    }
    *ret_ns = skua__curve_ns(log_ns);
    return true;
}

/*
 * A parabola through the ends and the middle is within 1 % of the power law for every slope up to slope_max. A steeper
 * one could dip below 0, so cliffs are straight lines.
 */
static void
refresh_between(skua__curve *curve, uint32_t node) {
    if (node + 1 >= SKUA__CURVE_NODES || !curve->nodes[node].samples ||
        !curve->nodes[node + 1].samples) {
        return;
    }
    float left = bounded(curve->nodes[node].log_ns, 0, log_ns_max);
    float right = bounded(curve->nodes[node + 1].log_ns, 0, log_ns_max);
    float begin = quick_exp2(left), middle = quick_exp2((left + right) / 2);
    float end = quick_exp2(right);
    curve->between[node][0] = begin;
    if (right - left > slope_max || left - right > slope_max) {
        curve->between[node][1] = end - begin;
        curve->between[node][2] = 0;
        return;
    }
    curve->between[node][1] = 4 * middle - 3 * begin - end;
    curve->between[node][2] = 2 * (begin + end) - 4 * middle;
}

void
skua__curve_refresh(skua__curve *curve, uint32_t node) {
    refresh_between(curve, node);
    if (node > 0) {
        refresh_between(curve, node - 1);
    }
}

/* Moves a node by what a sample differed from its prediction. Returns false when that was far off. */
static bool
node_move(skua__curve_node *node, float off) {
    float far = far_spreads * node->spread;
    far = far < far_least ? far_least : far;
    bool near = off <= far && off >= -far;
    bool corrects = off < -far && node->samples <= DOUBTED;
    if (near) {
        node->streak = 0;
    } else if (off > 0) {
        node->streak = (int16_t)(node->streak > 0 ? node->streak + 1 : 1);
    } else {
        node->streak = (int16_t)(node->streak < 0 ? node->streak - 1 : -1);
    }
    if (corrects || node->streak >= STREAK || node->streak <= -STREAK) {
        /* It is no accident any more: begin anew from this sample. */
        *node =
            (skua__curve_node){.log_ns = node->log_ns + off, .spread = spread_first, .samples = 1};
        return false;
    }
    off = bounded(off, -far, far);
    node->samples = (uint16_t)(node->samples < WEIGHT_FLOOR ? node->samples + 1 : WEIGHT_FLOOR);
    node->log_ns += off / node->samples;
    node->spread += (1.25F * fabsf(off) - node->spread) / node->samples;
    return near;
}

bool
skua__curve_node_learn(skua__curve_node *node, int64_t ns) {
    float log_ns = quick_log2((float)ns);
    if (node->samples == 0) {
        *node = (skua__curve_node){.log_ns = log_ns, .spread = spread_first, .samples = 1};
        return true;
    }
    return node_move(node, log_ns - node->log_ns);
}

/* The first sample of a node whose neighbours have an opinion. */
static bool
node_begin(skua__curve *curve, uint32_t i, float off) {
    int low = node_below(curve, (int)i);
    int high = node_above(curve, (int)i);
    uint32_t ignored;
    float log_ns;
    (void)skua__curve_predict(curve, (float)i, &log_ns, &ignored);
    bool surrounded =
        low >= 0 && high >= 0 && (int)i - low <= NEAR_NODES && high - (int)i <= NEAR_NODES;
    bool near = true;
    if (surrounded) {
        near = off <= fresh_clip && off >= -fresh_clip;
        off = bounded(off, -fresh_clip, fresh_clip) / 2;
    }
    curve->nodes[i] =
        (skua__curve_node){.log_ns = log_ns + off, .spread = spread_first, .samples = 1};
    return near;
}

bool
skua__curve_learn(skua__curve *curve, float at, int64_t ns) {
    uint32_t i = skua__curve_nearest(at);
    float log_ns = quick_log2((float)ns);
    float predicted;
    uint32_t samples;
    bool near = true;
    if (!skua__curve_predict(curve, at, &predicted, &samples)) {
        curve->nodes[i] = (skua__curve_node){.log_ns = log_ns + slope_linear * ((float)i - at),
                                             .spread = spread_first,
                                             .samples = 1};
    } else if (curve->nodes[i].samples) {
        near = node_move(&curve->nodes[i], log_ns - predicted);
    } else {
        near = node_begin(curve, i, log_ns - predicted);
    }
    curve->have[i / 64] |= UINT64_C(1) << (i % 64);
    curve->learned += curve->learned < UINT32_MAX;
    skua__curve_refresh(curve, i);
    return near;
}
