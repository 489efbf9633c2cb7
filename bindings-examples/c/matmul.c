// SPDX-License-Identifier: MPL-2.0
// Multiplies two matrices on the cores and the devices together, a band of rows in each launch, and checks every entry against a plain
// loop in double precision. Usage: matmul [N [cores|cpu|device [TRACE.json]]]
#include "machine.h"
#include <math.h>

enum { N = 201, N_MAX = 2000, BAND_ROWS = 32, BANDS_MAX = (N_MAX + BAND_ROWS - 1) / BAND_ROWS };

static const char source[] =
    "kernel void matmul(global float *c, global const float *a, global const float *b, uint n,\n"
    "                   SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    size_t row = get_global_id(0), column = get_global_id(1);\n"
    "    float sum = 0;\n"
    "    for (uint k = 0; k < n; k++) {\n"
    "        sum += a[row * n + k] * b[k * n + column];\n"
    "    }\n"
    "    c[row * n + column] = sum;\n"
    "}\n";

/* The same for cores: rows begin to end-1 of the band. */
static int
rows(const skua_kernel_call *call, void *arg) {
    (void)arg;
    float *c = call->args[0];
    const float *a = call->args[1], *b = call->args[2];
    uint64_t n = call->global[1];
    for (uint64_t row = call->begin; row < call->end; row++) {
        memset(c + row * n, 0, n * sizeof *c);
        for (uint64_t k = 0; k < n; k++) {
            for (uint64_t column = 0; column < n; column++) {
                c[row * n + column] += a[row * n + k] * b[k * n + column];
            }
        }
    }
    return 0;
}

/* A peer may send any sizes: the matrices must be as large as the launch says. */
static int
check(const skua_launch *launch, void *arg) {
    (void)arg;
    uint64_t n = launch->global[1], band = launch->global[0] * n * sizeof(float);
    return n > N_MAX || launch->args[0].bytes != band || launch->args[1].bytes != band ||
           launch->args[2].bytes != n * n * sizeof(float) || launch->args[3].bytes != 4;
}

static void
multiply(const machine *on, uint32_t n, float *c, float *a, float *b) {
    skua_pool_future *futures[BANDS_MAX];
    skua_error err;
    uint32_t bands = (n + BAND_ROWS - 1) / BAND_ROWS;
    for (int collect = 0; collect < 2; collect++) {
        for (uint32_t i = 0; i < bands; i++) {
            uint64_t first = (uint64_t)i * BAND_ROWS;
            uint64_t count = n - first < BAND_ROWS ? n - first : BAND_ROWS;
            const skua_kernel_arg args[] = {{.data = c + first * n, .bytes = count * n * sizeof *c},
                                            {.data = a + first * n, .bytes = count * n * sizeof *a},
                                            {.data = b, .bytes = (size_t)n * n * sizeof *b},
                                            {.value = &n, .bytes = sizeof n}};
            const skua_launch *launch =
                SKUA_LAUNCH(.kernel = "matmul", .dims = 2, .global = {count, n}, .args = args,
                            .arg_count = 4, .on = on->on);
            if (!collect) {
                must(skua_kernel_submit(on->pool, launch, &futures[i], &err), &err);
                continue;
            }
            must(skua_kernel_collect(on->pool, launch, futures[i], SKUA_UNLIMITED, &err), &err);
            skua_pool_future_free(futures[i]);
        }
    }
}

/* The largest difference to the plain loop. */
static double
worst(uint32_t n, const float *c, const float *a, const float *b) {
    double most = 0;
    for (uint32_t row = 0; row < n; row++) {
        for (uint32_t column = 0; column < n; column++) {
            double sum = 0;
            for (uint32_t k = 0; k < n; k++) {
                sum += (double)a[(size_t)row * n + k] * (double)b[(size_t)k * n + column];
            }
            most = fmax(most, fabs(sum - (double)c[(size_t)row * n + column]));
        }
    }
    return most;
}

int
main(int argc, char **argv) {
    uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : N;
    size_t entries = (size_t)n * n;
    float *a = calloc(entries, sizeof *a), *b = calloc(entries, sizeof *b);
    float *c = calloc(entries, sizeof *c);
    if (n == 0 || n > N_MAX || !a || !b || !c) {
        fprintf(stderr, "usage: matmul [N [cores|cpu|device [TRACE.json]]], with an N of 1 to %d\n",
                N_MAX);
        return 2;
    }
    for (size_t i = 0; i < entries; i++) {
        a[i] = (float)(i * 7919 % 1000) / 1000;
        b[i] = (float)(i * 104729 % 1000) / 1000 - 0.5F;
    }
    machine here;
    skua_error err;
    machine_open(&here, argc > 2 ? argv[2] : NULL, 0);
    machine_trace(&here, argc > 3 ? argv[3] : NULL);
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_IN, SKUA_PARAM_IN,
                                             SKUA_PARAM_VALUE};
    must(skua_kernel_register(here.pool, "matmul",
                              SKUA_KERNEL_SPEC(.source = source, .params = params, .param_count = 4,
                                               .guarded = 1, .fn = rows, .check = check,
                                               .work = 2.0 * n),
                              &err),
         &err);
    multiply(&here, n, c, a, b);
    uint64_t items = machine_tell_shares(&here, "matmul", stdout);
    double difference = worst(n, c, a, b);
    printf("%u x %u: differs by at most %g\n", n, n, difference);
    machine_close(&here);
    free(a);
    free(b);
    free(c);
    /* n sums of numbers below 1 in single precision. */
    return items == entries && difference < 1e-6 * n ? 0 : 1;
}
