// SPDX-License-Identifier: MPL-2.0
// The number of a node's life. It is the wall clock's, and for a node that comes back under its UUID never lower than
// the last: a clock that was set back, or was lost with the power, must not make the new life look like an old one.
#include "node_priv.h"

#include <skua/fleet.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { TEXT_BYTES = 21 }; /* 20 digits and the end of the line */

/* What the file holds, or 0. */
static uint64_t
read_last(int fd) {
    char text[TEXT_BYTES + 1] = "";
    ssize_t got = pread(fd, text, TEXT_BYTES, 0);
    char *end = NULL;
    errno = 0;
    unsigned long long last = got == TEXT_BYTES ? strtoull(text, &end, 10) : 0;
    return end && *end == '\n' && errno == 0 ? last : 0;
}

static bool
write_last(int fd, uint64_t last) {
    char text[TEXT_BYTES + 1];
    snprintf(text, sizeof text, "%020llu\n", (unsigned long long)last);
    return pwrite(fd, text, TEXT_BYTES, 0) == TEXT_BYTES && ftruncate(fd, TEXT_BYTES) == 0 &&
           fdatasync(fd) == 0;
}

skua_status
skua__incarnation_next(const char *fleet_dir, const skua__uuid *uuid, uint64_t clock,
                       uint64_t *ret_incarnation, skua_error *err) {
    char dir[SKUA_FLEET_PATH_BYTES], text[SKUA_UUID_TEXT];
    char path[SKUA_FLEET_PATH_BYTES + 64];
    if (!fleet_dir) {
        skua_status status = skua_fleet_personal_dir(dir, sizeof dir, err);
        if (status) {
            return status;
        }
        fleet_dir = dir;
    }
    skua__uuid_text(uuid, text);
    snprintf(path, sizeof path, "%s/incarnation-%s", fleet_dir, text);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX)) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return SKUA_FAIL_ERRNO(
            err, SKUA_E_FILE, error,
            "cannot keep the node's last life in %s; make the folder writable, or "
            "leave the id out",
            path);
    }
    uint64_t last = read_last(fd);
    uint64_t next = clock > last ? clock : last + 1;
    bool written = write_last(fd, next);
    int error = errno;
    close(fd);
    if (!written) {
        return SKUA_FAIL_ERRNO(err, SKUA_E_FILE, error, "cannot write %s", path);
    }
    *ret_incarnation = next;
    return SKUA_OK;
}
