// SPDX-License-Identifier: MPL-2.0
// What a selector has learned, as a file: written aside and renamed, and refused as a whole unless every byte of it
// makes sense. Only logarithms of times, weights and names are kept.
#include "select_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <skua-int/buf.h>
#include <skua-int/fail.h>
#include <skua-int/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The file, little-endian:
 *   magic[8]  u32 backends  u32 kernels
 *   backend:  u8 length, name, node launch, curve move
 *   kernel:   u8 length, name, u32 curves, curves × (u8 backend, curve)
 *   curve:    u8 nodes, nodes × (u8 index, node)
 *   node:     i32 log_ns and i32 spread in 1/65536, u16 samples
 *   u32 hash of everything before
 */
static const uint8_t magic[8] = {'s', 'k', 'u', 'a', 's', 'e', 'l', 1};

enum {
    NODE_BYTES = 10,
    CURVE_BYTES = 1 + SKUA__CURVE_NODES * (1 + NODE_BYTES),
    NAME_BYTES = 1 + SKUA_SELECT_NAME_BYTES,
    SAMPLES_MAX = 16,
    FILE_BYTES_MAX = 8 << 20, /* a larger file is none of ours */
    FIXED_ONE = 65536,
};

static const float log_ns_bound = 64;

/* ---- Writing ---- */

static void
write_name(skua__writer *writer, const char *name) {
    size_t length = strlen(name);
    skua__write_u8(writer, (uint8_t)length);
    skua__write_bytes(writer, name, length);
}

static void
write_node(skua__writer *writer, const skua__curve_node *node) {
    skua__write_u32(writer, (uint32_t)(int32_t)(node->log_ns * FIXED_ONE));
    skua__write_u32(writer, (uint32_t)(int32_t)(node->spread * FIXED_ONE));
    skua__write_u16(writer, node->samples);
}

static void
write_curve(skua__writer *writer, const skua__curve *curve) {
    uint8_t count = 0;
    for (uint32_t i = 0; i < SKUA__CURVE_NODES; i++) {
        count = (uint8_t)(count + (curve->nodes[i].samples > 0));
    }
    skua__write_u8(writer, count);
    for (uint32_t i = 0; i < SKUA__CURVE_NODES; i++) {
        if (curve->nodes[i].samples) {
            skua__write_u8(writer, (uint8_t)i);
            write_node(writer, &curve->nodes[i]);
        }
    }
}

static uint32_t
curves_of(const skua__select_kernel *kernel) {
    uint32_t count = 0;
    for (uint32_t b = 0; b < SKUA_SELECT_BACKENDS_MAX; b++) {
        count += kernel->run[b] != NULL;
    }
    return count;
}

uint8_t *
skua__select_encode(const skua_selector *selector, size_t *ret_size) {
    size_t room = sizeof magic + 12;
    room += selector->backend_count * (size_t)(NAME_BYTES + NODE_BYTES + CURVE_BYTES);
    for (uint32_t k = 0; k < selector->kernel_count; k++) {
        room += NAME_BYTES + 4 + curves_of(selector->kernels[k]) * (size_t)(1 + CURVE_BYTES);
    }
    uint8_t *bytes = skua__mem_new(selector->hook, room);
    if (!bytes) {
        return NULL;
    }
    skua__writer writer = skua__writer_of(bytes, room);
    skua__write_bytes(&writer, magic, sizeof magic);
    skua__write_u32(&writer, selector->backend_count);
    skua__write_u32(&writer, selector->kernel_count);
    for (uint32_t b = 0; b < selector->backend_count; b++) {
        write_name(&writer, selector->backends[b].name);
        write_node(&writer, &selector->backends[b].launch);
        write_curve(&writer, &selector->backends[b].move);
    }
    for (uint32_t k = 0; k < selector->kernel_count; k++) {
        const skua__select_kernel *kernel = selector->kernels[k];
        write_name(&writer, kernel->name);
        skua__write_u32(&writer, curves_of(kernel));
        for (uint32_t b = 0; b < SKUA_SELECT_BACKENDS_MAX; b++) {
            if (kernel->run[b]) {
                skua__write_u8(&writer, (uint8_t)b);
                write_curve(&writer, kernel->run[b]);
            }
        }
    }
    skua__write_u32(&writer, skua__hash_bytes(bytes, writer.used));
    *ret_size = writer.used;
    return bytes;
}

skua_status
skua_selector_save(skua_selector *selector, skua_error *err) {
    if (!selector || !selector->path) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT,
                         "skua_selector_save needs a selector that was opened with a path");
    }
    size_t size;
    uint8_t *bytes = skua__select_encode(selector, &size);
    size_t aside_size = strlen(selector->path) + sizeof ".XXXXXX";
    char *aside = skua__mem_new(selector->hook, aside_size);
    skua_status status = SKUA_OK;
    if (!bytes || !aside) {
        status = SKUA_FAIL_MEMORY(err, "the bytes of what a selector has learned");
        goto done;
    }
    snprintf(aside, aside_size, "%s.XXXXXX", selector->path);
    int fd = mkostemp(aside, O_CLOEXEC);
    bool written = fd >= 0 && write(fd, bytes, size) == (ssize_t)size;
    written = fd >= 0 && close(fd) == 0 && written;
    if (!written || rename(aside, selector->path) < 0) {
        status = SKUA_FAIL_ERRNO(err, SKUA_E_SYSTEM, errno,
                                 "cannot keep what was learned in \"%s\"; look at its folder",
                                 selector->path);
        if (fd >= 0) {
            unlink(aside);
        }
        goto done;
    }
    selector->unsaved = false;
done:
    skua__mem_free(selector->hook, aside);
    skua__mem_free(selector->hook, bytes);
    return status;
}

/* ---- Reading ---- */

static void
read_name(skua__reader *reader, char *ret) {
    size_t length = skua__read_u8(reader);
    if (length == 0 || length >= SKUA_SELECT_NAME_BYTES) {
        reader->failed = true;
        return;
    }
    skua__read_copy(reader, ret, length);
    ret[length] = 0;
    reader->failed = reader->failed || strlen(ret) != length;
}

static skua__curve_node
read_node(skua__reader *reader) {
    skua__curve_node node = {.log_ns = (float)(int32_t)skua__read_u32(reader) / FIXED_ONE};
    node.spread = (float)(int32_t)skua__read_u32(reader) / FIXED_ONE;
    node.samples = skua__read_u16(reader);
    if (!(fabsf(node.log_ns) <= log_ns_bound) || !(node.spread >= 0) ||
        !(node.spread <= log_ns_bound) || node.samples > SAMPLES_MAX) {
        reader->failed = true;
    }
    return node;
}

static void
read_curve(skua__reader *reader, skua__curve *ret) {
    uint32_t count = skua__read_u8(reader);
    *ret = (skua__curve){.linear = ret->linear};
    for (uint32_t k = 0; k < count && !reader->failed; k++) {
        uint32_t i = skua__read_u8(reader);
        skua__curve_node node = read_node(reader);
        if (i >= SKUA__CURVE_NODES || node.samples == 0) {
            reader->failed = true;
            return;
        }
        ret->nodes[i] = node;
        ret->learned += node.samples;
        skua__curve_refresh(ret, i);
        ret->have[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

static void
read_backends(skua_selector *selector, skua__reader *reader, uint32_t count) {
    for (uint32_t b = 0; b < count && !reader->failed; b++) {
        skua__select_backend *backend = &selector->backends[b];
        read_name(reader, backend->name);
        backend->launch = read_node(reader);
        backend->move.linear = true;
        read_curve(reader, &backend->move);
        backend->kind = SKUA_SELECT_SIMD; /* until it is told */
        selector->backend_count = b + 1;
    }
}

static skua_status
read_kernels(skua_selector *selector, skua__reader *reader, uint32_t count) {
    for (uint32_t k = 0; k < count && !reader->failed; k++) {
        char name[SKUA_SELECT_NAME_BYTES];
        read_name(reader, name);
        uint32_t curves = skua__read_u32(reader);
        if (reader->failed || curves > SKUA_SELECT_BACKENDS_MAX) {
            reader->failed = true;
            return SKUA_OK;
        }
        skua__select_kernel *kernel = skua__select_kernel_get(selector, name);
        if (!kernel) {
            return SKUA_E_NO_MEMORY;
        }
        for (uint32_t c = 0; c < curves && !reader->failed; c++) {
            uint32_t b = skua__read_u8(reader);
            if (b >= selector->backend_count || kernel->run[b]) {
                reader->failed = true;
                return SKUA_OK;
            }
            skua__curve *curve = skua__select_curve(selector, kernel, b);
            if (!curve) {
                return SKUA_E_NO_MEMORY;
            }
            read_curve(reader, curve);
        }
    }
    return SKUA_OK;
}

/* Forgets what a file that turned out to be junk has left behind. */
static void
forget(skua_selector *selector) {
    for (uint32_t k = 0; k < selector->kernel_count; k++) {
        for (uint32_t b = 0; b < SKUA_SELECT_BACKENDS_MAX; b++) {
            skua__mem_free(selector->hook, selector->kernels[k]->run[b]);
        }
        selector->kernels[k] = skua__mem_free(selector->hook, selector->kernels[k]);
    }
    selector->kernel_count = 0;
    selector->backend_count = 0;
    memset(selector->backends, 0, sizeof selector->backends);
}

skua_status
skua__select_decode(skua_selector *selector, const uint8_t *bytes, size_t size) {
    if (size < sizeof magic + 12 || memcmp(bytes, magic, sizeof magic) != 0) {
        return SKUA_OK;
    }
    skua__reader sum = skua__reader_of(bytes + size - 4, 4);
    if (skua__read_u32(&sum) != skua__hash_bytes(bytes, size - 4)) {
        return SKUA_OK;
    }
    skua__reader reader = skua__reader_of(bytes + sizeof magic, size - sizeof magic - 4);
    uint32_t backends = skua__read_u32(&reader);
    uint32_t kernels = skua__read_u32(&reader);
    if (backends > SKUA_SELECT_BACKENDS_MAX || kernels > SKUA_SELECT_KERNELS_MAX) {
        return SKUA_OK;
    }
    skua_status status = SKUA_OK;
    read_backends(selector, &reader, backends);
    if (!reader.failed) {
        status = read_kernels(selector, &reader, kernels);
    }
    if (status || reader.failed || reader.left || selector->kernel_count != kernels) {
        forget(selector);
    }
    return status;
}

skua_status
skua__select_load(skua_selector *selector) {
    int fd = open(selector->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    if (fd < 0) {
        return SKUA_OK;
    }
    skua_status status = SKUA_OK;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0 &&
        info.st_size <= FILE_BYTES_MAX) {
        size_t size = (size_t)info.st_size;
        uint8_t *bytes = skua__mem_new(selector->hook, size);
        status = !bytes ? SKUA_E_NO_MEMORY
                 : read(fd, bytes, size) == (ssize_t)size
                     ? skua__select_decode(selector, bytes, size)
                     : SKUA_OK;
        skua__mem_free(selector->hook, bytes);
    }
    close(fd);
    return status;
}
