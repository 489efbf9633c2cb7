// SPDX-License-Identifier: MPL-2.0
// Renders the Mandelbrot set on the cores, every OpenCL device and peers together into a PNG, and tells who did how much. Each
// band of the picture is one launch, which the pool splits by what it has measured of each.
//   mandelbrot [FILE.png [WIDTH [all|cores|cpu|device [PEERS [TRACE.json]]]]]    waits for so many peers before
//   mandelbrot serve [all|cores|cpu|device]                                      is one, until its standard input ends
#include "machine.h"
#include "png.h"

enum { WIDTH = 480, WIDTH_MAX = 8192, BANDS = 8, ITERATIONS = 400, AWAIT_MS = 20000 };

/* The same work twice: for devices, and for cores. Each work-item is one pixel; the first dimension is the rows of the band. */
static const char source[] =
    "kernel void mandelbrot(global uchar *out, uint width, uint first_row, SKUA_SIZE) {\n"
    "    SKUA_GUARD();\n"
    "    size_t row = get_global_id(0), column = get_global_id(1);\n"
    "    float scale = 3.0f / width;\n"
    "    float re = column * scale - 2.2f, im = (first_row + row) * scale - 1.125f;\n"
    "    float x = 0, y = 0;\n"
    "    uint n = 0;\n"
    "    for (; n < 400 && x * x + y * y < 4; n++) {\n"
    "        float next = x * x - y * y + re;\n"
    "        y = 2 * x * y + im;\n"
    "        x = next;\n"
    "    }\n"
    "    out[row * width + column] = n == 400 ? 0 : 255 - (n * 7) % 256;\n"
    "}\n";

static unsigned char
shade(float re, float im) {
    float x = 0, y = 0;
    uint32_t n = 0;
    for (; n < ITERATIONS && x * x + y * y < 4; n++) {
        float next = x * x - y * y + re;
        y = 2 * x * y + im;
        x = next;
    }
    return (unsigned char)(n == ITERATIONS ? 0 : 255 - (n * 7) % 256);
}

static int
rows(const skua_kernel_call *call, void *arg) {
    (void)arg;
    unsigned char *out = call->args[0];
    uint32_t width, first_row;
    memcpy(&width, call->args[1], sizeof width);
    memcpy(&first_row, call->args[2], sizeof first_row);
    float scale = 3.0F / (float)width;
    for (uint64_t row = call->begin; row < call->end; row++) {
        for (uint64_t column = 0; column < width; column++) {
            out[row * width + column] =
                shade((float)column * scale - 2.2F, (float)(first_row + row) * scale - 1.125F);
        }
    }
    return 0;
}

/* Refuses launches, of peers too, whose band is not as large as its pixels. */
static int
check(const skua_launch *launch, void *arg) {
    (void)arg;
    uint32_t width;
    if (launch->dims != 2 || launch->args[1].bytes != 4 || launch->args[2].bytes != 4) {
        return 1;
    }
    memcpy(&width, launch->args[1].value, sizeof width);
    return width != launch->global[1] || launch->args[0].bytes != launch->global[0] * width;
}

static void
register_kernel(const machine *here) {
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_VALUE, SKUA_PARAM_VALUE};
    skua_error err;
    must(skua_kernel_register(here->pool, "mandelbrot",
                              SKUA_KERNEL_SPEC(.source = source, .params = params, .param_count = 3,
                                               .guarded = 1, .fn = rows, .check = check,
                                               .work = 1000, .sliced = 1 << 0),
                              &err),
         &err);
}

static void
render(const machine *on, unsigned char *pixels, uint32_t width, uint32_t height) {
    skua_error err;
    for (uint32_t band = 0; band < BANDS; band++) {
        uint32_t first = height * band / BANDS, end = height * (band + 1) / BANDS;
        const skua_kernel_arg args[] = {
            {.data = pixels + (size_t)first * width, .bytes = (size_t)(end - first) * width},
            {.value = &width, .bytes = sizeof width},
            {.value = &first, .bytes = sizeof first}};
        const skua_launch *launch =
            SKUA_LAUNCH(.kernel = "mandelbrot", .dims = 2, .global = {end - first, width},
                        .args = args, .arg_count = 3, .on = on->on, .split = 1);
        skua_pool_future *future;
        char parts[400];
        must(skua_kernel_submit(on->pool, launch, &future, &err), &err);
        must(skua_kernel_collect(on->pool, launch, future, SKUA_UNLIMITED, &err), &err);
        printf("rows %u to %u: %s\n", first, end - 1,
               skua_pool_explain(future, parts, sizeof parts));
        skua_pool_future_free(future);
    }
}

static int
serve(const char *mode) {
    machine here;
    machine_open(&here, mode, 1);
    register_kernel(&here);
    while (getchar() != EOF) {
    }
    machine_close(&here);
    return 0;
}

int
main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "serve") == 0) {
        return serve(argc > 2 ? argv[2] : NULL);
    }
    uint32_t width = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : WIDTH;
    uint32_t height = width * 3 / 4;
    int peers = argc > 4 ? atoi(argv[4]) : 0;
    if (width < 16 || width > WIDTH_MAX || peers < 0) {
        fprintf(stderr,
                "usage: mandelbrot [FILE.png [WIDTH [all|cores|cpu|device [PEERS [TRACE.json]]]]]\n"
                "       mandelbrot serve [all|cores|cpu|device]\n");
        return 2;
    }
    unsigned char *pixels = calloc(height, width);
    if (!pixels) {
        perror("mandelbrot");
        return 1;
    }
    machine here;
    skua_error err;
    machine_open(&here, argc > 3 ? argv[3] : NULL, peers);
    machine_trace(&here, argc > 5 ? argv[5] : NULL);
    register_kernel(&here);
    if (peers) {
        must(skua_pool_await_nodes(here.pool, "mandelbrot", (size_t)peers + 1, AWAIT_MS, &err),
             &err);
    }
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
