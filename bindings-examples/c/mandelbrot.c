// SPDX-License-Identifier: MPL-2.0
// Renders the Mandelbrot set on the cores and on every OpenCL device together, band by band, into a PNG, and tells who
// did how much. Usage: mandelbrot [FILE.png [WIDTH [cpu]]]. Without a device the cores do it all; cpu counts OpenCL's
// CPU devices as devices too.
#include "must.h"
#include <skua/device.h>
#include <skua/exec.h>
#include <skua/launch.h>
#include <string.h>

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

/* ---- A PNG of grey bytes, whose compression is none ---- */

typedef struct png {
    FILE *file;
    uint32_t crc;
} png;

static void
put(png *to, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) {
        to->crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) {
            to->crc = to->crc >> 1 ^ (to->crc & 1 ? UINT32_C(0xedb88320) : 0);
        }
    }
    fwrite(bytes, 1, size, to->file);
}

static void
put_u32(png *to, uint32_t value) {
    const unsigned char bytes[] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                   (unsigned char)(value >> 8), (unsigned char)value};
    put(to, bytes, sizeof bytes);
}

static void
begin_chunk(png *to, const char *type, uint32_t size) {
    put_u32(to, size);
    to->crc = UINT32_MAX;
    put(to, type, 4);
}

static void
end_chunk(png *to) {
    put_u32(to, ~to->crc);
}

static int
write_png(const char *path, const unsigned char *pixels, uint32_t width, uint32_t height) {
    png to = {.file = fopen(path, "wb")};
    if (!to.file) {
        perror(path);
        return 1;
    }
    uint32_t a = 1, b = 0; /* of Adler-32 */
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, to.file);
    begin_chunk(&to, "IHDR", 13);
    put_u32(&to, width);
    put_u32(&to, height);
    put(&to, "\x08\0\0\0\0", 5);
    end_chunk(&to);
    begin_chunk(&to, "IDAT", 2 + height * (5 + 1 + width) + 4);
    put(&to, "\x78\x01", 2);
    for (uint32_t row = 0; row < height; row++) {
        /* One stored block for each row: a filter byte and the pixels. */
        uint32_t size = width + 1;
        const unsigned char head[] = {row + 1 == height,           (unsigned char)size,
                                      (unsigned char)(size >> 8),  (unsigned char)~size,
                                      (unsigned char)(~size >> 8), 0};
        put(&to, head, sizeof head);
        put(&to, pixels + (size_t)row * width, width);
        b = (b + a) % 65521;
        for (uint32_t i = 0; i < width; i++) {
            a = (a + pixels[(size_t)row * width + i]) % 65521;
            b = (b + a) % 65521;
        }
    }
    put_u32(&to, b << 16 | a);
    end_chunk(&to);
    begin_chunk(&to, "IEND", 0);
    end_chunk(&to);
    return fclose(to.file) != 0;
}

/* ---- The picture ---- */

static void
render(skua_pool *pool, unsigned char *pixels, uint32_t width, uint32_t height) {
    static skua_pool_future *futures[BANDS_MAX];
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
                            .args = args, .arg_count = 3);
            if (!collect) {
                must(skua_kernel_submit(pool, launch, &futures[i], &err), &err);
            } else {
                must(skua_kernel_collect(pool, launch, futures[i], SKUA_UNLIMITED, &err), &err);
                skua_pool_future_free(futures[i]);
            }
        }
    }
}

int
main(int argc, char **argv) {
    uint32_t width = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : WIDTH;
    if (width < 16 || width > WIDTH_MAX) {
        fprintf(stderr, "usage: mandelbrot [FILE.png [WIDTH [cpu]]], with a width of 16 to %d\n",
                WIDTH_MAX);
        return 2;
    }
    uint32_t height = width * 3 / 4;
    skua_error err;
    skua_exec *exec = NULL;
    skua_devices *devices = NULL;
    skua_pool *pool = NULL;
    must(skua_exec_open(&exec, NULL, &err), &err);
    must(skua_devices_open(&devices, SKUA_DEVICES_OPTIONS(.cpu_devices = argc > 3), &err), &err);
    must(skua_pool_open(&pool, SKUA_POOL_OPTIONS(.exec = exec, .devices = devices), &err), &err);
    static const skua_param_kind params[] = {SKUA_PARAM_OUT, SKUA_PARAM_VALUE, SKUA_PARAM_VALUE};
    must(skua_kernel_register(pool, "mandelbrot",
                              SKUA_KERNEL_SPEC(.source = source, .params = params, .param_count = 3,
                                               .guarded = 1, .fn = band, .check = check,
                                               .work = 1000),
                              &err),
         &err);
    unsigned char *pixels = calloc(height, width);
    if (!pixels) {
        perror("mandelbrot");
        return 1;
    }
    render(pool, pixels, width, height);
    uint64_t sum = 0;
    for (size_t i = 0;; i++) {
        skua_kernel_share share = {.size = sizeof share};
        if (skua_kernel_share_at(pool, "mandelbrot", i, &share, NULL)) {
            break;
        }
        sum += share.work_items;
        printf("%-24s %5.1f %% of the pixels, %llu bands\n", share.name,
               100.0 * (double)share.work_items / ((double)width * height),
               (unsigned long long)share.launches);
    }
    /* The middle of the set is black, the corner is not, and nobody's pixels are missing. */
    bool good = sum == (uint64_t)width * height &&
                pixels[(size_t)height / 2 * width + width / 2] == 0 && pixels[0] != 0;
    if (argc > 1) {
        good = write_png(argv[1], pixels, width, height) == 0 && good;
    }
    free(pixels);
    skua_pool_close(pool);
    skua_devices_close(devices);
    skua_exec_close(exec);
    return good ? 0 : 1;
}
