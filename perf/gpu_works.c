// SPDX-License-Identifier: MPL-2.0
// The kernels of skua-perf gpu, their data and their checks.
#include "gpu_works.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAD_ROUNDS = 64, MANDEL_ROUNDS = 200 };

void *
gpu_memory_of(gpu_job *job, int i, size_t bytes) {
    void *data = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (data) {
        memset(data, 0xff, bytes);
        job->args[i] = (skua_kernel_arg){.data = data, .bytes = bytes};
    }
    return data;
}

static float *
memory_of(gpu_job *job, int i, size_t count) {
    return gpu_memory_of(job, i, count * sizeof(float));
}

void
gpu_set_value(gpu_job *job, int i, uint32_t value) {
    job->values[i] = value;
    job->args[i] = (skua_kernel_arg){.value = &job->values[i], .bytes = sizeof value};
}

uint32_t
gpu_value_of(const skua_kernel_call *call, int i) {
    uint32_t value;
    memcpy(&value, call->args[i], sizeof value);
    return value;
}

static bool
line(gpu_job *job) {
    job->dims = 1;
    job->global[0] = job->size;
    return true;
}

static bool
is_always_right(const gpu_job *job) {
    (void)job;
    return true;
}

/* ---- nothing ---- */

static int
do_nothing(const skua_kernel_call *call, void *arg) {
    (void)call;
    (void)arg;
    return 0;
}

/* ---- saxpy ---- */

static int
do_saxpy(const skua_kernel_call *call, void *arg) {
    (void)arg;
    float *y = call->args[0];
    const float *x = call->args[1];
    for (uint64_t i = call->begin; i < call->end; i++) {
        y[i] = 2 * x[i] + 1;
    }
    return 0;
}

static bool
prepare_saxpy(gpu_job *job) {
    float *x = memory_of(job, 1, job->size);
    for (uint32_t i = 0; x && i < job->size; i++) {
        x[i] = (float)(i % 1024);
    }
    job->amount = 2.0 * job->size * sizeof(float);
    return x && memory_of(job, 0, job->size) && line(job);
}

static bool
is_saxpy_right(const gpu_job *job) {
    const float *y = job->args[0].data;
    for (uint32_t i = 0; i < job->size; i++) {
        if (y[i] != 2 * (float)(i % 1024) + 1) {
            return false;
        }
    }
    return true;
}

/* ---- matmul: C = A B, square; entries are small integers, so that every order of adding gives the same ---- */

static int
do_matmul(const skua_kernel_call *call, void *arg) {
    (void)arg;
    float *c = call->args[0];
    const float *a = call->args[1], *b = call->args[2];
    uint64_t n = gpu_value_of(call, 3);
    for (uint64_t row = call->begin; row < call->end; row++) {
        memset(c + row * n, 0, n * sizeof *c);
        for (uint64_t k = 0; k < n; k++) {
            float factor = a[row * n + k];
            for (uint64_t column = 0; column < n; column++) {
                c[row * n + column] += factor * b[k * n + column];
            }
        }
    }
    return 0;
}

static float
entry_a(uint32_t row, uint32_t column) {
    return (float)((row + column) % 5);
}

static float
entry_b(uint32_t row, uint32_t column) {
    return (float)((row * 3 + column) % 7);
}

static bool
prepare_matmul(gpu_job *job) {
    uint32_t n = job->size;
    float *a = memory_of(job, 1, (size_t)n * n), *b = memory_of(job, 2, (size_t)n * n);
    for (uint32_t i = 0; a && b && i < n * n; i++) {
        a[i] = entry_a(i / n, i % n);
        b[i] = entry_b(i / n, i % n);
    }
    gpu_set_value(job, 3, n);
    job->dims = 2;
    job->global[0] = job->global[1] = n;
    job->amount = 2.0 * n * n * n;
    return a && b && memory_of(job, 0, (size_t)n * n);
}

static bool
is_matmul_right(const gpu_job *job) {
    uint32_t n = job->size;
    const float *c = job->args[0].data;
    for (uint32_t at = 0; at<n * n; at += n> 64 ? 97 : 1) {
        double sum = 0;
        for (uint32_t k = 0; k < n; k++) {
            sum += (double)entry_a(at / n, k) * entry_b(k, at % n);
        }
        if (fabs(sum - (double)c[at]) > 0.5) {
            return false;
        }
    }
    return true;
}

/* ---- mandelbrot: iterations of each point of a square ---- */

static int
do_mandelbrot(const skua_kernel_call *call, void *arg) {
    (void)arg;
    float *out = call->args[0];
    uint32_t width = gpu_value_of(call, 1);
    float scale = 3.0F / (float)width;
    for (uint64_t i = call->begin; i < call->end; i++) {
        float re = (float)(i % width) * scale - 2.25F, im = (float)(i / width) * scale - 1.5F;
        float x = 0, y = 0;
        int n = 0;
        for (; n < MANDEL_ROUNDS && x * x + y * y < 4; n++) {
            float next = x * x - y * y + re;
            y = 2 * x * y + im;
            x = next;
        }
        out[i] = (float)n;
    }
    return 0;
}

static bool
prepare_mandelbrot(gpu_job *job) {
    size_t pixels = (size_t)job->size * job->size;
    gpu_set_value(job, 1, job->size);
    job->dims = 1;
    job->global[0] = pixels;
    return memory_of(job, 0, pixels) != NULL;
}

/* The middle is in the set, the corner is not. */
static bool
is_mandelbrot_right(const gpu_job *job) {
    const float *out = job->args[0].data;
    size_t middle = (size_t)(job->size / 2) * job->size + job->size * 2 / 3;
    return out[middle] == MANDEL_ROUNDS && out[0] == 1;
}

/* ---- mad: nothing but arithmetic, as gpu/probe does it ---- */

static int
do_mad(const skua_kernel_call *call, void *arg) {
    (void)arg;
    float *out = call->args[0];
    for (uint64_t i = call->begin; i < call->end; i++) {
        float s[16];
        for (int lane = 0; lane < 16; lane++) {
            s[lane] = 0.5F + (float)(lane / 4);
        }
        for (int round = 0; round < MAD_ROUNDS * 4; round++) {
            for (int lane = 0; lane < 16; lane++) {
                s[lane] = s[lane] * 0.5F + 0.5F;
            }
        }
        out[i] = 0;
        for (int lane = 0; lane < 16; lane++) {
            out[i] += s[lane];
        }
    }
    return 0;
}

static bool
prepare_mad(gpu_job *job) {
    job->amount = 2.0 * 16 * MAD_ROUNDS * 4 * job->size;
    return memory_of(job, 0, job->size) && line(job);
}

/* Every lane runs to 1. */
static bool
is_mad_right(const gpu_job *job) {
    const float *out = job->args[0].data;
    for (uint32_t i = 0; i < job->size; i++) {
        if (fabsf(out[i] - 16) > 0.01F) {
            return false;
        }
    }
    return true;
}

static const gpu_work works[] = {
    {.name = "nothing",
     .source = "kernel void nothing() {}\n",
     .fn = do_nothing,
     .prepare = line,
     .is_right = is_always_right},
    {.name = "saxpy",
     .source = "kernel void saxpy(global float *y, global const float *x, SKUA_SIZE) {\n"
               "    SKUA_GUARD();\n"
               "    size_t i = get_global_id(0);\n"
               "    y[i] = 2 * x[i] + 1;\n"
               "}\n",
     .params = {SKUA_PARAM_OUT, SKUA_PARAM_IN},
     .param_count = 2,
     .guarded = true,
     .fn = do_saxpy,
     .operations = 2,
     .prepare = prepare_saxpy,
     .is_right = is_saxpy_right},
    {.name = "matmul",
     .source = "kernel void matmul(global float *c, global const float *a, global const float *b,\n"
               "                   uint n, SKUA_SIZE) {\n"
               "    SKUA_GUARD();\n"
               "    size_t row = get_global_id(0), column = get_global_id(1);\n"
               "    float sum = 0;\n"
               "    for (uint k = 0; k < n; k++) { sum += a[row * n + k] * b[k * n + column]; }\n"
               "    c[row * n + column] = sum;\n"
               "}\n",
     .params = {SKUA_PARAM_OUT, SKUA_PARAM_IN, SKUA_PARAM_IN, SKUA_PARAM_VALUE},
     .param_count = 4,
     .guarded = true,
     .fn = do_matmul,
     .prepare = prepare_matmul,
     .is_right = is_matmul_right},
    {.name = "mandelbrot",
     .source = "kernel void mandelbrot(global float *out, uint width, SKUA_SIZE) {\n"
               "    SKUA_GUARD();\n"
               "    uint i = get_global_id(0);\n"
               "    float scale = 3.0f / width;\n"
               "    float re = (i % width) * scale - 2.25f, im = (i / width) * scale - 1.5f;\n"
               "    float x = 0, y = 0;\n"
               "    int n = 0;\n"
               "    for (; n < 200 && x * x + y * y < 4; n++) {\n"
               "        float next = x * x - y * y + re;\n"
               "        y = 2 * x * y + im;\n"
               "        x = next;\n"
               "    }\n"
               "    out[i] = n;\n"
               "}\n",
     .params = {SKUA_PARAM_OUT, SKUA_PARAM_VALUE},
     .param_count = 2,
     .guarded = true,
     .fn = do_mandelbrot,
     .operations = 500,
     .prepare = prepare_mandelbrot,
     .is_right = is_mandelbrot_right},
    {.name = "mad",
     .source =
         "#define MAD4 x = mad(x, h, h); y = mad(y, h, h); z = mad(z, h, h); w = mad(w, h, h);\n"
         "kernel void mad16(global float *out, SKUA_SIZE) {\n"
         "    SKUA_GUARD();\n"
         "    float4 x = 0.5f, y = 1.5f, z = 2.5f, w = 3.5f;\n"
         "    const float4 h = 0.5f;\n"
         "    for (int i = 0; i < 64; i++) { MAD4 MAD4 MAD4 MAD4 }\n"
         "    float4 s = x + y + z + w;\n"
         "    out[get_global_id(0)] = s.x + s.y + s.z + s.w;\n"
         "}\n",
     .params = {SKUA_PARAM_OUT},
     .param_count = 1,
     .guarded = true,
     .fn = do_mad,
     .operations = 2.0 * 16 * MAD_ROUNDS * 4,
     .prepare = prepare_mad,
     .is_right = is_mad_right},
};
enum { WORKS = sizeof works / sizeof works[0] };

const gpu_work *
gpu_work_at(size_t i) {
    return i < WORKS ? &works[i] : i < WORKS + GPU_WORKS_DATA ? &gpu_works_data[i - WORKS] : NULL;
}

const gpu_work *
gpu_work_named(const char *name) {
    size_t i = 0;
    const gpu_work *work = gpu_work_at(i);
    while (work && strcmp(work->name, name) != 0) {
        work = gpu_work_at(++i);
    }
    return work;
}

bool
gpu_job_init(gpu_job *job, const gpu_work *work, uint32_t size) {
    *job = (gpu_job){.work = work, .size = size, .global = {1, 1, 1}};
    return work->prepare(job);
}

void
gpu_job_fini(gpu_job *job) {
    for (uint32_t i = 0; i < GPU_PARAMS_MAX; i++) {
        free(job->args[i].data);
    }
}

skua_kernel_spec
gpu_spec_of(const gpu_work *work) {
    /* An entry of its own where the name is a built-in function of OpenCL. */
    return *SKUA_KERNEL_SPEC(.source = work->source,
                             .entry = strcmp(work->name, "mad") == 0 ? "mad16" : work->name,
                             .params = work->params, .param_count = work->param_count,
                             .guarded = work->guarded, .fn = work->fn, .work = work->operations);
}

skua_launch
gpu_launch_of(const gpu_job *job) {
    return *SKUA_LAUNCH(.kernel = job->work->name, .dims = job->dims,
                        .arg_count = job->work->param_count, .args = job->args,
                        .global = {job->global[0], job->global[1], job->global[2]});
}
