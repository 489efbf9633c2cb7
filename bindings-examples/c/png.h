// SPDX-License-Identifier: MPL-2.0
// Writes a picture of grey bytes as a PNG whose compression is none, so that the example needs no library for it.
#ifndef PNG_H
#define PNG_H

#include <stdint.h>
#include <stdio.h>

typedef struct png {
    FILE *file;
    uint32_t crc;
} png;

static inline void
png_put(png *to, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) {
        to->crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) {
            to->crc = to->crc >> 1 ^ (to->crc & 1 ? UINT32_C(0xedb88320) : 0);
        }
    }
    fwrite(bytes, 1, size, to->file);
}

static inline void
png_put_u32(png *to, uint32_t value) {
    const unsigned char bytes[] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                   (unsigned char)(value >> 8), (unsigned char)value};
    png_put(to, bytes, sizeof bytes);
}

static inline void
png_begin_chunk(png *to, const char *type, uint32_t size) {
    png_put_u32(to, size);
    to->crc = UINT32_MAX;
    png_put(to, type, 4);
}

static inline void
png_end_chunk(png *to) {
    png_put_u32(to, ~to->crc);
}

/* One stored block for each row: a filter byte and the pixels. Returns their Adler-32. */
static inline uint32_t
png_put_rows(png *to, const unsigned char *pixels, uint32_t width, uint32_t height) {
    uint32_t a = 1, b = 0, size = width + 1;
    for (uint32_t row = 0; row < height; row++) {
        const unsigned char head[] = {row + 1 == height,           (unsigned char)size,
                                      (unsigned char)(size >> 8),  (unsigned char)~size,
                                      (unsigned char)(~size >> 8), 0};
        png_put(to, head, sizeof head);
        png_put(to, pixels + (size_t)row * width, width);
        b = (b + a) % 65521;
        for (uint32_t i = 0; i < width; i++) {
            a = (a + pixels[(size_t)row * width + i]) % 65521;
            b = (b + a) % 65521;
        }
    }
    return b << 16 | a;
}

/* Returns 0, or 1 after it said what failed. */
static inline int
png_write(const char *path, const unsigned char *pixels, uint32_t width, uint32_t height) {
    png to = {.file = fopen(path, "wb")};
    if (!to.file) {
        perror(path);
        return 1;
    }
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, to.file);
    png_begin_chunk(&to, "IHDR", 13);
    png_put_u32(&to, width);
    png_put_u32(&to, height);
    png_put(&to, "\x08\0\0\0\0", 5);
    png_end_chunk(&to);
    png_begin_chunk(&to, "IDAT", 2 + height * (5 + 1 + width) + 4);
    png_put(&to, "\x78\x01", 2);
    png_put_u32(&to, png_put_rows(&to, pixels, width, height));
    png_end_chunk(&to);
    png_begin_chunk(&to, "IEND", 0);
    png_end_chunk(&to);
    if (fclose(to.file) != 0) {
        perror(path);
        return 1;
    }
    return 0;
}

#endif
