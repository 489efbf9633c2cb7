// SPDX-License-Identifier: MPL-2.0
// Renders the Mandelbrot set on the cores and on every OpenCL device together, band by band, into a PNG, and tells who
// did how much. Usage: mandelbrot [FILE.png [WIDTH [cores|cpu|device]]]. Without a device the cores do it all.
#include "machine.h"
#include "png.h"

enum { WIDTH = 480, WIDTH_MAX = 8192, BAND_ROWS = 16, ITERATIONS = 400, BANDS_MAX = 512 };

/* The same work twice: for devices, and for cores. Each work-item is one pixel of the band. */
static const char source[] =
    "kernel void mandelbrot(global uchar *out, uint width, uint first_row, SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    uint i = get_global_id(0);\n"
    "    float scale = 3.0f / width;\n"
    "    float re = (i % width) * scale - 2.2f, im = (first_row + i / width) * scale - 1.125f;\n"
    "    float x = 0, y = 0;\n"
    "    uint n = 0;\n"
    "    for (; n < 400 && x * x + y * y < 4; n++) {\n"
    "        float next = x * x - y * y + re;\n"
    "        y = 2 * x * y + im;\n"
    "        x = next;\n"
    "    }\n"
    "    out[i] = n == 400 ? 0 : 255 - (n * 7) % 256;\n"
    "}\n";

static int
band(const skua_kernel_call *call, void *arg) {
    (void)arg;
    unsigned char *out = call->args[0];
    uint32_t width, first_row;
    memcpy(&width, call->args[1], sizeof width);
    memcpy(&first_row, call->args[2], sizeof first_row);
    float scale = 3.0F / (float)width;
    for (uint64_t i = call->begin; i < call->end; i++) {
        float re = (float)(i % width) * scale - 2.2F;
        float im = (float)(first_row + i / width) * scale - 1.125F;
        float x = 0, y = 0;
        uint32_t n = 0;
        for (; n < ITERATIONS && x * x + y * y < 4; n++) {
            float next = x * x - y * y + re;
            y = 2 * x * y + im;
            x = next;
        }
        out[i] = (unsigned char)(n == ITERATIONS ? 0 : 255 - (n * 7) % 256);
    }
    return 0;
}

/* Refuses launches, of peers too, whose band is shorter than its pixels. */
static int
check(const skua_launch *launch, void *arg) {
    (void)arg;
    return launch->args[0].bytes < launch->global[0] || launch->args[1].bytes != 4 ||
           launch->args[2].bytes != 4;
}

static void
render(const machine *on, unsigned char *pixels, uint32_t width, uint32_t height) {
    skua_pool_future *futures[BANDS_MAX];
    uint32_t bands = (height + BAND_ROWS - 1) / BAND_ROWS;
    skua_error err;
    for (int collect = 0; collect < 2; collect++) {
        for (uint32_t i = 0; i < bands; i++) {
            uint32_t first = i * BAND_ROWS;
            uint32_t rows = height - first < BAND_ROWS ? height - first : BAND_ROWS;
            const skua_kernel_arg args[] = {
                {.data = pixels + (size_t)first * width, .bytes = (size_t)rows * width},
                {.value = &width, .bytes = sizeof width},
                {.value = &first, .bytes = sizeof first}};
            const skua_launch *launch =
                SKUA_LAUNCH(.kernel = "mandelbrot", .global = {(uint64_t)rows * width},
                            .args = args, .arg_count = 3, .on = on->on);
            if (!collect) {
                must(skua_kernel_submit(on->pool, launch, &futures[i], &err), &err);
                continue;
            }
            must(skua_kernel_collect(on->pool, launch, futures[i], SKUA_UNLIMITED, &err), &err);
            skua_pool_future_free(futures[i]);
        }
    }
}

int
main(int argc, char **argv) {
    uint32_t width = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : WIDTH;
    uint32_t height = width * 3 / 4;
    if (width < 16 || width > WIDTH_MAX) {
        fprintf(stderr, "usage: mandelbrot [FILE.png [WIDTH [cores|cpu|device]]], WIDTH 16 to %d\n",
                WIDTH_MAX);
        return 2;
    }
    unsigned char *pixels = calloc(height, width);
    if (!pixels) {
        perror("mandelbrot");
        return 1;
    }
    machine here;
    skua_error err;
    machine_open(&here, argc > 3 ? argv[3] : NULL);
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_VALUE, SKUA_PARAM_VALUE};
    must(skua_kernel_register(here.pool, "mandelbrot",
                              SKUA_KERNEL_SPEC(.source = source, .params = params, .param_count = 3,
                                               .guarded = 1, .fn = band, .check = check,
                                               .work = 1000),
                              &err),
         &err);
    render(&here, pixels, width, height);
    /* The middle of the set is black, the corner is not, and nobody's pixels are missing. */
    bool good = machine_tell_shares(&here, "mandelbrot", stdout) == (uint64_t)width * height &&
                pixels[(size_t)height / 2 * width + width / 2] == 0 && pixels[0] != 0;
    if (argc > 1) {
        good = png_write(argv[1], pixels, width, height) == 0 && good;
    }
    free(pixels);
    machine_close(&here);
    return good ? 0 : 1;
}
