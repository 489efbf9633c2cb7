// SPDX-License-Identifier: MPL-2.0
// The box's own: built kernels, kept on disk.
#ifndef SKUA_GPU_PROGRAM_STORE_H
#define SKUA_GPU_PROGRAM_STORE_H

#include <skua-int/launch.h>

enum {
    SKUA__PROGRAM_MAX_BYTES = 64 * 1024 * 1024, /* of one binary; a larger one is not kept */
};

/* Fills kernel->digest: SHA-256 over what a built kernel depends on, the device aside. */
void skua__program_digest(skua__kernel *kernel);
/* The binary that was kept for a kernel and device, checked to its last byte; NULL: none that is whole. Caller owns. */
void *skua__program_load(const skua_allocator *hook, const char *dir, const uint8_t *digest,
                         const skua_device_info *info, size_t *ret_bytes);
/* Keeps a binary, by writing aside and renaming. A failure is harmless: the next program builds from source. */
void skua__program_save(const char *dir, const uint8_t *digest, const skua_device_info *info,
                        const void *binary, size_t bytes);

#endif
