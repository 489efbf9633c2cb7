// SPDX-License-Identifier: MPL-2.0
// More kernels of skua-perf gpu and select, whose data decide how long they take: a sum, a stencil, a histogram, and hashes. All of
// them count in whole numbers or in fractions that are exact, so that devices and cores must agree to the last bit.
#include "gpu_works.h"

#include <stdlib.h>
#include <string.h>

enum {
    SUM_RUN = 256,        /* elements that one work-item adds up */
    HISTOGRAM_RUN = 4096, /* bytes that one work-item counts */
    BINS = 256,
    MESSAGE_BYTES = 64,
    DIGEST_BYTES = 32,
    KNOWN_EVERY = 16, /* of the messages one in so many is known: 64 times 'a' */
};

static uint64_t
runs_of(uint32_t size, uint32_t run) {
    return ((uint64_t)size + run - 1) / run;
}

static uint64_t
end_of(uint64_t item, uint32_t run, uint32_t size) {
    uint64_t end = (item + 1) * run;
    return end < size ? end : size;
}

static bool
pieces_of(gpu_job *job, uint32_t run) {
    job->dims = 1;
    job->global[0] = runs_of(job->size, run);
    return true;
}

/* ---- reduction: the sums of runs of 256 numbers ---- */

static int
do_reduction(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint32_t *out = call->args[0];
    const uint32_t *x = call->args[1];
    uint32_t size = gpu_value_of(call, 2);
    for (uint64_t item = call->begin; item < call->end; item++) {
        uint32_t sum = 0;
        uint64_t end = end_of(item, SUM_RUN, size);
        for (uint64_t i = item * SUM_RUN; i < end; i++) {
            sum += x[i];
        }
        out[item] = sum;
    }
    return 0;
}

static bool
prepare_reduction(gpu_job *job) {
    uint32_t *x = gpu_memory_of(job, 1, (size_t)job->size * sizeof *x);
    for (uint32_t i = 0; x && i < job->size; i++) {
        x[i] = i;
    }
    gpu_set_value(job, 2, job->size);
    job->amount = (double)job->size * sizeof *x;
    return x && gpu_memory_of(job, 0, runs_of(job->size, SUM_RUN) * sizeof *x) &&
           pieces_of(job, SUM_RUN);
}

static bool
is_reduction_right(const gpu_job *job) {
    const uint32_t *out = job->args[0].data;
    uint32_t all = 0;
    for (uint64_t i = 0; i < job->global[0]; i++) {
        all += out[i];
    }
    return all == (uint32_t)((uint64_t)job->size * (job->size - 1) / 2);
}

/* ---- stencil: each point of a square and its four neighbours; beyond the edge the point itself stands for them ---- */

static void
stencil_row(float *to, const float *above, const float *row, const float *below, uint32_t width,
            uint32_t first, uint32_t end) {
    for (uint32_t x = first; x < end; x++) {
        float left = row[x > 0 ? x - 1 : x], right = row[x + 1 < width ? x + 1 : x];
        to[x] = (4 * row[x] + left + right + above[x] + below[x]) * 0.125F;
    }
}

static int
do_stencil(const skua_kernel_call *call, void *arg) {
    (void)arg;
    float *out = call->args[0];
    const float *in = call->args[1];
    uint32_t width = gpu_value_of(call, 2);
    for (uint64_t at = call->begin; at < call->end;) {
        uint64_t y = at / width;
        uint32_t first = (uint32_t)(at % width);
        uint32_t end = call->end - y * width < width ? (uint32_t)(call->end - y * width) : width;
        const float *row = in + y * width;
        const float *above = y > 0 ? row - width : row, *below = y + 1 < width ? row + width : row;
        if (first == 0 && end == width && width > 2) { /* the middle has no edges to look at */
            stencil_row(out + y * width, above, row, below, width, 0, 1);
            float *to = out + y * width;
            for (uint32_t x = 1; x + 1 < width; x++) {
                to[x] = (4 * row[x] + row[x - 1] + row[x + 1] + above[x] + below[x]) * 0.125F;
            }
            first = width - 1;
        }
        stencil_row(out + y * width, above, row, below, width, first, end);
        at = y * width + end;
    }
    return 0;
}

static float
stencil_input(uint64_t at) {
    return (float)(at * 7 % 64);
}

static bool
prepare_stencil(gpu_job *job) {
    uint64_t points = (uint64_t)job->size * job->size;
    float *in = gpu_memory_of(job, 1, points * sizeof *in);
    for (uint64_t i = 0; in && i < points; i++) {
        in[i] = stencil_input(i);
    }
    gpu_set_value(job, 2, job->size);
    job->dims = 1;
    job->global[0] = points;
    job->amount = 2.0 * (double)points * sizeof *in;
    return in && gpu_memory_of(job, 0, points * sizeof *in);
}

static bool
is_stencil_right(const gpu_job *job) {
    const float *out = job->args[0].data;
    uint64_t n = job->size;
    for (uint64_t at = 0; at < n * n; at++) {
        float sum = 4 * stencil_input(at);
        sum +=
            stencil_input(at % n > 0 ? at - 1 : at) + stencil_input(at % n + 1 < n ? at + 1 : at);
        sum += stencil_input(at >= n ? at - n : at) + stencil_input(at + n < n * n ? at + n : at);
        if (out[at] != sum * 0.125F) {
            return false;
        }
    }
    return true;
}

/* ---- histogram: how often each byte occurs in each run of 4096 bytes ---- */

static int
do_histogram(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint32_t *out = call->args[0];
    const uint8_t *bytes = call->args[1];
    uint32_t size = gpu_value_of(call, 2);
    for (uint64_t item = call->begin; item < call->end; item++) {
        uint32_t *bins = out + item * BINS;
        memset(bins, 0, BINS * sizeof *bins);
        uint64_t end = end_of(item, HISTOGRAM_RUN, size);
        for (uint64_t i = item * HISTOGRAM_RUN; i < end; i++) {
            bins[bytes[i]]++;
        }
    }
    return 0;
}

static uint8_t
histogram_input(uint32_t at) {
    return (uint8_t)(at * 2654435761U >> 24);
}

static bool
prepare_histogram(gpu_job *job) {
    uint8_t *bytes = gpu_memory_of(job, 1, job->size);
    for (uint32_t i = 0; bytes && i < job->size; i++) {
        bytes[i] = histogram_input(i);
    }
    gpu_set_value(job, 2, job->size);
    job->amount = job->size;
    return bytes &&
           gpu_memory_of(job, 0, runs_of(job->size, HISTOGRAM_RUN) * BINS * sizeof(uint32_t)) &&
           pieces_of(job, HISTOGRAM_RUN);
}

static bool
is_histogram_right(const gpu_job *job) {
    const uint32_t *out = job->args[0].data;
    for (uint64_t item = 0; item < job->global[0]; item++) {
        uint32_t wanted[BINS] = {0};
        for (uint64_t i = item * HISTOGRAM_RUN; i < end_of(item, HISTOGRAM_RUN, job->size); i++) {
            wanted[histogram_input((uint32_t)i)]++;
        }
        if (memcmp(wanted, out + item * BINS, sizeof wanted) != 0) {
            return false;
        }
    }
    return true;
}

/* ---- sha256 of messages of 64 bytes (FIPS 180-4), written once and compiled twice ---- */

/* What C lacks of OpenCL C. */
#define global
#define constant static const
typedef uint8_t uchar;
typedef uint32_t uint;
typedef uint64_t ulong;

/* Compiles its last argument here, and makes it a string too, followed by tail. */
#define TWICE(name, tail, ...)                                                                     \
    __VA_ARGS__                                                                                    \
    static const char name[] = #__VA_ARGS__ tail;

// clang-format off
TWICE(sha256_source,
    "\nkernel void sha256(global uchar *out, global const uchar *bytes, SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    ulong i = get_global_id(0);\n"
    "    digest_message(bytes + i * 64, out + i * 32);\n"
    "}\n",

constant uint cube_roots[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint rotated(uint x, uint by) { return x >> by | x << (32 - by); }

static void compress(uint *state, uint *window) {
    uint a = state[0];
    uint b = state[1];
    uint c = state[2];
    uint d = state[3];
    uint e = state[4];
    uint f = state[5];
    uint g = state[6];
    uint h = state[7];
    for (uint t = 0; t < 64; t++) {
        uint w = window[t & 15];
        uint w1 = window[(t + 1) & 15];
        uint w14 = window[(t + 14) & 15];
        uint sum = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + (g ^ (e & (f ^ g))) + cube_roots[t] + w;
        uint extra = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) | (c & (a | b)));
        window[t & 15] = w + (rotated(w1, 7) ^ rotated(w1, 18) ^ w1 >> 3) + window[(t + 9) & 15] +
                         (rotated(w14, 17) ^ rotated(w14, 19) ^ w14 >> 10);
        h = g;
        g = f;
        f = e;
        e = d + sum;
        d = c;
        c = b;
        b = a;
        a = sum + extra;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

static void digest_message(global const uchar *message, global uchar *digest) {
    uint state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint window[16];
    for (uint i = 0; i < 16; i++) {
        window[i] = (uint)message[4 * i] << 24 | (uint)message[4 * i + 1] << 16 |
                    (uint)message[4 * i + 2] << 8 | (uint)message[4 * i + 3];
    }
    compress(state, window);
    for (uint i = 0; i < 16; i++) { window[i] = i == 0 ? 0x80000000 : i == 15 ? 512 : 0; }
    compress(state, window);
    for (uint i = 0; i < 32; i++) { digest[i] = (uchar)(state[i / 4] >> (24 - 8 * (i & 3))); }
}
)
// clang-format on
#undef global /* a member of gpu_job is called so */
#undef constant

static int
do_sha256(const skua_kernel_call *call, void *arg) {
    (void)arg;
    uint8_t *out = call->args[0];
    const uint8_t *bytes = call->args[1];
    for (uint64_t i = call->begin; i < call->end; i++) {
        digest_message(bytes + i * MESSAGE_BYTES, out + i * DIGEST_BYTES);
    }
    return 0;
}

static bool
prepare_sha256(gpu_job *job) {
    uint8_t *bytes = gpu_memory_of(job, 1, (size_t)job->size * MESSAGE_BYTES);
    for (uint32_t i = 0; bytes && i < job->size; i++) {
        for (uint32_t j = 0; j < MESSAGE_BYTES; j++) {
            bytes[i * MESSAGE_BYTES + j] =
                i % KNOWN_EVERY == 0 ? 'a' : (uint8_t)((i + j) * 2654435761U >> 23);
        }
    }
    job->amount = (double)job->size * MESSAGE_BYTES;
    job->dims = 1;
    job->global[0] = job->size;
    return bytes && gpu_memory_of(job, 0, (size_t)job->size * DIGEST_BYTES);
}

static bool
is_sha256_right(const gpu_job *job) {
    static const uint8_t known[DIGEST_BYTES] = {0xff, 0xe0, 0x54, 0xfe, 0x7a, 0xe0, 0xcb, 0x6d,
                                                0xc6, 0x5c, 0x3a, 0xf9, 0xb6, 0x1d, 0x52, 0x09,
                                                0xf4, 0x39, 0x85, 0x1d, 0xb4, 0x3d, 0x0b, 0xa5,
                                                0x99, 0x73, 0x37, 0xdf, 0x15, 0x46, 0x68, 0xeb};
    const uint8_t *out = job->args[0].data, *bytes = job->args[1].data;
    for (uint32_t i = 0; i < job->size; i++) {
        uint8_t twin[DIGEST_BYTES];
        digest_message(bytes + (size_t)i * MESSAGE_BYTES, twin);
        if (memcmp(out + (size_t)i * DIGEST_BYTES, i % KNOWN_EVERY == 0 ? known : twin,
                   DIGEST_BYTES) != 0) {
            return false;
        }
    }
    return true;
}

/* ---- The list ---- */

const gpu_work gpu_works_data[GPU_WORKS_DATA] = {
    {.name = "reduction",
     .source =
         "kernel void reduction(global uint *out, global const uint *x, uint size, SKUA_SIZE) {\n"
         "    SKUA_GUARD();\n"
         "    uint item = get_global_id(0), sum = 0, end = min(size, (item + 1) * 256);\n"
         "    for (uint i = item * 256; i < end; i++) { sum += x[i]; }\n"
         "    out[item] = sum;\n"
         "}\n",
     .params = {SKUA_PARAM_OUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE},
     .param_count = 3,
     .guarded = true,
     .fn = do_reduction,
     .operations = SUM_RUN,
     .prepare = prepare_reduction,
     .is_right = is_reduction_right},
    {.name = "stencil",
     .source =
         "kernel void stencil(global float *out, global const float *in, uint width, SKUA_SIZE) {\n"
         "    SKUA_GUARD();\n"
         "    uint at = get_global_id(0), x = at % width, y = at / width;\n"
         "    float left = in[x > 0 ? at - 1 : at], right = in[x + 1 < width ? at + 1 : at];\n"
         "    float above = in[y > 0 ? at - width : at];\n"
         "    float below = in[y + 1 < width ? at + width : at];\n"
         "    out[at] = (4 * in[at] + left + right + above + below) * 0.125f;\n"
         "}\n",
     .params = {SKUA_PARAM_OUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE},
     .param_count = 3,
     .guarded = true,
     .fn = do_stencil,
     .operations = 6,
     .prepare = prepare_stencil,
     .is_right = is_stencil_right},
    {.name = "histogram",
     .source = "kernel void histogram(global uint *out, global const uchar *bytes, uint size, "
               "SKUA_SIZE) {\n"
               "    SKUA_GUARD();\n"
               "    uint item = get_global_id(0), end = min(size, (item + 1) * 4096);\n"
               "    global uint *bins = out + item * 256;\n"
               "    for (uint i = 0; i < 256; i++) { bins[i] = 0; }\n"
               "    for (uint i = item * 4096; i < end; i++) { bins[bytes[i]]++; }\n"
               "}\n",
     .params = {SKUA_PARAM_OUT, SKUA_PARAM_IN, SKUA_PARAM_VALUE},
     .param_count = 3,
     .guarded = true,
     .fn = do_histogram,
     .operations = HISTOGRAM_RUN,
     .prepare = prepare_histogram,
     .is_right = is_histogram_right},
    {.name = "sha256",
     .source = sha256_source,
     .params = {SKUA_PARAM_OUT, SKUA_PARAM_IN},
     .param_count = 2,
     .guarded = true,
     .fn = do_sha256,
     .operations = 5000,
     .prepare = prepare_sha256,
     .is_right = is_sha256_right},
};
