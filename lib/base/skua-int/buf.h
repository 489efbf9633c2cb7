// SPDX-License-Identifier: MPL-2.0
// Reading and writing bytes with bounds: a reader or writer that ran over stays failed, and the caller asks
// once at the end. All integers on skua's wire are little-endian.
#ifndef SKUA_INT_BUF_H
#define SKUA_INT_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct skua__reader {
    const uint8_t *at;
    size_t left;
    bool failed; /* something was read past the end */
} skua__reader;

typedef struct skua__writer {
    uint8_t *start;
    size_t size; /* of the memory behind start */
    size_t used;
    bool failed; /* something did not fit */
} skua__writer;

static inline skua__reader
skua__reader_of(const void *bytes, size_t size) {
    return (skua__reader){.at = bytes, .left = size};
}

static inline skua__writer
skua__writer_of(void *bytes, size_t size) {
    return (skua__writer){.start = bytes, .size = size};
}

/* The next size bytes inside the reader's memory, or NULL (then the reader has failed). */
static inline const uint8_t *
skua__read_bytes(skua__reader *reader, size_t size) {
    if (reader->failed || reader->left < size) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += size;
    reader->left -= size;
    return bytes;
}

static inline uint64_t
skua__read_le(skua__reader *reader, size_t size) {
    const uint8_t *bytes = skua__read_bytes(reader, size);
    uint64_t value = 0;
    for (size_t i = 0; bytes && i < size; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

static inline uint8_t
skua__read_u8(skua__reader *reader) {
    return (uint8_t)skua__read_le(reader, 1);
}

static inline uint16_t
skua__read_u16(skua__reader *reader) {
    return (uint16_t)skua__read_le(reader, 2);
}

static inline uint32_t
skua__read_u32(skua__reader *reader) {
    return (uint32_t)skua__read_le(reader, 4);
}

static inline uint64_t
skua__read_u64(skua__reader *reader) {
    return skua__read_le(reader, 8);
}

/* Copies size bytes out; on failure *ret is zeroed, so that nothing uninitialised is looked at. */
static inline void
skua__read_copy(skua__reader *reader, void *ret, size_t size) {
    const uint8_t *bytes = skua__read_bytes(reader, size);
    if (bytes) {
        memcpy(ret, bytes, size);
    } else {
        memset(ret, 0, size);
    }
}

static inline void
skua__write_bytes(skua__writer *writer, const void *bytes, size_t size) {
    if (writer->failed || writer->size - writer->used < size) {
        writer->failed = true;
        return;
    }
    if (size) {
        memcpy(writer->start + writer->used, bytes, size);
    }
    writer->used += size;
}

static inline void
skua__write_le(skua__writer *writer, uint64_t value, size_t size) {
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
    skua__write_bytes(writer, bytes, size);
}

static inline void
skua__write_u8(skua__writer *writer, uint8_t value) {
    skua__write_le(writer, value, 1);
}

static inline void
skua__write_u16(skua__writer *writer, uint16_t value) {
    skua__write_le(writer, value, 2);
}

static inline void
skua__write_u32(skua__writer *writer, uint32_t value) {
    skua__write_le(writer, value, 4);
}

static inline void
skua__write_u64(skua__writer *writer, uint64_t value) {
    skua__write_le(writer, value, 8);
}

#endif
