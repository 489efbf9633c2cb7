// SPDX-License-Identifier: MPL-2.0
// The flight recorder: the last so many inputs of the peer machines, in memory, written to a file on request.
#include "node_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEFAULT_ENTRIES = 4096, MOST_ENTRIES = 1 << 20 };

skua_status
skua__recorder_init(skua_node *node, uint32_t entries, skua_error *err) {
    if (entries > MOST_ENTRIES) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "recorder_events is %u; at most %d are kept",
                         entries, MOST_ENTRIES);
    }
    node->flight_capacity = entries ? entries : DEFAULT_ENTRIES;
    node->opened_wall_s = skua__clock_wall_s();
    /* Through the hook's plain allocation, so that a ring that is never filled costs no pages. */
    const skua_allocator *hook = node->hook;
    node->flight =
        hook->allocate(hook->ctx, (size_t)node->flight_capacity * SKUA__FLIGHT_ENTRY_BYTES);
    return node->flight ? SKUA_OK : SKUA_FAIL_MEMORY(err, "the flight recorder");
}

void
skua__recorder_fini(skua_node *node) {
    node->flight = skua__mem_free(node->hook, node->flight);
}

void
skua__recorder_add(skua_node *node, const skua__flight_entry *entry) {
    skua__mutex_lock(&node->lock);
    size_t at = (size_t)(node->flight_count++ % node->flight_capacity);
    skua__flight_entry_encode(entry, node->flight + at * SKUA__FLIGHT_ENTRY_BYTES);
    skua__mutex_unlock(&node->lock);
}

static bool
write_all(int fd, const uint8_t *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

/* Copies header and entries, oldest first, into one block. */
static uint8_t *
snapshot(skua_node *node, size_t *ret_size) {
    const skua_allocator *hook = node->hook;
    size_t most =
        SKUA__FLIGHT_HEADER_BYTES + (size_t)node->flight_capacity * SKUA__FLIGHT_ENTRY_BYTES;
    uint8_t *bytes = hook->allocate(hook->ctx, most);
    if (!bytes) {
        return NULL;
    }
    skua__mutex_lock(&node->lock);
    uint64_t kept =
        node->flight_count < node->flight_capacity ? node->flight_count : node->flight_capacity;
    uint64_t lost = node->flight_count - kept;
    for (uint64_t i = 0; i < kept; i++) {
        size_t at = (size_t)((lost + i) % node->flight_capacity);
        memcpy(bytes + SKUA__FLIGHT_HEADER_BYTES + (size_t)i * SKUA__FLIGHT_ENTRY_BYTES,
               node->flight + at * SKUA__FLIGHT_ENTRY_BYTES, SKUA__FLIGHT_ENTRY_BYTES);
    }
    skua__mutex_unlock(&node->lock);
    skua__flight_header header = {.self = node->uuid,
                                  .incarnation = node->incarnation,
                                  .heartbeat_ns = node->heartbeat_ns,
                                  .seed = node->peer_config.seed,
                                  .wall_s = node->opened_wall_s,
                                  .lost = lost};
    skua__flight_header_encode(&header, bytes);
    *ret_size = SKUA__FLIGHT_HEADER_BYTES + (size_t)kept * SKUA__FLIGHT_ENTRY_BYTES;
    return bytes;
}

skua_status
skua_node_record(skua_node *node, const char *path, skua_error *err) {
    skua_status status = skua__node_check(node, err);
    if (status) {
        return status;
    }
    path = path ? path : node->recorder_file;
    if (!path) {
        return SKUA_FAIL(err, SKUA_E_BAD_ARGUMENT, "no path is given, and no recorder_file");
    }
    char draft[4096];
    int length = snprintf(draft, sizeof draft, "%s.XXXXXX", path);
    if (length < 0 || length >= (int)sizeof draft) {
        return SKUA_FAIL(err, SKUA_E_TOO_BIG, "the path of the recording is too long");
    }
    size_t size;
    uint8_t *bytes = snapshot(node, &size);
    if (!bytes) {
        return SKUA_FAIL_MEMORY(err, "the recording");
    }
    /* What is there and no plain file (a device, a pipe) is written into: a rename would put a file in its place. */
    struct stat there;
    bool in_place = stat(path, &there) == 0 && !S_ISREG(there.st_mode);
    int fd = in_place ? open(path, O_WRONLY | O_CLOEXEC) : mkostemp(draft, O_CLOEXEC);
    bool written = fd >= 0 && write_all(fd, bytes, size);
    int error = errno;
    if (fd >= 0) {
        close(fd);
        if (written && !in_place && rename(draft, path)) {
            error = errno;
            written = false;
        }
        if (!written && !in_place) {
            unlink(draft);
        }
    }
    skua__mem_free(node->hook, bytes);
    return written
               ? SKUA_OK
               : SKUA_FAIL_ERRNO(err, SKUA_E_FILE, error, "cannot write the recording %s", path);
}
