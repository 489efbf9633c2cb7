// SPDX-License-Identifier: MPL-2.0
// The serial parts of the executor's works: UTS trees with SHA-1 (FIPS 180-1), merge sort, a matrix product and
// Mandelbrot rows. They are the same machine code for skua and for every peer.
#include "exec_peer.h"

#include <math.h>
#include <string.h>

/* ---- UTS ---- */

/* T1 of UTS has depth 10 and 4,130,071 nodes; two levels less keep a run short. */
const exec_tree exec_tree_sha1 = {.branching = 4, .depth = 8, .sha1 = 1, .nodes = 257042};
const exec_tree exec_tree_cheap = {.branching = 4, .depth = 8, .sha1 = 0, .nodes = 331414};

static uint32_t
rotate_left(uint32_t value, int bits) {
    return value << bits | value >> (32 - bits);
}

/* SHA-1 of at most 55 bytes: one block. */
static void
sha1_short(const uint8_t *bytes, size_t size, uint8_t *ret_digest) {
    uint8_t block[64] = {0};
    memcpy(block, bytes, size);
    block[size] = 0x80;
    block[62] = (uint8_t)(size >> 5);
    block[63] = (uint8_t)(size << 3);
    uint32_t w[80];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    }
    for (int i = 16; i < 80; i++) {
        w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    }
    const uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint32_t a = start[0], b = start[1], c = start[2], d = start[3], e = start[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i < 40) {
            f = b ^ c ^ d;
            k = 0x6ed9eba1;
        } else if (i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        } else {
            f = b ^ c ^ d;
            k = 0xca62c1d6;
        }
        uint32_t next = rotate_left(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    const uint32_t end[5] = {start[0] + a, start[1] + b, start[2] + c, start[3] + d, start[4] + e};
    for (int i = 0; i < 20; i++) {
        ret_digest[i] = (uint8_t)(end[i / 4] >> (24 - 8 * (i % 4)));
    }
}

/* A cheap stand-in for SHA-1: two rounds of splitmix64 over the first 8 bytes of the name. */
static void
cheap_hash(const uint8_t *name, uint32_t i, uint8_t *ret_name) {
    uint64_t state;
    memcpy(&state, name, sizeof state);
    state += (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    state = (state ^ (state >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    state = (state ^ (state >> 27)) * UINT64_C(0x94d049bb133111eb);
    state ^= state >> 31;
    memcpy(ret_name, &state, sizeof state);
    memcpy(ret_name + 12, &state, sizeof state);
}

void
exec_tree_root(const exec_tree *tree, exec_node *ret_root) {
    uint8_t seed[20] = {0};
    seed[19] = 19; /* the seed of T1 */
    memset(ret_root, 0, sizeof *ret_root);
    if (tree->sha1) {
        sha1_short(seed, sizeof seed, ret_root->name);
    } else {
        cheap_hash(ret_root->name, 1, ret_root->name); /* a seed whose tree is of a fair size */
    }
}

int
exec_tree_children(const exec_tree *tree, const exec_node *node) {
    if (node->depth >= tree->depth) {
        return 0;
    }
    uint32_t draw = ((uint32_t)node->name[16] << 24 | (uint32_t)node->name[17] << 16 |
                     (uint32_t)node->name[18] << 8 | node->name[19]) &
                    0x7fffffff;
    double p = 1.0 / (1.0 + tree->branching);
    int children = (int)floor(log(1.0 - draw / 2147483648.0) / log(1.0 - p));
    return children < 100 ? children : 100;
}

void
exec_tree_child(const exec_tree *tree, const exec_node *node, int i, exec_node *ret_child) {
    ret_child->depth = node->depth + 1;
    if (!tree->sha1) {
        cheap_hash(node->name, (uint32_t)i, ret_child->name);
        return;
    }
    uint8_t named[24];
    memcpy(named, node->name, 20);
    named[20] = (uint8_t)(i >> 24);
    named[21] = (uint8_t)(i >> 16);
    named[22] = (uint8_t)(i >> 8);
    named[23] = (uint8_t)i;
    sha1_short(named, sizeof named, ret_child->name);
}

uint64_t
exec_fib_calls(int n) {
    /* spawns(n) = 1 + spawns(n - 1) + spawns(n - 2) */
    uint64_t before = 0, now = 0;
    for (int i = 2; i <= n; i++) {
        uint64_t next = 1 + now + before;
        before = now;
        now = next;
    }
    return now;
}

/* ---- Merge sort ---- */

enum { INSERTION_ITEMS = 24 };

void
exec_merge(int32_t *items, int32_t *scratch, uint64_t middle, uint64_t count) {
    memcpy(scratch, items, middle * sizeof *items);
    uint64_t left = 0, right = middle, to = 0;
    while (left < middle && right < count) {
        items[to++] = items[right] < scratch[left] ? items[right++] : scratch[left++];
    }
    memcpy(items + to, scratch + left, (middle - left) * sizeof *items);
}

void
exec_sort_serial(int32_t *items, int32_t *scratch, uint64_t count) {
    if (count <= INSERTION_ITEMS) {
        for (uint64_t i = 1; i < count; i++) {
            int32_t item = items[i];
            uint64_t at = i;
            for (; at > 0 && items[at - 1] > item; at--) {
                items[at] = items[at - 1];
            }
            items[at] = item;
        }
        return;
    }
    uint64_t middle = count / 2;
    exec_sort_serial(items, scratch, middle);
    exec_sort_serial(items + middle, scratch + middle, count - middle);
    exec_merge(items, scratch, middle, count);
}

/* ---- Dense work ---- */

void
exec_matmul_rows(const float *a, const float *b, float *c, int first, int end) {
    for (int row = first; row < end; row++) {
        float *to = c + (size_t)row * EXEC_MATMUL_N;
        memset(to, 0, EXEC_MATMUL_N * sizeof *to);
        for (int k = 0; k < EXEC_MATMUL_N; k++) {
            float factor = a[(size_t)row * EXEC_MATMUL_N + (size_t)k];
            const float *from = b + (size_t)k * EXEC_MATMUL_N;
            for (int column = 0; column < EXEC_MATMUL_N; column++) {
                to[column] += factor * from[column];
            }
        }
    }
}

uint64_t
exec_mandel_rows(int first, int end) {
    uint64_t sum = 0;
    for (int row = first; row < end; row++) {
        for (int column = 0; column < EXEC_MANDEL_SIDE; column++) {
            double cr = -2.0 + 3.0 * column / EXEC_MANDEL_SIDE;
            double ci = -1.5 + 3.0 * row / EXEC_MANDEL_SIDE;
            double zr = 0, zi = 0;
            int depth = 0;
            for (; depth < EXEC_MANDEL_DEPTH && zr * zr + zi * zi <= 4.0; depth++) {
                double next = zr * zr - zi * zi + cr;
                zi = 2 * zr * zi + ci;
                zr = next;
            }
            sum += (uint64_t)depth;
        }
    }
    return sum;
}
