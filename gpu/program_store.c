// SPDX-License-Identifier: MPL-2.0
// Keeps built kernels on disk. A driver may crash on a binary that is cut short or not its own, so each file says for
// which kernel, device and driver it is, and carries a checksum: nothing else is ever handed to a driver.
#include "program_store.h"

#include "describe.h"

#include <fcntl.h>
#include <skua-int/buf.h>
#include <skua-int/mem.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KEY_BYTES = crypto_hash_sha256_BYTES,
    HEAD_BYTES = 8 + KEY_BYTES + 8 + KEY_BYTES, /* magic, key, size, SHA-256 of the binary */
};

static const uint8_t magic[8] = {'s', 'k', 'u', 'a', 'b', 'i', 'n', 1};

/* Each text with its 0, so that none runs into the next. */
static void
add_text(crypto_hash_sha256_state *state, const char *text) {
    crypto_hash_sha256_update(state, (const unsigned char *)text, strlen(text) + 1);
}

void
skua__program_digest(skua__kernel *kernel) {
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    add_text(&state, kernel->entry);
    add_text(&state, kernel->options);
    add_text(&state, kernel->text ? kernel->text : "");
    crypto_hash_sha256_final(&state, kernel->digest);
}

/* Everything that a binary depends on. */
static void
make_key(const uint8_t *digest, const skua_device_info *info, uint8_t ret[KEY_BYTES]) {
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, digest, SKUA__KERNEL_DIGEST_BYTES);
    add_text(&state, info->platform);
    add_text(&state, info->vendor);
    add_text(&state, info->name);
    add_text(&state, info->driver);
    add_text(&state, info->version);
    crypto_hash_sha256_final(&state, ret);
}

static bool
make_path(const char *dir, const uint8_t key[KEY_BYTES], char *ret, size_t size) {
    char hex[2 * KEY_BYTES + 1];
    sodium_bin2hex(hex, sizeof hex, key, KEY_BYTES);
    return (size_t)snprintf(ret, size, "%s/kernel-%s", dir, hex) < size;
}

static bool
read_whole(FILE *file, void *ret, size_t bytes) {
    return fread(ret, 1, bytes, file) == bytes;
}

/* Reads the head, and gives the size of what follows; 0: it is not ours. */
static size_t
check_head(const uint8_t *head, const uint8_t *key, FILE *file) {
    skua__reader reader = skua__reader_of(head + sizeof magic + KEY_BYTES, 8);
    uint64_t bytes = skua__read_u64(&reader);
    struct stat about;
    bool good = memcmp(head, magic, sizeof magic) == 0 &&
                memcmp(head + sizeof magic, key, KEY_BYTES) == 0 && bytes > 0 &&
                bytes <= SKUA__PROGRAM_MAX_BYTES && fstat(fileno(file), &about) == 0 &&
                (uint64_t)about.st_size == HEAD_BYTES + bytes;
    return good ? (size_t)bytes : 0;
}

void *
skua__program_load(const skua_allocator *hook, const char *dir, const uint8_t *digest,
                   const skua_device_info *info, size_t *ret_bytes) {
    uint8_t key[KEY_BYTES], head[HEAD_BYTES], sum[KEY_BYTES];
    char path[4096];
    make_key(digest, info, key);
    FILE *file = make_path(dir, key, path, sizeof path) ? fopen(path, "rbe") : NULL;
    if (!file) {
        return NULL;
    }
    void *binary = NULL;
    size_t bytes = read_whole(file, head, sizeof head) ? check_head(head, key, file) : 0;
    if (bytes) {
        binary = skua__mem_new(hook, bytes);
    }
    bool whole = binary && read_whole(file, binary, bytes);
    if (whole) {
        crypto_hash_sha256(sum, binary, bytes);
        whole = memcmp(sum, head + HEAD_BYTES - KEY_BYTES, KEY_BYTES) == 0;
    }
    fclose(file);
    if (!whole) {
        return skua__mem_free(hook, binary);
    }
    *ret_bytes = bytes;
    return binary;
}

static bool
write_whole(int fd, const void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)bytes + done, size - done);
        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

void
skua__program_save(const char *dir, const uint8_t *digest, const skua_device_info *info,
                   const void *binary, size_t bytes) {
    uint8_t key[KEY_BYTES], head[HEAD_BYTES];
    char path[4096], aside[4160];
    make_key(digest, info, key);
    if (bytes == 0 || bytes > SKUA__PROGRAM_MAX_BYTES || !make_path(dir, key, path, sizeof path)) {
        return;
    }
    memcpy(head, magic, sizeof magic);
    memcpy(head + sizeof magic, key, KEY_BYTES);
    skua__writer writer = skua__writer_of(head + sizeof magic + KEY_BYTES, 8);
    skua__write_u64(&writer, bytes);
    crypto_hash_sha256(head + HEAD_BYTES - KEY_BYTES, binary, bytes);
    skua__make_folders(dir);
    snprintf(aside, sizeof aside, "%s.XXXXXX", path);
    int fd = mkostemp(aside, O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    bool written = write_whole(fd, head, sizeof head) && write_whole(fd, binary, bytes);
    close(fd);
    if (!written || rename(aside, path) < 0) {
        unlink(aside);
    }
}
